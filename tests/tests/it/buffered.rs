//! Buffered and asynchronous coordination: told message by message, and played to the end with every method.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cotune_record::{Event, EventKind, Reason, tabulate};
use cotune_tests::{co_plms, fedavg, plan, play, relay, standalone, tiny};
use cotune_world::effect::{Effect, Message};
use cotune_world::job::{Job, Outcome};
use cotune_world::method::{CloudTask, Update};
use cotune_world::packing;
use cotune_world::payload::Payload;

use crate::told::{Told, folded, opens_after, outcomes, sent, void};

/// A cloud whose first round is open; `buffered` is the content of `[coordination.buffered]`.
fn open(buffered: &str) -> (Told, Vec<Effect>) {
    Told::open(
        &format!("{}\n[coordination.buffered]\n{buffered}", fedavg("on = \"proxy\"")),
        &[("budget.rounds", "9")],
    )
}

/// Rounds and devices that are invited after their round opened.
fn invited_later(effects: &[Effect]) -> Vec<(u32, u32)> {
    let later = |effect: &Effect| match effect {
        Effect::Record(EventKind::Invited { round, device }) => Some((*round, *device)),
        _ => None,
    };
    effects.iter().filter_map(later).collect()
}

#[test]
fn places_are_filled_as_they_get_free_and_a_full_buffer_makes_a_model() {
    let (mut told, opened) = open("concurrency = 2\nbuffer = 2");
    let first: Vec<u32> = sent(&opened).into_iter().map(|(_, device)| device).collect();
    assert_eq!(first.len(), 2, "two are at work at once");
    let third = (0..3).find(|device| !first.contains(device)).expect("there are three devices");

    let effects = told.receive(1, first[0], 0.5);
    assert_eq!(outcomes(&effects), [(first[0], None)]);
    assert_eq!((sent(&effects), invited_later(&effects)), (vec![(1, third)], vec![(1, third)]));
    assert!(folded(&effects).is_none(), "one update is not two");

    let effects = told.receive(1, third, 0.5);
    let devices: Vec<u32> = folded(&effects).expect("the buffer is full").iter().map(|u| u.device).collect();
    assert!(devices.is_sorted() && devices.len() == 2, "{devices:?} are folded in the order of devices");
    assert!(sent(&effects).is_empty(), "the next model is about to come");

    let effects = told.worked(1);
    assert_eq!(opens_after(&effects), Some(0.0));
    let effects = told.tell(Message::Open);
    assert_eq!(sent(&effects).len(), 1, "one place is free: {:?} is still at work", first[1]);
}

#[test]
fn a_device_is_sent_a_model_once() {
    let (mut told, opened) = open("concurrency = 3\nbuffer = 3");
    assert_eq!(sent(&opened), [(1, 0), (1, 1), (1, 2)]);
    assert!(sent(&told.receive(1, 1, 0.5)).is_empty(), "device 1 has this model already");
    assert!(sent(&told.tell(Message::Gone { device: 0, round: 1 })).is_empty());
    // Nobody is left who could fill the buffer, so it is taken as it is.
    let effects = told.receive(1, 2, 0.5);
    assert_eq!(folded(&effects).map(<[Update]>::len), Some(2));
}

#[test]
fn a_round_that_nobody_contributes_to_is_void() {
    let (mut told, _) = open("concurrency = 3\nbuffer = 2");
    told.now += cotune_kernel::VirtualDuration::from_secs(1);
    for device in 0..2 {
        assert!(told.tell(Message::Gone { device, round: 1 }).is_empty());
    }
    let effects = told.tell(Message::Gone { device: 2, round: 1 });
    assert!(void(&effects));
    assert_eq!(sent(&told.tell(Message::Open)), [(2, 0), (2, 1), (2, 2)]);
}

/// A cloud that has made a model while device 2 was at work on the one before, and has opened the next round.
fn one_behind(buffered: &str) -> Told {
    let (mut told, _) = open(&format!("concurrency = 3\nbuffer = 2\n{buffered}"));
    told.receive(1, 0, 0.5);
    assert_eq!(folded(&told.receive(1, 1, 0.5)).map(<[Update]>::len), Some(2));
    told.worked(1);
    assert_eq!(sent(&told.tell(Message::Open)), [(2, 0), (2, 1)]);
    told
}

