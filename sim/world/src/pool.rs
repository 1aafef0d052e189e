//! The job pool: threads that compute jobs while virtual time goes on.
//!
//! A job is submitted at its virtual start and joined when its virtual completion is due. A job that runs while cores are
//! idle may use them. How many threads there are changes how long the computer takes, never what happens. The pool keeps
//! every job beside its ticket until it is joined, so that a checkpoint can hold it and a resumed run submit it again.
//!
//! Where jobs are stacked, one that could stand with others is held back until there are enough of them, or until one of
//! them is joined. Who stands with whom moves weights by rounding, so a checkpoint holds that too: every stack whole, until
//! the last of its jobs is joined.

use crate::job::{Job, Outcome};
use crate::plan::Plan;
use crate::stack;
use cotune_kernel::Stream;
use cotune_models::cores::Cores;
use crossbeam_channel::{Receiver, Sender, unbounded};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

/// Jobs that are computed as one batch, with their tickets.
pub type Stack = Vec<(Ticket, Job)>;

/// Names a submitted job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Ticket(u64);

impl Ticket {
    /// Its number.
    pub fn number(self) -> u64 {
        self.0
    }

    /// The ticket of a number.
    pub fn numbered(number: u64) -> Self {
        Self(number)
    }
}

/// Computers beside this one. They take jobs from the same queue as the threads here.
pub trait Remote: Debug + Send + Sync {
    /// Computes `jobs` until there will be no more, and reports every job that was taken. Of their cores those that have
    /// nothing to do and are of this computer are lent to `cores`.
    fn compute(&self, jobs: &Receiver<(Ticket, Job)>, report: &Sender<(Ticket, Outcome)>, cores: &Cores);
}

/// The jobs of a pool, as a checkpoint holds them.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Pending {
    /// Those that were submitted and not joined.
    pub jobs: BTreeMap<Ticket, Job>,
    /// The stacks that some of them are in, whole: what a job comes to is what it comes to beside those it stood with.
    pub stacks: Vec<Stack>,
    /// The number of the next ticket.
    pub next: u64,
}

impl Pending {
    /// Whether a pool can have held it: the jobs of a stack stand together, one of them is waited for, and none is in two.
    pub fn is_sound(&self, plan: &Plan) -> bool {
        let mut seen = BTreeSet::new();
        let mut once = |ticket: &Ticket| ticket.0 < self.next && seen.insert(*ticket);
        self.stacks.iter().all(|stack| {
            stack::stands(stack.iter().map(|(_, job)| job), plan)
                && stack.iter().all(|(ticket, _)| once(ticket))
                && stack.iter().any(|(ticket, _)| self.jobs.contains_key(ticket))
        })
    }
}

/// Threads that compute jobs.
#[derive(Debug)]
pub struct Pool {
    submit: Option<Sender<(Ticket, Job)>>,
    /// The same queue as the threads', to empty it.
    waiting: Receiver<(Ticket, Job)>,
    done: Receiver<(Ticket, Outcome)>,
    finished: BTreeMap<Ticket, Outcome>,
    /// Jobs that are not joined yet; what is large in them is shared with the threads.
    pending: BTreeMap<Ticket, Job>,
    /// Whether jobs are stacked.
    stacks: bool,
    /// Those held back, by what they have in common.
    held: BTreeMap<String, Vec<Ticket>>,
    /// Stacks of which a job is not joined yet, by the ticket under which the threads have them: that of the first job.
    stacked: BTreeMap<Ticket, Stack>,
    next: u64,
    threads: Vec<JoinHandle<()>>,
    plan: Arc<Plan>,
    /// Without learning nothing is computed.
    train: bool,
    /// How many jobs wait for a thread: about this computer, and read by nobody here.
    length: metrics::Gauge,
}

