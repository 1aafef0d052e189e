//! What every rank but the first does of `cotune run`: it loads what the first loads, and trains.

use cotune_record::{Status, run_id};
use cotune_scenario::{Document, Scenario};
use cotune_world::Site;

use super::{Setting, plan, points};
use crate::arguments::Run;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::load::{self, Loaded};
use crate::ranks::Ranks;
use crate::talk::Talk;

/// Trains for rank 0, run after run, until there is none left.
pub fn work(typed: &Run, ranks: &Ranks) -> Result<Exit, Failure> {
    // A signal to all ranks is rank 0's to answer: it lets the others go.
    let setting = Setting { talk: Talk { quiet: true, verbose: false }, ..Setting::new(typed)? };
    let serve = |scenario: &Scenario, site: &Site, document: Option<&Document>| {
        let plan = plan(scenario, site, document, &setting.compute, setting.talk)?;
        ranks.work(scenario, &plan, setting.threads, setting.delays(scenario))
    };
    if let Some(text) = &typed.resume {
        let directory = run_id::resolve(&typed.runs, text)?;
        let manifest = directory.manifest()?;
        if manifest.status != Status::Complete && manifest.train {
            let (scenario, site, _) = load::reload(&directory, &manifest, typed.changes.data.as_deref())?;
            serve(&scenario, &site, None)?;
        }
    } else if setting.train {
        for point in points(typed)? {
            let Loaded { scenario, site, document, .. } = &point.loaded;
            serve(scenario, site, Some(document))?;
        }
    }
    Ok(Exit::Done)
}
