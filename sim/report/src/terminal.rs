//! The summary as a screenful of plain text.

use cotune_record::{Reason, Summary};

use crate::format;

/// What `cotune run` prints at the end: scores from start to end, cost, outcomes, expectations and warnings.
pub fn terminal(summary: &Summary) -> String {
    let mut text = format!("{}  {}, seed {}, {}", summary.name, summary.method, summary.seed, summary.status);
    if let Some(ended) = &summary.ended {
        text += &format!(" (ended by {ended})");
    }
    text += "\n";
    text += &scores(summary);
    text += &system(summary);
    text += &outcomes(summary);
    for result in &summary.expectations {
        let verdict = match result.passed {
            Some(true) => "met",
            Some(false) => "MISSED",
            None => "skipped",
        };
        let written = |value: f64| format::value(&result.metric, value);
        let bounds = [
            result.min.map(|min| format!("≥ {}", written(min))),
            result.max.map(|max| format!("≤ {}", written(max))),
        ];
        let bounds: Vec<String> = bounds.into_iter().flatten().collect();
        let value = result.value.map_or("absent".to_owned(), written);
        text += &format!("  {verdict:<8} {} {} (it is {value})\n", result.metric, bounds.join(" and "));
    }
    if !summary.expectations.is_empty() {
        text += "\n";
    }
    for warning in summary.warnings.iter().chain(&summary.wall.warnings) {
        text += &format!("  warning: {warning}\n");
    }
    text + &format!("  digest   {}\n", summary.digest)
}

/// One line per mean of a model's scores, aligned.
fn scores(summary: &Summary) -> String {
    let mut lines = String::new();
    for scope in ["edge", "edge-all", "cloud", "proxy"] {
        for metric in ["rouge-l", "exact-match", "loss"] {
            let key = [format!("{scope}.{metric}.mean"), format!("{scope}.{metric}")]
                .into_iter()
                .find(|key| summary.metrics.contains_key(key));
            let Some(key) = key else { continue };
            let end = summary.metrics[&key];
            let (from, by) = match summary.start.get(&key) {
                Some(start) => (format!("{start:.2}"), format::change(end - start)),
                None => ("–".to_owned(), String::new()),
            };
            lines += &format!("  {key:<26} {from:>8} {end:>8.2} {by:>8}\n");
        }
    }
    if lines.is_empty() {
        return "\n".to_owned();
    }
    format!("\n  {:<26} {:>8} {:>8} {:>8}\n{lines}\n", "", "start", "end", "change")
}

fn system(summary: &Summary) -> String {
    let value = |name: &str| summary.metrics.get(name).copied();
    let number = |name: &str| value(name).unwrap_or(0.0);
    let mut time = format::seconds(number("virtual.seconds"));
    if let (Some(mean), Some(p95)) =
        (value("round.duration.mean_seconds"), value("round.duration.p95_seconds"))
    {
        let rounds = format::plural(number("rounds") as usize, "round");
        time += &format!(", {rounds} of {} (p95 {})", format::seconds(mean), format::seconds(p95));
    }
    let wire = format!(
        "{} up, {} down, {} of it wasted",
        format::bytes(number("uplink.total_bytes")),
        format::bytes(number("downlink.total_bytes")),
        format::bytes(number("wasted.total_bytes")),
    );
    let tokens = format!(
        "{} trained on by devices, {} by the cloud",
        format::count(number("tokens.device")),
        format::count(number("tokens.cloud")),
    );
    let energy = format::joules(number("energy.total_joules"));
    let cost = format::usd(number("cost.total_usd"));
    let lines = [("time", time), ("tokens", tokens), ("wire", wire), ("energy", energy), ("cost", cost)];
    lines.iter().map(|(name, words)| format!("  {name:<8} {words}\n")).collect()
}

fn outcomes(summary: &Summary) -> String {
    let number = |name: &str| summary.metrics.get(&format!("updates.{name}")).copied().unwrap_or(0.0);
    let mut reasons: Vec<(f64, &str)> = Reason::ALL
        .iter()
        .map(|reason| (number(reason.name()), reason.name()))
        .filter(|(n, _)| *n > 0.0)
        .collect();
    reasons.sort_by(|a, b| b.0.total_cmp(&a.0));
    let words: Vec<String> =
        reasons.iter().map(|(number, name)| format!("{} {name}", format::count(*number))).collect();
    let accepted = format::count(number("accepted"));
    let rest = if words.is_empty() { String::new() } else { format!("; not: {}", words.join(", ")) };
    format!("  updates  {accepted} accepted{rest}\n\n")
}
