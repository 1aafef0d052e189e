//! `events.jsonl.zst`: the event stream on disk, one JSON line per event, one zstd frame per checkpoint.
//!
//! The file only grows. A checkpoint remembers a [`LogPosition`]; resuming cuts the file back to it. Frames are
//! independent, so `zstdcat` reads the whole file and a torn last frame costs only what came after the last
//! flush.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Seek, SeekFrom, Take, Write};
use std::path::{Path, PathBuf};

use cotune_kernel::bounded;
use serde::{Deserialize, Serialize};
use zstd::stream::{read, write};

use crate::digest::EventDigest;
use crate::event::Event;

/// The longest line that is written or read \[B\] (chosen: an invitation of some thirty million devices, the longest event there
/// is). A few bytes of a compressed log can stand for a line without an end.
const LONGEST_LINE: u64 = 256 << 20;

/// How much of a log a byte of its file can stand for (chosen: ten times and more what events come to).
const BYTES_PER_BYTE: u64 = 1_000;

/// What can go wrong with an event log.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The file could not be opened or created.
    #[error("cannot open the event log {path}")]
    Open {
        /// The log.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// An event could not be written.
    #[error("cannot write event {event} to {path}")]
    Write {
        /// The log.
        path: PathBuf,
        /// Which event, from 1.
        event: u64,
        /// Why.
        source: io::Error,
    },
    /// The file is shorter than a checkpoint says.
    #[error("{path} has {found} bytes, but the checkpoint was made at {needed}: the log was cut or replaced")]
    ShorterThanCheckpoint {
        /// The log.
        path: PathBuf,
        /// Its length \[B\].
        found: u64,
        /// The checkpoint's position \[B\].
        needed: u64,
    },
    /// The compressed stream is damaged.
    #[error("{path} is damaged after line {line}")]
    Damaged {
        /// The log.
        path: PathBuf,
        /// The last whole line before the damage.
        line: u64,
        /// What the decompressor says.
        source: io::Error,
    },
    /// A line is no event.
    #[error("line {line} of {path} is not an event: {source}")]
    NotAnEvent {
        /// The log.
        path: PathBuf,
        /// Line number in the decompressed stream, from 1.
        line: u64,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

impl LogError {
    /// Whether the log is not what was written, or not there. Anything else is the system's trouble, and says nothing of what
    /// is in the log.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Open { source, .. } => source.kind() == io::ErrorKind::NotFound,
            Self::Write { .. } => false,
            // A decompressor's complaint has no number of the system's.
            Self::Damaged { source, .. } => source.raw_os_error().is_none(),
            Self::ShorterThanCheckpoint { .. } | Self::NotAnEvent { .. } => true,
        }
    }
}

/// A place where a log can be cut and continued: the end of a frame, and the digests up to there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogPosition {
    /// Length of the compressed file \[B\].
    pub bytes: u64,
    /// The digests of every event before it.
    pub digest: EventDigest,
}

/// Appends events to a log and rolls their digests.
pub struct EventWriter {
    path: PathBuf,
    state: State,
    digest: EventDigest,
    line: Vec<u8>,
}

/// Between frames, inside one, or after an error that left the file in an unknown state.
enum State {
    Between(BufWriter<File>),
    Inside(write::Encoder<'static, BufWriter<File>>),
    Broken,
}

impl EventWriter {
    /// Begins a new log; the file must not exist.
    pub fn create(path: &Path) -> Result<Self, LogError> {
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(path)
            .map_err(|source| LogError::Open { path: path.to_owned(), source })?;
        Ok(Self::over(file, path, EventDigest::new()))
    }

    /// Continues a log from a checkpoint: whatever was written after it is cut off.
    pub fn resume(path: &Path, position: &LogPosition) -> Result<Self, LogError> {
        let open = |source| LogError::Open { path: path.to_owned(), source };
        let mut file = OpenOptions::new().write(true).open(path).map_err(open)?;
        let found = file.metadata().map_err(open)?.len();
        if found < position.bytes {
            let (path, needed) = (path.to_owned(), position.bytes);
            return Err(LogError::ShorterThanCheckpoint { path, found, needed });
        }
        file.set_len(position.bytes).map_err(open)?;
        file.seek(SeekFrom::End(0)).map_err(open)?;
        Ok(Self::over(file, path, position.digest.clone()))
    }

    fn over(file: File, path: &Path, digest: EventDigest) -> Self {
        let state = State::Between(BufWriter::with_capacity(1 << 16, file));
        Self { path: path.to_owned(), state, digest, line: Vec::with_capacity(512) }
    }

    /// Records one event.
    pub fn append(&mut self, event: &Event) -> Result<(), LogError> {
        self.line.clear();
        event.encode_into(&mut self.line);
        self.digest.push_encoded(event, &self.line);
        self.line.push(b'\n');
        if self.line.len() as u64 >= LONGEST_LINE {
            // Nobody could read the log behind it.
            let source =
                io::Error::new(io::ErrorKind::FileTooLarge, "it invites more devices than one line can name");
            return Err(self.write_error(source));
        }
        let written = match self.encoder() {
            Ok(mut encoder) => {
                let written = encoder.write_all(&self.line);
                self.state = State::Inside(encoder);
                written
            }
            Err(error) => Err(error),
        };
        written.map_err(|source| self.write_error(source))
    }

    /// Makes everything recorded so far readable by others, inside the open frame.
    pub fn flush(&mut self) -> Result<(), LogError> {
        let flushed = match &mut self.state {
            State::Between(file) => file.flush(),
            State::Inside(encoder) => encoder.flush(),
            State::Broken => Err(broken()),
        };
        flushed.map_err(|source| self.write_error(source))
    }

