//! Which runs are put together: those that differ in nothing but the seed, or that a sweep calls the same.

use std::collections::BTreeMap;
use std::path::Path;

use cotune_record::{RunDirectory, Status, Summary, run_id};
use cotune_report::format;
use serde_json::Value;

use super::difference::{self, Difference};
use crate::arguments::Compare;
use crate::bounded;
use crate::command::sweep::{Lock, LockedContrast};
use crate::failure::Failure;
use crate::statistics::Mean;
use crate::talk;

/// One run.
pub struct Run {
    pub id: String,
    pub summary: Summary,
    pub lock: Value,
}

/// Runs that are replicates of each other, by seed.
pub struct Group {
    pub name: String,
    /// What a sweep calls it, axis by axis; empty for runs that were named one by one.
    pub labels: Vec<String>,
    pub runs: BTreeMap<u64, Run>,
}

/// Everything that was named.
pub struct Named {
    /// In the order in which they were named, or in which the sweep has them.
    pub groups: Vec<Group>,
    /// What the sweeps among them fixed beforehand.
    pub contrasts: Vec<LockedContrast>,
}

impl Group {
    /// A metric's mean over the seeds.
    pub fn mean(&self, metric: &str) -> Option<Mean> {
        let values: Vec<f64> =
            self.runs.values().filter_map(|run| run.summary.metrics.get(metric).copied()).collect();
        Mean::of(&values)
    }

    /// Adds a run; one of the same seed has to have come to the same.
    fn add(&mut self, run: Run) -> Result<(), Failure> {
        let seed = run.summary.seed;
        match self.runs.get(&seed) {
            Some(other) if other.summary.digest != run.summary.digest => {
                let message =
                    format!("{} and {} have the same scenario and seed, and other digests", other.id, run.id);
                let help = "they were made by other builds, on other devices, or one without learning";
                Err(Failure::wrong(message).help(help))
            }
            Some(_) => Ok(()),
            None => {
                self.runs.insert(seed, run);
                Ok(())
            }
        }
    }
}

/// Reads what was named. Without learning the same scenario measures something else.
pub fn read(typed: &Compare) -> Result<Named, Failure> {
    let (mut groups, mut contrasts, mut count) = (Vec::<Group>::new(), Vec::new(), 0);
    let mut left_out = LeftOut::default();
    for text in &typed.which {
        let folder = Path::new(text);
        if let Some(lock) = Lock::read(folder)? {
            count += read_sweep(folder, &lock, &mut groups, &mut left_out)?;
            contrasts.extend(lock.contrasts);
            continue;
        }
        let directories = match folder.join("points") {
            points if points.is_dir() => run_id::list(&points)?,
            _ => vec![run_id::resolve(&typed.runs, text)?],
        };
        for run in complete(directories, false, &mut left_out)? {
            count += 1;
            let kin = |group: &&mut Group| {
                let first = group.runs.values().next();
                group.labels.is_empty() && first.is_some_and(|other| difference::is_seed_only(other, &run))
            };
            match groups.iter_mut().find(kin) {
                Some(group) => group.add(run)?,
                None => {
                    let runs = BTreeMap::from([(run.summary.seed, run)]);
                    groups.push(Group { name: String::new(), labels: Vec::new(), runs });
                }
            }
        }
    }
    left_out.say();
    if count < 2 {
        let failure = Failure::wrong("a comparison needs two complete runs");
        return Err(failure.help("name two runs, or the folder of a sweep; `cotune runs ls` lists them"));
    }
    let differences = difference::between(&groups);
    for (index, group) in groups.iter_mut().enumerate().filter(|(_, group)| group.labels.is_empty()) {
        group.name = name(index, group, &differences);
    }
    Ok(Named { groups, contrasts })
}

