//! Quantities that carry their unit in the type: bytes, floating-point operations, joules.
//!
//! Bytes are counted, so they are integers; operations and joules are modelled, so they are floats.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Sub};

use serde::{Deserialize, Serialize};

/// A count of bytes. Displayed in binary multiples (`1.5 MiB`), as memory and payloads are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Bytes(pub u64);

/// A number of floating-point operations (not a rate). Displayed in decimal multiples (`1.2 TFLOP`).
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Flops(pub f64);

/// An energy in joules. Displayed in decimal multiples (`3.6 kJ`).
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Joules(pub f64);

impl Bytes {
    /// No bytes.
    pub const ZERO: Self = Self(0);

    /// The count as a float, for rates; exact up to 2^53 (8 PiB).
    pub fn as_f64(self) -> f64 {
        self.0 as f64
    }

    /// `self - other`, stopping at zero.
    pub fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl Flops {
    /// No operations.
    pub const ZERO: Self = Self(0.0);
}

impl Joules {
    /// No energy.
    pub const ZERO: Self = Self(0.0);

    /// The energy in watt-hours (3,600 J).
    pub fn as_watt_hours(self) -> f64 {
        self.0 / 3_600.0
    }
}

/// What every quantity can do: be added, taken away and summed.
macro_rules! additive {
    ($($quantity:ident),*) => {$(
        impl Add for $quantity {
            type Output = Self;
            fn add(self, other: Self) -> Self {
                Self(self.0 + other.0)
            }
        }
        impl AddAssign for $quantity {
            fn add_assign(&mut self, other: Self) {
                *self = *self + other;
            }
        }
        impl Sum for $quantity {
            fn sum<I: Iterator<Item = Self>>(terms: I) -> Self {
                terms.fold(Self::ZERO, Add::add)
            }
        }
        impl<'a> Sum<&'a $quantity> for $quantity {
            fn sum<I: Iterator<Item = &'a $quantity>>(terms: I) -> Self {
                terms.copied().sum()
            }
        }
    )*};
}
additive!(Flops, Joules);

/// Bytes are conserved, so a sum that overflows or a difference below zero is a broken invariant and panics, in
/// release builds too.
impl Add for Bytes {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.checked_add(other.0).unwrap_or_else(|| panic!("{self} + {other} overflows")))
    }
}

impl AddAssign for Bytes {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sum for Bytes {
    fn sum<I: Iterator<Item = Self>>(terms: I) -> Self {
        terms.fold(Self::ZERO, Add::add)
    }
}

impl<'a> Sum<&'a Bytes> for Bytes {
    fn sum<I: Iterator<Item = &'a Bytes>>(terms: I) -> Self {
        terms.copied().sum()
    }
}

impl Sub for Bytes {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0.checked_sub(other.0).unwrap_or_else(|| panic!("{self} - {other} is negative")))
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const PREFIXES: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
        if self.0 < 1_024 {
            f.pad(&format!("{} B", self.0))
        } else {
            scaled(f, self.0 as f64, 1_024.0, &PREFIXES, "")
        }
    }
}

const SI: [&str; 9] = ["", "k", "M", "G", "T", "P", "E", "Z", "Y"];

impl fmt::Display for Flops {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        scaled(f, self.0, 1_000.0, &SI, "FLOP")
    }
}

impl fmt::Display for Joules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 != 0.0 && self.0.abs() < 1.0 {
            scaled(f, self.0 * 1e3, 1_000.0, &["m"], "J")
        } else {
            scaled(f, self.0, 1_000.0, &SI, "J")
        }
    }
}

/// `value` with three significant digits or more under the largest prefix that keeps it at 1 or above.
fn scaled(f: &mut fmt::Formatter<'_>, value: f64, step: f64, prefixes: &[&str], unit: &str) -> fmt::Result {
    let mut value = value;
    let mut prefix = 0;
    while value.abs() >= step && prefix + 1 < prefixes.len() {
        value /= step;
        prefix += 1;
    }
    let digits = if value.abs() < 10.0 { 2 } else { usize::from(value.abs() < 100.0) };
    let number = format!("{value:.digits$}");
    let number = if digits > 0 { number.trim_end_matches('0').trim_end_matches('.') } else { &number };
    f.pad(&format!("{number} {}{unit}", prefixes[prefix]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_read_with_their_prefix_and_unit() {
        assert_eq!(Bytes(0).to_string(), "0 B");
        assert_eq!(Bytes(1_023).to_string(), "1023 B");
        assert_eq!(Bytes(1_536).to_string(), "1.5 KiB");
        assert_eq!(Bytes(6 << 30).to_string(), "6 GiB");
        assert_eq!(Bytes(u64::MAX).to_string(), "16 EiB");
        assert_eq!(Flops(1.234e12).to_string(), "1.23 TFLOP");
        assert_eq!(Flops(250.0).to_string(), "250 FLOP");
        assert_eq!(Joules(3_600.0).to_string(), "3.6 kJ");
        assert_eq!(Joules(0.25).to_string(), "250 mJ");
        assert_eq!(Joules(3_600.0).as_watt_hours(), 1.0);
    }

    #[test]
    fn quantities_add_up() {
        assert_eq!([Bytes(1), Bytes(2)].iter().sum::<Bytes>(), Bytes(3));
        assert_eq!([Flops(1.5), Flops(2.5)].into_iter().sum::<Flops>(), Flops(4.0));
        assert_eq!(Joules(1.0) + Joules(0.5), Joules(1.5));
    }

    #[test]
    fn bytes_never_wrap() {
        assert!(std::panic::catch_unwind(|| Bytes(1) - Bytes(2)).is_err());
        assert!(std::panic::catch_unwind(|| Bytes(u64::MAX) + Bytes(1)).is_err());
    }
}
