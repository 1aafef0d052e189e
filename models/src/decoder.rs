//! The decoder: one forward pass for every family, with adapters beside the frozen base.
//!
//! A [`Decoder`] is assembled for one step from the tensors of the base, which never require a gradient, and
//! from those of the attached adapters, which may. All activations are `[rows, width]`, where `rows = batch · time`,
//! so that every linear map is one matrix product.

use crate::adapter::Layout;
use crate::kernels::activation::{gelu, gelu_erf, relu, swiglu};
use crate::kernels::attention::{AttentionShape, CachedKeys, PositionTables, Reading, causal_attention};
use crate::kernels::dropout::{Dropout, dropout};
use crate::kernels::frozen::{frozen_matmul, frozen_rows, product};
use crate::kernels::norm::{layer_norm, rms_norm};
use crate::learner::int_tensor;
use crate::spec::{Activation, DecoderSpec, Position, Residual};
use burn::tensor::{Device, Int, Tensor};
use std::collections::BTreeMap;
use std::ops::Range;

/// The frozen tensors of a base on its device, vectors as one row.
pub(crate) type Weights = BTreeMap<String, Tensor<2>>;

/// An adapter in a pass.
pub(crate) struct Attached<'a> {
    /// Which tensors it has.
    pub layout: &'a Layout,
    /// The tensors by name; those with a name of the base stand in for the base's.
    pub tensors: BTreeMap<String, Tensor<2>>,
    /// Dropout on the inputs of its low-rank maps, while it trains.
    pub dropout: Option<Dropout>,
}

/// A model ready for a forward pass.
pub(crate) struct Decoder<'a> {
    spec: &'a DecoderSpec,
    tables: &'a PositionTables,
    embedding: Tensor<2>,
    positions: Option<Tensor<2>>,
    embedding_norm: Option<NormMap>,
    blocks: Vec<Block>,
    final_norm: NormMap,
    /// The head `[width, vocab]`; none where it is the embedding.
    head: Option<Tensor<2>>,
    head_bias: Option<Tensor<2>>,
}

struct Block {
    residual: Residual,
    activation: Activation,
    attention_norm: NormMap,
    qkv: Linear,
    o: Linear,
    attention_adapters: Vec<Bottleneck>,
    /// None where the MLP reads what attention reads.
    mlp_norm: Option<NormMap>,
    gate: Option<Linear>,
    up: Linear,
    down: Linear,
    mlp_adapters: Vec<Bottleneck>,
}

struct NormMap {
    gain: Tensor<2>,
    bias: Option<Tensor<2>>,
    epsilon: f64,
}

/// `x W + bias + Σ scale · (x A) B`.
struct Linear {
    weight: Tensor<2>,
    bias: Option<Tensor<2>>,
    /// Low-rank updates and the columns of the output they change.
    updates: Vec<(LowRank, Range<usize>)>,
}

struct LowRank {
    /// None where `b` is a whole update `[inputs, outputs]`.
    a: Option<Tensor<2>>,
    b: Tensor<2>,
    scale: f32,
    dropout: Option<Dropout>,
}

/// `h + W_up gelu(W_down h)` (Houlsby et al. 2019, arXiv 1902.00751, section 2.1).
struct Bottleneck {
    down: Tensor<2>,
    down_bias: Tensor<2>,
    up: Tensor<2>,
    up_bias: Tensor<2>,
}

/// Keys and values of every block.
pub(crate) type Cache = Vec<CachedKeys>;

