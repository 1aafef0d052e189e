//! What parties are told and what they answer: the vocabulary between the scheduler and the state machines.
//!
//! A party never talks to another one. It is told a [`Message`], and answers with [`Effect`]s that the scheduler
//! carries out in virtual time.

use crate::hazard::Direction;
use crate::job::{Job, Outcome};
use crate::method::State;
use crate::payload::Payload;
use crate::plan::Plan;
use cotune_kernel::{VirtualDuration, VirtualTime};
use cotune_models::learner::Progress;
use cotune_record::{EndReason, EventKind, Scope};
use serde::{Deserialize, Serialize};
use std::fmt::Display;
use std::sync::Arc;

/// Someone who can be told something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Party {
    /// The cloud server.
    Cloud,
    /// A device by its number.
    Device(u32),
}

impl Party {
    /// The source key of the kernel's queue; 0 is the scheduler.
    pub fn source(self) -> u64 {
        match self {
            Self::Cloud => 1,
            Self::Device(device) => 2 + u64::from(device),
        }
    }
}

/// What a party may look at besides its own state.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// Virtual time.
    pub now: VirtualTime,
    /// The plan.
    pub plan: &'a Plan,
}

/// What a party is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Message {
    /// To the cloud: open the next round, fill free places, or end the run.
    Open,
    /// To the cloud: a fault of the scenario is due.
    Strike,
    /// To the cloud: the deadline of a round has come.
    Deadline {
        /// The round.
        round: u32,
    },
    /// A payload arrived whole.
    Received(Transfer),
    /// To the device: what it sent arrived whole.
    Sent(Transfer),
    /// To the device: a transfer from or to it broke off.
    Cut {
        /// The transfer, with the bytes that crossed the wire.
        transfer: Transfer,
        /// Whether the device was gone before the first byte.
        never_began: bool,
    },
    /// To the cloud: a device left the round without an update.
    Gone {
        /// The device.
        device: u32,
        /// The round.
        round: u32,
    },
    /// To the device: something interrupts its work.
    Interrupted {
        /// What.
        cause: Interruption,
    },
    /// A job is finished.
    Done {
        /// Which of the party's jobs.
        label: Label,
        /// What it came to.
        outcome: Outcome,
    },
    /// Have your models scored.
    Measure {
        /// Rounds done.
        round: u32,
        /// The cloud's state, for methods whose devices serve a shared model.
        #[serde(with = "crate::shared")]
        cloud: Arc<State>,
    },
}

/// One transfer between cloud and a device.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Transfer {
    /// The round.
    pub round: u32,
    /// The device at the other end from the cloud.
    pub device: u32,
    /// Whether it goes to the cloud.
    pub up: bool,
    /// What travels.
    #[serde(with = "crate::shared")]
    pub payload: Arc<Payload>,
    /// Bytes that are charged: of the whole payload when it is sent, those that crossed when it ended.
    pub bytes: u64,
    /// From start to end \[s\]; 0 when it is sent.
    pub seconds: f64,
    /// What the device spent in this round before: bytes both ways, and marginal joules.
    pub spent: (u64, f64),
}

impl Transfer {
    /// Which of the cloud's two links it shares with others.
    pub fn direction(&self) -> Direction {
        if self.up { Direction::Up } else { Direction::Down }
    }

    /// Who gets the payload.
    pub fn receiver(&self) -> Party {
        if self.up { Party::Cloud } else { Party::Device(self.device) }
    }
}

/// What interrupts a device's work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Interruption {
    /// A crash fault.
    Crash,
    /// The device went offline.
    Offline,
    /// Its battery fell to the charge below which it does not train.
    Battery,
}

/// Which of its jobs a party hears of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Label {
    /// The work of a round.
    Work {
        /// The round.
        round: u32,
    },
    /// Scores.
    Score {
        /// Rounds done.
        round: u32,
        /// Which model on which data.
        scope: Scope,
    },
    /// What leaks.
    Attack {
        /// Rounds done.
        round: u32,
        /// The travelling model, or its relay set.
        scope: Scope,
    },
}

/// What a party wants done.
#[derive(Debug)]
pub enum Effect {
    /// Send a payload over the network.
    Send(Transfer),
    /// Compute a job; its result is due after this much virtual time.
    Train {
        /// The job.
        job: Job,
        /// Its name.
        label: Label,
        /// Its virtual duration.
        after: VirtualDuration,
    },
    /// Tell me this later.
    Wake {
        /// In this much virtual time.
        after: VirtualDuration,
        /// What.
        message: Message,
    },
    /// Tell another party now: what a connection that breaks tells its other end.
    Tell {
        /// Whom.
        to: Party,
        /// What.
        message: Message,
    },
    /// Have all models of the panel and the cloud scored.
    Measure {
        /// Rounds done.
        round: u32,
        /// The cloud's state.
        cloud: Arc<State>,
    },
    /// Write down what happened.
    Record(EventKind),
    /// I have nothing to do: keep my state, drop my actor.
    Passivate,
    /// The run is over.
    End(EndReason),
}

impl Effect {
    /// The warning that a device's accepted update is left out of the work of a round, and why. It is to follow the event that
    /// the cloud began.
    pub(crate) fn left_out(device: u32, round: u32, why: impl Display) -> Self {
        let text = format!("the update of device {device} is left out of round {round}: {why}");
        Self::Record(EventKind::Warning { text, learned: true, skipped: 0 })
    }

    /// The warning that `party` skipped steps of its work in a round, if it did. It is to follow the event of the work.
    pub(crate) fn skipped_steps(party: &str, round: u32, trained: &Progress) -> Option<Self> {
        let Progress { steps, skipped, .. } = *trained;
        (skipped > 0).then(|| {
            let text = format!(
                "{party} skipped {skipped} of {steps} steps in round {round}: their loss or gradient was not finite"
            );
            Self::Record(EventKind::Warning { text, learned: true, skipped })
        })
    }
}
