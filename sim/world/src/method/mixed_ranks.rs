//! Federated averaging where the adapters of devices on one base have different ranks.
//!
//! | `ranks`    | up                 | at the cloud                                   | down |
//! |------------|--------------------|------------------------------------------------|------|
//! | `hetlora`  | the adapter        | padded with zeros, mean weighted by ‖A_k B_k‖  | the first columns of A and rows of B |
//! | `flexlora` | the adapter        | Σ w_k (α/r_k) A_k B_k, decomposed              | its largest singular values |
//! | `flora`    | the adapter        | Σ w_k (α/r_k) A_k B_k, added to what is merged | everything that is merged, whole |
//!
//! HetLoRA: Cho et al. 2024, arXiv 2401.06432, without its pruning of ranks on devices. FlexLoRA: Bai et al. 2024, arXiv
//! 2402.11505. FLoRA: Wang et al. 2024, arXiv 2409.05976. There devices get the stack of the last round and merge it into
//! their base, all of them in every round; here a device may miss rounds, so that it gets the sum of all stacks, which is a
//! whole matrix for every map and is charged as such (chosen). Adapters begin anew in every round. Bases are told apart by
//! `base`, and within each its widest adapter leads.

use super::fedavg::{load_of, papers, tuning_of};
use super::training::Tuning;
use super::{DeviceOutcome, DeviceTask, Load, Method, State, Subject, Update, subject};
use crate::lab::{Lab, LabModel};
use crate::payload::{Part, Payload};
use cotune_models::learner::{Progress, Trained};
use cotune_models::low_rank::{Term, add_stacked, redistributed, resized, update_norm};
use cotune_record::Scope;
use cotune_scenario::method::{self as written, Ranks};
use cotune_scenario::models::Adapter;
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// Federated averaging over ranks.
#[derive(Debug)]
pub struct MixedRanks {
    citation: String,
    table: written::FedAvg,
    ranks: Ranks,
    /// The models that devices run, each with the widest on its base.
    leaders: BTreeMap<String, String>,
    /// Values of the adapters of these models.
    sizes: BTreeMap<String, usize>,
}

impl MixedRanks {
    pub(super) fn new(lab: &Lab, table: &written::FedAvg, ranks: Ranks) -> Self {
        let scenario = lab.scenario();
        let rank = |name: &str| match &scenario.models[name].adapter {
            Some(Adapter::Lora(lora)) => lora.rank,
            _ => 0,
        };
        let models = || scenario.fleet.classes.values().map(|class| class.model.as_str());
        let leader = |own: &str| {
            let alike = |name: &&str| scenario.models[*name].base == scenario.models[own].base;
            // Of equally wide ones the first by name.
            let widest = models().filter(alike).max_by_key(|name| (rank(name), Reverse(*name)));
            widest.expect("a model is on its own base").to_string()
        };
        let leaders = models().map(|own| (own.to_string(), leader(own))).collect();
        let sizes = models().map(|own| (own.to_string(), lab.model(own).layout.total())).collect();
        let paper = match ranks {
            Ranks::FLoRA => "FLoRA: Wang et al. 2024, arXiv 2409.05976",
            Ranks::FlexLoRA => "FlexLoRA: Bai et al. 2024, arXiv 2402.11505",
            Ranks::HetLoRA => "HetLoRA: Cho et al. 2024, arXiv 2401.06432",
        };
        let citation = std::iter::once(paper).chain(papers(table)).collect::<Vec<_>>().join("; ");
        Self { citation, table: table.clone(), ranks, leaders, sizes }
    }

    /// The models on the base of `leader`.
    fn group<'s>(&'s self, leader: &'s str) -> impl Iterator<Item = &'s str> {
        self.leaders.iter().filter(move |(_, led_by)| *led_by == leader).map(|(name, _)| name.as_str())
    }

    /// Every base's widest model.
    fn heads(&self) -> impl Iterator<Item = &str> {
        self.leaders.iter().filter(|(name, leader)| name == leader).map(|(name, _)| name.as_str())
    }

