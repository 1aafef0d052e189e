//! Buffered asynchronous aggregation: a number of devices is always at work, and every so many updates make a new model.
//!
//! FedBuff (Nguyen et al. 2022, "Federated Learning with Buffered Asynchronous Aggregation", arXiv 2106.06639,
//! algorithm 1). An update that is s models behind counts `(1 + s)^-a`, and what is aggregated is the change that the device
//! made (see [`crate::aggregate::stale`]). With a buffer of one it is asynchronous federated learning (Xie et al. 2019,
//! FedAsync, arXiv 1903.03934) without its mixing weight.
//!
//! Where the paper is silent (chosen):
//! - A *round* is what is done on one model: it opens when the model is there, devices are invited to it as places get
//!   free, and it closes when the buffer is full and the cloud has made the next model. A device's invitation, update and
//!   outcome carry the number of the round whose model it was sent.
//! - A device is invited to a model once: it has nothing new to learn from what it already has.
//! - While the cloud works on an aggregate, updates queue and nobody is invited: the next model is about to come.
//! - A buffer that cannot become full, because every device was sent this model and none is at work, is aggregated as it
//!   is; if it is empty, the round is void.

use super::Protocol;
use super::server::{Age, OpenRound, Server};
use crate::aggregate::stale;
use crate::effect::{Effect, Transfer, View};
use crate::job::Outcome;
use crate::payload::Payload;
use cotune_record::{EventKind, Reason};
use cotune_scenario::coordination::Buffered;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// The buffer, and who is at work.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct BufferedUpdates {
    rule: Buffered,
    open: Option<OpenRound>,
    /// Devices that were invited to the open round.
    invited: BTreeSet<u32>,
    /// Devices at work.
    at_work: BTreeMap<u32, Invitation>,
    /// Updates that came while the cloud was working, in order.
    queue: VecDeque<(Transfer, Invitation)>,
    /// Aggregates made.
    version: u32,
    /// Draws made among the devices.
    draws: u32,
}

/// What a device was sent.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Invitation {
    /// Aggregates that were behind it.
    version: u32,
    #[serde(with = "crate::shared")]
    payload: Arc<Payload>,
}

