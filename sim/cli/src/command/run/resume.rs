//! `cotune run --resume`: reads a run back as it was at its last good checkpoint, and goes on from there.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cotune_models::device::{Compute, DeviceChoice};
use cotune_record::checkpoint::{self, Header};
use cotune_record::{
    Checkpoint, CheckpointError, Checkpoints, Claim, Manifest, RunDirectory, Status, run_id,
};
use cotune_world::{Plan, Snapshot};

use super::{Played, Prepared, Setting, carry_on, conclude, ending, header, matched, plan, tell_folder};
use crate::arguments::Run;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::load;
use crate::machine;
use crate::progress::Progress;
use crate::ranks::Ranks;
use crate::recording::{Hindrance, Recording};

/// Goes on with the run that was named; prints its folder, also if there is nothing left to do.
pub fn resume(typed: &Run, text: &str, ranks: Option<Arc<Ranks>>) -> Result<Exit, Failure> {
    let directory = run_id::resolve(&typed.runs, text)?;
    let manifest = directory.manifest()?;
    if manifest.status == Status::Complete {
        return nothing_left(typed, &directory, directory.claim().ok().as_ref());
    }
    let compute = match typed.device {
        DeviceChoice::Auto => Compute::again(&manifest.device)?,
        chosen => Compute::open(chosen)?,
    };
    let (train, stacks) = (manifest.train, manifest.stacks);
    let setting = Setting { train, stacks, ranks, ..Setting::on(compute, typed)? };
    let claim = directory.claim()?;
    // Whoever had the claim before may have gone on.
    let manifest = directory.manifest()?;
    if manifest.status == Status::Complete {
        return nothing_left(typed, &directory, Some(&claim));
    }
    let played = go_on(claim, directory.clone(), manifest, &setting, typed.changes.data.as_deref())?;
    if !typed.json {
        tell_folder(&directory)?;
    }
    ending(typed, &setting, 1, played.summary.as_slice(), played.trouble)
}

/// The run is complete: its folder, or its summary. Its checkpoints are still there if it was killed before it could remove
/// them; only who has the claim may.
fn nothing_left(typed: &Run, directory: &RunDirectory, claim: Option<&Claim>) -> Result<Exit, Failure> {
    if claim.is_some() {
        Checkpoints::of(directory).clear()?;
    }
    if !typed.json {
        tell_folder(directory)?;
    }
    conclude(typed, &[directory.summary()?], None)
}

/// Goes on with a run that was cut, from its last good checkpoint, or from the beginning if it has none. Its folder is this
/// process's.
///
/// # Errors
/// What is there is not enough to go on with, another build wrote it, or its models trained on another device.
pub fn go_on(
    claim: Claim,
    directory: RunDirectory,
    manifest: Manifest,
    setting: &Setting,
    data: Option<&Path>,
) -> Result<Played, Failure> {
    let talk = setting.talk;
    directory.tidy()?;
    if manifest.train && !setting.compute.is_described_by(&manifest.device) {
        return Err(Failure::wrong(format!(
            "the models of {} train on `{}` and would go on on `{}`: leave --device out, or name the same one",
            directory.id(),
            manifest.device,
            setting.compute.describe()
        ))
        .help(anew(&directory)));
    }
    let (scenario, site, text) = load::reload(&directory, &manifest, data)?;
    let mut doubts = differences(&manifest, setting);
    let plan = plan(&scenario, &site, None, &setting.compute, talk)?;
    let progress = || Progress::begin(setting.progress, &scenario.budget, talk);
    let header = header(&manifest.scenario_digest);
    let found = latest(&directory, &plan, setting.train, &header, progress, &mut doubts)?;
    let (recording, snapshot, checkpoint) = match found {
        Some((recording, checkpoint, path)) => {
            let seconds = checkpoint.state.now().as_secs_f64();
            let events = checkpoint.header.events;
            talk.say(format_args!("resumed at event {events}, {seconds:.0} s of virtual time"));
            (recording, Some(checkpoint.state), Some(path))
        }
        None => {
            let why = if doubts.is_empty() {
                "the run was cut before its first checkpoint"
            } else {
                "none of the run's checkpoints can be used"
            };
            talk.say(format_args!("{why}: it begins again"));
            remove(directory.events_path())?;
            (Recording::create(&directory, header, progress())?, None, None)
        }
    };
    for doubt in &doubts {
        talk.say(format_args!("warning: {doubt}"));
    }
    // A run that was cut while it was planned does not know yet how it was matched.
    let mut manifest = Manifest { status: Status::Running, matched: matched(&plan), ..manifest };
    manifest.warnings.retain(|warning| !warning.starts_with(FAILED));
    manifest.warnings.extend(doubts);
    let prepared = Prepared { scenario, text, manifest, plan, recording, snapshot };
    let mut played = carry_on(prepared, setting, directory, claim)?;
    if let Some(checkpoint) = checkpoint {
        played.trouble = played.trouble.map(|broke| doubt(broke, &played.directory, &checkpoint));
    }
    Ok(played)
}

