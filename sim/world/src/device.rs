//! A device as a state machine: it receives, works, sends, and may be interrupted at any point.

use crate::battery::Charge;
use crate::effect::{Effect, Interruption, Label, Message, Party, Transfer, View};
use crate::energy::Spent;
use crate::hazard;
use crate::job::{Job, Outcome};
use crate::method::{DeviceTask, State};
use crate::packing::Residual;
use crate::score::{DomainScores, scores_of};
use cotune_kernel::{VirtualDuration, VirtualTime};
use cotune_record::{Digest, EventKind, FaultKind, Reason, Scope};
use cotune_scenario::fleet::Power;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What a device keeps between rounds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DeviceMemory {
    /// The adapters it trains. Devices that have not trained yet share one.
    #[serde(with = "crate::shared")]
    pub state: Arc<State>,
    /// What the encoding of its updates has lost so far.
    pub residual: Residual,
    /// The charge of its battery after its last work; none: it never worked, or has no battery.
    pub charge: Option<Charge>,
}

/// One device.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DeviceCore {
    device: u32,
    memory: DeviceMemory,
    ongoing: Option<Ongoing>,
    /// Scores it still waits for.
    scoring: u32,
}

/// The round a device is in.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Ongoing {
    round: u32,
    bytes: u64,
    joules: f64,
    /// When its work began.
    work_began: f64,
}

impl DeviceCore {
    /// A device with what it kept.
    pub fn new(device: u32, memory: DeviceMemory) -> Self {
        Self { device, memory, ongoing: None, scoring: 0 }
    }

    /// Its number.
    pub fn number(&self) -> u32 {
        self.device
    }

    /// What it keeps.
    pub fn memory(&self) -> &DeviceMemory {
        &self.memory
    }

    /// Takes what it keeps; a device without it is at its end.
    pub fn take_memory(&mut self) -> DeviceMemory {
        std::mem::take(&mut self.memory)
    }

    /// Reacts to a message.
    pub fn on(&mut self, message: Message, view: &View<'_>) -> Vec<Effect> {
        match message {
            Message::Received(transfer) => self.received(transfer, view),
            Message::Interrupted { cause } => self.interrupted(cause, view),
            Message::Done { label: Label::Work { round }, outcome } => self.worked(round, outcome, view),
            Message::Done { label: Label::Score { round, scope: _ }, outcome } => {
                self.scored(round, outcome, view)
            }
            Message::Done { label: Label::Attack { .. }, .. } => unreachable!("attacks are the cloud's"),
            Message::Sent(transfer) => self.sent(&transfer, view),
            Message::Cut { transfer, never_began } => self.cut(&transfer, never_began, view),
            Message::Measure { round, cloud } => self.measure(round, &cloud, view),
            Message::Open | Message::Strike | Message::Deadline { .. } | Message::Gone { .. } => {
                unreachable!("{message:?} is for the cloud")
            }
        }
    }

    /// The broadcast arrived: work begins, unless something will interrupt it.
    fn received(&mut self, transfer: Transfer, view: &View<'_>) -> Vec<Effect> {
        let round = transfer.round;
        let radio = self.radio(transfer.seconds, view);
        self.drain(transfer.seconds, |power| power.radio_watts, view);
        self.ongoing =
            Some(Ongoing { round, bytes: transfer.bytes, joules: radio, work_began: view.now.as_secs_f64() });
        let finished = EventKind::DownloadFinished {
            round,
            device: self.device,
            bytes: transfer.bytes,
            seconds: transfer.seconds,
            joules: radio,
            complete: true,
        };
        if !self.is_charged(view) {
            let mut effects = vec![Effect::Record(finished)];
            effects.extend(self.gone(round, Reason::Battery, transfer.bytes, radio));
            return effects;
        }
        let cost = view.plan.device_cost(self.device, round);
        let started = EventKind::TrainingStarted {
            round,
            device: self.device,
            flops: cost.flops,
            seconds: cost.seconds,
        };
        let mut effects = vec![Effect::Record(finished), Effect::Record(started)];
        effects.push(match self.interruption(round, cost.seconds, view) {
            Some((after, cause)) => Effect::Wake { after, message: Message::Interrupted { cause } },
            None => Effect::Train {
                job: Job::Device {
                    task: DeviceTask {
                        device: self.device,
                        model: view.plan.fleet().class_of(self.device).model.to_string(),
                        round,
                        progress: view.plan.progress(round, view.now.as_secs_f64()),
                    },
                    state: Arc::clone(&self.memory.state),
                    received: transfer.payload,
                    residual: self.memory.residual.clone(),
                },
                label: Label::Work { round },
                after: VirtualDuration::from_secs_f64(cost.seconds),
            },
        });
        effects
    }

