//! The network between cloud and devices: transfers as flows on the cloud's two shared links.
//!
//! A transfer takes one and a half round trips of handshake and request, then flows at the least of the device's own
//! rate (with its noise, or as a trace of it says), what TCP makes of loss, and its fair share of the cloud's link. It may be
//! lost after a part of its bytes, and it ends when the device goes offline.

use crate::effect::Transfer;
use crate::hazard::{self, Direction};
use crate::plan::Plan;
use cotune_kernel::network::tcp;
use cotune_kernel::{Bytes, FlowId, SharedLink, VirtualDuration, VirtualTime};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Transfers under way.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Network {
    links: [SharedLink; 2],
    flows: BTreeMap<FlowId, Flow>,
    next: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Flow {
    transfer: Transfer,
    began: VirtualTime,
    /// Bytes until the transfer is lost; `None` if it will arrive.
    lost_after: Option<u64>,
    flowing: bool,
}

/// How a transfer ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// The transfer, with bytes and seconds as they were.
    pub transfer: Transfer,
    /// Whether everything arrived.
    pub complete: bool,
    /// Whether the device was gone before the first byte.
    pub never_began: bool,
}

/// When a transfer that begins now will flow, and when the device will be gone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Begun {
    pub flow: FlowId,
    pub flows_after: VirtualDuration,
    pub gone_at: Option<VirtualTime>,
}

/// What has happened to a link.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flowing {
    /// The link whose next completion may have moved.
    pub direction: Direction,
    /// When the flow's own rate changes next.
    pub changes_at: Option<VirtualTime>,
}

impl Network {
    pub(crate) fn new(plan: &Plan) -> Self {
        let link = &plan.scenario().cloud.link;
        // The cloud's uplink carries what devices download.
        let links = [SharedLink::new(link.up_bytes_per_second), SharedLink::new(link.down_bytes_per_second)];
        Self { links, flows: BTreeMap::new(), next: 0 }
    }

    /// A transfer begins its handshake. It breaks off when the device goes offline or a fault cuts it off.
    pub(crate) fn begin(&mut self, now: VirtualTime, transfer: Transfer, plan: &Plan) -> Begun {
        let flow = FlowId(self.next);
        self.next += 1;
        let (seed, device) = (plan.scenario().seed, transfer.device);
        let view = plan.fleet().device(device);
        let direction = transfer.direction();
        let lost = view.class.drop_per_transfer;
        let lost_after = hazard::transfer_lost(seed, device, transfer.round, direction, lost)
            .map(|share| (transfer.bytes as f64 * share) as u64);
        let handshake = if plan.scenario().cost.is_roofline() { 1.5 * view.rtt_seconds } else { 0.0 };
        let flows_after = VirtualDuration::from_secs_f64(handshake);
        let far = VirtualTime::MAX;
        let offline = view.class.availability.goes_offline_before(seed, device, now, far);
        let cut_off = plan.faults().cut_from(view.class_index, now);
        let gone_at = [offline, cut_off].into_iter().flatten().min();
        self.flows.insert(flow, Flow { transfer, began: now, lost_after, flowing: false });
        Begun { flow, flows_after, gone_at }
    }

    /// The handshake is over and bytes flow, or the rate of a flow has changed. None where the flow has ended before.
    pub(crate) fn flow(&mut self, now: VirtualTime, id: FlowId, plan: &Plan) -> Option<Flowing> {
        let flow = self.flows.get_mut(&id)?;
        let began_before = std::mem::replace(&mut flow.flowing, true);
        let (seed, round, device) = (plan.scenario().seed, flow.transfer.round, flow.transfer.device);
        let direction = flow.transfer.direction();
        let view = plan.fleet().device(device);
        let access = match direction {
            Direction::Down => view.down_bytes_per_second,
            Direction::Up => view.up_bytes_per_second,
        };
        let (rate, changes_at) = match &view.class.rates[index(direction)] {
            _ if !plan.scenario().cost.is_roofline() => (access, None),
            None => {
                let noise = hazard::transfer_noise(seed, device, round, direction, view.class.noise_cv);
                (access * noise, None)
            }
            Some(trace) => {
                let (rate, until) = trace.at(trace.shift(seed, device, &direction), now);
                (rate.min(access), Some(until))
            }
        };
        let cap = match view.class.loss {
            loss if loss > 0.0 && plan.scenario().cost.is_roofline() => {
                rate.min(tcp::mathis(loss, VirtualDuration::from_secs_f64(view.rtt_seconds)))
            }
            _ => rate,
        };
        let bytes = flow.lost_after.unwrap_or(flow.transfer.bytes);
        if began_before {
            self.link(direction).set_cap(now, id, cap);
        } else {
            self.link(direction).start(now, id, Bytes(bytes), cap);
        }
        Some(Flowing { direction, changes_at })
    }

    /// When the next transfer of a link completes.
    pub(crate) fn next_completion(&self, direction: Direction) -> Option<VirtualTime> {
        self.links[index(direction)].next_completion()
    }

    /// The transfers of a link that have ended by now, with the ids of their flows.
    pub(crate) fn advance(&mut self, now: VirtualTime, direction: Direction) -> Vec<(FlowId, Ended)> {
        let done = self.link(direction).advance(now);
        done.into_iter()
            .map(|completion| {
                let flow = self.flows.remove(&completion.flow).expect("a flow on a link is a transfer");
                let bytes = flow.lost_after.unwrap_or(flow.transfer.bytes);
                let complete = flow.lost_after.is_none();
                (completion.flow, ended(flow, bytes, now, complete))
            })
            .collect()
    }

    /// The device of a transfer is gone. Returns how the transfer ended, if it had not before.
    pub(crate) fn cut(&mut self, now: VirtualTime, id: FlowId) -> Option<Ended> {
        let flow = self.flows.remove(&id)?;
        let direction = flow.transfer.direction();
        let bytes =
            if flow.flowing { self.link(direction).cancel(now, id).map_or(0, |bytes| bytes.0) } else { 0 };
        Some(ended(flow, bytes, now, false))
    }

    /// Whether its links carry exactly the transfers that flow, and none of them is ahead of `now`. What was read from somewhere may
    /// be anything.
    pub(crate) fn is_sound(&self, now: VirtualTime) -> bool {
        let carries = |direction: Direction| {
            let flowing = self.flows.iter();
            flowing.filter(move |(_, flow)| flow.flowing && flow.transfer.direction() == direction)
        };
        [Direction::Down, Direction::Up].into_iter().all(|direction| {
            let link = &self.links[index(direction)];
            link.is_sound() && link.now() <= now && link.flows().eq(carries(direction).map(|(id, _)| *id))
        }) && self.flows.last_key_value().is_none_or(|(id, _)| id.0 < self.next)
            && self.flows.values().all(|flow| flow.began <= now)
    }

    /// The transfers under way.
    pub(crate) fn transfers(&self) -> impl Iterator<Item = &Transfer> {
        self.flows.values().map(|flow| &flow.transfer)
    }

    fn link(&mut self, direction: Direction) -> &mut SharedLink {
        &mut self.links[index(direction)]
    }
}

fn index(direction: Direction) -> usize {
    match direction {
        Direction::Down => 0,
        Direction::Up => 1,
    }
}

fn ended(flow: Flow, bytes: u64, now: VirtualTime, complete: bool) -> Ended {
    let never_began = !flow.flowing;
    let mut transfer = flow.transfer;
    transfer.bytes = bytes;
    transfer.seconds = (now - flow.began).as_secs_f64();
    Ended { transfer, complete, never_began }
}
