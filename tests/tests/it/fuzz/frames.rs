//! What cotune itself writes and sends: payloads, checkpoints, with checksums that are wrong and that are right.

use std::fs;

use cotune_kernel::codec;
use cotune_record::checkpoint::{self, CHECKPOINT_FORMAT, Checkpoints, Header};
use cotune_record::{Digest, EventDigest, LogPosition, RunDirectory};
use cotune_scenario::transfer::Encoding;
use cotune_tests::{fedavg, kept, plan, read_snapshot, tiny};
use cotune_world::Snapshot;
use cotune_world::packing::pack;
use cotune_world::payload::{Part, Payload, Tokens};
use tempfile::TempDir;

use super::{FAST, Place, SLOW, fuzz};

/// A payload with a part of every kind.
fn every_part() -> Payload {
    let (model, values) = ("m".to_owned(), vec![1.0, f32::NAN, -2.5, 0.0, 3.5]);
    let packed = |encoding: &Encoding| {
        let packed = pack(encoding, &values).expect("the encoding packs");
        Part::Packed { model: model.clone(), packed }
    };
    Payload {
        parts: vec![
            Part::Adapter { model: model.clone(), values: values.clone() },
            Part::Prompts { texts: vec!["a b".to_owned(), String::new()], padded: 16 },
            Part::Losses { of: model.clone(), values: values.clone() },
            Part::Logits { of: model.clone(), values: values.clone() },
            Part::Indices { of: model.clone(), tokens: Tokens::of(&[3, 70_000], 100_000) },
            Part::Control { model: model.clone(), values: values.clone() },
            Part::Merged { model: model.clone(), values: values.clone() },
            packed(&Encoding::Int8 { block: 2, error_feedback: false }),
            packed(&Encoding::TopK { share: 0.5, error_feedback: false }),
        ],
    }
}

/// Reads a payload and asks of it what a cloud asks before it trusts one.
fn read_payload(bytes: &[u8], expected: &Payload) -> bool {
    let Ok(payload) = Payload::from_wire(bytes) else { return false };
    for part in &payload.parts {
        if let Part::Indices { tokens, .. } = part {
            drop(tokens.ids());
        }
    }
    let _ = (payload.is_finite(), payload.has_shape_of(expected), payload.encoded_bytes());
    true
}

#[test]
fn a_payload_from_the_wire() {
    let expected = every_part();
    let good = [Payload::default().to_wire(), expected.to_wire()];
    fuzz("frame", FAST, &good, |bytes| read_payload(bytes, &expected));
    let sealed = good.map(|bytes| bytes[codec::HEADER_LEN..].to_vec());
    fuzz("payload", FAST, &sealed, |bytes| read_payload(&sealed_as(1, bytes), &expected));
}

/// Bytes as the payload of a frame whose checksum is right: what somebody would send who knows the format.
pub fn sealed_as(kind: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(codec::HEADER_LEN + payload.len());
    frame.extend(codec::MAGIC);
    frame.extend(codec::VERSION.to_le_bytes());
    frame.extend(kind.to_le_bytes());
    frame.extend((payload.len() as u64).to_le_bytes());
    let checksum = Digest::of(&[&frame, payload].concat());
    frame.extend(&checksum.as_bytes()[..16]);
    frame.extend(payload);
    frame
}

/// The header of a checkpoint of this build.
pub fn header(scenario_digest: Digest, events: u64) -> Header {
    let (version, commit) = ("0.1.0".to_owned(), String::new());
    Header { format: CHECKPOINT_FORMAT, version, commit, scenario_digest, events, seconds: 0.0 }
}

#[test]
fn a_checkpoint() {
    // Small, so that it is read often: what a snapshot is made of does not depend on how many values an adapter has.
    let small = [
        ("models.proxy.adapter.lora", "{ rank = 1, alpha = 2, targets = [\"q\"] }"),
        ("coordination", "{ buffered = { concurrency = 3, buffer = 2 } }"),
    ];
    let plan = plan(&tiny(&fedavg("on = \"proxy\""), &small));
    let (_, snapshots) = kept(&plan, false, None);
    let (events, bytes) = snapshots.iter().min_by_key(|(_, bytes)| bytes.len()).expect("it has rounds");
    let directory = TempDir::new().unwrap();
    let scenario_digest = Digest::of(b"scenario");
    let position = LogPosition { bytes: 9, digest: EventDigest::new() };
    let checkpoints = Checkpoints::of(&RunDirectory::at(directory.path()));
    checkpoints.write(&header(scenario_digest, *events as u64), &position, &read_snapshot(bytes)).unwrap();
    let path = checkpoints.newest_first().unwrap().remove(0);
    let whole = fs::read(&path).unwrap();
    println!("a checkpoint of {} bytes", whole.len());

    let place = Place::new("1.checkpoint");
    fuzz("checkpoint", SLOW, std::slice::from_ref(&whole), |bytes| {
        let read = checkpoint::read::<Snapshot>(&place.write(bytes), scenario_digest);
        read.is_ok_and(|read| read.state.fits(&plan, false).is_ok())
    });
    // The same with checksums that are right.
    let state = bytes[codec::HEADER_LEN..].to_vec();
    fuzz("snapshot", SLOW, &[state], |bytes| {
        let read = codec::decode::<Snapshot>(900, &sealed_as(900, bytes));
        read.is_ok_and(|snapshot| snapshot.fits(&plan, false).is_ok())
    });
}

#[test]
fn thirty_malformed_checkpoints_are_refused() {
    let place = Place::new("7.checkpoint");
    let scenario_digest = Digest::of(b"scenario");
    let header = header(scenario_digest, 7);
    let position = LogPosition { bytes: 9, digest: EventDigest::new() };
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
        [head.clone(), codec::encode(3, &(&position, -1.5)).unwrap()].concat(),
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
