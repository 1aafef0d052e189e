//! Sorted by category and cut into shards, some per device (McMahan et al. 2017, §3; Flower's `ShardPartitioner`).
//!
//! | `size` | `keep_incomplete` | shards |
//! |---|---|---|
//! | none | false | `devices · per_device` of floor(n / (devices · per_device)); the remainder is dropped |
//! | none | true | `devices · per_device`, sizes differ by one at most; nothing is dropped |
//! | given | false | of that size, up to `per_device` for every device; what is left is dropped |
//! | given | true | as above, and the remainder is one last, smaller shard, if it is wanted |
//!
//! Where there are fewer shards than `devices · per_device`, some devices have one less, as with Flower's automatic
//! number; the incomplete shard goes to one of these. Which device gets which shards is drawn from `split/shards`.

use std::ops::Range;

use cotune_kernel::Stream;
use cotune_scenario::data::Shards;

use super::{SplitError, categories, piece};

/// Cuts, shuffles and deals.
pub(super) fn deal(
    asked: &Shards,
    labels: &[u16],
    devices: u32,
    seed: u64,
) -> Result<Vec<Vec<u32>>, SplitError> {
    let sorted = categories(labels).concat();
    let n = sorted.len();
    let devices = devices as usize;
    let wanted = devices.saturating_mul(asked.per_device as usize);
    let mut shards = match asked.size {
        Some(size) => of_size(n, size, asked.keep_incomplete),
        None if asked.keep_incomplete => {
            (0..wanted.min(n)).map(|part| piece(n, part, wanted.min(n))).collect()
        }
        None => of_size(n, (n / wanted).max(1) as u64, false),
    };
    let incomplete = match shards.last() {
        Some(last) if shards.len() <= wanted && asked.size.is_some_and(|size| (last.len() as u64) < size) => {
            shards.pop()
        }
        _ => None,
    };
    Stream::keyed(seed, "split/shards").shuffle(&mut shards);
    // Last in the order, it falls to the last device, which has no shard more than any other.
    shards.truncate(wanted);
    shards.extend(incomplete);
    if shards.len() < devices {
        let size = asked.size.unwrap_or(1);
        return Err(SplitError::FewShards {
            examples: n,
            shards: shards.len() as u64,
            size,
            devices: devices as u32,
        });
    }
    let (each, extra) = (shards.len() / devices, shards.len() % devices);
    let mut left = shards.into_iter();
    let hand = |device: usize| {
        let count = each + usize::from(device < extra);
        left.by_ref().take(count).flat_map(|shard| sorted[shard].iter().copied()).collect()
    };
    Ok((0..devices).map(hand).collect())
}

/// `0..n` cut into shards of `size`; the remainder is a last, smaller one or dropped.
fn of_size(n: usize, size: u64, keep_incomplete: bool) -> Vec<Range<usize>> {
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    let shards = (0..n / size).map(|shard| shard * size..(shard + 1) * size);
    let rest = Some(n - n % size..n).filter(|rest| keep_incomplete && !rest.is_empty());
    shards.chain(rest).collect()
}
