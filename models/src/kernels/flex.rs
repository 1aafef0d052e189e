//! Between the CPU's tensors and the slices that the loops in [`super::cpu`] work on.

use burn::backend::DispatchDevice;
use burn::backend::flex::{FlexTensor, Layout};
use burn::tensor::{Bytes, DType, Shape, Tensor};

/// Whether a tensor lives on the CPU, tracked or not: there the fused operations apply.
pub(crate) fn on_cpu<const D: usize>(x: &Tensor<D>) -> bool {
    matches!(x.device().inner().as_dispatch(), DispatchDevice::Flex(_))
}

/// The same tensor with its values one behind the other; a view of a part of a buffer is not copied.
pub(crate) fn close(x: FlexTensor) -> FlexTensor {
    if x.is_contiguous() { x } else { x.to_contiguous() }
}

/// The values of a [`close`] tensor.
pub(crate) fn values(x: &FlexTensor) -> &[f32] {
    x.as_slice().expect("f32 values that lie one behind the other")
}

/// The same tensor in a buffer of its own, to be written over: copied only where somebody else still reads it.
pub(crate) fn own(x: FlexTensor) -> FlexTensor {
    let whole = x.to_contiguous();
    drop(x);
    whole
}

/// A tensor of the given values.
pub(crate) fn tensor<const D: usize>(values: Vec<f32>, shape: [usize; D]) -> FlexTensor {
    FlexTensor::new(Bytes::from_elems(values), Layout::contiguous(Shape::new(shape)), DType::F32)
}

/// Rows and columns of a matrix.
pub(crate) fn size(x: &FlexTensor) -> [usize; 2] {
    let shape = x.layout().shape();
    [shape[0], shape[1]]
}
