//! What work costs: the formulas of other simulators to the nanosecond, energy, carbon, and what is billed.

use std::collections::BTreeMap;
use std::sync::Arc;

use cotune_kernel::VirtualDuration;
use cotune_models::device::Compute;
use cotune_record::{EventDigest, EventKind, Status, Summary, Wall, summarize, tabulate};
use cotune_tests::{co_plms, extending, fedavg, plan, plan_on, play, relay, tiny};
use cotune_world::Plan;

/// Devices of 8,000 and 16,000 kbit/s, 12 and 2 ms an example.
const OTHERS: [(&str, &str); 8] = [
    ("fleet.class.phone.link", "{ down = \"8000kbit/s\", up = \"8000kbit/s\", rtt = \"30ms\", loss = 0.01 }"),
    ("fleet.class.phone.sample", "\"12ms\""),
    ("fleet.class.gateway.link", "{ down = \"16000kbit/s\", up = \"16000kbit/s\" }"),
    ("fleet.class.gateway.sample", "\"2ms\""),
    ("method.fedavg.batch", "4"),
    ("method.fedavg.device_steps.tune", "2"),
    ("budget.rounds", "1"),
    ("evaluation.panel", "1"),
];

/// When the upload of every device ended \[ns\].
fn uploads(plan: &Arc<Plan>) -> BTreeMap<u32, u64> {
    let ended = |event: cotune_record::Event| match event.kind {
        EventKind::UploadFinished { device, complete: true, .. } => Some((device, event.time_ns)),
        _ => None,
    };
    play(plan, 1, false).events.into_iter().filter_map(ended).collect()
}

fn with_cost<'a>(cost: (&'a str, &'a str)) -> Arc<Plan> {
    let overrides: Vec<(&str, &str)> = OTHERS.iter().copied().chain([cost]).collect();
    plan(&tiny(&fedavg("on = \"proxy\""), &overrides))
}

#[test]
fn fedscales_formula_comes_out_to_the_nanosecond() {
    let plan = with_cost(("cost.fedscale", "{ payload = \"1_000_000B\" }"));
    let ended = uploads(&plan);
    assert_eq!(ended.len(), 3);
    for (device, nanos) in ended {
        // 3 · 4 · 2 · 12 / 1000 s, and 2 · 8,000 kbit over 8,000 kbit/s; 3 · 4 · 2 · 2 / 1000 s, and half the time.
        let by_hand = match &*plan.fleet().class_of(device).name {
            "phone" => 288_000_000 + 2_000_000_000,
            _ => 48_000_000 + 1_000_000_000,
        };
        assert_eq!(nanos, by_hand, "device {device}");
    }
}

#[test]
fn federatedscopes_formula_comes_out_to_the_nanosecond() {
    let plan = with_cost(("cost.federatedscope", "{ payload = \"1_000_000B\" }"));
    for (device, nanos) in uploads(&plan) {
        let examples = u64::from(plan.lab().count_of(device));
        let by_hand = match &*plan.fleet().class_of(device).name {
            "phone" => 3 * examples * 12_000_000 + 2_000_000_000,
            _ => 3 * examples * 2_000_000 + 1_000_000_000,
        };
        assert_eq!(nanos, by_hand, "device {device} with {examples} examples");
    }
}

#[test]
fn the_presets_of_both_are_drawn_with_one_bandwidth() {
    for name in ["fedscale", "federatedscope"] {
        let scenario = extending(&format!("fleets/{name}.toml"), &[("data.corpus.builtin.examples", "200")]);
        let plan = plan_on(&scenario, &Compute::cpu());
        for device in plan.fleet().iter() {
            assert_eq!(device.down_bytes_per_second, device.up_bytes_per_second, "device {}", device.device);
            assert!(device.sample_seconds > 0.0);
            let traffic = plan.traffic(device.device, 1);
            assert_eq!((traffic.down, traffic.up), (10_000_000, 10_000_000));
        }
    }
}

