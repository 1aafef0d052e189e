//! The format of llama2.c (Karpathy 2023), version 0: `stories260K.bin` and its like.
//!
//! Seven little-endian `i32` (width, MLP, layers, heads, key-value heads, vocabulary, positions), then `f32` without
//! names: each kind of tensor for all layers together, matrices as `[outputs, inputs]`. A vocabulary below zero means
//! a head of its own behind everything else. Queries and keys are rotated in neighbouring pairs, as Meta's LLaMA does;
//! Hugging Face's rotates two halves, so their rows are put in that order on the way.

mod tokenizer;

use super::{CheckpointError, Config};
use crate::checkpoint::names::{self, Place};
use crate::spec::{DecoderSpec, Family};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

pub(super) use tokenizer::tokenizer_json;

/// Version 1 and 2 begin with this word.
const LATER_VERSIONS: u32 = 0x616b_3432;

/// The token before every text, which also ends it: these models saw no other end.
const BEGIN: u32 = 1;
/// `</s>`, which a finetuned model may have learned.
const END: u32 = 2;

/// The largest number of a header; such a model would have a thousand times the parameters of any there is.
const LARGEST: i32 = 1 << 24;

/// A model that was read.
#[derive(Debug)]
pub(super) struct Llama2c {
    pub config: Config,
    /// Values by their names in Hugging Face's layout.
    tensors: BTreeMap<String, Vec<f32>>,
}

impl Llama2c {
    /// Reads a file. Its length has to be what its header says, before anything else is read.
    ///
    /// # Errors
    /// It cannot be read, or is not in this format.
    pub(super) fn read(path: &Path) -> Result<Self, CheckpointError> {
        let io = |source| CheckpointError::Io { path: path.to_path_buf(), source };
        let malformed = |problem| CheckpointError::Malformed { path: path.to_path_buf(), problem };
        let file = File::open(path).map_err(io)?;
        let length = file.metadata().map_err(io)?.len();
        let mut reader = BufReader::new(file);
        let mut header = [0; 28];
        let start = length.min(28) as usize;
        reader.read_exact(&mut header[..start]).map_err(io)?;
        if header.starts_with(b"PK\x03\x04") || header.starts_with(b"\x80\x02") {
            return Err(CheckpointError::Pickle { path: path.to_path_buf() });
        }
        if start < header.len() {
            return Err(malformed(format!("has {length} bytes, fewer than the header of llama2.c's format")));
        }
        let spec = spec_of(&header).map_err(malformed)?;
        let expected = file_bytes(&spec);
        if u128::from(length) != expected {
            return Err(malformed(format!(
                "has {length} bytes, and a llama2.c model of width {}, MLP {}, {} layers, {} heads, {} key-value \
                 heads, {} tokens and {} positions has {expected}",
                spec.width, spec.mlp, spec.layers, spec.heads, spec.kv_heads, spec.vocab, spec.max_positions
            )));
        }
        let tensors = tensors(&spec, &mut reader).map_err(io)?;
        let config = Config { spec, begin: Some(BEGIN), ends: vec![BEGIN, END], pad: None };
        Ok(Self { config, tensors })
    }

    /// One tensor in the order of [`DecoderSpec::tensors`].
    pub(super) fn take(&mut self, tensor: &str) -> Vec<f32> {
        let spec = &self.config.spec;
        let place: Place = names::of(spec.family).place(spec, tensor);
        let files = place.file_tensors(spec, tensor).into_iter();
        let parts =
            files.map(|(name, _)| self.tensors.remove(&name).expect("every tensor was read")).collect();
        place.assemble(spec, tensor, parts)
    }
}

/// The shape in a header.
fn spec_of(header: &[u8; 28]) -> Result<DecoderSpec, String> {
    let number = |i: usize| i32::from_le_bytes(std::array::from_fn(|byte| header[4 * i + byte]));
    if number(0) as u32 == LATER_VERSIONS {
        return Err(format!(
            "is llama2.c's format {}, and only version 0 is read: export the model with `--version 0`",
            number(1)
        ));
    }
    let names = ["dim", "hidden_dim", "n_layers", "n_heads", "n_kv_heads", "vocab_size", "seq_len"];
    let mut sizes = [0; 7];
    for (i, (name, size)) in names.into_iter().zip(&mut sizes).enumerate() {
        let number = if name == "vocab_size" { number(i).saturating_abs() } else { number(i) };
        if !(1..=LARGEST).contains(&number) {
            return Err(format!("is not llama2.c's format: its {name} is {number}"));
        }
        *size = number as usize;
    }
    let [width, mlp, layers, heads, kv_heads, vocab, positions] = sizes;
    if !width.is_multiple_of(heads) {
        return Err(format!("is not llama2.c's format: width {width} is not divisible by {heads} heads"));
    }
    let spec = DecoderSpec {
        kv_heads,
        tied: number(5) > 0,
        ..DecoderSpec::of(Family::Llama, vocab, width, layers, heads, mlp, positions)
    };
    match spec.problem() {
        Some(problem) => Err(format!("is not llama2.c's format: {problem}")),
        None => Ok(spec),
    }
}

/// Length of a file \[B\].
fn file_bytes(spec: &DecoderSpec) -> u128 {
    let [vocab, d, f, layers, positions, hd] =
        [spec.vocab, spec.width, spec.mlp, spec.layers, spec.max_positions, spec.head_width]
            .map(|n| n as u128);
    let kv = spec.kv_heads as u128 * hd;
    let block = 2 * d + 2 * d * d + 2 * kv * d + 3 * d * f;
    let embeddings = if spec.tied { vocab * d } else { 2 * vocab * d };
    28 + 4 * (embeddings + layers * block + d + positions * hd)
}

