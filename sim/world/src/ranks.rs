//! The ranks of an MPI job: rank 0 simulates, and every rank trains.
//!
//! Rank 0 has the scheduler, the actors and the record; the others have the lab, compute jobs and know nothing of time. That
//! is chosen over every rank playing the whole simulation beside the others: a million devices would be in memory once a rank, and
//! every outcome would have to travel to every rank, where here each travels once. What order outcomes come in changes nothing,
//! so the digest is that of one process.
//!
//! A message is a head (a ticket and a length) and the frame of a job or an outcome in parts that MPI's 32-bit counts can
//! take. Rank 0 sends jobs when workers have free threads, all heads before the first frame, so that the workers look up at
//! once, and blocks until each is taken; a worker takes what comes while it sends, so the two never wait for each other. A
//! job that rank 0 can take itself is not sent, and while ranks of the same computer have nothing to do, its jobs may borrow
//! their cores. If a rank dies, `mpirun` and `srun` end the others, and the run goes on from its last checkpoint with
//! `--resume`.

use crate::job::{Job, Outcome};
use crate::plan::Plan;
use crate::pool::{Pool, Remote, Ticket};
use crate::shared::{read_once, written_once};
use cotune_kernel::codec;
use cotune_models::cores::{Cores, InUse};
use crossbeam_channel::{Receiver, Sender, TryRecvError};
use mpi::Threading;
use mpi::environment::Universe;
use mpi::point_to_point::{Destination, Source};
use mpi::topology::{Communicator, Process, Rank, SimpleCommunicator};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// Tags of the messages.
const GREETING: i32 = 1;
const HEAD: i32 = 2;
const BODY: i32 = 3;

/// The ticket of a head that ends the work on a plan.
const OVER: u64 = u64::MAX;

/// Bytes of a part (chosen: half of what a count can say).
const PART: usize = 1 << 30;

/// Each pause between two looks for messages is longer than the one before by this part of it, so that a message waits for about
/// that part of the time since the last one.
const LONGER_BY: u32 = 16;

/// The shortest pause and the longest (measured: looking five thousand times a second slows what two cores compute by a fifth).
const PAUSES: RangeInclusive<Duration> = Duration::from_micros(100)..=Duration::from_millis(5);

/// Frame kinds.
const JOB_KIND: u16 = 4;
const OUTCOME_KIND: u16 = 5;
const GREETING_KIND: u16 = 6;

/// Why ranks cannot work together.
#[derive(Debug, thiserror::Error)]
pub enum RanksError {
    /// The library does not let a second thread send messages.
    #[error(
        "this MPI library allows messages from one thread only, and cotune needs them from a thread beside the simulation"
    )]
    Threads,
    /// A rank is not what rank 0 is.
    #[error(
        "rank {rank} has another {what} than rank 0: `{theirs}` instead of `{ours}`, so its numbers would be others"
    )]
    Different {
        /// The rank.
        rank: i32,
        /// Of what.
        what: &'static str,
        /// What rank 0 has.
        ours: String,
        /// What the rank has.
        theirs: String,
    },
    /// What came is no frame.
    #[error("what rank {rank} sent cannot be read: {source}")]
    Garbled {
        /// The rank.
        rank: i32,
        /// Why.
        source: codec::CodecError,
    },
}

/// What all ranks have to agree on: their outcomes depend on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Likeness {
    /// Digest of the scenario.
    pub scenario: String,
    /// Version and commit.
    pub build: String,
    /// CPU features that decide how floats are summed.
    pub cpu_features: String,
}

/// This process among the ranks of an MPI job. MPI ends when it is dropped.
pub struct Ranks {
    rank: Rank,
    size: Rank,
    _universe: Universe,
}

impl Ranks {
    /// Joins the job that this process was started in.
    ///
    /// # Errors
    /// The library cannot do what is needed of it.
    pub fn join() -> Result<Self, RanksError> {
        let (universe, threading) =
            mpi::initialize_with_threading(Threading::Serialized).ok_or(RanksError::Threads)?;
        if threading < Threading::Serialized {
            return Err(RanksError::Threads);
        }
        let world = universe.world();
        Ok(Self { rank: world.rank(), size: world.size(), _universe: universe })
    }

    /// Whether this process simulates.
    pub fn is_first(&self) -> bool {
        self.rank == 0
    }

    /// Ends all ranks with an exit code.
    pub fn abort(&self, code: i32) -> ! {
        SimpleCommunicator::world().abort(code)
    }

    /// How many there are.
    pub fn size(&self) -> usize {
        self.size as usize
    }

