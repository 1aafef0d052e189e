//! The non-linearities of the MLP, element by element.

use burn::tensor::{Tensor, activation};

/// `silu(gate) · up` (Shazeer 2020, arXiv 2002.05202).
pub(crate) fn swiglu(gate: Tensor<2>, up: Tensor<2>) -> Tensor<2> {
    activation::silu(gate) * up
}

/// GELU in the tanh approximation that GPT-2 and BLOOM use (Hendrycks & Gimpel 2016):
/// `x/2 · (1 + tanh u)` with `u = √(2/π) (x + 0.044715 x³)`.
///
/// Computed as `x · sigmoid(2u)`, which is the same since `1 + tanh u = 2 sigmoid(2u)`: an exponential costs a third of a
/// hyperbolic tangent on the CPU.
pub(crate) fn gelu(x: Tensor<2>) -> Tensor<2> {
    const TWICE_SQRT_2_OVER_PI: f32 = 1.595_769;
    let cube = x.clone() * x.clone() * x.clone();
    let inner = (x.clone() + cube.mul_scalar(0.044_715_f32)).mul_scalar(TWICE_SQRT_2_OVER_PI);
    x * activation::sigmoid(inner)
}

/// GELU with the error function (Hendrycks & Gimpel 2016, equation 1).
pub(crate) fn gelu_erf(x: Tensor<2>) -> Tensor<2> {
    activation::gelu(x)
}

/// `max(0, x)`.
pub(crate) fn relu(x: Tensor<2>) -> Tensor<2> {
    activation::relu(x)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learner::host;
    use burn::tensor::{Device, TensorData};

    #[test]
    fn gelu_is_its_definition_with_tanh() {
        let values: Vec<f32> = (-60..=60).map(|i| i as f32 / 10.0).collect();
        let x = Tensor::from_data(TensorData::new(values.clone(), [1, values.len()]), &Device::flex());
        for (x, got) in values.iter().zip(host(gelu(x))) {
            let x = f64::from(*x);
            let u = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x.powi(3));
            let expected = 0.5 * x * (1.0 + u.tanh());
            assert!((f64::from(got) - expected).abs() < 1e-6, "gelu({x}) is {expected}, not {got}");
        }
    }
}
