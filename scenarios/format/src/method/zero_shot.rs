//! `[method.zero-shot]`.

use super::read::Models;
use super::{Seen, Table};
use crate::reader::View;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Bases as they are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ZeroShot {
    /// The cloud's LLM. Default: the model called `cloud`, if there is one.
    pub cloud: Option<String>,
    /// The proxy. Default: the model called `proxy`, if there is one.
    pub proxy: Option<String>,
}

impl Table for ZeroShot {
    fn cloud_model(&self) -> Option<&str> {
        self.cloud.as_deref()
    }

    fn proxy_model(&self) -> Option<&str> {
        self.proxy.as_deref()
    }

    fn trains<'a>(&'a self, _edge: &[&'a str]) -> Vec<&'a str> {
        Vec::new()
    }

    fn seen(&self) -> [Seen; 2] {
        [Seen::default(); 2]
    }
}

pub(super) fn read(view: View, models: &Models) -> Option<ZeroShot> {
    let method = ZeroShot { cloud: models.if_there(&view, "cloud"), proxy: models.if_there(&view, "proxy") };
    view.finish();
    Some(method)
}
