//! Distributions of a quantity, in SI units.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::codes;
use crate::diagnostic::Diagnostic;
use crate::node::Value;
use crate::reader::{Bound, Field, Shape, View, quantity};
use crate::units::{Dimension, tidy};
use crate::words;

/// A distribution over a physical quantity; the unit is that of the field that holds it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
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

/// The 95th percentile of the standard normal distribution.
const Z95: f64 = 1.644_853_626_951_472_2;

impl View<'_> {
    /// A distribution of a quantity all of whose values are within `bound`.
    pub(crate) fn distribution(
        &self,
        key: &'static str,
        dimension: &'static Dimension,
        bound: Bound,
    ) -> Field<Distribution> {
        self.part(
            key,
            &format!("{:?}", dimension.example),
            || Shape::Distribution(dimension),
            |node, path| match &node.value {
                Value::Table(table) => {
                    let at = self.key_place(key);
                    let holder = self.view(table, path.to_owned(), at);
                    match holder.chosen(&words::DISTRIBUTION) {
                        Ok((name, view)) => read(name, view, dimension, bound),
                        Err(error) => {
                            self.problems.add(error);
                            None
                        }
                    }
                }
                _ => match quantity(node, path, dimension, bound) {
                    Ok(value) => Some(Distribution::Constant(value)),
                    Err(error) => {
                        self.problems.add(error);
                        None
                    }
                },
            },
        )
    }
}

fn read(name: &str, view: View, dimension: &'static Dimension, bound: Bound) -> Option<Distribution> {
    let required = |key| view.quantity(key, dimension, bound).required(view.problems);
    let spread = |key| view.quantity(key, dimension, Bound::Positive).required(view.problems);
    let distribution = match name {
        "constant" => required("constant").map(Distribution::Constant),
        "uniform" => {
            let (low, high) = (required("low"), required("high"));
            low.zip(high).and_then(|(low, high)| {
                in_order(&view, "low", low, "high", high)?;
                Some(Distribution::Uniform { low, high })
            })
        }
        "normal" => {
            let (mean, sd) = (required("mean"), spread("sd"));
            mean.zip(sd).map(|(mean, sd)| Distribution::Normal { mean, sd })
        }
        "lognormal" => lognormal(&view, dimension),
        "exponential" => spread("mean").map(|mean| Distribution::Exponential { mean }),
        "weibull" => {
            let (shape, scale) =
                (view.number("shape", Bound::Positive).required(view.problems), spread("scale"));
            shape.zip(scale).map(|(shape, scale)| Distribution::Weibull { shape, scale })
        }
        _ => {
            let file = view.string("empirical", "\"samples.txt\"").required(view.problems);
            file.map(|file| Distribution::Empirical { file })
        }
    };
    view.finish();
    distribution
}

/// From the median and one of p95, p5 and sigma: sigma = |ln(p / median)| / z95.
fn lognormal(view: &View, dimension: &'static Dimension) -> Option<Distribution> {
    let quantity = |key| view.quantity(key, dimension, Bound::Positive);
    let median = quantity("median").required(view.problems);
    let (p95, p5) = (quantity("p95").optional(), quantity("p5").optional());
    let sigma = view.number("sigma", Bound::Positive).optional();
    let written: Vec<&str> = ["p95", "p5", "sigma"].into_iter().filter(|key| view.has(key)).collect();
    match written[..] {
        [_] => {}
        [] => {
            let message = format!("`{}` has a median and no spread", view.path);
            let error = Diagnostic::new(codes::CONFLICT, message).label(view.at.clone(), "how wide is it?");
            view.problems.add(error.help("write p95 = … (or p5, or sigma) beside the median"));
            return None;
        }
        [first, second, ..] => {
            let message =
                format!("`{}` says its spread twice: {}", view.path, words::list(written.iter().copied()));
            let error = Diagnostic::new(codes::CONFLICT, message).label(view.key_place(second), "the second");
            view.problems
                .add(error.label(view.key_place(first), "the first").help(format!("keep `{first}` alone")));
            return None;
        }
    }
    let median = median?;
    let sigma = match (p95, p5) {
        (Some(p95), _) => {
            in_order(view, "median", median, "p95", p95)?;
            (p95 / median).ln() / Z95
        }
        (_, Some(p5)) => {
            in_order(view, "p5", p5, "median", median)?;
            (median / p5).ln() / Z95
        }
        _ => sigma?,
    };
    Some(Distribution::LogNormal { median, sigma: tidy(sigma) })
}

/// A mistake unless `low` is below `high`.
fn in_order(view: &View, low_key: &str, low: f64, high_key: &str, high: f64) -> Option<()> {
    if low < high {
        return Some(());
    }
    let message = format!("`{}`: {low_key} is not below {high_key}", view.path);
    let error = Diagnostic::new(codes::INVERTED, message).label(view.place(high_key), "not above");
    view.problems.add(error.label(view.place(low_key), "not below").help(if low == high {
        "write a constant, such as the quantity alone, where nothing varies".to_owned()
    } else {
        format!("exchange {low_key} and {high_key}")
    }));
    None
}
