//! The actors: thin actix shells over the state machines, all on one arbiter.
//!
//! | file           | actor |
//! |----------------|-------|
//! | `scheduler.rs` | owns virtual time, the network and the job pool; carries effects out |
//! | `journey.rs`   | the scheduler's way through the run, one delivery after the other |
//! | `cloud.rs`     | the cloud, a shell over [`crate::coordination::CloudCore`] |
//! | `device.rs`    | one device, a shell over [`crate::device::DeviceCore`] |
//! | `recorder.rs`  | hands events to whoever writes them down |
//! | `snapshot.rs`  | everything between two events, for checkpoints |
//!
//! Order is decided in one place, the kernel's queue: the scheduler pops one due entry, tells one party, waits for its
//! effects, and only then pops the next. One message is outstanding at a time.

mod cloud;
mod device;
mod journey;
mod recorder;
mod scheduler;
mod snapshot;

use crate::device::DeviceMemory;
use crate::effect::{Effect, Message};
use crate::plan::Plan;
use crate::pool::Remote;
use actix::prelude::*;
use cotune_kernel::VirtualTime;
use cotune_record::Event;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

pub use snapshot::Snapshot;

/// A message with the time at which it is delivered.
#[derive(actix::Message)]
#[rtype(result = "Answer")]
struct Deliver {
    now: VirtualTime,
    message: Message,
}

/// What a party wants done, and what a device that goes to rest keeps.
struct Answer {
    effects: Vec<Effect>,
    memory: Option<DeviceMemory>,
}

/// How a simulation is carried out. Nothing here changes what happens in it.
#[derive(Clone, Debug)]
pub struct Options {
    /// Threads that compute jobs.
    pub threads: usize,
    /// Computers that train beside these threads.
    pub remote: Option<Arc<dyn Remote>>,
    /// Whether anything is learned; sizes and durations are the same without.
    pub train: bool,
    /// Whether equal work of several devices is computed as one batch. It moves weights by rounding, and is faster on a
    /// graphics card only.
    pub stacks: bool,
    /// Set from outside to end the run after the current event.
    pub stop: Arc<AtomicBool>,
    /// Rounds between two snapshots for [`Keeper`]. None: every round where something is learned, else as often as costs
    /// little (see `Scheduler::is_due`).
    pub keep_every: Option<u32>,
    /// Pauses the run once a round of this number is closed and scored: everything of that instant happens, nothing after
    /// it. None: the run goes to its end.
    pub until_round: Option<u32>,
    /// Has jobs wait for random times of the wall clock, drawn from this seed: the harshest way to show that no result
    /// depends on when a job is done.
    pub delays: Option<u64>,
}

impl Default for Options {
    /// One thread, learning, nothing to stop it.
    fn default() -> Self {
        Self {
            threads: 1,
            remote: None,
            train: true,
            stacks: false,
            stop: Arc::default(),
            keep_every: None,
            until_round: None,
            delays: None,
        }
    }
}

/// How a simulation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// A budget was spent.
    Complete,
    /// It was stopped from outside.
    Interrupted,
    /// It came to [`Options::until_round`].
    Paused,
}

/// Why a simulation could not go on.
#[derive(Debug, thiserror::Error)]
pub enum SimulationError {
    /// Events could not be written down.
    #[error("the run could not be recorded: {0}")]
    Record(String),
    /// An actor is gone: it panicked.
    #[error("the actor of {party} is gone: it panicked, which is a bug in cotune")]
    Actor {
        /// Whose actor.
        party: String,
    },
    /// Nothing is left to happen, and the run has not ended.
    #[error("nothing is due at {seconds} s and the run has not ended, which is a bug in cotune")]
    Deadlock {
        /// Virtual time \[s\].
        seconds: f64,
    },
}

/// Writes events down; an error ends the run.
pub type Sink = Box<dyn FnMut(Event) -> Result<(), String>>;

/// Keeps snapshots; each is of the moment after the last event that [`Sink`] was given. An error ends the run.
pub type Keeper = Box<dyn FnMut(Snapshot) -> Result<(), String>>;

/// Plays a plan to its end, handing every event to `sink` in order.
///
/// # Errors
/// `sink` failed, or an actor panicked.
pub fn simulate(plan: Arc<Plan>, options: Options, sink: Sink) -> Result<End, SimulationError> {
    simulate_from(None, plan, options, sink, None)
}

/// The same from a snapshot of an earlier run of the plan, or from the beginning. `keeper` is given a snapshot at ends of rounds
/// as the options say, and one when the run ends, is paused or is stopped.
///
/// # Errors
/// `sink` or `keeper` failed, or an actor panicked.
pub fn simulate_from(
    snapshot: Option<Snapshot>,
    plan: Arc<Plan>,
    options: Options,
    sink: Sink,
    keeper: Option<Keeper>,
) -> Result<End, SimulationError> {
    System::new().block_on(async move {
        let keeps = keeper.is_some();
        let recorder = recorder::Recorder::new(sink, keeper).start();
        let scheduler = scheduler::Scheduler::new(plan, &options, recorder, keeps, snapshot).start();
        match scheduler.send(scheduler::Play).await {
            Ok(outcome) => outcome,
            Err(_) => Err(SimulationError::Actor { party: "the scheduler".to_string() }),
        }
    })
}

/// Tells every device of a plan something it ignores, `times` times, in the order of virtual time: what a delivery costs by
/// itself, for benches. All devices have an actor throughout, and a thousand deliveries are pending at a time.
///
/// # Errors
/// An actor panicked.
pub fn deliver_nothing(plan: Arc<Plan>, times: u64) -> Result<(), SimulationError> {
    let options = Options { threads: 1, train: false, ..Options::default() };
    System::new().block_on(async move {
        let recorder = recorder::Recorder::new(Box::new(|_| Ok(())), None).start();
        let scheduler = scheduler::Scheduler::idle(Arc::clone(&plan), &options, recorder).start();
        let (devices, most) = (plan.fleet().devices(), 1_000);
        let parts = (0..devices).step_by(most).map(|from| from..devices.min(from + most as u32));
        for part in (0..times).flat_map(|_| parts.clone()) {
            let gone = |_| SimulationError::Actor { party: "the scheduler".to_string() };
            scheduler.send(scheduler::Rouse(part)).await.map_err(gone)?;
            match scheduler.send(scheduler::Play).await.map_err(gone)? {
                // Nothing is left to happen, which is how it ends.
                Ok(_) | Err(SimulationError::Deadlock { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    })
}
