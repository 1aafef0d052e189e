//! The decoder: one forward pass for every family, with adapters beside the frozen base.
//!
//! A [`Decoder`] is assembled for one step from the tensors of the base, which never require a gradient, and
//! from those of a [`Layout`], which do while training. All activations are `[rows, width]`, where
//! `rows = batch · time`, so that every linear map is one matrix product.

use crate::adapter::Layout;
use crate::kernels::activation::{gelu, swiglu};
use crate::kernels::attention::{
    AttentionShape, CachedKeys, PositionTables, Positions, cached_attention, causal_attention,
};
use crate::kernels::norm::{layer_norm, rms_norm};
use crate::spec::{Activation, DecoderSpec, Position};
use burn::tensor::{Int, Tensor};
use std::collections::BTreeMap;

/// The frozen tensors of a base on its device, vectors as one row.
pub(crate) type Weights = BTreeMap<String, Tensor<2>>;

/// A model ready for a forward pass.
pub(crate) struct Decoder<'a> {
    spec: &'a DecoderSpec,
    tables: &'a PositionTables,
    embedding: Tensor<2>,
    positions: Option<Tensor<2>>,
    embedding_norm: Option<NormMap>,
    blocks: Vec<Block>,
    final_norm: NormMap,
}

struct Block {
    attention_norm: NormMap,
    qkv: Linear,
    o: Linear,
    mlp_norm: NormMap,
    gate: Option<Linear>,
    up: Linear,
    down: Linear,
}

struct NormMap {
    gain: Tensor<2>,
    bias: Option<Tensor<2>>,
}

/// `x W + bias + Σ scale · (x A) B`.
struct Linear {
    weight: Tensor<2>,
    bias: Option<Tensor<2>>,
    /// Low-rank updates of the whole output, or of its thirds (q, k, v), in order of columns.
    updates: Vec<(LowRank, Columns)>,
}

#[derive(Clone, Copy, PartialEq)]
enum Columns {
    All,
    Third(usize),
}

struct LowRank {
    a: Tensor<2>,
    b: Tensor<2>,
    scale: f32,
}

/// Keys and values of every block.
pub(crate) type Cache = Vec<CachedKeys>;

impl<'a> Decoder<'a> {
    /// Puts a model together: `trained` holds the tensors of `layout` by name and wins over `weights`.
    pub(crate) fn assemble(
        spec: &'a DecoderSpec,
        tables: &'a PositionTables,
        weights: &Weights,
        layout: Option<&Layout>,
        trained: &BTreeMap<String, Tensor<2>>,
    ) -> Self {
        let find = |name: &str| trained.get(name).or_else(|| weights.get(name)).cloned();
        let must = |name: String| find(&name).unwrap_or_else(|| panic!("the base has no tensor `{name}`"));
        let norm = |name: String| NormMap {
            gain: must(format!("{name}.gain")),
            bias: find(&format!("{name}.bias")),
        };
        let scale = layout.map_or(1.0, Layout::scale);
        let low_rank = |name: String| {
            let a = trained.get(&format!("{name}.lora_a"))?.clone();
            let b = trained.get(&format!("{name}.lora_b"))?.clone();
            Some(LowRank { a, b, scale })
        };
        let linear = |block: usize, name: &str| {
            let full = format!("blocks.{block}.{name}");
            let mut updates: Vec<_> = low_rank(full.clone()).map(|u| (u, Columns::All)).into_iter().collect();
            if name == "qkv" {
                let thirds = ["q", "k", "v"].into_iter().enumerate();
                updates.extend(thirds.filter_map(|(i, part)| {
                    low_rank(format!("blocks.{block}.{part}")).map(|u| (u, Columns::Third(i)))
                }));
            }
            Linear { weight: must(format!("{full}.weight")), bias: find(&format!("{full}.bias")), updates }
        };
        let blocks = (0..spec.layers)
            .map(|i| Block {
                attention_norm: norm(format!("blocks.{i}.attention_norm")),
                qkv: linear(i, "qkv"),
                o: linear(i, "o"),
                mlp_norm: norm(format!("blocks.{i}.mlp_norm")),
                gate: (spec.activation == Activation::SwiGlu).then(|| linear(i, "gate")),
                up: linear(i, "up"),
                down: linear(i, "down"),
            })
            .collect();
        Self {
            spec,
            tables,
            embedding: must("embedding".to_string()),
            positions: (spec.position == Position::Learned).then(|| must("positions".to_string())),
            embedding_norm: spec.embedding_norm.then(|| norm("embedding_norm".to_string())),
            blocks,
            final_norm: norm("final_norm".to_string()),
        }
    }

