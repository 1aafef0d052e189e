//! A run that is cut and goes on is the run that was never cut: from every snapshot in memory, and by the command after
//! kills, interruptions and damage to its files.

use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, LazyLock};
use std::thread;
use std::time::Duration;

use cotune_kernel::{Stream, codec};
use cotune_record::checkpoint::Header;
use cotune_record::{Digest, Event, EventDigest, EventKind, RunDirectory};
use cotune_tests::{
    co_plms, cotune, fedavg, json, kept, kept_until, only_run, plan, play, proxy_relay, read_snapshot, relay,
    said, snapshot_bytes, tiny, tiny_text,
};
use cotune_world::{End, Plan};
use serde_json::Value;
use tempfile::TempDir;

fn digest<'e>(events: impl IntoIterator<Item = &'e Event>) -> Digest {
    let mut digest = EventDigest::new();
    events.into_iter().for_each(|event| digest.push(event));
    digest.digest()
}

/// Goes on from every snapshot of a run and compares the events.
fn goes_on_from_everywhere(name: &str, plan: &Arc<Plan>, train: bool) {
    let (events, snapshots) = kept(plan, train, None);
    assert_eq!(digest(&events), play(plan, 1, train).digest, "{name}: taking snapshots changes what happens");
    assert!(snapshots.len() >= 2, "{name} has {} snapshots", snapshots.len());
    for (before, bytes) in snapshots {
        let snapshot = read_snapshot(&bytes);
        assert_eq!(snapshot.fits(plan, train), Ok(()), "{name}");
        assert!(snapshot_bytes(&snapshot) == bytes, "{name}: a snapshot that is read and written is another");
        let (after, _) = kept(plan, train, Some(snapshot));
        let whole = digest(events[..before].iter().chain(&after));
        assert_eq!(whole, digest(&events), "{name}: the run parts after event {before}");
    }
}

const BUFFERED: &str = "[coordination.buffered]\nconcurrency = 3\nbuffer = 2\n";

#[test]
fn a_run_goes_on_from_every_snapshot_whatever_it_learns() {
    let encoded = "[transfer]\nup.int8 = { error_feedback = true }\ndown.none = {}\n";
    for (name, tables) in [
        ("co-plms", co_plms(&relay(", guard = \"dual-min-ce\""))),
        ("proxy-relay in a buffer", format!("{}{BUFFERED}", proxy_relay(""))),
        ("fedavg with error feedback", format!("{}{encoded}", fedavg("on = \"proxy\""))),
        ("a private domain adapter", co_plms("dst = \"domain-adapter\"")),
    ] {
        let rounds = if name == "co-plms" { "3" } else { "4" };
        goes_on_from_everywhere(name, &plan(&tiny(&tables, &[("budget.rounds", rounds)])), true);
    }
}

#[test]
fn a_run_that_is_paused_after_a_round_is_the_beginning_of_the_run() {
    for (name, tables) in
        [("rounds", co_plms("")), ("a buffer", format!("{}{BUFFERED}", fedavg("on = \"proxy\"")))]
    {
        let often = [("budget.rounds", "4"), ("evaluation.every", "{ rounds = 1 }")];
        let plan = plan(&tiny(&tables, &often));
        let whole = play(&plan, 1, true).events;
        for until in 1..4 {
            let (begun, snapshots, end) = kept_until(&plan, true, None, Some(until));
            assert_eq!(end, End::Paused, "{name}");
            assert_eq!(digest(&begun), digest(&whole[..begun.len()]), "{name}: pausing changes what happens");
            let closed = whole.iter().find_map(|event| match event.kind {
                EventKind::RoundClosed { round, .. } if round == until => Some(event.time_ns),
                _ => None,
            });
            let closed = closed.expect("the round is closed");
            let is_scored =
                |event: &Event| matches!(event.kind, EventKind::Evaluated { round, .. } if round == until);
            assert!(begun.iter().any(is_scored), "{name}: round {until} has no scores");
            assert!(
                begun.iter().all(|event| event.time_ns <= closed),
                "{name}: it goes on after round {until}"
            );
            assert!(whole[begun.len()].time_ns > closed, "{name}: something of that instant is missing");
            // A run that was cut on the way is paused in the same place, also if only its scores were left to do.
            for (before, bytes) in &snapshots {
                let (after, _, end) = kept_until(&plan, true, Some(read_snapshot(bytes)), Some(until));
                assert_eq!((before + after.len(), end), (begun.len(), End::Paused), "{name}, round {until}");
            }
            let (_, bytes) = snapshots.last().expect("a pause is a snapshot");
            let (rest, _, end) = kept_until(&plan, true, Some(read_snapshot(bytes)), None);
            assert_eq!((digest(begun.iter().chain(&rest)), end), (digest(&whole), End::Complete), "{name}");
        }
    }
}

