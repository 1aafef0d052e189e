//! The little statistics that comparisons stand on: means with t intervals, paired differences with bootstrap
//! intervals, and the correction of Holm.

use cotune_kernel::Stream;

/// Resamples of a bootstrap (chosen: the interval's ends move by less than a hundredth of its width).
const RESAMPLES: usize = 10_000;
/// What the bootstrap's stream is drawn from, so that a comparison is always the same.
const SEED: u64 = 0;
/// The level of every interval and test.
pub const LEVEL: f64 = 0.95;

/// A mean of some runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mean {
    /// How many.
    pub n: usize,
    /// Their mean.
    pub mean: f64,
    /// Half the width of its 95 % t interval; none for one run.
    pub half_width: Option<f64>,
}

impl Mean {
    /// Of values that are finite; none where there are none.
    pub fn of(values: &[f64]) -> Option<Self> {
        let n = values.len();
        let mean = mean(values)?;
        let half_width = (n > 1).then(|| t_quantile(n - 1) * standard_error(values, mean));
        Some(Self { n, mean, half_width })
    }
}

/// What the differences of pairs say.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Paired {
    /// Pairs.
    pub n: usize,
    /// Mean difference.
    pub mean: f64,
    /// 95 % percentile bootstrap interval of the mean (Efron 1979); none for one pair.
    pub interval: Option<(f64, f64)>,
    /// Two-sided p of the paired t test; none for one pair.
    pub p: Option<f64>,
}

impl Paired {
    /// Of the differences of pairs; none where there are none.
    pub fn of(differences: &[f64]) -> Option<Self> {
        let (n, mean) = (differences.len(), mean(differences)?);
        if n < 2 {
            return Some(Self { n, mean, interval: None, p: None });
        }
        let error = standard_error(differences, mean);
        let p = match (error == 0.0, mean == 0.0) {
            (true, true) => 1.0,
            (true, false) => 0.0,
            _ => 1.0 - t_within(mean.abs() / error, n - 1),
        };
        Some(Self { n, mean, interval: Some(bootstrap(differences)), p: Some(p) })
    }
}

/// Holm's step-down correction (Holm 1979): p values that may each be held against the level, in the order given.
pub fn holm(ps: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..ps.len()).collect();
    order.sort_by(|a, b| ps[*a].total_cmp(&ps[*b]));
    let (mut corrected, mut least) = (vec![0.0; ps.len()], 0.0_f64);
    for (rank, index) in order.into_iter().enumerate() {
        least = least.max(ps[index] * (ps.len() - rank) as f64).min(1.0);
        corrected[index] = least;
    }
    corrected
}

fn mean(values: &[f64]) -> Option<f64> {
    // Equal values have exactly their own mean.
    let first = *values.first()?;
    Some(first + values.iter().map(|value| value - first).sum::<f64>() / values.len() as f64)
}

/// Of the mean, from the sample's deviation.
fn standard_error(values: &[f64], mean: f64) -> f64 {
    let n = values.len() as f64;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (squares / (n - 1.0) / n).sqrt()
}

fn bootstrap(values: &[f64]) -> (f64, f64) {
    let mut stream = Stream::keyed(SEED, "compare/bootstrap");
    let mut resample = || {
        let drawn = (0..values.len()).map(|_| values[stream.below(values.len() as u64) as usize]);
        mean(&drawn.collect::<Vec<_>>()).expect("there are values")
    };
    let mut means: Vec<f64> = (0..RESAMPLES).map(|_| resample()).collect();
    means.sort_by(f64::total_cmp);
    let at = |share: f64| means[(share * (RESAMPLES - 1) as f64).round() as usize];
    (at((1.0 - LEVEL) / 2.0), at((1.0 + LEVEL) / 2.0))
}

