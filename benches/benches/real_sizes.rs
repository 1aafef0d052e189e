//! Models of published sizes with random weights: how long they take to load, what they hold in memory, how fast an
//! adapter trains on them and how fast they write. Prints a table; every shape has a process of its own.
//!
//! `cargo bench --bench real_sizes` (4 GB of disk under the temporary folder, minutes).

#![expect(clippy::disallowed_methods, reason = "a bench looks at the clock")]

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use cotune_benches::resident_mib;
use cotune_kernel::Stream;
use cotune_models::adapter::{Layout, LoraSpec, Target};
use cotune_models::base::{Base, save_checkpoint};
use cotune_models::batch::{Batch, Sequence};
use cotune_models::checkpoint::Precision;
use cotune_models::device::Compute;
use cotune_models::generate::{Sampling, generate};
use cotune_models::learner::{Learner, Trained};
use cotune_models::optimizer::AdamW;
use cotune_models::spec::{DecoderSpec, Family};

/// Sequences and tokens of a training step.
const TRAINED: (usize, usize) = (4, 128);
/// Steps that are timed, after one that is not.
const STEPS: usize = 2;
/// Prompt and new tokens of generation.
const WRITTEN: (usize, usize) = (32, 32);
/// Devices on one base.
const DEVICES: usize = 1_000;

fn shapes() -> Vec<(&'static str, DecoderSpec)> {
    let smollm = DecoderSpec::of(Family::Llama, 49_152, 576, 30, 9, 1536, 8192);
    let qwen = DecoderSpec::of(Family::Qwen2, 151_936, 896, 24, 14, 4864, 32_768);
    vec![
        ("Pythia-70M", DecoderSpec::of(Family::GptNeox, 50_304, 512, 6, 8, 2048, 2048)),
        ("SmolLM2-135M", DecoderSpec { kv_heads: 3, ..smollm }),
        ("Qwen2.5-0.5B", DecoderSpec { kv_heads: 2, ..qwen }),
    ]
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, one, name, folder] = arguments.as_slice()
        && one == "one"
    {
        return measure(name, Path::new(folder));
    }
    // `cargo test --benches` asks only whether it starts.
    if arguments.iter().any(|argument| argument == "--test") {
        return;
    }
    println!(
        "| shape | weights | file MiB | load s | resident MiB | with {DEVICES} devices MiB | \
         LoRA training tokens/s | generation tokens/s, 1 text | 8 texts |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    let folder = std::env::temp_dir().join(format!("cotune-real-sizes-{}", std::process::id()));
    for (name, spec) in shapes() {
        for precision in [Precision::F16, Precision::F32] {
            write_random(&folder, &spec, precision);
            let this = std::env::current_exe().expect("a process knows its file");
            let status = Command::new(this).args(["one", name]).arg(&folder).status().expect("it starts");
            assert!(status.success(), "{name}");
            std::fs::remove_dir_all(&folder).expect("the folder was made here");
        }
    }
}

/// A checkpoint whose weights are normal with a standard deviation of 0.02, gains 1 and biases 0.
fn write_random(folder: &Path, spec: &DecoderSpec, precision: Precision) {
    let shapes = spec.tensors();
    let values = |tensor: &str| -> Vec<f32> {
        let (_, shape) = shapes.iter().find(|(name, _)| name == tensor).expect("a tensor of the model");
        let n = shape.iter().product();
        let mut stream = Stream::keyed(1, tensor);
        match tensor.rsplit_once('.') {
            Some((_, "gain")) => vec![1.0; n],
            Some((_, "bias")) => vec![0.0; n],
            // A thousand normal values over and over: drawing half a billion takes longer than all that is measured.
            _ => {
                let drawn: Vec<f32> = (0..1009).map(|_| (0.02 * stream.normal()) as f32).collect();
                drawn.into_iter().cycle().take(n).collect()
            }
        }
    };
    save_checkpoint(folder, spec, None, precision, values).expect("the temporary folder can be written");
}

fn measure(name: &str, folder: &Path) {
    let before = resident_mib();
    let begun = Instant::now();
    let base = Base::load_bare(folder, &Compute::cpu()).expect("it was just written");
    let load = begun.elapsed().as_secs_f64();
    let resident = resident_mib() - before;
    let file = folder.join("model.safetensors");
    let file = std::fs::metadata(file).expect("it is there").len() as f64 / f64::from(1 << 20);

    let (training, one, eight) = (trained_tokens(&base), written_tokens(&base, 1), written_tokens(&base, 8));

    let targets = vec![Target::Q, Target::V];
    let lora = LoraSpec { rank: 8, alpha: 16.0, targets, modules_to_save: Vec::new() };
    let before_devices = resident_mib();
    let devices: Vec<(Base, Trained)> = (0..DEVICES)
        .map(|device| {
            let layout = Layout::lora(base.spec(), &lora);
            let mut stream = Stream::keyed(device as u64, "adapter");
            let values = layout.init(&mut stream, |tensor| base.host_values(tensor));
            (base.clone(), Trained { values, ..Trained::default() })
        })
        .collect();
    let with_devices = resident + resident_mib() - before_devices;
    let precision =
        if file < 3.0 * base.spec().parameters() as f64 / f64::from(1 << 20) { "f16" } else { "f32" };
    println!(
        "| {name} | {precision} | {file:.0} | {load:.1} | {resident:.0} | {with_devices:.0} | {training:.0} | \
         {one:.1} | {eight:.1} |"
    );
    drop(devices);
}

/// Tokens a second of LoRA training, rank 8 on every map.
fn trained_tokens(base: &Base) -> f64 {
    let mut targets = vec![Target::Q, Target::K, Target::V, Target::O, Target::Up, Target::Down];
    targets.push(Target::Gate);
    let lora = LoraSpec { rank: 8, alpha: 16.0, targets, modules_to_save: Vec::new() };
    let layout = Layout::lora(base.spec(), &lora);
    let values = layout.init(&mut Stream::keyed(1, "bench"), |tensor| base.host_values(tensor));
    let state = Trained { values, ..Trained::default() };
    let mut learner = Learner::new(base, &layout, &state, AdamW::default());
    let (sequences, tokens) = TRAINED;
    let ids =
        |stream: &mut Stream, n| (0..n).map(|_| stream.below(base.spec().vocab as u64) as u32).collect();
    let mut stream = Stream::keyed(1, "text");
    let text: Vec<Sequence> = (0..sequences)
        .map(|_| Sequence { prompt: ids(&mut stream, tokens / 2), answer: ids(&mut stream, tokens / 2 + 1) })
        .collect();
    let batch = Batch::pack(&text.iter().collect::<Vec<_>>(), base.pad());
    learner.tune(batch.clone(), 1e-3);
    let begun = Instant::now();
    for _ in 0..STEPS {
        learner.tune(batch.clone(), 1e-3);
    }
    (STEPS as u64 * batch.computed_tokens()) as f64 / begun.elapsed().as_secs_f64()
}

/// New tokens a second, greedy, all texts together.
fn written_tokens(base: &Base, texts: usize) -> f64 {
    let (prompt, new) = WRITTEN;
    let prompts: Vec<Vec<u32>> =
        (0..texts).map(|text| (0..prompt).map(|i| (7 * i + text + 3) as u32).collect()).collect();
    let begun = Instant::now();
    let written = generate(base, &[], &prompts, new, &Sampling::Greedy, &|_| false);
    written.iter().map(|text| text.tokens.len()).sum::<usize>() as f64 / begun.elapsed().as_secs_f64()
}
