//! Bytes from anyone: whatever a file holds, reading it ends with a value or an error, never with a panic.
//!
//! Each target takes good bytes, changes them at random and reads them. Nothing watches which code that reaches, as a fuzzer
//! guided by coverage would. In its place are good bytes that cotune itself wrote, pieces of one in another, values at
//! which lengths and signs turn over, most changes where headers are, and checksums that are put right after a change, so that
//! what is behind them is reached. By default that happens a few thousand times;
//! `COTUNE_FUZZ=10000000 cargo test --release --workspace --test it -- fuzz::` does it as often as one likes, and
//! `COTUNE_FUZZ_SEED` elsewhere. Bytes that made a reader panic are written to `tests/fuzz/<target>/`: what lies there is read first
//! in every run, and changed as well.
//!
//! | file         | what is read |
//! |--------------|--------------|
//! | `inputs.rs`  | scenarios and their locks, sweeps, traces, splits, logs, fleets |
//! | `frames.rs`  | payloads and checkpoints, with checksums that are wrong and that are right |
//! | `weights.rs` | safetensors with their configuration, llama2.c, tokenizers |

pub mod frames;
mod inputs;
mod weights;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use cotune_kernel::Stream;
use cotune_record::Digest;
use cotune_tests::workspace;
use tempfile::TempDir;

/// How often a target is tried where nobody says.
const FAST: u64 = 3_000;
/// The same for targets that go through a file.
const SLOW: u64 = 300;

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

/// Reads what was found before, and then as many changes of it and of `good` as there is time for. `read` says whether bytes were
/// taken for what they claim to be, as the good ones have to be.
fn fuzz(target: &str, default: u64, good: &[Vec<u8>], read: impl Fn(&[u8]) -> bool) {
    let folder = workspace().join("tests/fuzz").join(target);
    let found = fs::read_dir(&folder).into_iter().flatten().map(|entry| entry.unwrap().path());
    let mut seeds = good.to_vec();
    for path in found.filter(|path| path.is_file()) {
        let bytes = fs::read(&path).unwrap();
        let again = catch_unwind(AssertUnwindSafe(|| read(&bytes)));
        assert!(again.is_ok(), "{} makes it panic again", path.display());
        seeds.push(bytes);
    }
    assert!(good.iter().all(|bytes| read(bytes)), "{target}: good bytes are refused");
    let mut stream = Stream::keyed(number("COTUNE_FUZZ_SEED").unwrap_or(1), target);
    let (executions, mut taken) = (number("COTUNE_FUZZ").unwrap_or(default), 0);
    for _ in 0..executions {
        let bytes = changed(&seeds, &mut stream);
        match catch_unwind(AssertUnwindSafe(|| read(&bytes))) {
            Ok(was_taken) => taken += u64::from(was_taken),
            Err(_) => {
                let path = folder.join(format!("{}.bin", &Digest::of(&bytes).to_hex()[..16]));
                fs::create_dir_all(&folder).unwrap();
                fs::write(&path, &bytes).unwrap();
                panic!("{target} panics; the bytes are in {}", path.display());
            }
        }
    }
    println!("{target}: {executions} executions, {taken} of them taken");
}

/// A few changes to some good bytes: flipped bits, numbers that are often wrong, pieces left out, doubled or taken from
/// elsewhere.
pub fn changed(good: &[Vec<u8>], stream: &mut Stream) -> Vec<u8> {
    let mut bytes = good[stream.below(good.len() as u64) as usize].clone();
    for _ in 0..=stream.below(4) {
        let length = bytes.len() as u64;
        if length == 0 {
            break;
        }
        // Most of the changes are at the beginning, where headers are.
        let reach = [64, 1 << 10, u64::MAX][stream.below(3) as usize].min(length);
        let at = stream.below(reach) as usize;
        let piece = at..bytes.len().min(at + 1 + stream.below(32) as usize);
        match stream.below(7) {
            0 => bytes[at] ^= 1 << stream.below(8),
            1 => bytes[at] = [0, 1, 0x7f, 0x80, 0xff, 251, 252, 253][stream.below(8) as usize],
            2 => {
                let value = [0_u64, 1, u64::MAX, i64::MAX as u64, 1 << 32, u64::from(u32::MAX)];
                let value = value[stream.below(6) as usize].to_le_bytes();
                let room = bytes.len().min(at + 8) - at;
                bytes[at..at + room].copy_from_slice(&value[..room]);
            }
            3 => bytes.truncate(at),
            4 => drop(bytes.drain(piece)),
            5 => {
                let piece = bytes[piece].to_vec();
                bytes.splice(at..at, piece);
            }
            _ => {
                let other = &good[stream.below(good.len() as u64) as usize];
                let from = stream.below(other.len().max(1) as u64) as usize;
                let to = other.len().min(from + 1 + stream.below(64) as usize);
                bytes.splice(piece, other[from.min(to)..to].iter().copied());
            }
        }
    }
    bytes
}

/// A file that a target is written to before it is read.
pub struct Place {
    pub folder: TempDir,
    name: &'static str,
}

impl Place {
    pub fn new(name: &'static str) -> Self {
        Self { folder: TempDir::new().unwrap(), name }
    }

    pub fn path(&self) -> PathBuf {
        self.folder.path().join(self.name)
    }

    pub fn write(&self, bytes: &[u8]) -> PathBuf {
        fs::write(self.path(), bytes).unwrap();
        self.path()
    }
}
