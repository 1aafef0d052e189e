use std::collections::BTreeMap;

use cotune_scenario::Distribution as Written;
use cotune_scenario::fault::Classes;
use cotune_scenario::fleet as written;

use super::*;
use crate::files::Files;

fn class(share: f64, compute: Written) -> written::DeviceClass {
    written::DeviceClass {
        share,
        model: "edge-m".into(),
        region: None,
        compute_flops_per_second: compute,
        memory_bytes: 6 << 30,
        memory_free: 1.0,
        memory_bandwidth_bytes_per_second: Written::Constant(50e9),
        sample_seconds: None,
        power: Power { train_watts: 4.5, radio_watts: 1.8, idle_watts: 0.15 },
        battery: None,
        link: written::Link {
            down_bytes_per_second: Written::LogNormal { median: 1e7, sigma: 1.4 },
            up_bytes_per_second: Written::Constant(2.5e6),
            rtt_seconds: Written::Uniform { low: 0.01, high: 0.05 },
            loss: 0.003,
            drop_per_transfer: 0.01,
            correlation: 0.0,
            noise_cv: 0.4,
            trace: None,
        },
        availability: written::Availability::Always,
    }
}

/// Three quarters phones around 900 GFLOP/s, a quarter gateways of 6 TFLOP/s.
fn two_classes(devices: u64) -> written::Fleet {
    let phone = class(0.75, Written::LogNormal { median: 9e11, sigma: 0.35 });
    let gateway = class(0.25, Written::Constant(6e12));
    let classes = BTreeMap::from([("phone".to_owned(), phone), ("gateway".to_owned(), gateway)]);
    written::Fleet { devices, classes, carbon_grams_per_joule: None }
}

fn drawn(devices: u64) -> Fleet {
    Fleet::draw(7, &two_classes(devices), &[], &Files::default()).unwrap()
}

#[test]
fn every_class_has_exactly_its_share() {
    let fleet = drawn(1_001);
    let count = |name: &str| fleet.iter().filter(|device| *device.class.name == *name).count();
    assert_eq!((count("phone"), count("gateway")), (751, 250));
    for class in fleet.classes() {
        assert_eq!(class.devices as usize, count(&class.name));
    }
}

#[test]
fn a_devices_number_says_nothing_about_its_class() {
    let fleet = drawn(10_000);
    for tenth in 0..10u32 {
        let devices = tenth * 1_000..(tenth + 1) * 1_000;
        let gateways = devices.filter(|device| *fleet.class_of(*device).name == *"gateway").count();
        // Four standard deviations of the hypergeometric distribution are 52.
        assert!((198..302).contains(&gateways), "{gateways} gateways among the devices of tenth {tenth}");
    }
}

#[test]
fn no_device_depends_on_the_size_of_the_fleet() {
    let (small, large) = (drawn(10), drawn(1_000));
    for device in 0..10 {
        let (a, b) = (small.device(device), large.device(device));
        assert_eq!((a.down_bytes_per_second, a.rtt_seconds), (b.down_bytes_per_second, b.rtt_seconds));
        if a.class.name == b.class.name {
            assert_eq!(a.compute_flops_per_second, b.compute_flops_per_second);
        }
    }
}

#[test]
fn a_fleet_is_a_function_of_its_seed() {
    let speeds = |seed| -> Vec<f64> {
        let fleet = Fleet::draw(seed, &two_classes(50), &[], &Files::default()).unwrap();
        fleet.iter().map(|device| device.down_bytes_per_second).collect()
    };
    assert_eq!(speeds(1), speeds(1));
    assert_ne!(speeds(1), speeds(2));
}

#[test]
fn what_was_drawn_is_what_was_asked() {
    let rows = drawn(40_000).asked_against_drawn();
    assert_eq!(rows.len(), 10);
    assert_eq!((&*rows[0].class, rows[0].quantity.key(), rows[0].devices), ("gateway", "compute", 10_000));
    for row in rows {
        let name = format!("{} of {}: {row:?}", row.quantity.key(), row.class);
        assert!((row.drawn_median / row.asked_median - 1.0).abs() < 0.08, "{name}");
        assert!((row.drawn_p95 / row.asked_p95 - 1.0).abs() < 0.12, "{name}");
    }
}

#[test]
fn the_asked_percentiles_are_those_of_the_scenario() {
    let rows = drawn(10).asked_against_drawn();
    let compute =
        rows.iter().find(|row| &*row.class == "phone" && row.quantity == Quantity::Compute).unwrap();
    assert!((compute.asked_median - 9e11).abs() < 1.0);
    assert!((compute.asked_p95 / (9e11 * (0.35f64 * 1.644_853_626_951_472_7).exp()) - 1.0).abs() < 1e-12);
}

#[test]
fn a_slowdown_hits_the_fraction_it_names_by_the_factor_it_names() {
    let phone = Classes::Named("phone".into());
    let faults = [Fault::Slowdown { class: phone, fraction: 0.2, factor: 4.0 }];
    let (before, after) =
        (drawn(1_000), Fleet::draw(7, &two_classes(1_000), &faults, &Files::default()).unwrap());
    let mut slowed = 0;
    for (before, after) in before.iter().zip(after.iter()) {
        let factor = before.compute_flops_per_second / after.compute_flops_per_second;
        let memory = before.memory_bandwidth_bytes_per_second / after.memory_bandwidth_bytes_per_second;
        assert_eq!(factor, memory);
        assert_eq!(before.down_bytes_per_second, after.down_bytes_per_second);
        if factor != 1.0 {
            assert_eq!((factor, &*after.class.name), (4.0, "phone"));
            slowed += 1;
        }
    }
    assert_eq!(slowed, 150);
}

