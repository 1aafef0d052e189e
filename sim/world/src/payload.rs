//! What travels between cloud and devices, and how many bytes it is.

use cotune_kernel::codec::{self, CodecError};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use crate::packing::Packed;

/// The frame kind of a payload on the wire.
const PAYLOAD_KIND: u16 = 1;

/// No logit of a language model is larger (chosen: beyond a hundred or so a softmax of f32 is 0 or 1).
const LARGEST_LOGIT: f32 = 1e4;

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
    /// A loss for each of a list of answers.
    Losses {
        /// Whose: a model of `[models]`, perhaps with what it speaks about behind a slash.
        of: String,
        /// One a text \[nat/token\].
        values: Vec<f32>,
    },
    /// The largest logits of every token of a list of answers.
    Logits {
        /// Whose, as for losses.
        of: String,
        /// Answer by answer, token by token, in falling order.
        values: Vec<f32>,
    },
    /// The tokens that logits belong to.
    Indices {
        /// Whose, as for losses.
        of: String,
        /// One a logit.
        tokens: Tokens,
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

/// Token ids of one vocabulary, each in as few whole bytes as the vocabulary takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct Tokens {
    /// Bytes of one id: 2 up to 65,536 tokens, else 4.
    width: u8,
    /// Little endian.
    bytes: Vec<u8>,
}

/// Token ids as they were read: they may come from anyone.
#[derive(Deserialize)]
#[serde(rename = "Tokens")]
struct Unchecked {
    width: u8,
    bytes: Vec<u8>,
}

impl TryFrom<Unchecked> for Tokens {
    type Error = &'static str;

    fn try_from(read: Unchecked) -> Result<Self, Self::Error> {
        let Unchecked { width, bytes } = read;
        let fits = matches!(width, 2 | 4) && bytes.len().is_multiple_of(usize::from(width));
        if fits { Ok(Self { width, bytes }) } else { Err("token ids contradict themselves") }
    }
}

impl Tokens {
    /// Ids of a vocabulary of `vocab` tokens.
    pub fn of(ids: &[u32], vocab: usize) -> Self {
        let width = if vocab <= 1 << 16 { 2 } else { 4 };
        let bytes = ids.iter().flat_map(|id| id.to_le_bytes().into_iter().take(width)).collect();
        Self { width: width as u8, bytes }
    }

    /// The ids.
    pub fn ids(&self) -> Vec<u32> {
        let one = |bytes: &[u8]| bytes.iter().rev().fold(0, |id, byte| id << 8 | u32::from(*byte));
        self.bytes.chunks_exact(usize::from(self.width)).map(one).collect()
    }
}

/// What a part of a payload is, for counting bytes by content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Content {
    /// Trained values.
    Adapter,
    /// Control variates.
    Control,
    /// Updates of whole maps.
    Merged,
    /// Logits.
    Logits,
    /// The tokens that logits belong to.
    Indices,
    /// Losses.
    Losses,
    /// Texts.
    Prompts,
    /// What is around all of it.
    Frame,
}

impl Content {
    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Adapter => "adapter",
            Self::Control => "control",
            Self::Merged => "merged",
            Self::Logits => "logits",
            Self::Indices => "indices",
            Self::Losses => "losses",
            Self::Prompts => "prompts",
            Self::Frame => "frame",
        }
    }
}

impl Part {
    /// What it is.
    pub fn content(&self) -> Content {
        match self {
            Self::Adapter { .. } | Self::Packed { .. } => Content::Adapter,
            Self::Control { .. } => Content::Control,
            Self::Merged { .. } => Content::Merged,
            Self::Logits { .. } => Content::Logits,
            Self::Indices { .. } => Content::Indices,
            Self::Losses { .. } => Content::Losses,
            Self::Prompts { .. } => Content::Prompts,
        }
    }

    /// Its numbers as they are sent, where it has any.
    pub fn numbers_mut(&mut self) -> Option<&mut Vec<f32>> {
        match self {
            Self::Adapter { values, .. }
            | Self::Control { values, .. }
            | Self::Merged { values, .. }
            | Self::Losses { values, .. }
            | Self::Logits { values, .. } => Some(values),
            Self::Prompts { .. } | Self::Packed { .. } | Self::Indices { .. } => None,
        }
    }
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

    /// What is averaged or added up over devices: what each part is, of which model, and its values.
    pub fn changes(&self) -> impl Iterator<Item = (Content, &str, &[f32])> {
        self.parts.iter().filter_map(|part| match part {
            Part::Adapter { model, values }
            | Part::Control { model, values }
            | Part::Merged { model, values } => Some((part.content(), model.as_str(), values.as_slice())),
            Part::Prompts { .. }
            | Part::Packed { .. }
            | Part::Losses { .. }
            | Part::Logits { .. }
            | Part::Indices { .. } => None,
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
            (Part::Losses { of, values }, Part::Losses { of: whose, values: as_many })
            | (Part::Logits { of, values }, Part::Logits { of: whose, values: as_many }) => {
                of == whose && values.len() == as_many.len()
            }
            (Part::Indices { of, tokens }, Part::Indices { of: whose, tokens: as_many }) => {
                of == whose && (tokens.width, tokens.bytes.len()) == (as_many.width, as_many.bytes.len())
            }
            (
                Part::Adapter { .. }
                | Part::Control { .. }
                | Part::Merged { .. }
                | Part::Prompts { .. }
                | Part::Packed { .. }
                | Part::Losses { .. }
                | Part::Logits { .. }
                | Part::Indices { .. },
                _,
            ) => false,
        };
        self.parts.len() == other.parts.len() && self.parts.iter().zip(&other.parts).all(alike)
    }

    /// Whether every number in it is finite.
    pub fn is_finite(&self) -> bool {
        self.parts.iter().all(|part| match part {
            Part::Adapter { values, .. }
            | Part::Control { values, .. }
            | Part::Merged { values, .. }
            | Part::Losses { values, .. }
            | Part::Logits { values, .. } => values.iter().all(|v| v.is_finite()),
            Part::Packed { packed, .. } => packed.is_finite(),
            Part::Prompts { .. } | Part::Indices { .. } => true,
        })
    }

    /// Whether losses and logits are such as a language model has: no loss below zero, no logit beyond 10,000 either way.
    pub fn is_plausible(&self) -> bool {
        self.parts.iter().all(|part| match part {
            Part::Losses { values, .. } => values.iter().all(|loss| *loss >= 0.0),
            Part::Logits { values, .. } => values.iter().all(|logit| logit.abs() <= LARGEST_LOGIT),
            Part::Adapter { .. }
            | Part::Control { .. }
            | Part::Merged { .. }
            | Part::Prompts { .. }
            | Part::Packed { .. }
            | Part::Indices { .. } => true,
        })
    }

    /// Size of the encoded payload \[B\]: the frame's header, and the content in the codec of the kernel.
    pub fn encoded_bytes(&self) -> u64 {
        codec::encoded_len(PAYLOAD_KIND, self).expect("a payload of floats and strings can be encoded")
    }

    /// Bytes of every kind of content, without the frame around all of it: what is counted for whom.
    pub fn bytes_by_content(&self) -> BTreeMap<Content, u64> {
        let mut bytes = BTreeMap::new();
        for part in &self.parts {
            let one = codec::encoded_len(PAYLOAD_KIND, part).expect("floats and strings can be encoded");
            *bytes.entry(part.content()).or_default() += one - codec::HEADER_LEN as u64;
        }
        bytes
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
