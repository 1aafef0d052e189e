//! What a decoder is made of: the numbers and switches that tell one family from another.

use serde::{Deserialize, Serialize};

/// The shape and the switches of one decoder-only language model.
///
/// The switches span the open families: LLaMA, Mistral, Qwen2, GPT-2, GPT-NeoX, GPT-J, BLOOM and OPT.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DecoderSpec {
    /// Whose names and storage order the files of the model have.
    pub family: Family,
    /// Number of token ids, V.
    pub vocab: usize,
    /// Width of the residual stream, D.
    pub width: usize,
    /// Number of blocks, L.
    pub layers: usize,
    /// Number of query heads.
    pub heads: usize,
    /// Number of key and value heads; each serves `heads / kv_heads` query heads (GQA; 1 is MQA).
    pub kv_heads: usize,
    /// Width of one head.
    pub head_width: usize,
    /// Width of the hidden layer of the MLP, F.
    pub mlp: usize,
    /// Longest sequence the model accepts, in tokens.
    pub max_positions: usize,
    /// Which normalisation stands before attention, MLP and head.
    pub norm: Norm,
    /// Epsilon of every norm.
    pub norm_epsilon: f64,
    /// How a position enters the computation.
    pub position: Position,
    /// How attention and MLP meet the residual stream.
    pub residual: Residual,
    /// The non-linearity of the MLP.
    pub activation: Activation,
    /// Which linear maps have a bias.
    pub bias: Biases,
    /// Whether the embedding is normalised before the first block (BLOOM).
    pub embedding_norm: bool,
    /// Whether the head is the embedding.
    pub tied: bool,
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
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Position {
    /// One trained vector a position, added to the embedding (GPT-2).
    Learned {
        /// Rows of the table before the one of position 0 (OPT has 2).
        offset: usize,
    },
    /// Rotated queries and keys (Su et al. 2021).
    Rotary(Rotary),
    /// A penalty linear in the distance, one slope a head (Press et al. 2022; BLOOM).
    Alibi,
}

/// How queries and keys are rotated.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rotary {
    /// The base of the angles, θ.
    pub base: f64,
    /// How many of a head's values are rotated, from its beginning; even.
    pub width: usize,
    /// Whether a pair is two neighbours (GPT-J), not the same place of two halves (LLaMA, GPT-NeoX).
    pub interleaved: bool,
    /// How the angles are stretched for longer texts than the model was first trained on.
    pub scaling: Scaling,
}

/// Stretching of rotary angles.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scaling {
    /// None.
    None,
    /// Every angle divided by this factor (Chen et al. 2023, arXiv 2306.15595).
    Linear(f64),
    /// Slow angles divided by `factor`, fast ones kept, a ramp between (Llama 3.1; Hugging Face `llama3`).
    Llama3 {
        /// Divides the slow angles.
        factor: f64,
        /// Wavelengths above `original / low` are slow.
        low: f64,
        /// Wavelengths below `original / high` are fast.
        high: f64,
        /// Positions the model was first trained on.
        original: f64,
    },
}

/// How attention and MLP meet the residual stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Residual {
    /// `x + attention(norm(x))`, then `x + mlp(norm'(x))`.
    Serial,
    /// `x + attention(norm(x)) + mlp(norm'(x))` (GPT-NeoX).
    Parallel,
    /// `x + attention(norm(x)) + mlp(norm(x))`, one norm for both (GPT-J).
    ParallelShared,
}

/// The non-linearity of the MLP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Activation {
    /// `silu(gate(x)) * up(x)` (Shazeer 2020).
    SwiGlu,
    /// `gelu(up(x))`, tanh approximation (GPT-2, GPT-J, BLOOM).
    Gelu,
    /// `gelu(up(x))` with the error function (GPT-NeoX).
    GeluErf,
    /// `max(0, up(x))` (OPT).
    Relu,
}

/// Which linear maps have a bias.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Biases {
    /// Query, key and value.
    pub qkv: bool,
    /// Attention output.
    pub o: bool,
    /// The maps of the MLP.
    pub mlp: bool,
    /// The head.
    pub head: bool,
}

impl Biases {
    /// No map has one.
    pub const NONE: Self = Self { qkv: false, o: false, mlp: false, head: false };
    /// Every map of a block has one.
    pub const BLOCKS: Self = Self { qkv: true, o: true, mlp: true, head: false };
}

