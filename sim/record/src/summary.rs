//! `summary.json`: what a run came to, in named numbers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::digest::{Digest, EventDigest};
use crate::event::Reason;
use crate::manifest::{FORMAT, Status};
use crate::scores::{gini, mean, quantile, scores};
use crate::tables::{Outcome, Tables};

/// The content of `summary.json`. Only `wall` may differ between two runs of one digest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Summary {
    /// Version of the format.
    pub format: u32,
    /// Name of the scenario, or what `--name` said.
    pub name: String,
    /// Seed of every random stream.
    pub seed: u64,
    /// Name of the method.
    pub method: String,
    /// How far the run came.
    pub status: Status,
    /// Which budget ended it; null if none did.
    pub ended: Option<String>,
    /// Of everything that happened.
    pub digest: Digest,
    /// Of everything that happened except what learning decides.
    pub schedule_digest: Digest,
    /// Of the resolved scenario.
    pub scenario_digest: Digest,
    /// Name to number, at the end. A metric whose model the method lacks is absent.
    pub metrics: BTreeMap<String, f64>,
    /// The scores among [`Self::metrics`] before training.
    pub start: BTreeMap<String, f64>,
    /// What the scenario expected, in its order.
    pub expectations: Vec<ExpectationResult>,
    /// Read these before trusting the result.
    pub warnings: Vec<String>,
    /// What the computer did, and how fast.
    pub wall: Wall,
}

/// What a scenario's `[[expect]]` asks of a metric at the end.
#[derive(Clone, Debug, PartialEq)]
pub struct Expectation {
    /// Name of the metric.
    pub metric: String,
    /// It must be at least this.
    pub min: Option<f64>,
    /// It must be at most this.
    pub max: Option<f64>,
}

/// What became of an expectation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExpectationResult {
    /// Name of the metric.
    pub metric: String,
    /// Whether it was met; absent if it was skipped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passed: Option<bool>,
    /// Whether the run has no such metric, so that nothing can be said.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub skipped: bool,
    /// The metric's value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// What it had to reach.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    /// What it had to stay under.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
}

/// What the computer did.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wall {
    /// Wall-clock time of the simulation \[s\], the parts before a resume included.
    pub seconds: f64,
    /// Events recorded.
    pub events: u64,
    /// Events per second.
    pub events_per_second: f64,
    /// Tokens trained on.
    pub trained_tokens: u64,
    /// Tokens trained on per second.
    pub train_tokens_per_second: f64,
    /// Largest resident memory \[B\].
    pub peak_rss_bytes: u64,
    /// Threads of the job pool.
    pub threads: u32,
    /// What trained.
    pub device: String,
    /// What a person should know about the machine.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

impl Wall {
    /// The two rates and the two counts, from the tables and the time.
    pub fn measured(tables: &Tables, seconds: f64) -> Self {
        let (events, trained_tokens) = (tables.run.events, tables.rounds.iter().map(|row| row.tokens).sum());
        let per_second = |count: u64| if seconds > 0.0 { count as f64 / seconds } else { 0.0 };
        Self {
            seconds,
            events,
            events_per_second: per_second(events),
            trained_tokens,
            train_tokens_per_second: per_second(trained_tokens),
            ..Self::default()
        }
    }
}

/// Makes the summary of a run from its tables.
pub fn summarize(
    name: &str,
    status: Status,
    tables: &Tables,
    digest: &EventDigest,
    expectations: &[Expectation],
    wall: Wall,
) -> Summary {
    let run = &tables.run;
    let (mut metrics, mut start) = (BTreeMap::new(), BTreeMap::new());
    for score in scores(&tables.evaluations) {
        if score.round == 0 {
            start.insert(score.name(), score.value);
        }
        metrics.insert(score.name(), score.value); // later rounds replace earlier ones
    }
    metrics.extend(system_metrics(tables));
    let mut warnings = warnings(tables);
    metrics.retain(|name, value| {
        if !value.is_finite() {
            warnings.push(format!("{name} is not a finite number at the end: a model diverged"));
        }
        value.is_finite()
    });
    start.retain(|_, value| value.is_finite());
    Summary {
        format: FORMAT,
        name: name.to_owned(),
        seed: run.seed,
        method: run.method.clone(),
        status,
        ended: run.ended.map(|reason| reason.name().to_owned()),
        digest: digest.digest(),
        schedule_digest: digest.schedule_digest(),
        scenario_digest: run.scenario_digest,
        expectations: expectations.iter().map(|expectation| judge(expectation, &metrics)).collect(),
        metrics,
        start,
        warnings,
        wall,
    }
}

