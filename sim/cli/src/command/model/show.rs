//! `cotune model show`: what a model is.

use cotune_kernel::{Bytes, Flops};
use cotune_models::adapter::Layout;
use cotune_models::base::Base;
use cotune_models::cost::ModelShape;
use cotune_models::device::Compute;
use cotune_models::spec::{Activation, Biases, DecoderSpec, Norm, Position, Residual, Scaling};
use serde::Serialize;

use super::open;
use crate::arguments::ModelShow;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::talk;

/// What `model show --json` prints.
#[derive(Serialize)]
struct Shown<'a> {
    name: &'a str,
    family: String,
    parameters: usize,
    digest: &'a str,
    ends: &'a [u32],
    spec: &'a DecoderSpec,
    cost: ShownCost,
    tokenizer: Option<ShownTokenizer<'a>>,
}

/// What work on the bare model costs, per token and without attention's share, which grows with the text.
#[derive(Serialize)]
struct ShownCost {
    forward_flops: f64,
    lora_training_flops: f64,
    full_training_flops: f64,
    weight_bytes_f16: f64,
    kv_bytes: f64,
}

#[derive(Serialize)]
struct ShownTokenizer<'a> {
    vocab: usize,
    surface: String,
    beginning: Vec<&'a str>,
    eos: &'a str,
    pad: &'a str,
    digest: &'a str,
}

/// Prints shape, size and tokenizer of a model.
pub fn show(typed: &ModelShow) -> Result<Exit, Failure> {
    let base = open(&typed.model, &Compute::cpu())?;
    let shown = Shown {
        name: base.name(),
        family: base.spec().family_name(),
        parameters: base.spec().parameters(),
        digest: base.digest(),
        ends: base.ends(),
        spec: base.spec(),
        cost: shown_cost(base.spec()),
        tokenizer: base.has_tokenizer().then(|| shown_tokenizer(&base)),
    };
    talk::print(match typed.json {
        true => serde_json::to_string_pretty(&shown).expect("a model's shape is JSON") + "\n",
        false => in_words(&shown),
    })?;
    Ok(Exit::Done)
}

fn shown_cost(spec: &DecoderSpec) -> ShownCost {
    let shape = ModelShape { bits_per_weight: 16.0, ..ModelShape::of(spec, &Layout::none()) };
    ShownCost {
        forward_flops: shape.forward_flops(1.0, 0.0),
        lora_training_flops: shape.training_flops(1.0, 0.0),
        full_training_flops: shape.full_training_flops(1.0, 0.0),
        weight_bytes_f16: shape.weight_bytes(),
        kv_bytes: shape.kv_bytes(1.0),
    }
}

fn shown_tokenizer(base: &Base) -> ShownTokenizer<'_> {
    let tokenizer = base.tokenizer();
    ShownTokenizer {
        vocab: tokenizer.vocab_size(),
        surface: format!("{:?}", tokenizer.surface()),
        beginning: tokenizer.beginning().iter().map(|id| tokenizer.token_text(*id)).collect(),
        eos: tokenizer.token_text(tokenizer.eos()),
        pad: tokenizer.token_text(tokenizer.pad()),
        digest: tokenizer.digest(),
    }
}

fn in_words(shown: &Shown<'_>) -> String {
    let spec = shown.spec;
    let tokenizer = match &shown.tokenizer {
        None => "none: ids only".to_owned(),
        Some(tokenizer) => {
            let before = match tokenizer.beginning.as_slice() {
                [] => String::new(),
                tokens => format!(", {} before a text", tokens.join(" ")),
            };
            format!(
                "{} tokens, {}{before}, end {}, padding {}",
                tokenizer.vocab, tokenizer.surface, tokenizer.eos, tokenizer.pad
            )
        }
    };
    let rows = [
        ("layers", format!("{} of width {}, {}", spec.layers, spec.width, residual(spec.residual))),
        ("attention", attention(spec)),
        ("mlp", format!("{} wide, {}", spec.mlp, activation(spec.activation))),
        ("positions", format!("{}, {}", spec.max_positions, position(spec.position))),
        ("norms", norms(spec)),
        ("biases", biases(spec.bias)),
        ("head", if spec.tied { "the embedding" } else { "its own" }.to_owned()),
        ("a token", cost(&shown.cost)),
        ("tokenizer", tokenizer),
        ("digest", shown.digest.to_owned()),
    ];
    let rows: String = rows.iter().map(|(name, value)| format!("  {name:<10} {value}\n")).collect();
    format!("{} ({}), {} parameters\n{rows}", shown.name, shown.family, shown.parameters)
}

