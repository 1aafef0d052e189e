//! What the computer around a run does to it: disks that fill up, files that vanish, readers that leave, clocks that jump. What was
//! recorded stays readable, the run says that it failed, and once the trouble is over it goes on to the digest that it would have had.
//!
//! Elsewhere: kills, signals and damaged checkpoints in `resume.rs`, jobs that panic in `custom.rs`, bases that are cut while they are
//! made in `bases.rs`, file systems without locks in `sim/record/src/run_directory.rs`. No test takes the power or the memory away.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::LazyLock;
use std::thread;
use std::time::Duration;

use cotune_record::{EventReader, RunDirectory};
use cotune_tests::{co_plms, cotune, fedavg, json, only_run, said, tiny_text};
use serde_json::Value;
use tempfile::TempDir;

const BUFFERED: &str = "[coordination.buffered]\nconcurrency = 3\nbuffer = 2\n";

/// A federation that learns for a second or two, with adapters so large that checkpoints are longer than anything else it writes.
fn scenario(folder: &Path) -> PathBuf {
    let path = folder.join("tiny.toml");
    let text = tiny_text(&format!("{}{BUFFERED}", fedavg("on = \"proxy\"")));
    let text = text.replace("rank = 2, alpha = 4", "rank = 32, alpha = 64");
    let text = text.replace("[budget]\nrounds = 2", "[budget]\nrounds = 16");
    fs::write(&path, text.replace("every   = { rounds = 2 }", "every   = { rounds = 8 }")).unwrap();
    path
}

fn run(folder: &Path, runs: &Path) -> Command {
    let mut command = cotune();
    command.arg("run").arg(scenario(folder)).args(["-q", "-j", "1", "--runs"]).arg(runs);
    command
}

fn resume(runs: &Path) -> Output {
    let mut command = cotune();
    command.args(["run", "--resume", "latest", "--progress", "none", "--runs"]).arg(runs);
    command.output().expect("it can be started")
}

/// The digest of a run of it that nothing happened to.
static UNDISTURBED: LazyLock<Value> = LazyLock::new(|| {
    let folder = TempDir::new().unwrap();
    let runs = folder.path().join("runs");
    let output = run(folder.path(), &runs).output().expect("it can be started");
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    json(&only_run(&runs).join("summary.json"))["digest"].clone()
});

/// Starts a run and waits until it has a checkpoint of its own making.
fn under_way(folder: &Path, runs: &Path) -> Child {
    begun(run(folder, runs), runs)
}

/// The same of a command that runs it under `runs`.
fn begun(mut command: Command, runs: &Path) -> Child {
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it can be started");
    let has_checkpoint = || {
        let run = fs::read_dir(runs).ok()?.next()?.ok()?.path();
        let mut files = fs::read_dir(run.join("checkpoints")).ok()?.filter_map(Result::ok);
        files.find(|file| file.path().extension().is_some_and(|end| end == "checkpoint"))
    };
    while has_checkpoint().is_none() {
        assert!(child.try_wait().unwrap().is_none(), "it ended before its first checkpoint");
        thread::sleep(Duration::from_millis(1));
    }
    child
}

/// The log of a run can be read, at most its last line is torn.
fn assert_log_is_whole(run: &Path) {
    for event in EventReader::open(&RunDirectory::at(run).events_path()).expect("there is a log") {
        assert!(event.is_ok(), "{event:?}");
    }
}

/// The run failed, said why, and goes on to the digest of an undisturbed one.
fn assert_goes_on(runs: &Path, output: &Output, why: &str) {
    let told = said(output);
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(told.contains(why), "not told with `{why}`: {told}");
    let run = only_run(runs);
    assert_eq!(json(&run.join("run.json"))["status"], "failed", "{told}");
    let resumed = resume(runs);
    assert_eq!(resumed.status.code(), Some(0), "{}", said(&resumed));
    assert_eq!(json(&run.join("summary.json"))["digest"], *UNDISTURBED, "{}", said(&resumed));
}

/// `script` in a shell with `$cotune`, `$scenario` and `$runs`.
#[cfg(target_os = "linux")]
fn shell(script: &str, folder: &Path, runs: &Path) -> Output {
    let mut command = Command::new("bash");
    command.args(["-ec", script]).env("cotune", cotune().get_program());
    command.env("scenario", scenario(folder)).env("runs", runs).output().expect("there is bash")
}

