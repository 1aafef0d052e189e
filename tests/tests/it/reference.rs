//! The methods in plain loops, written from the papers' equations: no actors, no queue, no network, no pool, one text at a
//! time, and of the models only weights and tokenizers. The simulation must come to their weights.
//!
//! | file | what is written down |
//! |---|---|
//! | `decoder.rs` | a decoder, its loss and AdamW, from primitive operations |
//! | `matching.rs` | rows and tokens of one model in terms of another's |
//! | `fedavg.rs`, `fedcollm.rs`, `fedmkt.rs` | the methods |

mod decoder;
mod fedavg;
mod fedcollm;
mod fedmkt;
mod matching;

use std::collections::BTreeMap;
use std::sync::Arc;

use cotune_kernel::Stream;
use cotune_models::batch::Sequence;
use cotune_models::kernels::head::SoftTargets;
use cotune_models::learner::Trained;
use cotune_models::optimizer::{AdamW, Schedule};
use cotune_record::{Digest, EventKind};
use cotune_tests::play;
use cotune_world::Plan;
use cotune_world::lab::LabModel;
use cotune_world::method::{CloudTask, DeviceTask, State, Update};
use decoder::{Decoder, adamw};

pub const ROUNDS: u32 = 2;
pub const BATCH: usize = 4;
pub const LR: f64 = 0.01;
pub const CLOUD_LR: f64 = 0.004;
pub const FLOOR: f64 = 0.15;
/// Large enough that a gradient which is nothing but rounding moves nothing.
pub const EPSILON: f64 = 1e-4;

/// The optimizer of all that follows, as a table's key.
pub fn optimizer() -> String {
    format!(
        "optimizer.adamw = {{ lr = {LR}, cloud_lr = {CLOUD_LR}, floor = {FLOOR}, schedule = \"cosine\", eps = {EPSILON} }}"
    )
}

/// The same as a rule.
fn rule() -> AdamW {
    AdamW { epsilon: EPSILON, ..AdamW::default() }
}

/// The learning rate of a round.
pub fn rate(first: f64, round: u32) -> f64 {
    first * Schedule::Cosine.factor(f64::from(round - 1) / f64::from(ROUNDS), FLOOR)
}

/// Numbers of examples, shuffled and taken from the end, a batch at a time.
pub struct Order {
    of: usize,
    left: Vec<usize>,
    stream: Stream,
}

impl Order {
    pub fn new(of: usize, path: &str) -> Self {
        Self { of, left: Vec::new(), stream: Stream::keyed(1, path) }
    }

    pub fn next(&mut self) -> Vec<usize> {
        let mut batch = Vec::new();
        while batch.len() < BATCH {
            if self.left.is_empty() {
                self.left = (0..self.of).collect();
                self.stream.shuffle(&mut self.left);
            }
            batch.extend(self.left.pop());
        }
        batch
    }
}

/// The private texts of a device.
pub fn private(plan: &Plan, model: &LabModel, device: u32) -> Vec<Sequence> {
    plan.lab().examples_of(device).iter().map(|i| model.text.private[*i as usize].clone()).collect()
}

/// Steps of cross-entropy.
pub fn tune(
    model: &LabModel,
    start: &Trained,
    text: &[Sequence],
    steps: usize,
    path: &str,
    lr: f64,
) -> Trained {
    let mut order = Order::new(text.len(), path);
    (0..steps).fold(start.clone(), |state, _| {
        let batch = order.next().into_iter().map(|i| (&text[i], None)).collect();
        descended(model, state, batch, (1.0, 0.0), lr)
    })
}

/// One step of `ce` · CE + `kl` · KL on texts with soft targets.
pub fn step(
    model: &LabModel,
    start: &Trained,
    (text, soft): (Vec<&Sequence>, Vec<&SoftTargets>),
    weights: (f64, f64),
    lr: f64,
) -> Trained {
    descended(model, start.clone(), text.into_iter().zip(soft.into_iter().map(Some)).collect(), weights, lr)
}

fn descended(
    model: &LabModel,
    mut state: Trained,
    texts: Vec<(&Sequence, Option<&SoftTargets>)>,
    weights: (f64, f64),
    lr: f64,
) -> Trained {
    let gradient = Decoder::new(model, &state.values, true).gradient(&texts, weights);
    adamw(model, &mut state, &gradient, &rule(), lr);
    state
}

/// The rows of logits that predict a text's answer, `[answer tokens][vocab]`.
pub fn rows(model: &LabModel, values: &[f32], text: &Sequence) -> Vec<Vec<f32>> {
    Decoder::new(model, values, false).rows(text)
}

/// Mean of −log p over the tokens of an answer.
pub fn loss(rows: &[Vec<f32>], answer: &[u32]) -> f64 {
    let one = |(row, token): (&Vec<f32>, &u32)| {
        let sum: f64 = row.iter().map(|z| f64::from(*z).exp()).sum();
        sum.ln() - f64::from(row[*token as usize])
    };
    rows.iter().zip(answer).map(one).sum::<f64>() / answer.len() as f64
}

/// Where a method of the simulation is after [`ROUNDS`] rounds in which everybody takes part.
pub struct Driven {
    pub cloud: State,
    pub devices: BTreeMap<u32, State>,
}

/// Drives a method's functions by hand, and holds the simulation to what comes out.
pub fn driven(plan: &Arc<Plan>) -> Driven {
    let (lab, method, devices) = (plan.lab(), plan.method(), plan.fleet().devices());
    let model = |device: u32| plan.fleet().class_of(device).model.to_string();
    let mut cloud = method.start_cloud(lab);
    let mut states: BTreeMap<u32, State> =
        (0..devices).map(|device| (device, method.start_device(lab, &model(device)))).collect();
    for round in 1..=ROUNDS {
        let progress = f64::from(round - 1) / f64::from(ROUNDS);
        let mut updates = Vec::new();
        for device in 0..devices {
            let task = DeviceTask { device, model: model(device), round, progress };
            let received = method.broadcast(lab, &cloud, &task.model, round);
            let done = method.device_work(lab, &task, states[&device].clone(), &received);
            states.insert(device, done.state);
            updates.push(Update {
                device,
                model: task.model,
                examples: lab.examples_of(device).len() as u64,
                discount: 1.0,
                base: None,
                payload: Arc::new(done.update),
            });
        }
        let folded = method.fold(lab, cloud, &updates);
        cloud = method.cloud_work(lab, &CloudTask { round, progress }, folded, &updates).state;
    }
    let last = play(plan, 2, true).events.into_iter().rev().find_map(|event| match event.kind {
        EventKind::CloudTrained { state, .. } => state,
        _ => None,
    });
    let bytes: Vec<u8> = cloud
        .iter()
        .flat_map(|(name, trained)| {
            name.bytes()
                .chain(trained.values.iter().flat_map(|value| value.to_le_bytes()))
                .collect::<Vec<u8>>()
        })
        .collect();
    assert_eq!(last, Some(Digest::of(&bytes)), "the actors come to the weights of the method's functions");
    Driven { cloud, devices: states }
}

/// Values of a model agree to 1e-5, and are not those it started with.
pub fn agree(what: &str, simulated: &[f32], plain: &[f32], start: &[f32]) {
    let furthest = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert_eq!(simulated.len(), plain.len(), "{what}");
    let (apart, moved) = (furthest(simulated, plain), furthest(plain, start));
    assert!(moved > 1e-3, "{what} moved by {moved} only");
    assert!(apart < 1e-5, "{what} is {apart} away from the plain loop, having moved by {moved}");
}