fn cost(cost: &ShownCost) -> String {
    let flops = [cost.forward_flops, cost.lora_training_flops, cost.full_training_flops].map(Flops);
    let [forward, lora, full] = flops;
    let kv = Bytes(cost.kv_bytes as u64);
    format!("{forward} forward, {lora} LoRA training, {full} full training, {kv} of keys and values")
}

fn residual(residual: Residual) -> &'static str {
    match residual {
        Residual::Serial => "attention, then MLP",
        Residual::Parallel => "attention beside MLP",
        Residual::ParallelShared => "attention beside MLP, one norm for both",
    }
}

fn attention(spec: &DecoderSpec) -> String {
    let heads = format!("{} heads of width {}", spec.heads, spec.head_width);
    match spec.kv_heads {
        kv if kv == spec.heads => heads,
        1 => format!("{heads}, one head of keys and values"),
        kv => format!("{heads}, {kv} heads of keys and values"),
    }
}

fn activation(activation: Activation) -> &'static str {
    match activation {
        Activation::SwiGlu => "SwiGLU",
        Activation::Gelu => "GELU (tanh)",
        Activation::GeluErf => "GELU (erf)",
        Activation::Relu => "ReLU",
    }
}

fn position(position: Position) -> String {
    let rotary = match position {
        Position::Learned { offset: 0 } => return "learned".to_owned(),
        Position::Learned { offset } => return format!("learned, the first in row {offset}"),
        Position::Alibi => return "ALiBi".to_owned(),
        Position::Rotary(rotary) => rotary,
    };
    let pairs = if rotary.interleaved { "neighbours" } else { "halves" };
    let scaling = match rotary.scaling {
        Scaling::None => String::new(),
        Scaling::Linear(factor) => format!(", stretched {factor} times"),
        Scaling::Llama3 { factor, .. } => format!(", stretched {factor} times as LLaMA 3"),
    };
    format!("rotary, base {}, {} of a head in {pairs}{scaling}", rotary.base, rotary.width)
}

fn norms(spec: &DecoderSpec) -> String {
    let kind = match spec.norm {
        Norm::Rms => "RMS",
        Norm::Layer => "layer",
    };
    let embedding = if spec.embedding_norm { ", also of the embedding" } else { "" };
    format!("{kind}, epsilon {:e}{embedding}", spec.norm_epsilon)
}

fn biases(bias: Biases) -> String {
    let parts = [
        (bias.qkv, "query, key, value"),
        (bias.o, "attention output"),
        (bias.mlp, "MLP"),
        (bias.head, "head"),
    ];
    let there: Vec<&str> = parts.iter().filter(|(there, _)| *there).map(|(_, name)| *name).collect();
    if there.is_empty() { "none".to_owned() } else { there.join(", ") }
}

#[cfg(test)]
mod tests {
    use cotune_models::spec::Family;

    use super::*;

    #[test]
    fn families_are_told_apart_in_words() {
        let of = |family| DecoderSpec::of(family, 64, 32, 2, 4, 128, 96);
        let told: Vec<String> = Family::ALL
            .into_iter()
            .map(|family| {
                let spec = of(family);
                [position(spec.position), residual(spec.residual).to_owned(), biases(spec.bias), norms(&spec)]
                    .join("; ")
            })
            .collect();
        let mut different = told.clone();
        different.sort();
        different.dedup();
        assert_eq!(different.len(), Family::ALL.len(), "{told:#?}");
        let shared = DecoderSpec { kv_heads: 1, ..of(Family::Llama) };
        assert_eq!(attention(&shared), "4 heads of width 8, one head of keys and values");
    }
}
