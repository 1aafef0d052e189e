//! `[[fault]]`: what goes wrong.

use serde::{Deserialize, Serialize};

use crate::codes;
use crate::diagnostic::Diagnostic;
use crate::fleet::Fleet;
use crate::reader::{Bound, View};
use crate::{units, words};

/// Something that goes wrong.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// Training devices crash; the update is lost.
    Crash {
        /// Whom it hits.
        class: Classes,
        /// Crashes per second of a training device.
        rate_per_second: f64,
    },
    /// Some devices are slower than their class says.
    Slowdown {
        /// Whom it hits.
        class: Classes,
        /// Fraction of those devices, in (0, 1].
        fraction: f64,
        /// Their training takes this many times as long, at least 1.
        factor: f64,
    },
}

/// A device class, or all of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Classes {
    /// `"*"`: every class.
    All,
    /// One class by name.
    Named(String),
}

impl Classes {
    /// Whether the class `name` is meant.
    pub fn includes(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Named(named) => named == name,
        }
    }
}

pub(crate) fn read(root: &View, fleet: Option<&Fleet>) -> Vec<Fault> {
    root.tables("fault").into_iter().filter_map(|view| fault(view, fleet)).collect()
}

fn fault(view: View, fleet: Option<&Fleet>) -> Option<Fault> {
    let (name, view) = view.chosen(&words::FAULT).map_err(|error| view.problems.add(error)).ok()?;
    let class = classes(&view, fleet);
    let fault = match name {
        "crash" => {
            let rate = view.quantity("rate", &units::HAZARD, Bound::NonNegative).required(view.problems);
            rate.map(|rate_per_second| Fault::Crash { class, rate_per_second })
        }
        _ => {
            let fraction = view.number("fraction", Bound::Share).required(view.problems);
            let factor = view.number("factor", Bound::AtLeastOne).required(view.problems);
            fraction.zip(factor).map(|(fraction, factor)| Fault::Slowdown { class, fraction, factor })
        }
    };
    view.finish();
    fault
}

/// All classes unless one is named.
fn classes(view: &View, fleet: Option<&Fleet>) -> Classes {
    match view.string("class", "\"*\"").optional() {
        Some(name) if name != "*" => {
            if let Some(fleet) = fleet.filter(|fleet| !fleet.classes.contains_key(&name)) {
                let help = words::suggestion(&name, fleet.classes.keys().map(String::as_str));
                let error = Diagnostic::new(codes::UNKNOWN_CLASS, format!("the fleet has no class `{name}`"));
                view.problems.add(error.label(view.place("class"), "unknown").help(help));
            }
            Classes::Named(name)
        }
        _ => Classes::All,
    }
}
