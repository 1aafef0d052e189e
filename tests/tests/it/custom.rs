//! A method that is not part of cotune, played by it: a program brings a `Method`, a scenario names it.

use std::sync::Arc;

use cotune_record::EventKind;
use cotune_scenario::Scenario;
use cotune_tests::{lab, play, tiny};
use cotune_world::Plan;
use cotune_world::method::Need;

use own_method::HalfWay;

/// The book's method is the one that is played here.
#[expect(dead_code, reason = "its `main` is that of another program")]
#[path = "../../../sim/cli/examples/own_method.rs"]
mod own_method;

fn scenario(name: &str, share: &str) -> Scenario {
    let table = format!(
        "name = {name:?}\ndevice_steps = {{ tune = 2 }}\nbatch = 4\nsettings = {{ share = {share} }}"
    );
    tiny(&format!("[method.custom]\n{table}\n"), &[])
}

fn method(scenario: &Scenario) -> HalfWay {
    HalfWay::of(scenario).unwrap_or_else(|error| panic!("{error}"))
}

fn drawn(scenario: &Scenario) -> Result<Arc<Plan>, String> {
    let plan = Plan::draw_with(Arc::new(lab(scenario)), Box::new(method(scenario)));
    plan.map(Arc::new).map_err(|error| error.to_string())
}

#[test]
fn a_method_from_outside_is_played_billed_and_scored_like_any_other() {
    let digests = ["0.5", "1.0"].map(|share| {
        let plan = drawn(&scenario("half-way", share)).unwrap_or_else(|error| panic!("{error}"));
        let played = play(&plan, 2, true);
        assert!(played.digest == play(&plan, 1, true).digest, "one thread and two");
        let layout = &plan.lab().model("proxy").layout;
        assert!(plan.traffic(0).up > 4 * layout.total() as u64);
        let accepted = |kind: &EventKind| matches!(kind, EventKind::UpdateAccepted { .. });
        assert_eq!(played.events.iter().filter(|event| accepted(&event.kind)).count(), 6);
        played.digest
    });
    assert!(digests[0] != digests[1], "the setting is heard");
}

#[test]
fn what_is_wrong_with_its_table_is_said_by_the_method() {
    for (share, words) in [("1.5", "between 0 and 1"), ("\"half\"", "write settings = { share = 0.5 }")] {
        let told = HalfWay::of(&scenario("half-way", share)).expect_err("it is no share");
        assert!(told.contains(words), "{told}");
    }
}

#[test]
fn a_method_is_played_under_its_own_name_only_and_by_who_has_it() {
    let other = drawn(&scenario("quarter-way", "0.25")).expect_err("it has another name");
    assert!(other.contains("quarter-way") && other.contains("half-way"), "{other}");
    let lab = lab(&scenario("half-way", "0.5"));
    let unknown = Plan::draw(Arc::new(lab)).expect_err("cotune does not have it").to_string();
    assert!(unknown.contains("[method.custom]") && unknown.contains("draw_with"), "{unknown}");
}

#[test]
fn what_a_method_says_that_it_needs_is_demanded_of_the_scenario() {
    let refused = |need: Need| {
        let scenario = scenario("half-way", "0.5");
        let mut method = method(&scenario);
        method.needs = vec![need];
        Plan::draw_with(Arc::new(lab(&scenario)), Box::new(method)).err().map(|error| error.to_string())
    };
    assert_eq!(refused(Need::PublicTexts), None);
    let nobody = refused(Need::Trained("nobody".to_owned())).expect("there is no such model");
    assert!(nobody.contains("[method.half-way]") && nobody.contains("[models.nobody]"), "{nobody}");
    let one = refused(Need::OneEdgeModel).expect("the tiny fleet runs two models");
    assert!(one.contains("edge-a, edge-b") && one.contains("fleet.class.*.model"), "{one}");
}
