//! Part of section 2: what the quality took, so that methods can be compared: tokens, bytes, joules, and which examples
//! were seen.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::{cell, table};
use crate::ReportInput;
use crate::format;

/// A row for the devices, a row for the cloud.
pub fn render(input: &ReportInput) -> Markup {
    let metrics = &input.summary.metrics;
    let number = |name: &str| metrics.get(name).copied().unwrap_or(0.0);
    let [devices, cloud] = input.sees;
    let cloud_joules =
        metrics.get("energy.cloud_joules").map_or("not counted".into(), |j| format::joules(*j));
    let rows = vec![
        vec![
            cell("devices"),
            cell(format::count(number("tokens.device"))),
            cell(format!("{} up", format::bytes(number("uplink.total_bytes")))),
            cell(format::joules(number("energy.marginal_joules"))),
            cell(devices),
        ],
        vec![
            cell("cloud"),
            cell(format::count(number("tokens.cloud"))),
            cell(format!("{} down", format::bytes(number("downlink.total_bytes")))),
            cell(cloud_joules),
            cell(cloud),
        ],
    ];
    html! {
        h3 { "What it took" }
        (table(&["", if input.manifest.train { "Tokens trained on" } else { "Tokens charged for" }, "Bytes sent", "Energy beyond idling", "Trained on"], &rows))
        @if !input.manifest.matched.is_empty() { p.note { (input.manifest.matched) } }
        @if let Some(leaks) = leaks(input) { (leaks) }
    }
}

/// What of the private examples can be told from what travels, where that was measured.
fn leaks(input: &ReportInput) -> Option<Markup> {
    let surfaces = [("proxy", "the travelling adapter"), ("relay", "the relay set's text")];
    let rows = surfaces.into_iter().filter_map(|(scope, what)| {
        let value =
            |metric: &str, from: &BTreeMap<String, f64>| from.get(&format!("{scope}.{metric}")).copied();
        let (start, end) = (&input.summary.start, &input.summary.metrics);
        let shown = |value: Option<f64>| cell(value.map_or("–".to_owned(), |value| format!("{value:.2}")));
        value("exposure", end)?;
        let mut row = vec![cell(what)];
        for metric in ["exposure", "membership-auc"] {
            row.extend([shown(value(metric, start)), shown(value(metric, end))]);
        }
        Some(row)
    });
    let rows: Vec<Vec<Markup>> = rows.collect();
    (!rows.is_empty()).then(|| {
        let head = ["", "Canary exposure [bit], start", "end", "Membership AUC, start", "end"];
        html! {
            h3 { "What leaks" }
            (table(&head, &rows))
            p.note { "What knows nothing of the private examples has an exposure of 1.44 bits on average and an AUC of 0.50." }
        }
    })
}
