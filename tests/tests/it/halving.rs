//! Successive halving: a rung is a pause, so what climbs to the end is what a grid comes to; what was cut goes on; and what
//! was stopped is told.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use cotune_tests::{cotune, fedavg, tiny_text};
use serde_json::Value;
use tempfile::TempDir;

const HALVING: &str = "[search.halving]\nresource = \"rounds\"\neta = 2\n";

/// Four learning rates on two seeds, four rounds each; written beside its scenario.
fn study(folder: &Path, search: &str) -> PathBuf {
    let text = tiny_text(&fedavg("on = \"proxy\""));
    let text = text.replace("[budget]\nrounds = 2", "[budget]\nrounds = 4");
    let text = text.replace("every   = { rounds = 2 }", "every   = { rounds = 1 }");
    assert!(text.contains("rounds = 4") && text.contains("{ rounds = 1 }"), "{text}");
    fs::write(folder.join("tiny.toml"), text).unwrap();
    let path = folder.join("rates.toml");
    let axes = "[axes]\nmethod.fedavg.optimizer.adamw.lr = [1e-4, 3e-2, 1e-3, 1e-2]\n";
    let goal = "goal = { minimize = \"edge.loss.mean\" }\n";
    fs::write(&path, format!("scenario = \"tiny.toml\"\nseeds = [1, 2]\n{goal}{search}{axes}")).unwrap();
    path
}

fn sweep(file: &Path) -> Command {
    let mut command = cotune();
    command.arg("sweep").arg(file).args(["--json", "--jobs", "2", "--runs"]).arg(runs(file));
    command
}

fn runs(file: &Path) -> PathBuf {
    file.with_file_name("runs")
}

fn done(command: &mut Command) -> (i32, Value, String) {
    let Output { status, stdout, stderr } = command.output().expect("cotune can be started");
    let told = String::from_utf8_lossy(&stderr).into_owned();
    let json = serde_json::from_slice(&stdout).unwrap_or(Value::Null);
    (status.code().unwrap_or_else(|| panic!("{told}")), json, told)
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
        .unwrap()
}

/// The sweep's one folder.
fn folder(file: &Path) -> PathBuf {
    fs::read_dir(runs(file)).expect("there are runs").next().expect("there is a sweep").unwrap().path()
}

/// The points' ids with what `run.json` says of each.
fn points(folder: &Path) -> Vec<(String, Value)> {
    let entries = fs::read_dir(folder.join("points")).into_iter().flatten();
    let paths = entries.map(|entry| entry.unwrap().path()).filter(|path| path.join("run.json").is_file());
    let mut points: Vec<_> = paths
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), read(&path.join("run.json"))))
        .collect();
    points.sort_by(|a, b| a.0.cmp(&b.0));
    points
}

/// A summary without what may differ.
fn summary(path: &Path) -> Value {
    let mut summary = read(path);
    for of_this_computer in ["wall", "warnings"] {
        summary[of_this_computer].take();
    }
    summary
}

#[test]
fn what_climbs_to_the_end_is_what_a_grid_comes_to_and_what_is_stopped_is_told() {
    let (halved, gridded) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let file = study(halved.path(), HALVING);
    let (code, json, told) = done(&mut sweep(&file));
    assert_eq!(code, 0, "{told}");
    assert!(told.contains("rung 1 of 3: round 1, 4 points, 8 runs to do"), "{told}");
    assert!(told.contains("rung 3 of 3: round 4, 1 point, 2 runs to do"), "{told}");
    let stopped: Vec<_> =
        json["points"].as_array().unwrap().iter().map(|point| &point["stopped_after_round"]).collect();
    assert_eq!(stopped, [&Value::Null, &2.into(), &1.into(), &1.into()], "the furthest first");
    let climbed = folder(&file);
    let lock = read(&climbed.join("sweep.lock.json"));
    for (rung, round, here) in [(0, 1, 4), (1, 2, 2), (2, 4, 1)] {
        let rung = &lock["rungs"][rung];
        assert_eq!((&rung["round"], rung["standings"].as_array().unwrap().len()), (&round.into(), here));
        let means: Vec<f64> =
            rung["standings"].as_array().unwrap().iter().map(|one| one["mean"].as_f64().unwrap()).collect();
        assert!(means.is_sorted(), "the smallest loss first: {means:?}");
    }
    let status = |status: &str| points(&climbed).iter().filter(|(_, run)| run["status"] == status).count();
    assert_eq!((status("complete"), status("interrupted")), (2, 6));
    let csv = fs::read_to_string(climbed.join("tables/points.csv")).unwrap();
    assert_eq!((csv.matches(",stopped,").count(), csv.matches(",complete,").count()), (6, 2), "{csv}");
    let page = fs::read_to_string(climbed.join("report.html")).unwrap();
    assert!(
        page.contains("<section id=\"rungs\">") && page.contains("2 of 8 runs complete, 6 stopped early")
    );

    // The grid's runs are those of the rungs, as far as those climbed.
    let grid = study(gridded.path(), "");
    assert_eq!(done(&mut sweep(&grid)).0, 0);
    let whole = folder(&grid);
    for (id, run) in points(&climbed) {
        if run["status"] == "complete" {
            let end = Path::new("points").join(&id).join("summary.json");
            assert_eq!(summary(&climbed.join(&end)), summary(&whole.join(&end)), "{id}");
        }
    }
    // And a climb over runs that went past every rung without a pause finds them in their logs.
    let begun = points(&whole);
    let halving = study(gridded.path(), HALVING);
    let (code, _, told) = done(&mut sweep(&halving));
    assert_eq!((code, points(&whole)), (0, begun), "{told}");
    assert_eq!(read(&whole.join("sweep.lock.json"))["rungs"], lock["rungs"]);
    for (id, _) in points(&climbed) {
        let rung = Path::new("points").join(&id).join("rungs/00001.json");
        assert_eq!(summary(&climbed.join(&rung)), summary(&whole.join(&rung)), "{id}");
    }
}

