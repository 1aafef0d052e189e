//! Updates that are based on an older model than the cloud has.
//!
//! FedBuff (Nguyen et al. 2022, "Federated Learning with Buffered Asynchronous Aggregation", arXiv 2106.06639) adds
//! changes, not models: `θ ← θ + Σ w_k Δ_k / Σ w_k` with `Δ_k = θ_k − θ^{t−s}`, where the model that the device was sent is
//! s models old, and w_k is discounted by `(1 + s)^-a`. Here an update is moved onto the cloud's model first,
//! `θ + Δ_k`, and then aggregated like any other: for the mean this is the same, and every other rule works on it.

use crate::lab::Lab;
use crate::method::{Method, State, Update};
use crate::packing;
use crate::payload::{Part, Payload};
use std::sync::Arc;

/// What an update counts for that is `staleness` models behind: (1 + s)^-a.
pub(crate) fn discount(staleness: u32, exponent: f64) -> f64 {
    libm::pow(1.0 + f64::from(staleness), -exponent)
}

/// Moves updates of older models onto the cloud's: what it would send now, and the change that the device made to what it
/// received.
pub(crate) fn rebase(
    lab: &Lab,
    method: &dyn Method,
    (cloud, round): (&State, u32),
    updates: Vec<Update>,
) -> Vec<Update> {
    let onto = |mut update: Update| {
        if let Some(sent) = update.base.take() {
            let now = method.broadcast(lab, cloud, &update.model, round);
            let received = packing::received(lab, &sent);
            update.payload = Arc::new(moved(&update.payload, &received, &now));
        }
        update
    };
    updates.into_iter().map(onto).collect()
}

/// `update − sent + now`, for every adapter that all three carry; in f64, rounded once.
fn moved(update: &Payload, sent: &Payload, now: &Payload) -> Payload {
    let mut moved = update.clone();
    for part in &mut moved.parts {
        let Part::Adapter { model, values } = part else { continue };
        let Some((sent, now)) = sent.values(model).zip(now.values(model)) else { continue };
        for ((value, sent), now) in values.iter_mut().zip(sent).zip(now) {
            *value = (f64::from(*value) - f64::from(*sent) + f64::from(*now)) as f32;
        }
    }
    moved
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_discount_is_that_of_fedbuff() {
        let discounts: Vec<f64> = [0, 1, 3, 8].map(|staleness| discount(staleness, 0.5)).to_vec();
        assert_eq!(discounts, [1.0, 1.0 / 2f64.sqrt(), 0.5, 1.0 / 3.0]);
        assert_eq!([0, 5].map(|staleness| discount(staleness, 0.0)), [1.0, 1.0]);
    }

    #[test]
    fn the_change_is_kept_and_the_model_under_it_exchanged() {
        let adapter = |values: &[f32]| Payload::adapter("proxy", values);
        let moved = moved(&adapter(&[1.5, 2.0]), &adapter(&[1.0, 3.0]), &adapter(&[10.0, 20.0]));
        assert_eq!(moved, adapter(&[10.5, 19.0]));
        let unknown = super::moved(&adapter(&[1.5]), &Payload::default(), &adapter(&[10.0]));
        assert_eq!(unknown, adapter(&[1.5]), "a model that was never sent has nothing under it");
    }
}
