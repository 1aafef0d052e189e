//! Co-PLMs: mutual learning between a cloud's LLM and the devices' SLMs through a proxy that travels.
//!
//! arXiv 2511.11678 (WWW 2026), as reconstructed here: the paper names the components (proxy, domain-specific
//! tuning, structure-agnostic mutual learning in both directions, only the proxy's parameters exchanged); equations,
//! weights and step counts are switches here. The relay set is ours.
//!
//! ```text
//! for round t = 1..R:
//!   cloud → invited devices: θ^t
//!   device i:  θ_i ← θ^t
//!     DST : E_d steps of CE on D_i               α_i, θ_i, both, or δ_i on P_i ⊕ δ_i
//!     SAML: E_m steps of L(P_i ← S_i) + L(S_i ← P_i [⊕ δ_i]) on D_i, training (θ_i, α_i)
//!     device → cloud: θ_i, n_i
//!   cloud: θ ← Σ (n_i/Σn) θ_i
//!     SAML: E_s steps of L(P ← M_L) + L(M_L ← P) on D_s, training (θ, ω)
//! ```

use super::mutual::{AtTheCloud, Pair, pair_load};
use super::relay::{RelayAsk, RelaySource, held_for_guard, relay_load_on_device, relay_on_device};
use super::training::{Batches, Pace, Rate, all, learner, private_text, tune};
use super::travelling::Travelling;
use super::{
    CloudOutcome, CloudTask, DeviceOutcome, DeviceTask, Load, Method, Need, RelayCounts, State, Subject,
    Update, fresh, subject,
};
use crate::effect::Party;
use crate::lab::{Lab, LabModel};
use crate::payload::Payload;
use cotune_models::batch::Sequence;
use cotune_models::kernels::head::Divergence;
use cotune_models::learner::{AdapterRef, Distillation, Learner, Progress, Trained};
use cotune_models::mutual::{Combine, MutualRule, Pooling, Update as Order};
use cotune_record::Scope;
use cotune_scenario::method::{self as written, DomainTuning, SamlData, Steps};

/// Co-PLMs.
#[derive(Debug)]
pub struct CoPlms {
    table: written::CoPlms,
}

impl CoPlms {
    pub(super) fn new(table: &written::CoPlms) -> Self {
        Self { table: table.clone() }
    }

    fn rule(&self) -> MutualRule {
        let saml = &self.table.saml;
        MutualRule {
            pooling: Pooling { top_k: saml.top_k as usize, rest: saml.rest, temperature: saml.temperature },
            distillation: Distillation {
                kind: match saml.kl {
                    written::Divergence::Forward => Divergence::Forward,
                    written::Divergence::Reverse => Divergence::Reverse,
                    written::Divergence::Jsd => Divergence::Jsd,
                },
                temperature: saml.temperature,
            },
            combine: match saml.combine {
                written::Combine::Additive => Combine::Additive,
                written::Combine::Convex { lambda } => Combine::Convex(lambda),
            },
            update: match saml.update {
                written::Update::Simultaneous => Order::Simultaneous,
                written::Update::Alternating => Order::Alternating,
            },
        }
    }

