//! The points of a sweep, each a valid scenario with a folder named after its digest.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use cotune_record::{Checkpoints, Manifest, RunDirectory, RunDirectoryError, Status, Summary};
use cotune_scenario::sweep::{self, Assignment};
use cotune_scenario::{Diagnostic, Diagnostics, Scenario, Sweep as Written, codes};
use cotune_world::{OutOfReach, Site};

use crate::arguments::Sweep;
use crate::command::run::{self, Setting};
use crate::failure::Failure;
use crate::load::{Loaded, load_changed};
use crate::place;
use crate::repeat::quoted;
use crate::results;

/// A run of a sweep.
pub struct Planned {
    /// Its place in the sweep, from 0.
    pub number: usize,
    /// What varies.
    pub point: sweep::Point,
    /// Its folder, there or not.
    pub directory: RunDirectory,
    /// Whether no point before it is the same scenario.
    pub is_first: bool,
    /// The command line that repeats it.
    pub command: String,
    /// Kept for the manifest of a run that never began.
    scenario: Scenario,
    site: Site,
    file: PathBuf,
    smoke: bool,
    data: Option<PathBuf>,
}

/// What is in a point's folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// No run.
    Missing,
    /// A run whose manifest cannot be read: it may be complete, and is left alone.
    Unreadable,
    /// A run that came so far.
    Ended(Status),
}

impl State {
    /// Whether there is something to do.
    pub fn is_to_run(self, retry_failed: bool) -> bool {
        match self {
            Self::Ended(Status::Complete) | Self::Unreadable => false,
            Self::Ended(Status::Failed) => retry_failed,
            // Cut, or killed without a word.
            Self::Ended(Status::Running | Status::Interrupted) | Self::Missing => true,
        }
    }

    /// Whether it counts among the points that failed.
    pub fn has_failed(self) -> bool {
        matches!(self, Self::Ended(Status::Failed) | Self::Unreadable)
    }
}

impl Planned {
    /// What is in the folder now.
    pub fn state(&self) -> State {
        match self.manifest() {
            Ok(Some(manifest)) => State::Ended(manifest.status),
            Ok(None) => State::Missing,
            Err(_) => State::Unreadable,
        }
    }

