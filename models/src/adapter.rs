//! Adapters: which values of a model are trained, and where they lie in one flat buffer.
//!
//! LoRA (Hu et al. 2021, arXiv 2106.09685): `W' = W + (alpha / r) · A · B`, with `A [inputs, r]` drawn
//! uniformly from ±1/√inputs (Kaiming, as PEFT does) and `B [r, outputs]` zero, so that a fresh adapter
//! changes nothing.
//!
//! Bottleneck adapter (Houlsby et al. 2019, arXiv 1902.00751, section 2.1): `h + W_up gelu(W_down h + b) + c` after
//! attention and after the MLP of every block, with `W_up` and both biases zero at first.
//!
//! Adapters are plain `f32` values outside the tensors: they travel, are averaged, digested and stored as such.

use crate::spec::DecoderSpec;
use cotune_kernel::stream::Stream;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Which linear maps get a low-rank update, and what else is trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LoraSpec {
    /// Rank r of the update.
    pub rank: usize,
    /// Scale: the update is multiplied by `alpha / rank`.
    pub alpha: f64,
    /// The linear maps that are adapted.
    pub targets: Vec<Target>,
    /// Parts of the base that are trained in full beside the low-rank maps.
    pub modules_to_save: Vec<Module>,
}

/// A linear map of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// Query.
    Q,
    /// Key.
    K,
    /// Value.
    V,
    /// Query, key and value as one map (GPT-2's `c_attn`).
    Qkv,
    /// Attention output.
    O,
    /// Gate of a SwiGLU.
    Gate,
    /// First map of the MLP.
    Up,
    /// Second map of the MLP.
    Down,
}

/// A part of the base that an adapter may train in full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Module {
    /// Token embedding and head.
    Embeddings,
    /// Gains and biases of every norm.
    Norms,
}

/// Where each trained value lies in the flat buffer.
#[derive(Clone, Debug, PartialEq)]
pub struct Layout {
    entries: Vec<Entry>,
    total: usize,
    scale: f32,
    fixed: Arc<Vec<Fixed>>,
}

/// A tensor of an adapter that is not trained: everyone who has the layout has its values.
#[derive(Clone, Debug, PartialEq)]
pub struct Fixed {
    /// `blocks.0.qkv.lora_a`.
    pub name: String,
    /// Rows and columns.
    pub shape: [usize; 2],
    /// Its values, row by row.
    pub values: Vec<f32>,
}

/// One trained tensor.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// `blocks.0.qkv.lora_a`, or the name of a tensor of the base.
    pub name: String,
    /// Rows and columns; vectors are one row.
    pub shape: [usize; 2],
    /// Index of its first value.
    pub offset: usize,
    /// How the value starts.
    pub start: Start,
}

/// One low-rank map of a layout.
#[derive(Clone, Copy, Debug)]
pub struct LowRankMap<'l> {
    /// `blocks.0.qkv`.
    pub name: &'l str,
    /// `[inputs, rank]`.
    pub a: &'l Entry,
    /// `[rank, outputs]`.
    pub b: &'l Entry,
}

/// The first value of a trained tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// Uniform in ±1/√inputs.
    Kaiming,
    /// Zero.
    Zero,
    /// A copy of the base's tensor.
    Base,
}

impl Entry {
    /// Number of values.
    pub fn len(&self) -> usize {
        self.shape[0] * self.shape[1]
    }

    /// Whether the tensor has no value.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether weight decay applies: to matrices, not to norms and biases.
    pub fn decays(&self) -> bool {
        self.shape[0] > 1
    }
}

impl Target {
    /// Inputs and outputs of the map, and its name inside a block; `None` if the family has no such map.
    pub(crate) fn shape(self, spec: &DecoderSpec) -> Option<(usize, usize, &'static str)> {
        let (d, f) = (spec.width, spec.mlp);
        let [q, k, v] = spec.qkv_widths();
        match self {
            Self::Q => Some((d, q, "q")),
            Self::K => Some((d, k, "k")),
            Self::V => Some((d, v, "v")),
            Self::Qkv => Some((d, q + k + v, "qkv")),
            Self::O => Some((q, d, "o")),
            Self::Gate => spec.gated().then_some((d, f, "gate")),
            Self::Up => Some((d, f, "up")),
            Self::Down => Some((f, d, "down")),
        }
    }
}

