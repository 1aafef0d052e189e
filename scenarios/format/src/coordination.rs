//! `[coordination]`: who is invited, and when a round ends.

use serde::{Deserialize, Serialize};

use crate::codes;
use crate::diagnostic::Diagnostic;
use crate::reader::{Bound, View};
use crate::{units, words};

/// How rounds are run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Coordination {
    /// Synchronous rounds.
    Sync(Synchronous),
}

/// Synchronous rounds with over-selection (Bonawitz et al. 2019, arXiv 1902.01046).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
    Coordination::Sync(match chosen {
        Some((_, view)) => synchronous(view, all),
        None => Synchronous { cohort: all, overcommit: 1.0, deadline_seconds: None, min_updates: 1 },
    })
}

fn synchronous(view: View, devices: u64) -> Synchronous {
    let sync = Synchronous {
        cohort: view.count("cohort", 1).or(devices),
        overcommit: view.number("overcommit", Bound::AtLeastOne).or(1.0),
        deadline_seconds: view.quantity("deadline", &units::TIME, Bound::Positive).optional(),
        min_updates: view.count("min_updates", 1).or(1),
    };
    if sync.cohort > devices {
        let message = format!("a cohort of {} is larger than the fleet of {devices}", sync.cohort);
        let error = Diagnostic::new(codes::COHORT, message).label(view.place("cohort"), "too large");
        view.problems.add(error.help(format!("write at most {devices}, or leave it out for all devices")));
    }
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
