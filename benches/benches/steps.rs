//! What a step costs in processor time, at the sizes at which `benches/peers/torch_steps.py` measures PyTorch. Each case is
//! a process of its own, which prints one line of JSON; `benches/peers/steps.sh` runs both sides and writes the table.
//!
//! `steps CASE [REPEATS]`, where a case is `full d128`, `lora d128`, `mutual d128`, `generate 16`, …

use std::hint::black_box;

use cotune_benches::resident_mib;
use cotune_kernel::Stream;
use cotune_models::adapter::{Layout, LoraSpec, Target};
use cotune_models::align::{AlignSpec, Aligner, CachedAligner, Vocab, VocabMap, warp};
use cotune_models::base::{Base, HostWeights};
use cotune_models::batch::{Batch, Sequence};
use cotune_models::corpus::Example;
use cotune_models::device::Compute;
use cotune_models::generate::{Sampling, generate};
use cotune_models::kernels::head::Divergence;
use cotune_models::kernels::timed::{Passes, Sizes, Work, operations};
use cotune_models::learner::{Distillation, Learner, Trained};
use cotune_models::metrics::Scorer;
use cotune_models::mutual::{Combine, MutualRule, Pooling, Side, Update, mutual_step};
use cotune_models::optimizer::AdamW;
use cotune_models::spec::{DecoderSpec, Family};
use cotune_models::tokenizer::Tokenizer;

/// As the binary does.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Sequences and tokens of a step.
const BATCH: usize = 16;
const TIME: usize = 128;
/// Devices on one base, and the sequences and tokens of a step of each.
const DEVICES: usize = 8;
const DEVICE_SHAPE: [usize; 2] = [8, 64];
/// Prompt and new tokens of generation.
const WRITTEN: (usize, usize) = (32, 96);
/// Steps that are not timed.
const WARM: usize = 2;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let repeats = |default| words.get(2).map_or(default, |n| n.parse().expect("a number of steps"));
    match words.as_slice() {
        ["full", size, ..] => train(size, false, repeats(10)),
        ["lora", size, ..] => train(size, true, repeats(10)),
        ["stacked", size, ..] => stacked(size, repeats(10)),
        ["mutual", ..] => mutual(repeats(8)),
        ["dtw", ..] => warping(),
        ["rouge", ..] => rouge(),
        ["texts"] => rouge_texts().iter().for_each(|text| println!("{text}")),
        ["head", ..] => head(repeats(30)),
        ["vocabulary", teacher, student] => vocabulary(teacher, student),
        ["generate", batch, ..] => write(batch.parse().expect("a number of texts"), repeats(5)),
        _ => println!(
            "steps full|lora|stacked d64|d128|d256 [N] | mutual d128 [N] | generate 1|16 [N] | head d128 [N] | dtw | rouge | \
             texts | vocabulary TEACHER.json STUDENT.json"
        ),
    }
}

/// Vocabulary, width, layers and heads of one of the three sizes.
fn shape(size: &str) -> (usize, usize, usize, usize) {
    match size {
        "d64" => (512, 64, 2, 4),
        "d128" => (2048, 128, 4, 4),
        "d256" => (4096, 256, 6, 8),
        other => panic!("`{other}` is none of d64, d128, d256"),
    }
}

/// Inner width of an MLP.
fn mlp(width: usize) -> usize {
    width * 8 / 3 / 16 * 16
}

/// A LLaMA of one of the three sizes with random weights; nothing makes it end a text.
fn model(size: &str, vocab: Option<usize>, tokenizer: Tokenizer) -> Base {
    let (usual, width, layers, heads) = shape(size);
    let vocab = vocab.unwrap_or(usual);
    let spec = DecoderSpec::of(Family::Llama, vocab, width, layers, heads, mlp(width), TIME + 64);
    let end = tokenizer.eos() as usize;
    let host: HostWeights = spec
        .tensors()
        .into_iter()
        .map(|(name, shape)| {
            let mut stream = Stream::keyed(1, &name);
            let sd = if name == "embedding" { 1.0 } else { 1.0 / (shape[0] as f64).sqrt() };
            let mut values: Vec<f32> =
                (0..shape.iter().product()).map(|_| (sd * stream.normal()) as f32).collect();
            if name.ends_with(".gain") {
                values.fill(1.0);
            }
            if name == "head.weight" {
                values.chunks_mut(vocab).for_each(|row| row[end] = 0.0);
            }
            (name, values)
        })
        .collect();
    Base::new(size, spec, tokenizer, &host, &Compute::cpu())
}

