//! A 4-ary min-heap of small nodes.
//!
//! Four children instead of two halve the depth, and four siblings of 24 bytes are a cache line and a half, so large heaps
//! miss the cache less often than the binary heap of the standard library (D. B. Johnson, "Priority queues with update and
//! finding minimum spanning trees", 1975; LaMarca & Ladner, "The influence of caches on the performance of heaps", 1996).

use serde::{Deserialize, Serialize};

use super::EventKey;
use crate::time::VirtualTime;

const ARITY: usize = 4;

/// What decides between events, packed, and the slot where the event waits with the rest of its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Node {
    time: u64,
    /// class in the top 8 bits, then source in 56.
    lane: u64,
    /// The low half of the sequence number. It decides between events of one source at one instant alone, and these were
    /// pushed less than 2^31 pushes of that source apart.
    seq: u32,
    pub(super) slot: u32,
}

impl Node {
    #[inline]
    pub(super) fn new(key: EventKey, slot: u32) -> Self {
        let lane = u64::from(key.class) << 56 | key.source;
        Self { time: key.time.0, lane, seq: key.seq as u32, slot }
    }

    /// The key; the slot has the high half of the sequence number.
    #[inline]
    pub(super) fn key(&self, seq_high: u32) -> EventKey {
        let source = self.lane & (super::SOURCE_LIMIT - 1);
        let seq = u64::from(seq_high) << 32 | u64::from(self.seq);
        EventKey { time: self.time(), class: (self.lane >> 56) as u8, source, seq }
    }

    #[inline]
    pub(super) fn time(&self) -> VirtualTime {
        VirtualTime(self.time)
    }

    /// Time, then class and source: one comparison of 128 bits nearly always decides.
    #[inline]
    fn when(&self) -> u128 {
        u128::from(self.time) << 64 | u128::from(self.lane)
    }

    #[inline]
    fn before(&self, other: &Self) -> bool {
        // `|` and `&`, not `||` and `&&`: no branches, which would be mispredicted half the time.
        let (mine, others) = (self.when(), other.when());
        (mine < others) | ((mine == others) & ((self.seq.wrapping_sub(other.seq) as i32) < 0))
    }
}

/// Nodes with the smallest first: `nodes[i]` is no larger than `nodes[4i + 1 ..= 4i + 4]`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Heap {
    nodes: Vec<Node>,
}

impl Heap {
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    #[inline]
    pub(super) fn peek(&self) -> Option<&Node> {
        self.nodes.first()
    }

    /// The slots of all nodes.
    pub(super) fn slots(&self) -> impl Iterator<Item = u32> {
        self.nodes.iter().map(|node| node.slot)
    }

    /// Whether no node comes before its parent.
    pub(super) fn is_ordered(&self) -> bool {
        (1..self.nodes.len()).all(|at| !self.nodes[at].before(&self.nodes[(at - 1) / ARITY]))
    }

    #[inline]
    pub(super) fn push(&mut self, node: Node) {
        self.nodes.push(node);
        self.sift_up(self.nodes.len() - 1, 0, node);
    }

    #[inline]
    pub(super) fn pop(&mut self) -> Option<Node> {
        let last = self.nodes.pop()?;
        let Some(&first) = self.nodes.first() else { return Some(last) };
        self.sift_down(0, last);
        Some(first)
    }

    /// Keeps the nodes that satisfy `keep`, in O(n).
    pub(super) fn retain(&mut self, keep: impl FnMut(&Node) -> bool) {
        self.nodes.retain(keep);
        // Floyd's bottom-up construction.
        for parent in (0..self.nodes.len().div_ceil(ARITY)).rev() {
            self.sift_down(parent, self.nodes[parent]);
        }
    }

    /// Lets `node` rise from the hole at `at`, no higher than `root`.
    #[inline]
    fn sift_up(&mut self, mut at: usize, root: usize, node: Node) {
        while at > root {
            let parent = (at - 1) / ARITY;
            if !node.before(&self.nodes[parent]) {
                break;
            }
            self.nodes[at] = self.nodes[parent];
            at = parent;
        }
        self.nodes[at] = node;
    }

    /// Lets `node` sink from the hole at `root`. It came from a leaf and belongs near one, so the hole goes all the way down
    /// and the node rises from there (Wegener's bottom-up heapsort, 1993): one comparison fewer per level.
    #[inline]
    fn sift_down(&mut self, root: usize, node: Node) {
        let mut at = root;
        while let Some(siblings) = self.nodes.get(at * ARITY + 1..at * ARITY + 1 + ARITY) {
            // A tournament, written so that the compiler needs no branch that it would mispredict.
            let left = usize::from(siblings[1].before(&siblings[0]));
            let right = 2 + usize::from(siblings[3].before(&siblings[2]));
            let winner = if siblings[right].before(&siblings[left]) { right } else { left };
            self.nodes[at] = siblings[winner];
            at = at * ARITY + 1 + winner;
        }
        let first = at * ARITY + 1;
        if let Some(last) =
            (first..self.nodes.len()).reduce(|a, b| if self.nodes[b].before(&self.nodes[a]) { b } else { a })
        {
            self.nodes[at] = self.nodes[last];
            at = last;
        }
        self.sift_up(at, root, node);
    }
}

#[cfg(test)]
mod tests {
    use std::cmp::Reverse;
    use std::collections::BinaryHeap;

    use proptest::prelude::*;

    use super::*;

    fn node(time: u64) -> Node {
        Node::new(EventKey { time: VirtualTime(time), class: 3, source: 5, seq: time }, 0)
    }

    #[test]
    fn packing_a_key_loses_nothing() {
        let key = EventKey {
            time: VirtualTime(9),
            class: 255,
            source: super::super::SOURCE_LIMIT - 1,
            seq: 7 << 33 | 5,
        };
        assert_eq!(Node::new(key, 1).key(14), key);
    }

    #[test]
    fn a_source_that_has_pushed_four_billion_times_keeps_its_order() {
        let at = |seq| Node::new(EventKey { time: VirtualTime(1), class: 0, source: 2, seq }, 0);
        let last = u64::from(u32::MAX);
        assert!(at(last).before(&at(last + 1)) && !at(last + 1).before(&at(last)));
    }

    proptest! {
        #[test]
        fn the_heap_agrees_with_the_heap_of_the_standard_library(
            steps in prop::collection::vec(prop::option::of(0u64..50), 0..400),
        ) {
            let (mut fast, mut slow) = (Heap::default(), BinaryHeap::new());
            for step in steps {
                match step {
                    Some(time) => {
                        fast.push(node(time));
                        slow.push(Reverse(node(time)));
                    }
                    None => prop_assert_eq!(fast.pop(), slow.pop().map(|Reverse(node)| node)),
                }
                prop_assert_eq!(fast.peek(), slow.peek().map(|Reverse(node)| node));
            }
            fast.retain(|node| node.time().0 % 3 != 0);
            slow.retain(|Reverse(node)| node.time().0 % 3 != 0);
            while let Some(Reverse(node)) = slow.pop() {
                prop_assert_eq!(fast.pop(), Some(node));
            }
            prop_assert_eq!(fast.len(), 0);
        }
    }
}
