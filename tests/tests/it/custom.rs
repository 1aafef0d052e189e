//! A method that is not part of cotune, played by it: a program brings a `Method`, a scenario names it.

use std::sync::Arc;

use cotune_record::{Event, EventKind, FaultKind, Outcome, Reason, Scope, tabulate};
use cotune_scenario::Scenario;
use cotune_tests::own_method::HalfWay;
use cotune_tests::{half_way, lab, play, tiny};
use cotune_world::method::{DeviceOutcome, DeviceTask, Load, Method, Need, State, Subject, Update};
use cotune_world::payload::Payload;
use cotune_world::{Lab, Plan};

fn scenario(name: &str, share: &str) -> Scenario {
    tiny(&half_way(name, share), &[])
}

fn method(scenario: &Scenario) -> HalfWay {
    HalfWay::of(scenario).unwrap_or_else(|error| panic!("{error}"))
}

fn drawn(scenario: &Scenario) -> Result<Arc<Plan>, String> {
    let plan = Plan::draw_with(Arc::new(lab(scenario)), Box::new(method(scenario)));
    plan.map(Arc::new).map_err(|error| error.to_string())
}

#[test]
fn a_method_from_outside_is_played_billed_and_scored_like_any_other() {
    let digests = ["0.5", "1.0"].map(|share| {
        let plan = drawn(&scenario("half-way", share)).unwrap_or_else(|error| panic!("{error}"));
        let played = play(&plan, 2, true);
        assert!(played.digest == play(&plan, 1, true).digest, "one thread and two");
        let layout = &plan.lab().model("proxy").layout;
        assert!(plan.traffic(0, 1).up > 4 * layout.total() as u64);
        let accepted = |kind: &EventKind| matches!(kind, EventKind::UpdateAccepted { .. });
        assert_eq!(played.events.iter().filter(|event| accepted(&event.kind)).count(), 6);
        played.digest
    });
    assert!(digests[0] != digests[1], "the setting is heard");
}

#[test]
fn what_is_wrong_with_its_table_is_said_by_the_method() {
    for (share, words) in [("1.5", "between 0 and 1"), ("\"half\"", "write settings = { share = 0.5 }")] {
        let told = HalfWay::of(&scenario("half-way", share)).expect_err("it is no share");
        assert!(told.contains(words), "{told}");
    }
}

#[test]
fn a_method_is_played_under_its_own_name_only_and_by_who_has_it() {
    let other = drawn(&scenario("quarter-way", "0.25")).expect_err("it has another name");
    assert!(other.contains("quarter-way") && other.contains("half-way"), "{other}");
    let lab = lab(&scenario("half-way", "0.5"));
    let unknown = Plan::draw(Arc::new(lab)).expect_err("cotune does not have it").to_string();
    assert!(unknown.contains("[method.custom]") && unknown.contains("draw_with"), "{unknown}");
}

#[test]
fn what_a_method_says_that_it_needs_is_demanded_of_the_scenario() {
    let refused = |need: Need| {
        let scenario = scenario("half-way", "0.5");
        let mut method = method(&scenario);
        method.needs = vec![need];
        Plan::draw_with(Arc::new(lab(&scenario)), Box::new(method)).err().map(|error| error.to_string())
    };
    assert_eq!(refused(Need::PublicTexts), None);
    let nobody = refused(Need::Trained("nobody".to_owned())).expect("there is no such model");
    assert!(nobody.contains("[method.half-way]") && nobody.contains("[models.nobody]"), "{nobody}");
}

/// The same method with a bug: the work of a device, or of the cloud, panics in every round.
#[derive(Debug)]
struct Broken {
    method: HalfWay,
    /// The device, or [`CLOUD`].
    party: u32,
}

/// Stands for the cloud among parties that break.
const CLOUD: u32 = u32::MAX;

impl Method for Broken {
    fn name(&self) -> &'static str {
        self.method.name()
    }

    fn citation(&self) -> &str {
        self.method.citation()
    }

    fn needs(&self) -> Vec<Need> {
        self.method.needs()
    }

    fn start_cloud(&self, lab: &Lab) -> State {
        self.method.start_cloud(lab)
    }

    fn start_device(&self, lab: &Lab, model: &str) -> State {
        self.method.start_device(lab, model)
    }

    fn broadcast(&self, lab: &Lab, cloud: &State, model: &str, round: u32) -> Payload {
        self.method.broadcast(lab, cloud, model, round)
    }

    fn uplink(&self, lab: &Lab, model: &str, round: u32) -> Payload {
        self.method.uplink(lab, model, round)
    }

    fn device_work(&self, lab: &Lab, task: &DeviceTask, state: State, received: &Payload) -> DeviceOutcome {
        assert!(self.party != task.device, "the method has a bug");
        self.method.device_work(lab, task, state, received)
    }

    fn fold(&self, lab: &Lab, cloud: State, updates: &[Update]) -> State {
        assert!(self.party != CLOUD, "the method has a bug");
        self.method.fold(lab, cloud, updates)
    }

    fn device_load(&self, model: &str, examples: u32, round: u32) -> Load {
        self.method.device_load(model, examples, round)
    }

    fn edge_subject(&self, cloud: &State, device: &State, model: &str) -> Subject {
        self.method.edge_subject(cloud, device, model)
    }

    fn cloud_subjects(&self, cloud: &State) -> Vec<(Scope, Subject)> {
        self.method.cloud_subjects(cloud)
    }
}

#[test]
fn a_job_that_panics_costs_its_party_the_round_and_nobody_else() {
    let scenario = scenario("half-way", "0.5");
    let broken = |party| {
        let method = Broken { method: method(&scenario), party };
        let plan = Plan::draw_with(Arc::new(lab(&scenario)), Box::new(method));
        let plan = Arc::new(plan.unwrap_or_else(|error| panic!("{error}")));
        let played = play(&plan, 2, true);
        assert!(played.digest == play(&plan, 1, true).digest, "one thread and two");
        let panics = |event: &Event| match &event.kind {
            EventKind::Fault { kind: FaultKind::Panic, device, detail } => {
                assert!(detail.contains("the method has a bug"), "{detail}");
                Some(*device)
            }
            _ => None,
        };
        let panicked: Vec<Option<u32>> = played.events.iter().filter_map(panics).collect();
        (panicked, tabulate(&played.events).expect("every invitation has one outcome"))
    };

    let (panicked, tables) = broken(1);
    assert_eq!(panicked, [Some(1); 2], "in both rounds");
    for report in &tables.reports {
        let expected = if report.device == 1 { Outcome::Not(Reason::Crashed) } else { Outcome::Accepted };
        assert_eq!(report.outcome, Some(expected), "device {} in round {}", report.device, report.round);
    }

    let (panicked, tables) = broken(CLOUD);
    assert_eq!(panicked, [None; 2]);
    assert_eq!(tables.count(Outcome::Accepted), 6, "what was sent was sent");
    let losses = tables.evaluations.iter().filter(|row| row.scope == Scope::Proxy && row.domain.is_none());
    let losses: Vec<f64> = losses.filter(|row| row.metric == "loss").filter_map(|row| row.value).collect();
    assert!(
        losses.len() > 1 && losses.windows(2).all(|pair| pair[0] == pair[1]),
        "nothing was learned: {losses:?}"
    );
}
