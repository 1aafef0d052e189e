//! What can be wrong with a corpus.

use std::path::PathBuf;

/// What can be wrong with a corpus that was asked for.
#[derive(Debug, thiserror::Error)]
pub enum CorpusError {
    /// An invented domain cannot supply so many different questions.
    #[error(
        "domain `{domain}` can ask {available} different questions for {part}, but {wanted} are wanted: \
         lower the counts"
    )]
    SpaceTooSmall {
        /// The domain.
        domain: String,
        /// What they are wanted for.
        part: &'static str,
        /// How many are wanted.
        wanted: usize,
        /// How many there are.
        available: usize,
    },
    /// A file's domain has too few rows.
    #[error(
        "domain `{domain}` has {available} different prompts, but {wanted} are wanted over the four parts"
    )]
    TooFewRows {
        /// The domain.
        domain: String,
        /// How many are wanted.
        wanted: usize,
        /// How many there are.
        available: usize,
    },
    /// A domain that the builtin corpus does not have.
    #[error("no domain `{name}`; the builtin domains are {}", known.join(", "))]
    UnknownDomain {
        /// The name.
        name: String,
        /// The names there are.
        known: Vec<String>,
    },
    /// Pretraining text without a single domain.
    #[error("every domain is left out of the pretraining text")]
    NothingSeen,
    /// A share outside 0..=1.
    #[error("{what} is {value}, but it is a share: write a number from 0 to 1")]
    NotAShare {
        /// Which number.
        what: &'static str,
        /// Its value.
        value: f64,
    },
    /// A relative amount where there is nothing to take a share of.
    #[error(
        "the {part} part of the builtin corpus needs a count: an invented world has no size to take a share of"
    )]
    NeedsCount {
        /// Which part.
        part: &'static str,
    },
    /// More than one part takes the rest.
    #[error("the parts {first} and {second} both take the rest: only one can")]
    TwoRests {
        /// One of them.
        first: &'static str,
        /// The other.
        second: &'static str,
    },
    /// A file could not be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A file is not of the kind it was said to be.
    #[error("the source of domain `{domain}` is not {kind}: {reason}")]
    Format {
        /// The domain.
        domain: String,
        /// The kind it should be.
        kind: &'static str,
        /// What the parser said.
        reason: String,
    },
    /// A table lacks a column.
    #[error("the source of domain `{domain}` has no column `{column}`; it has {}", found.join(", "))]
    NoColumn {
        /// The domain.
        domain: String,
        /// The column asked for.
        column: String,
        /// The columns there are.
        found: Vec<String>,
    },
    /// Fewer labels than were to be kept.
    #[error("domain `{domain}` was to keep {wanted} labels but has {found}")]
    TooFewLabels {
        /// The domain.
        domain: String,
        /// How many were wanted.
        wanted: usize,
        /// How many there are.
        found: usize,
    },
    /// An option that this kind of source has no meaning for.
    #[error("`{option}` means nothing for the {kind} source of domain `{domain}`: leave it out")]
    NoSuchOption {
        /// The domain.
        domain: String,
        /// The kind of source.
        kind: &'static str,
        /// The option.
        option: &'static str,
    },
    /// A template without its places.
    #[error("the template {template:?} {rule}")]
    Template {
        /// The template.
        template: String,
        /// What it has to be like.
        rule: &'static str,
    },
    /// A folder without the task asked for, or without any.
    #[error(
        "{folder} has no task{}: tasks are JSON files whose name, or whose folder's name, begins with `task`",
        task.as_ref().map(|task| format!(" `{task}`")).unwrap_or_default(), folder = folder.display()
    )]
    NoTask {
        /// The folder.
        folder: PathBuf,
        /// The task; none where any would do.
        task: Option<String>,
    },
    /// Not one row of a source fits.
    #[error("nothing is left of the source of domain `{domain}`: {report}")]
    NothingKept {
        /// The domain.
        domain: String,
        /// What happened to its rows.
        report: Box<super::ReadReport>,
    },
}
