//! `cotune run`: parse, check, plan, simulate, tabulate, render.

mod adapters;
mod points;
mod resume;
mod setting;
mod work;

use std::any::Any;
use std::fs;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;

use cotune_kernel::panics;
use cotune_models::device::Compute;
use cotune_record::checkpoint::{CHECKPOINT_FORMAT, Header};
use cotune_record::{Checkpoints, Claim, Digest, Manifest, RunDirectory, Status, Summary, Wall, summarize};
use cotune_report::{ModelLine, format, terminal};
use cotune_scenario::data::Corpus;
use cotune_scenario::method::Steps;
use cotune_scenario::{Diagnostic, Diagnostics, Document, Scenario};
use cotune_world::{End, Lab, Plan, SimulationError, Site, Snapshot, simulate_from};

use crate::arguments::Run;
use crate::exit::{Exit, latest_panic};
use crate::failure::Failure;
use crate::load::{self, Loaded};
use crate::progress::Progress;
use crate::ranks::{self, Ranks};
use crate::recording::{Recorded, Recorder, Recording};
use crate::repeat::quoted;
use crate::results::{self, Reserve, Results};
use crate::talk::Talk;
use crate::{machine, talk};

pub use points::Point;
use points::points;
pub use resume::{FAILED, go_on, has_changed_nothing};
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

/// Runs a scenario, once or once for each combination of `--vary`; or goes on with a run that was cut.
pub fn run(typed: &Run) -> Result<Exit, Failure> {
    let Some(ranks) = ranks::join()?.map(Arc::new) else { return run_as(typed, None) };
    let outcome = panic::catch_unwind(AssertUnwindSafe(|| {
        if ranks.is_first() { run_as(typed, Some(Arc::clone(&ranks))) } else { work::work(typed, &ranks) }
    }));
    let outcome = outcome.unwrap_or_else(|_| Err(Failure::bug(latest_panic())));
    let exit = outcome.as_ref().map_or_else(Failure::exit, |exit| *exit);
    if matches!(exit, Exit::Done | Exit::Missed) {
        return outcome;
    }
    // The others wait for this one, in a message or in the end of MPI: they have to be told.
    if let Err(failure) = &outcome {
        talk::error(failure);
    }
    ranks.abort(exit.code())
}

/// The same as the process that simulates, alone or as the first rank of an MPI job.
fn run_as(typed: &Run, ranks: Option<Arc<Ranks>>) -> Result<Exit, Failure> {
    if let Some(text) = &typed.resume {
        return resume::resume(typed, text, ranks);
    }
    let points = points(typed)?;
    let asked = points.len();
    let setting = Setting { ranks, ..Setting::new(typed)? };
    points.iter().try_for_each(|point| refuse_sizes(&point.loaded.scenario, &setting))?;
    let (mut summaries, mut directories) = (Vec::new(), Vec::new());
    let mut trouble = None;
    for point in points {
        // The folder comes first: one that cannot be written to is known before anything is computed.
        let scenario = &point.loaded.scenario;
        let directory = RunDirectory::create(&setting.runs, &scenario.name, digest(scenario))?;
        let claim = directory.claim().inspect_err(|_| disclaim(&directory))?;
        let played = play(point, &setting, directory, claim)?;
        directories.push(played.directory);
        summaries.extend(played.summary);
        trouble = played.trouble;
        if !typed.json {
            tell_folder(directories.last().expect("one was just played"))?;
        }
        if trouble.is_some() || setting.stop.is_wished() {
            break;
        }
    }
    ending(typed, &setting, asked, &summaries, trouble)
}

/// The same as [`conclude`] for runs that somebody may have wished to stop.
fn ending(
    typed: &Run,
    setting: &Setting,
    asked: usize,
    summaries: &[Summary],
    trouble: Option<Failure>,
) -> Result<Exit, Failure> {
    let exit = conclude(typed, summaries, trouble)?;
    let ends: Vec<Status> = summaries.iter().map(|summary| summary.status).collect();
    Ok(if setting.stop.is_wished() && is_cut(asked, &ends) { Exit::Interrupted } else { exit })
}

