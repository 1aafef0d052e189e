//! From a file and what was typed beside it to a valid scenario whose files are all there.

use std::io;
use std::path::{Path, PathBuf};

use cotune_models::checkpoint::{Parts, file_digest};
use cotune_models::corpus::task_files;
use cotune_models::pretrain::Recipe;
use cotune_record::{Manifest, RunDirectory};
use cotune_scenario::data::{Corpus, Data};
use cotune_scenario::{
    Checked, Context, Diagnostic, Diagnostics, Document, FileKind, FileReference, Override, Scenario, codes,
};
use cotune_world::files::{Files, LONGEST};
use cotune_world::{PlanError, Reach, Site};

use crate::arguments::Changes;
use crate::bounded;
use crate::failure::Failure;
use crate::place;

/// A valid scenario, the digests of its files filled in.
#[derive(Debug)]
pub struct Loaded {
    /// What is to be simulated.
    pub scenario: Scenario,
    /// Read these before trusting the result.
    pub warnings: Diagnostics,
    /// Where its paths lead.
    pub site: Site,
    /// The file, byte for byte.
    pub text: String,
    /// The file and what was typed beside it, to point into.
    pub document: Document,
}

/// Reads, changes, checks and (with `--smoke`) shrinks a scenario.
///
/// # Errors
/// Every mistake at once, missing files among them.
pub fn load(
    file: &Path,
    overrides: &[Override],
    smoke: bool,
    data: Option<&Path>,
) -> Result<Loaded, Diagnostics> {
    let typed = |file: &FileReference| overrides.iter().any(|change| names(change, file));
    load_changed(file, &|document| document.set(overrides), &typed, smoke, data)
}

