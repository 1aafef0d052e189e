//! Relay distillation alone: federated averaging on the proxy, whose knowledge reaches the devices' models and the
//! cloud's LLM through the relay set and in no other way. Ours, not a paper's.
//!
//! The control for co-plms with a relay set (METHODS §8): whatever that gains over this is due to mutual learning.
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
    RelayAsk, RelaySource, comparison, generation, generation_on_device, held_for_guard, labelled,
    sent_prompts,
};
use super::training::{Batches, Pace, Rate, learner, pick, private_text, tune};
use super::{
    CloudOutcome, CloudTask, DeviceOutcome, DeviceTask, Load, Method, State, Subject, TrainingLoad, Update,
    subject,
};
use crate::aggregate::aggregate;
use crate::lab::Lab;
use crate::payload::Payload;
use cotune_models::batch::Sequence;
use cotune_models::kernels::head::Divergence;
use cotune_models::learner::{Distillation, Learner, Trained};
use cotune_models::mutual::{Pooling, taught_step};
use cotune_record::Scope;
use cotune_scenario::method::{self as written, Relay};

/// The rows of the proxy are softened at temperature 1, as in METHODS §8.
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

    fn pooling(&self) -> Pooling {
        Pooling { top_k: self.table.top_k as usize, rest: false, temperature: TEMPERATURE }
    }

    /// The relay table, if `round` is not before `start`.
    fn relay_from(&self, start: u32, round: u32) -> Option<&Relay> {
        Some(&self.table.relay).filter(|_| round >= start)
    }

    /// `steps` steps of a student on labelled examples and, from its start on, on the relay set beside them.
    fn teach(
        &self,
        student: &mut Learner<'_>,
        text: &[Sequence],
        mut batches: Batches,
        (steps, pace): (u32, Pace),
        relay: Option<RelaySource<'_>>,
    ) {
        let Some(mut relay) = relay else { return tune(student, text, &mut batches, steps, pace) };
        let how = Distillation { kind: Divergence::Forward, temperature: TEMPERATURE };
        for step in 0..steps {
            let batch = batches.next(pace.batch);
            if batch.is_empty() {
                return;
            }
            let extra = relay.next().unwrap_or_default();
            taught_step(student, &pick(text, &batch), &extra, how, pace.rate.at(step));
        }
    }

    fn load(&self, student: &str, tune_proxy: u32, steps: u32, relay: Option<&Relay>) -> Load {
        let batch = self.table.batch;
        let train = |model: &str, steps, batch| TrainingLoad { model: model.to_string(), steps, batch };
        let beside = relay.map_or(0, |relay| relay.batch);
        let mut training = vec![train(student, steps, batch + beside)];
        training.extend((tune_proxy > 0).then(|| train(&self.table.proxy, tune_proxy, batch)));
        let evaluation = relay.map_or(Vec::new(), |relay| comparison(relay, &self.table.proxy, student));
        Load { training, evaluation, ..Load::default() }
    }
}

