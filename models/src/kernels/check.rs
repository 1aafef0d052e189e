//! Comparing a fused operation with its reference: outputs, and the gradients of every input, on the CPU and on a WebGPU
//! adapter.

use crate::learner::host;
use burn::tensor::{Device, Tensor, TensorData};
use cotune_kernel::stream::Stream;
use std::sync::OnceLock;

/// One, odd, a little less and a little more than whole registers.
pub(crate) const SIZES: [usize; 6] = [1, 3, 15, 16, 33, 70];

/// More than the threads of a workgroup on WebGPU, so that each of them has a second value of a row.
pub(crate) const WIDE: usize = 300;

/// Shapes of matrices whose rows an operation takes one by one: every pair of [`SIZES`], wide ones, and some by chance.
pub(crate) fn matrices() -> Vec<[usize; 2]> {
    let pairs = SIZES.into_iter().flat_map(|rows| SIZES.map(|width| [rows, width]));
    pairs.chain([[1, WIDE], [33, WIDE]]).chain(by_chance("matrices", [80, 600])).collect()
}

/// A few shapes from a stream of their own, each size at least 1 and at most that of `most`.
pub(crate) fn by_chance<const D: usize>(name: &str, most: [usize; D]) -> [[usize; D]; 3] {
    let mut stream = Stream::keyed(1, name);
    std::array::from_fn(|_| most.map(|most| 1 + stream.below(most as u64) as usize))
}

/// Where an operation is tested.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// The device.
    pub device: Device,
    /// Largest difference from the reference, against the largest value: exponentials and roots of shader compilers are
    /// coarser than the CPU's.
    pub tolerance: f32,
}

/// The CPU, and the first WebGPU adapter; without one the tests say so, unless `COTUNE_REQUIRE_WGPU=1` says that there has
/// to be one.
pub(crate) fn places() -> Vec<Place> {
    static ADAPTER: OnceLock<Option<Device>> = OnceLock::new();
    let adapter = ADAPTER.get_or_init(|| {
        let found = crate::device::adapters().first().map(|adapter| adapter.device().clone());
        if found.is_none() {
            let required = std::env::var_os("COTUNE_REQUIRE_WGPU").is_some_and(|value| value == "1");
            assert!(!required, "COTUNE_REQUIRE_WGPU=1, but there is no WebGPU adapter");
            eprintln!("skipped on WebGPU: there is no adapter");
        }
        found
    });
    let cpu = Place { device: Device::flex(), tolerance: 2e-5 };
    let adapter = adapter.clone().map(|device| Place { device, tolerance: 1e-4 });
    [cpu].into_iter().chain(adapter).collect()
}

/// Normal values of the given standard deviation on the CPU.
pub(crate) fn drawn<const D: usize>(name: &str, shape: [usize; D], sd: f64) -> Tensor<D> {
    let mut stream = Stream::keyed(1, name);
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| (sd * stream.normal()) as f32).collect();
    Tensor::from_data(TensorData::new(values, shape), &Device::flex())
}

/// The output of `of` and the gradients of its inputs under a random weighting of the output.
fn run<const N: usize, const D: usize>(
    device: &Device,
    inputs: &[Tensor<2>; N],
    of: &impl Fn([Tensor<2>; N]) -> Tensor<D>,
) -> Vec<Vec<f32>> {
    let leaves = inputs.each_ref().map(|x| x.clone().to_device(device).autodiff().require_grad());
    let out = of(leaves.clone());
    let weights = drawn("weights", out.dims(), 1.0).to_device(device);
    let gradients = (out.clone() * weights).sum().backward();
    let grads = leaves.iter().map(|leaf| host(leaf.grad(&gradients).expect("every input has a gradient")));
    [host(out.inner())].into_iter().chain(grads).collect()
}

/// Runs the fused operation in every place, the reference on the CPU, and compares.
///
/// # Panics
/// They differ, also where nothing is tracked.
pub(crate) fn agree<const N: usize, const D: usize>(
    inputs: &[Tensor<2>; N],
    fused: impl Fn([Tensor<2>; N]) -> Tensor<D>,
    reference: impl Fn([Tensor<2>; N]) -> Tensor<D>,
) {
    let expected = run(&Device::flex(), inputs, &reference);
    for Place { device, tolerance } in places() {
        let got = run(&device, inputs, &fused);
        let untracked = host(fused(inputs.each_ref().map(|x| x.clone().to_device(&device))));
        assert_eq!(got[0], untracked, "the same with and without a tape");
        for (i, (got, expected)) in got.iter().zip(&expected).enumerate() {
            assert_eq!(got.len(), expected.len());
            let largest = expected.iter().fold(1.0_f32, |most, x| most.max(x.abs()));
            for (at, (got, expected)) in got.iter().zip(expected).enumerate() {
                let shapes = inputs.each_ref().map(|x| x.dims());
                assert!(
                    (got - expected).abs() <= tolerance * largest,
                    "{device:?}, inputs {shapes:?}, result {i}, value {at}: {got}, by the reference {expected}"
                );
            }
        }
    }
}
