//! A sweep as one offline HTML file: which values are better, by how much, and at what price.
//!
//! Nothing here compares two points by their means alone: a point's interval stands beside its mean, a point of one seed
//! is drawn hollow, and what a paired test cannot tell from the best says so.

mod curves;
mod effects;
mod parallel;
mod points;
mod price;
mod rungs;

use std::collections::BTreeMap;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::chart::TimeUnit;
use crate::format;
use crate::html::STYLE;

/// What a sweep came to.
#[derive(Clone, Debug)]
pub struct SweepInput {
    /// What it is called.
    pub name: String,
    /// What points are judged by.
    pub metric: String,
    /// Whether a smaller value is the better one.
    pub lower_is_better: bool,
    /// Dotted paths that vary, in the order of the file.
    pub axes: Vec<String>,
    /// The combinations in the order of the file.
    pub points: Vec<SweepPoint>,
    /// The rungs of successive halving, in order; empty if every point runs to its end.
    pub rungs: Vec<SweepRung>,
    /// The command that makes it again.
    pub command: String,
    /// Version of cotune.
    pub version: String,
}

/// Points that are judged after the same number of rounds.
#[derive(Clone, Debug)]
pub struct SweepRung {
    /// The round.
    pub round: u32,
    /// How many points come here.
    pub combinations: usize,
    /// How they stand, the best first; empty until all of them are here.
    pub standings: Vec<SweepStanding>,
}

/// A point on a rung.
#[derive(Clone, Copy, Debug)]
pub struct SweepStanding {
    /// Its place in [`SweepInput::points`].
    pub point: usize,
    /// What it had come to; none if one of its runs failed.
    pub estimate: Option<Estimate>,
    /// Whether it went on.
    pub goes_on: bool,
}

/// One combination, all its seeds together.
#[derive(Clone, Debug, Default)]
pub struct SweepPoint {
    /// Its values, in the order of [`SweepInput::axes`].
    pub labels: Vec<String>,
    /// Runs that are wanted.
    pub runs: usize,
    /// Runs that are complete.
    pub complete: usize,
    /// Every metric.
    pub metrics: BTreeMap<String, Estimate>,
    /// Whether a paired test tells it from the best point; none where nothing can be tested.
    pub differs_from_best: Option<bool>,
    /// The judged metric over the run, mean over seeds: virtual time \[s\], value.
    pub curve: Vec<(f64, f64)>,
}

/// A mean over seeds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The mean.
    pub mean: f64,
    /// Half of its 95 % interval; none of one seed.
    pub half_width: Option<f64>,
    /// Seeds.
    pub n: usize,
}

impl SweepInput {
    /// Whether halving stopped a point early.
    fn is_stopped(&self, point: usize) -> bool {
        let early = self.rungs.split_last().map_or(&[][..], |(_, early)| early);
        early.iter().flat_map(|rung| &rung.standings).any(|one| one.point == point && !one.goes_on)
    }

    /// What a point came to.
    fn goal<'a>(&self, point: &'a SweepPoint) -> Option<&'a Estimate> {
        point.metrics.get(&self.metric)
    }

    /// Points that came to something, the best first, each with its place in the file.
    fn ranked(&self) -> Vec<(usize, &SweepPoint, Estimate)> {
        let known = self.points.iter().enumerate();
        let mut known: Vec<_> =
            known.filter_map(|(index, point)| Some((index, point, *self.goal(point)?))).collect();
        known.sort_by(|a, b| {
            let order = a.2.mean.total_cmp(&b.2.mean);
            if self.lower_is_better { order } else { order.reverse() }
        });
        known
    }

    /// What a point is called: its values.
    fn title(&self, point: &SweepPoint) -> String {
        let named = self.axes.iter().zip(&point.labels);
        let short = |key: &str| key.rsplit('.').next().unwrap_or(key).to_owned();
        let word = |(key, label): (&String, &String)| match label.parse::<f64>() {
            Ok(_) => format!("{} {label}", short(key)),
            Err(_) => label.clone(),
        };
        named.map(word).collect::<Vec<_>>().join(", ")
    }
}

/// Renders the file. Every text of the user is escaped.
pub fn render_sweep(input: &SweepInput) -> String {
    let sections: Vec<(&str, &str, Markup)> = [
        ("points", "The points", points::render(input)),
        ("rungs", "Who was stopped where", rungs::render(input)),
        ("effects", "What each value does", effects::render(input)),
        ("parallel", "All of them at once", parallel::render(input)),
        ("price", "What quality costs", price::render(input)),
        ("time", "How soon it is reached", curves::render(input)),
    ]
    .into_iter()
    .filter_map(|(id, title, content)| content.map(|content| (id, title, content)))
    .collect();
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (input.name) " · cotune sweep" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                main {
                    (verdict(input))
                    nav { @for (id, title, _) in &sections { a href=(format!("#{id}")) { (title) } } }
                    @for (id, title, content) in &sections {
                        section id=(id) { h2 { (title) } (content) }
                    }
                    footer { "cotune " (input.version) " · means over seeds with 95 % t intervals" }
                }
            }
        }
    };
    page.into_string()
}