#[test]
fn a_stale_update_counts_less_and_says_what_it_is_based_on() {
    for (keys, discount) in
        [("", 0.5f64.sqrt()), ("staleness_exponent = 2.0", 0.25), ("staleness_exponent = 0", 1.0)]
    {
        let mut told = one_behind(keys);
        let effects = told.receive(1, 2, 0.5);
        let Some(Effect::Record(EventKind::UpdateAccepted { round, device, weight, staleness, aggregate })) =
            effects.first()
        else {
            panic!("{effects:?}")
        };
        assert_eq!((*round, *device, *staleness, *aggregate), (1, 2, 1, Some(2)));
        let examples = told.plan.lab().examples_of(2).len() as f64;
        assert!((weight / examples - discount).abs() < 1e-12, "{weight} for {examples} examples");

        let effects = told.receive(2, 0, 0.5);
        let updates = folded(&effects).expect("the buffer is full");
        assert_eq!(
            updates.iter().map(|u| (u.device, u.base.is_some())).collect::<Vec<_>>(),
            [(0, false), (2, true)]
        );
        assert!((updates[1].discount - discount).abs() < 1e-12 && updates[0].discount == 1.0);
    }
}

#[test]
fn an_update_that_is_too_old_is_stale() {
    let mut told = one_behind("max_staleness = 0");
    assert_eq!(outcomes(&told.receive(1, 2, 0.5)), [(2, Some(Reason::Stale))]);
    let mut told = one_behind("max_staleness = 1");
    assert_eq!(outcomes(&told.receive(1, 2, 0.5)), [(2, None)]);
}

#[test]
fn what_is_not_finite_or_of_another_shape_is_rejected_and_its_place_is_free() {
    let (mut told, _) = open("concurrency = 3\nbuffer = 2");
    assert_eq!(outcomes(&told.receive(1, 0, f32::NAN)), [(0, Some(Reason::Rejected))]);
    assert_eq!(outcomes(&told.receive_payload(1, 1, Payload::default())), [(1, Some(Reason::Rejected))]);
    let effects = told.receive(1, 2, 0.5);
    assert_eq!(folded(&effects).map(<[Update]>::len), Some(1), "nobody else has an update for this model");
}

#[test]
fn updates_that_come_while_the_cloud_works_wait_for_the_next_round() {
    let (mut told, _) = open("concurrency = 3\nbuffer = 1");
    assert!(folded(&told.receive(1, 0, 0.5)).is_some());
    assert!(told.receive(1, 1, 0.5).is_empty() && told.receive(1, 2, 0.5).is_empty());
    told.worked(1);
    let effects = told.tell(Message::Open);
    assert_eq!(outcomes(&effects), [(1, None)], "the buffer takes one");
    assert_eq!(folded(&effects).map(|updates| updates[0].device), Some(1));
    assert_eq!(
        sent(&effects).len(),
        3,
        "all are free and get the new model, which is what the waiting cost them"
    );
    told.worked(2);
    let effects = told.tell(Message::Open);
    assert_eq!(outcomes(&effects), [(2, None)]);
    assert!(sent(&effects).is_empty(), "everyone is at work");
}

/// FedBuff, algorithm 1: θ ← θ + Σ w_k Δ_k / Σ w_k, the change of a stale update taken from the model it was sent.
#[test]
fn the_cloud_adds_the_change_that_a_stale_device_made() {
    let plan = plan(&tiny(&fedavg("on = \"proxy\""), &[]));
    let (lab, method) = (plan.lab(), plan.method());
    let mut state = method.start_cloud(lab);
    let length = state["proxy"].values.len();
    let at = |value: f32| Payload::adapter("proxy", &vec![value; length]);
    state.get_mut("proxy").expect("the proxy is averaged").values.fill(2.0);
    let update = |device, examples, discount, sent: Option<f32>, value| Update {
        device,
        model: "edge-a".to_owned(),
        examples,
        discount,
        base: sent.map(|sent| at(sent).into()),
        payload: at(value).into(),
    };
    // Changes +1 on the cloud's model with weight 10, and +4 on an older one with weight 40 · 1/4.
    let updates = vec![update(0, 10, 1.0, None, 3.0), update(1, 40, 0.25, Some(-7.0), -3.0)];
    let job = Job::Cloud { task: CloudTask { round: 2, progress: 0.5 }, state: Arc::new(state), updates };
    let Outcome::Cloud(outcome) = job.perform(&plan) else { panic!("it is the cloud's") };
    assert!(outcome.state["proxy"].values.iter().all(|value| *value == 4.5), "2 + (10 · 1 + 10 · 4) / 20");
}

