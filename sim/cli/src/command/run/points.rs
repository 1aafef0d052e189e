//! Parse and check: the runs that were asked for.

use std::path::Path;

use cotune_scenario::{Diagnostic, Diagnostics, Override, expand, vary};

use crate::arguments::Run;
use crate::failure::Failure;
use crate::load::{self, Loaded, load};
use crate::repeat;

/// One run of the command: the whole scenario, or one combination of `--vary`.
pub struct Point {
    /// What is to be simulated.
    pub loaded: Loaded,
    /// The command line that repeats it.
    pub command: String,
}

/// Every combination that was asked for.
///
/// # Errors
/// Every mistake in any of them; a mistake of the file is one, however many combinations have it.
pub fn points(typed: &Run) -> Result<Vec<Point>, Failure> {
    let (common, axes) = changes(typed)?;
    let data: Option<&Path> = typed.changes.data.as_deref();
    let mut points = Vec::new();
    let mut mistakes: Vec<Diagnostic> = Vec::new();
    for varied in expand(&axes) {
        let overrides: Vec<Override> = common.iter().chain(&varied).cloned().collect();
        match load(typed.file(), &overrides, typed.changes.smoke, data) {
            Ok(loaded) => points.push(Point { loaded, command: repeat::command(typed, &varied) }),
            Err(found) => {
                for mistake in found.0 {
                    if !mistakes.contains(&mistake) {
                        mistakes.push(mistake);
                    }
                }
            }
        }
    }
    if mistakes.is_empty() { Ok(points) } else { Err(Diagnostics(mistakes).into()) }
}

/// What all runs have in common, and the axes of `--vary`.
fn changes(typed: &Run) -> Result<(Vec<Override>, Vec<Vec<Override>>), Failure> {
    let mut mistakes = Vec::new();
    let common = load::overrides(&typed.changes, typed.name.as_deref()).unwrap_or_else(|found| {
        mistakes.extend(found.0);
        Vec::new()
    });
    let mut axes = Vec::new();
    for text in &typed.vary {
        match vary(text) {
            Ok(axis) => axes.push(axis),
            Err(mistake) => mistakes.push(mistake),
        }
    }
    if mistakes.is_empty() { Ok((common, axes)) } else { Err(Diagnostics(mistakes).into()) }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::arguments::{Arguments, Command};

    fn typed(words: &[&str]) -> Run {
        match Arguments::parse_from(["cotune", "run"].iter().chain(words)).command {
            Command::Run(typed) => typed,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_flag_that_is_not_understood_is_named_at_once() {
        let typed = typed(&["city.toml", "--set", "x", "--vary", "y", "--vary", "z=1,,2"]);
        let Err(Failure::Scenario(mistakes)) = changes(&typed) else { panic!("they were understood") };
        assert_eq!(mistakes.0.len(), 3);
    }

    #[test]
    fn a_mistake_of_the_file_is_told_once_for_all_combinations() {
        let typed = typed(&["no-such-file.toml", "--vary", "seed=1,2,3"]);
        let Err(Failure::Scenario(mistakes)) = points(&typed) else { panic!("there is such a file") };
        assert_eq!(mistakes.0.len(), 1);
    }
}
