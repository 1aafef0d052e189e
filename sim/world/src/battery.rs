//! The charge of a battery, at any instant.
//!
//! A device is plugged in once a day at its own habitual time and stays there as long as its class says. Plugged in it
//! charges at the charger's power until it is full; otherwise its owner draws a constant power, until it is empty. What
//! the simulated work draws comes on top, from the charger or the battery.
//!
//! So the charge of a device that never worked is a periodic function of local time with a closed form: full when it is
//! unplugged, if the charger makes up for a day of use. It costs no events and can be asked about at any time. A device
//! that worked remembers one [`Charge`], from which its next is found by walking over the intervals between.
//!
//! The rule and its defaults are chosen; that phones are charged at night is from Falaki et al., "Diversity in smartphone
//! usage" (2010, §6), that production federated learning runs on charging phones from Bonawitz et al. 2019 (arXiv 1902.01046).

use cotune_kernel::{Stream, VirtualDuration, VirtualTime};
use cotune_scenario::fleet::Battery as Written;
use serde::{Deserialize, Serialize};

const DAY: f64 = 86_400.0;

/// The battery of a class of devices.
#[derive(Clone, Debug, PartialEq)]
pub struct Battery {
    capacity: f64,
    /// Charge above which it trains \[J\].
    threshold: f64,
    /// Power of the charger \[W\].
    charger: f64,
    /// What the owner draws while unplugged \[W\].
    usage: f64,
    /// Local time at which it is plugged in \[s after midnight\].
    plugged_from: f64,
    /// For how long \[s\].
    plugged: f64,
    /// How far a device's habit is from that \[s\].
    spread: f64,
    /// Charge when it is unplugged, without simulated work \[J\].
    peak: f64,
}

/// What a device knows of its battery.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Charge {
    /// When.
    pub at: VirtualTime,
    /// How much \[J\].
    pub joules: f64,
}

impl Battery {
    /// The battery that a scenario describes.
    pub fn new(written: &Written) -> Self {
        let Written { capacity_joules: capacity, train_above, charge_watts, use_watts, plugged } = written;
        let lasts = plugged.lasts_seconds.clamp(0.0, DAY);
        // Either a night makes up for a day, or the day ends empty and the night's charge is all there is.
        let (gained, used) = (charge_watts * lasts, (use_watts * (DAY - lasts)).min(*capacity));
        Self {
            capacity: *capacity,
            threshold: train_above * capacity,
            charger: *charge_watts,
            usage: *use_watts,
            plugged_from: plugged.from_seconds,
            plugged: lasts,
            spread: plugged.spread_seconds,
            peak: if gained >= used { *capacity } else { gained },
        }
    }

    /// Whether a charge is enough to train.
    pub fn allows(&self, joules: f64) -> bool {
        joules > self.threshold
    }

    /// A charge that has fallen to the threshold, free of what rounding to nanoseconds leaves above it.
    pub fn spent(&self, charge: Charge) -> Charge {
        Charge { joules: charge.joules.min(self.threshold), ..charge }
    }

    /// The charge \[J\] at `t` of a device that never worked; `timezone` is its local time minus the simulation's \[s\].
    pub fn undisturbed(&self, seed: u64, device: u32, timezone: f64, t: VirtualTime) -> f64 {
        let since = self.since_plugged(seed, device, timezone, t);
        if since < self.plugged {
            let low = (self.peak - self.usage * (DAY - self.plugged)).max(0.0);
            (low + self.charger * since).min(self.capacity)
        } else {
            (self.peak - self.usage * (since - self.plugged)).max(0.0)
        }
    }

