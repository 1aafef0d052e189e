//! Coordination: who is invited, when updates become a new model, what becomes of late ones. It never sees a weight.
//!
//! | file          | what it is |
//! |---------------|------------|
//! | `sync.rs`     | rounds: a cohort is waited for (Bonawitz et al. 2019) |
//! | `buffered.rs` | no waiting: every so many updates make a new model (FedBuff; with a buffer of one, asynchronous) |
//! | `server.rs`   | what both need: invitations, the cloud's work, budgets, the end of the run |
//! | `scores.rs`   | the scores of the cloud's models, and what they leak |

mod buffered;
mod scores;
mod server;
mod sync;

use crate::effect::{Effect, Label, Message, Transfer, View};
use crate::job::Outcome;
use crate::method::State;
use buffered::BufferedUpdates;
use cotune_record::{EventKind, FaultKind};
use cotune_scenario::coordination::Coordination;
use serde::{Deserialize, Serialize};
use server::Server;
use sync::Rounds;

/// The cloud as a state machine.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CloudCore {
    server: Server,
    way: Way,
}

/// The way of coordinating, with what it keeps.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum Way {
    Rounds(Rounds),
    Buffered(BufferedUpdates),
}

impl Way {
    fn has_open_round(&self) -> bool {
        match self {
            Self::Rounds(rounds) => rounds.is_open(),
            Self::Buffered(buffered) => buffered.is_open(),
        }
    }

    fn protocol(&mut self) -> &mut dyn Protocol {
        match self {
            Self::Rounds(rounds) => rounds,
            Self::Buffered(buffered) => buffered,
        }
    }
}

/// What one way of coordinating decides.
trait Protocol {
    /// It is time to invite devices: to open a round, or to fill free places of the open one.
    fn open(&mut self, server: &mut Server, view: &View<'_>) -> Vec<Effect>;

    /// An update arrived.
    fn received(&mut self, server: &mut Server, transfer: &Transfer, view: &View<'_>) -> Vec<Effect>;

    /// A device left a round without an update.
    fn left(&mut self, server: &mut Server, device: u32, round: u32, view: &View<'_>) -> Vec<Effect>;

    /// The deadline of a round has come.
    fn deadline(&mut self, _server: &mut Server, _round: u32, _view: &View<'_>) -> Vec<Effect> {
        Vec::new()
    }

    /// The cloud's work on the aggregate of a round is done.
    fn worked(&mut self, server: &mut Server, round: u32, outcome: Outcome, view: &View<'_>) -> Vec<Effect>;

    /// The cloud has stopped: whatever is not in its state is forgotten.
    fn lost(&mut self, server: &mut Server, view: &View<'_>) -> Vec<Effect>;
}

impl CloudCore {
    /// A cloud before the first round.
    pub fn new(state: State, coordination: &Coordination) -> Self {
        let way = match coordination {
            Coordination::Sync(sync) => Way::Rounds(Rounds::new(sync.clone())),
            Coordination::Buffered(buffered) | Coordination::Async(buffered) => {
                Way::Buffered(BufferedUpdates::new(buffered.clone()))
            }
        };
        Self { server: Server::new(state), way }
    }

    /// The models it holds.
    pub fn state(&self) -> &State {
        self.server.state()
    }

    /// Rounds that are over, void ones included.
    pub fn rounds_closed(&self) -> u32 {
        self.server.rounds_opened() - u32::from(self.way.has_open_round())
    }

    /// Reacts to a message.
    pub fn on(&mut self, message: Message, view: &View<'_>) -> Vec<Effect> {
        let mut effects = self.strikes(view);
        effects.extend(self.react(message, view));
        // Every invited device has an outcome before the run is over.
        effects.extend(self.server.end_if_idle(view));
        effects
    }

    fn react(&mut self, message: Message, view: &View<'_>) -> Vec<Effect> {
        let Self { server, way } = self;
        let protocol = way.protocol();
        match message {
            Message::Open if !server.has_begun() => server.begin(view),
            Message::Open if server.is_time_to_open(view.now) => protocol.open(server, view),
            // A strike was dealt with before the message was looked at.
            Message::Open | Message::Strike => Vec::new(),
            Message::Received(transfer) => {
                server.returned(transfer.device);
                server.charge_uplink(transfer.bytes);
                protocol.received(server, &transfer, view)
            }
            Message::Gone { device, round } => {
                server.returned(device);
                protocol.left(server, device, round, view)
            }
            Message::Deadline { round } => protocol.deadline(server, round, view),
            Message::Done { label: Label::Work { round }, outcome } => {
                protocol.worked(server, round, outcome, view)
            }
            Message::Done { label: Label::Score { round, scope }, outcome } => {
                scores::scored(round, scope, outcome, view)
            }
            Message::Done { label: Label::Attack { round, scope }, outcome } => {
                scores::attacked(round, scope, &outcome)
            }
            Message::Measure { round, .. } => scores::measure(server.state(), round, view),
            Message::Sent(_) | Message::Cut { .. } | Message::Interrupted { .. } => {
                unreachable!("{message:?} is for a device")
            }
        }
    }

    /// What has struck by now and was not dealt with. It comes before any message, so that nothing which reaches the cloud
    /// at the instant of a restart still finds the round that is lost.
    fn strikes(&mut self, view: &View<'_>) -> Vec<Effect> {
        let mut effects = Vec::new();
        while let Some(strike) = self.server.next_strike(view) {
            let (kind, detail) = (strike.kind, strike.detail.clone());
            effects.push(Effect::Record(EventKind::Fault { kind, device: None, detail }));
            if kind == FaultKind::CloudRestart {
                effects.extend(self.way.protocol().lost(&mut self.server, view));
                effects.push(self.server.restart(strike.until, view));
            }
        }
        effects
    }
}
