//! The book does what it says. A block of a page is run or checked by the word after its fence:
//!
//! - `console`: lines that begin with `$ ` are run, in order, in one folder a page that holds a copy of `scenarios/`;
//!   the lines below a command are what it has to print, both streams together. `…` stands for anything: within a
//!   line for some characters, as a line of its own for some lines.
//! - `toml,scenario`: a whole scenario, which has to be valid.
//! - `toml`: a part of a scenario or a sweep, whose keys have to be ones that the language has.
//! - `python,run`: run in a folder with a run of the quickstart, where Python has what the block imports.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use cotune_models::zoo;
use cotune_scenario::schema::{Key, Language, keys};
use cotune_scenario::{Context, Document, Style};
use cotune_tests::{cotune, workspace};
use serde_json::Value;
use tempfile::TempDir;

/// The folder of the book's pages.
fn source() -> PathBuf {
    workspace().join("book/src")
}

/// The pages of the book.
fn pages() -> Vec<PathBuf> {
    let mut pages = Vec::new();
    let mut folders = vec![source()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("there is a book") {
            let path = entry.expect("there is a book").path();
            match path.is_dir() {
                true => folders.push(path),
                false if path.extension().is_some_and(|extension| extension == "md") => pages.push(path),
                false => {}
            }
        }
    }
    pages.sort();
    pages
}

/// The fenced blocks of a page with exactly this word after the fence.
fn blocks(page: &Path, word: &str) -> Vec<String> {
    let text = fs::read_to_string(page).expect("a page can be read");
    let opening = format!("```{word}\n");
    text.split(&opening)
        .skip(1)
        .map(|rest| rest.split("\n```").next().expect("split yields something").to_owned())
        .collect()
}

/// The commands of a block, each with the lines below it.
fn commands(block: &str) -> Vec<(&str, Vec<&str>)> {
    let mut commands: Vec<(&str, Vec<&str>)> = Vec::new();
    for line in block.lines() {
        match (line.strip_prefix("$ "), commands.last_mut()) {
            (Some(command), _) => commands.push((command, Vec::new())),
            (None, Some((_, lines))) => lines.push(line),
            (None, None) => panic!("a console block begins with `$ `, not with {line:?}"),
        }
    }
    commands
}

/// Whether lines are as expected; `…` alone on a line stands for any number of them.
fn matches(expected: &[&str], printed: &[&str]) -> bool {
    match expected.split_first() {
        None => printed.is_empty(),
        Some((line, rest)) if line.trim() == "…" => {
            (0..=printed.len()).any(|skipped| matches(rest, &printed[skipped..]))
        }
        Some((line, rest)) => match printed.split_first() {
            Some((first, others)) => line_matches(line, first) && matches(rest, others),
            None => false,
        },
    }
}

/// Whether a line is as expected; `…` stands for any number of characters.
fn line_matches(expected: &str, printed: &str) -> bool {
    match expected.split_once('…') {
        None => expected.trim_end() == printed.trim_end(),
        Some((head, tail)) => printed.strip_prefix(head).is_some_and(|rest| {
            let ends = rest.char_indices().map(|(at, _)| at).chain([rest.len()]);
            ends.into_iter().any(|at| line_matches(tail, &rest[at..]))
        }),
    }
}

/// A folder with the scenarios and with `cotune` to be found first.
struct Desk {
    folder: TempDir,
    path: String,
}

impl Desk {
    fn new() -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        for scenarios in ["scenarios", "scenarios/sweeps"] {
            fs::create_dir(folder.path().join(scenarios)).expect("a folder in it");
            for entry in fs::read_dir(workspace().join(scenarios)).expect("there are scenarios") {
                let path = entry.expect("there are scenarios").path();
                if path.is_file() {
                    let to = folder.path().join(scenarios).join(path.file_name().expect("a file has a name"));
                    fs::copy(&path, to).expect("a scenario can be copied");
                }
            }
        }
        let command = cotune();
        let binary = Path::new(command.get_program()).parent().expect("the binary lies in a folder");
        let path = format!("{}:{}", binary.display(), std::env::var("PATH").unwrap_or_default());
        Self { folder, path }
    }

    /// What a command line prints, both streams together.
    fn run(&self, line: &str) -> String {
        let output = Command::new("sh")
            .args(["-c", &format!("{{ {line}; }} 2>&1")])
            .current_dir(self.folder.path())
            .env("PATH", &self.path)
            .env("COLUMNS", "100")
            .output()
            .expect("there is a shell");
        String::from_utf8(output.stdout).expect("commands print UTF-8")
    }
}

#[test]
fn every_command_in_the_book_prints_what_the_book_shows() {
    let mut ran = 0;
    for page in pages() {
        let desk = Desk::new();
        for block in blocks(&page, "console") {
            for (command, expected) in commands(&block) {
                let printed = desk.run(command);
                let lines: Vec<&str> = printed.lines().collect();
                assert!(
                    matches(&expected, &lines),
                    "{}: `{command}` should print\n{}\n\nand prints\n{printed}",
                    page.display(),
                    expected.join("\n"),
                );
                ran += 1;
            }
        }
    }
    assert!(ran >= 4, "the tutorial has commands, and {ran} were found");
}

