//! `[budget]`: when the run ends.

use serde::{Deserialize, Serialize};

/// The run ends at the first of these; at least one is given.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Budget {
    /// Virtual time [s].
    pub virtual_seconds: Option<f64>,
    /// Rounds.
    pub rounds: Option<u64>,
    /// Bytes sent by the devices.
    pub uplink_bytes: Option<u64>,
}
