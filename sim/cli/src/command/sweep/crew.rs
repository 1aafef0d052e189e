//! Playing a sweep's points, some at once.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use cotune_models::device::Compute;
use cotune_record::{RunDirectory, RunDirectoryError, Status};
use cotune_scenario::Sweep as Written;

use super::points::{Planned, State};
use crate::arguments::{ProgressMode, Stacking, Sweep};
use crate::command::run::{Point, Setting, go_on, has_changed_nothing, play};
use crate::failure::Failure;
use crate::machine;
use crate::stop::Stop;
use crate::talk::Talk;
use crate::telemetry;

/// Plays points; opened when there is something to play.
pub struct Crew<'a> {
    typed: &'a Sweep,
    /// Points at once where the command line does not say.
    jobs: Option<usize>,
    retries: u32,
    talk: Talk,
    /// Where they are played, and how many jobs train at once in all of them together.
    opened: Option<(Setting, usize)>,
    /// Points that were left as they are, by their ids.
    left: BTreeSet<String>,
}

/// What became of a point.
enum Outcome {
    /// It came so far.
    Ended(Status),
    /// Another process is at it.
    Busy,
    /// It is left as it is, for reasons that a person has to look at.
    Left(String),
}

impl<'a> Crew<'a> {
    pub fn new(typed: &'a Sweep, written: &Written, talk: Talk) -> Self {
        let limits = written.limits;
        Self { typed, jobs: limits.jobs, retries: limits.retries, talk, opened: None, left: BTreeSet::new() }
    }

    /// Whether somebody wants to stop.
    pub fn is_stopped(&self) -> bool {
        self.opened.as_ref().is_some_and(|(setting, _)| setting.stop.is_wished())
    }

    /// Whether a point was left as it is though nobody is known to be at it, and still is to be run.
    pub fn has_left(&self, point: &Planned) -> bool {
        self.left.contains(&point.id()) && point.state().is_to_run(false)
    }

    /// What is said while points are played.
    pub fn talk(&self) -> Talk {
        self.talk
    }

    /// Whether runs that failed are to be run once more.
    pub fn retries_failed(&self) -> bool {
        self.typed.retry_failed
    }

    /// Plays points to their end, or until a round is closed and scored. One that fails is marked and leaves the others
    /// alone; one that another process is at is left to it, and one that the system keeps away is left as it is.
    ///
    /// # Errors
    /// There is no such device, or the disk refuses.
    pub fn play(&mut self, points: &[&Planned], until_round: Option<u32>) -> Result<(), Failure> {
        if points.is_empty() {
            return Ok(());
        }
        let (jobs, retries, talk) = (self.jobs_for(points.len()), self.retries, self.talk);
        let (setting, threads) = self.open()?;
        (setting.threads, setting.until_round) = (threads.div_ceil(jobs), until_round);
        let setting = &*setting;
        let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let trouble: Mutex<Option<Failure>> = Mutex::new(None);
        let left: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
        let work = || {
            while !setting.stop.is_wished() {
                let Some(point) = points.get(next.fetch_add(1, Ordering::Relaxed)) else { break };
                let outcome = play_point(point, setting, retries);
                let number = done.fetch_add(1, Ordering::Relaxed) + 1;
                let words = match (&outcome, until_round) {
                    (Ok(Outcome::Ended(Status::Interrupted)), Some(round)) if !setting.stop.is_wished() => {
                        format!("after round {round}")
                    }
                    (Ok(Outcome::Ended(status)), _) => status.to_string(),
                    (Ok(Outcome::Busy), _) => "another process is at it".to_owned(),
                    (Ok(Outcome::Left(why)), _) => format!("left: {why}"),
                    (Err(failure), _) => format!("failed: {}", in_full(failure, point)),
                };
                if let Ok(Outcome::Left(_)) = &outcome {
                    left.lock().unwrap_or_else(PoisonError::into_inner).insert(point.id());
                }
                talk.say(format_args!("  {number}/{}  {}  {words}", points.len(), point.title()));
                if let Err(failure) = outcome
                    && let Err(failure) = point.mark_failed(setting, failure)
                {
                    trouble.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(failure);
                    break;
                }
            }
        };
        thread::scope(|scope| (0..jobs).for_each(|_| drop(scope.spawn(work))));
        self.left.extend(left.into_inner().unwrap_or_else(PoisonError::into_inner));
        trouble.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
    }

