//! FedAvg on adapters: `A̅ = Σ w_k A_k`, `B̅ = Σ w_k B_k`, `w_k = n_k / Σn`.
//!
//! McMahan et al. 2017 (arXiv 1602.05629); on LoRA: FedIT, Zhang et al. 2024 (arXiv 2305.05644). With heterogeneous
//! models it runs on the proxy (`on = "proxy"`: every device tunes and serves the proxy), or within each group of
//! devices that share an architecture (`on = "edge"`).
//!
//! Its family are switches: `local.prox` is FedProx (Li et al. 2020, arXiv 1812.06127), `local = "scaffold"` is
//! `fedavg/scaffold.rs`, `server` are the optimizers of `aggregate::server`, `nova` is
//! `aggregate::nova`.

mod scaffold;

use super::training::{TunePlan, Tuning, private_text};
use super::{DeviceOutcome, DeviceTask, Load, Method, State, Subject, TrainingLoad, Update, subject};
use crate::aggregate::{aggregate, nova, server};
use crate::lab::Lab;
use crate::payload::Payload;
use cotune_models::learner::{Progress, Trained};
use cotune_record::Scope;
use cotune_scenario::method::{self as written, Averaged, Local, ServerOptimizer};
use cotune_scenario::models::Adapter;
use scaffold::ControlVariates;
use std::borrow::Cow;

/// Federated averaging.
#[derive(Debug)]
pub struct FedAvg {
    name: &'static str,
    citation: String,
    table: written::FedAvg,
    control: Option<ControlVariates>,
}

impl FedAvg {
    pub(super) fn new(lab: &Lab, table: &written::FedAvg) -> Self {
        Self::called("fedavg", CITATION, lab, table)
    }

    /// The same under another name, from another paper.
    pub(super) fn called(
        name: &'static str,
        citation: &'static str,
        lab: &Lab,
        table: &written::FedAvg,
    ) -> Self {
        let own = |model: &str| tuned_model(table, model).to_string();
        let control = (table.local == Local::Scaffold).then(|| ControlVariates::new(lab, own));
        let mut one = Self { name, citation: String::new(), table: table.clone(), control };
        let papers = papers(table).into_iter().chain(one.freezes_a(lab).then_some(FFA_LORA));
        one.citation = std::iter::once(citation).chain(papers).collect::<Vec<_>>().join("; ");
        one
    }

    /// Whether any adapter that is averaged keeps its A as it was drawn.
    fn freezes_a(&self, lab: &Lab) -> bool {
        let frozen = |name: &String| match &lab.scenario().models[name].adapter {
            Some(Adapter::Lora(lora)) => lora.freeze.is_some(),
            _ => false,
        };
        self.models(lab).iter().any(frozen)
    }

    fn tuned_model<'m>(&'m self, own: &'m str) -> &'m str {
        tuned_model(&self.table, own)
    }

    /// Models that are averaged.
    fn models(&self, lab: &Lab) -> Vec<String> {
        let classes = lab.scenario().fleet.classes.values();
        let mut models: Vec<String> =
            classes.map(|class| self.tuned_model(&class.model).to_string()).collect();
        models.sort_unstable();
        models.dedup();
        models
    }
}

const CITATION: &str = "McMahan et al. 2017, arXiv 1602.05629; on LoRA: FedIT, arXiv 2305.05644";
const FFA_LORA: &str = "FFA-LoRA: Sun et al. 2024, arXiv 2403.12313";

/// The papers of what a table adds to the plain mean.
pub(super) fn papers(table: &written::FedAvg) -> Vec<&'static str> {
    let local = match table.local {
        Local::None => None,
        Local::Prox { .. } => Some("FedProx: Li et al. 2020, arXiv 1812.06127"),
        Local::Scaffold => Some("SCAFFOLD: Karimireddy et al. 2020, arXiv 1910.06378"),
    };
    let nova = table.nova.then_some("FedNova: Wang et al. 2020, arXiv 2007.07481");
    let server = table.server.as_ref().map(|rule| match rule {
        ServerOptimizer::Momentum { .. } => "FedAvgM: Hsu et al. 2019, arXiv 1909.06335",
        ServerOptimizer::Sgd { .. }
        | ServerOptimizer::Adam(_)
        | ServerOptimizer::Yogi(_)
        | ServerOptimizer::Adagrad(_) => "FedOpt: Reddi et al. 2021, arXiv 2003.00295",
    });
    local.into_iter().chain(nova).chain(server).collect()
}

/// The model that a device of class model `own` tunes.
fn tuned_model<'m>(table: &'m written::FedAvg, own: &'m str) -> &'m str {
    match &table.on {
        Averaged::Proxy(proxy) => proxy,
        Averaged::Edge => own,
    }
}

/// Steps of a device with so many examples: a number, or passes over them.
fn steps_of(table: &written::FedAvg, examples: u64) -> u32 {
    match table.epochs {
        None => table.device_steps.tune,
        Some(epochs) => (u64::from(epochs) * examples).div_ceil(u64::from(table.batch)) as u32,
    }
}

