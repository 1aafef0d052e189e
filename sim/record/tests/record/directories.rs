use std::fs;
use std::path::Path;

use cotune_record::run_id::{list, resolve};
use cotune_record::{
    Digest, FORMAT, Manifest, RunDirectory, RunDirectoryError, RunIdError, Status, tabulate,
    write_metrics_csv,
};

use crate::common;

const MINUTE: u64 = 1_735_689_540; // 2024-12-31 23:59 UTC

fn manifest(started_unix_ms: u64) -> Manifest {
    Manifest {
        format: FORMAT,
        status: Status::Running,
        name: "demo".into(),
        seed: 1,
        scenario_digest: Digest::of(b"scenario"),
        version: "0.1.0".into(),
        commit: String::new(),
        platform: "linux-x86_64".into(),
        cpu_features: vec!["avx2".into()],
        device: "cpu".into(),
        threads: 2,
        train: true,
        stacks: false,
        scenario_dir: String::new(),
        data_dir: String::new(),
        matched: String::new(),
        doubts: Vec::new(),
        command: "cotune run demo.toml".into(),
        started_unix_ms,
        warnings: Vec::new(),
    }
}

fn start(runs: &Path, name: &str, unix: u64) -> RunDirectory {
    let directory = RunDirectory::create_at(runs, name, Digest::of(b"scenario"), unix).unwrap();
    directory.write_manifest(&manifest(unix * 1000)).unwrap();
    directory
}

#[test]
fn two_runs_of_one_minute_get_two_folders() {
    let folder = tempfile::tempdir().unwrap();
    let runs = folder.path().join("deep/runs");
    let hex = &Digest::of(b"scenario").to_hex()[..4];
    let ids: Vec<String> = (0..3).map(|_| start(&runs, "City Clinics", MINUTE).id()).collect();
    let first = format!("20241231-2359-city-clinics-{hex}");
    assert_eq!(ids, [first.clone(), format!("{first}-2"), format!("{first}-3")]);
}

#[test]
fn a_new_folder_holds_nothing_but_empty_folders() {
    let folder = tempfile::tempdir().unwrap();
    let run = RunDirectory::create(folder.path(), "demo", Digest::of(b"scenario")).unwrap();
    let mut names: Vec<_> = fs::read_dir(run.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["tables"]);
}

#[test]
fn files_are_replaced_whole_and_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let run = start(folder.path(), "demo", MINUTE);
    let complete = Manifest { status: Status::Complete, ..manifest(5) };
    run.write_manifest(&complete).unwrap();
    assert_eq!(run.manifest().unwrap(), complete);
    let verbatim = b"# odd bytes \xff\r\n";
    run.write_scenario(verbatim, b"{}").unwrap();
    assert_eq!(fs::read(run.scenario_path()).unwrap(), verbatim);
    let leftovers = fs::read_dir(run.path())
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().ends_with(".part"));
    assert_eq!(leftovers.count(), 0);
}

#[test]
fn a_place_that_cannot_hold_runs_is_refused_before_any_work() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("runs");
    fs::write(&file, b"not a folder").unwrap();
    let error = RunDirectory::create(&file, "demo", Digest::of(b"x")).unwrap_err();
    assert!(matches!(error, RunDirectoryError::Io { action: "create", .. }), "{error}");

    let read_only = Path::new("/proc/cotune");
    if Path::new("/proc/self").exists() {
        let error = RunDirectory::create(read_only, "demo", Digest::of(b"x")).unwrap_err().to_string();
        assert!(error.contains("/proc/cotune"), "{error}");
    }
}

