//! The scheduler: owns virtual time, and carries out what parties ask for. It knows when a snapshot of everything is due.

use super::cloud::Cloud;
use super::device::Device;
use super::journey::{Journey, Outcome};
use super::recorder::{Keep, Recorder, Write};
use super::snapshot::{CopyCloud, CopyDevice, Parts};
use super::{End, Options, SimulationError, Snapshot};
use crate::coordination::CloudCore;
use crate::device::{DeviceCore, DeviceMemory};
use crate::effect::{Effect, Interruption, Label, Message, Party};
use crate::hazard::Direction;
use crate::method::State;
use crate::network::{Ended, Flowing, Network};
use crate::packing::Residual;
use crate::plan::Plan;
use crate::pool::{Pending, Pool, Ticket};
use actix::prelude::*;
use cotune_kernel::{EventId, EventKey, EventQueue, FlowId, VirtualDuration, VirtualTime};
use cotune_record::{Event, EventKind, Footprint};
use cotune_scenario::scenario::Actors;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// At one instant lower classes come first: the network, then what devices are told, then what the cloud is told (so that
/// a device has finished its upload before the cloud acts on it), then results of jobs, then timers.
mod class {
    pub const NETWORK: u8 = 0;
    pub const DEVICE: u8 = 1;
    pub const CLOUD: u8 = 2;
    pub const JOB: u8 = 3;
    pub const TIMER: u8 = 4;
}

/// The class of a message to a party.
fn message_class(to: Party) -> u8 {
    match to {
        Party::Device(_) => class::DEVICE,
        Party::Cloud => class::CLOUD,
    }
}

/// Events that are written together where nothing is learned (chosen: a message to the recorder is a tenth of what encoding
/// them takes).
const BATCH: usize = 256;

/// Where nothing is learned, a snapshot is due at the end of a round after so many events (chosen: a third of a second, of
/// which waiting for the disk takes a twentieth) …
const EVENTS_PER_SNAPSHOT: u64 = 1 << 18;
/// … and so many for each device that has something to remember, so that snapshots of a million devices cost as little.
const EVENTS_PER_DEVICE: u64 = 4;

/// The scheduler's own source key.
const SCHEDULER: u64 = 0;

/// What is due at a time.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Due {
    /// Tell a party something.
    Tell(Party, Message),
    /// A transfer's handshake is over, or its device's rate has changed.
    Flow(FlowId),
    /// A transfer of a link is complete.
    Link(Direction),
    /// The device of a transfer is gone.
    Cut(FlowId),
    /// A job's virtual duration is over.
    Job(Party, Label, Ticket),
}

impl Due {
    /// The job that is waited for, if one is.
    pub(super) fn ticket(&self) -> Option<Ticket> {
        match self {
            Self::Job(_, _, ticket) => Some(*ticket),
            Self::Tell(..) | Self::Flow(_) | Self::Link(_) | Self::Cut(_) => None,
        }
    }

    /// The device that is told something, if one is.
    pub(super) fn device(&self) -> Option<u32> {
        match self {
            Self::Tell(Party::Device(device), _) | Self::Job(Party::Device(device), ..) => Some(*device),
            Self::Tell(Party::Cloud, _) | Self::Job(Party::Cloud, ..) => None,
            Self::Flow(_) | Self::Link(_) | Self::Cut(_) => None,
        }
    }
}

/// Play the run to its end.
#[derive(actix::Message)]
#[rtype(result = "Outcome")]
pub(super) struct Play;

