//! Making a base: a recipe in TOML, a corpus, and training of every weight.
//!
//! A recipe has these tables (see `models/zoo/*.toml`):
//!
//! ```toml
//! name = "llm"
//! seed = 1
//! [model]
//! family = "llama"             # llama | qwen2 | gpt2 | gpt-neox | gpt-j | bloom | opt
//! width = 160
//! layers = 4
//! heads = 4                    # kv_heads = 2: fewer heads for keys and values
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

mod card;
mod distill;
mod recipe;
mod text;

use crate::adapter::Layout;
use crate::base::{Base, BaseError, HostWeights, save_checkpoint};
use crate::batch::{Batch, Sequence};
use crate::checkpoint::Precision;
use crate::corpus;
use crate::device::Compute;
use crate::kernels::head::{Divergence, SoftTargets};
use crate::learner::{Distillation, Learner, Lesson, Trained};
use crate::optimizer::{AdamW, Schedule};
use crate::spec::DecoderSpec;
use crate::tokenizer::Tokenizer;
use cotune_kernel::stream::Stream;
use distill::Teacher;
use std::path::{Path, PathBuf};
use text::Text;

pub use card::Card;
pub use distill::{DistillSteps, distill};
pub use recipe::{
    BuiltinRecipe, CorpusRecipe, DistillRecipe, ModelRecipe, Recipe, SourceRecipe, TokenizerKind,
    TokenizerRecipe, TrainingRecipe,
};

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

/// Steps of linear warm-up (chosen, as in the feasibility study).
const WARM_UP: u64 = 50;
/// Decay of the second moment, faster than PyTorch's: there are some hundred steps (chosen, as in the feasibility study).
const BETA2: f64 = 0.98;
/// Where the learning rate ends, as a share of its peak (chosen, as in the feasibility study).
const FLOOR: f64 = 0.05;
/// Texts a tokenizer is trained on (chosen, as in the feasibility study).
const TOKENIZER_TEXTS: usize = 6_000;

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
    let rule = AdamW { beta2: BETA2, weight_decay: recipe.training.weight_decay, ..AdamW::default() };
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
    let written = Base::load(directory, compute)?;
    let card = Card {
        name: recipe.name.clone(),
        family: spec.family_name(),
        parameters: spec.parameters(),
        vocab: base.tokenizer().vocab_size(),
        corpus: recipe.corpus.describe(),
        steps: recipe.training.steps,
        tokens,
        loss: last_losses.iter().sum::<f64>() / last_losses.len() as f64,
        exact_match: card::examine(&written, recipe, &text)?,
        seconds: None,
    };
    card.write(directory)?;
    Ok(card)
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

/// Trained values of a full layout by tensor.
fn host_weights(layout: &Layout, trained: &Trained) -> HostWeights {
    let cut = |offset: usize, len: usize| trained.values[offset..offset + len].to_vec();
    layout.entries().iter().map(|e| (e.name.clone(), cut(e.offset, e.len()))).collect()
}

/// One step on every token of a batch, with or without a teacher.
fn whole_step(learner: &mut Learner<'_>, batch: Batch, soft: Option<(SoftTargets, f64)>, lr: f64) {
    let mut lesson = Lesson::answers(batch);
    if let Some((mut soft, share)) = soft {
        lesson.ce_weights.iter_mut().for_each(|w| *w *= (1.0 - share) as f32);
        let n = soft.rows.len().max(1) as f64;
        soft.weights.iter_mut().for_each(|w| *w = (share / n) as f32);
        lesson.soft = soft;
    }
    let how = Distillation { kind: Divergence::Forward, temperature: 1.0 };
    learner.learn_in_parts(vec![lesson], how, lr);
}
