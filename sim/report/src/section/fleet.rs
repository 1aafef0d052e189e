//! Section 9: what was drawn, and who holds which data.

use cotune_record::FleetRow;
use cotune_record::scores::quantile;
use maud::{Markup, html};

use super::{cell, table};
use crate::ReportInput;
use crate::chart::HeatMap;
use crate::format;

/// Devices the split is shown for at most.
const MOST_COLUMNS: usize = 60;

pub fn render(input: &ReportInput) -> Option<Markup> {
    if input.fleet.devices.is_empty() {
        return None;
    }
    Some(html! {
        p.note { "Medians, with the 5th to 95th percentile of what was drawn." }
        (classes(input))
        @if !input.fleet.domains.is_empty() { (split(input)) }
    })
}

fn classes(input: &ReportInput) -> Markup {
    let rows: Vec<Vec<Markup>> = input
        .fleet
        .classes()
        .iter()
        .map(|class| {
            let devices: Vec<&FleetRow> =
                input.fleet.devices.iter().filter(|row| row.class == *class).collect();
            let mut models: Vec<&str> = devices.iter().map(|row| &*row.model).collect();
            models.sort_unstable();
            models.dedup();
            let range = |of: &dyn Fn(&FleetRow) -> f64, words: fn(f64) -> String| {
                let mut values: Vec<f64> = devices.iter().map(|row| of(row)).collect();
                values.sort_by(f64::total_cmp);
                let (low, high) = (words(quantile(&values, 0.05)), words(quantile(&values, 0.95)));
                html! {
                    (words(quantile(&values, 0.5)))
                    @if low != high { br; small { (without_unit_of(&low, &high)) " – " (high) } }
                }
            };
            vec![
                html! { (class) br; small { (models.join(", ")) } },
                cell(format::count(devices.len() as f64)),
                range(&|row| row.compute_flops, format::flop_rate),
                range(&|row| row.memory_bytes as f64, format::memory),
                range(&|row| row.down_bps, format::bit_rate),
                range(&|row| row.up_bps, format::bit_rate),
                range(&|row| row.rtt_s * 1000.0, |value| format!("{} ms", format::significant(value))),
                range(&|row| examples(row), format::count),
            ]
        })
        .collect();
    let head = ["Class, model", "Devices", "Compute", "Memory", "Down", "Up", "RTT", "Examples"];
    html! { div.narrow { (table(&head, &rows)) } }
}

/// The lower end of a range, without its unit if the upper end has the same.
fn without_unit_of<'a>(low: &'a str, high: &str) -> &'a str {
    match (low.split_once(' '), high.split_once(' ')) {
        (Some((number, unit)), Some((_, same))) if unit == same => number,
        _ => low,
    }
}

fn examples(row: &FleetRow) -> f64 {
    row.examples.iter().map(|number| f64::from(*number)).sum()
}

fn split(input: &ReportInput) -> Markup {
    let devices = &input.fleet.devices;
    let all = devices.len();
    let shown = all.min(MOST_COLUMNS);
    let columns = (0..shown).map(|index| {
        let row = &devices[if shown < all { index * (all - 1) / (shown - 1) } else { index }];
        let total = examples(row);
        let shares =
            row.examples.iter().map(|number| if total > 0.0 { f64::from(*number) / total } else { 0.0 });
        let named = input.fleet.domains.iter().zip(&row.examples).filter(|(_, number)| **number > 0);
        let named: Vec<String> = named.map(|(domain, number)| format!("{domain} {number}")).collect();
        let words = format!("device {} ({})\n{}", row.device, row.class, named.join("\n"));
        (row.device.to_string(), shares.collect(), words)
    });
    let map = HeatMap {
        title: "Share of each domain in each device's private examples",
        rows: &input.fleet.domains,
        columns: columns.collect(),
        x_label: "device",
    };
    html! {
        h3 { "Who holds which data" }
        p.note {
            "Each column is a device; the stronger the colour, the larger the domain's share of its private examples"
            @if shown < all { " (" (shown) " of " (format::count(all as f64)) " devices, evenly spaced)" }
            "."
        }
        (map.draw())
    }
}
