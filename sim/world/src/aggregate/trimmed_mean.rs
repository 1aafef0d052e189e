//! The mean of every coordinate without its `⌈βK⌉` largest and `⌈βK⌉` smallest values. While no more than βK updates are
//! corrupt, every coordinate lies between two honest ones.
//!
//! Yin et al. 2018, "Byzantine-Robust Distributed Learning: Towards Optimal Statistical Rates", arXiv 1803.01498,
//! definition 2. Their βK is whole; here it is rounded up, so that a small cohort is trimmed too, and at least one value
//! is always left.

use super::{Vote, column};

pub(super) fn of(votes: &[Vote<'_>], trim: f64) -> Vec<f32> {
    let count = votes.len();
    // 30 · 0.1 is 3.0000000000000004 in binary floating point and must leave out 3.
    let out = ((trim * count as f64 - 1e-9).ceil().max(0.0) as usize).min((count - 1) / 2);
    let mut values = Vec::with_capacity(count);
    let coordinate = |i: usize| {
        column(votes, i, &mut values);
        values.sort_unstable_by(f32::total_cmp);
        let kept = &values[out..count - out];
        (kept.iter().map(|value| f64::from(*value)).sum::<f64>() / kept.len() as f64) as f32
    };
    (0..votes[0].values.len()).map(coordinate).collect()
}
