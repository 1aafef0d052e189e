//! What `cotune check` refuses where files are read and plans are drawn. Every mistake is a file in
//! `tests/scenarios/bad`, with what a person is told beside it; mistakes of the language alone are in
//! `scenarios/format/tests/bad`.
//!
//! `COTUNE_BLESS=1 cargo test -p cotune-tests refusals` writes what is said now; read the difference before committing.

use std::path::PathBuf;

use cotune_tests::{cotune, workspace};

fn folder() -> PathBuf {
    workspace().join("tests/scenarios/bad")
}

fn names() -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder())
        .expect("the folder is there")
        .map(|entry| entry.expect("it can be listed").file_name().to_string_lossy().into_owned())
        .filter(|name| name.ends_with(".toml") && name != "base.toml")
        .collect();
    names.sort();
    names
}

/// Exit code and words.
fn checked(name: &str) -> (Option<i32>, String) {
    let mut command = cotune();
    let output = command
        .current_dir(folder())
        // A folder that is nowhere, so that what is said does not depend on the computer.
        .args(["check", name, "--data", "no-data"])
        .output()
        .expect("cotune can be started");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn every_mistake_is_refused_as_it_was_agreed() {
    let bless = std::env::var_os("COTUNE_BLESS").is_some();
    let mut differences = String::new();
    for name in names() {
        let (code, said) = checked(&name);
        assert_eq!(code, Some(2), "{name}: {said}");
        let beside = folder().join(&name).with_extension("txt");
        if bless {
            std::fs::write(&beside, &said).expect("it can be written");
        } else if std::fs::read_to_string(&beside).unwrap_or_default() != said {
            differences.push_str(&format!("---- {name} is now refused with\n{said}\n"));
        }
    }
    assert!(differences.is_empty(), "{differences}");
}

#[test]
fn what_the_mistakes_have_in_common_is_right() {
    let (code, said) = checked("base.toml");
    assert_eq!((code, said.as_str()), (Some(0), ""));
}

#[test]
fn a_scenario_reads_nothing_outside_its_folder_unless_it_is_allowed_to() {
    let folder = tempfile::TempDir::new().unwrap();
    let (here, home) = (folder.path().join("theirs"), folder.path().join("home"));
    std::fs::create_dir_all(&here).unwrap();
    std::fs::create_dir_all(&home).unwrap();
    std::fs::write(home.join("presence.csv"), "0,0,1\n0,900,0\n1,0,1\n1,500,0\n").unwrap();
    let text = cotune_tests::tiny_text(&cotune_tests::fedavg("on = \"proxy\""));
    let follows = "[fleet.class.phone]\navailability.trace = \"../home/presence.csv\"";
    let file = here.join("theirs.toml");
    std::fs::write(&file, text.replace("[fleet.class.phone]", follows)).unwrap();
    let check = |more: &[&str]| {
        let output = cotune().arg("check").arg(&file).args(more).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, told) = check(&[]);
    assert_eq!(code, Some(2), "{told}");
    assert!(
        told.contains("lies outside the folder of the scenario") && told.contains("--allow-path"),
        "{told}"
    );
    let (code, told) = check(&["--allow-path", home.to_str().unwrap()]);
    assert_eq!(code, Some(0), "{told}");
    // What somebody types is somebody's own.
    std::fs::write(&file, &text).unwrap();
    let set = "fleet.class.phone.availability={ trace = \"../home/presence.csv\" }";
    let planned = cotune().arg("plan").arg(&file).args(["--set", set, "-q"]).output().unwrap();
    assert_eq!(planned.status.code(), Some(0), "{}", String::from_utf8_lossy(&planned.stderr));
    // And nothing else: a number that is typed is no permission for a file of that name.
    std::fs::write(home.join("1"), "0,0,1\n0,900,0\n").unwrap();
    std::fs::write(&file, text.replace("[fleet.class.phone]", &follows.replace("presence.csv", "1")))
        .unwrap();
    let planned = cotune().arg("plan").arg(&file).args(["--seed", "1", "-q"]).output().unwrap();
    let told = String::from_utf8_lossy(&planned.stderr);
    assert_eq!(planned.status.code(), Some(2), "{told}");
    assert!(told.contains("lies outside the folder of the scenario"), "{told}");
}

#[test]
fn a_sweep_varies_a_scenario_of_its_folder_or_of_the_one_above() {
    let folder = tempfile::TempDir::new().unwrap();
    let (theirs, home) = (folder.path().join("theirs"), folder.path().join("home"));
    std::fs::create_dir_all(theirs.join("sweeps")).unwrap();
    std::fs::create_dir_all(&home).unwrap();
    for place in [&theirs, &home] {
        let text = cotune_tests::tiny_text(&cotune_tests::fedavg("on = \"proxy\""));
        std::fs::write(place.join("tiny.toml"), text).unwrap();
    }
    let file = theirs.join("sweeps/sweep.toml");
    let sweep = |scenario: &str, more: &[&str]| {
        std::fs::write(&file, format!("scenario = {scenario:?}\nseeds = [1, 2]\n")).unwrap();
        let mut command = cotune();
        let output = command.arg("sweep").arg(&file).arg("--dry-run").args(more).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    assert_eq!(sweep("../tiny.toml", &[]).0, Some(0));
    for scenario in ["../../home/tiny.toml", "/etc/passwd"] {
        let (code, told) = sweep(scenario, &[]);
        assert_eq!(code, Some(2), "{told}");
        assert!(told.contains("nor in the one above") && told.contains("--allow-path"), "{told}");
    }
    let (code, told) = sweep("../../home/tiny.toml", &["--allow-path", home.to_str().unwrap()]);
    assert_eq!(code, Some(0), "{told}");
}

/// The folder beside a scenario that may come from anyone is one that nobody named.
#[test]
fn a_scenario_outside_the_workspace_has_no_data_folder_unless_somebody_names_one() {
    let folder = tempfile::TempDir::new().unwrap();
    let (theirs, data) = (folder.path().join("theirs"), folder.path().join("shared/data"));
    std::fs::create_dir_all(&theirs).unwrap();
    std::fs::create_dir_all(&data).unwrap();
    std::fs::write(data.join("presence.csv"), "0,0,1\n0,900,0\n1,0,1\n1,500,0\n").unwrap();
    let text = cotune_tests::tiny_text(&cotune_tests::fedavg("on = \"proxy\""));
    let follows = "[fleet.class.phone]\navailability.trace = \"data:presence.csv\"";
    let file = theirs.join("theirs.toml");
    std::fs::write(&file, text.replace("[fleet.class.phone]", follows)).unwrap();
    let check = |named: Option<&std::path::Path>| {
        let mut command = cotune();
        command.arg("check").arg(&file).env_remove("COTUNE_DATA");
        if let Some(data) = named {
            command.arg("--data").arg(data);
        }
        let output = command.output().unwrap();
        (output.status.code(), cotune_tests::said(&output))
    };
    let (code, told) = check(None);
    assert_eq!(code, Some(2), "{told}");
    assert!(told.contains("nobody said where `data:` lies") && told.contains("--data"), "{told}");
    let (code, told) = check(Some(&data));
    assert_eq!(code, Some(0), "{told}");
}

#[cfg(unix)]
#[test]
fn a_pipe_is_refused_and_not_waited_for() {
    let folder = tempfile::TempDir::new().unwrap();
    let pipe = folder.path().join("pipe.csv");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let text = cotune_tests::tiny_text(&cotune_tests::fedavg("on = \"proxy\""));
    let follows = "[fleet.class.phone]\navailability.trace = \"pipe.csv\"";
    let file = folder.path().join("tiny.toml");
    std::fs::write(&file, text.replace("[fleet.class.phone]", follows)).unwrap();
    let output = cotune().arg("check").arg(&file).output().unwrap();
    let told = cotune_tests::said(&output);
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(told.contains("it is not a regular file"), "{told}");

    // One that somebody typed is another matter.
    let (to, text) = (pipe.clone(), text.clone());
    let writer = std::thread::spawn(move || std::fs::write(to, text));
    let output = cotune().arg("check").arg(&pipe).output().unwrap();
    writer.join().unwrap().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", cotune_tests::said(&output));
}