    /// Hidden states of whole sequences, `[batch · time] -> [batch · time, width]`, after the final norm.
    pub(crate) fn hidden(&self, ids: Tensor<1, Int>, batch: usize, time: usize) -> Tensor<2> {
        let mut x = self.embed(ids, &Positions::FromZero, batch, time);
        for block in &self.blocks {
            x = block.forward(x, |qkv| causal_attention(qkv, self.shape(batch, time), self.tables));
        }
        self.final_norm.forward(x)
    }

    /// Hidden states of new tokens that also see what `cache` holds; grows the cache.
    ///
    /// `bias` as in [`cached_attention`]; `positions` has one entry for each of `[batch, time]`.
    pub(crate) fn advance(
        &self,
        ids: Tensor<1, Int>,
        (batch, time): (usize, usize),
        positions: &Positions,
        bias: &Tensor<4>,
        cache: &mut Cache,
    ) -> Tensor<2> {
        let mut x = self.embed(ids, positions, batch, time);
        let mut old = std::mem::take(cache).into_iter();
        for block in &self.blocks {
            x = block.forward(x, |qkv| {
                let shape = self.shape(batch, time);
                let (out, keys) =
                    cached_attention(qkv, shape, self.tables, positions, bias.clone(), old.next());
                cache.push(keys);
                out
            });
        }
        self.final_norm.forward(x)
    }

    /// Scores of every token, `[rows, width] -> [rows, vocab]`; the head is the embedding.
    pub(crate) fn logits(&self, hidden: Tensor<2>) -> Tensor<2> {
        hidden.matmul(self.embedding.clone().transpose())
    }

    fn shape(&self, batch: usize, time: usize) -> AttentionShape {
        AttentionShape { batch, time, heads: self.spec.heads, head_width: self.spec.head_width() }
    }

    fn embed(&self, ids: Tensor<1, Int>, positions: &Positions, batch: usize, time: usize) -> Tensor<2> {
        let mut x = self.embedding.clone().select(0, ids);
        if let Some(table) = &self.positions {
            let width = self.spec.width;
            x = match positions {
                Positions::FromZero => {
                    let rows = table.clone().slice([0..time, 0..width]).reshape([1, time, width]);
                    (x.reshape([batch, time, width]) + rows).reshape([batch * time, width])
                }
                Positions::Each(index) => x + table.clone().select(0, (**index).clone()),
            };
        }
        match &self.embedding_norm {
            Some(norm) => norm.forward(x),
            None => x,
        }
    }
}

impl Block {
    /// Pre-norm residual block, serial: attention, then MLP.
    fn forward(&self, x: Tensor<2>, attention: impl FnOnce(Tensor<2>) -> Tensor<2>) -> Tensor<2> {
        let normed = self.attention_norm.forward(x.clone());
        let x = x + self.o.forward(attention(self.qkv.forward(normed)));
        let normed = self.mlp_norm.forward(x.clone());
        let inner = match &self.gate {
            Some(gate) => swiglu(gate.forward(normed.clone()), self.up.forward(normed)),
            None => gelu(self.up.forward(normed)),
        };
        x + self.down.forward(inner)
    }
}

impl NormMap {
    /// A norm with a bias is a LayerNorm, one without an RMSNorm.
    fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        match &self.bias {
            Some(bias) => layer_norm(x, self.gain.clone(), bias.clone()),
            None => rms_norm(x, self.gain.clone()),
        }
    }
}

impl LowRank {
    fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        x.matmul(self.a.clone()).mul_scalar(self.scale).matmul(self.b.clone())
    }
}

impl Linear {
    fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let mut y = x.clone().matmul(self.weight.clone());
        if let Some(bias) = &self.bias {
            y = y + bias.clone();
        }
        let [rows, columns] = y.dims();
        let mut thirds: [Option<Tensor<2>>; 3] = [None, None, None];
        for (update, place) in &self.updates {
            match place {
                Columns::All => y = y + update.forward(x.clone()),
                Columns::Third(i) => thirds[*i] = Some(update.forward(x.clone())),
            }
        }
        if thirds.iter().any(Option::is_some) {
            let zeros = || Tensor::zeros([rows, columns / 3], &x.device().inner());
            let parts = thirds.into_iter().map(|part| part.unwrap_or_else(zeros)).collect();
            y = y + Tensor::cat(parts, 1);
        }
        y
    }
}
