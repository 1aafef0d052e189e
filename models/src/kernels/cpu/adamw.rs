//! One step of AdamW over flat buffers.

use super::simd::{LANES, or_nothing, vectorised};

/// What one step multiplies and adds; all derived from the rule, the rate and the number of the step.
#[derive(Clone, Copy, Debug)]
pub struct Factors {
    /// Of the gradient: below 1 where it is clipped.
    pub clip: f32,
    /// β₁.
    pub beta1: f32,
    /// β₂.
    pub beta2: f32,
    /// `1 / (1 − β₁ᵗ)`.
    pub unbias1: f32,
    /// `1 / (1 − β₂ᵗ)`.
    pub unbias2: f32,
    /// ε.
    pub epsilon: f32,
    /// Learning rate.
    pub lr: f32,
    /// Learning rate times decay.
    pub decay: f32,
}

/// The square of the norm, summed in f64: thirty-two sums side by side.
pub(crate) fn squared_norm(x: &[f32]) -> f64 {
    vectorised! {
        fn sums(x: &[f32], sums: &mut [f64; LANES]) {
            let (blocks, rest) = x.as_chunks::<LANES>();
            for block in blocks {
                for lane in 0..LANES {
                    let x = f64::from(block[lane]);
                    sums[lane] += x * x;
                }
            }
            for (sum, x) in sums.iter_mut().zip(rest) {
                *sum += f64::from(*x) * f64::from(*x);
            }
        }
    }
    let mut lanes = [0.0; LANES];
    sums(x, &mut lanes);
    lanes.iter().sum()
}

vectorised! {
    /// Moves `values`, `first` and `second` by one step along `gradient`. `decay` is 1 where weight decay applies, and
    /// empty where there is none.
    pub(crate) fn step(
        factors: Factors,
        gradient: &[f32],
        decay: &[f32],
        values: &mut [f32],
        first: &mut [f32],
        second: &mut [f32],
    ) {
        let f = factors;
        if !decay.is_empty() {
            for (value, decay) in values.iter_mut().zip(decay) {
                *value -= *value * (decay * f.decay);
            }
        }
        for (((value, first), second), gradient) in values.iter_mut().zip(first).zip(second).zip(gradient) {
            let g = or_nothing(gradient * f.clip);
            *first = or_nothing(*first * f.beta1 + g * (1.0 - f.beta1));
            *second = *second * f.beta2 + g * g * (1.0 - f.beta2);
            let root = (*second * f.unbias2).sqrt() + f.epsilon;
            *value -= f.lr * (*first * f.unbias1 / root);
        }
    }
}
