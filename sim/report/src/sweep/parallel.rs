//! Parallel coordinates: a line for every point, through its values to what it came to.

use maud::{Markup, html};

use super::SweepInput;
use crate::chart::{Axis, px, wide};
use crate::format;

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 330.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 14.0;
const SIDE: f64 = 110.0;

pub(super) fn render(input: &SweepInput) -> Option<Markup> {
    let ranked = input.ranked();
    if input.axes.len() < 2 || ranked.len() < 4 {
        return None;
    }
    let levels: Vec<Vec<&str>> = (0..input.axes.len()).map(|axis| levels(input, axis)).collect();
    let columns = input.axes.len() + 1;
    let x = |column: usize| SIDE + (WIDTH - 2.0 * SIDE) * column as f64 / (columns - 1) as f64;
    let place = |axis: usize, label: &str| {
        let known = &levels[axis];
        let index = known.iter().position(|one| *one == label).unwrap_or(0);
        let step = (HEIGHT - TOP - BOTTOM) / known.len().max(1) as f64;
        TOP + step * (index as f64 + 0.5)
    };
    let means = ranked.iter().map(|(_, _, one)| one.mean);
    let (low, high) =
        means.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), mean| (low.min(mean), high.max(mean)));
    let y = Axis::nice(low, high, (HEIGHT - BOTTOM, TOP), 5);
    // The best is drawn last, over the others.
    let lines = ranked.iter().enumerate().rev().map(|(rank, (index, point, one))| {
        let mut way: Vec<(f64, f64)> =
            point.labels.iter().enumerate().map(|(axis, label)| (x(axis), place(axis, label))).collect();
        way.push((x(columns - 1), y.at(one.mean)));
        // Points that share values are told apart by a little distance.
        let aside = ((index % 9) as f64 - 4.0) * 1.6;
        let last = way.len() - 1;
        let mut path = format!("M{} {}", px(way[0].0), px(way[0].1 + aside));
        for (at, pair) in way.windows(2).enumerate() {
            let middle = (pair[0].0 + pair[1].0) / 2.0;
            let shift = if at + 1 == last { 0.0 } else { aside };
            path += &format!(
                "C{} {} {} {} {} {}",
                px(middle),
                px(pair[0].1 + aside),
                px(middle),
                px(pair[1].1 + shift),
                px(pair[1].0),
                px(pair[1].1 + shift)
            );
        }
        let opacity = 0.85 - 0.7 * rank as f64 / ranked.len() as f64;
        let words = format!("{}\n{}", input.title(point), format::value(&input.metric, one.mean));
        (path, format!("{opacity:.2}"), words, if rank == 0 { "best" } else { "other" })
    });
    let lines: Vec<_> = lines.collect();
    Some(html! {
        p.note { "A line for every point, from value to value to its mean; the stronger its colour, the better. The best is drawn bold." }
        (wide(html! {
            svg.chart viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) role="img" aria-label="Parallel coordinates" {
                @for (path, opacity, words, class) in &lines {
                    path.thread.(class) d=(path) stroke-opacity=(opacity) { title { (words) } }
                }
                @for (axis, key) in input.axes.iter().enumerate() {
                    path.grid d=(format!("M{} {TOP}V{}", px(x(axis)), px(HEIGHT - BOTTOM))) {}
                    text.label x=(px(x(axis))) y="16" text-anchor="middle" { (key.rsplit('.').next().unwrap_or(key)) }
                    @for label in &levels[axis] {
                        @let (anchor, aside) = if axis == 0 { ("end", -8.0) } else { ("start", 8.0) };
                        text.tick.halo x=(px(x(axis) + aside)) y=(px(place(axis, label) + 4.0)) text-anchor=(anchor) { (label.chars().take(18).collect::<String>()) }
                    }
                }
                @let end = x(columns - 1);
                path.grid d=(format!("M{} {TOP}V{}", px(end), px(HEIGHT - BOTTOM))) {}
                text.label x=(px(end)) y="16" text-anchor="middle" { (format::metric_name(&input.metric)) }
                @for (value, label) in y.ticks() { text.tick x=(px(end + 8.0)) y=(px(y.at(value) + 3.6)) { (label) } }
            }
        }))
    })
}

fn levels(input: &SweepInput, axis: usize) -> Vec<&str> {
    let mut found: Vec<&str> = Vec::new();
    for label in input.points.iter().filter_map(|point| point.labels.get(axis)) {
        if !found.contains(&label.as_str()) {
            found.push(label);
        }
    }
    // Numbers in their order, words as they are written.
    if found.iter().all(|label| label.parse::<f64>().is_ok()) {
        found.sort_by(|a, b| b.parse::<f64>().unwrap_or(0.0).total_cmp(&a.parse::<f64>().unwrap_or(0.0)));
    }
    found
}
