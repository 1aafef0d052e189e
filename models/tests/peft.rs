//! Adapters in PEFT's layout: `fixtures/peft/*` were written by PEFT, with the log-probabilities that it computes for
//! them in f64 (made by `fixtures/make_adapters.py`); `peft_round_trip.py` goes the other way.

mod common;

use common::{Expected, TOLERANCE, difference, fixtures};
use cotune_kernel::stream::Stream;
use cotune_models::adapter::{Layout, LoraSpec, Module, Target};
use cotune_models::base::Base;
use cotune_models::device::Compute;
use cotune_models::peft::{self, PeftError};
use cotune_models::score::score_ids;
use cotune_models::spec::Family;
use std::fs;
use std::path::{Path, PathBuf};

const TARGETS: [Target; 8] =
    [Target::Q, Target::K, Target::V, Target::Qkv, Target::O, Target::Gate, Target::Up, Target::Down];

fn checkpoint(name: &str) -> Base {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/hf").join(name);
    Base::load_bare(&folder, &Compute::cpu()).unwrap()
}

/// The checkpoint that an adapter of PEFT belongs to.
fn base_of(fixture: &Path) -> String {
    #[derive(serde::Deserialize)]
    struct Belongs {
        base: String,
    }
    let Belongs { base } = serde_json::from_slice(&fs::read(fixture.join("expected.json")).unwrap()).unwrap();
    base.strip_prefix("hf/").unwrap().to_string()
}

/// One checkpoint of each family, and those whose layout is special: shared keys, a shared head.
fn checkpoints() -> Vec<Base> {
    let names = [
        "llama-gqa",
        "llama-mha",
        "mistral-mqa",
        "qwen2",
        "gpt2",
        "gpt-neox-serial",
        "gpt-neox-parallel",
        "gptj",
        "bloom",
        "opt",
    ];
    let bases: Vec<Base> = names.map(checkpoint).into();
    for family in Family::ALL {
        assert!(bases.iter().any(|base| base.spec().family == family), "{family:?} is there");
    }
    assert!(bases.iter().any(|base| base.spec().tied) && bases.iter().any(|base| !base.spec().tied));
    bases
}

/// Values everywhere, also where a fresh adapter is zero.
fn values(base: &Base, layout: &Layout) -> Vec<f32> {
    let mut stream = Stream::keyed(7, "peft");
    let mut values = layout.init(&mut stream, |tensor| base.host_values(tensor));
    values.iter_mut().for_each(|value| *value += 0.3 * (stream.uniform() - 0.5) as f32);
    values
}

#[test]
fn adapters_of_peft_say_what_they_say_in_peft() {
    let found = fixtures("peft");
    assert!(found.len() >= 7, "the fixtures are there");
    for fixture in found {
        let expected = Expected::of(&fixture);
        let base = checkpoint(&base_of(&fixture));
        let (layout, values) = peft::read(&fixture, base.spec()).unwrap();
        let (with, without) =
            (difference(&base, &[(&layout, &values)], &expected), difference(&base, &[], &expected));
        println!(
            "{:<18} {with:.1e}, without the adapter {without:.1e}",
            fixture.file_name().unwrap().display()
        );
        assert!(with < TOLERANCE, "{}: {with}", fixture.display());
        assert!(without > 100.0 * TOLERANCE, "{}: the adapter shows nothing", fixture.display());
    }
}