impl Method for ProxyRelay {
    fn name(&self) -> &'static str {
        "proxy-relay"
    }

    fn citation(&self) -> &'static str {
        "control: FedAvg (arXiv 1602.05629) on the proxy and relay distillation, which is ours"
    }

    fn start_cloud(&self, lab: &Lab) -> State {
        let models = [&self.table.cloud, &self.table.proxy];
        models.into_iter().map(|name| (name.clone(), lab.model(name).fresh(lab.scenario().seed))).collect()
    }

    fn start_device(&self, lab: &Lab, model: &str) -> State {
        State::from([(model.to_string(), lab.model(model).fresh(lab.scenario().seed))])
    }

    /// θ^t, and with `delivery = "send"` room for the prompts of the relay set.
    fn broadcast(&self, _lab: &Lab, cloud: &State, _model: &str) -> Payload {
        let mut payload = Payload::adapter(&self.table.proxy, &cloud[&self.table.proxy].values);
        payload.parts.extend(sent_prompts(&self.table.relay));
        payload
    }

    fn uplink(&self, lab: &Lab, _model: &str) -> Payload {
        let proxy = &self.table.proxy;
        Payload::adapter(proxy, &vec![0.0; lab.model(proxy).layout.total()])
    }

    fn device_work(
        &self,
        lab: &Lab,
        task: &DeviceTask,
        mut state: State,
        received: &Payload,
    ) -> DeviceOutcome {
        let table = &self.table;
        let (own, proxy) = (lab.model(&task.model), lab.model(&table.proxy));
        let path = format!("device/{}/round/{}", task.device, task.round);
        let (seed, steps) = (lab.scenario().seed, table.device_steps.tune);
        let pace =
            Pace::new(&table.optimizer, table.batch, Rate::of_device(lab, &table.optimizer, task, steps));
        let theta = received.values(&table.proxy).expect("the broadcast carries the proxy's adapter");
        let alpha = &state[&task.model];

        let mine = lab.examples_of(task.device);
        let (held, training) = held_for_guard(Some(&table.relay), mine.len());
        let held: Vec<u32> = held.iter().map(|i| mine[*i as usize]).collect();
        let (own_text, proxy_text) =
            (private_text(lab, own, task.device), private_text(lab, proxy, task.device));

        let start = Trained { values: theta.to_vec(), ..Trained::default() };
        let mut travelling = learner(lab, proxy, &start, &table.optimizer, &path);
        let mut batches = Batches::new(&training, seed, &format!("{path}/tune/proxy"));
        tune(&mut travelling, &proxy_text, &mut batches, steps, pace);

        let ask = RelayAsk {
            round: task.round,
            proxy,
            theta,
            student: own,
            adapter: alpha,
            labelled: labelled(&held, lab.private(), &proxy.text.private, &own.text.private),
            pooling: self.pooling(),
            path: &path,
        };
        let relay = self.relay_from(table.relay.from_round.device, task.round);
        let relay = relay.map(|relay| RelaySource::new(lab, relay, &ask));
        let counts = relay.as_ref().map(RelaySource::counts);
        let mut student = learner(lab, own, alpha, &table.optimizer, &path);
        let batches = Batches::new(&training, seed, &format!("{path}/tune/slm"));
        self.teach(&mut student, &own_text, batches, (steps, pace), relay);

        let (alpha, own_progress) = student.finish();
        let (theta, proxy_progress) = travelling.finish();
        state.insert(task.model.clone(), alpha);
        DeviceOutcome {
            state,
            update: Payload::adapter(&table.proxy, &theta.values),
            trained: own_progress.and(proxy_progress),
            relay: counts,
        }
    }

    fn fold(&self, _lab: &Lab, mut cloud: State, updates: &[Update]) -> State {
        let proxy = &self.table.proxy;
        if let Some(values) = aggregate(&self.table.aggregate, updates, proxy, &cloud[proxy].values) {
            cloud.insert(proxy.clone(), Trained { values, ..Trained::default() });
        }
        cloud
    }

    fn cloud_work(&self, lab: &Lab, task: &CloudTask, mut state: State) -> CloudOutcome {
        let table = &self.table;
        let (llm, proxy) = (lab.model(&table.cloud), lab.model(&table.proxy));
        let steps = table.cloud_steps.tune;
        let pace =
            Pace::new(&table.optimizer, table.batch, Rate::of_cloud(lab, &table.optimizer, task, steps));
        let path = format!("cloud/round/{}", task.round);
        let (held, training) = held_for_guard(Some(&table.relay), llm.text.public.len());
        let ask = RelayAsk {
            round: task.round,
            proxy,
            theta: &state[&table.proxy].values,
            student: llm,
            adapter: &state[&table.cloud],
            labelled: labelled(&held, lab.public(), &proxy.text.public, &llm.text.public),
            pooling: self.pooling(),
            path: &path,
        };
        let relay = self.relay_from(table.relay.from_round.cloud, task.round);
        let relay = relay.map(|relay| RelaySource::new(lab, relay, &ask));
        let counts = relay.as_ref().map(RelaySource::counts);
        let mut student = learner(lab, llm, &state[&table.cloud], &table.optimizer, &path);
        let batches = Batches::new(&training, lab.scenario().seed, &format!("{path}/tune"));
        self.teach(&mut student, &llm.text.public, batches, (steps, pace), relay);
        let (omega, progress) = student.finish();
        state.insert(table.cloud.clone(), omega);
        CloudOutcome { state, trained: vec![(table.cloud.clone(), progress)], relay: counts }
    }

    fn device_load(&self, model: &str, _examples: u32, round: u32) -> Load {
        let (steps, relay) =
            (self.table.device_steps.tune, self.relay_from(self.table.relay.from_round.device, round));
        let mut load = self.load(model, steps, steps, relay);
        load.generation = relay.map_or(Vec::new(), |relay| generation_on_device(relay, &self.table.proxy));
        load
    }

    fn cloud_load(&self, round: u32) -> Load {
        let relay = self.relay_from(self.table.relay.from_round.cloud, round);
        let mut load = self.load(&self.table.cloud, 0, self.table.cloud_steps.tune, relay);
        load.generation = relay.map_or(Vec::new(), |relay| generation(relay, &self.table.proxy));
        load
    }

    fn cloud_subjects(&self, cloud: &State) -> Vec<(Scope, Subject)> {
        vec![
            (Scope::Cloud, subject(cloud, &self.table.cloud)),
            (Scope::Proxy, subject(cloud, &self.table.proxy)),
        ]
    }
}