#[test]
fn a_climb_that_is_killed_loses_what_was_in_flight_and_no_more() {
    let (one, other) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let file = study(one.path(), HALVING);
    let rungs = || {
        let points = fs::read_dir(runs(&file))
            .into_iter()
            .flatten()
            .flatten()
            .map(|sweep| sweep.path().join("points"));
        let folders = points.flat_map(|points| fs::read_dir(points).into_iter().flatten().flatten());
        folders
            .map(|point| fs::read_dir(point.path().join("rungs")).map_or(0, Iterator::count))
            .sum::<usize>()
    };
    let mut kills = 0;
    for wanted in [3, 9] {
        let mut child = sweep(&file).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        while rungs() < wanted && child.try_wait().unwrap().is_none() {
            thread::sleep(Duration::from_millis(2));
        }
        kills += i32::from(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
    }
    assert!(kills > 0, "it was over before it could be killed");
    // A run is marked with the time at which it first began: none that had come to a rung begins again.
    let before: Vec<_> = points(&folder(&file))
        .into_iter()
        .filter(|(id, _)| folder(&file).join("points").join(id).join("rungs").is_dir())
        .map(|(id, run)| (id, run["started_unix_ms"].clone()))
        .collect();
    assert!(before.len() >= 3);
    let (code, json, told) = done(&mut sweep(&file));
    assert_eq!(code, 0, "{told}");
    let after: Vec<_> =
        points(&folder(&file)).into_iter().map(|(id, run)| (id, run["started_unix_ms"].clone())).collect();
    assert!(before.iter().all(|run| after.contains(run)), "{before:?}\n{after:?}");

    let whole = study(other.path(), HALVING);
    let (_, uncut, _) = done(&mut sweep(&whole));
    assert_eq!(json["points"], uncut["points"]);
    let rungs = |file: &Path| read(&folder(file).join("sweep.lock.json"))["rungs"].clone();
    assert_eq!(rungs(&file), rungs(&whole));
    let (code, again, told) = done(&mut sweep(&file));
    assert_eq!((code, &again["points"]), (0, &json["points"]));
    assert_eq!(told.matches(", 0 runs to do").count(), 3, "{told}");
}

#[test]
fn a_dry_run_shows_the_rungs_and_what_halving_cannot_do_is_refused() {
    let temporary = TempDir::new().unwrap();
    let file = study(temporary.path(), HALVING);
    let dry = sweep(&file).arg("--dry-run").output().unwrap();
    let shown = String::from_utf8_lossy(&dry.stdout);
    let rows: Vec<Vec<&str>> = shown.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["rung", "rounds", "points", "runs", "done"]);
    assert_eq!(rows[1..], [["1", "1", "4", "8", "0"], ["2", "2", "2", "4", "0"], ["3", "4", "1", "2", "0"]]);
    // 8 runs of one round, 4 of one more, 2 of two more; a grid has 8 of four.
    assert!(String::from_utf8_lossy(&dry.stderr).contains("16 of 32 rounds"));
    assert!(!runs(&file).exists(), "a dry run writes nothing");

    let refused = |search: &str, flags: &[&str], words: &str| {
        let file = study(temporary.path(), search);
        let (code, _, told) = done(sweep(&file).args(flags));
        let told = told.replace('│', "").split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(code == 2 && told.contains(words), "{words} is missing:\n{told}");
    };
    refused(HALVING, &["--shard", "1/2"], "--shard and halving exclude each other");
    refused(HALVING, &["--point", "0"], "--point and halving exclude each other");
    refused(&format!("{HALVING}[set]\nevaluation.every = {{ time = \"1h\" }}\n"), &[], "counts virtual time");
    refused(
        &format!("{HALVING}[[together]]\nbudget.rounds = [2, 4]\n"),
        &[],
        "an axis varies `budget.rounds`",
    );
    refused(HALVING, &["--no-train"], "a score is not known under --no-train");
}
