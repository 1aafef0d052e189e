//! Standalone: every device tunes on its own examples, the cloud on the public ones, and nothing travels.
//!
//! With `public = true` a device's examples are joined by the public ones.

use super::training::{TunePlan, Tuning, private_text, tuned};
use super::{
    CloudOutcome, CloudTask, DeviceOutcome, DeviceTask, Load, Method, State, Subject, TrainingLoad, Update,
    subject,
};
use crate::lab::{Lab, LabModel};
use crate::payload::Payload;
use cotune_models::learner::{Progress, Trained};
use cotune_record::Scope;
use cotune_scenario::method as written;

/// Every party alone.
#[derive(Debug)]
pub struct Standalone {
    table: written::Standalone,
}

impl Standalone {
    pub(super) fn new(table: &written::Standalone) -> Self {
        Self { table: table.clone() }
    }

    fn load(model: &str, steps: u32, batch: u32) -> Load {
        let training = vec![TrainingLoad { model: model.to_string(), steps, batch }];
        Load { training, ..Load::default() }
    }
}

impl Method for Standalone {
    fn name(&self) -> &'static str {
        "standalone"
    }

    fn citation(&self) -> &'static str {
        "reference row: local LoRA tuning (Hu et al. 2021, arXiv 2106.09685)"
    }

    fn start_cloud(&self, lab: &Lab) -> State {
        let cloud = self.table.cloud.iter();
        cloud.map(|name| (name.clone(), lab.model(name).fresh(lab.scenario().seed))).collect()
    }

    fn start_device(&self, lab: &Lab, model: &str) -> State {
        State::from([(model.to_string(), lab.model(model).fresh(lab.scenario().seed))])
    }

    fn device_tunes<'m>(&'m self, model: &'m str) -> Option<&'m str> {
        Some(model)
    }

    fn device_tuning<'l>(
        &self,
        lab: &'l Lab,
        task: &DeviceTask,
        state: &State,
        _received: &Payload,
    ) -> Tuning<'l> {
        let written::Standalone { optimizer, device_steps, batch, .. } = &self.table;
        let plan = TunePlan::of_device(lab, optimizer, task, device_steps.tune, *batch);
        let text = |model: &LabModel| {
            let mut text = private_text(lab, model, task.device);
            if self.table.public {
                text.extend(model.text.public.iter().cloned());
            }
            text
        };
        Tuning::new(lab, &task.model, &state[&task.model], text, &plan)
    }

    fn device_tuned(
        &self,
        _lab: &Lab,
        task: &DeviceTask,
        mut state: State,
        _received: &Payload,
        (tuned, trained): (Trained, Progress),
    ) -> DeviceOutcome {
        state.insert(task.model.clone(), tuned);
        DeviceOutcome { state, update: Payload::default(), trained, relay: None }
    }

    fn cloud_work(&self, lab: &Lab, task: &CloudTask, mut state: State, _updates: &[Update]) -> CloudOutcome {
        let mut trained = Vec::new();
        if let Some(name) = &self.table.cloud {
            let written::Standalone { optimizer, cloud_steps, batch, .. } = &self.table;
            let plan = TunePlan::of_cloud(lab, optimizer, task, cloud_steps.tune, *batch);
            let (llm, progress) = tuned(lab, name, &state[name], |model| model.text.public.clone(), &plan);
            state.insert(name.clone(), llm);
            trained.push((name.clone(), progress));
        }
        CloudOutcome { state, trained, relay: None }
    }

    fn device_load(&self, model: &str, _examples: u32, _round: u32) -> Load {
        Self::load(model, self.table.device_steps.tune, self.table.batch)
    }

    fn cloud_load(&self, _round: u32) -> Load {
        match &self.table.cloud {
            Some(name) => Self::load(name, self.table.cloud_steps.tune, self.table.batch),
            None => Load::default(),
        }
    }

    fn cloud_subjects(&self, cloud: &State) -> Vec<(Scope, Subject)> {
        self.table.cloud.iter().map(|name| (Scope::Cloud, subject(cloud, name))).collect()
    }
}
