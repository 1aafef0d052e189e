//! `checkpoints/`: where a run that was cut goes on.
//!
//! A checkpoint is two frames of the kernel's codec in one file: a [`Header`] that any version can read, and where the log
//! ends with what the simulation was there. It is written beside its place, forced to the disk and then renamed, so a file of
//! this name is whole or, if the disk lies, fails its checksum. The last two are kept: if the newest is damaged, the one
//! before it costs a few rounds of work and no more.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use cotune_kernel::bounded;
use cotune_kernel::codec::{self, CodecError};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::log::LogPosition;
use crate::run_directory::{RunDirectory, replace, sync_folder};

/// Version of a checkpoint's content. It goes up whenever anything in a simulation's state changes its form.
pub const CHECKPOINT_FORMAT: u32 = 3;

/// Checkpoints that are kept.
const KEPT: usize = 2;

/// Frame kinds of a checkpoint's two parts.
const HEADER_KIND: u16 = 2;
const STATE_KIND: u16 = 3;

/// The largest header \[B\] (chosen: a hundred times what one needs).
const HEADER_LIMIT: u64 = 1 << 16;

const EXTENSION: &str = "checkpoint";

/// Who wrote a checkpoint, and of what. Fields are only ever added at its end, and a reader passes over those that it does not
/// know: a checkpoint of a newer version still says which that is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// [`CHECKPOINT_FORMAT`] of the writer.
    pub format: u32,
    /// Version of cotune that wrote it.
    pub version: String,
    /// Commit that it was built from; empty if unknown.
    pub commit: String,
    /// BLAKE3 of the resolved scenario.
    pub scenario_digest: Digest,
    /// Events before it.
    pub events: u64,
    /// Wall-clock time that the run had taken \[s\].
    pub seconds: f64,
}

/// A checkpoint as it was read.
#[derive(Clone, Debug)]
pub struct Checkpoint<T> {
    /// Who wrote it.
    pub header: Header,
    /// Where the log is to be cut.
    pub position: LogPosition,
    /// The simulation.
    pub state: T,
}

/// Why a checkpoint cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The file system refuses.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The bytes are not those that were written.
    #[error("the checkpoint {path} is damaged: {source}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: CodecError,
    },
    /// It is whole, and this build cannot read it.
    #[error(
        "the checkpoint {path} was written by cotune {version}{} in checkpoint format {format}; this build reads format {CHECKPOINT_FORMAT}: resume with that version, or run the scenario anew",
        built(commit)
    )]
    Incompatible {
        /// The file.
        path: PathBuf,
        /// Version that wrote it.
        version: String,
        /// Commit that wrote it.
        commit: String,
        /// Its format.
        format: u32,
    },
    /// It belongs to another run.
    #[error("the checkpoint {path} is of another scenario: its digest is {found}, the run's is {expected}")]
    OtherScenario {
        /// The file.
        path: PathBuf,
        /// The scenario it was written for.
        found: Digest,
        /// The scenario of the run.
        expected: Digest,
    },
}

impl CheckpointError {
    /// Whether an older checkpoint of the same run may still be good.
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Damaged { .. })
    }
}

fn built(commit: &str) -> String {
    if commit.is_empty() { String::new() } else { format!(" (commit {commit})") }
}

/// The checkpoints of one run.
#[derive(Clone, Debug)]
pub struct Checkpoints {
    folder: PathBuf,
}

impl Checkpoints {
    /// Those in a run's folder.
    pub fn of(directory: &RunDirectory) -> Self {
        Self { folder: directory.path().join("checkpoints") }
    }

    /// Writes one, waits for the disk, and removes all but the last two.
    ///
    /// # Errors
    /// The disk refuses; those that were there are still there.
    pub fn write<T: Serialize>(
        &self,
        header: &Header,
        position: &LogPosition,
        state: &T,
    ) -> Result<(), CheckpointError> {
        let path = self.folder.join(format!("{:012}.{EXTENSION}", header.events));
        let failed = |action, path: &Path, source| CheckpointError::Io { action, path: path.into(), source };
        let encoded = codec::encode(HEADER_KIND, header).and_then(|mut bytes| {
            bytes.extend(codec::encode(STATE_KIND, &(position, state))?);
            Ok(bytes)
        });
        let bytes = encoded.map_err(|error| failed("write", &path, io::Error::other(error)))?;
        self.make_folder().map_err(|error| failed("create", &self.folder, error))?;
        replace(&path, &bytes, true).map_err(|error| failed("write", &path, error))?;
        for old in self.newest_first()?.into_iter().skip(KEPT) {
            fs::remove_file(&old).map_err(|error| failed("remove", &old, error))?;
        }
        Ok(())
    }

    /// The folder, its name on the disk as well.
    fn make_folder(&self) -> io::Result<()> {
        if self.folder.is_dir() {
            return Ok(());
        }
        fs::create_dir_all(&self.folder)?;
        self.folder.parent().map_or(Ok(()), sync_folder)
    }

    /// The files, the newest first; none if there is no folder.
    ///
    /// # Errors
    /// The folder cannot be listed.
    pub fn newest_first(&self) -> Result<Vec<PathBuf>, CheckpointError> {
        let failed = |source| CheckpointError::Io { action: "list", path: self.folder.clone(), source };
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed(error)),
        };
        let mut found = Vec::new();
        for entry in entries {
            let path = entry.map_err(failed)?.path();
            let events = path.file_stem().and_then(|stem| stem.to_str()?.parse::<u64>().ok());
            if let Some(events) = events.filter(|_| path.extension().is_some_and(|end| end == EXTENSION)) {
                found.push((events, path));
            }
        }
        found.sort();
        Ok(found.into_iter().rev().map(|(_, path)| path).collect())
    }

    /// Removes them all: the run is complete.
    ///
    /// # Errors
    /// The file system refuses.
    pub fn clear(&self) -> Result<(), CheckpointError> {
        match fs::remove_dir_all(&self.folder) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(CheckpointError::Io { action: "remove", path: self.folder.clone(), source })
            }
            _ => Ok(()),
        }
    }
}

/// Reads one of a run of `scenario`.
///
/// # Errors
/// It is damaged, of another version or of another run.
pub fn read<T: DeserializeOwned>(path: &Path, scenario: Digest) -> Result<Checkpoint<T>, CheckpointError> {
    let path = path.to_owned();
    // Its own length bounds what is read and what may be allocated for it: how large a simulation is, nobody else can say.
    let whole = fs::metadata(&path).and_then(|file| bounded::bytes(&path, file.len()));
    let bytes = match whole {
        Ok(bytes) => bytes,
        Err(source) => return Err(CheckpointError::Io { action: "read", path, source }),
    };
    let opened = codec::read_frame(&bytes, HEADER_LIMIT)
        .and_then(|(frame, rest)| Ok((frame.beginning::<Header>(HEADER_KIND)?, rest)));
    let (header, rest) = match opened {
        Ok(opened) => opened,
        Err(source) => return Err(CheckpointError::Damaged { path, source }),
    };
    if header.format != CHECKPOINT_FORMAT {
        let Header { version, commit, format, .. } = header;
        return Err(CheckpointError::Incompatible { path, version, commit, format });
    }
    if header.scenario_digest != scenario {
        let (found, expected) = (header.scenario_digest, scenario);
        return Err(CheckpointError::OtherScenario { path, found, expected });
    }
    match codec::decode_limited(STATE_KIND, rest, rest.len() as u64) {
        Ok((position, state)) => Ok(Checkpoint { header, position, state }),
        Err(source) => Err(CheckpointError::Damaged { path, source }),
    }
}
