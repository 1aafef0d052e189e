//! `[data]`: the corpus, who may see which part of it, and how it is dealt to the devices.

use serde::{Deserialize, Serialize};

use crate::codes;
use crate::diagnostic::Diagnostic;
use crate::node::{Node, Value};
use crate::reader::{self, Bound, View};
use crate::words;

/// The data of a scenario.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Data {
    /// Where examples come from.
    pub corpus: Corpus,
    /// Examples that the cloud may see. Default: 5 % (chosen: the share of the shipped example).
    pub public: Portion,
    /// Examples held out for guards and model selection. Default: 5 % (chosen).
    pub validation: Portion,
    /// Examples held out for the report. Default: 10 % (chosen).
    pub test: Portion,
    /// At most this many private examples, over all devices; none: all the rest.
    pub private: Option<u64>,
    /// How the private examples are dealt to the devices.
    pub split: Split,
}

impl Data {
    /// Divides a corpus of `total` examples; none where no private example would be left.
    pub fn sizes(&self, total: u64) -> Option<Sizes> {
        let (public, validation, test) =
            (self.public.of(total), self.validation.of(total), self.test.of(total));
        let held = public.checked_add(validation)?.checked_add(test)?;
        let rest = total.checked_sub(held).filter(|rest| *rest > 0)?;
        let private = self.private.map_or(rest, |limit| limit.min(rest));
        Some(Sizes { public, validation, test, private })
    }
}

/// How many examples each part of a corpus has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sizes {
    /// Examples of the cloud.
    pub public: u64,
    /// Held out for guards and model selection.
    pub validation: u64,
    /// Held out for the report.
    pub test: u64,
    /// Dealt to the devices.
    pub private: u64,
}

/// A part of a corpus. With the builtin corpus, whose size the file states, always a count.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Portion {
    /// This many examples.
    Count(u64),
    /// This fraction of all examples, in (0, 1).
    Fraction(f64),
}

impl Portion {
    /// Examples out of `total`, rounded to the nearest.
    pub fn of(self, total: u64) -> u64 {
        match self {
            Self::Count(count) => count,
            Self::Fraction(fraction) => (fraction * total as f64).round() as u64,
        }
    }
}

/// Where examples come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Corpus {
    /// A generated world.
    Builtin(Builtin),
    /// Files, one domain each (a domain may have several).
    Sources(Vec<Source>),
}

/// A generated corpus.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Builtin {
    /// Which generator.
    pub name: BuiltinName,
    /// Public, private, validation and test examples together.
    pub examples: u64,
    /// Seed of the world's facts. Default: the scenario's seed.
    pub seed: u64,
    /// Fraction of the facts that several domains share, in [0, 1]. Default: 1.
    pub overlap: f64,
    /// Domains that no device has private examples of; they are tested all the same. Default: none.
    pub unseen_domains: Vec<String>,
}

/// The generators.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BuiltinName {
    /// The invented worlds: shop, med, law, lang, cal, unit, intent, edit.
    Domains,
}

/// One file of examples.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Source {
    /// The domain of every example of the file.
    pub domain: String,
    /// How the file is laid out.
    pub layout: Layout,
    /// Path as written; `data:X` lies under the data folder.
    pub path: String,
    /// Prompt template; `{prompt}` is the example's text. Default: `{prompt}`.
    pub prompt: String,
    /// At most this many examples.
    pub limit: Option<u64>,
    /// SCAN: keep commands of at most this many actions.
    pub max_actions: Option<u32>,
    /// CSV: keep this many labels, chosen by the scenario's seed.
    pub labels: Option<u32>,
    /// Keep examples whose text has at most this many characters.
    pub max_chars: Option<u32>,
    /// JSONL and CSV: the field that holds the text. Default: `prompt` (JSONL), `text` (CSV).
    pub text_column: String,
    /// JSONL and CSV: the field that holds the answer. Default: `answer` (JSONL), `category` (CSV).
    pub label_column: String,
    /// Which of two disjoint halves of the file's texts. Default: target.
    pub half: Half,
    /// Permute the labels (by the scenario's seed), so that a base cannot know them. Default: false.
    pub permute_labels: bool,
}

/// The layout of a source file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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

