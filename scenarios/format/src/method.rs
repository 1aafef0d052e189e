//! `[method]`: who learns what from whom (METHODS §2 and §5).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The method, exactly one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// Nothing is trained; the reference row.
    ZeroShot(ZeroShot),
    /// Every device trains alone, and the cloud on its public data.
    Standalone(Standalone),
    /// Federated averaging of adapters (FedIT).
    #[serde(rename = "fedavg")]
    FedAvg(FedAvg),
    /// Co-tuning with a travelling proxy model (Co-PLMs).
    CoPlms(Box<CoPlms>),
    /// Federated averaging on the proxy and relay distillation: the control for co-plms.
    ProxyRelay(Box<ProxyRelay>),
}

impl Method {
    /// The method's name in the scenario language.
    pub fn name(&self) -> &'static str {
        match self {
            Self::ZeroShot(_) => "zero-shot",
            Self::Standalone(_) => "standalone",
            Self::FedAvg(_) => "fedavg",
            Self::CoPlms(_) => "co-plms",
            Self::ProxyRelay(_) => "proxy-relay",
        }
    }

    /// The cloud's LLM (a name in `[models]`), where the method has one.
    pub fn cloud_model(&self) -> Option<&str> {
        match self {
            Self::ZeroShot(method) => method.cloud.as_deref(),
            Self::Standalone(method) => method.cloud.as_deref(),
            Self::FedAvg(_) => None,
            Self::CoPlms(method) => Some(&method.cloud),
            Self::ProxyRelay(method) => Some(&method.cloud),
        }
    }

    /// The proxy (a name in `[models]`), where the method has one.
    pub fn proxy_model(&self) -> Option<&str> {
        match self {
            Self::ZeroShot(method) => method.proxy.as_deref(),
            Self::Standalone(_) => None,
            Self::FedAvg(method) => match &method.on {
                Averaged::Proxy(model) => Some(model),
                Averaged::Edge => None,
            },
            Self::CoPlms(method) => Some(&method.proxy),
            Self::ProxyRelay(method) => Some(&method.proxy),
        }
    }

    /// The relay set, where the method has one.
    pub fn relay(&self) -> Option<&Relay> {
        match self {
            Self::ZeroShot(_) | Self::Standalone(_) | Self::FedAvg(_) => None,
            Self::CoPlms(method) => method.relay.as_ref(),
            Self::ProxyRelay(method) => Some(&method.relay),
        }
    }

    /// The optimizer, where the method trains.
    pub fn optimizer(&self) -> Option<&Optimizer> {
        match self {
            Self::ZeroShot(_) => None,
            Self::Standalone(method) => Some(&method.optimizer),
            Self::FedAvg(method) => Some(&method.optimizer),
            Self::CoPlms(method) => Some(&method.optimizer),
            Self::ProxyRelay(method) => Some(&method.optimizer),
        }
    }
}

/// Bases as they are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ZeroShot {
    /// The cloud's LLM. Default: the model called `cloud`, if there is one.
    pub cloud: Option<String>,
    /// The proxy. Default: the model called `proxy`, if there is one.
    pub proxy: Option<String>,
}

/// Every party alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Standalone {
    /// The LLM that the cloud trains on public data. Default: the model called `cloud`, if there is one.
    pub cloud: Option<String>,
    /// Devices train on the public data too. Default: false.
    pub public: bool,
    /// Steps of a device per round. Default: tune 40 (chosen: what co-plms does in all).
    pub device_steps: Steps,
    /// Steps of the cloud per round. Default: tune 40 (chosen: what co-plms does).
    pub cloud_steps: Steps,
    /// Examples per step. Default: 16.
    pub batch: u32,
    /// The optimizer.
    pub optimizer: Optimizer,
}

/// Federated averaging: A̅ = Σ w A, B̅ = Σ w B.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FedAvg {
    /// What is averaged.
    pub on: Averaged,
    /// Steps of a device per round. Default: tune 40 (chosen: what co-plms does in all).
    pub device_steps: Steps,
    /// Examples per step. Default: 16.
    pub batch: u32,
    /// The optimizer.
    pub optimizer: Optimizer,
    /// Weights of the mean. Default: weighted.
    pub aggregate: Aggregate,
}

/// What federated averaging averages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Averaged {
    /// One shared model, by name, on every device.
    Proxy(String),
    /// The devices' own models, per architecture group.
    Edge,
}

