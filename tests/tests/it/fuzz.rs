//! Bytes from anyone: whatever a file holds, reading it ends with a value or an error, never with a panic.
//!
//! Each target takes good bytes, changes them at random and reads them. By default that happens a few thousand times;
//! `COTUNE_FUZZ=10000000 cargo test --release --workspace --test it -- fuzz::` does it as often as one likes, and
//! `COTUNE_FUZZ_SEED` elsewhere. Bytes that made a reader panic are kept in `tests/fuzz/<target>/` and read by every run first.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use cotune_kernel::{Stream, codec};
use cotune_models::base::Base;
use cotune_models::checkpoint::{Source, convert};
use cotune_models::device::Compute;
use cotune_record::checkpoint::{self, CHECKPOINT_FORMAT, Checkpoints, Header};
use cotune_record::{Digest, Event, EventReader, EventWriter, LogPosition, RunDirectory};
use cotune_scenario::{Context, Document, FileKind, FileReference};
use cotune_tests::{fedavg, kept, plan, random, read_snapshot, tiny, workspace};
use cotune_world::files::Files;
use cotune_world::payload::Payload;
use cotune_world::{Reach, Site, Snapshot};
use serde::ser::{Serialize, SerializeTuple, Serializer};
use tempfile::TempDir;

/// How often a target is tried where nobody says.
const FAST: u64 = 3_000;
/// The same for targets that go through a file.
const SLOW: u64 = 300;

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

/// Reads what was found before, and then as many changes of `good` as there is time for.
fn fuzz(target: &str, default: u64, good: &[Vec<u8>], read: impl Fn(&[u8])) {
    let folder = workspace().join("tests/fuzz").join(target);
    let found = fs::read_dir(&folder).into_iter().flatten().map(|entry| entry.unwrap().path());
    for path in found.filter(|path| path.is_file()) {
        let bytes = fs::read(&path).unwrap();
        assert!(
            catch_unwind(AssertUnwindSafe(|| read(&bytes))).is_ok(),
            "{} makes it panic again",
            path.display()
        );
    }
    good.iter().for_each(|bytes| read(bytes));
    let seed = number("COTUNE_FUZZ_SEED").unwrap_or(1);
    let mut stream = Stream::keyed(seed, target);
    for _ in 0..number("COTUNE_FUZZ").unwrap_or(default) {
        let bytes = changed(good, &mut stream);
        if catch_unwind(AssertUnwindSafe(|| read(&bytes))).is_err() {
            let path = folder.join(format!("{}.bin", &blake3_hex(&bytes)[..16]));
            fs::create_dir_all(&folder).unwrap();
            fs::write(&path, &bytes).unwrap();
            panic!("{target} panics; the bytes are in {}", path.display());
        }
    }
}

fn blake3_hex(bytes: &[u8]) -> String {
    Digest::of(bytes).to_hex()
}

