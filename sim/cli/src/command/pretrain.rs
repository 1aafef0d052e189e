//! `cotune pretrain`: from a recipe to a checkpoint.

use std::path::{Path, PathBuf};

use cotune_models::device::Compute;
use cotune_models::pretrain::{self, Card, Recipe};
use indicatif::HumanDuration;

use crate::arguments::Pretrain;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::talk::Talk;
use crate::{machine, place, talk};

/// Makes the checkpoint of every recipe and prints its folder.
pub fn pretrain(typed: &Pretrain) -> Result<Exit, Failure> {
    let talk = Talk::from(typed.talk);
    if typed.output.is_some() && typed.files.len() > 1 {
        return Err(Failure::wrong("--output names one folder, but there are several recipes")
            .help("leave it out: every checkpoint then lies beside its recipe"));
    }
    // All recipes are read before the first is cooked.
    let recipes = typed.files.iter().map(|file| Recipe::read(file)).collect::<Result<Vec<_>, _>>()?;
    let compute = Compute::open(typed.device)?;
    for (file, recipe) in typed.files.iter().zip(&recipes) {
        let directory = typed.output.clone().unwrap_or_else(|| file.with_extension(""));
        if directory == *file {
            return Err(Failure::wrong(format!("{} has no extension to leave out", file.display()))
                .help("say where the checkpoint goes with --output"));
        }
        talk.say(format_args!("{}: {} steps on {}", recipe.name, recipe.training.steps, compute.describe()));
        let card = make(recipe, file, &directory, &compute, typed.data.as_deref(), talk)?;
        describe(&card, talk);
        talk::print(format_args!("{}\n", directory.display()))?;
    }
    Ok(Exit::Done)
}

fn make(
    recipe: &Recipe,
    file: &Path,
    directory: &Path,
    compute: &Compute,
    data: Option<&Path>,
    talk: Talk,
) -> Result<Card, Failure> {
    let site = place::site(file, data);
    let resolve = |path: &str| -> Result<PathBuf, String> {
        site.knows(path).map_err(|error| error.to_string())?;
        let place = site.resolve(path);
        site.permit(&place).map_err(|error| error.to_string())?;
        Ok(place)
    };
    let (steps, begun) = (recipe.training.steps, machine::now());
    let mut progress = |step: u64, loss: f64| {
        let left = begun.elapsed().mul_f64((steps - step) as f64 / step as f64);
        talk.say(format_args!("  step {step:>5} of {steps}, loss {loss:.3}, {} left", HumanDuration(left)));
    };
    let mut card = pretrain::pretrain(recipe, directory, compute, &resolve, &mut progress)?;
    card.seconds = Some(begun.elapsed().as_secs_f64().round());
    card.write(directory)?;
    Ok(card)
}

fn describe(card: &Card, talk: Talk) {
    talk.say(format_args!(
        "  {}, {} parameters, {} tokens of vocabulary",
        card.family, card.parameters, card.vocab
    ));
    talk.say(format_args!(
        "  {}: {} steps, {} tokens, loss {:.3}",
        card.corpus, card.steps, card.tokens, card.loss
    ));
    let scores: Vec<String> = card.exact_match.iter().map(|(domain, em)| format!("{domain} {em}")).collect();
    talk.say(format_args!("  exact match: {}", scores.join(", ")));
}
