//! What a run's wall time goes to: a step of cross-entropy, a step of mutual learning, and generation. `DEVICE` names where
//! models with random weights compute; those of the zoo are on the CPU.

use std::hint::black_box;

use cotune_benches::sized::{BATCH, Couple, Devices, SIZES, TIME, compute, layout, model, random_batch};
use cotune_benches::{Pupil, questions};
use cotune_models::align::{AlignSpec, Aligner, CachedAligner};
use cotune_models::batch::Batch;
use cotune_models::generate::{Sampling, generate};
use cotune_models::kernels::head::Divergence;
use cotune_models::kernels::timed::wait;
use cotune_models::learner::{Distillation, Learner};
use cotune_models::mutual::{Combine, MutualRule, Pooling, Side, Update, mutual_step};
use cotune_models::optimizer::AdamW;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};

/// One step of cross-entropy on sixteen questions; elements are tokens, padding included.
fn tune(criterion: &mut Criterion) {
    let questions = questions(BATCH);
    let mut group = criterion.benchmark_group("tune");
    for name in
        ["llm-small", "dpm-small", "slm-gpt2-small", "slm-llama-small", "slm-bloom-small", "llm", "dpm"]
    {
        let pupil = Pupil::new(name, &questions);
        let batch = Batch::pack(&pupil.text().iter().collect::<Vec<_>>(), pupil.base().tokenizer().pad());
        group.throughput(Throughput::Elements(batch.computed_tokens()));
        group.bench_function(name, |bencher| {
            bencher.iter_batched(
                || (pupil.learner(), batch.clone()),
                |(mut learner, batch)| {
                    learner.tune(batch, 1e-2);
                    learner
                },
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

/// One step of mutual learning of two models with different tokenizers; elements are questions.
fn mutual(criterion: &mut Criterion) {
    let questions = questions(BATCH);
    let rule = MutualRule {
        pooling: Pooling { top_k: 16, rest: false, temperature: 1.0 },
        distillation: Distillation { kind: Divergence::Forward, temperature: 1.0 },
        combine: Combine::Additive,
        update: Update::Simultaneous,
    };
    let mut group = criterion.benchmark_group("mutual");
    group.throughput(Throughput::Elements(BATCH as u64));
    for (one, other) in [("slm-gpt2-small", "dpm-small"), ("llm-small", "dpm-small"), ("slm-gpt2", "dpm")] {
        let (a, b) = (Pupil::new(one, &questions), Pupil::new(other, &questions));
        let (to_a, to_b) = (aligner(&b, &a), aligner(&a, &b));
        group.bench_function(format!("{one} and {other}"), |bencher| {
            bencher.iter_batched(
                || (a.learner(), b.learner()),
                |(mut of_a, mut of_b)| {
                    let side_a = Side {
                        learner: &mut of_a,
                        sequences: a.text().iter().collect(),
                        from_other: &to_a,
                        weight: 0.5,
                        extra: None,
                        teaches_with: None,
                        lr: 1e-2,
                    };
                    let side_b = Side {
                        learner: &mut of_b,
                        sequences: b.text().iter().collect(),
                        from_other: &to_b,
                        weight: 0.1,
                        extra: None,
                        teaches_with: None,
                        lr: 1e-2,
                    };
                    mutual_step(side_a, side_b, &rule);
                    (of_a.finish(), of_b.finish())
                },
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

fn aligner(teacher: &Pupil, student: &Pupil) -> CachedAligner {
    let (teacher, student) = (teacher.base().tokenizer(), student.base().tokenizer());
    CachedAligner::new(Aligner::new(teacher, student, AlignSpec::default()))
}

/// Thirty-two answers of at most sixteen tokens, greedily, with a cache: what an evaluation does; and one text and sixteen
/// of a larger decoder with random weights.
fn writing(criterion: &mut Criterion) {
    let questions = questions(32);
    let mut group = criterion.benchmark_group("generate");
    group.throughput(Throughput::Elements(32));
    group.sample_size(20);
    for name in ["llm-small", "dpm-small", "slm-gpt2-small", "slm-bloom-small"] {
        let pupil = Pupil::new(name, &questions);
        let prompts: Vec<Vec<u32>> = pupil.text().iter().map(|sequence| sequence.prompt.clone()).collect();
        let adapter = [pupil.adapter()];
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                generate(pupil.base(), &adapter, black_box(&prompts), 16, &Sampling::Greedy, &|_| false)
            });
        });
    }
    let base = model("d128");
    for texts in [1, 16] {
        let prompts = vec![vec![7; 32]; texts];
        group.throughput(Throughput::Elements(texts as u64));
        group.bench_function(format!("d128, {texts} at once"), |bencher| {
            bencher.iter(|| generate(&base, &[], black_box(&prompts), 96, &Sampling::Greedy, &|_| false));
        });
    }
    group.finish();
}

/// A step at three sizes with random weights, every weight and LoRA at rank 8, and one of mutual learning; elements are
/// tokens.
fn steps(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("step");
    group.sample_size(10);
    for size in SIZES {
        let base = model(size);
        let batch = random_batch(&base, 1, [BATCH, TIME]);
        group.throughput(Throughput::Elements(batch.computed_tokens()));
        for (name, lora) in [("full", false), ("lora", true)] {
            let (layout, start) = layout(&base, lora);
            let mut learner = Learner::new(&base, &layout, &start, AdamW::default());
            group.bench_function(format!("{name} {size}"), |bencher| {
                bencher.iter(|| {
                    learner.tune(black_box(batch.clone()), 1e-3);
                    wait(compute());
                });
            });
        }
        let couple = Couple::new(size);
        let mut learners = couple.learners();
        group.throughput(Throughput::Elements(couple.tokens()));
        group.bench_function(format!("mutual {size}"), |bencher| {
            bencher.iter(|| {
                couple.step(&mut learners);
                wait(compute());
            });
        });
    }
    group.finish();
}

/// A step of each of eight devices that share a base, one after the other and as one batch; elements are tokens.
fn devices(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("eight devices");
    group.sample_size(10);
    for size in SIZES {
        let devices = Devices::new(size);
        let mut learners = devices.learners();
        group.throughput(Throughput::Elements(devices.tokens()));
        group.bench_function(format!("separately {size}"), |bencher| {
            bencher.iter(|| {
                devices.separately(&mut learners);
                wait(compute());
            });
        });
        group.bench_function(format!("stacked {size}"), |bencher| {
            bencher.iter(|| {
                devices.stacked(&mut learners);
                wait(compute());
            });
        });
    }
    group.finish();
}

criterion_group!(learning, tune, mutual, writing, steps, devices);
criterion_main!(learning);
