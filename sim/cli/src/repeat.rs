//! The command line that repeats a run.

use cotune_models::device::DeviceChoice;
use cotune_scenario::Override;

use crate::arguments::{Run, Stacking};
use crate::place;

/// What was typed, without what never changes results; `point` is the run's own part of `--vary`.
pub fn command(typed: &Run, point: &[Override]) -> String {
    let changes = &typed.changes;
    let mut words = vec!["cotune".to_owned(), "run".to_owned(), typed.file().display().to_string()];
    let mut flag = |name: &str, value: String| words.extend([name.to_owned(), value]);
    for text in &changes.set {
        flag("--set", text.clone());
    }
    for change in point {
        flag("--set", format!("{}={}", change.key(), change.value()));
    }
    if let Some(seed) = changes.seed {
        flag("--seed", seed.to_string());
    }
    if let Some(name) = &typed.name {
        flag("--name", name.clone());
    }
    if let Some(data) = &changes.data {
        flag("--data", data.display().to_string());
    }
    match typed.device {
        DeviceChoice::Auto => {}
        DeviceChoice::Cpu => flag("--device", "cpu".to_owned()),
        DeviceChoice::Wgpu(index) => flag("--device", format!("wgpu:{index}")),
    }
    match typed.stack {
        Stacking::Auto => {}
        Stacking::On => flag("--stack", "on".to_owned()),
        Stacking::Off => flag("--stack", "off".to_owned()),
    }
    for folder in place::allowed() {
        words.extend(["--allow-path".to_owned(), folder.display().to_string()]);
    }
    words.extend(changes.smoke.then(|| "--smoke".to_owned()));
    words.extend(typed.no_train.then(|| "--no-train".to_owned()));
    words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")
}

/// A word as a POSIX shell reads it back.
pub fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_./:=,+-@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::arguments::{Arguments, Command};

    #[test]
    fn a_run_of_a_variation_is_repeated_as_one_run() {
        let words = [
            "cotune",
            "run",
            "my city.toml",
            "--vary",
            "a.b=1,2",
            "-j",
            "3",
            "--stack",
            "off",
            "--seed",
            "4",
            "--smoke",
        ];
        let Command::Run(typed) = Arguments::parse_from(words).command else { unreachable!() };
        let point = [Override::new("a.b", "2")];
        assert_eq!(
            command(&typed, &point),
            "cotune run 'my city.toml' --set a.b=2 --seed 4 --stack off --smoke"
        );
    }

    #[test]
    fn a_shell_reads_back_what_was_meant() {
        assert_eq!(quoted("data.split={ iid = {} }"), "'data.split={ iid = {} }'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted(""), "''");
    }
}
