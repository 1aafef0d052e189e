//! The kernels of WebGPU, one file an operation, in CubeCL: compiled to WGSL for the adapter that they run on.
//!
//! | file            | kernels |
//! |-----------------|---------|
//! | `norm.rs`       | RMSNorm and LayerNorm, a row a workgroup |
//! | `activation.rs` | SwiGLU and both GELUs, a value a thread |
//! | `heads.rs`      | query, key and value taken apart into heads, turned by their positions, and put together again |
//! | `attention.rs`  | the causal softmax between two products, a row of scores a workgroup |
//! | `head.rs`       | the loss of the head, a row of logits a workgroup |
//! | `adamw.rs`      | norm, verdict and step of AdamW |
//! | `reduce.rs`     | sums and maxima over a workgroup |
//!
//! They keep to what WebGPU promises everywhere: workgroups of at most 256 threads, eight storage buffers, 65 535 workgroups
//! along an axis, and neither subgroup operations nor atomics on floats. Sums are taken in shared memory in a fixed order,
//! so that an adapter gives the same values each time.

mod activation;
mod adamw;
mod attention;
mod head;
mod heads;
mod norm;
mod reduce;

use burn::backend::Cube;
use burn::backend::tensor::FloatTensor;
use burn::tensor::{DType, Shape};
use cubecl::prelude::{CubeCount, CubeDim, CubeElement, Scalar};
use cubecl::std::tensor::into_contiguous;

/// A tensor of an adapter.
type Values = FloatTensor<Cube>;

/// The largest workgroup that every adapter has.
const WORKGROUP: usize = 256;

/// The most workgroups along one axis of a launch.
const ALONG: usize = 65_535;

/// The same tensor with its values one behind the other.
fn close(x: Values) -> Values {
    if x.is_contiguous() { x } else { copy(x) }
}

/// The same tensor in a buffer of its own, to be written over: copied only where somebody else still reads it.
fn own(x: Values) -> Values {
    if x.is_contiguous() && x.can_mut() { x } else { copy(x) }
}

fn copy(x: Values) -> Values {
    let (client, device, dtype) = (x.client.clone(), x.device.clone(), x.dtype);
    let shape = x.meta.shape().clone();
    let copy = into_contiguous(&client, x.binding(), f32::elem_type_native());
    Values::new_contiguous(client, device, shape, copy.handle, dtype)
}

/// A tensor beside `x` whose values are still to be written.
fn empty<const D: usize>(x: &Values, shape: [usize; D]) -> Values {
    // A buffer of nothing cannot be bound.
    let bytes = shape.iter().product::<usize>().max(1) * size_of::<f32>();
    let handle = x.client.empty(bytes);
    Values::new_contiguous(x.client.clone(), x.device.clone(), Shape::new(shape), handle, DType::F32)
}

/// Numbers of the host beside `x`; a buffer that would hold none holds a zero.
fn upload<T: CubeElement + Default>(x: &Values, values: &[T], dtype: DType) -> Values {
    let nothing = [T::default()];
    let values = if values.is_empty() { &nothing[..] } else { values };
    let handle = x.client.create_from_slice(T::as_bytes(values));
    Values::new_contiguous(x.client.clone(), x.device.clone(), Shape::new([values.len()]), handle, dtype)
}

/// Rows and columns of a matrix.
fn size(x: &Values) -> [usize; 2] {
    let shape = x.meta.shape();
    [shape[0], shape[1]]
}

/// Values of a tensor.
fn count(x: &Values) -> usize {
    x.meta.shape().num_elements()
}

/// Threads that share a row of `width` values: a power of two, for the sums of [`reduce`].
fn threads(width: usize) -> usize {
    width.next_power_of_two().clamp(32, WORKGROUP)
}

/// A workgroup for each of `n` things, spread over two axes; the last ones may have nothing to do.
fn workgroups(n: usize) -> CubeCount {
    CubeCount::Static(n.min(ALONG) as u32, n.div_ceil(ALONG) as u32, 1)
}

/// A workgroup for each of `n` rows of `width` values.
fn each_row(n: usize, width: usize) -> (CubeCount, CubeDim) {
    (workgroups(n), line(threads(width)))
}

/// A thread for each of `n` values; the last ones may have nothing to do.
fn each(n: usize) -> (CubeCount, CubeDim) {
    (workgroups(n.div_ceil(WORKGROUP)), line(WORKGROUP))
}

/// Threads side by side.
fn line(threads: usize) -> CubeDim {
    CubeDim::new_1d(threads as u32)
}
