//! `run.json`: what a run was made with, and how far it came. Nothing in it enters a digest.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;

/// Version of the run directory's format.
pub const FORMAT: u32 = 1;

/// How far a run came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// Work is going on, or the process died without a word.
    Running,
    /// It reached the end of its budget.
    Complete,
    /// It was cut and can be resumed.
    Interrupted,
    /// It stopped on an error.
    Failed,
}

impl Status {
    /// The name in files and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Complete => "complete",
            Self::Interrupted => "interrupted",
            Self::Failed => "failed",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.pad(self.name())
    }
}

/// The content of `run.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`FORMAT`].
    pub format: u32,
    /// How far the run came.
    pub status: Status,
    /// Name of the scenario, or what `--name` said.
    pub name: String,
    /// Seed of every random stream.
    pub seed: u64,
    /// BLAKE3 of the resolved scenario.
    pub scenario_digest: Digest,
    /// Version of cotune.
    pub version: String,
    /// Commit it was built from; empty if unknown.
    pub commit: String,
    /// Operating system and architecture, `linux-x86_64`.
    pub platform: String,
    /// CPU features that decide how floats are summed, `avx2`, `fma`, ….
    pub cpu_features: Vec<String>,
    /// What trained, `cpu` or a graphics adapter's name.
    pub device: String,
    /// Threads of the job pool.
    pub threads: u32,
    /// Whether anything was learned.
    #[serde(default = "learned")]
    pub train: bool,
    /// Whether equal work of several devices was computed as one batch.
    #[serde(default)]
    pub stacks: bool,
    /// The folder that the scenario's paths are relative to; absolute, empty if unknown.
    #[serde(default)]
    pub scenario_dir: String,
    /// What `data:` stood for; absolute, empty if unknown.
    #[serde(default)]
    pub data_dir: String,
    /// How a device's round was made worth what it is under other methods, in words; empty if unknown.
    #[serde(default)]
    pub matched: String,
    /// The command line that repeats the run.
    pub command: String,
    /// When it began \[ms since 1970, UTC\].
    pub started_unix_ms: u64,
    /// What the check of the scenario warned of; it enters the summary.
    #[serde(default)]
    pub doubts: Vec<String>,
    /// What a person should know about the machine, the device or a resume.
    pub warnings: Vec<String>,
}

/// What holds for the manifests of versions that did not say.
fn learned() -> bool {
    true
}
