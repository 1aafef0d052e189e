//! `config.json` of every family, in the spellings of transformers 4 and 5, and back.

use super::values::Precision;
use crate::spec::{
    Activation, Biases, DecoderSpec, Family, Norm, Position, ROTARY_BASE, Residual, Rotary, Scaling,
};
use serde_json::{Map, Value, json};

/// What `config.json` says of a model.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Shape and switches.
    pub spec: DecoderSpec,
    /// The token before every text.
    pub begin: Option<u32>,
    /// Tokens that end a text.
    pub ends: Vec<u32>,
    /// The padding token.
    pub pad: Option<u32>,
}

/// Reads a `config.json`.
///
/// # Errors
/// In words: what is missing, of the wrong type, or not implemented here.
pub fn read(bytes: &[u8]) -> Result<Config, String> {
    let keys: Map<String, Value> = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
    let keys = Keys(&keys);
    let spec = match keys.text("model_type")?.as_str() {
        "llama" => llama(keys, Family::Llama)?,
        "mistral" => llama(keys, Family::Llama)?,
        "qwen2" => llama(keys, Family::Qwen2)?,
        "gpt2" => gpt2(keys)?,
        "gpt_neox" => gpt_neox(keys)?,
        "gptj" => gpt_j(keys)?,
        "bloom" => bloom(keys)?,
        "opt" => opt(keys)?,
        other => {
            return Err(format!(
                "model_type `{other}` is not a family that cotune has: llama, mistral, qwen2, gpt2, gpt_neox, gptj, \
                 bloom, opt"
            ));
        }
    };
    if let Some(problem) = spec.problem() {
        return Err(problem);
    }
    if spec.max_positions > MOST_POSITIONS {
        return Err(format!(
            "{} positions are more than the {MOST_POSITIONS} that are implemented",
            spec.max_positions
        ));
    }
    // A token outside the vocabulary never comes; some files have -1, or the size of the vocabulary, for none.
    let tokens = |key| -> Result<Vec<u32>, String> {
        Ok(keys.tokens(key)?.into_iter().filter(|id| (*id as usize) < spec.vocab).collect())
    };
    let first = |key| tokens(key).map(|ids| ids.first().copied());
    let (begin, ends, pad) = (first("bos_token_id")?, tokens("eos_token_id")?, first("pad_token_id")?);
    Ok(Config { spec, begin, ends, pad })
}

/// The largest size: sums of products of two stay below 2⁶⁴.
const LARGEST: u64 = i32::MAX as u64;

/// The longest texts: what the tables of rotary angles take is in proportion, and comes from a number that no tensor
/// confirms.
const MOST_POSITIONS: usize = 1 << 20;

/// The keys of a file; a key that is `null` is one that is not there.
#[derive(Clone, Copy)]
struct Keys<'a>(&'a Map<String, Value>);

