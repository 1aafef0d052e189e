//! `[[expect]]`: what the run is expected to show.

use serde::{Deserialize, Serialize};

/// A bound on a metric at the end of the run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Expectation {
    /// A metric name, such as `edge.rouge-l.mean`.
    pub metric: String,
    /// When. Default: end.
    pub at: At,
    /// Smallest value that passes.
    pub min: Option<f64>,
    /// Largest value that passes.
    pub max: Option<f64>,
}

impl Expectation {
    /// Whether `value` is within the bounds.
    pub fn accepts(&self, value: f64) -> bool {
        self.min.is_none_or(|min| value >= min) && self.max.is_none_or(|max| value <= max)
    }
}

/// When an expectation is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum At {
    /// When the run has ended.
    End,
}
