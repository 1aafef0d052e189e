//! Categories alike, sizes not: Flower's `LinearPartitioner`, `SquarePartitioner` and `ExponentialPartitioner`, and a lognormal law.
//!
//! Device `i` of `1..=devices` has a weight of i, i², e^i or a lognormal draw (stream `split/quantity/device/<i - 1>`), and
//! the truncated share of the examples that goes with it. What truncation leaves goes to the device with the largest
//! weight (as in Flower, whose largest is always the last). A device whose share is below one example has one, from the largest.

use std::f64::consts::E;

use cotune_kernel::{Distribution, Stream};
use cotune_scenario::data::Quantity;

use super::shuffled;

/// Cuts a random order of the examples into pieces of the law's sizes.
pub(super) fn deal(law: &Quantity, examples: usize, devices: u32, seed: u64) -> Vec<Vec<u32>> {
    let order = shuffled(examples, seed);
    let mut rest = &order[..];
    let mut hands = Vec::with_capacity(devices as usize);
    for size in sizes(law, examples, devices, seed) {
        let (hand, left) = rest.split_at(size);
        hands.push(hand.to_vec());
        rest = left;
    }
    hands
}

/// The sizes, which sum to `examples`; at least one each. `examples` is at least `devices`.
pub(super) fn sizes(law: &Quantity, examples: usize, devices: u32, seed: u64) -> Vec<usize> {
    let weights = weights(law, devices, seed);
    let total: f64 = weights.iter().sum();
    let mut sizes: Vec<usize> =
        weights.iter().map(|weight| (weight / total * examples as f64) as usize).collect();
    let mut by_size: Vec<usize> = (0..sizes.len()).collect();
    by_size.sort_by(|a, b| weights[*b].total_cmp(&weights[*a]).then(a.cmp(b)));
    sizes[by_size[0]] += examples - sizes.iter().sum::<usize>();
    let mut owed = 0;
    for size in sizes.iter_mut().filter(|size| **size == 0) {
        *size = 1;
        owed += 1;
    }
    for device in by_size {
        let given = (sizes[device] - 1).min(owed);
        sizes[device] -= given;
        owed -= given;
    }
    sizes
}

fn weights(law: &Quantity, devices: u32, seed: u64) -> Vec<f64> {
    match law {
        Quantity::Linear => (1..=devices).map(f64::from).collect(),
        Quantity::Square => (1..=devices).map(|i| f64::from(i) * f64::from(i)).collect(),
        // e^i relative to the last device, by repeated division: never overflows, and the same on every machine.
        Quantity::Exponential => {
            let mut falling: Vec<f64> =
                std::iter::successors(Some(1.0), |weight| Some(weight / E)).take(devices as usize).collect();
            falling.reverse();
            falling
        }
        Quantity::LogNormal { sigma } => {
            let law = Distribution::LogNormal { median: 1.0, sigma: *sigma };
            let draw =
                |device| law.sample(&mut Stream::keyed_parts(seed, &[&"split/quantity/device", &device]));
            (0..devices).map(draw).collect()
        }
    }
}
