//! Norm clipping: the weighted mean of updates whose change is shortened to an L2 norm M,
//! `θ + Σ w_k Δ_k min(1, M / ‖Δ_k‖) / Σ w_k` with `Δ_k = θ_k − θ`. No update moves the mean by more than M.
//!
//! Sun et al. 2019, "Can You Really Backdoor Federated Learning?", arXiv 1911.07963, §3 ("norm thresholding of updates").
//! Without a norm, M is the median of the norms at hand (chosen): it needs no tuning, and holds while most are honest.

use super::Vote;

pub(super) fn of(votes: &[Vote<'_>], current: &[f32], norm: Option<f64>) -> Vec<f32> {
    let norms: Vec<f64> = votes.iter().map(|vote| length(vote.values, current)).collect();
    let most = norm.unwrap_or_else(|| middle(&norms));
    // An update that is short enough is taken as it is, to the last bit.
    let factors: Vec<f64> = norms.iter().map(|norm| if *norm > most { most / norm } else { 1.0 }).collect();
    let total: f64 = votes.iter().map(|vote| vote.weight).sum();
    let coordinate = |i: usize| {
        let now = f64::from(current[i]);
        let shortened = |vote: &Vote<'_>, factor: f64| match factor {
            1.0 => f64::from(vote.values[i]),
            _ => now + factor * (f64::from(vote.values[i]) - now),
        };
        let terms = votes.iter().zip(&factors).map(|(vote, factor)| vote.weight * shortened(vote, *factor));
        (terms.sum::<f64>() / total) as f32
    };
    (0..current.len()).map(coordinate).collect()
}

/// ‖θ_k − θ‖₂
pub(super) fn length(values: &[f32], current: &[f32]) -> f64 {
    let squares = values.iter().zip(current).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2));
    squares.sum::<f64>().sqrt()
}

/// The median; of an even number the lower one, which bounds more.
pub(super) fn middle(norms: &[f64]) -> f64 {
    let mut sorted = norms.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[(sorted.len() - 1) / 2]
}
