//! What a decoder is made of: the numbers and switches that tell one family from another.

use serde::{Deserialize, Serialize};

/// The shape and the switches of one decoder-only language model.
///
/// Three families are covered: LLaMA-like (RMSNorm, rotary positions, SwiGLU, no biases), GPT-2-like
/// (LayerNorm, learned positions, GELU, biases) and BLOOM-like (ALiBi, a norm after the embedding).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DecoderSpec {
    /// Number of token ids, V.
    pub vocab: usize,
    /// Width of the residual stream, D.
    pub width: usize,
    /// Number of blocks, L.
    pub layers: usize,
    /// Number of attention heads; `width` is divisible by it.
    pub heads: usize,
    /// Width of the hidden layer of the MLP, F.
    pub mlp: usize,
    /// Longest sequence the model accepts, in tokens.
    pub max_positions: usize,
    /// Which normalisation stands before attention, MLP and head.
    pub norm: Norm,
    /// How a position enters the computation.
    pub position: Position,
    /// The non-linearity of the MLP.
    pub activation: Activation,
    /// Whether linear maps have a bias.
    pub bias: bool,
    /// Whether the embedding is normalised before the first block (BLOOM).
    pub embedding_norm: bool,
}

/// Normalisation over the last axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Norm {
    /// Root mean square only, gain without bias (Zhang & Sennrich 2019).
    Rms,
    /// Mean and variance, gain and bias (Ba et al. 2016).
    Layer,
}

/// Position information.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Position {
    /// One trained vector a position, added to the embedding (GPT-2).
    Learned,
    /// Rotary, rotate-half layout, base 10,000 (Su et al. 2021; LLaMA).
    Rotary,
    /// A penalty linear in the distance, one slope a head (Press et al. 2022; BLOOM).
    Alibi,
}

/// The non-linearity of the MLP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Activation {
    /// `silu(gate(x)) * up(x)` (Shazeer 2020).
    SwiGlu,
    /// `gelu(up(x))`, tanh approximation (GPT-2, BLOOM).
    Gelu,
}

/// A named family: the switches of [`DecoderSpec`] that belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Family {
    /// RMSNorm, rotary positions, SwiGLU, no biases.
    Llama,
    /// LayerNorm, learned positions, GELU, biases.
    Gpt2,
    /// LayerNorm, also after the embedding; ALiBi, GELU, biases.
    Bloom,
}

/// Epsilon of every norm.
pub const NORM_EPSILON: f32 = 1e-5;

/// The base of the rotary angles (Su et al. 2021).
pub const ROTARY_BASE: f64 = 10_000.0;

impl DecoderSpec {
    /// A model of `family` with the given sizes.
    pub fn of(
        family: Family,
        vocab: usize,
        width: usize,
        layers: usize,
        heads: usize,
        mlp: usize,
        max_positions: usize,
    ) -> Self {
        let (norm, position, activation, bias, embedding_norm) = match family {
            Family::Llama => (Norm::Rms, Position::Rotary, Activation::SwiGlu, false, false),
            Family::Gpt2 => (Norm::Layer, Position::Learned, Activation::Gelu, true, false),
            Family::Bloom => (Norm::Layer, Position::Alibi, Activation::Gelu, true, true),
        };
        Self {
            vocab,
            width,
            layers,
            heads,
            mlp,
            max_positions,
            norm,
            position,
            activation,
            bias,
            embedding_norm,
        }
    }

    /// Width of one attention head.
    pub fn head_width(&self) -> usize {
        self.width / self.heads
    }

    /// The name of the family these switches spell, for people.
    pub fn family_name(&self) -> &'static str {
        match (self.position, self.norm) {
            (Position::Rotary, _) => "LLaMA-like",
            (Position::Learned, _) => "GPT-2-like",
            (Position::Alibi, _) => "BLOOM-like",
        }
    }

    /// What is wrong with the numbers, in words; `None` when a model can be built.
    pub fn problem(&self) -> Option<String> {
        let zero = [
            ("vocab", self.vocab),
            ("width", self.width),
            ("layers", self.layers),
            ("heads", self.heads),
            ("mlp", self.mlp),
            ("max_positions", self.max_positions),
        ];
        if let Some((name, _)) = zero.iter().find(|(_, n)| *n == 0) {
            return Some(format!("{name} is 0"));
        }
        if !self.width.is_multiple_of(self.heads) {
            return Some(format!("width {} is not divisible by {} heads", self.width, self.heads));
        }
        if self.position == Position::Rotary && !self.head_width().is_multiple_of(2) {
            return Some(format!("rotary positions need an even head width, not {}", self.head_width()));
        }
        None
    }

    /// The name and shape of every tensor of the model, in the order in which they are stored.
    ///
    /// Linear maps are `[inputs, outputs]`; the head is tied to the embedding. `qkv` is query, key and
    /// value side by side.
    pub fn tensors(&self) -> Vec<(String, Vec<usize>)> {
        let (d, f) = (self.width, self.mlp);
        let mut out = vec![("embedding".to_string(), vec![self.vocab, d])];
        if self.position == Position::Learned {
            out.push(("positions".to_string(), vec![self.max_positions, d]));
        }
        let norm = |out: &mut Vec<_>, name: String| {
            out.push((format!("{name}.gain"), vec![d]));
            if self.norm == Norm::Layer {
                out.push((format!("{name}.bias"), vec![d]));
            }
        };
        let linear = |out: &mut Vec<_>, name: String, inputs: usize, outputs: usize| {
            out.push((format!("{name}.weight"), vec![inputs, outputs]));
            if self.bias {
                out.push((format!("{name}.bias"), vec![outputs]));
            }
        };
        if self.embedding_norm {
            norm(&mut out, "embedding_norm".to_string());
        }
        for layer in 0..self.layers {
            norm(&mut out, format!("blocks.{layer}.attention_norm"));
            linear(&mut out, format!("blocks.{layer}.qkv"), d, 3 * d);
            linear(&mut out, format!("blocks.{layer}.o"), d, d);
            norm(&mut out, format!("blocks.{layer}.mlp_norm"));
            if self.activation == Activation::SwiGlu {
                linear(&mut out, format!("blocks.{layer}.gate"), d, f);
            }
            linear(&mut out, format!("blocks.{layer}.up"), d, f);
            linear(&mut out, format!("blocks.{layer}.down"), f, d);
        }
        norm(&mut out, "final_norm".to_string());
        out
    }

    /// Number of values in [`Self::tensors`].
    pub fn parameters(&self) -> usize {
        self.tensors().iter().map(|(_, shape)| shape.iter().product::<usize>()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_demo_llm_has_one_and_a_half_million_parameters() {
        let spec = DecoderSpec::of(Family::Llama, 1024, 160, 4, 4, 432, 96);
        // embedding 163,840 + 4 blocks of (qkv 76,800 + o 25,600 + gate, up, down 207,360 + norms 320) + final norm 160
        assert_eq!(spec.parameters(), 163_840 + 4 * 310_080 + 160);
    }

    #[test]
    fn a_width_that_the_heads_do_not_divide_is_named() {
        let spec = DecoderSpec::of(Family::Gpt2, 512, 50, 2, 4, 200, 96);
        assert_eq!(spec.problem().unwrap(), "width 50 is not divisible by 4 heads");
    }
}
