//! Checkpoints that were cut off, lie about their sizes or point elsewhere: an error in words, without a panic and
//! without memory for what is not there.

use cotune_models::base::{Base, BaseError};
use cotune_models::checkpoint::{CheckpointError, Source, convert};
use cotune_models::device::Compute;
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/hf").join(name)
}

/// A copy of a fixture to do something to.
fn copy(name: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(fixture(name)).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, folder.path().join(path.file_name().unwrap())).unwrap();
    }
    folder
}

fn error(folder: &Path) -> String {
    Base::load_bare(folder, &Compute::cpu()).unwrap_err().to_string()
}

fn edit(path: PathBuf, change: impl FnOnce(&mut Value)) {
    let mut value: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    change(&mut value);
    fs::write(path, value.to_string()).unwrap();
}

#[test]
fn sizes_that_no_tensor_has_are_refused_before_anything_is_as_large() {
    let most = i32::MAX;
    for (fixture, key, size, said) in [
        ("llama-gqa", "num_hidden_layers", json!(most), "2147483647 layers, and"),
        ("llama-gqa", "vocab_size", json!(most), "is [48, 24], not [2147483647, 24]"),
        ("llama-gqa", "hidden_size", json!(most), "not [48, 2147483647]"),
        (
            "llama-gqa",
            "intermediate_size",
            json!(most),
            "gate_proj.weight` is [40, 24], not [2147483647, 24]",
        ),
        ("llama-gqa", "head_dim", json!(most), "rotary positions need an even width"),
        ("llama-gqa", "head_dim", json!(most - 1), "q_proj.weight` is [32, 24]"),
        ("llama-gqa", "max_position_embeddings", json!(most), "2147483647 positions are more than"),
        ("llama-gqa", "num_attention_heads", json!(0), "0"),
        ("llama-gqa", "num_hidden_layers", json!(u64::MAX), "not a whole number"),
        ("llama-gqa", "num_hidden_layers", json!(-1), "not a whole number"),
        ("llama-gqa", "vocab_size", json!("48"), "not a whole number"),
        ("bloom", "n_head", json!(most), "not divisible"),
        ("bloom", "seq_length", json!(most), "positions are more than"),
        ("gpt2", "n_positions", json!(1 << 20), "wpe.weight` is [40, 24]"),
        ("gpt-neox-parallel", "hidden_size", json!(most), "not divisible"),
        ("opt", "ffn_dim", json!(most), "fc1.weight`"),
    ] {
        let folder = copy(fixture);
        edit(folder.path().join("config.json"), |config| config[key] = size.clone());
        let error = error(folder.path());
        assert!(error.contains(said), "{fixture} {key} = {size}: {error}");
    }
}

#[test]
fn a_checkpoint_that_is_cut_off_anywhere_is_refused() {
    let folder = copy("llama-gqa");
    let path = folder.path().join("model.safetensors");
    let whole = fs::read(&path).unwrap();
    for length in [0, 4, 8, 100, 4000, whole.len() / 2, whole.len() - 1] {
        fs::write(&path, &whole[..length]).unwrap();
        let error = error(folder.path());
        assert!(error.contains("model.safetensors"), "{length}: {error}");
    }
}

