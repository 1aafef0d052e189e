//! The arrows between packages (ARCHITECTURE §2), read from `cargo metadata`.

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
        let burns: Vec<_> = used.iter().filter(|name| name.starts_with("burn")).collect();
        assert!(package == "cotune-models" || burns.is_empty(), "{package} uses {burns:?}");
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
