//! Same scenario, same seed, same digest. One scenario is the quickstart at smoke size: three families, dropouts,
//! cohorts, over-selection, crashes, a relay set. The other has every availability and every fault under buffered
//! coordination, and jobs that end when they please.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use cotune_record::{EventKind, FaultKind, Reason, first_difference};
use cotune_tests::{
    Played, co_plms, fednova, plan, play, play_delayed, play_with, shipped, standalone, tiny,
};
use cotune_world::{Options, Plan};

fn quickstart(overrides: &[(&str, &str)]) -> Arc<Plan> {
    let mut scenario = shipped("quickstart", overrides);
    scenario.smoke();
    plan(&scenario)
}

/// The run that all others are compared with: one thread.
static REFERENCE: LazyLock<Played> = LazyLock::new(|| play(&quickstart(&[]), 1, true));

fn assert_same(other: &Played) {
    assert_equal(&REFERENCE, other, "quickstart");
}

fn assert_equal(one: &Played, other: &Played, what: &str) {
    let events = |played: &Played| played.events.clone().into_iter().map(Ok::<_, Infallible>);
    let Ok(difference) = first_difference(events(one), events(other));
    assert!(difference.is_none(), "{what}: the runs part here: {difference:#?}");
    assert_eq!((other.digest, other.schedule_digest), (one.digest, one.schedule_digest), "{what}");
}

#[test]
fn threads_do_not_change_what_happens() {
    for threads in [2, 4] {
        assert_same(&play(&quickstart(&[]), threads, true));
    }
}

#[test]
fn a_second_run_has_the_same_digest() {
    assert_same(&play(&quickstart(&[]), 1, true));
}

#[test]
fn keeping_every_device_alive_does_not_change_what_happens() {
    assert_same(&play(&quickstart(&[("simulation.actors", "all")]), 2, true));
}

/// Jobs that are held back until others can join them, in rounds and without rounds, with numbers of steps that differ from
/// device to device: on the CPU a stack gives bit for bit what its jobs give alone.
#[test]
fn stacks_of_jobs_do_not_change_what_happens_whatever_the_threads() {
    let buffered = "[coordination.buffered]\nconcurrency = 5\nbuffer = 2\nmax_staleness = 3\n";
    for tables in [fednova(), standalone("public = true"), format!("{}{buffered}", fednova())] {
        let plan = plan(&tiny(&tables, &[("fleet.devices", "12"), ("data.split.dirichlet.min", "1")]));
        let alone = play(&plan, 1, true);
        for threads in [1, 2, 4] {
            let options = Options { threads, stacks: true, ..Options::default() };
            assert_equal(
                &alone,
                &play_with(&plan, options),
                &format!("{threads} threads, stacked: {tables}"),
            );
        }
    }
}

#[test]
fn another_seed_is_another_run() {
    let other = play(&quickstart(&[("seed", "2")]), 2, true);
    assert_ne!(other.digest, REFERENCE.digest);
    assert_ne!(other.schedule_digest, REFERENCE.schedule_digest);
}

#[test]
fn the_schedule_is_the_same_without_learning() {
    let system = play(&quickstart(&[]), 1, false);
    assert_eq!(system.schedule_digest, REFERENCE.schedule_digest);
    assert_ne!(system.digest, REFERENCE.digest);
    let learned = system.events.iter().any(|event| event.is_learned());
    assert!(!learned, "nothing is learned without learning");
}

#[test]
fn the_reference_run_has_what_the_digest_is_to_cover() {
    let has = |wanted: fn(&EventKind) -> bool| REFERENCE.events.iter().any(|event| wanted(&event.kind));
    assert!(has(|kind| matches!(kind, EventKind::TrainingFinished { loss: Some(_), update: Some(_), .. })));
    assert!(has(|kind| matches!(kind, EventKind::CloudTrained { state: Some(_), .. })));
    assert!(has(|kind| matches!(kind, EventKind::RelayMade { kept: Some(_), .. })));
    assert!(has(|kind| matches!(kind, EventKind::NotContributed { .. })), "somebody is left out");
    assert!(has(|kind| matches!(kind, EventKind::Evaluated { value: Some(_), .. })));
    assert!(has(|kind| matches!(kind, EventKind::RunEnded { .. })));
}

/// Every availability, every fault, half a dozen devices at work at once without rounds.
const UNSTEADY: &str = r#"
[coordination.buffered]
concurrency   = 6
buffer        = 3
max_staleness = 2

