//! Section 10: everything needed to check and to repeat.

use maud::{Markup, html};

use super::{cell, table};
use crate::ReportInput;
use crate::format;

/// Rounds listed one by one at most.
const MOST_ROUNDS: usize = 200;

/// Characters of the scenario shown at most: one with thousands of devices written out must not burst the file.
const MOST_SCENARIO: usize = 200_000;

pub fn render(input: &ReportInput) -> Option<Markup> {
    let (summary, manifest) = (input.summary, input.manifest);
    let wall = &summary.wall;
    // Without learning tokens are charged for, and none is trained on.
    let trained = match manifest.train {
        false => String::new(),
        true => format!(
            "{} tokens trained ({} per second), ",
            format::count(wall.trained_tokens as f64),
            format::count(wall.train_tokens_per_second)
        ),
    };
    let facts = [
        ("event digest", summary.digest.to_hex()),
        ("schedule digest", summary.schedule_digest.to_hex()),
        ("scenario digest", summary.scenario_digest.to_hex()),
        ("version", format!("{} {}", manifest.version, manifest.commit)),
        ("platform", format!("{} ({})", manifest.platform, manifest.cpu_features.join(", "))),
        (
            "trained on",
            format!("{}, {}", manifest.device, format::plural(manifest.threads as usize, "thread")),
        ),
        (
            "this computer took",
            format!(
                "{}: {} events ({} per second), {trained}{} of memory",
                format::seconds(wall.seconds),
                format::count(wall.events as f64),
                format::count(wall.events_per_second),
                format::memory(wall.peak_rss_bytes as f64),
            ),
        ),
    ];
    let scenario: String = input.scenario.chars().take(MOST_SCENARIO).collect();
    let is_cut = scenario.len() < input.scenario.len();
    Some(html! {
        dl { @for (name, value) in &facts { dt { (name) } dd { (value) } } }
        details { summary { "All metrics" } (metrics(input)) }
        @if !input.tables.rounds.is_empty() { details { summary { "All rounds" } (rounds(input)) } }
        details { summary { "The scenario" } pre { code { (scenario) @if is_cut { "\n… (the rest is in scenario.toml)" } } } }
    })
}

fn metrics(input: &ReportInput) -> Markup {
    let rows: Vec<Vec<Markup>> = input
        .summary
        .metrics
        .iter()
        .map(|(name, value)| {
            let start =
                input.summary.start.get(name).map_or(String::new(), |start| format::value(name, *start));
            vec![html! { code { (name) } }, cell(start), cell(format::value(name, *value))]
        })
        .collect();
    table(&["Metric", "Start", "End"], &rows)
}

fn rounds(input: &ReportInput) -> Markup {
    let rounds = &input.tables.rounds;
    let rows: Vec<Vec<Markup>> = rounds
        .iter()
        .take(MOST_ROUNDS)
        .map(|row| {
            vec![
                cell(row.round.to_string()),
                cell(format::seconds(row.opened_s)),
                cell(row.duration_s().map_or("–".into(), format::seconds)),
                html! { (row.accepted) " / " (row.invited) @if row.void { " void" } },
                cell(format::bytes(row.bytes_down as f64)),
                cell(format::bytes(row.bytes_up as f64)),
                cell(format::bytes(row.wasted_bytes as f64)),
                cell(format::joules(row.joules)),
                cell(row.loss.map_or(String::new(), |loss| format!("{loss:.3}"))),
            ]
        })
        .collect();
    html! {
        (table(&["Round", "Opened", "Took", "Accepted", "Down", "Up", "Wasted", "Energy", "Device loss"], &rows))
        @if rounds.len() > MOST_ROUNDS {
            p.note { "The first " (MOST_ROUNDS) " of " (rounds.len()) "; all are in tables/rounds.parquet." }
        }
    }
}
