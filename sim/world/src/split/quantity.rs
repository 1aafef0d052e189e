//! Categories alike, sizes not: Flower's `LinearPartitioner`, `SquarePartitioner` and `ExponentialPartitioner`, and a
//! lognormal law.
//!
//! Device `i` of `1..=devices` has a weight of i, i², e^i or a lognormal draw (stream `split/quantity/device/<i -
//! 1>`), and the truncated share of the examples that goes with it. What truncation leaves goes to the device with
//! the largest weight (as in Flower, whose largest is always the last). Where a device would have nothing, everyone
//! gets one example first and the law deals the rest.

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
    let shares = |of: usize| weights.iter().map(move |weight| (weight / total * of as f64) as usize);
    let mut sizes: Vec<usize> = shares(examples).collect();
    if sizes.contains(&0) {
        sizes = shares(examples - sizes.len()).map(|share| share + 1).collect();
    }
    let largest = (0..sizes.len()).max_by(|a, b| weights[*a].total_cmp(&weights[*b]));
    sizes[largest.expect("a split has devices")] += examples - sizes.iter().sum::<usize>();
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
