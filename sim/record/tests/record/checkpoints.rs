use std::fs;
use std::path::PathBuf;

use cotune_kernel::codec;
use cotune_record::checkpoint::{CHECKPOINT_FORMAT, CheckpointError, Checkpoints, Header, read};
use cotune_record::{Digest, EventDigest, LogPosition, RunDirectory};
use tempfile::TempDir;

fn header(events: u64) -> Header {
    Header {
        format: CHECKPOINT_FORMAT,
        version: "0.1.0".into(),
        commit: "0123abc".into(),
        scenario_digest: Digest::of(b"scenario"),
        events,
        seconds: 1.5,
    }
}

fn position() -> LogPosition {
    LogPosition { bytes: 77, digest: EventDigest::new() }
}

/// Three checkpoints in a folder, of which the last two are there.
fn three() -> (TempDir, Checkpoints, Vec<PathBuf>) {
    let folder = tempfile::tempdir().unwrap();
    let checkpoints = Checkpoints::of(&RunDirectory::at(folder.path()));
    for events in [9, 10_000_000, 200] {
        checkpoints.write(&header(events), &position(), &vec![events; 100]).unwrap();
    }
    let files = checkpoints.newest_first().unwrap();
    (folder, checkpoints, files)
}

fn state(path: &std::path::Path) -> Result<Vec<u64>, CheckpointError> {
    read(path, Digest::of(b"scenario")).map(|checkpoint| checkpoint.state)
}

#[test]
fn the_last_two_are_kept_and_read_back() {
    let (_folder, checkpoints, files) = three();
    assert_eq!(files.len(), 2);
    let newest = read::<Vec<u64>>(&files[0], Digest::of(b"scenario")).unwrap();
    assert_eq!(newest.header, header(10_000_000));
    assert_eq!((newest.position, newest.state), (position(), vec![10_000_000; 100]));
    assert_eq!(state(&files[1]).unwrap(), vec![200; 100]);
    checkpoints.clear().unwrap();
    assert!(checkpoints.newest_first().unwrap().is_empty());
    checkpoints.clear().unwrap();
}

#[test]
fn any_flipped_bit_and_any_cut_is_found() {
    let (_folder, _, files) = three();
    let whole = fs::read(&files[0]).unwrap();
    for at in (0..whole.len()).step_by(7) {
        let mut flipped = whole.clone();
        flipped[at] ^= 1 << (at % 8);
        fs::write(&files[0], &flipped).unwrap();
        assert!(state(&files[0]).is_err_and(|error| error.is_damage()), "a flipped bit of byte {at}");
        fs::write(&files[0], &whole[..at]).unwrap();
        assert!(state(&files[0]).is_err_and(|error| error.is_damage()), "cut to {at} bytes");
    }
    fs::write(&files[0], [whole.as_slice(), b"more"].concat()).unwrap();
    assert!(state(&files[0]).is_err(), "something behind it");
}

#[cfg(target_os = "linux")]
#[test]
fn one_without_an_end_is_not_read_to_it() {
    let error = read::<Vec<u64>>(std::path::Path::new("/dev/zero"), Digest::of(b"scenario")).unwrap_err();
    assert!(error.to_string().contains("/dev/zero"), "{error}");
}

#[test]
fn another_version_is_named_and_another_run_refused() {
    let (_folder, _, files) = three();
    let other = Header { format: 99, version: "7.0.0".into(), ..header(1) };
    // What follows the header need not be anything that this build knows.
    fs::write(&files[0], codec::encode(2, &other).unwrap()).unwrap();
    let error = state(&files[0]).unwrap_err();
    let told = error.to_string();
    assert!(told.contains("cotune 7.0.0 (commit 0123abc)") && told.contains("99"), "{told}");
    assert!(!error.is_damage());
    // Nor need the header end where this build's does.
    fs::write(&files[0], codec::encode(2, &(&other, "one field more", 7_u64)).unwrap()).unwrap();
    let error = state(&files[0]).unwrap_err();
    assert_eq!(error.to_string(), told);
    assert!(!error.is_damage());
    let error = read::<Vec<u64>>(&files[1], Digest::of(b"another")).unwrap_err();
    assert!(matches!(error, CheckpointError::OtherScenario { .. }), "{error}");
}

#[test]
fn a_full_disk_leaves_what_was_there() {
    let (folder, checkpoints, files) = three();
    // A folder where the file is to be: renaming onto it fails as writing to a full disk would.
    let blocked = folder.path().join("checkpoints/000000000300.checkpoint/x");
    fs::create_dir_all(&blocked).unwrap();
    assert!(checkpoints.write(&header(300), &position(), &vec![0_u64]).is_err());
    assert_eq!(state(&files[0]).unwrap(), vec![10_000_000; 100]);
    let left: Vec<_> = fs::read_dir(folder.path().join("checkpoints")).unwrap().map(Result::unwrap).collect();
    assert_eq!(left.len(), 3, "no part of a file stays behind: {left:?}");
}