/// Whether runs that were asked for are not there, or not to their end. A wish to stop that came too late has cut nothing.
fn is_cut(asked: usize, ends: &[Status]) -> bool {
    ends.len() < asked || ends.contains(&Status::Interrupted)
}

/// Prints what was asked for once all is done, and says how the command ends.
fn conclude(typed: &Run, summaries: &[Summary], trouble: Option<Failure>) -> Result<Exit, Failure> {
    if typed.json {
        unless_unread(print_summaries(summaries, !typed.vary.is_empty()))?;
    }
    match trouble {
        Some(failure) => Err(failure),
        None if summaries.iter().any(misses_an_expectation) => Ok(Exit::Missed),
        None => Ok(Exit::Done),
    }
}

/// Sees that there is something to learn from where something is to be learned.
fn refuse_sizes(scenario: &Scenario, setting: &Setting) -> Result<(), Failure> {
    if setting.train && matches!(scenario.data.corpus, Corpus::Sizes(_)) {
        return Err(Failure::wrong("`data.corpus.sizes` has no texts to learn from: add --no-train"));
    }
    Ok(())
}

/// Plan, simulate, tabulate, render: one run from its scenario to its report, in a folder that is this process's.
pub fn play(
    point: Point,
    setting: &Setting,
    directory: RunDirectory,
    claim: Claim,
) -> Result<Played, Failure> {
    let Point { loaded, command } = point;
    let Loaded { scenario, warnings, site, text, document } = loaded;
    refuse_sizes(&scenario, setting)?;
    let mut manifest = setting.manifest(&scenario, &site, command);
    manifest.doubts = warnings.0.iter().map(in_a_line).collect();
    // Before the plan, which may have to pretrain for minutes: a run that is killed meanwhile can be resumed.
    directory
        .write_scenario(text.as_bytes(), scenario.to_lock_json().as_bytes())
        .and_then(|()| directory.write_manifest(&manifest))
        .inspect_err(|_| disclaim(&directory))?;
    let plan = plan(&scenario, &site, Some(&document), &setting.compute, setting.talk)
        .inspect_err(|_| disclaim(&directory))?;
    manifest.matched = matched(&plan);
    let progress = Progress::begin(setting.progress, &scenario.budget, setting.talk);
    let recording = Recording::create(&directory, header(&manifest.scenario_digest), progress)
        .map_err(|failure| fail(&directory, manifest.clone(), failure))?;
    let snapshot = None;
    carry_on(Prepared { scenario, text, manifest, plan, recording, snapshot }, setting, directory, claim)
}

/// A run that can begin, or go on.
struct Prepared {
    scenario: Scenario,
    /// The scenario as written.
    text: String,
    manifest: Manifest,
    plan: Arc<Plan>,
    recording: Recording,
    /// Where it goes on.
    snapshot: Option<Snapshot>,
}

/// Simulate, tabulate, render; nobody else works in the folder until this returns. A run that cannot be written down is said to
/// have failed, as far as that can be written.
fn carry_on(
    run: Prepared,
    setting: &Setting,
    directory: RunDirectory,
    claim: Claim,
) -> Result<Played, Failure> {
    if let Some(doubt) = claim.doubt() {
        setting.talk.say(format_args!("warning: {doubt}"));
    }
    let manifest = run.manifest.clone();
    carry_through(run, setting, &directory).map_err(|failure| fail(&directory, manifest, failure))
}

