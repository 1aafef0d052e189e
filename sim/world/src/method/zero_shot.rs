//! Zero-shot: the bases as they are. The reference row that every table starts with.

use super::{DeviceOutcome, DeviceTask, Method, State, Subject, subject};
use crate::lab::Lab;
use crate::payload::Payload;
use cotune_models::learner::Progress;
use cotune_record::Scope;
use cotune_scenario::method as written;

/// Nothing is trained.
#[derive(Debug)]
pub struct ZeroShot {
    cloud: Option<String>,
    proxy: Option<String>,
}

impl ZeroShot {
    pub(super) fn new(table: &written::ZeroShot) -> Self {
        Self { cloud: table.cloud.clone(), proxy: table.proxy.clone() }
    }
}

impl Method for ZeroShot {
    fn name(&self) -> &'static str {
        "zero-shot"
    }

    fn citation(&self) -> &'static str {
        "reference row: the pretrained bases"
    }

    fn start_cloud(&self, lab: &Lab) -> State {
        let models = self.cloud.iter().chain(&self.proxy);
        models.map(|name| (name.clone(), lab.model(name).fresh(lab.scenario().seed))).collect()
    }

    fn start_device(&self, lab: &Lab, model: &str) -> State {
        State::from([(model.to_string(), lab.model(model).fresh(lab.scenario().seed))])
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

    fn cloud_subjects(&self, cloud: &State) -> Vec<(Scope, Subject)> {
        let llm = self.cloud.iter().map(|name| (Scope::Cloud, subject(cloud, name)));
        let proxy = self.proxy.iter().map(|name| (Scope::Proxy, subject(cloud, name)));
        llm.chain(proxy).collect()
    }
}
