//! The event queue under PHOLD (Fujimoto 1990): a fixed number of pending events, each of which schedules one
//! more after an exponential delay when it is due. Beside it the same on a bare binary heap of the standard library, which
//! knows no sources, no cancelling and no keys: what order alone costs.
//!
//! Delays are drawn before the clock runs, so that both measure the queue and nothing else, and the population goes on from
//! one measurement to the next, so that it is the steady state that is measured. `peers/phold.sh` runs other
//! simulators on the same model.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use cotune_kernel::{EventQueue, Stream, VirtualDuration, VirtualTime};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

/// Events handled in one measurement.
const EVENTS: u64 = 100_000;
/// Delays drawn; a power of two.
const DELAYS: usize = 1 << 16;

fn phold(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("phold");
    group.throughput(Throughput::Elements(EVENTS));
    for pending in [1_000, 100_000, 1_000_000] {
        group.bench_function(format!("cotune, {pending} pending"), |bencher| {
            let (delays, mut queue) = (delays(), full(pending));
            bencher.iter(|| {
                for event in 0..EVENTS as usize {
                    let (key, payload) = queue.pop().expect("the population is constant");
                    let after = VirtualDuration::from_nanos(delays[event & (DELAYS - 1)]);
                    queue.push_after(after, key.class, key.source, payload);
                }
            });
        });
        group.bench_function(format!("bare heap, {pending} pending"), |bencher| {
            let (delays, mut heap) = (delays(), bare(pending));
            bencher.iter(|| {
                for event in 0..EVENTS as usize {
                    let Reverse((time, payload)) = heap.pop().expect("the population is constant");
                    heap.push(Reverse((time + delays[event & (DELAYS - 1)], payload)));
                }
            });
        });
    }
    group.finish();
}

/// Exponential delays of a mean of one second \[ns\].
fn delays() -> Vec<u64> {
    let mut stream = Stream::keyed(1, "phold/delays");
    (0..DELAYS).map(|_| VirtualDuration::from_secs_f64(stream.exponential()).as_nanos()).collect()
}

/// When the first events of a population are due \[ns\].
fn starts(pending: u64) -> impl Iterator<Item = (u64, u64)> {
    let mut stream = Stream::keyed(1, "phold");
    (0..pending).map(move |source| (VirtualTime::from_secs_f64(stream.exponential()).as_nanos(), source))
}

/// A queue with so many events, one for each source.
fn full(pending: u64) -> EventQueue<u64> {
    let mut queue = EventQueue::new();
    for (time, source) in starts(pending) {
        queue.push(VirtualTime::from_nanos(time), 0, source, source);
    }
    queue
}

/// A heap with the same events.
fn bare(pending: u64) -> BinaryHeap<Reverse<(u64, u64)>> {
    starts(pending).map(Reverse).collect()
}

criterion_group!(benches, phold);
criterion_main!(benches);
