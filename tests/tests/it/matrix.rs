//! One digest for every way of carrying a run out, every way crossed with every other:
//! {threads 1, 2, 4} × {actors active, all} × {one process, 2 MPI ranks, 3 MPI ranks} × {straight, cut and resumed} × {chaos off, on}.
//!
//! The scenario is the quickstart at smoke size: three families, a relay set, dropouts, crashes, over-selection. What is cut goes on
//! with another number of threads. The columns of MPI need `COTUNE_MPI`, as `mpi.rs` says.
//!
//! `COTUNE_REQUIRE_MPI=1 COTUNE_MPI=target/cotune-mpi cargo test --release --workspace --locked --test it -- matrix::`

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use cotune_tests::{cotune, json, workspace};
use serde_json::Value;
use tempfile::TempDir;

use crate::mpi;

const THREADS: [usize; 3] = [1, 2, 4];

/// How often a run is begun again that has ended before it could be cut.
const TRIES: usize = 5;

/// One way of carrying the run out.
#[derive(Clone, Copy, Debug)]
struct Cell {
    threads: usize,
    actors: &'static str,
    /// MPI ranks; 1 for one process.
    ranks: usize,
    cut: bool,
    chaos: bool,
}

/// All of them on these numbers of ranks.
fn cells(ranks: &[usize]) -> Vec<Cell> {
    let mut cells = Vec::new();
    for &ranks in ranks {
        for threads in THREADS {
            for actors in ["active", "all"] {
                for (cut, chaos) in [(false, false), (false, true), (true, false), (true, true)] {
                    cells.push(Cell { threads, actors, ranks, cut, chaos });
                }
            }
        }
    }
    cells
}

impl Cell {
    /// `cotune run …` as this cell has it.
    fn command(self, mpi: Option<&Path>, threads: usize) -> Command {
        let mut command = match (self.ranks, mpi) {
            (1, _) => {
                let mut command = cotune();
                command.args(["run", "-q", "-j", &threads.to_string()]);
                command
            }
            (ranks, Some(binary)) => mpi::on(binary, ranks, threads),
            (_, None) => unreachable!("cells with several ranks are there with a binary for them alone"),
        };
        command.args(self.chaos.then_some("--chaos"));
        command
    }

    /// The whole command line of the run, recorded under `runs`.
    fn run(self, mpi: Option<&Path>, runs: &Path) -> Command {
        let mut command = self.command(mpi, self.threads);
        command.arg(workspace().join("scenarios/quickstart.toml")).arg("--smoke").arg("--runs").arg(runs);
        command.args(["--set", &format!("simulation.actors=\"{}\"", self.actors)]);
        command
    }

    /// Carries the run out in a folder of its own and returns its summary, without what this computer has to do with.
    fn summary(self, mpi: Option<&Path>, folder: &Path) -> Value {
        let runs = folder.join(format!("{self:?}"));
        if self.cut {
            assert!(
                (0..TRIES).any(|_| self.cuts(mpi, &runs)),
                "{self:?} ended {TRIES} times before it was cut"
            );
            let next =
                THREADS[(THREADS.iter().position(|n| *n == self.threads).unwrap() + 1) % THREADS.len()];
            let mut resumed = self.command(mpi, next);
            self.succeeds(resumed.args(["--resume", "latest", "--runs"]).arg(&runs));
        } else {
            self.succeeds(&mut self.run(mpi, &runs));
        }
        let mut summary = json(&only_run(&runs).expect("there is a run").join("summary.json"));
        summary["wall"].take();
        fs::remove_dir_all(runs).unwrap();
        summary
    }

    /// Begins the run and tells it to stop once its first round is over. False, and nothing is left of it, if it was faster.
    fn cuts(self, mpi: Option<&Path>, runs: &Path) -> bool {
        let mut command = self.run(mpi, runs);
        let mut child =
            command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it can be started");
        let has_checkpoint = || {
            let files = only_run(runs).and_then(|run| fs::read_dir(run.join("checkpoints")).ok());
            files
                .into_iter()
                .flatten()
                .flatten()
                .any(|file| file.path().extension().is_some_and(|end| end == "checkpoint"))
        };
        while !has_checkpoint() && child.try_wait().unwrap().is_none() {
            thread::sleep(Duration::from_millis(1));
        }
        // mpirun, told to stop while its ranks end by themselves, may wait for ever (Open MPI 4.1): rank 0 is told.
        let simulating = if self.ranks > 1 { mpi::process(0, runs) } else { Some(child.id().to_string()) };
        if let Some(process) = simulating {
            let told = Command::new("kill").args(["-TERM", &process]).stderr(Stdio::null()).status();
            assert!(told.is_ok(), "there is kill");
        }
        child.wait().unwrap();
        let is_cut = has_checkpoint()
            && only_run(runs).is_some_and(|run| json(&run.join("run.json"))["status"] != "complete");
        if !is_cut {
            fs::remove_dir_all(runs).unwrap();
        }
        is_cut
    }

    fn succeeds(self, command: &mut Command) {
        let output = command.output().expect("it can be started");
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{self:?}: {told}");
    }
}

fn only_run(runs: &Path) -> Option<PathBuf> {
    Some(fs::read_dir(runs).ok()?.next()?.ok()?.path())
}

#[test]
fn one_digest_whatever_must_not_matter() {
    let mpi = mpi::binary();
    let cells = cells(if mpi.is_some() { &[1, 2, 3] } else { &[1] });
    let folder = TempDir::new().unwrap();
    let reference = cells[0].summary(mpi.as_deref(), folder.path());
    for cell in &cells[1..] {
        assert_eq!(cell.summary(mpi.as_deref(), folder.path()), reference, "{cell:?}");
    }
    println!("{} ways, one digest: {}", cells.len(), reference["digest"]);
}