fn small_tokenizer() -> Tokenizer {
    Tokenizer::train_byte_level(["where is the lamp"], 262).expect("it can be trained")
}

fn layout(base: &Base, lora: bool) -> (Layout, Trained) {
    let targets = vec![Target::Q, Target::K, Target::V, Target::O];
    let layout = match lora {
        true => {
            let lora = LoraSpec { rank: 8, alpha: 16.0, targets, modules_to_save: Vec::new() };
            Layout::lora(base.spec(), &lora)
        }
        false => Layout::full(base.spec()),
    };
    let values = layout.init(&mut Stream::keyed(1, "bench"), |tensor| base.host_values(tensor));
    (layout, Trained { values, ..Trained::default() })
}

/// Random tokens, all but the first of each sequence predicted.
fn random_batch(base: &Base, seed: u64, [sequences, time]: [usize; 2]) -> Batch {
    let mut stream = Stream::keyed(seed, "text");
    let mut ids =
        |n: usize| (0..n).map(|_| stream.below(base.spec().vocab as u64) as u32).collect::<Vec<u32>>();
    let text: Vec<Sequence> =
        (0..sequences).map(|_| Sequence { prompt: ids(1), answer: ids(time) }).collect();
    Batch::pack(&text.iter().collect::<Vec<_>>(), base.pad())
}

/// One step of AdamW on the cross-entropy of every token, of all weights or of LoRA at rank 8 on query, key, value and
/// output.
fn train(size: &str, lora: bool, steps: usize) {
    let base = model(size, None, small_tokenizer());
    let (layout, start) = layout(&base, lora);
    let batch = random_batch(&base, 1, [BATCH, TIME]);
    let mut learner = Learner::new(&base, &layout, &start, AdamW::default());
    let case = format!("{} {size}", if lora { "lora" } else { "full" });
    measure(&case, steps, batch.computed_tokens(), || learner.tune(batch.clone(), 1e-3));
    assert!(learner.latest_loss().is_finite());
}

/// One step each of eight devices that share a base, LoRA as in [`train`].
fn stacked(size: &str, steps: usize) {
    let base = model(size, None, small_tokenizer());
    let (layout, start) = layout(&base, true);
    let batches: Vec<Batch> =
        (0..DEVICES).map(|device| random_batch(&base, device as u64, DEVICE_SHAPE)).collect();
    let mut learners: Vec<Learner> =
        (0..DEVICES).map(|_| Learner::new(&base, &layout, &start, AdamW::default())).collect();
    let tokens = batches.iter().map(Batch::computed_tokens).sum();
    measure(&format!("stacked {size}"), steps, tokens, || {
        for (learner, batch) in learners.iter_mut().zip(&batches) {
            learner.tune(batch.clone(), 1e-3);
        }
    });
}

