//! What may go wrong with one device in one round, each a function of (seed, device, round) alone.
//!
//! The same device crashes after the same seconds of training in the same round however long the training is planned
//! to take, so two scenarios that differ in a payload size see the same misfortunes (common random numbers).

use std::fmt;

use cotune_kernel::{Distribution, Stream};
use serde::{Deserialize, Serialize};

/// The way a transfer goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Direction {
    /// Cloud to device.
    Down,
    /// Device to cloud.
    Up,
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Down => "down",
            Self::Up => "up",
        })
    }
}

/// Seconds of work after which the device crashes, if it does within `seconds`. Crashes are a Poisson process
/// of `rate_per_second`: P(crash) = 1 - exp(-rate · seconds).
pub fn crash_within(seed: u64, device: u32, round: u32, seconds: f64, rate_per_second: f64) -> Option<f64> {
    if rate_per_second <= 0.0 {
        return None;
    }
    let mut stream = Stream::keyed_parts(seed, &[&"device", &device, &"round", &round, &"crash"]);
    let at = stream.exponential() / rate_per_second;
    (at < seconds).then_some(at)
}

/// The fraction of its bytes after which a transfer is lost, uniform in [0, 1), if it is lost at all.
/// `probability` is that of losing one transfer.
pub fn transfer_lost(
    seed: u64,
    device: u32,
    round: u32,
    direction: Direction,
    probability: f64,
) -> Option<f64> {
    if probability <= 0.0 {
        return None;
    }
    let parts: [&dyn fmt::Display; 6] = [&"device", &device, &"round", &round, &direction, &"lost"];
    let mut stream = Stream::keyed_parts(seed, &parts);
    let at = stream.uniform();
    stream.chance(probability).then_some(at)
}

/// The share of its memory that is free when a device is invited to a round: uniform in \[`least`, 1\].
pub fn memory_free(seed: u64, device: u32, round: u32, least: f64) -> f64 {
    Stream::keyed_parts(seed, &[&"device", &device, &"round", &round, &"memory"]).range(least, 1.0)
}

/// The factor on a transfer's access capacity that stands for the link's good and bad moments: lognormal, mean 1,
/// coefficient of variation `cv`; so a class keeps the mean rate it was asked for.
///
/// # Panics
/// If `cv` is negative or not a number.
pub fn transfer_noise(seed: u64, device: u32, round: u32, direction: Direction, cv: f64) -> f64 {
    if cv == 0.0 {
        return 1.0;
    }
    let parts: [&dyn fmt::Display; 6] = [&"device", &device, &"round", &round, &direction, &"noise"];
    let noise = Distribution::lognormal_mean_cv(1.0, cv).expect("a scenario's noise is not negative");
    noise.sample(&mut Stream::keyed_parts(seed, &parts))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUNDS: u32 = 40_000;

    #[test]
    fn the_share_of_crashed_rounds_is_that_of_a_poisson_process() {
        let (rate, seconds) = (0.02 / 3_600.0, 9_000.0);
        let crashes: Vec<f64> =
            (0..ROUNDS).filter_map(|round| crash_within(1, 17, round, seconds, rate)).collect();
        let expected = 1.0 - (-rate * seconds).exp();
        let share = crashes.len() as f64 / f64::from(ROUNDS);
        let error = (expected * (1.0 - expected) / f64::from(ROUNDS)).sqrt();
        assert!((share - expected).abs() < 4.0 * error, "{share} crashed, expected {expected} ± {error}");
        assert!(crashes.iter().all(|at| (0.0..seconds).contains(at)));
    }

    #[test]
    fn a_longer_plan_does_not_move_a_crash() {
        for round in 0..200 {
            if let Some(at) = crash_within(1, 3, round, 100.0, 0.01) {
                assert_eq!(crash_within(1, 3, round, 1_000.0, 0.01), Some(at));
                assert_eq!(crash_within(1, 3, round, at, 0.01), None);
            }
        }
    }

    #[test]
    fn without_a_rate_nothing_crashes_and_without_a_probability_nothing_is_lost() {
        assert_eq!(crash_within(1, 3, 0, f64::INFINITY, 0.0), None);
        assert_eq!(transfer_lost(1, 3, 0, Direction::Up, 0.0), None);
        assert!(transfer_lost(1, 3, 0, Direction::Up, 1.0).is_some());
    }

    #[test]
    fn lost_transfers_have_their_share_and_break_off_anywhere() {
        let lost: Vec<f64> =
            (0..ROUNDS).filter_map(|round| transfer_lost(1, 5, round, Direction::Down, 0.1)).collect();
        let share = lost.len() as f64 / f64::from(ROUNDS);
        assert!((share - 0.1).abs() < 4.0 * (0.09 / f64::from(ROUNDS)).sqrt(), "{share} lost");
        let mean = lost.iter().sum::<f64>() / lost.len() as f64;
        assert!((mean - 0.5).abs() < 4.0 / (12.0 * lost.len() as f64).sqrt(), "broken off at {mean}");
    }

    #[test]
    fn a_link_is_as_fast_as_asked_on_average_and_varies_as_asked() {
        let n = f64::from(ROUNDS);
        for cv in [0.1, 0.4, 0.7] {
            let factors: Vec<f64> =
                (0..ROUNDS).map(|round| transfer_noise(1, 5, round, Direction::Up, cv)).collect();
            let mean = factors.iter().sum::<f64>() / n;
            let variance = factors.iter().map(|factor| (factor - mean).powi(2)).sum::<f64>() / n;
            assert!((mean - 1.0).abs() < 4.0 * cv / n.sqrt(), "mean {mean}");
            assert!((variance.sqrt() / mean / cv - 1.0).abs() < 0.05, "CV {}", variance.sqrt() / mean);
        }
        assert_eq!(transfer_noise(1, 5, 0, Direction::Up, 0.0), 1.0);
    }

    #[test]
    fn directions_devices_and_rounds_have_misfortunes_of_their_own() {
        let noise = transfer_noise(1, 5, 0, Direction::Up, 0.4);
        assert_ne!(noise, transfer_noise(1, 5, 0, Direction::Down, 0.4));
        assert_ne!(noise, transfer_noise(1, 6, 0, Direction::Up, 0.4));
        assert_ne!(noise, transfer_noise(1, 5, 1, Direction::Up, 0.4));
        assert_ne!(noise, transfer_noise(2, 5, 0, Direction::Up, 0.4));
    }
}
