//! What a scenario may write where a number varies: named distributions with the parameters people know.
//!
//! A lognormal is given by its median and a p95 or p5, because those are what measurements report and people can picture;
//! an exponential by its mean. The unit of a sample is the unit of the parameters.

use serde::{Deserialize, Serialize};

use crate::normal;
use crate::stream::Stream;

/// Φ⁻¹(0.95): how many standard deviations above the median the 95th percentile lies.
pub const Z95: f64 = 1.644_853_626_951_472_7;

/// A distribution of real numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Distribution {
    /// Always the same value.
    Constant(f64),
    /// Evenly between two values.
    Uniform {
        /// The least value.
        low: f64,
        /// The supremum.
        high: f64,
    },
    /// The bell curve; may be negative.
    Normal {
        /// Its mean.
        mean: f64,
        /// Its standard deviation.
        sd: f64,
    },
    /// The bell curve, conditioned on not being negative; `mean` and `sd` are those *before* the cut.
    TruncatedNormal {
        /// The mean before the cut; not negative.
        mean: f64,
        /// The standard deviation before the cut.
        sd: f64,
    },
    /// A variate whose logarithm is normal.
    #[serde(rename = "lognormal")]
    LogNormal {
        /// Its median.
        median: f64,
        /// The standard deviation of its logarithm.
        sigma: f64,
    },
    /// The memoryless waiting time.
    Exponential {
        /// Its mean.
        mean: f64,
    },
    /// Session lengths with a heavy (shape < 1) or light tail: P(X > x) = exp(-(x/scale)^shape).
    Weibull {
        /// Its shape k; 1 is the exponential distribution.
        shape: f64,
        /// Its scale λ, the 63rd percentile.
        scale: f64,
    },
    /// Measured values, each as likely as any other.
    Empirical {
        /// The values, in rising order; see [`Distribution::empirical`].
        values: Vec<f64>,
    },
    /// A few values with weights.
    Discrete {
        /// The values, in rising order.
        values: Vec<f64>,
        /// The weight of each value; they need not sum to 1.
        weights: Vec<f64>,
    },
}

/// Why parameters make no distribution.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum DistributionError {
    /// A parameter outside its range.
    #[error("{parameter} of the {distribution} distribution is {value}; it must be {must_be}")]
    Parameter {
        /// The distribution's name.
        distribution: &'static str,
        /// The parameter's name.
        parameter: &'static str,
        /// What it was.
        value: f64,
        /// What it must be.
        must_be: &'static str,
    },
    /// A percentile on the wrong side of the median.
    #[error(
        "the p{percentile} {value} of a lognormal distribution lies on the wrong side of its median {median}"
    )]
    WrongSide {
        /// 5 or 95.
        percentile: u8,
        /// The percentile as given.
        value: f64,
        /// The median as given.
        median: f64,
    },
    /// Values that are none, not finite or not in rising order, or weights that do not fit them.
    #[error("the {distribution} distribution needs {must_be}")]
    Values {
        /// The distribution's name.
        distribution: &'static str,
        /// What is needed.
        must_be: &'static str,
    },
}

impl Distribution {
    /// The lognormal distribution with this median and 95th percentile: σ = ln(p95/median)/1.645.
    ///
    /// # Errors
    /// Unless 0 < median <= p95 < ∞.
    pub fn lognormal_p95(median: f64, p95: f64) -> Result<Self, DistributionError> {
        let given = Self::LogNormal { median, sigma: libm::log(p95 / median) / Z95 };
        if p95 < median || !p95.is_finite() {
            return Err(DistributionError::WrongSide { percentile: 95, value: p95, median });
        }
        given.validated()
    }

    /// The lognormal distribution with this median and 5th percentile: σ = ln(median/p5)/1.645.
    ///
    /// # Errors
    /// Unless 0 < p5 <= median < ∞.
    pub fn lognormal_p5(median: f64, p5: f64) -> Result<Self, DistributionError> {
        let given = Self::LogNormal { median, sigma: libm::log(median / p5) / Z95 };
        if p5 > median || p5.is_nan() || p5 <= 0.0 {
            return Err(DistributionError::WrongSide { percentile: 5, value: p5, median });
        }
        given.validated()
    }

