//! Recipes of bases, as their files say them.

use super::{PretrainError, Resolve};
use crate::checkpoint::{Parts, file_digest};
use crate::corpus::{self, Half, SourceKind, SourceSpec};
use crate::spec::{DecoderSpec, Family};
use cotune_kernel::bounded;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The longest recipe that is read \[B\].
const LONGEST: u64 = 16 << 20;

/// A recipe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Name of the checkpoint.
    pub name: String,
    /// Seed of weights, text and batches.
    #[serde(default = "one")]
    pub seed: u64,
    /// The model.
    pub model: ModelRecipe,
    /// The tokenizer.
    pub tokenizer: TokenizerRecipe,
    /// The text.
    pub corpus: CorpusRecipe,
    /// How long and how fast.
    pub training: TrainingRecipe,
    /// Another checkpoint to learn from.
    pub distill: Option<DistillRecipe>,
}

/// Sizes of the model; the vocabulary comes from the tokenizer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelRecipe {
    /// Which switches.
    pub family: Family,
    /// Width of the residual stream.
    pub width: usize,
    /// Blocks.
    pub layers: usize,
    /// Attention heads.
    pub heads: usize,
    /// Heads of keys and values, fewer than `heads` and a divisor of it; none: as many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kv_heads: Option<usize>,
    /// Width of the MLP.
    pub mlp: usize,
    /// Longest sequence in tokens.
    pub max_positions: usize,
}

/// A tokenizer trained on the corpus.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenizerRecipe {
    /// The scheme.
    pub kind: TokenizerKind,
    /// Number of tokens.
    pub vocab: usize,
    /// Seed of the text it is trained on; recipes that agree in scheme, vocabulary, corpus and seed have the
    /// same tokenizer.
    #[serde(default = "one")]
    pub seed: u64,
}

/// A scheme of byte-pair encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TokenizerKind {
    /// Bytes, GPT-2's scheme.
    ByteLevel,
    /// Characters with `▁` for a space, LLaMA's scheme.
    Metaspace,
}

/// Where the text comes from: exactly one of the two.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CorpusRecipe {
    /// The invented worlds.
    pub builtin: Option<BuiltinRecipe>,
    /// Real files, one domain each.
    #[serde(default)]
    pub source: Vec<SourceRecipe>,
}

/// A real file as pretraining text: its source half, answered as another world would.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceRecipe {
    /// Name of the domain.
    pub domain: String,
    /// A file of JSON lines.
    pub jsonl: Option<String>,
    /// A table with the columns `text` and `category`.
    pub csv: Option<String>,
    /// A SCAN file.
    pub scan: Option<String>,
    /// A file of annotated spans.
    pub spans: Option<String>,
    /// The most actions of a SCAN answer.
    pub max_actions: Option<usize>,
    /// The most characters of a question.
    pub max_chars: Option<usize>,
    /// How many labels of a table are kept.
    pub labels: Option<usize>,
}

impl SourceRecipe {
    /// The file and how to read it; `None` unless exactly one layout is written.
    pub(super) fn spec(&self) -> Option<(&str, SourceSpec)> {
        let (text, label) = ("text".to_string(), "category".to_string());
        let layouts = [
            (&self.jsonl, SourceKind::Jsonl),
            (&self.csv, SourceKind::Csv { text, label }),
            (&self.scan, SourceKind::Scan),
            (&self.spans, SourceKind::Spans),
        ];
        let mut written =
            layouts.into_iter().filter_map(|(path, kind)| path.as_deref().map(|path| (path, kind)));
        let (path, kind) = written.next()?;
        let mut spec = SourceSpec::new(&self.domain, kind, path);
        spec.max_actions = self.max_actions.or(spec.max_actions);
        spec.max_chars = self.max_chars.or(spec.max_chars);
        spec.labels = self.labels;
        (spec.half, spec.permute_labels) = (Some(Half::Source), true);
        written.next().is_none().then_some((path, spec))
    }
}

/// The invented worlds as pretraining text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BuiltinRecipe {
    /// `domains`.
    pub name: String,
    /// Domains that are left out of the text.
    #[serde(default)]
    pub unseen_domains: Vec<String>,
}

/// How long and how fast.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainingRecipe {
    /// Steps.
    pub steps: u64,
    /// Sequences a step.
    #[serde(default = "thirty_two")]
    pub batch: usize,
    /// Peak learning rate; warm-up over 50 steps, then a cosine down to 5 %.
    pub lr: f64,
    /// Decoupled weight decay of matrices.
    #[serde(default = "one_percent")]
    pub weight_decay: f64,
}

/// Learning from another checkpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DistillRecipe {
    /// `zoo:NAME` or `dir:PATH`, relative to the recipe.
    pub teacher: String,
    /// Share of the divergence in the loss; the rest is cross-entropy on the text.
    #[serde(default = "half")]
    pub weight: f64,
}