/// Files may not grow beyond a limit: what a quota does, and a file system with a limit.
#[cfg(target_os = "linux")]
#[test]
fn a_file_that_may_not_grow_fails_a_run_that_goes_on() {
    let folder = TempDir::new().unwrap();
    let runs = folder.path().join("runs");
    // Without the trap the signal ends the process, which is a kill like any other. The first checkpoint is longer than
    // the limit, and manifest, report and reserve are shorter.
    let script = "trap '' XFSZ; ulimit -f 150; exec \"$cotune\" run \"$scenario\" -q -j 1 --runs \"$runs\"";
    let output = shell(script, folder.path(), &runs);
    assert_log_is_whole(&only_run(&runs));
    assert_goes_on(&runs, &output, "checkpoint");
}

/// A small disk of its own, full at one moment or another of the run.
#[cfg(target_os = "linux")]
#[test]
fn a_disk_that_is_full_fails_a_run_that_goes_on_once_there_is_room() {
    let mut tried = Command::new("unshare");
    tried.args(["-rm", "mount", "-t", "tmpfs", "disk", "/tmp"]);
    if !tried.output().is_ok_and(|tried| tried.status.success()) {
        println!("skipped: this user may not mount a small disk (unshare -rm)");
        return;
    }
    let folder = TempDir::new().unwrap();
    let disk = folder.path().join("disk");
    fs::create_dir(&disk).unwrap();
    let (mut never_began, mut failed, mut complete) = (0, 0, 0);
    for kib in [40, 160, 400, 6_000] {
        let runs = folder.path().join(kib.to_string());
        fs::create_dir(&runs).unwrap();
        // The disk is gone with the shell's namespace, so what is on it is copied to where there is room.
        let script = format!(
            "exec unshare -rm bash -c 'mount -t tmpfs -o size={kib}k disk \"$1\"
             code=0; \"$cotune\" run \"$scenario\" -q -j 1 --runs \"$1/runs\" || code=$?
             cp -r \"$1/runs/.\" \"$runs\"; exit $code' - {:?}",
            disk.to_str().unwrap()
        );
        let output = shell(&script, folder.path(), &runs);
        match output.status.code() {
            Some(0) => complete += 1,
            Some(2) if fs::read_dir(&runs).unwrap().next().is_none() => never_began += 1,
            _ => {
                assert_log_is_whole(&only_run(&runs));
                assert_goes_on(&runs, &output, "");
                failed += 1;
            }
        }
    }
    assert!(never_began > 0 && failed > 1 && complete > 0, "{never_began} {failed} {complete}");
}

#[cfg(unix)]
#[test]
fn a_log_that_is_removed_fails_a_run_that_begins_again() {
    let folder = TempDir::new().unwrap();
    let runs = folder.path().join("runs");
    let child = under_way(folder.path(), &runs);
    fs::remove_file(only_run(&runs).join("events.jsonl.zst")).unwrap();
    assert_goes_on(&runs, &child.wait_with_output().unwrap(), "removed while it was written");
}

#[cfg(unix)]
#[test]
fn a_run_whose_folder_is_removed_says_so_and_does_not_pretend_to_be_complete() {
    let folder = TempDir::new().unwrap();
    let runs = folder.path().join("runs");
    let child = under_way(folder.path(), &runs);
    let run = only_run(&runs);
    // Its checkpoints may come back while the folder is emptied.
    while run.exists() {
        let _ = fs::remove_dir_all(&run);
    }
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    let manifest = fs::read_to_string(run.join("run.json")).unwrap_or_default();
    assert!(!manifest.contains("\"complete\""), "{manifest}");
}

#[test]
fn a_place_for_checkpoints_that_cannot_be_written_to_fails_a_run_that_goes_on() {
    let folder = TempDir::new().unwrap();
    let runs = folder.path().join("runs");
    let child = under_way(folder.path(), &runs);
    // Permissions do not stop root: a file where a folder has to be stops everyone.
    let checkpoints = only_run(&runs).join("checkpoints");
    while fs::write(&checkpoints, "").is_err() {
        let _ = fs::remove_dir_all(&checkpoints);
    }
    let output = child.wait_with_output().unwrap();
    assert_log_is_whole(&only_run(&runs));
    fs::remove_file(&checkpoints).unwrap();
    assert_goes_on(&runs, &output, "checkpoints");
}

