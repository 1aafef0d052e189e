//! Loading the bases of a scenario: from the zoo, from a directory, or made on first use.

use super::{LabError, Site};
use cotune_models::base::{Base, BaseError};
use cotune_models::checkpoint::CheckpointError;
use cotune_models::corpus::Corpus as Examples;
use cotune_models::device::Compute;
use cotune_models::pretrain::{self, DistillSteps, PretrainError, Recipe};
use cotune_scenario::Scenario;
use cotune_scenario::data::{Corpus, Template};
use cotune_scenario::models::{Base as Written, Init};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// Opens every base of the scenario.
pub(super) fn open(
    scenario: &Scenario,
    site: &Site,
    compute: &Compute,
    talk: &mut dyn FnMut(&str),
) -> Result<BTreeMap<String, Base>, LabError> {
    let mut bases = BTreeMap::new();
    let unseen = match &scenario.data.corpus {
        Corpus::Builtin(builtin) => builtin.unseen_domains.as_slice(),
        Corpus::Sources(_) | Corpus::Sni(_) | Corpus::Sizes(_) => &[],
    };
    for (name, model) in &scenario.models {
        let base_error = |source| LabError::Base { model: name.clone(), source };
        let pretrain_error = |source| LabError::Pretrain { model: name.clone(), source };
        let saw = |base: &str| LabError::Seen {
            model: name.clone(),
            base: base.to_string(),
            unseen: unseen.join(", "),
        };
        let base = match &model.base {
            Written::Zoo(zoo) if !unseen.is_empty() => return Err(saw(&format!("zoo:{zoo}"))),
            Written::Zoo(zoo) => Base::zoo(zoo, compute).map_err(base_error)?,
            Written::Directory(path) => Base::load(&site.resolve(path), compute).map_err(base_error)?,
            Written::Pretrain(path) => {
                let place = site.resolve(path);
                let recipe = Recipe::read(&place).map_err(pretrain_error)?;
                let left_out = recipe.corpus.builtin.as_ref().map_or(&[][..], |b| &b.unseen_domains);
                if !unseen.iter().all(|domain| left_out.contains(domain)) {
                    return Err(saw(path));
                }
                made(&recipe, &place, site, compute, talk).map_err(pretrain_error)?
            }
        };
        bases.insert(name.clone(), speaking(base, name, &scenario.data.template)?);
    }
    Ok(bases)
}

/// The base with the end and padding tokens that the scenario names, if it names any.
fn speaking(base: Base, model: &str, template: &Template) -> Result<Base, LabError> {
    if template.end.is_empty() && template.pad.is_empty() {
        return Ok(base);
    }
    let tokenizer = base
        .tokenizer()
        .with_tokens(&template.end, &template.pad)
        .map_err(|source| LabError::Tokens { model: model.to_owned(), source })?;
    Ok(base.with_tokenizer(tokenizer))
}

/// The base of a recipe, from the cache or made now. The cache's key is the recipe with the digests of its files.
fn made(
    recipe: &Recipe,
    recipe_path: &Path,
    site: &Site,
    compute: &Compute,
    talk: &mut dyn FnMut(&str),
) -> Result<Base, PretrainError> {
    let folder = recipe_path.parent().unwrap_or(Path::new("."));
    let resolve = |path: &str| {
        site.knows(path).map_err(|error| error.to_string())?;
        let place = site.resolve_from(folder, path);
        site.permit(&place).map_err(|error| error.to_string())?;
        Ok(place)
    };
    let key = recipe.digest_with_files(&resolve)?;
    let name = format!("{}-{}", recipe.name, &key[..16]);
    let directory = site.cache_dir.join(&name);
    let is_there = || directory.join("card.json").is_file();
    let _alone = if is_there() { None } else { alone(&site.cache_dir, &name) };
    if !is_there() {
        let started =
            format!("making the base {} ({} steps; kept for later runs)", recipe.name, recipe.training.steps);
        talk(&started);
        // Only a whole checkpoint gets the final name. Where there are no locks, whoever is second finds the same bytes.
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let partial = site.cache_dir.join(format!("{name}.partial-{}-{number}", std::process::id()));
        pretrain::pretrain(recipe, &partial, compute, &resolve, &mut |step, loss| {
            if step % 200 == 0 {
                talk(&format!("  {}: step {step} of {}, loss {loss:.3}", recipe.name, recipe.training.steps));
            }
        })?;
        let renamed = fs::rename(&partial, &directory);
        if let Err(source) = renamed {
            drop(fs::remove_dir_all(&partial));
            if !is_there() {
                return Err(PretrainError::Base(BaseError::Checkpoint(CheckpointError::Io {
                    path: directory,
                    source,
                })));
            }
        }
    }
    Ok(Base::load(&directory, compute)?)
}

/// Bases that this process has begun to make.
static MADE: AtomicU64 = AtomicU64::new(0);

/// Waits until nobody makes the base of this name, in this process or another; the lock ends with what is returned. A
/// file system without locks lets everybody make one.
fn alone(cache: &Path, name: &str) -> Option<File> {
    fs::create_dir_all(cache).ok()?;
    let file =
        File::options().create(true).truncate(false).write(true).open(cache.join(format!("{name}.lock")));
    file.ok().filter(|file| file.lock().is_ok())
}

/// Distils the bases that ask for it from another model's, on the public examples.
pub(super) fn distill(
    bases: &mut BTreeMap<String, Base>,
    scenario: &Scenario,
    corpus: &Examples,
    talk: &mut dyn FnMut(&str),
) -> Result<(), LabError> {
    for (name, model) in &scenario.models {
        let Init::Distill(how) = &model.init else { continue };
        talk(&format!("distilling {name} from {} ({} steps)", how.from, how.steps));
        let texts: Vec<(String, String)> =
            corpus.public.iter().map(|e| (e.prompt.clone(), e.answer().to_string())).collect();
        let steps = DistillSteps {
            steps: u64::from(how.steps),
            batch: how.batch as usize,
            lr: how.lr,
            seed: scenario.seed,
        };
        let student = pretrain::distill(&bases[name], &bases[&how.from], &texts, steps)
            .map_err(|source| LabError::Pretrain { model: name.clone(), source })?;
        bases.insert(name.clone(), student);
    }
    Ok(())
}