/// Devices that come and go, crash and run low, transfers that break off, and a cloud that restarts.
const UNSTEADY: &str = r#"
[fleet.class.watch]
weight       = 2
model        = "edge-a"
compute      = "100MFLOP/s"
memory       = "1GiB"
battery      = { capacity = "2Wh", train_above = 0.5 }
power        = { train = "3W", radio = "1W", idle = "0.1W" }
link         = { down = "10Mbit/s", up = "2Mbit/s", rtt = "80ms", drop = "0.1/transfer" }
availability.sessions = { online = { weibull = { shape = 0.5, scale = "3min" } }, offline = "40s" }
[[fault]]
crash = { class = "*", rate = "20/h" }
[[fault]]
cloud_restart = { at = "120s", outage = "15s" }
"#;

#[test]
fn a_schedule_goes_on_from_every_snapshot_whatever_breaks() {
    for (name, coordination) in [
        ("rounds", "[coordination.sync]\ncohort = 4\novercommit = 1.5\ndeadline = \"4min\"\n"),
        ("a buffer", "[coordination.buffered]\nconcurrency = 6\nbuffer = 3\nmax_staleness = 2\n"),
        ("one at a time", "[coordination.async]\nconcurrency = 5\n"),
    ] {
        for actors in ["\"active\"", "\"all\""] {
            let tables = format!("{}{coordination}{UNSTEADY}", co_plms(""));
            let overrides = [
                ("fleet.devices", "14"),
                ("data.split.dirichlet.min", "1"),
                ("budget.rounds", "25"),
                ("simulation.actors", actors),
            ];
            goes_on_from_everywhere(name, &plan(&tiny(&tables, &overrides)), false);
        }
    }
}

/// A federation that learns for a few seconds, in a file of its own.
fn scenario(folder: &Path) -> PathBuf {
    let path = folder.join("tiny.toml");
    let text = tiny_text(&format!("{}{BUFFERED}", fedavg("on = \"proxy\"")));
    let text = text.replace("[budget]\nrounds = 2", "[budget]\nrounds = 24");
    fs::write(&path, text.replace("every   = { rounds = 2 }", "every   = { rounds = 8 }")).unwrap();
    path
}

/// The summary of a run of it that was never cut.
static WHOLE: LazyLock<Value> = LazyLock::new(|| {
    let folder = TempDir::new().unwrap();
    let runs = folder.path().join("runs");
    let output = run(folder.path(), &runs).output().expect("it can be started");
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(!only_run(&runs).join("checkpoints").exists(), "a complete run needs no checkpoints");
    summary(&only_run(&runs))
});

fn run(folder: &Path, runs: &Path) -> Command {
    let mut command = cotune();
    command.arg("run").arg(scenario(folder)).args(["-q", "-j", "2", "--runs"]).arg(runs);
    command
}

fn resume(runs: &Path) -> Command {
    let mut command = cotune();
    command.args(["run", "--resume", "latest", "--progress", "none", "--runs"]).arg(runs);
    command
}

/// The summary without what may differ.
fn summary(folder: &Path) -> Value {
    let mut summary = json(&folder.join("summary.json"));
    summary["wall"].take();
    summary
}

