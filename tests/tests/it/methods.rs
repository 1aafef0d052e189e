//! What holds for every method. A new one is added to `cotune_tests::methods` and inherits all of this, be it cotune's or
//! one that a program brings.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};

use cotune_kernel::codec;
use cotune_models::learner::Trained;
use cotune_record::{EventKind, FaultKind, Reason};
use cotune_tests::{Variant, checked, fedavg, fedmkt, lab, methods, plan, play, relay, tiny, tiny_text};
use cotune_world::Plan;
use cotune_world::job::{Job, Outcome};
use cotune_world::method::{CloudOutcome, CloudTask, DeviceOutcome, DeviceTask, State, Update};
use cotune_world::packing::Residual;
use cotune_world::payload::{Content, Part, Payload};

/// The round that is played: everything a method does has begun by then.
const ROUND: u32 = 2;

/// A method at work: its plan, and the outcome of one round of all devices.
struct Case {
    name: &'static str,
    tables: String,
    variant: Variant,
    plan: Arc<Plan>,
    devices: Vec<DeviceOutcome>,
}

/// Every method after one round; made once, since most of the time goes here.
static CASES: LazyLock<Vec<Case>> = LazyLock::new(|| {
    let case = |variant: Variant| {
        let plan = variant.plan(&tiny(&variant.tables, &[]));
        let devices = (0..plan.fleet().devices()).map(|device| device_outcome(&plan, device)).collect();
        Case { name: variant.name, tables: variant.tables.clone(), variant, plan, devices }
    };
    methods().into_iter().map(case).collect()
});

fn cases() -> impl Iterator<Item = &'static Case> {
    CASES.iter()
}

fn model(plan: &Plan, device: u32) -> String {
    plan.fleet().class_of(device).model.to_string()
}

/// What the cloud that has learned nothing yet sends to a device for a round.
fn broadcast(plan: &Plan, device: u32, round: u32) -> Payload {
    let cloud = plan.method().start_cloud(plan.lab());
    plan.method().broadcast(plan.lab(), &cloud, &model(plan, device), round)
}

fn device_job(plan: &Plan, device: u32, round: u32) -> Job {
    let model = model(plan, device);
    let state = plan.method().start_device(plan.lab(), &model);
    let task = DeviceTask { device, model, round, progress: 0.5 };
    let state = Arc::new(state);
    Job::Device { task, state, received: Arc::new(broadcast(plan, device, round)), residual: Residual::new() }
}

fn device_outcome(plan: &Plan, device: u32) -> DeviceOutcome {
    device_outcome_of(plan, device, ROUND)
}

