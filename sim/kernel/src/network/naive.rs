//! The reference for [`SharedLink`](super::SharedLink): the same link, written to be obviously right.
//!
//! Rates come from progressive filling (Bertsekas & Gallager, Data Networks, 6.5.2), recomputed from nothing whenever they
//! are asked for, in floats: O(n log n) per question.

use super::link::{Completion, FlowId};
use crate::quantity::Bytes;
use crate::time::{VirtualDuration, VirtualTime};

/// A shared link that recomputes everything.
#[derive(Clone, Debug)]
pub struct NaiveLink {
    capacity: f64,
    now: VirtualTime,
    flows: Vec<Flow>,
}

#[derive(Clone, Debug)]
struct Flow {
    id: FlowId,
    bytes: f64,
    left: f64,
    cap: f64,
}

impl NaiveLink {
    /// As [`SharedLink::new`](super::SharedLink::new).
    pub fn new(capacity: f64) -> Self {
        Self { capacity, now: VirtualTime::ZERO, flows: Vec::new() }
    }

    /// As [`SharedLink::start`](super::SharedLink::start).
    pub fn start(&mut self, now: VirtualTime, id: FlowId, bytes: Bytes, cap: f64) {
        self.elapse(now);
        self.flows.push(Flow { id, bytes: bytes.as_f64(), left: bytes.as_f64(), cap });
    }

    /// As [`SharedLink::cancel`](super::SharedLink::cancel), but in fractions of bytes.
    pub fn cancel(&mut self, now: VirtualTime, id: FlowId) -> Option<f64> {
        self.elapse(now);
        let at = self.flows.iter().position(|flow| flow.id == id)?;
        let flow = self.flows.remove(at);
        Some(flow.bytes - flow.left)
    }

    /// As [`SharedLink::set_capacity`](super::SharedLink::set_capacity).
    pub fn set_capacity(&mut self, now: VirtualTime, capacity: f64) {
        self.elapse(now);
        self.capacity = capacity;
    }

    /// As [`SharedLink::set_cap`](super::SharedLink::set_cap).
    pub fn set_cap(&mut self, now: VirtualTime, id: FlowId, cap: f64) -> bool {
        self.elapse(now);
        let found = self.flows.iter_mut().find(|flow| flow.id == id);
        found.map(|flow| flow.cap = cap).is_some()
    }

    /// As [`SharedLink::advance`](super::SharedLink::advance).
    pub fn advance(&mut self, now: VirtualTime) -> Vec<Completion> {
        let mut completions = Vec::new();
        while let Some(time) = self.next_completion().filter(|time| *time <= now) {
            self.elapse(time);
            // Done if less is left than flows in half a nanosecond: floats do not reach zero exactly.
            let rates = self.rates();
            let mut done: Vec<FlowId> = self
                .flows
                .iter()
                .zip(&rates)
                .filter(|(flow, rate)| flow.left <= *rate * 0.5e-9)
                .map(|(f, _)| f.id)
                .collect();
            done.sort_unstable();
            self.flows.retain(|flow| !done.contains(&flow.id));
            completions.extend(done.into_iter().map(|flow| Completion { time, flow }));
        }
        self.elapse(now);
        completions
    }

    /// As [`SharedLink::next_completion`](super::SharedLink::next_completion).
    pub fn next_completion(&self) -> Option<VirtualTime> {
        let waits = self.flows.iter().zip(self.rates()).filter_map(|(flow, rate)| match (flow.left, rate) {
            (left, _) if left <= 0.0 => Some(0.0),
            (_, rate) if rate <= 0.0 => None,
            (left, rate) => Some(left / rate),
        });
        let wait = waits.min_by(f64::total_cmp)?;
        // Not by `from_secs_f64`: completion is the first nanosecond that covers the bytes, give or take rounding.
        let nanos = libm::ceil(wait * 1e9 - 0.25).max(0.0) as u64;
        Some(self.now.saturating_add(VirtualDuration(nanos))).filter(|time| *time < VirtualTime::MAX)
    }

    /// Bytes left of a flow.
    pub fn remaining(&self, id: FlowId) -> Option<f64> {
        self.flows.iter().find(|flow| flow.id == id).map(|flow| flow.left)
    }

    /// The rate of each flow, in order of arrival: from the smallest cap up, each takes its cap or an even share of
    /// what is left, whichever is less.
    fn rates(&self) -> Vec<f64> {
        let mut by_cap: Vec<usize> = (0..self.flows.len()).collect();
        by_cap.sort_by(|a, b| self.flows[*a].cap.total_cmp(&self.flows[*b].cap));
        let (mut rates, mut capacity) = (vec![0.0; self.flows.len()], self.capacity);
        for (served, index) in by_cap.into_iter().enumerate() {
            let even_share = capacity / (self.flows.len() - served) as f64;
            rates[index] = self.flows[index].cap.min(even_share);
            capacity -= rates[index];
        }
        rates
    }

    fn elapse(&mut self, now: VirtualTime) {
        let seconds = (now - self.now).as_secs_f64();
        let rates = self.rates();
        for (flow, rate) in self.flows.iter_mut().zip(rates) {
            flow.left = (flow.left - rate * seconds).max(0.0);
        }
        self.now = now;
    }
}
