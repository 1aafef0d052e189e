//! Every point with its interval, the best first.

use maud::{Markup, html};

use super::{SweepInput, SweepPoint, axis_words, unit};
use crate::chart::{Axis, px};
use crate::format;
use crate::section::{cell, table};

/// Points drawn at most.
const MOST: usize = 60;
/// Beside the goal, where a sweep has them.
const SHOWN: [&str; 8] = [
    "edge.rouge-l.mean",
    "edge.exact-match.mean",
    "cloud.exact-match",
    "tokens.device",
    "tokens.cloud",
    "uplink.total_bytes",
    "energy.total_joules",
    "virtual.seconds",
];

pub(super) fn render(input: &SweepInput) -> Option<Markup> {
    let ranked = input.ranked();
    if ranked.is_empty() {
        return None;
    }
    Some(html! {
        p.note {
            "Dots are means over seeds, lines their 95 % intervals. Hollow: one seed, which has no interval. "
            "Grey: a paired test on common seeds does not tell it from the best."
        }
        (picture(input))
        @if ranked.len() > MOST { p.note { "The best " (MOST) " of " (ranked.len()) " are drawn; all are in tables/points.csv." } }
        (numbers(input))
    })
}

/// A row for every point: its name, its interval on an axis that all rows share, its mean. Places are percentages, so
/// that a row is as wide as the page; on a phone names stand above.
fn picture(input: &SweepInput) -> Markup {
    let ranked = input.ranked();
    let ranked = &ranked[..ranked.len().min(MOST)];
    let ends = ranked.iter().flat_map(|(_, _, one)| {
        let half = one.half_width.unwrap_or(0.0);
        [one.mean - half, one.mean + half]
    });
    let (low, high) =
        ends.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), end| (low.min(end), high.max(end)));
    let (size, name) = unit(&input.metric, high);
    let x = Axis::nice(low / size, high / size, (0.0, 100.0), 6);
    let ticks = x.ticks();
    let place = |value: f64| format!("{}%", px(x.at(value / size)));
    let at = |value: f64| format!("{}%", px(x.at(value)));
    html! {
        div.points {
            @for (_, point, one) in ranked {
                @let half = one.half_width.unwrap_or(0.0);
                div.point.(if point.differs_from_best == Some(false) { "alike" } else { "apart" }) title=(words(input, point)) {
                    span.rowname { (input.title(point)) }
                    span.range {
                        svg role="img" aria-label=(words(input, point)) {
                            @for (value, _) in &ticks { line.grid x1=(at(*value)) x2=(at(*value)) y1="0" y2="100%" {} }
                            @if half > 0.0 { line.interval x1=(place(one.mean - half)) x2=(place(one.mean + half)) y1="50%" y2="50%" {} }
                            circle.(if one.half_width.is_some() { "full" } else { "hollow" }) cx=(place(one.mean)) cy="50%" r="4.5" {}
                        }
                    }
                    span.quiet { (format::value(&input.metric, one.mean)) }
                }
            }
            div.axis {
                span {}
                span.range {
                    svg aria-hidden="true" { @for (value, label) in &ticks { text x=(at(*value)) y="14" text-anchor="middle" { (label) } } }
                }
                span {}
            }
            p.axisname { (axis_words(&input.metric, name)) }
        }
    }
}

fn words(input: &SweepInput, point: &SweepPoint) -> String {
    let mut lines = vec![input.title(point)];
    if let Some(one) = input.goal(point) {
        let half = one.half_width.map_or("one seed".to_owned(), |half| {
            format!("± {} on {} seeds", format::value(&input.metric, half), one.n)
        });
        lines.push(format!("{} {half}", format::value(&input.metric, one.mean)));
    }
    lines.extend(
        (point.differs_from_best == Some(false)).then(|| "not distinguishable from the best".to_owned()),
    );
    lines.join("\n")
}

fn numbers(input: &SweepInput) -> Markup {
    let known = |metric: &&str| input.points.iter().any(|point| point.metrics.contains_key(*metric));
    let others = SHOWN.into_iter().filter(|metric| *metric != input.metric).filter(known).take(7);
    let metrics: Vec<&str> = [input.metric.as_str()].into_iter().chain(others).collect();
    let names: Vec<String> = metrics.iter().map(|metric| format::metric_name(metric)).collect();
    let head: Vec<&str> = ["Point", "Runs"].into_iter().chain(names.iter().map(String::as_str)).collect();
    let rows: Vec<Vec<Markup>> = input
        .ranked()
        .into_iter()
        .map(|(_, point, _)| {
            let numbers = metrics.iter().map(|metric| match point.metrics.get(*metric) {
                None => cell("–"),
                Some(one) => html! {
                    (format::value(metric, one.mean))
                    @if let Some(half) = one.half_width { " " small { "± " (format::value(metric, half)) } }
                },
            });
            let runs = format!("{}/{}", point.complete, point.runs);
            [cell(input.title(point)), cell(runs)].into_iter().chain(numbers).collect()
        })
        .collect();
    html! { details open[rows.len() <= 16] { summary { "All points in numbers" } (table(&head, &rows)) } }
}
