//! `[transfer]`: how payloads are encoded on the wire.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::reader::{Bound, View};
use crate::words;

/// Encodings of both directions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Transfer {
    /// Device to cloud. Default: none.
    pub up: Encoding,
    /// Cloud to device. Default: none.
    pub down: Encoding,
}

/// A payload encoding. What is encoded are differences to values that both ends have (the world's `packing.rs`).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Encoding {
    /// As the values are: 4 bytes each.
    None,
    /// One byte a value, and a scale for every block.
    Int8 {
        /// Values that share a scale. Default: 64 (chosen: 6 % more bytes than without scales).
        block: u32,
        /// Whether a device keeps what was lost and adds it to its next update. Up only. Default: true.
        error_feedback: bool,
    },
    /// The largest values by magnitude, with their places.
    #[serde(rename = "topk")]
    TopK {
        /// Share of the values that is sent, in (0, 1].
        share: f64,
        /// Whether a device keeps what was lost and adds it to its next update. Up only. Default: true.
        error_feedback: bool,
    },
}

pub(crate) fn read(view: View) -> Transfer {
    let encoding = |key| match view.choice(key, &words::ENCODING).optional() {
        Some((name, body)) => encoding(name, body, key == "up"),
        None => Encoding::None,
    };
    let transfer = Transfer { up: encoding("up"), down: encoding("down") };
    view.finish();
    transfer
}

/// Only a device has a memory of its own: the cloud sends one broadcast to all, so there is no feedback down.
fn encoding(name: &str, body: View, is_up: bool) -> Encoding {
    let feedback = || is_up && body.boolean("error_feedback").or(true);
    let encoding = match name {
        "int8" => Encoding::Int8 { block: body.count("block", 1).or(64), error_feedback: feedback() },
        "topk" => {
            let share = body.number("share", Bound::Share).required(body.problems);
            Encoding::TopK { share: share.unwrap_or(1.0), error_feedback: feedback() }
        }
        _ => Encoding::None,
    };
    body.finish();
    encoding
}
