//! `[models.<name>]`: what trains here, and what it is billed as.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::codes;
use crate::diagnostic::Diagnostic;
use crate::document::{Context, usable_name};
use crate::node::{Node, Value};
use crate::reader::{self, Bound, Shape, View};
use crate::units;
use crate::words;

/// One language model of the scenario.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Model {
    /// The checkpoint that really trains on this computer.
    pub base: Base,
    /// The shape that time, memory, bytes and energy are charged for; none: that of the base itself.
    pub bill_as: Option<Billed>,
    /// The trainable part; none: the model is only ever evaluated.
    pub adapter: Option<Adapter>,
    /// How the frozen base comes to be.
    pub init: Init,
}

/// Where a base checkpoint comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Base {
    /// `zoo:NAME`: one of the embedded checkpoints; the name alone.
    Zoo(String),
    /// `dir:PATH`: a folder in the Hugging Face layout; the path as written.
    Directory(String),
    /// `pretrain:FILE.toml`: made once from a recipe, cached by digest; the path as written.
    Pretrain(String),
}

/// A billed decoder shape, complete.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Billed {
    /// Parameters.
    pub params: u64,
    /// Number format of the frozen weights.
    pub weights: Precision,
    /// Decoder layers. Default: width/128.
    pub layers: u32,
    /// Hidden width. Default: 12 · layers · width² comes nearest to `params`.
    pub width: u32,
    /// Width of keys and values together over all key-value heads. Default: `width`.
    pub kv_width: u32,
}

/// A number format of weights or payloads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Precision {
    /// 32-bit float.
    F32,
    /// bfloat16.
    Bf16,
    /// 16-bit float.
    F16,
    /// 8-bit integer.
    Int8,
    /// 4-bit integer.
    Int4,
}

impl Precision {
    /// Bits of one value.
    pub fn bits(self) -> u32 {
        match self {
            Self::F32 => 32,
            Self::Bf16 | Self::F16 => 16,
            Self::Int8 => 8,
            Self::Int4 => 4,
        }
    }
}

/// The trainable part of a model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Adapter {
    /// Low-rank adaptation (Hu et al. 2021).
    Lora(Lora),
    /// Bottleneck adapter (Houlsby et al. 2019): h ← h + W_up σ(W_down h).
    Bottleneck {
        /// Bottleneck width m.
        size: u32,
    },
}

/// W' = W + (alpha/rank)·A·B.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Lora {
    /// Rank r.
    pub rank: u32,
    /// Scale α. Default: 2·rank (the ratio of FedMKT and of PEFT's examples).
    pub alpha: f64,
    /// The adapted matrices. Default: q and v (Hu et al. 2021, §4.2).
    pub targets: Vec<LoraTarget>,
    /// Dropout on the adapter's input, in [0, 1). Default: 0.
    pub dropout: f64,
    /// Parts of the base that train and travel whole beside the adapter. Default: none.
    pub modules_to_save: Vec<SavedModule>,
    /// The factor that stays as it is drawn and does not travel (FFA-LoRA, Sun et al. 2024). Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub freeze: Option<Factor>,
}

/// A factor of a low-rank update.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Factor {
    /// A, which reads the input.
    A,
}

/// A matrix that a LoRA adapter can sit on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LoraTarget {
    /// Query projection.
    Q,
    /// Key projection.
    K,
    /// Value projection.
    V,
    /// Attention output projection.
    O,
    /// MLP up projection.
    Up,
    /// MLP gate projection.
    Gate,
    /// MLP down projection.
    Down,
    /// One adapter over the fused query, key and value projection (GPT-2's `c_attn`).
    Qkv,
}

/// A part of the base that trains whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SavedModule {
    /// Token embeddings and the output head.
    Embeddings,
    /// Normalisation gains and biases.
    Norms,
}

/// How the frozen base of a model comes to be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Init {
    /// Loaded as it is.
    Checkpoint,
    /// Loaded, then distilled from another model on the public data before the first round
    /// (forward KL, τ = 1); only the proxy may ask for it.
    Distill(Distill),
}

/// Distillation of the proxy's base before the first round.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Distill {
    /// The teacher: a name in `[models]`.
    pub from: String,
    /// Optimizer steps. Default: 200 (chosen).
    pub steps: u32,
    /// Examples per step. Default: 16 (chosen: the methods' batch).
    pub batch: u32,
    /// Learning rate. Default: 1e-3 (chosen).
    pub lr: f64,
}

