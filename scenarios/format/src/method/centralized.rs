//! `[method.centralized]`.

use super::read::{Models, optimizer, steps};
use super::{Optimizer, Seen, Steps, Table};
use crate::reader::View;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Everybody's data at the cloud: the upper reference row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Centralized {
    /// The LLM that is trained. Default: the model called `cloud`.
    pub cloud: String,
    /// Steps of the cloud per round. Default: tune 40 (chosen: what standalone does).
    pub cloud_steps: Steps,
    /// Examples per step. Default: 16.
    pub batch: u32,
    /// The optimizer.
    pub optimizer: Optimizer,
}

impl Table for Centralized {
    fn cloud_model(&self) -> Option<&str> {
        Some(&self.cloud)
    }

    fn trains<'a>(&'a self, _edge: &[&'a str]) -> Vec<&'a str> {
        Some(self.cloud.as_str()).filter(|_| self.cloud_steps.tune > 0).into_iter().collect()
    }

    fn optimizer(&self) -> Option<&Optimizer> {
        Some(&self.optimizer)
    }

    fn steps_mut(&mut self) -> Vec<&mut Steps> {
        vec![&mut self.cloud_steps]
    }

    fn seen(&self) -> [Seen; 2] {
        let tunes = self.cloud_steps.tune > 0;
        [Seen::default(), Seen { private: tunes, public: tunes, relay: false }]
    }
}

pub(super) fn read(view: View, models: &Models) -> Option<Centralized> {
    let cloud = models.named(&view, "cloud");
    let cloud_steps = steps(&view, "cloud_steps", Steps { tune: 40, mutual: 0 }, &["tune"]);
    let batch = view.count("batch", 1).or(16);
    let optimizer = optimizer(&view);
    view.finish();
    Some(Centralized { cloud: cloud?, cloud_steps, batch, optimizer })
}
