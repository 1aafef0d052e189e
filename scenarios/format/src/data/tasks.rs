//! `corpus.sni`: Super-NaturalInstructions (Wang et al., EMNLP 2022) as published, a folder of tasks.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::codes;
use crate::diagnostic::Diagnostic;
use crate::reader::{self, Shape, View};

/// A folder of tasks: files `task….json`, or folders `task…` with JSON files in them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Tasks {
    /// Path as written; `data:X` lies under the data folder.
    pub dir: String,
    /// The tasks that are wanted, by name. Default: all of the folder.
    pub tasks: Vec<String>,
    /// What makes a domain. Default: domain.
    pub domain: TaskDomain,
    /// How an instruction and an input make a question, inside the corpus's template. Default:
    /// `{definition}\n\nInput: {input}`, to which the default template adds `\nOutput:`.
    pub prompt: String,
    /// At most this many examples of each file.
    pub limit: Option<u64>,
    /// Keep examples whose instruction and input have at most this many characters together.
    pub max_chars: Option<u32>,
}

/// What makes a domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TaskDomain {
    /// The first of the task's `Domains`, without what follows `->`.
    Domain,
    /// The first of the task's `Categories`.
    Category,
    /// Every task is a domain.
    Task,
}

pub(super) fn read(view: View) -> Option<Tasks> {
    const DOMAINS: &[(&str, TaskDomain)] =
        &[("domain", TaskDomain::Domain), ("category", TaskDomain::Category), ("task", TaskDomain::Task)];
    let dir = view.string("dir", "\"data:sni\"").required(view.problems);
    let name = |node: &_, path: &str| reader::text(node, path, "\"task002_…\"").map(str::to_owned);
    let mut names =
        view.list("tasks", "[\"task002_quoref_answer_generation\"]", || Shape::Text, name).or(Vec::new());
    names.sort();
    names.dedup();
    let tasks = Tasks {
        dir: dir.unwrap_or_default(),
        tasks: names,
        domain: view.word("domain", DOMAINS).or(TaskDomain::Domain),
        prompt: view
            .string("prompt", "\"{definition}\\n\\nInput: {input}\"")
            .or("{definition}\n\nInput: {input}".to_owned()),
        limit: view.count("limit", 1).optional(),
        max_chars: view.count("max_chars", 1).optional(),
    };
    if !tasks.prompt.contains("{input}") {
        let error =
            Diagnostic::new(codes::CONFLICT, format!("`{}.prompt` has no place for the input", view.path));
        view.problems.add(
            error
                .label(view.place("prompt"), "every prompt would be the same")
                .help("write {input} in it, and {definition} for the instruction"),
        );
    }
    view.finish();
    Some(tasks).filter(|tasks| !tasks.dir.is_empty())
}
