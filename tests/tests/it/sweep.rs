//! `cotune sweep` and `cotune compare` on the sweep that ships, at smoke size.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use cotune_kernel::codec;
use cotune_record::RunDirectory;
use cotune_record::checkpoint::Header;
use cotune_tests::{cotune, fedavg, said, tiny_text, workspace};
use serde_json::Value;
use tempfile::TempDir;

fn shipped() -> PathBuf {
    workspace().join("scenarios/sweeps/quickstart-methods.toml")
}

fn sweep(runs: &Path, more: &[&str]) -> Output {
    let mut command = cotune();
    command.arg("sweep").arg(shipped()).args(["--smoke", "--no-train", "--json", "-q", "--runs"]).arg(runs);
    output(command.args(more))
}

/// A sweep of a file elsewhere over a scenario that ships.
fn sweeping(file: &Path) -> Command {
    let mut command = cotune();
    command.arg("sweep").arg(file).arg("--allow-path").arg(workspace());
    command
}

fn output(command: &mut Command) -> Output {
    command.output().expect("cotune can be started")
}

fn json(output: &Output) -> Value {
    let told = String::from_utf8_lossy(&output.stderr);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {told}"))
}

/// The points' folders and when each run began.
fn begun(folder: &Path) -> Vec<(String, u64)> {
    let mut found: Vec<(String, u64)> = fs::read_dir(folder.join("points"))
        .expect("there are points")
        .map(|entry| entry.expect("it can be listed").path())
        .map(|path| {
            let manifest: Value = serde_json::from_slice(&fs::read(path.join("run.json")).unwrap()).unwrap();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, manifest["started_unix_ms"].as_u64().unwrap())
        })
        .collect();
    found.sort();
    found
}

#[test]
fn a_sweep_runs_what_is_missing_and_comes_to_the_same_whatever_runs_at_once() {
    let (one, two) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    // A part alone, then the rest two at a time.
    let part = json(&sweep(one.path(), &["--shard", "1/3"]));
    let folder = PathBuf::from(part["folder"].as_str().unwrap());
    let before = begun(&folder);
    assert_eq!(before.len(), 2);
    let whole = json(&sweep(one.path(), &["--jobs", "2"]));
    let after = begun(&folder);
    assert_eq!(after.len(), 6);
    assert!(before.iter().all(|point| after.contains(point)), "what was there is not run again");
    let again = sweep(one.path(), &[]);
    assert_eq!((again.status.code(), json(&again)), (Some(0), whole.clone()));
    assert_eq!(begun(&folder), after);

    let alone = json(&sweep(two.path(), &[]));
    assert_eq!(alone["points"], whole["points"]);
    let csv = fs::read_to_string(folder.join("tables/points.csv")).unwrap();
    assert_eq!(csv.lines().count(), 7, "{csv}");

    // One that another process works on is left to it.
    let busy = RunDirectory::at(folder.join("points").join(&after[2].0));
    let manifest = fs::read_to_string(busy.manifest_path()).unwrap();
    fs::write(busy.manifest_path(), manifest.replace("\"complete\"", "\"running\"")).unwrap();
    let claim = busy.claim().unwrap();
    sweep(one.path(), &[]);
    assert!(fs::read_to_string(busy.manifest_path()).unwrap().contains("\"running\""));
    drop(claim);
    // A point that was cut goes on, here from the beginning, for it has no checkpoint; one that failed only when asked.
    let (cut, failed) = (&after[0].0, &after[1].0);
    for (point, status) in [(cut, "running"), (failed, "failed")] {
        let path = folder.join("points").join(point).join("run.json");
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, text.replace("\"complete\"", &format!("{status:?}"))).unwrap();
    }
    assert_eq!(sweep(one.path(), &[]).status.code(), Some(5));
    let repaired = sweep(one.path(), &["--retry-failed"]);
    assert_eq!((repaired.status.code(), json(&repaired)), (Some(0), whole));
}

#[test]
fn a_sweep_that_is_too_large_is_refused_with_its_number_and_a_dry_run_runs_nothing() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("large.toml");
    let scenario = workspace().join("scenarios/quickstart.toml");
    let text =
        format!("scenario = {:?}\nseeds = [1, 2]\n[axes]\ncoordination.sync.cohort = [4, 5, 6]\n", scenario);
    fs::write(&file, format!("{text}[limits]\nruns = 5\n")).unwrap();
    let refused = output(sweeping(&file).current_dir(folder.path()));
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(2), "{told}");
    assert!(told.contains("the sweep has 6 runs, and limits.runs allows 5"), "{told}");
    let dry = output(sweeping(&file).args(["--yes", "--dry-run"]).current_dir(folder.path()));
    assert_eq!(String::from_utf8_lossy(&dry.stdout).lines().count(), 6);
    assert!(!folder.path().join("runs").exists(), "a dry run writes nothing");
    // A mistake of one value is told where the value is written.
    fs::write(&file, text.replace("4, 5, 6", "4, 60")).unwrap();
    let wrong = output(sweeping(&file).current_dir(folder.path()));
    let told = String::from_utf8_lossy(&wrong.stderr).into_owned();
    assert_eq!(wrong.status.code(), Some(2), "{told}");
    assert!(told.contains("E0104") && told.contains("large.toml:4"), "{told}");
}

