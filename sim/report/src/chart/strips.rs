//! A whole run at a glance: a strip per device, coloured where it worked. Everything of one colour in a strip is one path,
//! so that thousands of stretches stay small.

use maud::{Markup, html};

use super::{Axis, px, wide};

const WIDTH: f64 = 960.0;
const LEFT: f64 = 130.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 6.0;

/// One device.
pub struct Strip {
    /// Its name.
    pub label: String,
    /// Stretches of every colour: class in the style sheet, beginnings and ends on the picture's x axis.
    pub stretches: Vec<(&'static str, Vec<(f64, f64)>)>,
    /// What a pointer over it reads.
    pub words: String,
}

/// A picture of strips.
pub struct Strips {
    /// Read out by a screen reader.
    pub title: String,
    /// What x is, with its unit.
    pub x_label: String,
    /// Where x ends; it begins at 0.
    pub x_end: f64,
    /// The devices, from the top down.
    pub strips: Vec<Strip>,
}

impl Strips {
    /// The picture.
    pub fn draw(&self) -> Markup {
        let row = if self.strips.len() > 24 { 13.0 } else { 16.0 };
        let bottom = TOP + self.strips.len() as f64 * row + 4.0;
        let x = Axis::tight(0.0, self.x_end, (LEFT, WIDTH - RIGHT), 8);
        wide(html! {
            svg.chart.strips viewBox=(format!("0 0 {WIDTH} {}", px(bottom + 36.0))) role="img" aria-label=(self.title) {
                @for (value, label) in x.ticks() {
                    path.grid d=(format!("M{} {TOP}V{}", px(x.at(value)), px(bottom))) {}
                    text.tick x=(px(x.at(value))) y=(px(bottom + 14.0)) text-anchor="middle" { (label) }
                }
                @for (index, strip) in self.strips.iter().enumerate() {
                    @let y = TOP + index as f64 * row;
                    text.tick x=(px(LEFT - 8.0)) y=(px(y + row * 0.72)) text-anchor="end" { (strip.label) }
                    g {
                        title { (strip.words) }
                        @for (class, stretches) in &strip.stretches {
                            @if !stretches.is_empty() { path.(class) d=(boxes(stretches, &x, y + 1.5, row - 3.0)) {} }
                        }
                    }
                }
                text.label x=(px((LEFT + WIDTH) / 2.0)) y=(px(bottom + 31.0)) text-anchor="middle" { (self.x_label) }
            }
        })
    }
}

/// Boxes side by side, those that touch as one.
fn boxes(stretches: &[(f64, f64)], x: &Axis, y: f64, height: f64) -> String {
    let mut drawn: Vec<(f64, f64)> = Vec::new();
    for (from, to) in stretches {
        let (left, right) = (x.at(*from), x.at(*to).max(x.at(*from) + 0.6));
        match drawn.last_mut() {
            Some(last) if left - last.1 < 0.3 => last.1 = last.1.max(right),
            _ => drawn.push((left, right)),
        }
    }
    let one = |(left, right): &(f64, f64)| {
        format!("M{} {}h{}v{}h-{}z", px(*left), px(y), px(right - left), px(height), px(right - left))
    };
    drawn.iter().map(one).collect()
}
