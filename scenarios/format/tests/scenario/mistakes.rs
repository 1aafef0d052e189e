//! Every mistake has a file in `bad/` and, beside it, what a person is told.
//!
//! `COTUNE_BLESS=1 cargo test -p cotune-scenario` writes what is said now; read the difference before committing.

use std::path::PathBuf;

use crate::common::{ZOO, folder, parse, parse_text, read};
use cotune_scenario::{Diagnostics, Override, Style, codes, vary};

fn bad_files() -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder("bad"))
        .expect("the folder is there")
        .map(|entry| entry.expect("it can be listed").path())
        .filter(|path| path.extension().is_some_and(|extension| extension != "txt"))
        .collect();
    files.sort();
    files
}

fn said(file: &str) -> Diagnostics {
    match parse("bad", file).and_then(|document| document.check(&ZOO)) {
        Ok(checked) => checked.warnings,
        Err(diagnostics) => diagnostics,
    }
}

#[test]
fn every_mistake_is_explained_as_it_was_agreed() {
    let bless = std::env::var_os("COTUNE_BLESS").is_some();
    let mut differences = String::new();
    for path in bad_files() {
        let file = path.file_name().expect("it has a name").to_string_lossy().into_owned();
        let now = said(&file).render(Style::default());
        assert!(!now.is_empty(), "{file} has a mistake and nothing was said");
        let beside = path.with_extension("txt");
        if bless {
            std::fs::write(&beside, &now).expect("it can be written");
        } else if std::fs::read_to_string(&beside).unwrap_or_default() != now {
            differences.push_str(&format!("---- {file} is now explained as\n{now}\n"));
        }
    }
    assert!(differences.is_empty(), "{differences}");
}

#[test]
fn every_code_is_shown_by_a_file_or_a_test() {
    let mut shown: Vec<&str> = bad_files()
        .iter()
        .flat_map(|path| said(&path.file_name().expect("it has a name").to_string_lossy()).0)
        .map(|diagnostic| diagnostic.code.name)
        .collect();
    // These need flags, files or a plan: two have their own tests below, the others are shown in `tests/scenarios/bad`.
    shown.extend([codes::OVERRIDE.name, codes::FILE.name]);
    // What is planned is a search of sweeps.
    shown.push(codes::NOT_AVAILABLE.name);
    shown.extend([codes::BAD_ROW, codes::DOES_NOT_FIT, codes::DEADLINE, codes::PLAN].map(|code| code.name));
    let unseen: Vec<&str> =
        codes::ALL.iter().map(|code| code.name).filter(|code| !shown.contains(code)).collect();
    assert!(unseen.is_empty(), "no mistake shows {unseen:?}");
}

#[test]
fn codes_are_in_order_and_found_in_any_case() {
    assert!(codes::ALL.is_sorted_by(|a, b| a.name < b.name));
    assert_eq!(codes::find("e0107").map(|code| code.name), Some("E0107"));
    assert_eq!(codes::find("E9999"), None);
}

#[test]
fn an_override_is_shown_as_it_was_typed() {
    let mut document = parse("good", "small.toml").expect("it is good");
    document
        .set(&[Override::parse("coordination.sync.cohort=32").expect("it is KEY=VALUE")])
        .expect("it applies");
    let said = document.check(&ZOO).expect_err("there are 4 devices").to_string();
    assert_eq!(
        said,
        "error[E0104]: a cohort of 32 is larger than the fleet of 4
   ╭─[--set:1:26]
 1 │ coordination.sync.cohort=32
   ·                          ─┬
   ·                           ╰── too large
   ╰────
  help: write at most 4, or leave it out for all devices
"
    );
}

#[test]
fn overrides_that_cannot_be_applied_are_all_reported() {
    let mut document = parse("good", "small.toml").expect("it is good");
    let changes = ["name.deep=1", "a..b=2", "fleet.devices=[1", "name.deep.er=1/h"]
        .map(|text| Override::parse(text).expect("KEY=VALUE"));
    let said = document.set(&changes).expect_err("none can be applied");
    assert_eq!(said.0.len(), 4, "{said}");
    assert!(said.0.iter().all(|diagnostic| diagnostic.code == codes::OVERRIDE), "{said}");
    for text in ["cohort", "=3"] {
        assert_eq!(Override::parse(text).expect_err("it has no key or no value").code, codes::OVERRIDE);
    }
    assert_eq!(vary("seed=1,,2").expect_err("a value is empty").position(), Some((1, 8)));
}

#[test]
fn a_file_that_is_not_there_is_shown_where_it_is_named() {
    let text = read("good", "small.toml").replace("zoo:slm-llama", "dir:checkpoints/mine");
    let document = parse_text("good", "mine.toml", &text).expect("it is TOML");
    let scenario = document.check(&ZOO).expect("it is valid").scenario;
    let files = scenario.files();
    assert_eq!(files.len(), 1);
    let diagnostic = document.unreadable(&files[0], "no such folder");
    assert_eq!(
        diagnostic.render(Style::default()),
        "error[E0115]: the checkpoint `checkpoints/mine` cannot be read
    ╭─[mine.toml:14:8]
 14 │ base = \"dir:checkpoints/mine\"
    ·        ───────────┬──────────
    ·                   ╰── no such folder
    ╰────
  help: a checkpoint is a folder with config.json, model.safetensors and tokenizer.json, beside
        the scenario file unless its path says otherwise: `huggingface-cli download OWNER/NAME
        --local-dir FOLDER` fetches one
"
    );
}

#[test]
fn machines_are_told_the_same_as_people() {
    let lines = said("cohort-larger-than-the-fleet.toml").to_json();
    assert_eq!(
        lines,
        "[\n  {\"code\":\"E0104\",\"severity\":\"error\",\"message\":\"a cohort of 32 is larger than the fleet of 4\",\
         \"file\":\"cohort-larger-than-the-fleet.toml\",\"line\":4,\"column\":10,\"label\":\"too large\",\
         \"help\":\"write at most 4, or leave it out for all devices\"}\n]\n"
    );
    assert_eq!(Diagnostics::default().to_json(), "[]\n");
}

#[test]
fn colours_are_only_used_when_asked_for() {
    let diagnostics = said("shares.toml");
    assert!(!diagnostics.render(Style::default()).contains('\u{1b}'));
    assert!(diagnostics.render(Style { colour: true, width: 100 }).contains('\u{1b}'));
}
