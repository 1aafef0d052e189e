//! Writing down what happens: the log, the checkpoints, the tables and the progress of one run.
//!
//! A thread of its own does it, because encoding, hashing and compressing an event takes about as long as simulating
//! it. The simulation waits when the thread is far behind, so that a million rounds need no more memory than a few.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use cotune_record::checkpoint::Header;
use cotune_record::{
    Checkpoint, Checkpoints, Event, EventDigest, EventReader, EventWriter, LogError, LogPosition,
    RunDirectory, TableError, Tables, Tabulator,
};
use cotune_world::Snapshot;

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

/// Takes snapshots; an error ends the simulation.
type Keeper = Box<dyn FnMut(Snapshot) -> Result<(), String>>;

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
    Keep(Box<Snapshot>),
    Finish,
}

/// A log, and what follows from it, up to some event.
pub struct Recording {
    log: EventWriter,
    checkpoints: Checkpoints,
    /// What every checkpoint says of the run.
    header: Header,
    /// Wall-clock time that the run had taken when this process took it up \[s\].
    before: f64,
    begun: Instant,
    /// The simulation at its end.
    last: Option<Box<Snapshot>>,
    tables: Tabulator,
    progress: Progress,
    meters: Meters,
    flushed: Instant,
    trouble: Option<Failure>,
}

/// Why a log cannot be taken up at a checkpoint.
pub enum Hindrance {
    /// The log is damaged, gone, or not the one that the checkpoint was made of.
    Damage(Failure),
    /// The system does not give it: what is in it may be good.
    System(Failure),
}

impl From<LogError> for Hindrance {
    fn from(error: LogError) -> Self {
        if error.is_damage() { Self::Damage(error.into()) } else { Self::System(error.into()) }
    }
}

impl From<TableError> for Hindrance {
    fn from(error: TableError) -> Self {
        Self::Damage(error.into())
    }
}

/// What was written down.
pub struct Recorded {
    /// Every row; `None` if nothing happened at all.
    pub tables: Option<Tables>,
    /// Of all events.
    pub digest: EventDigest,
    /// The simulation at its end, if it came to one.
    pub last: Option<Box<Snapshot>>,
    /// Wall-clock time of the run, the parts before a resume included \[s\].
    pub seconds: f64,
    /// Why recording ended early, if it did.
    pub trouble: Option<Failure>,
}

impl Recorder {
    /// Goes on with a recording. Where the run learns, minutes may pass between two events, and each is written at once.
    ///
    /// # Errors
    /// The system has no room for a thread.
    pub fn begin(mut recording: Recording, learns: bool) -> Result<Self, Failure> {
        recording.begun = machine::now();
        recording.progress.show();
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

    /// Where the simulation puts its snapshots.
    pub fn keeper(&self) -> Keeper {
        let (orders, reason) = (self.orders.clone(), Arc::clone(&self.reason));
        let waiting = Arc::clone(&self.waiting);
        Box::new(move |snapshot| {
            if let Some(reason) = reason.get() {
                return Err(reason.clone());
            }
            let events = std::mem::take(&mut *waiting.lock().unwrap_or_else(PoisonError::into_inner));
            let sent = orders.send(Order::Write(events));
            let sent = sent.and_then(|()| orders.send(Order::Keep(Box::new(snapshot))));
            sent.map_err(|_| "the recorder is gone".to_owned())
        })
    }

    /// Ends the log and hands out what was written.
    pub fn finish(self) -> Recorded {
        let last = std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        // A recorder that is gone has panicked, which joining it tells.
        let _ = self.orders.send(Order::Write(last)).and_then(|()| self.orders.send(Order::Finish));
        let Ok(mut recording) = self.thread.join() else {
            let trouble = Some(Failure::bug(format!("the recorder panicked: {}", latest_panic())));
            return Recorded { tables: None, digest: EventDigest::new(), last: None, seconds: 0.0, trouble };
        };
        recording.progress.finish();
        let ended = recording.log.checkpoint();
        let trouble = recording.trouble.take().or(ended.err().map(Failure::from));
        let digest = recording.log.digest().clone();
        let (seconds, last) = (recording.seconds(), recording.last);
        Recorded { tables: recording.tables.finish().ok(), digest, last, seconds, trouble }
    }
}

impl Recording {
    /// An empty log in a run's folder; `header` says which run that is.
    ///
    /// # Errors
    /// The log cannot be created.
    pub fn create(directory: &RunDirectory, header: Header, progress: Progress) -> Result<Self, Failure> {
        let log = EventWriter::create(&directory.events_path())?;
        Ok(Self::over(log, directory, header, progress))
    }