/// What to read before trusting the result. A learning rate that is too high makes a warning of every job: those about
/// skipped steps become one line, with the first of them.
fn warnings(tables: &Tables) -> Vec<String> {
    let (skipping, others): (Vec<_>, Vec<_>) =
        tables.warnings.iter().partition::<Vec<_>, _>(|warning| warning.skipped > 0);
    let skipped = match skipping[..] {
        [] => None,
        [only] => Some(only.text.clone()),
        [first, ..] => {
            let steps: u64 = skipping.iter().map(|warning| warning.skipped).sum();
            Some(format!("{} ({steps} steps in {} jobs altogether)", first.text, skipping.len()))
        }
    };
    skipped.into_iter().chain(others.into_iter().map(|warning| warning.text.clone())).collect()
}

/// Everything but the scores.
fn system_metrics(tables: &Tables) -> Vec<(String, f64)> {
    let run = &tables.run;
    let sum = |of: fn(&crate::RoundRow) -> f64| tables.rounds.iter().map(of).sum::<f64>();
    let mut durations: Vec<f64> = tables.rounds.iter().filter_map(crate::RoundRow::duration_s).collect();
    let mut metrics = vec![
        ("tokens.device", run.device_tokens as f64),
        ("tokens.cloud", run.cloud_tokens as f64),
        ("uplink.total_bytes", sum(|row| row.bytes_up as f64)),
        ("downlink.total_bytes", sum(|row| row.bytes_down as f64)),
        ("wasted.total_bytes", sum(|row| row.wasted_bytes as f64)),
        ("energy.total_joules", sum(|row| row.joules) + run.idle_joules),
        ("energy.marginal_joules", sum(|row| row.joules)),
        ("cost.total_usd", run.cost_usd),
        ("virtual.seconds", run.seconds),
        ("rounds", durations.len() as f64),
        ("updates.accepted", tables.count(Outcome::Accepted) as f64),
        ("steps.skipped", tables.warnings.iter().map(|warning| warning.skipped).sum::<u64>() as f64),
    ];
    let footprint = &run.footprint;
    let cloud_joules = footprint.cloud_watts.map(|watts| watts * sum(|row| row.cloud_s));
    metrics.extend(cloud_joules.map(|joules| ("energy.cloud_joules", joules)));
    let grams = [
        footprint.device_grams_per_joule.map(|grams| grams * (sum(|row| row.joules) + run.idle_joules)),
        footprint.cloud_grams_per_joule.zip(cloud_joules).map(|(grams, joules)| grams * joules),
    ];
    if grams.iter().any(Option::is_some) {
        metrics.push(("carbon.total_grams", grams.into_iter().flatten().sum()));
    }
    if !durations.is_empty() {
        metrics.push(("round.duration.mean_seconds", mean(&durations)));
        durations.sort_by(f64::total_cmp);
        metrics.push(("round.duration.p95_seconds", quantile(&durations, 0.95)));
    }
    let participation = participation(tables);
    if !participation.is_empty() {
        let counts = participation.into_values().collect();
        metrics.push(("participation.gini", gini(counts, run.devices as usize)));
    }
    let mut metrics: Vec<_> = metrics.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    for reason in Reason::ALL {
        metrics.push((format!("updates.{reason}"), tables.count(Outcome::Not(reason)) as f64));
    }
    metrics
}

/// Accepted updates per device that has any.
pub fn participation(tables: &Tables) -> BTreeMap<u32, u64> {
    let mut counts = BTreeMap::new();
    for row in &tables.reports {
        if row.outcome == Some(Outcome::Accepted) {
            *counts.entry(row.device).or_insert(0) += 1;
        }
    }
    counts
}

fn judge(expectation: &Expectation, metrics: &BTreeMap<String, f64>) -> ExpectationResult {
    let Expectation { metric, min, max } = expectation.clone();
    let value = metrics.get(&metric).copied();
    let passed = value.map(|value| min.is_none_or(|min| value >= min) && max.is_none_or(|max| value <= max));
    ExpectationResult { metric, passed, skipped: value.is_none(), value, min, max }
}