    /// The adapter that a model begins a round with where adapters begin anew.
    fn anew(&self, lab: &Lab, model: &LabModel, round: u32) -> Trained {
        model.fresh_from(lab.scenario().seed, &format!("adapter/{}/round/{round}", model.name))
    }

    /// What the cloud makes of the updates on one base, of which there are some.
    fn fold_group(&self, lab: &Lab, cloud: &mut State, leader: &str, updates: &[&Update]) {
        let by_examples = |update: &Update, _: &LabModel, _: &[f32]| update.examples as f64 * update.discount;
        match self.ranks {
            Ranks::FLoRA => {
                let merged = cloud
                    .get_mut(&merged_into(leader))
                    .expect("the cloud keeps what is merged into every base");
                add_stacked(&mut merged.values, &terms(lab, updates, by_examples));
            }
            Ranks::FlexLoRA => {
                let terms = terms(lab, updates, by_examples);
                for name in self.group(leader) {
                    let model = lab.model(name);
                    let fresh = model.fresh(lab.scenario().seed).values;
                    cloud.insert(name.to_string(), trained(redistributed(&terms, &model.layout, &fresh)));
                }
            }
            Ranks::HetLoRA => {
                let by_norm = |update: &Update, model: &LabModel, values: &[f32]| {
                    // Before anything is learned every update is zero, and all count alike.
                    update_norm(&model.layout, values).max(f64::MIN_POSITIVE) * update.discount
                };
                let terms = terms(lab, updates, by_norm);
                let of_rank = |term: &&Term<'_>| term.layout.total();
                let Some(broadest) = terms.iter().max_by_key(of_rank).map(|term| term.layout) else { return };
                let zeros = vec![0.0; broadest.total()];
                let mut mean = vec![0.0f64; broadest.total()];
                for Term { weight, layout, values } in &terms {
                    let padded = resized(layout, values, broadest, &zeros);
                    mean.iter_mut().zip(padded).for_each(|(mean, value)| *mean += weight * f64::from(value));
                }
                let mean: Vec<f32> = mean.into_iter().map(|value| value as f32).collect();
                // Columns of A that nobody sent stay, so that their rank can still learn.
                let widest = resized(broadest, &mean, &lab.model(leader).layout, &cloud[leader].values);
                self.truncate(lab, cloud, leader, &widest);
            }
        }
    }

    /// Gives every model on a base its part of the widest adapter.
    fn truncate(&self, lab: &Lab, cloud: &mut State, leader: &str, widest: &[f32]) {
        let from = &lab.model(leader).layout;
        for name in self.group(leader) {
            let to = &lab.model(name).layout;
            let values = resized(from, widest, to, &vec![0.0; to.total()]);
            cloud.insert(name.to_string(), trained(values));
        }
    }
}

/// Where the cloud keeps what is merged into a base: beside adapters, as one of which it is not to be taken.
fn merged_into(leader: &str) -> String {
    format!("{leader}/merged")
}

/// The adapters of updates with their shares of all weights.
fn terms<'t>(
    lab: &'t Lab,
    updates: &[&'t Update],
    weigh: impl Fn(&Update, &LabModel, &[f32]) -> f64,
) -> Vec<Term<'t>> {
    let term = |update: &&'t Update| {
        let (model, values) = (lab.model(&update.model), update.payload.values(&update.model)?);
        Some(Term { weight: weigh(update, model, values), layout: &model.layout, values })
    };
    let mut terms: Vec<Term<'t>> = updates.iter().filter_map(term).collect();
    let total: f64 = terms.iter().map(|term| term.weight).sum();
    terms.iter_mut().for_each(|term| term.weight /= total);
    terms
}

fn trained(values: Vec<f32>) -> Trained {
    Trained { values, ..Trained::default() }
}

