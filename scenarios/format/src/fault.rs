//! `[[fault]]`: what goes wrong.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::codes;
use crate::diagnostic::Diagnostic;
use crate::fleet::Fleet;
use crate::reader::{Bound, View};
use crate::{units, words};

/// Something that goes wrong.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// Training devices crash; the update is lost.
    Crash {
        /// Whom it hits.
        class: Classes,
        /// How often a training device crashes \[1/s\].
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
    /// Some devices cannot reach the cloud for a while; what they compute goes on.
    Partition {
        /// Whom it cuts off.
        part: Part,
        /// When it begins \[s\].
        at_seconds: f64,
        /// How long it lasts \[s\].
        lasts_seconds: f64,
    },
    /// Some devices alter every update before they send it.
    Corrupt {
        /// Whom it hits.
        class: Classes,
        /// Fraction of those devices, in (0, 1].
        fraction: f64,
        /// What becomes of an update.
        how: Corruption,
    },
    /// The cloud stops and comes back with its last aggregate; what was in progress is lost.
    CloudRestart {
        /// When it stops \[s\].
        at_seconds: f64,
        /// How long it cannot be reached \[s\].
        outage_seconds: f64,
    },
}

/// What a partition cuts off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// A class, or all of them.
    Class(Classes),
    /// The classes of a region.
    Region(String),
}

impl Part {
    /// Whether the class `name` in `region` is meant.
    pub fn includes(&self, name: &str, region: Option<&str>) -> bool {
        match self {
            Self::Class(classes) => classes.includes(name),
            Self::Region(meant) => region == Some(meant),
        }
    }
}

impl std::fmt::Display for Part {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Class(Classes::All) => formatter.write_str("every class"),
            Self::Class(Classes::Named(name)) => write!(formatter, "the class {name}"),
            Self::Region(name) => write!(formatter, "the region {name}"),
        }
    }
}

/// What becomes of an update of a corrupt device.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Corruption {
    /// One value in a thousand, at least one, is not a number: a diverged or broken trainer.
    Nan,
    /// One bit of one value in a thousand, at least one, is flipped: bad memory.
    BitFlip,
    /// Every value is multiplied: a wrong unit, or an attack by boosting.
    Scale {
        /// The factor, not 0. Default: 100 (chosen).
        factor: f64,
    },
}

/// A device class, or all of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
    let time = |key, bound| view.quantity(key, &units::TIME, bound).required(view.problems);
    let fault = match name {
        "crash" => {
            let class = classes(&view, fleet);
            let rate = view.quantity("rate", &units::HAZARD, Bound::NonNegative).required(view.problems);
            rate.map(|rate_per_second| Fault::Crash { class, rate_per_second })
        }
        "partition" => {
            let part = part(&view, fleet);
            let (at, lasts) = (time("at", Bound::NonNegative), time("lasts", Bound::Positive));
            at.zip(lasts).map(|(at_seconds, lasts_seconds)| Fault::Partition {
                part,
                at_seconds,
                lasts_seconds,
            })
        }
        "corrupt" => {
            let class = classes(&view, fleet);
            let fraction = view.number("fraction", Bound::Share).required(view.problems);
            let how = corruption(&view);
            fraction.zip(how).map(|(fraction, how)| Fault::Corrupt { class, fraction, how })
        }
        "cloud_restart" => {
            let (at, outage) = (time("at", Bound::NonNegative), time("outage", Bound::NonNegative));
            at.zip(outage)
                .map(|(at_seconds, outage_seconds)| Fault::CloudRestart { at_seconds, outage_seconds })
        }
        _ => {
            let class = classes(&view, fleet);
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

/// A class, a region, or everyone.
fn part(view: &View, fleet: Option<&Fleet>) -> Part {
    let Some(region) = view.string("region", "\"eu\"").optional() else {
        return Part::Class(classes(view, fleet));
    };
    if view.has("class") {
        let message = "a partition cuts off a class or a region";
        let error = Diagnostic::new(codes::CONFLICT, message).label(view.key_place("class"), "the second");
        view.problems.add(error.label(view.key_place("region"), "the first").help("keep one of them"));
        classes(view, fleet);
    }
    let regions: BTreeSet<&str> = fleet
        .iter()
        .flat_map(|fleet| fleet.classes.values())
        .filter_map(|class| class.region.as_deref())
        .collect();
    if fleet.is_some() && !regions.contains(region.as_str()) {
        let help = match regions.is_empty() {
            true => format!("write region = {region:?} in the classes that are there"),
            false => words::suggestion(&region, regions.iter().copied()),
        };
        let error = Diagnostic::new(
            codes::UNKNOWN_CLASS,
            format!("no class of the fleet is in the region `{region}`"),
        );
        view.problems.add(error.label(view.place("region"), "unknown").help(help));
    }
    Part::Region(region)
}

fn corruption(view: &View) -> Option<Corruption> {
    #[derive(Clone, Copy)]
    enum How {
        Nan,
        BitFlip,
        Scale,
    }
    let choices = &[("nan", How::Nan), ("bit-flip", How::BitFlip), ("scale", How::Scale)];
    Some(match view.word("how", choices).required(view.problems)? {
        How::Nan => Corruption::Nan,
        How::BitFlip => Corruption::BitFlip,
        How::Scale => {
            let factor = view.number("factor", Bound::Finite).or(100.0);
            if factor == 0.0 {
                let error = Diagnostic::new(codes::OUT_OF_RANGE, "a factor of 0 leaves no update");
                view.problems
                    .add(error.label(view.place("factor"), "not 0").help("write a factor such as -10"));
            }
            Corruption::Scale { factor }
        }
    })
}