#[test]
fn adapters_of_every_family_and_target_say_the_same_after_writing_and_reading() {
    let ids: Vec<u32> = vec![3, 11, 7, 40, 2, 29, 15, 8];
    let folder = tempfile::tempdir().unwrap();
    for base in checkpoints() {
        let mut written = 0;
        for attention in 0..16_usize {
            for others in [0_usize, 0b0001, 0b1110] {
                let chosen = attention | others << 4;
                let targets = TARGETS.into_iter().enumerate().filter(|(i, _)| chosen >> i & 1 == 1);
                let lora = LoraSpec {
                    rank: 3,
                    alpha: 4.5,
                    targets: targets.map(|(_, target)| target).collect(),
                    modules_to_save: Vec::new(),
                };
                let layout = Layout::lora(base.spec(), &lora);
                let values = values(&base, &layout);
                let outcome = peft::write(folder.path(), base.spec(), &lora, &values);
                if layout.total() == 0 {
                    assert!(matches!(outcome, Err(PeftError::NoTarget)));
                    continue;
                }
                outcome.unwrap();
                let (layout_again, values_again) = peft::read(folder.path(), base.spec()).unwrap();
                let before = score_ids(&base, &[(&layout, &values)], &ids).logprobs;
                let after = score_ids(&base, &[(&layout_again, &values_again)], &ids).logprobs;
                let worst = before.iter().zip(&after).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                assert!(worst < 1e-5, "{} {:?}: {worst}", base.name(), lora.targets);
                written += 1;
            }
        }
        assert!(written >= 47, "{}: {written}", base.name());
    }
}

#[test]
fn an_adapter_of_the_modules_a_family_has_comes_back_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    for base in checkpoints() {
        let fused = matches!(base.spec().family, Family::Gpt2 | Family::GptNeox | Family::Bloom);
        let attention = if fused { vec![Target::Qkv] } else { vec![Target::Q, Target::K, Target::V] };
        let lora = LoraSpec {
            rank: 2,
            alpha: 3.0,
            targets: [attention, vec![Target::O, Target::Gate, Target::Up, Target::Down]].concat(),
            modules_to_save: vec![Module::Embeddings, Module::Norms],
        };
        let layout = Layout::lora(base.spec(), &lora);
        let values = values(&base, &layout);
        peft::write(folder.path(), base.spec(), &lora, &values).unwrap();
        let again = peft::read(folder.path(), base.spec()).unwrap();
        assert_eq!(again.0, layout, "{}", base.name());
        assert!(again.1 == values, "{}: the values differ", base.name());
    }
}

#[test]
fn modules_with_ranks_of_their_own_keep_their_scales() {
    // On a fused family, `q` and `v` become one adapter of rank 6 beside the others' rank 3; in PEFT's file those
    // are patterns, and changing one alpha there changes only its modules.
    let base = checkpoint("gpt2");
    let lora = LoraSpec {
        rank: 3,
        alpha: 6.0,
        targets: vec![Target::Q, Target::V, Target::Up],
        modules_to_save: Vec::new(),
    };
    let values = values(&base, &Layout::lora(base.spec(), &lora));
    let folder = tempfile::tempdir().unwrap();
    peft::write(folder.path(), base.spec(), &lora, &values).unwrap();
    let path = folder.path().join("adapter_config.json");
    let mut config: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    assert_eq!(config["rank_pattern"], serde_json::json!({ "c_attn": 6 }));
    assert_eq!(config["alpha_pattern"], serde_json::json!({ "c_attn": 12 }));
    let (one_scale, first) = peft::read(folder.path(), base.spec()).unwrap();
    assert_eq!(one_scale.scale(), 2.0);
    config["alpha_pattern"]["c_attn"] = 24.into();
    fs::write(&path, config.to_string()).unwrap();
    let (two_scales, second) = peft::read(folder.path(), base.spec()).unwrap();
    assert_eq!(two_scales.scale(), 1.0);
    for (entry, name) in two_scales.entries().iter().map(|entry| (entry, entry.name.as_str())) {
        let factor = match name.rsplit_once('.').unwrap() {
            (map, "lora_b") => {
                if map.ends_with("qkv") {
                    4.0
                } else {
                    2.0
                }
            }
            _ => 1.0,
        };
        let place = entry.offset..entry.offset + entry.len();
        assert!(first[place.clone()].iter().zip(&second[place]).all(|(a, b)| a * factor == *b), "{name}");
    }
}

/// A copy of the fixture `gpt2-fused` whose configuration was changed.
fn changed(key: &str, value: serde_json::Value) -> (tempfile::TempDir, PathBuf) {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/peft/gpt2-fused");
    let copy = tempfile::tempdir().unwrap();
    for file in ["adapter_config.json", "adapter_model.safetensors"] {
        fs::copy(fixture.join(file), copy.path().join(file)).unwrap();
    }
    let path = copy.path().join("adapter_config.json");
    let mut config: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    config[key] = value;
    fs::write(path, config.to_string()).unwrap();
    let folder = copy.path().to_path_buf();
    (copy, folder)
}

