//! A table of shares as a picture: one colour in nine strengths.

use maud::{Markup, html};

use super::px;

const LEFT: f64 = 92.0;
const WIDTH: f64 = 960.0;
const ROW: f64 = 22.0;

/// Rows by columns of values in `0..=1`.
pub struct HeatMap<'a> {
    /// Read out by a screen reader.
    pub title: &'a str,
    /// Names of the rows.
    pub rows: &'a [String],
    /// One column each: its name, its values by row, and what a pointer over it reads.
    pub columns: Vec<(String, Vec<f64>, String)>,
    /// What the columns are.
    pub x_label: &'a str,
}

impl HeatMap<'_> {
    /// The picture.
    pub fn draw(&self) -> Markup {
        let height = self.rows.len() as f64 * ROW;
        let slot = ((WIDTH - LEFT) / self.columns.len().max(1) as f64).min(56.0);
        let every = (self.columns.len() as f64 * 26.0 / (WIDTH - LEFT)).ceil().max(1.0) as usize;
        let view = format!("0 0 {WIDTH} {}", px(height + 36.0));
        super::wide(html! {
            svg.chart viewBox=(view) role="img" aria-label=(self.title) {
                @for (row, name) in self.rows.iter().enumerate() {
                    text.tick x=(px(LEFT - 8.0)) y=(px((row as f64 + 0.5) * ROW + 4.0)) text-anchor="end" { (shorten(name)) }
                }
                @for strength in 0..=9 {
                    @let outline = self.outline(strength, slot);
                    @if !outline.is_empty() {
                        path.heat fill-opacity=(format!("{:.2}", 0.06 + 0.94 * strength as f64 / 9.0)) d=(outline) {}
                    }
                }
                @for (index, (name, _, words)) in self.columns.iter().enumerate() {
                    @let left = LEFT + index as f64 * slot;
                    @if index % every == 0 {
                        text.tick x=(px(left + slot / 2.0)) y=(px(height + 14.0)) text-anchor="middle" { (name) }
                    }
                    rect.hover x=(px(left)) y="0" width=(px(slot)) height=(px(height)) { title { (words) } }
                }
                text.label x=(px(LEFT + slot * self.columns.len() as f64 / 2.0)) y=(px(height + 31.0)) text-anchor="middle" { (self.x_label) }
            }
        })
    }

    fn outline(&self, strength: usize, slot: f64) -> String {
        let mut outline = String::new();
        let (width, gap) = (slot * 0.94, ROW - 2.0);
        for (column, (_, values, _)) in self.columns.iter().enumerate() {
            for (row, value) in values.iter().enumerate() {
                if (value.clamp(0.0, 1.0) * 9.0).round() as usize == strength {
                    let (x, y) = (LEFT + column as f64 * slot, row as f64 * ROW + 1.0);
                    outline += &format!("M{} {}h{}v{gap}h-{}Z", px(x), px(y), px(width), px(width));
                }
            }
        }
        outline
    }
}

/// A name that fits beside the picture.
fn shorten(name: &str) -> String {
    if name.chars().count() <= 14 { name.to_owned() } else { name.chars().take(13).chain(['…']).collect() }
}
