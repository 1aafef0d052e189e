//! `cotune sweep`: read, expand, run what is missing, put the results side by side.

mod lock;
pub mod page;
mod points;
mod table;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use cotune_models::device::Compute;
use cotune_record::{RunDirectory, RunDirectoryError, Status};
use cotune_scenario::{Diagnostic, Diagnostics, Sweep as Written, codes};

use crate::arguments::{ProgressMode, Sweep};
use crate::bounded;
use crate::command::run::{Point, Setting, go_on, play};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::machine;
use crate::stop::Stop;
use crate::talk::{self, Talk};
use crate::telemetry;

pub use lock::{Lock, LockedContrast};
use points::{Planned, State};

/// Runs every point of a sweep that is missing.
pub fn sweep(typed: &Sweep) -> Result<Exit, Failure> {
    let talk = Talk::from(typed.talk);
    let (written, text) = read(&typed.file)?;
    let expanded = written.points();
    if typed.count {
        talk::print(format_args!("{}\n", expanded.len()))?;
        return Ok(Exit::Done);
    }
    if let Some(point) = typed.point.filter(|point| *point >= expanded.len()) {
        let last = expanded.len() - 1;
        return Err(Failure::wrong(format!("the sweep has no point {point}: its points are 0 to {last}")));
    }
    if expanded.len() > written.limits.runs && !typed.yes {
        let message =
            format!("the sweep has {} runs, and limits.runs allows {}", expanded.len(), written.limits.runs);
        return Err(Failure::wrong(message).help("raise it under [limits], leave out values, or say --yes"));
    }
    let folder = folder(typed, &written);
    let planned = points::plan(typed, &written, expanded, &folder)?;
    let chosen = |point: &&Planned| {
        typed.shard.is_none_or(|shard| shard.has(point.number))
            && typed.point.is_none_or(|number| number == point.number)
    };
    let missing: Vec<&Planned> = planned
        .iter()
        .filter(chosen)
        // Of points that are the same scenario the first is run, unless another is asked for by its number.
        .filter(|point| {
            (point.is_first || typed.point.is_some()) && point.state().is_to_run(typed.retry_failed)
        })
        .collect();
    talk.say(format_args!("{}: {} runs, {} to do", written.name, planned.len(), missing.len()));
    if typed.dry_run {
        for point in &missing {
            talk::print(format_args!("{}  {}\n", point.id(), point.title()))?;
        }
        return Ok(Exit::Done);
    }
    fs::create_dir_all(folder.join("tables")).map_err(|error| Failure::file("create", &folder, error))?;
    write(&folder.join("sweep.toml"), text.as_bytes())?;
    Lock::new(typed, &written, &planned).write(&folder)?;
    let is_cut = run(typed, &written, &missing, talk)?;

    let results = table::collect(&written, &planned)?;
    write(&folder.join("tables").join("points.csv"), table::csv(&written, &planned)?.as_bytes())?;
    let report = page::write_report(&folder, None)?;
    if typed.json {
        talk::print(table::json(&written, &folder, &results))?;
    } else {
        talk::print(table::text(&written, &results))?;
        talk.say(format_args!("report  {}", report.display()));
        talk::print(format_args!("{}\n", folder.display()))?;
    }
    let states: Vec<State> = planned.iter().filter(chosen).map(Planned::state).collect();
    Ok(match () {
        () if is_cut => Exit::Interrupted,
        () if states.contains(&State::Ended(Status::Failed)) => Exit::PointsFailed,
        () if results.iter().any(|row| row.misses) => Exit::Missed,
        () => Exit::Done,
    })
}

fn read(file: &Path) -> Result<(Written, String), Failure> {
    let unreadable = |error: std::io::Error| {
        let message = format!("the sweep {} cannot be read: {error}", file.display());
        Diagnostics(vec![Diagnostic::new(codes::FILE, message)])
    };
    let text = bounded::read_to_string(file).map_err(unreadable)?;
    let stem = file.file_stem().map_or("sweep".into(), |stem| stem.to_string_lossy());
    Ok((Written::parse(&file.display().to_string(), &stem, &text)?, text))
}

/// `sweep-<name>-<8 hex>`: the digits say what all points have in common, so that more values or seeds find the
/// points that were run before, and runs with and without learning never meet.
fn folder(typed: &Sweep, written: &Written) -> PathBuf {
    let mut common = format!("{}\n{} {}\n", written.scenario, typed.smoke, typed.no_train);
    for set in written.set() {
        common.push_str(&format!("{}={}\n", set.key, set.toml));
    }
    let digest = blake3::hash(common.as_bytes()).to_hex();
    typed.runs.join(format!("sweep-{}-{}", written.name, &digest[..8]))
}

/// Runs points, some at once; says whether somebody stopped it.
fn run(typed: &Sweep, written: &Written, missing: &[&Planned], talk: Talk) -> Result<bool, Failure> {
    if missing.is_empty() {
        return Ok(false);
    }
    if let Some(address) = typed.metrics_listen {
        telemetry::listen(address, talk)?;
    }
    let compute = Compute::open(typed.device)?;
    let jobs = typed.jobs.map(usize::from).or(written.limits.jobs).unwrap_or(1).min(missing.len());
    let threads = compute.jobs(typed.threads.map_or_else(machine::cores, usize::from));
    let setting = Setting {
        runs: typed.runs.clone(),
        checkpoint_every: None,
        ranks: None,
        threads: threads.div_ceil(jobs),
        train: !typed.no_train,
        stacks: !compute.is_cpu(),
        compute,
        progress: ProgressMode::None,
        stop: Stop::listen(None, talk)?,
        talk: Talk { quiet: true, verbose: false },
    };
    let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let trouble: Mutex<Option<Failure>> = Mutex::new(None);
    thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                while !setting.stop.is_wished() {
                    let Some(point) = missing.get(next.fetch_add(1, Ordering::Relaxed)) else { break };
                    let outcome = play_point(point, &setting, written.limits.retries);
                    let number = done.fetch_add(1, Ordering::Relaxed) + 1;
                    let words = match &outcome {
                        Ok(Some(status)) => status.to_string(),
                        Ok(None) => "another process is at it".to_owned(),
                        Err(failure) => format!("failed: {failure}"),
                    };
                    talk.say(format_args!("  {number}/{}  {}  {words}", missing.len(), point.title()));
                    // One point that fails leaves the others alone.
                    if let Err(failure) = outcome
                        && let Err(failure) = point.mark_failed(&setting, failure)
                    {
                        trouble.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(failure);
                        break;
                    }
                }
            });
        }
    });
    match trouble.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(failure) => Err(failure),
        None => Ok(setting.stop.is_wished()),
    }
}

/// Runs one point, and again if it fails; none if another process has it. A point that was cut goes on.
fn play_point(point: &Planned, setting: &Setting, retries: u32) -> Result<Option<Status>, Failure> {
    let directory = RunDirectory::create_named(point.directory.path())?;
    let mut attempt = 0;
    loop {
        let claim = match directory.claim() {
            Err(RunDirectoryError::Busy { .. }) => return Ok(None),
            claimed => claimed?,
        };
        // It may have been completed between the look at the sweep and the claim.
        let played = match point.state() {
            State::Ended(Status::Complete) => return Ok(Some(Status::Complete)),
            State::Ended(Status::Running | Status::Interrupted) if attempt == 0 => {
                go_on(claim, directory.clone(), directory.manifest()?, setting, point.data())
            }
            _ => {
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

fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    cotune_record::run_directory::replace(path, bytes, false)
        .map_err(|error| Failure::file("write", path, error))
}
