//! Sessions whose rate follows the local hour, as in the 4× swing between day and night of Google's production fleet
//! (Bonawitz et al. 2019, arXiv 1902.01046).
//!
//! The fraction online is a smooth curve of the local time, from `at_trough` half a day before the peak to `at_peak`
//! and back. A device alternates between sessions of the given lengths and gaps that end at a rate μ(t). With p(t)
//! the fraction online and S the mean session, p' = μ(1 - p) - p/S, so μ = (p' + p/S)/(1 - p): exact for exponential
//! sessions, and close for others because sessions are short beside a day. μ is constant over half an hour.
//!
//! An epoch is a local day from trough to trough, stream `device/17/availability/day/3`. It starts in equilibrium at
//! the trough, where fewest devices are online and so fewest sessions are cut or joined.

use cotune_kernel::{Distribution, Stream, VirtualDuration};
use cotune_scenario::fleet::Diurnal as Written;

use super::equilibrium::residual;
use super::sessions::lengths;
use super::{AvailabilityError, Epoch, History};
use crate::files::Files;
use crate::fleet::any_sign;

const DAY: f64 = 86_400.0;
const DAY_LENGTH: VirtualDuration = VirtualDuration::from_secs(86_400);
/// Stretches of a day over which the rate is constant.
const SLOTS: usize = 48;
const SLOT: f64 = DAY / SLOTS as f64;
/// Nobody is online more than this (chosen): with 1, gaps would have no length and devices no way to be away at any
/// time.
const MOST: f64 = 0.999;

/// A daily rhythm.
#[derive(Clone, Debug, PartialEq)]
pub struct Diurnal {
    /// Local time of the peak \[s after midnight\].
    peak: f64,
    session: Distribution,
    /// Local time minus the simulation's clock \[s\].
    timezone: Distribution,
    /// Fraction online at the start of every slot, from the trough on, and at the trough again.
    online: [f64; SLOTS + 1],
    /// Rate at which a gap ends in every slot \[1/s\].
    rate: [f64; SLOTS],
}

impl Diurnal {
    /// The rhythm that a scenario describes.
    ///
    /// # Errors
    /// A distribution that this version does not have, or sessions whose mean is zero or infinite.
    pub fn new(written: &Written, files: &Files) -> Result<Self, AvailabilityError> {
        let (session, mean) = lengths("session", &written.session_seconds, files)?;
        let timezone = any_sign(&written.timezone_seconds, files)
            .map_err(|source| AvailabilityError::Distribution { key: "timezones", source })?;
        let online: [f64; SLOTS + 1] =
            std::array::from_fn(|slot| curve(written, slot as f64 / SLOTS as f64).min(MOST));
        let rate = std::array::from_fn(|slot| {
            let p = 0.5 * (online[slot] + online[slot + 1]);
            let slope = (online[slot + 1] - online[slot]) / SLOT;
            ((slope + p / mean) / (1.0 - p)).max(0.0)
        });
        Ok(Self { peak: written.peak_seconds, session, timezone, online, rate })
    }

    /// The fraction of devices that are online, over a day.
    pub fn share_online(&self) -> f64 {
        self.online[..SLOTS].iter().sum::<f64>() / SLOTS as f64
    }

    /// Local time minus the simulation's clock \[s\], by a device.
    pub fn timezone(&self, seed: u64, device: u32) -> f64 {
        match self.timezone {
            Distribution::Constant(seconds) => seconds,
            _ => self
                .timezone
                .sample(&mut Stream::keyed_parts(seed, &[&"device", &device, &"availability/timezone"])),
        }
    }

    /// When a gap that begins `from` seconds into the day ends; none: not on this day.
    fn gap_ends(&self, from: f64, stream: &mut Stream) -> Option<f64> {
        let mut left = stream.exponential();
        let mut from = from;
        let first = ((from / SLOT) as usize).min(SLOTS);
        for slot in first..SLOTS {
            let end = (slot + 1) as f64 * SLOT;
            let spent = self.rate[slot] * (end - from);
            if left < spent {
                return Some(from + left / self.rate[slot]);
            }
            left -= spent;
            from = end;
        }
        None
    }
}

/// The fraction online when a part `x` of the day from trough to trough has passed: 3y² - 2y³ between trough (y = 0)
/// and peak (y = 1), within 1 % of a cosine and free of transcendental functions.
fn curve(written: &Written, x: f64) -> f64 {
    let y = 1.0 - (2.0 * x - 1.0).abs();
    written.online_at_trough + (written.online_at_peak - written.online_at_trough) * y * y * (3.0 - 2.0 * y)
}

impl History for Diurnal {
    fn length(&self) -> u64 {
        DAY_LENGTH.as_nanos()
    }

    fn shift(&self, seed: u64, device: u32) -> u64 {
        let since_trough = self.timezone(seed, device) - self.peak + 0.5 * DAY;
        VirtualDuration::from_secs_f64(since_trough.rem_euclid(DAY)).as_nanos() % self.length()
    }

    fn epoch(&self, seed: u64, device: u32, index: u64) -> Epoch {
        let parts: [&dyn std::fmt::Display; 4] = [&"device", &device, &"availability/day", &index];
        let mut stream = Stream::keyed_parts(seed, &parts);
        let mut online = stream.chance(self.online[0]);
        let mut epoch = Epoch::new(online);
        let mut now =
            if online { Some(residual(&self.session, &mut stream)) } else { self.gap_ends(0.0, &mut stream) };
        while let Some(at) = now.map(VirtualDuration::from_secs_f64).filter(|at| *at < DAY_LENGTH) {
            epoch.change(at.as_nanos());
            online = !online;
            now = now.and_then(|now| match online {
                true => Some(now + self.session.sample(&mut stream)),
                false => self.gap_ends(now, &mut stream),
            });
        }
        epoch
    }
}
