//! Rates and amounts as integers.
//!
//! A link adds and removes caps millions of times; in floats the sum would drift and depend on the order. So a rate is a
//! whole number of 2^-32 bytes per second, an amount a whole number of 2^-32 nanobytes, and rate × nanoseconds = amount, exactly.

use serde::{Deserialize, Serialize};

use crate::quantity::Bytes;
use crate::time::{VirtualDuration, VirtualTime};

const FRACTION: u32 = 32;
/// Amount units in a byte.
const BYTE: u128 = 1_000_000_000 << FRACTION;

/// A rate in units of 2^-32 bytes per second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Rate(pub(super) u128);

/// An amount of data in units of 2^-32 nanobytes; the largest is 79 exabytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Amount(u128);

impl Rate {
    pub(super) const ZERO: Self = Self(0);
    /// 2^64 bytes per second; infinity is cut to this.
    pub(super) const MAX: Self = Self(1 << (64 + FRACTION));

    /// # Panics
    /// If the rate is NaN or negative.
    pub(super) fn from_bytes_per_s(rate: f64) -> Self {
        assert!(rate >= 0.0, "a rate of {rate} bytes per second");
        Self((rate * (1u64 << FRACTION) as f64) as u128).min(Self::MAX)
    }

    pub(super) fn bytes_per_s(self) -> f64 {
        self.0 as f64 / (1u64 << FRACTION) as f64
    }

    /// What flows at this rate in `span`.
    ///
    /// # Panics
    /// If it is more than fits; a link never waits beyond the next completion, so no flow can reach that.
    pub(super) fn over(self, span: VirtualDuration) -> Amount {
        Amount(self.0.checked_mul(u128::from(span.0)).expect("more than 79 exabytes in one step"))
    }
}

impl Amount {
    pub(super) const ZERO: Self = Self(0);

    pub(super) fn of(bytes: Bytes) -> Self {
        Self(u128::from(bytes.0) * BYTE)
    }

    /// Whole bytes, rounded down.
    pub(super) fn whole_bytes(self) -> Bytes {
        Bytes(u64::try_from(self.0 / BYTE).unwrap_or(u64::MAX))
    }

    pub(super) fn as_bytes_f64(self) -> f64 {
        self.0 as f64 / BYTE as f64
    }

    pub(super) fn plus(self, other: Self) -> Self {
        Self(
            self.0
                .checked_add(other.0)
                .expect("a link carried more than 79 exabytes per flow without a pause"),
        )
    }

    pub(super) fn saturating_minus(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// The first nanosecond from `now` on by which this much has flowed at `rate`; [`VirtualTime::MAX`] for never.
    pub(super) fn flown_by(self, rate: Rate, now: VirtualTime) -> VirtualTime {
        match (self.0, rate.0) {
            (0, _) => now,
            (_, 0) => VirtualTime::MAX,
            (amount, rate) => {
                let nanos = u64::try_from(amount.div_ceil(rate)).unwrap_or(u64::MAX);
                now.saturating_add(VirtualDuration(nanos))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_has_flown_in_the_first_nanosecond_that_covers_it() {
        let now = VirtualTime(5);
        let rate = Rate::from_bytes_per_s(3.0);
        assert_eq!(Amount::of(Bytes(1)).flown_by(rate, now), VirtualTime(5 + 333_333_334));
        assert_eq!(Amount::of(Bytes(3)).flown_by(rate, now), VirtualTime(5 + 1_000_000_000));
        assert_eq!(Amount::ZERO.flown_by(Rate::ZERO, now), now);
        assert_eq!(Amount::of(Bytes(1)).flown_by(Rate::ZERO, now), VirtualTime::MAX);
        assert_eq!(Amount::of(Bytes(u64::MAX)).flown_by(Rate(1), now), VirtualTime::MAX);
    }

    #[test]
    fn rates_and_amounts_convert_both_ways() {
        assert_eq!(Rate::from_bytes_per_s(1_234.5).bytes_per_s(), 1_234.5);
        assert_eq!(Rate::from_bytes_per_s(f64::INFINITY), Rate::MAX);
        assert_eq!(Rate::from_bytes_per_s(8.0).over(VirtualDuration::from_millis(500)), Amount::of(Bytes(4)));
        assert_eq!(
            Rate::from_bytes_per_s(8.0).over(VirtualDuration::from_millis(499)).whole_bytes(),
            Bytes(3)
        );
        assert_eq!(Amount::of(Bytes(1 << 40)).as_bytes_f64(), (1u64 << 40) as f64);
    }
}