/// How a device tunes in a round.
fn plan_of<'t>(lab: &Lab, table: &'t written::FedAvg, task: &DeviceTask) -> TunePlan<'t> {
    let steps = steps_of(table, lab.count_of(task.device).into());
    TunePlan::of_device(lab, &table.optimizer, task, steps, table.batch)
}

/// A device's tuning of a model on its own examples, with the table's proximal term.
pub(super) fn tuning_of<'l>(
    lab: &'l Lab,
    table: &written::FedAvg,
    task: &DeviceTask,
    model: &str,
    start: &Trained,
) -> Tuning<'l> {
    let text = |model: &_| private_text(lab, model, task.device);
    Tuning::new(lab, model, start, text, &plan_of(lab, table, task)).with(|learner| match table.local {
        Local::Prox { mu } => learner.with_proximal_term(mu),
        Local::None | Local::Scaffold => learner,
    })
}

/// The work of so many steps.
pub(super) fn load_of(table: &written::FedAvg, model: &str, examples: u32) -> Load {
    let (model, steps) = (model.to_string(), steps_of(table, examples.into()));
    Load { training: vec![TrainingLoad { model, steps, batch: table.batch }], ..Load::default() }
}

impl Method for FedAvg {
    fn name(&self) -> &'static str {
        self.name
    }

    fn citation(&self) -> &str {
        &self.citation
    }

    fn start_cloud(&self, lab: &Lab) -> State {
        let models = self.models(lab);
        let fresh = |name: &String| (name.clone(), lab.model(name).fresh(lab.scenario().seed));
        let mut state: State = models.iter().map(fresh).collect();
        if let Some(control) = &self.control {
            state.extend(models.iter().map(|model| control.start_cloud(lab, model)));
        }
        state
    }

    /// Devices keep nothing between rounds but their control variates.
    fn start_device(&self, lab: &Lab, model: &str) -> State {
        let control = self.control.as_ref();
        control.map(|control| control.start_device(lab, self.tuned_model(model))).into_iter().collect()
    }

    fn broadcast(&self, _lab: &Lab, cloud: &State, model: &str, _round: u32) -> Payload {
        let model = self.tuned_model(model);
        let mut payload = Payload::adapter(model, &cloud[model].values);
        payload.parts.extend(self.control.as_ref().map(|control| control.broadcast(cloud, model)));
        payload
    }

    fn uplink(&self, lab: &Lab, model: &str, _round: u32) -> Payload {
        let model = self.tuned_model(model);
        let zeros = vec![0.0; lab.model(model).layout.total()];
        let mut payload = Payload::adapter(model, &zeros);
        payload.parts.extend(self.control.as_ref().map(|_| scaffold::part(model, zeros)));
        payload
    }

    fn device_tunes<'m>(&'m self, model: &'m str) -> Option<&'m str> {
        Some(self.tuned_model(model))
    }

    fn device_tuning<'l>(
        &self,
        lab: &'l Lab,
        task: &DeviceTask,
        state: &State,
        received: &Payload,
    ) -> Tuning<'l> {
        let model = self.tuned_model(&task.model);
        let global = received.values(model).expect("the broadcast carries the model that is tuned");
        let start = Trained { values: global.to_vec(), ..Trained::default() };
        let correction = self.control.as_ref().map(|_| scaffold::correction(state, received, model));
        tuning_of(lab, &self.table, task, model, &start).with(|learner| match &correction {
            Some(correction) => learner.with_correction(correction),
            None => learner,
        })
    }

    fn device_tuned(
        &self,
        lab: &Lab,
        task: &DeviceTask,
        mut state: State,
        received: &Payload,
        (trained, progress): (Trained, Progress),
    ) -> DeviceOutcome {
        let model = self.tuned_model(&task.model);
        let mut update = Payload::adapter(model, &trained.values);
        if self.control.is_some() {
            let descended = plan_of(lab, &self.table, task).rate.descended(&progress);
            update.parts.push(scaffold::changed(&mut state, received, model, &trained.values, descended));
        }
        DeviceOutcome { state, update, trained: progress, relay: None }
    }

    fn fold(&self, lab: &Lab, mut cloud: State, updates: &[Update]) -> State {
        let table = &self.table;
        for model in self.models(lab) {
            let trained = cloud.get_mut(&model).expect("the cloud has every model that is averaged");
            let counted = if table.nova {
                let steps = |update: &Update| steps_of(table, update.examples);
                let norm = |update: &Update| nova::step_norm(steps(update), &table.optimizer, &table.local);
                Cow::Owned(nova::normalised(updates, &model, &trained.values, norm))
            } else {
                Cow::Borrowed(updates)
            };
            if let Some(values) = aggregate(&table.aggregate, &counted, &model, &trained.values) {
                match &table.server {
                    None => trained.values = values,
                    Some(rule) => server::step(rule, trained, &values),
                }
            }
            if let Some(control) = &self.control {
                control.fold(&mut cloud, updates, &model);
            }
        }
        cloud
    }

    fn device_load(&self, model: &str, examples: u32, _round: u32) -> Load {
        load_of(&self.table, self.tuned_model(model), examples)
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
