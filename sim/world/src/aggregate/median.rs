//! The median of every coordinate; of an even number of values the mean of the middle two. While fewer than half of the
//! updates are corrupt, every coordinate lies between two honest ones.
//!
//! Yin et al. 2018, "Byzantine-Robust Distributed Learning: Towards Optimal Statistical Rates", arXiv 1803.01498,
//! definition 1.

use super::{Vote, column};

pub(super) fn of(votes: &[Vote<'_>]) -> Vec<f32> {
    let mut values = Vec::with_capacity(votes.len());
    let coordinate = |i: usize| {
        column(votes, i, &mut values);
        middle(&mut values)
    };
    (0..votes[0].values.len()).map(coordinate).collect()
}

/// By selection in linear time, not by sorting.
fn middle(values: &mut [f32]) -> f32 {
    let half = values.len() / 2;
    let (below, upper, _) = values.select_nth_unstable_by(half, f32::total_cmp);
    let upper = f64::from(*upper);
    match below.iter().copied().max_by(f32::total_cmp) {
        Some(lower) if half * 2 == values.len() => (f64::midpoint(f64::from(lower), upper)) as f32,
        _ => upper as f32,
    }
}
