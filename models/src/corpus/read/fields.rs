//! Fields with names of one's own: what [`super::SourceKind::Jsonl`] and [`super::SourceKind::Table`] read.

use serde_json::Value;

use super::report::Reason;
use super::{Raw, SourceSpec, table};
use crate::corpus::CorpusError;

/// What the fields of a row are called.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Fields {
    /// The question.
    pub prompt: String,
    /// The answer models are trained on; a text, a number or a list of these.
    pub answer: String,
    /// Answers that count, the first of them trained on where a row has no other.
    pub references: String,
    /// The domain; where a row has none, its source's.
    pub domain: String,
}

impl Default for Fields {
    /// `prompt`, `answer`, `references` and `domain`.
    fn default() -> Self {
        let [prompt, answer, references, domain] =
            ["prompt", "answer", "references", "domain"].map(str::to_owned);
        Self { prompt, answer, references, domain }
    }
}

impl Fields {
    /// A row out of the values of its fields.
    pub(super) fn row<'v>(&self, field: impl Fn(&str) -> Option<&'v Value>) -> Result<Raw, Reason> {
        let question = field(&self.prompt).and_then(Value::as_str).ok_or(Reason::Malformed)?.trim();
        if question.is_empty() {
            return Err(Reason::Malformed);
        }
        let mut answers: Vec<String> = Vec::new();
        for value in [&self.answer, &self.references].into_iter().filter_map(|name| field(name)) {
            for text in texts(value)? {
                if !answers.contains(&text) {
                    answers.push(text);
                }
            }
        }
        if answers.is_empty() {
            return Err(Reason::Unanswered);
        }
        let domain = match field(&self.domain) {
            None | Some(Value::Null) => None,
            Some(value) => Some(text(value).ok_or(Reason::Malformed)?.trim().to_owned()),
        };
        Ok(Raw { domain: domain.filter(|name| !name.is_empty()), question: question.to_owned(), answers })
    }
}

/// The rows of a table. A cell of references may hold a JSON list of texts; any other cell is one text.
pub(super) fn rows(spec: &SourceSpec, text: &str) -> Result<Vec<Result<Raw, Reason>>, CorpusError> {
    let fields = &spec.fields;
    let (mut reader, header) = table::open(spec, text)?;
    let column = |name: &str| table::column(spec, &header, name);
    let prompt = column(&fields.prompt)?;
    let (answer, references) = (column(&fields.answer), column(&fields.references));
    if let (Err(missing), Err(_)) = (&answer, &references) {
        return Err(CorpusError::NoColumn {
            domain: spec.name(),
            column: format!("{} or {}", fields.answer, fields.references),
            found: match missing {
                CorpusError::NoColumn { found, .. } => found.clone(),
                _ => Vec::new(),
            },
        });
    }
    let domain = match column(&fields.domain) {
        Err(missing) if spec.domain.is_none() => return Err(missing),
        found => found.ok(),
    };
    let columns = [
        (&fields.prompt, Some(prompt)),
        (&fields.answer, answer.ok()),
        (&fields.references, references.ok()),
        (&fields.domain, domain),
    ];
    let row = |record: csv::StringRecord| {
        let cell = |(name, at): &(&String, Option<usize>)| {
            let text = record.get((*at)?)?;
            let list = (*name == &fields.references).then(|| serde_json::from_str(text).ok()).flatten();
            Some(list.filter(Value::is_array).unwrap_or_else(|| Value::String(text.to_owned())))
        };
        let cells = columns.each_ref().map(cell);
        fields.row(|name| {
            let at = columns.iter().position(|(own, _)| own.as_str() == name)?;
            cells[at].as_ref()
        })
    };
    reader.records().map(|record| record.map(row).map_err(|error| spec.format_error(error))).collect()
}

/// A text, a number, or a list of these; blank texts are no answers.
pub(super) fn texts(value: &Value) -> Result<Vec<String>, Reason> {
    let texts: Vec<String> = match value {
        Value::Null => Vec::new(),
        Value::Array(items) => items.iter().map(text).collect::<Option<_>>().ok_or(Reason::Malformed)?,
        other => vec![text(other).ok_or(Reason::Malformed)?],
    };
    Ok(texts.into_iter().filter(|text| !text.trim().is_empty()).collect())
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        _ => None,
    }
}
