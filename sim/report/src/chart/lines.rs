//! Curves over time or rounds, each named at its end instead of in a legend.

use maud::{Markup, html};

use super::{Axis, px};

const WIDTH: f64 = 480.0;
const HEIGHT: f64 = 270.0;
const LEFT: f64 = 36.0;
const RIGHT: f64 = 96.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 38.0;

/// One curve.
pub struct Series {
    /// Its name, drawn at its end; nothing is drawn if it is empty.
    pub label: String,
    /// Its colour and stroke in the style sheet.
    pub class: &'static str,
    /// Its points, ascending in x; the third is what a pointer over it reads.
    pub points: Vec<(f64, f64, String)>,
    /// What lies around it.
    pub band: Option<Band>,
}

/// A shaded range around a curve.
pub struct Band {
    /// x, low, high.
    pub points: Vec<(f64, f64, f64)>,
}

/// A picture of several curves.
pub struct LineChart<'a> {
    /// Read out by a screen reader.
    pub title: String,
    /// What x is, with its unit.
    pub x_label: &'a str,
    /// Where x ends.
    pub x_end: f64,
    /// Where x begins.
    pub x_begin: f64,
    /// Whether x counts something.
    pub x_whole: bool,
    /// The curves.
    pub series: Vec<Series>,
    /// Whether the curves jump at their points instead of running straight between them.
    pub steps: bool,
    /// Places to mark on the x axis, with what a pointer over them reads; across the whole picture if it has
    /// steps.
    pub marks: Vec<(f64, String)>,
    /// Decimals of the value at a curve's end.
    pub decimals: usize,
}

impl LineChart<'_> {
    /// The picture.
    pub fn draw(&self) -> Markup {
        let unnamed = self.series.iter().all(|series| series.label.is_empty());
        let right = if unnamed { 14.0 } else { RIGHT };
        let plot = (LEFT, WIDTH - right, TOP, HEIGHT - BOTTOM);
        let x = Axis::tight(self.x_begin, self.x_end, (plot.0, plot.1), 5);
        let x = if self.x_whole { x.whole() } else { x };
        let (low, high) = self.extent();
        let y = Axis::nice(low, high, (plot.3, plot.2), 5);
        html! {
            svg.chart viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) role="img" aria-label=(self.title) {
                @for (value, label) in y.ticks() {
                    @let at = y.at(value);
                    path.grid d=(format!("M{} {}H{}", px(plot.0), px(at), px(plot.1))) {}
                    text.tick x=(px(plot.0 - 7.0)) y=(px(at + 3.6)) text-anchor="end" { (label) }
                }
                @for (value, label) in x.ticks() {
                    text.tick x=(px(x.at(value))) y=(px(plot.3 + 16.0)) text-anchor="middle" { (label) }
                }
                text.label x=(px((plot.0 + plot.1) / 2.0)) y=(px(HEIGHT - 5.0)) text-anchor="middle" { (self.x_label) }
                @for (at, words) in &self.marks {
                    @let (class, length) = if self.steps { ("closed", plot.3 - plot.2) } else { ("mark", 6.0) };
                    path.(class) d=(format!("M{} {}v-{}", px(x.at(*at)), px(plot.3), px(length))) { title { (words) } }
                }
                @for series in &self.series { (draw_band(series, &x, &y)) }
                @for series in &self.series { (draw_line(series, &x, &y, self.steps)) }
                @for (series, at) in self.series.iter().zip(self.label_places(&y, plot.2, plot.3)) {
                    @if let (Some((end, value, _)), false) = (series.points.last(), series.label.is_empty()) {
                        @let tip = (x.at(*end) + 5.0, y.at(*value));
                        path.leader d=(format!("M{} {}L{} {}", px(tip.0), px(tip.1), px(plot.1 + 8.0), px(at))) {}
                        text.name.(series.class) x=(px(plot.1 + 11.0)) y=(px(at + 3.8)) {
                            (series.label) " " tspan.value { (format!("{value:.*}", self.decimals)) }
                        }
                    }
                }
            }
        }
    }

    fn extent(&self) -> (f64, f64) {
        let mut extent = (f64::INFINITY, f64::NEG_INFINITY);
        let mut see = |value: f64| {
            if value.is_finite() {
                extent = (extent.0.min(value), extent.1.max(value));
            }
        };
        for series in &self.series {
            series.points.iter().for_each(|point| see(point.1));
            for (_, low, high) in series.band.iter().flat_map(|band| &band.points) {
                see(*low);
                see(*high);
            }
        }
        if extent.0 <= extent.1 { extent } else { (0.0, 1.0) }
    }

    /// Heights of the names at the curves' ends, pushed apart so that none covers another.
    fn label_places(&self, y: &Axis, top: f64, bottom: f64) -> Vec<f64> {
        const GAP: f64 = 14.0;
        let mut places: Vec<f64> = self
            .series
            .iter()
            .map(|series| series.points.last().map_or(top, |point| y.at(point.1)))
            .collect();
        let mut order: Vec<usize> = (0..places.len()).collect();
        order.sort_by(|a, b| places[*a].total_cmp(&places[*b]));
        let mut free = top;
        for &index in &order {
            places[index] = places[index].max(free);
            free = places[index] + GAP;
        }
        let mut limit = bottom;
        for &index in order.iter().rev() {
            places[index] = places[index].min(limit);
            limit = places[index] - GAP;
        }
        places
    }
}

fn draw_band(series: &Series, x: &Axis, y: &Axis) -> Markup {
    let points = series.band.iter().flat_map(|band| &band.points);
    let upper: Vec<String> =
        points.clone().map(|(at, _, high)| format!("{} {}", px(x.at(*at)), px(y.at(*high)))).collect();
    let lower = points.rev().map(|(at, low, _)| format!("{} {}", px(x.at(*at)), px(y.at(*low))));
    let outline: Vec<String> = upper.iter().cloned().chain(lower).collect();
    html! {
        @if upper.len() > 1 {
            path.band.(series.class) d=(format!("M{}Z", outline.join("L"))) {}
        }
    }
}

fn draw_line(series: &Series, x: &Axis, y: &Axis, steps: bool) -> Markup {
    let finite = || series.points.iter().filter(|point| point.1.is_finite());
    let mut line = String::new();
    for (at, value, _) in finite() {
        let (x, y, base) = (px(x.at(*at)), px(y.at(*value)), px(y.at(0.0)));
        line += &match (line.is_empty(), steps) {
            (true, true) => format!("M{x} {base}V{y}"),
            (true, false) => format!("M{x} {y}"),
            (false, true) => format!("H{x}V{y}"),
            (false, false) => format!("L{x} {y}"),
        };
    }
    html! {
        @if finite().nth(1).is_some() { path.line.(series.class) d=(line) {} }
        @for (at, value, words) in finite() {
            circle.dot.(series.class) cx=(px(x.at(*at))) cy=(px(y.at(*value))) r="2.6" { title { (words) } }
        }
    }
}
