use cotune_kernel::{VirtualDuration, VirtualTime};
use cotune_scenario::Distribution as Written;
use cotune_scenario::fleet::Availability as WrittenAvailability;
use cotune_scenario::fleet::Diurnal as WrittenDiurnal;

use super::*;
use crate::files::Files;

const HOUR: f64 = 3_600.0;

fn at(seconds: f64) -> VirtualTime {
    VirtualTime::from_secs_f64(seconds)
}

fn markov(mean_on_seconds: f64, mean_off_seconds: f64) -> Availability {
    Availability::new(&WrittenAvailability::Markov { mean_on_seconds, mean_off_seconds }, &Files::default())
        .unwrap()
}

fn sessions(online_seconds: Written, offline_seconds: Written) -> Availability {
    Availability::new(&WrittenAvailability::Sessions { online_seconds, offline_seconds }, &Files::default())
        .unwrap()
}

/// The shipped example: 85 % at half past two, 8 % half a day later, sessions of 50 minutes.
fn diurnal(timezone_seconds: Written) -> Availability {
    Availability::new(
        &WrittenAvailability::Diurnal(WrittenDiurnal {
            peak_seconds: 2.5 * HOUR,
            online_at_peak: 0.85,
            online_at_trough: 0.08,
            session_seconds: Written::Exponential { mean: 3_000.0 },
            timezone_seconds,
        }),
        &Files::default(),
    )
    .unwrap()
}

/// One of every kind.
fn all() -> Vec<Availability> {
    vec![
        Availability::Always,
        markov(600.0, 1_800.0),
        markov(1e6, 1.0),
        sessions(Written::Weibull { shape: 0.5, scale: 1_800.0 }, Written::Exponential { mean: 3_600.0 }),
        sessions(Written::Constant(3_600.0), Written::Constant(7_200.0)),
        diurnal(Written::Uniform { low: -3.0 * HOUR, high: 3.0 * HOUR }),
    ]
}

/// The fraction of the first `devices` devices that are online at `t`.
fn fraction(availability: &Availability, devices: u32, t: VirtualTime) -> f64 {
    let online = (0..devices).filter(|device| availability.online(1, *device, t)).count();
    online as f64 / f64::from(devices)
}