impl<'a> Keys<'a> {
    /// The first of several spellings.
    fn get(self, spellings: &[&str]) -> Option<&'a Value> {
        spellings.iter().find_map(|key| self.0.get(*key).filter(|value| !value.is_null()))
    }

    fn text(self, key: &str) -> Result<String, String> {
        match self.get(&[key]) {
            Some(Value::String(text)) => Ok(text.clone()),
            Some(other) => Err(format!("`{key}` is {other}, not a text")),
            None => Err(format!("has no `{key}`")),
        }
    }

    fn count_or(self, spellings: &[&str], default: Option<usize>) -> Result<usize, String> {
        match (self.get(spellings), default) {
            (Some(value), _) => value
                .as_u64()
                .filter(|n| *n <= LARGEST)
                .map(|n| n as usize)
                .ok_or_else(|| format!("`{}` is {value}, not a whole number", spellings[0])),
            (None, Some(default)) => Ok(default),
            (None, None) => Err(format!("has no `{}`", spellings[0])),
        }
    }

    fn count(self, spellings: &[&str]) -> Result<usize, String> {
        self.count_or(spellings, None)
    }

    fn number_or(self, spellings: &[&str], default: f64) -> Result<f64, String> {
        match self.get(spellings) {
            None => Ok(default),
            Some(value) => {
                value.as_f64().ok_or_else(|| format!("`{}` is {value}, not a number", spellings[0]))
            }
        }
    }

    fn flag_or(self, key: &str, default: bool) -> Result<bool, String> {
        match self.get(&[key]) {
            None => Ok(default),
            Some(value) => value.as_bool().ok_or_else(|| format!("`{key}` is {value}, not true or false")),
        }
    }

    /// An error unless `key` has the only value that is implemented.
    fn must_be(self, key: &str, implemented: bool, default: bool) -> Result<(), String> {
        match self.flag_or(key, default)? == implemented {
            true => Ok(()),
            false => Err(format!("`{key} = {}` is not implemented", !implemented)),
        }
    }

    /// One token, several, or none; a number that cannot be one is `u32::MAX`.
    fn tokens(self, key: &str) -> Result<Vec<u32>, String> {
        let one = |value: &Value| -> Result<u32, String> {
            let id = value.as_i64().ok_or_else(|| format!("`{key}` is {value}, not a token id"))?;
            Ok(u32::try_from(id).unwrap_or(u32::MAX))
        };
        match self.get(&[key]) {
            None => Ok(Vec::new()),
            Some(Value::Array(ids)) => ids.iter().map(one).collect(),
            Some(id) => Ok(vec![one(id)?]),
        }
    }

    fn activation(self, key: &str, default: &str) -> Result<Activation, String> {
        let name = if self.get(&[key]).is_some() { self.text(key)? } else { default.to_string() };
        match name.as_str() {
            "gelu" => Ok(Activation::GeluErf),
            "gelu_new" | "gelu_fast" | "gelu_pytorch_tanh" => Ok(Activation::Gelu),
            "relu" => Ok(Activation::Relu),
            _ => Err(format!(
                "`{key} = \"{name}\"` is not implemented: gelu, gelu_new, gelu_fast and relu are"
            )),
        }
    }

    /// Rotary positions of the first `share` of a head, with θ and scaling wherever the file has them.
    fn rotary(self, head_width: usize, share: f64, base: f64) -> Result<Position, String> {
        let table = |key: &str| self.get(&[key]).and_then(Value::as_object).map(Keys);
        let inner = table("rope_parameters").or(table("rope_scaling")).unwrap_or(self);
        let base = self.number_or(&["rope_theta", "rotary_emb_base"], base)?;
        let base = inner.number_or(&["rope_theta"], base)?;
        let share = self.number_or(&["rotary_pct", "partial_rotary_factor"], share)?;
        let share = inner.number_or(&["partial_rotary_factor"], share)?;
        let kind = match inner.get(&["rope_type", "type"]) {
            Some(Value::String(kind)) => kind.as_str(),
            _ => "default",
        };
        let scaling = match kind {
            "default" => Scaling::None,
            "linear" => Scaling::Linear(inner.number_or(&["factor"], 1.0)?),
            "llama3" => Scaling::Llama3 {
                factor: inner.number_or(&["factor"], 8.0)?,
                low: inner.number_or(&["low_freq_factor"], 1.0)?,
                high: inner.number_or(&["high_freq_factor"], 4.0)?,
                original: inner.number_or(&["original_max_position_embeddings"], 8192.0)?,
            },
            other => {
                return Err(format!(
                    "rope_type `{other}` is not implemented: default, linear and llama3 are"
                ));
            }
        };
        let width = (head_width as f64 * share) as usize;
        Ok(Position::Rotary(Rotary { base, width, interleaved: false, scaling }))
    }
}

fn head_width(width: usize, heads: usize) -> Result<usize, String> {
    match heads {
        0 => Err("has 0 heads".to_string()),
        _ if !width.is_multiple_of(heads) => Err(format!("width {width} is not divisible by {heads} heads")),
        _ => Ok(width / heads),
    }
}

/// LLaMA, Mistral and Qwen2.
fn llama(keys: Keys<'_>, family: Family) -> Result<DecoderSpec, String> {
    let (width, heads) = (keys.count(&["hidden_size"])?, keys.count(&["num_attention_heads"])?);
    let head_width = match keys.get(&["head_dim"]) {
        Some(_) => keys.count(&["head_dim"])?,
        None => head_width(width, heads)?,
    };
    let activation = keys.get(&["hidden_act"]).and_then(Value::as_str).unwrap_or("silu");
    if activation != "silu" {
        return Err(format!("`hidden_act = \"{activation}\"` is not implemented in this family: silu is"));
    }
    // A window shorter than the text would hide its beginning; up to the window both are the same.
    let windowed = family != Family::Qwen2 || keys.flag_or("use_sliding_window", false)?;
    let longest = keys.count(&["max_position_embeddings"])?;
    let window = if windowed { keys.count_or(&["sliding_window"], Some(longest))? } else { longest };
    let attention_bias = keys.flag_or("attention_bias", false)?;
    let bias = match family {
        Family::Qwen2 => Biases { qkv: true, ..Biases::NONE },
        _ => Biases {
            qkv: attention_bias,
            o: attention_bias,
            mlp: keys.flag_or("mlp_bias", false)?,
            head: false,
        },
    };
    let sizes = (keys.count(&["num_hidden_layers"])?, keys.count(&["intermediate_size"])?);
    Ok(DecoderSpec {
        kv_heads: keys.count_or(&["num_key_value_heads"], Some(heads))?,
        head_width,
        norm_epsilon: keys.number_or(&["rms_norm_eps"], 1e-6)?,
        position: keys.rotary(head_width, 1.0, ROTARY_BASE)?,
        bias,
        tied: keys.flag_or("tie_word_embeddings", false)?,
        ..DecoderSpec::of(
            family,
            keys.count(&["vocab_size"])?,
            width,
            sizes.0,
            heads,
            sizes.1,
            longest.min(window),
        )
    })
}