/// Co-PLMs (arXiv 2511.11678) as reconstructed in METHODS §2.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CoPlms {
    /// The cloud's LLM, M_L. Default: the model called `cloud`.
    pub cloud: String,
    /// The travelling proxy, P. Default: the model called `proxy`.
    pub proxy: String,
    /// Which adapters domain-specific tuning trains. Default: both.
    pub dst: DomainTuning,
    /// Steps of a device per round: E_d and E_m. Default: 20 and 20.
    pub device_steps: Steps,
    /// Steps of the cloud per round: E_s as `mutual`; `tune` is 0. Default: 40.
    pub cloud_steps: Steps,
    /// Examples per step. Default: 16.
    pub batch: u32,
    /// The optimizer.
    pub optimizer: Optimizer,
    /// Structure-agnostic mutual learning.
    pub saml: Saml,
    /// The relay set; none: the plain reconstruction.
    pub relay: Option<Relay>,
    /// Weights of the mean over the proxies' adapters. Default: weighted.
    pub aggregate: Aggregate,
}

/// Optimizer steps of one party in one round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Steps {
    /// On cross-entropy alone.
    pub tune: u32,
    /// Of mutual learning.
    pub mutual: u32,
}

/// Which adapters domain-specific tuning trains.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DomainTuning {
    /// α_i, on the device's model.
    Slm,
    /// θ_i, on its copy of the proxy.
    Proxy,
    /// α_i and θ_i.
    Both,
    /// δ_i, a second adapter of the proxy that stays on the device.
    DomainAdapter,
    /// None: no domain-specific tuning.
    Off,
}

/// How updates become one. The robust rules count every device alike, whatever examples it claims to have.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Aggregate {
    /// The mean, w_k = n_k / Σn. Also written `mean`.
    Weighted,
    /// The mean, w_k = 1 / K.
    Uniform,
    /// The mean, w_k = n_k / Σn, of updates that are shortened to a norm (Sun et al. 2019).
    NormClip {
        /// Largest L2 norm of an update's change; none: the median of the norms of the round.
        norm: Option<f64>,
    },
    /// The median of every coordinate (Yin et al. 2018).
    Median,
    /// The mean of every coordinate without its extremes (Yin et al. 2018).
    TrimmedMean {
        /// Fraction of the updates left out at either end, in [0, 0.5). Default: 0.1 (chosen).
        trim: f64,
    },
    /// The updates that are closest to others (Blanchard et al. 2017).
    Krum {
        /// Corrupt updates that are expected, f. Default: none, as many as can be borne: (K − 3) / 2 of K.
        byzantine: Option<u32>,
        /// Updates averaged, m: 1 is Krum, more is Multi-Krum. Default: 1.
        keep: u32,
    },
}

/// The optimizer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Optimizer {
    /// AdamW (Loshchilov & Hutter 2019).
    #[serde(rename = "adamw")]
    AdamW(AdamW),
}

/// AdamW; defaults from METHODS §8.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AdamW {
    /// Learning rate on devices. Default: 1e-2.
    pub lr: f64,
    /// Learning rate at the cloud. Default: 5e-3.
    pub cloud_lr: f64,
    /// Decoupled weight decay. Default: 0.01 (PyTorch).
    pub weight_decay: f64,
    /// Largest gradient norm; none: no clipping (`"off"`). Default: 1.
    pub clip: Option<f64>,
    /// The learning rate over the rounds. Default: cosine.
    pub schedule: Schedule,
    /// Final learning rate as a fraction of the first, in [0, 1]. Default: 0.15.
    pub floor: f64,
    /// Decay of the first and second moments, β1 and β2. Default: 0.9 and 0.999 (PyTorch).
    pub betas: [f64; 2],
    /// Added to the root of the second moment. Default: 1e-8 (PyTorch).
    pub eps: f64,
    /// The first steps, over which the rate rises in a line to what the schedule says. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warm_up: Option<WarmUp>,
    /// Examples whose gradient is computed at once in a step on cross-entropy alone: a step sums over its micro-batches,
    /// in their order, each with its share of the mean. Default: all of a step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub micro_batch: Option<u32>,
}

/// The first steps of a party.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum WarmUp {
    /// So many steps, counted as if the party took part in every round.
    Steps(u32),
    /// This fraction of the steps of all rounds of the budget, in (0, 1).
    Fraction(f64),
}

/// The learning rate over the budget's rounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Schedule {
    /// Half a cosine from the first rate to the floor.
    Cosine,
    /// A line from the first rate to the floor.
    Linear,
    /// The first rate throughout.
    Constant,
}

