//! Synchronous rounds with over-selection and a deadline: the cloud as a state machine.
//!
//! Google's production protocol (Bonawitz et al. 2019, arXiv 1902.01046, §2): more devices are invited than are
//! needed, the round closes when enough have reported or the deadline comes, and it is void with too few.

use crate::effect::{Effect, Label, Message, Transfer, View};
use crate::job::{Job, Outcome};
use crate::method::{CloudTask, State, Update};
use crate::payload::Payload;
use crate::score::{DomainScores, scores_of};
use crate::select::select;
use cotune_kernel::{VirtualDuration, VirtualTime};
use cotune_record::{Digest, EndReason, EventKind, Loss, Reason, Scope};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// How long the cloud waits when nobody can be invited (chosen).
const RETRY: VirtualDuration = VirtualDuration::from_secs(60);

/// After so many waits in a row the run ends as exhausted (chosen: four weeks).
const MOST_RETRIES: u32 = 4 * 7 * 24 * 60;

/// The cloud.
#[derive(Debug)]
pub struct CloudCore {
    state: Arc<State>,
    /// Rounds opened so far; a void round that is tried again is a new one.
    round: u32,
    open: Option<OpenRound>,
    /// Devices that were invited and whose outcome is not known yet.
    busy: BTreeSet<u32>,
    began: bool,
    /// Why the run is over, once it is; devices that are still busy are waited for.
    ending: Option<EndReason>,
    /// Waits in a row for devices to come online.
    retries: u32,
    uplink_bytes: u64,
    egress_bytes: u64,
    compute_usd: f64,
    /// When the models were last scored.
    scored_at: VirtualTime,
}

#[derive(Debug)]
struct OpenRound {
    round: u32,
    opened: VirtualTime,
    invited: u32,
    /// Invited devices without an outcome.
    pending: BTreeSet<u32>,
    updates: Vec<Update>,
    /// Whether the cloud is working on the aggregate.
    closed: bool,
}

impl CloudCore {
    /// A cloud before the first round.
    pub fn new(state: State) -> Self {
        Self {
            state: Arc::new(state),
            round: 0,
            open: None,
            busy: BTreeSet::new(),
            began: false,
            ending: None,
            retries: 0,
            uplink_bytes: 0,
            egress_bytes: 0,
            compute_usd: 0.0,
            scored_at: VirtualTime::ZERO,
        }
    }

    /// The models it holds.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Reacts to a message.
    pub fn on(&mut self, message: Message, view: &View<'_>) -> Vec<Effect> {
        let mut effects = self.react(message, view);
        // Every invited device has an outcome before the run is over.
        if let Some(reason) = self.ending.take_if(|_| self.busy.is_empty()) {
            effects.extend(self.end(reason, view));
        }
        effects
    }

    fn react(&mut self, message: Message, view: &View<'_>) -> Vec<Effect> {
        match message {
            Message::Open => self.open(view),
            Message::Received(transfer) => self.update(&transfer, view),
            Message::Gone { device, round } => self.device_left(device, round, view),
            Message::Deadline { round } => self.deadline(round, view),
            Message::Done { label: Label::Work { round }, outcome } => self.aggregated(round, outcome, view),
            Message::Done { label: Label::Score { round, scope }, outcome } => {
                scored(round, scope, outcome, view)
            }
            Message::Measure { round, .. } => self.measure(round, view),
            Message::Sent(_) | Message::Cut { .. } | Message::Interrupted { .. } => {
                unreachable!("{message:?} is for a device")
            }
        }
    }