/// One step of mutual learning of two models with different tokenizers, every weight trained, K = 16.
fn mutual(steps: usize) {
    let texts = texts();
    let tokenizer = |vocab| {
        Tokenizer::train_byte_level(texts.iter().map(String::as_str), vocab).expect("it can be trained")
    };
    let models = [(2048, 600), (1536, 400)].map(|(vocab, trained)| {
        let tokenizer = tokenizer(trained);
        let text: Vec<Sequence> = texts[..BATCH]
            .iter()
            .map(|text| {
                let mut ids = tokenizer.encode(text);
                ids.truncate(TIME + 1);
                let answer = ids.split_off(1);
                Sequence { prompt: ids, answer }
            })
            .collect();
        (model("d128", Some(vocab), tokenizer), text)
    });
    let [(a, text_a), (b, text_b)] = &models;
    let aligner = |teacher: &Base, student: &Base| {
        CachedAligner::new(Aligner::new(teacher.tokenizer(), student.tokenizer(), AlignSpec::default()))
    };
    let (to_a, to_b) = (aligner(b, a), aligner(a, b));
    let ((layout_a, start_a), (layout_b, start_b)) = (layout(a, false), layout(b, false));
    let mut of_a = Learner::new(a, &layout_a, &start_a, AdamW::default());
    let mut of_b = Learner::new(b, &layout_b, &start_b, AdamW::default());
    let rule = MutualRule {
        pooling: Pooling { top_k: 16, rest: false, temperature: 1.0 },
        distillation: Distillation { kind: Divergence::Forward, temperature: 1.0 },
        combine: Combine::Additive,
        update: Update::Simultaneous,
    };
    let tokens = text_a.iter().chain(text_b).map(|s| s.len() as u64 - 1).sum();
    measure("mutual d128", steps, tokens, || {
        let side_a = Side {
            learner: &mut of_a,
            sequences: text_a.iter().collect(),
            from_other: &to_a,
            weight: 1.0,
            extra: None,
            teaches_with: None,
            lr: 1e-3,
        };
        let side_b = Side {
            learner: &mut of_b,
            sequences: text_b.iter().collect(),
            from_other: &to_b,
            weight: 1.0,
            extra: None,
            teaches_with: None,
            lr: 1e-3,
        };
        mutual_step(side_a, side_b, &rule);
    });
    assert!(of_a.latest_loss().is_finite() && of_b.latest_loss().is_finite());
}

/// Greedy texts of a fixed length with a cache.
fn write(texts: usize, steps: usize) {
    let base = model("d128", None, small_tokenizer());
    let (prompt, new) = WRITTEN;
    let vocab = base.spec().vocab;
    let prompts: Vec<Vec<u32>> =
        (0..texts).map(|t| (0..prompt).map(|i| ((7919 * i + 131 * t) % vocab) as u32).collect()).collect();
    measure(&format!("generate {texts}"), steps, (texts * new) as u64, || {
        let written = generate(&base, &[], black_box(&prompts), new, &Sampling::Greedy, &|_| false);
        assert!(written.iter().all(|text| text.tokens.len() == new), "no text ends early");
    });
}

/// Texts of the builtin corpus, some thirty questions each.
fn texts() -> Vec<String> {
    let text = |chunk: &[Example]| chunk.iter().map(|q| format!("{} {} ", q.prompt, q.answer())).collect();
    cotune_benches::questions(600).chunks(30).map(text).collect()
}

/// Dynamic time warping of 128 tokens of one tokenizer onto 128 of another.
fn warping() {
    let texts = texts();
    let strings = |vocab| -> Vec<String> {
        let tokenizer = Tokenizer::train_byte_level(texts.iter().map(String::as_str), vocab);
        let tokenizer = tokenizer.expect("it can be trained");
        let ids = tokenizer.encode(&texts[0]);
        ids[..TIME].iter().map(|id| tokenizer.token_text(*id).to_owned()).collect()
    };
    let (a, b) = (strings(600), strings(400));
    measure("dtw of 128 tokens (a thousand)", 10, 1000, || {
        (0..1000).for_each(|_| drop(black_box(warp(black_box(&a), &b))));
    });
}

/// Texts of some eighty words.
fn rouge_texts() -> Vec<String> {
    let words = |text: &String| text.split_whitespace().take(82).collect::<Vec<_>>().join(" ");
    texts().iter().map(words).collect()
}