[fleet.class.watch]
weight       = 2
model        = "edge-a"
compute      = "20MFLOP/s"
memory       = "1GiB"
link         = { down = "10Mbit/s", up = "2Mbit/s", rtt = "80ms", drop = "0.1/transfer" }
availability.sessions = { online = { weibull = { shape = 0.5, scale = "3min" } }, offline = "40s" }
[fleet.class.tablet]
weight       = 2
model        = "edge-b"
region       = "coast"
compute      = { lognormal = { median = "30MFLOP/s", p95 = "90MFLOP/s" } }
memory       = "1GiB"
link         = { down = "20Mbit/s", up = "5Mbit/s", rtt = "40ms" }
[fleet.class.tablet.availability.diurnal]
peak    = "00:30"
online  = { at_peak = 0.9, at_trough = 0.2 }
session = { exponential = { mean = "3min" } }
[fleet.class.camera]
weight       = 2
model        = "edge-b"
compute      = "30MFLOP/s"
memory       = "1GiB"
link         = { down = "20Mbit/s", up = "5Mbit/s", rtt = "40ms" }
availability.trace = "TRACE"

[[fault]]
crash = { class = "*", rate = "20/h" }
[[fault]]
slowdown = { class = "phone", fraction = 0.5, factor = 2.0 }
[[fault]]
partition = { region = "coast", at = "40s", lasts = "30s" }
[[fault]]
corrupt = { class = "gateway", fraction = 0.5, how = "nan" }
[[fault]]
corrupt = { class = "phone", fraction = 0.5, how = "bit-flip" }
[[fault]]
cloud_restart = { at = "120s", outage = "15s" }
"#;

fn unsteady(actors: &str) -> Arc<Plan> {
    // Two measured devices that come and go a few times a minute.
    let trace = Path::new(env!("CARGO_TARGET_TMPDIR")).join("presence.csv");
    std::fs::write(&trace, "0,0,1\n0,25,0\n0,40,1\n0,60,0\n1,10,1\n1,70,0\n").expect("it can be written");
    let unsteady = UNSTEADY.replace("TRACE", &trace.display().to_string());
    let tables = format!("{}{unsteady}", co_plms("aggregate = \"median\""));
    plan(&tiny(
        &tables,
        &[
            ("fleet.devices", "14"),
            ("data.split.dirichlet.min", "1"),
            ("fleet.class.phone.compute", "\"25MFLOP/s\""),
            ("fleet.class.phone.availability", "{ markov = { mean_on = \"2min\", mean_off = \"30s\" } }"),
            ("fleet.class.gateway.compute", "\"60MFLOP/s\""),
            ("budget.rounds", "200"),
            ("budget.virtual_time", "\"200s\""),
            ("evaluation.every.rounds", "50"),
            ("evaluation.panel", "2"),
            ("simulation.actors", actors),
        ],
    ))
}

#[test]
fn neither_threads_nor_actors_nor_the_order_in_which_jobs_end_change_what_happens() {
    let reference = play(&unsteady("\"active\""), 1, true);
    let reasons: BTreeSet<Reason> = reference
        .events
        .iter()
        .filter_map(|event| match event.kind {
            EventKind::NotContributed { reason, .. } => Some(reason),
            _ => None,
        })
        .collect();
    let faults: BTreeSet<FaultKind> = reference
        .events
        .iter()
        .filter_map(|event| match event.kind {
            EventKind::Fault { kind, .. } => Some(kind),
            _ => None,
        })
        .collect();
    assert!(reasons.len() >= 5, "only {reasons:?} occur");
    let expected = [FaultKind::Crash, FaultKind::Partition, FaultKind::Corrupt, FaultKind::CloudRestart];
    assert!(expected.iter().all(|kind| faults.contains(kind)), "only {faults:?} occur");
    let stale = reference
        .events
        .iter()
        .any(|event| matches!(event.kind, EventKind::UpdateAccepted { staleness: 1.., .. }));
    assert!(stale, "no update is ever behind");

    for actors in ["\"active\"", "\"all\""] {
        let plan = unsteady(actors);
        for threads in [1, 2, 4] {
            for delays in [None, Some(u64::try_from(threads).expect("it is small"))] {
                let what = format!("{threads} threads, actors {actors}, delays {delays:?}");
                assert_equal(&reference, &play_delayed(&plan, threads, true, delays), &what);
            }
        }
    }
    let system = play(&unsteady("\"all\""), 1, false);
    assert_eq!(system.schedule_digest, reference.schedule_digest, "the schedule is not learned");
}
