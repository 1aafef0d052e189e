//! `cotune runs`: which runs there are, and what one came to.

use std::fs;

use cotune_record::{Manifest, RunDirectory, RunDirectoryError, Status, Summary, run_id};
use serde::Serialize;

use crate::arguments::{RunsLs, RunsRm, RunsShow};
use crate::columns::{columns, row};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::results::Results;
use crate::talk;

/// What `runs ls --json` says of a run.
#[derive(Serialize)]
struct Line {
    id: String,
    path: String,
    #[serde(flatten)]
    manifest: Manifest,
    #[serde(skip_serializing_if = "Option::is_none")]
    summary: Option<Summary>,
}

/// Lists the runs of a folder, the oldest first.
pub fn ls(typed: &RunsLs) -> Result<Exit, Failure> {
    let mut lines = Vec::new();
    for directory in run_id::list(&typed.runs)? {
        lines.push(line(&directory)?);
    }
    if typed.json {
        talk::print(serde_json::to_string_pretty(&lines).expect("a manifest is JSON") + "\n")?;
    } else if lines.is_empty() {
        talk::Talk::default().say(format_args!("no runs in {}", typed.runs.display()));
    } else {
        talk::print(table(&lines))?;
    }
    Ok(Exit::Done)
}

/// Shows the summary of a run.
pub fn show(typed: &RunsShow) -> Result<Exit, Failure> {
    let directory = run_id::resolve(&typed.which.runs, &typed.which.run)?;
    let results = Results::read(&directory)?;
    if typed.json {
        talk::print(serde_json::to_string_pretty(&results.summary).expect("a summary is JSON") + "\n")?;
    } else {
        let text = cotune_report::terminal(&results.summary);
        let repeat = &results.manifest.command;
        talk::print(format_args!("{text}  folder   {}\n  repeat   {repeat}\n", directory.path().display()))?;
    }
    Ok(Exit::Done)
}

/// Removes runs, all or none: every name is looked up before the first folder goes.
pub fn rm(typed: &RunsRm) -> Result<Exit, Failure> {
    let mut found = Vec::new();
    for text in &typed.which {
        let directory = run_id::resolve(&typed.runs, text)?;
        // One that is being resumed says that it was interrupted until it has begun.
        let is_busy = matches!(directory.claim(), Err(RunDirectoryError::Busy { .. }));
        if (is_busy || directory.manifest()?.status == Status::Running) && !typed.force {
            let failure = Failure::wrong(format!("{} is running, or was killed", directory.id()));
            return Err(failure.help("stop it first; if nothing runs any more, say --force"));
        }
        if !found.contains(&directory) {
            found.push(directory);
        }
    }
    for directory in found {
        let path = directory.path();
        fs::remove_dir_all(path).map_err(|error| Failure::file("remove", path, error))?;
        talk::Talk::default().say(format_args!("removed {}", path.display()));
    }
    Ok(Exit::Done)
}

fn line(directory: &RunDirectory) -> Result<Line, Failure> {
    let manifest = directory.manifest()?;
    let summary = if directory.summary_path().is_file() { Some(directory.summary()?) } else { None };
    Ok(Line { id: directory.id(), path: directory.path().display().to_string(), manifest, summary })
}

fn table(lines: &[Line]) -> String {
    let head = row(&["run", "status", "method", "seed", "rounds", "edge.rouge-l.mean"]);
    let body = lines.iter().map(|line| {
        let metric = |name: &str, digits: usize| {
            let value = line.summary.as_ref().and_then(|summary| summary.metrics.get(name));
            value.map_or("–".to_owned(), |value| format!("{value:.digits$}"))
        };
        vec![
            line.id.clone(),
            line.manifest.status.to_string(),
            line.summary.as_ref().map_or("–".to_owned(), |summary| summary.method.clone()),
            line.manifest.seed.to_string(),
            metric("rounds", 0),
            metric("edge.rouge-l.mean", 2),
        ]
    });
    columns("lllrrr", &std::iter::once(head).chain(body).collect::<Vec<_>>())
}
