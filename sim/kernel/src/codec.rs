//! The frame around every value that is stored or sent, and the only place where bincode is called.
//!
//! ```text
//! offset  size  field
//!      0     4  magic     "ctn\0"
//!      4     2  version   1, little endian like every number here
//!      6     2  kind      what the payload is; the caller's registry
//!      8     8  length    of the payload
//!     16    16  checksum  first 16 bytes of BLAKE3(bytes 0..16 ‖ payload)
//!     32     …  payload   bincode 2 "standard": little endian, variable-length integers
//! ```
//!
//! The checksum covers the header, so any flipped bit is found before the payload is looked at. Even a forged
//! frame whose checksum is right cannot make decoding allocate more than 64 KiB or 256 times its payload: bincode believes
//! the lengths it reads, so it runs under a limit proportional to the payload. (A sequence of zero-sized elements is the one
//! shape whose decoding time a forged length can stretch; do not put one in a message.)

use serde::Serialize;
use serde::de::DeserializeOwned;

/// The first four bytes of a frame.
pub const MAGIC: [u8; 4] = *b"ctn\0";
/// The version this build writes, and the only one it reads.
pub const VERSION: u16 = 1;
/// Bytes before the payload.
pub const HEADER_LEN: usize = 32;
/// The largest payload [`decode`] takes unless told otherwise: 1 GiB (chosen: a checkpoint of a large run fits).
pub const DEFAULT_LIMIT: u64 = 1 << 30;

/// A checked frame: what kind of payload, and its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// What the payload is.
    pub kind: u16,
    /// The encoded value.
    pub payload: &'a [u8],
}

/// Why bytes are not a value.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    /// Fewer bytes than the header or the payload needs.
    #[error("the frame is cut short: {have} bytes of {need}")]
    Truncated {
        /// Bytes needed.
        need: u64,
        /// Bytes given.
        have: u64,
    },
    /// Not a frame at all.
    #[error("the frame begins with {found:02x?} instead of {MAGIC:02x?}")]
    Magic {
        /// The first four bytes.
        found: [u8; 4],
    },
    /// Written by another version of the format.
    #[error("the frame has version {found}; this build reads version {VERSION}")]
    Version {
        /// The version in the frame.
        found: u16,
    },
    /// A good frame of something else.
    #[error("the frame holds kind {found}, not kind {expected}")]
    Kind {
        /// The kind asked for.
        expected: u16,
        /// The kind in the frame.
        found: u16,
    },
    /// Larger than the reader is willing to take.
    #[error("the payload of {length} bytes is over the limit of {limit}")]
    TooLarge {
        /// The payload's length.
        length: u64,
        /// The limit.
        limit: u64,
    },
    /// The bytes are not those that were written.
    #[error(
        "the frame of kind {kind} is corrupt: its checksum is {found:032x}, its bytes give {computed:032x}"
    )]
    Checksum {
        /// The kind in the frame.
        kind: u16,
        /// The checksum in the frame.
        found: u128,
        /// The checksum of the bytes.
        computed: u128,
    },
    /// Bytes after the end of the frame or of the value in it.
    #[error("{extra} bytes are left over after the {what}")]
    Trailing {
        /// How many.
        extra: u64,
        /// "frame" or "value".
        what: &'static str,
    },
    /// The value cannot be written.
    #[error("a value of kind {kind} cannot be encoded")]
    Encode {
        /// The kind.
        kind: u16,
        /// bincode's reason.
        #[source]
        source: bincode::error::EncodeError,
    },
    /// The payload is intact but does not hold the type asked for.
    #[error("the payload of kind {kind} does not decode")]
    Decode {
        /// The kind in the frame.
        kind: u16,
        /// bincode's reason.
        #[source]
        source: bincode::error::DecodeError,
    },
}

/// `value` in a frame of `kind`.
///
/// # Errors
/// If the type cannot be serialized, e.g. a sequence of unknown length.
pub fn encode<T: Serialize>(kind: u16, value: &T) -> Result<Vec<u8>, CodecError> {
    let mut frame = vec![0; HEADER_LEN];
    bincode::serde::encode_into_std_write(value, &mut frame, bincode::config::standard())
        .map_err(|source| CodecError::Encode { kind, source })?;
    let length = (frame.len() - HEADER_LEN) as u64;
    frame[0..4].copy_from_slice(&MAGIC);
    frame[4..6].copy_from_slice(&VERSION.to_le_bytes());
    frame[6..8].copy_from_slice(&kind.to_le_bytes());
    frame[8..16].copy_from_slice(&length.to_le_bytes());
    let checksum = checksum(&frame[..16], &frame[HEADER_LEN..]);
    frame[16..32].copy_from_slice(&checksum.to_le_bytes());
    Ok(frame)
}

/// The length of `value` in its frame, without building it; what [`encode`] would return has exactly this many bytes.
///
/// # Errors
/// As [`encode`].
pub fn encoded_len<T: Serialize>(kind: u16, value: &T) -> Result<u64, CodecError> {
    let mut counter = Counter(HEADER_LEN as u64);
    bincode::serde::encode_into_std_write(value, &mut counter, bincode::config::standard())
        .map_err(|source| CodecError::Encode { kind, source })?;
    Ok(counter.0)
}

