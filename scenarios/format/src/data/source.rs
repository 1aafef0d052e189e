//! `[[data.source]]`: one file of examples.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::codes;
use crate::diagnostic::Diagnostic;
use crate::reader::View;
use crate::words;

/// One file of examples.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Source {
    /// The domain of every example that does not name its own; jsonl, and csv with `fields`, may do without.
    pub domain: Option<String>,
    /// How the file is laid out.
    pub layout: Layout,
    /// Path as written; `data:X` lies under the data folder.
    pub path: String,
    /// How a question is put, inside the corpus's template; `{prompt}` is the example's text. Default: `{prompt}`
    /// alone for jsonl and csv with `fields`, `robot: {prompt}` for SCAN, the domain, `: ` and `{prompt}` otherwise
    /// (what the recipes that ship were made with).
    pub prompt: String,
    /// At most this many examples.
    pub limit: Option<u64>,
    /// SCAN: keep commands of at most this many actions.
    pub max_actions: Option<u32>,
    /// CSV without `fields`: keep this many labels, chosen by a stream of the domain's name.
    pub labels: Option<u32>,
    /// Keep examples whose text has at most this many characters.
    pub max_chars: Option<u32>,
    /// CSV without `fields`: the column that holds the text. Default: `text`. JSONL: another word for
    /// `fields.prompt`.
    pub text_column: String,
    /// CSV without `fields`: the column that holds the label, which is spelled in lower case, '_' as a space.
    /// Default: `category`. JSONL: another word for `fields.answer`.
    pub label_column: String,
    /// JSONL and CSV: what the fields of a row are called; answers stay as they are. Default: for JSONL the
    /// names of its keys, for CSV none, which makes it a table of texts and labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fields: Option<Fields>,
    /// Which of two disjoint halves of the file's texts. Default: target for the layouts that recipes pretrain on the
    /// other half of (SCAN, spans, CSV without `fields`), all for the others.
    pub half: Half,
    /// Permute the labels (by a stream of the domain's name), so that a base cannot know them. Default: false.
    pub permute_labels: bool,
}

/// The layout of a source file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Layout {
    /// One JSON object per line.
    Jsonl,
    /// Comma-separated, with a header line.
    Csv,
    /// SCAN: `IN: … OUT: …` lines.
    Scan,
    /// PolyAI span extraction: a JSON list of texts with labelled spans.
    Spans,
}

impl Layout {
    /// Its key in `[[data.source]]`.
    pub fn key(self) -> &'static str {
        match self {
            Self::Jsonl => "jsonl",
            Self::Csv => "csv",
            Self::Scan => "scan",
            Self::Spans => "spans",
        }
    }
}

/// What the fields of a JSON line, or the columns of a table, are called.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Fields {
    /// The question. Default: `prompt`.
    pub prompt: String,
    /// The answer that is trained on. Default: `answer`.
    pub answer: String,
    /// A list of answers that all count; the first is trained on where there is no `answer`. In a table, a JSON list.
    /// Default: `references`.
    pub references: String,
    /// The domain. Default: `domain`.
    pub domain: String,
}

/// The two disjoint halves of a source's texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Half {
    /// What bases are pretrained on.
    Source,
    /// What scenarios learn.
    Target,
    /// Both.
    All,
}

const LAYOUTS: &[(&str, Layout)] =
    &[("jsonl", Layout::Jsonl), ("csv", Layout::Csv), ("scan", Layout::Scan), ("spans", Layout::Spans)];