    /// The charge at `until`, of a device that had `charge` and since then also drew `watts`.
    pub fn after(
        &self,
        seed: u64,
        device: u32,
        timezone: f64,
        charge: Charge,
        until: VirtualTime,
        watts: f64,
    ) -> Charge {
        let mut left = until.saturating_since(charge.at).as_secs_f64();
        let mut joules = charge.joules;
        for stretch in self.stretches(seed, device, timezone, charge.at, watts) {
            let seconds = stretch.seconds.min(left);
            joules = (joules + stretch.watts * seconds).clamp(0.0, self.capacity);
            left -= seconds;
            if left <= 0.0 {
                break;
            }
        }
        Charge { at: until, joules }
    }

    /// After how many seconds of drawing `watts` the charge has fallen to the threshold, if it does within `seconds`.
    pub fn spent_within(
        &self,
        seed: u64,
        device: u32,
        timezone: f64,
        charge: Charge,
        watts: f64,
        seconds: f64,
    ) -> Option<f64> {
        let (mut joules, mut elapsed) = (charge.joules, 0.0);
        if !self.allows(joules) {
            return Some(0.0);
        }
        for stretch in self.stretches(seed, device, timezone, charge.at, watts) {
            let reached = elapsed + (joules - self.threshold) / -stretch.watts;
            if stretch.watts < 0.0 && reached <= elapsed + stretch.seconds {
                return Some(reached).filter(|at| *at < seconds);
            }
            joules = (joules + stretch.watts * stretch.seconds).min(self.capacity);
            elapsed += stretch.seconds;
            if elapsed >= seconds {
                break;
            }
        }
        None
    }

    /// Seconds since the device was last plugged in, in [0, a day).
    fn since_plugged(&self, seed: u64, device: u32, timezone: f64, t: VirtualTime) -> f64 {
        let habit = match self.spread {
            0.0 => 0.0,
            spread => {
                Stream::keyed_parts(seed, &[&"device", &device, &"battery/habit"]).range(-spread, spread)
            }
        };
        // The day of the clock in integers: after years a float of seconds is still exact to the nanosecond.
        let clock = VirtualDuration::from_nanos(t.as_nanos() % (DAY as u64 * 1_000_000_000)).as_secs_f64();
        (clock + timezone - self.plugged_from - habit).rem_euclid(DAY)
    }

    /// The net power of the battery \[W\] from `t` on, stretch by stretch, at a draw of `watts`.
    fn stretches(
        &self,
        seed: u64,
        device: u32,
        timezone: f64,
        t: VirtualTime,
        watts: f64,
    ) -> impl Iterator<Item = Stretch> + use<> {
        let since = self.since_plugged(seed, device, timezone, t);
        let charging = Stretch { seconds: self.plugged, watts: self.charger - watts };
        let draining = Stretch { seconds: DAY - self.plugged, watts: -self.usage - watts };
        let (first, next) = if since < self.plugged {
            (Stretch { seconds: self.plugged - since, ..charging }, [draining, charging])
        } else {
            (Stretch { seconds: DAY - since, ..draining }, [charging, draining])
        };
        std::iter::once(first).chain(next.into_iter().cycle())
    }
}

/// A time during which the battery's net power does not change.
#[derive(Clone, Copy)]
struct Stretch {
    seconds: f64,
    watts: f64,
}

#[cfg(test)]
mod tests {
    use cotune_scenario::fleet::Plugged;

    use super::*;

    const HOUR: f64 = 3_600.0;

    /// 36 kJ that a night of 8 h from 22:00 at 5 W fills, and a day at 0.25 W empties by 14.4 kJ.
    fn phone() -> Written {
        let plugged = Plugged { from_seconds: 22.0 * HOUR, lasts_seconds: 8.0 * HOUR, spread_seconds: 0.0 };
        Written { capacity_joules: 36e3, train_above: 0.5, charge_watts: 5.0, use_watts: 0.25, plugged }
    }

    fn at(hours: f64) -> VirtualTime {
        VirtualTime::from_secs_f64(hours * HOUR)
    }

    fn near(seen: f64, expected: f64) {
        assert!((seen - expected).abs() < 1e-6 * expected.abs().max(1.0), "{seen}, expected {expected}");
    }

