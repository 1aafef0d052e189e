//! Dirichlet proportions, for splitting data over devices.

use crate::stream::Stream;

/// `k` proportions from the symmetric Dirichlet distribution of concentration `alpha`: not negative, summing to 1.
///
/// The usual recipe (normalise `k` gamma variates) divides zero by zero for a small `alpha`, where every variate underflows:
/// for `alpha` 0.01 a variate below 1e-308 has probability 8e-4, for 0.001 it is the rule. Here the variates are drawn
/// and normalised in logarithms, so the largest proportion is always a proper number.
///
/// # Panics
/// Unless `alpha` is positive and finite and `k` is positive.
pub fn dirichlet(stream: &mut Stream, alpha: f64, k: usize) -> Vec<f64> {
    assert!(k > 0, "a Dirichlet distribution over no categories");
    let mut proportions: Vec<f64> = (0..k).map(|_| stream.ln_gamma(alpha)).collect();
    let largest = proportions.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    proportions.iter_mut().for_each(|ln_gamma| *ln_gamma = libm::exp(*ln_gamma - largest));
    let total: f64 = proportions.iter().sum();
    proportions.iter_mut().for_each(|share| *share /= total);
    proportions
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mean 1/k and variance (k-1)/(k²(kα+1)) of each proportion, for concentrations from nearly-one-hot to nearly-even.
    #[test]
    fn the_moments_are_those_of_the_dirichlet_distribution() {
        const DRAWS: usize = 40_000;
        for (alpha, k) in [(0.01, 5), (0.3, 8), (1.0, 3), (20.0, 4)] {
            let mut stream = Stream::keyed_parts(3, &[&"dirichlet", &alpha]);
            let (mut sum, mut squares) = (vec![0.0; k], vec![0.0; k]);
            for _ in 0..DRAWS {
                for (index, share) in dirichlet(&mut stream, alpha, k).into_iter().enumerate() {
                    sum[index] += share;
                    squares[index] += share * share;
                }
            }
            let (n, categories) = (DRAWS as f64, k as f64);
            let variance = (categories - 1.0) / (categories * categories * (categories * alpha + 1.0));
            let mean_error = 5.0 * libm::sqrt(variance / n);
            for (total, square) in sum.into_iter().zip(squares) {
                let mean = total / n;
                assert!((mean - 1.0 / categories).abs() < mean_error, "α={alpha}: mean {mean}");
                let spread = square / n - mean * mean;
                assert!(
                    (spread / variance - 1.0).abs() < 0.06,
                    "α={alpha}: variance {spread}, theory {variance}"
                );
            }
        }
    }

    #[test]
    fn a_vanishing_concentration_gives_everything_to_one_category() {
        for draw in 0..200u64 {
            let shares = dirichlet(&mut Stream::keyed_parts(5, &[&"one-hot", &draw]), 1e-6, 20);
            assert!(shares.iter().all(|share| (0.0..=1.0).contains(share)));
            assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-12);
            assert!(shares.iter().any(|share| *share > 0.99));
        }
    }

    #[test]
    fn the_proportions_are_pinned() {
        let drawn = |alpha| dirichlet(&mut Stream::keyed(1, "golden/dirichlet"), alpha, 3);
        assert_eq!(
            drawn(0.3),
            [4.470_973_652_975_083e-6, 0.001_875_096_301_737_516, 0.998_120_432_724_609_5]
        );
        assert_eq!(drawn(0.01), [1.315_755_191_668_991_2e-165, 1.214_589_626_659_357_4e-76, 1.0]);
    }
}
