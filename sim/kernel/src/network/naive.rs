//! The reference for [`SharedLink`](super::SharedLink): the same link, written to be obviously right.
//!
//! Rates come from progressive filling (Bertsekas & Gallager, Data Networks, 6.5.2), recomputed from nothing whenever they
//! are asked for; every flow counts its own bytes down. O(n log n) per question. It shares the integers of the
//! fast link, so the two must agree to the nanosecond and to the last fraction of a byte.

use super::link::{Completion, FlowId};
use super::rate::{Amount, Rate};
use crate::quantity::Bytes;
use crate::time::VirtualTime;

/// A shared link that recomputes everything.
#[derive(Clone, Debug)]
pub struct NaiveLink {
    capacity: Rate,
    now: VirtualTime,
    flows: Vec<Flow>,
}

#[derive(Clone, Debug)]
struct Flow {
    id: FlowId,
    total: Amount,
    left: Amount,
    cap: Rate,
}

impl NaiveLink {
    /// As [`SharedLink::new`](super::SharedLink::new).
    pub fn new(capacity_bytes_per_s: f64) -> Self {
        Self {
            capacity: Rate::from_bytes_per_s(capacity_bytes_per_s),
            now: VirtualTime::ZERO,
            flows: Vec::new(),
        }
    }

    /// As [`SharedLink::start`](super::SharedLink::start).
    pub fn start(&mut self, now: VirtualTime, id: FlowId, bytes: Bytes, cap: f64) {
        self.elapse(now);
        let total = Amount::of(bytes);
        self.flows.push(Flow { id, total, left: total, cap: Rate::from_bytes_per_s(cap) });
    }

    /// As [`SharedLink::cancel`](super::SharedLink::cancel).
    pub fn cancel(&mut self, now: VirtualTime, id: FlowId) -> Option<Bytes> {
        self.elapse(now);
        let at = self.flows.iter().position(|flow| flow.id == id)?;
        let flow = self.flows.remove(at);
        Some(flow.total.saturating_minus(flow.left).whole_bytes())
    }

    /// As [`SharedLink::set_capacity`](super::SharedLink::set_capacity).
    pub fn set_capacity(&mut self, now: VirtualTime, capacity_bytes_per_s: f64) {
        self.elapse(now);
        self.capacity = Rate::from_bytes_per_s(capacity_bytes_per_s);
    }

    /// As [`SharedLink::set_cap`](super::SharedLink::set_cap).
    pub fn set_cap(&mut self, now: VirtualTime, id: FlowId, cap: f64) -> bool {
        self.elapse(now);
        let found = self.flows.iter_mut().find(|flow| flow.id == id);
        found.map(|flow| flow.cap = Rate::from_bytes_per_s(cap)).is_some()
    }

    /// As [`SharedLink::next_completion`](super::SharedLink::next_completion).
    pub fn next_completion(&self) -> Option<VirtualTime> {
        let finishes =
            self.flows.iter().zip(self.rates()).map(|(flow, rate)| flow.left.flown_by(rate, self.now));
        finishes.min().filter(|time| *time < VirtualTime::MAX)
    }

    /// As [`SharedLink::advance`](super::SharedLink::advance).
    pub fn advance(&mut self, now: VirtualTime) -> Vec<Completion> {
        let mut completions = Vec::new();
        while let Some(time) = self.next_completion().filter(|time| *time <= now) {
            self.elapse(time);
            let (mut done, left) =
                std::mem::take(&mut self.flows).into_iter().partition(|f| f.left == Amount::ZERO);
            self.flows = left;
            done.sort_by_key(|flow: &Flow| flow.id);
            completions.extend(done.into_iter().map(|flow| Completion { time, flow: flow.id }));
        }
        self.elapse(now);
        completions
    }

    /// As [`SharedLink::remaining`](super::SharedLink::remaining).
    pub fn remaining(&self, id: FlowId) -> Option<f64> {
        self.flows.iter().find(|flow| flow.id == id).map(|flow| flow.left.as_bytes_f64())
    }

    /// As [`SharedLink::rate`](super::SharedLink::rate).
    pub fn rate(&self, id: FlowId) -> Option<f64> {
        let at = self.flows.iter().position(|flow| flow.id == id)?;
        Some(self.rates()[at].bytes_per_s())
    }

    /// The rate of each flow: from the smallest cap up, each takes its cap or an even share of what is left, whichever is
    /// less. From the first even share on all shares are the same.
    fn rates(&self) -> Vec<Rate> {
        let mut by_cap: Vec<usize> = (0..self.flows.len()).collect();
        by_cap.sort_by_key(|index| self.flows[*index].cap);
        let mut rates = vec![Rate::ZERO; self.flows.len()];
        let (mut capacity, mut waiting) = (self.capacity.0, self.flows.len() as u128);
        for index in by_cap {
            let cap = self.flows[index].cap;
            if cap.0 * waiting <= capacity {
                rates[index] = cap;
                (capacity, waiting) = (capacity - cap.0, waiting - 1);
            } else {
                rates[index] = Rate(capacity.div_ceil(waiting));
            }
        }
        rates
    }

    fn elapse(&mut self, now: VirtualTime) {
        let (rates, span) = (self.rates(), now - self.now);
        for (flow, rate) in self.flows.iter_mut().zip(rates) {
            flow.left = flow.left.saturating_minus(rate.over(span));
        }
        self.now = now;
    }
}
