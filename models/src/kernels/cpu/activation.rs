//! The non-linearities of the MLP and their slopes.

use super::simd::{exp, mul_add, sigmoid, vectorised};

vectorised! {
    /// `out = gate · sigmoid(gate) · up`.
    pub(crate) fn swiglu(gate: &[f32], up: &[f32], out: &mut [f32]) {
        for ((out, gate), up) in out.iter_mut().zip(gate).zip(up) {
            *out = gate * sigmoid::<FMA>(*gate) * up;
        }
    }
}

vectorised! {
    /// The gradients of [`swiglu`]: that of `gate` goes to `to_gate`, that of `up` takes the place of `grad`.
    pub(crate) fn swiglu_back(gate: &[f32], up: &[f32], grad: &mut [f32], to_gate: &mut [f32]) {
        for (((to_gate, grad), gate), up) in to_gate.iter_mut().zip(grad).zip(gate).zip(up) {
            let s = sigmoid::<FMA>(*gate);
            *to_gate = *grad * up * s * mul_add::<FMA>(*gate, 1.0 - s, 1.0);
            *grad = *grad * gate * s;
        }
    }
}

/// `2 √(2/π)`.
const TWICE_SQRT_2_OVER_PI: f32 = 1.595_769;
/// The cubic part of the tanh approximation.
const CUBIC: f32 = 0.044_715;

vectorised! {
    /// `out = x · sigmoid(2u)`, `u = √(2/π) (x + 0.044715 x³)`: GELU in its tanh approximation.
    pub(crate) fn gelu(x: &[f32], out: &mut [f32]) {
        for (out, x) in out.iter_mut().zip(x) {
            let inner = TWICE_SQRT_2_OVER_PI * x * mul_add::<FMA>(CUBIC * x, *x, 1.0);
            *out = x * sigmoid::<FMA>(inner);
        }
    }
}

vectorised! {
    /// The gradient of [`gelu`], in the place of `grad`.
    pub(crate) fn gelu_back(x: &[f32], grad: &mut [f32]) {
        for (grad, x) in grad.iter_mut().zip(x) {
            let square = x * x;
            let s = sigmoid::<FMA>(TWICE_SQRT_2_OVER_PI * x * mul_add::<FMA>(CUBIC, square, 1.0));
            let slope = TWICE_SQRT_2_OVER_PI * mul_add::<FMA>(3.0 * CUBIC, square, 1.0);
            *grad *= s * mul_add::<FMA>(x * (1.0 - s), slope, 1.0);
        }
    }
}

/// Share of the standard normal distribution below `x`, and `e^(−x²/2)` (Abramowitz & Stegun 7.1.26; absolute error
/// below 10⁻⁷).
#[inline(always)]
fn normal_below<const FMA: bool>(x: f32) -> (f32, f32) {
    let bell = exp::<FMA>(-0.5 * x * x);
    let t = 1.0 / mul_add::<FMA>(0.327_591_1 * std::f32::consts::FRAC_1_SQRT_2, x.abs(), 1.0);
    let mut p = 1.061_405_4;
    for c in [-1.453_152, 1.421_413_7, -0.284_496_74, 0.254_829_6] {
        p = mul_add::<FMA>(p, t, c);
    }
    let tail = 0.5 * p * t * bell;
    (if x < 0.0 { tail } else { 1.0 - tail }, bell)
}

vectorised! {
    /// `out = x · Φ(x)`: GELU with the error function.
    pub(crate) fn gelu_erf(x: &[f32], out: &mut [f32]) {
        for (out, x) in out.iter_mut().zip(x) {
            *out = x * normal_below::<FMA>(*x).0;
        }
    }
}

vectorised! {
    /// The gradient of [`gelu_erf`], in the place of `grad`.
    pub(crate) fn gelu_erf_back(x: &[f32], grad: &mut [f32]) {
        const SQRT_1_OVER_2_PI: f32 = 0.398_942_28;
        for (grad, x) in grad.iter_mut().zip(x) {
            let (below, bell) = normal_below::<FMA>(*x);
            *grad *= mul_add::<FMA>(x * bell, SQRT_1_OVER_2_PI, below);
        }
    }
}
