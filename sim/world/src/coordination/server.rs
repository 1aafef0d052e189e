//! What every way of coordinating needs of the cloud: invitations, judging and refusing updates, the work on an
//! aggregate, scores, budgets and the end of the run.

use crate::aggregate::huge;
use crate::effect::{Effect, Label, Message, Transfer, View};
use crate::energy::Spent;
use crate::fault::Strike;
use crate::gate;
use crate::job::{Job, Outcome};
use crate::method::{CloudTask, State, Update};
use crate::payload::{Content, Payload};
use crate::select::select;
use cotune_kernel::{VirtualDuration, VirtualTime};
use cotune_record::{Digest, EndReason, EventKind, FaultKind, Loss, Reason};
use cotune_scenario::method::Aggregate;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// How long the cloud waits when nobody can be invited (chosen).
const RETRY: VirtualDuration = VirtualDuration::from_secs(60);

/// After so many waits in a row the run ends as exhausted (chosen: four weeks).
const MOST_RETRIES: u32 = 4 * 7 * 24 * 60;

/// The cloud without what its protocol decides.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Server {
    #[serde(with = "crate::shared")]
    state: Arc<State>,
    /// What is sent of this state, by model of the device; made on first use.
    #[serde(skip)]
    broadcasts: BTreeMap<Arc<str>, Arc<Payload>>,
    /// Lengths of the last changes that went into an aggregate, by part: what is usual.
    last_changes: BTreeMap<String, VecDeque<f64>>,
    /// Rounds opened so far; a void round that is tried again is a new one.
    round: u32,
    /// Devices that were invited and whose outcome is not known yet.
    busy: BTreeSet<u32>,
    began: bool,
    /// When the next [`Message::Open`] counts; earlier ones were overtaken by it.
    opens_at: Option<VirtualTime>,
    /// When the cloud is back from a restart.
    back_at: VirtualTime,
    /// Strikes dealt with.
    struck: usize,
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

/// A round in progress.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct OpenRound {
    pub round: u32,
    pub opened: VirtualTime,
    pub invited: u32,
    pub accepted: u32,
    /// What has been accepted, until the cloud goes to work on it.
    pub updates: Vec<Update>,
    /// Since when the cloud has been working on the aggregate.
    pub working: Option<VirtualTime>,
}

/// What came of an invitation.
pub(super) struct Invited {
    pub effects: Vec<Effect>,
    /// What the device is being sent; none if it declined.
    pub sent: Option<Arc<Payload>>,
}

impl Server {
    pub(super) fn new(state: State) -> Self {
        Self {
            state: Arc::new(state),
            broadcasts: BTreeMap::new(),
            last_changes: BTreeMap::new(),
            round: 0,
            busy: BTreeSet::new(),
            began: false,
            opens_at: None,
            back_at: VirtualTime::ZERO,
            struck: 0,
            ending: None,
            retries: 0,
            uplink_bytes: 0,
            egress_bytes: 0,
            compute_usd: 0.0,
            scored_at: VirtualTime::ZERO,
        }
    }

    pub(super) fn state(&self) -> &State {
        &self.state
    }

    pub(super) fn rounds_opened(&self) -> u32 {
        self.round
    }

    pub(super) fn has_begun(&self) -> bool {
        self.began
    }

    /// Before anything is trained, everything is scored; and the scenario's faults are put on the calendar.
    pub(super) fn begin(&mut self, view: &View<'_>) -> Vec<Effect> {
        self.began = true;
        let mut effects = vec![Effect::Measure { round: 0, cloud: Arc::clone(&self.state) }];
        effects.extend(self.open_after(VirtualDuration::ZERO, view));
        let strikes = view.plan.faults().strikes()[self.struck..].iter();
        effects.extend(strikes.map(|strike| {
            let after = strike.at.saturating_since(view.now);
            Effect::Wake { after, message: Message::Strike }
        }));
        effects
    }

