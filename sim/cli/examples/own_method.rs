//! A method of one's own, played by cotune: `cargo run --release --example own_method`.
//!
//! Personalised averaging. A device begins every round between its own adapter and the mean of all, and serves what is
//! its own (after APFL, Deng et al. 2020, arXiv 2003.13461, with one mixture for all devices).

use cotune::models::learner::Trained;
use cotune::record::Scope;
use cotune::scenario::Scenario;
use cotune::scenario::method::{Aggregate, Custom, Method as Written};
use cotune::world::Lab;
use cotune::world::method::training::{TunePlan, private_text, tuned};
use cotune::world::method::travelling::Travelling;
use cotune::world::method::{
    DeviceOutcome, DeviceTask, Load, Method, Need, State, Subject, TrainingLoad, Update, fresh, subject,
};
use cotune::world::payload::Payload;
use cotune::{Error, Experiment};

/// The method, made for one scenario.
#[derive(Debug)]
pub struct HalfWay {
    table: Custom,
    proxy: String,
    /// How far a device moves to the mean, 0 to 1.
    share: f32,
    /// What a scenario has to have; one that has it not is refused in its words.
    pub needs: Vec<Need>,
}

impl HalfWay {
    /// Reads `[method.custom]`; what is wrong with it becomes the error.
    pub fn of(scenario: &Scenario) -> Result<Self, String> {
        let Written::Custom(table) = &scenario.method else { return Err("write [method.custom]".to_owned()) };
        let share = table.settings.get("share").and_then(|share| share.as_f64());
        let share = share.filter(|share| (0.0..=1.0).contains(share));
        let share = share.ok_or("write settings = { share = 0.5 }, between 0 and 1")? as f32;
        let proxy = table.proxy.clone().ok_or("write [models.proxy], the model that is averaged")?;
        Ok(Self { table: (**table).clone(), needs: vec![Need::Trained(proxy.clone())], proxy, share })
    }

    /// The proxy's adapter is what is sent down, brought back and averaged.
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

    fn broadcast(&self, _lab: &Lab, cloud: &State, _model: &str, round: u32) -> Payload {
        self.travelling().broadcast(cloud, round)
    }

    fn uplink(&self, lab: &Lab, _model: &str, _round: u32) -> Payload {
        self.travelling().uplink(lab)
    }

    fn device_work(&self, lab: &Lab, task: &DeviceTask, state: State, received: &Payload) -> DeviceOutcome {
        let (own, mean) = (&state[&self.proxy].values, self.travelling().received(received).values);
        let between = own.iter().zip(&mean).map(|(own, mean)| own + self.share * (mean - own)).collect();
        let Custom { optimizer, device_steps, batch, .. } = &self.table;
        let plan = TunePlan::of_device(lab, optimizer, task, device_steps.tune, *batch);
        let text = |model: &_| private_text(lab, model, task.device);
        let start = Trained { values: between, ..Trained::default() };
        let (tuned, trained) = tuned(lab, &self.proxy, &start, text, &plan);
        let update = Payload::adapter(&self.proxy, &tuned.values);
        DeviceOutcome { state: State::from([(self.proxy.clone(), tuned)]), update, trained, relay: None }
    }

    fn fold(&self, _lab: &Lab, cloud: State, updates: &[Update]) -> State {
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

fn main() -> Result<(), Error> {
    for share in ["0.0", "0.5", "1.0"] {
        let table = format!(
            "{{ custom = {{ name = \"half-way\", device_steps = {{ tune = 24 }}, settings = {{ share = {share} }} }} }}"
        );
        let run = Experiment::new("scenarios/quickstart.toml")
            .set("method", &table)
            .smoke()
            .method(|scenario| Ok(Box::new(HalfWay::of(scenario)?)))
            .play()?;
        let score = |name: &str| run.metric(name).unwrap_or(f64::NAN);
        println!(
            "share {share}: edge {:.2}, proxy {:.2}, {} updates, digest {}",
            score("edge.rouge-l.mean"),
            score("proxy.rouge-l"),
            score("updates.accepted"),
            &run.digest().to_hex()[..8],
        );
    }
    Ok(())
}
