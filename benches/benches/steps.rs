//! What a step costs, at the sizes at which `benches/peers/torch_steps.py` measures PyTorch: in processor time on the CPU, by
//! the clock on another device, which `DEVICE` names. Each case is a process of its own, which prints a line of JSON;
//! `benches/peers/steps.sh` runs both sides and writes the table.
//!
//! `steps CASE [REPEATS]`, where a case is `full d128`, `lora d128`, `mutual d128`, `generate 16`, …

#![expect(clippy::disallowed_methods, reason = "a bench looks at the clock")]

use std::hint::black_box;
use std::time::Instant;

use cotune_benches::resident_mib;
use cotune_benches::sized::{
    BATCH, Couple, Devices, TIME, compute, layout, model, random_batch, short_texts, sizes, tokens_of_two,
};
use cotune_models::align::{Vocab, VocabMap, warp};
use cotune_models::cores::Cores;
use cotune_models::device::Compute;
use cotune_models::generate::{Sampling, generate};
use cotune_models::kernels::timed::{Passes, Work, operations, wait};
use cotune_models::learner::Learner;
use cotune_models::metrics::Scorer;
use cotune_models::optimizer::AdamW;
use cotune_models::tokenizer::Tokenizer;

/// As the binary does.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

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
        ["stacked", size, ..] => devices(size, false, repeats(10)),
        ["stack", size, ..] => devices(size, true, repeats(10)),
        ["mutual", ..] => mutual(repeats(8)),
        ["dtw", ..] => warping(),
        ["rouge", ..] => rouge(),
        ["tokens"] => tokens_of_two().iter().for_each(|tokens| println!("{}", tokens.join(" "))),
        ["device"] => println!("{}", compute().describe()),
        ["texts"] => short_texts().iter().for_each(|text| println!("{text}")),
        ["head", ..] => head(repeats(30)),
        ["vocabulary", teacher, student] => vocabulary(teacher, student),
        ["generate", batch, ..] => write(batch.parse().expect("a number of texts"), repeats(5)),
        _ => println!(
            "steps full|lora|stacked|stack d64|d128|d256 [N] | mutual d128 [N] | generate 1|16 [N] | head d128 [N] | dtw | rouge | \
             texts | tokens | device | vocabulary TEACHER.json STUDENT.json"
        ),
    }
}

/// One step of AdamW on the cross-entropy of every token, of all weights or of LoRA at rank 8 on query, key, value and
/// output.
fn train(size: &str, lora: bool, steps: usize) {
    let base = model(size);
    let (layout, start) = layout(&base, lora);
    let batch = random_batch(&base, 1, [BATCH, TIME]);
    let mut learner = Learner::new(&base, &layout, &start, AdamW::default());
    let case = format!("{} {size}", if lora { "lora" } else { "full" });
    measure(&Case::new(&case, steps, batch.computed_tokens()), || learner.tune(batch.clone(), 1e-3));
    assert!(learner.latest_loss().is_finite());
}

/// One step each of eight devices that share a base, one after the other or as one batch.
fn devices(size: &str, as_one: bool, steps: usize) {
    let devices = Devices::new(size);
    let mut learners = devices.learners();
    let case = format!("stacked {size}{}", if as_one { ", as one batch" } else { "" });
    measure(&Case::new(&case, steps, devices.tokens()), || match as_one {
        true => devices.stacked(&mut learners),
        false => devices.separately(&mut learners),
    });
}

/// One step of mutual learning of two models with different tokenizers, every weight trained, K = 16.
fn mutual(steps: usize) {
    let couple = Couple::new("d128");
    let mut learners = couple.learners();
    let more = format!(", \"aligned_rows\": {:?}", couple.aligned());
    let case = Case { more, ..Case::new("mutual d128", steps, couple.tokens()) };
    measure(&case, || couple.step(&mut learners));
    assert!(learners.iter().all(|learner| learner.latest_loss().is_finite()));
}

/// Greedy texts of a fixed length with a cache.
fn write(texts: usize, steps: usize) {
    let base = model("d128");
    let (prompt, new) = WRITTEN;
    let vocab = base.spec().vocab;
    let prompts: Vec<Vec<u32>> =
        (0..texts).map(|t| (0..prompt).map(|i| ((7919 * i + 131 * t) % vocab) as u32).collect()).collect();
    measure(&Case::new(&format!("generate {texts}"), steps, (texts * new) as u64), || {
        let written = generate(&base, &[], black_box(&prompts), new, &Sampling::Greedy, &|_| false);
        assert!(written.iter().all(|text| text.tokens.len() == new), "no text ends early");
    });
}

/// Dynamic time warping of 128 tokens of one tokenizer onto 128 of another.
fn warping() {
    let [a, b] = tokens_of_two();
    measure(&Case::on_host("dtw of 128 tokens (texts)", 10, 1000), || {
        (0..1000).for_each(|_| drop(black_box(warp(black_box(&a), &b))));
    });
}