    /// Rank 0 before a run: hears from every worker what it is, where it runs and how many threads it has.
    ///
    /// # Errors
    /// One of them is not what this process is.
    pub fn gather(&self, ours: &Likeness) -> Result<Arc<Workers>, RanksError> {
        let world = SimpleCommunicator::world();
        let mut workers = Workers::default();
        for rank in 1..self.size {
            let worker = world.process_at_rank(rank);
            let length = receive_head(&worker, GREETING).1;
            let bytes = receive_body(&worker, length);
            let (theirs, computer, threads): (Likeness, String, usize) = codec::decode(GREETING_KIND, &bytes)
                .map_err(|source| RanksError::Garbled { rank, source })?;
            for (what, ours, theirs) in [
                ("build", &ours.build, &theirs.build),
                ("scenario", &ours.scenario, &theirs.scenario),
                ("set of CPU features", &ours.cpu_features, &theirs.cpu_features),
            ] {
                if ours != theirs {
                    let (ours, theirs) = (ours.clone(), theirs.clone());
                    return Err(RanksError::Different { rank, what, ours, theirs });
                }
            }
            workers.slots.insert(rank, threads);
            if !computer.is_empty() && computer == computer_name() {
                workers.beside.insert(rank);
            }
        }
        Ok(Arc::new(workers))
    }

    /// A worker during a run: computes jobs of the plan on `threads` threads until rank 0 says that there are no more. `delays` is
    /// as in [`Options`](crate::Options).
    ///
    /// # Errors
    /// What came is no job.
    pub fn work(
        &self,
        ours: &Likeness,
        plan: &Arc<Plan>,
        threads: usize,
        delays: Option<u64>,
    ) -> Result<(), RanksError> {
        let world = SimpleCommunicator::world();
        let first = world.process_at_rank(0);
        let greeting =
            codec::encode(GREETING_KIND, &(ours, computer_name(), threads)).expect("strings and a number");
        send(&first, GREETING, 0, &greeting);

        let mut pool = Pool::start(plan, threads, true, false, delays, None);
        let mut mine: BTreeMap<Ticket, u64> = BTreeMap::new();
        let mut arrived: VecDeque<(u64, Vec<u8>)> = VecDeque::new();
        let mut is_over = false;
        let mut pauses = Pauses::default();
        loop {
            while let Some(message) = take(&first) {
                arrived.push_back(message);
            }
            for (ticket, bytes) in arrived.drain(..) {
                pauses.restart();
                if ticket == OVER {
                    is_over = true;
                    continue;
                }
                let job: Result<Job, _> = read_once(|| codec::decode_limited(JOB_KIND, &bytes, u64::MAX));
                let job = job.map_err(|source| RanksError::Garbled { rank: 0, source })?;
                mine.insert(pool.submit(job), ticket);
            }
            for (ticket, outcome) in pool.done() {
                pauses.restart();
                let bytes = codec::encode(OUTCOME_KIND, &outcome).expect("an outcome can be written");
                let ticket = mine.remove(&ticket).expect("only jobs of rank 0 are computed here");
                send_and_take(&first, ticket, &bytes, &mut arrived);
            }
            if is_over && mine.is_empty() && arrived.is_empty() {
                return Ok(());
            }
            pauses.wait();
        }
    }
}

/// The other ranks, as rank 0 sees them.
#[derive(Debug, Default)]
pub struct Workers {
    /// The threads of each.
    slots: BTreeMap<Rank, usize>,
    /// Those on rank 0's computer.
    beside: BTreeSet<Rank>,
}

impl Workers {
    /// Jobs that all of them compute at once.
    pub fn threads(&self) -> usize {
        self.slots.values().sum()
    }

    /// What a rank with so many idle threads gives.
    fn idle(&self, rank: Rank, threads: usize, cores: &Cores) -> Free {
        let lends = self.beside.contains(&rank) && threads == self.slots[&rank];
        Free { threads, lent: (0..if lends { threads } else { 0 }).map(|_| cores.lend()).collect() }
    }
}

/// The threads of a rank that have nothing to do, and the cores that it lends: all, while it has no job itself that could use
/// them.
#[derive(Debug, Default)]
struct Free {
    threads: usize,
    lent: Vec<InUse>,
}

