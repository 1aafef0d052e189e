//! What each family calls its tensors and modules, and how the tensors lie.
//!
//! One table serves import, export and PEFT adapters.

use crate::adapter::Target;
use crate::spec::{DecoderSpec, Family};

/// The names of a family. A block's parts stand behind `block` and the block's number.
pub(crate) struct Names {
    /// What older checkpoints leave out at the beginning of every name.
    pub optional_prefix: &'static str,
    embedding: &'static str,
    positions: &'static str,
    embedding_norm: &'static str,
    final_norm: &'static str,
    head: &'static str,
    pub block: &'static str,
    attention_norm: &'static str,
    pub qkv: Qkv,
    pub o: &'static str,
    mlp_norm: &'static str,
    pub gate: &'static str,
    pub up: &'static str,
    pub down: &'static str,
    /// Whether the linear maps of the blocks lie as `[inputs, outputs]` (GPT-2's `Conv1D`).
    pub conv1d: bool,
}

/// How query, key and value are kept.
pub(crate) enum Qkv {
    /// Three maps.
    Apart([&'static str; 3]),
    /// One map: all queries, then all keys, then all values.
    Beside(&'static str),
    /// One map: query, key and value of the first head, of the second, …
    PerHead(&'static str),
}

const LLAMA: Names = Names {
    optional_prefix: "",
    embedding: "model.embed_tokens",
    positions: "",
    embedding_norm: "",
    final_norm: "model.norm",
    head: "lm_head",
    block: "model.layers.",
    attention_norm: "input_layernorm",
    qkv: Qkv::Apart(["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"]),
    o: "self_attn.o_proj",
    mlp_norm: "post_attention_layernorm",
    gate: "mlp.gate_proj",
    up: "mlp.up_proj",
    down: "mlp.down_proj",
    conv1d: false,
};

const GPT2: Names = Names {
    optional_prefix: "transformer.",
    embedding: "transformer.wte",
    positions: "transformer.wpe",
    final_norm: "transformer.ln_f",
    block: "transformer.h.",
    attention_norm: "ln_1",
    qkv: Qkv::Beside("attn.c_attn"),
    o: "attn.c_proj",
    mlp_norm: "ln_2",
    gate: "",
    up: "mlp.c_fc",
    down: "mlp.c_proj",
    conv1d: true,
    ..LLAMA
};

const GPT_NEOX: Names = Names {
    optional_prefix: "",
    embedding: "gpt_neox.embed_in",
    final_norm: "gpt_neox.final_layer_norm",
    head: "embed_out",
    block: "gpt_neox.layers.",
    attention_norm: "input_layernorm",
    qkv: Qkv::PerHead("attention.query_key_value"),
    o: "attention.dense",
    mlp_norm: "post_attention_layernorm",
    gate: "",
    up: "mlp.dense_h_to_4h",
    down: "mlp.dense_4h_to_h",
    ..LLAMA
};

const GPT_J: Names = Names {
    qkv: Qkv::Apart(["attn.q_proj", "attn.k_proj", "attn.v_proj"]),
    o: "attn.out_proj",
    up: "mlp.fc_in",
    down: "mlp.fc_out",
    conv1d: false,
    ..GPT2
};

const BLOOM: Names = Names {
    optional_prefix: "transformer.",
    embedding: "transformer.word_embeddings",
    embedding_norm: "transformer.word_embeddings_layernorm",
    final_norm: "transformer.ln_f",
    head: "lm_head",
    block: "transformer.h.",
    qkv: Qkv::PerHead("self_attention.query_key_value"),
    o: "self_attention.dense",
    ..GPT_NEOX
};

const OPT: Names = Names {
    optional_prefix: "model.",
    embedding: "model.decoder.embed_tokens",
    positions: "model.decoder.embed_positions",
    final_norm: "model.decoder.final_layer_norm",
    block: "model.decoder.layers.",
    attention_norm: "self_attn_layer_norm",
    o: "self_attn.out_proj",
    mlp_norm: "final_layer_norm",
    gate: "",
    up: "fc1",
    down: "fc2",
    ..LLAMA
};

/// The names of a family.
pub(crate) fn of(family: Family) -> &'static Names {
    match family {
        Family::Llama | Family::Qwen2 => &LLAMA,
        Family::Gpt2 => &GPT2,
        Family::GptNeox => &GPT_NEOX,
        Family::GptJ => &GPT_J,
        Family::Bloom => &BLOOM,
        Family::Opt => &OPT,
    }
}

/// How one tensor of a decoder is kept in the files of its family. Linear maps of a decoder are `[inputs, outputs]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// As it is.
    Same(String),
    /// As `[outputs, inputs]`.
    Turned(String),
    /// As three, whose outputs follow each other; matrices are `[outputs, inputs]`.
    Apart([String; 3]),
    /// As one, whose outputs are in the order `[heads, 3, head_width]`; a matrix is `[outputs, inputs]`.
    PerHead(String),
}

impl Names {
    /// The linear maps of a block as the files have them, in the order of [`Target`].
    pub(crate) fn maps(&self, spec: &DecoderSpec) -> Vec<(Target, &'static str)> {
        let mut maps = match self.qkv {
            Qkv::Apart([q, k, v]) => vec![(Target::Q, q), (Target::K, k), (Target::V, v)],
            Qkv::Beside(name) | Qkv::PerHead(name) => vec![(Target::Qkv, name)],
        };
        maps.push((Target::O, self.o));
        if spec.gated() {
            maps.push((Target::Gate, self.gate));
        }
        maps.extend([(Target::Up, self.up), (Target::Down, self.down)]);
        maps
    }

    /// Where the tensor `tensor` of [`DecoderSpec::tensors`] is kept.
    pub(crate) fn place(&self, spec: &DecoderSpec, tensor: &str) -> Place {
        let (module, kind) = tensor.rsplit_once('.').unwrap_or((tensor, "weight"));
        let suffix = if kind == "gain" { "weight" } else { kind };
        let whole = |name: &str| Place::Same(format!("{name}.{suffix}"));
        let Some((block, part)) = module.strip_prefix("blocks.").and_then(|rest| rest.split_once('.')) else {
            return match module {
                "embedding" => whole(self.embedding),
                "positions" => whole(self.positions),
                "embedding_norm" => whole(self.embedding_norm),
                "final_norm" => whole(self.final_norm),
                "head" if kind == "weight" => Place::Turned(format!("{}.weight", self.head)),
                "head" => whole(self.head),
                other => unreachable!("a decoder has no part `{other}`"),
            };
        };
        let full = |name: &str| format!("{}{block}.{name}.{suffix}", self.block);
        let linear = |name: &str| match self.conv1d || kind == "bias" {
            true => Place::Same(full(name)),
            false => Place::Turned(full(name)),
        };
        match part {
            "attention_norm" => Place::Same(full(self.attention_norm)),
            "mlp_norm" => Place::Same(full(self.mlp_norm)),
            "qkv" => match &self.qkv {
                Qkv::Apart(names) => Place::Apart(names.map(full)),
                Qkv::Beside(name) => linear(name),
                Qkv::PerHead(name) => Place::PerHead(full(name)),
            },
            "o" => linear(self.o),
            "gate" => linear(self.gate),
            "up" => linear(self.up),
            "down" => linear(self.down),
            other => unreachable!("a block of {} has no part `{other}`", spec.family.title()),
        }
    }

    /// Whether a tensor of a file is a buffer, or the head of a model whose head is its embedding.
    pub(crate) fn is_ignored(&self, name: &str, tied: bool) -> bool {
        let buffers = [
            "attn.bias",
            "attn.masked_bias",
            "attention.bias",
            "attention.masked_bias",
            "rotary_emb.inv_freq",
        ];
        buffers.iter().any(|buffer| name.ends_with(&format!(".{buffer}")))
            || (tied && name == format!("{}.weight", self.head))
    }
}

impl Place {
    /// Name and shape of each tensor in the file for the decoder's tensor `tensor`.
    pub(crate) fn file_tensors(&self, spec: &DecoderSpec, tensor: &str) -> Vec<(String, Vec<usize>)> {
        let shape = shape(spec, tensor);
        let turned = |outputs: usize| match shape.as_slice() {
            [inputs, _] => vec![outputs, *inputs],
            _ => vec![outputs],
        };
        let outputs = *shape.last().expect("a tensor has an axis");
        match self {
            Self::Same(name) => vec![(name.clone(), shape)],
            Self::Turned(name) | Self::PerHead(name) => vec![(name.clone(), turned(outputs))],
            Self::Apart(names) => names
                .iter()
                .cloned()
                .zip(spec.qkv_widths())
                .map(|(name, width)| (name, turned(width)))
                .collect(),
        }
    }

    /// The tensor as it lies in [`DecoderSpec::tensors`], from the tensors of the file.
    pub(crate) fn assemble<T: Copy + Default>(
        &self,
        spec: &DecoderSpec,
        tensor: &str,
        parts: Vec<Vec<T>>,
    ) -> Vec<T> {
        let stacked = self.stack(spec, tensor, parts);
        match self {
            Self::Same(_) => stacked,
            _ => transpose(&stacked, inputs(spec, tensor)),
        }
    }

    /// The tensor with its outputs in the decoder's order: as `[outputs, inputs]`, unless the file holds it as it is.
    pub(crate) fn stack<T: Copy>(&self, spec: &DecoderSpec, tensor: &str, mut parts: Vec<Vec<T>>) -> Vec<T> {
        match self {
            Self::Same(_) | Self::Turned(_) => parts.swap_remove(0),
            Self::PerHead(_) => part_by_part(&parts[0], spec.head_width * inputs(spec, tensor)),
            Self::Apart(_) => parts.concat(),
        }
    }

    /// The inverse of [`Self::assemble`].
    pub(crate) fn take_apart(&self, spec: &DecoderSpec, tensor: &str, values: &[f32]) -> Vec<Vec<f32>> {
        let inputs = inputs(spec, tensor);
        let rows = || transpose(values, values.len() / inputs);
        match self {
            Self::Same(_) => vec![values.to_vec()],
            Self::Turned(_) => vec![rows()],
            Self::Apart(_) => {
                let (rows, mut start) = (rows(), 0);
                let cut = spec.qkv_widths().map(|width| {
                    start += width * inputs;
                    rows[start - width * inputs..start].to_vec()
                });
                cut.to_vec()
            }
            Self::PerHead(_) => {
                vec![head_by_head(&rows(), spec.head_width * inputs)]
            }
        }
    }
}

/// Rows `[heads, 3, head_width]` as `[3, heads, head_width]`; a head's rows are `head` values.
pub(crate) fn part_by_part<T: Copy>(rows: &[T], head: usize) -> Vec<T> {
    let chunks: Vec<&[T]> = rows.chunks_exact(head).collect();
    (0..3).flat_map(|part| chunks[part..].iter().step_by(3).copied()).flatten().copied().collect()
}

/// The inverse of [`part_by_part`].
pub(crate) fn head_by_head<T: Copy>(rows: &[T], head: usize) -> Vec<T> {
    let chunks: Vec<&[T]> = rows.chunks_exact(head).collect();
    let heads = chunks.len() / 3;
    (0..heads).flat_map(|h| chunks[h..].iter().step_by(heads).copied()).flatten().copied().collect()
}

fn shape(spec: &DecoderSpec, tensor: &str) -> Vec<usize> {
    let all = spec.tensors();
    all.into_iter().find(|(name, _)| name == tensor).expect("a tensor of the decoder").1
}

/// Inputs of a linear map; 1 for a bias.
fn inputs(spec: &DecoderSpec, tensor: &str) -> usize {
    match shape(spec, tensor).as_slice() {
        [inputs, _] => *inputs,
        _ => 1,
    }
}

/// `[rows, columns]` read column by column.
pub(crate) fn transpose<T: Copy + Default>(values: &[T], columns: usize) -> Vec<T> {
    if columns == 1 {
        return values.to_vec();
    }
    const TILE: usize = 32;
    let rows = values.len() / columns;
    let mut out = vec![T::default(); values.len()];
    for r in (0..rows).step_by(TILE) {
        for c in (0..columns).step_by(TILE) {
            for i in r..(r + TILE).min(rows) {
                for j in c..(c + TILE).min(columns) {
                    out[j * rows + i] = values[i * columns + j];
                }
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tensor_of_every_family_comes_back_from_its_files() {
        for family in Family::ALL {
            let mut spec = DecoderSpec::of(family, 11, 12, 2, 3, 20, 8);
            if matches!(family, Family::Llama | Family::Qwen2) {
                spec.kv_heads = 1;
            }
            for (tensor, shape) in spec.tensors() {
                let count: usize = shape.iter().product();
                let values: Vec<f32> = (0..count).map(|i| i as f32).collect();
                let place = of(family).place(&spec, &tensor);
                let parts = place.take_apart(&spec, &tensor, &values);
                let sizes: Vec<usize> = place
                    .file_tensors(&spec, &tensor)
                    .iter()
                    .map(|(_, shape)| shape.iter().product())
                    .collect();
                assert_eq!(parts.iter().map(Vec::len).collect::<Vec<_>>(), sizes, "{family:?} {tensor}");
                assert_eq!(place.assemble(&spec, &tensor, parts), values, "{family:?} {tensor}");
            }
        }
    }

    #[test]
    fn a_fused_map_is_taken_apart_head_by_head() {
        // Two heads of width 1, one input: the file has q0 k0 v0 q1 k1 v1.
        let spec = DecoderSpec { width: 1, ..DecoderSpec::of(Family::Bloom, 4, 2, 1, 2, 4, 8) };
        let place = of(Family::Bloom).place(&spec, "blocks.0.qkv.weight");
        let file: Vec<Vec<&str>> = vec![vec!["q0", "k0", "v0", "q1", "k1", "v1"]];
        assert_eq!(place.assemble(&spec, "blocks.0.qkv.weight", file), ["q0", "q1", "k0", "k1", "v0", "v1"]);
    }
}