/// A named family: the switches of [`DecoderSpec`] that belong together, and the layout of its files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Family {
    /// RMSNorm, rotary positions, SwiGLU, no biases. Mistral has the same files.
    Llama,
    /// As LLaMA, with biases on query, key and value.
    Qwen2,
    /// LayerNorm, learned positions, GELU, biases.
    Gpt2,
    /// LayerNorm, partial rotary positions, GELU, biases, parallel residual. Pythia.
    GptNeox,
    /// LayerNorm, interleaved partial rotary positions, GELU, one norm a block, biases in MLP and head only.
    GptJ,
    /// LayerNorm, also after the embedding; ALiBi, GELU, biases.
    Bloom,
    /// LayerNorm, learned positions that start at row 2, ReLU, biases.
    Opt,
}

impl Family {
    /// Every family.
    pub const ALL: [Self; 7] =
        [Self::Llama, Self::Qwen2, Self::Gpt2, Self::GptNeox, Self::GptJ, Self::Bloom, Self::Opt];

    /// Its name, for people.
    pub fn title(self) -> &'static str {
        match self {
            Self::Llama => "LLaMA",
            Self::Qwen2 => "Qwen2",
            Self::Gpt2 => "GPT-2",
            Self::GptNeox => "GPT-NeoX",
            Self::GptJ => "GPT-J",
            Self::Bloom => "BLOOM",
            Self::Opt => "OPT",
        }
    }
}

impl Rotary {
    /// LLaMA's: the whole head, halves, unscaled.
    pub fn whole(head_width: usize, base: f64) -> Self {
        Self { base, width: head_width, interleaved: false, scaling: Scaling::None }
    }
}

/// The base of the rotary angles where a checkpoint does not name one (Su et al. 2021).
pub const ROTARY_BASE: f64 = 10_000.0;

impl DecoderSpec {
    /// A model of `family` with the given sizes and the family's usual switches.
    pub fn of(
        family: Family,
        vocab: usize,
        width: usize,
        layers: usize,
        heads: usize,
        mlp: usize,
        max_positions: usize,
    ) -> Self {
        let head_width = width / heads.max(1);
        let rotary = |width, interleaved| {
            Position::Rotary(Rotary { width, interleaved, ..Rotary::whole(head_width, ROTARY_BASE) })
        };
        let partial = (head_width / 4).next_multiple_of(2);
        let llama = Self {
            family,
            vocab,
            width,
            layers,
            heads,
            kv_heads: heads,
            head_width,
            mlp,
            max_positions,
            norm: Norm::Rms,
            norm_epsilon: 1e-5,
            position: rotary(head_width, false),
            residual: Residual::Serial,
            activation: Activation::SwiGlu,
            bias: Biases::NONE,
            embedding_norm: false,
            tied: true,
        };
        let gpt2 = Self {
            norm: Norm::Layer,
            position: Position::Learned { offset: 0 },
            activation: Activation::Gelu,
            bias: Biases::BLOCKS,
            ..llama.clone()
        };
        match family {
            Family::Llama => llama,
            Family::Qwen2 => Self { bias: Biases { qkv: true, ..Biases::NONE }, ..llama },
            Family::Gpt2 => gpt2,
            Family::GptNeox => Self {
                position: rotary(partial, false),
                residual: Residual::Parallel,
                activation: Activation::GeluErf,
                tied: false,
                ..gpt2
            },
            Family::GptJ => Self {
                position: rotary(partial, true),
                residual: Residual::ParallelShared,
                bias: Biases { mlp: true, head: true, ..Biases::NONE },
                tied: false,
                ..gpt2
            },
            Family::Bloom => Self { position: Position::Alibi, embedding_norm: true, ..gpt2 },
            Family::Opt => {
                Self { position: Position::Learned { offset: 2 }, activation: Activation::Relu, ..gpt2 }
            }
        }
    }

    /// Outputs of the query, key and value maps, in this order.
    pub fn qkv_widths(&self) -> [usize; 3] {
        let (q, kv) = (self.heads * self.head_width, self.kv_heads * self.head_width);
        [q, kv, kv]
    }

    /// Whether the MLP has a gate.
    pub fn gated(&self) -> bool {
        self.activation == Activation::SwiGlu
    }

    /// The name of the family, for people.
    pub fn family_name(&self) -> String {
        format!("{}-like", self.family.title())
    }

