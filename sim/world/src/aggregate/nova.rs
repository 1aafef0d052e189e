//! FedNova: changes are counted per local step, so that a device that takes more steps does not pull the mean its way.
//!
//! Wang et al. 2020, "Tackling the Objective Inconsistency Problem in Heterogeneous Federated Optimization", arXiv
//! 2007.07481, equation 5: `θ ← θ + τ_eff Σ w_k Δ_k / ‖a_k‖₁` with `τ_eff = Σ w_k ‖a_k‖₁`, where a_k is what each of a device's
//! steps counts for in its change. Each update is moved to `θ + (τ_eff / ‖a_k‖₁) Δ_k` here, and then aggregated like any
//! other: for the mean this is the same, and every other rule works on it. With equal steps nothing moves.

use crate::method::Update;
use crate::payload::Part;
use cotune_scenario::method::{Local, Optimizer};
use std::sync::Arc;

/// ‖a‖₁ of `steps` local steps: each counts 1; with momentum ρ what follows it carries it on, and a proximal term μ at rate
/// η forgets a share ημ of it in every later step. AdamW's steps have one size and count 1 each (chosen). η is the
/// optimizer's first rate, whatever a schedule makes of it in later rounds (chosen: a fold knows no round, and ημ is
/// small beside 1).
pub(crate) fn step_norm(steps: u32, optimizer: &Optimizer, local: &Local) -> f64 {
    let momentum = match optimizer {
        Optimizer::Sgd(sgd) => sgd.momentum,
        Optimizer::AdamW(_) => 0.0,
    };
    let forgotten = match local {
        Local::Prox { mu } if matches!(optimizer, Optimizer::Sgd(_)) => optimizer.course().lr * mu,
        _ => 0.0,
    };
    // A unit gradient at every step, carried through momentum and proximal term.
    let (mut moved, mut direction) = (0.0, 0.0);
    for _ in 0..steps {
        direction = momentum * direction + 1.0;
        moved = (1.0 - forgotten) * moved + direction;
    }
    moved
}

/// The updates with their changes to `current`, the cloud's values of `model`, normalised; `norm` is ‖a_k‖₁ of an update.
pub(crate) fn normalised(
    updates: &[Update],
    model: &str,
    current: &[f32],
    norm: impl Fn(&Update) -> f64,
) -> Vec<Update> {
    let carries = |update: &&Update| update.payload.values(model).is_some();
    let weigh = |update: &Update| update.examples as f64 * update.discount;
    let total: f64 = updates.iter().filter(carries).map(weigh).sum();
    let effective: f64 =
        updates.iter().filter(carries).map(|update| weigh(update) * norm(update)).sum::<f64>() / total;
    let moved = |update: &Update| {
        let factor = effective / norm(update);
        let mut payload = (*update.payload).clone();
        for part in &mut payload.parts {
            let Part::Adapter { model: of, values } = part else { continue };
            // An update of the usual length is taken as it is, to the last bit.
            if of == model && factor.is_finite() && factor != 1.0 {
                for (value, now) in values.iter_mut().zip(current) {
                    let now = f64::from(*now);
                    *value = (now + factor * (f64::from(*value) - now)) as f32;
                }
            }
        }
        Update { payload: Arc::new(payload), ..update.clone() }
    };
    updates.iter().map(moved).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payload::Payload;
    use cotune_scenario::method::{Schedule, Sgd};

    fn sgd(momentum: f64) -> Optimizer {
        Optimizer::Sgd(Sgd {
            lr: 0.5,
            cloud_lr: 0.5,
            momentum,
            weight_decay: 0.0,
            clip: None,
            schedule: Schedule::Constant,
            floor: 1.0,
            warm_up: None,
            micro_batch: None,
        })
    }

    #[test]
    fn the_norm_is_that_of_the_closed_forms() {
        assert_eq!(step_norm(7, &sgd(0.0), &Local::None), 7.0);
        let rho: f64 = 0.9;
        let momentum = (7.0 - rho * (1.0 - rho.powi(7)) / (1.0 - rho)) / (1.0 - rho);
        assert!((step_norm(7, &sgd(rho), &Local::None) - momentum).abs() < 1e-12);
        let alpha: f64 = 0.5 * 0.1;
        let prox = (1.0 - (1.0 - alpha).powi(7)) / alpha;
        assert!((step_norm(7, &sgd(0.0), &Local::Prox { mu: 0.1 }) - prox).abs() < 1e-12);
    }

    #[test]
    fn a_device_that_takes_ten_times_the_steps_along_one_gradient_counts_by_its_examples_only() {
        // Both devices see a constant gradient of ±1 with rate 0.1; one takes 2 steps, the other 20.
        let update = |device: u32, examples, values: &[f32]| Update {
            device,
            model: "edge".to_owned(),
            examples,
            discount: 1.0,
            base: None,
            payload: Arc::new(Payload::adapter("m", values)),
        };
        let updates = [update(0, 10, &[1.2]), update(1, 10, &[-1.0])];
        let steps = |update: &Update| if update.device == 0 { 2.0 } else { 20.0 };
        let moved = normalised(&updates, "m", &[1.0], steps);
        let values: Vec<f32> = moved.iter().map(|u| u.payload.values("m").unwrap()[0]).collect();
        // τ_eff = 11: changes of ±0.1 a step become ±1.1, and cancel.
        assert!((values[0] - 2.1).abs() < 1e-6 && (values[1] + 0.1).abs() < 1e-6, "{values:?}");
        let equal = normalised(&updates, "m", &[1.0], |_| 5.0);
        assert_eq!(equal, updates, "equal steps leave everything as it was");
    }
}
