//! Everything that a simulation is between two events: what a checkpoint keeps and a resumed run continues from.
//!
//! Random numbers need no place in it: they come from keyed streams. What jobs will come to needs none either: a job is a
//! value, and computing it again gives the same outcome.

use super::cloud::Cloud;
use super::device::Device;
use crate::coordination::CloudCore;
use crate::device::{DeviceCore, DeviceMemory};
use crate::method::State;
use crate::network::Network;
use crate::plan::Plan;
use crate::pool::{Pending, Ticket};
use crate::shared::{read_once, written_once};
use actix::prelude::*;
use cotune_kernel::{EventId, EventQueue, FlowId, VirtualTime};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::{BTreeMap, BTreeSet};

/// A simulation between two events.
#[derive(Clone, Debug)]
pub struct Snapshot(pub(super) Parts);

/// What a snapshot consists of.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Parts {
    pub queue: EventQueue<super::scheduler::Due>,
    pub network: Network,
    pub link_due: [Option<EventId>; 2],
    pub cut_due: BTreeMap<FlowId, EventId>,
    /// Jobs that are not joined yet.
    pub pending: Pending,
    pub began: bool,
    /// Whether a budget has been spent and nothing is left to do.
    pub complete: bool,
    pub cloud: CloudCore,
    /// Devices that had an actor, ascending.
    pub live: Vec<DeviceCore>,
    /// Devices without an actor that have something to remember.
    pub cold: BTreeMap<u32, DeviceMemory>,
}

impl Snapshot {
    /// Virtual time.
    pub fn now(&self) -> VirtualTime {
        self.0.queue.now()
    }

    /// Whether the run is over: a budget has been spent.
    pub fn is_complete(&self) -> bool {
        self.0.complete
    }

    /// Whether it can be of a run of this plan, one that learns if `train`. A checkpoint comes from a file, and a file may come
    /// from anyone: what would have the simulation wait for ever, or train on what has another shape, is found here.
    ///
    /// # Errors
    /// What does not fit.
    pub fn fits(&self, plan: &Plan, train: bool) -> Result<(), String> {
        let (parts, devices) = (&self.0, plan.fleet().devices());
        if !parts.queue.is_sound() {
            return Err("its queue of events contradicts itself".to_owned());
        }
        if !parts.network.is_sound(self.now()) {
            return Err("its transfers contradict each other".to_owned());
        }
        let due = parts.queue.iter().filter_map(super::scheduler::Due::device);
        let live = parts.live.iter().map(DeviceCore::number);
        let travelling = parts.network.transfers().map(|transfer| transfer.device);
        let told = due.chain(live).chain(parts.cold.keys().copied()).chain(travelling);
        if let Some(stranger) = told.max().filter(|most| *most >= devices) {
            return Err(format!("it speaks of device {stranger}, and the fleet has {devices}"));
        }
        self.awaits_its_jobs(plan, train)?;
        self.has_shapes_of(plan)
    }

    /// Nobody waits for a job that nobody computes.
    fn awaits_its_jobs(&self, plan: &Plan, train: bool) -> Result<(), String> {
        let Pending { jobs, stacks, next } = &self.0.pending;
        let awaited: BTreeSet<Ticket> =
            self.0.queue.iter().filter_map(super::scheduler::Due::ticket).collect();
        let agrees = match train {
            true => awaited.iter().eq(jobs.keys()) && self.0.pending.is_sound(plan),
            false => jobs.is_empty() && stacks.is_empty(),
        };
        let begun = awaited.last().is_none_or(|last| last.number() < *next);
        if agrees && begun {
            return Ok(());
        }
        Err("the jobs that it waits for are not the jobs that it has".to_owned())
    }

    /// What cloud and devices have trained has the shape of what they began with.
    fn has_shapes_of(&self, plan: &Plan) -> Result<(), String> {
        let alike = |state: &State, fresh: &State| {
            fresh.iter().all(|(model, fresh)| {
                state.get(model).is_some_and(|trained| {
                    let (values, moments) = (fresh.values.len(), &trained.moments);
                    let remembers = |moment: &[f32]| moment.is_empty() || moment.len() == values;
                    trained.values.len() == values && remembers(&moments.first) && remembers(&moments.second)
                })
            })
        };
        let (lab, method) = (plan.lab(), plan.method());
        if !alike(self.cloud(), &method.start_cloud(lab)) {
            return Err("its cloud holds other models than the scenario's".to_owned());
        }
        let mut fresh: BTreeMap<&str, State> = BTreeMap::new();
        let live = self.0.live.iter().map(|core| (core.number(), &core.memory().state));
        let cold = self.0.cold.iter().map(|(device, memory)| (*device, &memory.state));
        for (device, state) in live.chain(cold) {
            let model = &*plan.fleet().class_of(device).model;
            let fresh = fresh.entry(model).or_insert_with(|| method.start_device(lab, model));
            if !alike(state, fresh) {
                return Err(format!("device {device} holds other models than the scenario's"));
            }
        }
        Ok(())
    }

    /// The models at the cloud.
    pub fn cloud(&self) -> &State {
        self.0.cloud.state()
    }

    /// What a device has trained; `None` if it never took part.
    pub fn device(&self, device: u32) -> Option<&State> {
        let live = self.0.live.iter().find(|core| core.number() == device).map(DeviceCore::memory);
        Some(&live.or_else(|| self.0.cold.get(&device))?.state)
    }
}

impl Serialize for Snapshot {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        written_once(|| self.0.serialize(to))
    }
}

impl<'de> Deserialize<'de> for Snapshot {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        read_once(|| Parts::deserialize(from)).map(Self)
    }
}

/// A copy of the state machine behind an actor.
#[derive(actix::Message)]
#[rtype(result = "Copied<CloudCore>")]
pub(super) struct CopyCloud;

/// The same of a device.
#[derive(actix::Message)]
#[rtype(result = "Copied<DeviceCore>")]
pub(super) struct CopyDevice;

/// Boxed, so that the answer is as small as that of a delivery.
pub(super) type Copied<T> = Box<T>;

impl Handler<CopyCloud> for Cloud {
    type Result = MessageResult<CopyCloud>;

    fn handle(&mut self, _copy: CopyCloud, _context: &mut Self::Context) -> Self::Result {
        MessageResult(Box::new(self.core.clone()))
    }
}

impl Handler<CopyDevice> for Device {
    type Result = MessageResult<CopyDevice>;

    fn handle(&mut self, _copy: CopyDevice, _context: &mut Self::Context) -> Self::Result {
        MessageResult(Box::new(self.core.clone()))
    }
}
