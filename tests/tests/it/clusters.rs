//! The files in `scenarios/clusters/` do what they say. Those for Slurm and HyperQueue are carried out with a stand-in for the scheduler
//! that starts its tasks one after the other. Those for Kubernetes are parsed and held to the fields that their kind has, and the
//! `cotune` of their containers is carried out.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use cotune_tests::{cotune, workspace};
use serde_json::Value;
use tempfile::TempDir;
use yaml_rust2::{Yaml, YamlLoader};

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

/// A folder of stand-ins, to be put before everything else in `PATH`: `srun` starts what it is given and notes how it was asked to,
/// `hq` starts it once for each number of its array, and `cotune` is the one under test.
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

/// The only object in a file for Kubernetes.
fn object(file: &str, version: &str, kind: &str) -> Yaml {
    let text = fs::read_to_string(clusters().join(file)).unwrap();
    let objects = YamlLoader::load_from_str(&text).unwrap_or_else(|error| panic!("{file}: {error}"));
    let [object] = &objects[..] else { panic!("{file} has {} objects", objects.len()) };
    has_keys(object, file, &["apiVersion", "kind", "metadata", "spec"], &[]);
    has_keys(&object["metadata"], "its metadata", &["name"], &[]);
    assert_eq!((text_of(object, "apiVersion"), text_of(object, "kind")), (version, kind));
    let is_plain = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-';
    assert!(text_of(&object["metadata"], "name").chars().all(is_plain), "no name of an object");
    object.clone()
}

/// Sees that a mapping has these keys, perhaps those, and no other, which the server would refuse.
fn has_keys(mapping: &Yaml, what: &str, required: &[&str], allowed: &[&str]) {
    let entries = mapping.as_hash().unwrap_or_else(|| panic!("{what} is no mapping"));
    let keys: Vec<&str> = entries.keys().map(|key| key.as_str().expect("a key is a text")).collect();
    for key in required {
        assert!(keys.contains(key), "{what} has no `{key}`");
    }
    for key in &keys {
        assert!(required.contains(key) || allowed.contains(key), "{what} has a key `{key}`");
    }
}

/// The text under a key; a number or a truth is none.
fn text_of<'y>(mapping: &'y Yaml, key: &str) -> &'y str {
    mapping[key].as_str().unwrap_or_else(|| panic!("`{key}` is no text: {:?}", mapping[key]))
}

/// The items of a list; of what is not there, none.
fn items(list: &Yaml) -> &[Yaml] {
    list.as_vec().map(Vec::as_slice).unwrap_or_default()
}

/// Sees that a template of pods with one container is sound. Returns the words of its command, if it has one.
fn command_of(template: &Yaml, what: &str) -> Vec<String> {
    has_keys(template, what, &["spec"], &["metadata"]);
    let spec = &template["spec"];
    let allowed = ["restartPolicy", "terminationGracePeriodSeconds", "volumes"];
    has_keys(spec, what, &["containers"], &allowed);
    let mut volumes = Vec::new();
    for volume in items(&spec["volumes"]) {
        has_keys(volume, "a volume", &["name", "persistentVolumeClaim"], &[]);
        has_keys(&volume["persistentVolumeClaim"], "a claim", &["claimName"], &[]);
        volumes.push(text_of(volume, "name"));
    }
    let [container] = items(&spec["containers"]) else { panic!("{what} has one container") };
    has_keys(container, what, &["name", "image"], &["command", "resources", "volumeMounts"]);
    let image = text_of(container, "image");
    assert!(image.split_once(':').is_some_and(|(name, tag)| !name.is_empty() && !tag.is_empty()), "{image}");
    for mount in items(&container["volumeMounts"]) {
        has_keys(mount, "a mount", &["name", "mountPath"], &[]);
        assert!(volumes.contains(&text_of(mount, "name")), "{what} mounts what is no volume: {mount:?}");
        assert!(text_of(mount, "mountPath").starts_with('/'), "{mount:?}");
    }
    for amounts in ["requests", "limits"].map(|key| &container["resources"][key]) {
        for (resource, amount) in amounts.as_hash().into_iter().flatten() {
            let amount = amount.as_str().unwrap_or_else(|| panic!("{resource:?} is no text"));
            let unit = amount.trim_start_matches(|letter: char| letter.is_ascii_digit());
            let is_known = ["", "m", "Ki", "Mi", "Gi", "Ti"].contains(&unit);
            assert!(is_known && unit.len() < amount.len(), "{resource:?} is `{amount}`");
        }
    }
    let words = items(&container["command"]).iter();
    words.map(|word| word.as_str().unwrap_or_else(|| panic!("{word:?} is no text")).to_owned()).collect()
}

