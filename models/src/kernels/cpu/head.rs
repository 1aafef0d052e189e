//! The loss over rows of logits and its gradient: a pass over the vocabulary for the log-sums of a row, and one that turns
//! logits into softmaxes.

use super::simd::{LANES, exp, largest, total, vectorised};

/// What is kept of a row: `Σ softmax` of a row is `e^(z · tilt − log_sum)`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LogSums {
    /// `log Σ e^z`.
    pub plain: f32,
    /// `log Σ e^(z/τ)`; the same where τ is 1.
    pub tempered: f32,
}

/// How much of each softmax a row's gradient has.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Shares {
    /// Of `softmax(z)`.
    pub plain: f32,
    /// Of `softmax(z/τ)`.
    pub tempered: f32,
}

vectorised! {
    /// The log-sums of every row of `logits`; `tilt` is 1/τ, and the tempered one is computed only where `wanted` says so.
    pub(crate) fn log_sums(logits: &[f32], vocab: usize, tilt: f32, wanted: &[bool], out: &mut [LogSums]) {
        for ((row, wanted), out) in logits.chunks_exact(vocab).zip(wanted).zip(out) {
            let most = largest(row);
            let plain = log_of_sum::<FMA>(row, most, 1.0);
            let tempered = if *wanted && tilt != 1.0 { log_of_sum::<FMA>(row, most, tilt) } else { plain };
            *out = LogSums { plain, tempered };
        }
    }
}

#[inline(always)]
fn log_of_sum<const FMA: bool>(row: &[f32], most: f32, tilt: f32) -> f32 {
    let (blocks, rest) = row.as_chunks::<LANES>();
    let mut sums = [0.0; LANES];
    for block in blocks {
        for lane in 0..LANES {
            sums[lane] += exp::<FMA>((block[lane] - most) * tilt);
        }
    }
    for (sum, z) in sums.iter_mut().zip(rest) {
        *sum += exp::<FMA>((*z - most) * tilt);
    }
    total(sums).ln() + most * tilt
}

vectorised! {
    /// Turns every row of logits into `plain · softmax(z) + tempered · softmax(z/τ)` with the shares of that row.
    pub(crate) fn softmaxes(logits: &mut [f32], vocab: usize, tilt: f32, kept: &[LogSums], shares: &[Shares]) {
        for ((row, sums), share) in logits.chunks_exact_mut(vocab).zip(kept).zip(shares) {
            if share.tempered == 0.0 {
                for z in row {
                    *z = share.plain * exp::<FMA>(*z - sums.plain);
                }
            } else if tilt == 1.0 {
                let both = share.plain + share.tempered;
                for z in row {
                    *z = both * exp::<FMA>(*z - sums.plain);
                }
            } else {
                for z in row {
                    let plain = share.plain * exp::<FMA>(*z - sums.plain);
                    *z = plain + share.tempered * exp::<FMA>(*z * tilt - sums.tempered);
                }
            }
        }
    }
}

vectorised! {
    /// Multiplies every value.
    pub(crate) fn scale(values: &mut [f32], factor: f32) {
        for value in values {
            *value *= factor;
        }
    }
}
