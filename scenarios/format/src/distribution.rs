//! Distributions of a quantity, in SI units.

use serde::{Deserialize, Serialize};

/// A distribution over a physical quantity; the unit is that of the field that holds it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Distribution {
    /// Always this value.
    Constant(f64),
    /// Every value of the range is equally likely.
    Uniform {
        /// Smallest value.
        low: f64,
        /// Largest value, above `low`.
        high: f64,
    },
    /// The normal distribution.
    Normal {
        /// Mean.
        mean: f64,
        /// Standard deviation, above 0.
        sd: f64,
    },
    /// The lognormal distribution: `median · exp(sigma · Z)` with `Z` standard normal.
    #[serde(rename = "lognormal")]
    LogNormal {
        /// Median, above 0.
        median: f64,
        /// Standard deviation of the natural logarithm (no unit), above 0.
        sigma: f64,
    },
    /// The exponential distribution.
    Exponential {
        /// Mean, above 0.
        mean: f64,
    },
    /// The Weibull distribution.
    Weibull {
        /// Shape k (no unit), above 0.
        shape: f64,
        /// Scale λ, above 0.
        scale: f64,
    },
    /// Values are drawn from a file, one number in SI units per line.
    Empirical {
        /// Path as written.
        file: String,
    },
}

impl Distribution {
    /// The constant, where the distribution is one.
    pub fn constant(&self) -> Option<f64> {
        match self {
            Self::Constant(value) => Some(*value),
            _ => None,
        }
    }
}
