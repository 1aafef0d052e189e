//! Where a scenario's paths lead on this computer.

use std::path::{Path, PathBuf};

/// The folders that a scenario's paths are relative to. Not part of a scenario: results do not depend on them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// The scenario file's folder.
    pub scenario_dir: PathBuf,
    /// What `data:` stands for.
    pub data_dir: PathBuf,
    /// Where bases made by `pretrain:` are kept.
    pub cache_dir: PathBuf,
}

impl Site {
    /// The place a path of the scenario leads to.
    pub fn resolve(&self, path: &str) -> PathBuf {
        self.resolve_from(&self.scenario_dir, path)
    }

    /// The place a path leads to when it is written in a file of `folder`.
    pub(crate) fn resolve_from(&self, folder: &Path, path: &str) -> PathBuf {
        match path.strip_prefix("data:") {
            Some(rest) => self.data_dir.join(rest),
            None => folder.join(path),
        }
    }
}
