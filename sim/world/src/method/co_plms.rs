//! Co-PLMs: mutual learning between a cloud's LLM and the devices' SLMs through a proxy that travels.
//!
//! arXiv 2511.11678 (WWW 2026), as reconstructed in METHODS §2: the paper names the components (proxy, domain-specific
//! tuning, structure-agnostic mutual learning in both directions, only the proxy's parameters exchanged); equations,
//! weights and step counts are switches here. The relay set is ours (METHODS §8).
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

use super::relay::{
    RelayAsk, RelaySource, comparison, generation, generation_on_device, held_for_guard, labelled,
    sent_prompts,
};
use super::training::{Batches, Pace, Rate, all, learner, pick, private_text, tune};
use super::{
    CloudOutcome, CloudTask, DeviceOutcome, DeviceTask, Load, Method, Refusal, State, Subject, TrainingLoad,
    Update, subject,
};
use crate::aggregate::aggregate;
use crate::lab::Lab;
use crate::payload::Payload;
use cotune_models::batch::Sequence;
use cotune_models::kernels::head::Divergence;
use cotune_models::learner::{AdapterRef, Distillation, Learner, Trained};
use cotune_models::mutual::{Combine, MutualRule, Pooling, Side, Update as Order, mutual_step};
use cotune_record::Scope;
use cotune_scenario::method::{self as written, DomainTuning, Relay, SamlData, Steps};

/// Co-PLMs.
#[derive(Debug)]
pub struct CoPlms {
    table: written::CoPlms,
}

impl CoPlms {
    pub(super) fn new(table: &written::CoPlms) -> Result<Self, Refusal> {
        let refuse = |problem: &str| Refusal { method: "co-plms", problem: problem.to_string() };
        if table.cloud == table.proxy {
            return Err(refuse("cloud and proxy are the same model: give the proxy a model of its own"));
        }
        Ok(Self { table: table.clone() })
    }

