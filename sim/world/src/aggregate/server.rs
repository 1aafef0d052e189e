//! Server optimizers: what the cloud makes of the mean change Δ = θ̅ − θ of a round.
//!
//! Reddi et al. 2021, "Adaptive Federated Optimization", arXiv 2003.00295, algorithm 2 (FedAdagrad, FedYogi, FedAdam: no bias
//! correction, the second moment starts at τ²); FedAvgM: Hsu et al. 2019, arXiv 1909.06335. The moments are part of the
//! cloud's state.

use cotune_models::learner::Trained;
use cotune_scenario::method::{Adaptive, ServerOptimizer};

/// One step of the cloud towards `mean`, the aggregate of a round.
pub(crate) fn step(rule: &ServerOptimizer, state: &mut Trained, mean: &[f32]) {
    let n = state.values.len();
    let (momentum, adaptive) = match *rule {
        ServerOptimizer::Sgd { .. } => (None, None),
        ServerOptimizer::Momentum { momentum, .. } => (Some((momentum, 1.0)), None),
        ServerOptimizer::Adam(adaptive)
        | ServerOptimizer::Yogi(adaptive)
        | ServerOptimizer::Adagrad(adaptive) => {
            (Some((adaptive.betas[0], 1.0 - adaptive.betas[0])), Some(adaptive))
        }
    };
    let lr = match *rule {
        ServerOptimizer::Sgd { lr } | ServerOptimizer::Momentum { lr, .. } => lr,
        ServerOptimizer::Adam(Adaptive { lr, .. })
        | ServerOptimizer::Yogi(Adaptive { lr, .. })
        | ServerOptimizer::Adagrad(Adaptive { lr, .. }) => lr,
    };
    let moments = &mut state.moments;
    if momentum.is_some() && moments.first.is_empty() {
        moments.first = vec![0.0; n];
    }
    if let Some(Adaptive { tau, .. }) = adaptive
        && moments.second.is_empty()
    {
        moments.second = vec![(tau * tau) as f32; n];
    }
    moments.steps += 1;
    for (i, (value, mean)) in state.values.iter_mut().zip(mean).enumerate() {
        let change = f64::from(*mean) - f64::from(*value);
        let direction = match momentum {
            None => change,
            Some((kept, taken)) => {
                let first = kept * f64::from(moments.first[i]) + taken * change;
                moments.first[i] = first as f32;
                first
            }
        };
        let scale = match adaptive {
            None => 1.0,
            Some(Adaptive { betas: [_, beta2], tau, .. }) => {
                let (old, square) = (f64::from(moments.second[i]), change * change);
                let second = match rule {
                    ServerOptimizer::Adagrad(_) => old + square,
                    ServerOptimizer::Yogi(_) => old - (1.0 - beta2) * square * sign(old - square),
                    _ => beta2 * old + (1.0 - beta2) * square,
                };
                moments.second[i] = second as f32;
                second.sqrt() + tau
            }
        };
        *value = (f64::from(*value) + lr * direction / scale) as f32;
    }
}

/// −1, 0 or 1.
fn sign(x: f64) -> f64 {
    if x == 0.0 { 0.0 } else { x.signum() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADAPTIVE: Adaptive = Adaptive { lr: 0.1, betas: [0.9, 0.99], tau: 1e-3 };

    /// θ after two rounds whose means are 1 above it and then 0.5 above it, from 0.
    fn two_rounds(rule: ServerOptimizer) -> f64 {
        let mut state = Trained { values: vec![0.0], ..Trained::default() };
        for change in [1.0, 0.5] {
            let mean = state.values[0] + change;
            step(&rule, &mut state, &[mean]);
        }
        f64::from(state.values[0])
    }

    fn near(rule: ServerOptimizer, expected: f64) {
        let found = two_rounds(rule);
        assert!((found - expected).abs() < 1e-5 * expected.abs(), "{rule:?}: {found}, not {expected}");
    }

    /// By hand: m and v of algorithm 2 with v₀ = τ².
    #[test]
    fn two_rounds_are_those_of_the_algorithm() {
        near(ServerOptimizer::Sgd { lr: 1.0 }, 1.5);
        near(ServerOptimizer::Sgd { lr: 0.5 }, 0.75);
        near(ServerOptimizer::Momentum { lr: 1.0, momentum: 0.9 }, 1.0 + (0.9 + 0.5));
        let (m1, m2): (f64, f64) = (0.1, 0.9 * 0.1 + 0.1 * 0.5);
        let steps = |v1: f64, v2: f64| 0.1 * (m1 / (v1.sqrt() + 1e-3) + m2 / (v2.sqrt() + 1e-3));
        let v0 = 1e-6;
        let adam = 0.99 * v0 + 0.01;
        near(ServerOptimizer::Adam(ADAPTIVE), steps(adam, 0.99 * adam + 0.01 * 0.25));
        let yogi = v0 + 0.01;
        near(ServerOptimizer::Yogi(ADAPTIVE), steps(yogi, yogi + 0.01 * 0.25));
        near(ServerOptimizer::Adagrad(ADAPTIVE), steps(v0 + 1.0, v0 + 1.25));
    }
}
