//! The rolling digest that names a stream of events: `d ← H(d ‖ H(bytes))`, H = BLAKE3.
//!
//! Hashing each event first makes the chain free of framing: `["ab", "c"]` and `["a", "bc"]` differ. The whole state is
//! the 32 bytes of the current digest, so it can be read after every event and carried through a checkpoint.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A 32-byte BLAKE3 digest; displayed as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// The BLAKE3 digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }

    /// The first `digits` hexadecimal digits (at most 64), for names that people read.
    pub fn short(&self, digits: usize) -> String {
        let mut hex = self.to_string();
        hex.truncate(digits);
        hex
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&blake3::Hash::from(self.0).to_hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

/// A digest that takes in one event after another. Starts at 32 zero bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RollingDigest {
    current: Digest,
}

impl RollingDigest {
    /// The digest of no events: 32 zero bytes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes in the next event.
    pub fn update(&mut self, bytes: &[u8]) {
        let mut chained = [0; 64];
        chained[..32].copy_from_slice(&self.current.0);
        chained[32..].copy_from_slice(blake3::hash(bytes).as_bytes());
        self.current = Digest::of(&chained);
    }

    /// The digest of every event so far.
    pub fn current(&self) -> Digest {
        self.current
    }
}

impl fmt::Display for RollingDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.current, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(events: &[&str]) -> RollingDigest {
        let mut digest = RollingDigest::new();
        events.iter().for_each(|event| digest.update(event.as_bytes()));
        digest
    }

    #[test]
    fn the_digest_depends_on_where_an_event_ends_and_on_the_order() {
        assert_ne!(of(&["ab", "c"]), of(&["a", "bc"]));
        assert_ne!(of(&["a", "b"]), of(&["b", "a"]));
        assert_ne!(of(&[]), of(&[""]));
    }

    #[test]
    fn a_digest_carried_through_a_checkpoint_continues_as_if_never_stored() {
        let bytes = bincode::serde::encode_to_vec(of(&["a", "b"]), bincode::config::standard()).unwrap();
        assert_eq!(bytes.len(), 32);
        let (mut resumed, _): (RollingDigest, _) =
            bincode::serde::decode_from_slice(&bytes, bincode::config::standard()).unwrap();
        resumed.update(b"c");
        assert_eq!(resumed, of(&["a", "b", "c"]));
    }

    #[test]
    fn the_digest_is_pinned() {
        assert_eq!(of(&[]).to_string(), "0".repeat(64));
        assert_eq!(
            of(&["a", "b"]).to_string(),
            "2b636a99f23f926d659eb3b0359c578c3d7fd416a7cfdd1afb15e5eb3ff5d4d0"
        );
        assert_eq!(Digest::of(b"").short(8), "af1349b9");
    }
}