#[test]
fn a_comparison_names_what_differs_and_pairs_the_seeds() {
    let runs = TempDir::new().unwrap();
    let swept = json(&sweep(runs.path(), &[]));
    let folder = swept["folder"].as_str().unwrap();
    let compared = json(&output(cotune().args(["compare", folder, "--json"])));
    assert_eq!(compared["groups"].as_array().unwrap().len(), 3);
    assert_eq!(compared["scenario"][0]["key"], "method");
    for comparison in compared["comparisons"].as_array().unwrap() {
        for metric in comparison["metrics"].as_array().unwrap() {
            assert_eq!(metric["n"], 2, "{metric}");
            assert!(metric["p_holm"].as_f64() >= metric["p"].as_f64(), "{metric}");
        }
    }
    let by_method: Vec<_> =
        compared["groups"].as_array().unwrap().iter().map(|group| &group["name"]).collect();
    assert_eq!(by_method, ["co-plms", "standalone", "fedavg"], "as the file has them");
    let turned = json(&output(cotune().args(["compare", folder, "--json", "--baseline", "fedavg"])));
    assert!(turned["comparisons"].as_array().unwrap().iter().all(|one| one["baseline"] == "fedavg"));
    let unknown = output(cotune().args(["compare", folder, "--baseline", "fedprox"]));
    let told = String::from_utf8_lossy(&unknown.stderr).into_owned();
    assert!(
        unknown.status.code() == Some(2) && told.contains("write one of: co-plms; standalone; fedavg"),
        "{told}"
    );
    assert_eq!(output(cotune().args(["compare", folder, "--fail-on-diff"])).status.code(), Some(4));
    let point = begun(Path::new(folder))[0].0.clone();
    let point = format!("{folder}/points/{point}");
    let same = output(cotune().args(["compare", &point, &point, "--fail-on-diff"]));
    assert_eq!(same.status.code(), Some(0), "{}", String::from_utf8_lossy(&same.stderr));
}

/// A point whose folder has lost what it would go on from fails when it is continued, and begins anew when it is retried.
#[test]
fn a_point_that_fails_is_tried_as_often_as_the_sweep_says() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("study.toml");
    let scenario = workspace().join("scenarios/quickstart.toml");
    let text = format!("scenario = {scenario:?}\n[axes]\ncoordination.sync.cohort = [4, 5]\n");
    let sweep = |limits: &str| {
        fs::write(&file, format!("{text}{limits}")).unwrap();
        let mut command = sweeping(&file);
        command.args(["--smoke", "--no-train", "--json", "-q"]);
        output(command.current_dir(folder.path()))
    };
    let whole = json(&sweep(""));
    let swept = folder.path().join(whole["folder"].as_str().unwrap());
    let point = swept.join("points").join(&begun(&swept)[0].0);
    let damage = || {
        let manifest = fs::read_to_string(point.join("run.json")).unwrap();
        fs::remove_dir_all(&point).unwrap();
        fs::create_dir(&point).unwrap();
        let cut =
            manifest.replace("\"complete\"", "\"interrupted\"").replace("\"failed\"", "\"interrupted\"");
        fs::write(point.join("run.json"), cut).unwrap();
    };
    damage();
    assert_eq!(sweep("").status.code(), Some(5), "it is tried once");
    damage();
    let repaired = sweep("[limits]\nretries = 1\n");
    assert_eq!((repaired.status.code(), &json(&repaired)["points"]), (Some(0), &whole["points"]));
}

/// What cannot be read may be complete, of a newer version perhaps.
#[test]
fn a_point_that_cannot_be_read_is_named_and_left_alone() {
    let runs = TempDir::new().unwrap();
    let folder = PathBuf::from(json(&sweep(runs.path(), &[]))["folder"].as_str().unwrap());
    let point = folder.join("points").join(&begun(&folder)[0].0);
    let (manifest, summary) = (point.join("run.json"), fs::read(point.join("summary.json")).unwrap());
    let newer = fs::read_to_string(&manifest).unwrap().replacen('{', "{\"from\": \"a newer version\",", 1);
    fs::write(&manifest, &newer).unwrap();
    for more in [&[][..], &["--retry-failed"]] {
        let mut command = cotune();
        command.arg("sweep").arg(shipped()).args(["--smoke", "--no-train", "--runs"]).arg(runs.path());
        let swept = output(command.args(more));
        let told = said(&swept);
        assert_eq!(swept.status.code(), Some(5), "{told}");
        assert!(told.contains("is left as it is") && told.contains("run.json cannot be read"), "{told}");
        assert_eq!(fs::read_to_string(&manifest).unwrap(), newer);
        assert_eq!(fs::read(point.join("summary.json")).unwrap(), summary);
    }
}

