//! `[cost]`: how long work and transfers are said to take.
//!
//! The default is the world's own: roofline computing, and flows that share links. The two others are the formulas of
//! other simulators, so that their rounds can be reproduced and compared with. Both charge `sample` for every example and
//! the whole model for every transfer, and know neither round trips nor sharing: with them links have no handshake, no
//! noise and no loss.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::reader::View;
use crate::words;

/// A cost model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Cost {
    /// Time of computing = max(FLOPs / sustained FLOP/s, bytes / memory bandwidth).
    #[default]
    Roofline,
    /// FedScale (Lai et al. 2022): computing 3 · batch · steps · sample.
    #[serde(rename = "fedscale")]
    FedScale {
        /// Bytes of every transfer; none: those of the payload.
        payload_bytes: Option<u64>,
    },
    /// FederatedScope (Xie et al. 2022): computing 3 · examples of the device · sample.
    #[serde(rename = "federatedscope")]
    FederatedScope {
        /// Bytes of every transfer; none: those of the payload.
        payload_bytes: Option<u64>,
    },
}

impl Cost {
    /// Whether it is the default.
    pub fn is_roofline(&self) -> bool {
        *self == Self::Roofline
    }

    /// The bytes it charges for every transfer, if it does not look at the payload.
    pub fn payload_bytes(&self) -> Option<u64> {
        match self {
            Self::Roofline => None,
            Self::FedScale { payload_bytes } | Self::FederatedScope { payload_bytes } => *payload_bytes,
        }
    }
}

pub(crate) fn read(root: &View) -> Cost {
    let Some((name, view)) = root.choice("cost", &words::COST).optional() else { return Cost::Roofline };
    let cost = match name {
        "fedscale" => Cost::FedScale { payload_bytes: view.bytes("payload").optional() },
        "federatedscope" => Cost::FederatedScope { payload_bytes: view.bytes("payload").optional() },
        _ => Cost::Roofline,
    };
    view.finish();
    cost
}