#[test]
fn a_run_is_found_by_id_beginning_path_and_age() {
    let folder = tempfile::tempdir().unwrap();
    let runs = folder.path();
    let old = start(runs, "zebra", MINUTE);
    let young = start(runs, "apple", MINUTE + 120);
    fs::create_dir(runs.join("not-a-run")).unwrap();
    assert_eq!(list(runs).unwrap(), [old.clone(), young.clone()]);
    assert_eq!(resolve(runs, "latest").unwrap(), young);
    assert_eq!(resolve(runs, &old.id()).unwrap(), old);
    assert_eq!(resolve(runs, "20241231").unwrap(), old);
    assert_eq!(resolve(runs, &old.path().display().to_string()).unwrap(), old);
    let error = resolve(runs, "202").unwrap_err();
    assert!(matches!(&error, RunIdError::Ambiguous { candidates, .. } if candidates.len() == 2), "{error}");
    let error = resolve(runs, "1999").unwrap_err();
    assert!(error.to_string().ends_with(&format!("the latest is {}", young.id())), "{error}");
    let error = resolve(runs, "/nowhere").unwrap_err();
    assert!(matches!(error, RunIdError::NotARun { .. }), "{error}");
    let error = resolve(&runs.join("none"), "latest").unwrap_err();
    assert!(matches!(error, RunIdError::Empty { .. }), "{error}");
}

#[test]
fn the_first_folder_of_a_minute_is_found_by_its_full_id() {
    let folder = tempfile::tempdir().unwrap();
    let first = start(folder.path(), "demo", MINUTE);
    let second = start(folder.path(), "demo", MINUTE);
    second.write_manifest(&manifest(MINUTE * 1000 + 1)).unwrap();
    assert_eq!(resolve(folder.path(), &first.id()).unwrap(), first);
    assert_eq!(resolve(folder.path(), "latest").unwrap(), second);
}

/// A run's folder may come from anyone: what its links lead to stays as it is.
#[cfg(unix)]
#[test]
fn nothing_is_written_through_the_links_of_a_run() {
    use std::os::unix::fs::symlink;
    let folder = tempfile::tempdir().unwrap();
    let mine = folder.path().join("mine");
    fs::write(&mine, "precious").unwrap();
    let run = start(folder.path(), "demo", MINUTE);
    let files = [run.metrics_path(), run.tables().join("rounds.parquet"), run.tables().join("rounds.csv")];
    files.iter().for_each(|file| symlink(&mine, file).unwrap());
    let tables = tabulate(&common::run()).unwrap();
    tables.write_parquet(&run.tables()).unwrap();
    tables.write_csv(&run.tables()).unwrap();
    write_metrics_csv(&[], &run.metrics_path()).unwrap();
    assert_eq!(fs::read_to_string(&mine).unwrap(), "precious");
    assert!(files.iter().all(|file| fs::symlink_metadata(file).unwrap().is_file()));

    for name in [".claim", "checkpoints", "adapters"] {
        let link = run.path().join(name);
        symlink(folder.path().join("elsewhere"), &link).unwrap();
        let error = run.claim().unwrap_err();
        assert!(matches!(&error, RunDirectoryError::Link { path } if *path == link), "{error}");
        fs::remove_file(&link).unwrap();
    }
    assert!(!folder.path().join("elsewhere").exists());
    run.claim().unwrap();
}

#[test]
fn what_a_kill_left_of_a_file_is_removed_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let run = start(folder.path(), "demo", MINUTE);
    let checkpoints = run.path().join("checkpoints");
    run.tidy().unwrap();
    fs::create_dir(&checkpoints).unwrap();
    let kept = [run.path().join("of-mine.part"), checkpoints.join("000000000007.checkpoint")];
    let left = [
        run.path().join(".run.json.0123456789abcdef.part"),
        run.tables().join(".rounds.parquet.0123456789abcdef.part"),
        checkpoints.join(".000000000009.checkpoint.0123456789abcdef.part"),
    ];
    kept.iter().chain(&left).for_each(|path| fs::write(path, "bytes").unwrap());
    run.tidy().unwrap();
    assert!(kept.iter().all(|path| path.exists()) && left.iter().all(|path| !path.exists()));
}
