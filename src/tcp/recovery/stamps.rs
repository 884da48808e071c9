//! What the records remember for a controller that models the path (see [`super::delivery_rate`]). It lies beside them and
//! not in them: the other controllers, which need none of it, carry nothing.

use std::collections::VecDeque;

use super::delivery_rate::RateStamp;
use crate::tcp::sequence::SeqNumber;
use crate::time::Instant;

/// A record, or a part of one, that was newly marked as lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LostPart {
    /// What its record remembers.
    pub stamp: RateStamp,
    /// Its first sequence number.
    pub seq: SeqNumber,
    /// Octets of sequence space.
    pub octets: u32,
}

/// The stamps, by the index of the record, and what has happened to their records since somebody asked.
#[derive(Debug, Default)]
pub(super) struct Stamps {
    /// Never more than there are records. The others were sent for a controller without a model, and have the default.
    list: VecDeque<RateStamp>,
    newest: Option<(RateStamp, Instant)>,
    lost: Vec<LostPart>,
}

impl Stamps {
    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    pub(super) fn clear(&mut self) {
        self.list.clear();
        self.newest = None;
        self.lost.clear();
    }

    pub(super) fn shrink_to(&mut self, records: usize) {
        self.list.shrink_to(records);
        self.lost.shrink_to(records);
    }

    fn get(&self, index: usize) -> RateStamp {
        self.list.get(index).copied().unwrap_or_default()
    }

    /// The record with this index has this stamp.
    pub(super) fn set(&mut self, index: usize, stamp: RateStamp) {
        self.grow_to(index + 1);
        self.list[index] = stamp;
    }

    fn grow_to(&mut self, len: usize) {
        if self.list.len() < len {
            self.list.resize(len, RateStamp::default());
        }
    }

    /// The first record is gone.
    pub(super) fn pop_front(&mut self) {
        self.list.pop_front();
    }

    /// The records from `from` to `to` have become one, which has no stamp yet; of the first of them a part stays before it
    /// if `head`, and of the last one behind it if `tail`.
    pub(super) fn replace(&mut self, from: usize, to: usize, head: bool, tail: bool) {
        if self.list.len() <= from {
            return;
        }
        self.grow_to(to + 1);
        let (first, last) = (self.list[from], self.list[to]);
        self.list.drain(from + 1..=to);
        self.list[from] = RateStamp::default();
        if tail {
            self.list.insert(from + 1, last);
        }
        if head {
            self.list.insert(from, first);
        }
    }

    /// Something of the record with this index, sent at that time, was delivered.
    pub(super) fn delivered(&mut self, index: usize, sent_at: Instant) {
        if self.newest.is_none_or(|newest| sent_at >= newest.1) && index < self.list.len() {
            self.newest = Some((self.list[index], sent_at));
        }
    }

    /// So many octets of the record with this index were marked as lost.
    pub(super) fn lost(&mut self, index: usize, seq: SeqNumber, octets: u32) {
        self.lost.push(LostPart { stamp: self.get(index), seq, octets });
    }

    pub(super) fn take_newest(&mut self) -> Option<(RateStamp, Instant)> {
        self.newest.take()
    }

    pub(super) fn take_lost(&mut self) -> impl Iterator<Item = LostPart> + '_ {
        self.lost.drain(..)
    }
}