/// Whether a change set the value that names a file, or a table around it, and names it.
fn names(change: &Override, file: &FileReference) -> bool {
    // Names in a path may be written with quotes and without.
    let plain = |path: &str| path.replace(['"', '\''], "");
    let (typed, named) = (plain(change.key()), plain(&file.key));
    let holds = |outer: &str, inner: &str| {
        inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    (holds(&typed, &named) || holds(&named, &typed)) && change.value().contains(&file.path)
}

/// The same with any change to what was written. Files for which `typed` is true were named by whoever typed the command, and
/// may lie anywhere.
///
/// # Errors
/// Every mistake at once, missing files among them.
pub fn load_changed(
    file: &Path,
    change: &dyn Fn(&mut Document) -> Result<(), Diagnostics>,
    typed: &dyn Fn(&FileReference) -> bool,
    smoke: bool,
    data: Option<&Path>,
) -> Result<Loaded, Diagnostics> {
    let text = bounded::read_typed(file).map_err(|error| unreadable(file, &error))?;
    let mut site = place::site(file, data);
    let base = |name: &str| {
        site.knows(name).map_err(|error| error.to_string())?;
        let place = site.resolve(name);
        site.permit(&place).map_err(|error| error.to_string())?;
        bounded::read_to_string(&place).map_err(|error| format!("{}: {error}", place.display()))
    };
    let mut document = Document::parse(&file.display().to_string(), &text, &base)?;
    let refused = change(&mut document).err();
    let checked = document.check(&Context { zoo: &cotune_models::zoo::names() });
    let Checked { mut scenario, mut warnings } = match (refused, checked) {
        (None, Ok(checked)) => checked,
        (Some(refused), Ok(_)) => return Err(refused),
        (None, Err(mistakes)) => return Err(mistakes),
        (Some(mut refused), Err(mistakes)) => {
            refused.0.extend(mistakes.0);
            return Err(refused);
        }
    };
    if smoke {
        scenario.smoke();
    }
    for file in scenario.files().into_iter().filter(|file| typed(file)) {
        let place = site.resolve(&file.path);
        // What a recipe names lies beside it.
        let reached = if file.kind == FileKind::Recipe { place.parent().map(Path::to_owned) } else { None };
        site.reach.extend(reached.unwrap_or(place));
    }
    let mut missing = digest_files(&mut scenario, &document, &site);
    if missing.is_empty() {
        missing = bad_rows(&scenario, &document, &site);
    }
    if !missing.is_empty() {
        warnings.0.splice(0..0, missing);
        return Err(warnings);
    }
    Ok(Loaded { scenario, warnings, site, text, document })
}

/// Reads the scenario of a run back, as it was locked; `data` is where `data:` leads now, if not where it did.
///
/// # Errors
/// The run's files are missing or damaged, or a file that the scenario names is not the one it was.
pub fn reload(
    directory: &RunDirectory,
    manifest: &Manifest,
    data: Option<&Path>,
) -> Result<(Scenario, Site, String), Failure> {
    let read =
        |path: &Path| bounded::read_to_string(path).map_err(|error| Failure::file("read", path, error));
    let lock = directory.lock_path();
    let scenario = Scenario::from_lock_json(&read(&lock)?)
        .map_err(|error| Failure::wrong(format!("{} is damaged: {error}", lock.display())))?;
    if scenario.digest() != manifest.scenario_digest.to_hex() {
        return Err(Failure::wrong(format!(
            "{} is not the scenario that the run began with",
            lock.display()
        )));
    }
    let text = read(&directory.scenario_path())?;
    let file = Path::new(&manifest.scenario_dir).join("scenario.toml");
    let data = data.or((!manifest.data_dir.is_empty()).then_some(Path::new(&manifest.data_dir)));
    // Who made the run could read these files, and their digests say that they are the same ones.
    let site = Site { reach: Reach::Anywhere, ..place::site(&file, data) };
    for file in scenario.files() {
        let now = digest(&file, &scenario.data, &site).map_err(|(path, error)| {
            Failure::wrong(format!(
                "the run's {} {} cannot be read: {error}",
                file.kind.name(),
                path.display()
            ))
        })?;
        if scenario.file_digests.get(&file.path).is_none_or(|then| *then != now.to_hex().to_string()) {
            let path = site.resolve(&file.path);
            let message =
                format!("the {} {} has changed since the run began", file.kind.name(), path.display());
            return Err(Failure::wrong(message).help("put back what it was, or run the scenario anew"));
        }
    }
    Ok((scenario, site, text))
}

/// What `--set`, `--seed` and `--name` ask for, in the order in which they apply.
///
/// # Errors
/// Those that cannot be understood, all at once.
pub fn overrides(changes: &Changes, name: Option<&str>) -> Result<Vec<Override>, Diagnostics> {
    let (mut understood, mut mistakes) = (Vec::new(), Vec::new());
    for text in &changes.set {
        match Override::parse(text) {
            Ok(change) => understood.push(change),
            Err(mistake) => mistakes.push(mistake),
        }
    }
    understood.extend(changes.seed.map(|seed| Override::new("seed", &seed.to_string())));
    understood.extend(name.map(|name| Override::new("name", &format!("{name:?}"))));
    if mistakes.is_empty() { Ok(understood) } else { Err(Diagnostics(mistakes)) }
}

/// What keeps a scenario from being planned, where it is written.
pub fn unplannable(document: &Document, error: &PlanError) -> Diagnostic {
    let at = |code, key: &str, label| document.diagnostic(code, key, &error.to_string(), label);
    match error {
        PlanError::Deadline { .. } => at(codes::DEADLINE, "coordination.sync.deadline", "too short"),
        PlanError::Memory { class, .. } if class == "cloud" => {
            at(codes::DOES_NOT_FIT, "cloud.memory", "too little")
        }
        PlanError::Memory { class, .. } => {
            at(codes::DOES_NOT_FIT, &format!("fleet.class.{class:?}.memory"), "too little")
        }
        PlanError::Fleet(_) | PlanError::Method(_) => Diagnostic::new(codes::PLAN, error.to_string()),
    }
}

fn unreadable(file: &Path, error: &io::Error) -> Diagnostics {
    let message = format!("the scenario {} cannot be read: {error}", file.display());
    Diagnostics(vec![Diagnostic::new(codes::FILE, message)])
}

/// Reads every file that the scenario names and notes its digest, for a scenario is the same only if they are.
/// Returns what cannot be read.
fn digest_files(scenario: &mut Scenario, document: &Document, site: &Site) -> Vec<Diagnostic> {
    let mut missing = Vec::new();
    for file in scenario.files() {
        match digest(&file, &scenario.data, site) {
            Ok(digest) => {
                scenario.file_digests.insert(file.path, digest.to_hex().to_string());
            }
            Err((path, error)) => {
                missing.push(document.unreadable(&file, &format!("{}: {error}", path.display())));
            }
        }
    }
    missing
}

/// Reads traces, samples and splits whole. Returns the files that cannot be understood, with the line that is wrong.
fn bad_rows(scenario: &Scenario, document: &Document, site: &Site) -> Vec<Diagnostic> {
    let mut files = Files::default();
    let bad = |file: &FileReference| {
        let error = files.add(file, site).err()?;
        let line = error.line.map_or(String::new(), |line| format!("line {line} of "));
        let message = format!("{line}{} `{}`: {}", file.kind.name(), file.path, error.problem);
        let place = format!("named here, lies at {}", error.path.display());
        Some(document.diagnostic(codes::BAD_ROW, &file.key, &message, &place))
    };
    scenario.files().iter().filter_map(bad).collect()
}

/// BLAKE3 of a file, or over the digests of all that a checkpoint, a recipe or a folder of tasks is made of.
fn digest(file: &FileReference, data: &Data, site: &Site) -> Result<blake3::Hash, (PathBuf, String)> {
    known(&file.path, site)?;
    let path = permitted(site.resolve(&file.path), site)?;
    match (file.kind, &data.corpus) {
        (FileKind::Checkpoint, _) => digest_checkpoint(&path, site),
        (FileKind::Recipe, _) => digest_recipe(&path, site),
        (FileKind::Tasks, Corpus::Sni(tasks)) => {
            let files = task_files(&path, &tasks.tasks).map_err(|error| (path, error.to_string()))?;
            let mut whole = blake3::Hasher::new();
            for file in files {
                whole.update(digest_file(file.path, site, LONGEST)?.as_bytes());
            }
            Ok(whole.finalize())
        }
        _ => digest_file(path, site, LONGEST),
    }
}

/// Every file of a checkpoint's folder that is read. Weights are never in memory as a whole, so they may be of any size.
fn digest_checkpoint(folder: &Path, site: &Site) -> Result<blake3::Hash, (PathBuf, String)> {
    let parts = Parts::of(folder).map_err(|error| (folder.to_owned(), error.to_string()))?;
    parts.digest(|name| digest_file(folder.join(name), site, u64::MAX))
}

/// The recipe's text, and where it names files, all of them as well. One that cannot be understood is its text: what is wrong
/// with it is told where it is followed.
fn digest_recipe(path: &Path, site: &Site) -> Result<blake3::Hash, (PathBuf, String)> {
    let text = digest_file(path.to_owned(), site, LONGEST)?;
    let Ok(recipe) = Recipe::read(path) else { return Ok(text) };
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut named = Vec::new();
    for source in recipe.sources() {
        known(source, site)?;
        named.push(digest_file(site.resolve_from(folder, source), site, LONGEST)?);
    }
    if let Some(teacher) = recipe.teacher() {
        known(teacher, site)?;
        let teacher = permitted(site.resolve_from(folder, teacher), site)?;
        named.push(digest_checkpoint(&teacher, site)?);
    }
    if named.is_empty() {
        return Ok(text);
    }
    let mut whole = blake3::Hasher::new();
    whole.update(text.as_bytes());
    for digest in named {
        whole.update(digest.as_bytes());
    }
    Ok(whole.finalize())
}

fn digest_file(path: PathBuf, site: &Site, longest: u64) -> Result<blake3::Hash, (PathBuf, String)> {
    let path = permitted(path, site)?;
    file_digest(&path, longest).map_err(|error| (path, error.to_string()))
}

/// Sees that somebody said where the folder of a path lies, if it names one.
fn known(path: &str, site: &Site) -> Result<(), (PathBuf, String)> {
    site.knows(path).map_err(|error| (PathBuf::from(path), error.to_string()))
}

/// The place, if the scenario may read what lies there.
fn permitted(path: PathBuf, site: &Site) -> Result<PathBuf, (PathBuf, String)> {
    match site.permit(&path) {
        Ok(()) => Ok(path),
        Err(error) => Err((path, error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn changes_apply_in_the_order_set_seed_name() {
        let changes = Changes { set: vec!["fleet.devices=3".into()], seed: Some(9), ..Changes::default() };
        let overrides = overrides(&changes, Some("my \"run\"")).unwrap();
        let written: Vec<_> = overrides.iter().map(|change| (change.key(), change.value())).collect();
        assert_eq!(written, [("fleet.devices", "3"), ("seed", "9"), ("name", r#""my \"run\"""#)]);
    }

    #[test]
    fn every_change_that_is_not_understood_is_named() {
        let changes = Changes { set: vec!["a".into(), "b=1".into(), "=2".into()], ..Changes::default() };
        assert_eq!(overrides(&changes, None).unwrap_err().0.len(), 2);
    }

    #[test]
    fn a_recipe_is_the_files_that_it_names() {
        let folder = std::env::temp_dir().join(format!("cotune-recipe-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let site = place::site(&folder.join("scenario.toml"), None);
        let write = |name: &str, text: &str| fs::write(folder.join(name), text).unwrap();
        let digest = || digest_recipe(&folder.join("made.toml"), &site);
        write("made.toml", "no recipe");
        assert_eq!(digest().unwrap(), blake3::hash(b"no recipe"));
        let recipe = |corpus: &str, teacher: &str| {
            format!(
                "name = \"made\"\n[model]\nfamily = \"gpt2\"\nwidth = 8\nlayers = 1\nheads = 2\nmlp = 32\nmax_positions = 32\n\
                 [tokenizer]\nkind = \"byte-level\"\nvocab = 300\n{corpus}\n[training]\nsteps = 1\nlr = 1e-3\n{teacher}"
            )
        };
        let builtin = recipe("[corpus.builtin]\nname = \"domains\"", "");
        write("made.toml", &builtin);
        assert!(Recipe::read(&folder.join("made.toml")).is_ok());
        assert_eq!(digest().unwrap(), blake3::hash(builtin.as_bytes()), "no files but its own");

        let teacher = "[distill]\nteacher = \"dir:teacher\"";
        write("made.toml", &recipe("[corpus.builtin]\nname = \"domains\"", teacher));
        assert!(digest().is_err(), "there is no teacher");
        fs::create_dir_all(folder.join("teacher")).unwrap();
        for part in ["config.json", "model.safetensors", "tokenizer.json"] {
            write(&format!("teacher/{part}"), "{}");
        }
        let before = digest().unwrap();
        write("teacher/generation_config.json", "{}");
        assert_ne!(digest().unwrap(), before);
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_scenario_that_is_not_there_is_a_mistake_with_a_code() {
        let mistakes = load(Path::new("no/such.toml"), &[], false, None).unwrap_err();
        assert_eq!(mistakes.0[0].code.name, "E0115");
    }
}
