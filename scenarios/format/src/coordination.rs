//! `[coordination]`: who is invited, and when there is a new model.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::codes;
use crate::diagnostic::Diagnostic;
use crate::reader::{Bound, View};
use crate::{units, words};

/// How devices and cloud take turns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Coordination {
    /// Synchronous rounds.
    Sync(Synchronous),
    /// No rounds: updates are buffered.
    Buffered(Buffered),
    /// Every update makes a new model: a buffer of 1.
    Async(Buffered),
}

/// Synchronous rounds with over-selection (Bonawitz et al. 2019, arXiv 1902.01046).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Synchronous {
    /// Updates that end a round early; at most the fleet. Default: all devices.
    pub cohort: u64,
    /// Devices invited per wanted update, at least 1. Default: 1.
    pub overcommit: f64,
    /// Longest round \[s\]; none: a round waits for every invited device.
    pub deadline_seconds: Option<f64>,
    /// Fewest updates of a round that counts, at least 1. Default: 1.
    pub min_updates: u64,
}

/// Buffered asynchronous aggregation: FedBuff (Nguyen et al. 2022, arXiv 2106.06639).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Buffered {
    /// Devices at work at the same time; at most the fleet. Default: all devices.
    pub concurrency: u64,
    /// Updates that make a new model; at most the fleet. Default: 10 (FedBuff §5), or all devices where they are fewer.
    pub buffer: u64,
    /// Most models an update may be behind; none: however old. Default: none.
    pub max_staleness: Option<u64>,
    /// a in (1 + s)^-a, the discount of an update that is s models behind. Default: 0.5 (FedBuff §5).
    pub staleness_exponent: f64,
}

impl Coordination {
    /// Most devices that are at work on one model at the same time, of a fleet of `devices`.
    pub fn invited(&self, devices: u64) -> u64 {
        match self {
            Self::Sync(sync) => sync.invited(devices),
            Self::Buffered(buffered) | Self::Async(buffered) => buffered.concurrency.min(devices),
        }
    }

    /// Longest round \[s\], where there are rounds and one is written.
    pub fn deadline_seconds(&self) -> Option<f64> {
        match self {
            Self::Sync(sync) => sync.deadline_seconds,
            Self::Buffered(_) | Self::Async(_) => None,
        }
    }

    /// Devices that work for one aggregate if nothing goes wrong, of a fleet of `devices`.
    pub fn updates_per_round(&self, devices: u64) -> u64 {
        match self {
            Self::Sync(sync) => sync.invited(devices),
            Self::Buffered(buffered) | Self::Async(buffered) => buffered.buffer.min(devices),
        }
    }
}

impl Synchronous {
    /// Devices invited in a round: ceil(cohort · overcommit), at most the fleet.
    pub fn invited(&self, devices: u64) -> u64 {
        // 20 · 1.3 is 26.000000000000004 in binary floating point and must invite 26.
        let wanted = (self.cohort as f64 * self.overcommit - 1e-9).ceil() as u64;
        wanted.max(self.cohort).min(devices)
    }
}

/// `devices` is none where the fleet is not known because of another mistake.
pub(crate) fn read(root: &View, devices: Option<u64>) -> Coordination {
    let all = devices.unwrap_or(u64::MAX);
    let chosen = root.choice("coordination", &words::COORDINATION).optional();
    match chosen {
        Some(("buffered", view)) => {
            let buffer = at_most(&view, "buffer", all, all.min(BUFFER));
            Coordination::Buffered(buffered(view, all, buffer))
        }
        Some(("async", view)) => Coordination::Async(buffered(view, all, 1)),
        Some((_, view)) => Coordination::Sync(synchronous(view, all)),
        None => Coordination::Sync(Synchronous {
            cohort: all,
            overcommit: 1.0,
            deadline_seconds: None,
            min_updates: 1,
        }),
    }
}

/// FedBuff's K.
const BUFFER: u64 = 10;

fn buffered(view: View, devices: u64, buffer: u64) -> Buffered {
    let buffered = Buffered {
        concurrency: at_most(&view, "concurrency", devices, devices),
        buffer,
        max_staleness: view.count("max_staleness", 0).optional(),
        staleness_exponent: view.number("staleness_exponent", Bound::NonNegative).or(0.5),
    };
    view.finish();
    buffered
}

/// A number of devices, which the fleet must have.
fn at_most(view: &View, key: &'static str, devices: u64, default: u64) -> u64 {
    let count = view.count(key, 1).or(default);
    if count > devices {
        let message = format!("a {key} of {count} is larger than the fleet of {devices}");
        let error = Diagnostic::new(codes::COHORT, message).label(view.place(key), "too large");
        let default = if default == devices { "for all devices" } else { "for its default" };
        view.problems.add(error.help(format!("write at most {devices}, or leave it out {default}")));
    }
    count
}

fn synchronous(view: View, devices: u64) -> Synchronous {
    let sync = Synchronous {
        cohort: at_most(&view, "cohort", devices, devices),
        overcommit: view.number("overcommit", Bound::AtLeastOne).or(1.0),
        deadline_seconds: view.quantity("deadline", &units::TIME, Bound::Positive).optional(),
        min_updates: view.count("min_updates", 1).or(1),
    };
    if sync.min_updates > sync.cohort {
        let message =
            format!("min_updates = {} is larger than the cohort of {}", sync.min_updates, sync.cohort);
        let error =
            Diagnostic::new(codes::MIN_UPDATES, message).label(view.place("min_updates"), "never reached");
        view.problems.add(
            error.label(view.place("cohort"), "the cohort").help(format!("write at most {}", sync.cohort)),
        );
    }
    view.finish();
    sync
}
