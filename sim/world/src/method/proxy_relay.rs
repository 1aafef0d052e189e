//! Relay distillation alone: federated averaging on the proxy, whose knowledge reaches the devices' models and the
//! cloud's LLM through the relay set and in no other way. Ours, not a paper's.
//!
//! The control for co-plms with a relay set: whatever that gains over this is due to mutual learning.
//!
//! ```text
//! for round t = 1..R:
//!   cloud → invited devices: θ^t
//!   device i:  θ_i ← θ^t;  E steps of CE on D_i, training θ_i
//!              E steps of CE on D_i, and of CE and KL on relay examples, training α_i, which stays
//!     device → cloud: θ_i, n_i
//!   cloud: θ ← Σ (n_i/Σn) θ_i
//!     E_s steps of CE on D_s, and of CE and KL on relay examples, training ω; θ is left as it is
//! ```
//!
//! Until a party's relay set starts, its own model learns from its labelled examples only, as under `standalone`.

use super::relay::{
    RelayAsk, RelaySource, held_for_guard, relay_at_cloud, relay_load, relay_load_on_device, relay_on_device,
};
use super::training::{Batches, Pace, Rate, learner, pick, private_text, tune};
use super::travelling::Travelling;
use super::{
    CloudOutcome, CloudTask, DeviceOutcome, DeviceTask, Load, Method, Need, RelayCounts, State, Subject,
    TrainingLoad, Update, fresh, subject,
};
use crate::effect::Party;
use crate::lab::Lab;
use crate::payload::Payload;
use cotune_models::batch::Sequence;
use cotune_models::kernels::head::Divergence;
use cotune_models::learner::{Distillation, Learner};
use cotune_models::mutual::{Extra, Pooling, taught_step};
use cotune_record::Scope;
use cotune_scenario::method::{self as written, Relay};

/// The rows of the proxy are softened at temperature 1.
const TEMPERATURE: f64 = 1.0;

/// Federated averaging on the proxy, and the relay set.
#[derive(Debug)]
pub struct ProxyRelay {
    table: written::ProxyRelay,
}

impl ProxyRelay {
    pub(super) fn new(table: &written::ProxyRelay) -> Self {
        Self { table: table.clone() }
    }

    fn travelling(&self) -> Travelling<'_> {
        let table = &self.table;
        Travelling { model: &table.proxy, aggregate: &table.aggregate, relay: Some(&table.relay) }
    }

    fn pooling(&self) -> Pooling {
        Pooling { top_k: self.table.top_k as usize, rest: false, temperature: TEMPERATURE }
    }

    /// One party's steps: its own model learns from labelled examples and, from its start on, from the relay set.
    fn teach(
        &self,
        lab: &Lab,
        student: &mut Learner<'_>,
        text: &[Sequence],
        (steps, pace): (u32, Pace),
        (ask, path): (&RelayAsk<'_>, &str),
    ) -> Option<RelayCounts> {
        let (_, training) = held_for_guard(Some(&self.table.relay), text.len());
        let mut batches = Batches::new(&training, lab.scenario().seed, path);
        let Some(mut relay) = RelaySource::new(lab, Some(&self.table.relay), ask) else {
            tune(student, text, &mut batches, steps, pace);
            return None;
        };
        let how = Distillation { kind: Divergence::Forward, temperature: TEMPERATURE };
        for step in 0..steps {
            let batch = batches.next(pace.batch);
            if batch.is_empty() {
                break;
            }
            let extra = relay.next().unwrap_or_default();
            let labelled = Extra { sequences: pick(text, &batch), soft: Vec::new(), ce: 1.0, kl: 0.0 };
            taught_step(student, &[labelled, extra], how, pace.rate.at(step));
        }
        Some(relay.counts())
    }

    fn training(&self, student: &str, steps: u32, relay: Option<&Relay>) -> TrainingLoad {
        let batch = self.table.batch + relay.map_or(0, |relay| relay.batch);
        TrainingLoad { model: student.to_string(), steps, batch }
    }
}

