//! Sessions and gaps from given distributions: the alternating renewal process, as measured in peer-to-peer networks
//! (Stutzbach & Rejaie, "Understanding churn in peer-to-peer networks", 2006: Weibull sessions of shape 0.34-0.59).
//!
//! Every epoch starts in equilibrium: online with probability mean_on/(mean_on + mean_off), in the middle of a
//! session or gap that is longer than most. So the fraction online is exact at every instant. Where two epochs meet,
//! once in 64 cycles, a session is cut short if the next epoch starts offline and continued by another's remainder if
//! not. Sessions longer than an epoch are cut. Borders lie elsewhere for every device, so they never
//! show in the sum.

use cotune_kernel::{Distribution, Stream, VirtualDuration};
use cotune_scenario::Distribution as Written;

use super::equilibrium::residual;
use super::{AvailabilityError, Epoch, History};
use crate::files::Files;
use crate::fleet::not_negative;

/// Mean cycles (a session and a gap) in an epoch (chosen: borders touch less than 2 % of the sessions).
const CYCLES: f64 = 64.0;

/// The alternating renewal process.
#[derive(Clone, Debug, PartialEq)]
pub struct Sessions {
    online: Distribution,
    offline: Distribution,
    share_online: f64,
    length: VirtualDuration,
}

impl Sessions {
    /// Sessions and gaps of these lengths \[s\].
    ///
    /// # Errors
    /// A distribution that this version does not have, or whose mean is zero or infinite.
    pub fn new(online: &Written, offline: &Written, files: &Files) -> Result<Self, AvailabilityError> {
        let (online, mean_on) = lengths("online", online, files)?;
        let (offline, mean_off) = lengths("offline", offline, files)?;
        let length = VirtualDuration::from_secs_f64(CYCLES * (mean_on + mean_off));
        let share_online = mean_on / (mean_on + mean_off);
        Ok(Self { online, offline, share_online, length: length.max(VirtualDuration::from_nanos(1)) })
    }

    /// mean_on / (mean_on + mean_off).
    pub fn share_online(&self) -> f64 {
        self.share_online
    }
}

/// The kernel's distribution of lengths and its mean \[s\].
pub(super) fn lengths(
    key: &'static str,
    written: &Written,
    files: &Files,
) -> Result<(Distribution, f64), AvailabilityError> {
    let lengths =
        not_negative(written, files).map_err(|source| AvailabilityError::Distribution { key, source })?;
    let mean = lengths.mean();
    if mean > 0.0 && mean.is_finite() {
        Ok((lengths, mean))
    } else {
        Err(AvailabilityError::Mean { key, mean })
    }
}

impl History for Sessions {
    fn length(&self) -> u64 {
        self.length.as_nanos()
    }

    fn shift(&self, seed: u64, device: u32) -> u64 {
        Stream::keyed_parts(seed, &[&"device", &device, &"availability/phase"]).below(self.length())
    }

    fn epoch(&self, seed: u64, device: u32, index: u64) -> Epoch {
        let parts: [&dyn std::fmt::Display; 4] = [&"device", &device, &"availability/epoch", &index];
        let mut stream = Stream::keyed_parts(seed, &parts);
        let mut online = stream.chance(self.share_online);
        let mut epoch = Epoch::new(online);
        let lengths = |online| if online { &self.online } else { &self.offline };
        let mut elapsed = residual(lengths(online), &mut stream);
        loop {
            let at = VirtualDuration::from_secs_f64(elapsed);
            if at >= self.length {
                return epoch;
            }
            epoch.change(at.as_nanos());
            online = !online;
            elapsed += lengths(online).sample(&mut stream);
        }
    }
}