/// The actor that owns virtual time.
pub(super) struct Scheduler {
    plan: Arc<Plan>,
    queue: EventQueue<Due>,
    network: Network,
    /// The pending completion of each link.
    link_due: [Option<EventId>; 2],
    /// When the device of a transfer will be gone.
    cut_due: BTreeMap<FlowId, EventId>,
    pool: Pool,
    cloud: Addr<Cloud>,
    /// The actor of every device that has one: a pointer for each device of the fleet.
    live: Vec<Option<Addr<Device>>>,
    /// Devices without an actor that have something to remember.
    cold: BTreeMap<u32, DeviceMemory>,
    /// What devices of a model start with, by model; shared by all that have not trained.
    fresh: BTreeMap<Arc<str>, Arc<State>>,
    recorder: Addr<Recorder>,
    stop: Arc<AtomicBool>,
    /// Whether anybody keeps snapshots.
    keeps: bool,
    keep_every: Option<u32>,
    /// The last round before the run is paused.
    until_round: Option<u32>,
    /// When that round was closed, once it is: what is due later stays due.
    pause_after: Option<VirtualTime>,
    /// Rounds closed and events recorded since the last snapshot.
    since_snapshot: (u32, u64),
    /// Whether a round was closed by the entry that was handled last.
    closed_round: bool,
    /// Whether anything is learned.
    train: bool,
    /// Whether the run's first event is on its way.
    began: bool,
    /// Events that are not with the recorder yet.
    unwritten: Vec<Event>,
    ended: Option<End>,
    /// How many entries the queue has, told whenever events are written.
    length: metrics::Gauge,
}

impl Scheduler {
    /// A scheduler at the beginning of the run, or where a snapshot was taken. `keeps` is whether the recorder keeps
    /// snapshots.
    pub(super) fn new(
        plan: Arc<Plan>,
        options: &Options,
        recorder: Addr<Recorder>,
        keeps: bool,
        snapshot: Option<Snapshot>,
    ) -> Self {
        let parts = snapshot.map_or_else(|| beginning(&plan), |Snapshot(parts)| parts);
        let Options { threads, train, stacks, delays, remote, .. } = options;
        let mut pool = Pool::start(&plan, *threads, *train, *stacks, *delays, remote.clone());
        pool.restore(parts.pending);
        // A run that goes on where that round is closed already has its scores left to do at most.
        let is_there = options.until_round.is_some_and(|until| parts.cloud.rounds_closed() >= until);
        let mut scheduler = Self {
            pause_after: is_there.then(|| parts.queue.now()),
            queue: parts.queue,
            network: parts.network,
            link_due: parts.link_due,
            cut_due: parts.cut_due,
            pool,
            cloud: Cloud { core: parts.cloud, plan: Arc::clone(&plan) }.start(),
            live: vec![None; plan.fleet().devices() as usize],
            cold: parts.cold,
            fresh: BTreeMap::new(),
            plan,
            recorder,
            stop: Arc::clone(&options.stop),
            keeps,
            keep_every: options.keep_every,
            until_round: options.until_round,
            since_snapshot: (0, 0),
            closed_round: false,
            train: options.train,
            began: parts.began,
            unwritten: Vec::new(),
            ended: parts.complete.then_some(End::Complete),
            length: metrics::gauge!("cotune_queue_length"),
        };
        for core in parts.live {
            scheduler.wake(core);
        }
        if scheduler.keeps_all() {
            for device in 0..scheduler.plan.fleet().devices() {
                scheduler.actor(device);
            }
        }
        scheduler
    }

    /// A scheduler with nothing to do and an actor for every device.
    pub(super) fn idle(plan: Arc<Plan>, options: &Options, recorder: Addr<Recorder>) -> Self {
        let mut scheduler = Self::new(plan, options, recorder, false, None);
        scheduler.queue = EventQueue::new();
        scheduler.began = true;
        for device in 0..scheduler.plan.fleet().devices() {
            scheduler.actor(device);
        }
        scheduler
    }

    fn keeps_all(&self) -> bool {
        self.plan.scenario().simulation.actors == Actors::All
    }

    /// The actor of a device, made when it has none.
    pub(super) fn actor(&mut self, device: u32) -> &Addr<Device> {
        let place = device as usize;
        if self.live[place].is_none() {
            let memory = match self.cold.remove(&device) {
                Some(memory) => memory,
                None => DeviceMemory { state: self.fresh(device), residual: Residual::new(), charge: None },
            };
            self.wake(DeviceCore::new(device, memory));
        }
        self.live[place].as_ref().expect("it has just been started")
    }

