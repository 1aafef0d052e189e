//! Why a command stopped, written for the person who has to do something about it.

use std::error::Error;
use std::path::Path;

use cotune_scenario::Diagnostics;

use crate::exit::Exit;

/// Why a command stopped.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum Failure {
    /// Mistakes in a scenario or in what was typed to change it, each with its place.
    #[error("the scenario has mistakes")]
    Scenario(Diagnostics),
    /// Something on this computer is not as the command needs it.
    #[error("{message}")]
    Wrong {
        /// What, in one sentence.
        message: String,
        /// What to do about it.
        #[help]
        help: Option<String>,
        /// What is behind it.
        source: Option<Box<dyn Error + Send + Sync>>,
    },
    /// cotune is broken.
    #[error("cotune has a bug: {0}")]
    #[diagnostic(help(
        "please report it with the scenario, the command line and, if a run had begun, the digest printed above"
    ))]
    Bug(String),
    /// Whoever read the standard output has seen enough.
    #[error("nobody reads the output any more")]
    Unread,
}

impl Failure {
    /// A failure in words.
    pub fn wrong(message: impl Into<String>) -> Self {
        Self::Wrong { message: message.into(), help: None, source: None }
    }

    /// A file that cannot be read or written.
    pub fn file(action: &str, path: &Path, source: std::io::Error) -> Self {
        let message = format!("cannot {action} {}", path.display());
        Self::Wrong { message, help: None, source: Some(source.into()) }
    }

    /// Adds what to do about it.
    pub fn help(self, advice: impl Into<String>) -> Self {
        match self {
            Self::Wrong { message, source, .. } => Self::Wrong { message, help: Some(advice.into()), source },
            other => other,
        }
    }

    /// The exit code that goes with it.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Scenario(_) | Self::Wrong { .. } => Exit::Wrong,
            Self::Bug(_) => Exit::Bug,
            Self::Unread => Exit::Done,
        }
    }
}

impl From<Diagnostics> for Failure {
    fn from(diagnostics: Diagnostics) -> Self {
        Self::Scenario(diagnostics)
    }
}

/// Errors of the libraries are sentences for the user; what is behind them is shown below.
macro_rules! wrong {
    ($($error:ty),* $(,)?) => {$(
        impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                // A source that the sentence already quotes would be said twice.
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
    cotune_models::pretrain::PretrainError,
    cotune_record::LogError,
    cotune_record::RunDirectoryError,
    cotune_record::RunIdError,
    cotune_record::TableError,
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
}
