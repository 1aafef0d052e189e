//! What goes into the binary is allowed by `deny.toml`: licences, bans and sources of everything in `Cargo.lock` that is built on any
//! platform, MPI included. Advisories need a database that changes by the day: `cargo deny check advisories`.

use std::fs;
use std::process::Command;

use cotune_tests::workspace;
use toml_edit::{Array, DocumentMut};

/// A package as `cargo tree` knows it.
struct Package {
    name: String,
    version: String,
    licence: String,
    repository: String,
}

/// Everything that is built for any platform, without the packages of the workspace.
fn packages() -> Vec<Package> {
    let mut tree = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    tree.args(["tree", "--workspace", "--features", "mpi", "--edges", "normal,build,dev", "--target", "all"]);
    tree.args(["--prefix", "none", "--locked", "--format", "{l}|{r}|{p}"]);
    let output = tree.current_dir(workspace()).output().expect("cargo can be started");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("names are UTF-8");
    let mut lines: Vec<&str> = text.lines().filter(|line| !line.is_empty()).collect();
    lines.sort_unstable();
    lines.dedup();
    let package = |line: &str| {
        let [licence, repository, named] = line.splitn(3, '|').collect::<Vec<_>>()[..] else {
            panic!("{line}")
        };
        let mut words = named.split(' ');
        let mut word = || words.next().unwrap_or_default().to_owned();
        let (name, version) = (word(), word().trim_start_matches('v').to_owned());
        Package { name, version, licence: licence.to_owned(), repository: repository.to_owned() }
    };
    lines.into_iter().map(package).filter(|package| !package.name.starts_with("cotune")).collect()
}

fn rules() -> DocumentMut {
    let text = fs::read_to_string(workspace().join("deny.toml")).expect("there are rules");
    text.parse().expect("deny.toml is TOML")
}

/// Whether an SPDX expression is fulfilled by licences that are allowed. A slash is an `OR` of old manifests.
fn is_fulfilled(expression: &str, is_allowed: &dyn Fn(&str) -> bool) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut at = 0;
    let fulfilled = any(&words, &mut at, is_allowed);
    assert_eq!(at, words.len(), "`{expression}` is no SPDX expression");
    fulfilled
}

fn any(words: &[&str], at: &mut usize, is_allowed: &dyn Fn(&str) -> bool) -> bool {
    let mut fulfilled = all(words, at, is_allowed);
    while words.get(*at) == Some(&"OR") {
        *at += 1;
        fulfilled |= all(words, at, is_allowed);
    }
    fulfilled
}

fn all(words: &[&str], at: &mut usize, is_allowed: &dyn Fn(&str) -> bool) -> bool {
    let mut fulfilled = one(words, at, is_allowed);
    while words.get(*at) == Some(&"AND") {
        *at += 1;
        fulfilled &= one(words, at, is_allowed);
    }
    fulfilled
}

fn one(words: &[&str], at: &mut usize, is_allowed: &dyn Fn(&str) -> bool) -> bool {
    let word = *words.get(*at).expect("a licence");
    *at += 1;
    if word == "(" {
        let fulfilled = any(words, at, is_allowed);
        assert_eq!(words.get(*at), Some(&")"), "{words:?}");
        *at += 1;
        return fulfilled;
    }
    if words.get(*at) == Some(&"WITH") {
        let exception = words[*at + 1];
        *at += 2;
        return is_allowed(&format!("{word} WITH {exception}"));
    }
    is_allowed(word)
}

#[test]
fn an_expression_is_fulfilled_by_one_of_an_or_and_all_of_an_and() {
    let is_allowed = |licence: &str| ["MIT", "ISC", "A WITH B"].contains(&licence);
    let fulfilled = |expression| is_fulfilled(expression, &is_allowed);
    assert!(fulfilled("GPL-3.0 OR MIT") && fulfilled("GPL-3.0/MIT") && fulfilled("(X OR MIT) AND ISC"));
    assert!(
        fulfilled("A WITH B") && !fulfilled("A") && !fulfilled("MIT AND GPL-3.0") && !fulfilled("X WITH B")
    );
}

#[test]
fn every_licence_is_allowed() {
    let rules = rules();
    let listed = |array: &Array| {
        array.iter().map(|one| one.as_str().expect("a licence").to_owned()).collect::<Vec<_>>()
    };
    let allowed = listed(rules["licenses"]["allow"].as_array().expect("a list"));
    let packages = packages();
    assert!(packages.len() > 300, "only {} packages", packages.len());
    for package in &packages {
        let expression = &package.licence;
        assert!(!expression.is_empty(), "{} {} states no licence", package.name, package.version);
        let is_allowed = |licence: &str| allowed.iter().any(|one| one == licence);
        assert!(
            is_fulfilled(expression, &is_allowed),
            "{} {} is licensed `{expression}`, which deny.toml does not allow ({})",
            package.name,
            package.version,
            package.repository
        );
    }
    for licence in &allowed {
        let is_used = packages.iter().any(|package| package.licence.contains(licence.as_str()));
        assert!(is_used, "deny.toml allows {licence}, which nothing is licensed under");
    }
}

#[test]
fn everything_comes_from_the_registry_and_nothing_that_is_banned() {
    let lock = fs::read_to_string(workspace().join("Cargo.lock")).expect("Cargo.lock is committed");
    let lock: DocumentMut = lock.parse().expect("it is TOML");
    for package in lock["package"].as_array_of_tables().expect("packages").iter() {
        let name = package["name"].as_str().expect("a name");
        let source = package.get("source").and_then(|source| source.as_str());
        match source {
            None => assert!(name.starts_with("cotune"), "{name} lies somewhere on a disk"),
            Some(source) => {
                assert_eq!(source, "registry+https://github.com/rust-lang/crates.io-index", "{name}");
                assert!(package.contains_key("checksum"), "{name} has no checksum");
            }
        }
    }
    let packages = packages();
    for ban in rules()["bans"]["deny"].as_array().expect("a list") {
        let ban = ban.as_inline_table().and_then(|ban| ban["crate"].as_str()).expect("a package");
        let (name, above) = ban.split_once(":>").map_or((ban, None), |(name, version)| (name, Some(version)));
        for package in packages.iter().filter(|package| package.name == name) {
            assert!(
                above.is_some_and(|version| package.version == version),
                "{} {} is banned",
                name,
                package.version
            );
        }
    }
}