    /// Invites a cohort and sends it the broadcast; or ends the run; or waits for devices to come online.
    fn open(&mut self, view: &View<'_>) -> Vec<Effect> {
        let plan = view.plan;
        if !self.began {
            // Before anything is trained, everything is scored.
            self.began = true;
            return vec![
                Effect::Measure { round: 0, cloud: Arc::clone(&self.state) },
                Effect::Wake { after: VirtualDuration::ZERO, message: Message::Open },
            ];
        }
        self.ending = self.budget_spent(view);
        if self.ending.is_some() {
            return Vec::new();
        }
        let (sync, devices, seed) = (plan.coordination(), plan.fleet().devices(), plan.scenario().seed);
        let wanted = sync.invited(u64::from(devices)) as usize;
        let eligible =
            |device: u32| !self.busy.contains(&device) && plan.fleet().is_ready(seed, device, view.now);
        let attempt = self.round + 1;
        let invited = select(seed, attempt, devices, wanted, eligible);
        if (invited.len() as u64) < sync.min_updates.max(1) {
            self.retries += 1;
            if self.retries > MOST_RETRIES {
                self.ending = Some(EndReason::Exhausted);
                return Vec::new();
            }
            return vec![Effect::Wake { after: RETRY, message: Message::Open }];
        }
        self.retries = 0;
        self.round = attempt;
        let round = self.round;
        self.busy.extend(&invited);
        self.open = Some(OpenRound {
            round,
            opened: view.now,
            invited: invited.len() as u32,
            pending: invited.iter().copied().collect(),
            updates: Vec::new(),
            closed: false,
        });
        let mut effects = vec![Effect::Record(EventKind::RoundOpened { round, invited: invited.clone() })];
        // One broadcast for all devices that run a model: copies of it would cost more than all else.
        let mut broadcasts: BTreeMap<&str, Arc<Payload>> = BTreeMap::new();
        for device in invited {
            let model = &*plan.fleet().class_of(device).model;
            let payload = broadcasts
                .entry(model)
                .or_insert_with(|| Arc::new(plan.method().broadcast(plan.lab(), &self.state, model)));
            let payload = Arc::clone(payload);
            effects.extend(self.invite(round, device, payload, view));
        }
        if let Some(seconds) = sync.deadline_seconds {
            let after = VirtualDuration::from_secs_f64(seconds);
            effects.push(Effect::Wake { after, message: Message::Deadline { round } });
        }
        effects
    }

    fn invite(&mut self, round: u32, device: u32, payload: Arc<Payload>, view: &View<'_>) -> [Effect; 2] {
        let bytes = view.plan.traffic(device).down;
        self.egress_bytes += bytes;
        let transfer = Transfer { round, device, up: false, payload, bytes, seconds: 0.0, spent: (0, 0.0) };
        [Effect::Record(EventKind::DownloadStarted { round, device, bytes }), Effect::Send(transfer)]
    }

    /// An update arrived: it is accepted, rejected, or late.
    fn update(&mut self, transfer: &Transfer, view: &View<'_>) -> Vec<Effect> {
        let (round, device) = (transfer.round, transfer.device);
        self.busy.remove(&device);
        self.uplink_bytes += transfer.bytes;
        let power = &view.plan.fleet().class_of(device).power;
        let radio = crate::energy::Spent::radio(power, transfer.seconds).marginal().0;
        let refuse = |reason| {
            Effect::Record(EventKind::NotContributed {
                round,
                device,
                reason,
                wasted_bytes: transfer.spent.0 + transfer.bytes,
                wasted_joules: transfer.spent.1 + radio,
            })
        };
        let examples = u64::from(view.plan.lab().count_of(device));
        let Some(open) = self.open.as_mut().filter(|open| open.round == round && !open.closed) else {
            return vec![refuse(Reason::Late)];
        };
        open.pending.remove(&device);
        let mut effects = if transfer.payload.is_finite() {
            let model = view.plan.fleet().class_of(device).model.to_string();
            open.updates.push(Update { device, model, examples, payload: (*transfer.payload).clone() });
            vec![Effect::Record(EventKind::UpdateAccepted { round, device, weight: examples as f64 })]
        } else {
            vec![refuse(Reason::Rejected)]
        };
        let enough = view.plan.coordination().cohort;
        if open.updates.len() as u64 >= enough || open.pending.is_empty() {
            effects.extend(self.close(view));
        }
        effects
    }

