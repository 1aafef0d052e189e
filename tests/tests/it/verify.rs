//! `cotune verify`: a recorded run repeats, and what was changed in one is named.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use cotune_record::{Event, EventKind, EventReader, EventWriter, RunDirectory};
use cotune_scenario::Scenario;
use cotune_scenario::models::Init;
use cotune_tests::{co_plms_distilled, cotune, fedavg, tiny_text};
use serde_json::Value;
use tempfile::TempDir;

/// A small run that learned, in a folder of runs.
fn recorded(folder: &Path) -> RunDirectory {
    recorded_of(folder, &fedavg("on = \"proxy\""), &[])
}

/// The same of a method, with more arguments.
fn recorded_of(folder: &Path, tables: &str, more: &[&str]) -> RunDirectory {
    let (file, runs) = (folder.join("tiny.toml"), folder.join("runs"));
    fs::write(&file, tiny_text(tables)).unwrap();
    let mut command = cotune();
    let output = command.arg("run").arg(&file).args(["-q", "--runs"]).arg(&runs).args(more).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    RunDirectory::at(PathBuf::from(String::from_utf8(output.stdout).unwrap().trim_end()))
}

fn verify(run: &RunDirectory, more: &[&str]) -> Output {
    cotune().arg("verify").arg(run.path()).args(more).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}

/// Writes the log again with every event as `change` leaves it; none, and it is left out.
fn rewrite(run: &RunDirectory, mut change: impl FnMut(usize, Event) -> Option<Event>) {
    let path = run.events_path();
    let events: Vec<Event> = EventReader::open(&path).unwrap().map(Result::unwrap).collect();
    fs::remove_file(&path).unwrap();
    let mut log = EventWriter::create(&path).unwrap();
    let changed = events.into_iter().enumerate().filter_map(|(index, event)| change(index, event));
    changed.for_each(|event| log.append(&event).unwrap());
    log.finish().unwrap();
}

#[test]
fn a_run_repeats_whatever_must_not_matter_and_a_changed_event_is_named() {
    let folder = TempDir::new().unwrap();
    let run = recorded(folder.path());
    let digest = run.summary().unwrap().digest.to_hex();
    for more in [&["-j", "1"][..], &["-j", "4", "--chaos"], &["-j", "2", "--actors", "all"]] {
        let output = verify(&run, more);
        assert_eq!(output.status.code(), Some(0), "{more:?}: {}", said(&output));
        assert!(said(&output).contains(&digest), "{}", said(&output));
    }

    let log = fs::read(run.events_path()).unwrap();
    rewrite(&run, |_, mut event| {
        if let EventKind::UploadStarted { bytes, .. } = &mut event.kind {
            *bytes = 4_242;
        }
        Some(event)
    });
    let first = {
        let events = EventReader::open(&run.events_path()).unwrap().map(Result::unwrap);
        let changed = |event: &Event| matches!(event.kind, EventKind::UploadStarted { bytes: 4_242, .. });
        1 + events.enumerate().find(|(_, event)| changed(event)).expect("one was changed").0
    };
    let output = verify(&run, &[]);
    assert_eq!(output.status.code(), Some(4), "{}", said(&output));
    let told = said(&output);
    assert!(told.contains(&format!("part at event {first}, after 0 closed rounds")), "{told}");
    assert_eq!(told.matches("upload-started").count(), 2, "both forms: {told}");
    assert!(told.contains("4242"), "{told}");

    // What was cut off at the end, or put behind it, is found as well.
    fs::write(run.events_path(), &log).unwrap();
    let last = EventReader::open(&run.events_path()).unwrap().count() - 1;
    rewrite(&run, |index, event| (index < last).then_some(event));
    let output = verify(&run, &[]);
    assert!(
        output.status.code() == Some(4) && said(&output).contains("recorded  nothing"),
        "{}",
        said(&output)
    );
    fs::write(run.events_path(), &log).unwrap();
    let mut summary: Value = serde_json::from_slice(&fs::read(run.summary_path()).unwrap()).unwrap();
    summary["digest"] = Value::from("0".repeat(64));
    fs::write(run.summary_path(), summary.to_string()).unwrap();
    let output = verify(&run, &[]);
    assert!(
        output.status.code() == Some(2) && said(&output).contains("one of the two was changed"),
        "{}",
        said(&output)
    );
}

#[test]
fn a_run_that_was_cut_repeats_as_far_as_it_came() {
    let folder = TempDir::new().unwrap();
    let run = recorded(folder.path());
    rewrite(&run, |index, event| (index < 20).then_some(event));
    let manifest = fs::read_to_string(run.manifest_path()).unwrap();
    fs::write(run.manifest_path(), manifest.replace("\"complete\"", "\"running\"")).unwrap();
    let output = verify(&run, &[]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(said(&output).contains("20 events in 0 rounds are the same so far"), "{}", said(&output));
}

/// Changes a run's scenario, and its digest in the manifest with it.
fn forge(run: &RunDirectory, change: impl Fn(&mut Scenario)) {
    let lock = fs::read_to_string(run.lock_path()).unwrap();
    // Not by the reader that is to refuse it.
    let mut scenario: Scenario = serde_json::from_str(&lock).unwrap();
    let before = scenario.digest();
    change(&mut scenario);
    fs::write(run.lock_path(), scenario.to_lock_json()).unwrap();
    let manifest = fs::read_to_string(run.manifest_path()).unwrap();
    assert!(manifest.contains(&before), "{manifest}");
    let manifest = manifest.replace(&before, &scenario.digest()).replace("\"complete\"", "\"running\"");
    fs::write(run.manifest_path(), manifest).unwrap();
}

#[test]
fn a_scenario_from_elsewhere_that_names_nobody_is_damaged() {
    let folder = TempDir::new().unwrap();
    let run = recorded_of(folder.path(), &co_plms_distilled(), &["--no-train"]);
    let lock = fs::read(run.lock_path()).unwrap();
    let manifest = fs::read(run.manifest_path()).unwrap();
    let teacher = |scenario: &mut Scenario| {
        let made = scenario.models.get_mut("made").expect("the proxy is made");
        let Init::Distill(distill) = &mut made.init else { panic!("it is distilled") };
        distill.from = "nobody".to_owned();
    };
    let model = |scenario: &mut Scenario| {
        let phone = scenario.fleet.classes.get_mut("phone").expect("there are phones");
        phone.model = "nobody".to_owned();
    };
    let nobody_there = |scenario: &mut Scenario| scenario.fleet.devices = 0;
    type Change<'a> = &'a dyn Fn(&mut Scenario);
    let changes: [(Change<'_>, &str); 3] =
        [(&teacher, "nobody"), (&model, "nobody"), (&nobody_there, "fleet.devices")];
    for (change, named) in changes {
        fs::write(run.lock_path(), &lock).unwrap();
        fs::write(run.manifest_path(), &manifest).unwrap();
        forge(&run, change);
        let resumed = cotune().args(["run", "--resume"]).arg(run.path()).output().unwrap();
        for output in [verify(&run, &[]), resumed] {
            let told = said(&output);
            assert_eq!(output.status.code(), Some(2), "{named}: {told}");
            assert!(told.contains("scenario.lock.json is damaged") && told.contains(named), "{told}");
        }
    }
}
