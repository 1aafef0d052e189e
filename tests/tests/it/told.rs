//! A cloud that is told message by message: no clock, no actors, no learning.

use std::sync::Arc;

use cotune_kernel::{VirtualDuration, VirtualTime};
use cotune_record::{EventKind, Reason};
use cotune_tests::{plan, tiny};
use cotune_world::Plan;
use cotune_world::coordination::CloudCore;
use cotune_world::effect::{Effect, Message, Transfer, View};
use cotune_world::job::{Job, Outcome};
use cotune_world::method::Update;
use cotune_world::payload::{Part, Payload};

/// A cloud, and when it is told something.
pub struct Told {
    pub plan: Arc<Plan>,
    pub cloud: CloudCore,
    pub now: VirtualTime,
}

impl Told {
    /// A cloud whose first round is open, and what it answered to that.
    pub fn open(tables: &str, overrides: &[(&str, &str)]) -> (Self, Vec<Effect>) {
        Self::of(plan(&tiny(tables, overrides)))
    }

    /// The same of a plan.
    pub fn of(plan: Arc<Plan>) -> (Self, Vec<Effect>) {
        let cloud = CloudCore::new(plan.method().start_cloud(plan.lab()), plan.coordination());
        let mut told = Self { plan, cloud, now: VirtualTime::ZERO + VirtualDuration::from_secs(10) };
        let scored_first = told.tell(Message::Open);
        assert!(matches!(scored_first[0], Effect::Measure { round: 0, .. }));
        let effects = told.tell(Message::Open);
        (told, effects)
    }

    pub fn tell(&mut self, message: Message) -> Vec<Effect> {
        self.cloud.on(message, &View { now: self.now, plan: &self.plan })
    }

    /// What a device sends whose first value is `first`.
    pub fn update(&self, device: u32, first: f32) -> Payload {
        let model = &self.plan.fleet().class_of(device).model;
        let mut payload: Payload = self.plan.method().uplink(self.plan.lab(), model, 1);
        if let Some(Part::Adapter { values, .. }) = payload.parts.first_mut() {
            values[0] = first;
        }
        payload
    }

    /// An update of a device arrives that it made in `round`.
    pub fn receive(&mut self, round: u32, device: u32, first: f32) -> Vec<Effect> {
        let payload = self.update(device, first);
        self.receive_payload(round, device, payload)
    }

    pub fn receive_payload(&mut self, round: u32, device: u32, payload: Payload) -> Vec<Effect> {
        let (payload, bytes) = (Arc::new(payload), self.plan.traffic(device, round).up);
        let spent = (7, 0.0);
        self.tell(Message::Received(Transfer {
            round,
            device,
            up: true,
            payload,
            bytes,
            seconds: 1.0,
            spent,
        }))
    }

    /// The cloud's work of a round is done and left its state as it was.
    pub fn worked(&mut self, round: u32) -> Vec<Effect> {
        let label = cotune_world::effect::Label::Work { round };
        self.tell(Message::Done { label, outcome: Outcome::Skipped })
    }
}

/// What became of devices: number and reason, none for an accepted update.
pub fn outcomes(effects: &[Effect]) -> Vec<(u32, Option<Reason>)> {
    let outcome = |effect: &Effect| match effect {
        Effect::Record(EventKind::UpdateAccepted { device, .. }) => Some((*device, None)),
        Effect::Record(EventKind::NotContributed { device, reason, .. }) => Some((*device, Some(*reason))),
        _ => None,
    };
    effects.iter().filter_map(outcome).collect()
}

/// Who is sent a model, and in which round.
pub fn sent(effects: &[Effect]) -> Vec<(u32, u32)> {
    let sent = |effect: &Effect| match effect {
        Effect::Send(transfer) => Some((transfer.round, transfer.device)),
        _ => None,
    };
    effects.iter().filter_map(sent).collect()
}

/// The updates that the cloud goes to work on.
pub fn folded(effects: &[Effect]) -> Option<&[Update]> {
    effects.iter().find_map(|effect| match effect {
        Effect::Train { job: Job::Cloud { updates, .. }, .. } => Some(updates.as_slice()),
        _ => None,
    })
}

/// Whether the round was closed as void.
pub fn void(effects: &[Effect]) -> bool {
    effects.iter().any(|effect| matches!(effect, Effect::Record(EventKind::RoundClosed { void: true, .. })))
}

/// After how many seconds the cloud wants to open again.
pub fn opens_after(effects: &[Effect]) -> Option<f64> {
    effects.iter().find_map(|effect| match effect {
        Effect::Wake { after, message: Message::Open } => Some(after.as_secs_f64()),
        _ => None,
    })
}
