//! When a device is there: a function of (seed, device, time) and of nothing else.
//!
//! Availability keeps no state and costs no events: an idle device is a question that nobody asks. To answer at any
//! instant without playing everything before it, time is cut into *epochs* much longer than a session. The history
//! within an epoch comes from a stream of its own (`device/17/availability/epoch/3`) and starts in equilibrium, so
//! the fraction of devices online is right at every instant of every epoch. What happens where two epochs meet is
//! said in each file:
//!
//! | provider | source | at a border |
//! |---|---|---|
//! | `always` | | there is none |
//! | [`Markov`] | two-state Markov chain | exact: nothing shows |
//! | [`Diurnal`] | sessions whose rate follows the local hour | once a day, at the trough, sessions may be cut or joined |
//! | [`Sessions`] | alternating renewal process | once in 64 cycles, sessions may be cut or joined |
//! | [`Presence`] | measured devices, looped | the loop's end is its start |

mod diurnal;
mod equilibrium;
mod markov;
mod sessions;

use std::sync::Arc;

use cotune_kernel::VirtualTime;

use crate::files::{Files, Presence};
use crate::fleet::ConvertError;

pub use diurnal::Diurnal;
pub use markov::Markov;
pub use sessions::Sessions;

/// Epochs that are searched for the next change; beyond, "never" is answered (chosen: 1,000 days of a daily rhythm).
const LOOKAHEAD: u64 = 1_000;

/// When the devices of a class are there, ready to be asked.
#[derive(Clone, Debug, PartialEq)]
pub enum Availability {
    /// Always.
    Always,
    /// On and off for exponential times.
    Markov(Markov),
    /// Sessions whose rate follows the local hour.
    Diurnal(Box<Diurnal>),
    /// Sessions and gaps from given distributions.
    Sessions(Sessions),
    /// As measured devices were.
    Trace(Arc<Presence>),
}

/// The answer for one device at one instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Online {
    /// Whether the device is there.
    pub online: bool,
    /// The first instant after the one asked about at which that is no longer so; none: not in sight.
    pub next_change: Option<VirtualTime>,
}

/// Why an availability cannot be played.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum AvailabilityError {
    /// It lies in a file that was not read.
    #[error("the trace `{file}` was not read")]
    Trace {
        /// The file as written.
        file: String,
    },
    /// A distribution that cannot be drawn from.
    #[error("`{key}`: {source}")]
    Distribution {
        /// Its key.
        key: &'static str,
        /// What is wrong.
        source: ConvertError,
    },
    /// A length whose mean is zero or infinite.
    #[error("the mean of `{key}` is {mean} s; it must be positive and finite")]
    Mean {
        /// Its key.
        key: &'static str,
        /// The mean \[s\].
        mean: f64,
    },
}

impl Availability {
    /// What a scenario's availability means.
    ///
    /// # Errors
    /// A file that is not in `files`, or a mean length that is zero or infinite.
    pub fn new(
        written: &cotune_scenario::fleet::Availability,
        files: &Files,
    ) -> Result<Self, AvailabilityError> {
        use cotune_scenario::fleet::Availability as Written;
        Ok(match written {
            Written::Always => Self::Always,
            Written::Markov { mean_on_seconds, mean_off_seconds } => {
                Self::Markov(Markov::new(*mean_on_seconds, *mean_off_seconds)?)
            }
            Written::Diurnal(diurnal) => Self::Diurnal(Box::new(Diurnal::new(diurnal, files)?)),
            Written::Sessions { online_seconds, offline_seconds } => {
                Self::Sessions(Sessions::new(online_seconds, offline_seconds, files)?)
            }
            Written::Trace { file } => match files.presence(file) {
                Some(presence) => Self::Trace(Arc::clone(presence)),
                None => return Err(AvailabilityError::Trace { file: file.clone() }),
            },
        })
    }

    /// Whether `device` is there at `t`, and until when.
    pub fn state(&self, seed: u64, device: u32, t: VirtualTime) -> Online {
        match self.history() {
            Provider::Always => Online { online: true, next_change: None },
            Provider::Trace(presence) => {
                let (online, next_change) = presence.state(seed, device, t);
                Online { online, next_change }
            }
            Provider::Drawn(history) => Instant::of(history, seed, device, t).state(),
        }
    }

    /// Whether `device` is there at `t`; cheaper than [`Availability::state`].
    pub fn online(&self, seed: u64, device: u32, t: VirtualTime) -> bool {
        match self.history() {
            Provider::Always => true,
            Provider::Trace(presence) => presence.state(seed, device, t).0,
            Provider::Drawn(history) => Instant::of(history, seed, device, t).online(),
        }
    }

    /// The first instant from `t` on at which `device` is there; none: not in sight.
    pub fn next_online(&self, seed: u64, device: u32, t: VirtualTime) -> Option<VirtualTime> {
        match self.state(seed, device, t) {
            Online { online: true, .. } => Some(t),
            Online { next_change, .. } => next_change,
        }
    }

