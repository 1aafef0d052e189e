//! Which rows of a file are kept: distinct prompts, one half, up to a limit.

use std::collections::BTreeMap;

use super::report::{ReadReport, Reason};
use super::{Half, Row};

/// Keeps rows of distinct keys (the first wins) of one half, at most `limit`. The order is that of the keys'
/// BLAKE3 digests: it depends on neither the seed nor the order of the file, so pretraining and scenarios cut
/// alike.
pub(super) fn select(
    rows: Vec<(String, Row)>,
    half: Option<Half>,
    limit: Option<usize>,
    report: &mut ReadReport,
) -> Vec<Row> {
    let found = rows.len();
    let mut by_digest: BTreeMap<[u8; 32], Row> = BTreeMap::new();
    for (key, row) in rows {
        by_digest.entry(*blake3::hash(key.as_bytes()).as_bytes()).or_insert(row);
    }
    let mut rows: Vec<Row> = by_digest.into_values().collect();
    report.count(Reason::Duplicate, found - rows.len());

    let distinct = rows.len();
    let target = rows.split_off(source_half(distinct));
    let mut rows = match half {
        None => [rows, target].concat(),
        Some(Half::Source) => rows,
        Some(Half::Target) => target,
    };
    report.count(Reason::OtherHalf, distinct - rows.len());

    let most = limit.unwrap_or(rows.len()).min(rows.len());
    report.count(Reason::OverLimit, rows.len() - most);
    rows.truncate(most);
    rows
}

/// How many of `n` distinct prompts are the source half. As in the feasibility study.
fn source_half(n: usize) -> usize {
    if n > 600 { (n - 300).min(1_500) } else { n / 3 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_source_half_has_the_studys_sizes() {
        assert_eq!([0, 300, 600, 601, 1_000, 5_000].map(source_half), [0, 100, 200, 301, 700, 1_500]);
    }
}
