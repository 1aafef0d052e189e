//! Who is invited: `k` devices, uniformly among the eligible ones, without asking every device.
//!
//! Ids are drawn and tested, so a round costs about `k / p` tests where a fraction `p` of the fleet is eligible, and
//! a million idle devices cost nothing. When that stops paying, the rest of the fleet is scanned. Either way the
//! result is the prefix of one uniformly random order of the eligible devices.

use std::collections::BTreeSet;

use cotune_kernel::Stream;

/// Draws before the scan, per device wanted (chosen: a fleet of which 3 % are online is still sampled) …
const DRAWS_PER_DEVICE: u64 = 32;
/// … and at least this many (chosen: cheaper than allocating for a scan).
const FEWEST_DRAWS: u64 = 64;

/// Chooses `k` of the devices `0..devices` for which `eligible` is true (online, idle, not refused), each set of `k`
/// equally likely; all of them where there are fewer. Ascending.
///
/// The order in which devices are tested comes from the stream `select/round/<round>`; `eligible` is asked at most
/// once per device, and must not depend on the order of the questions.
pub fn select(
    seed: u64,
    round: u32,
    devices: u32,
    k: usize,
    mut eligible: impl FnMut(u32) -> bool,
) -> Vec<u32> {
    let mut stream = Stream::keyed_parts(seed, &[&"select/round", &round]);
    let mut tested = BTreeSet::new();
    let mut chosen = Vec::with_capacity(k.min(devices as usize));
    // Beyond half the fleet most draws would repeat, and a scan is cheaper.
    let draws = (k as u64).saturating_mul(DRAWS_PER_DEVICE).max(FEWEST_DRAWS).min(u64::from(devices) / 2);
    for _ in 0..draws {
        if chosen.len() == k {
            break;
        }
        let device = stream.below(u64::from(devices)) as u32;
        if tested.insert(device) && eligible(device) {
            chosen.push(device);
        }
    }
    let missing = k - chosen.len();
    if missing > 0 {
        let mut rest: Vec<u32> =
            (0..devices).filter(|device| !tested.contains(device) && eligible(*device)).collect();
        if rest.len() > missing {
            let lucky = stream.sample_indices(rest.len() as u64, missing);
            rest = lucky.into_iter().map(|index| rest[index as usize]).collect();
        }
        chosen.extend(rest);
    }
    chosen.sort_unstable();
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_as_wanted_are_chosen_and_all_of_them_are_eligible() {
        for (devices, k, every) in [(10, 3, 1), (1_000, 20, 7), (1_000, 500, 2), (100_000, 10, 5_000)] {
            let chosen = select(1, 4, devices, k, |device| device % every == 0);
            assert_eq!(chosen.len(), k, "{k} of {devices}, every {every}th eligible");
            assert!(chosen.iter().all(|device| device % every == 0 && *device < devices));
            assert!(chosen.windows(2).all(|pair| pair[0] < pair[1]));
        }
    }

    #[test]
    fn all_eligible_devices_are_chosen_where_there_are_too_few() {
        assert_eq!(select(1, 0, 1_000, 10, |device| device == 3 || device == 997), [3, 997]);
        assert_eq!(select(1, 0, 5, 9, |_| true), [0, 1, 2, 3, 4]);
        assert!(select(1, 0, 0, 3, |_| true).is_empty());
        assert!(select(1, 0, 10, 0, |_| true).is_empty());
    }

    #[test]
    fn a_million_idle_devices_are_not_asked() {
        let mut asked = 0;
        let chosen = select(1, 7, 1_000_000, 100, |device| {
            asked += 1;
            device % 5 == 0
        });
        assert_eq!(chosen.len(), 100);
        assert!((400..700).contains(&asked), "{asked} tests for 100 of a fleet that is 20 % online");
    }

    #[test]
    fn no_device_is_asked_twice() {
        let mut asked = vec![0; 500];
        select(1, 7, 500, 40, |device| {
            asked[device as usize] += 1;
            device > 480
        });
        assert_eq!(asked, vec![1; 500]);
    }

    /// χ² with 19 degrees of freedom stays below 43.8 with probability 0.999; once where draws suffice, once where the
    /// scan completes them.
    #[test]
    fn every_eligible_device_is_equally_likely() {
        const ROUNDS: u32 = 20_000;
        for (devices, k, stride) in [(40, 5, 2), (2_000, 5, 100)] {
            let mut counts = [0.0; 20];
            for round in 0..ROUNDS {
                for device in select(3, round, devices, k, |device| device % stride == 0) {
                    counts[(device / stride) as usize] += 1.0;
                }
            }
            let expected = f64::from(ROUNDS) * k as f64 / 20.0;
            let chi_squared: f64 = counts.iter().map(|count| (count - expected).powi(2) / expected).sum();
            assert!(chi_squared < 43.8, "χ² = {chi_squared} over {counts:?}");
        }
    }

    #[test]
    fn rounds_and_seeds_choose_differently_and_repeat_themselves() {
        let chosen = |seed, round| select(seed, round, 1_000, 20, |_| true);
        assert_eq!(chosen(1, 1), chosen(1, 1));
        assert_ne!(chosen(1, 1), chosen(1, 2));
        assert_ne!(chosen(1, 1), chosen(2, 1));
    }
}