fn one() -> u64 {
    1
}
fn thirty_two() -> usize {
    32
}
fn one_percent() -> f64 {
    0.01
}
fn half() -> f64 {
    0.5
}

/// The layout of the folders that a recipe makes: part of the digest, so that an older folder is not taken for one.
const FORMAT: &str = "hugging face 1";

impl Recipe {
    /// Reads a recipe.
    ///
    /// # Errors
    /// The file cannot be read, does not parse, or asks for a model that cannot be built.
    pub fn read(path: &Path) -> Result<Self, PretrainError> {
        let problem = |problem: String| PretrainError::Recipe { path: path.to_path_buf(), problem };
        let text = bounded::text(path, LONGEST).map_err(|e| problem(e.to_string()))?;
        let recipe: Self = toml_edit::de::from_str(&text).map_err(|e| problem(e.to_string()))?;
        if recipe.corpus.builtin.is_some() != recipe.corpus.source.is_empty() {
            return Err(problem("write exactly one of [corpus.builtin] and [[corpus.source]]".to_string()));
        }
        let spec = recipe.spec(recipe.tokenizer.vocab);
        if let Some(wrong) = spec.problem() {
            return Err(problem(wrong));
        }
        if spec.family == Family::Bloom && spec.mlp != 4 * spec.width {
            let (mlp, width) = (4 * spec.width, spec.width);
            return Err(problem(format!(
                "bloom's files have no key for `mlp`: write mlp = {mlp}, 4 times {width}"
            )));
        }
        if spec.kv_heads != spec.heads && !matches!(spec.family, Family::Llama | Family::Qwen2) {
            return Err(problem("`kv_heads` is for the families llama and qwen2".to_string()));
        }
        if !spec.width.is_multiple_of(spec.heads) {
            return Err(problem(format!("width {} is not divisible by {} heads", spec.width, spec.heads)));
        }
        Ok(recipe)
    }

    /// BLAKE3 (hex) of everything that decides the result except the files it names.
    pub fn digest(&self) -> String {
        let json = serde_json::to_string(self).expect("a recipe is JSON");
        blake3::hash(json.as_bytes()).to_hex().to_string()
    }

    /// [`Recipe::digest`] together with the content of the files it names: equal digests make equal bases.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn digest_with_files(&self, resolve: &Resolve<'_>) -> Result<String, PretrainError> {
        let mut hasher = blake3::Hasher::new();
        hasher.update(FORMAT.as_bytes());
        hasher.update(self.digest().as_bytes());
        for path in self.sources() {
            let wrong = |problem| PretrainError::Recipe { path: PathBuf::from(path), problem };
            let place = resolve(path).map_err(wrong)?;
            let bytes = bounded::bytes(&place, corpus::LONGEST);
            hasher.update(&bytes.map_err(|e| wrong(format!("{}: {e}", place.display())))?);
        }
        if let Some(folder) = self.teacher() {
            let wrong = |problem| PretrainError::Recipe { path: PathBuf::from(folder), problem };
            let parts = resolve(folder).and_then(|place| Parts::of(&place).map_err(|e| e.to_string()));
            let digest = |name: &str| {
                let place = resolve(&format!("{folder}/{name}"))?;
                file_digest(&place, u64::MAX).map_err(|e| format!("{}: {e}", place.display()))
            };
            hasher.update(parts.and_then(|parts| parts.digest(digest)).map_err(wrong)?.as_bytes());
        }
        Ok(hasher.finalize().to_hex().to_string())
    }

    /// The files of its corpus, as written.
    pub fn sources(&self) -> impl Iterator<Item = &str> {
        self.corpus.source.iter().filter_map(SourceRecipe::spec).map(|(path, _)| path)
    }

    /// The folder of the checkpoint that it learns from, as written; none where that is of the zoo, or there is none.
    pub fn teacher(&self) -> Option<&str> {
        self.distill.as_ref()?.teacher.strip_prefix("dir:")
    }

    pub(super) fn spec(&self, vocab: usize) -> DecoderSpec {
        let m = &self.model;
        let spec = DecoderSpec::of(m.family, vocab, m.width, m.layers, m.heads, m.mlp, m.max_positions);
        DecoderSpec { kv_heads: m.kv_heads.unwrap_or(m.heads), ..spec }
    }
}

impl CorpusRecipe {
    pub(super) fn describe(&self) -> String {
        match &self.builtin {
            Some(builtin) => format!("builtin {}, source world", builtin.name),
            None => {
                let domains: Vec<_> = self.source.iter().map(|s| s.domain.as_str()).collect();
                format!("files: {}", domains.join(", "))
            }
        }
    }
}