    /// The next strike that is due.
    pub(super) fn next_strike<'p>(&mut self, view: &View<'p>) -> Option<&'p Strike> {
        let strike = view.plan.faults().strikes().get(self.struck).filter(|strike| strike.at <= view.now)?;
        self.struck += 1;
        Some(strike)
    }

    /// Comes back from a restart.
    pub(super) fn restart(&mut self, back_at: VirtualTime, view: &View<'_>) -> Effect {
        self.back_at = self.back_at.max(back_at);
        self.opens_at = Some(self.back_at);
        Effect::Wake { after: self.back_at.saturating_since(view.now), message: Message::Open }
    }

    /// Whether the cloud is there.
    pub(super) fn is_up(&self, now: VirtualTime) -> bool {
        now >= self.back_at
    }

    /// Whether a [`Message::Open`] counts that comes now.
    pub(super) fn is_time_to_open(&mut self, now: VirtualTime) -> bool {
        let due = self.is_up(now) && self.opens_at.is_none_or(|at| at <= now);
        if due {
            self.opens_at = None;
        }
        due
    }

    /// Opens after a while, unless that comes earlier anyway.
    fn open_after(&mut self, after: VirtualDuration, view: &View<'_>) -> Option<Effect> {
        let at = view.now.saturating_add(after);
        if self.opens_at.is_some_and(|pending| pending <= at) {
            return None;
        }
        self.opens_at = Some(at);
        Some(Effect::Wake { after, message: Message::Open })
    }

    /// Waits for devices to come online; not for ever.
    pub(super) fn wait(&mut self, view: &View<'_>) -> Option<Effect> {
        let wake = self.open_after(RETRY, view)?;
        self.retries += 1;
        if self.retries > MOST_RETRIES {
            self.ending = Some(EndReason::Exhausted);
        }
        Some(wake)
    }

    /// A device has an outcome.
    pub(super) fn returned(&mut self, device: u32) {
        self.busy.remove(&device);
    }

    pub(super) fn charge_uplink(&mut self, bytes: u64) {
        self.uplink_bytes += bytes;
    }

    /// Whether anyone who was invited is still without an outcome.
    pub(super) fn is_idle(&self) -> bool {
        self.busy.is_empty()
    }

    /// Number of the round that opens next.
    pub(super) fn next_round(&self) -> u32 {
        self.round + 1
    }

    /// Up to `wanted` devices that are online and charged, reachable, idle and not `passed` over. Draw `draw` of the run.
    pub(super) fn choose(
        &self,
        draw: u32,
        wanted: usize,
        view: &View<'_>,
        passed: impl Fn(u32) -> bool,
    ) -> Vec<u32> {
        let (plan, seed) = (view.plan, view.plan.scenario().seed);
        let partitioned = plan.faults().is_partitioned(view.now);
        let reachable = |device| plan.faults().reachable(plan.fleet().device(device).class_index, view.now);
        let eligible = |device: u32| {
            !self.busy.contains(&device)
                && !passed(device)
                && (!partitioned || reachable(device))
                && plan.fleet().is_ready(seed, device, view.now)
        };
        select(seed, draw, plan.fleet().devices(), wanted, eligible)
    }

    /// Opens the next round for the devices that it begins with.
    pub(super) fn open_round(&mut self, invited: &[u32], view: &View<'_>) -> (OpenRound, Effect) {
        self.retries = 0;
        self.round += 1;
        if view.plan.is_turn(self.round) {
            self.broadcasts.clear();
        }
        let open = OpenRound {
            round: self.round,
            opened: view.now,
            invited: invited.len() as u32,
            accepted: 0,
            updates: Vec::new(),
            working: None,
        };
        let opened = EventKind::RoundOpened { round: self.round, invited: invited.to_vec() };
        (open, Effect::Record(opened))
    }

    /// Invites a device to the round that is open: it declines, or is sent the broadcast.
    pub(super) fn invite(&mut self, device: u32, view: &View<'_>) -> Invited {
        let (plan, round) = (view.plan, self.round);
        self.retries = 0;
        if let Some(reason) = gate::declined(device, round, view) {
            let (wasted_bytes, wasted_joules) = (0, 0.0);
            let outcome = EventKind::NotContributed { round, device, reason, wasted_bytes, wasted_joules };
            return Invited { effects: vec![Effect::Record(outcome)], sent: None };
        }
        self.busy.insert(device);
        let model = &plan.fleet().class_of(device).model;
        let broadcast = || Arc::new(plan.method().broadcast(plan.lab(), &self.state, model, round));
        let payload = Arc::clone(self.broadcasts.entry(Arc::clone(model)).or_insert_with(broadcast));
        let bytes = plan.traffic(device, round).down;
        self.egress_bytes += bytes;
        let sent = Some(Arc::clone(&payload));
        let transfer = Transfer { round, device, up: false, payload, bytes, seconds: 0.0, spent: (0, 0.0) };
        let started = EventKind::DownloadStarted { round, device, bytes };
        Invited { effects: vec![Effect::Record(started), Effect::Send(transfer)], sent }
    }

    /// Whether an update is of the shape that the method sends, and all of its numbers are finite.
    pub(super) fn is_acceptable(transfer: &Transfer, view: &View<'_>) -> bool {
        let shape = view.plan.update_shape(transfer.device, transfer.round);
        let payload = &transfer.payload;
        Arc::ptr_eq(payload, shape) || (payload.has_shape_of(shape) && payload.is_finite())
    }

    /// An update that is taken into a round, with what is said of it.
    pub(super) fn accept(open: &mut OpenRound, transfer: &Transfer, age: Age, view: &View<'_>) -> Effect {
        let device = transfer.device;
        let examples = u64::from(view.plan.lab().count_of(device));
        let model = view.plan.fleet().class_of(device).model.to_string();
        let payload = Arc::clone(&transfer.payload);
        let Age { staleness, discount, base } = age;
        open.updates.push(Update { device, model, examples, discount, base, payload });
        open.accepted += 1;
        Effect::Record(EventKind::UpdateAccepted {
            round: transfer.round,
            device,
            weight: examples as f64 * discount,
            staleness,
            aggregate: (open.round != transfer.round).then_some(open.round),
        })
    }

    /// An update that is not taken, with everything that was spent for it.
    pub(super) fn refuse(transfer: &Transfer, reason: Reason, view: &View<'_>) -> Effect {
        let power = &view.plan.fleet().class_of(transfer.device).power;
        let radio = Spent::radio(power, transfer.seconds).marginal().0;
        Effect::Record(EventKind::NotContributed {
            round: transfer.round,
            device: transfer.device,
            reason,
            wasted_bytes: transfer.spent.0 + transfer.bytes,
            wasted_joules: transfer.spent.1 + radio,
        })
    }

    /// Goes to work on what a round has: folds it in the order of devices, then does what the method's cloud does.
    pub(super) fn work(&mut self, open: &mut OpenRound, view: &View<'_>) -> Vec<Effect> {
        let (plan, round) = (view.plan, open.round);
        open.working = Some(view.now);
        let mut updates = std::mem::take(&mut open.updates);
        updates.sort_by_key(|update| update.device); // stable: two of one device stay in the order they were made in
        let cost = plan.cloud_cost(round);
        let began = EventKind::CloudTraining { round, seconds: cost.seconds, flops: cost.flops };
        let mut effects = vec![Effect::Record(began)];
        effects.extend(self.leave_out(&mut updates, round, view));
        let task = CloudTask { round, progress: plan.progress(round, view.now.as_secs_f64()) };
        let job = Job::Cloud { task, state: Arc::clone(&self.state), updates };
        let after = VirtualDuration::from_secs_f64(cost.seconds);
        effects.push(Effect::Train { job, label: Label::Work { round }, after });
        effects
    }

    /// Takes out the updates that must not reach the aggregate, with a warning for each. They stay accepted: that they are
    /// what they are is learned, and the schedule is the same without learning.
    fn leave_out(&mut self, updates: &mut Vec<Update>, round: u32, view: &View<'_>) -> Vec<Effect> {
        // Without learning everybody sends the same values.
        let shape = |update: &Update| view.plan.update_shape(update.device, round);
        if updates.iter().all(|update| Arc::ptr_eq(&update.payload, shape(update))) {
            return Vec::new();
        }
        let mut warnings = Vec::new();
        updates.retain(|update| {
            let is_plausible = update.payload.is_plausible();
            if !is_plausible {
                let why = "it has losses below zero or logits beyond 10,000, as no model has them";
                warnings.push(Effect::left_out(update.device, round, why));
            }
            is_plausible
        });
        let rule = view.plan.scenario().method.table().aggregate();
        // The robust rules bear changes of any size, and see no control variates.
        let is_plain = matches!(rule, None | Some(Aggregate::Weighted | Aggregate::Uniform));
        let is_judged = |content: Content| is_plain || content == Content::Control;
        let mut found = huge(updates, &self.state, &mut self.last_changes, is_judged).into_iter();
        updates.retain(|update| {
            let Some(huge) = found.next().flatten() else { return true };
            warnings.push(Effect::left_out(update.device, round, huge));
            false
        });
        warnings
    }

    /// The cloud's work of a round is done: there is a new state.
    pub(super) fn worked(&mut self, round: u32, outcome: Outcome, view: &View<'_>) -> Vec<Effect> {
        let plan = view.plan;
        let cost = plan.cloud_cost(round);
        let cost_usd = compute_usd(cost.seconds, view);
        self.compute_usd += cost_usd;
        let (mut losses, mut state, mut kept) = (Vec::new(), None, None);
        let (mut effects, mut warnings) = (Vec::new(), Vec::new());
        match outcome {
            Outcome::Cloud(done) => {
                losses = done
                    .trained
                    .iter()
                    .filter_map(|(name, progress)| {
                        progress.loss.map(|value| Loss { name: name.clone(), value })
                    })
                    .collect();
                warnings.extend(done.trained.iter().filter_map(|(model, progress)| {
                    Effect::skipped_steps(&format!("{model} at the cloud"), round, progress)
                }));
                state = Some(digest_of(&done.state));
                kept = done.relay.map(|relay| relay.kept);
                self.state = Arc::new(done.state);
                self.broadcasts.clear();
            }
            Outcome::Panicked(detail) => {
                let fault = EventKind::Fault { kind: FaultKind::Panic, device: None, detail };
                effects.push(Effect::Record(fault));
            }
            Outcome::Skipped
            | Outcome::Device(..)
            | Outcome::Score(_)
            | Outcome::Leak(_)
            | Outcome::Stack(_) => {}
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
        effects.extend(warnings);
        effects
    }

    /// Writes a round down, has everything scored when it is time, and opens the next one; after a void round that took
    /// no time, not at once.
    pub(super) fn close(&mut self, open: &OpenRound, void: bool, view: &View<'_>) -> Vec<Effect> {
        let mut effects = vec![closed(open, void, view)];
        if self.scores_due(open.round, view) {
            self.scored_at = view.now;
            effects.push(Effect::Measure { round: open.round, cloud: Arc::clone(&self.state) });
        }
        let hopeless = void && view.now == open.opened;
        let after = if hopeless { RETRY } else { VirtualDuration::ZERO };
        effects.extend(self.open_after(after, view));
        effects
    }

    /// Gives a round up that was in progress when the cloud stopped; the work until then is paid for.
    pub(super) fn give_up(&mut self, open: &OpenRound, view: &View<'_>) -> Effect {
        if let Some(since) = open.working {
            self.compute_usd += compute_usd((view.now - since).as_secs_f64(), view);
        }
        closed(open, true, view)
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

    /// Whether the run is over, or about to be: then nobody is invited any more.
    pub(super) fn is_ending(&self) -> bool {
        self.ending.is_some()
    }

    /// Ends the run if a budget is spent.
    pub(super) fn ends(&mut self, view: &View<'_>) -> bool {
        self.ending = self.ending.or_else(|| self.budget_spent(view));
        self.ending.is_some()
    }

    /// Whether a budget is spent that is spent within rounds, too.
    pub(super) fn is_out_of_time_or_bytes(&self, view: &View<'_>) -> bool {
        let budget = &view.plan.scenario().budget;
        budget.virtual_seconds.is_some_and(|limit| view.now.as_secs_f64() >= limit)
            || budget.uplink_bytes.is_some_and(|limit| self.uplink_bytes >= limit)
    }

    /// Which budget is spent, if one is.
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

    /// The last words, once the run is over and every invited device has an outcome.
    pub(super) fn end_if_idle(&mut self, view: &View<'_>) -> Vec<Effect> {
        let idle = self.is_idle();
        let Some(reason) = self.ending.take_if(|_| idle) else { return Vec::new() };
        let plan = view.plan;
        let price = plan.scenario().cloud.price.as_ref();
        let egress = price.map_or(0.0, |price| price.egress_usd_per_byte * self.egress_bytes as f64);
        let seconds = view.now.as_secs_f64();
        let idle = |class: &crate::fleet::DeviceClass| {
            f64::from(class.devices)
                * class.availability.share_online()
                * Spent::idle(&class.power, seconds).idle.0
        };
        let ended = EventKind::RunEnded {
            reason,
            cost_usd: self.compute_usd + egress,
            idle_joules: plan.fleet().classes().iter().map(idle).sum(),
        };
        vec![Effect::Record(ended), Effect::End(reason)]
    }
}

/// How old the model is that an update is based on.
pub(super) struct Age {
    /// Aggregates made since.
    pub staleness: u32,
    /// What the update counts for because of that.
    pub discount: f64,
    /// What the device was sent, where it is not the cloud's model any more.
    pub base: Option<Arc<Payload>>,
}

impl Age {
    /// Of an update that is based on the cloud's model.
    pub(super) const FRESH: Self = Self { staleness: 0, discount: 1.0, base: None };
}

fn closed(open: &OpenRound, void: bool, view: &View<'_>) -> Effect {
    Effect::Record(EventKind::RoundClosed {
        round: open.round,
        accepted: open.accepted,
        invited: open.invited,
        void,
        duration_s: (view.now - open.opened).as_secs_f64(),
    })
}

/// Price of so many seconds of the cloud \[USD\].
fn compute_usd(seconds: f64, view: &View<'_>) -> f64 {
    let price = view.plan.scenario().cloud.price.as_ref();
    price.map_or(0.0, |price| price.compute_usd_per_second * seconds)
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
