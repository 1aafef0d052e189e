//! A 4-ary min-heap of small nodes.
//!
//! Four children instead of two halve the depth, and four siblings of 32 bytes are two cache lines, so large heaps miss the
//! cache less often than the binary heap of the standard library (D. B. Johnson, "Priority queues with update and
//! finding minimum spanning trees", 1975; LaMarca & Ladner, "The influence of caches on the performance of heaps", 1996).

use serde::{Deserialize, Serialize};

use super::EventKey;
use crate::time::VirtualTime;

const ARITY: usize = 4;

/// An [`EventKey`] packed for comparison, and the slot where its event waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Node {
    /// time in the top 64 bits, then class in 8, then source in 56: one comparison nearly always decides.
    when: u128,
    seq: u64,
    pub(super) slot: u32,
}

impl Node {
    #[inline]
    pub(super) fn new(key: EventKey, slot: u32) -> Self {
        let lane = u64::from(key.class) << 56 | key.source;
        Self { when: u128::from(key.time.0) << 64 | u128::from(lane), seq: key.seq, slot }
    }

    #[inline]
    pub(super) fn key(&self) -> EventKey {
        EventKey {
            time: self.time(),
            class: (self.when >> 56) as u8,
            source: self.when as u64 & (super::SOURCE_LIMIT - 1),
            seq: self.seq,
        }
    }

    #[inline]
    pub(super) fn time(&self) -> VirtualTime {
        VirtualTime((self.when >> 64) as u64)
    }

    #[inline]
    fn before(&self, other: &Self) -> bool {
        // `|` and `&`, not `||` and `&&`: no branches, which would be mispredicted half the time.
        (self.when < other.when) | ((self.when == other.when) & (self.seq < other.seq))
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
        let key =
            EventKey { time: VirtualTime(9), class: 255, source: super::super::SOURCE_LIMIT - 1, seq: 7 };
        assert_eq!(Node::new(key, 1).key(), key);
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
