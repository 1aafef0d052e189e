//! `cotune sweep`: read, expand, run what is missing, put the results side by side.

mod crew;
mod halving;
mod lock;
pub mod page;
mod points;
mod table;

use std::fs;
use std::path::{Path, PathBuf};

use cotune_record::Summary;
use cotune_record::run_directory::refuse_link;
use cotune_scenario::{Diagnostic, Diagnostics, Sweep as Written, codes};

use crate::arguments::Sweep;
use crate::bounded;
use crate::command::run::misses_an_expectation;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::talk::{self, Talk};

use crew::Crew;
use halving::Climb;
pub use lock::{Lock, LockedContrast};
use points::Planned;

/// Runs every point of a sweep that is missing.
pub fn sweep(typed: &Sweep) -> Result<Exit, Failure> {
    let talk = Talk::from(typed.talk);
    let (written, text) = read(&typed.file)?;
    let expanded = written.points();
    if typed.count {
        talk::print(format_args!("{}\n", expanded.len()))?;
        return Ok(Exit::Done);
    }
    if written.halving().is_some() && (typed.shard.is_some() || typed.point.is_some()) {
        let flag = if typed.shard.is_some() { "--shard" } else { "--point" };
        let message =
            format!("{flag} and halving exclude each other: a rung is judged once all its points are known");
        let help =
            "leave it out and say --jobs, or start the same command on several computers that share --runs";
        return Err(Failure::wrong(message).help(help));
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
    let climb = written.halving().map(|halving| Climb::plan(halving, &written, &planned)).transpose()?;
    let chosen = |point: &&Planned| {
        typed.shard.is_none_or(|shard| shard.has(point.number))
            && typed.point.is_none_or(|number| number == point.number)
    };
    let missing: Vec<&Planned> =
        planned.iter().filter(chosen).filter(|point| point.is_to_run(typed)).collect();
    match &climb {
        Some(climb) => talk.say(format_args!("{}: {}", written.name, climb.words())),
        None => talk.say(format_args!("{}: {} runs, {} to do", written.name, planned.len(), missing.len())),
    }
    for point in planned.iter().filter(|point| point.is_first) {
        if let Err(failure) = point.manifest() {
            let help = failure.advice().unwrap_or_default();
            talk.say(format_args!("warning: {} is left as it is: {failure}; {help}", point.title()));
        }
    }
    if let (Some(climb), true) = (&climb, typed.dry_run) {
        talk::print(climb.table()?)?;
        return Ok(Exit::Done);
    }
    if typed.dry_run {
        for point in &missing {
            talk::print(format_args!("{}  {}\n", point.id(), point.title()))?;
        }
        return Ok(Exit::Done);
    }
    ["tables", "points"].iter().try_for_each(|name| refuse_link(&folder.join(name)))?;
    fs::create_dir_all(folder.join("tables")).map_err(|error| Failure::file("create", &folder, error))?;
    write(&folder.join("sweep.toml"), text.as_bytes())?;
    let mut lock = Lock::new(typed, &written, &planned);
    let mut crew = Crew::new(typed, &written, talk);
    let has_climbed = match &climb {
        Some(climb) => climb.climb(&mut crew, &mut lock, &folder)?,
        None => {
            lock.write(&folder)?;
            crew.play(&missing, None)?;
            true
        }
    };

    let results = table::collect(&written, &planned, &lock.rungs)?;
    let csv = table::csv(&written, &planned, &lock.rungs)?;
    write(&folder.join("tables").join("points.csv"), csv.as_bytes())?;
    let report = page::write_report(&folder, None)?;
    if typed.json {
        talk::print(table::json(&written, &folder, &results))?;
    } else {
        talk::print(table::text(&written, &results, climb.is_some()))?;
        talk.say(format_args!("report  {}", report.display()));
        talk::print(format_args!("{}\n", folder.display()))?;
    }
    // A task of an array answers for its own points: what others did is no reason to try it again.
    let own = || planned.iter().filter(chosen);
    let summaries: Vec<Summary> =
        own().filter_map(|point| point.summary().transpose()).collect::<Result<_, _>>()?;
    // A wish to stop that came too late has cut nothing. What stays below the last rung is not to be run to its end.
    let is_cut = !has_climbed || (climb.is_none() && own().any(|point| point.is_to_run(typed)));
    let is_missed = |point: &Planned| point.state().has_failed() || crew.has_left(point);
    Ok(match () {
        () if crew.is_stopped() && is_cut => Exit::Interrupted,
        () if own().any(is_missed) => Exit::PointsFailed,
        () if summaries.iter().any(misses_an_expectation) => Exit::Missed,
        () => Exit::Done,
    })
}

fn read(file: &Path) -> Result<(Written, String), Failure> {
    let unreadable = |error: std::io::Error| {
        let message = format!("the sweep {} cannot be read: {error}", file.display());
        Diagnostics(vec![Diagnostic::new(codes::FILE, message)])
    };
    let text = bounded::read_typed(file).map_err(unreadable)?;
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

fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    cotune_record::run_directory::replace(path, bytes, false)
        .map_err(|error| Failure::file("write", path, error))
}