    /// The first instant in [`from`, `until`) at which `device` is not there; none: it stays throughout.
    pub fn goes_offline_before(
        &self,
        seed: u64,
        device: u32,
        from: VirtualTime,
        until: VirtualTime,
    ) -> Option<VirtualTime> {
        let leaves = match self.state(seed, device, from) {
            Online { online: false, .. } => Some(from),
            Online { next_change, .. } => next_change,
        };
        leaves.filter(|at| *at < until)
    }

    /// The fraction of time online, in the long run.
    pub fn share_online(&self) -> f64 {
        match self {
            Self::Always => 1.0,
            Self::Markov(markov) => markov.share_online(),
            Self::Diurnal(diurnal) => diurnal.share_online(),
            Self::Sessions(sessions) => sessions.share_online(),
            Self::Trace(presence) => presence.share_online(),
        }
    }

    /// Local time minus the simulation's clock \[s\], by a device.
    pub fn timezone(&self, seed: u64, device: u32) -> f64 {
        match self {
            Self::Diurnal(diurnal) => diurnal.timezone(seed, device),
            _ => 0.0,
        }
    }

    fn history(&self) -> Provider<'_> {
        match self {
            Self::Always => Provider::Always,
            Self::Markov(markov) => Provider::Drawn(markov),
            Self::Diurnal(diurnal) => Provider::Drawn(&**diurnal),
            Self::Sessions(sessions) => Provider::Drawn(sessions),
            Self::Trace(presence) => Provider::Trace(presence),
        }
    }
}

/// Where an answer comes from.
enum Provider<'a> {
    Always,
    Drawn(&'a dyn History),
    Trace(&'a Presence),
}

/// A history that can be opened at any epoch.
trait History {
    /// Length of an epoch \[ns\]; positive.
    fn length(&self) -> u64;

    /// How far into its epoch 0 a device is when the simulation starts \[ns\], below [`History::length`].
    fn shift(&self, seed: u64, device: u32) -> u64;

    /// What `device` does in epoch `index`.
    fn epoch(&self, seed: u64, device: u32, index: u64) -> Epoch;
}

/// What a device does in one epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Epoch {
    /// Whether it is there at the start.
    starts_online: bool,
    /// When that changes \[ns after the start\]; strictly rising.
    changes: Vec<u64>,
}

impl Epoch {
    fn new(starts_online: bool) -> Self {
        Self { starts_online, changes: Vec::new() }
    }

    /// Appends a change, at or after the last. Two at the same nanosecond undo each other.
    fn change(&mut self, at: u64) {
        match self.changes.last() {
            Some(last) if *last == at => drop(self.changes.pop()),
            None if at == 0 => self.starts_online = !self.starts_online,
            _ => self.changes.push(at),
        }
    }

    /// Whether it is there after `changes` changes.
    fn online_after(&self, changes: usize) -> bool {
        self.starts_online ^ (changes % 2 == 1)
    }

    fn ends_online(&self) -> bool {
        self.online_after(self.changes.len())
    }
}

/// One device at one instant of its history.
struct Instant<'a> {
    history: &'a dyn History,
    seed: u64,
    device: u32,
    shift: u64,
    index: u64,
    epoch: Epoch,
    /// Changes of the epoch that have happened by now.
    passed: usize,
}

impl<'a> Instant<'a> {
    fn of(history: &'a dyn History, seed: u64, device: u32, t: VirtualTime) -> Self {
        let shift = history.shift(seed, device);
        let position = u128::from(t.as_nanos()) + u128::from(shift);
        let length = u128::from(history.length());
        let (index, offset) = ((position / length) as u64, (position % length) as u64);
        let epoch = history.epoch(seed, device, index);
        let passed = epoch.changes.partition_point(|at| *at <= offset);
        Self { history, seed, device, shift, index, epoch, passed }
    }

    fn online(&self) -> bool {
        self.epoch.online_after(self.passed)
    }

    fn state(&self) -> Online {
        Online { online: self.online(), next_change: self.next_change() }
    }

    fn next_change(&self) -> Option<VirtualTime> {
        if let Some(at) = self.epoch.changes.get(self.passed) {
            return self.time(self.index, *at);
        }
        // The device keeps its state up to the border, and beyond it where the next epoch starts alike.
        let online = self.epoch.ends_online();
        (1..=LOOKAHEAD).map_while(|ahead| self.index.checked_add(ahead)).find_map(|index| {
            let epoch = self.history.epoch(self.seed, self.device, index);
            let at = if epoch.starts_online == online { epoch.changes.first().copied() } else { Some(0) };
            at.map(|at| self.time(index, at))
        })?
    }

    /// The instant `at` nanoseconds into epoch `index`; none past the end of virtual time.
    fn time(&self, index: u64, at: u64) -> Option<VirtualTime> {
        let position = u128::from(index) * u128::from(self.history.length()) + u128::from(at);
        let nanos = position.checked_sub(u128::from(self.shift))?;
        u64::try_from(nanos).ok().map(VirtualTime::from_nanos)
    }
}

#[cfg(test)]
mod tests;