#[test]
fn every_scenario_in_the_book_is_valid() {
    for page in pages() {
        for block in blocks(&page, "toml,scenario") {
            let load = |base: &str| {
                fs::read_to_string(workspace().join("scenarios").join(base))
                    .map_err(|error| error.to_string())
            };
            let checked = Document::parse("book.toml", &block, &load)
                .and_then(|document| document.check(&Context { zoo: &zoo::names() }));
            if let Err(found) = checked {
                panic!("{}:\n{}", page.display(), found.render(Style::default()));
            }
        }
    }
}

/// The dotted paths of a table, and of the tables in it.
fn paths(value: &Value, above: &[String], found: &mut Vec<Vec<String>>) {
    let items = value.as_array().into_iter().flatten();
    items.for_each(|item| paths(item, above, found));
    for (name, below) in value.as_object().into_iter().flatten() {
        let path = [above, std::slice::from_ref(name)].concat();
        paths(below, &path, found);
        found.push(path);
    }
}

/// Whether a path leads to a key, or to where keys are below it, or into a distribution, whose parts are told once, or into
/// a table whose keys are the user's own.
fn is_known(keys: &[Key], path: &[String]) -> bool {
    keys.iter().any(|key| {
        let own: Vec<&str> = key.path.split('.').filter(|part| *part != "0").collect();
        let alike = own.iter().zip(path).all(|(own, part)| own == part || *own == "NAME");
        let goes_on = ["distribution", "keys of your own"].iter().any(|word| key.kind.contains(word));
        alike && (own.len() >= path.len() || goes_on)
    })
}

#[test]
fn every_key_in_the_book_is_one_of_the_language() {
    let all: Vec<Key> = [Language::Scenario, Language::Sweep].into_iter().flat_map(keys).collect();
    let mut checked = 0;
    for page in pages() {
        for block in blocks(&page, "toml") {
            let written: Value = toml_edit::de::from_str(&block)
                .unwrap_or_else(|error| panic!("{}: {error}\n{block}", page.display()));
            let mut written_paths = Vec::new();
            paths(&written, &[], &mut written_paths);
            // What a sweep varies is checked by the sweep that ships.
            let free = ["axes", "together", "skip", "set", "labels"];
            for path in written_paths.iter().filter(|path| !free.contains(&path[0].as_str())) {
                assert!(is_known(&all, path), "{}: there is no key `{}`", page.display(), path.join("."));
                checked += 1;
            }
        }
    }
    assert!(checked > 10, "{checked} keys");
    assert!(!is_known(&all, &["fleet".to_owned(), "devises".to_owned()]));
}

#[test]
fn the_python_of_the_book_runs_where_python_has_what_it_imports() {
    let python = std::env::var("COTUNE_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let mut ran = 0;
    for page in pages() {
        let blocks = blocks(&page, "python,run");
        if blocks.is_empty() {
            continue;
        }
        let desk = Desk::new();
        desk.run("cotune run scenarios/quickstart.toml -q --smoke");
        for block in blocks {
            let imports: Vec<&str> = block.lines().filter(|line| line.starts_with("import ")).collect();
            let has = |code: &str| {
                let mut command = Command::new(&python);
                let command = command.args(["-c", code]).current_dir(desk.folder.path());
                command.output().map(|output| (output.status.success(), output.stderr))
            };
            if !has(&imports.join("\n")).is_ok_and(|(has, _)| has) {
                println!("skipped: {python} has not all of {imports:?}; set COTUNE_PYTHON");
                continue;
            }
            let (worked, told) = has(&block).expect("Python was there a moment ago");
            assert!(worked, "{}:\n{block}\n{}", page.display(), String::from_utf8_lossy(&told));
            ran += 1;
        }
    }
    println!("{ran} blocks ran");
}

#[test]
fn every_page_of_the_book_is_in_its_summary_and_has_something_to_say() {
    let summary = fs::read_to_string(source().join("SUMMARY.md")).expect("the book has a summary");
    let pages = pages();
    assert!(pages.iter().any(|page| page.ends_with("explain/tried.md")), "folders are looked into");
    for page in pages.iter().filter(|page| !page.ends_with("SUMMARY.md")) {
        let name = page.strip_prefix(source()).expect("a page of the book").to_string_lossy();
        assert!(summary.contains(&format!("({name})")), "{name} is not in the summary");
        let words = fs::read_to_string(page).expect("a page can be read").split_whitespace().count();
        assert!(words > 100, "{name} has {words} words");
    }
}

#[test]
fn an_ellipsis_stands_for_anything_and_nothing_else_does() {
    for (expected, printed, same) in [
        ("a … c", "a b c", true),
        ("a … c", "a b d", false),
        ("a …", "a anything", true),
        ("…c", "abc", true),
        ("abc", "abcd", false),
        ("…/report.html", "runs/x/report.html", true),
        ("…/report.html", "runs/x/report.html.old", false),
    ] {
        assert_eq!(line_matches(expected, printed), same, "{expected:?} and {printed:?}");
    }
    assert!(matches(&["a", "…", "d"], &["a", "b", "c", "d"]));
    assert!(!matches(&["a", "…", "e"], &["a", "b", "c", "d"]));
}