    /// What comes first within the next `seconds`: a crash, going offline, or a battery that is too low.
    fn interruption(
        &self,
        round: u32,
        seconds: f64,
        view: &View<'_>,
    ) -> Option<(VirtualDuration, Interruption)> {
        let class = view.plan.fleet().class_of(self.device);
        let seed = view.plan.scenario().seed;
        let crash = hazard::crash_within(seed, self.device, round, seconds, class.crash_rate_per_second)
            .map(|at| (VirtualDuration::from_secs_f64(at), Interruption::Crash));
        let end = view.now.saturating_add(VirtualDuration::from_secs_f64(seconds));
        let offline = class
            .availability
            .goes_offline_before(seed, self.device, view.now, end)
            .map(|at| (at - view.now, Interruption::Offline));
        let battery = class.battery.as_ref().zip(self.memory.charge).and_then(|(battery, charge)| {
            let timezone = class.availability.timezone(seed, self.device);
            let watts = class.power.train_watts;
            let after = battery.spent_within(seed, self.device, timezone, charge, watts, seconds)?;
            Some((VirtualDuration::from_secs_f64(after), Interruption::Battery))
        });
        [crash, offline, battery].into_iter().flatten().min_by_key(|(after, _)| *after)
    }

    fn interrupted(&mut self, cause: Interruption, view: &View<'_>) -> Vec<Effect> {
        let Some(ongoing) = self.ongoing.take() else { return Vec::new() };
        let seconds = view.now.as_secs_f64() - ongoing.work_began;
        let whole = view.plan.device_cost(self.device, ongoing.round);
        let share = if whole.seconds > 0.0 { seconds / whole.seconds } else { 0.0 };
        let joules = self.train(seconds, view);
        self.drain(seconds, |power| power.train_watts, view);
        let finished = EventKind::TrainingFinished {
            round: ongoing.round,
            device: self.device,
            steps: (f64::from(whole.steps) * share) as u32,
            tokens: (whole.tokens as f64 * share) as u64,
            seconds,
            joules,
            complete: false,
            loss: None,
            update: None,
        };
        let mut effects = vec![Effect::Record(finished)];
        let reason = match cause {
            Interruption::Offline => Reason::DroppedWhileTraining,
            Interruption::Battery => {
                let battery = view.plan.fleet().class_of(self.device).battery.as_ref();
                self.memory.charge =
                    battery.zip(self.memory.charge).map(|(battery, charge)| battery.spent(charge));
                Reason::Battery
            }
            Interruption::Crash => {
                effects.push(Effect::Record(EventKind::Fault {
                    kind: FaultKind::Crash,
                    device: Some(self.device),
                    detail: format!("crashed after {seconds:.1} s of work"),
                }));
                Reason::Crashed
            }
        };
        effects.extend(self.gone(ongoing.round, reason, ongoing.bytes, ongoing.joules + joules));
        effects
    }