/// The probability that |T| is at most `t` with `freedom` degrees (Abramowitz & Stegun 26.7.3 and 26.7.4).
fn t_within(t: f64, freedom: usize) -> f64 {
    let angle = (t / (freedom as f64).sqrt()).atan();
    let (sine, cosine) = angle.sin_cos();
    // 1 + 1/2 c² + 1·3/(2·4) c⁴ + … for even, c + 2/3 c³ + 2·4/(3·5) c⁵ + … for odd degrees.
    let (mut term, mut sum) = if freedom.is_multiple_of(2) { (1.0, 1.0) } else { (cosine, cosine) };
    let first = if freedom.is_multiple_of(2) { 2 } else { 3 };
    for below in (first..freedom.saturating_sub(1)).step_by(2) {
        term *= (below - 1) as f64 / below as f64 * cosine * cosine;
        sum += term;
    }
    let within = match freedom {
        1 => 2.0 / std::f64::consts::PI * angle,
        _ if freedom.is_multiple_of(2) => sine * sum,
        _ => 2.0 / std::f64::consts::PI * (angle + sine * sum),
    };
    within.clamp(0.0, 1.0)
}

/// How many standard errors reach to either end of a 95 % interval.
fn t_quantile(freedom: usize) -> f64 {
    let (mut low, mut high) = (0.0, 20.0);
    for _ in 0..64 {
        let middle = (low + high) / 2.0;
        if t_within(middle, freedom) < LEVEL { low = middle } else { high = middle }
    }
    (low + high) / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_tables() {
        // Two-sided 5 % points of Student's t.
        for (freedom, quantile) in [
            (1, 12.7062),
            (2, 4.3027),
            (3, 3.1824),
            (4, 2.7764),
            (5, 2.5706),
            (9, 2.2622),
            (30, 2.0423),
            (119, 1.9801),
        ] {
            assert!((t_quantile(freedom) - quantile).abs() < 1e-4, "{freedom}: {}", t_quantile(freedom));
        }
    }

    #[test]
    fn a_mean_has_the_interval_that_one_computes_by_hand() {
        // 1, 2, 3: deviation 1, standard error 1/√3, t(2) = 4.3027.
        let mean = Mean::of(&[1.0, 2.0, 3.0]).unwrap();
        assert_eq!((mean.n, mean.mean), (3, 2.0));
        assert!((mean.half_width.unwrap() - 4.302_65 / 3.0_f64.sqrt()).abs() < 1e-4);
        assert_eq!(Mean::of(&[5.0]).unwrap().half_width, None);
        assert_eq!(Mean::of(&[]), None);
    }

    #[test]
    fn paired_differences_have_the_p_that_one_computes_by_hand() {
        // 1, 2, 3: t = 2·√3 = 3.4641 with 2 degrees; 1 − t/√(2 + t²) = 1 − √(12/14).
        let paired = Paired::of(&[1.0, 2.0, 3.0]).unwrap();
        assert!((paired.p.unwrap() - (1.0 - (12.0_f64 / 14.0).sqrt())).abs() < 1e-12);
        let (low, high) = paired.interval.unwrap();
        // All three the same has a chance of 1/27 each, more than 2.5 %.
        assert_eq!((low, high), (1.0, 3.0));
        assert_eq!(Paired::of(&[2.0, 2.0]).unwrap().p, Some(0.0));
        assert_eq!(Paired::of(&[0.0, 0.0, 0.0]).unwrap().p, Some(1.0));
        assert_eq!(Paired::of(&[2.0]).unwrap().interval, None);
    }

    #[test]
    fn holm_multiplies_the_smallest_most_and_never_turns_the_order() {
        let corrected = holm(&[0.01, 0.04, 0.03, 0.005]);
        let by_hand = [0.03, 0.06, 0.06, 0.02];
        assert!(corrected.iter().zip(by_hand).all(|(a, b)| (a - b).abs() < 1e-12), "{corrected:?}");
        assert_eq!(holm(&[0.9, 0.8]), [1.0, 1.0]);
        assert!(holm(&[]).is_empty());
    }
}