    /// The lognormal distribution with this mean and coefficient of variation (standard deviation over mean):
    /// σ² = ln(1 + cv²), median = mean/√(1 + cv²).
    ///
    /// # Errors
    /// Unless 0 < mean < ∞ and 0 <= cv < ∞.
    pub fn lognormal_mean_cv(mean: f64, cv: f64) -> Result<Self, DistributionError> {
        let spread = 1.0 + cv * cv;
        let given =
            Self::LogNormal { median: mean / libm::sqrt(spread), sigma: libm::sqrt(libm::log(spread)) };
        if cv < 0.0 {
            let (distribution, parameter, must_be) = ("lognormal", "the cv", "finite and not negative");
            return Err(DistributionError::Parameter { distribution, parameter, value: cv, must_be });
        }
        given.validated()
    }

    /// The distribution of measured `values`, in any order.
    ///
    /// # Errors
    /// If there are none or one is not finite.
    pub fn empirical(mut values: Vec<f64>) -> Result<Self, DistributionError> {
        values.sort_by(f64::total_cmp);
        Self::Empirical { values }.validated()
    }

    /// `self`, if its parameters are in range. Every other method takes that for granted.
    ///
    /// # Errors
    /// If a parameter is out of range or not finite, or values are missing or out of order.
    pub fn validated(self) -> Result<Self, DistributionError> {
        self.validate().map(|()| self)
    }

    /// Whether the parameters are in range; see [`Distribution::validated`].
    ///
    /// # Errors
    /// As [`Distribution::validated`].
    pub fn validate(&self) -> Result<(), DistributionError> {
        let distribution = self.name();
        let require = |holds: bool, parameter, value: f64, must_be| {
            if holds && value.is_finite() {
                return Ok(());
            }
            Err(DistributionError::Parameter { distribution, parameter, value, must_be })
        };
        match self {
            Self::Constant(value) => require(true, "the value", *value, "finite"),
            Self::Uniform { low, high } => {
                require(true, "the low end", *low, "finite")?;
                require(low <= high, "the high end", *high, "finite and at least the low end")
            }
            Self::Normal { mean, sd } => {
                require(true, "the mean", *mean, "finite")?;
                require(*sd >= 0.0, "the sd", *sd, "finite and not negative")
            }
            Self::TruncatedNormal { mean, sd } => {
                require(*mean >= 0.0, "the mean", *mean, "finite and not negative")?;
                require(*sd >= 0.0, "the sd", *sd, "finite and not negative")
            }
            Self::LogNormal { median, sigma } => {
                require(*median > 0.0, "the median", *median, "finite and positive")?;
                require(*sigma >= 0.0, "the sigma", *sigma, "finite and not negative")
            }
            Self::Exponential { mean } => require(*mean >= 0.0, "the mean", *mean, "finite and not negative"),
            Self::Weibull { shape, scale } => {
                require(*shape > 0.0, "the shape", *shape, "finite and positive")?;
                require(*scale > 0.0, "the scale", *scale, "finite and positive")
            }
            Self::Empirical { values } => rising(distribution, values),
            Self::Discrete { values, weights } => {
                rising(distribution, values)?;
                let weighted = weights.len() == values.len()
                    && weights.iter().all(|weight| weight.is_finite() && *weight >= 0.0)
                    && weights.iter().sum::<f64>() > 0.0;
                let must_be = "one weight per value, none negative and one positive";
                if weighted { Ok(()) } else { Err(DistributionError::Values { distribution, must_be }) }
            }
        }
    }

