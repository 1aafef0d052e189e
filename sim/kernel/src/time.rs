//! Virtual time: instants and spans in integer nanoseconds.
//!
//! Integers, because events are ordered by time and floats must never order events. A `u64` of nanoseconds spans
//! 584 years. Arithmetic by operator panics on overflow (a broken invariant); the `checked_` and `saturating_`
//! methods are for the places where the end of time is a legitimate answer.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Div, Mul, Sub, SubAssign};

use serde::{Deserialize, Serialize};

const NANOS_PER_SEC: u64 = 1_000_000_000;

/// An instant of virtual time: nanoseconds since the start of the simulation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct VirtualTime(pub u64);

/// A span of virtual time in nanoseconds; never negative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct VirtualDuration(pub u64);

impl VirtualTime {
    /// The start of the simulation.
    pub const ZERO: Self = Self(0);
    /// The end of time, 584 years on; also the answer to "when?" that means "never".
    pub const MAX: Self = Self(u64::MAX);

    /// The instant `nanos` nanoseconds after the start.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// The instant nearest to `secs` seconds after the start; see [`VirtualDuration::from_secs_f64`] for the rules.
    ///
    /// # Panics
    /// If `secs` is NaN.
    pub fn from_secs_f64(secs: f64) -> Self {
        Self(VirtualDuration::from_secs_f64(secs).0)
    }

    /// Nanoseconds since the start.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Seconds since the start, for reports; exact up to 2^53 ns (104 days), then rounded.
    pub fn as_secs_f64(self) -> f64 {
        VirtualDuration(self.0).as_secs_f64()
    }

    /// `self + span`, or `None` past the end of time.
    pub fn checked_add(self, span: VirtualDuration) -> Option<Self> {
        self.0.checked_add(span.0).map(Self)
    }

    /// `self + span`, stopping at [`VirtualTime::MAX`].
    pub fn saturating_add(self, span: VirtualDuration) -> Self {
        Self(self.0.saturating_add(span.0))
    }

    /// The span since `earlier`, or `None` if `earlier` is later.
    pub fn checked_since(self, earlier: Self) -> Option<VirtualDuration> {
        self.0.checked_sub(earlier.0).map(VirtualDuration)
    }

    /// The span since `earlier`, zero if `earlier` is later.
    pub fn saturating_since(self, earlier: Self) -> VirtualDuration {
        VirtualDuration(self.0.saturating_sub(earlier.0))
    }
}

impl VirtualDuration {
    /// No time at all.
    pub const ZERO: Self = Self(0);
    /// The longest span, 584 years.
    pub const MAX: Self = Self(u64::MAX);

    /// A span of `nanos` nanoseconds.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// A span of `millis` milliseconds.
    ///
    /// # Panics
    /// If it does not fit in 584 years.
    pub const fn from_millis(millis: u64) -> Self {
        match millis.checked_mul(NANOS_PER_SEC / 1_000) {
            Some(nanos) => Self(nanos),
            None => panic!("milliseconds beyond the end of virtual time"),
        }
    }

    /// A span of `secs` seconds.
    ///
    /// # Panics
    /// If it does not fit in 584 years.
    pub const fn from_secs(secs: u64) -> Self {
        match secs.checked_mul(NANOS_PER_SEC) {
            Some(nanos) => Self(nanos),
            None => panic!("seconds beyond the end of virtual time"),
        }
    }

    /// The span nearest to `secs` seconds: rounded to the nanosecond (half away from zero), negative clamped to zero,
    /// too long (infinity included, as in "bytes over no bandwidth") clamped to [`VirtualDuration::MAX`].
    ///
    /// # Panics
    /// If `secs` is NaN: a duration that is not a number is a broken model, not a user's mistake.
    pub fn from_secs_f64(secs: f64) -> Self {
        assert!(!secs.is_nan(), "a duration of NaN seconds");
        // `as` saturates: negatives to 0, everything past u64::MAX to u64::MAX.
        Self(libm::round(secs * NANOS_PER_SEC as f64) as u64)
    }

    /// Nanoseconds.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Seconds, for rates and reports; exact up to 2^53 ns (104 days), then rounded.
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / NANOS_PER_SEC as f64
    }

    /// `self + other`, or `None` on overflow.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }

    /// `self - other`, or `None` if `other` is longer.
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        self.0.checked_sub(other.0).map(Self)
    }

    /// `self + other`, stopping at [`VirtualDuration::MAX`].
    pub fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// `self - other`, stopping at zero.
    pub fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// `self × factor`, stopping at [`VirtualDuration::MAX`].
    pub fn saturating_mul(self, factor: u64) -> Self {
        Self(self.0.saturating_mul(factor))
    }
}

impl Add<VirtualDuration> for VirtualTime {
    type Output = Self;
    fn add(self, span: VirtualDuration) -> Self {
        self.checked_add(span).unwrap_or_else(|| panic!("{self} + {span} lies past the end of virtual time"))
    }
}

impl AddAssign<VirtualDuration> for VirtualTime {
    fn add_assign(&mut self, span: VirtualDuration) {
        *self = *self + span;
    }
}

impl Sub for VirtualTime {
    type Output = VirtualDuration;
    fn sub(self, earlier: Self) -> VirtualDuration {
        self.checked_since(earlier).unwrap_or_else(|| panic!("{earlier} is not before {self}"))
    }
}

impl Add for VirtualDuration {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        self.checked_add(other).unwrap_or_else(|| panic!("{self} + {other} is longer than virtual time"))
    }
}

