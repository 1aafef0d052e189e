//! The commands around a run: what one begins with, what editors and shells ask for, and what becomes of a run's folder.

use std::fs;
use std::path::Path;
use std::process::Output;

use cotune_scenario::schema::{Language, json_schema, keys};
use cotune_scenario::{codes, metrics};
use cotune_tests::{cotune, workspace};
use serde_json::Value;
use tempfile::TempDir;

/// Runs the command in a folder.
fn at(folder: &Path, words: &[&str]) -> Output {
    cotune().args(words).current_dir(folder).output().expect("the command can be started")
}

/// What it printed; it has to succeed.
fn printed(folder: &Path, words: &[&str]) -> String {
    let output = at(folder, words);
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("commands print UTF-8")
}

/// A folder with one run of the quickstart, its system only.
fn with_a_run() -> (TempDir, String) {
    let folder = TempDir::new().expect("a temporary folder");
    printed(folder.path(), &["init"]);
    let words = ["run", "quickstart.toml", "-q", "--no-train", "--set", "budget.rounds=3"];
    let run = printed(folder.path(), &words).trim().to_owned();
    (folder, run)
}

#[test]
fn one_begins_with_a_valid_scenario_and_its_schema_and_replaces_nothing() {
    let folder = TempDir::new().expect("a temporary folder");
    let path = folder.path();
    assert_eq!(
        printed(path, &["init", "study", "--from", "quickstart-storm"]),
        "study/quickstart-storm.toml\n"
    );
    printed(path, &["check", "study/quickstart-storm.toml", "study/quickstart.toml"]);
    let text = fs::read_to_string(path.join("study/quickstart-storm.toml")).expect("a scenario");
    let schema =
        text.lines().next().and_then(|line| line.strip_prefix("#:schema ./")).expect("a schema line");
    let schema = fs::read_to_string(path.join("study").join(schema)).expect("the schema that it names");
    assert_eq!(schema, json_schema(Language::Scenario));
    let again = at(path, &["init", "study", "--from", "quickstart-storm"]);
    assert_eq!(again.status.code(), Some(2));
    let unknown = at(path, &["init", "other", "--from", "slowstart"]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("quickstart-standalone"));
    assert!(!path.join("other").exists());
}

#[test]
fn editors_and_shells_get_what_they_ask_for() {
    let here = workspace();
    assert_eq!(printed(here, &["schema", "sweep"]), json_schema(Language::Sweep));
    let committed =
        fs::read_to_string(here.join("scenarios/schema/scenario-v1.json")).expect("it is committed");
    assert_eq!(printed(here, &["schema", "scenario"]), committed);
    let event: Value = serde_json::from_str(&printed(here, &["schema", "event"])).expect("it is JSON");
    assert_eq!(event["title"], "cotune event");
    for shell in ["bash", "zsh", "fish"] {
        let script = printed(here, &["completions", shell]);
        assert!(script.contains("cotune") && script.contains("no-train"), "{shell}: {script}");
    }
}

#[test]
fn everything_that_has_a_name_is_explained() {
    let here = workspace();
    let mut names: Vec<String> = codes::ALL.iter().map(|code| code.name.to_owned()).collect();
    names.extend(metrics::ALL.iter().map(|metric| metric.name.to_owned()));
    // Those that differ in their path only are alike: every tenth will do, each is a process.
    for language in [Language::Scenario, Language::Sweep] {
        names.extend(keys(language).into_iter().map(|key| key.path).step_by(10));
    }
    for name in names {
        let text = printed(here, &["explain", &name]);
        assert!(text.lines().count() > 1, "{name}: {text}");
    }
    let wrong = at(here, &["explain", "coordination.sync.dedline"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("coordination.sync.deadline"));
}

#[test]
fn a_run_becomes_tables_a_trace_and_scalars() {
    let (folder, run) = with_a_run();
    let path = folder.path();
    let tables = printed(path, &["export", "latest", "csv"]);
    let reports = fs::read_to_string(path.join(tables.trim()).join("reports.csv")).expect("a table");
    let shown: Value = serde_json::from_str(&printed(path, &["runs", "show", "--json"])).expect("it is JSON");
    let of = |name: &str| shown["metrics"][name].as_f64().unwrap_or_else(|| panic!("{name} is missing"));
    let accepted = reports.lines().filter(|line| line.split(',').nth(2) == Some("accepted")).count();
    assert_eq!(accepted as f64, of("updates.accepted"));

    let trace = printed(path, &["export", "latest", "trace", "-o", "t.json"]);
    let trace = fs::read_to_string(path.join(trace.trim())).expect("a trace");
    let trace: Value = serde_json::from_str(&trace).expect("a trace is JSON");
    let events = trace["traceEvents"].as_array().expect("a list");
    assert_eq!(events.iter().filter(|event| event["ph"] == "b").count() as f64, of("rounds"));

    let copy = printed(path, &["export", &run, "parquet", "-o", "copy"]);
    for name in ["fleet", "rounds", "reports", "evaluations", "faults"] {
        let file = Path::new(name).with_extension("parquet");
        let made = fs::read(path.join(copy.trim()).join(&file)).expect("a table");
        assert!(made == fs::read(path.join(&run).join("tables").join(&file)).expect("a table"), "{name}");
    }
    let scalars = printed(path, &["export", "latest", "tensorboard"]);
    assert_eq!(fs::read_dir(path.join(scalars.trim())).expect("a folder").count(), 1);
}

#[test]
fn runs_are_removed_all_or_none() {
    let (folder, run) = with_a_run();
    let path = folder.path();
    let id = Path::new(&run).file_name().expect("a folder has a name").to_string_lossy().into_owned();
    let none = at(path, &["runs", "rm", &id, "no-such-run"]);
    assert_eq!(none.status.code(), Some(2));
    assert!(path.join(&run).is_dir(), "half of it was done");
    let manifest = path.join(&run).join("run.json");
    let text = fs::read_to_string(&manifest).expect("a manifest");
    fs::write(&manifest, text.replace("\"complete\"", "\"running\"")).expect("it can be written");
    assert_eq!(at(path, &["runs", "rm", &id]).status.code(), Some(2));
    printed(path, &["runs", "rm", "--force", &id]);
    assert!(!path.join(&run).exists());
}
