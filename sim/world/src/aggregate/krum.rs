//! Krum: the update with the least sum of squared distances to its `K − f − 2` nearest others, f being the number of
//! corrupt updates that are borne; with `keep` above 1 the mean of so many best ones (Multi-Krum). The result is (a mean
//! of) updates that somebody sent, so no corrupt one moves it unless it lies among the honest.
//!
//! Blanchard et al. 2017, "Machine Learning with Adversaries: Byzantine Tolerant Gradient Descent", NeurIPS 2017,
//! arXiv 1703.02757, §4. It needs `K ≥ 2f + 3`: f is lowered to what K allows, and below three updates nobody can be
//! outvoted and the mean is taken.

use super::{Vote, mean};

pub(super) fn of(votes: &[Vote<'_>], byzantine: Option<u32>, keep: u32) -> Vec<f32> {
    let alike: Vec<Vote<'_>> = votes.iter().map(|vote| Vote { weight: 1.0, ..*vote }).collect();
    if votes.len() < 3 {
        return mean::of(&alike);
    }
    let scores = scores(votes, byzantine);
    let mut order: Vec<usize> = (0..votes.len()).collect();
    order.sort_by(|a, b| scores[*a].total_cmp(&scores[*b])); // stable: ties go to the first device
    order.truncate((keep as usize).min(votes.len()));
    order.sort_unstable();
    let best: Vec<Vote<'_>> = order.into_iter().map(|index| alike[index]).collect();
    mean::of(&best)
}

/// The sum of squared distances of every update to its nearest others; at least three updates.
pub(super) fn scores(votes: &[Vote<'_>], byzantine: Option<u32>) -> Vec<f64> {
    let count = votes.len();
    let most = (count - 3) / 2;
    let borne = byzantine.map_or(most, |byzantine| (byzantine as usize).min(most));
    let nearest = count - borne - 2;
    let mut distances = vec![vec![0.0; count]; count];
    for a in 0..count {
        for b in a + 1..count {
            let distance = squared_distance(votes[a].values, votes[b].values);
            (distances[a][b], distances[b][a]) = (distance, distance);
        }
    }
    let score = |(own, row): (usize, Vec<f64>)| {
        let mut others: Vec<f64> =
            row.into_iter().enumerate().filter(|(i, _)| *i != own).map(|(_, d)| d).collect();
        others.sort_by(f64::total_cmp);
        others[..nearest].iter().sum()
    };
    distances.into_iter().enumerate().map(score).collect()
}

fn squared_distance(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum()
}
