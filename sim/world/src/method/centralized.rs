//! Centralized: the cloud tunes its LLM on every private and every public example at once.
//!
//! The upper reference row of FedMKT (arXiv 2406.02224) and FedCoLLM (arXiv 2411.11707). It is no federated method: it
//! needs the private examples at the cloud, which is what federation is there to avoid. How they got there is not
//! played, so no bytes are counted for them. Devices train nothing and serve their bases.

use super::training::{TunePlan, tuned};
use super::{
    CloudOutcome, CloudTask, DeviceOutcome, DeviceTask, Load, Method, State, Subject, TrainingLoad, Update,
    fresh, subject,
};
use crate::lab::{Lab, LabModel};
use crate::payload::Payload;
use cotune_models::learner::Progress;
use cotune_record::Scope;
use cotune_scenario::method as written;

/// Everybody's data in one place.
#[derive(Debug)]
pub struct Centralized {
    table: written::Centralized,
}

impl Centralized {
    pub(super) fn new(table: &written::Centralized) -> Self {
        Self { table: table.clone() }
    }
}

impl Method for Centralized {
    fn name(&self) -> &'static str {
        "centralized"
    }

    fn citation(&self) -> &'static str {
        "reference row: LoRA tuning (arXiv 2106.09685) on everybody's data, which federation never has in one place"
    }

    fn start_cloud(&self, lab: &Lab) -> State {
        fresh(lab, [self.table.cloud.as_str()])
    }

    fn start_device(&self, lab: &Lab, model: &str) -> State {
        fresh(lab, [model])
    }

    fn device_work(
        &self,
        _lab: &Lab,
        _task: &DeviceTask,
        state: State,
        _received: &Payload,
    ) -> DeviceOutcome {
        DeviceOutcome { state, update: Payload::default(), trained: Progress::default(), relay: None }
    }

    fn cloud_work(&self, lab: &Lab, task: &CloudTask, mut state: State, _updates: &[Update]) -> CloudOutcome {
        let written::Centralized { cloud: name, optimizer, cloud_steps, batch } = &self.table;
        let plan = TunePlan::of_cloud(lab, optimizer, task, cloud_steps.tune, *batch);
        let everything =
            |model: &LabModel| model.text.private.iter().chain(&model.text.public).cloned().collect();
        let (llm, progress) = tuned(lab, name, &state[name], everything, &plan);
        state.insert(name.clone(), llm);
        CloudOutcome { state, trained: vec![(name.clone(), progress)], relay: None }
    }

    fn cloud_load(&self, _round: u32) -> Load {
        let (steps, batch) = (self.table.cloud_steps.tune, self.table.batch);
        let training = vec![TrainingLoad { model: self.table.cloud.clone(), steps, batch }];
        Load { training, ..Load::default() }
    }

    fn cloud_subjects(&self, cloud: &State) -> Vec<(Scope, Subject)> {
        vec![(Scope::Cloud, subject(cloud, &self.table.cloud))]
    }
}
