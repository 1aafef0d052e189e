//! Who did what when in one round: a lane per device.

use maud::{Markup, html};

use super::{Axis, px};

const WIDTH: f64 = 960.0;
const LEFT: f64 = 130.0;
const RIGHT: f64 = 150.0;
const ROW: f64 = 15.0;
const TOP: f64 = 6.0;

/// A stretch of one kind of work.
pub struct Segment {
    /// Its colour in the style sheet.
    pub class: &'static str,
    /// Beginning and end, on the picture's x axis.
    pub span: (f64, f64),
    /// What a pointer over it reads.
    pub words: String,
}

/// One device.
pub struct Lane {
    /// Its name.
    pub label: String,
    /// What it did.
    pub segments: Vec<Segment>,
    /// How it ended: where, the words, and whether its update counts.
    pub end: Option<(f64, &'static str, bool)>,
}

/// A picture of one round.
pub struct Timeline {
    /// Read out by a screen reader.
    pub title: String,
    /// What x is, with its unit.
    pub x_label: String,
    /// Where x ends; it begins at 0.
    pub x_end: f64,
    /// When the round closed.
    pub closed: Option<f64>,
    /// The devices, from the top down.
    pub lanes: Vec<Lane>,
}

impl Timeline {
    /// The picture.
    pub fn draw(&self) -> Markup {
        let bottom = TOP + self.lanes.len() as f64 * ROW + 4.0;
        let x = Axis::tight(0.0, self.x_end, (LEFT, WIDTH - RIGHT), 8);
        let view = format!("0 0 {WIDTH} {}", px(bottom + 36.0));
        super::wide(html! {
            svg.chart viewBox=(view) role="img" aria-label=(self.title) {
                @for (value, label) in x.ticks() {
                    path.grid d=(format!("M{} {TOP}V{}", px(x.at(value)), px(bottom))) {}
                    text.tick x=(px(x.at(value))) y=(px(bottom + 14.0)) text-anchor="middle" { (label) }
                }
                @for (index, lane) in self.lanes.iter().enumerate() {
                    @let y = TOP + index as f64 * ROW;
                    text.tick x=(px(LEFT - 8.0)) y=(px(y + 11.0)) text-anchor="end" { (lane.label) }
                    @for segment in &lane.segments {
                        @let left = x.at(segment.span.0);
                        @let width = (x.at(segment.span.1) - left).max(0.8);
                        rect.(segment.class) x=(px(left)) y=(px(y + 3.0)) width=(px(width)) height="9" {
                            title { (segment.words) }
                        }
                    }
                    @if let Some((at, words, accepted)) = lane.end {
                        @if accepted {
                            circle.accepted cx=(px(x.at(at) + 7.0)) cy=(px(y + 7.5)) r="2.6" { title { (words) } }
                        } @else {
                            text.void x=(px(x.at(at) + 4.0)) y=(px(y + 11.5)) { "× " (words) }
                        }
                    }
                }
                @if let Some(closed) = self.closed {
                    path.closed d=(format!("M{} {}V{}", px(x.at(closed)), TOP - 4.0, px(bottom))) { title { "the round closed" } }
                }
                text.label x=(px((LEFT + WIDTH - RIGHT) / 2.0)) y=(px(bottom + 31.0)) text-anchor="middle" { (self.x_label) }
            }
        })
    }
}
