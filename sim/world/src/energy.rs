//! Energy of a device: power of its class times virtual time.
//!
//! Two figures are kept apart: *marginal* energy, what the simulated work adds (computing and radio), and *total* energy,
//! which adds what the device draws anyway. `train` and `radio` powers are above idle, so the parts add up and nothing
//! is counted twice.
//!
//! Power is constant per activity (chosen): no frequency scaling, no thermal throttling, no tail of the radio.

use std::iter::Sum;
use std::ops::{Add, AddAssign};

use cotune_kernel::Joules;
use cotune_scenario::fleet::Power;

/// Energy by what it was spent on.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Spent {
    /// Computing, above idle.
    pub train: Joules,
    /// Sending and receiving, above idle.
    pub radio: Joules,
    /// Being there.
    pub idle: Joules,
}

impl Spent {
    /// Energy of `seconds` of computing, above idle.
    pub fn training(power: &Power, seconds: f64) -> Self {
        Self { train: joules(power.train_watts, seconds), ..Self::default() }
    }

    /// Energy of `seconds` of sending or receiving, above idle.
    pub fn radio(power: &Power, seconds: f64) -> Self {
        Self { radio: joules(power.radio_watts, seconds), ..Self::default() }
    }

    /// Energy of `seconds` of being there, whatever else the device does meanwhile.
    pub fn idle(power: &Power, seconds: f64) -> Self {
        Self { idle: joules(power.idle_watts, seconds), ..Self::default() }
    }

    /// What the work added: training and radio.
    pub fn marginal(self) -> Joules {
        self.train + self.radio
    }

    /// What a meter at the plug would show.
    pub fn total(self) -> Joules {
        self.marginal() + self.idle
    }
}

/// Watts times seconds.
///
/// # Panics
/// If either is negative or not a number: energy is never gained.
pub fn joules(watts: f64, seconds: f64) -> Joules {
    assert!(watts >= 0.0 && seconds >= 0.0, "{watts} W for {seconds} s");
    Joules(watts * seconds)
}

impl Add for Spent {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self {
            train: self.train + other.train,
            radio: self.radio + other.radio,
            idle: self.idle + other.idle,
        }
    }
}

impl AddAssign for Spent {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sum for Spent {
    fn sum<I: Iterator<Item = Self>>(terms: I) -> Self {
        terms.fold(Self::default(), Add::add)
    }
}

#[cfg(test)]
mod tests {
    use cotune_kernel::Stream;

    use super::*;

    const PHONE: Power = Power { train_watts: 4.5, radio_watts: 1.8, idle_watts: 0.15 };

    #[test]
    fn a_phone_that_trains_for_an_hour_spends_four_and_a_half_watt_hours_and_idles_beside() {
        let spent = Spent::training(&PHONE, 3_600.0) + Spent::idle(&PHONE, 3_600.0);
        assert_eq!(spent.marginal().as_watt_hours(), 4.5);
        assert!((spent.total().as_watt_hours() - 4.65).abs() < 1e-12);
    }

    #[test]
    fn marginal_energy_leaves_idle_out_and_total_energy_does_not() {
        let spent = Spent::training(&PHONE, 10.0) + Spent::radio(&PHONE, 5.0) + Spent::idle(&PHONE, 100.0);
        assert_eq!(spent.marginal(), Joules(45.0 + 9.0));
        assert_eq!(spent.total(), Joules(45.0 + 9.0 + 15.0));
    }

    #[test]
    fn the_sum_over_devices_is_the_sum_over_activities() {
        let mut stream = Stream::keyed(1, "test/energy");
        let devices: Vec<Spent> = (0..1_000)
            .map(|_| {
                let mut seconds = || 1e4 * stream.uniform();
                Spent::training(&PHONE, seconds())
                    + Spent::radio(&PHONE, seconds())
                    + Spent::idle(&PHONE, seconds())
            })
            .collect();
        let fleet: Spent = devices.iter().copied().sum();
        let totals: Joules = devices.iter().map(|spent| spent.total()).sum();
        assert!((fleet.total().0 / totals.0 - 1.0).abs() < 1e-12);
    }

    #[test]
    fn work_cut_in_two_costs_what_it_costs_in_one() {
        let cut: Spent = [Spent::training(&PHONE, 7.0), Spent::training(&PHONE, 5.0)].into_iter().sum();
        assert_eq!(cut, Spent::training(&PHONE, 12.0));
    }

    #[test]
    #[should_panic(expected = "W for -1 s")]
    fn energy_is_never_gained() {
        Spent::radio(&PHONE, -1.0);
    }
}
