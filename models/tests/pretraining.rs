//! Making a base: the same recipe gives the same bytes, a mistake is explained, a teacher is learned from.

use cotune_kernel::Stream;
use cotune_models::base::Base;
use cotune_models::corpus;
use cotune_models::device::Compute;
use cotune_models::generate::{Sampling, generate};
use cotune_models::pretrain::{DistillSteps, PretrainError, Recipe, distill, pretrain};
use cotune_models::score::answer_losses;
use cotune_models::{adapter::Layout, adapter::LoraSpec, batch::Sequence};
use std::path::{Path, PathBuf};

const RECIPE: &str = r#"
name = "tiny"
[model]
family = "llama"
width = 16
layers = 1
heads = 2
mlp = 24
max_positions = 96
[tokenizer]
kind = "byte-level"
vocab = 300
[corpus.builtin]
name = "domains"
[training]
steps = 4
batch = 2
lr = 2e-3
"#;

fn make(folder: &Path, recipe: &str) -> Result<Base, PretrainError> {
    let path = folder.join("recipe.toml");
    std::fs::write(&path, recipe).unwrap();
    let out = folder.join("out");
    let compute = Compute::cpu();
    pretrain(&Recipe::read(&path)?, &out, &compute, &|p| Ok(PathBuf::from(p)), &mut |_, _| {})?;
    Ok(Base::load(&out, &compute)?)
}

#[test]
fn the_same_recipe_makes_the_same_bytes() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    for folder in &folders {
        make(folder.path(), RECIPE).unwrap();
    }
    for file in ["config.json", "model.safetensors", "tokenizer.json", "card.json"] {
        let [a, b] = folders.each_ref().map(|f| std::fs::read(f.path().join("out").join(file)).unwrap());
        assert!(a == b, "{file} differs between two runs of one recipe");
    }
}

#[test]
fn a_mistake_in_a_recipe_names_the_key() {
    let folder = tempfile::tempdir().unwrap();
    let error = make(folder.path(), &RECIPE.replace("layers = 1", "layerz = 1")).unwrap_err().to_string();
    assert!(error.contains("layerz"), "{error}");
    let error = make(folder.path(), &RECIPE.replace("width = 16", "width = 17")).unwrap_err().to_string();
    assert!(error.contains("width 17 is not divisible by 2 heads"), "{error}");
}

#[test]
fn a_cut_checkpoint_is_refused_with_its_file() {
    let folder = tempfile::tempdir().unwrap();
    make(folder.path(), RECIPE).unwrap();
    let model = folder.path().join("out/model.safetensors");
    let bytes = std::fs::read(&model).unwrap();
    std::fs::write(&model, &bytes[..bytes.len() / 2]).unwrap();
    let error = Base::load(&folder.path().join("out"), &Compute::cpu()).unwrap_err().to_string();
    assert!(error.contains("model.safetensors"), "{error}");
}

#[test]
fn distillation_brings_a_proxy_nearer_to_its_teacher() {
    // Prompts with the teacher's own answers: a student that comes nearer finds them likelier.
    let compute = Compute::cpu();
    let (teacher, student) =
        (Base::zoo("llm-small", &compute).unwrap(), Base::zoo("dpm-small", &compute).unwrap());
    let prompts: Vec<String> = corpus::source_text(Stream::keyed(5, "texts"), 64, &[])
        .unwrap()
        .map(|example| example.prompt)
        .collect();
    let tokens: Vec<Vec<u32>> = prompts.iter().map(|prompt| teacher.tokenizer().encode(prompt)).collect();
    let answers = generate(&teacher, &[], &tokens, 20, &Sampling::Greedy, &|_| false);
    let answers = answers.iter().map(|answer| teacher.tokenizer().decode(&answer.tokens));
    let texts: Vec<(String, String)> = prompts.into_iter().zip(answers).collect();
    let steps = DistillSteps { steps: 30, batch: 16, lr: 3e-4, seed: 1 };
    let distilled = distill(&student, &teacher, &texts, steps).unwrap();
    assert_ne!(distilled.digest(), student.digest());
    let nothing = LoraSpec { rank: 1, alpha: 1.0, targets: Vec::new(), modules_to_save: Vec::new() };
    let loss = |base: &Base| -> f64 {
        let layout = Layout::lora(base.spec(), &nothing);
        let sequences: Vec<Sequence> =
            texts.iter().map(|(p, a)| Sequence::encode(base.tokenizer(), p, a, 96).unwrap()).collect();
        answer_losses(base, &[(&layout, &[])], &sequences.iter().collect::<Vec<_>>()).iter().sum()
    };
    let (before, after) = (loss(&student), loss(&distilled));
    assert!(after < before, "loss on the teacher's texts: {before} before, {after} after");
}

#[test]
fn a_teacher_with_another_tokenizer_is_refused() {
    let compute = Compute::cpu();
    let (teacher, student) =
        (Base::zoo("slm-gpt2-small", &compute).unwrap(), Base::zoo("dpm-small", &compute).unwrap());
    let steps = DistillSteps { steps: 1, batch: 1, lr: 1e-3, seed: 1 };
    let error = distill(&student, &teacher, &[("Q: a\nA:".into(), " b".into())], steps).unwrap_err();
    assert!(error.to_string().contains("tokenizer"), "{error}");
}
