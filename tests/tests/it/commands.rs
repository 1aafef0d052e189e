//! The binary as a person or a script meets it: exit codes, what is printed where, which files there are afterwards.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use cotune_scenario::data::Corpus;
use cotune_tests::{cotune, json, said, workspace};
use serde_json::Value;
use tempfile::TempDir;

/// Every file of a run's folder, as far as this version writes them.
const FILES: [&str; 12] = [
    "run.json",
    "scenario.toml",
    "scenario.lock.json",
    "events.jsonl.zst",
    "metrics.csv",
    "summary.json",
    "report.html",
    "tables/fleet.parquet",
    "tables/rounds.parquet",
    "tables/reports.parquet",
    "tables/evaluations.parquet",
    "tables/faults.parquet",
];

/// The scenarios that ship.
fn shipped() -> Vec<PathBuf> {
    let folder = workspace().join("scenarios");
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .expect("there are scenarios")
        .map(|entry| entry.expect("there are scenarios").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    files.sort();
    assert!(files.len() >= 6, "{files:?}");
    files
}

/// Whether a scenario, or what it stands on, reads files that do not ship.
fn needs_data(scenario: &Path) -> bool {
    let name = scenario.file_stem().expect("a scenario has a name").to_string_lossy();
    cotune_tests::shipped(&name, &[]).files().iter().any(|file| file.path.starts_with("data:"))
}

/// Whether there is anything to learn from.
fn has_texts(scenario: &Path) -> bool {
    let name = scenario.file_stem().expect("a scenario has a name").to_string_lossy();
    !matches!(cotune_tests::shipped(&name, &[]).data.corpus, Corpus::Sizes(_))
}

/// Whether the folder that `data:` stands for is there.
fn has_data() -> bool {
    std::env::var_os("COTUNE_DATA").is_some() || workspace().join("../shared/data").is_dir()
}

fn quickstart() -> PathBuf {
    workspace().join("scenarios/quickstart.toml")
}

fn output(command: &mut Command) -> Output {
    command.output().expect("cotune can be started")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("cotune prints UTF-8")
}

/// The standard output of a command that has to succeed.
fn succeed(command: &mut Command) -> String {
    let output = output(command);
    assert_eq!(output.status.code(), Some(0), "{command:?}\n{}", text(&output.stderr));
    text(&output.stdout)
}

/// What a folder holds, with what is below it.
fn listing(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.expect("a folder can be read").path())
        .flat_map(|path| [listing(&path), vec![path]].concat())
        .collect();
    paths.sort();
    paths
}

#[test]
fn every_scenario_that_ships_is_valid() {
    for file in shipped() {
        if needs_data(&file) && !has_data() {
            eprintln!("skipped: {} needs data that is not here", file.display());
            continue;
        }
        let said = succeed(cotune().arg("check").arg(&file));
        assert!(said.contains(": ok"), "{said}");
    }
}

#[test]
fn every_scenario_that_needs_no_outside_data_runs_and_leaves_every_file() {
    for file in shipped().into_iter().filter(|file| !needs_data(file)) {
        let runs = TempDir::new().expect("a temporary folder");
        let mut run = cotune();
        run.args(["run", "--smoke", "--runs"]).arg(runs.path()).arg(&file);
        let learns = has_texts(&file);
        if !learns {
            run.arg("--no-train");
        }
        let said = succeed(&mut run);
        let folder = PathBuf::from(said.strip_suffix('\n').expect("a line"));
        assert!(folder.is_dir(), "the standard output is the run's folder and nothing else: {said:?}");
        assert_eq!(folder.parent(), Some(runs.path()));
        for name in FILES {
            let length = fs::metadata(folder.join(name)).map(|file| file.len());
            assert!(length.is_ok_and(|length| length > 0), "{}: no {name}", file.display());
        }
        assert_eq!(fs::read(folder.join("scenario.toml")).unwrap(), fs::read(&file).unwrap());
        assert_eq!(json(&folder.join("run.json"))["status"], "complete");
        let summary = json(&folder.join("summary.json"));
        assert_eq!(summary["metrics"]["rounds"], 2.0);
        assert_eq!(summary["metrics"]["edge.rouge-l.mean"].is_number(), learns);
        assert!(summary["start"].is_object());
        let report = fs::read_to_string(folder.join("report.html")).unwrap();
        assert!(
            report.contains("<svg") && !report.contains("src=\"http"),
            "one file, charts inside, no network"
        );
        assert!(report.len() < 1_000_000, "{} bytes", report.len());
    }
}