    /// Work is done: keep the state, send the update.
    fn worked(&mut self, round: u32, outcome: Outcome, view: &View<'_>) -> Vec<Effect> {
        let Some(began) = self.ongoing.as_ref().map(|ongoing| ongoing.work_began) else { return Vec::new() };
        let seconds = view.now.as_secs_f64() - began;
        self.drain(seconds, |power| power.train_watts, view);
        let Some(ongoing) = self.ongoing.as_mut() else { return Vec::new() };
        let cost = view.plan.device_cost(self.device, round);
        let class = view.plan.fleet().class_of(self.device);
        let joules = Spent::training(&class.power, seconds).marginal().0;
        ongoing.joules += joules;
        let spent = (ongoing.bytes, ongoing.joules);
        let load = view.plan.method().device_load(&class.model, view.plan.lab().count_of(self.device), round);
        let mut finished = EventKind::TrainingFinished {
            round,
            device: self.device,
            steps: cost.steps,
            tokens: cost.tokens,
            seconds,
            joules,
            complete: true,
            loss: None,
            update: None,
        };
        let (mut payload, mut kept) = (Arc::clone(view.plan.update_shape(self.device, round)), None);
        let mut warning = None;
        match outcome {
            Outcome::Device(done, residual) => {
                if let EventKind::TrainingFinished { loss, update, .. } = &mut finished {
                    *loss = done.trained.loss;
                    *update = Some(Digest::from_bytes(*done.update.digest().as_bytes()));
                }
                let party = format!("device {}", self.device);
                warning = Effect::skipped_steps(&party, round, &done.trained);
                self.memory.state = Arc::new(done.state);
                self.memory.residual = residual;
                payload = Arc::new(done.update);
                kept = done.relay.map(|relay| relay.kept);
            }
            Outcome::Panicked(text) => {
                let fault =
                    EventKind::Fault { kind: FaultKind::Panic, device: Some(self.device), detail: text };
                let mut effects = vec![Effect::Record(finished), Effect::Record(fault)];
                effects.extend(self.gone(round, Reason::Crashed, spent.0, spent.1));
                return effects;
            }
            Outcome::Skipped
            | Outcome::Cloud(_)
            | Outcome::Score(_)
            | Outcome::Leak(_)
            | Outcome::Stack(_) => {}
        }
        let mut effects = Vec::new();
        if let Some(generation) = load.generation.last() {
            let (device, prompts) = (Some(self.device), generation.sequences);
            effects.push(Effect::Record(EventKind::RelayMade { round, device, prompts, kept }));
        }
        effects.push(Effect::Record(finished));
        effects.extend(warning);
        let seed = view.plan.scenario().seed;
        if let Some((altered, detail)) = view.plan.faults().corrupted(seed, self.device, round, &payload) {
            payload = Arc::new(altered);
            let (kind, device) = (FaultKind::Corrupt, Some(self.device));
            effects.push(Effect::Record(EventKind::Fault { kind, device, detail }));
        }
        let bytes = view.plan.traffic(self.device, round).up;
        effects.push(Effect::Record(EventKind::UploadStarted { round, device: self.device, bytes }));
        effects.push(Effect::Send(Transfer {
            round,
            device: self.device,
            up: true,
            payload,
            bytes,
            seconds: 0.0,
            spent,
        }));
        effects
    }

    fn sent(&mut self, transfer: &Transfer, view: &View<'_>) -> Vec<Effect> {
        self.ongoing = None;
        self.drain(transfer.seconds, |power| power.radio_watts, view);
        let mut effects = vec![Effect::Record(self.upload_finished(transfer, true, view))];
        effects.extend(self.idle());
        effects
    }

    fn cut(&mut self, transfer: &Transfer, never_began: bool, view: &View<'_>) -> Vec<Effect> {
        let before = self.ongoing.take().map_or((0, 0.0), |ongoing| (ongoing.bytes, ongoing.joules));
        let joules = self.radio(transfer.seconds, view);
        self.drain(transfer.seconds, |power| power.radio_watts, view);
        let (finished, lost) = if transfer.up {
            (self.upload_finished(transfer, false, view), Reason::UploadLost)
        } else {
            let finished = EventKind::DownloadFinished {
                round: transfer.round,
                device: self.device,
                bytes: transfer.bytes,
                seconds: transfer.seconds,
                joules,
                complete: false,
            };
            (finished, if never_began { Reason::Offline } else { Reason::DownloadLost })
        };
        let mut effects = vec![Effect::Record(finished)];
        effects.extend(self.gone(transfer.round, lost, before.0 + transfer.bytes, before.1 + joules));
        effects
    }

    /// The device leaves a round with nothing to show.
    fn gone(&mut self, round: u32, reason: Reason, wasted_bytes: u64, wasted_joules: f64) -> Vec<Effect> {
        self.ongoing = None;
        let device = self.device;
        let outcome = EventKind::NotContributed { round, device, reason, wasted_bytes, wasted_joules };
        let tell = Effect::Tell { to: Party::Cloud, message: Message::Gone { device, round } };
        [Effect::Record(outcome), tell].into_iter().chain(self.idle()).collect()
    }

