//! The files that a scenario names, read: measured samples, traces of availability and bandwidth, splits.
//!
//! They are read once, before anything is drawn, so that a bad row is known with its line before a run begins, and so
//! that fleet and availability stay functions of values. Examples and checkpoints are read elsewhere (`lab`).
//!
//! | what | layout | file |
//! |---|---|---|
//! | samples of a distribution | one number a line, in SI units or with its unit | `files/samples.rs` |
//! | availability | FedScale's JSON, or `device,t_s,online` as CSV or Parquet | `files/presence.rs` |
//! | bandwidth | `seconds Mbit/s` lines | `files/rates.rs` |
//! | split | one device number a line | `files/owners.rs` |

mod owners;
mod presence;
mod rates;
mod samples;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use cotune_kernel::bounded;
use cotune_scenario::{FileKind, FileReference, Scenario};

use crate::site::Site;

/// The longest trace, table of samples or split that is read \[B\] (chosen: a year of presence of a hundred thousand devices).
pub const LONGEST: u64 = 4 << 30;

pub use presence::Presence;
pub use rates::Rates;

/// What the files of a scenario say, by path as written.
#[derive(Clone, Debug, Default)]
pub struct Files {
    samples: BTreeMap<String, Arc<[f64]>>,
    presence: BTreeMap<String, Arc<Presence>>,
    rates: BTreeMap<String, Arc<Rates>>,
    owners: BTreeMap<String, Arc<[u32]>>,
}

/// Why a file says nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{}: {problem}", path.display(), line.map_or(String::new(), |line| format!(", line {line}")))]
pub struct FileError {
    /// Where it lies.
    pub path: PathBuf,
    /// The line that is wrong, from 1; none: the file as a whole.
    pub line: Option<usize>,
    /// What is wrong.
    pub problem: String,
}

/// What is wrong with a text, and in which line of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BadRow {
    line: Option<usize>,
    problem: String,
}

impl BadRow {
    /// A mistake in line `index + 1`.
    fn at(index: usize, problem: impl Into<String>) -> Self {
        Self { line: Some(index + 1), problem: problem.into() }
    }

    /// A mistake of the whole file.
    fn whole(problem: impl Into<String>) -> Self {
        Self { line: None, problem: problem.into() }
    }
}

impl Files {
    /// Reads every file that a scenario names.
    ///
    /// # Errors
    /// The first that cannot be read or has a bad row.
    pub fn read(scenario: &Scenario, site: &Site) -> Result<Self, FileError> {
        let mut files = Self::default();
        scenario.files().iter().try_for_each(|file| files.add(file, site))?;
        Ok(files)
    }

    /// Reads one file; nothing is done for examples, tasks, recipes and checkpoints.
    ///
    /// # Errors
    /// It cannot be read, or a row of it is wrong.
    pub fn add(&mut self, file: &FileReference, site: &Site) -> Result<(), FileError> {
        let path = site.resolve(&file.path);
        let failed = |BadRow { line, problem }| FileError { path: path.clone(), line, problem };
        let unreadable = |error| failed(BadRow::whole(format!("it cannot be read: {error}")));
        let text = || bounded::text(&path, LONGEST).map_err(unreadable);
        let bytes = || bounded::bytes(&path, LONGEST).map_err(unreadable);
        let name = file.path.clone();
        match file.kind {
            FileKind::Checkpoint | FileKind::Recipe | FileKind::Examples | FileKind::Tasks => {}
            FileKind::Samples(dimension) => {
                let samples = samples::parse(&text()?, dimension).map_err(failed)?;
                self.samples.insert(name, samples.into());
            }
            FileKind::Trace => {
                let presence = Presence::read(bytes()?).map_err(failed)?;
                self.presence.insert(name, Arc::new(presence));
            }
            FileKind::Rates => {
                let rates = Rates::parse(&text()?).map_err(failed)?;
                self.rates.insert(name, Arc::new(rates));
            }
            FileKind::Split => {
                let owners = owners::parse(&text()?).map_err(failed)?;
                self.owners.insert(name, owners.into());
            }
        }
        Ok(())
    }

    /// Samples in SI units, ascending.
    pub fn samples(&self, path: &str) -> Option<&Arc<[f64]>> {
        self.samples.get(path)
    }

    /// A trace of availability.
    pub fn presence(&self, path: &str) -> Option<&Arc<Presence>> {
        self.presence.get(path)
    }

    /// A trace of bandwidth.
    pub fn rates(&self, path: &str) -> Option<&Arc<Rates>> {
        self.rates.get(path)
    }

    /// The device of every private example.
    pub fn owners(&self, path: &str) -> Option<&Arc<[u32]>> {
        self.owners.get(path)
    }
}

/// The lines that say something, with their indices: no empty ones, no comments (`#`).
fn rows(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let told = |(index, line): (usize, &'_ str)| (index, line.trim().len());
    text.lines()
        .enumerate()
        .filter(move |row| told(*row).1 > 0 && !row.1.trim_start().starts_with('#'))
        .map(|(index, line)| (index, line.trim()))
}

/// A finite number.
fn number(index: usize, cell: &str) -> Result<f64, BadRow> {
    let parsed = cell.trim().parse().ok().filter(|number: &f64| number.is_finite());
    parsed.ok_or_else(|| BadRow::at(index, format!("`{}` is not a number", cell.trim())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_names_file_and_line() {
        let error = FileError { path: "t.csv".into(), line: Some(3), problem: "`x` is not a number".into() };
        assert_eq!(error.to_string(), "t.csv, line 3: `x` is not a number");
        assert_eq!(FileError { line: None, ..error }.to_string(), "t.csv: `x` is not a number");
    }

    #[test]
    fn comments_and_empty_lines_say_nothing_and_are_counted() {
        let seen: Vec<_> = rows("# head\n\n 1 \n2\n").collect();
        assert_eq!(seen, [(2, "1"), (3, "2")]);
        assert_eq!(number(2, "inf"), Err(BadRow::at(2, "`inf` is not a number")));
    }
}
