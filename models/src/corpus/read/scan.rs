//! SCAN (Lake & Baroni, ICML 2018): commands to a robot and the actions they stand for.

use super::report::Reason;
use super::{Raw, one_line};

/// Actions and the words that answers spell them with, in the order of the cycle that [`permute`] follows.
const ACTIONS: [(&str, &str); 6] = [
    ("I_JUMP", "jump"),
    ("I_TURN_LEFT", "left"),
    ("I_TURN_RIGHT", "right"),
    ("I_WALK", "walk"),
    ("I_RUN", "run"),
    ("I_LOOK", "look"),
];

pub(super) fn rows(text: &str, max_actions: Option<usize>) -> Vec<Result<Raw, Reason>> {
    text.lines().filter(|line| !line.trim().is_empty()).map(|line| row(line, max_actions)).collect()
}

fn row(line: &str, max_actions: Option<usize>) -> Result<Raw, Reason> {
    let (command, actions) = line
        .trim()
        .strip_prefix("IN: ")
        .and_then(|rest| rest.split_once(" OUT: "))
        .ok_or(Reason::Malformed)?;
    let words: Vec<&str> = actions
        .split_whitespace()
        .map(|action| ACTIONS.iter().find(|(name, _)| *name == action).map(|(_, word)| *word))
        .collect::<Option<_>>()
        .ok_or(Reason::Malformed)?;
    if words.is_empty() {
        return Err(Reason::Unanswered);
    }
    if max_actions.is_some_and(|most| words.len() > most) {
        return Err(Reason::TooLong);
    }
    Ok(Raw { domain: None, question: one_line(command), answers: vec![words.join(" ")] })
}

/// Every action becomes the next in the cycle.
pub(super) fn permute(rows: &mut [Raw]) {
    let next = |word: &str| {
        let at = ACTIONS.iter().position(|(_, own)| *own == word).unwrap_or(0);
        ACTIONS[(at + 1) % ACTIONS.len()].1
    };
    for answer in rows.iter_mut().flat_map(|row| &mut row.answers) {
        *answer = answer.split(' ').map(next).collect::<Vec<_>>().join(" ");
    }
}
