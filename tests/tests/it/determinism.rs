//! Same scenario, same seed, same digest. The scenario is the quickstart at smoke size: three families, dropouts,
//! cohorts, over-selection, crashes, a relay set.

use std::convert::Infallible;
use std::sync::{Arc, LazyLock};

use cotune_record::{EventKind, first_difference};
use cotune_tests::{Played, plan, play, shipped};
use cotune_world::Plan;

fn quickstart(overrides: &[(&str, &str)]) -> Arc<Plan> {
    let mut scenario = shipped("quickstart", overrides);
    scenario.smoke();
    plan(&scenario)
}

/// The run that all others are compared with: one thread.
static REFERENCE: LazyLock<Played> = LazyLock::new(|| play(&quickstart(&[]), 1, true));

fn assert_same(other: &Played) {
    let events = |played: &Played| played.events.clone().into_iter().map(Ok::<_, Infallible>);
    let Ok(difference) = first_difference(events(&REFERENCE), events(other));
    assert!(difference.is_none(), "the runs part here: {difference:#?}");
    assert_eq!((other.digest, other.schedule_digest), (REFERENCE.digest, REFERENCE.schedule_digest));
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
