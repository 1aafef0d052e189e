//! `sweep.lock.json`: what a sweep's file came to, for whoever reads its folder later.

use std::path::Path;

use cotune_scenario::Sweep as Written;
use cotune_scenario::sweep::Goal;
use serde::{Deserialize, Serialize};

use super::points::Planned;
use crate::arguments::Sweep;
use crate::bounded;
use crate::failure::Failure;
use crate::repeat::quoted;

/// The file's name in the sweep's folder.
const FILE: &str = "sweep.lock.json";

/// A sweep, expanded.
#[derive(Debug, Serialize, Deserialize)]
pub struct Lock {
    /// What it is called.
    pub name: String,
    /// The command that makes it again.
    #[serde(default)]
    pub command: String,
    /// The metric that it is about, if it says so.
    #[serde(default)]
    pub goal: Option<String>,
    /// Whether the goal is a small value.
    #[serde(default)]
    pub minimize: bool,
    /// The dotted paths that vary.
    pub axes: Vec<String>,
    /// Every run, in the order of the file.
    pub points: Vec<LockedPoint>,
    /// Differences that were fixed beforehand.
    pub contrasts: Vec<LockedContrast>,
    /// The rungs of successive halving, the first as far as the sweep has climbed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rungs: Vec<LockedRung>,
}

/// Combinations that are judged after the same number of rounds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LockedRung {
    /// The round after which they are judged.
    pub round: u32,
    /// How many come here.
    pub combinations: usize,
    /// How they stand, the best first; empty until all of them are here.
    #[serde(default)]
    pub standings: Vec<Standing>,
}

/// A combination on a rung.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Standing {
    /// The label of every axis.
    pub labels: Vec<String>,
    /// Mean of the goal over its seeds; none if a run failed or diverged.
    pub mean: Option<f64>,
    /// Half of its 95 % interval; none of one seed.
    pub half_width: Option<f64>,
    /// Seeds.
    pub n: usize,
    /// Whether it goes on to the next rung.
    pub goes_on: bool,
}

/// The round after which a combination was stopped, if it was.
pub fn stopped_after(rungs: &[LockedRung], labels: &[String]) -> Option<u32> {
    let (_, early) = rungs.split_last()?;
    let is_it = |standing: &&Standing| standing.labels == labels;
    let stopped = |rung: &&LockedRung| rung.standings.iter().find(is_it).is_some_and(|one| !one.goes_on);
    early.iter().find(stopped).map(|rung| rung.round)
}

/// One run of it.
#[derive(Debug, Serialize, Deserialize)]
pub struct LockedPoint {
    /// Its folder under `points/`: sixteen digits of the scenario's digest.
    pub id: String,
    /// The label of every axis.
    pub labels: Vec<String>,
    /// The seed, if the sweep names seeds.
    pub seed: Option<u64>,
}

/// A difference that is looked at whatever the table shows.
#[derive(Debug, Serialize, Deserialize)]
pub struct LockedContrast {
    /// What it is called.
    pub name: String,
    /// The label of the points that are held against others.
    pub of: String,
    /// The labels of those others; of several the best, metric by metric.
    pub against: Vec<String>,
}

impl Lock {
    /// Of a sweep and its points.
    pub fn new(typed: &Sweep, written: &Written, planned: &[Planned]) -> Self {
        let mut command = format!("cotune sweep {}", quoted(&typed.file.display().to_string()));
        for (said, flag) in [(typed.smoke, " --smoke"), (typed.no_train, " --no-train")] {
            command.push_str(if said { flag } else { "" });
        }
        let point =
            |point: &Planned| LockedPoint { id: point.id(), labels: point.labels(), seed: point.point.seed };
        let contrast = |one: &cotune_scenario::sweep::Contrast| LockedContrast {
            name: one.name.clone(),
            of: one.of.clone(),
            against: one.against.clone(),
        };
        Self {
            name: written.name.clone(),
            command,
            goal: written.goal.as_ref().map(|goal| goal.metric().to_owned()),
            minimize: matches!(written.goal, Some(Goal::Minimize(_))),
            axes: written.axis_keys().into_iter().map(str::to_owned).collect(),
            points: planned.iter().map(point).collect(),
            contrasts: written.contrasts.iter().map(contrast).collect(),
            rungs: Vec::new(),
        }
    }

    /// Writes it into a sweep's folder.
    pub fn write(&self, folder: &Path) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(self).expect("a sweep is JSON") + "\n";
        super::write(&folder.join(FILE), text.as_bytes())
    }

    /// Reads it from a folder; none if the folder is no sweep's.
    pub fn read(folder: &Path) -> Result<Option<Self>, Failure> {
        let path = folder.join(FILE);
        if !path.is_file() {
            return Ok(None);
        }
        let text = bounded::read_to_string(&path).map_err(|error| Failure::file("read", &path, error))?;
        let damaged = |error: String| Failure::wrong(format!("{} is damaged: {error}", path.display()));
        let lock: Self = serde_json::from_str(&text).map_err(|error| damaged(error.to_string()))?;
        // The folder may come from anyone, and an id is a folder's name.
        match lock.points.iter().find(|point| !is_id(&point.id)) {
            Some(point) => Err(damaged(format!("`{}` is not sixteen digits of a digest", point.id))),
            None => Ok(Some(lock)),
        }
    }
}

/// Whether a text is sixteen digits of a digest.
fn is_id(text: &str) -> bool {
    text.len() == 16 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}
