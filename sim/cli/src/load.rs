//! From a file and what was typed beside it to a valid scenario whose files are all there.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use cotune_models::corpus::task_files;
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
    let text = bounded::read_to_string(file).map_err(|error| unreadable(file, &error))?;
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

/// BLAKE3 of a file, or over the digests of a checkpoint's files or of a folder's tasks.
fn digest(file: &FileReference, data: &Data, site: &Site) -> Result<blake3::Hash, (PathBuf, String)> {
    site.knows(&file.path).map_err(|error| (PathBuf::from(&file.path), error.to_string()))?;
    let path = site.resolve(&file.path);
    let permitted = |path: PathBuf| match site.permit(&path) {
        Ok(()) => Ok(path),
        Err(error) => Err((path, error.to_string())),
    };
    let path = permitted(path)?;
    let parts: Vec<PathBuf> = match (file.kind, &data.corpus) {
        (FileKind::Checkpoint, _) => {
            let weights = weights(&path).map_err(|error| (path.clone(), error.to_string()))?;
            let parts = [vec!["config.json".to_owned()], weights, vec!["tokenizer.json".to_owned()]];
            parts.concat().into_iter().map(|part| path.join(part)).collect()
        }
        (FileKind::Tasks, Corpus::Sni(tasks)) => {
            let files = task_files(&path, &tasks.tasks).map_err(|error| (path, error.to_string()))?;
            files.into_iter().map(|file| file.path).collect()
        }
        _ => return digest_file(path, LONGEST),
    };
    // Weights are never in memory as a whole.
    let longest = if file.kind == FileKind::Checkpoint { u64::MAX } else { LONGEST };
    let mut whole = blake3::Hasher::new();
    for part in parts {
        whole.update(digest_file(permitted(part)?, longest)?.as_bytes());
    }
    Ok(whole.finalize())
}

/// The weight files of a checkpoint: one, or an index and what it is about.
fn weights(folder: &Path) -> io::Result<Vec<String>> {
    const WHOLE: &str = "model.safetensors";
    const INDEX: &str = "model.safetensors.index.json";
    if folder.join(WHOLE).exists() || !folder.join(INDEX).exists() {
        return Ok(vec![WHOLE.to_owned()]);
    }
    let mut shards = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name.ends_with(".safetensors") {
            shards.push(name);
        }
    }
    shards.sort();
    shards.push(INDEX.to_owned());
    Ok(shards)
}

/// BLAKE3 of a file of at most so many bytes: one that would not be read later is not hashed either.
fn digest_file(path: PathBuf, longest: u64) -> Result<blake3::Hash, (PathBuf, String)> {
    let read = || {
        let file = cotune_kernel::bounded::open(&path, longest)?;
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(file)?;
        Ok(hasher.finalize())
    };
    read().map_err(|error: io::Error| (path.clone(), error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn weights_in_several_files_are_all_of_them() {
        let folder = std::env::temp_dir().join(format!("cotune-weights-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let write = |name: &str| fs::write(folder.join(name), "").unwrap();
        assert_eq!(weights(&folder).unwrap(), ["model.safetensors"], "what is missing");
        let parts = ["model-1.safetensors", "model-2.safetensors", "model.safetensors.index.json"];
        parts.into_iter().rev().for_each(write);
        assert_eq!(weights(&folder).unwrap(), parts);
        write("model.safetensors");
        assert_eq!(weights(&folder).unwrap(), ["model.safetensors"]);
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_scenario_that_is_not_there_is_a_mistake_with_a_code() {
        let mistakes = load(Path::new("no/such.toml"), &[], false, None).unwrap_err();
        assert_eq!(mistakes.0[0].code.name, "E0115");
    }
}
