//! Making a base: a recipe in TOML, a corpus, and training of every weight.
//!
//! A recipe has these tables (see `models/zoo/*.toml`):
//!
//! ```toml
//! name = "llm"
//! seed = 1
//! [model]                      # family = "llama" | "gpt2" | "bloom"
//! family = "llama"
//! width = 160
//! layers = 4
//! heads = 4
//! mlp = 432
//! max_positions = 96
//! [tokenizer]                  # kind = "byte-level" | "metaspace", trained on the corpus
//! kind = "byte-level"
//! vocab = 1024
//! [corpus.builtin]             # or [[corpus.source]]: domain, and one of jsonl, csv, scan, spans = FILE
//! name = "domains"
//! [training]
//! steps = 700
//! lr = 2e-3
//! # [distill]                  # learn from another checkpoint's distribution instead of the text alone
//! # teacher = "zoo:llm"
//! ```
//!
//! The same recipe gives the same bytes: text, weights and batches come from keyed streams.

use crate::adapter::Layout;
use crate::align::{AlignSpec, Aligner, CachedAligner};
use crate::base::{Base, BaseError, HostWeights, save_checkpoint};
use crate::batch::{Batch, Sequence};
use crate::checkpoint::{CheckpointError, Precision};
use crate::corpus::{self, Half, Row, SourceKind, SourceSpec};
use crate::device::Compute;
use crate::kernels::head::{Divergence, SoftTargets};
use crate::learner::{Distillation, Learner, Lesson, Trained, answer_logits, host, reader};
use crate::mutual::{Pooling, soften};
use crate::optimizer::{AdamW, Schedule};
use crate::spec::{DecoderSpec, Family};
use crate::tokenizer::Tokenizer;
use cotune_kernel::stream::Stream;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

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
    fn spec(&self) -> Option<(&str, SourceSpec)> {
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

/// Why a base cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum PretrainError {
    /// The recipe does not parse.
    #[error("{path}: {problem}", path = path.display())]
    Recipe {
        /// The recipe.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// Only models of one tokenizer can be distilled here.
    #[error(
        "the tokenizer of the teacher {teacher} is not that of {student}: distil between models that share one"
    )]
    Teacher {
        /// The teacher.
        teacher: String,
        /// Who should learn.
        student: String,
    },
    /// A text cannot be read.
    #[error(transparent)]
    Corpus(#[from] corpus::CorpusError),
    /// The tokenizer cannot be trained.
    #[error(transparent)]
    Tokenizer(#[from] crate::tokenizer::TokenizerError),
    /// A checkpoint cannot be read or written.
    #[error(transparent)]
    Base(#[from] BaseError),
}

/// What is known of a finished base, stored as `card.json` beside it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Card {
    /// Name of the checkpoint.
    pub name: String,
    /// Family in words.
    pub family: String,
    /// Number of weights.
    pub parameters: usize,
    /// Tokens of the tokenizer.
    pub vocab: usize,
    /// Where the text came from.
    pub corpus: String,
    /// Steps trained.
    pub steps: u64,
    /// Tokens trained on, padding included.
    pub tokens: u64,
    /// Mean loss over the last tenth of the steps, nats a token of text.
    pub loss: f64,
}

/// Steps of linear warm-up (chosen, as in the feasibility study).
const WARM_UP: u64 = 50;
/// Where the learning rate ends, as a share of its peak (chosen, as in the feasibility study).
const FLOOR: f64 = 0.05;
/// Texts a tokenizer is trained on (chosen, as in the feasibility study).
const TOKENIZER_TEXTS: usize = 6_000;
/// Teacher entries kept when distilling; the rest is a bucket of its own (chosen).
const DISTILL_TOP_K: usize = 32;

impl Recipe {
    /// Reads a recipe.
    ///
    /// # Errors
    /// The file cannot be read, does not parse, or asks for a model that cannot be built.
    pub fn read(path: &Path) -> Result<Self, PretrainError> {
        let problem = |problem: String| PretrainError::Recipe { path: path.to_path_buf(), problem };
        let text = std::fs::read_to_string(path).map_err(|e| problem(e.to_string()))?;
        let recipe: Self = toml_edit::de::from_str(&text).map_err(|e| problem(e.to_string()))?;
        if recipe.corpus.builtin.is_some() != recipe.corpus.source.is_empty() {
            return Err(problem("write exactly one of [corpus.builtin] and [[corpus.source]]".to_string()));
        }
        match recipe.spec(recipe.tokenizer.vocab).problem() {
            Some(wrong) => Err(problem(wrong)),
            None => Ok(recipe),
        }
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
        hasher.update(self.digest().as_bytes());
        for (path, _) in self.corpus.source.iter().filter_map(SourceRecipe::spec) {
            let wrong = |problem| PretrainError::Recipe { path: PathBuf::from(path), problem };
            let place = resolve(path).map_err(wrong)?;
            hasher.update(&std::fs::read(&place).map_err(|e| wrong(format!("{}: {e}", place.display())))?);
        }
        Ok(hasher.finalize().to_hex().to_string())
    }

    fn spec(&self, vocab: usize) -> DecoderSpec {
        let m = &self.model;
        DecoderSpec::of(m.family, vocab, m.width, m.layers, m.heads, m.mlp, m.max_positions)
    }
}

/// Text to learn from: prompts with their answers.
enum Text {
    Builtin { unseen_domains: Vec<String> },
    Files(Vec<Vec<Row>>),
}

impl Text {
    fn open(recipe: &CorpusRecipe, resolve: &Resolve<'_>) -> Result<Self, PretrainError> {
        if let Some(builtin) = &recipe.builtin {
            return Ok(Self::Builtin { unseen_domains: builtin.unseen_domains.clone() });
        }
        let wrong = |path: &str, problem| PretrainError::Recipe { path: PathBuf::from(path), problem };
        let mut files = Vec::new();
        for source in &recipe.source {
            let Some((path, mut spec)) = source.spec() else {
                let problem = "write exactly one of jsonl, csv, scan, spans".to_string();
                return Err(wrong(&source.domain, problem));
            };
            spec.path = resolve(path).map_err(|problem| wrong(path, problem))?;
            files.push(corpus::read_file(&spec)?.rows);
        }
        Ok(Self::Files(files))
    }

    /// `n` prompts with their answers; every file is as likely as another.
    fn draw(&self, mut stream: Stream, n: usize) -> Result<Vec<(String, String)>, PretrainError> {
        Ok(match self {
            Self::Builtin { unseen_domains } => corpus::source_text(stream, n, unseen_domains)?
                .map(|mut example| (example.prompt, example.answers.remove(0)))
                .collect(),
            Self::Files(domains) => (0..n)
                .map(|_| {
                    let domain = &domains[stream.below(domains.len() as u64) as usize];
                    let row = &domain[stream.below(domain.len() as u64) as usize];
                    (row.prompt.clone(), row.answers[0].clone())
                })
                .collect(),
        })
    }
}

/// Turns a path of a recipe into one of this computer, or says why not.
pub type Resolve<'a> = dyn Fn(&str) -> Result<PathBuf, String> + 'a;

/// Makes the base of a recipe and writes it to `directory`.
///
/// `resolve` turns a path of the recipe into one of this computer; `progress(step, loss)` is called now and
/// then.
///
/// # Errors
/// A text, the teacher or the directory fails.
pub fn pretrain(
    recipe: &Recipe,
    directory: &Path,
    compute: &Compute,
    resolve: &Resolve<'_>,
    progress: &mut dyn FnMut(u64, f64),
) -> Result<Card, PretrainError> {
    let text = Text::open(&recipe.corpus, resolve)?;
    let tokenizer = train_tokenizer(&recipe.tokenizer, &text)?;
    let spec = recipe.spec(tokenizer.vocab_size());
    let base = Base::new(&recipe.name, spec.clone(), tokenizer, &fresh_weights(&spec, recipe.seed), compute);
    let teacher = recipe.distill.as_ref().map(|d| Teacher::open(d, &base, resolve)).transpose()?;
    let layout = Layout::full(&spec);
    let values =
        layout.init(&mut Stream::keyed(recipe.seed, "pretrain/unused"), |name| base.host_values(name));
    let rule = AdamW { weight_decay: recipe.training.weight_decay, ..AdamW::default() };
    let mut learner = Learner::new(&base, &layout, &Trained { values, ..Trained::default() }, rule);
    let (mut tokens, mut last_losses) = (0, Vec::new());
    for step in 0..recipe.training.steps {
        let stream = Stream::keyed(recipe.seed, &format!("pretrain/step/{step}"));
        let sequences: Vec<Sequence> = text
            .draw(stream, recipe.training.batch)?
            .iter()
            .filter_map(|(prompt, answer)| {
                Sequence::encode(base.tokenizer(), prompt, answer, base.spec().max_positions)
            })
            .collect();
        let batch = Batch::pack_whole(&sequences.iter().collect::<Vec<_>>(), base.tokenizer().pad());
        tokens += batch.computed_tokens();
        let soft = teacher.as_ref().map(|teacher| teacher.view(&batch));
        whole_step(&mut learner, batch, soft, learning_rate(&recipe.training, step));
        if step % 50 == 49 || step + 1 == recipe.training.steps {
            let (loss, done) = (learner.latest_loss(), step + 1);
            progress(done, loss);
            if done * 10 >= recipe.training.steps * 9 {
                last_losses.push(loss);
            }
        }
    }
    let host = host_weights(&layout, &learner.finish().0);
    save_checkpoint(directory, &spec, Some(base.tokenizer()), Precision::F16, |name| host[name].clone())?;
    let card = Card {
        name: recipe.name.clone(),
        family: spec.family_name(),
        parameters: spec.parameters(),
        vocab: base.tokenizer().vocab_size(),
        corpus: recipe.corpus.describe(),
        steps: recipe.training.steps,
        tokens,
        loss: last_losses.iter().sum::<f64>() / last_losses.len() as f64,
    };
    let path = directory.join("card.json");
    std::fs::write(&path, serde_json::to_string_pretty(&card).expect("a card is JSON") + "\n")
        .map_err(|source| BaseError::from(CheckpointError::Io { path, source }))?;
    Ok(card)
}

impl CorpusRecipe {
    fn describe(&self) -> String {
        match &self.builtin {
            Some(builtin) => format!("builtin {}, source world", builtin.name),
            None => {
                let domains: Vec<_> = self.source.iter().map(|s| s.domain.as_str()).collect();
                format!("files: {}", domains.join(", "))
            }
        }
    }
}

/// Weights before training: normal, 0.6/√inputs for linear maps, 0.05 for the embedding and 0.02 for positions
/// (chosen, as in the feasibility study); gains 1, biases 0.
fn fresh_weights(spec: &DecoderSpec, seed: u64) -> HostWeights {
    spec.tensors()
        .into_iter()
        .map(|(name, shape)| {
            let count = shape.iter().product();
            let mut stream = Stream::keyed(seed, &format!("pretrain/weights/{name}"));
            let mut normal = |sd: f64| (0..count).map(|_| (stream.normal() * sd) as f32).collect();
            let values = match name.as_str() {
                "embedding" => normal(0.05),
                "positions" => normal(0.02),
                _ if name.ends_with(".gain") => vec![1.0; count],
                _ if name.ends_with(".bias") => vec![0.0; count],
                _ => normal(0.6 / (shape[0] as f64).sqrt()),
            };
            (name, values)
        })
        .collect()
}

fn train_tokenizer(recipe: &TokenizerRecipe, text: &Text) -> Result<Tokenizer, PretrainError> {
    let stream = Stream::keyed(recipe.seed, "pretrain/tokenizer");
    let drawn = text.draw(stream, TOKENIZER_TEXTS)?;
    let texts: Vec<String> = drawn.into_iter().map(|(prompt, answer)| prompt + &answer).collect();
    let texts = texts.iter().map(String::as_str);
    Ok(match recipe.kind {
        TokenizerKind::ByteLevel => Tokenizer::train_byte_level(texts, recipe.vocab)?,
        TokenizerKind::Metaspace => Tokenizer::train_metaspace(texts, recipe.vocab)?,
    })
}

fn learning_rate(training: &TrainingRecipe, step: u64) -> f64 {
    let warm = ((step + 1) as f64 / WARM_UP as f64).min(1.0);
    training.lr * warm * Schedule::Cosine.factor(step as f64 / training.steps as f64, FLOOR)
}

/// How [`distill`] trains.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DistillSteps {
    /// Steps.
    pub steps: u64,
    /// Texts a step.
    pub batch: usize,
    /// Learning rate, constant.
    pub lr: f64,
    /// Seed of the batches.
    pub seed: u64,
}

