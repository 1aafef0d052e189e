//! The files in `scenarios/clusters/` do what they say: each is carried out here with a stand-in for the scheduler that starts its tasks
//! one after the other.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use cotune_tests::{cotune, workspace};
use serde_json::Value;
use tempfile::TempDir;

/// Points of the sweep that ships.
const POINTS: usize = 6;

fn clusters() -> PathBuf {
    workspace().join("scenarios/clusters")
}

fn sweep() -> PathBuf {
    workspace().join("scenarios/sweeps/quickstart-methods.toml")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}

/// A folder of stand-ins, to be put before everything else in `PATH`: `srun` and `mpirun` start what they are given, `hq` starts
/// it once for each number of its array, and `cotune` is the one under test.
fn stand_ins(folder: &Path) -> std::ffi::OsString {
    let ours = cotune().get_program().to_owned();
    let bin = folder.join("bin");
    fs::create_dir_all(&bin).unwrap();
    let started =
        "printf '%s ' \"$@\" >> \"$0.said\"\nwhile [ \"${1#-}\" != \"$1\" ]; do shift; done\nexec \"$@\"\n";
    let array = "case \"$3\" in 0-*) last=${3#0-} ;; *) echo \"no array: $*\" >&2; exit 9 ;; esac\n\
                 while [ \"$1\" != -- ]; do shift; done; shift\n\
                 for task in $(seq 0 \"$last\"); do HQ_TASK_ID=$task \"$@\" || exit; done\n";
    for (name, script) in [
        ("srun", started.to_owned()),
        ("hq", array.to_owned()),
        ("cotune", format!("exec {:?} \"$@\"\n", ours.to_str().unwrap())),
    ] {
        let path = bin.join(name);
        fs::write(&path, format!("#!/bin/bash\n{script}")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let mut path = bin.into_os_string();
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap_or_default());
    path
}

/// A script of `scenarios/clusters/` with its arguments, at smoke size, its runs in `runs`.
fn script(name: &str, folder: &Path, runs: &Path) -> Command {
    let mut command = Command::new("bash");
    command.arg(clusters().join(name)).arg(sweep()).args(["--smoke", "--no-train"]);
    command.env("PATH", stand_ins(folder)).env("COTUNE_RUNS", runs);
    command
}

/// How many points of the only sweep in a folder are complete.
fn complete(runs: &Path) -> usize {
    let sweep = fs::read_dir(runs).unwrap().next().expect("a sweep's folder").unwrap().path();
    let points =
        fs::read_dir(sweep.join("points")).unwrap().map(|point| point.unwrap().path().join("run.json"));
    let status =
        |path: PathBuf| serde_json::from_slice::<Value>(&fs::read(path).unwrap()).unwrap()["status"].clone();
    points.filter(|path| path.is_file()).filter(|path| status(path.clone()) == "complete").count()
}

#[test]
fn an_array_of_slurm_runs_every_point_once() {
    let folder = TempDir::new().unwrap();
    let runs = folder.path().join("runs");
    let count = cotune().arg("sweep").arg(sweep()).arg("--count").output().unwrap();
    assert_eq!(String::from_utf8_lossy(&count.stdout).trim(), POINTS.to_string());
    for task in 0..POINTS {
        let mut task_command = script("slurm-sweep.sbatch", folder.path(), &runs);
        let output = task_command.env("SLURM_ARRAY_TASK_ID", task.to_string()).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        assert_eq!(complete(&runs), task + 1);
    }
    let outside = script("slurm-sweep.sbatch", folder.path(), &runs).output().unwrap();
    assert!(
        outside.status.code() == Some(2) && said(&outside).contains("no task of a job array"),
        "{}",
        said(&outside)
    );
    let beyond =
        script("slurm-sweep.sbatch", folder.path(), &runs).env("SLURM_ARRAY_TASK_ID", "6").output().unwrap();
    assert!(
        beyond.status.code() == Some(2) && said(&beyond).contains("points are 0 to 5"),
        "{}",
        said(&beyond)
    );
}

#[test]
fn hyperqueue_is_given_as_many_tasks_as_there_are_points() {
    let folder = TempDir::new().unwrap();
    let runs = folder.path().join("runs");
    let output = script("hyperqueue-sweep.sh", folder.path(), &runs).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert_eq!(complete(&runs), POINTS);
}

/// The words of the `command:` lines of a file for Kubernetes.
fn commands(name: &str) -> Vec<Vec<String>> {
    let text = fs::read_to_string(clusters().join(name)).unwrap();
    let lines = text.lines().filter_map(|line| line.trim().strip_prefix("command: "));
    lines.map(|words| serde_json::from_str(words).unwrap_or_else(|error| panic!("{name}: {error}"))).collect()
}

#[test]
fn an_indexed_job_of_kubernetes_runs_the_point_of_its_index() {
    let folder = TempDir::new().unwrap();
    let runs = folder.path().join("runs");
    let [words] = &commands("kubernetes-sweep.yaml")[..] else { panic!("one container, one command") };
    for index in [0, 4] {
        let words = words[1..].iter().map(|word| word.replace("/runs", runs.to_str().unwrap()));
        let mut command = cotune();
        command.args(words).args(["--smoke", "--no-train"]).current_dir(workspace());
        let output = command.env("JOB_COMPLETION_INDEX", index.to_string()).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    }
    assert_eq!(complete(&runs), 2);
    let text = fs::read_to_string(clusters().join("kubernetes-sweep.yaml")).unwrap();
    assert!(text.contains(&format!("completions: {POINTS}\n")), "as many as the sweep it names has points");
}

#[test]
fn a_run_on_many_nodes_is_the_command_that_runs_it_on_one() {
    let folder = TempDir::new().unwrap();
    let runs = folder.path().join("runs");
    let mut slurm = Command::new("bash");
    slurm.arg(clusters().join("slurm-mpi.sbatch")).arg(workspace().join("scenarios/quickstart.toml"));
    slurm.args(["--smoke", "--no-train"]).env("PATH", stand_ins(folder.path())).env("COTUNE_RUNS", &runs);
    let output = slurm.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let asked = fs::read_to_string(folder.path().join("bin/srun.said")).unwrap();
    assert!(asked.contains("--kill-on-bad-exit=1 "), "ranks that are left would wait for ever: {asked}");
    let [words] = &commands("kubernetes-mpi.yaml")[..] else { panic!("the launcher has a command") };
    let ours = words.iter().position(|word| word == "cotune").expect("mpirun starts cotune");
    assert_eq!(words[0], "mpirun");
    let words = words[ours + 1..].iter().map(|word| word.replace("/runs", runs.to_str().unwrap()));
    let output =
        cotune().args(words).args(["--smoke", "--no-train"]).current_dir(workspace()).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert_eq!(fs::read_dir(&runs).unwrap().count(), 2);
}