/// The same without a last word where it cannot begin.
fn carry_through(run: Prepared, setting: &Setting, directory: &RunDirectory) -> Result<Played, Failure> {
    let Prepared { scenario, text, manifest, plan, recording, snapshot } = run;
    let (fleet, models, talk) = (plan.record_fleet(), model_lines(&plan), setting.talk);
    let doubts = [plan.warnings(), plan.lab().intake().warnings()].concat();
    directory.write_manifest(&manifest)?;
    fleet.write_parquet(&directory.tables())?;
    results::write_models(directory, &models)?;
    let reserve = Reserve::keep(directory)?;

    let (method, devices, seed) = (scenario.method.name(), scenario.fleet.devices, scenario.seed);
    talk.say(format_args!("{}  {method}, {devices} devices, seed {seed}\n", scenario.name));
    let options = setting.options(&scenario)?;
    let recorder = Recorder::begin(recording, setting.train)?;
    let (sink, keeper) = (recorder.sink(), recorder.keeper());
    let end = panic::catch_unwind(AssertUnwindSafe(|| {
        simulate_from(snapshot, Arc::clone(&plan), options, sink, Some(keeper))
    }));

    let Recorded { tables, digest, last, seconds, trouble } = recorder.finish();
    let is_paused = matches!(end, Ok(Ok(End::Paused)));
    let (status, trouble) = verdict(end, trouble);
    // The last words of a run that is complete are needed only if there is no room for its results.
    let reserve = Some(reserve).filter(|_| status == Status::Complete);
    let trouble = trouble.map(|failure| failure.at(digest.digest()));
    let manifest = Manifest { status, ..manifest };
    let Some(tables) = tables else {
        directory.write_manifest(&manifest)?;
        return Ok(Played { directory: directory.clone(), summary: None, trouble });
    };
    let wall = setting.wall(Wall::measured(&tables, seconds), status);
    let expectations = results::expectations(&scenario);
    let mut summary = summarize(&scenario.name, status, &tables, &digest, &expectations, wall);
    summary.warnings.extend(manifest.doubts.iter().cloned().chain(doubts));

    let learned = last.filter(|_| setting.train);
    let kept = learned.map_or(Ok(()), |last| adapters::write(&directory.adapters(), &plan, &last));
    let sees = scenario.method.table().sees();
    let results = Results { manifest, summary, tables, fleet, models, scenario: text, sees };
    let mut written = kept.and_then(|()| results.write(directory));
    let Results { manifest, mut summary, .. } = results;
    if let Some(round) = setting.until_round.filter(|_| is_paused) {
        written = written.and_then(|()| Ok(directory.write_rung(round, &summary)?));
    }
    drop(reserve);
    let written = written.map_err(|failure| {
        summary.status = Status::Failed;
        let _ = directory.write_summary(&summary);
        fail(directory, manifest, failure)
    });
    talk.say(terminal(&summary).trim_end());
    let mut cleared = Ok(());
    match summary.status {
        Status::Complete => cleared = Checkpoints::of(directory).clear().map_err(Failure::from),
        _ => talk.say(format_args!("  go on    {}", resuming(directory))),
    }
    if written.is_ok() {
        talk.say(format_args!("  report   {}", directory.report_path().display()));
    }
    // A run that failed for want of room fails to write its report as well: the first reason is told.
    Ok(Played {
        directory: directory.clone(),
        summary: Some(summary),
        trouble: trouble.or(written.and(cleared).err()),
    })
}

/// Says in a run's manifest that it failed, as far as the disk lets it, and how it goes on once the trouble is over.
fn fail(directory: &RunDirectory, manifest: Manifest, failure: Failure) -> Failure {
    let _ = directory.write_manifest(&Manifest { status: Status::Failed, ..manifest });
    match failure.advice() {
        Some(_) => failure,
        None => failure.help(format!("once that is mended, go on with {}", resuming(directory))),
    }
}

/// The command that goes on with a run.
pub fn resuming(directory: &RunDirectory) -> String {
    format!("cotune run --resume {}", quoted(&directory.path().to_string_lossy()))
}

/// What a checkpoint of this build says of a run.
fn header(scenario_digest: &Digest) -> Header {
    Header {
        format: CHECKPOINT_FORMAT,
        version: machine::VERSION.to_owned(),
        commit: machine::COMMIT.to_owned(),
        scenario_digest: *scenario_digest,
        events: 0,
        seconds: 0.0,
    }
}