pub(super) fn read(view: View) -> Option<Source> {
    let (layout, path) = file(&view).unzip();
    let fields = view.table("fields").optional().map(fields);
    let is_own = layout == Some(Layout::Jsonl) || fields.is_some();
    let domain = view.string("domain", "\"banking\"");
    let domain = if is_own { domain.optional() } else { domain.required(view.problems) };
    let complete = layout.is_some() && (is_own || domain.is_some());
    let (text, label) = if layout == Some(Layout::Csv) { ("text", "category") } else { ("prompt", "answer") };
    let text_column = view.string("text_column", "\"text\"").or(text.to_owned());
    let label_column = view.string("label_column", "\"category\"").or(label.to_owned());
    let by_column =
        || Fields { prompt: text_column.clone(), answer: label_column.clone(), ..Fields::default() };
    let halves = [("target", Half::Target), ("source", Half::Source), ("all", Half::All)];
    let source = Source {
        domain,
        layout: layout.unwrap_or(Layout::Jsonl),
        path: path.flatten().unwrap_or_default(),
        prompt: view.string("prompt", "\"{prompt}\"").or("{prompt}".to_owned()),
        limit: view.count("limit", 1).optional(),
        max_actions: view.count("max_actions", 1).optional(),
        labels: view.count("labels", 2).optional(),
        max_chars: view.count("max_chars", 1).optional(),
        fields: fields.or_else(|| (layout == Some(Layout::Jsonl)).then(by_column)),
        text_column,
        label_column,
        half: view.word("half", &halves).or(if is_own { Half::All } else { Half::Target }),
        permute_labels: view.boolean("permute_labels").or(false),
    };
    if !source.prompt.contains("{prompt}") {
        let error =
            Diagnostic::new(codes::CONFLICT, format!("`{}.prompt` has no place for the text", view.path));
        view.problems.add(
            error.label(view.place("prompt"), "every prompt would be the same").help("write {prompt} in it"),
        );
    }
    meaningless(&view, layout);
    view.finish();
    complete.then_some(source)
}

/// The layout and the file; a mistake unless there is exactly one.
fn file(view: &View) -> Option<(Layout, Option<String>)> {
    let files: Vec<(Layout, &str, Option<String>)> = LAYOUTS
        .iter()
        .map(|(key, layout)| (*layout, *key, view.string(key, "").optional()))
        .filter(|(_, key, _)| view.has(key))
        .collect();
    if files.len() != 1 {
        let message = match files.len() {
            0 => format!("`{}` names no file", view.path),
            _ => format!("`{}` names several files", view.path),
        };
        let place = files.get(1).and_then(|(_, key, _)| view.key_place(key)).or(view.at.clone());
        let error = Diagnostic::new(codes::CONFLICT, message).label(place, "which one?");
        view.problems.add(
            error.help("write exactly one of jsonl, csv, scan and spans, and a [[data.source]] per file"),
        );
    }
    files.into_iter().next().map(|(layout, _, path)| (layout, path))
}

impl Default for Fields {
    fn default() -> Self {
        let [prompt, answer, references, domain] =
            ["prompt", "answer", "references", "domain"].map(str::to_owned);
        Self { prompt, answer, references, domain }
    }
}

fn fields(view: View) -> Fields {
    let default = Fields::default();
    let fields = Fields {
        prompt: view.string("prompt", "\"question\"").or(default.prompt),
        answer: view.string("answer", "\"answer\"").or(default.answer),
        references: view.string("references", "\"answers\"").or(default.references),
        domain: view.string("domain", "\"topic\"").or(default.domain),
    };
    view.finish();
    fields
}

/// Keys that a layout has no use for.
fn meaningless(view: &View, layout: Option<Layout>) {
    for (key, fits) in [
        ("max_actions", &[Layout::Scan][..]),
        ("labels", &[Layout::Csv]),
        ("fields", &[Layout::Jsonl, Layout::Csv]),
        ("text_column", &[Layout::Csv, Layout::Jsonl]),
        ("label_column", &[Layout::Csv, Layout::Jsonl]),
        ("permute_labels", &[Layout::Csv, Layout::Scan, Layout::Spans]),
    ] {
        if view.has(key) && layout.is_some_and(|layout| !fits.contains(&layout)) {
            let names = LAYOUTS.iter().filter(|(_, layout)| fits.contains(layout)).map(|(name, _)| *name);
            let error =
                Diagnostic::new(codes::CONFLICT, format!("`{}.{key}` has no meaning here", view.path));
            let help = format!("it goes with {}", words::list(names));
            view.problems.add(error.label(view.key_place(key), "not for this layout").help(help));
        }
    }
    if !view.has("fields") {
        return;
    }
    for key in
        ["text_column", "label_column", "labels", "permute_labels"].into_iter().filter(|key| view.has(key))
    {
        let message = format!("`{}.{key}` has no meaning beside `fields`", view.path);
        let error = Diagnostic::new(codes::CONFLICT, message).label(view.key_place(key), "about labels");
        let error = error.label(view.key_place("fields"), "about answers");
        view.problems.add(error.help(format!("remove one of `fields` and `{key}`")));
    }
}
