use cotune_record::{Event, EventDigest, EventKind, first_difference};
use serde_json::Value;

use crate::common::{buffered, run};

fn digest(events: &[Event]) -> EventDigest {
    let mut digest = EventDigest::new();
    events.iter().for_each(|event| digest.push(event));
    digest
}

/// Every way to change one scalar of an event, by way of its JSON; changes that make no event are left out.
fn mutations(event: &Event) -> Vec<(String, Event)> {
    fn leaves(value: &Value, path: String, found: &mut Vec<(String, Value)>) {
        match value {
            Value::Object(map) => {
                map.iter().for_each(|(key, value)| leaves(value, format!("{path}/{key}"), found));
            }
            Value::Array(items) => {
                items.iter().enumerate().for_each(|(i, value)| leaves(value, format!("{path}/{i}"), found));
            }
            Value::Number(number) => {
                let changed = match number.as_u64() {
                    Some(integer) => Value::from(integer + 1),
                    None => Value::from(f64::from_bits(number.as_f64().unwrap().to_bits() + 1)),
                };
                found.push((path, changed));
            }
            Value::Bool(truth) => found.push((path, Value::from(!truth))),
            Value::String(text) => {
                let digit = if text.ends_with('0') { "1" } else { "0" };
                let end = text.len().saturating_sub(1);
                found.push((path.clone(), Value::from(format!("{}{digit}", &text[..end]))));
            }
            Value::Null => {}
        }
    }
    let whole = serde_json::to_value(event).unwrap();
    let mut found = Vec::new();
    leaves(&whole, String::new(), &mut found);
    found
        .into_iter()
        .filter_map(|(path, changed)| {
            let mut mutated = whole.clone();
            *mutated.pointer_mut(&path).unwrap() = changed;
            serde_json::from_value(mutated).ok().map(|event| (path, event))
        })
        .collect()
}

#[test]
fn the_digest_changes_with_any_field() {
    let events: Vec<Event> = run().into_iter().chain(buffered()).collect();
    let before = digest(&events).digest();
    let mut tried = 0;
    for index in 0..events.len() {
        for (path, mutated) in mutations(&events[index]) {
            let mut changed = events.clone();
            changed[index] = mutated;
            assert_ne!(before, digest(&changed).digest(), "event {index}, field {path}");
            tried += 1;
        }
    }
    assert!(tried > 200, "only {tried} fields were changed");
}

#[test]
fn the_digest_changes_with_order_and_with_a_missing_event() {
    let events = run();
    let before = digest(&events).digest();
    let mut swapped = events.clone();
    swapped.swap(3, 4);
    assert_ne!(before, digest(&swapped).digest());
    assert_ne!(before, digest(&events[..events.len() - 1]).digest());
}

#[test]
fn the_schedule_digest_ignores_learning_and_nothing_else() {
    const LEARNED: [&str; 6] = ["loss", "update", "losses", "state", "kept", "value"];
    let events = run();
    let before = digest(&events);
    for index in 0..events.len() {
        let is_warning = matches!(events[index].kind, EventKind::Warning { learned: true, .. });
        for (path, mutated) in mutations(&events[index]) {
            let mut changed = events.clone();
            changed[index] = mutated;
            let after = digest(&changed);
            let learned = path.split('/').any(|field| LEARNED.contains(&field));
            let unseen = learned || (is_warning && !path.ends_with("/learned"));
            let same = before.schedule_digest() == after.schedule_digest();
            assert_eq!(same, unseen, "event {index}, field {path}");
        }
    }
}

#[test]
fn a_run_without_training_has_the_schedule_digest_of_the_run_with_it() {
    let untrained: Vec<Event> = run().iter().filter_map(Event::schedule_form).collect();
    assert_eq!(digest(&run()).schedule_digest(), digest(&untrained).schedule_digest());
    assert!(untrained.iter().all(|event| !event.is_learned()));
}

#[test]
fn a_digest_continues_from_any_event() {
    let round = run();
    let long = round.len() * 10; // several batches of lines
    let events: Vec<Event> = round.into_iter().cycle().take(long).collect();
    for cut in (0..events.len()).step_by(13) {
        let json = serde_json::to_string(&digest(&events[..cut])).unwrap();
        let mut resumed: EventDigest = serde_json::from_str(&json).unwrap();
        events[cut..].iter().for_each(|event| resumed.push(event));
        assert_eq!(resumed, digest(&events), "cut after {cut} events");
    }
}

#[test]
fn the_digests_of_a_small_run_are_pinned() {
    let digest = digest(&run());
    let (all, schedule) = (digest.digest().to_hex(), digest.schedule_digest().to_hex());
    assert_eq!(
        (&all[..16], &schedule[..16]),
        ("f6b37c5ab30e3c55", "0fbe81c1bfb6ec8a"),
        "the encoding changed: old runs no longer verify"
    );
}

#[test]
fn a_digest_is_kept_for_every_round() {
    let events = run();
    let whole = digest(&events);
    assert_eq!(whole.rounds().iter().map(|round| round.round).collect::<Vec<_>>(), [1, 2]);
    let close = |event: &Event| matches!(event.kind, EventKind::RoundClosed { round: 1, .. });
    let end = events.iter().position(close).unwrap() + 1;
    assert_eq!(whole.rounds()[0].digest, digest(&events[..end]).digest());
}

#[test]
fn values_that_are_no_numbers_survive_the_encoding() {
    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, 0.1 + 0.2, f64::MIN_POSITIVE, 1e300] {
        let mut event = run().pop().unwrap();
        event.kind =
            EventKind::UpdateAccepted { round: 1, device: 2, weight: value, staleness: 0, aggregate: None };
        let mut encoding = Vec::new();
        event.encode_into(&mut encoding);
        let back: Event = serde_json::from_slice(&encoding).unwrap();
        let EventKind::UpdateAccepted { weight, .. } = back.kind else { panic!("{back:?}") };
        assert!(weight.to_bits() == value.to_bits() || weight.is_nan() && value.is_nan(), "{value}");
    }
}

#[test]
fn the_first_difference_is_named_and_says_whether_only_learning_differs() {
    let compare = |left: &[Event], right: &[Event]| {
        let stream = |events: &[Event]| events.iter().cloned().map(Ok::<_, ()>).collect::<Vec<_>>();
        first_difference(stream(left), stream(right)).unwrap()
    };
    let events = run();
    assert_eq!(compare(&events, &events), None);

    let mut other = events.clone();
    let trained = |event: &Event| matches!(event.kind, EventKind::TrainingFinished { .. });
    let index = other.iter().position(trained).unwrap();
    if let EventKind::TrainingFinished { loss, .. } = &mut other[index].kind {
        *loss = Some(f64::NAN);
    }
    assert_eq!(compare(&other, &other), None);
    let difference = compare(&events, &other).unwrap();
    assert_eq!((difference.line, difference.learned_only), (index as u64 + 1, true));

    other[index].time_ns += 1;
    assert!(!compare(&events, &other).unwrap().learned_only);
    let shorter = compare(&events, &events[..5]).unwrap();
    assert_eq!((shorter.line, shorter.right), (6, None));
}
