//! Writing down what happens: the log, the tables and the progress of one run, fed by one sink.
//!
//! A thread of its own does it, because encoding, hashing and compressing an event takes about as long as simulating
//! it. The simulation waits when the thread is far behind, so that a million rounds need no more memory than a few.

use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use cotune_record::{Event, EventDigest, EventWriter, Tables, Tabulator};

use crate::exit::latest_panic;
use crate::failure::Failure;
use crate::machine;
use crate::progress::Progress;
use crate::telemetry::Meters;

/// How long events may wait in memory \[s\]: what a killed process can lose.
const FLUSH_EVERY: Duration = Duration::from_secs(2);

/// How far the simulation may be ahead \[batches\] (chosen: about 2 MB of events).
const AHEAD: usize = 32;

/// Events that are handed over together where nothing is learned (chosen: waking a thread takes as long as writing ten).
const BATCH: usize = 256;

/// The recorder of one run. The simulation holds its sink; what it wrote is taken out at the end.
pub struct Recorder {
    orders: SyncSender<Order>,
    /// Events that are not handed over yet.
    waiting: Arc<Mutex<Vec<Event>>>,
    batch: usize,
    /// Why recording ended early, in words, once it has.
    reason: Arc<OnceLock<String>>,
    thread: JoinHandle<Recording>,
}

enum Order {
    Write(Vec<Event>),
    Finish,
}

struct Recording {
    log: EventWriter,
    tables: Tabulator,
    progress: Progress,
    meters: Meters,
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
    /// Begins a log at `path`. Where the run learns, minutes may pass between two events, and each is written at once.
    ///
    /// # Errors
    /// The log cannot be created.
    pub fn begin(path: &Path, progress: Progress, learns: bool) -> Result<Self, Failure> {
        let log = EventWriter::create(path)?;
        let (tables, flushed) = (Tabulator::default(), machine::now());
        let recording = Recording { log, tables, progress, meters: Meters::new(), flushed, trouble: None };
        let (orders, inbox) = sync_channel(AHEAD);
        let reason = Arc::new(OnceLock::new());
        let told = Arc::clone(&reason);
        let thread = thread::Builder::new()
            .name("recorder".to_owned())
            .spawn(move || recording.record(&inbox, &told))
            .map_err(|error| Failure::wrong(format!("no thread can be started: {error}")))?;
        let batch = if learns { 1 } else { BATCH };
        Ok(Self { orders, waiting: Arc::default(), batch, reason, thread })
    }

    /// Where the simulation puts its events. An error ends the simulation; the reason is in [`Recorded::trouble`].
    pub fn sink(&self) -> Box<dyn FnMut(Event) -> Result<(), String> + Send> {
        let (orders, reason) = (self.orders.clone(), Arc::clone(&self.reason));
        let (waiting, batch) = (Arc::clone(&self.waiting), self.batch);
        Box::new(move |event| {
            if let Some(reason) = reason.get() {
                return Err(reason.clone());
            }
            let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.push(event);
            if waiting.len() < batch {
                return Ok(());
            }
            let events = std::mem::replace(&mut *waiting, Vec::with_capacity(batch));
            orders.send(Order::Write(events)).map_err(|_| "the recorder is gone".to_owned())
        })
    }

    /// Ends the log and hands out what was written.
    pub fn finish(self) -> Recorded {
        let last = std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        // A recorder that is gone has panicked, which joining it tells.
        let _ = self.orders.send(Order::Write(last)).and_then(|()| self.orders.send(Order::Finish));
        let Ok(mut recording) = self.thread.join() else {
            let trouble = Some(Failure::bug(format!("the recorder panicked: {}", latest_panic())));
            return Recorded { tables: None, digest: EventDigest::new(), trouble };
        };
        recording.progress.finish();
        let ended = recording.log.checkpoint();
        let trouble = recording.trouble.take().or(ended.err().map(Failure::from));
        let digest = recording.log.digest().clone();
        Recorded { tables: recording.tables.finish().ok(), digest, trouble }
    }
}

impl Recording {
    /// Writes what it is told, until it is told to finish. After a failure it only listens.
    fn record(mut self, inbox: &Receiver<Order>, reason: &OnceLock<String>) -> Self {
        while let Ok(Order::Write(events)) = inbox.recv() {
            if self.trouble.is_some() {
                continue;
            }
            self.meters.observe(&events);
            if let Err(failure) = events.iter().try_for_each(|event| self.push(event)) {
                reason.get_or_init(|| failure.to_string());
                self.trouble = Some(failure);
            }
        }
        self
    }

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