impl BufferedUpdates {
    pub(super) fn new(rule: Buffered) -> Self {
        Self {
            rule,
            open: None,
            invited: BTreeSet::new(),
            at_work: BTreeMap::new(),
            queue: VecDeque::new(),
            version: 0,
            draws: 0,
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// The devices that can be invited now, as far as there are places.
    fn choose(&mut self, server: &Server, view: &View<'_>) -> Vec<u32> {
        let places = (self.rule.concurrency as usize).saturating_sub(self.at_work.len());
        if places == 0 {
            return Vec::new();
        }
        self.draws += 1;
        server.choose(self.draws, places, view, |device| self.invited.contains(&device))
    }

    /// Invites devices to the open round.
    fn invite(&mut self, devices: &[u32], server: &mut Server, view: &View<'_>) -> Vec<Effect> {
        let mut effects = Vec::new();
        for device in devices {
            self.invited.insert(*device);
            let invited = server.invite(*device, view);
            effects.extend(invited.effects);
            if let Some(payload) = invited.sent {
                self.at_work.insert(*device, Invitation { version: self.version, payload });
            }
        }
        effects
    }

    /// Takes an update into the open round's buffer, or says why not.
    fn admit(&mut self, transfer: &Transfer, invitation: Invitation, view: &View<'_>) -> Option<Effect> {
        let open = self.open.as_mut()?;
        let staleness = self.version - invitation.version;
        if self.rule.max_staleness.is_some_and(|most| u64::from(staleness) > most) {
            return Some(Server::refuse(transfer, Reason::Stale, view));
        }
        if !Server::is_acceptable(transfer, view) {
            return Some(Server::refuse(transfer, Reason::Rejected, view));
        }
        let discount = stale::discount(staleness, self.rule.staleness_exponent);
        let base = (staleness > 0).then_some(invitation.payload);
        Some(Server::accept(open, transfer, Age { staleness, discount, base }, view))
    }

    /// Empties the queue into the buffer, fills free places while that is not full, and goes to work when it is.
    fn settle(&mut self, server: &mut Server, view: &View<'_>) -> Vec<Effect> {
        let mut effects = Vec::new();
        if !self.is_taking() {
            return effects;
        }
        while !self.is_full()
            && let Some((transfer, invitation)) = self.queue.pop_front()
        {
            effects.extend(self.admit(&transfer, invitation, view));
        }
        let nobody_more = server.is_out_of_time_or_bytes(view);
        if !self.is_full() && !nobody_more {
            effects.extend(self.fill(server, view));
        }
        let nobody_more = nobody_more || server.is_ending() || self.everyone_has_it(view);
        if self.is_full() || (self.at_work.is_empty() && nobody_more) {
            effects.extend(self.close(server, view));
        }
        effects
    }

    /// Goes to work on the buffer; or declares the round void.
    fn close(&mut self, server: &mut Server, view: &View<'_>) -> Vec<Effect> {
        let Some(mut open) = self.open.take() else { return Vec::new() };
        if open.accepted == 0 || server.is_ending() {
            return server.close(&open, true, view);
        }
        let effects = server.work(&mut open, view);
        self.open = Some(open);
        effects
    }

    /// Invites devices to free places; where there are too few, tries again later.
    fn fill(&mut self, server: &mut Server, view: &View<'_>) -> Vec<Effect> {
        let chosen = self.choose(server, view);
        let mut effects = Vec::new();
        if let Some(open) = self.open.as_mut() {
            open.invited += chosen.len() as u32;
            let round = open.round;
            let later = |device: &u32| Effect::Record(EventKind::Invited { round, device: *device });
            effects.extend(chosen.iter().map(later));
        }
        effects.extend(self.invite(&chosen, server, view));
        if (self.at_work.len() as u64) < self.rule.concurrency && !self.everyone_has_it(view) {
            effects.extend(server.wait(view));
        }
        effects
    }

    /// Whether no device is left that could be invited to the open round: each was, or is at work on an older model.
    fn everyone_has_it(&self, view: &View<'_>) -> bool {
        let older = self.at_work.keys().filter(|device| !self.invited.contains(device)).count();
        self.invited.len() + older >= view.plan.fleet().devices() as usize
    }

    /// Whether the open round takes updates.
    fn is_taking(&self) -> bool {
        self.open.as_ref().is_some_and(|open| open.working.is_none())
    }

    fn is_full(&self) -> bool {
        self.open.as_ref().is_some_and(|open| u64::from(open.accepted) >= self.rule.buffer)
    }

    /// Whatever queues has come too late.
    fn drop_queue(&mut self, view: &View<'_>) -> Vec<Effect> {
        self.queue.drain(..).map(|(transfer, _)| Server::refuse(&transfer, Reason::Late, view)).collect()
    }
}

impl Protocol for BufferedUpdates {
    /// Opens a round on the newest model, or fills free places of the open one; or ends the run; or waits.
    fn open(&mut self, server: &mut Server, view: &View<'_>) -> Vec<Effect> {
        if self.open.is_some() {
            return self.settle(server, view);
        }
        if server.ends(view) {
            return self.drop_queue(view);
        }
        self.invited.clear();
        let chosen = self.choose(server, view);
        if chosen.is_empty() && self.at_work.is_empty() && self.queue.is_empty() {
            return server.wait(view).into_iter().collect();
        }
        let (open, opened) = server.open_round(&chosen, view);
        self.open = Some(open);
        let mut effects = vec![opened];
        effects.extend(self.invite(&chosen, server, view));
        effects.extend(self.settle(server, view));
        effects
    }

    /// An update is accepted, stale, or rejected; late if the cloud forgot that it asked for it, or the run is over.
    fn received(&mut self, server: &mut Server, transfer: &Transfer, view: &View<'_>) -> Vec<Effect> {
        let invitation = self.at_work.remove(&transfer.device);
        let Some(invitation) = invitation.filter(|_| !server.is_ending()) else {
            return vec![Server::refuse(transfer, Reason::Late, view)];
        };
        self.queue.push_back((transfer.clone(), invitation));
        self.settle(server, view)
    }

    fn left(&mut self, server: &mut Server, device: u32, _round: u32, view: &View<'_>) -> Vec<Effect> {
        self.at_work.remove(&device);
        self.settle(server, view)
    }

    fn worked(&mut self, server: &mut Server, round: u32, outcome: Outcome, view: &View<'_>) -> Vec<Effect> {
        // The work of a round that was lost is lost.
        let Some(open) = self.open.take_if(|open| open.round == round) else { return Vec::new() };
        self.version += 1;
        let mut effects = server.worked(round, outcome, view);
        effects.extend(server.close(&open, false, view));
        effects
    }

    fn lost(&mut self, server: &mut Server, view: &View<'_>) -> Vec<Effect> {
        let mut effects = self.drop_queue(view);
        self.at_work.clear();
        effects.extend(self.open.take().map(|open| server.give_up(&open, view)));
        effects
    }
}
