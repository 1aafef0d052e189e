//! Methods made comparable: a device's steps are scaled until its rounds are worth what the scenario says.
//!
//! The reference is a number of steps on the device's own model (`[fairness]`). What a method makes a device do is its load,
//! which the plan prices anyway; loads are added up over the rounds of the budget and over the fleet, because a relay set
//! begins in a later round and models differ between classes. Steps are whole, so the match is as near as one step allows;
//! the report says what was really trained. Only devices are matched: the cloud's steps stay as they are written.

use crate::fleet::classes_of_devices;
use crate::lab::Lab;
use crate::method::{self, Load, Method, Refusal};
use crate::plan::{Machine, price};
use cotune_scenario::fairness::{Fairness, Match};
use cotune_scenario::method::{Method as Written, Steps};
use serde::Serialize;

/// How a method was matched.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Matched {
    /// What is equal: `steps`, `tokens` or `device-compute`.
    pub measure: &'static str,
    /// A device's round by the reference, the mean over rounds and fleet: steps, tokens or FLOP.
    pub wanted: f64,
    /// The same by the method, with the steps it now takes.
    pub reached: f64,
    /// Steps of a device's round as written.
    pub written: Steps,
    /// Steps it takes.
    pub taken: Steps,
}

/// The method's table as it is played, and how it came to its steps if the scenario matches methods.
///
/// # Errors
/// What a device does beside its steps is worth more than a whole round may be.
pub(crate) fn matched(lab: &Lab) -> Result<(Written, Option<Matched>), Refusal> {
    let scenario = lab.scenario();
    let mut table = scenario.method.clone();
    let Some(fairness) = &scenario.fairness else { return Ok((table, None)) };
    let Some(written) = table.table_mut().device_steps_mut().map(|steps| *steps) else {
        return Ok((table, None));
    };
    let all = written.tune + written.mutual;
    let classes = classes(lab);
    let mut worth = |steps: Steps| -> Result<f64, Refusal> {
        if let Some(device) = table.table_mut().device_steps_mut() {
            *device = steps;
        }
        Ok(mean(lab, fairness.matched, &classes, steps, method::made(lab, &table)?.as_ref()))
    };
    let (beside, whole) = (worth(Steps { tune: 0, mutual: 0 })?, worth(written)?);
    if all == 0 || whole <= beside {
        worth(written)?;
        return Ok((table, None));
    }
    let wanted = reference(lab, fairness, &classes);
    let n = ((wanted - beside) / (whole - beside) * f64::from(all)).round();
    if n < 1.0 {
        let problem = format!(
            "one step of a device and what it does beside its steps are worth more than the whole reference, \
             `fairness.steps = {}` on its own model: raise that, or make the relay set smaller",
            fairness.steps
        );
        return Err(Refusal { method: scenario.method.name().to_owned(), problem });
    }
    // Steps of different kinds are worth differently: the neighbours may come nearer.
    let mut taken = split(written, n as u32);
    let mut nearest = f64::INFINITY;
    for steps in [n - 1.0, n, n + 1.0].into_iter().filter(|n| *n >= 1.0).map(|n| split(written, n as u32)) {
        let off = (worth(steps)? - wanted).abs();
        if off < nearest {
            (taken, nearest) = (steps, off);
        }
    }
    let reached = worth(taken)?;
    let measure = fairness.matched.name();
    Ok((table, Some(Matched { measure, wanted, reached, written, taken })))
}

/// `n` steps in the proportion of those that are written.
fn split(written: Steps, n: u32) -> Steps {
    let share = f64::from(written.tune) / f64::from(written.tune + written.mutual);
    let tune = ((f64::from(n) * share).round() as u32).min(n);
    Steps { tune, mutual: n - tune }
}

/// A class of devices: its model, how many they are, and the mean of their examples.
struct Class {
    model: String,
    devices: f64,
    examples: u32,
}

fn classes(lab: &Lab) -> Vec<Class> {
    let scenario = lab.scenario();
    let models = scenario.fleet.classes.values().map(|class| class.model.clone());
    let mut classes: Vec<(String, u64, u64)> = models.map(|model| (model, 0, 0)).collect();
    for (device, class) in (0..).zip(classes_of_devices(scenario.seed, &scenario.fleet)) {
        let (_, devices, examples) = &mut classes[usize::from(class)];
        (*devices, *examples) = (*devices + 1, *examples + u64::from(lab.count_of(device)));
    }
    let class = |(model, devices, examples): (String, u64, u64)| Class {
        model,
        devices: devices as f64,
        examples: (examples / devices.max(1)) as u32,
    };
    classes.into_iter().map(class).collect()
}

/// The mean worth of a device's round under a method.
fn mean(lab: &Lab, measure: Match, classes: &[Class], steps: Steps, method: &dyn Method) -> f64 {
    // Without a number of rounds a round with everything on stands for all.
    let rounds = match lab.scenario().budget.rounds.and_then(|rounds| u32::try_from(rounds).ok()) {
        Some(rounds) => 1..=rounds.min(MOST_ROUNDS),
        None => u32::MAX..=u32::MAX,
    };
    let (mut sum, mut weight) = (0.0, 0.0);
    for round in rounds {
        for class in classes {
            let load = method.device_load(&class.model, class.examples, round);
            sum += class.devices * worth(lab, measure, &load, steps, class.examples);
            weight += class.devices;
        }
    }
    sum / weight
}

/// Rounds that are looked at at most: by then every part of the work has begun (chosen).
const MOST_ROUNDS: u32 = 1_000;

/// What a load is worth.
fn worth(lab: &Lab, measure: Match, load: &Load, steps: Steps, examples: u32) -> f64 {
    let cost = price(lab, load, Machine::UNIT, examples.into());
    match measure {
        Match::Steps => f64::from(steps.tune + steps.mutual),
        Match::Tokens => cost.tokens as f64,
        Match::DeviceCompute => cost.flops,
    }
}

/// The mean worth of the reference round.
fn reference(lab: &Lab, fairness: &Fairness, classes: &[Class]) -> f64 {
    let worth = |class: &Class| {
        let model = lab.model(&class.model);
        let tokens = f64::from(fairness.batch) * model.mean_tokens;
        f64::from(fairness.steps)
            * match fairness.matched {
                Match::Steps => 1.0,
                Match::Tokens => tokens,
                Match::DeviceCompute => model.shape.training_flops(tokens, model.mean_tokens),
            }
    };
    let devices: f64 = classes.iter().map(|class| class.devices).sum();
    classes.iter().map(|class| class.devices * worth(class)).sum::<f64>() / devices
}
