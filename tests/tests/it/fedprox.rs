//! A new method in one file: FedProx on the proxy (Li et al. 2020, arXiv 1812.06127), written against what the crates
//! make public. It comes to the same events, weights included, as `local.prox` of the built-in fedavg.

use std::sync::Arc;

use cotune_kernel::Stream;
use cotune_models::batch::{Batch, Sequence};
use cotune_models::learner::{Learner, Trained};
use cotune_models::optimizer::AdamW;
use cotune_record::Scope;
use cotune_tests::{fedavg, lab, play, tiny};
use cotune_world::method::{DeviceOutcome, DeviceTask, Load, Method, State, Subject, TrainingLoad, Update};
use cotune_world::payload::Payload;
use cotune_world::{Lab, Plan};

/// FedProx: FedAvg whose devices are held back by `(μ/2)‖θ − θ^t‖²`.
#[derive(Debug)]
struct FedProx {
    model: &'static str,
    mu: f64,
    steps: u32,
    batch: u32,
    lr: f64,
}

impl FedProx {
    fn subject(&self, cloud: &State) -> Subject {
        let values = cloud[self.model].values.clone();
        Subject { model: self.model.to_owned(), values, beneath: Vec::new() }
    }
}

impl Method for FedProx {
    fn name(&self) -> &'static str {
        "fedprox"
    }

    fn citation(&self) -> &'static str {
        "Li et al. 2020, arXiv 1812.06127"
    }

    fn start_cloud(&self, lab: &Lab) -> State {
        State::from([(self.model.to_owned(), lab.model(self.model).fresh(lab.scenario().seed))])
    }

    fn start_device(&self, _lab: &Lab, _model: &str) -> State {
        State::new()
    }

    fn broadcast(&self, _lab: &Lab, cloud: &State, _model: &str, _round: u32) -> Payload {
        Payload::adapter(self.model, &cloud[self.model].values)
    }

    fn uplink(&self, lab: &Lab, _model: &str, _round: u32) -> Payload {
        Payload::adapter(self.model, &vec![0.0; lab.model(self.model).layout.total()])
    }

    fn device_work(&self, lab: &Lab, task: &DeviceTask, state: State, received: &Payload) -> DeviceOutcome {
        let model = lab.model(self.model);
        let values = received.values(self.model).expect("θ is sent").to_vec();
        let start = Trained { values, ..Trained::default() };
        let mut learner =
            Learner::new(&model.base, &model.layout, &start, AdamW::default()).with_proximal_term(self.mu);
        let own = lab.examples_of(task.device);
        let path = format!("device/{}/round/{}/tune", task.device, task.round);
        let (mut stream, mut left) = (Stream::keyed(lab.scenario().seed, &path), Vec::new());
        for _ in 0..self.steps {
            let mut batch: Vec<&Sequence> = Vec::new();
            while batch.len() < self.batch as usize {
                if left.is_empty() {
                    left = own.to_vec();
                    stream.shuffle(&mut left);
                }
                batch.extend(left.pop().map(|i| &model.text.private[i as usize]));
            }
            learner.tune(Batch::pack(&batch, model.base.tokenizer().pad()), self.lr);
        }
        let (trained, progress) = learner.finish();
        let update = Payload::adapter(self.model, &trained.values);
        DeviceOutcome { state, update, trained: progress, relay: None }
    }

    fn fold(&self, _lab: &Lab, mut cloud: State, updates: &[Update]) -> State {
        let total: f64 = updates.iter().map(|update| update.examples as f64).sum();
        if let (Some(trained), true) = (cloud.get_mut(self.model), total > 0.0) {
            for (i, value) in trained.values.iter_mut().enumerate() {
                let sum = updates.iter().filter_map(|update| {
                    Some(update.examples as f64 * f64::from(update.payload.values(self.model)?[i]))
                });
                *value = (sum.sum::<f64>() / total) as f32;
            }
        }
        cloud
    }

    fn device_load(&self, _model: &str, _examples: u32, _round: u32) -> Load {
        let training = TrainingLoad { model: self.model.to_owned(), steps: self.steps, batch: self.batch };
        Load { training: vec![training], ..Load::default() }
    }

    fn edge_subject(&self, cloud: &State, _device: &State, _model: &str) -> Subject {
        self.subject(cloud)
    }

    fn cloud_subjects(&self, cloud: &State) -> Vec<(Scope, Subject)> {
        vec![(Scope::Proxy, self.subject(cloud))]
    }
}

#[test]
fn a_method_of_ones_own_is_one_file_and_comes_to_what_the_built_in_one_does() {
    let optimizer = "optimizer.adamw = { lr = 0.01, schedule = \"constant\" }";
    let tables = fedavg(&format!("on = \"proxy\"\nlocal.prox = {{ mu = 0.5 }}\n{optimizer}"));
    let scenario = tiny(&tables, &[]);
    let custom = tiny(&format!("[method.custom]\nname = \"fedprox\"\n{optimizer}\n"), &[]);
    let own = FedProx { model: "proxy", mu: 0.5, steps: 2, batch: 4, lr: 0.01 };
    let own =
        Plan::draw_with(Arc::new(lab(&custom)), Box::new(own)).unwrap_or_else(|error| panic!("{error}"));
    let built_in = Plan::draw(Arc::new(lab(&scenario))).unwrap_or_else(|error| panic!("{error}"));
    let (own, built_in) = (play(&Arc::new(own), 2, true), play(&Arc::new(built_in), 2, true));
    // The first event has the method's name.
    assert_eq!(own.events[1..], built_in.events[1..]);
}
