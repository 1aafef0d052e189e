//! Methods whose devices do the same: steps, tokens or operations, whatever the method makes of them.

use std::collections::BTreeMap;

use cotune_record::{EventDigest, Status, Summary, Wall, summarize, tabulate};
use cotune_tests::{co_plms, fedavg, fedcollm, fedmkt, plan, play, proxy_relay, relay, standalone, tiny};
use cotune_world::Plan;
use cotune_world::fairness::Matched;

const FAIRNESS: &str = "steps = 20\nbatch = 4";

/// Methods that divide a device's work in different ways.
fn methods() -> Vec<(&'static str, String)> {
    vec![
        ("standalone", standalone("")),
        ("fedavg on the proxy", fedavg("on = \"proxy\"")),
        ("fedavg on the devices' models", fedavg("on = \"edge\"")),
        ("fedcollm", fedcollm("")),
        ("fedmkt", fedmkt("")),
        ("co-plms", co_plms("")),
        ("co-plms with a relay set", co_plms(&relay(""))),
        ("proxy-relay", proxy_relay("")),
    ]
}

fn matched(tables: &str, measure: &str) -> (std::sync::Arc<Plan>, Matched) {
    let tables = format!("{tables}\n[fairness]\nmatch = {measure:?}\n{FAIRNESS}\n");
    let plan = plan(&tiny(&tables, &[]));
    let matched = *plan.matched().expect("the scenario asks for it");
    (plan, matched)
}

/// What a run without learning comes to: schedules are what is compared.
fn summary(plan: &std::sync::Arc<Plan>) -> Summary {
    let played = play(plan, 2, false);
    let (mut digest, tables) = (EventDigest::new(), tabulate(&played.events).expect("a whole run"));
    played.events.iter().for_each(|event| digest.push(event));
    summarize("fair", Status::Complete, &tables, &digest, &[], Wall::measured(&tables, 1.0))
}

#[test]
fn matched_steps_are_those_that_are_taken() {
    for (name, tables) in methods() {
        let (_, matched) = matched(&tables, "steps");
        assert_eq!((matched.wanted, matched.reached), (20.0, 20.0), "{name}");
        assert_eq!(matched.taken.tune + matched.taken.mutual, 20, "{name}");
        let share = |steps: cotune_scenario::method::Steps| {
            f64::from(steps.tune) / f64::from(steps.tune + steps.mutual)
        };
        assert!((share(matched.taken) - share(matched.written)).abs() < 0.05, "{name}: {matched:?}");
    }
}

#[test]
fn matched_tokens_and_operations_are_as_near_as_one_step() {
    for measure in ["tokens", "device-compute"] {
        for (name, tables) in methods() {
            let (_, matched) = matched(&tables, measure);
            let taken = f64::from(matched.taken.tune + matched.taken.mutual);
            let off = (matched.reached - matched.wanted).abs();
            // Half a step of a round, and half of one between tuning and mutual learning.
            let most = 1.01 * matched.reached / taken;
            assert!(off <= most, "{name}, {measure}: {matched:?}");
        }
    }
}

#[test]
fn what_is_matched_is_what_the_run_counts() {
    let tokens: BTreeMap<&str, f64> = methods()
        .into_iter()
        .map(|(name, tables)| {
            let (plan, matched) = matched(&tables, "tokens");
            let summary = summary(&plan);
            // Two rounds of three devices, all of which come back.
            let mean = summary.metrics["tokens.device"] / 6.0;
            assert!((mean / matched.reached - 1.0).abs() < 0.01, "{name}: {mean} and {matched:?}");
            (name, mean)
        })
        .collect();
    let (least, most) =
        tokens.values().fold((f64::MAX, 0.0f64), |(least, most), n| (least.min(*n), most.max(*n)));
    // 20 steps of a model, or few of two with a relay set beside them: half a step of so few is much.
    assert!(most / least < 1.15, "{tokens:?}");
}

#[test]
fn what_trains_nothing_on_devices_has_nothing_to_match() {
    for tables in ["[method.zero-shot]\n", "[method.centralized]\n"] {
        let plan = plan(&tiny(&format!("{tables}[fairness]\nmatch = \"tokens\"\n"), &[]));
        assert_eq!(plan.matched(), None, "{tables}");
        let metrics = summary(&plan).metrics;
        assert_eq!(metrics["tokens.device"], 0.0);
        assert_eq!(metrics["tokens.cloud"] > 0.0, tables.contains("centralized"));
    }
}