impl Pool {
    /// Starts `threads` threads, and has `remote` work beside them; nobody if `train` is false. With `delays` every job waits
    /// before and after it is computed here for a time drawn from this seed, so that jobs end in another order. With `stacks`
    /// equal work of several devices is computed as one batch.
    pub fn start(
        plan: &Arc<Plan>,
        threads: usize,
        train: bool,
        stacks: bool,
        delays: Option<u64>,
        remote: Option<Arc<dyn Remote>>,
    ) -> Self {
        let (submit, jobs) = unbounded::<(Ticket, Job)>();
        let (report, done) = unbounded();
        let cores = plan.lab().cores();
        let count = if train { threads.max(1) } else { 0 };
        let remote = remote.filter(|_| train).map(|remote| {
            let (jobs, report, cores) = (jobs.clone(), report.clone(), cores.clone());
            std::thread::Builder::new()
                .name("ranks".to_string())
                .spawn(move || remote.compute(&jobs, &report, &cores))
                .expect("the system has room for a thread")
        });
        metrics::gauge!("cotune_pool_threads").set(count as f64);
        let threads = (0..count)
            .map(|i| {
                let (jobs, report, plan) = (jobs.clone(), report.clone(), Arc::clone(plan));
                let cores = cores.clone();
                std::thread::Builder::new()
                    .name(format!("job-{i}"))
                    .spawn(move || {
                        let busy = metrics::gauge!("cotune_pool_busy");
                        for (ticket, job) in jobs {
                            busy.increment(1.0);
                            delay(delays, "before", ticket);
                            let core = cores.occupy();
                            let outcome = job.caught(&plan);
                            drop(core);
                            delay(delays, "after", ticket);
                            busy.decrement(1.0);
                            if report.send((ticket, outcome)).is_err() {
                                return;
                            }
                        }
                    })
                    .expect("the system has room for a thread")
            })
            .chain(remote)
            .collect();
        Self {
            submit: Some(submit),
            waiting: jobs,
            done,
            finished: BTreeMap::new(),
            pending: BTreeMap::new(),
            stacks,
            held: BTreeMap::new(),
            stacked: BTreeMap::new(),
            next: 0,
            threads,
            plan: Arc::clone(plan),
            train,
            length: metrics::gauge!("cotune_pool_waiting"),
        }
    }

    /// Hands in again what was not joined when a run was cut, under the tickets that the jobs had, and in the stacks in which
    /// they were.
    pub fn restore(&mut self, Pending { mut jobs, stacks, next }: Pending) {
        self.next = next;
        if !self.train {
            return;
        }
        for stack in stacks {
            let own = stack.iter().filter_map(|(ticket, _)| jobs.remove_entry(ticket));
            self.pending.extend(own);
            self.hand_over_stack(stack);
        }
        for (ticket, job) in jobs {
            self.send(ticket, job);
        }
    }

    /// What a checkpoint has to hold of the jobs.
    pub fn pending(&self) -> Pending {
        let stacks = self.stacked.values().cloned().collect();
        Pending { jobs: self.pending.clone(), stacks, next: self.next }
    }

    /// Hands a job in.
    pub fn submit(&mut self, job: Job) -> Ticket {
        let ticket = Ticket(self.next);
        self.next += 1;
        self.send(ticket, job);
        ticket
    }

    fn send(&mut self, ticket: Ticket, job: Job) {
        if !self.train {
            return;
        }
        self.pending.insert(ticket, job.clone());
        match stack::kind(&job, &self.plan).filter(|_| self.stacks).map(str::to_owned) {
            None => self.hand_over(ticket, job),
            Some(kind) => {
                let held = self.held.entry(kind.clone()).or_default();
                held.push(ticket);
                if held.len() == stack::LARGEST {
                    self.release(&kind);
                }
            }
        }
    }

    /// Hands the jobs over that are held back because of what they have in common.
    fn release(&mut self, kind: &str) {
        let tickets = self.held.remove(kind).unwrap_or_default();
        let stack = tickets.into_iter().map(|ticket| (ticket, self.pending[&ticket].clone()));
        self.hand_over_stack(stack.collect());
    }

