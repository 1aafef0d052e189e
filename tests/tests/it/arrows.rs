//! The arrows between packages, read from `cargo metadata`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use cargo_metadata::{DependencyKind, MetadataCommand};
use cotune_tests::workspace;

/// Who may use whom. `benches` and `tests` may use everything, and nothing uses them.
const ARROWS: [(&str, &[&str]); 7] = [
    ("cotune-kernel", &[]),
    ("cotune-scenario", &[]),
    ("cotune-models", &["cotune-kernel"]),
    ("cotune-record", &["cotune-kernel"]),
    ("cotune-report", &["cotune-record"]),
    ("cotune-world", &["cotune-kernel", "cotune-scenario", "cotune-models", "cotune-record"]),
    (
        "cotune",
        &[
            "cotune-kernel",
            "cotune-scenario",
            "cotune-models",
            "cotune-record",
            "cotune-report",
            "cotune-world",
        ],
    ),
];

/// What every package of the workspace uses, by its name.
fn dependencies(with_tests: bool) -> BTreeMap<String, BTreeSet<String>> {
    let metadata = MetadataCommand::new()
        .manifest_path(workspace().join("Cargo.toml"))
        .no_deps()
        .exec()
        .expect("cargo can describe the workspace");
    let used = |package: &cargo_metadata::Package| {
        let dependencies = package.dependencies.iter();
        dependencies
            .filter(|dependency| with_tests || dependency.kind != DependencyKind::Development)
            .map(|dependency| dependency.name.clone())
            .collect()
    };
    metadata.packages.iter().map(|package| (package.name.to_string(), used(package))).collect()
}

#[test]
fn packages_use_each_other_as_the_architecture_draws_it() {
    let dependencies = dependencies(true);
    let own = |used: &BTreeSet<String>| -> BTreeSet<String> {
        used.iter().filter(|name| name.starts_with("cotune")).cloned().collect()
    };
    for (package, allowed) in ARROWS {
        let used = own(&dependencies[package]);
        let wrong: Vec<_> = used.iter().filter(|name| !allowed.contains(&name.as_str())).collect();
        assert!(wrong.is_empty(), "{package} must not use {wrong:?}");
    }
    let known = ARROWS.iter().map(|(name, _)| *name).chain(["cotune-benches", "cotune-tests"]);
    assert_eq!(dependencies.keys().map(String::as_str).collect::<BTreeSet<_>>(), known.collect());
}

#[test]
fn burn_is_used_by_the_models_alone() {
    for (package, used) in dependencies(true) {
        // The tests write a decoder in its primitive operations, to compare with.
        let allowed = ["cotune-models", "cotune-tests"].contains(&package.as_str());
        let burns: Vec<_> = used.iter().filter(|name| name.starts_with("burn")).collect();
        assert!(allowed || burns.is_empty(), "{package} uses {burns:?}");
    }
}

#[test]
fn actix_is_used_by_the_actors_alone() {
    for (package, used) in dependencies(true) {
        // The benches measure it bare, to compare with.
        let allowed = ["cotune-world", "cotune-benches"].contains(&package.as_str());
        assert!(allowed || !used.contains("actix"), "{package} uses actix");
    }
    let actors = workspace().join("sim/world/src/actors");
    for file in sources(&workspace().join("sim/world/src")) {
        let text = fs::read_to_string(&file).expect("a source file can be read");
        let inside = file.starts_with(&actors) || file == actors.with_extension("rs");
        assert!(inside || !text.contains("actix::"), "{} uses actix", file.display());
    }
}

/// The source files of the workspace that ship, by their path in it.
fn shipped() -> Vec<(String, String)> {
    let folders = ["sim", "models/src", "scenarios/format/src"].map(|folder| workspace().join(folder));
    let files = folders.iter().flat_map(|folder| sources(folder));
    files
        .map(|file| {
            let name = file.strip_prefix(workspace()).expect("it is in the workspace").display().to_string();
            (name, fs::read_to_string(&file).expect("a source file can be read"))
        })
        .collect()
}

