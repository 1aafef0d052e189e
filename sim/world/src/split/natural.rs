//! One value of a field is one device, as in LEAF and Flower's `NaturalIdPartitioner`.
//!
//! With more values than devices, values are grouped: in random order (stream `split/natural`), one after the other
//! to every device in turn, so devices have the same number of values, give or take one. With more devices than
//! values, device `d` has the value `d mod values`, and a value's examples are dealt in equal parts to its devices.

use cotune_kernel::Stream;

use super::{piece, shuffled_categories};

/// Deals values to devices, or devices to values.
pub(super) fn deal(labels: &[u16], devices: u32, seed: u64) -> Vec<Vec<u32>> {
    let values = shuffled_categories(labels, seed);
    let devices = devices as usize;
    if values.len() > devices {
        let mut order: Vec<usize> = (0..values.len()).collect();
        Stream::keyed(seed, "split/natural").shuffle(&mut order);
        let mut hands = vec![Vec::new(); devices];
        for (place, value) in order.into_iter().enumerate() {
            hands[place % devices].extend_from_slice(&values[value]);
        }
        return hands;
    }
    let hand = |device: usize| {
        let value = device % values.len();
        let sharing = (devices - value).div_ceil(values.len());
        values[value][piece(values[value].len(), device / values.len(), sharing)].to_vec()
    };
    (0..devices).map(hand).collect()
}
