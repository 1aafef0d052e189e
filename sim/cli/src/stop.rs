//! Stopping a run before its end: by Ctrl-C (or SIGTERM), or when `--wall-limit` has passed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::thread;
use std::time::Duration;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::talk::Talk;

const NOBODY: u8 = 0;
const PERSON: u8 = 1;
const LIMIT: u8 = 2;

/// The wish to stop, shared with the simulation.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    flag: Arc<AtomicBool>,
    who: Arc<AtomicU8>,
    signalled: Arc<AtomicBool>,
}

impl Stop {
    /// Listens from now on. The first signal asks the run to end after the current event, the second ends the
    /// process at once.
    ///
    /// # Errors
    /// The system lets nobody listen.
    pub fn listen(limit: Option<Duration>, talk: Talk) -> Result<Self, Failure> {
        let stop = Self::default();
        let handler = {
            let stop = stop.clone();
            move || {
                if !stop.is_first_signal() {
                    std::process::exit(i32::from(Exit::Interrupted.code()));
                }
                stop.wish(PERSON);
                // Not here: if nobody reads what is said, the second signal has to be heard all the same.
                thread::spawn(move || {
                    talk.say("stopping after the current event; once more to leave at once")
                });
            }
        };
        ctrlc::set_handler(handler).map_err(|error| Failure::wrong(format!("no signals: {error}")))?;
        if let Some(limit) = limit {
            let stop = stop.clone();
            thread::spawn(move || {
                thread::sleep(limit);
                stop.wish(LIMIT);
            });
        }
        Ok(stop)
    }

    /// Whether no signal came before this one; a limit that has passed is none.
    fn is_first_signal(&self) -> bool {
        !self.signalled.swap(true, Ordering::SeqCst)
    }

    fn wish(&self, who: u8) {
        let _ = self.who.compare_exchange(NOBODY, who, Ordering::SeqCst, Ordering::SeqCst);
        self.flag.store(true, Ordering::SeqCst);
    }

    /// Whether somebody wants to stop.
    pub fn is_wished(&self) -> bool {
        self.flag.load(Ordering::SeqCst)
    }

    /// The flag that the simulation looks at.
    pub fn flag(&self) -> Arc<AtomicBool> {
        self.flag.clone()
    }

    /// Who cut the run, for its manifest.
    pub fn reason(&self) -> &'static str {
        match self.who.load(Ordering::SeqCst) {
            LIMIT => "the run was cut by --wall-limit: its numbers are those of a shorter run",
            _ => "the run was interrupted: its numbers are those of a shorter run",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_wish_is_the_reason() {
        let stop = Stop::default();
        assert!(!stop.is_wished());
        stop.wish(LIMIT);
        assert!(stop.is_first_signal() && !stop.is_first_signal());
        stop.wish(PERSON);
        assert!(stop.is_wished() && stop.flag().load(Ordering::SeqCst));
        assert!(stop.reason().contains("--wall-limit"));
    }
}
