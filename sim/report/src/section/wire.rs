//! Section 6: bytes.

use std::collections::BTreeMap;

use cotune_record::Outcome;
use maud::{Markup, html};

use super::{bar, cell, stacked_by, stacks, table};
use crate::ReportInput;
use crate::chart::{Bars, Part};
use crate::format;

const PARTS: [Part; 3] = [
    Part { class: "down", label: "down, used" },
    Part { class: "up", label: "up, used" },
    Part { class: "lost", label: "either way, wasted or pending" },
];

pub fn render(input: &ReportInput) -> Option<Markup> {
    let mut split: BTreeMap<u32, [f64; 3]> = BTreeMap::new();
    for row in &input.tables.reports {
        let sums = split.entry(row.round).or_default();
        if row.outcome == Some(Outcome::Accepted) && row.wasted_bytes == 0 {
            sums[0] += row.bytes_down as f64;
            sums[1] += row.bytes_up as f64;
        } else {
            sums[2] += (row.bytes_down + row.bytes_up) as f64;
        }
    }
    let whole: f64 = split.values().flatten().sum();
    if whole == 0.0 {
        return None;
    }
    let tallest = split.values().map(|sums| sums.iter().sum::<f64>()).fold(0.0, f64::max);
    let (scale, unit) = unit(tallest);
    let of = |round: u32| split.get(&round).copied().unwrap_or_default();
    let (group, stacks) = stacks(
        &input.tables.rounds,
        |row| of(row.round).map(|bytes| bytes / scale).to_vec(),
        |values| {
            let lines = PARTS.iter().zip(values);
            let lines = lines.map(|(part, value)| format!("{} {}", part.label, format::bytes(value * scale)));
            lines.collect::<Vec<_>>().join("\n")
        },
    );
    let bars = Bars {
        title: "Bytes per round",
        y_label: unit,
        x_label: &stacked_by(group, &stacks),
        parts: &PARTS,
        stacks,
        height: 220.0,
    };
    let accepted = input.summary.metrics.get("updates.accepted").copied().unwrap_or(0.0);
    let rows: Vec<Vec<Markup>> = PARTS
        .iter()
        .enumerate()
        .map(|(index, part)| {
            let sum: f64 = split.values().map(|sums| sums[index]).sum();
            vec![
                html! { i.swatch.(part.class) {} (part.label) },
                cell(format::bytes(sum)),
                cell(if accepted > 0.0 { format::bytes(sum / accepted) } else { "–".into() }),
                cell(format::share(sum, whole)),
                bar(part.class, sum, whole),
            ]
        })
        .collect();
    Some(html! {
        (bars.draw())
        (table(&["", "All rounds", "Per accepted update", "Share", ""], &rows))
        @if let Some(reasons) = by_reason(input) { (reasons) }
    })
}

/// Bytes of both directions by what became of the device's round.
fn by_reason(input: &ReportInput) -> Option<Markup> {
    let mut sums: BTreeMap<String, (u64, [u64; 2])> = BTreeMap::new();
    for row in &input.tables.reports {
        let outcome = match row.outcome {
            Some(Outcome::Accepted) => "accepted".to_owned(),
            Some(Outcome::Not(reason)) => reason.to_string(),
            None => "pending".to_owned(),
        };
        let (count, [down, up]) = sums.entry(outcome).or_default();
        *count += 1;
        *down += row.bytes_down;
        *up += row.bytes_up;
    }
    if sums.len() < 2 {
        return None;
    }
    let rows: Vec<Vec<Markup>> = sums
        .into_iter()
        .map(|(outcome, (count, [down, up]))| {
            let numbers = [format::count(count as f64), format::bytes(down as f64), format::bytes(up as f64)];
            std::iter::once(html! { (outcome) }).chain(numbers.map(cell)).collect()
        })
        .collect();
    Some(html! {
        h3 { "By what became of the device's round" }
        (table(&["", "Devices", "Down", "Up"], &rows))
    })
}

fn unit(tallest: f64) -> (f64, &'static str) {
    const UNITS: [(f64, &str); 5] = [(1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1.0, "B")];
    UNITS.into_iter().find(|(scale, _)| tallest >= *scale).unwrap_or((1.0, "B"))
}