    fn measure(&mut self, round: u32, cloud: &State, view: &View<'_>) -> Vec<Effect> {
        self.scoring += 1;
        let model = &view.plan.fleet().class_of(self.device).model;
        let subject = view.plan.method().edge_subject(cloud, &self.memory.state, model);
        vec![Effect::Train {
            job: Job::Score(subject),
            label: Label::Score { round, scope: Scope::Edge },
            after: VirtualDuration::ZERO,
        }]
    }

    /// Own mix and all domains, and every domain by itself.
    fn scored(&mut self, round: u32, outcome: Outcome, view: &View<'_>) -> Vec<Effect> {
        self.scoring -= 1;
        let shares = view.plan.lab().shares_of(self.device);
        let device = Some(self.device);
        let mut effects = Vec::new();
        if let Some(scores) = scores_of(outcome, view) {
            for (metric, values) in &scores.metrics {
                let mut record = |scope, domain: Option<String>, value, weight| {
                    let metric = metric.clone();
                    let kind = EventKind::Evaluated { round, scope, device, metric, domain, value, weight };
                    effects.push(Effect::Record(kind));
                };
                record(Scope::Edge, None, DomainScores::mixed(values, shares), 1.0);
                let uniform = vec![1.0; shares.len()];
                record(Scope::EdgeAll, None, DomainScores::mixed(values, &uniform), 1.0);
                for ((domain, value), share) in view.plan.lab().domains().iter().zip(values).zip(shares) {
                    if *share > 0.0 {
                        record(Scope::Edge, Some(domain.clone()), value.mean(), *share);
                    }
                }
            }
        }
        effects.extend(self.idle());
        effects
    }

    /// A device that has nothing to do gives its actor up.
    fn idle(&self) -> Option<Effect> {
        (self.ongoing.is_none() && self.scoring == 0).then_some(Effect::Passivate)
    }

    fn upload_finished(&self, transfer: &Transfer, complete: bool, view: &View<'_>) -> EventKind {
        EventKind::UploadFinished {
            round: transfer.round,
            device: self.device,
            bytes: transfer.bytes,
            seconds: transfer.seconds,
            joules: self.radio(transfer.seconds, view),
            complete,
        }
    }

    /// Takes what the last `seconds` of work drew out of the battery.
    fn drain(&mut self, seconds: f64, watts: fn(&Power) -> f64, view: &View<'_>) {
        let class = view.plan.fleet().class_of(self.device);
        let Some(battery) = &class.battery else { return };
        let (seed, device) = (view.plan.scenario().seed, self.device);
        let timezone = class.availability.timezone(seed, device);
        let began =
            view.now.as_nanos() - VirtualDuration::from_secs_f64(seconds).as_nanos().min(view.now.as_nanos());
        let began = VirtualTime::from_nanos(began);
        let before = match self.memory.charge {
            Some(charge) => battery.after(seed, device, timezone, charge, began.max(charge.at), 0.0),
            None => Charge { at: began, joules: battery.undisturbed(seed, device, timezone, began) },
        };
        let watts = watts(&class.power);
        self.memory.charge = Some(battery.after(seed, device, timezone, before, view.now, watts));
    }

    /// Whether its battery is charged enough to train.
    fn is_charged(&self, view: &View<'_>) -> bool {
        let battery = view.plan.fleet().class_of(self.device).battery.as_ref();
        battery.zip(self.memory.charge).is_none_or(|(battery, charge)| battery.allows(charge.joules))
    }

    /// Marginal joules of `seconds` of radio.
    fn radio(&self, seconds: f64, view: &View<'_>) -> f64 {
        Spent::radio(&view.plan.fleet().class_of(self.device).power, seconds).marginal().0
    }

    /// Marginal joules of `seconds` of training.
    fn train(&self, seconds: f64, view: &View<'_>) -> f64 {
        Spent::training(&view.plan.fleet().class_of(self.device).power, seconds).marginal().0
    }
}