    fn jobs_for(&self, points: usize) -> usize {
        self.typed.jobs.map(usize::from).or(self.jobs).unwrap_or(1).min(points)
    }

    fn open(&mut self) -> Result<(&mut Setting, usize), Failure> {
        if self.opened.is_none() {
            if let Some(address) = self.typed.metrics_listen {
                telemetry::listen(address, self.talk)?;
            }
            let compute = Compute::open(self.typed.device)?;
            let threads = compute.jobs(self.typed.threads.map_or_else(machine::cores, usize::from));
            let setting = Setting {
                runs: self.typed.runs.clone(),
                checkpoint_every: None,
                until_round: None,
                chaos: false,
                ranks: None,
                threads,
                train: !self.typed.no_train,
                stacks: Stacking::Auto.on(&compute),
                compute,
                progress: ProgressMode::None,
                stop: Stop::listen(None, self.talk)?,
                talk: Talk { quiet: true, verbose: false },
            };
            self.opened = Some((setting, threads));
        }
        let (setting, threads) = self.opened.as_mut().expect("it was just opened");
        Ok((setting, *threads))
    }
}

/// What stopped a point, and what to do about it.
fn in_full(failure: &Failure, point: &Planned) -> String {
    match failure.advice() {
        Some(advice) => format!("{failure}; {advice}"),
        None if point.has_checkpoints() => {
            let folder = point.directory.path().display();
            format!("{failure}; --retry-failed goes on from its last checkpoint, unless {folder} is removed")
        }
        None => failure.to_string(),
    }
}

/// Runs one point, and again if it fails. It is left to another process that has it; where there are no locks, to whoever a file
/// says has it. A point that was cut or paused goes on, and so does one that failed, as far as it has checkpoints.
fn play_point(point: &Planned, setting: &Setting, retries: u32) -> Result<Outcome, Failure> {
    let mut attempt = 0;
    loop {
        // Each time: a run that cannot be planned takes its folder back.
        let directory = RunDirectory::create_named(point.directory.path())?;
        let claim = match directory.claim() {
            Err(RunDirectoryError::Busy { owner: None, .. }) => return Ok(Outcome::Busy),
            Err(busy @ RunDirectoryError::Busy { .. }) => return Ok(Outcome::Left(busy.to_string())),
            claimed => claimed?,
        };
        // It may have come here between the look at the sweep and the claim.
        let state = point.state();
        let is_there = match setting.until_round {
            Some(round) => point.rung(round)?.is_some(),
            None => false,
        };
        let played = match state {
            State::Ended(Status::Complete) => return Ok(Outcome::Ended(Status::Complete)),
            State::Ended(status) if is_there => return Ok(Outcome::Ended(status)),
            // What was computed is not thrown away, whatever the trouble is.
            State::Ended(_) if point.has_checkpoints() => {
                go_on(claim, directory.clone(), directory.manifest()?, setting, point.data())
            }
            State::Ended(Status::Running | Status::Interrupted) if attempt == 0 => {
                go_on(claim, directory.clone(), directory.manifest()?, setting, point.data())
            }
            State::Unreadable => {
                point.manifest()?;
                continue;
            }
            State::Ended(_) | State::Missing => {
                directory.empty()?;
                let run = Point { loaded: point.load()?, command: point.command.clone() };
                play(run, setting, directory.clone(), claim)
            }
        };
        let trouble = match played {
            Ok(played) => match (played.trouble, played.summary) {
                (None, Some(summary)) => return Ok(Outcome::Ended(summary.status)),
                (None, None) => Failure::wrong("it ended before anything happened"),
                (Some(trouble), _) => trouble,
            },
            Err(failure) => failure,
        };
        if attempt >= retries || setting.stop.is_wished() {
            let is_left = has_changed_nothing(&trouble);
            return if is_left { Ok(Outcome::Left(in_full(&trouble, point))) } else { Err(trouble) };
        }
        attempt += 1;
    }
}
