//! Comparing a fused operation with its reference: outputs, and the gradients of every input.

use crate::learner::host;
use burn::tensor::{Device, Tensor, TensorData};
use cotune_kernel::stream::Stream;

/// One, odd, a little less and a little more than whole registers.
pub(crate) const SIZES: [usize; 6] = [1, 3, 15, 16, 33, 70];

/// Largest difference between an operation and its reference, against the largest value.
const TOLERANCE: f32 = 2e-5;

/// Normal values of the given standard deviation on the CPU.
pub(crate) fn drawn<const D: usize>(name: &str, shape: [usize; D], sd: f64) -> Tensor<D> {
    let mut stream = Stream::keyed(1, name);
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| (sd * stream.normal()) as f32).collect();
    Tensor::from_data(TensorData::new(values, shape), &Device::flex())
}

/// The output of `of` and the gradients of its inputs under a random weighting of the output.
fn run<const N: usize, const D: usize>(
    inputs: &[Tensor<2>; N],
    of: &impl Fn([Tensor<2>; N]) -> Tensor<D>,
) -> Vec<Vec<f32>> {
    let leaves = inputs.each_ref().map(|x| x.clone().autodiff().require_grad());
    let out = of(leaves.clone());
    let weights = drawn("weights", out.dims(), 1.0);
    let gradients = (out.clone() * weights).sum().backward();
    let grads = leaves.iter().map(|leaf| host(leaf.grad(&gradients).expect("every input has a gradient")));
    [host(out.inner())].into_iter().chain(grads).collect()
}

/// Runs both and compares.
///
/// # Panics
/// They differ, also where nothing is tracked.
pub(crate) fn agree<const N: usize, const D: usize>(
    inputs: &[Tensor<2>; N],
    fused: impl Fn([Tensor<2>; N]) -> Tensor<D>,
    reference: impl Fn([Tensor<2>; N]) -> Tensor<D>,
) {
    let (got, expected) = (run(inputs, &fused), run(inputs, &reference));
    let untracked = host(fused(inputs.clone()));
    assert_eq!(got[0], untracked, "the same with and without a tape");
    for (i, (got, expected)) in got.iter().zip(&expected).enumerate() {
        assert_eq!(got.len(), expected.len());
        let largest = expected.iter().fold(1.0_f32, |most, x| most.max(x.abs()));
        for (at, (got, expected)) in got.iter().zip(expected).enumerate() {
            let shapes = inputs.each_ref().map(|x| x.dims());
            assert!(
                (got - expected).abs() <= TOLERANCE * largest,
                "inputs {shapes:?}, result {i}, value {at}: {got}, by the reference {expected}"
            );
        }
    }
}
