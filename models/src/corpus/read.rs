//! Question-and-answer rows out of files.
//!
//! [`read`] is pure on text; [`read_file`] opens the file first. Every row is either kept or counted in the
//! report under the reason it was not.

mod fields;
mod jsonl;
mod report;
mod scan;
mod select;
mod sni;
mod spans;
mod table;

use std::path::PathBuf;

use cotune_kernel::bounded;

use super::template::fill;
use super::{CorpusError, Template};
pub use fields::Fields;
pub use report::ReadReport;
use report::Reason;
pub use sni::{TaskDomain, TaskFile, task_files};

/// The longest file of examples that is read \[B\].
pub(crate) const LONGEST: u64 = 4 << 30;

/// The form of a file.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SourceKind {
    /// Lines `IN: jump twice OUT: I_JUMP I_JUMP` (SCAN, Lake & Baroni 2018). The answer spells the actions as
    /// words.
    Scan,
    /// A table with a header; the answer is the label in lower case, '_' spelled as a space and '?' left out
    /// (Banking77). For answers that are not labels there is [`SourceKind::Table`].
    Csv {
        /// Column of the question.
        text: String,
        /// Column of the label.
        label: String,
    },
    /// JSON list of `{userInput: {text}, labels: [{slot, valueSpan}]}` (PolyAI's restaurant8k and dstc8). The
    /// answer is `slot = value` of the first label.
    Spans,
    /// A table with a header whose columns are [`SourceSpec::fields`]; answers stay as they are.
    Table,
    /// Lines of JSON objects whose keys are [`SourceSpec::fields`]. A prompt that already is inside the
    /// template is left alone.
    Jsonl,
    /// One task of Super-NaturalInstructions: `{Definition, Domains, Categories, Instances: [{input, output}]}`.
    Sni {
        /// What decides an instance's domain.
        domain: TaskDomain,
    },
}

impl SourceKind {
    fn name(&self) -> &'static str {
        match self {
            Self::Scan => "scan",
            Self::Csv { .. } | Self::Table => "csv",
            Self::Spans => "spans",
            Self::Jsonl => "jsonl",
            Self::Sni { .. } => "sni",
        }
    }
}

/// Which half of a file's distinct prompts: the halves are disjoint, and the same on every machine and in
/// every run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Half {
    /// For pretraining: a third of up to 600 prompts; of more, all but 300 and at most 1,500.
    Source,
    /// For scenarios: the others.
    Target,
}

/// One file, as `[[data.source]]` describes it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct SourceSpec {
    /// The domain of its rows, unless a row names its own; none where every row has to.
    pub domain: Option<String>,
    /// The form of the file.
    pub kind: SourceKind,
    /// The file.
    pub path: PathBuf,
    /// Names of the fields of [`SourceKind::Jsonl`] and [`SourceKind::Table`].
    pub fields: Fields,
    /// How a question is put: text with `{prompt}` in it, for sni with `{definition}` and `{input}`. By
    /// default `robot: {prompt}` for SCAN, `{definition}\n\nInput: {input}` for sni, the question alone for
    /// [`Fields`], the domain, `: ` and the question otherwise.
    pub wording: Option<String>,
    /// What stands around the question so put, and before answers.
    pub template: Template,
    /// The most actions of a SCAN answer; none for no limit.
    pub max_actions: Option<usize>,
    /// The most characters of a question, wording aside (of sni: instruction and input together); none for no
    /// limit.
    pub max_chars: Option<usize>,
    /// How many labels of a table are kept, chosen by a stream of the domain's name; none for all.
    pub labels: Option<usize>,
    /// The most rows kept; none for all.
    pub limit: Option<usize>,
    /// The half that is kept; none for both.
    pub half: Option<Half>,
    /// Whether to answer as another world would: each SCAN action, label or slot name becomes the next in a
    /// fixed cycle.
    pub permute_labels: bool,
}

impl SourceSpec {
    /// A source with the usual limits: 8 actions for SCAN, 70 characters for spans, else none.
    pub fn new(domain: impl Into<String>, kind: SourceKind, path: impl Into<PathBuf>) -> Self {
        let max_chars = (kind == SourceKind::Spans).then_some(70);
        let max_actions = (kind == SourceKind::Scan).then_some(8);
        Self {
            domain: Some(domain.into()),
            kind,
            path: path.into(),
            fields: Fields::default(),
            wording: None,
            template: Template::default(),
            max_actions,
            max_chars,
            labels: None,
            limit: None,
            half: None,
            permute_labels: false,
        }
    }

    /// The question as it is put; instructions were put in by their reader.
    fn put(&self, question: String) -> String {
        match (&self.wording, &self.kind) {
            (_, SourceKind::Sni { .. }) => question,
            (Some(wording), _) => fill(wording, &[("prompt", &question)]),
            (None, SourceKind::Scan) => format!("robot: {question}"),
            (None, SourceKind::Jsonl | SourceKind::Table) => question,
            (None, SourceKind::Csv { .. } | SourceKind::Spans) => format!("{}: {question}", self.name()),
        }
    }

    /// How errors and streams call it: by its domain, or else by its file.
    fn name(&self) -> String {
        let file = || self.path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
        self.domain.clone().or_else(file).unwrap_or_default()
    }