pub(crate) fn read(models: View, context: &Context) -> BTreeMap<String, Option<Model>> {
    let named = |(name, view): (&str, View)| {
        // What a model has learned is written to a folder of its name.
        usable_name(view.problems, name, view.at.clone());
        (name.to_owned(), model(view, context))
    };
    models.named_tables().into_iter().map(named).collect()
}

fn model(view: View, context: &Context) -> Option<Model> {
    let base = view
        .part(
            "base",
            "\"zoo:llm\"",
            || Shape::Text,
            |node, path| base(node, path, context).map_err(|error| view.problems.add(error)).ok(),
        )
        .required(view.problems);
    let bill_as = view.table("bill_as").optional().and_then(billed);
    let adapter = view.choice("adapter", &words::ADAPTER).optional().and_then(adapter);
    let init = view.choice("init", &words::INIT).optional().and_then(init).unwrap_or(Init::Checkpoint);
    view.finish();
    Some(Model { base: base?, bill_as, adapter, init })
}

fn base(node: &Node, path: &str, context: &Context) -> Result<Base, Diagnostic> {
    let written = reader::text(node, path, "\"zoo:llm\"")?;
    let unknown = |message: String, help: String| {
        Err(Diagnostic::new(codes::UNKNOWN_CHECKPOINT, message).label(node.at.clone(), "unknown").help(help))
    };
    match written.split_once(':') {
        Some(("zoo", name)) if context.zoo.contains(&name) => Ok(Base::Zoo(name.to_owned())),
        Some(("zoo", name)) => unknown(
            format!("the zoo has no model `{name}`"),
            words::suggestion(name, context.zoo.iter().copied()),
        ),
        Some(("dir", file)) if !file.is_empty() => Ok(Base::Directory(file.to_owned())),
        Some(("pretrain", file)) if !file.is_empty() => Ok(Base::Pretrain(file.to_owned())),
        _ => unknown(
            format!("`{path}` cannot be `{written}`"),
            if context.zoo.contains(&written) {
                format!("did you mean \"zoo:{written}\"?")
            } else {
                "write \"zoo:NAME\", \"dir:PATH\" or \"pretrain:FILE.toml\"".to_owned()
            },
        ),
    }
}

fn billed(view: View) -> Option<Billed> {
    let params = view
        .part(
            "params",
            "\"7.6B\"",
            || Shape::AnyOf(vec![Shape::Quantity(&units::PARAMETERS), Shape::Whole { least: 1 }]),
            |node, path| params(node, path).map_err(|error| view.problems.add(error)).ok(),
        )
        .required(view.problems);
    let weights = view.word(
        "weights",
        &[
            ("f32", Precision::F32),
            ("bf16", Precision::Bf16),
            ("f16", Precision::F16),
            ("int8", Precision::Int8),
            ("int4", Precision::Int4),
        ],
    );
    let weights = weights.required(view.problems);
    let layers = view.count::<u32>("layers", 1).optional();
    let width = view.count::<u32>("width", 1).optional();
    let kv_width = view.count::<u32>("kv_width", 1).optional();
    view.finish();
    let params = params?;
    let (layers, width) = decoder_shape(params, layers, width);
    Some(Billed { params, weights: weights?, layers, width, kv_width: kv_width.unwrap_or(width) })
}

/// A plain whole number, or one with k, M, B or T.
fn params(node: &Node, path: &str) -> Result<u64, Diagnostic> {
    if matches!(node.value, Value::Integer(_)) {
        return reader::whole(node, path, 1);
    }
    let params = reader::quantity(node, path, &units::PARAMETERS, Bound::AtLeastOne)?.round();
    if params <= reader::MOST_EXACT {
        return Ok(params as u64);
    }
    Err(Diagnostic::new(codes::BAD_QUANTITY, format!("`{path}` is too large"))
        .label(node.at.clone(), "out of range"))
}

