//! Which run a person means: an id, the beginning of one, a path, or `latest`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::run_directory::RunDirectory;

/// Why a run was not found.
#[derive(Debug, thiserror::Error)]
pub enum RunIdError {
    /// The folder of runs cannot be listed.
    #[error("cannot list the runs in {runs}")]
    List {
        /// The folder.
        runs: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// There is no run at all.
    #[error("there are no runs in {runs}: start one with `cotune run`, or name another folder with --runs")]
    Empty {
        /// The folder.
        runs: PathBuf,
    },
    /// A path that holds no `run.json`.
    #[error("{path} is not a run: it holds no run.json")]
    NotARun {
        /// The path.
        path: PathBuf,
    },
    /// No id begins so.
    #[error("no run in {runs} begins with `{text}`; the latest is {latest}")]
    Unknown {
        /// What was asked for.
        text: String,
        /// The folder.
        runs: PathBuf,
        /// The id of the latest run.
        latest: String,
    },
    /// Several ids begin so.
    #[error("`{text}` is the beginning of {} runs: {}", candidates.len(), candidates.join(", "))]
    Ambiguous {
        /// What was asked for.
        text: String,
        /// Their ids.
        candidates: Vec<String>,
    },
}

/// All runs in a folder, oldest first; a folder that does not exist holds none.
pub fn list(runs: &Path) -> Result<Vec<RunDirectory>, RunIdError> {
    let failed = |source| RunIdError::List { runs: runs.to_owned(), source };
    let entries = match fs::read_dir(runs) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let directory = RunDirectory::at(entry.map_err(failed)?.path());
        if directory.manifest_path().is_file() {
            found.push(directory);
        }
    }
    found.sort_by_cached_key(|directory| {
        let id = directory.id();
        let minute: String = id.chars().take(13).collect();
        (minute, directory.manifest().map_or(0, |manifest| manifest.started_unix_ms), id)
    });
    Ok(found)
}

/// Finds the run that `text` names: `latest`, a path (anything with a separator, or `.`), an id in `runs`, or
/// the beginning of exactly one id.
pub fn resolve(runs: &Path, text: &str) -> Result<RunDirectory, RunIdError> {
    if text == "." || text == ".." || text.contains(['/', std::path::MAIN_SEPARATOR]) {
        let directory = RunDirectory::at(text.trim_end_matches('/'));
        if directory.manifest_path().is_file() {
            return Ok(directory);
        }
        return Err(RunIdError::NotARun { path: text.into() });
    }
    let all = list(runs)?;
    let Some(latest) = all.last() else {
        return Err(RunIdError::Empty { runs: runs.to_owned() });
    };
    if text == "latest" {
        return Ok(latest.clone());
    }
    let mut matching: Vec<&RunDirectory> = Vec::new();
    for directory in &all {
        if directory.id() == text {
            return Ok(directory.clone());
        }
        if directory.id().starts_with(text) {
            matching.push(directory);
        }
    }
    match matching[..] {
        [] => Err(RunIdError::Unknown { text: text.into(), runs: runs.to_owned(), latest: latest.id() }),
        [only] => Ok(only.clone()),
        _ => {
            let candidates = matching.iter().map(|directory| directory.id()).collect();
            Err(RunIdError::Ambiguous { text: text.into(), candidates })
        }
    }
}