/// The newest checkpoint of a point that was killed is of another version: the point fails, and keeps those it has.
#[test]
fn a_point_that_fails_keeps_its_checkpoints_and_goes_on_from_them() {
    let folder = TempDir::new().unwrap();
    let text = tiny_text(&fedavg("on = \"proxy\""));
    let text = text.replace("[budget]\nrounds = 2", "[budget]\nrounds = 24");
    fs::write(folder.path().join("tiny.toml"), text).unwrap();
    let file = folder.path().join("study.toml");
    fs::write(&file, "scenario = \"tiny.toml\"\nseeds = [1]\n[limits]\nretries = 1\n").unwrap();
    let sweep = |more: &[&str]| {
        let mut command = cotune();
        command.arg("sweep").arg(&file).args(["-q", "--runs"]).arg(folder.path().join("runs")).args(more);
        command
    };
    let listed = |folder: &Path| -> Vec<PathBuf> {
        let entries = fs::read_dir(folder).into_iter().flatten();
        entries.filter_map(|entry| Some(entry.ok()?.path())).collect()
    };
    let only = |folder: PathBuf| listed(&folder).pop();
    let point = || only(only(folder.path().join("runs"))?.join("points"));
    let checkpoints = || {
        let all = point().map_or(Vec::new(), |point| listed(&point.join("checkpoints")));
        let is_whole = |path: &PathBuf| path.extension().is_some_and(|end| end == "checkpoint");
        all.into_iter().filter(is_whole).collect::<Vec<_>>()
    };
    let mut child = sweep(&[]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    while checkpoints().is_empty() {
        assert!(child.try_wait().unwrap().is_none(), "it ended before its first checkpoint");
        thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();

    let manifest = point().unwrap().join("run.json");
    let told = || cotune_tests::json(&manifest);
    let (before, own) = (told(), checkpoints());
    let (version, commit) = ("9.9.9".to_owned(), String::new());
    let scenario_digest = before["scenario_digest"].as_str().unwrap().parse().unwrap();
    let header = Header { format: 99, version, commit, scenario_digest, events: 1, seconds: 0.0 };
    let alien = point().unwrap().join("checkpoints/999999999999.checkpoint");
    fs::write(&alien, codec::encode(2, &header).unwrap()).unwrap();
    let failed = output(&mut sweep(&[]));
    assert_eq!(failed.status.code(), Some(5), "{}", said(&failed));
    assert_eq!((&told()["status"], &told()["command"]), (&Value::from("failed"), &before["command"]));
    assert!(told()["warnings"].to_string().contains("cotune 9.9.9"), "{}", told());
    assert!(own.iter().all(|path| path.exists()), "they are lost");
    fs::remove_file(&alien).unwrap();
    let repaired = output(&mut sweep(&["--retry-failed"]));
    assert_eq!(repaired.status.code(), Some(0), "{}", said(&repaired));
    assert_eq!(told()["status"], "complete");
    assert_eq!(told()["started_unix_ms"], before["started_unix_ms"], "it begins anew");
    assert!(!told()["warnings"].to_string().contains("cotune 9.9.9"), "it is over: {}", told());
}

#[test]
fn a_report_reads_no_run_outside_its_sweep() {
    let runs = TempDir::new().unwrap();
    let folder = PathBuf::from(json(&sweep(runs.path(), &[]))["folder"].as_str().unwrap());
    let (lock, id) = (folder.join("sweep.lock.json"), begun(&folder)[0].0.clone());
    let text = fs::read_to_string(&lock).unwrap();
    for other in ["../../mine", "/etc", ""] {
        fs::write(&lock, text.replacen(&id, other, 1)).unwrap();
        let reported = output(cotune().arg("report").arg(&folder));
        let told = said(&reported);
        assert_eq!(reported.status.code(), Some(2), "{told}");
        assert!(told.contains("is not sixteen digits of a digest"), "{told}");
    }
}

#[test]
fn runs_that_differ_in_nothing_but_the_seed_are_never_said_to_differ() {
    let folder = TempDir::new().unwrap();
    let mut run = cotune();
    run.arg("run").arg(workspace().join("scenarios/quickstart.toml")).args(["-q", "--no-train"]);
    let made = output(run.args(["--vary", "seed=1,2,3", "--runs"]).arg(folder.path()));
    let folders: Vec<String> = String::from_utf8_lossy(&made.stdout).lines().map(str::to_owned).collect();
    assert_eq!(folders.len(), 3);
    let digest = |run: &String| {
        let summary: Value =
            serde_json::from_slice(&fs::read(Path::new(run).join("summary.json")).unwrap()).unwrap();
        summary["digest"].clone()
    };
    assert!(digest(&folders[0]) != digest(&folders[1]), "they do differ");
    for some in [&folders[..2], &folders[..]] {
        let compared = json(&output(cotune().arg("compare").args(some).arg("--json")));
        let (groups, claims) = (&compared["groups"], &compared["comparisons"]);
        assert_eq!((groups.as_array().unwrap().len(), claims), (1, &Value::Array(Vec::new())), "{compared}");
        let told = output(cotune().arg("compare").args(some));
        let text = String::from_utf8_lossy(&told.stdout);
        assert!(text.contains("nothing to compare it with") && !text.contains(" is better by"), "{text}");
    }
}

/// Two seeds of three methods, with quality written in by hand: contrasts take the best of the others, metric by metric.
#[test]
fn a_contrast_is_against_the_best_of_the_others() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("study.toml");
    let shipped = fs::read_to_string(shipped()).unwrap();
    let scenario = workspace().join("scenarios/quickstart.toml");
    let text = shipped.replace("\"../quickstart.toml\"", &format!("{scenario:?}"));
    let contrast = "[[contrast]]\nname = \"c\"\nof = \"co-plms\"\nagainst = [\"standalone\", \"fedavg\"]\n";
    fs::write(&file, format!("{text}\n{contrast}")).unwrap();
    let mut command = sweeping(&file);
    command.args(["--smoke", "--no-train", "--json", "-q"]).current_dir(folder.path());
    let swept = json(&output(&mut command));
    let swept = folder.path().join(swept["folder"].as_str().unwrap());
    // (Rouge-L, exact match) of seeds 1 and 2.
    let quality = [
        ("co-plms", [(50.0, 30.0), (54.0, 33.0)]),
        ("standalone", [(40.0, 31.0), (46.0, 32.0)]),
        ("fedavg", [(44.0, 10.0), (46.0, 12.0)]),
    ];
    let lock: Value = serde_json::from_slice(&fs::read(swept.join("sweep.lock.json")).unwrap()).unwrap();
    for point in lock["points"].as_array().unwrap() {
        let path = swept.join("points").join(point["id"].as_str().unwrap()).join("summary.json");
        let mut summary: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        let of = quality.iter().find(|(label, _)| point["labels"][0] == *label).unwrap().1;
        let (rouge, exact) = of[point["seed"].as_u64().unwrap() as usize - 1];
        summary["metrics"]["cloud.rouge-l"] = rouge.into();
        summary["metrics"]["cloud.exact-match"] = exact.into();
        fs::write(&path, summary.to_string()).unwrap();
    }
    let compared = json(&output(cotune().arg("compare").arg(&swept).arg("--json")));
    let metrics = compared["contrasts"][0]["metrics"].as_array().unwrap();
    let told: Vec<_> = metrics
        .iter()
        .map(|one| {
            (
                one["metric"].as_str().unwrap(),
                one["against"].as_str().unwrap(),
                one["difference"].as_f64().unwrap(),
            )
        })
        .collect();
    assert_eq!(told, [("cloud.rouge-l", "fedavg", 7.0), ("cloud.exact-match", "standalone", 0.0)]);
    assert!((metrics[0]["relative"].as_f64().unwrap() - 7.0 / 45.0).abs() < 1e-12);
}

/// Nobody coordinates them: each runs what nobody else is at.
#[test]
fn many_processes_may_work_on_one_sweep() {
    let alone = TempDir::new().unwrap();
    let whole = json(&sweep(alone.path(), &[]));
    for _ in 0..3 {
        let runs = TempDir::new().unwrap();
        let start = || {
            let mut command = cotune();
            command
                .arg("sweep")
                .arg(shipped())
                .args(["--smoke", "--no-train", "-q", "--runs"])
                .arg(runs.path());
            command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("cotune can be started")
        };
        for child in [start(), start(), start(), start()] {
            let ended = child.wait_with_output().unwrap();
            assert_eq!(ended.status.code(), Some(0), "{}", String::from_utf8_lossy(&ended.stderr));
        }
        assert_eq!(json(&sweep(runs.path(), &[]))["points"], whole["points"]);
    }
}
