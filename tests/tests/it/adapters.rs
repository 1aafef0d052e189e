//! Every kind of adapter plays in a federation: what travels is charged as it is, and dropout comes from the seed.

use cotune_record::EventKind;
use cotune_tests::{co_plms, fedavg, plan, play, tiny};

#[test]
fn bottlenecks_are_averaged_and_charged_by_their_size() {
    let tables = fedavg("on = \"proxy\"");
    let bytes = |adapter: &str| {
        let plan = plan(&tiny(&tables, &[("models.proxy.adapter", adapter)]));
        let played = play(&plan, 2, true);
        let layout = &plan.lab().model("proxy").layout;
        assert!(plan.traffic(0, 1).up > 4 * layout.total() as u64);
        assert!(plan.traffic(0, 1).up < 4 * layout.total() as u64 + 200);
        assert!(played.digest == play(&plan, 1, true).digest, "one thread and two");
        plan.traffic(0, 1).up
    };
    assert!(bytes("{ bottleneck = { size = 8 } }") > bytes("{ bottleneck = { size = 4 } }"));
}

#[test]
fn dropout_is_part_of_the_run_and_the_same_for_any_number_of_threads() {
    let tables = co_plms("dst = \"both\"");
    let lora = |dropout: &str| {
        let adapter = format!("{{ lora = {{ rank = 2, targets = [\"q\"], dropout = {dropout} }} }}");
        let scenario = tiny(&tables, &[("models.edge-b.adapter", &adapter)]);
        let one = play(&plan(&scenario), 1, true);
        assert!(one.digest == play(&plan(&scenario), 2, true).digest, "one thread and two");
        one
    };
    let (with, without) = (lora("0.2"), lora("0.0"));
    assert!(with.digest != without.digest);
    assert_eq!(with.events.len(), without.events.len(), "learning does not move the schedule");
}

#[test]
fn a_private_domain_adapter_never_travels() {
    let domain = plan(&tiny(&co_plms("dst = \"domain-adapter\""), &[]));
    let both = plan(&tiny(&co_plms("dst = \"both\""), &[]));
    assert_eq!(domain.traffic(0, 1).up, both.traffic(0, 1).up);
    let events = play(&domain, 2, true).events;
    assert!(events.iter().any(|event| matches!(event.kind, EventKind::UpdateAccepted { .. })));
}
