//! A method that is not part of cotune, played by it: a program brings a `Method`, a scenario names it.

use std::sync::Arc;

use cotune_models::learner::Trained;
use cotune_record::{Event, EventKind, FaultKind, Outcome, Reason, Scope, tabulate};
use cotune_scenario::Scenario;
use cotune_scenario::method::{Aggregate, Custom, Method as Written};
use cotune_tests::{lab, play, tiny};
use cotune_world::method::training::{Rate, TunePlan, private_text, tuned};
use cotune_world::method::travelling::Travelling;
use cotune_world::method::{
    DeviceOutcome, DeviceTask, Load, Method, Need, State, Subject, TrainingLoad, Update, fresh, subject,
};
use cotune_world::payload::Payload;
use cotune_world::{Lab, Plan};

/// Personalised averaging: a device begins a round between its own adapter and the mean, `settings.share` of the way to
/// the mean, and serves what is its own (after APFL, Deng et al. 2020, arXiv 2003.13461, with one mixture for all).
#[derive(Debug)]
struct HalfWay {
    table: Custom,
    proxy: String,
    share: f32,
    needs: Vec<Need>,
    /// The device whose work panics in every round, or [`CLOUD`], for the test of that.
    breaks: Option<u32>,
}

impl HalfWay {
    fn of(scenario: &Scenario) -> Self {
        let Written::Custom(table) = &scenario.method else { panic!("the scenario has a method of its own") };
        let share = table.settings["share"].as_f64().expect("share is a number") as f32;
        let proxy = table.proxy.clone().expect("there is a proxy");
        let needs = vec![Need::Trained(proxy.clone())];
        Self { table: (**table).clone(), needs, proxy, share, breaks: None }
    }

    fn travelling(&self) -> Travelling<'_> {
        Travelling { model: &self.proxy, aggregate: &Aggregate::Weighted, relay: None }
    }
}

impl Method for HalfWay {
    fn name(&self) -> &'static str {
        "half-way"
    }

    fn citation(&self) -> &'static str {
        "after APFL, Deng et al. 2020, arXiv 2003.13461"
    }

    fn needs(&self) -> Vec<Need> {
        self.needs.clone()
    }

    fn start_cloud(&self, lab: &Lab) -> State {
        fresh(lab, [self.proxy.as_str()])
    }

    fn start_device(&self, lab: &Lab, _model: &str) -> State {
        fresh(lab, [self.proxy.as_str()])
    }

    fn broadcast(&self, _lab: &Lab, cloud: &State, _model: &str) -> Payload {
        self.travelling().broadcast(cloud)
    }

    fn uplink(&self, lab: &Lab, _model: &str) -> Payload {
        self.travelling().uplink(lab)
    }

    fn device_work(&self, lab: &Lab, task: &DeviceTask, state: State, received: &Payload) -> DeviceOutcome {
        assert!(self.breaks != Some(task.device), "the method has a bug");
        let (own, mean) = (&state[&self.proxy].values, self.travelling().received(received).values);
        let between = own.iter().zip(&mean).map(|(own, mean)| own + self.share * (mean - own)).collect();
        let steps = self.table.device_steps.tune;
        let plan = TunePlan {
            optimizer: &self.table.optimizer,
            path: &task.path(),
            steps,
            batch: self.table.batch,
            rate: Rate::of_device(lab, &self.table.optimizer, task, steps),
        };
        let text = |model: &_| private_text(lab, model, task.device);
        let start = Trained { values: between, ..Trained::default() };
        let (tuned, trained) = tuned(lab, &self.proxy, &start, text, &plan);
        let update = Payload::adapter(&self.proxy, &tuned.values);
        DeviceOutcome { state: State::from([(self.proxy.clone(), tuned)]), update, trained, relay: None }
    }

    fn fold(&self, _lab: &Lab, cloud: State, updates: &[Update]) -> State {
        assert!(self.breaks != Some(CLOUD), "the method has a bug");
        self.travelling().fold(cloud, updates)
    }

    fn device_load(&self, _model: &str, _examples: u32, _round: u32) -> Load {
        let (steps, batch) = (self.table.device_steps.tune, self.table.batch);
        Load { training: vec![TrainingLoad { model: self.proxy.clone(), steps, batch }], ..Load::default() }
    }

    fn edge_subject(&self, _cloud: &State, device: &State, _model: &str) -> Subject {
        subject(device, &self.proxy)
    }

    fn cloud_subjects(&self, cloud: &State) -> Vec<(Scope, Subject)> {
        vec![(Scope::Proxy, subject(cloud, &self.proxy))]
    }
}

/// Stands for the cloud among devices that break.
const CLOUD: u32 = u32::MAX;

fn scenario(name: &str, share: &str) -> Scenario {
    let table = format!(
        "name = {name:?}\ndevice_steps = {{ tune = 2 }}\nbatch = 4\nsettings = {{ share = {share} }}"
    );
    tiny(&format!("[method.custom]\n{table}\n"), &[])
}

fn drawn(scenario: &Scenario) -> Result<Arc<Plan>, String> {
    let plan = Plan::draw_with(Arc::new(lab(scenario)), Box::new(HalfWay::of(scenario)));
    plan.map(Arc::new).map_err(|error| error.to_string())
}

#[test]
fn a_method_from_outside_is_played_billed_and_scored_like_any_other() {
    let digests = ["0.5", "1.0"].map(|share| {
        let plan = drawn(&scenario("half-way", share)).unwrap_or_else(|error| panic!("{error}"));
        let played = play(&plan, 2, true);
        assert!(played.digest == play(&plan, 1, true).digest, "one thread and two");
        let layout = &plan.lab().model("proxy").layout;
        assert!(plan.traffic(0).up > 4 * layout.total() as u64);
        let accepted = |kind: &EventKind| matches!(kind, EventKind::UpdateAccepted { .. });
        assert_eq!(played.events.iter().filter(|event| accepted(&event.kind)).count(), 6);
        played.digest
    });
    assert!(digests[0] != digests[1], "the setting is heard");
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
        let method = HalfWay { needs: vec![need], ..HalfWay::of(&scenario) };
        Plan::draw_with(Arc::new(lab(&scenario)), Box::new(method)).err().map(|error| error.to_string())
    };
    assert_eq!(refused(Need::PublicTexts), None);
    let nobody = refused(Need::Trained("nobody".to_owned())).expect("there is no such model");
    assert!(nobody.contains("[method.half-way]") && nobody.contains("[models.nobody]"), "{nobody}");
    let one = refused(Need::OneEdgeModel).expect("the tiny fleet runs two models");
    assert!(one.contains("edge-a, edge-b") && one.contains("fleet.class.*.model"), "{one}");
}

#[test]
fn a_job_that_panics_costs_its_party_the_round_and_nobody_else() {
    let scenario = scenario("half-way", "0.5");
    let broken = |breaks| {
        let method = HalfWay { breaks: Some(breaks), ..HalfWay::of(&scenario) };
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
