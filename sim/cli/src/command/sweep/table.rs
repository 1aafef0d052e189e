//! A sweep's results: points × metrics, the mean over seeds with its 95 % t interval.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use cotune_record::Summary;
use cotune_report::format;
use cotune_scenario::Sweep as Written;
use cotune_scenario::sweep::Goal;
use serde_json::json;

use super::lock::{LockedRung, stopped_after};
use super::points::{Planned, State};
use crate::columns::columns;
use crate::failure::Failure;
use crate::statistics::Mean;

/// What the text shows beside the goal, as far as there is such a number.
const SHOWN: [&str; 5] = [
    "edge.rouge-l.mean",
    "edge.exact-match.mean",
    "cloud.rouge-l",
    "cloud.exact-match",
    "uplink.total_bytes",
];

/// One combination, all its seeds together.
pub struct Row {
    labels: Vec<String>,
    runs: usize,
    complete: usize,
    metrics: BTreeMap<String, Mean>,
    /// The round after which halving stopped it: its numbers are of that moment.
    stopped: Option<u32>,
}

/// The combinations in the order of the goal, the best first, or else of the file; those that were stopped come last.
pub fn collect(written: &Written, planned: &[Planned], rungs: &[LockedRung]) -> Result<Vec<Row>, Failure> {
    let mut rows = Vec::new();
    for points in planned.chunk_by(|a, b| a.point.combination == b.point.combination) {
        let stopped = stopped_after(rungs, &points[0].labels());
        let mut summaries = Vec::new();
        for point in points {
            summaries.extend(stopped.map_or_else(|| point.summary(), |round| point.kept_after(round))?);
        }
        let names: BTreeSet<&String> = summaries.iter().flat_map(|summary| summary.metrics.keys()).collect();
        let mean = |name: &&String| {
            let values: Vec<f64> =
                summaries.iter().filter_map(|summary| summary.metrics.get(*name).copied()).collect();
            Mean::of(&values)
        };
        rows.push(Row {
            labels: points[0].labels(),
            runs: points.len(),
            complete: summaries.len(),
            metrics: names.iter().filter_map(|name| Some(((*name).clone(), mean(name)?))).collect(),
            stopped,
        });
    }
    if let Some(goal) = &written.goal {
        let worth = |row: &Row| match (row.metrics.get(goal.metric()), goal) {
            (None, _) => f64::INFINITY,
            (Some(mean), Goal::Minimize(_)) => mean.mean,
            (Some(mean), Goal::Maximize(_)) => -mean.mean,
        };
        let length = |row: &Row| std::cmp::Reverse(row.stopped.unwrap_or(u32::MAX));
        rows.sort_by(|a, b| length(a).cmp(&length(b)).then(worth(a).total_cmp(&worth(b))));
    }
    Ok(rows)
}

/// For a terminal; `is_climb` is whether points may have been stopped early.
pub fn text(written: &Written, rows: &[Row], is_climb: bool) -> String {
    let goal = written.goal.as_ref().map(Goal::metric);
    let known = |metric: &&str| rows.iter().any(|row| row.metrics.contains_key(*metric));
    let others = SHOWN.into_iter().filter(|metric| Some(*metric) != goal);
    let metrics: Vec<&str> = goal.into_iter().chain(others).filter(known).collect();
    let keys = written.axis_keys();
    let cell = |row: &Row, metric: &str| match row.metrics.get(metric) {
        None => "–".to_owned(),
        Some(Mean { mean, half_width: None, .. }) => format::value(metric, *mean),
        Some(Mean { mean, half_width: Some(half), .. }) => {
            format!("{} ± {}", format::value(metric, *mean), format::value(metric, *half))
        }
    };
    let head = keys
        .iter()
        .copied()
        .chain(is_climb.then_some("stopped"))
        .chain(["runs"])
        .chain(metrics.iter().copied());
    let mut lines = vec![head.map(str::to_owned).collect::<Vec<_>>()];
    for row in rows {
        let cells = metrics.iter().map(|metric| cell(row, metric));
        let runs = format!("{}/{}", row.complete, row.runs);
        let stopped = row.stopped.map_or("no".to_owned(), |round| format!("round {round}"));
        let stopped = is_climb.then_some(stopped);
        lines.push(row.labels.iter().cloned().chain(stopped).chain([runs]).chain(cells).collect());
    }
    columns(&("l".repeat(keys.len() + usize::from(is_climb)) + &"r".repeat(1 + metrics.len())), &lines)
}

/// For a program.
pub fn json(written: &Written, folder: &Path, rows: &[Row]) -> String {
    let keys = written.axis_keys();
    let point = |row: &Row| {
        let axes: BTreeMap<_, _> = keys.iter().zip(&row.labels).collect();
        let mean = |mean: &Mean| json!({ "n": mean.n, "mean": mean.mean, "half_width": mean.half_width });
        let metrics: BTreeMap<_, _> = row.metrics.iter().map(|(name, value)| (name, mean(value))).collect();
        let (runs, complete, stopped) = (row.runs, row.complete, row.stopped);
        json!({ "axes": axes, "runs": runs, "complete": complete, "stopped_after_round": stopped, "metrics": metrics })
    };
    let points: Vec<_> = rows.iter().map(point).collect();
    let all = json!({ "name": written.name, "folder": folder, "goal": written.goal, "points": points });
    serde_json::to_string_pretty(&all).expect("a table is JSON") + "\n"
}

/// `tables/points.csv`: a line for every run, a column for every axis and every metric.
pub fn csv(written: &Written, planned: &[Planned], rungs: &[LockedRung]) -> Result<String, Failure> {
    let mut runs = Vec::new();
    for point in planned {
        let stopped = stopped_after(rungs, &point.labels());
        let summary = stopped.map_or_else(|| point.summary(), |round| point.kept_after(round))?;
        runs.push((point, stopped, summary));
    }
    let of = |summary: &Option<Summary>| {
        summary.iter().flat_map(|one| one.metrics.keys().cloned()).collect::<Vec<_>>()
    };
    let names: BTreeSet<String> = runs.iter().flat_map(|(.., summary)| of(summary)).collect();
    let mut head: Vec<String> = vec!["point".to_owned()];
    head.extend(written.axis_keys().into_iter().map(str::to_owned));
    head.extend(["seed".to_owned(), "status".to_owned()]);
    head.extend(names.iter().cloned());
    let mut text = line(&head);
    for (point, stopped, summary) in &runs {
        let mut cells = vec![point.id()];
        cells.extend(point.labels());
        cells.push(point.point.seed.map_or(String::new(), |seed| seed.to_string()));
        cells.push(match point.state() {
            State::Missing => "missing".to_owned(),
            State::Unreadable => "unreadable".to_owned(),
            State::Ended(_) if stopped.is_some() => "stopped".to_owned(),
            State::Ended(status) => status.to_string(),
        });
        let value = |name| summary.as_ref().and_then(|one: &Summary| one.metrics.get(name));
        cells.extend(names.iter().map(|name| value(name).map_or(String::new(), f64::to_string)));
        text.push_str(&line(&cells));
    }
    Ok(text)
}

/// A line of CSV (RFC 4180).
fn line(cells: &[String]) -> String {
    let cell = |cell: &String| match cell.contains([',', '"', '\n']) {
        true => format!("\"{}\"", cell.replace('"', "\"\"")),
        false => cell.clone(),
    };
    cells.iter().map(cell).collect::<Vec<_>>().join(",") + "\n"
}
