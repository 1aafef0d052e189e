//! Dirichlet label skew: per category, shares of the devices from Dir(α).
//!
//! Li, Diao, Chen & He, "Federated learning on non-IID data silos: an experimental study" (NIID-Bench, 2022),
//! `partition_data`; the same as Flower's `DirichletPartitioner`. Cuts are truncated cumulative sums, and the whole
//! split is drawn again until every device has `min` examples.

use cotune_kernel::{Stream, dirichlet};
use cotune_scenario::data::{Dirichlet, Retry};

use super::{SplitError, shuffled_categories};

/// Draws before giving up: NIID-Bench never does; Flower's `sampling_try` counts from 0 and is given up at 10, checked
/// after the draw.
fn draws(retry: Retry) -> u32 {
    match retry {
        Retry::NiidBench => 1_000,
        Retry::Flower => 11,
    }
}

/// Draws sizes until all are large enough, then hands out the examples. The sizes of draw 3 come from the stream
/// `split/dirichlet/draw/3`.
pub(super) fn deal(
    asked: &Dirichlet,
    labels: &[u16],
    devices: u32,
    seed: u64,
) -> Result<Vec<Vec<u32>>, SplitError> {
    let Dirichlet { alpha, min, self_balancing, retry, .. } = *asked;
    let examples = labels.len();
    if u64::from(devices).saturating_mul(min) > examples as u64 {
        return Err(SplitError::Minimum { devices, min, examples });
    }
    let categories = shuffled_categories(labels, seed);
    let fair = examples as f64 / f64::from(devices);
    let cuts = (0..draws(retry)).find_map(|draw| {
        let mut stream = Stream::keyed_parts(seed, &[&"split/dirichlet/draw", &draw]);
        let mut sizes = vec![0; devices as usize];
        let cuts: Vec<Vec<usize>> = categories
            .iter()
            .map(|examples| {
                let mut shares = dirichlet(&mut stream, alpha, devices as usize);
                if self_balancing {
                    balance(&mut shares, &sizes, fair, retry);
                }
                let cuts = cuts(&shares, examples.len());
                let starts = std::iter::once(&0).chain(&cuts);
                sizes.iter_mut().zip(starts.zip(&cuts)).for_each(|(size, (start, end))| *size += end - start);
                cuts
            })
            .collect();
        sizes.iter().all(|size| *size as u64 >= min).then_some(cuts)
    });
    let Some(cuts) = cuts else {
        return Err(SplitError::Dirichlet { alpha, min, mean: fair, devices, draws: draws(retry) });
    };
    let mut hands = vec![Vec::new(); devices as usize];
    for (examples, cuts) in categories.iter().zip(&cuts) {
        let mut start = 0;
        for (hand, end) in hands.iter_mut().zip(cuts) {
            hand.extend_from_slice(&examples[start..*end]);
            start = *end;
        }
    }
    Ok(hands)
}

/// Where each device's piece of `examples` examples ends: truncated cumulative sums; the last device takes the rest.
fn cuts(shares: &[f64], examples: usize) -> Vec<usize> {
    let mut sum = 0.0;
    let mut cuts: Vec<usize> = shares
        .iter()
        .map(|share| {
            sum += share;
            ((sum * examples as f64) as usize).min(examples)
        })
        .collect();
    if let Some(last) = cuts.last_mut() {
        *last = examples;
    }
    cuts
}

/// Flower's self-balancing: a device that has its fair share already gets nothing of this category.
fn balance(shares: &mut [f64], sizes: &[usize], fair: f64, retry: Retry) {
    let hungry = |size: &usize| match retry {
        Retry::NiidBench => (*size as f64) < fair,
        Retry::Flower => *size as f64 <= fair,
    };
    shares.iter_mut().zip(sizes).filter(|(_, size)| !hungry(size)).for_each(|(share, _)| *share = 0.0);
    let total: f64 = shares.iter().sum();
    if total > 0.0 {
        shares.iter_mut().for_each(|share| *share /= total);
        return;
    }
    // A small α may have given everything to devices that want no more: the others share alike.
    let wanting = sizes.iter().filter(|size| hungry(size)).count();
    for (share, _) in shares.iter_mut().zip(sizes).filter(|(_, size)| hungry(size)) {
        *share = 1.0 / wanting as f64;
    }
}
