//! Tells cotune which commit it is built from, for manifests and checkpoints: `COTUNE_COMMIT` where it is set, or what git says
//! of this folder, with `-dirty` behind it where sources differ from it; or nothing.

use std::env;
use std::path::Path;
use std::process::Command;

/// What cotune is built from, seen from this package.
const SOURCES: [&str; 11] = [
    "Cargo.toml",
    "build.rs",
    "src",
    "../kernel",
    "../record",
    "../report",
    "../world",
    "../../models",
    "../../scenarios",
    "../../Cargo.toml",
    "../../Cargo.lock",
];

/// Where this package lies in cotune's repository: in another one, git speaks of another project.
const PREFIX: &str = "sim/cli/";

fn main() {
    println!("cargo::rerun-if-env-changed=COTUNE_COMMIT");
    let set = env::var("COTUNE_COMMIT").ok().filter(|commit| !commit.is_empty());
    let commit = set.or_else(commit).unwrap_or_default();
    println!("cargo::rustc-env=COTUNE_COMMIT={commit}");
}

fn commit() -> Option<String> {
    if git(&["rev-parse", "--show-prefix"])? != PREFIX {
        return None;
    }
    let commit = git(&["rev-parse", "--short=12", "HEAD"])?;
    let status = git(&[&["status", "--porcelain", "--"], &SOURCES[..]].concat())?;
    watch();
    Some(if status.is_empty() { commit } else { format!("{commit}-dirty") })
}

/// Has this run again once another commit is checked out or the sources change, and never otherwise.
fn watch() {
    let head = git(&["symbolic-ref", "--quiet", "HEAD"]);
    // A branch has no file of its own while it is packed; the log of what was checked out is written in either case.
    let names = ["HEAD", "logs/HEAD"].into_iter().chain(head.as_deref());
    let git_files = names.filter_map(|name| git(&["rev-parse", "--git-path", name]));
    let files = git_files.chain(SOURCES.iter().map(|source| (*source).to_owned()));
    // Cargo takes a file that is not there for one that has changed.
    for file in files.filter(|file| Path::new(file).exists()) {
        println!("cargo::rerun-if-changed={file}");
    }
}

/// What git prints; nothing where it is not there or refuses.
fn git(arguments: &[&str]) -> Option<String> {
    let output =
        Command::new("git").args(arguments).output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim_end().to_owned())
}