/// The two disjoint halves of a source's texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Half {
    /// What bases are pretrained on.
    Source,
    /// What scenarios learn.
    Target,
}

/// How private examples are dealt to devices (METHODS §7).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Split {
    /// Uniformly at random, equal sizes.
    Iid,
    /// Per category, shares of the devices drawn from Dir(alpha).
    Dirichlet(Dirichlet),
    /// Every device has examples of this many categories only.
    Pathological {
        /// The category. Default: `domain`.
        by: String,
        /// Categories per device.
        classes_per_device: u32,
    },
    /// Sorted by category and cut into shards, some per device.
    Shards(Shards),
    /// One value of a field is one device.
    Natural {
        /// The field.
        by: String,
    },
    /// Categories alike, sizes not.
    Quantity(Quantity),
    /// The assignment is read from a file.
    File {
        /// Path as written: one device number per private example, in order.
        path: String,
    },
}

/// Dirichlet label skew (NIID-Bench, Flower).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Dirichlet {
    /// The category. Default: `domain`.
    pub by: String,
    /// Concentration α, above 0.
    pub alpha: f64,
    /// Fewest examples of a device; the split is redrawn until all have them. Default: 10 (NIID-Bench).
    pub min: u64,
    /// Flower's self-balancing: a device with its fair share gets no more. Default: false.
    pub self_balancing: bool,
}

/// Shards of sorted examples (McMahan et al. 2017).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shards {
    /// The category examples are sorted by. Default: `domain`.
    pub by: String,
    /// Shards per device.
    pub per_device: u32,
    /// Examples per shard; none: floor(n / (devices · per_device)).
    pub size: Option<u64>,
    /// Keep a last, smaller shard. Default: false.
    pub keep_incomplete: bool,
}

/// How sizes differ between devices.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Quantity {
    /// Proportional to the device's number.
    Linear,
    /// Proportional to its square.
    Square,
    /// Proportional to its exponential.
    Exponential,
    /// Proportional to a lognormal draw.
    #[serde(rename = "lognormal")]
    LogNormal {
        /// Standard deviation of the logarithm, above 0.
        sigma: f64,
    },
}

/// The domains of the builtin corpus `domains` (METHODS §8.1).
pub const BUILTIN_DOMAINS: &[&str] = &["shop", "med", "law", "lang", "cal", "unit", "intent", "edit"];

pub(crate) fn read(view: View, seed: u64) -> Option<Data> {
    let sources: Vec<Source> = {
        let tables = view.tables("source");
        tables.into_iter().filter_map(source).collect()
    };
    let chosen = view.choice("corpus", &words::CORPUS).required(view.problems);
    let read_sources = chosen.as_ref().is_some_and(|(name, _)| *name == "sources");
    let corpus = chosen.and_then(|(name, corpus)| match name {
        "builtin" => builtin(corpus, seed),
        _ => {
            corpus.finish();
            Some(Corpus::Sources(sources))
        }
    });
    if read_sources && !view.has("source") {
        let error = Diagnostic::new(
            codes::MISSING_KEY,
            "`data.corpus` is `sources`, and there is no [[data.source]]",
        );
        let error = error.label(view.place("corpus"), "from where?");
        view.problems
            .add(error.help("write [[data.source]] with a domain and one of jsonl, csv, scan and spans"));
    } else if view.has("source") && corpus.is_some() && !read_sources {
        let warning = Diagnostic::new(codes::UNUSED_SOURCES, "[[data.source]] is not read");
        let warning = warning.label(view.key_place("source"), "not read");
        view.problems.add(warning.help("choose corpus.sources = {}, or remove the sources"));
    }
    let part = |key, default| {
        let read =
            |node: &Node, path: &str| portion(node, path).map_err(|error| view.problems.add(error)).ok();
        view.part(key, "0.05", read).or(Portion::Fraction(default))
    };
    let mut data = Data {
        public: part("public", 0.05),
        validation: part("validation", 0.05),
        test: part("test", 0.1),
        private: view.count("private", 1).optional(),
        split: view.choice("split", &words::SPLIT).optional().and_then(split).unwrap_or(Split::Iid),
        // The rest of the table is read even where the corpus is not right.
        corpus: corpus.unwrap_or(Corpus::Sources(Vec::new())),
    };
    let resolved = match &data.corpus {
        Corpus::Builtin(builtin) => resolve(&mut data.clone(), builtin.examples, &view),
        Corpus::Sources(sources) if sources.is_empty() => None,
        Corpus::Sources(_) => Some(data.clone()),
    };
    data = resolved?;
    view.finish();
    Some(data)
}

