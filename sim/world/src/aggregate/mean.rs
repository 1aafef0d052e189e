//! The weighted mean `Σ w_k θ_k / Σ w_k`. One large update moves it far; a huge one does not come here (`huge.rs`).
//!
//! McMahan et al. 2017, "Communication-Efficient Learning of Deep Networks from Decentralized Data", arXiv 1602.05629,
//! algorithm 1.

use super::Vote;

pub(super) fn of(votes: &[Vote<'_>]) -> Vec<f32> {
    let total: f64 = votes.iter().map(|vote| vote.weight).sum();
    let coordinate = |i: usize| {
        let sum: f64 = votes.iter().map(|vote| vote.weight * f64::from(vote.values[i])).sum();
        (sum / total) as f32
    };
    (0..votes[0].values.len()).map(coordinate).collect()
}
