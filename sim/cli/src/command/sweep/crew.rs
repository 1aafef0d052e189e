//! Playing a sweep's points, some at once.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use cotune_models::device::Compute;
use cotune_record::{RunDirectory, RunDirectoryError, Status};
use cotune_scenario::Sweep as Written;

use super::points::{Planned, State};
use crate::arguments::{ProgressMode, Stacking, Sweep};
use crate::command::run::{Point, Setting, go_on, play};
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
}

impl<'a> Crew<'a> {
    pub fn new(typed: &'a Sweep, written: &Written, talk: Talk) -> Self {
        let limits = written.limits;
        Self { typed, jobs: limits.jobs, retries: limits.retries, talk, opened: None }
    }

    /// Whether somebody wants to stop.
    pub fn is_stopped(&self) -> bool {
        self.opened.as_ref().is_some_and(|(setting, _)| setting.stop.is_wished())
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
    /// alone; one that another process is at is left to it.
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
        let work = || {
            while !setting.stop.is_wished() {
                let Some(point) = points.get(next.fetch_add(1, Ordering::Relaxed)) else { break };
                let outcome = play_point(point, setting, retries);
                let number = done.fetch_add(1, Ordering::Relaxed) + 1;
                let words = match (&outcome, until_round) {
                    (Ok(Some(Status::Interrupted)), Some(round)) if !setting.stop.is_wished() => {
                        format!("after round {round}")
                    }
                    (Ok(Some(status)), _) => status.to_string(),
                    (Ok(None), _) => "another process is at it".to_owned(),
                    (Err(failure), _) if point.has_checkpoints() => {
                        let folder = point.directory.path().display();
                        format!(
                            "failed: {failure}; --retry-failed goes on from its last checkpoint, unless {folder} is removed"
                        )
                    }
                    (Err(failure), _) => format!("failed: {failure}"),
                };
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

/// Runs one point, and again if it fails; none if another process has it. A point that was cut or paused goes on, and so does
/// one that failed, as far as it has checkpoints.
fn play_point(point: &Planned, setting: &Setting, retries: u32) -> Result<Option<Status>, Failure> {
    let directory = RunDirectory::create_named(point.directory.path())?;
    let mut attempt = 0;
    loop {
        let claim = match directory.claim() {
            Err(RunDirectoryError::Busy { owner: None, .. }) => return Ok(None),
            claimed => claimed?,
        };
        // It may have come here between the look at the sweep and the claim.
        let state = point.state();
        let is_there = match setting.until_round {
            Some(round) => directory.rung(round)?.is_some(),
            None => false,
        };
        let played = match state {
            State::Ended(Status::Complete) => return Ok(Some(Status::Complete)),
            State::Ended(status) if is_there => return Ok(Some(status)),
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
                (None, Some(summary)) => return Ok(Some(summary.status)),
                (None, None) => Failure::wrong("it ended before anything happened"),
                (Some(trouble), _) => trouble,
            },
            Err(failure) => failure,
        };
        if attempt >= retries || setting.stop.is_wished() {
            return Err(trouble);
        }
        attempt += 1;
    }
}
