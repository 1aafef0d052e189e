//! Uniformly at random, sizes that differ by one at most.

use super::{piece, shuffled};

/// Cuts a random order of the examples into equal pieces.
pub(super) fn deal(examples: usize, devices: u32, seed: u64) -> Vec<Vec<u32>> {
    let order = shuffled(examples, seed);
    let devices = devices as usize;
    (0..devices).map(|device| order[piece(examples, device, devices)].to_vec()).collect()
}
