//! The sweep language: one scenario, axes along which it varies, and seeds. Expansion is pure.
//!
//! ```toml
//! scenario = "city-clinics.toml"             # relative to this file
//! seeds    = [1, 2, 3]                       # innermost; default: the scenario's own
//! goal     = { maximize = "edge.rouge-l.mean" }
//!
//! [search.grid]                              # or [search.random] with points and seed, or [search.halving]
//!
//! [axes]                                     # a dotted path and its values, whole tables included
//! coordination.sync.cohort = [8, 16]
//! method = ["zero-shot", { fedavg = { on = "proxy" } }]
//!
//! [[together]]                               # lists of one length, walked side by side
//! models.proxy.base = ["zoo:dpm-small", "zoo:dpm"]
//! cloud.compute     = ["20GFLOP/s", "40GFLOP/s"]
//!
//! [[skip]]                                   # points that have all of these; a list means any of its values
//! method = "zero-shot"
//! coordination.sync.cohort = 16
//!
//! [set]                                      # of every point, before the axes
//! budget.rounds = 4
//!
//! [labels]                                   # names of an axis's values; default: the choice, or the value
//! method = ["untrained", "averaged proxy"]
//!
//! [[replicate]]                              # more seeds, and what comes along: still the same points
//! seeds = [4, 5, 6]
//! [replicate.set]
//! models.cloud.base = "pretrain:other-llm.toml"
//!
//! [[contrast]]                               # what `compare` says first, fixed before anything ran
//! name    = "averaging over nothing"
//! of      = "averaged proxy"
//! against = ["untrained"]                    # of several the best, metric by metric
//! ```
//!
//! Values are laid over the scenario as a file that `extends` it would be: tables merge, choices replace whole.

mod expand;
mod halving;
mod read;
mod study;
mod value;

use std::sync::Arc;

pub(crate) use read::read;

use serde::Serialize;

use crate::codes;
use crate::diagnostic::Diagnostic;
use crate::node::{Node, Place, SourceText, Table};
use crate::overrides::set;

pub use halving::{Draw, Halving, Resource, Rung};
pub use study::{Contrast, Replicate};

/// More combinations than this are not even counted out (chosen: a day of runs of a tenth of a second).
pub const MOST_COMBINATIONS: usize = 1_000_000;

/// A valid sweep.
#[derive(Clone, Debug)]
pub struct Sweep {
    /// What the sweep is called: part of its folder's name. Default: the file's name without its extension.
    pub name: String,
    /// The scenario's path as written, relative to the sweep's file.
    pub scenario: String,
    /// Seeds of every combination, with what comes along; no seed: the scenario's own.
    pub replicates: Vec<Replicate>,
    /// What the table is sorted by, if anything.
    pub goal: Option<Goal>,
    /// Which combinations are run.
    pub search: Search,
    /// What bounds the work.
    pub limits: Limits,
    /// Differences that were fixed beforehand.
    pub contrasts: Vec<Contrast>,
    /// Of every point, before the axes.
    set: Vec<Assignment>,
    /// Dimensions of the grid: `[axes]`, then `[[together]]`.
    axes: Vec<Axis>,
    /// What to leave out.
    skips: Vec<Skip>,
}

/// The metric that a sweep is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Goal {
    /// The larger the better.
    Maximize(String),
    /// The smaller the better.
    Minimize(String),
}

impl Goal {
    /// The metric's name.
    pub fn metric(&self) -> &str {
        match self {
            Self::Maximize(metric) | Self::Minimize(metric) => metric,
        }
    }
}

/// Which combinations of the axes are run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Search {
    /// All.
    Grid,
    /// Some, drawn without replacement.
    Random(Draw),
    /// All or some, of which the best part goes on from rung to rung.
    Halving(Halving),
}

/// `[limits]`: what bounds the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Points at once; none: one.
    pub jobs: Option<usize>,
    /// A sweep of more runs is refused. Default: 200 (chosen: a night of one-minute runs).
    pub runs: usize,
    /// How often a failed point is tried again at once. Default: 0.
    pub retries: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { jobs: None, runs: 200, retries: 0 }
    }
}

/// One value at one place of a scenario.
#[derive(Clone, Debug)]
pub struct Assignment {
    /// The dotted path.
    pub key: String,
    /// The value in a few words: `fedavg`, `16`.
    pub label: String,
    /// The value as TOML on one line, as `--set` takes it.
    pub toml: String,
    path: Vec<String>,
    node: Node,
    key_at: Option<Place>,
}

/// One run of a sweep.
#[derive(Clone, Debug)]
pub struct Point {
    /// Number of its combination: points that differ in seed only share it.
    pub combination: usize,
    /// What the axes say, in their order.
    pub axes: Vec<Assignment>,
    /// The seed, if the sweep names seeds.
    pub seed: Option<u64>,
    /// Everything to change: `[set]`, what comes along with the seed, the axes, the seed.
    pub assignments: Vec<Assignment>,
}

/// One dimension: what is assigned at each of its steps, usually one value.
#[derive(Clone, Debug)]
struct Axis {
    steps: Vec<Vec<Assignment>>,
}

/// Points to leave out: those with any of the values at every path.
#[derive(Clone, Debug)]
struct Skip {
    conditions: Vec<(String, Vec<Node>)>,
}

impl Assignment {
    pub(crate) fn apply(&self, root: &mut Table) -> Result<(), Diagnostic> {
        let nowhere = || SourceText { name: "seeds".to_owned(), text: String::new() };
        let key_at = self.key_at.clone();
        let key_at = key_at.unwrap_or_else(|| Place { source: Arc::new(nowhere()), range: 0..0 });
        set(root, &self.path, self.node.clone(), key_at).map_err(|reason| {
            let error = Diagnostic::new(codes::OVERRIDE, format!("`{}` cannot be set", self.key));
            error.label(self.key_at.clone(), reason)
        })
    }
}

impl Sweep {
    /// The dotted paths that vary, seeds aside, in the order of [`Point::axes`].
    pub fn axis_keys(&self) -> Vec<&str> {
        let first = self.axes.iter().filter_map(|axis| axis.steps.first());
        first.flatten().map(|assigned| assigned.key.as_str()).collect()
    }

    /// How many combinations go on when, where that is how they are searched.
    pub fn halving(&self) -> Option<Halving> {
        match self.search {
            Search::Halving(halving) => Some(halving),
            Search::Grid | Search::Random(_) => None,
        }
    }

    /// What `[set]` says, in its order.
    pub fn set(&self) -> &[Assignment] {
        &self.set
    }
}
