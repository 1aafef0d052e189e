//! The valid scenario: SI units, every default resolved. Its JSON is the lock file, which `lock.rs` reads back.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::budget::Budget;
use crate::cloud::Cloud;
use crate::coordination::Coordination;
use crate::cost::Cost;
use crate::data::Data;
use crate::evaluation::Evaluation;
use crate::expect::Expectation;
use crate::fairness::Fairness;
use crate::fault::Fault;
use crate::fleet::Fleet;
use crate::method::Method;
use crate::models::Model;
use crate::transfer::Transfer;

/// The version of the scenario language that this crate reads.
pub const FORMAT: u32 = 1;

/// A valid scenario.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Scenario {
    /// Version of the language.
    pub format: u32,
    /// What the run is called. Not part of the digest.
    pub name: String,
    /// Seed of everything that is drawn.
    pub seed: u64,
    /// The language models by name.
    pub models: BTreeMap<String, Model>,
    /// The data.
    pub data: Data,
    /// The devices.
    pub fleet: Fleet,
    /// The server.
    pub cloud: Cloud,
    /// Who learns what from whom.
    pub method: Method,
    /// Who is invited, and when a round ends.
    pub coordination: Coordination,
    /// How long work and transfers are said to take.
    #[serde(default, skip_serializing_if = "Cost::is_roofline")]
    pub cost: Cost,
    /// How payloads are encoded.
    pub transfer: Transfer,
    /// What a device's round is worth; none: what the method says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fairness: Option<Fairness>,
    /// What goes wrong.
    pub faults: Vec<Fault>,
    /// What is measured.
    pub evaluation: Evaluation,
    /// When the run ends.
    pub budget: Budget,
    /// What the run is expected to show.
    pub expectations: Vec<Expectation>,
    /// How the simulation is carried out. Never changes results; not part of the digest.
    pub simulation: Simulation,
    /// BLAKE3 (hex) of every file the scenario names, by path as written; empty until the caller, who
    /// can read files, fills it in.
    pub file_digests: BTreeMap<String, String>,
}

impl Scenario {
    /// The scenario's identity, 64 hex digits: BLAKE3 of its lock file without name and `[simulation]`.
    pub fn digest(&self) -> String {
        let identity = Self { name: String::new(), simulation: Simulation::default(), ..self.clone() };
        let json =
            serde_json::to_string(&identity).expect("a scenario has only finite numbers and string keys");
        blake3::hash(json.as_bytes()).to_hex().to_string()
    }

    /// The lock file: every default resolved, SI units.
    pub fn to_lock_json(&self) -> String {
        let mut json =
            serde_json::to_string_pretty(self).expect("a scenario has only finite numbers and string keys");
        json.push('\n');
        json
    }
}

/// `[simulation]`: how the simulation is carried out. Never changes results.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Simulation {
    /// Which devices have a live actor.
    pub actors: Actors,
}

/// Which devices have a live actor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Actors {
    /// Those with something to do. The default.
    #[default]
    Active,
    /// All of them.
    All,
}
