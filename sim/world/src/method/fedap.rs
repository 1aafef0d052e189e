//! FedAP: federated averaging of bottleneck adapters `h ← h + W_up σ(W_down h)`, after attention and after the MLP of
//! every block.
//!
//! Zhang et al. 2023, "FedPETuning" (arXiv 2212.10025), whose FedAP averages Houlsby's adapters (arXiv 1902.00751) as
//! FedAvg averages LoRA, by n_k. Which values a model trains is said by its adapter, so this is fedavg under another name and
//! with another demand on `[models]`; the scenario language holds it to that.

use super::fedavg::FedAvg;
use super::{DeviceOutcome, DeviceTask, Load, Method, State, Subject, Update};
use crate::lab::Lab;
use crate::payload::Payload;
use cotune_record::Scope;
use cotune_scenario::method as written;

/// Federated averaging of bottleneck adapters.
#[derive(Debug)]
pub struct FedAp(FedAvg);

impl FedAp {
    pub(super) fn new(lab: &Lab, table: &written::FedAp) -> Self {
        Self(FedAvg::new(lab, &table.0))
    }
}

impl Method for FedAp {
    fn name(&self) -> &'static str {
        "fedap"
    }

    fn citation(&self) -> &'static str {
        "FedAP of FedPETuning, Zhang et al. 2023, arXiv 2212.10025; adapters: Houlsby et al. 2019, arXiv 1902.00751"
    }

    fn start_cloud(&self, lab: &Lab) -> State {
        self.0.start_cloud(lab)
    }

    fn start_device(&self, lab: &Lab, model: &str) -> State {
        self.0.start_device(lab, model)
    }

    fn broadcast(&self, lab: &Lab, cloud: &State, model: &str) -> Payload {
        self.0.broadcast(lab, cloud, model)
    }

    fn uplink(&self, lab: &Lab, model: &str) -> Payload {
        self.0.uplink(lab, model)
    }

    fn device_work(&self, lab: &Lab, task: &DeviceTask, state: State, received: &Payload) -> DeviceOutcome {
        self.0.device_work(lab, task, state, received)
    }

    fn fold(&self, lab: &Lab, cloud: State, updates: &[Update]) -> State {
        self.0.fold(lab, cloud, updates)
    }

    fn device_load(&self, model: &str, examples: u32, round: u32) -> Load {
        self.0.device_load(model, examples, round)
    }

    fn edge_subject(&self, cloud: &State, device: &State, model: &str) -> Subject {
        self.0.edge_subject(cloud, device, model)
    }

    fn cloud_subjects(&self, cloud: &State) -> Vec<(Scope, Subject)> {
        self.0.cloud_subjects(cloud)
    }
}
