//! PHOLD on nexosim: a model for every pending event, each of which schedules itself anew after an exponential delay.
//! Delays are drawn before the clock runs. Prints events per second for each population.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use nexosim::model::{Context, Model, schedulable};
use nexosim::simulation::{Mailbox, SimInit, SimulationError};
use nexosim::time::MonotonicTime;
use serde::{Deserialize, Serialize};

const EVENTS: usize = 1_000_000;
const DELAYS: usize = 1 << 16;

/// Exponential delays of a mean of one second.
static TABLE: OnceLock<Vec<Duration>> = OnceLock::new();

#[derive(Serialize, Deserialize)]
struct Source {
    next: usize,
}

#[Model]
impl Source {
    #[nexosim(init)]
    async fn init(&mut self, cx: &Context<Self>) {
        self.schedule(cx);
    }

    #[nexosim(schedulable)]
    async fn due(&mut self, _: (), cx: &Context<Self>) {
        self.schedule(cx);
    }

    fn schedule(&mut self, cx: &Context<Self>) {
        self.next = (self.next + 1) & (DELAYS - 1);
        let delay = TABLE.get().expect("main has drawn it")[self.next];
        cx.schedule_event(delay, schedulable!(Self::due), ()).expect("the delay is positive");
    }
}

fn main() -> Result<(), SimulationError> {
    TABLE.get_or_init(delays);
    let mut asked: Vec<usize> = std::env::args().skip(1).filter_map(|text| text.parse().ok()).collect();
    if asked.is_empty() {
        asked = vec![1_000, 100_000];
    }
    for pending in asked {
        let mut bench = SimInit::with_num_threads(1);
        for source in 0..pending {
            let next = source.wrapping_mul(7_919) & (DELAYS - 1);
            bench = bench.add_model(Source { next }, Mailbox::new(), "source");
        }
        let mut simulation = bench.init(MonotonicTime::EPOCH)?;
        let begun = Instant::now();
        for _ in 0..EVENTS {
            simulation.step()?;
        }
        let rate = EVENTS as f64 / begun.elapsed().as_secs_f64();
        println!("nexosim 1.0, {pending} pending: {rate:.0} events/s");
    }
    Ok(())
}

/// By inversion, from SplitMix64.
fn delays() -> Vec<Duration> {
    let mut state: u64 = 1;
    let mut uniform = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    };
    (0..DELAYS).map(|_| Duration::from_secs_f64(-(1.0 - uniform()).ln() + 1e-9)).collect()
}
