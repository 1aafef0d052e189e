//! Products with frozen weights, which may be stored in half precision: computed in f32, and what a training step
//! keeps for its backward pass is the stored weight, not an f32 copy of it.

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::{FlexTensor, Layout};
use burn::backend::ops::FloatTensorOps;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension};
use burn::tensor::{Bytes, DType, Int, Shape, Tensor};
use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

/// `x · w` in f32, `[rows, inputs] · [inputs, outputs]`; `w` is f32, or on the CPU f16 or bf16, and gets no gradient
/// unless it is f32.
pub(crate) fn frozen_matmul(x: Tensor<2>, w: Tensor<2>) -> Tensor<2> {
    if w.dtype() == DType::F32 {
        return product(x, w);
    }
    Tensor::from_dispatch(<Dispatch as FrozenOps>::half_matmul(x.into_dispatch(), w.into_dispatch()))
}

/// `x · w`, the last two axes of each. Every product of a forward pass is taken here, so that tests can count them.
pub(crate) fn product<const D: usize>(x: Tensor<D>, w: Tensor<D>) -> Tensor<D> {
    let (left, right) = (x.dims(), w.dims());
    let rows: usize = left[..D - 1].iter().product();
    count_product(rows, left[D - 1], right[D - 1]);
    x.matmul(w)
}

/// Counts a product of `[rows, inner]` and `[inner, columns]` where tests look.
pub(crate) fn count_product(rows: usize, inner: usize, columns: usize) {
    #[cfg(test)]
    MULTIPLIED.with(|sum| sum.set(sum.get() + 2.0 * (rows * inner * columns) as f64));
    #[cfg(not(test))]
    let _ = (rows, inner, columns);
}

#[cfg(test)]
thread_local! {
    static MULTIPLIED: std::cell::Cell<f64> = const { std::cell::Cell::new(0.0) };
}

/// FLOPs of the products this thread has taken so far.
#[cfg(test)]
pub(crate) fn multiplied() -> f64 {
    MULTIPLIED.with(std::cell::Cell::get)
}

/// Rows of a table by their numbers, as f32: `[rows, width]`.
pub(crate) fn frozen_rows(table: Tensor<2>, ids: Tensor<1, Int>) -> Tensor<2> {
    let rows = table.select(0, ids);
    if rows.dtype() == DType::F32 { rows } else { rows.cast(DType::F32) }
}

/// Rows up to which a product reads every weight once instead of expanding all of them (chosen: generation).
const FEW_ROWS: usize = 16;

/// The operation behind `frozen_matmul` for weights in half precision.
#[backend_extension(Autodiff, Flex)]
pub trait FrozenOps: Backend {
    /// `x · w` with `x` in f32 and `w` in f16 or bf16.
    fn half_matmul(x: FloatTensor<Self>, w: FloatTensor<Self>) -> FloatTensor<Self>;
}

impl FrozenOps for Flex {
    fn half_matmul(x: FloatTensor<Self>, w: FloatTensor<Self>) -> FloatTensor<Self> {
        if x.layout().shape()[0] <= FEW_ROWS {
            return few_rows(&x.to_contiguous(), &w);
        }
        let expanded = match w.dtype() {
            DType::F16 => expand(w.storage::<f16>()),
            DType::BF16 => expand(w.storage::<bf16>()),
            other => panic!("a frozen weight is f32, f16 or bf16, not {other:?}"),
        };
        let w = FlexTensor::new(Bytes::from_elems(expanded), w.layout().clone(), DType::F32);
        Self::float_matmul(x, w)
    }
}

fn expand<H>(values: &[H]) -> Vec<f32>
where
    [H]: HalfFloatSliceExt,
{
    let mut out = vec![0.0; values.len()];
    values.convert_to_f32_slice(&mut out);
    out
}

/// The product for a few rows: weights are read once, in the order in which they lie.
fn few_rows(x: &FlexTensor, w: &FlexTensor) -> FlexTensor {
    let [rows, inputs] = [x.layout().shape()[0], x.layout().shape()[1]];
    let outputs = w.layout().shape()[1];
    let transposed = w.layout().strides()[0] == 1 && !w.is_contiguous();
    let w = if transposed { w.clone() } else { w.to_contiguous() };
    let start = w.layout().start_offset();
    let out = match w.dtype() {
        DType::F16 => {
            let w = &w.storage::<f16>()[start..start + inputs * outputs];
            few_rows_of(x.storage::<f32>(), w, [rows, inputs, outputs], transposed)
        }
        DType::BF16 => {
            let w = &w.storage::<bf16>()[start..start + inputs * outputs];
            few_rows_of(x.storage::<f32>(), w, [rows, inputs, outputs], transposed)
        }
        other => panic!("a frozen weight is f32, f16 or bf16, not {other:?}"),
    };
    FlexTensor::new(Bytes::from_elems(out), Layout::contiguous(Shape::new([rows, outputs])), DType::F32)
}