impl AddAssign for VirtualDuration {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sub for VirtualDuration {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        self.checked_sub(other).unwrap_or_else(|| panic!("{self} - {other} is negative"))
    }
}

impl SubAssign for VirtualDuration {
    fn sub_assign(&mut self, other: Self) {
        *self = *self - other;
    }
}

impl Mul<u64> for VirtualDuration {
    type Output = Self;
    fn mul(self, factor: u64) -> Self {
        Self(
            self.0
                .checked_mul(factor)
                .unwrap_or_else(|| panic!("{self} × {factor} is longer than virtual time")),
        )
    }
}

impl Div<u64> for VirtualDuration {
    type Output = Self;
    fn div(self, divisor: u64) -> Self {
        Self(self.0 / divisor)
    }
}

impl Sum for VirtualDuration {
    fn sum<I: Iterator<Item = Self>>(spans: I) -> Self {
        spans.fold(Self::ZERO, Add::add)
    }
}

impl fmt::Display for VirtualTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&VirtualDuration(self.0), f)
    }
}

/// `17ns`, `1.5µs`, `350ms`, `3.5s`, `2m 03.5s`, `1h 02m 03.5s`, `3d 01h 02m 03.5s`. At most three decimals, cut, not
/// rounded, so that a shown time is never later than the real one.
impl fmt::Display for VirtualDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.0;
        let text = match nanos {
            0 => "0s".to_string(),
            1..1_000 => format!("{nanos}ns"),
            1_000..1_000_000 => decimals(nanos, 1_000, 1) + "µs",
            1_000_000..NANOS_PER_SEC => decimals(nanos, 1_000_000, 1) + "ms",
            _ => {
                let minutes = nanos / NANOS_PER_SEC / 60;
                let (days, hours, minutes_left) = (minutes / 1_440, minutes / 60 % 24, minutes % 60);
                let nanos_left = nanos % (60 * NANOS_PER_SEC);
                match (days, hours, minutes_left) {
                    (0, 0, 0) => decimals(nanos_left, NANOS_PER_SEC, 1) + "s",
                    (0, 0, m) => format!("{m}m {}s", decimals(nanos_left, NANOS_PER_SEC, 2)),
                    (0, h, m) => format!("{h}h {m:02}m {}s", decimals(nanos_left, NANOS_PER_SEC, 2)),
                    (d, h, m) => format!("{d}d {h:02}h {m:02}m {}s", decimals(nanos_left, NANOS_PER_SEC, 2)),
                }
            }
        };
        f.pad(&text)
    }
}

/// `nanos / unit` with at most three decimals and at least `width` digits before the point.
fn decimals(nanos: u64, unit: u64, width: usize) -> String {
    let thousandths = nanos % unit / (unit / 1_000);
    let text = format!("{:0width$}.{thousandths:03}", nanos / unit);
    text.trim_end_matches('0').trim_end_matches('.').to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_rounded_to_the_nanosecond_and_clamped() {
        assert_eq!(VirtualDuration::from_secs_f64(1.000_000_000_6), VirtualDuration(1_000_000_001));
        assert_eq!(VirtualDuration::from_secs_f64(0.4e-9), VirtualDuration::ZERO);
        assert_eq!(VirtualDuration::from_secs_f64(-3.0), VirtualDuration::ZERO);
        assert_eq!(VirtualDuration::from_secs_f64(f64::INFINITY), VirtualDuration::MAX);
        assert_eq!(VirtualTime::from_secs_f64(2.5).as_secs_f64(), 2.5);
    }

    #[test]
    #[should_panic(expected = "NaN")]
    fn a_duration_of_nan_seconds_is_refused() {
        VirtualDuration::from_secs_f64(f64::NAN);
    }

    #[test]
    fn arithmetic_stops_at_the_ends_only_when_asked_to() {
        assert_eq!(VirtualTime::MAX.checked_add(VirtualDuration(1)), None);
        assert_eq!(VirtualTime::MAX.saturating_add(VirtualDuration(1)), VirtualTime::MAX);
        assert_eq!(VirtualTime(3).checked_since(VirtualTime(5)), None);
        assert_eq!(VirtualTime(3).saturating_since(VirtualTime(5)), VirtualDuration::ZERO);
        assert_eq!(VirtualTime(5) - VirtualTime(3), VirtualDuration(2));
        assert!(std::panic::catch_unwind(|| VirtualTime(3) - VirtualTime(5)).is_err());
        assert!(std::panic::catch_unwind(|| VirtualTime::MAX + VirtualDuration(1)).is_err());
    }

    #[test]
    fn a_time_reads_as_human_text() {
        let shown = |secs: f64| VirtualDuration::from_secs_f64(secs).to_string();
        assert_eq!(shown(0.0), "0s");
        assert_eq!(shown(17e-9), "17ns");
        assert_eq!(shown(1.5e-6), "1.5µs");
        assert_eq!(shown(0.35), "350ms");
        assert_eq!(shown(3.5), "3.5s");
        assert_eq!(shown(60.0), "1m 00s");
        assert_eq!(shown(3_723.5), "1h 02m 03.5s");
        assert_eq!(shown(3.0 * 86_400.0 + 3_723.25), "3d 01h 02m 03.25s");
        assert_eq!(VirtualDuration(59_999_999_999).to_string(), "59.999s");
        assert_eq!(format!("{:>8}", VirtualDuration::from_secs(2)), "      2s");
    }
}
