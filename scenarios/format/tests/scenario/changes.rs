//! Files that extend files, overrides, and axes.

use cotune_scenario::coordination::Coordination;
use cotune_scenario::fault::{Classes, Fault};
use cotune_scenario::fleet::Availability;
use cotune_scenario::method::Method;
use cotune_scenario::{Distribution, expand, vary};

use crate::common::{ZOO, changed, good, parse_text};

#[test]
fn an_extending_file_merges_tables_and_replaces_choices_and_lists() {
    let text = "extends = \"city-clinics.toml\"\nname = \"night\"\n[fleet.class.phone]\nmemory = \"8GiB\"\ncompute = \"1TFLOP/s\"\n[fleet.class.phone.availability]\nalways = {}\n[method.co-plms]\nbatch = 8\n[[fault]]\ncrash = { rate = \"1/d\" }";
    let document = parse_text("good", "night.toml", text).expect("it is TOML");
    let night = document.check(&ZOO).unwrap_or_else(|diagnostics| panic!("{diagnostics}")).scenario;
    let base = good("city-clinics.toml");
    let (phone, before) = (&night.fleet.classes["phone"], &base.fleet.classes["phone"]);
    assert_eq!((phone.memory_bytes, phone.power.clone()), (8 << 30, before.power.clone()), "tables merge");
    assert_eq!(phone.compute_flops_per_second, Distribution::Constant(1e12), "a distribution is a choice");
    assert_eq!(phone.availability, Availability::Always, "a choice replaces the other");
    assert_eq!(night.faults.len(), 1, "lists are replaced");
    let Method::CoPlms(method) = &night.method else { panic!("it is co-plms") };
    assert_eq!((method.batch, &method.relay), (8, &None), "the same choice is replaced whole");
}

#[test]
fn an_override_reaches_one_key_or_replaces_a_choice() {
    let one = changed(
        "city-clinics.toml",
        &[("method.co-plms.batch", "8"), ("fleet.class.phone.link.loss", "0.01")],
    );
    let Method::CoPlms(method) = &one.method else { panic!("it is co-plms") };
    assert!(method.batch == 8 && method.relay.is_some(), "the rest of the method stays");
    assert_eq!(one.fleet.classes["phone"].link.loss, 0.01);

    let another = changed("city-clinics.toml", &[("method.fedavg.on", "\"edge\"")]);
    assert_eq!(another.method.name(), "fedavg");
    let whole = changed("city-clinics.toml", &[("method.co-plms", "{ batch = 4 }")]);
    let Method::CoPlms(method) = &whole.method else { panic!("it is co-plms") };
    assert!(method.batch == 4 && method.relay.is_none(), "the choice's table is replaced whole");

    // What a shell leaves of a string.
    let bare =
        changed("city-clinics.toml", &[("coordination.sync.deadline", "5min"), ("name", "night-shift")]);
    let Coordination::Sync(sync) = &bare.coordination else { panic!("it is sync") };
    assert_eq!((sync.deadline_seconds, bare.name.as_str()), (Some(300.0), "night-shift"));
    let listed = changed("city-clinics.toml", &[("fault.0.crash.rate", "1/s")]);
    assert_eq!(listed.faults[0], Fault::Crash { class: Classes::All, rate_per_second: 1.0 });
}

#[test]
fn axes_become_every_combination() {
    let cohorts = vary("coordination.sync.cohort=8,16").expect("two values");
    let methods = vary("method={fedavg={on=\"edge\"}},'zero-shot'")
        .expect("two values, one with a comma's worth of braces");
    let points = expand(&[cohorts, methods]);
    let shown: Vec<Vec<(&str, &str)>> = points
        .iter()
        .map(|point| point.iter().map(|change| (change.key(), change.value())).collect())
        .collect();
    let (edge, zero) = (("method", "{fedavg={on=\"edge\"}}"), ("method", "'zero-shot'"));
    let (eight, sixteen) = (("coordination.sync.cohort", "8"), ("coordination.sync.cohort", "16"));
    assert_eq!(shown, [[eight, edge], [eight, zero], [sixteen, edge], [sixteen, zero]]);
    assert_eq!(expand(&[]), [[]]);
}