/// A base that learned the distribution of `teacher` on the given prompts and answers, every weight of `student`
/// trained (forward KL, τ = 1, METHODS §2 "Init").
///
/// # Errors
/// The tokenizers differ.
pub fn distill(
    student: &Base,
    teacher: &Base,
    texts: &[(String, String)],
    how: DistillSteps,
) -> Result<Base, PretrainError> {
    let teacher = Teacher::new(teacher.clone(), student, 1.0)?;
    let longest = student.spec().max_positions;
    let sequences: Vec<Sequence> =
        texts.iter().filter_map(|(p, a)| Sequence::encode(student.tokenizer(), p, a, longest)).collect();
    let layout = Layout::full(student.spec());
    let values =
        layout.init(&mut Stream::keyed(how.seed, "distill/unused"), |name| student.host_values(name));
    let mut learner =
        Learner::new(student, &layout, &Trained { values, ..Trained::default() }, AdamW::default());
    for step in 0..how.steps {
        let mut stream = Stream::keyed(how.seed, &format!("distill/step/{step}"));
        let chosen: Vec<&Sequence> = (0..how.batch).filter_map(|_| stream.choice(&sequences)).collect();
        let batch = Batch::pack_whole(&chosen, student.tokenizer().pad());
        let soft = teacher.view(&batch);
        whole_step(&mut learner, batch, Some(soft), how.lr);
    }
    let host = host_weights(&layout, &learner.finish().0);
    let (name, spec) = (student.name(), student.spec().clone());
    Ok(Base::new(name, spec, student.tokenizer().clone(), &host, student.compute()))
}