#[test]
fn what_a_run_has_read_may_vanish_while_it_goes_on() {
    let folder = TempDir::new().unwrap();
    let runs = folder.path().join("runs");
    let child = under_way(folder.path(), &runs);
    fs::remove_file(folder.path().join("tiny.toml")).unwrap();
    fs::remove_dir_all(only_run(&runs).join("checkpoints")).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert_eq!(json(&only_run(&runs).join("summary.json"))["digest"], *UNDISTURBED);
}

#[test]
fn a_second_process_is_kept_out_of_a_run_that_goes_on() {
    let folder = TempDir::new().unwrap();
    let runs = folder.path().join("runs");
    let child = under_way(folder.path(), &runs);
    let second = resume(&runs);
    assert_eq!(second.status.code(), Some(2), "{}", said(&second));
    assert!(said(&second).contains("another cotune process writes to this run"), "{}", said(&second));
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert_eq!(json(&only_run(&runs).join("summary.json"))["digest"], *UNDISTURBED);
}

#[test]
fn a_run_is_finished_though_nobody_reads_what_it_prints() {
    let folder = TempDir::new().unwrap();
    for arguments in [&["--json"][..], &["--progress", "lines"]] {
        let runs = folder.path().join(arguments.join(""));
        let mut command = cotune();
        command.arg("run").arg(scenario(folder.path())).args(arguments).arg("--runs").arg(&runs);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop((child.stdout.take(), child.stderr.take()));
        assert_eq!(child.wait().unwrap().code(), Some(0), "{arguments:?}");
        let run = only_run(&runs);
        assert_eq!(json(&run.join("run.json"))["status"], "complete", "{arguments:?}");
        assert_eq!(json(&run.join("summary.json"))["digest"], *UNDISTURBED, "{arguments:?}");
    }
}

/// Whoever reads the summary may leave; what became of the run is told by how the command ends.
#[test]
fn an_expectation_that_is_missed_is_told_though_nobody_reads() {
    let folder = TempDir::new().unwrap();
    let file = scenario(folder.path());
    let text = fs::read_to_string(&file).unwrap() + "\n[[expect]]\nmetric = \"rounds\"\nmin = 1000\n";
    fs::write(&file, text).unwrap();
    let mut command = cotune();
    command
        .arg("run")
        .arg(&file)
        .args(["--no-train", "--json", "-q", "--runs"])
        .arg(folder.path().join("runs"));
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(3));
}

/// What a disk does that is full when all is simulated: here a folder lies where the report has to be.
#[test]
fn results_that_cannot_be_written_fail_a_run_that_goes_on() {
    let folder = TempDir::new().unwrap();
    let runs = folder.path().join("runs");
    let child = under_way(folder.path(), &runs);
    let report = only_run(&runs).join("report.html");
    fs::create_dir(&report).unwrap();
    let output = child.wait_with_output().unwrap();
    fs::remove_dir(&report).unwrap();
    assert_log_is_whole(&only_run(&runs));
    assert_eq!(json(&only_run(&runs).join("summary.json"))["status"], "failed");
    assert_goes_on(&runs, &output, "go on with cotune run --resume");
}

/// A run's folder may come from anyone: what its links lead to is nobody's to write to.
#[cfg(unix)]
#[test]
fn a_run_goes_on_without_writing_through_its_links() {
    use std::os::unix::fs::symlink;
    let folder = TempDir::new().unwrap();
    let runs = folder.path().join("runs");
    let mut child = under_way(folder.path(), &runs);
    child.kill().unwrap();
    child.wait().unwrap();
    let (run, mine) = (only_run(&runs), folder.path().join("mine"));
    fs::write(&mine, "precious").unwrap();
    for file in [".reserve", "metrics.csv", "report.html", "tables/rounds.parquet", "tables/fleet.parquet"] {
        let _ = fs::remove_file(run.join(file));
        symlink(&mine, run.join(file)).unwrap();
    }
    let left = run.join(".report.html.0123456789abcdef.part");
    fs::write(&left, "half a rep").unwrap();
    symlink(folder.path().join("adapters"), run.join("adapters")).unwrap();
    let refused = resume(&runs);
    assert_eq!(refused.status.code(), Some(2), "{}", said(&refused));
    assert!(said(&refused).contains("is a link"), "{}", said(&refused));
    fs::remove_file(run.join("adapters")).unwrap();
    let resumed = resume(&runs);
    assert_eq!(resumed.status.code(), Some(0), "{}", said(&resumed));
    assert_eq!(json(&run.join("summary.json"))["digest"], *UNDISTURBED);
    assert_eq!(fs::read_to_string(&mine).unwrap(), "precious");
    assert!(!left.exists(), "what a kill left is removed");
}