    /// What is wrong with the numbers, in words; `None` when a model can be built.
    pub fn problem(&self) -> Option<String> {
        let zero = [
            ("vocab", self.vocab),
            ("width", self.width),
            ("layers", self.layers),
            ("heads", self.heads),
            ("kv_heads", self.kv_heads),
            ("mlp", self.mlp),
            ("max_positions", self.max_positions),
        ];
        if let Some((name, _)) = zero.iter().find(|(_, n)| *n == 0) {
            return Some(format!("{name} is 0"));
        }
        if self.head_width == 0 || (self.family == Family::Gpt2 && !self.width.is_multiple_of(self.heads)) {
            return Some(format!("width {} is not divisible by {} heads", self.width, self.heads));
        }
        if !self.heads.is_multiple_of(self.kv_heads) {
            return Some(format!("{} heads cannot share {} key-value heads", self.heads, self.kv_heads));
        }
        match self.position {
            Position::Rotary(rotary) if !rotary.width.is_multiple_of(2) || rotary.width == 0 => {
                Some(format!("rotary positions need an even width, not {}", rotary.width))
            }
            Position::Rotary(rotary) if rotary.width > self.head_width => Some(format!(
                "rotary positions of width {} do not fit heads of width {}",
                rotary.width, self.head_width
            )),
            _ => None,
        }
    }

    /// The name and shape of every tensor of the model, in the order in which they are digested.
    ///
    /// Linear maps are `[inputs, outputs]`. `qkv` is query, key and value side by side.
    pub fn tensors(&self) -> Vec<(String, Vec<usize>)> {
        let (d, f) = (self.width, self.mlp);
        let [q, k, v] = self.qkv_widths();
        let mut out = vec![("embedding".to_string(), vec![self.vocab, d])];
        if let Position::Learned { offset } = self.position {
            out.push(("positions".to_string(), vec![self.max_positions + offset, d]));
        }
        let norm = |out: &mut Vec<_>, name: String| {
            out.push((format!("{name}.gain"), vec![d]));
            if self.norm == Norm::Layer {
                out.push((format!("{name}.bias"), vec![d]));
            }
        };
        let linear = |out: &mut Vec<_>, name: String, inputs: usize, outputs: usize, bias: bool| {
            out.push((format!("{name}.weight"), vec![inputs, outputs]));
            if bias {
                out.push((format!("{name}.bias"), vec![outputs]));
            }
        };
        if self.embedding_norm {
            norm(&mut out, "embedding_norm".to_string());
        }
        for layer in 0..self.layers {
            norm(&mut out, format!("blocks.{layer}.attention_norm"));
            linear(&mut out, format!("blocks.{layer}.qkv"), d, q + k + v, self.bias.qkv);
            linear(&mut out, format!("blocks.{layer}.o"), q, d, self.bias.o);
            if self.residual != Residual::ParallelShared {
                norm(&mut out, format!("blocks.{layer}.mlp_norm"));
            }
            if self.gated() {
                linear(&mut out, format!("blocks.{layer}.gate"), d, f, self.bias.mlp);
            }
            linear(&mut out, format!("blocks.{layer}.up"), d, f, self.bias.mlp);
            linear(&mut out, format!("blocks.{layer}.down"), f, d, self.bias.mlp);
        }
        norm(&mut out, "final_norm".to_string());
        if !self.tied {
            out.push(("head.weight".to_string(), vec![d, self.vocab]));
        }
        if self.bias.head {
            out.push(("head.bias".to_string(), vec![self.vocab]));
        }
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
    fn published_shapes_have_their_published_parameters() {
        let smollm =
            DecoderSpec { kv_heads: 3, ..DecoderSpec::of(Family::Llama, 49_152, 576, 30, 9, 1536, 8192) };
        assert_eq!(smollm.parameters(), 134_515_008); // SmolLM2-135M
        let pythia = DecoderSpec::of(Family::GptNeox, 50_304, 512, 6, 8, 2048, 2048);
        assert_eq!(pythia.parameters(), 70_426_624); // Pythia-70M
        let qwen =
            DecoderSpec { kv_heads: 2, ..DecoderSpec::of(Family::Qwen2, 151_936, 896, 24, 14, 4864, 32_768) };
        assert_eq!(qwen.parameters(), 494_032_768); // Qwen2.5-0.5B
        assert_eq!(DecoderSpec::of(Family::Gpt2, 50_257, 768, 12, 12, 3072, 1024).parameters(), 124_439_808);
        assert_eq!(DecoderSpec::of(Family::Opt, 50_272, 768, 12, 12, 3072, 2048).parameters(), 125_239_296);
    }

    #[test]
    fn a_width_that_the_heads_do_not_divide_is_named() {
        let spec = DecoderSpec::of(Family::Gpt2, 512, 50, 2, 4, 200, 96);
        assert_eq!(spec.problem().unwrap(), "width 50 is not divisible by 4 heads");
    }

    #[test]
    fn heads_that_cannot_share_keys_are_named() {
        let spec = DecoderSpec { kv_heads: 3, ..DecoderSpec::of(Family::Llama, 512, 48, 2, 4, 200, 96) };
        assert_eq!(spec.problem().unwrap(), "4 heads cannot share 3 key-value heads");
    }
}
