//! `[data.template]`: the words around questions and before answers, and the tokens that end and pad.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Corpus;
use crate::codes;
use crate::diagnostic::Diagnostic;
use crate::node::{Node, Value};
use crate::reader::{self, Shape, View};

/// How a question becomes a prompt and an answer follows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Template {
    /// The prompt around a question; what follows `{prompt}` is the boundary behind which an answer begins. Default:
    /// `Q: {prompt}\nA:` (what the zoo's bases were pretrained on); with corpus.sni `{prompt}\nOutput:`.
    pub prompt: String,
    /// An answer as it follows the boundary. Default: a space and `{answer}`.
    pub answer: String,
    /// Tokens that end an answer: a model takes the first that its tokenizer has. Default: what the checkpoint says.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub end: Vec<String>,
    /// Tokens that fill batches up: a model takes the first that its tokenizer has. Default: what the checkpoint says.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pad: Vec<String>,
}

impl Default for Template {
    fn default() -> Self {
        let (prompt, answer) = ("Q: {prompt}\nA:".to_owned(), " {answer}".to_owned());
        Self { prompt, answer, end: Vec::new(), pad: Vec::new() }
    }
}

impl Template {
    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// What every prompt ends with.
    pub fn boundary(&self) -> &str {
        self.prompt.split_once("{prompt}").map_or("", |(_, boundary)| boundary)
    }
}

pub(super) fn read(view: View, corpus: Option<&Corpus>) -> Template {
    let default = match corpus {
        Some(Corpus::Sni(_)) => Template { prompt: "{prompt}\nOutput:".to_owned(), ..Template::default() },
        _ => Template::default(),
    };
    let template = Template {
        prompt: view.string("prompt", "\"Q: {prompt}\\nA:\"").or(default.prompt),
        answer: view.string("answer", "\" {answer}\"").or(default.answer),
        end: tokens(&view, "end"),
        pad: tokens(&view, "pad"),
    };
    if template.prompt.matches("{prompt}").count() != 1 {
        let message = format!("`{}.prompt` has to have one {{prompt}}", view.path);
        let error =
            Diagnostic::new(codes::CONFLICT, message).label(view.place("prompt"), "where the question goes");
        view.problems.add(error.help("write prompt = \"Q: {prompt}\\nA:\", say"));
    }
    if !template.answer.ends_with("{answer}") || template.answer.matches("{answer}").count() != 1 {
        let message = format!("`{}.answer` has to end with its one {{answer}}", view.path);
        let error =
            Diagnostic::new(codes::CONFLICT, message).label(view.place("answer"), "where the answer goes");
        view.problems.add(error.help("write answer = \" {answer}\"; the end token follows by itself"));
    }
    view.finish();
    template
}

/// A token or a list of tokens.
fn tokens(view: &View, key: &'static str) -> Vec<String> {
    let one = |node: &Node, path: &str| {
        let text = reader::text(node, path, "\"</s>\" or [\"</s>\", \"<|endoftext|>\"]");
        text.map(str::to_owned).map_err(|error| view.problems.add(error)).ok()
    };
    let read = |node: &Node, path: &str| match &node.value {
        Value::Array(items) => items.iter().map(|item| one(item, path)).collect(),
        _ => one(node, path).map(|token| vec![token]),
    };
    view.part(key, "\"</s>\"", || Shape::AnyOf(vec![Shape::Text, Shape::List(Box::new(Shape::Text))]), read)
        .or(Vec::new())
}