/// Loads what a scenario needs, and draws its plan. A mistake is told where the document has it. Where there is none, the
/// scenario is that of a run's folder, which may come from anyone: what breaks over it is damaged.
pub fn plan(
    scenario: &Scenario,
    site: &Site,
    document: Option<&Document>,
    compute: &Compute,
    talk: Talk,
) -> Result<Arc<Plan>, Failure> {
    let begun = machine::now();
    let drawn = || -> Result<Plan, Failure> {
        let lab = Lab::open(scenario, site, compute, &mut |words| talk.say(words))?;
        Plan::draw(Arc::new(lab)).map_err(|error| match document {
            Some(document) => Failure::Scenario(Diagnostics(vec![load::unplannable(document, &error)])),
            None => error.into(),
        })
    };
    let plan = match document {
        Some(_) => drawn(),
        None => panics::undamaged(drawn)
            .unwrap_or_else(|damage| Err(Failure::wrong(format!("the run's scenario.lock.json: {damage}")))),
    }?;
    talk.detail(format_args!("planned in {:.2} s", begun.elapsed().as_secs_f64()));
    Ok(Arc::new(plan))
}

/// How a device's round was made worth what it is under other methods.
fn matched(plan: &Plan) -> String {
    let steps = |steps: Steps| steps.tune + steps.mutual;
    match (plan.matched(), &plan.scenario().fairness) {
        (Some(matched), _) => format!(
            "Matched by {}: a device takes {} steps a round where {} are written, worth {} of {}.",
            matched.measure,
            steps(matched.taken),
            steps(matched.written),
            format::significant(matched.reached),
            format::significant(matched.wanted)
        ),
        (None, Some(fairness)) => {
            format!(
                "Matched by {}: the method's devices take no steps that could be scaled.",
                fairness.matched.name()
            )
        }
        (None, None) => {
            "Not matched with other methods ([fairness]): steps are those that are written.".to_owned()
        }
    }
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
fn verdict(
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
        (Ok(Ok(End::Interrupted | End::Paused)), None) => (Status::Interrupted, None),
        (Ok(Ok(End::Complete)), None) => (Status::Complete, None),
    }
}

pub fn misses_an_expectation(summary: &Summary) -> bool {
    summary.expectations.iter().any(|result| result.passed == Some(false))
}

fn in_a_line(warning: &Diagnostic) -> String {
    format!("{}: {}", warning.code.name, warning.message)
}

fn tell_folder(directory: &RunDirectory) -> Result<(), Failure> {
    unless_unread(talk::print(format_args!("{}\n", directory.path().display())))
}

/// How a run ends does not depend on whether somebody reads what it prints.
fn unless_unread(printed: Result<(), Failure>) -> Result<(), Failure> {
    match printed {
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
        let (status, trouble) = verdict(refused(), Some(Failure::wrong("the disk is full")));
        assert_eq!(status, Status::Failed);
        assert_eq!(trouble.unwrap().exit(), Exit::Wrong);
        assert_eq!(verdict(refused(), None).1.unwrap().exit(), Exit::Bug);
    }

    #[test]
    fn a_wish_to_stop_that_came_too_late_has_cut_nothing() {
        let (complete, cut) = (Status::Complete, Status::Interrupted);
        assert!(!is_cut(1, &[complete]) && !is_cut(2, &[complete, complete]));
        assert!(is_cut(1, &[cut]) && is_cut(2, &[complete]) && is_cut(1, &[]));
    }

    #[test]
    fn a_panic_fails_the_run_and_an_interruption_does_not() {
        let (status, trouble) = verdict(Err(Box::new("a bug")), None);
        assert_eq!((status, trouble.unwrap().exit()), (Status::Failed, Exit::Bug));
        let (status, trouble) = verdict(Ok(Ok(End::Interrupted)), None);
        assert!(status == Status::Interrupted && trouble.is_none());
    }
}
