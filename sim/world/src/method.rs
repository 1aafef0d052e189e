//! Methods: who learns what from whom.
//!
//! A method is a set of pure functions over explicit state: what a device does with what it received, how the cloud
//! folds what came back, what it does with that. It never sees a clock, a link or another device.
//!
//! Adding a method to cotune takes a file here with its `Method`, its `mod` above and its arm in `made`; its table in
//! the scenario language, a file under `scenarios/format/src/method/` and a line of the list in `method.rs` there; and a
//! line in `cotune_tests::methods`, with which it inherits the conformance suite. Schema, reference page and the texts of
//! mistakes follow when they are blessed. A method that a program brings takes the first of these only, and
//! `[method.custom]`.
//!
//! | file           | method |
//! |----------------|--------|
//! | `zero_shot.rs` | the bases as they are |
//! | `standalone.rs`| every party alone |
//! | `centralized.rs`| everybody's data at the cloud |
//! | `fedavg.rs`    | federated averaging of adapters; FedProx, SCAFFOLD, FedNova, FedOpt |
//! | `mixed_ranks.rs`| the same where adapters on one base have different ranks: FLoRA, FlexLoRA, HetLoRA |
//! | `fedap.rs`     | the same of bottleneck adapters |
//! | `fedcollm.rs`  | one SLM on all devices, and mutual learning with the LLM at the cloud |
//! | `fedmkt.rs`    | losses and logits about public examples travel, both ways |
//! | `co_plms.rs`   | mutual learning through a proxy that travels |
//! | `proxy_relay.rs`| relay distillation from an averaged proxy, and nothing else |
//! | `travelling.rs`| the adapter that is sent down, brought back and averaged |
//! | `mutual.rs`    | steps of mutual learning between a student and the travelling model |
//! | `relay.rs`     | the relay set: prompts and answers that the proxy makes itself |
//! | `training.rs`  | what all of them share: batches, learning rate, plain tuning |

pub mod centralized;
pub mod co_plms;
pub mod fedap;
pub mod fedavg;
pub mod fedcollm;
pub mod fedmkt;
pub mod mixed_ranks;
pub(crate) mod mutual;
pub mod proxy_relay;
pub(crate) mod relay;
pub mod standalone;
pub mod training;
pub mod travelling;
pub mod zero_shot;

use crate::lab::Lab;
use crate::payload::Payload;
use cotune_models::learner::{Progress, Trained};
use cotune_record::Scope;
use cotune_scenario::method::Method as Written;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;
use training::Tuning;

/// The trained state of one party: by model, a key of the scenario's `[models]`.
pub type State = BTreeMap<String, Trained>;

/// What a device is asked to do in one round.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeviceTask {
    /// The device.
    pub device: u32,
    /// The model its class runs.
    pub model: String,
    /// Round, from 1.
    pub round: u32,
    /// Share of the budget that is behind the run, 0 to 1: moves the learning rate.
    pub progress: f64,
}

impl DeviceTask {
    /// Path of the streams of this work.
    pub fn path(&self) -> String {
        format!("device/{}/round/{}", self.device, self.round)
    }
}

/// What a device made of a round.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeviceOutcome {
    /// Its state after the round.
    pub state: State,
    /// What it sends.
    pub update: Payload,
    /// What it trained.
    pub trained: Progress,
    /// The relay set that it used.
    pub relay: Option<RelayCounts>,
}

/// Prompts of a relay set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RelayCounts {
    /// Those that were sampled.
    pub sampled: u32,
    /// Those of them that were kept.
    pub kept: u32,
}

/// What the cloud is asked to do in one round.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CloudTask {
    /// Round, from 1.
    pub round: u32,
    /// Share of the budget that is behind the run, 0 to 1.
    pub progress: f64,
}

impl CloudTask {
    /// Path of the streams of this work.
    pub fn path(&self) -> String {
        format!("cloud/round/{}", self.round)
    }
}

/// What the cloud made of a round.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CloudOutcome {
    /// Its state after the round.
    pub state: State,
    /// What it trained, by name of the model.
    pub trained: Vec<(String, Progress)>,
    /// The relay set that it used.
    pub relay: Option<RelayCounts>,
}

/// One device's contribution to a round.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Update {
    /// Who sent it.
    pub device: u32,
    /// The model its class runs.
    pub model: String,
    /// Private examples behind it.
    pub examples: u64,
    /// What it counts for because of its age, in (0, 1]; 1 if it is based on the cloud's model.
    pub discount: f64,
    /// What it was sent, where the cloud has made a newer model since.
    #[serde(with = "crate::shared::optional")]
    pub base: Option<Arc<Payload>>,
    /// What it sent.
    #[serde(with = "crate::shared")]
    pub payload: Arc<Payload>,
}

