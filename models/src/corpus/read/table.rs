//! Tables of texts and labels.

use std::collections::{BTreeMap, BTreeSet};

use cotune_kernel::stream::Stream;

use super::report::Reason;
use super::{Raw, SourceSpec, one_line};
use crate::corpus::CorpusError;

/// The streams that choose and permute labels belong to the domain, not to a scenario: pretraining and every
/// scenario must agree on them.
const LABEL_SEED: u64 = 0;

pub(super) fn rows(
    spec: &SourceSpec,
    text: &str,
    question: &str,
    label: &str,
) -> Result<Vec<Result<Raw, Reason>>, CorpusError> {
    let (mut reader, header) = open(spec, text)?;
    let (question, label) = (column(spec, &header, question)?, column(spec, &header, label)?);
    reader
        .records()
        .map(|record| {
            let record = record.map_err(|error| spec.format_error(error))?;
            let cell = |at: usize| record.get(at).ok_or(Reason::Malformed);
            Ok(cell(question).and_then(|text| row(text, cell(label)?)))
        })
        .collect()
}

/// A reader of the table and its header.
pub(super) fn open<'t>(
    spec: &SourceSpec,
    text: &'t str,
) -> Result<(csv::Reader<&'t [u8]>, csv::StringRecord), CorpusError> {
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(text.as_bytes());
    let header = reader.headers().map_err(|error| spec.format_error(error))?.clone();
    Ok((reader, header))
}

/// Where the header has `name`.
pub(super) fn column(
    spec: &SourceSpec,
    header: &csv::StringRecord,
    name: &str,
) -> Result<usize, CorpusError> {
    header.iter().position(|own| own == name).ok_or_else(|| CorpusError::NoColumn {
        domain: spec.name(),
        column: name.to_owned(),
        found: header.iter().map(str::to_owned).collect(),
    })
}

fn row(text: &str, label: &str) -> Result<Raw, Reason> {
    let answer = one_line(&label.replace('_', " ").replace('?', "").to_lowercase());
    if answer.is_empty() {
        return Err(Reason::Unanswered);
    }
    Ok(Raw { domain: None, question: one_line(text), answers: vec![answer] })
}

/// Keeps the rows of `wanted` labels, chosen by a stream of the domain's name.
pub(super) fn keep_labels(spec: &SourceSpec, rows: &mut Vec<Raw>, wanted: usize) -> Result<(), CorpusError> {
    let mut labels = labels(rows);
    if labels.len() < wanted {
        return Err(CorpusError::TooFewLabels { domain: spec.name(), wanted, found: labels.len() });
    }
    Stream::keyed(LABEL_SEED, &format!("corpus/labels/{}", spec.name())).shuffle(&mut labels);
    let chosen: BTreeSet<String> = labels.into_iter().take(wanted).collect();
    rows.retain(|row| row.answers.iter().any(|answer| chosen.contains(answer)));
    Ok(())
}

/// Every label becomes the next in a cycle that a stream of the domain's name draws: with two labels or more,
/// none stays what it was.
pub(super) fn permute(domain: &str, rows: &mut [Raw]) {
    let mut labels = labels(rows);
    Stream::keyed(LABEL_SEED, &format!("corpus/permuted-labels/{domain}")).shuffle(&mut labels);
    let next: BTreeMap<&String, &String> = labels.iter().zip(labels.iter().cycle().skip(1)).collect();
    for answer in rows.iter_mut().flat_map(|row| &mut row.answers) {
        *answer = next[&*answer].clone();
    }
}

/// The labels that occur, in order.
fn labels(rows: &[Raw]) -> Vec<String> {
    rows.iter().flat_map(|row| &row.answers).cloned().collect::<BTreeSet<_>>().into_iter().collect()
}
