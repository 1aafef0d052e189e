//! The optimizer as a scenario turns it: warm-up, micro-batches, and what becomes of steps that are not finite.

use cotune_record::{Event, EventDigest, EventKind, Status, Wall, summarize, tabulate};
use cotune_tests::{Played, co_plms, co_plms_without_tuning, fedavg, plan, play, tiny};

fn played(method: &str, optimizer: &str) -> Played {
    play(&plan(&tiny(&format!("{method}optimizer.adamw = {optimizer}\n"), &[])), 1, true)
}

/// Losses of all devices in the order of the events.
fn losses(played: &Played) -> Vec<f64> {
    let loss = |event: &Event| match event.kind {
        EventKind::TrainingFinished { loss, .. } => loss,
        _ => None,
    };
    played.events.iter().filter_map(loss).collect()
}

#[test]
fn warm_up_slows_the_first_steps_and_one_step_is_none() {
    let method = fedavg("on = \"proxy\"");
    let plain = played(&method, "{ lr = 1e-2 }");
    assert_eq!(played(&method, "{ lr = 1e-2, warm_up = 1 }").events[1..], plain.events[1..]);
    let warm = played(&method, "{ lr = 1e-2, warm_up = 0.9 }");
    assert_ne!(warm.events[1..], plain.events[1..]);
    // Two rounds of two steps: 0.9 of them are 3.6 steps.
    assert_eq!(warm.events[1..], played(&method, "{ lr = 1e-2, warm_up = 0.9, beta1 = 0.9 }").events[1..]);
}

/// In tuning, and in mutual steps alone.
#[test]
fn micro_batches_sum_to_the_batch() {
    for (method, tolerance) in [(fedavg("on = \"edge\""), 1e-3), (co_plms_without_tuning(""), 1e-2)] {
        let (whole, parts) =
            (played(&method, "{ lr = 1e-2 }"), played(&method, "{ lr = 1e-2, micro_batch = 1 }"));
        let (whole, parts) = (losses(&whole), losses(&parts));
        assert!(whole.len() >= 4 && whole.len() == parts.len());
        assert_ne!(whole, parts, "{method}: sums are taken in another order");
        for (whole, parts) in whole.iter().zip(&parts) {
            assert!((whole - parts).abs() < tolerance, "{method}: {whole} and {parts}");
        }
    }
}

/// A learning rate beyond all numbers: the first step leads where no loss is finite.
const OVERFLOWING: &str = "{ lr = 1e38, cloud_lr = 1e38, schedule = 'constant', clip = 'off' }";

#[test]
fn skipped_steps_are_events_and_are_counted() {
    let method = co_plms("dst = \"both\"");
    let (sane, wild) = (played(&method, "{ lr = 1e-3 }"), played(&method, OVERFLOWING));
    let warned = |played: &Played| -> Vec<(String, u64)> {
        let warning = |event: &Event| match &event.kind {
            EventKind::Warning { text, learned: true, skipped } => Some((text.clone(), *skipped)),
            _ => None,
        };
        played.events.iter().filter_map(warning).collect()
    };
    assert_eq!(warned(&sane), []);
    let warnings = warned(&wild);
    assert!(warnings.iter().any(|(text, _)| text.starts_with("device ")), "{warnings:?}");
    assert!(warnings.iter().any(|(text, _)| text.contains("at the cloud")), "{warnings:?}");
    assert!(warnings.iter().all(|(_, skipped)| *skipped > 0), "{warnings:?}");
    // What learning decides moves no other event.
    let schedule = |played: &Played| {
        let forms = played.events[1..].iter().filter_map(Event::schedule_form);
        forms.collect::<Vec<_>>()
    };
    assert_eq!(schedule(&sane), schedule(&wild));

    let (mut digest, tables) = (EventDigest::new(), tabulate(&wild.events).expect("a whole run"));
    wild.events.iter().for_each(|event| digest.push(event));
    let wall = Wall::measured(&tables, 1.0);
    let summary = summarize("wild", Status::Complete, &tables, &digest, &[], wall);
    let all: u64 = warnings.iter().map(|(_, skipped)| skipped).sum();
    assert_eq!(summary.metrics["steps.skipped"], all as f64);
    let lines: Vec<_> = summary.warnings.iter().filter(|line| line.contains("was not finite")).collect();
    assert_eq!(lines.len(), 1, "one line for all: {lines:?}");
    assert!(lines[0].contains(&format!("{all} steps in {} jobs", warnings.len())), "{lines:?}");
}