#[test]
fn slowdowns_multiply_and_never_miss_a_small_class() {
    let everyone = Fault::Slowdown { class: Classes::All, fraction: 1.0, factor: 2.0 };
    let one = Fault::Slowdown { class: Classes::Named("gateway".into()), fraction: 0.01, factor: 3.0 };
    let fleet = Fleet::draw(7, &two_classes(4), &[everyone, one], &Files::default()).unwrap();
    let gateway = fleet.iter().find(|device| *device.class.name == *"gateway").unwrap();
    assert_eq!(gateway.compute_flops_per_second, 1e12);
}

#[test]
fn crash_rates_add_up_over_the_faults_that_name_a_class() {
    let crash = |class, rate_per_second| Fault::Crash { class, rate_per_second };
    let faults = [crash(Classes::All, 0.25), crash(Classes::Named("phone".into()), 0.5)];
    let fleet = Fleet::draw(7, &two_classes(4), &faults, &Files::default()).unwrap();
    let rates: Vec<f64> = fleet.classes().iter().map(|class| class.crash_rate_per_second).collect();
    assert_eq!(rates, [0.25, 0.75]);
}

#[test]
fn a_normal_speed_is_never_negative_and_never_zero() {
    let mut fleet = two_classes(2_000);
    fleet.classes.get_mut("phone").unwrap().compute_flops_per_second = Written::Normal { mean: 1.0, sd: 5.0 };
    let fleet = Fleet::draw(7, &fleet, &[], &Files::default()).unwrap();
    assert!(fleet.iter().all(|device| device.compute_flops_per_second >= 1.0));
}

#[test]
fn a_file_that_was_not_read_is_named_with_its_class_and_key() {
    let mut fleet = two_classes(4);
    fleet.classes.get_mut("phone").unwrap().link.rtt_seconds = Written::Empirical { file: "rtt.txt".into() };
    assert_eq!(
        Fleet::draw(7, &fleet, &[], &Files::default()).unwrap_err().to_string(),
        "`link.rtt` of the device class `phone`: the samples of `empirical = \"rtt.txt\"` were not read"
    );
    let mut fleet = two_classes(4);
    let trace = written::Availability::Trace { file: "t.csv".into() };
    fleet.classes.get_mut("gateway").unwrap().availability = trace;
    assert_eq!(
        Fleet::draw(7, &fleet, &[], &Files::default()).unwrap_err().to_string(),
        "`availability` of the device class `gateway`: the trace `t.csv` was not read"
    );
}

#[test]
fn up_and_down_are_as_correlated_as_asked_and_keep_their_distributions() {
    for asked in [-0.6f64, 0.0, 0.40, 0.9] {
        let mut fleet = two_classes(40_000);
        let link = &mut fleet.classes.get_mut("phone").unwrap().link;
        link.up_bytes_per_second = Written::LogNormal { median: 2.5e6, sigma: 1.0 };
        link.correlation = asked;
        let fleet = Fleet::draw(7, &fleet, &[], &Files::default()).unwrap();
        for tied in fleet.correlations() {
            // Four standard errors of Fisher's z over 30,000 phones are 0.023.
            assert!((tied.drawn.atanh() - asked.atanh()).abs() < 0.023, "{tied:?}");
            assert_eq!((&*tied.class, tied.asked), ("phone", asked));
        }
        assert_eq!(fleet.correlations().len(), usize::from(asked != 0.0));
        let rows = fleet.asked_against_drawn();
        for row in rows.iter().filter(|row| row.class == "phone" && row.quantity == Quantity::Up) {
            assert!((row.drawn_median / row.asked_median - 1.0).abs() < 0.05, "{row:?}");
            assert!((row.drawn_p95 / row.asked_p95 - 1.0).abs() < 0.08, "{row:?}");
        }
    }
}

#[test]
fn a_correlation_does_not_move_a_lognormal_downlink() {
    let mut correlated = two_classes(100);
    correlated.classes.get_mut("phone").unwrap().link.correlation = 0.5;
    let correlated = Fleet::draw(7, &correlated, &[], &Files::default()).unwrap();
    for (before, after) in drawn(100).iter().zip(correlated.iter()) {
        assert_eq!(before.down_bytes_per_second, after.down_bytes_per_second);
    }
}

#[test]
fn the_first_devices_are_pinned() {
    let fleet = drawn(4);
    let seen: Vec<_> =
        fleet.iter().map(|device| (&*device.class.name, device.compute_flops_per_second.round())).collect();
    assert_eq!(
        seen,
        [
            ("phone", 1_016_102_127_881.0),
            ("phone", 1_147_974_283_220.0),
            ("gateway", 6_000_000_000_000.0),
            ("phone", 894_637_834_807.0)
        ]
    );
}