/// Everything behind the header, by Hugging Face's names.
fn tensors(spec: &DecoderSpec, reader: &mut impl Read) -> std::io::Result<BTreeMap<String, Vec<f32>>> {
    let (d, f, hd) = (spec.width, spec.mlp, spec.head_width);
    let kv = spec.kv_heads * hd;
    let mut found = BTreeMap::new();
    let mut add = |name: String, count: usize| -> std::io::Result<()> {
        let mut values = floats(reader, count)?;
        let turned = name.ends_with("q_proj.weight") || name.ends_with("k_proj.weight");
        if turned {
            values = halves(&values, hd, d);
        }
        found.insert(name, values);
        Ok(())
    };
    add("model.embed_tokens.weight".to_string(), spec.vocab * d)?;
    for (part, count) in [
        ("input_layernorm", d),
        ("self_attn.q_proj", d * d),
        ("self_attn.k_proj", kv * d),
        ("self_attn.v_proj", kv * d),
        ("self_attn.o_proj", d * d),
        ("post_attention_layernorm", d),
        ("mlp.gate_proj", f * d),
        ("mlp.down_proj", d * f),
        ("mlp.up_proj", f * d),
    ] {
        for layer in 0..spec.layers {
            add(format!("model.layers.{layer}.{part}.weight"), count)?;
        }
    }
    add("model.norm.weight".to_string(), d)?;
    // Cosines and sines of the rotary angles, which are computed here.
    add("freq_cis".to_string(), spec.max_positions * hd)?;
    if !spec.tied {
        add("lm_head.weight".to_string(), spec.vocab * d)?;
    }
    Ok(found)
}

fn floats(reader: &mut impl Read, count: usize) -> std::io::Result<Vec<f32>> {
    let mut bytes = vec![0; 4 * count];
    reader.read_exact(&mut bytes)?;
    Ok(bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect())
}

/// The rows of every head in the order 0, 2, 4, …, 1, 3, 5, …
fn halves(rows: &[f32], head_width: usize, columns: usize) -> Vec<f32> {
    let heads = rows.chunks_exact(head_width * columns);
    heads
        .flat_map(|head| [0, 1].into_iter().flat_map(|half| head.chunks_exact(columns).skip(half).step_by(2)))
        .flatten()
        .copied()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file whose header has these numbers and whose length is as said.
    fn read(header: [i32; 7], length: usize) -> Result<Llama2c, CheckpointError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.bin");
        let mut bytes: Vec<u8> = header.iter().flat_map(|number| number.to_le_bytes()).collect();
        bytes.resize(length, 0);
        std::fs::write(&path, bytes).unwrap();
        Llama2c::read(&path)
    }

    #[test]
    fn a_file_of_the_right_length_is_a_model_with_or_without_a_head() {
        let tied = read([8, 12, 2, 2, 1, 10, 6], 28 + 4 * 1104).unwrap();
        assert!(tied.config.spec.tied && !tied.tensors.contains_key("lm_head.weight"));
        let mut untied = read([8, 12, 2, 2, 1, -10, 6], 28 + 4 * 1184).unwrap();
        assert!(!untied.config.spec.tied);
        for (tensor, shape) in untied.config.spec.clone().tensors() {
            assert_eq!(untied.take(&tensor).len(), shape.iter().product::<usize>(), "{tensor}");
        }
    }

    #[test]
    fn headers_come_from_anyone() {
        for (header, length, said) in [
            ([8, 12, 2, 2, 1, 10, 6], 28 + 4 * 1104 - 1, "has 4443 bytes, and a llama2.c model of width 8"),
            ([8, 12, 2, 2, 1, 10, 6], 28 + 4 * 1104 + 4, "has 4448 bytes"),
            ([i32::MAX; 7], 64, "its dim is 2147483647"),
            ([1 << 24, 1 << 24, 1 << 24, 1, 1, 1 << 24, 1 << 24], 64, "has 64 bytes"),
            ([8, 0, 2, 2, 1, 10, 6], 64, "its hidden_dim is 0"),
            ([8, 12, 2, 2, 1, i32::MIN, 6], 64, "its vocab_size is 2147483647"),
            ([8, 12, 2, 3, 1, 10, 6], 64, "width 8 is not divisible by 3 heads"),
            ([8, 12, 2, 4, 3, 10, 6], 64, "4 heads cannot share 3 key-value heads"),
            ([LATER_VERSIONS as i32, 1, 2, 2, 1, 10, 6], 64, "format 1, and only version 0"),
            ([8, 12, 2, 2, 1, 10, 6], 20, "has 20 bytes, fewer than the header"),
        ] {
            let error = read(header, length).unwrap_err().to_string();
            assert!(error.contains(said), "{header:?}: {error}");
        }
    }

    #[test]
    fn pairs_become_halves_in_every_head() {
        let rows = [0.0, 1.0, 2.0, 3.0, 10.0, 11.0, 12.0, 13.0];
        assert_eq!(halves(&rows, 4, 1), [0.0, 2.0, 1.0, 3.0, 10.0, 12.0, 11.0, 13.0]);
        assert_eq!(halves(&rows, 2, 2), [0.0, 1.0, 2.0, 3.0, 10.0, 11.0, 12.0, 13.0]);
    }
}
