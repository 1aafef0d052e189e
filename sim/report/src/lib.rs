//! Tables in, HTML and terminal text out.
//!
//! The HTML is one file without network and without JavaScript: inline styles for light and dark, charts as SVG
//! that a screen, a phone and paper can show. Numbers are shown as they are: a score that fell is drawn falling.

mod chart;
pub mod format;
mod html;
mod section;
mod sweep;
mod terminal;

use cotune_record::{Fleet, Manifest, Summary, Tables};

pub use html::render;
pub use sweep::{Estimate, SweepInput, SweepPoint, SweepRung, SweepStanding, render_sweep};
pub use terminal::terminal;

/// Everything a report is made of.
#[derive(Clone, Copy, Debug)]
pub struct ReportInput<'a> {
    /// What the run came to.
    pub summary: &'a Summary,
    /// Its rows.
    pub tables: &'a Tables,
    /// The fleet that was drawn.
    pub fleet: &'a Fleet,
    /// What it was made with.
    pub manifest: &'a Manifest,
    /// The models, in the order of the scenario.
    pub models: &'a [ModelLine],
    /// The scenario, as the user wrote it.
    pub scenario: &'a str,
    /// Which examples devices and cloud trained on, in words.
    pub sees: [&'a str; 2],
}

/// One model of the scenario: what really trained, and what time, memory, bytes and energy were charged for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelLine {
    /// Its key in `[models]`.
    pub name: String,
    /// What trained, such as `zoo:llm, 1.39 M parameters`.
    pub trained_as: String,
    /// What was billed, such as `7.6B, bf16`; the same as `trained_as` if the scenario does not say.
    pub billed_as: String,
}