/// A clock that jumps can then change the name of a run and when it is said to have begun, and nothing else.
#[test]
fn the_wall_clock_names_runs_and_nothing_else() {
    let reads = |text: &str| text.contains("SystemTime::now(");
    let who = shipped().into_iter().filter(|(_, text)| reads(text)).map(|(name, _)| name);
    let known = ["sim/cli/src/machine.rs", "sim/record/src/run_directory.rs"].map(str::to_owned);
    assert_eq!(who.collect::<BTreeSet<_>>(), BTreeSet::from(known));
}

/// Files may come from anyone, and some have no end: what is read whole is read by the kernel's `bounded`.
#[test]
fn no_file_is_read_whole_without_a_limit() {
    const BOUNDED: &str = "sim/kernel/src/bounded.rs";
    for (name, text) in shipped() {
        let tests = ["/tests/", "/tests.rs", "/reference_data.rs"].iter().any(|part| name.contains(part));
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        let code = code.lines().map(str::trim_start).filter(|line| !line.starts_with("//"));
        let words = ["fs::read(", "fs::read_to_string(", ".read_to_end(", ".read_to_string("];
        let found = code.clone().find(|line| words.iter().any(|word| line.contains(word)));
        let is_exempt = tests || name == BOUNDED;
        assert!(is_exempt || found.is_none(), "{name} reads without a limit: {}", found.unwrap_or_default());
    }
}

/// Every package forbids `unsafe`; the models deny it, and their kernels alone lift that, file by file.
#[test]
fn unsafe_code_is_in_the_kernels_alone() {
    for (name, text) in shipped() {
        let code = text.lines().map(str::trim_start).filter(|line| !line.starts_with("//"));
        let is_unsafe = code.clone().any(|line| {
            line.split(|c: char| !(c.is_alphanumeric() || c == '_')).any(|word| word == "unsafe")
        });
        let lifts =
            code.clone().any(|line| line.contains("unsafe_code") && !line.contains("forbid(unsafe_code)"));
        assert!(name.starts_with("models/src/kernels") || !(is_unsafe || lifts), "{name} has unsafe code");
    }
    let manifest = |path: &str| {
        let text = fs::read_to_string(workspace().join(path)).expect("there is a manifest");
        text.parse::<toml_edit::DocumentMut>().expect("it is TOML")
    };
    assert_eq!(manifest("Cargo.toml")["workspace"]["lints"]["rust"]["unsafe_code"].as_str(), Some("forbid"));
    assert_eq!(manifest("models/Cargo.toml")["lints"]["rust"]["unsafe_code"].as_str(), Some("deny"));
    for package in [
        "sim/kernel",
        "sim/world",
        "sim/record",
        "sim/report",
        "sim/cli",
        "scenarios/format",
        "benches",
        "tests",
    ] {
        let lints = manifest(&format!("{package}/Cargo.toml"));
        assert_eq!(lints["lints"]["workspace"].as_bool(), Some(true), "{package} has lints of its own");
    }
}

/// The oldest Rust that builds cotune is stated once, every package takes it over, and CI uses nothing newer.
#[test]
fn the_oldest_rust_is_stated_and_what_ci_says() {
    let metadata = MetadataCommand::new()
        .manifest_path(workspace().join("Cargo.toml"))
        .no_deps()
        .exec()
        .expect("it is described");
    let versions: BTreeSet<String> = metadata
        .packages
        .iter()
        .map(|package| package.rust_version.as_ref().expect("it is stated").to_string())
        .collect();
    assert_eq!(versions.len(), 1, "{versions:?}");
    let version = versions.first().expect("there is one").trim_end_matches(".0").to_owned();
    let ci = fs::read_to_string(workspace().join(".ci/run")).expect("there is CI");
    assert!(ci.contains(&format!("Rust {version}")), "CI does not speak of Rust {version}");
}

/// All Rust files below a folder.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a source folder can be read");
    entries
        .map(|entry| entry.expect("a source folder can be read").path())
        .flat_map(|path| match path.is_dir() {
            true => sources(&path),
            false => vec![path],
        })
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect()
}
