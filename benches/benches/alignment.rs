//! Token alignment: building the map of two vocabularies, and aligning answers without the cache.

use std::hint::black_box;

use cotune_benches::sized::tokens_of_two;
use cotune_benches::{Pupil, questions};
use cotune_models::align::{Align, AlignSpec, Aligner, Vocab, warp};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

const BYTES: AlignSpec = AlignSpec {
    align: Align::Bytes,
    vocab: Vocab::FirstToken,
    fallback: cotune_models::align::Fallback::Off,
};
const DTW: AlignSpec =
    AlignSpec { align: Align::Dtw, vocab: Vocab::Edit, fallback: cotune_models::align::Fallback::Off };

fn alignment(criterion: &mut Criterion) {
    let questions = questions(256);
    let (teacher, student) = (Pupil::new("llm-small", &questions), Pupil::new("slm-llama-small", &questions));
    let tokenizers = (teacher.base().tokenizer(), student.base().tokenizer());

    let mut group = criterion.benchmark_group("vocabulary map");
    group.throughput(Throughput::Elements(tokenizers.0.vocab_size() as u64));
    for (name, spec) in [("first token", BYTES), ("edit distance", DTW)] {
        group.bench_function(name, |bencher| {
            bencher.iter(|| Aligner::new(black_box(tokenizers.0), tokenizers.1, spec));
        });
    }
    group.finish();

    let mut group = criterion.benchmark_group("align answers");
    group.throughput(Throughput::Elements(questions.len() as u64));
    for (name, spec) in [("bytes", BYTES), ("dtw", DTW)] {
        let aligner = Aligner::new(tokenizers.0, tokenizers.1, spec);
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let answers = teacher.text().iter().zip(student.text());
                answers.map(|(a, b)| aligner.align(&a.answer, &b.answer).pairs.len()).sum::<usize>()
            });
        });
    }
    group.finish();
}

/// Dynamic time warping of 128 tokens onto 128; elements are pairs of texts.
fn warping(criterion: &mut Criterion) {
    let [a, b] = tokens_of_two();
    let mut group = criterion.benchmark_group("dtw");
    group.throughput(Throughput::Elements(1));
    group.bench_function("128 tokens", |bencher| bencher.iter(|| warp(black_box(&a), black_box(&b))));
    group.finish();
}

criterion_group!(benches, alignment, warping);
criterion_main!(benches);
