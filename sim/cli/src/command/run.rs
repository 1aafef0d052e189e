//! `cotune run`: parse, check, plan, simulate, tabulate, render.

mod points;
mod setting;

use std::any::Any;
use std::fs;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;

use cotune_record::{Digest, Manifest, RunDirectory, Status, Summary, Wall, summarize};
use cotune_report::{ModelLine, terminal};
use cotune_scenario::data::Corpus;
use cotune_scenario::{Diagnostic, Scenario};
use cotune_world::{End, Lab, Plan, SimulationError, simulate};

use crate::arguments::Run;
use crate::exit::{Exit, latest_panic};
use crate::failure::Failure;
use crate::load::Loaded;
use crate::progress::Progress;
use crate::record::{Recorded, Recorder};
use crate::results::{self, Reserve, Results};
use crate::{machine, talk};

pub use points::Point;
use points::points;
pub use setting::Setting;

/// What one run came to.
pub struct Played {
    /// Where it is recorded.
    pub directory: RunDirectory,
    /// Absent if it broke before anything happened.
    pub summary: Option<Summary>,
    /// Why it failed, if it did.
    pub trouble: Option<Failure>,
}

/// Runs a scenario, once or once for each combination of `--vary`.
pub fn run(typed: &Run) -> Result<Exit, Failure> {
    let points = points(typed)?;
    let setting = Setting::new(typed)?;
    let mut summaries = Vec::new();
    let mut trouble = None;
    for point in points {
        // The folder comes first: one that cannot be written to is known before anything is computed.
        let scenario = &point.loaded.scenario;
        let directory = RunDirectory::create(&setting.runs, &scenario.name, digest(scenario))?;
        let played = play(point, &setting, directory)?;
        if !typed.json {
            tell_folder(&played.directory)?;
        }
        summaries.extend(played.summary);
        trouble = played.trouble;
        if trouble.is_some() || setting.stop.is_wished() {
            break;
        }
    }
    if typed.json {
        print_summaries(&summaries, !typed.vary.is_empty())?;
    }
    match trouble {
        Some(failure) => Err(failure),
        None if setting.stop.is_wished() => Ok(Exit::Interrupted),
        None if summaries.iter().any(misses_an_expectation) => Ok(Exit::Missed),
        None => Ok(Exit::Done),
    }
}

/// Plan, simulate, tabulate, render: one run from its scenario to its report.
pub fn play(point: Point, setting: &Setting, directory: RunDirectory) -> Result<Played, Failure> {
    let Point { loaded, command } = point;
    let (scenario, talk) = (&loaded.scenario, setting.talk);
    if setting.train && matches!(scenario.data.corpus, Corpus::Sizes(_)) {
        return Err(Failure::wrong("`data.corpus.sizes` has no texts to learn from: add --no-train"));
    }

    let plan = plan(&loaded, setting).inspect_err(|_| disclaim(&directory))?;
    let (manifest, fleet) = (setting.manifest(scenario, command), plan.record_fleet());
    let models = model_lines(&plan);
    let doubts = [plan.warnings(), plan.lab().intake().warnings()].concat();
    directory.write_manifest(&manifest)?;
    directory.write_scenario(loaded.text.as_bytes(), scenario.to_lock_json().as_bytes())?;
    fleet.write_parquet(&directory.tables())?;
    results::write_models(&directory, &models)?;
    let reserve = Reserve::keep(&directory)?;

    let (method, devices, seed) = (scenario.method.name(), scenario.fleet.devices, scenario.seed);
    talk.say(format_args!("{}  {method}, {devices} devices, seed {seed}\n", scenario.name));
    let progress = Progress::begin(setting.progress, &scenario.budget, talk);
    let recorder = Recorder::begin(&directory.events_path(), progress, setting.train)?;
    let (begun, options, sink) = (machine::now(), setting.options(), recorder.sink());
    let end = panic::catch_unwind(AssertUnwindSafe(|| simulate(plan, options, sink)));
    let seconds = begun.elapsed().as_secs_f64();

    let Recorded { tables, digest, trouble } = recorder.finish();
    drop(reserve);
    let (status, trouble) = conclude(end, trouble);
    let trouble = trouble.map(|failure| failure.at(digest.digest()));
    let manifest = Manifest { status, ..manifest };
    let Some(tables) = tables else {
        directory.write_manifest(&manifest)?;
        return Ok(Played { directory, summary: None, trouble });
    };
    let wall = setting.wall(Wall::measured(&tables, seconds), status);
    let expectations = results::expectations(scenario);
    let mut summary = summarize(&scenario.name, status, &tables, &digest, &expectations, wall);
    summary.warnings.extend(loaded.warnings.0.iter().map(in_a_line).chain(doubts));

    let results = Results { manifest, summary, tables, fleet, models, scenario: loaded.text };
    let written = results.write(&directory);
    let summary = results.summary;
    talk.say(terminal(&summary).trim_end());
    if written.is_ok() {
        talk.say(format_args!("  report   {}", directory.report_path().display()));
    }
    // A run that failed for want of room fails to write its report as well: the first reason is told.
    Ok(Played { directory, summary: Some(summary), trouble: trouble.or(written.err()) })
}

