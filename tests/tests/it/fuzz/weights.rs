//! What was downloaded: safetensors with their configuration, llama2.c, and tokenizers.

use std::fs;
use std::path::Path;

use cotune_models::base::Base;
use cotune_models::checkpoint::{Source, convert};
use cotune_models::device::Compute;
use cotune_models::tokenizer::Tokenizer;
use tempfile::TempDir;

use super::{Place, SLOW, fuzz};

/// A model in llama2.c's format, as small as a model can be: all weights zero.
fn llama2c() -> Vec<u8> {
    let (dim, hidden, layers, heads, vocab, positions) = (4, 4, 2, 2, 4, 4);
    let per_layer = 2 * dim + 4 * dim * dim + 3 * dim * hidden;
    let floats = vocab * dim + layers * per_layer + dim + positions * (dim / heads);
    let mut bytes = Vec::new();
    for value in [dim, hidden, layers, heads, heads, vocab, positions] {
        bytes.extend_from_slice(&(value as i32).to_le_bytes());
    }
    bytes.resize(bytes.len() + 4 * floats, 0);
    bytes
}

/// Imports a file into a folder that is not there, and takes the folder away again.
fn import(file: &Path, folder: &Path) -> bool {
    let converted = convert(Source::Llama2c(file), None::<&Path>, folder, None);
    if converted.is_ok() {
        fs::remove_dir_all(folder).unwrap();
    }
    converted.is_ok()
}

#[test]
fn a_checkpoint_of_llama2c() {
    let (place, out) = (Place::new("tiny.bin"), TempDir::new().unwrap());
    let folder = out.path().join("imported");
    fuzz("llama2c", SLOW, &[llama2c()], |bytes| import(&place.write(bytes), &folder));
}

#[test]
fn a_checkpoint_of_weights() {
    let (place, out) = (Place::new("tiny.bin"), TempDir::new().unwrap());
    let folder = out.path().join("imported");
    convert(Source::Llama2c(&place.write(&llama2c())), None::<&Path>, &folder, None).unwrap();
    for name in ["config.json", "model.safetensors"] {
        let path = folder.join(name);
        let whole = fs::read(&path).unwrap();
        fuzz(name, SLOW, std::slice::from_ref(&whole), |bytes| {
            fs::write(&path, bytes).unwrap();
            Base::load_bare(&folder, &Compute::cpu()).is_ok()
        });
        fs::write(&path, whole).unwrap();
    }
}

#[test]
fn a_tokenizer() {
    let texts = ["Q: Where is the copper lamp?\nA: red aisle shelf 4 top"];
    let good =
        [Tokenizer::train_byte_level(texts, 270).unwrap(), Tokenizer::train_metaspace(texts, 110).unwrap()];
    let good = good.map(|tokenizer| tokenizer.to_json().as_bytes().to_vec());
    fuzz("tokenizer", SLOW, &good, |bytes| {
        let Ok(tokenizer) = Tokenizer::from_json(bytes) else { return false };
        let (ids, _) = tokenizer.encode_with_offsets("the <eos> r\u{e9}d lamp\n");
        drop((tokenizer.decode(&ids), tokenizer.beginning().to_vec()));
        true
    });
}
