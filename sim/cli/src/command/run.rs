//! `cotune run`: parse, check, plan, simulate, tabulate, render.

use std::fs;
use std::panic::{self, AssertUnwindSafe};
use std::path::PathBuf;
use std::sync::Arc;

use cotune_models::device::Compute;
use cotune_record::{Digest, FORMAT, Manifest, RunDirectory, Status, Summary, Wall, summarize};
use cotune_report::{ModelLine, terminal};
use cotune_scenario::{Diagnostic, Diagnostics, expand, vary};
use cotune_world::{End, Lab, Options, Plan, SimulationError, simulate};

use crate::arguments::{ProgressMode, Run};
use crate::exit::{Exit, latest_panic};
use crate::failure::Failure;
use crate::load::{self, Loaded, load};
use crate::progress::Progress;
use crate::record::{Recorded, Recorder};
use crate::results::{self, Results};
use crate::stop::Stop;
use crate::talk::{self, Talk};
use crate::{machine, repeat};

/// One run of the command: the whole scenario, or one combination of `--vary`.
struct Point {
    loaded: Loaded,
    /// The command line that repeats it.
    command: String,
}

/// What all runs of the command share.
struct Setting {
    runs: PathBuf,
    threads: usize,
    train: bool,
    compute: Compute,
    progress: ProgressMode,
    stop: Stop,
    talk: Talk,
}

/// What one run came to.
struct Played {
    directory: RunDirectory,
    /// Absent if it broke before anything happened.
    summary: Option<Summary>,
    /// Why it failed, if it did.
    trouble: Option<Failure>,
}

/// Runs a scenario, once or once for each combination of `--vary`.
pub fn run(typed: &Run) -> Result<Exit, Failure> {
    let points = points(typed)?;
    let setting = Setting::new(typed)?;
    let mut exit = Exit::Done;
    let mut summaries = Vec::new();
    for point in points {
        let played = play(point, &setting)?;
        if !typed.json {
            tell_folder(&played.directory)?;
        }
        if let Some(failure) = played.trouble {
            return Err(failure);
        }
        if let Some(summary) = played.summary {
            exit = worse(exit, judge(&summary));
            summaries.push(summary);
        }
        if setting.stop.is_wished() {
            exit = Exit::Interrupted;
            break;
        }
    }
    if typed.json {
        print_summaries(&summaries, !typed.vary.is_empty())?;
    }
    Ok(exit)
}

/// Plan, simulate, tabulate, render: one run from its scenario to its report.
fn play(point: Point, setting: &Setting) -> Result<Played, Failure> {
    let Point { loaded, command } = point;
    let (scenario, talk) = (loaded.scenario.clone(), setting.talk);
    let directory = claim(&setting.runs, &scenario)?;
    let plan = draw(&loaded, setting).inspect_err(|_| disclaim(&directory))?;
    let manifest = setting.manifest(&scenario, command);
    let (fleet, models) = (plan.record_fleet(), model_lines(&plan));
    directory.write_manifest(&manifest)?;
    directory.write_scenario(loaded.text.as_bytes(), scenario.to_lock_json().as_bytes())?;
    fleet.write_csv(&directory.tables().join("fleet.csv"))?;
    results::write_models(&directory, &models)?;
    talk.say(format_args!(
        "{}  {}, {} devices, seed {}\n",
        scenario.name,
        scenario.method.name(),
        scenario.fleet.devices,
        scenario.seed
    ));

    let progress = Progress::begin(setting.progress, &scenario.budget, talk);
    let recorder = Recorder::begin(&directory.events_path(), progress)?;
    let options = Options { threads: setting.threads, train: setting.train, stop: setting.stop.flag() };
    let (begun, sink) = (machine::now(), recorder.sink());
    let end = panic::catch_unwind(AssertUnwindSafe(|| simulate(plan, options, sink)));
    let seconds = begun.elapsed().as_secs_f64();
    let Recorded { tables, digest, trouble } = recorder.finish();
    let (status, trouble) = conclude(end, trouble);

    let manifest = Manifest { status, ..manifest };
    let Some(tables) = tables else {
        directory.write_manifest(&manifest)?;
        return Ok(Played { directory, summary: None, trouble });
    };
    let wall = setting.wall(Wall::measured(&tables, seconds), status);
    let expectations = results::expectations(&scenario);
    let mut summary = summarize(&scenario.name, status, &tables, &digest, &expectations, wall);
    summary.warnings.extend(loaded.warnings.0.iter().map(in_a_line));
    let results = Results { manifest, summary, tables, fleet, models, scenario: loaded.text };
    let written = results.write(&directory);
    let summary = results.summary;
    talk.say(format_args!("{}  report   {}", terminal(&summary), directory.report_path().display()));
    // A run that failed for want of disk space fails to write its report as well: the first reason is told.
    let trouble = trouble.or(written.err());
    Ok(Played { directory, summary: Some(summary), trouble })
}

