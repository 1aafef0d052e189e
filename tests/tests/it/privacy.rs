//! What leaks: canaries are where they were put, and what learns them by heart gives them away.

use std::collections::BTreeSet;

use cotune_record::{EventDigest, EventKind, Scope, Status, Summary, Wall, summarize, tabulate};
use cotune_tests::{Played, co_plms, fedavg, plan, play, relay, tiny};

/// The tables of a method with attacks on a few secrets, which their devices have many times.
fn attacked(method: &str) -> String {
    let privacy = "canaries = 3\ndevices = 2\nrepeats = 12\ncandidates = 31\nmembers = 16";
    format!("{method}\n[evaluation.privacy]\n{privacy}\n")
}

fn summary(played: &Played) -> Summary {
    let (mut digest, tables) = (EventDigest::new(), tabulate(&played.events).expect("a whole run"));
    played.events.iter().for_each(|event| digest.push(event));
    summarize("private", Status::Complete, &tables, &digest, &[], Wall::measured(&tables, 1.0))
}

#[test]
fn canaries_are_among_the_examples_of_their_devices_and_nowhere_else() {
    let method = fedavg("on = \"proxy\"");
    let (with, without) = (plan(&tiny(&attacked(&method), &[])), plan(&tiny(&method, &[])));
    let (lab, plain) = (with.lab(), without.lab());
    let canaries = lab.suspects().canaries();
    assert_eq!(canaries.len(), 3);
    assert_eq!(canaries.iter().map(|canary| canary.device).collect::<BTreeSet<_>>().len(), 2);
    let known: BTreeSet<&str> =
        plain.private().iter().chain(plain.held_out()).map(|example| example.prompt.as_str()).collect();
    for canary in canaries {
        assert!(!known.contains(canary.prompt.as_str()), "{}", canary.prompt);
        let all: BTreeSet<&String> = canary.candidates.iter().chain([&canary.answer]).collect();
        assert_eq!(all.len(), 32, "secrets differ");
        for device in 0..with.fleet().devices() {
            let of = |number: &&u32| {
                let example = &lab.private()[**number as usize];
                example.prompt == canary.prompt && example.answer() == canary.answer
            };
            let found = lab.examples_of(device).iter().filter(of).count();
            assert_eq!(found, if device == canary.device { 12 } else { 0 });
        }
    }
    for device in 0..with.fleet().devices() {
        let own = plain.examples_of(device);
        assert_eq!(lab.examples_of(device)[..own.len()], *own, "what was dealt stays");
        assert_eq!(lab.shares_of(device), plain.shares_of(device));
    }
    assert_eq!(plan(&tiny(&attacked(&method), &[])).lab().suspects().canaries(), canaries);
}

#[test]
fn an_adapter_that_learns_by_heart_gives_its_canaries_away() {
    let method = "[method.fedavg]\non = \"proxy\"\ndevice_steps = { tune = 60 }\nbatch = 8\n\
                  optimizer.adamw = { lr = 2e-2, schedule = \"constant\" }\n";
    let adapter =
        ("models.proxy.adapter", "{ lora = { rank = 8, targets = ['q', 'k', 'v', 'o', 'up', 'down'] } }");
    let plan = plan(&tiny(&attacked(method), &[adapter, ("budget.rounds", "3")]));
    let played = play(&plan, 2, true);
    let Summary { start, metrics, .. } = summary(&played);
    let (before, after) = (start["proxy.exposure"], metrics["proxy.exposure"]);
    assert!((0.0..=5.0).contains(&before) && (0.0..=5.0).contains(&after), "{before}, {after}");
    assert!(after > 3.5 && after > before + 1.0, "exposure {before} became {after}");
    let (before, after) = (start["proxy.membership-auc"], metrics["proxy.membership-auc"]);
    assert!((0.2..0.8).contains(&before), "what was not trained knows no members: {before}");
    assert!(after > before + 0.05, "AUC {before} became {after}");
    assert!(metrics.keys().all(|name| !name.starts_with("relay.")), "it has no relay set");
}

#[test]
fn relay_sets_are_attacked_as_text_once_there_are_any() {
    let method = co_plms(
        &relay("")
            .replace("from_round = { device = 1, cloud = 1 }", "from_round = { device = 3, cloud = 2 }"),
    );
    let scenario = tiny(&attacked(&method), &[("evaluation.every", "{ rounds = 1 }")]);
    let played = play(&plan(&scenario), 2, true);
    let attacks: Vec<(u32, Scope, String, bool)> = played
        .events
        .iter()
        .filter_map(|event| match &event.kind {
            EventKind::Evaluated { round, scope, metric, value, domain: None, .. }
                if metric == "exposure" || metric == "membership-auc" =>
            {
                Some((*round, *scope, metric.clone(), value.is_some()))
            }
            _ => None,
        })
        .collect();
    let expected = |round: u32, scope: Scope| {
        ["exposure", "membership-auc"].map(|metric| (round, scope, metric.to_owned(), true))
    };
    let all = [(0, Scope::Proxy), (1, Scope::Proxy), (1, Scope::Relay), (2, Scope::Proxy), (2, Scope::Relay)];
    assert_eq!(attacks, all.map(|(round, scope)| expected(round, scope)).concat());
    let quiet = play(&plan(&scenario), 1, false);
    assert_eq!(quiet.schedule_digest, played.schedule_digest);
    assert!(!summary(&quiet).metrics.contains_key("proxy.exposure"), "nothing was learned");
}
