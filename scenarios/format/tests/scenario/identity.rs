//! Lock file, digest, and the smaller scenario of a smoke run.

use std::collections::BTreeMap;

use cotune_scenario::Scenario;
use cotune_scenario::coordination::Coordination;
use cotune_scenario::data::Split;
use cotune_scenario::method::Method;

use crate::common::{ZOO, changed, good, parse_text, read};

#[test]
fn a_lock_file_comes_back_bit_for_bit() {
    let changes = [
        ("fault.0.crash.rate", "0.000123456789/d"),
        ("method.co-plms.optimizer.adamw.lr", "0.012345678901234567"),
        ("cloud.carbon", "417.3gCO2/kWh"),
        ("fleet.class.phone.link.rtt", "{ lognormal = { median = '33.3us', p95 = '7.77ms' } }"),
    ];
    let scenario = changed("city-clinics.toml", &changes);
    let lock = scenario.to_lock_json();
    let again = Scenario::from_lock_json(&lock).expect("it is a lock file");
    assert_eq!(again, scenario);
    assert_eq!(again.to_lock_json(), lock);
}

#[test]
fn a_lock_file_is_held_to_the_rules_of_a_scenario() {
    let lock = good("city-clinics.toml").to_lock_json();
    let refused = |from: &str, to: &str, told: &str| {
        let changed = lock.replacen(from, to, 1);
        assert_ne!(changed, lock, "{from}");
        let error = Scenario::from_lock_json(&changed).expect_err(to).to_string();
        assert!(error.contains(told), "{to}: {error}");
    };
    refused("\"format\": 1", "\"format\": 2", "format 2");
    refused("\"devices\": 100,", "\"devices\": 0,", "`fleet.devices` has to be above 0");
    refused("\"devices\": 100,", "\"devices\": 4000000000,", "`fleet.devices` has to be at most 100000000");
    refused("\"rank\": 16", "\"rank\": 2000000000", "has to be at most 65536");
    refused("\"batch\": ", "\"batch\": -", "batch");
    refused("\"share\": 0.", "\"share\": 7.", "share` has to be between 0 and 1");
    refused("\"share\": 0.", "\"share\": 0.0", "add up to");
}

#[test]
fn only_what_changes_results_changes_the_digest() {
    let digest = |changes: &[(&str, &str)]| changed("city-clinics.toml", changes).digest();
    let plain = digest(&[]);
    assert_eq!(plain.len(), 64);
    assert_eq!(plain, digest(&[("name", "\"another\""), ("simulation.actors", "\"all\"")]));
    assert_eq!(plain, digest(&[("coordination.sync.deadline", "\"1500s\"")]), "the same length of time");
    assert_ne!(plain, digest(&[("seed", "2")]));
    let mut with_files = good("city-clinics.toml");
    with_files.file_digests = BTreeMap::from([("data:x.csv".to_owned(), "00".to_owned())]);
    assert_ne!(plain, with_files.digest(), "other data are another scenario");
}

#[test]
fn a_smoke_run_is_small_and_keeps_every_class() {
    let many: String = (0..12)
        .map(|class| format!("[fleet.class.c{class}]\nweight = {}\nmodel = \"edge-m\"\ncompute = \"1TFLOP/s\"\nmemory = \"8GiB\"\nlink = {{ down = \"80Mbit/s\", up = \"20Mbit/s\" }}\n", class * class + 1))
        .collect();
    let text = read("good", "city-clinics.toml");
    let start = text.find("[fleet.class.phone]").expect("it has phones");
    let end = text.find("[cloud]").expect("it has a cloud");
    let crowded =
        format!("{}{many}{}", &text[..start], &text[end..]).replace("class = \"phone\"", "class = \"c3\"");
    for (text, devices) in [(text.clone(), 10), (crowded, 12)] {
        let document = parse_text("good", "city.toml", &text).expect("it is TOML");
        let mut scenario =
            document.check(&ZOO).unwrap_or_else(|diagnostics| panic!("{diagnostics}")).scenario;
        scenario.smoke();
        assert_eq!(scenario.fleet.devices, devices);
        let counts = scenario.fleet.class_counts();
        assert!(counts.iter().all(|(_, count)| *count > 0), "{counts:?}");
        assert_eq!(counts.iter().map(|(_, count)| count).sum::<u64>(), devices);
        let Coordination::Sync(sync) = &scenario.coordination else { panic!("it is sync") };
        assert!(
            sync.cohort == devices && sync.min_updates <= devices && scenario.evaluation.panel == devices
        );
        assert_eq!((scenario.budget.rounds, scenario.data.private), (Some(2), Some(16 * devices)));
        assert!(matches!(&scenario.data.split, Split::Dirichlet(dirichlet) if dirichlet.min == 1));
        assert!(scenario.expectations.is_empty());
        let Method::CoPlms(method) = &scenario.method else { panic!("it is co-plms") };
        assert!(
            [method.device_steps, method.cloud_steps]
                .iter()
                .all(|steps| steps.tune <= 4 && steps.mutual <= 4)
        );
    }
}

#[test]
fn a_smoke_run_of_buffered_coordination_fits_the_smaller_fleet() {
    let mut scenario =
        changed("city-clinics.toml", &[("coordination", "{ buffered = { concurrency = 64, buffer = 20 } }")]);
    scenario.smoke();
    let Coordination::Buffered(buffered) = &scenario.coordination else { panic!("it is buffered") };
    assert_eq!((buffered.concurrency, buffered.buffer), (10, 10));
}

#[test]
fn devices_are_dealt_to_classes_by_largest_remainder() {
    let mut fleet = good("city-clinics.toml").fleet;
    assert_eq!(fleet.class_counts(), [("gateway", 25), ("phone", 75)]);
    fleet.devices = 10;
    assert_eq!(fleet.class_counts(), [("gateway", 3), ("phone", 7)], "a tie goes to the first name");
    for devices in 1..200 {
        fleet.devices = devices;
        assert_eq!(fleet.class_counts().iter().map(|(_, count)| count).sum::<u64>(), devices);
    }
}
