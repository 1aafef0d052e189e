//! A sweep's report, from its folder alone: `tables/points.json` says which runs belong together, and each run's own
//! files what they came to.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use cotune_record::{RunDirectory, Status, Summary, run_directory};
use cotune_report::{Estimate, SweepInput, SweepPoint, render_sweep};
use cotune_scenario::Sweep as Written;
use cotune_scenario::sweep::Goal;
use serde::{Deserialize, Serialize};

use super::points::Planned;
use crate::arguments::Sweep;
use crate::failure::Failure;
use crate::machine;
use crate::repeat::quoted;
use crate::statistics::{LEVEL, Mean, Paired, holm};

/// What a sweep without a goal is judged by, the first that its runs have.
const JUDGED: [&str; 4] =
    ["edge.rouge-l.mean", "edge.loss.mean", "round.duration.mean_seconds", "virtual.seconds"];

/// `tables/points.json`: the sweep as planned.
#[derive(Serialize, Deserialize)]
pub struct Layout {
    name: String,
    command: String,
    goal: Option<String>,
    minimize: bool,
    axes: Vec<String>,
    points: Vec<Point>,
}

#[derive(Serialize, Deserialize)]
struct Point {
    labels: Vec<String>,
    runs: Vec<Run>,
}

#[derive(Serialize, Deserialize)]
struct Run {
    id: String,
    seed: Option<u64>,
}

/// A run that is complete.
struct Done {
    seed: u64,
    summary: Summary,
    /// Named scores: round, virtual time \[s\], value.
    curve: Vec<(u32, f64, f64)>,
}

impl Layout {
    /// The sweep as it was planned.
    pub fn new(typed: &Sweep, written: &Written, planned: &[Planned]) -> Self {
        let point = |points: &[Planned]| Point {
            labels: points[0].point.axes.iter().map(|axis| axis.label.clone()).collect(),
            runs: points.iter().map(|one| Run { id: one.id(), seed: one.point.seed }).collect(),
        };
        let mut command = format!("cotune sweep {}", quoted(&typed.file.display().to_string()));
        for (said, flag) in [(typed.smoke, " --smoke"), (typed.no_train, " --no-train")] {
            command.push_str(if said { flag } else { "" });
        }
        Self {
            name: written.name.clone(),
            command,
            goal: written.goal.as_ref().map(|goal| goal.metric().to_owned()),
            minimize: matches!(written.goal, Some(Goal::Minimize(_))),
            axes: written.axis_keys().into_iter().map(str::to_owned).collect(),
            points: planned.chunk_by(|a, b| a.point.combination == b.point.combination).map(point).collect(),
        }
    }

    /// Where it lies in a sweep's folder.
    pub fn path(folder: &Path) -> PathBuf {
        folder.join("tables").join("points.json")
    }

    /// Writes it.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn write(&self, folder: &Path) -> Result<(), Failure> {
        let json = serde_json::to_string_pretty(self).expect("a layout is JSON") + "\n";
        super::write(&Self::path(folder), json.as_bytes())
    }

    /// Reads it back.
    ///
    /// # Errors
    /// It is missing or damaged.
    pub fn read(folder: &Path) -> Result<Self, Failure> {
        let path = Self::path(folder);
        let text = fs::read_to_string(&path).map_err(|error| Failure::file("read", &path, error))?;
        serde_json::from_str(&text)
            .map_err(|error| Failure::wrong(format!("{} is damaged: {error}", path.display())))
    }

    /// Ids of the runs in the order of the sweep's file.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.points.iter().flat_map(|point| &point.runs).map(|run| run.id.as_str())
    }
}

/// Renders the report of a sweep's folder and says where it is.
///
/// # Errors
/// The folder is no sweep's, or the disk refuses.
pub fn write_report(folder: &Path, output: Option<&Path>) -> Result<PathBuf, Failure> {
    let path = output.map_or(folder.join("report.html"), Path::to_owned);
    let html = render_sweep(&input(folder)?);
    run_directory::replace(&path, html.as_bytes(), false)
        .map_err(|error| Failure::file("write", &path, error))?;
    Ok(path)
}

fn input(folder: &Path) -> Result<SweepInput, Failure> {
    let layout = Layout::read(folder)?;
    let mut done: Vec<Vec<Done>> = Vec::new();
    for point in &layout.points {
        let runs = point.runs.iter().map(|run| finished(folder, run));
        done.push(runs.filter_map(Result::transpose).collect::<Result<_, _>>()?);
    }
    let has = |metric: &str| done.iter().flatten().any(|run| run.summary.metrics.contains_key(metric));
    let usual = || JUDGED.into_iter().find(|metric| has(metric)).unwrap_or(JUDGED[0]).to_owned();
    let metric = layout.goal.clone().filter(|goal| has(goal)).unwrap_or_else(usual);
    let is_goal = layout.goal.as_ref() == Some(&metric);
    let lower_is_better = if is_goal { layout.minimize } else { metric != JUDGED[0] };
    for run in done.iter_mut().flatten() {
        run.curve = curve(&folder.join("points"), run, &metric)?;
    }
    let differs = differences(&done, &metric, lower_is_better);
    let points = layout.points.iter().zip(&done).zip(differs);
    let points = points.map(|((point, done), differs_from_best)| SweepPoint {
        labels: point.labels.clone(),
        runs: point.runs.len(),
        complete: done.len(),
        metrics: estimates(done),
        differs_from_best,
        curve: mean_curve(done),
    });
    Ok(SweepInput {
        points: points.collect(),
        name: layout.name,
        metric,
        lower_is_better,
        axes: layout.axes,
        command: layout.command,
        version: machine::VERSION.to_owned(),
    })
}

fn finished(folder: &Path, run: &Run) -> Result<Option<Done>, Failure> {
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
    let text = fs::read_to_string(&path).map_err(|error| Failure::file("read", &path, error))?;
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
        let (p, (low, high)) = (paired.p.and_then(|_| corrected.next())?, paired.interval?);
        Some((low > 0.0 || high < 0.0) && p < 1.0 - LEVEL)
    };
    paired.iter().map(verdict).collect()
}
