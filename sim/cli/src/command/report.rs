//! `cotune report`: the report of a run, rendered again from its events, or of a sweep.

use std::path::Path;

use cotune_record::{run_directory, run_id};

use crate::arguments::Report;
use crate::command::sweep::page::{is_sweep, write_report};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::results::Results;
use crate::talk;

/// Renders the report and prints where it is.
pub fn report(typed: &Report) -> Result<Exit, Failure> {
    let folder = Path::new(&typed.which.run);
    let folder = if folder.exists() { folder.to_owned() } else { typed.which.runs.join(folder) };
    if is_sweep(&folder) {
        let path = write_report(&folder, typed.output.as_deref())?;
        talk::print(format_args!("{}\n", path.display()))?;
        return Ok(Exit::Done);
    }
    let directory = run_id::resolve(&typed.which.runs, &typed.which.run)?;
    let results = Results::read(&directory)?;
    let path = typed.output.clone().unwrap_or_else(|| directory.report_path());
    run_directory::replace(&path, results.html().as_bytes(), false)
        .map_err(|error| Failure::file("write", &path, error))?;
    talk::print(format_args!("{}\n", path.display()))?;
    Ok(Exit::Done)
}