    /// What a device starts with.
    fn fresh(&mut self, device: u32) -> Arc<State> {
        let plan = &self.plan;
        let model = &plan.fleet().class_of(device).model;
        let make = || Arc::new(plan.method().start_device(plan.lab(), model));
        Arc::clone(self.fresh.entry(Arc::clone(model)).or_insert_with(make))
    }

    fn wake(&mut self, core: DeviceCore) {
        let place = core.number() as usize;
        let actor = Device { core, plan: Arc::clone(&self.plan), stays: self.keeps_all() }.start();
        self.live[place] = Some(actor);
    }

    /// The first event of the run.
    fn first_event(&self) -> EventKind {
        let scenario = self.plan.scenario();
        EventKind::RunStarted {
            scenario_digest: scenario.digest().parse().expect("a scenario's digest is 64 hex digits"),
            seed: scenario.seed,
            devices: self.plan.fleet().devices(),
            method: self.plan.method().name().to_string(),
            footprint: self.footprint(),
        }
    }

    /// What the scenario says of the cloud's power and of carbon, if anything.
    fn footprint(&self) -> Option<Footprint> {
        let scenario = self.plan.scenario();
        let footprint = Footprint {
            cloud_watts: scenario.cloud.power_watts,
            cloud_grams_per_joule: scenario.cloud.carbon_grams_per_joule,
            device_grams_per_joule: scenario.fleet.carbon_grams_per_joule,
        };
        (footprint != Footprint::default()).then_some(footprint)
    }

    /// Handles what concerns the network alone; yields what a party has to be told.
    fn network_step(&mut self, now: VirtualTime, due: Due) -> Option<(Party, Message)> {
        match due {
            Due::Tell(party, message) => Some((party, message)),
            Due::Job(party, label, ticket) => {
                let outcome = self.pool.join(ticket);
                Some((party, Message::Done { label, outcome }))
            }
            Due::Flow(flow) => {
                let plan = Arc::clone(&self.plan);
                if let Some(Flowing { direction, changes_at }) = self.network.flow(now, flow, &plan) {
                    self.watch(direction);
                    if let Some(at) = changes_at {
                        self.queue.push(at, class::NETWORK, SCHEDULER, Due::Flow(flow));
                    }
                }
                None
            }
            Due::Link(direction) => {
                self.link_due[usize::from(direction == Direction::Up)] = None;
                for (flow, ended) in self.network.advance(now, direction) {
                    if let Some(cut) = self.cut_due.remove(&flow) {
                        self.queue.cancel(cut);
                    }
                    self.tell_ended(now, ended);
                }
                self.watch(direction);
                None
            }
            Due::Cut(flow) => {
                self.cut_due.remove(&flow);
                if let Some(ended) = self.network.cut(now, flow) {
                    let direction = ended.transfer.direction();
                    self.tell_ended(now, ended);
                    self.watch(direction);
                }
                None
            }
        }
    }

    /// Sees that the link's next completion is in the queue.
    fn watch(&mut self, direction: Direction) {
        let slot = usize::from(direction == Direction::Up);
        if let Some(old) = self.link_due[slot].take() {
            self.queue.cancel(old);
        }
        if let Some(at) = self.network.next_completion(direction) {
            self.link_due[slot] = Some(self.queue.push(at, class::NETWORK, SCHEDULER, Due::Link(direction)));
        }
    }

    /// A transfer ended: its device hears of it, and the cloud if something arrived there.
    fn tell_ended(&mut self, now: VirtualTime, ended: Ended) {
        let Ended { transfer, complete, never_began } = ended;
        let device = Party::Device(transfer.device);
        let mut tell = |party: Party, message| {
            self.queue.push(now, message_class(party), party.source(), Due::Tell(party, message));
        };
        match (complete, transfer.up) {
            (true, false) => tell(device, Message::Received(transfer)),
            (true, true) => {
                tell(device, Message::Sent(transfer.clone()));
                tell(Party::Cloud, Message::Received(transfer));
            }
            (false, _) => tell(device, Message::Cut { transfer, never_began }),
        }
    }

