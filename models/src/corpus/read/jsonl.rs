//! Lines of JSON: the form for data of one's own.

use serde::Deserialize;
use serde_json::Value;

use super::Raw;
use super::report::Reason;

#[derive(Deserialize)]
struct Line {
    prompt: String,
    #[serde(default)]
    answer: Value,
    #[serde(default)]
    references: Value,
    domain: Option<String>,
}

pub(super) fn rows(text: &str) -> Vec<Result<Raw, Reason>> {
    text.lines().filter(|line| !line.trim().is_empty()).map(row).collect()
}

fn row(line: &str) -> Result<Raw, Reason> {
    let line: Line = serde_json::from_str(line).map_err(|_| Reason::Malformed)?;
    let mut answers = texts(line.answer)?;
    for reference in texts(line.references)? {
        if !answers.contains(&reference) {
            answers.push(reference);
        }
    }
    if answers.is_empty() {
        return Err(Reason::Unanswered);
    }
    Ok(Raw { domain: line.domain, question: line.prompt.trim().to_owned(), answers })
}

/// A text, a list of texts, or nothing; blank texts are no answers.
pub(super) fn texts(value: Value) -> Result<Vec<String>, Reason> {
    let texts: Vec<String> = match value {
        Value::Null => Vec::new(),
        Value::String(text) => vec![text],
        list => serde_json::from_value(list).map_err(|_| Reason::Malformed)?,
    };
    Ok(texts.into_iter().filter(|text| !text.trim().is_empty()).collect())
}