impl Remote for Workers {
    /// Gives jobs to whoever has a free thread and takes outcomes, until there are no more jobs.
    fn compute(&self, jobs: &Receiver<(Ticket, Job)>, report: &Sender<(Ticket, Outcome)>, cores: &Cores) {
        let world = SimpleCommunicator::world();
        let idle = |(rank, threads): (&Rank, &usize)| (*rank, self.idle(*rank, *threads, cores));
        let mut free: BTreeMap<Rank, Free> = self.slots.iter().map(idle).collect();
        let mut away = 0;
        let mut is_over = false;
        // Jobs that were there a pause ago: no thread of this process was free to take them.
        let mut left = 0_usize;
        let mut pauses = Pauses::default();
        while !is_over || away > 0 {
            pauses.wait();
            let mut frames = Vec::new();
            while let Some((rank, free)) = free.iter_mut().find(|(_, free)| free.threads > 0) {
                if left == 0 && !jobs.is_empty() {
                    break;
                }
                match jobs.try_recv() {
                    Ok((ticket, job)) => {
                        let bytes =
                            written_once(|| codec::encode(JOB_KIND, &job)).expect("a job can be written");
                        free.threads -= 1;
                        free.lent.clear();
                        send_head(&world.process_at_rank(*rank), HEAD, ticket.number(), &bytes);
                        frames.push((*rank, bytes));
                        away += 1;
                        left = left.saturating_sub(1);
                    }
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) => {
                        is_over = true;
                        break;
                    }
                }
            }
            for (rank, bytes) in frames {
                send_body(&world.process_at_rank(rank), &bytes);
            }
            for rank in self.slots.keys() {
                let Some((ticket, bytes)) = take(&world.process_at_rank(*rank)) else { continue };
                let outcome = codec::decode_limited(OUTCOME_KIND, &bytes, u64::MAX);
                let outcome =
                    outcome.unwrap_or_else(|error| Outcome::Panicked(format!("rank {rank}: {error}")));
                let threads = free[rank].threads + 1;
                free.insert(*rank, self.idle(*rank, threads, cores));
                away -= 1;
                pauses.restart();
                // Nobody waits any more: the run was stopped.
                let _ = report.send((Ticket::numbered(ticket), outcome));
            }
            left = jobs.len();
            if left > 0 && free.values().any(|free| free.threads > 0) {
                pauses.restart();
            }
        }
        for rank in self.slots.keys() {
            send(&world.process_at_rank(*rank), HEAD, OVER, &[]);
        }
    }
}

/// When to look for messages again.
#[derive(Debug)]
struct Pauses {
    next: Duration,
}

impl Default for Pauses {
    fn default() -> Self {
        Self { next: *PAUSES.start() }
    }
}

impl Pauses {
    /// Says that something happened.
    fn restart(&mut self) {
        *self = Self::default();
    }

    /// Waits; the longer, the more often nothing has happened.
    fn wait(&mut self) {
        thread::sleep(self.next);
        self.next = (self.next + self.next / LONGER_BY).min(*PAUSES.end());
    }
}

/// The name of the computer that this process runs on; empty where it has none.
fn computer_name() -> String {
    mpi::environment::processor_name().unwrap_or_default()
}

/// Sends a head and a body; blocks until both are taken.
fn send(to: &Process<'_>, tag: i32, ticket: u64, bytes: &[u8]) {
    send_head(to, tag, ticket, bytes);
    send_body(to, bytes);
}

/// Says that a body follows; so short that no library waits for the other side.
fn send_head(to: &Process<'_>, tag: i32, ticket: u64, bytes: &[u8]) {
    to.send_with_tag(&[ticket, bytes.len() as u64][..], tag);
}

fn send_body(to: &Process<'_>, bytes: &[u8]) {
    for part in bytes.chunks(PART) {
        to.send_with_tag(part, BODY);
    }
}

/// The same, and takes what comes meanwhile.
fn send_and_take(to: &Process<'_>, ticket: u64, bytes: &[u8], arrived: &mut VecDeque<(u64, Vec<u8>)>) {
    send_head(to, HEAD, ticket, bytes);
    for part in bytes.chunks(PART) {
        mpi::request::scope(|scope| {
            let mut sending = to.immediate_send_with_tag(scope, part, BODY);
            while let Err(unfinished) = sending.test() {
                sending = unfinished;
                arrived.extend(take(to));
            }
        });
    }
}

/// The next message of a process, if there is one.
fn take(from: &Process<'_>) -> Option<(u64, Vec<u8>)> {
    from.immediate_probe_with_tag(HEAD)?;
    let (ticket, length) = receive_head(from, HEAD);
    Some((ticket, receive_body(from, length)))
}

fn receive_head(from: &Process<'_>, tag: i32) -> (u64, u64) {
    let mut head = [0_u64; 2];
    from.receive_into_with_tag(&mut head[..], tag);
    (head[0], head[1])
}

fn receive_body(from: &Process<'_>, length: u64) -> Vec<u8> {
    let mut bytes = vec![0; length as usize];
    for part in bytes.chunks_mut(PART) {
        from.receive_into_with_tag(part, BODY);
    }
    bytes
}
