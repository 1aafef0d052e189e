//! Synchronous rounds, told to the cloud's state machine message by message: no clock, no actors, no learning.

use cotune_kernel::VirtualDuration;
use cotune_record::Reason;
use cotune_tests::{co_plms, fedavg, plan, tiny};
use cotune_world::effect::{Effect, Message};
use cotune_world::method::Update;
use cotune_world::payload::{Part, Payload};

use crate::told::{Told, folded, opens_after, outcomes, sent, void};

/// A cloud whose first round has invited all three devices; `sync` is the content of `[coordination.sync]`.
fn open(method: &str, sync: &str) -> (Told, Vec<Effect>) {
    let (told, effects) = Told::open(&format!("{method}\n[coordination.sync]\n{sync}"), &[]);
    assert_eq!(sent(&effects), [(1, 0), (1, 1), (1, 2)]);
    (told, effects)
}

#[test]
fn updates_are_folded_in_the_order_of_devices_whatever_order_they_arrive_in() {
    let fold = |order: [u32; 3]| -> Vec<Update> {
        let (mut round, _) = open(&fedavg("on = \"proxy\""), "");
        order
            .into_iter()
            .flat_map(|device| {
                let effects = round.receive(1, device, device as f32);
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
            let (mut round, _) = open(&method, "");
            assert_eq!(outcomes(&round.receive(1, 0, 0.5)), [(0, None)]);
            assert_eq!(outcomes(&round.receive(1, 1, poison)), [(1, Some(Reason::Rejected))]);
            let effects = round.receive(1, 2, 0.5);
            let devices: Vec<u32> =
                folded(&effects).expect("the round closes").iter().map(|u| u.device).collect();
            assert_eq!(devices, [0, 2]);
        }
    }
}

#[test]
fn a_device_that_never_returns_cannot_keep_a_round_open_beyond_its_deadline() {
    let (mut round, opened) = open(&co_plms(""), "deadline = \"5min\"\nmin_updates = 2");
    let deadline = opened.iter().find_map(|effect| match effect {
        Effect::Wake { after, message: Message::Deadline { round: 1 } } => Some(*after),
        _ => None,
    });
    assert_eq!(deadline, Some(VirtualDuration::from_secs(300)));
    round.receive(1, 0, 0.5);
    round.receive(1, 2, 0.5);
    let effects = round.tell(Message::Deadline { round: 1 });
    assert_eq!(folded(&effects).map(<[Update]>::len), Some(2));
    assert_eq!(
        outcomes(&round.receive(1, 1, 0.5)),
        [(1, Some(Reason::Late))],
        "after the deadline it is late"
    );
}

#[test]
fn a_round_with_too_few_updates_is_void_and_changes_nothing() {
    let (mut round, _) = open(&co_plms(""), "deadline = \"5min\"\nmin_updates = 2");
    let before = round.cloud.state().clone();
    round.receive(1, 0, 0.5);
    let effects = round.tell(Message::Deadline { round: 1 });
    assert!(void(&effects) && folded(&effects).is_none());
    assert!(round.cloud.state() == &before);
}

#[test]
fn a_round_closes_as_soon_as_everyone_left_is_gone() {
    let (mut round, _) = open(&co_plms(""), "");
    round.receive(1, 0, 0.5);
    assert!(round.tell(Message::Gone { device: 1, round: 1 }).is_empty());
    let effects = round.tell(Message::Gone { device: 2, round: 1 });
    assert_eq!(folded(&effects).map(<[Update]>::len), Some(1));
}

#[test]
fn enough_updates_close_a_round_that_invited_more() {
    let (mut round, _) = open(&co_plms(""), "cohort = 2\novercommit = 1.5");
    round.receive(1, 2, 0.5);
    let effects = round.receive(1, 1, 0.5);
    let devices: Vec<u32> = folded(&effects).expect("two are enough").iter().map(|u| u.device).collect();
    assert_eq!(devices, [1, 2]);
    assert_eq!(outcomes(&round.receive(1, 0, 0.5)), [(0, Some(Reason::Late))]);
}

#[test]
fn a_deadline_that_has_no_round_left_does_nothing() {
    let (mut round, _) = open(&co_plms(""), "deadline = \"5min\"");
    (0..3).for_each(|device| drop(round.receive(1, device, 0.5)));
    assert!(round.tell(Message::Deadline { round: 1 }).is_empty());
    assert!(round.tell(Message::Deadline { round: 9 }).is_empty());
}

#[test]
fn an_update_of_another_shape_is_rejected() {
    for method in [fedavg("on = \"proxy\""), fedavg("on = \"edge\""), co_plms("")] {
        let (mut round, _) = open(&method, "");
        let mut short = round.update(0, 0.5);
        let Part::Adapter { values, .. } = &mut short.parts[0] else { panic!("an adapter is sent") };
        values.pop();
        let mut renamed = round.update(1, 0.5);
        let Part::Adapter { model, .. } = &mut renamed.parts[0] else { panic!("an adapter is sent") };
        model.push('x');
        assert_eq!(outcomes(&round.receive_payload(1, 0, short)), [(0, Some(Reason::Rejected))]);
        assert_eq!(outcomes(&round.receive_payload(1, 1, renamed)), [(1, Some(Reason::Rejected))]);
        let effects = round.receive_payload(1, 2, Payload::default());
        assert_eq!(outcomes(&effects), [(2, Some(Reason::Rejected))]);
        assert!(void(&effects), "nobody sent anything that could be aggregated");
    }
}

#[test]
fn a_void_round_is_tried_again_with_a_new_number() {
    let (mut round, _) = open(&co_plms(""), "deadline = \"5min\"\nmin_updates = 2");
    round.now += VirtualDuration::from_secs(300);
    round.receive(1, 0, 0.5);
    round.tell(Message::Gone { device: 1, round: 1 });
    let effects = round.tell(Message::Deadline { round: 1 });
    assert!(void(&effects));
    assert_eq!(opens_after(&effects), Some(0.0));
    let again = round.tell(Message::Open);
    assert_eq!(sent(&again), [(2, 0), (2, 1)], "device 2 is still at work on the first round");
    assert_eq!(outcomes(&round.receive(1, 2, 0.5)), [(2, Some(Reason::Late))]);
    assert_eq!(outcomes(&round.receive(2, 0, 0.5)), [(0, None)]);
    let effects = round.receive(2, 1, 0.5);
    assert_eq!(folded(&effects).map(<[Update]>::len), Some(2), "this one counts");
}

#[test]
fn a_round_that_is_void_at_once_is_not_tried_again_at_once() {
    // Memory that the work nearly fills, of which nearly nothing is free at worst: most invitations are declined, and in
    // a round where all are, no time passes.
    let tables = format!("{}\n[coordination.sync]\n", fedavg("on = \"proxy\""));
    let plan = plan(&tiny(&tables, &[]));
    let needs = |device| plan.device_cost(device, 1).memory_bytes;
    let memory = format!("\"{}B\"", (1.02 * (0..3).map(needs).fold(0.0, f64::max)).ceil());
    let keys = ["phone", "gateway"]
        .map(|class| (format!("fleet.class.{class}.memory"), format!("fleet.class.{class}.memory_free")));
    let (mut declined, mut waits) = (0, Vec::new());
    for seed in 1..6 {
        let seed = seed.to_string();
        let memory = keys.iter().flat_map(|(memory_key, free_key)| {
            [(memory_key.as_str(), memory.as_str()), (free_key.as_str(), "1e-6")]
        });
        let overrides: Vec<_> = memory.chain([("seed", seed.as_str())]).collect();
        let (_, effects) = Told::open(&tables, &overrides);
        let short = outcomes(&effects);
        assert!(short.iter().all(|(_, why)| *why == Some(Reason::RefusedMemory)), "{short:?}");
        assert_eq!(sent(&effects).len() + short.len(), 3, "who declines is sent nothing");
        assert_eq!(void(&effects), short.len() == 3, "seed {seed}");
        declined += short.len();
        waits.extend(opens_after(&effects));
    }
    assert!(declined > 5, "{declined} of 15 invitations are declined");
    assert!(!waits.is_empty() && waits.iter().all(|wait| *wait == 60.0), "{waits:?}");
}
