//! `[transfer]`: how payloads are encoded on the wire.

use serde::{Deserialize, Serialize};

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