/// The checkpoints of a run, the oldest first; none before it has a folder.
fn checkpoints(runs: &Path) -> Vec<PathBuf> {
    let Some(run) = fs::read_dir(runs).ok().and_then(|mut entries| entries.next()) else { return Vec::new() };
    let Ok(entries) = fs::read_dir(run.unwrap().path().join("checkpoints")) else { return Vec::new() };
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let mut files: Vec<_> =
        paths.filter(|path| path.extension().is_some_and(|end| end == "checkpoint")).collect();
    files.sort();
    files
}

/// How many events are before the newest checkpoint.
fn progress(runs: &Path) -> u64 {
    checkpoints(runs).last().map_or(0, |path| path.file_stem().unwrap().to_str().unwrap().parse().unwrap())
}

/// Starts a command and kills it once `is_time` is true, which is looked at every millisecond; false if it ended before.
fn kill_when(command: &mut Command, is_time: impl Fn() -> bool) -> bool {
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it can be started");
    while !is_time() {
        if child.try_wait().unwrap().is_some() {
            return false;
        }
        thread::sleep(Duration::from_millis(1));
    }
    let was_running = child.try_wait().unwrap().is_none();
    child.kill().unwrap();
    // It may have come to its end between the look and the kill.
    let ended = child.wait().unwrap();
    was_running && !ended.success()
}

/// A run that was killed once it had `count` checkpoints of its own making.
fn cut(folder: &Path, runs: &Path, count: usize) {
    assert!(kill_when(&mut run(folder, runs), || checkpoints(runs).len() >= count), "it ended before");
    assert_eq!(json(&only_run(runs).join("run.json"))["status"], "running");
}

#[test]
fn kills_at_any_moment_lose_nothing() {
    let folder = TempDir::new().unwrap();
    let runs = folder.path().join("runs");
    // Before anything is recorded but the scenario, and before it is planned.
    let begun = || {
        fs::read_dir(&runs)
            .is_ok_and(|mut runs| runs.any(|run| run.unwrap().path().join("run.json").exists()))
    };
    assert!(kill_when(&mut run(folder.path(), &runs), begun));
    let mut kills = 1;
    loop {
        let before = progress(&runs);
        if !kill_when(&mut resume(&runs), || progress(&runs) > before) {
            break;
        }
        kills += 1;
    }
    assert!(kills >= 4, "only {kills} kills");
    let finished = resume(&runs).output().unwrap();
    assert_eq!(finished.status.code(), Some(0), "{}", said(&finished));
    assert_eq!(String::from_utf8_lossy(&finished.stdout).trim_end(), only_run(&runs).display().to_string());
    let folder = only_run(&runs);
    assert_eq!(summary(&folder), *WHOLE, "after {kills} kills");
    assert_eq!(json(&folder.join("run.json"))["status"], "complete");
    assert!(folder.join("adapters/cloud/proxy/adapter_model.safetensors").is_file());
}

#[test]
fn a_damaged_checkpoint_is_passed_over_with_a_warning() {
    let folder = TempDir::new().unwrap();
    for (damage, good) in [("cut", 1), ("flipped", 1), ("empty", 1), ("gone", 1), ("cut", 0)] {
        let runs = folder.path().join(format!("{damage}-{good}"));
        cut(folder.path(), &runs, 2);
        for path in &checkpoints(&runs)[good..] {
            let bytes = fs::read(path).unwrap();
            match damage {
                "cut" => fs::write(path, &bytes[..bytes.len() * 2 / 3]).unwrap(),
                "empty" => fs::write(path, "").unwrap(),
                "gone" => fs::remove_file(path).unwrap(),
                _ => {
                    let mut bytes = bytes;
                    let middle = bytes.len() / 2;
                    bytes[middle] ^= 4;
                    fs::write(path, bytes).unwrap();
                }
            }
        }
        let finished = resume(&runs).output().unwrap();
        let told = said(&finished);
        assert_eq!(finished.status.code(), Some(0), "{damage}, {good} good: {told}");
        assert_eq!(told.contains("is damaged"), damage != "gone", "{damage}: {told}");
        assert_eq!(told.contains("begins again"), good == 0, "{damage}: {told}");
        assert_eq!(summary(&only_run(&runs)), *WHOLE, "{damage}, {good} good");
    }
}

