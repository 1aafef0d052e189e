//! `[[fault]]`: what goes wrong.

use serde::{Deserialize, Serialize};

/// Something that goes wrong.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// Training devices crash; the update is lost.
    Crash {
        /// Whom it hits.
        class: Classes,
        /// Crashes per second of a training device.
        rate_per_second: f64,
    },
    /// Some devices are slower than their class says.
    Slowdown {
        /// Whom it hits.
        class: Classes,
        /// Fraction of those devices, in (0, 1].
        fraction: f64,
        /// Their training takes this many times as long, at least 1.
        factor: f64,
    },
}

/// A device class, or all of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Classes {
    /// `"*"`: every class.
    All,
    /// One class by name.
    Named(String),
}

impl Classes {
    /// Whether the class `name` is meant.
    pub fn includes(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Named(named) => named == name,
        }
    }
}