    fn device_left(&mut self, device: u32, round: u32, view: &View<'_>) -> Vec<Effect> {
        self.busy.remove(&device);
        let Some(open) = self.open.as_mut().filter(|open| open.round == round && !open.closed) else {
            return Vec::new();
        };
        open.pending.remove(&device);
        if open.pending.is_empty() { self.close(view) } else { Vec::new() }
    }

    fn deadline(&mut self, round: u32, view: &View<'_>) -> Vec<Effect> {
        match &self.open {
            Some(open) if open.round == round && !open.closed => self.close(view),
            _ => Vec::new(),
        }
    }

    /// Folds what came, if it is enough, and goes to work; or declares the round void.
    fn close(&mut self, view: &View<'_>) -> Vec<Effect> {
        let plan = view.plan;
        let open = self.open.as_mut().expect("only an open round closes");
        open.closed = true;
        let round = open.round;
        if (open.updates.len() as u64) < plan.coordination().min_updates {
            return self.finish(true, view);
        }
        let mut updates = std::mem::take(&mut open.updates);
        updates.sort_by_key(|update| update.device);
        open.updates.clone_from(&updates);
        let cost = plan.cloud_cost(round);
        let began = EventKind::CloudTraining { round, seconds: cost.seconds, flops: cost.flops };
        let task = CloudTask { round, progress: plan.progress(round, view.now.as_secs_f64()) };
        let job = Job::Cloud { task, state: (*self.state).clone(), updates };
        let after = VirtualDuration::from_secs_f64(cost.seconds);
        vec![Effect::Record(began), Effect::Train { job, label: Label::Work { round }, after }]
    }

    /// The cloud's work of a round is done.
    fn aggregated(&mut self, round: u32, outcome: Outcome, view: &View<'_>) -> Vec<Effect> {
        let plan = view.plan;
        let cost = plan.cloud_cost(round);
        let price = plan.scenario().cloud.price.as_ref();
        let cost_usd = price.map_or(0.0, |price| price.compute_usd_per_second * cost.seconds);
        self.compute_usd += cost_usd;
        let (mut losses, mut state, mut kept) = (Vec::new(), None, None);
        let mut effects = Vec::new();
        match outcome {
            Outcome::Cloud(done) => {
                losses = done
                    .trained
                    .iter()
                    .filter_map(|(name, progress)| {
                        progress.loss.map(|value| Loss { name: name.clone(), value })
                    })
                    .collect();
                state = Some(digest_of(&done.state));
                kept = done.relay.map(|(_, kept)| kept);
                self.state = Arc::new(done.state);
            }
            Outcome::Panicked(detail) => effects.push(Effect::Record(EventKind::Fault {
                kind: cotune_record::FaultKind::Panic,
                device: None,
                detail,
            })),
            Outcome::Skipped | Outcome::Device(..) | Outcome::Score(_) => {}
        }
        if let Some(generation) = plan.method().cloud_load(round).generation.last() {
            let prompts = generation.sequences;
            effects.push(Effect::Record(EventKind::RelayMade { round, device: None, prompts, kept }));
        }
        effects.push(Effect::Record(EventKind::CloudTrained {
            round,
            steps: cost.steps,
            tokens: cost.tokens,
            cost_usd,
            losses,
            state,
        }));
        effects.extend(self.finish(false, view));
        effects
    }

    /// Writes the round down, has everything scored when it is time, and opens the next round.
    fn finish(&mut self, void: bool, view: &View<'_>) -> Vec<Effect> {
        let open = self.open.take().expect("only an open round is finished");
        let round = open.round;
        let mut effects = vec![Effect::Record(EventKind::RoundClosed {
            round,
            accepted: open.updates.len() as u32,
            invited: open.invited,
            void,
            duration_s: (view.now - open.opened).as_secs_f64(),
        })];
        if self.scores_due(round, view) {
            self.scored_at = view.now;
            effects.push(Effect::Measure { round, cloud: Arc::clone(&self.state) });
        }
        effects.push(Effect::Wake { after: VirtualDuration::ZERO, message: Message::Open });
        effects
    }

