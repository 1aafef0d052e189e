//! `cotune check`: everything that is wrong with a scenario, and nothing else.

use std::sync::Arc;

use cotune_models::device::Compute;
use cotune_scenario::models::Base;
use cotune_scenario::{Diagnostic, Diagnostics, codes};
use cotune_world::{Lab, Plan};

use crate::arguments::{Check, Format};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::load::{self, Loaded, load};
use crate::talk::{self, Talk};

/// Checks every file, missing corpora and checkpoints included.
pub fn check(typed: &Check) -> Result<Exit, Failure> {
    let mut found = Diagnostics::default();
    for file in &typed.files {
        let diagnostics = match load(file, &[], false, typed.data.as_deref()) {
            Ok(loaded) if let Some(mistake) = unplannable(&loaded) => {
                let mut diagnostics = loaded.warnings;
                diagnostics.0.push(mistake);
                diagnostics
            }
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

/// What keeps a scenario from being planned. Bases that are made on first use are not made for this: their scenarios are
/// planned when they run.
fn unplannable(loaded: &Loaded) -> Option<Diagnostic> {
    let made = |base: &Base| matches!(base, Base::Pretrain(_));
    if loaded.scenario.models.values().any(|model| made(&model.base)) {
        return None;
    }
    let lab = match Lab::open(&loaded.scenario, &loaded.site, &Compute::cpu(), &mut |_| {}) {
        Ok(lab) => lab,
        Err(error) => return Some(Diagnostic::new(codes::PLAN, error.to_string())),
    };
    let error = Plan::draw(Arc::new(lab)).err()?;
    Some(load::unplannable(&loaded.document, &error))
}
