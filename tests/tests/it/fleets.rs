//! The fleets that ship: each can be extended, is drawn as it asks, and has the figures of what was measured.

use cotune_models::device::Compute;
use cotune_scenario::{Distribution, Scenario};
use cotune_tests::{data_file, extending, fedavg, plan_on, tiny};
use cotune_world::fleet::Quantity;

const FLEETS: [&str; 4] = ["phones-2025", "home-gateways", "industrial", "mixed-city"];

fn fleet(name: &str, overrides: &[(&str, &str)]) -> Scenario {
    extending(&format!("fleets/{name}.toml"), overrides)
}

#[test]
fn every_fleet_that_ships_can_be_extended_and_is_drawn_as_it_asks() {
    for name in FLEETS {
        let private = [("fleet.devices", "2_000"), ("data.corpus.builtin.examples", "2_400")];
        let plan = plan_on(&fleet(name, &private), &Compute::cpu());
        let rows = plan.fleet().asked_against_drawn();
        assert_eq!(rows.len(), plan.fleet().classes().len() * Quantity::ALL.len());
        for row in rows {
            // The median of n draws is within 4 · 1.25 · σ/√n of the distribution's on the log scale; σ is below 1.9.
            let bound = 9.5 / f64::from(row.devices).sqrt();
            let off = (row.drawn_median / row.asked_median).ln().abs();
            assert!(off < bound, "{name}: {row:?} is off by {off}, bound {bound}");
        }
        for tied in plan.fleet().correlations() {
            let devices = plan.fleet().classes().iter().find(|class| *class.name == *tied.class);
            let bound = 4.0 / f64::from(devices.map_or(0, |class| class.devices)).sqrt();
            assert!((tied.drawn.atanh() - tied.asked.atanh()).abs() < bound, "{name}: {tied:?}");
        }
    }
}

#[test]
fn home_links_have_the_figures_of_mlabs_tests() {
    let Some(path) = data_file("traces/mlab_ndt/ndt_na_2022_06.csv") else { return };
    let text = std::fs::read_to_string(path).expect("it is there");
    let rows: Vec<(f64, f64)> = text
        .lines()
        .skip(1)
        .map(|line| {
            let mut cells =
                line.split(',').skip(1).map(|cell| cell.parse::<f64>().expect("a rate in Mbit/s"));
            (cells.next().expect("down"), cells.next().expect("up"))
        })
        .collect();
    let scenario = fleet("home-gateways", &[]);
    let link = &scenario.fleet.classes["home"].link;
    for (written, measured) in [
        (&link.down_bytes_per_second, rows.iter().map(|row| row.0).collect::<Vec<_>>()),
        (&link.up_bytes_per_second, rows.iter().map(|row| row.1).collect()),
    ] {
        near_median_and_p95(written, measured);
    }
    let logs: Vec<(f64, f64)> = rows.iter().map(|(down, up)| (down.ln(), up.ln())).collect();
    assert!((correlation(&logs) - link.correlation).abs() < 0.01, "{}", correlation(&logs));
}

#[test]
fn wifi_phones_have_the_figures_of_flash() {
    let Some(path) = data_file("traces/flash/speed_distri.json") else { return };
    let text = std::fs::read_to_string(path).expect("it is there");
    let phones: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    // kB/s where a kB is 1024 bytes, says SOURCE.txt.
    let megabits =
        |phone: &serde_json::Value, key: &str| phone[key].as_f64().expect("a speed") * 1024.0 * 8e-6;
    let phones: Vec<(f64, f64)> = phones
        .as_object()
        .expect("an object")
        .values()
        .map(|phone| (megabits(phone, "down_u"), megabits(phone, "up_u")))
        .collect();
    for name in ["phones-2025", "mixed-city"] {
        let scenario = fleet(name, &[]);
        let link = &scenario.fleet.classes["phone-wifi"].link;
        for (written, measured) in [
            (&link.down_bytes_per_second, phones.iter().map(|phone| phone.0).collect::<Vec<_>>()),
            (&link.up_bytes_per_second, phones.iter().map(|phone| phone.1).collect()),
        ] {
            let (median, sigma) = lognormal(written);
            assert!((median / quantile(&measured, 0.5) - 1.0).abs() < 0.01, "{name}: median {median}");
            let logs: Vec<(f64, f64)> = measured.iter().map(|rate| (rate.ln(), rate.ln())).collect();
            assert!((sigma / deviation(&logs) - 1.0).abs() < 0.01, "{name}: σ {sigma}, {}", deviation(&logs));
        }
        let logs: Vec<(f64, f64)> = phones.iter().map(|(down, up)| (down.ln(), up.ln())).collect();
        assert!((correlation(&logs) - link.correlation).abs() < 0.01);
    }
}

