//! The event queue: the one place where the order of the simulation is decided.
//!
//! Events leave in the order of their [`EventKey`], a total order that is free of arrival order: two sources may push in
//! any interleaving and the events still leave in the same order under the same keys, because the tie-breaking
//! sequence number is counted per source.
//!
//! Nodes of 24 bytes go through a 4-ary heap (`queue/heap.rs`); the events themselves stay in slots, so a large event
//! is moved twice in its life. Cancelling empties the slot at once and leaves the node behind (lazy deletion); when
//! dead nodes outnumber live ones the heap is rebuilt without them, so memory stays proportional to the live events.
//! `push`, `pop` and `cancel` are O(log n) (cancel amortised), `peek_time` is O(1).

mod heap;
mod sequence;

use serde::{Deserialize, Serialize};

use crate::time::{VirtualDuration, VirtualTime};
use heap::{Heap, Node};
use sequence::Sequences;

/// Sources take part in a packed comparison and must lie below this (2^56).
pub const SOURCE_LIMIT: u64 = 1 << 56;

/// Below this many dead nodes the heap is not rebuilt (chosen: a rebuild should be worth its call).
const COMPACT_FLOOR: usize = 64;

/// What decides when an event happens: compared field by field, in this order.
///
/// `seq` makes keys unique, so no two events of a queue compare equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct EventKey {
    /// When it happens.
    pub time: VirtualTime,
    /// Which kind goes first among events of the same instant: lower first.
    pub class: u8,
    /// Who pushed it: a device or a named part of the world, below [`SOURCE_LIMIT`].
    pub source: u64,
    /// The how-manieth push of that source it was, from 0.
    pub seq: u64,
}

/// A handle on a pending event, for [`EventQueue::cancel`]. Stays valid through a checkpoint of the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct EventId {
    slot: u32,
    /// The how-manieth event of its slot it was, modulo 2^32.
    generation: u32,
}

/// Pending events, leaving in the order of their keys.
///
/// ```
/// # use cotune_kernel::{EventQueue, VirtualTime};
/// let mut queue = EventQueue::new();
/// let at = VirtualTime::from_nanos;
/// queue.push(at(20), 0, 7, "upload done");
/// let timeout = queue.push(at(30), 0, 7, "deadline");
/// queue.push(at(10), 0, 9, "crash");
/// assert_eq!(queue.cancel(timeout), Some("deadline"));
/// assert_eq!(queue.pop().map(|(_, event)| event), Some("crash"));
/// assert_eq!(queue.pop().map(|(_, event)| event), Some("upload done"));
/// assert!(queue.is_empty());
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EventQueue<E> {
    heap: Heap,
    slots: Vec<Slot<E>>,
    free: Vec<u32>,
    live: usize,
    sequences: Sequences,
    now: VirtualTime,
}

/// Where an event waits. `event` is `None` once popped or cancelled; the slot is free again when its node has left.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Slot<E> {
    /// Events that waited here before, modulo 2^32: tells a handle on one of them from a handle on this one.
    generation: u32,
    seq_high: u32,
    event: Option<E>,
}

impl<E> Default for EventQueue<E> {
    fn default() -> Self {
        Self::new()
    }
}

impl<E> EventQueue<E> {
    /// An empty queue at time zero.
    pub fn new() -> Self {
        Self {
            heap: Heap::default(),
            slots: Vec::new(),
            free: Vec::new(),
            live: 0,
            sequences: Sequences::default(),
            now: VirtualTime::ZERO,
        }
    }

    /// The time of the last event popped; no event can be pushed before it.
    pub fn now(&self) -> VirtualTime {
        self.now
    }

    /// The number of live events: pushed, not yet popped, not cancelled.
    pub fn len(&self) -> usize {
        self.live
    }

    /// Whether no live event is pending.
    pub fn is_empty(&self) -> bool {
        self.live == 0
    }