/// Turns fractions of a known number of examples into counts.
fn resolve(data: &mut Data, examples: u64, view: &View) -> Option<Data> {
    let held: Vec<u64> =
        [data.public, data.validation, data.test].iter().map(|part| part.of(examples)).collect();
    let fits = data.sizes(examples).filter(|sizes| data.private.is_none_or(|wanted| wanted == sizes.private));
    let Some(sizes) = fits else {
        let wanted =
            data.private.map_or("some for the devices".to_owned(), |private| format!("{private} private"));
        let message = format!(
            "{} public, {} validation and {} test examples and {wanted} do not fit in {examples}",
            held[0], held[1], held[2]
        );
        let place = ["private", "public", "test", "validation"].iter().find_map(|key| view.key_place(key));
        let error =
            Diagnostic::new(codes::NO_PRIVATE_DATA, message).label(place.or(view.at.clone()), "too many");
        view.problems.add(error.help("raise `examples`, or set less aside"));
        return None;
    };
    data.public = Portion::Count(sizes.public);
    data.validation = Portion::Count(sizes.validation);
    data.test = Portion::Count(sizes.test);
    data.private = Some(sizes.private);
    Some(data.clone())
}

/// A count, or a fraction of all examples.
fn portion(node: &Node, path: &str) -> Result<Portion, Diagnostic> {
    match node.value {
        Value::Integer(_) => reader::whole(node, path, 0).map(Portion::Count),
        Value::Float(_) => {
            let fraction = reader::number(node, path, Bound::BelowOne);
            fraction
                .map(Portion::Fraction)
                .map_err(|error| error.help("write a whole number of examples, or a fraction below 1"))
        }
        _ => Err(reader::number(node, path, Bound::BelowOne)
            .err()
            .unwrap_or_else(|| Diagnostic::new(codes::WRONG_TYPE, format!("`{path}` is a number")))
            .help("write a whole number of examples, or a fraction below 1")),
    }
}

fn builtin(view: View, seed: u64) -> Option<Corpus> {
    let name = view.word("name", &[("domains", BuiltinName::Domains)]).or(BuiltinName::Domains);
    let examples = view.count("examples", 1).required(view.problems);
    let seed = view.count("seed", 0).or(seed);
    let overlap = view.number("overlap", Bound::Fraction).or(1.0);
    let domain = |node: &Node, path: &str| {
        let written = reader::text(node, path, "\"shop\"")?;
        if BUILTIN_DOMAINS.contains(&written) {
            return Ok(written.to_owned());
        }
        let error =
            Diagnostic::new(codes::UNKNOWN_DOMAIN, format!("the builtin corpus has no domain `{written}`"));
        let help = words::suggestion(written, BUILTIN_DOMAINS.iter().copied());
        Err(error.label(node.at.clone(), "unknown").help(help))
    };
    let mut unseen_domains = view.list("unseen_domains", "[\"edit\"]", domain).or(Vec::new());
    unseen_domains.sort();
    unseen_domains.dedup();
    if unseen_domains.len() == BUILTIN_DOMAINS.len() {
        let error = Diagnostic::new(
            codes::NO_PRIVATE_DATA,
            "every domain is unseen, and none is left for the devices",
        );
        view.problems
            .add(error.label(view.place("unseen_domains"), "all of them").help("leave some domains out"));
    }
    view.finish();
    Some(Corpus::Builtin(Builtin { name, examples: examples?, seed, overlap, unseen_domains }))
}

