//! What no plain mean takes: an update whose change is more than a thousand times as long as is usual in its round. One such
//! update alone would decide what the mean is, whatever all others say.
//!
//! Thresholds on norms are those of Sun et al. 2019, "Can You Really Backdoor Federated Learning?", arXiv 1911.07963, §3. The
//! usual length is the median of the round's, and the factor is chosen: devices that learn differ by their examples and
//! steps, and seldom by more. Where most have learned what there is and one begins, it could still be so; therefore a change that
//! is not longer than what it changes is never too long. What is merely large reaches the mean; the robust rules are for that.

use super::norm_clip::{length, middle};
use crate::method::{State, Update};
use std::collections::BTreeSet;

/// So many times the usual length is too long (chosen).
const MOST: f64 = 1e3;

/// Of fewer changes none is usual.
const LEAST: usize = 3;

/// For every update how many times as long as usual its change is, where that is too long. Changes are those of adapters, to
/// what the device was sent or, where that is as the cloud has it, to `cloud`; who changed nothing says nothing of what is
/// usual.
pub(crate) fn huge(updates: &[Update], cloud: &State) -> Vec<Option<f64>> {
    let mut found = vec![None; updates.len()];
    let models: BTreeSet<&str> = updates.iter().flat_map(|update| update.payload.adapters()).collect();
    for model in models {
        let change = |update: &Update| {
            let sent = update.base.as_deref().and_then(|base| base.values(model));
            let start = sent.or_else(|| cloud.get(model).map(|trained| trained.values.as_slice()))?;
            let values = update.payload.values(model)?;
            (values.len() == start.len())
                .then(|| (length(values, start), length(start, &vec![0.0; start.len()])))
        };
        let changes: Vec<(f64, f64)> =
            updates.iter().map(|update| change(update).unwrap_or_default()).collect();
        let changed: Vec<f64> =
            changes.iter().map(|(length, _)| *length).filter(|length| *length > 0.0).collect();
        if changed.len() < LEAST {
            continue;
        }
        let usual = middle(&changed);
        for ((length, before), found) in changes.iter().zip(&mut found) {
            let times = length / usual;
            if times > MOST && length > before {
                *found = Some(found.unwrap_or(0.0_f64).max(times));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payload::Payload;
    use cotune_kernel::Stream;
    use cotune_models::learner::Trained;
    use std::sync::Arc;

    fn update(device: u32, values: &[f32]) -> Update {
        let payload = Arc::new(Payload::adapter("m", values));
        Update { device, model: "edge".to_owned(), examples: 1, discount: 1.0, base: None, payload }
    }

    fn cloud() -> State {
        State::from([("m".to_owned(), Trained { values: vec![1.0; 8], ..Trained::default() })])
    }

    /// Changes of `count` devices that differ a hundredfold, and of some that do not change anything.
    fn usual(seed: u64, count: u32) -> Vec<Update> {
        let mut stream = Stream::keyed(seed, "test/huge");
        let one = |device| {
            let size = if stream.chance(0.2) { 0.0 } else { 10_f64.powf(2.0 * stream.uniform() - 3.0) };
            let values: Vec<f32> = (0..8).map(|i| 1.0 + if i == 3 { size as f32 } else { 0.0 }).collect();
            update(device, &values)
        };
        (0..count).map(one).collect()
    }

    #[test]
    fn what_is_usual_is_never_refused_and_one_huge_update_always_is() {
        for seed in 0..200 {
            let mut updates = usual(seed, 12);
            assert_eq!(huge(&updates, &cloud()), [None; 12], "seed {seed}");
            let (bad, size) = ((seed % 12) as usize, [1e6, 1e30, -1e30][(seed % 3) as usize]);
            updates[bad] = update(bad as u32, &[size; 8]);
            let found = huge(&updates, &cloud());
            for (index, found) in found.iter().enumerate() {
                assert_eq!(found.is_some(), index == bad, "seed {seed}, device {index}");
            }
        }
    }

    #[test]
    fn more_than_a_thousand_times_the_usual_is_too_much() {
        let moved = |device: u32, by: f32| {
            let values: Vec<f32> = (0..8).map(|i| 1.0 + if i == 3 { by } else { 0.0 }).collect();
            update(device, &values)
        };
        for (by, is_huge) in [(9.0, false), (11.0, true)] {
            let updates = [moved(0, 0.01), moved(1, 0.01), moved(2, 0.01), moved(3, by)];
            assert_eq!(huge(&updates, &cloud())[3].is_some(), is_huge, "{by}");
        }
        let small = [moved(0, 0.001), moved(1, 0.001), moved(2, 0.001), moved(3, 2.0)];
        assert_eq!(huge(&small, &cloud())[3], None, "the model is longer than that change");
    }

    #[test]
    fn of_two_nobody_knows_which_is_usual() {
        let updates = [update(0, &[1.1; 8]), update(1, &[1e30; 8])];
        assert_eq!(huge(&updates, &cloud()), [None, None]);
    }

    #[test]
    fn a_change_is_to_what_the_device_was_sent() {
        let mut updates: Vec<Update> = (0..3).map(|device| update(device, &[1.001; 8])).collect();
        let mut late = update(3, &[5000.001; 8]);
        late.base = Some(Arc::new(Payload::adapter("m", &[5000.0; 8])));
        updates.push(late);
        assert_eq!(huge(&updates, &cloud()), [None; 4]);
    }
}
