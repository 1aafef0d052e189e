//! FedMKT: losses and logits about public examples travel, both ways, and no weights.
//!
//! Fan et al. 2025, "FedMKT: Federated Mutual Knowledge Transfer for Large and Small Language Models" (COLING 2025, arXiv
//! 2406.02224). `selection = "fate"` is the rule of the authors' code (FATE-LLM) instead of the paper's.
//!
//! ```text
//! for round t = 1..R:
//!   cloud → invited devices: S_0 = (loss, top-K logits) of the LLM on D_p
//!   device k:  align S_0;  S̃_k ← DualMinCE(D_p, g_k, {S_0})
//!              E steps of λ·CE + (1−λ)·KD(g_k, S̃_k) on D_p
//!              E steps of CE on D_k
//!     device → cloud: S_k = (loss, top-K logits) of g_k on D_p
//!   cloud: align every S_k;  S̃_0 ← DualMinCE(D_p, f, {S_k});  E_s steps of λ·CE + (1−λ)·KD(f, S̃_0) on D_p
//! ```
//!
//! The paper's round begins with a device's own examples and ends with S_0. Here a device's work lies between what it
//! receives and what it sends, so the second half of a round is done at the beginning of the next one: the order of
//! steps is the paper's, but for a first exchange with an LLM that has learned nothing yet, and for the devices' last
//! exchange, which would follow the last round and is not made. The paper makes it at the end of the round. KD is the cross-entropy to
//! the softened top-K logits; its gradient is that of the divergence used here.
//!
//! With a relay set (ours; see `fedmkt/relay.rs`) generated prompts and answers join the public examples.

mod knowledge;
mod relay;

use self::knowledge::{Listening, Voice, blank, heard, known_of_public, public_tokens, spoken};
use self::relay::{Answered, RelayExamples, RelayTerms};
use super::relay::{digest_of, relay_answers, relay_at_cloud, relay_load, relay_on_device, relay_set};
use super::training::{Batches, Pace, Rate, all, learner, pick, private_text, tune};
use super::{
    CloudOutcome, CloudTask, DeviceOutcome, DeviceTask, Evaluated, EvaluationLoad, Load, Method, Need,
    Refusal, State, Subject, TrainingLoad, Update, fresh, subject,
};
use crate::lab::{Lab, LabModel};
use crate::payload::{Part, Payload};
use cotune_models::kernels::head::{Divergence, SoftTargets};
use cotune_models::knowledge::Knowledge;
use cotune_models::learner::{Distillation, Learner};
use cotune_models::mutual::{Extra, taught_step};
use cotune_record::Scope;
use cotune_scenario::method::{self as written, Guard, Relay, Steps};

/// FedMKT.
#[derive(Debug)]
pub struct FedMkt {
    table: written::FedMkt,
}

impl FedMkt {
    pub(super) fn new(table: &written::FedMkt) -> Result<Self, Refusal> {
        if table.relay.as_ref().is_some_and(|relay| relay.guard == Guard::DualMinCe) {
            let problem = "relay.guard = \"dual-min-ce\" compares a proxy with its students, and here is no proxy: write \
                           guard = \"confidence\" or guard = \"none\"";
            return Err(Refusal { method: "fedmkt".to_owned(), problem: problem.to_owned() });
        }
        Ok(Self { table: table.clone() })
    }

    /// S of a model with these values.
    fn told(&self, lab: &Lab, model: &LabModel, values: &[f32]) -> Vec<Part> {
        spoken(&model.name, model, &known_of_public(lab, model, values, self.table.top_k))
    }

    /// Parts of the size of that.
    fn blank(&self, model: &LabModel) -> Vec<Part> {
        spoken(&model.name, model, &blank(model, public_tokens(model), self.table.top_k))
    }

    /// The prompts of a relay set with the LLM's answers.
    fn asked(&self, lab: &Lab, cloud: &State, terms: RelayTerms<'_>) -> Vec<Answered> {
        let llm = lab.model(&self.table.cloud);
        let values = &cloud[&self.table.cloud].values;
        let set = relay_set(lab, llm, values, terms.relay, &digest_of(values));
        relay::known(lab, llm, values, set.texts().to_vec(), terms)
    }

    /// What goes down of a relay set in a round: prompts from the round on in which somebody learns of them, and with
    /// them the LLM's answers from the round on in which devices do.
    fn sent_down(
        &self,
        llm: &LabModel,
        round: u32,
        asked: impl FnOnce(RelayTerms<'_>) -> Vec<Answered>,
    ) -> Vec<Part> {
        let relay = self.table.relay.as_ref();
        match (relay_on_device(relay, round), relay_at_cloud(relay, round)) {
            (Some(relay), _) => {
                let terms = self.terms(relay);
                relay::sent(llm, &asked(terms), terms)
            }
            (None, Some(relay)) => {
                let terms = self.terms(relay);
                vec![relay::sent_prompts(&asked(terms), terms)]
            }
            (None, None) => Vec::new(),
        }
    }

    /// What goes up of a relay set in a round: a device's answers, from the round on in which the cloud learns from them.
    fn sent_up(
        &self,
        own: &LabModel,
        round: u32,
        answered: impl FnOnce(RelayTerms<'_>) -> Vec<Answered>,
    ) -> Vec<Part> {
        let relay = relay_at_cloud(self.table.relay.as_ref(), round).map(|relay| self.terms(relay));
        relay.map_or(Vec::new(), |terms| relay::sent(own, &answered(terms), terms))
    }

    fn terms<'r>(&self, relay: &'r Relay) -> RelayTerms<'r> {
        RelayTerms { relay, top_k: self.table.top_k }
    }