/// Lengths of the complete sojourns (online, offline) \[s\] of the first `devices` devices within `seconds`.
fn sojourns(availability: &Availability, devices: u32, seconds: f64) -> (Vec<f64>, Vec<f64>) {
    let (mut on, mut off) = (Vec::new(), Vec::new());
    for device in 0..devices {
        let mut begun = None;
        let mut now = VirtualTime::ZERO;
        while let Some(next) =
            availability.state(1, device, now).next_change.filter(|next| *next < at(seconds))
        {
            if let Some(begun) = begun {
                let lasted = (next - begun).as_secs_f64();
                // What ends at `next` is what holds just before it.
                if availability.online(1, device, now) { on.push(lasted) } else { off.push(lasted) }
            }
            begun = Some(next);
            now = next;
        }
    }
    (on, off)
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Kolmogorov-Smirnov distance between `values` and the exponential distribution of mean `mean`, times √n.
fn distance_to_exponential(mut values: Vec<f64>, mean: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let n = values.len() as f64;
    let gap = |(rank, value): (usize, &f64)| {
        let theory = 1.0 - (-value / mean).exp();
        (theory - rank as f64 / n).abs().max((theory - (rank + 1) as f64 / n).abs())
    };
    values.iter().enumerate().map(gap).fold(0.0, f64::max) * n.sqrt()
}

#[test]
fn a_device_that_is_always_there_never_changes() {
    let state = Availability::Always.state(1, 17, at(1e6));
    assert_eq!(state, Online { online: true, next_change: None });
    assert_eq!(Availability::Always.next_online(1, 17, at(5.0)), Some(at(5.0)));
    assert_eq!(Availability::Always.goes_offline_before(1, 17, at(5.0), VirtualTime::MAX), None);
}

#[test]
fn the_next_change_is_a_change_and_the_first() {
    for availability in all() {
        for device in 0..20 {
            let mut now = VirtualTime::ZERO;
            for _ in 0..200 {
                let state = availability.state(1, device, now);
                assert_eq!(state.online, availability.online(1, device, now));
                let Some(next) = state.next_change else { break };
                assert!(next > now, "{availability:?}");
                let just_before = VirtualTime::from_nanos(next.as_nanos() - 1);
                let halfway = VirtualTime::from_nanos(now.as_nanos().midpoint(next.as_nanos()));
                for same in [halfway, just_before] {
                    let between = availability.state(1, device, same);
                    assert_eq!(between.online, state.online, "device {device} at {same}: {availability:?}");
                    assert!(between.next_change == Some(next) || same == next);
                }
                assert_ne!(availability.online(1, device, next), state.online, "device {device} at {next}");
                now = next;
            }
        }
    }
}

#[test]
fn the_order_of_questions_does_not_matter() {
    for availability in all() {
        let ask = |device, step: u64| {
            availability.state(1, device, VirtualTime::from_nanos(step * 977_000_000_000))
        };
        let forward: Vec<Online> = (0..300).map(|step| ask(3, step)).collect();
        let backward: Vec<Online> = (0..300).rev().map(|step| ask(3, step)).collect();
        assert!(forward.iter().eq(backward.iter().rev()));
    }
}

#[test]
fn next_online_and_goes_offline_agree_with_the_state() {
    for availability in all() {
        for device in 0..50 {
            let from = at(f64::from(device) * 1_000.0);
            let online = availability.next_online(1, device, from).unwrap();
            assert!(online >= from && availability.online(1, device, online));
            let until = online + VirtualDuration::from_secs(7_200);
            match availability.goes_offline_before(1, device, online, until) {
                Some(leaves) => assert!(leaves < until && !availability.online(1, device, leaves)),
                None => assert!(
                    availability.state(1, device, online).next_change.is_none_or(|next| next >= until)
                ),
            }
            if online > from {
                assert_eq!(availability.goes_offline_before(1, device, from, until), Some(from));
            }
        }
    }
}

#[test]
fn a_markov_fleet_is_online_as_often_as_its_means_say_at_every_instant() {
    const DEVICES: u32 = 20_000;
    for (on, off) in [(600.0, 1_800.0), (3_000.0, 150.0), (10.0, 10.0)] {
        let availability = markov(on, off);
        let expected = on / (on + off);
        assert_eq!(availability.share_online(), expected);
        let error = (expected * (1.0 - expected) / f64::from(DEVICES)).sqrt();
        for t in [0.0, 1.0, 12_345.0, 37.0 * on * off / (on + off), 1e7] {
            let online = fraction(&availability, DEVICES, at(t));
            assert!((online - expected).abs() < 4.0 * error, "{online} online at {t} s, expected {expected}");
        }
    }
}

/// √n times the Kolmogorov-Smirnov distance exceeds 1.95 with probability 0.001.
#[test]
fn markov_sojourns_are_exponential_across_borders_too() {
    for (mean_on, mean_off) in [(600.0, 1_800.0), (900.0, 60.0)] {
        // Long enough that sojourns cut off by the end of the window do not show.
        let (on, off) = sojourns(&markov(mean_on, mean_off), 40, 2e6);
        for (lengths, expected) in [(on, mean_on), (off, mean_off)] {
            let n = lengths.len() as f64;
            let seen = mean(&lengths);
            assert!(
                (seen - expected).abs() < 4.0 * expected / n.sqrt(),
                "mean {seen} s, expected {expected} s"
            );
            let distance = distance_to_exponential(lengths, expected);
            assert!(distance < 1.95, "KS distance {distance} over {n} sojourns of mean {expected} s");
        }
    }
}

/// P(on at t + h | on at t) = p + (1 - p)e^-(λ+μ)h, also where a border lies between t and t + h.
#[test]
fn a_markov_device_forgets_at_the_rate_of_its_chain() {
    const DEVICES: u32 = 20_000;
    let (mean_on, mean_off) = (600.0, 1_800.0);
    let availability = markov(mean_on, mean_off);
    let (p, epoch) = (0.25, 37.0 * 450.0);
    for (from, gap) in [(1_000.0, 200.0), (epoch - 100.0, 200.0), (epoch - 300.0, 600.0)] {
        let online: Vec<u32> =
            (0..DEVICES).filter(|device| availability.online(1, *device, at(from))).collect();
        let still = online.iter().filter(|device| availability.online(1, **device, at(from + gap))).count();
        let expected = p + (1.0 - p) * (-gap / 450.0f64).exp();
        let seen = still as f64 / online.len() as f64;
        let error = (expected * (1.0 - expected) / online.len() as f64).sqrt();
        assert!(
            (seen - expected).abs() < 4.0 * error,
            "{seen} after {gap} s from {from} s, expected {expected}"
        );
    }
}

#[test]
fn a_device_that_is_hardly_ever_away_is_found_going_away() {
    let state = markov(1e6, 1.0).state(1, 5, VirtualTime::ZERO);
    assert!(state.online && state.next_change.is_some());
}

#[test]
fn sessions_keep_their_lengths_and_the_fraction_online() {
    const DEVICES: u32 = 20_000;
    let weibull = Written::Weibull { shape: 0.5, scale: 1_800.0 };
    for (online, offline, mean_on, mean_off) in [
        (Written::Exponential { mean: 600.0 }, Written::Exponential { mean: 300.0 }, 600.0, 300.0),
        (Written::Constant(3_600.0), Written::Constant(7_200.0), 3_600.0, 7_200.0),
        (weibull, Written::Uniform { low: 600.0, high: 6_600.0 }, 3_600.0, 3_600.0),
        (Written::Normal { mean: 600.0, sd: 60.0 }, Written::Exponential { mean: 1_200.0 }, 600.0, 1_200.0),
    ] {
        let availability = sessions(online, offline);
        let expected = mean_on / (mean_on + mean_off);
        assert!((availability.share_online() - expected).abs() < 1e-12);
        for t in [0.0, 50_000.0, 3e6] {
            let seen = fraction(&availability, DEVICES, at(t));
            assert!(
                (seen - expected).abs() < 4.0 * 0.5 / f64::from(DEVICES).sqrt(),
                "{seen}, expected {expected}"
            );
        }
        let (on, off) = sojourns(&availability, 30, 4e6);
        for (lengths, expected) in [(on, mean_on), (off, mean_off)] {
            let seen = mean(&lengths);
            assert!(
                (seen / expected - 1.0).abs() < 0.06,
                "mean {seen} s, expected {expected} s: {availability:?}"
            );
        }
    }
}

#[test]
fn a_diurnal_fleet_follows_its_curve_through_the_day() {
    const DEVICES: u32 = 20_000;
    let availability = diurnal(Written::Constant(0.0));
    for day in [0.0, 5.0] {
        for (hour, expected) in [(2.5, 0.85), (8.5, 0.465), (14.5, 0.08), (20.5, 0.465), (5.5, 0.729_687_5)] {
            let seen = fraction(&availability, DEVICES, at((day * 24.0 + hour) * HOUR));
            assert!((seen - expected).abs() < 0.015, "{seen} online at {hour} h, expected {expected}");
        }
    }
}

#[test]
fn the_sun_rises_earlier_in_the_east() {
    const DEVICES: u32 = 10_000;
    // Local time is three hours ahead, so the local peak of 02:30 is at 23:30 of the simulation's clock.
    let east = diurnal(Written::Constant(3.0 * HOUR));
    assert!((fraction(&east, DEVICES, at(23.5 * HOUR)) - 0.85).abs() < 0.02);
    assert!((fraction(&east, DEVICES, at(11.5 * HOUR)) - 0.08).abs() < 0.02);
}

#[test]
fn diurnal_sessions_have_the_length_asked_for() {
    let (on, _) = sojourns(&diurnal(Written::Constant(0.0)), 200, 60.0 * 24.0 * HOUR);
    let seen = mean(&on);
    assert!((seen / 3_000.0 - 1.0).abs() < 0.02, "mean session {seen} s");
}

#[test]
fn a_fleet_that_is_always_at_its_peak_is_nearly_always_there() {
    let availability = Availability::new(
        &WrittenAvailability::Diurnal(WrittenDiurnal {
            peak_seconds: 0.0,
            online_at_peak: 1.0,
            online_at_trough: 1.0,
            session_seconds: Written::Exponential { mean: 3_000.0 },
            timezone_seconds: Written::Constant(0.0),
        }),
        &Files::default(),
    )
    .unwrap();
    assert!(fraction(&availability, 10_000, at(1e5)) > 0.995);
}

#[test]
fn the_end_of_time_can_be_asked_about() {
    for availability in all() {
        let state = availability.state(1, 3, VirtualTime::MAX);
        assert_eq!(state.next_change, None);
    }
}

#[test]
fn what_cannot_be_played_says_why() {
    let error = |written| Availability::new(&written, &Files::default()).unwrap_err().to_string();
    assert_eq!(error(WrittenAvailability::Trace { file: "t.csv".into() }), "the trace `t.csv` was not read");
    assert_eq!(
        error(WrittenAvailability::Markov { mean_on_seconds: 0.0, mean_off_seconds: 1.0 }),
        "the mean of `mean_on` is 0 s; it must be positive and finite"
    );
    assert_eq!(
        error(WrittenAvailability::Sessions {
            online_seconds: Written::Constant(1.0),
            offline_seconds: Written::Empirical { file: "gaps.txt".into() },
        }),
        "`offline`: the samples of `empirical = \"gaps.txt\"` were not read"
    );
}

#[test]
fn the_history_of_a_device_is_pinned() {
    let ask = |availability: &Availability| {
        let state = availability.state(1, 17, at(86_400.0));
        (state.online, state.next_change.map(VirtualTime::as_nanos))
    };
    let seen: Vec<_> = all().iter().map(ask).collect();
    assert_eq!(
        seen,
        [
            (true, None),
            (true, Some(88_970_443_045_347)),
            (true, Some(759_034_280_330_612)),
            (false, Some(87_516_976_423_715)),
            (false, Some(90_304_709_320_705)),
            (true, Some(90_236_072_163_635)),
        ]
    );
}
