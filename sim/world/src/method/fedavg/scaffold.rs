//! SCAFFOLD: gradients of a device are corrected by what its gradients and everybody's are expected to be.
//!
//! Karimireddy et al. 2020, "SCAFFOLD: Stochastic Controlled Averaging for Federated Learning", arXiv 1910.06378, algorithm 1
//! with option II: `θ ← θ − η(g + c − c_k)`, `c_k⁺ = c_k − c + (θ^t − θ_k)/(Kη)`, `c ← c + (1/N) Σ (c_k⁺ − c_k)`. Kη is the sum of
//! the rates where these differ. All start at zero, so c is the mean of the c_k of all N devices as long as no update is
//! lost; one that is lost, late, refused or left out (`aggregate/huge.rs`) leaves c behind by its change over N, as in the
//! paper's algorithm with a failed message.

use crate::fleet::classes_of_devices;
use crate::lab::Lab;
use crate::method::{State, Update};
use crate::payload::{Part, Payload};
use cotune_models::learner::Trained;
use std::collections::BTreeMap;

/// The control variates of a run.
#[derive(Debug)]
pub(super) struct ControlVariates {
    /// Devices that tune a model, N.
    devices: BTreeMap<String, u64>,
}

/// Where the cloud keeps c of a model, and a device its c_k: beside adapters, as which they are not to be taken.
fn key(model: &str) -> String {
    format!("{model}/control")
}

/// A control variate, or its change, as it travels.
pub(super) fn part(model: &str, values: Vec<f32>) -> Part {
    Part::Control { model: model.to_string(), values }
}

impl ControlVariates {
    /// Those of the fleet, where a device of class model `own` tunes `tuned(own)`.
    pub(super) fn new(lab: &Lab, tuned: impl Fn(&str) -> String) -> Self {
        let scenario = lab.scenario();
        let models: Vec<String> = scenario.fleet.classes.values().map(|class| tuned(&class.model)).collect();
        let mut devices = BTreeMap::new();
        for class in classes_of_devices(scenario.seed, &scenario.fleet) {
            *devices.entry(models[usize::from(class)].clone()).or_insert(0) += 1;
        }
        Self { devices }
    }

    pub(super) fn start_cloud(&self, lab: &Lab, model: &str) -> (String, Trained) {
        (key(model), zeros(lab, model))
    }

    pub(super) fn start_device(&self, lab: &Lab, model: &str) -> (String, Trained) {
        (key(model), zeros(lab, model))
    }

    pub(super) fn broadcast(&self, cloud: &State, model: &str) -> Part {
        part(model, cloud[&key(model)].values.clone())
    }

    /// c ← c + (1/N) Σ Δc_k
    pub(super) fn fold(&self, cloud: &mut State, updates: &[Update], model: &str) {
        // Nobody may have been drawn of a class.
        let Some(n) = self.devices.get(model).map(|n| *n as f64) else { return };
        let changes: Vec<&[f32]> =
            updates.iter().filter_map(|update| update.payload.control(model)).collect();
        let control = cloud.get_mut(&key(model)).expect("the cloud has a control variate of every model");
        for (i, value) in control.values.iter_mut().enumerate() {
            let sum: f64 = changes.iter().map(|change| f64::from(change[i])).sum();
            *value = (f64::from(*value) + sum / n) as f32;
        }
    }
}

fn zeros(lab: &Lab, model: &str) -> Trained {
    Trained { values: vec![0.0; lab.model(model).layout.total()], ..Trained::default() }
}

/// c − c_k
pub(super) fn correction(device: &State, received: &Payload, model: &str) -> Vec<f32> {
    let c = received.control(model).expect("the broadcast carries the control variate");
    c.iter().zip(&device[&key(model)].values).map(|(c, own)| c - own).collect()
}

