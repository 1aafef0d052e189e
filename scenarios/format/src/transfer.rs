//! `[transfer]`: how payloads are encoded on the wire.

use serde::{Deserialize, Serialize};

use crate::reader::View;
use crate::words;

/// Encodings of both directions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Transfer {
    /// Device to cloud. Default: none.
    pub up: Encoding,
    /// Cloud to device. Default: none.
    pub down: Encoding,
}

/// A payload encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Encoding {
    /// As the values are.
    None,
}

pub(crate) fn read(view: View) -> Transfer {
    let encoding = |key| {
        if let Some((_, body)) = view.choice(key, &words::ENCODING).optional() {
            body.finish();
        }
        Encoding::None
    };
    let transfer = Transfer { up: encoding("up"), down: encoding("down") };
    view.finish();
    transfer
}