impl Method for ProxyRelay {
    fn name(&self) -> &'static str {
        "proxy-relay"
    }

    fn citation(&self) -> &'static str {
        "control: FedAvg (arXiv 1602.05629) on the proxy and relay distillation, which is ours"
    }

    fn needs(&self) -> Vec<Need> {
        self.travelling().needs(Some(self.table.cloud.as_str()).filter(|_| self.table.cloud_steps.tune > 0))
    }

    fn start_cloud(&self, lab: &Lab) -> State {
        fresh(lab, [self.table.cloud.as_str(), &self.table.proxy])
    }

    fn start_device(&self, lab: &Lab, model: &str) -> State {
        fresh(lab, [model])
    }

    fn broadcast(&self, _lab: &Lab, cloud: &State, _model: &str, round: u32) -> Payload {
        self.travelling().broadcast(cloud, round)
    }

    fn uplink(&self, lab: &Lab, _model: &str, _round: u32) -> Payload {
        self.travelling().uplink(lab)
    }

    fn device_work(
        &self,
        lab: &Lab,
        task: &DeviceTask,
        mut state: State,
        received: &Payload,
    ) -> DeviceOutcome {
        let (table, path) = (&self.table, task.path());
        let (own, proxy) = (lab.model(&task.model), lab.model(&table.proxy));
        let steps = table.device_steps.tune;
        let rate = Rate::of_device(lab, &table.optimizer, task, steps);
        let pace = Pace { batch: table.batch, rate };
        let (theta, alpha) = (self.travelling().received(received), &state[&task.model]);

        // E steps of CE on D_i, training θ_i
        let text = private_text(lab, proxy, task.device);
        let (_, training) = held_for_guard(Some(&table.relay), text.len());
        let mut travelling = learner(lab, proxy, &theta, &table.optimizer, &path);
        let mut batches = Batches::new(&training, lab.scenario().seed, &format!("{path}/tune/proxy"));
        tune(&mut travelling, &text, &mut batches, steps, pace);

        // E steps of CE on D_i, and of CE and KL on relay examples, training α_i
        let ask = RelayAsk {
            party: Party::Device(task.device),
            round: task.round,
            path: &path,
            proxy,
            theta: &theta.values,
            student: own,
            adapter: alpha,
            pooling: self.pooling(),
        };
        let mut student = learner(lab, own, alpha, &table.optimizer, &path);
        let text = private_text(lab, own, task.device);
        let relay = self.teach(lab, &mut student, &text, (steps, pace), (&ask, &format!("{path}/tune/slm")));

        let ((alpha, own_progress), (theta, proxy_progress)) = (student.finish(), travelling.finish());
        state.insert(task.model.clone(), alpha);
        let update = Payload::adapter(&table.proxy, &theta.values);
        DeviceOutcome { state, update, trained: own_progress.and(proxy_progress), relay }
    }

    /// θ ← Σ_i (n_i/Σn) θ_i
    fn fold(&self, _lab: &Lab, cloud: State, updates: &[Update]) -> State {
        self.travelling().fold(cloud, updates)
    }

    /// E_s steps of CE on D_s, and of CE and KL on relay examples, training ω
    fn cloud_work(&self, lab: &Lab, task: &CloudTask, mut state: State, _updates: &[Update]) -> CloudOutcome {
        let (table, path) = (&self.table, task.path());
        let (llm, proxy) = (lab.model(&table.cloud), lab.model(&table.proxy));
        let steps = table.cloud_steps.tune;
        let rate = Rate::of_cloud(lab, &table.optimizer, task, steps);
        let pace = Pace { batch: table.batch, rate };
        let ask = RelayAsk {
            party: Party::Cloud,
            round: task.round,
            path: &path,
            proxy,
            theta: &state[&table.proxy].values,
            student: llm,
            adapter: &state[&table.cloud],
            pooling: self.pooling(),
        };
        let mut student = learner(lab, llm, &state[&table.cloud], &table.optimizer, &path);
        let tune = format!("{path}/tune");
        let relay = self.teach(lab, &mut student, &llm.text.public, (steps, pace), (&ask, &tune));
        let (omega, progress) = student.finish();
        state.insert(table.cloud.clone(), omega);
        CloudOutcome { state, trained: vec![(table.cloud.clone(), progress)], relay }
    }

    fn device_load(&self, model: &str, _examples: u32, round: u32) -> Load {
        let (proxy, steps) = (self.table.proxy.as_str(), self.table.device_steps.tune);
        let relay = relay_on_device(Some(&self.table.relay), round);
        let training = vec![self.training(model, steps, relay), self.training(proxy, steps, None)];
        Load { training, ..relay_load_on_device(relay, proxy, model) }
    }

    fn cloud_load(&self, round: u32) -> Load {
        let (llm, steps) = (&self.table.cloud, self.table.cloud_steps.tune);
        let relay = relay_at_cloud(Some(&self.table.relay), round);
        Load { training: vec![self.training(llm, steps, relay)], ..relay_load(relay, &self.table.proxy, llm) }
    }

    fn cloud_subjects(&self, cloud: &State) -> Vec<(Scope, Subject)> {
        let (llm, proxy) = (subject(cloud, &self.table.cloud), subject(cloud, &self.table.proxy));
        vec![(Scope::Cloud, llm), (Scope::Proxy, proxy)]
    }
}
