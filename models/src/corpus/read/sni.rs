//! Super-NaturalInstructions (Wang et al., EMNLP 2022, arXiv 2204.07705): a task file is one instruction and its
//! instances, a folder of them a corpus.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

use super::fields::texts;
use super::report::Reason;
use super::{Raw, SourceSpec};
use crate::corpus::CorpusError;
use crate::corpus::template::fill;

/// How an instruction and an input make a question where a scenario does not say.
const WORDING: &str = "{definition}\n\nInput: {input}";
/// What the names of tasks begin with.
const TASK: &str = "task";
/// What stands between a domain and a part of it: `Social Media -> Reddit`.
const PART: &str = " -> ";

/// What decides the domain of a task's instances.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TaskDomain {
    /// The first of the task's `Domains`, without what follows `->`.
    #[default]
    Domain,
    /// The first of the task's `Categories`.
    Category,
    /// The task itself.
    Task,
}

/// A file of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskFile {
    /// Name of the task, such as `task002_quoref_answer_generation`.
    pub task: String,
    /// The file.
    pub path: PathBuf,
}

/// The task files of a folder and of its folders, by path: JSON files that are called as a task
/// (`task002_….json`), or lie in a folder that is (`task002_…/train.json`). `tasks` names those that are wanted;
/// none of them for all.
///
/// # Errors
/// [`CorpusError::Read`], [`CorpusError::NoTask`].
pub fn task_files(folder: &Path, tasks: &[String]) -> Result<Vec<TaskFile>, CorpusError> {
    let mut files = Vec::new();
    walk(folder, None, &mut files)?;
    files.sort_by(|a, b| a.path.cmp(&b.path));
    let no_task =
        |task: Option<&String>| CorpusError::NoTask { folder: folder.to_owned(), task: task.cloned() };
    if let Some(missing) = tasks.iter().find(|task| files.iter().all(|file| file.task != **task)) {
        return Err(no_task(Some(missing)));
    }
    if !tasks.is_empty() {
        files.retain(|file| tasks.contains(&file.task));
    }
    if files.is_empty() { Err(no_task(None)) } else { Ok(files) }
}

fn walk(folder: &Path, task: Option<&str>, files: &mut Vec<TaskFile>) -> Result<(), CorpusError> {
    let unreadable = |source| CorpusError::Read { path: folder.to_owned(), source };
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let path = entry.path();
        let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
        let own = stem.filter(|stem| stem.starts_with(TASK));
        let task = task.or(own.as_deref());
        // A link to a folder may lead back here, so none is followed; one to a file is.
        if entry.file_type().map_err(unreadable)?.is_dir() {
            walk(&path, task, files)?;
        } else if path.extension() == Some(OsStr::new("json"))
            && let Some(task) = task
        {
            let task = task.to_owned();
            files.push(TaskFile { task, path });
        }
    }
    Ok(())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Task {
    /// One text, or a list of one.
    definition: Value,
    #[serde(default)]
    domains: Value,
    #[serde(default)]
    categories: Value,
    instances: Vec<Value>,
}

#[derive(Deserialize)]
struct Instance {
    input: String,
    output: Value,
}

/// The question is the instruction and the input; every output is a reference.
pub(super) fn rows(
    spec: &SourceSpec,
    domain: TaskDomain,
    text: &str,
) -> Result<Vec<Result<Raw, Reason>>, CorpusError> {
    let task: Task = serde_json::from_str(text).map_err(|error| spec.format_error(error))?;
    let listed = |key: &str, value: &Value| {
        let wrong = |_| spec.format_error(format!("`{key}` is neither a text nor a list of texts"));
        texts(value).map_err(wrong)
    };
    let definition = listed("Definition", &task.definition)?.join(" ");
    let domains = match domain {
        TaskDomain::Domain => listed("Domains", &task.domains)?,
        TaskDomain::Category => listed("Categories", &task.categories)?,
        TaskDomain::Task => Vec::new(),
    };
    let domain = domains.first().map(|name| name.split(PART).next().unwrap_or(name).trim().to_owned());
    let wording = spec.wording.as_deref().unwrap_or(WORDING);
    let row = |instance: Value| {
        let instance: Instance = serde_json::from_value(instance).map_err(|_| Reason::Malformed)?;
        let answers = texts(&instance.output)?;
        if answers.is_empty() {
            return Err(Reason::Unanswered);
        }
        let fields = [("definition", definition.trim()), ("input", instance.input.trim())];
        Ok(Raw { domain: domain.clone(), question: fill(wording, &fields), answers })
    };
    Ok(task.instances.into_iter().map(row).collect())
}
