//! Every point with its interval, the best first.

use maud::{Markup, html};

use super::{SweepInput, SweepPoint, axis_words, unit};
use crate::chart::{Axis, px, wide};
use crate::format;
use crate::section::{cell, table};

/// Points drawn at most.
const MOST: usize = 60;
const WIDTH: f64 = 960.0;
/// Room for the names at most, and for one of their characters.
const LEFT: f64 = 330.0;
const CHARACTER: f64 = 6.8;
const ROW: f64 = 22.0;

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
        (wide(picture(input)))
        @if ranked.len() > MOST { p.note { "The best " (MOST) " of " (ranked.len()) " are drawn; all are in tables/points.csv." } }
        (numbers(input))
    })
}

fn picture(input: &SweepInput) -> Markup {
    let ranked = input.ranked();
    let ranked = &ranked[..ranked.len().min(MOST)];
    let ends = ranked.iter().flat_map(|(_, _, one)| {
        let half = one.half_width.unwrap_or(0.0);
        [one.mean - half, one.mean + half]
    });
    let (low, high) =
        ends.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), end| (low.min(end), high.max(end)));
    let bottom = 8.0 + ROW * ranked.len() as f64;
    let longest = ranked.iter().map(|(_, point, _)| shortened(&input.title(point)).chars().count()).max();
    let left = (24.0 + CHARACTER * longest.unwrap_or(0) as f64).min(LEFT);
    let (size, name) = unit(&input.metric, high);
    let x = Axis::nice(low / size, high / size, (left, WIDTH - 70.0), 6);
    let place = |value: f64| px(x.at(value / size));
    html! {
        svg.chart viewBox=(format!("0 0 {WIDTH} {}", px(bottom + 38.0))) role="img" aria-label="Points with their intervals" {
            @for (value, label) in x.ticks() {
                path.grid d=(format!("M{} 4V{}", px(x.at(value)), px(bottom))) {}
                text.tick x=(px(x.at(value))) y=(px(bottom + 16.0)) text-anchor="middle" { (label) }
            }
            text.label x=(px((left + WIDTH - 70.0) / 2.0)) y=(px(bottom + 33.0)) text-anchor="middle" { (axis_words(&input.metric, name)) }
            @for (row, (_, point, one)) in ranked.iter().enumerate() {
                @let y = 8.0 + ROW * (row as f64 + 0.5);
                @let half = one.half_width.unwrap_or(0.0);
                @let class = match point.differs_from_best { Some(false) => "alike", _ => "apart" };
                g.point.(class) {
                    title { (words(input, point)) }
                    text.rowname x=(px(left - 12.0)) y=(px(y + 4.0)) text-anchor="end" { (shortened(&input.title(point))) }
                    @if half > 0.0 { path.interval d=(format!("M{} {}H{}", place(one.mean - half), px(y), place(one.mean + half))) {} }
                    circle.(if one.half_width.is_some() { "full" } else { "hollow" }) cx=(place(one.mean)) cy=(px(y)) r="4.5" {}
                    text.tick x=(px(WIDTH - 62.0)) y=(px(y + 4.0)) { (format::value(&input.metric, one.mean)) }
                }
            }
        }
    }
}

fn shortened(text: &str) -> String {
    const ROOM: usize = 46;
    if text.chars().count() <= ROOM {
        text.to_owned()
    } else {
        text.chars().take(ROOM - 1).chain(['…']).collect()
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