/// Parse and check: every combination that was asked for, or every mistake in any of them.
fn points(typed: &Run) -> Result<Vec<Point>, Failure> {
    let (mut axes, mut mistakes) = (Vec::new(), Vec::new());
    for text in &typed.vary {
        match vary(text) {
            Ok(axis) => axes.push(axis),
            Err(mistake) => mistakes.push(mistake),
        }
    }
    let common = load::overrides(&typed.changes, typed.name.as_deref());
    mistakes.extend(common.as_ref().err().into_iter().flat_map(|found| found.0.clone()));
    let (true, Ok(common)) = (mistakes.is_empty(), common) else { return Err(Diagnostics(mistakes).into()) };
    let mut points = Vec::new();
    for varied in expand(&axes) {
        let overrides: Vec<_> = common.iter().chain(&varied).cloned().collect();
        match load(&typed.file, &overrides, typed.changes.smoke, typed.changes.data.as_deref()) {
            Ok(loaded) => points.push(Point { loaded, command: repeat::command(typed, &varied) }),
            // A mistake in the file is the same one for every combination.
            Err(found) => {
                mistakes.extend(found.0.into_iter().filter(|one| !mistakes.contains(one)).collect::<Vec<_>>())
            }
        }
    }
    if mistakes.is_empty() { Ok(points) } else { Err(Diagnostics(mistakes).into()) }
}

/// Makes the run's folder, and thereby finds out whether it can be written to before anything is computed.
fn claim(runs: &std::path::Path, scenario: &cotune_scenario::Scenario) -> Result<RunDirectory, Failure> {
    let digest: Digest = scenario.digest().parse().expect("a scenario's digest has 64 hexadecimal digits");
    Ok(RunDirectory::create(runs, &scenario.name, digest)?)
}

/// Takes a folder back in which no run began.
fn disclaim(directory: &RunDirectory) {
    let _ = fs::remove_dir_all(directory.path());
}

fn draw(loaded: &Loaded, setting: &Setting) -> Result<Arc<Plan>, Failure> {
    let talk = setting.talk;
    let lab = Lab::open(&loaded.scenario, &loaded.site, &setting.compute, &mut |words| talk.say(words))?;
    Ok(Arc::new(Plan::draw(Arc::new(lab))?))
}

fn model_lines(plan: &Plan) -> Vec<ModelLine> {
    let line = |line: cotune_world::ModelLine| ModelLine {
        name: line.name,
        trained_as: line.trained_as,
        billed_as: line.billed_as,
    };
    plan.model_lines().into_iter().map(line).collect()
}

impl Setting {
    fn new(typed: &Run) -> Result<Self, Failure> {
        let talk = Talk::from(typed.talk);
        let compute = Compute::open(typed.device)?;
        let threads = compute.jobs(typed.threads.map_or_else(machine::cores, usize::from));
        talk.detail(format_args!("training on {}, {threads} at once", compute.describe()));
        Ok(Self {
            runs: typed.runs.clone(),
            threads,
            train: !typed.no_train,
            compute,
            progress: typed.progress,
            stop: Stop::listen(typed.wall_limit, talk)?,
            talk,
        })
    }

    fn manifest(&self, scenario: &cotune_scenario::Scenario, command: String) -> Manifest {
        Manifest {
            format: FORMAT,
            status: Status::Running,
            name: scenario.name.clone(),
            seed: scenario.seed,
            scenario_digest: scenario
                .digest()
                .parse()
                .expect("a scenario's digest has 64 hexadecimal digits"),
            version: machine::VERSION.to_owned(),
            commit: machine::COMMIT.to_owned(),
            platform: machine::platform(),
            cpu_features: machine::cpu_features(),
            device: self.compute.describe(),
            threads: u32::try_from(self.threads).unwrap_or(u32::MAX),
            command,
            started_unix_ms: machine::unix_ms(),
            warnings: Vec::new(),
        }
    }

    fn wall(&self, measured: Wall, status: Status) -> Wall {
        let cut = (status == Status::Interrupted).then(|| self.stop.reason().to_owned());
        Wall {
            peak_rss_bytes: machine::peak_rss_bytes(),
            threads: u32::try_from(self.threads).unwrap_or(u32::MAX),
            device: self.compute.describe(),
            warnings: cut.into_iter().collect(),
            ..measured
        }
    }
}

/// How the run ended, and what is to be told about it. What the recorder knows is nearer to the cause.
fn conclude(
    end: Result<Result<End, SimulationError>, Box<dyn std::any::Any + Send>>,
    recording: Option<Failure>,
) -> (Status, Option<Failure>) {
    match (end, recording) {
        (Err(_), _) => (Status::Failed, Some(Failure::Bug(latest_panic()))),
        (_, Some(failure)) => (Status::Failed, Some(failure)),
        (Ok(Err(error @ SimulationError::Actor { .. })), None) => {
            (Status::Failed, Some(Failure::Bug(format!("{error}: {}", latest_panic()))))
        }
        (Ok(Err(error)), None) => (Status::Failed, Some(Failure::Bug(error.to_string()))),
        (Ok(Ok(End::Interrupted)), None) => (Status::Interrupted, None),
        (Ok(Ok(End::Complete)), None) => (Status::Complete, None),
    }
}

fn judge(summary: &Summary) -> Exit {
    match summary.status {
        Status::Interrupted => Exit::Interrupted,
        _ if summary.expectations.iter().any(|result| result.passed == Some(false)) => Exit::Missed,
        _ => Exit::Done,
    }
}

fn worse(one: Exit, other: Exit) -> Exit {
    if one.code() >= other.code() { one } else { other }
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
        [summary] if !is_array => serde_json::to_string_pretty(summary),
        _ => serde_json::to_string_pretty(summaries),
    };
    talk::print(json.expect("a summary is JSON") + "\n")
}
