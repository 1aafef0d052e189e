//! A sweep as one offline HTML file: which values are better, by how much, and at what price.
//!
//! Nothing here compares two points by their means alone: a point's interval stands beside its mean, a point of one seed
//! is drawn hollow, and what a paired test cannot tell from the best says so.

mod curves;
mod effects;
mod parallel;
mod points;
mod price;

use std::collections::BTreeMap;

use maud::{DOCTYPE, Markup, PreEscaped, html};

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
    /// The command that makes it again.
    pub command: String,
    /// Version of cotune.
    pub version: String,
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
    let (runs, complete) =
        input.points.iter().fold((0, 0), |sum, point| (sum.0 + point.runs, sum.1 + point.complete));
    html! {
        header {
            p.eyebrow { "cotune · sweep report · " span.(if complete == runs { "good" } else { "bad" }) { (complete) " of " (runs) " runs complete" } }
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
    if estimate.half_width.is_none() {
        said.push(format!(
            "{} has the best {metric}, {value}, on one seed: no interval, so no claim.",
            capital(&input.title(best))
        ));
        return said;
    }
    let half = format::value(&input.metric, estimate.half_width.unwrap_or(0.0));
    said.push(format!(
        "{} has the best {metric}: {value} ± {half} on {}.",
        capital(&input.title(best)),
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

fn capital(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map_or(String::new(), |first| first.to_uppercase().chain(characters).collect())
}
