//! Causal self-attention as one operation, from query, key and value in one row to the heads side by side.

use crate::kernels::cpu::attention::{self as cpu, AttentionShape, Positioning};
use crate::kernels::flex;
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension};
use burn::tensor::Tensor;
use std::sync::Arc;

/// The operation; [`super::causal_attention`] says what it computes.
pub(super) fn causal(
    qkv: Tensor<2>,
    table: Tensor<1>,
    shape: AttentionShape,
    positioning: Arc<Positioning>,
) -> Tensor<2> {
    let (qkv, table) = (qkv.into_dispatch(), table.into_dispatch());
    Tensor::from_dispatch(<Dispatch as AttentionOps>::causal_attention(qkv, table, shape, positioning))
}

/// Attention of whole sequences as one operation.
#[backend_extension(Autodiff, Flex, Cube: cfg(feature = "wgpu"))]
pub trait AttentionOps: Backend {
    /// `[batch · time, (heads + 2 kv_heads) · head_width] -> [batch · time, heads · head_width]`; `table` is
    /// `positioning` where the tensors are, and empty on the CPU.
    fn causal_attention(
        qkv: FloatTensor<Self>,
        table: FloatTensor<Self>,
        shape: AttentionShape,
        positioning: Arc<Positioning>,
    ) -> FloatTensor<Self>;
}

/// What the backward pass of [`AttentionOps`] needs of a backend.
pub trait AttentionGradient: Backend {
    /// The gradient of `qkv`.
    fn causal_attention_back(
        qkv: FloatTensor<Self>,
        table: FloatTensor<Self>,
        shape: AttentionShape,
        positioning: &Positioning,
        grad: FloatTensor<Self>,
    ) -> FloatTensor<Self>;
}

impl AttentionOps for Flex {
    fn causal_attention(
        qkv: FloatTensor<Self>,
        _: FloatTensor<Self>,
        shape: AttentionShape,
        positioning: Arc<Positioning>,
    ) -> FloatTensor<Self> {
        let qkv = flex::close(qkv);
        let size = [shape.batch * shape.time, shape.width()];
        let mut out = vec![0.0; size[0] * size[1]];
        cpu::causal(flex::values(&qkv), shape, &positioning, &mut out);
        flex::tensor(out, size)
    }
}

impl AttentionGradient for Flex {
    fn causal_attention_back(
        qkv: FloatTensor<Self>,
        _: FloatTensor<Self>,
        shape: AttentionShape,
        positioning: &Positioning,
        grad: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        let (qkv, grad) = (flex::close(qkv), flex::close(grad));
        let mut to = vec![0.0; flex::values(&qkv).len()];
        cpu::causal_back(flex::values(&qkv), shape, positioning, flex::values(&grad), &mut to);
        flex::tensor(to, flex::size(&qkv))
    }
}

/// Backward pass of [`AttentionOps::causal_attention`].
#[derive(Debug)]
struct Causal;

impl<B: AttentionGradient> Backward<B, 1> for Causal {
    type State = (FloatTensor<B>, FloatTensor<B>, AttentionShape, Arc<Positioning>);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = grads.consume::<B>(&ops.node);
        let (qkv, table, shape, positioning) = ops.state;
        if let [Some(parent)] = ops.parents {
            let gradient = B::causal_attention_back(qkv, table, shape, &positioning, grad);
            grads.register::<B>(parent.id, gradient);
        }
    }
}

impl<B: AttentionOps + AttentionGradient, C: CheckpointStrategy> AttentionOps for Autodiff<B, C> {
    fn causal_attention(
        qkv: FloatTensor<Self>,
        table: FloatTensor<Self>,
        shape: AttentionShape,
        positioning: Arc<Positioning>,
    ) -> FloatTensor<Self> {
        let (input, table) = (qkv.primitive().clone(), table.into_primitive());
        let out = B::causal_attention(input.clone(), table.clone(), shape, positioning.clone());
        match Causal.prepare::<C>([qkv.node()]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((input, table, shape, positioning), out),
            OpsKind::UnTracked(prep) => prep.finish(out),
        }
    }
}