/// Trained values of a full layout by tensor.
fn host_weights(layout: &Layout, trained: &Trained) -> HostWeights {
    let cut = |offset: usize, len: usize| trained.values[offset..offset + len].to_vec();
    layout.entries().iter().map(|e| (e.name.clone(), cut(e.offset, e.len()))).collect()
}

/// One step on every token of a batch, with or without a teacher.
fn whole_step(learner: &mut Learner<'_>, batch: Batch, soft: Option<(SoftTargets, f64)>, lr: f64) {
    let pass = learner.pass();
    let logits = learner.logits(&pass, &batch);
    let mut lesson = Lesson::answers(batch);
    if let Some((mut soft, share)) = soft {
        lesson.ce_weights.iter_mut().for_each(|w| *w *= (1.0 - share) as f32);
        let n = soft.rows.len().max(1) as f64;
        soft.weights.iter_mut().for_each(|w| *w = (share / n) as f32);
        lesson.soft = soft;
    }
    learner.learn(pass, logits, &lesson, Distillation { kind: Divergence::Forward, temperature: 1.0 }, lr);
}

/// A checkpoint to learn from; it has the student's tokenizer.
struct Teacher {
    base: Base,
    identity: CachedAligner,
    weight: f64,
}

impl Teacher {
    fn open(recipe: &DistillRecipe, student: &Base, resolve: &Resolve<'_>) -> Result<Self, PretrainError> {
        let wrong = |problem: String| PretrainError::Recipe { path: PathBuf::from(&recipe.teacher), problem };
        let base = match (recipe.teacher.strip_prefix("zoo:"), recipe.teacher.strip_prefix("dir:")) {
            (Some(name), _) => Base::zoo(name, student.compute())?,
            (_, Some(path)) => Base::load(&resolve(path).map_err(wrong)?, student.compute())?,
            _ => return Err(wrong("write zoo:NAME or dir:PATH as the teacher".to_string())),
        };
        Self::new(base, student, recipe.weight)
    }

    fn new(base: Base, student: &Base, weight: f64) -> Result<Self, PretrainError> {
        if base.tokenizer() != student.tokenizer() {
            let (teacher, student) = (base.name().to_string(), student.name().to_string());
            return Err(PretrainError::Teacher { teacher, student });
        }
        let identity = Aligner::new(base.tokenizer(), student.tokenizer(), AlignSpec::default());
        Ok(Self { base, identity: CachedAligner::new(identity), weight })
    }

    /// The teacher's distribution for every row of a batch, and its share of the loss.
    fn view(&self, batch: &Batch) -> (SoftTargets, f64) {
        let (vocab, device) = (self.base.spec().vocab, self.base.compute().device());
        let rows = host(answer_logits(&reader(&self.base, &[]), batch, device));
        let pooling = Pooling { top_k: DISTILL_TOP_K, rest: true, temperature: 1.0 };
        let soft = soften(&rows, vocab, &batch.targets, &batch.targets, &self.identity, pooling);
        (soft, self.weight)
    }
}
