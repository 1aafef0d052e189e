//! What work on a model costs, in closed form: floating-point operations, bytes, memory.
//!
//! A [`ModelShape`] is either the shape of a base that really computes or the shape it is billed as. Products of
//! matrices are counted, at two operations a multiply-add; norms, softmax and activations are not (under 1 % from
//! width 500 on). Per token, with N parameters that take part in products, N₀ of them reading nothing but the frozen
//! embedding, n trained ones beside them, L layers, attention of width a and T tokens of context (Kaplan et
//! al. 2020, table 1):
//!
//! | pass          | FLOPs |
//! |---------------|-------|
//! | forward       | 2 N + 2 n + 4 L T a |
//! | LoRA training | 4 N − 2 N₀ (forward, activation gradients) + 6 n (both, weight gradients) + 12 L T a |
//! | full training | 6 N + 12 L T a |
//!
//! `count.rs` counts the same one product after the other.

#[cfg(test)]
mod count;

use crate::adapter::Layout;
use crate::spec::{DecoderSpec, Residual};
use serde::{Deserialize, Serialize};

/// The shape that is charged for.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelShape {
    /// Parameters of the frozen base, as they lie in memory.
    pub parameters: f64,
    /// Those of them that take part in products, N: all but tables that are looked up in, norms and biases.
    pub multiplied: f64,
    /// Those that read nothing but the embedding, N₀: while it is frozen their inputs get no gradient.
    pub first: f64,
    /// Trained parameters, n.
    pub trained: f64,
    /// Layers, L.
    pub layers: f64,
    /// Width of the residual stream.
    pub width: f64,
    /// Width of all query heads together, a.
    pub attention_width: f64,
    /// Width of keys and values over all their heads, each.
    pub kv_width: f64,
    /// Size of one frozen weight.
    pub bits_per_weight: f64,
}

/// Bytes of a trained value: itself, its gradient and two moments, each in f32.
const BYTES_PER_TRAINED: f64 = 16.0;

/// Bytes of activations a layer, token and unit of width: 34 with half-precision activations and without recomputation
/// (Korthikanti et al. 2022, arXiv 2205.05198, equation 2, without the attention scores).
const ACTIVATION_BYTES: f64 = 34.0;

/// Bytes of one cached key or value: half precision.
const KV_BYTES: f64 = 2.0;

impl ModelShape {
    /// The shape of a model that is billed as what it is.
    pub fn of(spec: &DecoderSpec, layout: &Layout) -> Self {
        let [q, kv, _] = spec.qkv_widths();
        Self {
            parameters: spec.parameters() as f64,
            multiplied: multiplied(spec) as f64,
            first: first(spec) as f64,
            trained: layout.total() as f64,
            layers: spec.layers as f64,
            width: spec.width as f64,
            attention_width: q as f64,
            kv_width: kv as f64,
            bits_per_weight: 32.0,
        }
    }

    /// FLOPs of reading `tokens` tokens with `context` tokens of attention each, adapter included.
    pub fn forward_flops(&self, tokens: f64, context: f64) -> f64 {
        tokens * (2.0 * self.multiplied + 2.0 * self.trained + self.attention_flops(context))
    }

    /// FLOPs of one training pass over `tokens` tokens, base frozen, with `context` tokens of attention each.
    pub fn training_flops(&self, tokens: f64, context: f64) -> f64 {
        let frozen = 4.0 * self.multiplied - 2.0 * self.first;
        tokens * (frozen + 6.0 * self.trained + 3.0 * self.attention_flops(context))
    }

    /// FLOPs of one pass that trains every weight.
    pub fn full_training_flops(&self, tokens: f64, context: f64) -> f64 {
        tokens * (6.0 * self.multiplied + 3.0 * self.attention_flops(context))
    }

    /// FLOPs of one token's attention over `context` tokens, all layers: scores and sums of values.
    fn attention_flops(&self, context: f64) -> f64 {
        4.0 * self.layers * context * self.attention_width
    }

    /// Bytes of frozen weights that one pass moves from memory \[B\].
    pub fn weight_bytes(&self) -> f64 {
        self.parameters * self.bits_per_weight / 8.0
    }

    /// Bytes of the adapter with its gradient and the optimizer's two moments \[B\].
    pub fn optimizer_bytes(&self) -> f64 {
        BYTES_PER_TRAINED * self.trained
    }

    /// Bytes of activations that a training pass over `tokens` tokens keeps \[B\].
    pub fn activation_bytes(&self, tokens: f64) -> f64 {
        ACTIVATION_BYTES * tokens * self.layers * self.width
    }