/// A few changes to some good bytes: flipped bits, numbers that are often wrong, pieces left out, doubled or taken from
/// elsewhere.
fn changed(good: &[Vec<u8>], stream: &mut Stream) -> Vec<u8> {
    let mut bytes = good[stream.below(good.len() as u64) as usize].clone();
    for _ in 0..=stream.below(4) {
        let length = bytes.len() as u64;
        if length == 0 {
            break;
        }
        // Half of the changes are at the beginning, where headers are.
        let reach = if stream.chance(0.5) { length.min(64) } else { length };
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
struct Place {
    folder: TempDir,
    name: &'static str,
}

impl Place {
    fn new(name: &'static str) -> Self {
        Self { folder: TempDir::new().unwrap(), name }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join(self.name)
    }

    fn write(&self, bytes: &[u8]) -> PathBuf {
        fs::write(self.path(), bytes).unwrap();
        self.path()
    }
}

#[test]
fn a_scenario() {
    let folder = workspace().join("scenarios");
    let shipped = ["quickstart", "million", "services", "quickstart-storm"];
    let mut good: Vec<Vec<u8>> =
        shipped.iter().map(|name| fs::read(folder.join(name).with_extension("toml")).unwrap()).collect();
    good.extend((0..20).map(|seed| random::scenario(seed, "trace.csv", seed % 5 == 0).into_bytes()));
    fuzz("scenario", FAST, &good, |bytes| {
        let text = String::from_utf8_lossy(bytes);
        let base = |_: &str| Err("no other files".to_owned());
        if let Ok(document) = Document::parse("fuzz.toml", &text, &base) {
            drop(document.check(&Context { zoo: &cotune_models::zoo::names() }));
        }
    });
}

#[test]
fn a_trace_of_presence() {
    let place = Place::new("trace.csv");
    let good = [
        b"0,0,1\n0,1200,0\n0,1900,1\n0,6000,0\n1,300,1\n1,7200,0\n".to_vec(),
        b"device,time,online\n7,0.5,1\n7,10,0\n".to_vec(),
        b"PAR1\0\0\0\0PAR1".to_vec(),
    ];
    let site = Site {
        scenario_dir: place.folder.path().into(),
        data_dir: place.folder.path().into(),
        cache_dir: place.folder.path().into(),
        reach: Reach::Anywhere,
    };
    let reference = |kind| FileReference { path: "trace.csv".into(), kind, key: String::new() };
    fuzz("trace", SLOW, &good, |bytes| {
        place.write(bytes);
        for kind in [FileKind::Trace, FileKind::Rates, FileKind::Split] {
            drop(Files::default().add(&reference(kind), &site));
        }
    });
}

#[test]
fn a_payload_from_the_wire() {
    let good = [Payload::default().to_wire(), Payload::adapter("proxy", &[1.0, f32::NAN, -2.5]).to_wire()];
    fuzz("frame", FAST, &good, |bytes| drop(Payload::from_wire(bytes)));
    let sealed = good.map(|bytes| bytes[codec::HEADER_LEN..].to_vec());
    fuzz("payload", FAST, &sealed, |bytes| drop(Payload::from_wire(&sealed_as(1, bytes))));
}

/// Bytes as the payload of a frame whose checksum is right: what somebody would send who knows the format.
fn sealed_as(kind: u16, payload: &[u8]) -> Vec<u8> {
    struct Raw<'a>(&'a [u8]);
    impl Serialize for Raw<'_> {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let mut tuple = serializer.serialize_tuple(self.0.len())?;
            self.0.iter().try_for_each(|byte| tuple.serialize_element(byte))?;
            tuple.end()
        }
    }
    codec::encode(kind, &Raw(payload)).unwrap()
}

#[test]
fn a_checkpoint() {
    let tables =
        format!("{}[coordination.buffered]\nconcurrency = 3\nbuffer = 2\n", fedavg("on = \"proxy\""));
    let plan = plan(&tiny(&tables, &[]));
    let (_, snapshots) = kept(&plan, false, None);
    let (events, bytes) = &snapshots[0];
    let directory = TempDir::new().unwrap();
    let scenario_digest = Digest::of(b"scenario");
    let (version, commit) = ("0.1.0".to_owned(), String::new());
    let header = Header {
        format: CHECKPOINT_FORMAT,
        version,
        commit,
        scenario_digest,
        events: *events as u64,
        seconds: 0.0,
    };
    let position = LogPosition { bytes: 9, digest: cotune_record::EventDigest::new() };
    let checkpoints = Checkpoints::of(&RunDirectory::at(directory.path()));
    checkpoints.write(&header, &position, &read_snapshot(bytes)).unwrap();
    let path = checkpoints.newest_first().unwrap().remove(0);
    let whole = fs::read(&path).unwrap();

    let place = Place::new("1.checkpoint");
    let read = |bytes: &[u8]| {
        if let Ok(read) = checkpoint::read::<Snapshot>(&place.write(bytes), scenario_digest) {
            drop(read.state.fits(&plan));
        }
    };
    fuzz("checkpoint", SLOW, std::slice::from_ref(&whole), |bytes| read(bytes));
    // The same with checksums that are right.
    let state = bytes[codec::HEADER_LEN..].to_vec();
    fuzz("snapshot", SLOW, &[state], |bytes| {
        if let Ok(snapshot) = codec::decode::<Snapshot>(900, &sealed_as(900, bytes)) {
            drop(snapshot.fits(&plan));
        }
    });
}