/// Moves c_k to c_k⁺ after `descended` = Kη of descent to `theta`, and says by how much.
pub(super) fn changed(
    device: &mut State,
    received: &Payload,
    model: &str,
    theta: &[f32],
    descended: f64,
) -> Part {
    let c = received.control(model).expect("the broadcast carries the control variate");
    let start = received.values(model).expect("the broadcast carries the model that is tuned");
    let own = &mut device.get_mut(&key(model)).expect("a device has a control variate").values;
    let mut change = vec![0.0; own.len()];
    if descended > 0.0 {
        for i in 0..own.len() {
            let gradient = (f64::from(start[i]) - f64::from(theta[i])) / descended;
            let new = (f64::from(own[i]) - f64::from(c[i]) + gradient) as f32;
            change[i] = new - own[i];
            own[i] = new;
        }
    }
    part(model, change)
}

#[cfg(test)]
mod tests {
    use super::*;
    use cotune_kernel::Stream;
    use std::sync::Arc;

    const DEVICES: usize = 5;
    const VALUES: usize = 16;

    /// Rounds of random descents of random cohorts: c stays the mean of all c_k, which start at zero.
    #[test]
    fn the_clouds_variate_is_the_mean_of_the_devices() {
        (1..=48).for_each(conserves);
    }

    fn conserves(seed: u64) {
        let mut stream = Stream::keyed(seed, "test/scaffold");
        let control = ControlVariates { devices: BTreeMap::from([("m".to_owned(), DEVICES as u64)]) };
        let zeros = || Trained { values: vec![0.0; VALUES], ..Trained::default() };
        let mut cloud = State::from([(key("m"), zeros())]);
        let mut devices: Vec<State> = (0..DEVICES).map(|_| State::from([(key("m"), zeros())])).collect();
        for _ in 0..20 {
            let theta: Vec<f32> = (0..VALUES).map(|_| stream.normal() as f32).collect();
            let mut received = Payload::adapter("m", &theta);
            received.parts.push(control.broadcast(&cloud, "m"));
            let mut updates = Vec::new();
            for (number, device) in devices.iter_mut().enumerate() {
                if stream.chance(0.4) {
                    continue;
                }
                let after: Vec<f32> = theta.iter().map(|x| x + 0.1 * stream.normal() as f32).collect();
                let mut payload = Payload::adapter("m", &after);
                payload.parts.push(changed(device, &received, "m", &after, 0.7));
                updates.push(Update {
                    device: number as u32,
                    model: "m".to_owned(),
                    examples: 1 + number as u64,
                    discount: 1.0,
                    base: None,
                    payload: Arc::new(payload),
                });
            }
            control.fold(&mut cloud, &updates, "m");
            for i in 0..VALUES {
                let sum: f64 = devices.iter().map(|device| f64::from(device[&key("m")].values[i])).sum();
                let (mean, c) = (sum / DEVICES as f64, f64::from(cloud[&key("m")].values[i]));
                assert!((mean - c).abs() < 1e-5, "seed {seed}: {mean} and {c}");
            }
        }
        assert!(cloud[&key("m")].values.iter().any(|c| c.abs() > 1e-3), "they moved");
    }

    #[test]
    fn a_devices_variate_becomes_the_mean_of_its_own_gradients() {
        // Two steps at rate 0.5 with gradients 3 and 1, corrected by c − c_k = 0.25 − 1 = −0.75.
        let theta = 2.0 - 0.5 * (3.0 - 0.75) - 0.5 * (1.0 - 0.75);
        let mut device = State::from([(key("m"), Trained { values: vec![1.0], ..Trained::default() })]);
        let mut received = Payload::adapter("m", &[2.0]);
        received.parts.push(part("m", vec![0.25]));
        assert_eq!(correction(&device, &received, "m"), [-0.75]);
        assert_eq!(changed(&mut device, &received, "m", &[theta], 1.0), part("m", vec![1.0]));
        assert_eq!(device[&key("m")].values, [2.0]);
        // Without a step there is no gradient, and nothing changes.
        assert_eq!(changed(&mut device, &received, "m", &[2.0], 0.0), part("m", vec![0.0]));
        assert_eq!(device[&key("m")].values, [2.0]);
    }
}