    /// Bytes of the keys and values of `tokens` tokens \[B\].
    pub fn kv_bytes(&self, tokens: f64) -> f64 {
        2.0 * KV_BYTES * tokens * self.layers * self.kv_width
    }

    /// Bytes of the adapter as it travels, at `bits` a value \[B\].
    pub fn message_bytes(&self, bits: f64) -> f64 {
        self.trained * bits / 8.0
    }

    /// Bytes of memory that training needs: weights, adapter with optimizer, activations of `tokens` tokens \[B\].
    pub fn training_memory_bytes(&self, tokens: f64) -> f64 {
        self.weight_bytes() + self.optimizer_bytes() + self.activation_bytes(tokens)
    }
}

/// Parameters that take part in products of matrices.
fn multiplied(spec: &DecoderSpec) -> usize {
    let is_map =
        |name: &str| name == "head.weight" || (name.starts_with("blocks.") && name.ends_with(".weight"));
    let maps = spec.tensors().into_iter().filter(|(name, _)| is_map(name));
    let maps: usize = maps.map(|(_, shape)| shape.iter().product::<usize>()).sum();
    maps + if spec.tied { spec.vocab * spec.width } else { 0 }
}

/// Parameters of the first block's maps that read the normalised embedding.
fn first(spec: &DecoderSpec) -> usize {
    let qkv: usize = spec.qkv_widths().iter().sum();
    let up = match spec.residual {
        Residual::Serial => 0,
        Residual::Parallel | Residual::ParallelShared => spec.mlp * (1 + usize::from(spec.gated())),
    };
    spec.width * (qkv + up)
}

#[cfg(test)]
mod tests {
    use super::count::{Passes, count};
    use super::*;
    use crate::adapter::{LoraSpec, Target};
    use crate::spec::Family;

    /// The published shapes that the design names.
    fn published() -> [(&'static str, DecoderSpec); 3] {
        [
            ("Pythia-70M", DecoderSpec::of(Family::GptNeox, 50_304, 512, 6, 8, 2048, 2048)),
            ("SmolLM2-135M", {
                let spec = DecoderSpec::of(Family::Llama, 49_152, 576, 30, 9, 1536, 8192);
                DecoderSpec { kv_heads: 3, ..spec }
            }),
            ("Qwen2.5-0.5B", {
                let spec = DecoderSpec::of(Family::Qwen2, 151_936, 896, 24, 14, 4864, 32_768);
                DecoderSpec { kv_heads: 2, ..spec }
            }),
        ]
    }

    fn lora(rank: usize) -> LoraSpec {
        let targets =
            vec![Target::Q, Target::K, Target::V, Target::O, Target::Gate, Target::Up, Target::Down];
        LoraSpec { rank, alpha: 16.0, targets, modules_to_save: Vec::new() }
    }

    #[test]
    fn the_closed_forms_agree_with_a_count_of_every_product_within_one_per_cent() {
        for (name, spec) in published() {
            for (batch, time) in [(1, 64), (4, 512)] {
                let (tokens, context) = ((batch * time) as f64, time as f64);
                let near = |form: f64, counted: f64, what: &str| {
                    let off = form / counted - 1.0;
                    assert!(off.abs() < 0.01, "{name}, {what}: {form:e}, counted {counted:e}");
                };
                let layout = Layout::lora(&spec, &lora(8));
                let shape = ModelShape::of(&spec, &layout);
                let passes = count(&spec, &layout, batch, time);
                near(shape.forward_flops(tokens, context), passes.forward, "forward");
                near(shape.training_flops(tokens, context), passes.training(), "LoRA training");
                let full = Layout::full(&spec);
                let Passes { forward, backward } = count(&spec, &full, batch, time);
                near(shape.full_training_flops(tokens, context), forward + backward, "full training");
            }
        }
    }

    #[test]
    fn bytes_are_those_of_the_published_model() {
        let (_, spec) = &published()[1];
        let shape =
            ModelShape { bits_per_weight: 16.0, ..ModelShape::of(spec, &Layout::lora(spec, &lora(8))) };
        assert_eq!(shape.weight_bytes(), 2.0 * 134_515_008.0);
        // 30 layers, keys and values of 3 heads of 64, two bytes each.
        assert_eq!(shape.kv_bytes(1.0), 30.0 * 2.0 * 192.0 * 2.0);
        assert_eq!(shape.message_bytes(32.0), 4.0 * shape.trained);
        assert_eq!(shape.optimizer_bytes(), 16.0 * shape.trained);
    }
}
