//! The non-linearities of the MLP, element by element.

use crate::kernels::cpu::activation as cpu;
use crate::kernels::flex;
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension};
use burn::tensor::{Tensor, activation};

/// `silu(gate) · up` (Shazeer 2020, arXiv 2002.05202).
pub(crate) fn swiglu(gate: Tensor<2>, up: Tensor<2>) -> Tensor<2> {
    Tensor::from_dispatch(<Dispatch as ActivationOps>::swiglu(gate.into_dispatch(), up.into_dispatch()))
}

/// GELU in the tanh approximation that GPT-2 and BLOOM use (Hendrycks & Gimpel 2016):
/// `x/2 · (1 + tanh u)` with `u = √(2/π) (x + 0.044715 x³)`.
///
/// Computed as `x · sigmoid(2u)`, which is the same since `1 + tanh u = 2 sigmoid(2u)`: an exponential costs a third of a
/// hyperbolic tangent on the CPU.
pub(crate) fn gelu(x: Tensor<2>) -> Tensor<2> {
    unary(x, Curve::Gelu)
}

/// GELU with the error function (Hendrycks & Gimpel 2016, equation 1).
pub(crate) fn gelu_erf(x: Tensor<2>) -> Tensor<2> {
    unary(x, Curve::GeluErf)
}

/// `max(0, x)`.
pub(crate) fn relu(x: Tensor<2>) -> Tensor<2> {
    activation::relu(x)
}

/// A function of one value.
#[derive(Clone, Copy, Debug)]
pub enum Curve {
    /// GELU, tanh approximation.
    Gelu,
    /// GELU, error function.
    GeluErf,
}

fn unary(x: Tensor<2>, curve: Curve) -> Tensor<2> {
    Tensor::from_dispatch(<Dispatch as ActivationOps>::curve(x.into_dispatch(), curve))
}

#[cfg(test)]
fn swiglu_reference(gate: Tensor<2>, up: Tensor<2>) -> Tensor<2> {
    activation::silu(gate) * up
}

#[cfg(test)]
fn unary_reference(x: Tensor<2>, curve: Curve) -> Tensor<2> {
    const TWICE_SQRT_2_OVER_PI: f32 = 1.595_769;
    match curve {
        Curve::Gelu => {
            let cube = x.clone() * x.clone() * x.clone();
            let inner = (x.clone() + cube.mul_scalar(0.044_715_f32)).mul_scalar(TWICE_SQRT_2_OVER_PI);
            x * activation::sigmoid(inner)
        }
        Curve::GeluErf => activation::gelu(x),
    }
}

/// The non-linearities as one operation each.
#[backend_extension(Autodiff, Flex, Cube: cfg(feature = "wgpu"))]
pub trait ActivationOps: Backend {
    /// `silu(gate) · up`.
    fn swiglu(gate: FloatTensor<Self>, up: FloatTensor<Self>) -> FloatTensor<Self>;
    /// A function of each value.
    fn curve(x: FloatTensor<Self>, curve: Curve) -> FloatTensor<Self>;
}

/// What the backward pass of [`ActivationOps`] needs of a backend.
pub trait ActivationGradients: Backend {
    /// The gradients of `gate` and `up`.
    fn swiglu_back(
        gate: FloatTensor<Self>,
        up: FloatTensor<Self>,
        grad: FloatTensor<Self>,
    ) -> [FloatTensor<Self>; 2];
    /// The gradient of `x`.
    fn curve_back(x: FloatTensor<Self>, curve: Curve, grad: FloatTensor<Self>) -> FloatTensor<Self>;
}

impl ActivationOps for Flex {
    fn swiglu(gate: FloatTensor<Self>, up: FloatTensor<Self>) -> FloatTensor<Self> {
        let (gate, up) = (flex::close(gate), flex::close(up));
        let mut out = vec![0.0; flex::values(&gate).len()];
        cpu::swiglu(flex::values(&gate), flex::values(&up), &mut out);
        flex::tensor(out, flex::size(&gate))
    }

