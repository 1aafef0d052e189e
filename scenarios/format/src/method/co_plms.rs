//! `[method.co-plms]`.

use super::read::{Models, aggregate, alignment, optimizer, relay, steps, two_models};
use super::{Aggregate, Align, Alignment, Fallback, Optimizer, Relay, Seen, Steps, Table, VocabularyMap};
use crate::codes;
use crate::diagnostic::Diagnostic;
use crate::reader::{Bound, View};
use crate::words;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Co-PLMs (arXiv 2511.11678) as reconstructed here.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CoPlms {
    /// The cloud's LLM, M_L. Default: the model called `cloud`.
    pub cloud: String,
    /// The travelling proxy, P. Default: the model called `proxy`.
    pub proxy: String,
    /// Which adapters domain-specific tuning trains. Default: both.
    pub dst: DomainTuning,
    /// Steps of a device per round: E_d and E_m. Default: 20 and 20; with `dst = "off"`, 0 and 20.
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

/// Structure-agnostic mutual learning.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Saml {
    /// How positions are matched. Default: bytes.
    pub align: Align,
    /// What stands in for an unmatched position, which there are under `bytes` too. Default: off.
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

/// λ of the four directions; the defaults are those of a feasibility study.
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
    /// λ·CE + (1 − λ)·τ²·KL, one λ for all directions. With τ² the
    /// divergence's gradient is of one size at every τ.
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

impl Table for CoPlms {
    fn cloud_model(&self) -> Option<&str> {
        Some(&self.cloud)
    }

    fn proxy_model(&self) -> Option<&str> {
        Some(&self.proxy)
    }

    fn trains<'a>(&'a self, edge: &[&'a str]) -> Vec<&'a str> {
        let cloud = Some(self.cloud.as_str()).filter(|_| self.cloud_steps.mutual > 0);
        edge.iter().copied().chain([self.proxy.as_str()]).chain(cloud).collect()
    }

    fn reads_public(&self) -> Option<&'static str> {
        match self.saml.data {
            _ if self.cloud_steps.mutual > 0 => Some("the cloud learns"),
            SamlData::Public => Some("devices learn"),
            SamlData::Private => None,
        }
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
        let Saml { align, fallback, vocab, .. } = self.saml;
        Some(Alignment { align, fallback, vocab })
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
        let Steps { tune, mutual } = self.device_steps;
        let (relay, public) = (self.relay.is_some(), self.saml.data == SamlData::Public);
        let cloud = self.cloud_steps.mutual > 0;
        [
            Seen {
                private: tune > 0 || (mutual > 0 && !public),
                public: mutual > 0 && public,
                relay: mutual > 0 && relay,
            },
            Seen { private: false, public: cloud, relay: cloud && relay },
        ]
    }
}

pub(super) fn read(view: View, models: &Models) -> Option<CoPlms> {
    let (cloud, proxy) = two_models(&view, models, "proxy");
    const DST: &[(&str, DomainTuning)] = &[
        ("both", DomainTuning::Both),
        ("slm", DomainTuning::Slm),
        ("proxy", DomainTuning::Proxy),
        ("domain-adapter", DomainTuning::DomainAdapter),
        ("off", DomainTuning::Off),
    ];
    let dst = view.word("dst", DST).or(DomainTuning::Both);
    let tune = if dst == DomainTuning::Off { 0 } else { 20 };
    let device_steps = steps(&view, "device_steps", Steps { tune, mutual: 20 }, &["tune", "mutual"]);
    if dst == DomainTuning::Off && device_steps.tune > 0 {
        nothing_to_tune(&view);
    }
    let cloud_steps = steps(&view, "cloud_steps", Steps { tune: 0, mutual: 40 }, &["mutual"]);
    let batch = view.count("batch", 1).or(16);
    let optimizer = optimizer(&view);
    let saml = saml(view.table_or_empty("saml"));
    let relay = view.table("relay").optional().map(relay);
    let aggregate = aggregate(&view);
    view.finish();
    let (cloud, proxy) = (cloud?, proxy?);
    Some(CoPlms { cloud, proxy, dst, device_steps, cloud_steps, batch, optimizer, saml, relay, aggregate })
}

/// Steps that nothing would take.
fn nothing_to_tune(view: &View) {
    let steps = view.table_or_empty("device_steps");
    let message = format!(
        "`{}` counts steps of domain-specific tuning, and `{}` is off",
        steps.full("tune"),
        view.full("dst")
    );
    let error =
        Diagnostic::new(codes::CONFLICT, message).label(steps.key_place("tune"), "nothing takes them");
    let error = error.label(view.place("dst"), "no tuning");
    view.problems.add(error.help("write tune = 0 or leave it out, or write dst = \"both\""));
}

fn saml(view: View) -> Saml {
    let Alignment { align, fallback, vocab } = alignment(&view, Align::Bytes);
    const DIVERGENCES: &[(&str, Divergence)] =
        &[("forward", Divergence::Forward), ("reverse", Divergence::Reverse), ("jsd", Divergence::Jsd)];
    let updates = &[("simultaneous", Update::Simultaneous), ("alternating", Update::Alternating)];
    let combine = view.choice("combine", &words::COMBINE).optional().and_then(combine);
    let saml = Saml {
        align,
        fallback,
        vocab,
        top_k: view.count("top_k", 1).or(16),
        rest: view.boolean("rest").or(false),
        temperature: view.number("temperature", Bound::Positive).or(1.0),
        kl: view.word("kl", DIVERGENCES).or(Divergence::Forward),
        combine: combine.unwrap_or(Combine::Additive),
        update: view.word("update", updates).or(Update::Simultaneous),
        weight: weights(view.table_or_empty("weight")),
        data: view
            .word("data", &[("private", SamlData::Private), ("public", SamlData::Public)])
            .or(SamlData::Private),
    };
    if view.has("weight") && matches!(saml.combine, Combine::Convex { .. }) {
        let message = format!("`{}.weight` has no meaning beside combine.convex", view.path);
        let error = Diagnostic::new(codes::CONFLICT, message).label(view.key_place("weight"), "not used");
        view.problems.add(
            error
                .label(view.key_place("combine"), "one λ for all")
                .help("remove `weight`, or write combine = \"additive\""),
        );
    }
    view.finish();
    saml
}

fn combine((name, view): (&str, View)) -> Option<Combine> {
    let combine = match name {
        "convex" => {
            let lambda = view.number("convex", Bound::Fraction).required(view.problems);
            lambda.map(|lambda| Combine::Convex { lambda })
        }
        _ => Some(Combine::Additive),
    };
    view.finish();
    combine
}

fn weights(view: View) -> SamlWeights {
    let weight = |key, default| view.number(key, Bound::NonNegative).or(default);
    let weights = SamlWeights {
        proxy_to_edge: weight("proxy_to_edge", 0.5),
        edge_to_proxy: weight("edge_to_proxy", 0.1),
        proxy_to_cloud: weight("proxy_to_cloud", 1.0),
        cloud_to_proxy: weight("cloud_to_proxy", 0.1),
    };
    view.finish();
    weights
}