/// What an encoding loses on the way down is not a change that the device made.
#[test]
fn a_stale_device_that_learned_nothing_from_a_lossy_download_changes_nothing() {
    let plan = plan(&tiny(&fedavg("on = \"proxy\""), &[("transfer.down", "{ topk = { share = 0.1 } }")]));
    let (lab, method) = (plan.lab(), plan.method());
    let mut state = method.start_cloud(lab);
    let length = state["proxy"].values.len();
    let sent = Payload::adapter("proxy", &(0..length).map(|index| (index as f32).sin()).collect::<Vec<_>>());
    let received = packing::received(lab, &sent);
    assert_ne!(received, sent, "the download is lossy");
    state.get_mut("proxy").expect("the proxy is averaged").values.fill(2.0);
    let (model, base) = ("edge-a".to_owned(), Some(sent.into()));
    let update = Update { device: 0, model, examples: 10, discount: 0.5, base, payload: received.into() };
    let job = Job::Cloud {
        task: CloudTask { round: 2, progress: 0.5 },
        state: Arc::new(state),
        updates: vec![update],
    };
    let Outcome::Cloud(outcome) = job.perform(&plan) else { panic!("it is the cloud's") };
    assert!(outcome.state["proxy"].values.iter().all(|value| *value == 2.0));
}

/// Six devices, four of them at work at once.
fn federation(method: &str, coordination: &str) -> Vec<Event> {
    let tables = format!("{method}\n{coordination}\nconcurrency = 4\n");
    let sizes = [("fleet.devices", "6"), ("data.split.dirichlet.min", "2"), ("budget.rounds", "6")];
    let plan = plan(&tiny(&tables, &sizes));
    let played = play(&plan, 2, true);
    let system = play(&plan, 1, false);
    assert_eq!(system.schedule_digest, played.schedule_digest, "{tables}: the schedule is not learned");
    played.events
}

#[test]
fn every_method_runs_without_rounds() {
    let methods = [
        "[method.zero-shot]\n".to_owned(),
        standalone(""),
        fedavg("on = \"proxy\""),
        fedavg("on = \"edge\"\naggregate = \"trimmed-mean\""),
        co_plms(""),
        co_plms(&relay("")),
        fedavg("on = \"proxy\"") + "[transfer]\nup = \"int8\"\ndown = \"int8\"",
    ];
    for method in &methods {
        for (coordination, buffer) in
            [("[coordination.buffered]\nbuffer = 2", 2), ("[coordination.async]", 1)]
        {
            let events = federation(method, coordination);
            let tables = tabulate(&events).unwrap_or_else(|error| panic!("{method}: {error}"));
            assert_eq!(tables.rounds.len(), 6, "{method}");
            assert!(tables.reports.iter().all(|report| report.outcome.is_some()), "{method}");
            let accepted: u32 = tables.rounds.iter().map(|round| round.accepted).sum();
            assert_eq!(accepted, 6 * buffer, "{method}: every aggregate is of {buffer}");
            assert!(
                tables.reports.iter().any(|report| report.staleness > 0),
                "{method}: nobody is ever behind"
            );
        }
    }
}

/// By event: who is at work, and the most at once.
#[test]
fn never_more_devices_are_at_work_than_asked_for_and_none_twice() {
    let events = federation(&fedavg("on = \"proxy\""), "[coordination.buffered]\nbuffer = 3");
    let (mut at_work, mut most): (BTreeSet<u32>, usize) = (BTreeSet::new(), 0);
    let mut models: BTreeMap<(u32, u32), u32> = BTreeMap::new();
    for event in &events {
        match event.kind {
            EventKind::DownloadStarted { round, device, .. } => {
                assert!(at_work.insert(device), "device {device} is at work already");
                *models.entry((round, device)).or_default() += 1;
            }
            EventKind::UpdateAccepted { device, .. } | EventKind::NotContributed { device, .. } => {
                assert!(at_work.remove(&device), "device {device} was not at work");
            }
            _ => {}
        }
        most = most.max(at_work.len());
    }
    assert_eq!(most, 4);
    assert!(models.values().all(|times| *times == 1), "a device is sent a model once: {models:?}");
}