/// A file that cannot be opened, by root either: a folder stands in its place. Gives it back when told.
#[cfg(unix)]
fn kept_away(path: &Path) -> impl FnOnce() + use<> {
    let (path, aside) = (path.to_owned(), path.with_extension("given-back"));
    fs::rename(&path, &aside).unwrap();
    fs::create_dir(&path).unwrap();
    move || {
        fs::remove_dir(&path).unwrap();
        fs::rename(aside, path).unwrap();
    }
}

#[cfg(unix)]
#[test]
fn a_log_that_cannot_be_opened_costs_nothing() {
    let folder = TempDir::new().unwrap();
    let runs = folder.path().join("runs");
    cut(folder.path(), &runs, 2);
    let before = checkpoints(&runs);
    let give_back = kept_away(&only_run(&runs).join("events.jsonl.zst"));
    let output = resume(&runs).output().unwrap();
    let told = said(&output);
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(
        told.contains("cannot open the event log") && told.contains("nothing of the run was changed"),
        "{told}"
    );
    assert_eq!(checkpoints(&runs), before);
    give_back();
    let finished = resume(&runs).output().unwrap();
    assert_eq!(finished.status.code(), Some(0), "{}", said(&finished));
    assert!(!said(&finished).contains("begins again"), "{}", said(&finished));
    assert_eq!(summary(&only_run(&runs)), *WHOLE);
}

#[cfg(unix)]
#[test]
fn a_checkpoint_that_cannot_be_read_is_passed_over_unless_there_is_no_other() {
    let folder = TempDir::new().unwrap();
    let runs = folder.path().join("runs");
    cut(folder.path(), &runs, 2);
    // It may have been killed before it removed the third last.
    let mut files = checkpoints(&runs);
    while files.len() > 2 {
        fs::remove_file(files.remove(0)).unwrap();
    }
    let older = kept_away(&files[0]);
    let newest = kept_away(&files[1]);
    let output = resume(&runs).output().unwrap();
    let told = said(&output);
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(told.contains("cannot read") && told.contains("nothing of the run was changed"), "{told}");
    assert_eq!(checkpoints(&runs), files);
    older();
    let finished = resume(&runs).output().unwrap();
    let told = said(&finished);
    assert_eq!(finished.status.code(), Some(0), "{told}");
    assert!(told.contains("cannot read") && told.contains("resumed at event"), "{told}");
    assert_eq!(summary(&only_run(&runs)), *WHOLE);
    drop(newest);
}

