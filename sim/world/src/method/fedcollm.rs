//! FedCoLLM: one SLM on all devices, averaged, and mutual learning with the LLM at the cloud.
//!
//! Fan et al. 2024, "FedCoLLM: A Parameter-Efficient Federated Co-tuning Framework for Large and Small Language Models"
//! (arXiv 2411.11707), by its equations: the trainer of FATE-LLM passes indices where logits belong and detaches the
//! student, so it is not followed. Where the two tokenizers differ, rows are aligned as in mutual learning.
//!
//! ```text
//! for round t = 1..R:
//!   cloud → invited devices: θ^t
//!   device k:  θ_k ← θ^t;  E steps of CE on D_k, training θ_k
//!     device → cloud: θ_k
//!   cloud: θ ← mean of θ_k
//!     E_s steps on D_a:  θ ← θ − η∇[CE(g) + λ KL(f ‖ g)];  ω ← ω − η∇[CE(f) + λ KL(g ‖ f)]
//! ```
//!
//! With a relay set (ours) the averaged SLM makes it, and the LLM learns from it beside D_a. The
//! devices need none: what they serve is the SLM itself.

use super::mutual::AtTheCloud;
use super::training::{TunePlan, Tuning, private_text};
use super::travelling::Travelling;
use super::{
    CloudOutcome, CloudTask, DeviceOutcome, DeviceTask, Load, Method, Need, State, Subject, TrainingLoad,
    Update, fresh, subject,
};
use crate::lab::Lab;
use crate::payload::Payload;
use cotune_models::kernels::head::Divergence;
use cotune_models::learner::{Distillation, Progress, Trained};
use cotune_models::mutual::{Combine, MutualRule, Pooling, Update as Order};
use cotune_record::Scope;
use cotune_scenario::method as written;

/// FedCoLLM.
#[derive(Debug)]
pub struct FedCoLlm {
    table: written::FedCoLlm,
}

impl FedCoLlm {
    pub(super) fn new(table: &written::FedCoLlm) -> Self {
        Self { table: table.clone() }
    }

    /// The adapter alone: prompts of a relay set concern the cloud only.
    fn travelling(&self) -> Travelling<'_> {
        Travelling { model: &self.table.slm, aggregate: &self.table.aggregate, relay: None }
    }

    fn at_the_cloud(&self) -> AtTheCloud<'_> {
        let table = &self.table;
        let temperature = table.temperature;
        AtTheCloud {
            llm: &table.cloud,
            proxy: &table.slm,
            steps: table.cloud_steps.mutual,
            batch: table.batch,
            optimizer: &table.optimizer,
            rule: MutualRule {
                pooling: Pooling { top_k: table.top_k as usize, rest: false, temperature },
                distillation: Distillation { kind: Divergence::Forward, temperature },
                combine: Combine::Additive,
                update: Order::Simultaneous,
            },
            to_llm: table.lambda,
            to_proxy: table.lambda,
            relay: table.relay.as_ref(),
        }
    }
}

impl Method for FedCoLlm {
    fn name(&self) -> &'static str {
        "fedcollm"
    }

    fn citation(&self) -> &'static str {
        "FedCoLLM, Fan et al. 2024, arXiv 2411.11707, by its equations; the relay set is ours"
    }

    fn needs(&self) -> Vec<Need> {
        self.travelling().needs(Some(self.table.cloud.as_str()).filter(|_| self.table.cloud_steps.mutual > 0))
    }

    fn start_cloud(&self, lab: &Lab) -> State {
        fresh(lab, [self.table.cloud.as_str(), &self.table.slm])
    }

    /// Devices keep nothing between rounds.
    fn start_device(&self, _lab: &Lab, _model: &str) -> State {
        State::new()
    }

    fn broadcast(&self, _lab: &Lab, cloud: &State, _model: &str, round: u32) -> Payload {
        self.travelling().broadcast(cloud, round)
    }

    fn uplink(&self, lab: &Lab, _model: &str, _round: u32) -> Payload {
        self.travelling().uplink(lab)
    }

    fn device_tunes<'m>(&'m self, _model: &'m str) -> Option<&'m str> {
        Some(&self.table.slm)
    }

    /// θ_k ← θ^t; E steps of CE on D_k
    fn device_tuning<'l>(
        &self,
        lab: &'l Lab,
        task: &DeviceTask,
        _state: &State,
        received: &Payload,
    ) -> Tuning<'l> {
        let written::FedCoLlm { slm, optimizer, device_steps, batch, .. } = &self.table;
        let plan = TunePlan::of_device(lab, optimizer, task, device_steps.tune, *batch);
        let text = |model: &_| private_text(lab, model, task.device);
        Tuning::new(lab, slm, &self.travelling().received(received), text, &plan)
    }

    fn device_tuned(
        &self,
        _lab: &Lab,
        _task: &DeviceTask,
        state: State,
        _received: &Payload,
        (theta, trained): (Trained, Progress),
    ) -> DeviceOutcome {
        let update = Payload::adapter(&self.table.slm, &theta.values);
        DeviceOutcome { state, update, trained, relay: None }
    }

    /// θ ← mean of θ_k
    fn fold(&self, _lab: &Lab, cloud: State, updates: &[Update]) -> State {
        self.travelling().fold(cloud, updates)
    }

    fn cloud_work(&self, lab: &Lab, task: &CloudTask, state: State, _updates: &[Update]) -> CloudOutcome {
        self.at_the_cloud().work(lab, task, state)
    }

    fn device_load(&self, _model: &str, _examples: u32, _round: u32) -> Load {
        let (model, steps, batch) = (self.table.slm.clone(), self.table.device_steps.tune, self.table.batch);
        Load { training: vec![TrainingLoad { model, steps, batch }], ..Load::default() }
    }

    fn cloud_load(&self, round: u32) -> Load {
        self.at_the_cloud().load(round)
    }

    fn edge_subject(&self, cloud: &State, _device: &State, _model: &str) -> Subject {
        subject(cloud, &self.table.slm)
    }

    fn cloud_subjects(&self, cloud: &State) -> Vec<(Scope, Subject)> {
        vec![
            (Scope::Cloud, subject(cloud, &self.table.cloud)),
            (Scope::Proxy, subject(cloud, &self.table.slm)),
        ]
    }
}
