//! `[evaluation]`: what is measured, how often, on whom.

use serde::{Deserialize, Serialize};

/// How the models are evaluated.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// How often, besides at the start and at the end. Default: every round.
    pub every: Every,
    /// What is measured. Default: everything.
    pub metrics: Vec<Metric>,
    /// Devices evaluated, the same every time; at most the fleet. Default: 50 (chosen).
    pub panel: u64,
    /// On which held-out part. Default: test.
    pub split: HeldOut,
    /// Longest answer generated [tokens]. Default: 24 (chosen: the builtin answers fit).
    pub max_tokens: u32,
    /// At most this many prompts per domain; none: all.
    pub prompts_per_domain: Option<u32>,
}

/// How often.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Every {
    /// After this many rounds.
    Rounds(u64),
    /// After this much virtual time [s].
    Seconds(f64),
}

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Metric {
    /// Cross-entropy per answer token [nats].
    Loss,
    /// Rouge-L, 0 to 100.
    RougeL,
    /// Exact match, 0 to 100.
    ExactMatch,
}

/// The held-out parts of the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HeldOut {
    /// The validation part.
    Validation,
    /// The test part.
    Test,
}