impl Method for MixedRanks {
    fn name(&self) -> &'static str {
        "fedavg"
    }

    fn citation(&self) -> &str {
        &self.citation
    }

    fn start_cloud(&self, lab: &Lab) -> State {
        let mut state = State::new();
        for leader in self.heads() {
            let model = lab.model(leader);
            if self.ranks == Ranks::FLoRA {
                state.insert(merged_into(leader), trained(vec![0.0; model.layout.deltas().total()]));
            } else {
                self.truncate(lab, &mut state, leader, &model.fresh(lab.scenario().seed).values);
            }
        }
        state
    }

    /// Devices keep nothing between rounds.
    fn start_device(&self, _lab: &Lab, _model: &str) -> State {
        State::new()
    }

    fn broadcast(&self, _lab: &Lab, cloud: &State, model: &str, _round: u32) -> Payload {
        if self.ranks == Ranks::FLoRA {
            let leader = &self.leaders[model];
            let merged =
                Part::Merged { model: leader.clone(), values: cloud[&merged_into(leader)].values.clone() };
            return Payload { parts: vec![merged] };
        }
        Payload::adapter(model, &cloud[model].values)
    }

    fn uplink(&self, lab: &Lab, model: &str, _round: u32) -> Payload {
        Payload::adapter(model, &vec![0.0; lab.model(model).layout.total()])
    }

    fn device_work(&self, lab: &Lab, task: &DeviceTask, state: State, received: &Payload) -> DeviceOutcome {
        let merged = received.merged(&self.leaders[&task.model]);
        let deltas = merged.map(|merged| (lab.model(&task.model).layout.deltas(), merged));
        let tuning = self.device_tuning(lab, task, &state, received);
        let tuned = match &deltas {
            Some((layout, merged)) => tuning.with(|learner| learner.beside((layout, *merged))).alone(),
            None => tuning.alone(),
        };
        self.device_tuned(lab, task, state, received, tuned)
    }

    /// With FLoRA there is more than one adapter on the base.
    fn device_tunes<'m>(&'m self, model: &'m str) -> Option<&'m str> {
        (self.ranks != Ranks::FLoRA).then_some(model)
    }

    fn device_tuning<'l>(
        &self,
        lab: &'l Lab,
        task: &DeviceTask,
        _state: &State,
        received: &Payload,
    ) -> Tuning<'l> {
        let (name, model) = (task.model.as_str(), lab.model(&task.model));
        let start = match received.values(name) {
            Some(values) => trained(values.to_vec()),
            None => self.anew(lab, model, task.round),
        };
        tuning_of(lab, &self.table, task, name, &start)
    }

    fn device_tuned(
        &self,
        _lab: &Lab,
        task: &DeviceTask,
        state: State,
        _received: &Payload,
        (tuned, trained): (Trained, Progress),
    ) -> DeviceOutcome {
        DeviceOutcome { state, update: Payload::adapter(&task.model, &tuned.values), trained, relay: None }
    }

    fn fold(&self, lab: &Lab, mut cloud: State, updates: &[Update]) -> State {
        for leader in self.heads() {
            let own: Vec<&Update> =
                updates.iter().filter(|update| self.leaders[&update.model] == leader).collect();
            if !own.is_empty() {
                self.fold_group(lab, &mut cloud, leader, &own);
            }
        }
        cloud
    }

    fn device_load(&self, model: &str, examples: u32, _round: u32) -> Load {
        load_of(&self.table, model, examples)
    }

    fn edge_subject(&self, cloud: &State, _device: &State, model: &str) -> Subject {
        if self.ranks == Ranks::FLoRA {
            // An adapter of zeros changes nothing.
            let (values, beneath) =
                (vec![0.0; self.sizes[model]], cloud[&merged_into(&self.leaders[model])].values.clone());
            return Subject { model: model.to_string(), values, beneath };
        }
        subject(cloud, model)
    }

    fn cloud_subjects(&self, _cloud: &State) -> Vec<(Scope, Subject)> {
        Vec::new()
    }
}
