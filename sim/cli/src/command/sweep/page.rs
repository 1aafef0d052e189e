//! A sweep's report, from its folder alone: the lock file says which runs belong together, and each run's own files what
//! they came to.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use cotune_record::{RunDirectory, Status, Summary, run_directory};
use cotune_report::{Estimate, SweepInput, SweepPoint, SweepRung, SweepStanding, render_sweep};

use super::lock::{Lock, LockedPoint, LockedRung, Standing};
use crate::bounded;
use crate::command::compare::is_distinguishable;
use crate::failure::Failure;
use crate::machine;
use crate::statistics::{Mean, Paired, holm};

/// What a sweep without a goal is judged by, the first that its runs have.
const JUDGED: [&str; 4] =
    ["edge.rouge-l.mean", "edge.loss.mean", "round.duration.mean_seconds", "virtual.seconds"];

/// A run that is complete.
struct Done {
    seed: u64,
    summary: Summary,
    /// Named scores: round, virtual time \[s\], value.
    curve: Vec<(u32, f64, f64)>,
}

/// The runs that are replicates of each other.
struct Combination<'a> {
    labels: &'a [String],
    runs: Vec<&'a LockedPoint>,
}

/// Renders the report of a sweep's folder and says where it is.
///
/// # Errors
/// The folder is no sweep's, or the disk refuses.
pub fn write_report(folder: &Path, output: Option<&Path>) -> Result<PathBuf, Failure> {
    let path = output.map_or(folder.join("report.html"), Path::to_owned);
    let html = render_sweep(
        &input(folder)?
            .ok_or_else(|| Failure::wrong(format!("{} is not the folder of a sweep", folder.display())))?,
    );
    run_directory::replace(&path, html.as_bytes(), false)
        .map_err(|error| Failure::file("write", &path, error))?;
    Ok(path)
}

/// Whether a folder is a sweep's, be it a damaged one.
pub fn is_sweep(folder: &Path) -> bool {
    !matches!(Lock::read(folder), Ok(None))
}

fn input(folder: &Path) -> Result<Option<SweepInput>, Failure> {
    let Some(lock) = Lock::read(folder)? else { return Ok(None) };
    let mut combinations: Vec<Combination> = Vec::new();
    for point in &lock.points {
        match combinations.iter_mut().find(|one| one.labels == point.labels) {
            Some(one) => one.runs.push(point),
            None => combinations.push(Combination { labels: &point.labels, runs: vec![point] }),
        }
    }
    let mut done: Vec<Vec<Done>> = Vec::new();
    for combination in &combinations {
        let runs = combination.runs.iter().map(|run| finished(folder, run));
        done.push(runs.filter_map(Result::transpose).collect::<Result<_, _>>()?);
    }
    let has = |metric: &str| done.iter().flatten().any(|run| run.summary.metrics.contains_key(metric));
    let usual = || JUDGED.into_iter().find(|metric| has(metric)).unwrap_or(JUDGED[0]).to_owned();
    let metric = lock.goal.clone().filter(|goal| has(goal)).unwrap_or_else(usual);
    let is_goal = lock.goal.as_ref() == Some(&metric);
    let lower_is_better = if is_goal { lock.minimize } else { metric != JUDGED[0] };
    for run in done.iter_mut().flatten() {
        run.curve = curve(&folder.join("points"), run, &metric)?;
    }
    let differs = differences(&done, &metric, lower_is_better);
    let points = combinations.iter().zip(&done).zip(differs);
    let points = points.map(|((point, done), differs_from_best)| SweepPoint {
        labels: point.labels.to_vec(),
        runs: point.runs.len(),
        complete: done.len(),
        metrics: estimates(done),
        differs_from_best,
        curve: mean_curve(done),
    });
    let rung = |rung: &LockedRung| SweepRung {
        round: rung.round,
        combinations: rung.combinations,
        standings: rung.standings.iter().filter_map(|one| standing(one, &combinations)).collect(),
    };
    Ok(Some(SweepInput {
        points: points.collect(),
        rungs: lock.rungs.iter().map(rung).collect(),
        name: lock.name.clone(),
        metric,
        lower_is_better,
        axes: lock.axes.clone(),
        command: lock.command.clone(),
        version: machine::VERSION.to_owned(),
    }))
}

fn standing(standing: &Standing, combinations: &[Combination]) -> Option<SweepStanding> {
    let point = combinations.iter().position(|one| *one.labels == standing.labels)?;
    let (half_width, n) = (standing.half_width, standing.n);
    let estimate = standing.mean.map(|mean| Estimate { mean, half_width, n });
    Some(SweepStanding { point, estimate, goes_on: standing.goes_on })
}

