//! What follows from a run's events: tables, scores, summary and report. Nothing here is a source of truth.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use cotune_record::{
    EventDigest, EventKind, EventReader, Expectation, Fleet, Manifest, RunDirectory, Status, Summary, Tables,
    Tabulator, Wall, run_directory, scores, summarize, write_metrics_csv,
};
use cotune_report::{ModelLine, ReportInput};
use cotune_scenario::Scenario;
use serde::{Deserialize, Serialize};

use crate::bounded;
use crate::command::run::resuming;
use crate::failure::Failure;

/// Everything a run's files are made of.
pub struct Results {
    /// What it was made with.
    pub manifest: Manifest,
    /// What it came to.
    pub summary: Summary,
    /// Its rows.
    pub tables: Tables,
    /// The fleet that was drawn.
    pub fleet: Fleet,
    /// The models.
    pub models: Vec<ModelLine>,
    /// The scenario as written.
    pub scenario: String,
    /// Which examples devices and cloud trained on.
    pub sees: [&'static str; 2],
}

impl Results {
    /// The report as one HTML file.
    pub fn html(&self) -> String {
        cotune_report::render(&ReportInput {
            summary: &self.summary,
            tables: &self.tables,
            fleet: &self.fleet,
            manifest: &self.manifest,
            models: &self.models,
            scenario: &self.scenario,
            sees: self.sees,
        })
    }

    /// Writes everything but the log, the larger the later. The manifest of a complete run comes last, so that its status is true; that of
    /// another comes first, because the disk may be full.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn write(&self, directory: &RunDirectory) -> Result<(), Failure> {
        if self.manifest.status != Status::Complete {
            directory.write_manifest(&self.manifest)?;
        }
        directory.write_summary(&self.summary)?;
        directory.write(&directory.report_path(), self.html().as_bytes())?;
        write_metrics_csv(&scores(&self.tables.evaluations), &directory.metrics_path())?;
        self.tables.write_parquet(&directory.tables())?;
        Ok(directory.write_manifest(&self.manifest)?)
    }

    /// Reads a run back: from its summary, or from its events alone if it never came to one.
    ///
    /// # Errors
    /// A file is missing or damaged.
    pub fn read(directory: &RunDirectory) -> Result<Self, Failure> {
        let manifest = directory.manifest()?;
        has_begun(directory, &manifest)?;
        let scenario = read(&directory.scenario_path())?;
        let fleet = Fleet::read_parquet(&directory.tables())?;
        let models = read_models(directory)?;
        let (tables, digest) = replay(directory)?;
        let lock = lock(directory)?;
        let sees = lock.method.table().sees();
        let summary = if directory.summary_path().is_file() {
            directory.summary()?
        } else {
            let wall = Wall {
                device: manifest.device.clone(),
                threads: manifest.threads,
                ..Wall::measured(&tables, 0.0)
            };
            summarize(&manifest.name, manifest.status, &tables, &digest, &expectations(&lock), wall)
        };
        Ok(Self { manifest, summary, tables, fleet, models, scenario, sees })
    }
}

/// Sees that something of a run has happened: while it is planned, it has a manifest and no log.
///
/// # Errors
/// It has not begun.
pub fn has_begun(directory: &RunDirectory, manifest: &Manifest) -> Result<(), Failure> {
    let may_begin = matches!(manifest.status, Status::Running | Status::Interrupted);
    if !may_begin || directory.events_path().exists() {
        return Ok(());
    }
    let message =
        format!("the run {} has not begun yet: it is being planned, or was cut while it was", directory.id());
    Err(Failure::wrong(message).help(format!("if nobody is at it, go on with `{}`", resuming(directory))))
}

