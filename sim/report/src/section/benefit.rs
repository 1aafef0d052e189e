//! Section 5: who got better and who got worse, by domain and by device.

use std::collections::BTreeMap;

use cotune_record::scores::{mean, quantile};
use cotune_record::{Scope, Tables};
use maud::{Markup, html};

use super::verdict::delta;
use super::{cell, table};
use crate::ReportInput;
use crate::chart::{LineChart, Series, px};
use crate::format;

pub fn render(input: &ReportInput) -> Option<Markup> {
    let metrics: Vec<&str> = ["rouge-l", "exact-match"]
        .into_iter()
        .filter(|metric| !domains(input, metric).is_empty() || !changes(input.tables, metric).is_empty())
        .collect();
    if metrics.is_empty() || input.tables.evaluations.is_empty() {
        return None;
    }
    Some(html! {
        div.pair {
            @for metric in &metrics {
                @let rows = domains(input, metric);
                @if !rows.is_empty() {
                    figure {
                        figcaption { b { (format::metric(metric)) " by domain" } " " span { "edge, start ○ → end ●" } }
                        (domain_table(&rows))
                    }
                }
            }
            @for metric in &metrics {
                @let changes = changes(input.tables, metric);
                @if changes.len() > 1 {
                    figure {
                        figcaption { b { "Change in " (format::metric(metric)) } " " span { "% of panel devices at or below" } }
                        (distribution(metric, &changes))
                        (words(&changes))
                    }
                }
            }
        }
    })
}

/// Domain, start, end; in the order of the fleet's domains, others after them.
fn domains(input: &ReportInput, metric: &str) -> Vec<(String, Option<f64>, f64)> {
    let prefix = format!("edge.{metric}.domain.");
    let metrics = &input.summary.metrics;
    let mut rows: Vec<_> = metrics
        .iter()
        .filter_map(|(name, end)| {
            let domain = name.strip_prefix(&prefix)?;
            Some((domain.to_owned(), input.summary.start.get(name).copied(), *end))
        })
        .collect();
    let place = |domain: &str| input.fleet.domains.iter().position(|known| known == domain);
    rows.sort_by_key(|row| place(&row.0).unwrap_or(usize::MAX));
    rows
}

fn domain_table(rows: &[(String, Option<f64>, f64)]) -> Markup {
    let high = rows.iter().flat_map(|row| [row.1.unwrap_or(0.0), row.2]).fold(1.0, f64::max);
    let rows: Vec<Vec<Markup>> = rows
        .iter()
        .map(|(domain, start, end)| {
            vec![
                cell(domain),
                cell(start.map_or("–".to_owned(), |start| format!("{start:.1}"))),
                dumbbell(*start, *end, high),
                cell(format!("{end:.1}")),
                start.map_or(cell("–"), |start| delta(end - start, false)),
            ]
        })
        .collect();
    table(&["Domain", "Start", "", "End", "Change"], &rows)
}

/// From where to where, on the table's common scale.
fn dumbbell(start: Option<f64>, end: f64, high: f64) -> Markup {
    let x = |value: f64| 5.0 + 110.0 * (value / high).clamp(0.0, 1.0);
    let class = if start.is_some_and(|start| end < start) { "fell" } else { "rose" };
    html! {
        svg.dumbbell viewBox="0 0 120 14" aria-hidden="true" {
            path.grid d="M5 7H115" {}
            @if let Some(start) = start {
                path.(class) d=(format!("M{} 7H{}", px(x(start)), px(x(end)))) {}
                circle.start.(class) cx=(px(x(start))) cy="7" r="3" {}
            }
            circle.end.(class) cx=(px(x(end))) cy="7" r="3.4" {}
        }
    }
}

/// Each panel device's score on its own mix: end minus start, ascending.
fn changes(tables: &Tables, metric: &str) -> Vec<f64> {
    let mut ends: BTreeMap<u32, (Option<f64>, Option<f64>)> = BTreeMap::new();
    for row in &tables.evaluations {
        let (Some(device), Some(value)) = (row.device, row.value) else { continue };
        if row.scope == Scope::Edge && row.domain.is_none() && row.metric == metric {
            let (start, end) = ends.entry(device).or_default();
            *(if row.round == 0 { start } else { end }) = Some(value);
        }
    }
    let mut changes: Vec<f64> = ends.values().filter_map(|(start, end)| Some((*end)? - (*start)?)).collect();
    changes.retain(|change| change.is_finite());
    changes.sort_by(f64::total_cmp);
    changes
}

/// The cumulative distribution, as steps.
fn distribution(metric: &str, changes: &[f64]) -> Markup {
    let share = |index: usize| 100.0 * index as f64 / changes.len() as f64;
    let step = |(index, change): (usize, &f64)| {
        let words = format!(
            "{:.0} % of the devices changed by {} or less",
            share(index + 1),
            format::change(*change)
        );
        (*change, share(index + 1), words)
    };
    let every = changes.len().div_ceil(60);
    let last = changes.len() - 1;
    let points = changes.iter().enumerate().map(step).enumerate();
    let points = points.filter(|(index, _)| index % every == 0 || *index == last).map(|(_, point)| point);
    let title = format!("Distribution of the change in {} over devices", format::metric(metric));
    let (low, high) = (changes[0].min(0.0), changes[last].max(0.0));
    let margin = ((high - low) * 0.04).max(0.5);
    LineChart {
        title,
        x_label: "change from start to end (dashed: none)",
        x_begin: low - margin,
        x_end: high + margin,
        x_whole: false,
        series: vec![Series { label: String::new(), class: "edge", points: points.collect(), band: None }],
        marks: vec![(0.0, "no change".to_owned())],
        steps: true,
        decimals: 0,
    }
    .draw()
}

fn words(changes: &[f64]) -> Markup {
    let worse = changes.iter().filter(|change| **change < 0.0).count();
    let decile = &changes[..changes.len().div_ceil(10)];
    html! {
        p.note {
            (worse) " of " (format::plural(changes.len(), "panel device")) " got worse. Median change "
            (format::change(quantile(changes, 0.5))) ", worst decile " (format::change(mean(decile))) " on average."
        }
    }
}