    /// Ends the frame and forces it to the disk: a run cut at any later moment can continue from here.
    pub fn checkpoint(&mut self) -> Result<LogPosition, LogError> {
        let bytes = self.end_frame().map_err(|source| self.write_error(source))?;
        Ok(LogPosition { bytes, digest: self.digest.clone() })
    }

    /// Ends the log.
    pub fn finish(mut self) -> Result<EventDigest, LogError> {
        self.checkpoint().map(|position| position.digest)
    }

    /// The digests of everything recorded so far.
    pub fn digest(&self) -> &EventDigest {
        &self.digest
    }

    fn encoder(&mut self) -> io::Result<write::Encoder<'static, BufWriter<File>>> {
        match std::mem::replace(&mut self.state, State::Broken) {
            State::Inside(encoder) => Ok(encoder),
            State::Between(file) => {
                let mut encoder = write::Encoder::new(file, 3)?;
                encoder.include_checksum(true)?;
                Ok(encoder)
            }
            State::Broken => Err(broken()),
        }
    }

    fn end_frame(&mut self) -> io::Result<u64> {
        let mut file = match std::mem::replace(&mut self.state, State::Broken) {
            State::Inside(encoder) => encoder.finish()?,
            State::Between(file) => file,
            State::Broken => return Err(broken()),
        };
        file.flush()?;
        file.get_ref().sync_data()?;
        let metadata = file.get_ref().metadata()?;
        if is_removed(&metadata) {
            return Err(io::Error::new(io::ErrorKind::NotFound, "it was removed while it was written"));
        }
        let bytes = metadata.len();
        self.state = State::Between(file);
        Ok(bytes)
    }

    fn write_error(&self, source: io::Error) -> LogError {
        LogError::Write { path: self.path.clone(), event: self.digest.events(), source }
    }
}

/// Whether an open file has no name any more: what is written to it is lost when it is closed. Where the system does not say,
/// nobody can know.
fn is_removed(metadata: &Metadata) -> bool {
    #[cfg(unix)]
    return std::os::unix::fs::MetadataExt::nlink(metadata) == 0;
    #[cfg(not(unix))]
    return !metadata.is_file();
}

fn broken() -> io::Error {
    io::Error::other("an earlier write failed, so the log cannot be continued")
}

/// Reads a log back, event by event. A torn last frame ends the stream at its last whole line and is reported by
/// [`Self::is_truncated`]; any other damage is an error that names the line.
pub struct EventReader {
    path: PathBuf,
    lines: BufReader<read::Decoder<'static, BufReader<Take<File>>>>,
    line: Vec<u8>,
    /// What may still be read \[B\]: a small file can stand for more events than there is room for.
    left: u64,
    number: u64,
    truncated: bool,
    done: bool,
}

impl EventReader {
    /// Opens a log. What a run writes to it from now on is not read: whoever is slower than the run would never end.
    pub fn open(path: &Path) -> Result<Self, LogError> {
        Self::open_to(path, u64::MAX)
    }

    /// The same of so many bytes of the log only. A frame that they cut is a torn one.
    pub fn open_to(path: &Path, bytes: u64) -> Result<Self, LogError> {
        let failed = |source| LogError::Open { path: path.to_owned(), source };
        // How far it is read depends on its length, whatever that is.
        let file = bounded::open(path, u64::MAX).map_err(failed)?;
        let length = file.metadata().map_err(failed)?.len().min(bytes);
        let decoder = read::Decoder::new(file.take(length)).map_err(failed)?;
        Ok(Self {
            path: path.to_owned(),
            lines: BufReader::with_capacity(1 << 16, decoder),
            line: Vec::with_capacity(512),
            left: length.saturating_mul(BYTES_PER_BYTE).saturating_add(LONGEST_LINE),
            number: 0,
            truncated: false,
            done: length == 0, // no frame at all is no torn frame
        })
    }

    /// Whether the log ended inside a frame or a line: its run was cut, or still goes on.
    pub fn is_truncated(&self) -> bool {
        self.truncated
    }

    /// Whole lines read so far.
    pub fn line(&self) -> u64 {
        self.number
    }

    fn read_event(&mut self) -> Result<Option<Event>, LogError> {
        self.line.clear();
        let damaged = |line, source| LogError::Damaged { path: self.path.clone(), line, source };
        let read = (&mut self.lines).take(LONGEST_LINE).read_until(b'\n', &mut self.line);
        match self.left.checked_sub(self.line.len() as u64) {
            Some(left) => self.left = left,
            None => {
                let source =
                    format!("it grows to more than {BYTES_PER_BYTE} times its size, as no events do");
                return Err(damaged(self.number, io::Error::other(source)));
            }
        }
        match read {
            Ok(0) => return Ok(None),
            Ok(_) if self.line.ends_with(b"\n") => {}
            Ok(read) if read as u64 == LONGEST_LINE => {
                let source = io::Error::other("a line of it is longer than any event");
                return Err(damaged(self.number, source));
            }
            Ok(_) => {
                self.truncated = true;
                return Ok(None);
            }
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                self.truncated = true;
                return Ok(None);
            }
            Err(source) => return Err(damaged(self.number, source)),
        }
        self.number += 1;
        serde_json::from_slice(&self.line).map(Some).map_err(|source| LogError::NotAnEvent {
            path: self.path.clone(),
            line: self.number,
            source,
        })
    }
}

impl Iterator for EventReader {
    type Item = Result<Event, LogError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let event = self.read_event();
        self.done = !matches!(event, Ok(Some(_)));
        event.transpose()
    }
}
