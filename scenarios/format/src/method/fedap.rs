//! `[method.fedap]`: every key of `[method.fedavg]`.

use super::read::Models;
use super::{Aggregate, FedAvg, Optimizer, Seen, Steps, Table, fedavg};
use crate::reader::View;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Federated averaging of bottleneck adapters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct FedAp(pub FedAvg);

impl Table for FedAp {
    fn proxy_model(&self) -> Option<&str> {
        self.0.proxy_model()
    }

    fn trains<'a>(&'a self, edge: &[&'a str]) -> Vec<&'a str> {
        self.0.trains(edge)
    }

    fn needs_bottlenecks(&self) -> bool {
        true
    }

    fn aggregate(&self) -> Option<&Aggregate> {
        Some(&self.0.aggregate)
    }

    fn optimizer(&self) -> Option<&Optimizer> {
        self.0.optimizer()
    }

    fn device_steps_mut(&mut self) -> Option<&mut Steps> {
        self.0.device_steps_mut()
    }

    fn steps_mut(&mut self) -> Vec<&mut Steps> {
        self.0.steps_mut()
    }

    fn seen(&self) -> [Seen; 2] {
        self.0.seen()
    }
}

pub(super) fn read(view: View, models: &Models) -> Option<FedAp> {
    fedavg::read(view, models).map(FedAp)
}