/// Rouge-L with stems, of every text against every other.
fn rouge() {
    let texts = rouge_texts();
    measure("rouge (pairs)", 20, (texts.len() * texts.len()) as u64, || {
        let mut scorer = Scorer::new(true);
        for prediction in &texts {
            let scores = texts.iter().map(|reference| scorer.rouge_l(prediction, &[reference]));
            black_box(scores.sum::<f64>());
        }
    });
}

/// Cross-entropy and divergence of `d128`'s logits with their gradient; and reading and writing as many values once.
fn head(steps: usize) {
    let (vocab, width, _, heads) = shape("d128");
    let sizes = Sizes { sequences: BATCH, time: TIME, width, heads, mlp: mlp(width), vocab, rank: 8 };
    let operations = operations(sizes);
    let name = "head, cross-entropy and top-16 divergence";
    let head = operations.iter().find(|timed| timed.operation == name).expect("it is one of them");
    let rows = (BATCH * TIME) as u64;
    measure_prepared("head, forward", steps, rows, || head.prepare(Passes::Forward));
    measure_prepared("head, forward and backward", steps, rows, || head.prepare(Passes::Both));
    measure_prepared("logits read and written", steps, rows, || {
        let mut logits = vec![1.0_f32; BATCH * TIME * vocab];
        Box::new(move || {
            logits.iter_mut().for_each(|z| *z *= 0.5);
            drop(black_box(logits));
        })
    });
}

/// The map of two vocabularies by edit distance.
fn vocabulary(teacher: &str, student: &str) {
    let [teacher, student] = [teacher, student].map(|path| {
        Tokenizer::from_json(std::fs::read(path).expect("the file is there")).expect("it is a tokenizer")
    });
    measure("vocabulary map (tokens)", 1, teacher.vocab_size() as u64, || {
        black_box(VocabMap::new(&teacher, &student, Vocab::Edit));
    });
}

/// Runs `step` and prints the median processor time of one, and the memory that the steps added at most.
fn measure(case: &str, steps: usize, tokens: u64, mut step: impl FnMut()) {
    timed(case, steps, tokens, || (), |()| step());
}

/// The same of work that is prepared anew for every step, untimed.
fn measure_prepared(case: &str, steps: usize, tokens: u64, prepare: impl FnMut() -> Work) {
    timed(case, steps, tokens, prepare, |work| work());
}

fn timed<P>(case: &str, steps: usize, tokens: u64, mut prepare: impl FnMut() -> P, mut step: impl FnMut(P)) {
    forget_peak();
    let before = resident_mib();
    (0..WARM).for_each(|_| step(prepare()));
    let mut seconds: Vec<f64> = (0..steps)
        .map(|_| {
            let prepared = prepare();
            let begun = processor_seconds();
            step(prepared);
            processor_seconds() - begun
        })
        .collect();
    seconds.sort_by(f64::total_cmp);
    let median = seconds[steps / 2];
    let peak = status_mib("VmHWM:") - before;
    println!(
        "{{\"side\": \"cotune\", \"case\": \"{case}\", \"ms\": {:.3}, \"tokens_per_s\": {:.0}, \"step_mib\": {peak:.1}}}",
        median * 1e3,
        tokens as f64 / median
    );
}

/// Has the kernel count the peak of memory from here: what it took to make a model is no part of a step.
fn forget_peak() {
    std::fs::write("/proc/self/clear_refs", "5")
        .expect("a Linux kernel that lets a process reset its own peak");
}

/// Processor time of this thread \[s\]; the other work of a machine does not count.
fn processor_seconds() -> f64 {
    // The kernel brings its account up to date when a thread gives way, or else at its next tick, milliseconds later.
    std::thread::yield_now();
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("a Linux kernel with schedstat");
    let nanoseconds = text.split_whitespace().next().and_then(|ns| ns.parse::<f64>().ok());
    nanoseconds.expect("its first number is the time on a processor") / 1e9
}

fn status_mib(key: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("a Linux kernel");
    let line = status.lines().find_map(|line| line.strip_prefix(key)).expect("it is listed");
    line.trim().trim_end_matches(" kB").parse::<f64>().expect("a number") / 1024.0
}
