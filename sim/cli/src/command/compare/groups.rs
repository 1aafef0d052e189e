//! Which runs are put together: those that differ in nothing but the seed, or that a sweep calls the same.

use std::collections::BTreeMap;
use std::path::Path;

use cotune_record::{RunDirectory, Status, Summary, run_id};
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
    for text in &typed.which {
        let folder = Path::new(text);
        if let Some(lock) = Lock::read(folder)? {
            count += read_sweep(folder, &lock, &mut groups)?;
            contrasts.extend(lock.contrasts);
            continue;
        }
        let directories = match folder.join("points") {
            points if points.is_dir() => run_id::list(&points)?,
            _ => vec![run_id::resolve(&typed.runs, text)?],
        };
        for run in complete(directories)? {
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
    if count < 2 {
        let failure = Failure::wrong("a comparison needs two complete runs");
        return Err(failure.help("name two runs, or the folder of a sweep; `cotune runs ls` lists them"));
    }
    let differences = difference::between(&groups);
    for (index, group) in groups.iter_mut().enumerate() {
        group.name = name(index, group, &differences);
    }
    Ok(Named { groups, contrasts })
}

/// Adds a sweep's groups and says how many runs there were.
fn read_sweep(folder: &Path, lock: &Lock, groups: &mut Vec<Group>) -> Result<usize, Failure> {
    let (begin, mut count) = (groups.len(), 0);
    for point in &lock.points {
        let directory = RunDirectory::at(folder.join("points").join(&point.id));
        // Not begun yet, or just being begun by another process.
        if !directory.manifest_path().is_file() {
            continue;
        }
        for run in complete(vec![directory])? {
            count += 1;
            match groups[begin..].iter_mut().find(|group| group.labels == point.labels) {
                Some(group) => group.add(run)?,
                None => {
                    let runs = BTreeMap::from([(run.summary.seed, run)]);
                    groups.push(Group { name: String::new(), labels: point.labels.clone(), runs });
                }
            }
        }
    }
    Ok(count)
}

/// The complete ones of some runs; the others are named and left out.
fn complete(directories: Vec<RunDirectory>) -> Result<Vec<Run>, Failure> {
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

/// A group is called as its sweep calls it, or by what sets it apart if that is one word, or else by its number.
fn name(index: usize, group: &Group, differences: &[Difference]) -> String {
    let method = || group.runs.values().next().map_or("", |run| run.summary.method.as_str());
    match differences {
        _ if !group.labels.is_empty() => group.labels.join(", "),
        [] => method().to_owned(),
        [only] if only.values[index].len() <= 24 => only.values[index].clone(),
        _ => format!("{} {}", method(), index + 1),
    }
}
