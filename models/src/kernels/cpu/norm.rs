//! Normalisation of rows; the statistics of a row are computed again for its gradient, which is cheaper than keeping
//! them.

use super::simd::{mul_add, sum_of, sum_of_pairs, vectorised};

/// What a norm is trained with; an empty gradient is not wanted.
pub(crate) struct Gradients<'g> {
    /// Of the input, `[rows, width]`.
    pub x: &'g mut [f32],
    /// Of the gain, `[width]`, added to.
    pub gain: &'g mut [f32],
    /// Of the bias, `[width]`, added to.
    pub bias: &'g mut [f32],
}

vectorised! {
    /// `out = x / √(mean(x²) + ε) · gain`, row by row.
    pub(crate) fn rms(x: &[f32], gain: &[f32], epsilon: f32, out: &mut [f32]) {
        let width = gain.len();
        for (x, out) in x.chunks_exact(width).zip(out.chunks_exact_mut(width)) {
            let scale = inverse_rms(x, epsilon);
            for ((out, x), gain) in out.iter_mut().zip(x).zip(gain) {
                *out = x * scale * gain;
            }
        }
    }
}

#[inline(always)]
fn inverse_rms(x: &[f32], epsilon: f32) -> f32 {
    1.0 / (sum_of(x, |x| x * x) / x.len() as f32 + epsilon).sqrt()
}

vectorised! {
    /// The gradients of [`rms`] where `grad` is that of its output.
    pub(crate) fn rms_back(x: &[f32], gain: &[f32], epsilon: f32, grad: &[f32], to: Gradients<'_>) {
        let width = gain.len();
        let mut line = vec![0.0; width];
        for (row, (x, grad)) in x.chunks_exact(width).zip(grad.chunks_exact(width)).enumerate() {
            let scale = inverse_rms(x, epsilon);
            if !to.gain.is_empty() {
                for ((sum, x), grad) in to.gain.iter_mut().zip(x).zip(grad) {
                    *sum = mul_add::<FMA>(x * scale, *grad, *sum);
                }
            }
            if to.x.is_empty() {
                continue;
            }
            for ((line, grad), gain) in line.iter_mut().zip(grad).zip(gain) {
                *line = grad * gain;
            }
            let pull = sum_of_pairs(&line, x, |g, x| g * x) * scale * scale / width as f32;
            let out = &mut to.x[row * width..(row + 1) * width];
            for ((out, x), line) in out.iter_mut().zip(x).zip(&line) {
                *out = scale * mul_add::<FMA>(-pull, *x, *line);
            }
        }
    }
}

vectorised! {
    /// `out = (x − mean(x)) / √(var(x) + ε) · gain + bias`, row by row.
    pub(crate) fn layer(x: &[f32], gain: &[f32], bias: &[f32], epsilon: f32, out: &mut [f32]) {
        let width = gain.len();
        for (x, out) in x.chunks_exact(width).zip(out.chunks_exact_mut(width)) {
            let scale = centre(x, out, epsilon);
            for ((out, gain), bias) in out.iter_mut().zip(gain).zip(bias) {
                *out = mul_add::<FMA>(*out * scale, *gain, *bias);
            }
        }
    }
}

/// Subtracts the mean and returns the inverse of the standard deviation.
#[inline(always)]
fn centre(x: &[f32], centred: &mut [f32], epsilon: f32) -> f32 {
    let n = x.len() as f32;
    let mean = sum_of(x, |x| x) / n;
    for (centred, x) in centred.iter_mut().zip(x) {
        *centred = x - mean;
    }
    1.0 / (sum_of(centred, |c| c * c) / n + epsilon).sqrt()
}

vectorised! {
    /// The gradients of [`layer`] where `grad` is that of its output.
    pub(crate) fn layer_back(x: &[f32], gain: &[f32], epsilon: f32, grad: &[f32], to: Gradients<'_>) {
        let width = gain.len();
        let n = width as f32;
        let (mut line, mut unit) = (vec![0.0; width], vec![0.0; width]);
        for (row, (x, grad)) in x.chunks_exact(width).zip(grad.chunks_exact(width)).enumerate() {
            let scale = centre(x, &mut unit, epsilon);
            for unit in &mut unit {
                *unit *= scale;
            }
            if !to.gain.is_empty() {
                for ((sum, unit), grad) in to.gain.iter_mut().zip(&unit).zip(grad) {
                    *sum = mul_add::<FMA>(*unit, *grad, *sum);
                }
            }
            if !to.bias.is_empty() {
                for (sum, grad) in to.bias.iter_mut().zip(grad) {
                    *sum += grad;
                }
            }
            if to.x.is_empty() {
                continue;
            }
            for ((line, grad), gain) in line.iter_mut().zip(grad).zip(gain) {
                *line = grad * gain;
            }
            let push = sum_of(&line, |g| g) / n;
            let pull = sum_of_pairs(&line, &unit, |g, u| g * u) / n;
            let out = &mut to.x[row * width..(row + 1) * width];
            for ((out, unit), line) in out.iter_mut().zip(&unit).zip(&line) {
                *out = scale * mul_add::<FMA>(-pull, *unit, line - push);
            }
        }
    }
}