#[test]
fn what_cannot_be_computed_is_refused_by_name() {
    let base = checkpoint("gpt2");
    for (key, value, said) in [
        ("use_dora", true.into(), "`use_dora` = true is not implemented"),
        ("bias", "all".into(), "`bias` = \"all\" is not implemented"),
        ("r", 5.into(), "lora_A.weight` is [4, 24], not [5, 24]"),
        (
            "target_modules",
            vec!["c_attn", "c_fc"].into(),
            "missing tensor `base_model.model.transformer.h.0.mlp.c_fc.lora_A",
        ),
        (
            "target_modules",
            vec!["c_fc"].into(),
            "unexpected tensor `base_model.model.transformer.h.0.attn.c_attn.lora_A",
        ),
        (
            "layers_to_transform",
            0.into(),
            "unexpected tensor `base_model.model.transformer.h.1.attn.c_attn.lora_A",
        ),
        ("modules_to_save", vec!["wte"].into(), "missing tensor `base_model.model.transformer.wte.weight`"),
    ] {
        let (_copy, folder) = changed(key, value);
        let error = peft::read(&folder, base.spec()).unwrap_err().to_string();
        assert!(error.contains(said), "{key}: {error}");
    }
    let other = checkpoint("bloom");
    let (_copy, folder) = changed("r", 4.into());
    let error = peft::read(&folder, other.spec()).unwrap_err().to_string();
    assert!(error.contains("does not hold an adapter of this model"), "{error}");
}

#[test]
fn targets_that_a_regular_expression_names_are_those_of_the_file() {
    let (_copy, folder) = changed("target_modules", r"transformer\.h\.\d+\.attn\.c_attn".into());
    let (_same, plain) = changed("r", 4.into());
    let base = checkpoint("gpt2");
    assert_eq!(peft::read(&folder, base.spec()).unwrap(), peft::read(&plain, base.spec()).unwrap());
}

#[test]
fn a_pickle_is_refused_with_the_command_that_converts_it() {
    let (_copy, folder) = changed("r", 4.into());
    fs::rename(folder.join("adapter_model.safetensors"), folder.join("adapter_model.bin")).unwrap();
    let error = peft::read(&folder, checkpoint("gpt2").spec()).unwrap_err();
    assert!(matches!(error, PeftError::Pickle { .. }) && error.to_string().contains("weights_only=True"));
}

#[test]
fn an_embedding_apart_from_its_head_is_refused_where_they_are_one() {
    let base = checkpoints().into_iter().find(|base| base.spec().tied).unwrap();
    let lora =
        LoraSpec { rank: 2, alpha: 2.0, targets: vec![Target::O], modules_to_save: vec![Module::Embeddings] };
    let layout = Layout::lora(base.spec(), &lora);
    let folder = tempfile::tempdir().unwrap();
    peft::write(folder.path(), base.spec(), &lora, &values(&base, &layout)).unwrap();
    let names = |folder: &Path| {
        let bytes = fs::read(folder.join("adapter_model.safetensors")).unwrap();
        safetensors::SafeTensors::deserialize(&bytes).unwrap().len()
    };
    // Two factors a block, the embedding and its copy as the head.
    assert_eq!(names(folder.path()), 2 * base.spec().layers + 2);
    let bytes = fs::read(folder.path().join("adapter_model.safetensors")).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let kept = file.tensors().into_iter().filter(|(name, _)| !name.ends_with("lm_head.weight"));
    let kept = safetensors::serialize(kept, None).unwrap();
    fs::write(folder.path().join("adapter_model.safetensors"), kept).unwrap();
    let path = folder.path().join("adapter_config.json");
    let mut config: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let saved = config["modules_to_save"].as_array_mut().unwrap();
    saved.retain(|name| name != "lm_head");
    fs::write(&path, config.to_string()).unwrap();
    let error = peft::read(folder.path(), base.spec()).unwrap_err().to_string();
    assert!(error.contains("ensure_weight_tying"), "{error}");
}
