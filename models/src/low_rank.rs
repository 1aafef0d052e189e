//! Sums of low-rank updates whose ranks differ, and low-rank updates made of such sums.
//!
//! An adapter stands for the update `s · A · B` of every map it adapts, `s = α/r`. Adapters on one base whose ranks differ
//! cannot be averaged factor by factor; what can be done instead is here, on plain values, whatever their scales:
//!
//! | what | who |
//! |------|-----|
//! | [`resized`]: columns of A and rows of B cut off, or zeros added | HetLoRA, Cho et al. 2024, arXiv 2401.06432 |
//! | [`add_stacked`]: `[w_1 A_1 … w_K A_K] · [B_1; …; B_K]` is the weighted sum | FLoRA, Wang et al. 2024, arXiv 2409.05976 |
//! | [`redistributed`]: the best update of a rank, by singular values | FlexLoRA, Bai et al. 2024, arXiv 2402.11505 |

mod svd;

use crate::adapter::{Layout, LowRankMap};
use svd::svd_of_product;

/// An adapter in a sum: what it counts for, its layout and its values.
#[derive(Clone, Copy, Debug)]
pub struct Term<'t> {
    /// What it counts for.
    pub weight: f64,
    /// Where its values lie.
    pub layout: &'t Layout,
    /// The values.
    pub values: &'t [f32],
}

/// The factors of one map of a sum, as columns of A and rows of B, weights and scales in A.
struct Factors {
    columns: Vec<Vec<f64>>,
    rows: Vec<Vec<f64>>,
}

/// The values of an adapter in a layout of another rank on the same maps: the update is the same where the rank grows, and
/// that of the first columns of A where it shrinks. New columns of A are those of `fresh`, new rows of B are zero.
pub fn resized(from: &Layout, values: &[f32], to: &Layout, fresh: &[f32]) -> Vec<f32> {
    let mut resized = fresh.to_vec();
    let rescale = f64::from(from.scale()) / f64::from(to.scale());
    for (old, new) in from.maps().zip(to.maps()) {
        let kept = rank(&old).min(rank(&new));
        for row in 0..old.a.shape[0] {
            let (source, target) = (old.a.offset + row * old.a.shape[1], new.a.offset + row * new.a.shape[1]);
            resized[target..target + kept].copy_from_slice(&values[source..source + kept]);
        }
        let b = &mut resized[new.b.offset..new.b.offset + new.b.len()];
        b.fill(0.0);
        let length = kept * new.b.shape[1];
        for (target, source) in b[..length].iter_mut().zip(&values[old.b.offset..]) {
            *target = (rescale * f64::from(*source)) as f32;
        }
    }
    resized
}

/// The Frobenius norm of an adapter's update over all maps, ‖s · A · B‖.
pub fn update_norm(layout: &Layout, values: &[f32]) -> f64 {
    let squares = (0..layout.maps().count()).map(|index| {
        let Factors { columns, rows } = factors(&[Term { weight: 1.0, layout, values }], index);
        // ‖AB‖² = Σ_ij (AᵀA)_ij (BBᵀ)_ij
        let gram = |vectors: &[Vec<f64>], i: usize, j: usize| -> f64 {
            vectors[i].iter().zip(&vectors[j]).map(|(a, b)| a * b).sum()
        };
        let rank = columns.len();
        let pairs = (0..rank).flat_map(|i| (0..rank).map(move |j| (i, j)));
        pairs.map(|(i, j)| gram(&columns, i, j) * gram(&rows, i, j)).sum::<f64>()
    });
    squares.sum::<f64>().max(0.0).sqrt()
}

/// The sum of weighted updates with nothing left out: values of [`Layout::deltas`], added to `sum`.
pub fn add_stacked(sum: &mut [f32], terms: &[Term<'_>]) {
    let Some(first) = terms.first() else { return };
    let deltas = first.layout.deltas();
    for (index, delta) in deltas.entries().iter().enumerate() {
        let Factors { columns, rows } = factors(terms, index);
        let outputs = delta.shape[1];
        let whole = &mut sum[delta.offset..delta.offset + delta.len()];
        for (i, sums) in whole.chunks_mut(outputs).enumerate() {
            let mut exact: Vec<f64> = sums.iter().map(|sum| f64::from(*sum)).collect();
            for (column, row) in columns.iter().zip(&rows) {
                exact.iter_mut().zip(row).for_each(|(sum, value)| *sum += column[i] * value);
            }
            sums.iter_mut().zip(exact).for_each(|(sum, exact)| *sum = exact as f32);
        }
    }
}

/// A sum of weighted updates as one adapter of the layout `to`: of all updates of its rank the nearest, and the sum itself
/// where its rank is enough. Columns of A that the sum has no use for are those of `fresh`.
pub fn redistributed(terms: &[Term<'_>], to: &Layout, fresh: &[f32]) -> Vec<f32> {
    let mut values = fresh.to_vec();
    for (index, map) in to.maps().enumerate() {
        let Factors { columns, rows } = factors(terms, index);
        let svd = svd_of_product(&columns, &rows);
        let (rank, outputs) = (rank(&map), map.b.shape[1]);
        values[map.b.offset..map.b.offset + map.b.len()].fill(0.0);
        let kept = svd.s.iter().take(rank).take_while(|s| **s > 0.0).count();
        for k in 0..kept {
            // A has orthonormal columns, and B the singular values.
            for (i, value) in svd.u[k].iter().enumerate() {
                values[map.a.offset + i * rank + k] = *value as f32;
            }
            let row = &mut values[map.b.offset + k * outputs..][..outputs];
            let scaled = svd.s[k] / f64::from(to.scale());
            row.iter_mut().zip(&svd.v[k]).for_each(|(value, v)| *value = (scaled * v) as f32);
        }
    }
    values
}

fn rank(map: &LowRankMap<'_>) -> usize {
    map.a.shape[1]
}

/// The factors of map number `index` of every term, side by side: `Σ w s A B = columns · rows`.
fn factors(terms: &[Term<'_>], index: usize) -> Factors {
    let mut factors = Factors { columns: Vec::new(), rows: Vec::new() };
    for Term { weight, layout, values } in terms {
        let own = layout.maps().nth(index).expect("adapters of one sum adapt the same maps");
        let (inputs, rank, outputs) = (own.a.shape[0], own.a.shape[1], own.b.shape[1]);
        let factor = weight * f64::from(layout.scale());
        let (a, b) = (&values[own.a.offset..], &values[own.b.offset..]);
        for k in 0..rank {
            factors.columns.push((0..inputs).map(|i| factor * f64::from(a[i * rank + k])).collect());
            factors.rows.push(b[k * outputs..(k + 1) * outputs].iter().map(|b| f64::from(*b)).collect());
        }
    }
    factors
}

#[cfg(test)]
mod tests;