/// Rouge-L with stems, of every text against every other.
fn rouge() {
    let texts = short_texts();
    measure(&Case::on_host("rouge (pairs)", 20, (texts.len() * texts.len()) as u64), || {
        let mut scorer = Scorer::new(true);
        for prediction in &texts {
            let scores = texts.iter().map(|reference| scorer.rouge_l(prediction, &[reference]));
            black_box(scores.sum::<f64>());
        }
    });
}

/// Cross-entropy and divergence of `d128`'s logits with their gradient; and on the CPU, reading and writing as many values
/// once.
fn head(steps: usize) {
    let sizes = sizes("d128");
    let operations = operations(sizes, compute());
    let name = "head, cross-entropy and top-16 divergence";
    let head = operations.iter().find(|timed| timed.operation == name).expect("it is one of them");
    let rows = (BATCH * TIME) as u64;
    let case = |name| Case::new(name, steps, rows);
    measure_prepared(&case("head, forward"), || head.prepare(Passes::Forward));
    measure_prepared(&case("head, forward and backward"), || head.prepare(Passes::Both));
    if !compute().is_cpu() {
        return;
    }
    measure_prepared(&case("logits read and written"), || {
        let mut logits = vec![1.0_f32; BATCH * TIME * sizes.vocab];
        Box::new(move || {
            logits.iter_mut().for_each(|z| *z *= 0.5);
            drop(black_box(logits));
        })
    });
}

/// The map of two vocabularies by edit distance, on this thread, and on two cores.
fn vocabulary(teacher: &str, student: &str) {
    let [teacher, student] = [teacher, student].map(|path| {
        Tokenizer::from_json(std::fs::read(path).expect("the file is there")).expect("it is a tokenizer")
    });
    let map =
        |cores: &Cores| assert!(!VocabMap::new(&teacher, &student, Vocab::Edit, cores).as_slice().is_empty());
    let tokens = teacher.vocab_size() as u64;
    measure(&Case::on_host("vocabulary map (tokens)", 5, tokens), || map(&Cores::none()));
    let two = Case::on_host("vocabulary map on two cores", 5, tokens);
    let cpu = Compute::cpu();
    measure(&Case { clock: Clock::Wall(&cpu), ..two }, || map(&Cores::new(1)));
}

/// What is measured.
struct Case<'c> {
    name: &'c str,
    /// Steps that are timed.
    steps: usize,
    /// Tokens of a step, or what else its speed is told in.
    tokens: u64,
    clock: Clock<'c>,
    /// Further fields of its line.
    more: String,
}

/// How time is taken.
enum Clock<'c> {
    /// Processor time of this thread: the other work of a machine does not count.
    Thread,
    /// By the clock on the wall, once a device has done all that it was given.
    Wall(&'c Compute),
}

impl<'c> Case<'c> {
    /// Work for the device that `DEVICE` names.
    fn new(name: &'c str, steps: usize, tokens: u64) -> Self {
        let clock = if compute().is_cpu() { Clock::Thread } else { Clock::Wall(compute()) };
        Self { clock, ..Self::on_host(name, steps, tokens) }
    }

    /// Work for this thread, whatever the device.
    fn on_host(name: &'c str, steps: usize, tokens: u64) -> Self {
        Self { name, steps, tokens, clock: Clock::Thread, more: String::new() }
    }
}

/// Runs `step` and prints the median time of one, and the memory that the steps of a thread added at most.
fn measure(case: &Case<'_>, mut step: impl FnMut()) {
    timed(case, || (), |()| step());
}

/// The same of work that is prepared anew for every step, untimed.
fn measure_prepared(case: &Case<'_>, prepare: impl FnMut() -> Work) {
    timed(case, prepare, |work| work());
}

fn timed<P>(case: &Case<'_>, mut prepare: impl FnMut() -> P, mut step: impl FnMut(P)) {
    let before = matches!(case.clock, Clock::Thread).then(|| {
        forget_peak();
        resident_mib()
    });
    (0..WARM).for_each(|_| step(prepare()));
    let first = Instant::now();
    let now = || match case.clock {
        Clock::Thread => processor_seconds(),
        Clock::Wall(device) => {
            wait(device);
            first.elapsed().as_secs_f64()
        }
    };
    let mut seconds: Vec<f64> = (0..case.steps)
        .map(|_| {
            let prepared = prepare();
            let begun = now();
            step(prepared);
            now() - begun
        })
        .collect();
    seconds.sort_by(f64::total_cmp);
    let (name, median) = (case.name, seconds[case.steps / 2]);
    let peak = before.map_or_else(|| "null".to_owned(), |mib| format!("{:.1}", status_mib("VmHWM:") - mib));
    println!(
        "{{\"side\": \"cotune\", \"case\": \"{name}\", \"ms\": {:.3}, \"tokens_per_s\": {:.0}, \"step_mib\": {peak}{}}}",
        median * 1e3,
        case.tokens as f64 / median,
        case.more
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