#[test]
fn an_indexed_job_of_kubernetes_runs_the_point_of_its_index() {
    let folder = TempDir::new().unwrap();
    let runs = folder.path().join("runs");
    let job = object("kubernetes-sweep.yaml", "batch/v1", "Job");
    let spec = &job["spec"];
    let required = ["completionMode", "completions", "template"];
    has_keys(spec, "the job", &required, &["parallelism", "backoffLimitPerIndex"]);
    assert_eq!(text_of(spec, "completionMode"), "Indexed", "no other job's pods have an index");
    let points = i64::try_from(POINTS).unwrap();
    assert_eq!(spec["completions"].as_i64(), Some(points), "as many as the sweep it names has points");
    assert!(spec["parallelism"].as_i64().is_some_and(|pods| (1..=points).contains(&pods)));
    // A job refuses `Always`, and a limit for each index goes with `Never` alone.
    assert_eq!(text_of(&spec["template"]["spec"], "restartPolicy"), "Never");
    let words = command_of(&spec["template"], "the job's pod");
    assert_eq!(words[0], "cotune");
    for index in [0, 4] {
        let words = words[1..].iter().map(|word| word.replace("/runs", runs.to_str().unwrap()));
        let mut command = cotune();
        command.args(words).args(["--smoke", "--no-train"]).current_dir(workspace());
        let output = command.env("JOB_COMPLETION_INDEX", index.to_string()).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    }
    assert_eq!(complete(&runs), 2);
}

/// What the launcher of the MPI Operator's job starts, once the job is found to be sound.
fn words_of_the_launcher() -> Vec<String> {
    let job = object("kubernetes-mpi.yaml", "kubeflow.org/v2beta1", "MPIJob");
    let spec = &job["spec"];
    has_keys(spec, "the job", &["mpiReplicaSpecs", "slotsPerWorker"], &["runPolicy"]);
    has_keys(&spec["runPolicy"], "its policy", &["cleanPodPolicy"], &[]);
    assert!(["None", "Running", "All"].contains(&text_of(&spec["runPolicy"], "cleanPodPolicy")));
    let replicas = &spec["mpiReplicaSpecs"];
    has_keys(replicas, "the job's replicas", &["Launcher", "Worker"], &[]);
    let [(launcher, words), (worker, nothing)] = ["Launcher", "Worker"].map(|role| {
        has_keys(&replicas[role], role, &["replicas", "template"], &["restartPolicy"]);
        (&replicas[role], command_of(&replicas[role]["template"], role))
    });
    let image = |of: &Yaml| text_of(&of["template"]["spec"]["containers"][0], "image").to_owned();
    assert_eq!(image(launcher), image(worker), "ranks are of one build");
    assert!(nothing.is_empty(), "a worker listens, and starts what mpirun tells it to");
    assert_eq!(launcher["replicas"].as_i64(), Some(1));
    assert_eq!(words[0], "mpirun");
    let ranks = words.iter().skip_while(|word| *word != "-n").nth(1).expect("it says how many ranks");
    let slots = worker["replicas"].as_i64().zip(spec["slotsPerWorker"].as_i64());
    let slots = slots.map(|(workers, slots)| workers * slots);
    assert_eq!(ranks.parse::<i64>().ok(), slots, "a rank for every slot");
    words
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
    let words = words_of_the_launcher();
    let ours = words.iter().position(|word| word == "cotune").expect("mpirun starts cotune");
    let words = words[ours + 1..].iter().map(|word| word.replace("/runs", runs.to_str().unwrap()));
    let output =
        cotune().args(words).args(["--smoke", "--no-train"]).current_dir(workspace()).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert_eq!(fs::read_dir(&runs).unwrap().count(), 2);
}
