//! `[coordination]`: who is invited, and when a round ends.

use serde::{Deserialize, Serialize};

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
    /// Longest round [s]; none: a round waits for every invited device.
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