    #[test]
    fn an_idle_phone_is_full_in_the_morning_and_at_sixty_percent_at_night() {
        let battery = Battery::new(&phone());
        for (hours, joules) in
            [(6.0, 36e3), (10.0, 32.4e3), (22.0, 21.6e3), (22.5, 30.6e3), (30.0, 36e3), (34.0, 32.4e3)]
        {
            near(battery.undisturbed(1, 0, 0.0, at(hours)), joules);
        }
        near(battery.undisturbed(1, 0, 3.0 * HOUR, at(7.0)), 32.4e3);
    }

    #[test]
    fn walking_from_one_charge_to_another_agrees_with_the_closed_form() {
        let battery = Battery::new(&Written {
            plugged: Plugged { spread_seconds: 7_200.0, ..phone().plugged },
            ..phone()
        });
        for device in 0..20 {
            for (from, until) in [(0.0, 1.0), (3.0, 40.0), (15.5, 15.75), (20.0, 200.0)] {
                let joules = battery.undisturbed(1, device, 0.0, at(from));
                let later = battery.after(1, device, 0.0, Charge { at: at(from), joules }, at(until), 0.0);
                near(later.joules, battery.undisturbed(1, device, 0.0, at(until)));
            }
        }
    }

    #[test]
    fn work_drains_and_a_night_makes_up_for_it() {
        let battery = Battery::new(&phone());
        let noon = Charge { at: at(12.0), joules: battery.undisturbed(1, 0, 0.0, at(12.0)) };
        let worked = battery.after(1, 0, 0.0, noon, at(13.0), 3.0);
        near(worked.joules, noon.joules - (3.0 + 0.25) * HOUR);
        near(battery.after(1, 0, 0.0, worked, at(30.0), 0.0).joules, 36e3);
    }

    #[test]
    fn training_ends_when_the_charge_reaches_the_threshold() {
        let battery = Battery::new(&phone());
        let noon = Charge { at: at(12.0), joules: 30.6e3 };
        let seconds = battery.spent_within(1, 0, 0.0, noon, 3.0, 1e6).unwrap();
        near(seconds, (30.6e3 - 18e3) / 3.25);
        let then = at(12.0) + VirtualDuration::from_secs_f64(seconds);
        near(battery.after(1, 0, 0.0, noon, then, 3.0).joules, 18e3);
        assert_eq!(battery.spent_within(1, 0, 0.0, noon, 3.0, seconds - 1.0), None);
        // At the charger it gains while it trains.
        let night = Charge { at: at(22.0), joules: 21.6e3 };
        assert_eq!(battery.spent_within(1, 0, 0.0, night, 3.0, 7.9 * HOUR), None);
        assert_eq!(battery.spent_within(1, 0, 0.0, Charge { joules: 18e3, ..noon }, 0.0, 1.0), Some(0.0));
    }

    #[test]
    fn a_charger_that_cannot_keep_up_leaves_what_it_gave() {
        let battery = Battery::new(&Written { charge_watts: 0.1, ..phone() });
        near(battery.undisturbed(1, 0, 0.0, at(6.0)), 0.1 * 8.0 * HOUR);
        assert_eq!(battery.undisturbed(1, 0, 0.0, at(21.9)), 0.0);
        let empty = Charge { at: at(22.0), joules: 0.0 };
        near(battery.after(1, 0, 0.0, empty, at(30.0), 0.0).joules, 0.1 * 8.0 * HOUR);
    }

    #[test]
    fn habits_differ_between_devices() {
        let written = Written { plugged: Plugged { spread_seconds: 7_200.0, ..phone().plugged }, ..phone() };
        let battery = Battery::new(&written);
        let evening = |device| battery.undisturbed(1, device, 0.0, at(22.0)) > 23.4e3;
        let plugged = (0..1_000).filter(|device| evening(*device)).count();
        assert!((400..600).contains(&plugged), "{plugged} of 1,000 are at the charger before 22:00 already");
    }
}