#[test]
fn json_on_request_is_the_summary_and_nothing_else() {
    let runs = TempDir::new().expect("a temporary folder");
    let said = succeed(
        cotune()
            .args(["run", "--smoke", "--no-train", "--json", "--runs"])
            .arg(runs.path())
            .arg(quickstart()),
    );
    let summary: Value = serde_json::from_str(&said).expect("one JSON value");
    assert_eq!(summary["method"], "co-plms");
    assert!(summary["metrics"].get("edge.rouge-l.mean").is_none(), "nothing was learned");
}

#[test]
fn a_run_is_found_again_shown_and_reported() {
    let runs = TempDir::new().expect("a temporary folder");
    let run = ["run", "--smoke", "--no-train", "-q", "--runs"];
    let folder = succeed(cotune().args(run).arg(runs.path()).arg(quickstart()));
    let id = Path::new(folder.trim_end()).file_name().unwrap().to_str().unwrap().to_owned();
    assert!(succeed(cotune().args(["runs", "ls", "--runs"]).arg(runs.path())).contains(&id));
    let shown = succeed(cotune().args(["runs", "show", "latest", "--json", "--runs"]).arg(runs.path()));
    assert_eq!(
        serde_json::from_str::<Value>(&shown).expect("JSON"),
        json(&runs.path().join(&id).join("summary.json"))
    );
    let report = runs.path().join(&id).join("report.html");
    let before = fs::read(&report).unwrap();
    fs::remove_file(&report).unwrap();
    let said = succeed(cotune().args(["report", &id[..id.len() - 1], "--runs"]).arg(runs.path()));
    assert_eq!(said.trim_end(), report.display().to_string());
    assert!(fs::read(&report).unwrap() == before, "a report is a function of the run's files");
}

/// Its manifest is written before it is planned, its log after that.
#[test]
fn a_run_that_has_not_begun_says_so() {
    let runs = TempDir::new().expect("a temporary folder");
    let run = ["run", "--smoke", "--no-train", "-q", "--runs"];
    let folder = PathBuf::from(succeed(cotune().args(run).arg(runs.path()).arg(quickstart())).trim_end());
    let manifest = fs::read_to_string(folder.join("run.json")).unwrap();
    fs::write(folder.join("run.json"), manifest.replace("\"complete\"", "\"running\"")).unwrap();
    fs::remove_file(folder.join("events.jsonl.zst")).unwrap();
    for command in [&["report", "latest"][..], &["runs", "show", "latest"], &["verify", "latest"]] {
        let output = output(cotune().args(command).arg("--runs").arg(runs.path()));
        let told = said(&output);
        assert_eq!(output.status.code(), Some(2), "{told}");
        assert!(told.contains("has not begun yet"), "{told}");
    }
}

#[test]
fn a_run_that_has_nothing_to_learn_from_leaves_no_folder() {
    let folder = TempDir::new().expect("a temporary folder");
    let runs = folder.path().join("runs");
    let million = workspace().join("scenarios/million.toml");
    let output = output(cotune().arg("run").arg(million).arg("--runs").arg(&runs));
    let told = said(&output);
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(told.contains("add --no-train") && !runs.exists(), "{told}");
}

/// What somebody did to the quickstart, and a piece of what has to be said about it.
const MISTAKES: [(&str, &str, &str, &str); 8] = [
    ("a misspelt key", "deadline    = ", "dedline    = ", "did you mean `deadline`"),
    ("a missing unit", "deadline    = \"10min\"", "deadline    = 10", "needs a unit"),
    ("shares that do not sum to 1", "share   = 0.5\n", "share   = 0.6\n", "add up to 1.10"),
    ("two methods", "[coordination.sync]", "[method.standalone]\n[coordination.sync]", "method"),
    ("an unknown model", "model   = \"tablet\"", "model   = \"tabelt\"", "did you mean `tablet`"),
    ("a cohort larger than the fleet", "cohort      = 6", "cohort      = 60", "larger than the fleet of 12"),
    (
        "a missing corpus file",
        "corpus.builtin = { name = \"domains\", examples = 1_344 }",
        "corpus.sources = {}\nsource = [{ domain = \"notes\", jsonl = \"notes.jsonl\" }]",
        "notes.jsonl",
    ),
    ("broken TOML", "name   = \"quickstart\"", "name   = \"quickstart", "not valid TOML"),
];