fn plan(loaded: &Loaded, setting: &Setting) -> Result<Arc<Plan>, Failure> {
    let (talk, begun) = (setting.talk, machine::now());
    let lab = Lab::open(&loaded.scenario, &loaded.site, &setting.compute, &mut |words| talk.say(words))?;
    let plan = Arc::new(Plan::draw(Arc::new(lab))?);
    talk.detail(format_args!("planned in {:.2} s", begun.elapsed().as_secs_f64()));
    Ok(plan)
}

fn model_lines(plan: &Plan) -> Vec<ModelLine> {
    let lines = plan.model_lines().into_iter();
    lines
        .map(|line| ModelLine { name: line.name, trained_as: line.trained_as, billed_as: line.billed_as })
        .collect()
}

pub fn digest(scenario: &Scenario) -> Digest {
    scenario.digest().parse().expect("a scenario's digest has 64 hexadecimal digits")
}

/// Takes a folder back in which no run began.
fn disclaim(directory: &RunDirectory) {
    let _ = fs::remove_dir_all(directory.path());
}

/// How the run ended, and what is to be told about it. What the recorder knows is nearer to the cause.
fn conclude(
    end: Result<Result<End, SimulationError>, Box<dyn Any + Send>>,
    recording: Option<Failure>,
) -> (Status, Option<Failure>) {
    let bug = |what: String| (Status::Failed, Some(Failure::bug(what)));
    match (end, recording) {
        (Err(_), _) => bug(latest_panic()),
        (_, Some(failure)) => (Status::Failed, Some(failure)),
        (Ok(Err(SimulationError::Actor { party })), None) => {
            bug(format!("the actor of {party} panicked: {}", latest_panic()))
        }
        (Ok(Err(error)), None) => bug(error.to_string()),
        (Ok(Ok(End::Interrupted)), None) => (Status::Interrupted, None),
        (Ok(Ok(End::Complete)), None) => (Status::Complete, None),
    }
}

pub fn misses_an_expectation(summary: &Summary) -> bool {
    summary.expectations.iter().any(|result| result.passed == Some(false))
}

fn in_a_line(warning: &Diagnostic) -> String {
    format!("{}: {}", warning.code.name, warning.message)
}

/// A run is worth finishing even if nobody reads where it is.
fn tell_folder(directory: &RunDirectory) -> Result<(), Failure> {
    match talk::print(format_args!("{}\n", directory.path().display())) {
        Err(Failure::Unread) => Ok(()),
        other => other,
    }
}

fn print_summaries(summaries: &[Summary], is_array: bool) -> Result<(), Failure> {
    let json = match summaries {
        [] if !is_array => return Ok(()),
        [summary] if !is_array => serde_json::to_string_pretty(summary),
        _ => serde_json::to_string_pretty(summaries),
    };
    talk::print(json.expect("a summary is JSON") + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_recorder_knows_better_why_a_simulation_ended() {
        let refused = || Ok(Err(SimulationError::Record("no room".into())));
        let (status, trouble) = conclude(refused(), Some(Failure::wrong("the disk is full")));
        assert_eq!(status, Status::Failed);
        assert_eq!(trouble.unwrap().exit(), Exit::Wrong);
        assert_eq!(conclude(refused(), None).1.unwrap().exit(), Exit::Bug);
    }

    #[test]
    fn a_panic_fails_the_run_and_an_interruption_does_not() {
        let (status, trouble) = conclude(Err(Box::new("a bug")), None);
        assert_eq!((status, trouble.unwrap().exit()), (Status::Failed, Exit::Bug));
        let (status, trouble) = conclude(Ok(Ok(End::Interrupted)), None);
        assert!(status == Status::Interrupted && trouble.is_none());
    }
}