fn summary(plan: &Arc<Plan>) -> Summary {
    let events = play(plan, 1, false).events;
    let mut digest = EventDigest::new();
    events.iter().for_each(|event| digest.push(event));
    let tables = tabulate(&events).unwrap();
    summarize("tiny", Status::Complete, &tables, &digest, &[], Wall::default())
}

#[test]
fn energy_and_carbon_add_up() {
    let plain = summary(&plan(&tiny(&co_plms(""), &[])));
    assert!(!plain.metrics.contains_key("carbon.total_grams"), "nobody asked for it");
    let counted = summary(&plan(&tiny(
        &co_plms(""),
        &[
            ("fleet.carbon", "\"360gCO2/kWh\""),
            ("cloud.carbon", "\"36gCO2/kWh\""),
            ("cloud.power", "\"700W\""),
        ],
    )));
    let of = |name: &str| counted.metrics[name];
    assert_eq!(of("energy.total_joules"), plain.metrics["energy.total_joules"]);
    assert!(of("energy.marginal_joules") > 0.0 && of("energy.marginal_joules") < of("energy.total_joules"));
    assert!(of("energy.cloud_joules") > 0.0);
    // 360 g a kWh are 1e-4 g a joule.
    let by_hand = 1e-4 * of("energy.total_joules") + 1e-5 * of("energy.cloud_joules");
    assert!((of("carbon.total_grams") / by_hand - 1.0).abs() < 1e-9, "{}", of("carbon.total_grams"));
}

#[test]
fn the_joules_of_the_events_are_those_of_the_totals() {
    let plan = plan(&tiny(&co_plms(""), &[]));
    let events = play(&plan, 1, false).events;
    let by_hand: f64 = events
        .iter()
        .map(|event| match event.kind {
            EventKind::DownloadFinished { device, seconds, .. }
            | EventKind::UploadFinished { device, seconds, .. } => {
                plan.fleet().class_of(device).power.radio_watts * seconds
            }
            EventKind::TrainingFinished { device, seconds, .. } => {
                plan.fleet().class_of(device).power.train_watts * seconds
            }
            _ => 0.0,
        })
        .sum();
    let marginal = summary(&plan).metrics["energy.marginal_joules"];
    assert!((marginal / by_hand - 1.0).abs() < 1e-9, "{marginal} J, by hand {by_hand} J");
}

/// Comparing two models on labelled examples takes time like any work.
#[test]
fn the_guards_evaluation_is_billed() {
    let cost = |keys: &str| plan(&tiny(&co_plms(&relay(keys)), &[])).device_cost(0, 1);
    let (unguarded, guarded) = (cost(""), cost(", guard = \"dual-min-ce\""));
    assert!(guarded.seconds > unguarded.seconds && guarded.flops > unguarded.flops);
    assert_eq!(guarded.steps, unguarded.steps);
    assert!(VirtualDuration::from_secs_f64(guarded.seconds) > VirtualDuration::ZERO);
}

#[test]
fn a_bill_that_turns_sizes_around_is_doubted() {
    let doubts = |overrides: &[(&str, &str)]| plan(&tiny(&co_plms(""), overrides)).warnings();
    assert_eq!(doubts(&[]), Vec::<String>::new(), "nothing is billed as something else");
    let tall = [
        ("models.cloud.bill_as", "{ params = \"1B\", weights = \"int4\", layers = 2, width = 64 }"),
        ("cloud.memory", "\"900GiB\""),
    ];
    let said = doubts(&tall);
    assert!(
        said.iter().any(|line| line.contains("`cloud` trains") && line.contains("times as large as `proxy`")),
        "{said:?}"
    );
    let turned = doubts(&[("models.proxy.bill_as", "{ params = \"100M\", weights = \"int8\" }")]);
    assert!(
        turned.contains(
            &"bill_as turns sizes around: `cloud` trains larger than `proxy` and is billed smaller"
                .to_owned()
        ),
        "{turned:?}"
    );
}
