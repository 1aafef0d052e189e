//! Structure-agnostic mutual learning between a student and a small model that is the same everywhere:
//! what co-plms does on devices and at the cloud, and fedcollm at the cloud.

use super::relay::{RelayAsk, RelaySource, held_for_guard, relay_at_cloud, relay_load};
use super::training::{Batches, Rate, learner, pick};
use super::{CloudOutcome, CloudTask, Load, State, TrainingLoad};
use crate::effect::Party;
use crate::lab::Lab;
use cotune_models::batch::Sequence;
use cotune_models::learner::{AdapterRef, Learner, Trained};
use cotune_models::mutual::{MutualRule, Side, mutual_step};
use cotune_scenario::method::{Optimizer, Relay};

/// The two sides, and what each reads and learns.
pub(crate) struct Pair<'s, 'l> {
    pub student: &'s mut Learner<'l>,
    pub student_model: &'s str,
    pub student_text: &'s [Sequence],
    pub proxy: &'s mut Learner<'l>,
    pub proxy_model: &'s str,
    pub proxy_text: &'s [Sequence],
    /// λ of the student's pull towards the proxy.
    pub to_student: f64,
    /// λ of the proxy's pull towards the student.
    pub to_proxy: f64,
    pub rate: Rate,
    /// What the student learns beside the batch that both share.
    pub relay: Option<RelaySource<'s>>,
    /// A second adapter with which the proxy teaches.
    pub proxy_teaches_with: Option<AdapterRef<'s>>,
}

impl Pair<'_, '_> {
    /// `steps` steps of L(student ← proxy) + L(proxy ← student) on batches of `batch` examples.
    pub(crate) fn learn(
        mut self,
        lab: &Lab,
        rule: &MutualRule,
        steps: u32,
        batch: u32,
        mut batches: Batches,
    ) {
        let from_proxy = lab.aligner(self.proxy_model, self.student_model);
        let from_student = lab.aligner(self.student_model, self.proxy_model);
        for step in 0..steps {
            let batch = batches.next(batch);
            if batch.is_empty() {
                return;
            }
            let student = Side {
                learner: &mut *self.student,
                sequences: pick(self.student_text, &batch),
                from_other: &from_proxy,
                weight: self.to_student,
                extra: self.relay.as_mut().and_then(RelaySource::next),
                teaches_with: None,
                lr: self.rate.at(step),
            };
            let proxy = Side {
                learner: &mut *self.proxy,
                sequences: pick(self.proxy_text, &batch),
                from_other: &from_student,
                weight: self.to_proxy,
                extra: None,
                teaches_with: self.proxy_teaches_with,
                lr: self.rate.at(step),
            };
            mutual_step(student, proxy, rule);
        }
    }
}

/// The cloud's part: its LLM and the small model teach each other on the public examples.
pub(crate) struct AtTheCloud<'t> {
    pub llm: &'t str,
    pub proxy: &'t str,
    pub steps: u32,
    pub batch: u32,
    pub optimizer: &'t Optimizer,
    pub rule: MutualRule,
    /// λ of the LLM's pull towards the small model.
    pub to_llm: f64,
    /// λ of the small model's pull towards the LLM.
    pub to_proxy: f64,
    pub relay: Option<&'t Relay>,
}

impl AtTheCloud<'_> {
    /// E_s steps of L(P ← M_L) + L(M_L ← P) on D_s, training (θ, ω). The LLM's optimizer goes on, the small model's
    /// starts anew.
    pub(crate) fn work(&self, lab: &Lab, task: &CloudTask, mut state: State) -> CloudOutcome {
        let (llm, proxy) = (lab.model(self.llm), lab.model(self.proxy));
        let path = task.path();
        let (omega, theta) = (&state[self.llm], &state[self.proxy]);
        let mut student = learner(lab, llm, omega, self.optimizer, &path);
        let start = Trained { values: theta.values.clone(), ..Trained::default() };
        let mut travelling = learner(lab, proxy, &start, self.optimizer, &path);
        let ask = RelayAsk {
            party: Party::Cloud,
            round: task.round,
            path: &path,
            proxy,
            theta: &theta.values,
            student: llm,
            adapter: omega,
            pooling: self.rule.pooling,
        };
        let relay = RelaySource::new(lab, self.relay, &ask);
        let counts = relay.as_ref().map(RelaySource::counts);
        let pair = Pair {
            student: &mut student,
            student_model: self.llm,
            student_text: &llm.text.public,
            proxy: &mut travelling,
            proxy_model: self.proxy,
            proxy_text: &proxy.text.public,
            to_student: self.to_llm,
            to_proxy: self.to_proxy,
            rate: Rate::of_cloud(lab, self.optimizer, task, self.steps),
            relay,
            proxy_teaches_with: None,
        };
        let (_, training) = held_for_guard(self.relay, llm.text.public.len());
        let batches = Batches::new(&training, lab.scenario().seed, &format!("{path}/saml"));
        pair.learn(lab, &self.rule, self.steps, self.batch, batches);
        let (omega, llm_progress) = student.finish();
        let (theta, proxy_progress) = travelling.finish();
        state.insert(self.llm.to_owned(), omega);
        state.insert(self.proxy.to_owned(), Trained { values: theta.values, ..Trained::default() });
        let trained = vec![(self.llm.to_owned(), llm_progress), (self.proxy.to_owned(), proxy_progress)];
        CloudOutcome { state, trained, relay: counts }
    }

    /// What [`AtTheCloud::work`] takes.
    pub(crate) fn load(&self, round: u32) -> Load {
        let relay = relay_at_cloud(self.relay, round);
        let load = relay_load(relay, self.proxy, self.llm);
        Load { training: pair_load(self.llm, self.proxy, (0, 0, self.steps), self.batch, relay), ..load }
    }
}

/// Tuning of a student and the proxy, and mutual steps of both, with the relay set beside the student's batches.
pub(crate) fn pair_load(
    student: &str,
    proxy: &str,
    (tune_student, tune_proxy, mutual): (u32, u32, u32),
    batch: u32,
    relay: Option<&Relay>,
) -> Vec<TrainingLoad> {
    let train = |model: &str, steps, batch| TrainingLoad { model: model.to_string(), steps, batch };
    let beside = relay.map_or(0, |relay| relay.batch);
    vec![
        train(student, tune_student, batch),
        train(student, mutual, batch + beside),
        train(proxy, tune_proxy + mutual, batch),
    ]
}
