//! A renewal process in equilibrium: how much is left of the interval in which an observer arrives.
//!
//! The interval is not a typical one: an interval is met with probability proportional to its length (the inspection
//! paradox), and then at a uniform point of it. Cox, "Renewal Theory" (1962), §5.

use cotune_kernel::{Distribution, Stream, normal};

/// What is left of the interval that is met, for intervals from `lengths`.
pub(super) fn residual(lengths: &Distribution, stream: &mut Stream) -> f64 {
    stream.uniform_open() * length_biased(lengths, stream)
}

/// A draw from the density x·f(x)/E\[X\] of a distribution of not negative values with density f.
fn length_biased(lengths: &Distribution, stream: &mut Stream) -> f64 {
    match lengths {
        Distribution::Constant(value) => *value,
        // The distribution function is (x² - low²)/(high² - low²).
        Distribution::Uniform { low, high } => {
            (low * low + stream.uniform() * (high * high - low * low)).sqrt()
        }
        // An Erlang variate of two stages.
        Distribution::Exponential { mean } => mean * (stream.exponential() + stream.exponential()),
        // The same σ around median·e^σ², which is mean²/median.
        Distribution::LogNormal { median, sigma } => {
            let mean = lengths.mean();
            Distribution::LogNormal { median: mean * mean / median, sigma: *sigma }.sample(stream)
        }
        // (x/λ)^k is a gamma variate of shape 1 + 1/k.
        Distribution::Weibull { shape, scale } => scale * exp(stream.ln_gamma(1.0 + 1.0 / shape) / shape),
        // Rejection under the line x/bound; less than 1e-15 of the mass lies beyond the bound.
        Distribution::Normal { mean, sd } | Distribution::TruncatedNormal { mean, sd } => loop {
            let drawn = Distribution::TruncatedNormal { mean: *mean, sd: *sd }.sample(stream);
            if stream.uniform() * (mean + 8.0 * sd) < drawn {
                break drawn;
            }
        },
        Distribution::Empirical { values } => values[stream.weighted(values)],
        Distribution::Discrete { values, weights } => {
            let met: Vec<f64> = values.iter().zip(weights).map(|(value, weight)| value * weight).collect();
            values[stream.weighted(&met)]
        }
    }
}

/// e^x from the kernel's mathematics, the same on every machine: a lognormal variate one σ = x above its median of 1.
fn exp(x: f64) -> f64 {
    Distribution::LogNormal { median: 1.0, sigma: x }.quantile(normal::cdf(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// E[X²]/E[X] of the interval that is met, and half of it of what is left (Cox §5.2).
    #[test]
    fn an_observer_meets_long_intervals_and_waits_for_half_of_them() {
        const DRAWS: usize = 200_000;
        let cases = [
            (Distribution::Constant(3.0), 3.0),
            (Distribution::Uniform { low: 1.0, high: 3.0 }, 13.0 / 6.0),
            (Distribution::Exponential { mean: 2.0 }, 4.0),
            (Distribution::LogNormal { median: 2.0, sigma: 0.5 }, 2.0 * (1.5f64 * 0.25).exp()),
            (Distribution::TruncatedNormal { mean: 10.0, sd: 1.0 }, 10.1),
            // Γ(1 + 2/k)/Γ(1 + 1/k) at k = 1/2: Γ(5)/Γ(3).
            (Distribution::Weibull { shape: 0.5, scale: 1.0 }, 12.0),
            (Distribution::Empirical { values: vec![1.0, 3.0] }, 2.5),
            (Distribution::Discrete { values: vec![1.0, 3.0], weights: vec![3.0, 1.0] }, 2.0),
        ];
        for (lengths, expected) in cases {
            let mut stream = Stream::keyed_parts(1, &[&"test/met", &lengths.name()]);
            let met: f64 =
                (0..DRAWS).map(|_| length_biased(&lengths, &mut stream)).sum::<f64>() / DRAWS as f64;
            let left: f64 = (0..DRAWS).map(|_| residual(&lengths, &mut stream)).sum::<f64>() / DRAWS as f64;
            assert!(
                (met / expected - 1.0).abs() < 0.02,
                "{}: met {met}, expected {expected}",
                lengths.name()
            );
            assert!((left / expected * 2.0 - 1.0).abs() < 0.03, "{}: left {left}", lengths.name());
        }
    }

    #[test]
    fn the_exponential_function_is_right_to_fourteen_digits() {
        for x in [-30.0, -1.0, 0.0, 0.5, 20.0] {
            assert!((exp(x) / x.exp() - 1.0).abs() < 1e-14, "e^{x} = {}", exp(x));
        }
    }
}