/// Adds a sweep's groups and says how many runs there were.
fn read_sweep(
    folder: &Path,
    lock: &Lock,
    groups: &mut Vec<Group>,
    left_out: &mut LeftOut,
) -> Result<usize, Failure> {
    let (begin, mut count) = (groups.len(), 0);
    for point in &lock.points {
        let directory = RunDirectory::at(folder.join("points").join(&point.id));
        // Not begun yet, or just being begun by another process.
        if !directory.manifest_path().is_file() {
            continue;
        }
        for run in complete(vec![directory], !lock.rungs.is_empty(), left_out)? {
            count += 1;
            match groups[begin..].iter_mut().find(|group| group.labels == point.labels) {
                Some(group) => group.add(run)?,
                None => {
                    let runs = BTreeMap::from([(run.summary.seed, run)]);
                    let values = lock.axes.iter().zip(&point.labels);
                    let name = values.map(|(key, label)| value_name(key, label)).collect::<Vec<_>>();
                    groups.push(Group { name: name.join(", "), labels: point.labels.clone(), runs });
                }
            }
        }
    }
    Ok(count)
}

/// Runs that are not complete, by why.
#[derive(Default)]
struct LeftOut(BTreeMap<&'static str, Vec<String>>);

impl LeftOut {
    /// Keeps a run in mind. Halving leaves most of its points before their end.
    fn push(&mut self, directory: &RunDirectory, status: Status, is_halved: bool) {
        let why = match status {
            Status::Interrupted if is_halved => "stopped early by halving",
            other => other.name(),
        };
        self.0.entry(why).or_default().push(directory.id());
    }

    /// A sentence for every reason.
    fn say(&self) {
        for (why, ids) in &self.0 {
            talk::Talk::default().say(sentence(why, ids));
        }
    }
}

/// Few runs are named, many are counted.
fn sentence(why: &str, ids: &[String]) -> String {
    match ids {
        few if few.len() <= 3 => format!("left out: {} ({why})", few.join(", ")),
        many => format!("left out: {} ({why})", format::plural(many.len(), "run")),
    }
}

/// The complete ones of some runs; the others are left out.
fn complete(
    directories: Vec<RunDirectory>,
    is_halved: bool,
    left_out: &mut LeftOut,
) -> Result<Vec<Run>, Failure> {
    let mut runs = Vec::new();
    for directory in directories {
        match directory.manifest()?.status {
            Status::Complete => runs.push(run(&directory)?),
            status => left_out.push(&directory, status, is_halved),
        }
    }
    Ok(runs)
}

fn run(directory: &RunDirectory) -> Result<Run, Failure> {
    let path = directory.lock_path();
    let text = bounded::read_to_string(&path).map_err(|error| Failure::file("read", &path, error))?;
    let damaged = |error| Failure::wrong(format!("{} is damaged: {error}", path.display()));
    let mut lock: Value = serde_json::from_str(&text).map_err(damaged)?;
    if let Some(keys) = lock.as_object_mut() {
        // Neither is part of what is simulated.
        keys.remove("name");
        keys.remove("simulation");
    }
    Ok(Run { id: directory.id(), summary: directory.summary()?, lock })
}

/// A group of runs that were named one by one is called by what sets it apart if that is one word, or else by its number.
fn name(index: usize, group: &Group, differences: &[Difference]) -> String {
    let method = || group.runs.values().next().map_or("", |run| run.summary.method.as_str());
    match differences {
        [] => method().to_owned(),
        [only] if only.values[index].len() <= 24 => value_name(&only.key, &only.values[index]),
        _ => format!("{} {}", method(), index + 1),
    }
}

/// A value as one speaks of it: `fedavg` says what it is, `6` does not, and is `cohort 6`.
fn value_name(key: &str, value: &str) -> String {
    match value.parse::<f64>() {
        Ok(_) => format!("{} {value}", key.rsplit('.').next().unwrap_or(key)),
        Err(_) => value.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::{sentence, value_name};

    #[test]
    fn a_number_alone_is_no_name() {
        assert_eq!(value_name("coordination.sync.cohort", "6"), "cohort 6");
        assert_eq!(value_name("method", "fedavg"), "fedavg");
    }

    #[test]
    fn what_is_left_out_is_one_sentence_for_each_reason() {
        let ids = |count: usize| (0..count).map(|id| format!("run-{id}")).collect::<Vec<_>>();
        assert_eq!(sentence("failed", &ids(1)), "left out: run-0 (failed)");
        assert_eq!(sentence("running", &ids(2)), "left out: run-0, run-1 (running)");
        let halved = sentence("stopped early by halving", &ids(12));
        assert_eq!(halved, "left out: 12 runs (stopped early by halving)");
    }
}
