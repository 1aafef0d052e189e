//! Quality against bytes, joules and hours, with the points that nothing beats in both (the Pareto front).

use maud::{Markup, html};

use super::{SweepInput, unit};
use crate::chart::{Axis, px};
use crate::format;

const WIDTH: f64 = 300.0;
const HEIGHT: f64 = 240.0;
const LEFT: f64 = 44.0;
const BOTTOM: f64 = 40.0;

/// A point by what it costs and what it came to.
struct Dot {
    cost: f64,
    quality: f64,
    words: String,
    is_full: bool,
    is_front: bool,
}

pub(super) fn render(input: &SweepInput) -> Option<Markup> {
    let prices = [
        ("uplink.total_bytes", "uplink"),
        ("energy.total_joules", "energy of devices"),
        ("virtual.seconds", "virtual time"),
    ];
    let pictures: Vec<(&str, Vec<Dot>)> = prices
        .into_iter()
        .filter(|(metric, _)| *metric != input.metric)
        .map(|(metric, name)| (name, metric, dots(input, metric)))
        .filter(|(_, _, dots)| dots.len() > 1 && dots.iter().any(|dot| dot.cost != dots[0].cost))
        .map(|(_, metric, dots)| (metric, dots))
        .collect();
    if pictures.is_empty() {
        return None;
    }
    Some(html! {
        p.note {
            "The stepped line joins the points that no other beats in both by their means (the Pareto front); "
            "with intervals that overlap, its neighbours are as good."
        }
        div.trio { @for (metric, dots) in &pictures { (picture(input, metric, dots)) } }
        @for (metric, dots) in pictures.iter().take(1) {
            p.note { "On the front by " (format::metric_name(metric)) ": " (front_words(dots)) "." }
        }
    })
}

fn dots(input: &SweepInput, metric: &str) -> Vec<Dot> {
    let dot = |point: &super::SweepPoint| {
        let (cost, quality) = (point.metrics.get(metric)?, input.goal(point)?);
        let words = format!(
            "{}\n{} at {}",
            input.title(point),
            format::value(&input.metric, quality.mean),
            format::value(metric, cost.mean)
        );
        let is_full = quality.half_width.is_some();
        Some(Dot { cost: cost.mean, quality: quality.mean, words, is_full, is_front: false })
    };
    let mut dots: Vec<Dot> = input.points.iter().filter_map(dot).collect();
    dots.sort_by(|a, b| a.cost.total_cmp(&b.cost));
    let better = |a: f64, b: f64| if input.lower_is_better { a < b } else { a > b };
    let mut best: Option<f64> = None;
    let mut start = 0;
    while start < dots.len() {
        // Of points that cost the same only the best can be on the front.
        let end = start + dots[start..].iter().take_while(|dot| dot.cost == dots[start].cost).count();
        let top = (start..end).reduce(|a, b| if better(dots[b].quality, dots[a].quality) { b } else { a });
        if let Some(top) = top.filter(|top| best.is_none_or(|best| better(dots[*top].quality, best))) {
            dots[top].is_front = true;
            best = Some(dots[top].quality);
        }
        start = end;
    }
    dots
}

fn front_words(dots: &[Dot]) -> String {
    let names = dots.iter().filter(|dot| dot.is_front).map(|dot| dot.words.replace('\n', ": "));
    names.collect::<Vec<_>>().join("; ")
}

fn picture(input: &SweepInput, metric: &str, dots: &[Dot]) -> Markup {
    let scale = unit(metric, dots.iter().map(|dot| dot.cost).fold(0.0, f64::max));
    let (low, high) = range(dots.iter().map(|dot| dot.cost / scale.0));
    let x = Axis::nice(low, high, (LEFT, WIDTH - 12.0), 4);
    let (low, high) = range(dots.iter().map(|dot| dot.quality));
    let y = Axis::nice(low, high, (HEIGHT - BOTTOM, 10.0), 4);
    let mut front = String::new();
    for dot in dots.iter().filter(|dot| dot.is_front) {
        let (at, up) = (px(x.at(dot.cost / scale.0)), px(y.at(dot.quality)));
        front += &if front.is_empty() { format!("M{at} {up}") } else { format!("H{at}V{up}") };
    }
    html! {
        figure {
            figcaption { b { (format::metric_name(&input.metric)) } " " span { "against " (format::metric_name(metric)) } }
            svg.chart viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) role="img" aria-label=(format!("Quality against {metric}")) {
                @for (value, label) in y.ticks() {
                    path.grid d=(format!("M{LEFT} {}H{}", px(y.at(value)), px(WIDTH - 12.0))) {}
                    text.tick x=(px(LEFT - 6.0)) y=(px(y.at(value) + 3.6)) text-anchor="end" { (label) }
                }
                @for (value, label) in x.ticks() {
                    text.tick x=(px(x.at(value))) y=(px(HEIGHT - BOTTOM + 15.0)) text-anchor="middle" { (label) }
                }
                text.label x=(px((LEFT + WIDTH) / 2.0)) y=(px(HEIGHT - 6.0)) text-anchor="middle" { (format::metric_name(metric)) " [" (scale.1) "]" }
                @if !front.is_empty() { path.front d=(front) {} }
                @for dot in dots.iter().filter(|dot| !dot.is_front).chain(dots.iter().filter(|dot| dot.is_front)) {
                    g.point.(if dot.is_front { "apart" } else { "alike" }) {
                        circle.(if dot.is_full { "full" } else { "hollow" }) cx=(px(x.at(dot.cost / scale.0))) cy=(px(y.at(dot.quality))) r="4" { title { (dot.words) } }
                    }
                }
            }
        }
    }
}

fn range(values: impl Iterator<Item = f64>) -> (f64, f64) {
    values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)))
}
