//! Federated averaging in a plain loop: the simulation agrees with it in weights; and bit for bit where the loop takes the
//! product's steps.

use std::collections::BTreeMap;
use std::sync::Arc;

use cotune_models::batch::{Batch, Sequence};
use cotune_models::learner::{Learner, Trained};
use cotune_record::{Digest, EventKind};
use cotune_tests::{fedavg, plan, play, tiny};
use cotune_world::Plan;
use cotune_world::lab::LabModel;
use cotune_world::payload::Payload;

use super::{LR, Order, ROUNDS, agree, driven, optimizer, private, rate, rule, tune};

const STEPS: usize = 2;

/// By round: the digest of every device's update, and of the cloud's state after it.
#[derive(Debug, Default, PartialEq)]
struct Course {
    updates: BTreeMap<(u32, u32), Digest>,
    states: BTreeMap<u32, Digest>,
}

/// How a device tunes: its model, its state, its texts, how many steps, the path of its order, the learning rate.
type Tune = fn(&LabModel, &Trained, &[Sequence], usize, &str, f64) -> Trained;

/// The plain loop: its course, and where it ends. `tuned` names the model that a device of a class model tunes.
fn plain(plan: &Plan, tuned: fn(&str) -> &str, tune: Tune) -> (Course, BTreeMap<String, Vec<f32>>) {
    let (lab, devices) = (plan.lab(), plan.fleet().devices());
    let model_of = |device: u32| tuned(&plan.fleet().class_of(device).model).to_owned();
    let mut global: BTreeMap<String, Vec<f32>> =
        (0..devices).map(|d| (model_of(d), lab.model(&model_of(d)).fresh(1).values)).collect();
    let mut course = Course::default();
    for round in 1..=ROUNDS {
        let mut sums: BTreeMap<String, (f64, Vec<f64>)> = BTreeMap::new();
        for device in 0..devices {
            let name = model_of(device);
            let (model, text) = (lab.model(&name), private(plan, lab.model(&name), device));
            let start = Trained { values: global[&name].clone(), ..Trained::default() };
            let path = format!("device/{device}/round/{round}/tune");
            let values = tune(model, &start, &text, STEPS, &path, rate(LR, round)).values;
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
    (course, global)
}

/// The product's steps, which share every kernel with the simulation.
fn tune_as_the_product(
    model: &LabModel,
    start: &Trained,
    text: &[Sequence],
    steps: usize,
    path: &str,
    lr: f64,
) -> Trained {
    let mut order = Order::new(text.len(), path);
    let mut learner = Learner::new(&model.base, &model.layout, start, rule());
    for _ in 0..steps {
        let batch: Vec<&Sequence> = order.next().into_iter().map(|i| &text[i]).collect();
        learner.tune(Batch::pack(&batch, model.base.tokenizer().pad()), lr);
    }
    learner.finish().0
}

fn bytes(name: &str, values: &[f32]) -> Vec<u8> {
    name.bytes().chain(values.iter().flat_map(|value| value.to_le_bytes())).collect()
}

/// The same from the events of a simulation.
fn simulated(plan: &Arc<Plan>) -> Course {
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

fn agrees(on: &str, tuned: fn(&str) -> &str) {
    let plan = plan(&tiny(&fedavg(&format!("on = \"{on}\"\n{}", optimizer())), &[]));
    let (course, _) = plain(&plan, tuned, tune_as_the_product);
    assert_eq!(course.updates.len(), 6, "three devices in two rounds");
    assert_eq!(simulated(&plan), course);

    let (_, ends) = plain(&plan, tuned, tune);
    let cloud = driven(&plan).cloud;
    for (name, plain) in &ends {
        agree(name, &cloud[name].values, plain, &plan.lab().model(name).fresh(1).values);
    }
}

#[test]
fn the_simulation_comes_to_the_weights_of_a_plain_loop_on_the_proxy() {
    agrees("proxy", |_| "proxy");
}

#[test]
fn the_simulation_comes_to_the_weights_of_a_plain_loop_on_groups_of_one_architecture() {
    agrees("edge", |model| model);
}
