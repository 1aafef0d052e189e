use std::fs;
use std::io::Write;
use std::path::Path;

use cotune_record::{Event, EventReader, EventWriter, LogError, LogPosition};

use crate::common::run;

fn write(path: &Path, events: &[Event], every: usize) {
    let mut writer = EventWriter::create(path).unwrap();
    for chunk in events.chunks(every) {
        chunk.iter().for_each(|event| writer.append(event).unwrap());
        writer.checkpoint().unwrap();
    }
    writer.finish().unwrap();
}

fn read(path: &Path) -> (Vec<Event>, bool) {
    let mut reader = EventReader::open(path).unwrap();
    let events = reader.by_ref().collect::<Result<_, _>>().unwrap();
    (events, reader.is_truncated())
}

#[test]
fn a_log_reads_back_as_written_whatever_its_frames() {
    let folder = tempfile::tempdir().unwrap();
    for every in [1, 7, 1000] {
        let path = folder.path().join(format!("{every}.zst"));
        write(&path, &run(), every);
        assert_eq!(read(&path), (run(), false));
    }
}

#[test]
fn an_empty_log_has_no_events() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.jsonl.zst");
    EventWriter::create(&path).unwrap().finish().unwrap();
    assert_eq!(read(&path), (Vec::new(), false));
}

#[test]
fn a_log_torn_anywhere_reads_to_its_last_whole_event() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.jsonl.zst");
    write(&path, &run(), 5);
    let whole = fs::read(&path).unwrap();
    let mut most = 0;
    let mut torn_count = 0;
    for length in 0..whole.len() {
        let torn = folder.path().join("torn");
        fs::write(&torn, &whole[..length]).unwrap();
        let (events, truncated) = read(&torn);
        assert_eq!(events[..], run()[..events.len()], "torn at byte {length}");
        assert!(events.len() >= most, "torn at byte {length}: events got lost");
        most = events.len();
        torn_count += usize::from(truncated);
    }
    assert!(torn_count > whole.len() * 9 / 10, "{torn_count} of {} cuts were noticed", whole.len());
}

#[test]
fn a_damaged_log_is_an_error_that_names_the_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.jsonl.zst");
    write(&path, &run(), 10);
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    fs::write(&path, bytes).unwrap();
    let error = EventReader::open(&path).unwrap().find_map(Result::err).expect("the damage is noticed");
    assert!(matches!(error, LogError::Damaged { line: 10.., .. }), "{error}");

    let mut lines = Vec::new();
    run()[0].encode_into(&mut lines);
    lines.extend(b"\n{\"time_ns\":1}\n");
    fs::write(&path, zstd::encode_all(&lines[..], 3).unwrap()).unwrap();
    let error = EventReader::open(&path).unwrap().find_map(Result::err).expect("the line is no event");
    assert!(error.to_string().starts_with("line 2 of "), "{error}");
}

#[test]
fn a_resumed_log_equals_one_that_was_never_cut() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.jsonl.zst");
    let events = run();
    let mut writer = EventWriter::create(&path).unwrap();
    events[..20].iter().for_each(|event| writer.append(event).unwrap());
    let position = serde_json::to_string(&writer.checkpoint().unwrap()).unwrap();
    events[..9].iter().for_each(|event| writer.append(event).unwrap());
    writer.flush().unwrap();
    drop(writer);

    let position: LogPosition = serde_json::from_str(&position).unwrap();
    let mut writer = EventWriter::resume(&path, &position).unwrap();
    events[20..].iter().for_each(|event| writer.append(event).unwrap());
    let resumed = writer.finish().unwrap();
    assert_eq!(read(&path), (events, false));

    let uncut = folder.path().join("uncut.zst");
    let mut writer = EventWriter::create(&uncut).unwrap();
    run().iter().for_each(|event| writer.append(event).unwrap());
    assert_eq!(writer.finish().unwrap(), resumed);
}

#[test]
fn a_log_shorter_than_its_checkpoint_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.jsonl.zst");
    let mut writer = EventWriter::create(&path).unwrap();
    run().iter().for_each(|event| writer.append(event).unwrap());
    let position = writer.checkpoint().unwrap();
    fs::write(&path, b"").unwrap();
    let refused = EventWriter::resume(&path, &position).err().expect("the log was cut");
    assert!(matches!(refused, LogError::ShorterThanCheckpoint { found: 0, .. }), "{refused}");
    assert!(refused.is_damage());
}

#[cfg(unix)]
#[test]
fn a_log_that_the_system_does_not_give_is_not_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.jsonl.zst");
    assert!(EventReader::open(&path).is_err_and(|missing| missing.is_damage()), "there is nothing to lose");
    std::os::unix::fs::symlink(&path, &path).unwrap();
    let refused = EventReader::open(&path).err().expect("a link to itself leads nowhere");
    assert!(matches!(refused, LogError::Open { .. }) && !refused.is_damage(), "{refused}");
}

#[test]
fn flushed_events_are_readable_while_the_run_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.jsonl.zst");
    let mut writer = EventWriter::create(&path).unwrap();
    run()[..12].iter().for_each(|event| writer.append(event).unwrap());
    writer.flush().unwrap();
    assert_eq!(read(&path), (run()[..12].to_vec(), true));
}

#[test]
fn a_small_file_that_grows_without_end_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.jsonl.zst");
    let mut line = Vec::new();
    run()[0].encode_into(&mut line);
    line.resize(1 << 20, b' ');
    line.push(b'\n');
    let mut file = zstd::Encoder::new(fs::File::create(&path).unwrap(), 3).unwrap();
    (0..1_000).for_each(|_| file.write_all(&line).unwrap());
    file.finish().unwrap();
    let mut reader = EventReader::open(&path).unwrap();
    let error = reader.find_map(Result::err).expect("it has no such many events");
    assert!(matches!(error, LogError::Damaged { line: 64.., .. }), "{error}: {}", reader.line());
    let why = std::error::Error::source(&error).unwrap().to_string();
    assert!(why.contains("1000 times its size"), "{why}");
}