impl Layout {
    /// The layout of a LoRA on `spec`: block by block, targets in the order of [`Target`], A before B.
    ///
    /// A target that the family lacks (`gate` without SwiGLU) is left out.
    pub fn lora(spec: &DecoderSpec, lora: &LoraSpec) -> Self {
        let mut layout = Self { scale: (lora.alpha / lora.rank as f64) as f32, ..Self::none() };
        let mut targets = lora.targets.clone();
        targets.sort_unstable();
        targets.dedup();
        for block in 0..spec.layers {
            for (inputs, outputs, name) in targets.iter().filter_map(|target| target.shape(spec)) {
                let name = format!("blocks.{block}.{name}");
                layout.push(format!("{name}.lora_a"), [inputs, lora.rank], Start::Kaiming);
                layout.push(format!("{name}.lora_b"), [lora.rank, outputs], Start::Zero);
            }
        }
        for (name, shape) in spec.tensors() {
            let saved = lora.modules_to_save.iter().any(|module| match module {
                Module::Embeddings => name == "embedding" || name.starts_with("head."),
                Module::Norms => name.contains("norm."),
            });
            if saved {
                layout.push(name, as_matrix(&shape), Start::Base);
            }
        }
        layout
    }

    /// The layout of a model that is only read.
    pub fn none() -> Self {
        Self { entries: Vec::new(), total: 0, scale: 1.0, fixed: Arc::default() }
    }

    /// This layout with every `A` fixed at its value among `values`, so that only `B` (and what else is trained) is: an
    /// average of `B` over devices is then the average of the updates `A · B`, which one of both is not (FFA-LoRA, Sun
    /// et al. 2024, arXiv 2403.12313).
    #[must_use]
    pub fn freezing_a(&self, values: &[f32]) -> Self {
        let mut layout = Self { scale: self.scale, ..Self::none() };
        let mut fixed = Vec::new();
        for Entry { name, shape, offset, start } in self.entries.iter().cloned() {
            if name.ends_with(".lora_a") {
                let values = values[offset..offset + shape[0] * shape[1]].to_vec();
                fixed.push(Fixed { name, shape, values });
            } else {
                layout.push(name, shape, start);
            }
        }
        layout.fixed = Arc::new(fixed);
        layout
    }

    /// `values` of this layout in the order of `whole`, the same without anything fixed.
    ///
    /// # Panics
    /// `whole` has a tensor that this layout has not.
    pub fn unfrozen(&self, whole: &Self, values: &[f32]) -> Vec<f32> {
        let of = |name: &str| {
            let trained = self.entries.iter().find(|entry| entry.name == name);
            let fixed = || self.fixed.iter().find(|fixed| fixed.name == name).map(|f| f.values.as_slice());
            let found = trained.map(|entry| &values[entry.offset..entry.offset + entry.len()]);
            found.or_else(fixed).unwrap_or_else(|| panic!("there is no tensor `{name}`"))
        };
        whole.entries.iter().flat_map(|entry| of(&entry.name)).copied().collect()
    }

    /// The layout of whole updates `[inputs, outputs]` of the maps that this one adapts: what `A · B` is added up in when
    /// no rank is enough.
    #[must_use]
    pub fn deltas(&self) -> Self {
        let mut layout = Self::none();
        for map in self.maps() {
            layout.push(format!("{}.delta", map.name), [map.a.shape[0], map.b.shape[1]], Start::Zero);
        }
        layout
    }

