//! Normalisation over the last axis, `[rows, width] -> [rows, width]`.

use crate::kernels::cpu::norm as cpu;
use crate::kernels::flex;
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension};
use burn::tensor::Tensor;

/// `x / rms(x) · gain` (Zhang & Sennrich 2019, equation 4); `gain` is one row.
pub(crate) fn rms_norm(x: Tensor<2>, gain: Tensor<2>, epsilon: f64) -> Tensor<2> {
    let (x, gain) = (x.into_dispatch(), gain.into_dispatch());
    Tensor::from_dispatch(<Dispatch as NormOps>::fused_rms_norm(x, gain, epsilon as f32))
}

/// `(x − mean(x)) / sd(x) · gain + bias` (Ba et al. 2016, equation 4); `gain` and `bias` are one row.
pub(crate) fn layer_norm(x: Tensor<2>, gain: Tensor<2>, bias: Tensor<2>, epsilon: f64) -> Tensor<2> {
    let (x, gain, bias) = (x.into_dispatch(), gain.into_dispatch(), bias.into_dispatch());
    Tensor::from_dispatch(<Dispatch as NormOps>::fused_layer_norm(x, gain, bias, epsilon as f32))
}

#[cfg(test)]
fn rms_norm_reference(x: Tensor<2>, gain: Tensor<2>, epsilon: f64) -> Tensor<2> {
    let scale = x.clone().square().mean_dim(1).add_scalar(epsilon).sqrt().recip();
    x * scale * gain
}

#[cfg(test)]
fn layer_norm_reference(x: Tensor<2>, gain: Tensor<2>, bias: Tensor<2>, epsilon: f64) -> Tensor<2> {
    let centred = x.clone() - x.mean_dim(1);
    let scale = centred.clone().square().mean_dim(1).add_scalar(epsilon).sqrt().recip();
    centred * scale * gain + bias
}

/// The norms as one operation each.
#[backend_extension(Autodiff, Flex, Cube: cfg(feature = "wgpu"))]
pub trait NormOps: Backend {
    /// `x / rms(x) · gain`.
    fn fused_rms_norm(x: FloatTensor<Self>, gain: FloatTensor<Self>, epsilon: f32) -> FloatTensor<Self>;
    /// `(x − mean(x)) / sd(x) · gain + bias`.
    fn fused_layer_norm(
        x: FloatTensor<Self>,
        gain: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        epsilon: f32,
    ) -> FloatTensor<Self>;
}

/// What the backward pass of [`NormOps`] needs of a backend; `wanted` says which gradients are asked for.
pub trait NormGradients: Backend {
    /// Of `x` and `gain`.
    fn rms_norm_back(
        x: FloatTensor<Self>,
        gain: FloatTensor<Self>,
        epsilon: f32,
        grad: FloatTensor<Self>,
        wanted: [bool; 2],
    ) -> [FloatTensor<Self>; 2];
    /// Of `x`, `gain` and `bias`.
    fn layer_norm_back(
        x: FloatTensor<Self>,
        gain: FloatTensor<Self>,
        epsilon: f32,
        grad: FloatTensor<Self>,
        wanted: [bool; 3],
    ) -> [FloatTensor<Self>; 3];
}

impl NormOps for Flex {
    fn fused_rms_norm(x: FloatTensor<Self>, gain: FloatTensor<Self>, epsilon: f32) -> FloatTensor<Self> {
        let (x, gain) = (flex::close(x), flex::close(gain));
        let mut out = vec![0.0; flex::values(&x).len()];
        cpu::rms(flex::values(&x), flex::values(&gain), epsilon, &mut out);
        flex::tensor(out, flex::size(&x))
    }

    fn fused_layer_norm(
        x: FloatTensor<Self>,
        gain: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        epsilon: f32,
    ) -> FloatTensor<Self> {
        let (x, gain, bias) = (flex::close(x), flex::close(gain), flex::close(bias));
        let mut out = vec![0.0; flex::values(&x).len()];
        cpu::layer(flex::values(&x), flex::values(&gain), flex::values(&bias), epsilon, &mut out);
        flex::tensor(out, flex::size(&x))
    }
}

/// Room for the gradients that are wanted: of the input, the gain and the bias.
fn room([rows, width]: [usize; 2], wanted: [bool; 3]) -> [Vec<f32>; 3] {
    let of = |wanted: bool, n: usize| vec![0.0; if wanted { n } else { 0 }];
    [of(wanted[0], rows * width), of(wanted[1], width), of(wanted[2], width)]
}

/// As tensors; one that was not wanted is empty.
fn as_tensors([rows, width]: [usize; 2], [x, gain, bias]: [Vec<f32>; 3]) -> [FloatTensor<Flex>; 3] {
    let x = if x.is_empty() { flex::tensor(x, [0, width]) } else { flex::tensor(x, [rows, width]) };
    [x, gain_like(gain), gain_like(bias)]
}

fn gain_like(values: Vec<f32>) -> FloatTensor<Flex> {
    let n = values.len();
    flex::tensor(values, [1, n])
}

impl NormGradients for Flex {
    fn rms_norm_back(
        x: FloatTensor<Self>,
        gain: FloatTensor<Self>,
        epsilon: f32,
        grad: FloatTensor<Self>,
        [x_wanted, gain_wanted]: [bool; 2],
    ) -> [FloatTensor<Self>; 2] {
        let (x, gain, grad) = (flex::close(x), flex::close(gain), flex::close(grad));
        let size = flex::size(&x);
        let [mut to_x, mut to_gain, mut to_bias] = room(size, [x_wanted, gain_wanted, false]);
        let to = cpu::Gradients { x: &mut to_x, gain: &mut to_gain, bias: &mut to_bias };
        cpu::rms_back(flex::values(&x), flex::values(&gain), epsilon, flex::values(&grad), to);
        let [x, gain, _] = as_tensors(size, [to_x, to_gain, to_bias]);
        [x, gain]
    }

