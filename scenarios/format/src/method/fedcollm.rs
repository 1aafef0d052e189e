//! `[method.fedcollm]`.

use super::read::{Models, aggregate, alignment, optimizer, relay_for_all, steps, two_models};
use super::{Aggregate, Align, Alignment, Fallback, Optimizer, Relay, Seen, Steps, Table, VocabularyMap};
use crate::reader::{Bound, View};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// FedCoLLM (arXiv 2411.11707): one SLM for all devices, averaged, and mutual learning with the LLM at the cloud.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FedCoLlm {
    /// The cloud's LLM, f. Default: the model called `cloud`.
    pub cloud: String,
    /// The one SLM that every device tunes and serves, g, whatever its class runs otherwise. Default: the model called
    /// `proxy`.
    pub slm: String,
    /// Steps of a device per round. Default: tune 40 (chosen: what co-plms does in all).
    pub device_steps: Steps,
    /// Steps of the cloud per round. Default: mutual 40 (chosen: what co-plms does).
    pub cloud_steps: Steps,
    /// Examples per step. Default: 16.
    pub batch: u32,
    /// The optimizer.
    pub optimizer: Optimizer,
    /// λ of both divergences. Default: 1 (the paper's).
    pub lambda: f64,
    /// Teacher logits kept per position, K. Default: 128 (the authors' code).
    pub top_k: u32,
    /// Temperature τ. Default: 1 (the paper's).
    pub temperature: f64,
    /// How positions are matched, where the two tokenizers differ. Default: bytes.
    pub align: Align,
    /// What stands in for an unmatched position, which there are under `bytes` too. Default: off.
    pub fallback: Fallback,
    /// How the vocabularies are matched. Default: first-token (bytes), edit (dtw).
    pub vocab: VocabularyMap,
    /// Weights of the mean over the devices' adapters. Default: uniform (the paper's; the authors' code weighs).
    pub aggregate: Aggregate,
    /// A relay set that the SLM makes and the LLM learns from (ours); none: the paper's method.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relay: Option<Relay>,
}

impl Table for FedCoLlm {
    fn cloud_model(&self) -> Option<&str> {
        Some(&self.cloud)
    }

    fn proxy_model(&self) -> Option<&str> {
        Some(&self.slm)
    }

    fn trains<'a>(&'a self, _edge: &[&'a str]) -> Vec<&'a str> {
        let cloud = Some(self.cloud.as_str()).filter(|_| self.cloud_steps.mutual > 0);
        [self.slm.as_str()].into_iter().chain(cloud).collect()
    }

    fn reads_public(&self) -> Option<&'static str> {
        (self.cloud_steps.mutual > 0).then_some("the cloud learns")
    }

    fn relay(&self) -> Option<&Relay> {
        self.relay.as_ref()
    }

    fn aggregate(&self) -> Option<&Aggregate> {
        Some(&self.aggregate)
    }

    fn optimizer(&self) -> Option<&Optimizer> {
        Some(&self.optimizer)
    }

    fn alignment(&self) -> Option<Alignment> {
        Some(Alignment { align: self.align, fallback: self.fallback, vocab: self.vocab })
    }

    fn device_steps_mut(&mut self) -> Option<&mut Steps> {
        Some(&mut self.device_steps)
    }

    fn steps_mut(&mut self) -> Vec<&mut Steps> {
        vec![&mut self.device_steps, &mut self.cloud_steps]
    }

    fn relay_mut(&mut self) -> Option<&mut Relay> {
        self.relay.as_mut()
    }

    /// Devices learn from no relay set.
    fn relay_starts(&self) -> Option<u32> {
        self.relay.as_ref().map(|relay| relay.from_round.cloud)
    }

    fn seen(&self) -> [Seen; 2] {
        let cloud = self.cloud_steps.mutual > 0;
        [
            Seen { private: self.device_steps.tune > 0, ..Seen::default() },
            Seen { private: false, public: cloud, relay: cloud && self.relay.is_some() },
        ]
    }
}

pub(super) fn read(view: View, models: &Models) -> Option<FedCoLlm> {
    let (cloud, slm) = two_models(&view, models, "slm");
    let device_steps = steps(&view, "device_steps", Steps { tune: 40, mutual: 0 }, &["tune"]);
    let cloud_steps = steps(&view, "cloud_steps", Steps { tune: 0, mutual: 40 }, &["mutual"]);
    let batch = view.count("batch", 1).or(16);
    let optimizer = optimizer(&view);
    let lambda = view.number("lambda", Bound::NonNegative).or(1.0);
    let top_k = view.count("top_k", 1).or(128);
    let temperature = view.number("temperature", Bound::Positive).or(1.0);
    let Alignment { align, fallback, vocab } = alignment(&view, Align::Bytes);
    let aggregate = if view.has("aggregate") { aggregate(&view) } else { Aggregate::Uniform };
    let relay = view.table("relay").optional().map(relay_for_all);
    view.finish();
    Some(FedCoLlm {
        cloud: cloud?,
        slm: slm?,
        device_steps,
        cloud_steps,
        batch,
        optimizer,
        lambda,
        top_k,
        temperature,
        align,
        fallback,
        vocab,
        aggregate,
        relay,
    })
}
