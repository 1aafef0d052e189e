//! The judged metric over virtual time, and when it first comes to a target.

use maud::{Markup, html};

use super::{SweepInput, SweepPoint};
use crate::chart::{LineChart, Series, TimeUnit};
use crate::format;
use crate::section::{cell, table};

/// Points drawn at most, the best ones: more would be a tangle.
const MOST: usize = 6;
/// Points in the table at most.
const ROWS: usize = 24;
const CLASSES: [&str; MOST] = ["s1", "s2", "s3", "s4", "s5", "s6"];
/// Shares of the way from where the best point begins to where it ends.
const TARGETS: [f64; 3] = [0.5, 0.8, 0.95];

pub(super) fn render(input: &SweepInput) -> Option<Markup> {
    let ranked = input.ranked();
    let drawn: Vec<&SweepPoint> =
        ranked.iter().map(|(_, point, _)| *point).filter(|point| point.curve.len() > 1).collect();
    let best = drawn.first()?;
    let span =
        drawn.iter().take(MOST).filter_map(|point| point.curve.last()).map(|last| last.0).fold(0.0, f64::max);
    let unit = TimeUnit::of(span);
    let series = drawn.iter().enumerate().zip(CLASSES).map(|((rank, point), class)| {
        let words = |(time, value): &(f64, f64)| {
            let value_words = format::value(&input.metric, *value);
            (
                time / unit.seconds,
                *value,
                format!("{}\n{value_words} after {}", input.title(point), format::seconds(*time)),
            )
        };
        Series {
            label: format!("#{}", rank + 1),
            class,
            points: point.curve.iter().map(words).collect(),
            band: None,
        }
    });
    let x_label = format!("virtual time [{}]", unit.name);
    let chart = LineChart {
        title: format!("{} over virtual time", format::metric_name(&input.metric)),
        x_label: &x_label,
        x_begin: 0.0,
        x_end: span / unit.seconds,
        x_whole: false,
        series: series.collect(),
        marks: Vec::new(),
        steps: false,
        decimals: 1,
    };
    Some(html! {
        p.note { "Means over seeds at every evaluation" @if drawn.len() > MOST { ", of the best " (MOST) " points" } "." }
        div.pair {
            figure { (chart.draw()) }
            div { (targets(input, best, &drawn)) }
        }
    })
}

/// When every point first comes to where the best was on its way.
fn targets(input: &SweepInput, best: &SweepPoint, drawn: &[&SweepPoint]) -> Markup {
    let (Some(first), Some(last)) = (best.curve.first(), best.curve.last()) else { return html! {} };
    let levels = TARGETS.map(|share| first.1 + share * (last.1 - first.1));
    let heads: Vec<String> =
        levels.iter().map(|level| format!("to {}", format::value(&input.metric, *level))).collect();
    let head: Vec<&str> = ["Point"].into_iter().chain(heads.iter().map(String::as_str)).collect();
    let there = |(_, point): &(usize, &&SweepPoint)| reached(input, point, levels[0]).is_some();
    let never = drawn.len() - drawn.iter().enumerate().filter(there).count();
    let rows: Vec<Vec<Markup>> = drawn
        .iter()
        .enumerate()
        .filter(there)
        .take(ROWS)
        .map(|(rank, point)| {
            let times = levels.iter().map(|level| match reached(input, point, *level) {
                Some(time) => cell(format::seconds(time)),
                None => html! { span.quiet { "never" } },
            });
            [cell(format!("#{} {}", rank + 1, input.title(point)))].into_iter().chain(times).collect()
        })
        .collect();
    html! {
        h3.first { "Time to target" }
        p.note { "Virtual time until the mean first reaches half, four fifths and nineteen twentieths of what the best point gains; straight lines between evaluations." }
        (table(&head, &rows))
        @if drawn.len() - never > ROWS { p.note { "The best " (ROWS) " of those that come there at all." } }
        @if never > 0 { p.note { (never) " of " (format::plural(drawn.len(), "point")) " never come to the first of them." } }
    }
}

/// When a curve first comes to a level \[s\].
fn reached(input: &SweepInput, point: &SweepPoint, level: f64) -> Option<f64> {
    let is_there = |value: f64| if input.lower_is_better { value <= level } else { value >= level };
    let first = point.curve.first()?;
    if is_there(first.1) {
        return Some(first.0);
    }
    point.curve.windows(2).find(|pair| is_there(pair[1].1)).map(|pair| {
        let share = (level - pair[0].1) / (pair[1].1 - pair[0].1);
        pair[0].0 + share * (pair[1].0 - pair[0].0)
    })
}