    fn layer_norm_back(
        x: FloatTensor<Self>,
        gain: FloatTensor<Self>,
        epsilon: f32,
        grad: FloatTensor<Self>,
        wanted: [bool; 3],
    ) -> [FloatTensor<Self>; 3] {
        let (x, gain, grad) = (flex::close(x), flex::close(gain), flex::close(grad));
        let size = flex::size(&x);
        let [mut to_x, mut to_gain, mut to_bias] = room(size, wanted);
        let to = cpu::Gradients { x: &mut to_x, gain: &mut to_gain, bias: &mut to_bias };
        cpu::layer_back(flex::values(&x), flex::values(&gain), epsilon, flex::values(&grad), to);
        as_tensors(size, [to_x, to_gain, to_bias])
    }
}

/// Backward pass of [`NormOps::fused_rms_norm`].
#[derive(Debug)]
struct RmsNorm;

impl<B: NormGradients> Backward<B, 2> for RmsNorm {
    type State = (FloatTensor<B>, FloatTensor<B>, f32);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = grads.consume::<B>(&ops.node);
        let (x, gain, epsilon) = ops.state;
        let wanted = ops.parents.each_ref().map(Option::is_some);
        let found = B::rms_norm_back(x, gain, epsilon, grad, wanted);
        for (parent, gradient) in ops.parents.into_iter().zip(found) {
            if let Some(parent) = parent {
                grads.register::<B>(parent.id, gradient);
            }
        }
    }
}

/// Backward pass of [`NormOps::fused_layer_norm`].
#[derive(Debug)]
struct LayerNorm;

impl<B: NormGradients> Backward<B, 3> for LayerNorm {
    type State = (FloatTensor<B>, FloatTensor<B>, f32);

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = grads.consume::<B>(&ops.node);
        let (x, gain, epsilon) = ops.state;
        let wanted = ops.parents.each_ref().map(Option::is_some);
        let found = B::layer_norm_back(x, gain, epsilon, grad, wanted);
        for (parent, gradient) in ops.parents.into_iter().zip(found) {
            if let Some(parent) = parent {
                grads.register::<B>(parent.id, gradient);
            }
        }
    }
}

impl<B: NormOps + NormGradients, C: CheckpointStrategy> NormOps for Autodiff<B, C> {
    fn fused_rms_norm(x: FloatTensor<Self>, gain: FloatTensor<Self>, epsilon: f32) -> FloatTensor<Self> {
        let (x_in, gain_in) = (x.primitive().clone(), gain.primitive().clone());
        let y = B::fused_rms_norm(x_in.clone(), gain_in.clone(), epsilon);
        match RmsNorm.prepare::<C>([x.node(), gain.node()]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((x_in, gain_in, epsilon), y),
            OpsKind::UnTracked(prep) => prep.finish(y),
        }
    }

    fn fused_layer_norm(
        x: FloatTensor<Self>,
        gain: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        epsilon: f32,
    ) -> FloatTensor<Self> {
        let (x_in, gain_in) = (x.primitive().clone(), gain.primitive().clone());
        let y = B::fused_layer_norm(x_in.clone(), gain_in.clone(), bias.primitive().clone(), epsilon);
        match LayerNorm.prepare::<C>([x.node(), gain.node(), bias.node()]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((x_in, gain_in, epsilon), y),
            OpsKind::UnTracked(prep) => prep.finish(y),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::check::{agree, drawn, matrices};
    use burn::tensor::TensorData;

    #[test]
    fn fused_norms_are_the_reference_forward_and_backward() {
        for [rows, width] in matrices() {
            let (x, gain, bias) = (
                drawn("x", [rows, width], 1.0),
                drawn("gain", [1, width], 1.0),
                drawn("bias", [1, width], 1.0),
            );
            let inputs = [x.clone(), gain.clone()];
            let fused = |[x, gain]: [Tensor<2>; 2]| rms_norm(x, gain, 1e-3);
            agree(&inputs, fused, |[x, gain]| rms_norm_reference(x, gain, 1e-3));
            let fused = |[x, gain, bias]: [Tensor<2>; 3]| layer_norm(x, gain, bias, 1e-3);
            agree(&[x, gain, bias], fused, |[x, g, b]| layer_norm_reference(x, g, b, 1e-3));
        }
    }

    /// 65 535 workgroups stand along one axis of a launch. Gain and bias are fixed: the rounding in a sum over so many rows
    /// is as large as what is tolerated.
    #[test]
    fn fused_norms_are_the_reference_on_more_rows_than_workgroups_stand_along_one_axis() {
        let inputs = [drawn("x", [65_537, 3], 1.0)];
        let row = |x: &Tensor<2>, values: [f32; 3]| {
            Tensor::<2>::from_data(TensorData::new(values.to_vec(), [1, 3]), &x.device())
        };
        let gain = |x: &Tensor<2>| row(x, [0.5, -1.0, 2.0]);
        let bias = |x: &Tensor<2>| row(x, [1.0, 0.0, -0.5]);
        agree(
            &inputs,
            |[x]| rms_norm(x.clone(), gain(&x), 1e-3),
            |[x]| rms_norm_reference(x.clone(), gain(&x), 1e-3),
        );
        agree(
            &inputs,
            |[x]| layer_norm(x.clone(), gain(&x), bias(&x), 1e-3),
            |[x]| layer_norm_reference(x.clone(), gain(&x), bias(&x), 1e-3),
        );
    }
}
