//! The non-linearities of the MLP, element by element.

use burn::tensor::{Tensor, activation};

/// `silu(gate) · up` (Shazeer 2020, arXiv 2002.05202).
pub(crate) fn swiglu(gate: Tensor<2>, up: Tensor<2>) -> Tensor<2> {
    activation::silu(gate) * up
}

/// GELU in the tanh approximation that GPT-2 and BLOOM use (Hendrycks & Gimpel 2016).
pub(crate) fn gelu(x: Tensor<2>) -> Tensor<2> {
    const SQRT_2_OVER_PI: f32 = 0.797_884_6;
    let cube = x.clone() * x.clone() * x.clone();
    let inner = (x.clone() + cube.mul_scalar(0.044_715_f32)).mul_scalar(SQRT_2_OVER_PI);
    x.mul_scalar(0.5_f32) * inner.tanh().add_scalar(1.0_f32)
}