/// Median \[Mbit/s\] and σ.
fn lognormal(written: &Distribution) -> (f64, f64) {
    match written {
        Distribution::LogNormal { median, sigma } => (median / 125e3, *sigma),
        other => panic!("{other:?} is not lognormal"),
    }
}

fn near_median_and_p95(written: &Distribution, measured: Vec<f64>) {
    let (median, sigma) = lognormal(written);
    let p95 = median * (1.644_853_627 * sigma).exp();
    for (written, p) in [(median, 0.5), (p95, 0.95)] {
        let seen = quantile(&measured, p);
        assert!((written / seen - 1.0).abs() < 0.01, "p{:.0} is {seen}, written {written}", 100.0 * p);
    }
}

fn quantile(values: &[f64], p: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[((p * sorted.len() as f64) as usize).min(sorted.len() - 1)]
}

fn mean(pairs: &[(f64, f64)], of: impl Fn(&(f64, f64)) -> f64) -> f64 {
    pairs.iter().map(of).sum::<f64>() / pairs.len() as f64
}

fn deviation(pairs: &[(f64, f64)]) -> f64 {
    let centre = mean(pairs, |pair| pair.0);
    mean(pairs, |pair| (pair.0 - centre).powi(2)).sqrt()
}

fn correlation(pairs: &[(f64, f64)]) -> f64 {
    let (x, y) = (mean(pairs, |pair| pair.0), mean(pairs, |pair| pair.1));
    let swapped: Vec<(f64, f64)> = pairs.iter().map(|(a, b)| (*b, *a)).collect();
    mean(pairs, |pair| (pair.0 - x) * (pair.1 - y)) / deviation(pairs) / deviation(&swapped)
}

/// Of the phones' private examples, the share in the first half of the domains; of the gateways', the same.
fn low_shares(overrides: &[(&str, &str)]) -> [f64; 2] {
    let base = [
        ("fleet.devices", "60"),
        ("data.corpus.builtin.examples", "1_500"),
        ("data.split", "{ pathological = { classes_per_device = 1 } }"),
    ];
    let overrides: Vec<(&str, &str)> = base.iter().chain(overrides).copied().collect();
    let plan = plan_on(&tiny(&fedavg("on = \"proxy\""), &overrides), &Compute::cpu());
    ["phone", "gateway"].map(|class| {
        let devices = plan.fleet().iter().filter(|device| &*device.class.name == class);
        let shares: Vec<f64> = devices
            .map(|device| {
                let shares = plan.lab().shares_of(device.device);
                shares[..shares.len() / 2].iter().sum()
            })
            .collect();
        shares.iter().sum::<f64>() / shares.len() as f64
    })
}

#[test]
fn data_can_follow_what_a_device_is() {
    let [phones, gateways] = low_shares(&[("data.follows", "{ what = \"class\" }")]);
    assert!(gateways > 0.85 && phones < 0.45, "gateways come first: {gateways} against {phones}");
    let [phones, gateways] = low_shares(&[("data.follows", "{ what = \"class\", strength = 0.0 }")]);
    assert!((gateways - phones).abs() < 0.35, "by chance: {gateways} against {phones}");
    let there = "{ markov = { mean_on = \"1h\", mean_off = \"9h\" } }";
    let seldom = [("data.follows", "{ what = \"availability\" }"), ("fleet.class.phone.availability", there)];
    let [phones, gateways] = low_shares(&seldom);
    assert!(phones > gateways + 0.3, "who is seldom there comes first: {phones} against {gateways}");
    let regions = [
        ("data.follows", "{ what = \"region\" }"),
        ("fleet.class.phone.region", "\"north\""),
        ("fleet.class.gateway.region", "\"south\""),
    ];
    let [phones, gateways] = low_shares(&regions);
    assert!(phones > gateways + 0.3, "north before south: {phones} against {gateways}");
}
