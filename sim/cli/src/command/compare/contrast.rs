//! Contrasts: differences that a sweep's file fixed before anything ran, each with its interval.

use cotune_report::format;
use serde_json::{Value, json};

use super::groups::Group;
use super::verdict::{Finding, correct, finding};
use crate::columns::columns;
use crate::command::sweep::LockedContrast;

/// What contrasts are about. The scopes are never averaged into one number, and Rouge-L stands beside exact match.
const METRICS: [&str; 6] = [
    "edge.rouge-l.mean",
    "edge.exact-match.mean",
    "edge-all.rouge-l.mean",
    "edge-all.exact-match.mean",
    "cloud.rouge-l",
    "cloud.exact-match",
];

/// One contrast at one combination of the other axes.
pub struct Contrast {
    name: String,
    of: String,
    findings: Vec<Against>,
}

/// One metric, and which of the others was the best in it.
struct Against {
    other: String,
    /// The other's mean over the paired seeds' group.
    base: f64,
    finding: Finding,
}

/// Every contrast that the groups allow. Holm's correction is over all of their tests together.
pub fn evaluate(written: &[LockedContrast], groups: &[Group]) -> Vec<Contrast> {
    let mut all = Vec::new();
    for contrast in written {
        for group in groups.iter().filter(|group| group.labels.contains(&contrast.of)) {
            let others: Vec<&Group> =
                groups.iter().filter(|other| is_opposite(contrast, group, other)).collect();
            let findings: Vec<Against> =
                METRICS.iter().filter_map(|metric| against(metric, group, &others)).collect();
            if !findings.is_empty() {
                all.push(Contrast { name: contrast.name.clone(), of: group.name.clone(), findings });
            }
        }
    }
    correct(all.iter_mut().flat_map(|one| one.findings.iter_mut().map(|against| &mut against.finding)));
    all
}

/// Whether the two differ in the contrast's label alone.
fn is_opposite(contrast: &LockedContrast, group: &Group, other: &Group) -> bool {
    let axis = group.labels.iter().position(|label| *label == contrast.of);
    let at = |axis: usize| {
        other.labels.len() == group.labels.len()
            && contrast.against.contains(&other.labels[axis])
            && (0..group.labels.len()).all(|i| i == axis || group.labels[i] == other.labels[i])
    };
    axis.is_some_and(at)
}

/// The difference to the best of the others in this metric.
fn against(metric: &str, group: &Group, others: &[&Group]) -> Option<Against> {
    let sign = if format::lower_is_better(metric) { -1.0 } else { 1.0 };
    let means = others.iter().filter_map(|other| Some((*other, other.mean(metric)?.mean)));
    let (other, base) = means.max_by(|(_, a), (_, b)| (sign * a).total_cmp(&(sign * b)))?;
    let finding = finding(metric.to_owned(), other, group)?;
    Some(Against { other: other.name.clone(), base, finding })
}

/// For a terminal: a table for each contrast.
pub fn text(contrasts: &[Contrast]) -> String {
    let mut text = String::new();
    for contrast in contrasts {
        text.push_str(&format!("\n{}: {}\n", contrast.name, contrast.of));
        let head = ["metric", "against", "difference", "95 % interval", "relative", "p (Holm)", "seeds"];
        let mut rows = vec![head.map(str::to_owned).to_vec()];
        for Against { other, base, finding } in &contrast.findings {
            let (metric, paired) = (&finding.metric, &finding.paired);
            let value = |value: f64| format!("{value:+.2}");
            let interval = paired.interval.map(|(low, high)| format!("{} to {}", value(low), value(high)));
            let relative = (*base != 0.0).then(|| format!("{:+.1} %", 100.0 * paired.mean / base));
            rows.push(vec![
                metric.clone(),
                other.clone(),
                value(paired.mean),
                interval.unwrap_or_else(|| "one seed".to_owned()),
                relative.unwrap_or_else(|| "–".to_owned()),
                finding.p.map_or("–".to_owned(), |p| format!("{p:.3}")),
                paired.n.to_string(),
            ]);
        }
        text.push_str(&columns("llrrrrr", &rows));
    }
    text
}

/// For a program.
pub fn to_json(contrast: &Contrast) -> Value {
    let metric = |one: &Against| {
        let mut found = one.finding.to_json();
        found["against"] = json!(one.other);
        found["relative"] = json!((one.base != 0.0).then(|| one.finding.paired.mean / one.base));
        found
    };
    let metrics: Vec<Value> = contrast.findings.iter().map(metric).collect();
    json!({ "name": contrast.name, "of": contrast.of, "metrics": metrics })
}
