//! `[method]`: who learns what from whom.

use crate::reader::View;
use read::Models;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

mod centralized;
mod co_plms;
mod custom;
mod fedap;
mod fedavg;
mod fedcollm;
mod fedmkt;
mod optimizer;
mod proxy_relay;
mod read;
mod standalone;
mod table;
mod zero_shot;

pub use co_plms::{Combine, Divergence, DomainTuning, Saml, SamlData, SamlWeights, Update};
pub use fedavg::{Adaptive, Averaged, Local, Ranks, ServerOptimizer};
pub use fedmkt::Selection;
pub use optimizer::{AdamW, Course, Optimizer, Schedule, Sgd, WarmUp};
pub(crate) use read::{read, unknown_model};
pub use table::{Seen, Table};

/// Makes the enum of methods and everything that goes by their names. A method is a file with a table, and a line in
/// the list below.
macro_rules! methods {
    ($($(#[$about:meta])* $name:literal: $module:ident::$table:ident,)+) => {
        $(pub use $module::$table;)+

        /// The method, exactly one.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
        pub enum Method {
            $($(#[$about])* #[serde(rename = $name)] $table(Box<$table>),)+
        }

        impl Method {
            /// Every method's name in the scenario language.
            pub const NAMES: &[&str] = &[$($name),+];

            /// The method's name in the scenario language.
            pub fn name(&self) -> &'static str {
                match self { $(Self::$table(_) => $name,)+ }
            }

            /// What its table says that others need to know.
            pub fn table(&self) -> &dyn Table {
                match self { $(Self::$table(table) => table.as_ref(),)+ }
            }

            /// The same, to be changed.
            pub fn table_mut(&mut self) -> &mut dyn Table {
                match self { $(Self::$table(table) => table.as_mut(),)+ }
            }

            fn read(name: &str, view: View, models: &Models) -> Option<Self> {
                match name {
                    $($name => $module::read(view, models).map(|table| Self::$table(Box::new(table))),)+
                    _ => None,
                }
            }
        }
    };
}

methods! {
    /// Nothing is trained; the reference row.
    "zero-shot": zero_shot::ZeroShot,
    /// Every device trains alone, and the cloud on its public data.
    "standalone": standalone::Standalone,
    /// The cloud trains on everybody's data; the upper reference row.
    "centralized": centralized::Centralized,
    /// Federated averaging of adapters (FedIT).
    "fedavg": fedavg::FedAvg,
    /// Federated averaging of bottleneck adapters (FedAP).
    "fedap": fedap::FedAp,
    /// One SLM on all devices, averaged, and mutual learning with the LLM at the cloud (FedCoLLM).
    "fedcollm": fedcollm::FedCoLlm,
    /// Logits about public examples travel, both ways (FedMKT).
    "fedmkt": fedmkt::FedMkt,
    /// Co-tuning with a travelling proxy model (Co-PLMs).
    "co-plms": co_plms::CoPlms,
    /// Federated averaging on the proxy and relay distillation: the control for co-plms.
    "proxy-relay": proxy_relay::ProxyRelay,
    /// A method that a program brings which uses cotune as a library.
    "custom": custom::Custom,
}

impl Method {
    /// The cloud's LLM (a name in `[models]`), where the method has one.
    pub fn cloud_model(&self) -> Option<&str> {
        self.table().cloud_model()
    }

    /// The proxy (a name in `[models]`), where the method has one.
    pub fn proxy_model(&self) -> Option<&str> {
        self.table().proxy_model()
    }

    /// The relay set, where the method has one.
    pub fn relay(&self) -> Option<&Relay> {
        self.table().relay()
    }

    /// The optimizer, where the method trains.
    pub fn optimizer(&self) -> Option<&Optimizer> {
        self.table().optimizer()
    }
}

/// Optimizer steps of one party in one round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Steps {
    /// On cross-entropy alone.
    pub tune: u32,
    /// Of mutual learning.
    pub mutual: u32,
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

/// How the rows and tokens of two models are matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Alignment {
    /// How positions are matched.
    pub align: Align,
    /// What stands in for an unmatched position.
    pub fallback: Fallback,
    /// How the vocabularies are matched.
    pub vocab: VocabularyMap,
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

/// The relay set: prompts and answers the proxy generates itself.
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
    /// How every side comes by the prompts, where devices need them from the proxy (co-plms, proxy-relay, custom). Default:
    /// resample.
    pub delivery: Delivery,
    /// Weight of the divergence on relay examples. Default: 1.
    pub weight: f64,
    /// Weight of the cross-entropy on the proxy's answers. Default: 1.
    pub ce: f64,
    /// With `guard = "confidence"`, the least probability of an answer's tokens, as their geometric mean. Default: 0.9
    /// (chosen).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confidence: Option<f64>,
    /// Share of a device's relay examples that is drawn from the domains of its own data, in proportion to them; the rest
    /// comes from all. Default: 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub focus: Option<f64>,
}

/// The first round with a relay set, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RelayStart {
    /// On devices; fedcollm's have no use for a relay set, so that it changes nothing there.
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
    /// Only in domains where the proxy's loss on labelled data is below the receiver's. Every sixth training example of a
    /// party is kept aside for that and not trained on (chosen: the validation
    /// part is one for all devices here).
    DualMinCe,
    /// Only answers that the proxy is sure of.
    Confidence,
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
