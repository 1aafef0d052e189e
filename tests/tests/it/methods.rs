//! What holds for every method. A new one is added to `cotune_tests::methods` and inherits all of this.

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};

use cotune_kernel::codec;
use cotune_tests::{methods, plan, tiny};
use cotune_world::Plan;
use cotune_world::job::{Job, Outcome};
use cotune_world::method::{CloudOutcome, CloudTask, DeviceOutcome, DeviceTask, State, Update};
use cotune_world::packing::Residual;
use cotune_world::payload::{Part, Payload};

/// The round that is played: everything a method does has begun by then.
const ROUND: u32 = 2;

/// A method at work: its plan, and the outcome of one round of all devices.
struct Case {
    name: &'static str,
    tables: String,
    plan: Arc<Plan>,
    devices: Vec<DeviceOutcome>,
}

/// Every method after one round; made once, since most of the time goes here.
static CASES: LazyLock<Vec<Case>> = LazyLock::new(|| {
    let case = |(name, tables): (&'static str, String)| {
        let plan = plan(&tiny(&tables, &[]));
        let devices = (0..plan.fleet().devices()).map(|device| device_outcome(&plan, device)).collect();
        Case { name, tables, plan, devices }
    };
    methods().into_iter().map(case).collect()
});

fn cases() -> impl Iterator<Item = &'static Case> {
    CASES.iter()
}

fn model(plan: &Plan, device: u32) -> String {
    plan.fleet().class_of(device).model.to_string()
}

/// What the cloud sends to a device in the first round.
fn broadcast(plan: &Plan, device: u32) -> Payload {
    let cloud = plan.method().start_cloud(plan.lab());
    plan.method().broadcast(plan.lab(), &cloud, &model(plan, device))
}

fn device_job(plan: &Plan, device: u32) -> Job {
    let model = model(plan, device);
    let state = plan.method().start_device(plan.lab(), &model);
    let task = DeviceTask { device, model, round: ROUND, progress: 0.5 };
    Job::Device { task, state, received: Arc::new(broadcast(plan, device)), residual: Residual::new() }
}

fn device_outcome(plan: &Plan, device: u32) -> DeviceOutcome {
    match device_job(plan, device).perform(plan) {
        Outcome::Device(outcome, _) => *outcome,
        other => panic!("{other:?}"),
    }
}

impl Case {
    /// The updates of the first `n` devices.
    fn updates(&self, n: usize) -> Vec<Update> {
        let update = |(device, outcome): (u32, &DeviceOutcome)| Update {
            device,
            model: model(&self.plan, device),
            examples: self.plan.lab().examples_of(device).len() as u64,
            discount: 1.0,
            base: None,
            payload: Arc::new(outcome.update.clone()),
        };
        (0..).zip(&self.devices).take(n).map(update).collect()
    }

    fn cloud_job(&self, devices: usize) -> Job {
        let state = self.plan.method().start_cloud(self.plan.lab());
        let task = CloudTask { round: ROUND, progress: 0.5 };
        Job::Cloud { task, state, updates: self.updates(devices) }
    }

    fn cloud_outcome(&self, devices: usize) -> CloudOutcome {
        match self.cloud_job(devices).perform(&self.plan) {
            Outcome::Cloud(outcome) => *outcome,
            other => panic!("{other:?}"),
        }
    }

    fn fold(&self, updates: &[Update]) -> State {
        let lab = self.plan.lab();
        self.plan.method().fold(lab, self.plan.method().start_cloud(lab), updates)
    }
}

#[test]
fn a_job_that_was_written_down_has_the_same_outcome_on_another_thread_with_nothing_cached() {
    for case in cases() {
        let jobs = (0..case.plan.fleet().devices())
            .map(|device| device_job(&case.plan, device))
            .chain([case.cloud_job(case.devices.len())]);
        let written: Vec<Vec<u8>> =
            jobs.map(|job| codec::encode(7, &job).expect("a job can be written down")).collect();
        let elsewhere = std::thread::spawn(|| {
            let plan = plan(&tiny(&case.tables, &[]));
            let read = |bytes: Vec<u8>| codec::decode::<Job>(7, &bytes).expect("a job can be read back");
            written.into_iter().map(|bytes| read(bytes).perform(&plan)).collect::<Vec<_>>()
        });
        let here =
            case.devices.iter().cloned().map(|outcome| Outcome::Device(Box::new(outcome), Residual::new()));
        let here: Vec<Outcome> =
            here.chain([Outcome::Cloud(Box::new(case.cloud_outcome(case.devices.len())))]).collect();
        let elsewhere = elsewhere.join().expect("the thread ends well");
        for (number, (one, other)) in here.iter().zip(&elsewhere).enumerate() {
            assert!(one == other, "{}: job {number} came out differently", case.name);
        }
    }
}

#[test]
fn the_bytes_that_are_charged_are_those_of_what_is_really_sent() {
    for case in cases() {
        for (device, outcome) in (0..).zip(&case.devices) {
            let traffic = case.plan.traffic(device);
            let down = broadcast(&case.plan, device);
            assert_eq!(traffic.down, encoded(&down), "{}: broadcast to device {device}", case.name);
            assert_eq!(traffic.up, encoded(&outcome.update), "{}: update of device {device}", case.name);
        }
    }
}

