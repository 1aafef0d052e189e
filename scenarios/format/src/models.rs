//! `[models.<name>]`: what trains here, and what it is billed as.

use serde::{Deserialize, Serialize};

/// One language model of the scenario.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
}

/// A matrix that a LoRA adapter can sit on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SavedModule {
    /// Token embeddings and the output head.
    Embeddings,
    /// Normalisation gains and biases.
    Norms,
}

/// How the frozen base of a model comes to be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Init {
    /// Loaded as it is.
    Checkpoint,
    /// Loaded, then distilled from another model on the public data before the first round
    /// (forward KL, τ = 1); only the proxy may ask for it.
    Distill(Distill),
}

/// Distillation of the proxy's base before the first round.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
