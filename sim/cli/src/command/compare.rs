//! `cotune compare`: what differs between scenarios, and whether what they came to differs with it.

mod difference;
mod verdict;

use std::collections::BTreeMap;
use std::path::Path;

use cotune_record::{RunDirectory, Status, Summary, run_id};
use cotune_report::format;
use serde_json::{Value, json};

use crate::arguments::Compare;
use crate::columns::columns;
use crate::command::sweep::page::Layout;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::statistics::Mean;
use crate::talk;

use difference::Difference;
use verdict::Verdict;

/// One run.
struct Run {
    id: String,
    summary: Summary,
    lock: Value,
}

/// Runs whose scenarios differ in nothing but the seed, by seed.
struct Group {
    name: String,
    runs: BTreeMap<u64, Run>,
}

/// Puts runs side by side.
pub fn compare(typed: &Compare) -> Result<Exit, Failure> {
    let mut groups = groups(read(typed)?)?;
    if let Some(wanted) = &typed.baseline {
        let place = baseline(&groups, wanted)?;
        groups[..=place].rotate_right(1);
    }
    let differences = difference::between(&groups);
    let verdicts: Vec<Verdict> = groups.iter().skip(1).map(|other| verdict::of(&groups[0], other)).collect();
    if typed.json {
        talk::print(as_json(&groups, &differences, &verdicts))?;
    } else {
        talk::print(text(&groups, &differences, &verdicts))?;
    }
    let differs = has_any_difference(&groups);
    Ok(if typed.fail_on_diff && differs { Exit::Different } else { Exit::Done })
}

fn read(typed: &Compare) -> Result<Vec<Run>, Failure> {
    let mut directories = Vec::new();
    for text in &typed.which {
        let points = Path::new(text).join("points");
        match points.is_dir() {
            true => directories.extend(in_order(Path::new(text), run_id::list(&points)?)),
            false => directories.push(run_id::resolve(&typed.runs, text)?),
        }
    }
    let mut runs = Vec::new();
    for directory in directories {
        let status = directory.manifest()?.status;
        if status == Status::Complete {
            runs.push(run(&directory)?);
        } else {
            let id = directory.id();
            talk::Talk::default().say(format_args!("{id} is {status}, not complete: it is left out"));
        }
    }
    if runs.len() < 2 {
        let failure = Failure::wrong("a comparison needs two complete runs");
        return Err(failure.help("name two runs, or the folder of a sweep; `cotune runs ls` lists them"));
    }
    Ok(runs)
}

/// A sweep's points in the order of its file, where it says so: the first is what the others are compared with.
fn in_order(sweep: &Path, mut points: Vec<RunDirectory>) -> Vec<RunDirectory> {
    if let Ok(layout) = Layout::read(sweep) {
        let ids: Vec<&str> = layout.ids().collect();
        points.sort_by_key(|point| ids.iter().position(|id| *id == point.id()).unwrap_or(usize::MAX));
    }
    points
}

/// The group that has this name, or a run whose id begins so.
fn baseline(groups: &[Group], wanted: &str) -> Result<usize, Failure> {
    let id = wanted.trim_end_matches('/').rsplit('/').next().unwrap_or(wanted);
    let named = groups.iter().position(|group| group.name == wanted);
    let has = |group: &Group| group.runs.values().any(|run| run.id.starts_with(id));
    named.or_else(|| groups.iter().position(has)).ok_or_else(|| {
        let names: Vec<&str> = groups.iter().map(|group| group.name.as_str()).collect();
        Failure::wrong(format!("`{wanted}` is none of what is compared"))
            .help(format!("the groups are {}; a run's id does as well", names.join(", ")))
    })
}

fn run(directory: &RunDirectory) -> Result<Run, Failure> {
    let path = directory.lock_path();
    let text = std::fs::read_to_string(&path).map_err(|error| Failure::file("read", &path, error))?;
    let damaged = |error| Failure::wrong(format!("{} is damaged: {error}", path.display()));
    let mut lock: Value = serde_json::from_str(&text).map_err(damaged)?;
    if let Some(keys) = lock.as_object_mut() {
        // Neither is part of what is simulated.
        keys.remove("name");
        keys.remove("simulation");
    }
    Ok(Run { id: directory.id(), summary: directory.summary()?, lock })
}

/// Groups in the order in which they were named. Without learning the same scenario measures something else.
fn groups(runs: Vec<Run>) -> Result<Vec<Group>, Failure> {
    let mut groups: Vec<Group> = Vec::new();
    for run in runs {
        let seed = run.summary.seed;
        let is_kin = |group: &&mut Group| {
            group.runs.values().next().is_some_and(|other| difference::is_seed_only(other, &run))
        };
        match groups.iter_mut().find(is_kin) {
            None => {
                let runs = BTreeMap::from([(seed, run)]);
                groups.push(Group { name: String::new(), runs });
            }
            Some(group) => match group.runs.get(&seed) {
                Some(other) if other.summary.digest != run.summary.digest => {
                    let message = format!(
                        "{} and {} have the same scenario and seed, and other digests",
                        other.id, run.id
                    );
                    let help = "they were made by other builds, on other devices, or one without learning";
                    return Err(Failure::wrong(message).help(help));
                }
                Some(_) => {}
                None => {
                    group.runs.insert(seed, run);
                }
            },
        }
    }
    let differences = difference::between(&groups);
    for (index, group) in groups.iter_mut().enumerate() {
        group.name = name(index, group, &differences);
    }
    Ok(groups)
}

