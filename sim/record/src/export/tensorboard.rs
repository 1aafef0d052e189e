//! Scalar event files as TensorBoard reads them: TFRecord frames around `tensorflow.Event` messages, both small enough
//! to be written by hand.
//!
//! A frame is the length (u64, little-endian), the masked CRC-32C of those eight bytes, the message, and the masked
//! CRC-32C of the message (tensorflow/core/lib/io/record_writer.h).

use std::io::{self, Write};

use crate::scores::Score;
use crate::tables::RoundRow;

/// Writes every score and what every round cost. The step is the round; wall time is the moment the run began \[s since
/// 1970\] plus virtual time, so that TensorBoard's "relative" axis shows virtual time.
///
/// # Errors
/// The file cannot be written.
pub fn write(
    scores: &[Score],
    rounds: &[RoundRow],
    began_unix_s: f64,
    out: &mut impl Write,
) -> io::Result<()> {
    let mut first = Message::default();
    first.double(1, began_unix_s);
    first.bytes(3, b"brain.Event:2");
    frame(&first.0, out)?;
    let mut scalars: Vec<(f64, u32, String, f64)> = Vec::new();
    for score in scores {
        let tag = format!("{}/{}", score.scope, score.statistic);
        scalars.push((score.time_s, score.round, tag, score.value));
    }
    for row in rounds {
        let Some(closed) = row.closed_s else { continue };
        let mut add = |tag: &str, value: f64| scalars.push((closed, row.round, tag.to_owned(), value));
        add("round/duration_s", closed - row.opened_s);
        add("round/accepted", f64::from(row.accepted));
        add("round/bytes_up", row.bytes_up as f64);
        add("round/bytes_down", row.bytes_down as f64);
        add("round/joules", row.joules);
        if let Some(loss) = row.loss {
            add("round/loss", loss);
        }
    }
    scalars.sort_by(|a, b| a.0.total_cmp(&b.0));
    for (time_s, round, tag, value) in scalars {
        frame(&scalar(began_unix_s + time_s, round, &tag, value), out)?;
    }
    Ok(())
}

/// `Event { wall_time = 1, step = 2, summary = 5 { value = 1 { tag = 1, simple_value = 2 } } }`.
fn scalar(wall_time: f64, step: u32, tag: &str, value: f64) -> Vec<u8> {
    let mut inner = Message::default();
    inner.bytes(1, tag.as_bytes());
    // The format holds single precision.
    inner.float(2, value as f32);
    let mut summary = Message::default();
    summary.bytes(1, &inner.0);
    let mut event = Message::default();
    event.double(1, wall_time);
    event.whole(2, u64::from(step));
    event.bytes(5, &summary.0);
    event.0
}

/// A protocol buffer under construction.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn whole(&mut self, field: u64, value: u64) {
        self.varint(field << 3);
        self.varint(value);
    }

    fn double(&mut self, field: u64, value: f64) {
        self.varint(field << 3 | 1);
        self.0.extend(value.to_le_bytes());
    }

    fn float(&mut self, field: u64, value: f32) {
        self.varint(field << 3 | 5);
        self.0.extend(value.to_le_bytes());
    }

    fn bytes(&mut self, field: u64, bytes: &[u8]) {
        self.varint(field << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend(bytes);
    }
}

fn frame(message: &[u8], out: &mut impl Write) -> io::Result<()> {
    let length = (message.len() as u64).to_le_bytes();
    out.write_all(&length)?;
    out.write_all(&masked(&length).to_le_bytes())?;
    out.write_all(message)?;
    out.write_all(&masked(message).to_le_bytes())
}

/// A checksum that may be part of checksummed data itself.
fn masked(bytes: &[u8]) -> u32 {
    crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// CRC-32C (Castagnoli), reflected, bit by bit: these files are small.
fn crc32c(bytes: &[u8]) -> u32 {
    let mut crc = !0_u32;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
        }
    }
    !crc
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_the_standard() {
        // RFC 3720, B.4.
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
    }

    #[test]
    fn a_scalar_has_the_bytes_of_the_protocol() {
        let event = scalar(1.0, 300, "a", 0.5);
        let expected = [
            &[0x09][..],
            &1.0_f64.to_le_bytes(), // wall_time
            &[0x10, 0xac, 0x02],    // step
            &[0x2a, 10, 0x0a, 8, 0x0a, 1, b'a', 0x15],
            &0.5_f32.to_le_bytes(),
        ]
        .concat();
        assert_eq!(event, expected);
        let mut framed = Vec::new();
        frame(&event, &mut framed).unwrap();
        assert_eq!(framed.len(), event.len() + 16);
    }
}
