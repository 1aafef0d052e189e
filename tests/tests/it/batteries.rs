//! Batteries in a run: work drains them, and what is too low does not train.

use std::sync::Arc;

use cotune_record::{EventKind, Reason};
use cotune_tests::{fedavg, plan, play, tiny};
use cotune_world::Plan;

/// Six rounds with phones whose battery holds three rounds of training and is never charged.
fn drained() -> Arc<Plan> {
    let whole = plan(&tiny(&fedavg("on = \"proxy\""), &[]));
    let phone = whole.fleet().iter().find(|device| &*device.class.name == "phone").expect("there are phones");
    let joules = phone.class.power.train_watts * whole.device_cost(phone.device, 1).seconds;
    let battery =
        format!("{{ capacity = \"{}J\", train_above = 0.5, charge = \"0W\", use = \"0W\" }}", 3.0 * joules);
    let overrides = [
        ("fleet.class.phone.battery", battery.as_str()),
        ("fleet.class.phone.power", "{ radio = \"0W\" }"),
        ("budget.rounds", "4"),
    ];
    plan(&tiny(&fedavg("on = \"proxy\""), &overrides))
}

#[test]
fn a_battery_that_is_not_charged_ends_a_phones_part_in_the_run() {
    let plan = drained();
    let is_phone = |device: u32| &*plan.fleet().class_of(device).name == "phone";
    let (mut accepted, mut refused, mut cut) = (Vec::new(), Vec::new(), 0);
    for event in play(&plan, 1, false).events {
        match event.kind {
            EventKind::UpdateAccepted { round, device, .. } if is_phone(device) => accepted.push(round),
            EventKind::NotContributed { round, device, reason, .. } => {
                assert_eq!((reason, is_phone(device)), (Reason::Battery, true), "round {round}");
                refused.push(round);
            }
            EventKind::TrainingFinished { round, device, complete: false, seconds, .. } => {
                // Of three rounds of training the first is spent, and half of the second leaves half the charge.
                let share = seconds / plan.device_cost(device, round).seconds;
                assert!(round == 2 && (share - 0.5).abs() < 1e-6, "cut at {share} of round {round}");
                cut += 1;
            }
            _ => {}
        }
    }
    assert_eq!((accepted, refused, cut), (vec![1, 1], vec![2, 2, 3, 3, 4, 4], 2));
}

#[test]
fn actors_that_stay_and_actors_that_rest_have_the_same_batteries() {
    let scenario = |actors| {
        let battery = "{ capacity = \"2kJ\", train_above = 0.9, charge = \"1W\" }";
        tiny(
            &fedavg("on = \"proxy\""),
            &[("fleet.class.phone.battery", battery), ("budget.rounds", "4"), ("simulation.actors", actors)],
        )
    };
    let digest = |actors| play(&plan(&scenario(actors)), 1, false).digest;
    assert_eq!(digest("\"active\""), digest("\"all\""));
}
