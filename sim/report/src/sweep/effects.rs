//! Main effects: the mean over all points that share a value. Honest for grids; where points are missing or drawn, means
//! are over what there is.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::SweepInput;
use crate::chart::{Axis, px};
use crate::format;

const WIDTH: f64 = 300.0;
const HEIGHT: f64 = 210.0;
const LEFT: f64 = 44.0;
const BOTTOM: f64 = 58.0;

/// A value of an axis, and what its points came to.
type Level = (String, Vec<f64>);

pub(super) fn render(input: &SweepInput) -> Option<Markup> {
    let axes: Vec<(usize, Vec<Level>)> = (0..input.axes.len())
        .map(|axis| (axis, levels(input, axis)))
        .filter(|(_, levels)| levels.len() > 1)
        .collect();
    if axes.len() < 2 {
        return None;
    }
    let means = axes.iter().flat_map(|(_, levels)| levels).map(|(_, values)| mean(values));
    let (low, high) =
        means.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), mean| (low.min(mean), high.max(mean)));
    let name = format::metric_name(&input.metric);
    Some(html! {
        p.note {
            "Each dot is the mean of " (name) " over all points with that value, whatever else they have; the small ticks are those points. "
            "All pictures have one scale, so that a steep line is a large effect. A line that hides behind another axis (an interaction) shows below."
        }
        div.trio { @for (axis, levels) in &axes { (picture(&input.axes[*axis], levels, (low, high))) } }
    })
}

/// The values of an axis in the order of the file, with what their points came to.
fn levels(input: &SweepInput, axis: usize) -> Vec<Level> {
    let mut order: Vec<String> = Vec::new();
    let mut found: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for point in &input.points {
        let (Some(label), Some(one)) = (point.labels.get(axis), input.goal(point)) else { continue };
        if !order.contains(label) {
            order.push(label.clone());
        }
        found.entry(label.clone()).or_default().push(one.mean);
    }
    order.into_iter().filter_map(|label| found.remove_entry(&label)).collect()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

fn picture(axis: &str, levels: &[Level], (low, high): (f64, f64)) -> Markup {
    let all = levels.iter().flat_map(|(_, values)| values.iter().copied());
    let (low, high) = all.fold((low, high), |(low, high), value| (low.min(value), high.max(value)));
    let y = Axis::nice(low, high, (HEIGHT - BOTTOM, 10.0), 4);
    let is_short = levels.iter().all(|(label, _)| label.chars().count() <= 6) && levels.len() <= 6;
    let slot = (WIDTH - LEFT) / levels.len() as f64;
    let x = |index: usize| LEFT + slot * (index as f64 + 0.5);
    let line: Vec<String> = levels
        .iter()
        .enumerate()
        .map(|(index, (_, values))| format!("{} {}", px(x(index)), px(y.at(mean(values)))))
        .collect();
    html! {
        figure {
            figcaption { b { (axis.rsplit('.').next().unwrap_or(axis)) } " " span { (axis) } }
            svg.chart viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) role="img" aria-label=(format!("Effect of {axis}")) {
                @for (value, label) in y.ticks() {
                    path.grid d=(format!("M{LEFT} {}H{WIDTH}", px(y.at(value)))) {}
                    text.tick x=(px(LEFT - 6.0)) y=(px(y.at(value) + 3.6)) text-anchor="end" { (label) }
                }
                @for (index, (_, values)) in levels.iter().enumerate() {
                    @for value in values { path.tickmark d=(format!("M{} {}h10", px(x(index) - 5.0), px(y.at(*value)))) {} }
                }
                path.line.edge d=(format!("M{}", line.join("L"))) {}
                @for (index, (label, values)) in levels.iter().enumerate() {
                    circle.dot.edge cx=(px(x(index))) cy=(px(y.at(mean(values)))) r="4" {
                        title { (format!("{label}: {:.2}, mean of {}", mean(values), format::plural(values.len(), "point"))) }
                    }
                    @let low = HEIGHT - BOTTOM + 14.0;
                    @if is_short {
                        text.tick x=(px(x(index))) y=(px(low + 2.0)) text-anchor="middle" { (label) }
                    } @else {
                        @let at = format!("translate({} {}) rotate(-24)", px(x(index) + 4.0), px(low));
                        text.tick transform=(at) text-anchor="end" { (label.chars().take(20).collect::<String>()) }
                    }
                }
            }
        }
    }
}