/// Structure-agnostic mutual learning (METHODS §2.1).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Saml {
    /// How positions are matched. Default: bytes.
    pub align: Align,
    /// What stands in for an unmatched position under `dtw`. Default: off.
    pub fallback: Fallback,
    /// How the vocabularies are matched. Default: first-token (bytes), edit (dtw).
    pub vocab: VocabularyMap,
    /// Teacher logits kept per position, K. Default: 16.
    pub top_k: u32,
    /// A bucket for the rest of the probability. Default: false.
    pub rest: bool,
    /// Temperature τ. Default: 1.
    pub temperature: f64,
    /// The divergence. Default: forward.
    pub kl: Divergence,
    /// How the divergence joins the cross-entropy. Default: additive.
    pub combine: Combine,
    /// Whether both sides step at once. Default: simultaneous.
    pub update: Update,
    /// λ of every direction, for `combine = "additive"`.
    pub weight: SamlWeights,
    /// Which examples device SAML runs on. Default: private.
    pub data: SamlData,
}

/// λ of the four directions; defaults from METHODS §8 point 3.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SamlWeights {
    /// The device's model learns from the proxy. Default: 0.5.
    pub proxy_to_edge: f64,
    /// The proxy learns from the device's model. Default: 0.1.
    pub edge_to_proxy: f64,
    /// The cloud's LLM learns from the proxy. Default: 1.0.
    pub proxy_to_cloud: f64,
    /// The proxy learns from the cloud's LLM. Default: 0.1.
    pub cloud_to_proxy: f64,
}

/// How positions of two tokenizations are matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Align {
    /// Equal byte offsets of the consumed prefixes (GOLD, ALM, X-Token).
    Bytes,
    /// Dynamic time warping over token strings (FuseLLM, FedMKT).
    Dtw,
}

/// What stands in for an unmatched position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Fallback {
    /// No divergence there.
    Off,
    /// One-hot on the next token.
    Target,
    /// One-hot on the token itself: FATE's off-by-one, for parity.
    Fate,
}

/// How teacher tokens become student tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum VocabularyMap {
    /// Equal byte strings only.
    Equal,
    /// Equal, or else the first token of the student's encoding.
    FirstToken,
    /// Equal, or else the least edit distance.
    Edit,
}

/// The divergence between pooled teacher and student.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Divergence {
    /// KL(teacher ‖ student).
    Forward,
    /// KL(student ‖ teacher).
    Reverse,
    /// Jensen-Shannon.
    Jsd,
}

/// How the divergence joins the cross-entropy.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Combine {
    /// CE + λ·τ²·KL with the direction's λ.
    Additive,
    /// λ·CE + (1 − λ)·KL, one λ for all directions.
    Convex {
        /// λ, in [0, 1].
        lambda: f64,
    },
}

/// Whether both sides of mutual learning step at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Update {
    /// Both in the same step.
    Simultaneous,
    /// One after the other.
    Alternating,
}

/// Which examples device SAML runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SamlData {
    /// The device's own.
    Private,
    /// The cloud's.
    Public,
}

/// The relay set (METHODS §8 point 2): prompts and answers the proxy generates itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Relay {
    /// Prompts sampled per round. Default: 256.
    pub prompts: u32,
    /// Relay examples beside every step's batch. Default: 16.
    pub batch: u32,
    /// Longest answer \[tokens\]. Default: 48.
    pub max_tokens: u32,
    /// The first round (from 1) with a relay set. Default: device 3, cloud 2.
    pub from_round: RelayStart,
    /// Whether relay examples must prove themselves. Default: none.
    pub guard: Guard,
    /// How every side comes by the prompts. Default: resample.
    pub delivery: Delivery,
    /// Weight of the divergence on relay examples. Default: 1.
    pub weight: f64,
    /// Weight of the cross-entropy on the proxy's answers. Default: 1.
    pub ce: f64,
}

/// The first round with a relay set, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RelayStart {
    /// On devices.
    pub device: u32,
    /// At the cloud.
    pub cloud: u32,
}

/// Whether relay examples must prove themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Guard {
    /// All are used.
    None,
    /// Only in domains where the proxy's loss on labelled held-out data is below the receiver's.
    DualMinCe,
}

/// How every side comes by the relay prompts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Delivery {
    /// Every side samples them itself (FLOPs are charged).
    Resample,
    /// The cloud sends them (bytes are charged).
    Send,
}

mod proxy_relay;
mod read;

pub use proxy_relay::ProxyRelay;
pub(crate) use read::{read, unknown_model};
