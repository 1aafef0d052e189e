//! Alignment by bytes: two rows match if the same bytes of the text have been consumed before them.
//!
//! Both then predict the token that starts at that byte. Source: GOLD (2025), ALM (arXiv 2503.20083,
//! tokenkit), X-Token (2026).

use std::collections::BTreeMap;

use crate::tokenizer::Tokenizer;

/// Matched rows `(teacher, student)` of one answer, both strictly increasing.
pub(super) fn pairs(
    teacher: &Tokenizer,
    teacher_ids: &[u32],
    student: &Tokenizer,
    student_ids: &[u32],
) -> Vec<(usize, usize)> {
    let (teacher_bytes, student_bytes) = (spelled(teacher, teacher_ids), spelled(student, student_ids));
    let teacher_at = boundaries(teacher, teacher_ids, added(teacher, teacher_bytes, student_bytes));
    let student_at = boundaries(student, student_ids, added(student, student_bytes, teacher_bytes));
    let row_at = |key: fn(&Boundary) -> Option<usize>| {
        let mut rows = BTreeMap::new();
        for (row, boundary) in teacher_at.iter().enumerate() {
            if let Some(byte) = key(boundary) {
                rows.entry(byte).or_insert(row);
            }
        }
        rows
    };
    let from_start = row_at(|boundary| boundary.consumed);
    let from_end = row_at(|boundary| boundary.remaining);

    let mut matched: Vec<(usize, usize)> = Vec::new();
    for (student_row, boundary) in student_at.iter().enumerate() {
        let start = boundary.consumed.and_then(|byte| from_start.get(&byte));
        let end = || boundary.remaining.and_then(|byte| from_end.get(&byte));
        if let Some(teacher_row) = start.or_else(end)
            && matched.last().is_none_or(|last| last.0 < *teacher_row)
        {
            matched.push((*teacher_row, student_row));
        }
    }
    matched
}

/// Where a row stands in the answer, in bytes from its start and from its end. An unknown token has no
/// length, so after one only the distance to the end is known, and before one only the distance from the
/// start.
struct Boundary {
    consumed: Option<usize>,
    remaining: Option<usize>,
}

/// Bytes of a token; none of an unknown one.
fn length(tokenizer: &Tokenizer, id: u32) -> Option<usize> {
    (Some(id) != tokenizer.unknown()).then(|| tokenizer.token_bytes(id).len())
}

/// Bytes that tokens spell; none where one of them is unknown.
fn spelled(tokenizer: &Tokenizer, ids: &[u32]) -> Option<usize> {
    ids.iter().map(|id| length(tokenizer, *id)).sum()
}

/// Bytes that are in the tokens and not in the text: a tokenizer that puts a space before every text adds it to an
/// answer that has none of its own. The other tokenizer knows.
fn added(tokenizer: &Tokenizer, own: Option<usize>, other: Option<usize>) -> usize {
    usize::from(tokenizer.prepends_space() && own.zip(other).is_some_and(|(own, other)| own > other))
}

fn boundaries(tokenizer: &Tokenizer, ids: &[u32], added: usize) -> Vec<Boundary> {
    let mut consumed = Some(0usize);
    let mut rows: Vec<Boundary> = ids
        .iter()
        .map(|id| {
            let here = consumed.map(|bytes| bytes.saturating_sub(added));
            consumed = consumed.zip(length(tokenizer, *id)).map(|(bytes, length)| bytes + length);
            Boundary { consumed: here, remaining: None }
        })
        .collect();
    let mut remaining = Some(0usize);
    for (row, id) in rows.iter_mut().zip(ids).rev() {
        remaining = remaining.zip(length(tokenizer, *id)).map(|(bytes, length)| bytes + length);
        row.remaining = remaining;
    }
    rows
}