impl<'a> Decoder<'a> {
    /// Puts a model together; where two adapters replace the same tensor of the base, the last one wins.
    pub(crate) fn assemble(
        spec: &'a DecoderSpec,
        tables: &'a PositionTables,
        weights: &Weights,
        adapters: &[Attached<'_>],
    ) -> Self {
        let parts = Parts { spec, weights, adapters };
        Self {
            spec,
            tables,
            embedding: parts.must("embedding"),
            positions: matches!(spec.position, Position::Learned { .. }).then(|| parts.must("positions")),
            embedding_norm: spec.embedding_norm.then(|| parts.norm("embedding_norm")),
            blocks: (0..spec.layers).map(|i| parts.block(&format!("blocks.{i}"))).collect(),
            final_norm: parts.norm("final_norm"),
            head: parts.find("head.weight"),
            head_bias: parts.find("head.bias"),
        }
    }

    /// Hidden states of whole sequences, `[batch · time] -> [batch · time, width]`, after the final norm.
    pub(crate) fn hidden(&self, ids: Tensor<1, Int>, batch: usize, time: usize) -> Tensor<2> {
        let mut x = self.embed(ids, (batch, time), None);
        for block in &self.blocks {
            x = block.forward(x, |qkv| causal_attention(qkv, self.shape(batch, time), self.tables));
        }
        self.final_norm.forward(x)
    }

    /// The longest sequence it reads, in tokens.
    pub(crate) fn longest(&self) -> usize {
        self.spec.max_positions
    }

    /// An empty cache for `batch` sequences of at most `capacity` tokens.
    pub(crate) fn cache(&self, batch: usize, capacity: usize, device: &Device) -> Cache {
        let shape = self.shape(batch, 1);
        self.blocks.iter().map(|_| CachedKeys::with_capacity(shape, capacity, device)).collect()
    }

    /// Hidden states of the tokens of this pass, which also see what `cache` holds and join it.
    pub(crate) fn advance(&self, ids: Tensor<1, Int>, reading: &Reading, cache: &mut Cache) -> Tensor<2> {
        let (batch, time) = reading.size();
        let mut x = self.embed(ids, (batch, time), Some(reading));
        let shape = self.shape(batch, time);
        for (block, cache) in self.blocks.iter().zip(cache) {
            x = block.forward(x, |qkv| cache.attend(qkv, shape, self.tables, reading));
        }
        self.final_norm.forward(x)
    }

    /// Scores of every token, `[rows, width] -> [rows, vocab]`.
    pub(crate) fn logits(&self, hidden: Tensor<2>) -> Tensor<2> {
        let scores = match &self.head {
            Some(head) => frozen_matmul(hidden, head.clone()),
            None => frozen_matmul(hidden, self.embedding.clone().transpose()),
        };
        match &self.head_bias {
            Some(bias) => scores + bias.clone(),
            None => scores,
        }
    }

    fn shape(&self, batch: usize, time: usize) -> AttentionShape {
        let DecoderSpec { heads, kv_heads, head_width, .. } = *self.spec;
        AttentionShape { batch, time, heads, kv_heads, head_width }
    }

    /// Embeds tokens; without a reading every sequence starts at position zero.
    fn embed(
        &self,
        ids: Tensor<1, Int>,
        (batch, time): (usize, usize),
        reading: Option<&Reading>,
    ) -> Tensor<2> {
        let mut x = frozen_rows(self.embedding.clone(), ids);
        if let (Some(table), Position::Learned { offset }) = (&self.positions, self.spec.position) {
            let width = self.spec.width;
            x = match reading {
                None => {
                    let rows = table.clone().slice([offset..offset + time, 0..width]);
                    let rows = rows.reshape([1, time, width]);
                    (x.reshape([batch, time, width]) + rows).reshape([batch * time, width])
                }
                Some(reading) => {
                    let index = int_tensor(&reading.positions(), &x.device().inner());
                    x + table.clone().select(0, index.add_scalar(offset as i32))
                }
            };
        }
        match &self.embedding_norm {
            Some(norm) => norm.forward(x),
            None => x,
        }
    }
}

/// Where the tensors of a model are found while it is put together.
struct Parts<'p> {
    spec: &'p DecoderSpec,
    weights: &'p Weights,
    adapters: &'p [Attached<'p>],
}

impl Parts<'_> {
    fn find(&self, name: &str) -> Option<Tensor<2>> {
        let trained = self.adapters.iter().rev().find_map(|adapter| adapter.tensors.get(name));
        trained.or_else(|| self.weights.get(name)).cloned()
    }

    fn must(&self, name: &str) -> Tensor<2> {
        self.find(name).unwrap_or_else(|| panic!("the base has no tensor `{name}`"))
    }

    fn norm(&self, name: &str) -> NormMap {
        NormMap {
            gain: self.must(&format!("{name}.gain")),
            bias: self.find(&format!("{name}.bias")),
            epsilon: self.spec.norm_epsilon,
        }
    }

    fn low_ranks(&self, name: &str) -> impl Iterator<Item = LowRank> {
        self.adapters.iter().filter_map(move |adapter| {
            let tensor = |part: &str| adapter.tensors.get(&format!("{name}.{part}")).cloned();
            let a = tensor("lora_a");
            Some(LowRank {
                b: tensor(if a.is_some() { "lora_b" } else { "delta" })?,
                a,
                scale: adapter.layout.scale(),
                dropout: adapter.dropout.as_ref().map(|dropout| dropout.at(name)),
            })
        })
    }

    fn bottlenecks(&self, name: &str) -> Vec<Bottleneck> {
        let one = |adapter: &Attached<'_>| {
            let part = |part: &str| adapter.tensors.get(&format!("{name}.{part}")).cloned();
            Some(Bottleneck {
                down: part("down.weight")?,
                down_bias: part("down.bias")?,
                up: part("up.weight")?,
                up_bias: part("up.bias")?,
            })
        };
        self.adapters.iter().filter_map(one).collect()
    }

    fn linear(&self, block: &str, name: &str) -> Linear {
        let full = format!("{block}.{name}");
        let weight = self.must(&format!("{full}.weight"));
        let all = 0..weight.dims()[1];
        let mut updates: Vec<_> = self.low_ranks(&full).map(|update| (update, all.clone())).collect();
        if name == "qkv" {
            let mut start = 0;
            for (part, width) in ["q", "k", "v"].into_iter().zip(self.spec.qkv_widths()) {
                let columns = start..start + width;
                updates.extend(
                    self.low_ranks(&format!("{block}.{part}")).map(|update| (update, columns.clone())),
                );
                start += width;
            }
        }
        Linear { weight, bias: self.find(&format!("{full}.bias")), updates }
    }

    fn block(&self, name: &str) -> Block {
        let spec = self.spec;
        Block {
            residual: spec.residual,
            activation: spec.activation,
            attention_norm: self.norm(&format!("{name}.attention_norm")),
            qkv: self.linear(name, "qkv"),
            o: self.linear(name, "o"),
            attention_adapters: self.bottlenecks(&format!("{name}.attention_adapter")),
            mlp_norm: (spec.residual != Residual::ParallelShared)
                .then(|| self.norm(&format!("{name}.mlp_norm"))),
            gate: spec.gated().then(|| self.linear(name, "gate")),
            up: self.linear(name, "up"),
            down: self.linear(name, "down"),
            mlp_adapters: self.bottlenecks(&format!("{name}.mlp_adapter")),
        }
    }
}