/// `transposed`: `w` lies as `[outputs, inputs]`, else as `[inputs, outputs]`.
fn few_rows_of<H>(x: &[f32], w: &[H], [rows, inputs, outputs]: [usize; 3], transposed: bool) -> Vec<f32>
where
    [H]: HalfFloatSliceExt,
{
    let mut out = vec![0.0; rows * outputs];
    let mut line = vec![0.0; if transposed { inputs } else { outputs }];
    for (i, stored) in w.chunks_exact(line.len()).enumerate() {
        stored.convert_to_f32_slice(&mut line);
        for row in 0..rows {
            let x = &x[row * inputs..(row + 1) * inputs];
            if transposed {
                out[row * outputs + i] = dot(x, &line);
            } else {
                let out = &mut out[row * outputs..(row + 1) * outputs];
                out.iter_mut().zip(&line).for_each(|(out, w)| *out += x[i] * w);
            }
        }
    }
    out
}

/// Sixteen sums side by side, so that the compiler may use vector registers.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0; 16];
    let (a, b) = (a.chunks_exact(16), b.chunks_exact(16));
    let rest: f32 = a.remainder().iter().zip(b.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in a.zip(b) {
        for i in 0..16 {
            sums[i] += a[i] * b[i];
        }
    }
    sums.iter().sum::<f32>() + rest
}

impl<B: Backend + FrozenOps, C: CheckpointStrategy> FrozenOps for Autodiff<B, C> {
    fn half_matmul(x: FloatTensor<Self>, w: FloatTensor<Self>) -> FloatTensor<Self> {
        /// `∂L/∂x = ∂L/∂y · wᵀ`.
        #[derive(Debug)]
        struct HalfMatmul;

        impl<B: Backend + FrozenOps> Backward<B, 1> for HalfMatmul {
            type State = FloatTensor<B>;

            fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
                let [parent] = ops.parents;
                let grad = grads.consume::<B>(&ops.node);
                if let Some(parent) = parent {
                    grads.register::<B>(parent.id, B::half_matmul(grad, B::float_transpose(ops.state)));
                }
            }
        }

        let weight = w.primitive().clone();
        match HalfMatmul.prepare::<C>([x.node()]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let y = B::half_matmul(x.primitive().clone(), weight.clone());
                prep.finish(weight, y)
            }
            OpsKind::UnTracked(prep) => prep.finish(B::half_matmul(x.primitive().clone(), weight)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learner::host;
    use burn::tensor::{Device, TensorData};
    use cotune_kernel::stream::Stream;

    fn drawn(name: &str, shape: [usize; 2]) -> Tensor<2> {
        let mut stream = Stream::keyed(1, name);
        let values: Vec<f32> = (0..shape[0] * shape[1]).map(|_| stream.normal() as f32).collect();
        Tensor::from_data(TensorData::new(values, shape), &Device::flex())
    }

    /// For few and many rows, either layout and either format: the product with the rounded weight in f32.
    #[test]
    fn a_half_weight_gives_the_product_of_its_f32_copy_forward_and_backward() {
        for rows in [1, 9, 33] {
            for format in [DType::F16, DType::BF16] {
                for transposed in [false, true] {
                    let w = drawn("w", if transposed { [23, 35] } else { [35, 23] }).cast(format);
                    let turn = |w: Tensor<2>| if transposed { w.transpose() } else { w };
                    let x = drawn("x", [rows, 35]);
                    let run = |w: Tensor<2>| {
                        let x = x.clone().autodiff().require_grad();
                        let y = frozen_matmul(x.clone(), w);
                        let gradients = (y.clone() * drawn("g", [rows, 23])).sum().backward();
                        (host(y.inner()), host(x.grad(&gradients).unwrap()))
                    };
                    let (half, full) = (run(turn(w.clone())), run(turn(w.cast(DType::F32))));
                    for (a, b) in half.0.iter().zip(&full.0).chain(half.1.iter().zip(&full.1)) {
                        assert!((a - b).abs() < 1e-4, "{rows} rows, {format:?}, {transposed}: {a} {b}");
                    }
                }
            }
        }
    }
}