    fn travelling(&self) -> Travelling<'_> {
        let table = &self.table;
        Travelling { model: &table.proxy, aggregate: &table.aggregate, relay: table.relay.as_ref() }
    }

    fn at_the_cloud(&self) -> AtTheCloud<'_> {
        let table = &self.table;
        AtTheCloud {
            llm: &table.cloud,
            proxy: &table.proxy,
            steps: table.cloud_steps.mutual,
            batch: table.batch,
            optimizer: &table.optimizer,
            rule: self.rule(),
            to_llm: table.saml.weight.proxy_to_cloud,
            to_proxy: table.saml.weight.cloud_to_proxy,
            relay: table.relay.as_ref(),
        }
    }

    fn tunes_student(&self) -> bool {
        matches!(self.table.dst, DomainTuning::Slm | DomainTuning::Both)
    }

    /// The key of δ in a device's state.
    fn domain_adapter(&self) -> String {
        format!("{}/domain", self.table.proxy)
    }

    /// Whether the proxy is tuned on a device before mutual learning, be it in θ or in δ.
    fn works_on_proxy(&self) -> bool {
        self.tunes_proxy() || self.table.dst == DomainTuning::DomainAdapter
    }

    fn tunes_proxy(&self) -> bool {
        matches!(self.table.dst, DomainTuning::Proxy | DomainTuning::Both)
    }

    /// DST: E_d steps of CE on D_i, training α_i, θ_i or both.
    fn dst(&self, here: &Here<'_>, student: &mut Learner<'_>, travelling: &mut Learner<'_>) {
        let [own_text, proxy_text] = here.private;
        if self.tunes_student() {
            self.tune(here, student, own_text, &format!("{}/dst/slm", here.path));
        }
        if self.tunes_proxy() {
            self.tune(here, travelling, proxy_text, &format!("{}/dst/proxy", here.path));
        }
    }

    /// DST of δ_i, on P_i ⊕ δ_i.
    fn dst_of_domain(&self, here: &Here<'_>, delta: &Trained, theta: &Trained) -> (Trained, Progress) {
        let path = format!("{}/dst/domain", here.path);
        let domain = learner(here.lab, here.proxy, delta, &self.table.optimizer, &path);
        let mut domain = domain.beside((&here.proxy.layout, &theta.values));
        let [_, proxy_text] = here.private;
        self.tune(here, &mut domain, proxy_text, &path);
        domain.finish()
    }

    fn tune(&self, here: &Here<'_>, learner: &mut Learner<'_>, text: &[Sequence], path: &str) {
        let pace = Pace { batch: self.table.batch, rate: here.rate };
        let mut batches = Batches::new(here.training, here.lab.scenario().seed, path);
        tune(learner, text, &mut batches, self.table.device_steps.tune, pace);
    }

    /// SAML: E_m steps of L(P_i ← S_i) + L(S_i ← P_i [⊕ δ_i]), training (θ_i, α_i). The relay set is made by the proxy, and
    /// judged by the student, as they were before the round: (α_i, θ^t).
    fn saml<'l>(
        &self,
        here: &Here<'l>,
        student: &mut Learner<'l>,
        travelling: &mut Learner<'l>,
        proxy_teaches_with: Option<AdapterRef<'_>>,
        (alpha, theta): (&Trained, &Trained),
    ) -> Option<RelayCounts> {
        let (table, rule) = (&self.table, self.rule());
        let &Here { lab, task, path, own, proxy, private: [own_text, proxy_text], training, rate } = here;
        let ask = RelayAsk {
            party: Party::Device(task.device),
            round: task.round,
            path,
            proxy,
            theta: &theta.values,
            student: own,
            adapter: alpha,
            pooling: rule.pooling,
        };
        let relay = RelaySource::new(lab, table.relay.as_ref(), &ask);
        let counts = relay.as_ref().map(RelaySource::counts);
        let (own_shared, proxy_shared, indices) = match table.saml.data {
            SamlData::Private => (own_text, proxy_text, training.to_vec()),
            SamlData::Public => (&own.text.public, &proxy.text.public, all(&own.text.public)),
        };
        let pair = Pair {
            student,
            student_model: &task.model,
            student_text: own_shared,
            proxy: travelling,
            proxy_model: &table.proxy,
            proxy_text: proxy_shared,
            to_student: table.saml.weight.proxy_to_edge,
            to_proxy: table.saml.weight.edge_to_proxy,
            rate: rate.after(table.device_steps.tune),
            relay,
            proxy_teaches_with,
        };
        let batches = Batches::new(&indices, lab.scenario().seed, &format!("{path}/saml"));
        pair.learn(lab, &rule, table.device_steps.mutual, table.batch, batches);
        counts
    }
}

/// What the parts of a device's work have in common.
struct Here<'w> {
    lab: &'w Lab,
    task: &'w DeviceTask,
    path: &'w str,
    own: &'w LabModel,
    proxy: &'w LabModel,
    /// The device's examples in the tokens of its own model and in the proxy's.
    private: &'w [Vec<Sequence>; 2],
    /// Those of them that are trained on.
    training: &'w [u32],
    rate: Rate,
}