    /// Scores are due at the end of the run, and in between as the scenario says.
    fn scores_due(&self, round: u32, view: &View<'_>) -> bool {
        use cotune_scenario::evaluation::Every;
        let due = match view.plan.scenario().evaluation.every {
            Every::Rounds(n) => u64::from(round).is_multiple_of(n.max(1)),
            Every::Seconds(seconds) => (view.now - self.scored_at).as_secs_f64() >= seconds,
        };
        due || self.budget_spent(view).is_some()
    }

    fn budget_spent(&self, view: &View<'_>) -> Option<EndReason> {
        let budget = &view.plan.scenario().budget;
        let spent = |limit: Option<u64>, used: u64| limit.is_some_and(|limit| used >= limit);
        if budget.virtual_seconds.is_some_and(|limit| view.now.as_secs_f64() >= limit) {
            Some(EndReason::VirtualTime)
        } else if spent(budget.rounds, u64::from(self.round)) {
            Some(EndReason::Rounds)
        } else if spent(budget.uplink_bytes, self.uplink_bytes) {
            Some(EndReason::Uplink)
        } else {
            None
        }
    }

    fn end(&self, reason: EndReason, view: &View<'_>) -> Vec<Effect> {
        let plan = view.plan;
        let price = plan.scenario().cloud.price.as_ref();
        let egress = price.map_or(0.0, |price| price.egress_usd_per_byte * self.egress_bytes as f64);
        let seconds = view.now.as_secs_f64();
        let idle = |class: &crate::fleet::DeviceClass| {
            f64::from(class.devices)
                * class.availability.share_online()
                * crate::energy::Spent::idle(&class.power, seconds).idle.0
        };
        let ended = EventKind::RunEnded {
            reason,
            cost_usd: self.compute_usd + egress,
            idle_joules: plan.fleet().classes().iter().map(idle).sum(),
        };
        vec![Effect::Record(ended), Effect::End(reason)]
    }

    fn measure(&self, round: u32, view: &View<'_>) -> Vec<Effect> {
        let subjects = view.plan.method().cloud_subjects(&self.state).into_iter();
        subjects
            .map(|(scope, subject)| Effect::Train {
                job: Job::Score(subject),
                label: Label::Score { round, scope },
                after: VirtualDuration::ZERO,
            })
            .collect()
    }
}

/// Scores of a model at the cloud: the mean over all domains, and every domain.
fn scored(round: u32, scope: Scope, outcome: Outcome, view: &View<'_>) -> Vec<Effect> {
    let Some(scores) = scores_of(outcome, view) else { return Vec::new() };
    let domains = view.plan.lab().domains();
    let uniform = vec![1.0; domains.len()];
    let mut effects = Vec::new();
    for (metric, values) in &scores.metrics {
        let mut record = |domain: Option<String>, value| {
            let (metric, device, weight) = (metric.clone(), None, 1.0);
            effects.push(Effect::Record(EventKind::Evaluated {
                round,
                scope,
                device,
                metric,
                domain,
                value,
                weight,
            }));
        };
        record(None, DomainScores::mixed(values, &uniform));
        for (domain, value) in domains.iter().zip(values) {
            record(Some(domain.clone()), value.mean());
        }
    }
    effects
}

fn digest_of(state: &State) -> Digest {
    let mut hasher = blake3::Hasher::new();
    for (name, trained) in state {
        hasher.update(name.as_bytes());
        for value in &trained.values {
            hasher.update(&value.to_le_bytes());
        }
    }
    Digest::from_bytes(*hasher.finalize().as_bytes())
}
