//! Stacked bars, one stack per round (or per few rounds).

use maud::{Markup, html};

use super::{Axis, px};

const WIDTH: f64 = 960.0;
const LEFT: f64 = 44.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 42.0;

/// One colour of the stacks.
pub struct Part {
    /// Its colour in the style sheet.
    pub class: &'static str,
    /// Its name.
    pub label: &'static str,
}

/// One stack.
pub struct Stack {
    /// Where it stands: the first round it shows.
    pub from: u32,
    /// The last round it shows.
    pub to: u32,
    /// Heights, in the order of the parts.
    pub values: Vec<f64>,
    /// What a pointer over it reads.
    pub words: String,
    /// Whether to mark it below the axis.
    pub marked: bool,
}

/// A picture of stacks.
pub struct Bars<'a> {
    /// Read out by a screen reader.
    pub title: &'a str,
    /// What the height is, with its unit.
    pub y_label: &'a str,
    /// What the stacks are.
    pub x_label: &'a str,
    /// The colours, from the bottom up.
    pub parts: &'a [Part],
    /// The stacks, ascending.
    pub stacks: Vec<Stack>,
    /// Height of the picture.
    pub height: f64,
}

impl Bars<'_> {
    /// The picture with its legend.
    pub fn draw(&self) -> Markup {
        let (bottom, right) = (self.height - BOTTOM, WIDTH - 4.0);
        let tallest = self.stacks.iter().map(|stack| stack.values.iter().sum::<f64>()).fold(0.0, f64::max);
        let y = Axis::nice(0.0, if tallest > 0.0 { tallest } else { 1.0 }, (bottom, TOP), 4);
        let slot = (right - LEFT) / self.stacks.len().max(1) as f64;
        let width = (slot * 0.82).min(40.0);
        let middle = |index: usize| LEFT + slot * (index as f64 + 0.5);
        let every = (self.stacks.len() as f64 / 14.0).ceil().max(1.0) as usize;
        let legend = self.parts.iter().map(|part| (part.class, part.label));
        let picture = html! {
            svg.chart viewBox=(format!("0 0 {WIDTH} {}", self.height)) role="img" aria-label=(self.title) {
                @for (value, label) in y.ticks() {
                    path.grid d=(format!("M{LEFT} {}H{right}", px(y.at(value)))) {}
                    text.tick x=(px(LEFT - 7.0)) y=(px(y.at(value) + 3.6)) text-anchor="end" { (label) }
                }
                @for (index, part) in self.parts.iter().enumerate() {
                    path.(part.class) d=(self.outline(index, &y, middle, width)) {}
                }
                @for (index, stack) in self.stacks.iter().enumerate() {
                    @if stack.marked {
                        text.void x=(px(middle(index))) y=(px(bottom + 9.0)) text-anchor="middle" { "×" }
                    }
                    @if index % every == 0 {
                        text.tick x=(px(middle(index))) y=(px(bottom + 19.0)) text-anchor="middle" {
                            (stack.from) @if stack.to != stack.from { "–" (stack.to) }
                        }
                    }
                    rect.hover x=(px(middle(index) - slot / 2.0)) y=(TOP) width=(px(slot)) height=(px(bottom - TOP)) {
                        title { (stack.words) }
                    }
                }
                text.label x=(px((LEFT + right) / 2.0)) y=(px(self.height - 4.0)) text-anchor="middle" { (self.x_label) }
            }
        };
        html! {
            (super::legend(legend))
            p.unit { (self.y_label) }
            (super::wide(picture))
        }
    }

    fn outline(&self, part: usize, y: &Axis, middle: impl Fn(usize) -> f64, width: f64) -> String {
        let mut outline = String::new();
        for (index, stack) in self.stacks.iter().enumerate() {
            let below: f64 = stack.values[..part].iter().sum();
            let (low, high) = (y.at(below), y.at(below + stack.values[part]));
            if low - high >= 0.05 {
                let left = middle(index) - width / 2.0;
                outline += &format!("M{} {}h{}V{}h-{}Z", px(left), px(low), px(width), px(high), px(width));
            }
        }
        outline
    }
}
