//! `cotune check`: everything that is wrong with a scenario, and nothing else.

use cotune_scenario::Diagnostics;

use crate::arguments::{Check, Format};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::load::load;
use crate::talk::{self, Talk};

/// Checks every file, missing corpora and checkpoints included.
pub fn check(typed: &Check) -> Result<Exit, Failure> {
    let mut found = Diagnostics::default();
    for file in &typed.files {
        let diagnostics = match load(file, &[], false, typed.data.as_deref()) {
            Ok(loaded) => {
                if typed.format == Format::Human {
                    let digest = &loaded.scenario.digest()[..16];
                    talk::print(format_args!("{}: ok, scenario digest {digest}…\n", file.display()))?;
                }
                loaded.warnings
            }
            Err(mistakes) => mistakes,
        };
        if typed.format == Format::Human {
            Talk::default().warn(&diagnostics);
        }
        found.0.extend(diagnostics.0);
    }
    if typed.format == Format::Json {
        talk::print(found.to_json())?;
    }
    Ok(if found.has_errors() { Exit::Wrong } else { Exit::Done })
}
