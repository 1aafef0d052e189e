//! The checkpoint `stories260K` of llama2.c: what it says after conversion is what llama2.c's own test expects.
//!
//! The files lie in the data folder (`COTUNE_DATA`); without them these tests say so and pass. Expected numbers were
//! computed from the file by an independent program in f64.

use cotune_models::base::Base;
use cotune_models::checkpoint::{Precision, Source, convert};
use cotune_models::device::Compute;
use cotune_models::generate::{Sampling, generate};
use cotune_models::score::score_ids;
use cotune_models::spec::Position;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// llama2.c's expected continuation of "Once upon a time", up to the end of the opening.
const OPENING: &str = "Once upon a time, there was a little girl named Lily. She loved to play outside in the park. One \
                       day, she saw a big, red ball.";

/// The log-probabilities of the opening's 44 tokens behind the first.
const LOGPROBS: [f32; 44] = [
    -0.243743, -0.017513, -0.012110, -0.000724, -0.031703, -0.068423, -0.015955, -0.000784, -0.493979,
    -0.445867, -0.004891, -0.000658, -0.018789, -0.076600, -0.070321, -0.103418, -0.232762, -0.000419,
    -0.082697, -0.532135, -0.891951, -0.001983, -0.000318, -0.000044, -0.000154, -0.406857, -0.177543,
    -0.988242, -0.033135, -0.001357, -0.635943, -0.067137, -0.013043, -0.004421, -0.369148, -1.120205,
    -0.049367, -1.284509, -1.514919, -1.641519, -0.505533, -0.563115, -0.229575, -1.306872,
];

fn files() -> Option<PathBuf> {
    let data = std::env::var_os("COTUNE_DATA")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"), PathBuf::from);
    let folder = data.join("checkpoints/stories260K");
    if folder.join("stories260K.bin").is_file() {
        return Some(folder);
    }
    println!("skipped: {} is not there", folder.display());
    None
}

fn converted(precision: Option<Precision>) -> Option<(TempDir, Base)> {
    let files = files()?;
    let folder = tempfile::tempdir().unwrap();
    let made = convert(
        Source::Llama2c(&files.join("stories260K.bin")),
        Some(&files.join("tok512.bin")),
        folder.path(),
        precision,
    );
    let made = made.unwrap();
    assert!(made.tokenizer && made.precision == precision.unwrap_or(Precision::F32));
    let base = Base::load(folder.path(), &Compute::cpu()).unwrap();
    Some((folder, base))
}

/// A text's ids behind the token with which every text begins.
fn ids(base: &Base, text: &str) -> Vec<u32> {
    [base.tokenizer().beginning(), &base.tokenizer().encode(text)].concat()
}

#[test]
fn the_opening_has_the_log_probabilities_of_the_file() {
    let Some((_folder, base)) = converted(None) else { return };
    let spec = base.spec();
    assert_eq!((spec.width, spec.mlp, spec.layers, spec.heads, spec.kv_heads), (64, 172, 5, 8, 4));
    assert_eq!((spec.vocab, spec.max_positions, spec.tied), (512, 512, true));
    assert!(matches!(spec.position, Position::Rotary(rotary) if !rotary.interleaved));
    assert_eq!(base.ends(), [1, 2]);
    let ids = ids(&base, OPENING);
    let logprobs = score_ids(&base, &[], &ids).logprobs;
    let worst = logprobs.iter().zip(LOGPROBS).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    let nll = -logprobs.iter().map(|p| f64::from(*p)).sum::<f64>() / logprobs.len() as f64;
    println!("{} tokens, {nll:.6} nats each, largest difference {worst:.1e}", logprobs.len());
    assert_eq!(logprobs.len(), LOGPROBS.len());
    assert!(worst < 1e-5, "{worst}");
    assert!((nll - 0.324).abs() < 1e-3, "{nll}");
}

#[test]
fn greedy_text_is_the_one_that_llama2c_expects() {
    let (Some(files), Some((_folder, base))) = (files(), converted(None)) else { return };
    let expected = std::fs::read_to_string(files.join("stories260K.md")).unwrap();
    let block = expected.split("-t 0.0\n").nth(1).and_then(|rest| rest.split("\n```").next()).unwrap();
    assert!(block.starts_with(OPENING) && block.len() > 500, "{block}");
    let continued = |prompt: &str| {
        let ids = ids(&base, prompt);
        let text = generate(&base, &[], std::slice::from_ref(&ids), 300, &Sampling::Greedy, &|_| false);
        base.tokenizer().decode(&[&ids[..], &text[0].tokens].concat())
    };
    // The token before every text is prompt enough.
    for prompt in ["Once upon a time", ""] {
        assert_eq!(continued(prompt)[..block.len()], *block);
    }
}

#[test]
fn tokens_are_those_of_llama2c() {
    let Some((_folder, base)) = converted(None) else { return };
    assert_eq!(ids(&base, "Once upon a time"), [1, 403, 407, 261, 378]);
    assert_eq!(ids(&base, OPENING)[..12], [1, 403, 407, 261, 378, 432, 383, 286, 261, 376, 298, 315]);
    assert_eq!(ids(&base, ""), [1]);
    for text in
        ["", " ", "  two  spaces ", "one\ntwo\n\n\tthree", "naïve “quotes” 日本語 🙂", "<0x0A> as letters"]
    {
        assert_eq!(base.tokenizer().decode(&base.tokenizer().encode(text)), text);
    }
}

#[test]
fn half_precision_loses_little_and_is_kept_on_the_way_back() {
    let Some((folder, base)) = converted(Some(Precision::Bf16)) else { return };
    let logprobs = score_ids(&base, &[], &ids(&base, OPENING)).logprobs;
    let nll = -logprobs.iter().map(|p| f64::from(*p)).sum::<f64>() / logprobs.len() as f64;
    println!("bf16: {nll:.6} nats a token");
    assert!((nll - 0.324).abs() < 0.02 && (nll - 0.324_100).abs() > 1e-6, "{nll}");
    let copy = folder.path().join("copy");
    let made = convert(Source::Folder(folder.path()), None, &copy, None).unwrap();
    assert_eq!(made.precision, Precision::Bf16);
    for file in ["config.json", "model.safetensors", "tokenizer.json"] {
        assert!(
            std::fs::read(copy.join(file)).unwrap() == std::fs::read(folder.path().join(file)).unwrap(),
            "{file}"
        );
    }
}
