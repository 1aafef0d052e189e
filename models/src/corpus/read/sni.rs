//! Super-NaturalInstructions (Wang et al., EMNLP 2022): a task file is one instruction and its instances.

use serde::Deserialize;
use serde_json::Value;

use super::jsonl::texts;
use super::report::Reason;
use super::{Raw, SourceSpec, one_line};
use crate::corpus::CorpusError;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Task {
    /// One text, or a list of one.
    definition: Value,
    instances: Vec<Value>,
}

#[derive(Deserialize)]
struct Instance {
    input: String,
    output: Value,
}

/// The question is the instruction, a space and the input; every output is a reference.
pub(super) fn rows(spec: &SourceSpec, text: &str) -> Result<Vec<Result<Raw, Reason>>, CorpusError> {
    let task: Task = serde_json::from_str(text).map_err(|error| spec.format_error(error))?;
    let definition = texts(task.definition)
        .map_err(|_| spec.format_error("`Definition` is neither a text nor a list of texts"))?;
    let definition = one_line(&definition.join(" "));
    let row = |instance: Value| {
        let instance: Instance = serde_json::from_value(instance).map_err(|_| Reason::Malformed)?;
        let answers: Vec<String> = texts(instance.output)?.iter().map(|text| one_line(text)).collect();
        if answers.is_empty() {
            return Err(Reason::Unanswered);
        }
        let question = format!("{definition} {}", one_line(&instance.input));
        Ok(Raw { domain: None, question: question.trim().to_owned(), answers })
    };
    Ok(task.instances.into_iter().map(row).collect())
}