    /// The name under which a scenario writes this distribution.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Constant(_) => "constant",
            Self::Uniform { .. } => "uniform",
            Self::Normal { .. } => "normal",
            Self::TruncatedNormal { .. } => "truncated-normal",
            Self::LogNormal { .. } => "lognormal",
            Self::Exponential { .. } => "exponential",
            Self::Weibull { .. } => "weibull",
            Self::Empirical { .. } => "empirical",
            Self::Discrete { .. } => "discrete",
        }
    }

    /// The next value from `stream`.
    pub fn sample(&self, stream: &mut Stream) -> f64 {
        match self {
            Self::Constant(value) => *value,
            Self::Uniform { low, high } => stream.range(*low, *high),
            Self::Normal { mean, sd } => mean + sd * stream.normal(),
            // The mean is not negative, so at least every other draw is kept.
            Self::TruncatedNormal { mean, sd } => loop {
                let drawn = mean + sd * stream.normal();
                if drawn >= 0.0 {
                    break drawn;
                }
            },
            Self::LogNormal { median, sigma } => median * libm::exp(sigma * stream.normal()),
            Self::Exponential { mean } => mean * stream.exponential(),
            Self::Weibull { shape, scale } => scale * libm::pow(stream.exponential(), 1.0 / shape),
            Self::Empirical { values } => {
                *stream.choice(values).expect("a validated distribution has values")
            }
            Self::Discrete { values, weights } => values[stream.weighted(weights)],
        }
    }

    /// The value at a standard normal score: the quantile at Φ(`score`), for drawing correlated values.
    pub fn at_score(&self, score: f64) -> f64 {
        match self {
            Self::Normal { mean, sd } => mean + sd * score,
            Self::LogNormal { median, sigma } => median * libm::exp(sigma * score),
            _ => self.quantile(normal::cdf(score)),
        }
    }

    /// The expected value.
    pub fn mean(&self) -> f64 {
        match self {
            Self::Constant(value) => *value,
            Self::Uniform { low, high } => low + 0.5 * (high - low),
            Self::Normal { mean, .. } | Self::Exponential { mean } => *mean,
            Self::TruncatedNormal { mean, sd } if *sd == 0.0 => *mean,
            // E[X | X >= 0] = μ + σ φ(μ/σ)/Φ(μ/σ) (Johnson, Kotz & Balakrishnan, vol. 1, 10.1).
            Self::TruncatedNormal { mean, sd } => {
                mean + sd * normal::density(mean / sd) / normal::cdf(mean / sd)
            }
            Self::LogNormal { median, sigma } => median * libm::exp(0.5 * sigma * sigma),
            Self::Weibull { shape, scale } => scale * libm::tgamma(1.0 + 1.0 / shape),
            Self::Empirical { values } => values.iter().sum::<f64>() / values.len() as f64,
            Self::Discrete { values, weights } => {
                let weighted = values.iter().zip(weights).map(|(value, weight)| value * weight);
                weighted.sum::<f64>() / weights.iter().sum::<f64>()
            }
        }
    }

    /// The value below which a share `p` of samples falls; for listed values the least value whose share reaches `p`.
    ///
    /// # Panics
    /// Unless `p` lies in [0, 1].
    pub fn quantile(&self, p: f64) -> f64 {
        assert!((0.0..=1.0).contains(&p), "the quantile at {p}: a share lies between 0 and 1");
        match self {
            Self::Constant(value) => *value,
            Self::Uniform { low, high } => low + (high - low) * p,
            Self::Normal { mean, sd } | Self::TruncatedNormal { mean, sd } if *sd == 0.0 => *mean,
            Self::Normal { mean, sd } => mean + sd * normal::quantile(p),
            Self::TruncatedNormal { mean, sd } => {
                let cut = normal::cdf(-mean / sd);
                (mean + sd * normal::quantile(cut + p * (1.0 - cut))).max(0.0)
            }
            Self::LogNormal { median, sigma } if *sigma == 0.0 => *median,
            Self::LogNormal { median, sigma } => median * libm::exp(sigma * normal::quantile(p)),
            Self::Exponential { mean } if *mean == 0.0 => 0.0,
            Self::Exponential { mean } => mean * -libm::log1p(-p),
            Self::Weibull { shape, scale } => scale * libm::pow(-libm::log1p(-p), 1.0 / shape),
            Self::Empirical { values } => {
                let rank = libm::ceil(p * values.len() as f64) as usize;
                values[rank.clamp(1, values.len()) - 1]
            }
            Self::Discrete { values, weights } => {
                let wanted = p * weights.iter().sum::<f64>();
                let mut below = 0.0;
                let reached = weights.iter().position(|weight| {
                    below += weight;
                    *weight > 0.0 && below >= wanted
                });
                let last = weights.iter().rposition(|weight| *weight > 0.0).expect("one weight is positive");
                values[reached.unwrap_or(last)]
            }
        }
    }
}

fn rising(distribution: &'static str, values: &[f64]) -> Result<(), DistributionError> {
    let holds = !values.is_empty() && values.iter().all(|value| value.is_finite()) && values.is_sorted();
    let must_be = "at least one value, all finite, in rising order";
    if holds { Ok(()) } else { Err(DistributionError::Values { distribution, must_be }) }
}

#[cfg(test)]
mod tests;
