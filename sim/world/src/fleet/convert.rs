//! From the distributions a scenario writes to those the kernel draws from.

use cotune_kernel::{Distribution, DistributionError};
use cotune_scenario::Distribution as Written;

use crate::files::Files;

/// Why a distribution cannot be drawn from.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ConvertError {
    /// Its values lie in a file that was not read.
    #[error("the samples of `empirical = \"{file}\"` were not read")]
    Empirical {
        /// The file as written.
        file: String,
    },
    /// Its parameters are out of range.
    #[error(transparent)]
    Parameters(#[from] DistributionError),
}

/// The distribution of a quantity that may have any sign, such as a time zone.
///
/// # Errors
/// Its file was not read, or its parameters are out of range.
pub fn any_sign(written: &Written, files: &Files) -> Result<Distribution, ConvertError> {
    let distribution = match written {
        Written::Constant(value) => Distribution::Constant(*value),
        Written::Uniform { low, high } => Distribution::Uniform { low: *low, high: *high },
        Written::Normal { mean, sd } => Distribution::Normal { mean: *mean, sd: *sd },
        Written::LogNormal { median, sigma } => Distribution::LogNormal { median: *median, sigma: *sigma },
        Written::Exponential { mean } => Distribution::Exponential { mean: *mean },
        Written::Weibull { shape, scale } => Distribution::Weibull { shape: *shape, scale: *scale },
        Written::Empirical { file } => match files.samples(file) {
            Some(values) => Distribution::Empirical { values: values.to_vec() },
            None => return Err(ConvertError::Empirical { file: file.clone() }),
        },
    };
    Ok(distribution.validated()?)
}

/// The distribution of a quantity that cannot be negative, such as a speed or a time: a normal one is cut at zero, so
/// its mean moves up slightly.
///
/// # Errors
/// As [`any_sign`], or a normal distribution around a negative mean.
pub fn not_negative(written: &Written, files: &Files) -> Result<Distribution, ConvertError> {
    match any_sign(written, files)? {
        Distribution::Empirical { values } if values[0] < 0.0 => Err(DistributionError::Values {
            distribution: "empirical",
            must_be: "values that are not negative",
        })?,
        Distribution::Normal { mean, sd } => Ok(Distribution::TruncatedNormal { mean, sd }.validated()?),
        other => Ok(other),
    }
}