/// Work as the cost model sees it; decided by the plan, never by what was learned.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Load {
    /// Models in memory for training, with the tokens of a batch.
    pub training: Vec<TrainingLoad>,
    /// Models that generate.
    pub generation: Vec<GenerationLoad>,
    /// Models that are compared on labelled examples.
    pub evaluation: Vec<EvaluationLoad>,
}

/// Training of one model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainingLoad {
    /// The model.
    pub model: String,
    /// Optimizer steps.
    pub steps: u32,
    /// Sequences a step.
    pub batch: u32,
}

/// Generation by one model, charged at prompts × most tokens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GenerationLoad {
    /// The model.
    pub model: String,
    /// Sequences generated at once.
    pub sequences: u32,
    /// Tokens of each.
    pub tokens: u32,
}

/// A forward pass over examples.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EvaluationLoad {
    /// The model.
    pub model: String,
    /// Which examples.
    pub on: Evaluated,
}

/// Which examples a model is compared on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Evaluated {
    /// This share, in (0, 1], of the labelled examples that the machine has.
    Share(f64),
    /// All public ones.
    Public,
    /// So many that were generated.
    Made(u32),
}

/// A model to be scored: its key in `[models]` and its trained values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Subject {
    /// The model.
    pub model: String,
    /// The adapter's values.
    pub values: Vec<f32>,
    /// What is merged into the base under it, in the order of the layout's deltas; empty where nothing is.
    pub beneath: Vec<f32>,
}

/// A method, made for one scenario. What a method does not say is: nothing travels, nothing is folded, the cloud rests,
/// and a device serves its own model.
pub trait Method: Debug + Send + Sync {
    /// Its name in the scenario language.
    fn name(&self) -> &'static str;

    /// The paper it is from, or what it is a reference for.
    fn citation(&self) -> &str;

    /// What a scenario must have for it. What travels is said by [`Method::downlink`] and [`Method::uplink`], part by
    /// part.
    fn needs(&self) -> Vec<Need> {
        Vec::new()
    }

    /// What the cloud starts with.
    fn start_cloud(&self, lab: &Lab) -> State;

    /// What a device that runs `model` starts with.
    fn start_device(&self, lab: &Lab, model: &str) -> State;

    /// What the cloud sends to a device that runs `model` for the work of a round. Its shape depends on the model and, where
    /// there is a relay set, on whether that has started (`relay.from_round`), on nothing else.
    fn broadcast(&self, _lab: &Lab, _cloud: &State, _model: &str, _round: u32) -> Payload {
        Payload::default()
    }

    /// A payload of the size of [`Method::broadcast`], of which only the size is read.
    fn downlink(&self, lab: &Lab, model: &str, round: u32) -> Payload {
        self.broadcast(lab, &self.start_cloud(lab), model, round)
    }

    /// A payload of the shape of a device's update of a round, which depends on the same; its values are never read.
    fn uplink(&self, _lab: &Lab, _model: &str, _round: u32) -> Payload {
        Payload::default()
    }

    /// What a device does with what it received. A method whose devices only tune says the two halves of it instead
    /// ([`Method::device_tunes`]).
    fn device_work(&self, lab: &Lab, task: &DeviceTask, state: State, received: &Payload) -> DeviceOutcome {
        let tuned = self.device_tuning(lab, task, &state, received).alone();
        self.device_tuned(lab, task, state, received, tuned)
    }

    /// The model that [`Method::device_work`] tunes on a device that runs `model`, where it is the tuning of one model and
    /// what stands before and after that: then equal work of several devices may be computed as one batch, and
    /// [`Method::device_tuning`] and [`Method::device_tuned`] are its two halves.
    fn device_tunes<'m>(&'m self, _model: &'m str) -> Option<&'m str> {
        None
    }

    /// What is tuned.
    fn device_tuning<'l>(
        &self,
        _lab: &'l Lab,
        _task: &DeviceTask,
        _state: &State,
        _received: &Payload,
    ) -> Tuning<'l> {
        unreachable!("`{}` does not say that its devices only tune", self.name())
    }

    /// What the device makes of the model that was tuned.
    fn device_tuned(
        &self,
        _lab: &Lab,
        _task: &DeviceTask,
        _state: State,
        _received: &Payload,
        _tuned: (Trained, Progress),
    ) -> DeviceOutcome {
        unreachable!("`{}` does not say that its devices only tune", self.name())
    }

    /// The cloud's state after the updates of a round, which come in ascending order of devices and are all based on
    /// this state.
    fn fold(&self, _lab: &Lab, cloud: State, _updates: &[Update]) -> State {
        cloud
    }

    /// What the cloud does after the fold of these updates.
    fn cloud_work(&self, _lab: &Lab, _task: &CloudTask, state: State, _updates: &[Update]) -> CloudOutcome {
        CloudOutcome { state, trained: Vec::new(), relay: None }
    }

    /// The work of [`Method::device_work`] on a device with so many private examples.
    fn device_load(&self, _model: &str, _examples: u32, _round: u32) -> Load {
        Load::default()
    }

    /// The work of [`Method::cloud_work`].
    fn cloud_load(&self, _round: u32) -> Load {
        Load::default()
    }

    /// The model that a device's users meet.
    fn edge_subject(&self, _cloud: &State, device: &State, model: &str) -> Subject {
        subject(device, model)
    }

    /// The models at the cloud that are scored.
    fn cloud_subjects(&self, cloud: &State) -> Vec<(Scope, Subject)>;
}

