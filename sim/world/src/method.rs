//! Methods: who learns what from whom.
//!
//! A method is a set of pure functions over explicit state: what a device does with what it received, how the cloud
//! folds what came back, what it does with that. It never sees a clock, a link or another device. Adding a method is
//! one file here and one line in [`of`]; it inherits the conformance suite.
//!
//! | file           | method |
//! |----------------|--------|
//! | `zero_shot.rs` | the bases as they are |
//! | `standalone.rs`| every party alone |
//! | `centralized.rs`| everybody's data at the cloud |
//! | `fedavg.rs`    | federated averaging of adapters |
//! | `fedap.rs`     | the same of bottleneck adapters |
//! | `fedcollm.rs`  | one SLM on all devices, and mutual learning with the LLM at the cloud |
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
pub(crate) mod mutual;
pub mod proxy_relay;
pub(crate) mod relay;
pub mod standalone;
pub(crate) mod training;
pub(crate) mod travelling;
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
    /// Prompts of a relay set that it used: sampled and kept.
    pub relay: Option<(u32, u32)>,
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
    /// Prompts of a relay set that it used: sampled and kept.
    pub relay: Option<(u32, u32)>,
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
    pub base: Option<Arc<Payload>>,
    /// What it sent.
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

/// A forward pass over a share of the labelled examples that the machine has.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EvaluationLoad {
    /// The model.
    pub model: String,
    /// The share, in (0, 1].
    pub share: f64,
}

/// A model to be scored: its key in `[models]` and its trained values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Subject {
    /// The model.
    pub model: String,
    /// The adapter's values.
    pub values: Vec<f32>,
}

/// A method, made for one scenario. What a method does not say is: nothing travels, nothing is folded, the cloud rests,
/// and a device serves its own model.
pub trait Method: Debug + Send + Sync {
    /// Its name in the scenario language.
    fn name(&self) -> &'static str;

    /// The paper it is from, or what it is a reference for.
    fn citation(&self) -> &'static str;

    /// What the cloud starts with.
    fn start_cloud(&self, lab: &Lab) -> State;

    /// What a device that runs `model` starts with.
    fn start_device(&self, lab: &Lab, model: &str) -> State;

    /// What the cloud sends to a device that runs `model` when a round opens.
    fn broadcast(&self, _lab: &Lab, _cloud: &State, _model: &str) -> Payload {
        Payload::default()
    }

    /// A payload of the size of a device's update; its values are never read.
    fn uplink(&self, _lab: &Lab, _model: &str) -> Payload {
        Payload::default()
    }

    /// What a device does with what it received.
    fn device_work(&self, lab: &Lab, task: &DeviceTask, state: State, received: &Payload) -> DeviceOutcome;

    /// The cloud's state after the updates of a round, which come in ascending order of devices and are all based on
    /// this state.
    fn fold(&self, _lab: &Lab, cloud: State, _updates: &[Update]) -> State {
        cloud
    }

    /// What the cloud does after the fold of these updates.
    fn cloud_work(&self, _lab: &Lab, _task: &CloudTask, state: State, _updates: &[Update]) -> CloudOutcome {
        CloudOutcome { state, trained: Vec::new(), relay: None }
    }

    /// The work of [`Method::device_work`].
    fn device_load(&self, _model: &str, _round: u32) -> Load {
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

/// Why a method cannot serve a scenario.
#[derive(Debug, thiserror::Error)]
#[error("[method.{method}]: {problem}")]
pub struct Refusal {
    /// The method.
    pub method: &'static str,
    /// What is wrong, naming the field, and what to write instead.
    pub problem: String,
}

/// The method of a scenario.
///
/// # Errors
/// The method cannot do what its table asks for.
pub fn of(lab: &Lab) -> Result<Box<dyn Method>, Refusal> {
    Ok(match &lab.scenario().method {
        Written::ZeroShot(table) => Box::new(zero_shot::ZeroShot::new(table)),
        Written::Standalone(table) => Box::new(standalone::Standalone::new(table)),
        Written::Centralized(table) => Box::new(centralized::Centralized::new(table)),
        Written::FedAvg(table) => Box::new(fedavg::FedAvg::new(table)),
        Written::FedAp(table) => Box::new(fedap::FedAp::new(table)),
        Written::FedCoLlm(table) => Box::new(fedcollm::FedCoLlm::new(table)),
        Written::CoPlms(table) => Box::new(co_plms::CoPlms::new(table)?),
        Written::ProxyRelay(table) => Box::new(proxy_relay::ProxyRelay::new(table)),
    })
}

/// Models as they start: each with the fresh adapter that follows from the run's seed.
pub(crate) fn fresh<'m>(lab: &Lab, models: impl IntoIterator<Item = &'m str>) -> State {
    let one = |name: &str| (name.to_owned(), lab.model(name).fresh(lab.scenario().seed));
    models.into_iter().map(one).collect()
}

/// A subject of one model in a state; the fresh adapter's values are part of every start state.
pub(crate) fn subject(state: &State, model: &str) -> Subject {
    Subject { model: model.to_string(), values: state[model].values.clone() }
}
