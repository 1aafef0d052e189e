//! The model that travels: small, the same at the cloud and on every device, its adapter sent down and brought back.

use super::relay::{relay_on_device, sent_prompts};
use super::{Need, State, Update};
use crate::aggregate::aggregate;
use crate::lab::Lab;
use crate::payload::Payload;
use cotune_models::learner::Trained;
use cotune_scenario::method::{Aggregate, Relay};

/// How a method's travelling model is sent and averaged.
pub struct Travelling<'t> {
    /// The model.
    pub model: &'t str,
    /// How the devices' adapters become one.
    pub aggregate: &'t Aggregate,
    /// The relay set whose prompts may travel with it.
    pub relay: Option<&'t Relay>,
}

impl Travelling<'_> {
    /// Its adapter and, where the cloud teaches an LLM, that one's and public examples.
    pub fn needs(&self, llm: Option<&str>) -> Vec<Need> {
        let llm = llm.map(|llm| [Need::Trained(llm.to_owned()), Need::PublicExamples]);
        [Need::Trained(self.model.to_owned())].into_iter().chain(llm.into_iter().flatten()).collect()
    }

    /// θ^t, and with `delivery = "send"` room for the prompts of the relay set once it has started on devices.
    pub fn broadcast(&self, cloud: &State, round: u32) -> Payload {
        let mut payload = Payload::adapter(self.model, &cloud[self.model].values);
        payload.parts.extend(relay_on_device(self.relay, round).and_then(sent_prompts));
        payload
    }

    /// A payload of the size of θ_i.
    pub fn uplink(&self, lab: &Lab) -> Payload {
        Payload::adapter(self.model, &vec![0.0; lab.model(self.model).layout.total()])
    }

    /// θ_i ← θ^t, with an optimizer that starts anew.
    ///
    /// # Panics
    /// The payload is no broadcast of this model.
    pub fn received(&self, payload: &Payload) -> Trained {
        let values =
            payload.values(self.model).expect("the broadcast carries the adapter of the model that travels");
        Trained { values: values.to_vec(), ..Trained::default() }
    }

    /// θ ← Σ_i (n_i/Σn) θ_i, or what another rule makes of the θ_i; as it was where nobody sent one.
    pub fn fold(&self, mut cloud: State, updates: &[Update]) -> State {
        if let Some(values) = aggregate(self.aggregate, updates, self.model, &cloud[self.model].values) {
            cloud.insert(self.model.to_owned(), Trained { values, ..Trained::default() });
        }
        cloud
    }
}
