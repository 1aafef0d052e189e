//! What two runs are compared by: rolling BLAKE3 digests of the event stream.
//!
//! Each event replaces the state `D` by `BLAKE3(D ‖ encoding)`, starting from the hash of a name. So the state
//! is 32 bytes at any moment: a checkpoint stores it and a resumed run continues it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::event::{Event, EventKind};

/// A BLAKE3 digest, written as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

/// A text that is no digest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a digest: 64 hexadecimal digits are needed")]
pub struct NotADigest {
    /// What was read.
    pub text: String,
}

impl Digest {
    /// The digest of some bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }

    /// A digest made elsewhere.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// All 64 hexadecimal digits.
    pub fn to_hex(self) -> String {
        blake3::Hash::from_bytes(self.0).to_hex().to_string()
    }

    fn roll(&mut self, encoding: &[u8]) {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.0).update(encoding);
        self.0 = *hasher.finalize().as_bytes();
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.pad(&self.to_hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        write!(formatter, "Digest({})", self.to_hex())
    }
}

impl FromStr for Digest {
    type Err = NotADigest;

    fn from_str(text: &str) -> Result<Self, NotADigest> {
        blake3::Hash::from_hex(text)
            .map(|hash| Self(*hash.as_bytes()))
            .map_err(|_| NotADigest { text: text.to_owned() })
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(blake3::Hash::from_bytes(self.0).to_hex().as_str())
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// The digests of a stream up to and with the event that closed one round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoundDigest {
    /// Round number.
    pub round: u32,
    /// Of all events.
    pub digest: Digest,
    /// Of their schedule forms.
    pub schedule_digest: Digest,
}

/// The digest of all events and the digest of their schedule forms, rolled side by side. Serializable at any
/// event, so that a checkpoint can carry it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventDigest {
    events: u64,
    digest: Digest,
    schedule_digest: Digest,
    rounds: Vec<RoundDigest>,
}

impl Default for EventDigest {
    fn default() -> Self {
        Self::new()
    }
}

impl EventDigest {
    /// The digest of no events.
    pub fn new() -> Self {
        Self {
            events: 0,
            digest: Digest::of(b"cotune/events/1"),
            schedule_digest: Digest::of(b"cotune/schedule/1"),
            rounds: Vec::new(),
        }
    }

    /// Adds one event.
    pub fn push(&mut self, event: &Event) {
        let mut encoding = Vec::with_capacity(256);
        event.encode_into(&mut encoding);
        self.push_encoded(event, &encoding);
    }

    /// Adds one event whose canonical encoding is already at hand.
    pub(crate) fn push_encoded(&mut self, event: &Event, encoding: &[u8]) {
        self.events += 1;
        self.digest.roll(encoding);
        if !event.is_learned() {
            self.schedule_digest.roll(encoding);
        } else if let Some(schedule) = event.schedule_form() {
            let mut encoding = Vec::with_capacity(256);
            schedule.encode_into(&mut encoding);
            self.schedule_digest.roll(&encoding);
        }
        if let EventKind::RoundClosed { round, .. } = event.kind {
            let (digest, schedule_digest) = (self.digest, self.schedule_digest);
            self.rounds.push(RoundDigest { round, digest, schedule_digest });
        }
    }

    /// Events added so far.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// Of everything that happened.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Of everything that happened except what learning decides: equal on CPU and WebGPU.
    pub fn schedule_digest(&self) -> Digest {
        self.schedule_digest
    }

    /// Both digests at the end of each round, in order: two runs differ first in the first round that differs.
    pub fn rounds(&self) -> &[RoundDigest] {
        &self.rounds
    }
}
