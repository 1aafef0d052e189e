//! Section 8: warnings and faults.

use std::collections::BTreeMap;

use cotune_record::FaultKind;
use maud::{Markup, html};

use super::{cell, table};
use crate::ReportInput;
use crate::format;

/// Faults listed one by one at most.
const MOST_FAULTS: usize = 15;

pub fn render(input: &ReportInput) -> Option<Markup> {
    let tables = input.tables;
    let machine = input.manifest.warnings.iter().chain(&input.summary.wall.warnings);
    let mut machine: Vec<&String> = machine.collect();
    machine.dedup();
    let warnings = &input.summary.warnings;
    let void = tables.rounds.iter().filter(|row| row.void).count();
    let mut kinds: BTreeMap<FaultKind, usize> = BTreeMap::new();
    for fault in &tables.faults {
        *kinds.entry(fault.kind).or_default() += 1;
    }
    let counted: Vec<String> = kinds.iter().map(|(kind, number)| format!("{number} × {kind}")).collect();
    let quiet = warnings.is_empty() && machine.is_empty() && void == 0 && kinds.is_empty();
    Some(html! {
        @if quiet { p { "Nothing: no faults, no void rounds, no warnings." } }
        @if !warnings.is_empty() || !machine.is_empty() {
            ul.warnings {
                @for warning in warnings { li { (warning) } }
                @for warning in &machine { li { (warning) " " span.quiet { "(about the machine)" } } }
            }
        }
        @if void > 0 {
            p { (format::plural(void, "round")) " of " (tables.rounds.len()) " closed without an aggregate and changed nothing." }
        }
        @if !kinds.is_empty() {
            h3 { "Faults" }
            p.note {
                (counted.join(", "))
                @if tables.faults.len() > MOST_FAULTS { "; the first " (MOST_FAULTS) " are listed, all are in tables/faults.parquet" }
                "."
            }
            (faults(input))
        }
    })
}

fn faults(input: &ReportInput) -> Markup {
    let rows: Vec<Vec<Markup>> = input
        .tables
        .faults
        .iter()
        .take(MOST_FAULTS)
        .map(|fault| {
            let whom = fault.device.map_or("–".to_owned(), |device| device.to_string());
            vec![
                cell(fault.kind.name()),
                cell(format::seconds(fault.time_s)),
                cell(whom),
                html! { span.detail { (fault.detail) } },
            ]
        })
        .collect();
    html! { div.prose { (table(&["Fault", "At", "Device", "What happened"], &rows)) } }
}