fn source(view: View) -> Option<Source> {
    const LAYOUTS: &[(&str, Layout)] =
        &[("jsonl", Layout::Jsonl), ("csv", Layout::Csv), ("scan", Layout::Scan), ("spans", Layout::Spans)];
    let domain = view.string("domain", "\"banking\"").required(view.problems);
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
    let layout = files.first().map(|(layout, _, _)| *layout);
    let (text, label) = match layout {
        Some(Layout::Csv) => ("text", "category"),
        _ => ("prompt", "answer"),
    };
    let source = (
        view.string("prompt", "\"{prompt}\"").or("{prompt}".to_owned()),
        view.count("limit", 1).optional(),
        view.count("max_actions", 1).optional(),
        view.count("labels", 2).optional(),
        view.count("max_chars", 1).optional(),
        view.string("text_column", "\"text\"").or(text.to_owned()),
        view.string("label_column", "\"category\"").or(label.to_owned()),
        view.word("half", &[("target", Half::Target), ("source", Half::Source)]).or(Half::Target),
        view.boolean("permute_labels").or(false),
    );
    let (prompt, limit, max_actions, labels, max_chars, text_column, label_column, half, permute_labels) =
        source;
    if !prompt.contains("{prompt}") {
        let error =
            Diagnostic::new(codes::CONFLICT, format!("`{}.prompt` has no place for the text", view.path));
        view.problems.add(
            error.label(view.place("prompt"), "every prompt would be the same").help("write {prompt} in it"),
        );
    }
    for (key, fits) in [
        ("max_actions", &[Layout::Scan][..]),
        ("labels", &[Layout::Csv]),
        ("text_column", &[Layout::Csv, Layout::Jsonl]),
        ("label_column", &[Layout::Csv, Layout::Jsonl]),
    ] {
        if view.has(key) && layout.is_some_and(|layout| !fits.contains(&layout)) {
            let names = LAYOUTS.iter().filter(|(_, layout)| fits.contains(layout)).map(|(name, _)| *name);
            let error =
                Diagnostic::new(codes::CONFLICT, format!("`{}.{key}` has no meaning here", view.path));
            let help = format!("it goes with {}", words::list(names));
            view.problems.add(error.label(view.key_place(key), "not for this layout").help(help));
        }
    }
    view.finish();
    let path = files.into_iter().next()?.2?;
    Some(Source {
        domain: domain?,
        layout: layout?,
        path,
        prompt,
        limit,
        max_actions,
        labels,
        max_chars,
        text_column,
        label_column,
        half,
        permute_labels,
    })
}

fn split((name, view): (&str, View)) -> Option<Split> {
    let by = |default: &str| view.string("by", "\"domain\"").or(default.to_owned());
    let split = match name {
        "iid" => Some(Split::Iid),
        "dirichlet" => {
            let by = by("domain");
            let alpha = view.number("alpha", Bound::Positive).required(view.problems);
            let min = view.count("min", 1).or(10);
            let self_balancing = view.boolean("self_balancing").or(false);
            alpha.map(|alpha| Split::Dirichlet(Dirichlet { by, alpha, min, self_balancing }))
        }
        "pathological" => {
            let by = by("domain");
            let classes = view.count("classes_per_device", 1).required(view.problems);
            classes.map(|classes_per_device| Split::Pathological { by, classes_per_device })
        }
        "shards" => {
            let by = by("domain");
            let per_device = view.count("per_device", 1).required(view.problems);
            let size = view.count("size", 1).optional();
            let keep_incomplete = view.boolean("keep_incomplete").or(false);
            per_device.map(|per_device| Split::Shards(Shards { by, per_device, size, keep_incomplete }))
        }
        "natural" => Some(Split::Natural { by: by("domain") }),
        "quantity" => match view.chosen(&words::QUANTITY) {
            Ok((law, body)) => return quantity(law, body).map(Split::Quantity),
            Err(error) => {
                view.problems.add(error);
                return None;
            }
        },
        _ => view.string("file", "\"split.txt\"").required(view.problems).map(|path| Split::File { path }),
    };
    view.finish();
    split
}

fn quantity(law: &str, view: View) -> Option<Quantity> {
    let quantity = match law {
        "linear" => Some(Quantity::Linear),
        "square" => Some(Quantity::Square),
        "exponential" => Some(Quantity::Exponential),
        _ => {
            let sigma = view.number("sigma", Bound::Positive).required(view.problems);
            sigma.map(|sigma| Quantity::LogNormal { sigma })
        }
    };
    view.finish();
    quantity
}