#[test]
fn a_header_that_lies_is_refused() {
    let folder = copy("llama-gqa");
    let path = folder.path().join("model.safetensors");
    let whole = fs::read(&path).unwrap();
    let length = u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize;
    let header: Value = serde_json::from_slice(&whole[8..8 + length]).unwrap();
    let norm = "model.norm.weight";
    for (change, said) in [
        (json!({ "dtype": "F32", "shape": [24], "data_offsets": [0, u64::MAX] }), "model.safetensors"),
        (
            json!({ "dtype": "F32", "shape": [i64::MAX, i64::MAX], "data_offsets": [0, 96] }),
            "model.safetensors",
        ),
        (json!({ "dtype": "F32", "shape": [24], "data_offsets": [96, 0] }), "model.safetensors"),
        (
            json!({ "dtype": "I32", "shape": [24], "data_offsets": header[norm]["data_offsets"].clone() }),
            "is I32, not F32",
        ),
        (
            json!({ "dtype": "F32", "shape": [4, 6], "data_offsets": header[norm]["data_offsets"].clone() }),
            "is [4, 6], not [24]",
        ),
    ] {
        let mut lying = header.clone();
        lying[norm] = change.clone();
        let text = lying.to_string();
        let mut file = (text.len() as u64).to_le_bytes().to_vec();
        file.extend(text.as_bytes());
        file.extend(&whole[8 + length..]);
        fs::write(&path, file).unwrap();
        let error = error(folder.path());
        assert!(error.contains(said), "{change}: {error}");
    }
    let mut long = whole.clone();
    long[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    fs::write(&path, long).unwrap();
    assert!(error(folder.path()).contains("a header of 18446744073709551615 bytes"));
}

#[test]
fn a_shard_that_lies_elsewhere_is_not_read() {
    for (elsewhere, said) in [
        ("../model.safetensors", "does not lie beside the index"),
        ("/etc/passwd", "does not lie beside the index"),
        ("..", "does not lie beside the index"),
        ("model-of-nobody.safetensors", "model-of-nobody.safetensors"),
    ] {
        let folder = copy("llama-sharded");
        edit(folder.path().join("model.safetensors.index.json"), |index| {
            index["weight_map"]["model.norm.weight"] = elsewhere.into();
        });
        let error = error(folder.path());
        assert!(error.contains(said), "{elsewhere}: {error}");
    }
    let folder = copy("llama-sharded");
    fs::remove_file(folder.path().join("model-00003-of-00003.safetensors")).unwrap();
    assert!(error(folder.path()).contains("model-00003-of-00003.safetensors"));
}

#[test]
fn special_tokens_that_are_none_are_as_good_as_absent() {
    let folder = copy("llama-gqa");
    edit(folder.path().join("config.json"), |config| {
        config["pad_token_id"] = json!(-1);
        config["eos_token_id"] = json!([48, 7]);
    });
    let base = Base::load_bare(folder.path(), &Compute::cpu()).unwrap();
    assert_eq!((base.ends(), base.pad()), (&[7][..], 7));
}

#[test]
fn a_conversion_leaves_all_or_nothing() {
    let folder = copy("llama-gqa");
    let place = tempfile::tempdir().unwrap();
    let made = place.path().join("deep/model");
    let tokenizer = place.path().join("tokenizer.json");
    fs::write(&tokenizer, "{}").unwrap();
    let outcome = convert(Source::Folder(folder.path()), Some(&tokenizer), &made, None);
    assert!(matches!(outcome, Err(BaseError::Tokenizer { .. })), "{outcome:?}");
    assert_eq!(fs::read_dir(place.path().join("deep")).unwrap().count(), 0, "nothing half-written");
    convert(Source::Folder(folder.path()), None, &made, None).unwrap();
    let same = |folder: &Path| Base::load_bare(folder, &Compute::cpu()).unwrap().digest().to_owned();
    assert_eq!(same(&made), same(folder.path()));
    let again = convert(Source::Folder(folder.path()), None, &made, None);
    assert!(matches!(again, Err(BaseError::Checkpoint(CheckpointError::NotEmpty { .. }))), "{again:?}");
    assert_eq!(fs::read_dir(place.path().join("deep")).unwrap().count(), 1);
}

#[test]
fn a_pickle_is_refused_with_the_command_that_converts_it() {
    let folder = copy("llama-gqa");
    fs::rename(folder.path().join("model.safetensors"), folder.path().join("pytorch_model.bin")).unwrap();
    assert!(error(folder.path()).contains("safe_serialization=True"));
    let path = folder.path().join("pytorch_model.bin");
    fs::write(&path, b"PK\x03\x04 and so on, as torch.save writes it").unwrap();
    let outcome = convert(Source::Llama2c(&path), None, &folder.path().join("out"), None);
    assert!(matches!(outcome, Err(BaseError::Checkpoint(CheckpointError::Pickle { .. }))), "{outcome:?}");
}
