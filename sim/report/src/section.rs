//! The sections of the page, in order. Each is a function of the input, and nothing if it has nothing to show.

pub mod appendix;
pub mod benefit;
pub mod budget;
pub mod devices;
pub mod fleet;
pub mod learning;
pub mod participation;
pub mod time;
pub mod verdict;
pub mod wire;
pub mod wrong;

use cotune_record::RoundRow;
use maud::{Markup, html};

use crate::chart::Stack;

/// A table whose first column is text and whose others are numbers; it scrolls by itself if it is wide.
pub fn table(head: &[&str], rows: &[Vec<Markup>]) -> Markup {
    html! {
        div.scroll {
            table {
                thead { tr { @for cell in head { th { (cell) } } } }
                tbody { @for row in rows { tr { @for cell in row { td { (cell) } } } } }
            }
        }
    }
}

/// A cell of text.
pub fn cell(text: impl AsRef<str>) -> Markup {
    html! { (text.as_ref()) }
}

/// A bar inside a cell, `part` of `whole` wide.
pub fn bar(class: &str, part: f64, whole: f64) -> Markup {
    let width = if whole > 0.0 { (100.0 * part / whole).clamp(0.0, 100.0) } else { 0.0 };
    html! { div.bar { i class=(class) style=(format!("width:{width:.1}%")) {} } }
}

/// One stack per round, or per few rounds if there are more than 120: then each shows their mean.
pub fn stacks(
    rounds: &[RoundRow],
    values: impl Fn(&RoundRow) -> Vec<f64>,
    words: impl Fn(&[f64]) -> String,
) -> (usize, Vec<Stack>) {
    let group = rounds.len().div_ceil(120).max(1);
    let stacks = rounds
        .chunks(group)
        .filter_map(|rows| {
            let (first, last) = (rows.first()?, rows.last()?);
            let mut sums = values(first);
            for row in &rows[1..] {
                sums.iter_mut().zip(values(row)).for_each(|(sum, value)| *sum += value);
            }
            sums.iter_mut().for_each(|sum| *sum /= rows.len() as f64);
            let name = match (first.round, last.round) {
                (from, to) if from == to => format!("round {from}"),
                (from, to) => format!("rounds {from}–{to}, mean"),
            };
            let void = rows.iter().filter(|row| row.void).count();
            let suffix = match void {
                0 => String::new(),
                _ if rows.len() == 1 => "\nvoid: too few updates".to_owned(),
                _ => format!("\n{void} of them void"),
            };
            let words = format!("{name}\n{}{suffix}", words(&sums));
            Some(Stack { from: first.round, to: last.round, values: sums, words, marked: void > 0 })
        })
        .collect();
    (group, stacks)
}

/// What the stacks of [`stacks`] stand for, and what a cross on one of them means.
pub fn stacked_by(group: usize, stacks: &[Stack]) -> String {
    let has_void = stacks.iter().any(|stack| stack.marked);
    match (group, has_void) {
        (1, false) => "round".to_owned(),
        (1, true) => "round (× void)".to_owned(),
        (_, false) => format!("rounds, mean of {group}"),
        (_, true) => format!("rounds, mean of {group} (× some void)"),
    }
}