/// The newest checkpoint that is whole and fits the log, with that log. One that is not is told of, put aside
/// and passed over, and so is one that cannot be read.
///
/// # Errors
/// Another build wrote it; or the log, or every checkpoint that is left, cannot be read though it may be good. Then nothing is
/// changed: beginning again would cost what the run has.
fn latest(
    directory: &RunDirectory,
    plan: &Plan,
    train: bool,
    header: &Header,
    progress: impl Fn() -> Progress,
    doubts: &mut Vec<String>,
) -> Result<Option<(Recording, Checkpoint<Snapshot>, PathBuf)>, Failure> {
    let (mut passed_over, mut unread, mut found) = (Vec::new(), None, None);
    for path in Checkpoints::of(directory).newest_first()? {
        let why = match checkpoint::read::<Snapshot>(&path, header.scenario_digest) {
            Err(error) if error.is_damage() => error.to_string(),
            // A disk may give one file and keep another.
            Err(error @ CheckpointError::Io { .. }) => {
                let why = error.to_string();
                unread.get_or_insert(error);
                why
            }
            Err(error) => return Err(Failure::from(error).help(anew(directory))),
            Ok(checkpoint) => match checkpoint.state.fits(plan, train) {
                Err(why) => format!("the checkpoint {} is damaged: {why}", path.display()),
                Ok(()) => match Recording::resume(directory, header.clone(), progress(), &checkpoint) {
                    Ok(recording) => {
                        found = Some((recording, checkpoint, path));
                        break;
                    }
                    Err(Hindrance::Damage(failure)) => failure.to_string(),
                    Err(Hindrance::System(failure)) => return Err(failure.help(UNCHANGED)),
                },
            },
        };
        doubts.push(format!("{why}; the run goes on from an earlier moment"));
        passed_over.push(path);
    }
    if let (Some(error), None) = (unread, &found) {
        return Err(Failure::from(error).help(UNCHANGED));
    }
    passed_over.iter().try_for_each(|path| put_aside(path))?;
    Ok(found)
}

/// What to do where the system keeps away what a run would go on from.
const UNCHANGED: &str =
    "nothing of the run was changed: once the file can be read and written, the same command goes on";

/// Whether that is why a run did not go on: it stands as it stood.
pub fn has_changed_nothing(failure: &Failure) -> bool {
    failure.advice().as_deref() == Some(UNCHANGED)
}

/// How a warning begins that says why a run failed. It is dropped once the run goes on.
pub const FAILED: &str = "the run failed: ";

/// What is left to do where nothing else makes a run go on.
fn anew(directory: &RunDirectory) -> String {
    format!("or run it anew: a sweep does so once {} is removed", directory.path().display())
}

/// Passed over from now on, and kept for whoever wants to know what is wrong with it.
fn put_aside(checkpoint: &Path) -> Result<(), Failure> {
    let aside = checkpoint.with_extension("unusable");
    fs::rename(checkpoint, aside).map_err(|error| Failure::file("rename", checkpoint, error))
}

/// What is to be told of a run that went on from a checkpoint and broke before its next one. Either the checkpoint is not what
/// was written, or cotune has a bug; so the checkpoint is put aside, and the run can go on from the one before. A bug is met
/// again there, and in the end without any checkpoint to blame.
fn doubt(broke: Failure, directory: &RunDirectory, checkpoint: &Path) -> Failure {
    let Failure::Bug { what, .. } = &broke else { return broke };
    let newest = Checkpoints::of(directory).newest_first().ok().and_then(|all| all.into_iter().next());
    if newest.as_deref() != Some(checkpoint) || put_aside(checkpoint).is_err() {
        return broke;
    }
    Failure::wrong(format!("the run broke after it went on from {}: {what}", checkpoint.display())).help(
        "that checkpoint is put aside: the same command goes on from the one before it; if the run breaks again, it is a bug in cotune",
    )
}

/// What is not as it was when the run began, and may keep its numbers from being those of a run that was not cut.
fn differences(before: &Manifest, setting: &Setting) -> Vec<String> {
    let mut found = Vec::new();
    let mut compare = |what: &str, before: &str, now: &str| {
        if before != now {
            found.push(format!("the run began {what} `{before}` and goes on {what} `{now}`"));
        }
    };
    compare("with cotune", &before.version, machine::VERSION);
    compare("with the commit", &before.commit, machine::COMMIT);
    compare("on the platform", &before.platform, &machine::platform());
    compare("on the device", &before.device, &setting.compute.describe());
    compare("with the CPU features", &before.cpu_features.join(" "), &machine::cpu_features().join(" "));
    found
}

fn remove(path: PathBuf) -> Result<(), Failure> {
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Failure::file("remove", &path, error)),
        _ => Ok(()),
    }
}