/// Layers and width with 12 · layers · width² nearest to `params`; layers = width/128 where neither is given.
fn decoder_shape(params: u64, layers: Option<u32>, width: Option<u32>) -> (u32, u32) {
    let block = params as f64 / 12.0;
    match (layers, width) {
        (Some(layers), Some(width)) => (layers, width),
        (Some(layers), None) => (layers, (block / f64::from(layers)).sqrt().round().clamp(1.0, 1e9) as u32),
        (None, Some(width)) => {
            let layers = block / (f64::from(width) * f64::from(width));
            (layers.round().clamp(1.0, 1e9) as u32, width)
        }
        (None, None) => {
            // 12 · 128² · layers³ grows with layers: the nearest is at the first that is too large, or before it.
            let size = |layers: u32| 128.0 * 128.0 * f64::from(layers).powi(3);
            let above = (1..1 << 20).find(|layers| size(*layers) >= block).unwrap_or(1 << 20);
            let below = (above - 1).max(1);
            let layers = if block - size(below) < size(above) - block { below } else { above };
            (layers, 128 * layers)
        }
    }
}

fn adapter((name, view): (&str, View)) -> Option<Adapter> {
    if name == "bottleneck" {
        let size = view.count("size", 1).required(view.problems);
        view.finish();
        return size.map(|size| Adapter::Bottleneck { size });
    }
    const TARGETS: &[(&str, LoraTarget)] = &[
        ("q", LoraTarget::Q),
        ("k", LoraTarget::K),
        ("v", LoraTarget::V),
        ("o", LoraTarget::O),
        ("up", LoraTarget::Up),
        ("gate", LoraTarget::Gate),
        ("down", LoraTarget::Down),
        ("qkv", LoraTarget::Qkv),
    ];
    const SAVED: &[(&str, SavedModule)] =
        &[("embeddings", SavedModule::Embeddings), ("norms", SavedModule::Norms)];
    let rank: Option<u32> = view.count("rank", 1).required(view.problems);
    let alpha = view.number("alpha", Bound::Positive).optional();
    let targets = view
        .list(
            "targets",
            "[\"q\", \"v\"]",
            || Shape::words(TARGETS),
            |node, path| reader::word(node, path, TARGETS),
        )
        .optional();
    let dropout = view.number("dropout", Bound::BelowOne).or(0.0);
    let saved = view.list(
        "modules_to_save",
        "[\"norms\"]",
        || Shape::words(SAVED),
        |node, path| reader::word(node, path, SAVED),
    );
    let mut modules_to_save = saved.or(Vec::new());
    modules_to_save.sort();
    modules_to_save.dedup();
    let freeze = view.word("freeze", &[("a", Factor::A)]).optional();
    let targets = targets.unwrap_or(vec![LoraTarget::Q, LoraTarget::V]);
    check_targets(&view, &targets);
    view.finish();
    let alpha = alpha.unwrap_or(2.0 * f64::from(rank?));
    Some(Adapter::Lora(Lora { rank: rank?, alpha, targets, dropout, modules_to_save, freeze }))
}

fn check_targets(view: &View, targets: &[LoraTarget]) {
    let error = |message: &str, help: &str| {
        let error = Diagnostic::new(codes::CONFLICT, format!("`{}.targets` {message}", view.path));
        view.problems.add(error.label(view.place("targets"), "here").help(help));
    };
    let fused = targets.contains(&LoraTarget::Qkv);
    if targets.is_empty() && view.has("targets") {
        error("names no matrix", "write targets = [\"q\", \"v\"]");
    } else if fused && targets.iter().any(|t| matches!(t, LoraTarget::Q | LoraTarget::K | LoraTarget::V)) {
        error(
            "adapts a matrix twice",
            "`qkv` is one adapter over all three: keep either `qkv` or `q`, `k` and `v`",
        );
    } else if (1..targets.len()).any(|index| targets[..index].contains(&targets[index])) {
        error("names a matrix twice", "write every target once");
    }
}

fn init((name, view): (&str, View)) -> Option<Init> {
    if name == "checkpoint" {
        view.finish();
        return Some(Init::Checkpoint);
    }
    let from = view.string("from", "\"cloud\"").required(view.problems);
    let steps = view.count("steps", 1).or(200);
    let batch = view.count("batch", 1).or(16);
    let lr = view.number("lr", Bound::Positive).or(1e-3);
    view.finish();
    Some(Init::Distill(Distill { from: from?, steps, batch, lr }))
}