/// What a program sees of a clock that is fifteen months behind and ahead in turn, whenever it looks.
#[cfg(target_os = "linux")]
const JUMPING_CLOCK: &str = r"
#define _GNU_SOURCE
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
int clock_gettime(clockid_t clock, struct timespec *now) {
    static int looks;
    int failed = syscall(SYS_clock_gettime, clock, now);
    if (!failed && clock == CLOCK_REALTIME)
        now->tv_sec += __sync_fetch_and_add(&looks, 1) % 2 ? 40000000 : -40000000;
    return failed;
}
";

/// The wall clock jumps between any two looks at it; the one that only runs forward cannot.
#[cfg(target_os = "linux")]
#[test]
fn a_clock_that_jumps_whenever_it_is_looked_at_changes_nothing() {
    let folder = TempDir::new().unwrap();
    let (source, clock) = (folder.path().join("clock.c"), folder.path().join("clock.so"));
    fs::write(&source, JUMPING_CLOCK).unwrap();
    let compiled = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&clock).arg(&source).output();
    if !compiled.is_ok_and(|compiled| compiled.status.success()) {
        println!("skipped: there is no C compiler (cc)");
        return;
    }
    let runs = folder.path().join("runs");
    let mut command = run(folder.path(), &runs);
    command.env("LD_PRELOAD", &clock);
    let mut child = begun(command, &runs);
    child.kill().unwrap();
    child.wait().unwrap();
    let manifest = only_run(&runs).join("run.json");
    let told = json(&manifest)["started_unix_ms"].as_u64().expect("it says when it began");
    let written = fs::metadata(&manifest).unwrap().modified().unwrap();
    let written = written.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    assert!((told / 1000).abs_diff(written) > 30_000_000, "its clock did not jump: {told} ms");
    let mut command = cotune();
    command.args(["run", "--resume", "latest", "-q", "--runs"]).arg(&runs).env("LD_PRELOAD", &clock);
    let resumed = command.output().unwrap();
    assert_eq!(resumed.status.code(), Some(0), "{}", said(&resumed));
    assert_eq!(json(&only_run(&runs).join("summary.json"))["digest"], *UNDISTURBED);
}

/// A clock that was wrong when a run began: nothing of it depends on that.
#[test]
fn a_run_that_began_at_any_time_goes_on() {
    let folder = TempDir::new().unwrap();
    for began in ["0", "18446744073709551615"] {
        let runs = folder.path().join(began);
        let mut child = under_way(folder.path(), &runs);
        child.kill().unwrap();
        child.wait().unwrap();
        let manifest = only_run(&runs).join("run.json");
        let mut told = json(&manifest);
        told["started_unix_ms"] = serde_json::from_str(began).unwrap();
        fs::write(&manifest, told.to_string()).unwrap();
        let resumed = resume(&runs);
        assert_eq!(resumed.status.code(), Some(0), "{}", said(&resumed));
        assert_eq!(json(&only_run(&runs).join("summary.json"))["digest"], *UNDISTURBED);
    }
}

/// Out of memory would kill the process: what a party cannot hold is refused before anything is written.
#[test]
fn a_model_that_does_not_fit_is_refused_before_a_run_begins() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("tiny.toml");
    fs::write(&file, tiny_text(&co_plms(""))).unwrap();
    for (key, whose) in [("fleet.class.gateway.memory", "[fleet.class.gateway]"), ("cloud.memory", "cloud")] {
        let runs = folder.path().join("runs");
        let mut command = cotune();
        command.arg("run").arg(&file).args(["--set", &format!("{key}=\"1KiB\""), "--runs"]).arg(&runs);
        let output = command.output().unwrap();
        let told = said(&output);
        assert_eq!(output.status.code(), Some(2), "{key}: {told}");
        assert!(told.contains(whose) && told.contains("GiB of memory"), "{key}: {told}");
        assert_eq!(fs::read_dir(&runs).map_or(0, Iterator::count), 0, "{key}: something was written");
    }
}
