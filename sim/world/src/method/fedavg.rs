//! FedAvg on adapters: `A̅ = Σ w_k A_k`, `B̅ = Σ w_k B_k`, `w_k = n_k / Σn`.
//!
//! McMahan et al. 2017 (arXiv 1602.05629); on LoRA: FedIT, Zhang et al. 2024 (arXiv 2305.05644). With heterogeneous
//! models it runs on the proxy (`on = "proxy"`: every device tunes and serves the proxy), or within each group of
//! devices that share an architecture (`on = "edge"`).

use super::training::{Rate, TunePlan, private_text, tuned};
use super::{DeviceOutcome, DeviceTask, Load, Method, State, Subject, TrainingLoad, Update, subject};
use crate::aggregate::aggregate;
use crate::lab::Lab;
use crate::payload::Payload;
use cotune_models::learner::Trained;
use cotune_record::Scope;
use cotune_scenario::method::{self as written, Averaged};

/// Federated averaging.
#[derive(Debug)]
pub struct FedAvg {
    table: written::FedAvg,
}

impl FedAvg {
    pub(super) fn new(table: &written::FedAvg) -> Self {
        Self { table: table.clone() }
    }

    /// The model that a device of class model `own` tunes.
    fn tuned_model<'m>(&'m self, own: &'m str) -> &'m str {
        match &self.table.on {
            Averaged::Proxy(proxy) => proxy,
            Averaged::Edge => own,
        }
    }
}

impl Method for FedAvg {
    fn name(&self) -> &'static str {
        "fedavg"
    }

    fn citation(&self) -> &'static str {
        "McMahan et al. 2017, arXiv 1602.05629; on LoRA: FedIT, arXiv 2305.05644"
    }

    fn start_cloud(&self, lab: &Lab) -> State {
        let classes = lab.scenario().fleet.classes.values();
        classes
            .map(|class| self.tuned_model(&class.model))
            .map(|name| (name.to_string(), lab.model(name).fresh(lab.scenario().seed)))
            .collect()
    }

    /// Devices keep nothing between rounds.
    fn start_device(&self, _lab: &Lab, _model: &str) -> State {
        State::new()
    }

    fn broadcast(&self, _lab: &Lab, cloud: &State, model: &str) -> Payload {
        let model = self.tuned_model(model);
        Payload::adapter(model, &cloud[model].values)
    }

    fn uplink(&self, lab: &Lab, model: &str) -> Payload {
        let model = self.tuned_model(model);
        Payload::adapter(model, &vec![0.0; lab.model(model).layout.total()])
    }

    fn device_work(&self, lab: &Lab, task: &DeviceTask, state: State, received: &Payload) -> DeviceOutcome {
        let model = self.tuned_model(&task.model);
        let global = received.values(model).expect("the broadcast carries the model that is tuned");
        let plan = TunePlan {
            optimizer: &self.table.optimizer,
            path: &format!("device/{}/round/{}/tune", task.device, task.round),
            steps: self.table.device_steps.tune,
            batch: self.table.batch,
            rate: Rate::of_device(lab, &self.table.optimizer, task, self.table.device_steps.tune),
        };
        let start = Trained { values: global.to_vec(), ..Trained::default() };
        let text = |model: &_| private_text(lab, model, task.device);
        let (trained, progress) = tuned(lab, model, &start, text, &plan);
        let update = Payload::adapter(model, &trained.values);
        DeviceOutcome { state, update, trained: progress, relay: None }
    }

    fn fold(&self, _lab: &Lab, mut cloud: State, updates: &[Update]) -> State {
        for (model, trained) in &mut cloud {
            if let Some(values) = aggregate(&self.table.aggregate, updates, model, &trained.values) {
                trained.values = values;
            }
        }
        cloud
    }

    fn device_load(&self, model: &str, _round: u32) -> Load {
        let model = self.tuned_model(model).to_string();
        let (steps, batch) = (self.table.device_steps.tune, self.table.batch);
        Load { training: vec![TrainingLoad { model, steps, batch }], ..Load::default() }
    }

    fn edge_subject(&self, cloud: &State, _device: &State, model: &str) -> Subject {
        subject(cloud, self.tuned_model(model))
    }

    fn cloud_subjects(&self, cloud: &State) -> Vec<(Scope, Subject)> {
        match &self.table.on {
            Averaged::Proxy(proxy) => vec![(Scope::Proxy, subject(cloud, proxy))],
            Averaged::Edge => Vec::new(),
        }
    }
}