#[test]
fn what_cannot_be_resumed_says_why() {
    let folder = TempDir::new().unwrap();
    let runs = folder.path().join("runs");
    cut(folder.path(), &runs, 1);
    let run = only_run(&runs);
    let refuses = |because: &str| {
        let output = resume(&runs).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{}", said(&output));
        assert!(said(&output).contains(because), "not told with `{because}`:\n{}", said(&output));
    };
    let claim = RunDirectory::at(&run).claim().unwrap();
    refuses("another cotune process writes to this run");
    drop(claim);

    let lock = fs::read_to_string(run.join("scenario.lock.json")).unwrap();
    fs::write(run.join("scenario.lock.json"), lock.replacen("\"devices\": 3", "\"devices\": 4", 1)).unwrap();
    refuses("not the scenario that the run began with");
    fs::write(run.join("scenario.lock.json"), &lock).unwrap();

    // Weights of another device would make a run that neither device makes.
    let manifest = fs::read_to_string(run.join("run.json")).unwrap();
    let elsewhere = "wgpu:0 (a card that is nowhere, its driver 1.0, Vulkan)";
    fs::write(run.join("run.json"), manifest.replacen("cpu (burn-flex)", elsewhere, 1)).unwrap();
    refuses("a card that is nowhere");
    let named = resume(&runs).args(["--device", "cpu"]).output().unwrap();
    assert_eq!(named.status.code(), Some(2), "{}", said(&named));
    assert!(said(&named).contains("leave --device out"), "{}", said(&named));
    fs::write(run.join("run.json"), &manifest).unwrap();

    // Written by another version: its header says so, whatever follows.
    let path = checkpoints(&runs).pop().unwrap();
    let whole = fs::read(&path).unwrap();
    let scenario_digest = json(&run.join("run.json"))["scenario_digest"].as_str().unwrap().parse().unwrap();
    let (version, commit) = ("9.9.9".to_owned(), String::new());
    let header = Header { format: 99, version, commit, scenario_digest, events: 1, seconds: 0.0 };
    let log = run.join("events.jsonl.zst");
    let events = fs::read(&log).unwrap();
    for newer in [codec::encode(2, &header), codec::encode(2, &(&header, "one field more"))] {
        let newer = newer.unwrap();
        fs::write(&path, &newer).unwrap();
        refuses("was written by cotune 9.9.9");
        assert!(fs::read(&path).unwrap() == newer && fs::read(&log).unwrap() == events, "something is lost");
    }
    fs::write(&path, &whole).unwrap();

    // The log of another run: nothing of it is cut off.
    fs::write(&log, "not a log").unwrap();
    let output = resume(&runs).args(["--checkpoint-every", "5"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "it begins again: {}", said(&output));
    assert!(events.len() > 9);
    let again = resume(&runs).output().unwrap();
    assert_eq!((again.status.code(), said(&again).as_str()), (Some(0), ""), "a complete run prints its path");
}

#[cfg(unix)]
#[test]
fn an_interrupted_run_goes_on_from_the_event_it_was_interrupted_at() {
    let folder = TempDir::new().unwrap();
    let runs = folder.path().join("runs");
    let mut child = run(folder.path(), &runs).stdout(Stdio::null()).spawn().unwrap();
    while checkpoints(&runs).is_empty() {
        thread::sleep(Duration::from_millis(1));
    }
    let sent = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(json(&only_run(&runs).join("run.json"))["status"], "interrupted");
    let finished = resume(&runs).output().unwrap();
    assert_eq!(finished.status.code(), Some(0), "{}", said(&finished));
    assert!(!said(&finished).contains("begins again"), "{}", said(&finished));
    assert_eq!(summary(&only_run(&runs)), *WHOLE);
}

/// A federation each of whose jobs takes a hundred times as long as a signal does on its way.
#[cfg(unix)]
fn slow_scenario(folder: &Path) -> PathBuf {
    let path = folder.join("slow.toml");
    let text = tiny_text(&format!("{}{BUFFERED}", fedavg("on = \"proxy\"")));
    fs::write(&path, text.replace("tune = 2", "tune = 500")).unwrap();
    path
}

/// After the first signal a run waits for the jobs that are being computed, and after the second it does not. One that was
/// faster than the second signal was interrupted like any other, so some are tried.
#[cfg(unix)]
#[test]
fn a_second_signal_ends_a_run_at_once_and_nothing_is_lost() {
    use std::io::{BufRead as _, BufReader};

    const TRIES: usize = 5;
    let folder = TempDir::new().unwrap();
    let file = slow_scenario(folder.path());
    let begin = |runs: &Path| {
        let mut command = cotune();
        command.arg("run").arg(&file).args(["-j", "2", "--progress", "none", "--runs"]).arg(runs);
        command
    };
    let runs = folder.path().join("whole");
    let output = begin(&runs).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let whole = summary(&only_run(&runs));
    let ends_at_once = |number: usize| {
        let runs = folder.path().join(number.to_string());
        let mut child = begin(&runs).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines().map_while(Result::ok);
        // The first round is over, and a device is at work on it still.
        while checkpoints(&runs).is_empty() && child.try_wait().unwrap().is_none() {
            thread::sleep(Duration::from_millis(1));
        }
        if child.try_wait().unwrap().is_none() {
            let interrupt = || {
                let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
                assert!(sent.expect("there is kill").success());
            };
            interrupt();
            // Two signals on their way at once would be one.
            if lines.any(|line| line.contains("once more to leave at once")) {
                interrupt();
            }
        }
        let rest: Vec<String> = lines.collect();
        let code = child.wait().unwrap().code();
        let status = json(&only_run(&runs).join("run.json"))["status"].clone();
        let ended = (code, status.as_str().expect("it has a status"));
        assert!(
            matches!(ended, (Some(130), "running" | "interrupted") | (Some(0 | 130), "complete")),
            "{ended:?}: {rest:#?}"
        );
        let finished = resume(&runs).output().unwrap();
        assert_eq!(finished.status.code(), Some(0), "{ended:?}: {}", said(&finished));
        assert!(!said(&finished).contains("begins again"), "{ended:?}: {}", said(&finished));
        assert_eq!(summary(&only_run(&runs)), whole, "{ended:?}");
        status == "running"
    };
    assert!((0..TRIES).any(ends_at_once), "{TRIES} times a run ended in order before a second signal");
}

/// A federation in which everything goes on at once: mutual learning and a guarded relay set in a buffer, differences with error
/// feedback, devices that come and go, crash and run low, and a cloud that restarts.
fn mixed_scenario(folder: &Path) -> PathBuf {
    let path = folder.join("mixed.toml");
    let encoded = "[transfer]\nup.int8 = { error_feedback = true }\n";
    let method = co_plms(&relay(", guard = \"dual-min-ce\""));
    let text = tiny_text(&format!("{method}{BUFFERED}{encoded}{UNSTEADY}"));
    fs::write(&path, text.replace("[budget]\nrounds = 2", "[budget]\nrounds = 8")).unwrap();
    path
}

/// Kills at random moments of the wall clock, until as many runs as `COTUNE_KILLS` says, or five, were each killed once or more. What
/// such a run comes to at last is compared with runs that nobody killed; one that ends before its first kill counts for nothing.
#[test]
fn runs_killed_at_random_moments_lose_nothing() {
    let wanted: u32 = std::env::var("COTUNE_KILLS").map_or(5, |text| text.parse().expect("a number of runs"));
    let folder = TempDir::new().unwrap();
    let file = mixed_scenario(folder.path());
    let begin = |runs: &Path| {
        let mut command = cotune();
        command.arg("run").arg(&file).args(["-q", "-j", "2", "--runs"]).arg(runs);
        command
    };
    let uncut = |number: u32| {
        let (runs, looks) = (folder.path().join(format!("uncut-{number}")), Cell::new(0_u64));
        let never = || {
            looks.set(looks.get() + 1);
            false
        };
        assert!(!kill_when(&mut begin(&runs), never));
        (looks.get(), summary(&only_run(&runs)))
    };
    let uncut: Vec<(u64, Value)> = (0..3).map(uncut).collect();
    let whole = &uncut[0].1;
    assert_eq!(whole["status"], "complete");
    assert!(uncut.iter().all(|(_, summary)| summary == whole), "it is another without any kill");
    // A kill comes within the time of the fastest of them, so that few runs end before their first.
    let length = uncut.iter().map(|(looks, _)| *looks).min().expect("there are three");
    let mut stream = Stream::keyed(7, "kills");
    let (mut runs_done, mut runs_killed, mut kills) = (0, 0, 0);
    while runs_killed < wanted {
        let runs = folder.path().join(runs_done.to_string());
        let is_begun = || {
            fs::read_dir(&runs)
                .is_ok_and(|mut runs| runs.any(|run| run.unwrap().path().join("run.json").exists()))
        };
        let kills_before = kills;
        loop {
            let mut command = if is_begun() { resume(&runs) } else { begin(&runs) };
            let looks = Cell::new(stream.below(length));
            let is_time = || looks.replace(looks.get().saturating_sub(1)) == 0;
            if !kill_when(&mut command, is_time) {
                break;
            }
            // The instant between a folder and its manifest: nothing was begun, and nothing is there to go on with.
            if is_begun() { kills += 1 } else { fs::remove_dir_all(&runs).unwrap_or_default() }
        }
        assert_eq!(summary(&only_run(&runs)), *whole, "run {runs_done}, after {kills} kills in all");
        fs::remove_dir_all(&runs).unwrap();
        runs_done += 1;
        runs_killed += u32::from(kills > kills_before);
    }
    println!(
        "{runs_killed} runs were killed, {kills} times in all, and each went on to the digest of those that nobody killed; \
         {} more ended before a kill",
        runs_done - runs_killed
    );
}
