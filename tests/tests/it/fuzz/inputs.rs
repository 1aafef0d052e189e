//! Files that people write: scenarios, sweeps, traces, splits; and of a run's folder the lock, the log and the fleet.

use std::fs;
use std::sync::Arc;

use cotune_record::{Event, EventReader, EventWriter, Fleet, FleetRow};
use cotune_scenario::{Context, Document, FileKind, FileReference, Scenario, Sweep};
use cotune_tests::{checked, co_plms, fedavg, kept, plan, random, tiny, tiny_text, workspace};
use cotune_world::files::Files;
use cotune_world::{Reach, Site};
use parquet::data_type::{BoolType, DataType, DoubleType, Int64Type};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;

use super::{FAST, Place, SLOW, fuzz};

#[test]
fn a_scenario() {
    let mut good = vec![tiny_text(&fedavg("on = \"proxy\"")), tiny_text(&co_plms(""))];
    good.extend((0..20).map(|seed| random::scenario(seed, "trace.csv", seed % 5 == 0)));
    let good: Vec<Vec<u8>> = good.into_iter().map(String::into_bytes).collect();
    let zoo = cotune_models::zoo::names();
    fuzz("scenario", FAST, &good, |bytes| {
        let text = String::from_utf8_lossy(bytes);
        let base = |_: &str| Err("no other files".to_owned());
        let document = Document::parse("fuzz.toml", &text, &base);
        document.is_ok_and(|document| document.check(&Context { zoo: &zoo }).is_ok())
    });
}

/// What is read of a sweep before its scenario is.
#[test]
fn a_sweep() {
    let folder = workspace().join("scenarios/sweeps");
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = files.filter(|path| path.extension().is_some_and(|end| end == "toml")).collect();
    files.sort();
    let good: Vec<Vec<u8>> = files.iter().map(|path| fs::read(path).unwrap()).collect();
    fuzz("sweep", FAST, &good, |bytes| {
        Sweep::parse("fuzz.toml", "fuzz", &String::from_utf8_lossy(bytes)).is_ok()
    });
}

/// What a run that goes on reads of its scenario before it compares the digest.
#[test]
fn a_scenario_that_was_locked() {
    let mut good = vec![tiny(&fedavg("on = \"proxy\""), &[]), tiny(&co_plms(""), &[])];
    good.extend((0..20).map(|seed| {
        let text = random::scenario(seed, "trace.csv", seed % 5 == 0);
        checked(&format!("random-{seed}.toml"), &text, &[])
    }));
    let good: Vec<Vec<u8>> = good.iter().map(|scenario| scenario.to_lock_json().into_bytes()).collect();
    fuzz("lock", FAST, &good, |bytes| {
        let read = Scenario::from_lock_json(&String::from_utf8_lossy(bytes));
        read.is_ok_and(|scenario| {
            drop(scenario.files());
            scenario.digest().len() == 64
        })
    });
}

/// Reads a file of a kind that a scenario can name.
fn fuzz_file(target: &str, kind: FileKind, good: &[&[u8]]) {
    let place = Place::new("file");
    let site = Site {
        scenario_dir: place.folder.path().into(),
        data_dir: place.folder.path().into(),
        cache_dir: place.folder.path().into(),
        reach: Reach::Anywhere,
    };
    let reference = FileReference { path: "file".into(), kind, key: String::new() };
    let good: Vec<Vec<u8>> = good.iter().map(|bytes| bytes.to_vec()).collect();
    fuzz(target, SLOW, &good, |bytes| {
        place.write(bytes);
        Files::default().add(&reference, &site).is_ok()
    });
}

/// Comings and goings of two devices.
fn trace_in_parquet() -> Vec<u8> {
    let schema = "message log { required int64 device; required double t_s; required boolean online; }";
    let (schema, mut out) = (Arc::new(parse_message_type(schema).unwrap()), Vec::new());
    let mut file = SerializedFileWriter::new(&mut out, schema, Arc::default()).unwrap();
    let mut group = file.next_row_group().unwrap();
    put::<Int64Type>(&mut group, &[7, 7, 9, 9]);
    put::<DoubleType>(&mut group, &[0.5, 10.0, 11.0, 40.0]);
    put::<BoolType>(&mut group, &[true, false, true, false]);
    group.close().unwrap();
    file.close().unwrap();
    out
}

fn put<T: DataType>(group: &mut SerializedRowGroupWriter<'_, &mut Vec<u8>>, values: &[T::T]) {
    let mut column = group.next_column().unwrap().expect("the schema has one more");
    column.typed::<T>().write_batch(values, None, None).unwrap();
    column.close().unwrap();
}

#[test]
fn a_trace_of_presence() {
    fuzz_file(
        "trace",
        FileKind::Trace,
        &[
            b"0,0,1\n0,1200,0\n0,1900,1\n0,6000,0\n1,300,1\n1,7200,0\n",
            b"device,t_s,online\n7,0.5,1\n7,10,0\n",
            &trace_in_parquet(),
            b"{\"0\": {\"active\": [10, 60], \"inactive\": [50, 90], \"finish_time\": 100}}",
        ],
    );
}

#[test]
fn a_trace_of_bandwidth() {
    fuzz_file("rates", FileKind::Rates, &[b"0 1.5\n10 2.25\n20 0\n30 4\n"]);
}

#[test]
fn a_split() {
    fuzz_file("split", FileKind::Split, &[b"0\n1\n1\n0\n2\n"]);
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
        let Ok(reader) = EventReader::open(&place.write(bytes)) else { return false };
        let events: Vec<Event> = reader.map_while(Result::ok).collect();
        cotune_record::tabulate(&events).is_ok()
    });
    let lines: Vec<u8> = events.iter().take(40).fold(Vec::new(), |mut lines, event| {
        event.encode_into(&mut lines);
        lines.push(b'\n');
        lines
    });
    fuzz("events", FAST, &[lines], |bytes| {
        let lines = bytes.split(|byte| *byte == b'\n');
        let events: Vec<Event> = lines.map_while(|line| serde_json::from_slice(line).ok()).collect();
        cotune_record::tabulate(&events).is_ok()
    });
}

#[test]
fn a_fleet() {
    let place = Place::new("fleet.parquet");
    let device = |device: u32| FleetRow {
        device,
        class: if device < 3 { "phone" } else { "gateway" }.into(),
        model: "edge".into(),
        compute_flops: 9e11 + f64::from(device),
        memory_bytes: 6 << 30,
        down_bps: 8.1e7,
        up_bps: 1e7,
        rtt_s: 0.035,
        examples: vec![device, 40],
    };
    let domains = vec!["med".to_owned(), "law".to_owned()];
    Fleet { domains, devices: (0..5).map(device).collect() }.write_parquet(place.folder.path()).unwrap();
    let good = [fs::read(place.path()).unwrap()];
    fuzz("fleet", SLOW, &good, |bytes| {
        place.write(bytes);
        let fleet = Fleet::read_parquet(place.folder.path());
        fleet.is_ok_and(|fleet| fleet.device(3).is_some() || fleet.classes().len() <= fleet.devices.len())
    });
}
