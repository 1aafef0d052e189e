//! Every operation of a decoder at three sizes, forward, and forward and backward; elements are the values that go in.

use cotune_benches::sized::{SIZES, sizes};
use cotune_models::kernels::timed::{Passes, operations};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};

fn all(criterion: &mut Criterion) {
    for size in SIZES {
        let mut group = criterion.benchmark_group(format!("operation {size}"));
        group.sample_size(20);
        for timed in operations(sizes(size)) {
            group.throughput(Throughput::Elements(timed.values));
            let passes: &[_] = match timed.learns {
                true => &[("forward", Passes::Forward), ("forward and backward", Passes::Both)],
                false => &[("alone", Passes::Forward)],
            };
            for (name, passes) in passes {
                group.bench_function(format!("{}/{name}", timed.operation), |bencher| {
                    bencher.iter_batched(|| timed.prepare(*passes), |work| work(), BatchSize::PerIteration);
                });
            }
        }
        group.finish();
    }
}

criterion_group!(operations_alone, all);
criterion_main!(operations_alone);
