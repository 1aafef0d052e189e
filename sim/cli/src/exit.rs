//! How a command ends: the exit codes, and the one place that turns an outcome into one.

use std::backtrace::BacktraceStatus;
use std::panic;
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};

use crate::failure::Failure;
use crate::talk;

/// The exit codes. They are API: scripts rely on them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Exit {
    /// 0: done, every expectation met.
    #[default]
    Done,
    /// 1: a bug in cotune.
    Bug,
    /// 2: the command line, scenario, data, checkpoint or disk is wrong.
    Wrong,
    /// 3: the run is complete and an expectation was not met.
    Missed,
    /// 4: `verify` or `compare --fail-on-diff` found a difference.
    Different,
    /// 5: some points of a sweep failed.
    PointsFailed,
    /// 130: interrupted; what there was is recorded.
    Interrupted,
}

/// What `--help` says about them.
pub const HELP: &str = "\
Exit codes: 0 done, every expectation met · 1 a bug in cotune · 2 the command line, scenario, data
or checkpoint is wrong · 3 an expectation was not met · 4 a difference · 5 some sweep points
failed · 130 interrupted";

impl Exit {
    /// The number.
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Bug => 1,
            Self::Wrong => 2,
            Self::Missed => 3,
            Self::Different => 4,
            Self::PointsFailed => 5,
            Self::Interrupted => 130,
        }
    }
}

/// The latest panic in words, with its place in the source: an actor's panic reaches nobody else.
static LATEST_PANIC: Mutex<Option<String>> = Mutex::new(None);

/// Carries out a command, says what stopped it, and gives the process's exit code.
pub fn conclude(command: impl FnOnce() -> Result<Exit, Failure>) -> ExitCode {
    quiet_panics();
    attempt(command)
}

fn attempt(command: impl FnOnce() -> Result<Exit, Failure>) -> ExitCode {
    let outcome = panic::catch_unwind(panic::AssertUnwindSafe(command))
        .unwrap_or_else(|_| Err(Failure::bug(latest_panic())));
    let exit = outcome.unwrap_or_else(|failure| {
        talk::error(&failure);
        failure.exit()
    });
    ExitCode::from(exit.code())
}

/// A panic in a job is an event of the simulated world, and any other is told by whoever catches it: neither
/// needs the default message as well. With `RUST_BACKTRACE` set it is printed all the same.
fn quiet_panics() {
    let default = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        let words = panic.payload_as_str().unwrap_or("a panic without a message");
        let place = panic.location().map_or(String::new(), |at| format!(" ({}:{})", at.file(), at.line()));
        *LATEST_PANIC.lock().unwrap_or_else(PoisonError::into_inner) = Some(format!("{words}{place}"));
        if std::backtrace::Backtrace::capture().status() == BacktraceStatus::Captured {
            default(panic);
        }
    }));
}

/// The latest panic of any thread in words.
pub fn latest_panic() -> String {
    let latest = LATEST_PANIC.lock().unwrap_or_else(PoisonError::into_inner).clone();
    latest.unwrap_or_else(|| "it panicked".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_has_its_exit_code() {
        assert_eq!(attempt(|| Ok(Exit::Missed)), ExitCode::from(3));
        assert_eq!(attempt(|| Err(Failure::wrong("no such file"))), ExitCode::from(2));
        assert_eq!(attempt(|| Err(Failure::Unread)), ExitCode::from(0));
        assert_eq!(attempt(|| panic::resume_unwind(Box::new("a bug"))), ExitCode::from(1));
    }

    #[test]
    fn the_help_names_every_code() {
        let all = [Exit::Done, Exit::Bug, Exit::Wrong, Exit::Missed, Exit::Different, Exit::PointsFailed];
        for exit in all.into_iter().chain([Exit::Interrupted]) {
            assert!(HELP.contains(&exit.code().to_string()), "{exit:?} is missing");
        }
    }
}
