//! The nodes of the timer wheel, and the *leftist heaps* (Crane, 1972) that they form: one for each bucket, known by the node
//! at its top, which has the earliest deadline.
//!
//! ```text
//!          top  12            the way down to the right is never the longer one,
//!              /  \           so what goes down there (`merge`) takes few steps
//!            20    15
//!           /  \
//!         31    25
//! ```

use std::ops::{Index, IndexMut};

use super::slab::{NIL, Pages};
use crate::time::Instant;

/// Where a node is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Place {
    /// In the chain of free nodes (by `right`).
    Free,
    /// A timer without a deadline.
    Parked,
    /// In the heap of a bucket.
    Bucket { level: u8, slot: u8 },
}

/// A timer, and its links in the heap of its bucket (`NIL` where there is none).
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub payload: u64,
    pub at: Instant,
    parent: u32,
    left: u32,
    right: u32,
    /// Nodes on the way down to the right, this one included. In a leftist heap the right is never the longer way, so
    /// this is at most the logarithm of the population.
    rank: u8,
    pub place: Place,
}

/// All nodes, whatever heap they are in. Nodes that are free are used again.
#[derive(Clone, Debug)]
pub(super) struct Nodes {
    pages: Pages<Node>,
    first_free: u32,
}

impl Nodes {
    /// Without nodes, without memory.
    pub const fn new() -> Nodes {
        Nodes { pages: Pages::new(), first_free: NIL }
    }

    /// A parked node.
    pub fn add(&mut self, payload: u64) -> u32 {
        let node =
            Node { payload, at: Instant::ZERO, parent: NIL, left: NIL, right: NIL, rank: 1, place: Place::Parked };
        if self.first_free == NIL {
            return self.pages.push(node);
        }
        let index = self.first_free;
        self.first_free = self[index].right;
        self[index] = node;
        index
    }

    /// Gives a parked node up.
    pub fn free(&mut self, index: u32) {
        let first_free = self.first_free;
        let node = &mut self[index];
        node.place = Place::Free;
        node.right = first_free;
        self.first_free = index;
    }

    /// What timers are sorted by.
    pub fn order(&self, index: u32) -> (Instant, u32) {
        (self[index].at, index)
    }

    /// One heap of two; each may be `NIL`. It goes down to the right only, so it is at most 64 calls deep.
    pub fn merge(&mut self, one: u32, other: u32) -> u32 {
        if one == NIL || other == NIL {
            // NIL is the largest number.
            return one.min(other);
        }
        let (top, lower) = if self.order(one) < self.order(other) { (one, other) } else { (other, one) };
        let right = self.merge(self[top].right, lower);
        self[right].parent = top;
        self[top].right = right;
        self.settle(top);
        top
    }

    /// Takes a node out of its heap and parks it. If it was the top, the answer is what has taken its place there.
    pub fn cut(&mut self, index: u32) -> Option<u32> {
        let Node { parent, left, right, .. } = self[index];
        let below = self.merge(left, right);
        if below != NIL {
            self[below].parent = parent;
        }
        if let Some(above) = self.pages.get_mut(parent) {
            if above.left == index {
                above.left = below;
            } else {
                above.right = below;
            }
        }
        self.settle_upwards(parent);
        let node = &mut self[index];
        (node.parent, node.left, node.right) = (NIL, NIL, NIL);
        node.rank = 1;
        node.place = Place::Parked;
        (parent == NIL).then_some(below)
    }

    /// Makes the shorter way the right one, and sets the rank.
    fn settle(&mut self, index: u32) {
        let rank = |child: u32| self.pages.get(child).map_or(0, |node| node.rank);
        let Node { left, right, .. } = self[index];
        let (left_rank, right_rank) = (rank(left), rank(right));
        let node = &mut self[index];
        if left_rank < right_rank {
            (node.left, node.right) = (right, left);
        }
        node.rank = left_rank.min(right_rank) + 1;
    }

    /// Settles `index` and the nodes above it until a rank stays the same. Ranks that change grow by one at each step,
    /// so there are no more steps than the largest rank.
    fn settle_upwards(&mut self, mut index: u32) {
        while let Some(node) = self.pages.get(index) {
            let (rank, parent) = (node.rank, node.parent);
            self.settle(index);
            if self[index].rank == rank {
                return;
            }
            index = parent;
        }
    }
}

impl Index<u32> for Nodes {
    type Output = Node;

    fn index(&self, index: u32) -> &Node {
        &self.pages[index]
    }
}

impl IndexMut<u32> for Nodes {
    fn index_mut(&mut self, index: u32) -> &mut Node {
        &mut self.pages[index]
    }
}

/// For the tests of the wheel.
#[cfg(test)]
impl Nodes {
    /// Checks one heap, whose nodes must all be in this place: order, ranks, links. Answers how many they are.
    pub fn check(&self, top: u32, place: Place) -> usize {
        let mut count = 0;
        let mut stack = vec![(NIL, top)];
        while let Some((parent, index)) = stack.pop() {
            let Some(node) = self.pages.get(index) else { continue };
            count += 1;
            assert_eq!(node.parent, parent);
            assert!(parent == NIL || self.order(parent) < self.order(index));
            assert_eq!(node.place, place);
            let rank = |child| self.pages.get(child).map_or(0, |node| node.rank);
            assert!(rank(node.left) >= rank(node.right));
            assert_eq!(node.rank, rank(node.right) + 1);
            stack.extend([(index, node.left), (index, node.right)]);
        }
        count
    }

    /// How deep the deepest heap is to the right.
    pub fn largest_rank(&self) -> Option<u8> {
        self.pages.iter().map(|node| node.rank).max()
    }

    /// The number of nodes, free ones included.
    pub fn len(&self) -> u32 {
        self.pages.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timer_takes_thirty_two_octets() {
        assert_eq!(size_of::<Node>(), 32);
    }
}
