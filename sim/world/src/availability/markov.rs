//! On and off for exponential times: the two-state Markov chain, opened at any instant, exactly.
//!
//! A chain with rates λ (off → on) and μ (on → off) forgets: the probability of being on after a time h differs from
//! the stationary one by e^-(λ+μ)h. Epochs are so long that this is below 2^-53. So, to the last bit of a double, the
//! states at the borders are independent draws from the stationary distribution, and the history between two of them
//! is the chain's, conditioned on its two ends. It is drawn by rejection: play the chain from the first state until
//! it happens to end in the second, which takes two attempts on average (an end of probability p takes 1/p attempts
//! and occurs with probability p). Nothing shows at a border: sojourns that cross one are exponential like all
//! others.

use cotune_kernel::{Stream, VirtualDuration};

use super::{AvailabilityError, Epoch, History};

/// (λ+μ)h of an epoch: e^-37 is below 2^-53.
const FORGOTTEN: f64 = 37.0;

/// The two-state Markov chain.
#[derive(Clone, Debug, PartialEq)]
pub struct Markov {
    mean_on: f64,
    mean_off: f64,
    length: VirtualDuration,
}

impl Markov {
    /// On for `mean_on` seconds on average, then off for `mean_off`.
    ///
    /// # Errors
    /// Unless both are positive and finite.
    pub fn new(mean_on: f64, mean_off: f64) -> Result<Self, AvailabilityError> {
        for (key, mean) in [("mean_on", mean_on), ("mean_off", mean_off)] {
            if !(mean > 0.0 && mean.is_finite()) {
                return Err(AvailabilityError::Mean { key, mean });
            }
        }
        let relaxation = 1.0 / (1.0 / mean_on + 1.0 / mean_off);
        // At least a cycle, so that a device that is hardly ever away is not searched for through many epochs.
        let length = (FORGOTTEN * relaxation).max(mean_on + mean_off);
        let length = VirtualDuration::from_secs_f64(length).max(VirtualDuration::from_nanos(1));
        Ok(Self { mean_on, mean_off, length })
    }

    /// mean_on / (mean_on + mean_off).
    pub fn share_online(&self) -> f64 {
        self.mean_on / (self.mean_on + self.mean_off)
    }

    fn border(&self, seed: u64, device: u32, index: u64) -> bool {
        let parts: [&dyn std::fmt::Display; 4] = [&"device", &device, &"availability/border", &index];
        Stream::keyed_parts(seed, &parts).chance(self.share_online())
    }

    /// The chain over one epoch, from `online`.
    fn play(&self, online: bool, stream: &mut Stream) -> Epoch {
        let mut epoch = Epoch::new(online);
        let (mut online, mut elapsed) = (online, 0.0);
        loop {
            elapsed += stream.exponential() * if online { self.mean_on } else { self.mean_off };
            let at = VirtualDuration::from_secs_f64(elapsed);
            if at >= self.length {
                return epoch;
            }
            epoch.change(at.as_nanos());
            online = !online;
        }
    }
}

impl History for Markov {
    fn length(&self) -> u64 {
        self.length.as_nanos()
    }

    fn shift(&self, _seed: u64, _device: u32) -> u64 {
        0
    }

    fn epoch(&self, seed: u64, device: u32, index: u64) -> Epoch {
        let starts_online = self.border(seed, device, index);
        let ends_online = self.border(seed, device, index.saturating_add(1));
        let parts: [&dyn std::fmt::Display; 4] = [&"device", &device, &"availability/epoch", &index];
        let mut stream = Stream::keyed_parts(seed, &parts);
        loop {
            let epoch = self.play(starts_online, &mut stream);
            if epoch.ends_online() == ends_online {
                return epoch;
            }
        }
    }
}