/// Something without which a method cannot serve a scenario.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Need {
    /// Public examples to train on; where examples are only counted, it is believed that there are some.
    PublicExamples,
    /// The texts of public examples, on which the size of what travels depends.
    PublicTexts,
    /// This model, with an adapter.
    Trained(String),
}

/// Why a method cannot serve a scenario.
#[derive(Debug, thiserror::Error)]
#[error("[method.{method}]: {problem}")]
pub struct Refusal {
    /// The method.
    pub method: String,
    /// What is wrong, naming the field, and what to write instead.
    pub problem: String,
}

/// Refuses a scenario that lacks what a method needs.
pub(crate) fn suits(method: &dyn Method, lab: &Lab) -> Result<(), Refusal> {
    let refuse = |problem: String| Err(Refusal { method: method.name().to_owned(), problem });
    let scenario = lab.scenario();
    let asked = match &scenario.method {
        Written::Custom(table) => &table.name,
        written => written.name(),
    };
    if asked != method.name() {
        return refuse(format!(
            "the scenario asks for `{asked}`: write [method.custom] name = {:?}",
            method.name()
        ));
    }
    for need in method.needs() {
        match need {
            Need::PublicExamples if lab.has_texts() && lab.public().is_empty() => {
                return refuse(
                    "it needs public examples, and there are none: write data.public above 0".to_owned(),
                );
            }
            Need::Trained(model) if lab.models().all(|one| one.name != model || one.layout.total() == 0) => {
                return refuse(format!("it trains `{model}`: write [models.{model}] with an adapter"));
            }
            Need::PublicTexts if lab.public().is_empty() => {
                return refuse(match lab.has_texts() {
                    true => "what travels is about public examples, and there are none: write data.public above 0",
                    false => "what travels is about public examples, and data.corpus.sizes only counts them: write a corpus with texts",
                }
                .to_owned());
            }
            Need::PublicExamples | Need::PublicTexts | Need::Trained(_) => {}
        }
    }
    Ok(())
}

/// The method of a table, as it is played.
///
/// # Errors
/// The method cannot do what its table asks for.
pub(crate) fn made(lab: &Lab, table: &Written) -> Result<Box<dyn Method>, Refusal> {
    Ok(match table {
        Written::ZeroShot(table) => Box::new(zero_shot::ZeroShot::new(table)),
        Written::Standalone(table) => Box::new(standalone::Standalone::new(table)),
        Written::Centralized(table) => Box::new(centralized::Centralized::new(table)),
        Written::FedAvg(table) => match table.ranks {
            Some(ranks) => Box::new(mixed_ranks::MixedRanks::new(lab, table, ranks)),
            None => Box::new(fedavg::FedAvg::new(lab, table)),
        },
        Written::FedAp(table) => Box::new(fedap::made(lab, table)),
        Written::FedCoLlm(table) => Box::new(fedcollm::FedCoLlm::new(table)),
        Written::FedMkt(table) => Box::new(fedmkt::FedMkt::new(table)?),
        Written::Custom(table) => {
            let problem = format!(
                "`{}` is no method of this program: one that uses cotune as a library plays it with Plan::draw_with",
                table.name
            );
            return Err(Refusal { method: "custom".to_owned(), problem });
        }
        Written::CoPlms(table) => Box::new(co_plms::CoPlms::new(table)),
        Written::ProxyRelay(table) => Box::new(proxy_relay::ProxyRelay::new(table)),
    })
}

/// Models as they start: each with the fresh adapter that follows from the run's seed.
pub fn fresh<'m>(lab: &Lab, models: impl IntoIterator<Item = &'m str>) -> State {
    let one = |name: &str| (name.to_owned(), lab.model(name).fresh(lab.scenario().seed));
    models.into_iter().map(one).collect()
}

/// A subject of one model in a state; the fresh adapter's values are part of every start state.
pub fn subject(state: &State, model: &str) -> Subject {
    Subject { model: model.to_string(), values: state[model].values.clone(), beneath: Vec::new() }
}
