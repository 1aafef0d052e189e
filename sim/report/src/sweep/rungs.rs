//! Successive halving: which points climbed how far.

use maud::{Markup, html};

use super::{Estimate, SweepInput, axis_words, unit};
use crate::chart::{LineChart, Series};
use crate::format;
use crate::section::{cell, table};

/// Points that came to the last rung and are drawn in a colour of their own; the others are grey.
const CLASSES: [&str; 5] = ["s1", "s2", "s3", "s4", "s5"];
/// Points in the table at most, those that climbed furthest.
const MOST: usize = 60;

/// A point's way up.
struct Way {
    point: usize,
    /// Rung by rung, as far as it came.
    estimates: Vec<Option<Estimate>>,
}

pub(super) fn render(input: &SweepInput) -> Option<Markup> {
    let judged = input.rungs.iter().take_while(|rung| !rung.standings.is_empty()).count();
    if judged == 0 {
        return None;
    }
    let ways = ways(input);
    Some(html! {
        p.note {
            "All points are judged after the same rounds; those that go on continue where they were. Grey: stopped. "
            "A point that was stopped was behind at that moment, which is not to say that it would have stayed so."
        }
        div.pair {
            (picture(input, &ways))
            div { (counts(input)) }
        }
        (numbers(input, &ways))
    })
}

/// The ways of all points, the furthest first and the best first among equals.
fn ways(input: &SweepInput) -> Vec<Way> {
    let mut ways: Vec<Way> = Vec::new();
    for rung in input.rungs.iter().rev() {
        for standing in &rung.standings {
            if ways.iter().any(|way| way.point == standing.point) {
                continue;
            }
            let on = |rung: &super::SweepRung| {
                let found = rung.standings.iter().find(|one| one.point == standing.point);
                found.map(|one| one.estimate)
            };
            ways.push(Way { point: standing.point, estimates: input.rungs.iter().map_while(on).collect() });
        }
    }
    ways
}

fn picture(input: &SweepInput, ways: &[Way]) -> Markup {
    let last = input.rungs.len();
    let means = ways.iter().flat_map(|way| way.estimates.iter().flatten()).map(|estimate| estimate.mean);
    let (size, name) = unit(&input.metric, means.fold(0.0, f64::max));
    let finalists = ways.iter().filter(|way| way.estimates.len() == last).count();
    let series = |(rank, way): (usize, &Way)| {
        let title = input.title(&input.points[way.point]);
        let points = way.estimates.iter().zip(&input.rungs).filter_map(|(estimate, rung)| {
            let estimate = (*estimate)?;
            let words = format!("{title}\n{} after round {}", words(input, &estimate), rung.round);
            Some((f64::from(rung.round), estimate.mean / size, words))
        });
        let (label, class) = match CLASSES.get(rank) {
            Some(class) if rank < finalists => (format!("#{}", rank + 1), *class),
            _ => (String::new(), "stopped"),
        };
        Series { label, class, points: points.collect(), band: None }
    };
    // The furthest are drawn last, over the others.
    let series: Vec<Series> = ways.iter().enumerate().rev().map(series).collect();
    let chart = LineChart {
        title: format!("{} on the way up", format::metric_name(&input.metric)),
        x_label: "rounds",
        x_begin: 0.0,
        x_end: f64::from(input.rungs.last().map_or(1, |rung| rung.round)),
        x_whole: true,
        series,
        marks: input
            .rungs
            .iter()
            .map(|rung| (f64::from(rung.round), format!("rung: round {}", rung.round)))
            .collect(),
        steps: false,
        decimals: 1,
    };
    html! { figure { figcaption { b { (axis_words(&input.metric, name)) } } (chart.draw()) } }
}

fn counts(input: &SweepInput) -> Markup {
    let rows: Vec<Vec<Markup>> = input
        .rungs
        .iter()
        .enumerate()
        .map(|(index, rung)| {
            let stopped = rung.standings.iter().filter(|one| !one.goes_on).count();
            let stopped = match (rung.standings.is_empty(), index + 1 == input.rungs.len()) {
                (true, _) => "not there yet".to_owned(),
                (_, true) => "–".to_owned(),
                _ => stopped.to_string(),
            };
            vec![
                cell(format!("after round {}", rung.round)),
                cell(rung.combinations.to_string()),
                cell(stopped),
            ]
        })
        .collect();
    html! {
        h3.first { "Rungs" }
        (table(&["", "Points", "Stopped"], &rows))
    }
}

fn numbers(input: &SweepInput, ways: &[Way]) -> Markup {
    let heads: Vec<String> = input.rungs.iter().map(|rung| format!("after round {}", rung.round)).collect();
    let head: Vec<&str> = ["Point"].into_iter().chain(heads.iter().map(String::as_str)).collect();
    let rows: Vec<Vec<Markup>> = ways
        .iter()
        .take(MOST)
        .map(|way| {
            let on = |index: usize| match way.estimates.get(index) {
                None => html! { span.quiet { "stopped" } },
                Some(None) => html! { span.bad { "failed" } },
                Some(Some(estimate)) => html! {
                    (format::value(&input.metric, estimate.mean))
                    @if let Some(half) = estimate.half_width { " " small { "± " (format::value(&input.metric, half)) } }
                },
            };
            let title = cell(input.title(&input.points[way.point]));
            [title].into_iter().chain((0..input.rungs.len()).map(on)).collect()
        })
        .collect();
    html! {
        details open[rows.len() <= 16] { summary { "Every rung in numbers" } (table(&head, &rows)) }
        @if ways.len() > MOST { p.note { "The " (MOST) " that climbed furthest, of " (ways.len()) "; all are in sweep.lock.json." } }
    }
}

fn words(input: &SweepInput, estimate: &Estimate) -> String {
    let mean = format::value(&input.metric, estimate.mean);
    match estimate.half_width {
        Some(half) => format!("{mean} ± {}", format::value(&input.metric, half)),
        None => mean,
    }
}