fn gpt2(keys: Keys<'_>) -> Result<DecoderSpec, String> {
    keys.must_be("scale_attn_weights", true, true)?;
    keys.must_be("scale_attn_by_inverse_layer_idx", false, false)?;
    let (width, heads) =
        (keys.count(&["n_embd", "hidden_size"])?, keys.count(&["n_head", "num_attention_heads"])?);
    head_width(width, heads)?;
    let layers = keys.count(&["n_layer", "num_hidden_layers"])?;
    let mlp = keys.count_or(&["n_inner"], Some(4 * width))?;
    let longest = keys.count_or(&["n_positions", "max_position_embeddings", "n_ctx"], Some(1024))?;
    Ok(DecoderSpec {
        norm_epsilon: keys.number_or(&["layer_norm_epsilon"], 1e-5)?,
        activation: keys.activation("activation_function", "gelu_new")?,
        tied: keys.flag_or("tie_word_embeddings", true)?,
        ..DecoderSpec::of(Family::Gpt2, keys.count(&["vocab_size"])?, width, layers, heads, mlp, longest)
    })
}

fn gpt_neox(keys: Keys<'_>) -> Result<DecoderSpec, String> {
    let (width, heads) = (keys.count(&["hidden_size"])?, keys.count(&["num_attention_heads"])?);
    let head_width = head_width(width, heads)?;
    let attention_bias = keys.flag_or("attention_bias", true)?;
    let residual = match keys.flag_or("use_parallel_residual", true)? {
        true => Residual::Parallel,
        false => Residual::Serial,
    };
    let (layers, mlp) = (keys.count(&["num_hidden_layers"])?, keys.count(&["intermediate_size"])?);
    let longest = keys.count_or(&["max_position_embeddings"], Some(2048))?;
    Ok(DecoderSpec {
        norm_epsilon: keys.number_or(&["layer_norm_eps"], 1e-5)?,
        position: keys.rotary(head_width, 0.25, ROTARY_BASE)?,
        residual,
        activation: keys.activation("hidden_act", "gelu")?,
        bias: Biases { qkv: attention_bias, o: attention_bias, ..Biases::BLOCKS },
        tied: keys.flag_or("tie_word_embeddings", false)?,
        ..DecoderSpec::of(Family::GptNeox, keys.count(&["vocab_size"])?, width, layers, heads, mlp, longest)
    })
}

fn gpt_j(keys: Keys<'_>) -> Result<DecoderSpec, String> {
    let (width, heads) =
        (keys.count(&["n_embd", "hidden_size"])?, keys.count(&["n_head", "num_attention_heads"])?);
    let head_width = head_width(width, heads)?;
    let (layers, mlp) =
        (keys.count(&["n_layer", "num_hidden_layers"])?, keys.count_or(&["n_inner"], Some(4 * width))?);
    let longest = keys.count_or(&["n_positions", "max_position_embeddings"], Some(2048))?;
    let rotary = keys.count_or(&["rotary_dim"], Some(head_width))?;
    let tied = keys.flag_or("tie_word_embeddings", false)?;
    Ok(DecoderSpec {
        norm_epsilon: keys.number_or(&["layer_norm_epsilon"], 1e-5)?,
        position: Position::Rotary(Rotary {
            width: rotary,
            interleaved: true,
            ..Rotary::whole(head_width, ROTARY_BASE)
        }),
        activation: keys.activation("activation_function", "gelu_new")?,
        tied,
        ..DecoderSpec::of(Family::GptJ, keys.count(&["vocab_size"])?, width, layers, heads, mlp, longest)
    })
}

