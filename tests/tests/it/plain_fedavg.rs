//! Federated averaging in a plain loop, without actors, queue, network or pool: the slow, readable reference that the
//! simulation must agree with bit for bit. The steps of the learner, which both take, are held to finite differences by
//! `models/tests/neural.rs`, and the head under them to burn's primitives by `models/src/kernels/head.rs`.

use std::collections::BTreeMap;

use cotune_kernel::Stream;
use cotune_models::batch::{Batch, Sequence};
use cotune_models::learner::{Learner, Trained};
use cotune_models::optimizer::{AdamW, Schedule};
use cotune_record::{Digest, EventKind};
use cotune_tests::{fedavg, plan, play, tiny};
use cotune_world::Plan;
use cotune_world::payload::Payload;

const ROUNDS: u32 = 3;
const STEPS: usize = 2;
const BATCH: usize = 4;
const LR: f64 = 0.01;
const FLOOR: f64 = 0.15;

/// By round: the digest of every device's update, and of the cloud's state after it.
#[derive(Debug, Default, PartialEq)]
struct Course {
    updates: BTreeMap<(u32, u32), Digest>,
    states: BTreeMap<u32, Digest>,
}

/// The plain loop. `tuned` names the model that a device of a class model tunes.
fn plain(plan: &Plan, tuned: impl Fn(&str) -> String) -> Course {
    let (lab, devices) = (plan.lab(), plan.fleet().devices());
    let model_of = |device: u32| tuned(&plan.fleet().class_of(device).model);
    let mut global: BTreeMap<String, Vec<f32>> =
        (0..devices).map(|d| (model_of(d), lab.model(&model_of(d)).fresh(1).values)).collect();
    let mut course = Course::default();
    for round in 1..=ROUNDS {
        let progress = f64::from(round - 1) / f64::from(ROUNDS);
        let lr = LR * Schedule::Cosine.factor(progress, FLOOR);
        let mut sums: BTreeMap<String, (f64, Vec<f64>)> = BTreeMap::new();
        for device in 0..devices {
            let name = model_of(device);
            let values = tune(plan, device, round, &name, &global[&name], lr);
            let digest = Digest::from_bytes(*Payload::adapter(&name, &values).digest().as_bytes());
            course.updates.insert((round, device), digest);
            let weight = lab.examples_of(device).len() as f64;
            let (total, sum) = sums.entry(name).or_insert_with(|| (0.0, vec![0.0; values.len()]));
            *total += weight;
            for (sum, value) in sum.iter_mut().zip(&values) {
                *sum += weight * f64::from(*value);
            }
        }
        for (name, (total, sum)) in sums {
            global.insert(name, sum.into_iter().map(|sum| (sum / total) as f32).collect());
        }
        let written: Vec<u8> = global.iter().flat_map(|(name, values)| bytes(name, values)).collect();
        course.states.insert(round, Digest::of(&written));
    }
    course
}

/// One device's round: shuffle the examples, take them from the end, a few at a time.
fn tune(plan: &Plan, device: u32, round: u32, name: &str, start: &[f32], lr: f64) -> Vec<f32> {
    let (lab, model) = (plan.lab(), plan.lab().model(name));
    let text: Vec<&Sequence> =
        lab.examples_of(device).iter().map(|i| &model.text.private[*i as usize]).collect();
    let mut stream = Stream::keyed(1, &format!("device/{device}/round/{round}/tune"));
    let mut order: Vec<usize> = Vec::new();
    let state = Trained { values: start.to_vec(), ..Trained::default() };
    let mut learner = Learner::new(&model.base, &model.layout, &state, AdamW::default());
    for _ in 0..STEPS {
        let mut batch = Vec::new();
        while batch.len() < BATCH {
            if order.is_empty() {
                order = (0..text.len()).collect();
                stream.shuffle(&mut order);
            }
            batch.extend(order.pop().map(|i| text[i]));
        }
        learner.tune(Batch::pack(&batch, model.base.tokenizer().pad()), lr);
    }
    learner.finish().0.values
}

fn bytes(name: &str, values: &[f32]) -> Vec<u8> {
    name.bytes().chain(values.iter().flat_map(|value| value.to_le_bytes())).collect()
}

/// The same from the events of a simulation.
fn simulated(plan: &std::sync::Arc<Plan>) -> Course {
    let mut course = Course::default();
    for event in play(plan, 2, true).events {
        match event.kind {
            EventKind::TrainingFinished { round, device, update: Some(update), .. } => {
                course.updates.insert((round, device), update);
            }
            EventKind::CloudTrained { round, state: Some(state), .. } => {
                course.states.insert(round, state);
            }
            _ => {}
        }
    }
    course
}

fn agree(on: &str, tuned: impl Fn(&str) -> String) {
    let optimizer = format!("optimizer.adamw = {{ lr = {LR}, floor = {FLOOR}, schedule = \"cosine\" }}");
    let tables = fedavg(&format!("on = \"{on}\"\n{optimizer}"));
    let plan = plan(&tiny(&tables, &[("budget.rounds", &ROUNDS.to_string())]));
    let (plain, simulated) = (plain(&plan, tuned), simulated(&plan));
    assert_eq!(plain.updates.len(), 9, "three devices in three rounds");
    assert_eq!(simulated, plain);
}

#[test]
fn the_actors_come_to_the_weights_of_a_plain_loop_on_the_proxy() {
    agree("proxy", |_| "proxy".to_owned());
}

#[test]
fn the_actors_come_to_the_weights_of_a_plain_loop_on_groups_of_one_architecture() {
    agree("edge", str::to_owned);
}
