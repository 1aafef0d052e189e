//! `[method.fedmkt]`.

use super::read::{Models, alignment, optimizer, relay_for_all, steps};
use super::{Align, Alignment, Fallback, Optimizer, Relay, Seen, Steps, Table, VocabularyMap};
use crate::reader::{Bound, View};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// FedMKT (arXiv 2406.02224): losses and logits about the public examples travel, and nothing else. A device's exchange
/// stands at the beginning of a round, with what the cloud knew before it; in the paper it ends the round, so
/// that the first exchange here is with an LLM that has learned nothing yet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FedMkt {
    /// The cloud's LLM. Default: the model called `cloud`.
    pub cloud: String,
    /// Steps of a device per round: first `mutual` on the public examples with what the cloud knows of them, which in the
    /// paper ends the round before, then `tune` on its own. Default: 20 and 20 (chosen: in all what co-plms
    /// does).
    pub device_steps: Steps,
    /// Steps of the cloud per round on the public examples, as `mutual`. Default: 40 (chosen: what co-plms does).
    pub cloud_steps: Steps,
    /// Examples per step. Default: 16.
    pub batch: u32,
    /// The optimizer.
    pub optimizer: Optimizer,
    /// λ of λ·CE + (1 − λ)·KD. Default: 0.9 (the paper's).
    pub lambda: f64,
    /// Whose logits are learned from. Default: dual-min-ce.
    pub selection: Selection,
    /// Logits that travel per position, K. Default: 16 (the paper's; the authors' code has 128).
    pub top_k: u32,
    /// Temperature τ. Default: 1.
    pub temperature: f64,
    /// How positions are matched. Default: dtw (the paper's).
    pub align: Align,
    /// What stands in for an unmatched position, which there are under `bytes` too. Default: off.
    pub fallback: Fallback,
    /// How the vocabularies are matched. Default: edit (dtw), first-token (bytes).
    pub vocab: VocabularyMap,
    /// A relay set that joins the public examples (ours); none: the paper's method.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relay: Option<Relay>,
}

/// Whose logits about an example a party learns from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Selection {
    /// Those of the least loss, if it is below the learner's own; else nobody's (DualMinCE, the paper's).
    DualMinCe,
    /// Those of the least loss, the learner's own among them (the authors' code).
    Fate,
}

impl Table for FedMkt {
    fn cloud_model(&self) -> Option<&str> {
        Some(&self.cloud)
    }

    fn trains<'a>(&'a self, edge: &[&'a str]) -> Vec<&'a str> {
        let cloud = Some(self.cloud.as_str()).filter(|_| self.cloud_steps.mutual > 0);
        edge.iter().copied().chain(cloud).collect()
    }

    fn reads_public(&self) -> Option<&'static str> {
        Some("devices and cloud exchange logits")
    }

    fn relay(&self) -> Option<&Relay> {
        self.relay.as_ref()
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

    fn seen(&self) -> [Seen; 2] {
        let (device, cloud) = (self.device_steps.mutual > 0, self.cloud_steps.mutual > 0);
        let relay = self.relay.is_some();
        [
            Seen { private: self.device_steps.tune > 0, public: device, relay: device && relay },
            Seen { private: false, public: cloud, relay: cloud && relay },
        ]
    }
}

pub(super) fn read(view: View, models: &Models) -> Option<FedMkt> {
    const SELECTIONS: &[(&str, Selection)] =
        &[("dual-min-ce", Selection::DualMinCe), ("fate", Selection::Fate)];
    let cloud = models.named(&view, "cloud");
    let device_steps = steps(&view, "device_steps", Steps { tune: 20, mutual: 20 }, &["tune", "mutual"]);
    let cloud_steps = steps(&view, "cloud_steps", Steps { tune: 0, mutual: 40 }, &["mutual"]);
    let batch = view.count("batch", 1).or(16);
    let optimizer = optimizer(&view);
    let lambda = view.number("lambda", Bound::Fraction).or(0.9);
    let selection = view.word("selection", SELECTIONS).or(Selection::DualMinCe);
    let top_k = view.count("top_k", 1).or(16);
    let temperature = view.number("temperature", Bound::Positive).or(1.0);
    let Alignment { align, fallback, vocab } = alignment(&view, Align::Dtw);
    let relay = view.table("relay").optional().map(relay_for_all);
    view.finish();
    Some(FedMkt {
        cloud: cloud?,
        device_steps,
        cloud_steps,
        batch,
        optimizer,
        lambda,
        selection,
        top_k,
        temperature,
        align,
        fallback,
        vocab,
        relay,
    })
}