    /// Carries out what a party asked for. Events wait until they are written.
    pub(super) fn carry_out(&mut self, key: EventKey, party: Party, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Record(kind) => {
                    self.since_snapshot.1 += 1;
                    if let EventKind::RoundClosed { round, .. } = kind {
                        self.since_snapshot.0 += 1;
                        self.closed_round = true;
                        if self.until_round.is_some_and(|until| round >= until) {
                            self.pause_after.get_or_insert(key.time);
                        }
                    }
                    self.unwritten.push(Event::new(key, kind));
                }
                Effect::Send(transfer) => {
                    let plan = Arc::clone(&self.plan);
                    let begun = self.network.begin(key.time, transfer, &plan);
                    self.queue.push_after(
                        begun.flows_after,
                        class::NETWORK,
                        SCHEDULER,
                        Due::Flow(begun.flow),
                    );
                    if let Some(at) = begun.gone_at {
                        let cut = self.queue.push(at, class::NETWORK, SCHEDULER, Due::Cut(begun.flow));
                        self.cut_due.insert(begun.flow, cut);
                    }
                }
                Effect::Train { job, label, after } => {
                    let ticket = self.pool.submit(job);
                    self.queue.push_after(after, class::JOB, party.source(), Due::Job(party, label, ticket));
                }
                Effect::Wake { after, message } => {
                    self.queue.push_after(after, class::TIMER, party.source(), Due::Tell(party, message));
                }
                Effect::Tell { to, message } => {
                    self.queue.push(key.time, message_class(to), to.source(), Due::Tell(to, message));
                }
                Effect::Measure { round, cloud } => {
                    let panel: Vec<u32> = self.plan.panel().to_vec();
                    for to in [Party::Cloud].into_iter().chain(panel.into_iter().map(Party::Device)) {
                        let message = Message::Measure { round, cloud: Arc::clone(&cloud) };
                        self.queue.push(key.time, message_class(to), to.source(), Due::Tell(to, message));
                    }
                }
                // Its actor has stopped and sent its memory along, unless all actors stay.
                Effect::Passivate => {}
                Effect::End(_) => self.ended = Some(End::Complete),
            }
        }
    }
}

impl Actor for Scheduler {
    type Context = Context<Self>;
}

/// Have something due for some devices that they ignore.
#[derive(actix::Message)]
#[rtype(result = "()")]
pub(super) struct Rouse(pub std::ops::Range<u32>);

impl Handler<Rouse> for Scheduler {
    type Result = ();

    fn handle(&mut self, Rouse(devices): Rouse, _context: &mut Self::Context) {
        for device in devices {
            let (party, cause) = (Party::Device(device), Interruption::Offline);
            let message = Message::Interrupted { cause };
            let after = VirtualDuration::from_nanos(u64::from(device) * 7_919 % 1_000_003);
            self.queue.push_after(after, class::TIMER, party.source(), Due::Tell(party, message));
        }
    }
}

impl Handler<Play> for Scheduler {
    type Result = ResponseActFuture<Self, Outcome>;

    fn handle(&mut self, _play: Play, _context: &mut Self::Context) -> Self::Result {
        Box::pin(Journey::new())
    }
}

type Told = Option<(EventKey, Party, Message)>;

/// Events, and perhaps a snapshot, on their way to the recorder.
pub(super) type Recording = Pin<Box<dyn Future<Output = Result<Result<(), String>, MailboxError>>>>;

/// Everything before the first event.
fn beginning(plan: &Plan) -> Parts {
    let mut queue = EventQueue::new();
    let open = Due::Tell(Party::Cloud, Message::Open);
    queue.push(VirtualTime::ZERO, class::TIMER, Party::Cloud.source(), open);
    Parts {
        queue,
        network: Network::new(plan),
        link_due: [None, None],
        cut_due: BTreeMap::new(),
        pending: Pending::default(),
        began: false,
        complete: false,
        cloud: CloudCore::new(plan.method().start_cloud(plan.lab()), plan.coordination()),
        live: Vec::new(),
        cold: BTreeMap::new(),
    }
}