    /// The adapted maps, in order: where their `A` and `B` lie.
    pub fn maps(&self) -> impl Iterator<Item = LowRankMap<'_>> {
        self.entries.windows(2).filter_map(|pair| {
            let name = pair[0].name.strip_suffix(".lora_a")?;
            Some(LowRankMap { name, a: &pair[0], b: &pair[1] })
        })
    }

    /// What is fixed beside the trained tensors.
    pub fn fixed(&self) -> &[Fixed] {
        &self.fixed
    }

    /// Whether it is low-rank maps and nothing else.
    pub fn is_low_rank(&self) -> bool {
        2 * self.maps().count() == self.entries.len() && self.fixed.is_empty()
    }

    /// The layout of bottleneck adapters of width `size` on `spec`: block by block, attention before MLP.
    pub fn bottleneck(spec: &DecoderSpec, size: usize) -> Self {
        let mut layout = Self::none();
        for block in 0..spec.layers {
            for place in ["attention_adapter", "mlp_adapter"] {
                let name = format!("blocks.{block}.{place}");
                layout.push(format!("{name}.down.weight"), [spec.width, size], Start::Kaiming);
                layout.push(format!("{name}.down.bias"), [1, size], Start::Zero);
                layout.push(format!("{name}.up.weight"), [size, spec.width], Start::Zero);
                layout.push(format!("{name}.up.bias"), [1, spec.width], Start::Zero);
            }
        }
        layout
    }

    /// The layout in which every tensor of the base is trained: pretraining.
    pub fn full(spec: &DecoderSpec) -> Self {
        let mut layout = Self::none();
        for (name, shape) in spec.tensors() {
            layout.push(name, as_matrix(&shape), Start::Base);
        }
        layout
    }

    /// A layout with the given tensors, in this order.
    pub(crate) fn of(tensors: Vec<(String, [usize; 2], Start)>, scale: f32) -> Self {
        let mut layout = Self { scale, ..Self::none() };
        for (name, shape, start) in tensors {
            layout.push(name, shape, start);
        }
        layout
    }

    fn push(&mut self, name: String, shape: [usize; 2], start: Start) {
        self.entries.push(Entry { name, shape, offset: self.total, start });
        self.total += shape[0] * shape[1];
    }

    /// The trained tensors, in order of their offsets.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Number of trained values.
    pub fn total(&self) -> usize {
        self.total
    }

    /// `alpha / rank`.
    pub fn scale(&self) -> f32 {
        self.scale
    }

    /// Fresh values; `base` yields the base's tensor for entries that start from it.
    pub fn init(&self, stream: &mut Stream, base: impl Fn(&str) -> Vec<f32>) -> Vec<f32> {
        let mut values = Vec::with_capacity(self.total);
        for entry in &self.entries {
            match entry.start {
                Start::Zero => values.resize(values.len() + entry.len(), 0.0),
                Start::Base => values.extend(base(&entry.name)),
                Start::Kaiming => {
                    let bound = 1.0 / (entry.shape[0] as f64).sqrt();
                    values.extend((0..entry.len()).map(|_| ((2.0 * stream.uniform() - 1.0) * bound) as f32));
                }
            }
        }
        values
    }
}

/// Vectors are matrices of one row.
pub(crate) fn as_matrix(shape: &[usize]) -> [usize; 2] {
    match shape {
        [n] => [1, *n],
        [rows, columns] => [*rows, *columns],
        _ => unreachable!("every tensor of a decoder has one or two axes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::Family;

    fn lora(targets: &[Target]) -> LoraSpec {
        LoraSpec { rank: 8, alpha: 16.0, targets: targets.to_vec(), modules_to_save: Vec::new() }
    }

    #[test]
    fn a_fused_rank_8_adapter_on_gpt2_small_has_the_size_fedcollm_reports() {
        let spec = DecoderSpec::of(Family::Gpt2, 50_257, 768, 12, 12, 3072, 1024);
        assert_eq!(Layout::lora(&spec, &lora(&[Target::Qkv])).total(), 294_912);
    }

    #[test]
    fn rank_8_on_q_k_v_o_of_a_2048_wide_model_has_the_size_fedcollm_reports() {
        let spec = DecoderSpec::of(Family::Llama, 32_000, 2048, 24, 16, 5504, 2048);
        let targets = [Target::Q, Target::K, Target::V, Target::O];
        assert_eq!(Layout::lora(&spec, &lora(&targets)).total(), 3_145_728);
    }

    #[test]
    fn a_bottleneck_has_two_maps_with_biases_at_two_places_a_block() {
        let spec = DecoderSpec::of(Family::Gpt2, 512, 64, 3, 4, 256, 96);
        assert_eq!(Layout::bottleneck(&spec, 16).total(), 3 * 2 * (2 * 64 * 16 + 16 + 64));
    }

    #[test]
    fn keys_and_values_that_are_shared_have_narrower_updates() {
        let spec = DecoderSpec { kv_heads: 1, ..DecoderSpec::of(Family::Llama, 512, 64, 1, 4, 128, 96) };
        assert_eq!(Layout::lora(&spec, &lora(&[Target::K])).total(), 8 * (64 + 16));
        assert_eq!(Layout::lora(&spec, &lora(&[Target::Qkv])).total(), 8 * (64 + 96));
    }

    #[test]
    fn a_target_the_family_lacks_is_left_out() {
        let spec = DecoderSpec::of(Family::Gpt2, 512, 64, 2, 4, 256, 96);
        assert_eq!(Layout::lora(&spec, &lora(&[Target::Gate])).total(), 0);
    }

    #[test]
    fn a_fresh_adapter_is_zero_in_every_b() {
        let spec = DecoderSpec::of(Family::Llama, 512, 32, 1, 4, 64, 96);
        let layout = Layout::lora(&spec, &lora(&[Target::O]));
        let values = layout.init(&mut Stream::keyed(1, "adapter"), |_| unreachable!());
        let b = &layout.entries()[1];
        assert!(values[b.offset..].iter().all(|v| *v == 0.0));
        assert!(values[..b.offset].iter().all(|v| v.abs() <= 1.0 / (32.0_f32).sqrt() && *v != 0.0));
    }
}