    /// Adds an event of `source` at `time`. At the present instant any class is allowed: an event of a lower class
    /// than the one being handled is next.
    ///
    /// # Panics
    /// If `time` lies before [`EventQueue::now`] or `source` is not below [`SOURCE_LIMIT`].
    pub fn push(&mut self, time: VirtualTime, class: u8, source: u64, event: E) -> EventId {
        assert!(
            time >= self.now,
            "source {source} pushed an event at {time}, in the past: it is {}",
            self.now
        );
        assert!(source < SOURCE_LIMIT, "source {source} does not lie below 2^56");
        let seq = self.sequences.next(source);
        let seq_high = (seq >> 32) as u32;
        let (slot, generation) = match self.free.pop() {
            Some(slot) => {
                let waiting = &mut self.slots[slot as usize];
                waiting.generation = waiting.generation.wrapping_add(1);
                (waiting.seq_high, waiting.event) = (seq_high, Some(event));
                (slot, waiting.generation)
            }
            None => {
                self.slots.push(Slot { generation: 0, seq_high, event: Some(event) });
                (u32::try_from(self.slots.len() - 1).expect("more than 2^32 events are pending"), 0)
            }
        };
        self.heap.push(Node::new(EventKey { time, class, source, seq }, slot));
        self.live += 1;
        EventId { slot, generation }
    }

    /// Adds an event `after` the present instant; see [`EventQueue::push`].
    ///
    /// # Panics
    /// As [`EventQueue::push`], and past the end of time.
    pub fn push_after(&mut self, after: VirtualDuration, class: u8, source: u64, event: E) -> EventId {
        self.push(self.now + after, class, source, event)
    }

    /// Removes the next event and moves [`EventQueue::now`] to its time.
    pub fn pop(&mut self) -> Option<(EventKey, E)> {
        let node = self.heap.pop()?;
        let slot = &mut self.slots[node.slot as usize];
        let key = node.key(slot.seq_high);
        let event = slot.event.take().expect("the first node of the heap is live");
        self.free.push(node.slot);
        self.live -= 1;
        self.now = key.time;
        self.drop_dead_top();
        Some((key, event))
    }

    /// The key of the next event.
    pub fn peek(&self) -> Option<EventKey> {
        self.heap.peek().map(|node| node.key(self.slots[node.slot as usize].seq_high))
    }

    /// The time of the next event.
    pub fn peek_time(&self) -> Option<VirtualTime> {
        self.heap.peek().map(Node::time)
    }

    /// Takes a pending event back; `None` if it was already popped or cancelled.
    pub fn cancel(&mut self, id: EventId) -> Option<E> {
        let slot = self.slots.get_mut(id.slot as usize)?;
        if slot.generation != id.generation {
            return None;
        }
        let event = slot.event.take()?;
        self.live -= 1;
        self.drop_dead_top();
        if self.heap.len() - self.live > self.live.max(COMPACT_FLOOR) {
            self.compact();
        }
        Some(event)
    }

    /// Whether it is a queue that pushes and pops can lead to. One that was read from somewhere may not be: its events would get
    /// lost, or using it would panic.
    pub fn is_sound(&self) -> bool {
        let mut free: Vec<bool> = vec![false; self.slots.len()];
        let mut names =
            |slot: u32| free.get_mut(slot as usize).is_some_and(|seen| !std::mem::replace(seen, true));
        let each_once = self.heap.slots().chain(self.free.iter().copied()).all(&mut names);
        let live = |slot: u32| self.slots[slot as usize].event.is_some();
        each_once
            && free.iter().all(|seen| *seen)
            && self.free.iter().all(|slot| !live(*slot))
            && self.heap.slots().filter(|slot| live(*slot)).count() == self.live
            && self.heap.is_ordered()
            && self.peek_time().is_none_or(|time| time >= self.now)
            && self.heap.peek().is_none_or(|first| live(first.slot))
    }

    /// The pending events, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = &E> {
        self.slots.iter().filter_map(|slot| slot.event.as_ref())
    }

    /// Keeps the first node live, so that peeking needs no mutation.
    fn drop_dead_top(&mut self) {
        while let Some(top) = self.heap.peek() {
            if self.slots[top.slot as usize].event.is_some() {
                return;
            }
            self.free.push(top.slot);
            self.heap.pop();
        }
    }

    /// Rebuilds the heap without the nodes of cancelled events.
    fn compact(&mut self) {
        let (slots, free) = (&self.slots, &mut self.free);
        self.heap.retain(|node| {
            let live = slots[node.slot as usize].event.is_some();
            if !live {
                free.push(node.slot);
            }
            live
        });
    }
}

#[cfg(test)]
mod tests;
