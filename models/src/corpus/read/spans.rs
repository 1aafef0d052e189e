//! Span labels of dialogue (PolyAI's restaurant8k and dstc8: Coope et al., ACL 2020).

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::report::Reason;
use super::{Raw, SourceSpec, one_line};
use crate::corpus::CorpusError;

const SEPARATOR: &str = " = ";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Turn {
    user_input: UserInput,
    #[serde(default)]
    labels: Vec<Label>,
}

#[derive(Deserialize)]
struct UserInput {
    text: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Label {
    slot: String,
    value_span: Span,
}

/// Counted in characters of the text as written, as Python counts them; a start of 0 is left out of the
/// files.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Span {
    #[serde(default)]
    start_index: usize,
    end_index: usize,
}

pub(super) fn rows(spec: &SourceSpec, text: &str) -> Result<Vec<Result<Raw, Reason>>, CorpusError> {
    let turns: Vec<serde_json::Value> =
        serde_json::from_str(text).map_err(|error| spec.format_error(error))?;
    Ok(turns
        .into_iter()
        .map(|turn| serde_json::from_value(turn).map_err(|_| Reason::Malformed).and_then(row))
        .collect())
}

fn row(turn: Turn) -> Result<Raw, Reason> {
    let text = turn.user_input.text;
    let label = turn.labels.into_iter().next().ok_or(Reason::Unanswered)?;
    let Span { start_index: start, end_index: end } = label.value_span;
    let value: Vec<char> = text.chars().skip(start).take(end.saturating_sub(start)).collect();
    if value.len() != end.saturating_sub(start) {
        return Err(Reason::Malformed);
    }
    let value = ascii(value.iter().copied());
    let slot = label.slot.replace('_', " ");
    if value.is_empty() || slot.is_empty() {
        return Err(Reason::Unanswered);
    }
    let answer = format!("{slot}{SEPARATOR}{value}").to_lowercase();
    Ok(Raw { domain: None, question: ascii(text.chars()), answers: vec![answer] })
}

/// The text on one line without what is not ASCII.
fn ascii(letters: impl Iterator<Item = char>) -> String {
    one_line(&letters.filter(char::is_ascii).collect::<String>())
}

/// Every slot name becomes the next in alphabetical order, the last the first.
pub(super) fn permute(rows: &mut [Raw]) {
    let slot_of = |answer: &str| answer.split(SEPARATOR).next().unwrap_or_default().to_owned();
    let slots: BTreeSet<String> =
        rows.iter().flat_map(|row| &row.answers).map(|answer| slot_of(answer)).collect();
    let next: BTreeMap<&String, &String> = slots.iter().zip(slots.iter().cycle().skip(1)).collect();
    for answer in rows.iter_mut().flat_map(|row| &mut row.answers) {
        let slot = slot_of(answer);
        *answer = format!("{}{}", next[&slot], &answer[slot.len()..]);
    }
}
