//! `[method.custom]`: a method that a program brings which uses cotune as a library.

use super::read::{Models, optimizer, relay, steps};
use super::{Optimizer, Relay, Seen, Steps, Table};
use crate::codes;
use crate::diagnostic::Diagnostic;
use crate::node::{Node, Value};
use crate::reader::{Shape, View, wrong_type};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

/// A method from outside: what every method may have, and settings that only it understands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Custom {
    /// What the method calls itself.
    pub name: String,
    /// The cloud's LLM. Default: the model called `cloud`, if there is one.
    pub cloud: Option<String>,
    /// The model that travels. Default: the model called `proxy`, if there is one.
    pub proxy: Option<String>,
    /// Steps of a device per round. Default: tune 40 (chosen: what co-plms does in all).
    pub device_steps: Steps,
    /// Steps of the cloud per round. Default: none.
    pub cloud_steps: Steps,
    /// Examples per step. Default: 16.
    pub batch: u32,
    /// The optimizer.
    pub optimizer: Optimizer,
    /// A relay set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relay: Option<Relay>,
    /// Whatever else the method wants to know, as it was written.
    #[serde(default)]
    pub settings: Map<String, Json>,
}

impl Table for Custom {
    fn cloud_model(&self) -> Option<&str> {
        self.cloud.as_deref()
    }

    fn proxy_model(&self) -> Option<&str> {
        self.proxy.as_deref()
    }

    /// Nobody knows here; the method itself says what it needs.
    fn trains<'a>(&'a self, _edge: &[&'a str]) -> Vec<&'a str> {
        Vec::new()
    }

    fn relay(&self) -> Option<&Relay> {
        self.relay.as_ref()
    }

    fn optimizer(&self) -> Option<&Optimizer> {
        Some(&self.optimizer)
    }

    fn steps_mut(&mut self) -> Vec<&mut Steps> {
        vec![&mut self.device_steps, &mut self.cloud_steps]
    }

    fn relay_mut(&mut self) -> Option<&mut Relay> {
        self.relay.as_mut()
    }

    /// As far as steps and the relay set tell: what the method makes of them is its own.
    fn seen(&self) -> [Seen; 2] {
        let takes = |steps: Steps| steps.tune > 0 || steps.mutual > 0;
        let (device, cloud) = (takes(self.device_steps), takes(self.cloud_steps));
        let relay = self.relay.is_some();
        [
            Seen { private: device, public: false, relay: device && relay },
            Seen { private: false, public: cloud, relay: cloud && relay },
        ]
    }
}

pub(super) fn read(view: View, models: &Models) -> Option<Custom> {
    let name = view.string("name", "\"my-method\"").required(view.problems);
    let (cloud, proxy) = (models.if_there(&view, "cloud"), models.if_there(&view, "proxy"));
    let kinds = ["tune", "mutual"];
    let device_steps = steps(&view, "device_steps", Steps { tune: 40, mutual: 0 }, &kinds);
    let cloud_steps = steps(&view, "cloud_steps", Steps { tune: 0, mutual: 0 }, &kinds);
    let batch = view.count("batch", 1).or(16);
    let optimizer = optimizer(&view);
    let relay = view.table("relay").optional().map(relay);
    let settings = |node: &Node, path: &str| match json(node) {
        Some(Json::Object(settings)) => Some(settings),
        Some(_) => {
            view.problems.add(wrong_type(node, path, "a table", "{ share = 0.5 }"));
            None
        }
        None => {
            let error =
                Diagnostic::new(codes::WRONG_TYPE, format!("`{path}` has a date, or a number that is none"));
            view.problems.add(error.label(node.at.clone(), "in here").help("write dates as strings"));
            None
        }
    };
    let settings = view.part("settings", "{ share = 0.5 }", || Shape::Free, settings).or(Map::new());
    view.finish();
    Some(Custom { name: name?, cloud, proxy, device_steps, cloud_steps, batch, optimizer, relay, settings })
}

/// A value as it was written; none if it holds what JSON has no word for.
fn json(node: &Node) -> Option<Json> {
    Some(match &node.value {
        Value::String(text) => Json::from(text.as_str()),
        Value::Integer(number) => Json::from(*number),
        Value::Float(number) => Json::from(serde_json::Number::from_f64(*number)?),
        Value::Boolean(truth) => Json::from(*truth),
        Value::Date => return None,
        Value::Array(items) => Json::Array(items.iter().map(json).collect::<Option<_>>()?),
        Value::Table(table) => {
            let entries = table.entries.iter();
            Json::Object(
                entries.map(|entry| Some((entry.key.clone(), json(&entry.node)?))).collect::<Option<_>>()?,
            )
        }
    })
}
