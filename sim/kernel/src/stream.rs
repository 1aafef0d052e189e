//! Random numbers that have names: a stream is a function of (seed, path) and of nothing else.
//!
//! `Stream::keyed(seed, "device/17/availability/day/3")` is always the same sequence, whoever asks, in whatever order, on
//! whatever machine. So no generator state is ever stored: what needs a random number says what it is for.
//!
//! The generator is ChaCha8 (Bernstein 2008, eight rounds) under a key of 32 bytes: the BLAKE3 keyed hash of the seed and
//! the path under a versioned context. Distinct paths are independent for every purpose short of cryptography.
//!
//! Raw variates come from `rand_distr` =0.6.0, whose samples may change between minor releases: hence the exact pin and the
//! golden values in `stream/tests.rs`. Its ziggurat calls the platform's `exp` and `ln` in two places. In the wedges they
//! only decide a comparison, which two correct libraries decide alike except when a draw falls within one unit in the
//! last place of the curve (once in about 10^15 draws). In the tail (one draw in 2,000) the value itself is a logarithm,
//! so the tail is drawn anew here, through `libm`.

mod select;

use std::convert::Infallible;
use std::fmt::Display;
use std::io::Write;

use rand::{Rng, RngExt, SeedableRng, TryRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Exp1, StandardNormal};

/// The key of the hash that turns names into generator keys. Changing it changes every simulation ever run.
const CONTEXT: &[u8; 32] = b"cotune keyed random streams / v1";

/// Where the ziggurat's tails begin (`ZIG_NORM_R` and `ZIG_EXP_R` of rand_distr; Marsaglia & Tsang 2000, 256 layers).
const NORMAL_TAIL: f64 = 3.654_152_885_361_009;
const EXPONENTIAL_TAIL: f64 = 7.697_117_470_131_05;

/// A named sequence of random numbers. Implements rand 0.10's `TryRng`, hence `Rng` and `RngExt`.
///
/// ```
/// # use cotune_kernel::Stream;
/// let mut a = Stream::keyed(7, "device/17/faults");
/// let mut b = Stream::keyed_parts(7, &[&"device", &17, &"faults"]);
/// assert_eq!(a.uniform(), b.uniform());
/// ```
#[derive(Clone, Debug)]
pub struct Stream {
    rng: ChaCha8Rng,
}

impl Stream {
    /// The stream named `path` under `seed`. Paths are written with slashes: `device/17/availability/day/3`.
    pub fn keyed(seed: u64, path: &str) -> Self {
        Self::keyed_parts(seed, &[&path])
    }

    /// The stream whose path is `parts` joined by slashes, without building the string.
    pub fn keyed_parts(seed: u64, parts: &[&dyn Display]) -> Self {
        let mut hasher = blake3::Hasher::new_keyed(CONTEXT);
        hasher.update(&seed.to_le_bytes());
        for (index, part) in parts.iter().enumerate() {
            let slash = if index == 0 { "" } else { "/" };
            write!(hasher, "{slash}{part}").expect("a hasher takes every byte");
        }
        Self { rng: ChaCha8Rng::from_seed(*hasher.finalize().as_bytes()) }
    }

    /// A multiple of 2^-53, uniform in [0, 1).
    pub fn uniform(&mut self) -> f64 {
        (self.rng.next_u64() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// An odd multiple of 2^-53, uniform in (0, 1): safe for logarithms.
    pub fn uniform_open(&mut self) -> f64 {
        ((self.rng.next_u64() >> 12) as f64 + 0.5) * (1.0 / (1u64 << 52) as f64)
    }

    /// Uniform in [`low`, `high`).
    ///
    /// # Panics
    /// Unless `low <= high` and both are finite.
    pub fn range(&mut self, low: f64, high: f64) -> f64 {
        assert!(low <= high && low.is_finite() && high.is_finite(), "no numbers between {low} and {high}");
        let drawn = low + (high - low) * self.uniform();
        // Rounding may reach `high`; the interval is half open.
        if drawn < high || low == high { drawn } else { high.next_down() }
    }

    /// True with probability `p` (clamped to [0, 1]).
    pub fn chance(&mut self, p: f64) -> bool {
        self.uniform() < p
    }

    /// A standard normal variate: mean 0, standard deviation 1.
    pub fn normal(&mut self) -> f64 {
        let drawn: f64 = self.rng.sample(StandardNormal);
        if drawn.abs() < NORMAL_TAIL {
            return drawn;
        }
        // Marsaglia 1964: the tail beyond r, by rejection from an exponential.
        loop {
            let x = -libm::log(self.uniform_open()) / NORMAL_TAIL;
            let y = -libm::log(self.uniform_open());
            if 2.0 * y >= x * x {
                return (NORMAL_TAIL + x).copysign(drawn);
            }
        }
    }

    /// An exponential variate of mean 1.
    pub fn exponential(&mut self) -> f64 {
        let drawn: f64 = self.rng.sample(Exp1);
        // Memoryless: beyond the tail's start it begins again.
        if drawn < EXPONENTIAL_TAIL { drawn } else { EXPONENTIAL_TAIL - libm::log(self.uniform_open()) }
    }

    /// A gamma variate of the given shape and scale 1 (mean and variance `shape`). For a shape far below 1 it may
    /// underflow to zero; [`Stream::ln_gamma`] does not.
    ///
    /// # Panics
    /// Unless `shape` is positive and finite.
    pub fn gamma(&mut self, shape: f64) -> f64 {
        if shape < 1.0 { libm::exp(self.ln_gamma(shape)) } else { self.gamma_of_large_shape(shape) }
    }

    /// The logarithm of a gamma variate of the given shape and scale 1, finite even for a shape of 0.001.
    ///
    /// Below shape 1: Gamma(a) = Gamma(a + 1) · U^(1/a) (Marsaglia & Tsang 2000, §6), in logarithms.
    ///
    /// # Panics
    /// Unless `shape` is positive and finite.
    pub fn ln_gamma(&mut self, shape: f64) -> f64 {
        assert!(shape > 0.0 && shape.is_finite(), "a gamma distribution of shape {shape}");
        if shape >= 1.0 {
            return libm::log(self.gamma_of_large_shape(shape));
        }
        libm::log(self.gamma_of_large_shape(shape + 1.0)) + libm::log(self.uniform_open()) / shape
    }

    /// Marsaglia & Tsang, "A simple method for generating gamma variables" (2000), for shapes of at least 1. Spelt out here,
    /// not taken from rand_distr, because the normals inside must be this stream's.
    fn gamma_of_large_shape(&mut self, shape: f64) -> f64 {
        let d = shape - 1.0 / 3.0;
        let c = 1.0 / libm::sqrt(9.0 * d);
        loop {
            let x = self.normal();
            let v = (1.0 + c * x) * (1.0 + c * x) * (1.0 + c * x);
            if v > 0.0 && libm::log(self.uniform_open()) < 0.5 * x * x + d * (1.0 - v + libm::log(v)) {
                return d * v;
            }
        }
    }
}

impl TryRng for Stream {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        self.rng.try_next_u32()
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        self.rng.try_next_u64()
    }

    fn try_fill_bytes(&mut self, dst: &mut [u8]) -> Result<(), Infallible> {
        self.rng.try_fill_bytes(dst)
    }
}

#[cfg(test)]
mod tests;