/// The length of a payload's frame, by making it.
fn encoded(payload: &Payload) -> u64 {
    let length = codec::encode(1, payload).expect("a payload can be encoded").len() as u64;
    assert_eq!(length, payload.encoded_bytes());
    length
}

#[test]
fn the_steps_that_are_charged_are_those_that_are_taken() {
    for case in cases() {
        for (device, outcome) in (0..).zip(&case.devices) {
            let charged = u64::from(case.plan.device_cost(device, ROUND).steps);
            assert_eq!(charged, outcome.trained.steps, "{}: device {device}", case.name);
        }
        let taken: u64 = case.cloud_outcome(3).trained.iter().map(|(_, progress)| progress.steps).sum();
        assert_eq!(u64::from(case.plan.cloud_cost(ROUND).steps), taken, "{}: cloud", case.name);
    }
}

#[test]
fn learning_leaves_finite_numbers_and_moves_what_it_trains() {
    for case in cases() {
        for (device, outcome) in (0..).zip(&case.devices) {
            let name = case.name;
            assert_eq!(outcome.trained.skipped, 0, "{name}: device {device}");
            assert!(outcome.update.is_finite(), "{name}: device {device}");
            let before = case.plan.method().start_device(case.plan.lab(), &model(&case.plan, device));
            assert!(before.keys().eq(outcome.state.keys()), "{name}: device {device} keeps other models");
            let moved = outcome.state != before || !outcome.update.parts.is_empty();
            let idle = ["zero-shot", "centralized"].contains(&name);
            assert_eq!(moved, !idle, "{name}: device {device}");
        }
    }
}

#[test]
fn a_round_without_updates_leaves_the_cloud_as_it_was() {
    for case in cases() {
        let before = case.plan.method().start_cloud(case.plan.lab());
        assert!(case.fold(&[]) == before, "{}", case.name);
    }
}

#[test]
fn the_mean_of_one_device_is_that_device() {
    for case in cases() {
        let updates = case.updates(1);
        let folded = case.fold(&updates);
        for part in &updates[0].payload.parts {
            let Part::Adapter { model, values } = part else { continue };
            assert!(&folded[model].values == values, "{}: {model}", case.name);
        }
        let after = case.cloud_outcome(1).state;
        assert!(after.keys().eq(folded.keys()), "{}: the cloud's models changed", case.name);
    }
}

#[test]
fn a_device_with_many_examples_weighs_more_unless_the_rule_counts_devices_alike() {
    for case in cases() {
        // Devices 0.. of one architecture, so that their updates are averaged with each other.
        let alike = |update: &Update| update.model == model(&case.plan, 0);
        let mut updates: Vec<Update> = case.updates(3).into_iter().filter(alike).take(2).collect();
        let Some(Part::Adapter { model, values }) = updates[0].payload.parts.first().cloned() else {
            continue;
        };
        assert_eq!(updates.len(), 2, "the tiny fleet has two devices of every architecture that is averaged");
        (updates[0].examples, updates[1].examples) = (1_000_000, 1);
        let mean = &case.fold(&updates)[&model].values;
        let other = updates[1].payload.values(&model).expect("both send the same model");
        let distance = |to: &[f32]| -> f64 { mean.iter().zip(to).map(|(a, b)| f64::from(a - b).abs()).sum() };
        let (near, far) = (distance(&values), distance(other));
        let alike = ["uniform", "median", "trimmed-mean", "krum"];
        let uniform = case.tables.contains("[method.fedcollm]") && !case.tables.contains("weighted");
        if uniform || alike.iter().any(|rule| case.tables.contains(rule)) {
            assert!((near - far).abs() < 1e-3 * far, "{}: {near} and {far}", case.name);
        } else {
            assert!(near < 1e-3 * far, "{}: {near} and {far}", case.name);
        }
    }
}

#[test]
fn every_model_that_is_scored_exists_and_its_values_fit() {
    for case in cases() {
        let (plan, method) = (&case.plan, case.plan.method());
        let cloud = method.start_cloud(plan.lab());
        let known: BTreeSet<&str> = plan.lab().models().map(|model| model.name.as_str()).collect();
        let edges = (0..)
            .zip(&case.devices)
            .map(|(device, outcome)| method.edge_subject(&cloud, &outcome.state, &model(plan, device)));
        for subject in edges.chain(method.cloud_subjects(&cloud).into_iter().map(|(_, subject)| subject)) {
            assert!(known.contains(subject.model.as_str()), "{}: no model {}", case.name, subject.model);
            let layout = &plan.lab().model(&subject.model).layout;
            assert_eq!(subject.values.len(), layout.total(), "{}: {}", case.name, subject.model);
        }
    }
}

#[test]
fn every_method_says_what_it_is_and_where_it_is_from() {
    for case in cases() {
        let method = case.plan.method();
        assert!(case.tables.starts_with(&format!("[method.{}]", method.name())), "{}", case.name);
        assert!(!method.citation().is_empty(), "{}", case.name);
    }
}
