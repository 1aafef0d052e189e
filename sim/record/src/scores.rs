//! Scores of models to named statistics: what `metrics.csv`, the summary and the report's curves show.

use std::collections::BTreeMap;
use std::path::Path;

use crate::event::Scope;
use crate::tables::csv_files::write_table;
use crate::tables::{EvaluationRow, TableError};

/// One statistic of one scope at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Score {
    /// Virtual time of the last score in it \[s\].
    pub time_s: f64,
    /// Rounds done; 0 before training.
    pub round: u32,
    /// Which model on which data.
    pub scope: Scope,
    /// The rest of the name: `rouge-l.mean`, `rouge-l.p10`, `rouge-l.domain.med`; `rouge-l` for cloud, proxy and relay.
    pub statistic: String,
    /// Its value; not finite if a model diverged.
    pub value: f64,
}

impl Score {
    /// The metric's full name, `edge.rouge-l.mean`.
    pub fn name(&self) -> String {
        format!("{}.{}", self.scope, self.statistic)
    }
}

/// Names every score and summarizes devices: mean, p10 and p90 over the panel (every device counts the same),
/// and one mean per domain (every device counts by its weight). Ordered by round, scope and statistic.
pub fn scores(evaluations: &[EvaluationRow]) -> Vec<Score> {
    type Key<'a> = (u32, Scope, &'a str, Option<&'a str>);
    let mut groups: BTreeMap<Key, (f64, Vec<(f64, f64)>)> = BTreeMap::new();
    for row in evaluations {
        let Some(value) = row.value else { continue };
        let key = (row.round, row.scope, row.metric.as_str(), row.domain.as_deref());
        let (time_s, values) = groups.entry(key).or_default();
        *time_s = time_s.max(row.time_s);
        values.push((value, row.weight));
    }
    let mut scores = Vec::new();
    for ((round, scope, metric, domain), (time_s, values)) in groups {
        let mut score = |statistic: String, value: f64| {
            scores.push(Score { time_s, round, scope, statistic, value });
        };
        match (scope, domain) {
            (Scope::Edge, None) => {
                let mut plain: Vec<f64> = values.iter().map(|(value, _)| *value).collect();
                score(format!("{metric}.mean"), mean(&plain));
                plain.sort_by(f64::total_cmp);
                score(format!("{metric}.p10"), quantile(&plain, 0.1));
                score(format!("{metric}.p90"), quantile(&plain, 0.9));
            }
            (Scope::Edge, Some(domain)) => {
                let weight: f64 = values.iter().map(|(_, weight)| weight).sum();
                if weight > 0.0 {
                    let sum: f64 =
                        values.iter().filter(|(_, weight)| *weight > 0.0).map(|(v, weight)| v * weight).sum();
                    score(format!("{metric}.domain.{domain}"), sum / weight);
                }
            }
            (Scope::EdgeAll, None) => {
                let plain: Vec<f64> = values.iter().map(|(value, _)| *value).collect();
                score(format!("{metric}.mean"), mean(&plain));
            }
            (Scope::Cloud | Scope::Proxy | Scope::Relay, None) => {
                if let Some((value, _)) = values.last() {
                    score(metric.to_owned(), *value);
                }
            }
            (Scope::EdgeAll | Scope::Cloud | Scope::Proxy | Scope::Relay, Some(_)) => {}
        }
    }
    scores
}

/// Writes `metrics.csv`: virtual_s, round, scope, metric, value.
pub fn write_metrics_csv(scores: &[Score], path: &Path) -> Result<(), TableError> {
    let rows = scores.iter().map(|score| {
        vec![
            score.time_s.to_string(),
            score.round.to_string(),
            score.scope.name().to_owned(),
            score.statistic.clone(),
            score.value.to_string(),
        ]
    });
    write_table(path, &["virtual_s", "round", "scope", "metric", "value"], rows)
}

/// The arithmetic mean; NaN of nothing.
pub fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// The quantile of ascending values, interpolated between neighbours (type 7 of Hyndman and Fan 1996, the
/// default of NumPy and R); NaN of nothing.
pub fn quantile(ascending: &[f64], fraction: f64) -> f64 {
    let Some(last) = ascending.len().checked_sub(1) else { return f64::NAN };
    let position = fraction.clamp(0.0, 1.0) * last as f64;
    let (low, high) = (ascending[position.floor() as usize], ascending[position.ceil() as usize]);
    if low == high { low } else { low + (high - low) * position.fract() }
}

/// The Gini coefficient of counts over `n` who could have had some: 0 if all have the same, near 1 if one has
/// everything. The `n - counts.len()` not listed have none. NaN if nobody has any.
pub fn gini(mut counts: Vec<u64>, n: usize) -> f64 {
    counts.sort_unstable();
    let total: u64 = counts.iter().sum();
    let missing = n.saturating_sub(counts.len());
    let n = n.max(counts.len()) as f64;
    let ranked: f64 = counts
        .iter()
        .enumerate()
        .map(|(index, count)| (2.0 * (missing + index + 1) as f64 - n - 1.0) * *count as f64)
        .sum();
    ranked / (n * total as f64)
}
