//! The event queue under PHOLD (Fujimoto 1990): a fixed number of pending events, each of which schedules one
//! more after an exponential delay when it is due.

use cotune_kernel::{EventQueue, Stream, VirtualDuration, VirtualTime};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};

/// Events handled in one measurement.
const EVENTS: u64 = 100_000;

fn phold(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("phold");
    group.throughput(Throughput::Elements(EVENTS));
    for pending in [100, 10_000, 1_000_000] {
        group.bench_function(format!("{pending} pending"), |bencher| {
            bencher.iter_batched_ref(
                || full(pending),
                |(queue, stream)| {
                    for _ in 0..EVENTS {
                        let (key, event) = queue.pop().expect("the population is constant");
                        let after = VirtualDuration::from_secs_f64(stream.exponential());
                        queue.push_after(after, key.class, key.source, event);
                    }
                },
                BatchSize::LargeInput,
            );
        });
    }
    group.finish();
}

/// A queue with so many events, one for each source.
fn full(pending: u64) -> (EventQueue<u64>, Stream) {
    let (mut queue, mut stream) = (EventQueue::new(), Stream::keyed(1, "phold"));
    for source in 0..pending {
        queue.push(VirtualTime::from_secs_f64(stream.exponential()), 0, source, source);
    }
    (queue, stream)
}

criterion_group!(benches, phold);
criterion_main!(benches);