impl Scheduler {
    /// The next thing to tell, or how the run ends.
    pub(super) fn next(&mut self) -> Result<Told, Outcome> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(Ok(End::Interrupted));
        }
        if let Some(last) = self.pause_after
            && self.queue.peek_time().is_none_or(|next| next > last)
        {
            return Err(Ok(End::Paused));
        }
        let Some((key, due)) = self.queue.pop() else {
            let seconds = self.queue.now().as_secs_f64();
            return Err(Err(SimulationError::Deadlock { seconds }));
        };
        Ok(self.network_step(key.time, due).map(|(party, message)| (key, party, message)))
    }

    /// Puts the run's first event before those of its first entry, whose key is `key`.
    pub(super) fn begin_recording(&mut self, key: EventKey) {
        if !std::mem::replace(&mut self.began, true) {
            self.unwritten.push(Event::new(key, self.first_event()));
        }
    }

    /// Whether events have waited long enough. With learning a job may take minutes, so they are written at once.
    pub(super) fn should_write(&self) -> bool {
        self.unwritten.len() >= if self.train { 1 } else { BATCH }
    }

    /// Hands all events that wait to the recorder.
    pub(super) fn write(&mut self) -> Recording {
        self.length.set(self.queue.len() as f64);
        Box::pin(self.recorder.send(Write(std::mem::take(&mut self.unwritten))))
    }

    /// Whether a snapshot is due: at the end of a round, in between never. It depends on events alone, so the log has its
    /// frames in the same places whenever the run is repeated.
    pub(super) fn is_snapshot_due(&mut self) -> bool {
        if !std::mem::take(&mut self.closed_round) || !self.keeps {
            return false;
        }
        let (rounds, events) = self.since_snapshot;
        match self.keep_every {
            Some(every) => rounds >= every,
            None if self.train => true,
            None => events >= EVENTS_PER_SNAPSHOT.max(self.cold.len() as u64 * EVENTS_PER_DEVICE),
        }
    }

    /// Hands all events that wait to the recorder, and then a snapshot of everything as it is now.
    pub(super) fn write_and_keep(&mut self) -> Recording {
        self.since_snapshot = (0, 0);
        let written = self.write();
        if !self.keeps {
            return written;
        }
        let (cloud, recorder) = (self.cloud.clone(), self.recorder.clone());
        let live: Vec<Addr<Device>> = self.live.iter().flatten().cloned().collect();
        let (pending, queue, network) = (self.pool.pending(), self.queue.clone(), self.network.clone());
        let (link_due, cut_due, cold) = (self.link_due, self.cut_due.clone(), self.cold.clone());
        let (began, complete) = (self.began, self.ended == Some(End::Complete));
        // Nobody is told anything until this future is done, so what is copied later is of the same moment.
        Box::pin(async move {
            if let Err(refused) = written.await? {
                return Ok(Err(refused));
            }
            let cloud = *cloud.send(CopyCloud).await?;
            let mut cores = Vec::with_capacity(live.len());
            for device in live {
                cores.push(*device.send(CopyDevice).await?);
            }
            let live = cores;
            let parts =
                Parts { queue, network, link_due, cut_due, pending, began, complete, cloud, live, cold };
            recorder.send(Keep(Snapshot(parts))).await
        })
    }

    /// The cloud's actor.
    pub(super) fn cloud(&self) -> &Addr<Cloud> {
        &self.cloud
    }

    /// Keeps what a device remembers that has given its actor up.
    pub(super) fn rest(&mut self, party: Party, memory: Option<DeviceMemory>) {
        if let (Party::Device(device), Some(memory)) = (party, memory) {
            self.live[device as usize] = None;
            self.cold.insert(device, memory);
        }
    }

    /// How the run ended, once it has.
    pub(super) fn ended(&self) -> Option<End> {
        self.ended
    }
}
