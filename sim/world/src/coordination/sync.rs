//! Synchronous rounds with over-selection and a deadline.
//!
//! Google's production protocol (Bonawitz et al. 2019, arXiv 1902.01046, §2): more devices are invited than are
//! needed, the round closes when enough have reported or the deadline comes, and it is void with too few. A void round
//! is written down and tried again, with devices drawn anew.

use super::Protocol;
use super::server::{Age, OpenRound, Server};
use crate::effect::{Effect, Message, Transfer, View};
use crate::job::Outcome;
use cotune_kernel::VirtualDuration;
use cotune_record::Reason;
use cotune_scenario::coordination::Synchronous;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// The rounds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Rounds {
    rule: Synchronous,
    open: Option<OpenRound>,
    /// Devices invited to the open round that have no outcome yet.
    pending: BTreeSet<u32>,
}

impl Rounds {
    pub(super) fn new(rule: Synchronous) -> Self {
        Self { rule, open: None, pending: BTreeSet::new() }
    }

    pub(super) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// The open round if it is `round` and still takes updates.
    fn taking(&mut self, round: u32) -> Option<&mut OpenRound> {
        self.open.as_mut().filter(|open| open.round == round && open.working.is_none())
    }

    /// Closes the round when the cohort is full, or nobody is left to wait for.
    fn settle(&mut self, server: &mut Server, view: &View<'_>) -> Vec<Effect> {
        let full = |open: &OpenRound| open.accepted as u64 >= self.rule.cohort;
        match &self.open {
            Some(open) if full(open) || self.pending.is_empty() => self.close(server, view),
            _ => Vec::new(),
        }
    }

    /// Goes to work on what came, if it is enough; or declares the round void.
    fn close(&mut self, server: &mut Server, view: &View<'_>) -> Vec<Effect> {
        let Some(mut open) = self.open.take() else { return Vec::new() };
        if u64::from(open.accepted) < self.rule.min_updates {
            return server.close(&open, true, view);
        }
        let effects = server.work(&mut open, view);
        self.open = Some(open);
        effects
    }
}

impl Protocol for Rounds {
    /// Invites a cohort; or ends the run; or waits for devices to come online.
    fn open(&mut self, server: &mut Server, view: &View<'_>) -> Vec<Effect> {
        if self.open.is_some() || server.ends(view) {
            return Vec::new();
        }
        let wanted = self.rule.invited(u64::from(view.plan.fleet().devices())) as usize;
        let chosen = server.choose(server.next_round(), wanted, view, |_| false);
        if (chosen.len() as u64) < self.rule.min_updates.max(1) {
            return server.wait(view).into_iter().collect();
        }
        let (open, opened) = server.open_round(&chosen, view);
        let round = open.round;
        self.open = Some(open);
        self.pending.clear();
        let mut effects = vec![opened];
        for device in chosen {
            let invited = server.invite(device, view);
            effects.extend(invited.effects);
            if invited.sent.is_some() {
                self.pending.insert(device);
            }
        }
        if let Some(seconds) = self.rule.deadline_seconds {
            let after = VirtualDuration::from_secs_f64(seconds);
            effects.push(Effect::Wake { after, message: Message::Deadline { round } });
        }
        effects.extend(self.settle(server, view));
        effects
    }

    /// An update is accepted, rejected, or late.
    fn received(&mut self, server: &mut Server, transfer: &Transfer, view: &View<'_>) -> Vec<Effect> {
        let Some(open) = self.taking(transfer.round) else {
            return vec![Server::refuse(transfer, Reason::Late, view)];
        };
        let outcome = if Server::is_acceptable(transfer, view) {
            Server::accept(open, transfer, Age::FRESH, view)
        } else {
            Server::refuse(transfer, Reason::Rejected, view)
        };
        self.pending.remove(&transfer.device);
        let mut effects = vec![outcome];
        effects.extend(self.settle(server, view));
        effects
    }

    fn left(&mut self, server: &mut Server, device: u32, round: u32, view: &View<'_>) -> Vec<Effect> {
        if self.taking(round).is_none() {
            return Vec::new();
        }
        self.pending.remove(&device);
        self.settle(server, view)
    }

    fn deadline(&mut self, server: &mut Server, round: u32, view: &View<'_>) -> Vec<Effect> {
        if self.taking(round).is_some() { self.close(server, view) } else { Vec::new() }
    }

    fn worked(&mut self, server: &mut Server, round: u32, outcome: Outcome, view: &View<'_>) -> Vec<Effect> {
        // The work of a round that was lost is lost.
        let Some(open) = self.open.take_if(|open| open.round == round) else { return Vec::new() };
        let mut effects = server.worked(round, outcome, view);
        effects.extend(server.close(&open, false, view));
        effects
    }

    fn lost(&mut self, server: &mut Server, view: &View<'_>) -> Vec<Effect> {
        self.pending.clear();
        self.open.take().map(|open| server.give_up(&open, view)).into_iter().collect()
    }
}