/// A group is called by what sets it apart, if that is one word, or else by its number.
fn name(index: usize, group: &Group, differences: &[Difference]) -> String {
    let method = || group.runs.values().next().map_or("", |run| run.summary.method.as_str());
    match differences {
        [] => method().to_owned(),
        [only] if only.values[index].len() <= 24 => only.values[index].clone(),
        _ => format!("{} {}", method(), index + 1),
    }
}

fn has_any_difference(groups: &[Group]) -> bool {
    let mut runs = groups.iter().flat_map(|group| group.runs.values());
    let first = runs.next();
    runs.any(|run| Some(&run.summary.metrics) != first.map(|first| &first.summary.metrics))
}

impl Group {
    /// A metric's mean over the seeds.
    fn mean(&self, metric: &str) -> Option<Mean> {
        let values: Vec<f64> =
            self.runs.values().filter_map(|run| run.summary.metrics.get(metric).copied()).collect();
        Mean::of(&values)
    }
}

/// Metrics of any group, those that are tested first.
fn metrics(groups: &[Group]) -> Vec<String> {
    let runs = groups.iter().flat_map(|group| group.runs.values());
    let mut names: Vec<String> = runs.flat_map(|run| run.summary.metrics.keys().cloned()).collect();
    names.sort_by_key(|name| (verdict::Family::of(name).is_none(), name.clone()));
    names.dedup();
    names
}

fn text(groups: &[Group], differences: &[Difference], verdicts: &[Verdict]) -> String {
    let mut text = String::new();
    let heads = || groups.iter().map(|group| group.name.clone());
    if differences.is_empty() {
        let seeds = groups[0].runs.len();
        text.push_str(&format!(
            "one scenario, {}: nothing to compare it with\n\n",
            format::plural(seeds, "seed")
        ));
    } else {
        let mut rows = vec![["scenario".to_owned()].into_iter().chain(heads()).collect::<Vec<_>>()];
        rows.extend(
            differences.iter().map(|one| [one.key.clone()].into_iter().chain(one.values.clone()).collect()),
        );
        text.push_str(&columns(&"l".repeat(groups.len() + 1), &rows));
        text.push('\n');
    }
    let cell = |group: &Group, metric: &str| match group.mean(metric) {
        None => "–".to_owned(),
        Some(Mean { mean, half_width: None, .. }) => format::value(metric, mean),
        Some(Mean { mean, half_width: Some(half), .. }) => {
            format!("{} ± {}", format::value(metric, mean), format::value(metric, half))
        }
    };
    let mut rows = vec![["metric".to_owned()].into_iter().chain(heads()).collect::<Vec<_>>()];
    for metric in metrics(groups) {
        let cells = groups.iter().map(|group| cell(group, &metric)).collect::<Vec<_>>();
        rows.push([metric].into_iter().chain(cells).collect());
    }
    text.push_str(&columns(&("l".to_owned() + &"r".repeat(groups.len())), &rows));
    for verdict in verdicts {
        text.push('\n');
        for sentence in verdict.sentences() {
            text.push_str(&sentence);
            text.push('\n');
        }
    }
    text
}

fn as_json(groups: &[Group], differences: &[Difference], verdicts: &[Verdict]) -> String {
    let group = |group: &Group| {
        let ids: Vec<_> = group.runs.values().map(|run| &run.id).collect();
        let seeds: Vec<_> = group.runs.keys().collect();
        let names = metrics(std::slice::from_ref(group));
        let mean = |name: String| {
            let mean = group.mean(&name)?;
            Some((name, json!({ "n": mean.n, "mean": mean.mean, "half_width": mean.half_width })))
        };
        let metrics: BTreeMap<_, _> = names.into_iter().filter_map(mean).collect();
        json!({ "name": group.name, "runs": ids, "seeds": seeds, "metrics": metrics })
    };
    let all = json!({
        "groups": groups.iter().map(group).collect::<Vec<_>>(),
        "scenario": differences.iter().map(|one| json!({ "key": one.key, "values": one.values })).collect::<Vec<_>>(),
        "comparisons": verdicts.iter().map(Verdict::to_json).collect::<Vec<_>>(),
        "sentences": verdicts.iter().flat_map(Verdict::sentences).collect::<Vec<_>>(),
    });
    serde_json::to_string_pretty(&all).expect("a comparison is JSON") + "\n"
}
