//! The job pool: threads that compute jobs while virtual time goes on.
//!
//! A job is submitted at its virtual start and joined when its virtual completion is due. A job that runs while cores are
//! idle may use them. How many threads there are changes how long the computer takes, never what happens. The pool keeps
//! every job beside its ticket until it is joined, so that a checkpoint can hold it and a resumed run submit it again.
//!
//! Where jobs are stacked, one that could stand with others is held back until there are enough of them, or until one of
//! them is joined.

use crate::job::{Job, Outcome, message};
use crate::plan::Plan;
use crate::stack;
use cotune_kernel::Stream;
use crossbeam_channel::{Receiver, Sender, unbounded};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

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
    /// Computes `jobs` until there will be no more, and reports every job that was taken.
    fn compute(&self, jobs: &Receiver<(Ticket, Job)>, report: &Sender<(Ticket, Outcome)>);
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
    /// Whether jobs are stacked; those held back, by what they have in common; and those of every stack that is with the
    /// threads, by the ticket under which it is.
    stacks: bool,
    held: BTreeMap<String, Vec<Ticket>>,
    stacked: BTreeMap<Ticket, Vec<Ticket>>,
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
            let (jobs, report) = (jobs.clone(), report.clone());
            std::thread::Builder::new()
                .name("ranks".to_string())
                .spawn(move || remote.compute(&jobs, &report))
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
                            let outcome = catch_unwind(AssertUnwindSafe(|| job.perform(&plan)))
                                .unwrap_or_else(|panic| Outcome::Panicked(message(&*panic)));
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

    /// Hands in again what was not joined when a run was cut, under the tickets that the jobs had. `next` is the number
    /// of the next ticket.
    pub fn restore(&mut self, jobs: BTreeMap<Ticket, Job>, next: u64) {
        self.next = next;
        for (ticket, job) in jobs {
            self.send(ticket, job);
        }
    }

    /// Jobs that are not joined yet, and the number of the next ticket.
    pub fn pending(&self) -> (&BTreeMap<Ticket, Job>, u64) {
        (&self.pending, self.next)
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
        let jobs: Vec<Job> = tickets.iter().map(|ticket| self.pending[ticket].clone()).collect();
        if let Some(first) = tickets.first().copied() {
            self.stacked.insert(first, tickets);
            self.hand_over(first, Job::Stack(jobs));
        }
    }

    fn hand_over(&mut self, ticket: Ticket, job: Job) {
        let submit = self.submit.as_ref().expect("the pool is open while it lives");
        submit.send((ticket, job)).expect("the pool's threads outlive its sender");
        self.length.set(self.waiting.len() as f64);
    }

    /// The outcomes of what came back under a ticket.
    fn each(&mut self, ticket: Ticket, outcome: Outcome) -> Vec<(Ticket, Outcome)> {
        let Some(tickets) = self.stacked.remove(&ticket) else { return vec![(ticket, outcome)] };
        match outcome {
            Outcome::Stack(outcomes) => tickets.into_iter().zip(outcomes).collect(),
            // What became of a rank became of all its jobs.
            lost => tickets.into_iter().map(|ticket| (ticket, lost.clone())).collect(),
        }
    }

    /// The outcomes that are there, without waiting for any.
    pub fn done(&mut self) -> Vec<(Ticket, Outcome)> {
        let came: Vec<_> = self.done.try_iter().collect();
        let done: Vec<_> =
            came.into_iter().flat_map(|(ticket, outcome)| self.each(ticket, outcome)).collect();
        for (ticket, _) in &done {
            self.pending.remove(ticket);
        }
        done
    }

    /// Waits for a job and takes its outcome. A ticket is joined once.
    pub fn join(&mut self, ticket: Ticket) -> Outcome {
        if !self.train {
            return Outcome::Skipped;
        }
        let of_kind = self.held.iter().find(|(_, held)| held.contains(&ticket));
        if let Some(kind) = of_kind.map(|(kind, _)| kind.clone()) {
            self.release(&kind);
        }
        loop {
            if let Some(outcome) = self.finished.remove(&ticket) {
                self.pending.remove(&ticket);
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
