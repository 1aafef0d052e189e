//! Pictures as SVG: what they share. Colours are classes, so that one style sheet serves light, dark and paper.

mod axis;
mod bars;
mod heat;
mod lines;
mod strips;
mod timeline;

pub use axis::{Axis, TimeUnit};
pub use bars::{Bars, Part, Stack};
pub use heat::HeatMap;
pub use lines::{Band, LineChart, Series};
pub use strips::{Strip, Strips};
pub use timeline::{Lane, Segment, Timeline};

use maud::{Markup, html};

/// A coordinate: one decimal is finer than any screen.
pub fn px(value: f64) -> String {
    let text = format!("{value:.1}");
    match text.strip_suffix(".0") {
        Some("-0") => "0".to_owned(),
        Some(whole) => whole.to_owned(),
        None => text,
    }
}

/// What the colours mean, as a line of text above a picture.
pub fn legend<'a>(entries: impl IntoIterator<Item = (&'a str, &'a str)>) -> Markup {
    html! {
        p.legend {
            @for (class, label) in entries {
                span { i class=(class) {} (label) }
            }
        }
    }
}

/// A wide picture: it keeps its size on a phone and scrolls by itself.
pub fn wide(picture: Markup) -> Markup {
    html! { div.wide { (picture) } }
}
