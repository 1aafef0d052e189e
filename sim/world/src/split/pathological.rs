//! Every device has examples of a few categories only (McMahan et al., "Communication-efficient learning of deep
//! networks from decentralized data", 2017, §3; Flower's `PathologicalPartitioner`).
//!
//! Categories are dealt like cards, from a shuffled deck that is renewed when it runs out: so all categories are on
//! the same number of devices, give or take one, and none is left over unless there are fewer places than categories.
//! The examples of those categories are dropped.

use cotune_kernel::Stream;

use super::{SplitError, piece, shuffled_categories};

/// Deals categories to devices, then cuts each category into equal pieces for the devices that hold it.
pub(super) fn deal(
    classes_per_device: u32,
    labels: &[u16],
    devices: u32,
    seed: u64,
) -> Result<Vec<Vec<u32>>, SplitError> {
    let categories = shuffled_categories(labels, seed);
    let per_device = classes_per_device as usize;
    if per_device > categories.len() {
        return Err(SplitError::FewCategories { wanted: classes_per_device, categories: categories.len() });
    }
    let mut holders: Vec<Vec<usize>> = vec![Vec::new(); categories.len()];
    let mut stream = Stream::keyed(seed, "split/pathological/deck");
    let mut deck: Vec<usize> = Vec::new();
    for device in 0..devices as usize {
        for _ in 0..per_device {
            let new = |category: &usize| holders[*category].last() != Some(&device);
            let place = deck.iter().position(new).unwrap_or_else(|| {
                let mut fresh: Vec<usize> = (0..categories.len()).collect();
                stream.shuffle(&mut fresh);
                deck.extend(fresh);
                deck.iter().position(new).expect("a device holds fewer categories than there are")
            });
            holders[deck.remove(place)].push(device);
        }
    }
    let mut hands = vec![Vec::new(); devices as usize];
    for (examples, holders) in categories.iter().zip(&holders) {
        for (part, device) in holders.iter().enumerate() {
            hands[*device].extend_from_slice(&examples[piece(examples.len(), part, holders.len())]);
        }
    }
    Ok(hands)
}
