//! One shared link, its capacity divided max-min fairly among flows that each have a cap.
//!
//! Max-min fairness on a single link is a water level λ: every flow runs at min(its cap, λ), and λ is where the
//! rates add up to the capacity (Bertsekas & Gallager, Data Networks, 6.5.2). So the flows fall into two groups:
//!
//! - *capped* flows (cap ≤ λ) run at their own cap whatever λ does: their finish time is known when they enter the group;
//! - *sharing* flows (cap > λ) all run at λ, so one counter, the service S = ∫ λ dt, serves them all (the virtual time of
//!   processor sharing: Zhang 1990; Parekh & Gallager 1993). A flow that enters with r bytes left finishes when S has grown by r.
//!
//! An arrival, departure or change moves λ, and then only the flows whose cap lies between the old and the new λ change
//! group, at O(log n) each. For caps spread out as access links are, that is O(1) flows per change and O(log n) in all. It is
//! not a bound: where n flows have the *same* cap and the link hovers around saturation, each change moves all n.
//!
//! All arithmetic is in integers (`network/rate.rs`), so the state does not depend on the order in which flows came and went.
//! λ is rounded up to 2^-32 B/s, and a flow completes in the first nanosecond by which its bytes have flown.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::rate::{Amount, Rate};
use crate::quantity::Bytes;
use crate::time::VirtualTime;

/// Names a flow on its link; the caller chooses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FlowId(pub u64);

/// A flow that has sent all its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Completion {
    /// When its last byte had flown.
    pub time: VirtualTime,
    /// Which flow.
    pub flow: FlowId,
}

