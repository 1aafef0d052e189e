//! Scoring texts: Rouge-L of every pair of twenty texts of 82 words.

use std::hint::black_box;

use cotune_benches::sized::short_texts;
use cotune_models::metrics::Scorer;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

fn rouge_l(criterion: &mut Criterion) {
    let texts = short_texts();
    let mut group = criterion.benchmark_group("rouge-l");
    group.throughput(Throughput::Elements((texts.len() * texts.len()) as u64));
    for (name, stem) in [("with stems", true), ("without stems", false)] {
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let mut scorer = Scorer::new(stem);
                let scores = texts.iter().map(|text| scorer.rouge_l(black_box(text), &texts));
                scores.sum::<f64>()
            });
        });
    }
    group.finish();
}

criterion_group!(metrics, rouge_l);
criterion_main!(metrics);
