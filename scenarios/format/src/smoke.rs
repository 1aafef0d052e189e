//! `--smoke`: the same scenario, small enough to see within seconds that it runs.

use crate::coordination::Coordination;
use crate::data::{Corpus, Portion, Split};
use crate::evaluation::Every;
use crate::models::Init;
use crate::scenario::Scenario;

const DEVICES: u64 = 10;
const ROUNDS: u64 = 2;
const STEPS: u32 = 4;
const PRIVATE_PER_DEVICE: u64 = 16;
/// Evaluation is most of a smoke run's time (chosen).
const PROMPTS_PER_DOMAIN: u32 = 4;
/// Relay prompts (chosen: one step's worth).
const RELAY_PROMPTS: u32 = 16;

impl Scenario {
    /// Shrinks the scenario and keeps its code path: at most 10 devices with every class present, 2 rounds,
    /// at most 4 steps of every kind, at most 16 private examples per device, no expectations. What only
    /// starts in a later round starts within the 2. Applied after all overrides.
    pub fn smoke(&mut self) {
        self.shrink_fleet();
        self.shrink_data();
        self.shrink_method();
        let devices = self.fleet.devices;
        match &mut self.coordination {
            Coordination::Sync(sync) => {
                sync.cohort = sync.cohort.min(devices);
                sync.min_updates = sync.min_updates.min(sync.cohort);
            }
            Coordination::Buffered(buffered) | Coordination::Async(buffered) => {
                buffered.concurrency = buffered.concurrency.min(devices);
                buffered.buffer = buffered.buffer.min(devices);
            }
        }
        self.evaluation.panel = self.evaluation.panel.min(devices);
        let prompts = self.evaluation.prompts_per_domain.unwrap_or(PROMPTS_PER_DOMAIN);
        self.evaluation.prompts_per_domain = Some(prompts.min(PROMPTS_PER_DOMAIN));
        if let Every::Rounds(rounds) = &mut self.evaluation.every {
            *rounds = (*rounds).min(ROUNDS);
        }
        self.budget.rounds = Some(self.budget.rounds.unwrap_or(ROUNDS).min(ROUNDS));
        self.expectations.clear();
    }

    /// Every class keeps a device; the others go by the classes' shares.
    fn shrink_fleet(&mut self) {
        let classes = self.fleet.classes.len() as u64;
        let devices = self.fleet.devices.min(DEVICES.max(classes));
        let before: Vec<u64> = self.fleet.class_counts().into_iter().map(|(_, count)| count).collect();
        let total = self.fleet.devices;
        let mut counts: Vec<u64> = before.iter().map(|count| (count * devices / total).max(1)).collect();
        // Hand out what is missing to those furthest below their share, and take back from those above.
        let lack = |counts: &[u64], index: usize| {
            before[index] as f64 * devices as f64 / total as f64 - counts[index] as f64
        };
        while counts.iter().sum::<u64>() != devices {
            let short = counts.iter().sum::<u64>() < devices;
            let furthest = (0..counts.len())
                .filter(|index| short || counts[*index] > 1)
                .max_by(|a, b| {
                    let (a, b) = (lack(&counts, *a), lack(&counts, *b));
                    if short { a.total_cmp(&b) } else { b.total_cmp(&a) }
                })
                .expect("there are at least as many devices as classes");
            if short { counts[furthest] += 1 } else { counts[furthest] -= 1 }
        }
        self.fleet.devices = devices;
        for (class, count) in self.fleet.classes.values_mut().zip(counts) {
            class.share = crate::units::tidy(count as f64 / devices as f64);
        }
    }

    fn shrink_data(&mut self) {
        let most = PRIVATE_PER_DEVICE * self.fleet.devices;
        self.data.private = Some(self.data.private.unwrap_or(most).min(most));
        // Enough to leave private examples beside the held-out parts, whatever these are.
        let shrink = |limit: &mut Option<u64>| *limit = Some(limit.unwrap_or(most * 10).min(most * 10));
        match &mut self.data.corpus {
            Corpus::Builtin(_) | Corpus::Sizes(_) => {}
            Corpus::Sources(sources) => sources.iter_mut().for_each(|source| shrink(&mut source.limit)),
            Corpus::Sni(tasks) => shrink(&mut tasks.limit),
        }
        if matches!(self.data.corpus, Corpus::Sources(_) | Corpus::Sni(_)) {
            for part in [&mut self.data.public, &mut self.data.validation, &mut self.data.test] {
                if let Portion::Count(count) = part {
                    *count = (*count).min(most);
                }
            }
        }
        match &mut self.data.split {
            Split::Dirichlet(dirichlet) => dirichlet.min = 1,
            Split::Shards(shards) => shards.size = None,
            _ => {}
        }
    }

    fn shrink_method(&mut self) {
        if let Some(fairness) = &mut self.fairness {
            fairness.steps = fairness.steps.min(STEPS);
        }
        let method = self.method.table_mut();
        for steps in method.steps_mut() {
            steps.tune = steps.tune.min(STEPS);
            steps.mutual = steps.mutual.min(STEPS);
        }
        if let Some(relay) = method.relay_mut() {
            relay.prompts = relay.prompts.min(RELAY_PROMPTS);
            relay.from_round.device = relay.from_round.device.min(ROUNDS as u32);
            relay.from_round.cloud = relay.from_round.cloud.min(ROUNDS as u32);
        }
        for model in self.models.values_mut() {
            if let Init::Distill(distill) = &mut model.init {
                distill.steps = distill.steps.min(STEPS);
            }
        }
    }
}