/// A link whose capacity its flows share max-min fairly. Two of them, uplink and downlink, are the cloud's access.
///
/// To drive it from an event queue: after every change, see that one event is pending at
/// [`SharedLink::next_completion`]; when it comes, call [`SharedLink::advance`].
///
/// ```
/// # use cotune_kernel::{Bytes, FlowId, SharedLink, VirtualTime};
/// let mut uplink = SharedLink::new(100.0);
/// uplink.start(VirtualTime::ZERO, FlowId(1), Bytes(200), 20.0); // runs at its cap of 20 B/s
/// uplink.start(VirtualTime::ZERO, FlowId(2), Bytes(160), f64::INFINITY); // gets the other 80 B/s
/// assert_eq!(uplink.next_completion(), Some(VirtualTime::from_secs_f64(2.0)));
/// let done = uplink.advance(VirtualTime::from_secs_f64(60.0));
/// assert_eq!(done.iter().map(|c| (c.flow.0, c.time.as_secs_f64())).collect::<Vec<_>>(), [(2, 2.0), (1, 10.0)]);
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SharedLink {
    capacity: Rate,
    /// Up to when `service` is counted.
    now: VirtualTime,
    flows: BTreeMap<FlowId, Flow>,

    capped_by_cap: BTreeSet<(Rate, FlowId)>,
    capped_by_finish: BTreeSet<(VirtualTime, FlowId)>,
    capped_sum: Rate,

    sharing_by_cap: BTreeSet<(Rate, FlowId)>,
    sharing_by_finish: BTreeSet<(Amount, FlowId)>,
    /// λ, as long as any flow shares.
    level: Rate,
    /// S: what each flow would have received that shared since there last was none.
    service: Amount,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Flow {
    total: Amount,
    cap: Rate,
    group: Group,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
enum Group {
    /// `left` was left at `since`; it will be done at `finish`.
    Capped { left: Amount, since: VirtualTime, finish: VirtualTime },
    /// It will be done when the service reaches `finish`.
    Sharing { finish: Amount },
}

impl SharedLink {
    /// An idle link at time zero. Infinity means a link that never limits.
    ///
    /// # Panics
    /// If the capacity is NaN or negative. Zero is a link that is down.
    pub fn new(capacity_bytes_per_s: f64) -> Self {
        Self {
            capacity: Rate::from_bytes_per_s(capacity_bytes_per_s),
            now: VirtualTime::ZERO,
            flows: BTreeMap::new(),
            capped_by_cap: BTreeSet::new(),
            capped_by_finish: BTreeSet::new(),
            capped_sum: Rate::ZERO,
            sharing_by_cap: BTreeSet::new(),
            sharing_by_finish: BTreeSet::new(),
            level: Rate::ZERO,
            service: Amount::ZERO,
        }
    }

    /// Starts to send `bytes` at no more than `cap` bytes per second (infinity for no cap, zero for a stalled flow).
    ///
    /// # Panics
    /// If `flow` is already on the link, `cap` is NaN or negative, or `now` breaks the rule of [`SharedLink::advance`].
    pub fn start(&mut self, now: VirtualTime, flow: FlowId, bytes: Bytes, cap: f64) {
        self.elapse(now);
        assert!(!self.flows.contains_key(&flow), "flow {} is already on the link", flow.0);
        let total = Amount::of(bytes);
        self.join(flow, total, total, Rate::from_bytes_per_s(cap));
        self.relevel();
    }

    /// Takes a flow off the link; what it had sent, in whole bytes, or `None` if it is not on the link.
    ///
    /// # Panics
    /// If `now` breaks the rule of [`SharedLink::advance`].
    pub fn cancel(&mut self, now: VirtualTime, flow: FlowId) -> Option<Bytes> {
        self.elapse(now);
        let (removed, left) = self.leave(flow)?;
        self.relevel();
        Some(removed.total.saturating_minus(left).whole_bytes())
    }

    /// Changes the capacity from `now` on.
    ///
    /// # Panics
    /// If it is NaN or negative, or `now` breaks the rule of [`SharedLink::advance`].
    pub fn set_capacity(&mut self, now: VirtualTime, capacity_bytes_per_s: f64) {
        self.elapse(now);
        self.capacity = Rate::from_bytes_per_s(capacity_bytes_per_s);
        self.relevel();
    }

    /// Changes the cap of a flow from `now` on; false if it is not on the link.
    ///
    /// # Panics
    /// If `cap` is NaN or negative, or `now` breaks the rule of [`SharedLink::advance`].
    pub fn set_cap(&mut self, now: VirtualTime, flow: FlowId, cap: f64) -> bool {
        self.elapse(now);
        let Some((removed, left)) = self.leave(flow) else { return false };
        self.join(flow, removed.total, left, Rate::from_bytes_per_s(cap));
        self.relevel();
        true
    }

    /// When the next flow completes if nothing changes; `None` if none ever does.
    pub fn next_completion(&self) -> Option<VirtualTime> {
        let capped = self.capped_by_finish.first().map(|(finish, _)| *finish);
        let sharing = self
            .sharing_by_finish
            .first()
            .map(|(finish, _)| finish.saturating_minus(self.service).flown_by(self.level, self.now));
        capped.into_iter().chain(sharing).min().filter(|time| *time < VirtualTime::MAX)
    }

    /// Lets time pass until `now` and takes the flows off the link that complete by then, by time and then by flow.
    ///
    /// The rule for every method with a `now`: time does not run backwards, and no completion is skipped, i.e. `now` is at most
    /// [`SharedLink::next_completion`] unless this method is called first. A flow that completes exactly at
    /// `now` stays on the link until this method is called.
    ///
    /// # Panics
    /// If time runs backwards.
    pub fn advance(&mut self, now: VirtualTime) -> Vec<Completion> {
        let mut completions = Vec::new();
        while let Some(time) = self.next_completion().filter(|time| *time <= now) {
            self.elapse(time);
            let capped =
                self.capped_by_finish.iter().take_while(|(finish, _)| *finish <= time).map(|(_, flow)| *flow);
            let sharing = self
                .sharing_by_finish
                .iter()
                .take_while(|(finish, _)| *finish <= self.service)
                .map(|(_, flow)| *flow);
            let mut done: Vec<FlowId> = capped.chain(sharing).collect();
            done.sort_unstable();
            for flow in done {
                self.leave(flow);
                completions.push(Completion { time, flow });
            }
            self.relevel();
        }
        self.elapse(now);
        completions
    }

    /// The number of flows on the link.
    pub fn len(&self) -> usize {
        self.flows.len()
    }

    /// Whether no flow is on the link.
    pub fn is_empty(&self) -> bool {
        self.flows.is_empty()
    }

    /// The present rate of a flow in bytes per second.
    pub fn rate(&self, flow: FlowId) -> Option<f64> {
        let flow = self.flows.get(&flow)?;
        Some(match flow.group {
            Group::Capped { .. } => flow.cap.bytes_per_s(),
            Group::Sharing { .. } => self.level.bytes_per_s(),
        })
    }

    /// What a flow had still to send, in bytes, when time was last moved or something changed.
    pub fn remaining(&self, flow: FlowId) -> Option<f64> {
        Some(self.left(self.flows.get(&flow)?).as_bytes_f64())
    }

    /// The sum of all rates in bytes per second.
    pub fn used(&self) -> f64 {
        Rate(self.capped_sum.0 + self.level.0 * self.sharing_by_cap.len() as u128).bytes_per_s()
    }

    /// The capacity in bytes per second.
    pub fn capacity(&self) -> f64 {
        self.capacity.bytes_per_s()
    }

    /// Up to when the link has been driven.
    pub fn now(&self) -> VirtualTime {
        self.now
    }

    /// The flows on the link, ascending.
    pub fn flows(&self) -> impl Iterator<Item = FlowId> {
        self.flows.keys().copied()
    }

    /// Whether it is a link that starts, changes and completions can lead to. One that was read from somewhere may not be:
    /// completions would get lost, or [`SharedLink::advance`] would not end.
    pub fn is_sound(&self) -> bool {
        let mut again = Self::new(0.0);
        for (id, flow) in &self.flows {
            if flow.cap > Rate::MAX {
                return false;
            }
            match flow.group {
                Group::Capped { finish, since, .. } => {
                    again.capped_by_cap.insert((flow.cap, *id));
                    again.capped_by_finish.insert((finish, *id));
                    again.capped_sum.0 += flow.cap.0;
                    if since > self.now || finish < self.now {
                        return false;
                    }
                }
                Group::Sharing { finish } => {
                    again.sharing_by_cap.insert((flow.cap, *id));
                    again.sharing_by_finish.insert((finish, *id));
                }
            }
        }
        let level = match self.sharing_by_cap.len() as u128 {
            0 => Some(0),
            sharers => self.capacity.0.checked_sub(self.capped_sum.0).map(|rest| rest.div_ceil(sharers)),
        };
        self.capacity <= Rate::MAX
            && self.capped_by_cap == again.capped_by_cap
            && self.capped_by_finish == again.capped_by_finish
            && self.capped_sum == again.capped_sum
            && self.sharing_by_cap == again.sharing_by_cap
            && self.sharing_by_finish == again.sharing_by_finish
            && level == Some(self.level.0)
    }

    /// Counts the service up to `now`, during which no rate changes.
    fn elapse(&mut self, now: VirtualTime) {
        assert!(now >= self.now, "time on the link runs backwards: from {} to {now}", self.now);
        if let Some(next) = self.next_completion() {
            assert!(now <= next, "a flow completes at {next}: advance the link before changing it at {now}");
        }
        self.service = self.service.plus(self.level.over(now - self.now));
        self.now = now;
    }

    /// Finds λ: moves the flows between the groups whose cap it has crossed. While flows leave the capped group λ rises
    /// but stays below the caps of those that left, and while flows enter it λ rises further: so one pass each, in this order.
    fn relevel(&mut self) {
        while let Some(&(cap, flow)) = self.capped_by_cap.last() {
            let below_its_cap =
                self.capped_sum.0 + cap.0 * self.sharing_by_cap.len() as u128 > self.capacity.0;
            if !below_its_cap {
                break;
            }
            let (moved, left) = self.leave(flow).expect("the groups hold flows of the link");
            self.share(flow, moved.total, left, cap);
        }
        while let Some(&(cap, flow)) = self.sharing_by_cap.first() {
            let reaches_its_cap =
                self.capped_sum.0 + cap.0 * self.sharing_by_cap.len() as u128 <= self.capacity.0;
            if !reaches_its_cap {
                break;
            }
            let (moved, left) = self.leave(flow).expect("the groups hold flows of the link");
            self.cap(flow, moved.total, left, cap);
        }
        match self.sharing_by_cap.len() as u128 {
            0 => (self.level, self.service) = (Rate::ZERO, Amount::ZERO),
            sharers => self.level = Rate((self.capacity.0 - self.capped_sum.0).div_ceil(sharers)),
        }
    }

    /// Puts a flow in the group that the present λ suggests; [`SharedLink::relevel`] has the last word.
    fn join(&mut self, flow: FlowId, total: Amount, left: Amount, cap: Rate) {
        let fits = if self.sharing_by_cap.is_empty() {
            self.capped_sum.0 + cap.0 <= self.capacity.0
        } else {
            cap <= self.level
        };
        if fits { self.cap(flow, total, left, cap) } else { self.share(flow, total, left, cap) }
    }

    fn cap(&mut self, flow: FlowId, total: Amount, left: Amount, cap: Rate) {
        let finish = left.flown_by(cap, self.now);
        self.capped_by_cap.insert((cap, flow));
        self.capped_by_finish.insert((finish, flow));
        self.capped_sum.0 += cap.0;
        self.flows.insert(flow, Flow { total, cap, group: Group::Capped { left, since: self.now, finish } });
    }

    fn share(&mut self, flow: FlowId, total: Amount, left: Amount, cap: Rate) {
        let finish = self.service.plus(left);
        self.sharing_by_cap.insert((cap, flow));
        self.sharing_by_finish.insert((finish, flow));
        self.flows.insert(flow, Flow { total, cap, group: Group::Sharing { finish } });
    }

    /// Takes a flow out of its group; it and what it has left.
    fn leave(&mut self, id: FlowId) -> Option<(Flow, Amount)> {
        let flow = self.flows.remove(&id)?;
        let left = self.left(&flow);
        match flow.group {
            Group::Capped { finish, .. } => {
                self.capped_by_cap.remove(&(flow.cap, id));
                self.capped_by_finish.remove(&(finish, id));
                self.capped_sum.0 -= flow.cap.0;
            }
            Group::Sharing { finish } => {
                self.sharing_by_cap.remove(&(flow.cap, id));
                self.sharing_by_finish.remove(&(finish, id));
            }
        }
        Some((flow, left))
    }

    fn left(&self, flow: &Flow) -> Amount {
        match flow.group {
            Group::Capped { left, since, .. } => left.saturating_minus(flow.cap.over(self.now - since)),
            Group::Sharing { finish } => finish.saturating_minus(self.service),
        }
    }
}

#[cfg(test)]
mod tests;
