//! `[method.fedavg]`.

use super::read::{Models, aggregate, optimizer, steps};
use super::{Aggregate, Optimizer, Steps, Table};
use crate::reader::View;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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

impl Table for FedAvg {
    fn proxy_model(&self) -> Option<&str> {
        match &self.on {
            Averaged::Proxy(model) => Some(model),
            Averaged::Edge => None,
        }
    }

    fn trains<'a>(&'a self, edge: &[&'a str]) -> Vec<&'a str> {
        match &self.on {
            Averaged::Proxy(proxy) => vec![proxy],
            Averaged::Edge => edge.to_vec(),
        }
    }

    fn optimizer(&self) -> Option<&Optimizer> {
        Some(&self.optimizer)
    }

    fn steps_mut(&mut self) -> Vec<&mut Steps> {
        vec![&mut self.device_steps]
    }
}

pub(super) fn read(view: View, models: &Models) -> Option<FedAvg> {
    #[derive(Clone, Copy)]
    enum On {
        Proxy,
        Edge,
    }
    let on = view.word("on", &[("proxy", On::Proxy), ("edge", On::Edge)]).required(view.problems);
    let on = match on {
        Some(On::Proxy) => models.named(&view, "proxy").map(Averaged::Proxy),
        Some(On::Edge) => Some(Averaged::Edge),
        None => {
            models.if_there(&view, "proxy");
            None
        }
    };
    let device_steps = steps(&view, "device_steps", Steps { tune: 40, mutual: 0 }, &["tune"]);
    let batch = view.count("batch", 1).or(16);
    let optimizer = optimizer(&view);
    let aggregate = aggregate(&view);
    view.finish();
    Some(FedAvg { on: on?, device_steps, batch, optimizer, aggregate })
}
