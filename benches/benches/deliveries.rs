//! What it costs to tell an actor something: through the scheduler, in the order of virtual time, and beside it a bare
//! `send().await` of actix to as many actors on one arbiter.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use actix::prelude::*;
use cotune_benches::idle_fleet;
use cotune_world::deliver_nothing;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

/// Deliveries in one measurement: ten to every actor of the larger fleet, so that starting them weighs little.
const MESSAGES: u64 = 1_000_000;

/// A message of the size of a small event.
#[derive(Message)]
#[rtype(result = "u64")]
struct Tell(u64);

/// An actor that counts what it is told.
struct Listener {
    told: u64,
    sum: Arc<AtomicU64>,
}

impl Actor for Listener {
    type Context = Context<Self>;
}

impl Handler<Tell> for Listener {
    type Result = u64;

    fn handle(&mut self, Tell(what): Tell, _context: &mut Self::Context) -> u64 {
        self.told += 1;
        self.sum.fetch_add(what, Ordering::Relaxed);
        self.told
    }
}

/// Starts the actors and tells them something in turn.
fn bare(actors: u64) -> u64 {
    System::new().block_on(async move {
        let sum = Arc::new(AtomicU64::new(0));
        let listeners: Vec<Addr<Listener>> =
            (0..actors).map(|_| Listener { told: 0, sum: Arc::clone(&sum) }.start()).collect();
        for what in 0..MESSAGES {
            listeners[(what % actors) as usize].send(Tell(what)).await.expect("the listener lives");
        }
        sum.load(Ordering::Relaxed)
    })
}

fn deliveries(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("deliveries");
    group.sample_size(10).throughput(Throughput::Elements(MESSAGES));
    for actors in [1_000, 100_000] {
        group.bench_function(format!("bare actix, {actors} actors"), |bencher| bencher.iter(|| bare(actors)));
        let plan = idle_fleet(actors);
        group.bench_function(format!("cotune, {actors} actors"), |bencher| {
            bencher.iter(|| deliver_nothing(Arc::clone(&plan), MESSAGES / actors).expect("nothing can fail"));
        });
    }
    group.finish();
}

criterion_group!(benches, deliveries);
criterion_main!(benches);