    fn listening<'l>(&self, lab: &'l Lab, learner: &'l LabModel) -> Listening<'l> {
        let written::FedMkt { selection, top_k, temperature, .. } = self.table;
        Listening { lab, learner, selection, top_k, temperature }
    }

    /// `steps` steps of λ·CE + (1−λ)·KD on D_p, beside them CE and KD on relay examples if there are any.
    fn exchange(
        &self,
        learner: &mut Learner<'_>,
        model: &LabModel,
        (soft, mut relay): (&[SoftTargets], Option<RelayExamples<'_>>),
        (steps, rate): (u32, Rate),
        mut batches: Batches,
    ) {
        let (lambda, temperature) = (self.table.lambda, self.table.temperature);
        let how = Distillation { kind: Divergence::Forward, temperature };
        for step in 0..steps {
            let chosen = batches.next(self.table.batch);
            if chosen.is_empty() {
                return;
            }
            let public = Extra {
                sequences: pick(&model.text.public, &chosen),
                soft: chosen.iter().map(|i| &soft[*i as usize]).collect(),
                ce: lambda,
                kl: 1.0 - lambda,
            };
            let beside = relay.as_mut().and_then(RelayExamples::next);
            let groups: Vec<Extra<'_>> = [public].into_iter().chain(beside).collect();
            taught_step(learner, &groups, how, rate.at(step));
        }
    }

    /// Training on D_p and on examples of one's own, two looks at D_p, before and after, and one at relay answers.
    fn load(&self, model: &str, steps: Steps, relay: Option<&Relay>) -> Load {
        let batch = self.table.batch;
        let beside = relay.map_or(0, |relay| relay.batch);
        let train = |steps, batch| TrainingLoad { model: model.to_owned(), steps, batch };
        let look = || EvaluationLoad { model: model.to_owned(), on: Evaluated::Public };
        let read =
            |relay: &Relay| EvaluationLoad { model: model.to_owned(), on: Evaluated::Made(relay.prompts) };
        Load {
            training: vec![train(steps.mutual, batch + beside), train(steps.tune, batch)],
            evaluation: [look(), look()].into_iter().chain(relay.map(read)).collect(),
            ..Load::default()
        }
    }
}

impl Method for FedMkt {
    fn name(&self) -> &'static str {
        "fedmkt"
    }

