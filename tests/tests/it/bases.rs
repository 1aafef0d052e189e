//! Bases that are made on first use: one process makes one, whoever else wants it waits, and one that dies is taken over from.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use cotune_tests::{cotune, fedavg, tiny_text};
use tempfile::TempDir;

/// A base that is made in a second.
const RECIPE: &str = r#"
name = "tiny-base"
seed = 1
[model]
family = "llama"
width = 16
layers = 1
heads = 2
mlp = 16
max_positions = 128
[tokenizer]
kind = "byte-level"
vocab = 600
[corpus.builtin]
name = "domains"
[training]
steps = 40
batch = 4
lr = 2e-3
"#;

/// A scenario whose proxy stands on it.
fn scenario(folder: &Path) {
    let text = tiny_text(&fedavg("on = \"proxy\"")).replace("zoo:dpm-small", "pretrain:base.toml");
    fs::write(folder.join("tiny.toml"), text).unwrap();
    fs::write(folder.join("base.toml"), RECIPE).unwrap();
}

/// Something that needs the base, with a cache of its own.
fn plan(folder: &Path) -> Command {
    let mut command = cotune();
    command.arg("plan").arg(folder.join("tiny.toml")).env("COTUNE_CACHE", folder.join("cache"));
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// What is in the cache, by name, without the files that are only locks.
fn cached(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder.join("cache")).unwrap().map(|entry| entry.unwrap().file_name());
    names.map(|name| name.into_string().unwrap()).filter(|name| !name.ends_with(".lock")).collect()
}

#[test]
fn many_processes_that_need_a_base_make_it_once() {
    let folder = TempDir::new().unwrap();
    scenario(folder.path());
    let started: Vec<_> = (0..4).map(|_| plan(folder.path()).spawn().expect("it can be started")).collect();
    let ended: Vec<Output> = started.into_iter().map(|child| child.wait_with_output().unwrap()).collect();
    for output in &ended {
        assert_eq!(output.status.code(), Some(0), "{}", said(output));
    }
    let makers = ended.iter().filter(|output| said(output).contains("making the base tiny-base")).count();
    assert_eq!(makers, 1, "{:#?}", ended.iter().map(said).collect::<Vec<_>>());
    assert_eq!(cached(folder.path()).len(), 1, "{:?}", cached(folder.path()));
}

#[test]
fn a_process_that_dies_over_a_base_leaves_it_to_the_next() {
    let folder = TempDir::new().unwrap();
    scenario(folder.path());
    let mut maker = plan(folder.path()).spawn().expect("it can be started");
    let lines = BufReader::new(maker.stderr.take().expect("piped")).lines();
    assert!(lines.map_while(Result::ok).any(|line| line.contains("making the base")));
    let waiting = plan(folder.path()).spawn().expect("it can be started");
    maker.kill().unwrap();
    maker.wait().unwrap();
    let output = waiting.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(said(&output).contains("making the base"), "the first one was killed over it: {}", said(&output));
    let whole = cached(folder.path()).into_iter().filter(|name| !name.contains(".partial-"));
    assert_eq!(whole.count(), 1, "{:?}", cached(folder.path()));
}