    fn format_error(&self, reason: impl ToString) -> CorpusError {
        CorpusError::Format { domain: self.name(), kind: self.kind.name(), reason: reason.to_string() }
    }
}

/// A row that was kept: an example without its numbers.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Row {
    /// Name of its domain.
    pub domain: String,
    /// The question inside its [`Template`].
    pub prompt: String,
    /// References, each as it follows the prompt.
    pub answers: Vec<String>,
}

/// What was read of one source.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct SourceRows {
    /// The rows kept: distinct prompts, in an order that depends on the prompts alone.
    pub rows: Vec<Row>,
    /// What happened to each row of the file.
    pub report: ReadReport,
}

/// A row as a file has it: the bare question and the bare answers.
struct Raw {
    domain: Option<String>,
    question: String,
    answers: Vec<String>,
}

/// Reads a source from the text of its file.
///
/// # Errors
/// [`CorpusError::Format`] where the file as a whole is of another kind, [`CorpusError::NoColumn`],
/// [`CorpusError::TooFewLabels`], [`CorpusError::NoSuchOption`], [`CorpusError::NothingKept`].
pub fn read(spec: &SourceSpec, text: &str) -> Result<SourceRows, CorpusError> {
    refuse_meaningless_options(spec)?;
    let found = match &spec.kind {
        SourceKind::Scan => scan::rows(text, spec.max_actions),
        SourceKind::Csv { text: question, label } => table::rows(spec, text, question, label)?,
        SourceKind::Spans => spans::rows(spec, text)?,
        SourceKind::Table => fields::rows(spec, text)?,
        SourceKind::Jsonl => jsonl::rows(&spec.fields, text),
        SourceKind::Sni { domain } => sni::rows(spec, *domain, text)?,
    };
    let mut report = ReadReport { read: found.len(), ..ReadReport::default() };
    let mut raw: Vec<Raw> = Vec::new();
    for row in found {
        match row {
            Ok(row) if spec.max_chars.is_some_and(|most| row.question.chars().count() > most) => {
                report.count(Reason::TooLong, 1);
            }
            Ok(row) if row.domain.is_none() && spec.domain.is_none() => report.count(Reason::NoDomain, 1),
            Ok(row) => raw.push(row),
            Err(reason) => report.count(reason, 1),
        }
    }
    if let Some(wanted) = spec.labels {
        let before = raw.len();
        table::keep_labels(spec, &mut raw, wanted)?;
        report.count(Reason::OtherLabel, before - raw.len());
    }
    if spec.permute_labels {
        match spec.kind {
            SourceKind::Scan => scan::permute(&mut raw),
            SourceKind::Csv { .. } => table::permute(&spec.name(), &mut raw),
            SourceKind::Spans => spans::permute(&mut raw),
            SourceKind::Table | SourceKind::Jsonl | SourceKind::Sni { .. } => {}
        }
    }
    let rows = raw.into_iter().map(|row| finish(spec, row)).collect();
    let rows = select::select(rows, spec.half, spec.limit, &mut report);
    report.kept = rows.len();
    if rows.is_empty() {
        return Err(CorpusError::NothingKept { domain: spec.name(), report: Box::new(report) });
    }
    Ok(SourceRows { rows, report })
}

/// Reads a source from its file.
///
/// # Errors
/// [`CorpusError::Read`] and those of [`read`].
pub fn read_file(spec: &SourceSpec) -> Result<SourceRows, CorpusError> {
    let text = bounded::text(&spec.path, LONGEST)
        .map_err(|source| CorpusError::Read { path: spec.path.clone(), source })?;
    read(spec, &text)
}

fn refuse_meaningless_options(spec: &SourceSpec) -> Result<(), CorpusError> {
    let is_table = matches!(spec.kind, SourceKind::Csv { .. });
    let has_labels = matches!(spec.kind, SourceKind::Scan | SourceKind::Csv { .. } | SourceKind::Spans);
    let refused = [
        ("max_actions", spec.max_actions.is_some() && spec.kind != SourceKind::Scan),
        ("labels", spec.labels.is_some() && !is_table),
        ("permute_labels", spec.permute_labels && !has_labels),
    ];
    match refused.into_iter().find(|(_, refused)| *refused) {
        Some((option, _)) => {
            Err(CorpusError::NoSuchOption { domain: spec.name(), kind: spec.kind.name(), option })
        }
        None => Ok(()),
    }
}

/// Puts wording and template around a question and a lead before its answers. The key is the prompt inside the
/// default template: by it halves are cut, which must not depend on a scenario's template.
fn finish(spec: &SourceSpec, raw: Raw) -> (String, Row) {
    let template = &spec.template;
    let inside = template.question(&raw.question).filter(|_| !template.is_bare());
    let question = match inside {
        Some(question) => question.to_owned(),
        None => spec.put(raw.question),
    };
    let domain = raw.domain.or_else(|| spec.domain.clone()).expect("rows without a domain were left out");
    let answers = raw.answers.iter().map(|answer| template.answer(answer)).collect();
    (Template::default().prompt(&question), Row { domain, prompt: template.prompt(&question), answers })
}

/// A text on one line, each run of white space one space.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