    fn citation(&self) -> &'static str {
        "FedMKT, Fan et al. 2025 (COLING), arXiv 2406.02224; the relay set is ours"
    }

    fn needs(&self) -> Vec<Need> {
        let llm = (self.table.cloud_steps.mutual > 0).then(|| Need::Trained(self.table.cloud.clone()));
        [Need::PublicTexts].into_iter().chain(llm).collect()
    }

    fn start_cloud(&self, lab: &Lab) -> State {
        fresh(lab, [self.table.cloud.as_str()])
    }

    fn start_device(&self, lab: &Lab, model: &str) -> State {
        fresh(lab, [model])
    }

    /// S_0
    fn broadcast(&self, lab: &Lab, cloud: &State, _model: &str, round: u32) -> Payload {
        let llm = lab.model(&self.table.cloud);
        let mut parts = self.told(lab, llm, &cloud[&self.table.cloud].values);
        parts.extend(self.sent_down(llm, round, |terms| self.asked(lab, cloud, terms)));
        Payload { parts }
    }

    fn downlink(&self, lab: &Lab, _model: &str, round: u32) -> Payload {
        let llm = lab.model(&self.table.cloud);
        let mut parts = self.blank(llm);
        parts.extend(self.sent_down(llm, round, |_| Vec::new()));
        Payload { parts }
    }

    fn uplink(&self, lab: &Lab, model: &str, round: u32) -> Payload {
        let own = lab.model(model);
        let mut parts = self.blank(own);
        parts.extend(self.sent_up(own, round, |_| Vec::new()));
        Payload { parts }
    }

    fn device_work(
        &self,
        lab: &Lab,
        task: &DeviceTask,
        mut state: State,
        received: &Payload,
    ) -> DeviceOutcome {
        let (table, path, seed) = (&self.table, task.path(), lab.scenario().seed);
        let (own, llm) = (lab.model(&task.model), lab.model(&table.cloud));
        let Steps { tune: tuning, mutual } = table.device_steps;
        let rate = Rate::of_device(lab, &table.optimizer, task, tuning + mutual);
        let alpha = &state[&task.model];
        let listening = self.listening(lab, own);

        // align S_0;  S̃_k ← DualMinCE(D_p, g_k, {S_0})
        let s_0 = heard(received, &llm.name, llm, public_tokens(llm), table.top_k)
            .expect("the broadcast tells what the LLM knows of the public examples");
        let known = known_of_public(lab, own, &alpha.values, table.top_k);
        let soft = listening.selected(&known, &[Voice { model: llm, known: &s_0 }]);
        let relay = relay_on_device(table.relay.as_ref(), task.round).map(|relay| {
            let answered = relay::received(received, llm, self.terms(relay));
            RelayExamples::new(&listening, &alpha.values, &[(llm, answered)], relay, &path)
        });
        let counts = relay.as_ref().map(RelayExamples::counts);

        // λ·CE + (1−λ)·KD(g_k, S̃_k) on D_p
        let mut learner = learner(lab, own, alpha, &table.optimizer, &path);
        let batches = Batches::new(&all(&own.text.public), seed, &format!("{path}/exchange"));
        self.exchange(&mut learner, own, (&soft, relay), (mutual, rate), batches);

        // CE on D_k
        let text = private_text(lab, own, task.device);
        let mut batches = Batches::new(&all(&text), seed, &format!("{path}/tune"));
        tune(
            &mut learner,
            &text,
            &mut batches,
            tuning,
            Pace { batch: table.batch, rate: rate.after(mutual) },
        );
        let (alpha, trained) = learner.finish();

        // S_k
        let mut parts = self.told(lab, own, &alpha.values);
        parts.extend(self.sent_up(own, task.round, |terms| {
            relay::answered(lab, own, &alpha.values, &relay::received_prompts(received), terms)
        }));
        state.insert(task.model.clone(), alpha);
        DeviceOutcome { state, update: Payload { parts }, trained, relay: counts }
    }

    /// align every S_k;  S̃_0 ← DualMinCE(D_p, f, {S_k});  λ·CE + (1−λ)·KD(f, S̃_0) on D_p
    fn cloud_work(&self, lab: &Lab, task: &CloudTask, mut state: State, updates: &[Update]) -> CloudOutcome {
        let (table, path) = (&self.table, task.path());
        let llm = lab.model(&table.cloud);
        let omega = &state[&table.cloud];
        let listening = self.listening(lab, llm);
        let told: Vec<(&LabModel, Vec<Knowledge>)> = updates
            .iter()
            .filter_map(|update| {
                let model = lab.model(&update.model);
                Some((model, heard(&update.payload, &model.name, model, public_tokens(model), table.top_k)?))
            })
            .collect();
        let voices: Vec<Voice<'_>> = told.iter().map(|(model, known)| Voice { model, known }).collect();
        let known = known_of_public(lab, llm, &omega.values, table.top_k);
        let soft = listening.selected(&known, &voices);
        let relay = relay_at_cloud(table.relay.as_ref(), task.round).map(|relay| {
            let answers = |update: &Update| {
                let model = lab.model(&update.model);
                (model, relay::received(&update.payload, model, self.terms(relay)))
            };
            let voices: Vec<_> = updates.iter().map(answers).collect();
            RelayExamples::new(&listening, &omega.values, &voices, relay, &path)
        });
        let counts = relay.as_ref().map(RelayExamples::counts);
        let steps = table.cloud_steps.mutual;
        let rate = Rate::of_cloud(lab, &table.optimizer, task, steps);
        let mut learner = learner(lab, llm, omega, &table.optimizer, &path);
        let batches = Batches::new(&all(&llm.text.public), lab.scenario().seed, &format!("{path}/exchange"));
        self.exchange(&mut learner, llm, (&soft, relay), (steps, rate), batches);
        let (omega, progress) = learner.finish();
        state.insert(table.cloud.clone(), omega);
        // Made here, on a thread that works, and remembered for the broadcast.
        drop(self.broadcast(lab, &state, &table.cloud, task.round + 1));
        CloudOutcome { state, trained: vec![(table.cloud.clone(), progress)], relay: counts }
    }

    fn device_load(&self, model: &str, _examples: u32, round: u32) -> Load {
        let relay = relay_on_device(self.table.relay.as_ref(), round);
        let mut load = self.load(model, self.table.device_steps, relay);
        let answers = relay_at_cloud(self.table.relay.as_ref(), round);
        load.generation.extend(answers.map(|relay| relay_answers(relay, model)));
        load
    }

    fn cloud_load(&self, round: u32) -> Load {
        let llm = &self.table.cloud;
        let relay = relay_at_cloud(self.table.relay.as_ref(), round);
        let mut load = self.load(llm, self.table.cloud_steps, relay);
        // The set for the next broadcast is made in every round, from the one on before anybody learns from it.
        let (table, next) = (self.table.relay.as_ref(), round.saturating_add(1));
        let sent = relay_at_cloud(table, next).or(relay_on_device(table, next));
        load.generation = relay_load(sent, llm, llm).generation;
        load
    }

    fn cloud_subjects(&self, cloud: &State) -> Vec<(Scope, Subject)> {
        vec![(Scope::Cloud, subject(cloud, &self.table.cloud))]
    }
}