impl Method for CoPlms {
    fn name(&self) -> &'static str {
        "co-plms"
    }

    fn citation(&self) -> &'static str {
        "Co-PLMs, arXiv 2511.11678 (WWW 2026), as reconstructed; the relay set is ours"
    }

    fn needs(&self) -> Vec<Need> {
        self.travelling().needs(Some(self.table.cloud.as_str()).filter(|_| self.table.cloud_steps.mutual > 0))
    }

    fn start_cloud(&self, lab: &Lab) -> State {
        fresh(lab, [self.table.cloud.as_str(), &self.table.proxy])
    }

    fn start_device(&self, lab: &Lab, model: &str) -> State {
        let mut state = fresh(lab, [model]);
        if self.table.dst == DomainTuning::DomainAdapter {
            let delta = lab.model(&self.table.proxy).fresh(lab.scenario().seed);
            state.insert(self.domain_adapter(), delta);
        }
        state
    }

    fn broadcast(&self, _lab: &Lab, cloud: &State, _model: &str, round: u32) -> Payload {
        self.travelling().broadcast(cloud, round)
    }

    fn uplink(&self, lab: &Lab, _model: &str, _round: u32) -> Payload {
        self.travelling().uplink(lab)
    }

    fn device_work(
        &self,
        lab: &Lab,
        task: &DeviceTask,
        mut state: State,
        received: &Payload,
    ) -> DeviceOutcome {
        let table = &self.table;
        let (own, proxy) = (lab.model(&task.model), lab.model(&table.proxy));
        let (path, alpha) = (task.path(), &state[&task.model]);
        let Steps { tune, mutual } = table.device_steps;
        let (_, training) = held_for_guard(table.relay.as_ref(), lab.examples_of(task.device).len());
        let private = [own, proxy].map(|model| private_text(lab, model, task.device));
        let here = Here {
            lab,
            task,
            path: &path,
            own,
            proxy,
            private: &private,
            training: &training,
            rate: Rate::of_device(lab, &table.optimizer, task, tune + mutual),
        };

        // θ_i ← θ^t; the proxy's optimizer starts anew, the device's own goes on.
        let theta = self.travelling().received(received);
        let mut student = learner(lab, own, alpha, &table.optimizer, &path);
        let mut travelling = learner(lab, proxy, &theta, &table.optimizer, &path);

        self.dst(&here, &mut student, &mut travelling);
        let delta = state.get(&self.domain_adapter()).map(|delta| self.dst_of_domain(&here, delta, &theta));
        let teaches_with = delta.as_ref().map(|(delta, _)| (&proxy.layout, delta.values.as_slice()));
        let relay = self.saml(&here, &mut student, &mut travelling, teaches_with, (alpha, &theta));

        let (alpha, own_progress) = student.finish();
        let (theta, proxy_progress) = travelling.finish();
        let mut trained = own_progress.and(proxy_progress);
        state.insert(task.model.clone(), alpha);
        if let Some((delta, progress)) = delta {
            state.insert(self.domain_adapter(), delta);
            trained = trained.and(progress);
        }
        let update = Payload::adapter(&table.proxy, &theta.values);
        DeviceOutcome { state, update, trained, relay }
    }

    /// θ ← Σ_i (n_i/Σn) θ_i
    fn fold(&self, _lab: &Lab, cloud: State, updates: &[Update]) -> State {
        self.travelling().fold(cloud, updates)
    }

    fn cloud_work(&self, lab: &Lab, task: &CloudTask, state: State, _updates: &[Update]) -> CloudOutcome {
        self.at_the_cloud().work(lab, task, state)
    }

    fn device_load(&self, model: &str, _examples: u32, round: u32) -> Load {
        let table = &self.table;
        let relay = relay_on_device(table.relay.as_ref(), round);
        let tuning = |on: bool| if on { table.device_steps.tune } else { 0 };
        let steps = (tuning(self.tunes_student()), tuning(self.works_on_proxy()), table.device_steps.mutual);
        Load {
            training: pair_load(model, &table.proxy, steps, table.batch, relay),
            ..relay_load_on_device(relay, &table.proxy, model)
        }
    }

    fn cloud_load(&self, round: u32) -> Load {
        self.at_the_cloud().load(round)
    }

    fn cloud_subjects(&self, cloud: &State) -> Vec<(Scope, Subject)> {
        vec![
            (Scope::Cloud, subject(cloud, &self.table.cloud)),
            (Scope::Proxy, subject(cloud, &self.table.proxy)),
        ]
    }
}