#[test]
fn every_mistake_is_shown_where_it_stands_with_help_and_nothing_is_written() {
    let good = fs::read_to_string(quickstart()).expect("the quickstart can be read");
    for (mistake, right, wrong, said) in MISTAKES {
        assert!(good.contains(right), "the quickstart has no `{right}` any more to make {mistake} of");
        let folder = TempDir::new().expect("a temporary folder");
        fs::write(folder.path().join("city.toml"), good.replacen(right, wrong, 1)).unwrap();
        let before = listing(folder.path());
        for arguments in
            [&["check", "city.toml"][..], &["plan", "city.toml"], &["run", "city.toml", "--smoke"]]
        {
            let output = output(cotune().current_dir(folder.path()).args(arguments));
            let told = text(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{mistake}: {arguments:?}\n{told}");
            assert!(output.stdout.is_empty(), "{mistake}: {arguments:?} prints a result");
            assert!(told.contains("error[E"), "{mistake} has no code:\n{told}");
            assert!(told.contains("city.toml:"), "{mistake} has no place:\n{told}");
            assert!(told.contains("help: "), "{mistake} has no help:\n{told}");
            assert!(told.contains(said), "{mistake} is not told with `{said}`:\n{told}");
            assert_eq!(listing(folder.path()), before, "{mistake}: {arguments:?} wrote something");
        }
    }
}

#[test]
fn all_mistakes_of_a_file_are_told_at_once() {
    let mut text_with_all = fs::read_to_string(quickstart()).expect("the quickstart can be read");
    let several: Vec<_> = MISTAKES
        .iter()
        .filter(|(name, ..)| {
            [
                "a misspelt key",
                "shares that do not sum to 1",
                "an unknown model",
                "a cohort larger than the fleet",
            ]
            .contains(name)
        })
        .collect();
    for (_, right, wrong, _) in &several {
        text_with_all = text_with_all.replacen(right, wrong, 1);
    }
    let folder = TempDir::new().expect("a temporary folder");
    fs::write(folder.path().join("city.toml"), text_with_all).unwrap();
    let output = output(cotune().current_dir(folder.path()).args(["check", "city.toml", "--format", "json"]));
    assert_eq!(output.status.code(), Some(2));
    let told: Value = serde_json::from_slice(&output.stdout).expect("one JSON value");
    let errors = told.as_array().expect("a list").iter().filter(|one| one["severity"] == "error").count();
    assert_eq!(errors, several.len(), "{told:#}");
}

#[test]
fn a_place_that_cannot_be_written_to_is_told_before_any_training() {
    let folder = TempDir::new().expect("a temporary folder");
    fs::write(folder.path().join("file"), "").unwrap();
    // Permissions do not stop root: a folder below a regular file stops everyone.
    let runs = folder.path().join("file/runs");
    let output = output(cotune().arg("run").arg(quickstart()).arg("--runs").arg(&runs));
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(told.contains("file/runs") && !told.contains("round"), "{told}");
}

#[cfg(unix)]
#[test]
fn ctrl_c_leaves_a_run_that_says_it_was_interrupted() {
    let runs = TempDir::new().expect("a temporary folder");
    let mut run = cotune()
        .args(["run", "--progress", "lines", "--runs"])
        .arg(runs.path())
        .arg(quickstart())
        .args(["--set", "budget.rounds=1000", "--set", "evaluation.metrics=[\"loss\"]"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("cotune can be started");
    let mut lines = BufReader::new(run.stderr.take().expect("piped")).lines();
    let begun = lines.by_ref().map_while(Result::ok).any(|line| line.contains("round 0"));
    assert!(begun, "the run says when training begins");
    let killed = Command::new("kill").args(["-INT", &run.id().to_string()]).status().expect("there is kill");
    assert!(killed.success());
    let told: Vec<String> = lines.map_while(Result::ok).collect();
    let mut said = String::new();
    run.stdout.take().expect("piped").read_to_string(&mut said).unwrap();
    assert_eq!(run.wait().unwrap().code(), Some(130), "{told:#?}");
    let folder = PathBuf::from(said.trim_end());
    assert_eq!(json(&folder.join("run.json"))["status"], "interrupted");
    assert_eq!(json(&folder.join("summary.json"))["status"], "interrupted");
    assert!(folder.join("report.html").is_file() && folder.join("events.jsonl.zst").is_file());
}
