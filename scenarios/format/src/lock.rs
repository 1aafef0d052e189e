//! Reading a lock file back. It may come from anyone, and what it holds was not read key by key as a scenario is: it is held
//! to the rules that would break whoever relies on them.

use crate::check::{self, Parts};
use crate::diagnostic::Severity;
use crate::document::Document;
use crate::fault::{Classes, Fault, Part};
use crate::limits;
use crate::node::Table;
use crate::reader::{Bound, Problems};
use crate::scenario::{FORMAT, Scenario};
use serde::de::Error as _;
use serde_json::Value;

/// Numbers that are not merely 0 or above, by the key they stand at or below.
const BOUNDS: &[(Bound, &[&str])] = &[
    (Bound::Finite, &["expectations", "factor", "timezone_seconds"]),
    (Bound::Correlation, &["correlation"]),
    (
        Bound::Positive,
        &[
            "alpha",
            "batch",
            "block",
            "buffer",
            "capacity_joules",
            "classes_per_device",
            "cloud_lr",
            "cohort",
            "compute_flops_per_second",
            "concurrency",
            "deadline_seconds",
            "devices",
            "down_bytes_per_second",
            "epochs",
            "eps",
            "examples",
            "keep",
            "kv_width",
            "layers",
            "lr",
            "max_tokens",
            "mean_off_seconds",
            "mean_on_seconds",
            "members",
            "memory_bandwidth_bytes_per_second",
            "memory_bytes",
            "micro_batch",
            "min_updates",
            "mu",
            "norm",
            "offline_seconds",
            "online_seconds",
            "panel",
            "params",
            "per_device",
            "prompts",
            "rank",
            "rounds",
            "session_seconds",
            "size",
            "tau",
            "temperature",
            "top_k",
            "up_bytes_per_second",
            "virtual_seconds",
            "width",
        ],
    ),
    (Bound::AtLeastOne, &["overcommit"]),
    (Bound::BelowOne, &["dropout", "loss", "momentum", "train_above"]),
    (Bound::BelowHalf, &["trim"]),
    (
        Bound::Fraction,
        &[
            "drop_per_transfer",
            "floor",
            "focus",
            "fraction",
            "memory_free",
            "online_at_peak",
            "online_at_trough",
            "overlap",
            "share",
            "strength",
        ],
    ),
];

/// Tables whose keys are names that somebody gave.
const NAMED: &[&str] = &["models", "classes"];

/// What only a method from outside understands.
const FREE: &str = "settings";

impl Scenario {
    /// Reads a lock file back, bit for bit.
    ///
    /// # Errors
    /// The text is not a lock file of this version, or says what no scenario says: a number outside its range, a name
    /// of nothing, sections that do not fit together.
    pub fn from_lock_json(text: &str) -> Result<Self, serde_json::Error> {
        check_numbers(&serde_json::from_str(text)?, "", Bound::NonNegative, false)
            .map_err(serde_json::Error::custom)?;
        let scenario: Self = serde_json::from_str(text)?;
        scenario.check_lock().map_err(serde_json::Error::custom)?;
        Ok(scenario)
    }

    fn check_lock(&self) -> Result<(), String> {
        if self.format != FORMAT {
            return Err(format!("it is of format {}, and this version reads format {FORMAT}", self.format));
        }
        self.check_fleet()?;
        self.check_names()?;
        self.check_together()
    }

    fn check_fleet(&self) -> Result<(), String> {
        let (devices, classes) = (self.fleet.devices, self.fleet.classes.len() as u64);
        if classes == 0 || devices < classes {
            return Err(format!("a fleet of {devices} cannot have {classes} classes"));
        }
        let total: f64 = self.fleet.classes.values().map(|class| class.share).sum();
        // As written they add up within 1e-9; every one of them was rounded since.
        if (total - 1.0).abs() > 1e-6 {
            return Err(format!("the shares of the fleet's classes add up to {total}, not 1"));
        }
        let slow = |fault: &Fault| matches!(fault, Fault::Slowdown { factor, .. } if *factor < 1.0);
        if self.faults.iter().any(slow) {
            return Err("a slowdown has a factor below 1".to_owned());
        }
        Ok(())
    }

    /// Every name that stands for a table of the scenario.
    fn check_names(&self) -> Result<(), String> {
        let classes = self.fleet.classes.values().map(|class| class.model.as_str());
        let mut models = classes.chain(self.method.cloud_model()).chain(self.method.proxy_model());
        if let Some(name) = models.find(|name| !self.models.contains_key(*name)) {
            return Err(format!("it has no model `{name}`"));
        }
        let unknown = |classes: &Classes| match classes {
            Classes::Named(name) => (!self.fleet.classes.contains_key(name)).then(|| name.clone()),
            Classes::All => None,
        };
        let unknown = |fault: &Fault| match fault {
            Fault::Crash { class, .. } | Fault::Slowdown { class, .. } | Fault::Corrupt { class, .. } => {
                unknown(class)
            }
            Fault::Partition { part: Part::Class(class), .. } => unknown(class),
            Fault::Partition { part: Part::Region(_), .. } | Fault::CloudRestart { .. } => None,
        };
        match self.faults.iter().find_map(unknown) {
            Some(name) => Err(format!("its fleet has no class `{name}`")),
            None => Ok(()),
        }
    }

    /// What must fit together across sections, by the rules for what is written.
    fn check_together(&self) -> Result<(), String> {
        let models = self.models.iter().map(|(name, model)| (name.clone(), Some(model.clone()))).collect();
        let parts = Parts {
            models: Some(&models),
            data: Some(&self.data),
            fleet: Some(&self.fleet),
            method: Some(&self.method),
            evaluation: &self.evaluation,
            budget: Some(&self.budget),
            cost: &self.cost,
            fairness: self.fairness.as_ref(),
        };
        let problems = Problems::default();
        check::together(&parts, &Document::of(Table { entries: Vec::new() }), &problems);
        let found = problems.into_diagnostics().0;
        match found.into_iter().find(|diagnostic| diagnostic.severity == Severity::Error) {
            Some(mistake) => Err(mistake.message),
            None => Ok(()),
        }
    }
}

/// Holds every number in `value`, which stands at `path`, to the bound of the nearest key around it that has one, and to
/// its limit. `named`: the keys of `value` are names that somebody gave.
fn check_numbers(value: &Value, path: &str, bound: Bound, named: bool) -> Result<(), String> {
    match value {
        Value::Number(number) => check_number(number.as_f64().unwrap_or(f64::NAN), path, bound),
        Value::Array(items) => items.iter().try_for_each(|item| check_numbers(item, path, bound, false)),
        Value::Object(entries) => {
            entries.iter().filter(|(key, _)| named || *key != FREE).try_for_each(|(key, item)| {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                let own = if named { None } else { bound_of(key) };
                check_numbers(item, &path, own.unwrap_or(bound), !named && NAMED.contains(&key.as_str()))
            })
        }
        Value::Null | Value::Bool(_) | Value::String(_) => Ok(()),
    }
}

fn check_number(number: f64, path: &str, bound: Bound) -> Result<(), String> {
    if let Some(wanted) = bound.broken(number) {
        return Err(format!("`{path}` {wanted}"));
    }
    match limits::most(path).filter(|most| number > *most as f64) {
        Some(most) => Err(format!("`{path}` has to be at most {most}")),
        None => Ok(()),
    }
}

fn bound_of(key: &str) -> Option<Bound> {
    BOUNDS.iter().find(|(_, keys)| keys.contains(&key)).map(|(bound, _)| *bound)
}
