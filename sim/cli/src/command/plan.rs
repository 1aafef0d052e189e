//! `cotune plan`: what a run would be, without training anything.

mod overview;

use std::sync::Arc;

use cotune_models::device::Compute;
use cotune_scenario::Diagnostics;
use cotune_world::{Lab, Plan};

use crate::arguments;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::load::{self, load};
use crate::talk::{self, Talk};

/// Draws the fleet and prints what a run would cost.
pub fn plan(typed: &arguments::Plan) -> Result<Exit, Failure> {
    let talk = Talk::from(typed.talk);
    let changes = &typed.changes;
    let overrides = load::overrides(changes, None)?;
    let loaded = load(&typed.file, &overrides, changes.smoke, changes.data.as_deref())?;
    let lab = Lab::open(&loaded.scenario, &loaded.site, &Compute::cpu(), &mut |words| talk.say(words))?;
    let plan = Plan::draw(Arc::new(lab));
    let plan = plan.map_err(|error| Diagnostics(vec![load::unplannable(&loaded.document, &error)]))?;
    let overview = plan.overview();
    if typed.json {
        talk::print(serde_json::to_string_pretty(&overview).expect("an overview is JSON") + "\n")?;
    } else {
        talk::print(overview::in_words(&overview))?;
    }
    talk.warn(&loaded.warnings);
    Ok(Exit::Done)
}
