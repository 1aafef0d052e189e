//! What travels between cloud and devices, and how many bytes it is.

use cotune_kernel::codec::{self, CodecError};
use serde::{Deserialize, Serialize};

use crate::packing::Packed;

/// The frame kind of a payload on the wire.
const PAYLOAD_KIND: u16 = 1;

/// One message between cloud and device.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Payload {
    /// Its parts, in the order in which the method wrote them.
    pub parts: Vec<Part>,
}

/// A part of a payload. Bytes are counted by content.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Part {
    /// The trained values of one model.
    Adapter {
        /// The model: a key of the scenario's `[models]`.
        model: String,
        /// Values in the order of the model's layout.
        values: Vec<f32>,
    },
    /// Texts padded to one length, so that their size does not depend on what was learned.
    Prompts {
        /// The texts.
        texts: Vec<String>,
        /// Bytes that are charged for each.
        padded: u32,
    },
    /// A control variate of one model's values, or its change (SCAFFOLD); no encoding packs it.
    Control {
        /// The model: a key of the scenario's `[models]`.
        model: String,
        /// Values in the order of the model's layout.
        values: Vec<f32>,
    },
    /// Whole updates of the maps that a model's adapter adapts, to be merged into its base (FLoRA); no encoding packs them.
    Merged {
        /// The model: a key of the scenario's `[models]`.
        model: String,
        /// Values in the order of the layout's deltas.
        values: Vec<f32>,
    },
    /// Trained values of one model as an encoding sends them.
    Packed {
        /// The model: a key of the scenario's `[models]`.
        model: String,
        /// Their difference to values that the receiver has.
        packed: Packed,
    },
}

impl Payload {
    /// A payload of one adapter.
    pub fn adapter(model: &str, values: &[f32]) -> Self {
        Self { parts: vec![Part::Adapter { model: model.to_string(), values: values.to_vec() }] }
    }

    /// The values sent for `model`, if there are any.
    pub fn values(&self, model: &str) -> Option<&[f32]> {
        self.parts.iter().find_map(|part| match part {
            Part::Adapter { model: of, values } if of == model => Some(values.as_slice()),
            _ => None,
        })
    }

    /// The control variate sent for `model`, if there is one.
    pub fn control(&self, model: &str) -> Option<&[f32]> {
        self.parts.iter().find_map(|part| match part {
            Part::Control { model: of, values } if of == model => Some(values.as_slice()),
            _ => None,
        })
    }

    /// The whole updates sent for `model`, if there are any.
    pub fn merged(&self, model: &str) -> Option<&[f32]> {
        self.parts.iter().find_map(|part| match part {
            Part::Merged { model: of, values } if of == model => Some(values.as_slice()),
            _ => None,
        })
    }

    /// Whether `other` has the same parts in the same order: models, and numbers of values.
    pub fn has_shape_of(&self, other: &Self) -> bool {
        let alike = |(a, b): (&Part, &Part)| match (a, b) {
            (Part::Adapter { model, values }, Part::Adapter { model: of, values: as_many })
            | (Part::Control { model, values }, Part::Control { model: of, values: as_many })
            | (Part::Merged { model, values }, Part::Merged { model: of, values: as_many }) => {
                model == of && values.len() == as_many.len()
            }
            (Part::Prompts { texts, .. }, Part::Prompts { texts: as_many, .. }) => {
                texts.len() == as_many.len()
            }
            (Part::Packed { model, packed }, Part::Packed { model: of, packed: as_many }) => {
                model == of && packed.length() == as_many.length()
            }
            (
                Part::Adapter { .. }
                | Part::Control { .. }
                | Part::Merged { .. }
                | Part::Prompts { .. }
                | Part::Packed { .. },
                _,
            ) => false,
        };
        self.parts.len() == other.parts.len() && self.parts.iter().zip(&other.parts).all(alike)
    }

    /// Whether every number in it is finite.
    pub fn is_finite(&self) -> bool {
        self.parts.iter().all(|part| match part {
            Part::Adapter { values, .. } | Part::Control { values, .. } | Part::Merged { values, .. } => {
                values.iter().all(|v| v.is_finite())
            }
            Part::Packed { packed, .. } => packed.unpack().iter().all(|v| v.is_finite()),
            Part::Prompts { .. } => true,
        })
    }

    /// Size of the encoded payload \[B\]: the frame's header, and the content in the codec of the kernel.
    pub fn encoded_bytes(&self) -> u64 {
        codec::encoded_len(PAYLOAD_KIND, self).expect("a payload of floats and strings can be encoded")
    }

    /// The bytes that go over the wire: a frame of the kernel's codec.
    pub fn to_wire(&self) -> Vec<u8> {
        codec::encode(PAYLOAD_KIND, self).expect("a payload of floats and strings can be encoded")
    }

    /// Reads what came over the wire.
    ///
    /// # Errors
    /// The bytes are no intact frame of a payload.
    pub fn from_wire(bytes: &[u8]) -> Result<Self, CodecError> {
        codec::decode(PAYLOAD_KIND, bytes)
    }

    /// BLAKE3 of the encoded payload, hex.
    pub fn digest(&self) -> blake3::Hash {
        blake3::hash(&self.to_wire())
    }
}