fn bloom(keys: Keys<'_>) -> Result<DecoderSpec, String> {
    keys.must_be("apply_residual_connection_post_layernorm", false, false)?;
    let width = keys.count(&["hidden_size", "n_embed"])?;
    let heads = keys.count(&["n_head", "num_attention_heads"])?;
    head_width(width, heads)?;
    let layers = keys.count(&["n_layer", "num_hidden_layers"])?;
    let longest = keys.count_or(&["seq_length"], Some(2048))?;
    Ok(DecoderSpec {
        norm_epsilon: keys.number_or(&["layer_norm_epsilon"], 1e-5)?,
        tied: keys.flag_or("tie_word_embeddings", true)?,
        ..DecoderSpec::of(
            Family::Bloom,
            keys.count(&["vocab_size"])?,
            width,
            layers,
            heads,
            4 * width,
            longest,
        )
    })
}

fn opt(keys: Keys<'_>) -> Result<DecoderSpec, String> {
    keys.must_be("do_layer_norm_before", true, true)?;
    keys.must_be("_remove_final_layer_norm", false, false)?;
    keys.must_be("layer_norm_elementwise_affine", true, true)?;
    let (width, heads) = (keys.count(&["hidden_size"])?, keys.count(&["num_attention_heads"])?);
    head_width(width, heads)?;
    let projected = keys.count_or(&["word_embed_proj_dim"], Some(width))?;
    if projected != width {
        return Err(format!(
            "embeddings of width {projected} in a model of width {width} are not implemented"
        ));
    }
    let biased = keys.flag_or("enable_bias", true)?;
    let (layers, mlp) = (keys.count(&["num_hidden_layers"])?, keys.count(&["ffn_dim"])?);
    let longest = keys.count_or(&["max_position_embeddings"], Some(2048))?;
    Ok(DecoderSpec {
        activation: keys.activation("activation_function", "relu")?,
        bias: if biased { Biases::BLOCKS } else { Biases::NONE },
        tied: keys.flag_or("tie_word_embeddings", true)?,
        ..DecoderSpec::of(Family::Opt, keys.count(&["vocab_size"])?, width, layers, heads, mlp, longest)
    })
}

/// Writes a `config.json` that transformers 4 and 5 read.
pub(crate) fn write(config: &Config, precision: Precision) -> Vec<u8> {
    let Config { spec, begin, ends, pad } = config;
    let (kind, class, own) = match spec.family {
        Family::Llama => ("llama", "LlamaForCausalLM", llama_keys(spec)),
        Family::Qwen2 => ("qwen2", "Qwen2ForCausalLM", llama_keys(spec)),
        Family::Gpt2 => ("gpt2", "GPT2LMHeadModel", gpt2_keys(spec)),
        Family::GptNeox => ("gpt_neox", "GPTNeoXForCausalLM", gpt_neox_keys(spec)),
        Family::GptJ => ("gptj", "GPTJForCausalLM", gpt2_keys(spec)),
        Family::Bloom => ("bloom", "BloomForCausalLM", bloom_keys(spec)),
        Family::Opt => ("opt", "OPTForCausalLM", opt_keys(spec)),
    };
    let end = match ends.as_slice() {
        [] => Value::Null,
        [one] => json!(one),
        several => json!(several),
    };
    let mut keys = json!({
        "model_type": kind,
        "architectures": [class],
        "vocab_size": spec.vocab,
        "tie_word_embeddings": spec.tied,
        "bos_token_id": begin,
        "eos_token_id": end,
        "pad_token_id": pad,
        "torch_dtype": precision.torch_name(),
    });
    let (keys_mut, own) = (keys.as_object_mut().expect("an object"), own);
    keys_mut.extend(own.as_object().expect("an object").clone());
    let mut text = serde_json::to_vec_pretty(&keys).expect("keys are JSON");
    text.push(b'\n');
    text
}

fn activation_name(spec: &DecoderSpec) -> &'static str {
    match spec.activation {
        Activation::SwiGlu => "silu",
        Activation::Gelu => "gelu_new",
        Activation::GeluErf => "gelu",
        Activation::Relu => "relu",
    }
}

fn rotary(spec: &DecoderSpec) -> Rotary {
    match spec.position {
        Position::Rotary(rotary) => rotary,
        _ => Rotary::whole(spec.head_width, ROTARY_BASE),
    }
}

fn scaling(rotary: Rotary) -> Value {
    match rotary.scaling {
        Scaling::None => Value::Null,
        Scaling::Linear(factor) => json!({ "rope_type": "linear", "factor": factor }),
        Scaling::Llama3 { factor, low, high, original } => json!({
            "rope_type": "llama3",
            "factor": factor,
            "low_freq_factor": low,
            "high_freq_factor": high,
            "original_max_position_embeddings": original as u64,
        }),
    }
}