#[test]
fn thirty_malformed_checkpoints_are_refused() {
    let place = Place::new("7.checkpoint");
    let scenario_digest = Digest::of(b"scenario");
    let header = Header {
        format: CHECKPOINT_FORMAT,
        version: "0.1.0".into(),
        commit: String::new(),
        scenario_digest,
        events: 7,
        seconds: 0.0,
    };
    let position = LogPosition { bytes: 9, digest: cotune_record::EventDigest::new() };
    let head = codec::encode(2, &header).unwrap();
    let state = codec::encode(3, &(&position, vec![1_u64; 50])).unwrap();
    let whole = [head.clone(), state.clone()].concat();
    let with = |at: usize, byte: u8| {
        let mut bytes = whole.clone();
        bytes[at] = byte;
        bytes
    };
    let other = |change: fn(&mut Header)| {
        let mut header = header.clone();
        change(&mut header);
        [codec::encode(2, &header).unwrap(), state.clone()].concat()
    };
    let mut malformed: Vec<Vec<u8>> = vec![
        Vec::new(),
        vec![0; 10_000],
        b"{\"format\": 1}".to_vec(),
        head.clone(),
        state.clone(),
        [state.clone(), head.clone()].concat(),
        [head.clone(), head.clone()].concat(),
        [whole.clone(), whole.clone()].concat(),
        [whole.clone(), vec![0]].concat(),
        [head.clone(), codec::encode(3, &position).unwrap()].concat(),
        [head.clone(), codec::encode(4, &(&position, vec![1_u64; 50])).unwrap()].concat(),
        [head.clone(), codec::encode(3, &(&position, "words")).unwrap()].concat(),
        [head.clone(), sealed_as(3, &[0xff; 40])].concat(),
        [head.clone(), sealed_as(3, &[253, 255, 255, 255, 255, 255, 255, 255, 127])].concat(),
        other(|header| header.format = 0),
        other(|header| header.format = u32::MAX),
        other(|header| header.scenario_digest = Digest::of(b"another")),
    ];
    for at in
        [0, 3, 4, 6, 8, 15, 16, 31, 32, 40, head.len(), head.len() + 8, head.len() + 20, whole.len() - 1]
    {
        malformed.push(with(at, whole[at] ^ 0x55));
    }
    assert!(malformed.len() >= 30, "{}", malformed.len());
    let read = |bytes: &[u8]| checkpoint::read::<Vec<u64>>(&place.write(bytes), scenario_digest);
    assert_eq!(read(&whole).unwrap().state, vec![1; 50]);
    for (index, bytes) in malformed.iter().enumerate() {
        let error = read(bytes).err().unwrap_or_else(|| panic!("number {index} was read"));
        assert!(error.to_string().contains("7.checkpoint"), "number {index}: {error}");
    }
}

#[test]
fn a_log_of_events() {
    let place = Place::new("events.jsonl.zst");
    let (events, _) = kept(&plan(&tiny(&fedavg("on = \"proxy\""), &[])), false, None);
    let mut log = EventWriter::create(&place.path()).unwrap();
    for (index, event) in events.iter().enumerate() {
        log.append(event).unwrap();
        if index % 20 == 0 {
            log.checkpoint().unwrap();
        }
    }
    log.finish().unwrap();
    let good = [fs::read(place.path()).unwrap()];
    fuzz("log", SLOW, &good, |bytes| {
        let Ok(reader) = EventReader::open(&place.write(bytes)) else { return };
        let events: Vec<Event> = reader.map_while(Result::ok).collect();
        drop(cotune_record::tabulate(&events));
    });
    let lines: Vec<u8> = events.iter().take(40).fold(Vec::new(), |mut lines, event| {
        event.encode_into(&mut lines);
        lines.push(b'\n');
        lines
    });
    fuzz("events", FAST, &[lines], |bytes| {
        let lines = bytes.split(|byte| *byte == b'\n');
        let events: Vec<Event> = lines.map_while(|line| serde_json::from_slice(line).ok()).collect();
        drop(cotune_record::tabulate(&events));
    });
}

#[test]
fn a_checkpoint_of_weights() {
    let fixture = workspace().join("models/tests/fixtures/hf/llama-gqa");
    let folder = TempDir::new().unwrap();
    for name in ["config.json", "model.safetensors"] {
        fs::copy(fixture.join(name), folder.path().join(name)).unwrap();
    }
    for name in ["config.json", "model.safetensors"] {
        let path = folder.path().join(name);
        let whole = fs::read(&path).unwrap();
        fuzz(name, SLOW, std::slice::from_ref(&whole), |bytes| {
            fs::write(&path, bytes).unwrap();
            drop(Base::load_bare(folder.path(), &Compute::cpu()));
        });
        fs::write(&path, whole).unwrap();
    }
}

#[test]
fn a_checkpoint_of_llama2c() {
    let (place, out) = (Place::new("tiny.bin"), TempDir::new().unwrap());
    // dim, hidden, layers, heads, kv heads, vocabulary, positions: all weights zero.
    let (dim, hidden, layers, vocab, positions) = (8, 16, 2, 10, 12);
    let per_layer = 2 * dim + 4 * dim * dim + 3 * dim * hidden;
    let floats = vocab * dim + layers * per_layer + dim + positions * (dim / 2);
    let mut good = Vec::new();
    for value in [dim, hidden, layers, 2, 2, vocab, positions] {
        good.extend_from_slice(&(value as i32).to_le_bytes());
    }
    good.resize(good.len() + 4 * floats, 0);
    fuzz("llama2c", SLOW, &[good], |bytes| {
        drop(convert(Source::Llama2c(&place.write(bytes)), None::<&Path>, out.path(), None));
    });
}
