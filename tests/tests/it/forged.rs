//! Checkpoints that somebody forged: the checksum is right, and what is in them is not what cotune wrote. None of them makes it
//! panic or wait for ever. One that cannot be told from a real one is gone on from; any other is passed over, before the run
//! goes on or once it breaks, and the run comes to the digest that it would have had.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use cotune_kernel::{Stream, codec};
use cotune_record::checkpoint::{self, Checkpoint, Header};
use cotune_record::{Checkpoints, Event, EventWriter, LogPosition, RunDirectory};
use cotune_tests::{checked, cotune, fedavg, json, kept, plan, read_snapshot, said, tiny_text};
use cotune_world::Snapshot;
use serde_json::Value;
use tempfile::TempDir;

use crate::fuzz::changed;
use crate::fuzz::frames::{header, sealed_as};

/// Forgeries of each kind.
const FORGERIES: u64 = 30;

/// The kind of the frame that holds the simulation.
const STATE_KIND: u16 = 3;

/// A run of a schedule that was cut, with two checkpoints.
struct Cut {
    folder: TempDir,
    /// What it comes to.
    digest: Value,
}

impl Cut {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("tiny.toml");
        let buffered = "[coordination.buffered]\nconcurrency = 3\nbuffer = 2\n";
        let text = tiny_text(&format!("{}{buffered}", fedavg("on = \"proxy\"")));
        let text = text.replace("[budget]\nrounds = 2", "[budget]\nrounds = 30");
        fs::write(&file, &text).unwrap();
        let runs = folder.path().join("runs");
        let mut command = cotune();
        command.arg("run").arg(&file).args(["-q", "--no-train", "--runs"]).arg(&runs);
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        let run = fs::read_dir(&runs).unwrap().next().unwrap().unwrap().path();
        fs::rename(&run, folder.path().join("cut")).unwrap();
        let cut = Self { digest: json(&folder.path().join("cut/summary.json"))["digest"].clone(), folder };
        cut.rewind(&text);
        cut
    }

    /// Takes the run back to the middle: its log, and the checkpoints that were there then.
    fn rewind(&self, text: &str) {
        let directory = RunDirectory::at(self.folder.path().join("cut"));
        let manifest = fs::read_to_string(directory.manifest_path()).unwrap();
        fs::write(directory.manifest_path(), manifest.replace("\"complete\"", "\"running\"")).unwrap();
        fs::remove_file(directory.events_path()).unwrap();
        let scenario_digest = directory.manifest().unwrap().scenario_digest;

        let plan = plan(&checked("tiny.toml", text, &[]));
        let (events, snapshots) = kept(&plan, false, None);
        let middle = snapshots.len() / 2;
        let mut log = EventWriter::create(&directory.events_path()).unwrap();
        let mut written = 0;
        for (before, bytes) in &snapshots[middle..middle + 2] {
            append(&mut log, &events[written..*before]);
            written = *before;
            let position: LogPosition = log.checkpoint().unwrap();
            let header: Header = header(scenario_digest, *before as u64);
            Checkpoints::of(&directory).write(&header, &position, &read_snapshot(bytes)).unwrap();
        }
        append(&mut log, &events[written..written + 3]);
        log.finish().unwrap();
    }

    /// A copy of the run whose newest checkpoint is what `forge` makes of it.
    fn forged(&self, name: &str, forge: impl FnOnce(&[u8]) -> Vec<u8>) -> PathBuf {
        let copy = self.folder.path().join(name).join("run");
        copy_folder(&self.folder.path().join("cut"), &copy);
        let newest = Checkpoints::of(&RunDirectory::at(&copy)).newest_first().unwrap().remove(0);
        let whole = fs::read(&newest).unwrap();
        let (_, state) = codec::read_frame(&whole, u64::MAX).unwrap();
        let head = &whole[..whole.len() - state.len()];
        let forged = sealed_as(STATE_KIND, &forge(&state[codec::HEADER_LEN..]));
        fs::write(newest, [head, &forged].concat()).unwrap();
        copy
    }
}

fn append(log: &mut EventWriter, events: &[Event]) {
    events.iter().for_each(|event| log.append(event).unwrap());
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let copy = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_folder(&path, &copy);
        } else {
            fs::copy(&path, copy).unwrap();
        }
    }
}

fn resume(run: &Path) -> Output {
    let mut command = cotune();
    command.args(["run", "--progress", "none", "--resume"]).arg(run);
    command.output().expect("it can be started")
}

#[test]
fn a_checkpoint_that_nobody_touched_is_gone_on_from() {
    let cut = Cut::new();
    let run = cut.forged("same", <[u8]>::to_vec);
    let output = resume(&run);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(said(&output).contains("resumed at event"), "{}", said(&output));
    assert_eq!(json(&run.join("summary.json"))["digest"], cut.digest);
}

#[test]
fn forged_checkpoints_are_refused_or_recovered_from() {
    let cut = Cut::new();
    let mut stream = Stream::keyed(1, "forgeries");
    let (mut believed, mut passed_over, mut broke) = (0, 0, 0);
    for number in 0..FORGERIES {
        let run = cut.forged(&number.to_string(), |state| changed(&[state.to_vec()], &mut stream));
        let output = resume(&run);
        let told = said(&output);
        match output.status.code() {
            Some(0) if told.contains("is damaged") || told.contains("does not hold") => passed_over += 1,
            // It could have been written like this: another number of bytes, another charge of a battery.
            Some(0) => {
                believed += 1;
                continue;
            }
            Some(2) => {
                assert!(told.contains("broke after it went on from") && told.contains("put aside"), "{told}");
                let again = resume(&run);
                assert_eq!(again.status.code(), Some(0), "forgery {number}: {}", said(&again));
                broke += 1;
            }
            other => panic!("forgery {number}: {other:?}: {told}"),
        }
        assert_eq!(json(&run.join("summary.json"))["digest"], cut.digest, "forgery {number}: {told}");
    }
    println!(
        "{passed_over} passed over, {broke} broke and were recovered from, {believed} could not be told from real ones"
    );
    assert!(passed_over > 0 && passed_over + broke >= FORGERIES / 2, "{passed_over} {broke} {believed}");
}

/// The log would be cut inside a frame, and what is written after it could not be read.
#[test]
fn a_position_inside_a_frame_of_the_log_is_not_gone_on_from() {
    let cut = Cut::new();
    for shift in [-9, -1, 1, 40] {
        let run = cut.folder.path().join(format!("shifted by {shift}")).join("run");
        copy_folder(&cut.folder.path().join("cut"), &run);
        let (directory, checkpoints) = (RunDirectory::at(&run), Checkpoints::of(&RunDirectory::at(&run)));
        let scenario = directory.manifest().unwrap().scenario_digest;
        let newest = checkpoints.newest_first().unwrap().remove(0);
        let Checkpoint { header, mut position, state } =
            checkpoint::read::<Snapshot>(&newest, scenario).unwrap();
        position.bytes = position.bytes.checked_add_signed(shift).unwrap();
        checkpoints.write(&header, &position, &state).unwrap();
        let output = resume(&run);
        assert_eq!(output.status.code(), Some(0), "{shift}: {}", said(&output));
        assert!(said(&output).contains("does not hold"), "{shift}: {}", said(&output));
        assert_eq!(json(&run.join("summary.json"))["digest"], cut.digest, "{shift}");
    }
}
