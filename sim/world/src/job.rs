//! Heavy work as values: what is to be computed, and what came out.
//!
//! A job is pure: its outcome depends on the lab, the method and the job alone, never on the thread, the process or
//! the order in which jobs run. It is serializable, so that other executors can stand where the local pool stands.

use crate::aggregate::stale;
use crate::method::{CloudOutcome, CloudTask, DeviceOutcome, DeviceTask, State, Subject, Update};
use crate::packing::{self, Residual};
use crate::payload::Payload;
use crate::plan::Plan;
use crate::privacy::{self, Leak, Surface};
use crate::score::{DomainScores, score};
use crate::stack;
use cotune_kernel::panics;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Something to compute.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Job {
    /// A device's work of a round.
    Device {
        /// Who and when.
        task: DeviceTask,
        /// The device's state before.
        #[serde(with = "crate::shared")]
        state: Arc<State>,
        /// What was sent to it.
        #[serde(with = "crate::shared")]
        received: Arc<Payload>,
        /// What the encoding of its earlier updates lost.
        residual: Residual,
    },
    /// The cloud's fold and work of a round.
    Cloud {
        /// When.
        task: CloudTask,
        /// The cloud's state before.
        #[serde(with = "crate::shared")]
        state: Arc<State>,
        /// The updates of the round, in ascending order of devices.
        updates: Vec<Update>,
    },
    /// The scores of one model.
    Score(Subject),
    /// What can be told of private examples from one model, or from the relay set that it makes.
    Attack(Subject, Surface),
    /// Work of several devices that is computed as one batch.
    Stack(Vec<Self>),
}

/// What a job came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Outcome {
    /// Of [`Job::Device`]; the update is what arrives at the cloud, with what encodings have lost so far.
    Device(Box<DeviceOutcome>, Residual),
    /// Of [`Job::Cloud`].
    Cloud(Box<CloudOutcome>),
    /// Of [`Job::Score`].
    Score(DomainScores),
    /// Of [`Job::Attack`]; none where nobody is suspected.
    Leak(Option<Leak>),
    /// Of [`Job::Stack`], in the order of its jobs.
    Stack(Vec<Self>),
    /// Learning is switched off; states stay as they were.
    Skipped,
    /// The job panicked, with this message.
    Panicked(String),
}

impl Job {
    /// Computes the job; a panic is an outcome as well.
    pub fn caught(self, plan: &Plan) -> Outcome {
        panics::caught(|| self.perform(plan)).unwrap_or_else(Outcome::Panicked)
    }

    /// Computes the job.
    pub fn perform(self, plan: &Plan) -> Outcome {
        let (lab, method) = (plan.lab(), plan.method());
        match self {
            Self::Device { task, state, received, mut residual } => {
                let received = packing::received(lab, &received);
                let mut done = method.device_work(lab, &task, Arc::unwrap_or_clone(state), &received);
                done.update = packing::sent_up(lab, done.update, &received, &mut residual);
                Outcome::Device(Box::new(done), residual)
            }
            Self::Cloud { task, state, updates } => {
                let updates = stale::rebase(lab, method, (&*state, task.round), updates);
                let folded = method.fold(lab, Arc::unwrap_or_clone(state), &updates);
                Outcome::Cloud(Box::new(method.cloud_work(lab, &task, folded, &updates)))
            }
            Self::Score(subject) => Outcome::Score(score(lab, &subject)),
            Self::Attack(subject, surface) => Outcome::Leak(privacy::attack(lab, &subject, surface)),
            Self::Stack(jobs) => Outcome::Stack(stack::perform(jobs, plan)),
        }
    }
}
