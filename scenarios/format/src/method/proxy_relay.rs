//! `[method.proxy-relay]`.

use super::read::{Models, aggregate, optimizer, relay, steps, two_models};
use super::{Aggregate, Optimizer, Relay, Seen, Steps, Table};
use crate::reader::View;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Federated averaging on the proxy and relay distillation, without mutual learning: the control for a relay set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ProxyRelay {
    /// The cloud's LLM. Default: the model called `cloud`.
    pub cloud: String,
    /// The proxy that is averaged and makes the relay set. Default: the model called `proxy`.
    pub proxy: String,
    /// Steps of a device per round, as many on the proxy as on its own model. Default: tune 40 (chosen: what co-plms
    /// does in all).
    pub device_steps: Steps,
    /// Steps of the cloud per round. Default: tune 40 (chosen: what co-plms does).
    pub cloud_steps: Steps,
    /// Examples per step. Default: 16.
    pub batch: u32,
    /// The optimizer.
    pub optimizer: Optimizer,
    /// Logits of the proxy that are kept per position, K. Default: 16.
    pub top_k: u32,
    /// The relay set.
    pub relay: Relay,
    /// Weights of the mean over the proxies' adapters. Default: weighted.
    pub aggregate: Aggregate,
}

impl Table for ProxyRelay {
    fn cloud_model(&self) -> Option<&str> {
        Some(&self.cloud)
    }

    fn proxy_model(&self) -> Option<&str> {
        Some(&self.proxy)
    }

    fn trains<'a>(&'a self, edge: &[&'a str]) -> Vec<&'a str> {
        let cloud = Some(self.cloud.as_str()).filter(|_| self.cloud_steps.tune > 0);
        edge.iter().copied().chain([self.proxy.as_str()]).chain(cloud).collect()
    }

    fn reads_public(&self) -> Option<&'static str> {
        (self.cloud_steps.tune > 0).then_some("the cloud learns")
    }

    fn relay(&self) -> Option<&Relay> {
        Some(&self.relay)
    }

    fn aggregate(&self) -> Option<&Aggregate> {
        Some(&self.aggregate)
    }

    fn optimizer(&self) -> Option<&Optimizer> {
        Some(&self.optimizer)
    }

    fn device_steps_mut(&mut self) -> Option<&mut Steps> {
        Some(&mut self.device_steps)
    }

    fn steps_mut(&mut self) -> Vec<&mut Steps> {
        vec![&mut self.device_steps, &mut self.cloud_steps]
    }

    fn relay_mut(&mut self) -> Option<&mut Relay> {
        Some(&mut self.relay)
    }

    fn seen(&self) -> [Seen; 2] {
        let (device, cloud) = (self.device_steps.tune > 0, self.cloud_steps.tune > 0);
        [
            Seen { private: device, public: false, relay: device },
            Seen { private: false, public: cloud, relay: cloud },
        ]
    }
}

pub(super) fn read(view: View, models: &Models) -> Option<ProxyRelay> {
    let (cloud, proxy) = two_models(&view, models, "proxy");
    let device_steps = steps(&view, "device_steps", Steps { tune: 40, mutual: 0 }, &["tune"]);
    let cloud_steps = steps(&view, "cloud_steps", Steps { tune: 40, mutual: 0 }, &["tune"]);
    let batch = view.count("batch", 1).or(16);
    let optimizer = optimizer(&view);
    let top_k = view.count("top_k", 1).or(16);
    let relay = relay(view.table_or_empty("relay"));
    let aggregate = aggregate(&view);
    view.finish();
    let (cloud, proxy) = (cloud?, proxy?);
    Some(ProxyRelay { cloud, proxy, device_steps, cloud_steps, batch, optimizer, top_k, relay, aggregate })
}
