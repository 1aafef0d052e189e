//! One run on the ranks of an MPI job has the digest of one process, and a rank that dies costs nothing but time.
//!
//! `COTUNE_MPI` names a cotune that was built with `--features mpi`:
//! `cargo build --release --locked --features mpi && cp target/release/cotune target/cotune-mpi`. Without it, or without `mpirun`,
//! these tests say so and pass, unless `COTUNE_REQUIRE_MPI=1` says that there have to be both.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use cotune_tests::{co_plms, cotune, only_run, tiny_text};
use serde_json::Value;
use tempfile::TempDir;

/// The binary with MPI, if it and `mpirun` are there.
pub fn binary() -> Option<PathBuf> {
    let binary = std::env::var_os("COTUNE_MPI").map(PathBuf::from).filter(|path| path.is_file());
    let starter = Command::new("mpirun").arg("--version").output();
    if binary.is_some() && starter.is_ok() {
        return binary;
    }
    let missing = "COTUNE_MPI names no cotune with MPI, or there is no mpirun";
    assert!(std::env::var_os("COTUNE_REQUIRE_MPI").is_none_or(|value| value != "1"), "{missing}");
    println!("skipped: {missing}");
    None
}

/// `cotune run …` on so many ranks of so many threads each.
pub fn on(binary: &Path, ranks: usize, threads: usize) -> Command {
    let mut command = Command::new("mpirun");
    command.args(["--allow-run-as-root", "--oversubscribe", "--bind-to", "none", "-n", &ranks.to_string()]);
    command.arg(binary).args(["run", "-q", "-j", &threads.to_string()]);
    command
}

fn scenario(folder: &Path) -> PathBuf {
    let path = folder.join("tiny.toml");
    let text = tiny_text(&format!("{}[coordination.buffered]\nconcurrency = 3\nbuffer = 2\n", co_plms("")));
    fs::write(&path, text.replace("[budget]\nrounds = 2", "[budget]\nrounds = 8")).unwrap();
    path
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn digest(runs: &Path) -> Value {
    let summary: Value =
        serde_json::from_slice(&fs::read(only_run(runs).join("summary.json")).unwrap()).unwrap();
    summary["digest"].clone()
}

#[test]
fn the_digest_is_that_of_one_process_on_any_number_of_ranks() {
    let Some(binary) = binary() else { return };
    let folder = TempDir::new().unwrap();
    let file = scenario(folder.path());
    let mut digests = Vec::new();
    for ranks in 1..=3 {
        let runs = folder.path().join(ranks.to_string());
        let output = on(&binary, ranks, 1).arg(&file).arg("--runs").arg(&runs).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{ranks} ranks: {}", said(&output));
        assert_eq!(
            String::from_utf8_lossy(&output.stdout).lines().count(),
            1,
            "only rank 0 says where the run is"
        );
        digests.push(digest(&runs));
    }
    assert!(digests.iter().all(|digest| *digest == digests[0]), "{digests:#?}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_rank_that_dies_ends_a_run_that_goes_on_from_its_last_checkpoint() {
    let Some(binary) = binary() else { return };
    let folder = TempDir::new().unwrap();
    let (file, runs, whole) =
        (scenario(folder.path()), folder.path().join("runs"), folder.path().join("whole"));
    let mut child =
        on(&binary, 2, 1).arg(&file).arg("--runs").arg(&runs).stderr(Stdio::null()).spawn().unwrap();
    let has_checkpoint = || {
        fs::read_dir(&runs)
            .is_ok_and(|mut runs| runs.any(|run| run.unwrap().path().join("checkpoints").is_dir()))
    };
    while !has_checkpoint() {
        assert!(child.try_wait().unwrap().is_none(), "it ended before its first checkpoint");
        thread::sleep(Duration::from_millis(5));
    }
    let worker = processes_with("OMPI_COMM_WORLD_RANK=1", &runs).expect("rank 1 is a process");
    assert!(Command::new("kill").args(["-KILL", &worker]).status().unwrap().success());
    assert_ne!(child.wait().unwrap().code(), Some(0), "mpirun says that a rank died, and does not hang");

    let output = on(&binary, 3, 1).args(["--resume", "latest", "--runs"]).arg(&runs).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let alone =
        Command::new(&binary).arg("run").arg(&file).args(["-q", "--runs"]).arg(&whole).output().unwrap();
    assert_eq!(alone.status.code(), Some(0), "{}", said(&alone));
    assert_eq!(digest(&runs), digest(&whole));
}

/// The others would wait for its outcomes for ever.
#[test]
fn a_rank_that_cannot_work_ends_all_of_them_with_its_reason() {
    let Some(binary) = binary() else { return };
    let folder = TempDir::new().unwrap();
    let file = scenario(folder.path());
    let runs = folder.path().join("runs");
    let mut command = on(&binary, 1, 1);
    command.arg(&file).arg("--runs").arg(&runs).args([":", "-n", "1"]).arg(&binary);
    command.args(["run", "-q"]).arg(folder.path().join("missing.toml")).arg("--runs").arg(&runs);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let hung = (0..600).all(|_| {
        thread::sleep(Duration::from_millis(100));
        child.try_wait().unwrap().is_none()
    });
    child.kill().unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(!hung, "the ranks wait for each other: {}", said(&output));
    assert_ne!(output.status.code(), Some(0));
    assert!(said(&output).contains("missing.toml"), "{}", said(&output));
}

/// The process with a variable in its environment and these runs on its command line.
#[cfg(target_os = "linux")]
fn processes_with(variable: &str, runs: &Path) -> Option<String> {
    let processes = fs::read_dir("/proc").unwrap().filter_map(|entry| Some(entry.ok()?.path()));
    let has = |path: PathBuf, what: &str| {
        let bytes = fs::read(path).unwrap_or_default();
        bytes.split(|byte| *byte == 0).any(|word| word == what.as_bytes())
    };
    let mut found = processes.filter(|process| {
        has(process.join("environ"), variable) && has(process.join("cmdline"), runs.to_str().unwrap())
    });
    Some(found.next()?.file_name()?.to_str()?.to_owned())
}

#[test]
fn a_build_without_mpi_refuses_to_run_everything_on_every_rank() {
    let output = cotune().args(["run", "any.toml"]).env("OMPI_COMM_WORLD_SIZE", "2").output().unwrap();
    let told = said(&output);
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(told.contains("built without MPI") && told.contains("--features mpi"), "{told}");
}