    fn hand_over_stack(&mut self, stack: Stack) {
        let (first, _) = stack[0];
        self.hand_over(first, Job::Stack(stack.iter().map(|(_, job)| job.clone()).collect()));
        self.stacked.insert(first, stack);
    }

    fn hand_over(&mut self, ticket: Ticket, job: Job) {
        let submit = self.submit.as_ref().expect("the pool is open while it lives");
        submit.send((ticket, job)).expect("the pool's threads outlive its sender");
        self.length.set(self.waiting.len() as f64);
    }

    /// The outcomes of what came back under a ticket; of a stack that a run went on with, some may have been joined before.
    fn each(&self, ticket: Ticket, outcome: Outcome) -> Vec<(Ticket, Outcome)> {
        let Some(stack) = self.stacked.get(&ticket) else { return vec![(ticket, outcome)] };
        let tickets = stack.iter().map(|(ticket, _)| *ticket);
        let outcomes = match outcome {
            Outcome::Stack(outcomes) => outcomes,
            // What became of a rank became of all its jobs.
            lost => vec![lost; stack.len()],
        };
        tickets.zip(outcomes).filter(|(ticket, _)| self.pending.contains_key(ticket)).collect()
    }

    /// Keeps a job no longer, nor a stack of which it was the last.
    fn forget(&mut self, ticket: Ticket) {
        self.pending.remove(&ticket);
        let pending = &self.pending;
        self.stacked.retain(|_, stack| stack.iter().any(|(ticket, _)| pending.contains_key(ticket)));
    }

    /// The outcomes that are there, without waiting for any.
    pub fn done(&mut self) -> Vec<(Ticket, Outcome)> {
        let came: Vec<_> = self.done.try_iter().collect();
        let done: Vec<_> =
            came.into_iter().flat_map(|(ticket, outcome)| self.each(ticket, outcome)).collect();
        for (ticket, _) in &done {
            self.forget(*ticket);
        }
        done
    }

    /// What a job has in common with those that are held back with it, if it is held back.
    fn kind_of_held(&self, ticket: Ticket) -> Option<String> {
        self.held.iter().find(|(_, held)| held.contains(&ticket)).map(|(kind, _)| kind.clone())
    }

    /// Waits for a job and takes its outcome. A ticket is joined once.
    pub fn join(&mut self, ticket: Ticket) -> Outcome {
        if !self.train {
            return Outcome::Skipped;
        }
        if let Some(kind) = self.kind_of_held(ticket) {
            self.release(&kind);
        }
        loop {
            if let Some(outcome) = self.finished.remove(&ticket) {
                self.forget(ticket);
                return outcome;
            }
            let (ticket, outcome) =
                self.done.recv().expect("a thread of the pool reports every job it takes");
            let outcomes = self.each(ticket, outcome);
            self.finished.extend(outcomes);
            self.length.set(self.waiting.len() as f64);
        }
    }
}

impl Drop for Pool {
    /// Empties the queue and waits for the jobs that are being computed.
    fn drop(&mut self) {
        self.submit = None;
        while self.waiting.try_recv().is_ok() {}
        for thread in self.threads.drain(..) {
            drop(thread.join());
        }
    }
}

/// Longest delay of a job, before it and after it.
const LONGEST_DELAY: Duration = Duration::from_millis(8);

/// Waits on the wall clock: up to [`LONGEST_DELAY`], and half of the times not at all.
fn delay(delays: Option<u64>, when: &str, ticket: Ticket) {
    let Some(seed) = delays else { return };
    let mut stream = Stream::keyed_parts(seed, &[&"delay", &when, &ticket.0]);
    if stream.chance(0.5) {
        std::thread::sleep(LONGEST_DELAY.mul_f64(stream.uniform()));
    }
}
