//! What two runs are compared by: rolling BLAKE3 digests of the event stream.
//!
//! Lines of the log are rolled in a batch at a time (see [`RollingDigest`]), because BLAKE3 is ten times faster
//! on 16 KiB than on one line. A batch ends where the stream says so, after `BATCH_BYTES` or a closed round, so
//! the digest depends on the events alone. The state is small at any moment: a checkpoint stores it and a resumed
//! run continues it.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use cotune_kernel::digest::RollingDigest;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
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
}

impl From<Digest> for cotune_kernel::digest::Digest {
    fn from(digest: Digest) -> Self {
        Self(digest.0)
    }
}

impl From<cotune_kernel::digest::Digest> for Digest {
    fn from(digest: cotune_kernel::digest::Digest) -> Self {
        Self(digest.0)
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

impl JsonSchema for Digest {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Digest".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^[0-9a-f]{64}$" })
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

/// A batch is rolled in as soon as it has so many bytes.
const BATCH_BYTES: usize = 16 << 10;

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
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventDigest {
    events: u64,
    all: Lines,
    schedule: Lines,
    rounds: Vec<RoundDigest>,
}

impl EventDigest {
    /// The digest of no events.
    pub fn new() -> Self {
        Self::default()
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
        self.all.push(encoding);
        if !event.is_learned() {
            self.schedule.push(encoding);
        } else if let Some(schedule) = event.schedule_form() {
            let mut encoding = Vec::with_capacity(256);
            schedule.encode_into(&mut encoding);
            self.schedule.push(&encoding);
        }
        if let EventKind::RoundClosed { round, .. } = event.kind {
            self.all.roll();
            self.schedule.roll();
            let (digest, schedule_digest) = (self.digest(), self.schedule_digest());
            self.rounds.push(RoundDigest { round, digest, schedule_digest });
        }
    }

    /// Events added so far.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// Of everything that happened.
    pub fn digest(&self) -> Digest {
        self.all.digest()
    }

    /// Of everything that happened except what learning decides: equal on CPU and WebGPU.
    pub fn schedule_digest(&self) -> Digest {
        self.schedule.digest()
    }

    /// Both digests at the end of each round, in order: two runs differ first in the first round that differs.
    pub fn rounds(&self) -> &[RoundDigest] {
        &self.rounds
    }
}

/// The rolling digest of a stream of lines, with the batch that is not rolled in yet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Lines {
    rolled: RollingDigest,
    #[serde(with = "text")]
    batch: Vec<u8>,
}

impl Lines {
    fn push(&mut self, line: &[u8]) {
        self.batch.extend_from_slice(line);
        self.batch.push(b'\n');
        if self.batch.len() >= BATCH_BYTES {
            self.roll();
        }
    }

    fn roll(&mut self) {
        if !self.batch.is_empty() {
            self.rolled.update(&self.batch);
            self.batch.clear();
        }
    }

    fn digest(&self) -> Digest {
        let mut rolled = self.rolled;
        if !self.batch.is_empty() {
            rolled.update(&self.batch);
        }
        rolled.current().into()
    }
}

/// Lines of JSON as a string, not as an array of numbers.
mod text {
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&String::from_utf8_lossy(bytes))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        String::deserialize(deserializer).map(String::into_bytes)
    }
}