    /// The log of a run that was cut, as it was at a checkpoint. Everything before is read once more, for the tables follow
    /// from it; what came after is cut off.
    ///
    /// # Errors
    /// The log is damaged, is not the one that the checkpoint was made of, or cannot be opened; then it is left as it is.
    pub fn resume<T>(
        directory: &RunDirectory,
        header: Header,
        progress: Progress,
        checkpoint: &Checkpoint<T>,
    ) -> Result<Self, Hindrance> {
        let (path, position) = (directory.events_path(), &checkpoint.position);
        let (mut tables, mut digest, mut progress) = (Tabulator::default(), EventDigest::new(), progress);
        let mut events = EventReader::open_to(&path, position.bytes)?;
        for event in events.by_ref() {
            let event = event?;
            tables.push(&event)?;
            digest.push(&event);
            progress.catch_up(&event);
        }
        // A position inside a frame would leave a log that nobody can read on.
        if digest != position.digest || events.is_truncated() {
            let message = format!(
                "{} does not hold the {} events that its checkpoint was made after",
                path.display(),
                checkpoint.header.events
            );
            return Err(Hindrance::Damage(Failure::wrong(message)));
        }
        let log = EventWriter::resume(&path, position)?;
        let before = checkpoint.header.seconds;
        Ok(Self { tables, before, ..Self::over(log, directory, header, progress) })
    }

    fn over(log: EventWriter, directory: &RunDirectory, header: Header, progress: Progress) -> Self {
        let now = machine::now();
        Self {
            log,
            checkpoints: Checkpoints::of(directory),
            header,
            before: 0.0,
            begun: now,
            last: None,
            tables: Tabulator::default(),
            progress,
            meters: Meters::new(),
            flushed: now,
            trouble: None,
        }
    }

    /// Wall-clock time of the run so far \[s\].
    fn seconds(&self) -> f64 {
        self.before + self.begun.elapsed().as_secs_f64()
    }

    /// Writes what it is told, until it is told to finish. After a failure it only listens.
    fn record(mut self, inbox: &Receiver<Order>, reason: &OnceLock<String>) -> Self {
        while let Ok(order) = inbox.recv() {
            let done = match order {
                Order::Finish => break,
                _ if self.trouble.is_some() => continue,
                Order::Write(events) => {
                    self.meters.observe(&events);
                    events.iter().try_for_each(|event| self.push(event))
                }
                Order::Keep(snapshot) => self.keep(snapshot),
            };
            if let Err(failure) = done {
                reason.get_or_init(|| failure.to_string());
                self.trouble = Some(failure);
            }
        }
        self
    }

    /// Ends a frame of the log and writes a checkpoint that continues behind it; of a run that is over, nothing.
    fn keep(&mut self, snapshot: Box<Snapshot>) -> Result<(), Failure> {
        if snapshot.is_complete() {
            self.last = Some(snapshot);
            return Ok(());
        }
        let position: LogPosition = self.log.checkpoint()?;
        let (events, seconds) = (position.digest.events(), self.seconds());
        let header = Header { events, seconds, ..self.header.clone() };
        Ok(self.checkpoints.write(&header, &position, &snapshot)?)
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
