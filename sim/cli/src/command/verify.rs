//! `cotune verify`: runs a recorded run again from its lock file and compares event by event.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

use cotune_models::device::Compute;
use cotune_record::{
    Difference, Event, EventDigest, EventReader, LogError, Manifest, RunDirectory, Status, first_difference,
    run_id,
};
use cotune_world::{Options, Plan, SimulationError, simulate};

use super::run::plan;
use crate::arguments::Verify;
use crate::exit::{Exit, latest_panic};
use crate::failure::Failure;
use crate::load;
use crate::machine;
use crate::results;
use crate::talk::{self, Talk};

/// Events that the second run may be ahead of the comparison.
const AHEAD: usize = 1 << 12;

/// Runs a run again, and says where the two part if they do.
pub fn verify(typed: &Verify) -> Result<Exit, Failure> {
    let talk = Talk::from(typed.talk);
    let directory = run_id::resolve(&typed.which.runs, &typed.which.run)?;
    let manifest = directory.manifest()?;
    results::has_begun(&directory, &manifest)?;
    let (mut scenario, site, _) = load::reload(&directory, &manifest, typed.data.as_deref())?;
    scenario.simulation.actors = typed.actors.map_or(scenario.simulation.actors, Into::into);
    let compute = match typed.device {
        Some(device) => Compute::open(device)?,
        None => Compute::again(&manifest.device)?,
    };
    if let Some(warning) = compute.warning() {
        talk.say(format_args!("warning: {warning}"));
    }
    warn_of_another_build(&manifest, &compute, talk);
    let options = Options {
        threads: compute.jobs(typed.threads.map_or_else(machine::cores, usize::from)),
        train: manifest.train,
        stacks: manifest.stacks,
        delays: typed.chaos.then_some(manifest.seed),
        ..Options::default()
    };
    // What a graphics card computes repeats within a tolerance only; its schedule repeats exactly.
    let exact = compute.is_cpu() && manifest.device == compute.describe();
    let plan = plan(&scenario, &site, None, &compute, talk)?;
    let Compared { difference, digest } = compare(&directory, plan, options, exact)?;
    let unfinished = manifest.status != Status::Complete;
    match difference.filter(|difference| !(unfinished && difference.left.is_none())) {
        Some(difference) => {
            talk::print(parting(&difference, &digest))?;
            Ok(Exit::Different)
        }
        None => {
            check_summary(&directory, &manifest, &digest)?;
            let (events, rounds) = (digest.events(), digest.rounds().len());
            let so_far = if unfinished { " so far, for the run is not complete" } else { "" };
            let what = if exact { "" } else { " of the schedule" };
            let whole = if exact { digest.digest() } else { digest.schedule_digest() };
            talk::print(format_args!(
                "{}: {events} events{what} in {rounds} rounds are the same{so_far}; digest {whole}\n",
                directory.id()
            ))?;
            Ok(Exit::Done)
        }
    }
}

/// Says what may be the reason if the two differ.
fn warn_of_another_build(manifest: &Manifest, compute: &Compute, talk: Talk) {
    let features = machine::cpu_features();
    let same = manifest.version == machine::VERSION
        && manifest.commit == machine::COMMIT
        && manifest.cpu_features == features
        && manifest.device == compute.describe();
    if !same {
        talk.say(format_args!(
            "the run was made by cotune {} ({}) on {} with {}: what was learned may differ here",
            manifest.version,
            manifest.commit,
            manifest.device,
            manifest.cpu_features.join(" ")
        ));
    }
}

/// What a comparison came to.
struct Compared {
    difference: Option<Difference>,
    /// Of the log, as far as it was read.
    digest: EventDigest,
}

/// Plays the plan while the log is read beside it. With `exact` everything is compared, else what learning does not decide.
fn compare(
    directory: &RunDirectory,
    plan: Arc<Plan>,
    options: Options,
    exact: bool,
) -> Result<Compared, Failure> {
    let (sender, again) = sync_channel(AHEAD);
    let stop: Arc<AtomicBool> = Arc::clone(&options.stop);
    let sink = move |event| sender.send(event).map_err(|_| "the comparison is over".to_owned());
    let second = thread::Builder::new()
        .name("second run".to_owned())
        .spawn(move || simulate(plan, options, Box::new(sink)))
        .map_err(|error| Failure::wrong(format!("no thread can be started: {error}")))?;

    let digest = RefCell::new(EventDigest::new());
    let recorded = EventReader::open(&directory.events_path())?.inspect(|event| {
        if let Ok(event) = event {
            digest.borrow_mut().push(event);
        }
    });
    let form = |event: Event| if exact { Some(event) } else { event.schedule_form() };
    let recorded = recorded.filter_map(|event| event.map(form).transpose());
    let found = first_difference(recorded, forms(&again, form));
    stop.store(true, Ordering::SeqCst);
    drop(again);
    match second.join() {
        Err(_) => return Err(Failure::bug(latest_panic())),
        Ok(Err(error @ (SimulationError::Actor { .. } | SimulationError::Deadlock { .. }))) => {
            return Err(Failure::bug(error.to_string()));
        }
        Ok(Ok(_) | Err(SimulationError::Record(_))) => {}
    }
    Ok(Compared { difference: found?, digest: digest.into_inner() })
}

/// The events of the second run.
fn forms(
    again: &Receiver<Event>,
    form: impl Fn(Event) -> Option<Event>,
) -> impl Iterator<Item = Result<Event, LogError>> {
    again.iter().filter_map(form).map(Ok)
}

/// Where the two part, with both forms of the event.
fn parting(difference: &Difference, digest: &EventDigest) -> String {
    let Difference { line, left, right, learned_only } = difference;
    let closed = digest.rounds().last().map_or(0, |round| round.round);
    let mut text = format!("the runs part at event {line}, after {closed} closed rounds");
    text.push_str(if *learned_only { "; only what was learned differs there\n" } else { "\n" });
    for (who, event) in [("recorded", left), ("again   ", right)] {
        let form = match event {
            None => "nothing: the run has ended".to_owned(),
            Some(event) => {
                let mut line = Vec::new();
                event.encode_into(&mut line);
                String::from_utf8_lossy(&line).into_owned()
            }
        };
        let _ = writeln!(text, "  {who}  {form}");
    }
    text
}

/// What a complete run says it came to is what its log says.
fn check_summary(directory: &RunDirectory, manifest: &Manifest, digest: &EventDigest) -> Result<(), Failure> {
    if manifest.status != Status::Complete {
        return Ok(());
    }
    let told = directory.summary()?.digest;
    if told == digest.digest() {
        return Ok(());
    }
    let message = format!(
        "the log of {} repeats, but its digest is {} and the summary says {told}: one of the two was changed",
        directory.id(),
        digest.digest()
    );
    Err(Failure::wrong(message))
}