    fn curve(x: FloatTensor<Self>, curve: Curve) -> FloatTensor<Self> {
        let x = flex::close(x);
        let mut out = vec![0.0; flex::values(&x).len()];
        match curve {
            Curve::Gelu => cpu::gelu(flex::values(&x), &mut out),
            Curve::GeluErf => cpu::gelu_erf(flex::values(&x), &mut out),
        }
        flex::tensor(out, flex::size(&x))
    }
}

impl ActivationGradients for Flex {
    fn swiglu_back(
        gate: FloatTensor<Self>,
        up: FloatTensor<Self>,
        grad: FloatTensor<Self>,
    ) -> [FloatTensor<Self>; 2] {
        let (gate, up, mut grad) = (flex::close(gate), flex::close(up), flex::own(grad));
        let mut to_gate = vec![0.0; flex::values(&gate).len()];
        cpu::swiglu_back(flex::values(&gate), flex::values(&up), grad.storage_mut(), &mut to_gate);
        [flex::tensor(to_gate, flex::size(&gate)), grad]
    }

    fn curve_back(x: FloatTensor<Self>, curve: Curve, grad: FloatTensor<Self>) -> FloatTensor<Self> {
        let (x, mut grad) = (flex::close(x), flex::own(grad));
        match curve {
            Curve::Gelu => cpu::gelu_back(flex::values(&x), grad.storage_mut()),
            Curve::GeluErf => cpu::gelu_erf_back(flex::values(&x), grad.storage_mut()),
        }
        grad
    }
}

/// Backward pass of [`ActivationOps::swiglu`].
#[derive(Debug)]
struct SwiGlu;

impl<B: ActivationGradients> Backward<B, 2> for SwiGlu {
    type State = (FloatTensor<B>, FloatTensor<B>);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = grads.consume::<B>(&ops.node);
        let (gate, up) = ops.state;
        for (parent, gradient) in ops.parents.into_iter().zip(B::swiglu_back(gate, up, grad)) {
            if let Some(parent) = parent {
                grads.register::<B>(parent.id, gradient);
            }
        }
    }
}

impl<B: ActivationGradients> Backward<B, 1> for Curve {
    type State = FloatTensor<B>;

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = grads.consume::<B>(&ops.node);
        if let [Some(parent)] = ops.parents {
            grads.register::<B>(parent.id, B::curve_back(ops.state, self, grad));
        }
    }
}

impl<B: ActivationOps + ActivationGradients, C: CheckpointStrategy> ActivationOps for Autodiff<B, C> {
    fn swiglu(gate: FloatTensor<Self>, up: FloatTensor<Self>) -> FloatTensor<Self> {
        let (gate_in, up_in) = (gate.primitive().clone(), up.primitive().clone());
        let y = B::swiglu(gate_in.clone(), up_in.clone());
        match SwiGlu.prepare::<C>([gate.node(), up.node()]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((gate_in, up_in), y),
            OpsKind::UnTracked(prep) => prep.finish(y),
        }
    }

    fn curve(x: FloatTensor<Self>, curve: Curve) -> FloatTensor<Self> {
        let x_in = x.primitive().clone();
        let y = B::curve(x_in.clone(), curve);
        match curve.prepare::<C>([x.node()]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(x_in, y),
            OpsKind::UnTracked(prep) => prep.finish(y),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::check::{agree, drawn, matrices};
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

    #[test]
    fn fused_activations_are_the_reference_forward_and_backward() {
        for shape in matrices() {
            let (gate, up) = (drawn("gate", shape, 3.0), drawn("up", shape, 3.0));
            agree(&[gate.clone(), up], |[g, u]| swiglu(g, u), |[g, u]| swiglu_reference(g, u));
            for curve in [Curve::Gelu, Curve::GeluErf] {
                agree(std::array::from_ref(&gate), |[x]| unary(x, curve), |[x]| unary_reference(x, curve));
            }
        }
    }
}
