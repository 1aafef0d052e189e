//! Writing down what happens: the log, the tables and the progress of one run, fed by one sink.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use cotune_record::{Event, EventDigest, EventWriter, Tables, Tabulator};

use crate::failure::Failure;
use crate::machine;
use crate::progress::Progress;

/// How long events may wait in memory \[s\]: what a killed process can lose.
const FLUSH_EVERY: Duration = Duration::from_secs(2);

/// The recorder of one run. The simulation holds its sink; what it wrote is taken out at the end.
#[derive(Clone)]
pub struct Recorder(Arc<Mutex<Recording>>);

struct Recording {
    log: EventWriter,
    tables: Tabulator,
    progress: Progress,
    flushed: Instant,
    trouble: Option<Failure>,
}

/// What was written down.
pub struct Recorded {
    /// Every row; `None` if nothing happened at all.
    pub tables: Option<Tables>,
    /// Of all events.
    pub digest: EventDigest,
    /// Why recording ended early, if it did.
    pub trouble: Option<Failure>,
}

impl Recorder {
    /// Begins a log at `path`.
    ///
    /// # Errors
    /// The log cannot be created.
    pub fn begin(path: &Path, progress: Progress) -> Result<Self, Failure> {
        let log = EventWriter::create(path)?;
        let (tables, flushed) = (Tabulator::default(), machine::now());
        let recording = Recording { log, tables, progress, flushed, trouble: None };
        Ok(Self(Arc::new(Mutex::new(recording))))
    }

    /// Where the simulation puts its events. An error ends the simulation; the reason is in [`Recorded::trouble`].
    pub fn sink(&self) -> Box<dyn FnMut(Event) -> Result<(), String> + Send> {
        let recorder = self.clone();
        Box::new(move |event| {
            let mut recording = recorder.lock();
            recording.push(&event).map_err(|failure| {
                let reason = failure.to_string();
                recording.trouble.get_or_insert(failure);
                reason
            })
        })
    }

    /// Ends the log and hands out what was written.
    pub fn finish(self) -> Recorded {
        let mut recording = self.lock();
        recording.progress.finish();
        let ended = recording.log.checkpoint();
        let trouble = recording.trouble.take().or(ended.err().map(Failure::from));
        let digest = recording.log.digest().clone();
        let tables = std::mem::take(&mut recording.tables).finish().ok();
        Recorded { tables, digest, trouble }
    }

    /// A panic while recording leaves whole events behind, so that what there is can still be read.
    fn lock(&self) -> MutexGuard<'_, Recording> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Recording {
    fn push(&mut self, event: &Event) -> Result<(), Failure> {
        self.log.append(event)?;
        // Events that contradict each other are nobody's mistake but ours.
        self.tables.push(event).map_err(|error| Failure::bug(error.to_string()))?;
        self.progress.observe(event);
        if self.flushed.elapsed() >= FLUSH_EVERY {
            self.log.flush()?;
            self.flushed = machine::now();
        }
        Ok(())
    }
}