fn device_outcome_of(plan: &Plan, device: u32, round: u32) -> DeviceOutcome {
    match device_job(plan, device, round).perform(plan) {
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

    /// Whether the cloud takes an aggregate of values as it is, and makes nothing else of it.
    fn takes_means(&self) -> bool {
        !self.tables.contains("server") && !self.tables.contains("ranks")
    }

    /// The tiny federation with its tables and more.
    fn text(&self, more: &str) -> String {
        tiny_text(&format!("{}\n{more}", self.tables))
    }

    fn cloud_job(&self, devices: usize) -> Job {
        let state = self.plan.method().start_cloud(self.plan.lab());
        let task = CloudTask { round: ROUND, progress: 0.5 };
        Job::Cloud { task, state: Arc::new(state), updates: self.updates(devices) }
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
            .map(|device| device_job(&case.plan, device, ROUND))
            .chain([case.cloud_job(case.devices.len())]);
        let written: Vec<Vec<u8>> =
            jobs.map(|job| codec::encode(7, &job).expect("a job can be written down")).collect();
        let elsewhere = std::thread::spawn(|| {
            let plan = case.variant.plan(&tiny(&case.tables, &[]));
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
            let traffic = case.plan.traffic(device, ROUND);
            let down = broadcast(&case.plan, device, ROUND);
            assert_eq!(traffic.down, encoded(&down), "{}: broadcast to device {device}", case.name);
            assert_eq!(traffic.up, encoded(&outcome.update), "{}: update of device {device}", case.name);
        }
    }
}

#[test]
fn what_a_relay_set_adds_is_charged_from_the_round_on_in_which_it_travels() {
    for case in cases().filter(|case| case.name.contains("from a later round on")) {
        let (name, device) = (case.name, 0);
        let traffic: Vec<_> = (1..=4).map(|round| case.plan.traffic(device, round)).collect();
        for (round, traffic) in (1..).zip(&traffic) {
            let update = device_outcome_of(&case.plan, device, round).update;
            assert_eq!(
                traffic.down,
                encoded(&broadcast(&case.plan, device, round)),
                "{name}: down in {round}"
            );
            assert_eq!(traffic.up, encoded(&update), "{name}: up in {round}");
            assert!(update.has_shape_of(case.plan.update_shape(device, round)), "{name}: {round}");
        }
        // The cloud's relay set starts in round 2 and the devices' in round 3, and from there on nothing changes.
        let [first, second, third, fourth] = [0, 1, 2, 3].map(|i| (traffic[i].down, traffic[i].up));
        assert_eq!(third, fourth, "{name}");
        assert!(third.0 > first.0, "{name}: prompts come down");
        if case.tables.contains("[method.fedmkt]") {
            assert!(first.0 < second.0 && second.0 < third.0, "{name}: prompts, then answers too");
            assert!(first.1 < second.1 && second.1 == third.1, "{name}: answers go up for the cloud");
        } else {
            assert_eq!((first, second.1), (second, third.1), "{name}: nothing but prompts for devices");
        }
        // Played to its end, every event has the bytes of its round.
        let played = play(&case.variant.plan(&tiny(&case.tables, &[("budget.rounds", "4")])), 2, true);
        for event in played.events {
            let (down, round, device, bytes) = match event.kind {
                EventKind::DownloadStarted { round, device, bytes } => (true, round, device, bytes),
                EventKind::UploadStarted { round, device, bytes } => (false, round, device, bytes),
                EventKind::NotContributed { reason, .. } => panic!("{name}: {reason:?}"),
                _ => continue,
            };
            let traffic = case.plan.traffic(device, round);
            assert_eq!(bytes, if down { traffic.down } else { traffic.up }, "{name}: {device} in {round}");
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
fn the_cloud_works_in_a_round_without_updates_too() {
    for case in cases() {
        let before = case.plan.method().start_cloud(case.plan.lab());
        let done = case.cloud_outcome(0);
        assert!(done.state.keys().eq(before.keys()), "{}: the cloud's models changed", case.name);
        let finite = |one: &Trained| one.values.iter().all(|value| value.is_finite());
        assert!(done.state.values().all(finite), "{}", case.name);
        let steps: u64 = done.trained.iter().map(|(_, progress)| progress.steps).sum();
        assert_eq!(u64::from(case.plan.cloud_cost(ROUND).steps), steps, "{}", case.name);
    }
}

#[test]
fn the_mean_of_one_device_is_that_device() {
    for case in cases() {
        let updates = case.updates(1);
        let folded = case.fold(&updates);
        let parts = if case.takes_means() { updates[0].payload.parts.as_slice() } else { &[] };
        for part in parts {
            let Part::Adapter { model, values } = part else { continue };
            assert!(&folded[model].values == values, "{}: {model}", case.name);
        }
        let after = case.cloud_outcome(1).state;
        assert!(after.keys().eq(folded.keys()), "{}: the cloud's models changed", case.name);
    }
}

#[test]
fn a_device_with_many_examples_weighs_more_unless_the_rule_counts_devices_alike() {
    // Where examples decide how many steps a device takes, they cannot be exchanged afterwards.
    for case in cases().filter(|case| case.takes_means() && !case.tables.contains("epochs")) {
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
        let named = match case.variant.maker {
            None => format!("[method.{}]", method.name()),
            Some(_) => format!("[method.custom]\nname = {:?}", method.name()),
        };
        assert!(case.tables.starts_with(&named), "{}", case.name);
        assert!(!method.citation().is_empty(), "{}", case.name);
    }
}

#[test]
fn a_variant_of_fedavg_cites_its_own_paper() {
    let papers = [
        ("fedavg on the proxy", "1602.05629"),
        ("fedprox", "1812.06127"),
        ("scaffold", "1910.06378"),
        ("fednova over passes", "2007.07481"),
        ("fedavg with server momentum", "1909.06335"),
        ("fedadam", "2003.00295"),
        ("ffa-lora", "2403.12313"),
        ("hetlora with a proximal term", "2401.06432"),
        ("fedap", "2212.10025"),
    ];
    for (name, paper) in papers {
        let case = cases().find(|case| case.name == name).expect("it is in the list");
        assert!(case.plan.method().citation().contains(paper), "{name}: {}", case.plan.method().citation());
    }
    let both = cases().find(|case| case.name.starts_with("hetlora")).expect("it is in the list");
    assert!(both.plan.method().citation().ends_with("1812.06127"), "and what is added to it");
}

#[test]
fn control_variates_are_zero_in_the_beginning() {
    for case in cases().filter(|case| case.name.starts_with("scaffold")) {
        let (method, lab) = (case.plan.method(), case.plan.lab());
        let device = method.start_device(lab, &model(&case.plan, 0));
        let states = [method.start_cloud(lab), device];
        for state in &states {
            let controls = state.iter().filter(|(name, _)| name.ends_with("/control"));
            let values: Vec<f32> = controls.flat_map(|(_, control)| control.values.clone()).collect();
            assert!(!values.is_empty() && values.iter().all(|value| *value == 0.0), "{}", case.name);
        }
    }
}

#[test]
fn a_device_that_passes_over_more_examples_takes_more_steps() {
    let case = cases().find(|case| case.name == "fednova over passes").expect("it is in the list");
    let steps: Vec<u64> = case.devices.iter().map(|outcome| outcome.trained.steps).collect();
    let examples = (0..3).map(|device| case.plan.lab().examples_of(device).len().div_ceil(8) as u64);
    assert_eq!(steps, examples.collect::<Vec<_>>());
    assert!(steps.iter().any(|n| *n != steps[0]), "they differ: {steps:?}");
}

/// A federation of which every round can be played by hand.
struct Consortium {
    plan: Arc<Plan>,
    cloud: State,
    devices: Vec<State>,
}

impl Consortium {
    fn new(plan: Arc<Plan>) -> Self {
        let (method, lab) = (plan.method(), plan.lab());
        let cloud = method.start_cloud(lab);
        let devices =
            (0..plan.fleet().devices()).map(|d| method.start_device(lab, &model(&plan, d))).collect();
        Self { cloud, devices, plan }
    }

    /// One round of everybody; what is sent goes through `wire`.
    fn round(&mut self, round: u32, wire: fn(Payload) -> Payload) {
        let (plan, mut updates) = (Arc::clone(&self.plan), Vec::new());
        let (method, lab, progress) = (plan.method(), plan.lab(), f64::from(round - 1) / 2.0);
        for (device, state) in (0..).zip(&mut self.devices) {
            let task = DeviceTask { device, model: model(&plan, device), round, progress };
            let received = wire(method.broadcast(lab, &self.cloud, &task.model, round));
            let done = method.device_work(lab, &task, std::mem::take(state), &received);
            *state = done.state;
            updates.push(Update {
                device,
                model: task.model,
                examples: lab.examples_of(device).len() as u64,
                discount: 1.0,
                base: None,
                payload: Arc::new(wire(done.update)),
            });
        }
        let folded = method.fold(lab, std::mem::take(&mut self.cloud), &updates);
        self.cloud = method.cloud_work(lab, &CloudTask { round, progress }, folded, &updates).state;
    }

    /// The same federation in another process, so to speak: states written down and read back, nothing cached.
    fn resumed(&self, variant: &Variant) -> Self {
        let written = codec::encode(7, &(&self.cloud, &self.devices)).expect("states can be written down");
        let (cloud, devices) = codec::decode(7, &written).expect("states can be read back");
        Self { plan: variant.plan(&tiny(&variant.tables, &[])), cloud, devices }
    }
}

#[test]
fn a_run_resumed_after_any_round_is_the_run_that_was_not_cut() {
    const ROUNDS: u32 = 3;
    for case in cases() {
        let mut straight = Consortium::new(Arc::clone(&case.plan));
        let mut cut = Consortium::new(Arc::clone(&case.plan));
        for round in 1..=ROUNDS {
            straight.round(round, |payload| payload);
            cut.round(round, |payload| Payload::from_wire(&payload.to_wire()).expect("what is sent arrives"));
            if round < ROUNDS {
                cut = cut.resumed(&case.variant);
            }
        }
        assert!(straight.cloud == cut.cloud, "{}: the cloud", case.name);
        assert!(straight.devices == cut.devices, "{}: the devices", case.name);
    }
}

/// The reasons and rounds of a device's missing updates, the rounds in which it contributed, and the last state of the cloud.
fn played(variant: &Variant, text: &str, device: u32) -> (Vec<Reason>, usize, usize) {
    let overrides =
        [("budget.rounds", "2"), ("evaluation.panel", "1"), ("evaluation.every", "{ rounds = 9 }")];
    let plan = variant.plan(&checked("tiny.toml", text, &overrides));
    let (mut reasons, mut accepted, mut worked) = (Vec::new(), 0, 0);
    for event in play(&plan, 2, true).events {
        match event.kind {
            EventKind::NotContributed { device: of, reason, .. } if of == device => reasons.push(reason),
            EventKind::UpdateAccepted { device: of, .. } => accepted += usize::from(of != device),
            EventKind::CloudTrained { state: Some(_), .. } => worked += 1,
            EventKind::Fault { kind: FaultKind::Panic, detail, .. } => panic!("{}: {detail}", variant.name),
            _ => {}
        }
    }
    (reasons, accepted, worked)
}

#[test]
fn a_device_that_never_returns_holds_nobody_up() {
    for case in cases() {
        let gateway = (0..3).find(|d| model(&case.plan, *d) == "edge-b").expect("there is a gateway");
        // It takes the work of every round, and goes down in it.
        let fault = "[[fault]]\ncrash = { class = \"gateway\", rate = \"1000000000/h\" }";
        let (reasons, accepted, worked) = played(&case.variant, &case.text(fault), gateway);
        let idle = case.plan.device_cost(gateway, ROUND).steps == 0;
        assert!(idle || reasons == [Reason::Crashed; 2], "{}: {reasons:?}", case.name);
        assert_eq!((accepted, worked), (4, 2), "{}: the two others, in two rounds", case.name);
    }
}

#[test]
fn a_fleet_of_one_device_is_played_to_its_end() {
    for case in cases() {
        let text = case.text("");
        let (before, after) = text.split_once("[fleet.class.gateway]").expect("there are gateways");
        let (_, after) = after.split_once("[cloud]").expect("the cloud follows");
        let text = format!("{before}[cloud]{after}").replace("devices = 3", "devices = 1");
        // Counted are updates of others than the device in question: of all, if that is nobody.
        let (reasons, accepted, worked) = played(&case.variant, &text, u32::MAX);
        assert_eq!((reasons.as_slice(), accepted, worked), (&[][..], 2, 2), "{}", case.name);
    }
}

#[test]
fn an_update_that_is_not_finite_is_rejected_and_the_round_goes_on() {
    for case in cases() {
        let gateway = (0..3).find(|d| model(&case.plan, *d) == "edge-b").expect("there is a gateway");
        let fault = "[[fault]]\ncorrupt = { class = \"gateway\", fraction = 1.0, how = \"nan\" }";
        let (reasons, accepted, worked) = played(&case.variant, &case.text(fault), gateway);
        let sends = !case.devices[gateway as usize].update.parts.is_empty();
        let expected: &[Reason] = if sends { &[Reason::Rejected; 2] } else { &[] };
        assert_eq!(reasons, expected, "{}", case.name);
        assert_eq!((accepted, worked), (4, 2), "{}: the two others, in two rounds", case.name);
    }
}

#[test]
fn a_device_that_took_other_steps_than_the_others_is_folded_with_them() {
    for case in cases() {
        let more = case.tables.replace("tune = 2", "tune = 5").replace("tune = 1", "tune = 4");
        if more == case.tables {
            continue;
        }
        let eager = case.variant.plan(&tiny(&more, &[]));
        let mut updates = case.updates(3);
        let update = device_outcome(&eager, 0).update;
        assert!(update.has_shape_of(&updates[0].payload), "{}: steps do not change what is sent", case.name);
        assert!(update.parts.is_empty() || update != *updates[0].payload, "{}: steps count", case.name);
        updates[0].payload = Arc::new(update);
        let lab = case.plan.lab();
        let folded = case.fold(&updates);
        let task = CloudTask { round: ROUND, progress: 0.5 };
        let after = case.plan.method().cloud_work(lab, &task, folded, &updates).state;
        let finite = |state: &State| state.values().all(|one| one.values.iter().all(|v| v.is_finite()));
        assert!(finite(&after), "{}", case.name);
    }
}

#[test]
fn the_order_of_devices_does_not_matter() {
    // Of two updates that are closest to each other Krum keeps the first.
    for case in cases().filter(|case| !case.tables.contains("krum")) {
        let (in_order, mut reversed) = (case.updates(3), case.updates(3));
        reversed.reverse();
        let (one, other) = (case.fold(&in_order), case.fold(&reversed));
        for (name, trained) in &one {
            let apart = trained.values.iter().zip(&other[name].values).map(|(a, b)| (a - b).abs());
            assert!(apart.fold(0.0, f32::max) < 1e-6, "{}: {name}", case.name);
        }
        // Whoever does not average listens to the least loss, wherever it stands.
        let sends_adapters =
            in_order[0].payload.parts.iter().any(|part| matches!(part, Part::Adapter { .. }));
        if !sends_adapters {
            let (lab, task) = (case.plan.lab(), CloudTask { round: ROUND, progress: 0.5 });
            let work =
                |state, updates: &[Update]| case.plan.method().cloud_work(lab, &task, state, updates).state;
            assert!(work(one, &in_order) == work(other, &reversed), "{}", case.name);
        }
    }
}

#[test]
fn bytes_by_content_add_up_to_the_encoded_size() {
    for case in cases() {
        let updates = case.devices.iter().map(|outcome| &outcome.update);
        for payload in updates.chain([&broadcast(&case.plan, 0, ROUND)]) {
            let parts: u64 = payload.bytes_by_content().values().sum();
            // The frame's header, and the number of parts.
            assert_eq!(parts + codec::HEADER_LEN as u64 + 1, payload.encoded_bytes(), "{}", case.name);
        }
        for class in case.plan.overview().classes {
            let sum = |bytes: BTreeMap<Content, u64>| bytes.values().sum::<u64>();
            assert_eq!((sum(class.down), sum(class.up)), (class.down_bytes, class.up_bytes), "{}", case.name);
        }
    }
}

#[test]
fn bytes_by_content_are_those_of_the_billed_shape_where_a_model_is_billed() {
    let bill = "{ params = \"12.3M\", weights = \"f32\", layers = 4, width = 512 }";
    let scaffold = fedavg("on = \"proxy\"\nlocal = \"scaffold\"\noptimizer.sgd = { lr = 0.1 }");
    let memory = "\"8GiB\"";
    let overrides = [
        ("models.proxy.bill_as", bill),
        ("transfer.up.int8", "{}"),
        ("fleet.class.phone.memory", memory),
        ("fleet.class.gateway.memory", memory),
    ];
    let plan = plan(&tiny(&scaffold, &overrides));
    // Rank 2 on q and v, 512 wide both ways, in each of 4 layers; a control variate has as many values.
    let values = 2 * 2 * (512 + 512) * 4;
    let frame = Payload::default().encoded_bytes();
    for class in plan.overview().classes {
        let content =
            [(Content::Adapter, 4 * values), (Content::Control, 4 * values), (Content::Frame, frame)];
        assert_eq!(class.down, BTreeMap::from(content));
        assert_eq!(class.up[&Content::Control], 4 * values, "no encoding packs it");
        assert!(class.up[&Content::Adapter] < 2 * values, "{:?}", class.up);
        assert_eq!(class.up.values().sum::<u64>(), class.up_bytes);
    }
}

#[test]
fn what_fedmkt_sends_is_k_logits_and_indices_a_token_and_a_loss_an_example() {
    let case = cases().find(|case| case.name == "fedmkt").expect("it is in the list");
    let lab = case.plan.lab();
    let text = &lab.model(&model(&case.plan, 0)).text.public;
    let tokens: usize = text.iter().map(|sequence| sequence.answer.len()).sum();
    let bytes = case.devices[0].update.bytes_by_content();
    // Beside the numbers: which part it is, its name, and how many there are.
    let near = |content, expected: usize| {
        let counted = bytes[&content];
        assert!(
            (expected as u64..expected as u64 + 20).contains(&counted),
            "{content:?}: {counted}, {expected}"
        );
    };
    near(Content::Logits, 4 * 16 * tokens);
    near(Content::Indices, 2 * 16 * tokens);
    near(Content::Losses, 4 * text.len());
}

#[test]
fn what_a_method_needs_is_named_where_it_is_missing() {
    let refused = |tables: &str, overrides: &[(&str, &str)]| {
        let lab = lab(&tiny(tables, overrides));
        Plan::draw(Arc::new(lab)).err().map(|error| error.to_string()).unwrap_or_default()
    };
    // Examples that are counted and have no texts.
    let counted =
        [("data.corpus", "{ sizes = { examples = 96, mean_tokens = 9 } }"), ("data.split", "\"iid\"")];
    let nothing = refused(&fedmkt(""), &counted);
    assert!(nothing.contains("[method.fedmkt]") && nothing.contains("data.corpus.sizes"), "{nothing}");
    let guarded = refused(&fedmkt(&relay(", guard = \"dual-min-ce\"")), &[]);
    assert!(guarded.contains("[method.fedmkt]") && guarded.contains("relay.guard"), "{guarded}");
}
