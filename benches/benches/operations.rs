//! Every operation of a decoder at three sizes, forward, and forward and backward; elements are the values that go in.
//! `DEVICE` names where.

use cotune_benches::sized::{SIZES, compute, sizes};
use cotune_models::kernels::timed::{Passes, Work, operations, wait};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};

fn all(criterion: &mut Criterion) {
    for size in SIZES {
        let mut group = criterion.benchmark_group(format!("operation {size}"));
        group.sample_size(20);
        for timed in operations(sizes(size), compute()) {
            group.throughput(Throughput::Elements(timed.values));
            let passes: &[_] = match timed.learns {
                true => &[("forward", Passes::Forward), ("forward and backward", Passes::Both)],
                false => &[("alone", Passes::Forward)],
            };
            for (name, passes) in passes {
                group.bench_function(format!("{}/{name}", timed.operation), |bencher| {
                    let work = |work: Work| {
                        work();
                        wait(compute());
                    };
                    bencher.iter_batched(|| timed.prepare(*passes), work, BatchSize::PerIteration);
                });
            }
        }
        group.finish();
    }
}

criterion_group!(operations_alone, all);
criterion_main!(operations_alone);