    fn rule(&self) -> MutualRule {
        let saml = &self.table.saml;
        MutualRule {
            pooling: self.pooling(),
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

    fn pooling(&self) -> Pooling {
        let saml = &self.table.saml;
        Pooling { top_k: saml.top_k as usize, rest: saml.rest, temperature: saml.temperature }
    }

    /// The relay table, from the round on in which it starts at a party.
    fn relay_at(&self, round: u32, from: impl Fn(&Relay) -> u32) -> Option<&Relay> {
        self.table.relay.as_ref().filter(|relay| round >= from(relay))
    }

    /// `steps` steps of structure-agnostic mutual learning between a student (S_i or M_L) and the proxy.
    fn saml(&self, lab: &Lab, pair: Pair<'_, '_>, steps: u32, mut batches: Batches) {
        let Pair {
            student,
            student_model,
            student_text,
            proxy,
            proxy_text,
            to_student,
            to_proxy,
            rate,
            mut relay,
            proxy_teaches_with,
        } = pair;
        let from_proxy = lab.aligner(&self.table.proxy, student_model);
        let from_student = lab.aligner(student_model, &self.table.proxy);
        let rule = self.rule();
        for step in 0..steps {
            let batch = batches.next(self.table.batch);
            if batch.is_empty() {
                return;
            }
            let extra = relay.as_mut().and_then(RelaySource::next);
            let student_side = Side {
                learner: &mut *student,
                sequences: pick(student_text, &batch),
                from_other: &from_proxy,
                weight: to_student,
                extra,
                teaches_with: None,
                lr: rate.at(step),
            };
            let proxy_side = Side {
                learner: &mut *proxy,
                sequences: pick(proxy_text, &batch),
                from_other: &from_student,
                weight: to_proxy,
                extra: None,
                teaches_with: proxy_teaches_with,
                lr: rate.at(step),
            };
            mutual_step(student_side, proxy_side, &rule);
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
}

/// The two sides of SAML and what each reads.
struct Pair<'s, 'l> {
    student: &'s mut Learner<'l>,
    student_model: &'s str,
    student_text: &'s [Sequence],
    proxy: &'s mut Learner<'l>,
    proxy_text: &'s [Sequence],
    to_student: f64,
    to_proxy: f64,
    rate: Rate,
    relay: Option<RelaySource<'s>>,
    /// δ, with which the proxy teaches.
    proxy_teaches_with: Option<AdapterRef<'s>>,
}

impl Method for CoPlms {
    fn name(&self) -> &'static str {
        "co-plms"
    }

    fn citation(&self) -> &'static str {
        "Co-PLMs, arXiv 2511.11678 (WWW 2026), as reconstructed; the relay set is ours"
    }

    fn start_cloud(&self, lab: &Lab) -> State {
        let models = [&self.table.cloud, &self.table.proxy];
        models.into_iter().map(|name| (name.clone(), lab.model(name).fresh(lab.scenario().seed))).collect()
    }

    fn start_device(&self, lab: &Lab, model: &str) -> State {
        let seed = lab.scenario().seed;
        let mut state = State::from([(model.to_string(), lab.model(model).fresh(seed))]);
        if self.table.dst == DomainTuning::DomainAdapter {
            state.insert(self.domain_adapter(), lab.model(&self.table.proxy).fresh(seed));
        }
        state
    }

    /// θ^t, and with `delivery = "send"` room for the prompts of the relay set.
    fn broadcast(&self, _lab: &Lab, cloud: &State, _model: &str) -> Payload {
        let mut payload = Payload::adapter(&self.table.proxy, &cloud[&self.table.proxy].values);
        payload.parts.extend(self.table.relay.as_ref().and_then(sent_prompts));
        payload
    }

    fn uplink(&self, lab: &Lab, _model: &str) -> Payload {
        let proxy = &self.table.proxy;
        Payload::adapter(proxy, &vec![0.0; lab.model(proxy).layout.total()])
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
        let path = format!("device/{}/round/{}", task.device, task.round);
        let seed = lab.scenario().seed;
        let Steps { tune: tuning, mutual } = table.device_steps;
        let rate = Rate::of_device(lab, &table.optimizer, task, tuning + mutual);
        let theta = received.values(&table.proxy).expect("the broadcast carries the proxy's adapter");
        let alpha = &state[&task.model];
        let relay = self.relay_at(task.round, |relay| relay.from_round.device);

        let mine = lab.examples_of(task.device);
        let (held, training) = held_for_guard(table.relay.as_ref(), mine.len());
        let held: Vec<u32> = held.iter().map(|i| mine[*i as usize]).collect();
        let labelled = labelled(&held, lab.private(), &proxy.text.private, &own.text.private);
        let (own_text, proxy_text) =
            (private_text(lab, own, task.device), private_text(lab, proxy, task.device));

        // θ_i ← θ^t; the proxy's optimizer starts anew, the device's own goes on.
        let mut student = learner(lab, own, alpha, &table.optimizer, &path);
        let start = Trained { values: theta.to_vec(), ..Trained::default() };
        let mut travelling = learner(lab, proxy, &start, &table.optimizer, &path);

        // DST
        let pace = Pace::new(&table.optimizer, table.batch, rate);
        if self.tunes_student() {
            let mut batches = Batches::new(&training, seed, &format!("{path}/dst/slm"));
            tune(&mut student, &own_text, &mut batches, tuning, pace);
        }
        if self.tunes_proxy() {
            let mut batches = Batches::new(&training, seed, &format!("{path}/dst/proxy"));
            tune(&mut travelling, &proxy_text, &mut batches, tuning, pace);
        }
        let delta = state.get(&self.domain_adapter()).map(|delta| {
            let path = format!("{path}/dst/domain");
            let mut batches = Batches::new(&training, seed, &path);
            let mut domain =
                learner(lab, proxy, delta, &table.optimizer, &path).beside((&proxy.layout, theta));
            tune(&mut domain, &proxy_text, &mut batches, tuning, pace);
            domain.finish()
        });

        // SAML
        let ask = RelayAsk {
            round: task.round,
            proxy,
            theta,
            student: own,
            adapter: alpha,
            labelled,
            pooling: self.pooling(),
            path: &path,
        };
        let relay = relay.map(|relay| RelaySource::new(lab, relay, &ask));
        let relay_count = relay.as_ref().map(RelaySource::counts);
        let (own_shared, proxy_shared, indices) = match table.saml.data {
            SamlData::Private => (&own_text, &proxy_text, training),
            SamlData::Public => (&own.text.public, &proxy.text.public, all(&own.text.public)),
        };
        let pair = Pair {
            student: &mut student,
            student_model: &task.model,
            student_text: own_shared,
            proxy: &mut travelling,
            proxy_text: proxy_shared,
            to_student: table.saml.weight.proxy_to_edge,
            to_proxy: table.saml.weight.edge_to_proxy,
            rate: rate.after(tuning),
            relay,
            proxy_teaches_with: delta.as_ref().map(|(delta, _)| (&proxy.layout, delta.values.as_slice())),
        };
        let batches = Batches::new(&indices, seed, &format!("{path}/saml"));
        self.saml(lab, pair, mutual, batches);

        let (alpha, own_progress) = student.finish();
        let (theta, proxy_progress) = travelling.finish();
        let mut trained = own_progress.and(proxy_progress);
        state.insert(task.model.clone(), alpha);
        if let Some((delta, progress)) = delta {
            state.insert(self.domain_adapter(), delta);
            trained = trained.and(progress);
        }
        DeviceOutcome {
            state,
            update: Payload::adapter(&table.proxy, &theta.values),
            trained,
            relay: relay_count,
        }
    }

    /// θ ← Σ_i (n_i/Σn) θ_i, or what another rule makes of the θ_i
    fn fold(&self, _lab: &Lab, mut cloud: State, updates: &[Update]) -> State {
        let proxy = &self.table.proxy;
        if let Some(values) = aggregate(&self.table.aggregate, updates, proxy, &cloud[proxy].values) {
            cloud.insert(proxy.clone(), Trained { values, ..Trained::default() });
        }
        cloud
    }

    fn cloud_work(&self, lab: &Lab, task: &CloudTask, mut state: State) -> CloudOutcome {
        let table = &self.table;
        let (llm, proxy) = (lab.model(&table.cloud), lab.model(&table.proxy));
        let rate = Rate::of_cloud(lab, &table.optimizer, task, table.cloud_steps.mutual);
        let path = format!("cloud/round/{}", task.round);
        let (omega, theta) = (&state[&table.cloud], &state[&table.proxy]);
        let mut student = learner(lab, llm, omega, &table.optimizer, &path);
        let start = Trained { values: theta.values.clone(), ..Trained::default() };
        let mut travelling = learner(lab, proxy, &start, &table.optimizer, &path);
        let (held, training) = held_for_guard(table.relay.as_ref(), llm.text.public.len());
        let ask = RelayAsk {
            round: task.round,
            proxy,
            theta: &theta.values,
            student: llm,
            adapter: omega,
            labelled: labelled(&held, lab.public(), &proxy.text.public, &llm.text.public),
            pooling: self.pooling(),
            path: &path,
        };
        let relay = self.relay_at(task.round, |relay| relay.from_round.cloud);
        let relay = relay.map(|relay| RelaySource::new(lab, relay, &ask));
        let relay_count = relay.as_ref().map(RelaySource::counts);
        let pair = Pair {
            student: &mut student,
            student_model: &table.cloud,
            student_text: &llm.text.public,
            proxy: &mut travelling,
            proxy_text: &proxy.text.public,
            to_student: table.saml.weight.proxy_to_cloud,
            to_proxy: table.saml.weight.cloud_to_proxy,
            rate,
            relay,
            proxy_teaches_with: None,
        };
        let batches = Batches::new(&training, lab.scenario().seed, &format!("{path}/saml"));
        self.saml(lab, pair, table.cloud_steps.mutual, batches);
        let (omega, llm_progress) = student.finish();
        let (theta, proxy_progress) = travelling.finish();
        state.insert(table.cloud.clone(), omega);
        state.insert(table.proxy.clone(), Trained { values: theta.values, ..Trained::default() });
        let trained = vec![(table.cloud.clone(), llm_progress), (table.proxy.clone(), proxy_progress)];
        CloudOutcome { state, trained, relay: relay_count }
    }

    fn device_load(&self, model: &str, _examples: u32, round: u32) -> Load {
        let table = &self.table;
        let relay = self.relay_at(round, |relay| relay.from_round.device);
        let tuning = |on: bool| if on { table.device_steps.tune } else { 0 };
        let steps = table.device_steps;
        let mut load = self.pair_load(
            model,
            tuning(self.tunes_student()),
            tuning(self.works_on_proxy()),
            steps.mutual,
            relay,
        );
        load.generation = relay.map_or(Vec::new(), |relay| generation_on_device(relay, &table.proxy));
        load
    }

    fn cloud_load(&self, round: u32) -> Load {
        let relay = self.relay_at(round, |relay| relay.from_round.cloud);
        let mut load = self.pair_load(&self.table.cloud, 0, 0, self.table.cloud_steps.mutual, relay);
        load.generation = relay.map_or(Vec::new(), |relay| generation(relay, &self.table.proxy));
        load
    }

    fn cloud_subjects(&self, cloud: &State) -> Vec<(Scope, Subject)> {
        vec![
            (Scope::Cloud, subject(cloud, &self.table.cloud)),
            (Scope::Proxy, subject(cloud, &self.table.proxy)),
        ]
    }
}

impl CoPlms {
    /// Tuning of a student and the proxy, mutual steps of both, and the relay set beside the student's batches; without
    /// the making of that set.
    fn pair_load(
        &self,
        student: &str,
        tune_student: u32,
        tune_proxy: u32,
        mutual: u32,
        relay: Option<&Relay>,
    ) -> Load {
        let batch = self.table.batch;
        let train = |model: &str, steps, batch| TrainingLoad { model: model.to_string(), steps, batch };
        let beside = relay.map_or(0, |relay| relay.batch);
        let proxy = self.table.proxy.as_str();
        let training = vec![
            train(student, tune_student, batch),
            train(student, mutual, batch + beside),
            train(proxy, tune_proxy + mutual, batch),
        ];
        let evaluation = relay.map_or(Vec::new(), |relay| comparison(relay, proxy, student));
        Load { training, evaluation, ..Load::default() }
    }
}