    /// The manifest of the run in the folder; none if there is no run.
    ///
    /// # Errors
    /// It is there and cannot be read.
    pub fn manifest(&self) -> Result<Option<Manifest>, Failure> {
        match self.directory.manifest() {
            Ok(manifest) => Ok(Some(manifest)),
            Err(RunDirectoryError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => {
                let help = "put back what it was, or remove the point's folder to run it anew";
                Err(Failure::from(error).help(help))
            }
        }
    }

    /// Whether the command that was typed is to run it: of points that are the same scenario the first is run, unless another
    /// is asked for by its number.
    pub fn is_to_run(&self, typed: &Sweep) -> bool {
        (self.is_first || typed.point.is_some()) && self.state().is_to_run(typed.retry_failed)
    }

    /// Whether there is something to go on from.
    pub fn has_checkpoints(&self) -> bool {
        Checkpoints::of(&self.directory).newest_first().map_or(true, |found| !found.is_empty())
    }

    /// The scenario with this point's values.
    pub fn scenario(&self) -> &Scenario {
        &self.scenario
    }

    /// What the run came to; none if it is not complete.
    pub fn summary(&self) -> Result<Option<Summary>, Failure> {
        match self.state() {
            State::Ended(Status::Complete) => Ok(Some(self.directory.summary()?)),
            _ => Ok(None),
        }
    }

    /// What was written down when the run was paused after a round; one of another scenario is passed over.
    pub fn rung(&self, round: u32) -> Result<Option<Summary>, Failure> {
        let digest = run::digest(&self.scenario);
        Ok(self.directory.rung(round)?.filter(|summary| summary.scenario_digest == digest))
    }

    /// What the run had come to after a round, or at its end if that came before; none if it has not come so far. A run
    /// that went past the round without a pause is read back.
    pub fn summary_after(&self, round: u32) -> Result<Option<Summary>, Failure> {
        if self.state() == State::Unreadable {
            return Ok(None);
        }
        match self.rung(round)? {
            Some(summary) => Ok(Some(summary)),
            None => results::after_round(&self.directory, round),
        }
    }

    /// The same, and what had to be read back is written down, so that it is read back once.
    pub fn kept_after(&self, round: u32) -> Result<Option<Summary>, Failure> {
        let summary = self.summary_after(round)?;
        if let Some(summary) = &summary
            && self.rung(round)?.is_none()
        {
            match self.directory.write_rung(round, summary) {
                // Whoever has the point's claim tidied the folder meanwhile: the next to ask reads it back once more.
                Err(RunDirectoryError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {}
                written => written?,
            }
        }
        Ok(summary)
    }

    /// Sixteen digits of the scenario's digest.
    pub fn id(&self) -> String {
        self.directory.id()
    }

    /// What sets it apart: `fedavg, cohort 8, seed 1`.
    pub fn title(&self) -> String {
        let label = |assigned: &Assignment| format!("{} {}", assigned.key, assigned.label);
        let seed = self.point.seed.map(|seed| format!("seed {seed}"));
        self.point.axes.iter().map(label).chain(seed).collect::<Vec<_>>().join(", ")
    }

    /// The label of every axis.
    pub fn labels(&self) -> Vec<String> {
        self.point.axes.iter().map(|axis| axis.label.clone()).collect()
    }

    /// Where `data:` leads, if that was said.
    pub fn data(&self) -> Option<&Path> {
        self.data.as_deref()
    }

    /// The scenario with this point's values.
    pub fn load(&self) -> Result<Loaded, Diagnostics> {
        load(&self.file, &self.point, self.smoke, self.data.as_deref())
    }

    /// Leaves word of a run that failed, for the next sweep; unless another process works on it by now, or what is there is
    /// complete or cannot be read. All else that is known of a run that began stays: it may go on.
    pub fn mark_failed(&self, setting: &Setting, why: Failure) -> Result<(), Failure> {
        let directory = RunDirectory::create_named(self.directory.path())?;
        let _claim = match directory.claim() {
            Err(RunDirectoryError::Busy { .. }) => return Ok(()),
            claimed => claimed?,
        };
        let mut manifest = match self.manifest() {
            Err(_) => return Ok(()),
            Ok(Some(Manifest { status: Status::Complete, .. })) => return Ok(()),
            Ok(Some(manifest)) => manifest,
            Ok(None) => setting.manifest(&self.scenario, &self.site, self.command.clone()),
        };
        let why = format!("{}{why}", run::FAILED);
        if !manifest.warnings.contains(&why) {
            manifest.warnings.push(why);
        }
        Ok(directory.write_manifest(&Manifest { status: Status::Failed, ..manifest })?)
    }
}

fn load(file: &Path, point: &sweep::Point, smoke: bool, data: Option<&Path>) -> Result<Loaded, Diagnostics> {
    load_changed(file, &|document| document.assign(&point.assignments), &|_| false, smoke, data)
}

/// Checks every point and names its folder.
///
/// # Errors
/// Every mistake in any of them, each once.
pub fn plan(
    typed: &Sweep,
    written: &Written,
    points: Vec<sweep::Point>,
    folder: &Path,
) -> Result<Vec<Planned>, Diagnostics> {
    let file = typed.file.parent().unwrap_or(Path::new("")).join(&written.scenario);
    permit(&file, &typed.file)?;
    let (mut planned, mut seen, mut mistakes) = (Vec::new(), BTreeSet::new(), Diagnostics::default());
    for (number, point) in points.into_iter().enumerate() {
        match load(&file, &point, typed.smoke, typed.data.as_deref()) {
            Ok(loaded) => {
                let digest = loaded.scenario.digest();
                let directory = RunDirectory::at(folder.join("points").join(&digest[..16]));
                planned.push(Planned {
                    number,
                    directory,
                    is_first: seen.insert(digest),
                    command: command(typed, &file, &point),
                    scenario: loaded.scenario,
                    site: loaded.site,
                    file: file.clone(),
                    smoke: typed.smoke,
                    data: typed.data.clone(),
                    point,
                });
            }
            Err(found) => {
                for mistake in found.0 {
                    if !mistakes.0.contains(&mistake) {
                        mistakes.0.push(mistake);
                    }
                }
            }
        }
    }
    if mistakes.0.is_empty() { Ok(planned) } else { Err(mistakes) }
}

/// Sees that a sweep, which may come from anyone, varies a scenario of its own folder or of the one above it.
fn permit(scenario: &Path, sweep: &Path) -> Result<(), Diagnostics> {
    let mut site = place::site(sweep, None);
    let above = site.scenario_dir.join("..");
    site.reach.extend(above);
    let refused = |error: OutOfReach| {
        let message = format!("the sweep {} varies `{}`", sweep.display(), scenario.display());
        let problem = Diagnostic::new(codes::FILE, message).help(format!(
            "{} is neither in the sweep's folder nor in the one above: put it there, or allow it with --allow-path {}",
            error.path, error.folder
        ));
        Diagnostics(vec![problem])
    };
    site.permit(scenario).map_err(refused)
}

fn command(typed: &Sweep, file: &Path, point: &sweep::Point) -> String {
    let mut words = vec!["cotune".to_owned(), "run".to_owned(), file.display().to_string()];
    for assigned in &point.assignments {
        words.extend(["--set".to_owned(), format!("{}={}", assigned.key, assigned.toml)]);
    }
    if let Some(data) = &typed.data {
        words.extend(["--data".to_owned(), data.display().to_string()]);
    }
    words.extend(typed.smoke.then(|| "--smoke".to_owned()));
    words.extend(typed.no_train.then(|| "--no-train".to_owned()));
    words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")
}
