//! Why a command stopped, written for the person who has to do something about it.

use std::error::Error;
use std::io;
use std::path::Path;

use cotune_record::Digest;
use cotune_scenario::{Diagnostics, Severity};

use crate::exit::Exit;

/// Why a command stopped.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Mistakes in a scenario or in what was typed to change it, each with its place.
    #[error("{}", in_short(.0))]
    Scenario(Diagnostics),
    /// Something on this computer is not as the command needs it.
    #[error("{message}")]
    Wrong {
        /// What, in one sentence.
        message: String,
        /// What to do about it.
        help: Option<String>,
        /// What is behind it.
        source: Option<Box<dyn Error + Send + Sync>>,
    },
    /// cotune is broken.
    #[error("this is a bug in cotune: {what}")]
    Bug {
        /// What happened.
        what: String,
        /// The digest of the run's events up to there.
        digest: Option<Digest>,
    },
    /// Whoever read the standard output has seen enough.
    #[error("nobody reads the output any more")]
    Unread,
}

/// The messages alone, for where there is one line.
fn in_short(mistakes: &Diagnostics) -> String {
    let errors = mistakes.0.iter().filter(|mistake| mistake.severity == Severity::Error);
    errors.map(|mistake| mistake.message.as_str()).collect::<Vec<_>>().join("; ")
}

impl Failure {
    /// A failure in words.
    pub fn wrong(message: impl Into<String>) -> Self {
        Self::Wrong { message: message.into(), help: None, source: None }
    }

    /// A file that cannot be read or written.
    pub fn file(action: &str, path: &Path, source: io::Error) -> Self {
        let message = format!("cannot {action} {}", path.display());
        Self::Wrong { message, help: None, source: Some(source.into()) }
    }

    /// A broken invariant.
    pub fn bug(what: impl Into<String>) -> Self {
        Self::Bug { what: what.into(), digest: None }
    }

    /// Adds what to do about it.
    pub fn help(self, advice: impl Into<String>) -> Self {
        match self {
            Self::Wrong { message, source, .. } => Self::Wrong { message, help: Some(advice.into()), source },
            other => other,
        }
    }

    /// Adds how far the run had come.
    pub fn at(self, digest: Digest) -> Self {
        match self {
            Self::Bug { what, .. } => Self::Bug { what, digest: Some(digest) },
            other => other,
        }
    }

    /// What to do about it.
    pub fn advice(&self) -> Option<String> {
        match self {
            Self::Wrong { help, .. } => help.clone(),
            Self::Bug { digest: Some(digest), .. } => {
                Some(format!("please report it with the scenario and the digest {digest}"))
            }
            Self::Bug { digest: None, .. } => {
                Some("please report it with the command line and the files it names".to_owned())
            }
            Self::Scenario(_) | Self::Unread => None,
        }
    }

    /// The exit code that goes with it.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Scenario(_) | Self::Wrong { .. } => Exit::Wrong,
            Self::Bug { .. } => Exit::Bug,
            Self::Unread => Exit::Done,
        }
    }
}

impl From<Diagnostics> for Failure {
    fn from(diagnostics: Diagnostics) -> Self {
        Self::Scenario(diagnostics)
    }
}

/// Errors of the libraries are sentences for the user; what is behind them is shown below, unless the sentence
/// quotes it.
macro_rules! wrong {
    ($($error:ty),* $(,)?) => {$(
        impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                let message = error.to_string();
                let behind = error.source().map(ToString::to_string).filter(|text| !message.contains(text));
                Self::Wrong { message, help: None, source: behind.map(Into::into) }
            }
        }
    )*};
}
wrong!(
    cotune_models::base::BaseError,
    cotune_models::device::DeviceError,
    cotune_models::peft::PeftError,
    cotune_models::pretrain::PretrainError,
    cotune_record::CheckpointError,
    cotune_record::LogError,
    cotune_record::RunDirectoryError,
    cotune_record::RunIdError,
    cotune_record::TableError,
    cotune_record::export::trace::TraceError,
    cotune_world::LabError,
    cotune_world::PlanError,
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_that_the_sentence_quotes_is_not_said_twice() {
        let failure = Failure::from(cotune_record::RunIdError::NotARun { path: "runs/x".into() });
        assert!(failure.to_string().contains("runs/x"));
        assert!(failure.source().is_none());
        assert_eq!(failure.exit(), Exit::Wrong);
    }

    #[test]
    fn a_bug_asks_for_a_report_with_the_digest() {
        let digest = Digest::of(b"events");
        let failure = Failure::bug("the queue went backwards").at(digest);
        assert!(failure.advice().unwrap().contains(&digest.to_hex()));
        assert_eq!(failure.exit(), Exit::Bug);
    }
}