fn finished(folder: &Path, run: &LockedPoint) -> Result<Option<Done>, Failure> {
    let directory = RunDirectory::at(folder.join("points").join(&run.id));
    match directory.manifest() {
        Ok(manifest) if manifest.status == Status::Complete => {
            let summary = directory.summary()?;
            Ok(Some(Done { seed: run.seed.unwrap_or(summary.seed), summary, curve: Vec::new() }))
        }
        _ => Ok(None),
    }
}

/// A metric over a run, from its `metrics.csv`.
fn curve(points: &Path, run: &Done, metric: &str) -> Result<Vec<(u32, f64, f64)>, Failure> {
    let id = &run.summary.scenario_digest.to_hex()[..16];
    let path = RunDirectory::at(points.join(id)).metrics_path();
    let text = bounded::read_to_string(&path).map_err(|error| Failure::file("read", &path, error))?;
    let score = |line: &str| {
        let cells: Vec<&str> = line.split(',').collect();
        let [time, round, scope, statistic, value] = cells[..] else { return None };
        (format!("{scope}.{statistic}") == metric)
            .then(|| Some((round.parse().ok()?, time.parse().ok()?, value.parse().ok()?)))?
    };
    Ok(text.lines().skip(1).filter_map(score).collect())
}

fn estimates(done: &[Done]) -> BTreeMap<String, Estimate> {
    let mut values: BTreeMap<&String, Vec<f64>> = BTreeMap::new();
    for (name, value) in done.iter().flat_map(|run| &run.summary.metrics) {
        values.entry(name).or_default().push(*value);
    }
    let estimate = |(name, values): (&String, Vec<f64>)| {
        let Mean { mean, half_width, n } = Mean::of(&values)?;
        Some((name.clone(), Estimate { mean, half_width, n }))
    };
    values.into_iter().filter_map(estimate).collect()
}

/// Means over the runs that were scored in a round, of time and value.
fn mean_curve(done: &[Done]) -> Vec<(f64, f64)> {
    let mut rounds: BTreeMap<u32, Vec<(f64, f64)>> = BTreeMap::new();
    for (round, time, value) in done.iter().flat_map(|run| &run.curve) {
        rounds.entry(*round).or_default().push((*time, *value));
    }
    // A round that some runs never came to would make the mean jump.
    let whole = rounds.into_values().filter(|scores| scores.len() == done.len());
    let mean = |scores: Vec<(f64, f64)>| {
        let n = scores.len() as f64;
        let sum = scores.iter().fold((0.0, 0.0), |sum, score| (sum.0 + score.0, sum.1 + score.1));
        (sum.0 / n, sum.1 / n)
    };
    whole.map(mean).collect()
}

/// Whether interval and corrected paired test tell each point from the best; nothing of the best itself, and where
/// there is nothing to test.
fn differences(done: &[Vec<Done>], metric: &str, lower_is_better: bool) -> Vec<Option<bool>> {
    let of = |runs: &[Done]| -> BTreeMap<u64, f64> {
        runs.iter().filter_map(|run| Some((run.seed, *run.summary.metrics.get(metric)?))).collect()
    };
    let values: Vec<BTreeMap<u64, f64>> = done.iter().map(|runs| of(runs)).collect();
    let mean = |values: &BTreeMap<u64, f64>| {
        let mean = values.values().sum::<f64>() / values.len() as f64;
        if lower_is_better { mean } else { -mean }
    };
    let known = values.iter().enumerate().filter(|(_, values)| !values.is_empty());
    let best = known.min_by(|a, b| mean(a.1).total_cmp(&mean(b.1))).map(|(index, _)| index);
    let Some(best) = best else { return vec![None; done.len()] };
    let paired: Vec<Option<Paired>> = values
        .iter()
        .enumerate()
        .map(|(index, one)| {
            let common = one.iter().filter_map(|(seed, value)| Some(value - values[best].get(seed)?));
            Paired::of(&common.collect::<Vec<_>>()).filter(|_| index != best)
        })
        .collect();
    let ps: Vec<f64> = paired.iter().flatten().filter_map(|paired| paired.p).collect();
    let mut corrected = holm(&ps).into_iter();
    let verdict = |paired: &Option<Paired>| {
        let paired = paired.as_ref()?;
        let p = paired.p.and_then(|_| corrected.next())?;
        Some(is_distinguishable(metric, paired, Some(p)))
    };
    paired.iter().map(verdict).collect()
}