/// The summary that a run had once a round was closed and scored, or at its end if that came before; none if it has not come
/// so far, or nothing says that all of that instant was written down.
///
/// # Errors
/// A file is damaged.
pub fn after_round(directory: &RunDirectory, round: u32) -> Result<Option<Summary>, Failure> {
    if !directory.events_path().is_file() || !directory.manifest_path().is_file() {
        return Ok(None);
    }
    let (mut tables, mut digest) = (Tabulator::default(), EventDigest::new());
    let (mut closed_ns, mut is_past) = (None, false);
    for event in EventReader::open(&directory.events_path())? {
        let event = event?;
        if closed_ns.is_some_and(|closed| event.time_ns > closed) {
            is_past = true;
            break;
        }
        match event.kind {
            EventKind::RoundClosed { round: closed, .. } if closed >= round => {
                closed_ns.get_or_insert(event.time_ns);
            }
            EventKind::RunEnded { .. } => is_past = true,
            _ => {}
        }
        digest.push(&event);
        tables.push(&event)?;
    }
    if !is_past {
        return Ok(None);
    }
    let (manifest, tables) = (directory.manifest()?, tables.finish()?);
    let expected = expectations(&lock(directory)?);
    let wall =
        Wall { device: manifest.device.clone(), threads: manifest.threads, ..Wall::measured(&tables, 0.0) };
    Ok(Some(summarize(&manifest.name, Status::Interrupted, &tables, &digest, &expected, wall)))
}

fn lock(directory: &RunDirectory) -> Result<Scenario, Failure> {
    let path = directory.lock_path();
    Scenario::from_lock_json(&read(&path)?)
        .map_err(|error| Failure::wrong(format!("{} is damaged: {error}", path.display())))
}

/// Room kept in a run's folder for its last words, so that a full disk does not keep a run from being marked as
/// failed. Given back when it is dropped.
pub struct Reserve(PathBuf);

impl Reserve {
    /// Enough for manifest, summary and a short report \[B\].
    const BYTES: usize = 128 << 10;

    /// Takes the room.
    ///
    /// # Errors
    /// There is none.
    pub fn keep(directory: &RunDirectory) -> Result<Self, Failure> {
        let reserve = Self(directory.path().join(".reserve"));
        run_directory::replace(&reserve.0, &[0x5a; Self::BYTES], false)
            .map_err(|error| Failure::file("write", &reserve.0, error))?;
        Ok(reserve)
    }
}

impl Drop for Reserve {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// What the scenario expects, as the summary judges it.
pub fn expectations(scenario: &Scenario) -> Vec<Expectation> {
    let expectation = |expected: &cotune_scenario::expect::Expectation| Expectation {
        metric: expected.metric.clone(),
        min: expected.min,
        max: expected.max,
    };
    scenario.expectations.iter().map(expectation).collect()
}

fn replay(directory: &RunDirectory) -> Result<(Tables, EventDigest), Failure> {
    let (mut tables, mut digest) = (Tabulator::default(), EventDigest::new());
    for event in EventReader::open(&directory.events_path())? {
        let event = event?;
        digest.push(&event);
        tables.push(&event)?;
    }
    Ok((tables.finish()?, digest))
}

/// One line of `tables/models.json`: like the fleet, the models are no event.
#[derive(Serialize, Deserialize)]
struct Model {
    name: String,
    trained_as: String,
    billed_as: String,
}

/// Writes `tables/models.json`.
///
/// # Errors
/// The disk refuses.
pub fn write_models(directory: &RunDirectory, models: &[ModelLine]) -> Result<(), Failure> {
    let models: Vec<Model> = models
        .iter()
        .cloned()
        .map(|ModelLine { name, trained_as, billed_as }| Model { name, trained_as, billed_as })
        .collect();
    let json = serde_json::to_string_pretty(&models).expect("strings become JSON") + "\n";
    Ok(directory.write(&directory.tables().join("models.json"), json.as_bytes())?)
}

fn read_models(directory: &RunDirectory) -> Result<Vec<ModelLine>, Failure> {
    let path = directory.tables().join("models.json");
    let text = match bounded::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Failure::file("read", &path, error)),
    };
    let models: Vec<Model> = serde_json::from_str(&text)
        .map_err(|error| Failure::wrong(format!("{} is damaged: {error}", path.display())))?;
    let line = |Model { name, trained_as, billed_as }| ModelLine { name, trained_as, billed_as };
    Ok(models.into_iter().map(line).collect())
}

fn read(path: &Path) -> Result<String, Failure> {
    bounded::read_to_string(path).map_err(|error| Failure::file("read", path, error))
}