/// The value in a frame of `kind` that is all of `bytes`, its payload at most [`DEFAULT_LIMIT`].
///
/// # Errors
/// If the bytes are not exactly one intact frame of this kind and type.
pub fn decode<T: DeserializeOwned>(kind: u16, bytes: &[u8]) -> Result<T, CodecError> {
    decode_limited(kind, bytes, DEFAULT_LIMIT)
}

/// As [`decode`], with the largest payload named in bytes.
///
/// # Errors
/// As [`decode`].
pub fn decode_limited<T: DeserializeOwned>(kind: u16, bytes: &[u8], limit: u64) -> Result<T, CodecError> {
    let (frame, rest) = read_frame(bytes, limit)?;
    if !rest.is_empty() {
        return Err(CodecError::Trailing { extra: rest.len() as u64, what: "frame" });
    }
    frame.value(kind)
}

/// The first frame of `bytes`, checked, and the bytes after it: how a log of frames is read.
///
/// # Errors
/// If the bytes do not begin with an intact frame whose payload is at most `limit` bytes.
pub fn read_frame(bytes: &[u8], limit: u64) -> Result<(Frame<'_>, &[u8]), CodecError> {
    let have = bytes.len() as u64;
    let Some((header, rest)) = bytes.split_first_chunk::<HEADER_LEN>() else {
        return Err(CodecError::Truncated { need: HEADER_LEN as u64, have });
    };
    let found: [u8; 4] = field(header, 0);
    if found != MAGIC {
        return Err(CodecError::Magic { found });
    }
    let version = u16::from_le_bytes(field(header, 4));
    if version != VERSION {
        return Err(CodecError::Version { found: version });
    }
    let kind = u16::from_le_bytes(field(header, 6));
    let length = u64::from_le_bytes(field(header, 8));
    if length > limit {
        return Err(CodecError::TooLarge { length, limit });
    }
    if length > rest.len() as u64 {
        return Err(CodecError::Truncated { need: length.saturating_add(HEADER_LEN as u64), have });
    }
    let (payload, rest) = rest.split_at(length as usize);
    let (found, computed) = (u128::from_le_bytes(field(header, 16)), checksum(&header[..16], payload));
    if found != computed {
        return Err(CodecError::Checksum { kind, found, computed });
    }
    Ok((Frame { kind, payload }, rest))
}

impl Frame<'_> {
    /// The value in the payload.
    ///
    /// # Errors
    /// If the frame is not of `kind` or its payload is not exactly one `T`.
    pub fn value<T: DeserializeOwned>(&self, kind: u16) -> Result<T, CodecError> {
        let (value, used) = self.value_and_length(kind)?;
        match self.payload.len() - used {
            0 => Ok(value),
            extra => Err(CodecError::Trailing { extra: extra as u64, what: "value" }),
        }
    }

    /// The value that the payload begins with, whatever follows it: how a value is read that a newer writer has added
    /// fields to.
    ///
    /// # Errors
    /// If the frame is not of `kind` or its payload does not begin with a `T`.
    pub fn beginning<T: DeserializeOwned>(&self, kind: u16) -> Result<T, CodecError> {
        self.value_and_length(kind).map(|(value, _)| value)
    }

    /// The value at the beginning of the payload, and how many bytes it takes.
    fn value_and_length<T: DeserializeOwned>(&self, kind: u16) -> Result<(T, usize), CodecError> {
        if self.kind != kind {
            return Err(CodecError::Kind { expected: kind, found: self.kind });
        }
        self.unpack().map_err(|source| CodecError::Decode { kind, source })
    }

    /// bincode's limit counts bytes in memory and is a constant of the type, so there is a ladder of them. A one-byte
    /// integer may claim 16 bytes (a small `u128`), no encoding claims more, so 16 × the payload refuses no honest value.
    fn unpack<T: DeserializeOwned>(&self) -> Result<(T, usize), bincode::error::DecodeError> {
        use bincode::{config::standard, serde::decode_from_slice};
        match self.payload.len() {
            0..=0x1000 => decode_from_slice(self.payload, standard().with_limit::<0x1_0000>()),
            0x1001..=0x1_0000 => decode_from_slice(self.payload, standard().with_limit::<0x10_0000>()),
            0x1_0001..=0x10_0000 => decode_from_slice(self.payload, standard().with_limit::<0x100_0000>()),
            0x10_0001..=0x100_0000 => decode_from_slice(self.payload, standard().with_limit::<0x1000_0000>()),
            0x100_0001..=0x1000_0000 => {
                decode_from_slice(self.payload, standard().with_limit::<0x1_0000_0000>())
            }
            0x1000_0001..=0x1_0000_0000 => {
                decode_from_slice(self.payload, standard().with_limit::<0x10_0000_0000>())
            }
            _ => decode_from_slice(self.payload, standard().with_limit::<0x1000_0000_0000>()),
        }
    }
}

fn checksum(header: &[u8], payload: &[u8]) -> u128 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(header).update(payload);
    u128::from_le_bytes(field(hasher.finalize().as_bytes(), 0))
}

fn field<const N: usize>(bytes: &[u8; HEADER_LEN], at: usize) -> [u8; N] {
    bytes[at..at + N].try_into().expect("the fields lie inside the header")
}

/// A writer that only counts.
struct Counter(u64);

impl std::io::Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
