//! `[budget]`: when the run ends.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::codes;
use crate::diagnostic::Diagnostic;
use crate::reader::{Bound, View};
use crate::units;

/// The run ends at the first of these; at least one is given.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Budget {
    /// Virtual time \[s\].
    pub virtual_seconds: Option<f64>,
    /// Rounds.
    pub rounds: Option<u64>,
    /// Bytes sent by the devices.
    pub uplink_bytes: Option<u64>,
}

pub(crate) fn read(root: &View) -> Option<Budget> {
    let error = |at| {
        let error = Diagnostic::new(codes::NO_BUDGET, "nothing ends the run").label(at, "no limit is given");
        root.problems.add(
            error.help("write rounds = 20 under [budget], or virtual_time = \"36h\", or uplink = \"20GB\""),
        );
    };
    let given = root.has("budget");
    let view = root.table("budget").optional();
    let Some(view) = view else {
        if !given {
            error(root.at.clone());
        }
        return None;
    };
    let budget = Budget {
        virtual_seconds: view.quantity("virtual_time", &units::TIME, Bound::Positive).optional(),
        rounds: view.count("rounds", 1).optional(),
        uplink_bytes: view.bytes("uplink").optional(),
    };
    if !["virtual_time", "rounds", "uplink"].iter().any(|key| view.has(key)) {
        error(view.at.clone());
    }
    view.finish();
    Some(budget)
}
