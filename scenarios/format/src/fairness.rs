//! `[fairness]`: what a device's round is worth, whatever the method.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::reader::View;

/// The work of a device's round, which a method's `device_steps` are scaled to: methods that divide it between more models
/// take fewer steps of each. The reference is a number of steps on the device's own model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Fairness {
    /// What is to be equal.
    #[serde(rename = "match")]
    pub matched: Match,
    /// Steps of the reference. Default: 40 (what methods take by default).
    pub steps: u32,
    /// Examples in each of them. Default: 16 (likewise).
    pub batch: u32,
}

/// What is to be equal between methods, over the run and the fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Match {
    /// Steps, however many models take each of them.
    Steps,
    /// Tokens trained on, those of all models added up.
    Tokens,
    /// Floating-point operations of the billed models: training, generation and evaluation.
    DeviceCompute,
}

impl Match {
    /// Its name in the scenario language.
    pub fn name(self) -> &'static str {
        match self {
            Self::Steps => "steps",
            Self::Tokens => "tokens",
            Self::DeviceCompute => "device-compute",
        }
    }
}

pub(crate) fn read(root: &View) -> Option<Fairness> {
    const MATCHES: &[(&str, Match)] =
        &[("steps", Match::Steps), ("tokens", Match::Tokens), ("device-compute", Match::DeviceCompute)];
    let view = root.table("fairness").optional()?;
    let matched = view.word("match", MATCHES).required(view.problems);
    let steps = view.count("steps", 1).or(40);
    let batch = view.count("batch", 1).or(16);
    view.finish();
    Some(Fairness { matched: matched?, steps, batch })
}