impl Block {
    /// Norms stand before attention and MLP; [`Residual`] says what the MLP reads.
    fn forward(&self, x: Tensor<2>, attention: impl FnOnce(Tensor<2>) -> Tensor<2>) -> Tensor<2> {
        let normed = self.attention_norm.forward(x.clone());
        let attended = self.o.forward(attention(self.qkv.forward(normed.clone())));
        let attended = self.attention_adapters.iter().fold(attended, |h, adapter| adapter.forward(h));
        match (self.residual, &self.mlp_norm) {
            (Residual::Serial, Some(norm)) => {
                let x = x + attended;
                let normed = norm.forward(x.clone());
                x + self.mlp(normed)
            }
            (_, Some(norm)) => {
                let normed = norm.forward(x.clone());
                x + attended + self.mlp(normed)
            }
            (_, None) => x + attended + self.mlp(normed),
        }
    }

    fn mlp(&self, x: Tensor<2>) -> Tensor<2> {
        let inner = match (self.activation, &self.gate) {
            (_, Some(gate)) => swiglu(gate.forward(x.clone()), self.up.forward(x)),
            (Activation::GeluErf, _) => gelu_erf(self.up.forward(x)),
            (Activation::Relu, _) => relu(self.up.forward(x)),
            (Activation::Gelu | Activation::SwiGlu, None) => gelu(self.up.forward(x)),
        };
        let out = self.down.forward(inner);
        self.mlp_adapters.iter().fold(out, |h, adapter| adapter.forward(h))
    }
}

impl NormMap {
    /// A norm with a bias is a LayerNorm, one without an RMSNorm.
    fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        match &self.bias {
            Some(bias) => layer_norm(x, self.gain.clone(), bias.clone(), self.epsilon),
            None => rms_norm(x, self.gain.clone(), self.epsilon),
        }
    }
}

impl LowRank {
    fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let x = match &self.dropout {
            Some(rule) => dropout(x, rule),
            None => x,
        };
        let x = match &self.a {
            Some(a) => product(x, a.clone()).mul_scalar(self.scale),
            None => x,
        };
        product(x, self.b.clone())
    }
}

impl Bottleneck {
    fn forward(&self, h: Tensor<2>) -> Tensor<2> {
        let inner = gelu(product(h.clone(), self.down.clone()) + self.down_bias.clone());
        h + product(inner, self.up.clone()) + self.up_bias.clone()
    }
}

impl Linear {
    fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let mut y = frozen_matmul(x.clone(), self.weight.clone());
        if let Some(bias) = &self.bias {
            y = y + bias.clone();
        }
        let [rows, columns] = y.dims();
        // Updates of different columns are put side by side and added at once.
        let mut row: Vec<Tensor<2>> = Vec::new();
        let mut filled = 0;
        for (update, place) in &self.updates {
            if place.start < filled {
                y = y + self.beside(std::mem::take(&mut row), rows, filled..columns);
                filled = 0;
            }
            if place.start > filled {
                row.push(Tensor::zeros([rows, place.start - filled], &x.device().inner()));
            }
            row.push(update.forward(x.clone()));
            filled = place.end;
        }
        if row.is_empty() { y } else { y + self.beside(row, rows, filled..columns) }
    }

    /// Columns side by side, with zeros in the columns `left`.
    fn beside(&self, mut parts: Vec<Tensor<2>>, rows: usize, left: Range<usize>) -> Tensor<2> {
        if !left.is_empty() {
            let device = self.weight.device().inner();
            parts.push(Tensor::zeros([rows, left.len()], &device));
        }
        if parts.len() == 1 { parts.remove(0) } else { Tensor::cat(parts, 1) }
    }
}
