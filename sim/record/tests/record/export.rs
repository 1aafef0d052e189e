//! What other tools are given says what the run says.

use std::collections::BTreeMap;

use cotune_record::export::{tensorboard, trace};
use cotune_record::{Fleet, scores, tabulate};
use serde_json::Value;

use crate::common::run;

#[test]
fn a_trace_has_every_span_of_the_run() {
    let (events, mut text) = (run(), Vec::new());
    trace::write(events.iter().cloned().map(Ok), &Fleet::default(), &mut text).unwrap();
    let json: Value = serde_json::from_slice(&text).unwrap();
    let listed = json["traceEvents"].as_array().unwrap();
    let mut spans: BTreeMap<(u64, &str), f64> = BTreeMap::new();
    for event in listed.iter().filter(|event| event["ph"] == "X" && event["pid"] == 3) {
        let key = (event["tid"].as_u64().unwrap(), event["name"].as_str().unwrap());
        *spans.entry(key).or_default() += event["dur"].as_f64().unwrap() / 1e6;
    }
    let tables = tabulate(&events).unwrap();
    for row in &tables.reports {
        for (name, span) in [("download", row.download), ("train", row.training), ("upload", row.upload)] {
            let total: f64 = tables
                .reports
                .iter()
                .filter(|other| other.device == row.device)
                .map(|other| match name {
                    "download" => other.download.seconds(),
                    "train" => other.training.seconds(),
                    _ => other.upload.seconds(),
                })
                .sum();
            if span.to_s.is_some() {
                let drawn = spans[&(u64::from(row.device) + 1, name)];
                assert!(
                    (drawn - total).abs() < 1e-6,
                    "device {} {name}: {drawn} s, not {total} s",
                    row.device
                );
            }
        }
    }
    let opened = listed.iter().filter(|event| event["ph"] == "b").count();
    assert_eq!(opened, tables.rounds.len());
    // Every transfer that began has ended.
    let last = listed.iter().rfind(|event| event["ph"] == "C").unwrap();
    assert_eq!((last["args"]["down"].as_i64(), last["args"]["up"].as_i64()), (Some(0), Some(0)));
}

#[test]
fn a_scalar_file_has_a_frame_for_every_score_and_every_cost() {
    let tables = tabulate(&run()).unwrap();
    let scores = scores(&tables.evaluations);
    let mut file = Vec::new();
    tensorboard::write(&scores, &tables.rounds, 1e9, &mut file).unwrap();
    let (mut frames, mut rest) = (0, &file[..]);
    while !rest.is_empty() {
        let length = u64::from_le_bytes(rest[..8].try_into().unwrap()) as usize;
        rest = &rest[16 + length..];
        frames += 1;
    }
    let closed = tables.rounds.iter().filter(|row| row.closed_s.is_some());
    let costs: usize = closed.map(|row| 5 + usize::from(row.loss.is_some())).sum();
    assert_eq!(frames, 1 + scores.len() + costs);
}
