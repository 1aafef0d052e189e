//! `[method.standalone]`.

use super::read::{Models, optimizer, steps};
use super::{Optimizer, Seen, Steps, Table};
use crate::node::{Node, Value};
use crate::reader::{self, Shape, View};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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

impl Table for Standalone {
    fn cloud_model(&self) -> Option<&str> {
        self.cloud.as_deref()
    }

    fn trains<'a>(&'a self, edge: &[&'a str]) -> Vec<&'a str> {
        let devices = edge.iter().copied().filter(|_| self.device_steps.tune > 0);
        devices.chain(self.cloud.as_deref().filter(|_| self.cloud_steps.tune > 0)).collect()
    }

    fn reads_public(&self) -> Option<&'static str> {
        match &self.cloud {
            Some(_) if self.cloud_steps.tune > 0 => Some("the cloud tunes"),
            _ => self.public.then_some("devices tune"),
        }
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

    fn seen(&self) -> [Seen; 2] {
        let device = self.device_steps.tune > 0;
        let cloud = self.cloud.is_some() && self.cloud_steps.tune > 0;
        [
            Seen { private: device, public: device && self.public, relay: false },
            Seen { public: cloud, ..Seen::default() },
        ]
    }
}

pub(super) fn read(view: View, models: &Models) -> Option<Standalone> {
    // true: the model called `cloud`; false: none; a string: that model.
    let cloud = |node: &Node, path: &str| match &node.value {
        Value::Boolean(false) => Some(None),
        Value::Boolean(true) => models.named_as(&view, node, "cloud"),
        Value::String(name) => models.named_as(&view, node, name),
        _ => {
            view.problems.add(
                reader::word::<()>(node, path, &[("cloud", ())])
                    .err()?
                    .help("write cloud = true or cloud = false"),
            );
            None
        }
    };
    let default = models.has("cloud").then(|| "cloud".to_owned());
    let method = Standalone {
        cloud: view
            .part("cloud", "true", || Shape::AnyOf(vec![Shape::Truth, Shape::Text]), cloud)
            .or(default),
        public: view.boolean("public").or(false),
        device_steps: steps(&view, "device_steps", Steps { tune: 40, mutual: 0 }, &["tune"]),
        cloud_steps: steps(&view, "cloud_steps", Steps { tune: 40, mutual: 0 }, &["tune"]),
        batch: view.count("batch", 1).or(16),
        optimizer: optimizer(&view),
    };
    view.finish();
    Some(method)
}