fn llama_keys(spec: &DecoderSpec) -> Value {
    debug_assert_eq!(spec.norm, Norm::Rms);
    let rotary = rotary(spec);
    json!({
        "hidden_size": spec.width,
        "num_hidden_layers": spec.layers,
        "num_attention_heads": spec.heads,
        "num_key_value_heads": spec.kv_heads,
        "head_dim": spec.head_width,
        "intermediate_size": spec.mlp,
        "max_position_embeddings": spec.max_positions,
        "hidden_act": "silu",
        "rms_norm_eps": spec.norm_epsilon,
        "attention_bias": spec.bias.o,
        "mlp_bias": spec.bias.mlp,
        "rope_theta": rotary.base,
        "rope_scaling": scaling(rotary),
    })
}

/// Of GPT-2 and GPT-J.
fn gpt2_keys(spec: &DecoderSpec) -> Value {
    let mut keys = json!({
        "n_embd": spec.width,
        "n_layer": spec.layers,
        "n_head": spec.heads,
        "n_inner": spec.mlp,
        "n_positions": spec.max_positions,
        "activation_function": activation_name(spec),
        "layer_norm_epsilon": spec.norm_epsilon,
    });
    if spec.family == Family::GptJ {
        keys["rotary_dim"] = json!(rotary(spec).width);
    }
    keys
}

fn gpt_neox_keys(spec: &DecoderSpec) -> Value {
    let rotary = rotary(spec);
    json!({
        "hidden_size": spec.width,
        "num_hidden_layers": spec.layers,
        "num_attention_heads": spec.heads,
        "intermediate_size": spec.mlp,
        "max_position_embeddings": spec.max_positions,
        "hidden_act": activation_name(spec),
        "layer_norm_eps": spec.norm_epsilon,
        "attention_bias": spec.bias.o,
        "use_parallel_residual": spec.residual == Residual::Parallel,
        "rotary_pct": rotary.width as f64 / spec.head_width as f64,
        "rotary_emb_base": rotary.base,
        "rope_scaling": scaling(rotary),
    })
}

fn bloom_keys(spec: &DecoderSpec) -> Value {
    json!({
        "hidden_size": spec.width,
        "n_layer": spec.layers,
        "n_head": spec.heads,
        "seq_length": spec.max_positions,
        "layer_norm_epsilon": spec.norm_epsilon,
        "apply_residual_connection_post_layernorm": false,
    })
}

fn opt_keys(spec: &DecoderSpec) -> Value {
    json!({
        "hidden_size": spec.width,
        "word_embed_proj_dim": spec.width,
        "num_hidden_layers": spec.layers,
        "num_attention_heads": spec.heads,
        "ffn_dim": spec.mlp,
        "max_position_embeddings": spec.max_positions,
        "activation_function": activation_name(spec),
        "do_layer_norm_before": true,
        "enable_bias": spec.bias.mlp,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_family_comes_back_from_its_own_config() {
        for family in Family::ALL {
            let mut spec = DecoderSpec::of(family, 100, 48, 2, 3, 192, 64);
            if family == Family::Llama {
                spec.kv_heads = 1;
                spec.position = Position::Rotary(Rotary {
                    scaling: Scaling::Llama3 { factor: 8.0, low: 1.0, high: 4.0, original: 32.0 },
                    ..Rotary::whole(16, 5e5)
                });
            }
            let config = Config { spec, begin: Some(2), ends: vec![0, 3], pad: Some(1) };
            assert_eq!(read(&write(&config, Precision::F16)).unwrap(), config, "{family:?}");
        }
    }

    #[test]
    fn what_is_not_implemented_is_named() {
        let error = |text: &str| read(text.as_bytes()).unwrap_err();
        assert!(error(r#"{"model_type": "gemma"}"#).contains("model_type `gemma` is not a family"));
        assert_eq!(error(r#"{"hidden_size": 4}"#), "has no `model_type`");
        assert_eq!(error(r#"{"model_type": "llama"}"#), "has no `hidden_size`");
        let opt = r#"{"model_type": "opt", "do_layer_norm_before": false}"#;
        assert_eq!(error(opt), "`do_layer_norm_before = false` is not implemented");
        let act = r#"{"model_type":"gpt2","n_embd":8,"n_head":2,"n_layer":1,"vocab_size":9,"activation_function":"swish"}"#;
        assert!(error(act).contains("activation_function"), "{}", error(act));
    }
}
