//! Synchronous rounds, told to the cloud's state machine message by message: no clock, no actors, no learning.

use std::sync::Arc;

use cotune_kernel::{VirtualDuration, VirtualTime};
use cotune_record::{EventKind, Reason};
use cotune_tests::{co_plms, fedavg, plan, tiny};
use cotune_world::Plan;
use cotune_world::coordination::sync::CloudCore;
use cotune_world::effect::{Effect, Message, Transfer, View};
use cotune_world::job::Job;
use cotune_world::method::Update;
use cotune_world::payload::{Part, Payload};

/// A cloud whose first round is open, and what it answers.
struct Round {
    plan: Arc<Plan>,
    cloud: CloudCore,
}

impl Round {
    /// All three devices are invited; `sync` is the content of `[coordination.sync]`.
    fn open(method: &str, sync: &str) -> (Self, Vec<Effect>) {
        let plan = plan(&tiny(&format!("{method}\n[coordination.sync]\n{sync}"), &[]));
        let cloud = CloudCore::new(plan.method().start_cloud(plan.lab()));
        let mut round = Self { plan, cloud };
        let scored_first = round.tell(Message::Open);
        assert!(matches!(scored_first[0], Effect::Measure { round: 0, .. }));
        let effects = round.tell(Message::Open);
        assert_eq!(effects.iter().filter(|effect| matches!(effect, Effect::Send(_))).count(), 3);
        (round, effects)
    }

    fn tell(&mut self, message: Message) -> Vec<Effect> {
        let now = VirtualTime::ZERO + VirtualDuration::from_secs(10);
        self.cloud.on(message, &View { now, plan: &self.plan })
    }

    /// An update of a device whose first value is `first`.
    fn receive(&mut self, device: u32, first: f32) -> Vec<Effect> {
        let model = &self.plan.fleet().class_of(device).model;
        let mut payload: Payload = self.plan.method().uplink(self.plan.lab(), model);
        if let Some(Part::Adapter { values, .. }) = payload.parts.first_mut() {
            values[0] = first;
        }
        let bytes = self.plan.traffic(device).up;
        self.tell(Message::Received(Transfer {
            round: 1,
            device,
            up: true,
            payload: Arc::new(payload),
            bytes,
            seconds: 1.0,
            spent: (7, 0.0),
        }))
    }
}

/// What became of devices: number and reason, none for an accepted update.
fn outcomes(effects: &[Effect]) -> Vec<(u32, Option<Reason>)> {
    let outcome = |effect: &Effect| match effect {
        Effect::Record(EventKind::UpdateAccepted { device, .. }) => Some((*device, None)),
        Effect::Record(EventKind::NotContributed { device, reason, .. }) => Some((*device, Some(*reason))),
        _ => None,
    };
    effects.iter().filter_map(outcome).collect()
}

/// The updates that the cloud goes to work on.
fn folded(effects: &[Effect]) -> Option<&[Update]> {
    effects.iter().find_map(|effect| match effect {
        Effect::Train { job: Job::Cloud { updates, .. }, .. } => Some(updates.as_slice()),
        _ => None,
    })
}

/// Whether the round was closed as void.
fn void(effects: &[Effect]) -> bool {
    effects.iter().any(|effect| matches!(effect, Effect::Record(EventKind::RoundClosed { void: true, .. })))
}

#[test]
fn updates_are_folded_in_the_order_of_devices_whatever_order_they_arrive_in() {
    let fold = |order: [u32; 3]| -> Vec<Update> {
        let (mut round, _) = Round::open(&fedavg("on = \"proxy\""), "");
        order
            .into_iter()
            .flat_map(|device| {
                let effects = round.receive(device, device as f32);
                folded(&effects).map(<[Update]>::to_vec).unwrap_or_default()
            })
            .collect()
    };
    let ascending = fold([0, 1, 2]);
    assert_eq!(ascending.iter().map(|update| update.device).collect::<Vec<_>>(), [0, 1, 2]);
    for order in [[2, 1, 0], [1, 2, 0], [2, 0, 1]] {
        assert!(fold(order) == ascending, "arrival order {order:?} changes the fold");
    }
}

#[test]
fn an_update_that_is_not_finite_is_rejected_and_does_not_hold_the_round_up() {
    for method in [fedavg("on = \"proxy\""), fedavg("on = \"edge\""), co_plms("")] {
        for poison in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let (mut round, _) = Round::open(&method, "");
            assert_eq!(outcomes(&round.receive(0, 0.5)), [(0, None)]);
            assert_eq!(outcomes(&round.receive(1, poison)), [(1, Some(Reason::Rejected))]);
            let effects = round.receive(2, 0.5);
            let devices: Vec<u32> =
                folded(&effects).expect("the round closes").iter().map(|u| u.device).collect();
            assert_eq!(devices, [0, 2]);
        }
    }
}

#[test]
fn a_device_that_never_returns_cannot_keep_a_round_open_beyond_its_deadline() {
    let (mut round, opened) = Round::open(&co_plms(""), "deadline = \"5min\"\nmin_updates = 2");
    let deadline = opened.iter().find_map(|effect| match effect {
        Effect::Wake { after, message: Message::Deadline { round: 1 } } => Some(*after),
        _ => None,
    });
    assert_eq!(deadline, Some(VirtualDuration::from_secs(300)));
    round.receive(0, 0.5);
    round.receive(2, 0.5);
    let effects = round.tell(Message::Deadline { round: 1 });
    assert_eq!(folded(&effects).map(<[Update]>::len), Some(2));
    assert_eq!(outcomes(&round.receive(1, 0.5)), [(1, Some(Reason::Late))], "after the deadline it is late");
}

#[test]
fn a_round_with_too_few_updates_is_void_and_changes_nothing() {
    let (mut round, _) = Round::open(&co_plms(""), "deadline = \"5min\"\nmin_updates = 2");
    let before = round.cloud.state().clone();
    round.receive(0, 0.5);
    let effects = round.tell(Message::Deadline { round: 1 });
    assert!(void(&effects) && folded(&effects).is_none());
    assert!(round.cloud.state() == &before);
}

#[test]
fn a_round_closes_as_soon_as_everyone_left_is_gone() {
    let (mut round, _) = Round::open(&co_plms(""), "");
    round.receive(0, 0.5);
    assert!(round.tell(Message::Gone { device: 1, round: 1 }).is_empty());
    let effects = round.tell(Message::Gone { device: 2, round: 1 });
    assert_eq!(folded(&effects).map(<[Update]>::len), Some(1));
}

#[test]
fn enough_updates_close_a_round_that_invited_more() {
    let (mut round, _) = Round::open(&co_plms(""), "cohort = 2\novercommit = 1.5");
    round.receive(2, 0.5);
    let effects = round.receive(1, 0.5);
    let devices: Vec<u32> = folded(&effects).expect("two are enough").iter().map(|u| u.device).collect();
    assert_eq!(devices, [1, 2]);
    assert_eq!(outcomes(&round.receive(0, 0.5)), [(0, Some(Reason::Late))]);
}

#[test]
fn a_deadline_that_has_no_round_left_does_nothing() {
    let (mut round, _) = Round::open(&co_plms(""), "deadline = \"5min\"");
    (0..3).for_each(|device| drop(round.receive(device, 0.5)));
    assert!(round.tell(Message::Deadline { round: 1 }).is_empty());
    assert!(round.tell(Message::Deadline { round: 9 }).is_empty());
}
