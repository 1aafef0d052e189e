//! Everything that a simulation is between two events: what a checkpoint keeps and a resumed run continues from.
//!
//! Random numbers need no place in it: they come from keyed streams. What jobs will come to needs none either: a job is a
//! value, and computing it again gives the same outcome.

use super::cloud::Cloud;
use super::device::Device;
use crate::coordination::CloudCore;
use crate::device::{DeviceCore, DeviceMemory};
use crate::job::Job;
use crate::method::State;
use crate::network::Network;
use crate::plan::Plan;
use crate::pool::Ticket;
use crate::shared::{read_once, written_once};
use actix::prelude::*;
use cotune_kernel::{EventId, EventQueue, FlowId, VirtualTime};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;

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
    /// Jobs that were submitted and not joined, and the number of the next.
    pub jobs: BTreeMap<Ticket, Job>,
    pub next_job: u64,
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

    /// Whether it is of a run of this plan. A checkpoint comes from a file, and a file may come from anyone.
    ///
    /// # Errors
    /// What does not fit.
    pub fn fits(&self, plan: &Plan) -> Result<(), String> {
        let (parts, devices) = (&self.0, plan.fleet().devices());
        if !parts.queue.is_sound() {
            return Err("its queue of events contradicts itself".to_owned());
        }
        let due = parts.queue.iter().filter_map(super::scheduler::Due::device);
        let live = parts.live.iter().map(DeviceCore::number);
        let told = due.chain(live).chain(parts.cold.keys().copied()).chain(parts.network.devices());
        match told.max().filter(|most| *most >= devices) {
            Some(stranger) => Err(format!("it speaks of device {stranger}, and the fleet has {devices}")),
            None => Ok(()),
        }
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
