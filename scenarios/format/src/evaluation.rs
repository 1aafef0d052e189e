//! `[evaluation]`: what is measured, how often, on whom.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::codes;
use crate::diagnostic::Diagnostic;
use crate::reader::{self, Bound, Shape, View};
use crate::{units, words};

/// How the models are evaluated.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Evaluation {
    /// How often, besides at the start and at the end. Default: every round.
    pub every: Every,
    /// What is measured. Default: everything.
    pub metrics: Vec<Metric>,
    /// Devices evaluated, the same every time; at most the fleet. Default: 50 (chosen).
    pub panel: u64,
    /// On which held-out part. Default: test.
    pub split: HeldOut,
    /// Longest answer generated \[tokens\]. Default: 24 (chosen: the builtin answers fit).
    pub max_tokens: u32,
    /// At most this many prompts per domain; none: all.
    pub prompts_per_domain: Option<u32>,
    /// How much of private examples can be told from what travels; none: it is not measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub privacy: Option<Privacy>,
}

/// `[evaluation.privacy]`: canaries and membership inference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Privacy {
    /// Secrets put into private examples. Default: 8 (chosen).
    pub canaries: u32,
    /// Devices that share them, at most the fleet. Default: 4 (chosen).
    pub devices: u32,
    /// How often each is among the examples of its device. Default: 4 (chosen).
    pub repeats: u32,
    /// Words of a secret. Default: 3 (chosen).
    pub words: u32,
    /// Secrets that each is ranked among. Default: 127, for an exposure of at most 7 bits (chosen).
    pub candidates: u32,
    /// Private examples that the membership attack is tried on, with as many held-out ones. Default: 256 (chosen).
    pub members: u32,
}

/// How often.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Every {
    /// After this many rounds.
    Rounds(u64),
    /// After this much virtual time \[s\].
    Seconds(f64),
}

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Metric {
    /// Cross-entropy per answer token \[nats\].
    Loss,
    /// Rouge-L, 0 to 100.
    RougeL,
    /// Exact match, 0 to 100.
    ExactMatch,
}

/// The held-out parts of the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum HeldOut {
    /// The validation part.
    Validation,
    /// The test part.
    Test,
}

const METRICS: &[(&str, Metric)] =
    &[("loss", Metric::Loss), ("rouge-l", Metric::RougeL), ("exact-match", Metric::ExactMatch)];

pub(crate) fn read(view: View, devices: Option<u64>) -> Evaluation {
    let devices = devices.unwrap_or(u64::MAX);
    let panel = view.count("panel", 1).or(devices.min(50));
    if panel > devices {
        let message = format!("a panel of {panel} is larger than the fleet of {devices}");
        let warning =
            Diagnostic::new(codes::PANEL, message).label(view.place("panel"), "all devices are evaluated");
        view.problems.add(warning.help(format!("write {devices}, or leave it out")));
    }
    let metrics = view.list(
        "metrics",
        "[\"loss\"]",
        || Shape::words(METRICS),
        |node, path| reader::word(node, path, METRICS),
    );
    let mut metrics = metrics.or(METRICS.iter().map(|(_, metric)| *metric).collect());
    metrics.sort();
    metrics.dedup();
    let evaluation = Evaluation {
        every: view.choice("every", &words::EVERY).optional().and_then(every).unwrap_or(Every::Rounds(1)),
        metrics,
        panel: panel.min(devices),
        split: view
            .word("split", &[("test", HeldOut::Test), ("validation", HeldOut::Validation)])
            .or(HeldOut::Test),
        max_tokens: view.count("max_tokens", 1).or(24),
        prompts_per_domain: view.count("prompts_per_domain", 1).optional(),
        privacy: view.table("privacy").optional().map(|view| privacy(view, devices)),
    };
    view.finish();
    evaluation
}

fn privacy(view: View, devices: u64) -> Privacy {
    let privacy = Privacy {
        canaries: view.count("canaries", 1).or(8),
        devices: view.count("devices", 1).or(4).min(u32::try_from(devices).unwrap_or(u32::MAX)),
        repeats: view.count("repeats", 1).or(4),
        words: view.count("words", 1).or(3),
        candidates: view.count("candidates", 1).or(127),
        members: view.count("members", 1).or(256),
    };
    view.finish();
    privacy
}

fn every((name, view): (&str, View)) -> Option<Every> {
    let every = match name {
        "rounds" => view.count("rounds", 1).required(view.problems).map(Every::Rounds),
        _ => view.quantity("time", &units::TIME, Bound::Positive).required(view.problems).map(Every::Seconds),
    };
    view.finish();
    every
}
