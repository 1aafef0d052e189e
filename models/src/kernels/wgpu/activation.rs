//! SwiGLU and both GELUs: a value a thread.

use super::{Values, close, count, each, empty, size};
use crate::kernels::activation::{ActivationGradients, ActivationOps, Curve};
use burn::backend::Cube;
use burn::backend::tensor::FloatTensor;
use cubecl::prelude::*;

impl ActivationOps for Cube {
    fn swiglu(gate: FloatTensor<Self>, up: FloatTensor<Self>) -> FloatTensor<Self> {
        let (gate, up) = (close(gate), close(up));
        let out = empty(&gate, size(&gate));
        let (groups, group) = each(count(&gate));
        gated::launch(
            &gate.client.clone(),
            groups,
            group,
            gate.into_buffer_arg(),
            up.into_buffer_arg(),
            out.clone().into_buffer_arg(),
        );
        out
    }

    fn curve(x: FloatTensor<Self>, curve: Curve) -> FloatTensor<Self> {
        let x = close(x);
        let out = empty(&x, size(&x));
        let (groups, group) = each(count(&x));
        bent::launch(
            &x.client.clone(),
            groups,
            group,
            x.into_buffer_arg(),
            out.clone().into_buffer_arg(),
            with_erf(curve),
        );
        out
    }
}

impl ActivationGradients for Cube {
    fn swiglu_back(
        gate: FloatTensor<Self>,
        up: FloatTensor<Self>,
        grad: FloatTensor<Self>,
    ) -> [FloatTensor<Self>; 2] {
        let (gate, up, grad) = (close(gate), close(up), close(grad));
        let room = || empty(&gate, size(&gate));
        let (to_gate, to_up): (Values, Values) = (room(), room());
        let (groups, group) = each(count(&gate));
        gated_back::launch(
            &gate.client.clone(),
            groups,
            group,
            gate.into_buffer_arg(),
            up.into_buffer_arg(),
            grad.into_buffer_arg(),
            to_gate.clone().into_buffer_arg(),
            to_up.clone().into_buffer_arg(),
        );
        [to_gate, to_up]
    }

    fn curve_back(x: FloatTensor<Self>, curve: Curve, grad: FloatTensor<Self>) -> FloatTensor<Self> {
        let (x, grad) = (close(x), close(grad));
        let to = empty(&x, size(&x));
        let (groups, group) = each(count(&x));
        bent_back::launch(
            &x.client.clone(),
            groups,
            group,
            x.into_buffer_arg(),
            grad.into_buffer_arg(),
            to.clone().into_buffer_arg(),
            with_erf(curve),
        );
        to
    }
}

/// Whether a GELU has the error function in it, or its approximation by a hyperbolic tangent.
fn with_erf(curve: Curve) -> bool {
    match curve {
        Curve::Gelu => false,
        Curve::GeluErf => true,
    }
}

#[cube]
fn sigmoid(x: f32) -> f32 {
    1.0f32 / (1.0f32 + (-x).exp())
}

/// `gate · sigmoid(gate) · up`.
#[cube(launch)]
fn gated(gate: &[f32], up: &[f32], out: &mut [f32]) {
    let i = ABSOLUTE_POS;
    if i < out.len() {
        let x = gate[i];
        out[i] = x * sigmoid(x) * up[i];
    }
}

#[cube(launch)]
fn gated_back(gate: &[f32], up: &[f32], grad: &[f32], to_gate: &mut [f32], to_up: &mut [f32]) {
    let i = ABSOLUTE_POS;
    if i < to_gate.len() {
        let x = gate[i];
        let s = sigmoid(x);
        to_gate[i] = grad[i] * up[i] * s * (1.0f32 + x * (1.0f32 - s));
        to_up[i] = grad[i] * x * s;
    }
}

/// Share of the standard normal distribution below `x` where `bell` is `e^(−x²/2)` (Abramowitz & Stegun 7.1.26; absolute
/// error below 10⁻⁷).
#[cube]
fn normal_below(x: f32, bell: f32) -> f32 {
    // 0.3275911 / √2.
    let t = 1.0f32 / (0.231_641_9_f32 * x.abs() + 1.0f32);
    let p = (1.061_405_4_f32 * t - 1.453_152_f32) * t + 1.421_413_7_f32;
    let p = (p * t - 0.284_496_74_f32) * t + 0.254_829_6_f32;
    let tail = 0.5f32 * p * t * bell;
    select(x < 0.0f32, tail, 1.0f32 - tail)
}

/// GELU: `x · Φ(x)`, or `x · sigmoid(2u)` with `u = √(2/π) (x + 0.044715 x³)`.
#[cube(launch)]
fn bent(x: &[f32], out: &mut [f32], #[comptime] with_erf: bool) {
    let i = ABSOLUTE_POS;
    if i < out.len() {
        let x = x[i];
        if with_erf {
            out[i] = x * normal_below(x, (-0.5f32 * x * x).exp());
        } else {
            out[i] = x * sigmoid(1.595_769_f32 * x * (1.0f32 + 0.044_715_f32 * x * x));
        }
    }
}

#[cube(launch)]
fn bent_back(x: &[f32], grad: &[f32], to: &mut [f32], #[comptime] with_erf: bool) {
    let i = ABSOLUTE_POS;
    if i < to.len() {
        let x = x[i];
        if with_erf {
            let bell = (-0.5f32 * x * x).exp();
            // The density of the normal distribution is the bell times 1/√(2π).
            to[i] = grad[i] * (normal_below(x, bell) + x * bell * 0.398_942_3_f32);
        } else {
            let square = x * x;
            let s = sigmoid(1.595_769_f32 * x * (1.0f32 + 0.044_715_f32 * square));
            let slope = 1.595_769_f32 * (1.0f32 + 0.134_145_f32 * square);
            to[i] = grad[i] * s * (1.0f32 + x * (1.0f32 - s) * slope);
        }
    }
}