fn verdict(input: &SweepInput) -> Markup {
    let (mut runs, mut complete, mut stopped) = (0, 0, 0);
    for (index, point) in input.points.iter().enumerate() {
        runs += point.runs;
        complete += point.complete;
        stopped += if input.is_stopped(index) { point.runs - point.complete } else { 0 };
    }
    let is_done = complete + stopped == runs;
    html! {
        header {
            p.eyebrow { "cotune · sweep report · " span.(if is_done { "good" } else { "bad" }) { (complete) " of " (runs) " runs complete" @if stopped > 0 { ", " (stopped) " stopped early" } } }
            h1 { (input.name) }
            p.lede { @for sentence in sentences(input) { (sentence) " " } }
            p.label { "Again, or what is missing" }
            pre.command { code { (input.command) } }
        }
    }
}

/// What may be said of the best point, and no more.
fn sentences(input: &SweepInput) -> Vec<String> {
    let ranked = input.ranked();
    let metric = format::metric_name(&input.metric);
    let Some((_, best, estimate)) = ranked.first() else {
        return vec![format!("No run is complete, so nothing has {metric} yet.")];
    };
    let value = format::value(&input.metric, estimate.mean);
    let mut said = Vec::new();
    if let Some((last, early)) = input.rungs.split_last().filter(|(_, early)| !early.is_empty()) {
        let counts: Vec<String> = early[1..]
            .iter()
            .chain([last])
            .zip(early)
            .map(|(next, rung)| format!("{} after round {}", next.combinations, rung.round))
            .collect();
        let all = format::plural(early[0].combinations, "point");
        said.push(format!("{} began; of them went on: {}.", capital(&all), counts.join(", ")));
    }
    if estimate.half_width.is_none() {
        said.push(format!(
            "The best {metric} is {value}, of {}, on one seed: no interval, so no claim.",
            input.title(best)
        ));
        return said;
    }
    let half = format::value(&input.metric, estimate.half_width.unwrap_or(0.0));
    said.push(format!(
        "The best {metric} is {value} ± {half}, of {}, on {}.",
        input.title(best),
        format::plural(estimate.n, "seed")
    ));
    let others = &ranked[1..];
    let alike: Vec<String> = others
        .iter()
        .filter(|(_, point, _)| point.differs_from_best == Some(false))
        .map(|(_, point, _)| input.title(point))
        .collect();
    let worse = others.iter().filter(|(_, point, _)| point.differs_from_best == Some(true)).count();
    match (others.len(), alike.len()) {
        (0, _) => {}
        (all, 0) if worse == all => said.push("Every other point is distinguishably worse.".to_owned()),
        (_, 0) => {}
        (all, some) if some == all => said.push("No other point is distinguishable from it.".to_owned()),
        (_, 1..=3) => said.push(format!("Not distinguishable from it: {}.", alike.join("; "))),
        (all, some) => said.push(format!("{some} of the {all} others are not distinguishable from it.")),
    }
    said
}

/// The unit in which the largest of some values has few digits: its size, and its name; 1 and none for what has no unit.
fn unit(metric: &str, most: f64) -> (f64, &'static str) {
    let pick = |units: &[(f64, &'static str)]| {
        units.iter().rev().find(|(size, _)| most >= *size).copied().unwrap_or(units[0])
    };
    match metric.rsplit(['.', '_']).next() {
        Some("seconds") => {
            let unit = TimeUnit::of(most);
            (unit.seconds, unit.name)
        }
        Some("joules") => pick(&[(1.0, "J"), (1e3, "kJ"), (1e6, "MJ"), (1e9, "GJ")]),
        Some("bytes") => pick(&[(1.0, "B"), (1e3, "kB"), (1e6, "MB"), (1e9, "GB"), (1e12, "TB")]),
        _ => (1.0, ""),
    }
}

/// What a metric is called on an axis, with its unit.
fn axis_words(metric: &str, unit: &str) -> String {
    let name = format::metric_name(metric);
    if unit.is_empty() { name } else { format!("{name} [{unit}]") }
}

fn capital(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map_or(String::new(), |first| first.to_uppercase().chain(characters).collect())
}
