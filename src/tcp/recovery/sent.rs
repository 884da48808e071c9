//! The records of what is in flight: one per (super-)segment sent, in sequence order and without gaps; and beside them what
//! is known of the octets: which of them the peer holds, and which are taken for lost.
//!
//! ```text
//!   SND.UNA                                                     SND.NXT
//!      |  record  |  record  |  record   |  record  | ...          |
//!      |  lost     |      |  SACKed  |   | SACKed |                |
//! ```
//!
//! A SACK block or a loss splits no record: both are ranges. A record is split where a retransmission takes a part of it,
//! and a cumulative ACK trims the first one. So there are never more records than transmissions.

use std::collections::VecDeque;

use super::Records;
pub use super::delivered::{Delivered, Latest, Stamp};
use super::delivery_rate::RateStamp;
use super::ranges::{Range, Ranges};
pub use super::record::SentRecord;
use super::stamps::{LostPart, Stamps};
use crate::tcp::sequence::SeqNumber;
use crate::time::Instant;

/// A retransmission that may be under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Again {
    pub seq: SeqNumber,
    pub end: SeqNumber,
    pub at: Instant,
}

/// Retransmissions in the list beyond as many as there are records: then those that are over leave it.
const SPARE_AGAIN: usize = 64;

/// The records, oldest first, and the scoreboard.
// 6675-4-1: what is SACKed stays until the cumulative ACK covers it.
#[derive(Debug, Default)]
pub struct SentRecords {
    pub(super) records: Records,
    /// What the peer holds out of order, as it says.
    sacked: Ranges,
    /// What is taken for lost and waits for its retransmission: never SACKed at the same time.
    lost: Ranges,
    /// The retransmissions in the order of time. What was sent once is in that order by itself.
    pub(super) again: VecDeque<Again>,
    /// Whatever was sent once and lies before this is known to be lost or delivered; see [`super::rack`].
    pub(super) judged: Option<SeqNumber>,
    /// What a controller that models the path wants to remember of the records.
    stamps: Option<Box<Stamps>>,
}

impl SentRecords {
    /// Nothing is in flight.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// How many records there are.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// The records, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &SentRecord> {
        self.records.iter()
    }

    /// The oldest record.
    pub fn first(&self) -> Option<&SentRecord> {
        self.records.front()
    }

    /// The newest record.
    pub fn last(&self) -> Option<&SentRecord> {
        self.records.back()
    }

    /// What the peer has reported to hold.
    pub fn sacked(&self) -> &Ranges {
        &self.sacked
    }

    /// What is taken for lost and not yet sent again.
    pub fn lost(&self) -> &Ranges {
        &self.lost
    }

    /// Octets from the first record to the last.
    fn octets(&self) -> u32 {
        match (self.records.front(), self.records.back()) {
            (Some(first), Some(last)) => last.end().since(first.seq),
            _ => 0,
        }
    }

    /// Octets that are thought to be in the network: pipe of RFC 6675.
    // 6675-4-2: outstanding less what is SACKed and what is lost and not sent again.
    pub fn in_flight(&self) -> u32 {
        self.octets() - self.sacked.octets() - self.lost.octets()
    }

    /// All in order: nothing is SACKed, lost, or sent again.
    pub fn is_plain(&self) -> bool {
        self.sacked.is_empty() && self.lost.is_empty() && self.again.is_empty()
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        if !self.is_plain() {
            self.sacked.clear();
            self.lost.clear();
            self.again.clear();
        }
        self.records.clear();
        self.judged = None;
        if let Some(stamps) = &mut self.stamps {
            stamps.clear();
        }
    }

    /// At least so many segments are SACKed (RACK.segs_sacked). Looks at no more than it must count.
    pub fn are_sacked(&self, segments: u32) -> bool {
        let mut count = 0;
        for (left, right) in self.sacked.iter() {
            let mut records = self.records.range(self.index_at(left)..).take_while(|record| record.seq.lt(right));
            while count < segments
                && let Some(record) = records.next()
            {
                let octets = record.end().min(right).since(record.seq.max(left));
                count += octets.div_ceil(u32::from(record.segment).max(1));
            }
            if count >= segments {
                break;
            }
        }
        count >= segments
    }

    /// One segment is in flight, and no more.
    pub fn is_one_segment(&self) -> bool {
        self.records.len() == 1 && self.records.front().is_some_and(|first| first.last_segment() == first.seq)
    }

    /// Octets sent again that may still arrive.
    pub fn resent_in_flight(&self) -> u32 {
        let under_way = self.again.iter().filter(|again| self.is_under_way(again));
        under_way.map(|again| again.end.since(again.seq)).fold(0, u32::saturating_add)
    }

    /// When the last was sent of what was sent once, not after `latest`, and is neither delivered nor known to be lost.
    pub(super) fn last_open_original(&self, latest: Stamp) -> Option<Instant> {
        let (first, last) = (self.first()?.seq, self.last()?.end());
        let from = self.judged.unwrap_or(first).max(first);
        // What was sent once before an original lies before it.
        let at = latest.end.max(first + 1) - 1;
        let is_latest = |record: &SentRecord| record.sent_at == latest.at && !record.is_retransmission();
        let own = self.records.get(self.index_at(at)).is_some_and(is_latest);
        let mut to = if own { latest.end } else { last };
        while to.gt(from) {
            if let Some(range) = self.sacked.containing(to - 1) {
                to = range.0;
                continue;
            }
            let record = self.records.get(self.index_at(to - 1))?;
            let before = record.sent_at < latest.at || (record.sent_at == latest.at && record.seq.lt(latest.end));
            if before && !record.is_retransmission() && self.is_open(record.seq.max(from), record.end().min(to)) {
                return Some(record.sent_at);
            }
            to = record.seq;
        }
        None
    }

    /// All of it was sent more than once, as far as its records are still there: two copies may have arrived.
    pub fn is_sent_again(&self, (left, right): Range) -> bool {
        let mut records = self.records.range(self.index_at(left)..).take_while(|record| record.seq.lt(right));
        records.all(|record| record.is_retransmission())
    }

    /// Gives memory back beyond room for `records`.
    pub fn shrink_to(&mut self, records: usize) {
        let ranges = self.sacked.capacity().max(self.lost.capacity());
        if self.records.capacity().max(self.again.capacity()).max(ranges) > records {
            self.records.shrink_to(records);
            self.again.shrink_to(records);
            self.sacked.shrink_to(records);
            self.lost.shrink_to(records);
        }
        if let Some(stamps) = &mut self.stamps {
            stamps.shrink_to(records);
        }
    }

    /// The record that begins at `seq`, sent just now, remembers this.
    pub fn stamp(&mut self, seq: SeqNumber, stamp: RateStamp) {
        let last = self.records.len().saturating_sub(1);
        let index = if self.records.back().is_some_and(|last| last.seq == seq) { last } else { self.index_at(seq) };
        self.stamps.get_or_insert_default().set(index, stamp);
    }

    /// The stamp of the newest record among what was delivered since the last call, and when that record was sent.
    pub fn take_newest(&mut self) -> Option<(RateStamp, Instant)> {
        self.stamps.as_mut()?.take_newest()
    }

    /// What was newly marked as lost since the last call, with its stamps.
    pub fn take_lost_parts(&mut self) -> impl Iterator<Item = LostPart> + '_ {
        self.stamps.iter_mut().flat_map(|stamps| stamps.take_lost())
    }

    /// Notes a first transmission at the end.
    pub fn push(&mut self, record: SentRecord) {
        debug_assert!(self.records.back().is_none_or(|last| last.end() == record.seq), "records leave no gap");
        self.records.push_back(record);
    }

    /// Takes off everything before `una`.
    // 2018-8: only here, never for a SACK.
    // 9293-3.4-3: a record counts as acknowledged only when its end is; a partial acknowledgment trims it.
    pub fn acknowledge(&mut self, una: SeqNumber, done: &mut Delivered) {
        let highest = self.sacked.last().map(|range| range.1);
        while let Some(first) = self.records.front_mut() {
            if first.seq.ge(una) {
                break;
            }
            let octets = first.len.min(una.since(first.seq));
            let end = first.seq + octets;
            done.acknowledged += octets;
            // What was SACKed before is no news.
            let news = if highest.is_none() { Some((first.seq, end)) } else { self.sacked.gap(first.seq, end) };
            if let Some((from, to)) = news {
                done.acked.note(first, end, done.doubt_from);
                done.oldest = Some(done.oldest.map_or(first.sent_at, |oldest| oldest.min(first.sent_at)));
                if let Some(stamps) = &mut self.stamps {
                    stamps.delivered(0, first.sent_at);
                }
                if !first.is_retransmission() {
                    done.note_overtaken(from, to, highest);
                } else if done.acknowledged == octets {
                    done.begins_again = Some(first.sent_at);
                }
            }
            done.syn |= first.syn;
            if octets < first.len {
                first.seq = end;
                first.len -= octets;
                first.syn = false;
                break;
            }
            done.fin |= first.fin;
            self.records.pop_front();
            if let Some(stamps) = &mut self.stamps {
                stamps.pop_front();
            }
        }
        done.octets = done.acknowledged;
        if !self.is_plain() {
            done.octets -= self.sacked.remove_before(una);
            self.lost.remove_before(una);
            while self.again.front().is_some_and(|again| again.end.le(una)) {
                self.again.pop_front();
            }
        }
        // 9293-3.4-1: a mark that stays behind would lie ahead one day.
        if self.judged.is_some_and(|judged| judged.le(una)) {
            self.judged = None;
        }
    }

    /// Marks what a SACK block reports, as far as it is whole segments, unless there are `limit` separate ranges already.
    ///
    /// `highest` is the end of what was SACKed before this ACK.
    // 2018-8: marked, not given up.
    pub fn sack(&mut self, block: Range, highest: Option<SeqNumber>, limit: usize, done: &mut Delivered) {
        if self.sacked.covers(block.0, block.1) {
            return;
        }
        let Some((left, right)) = self.whole_segments(block) else { return };
        if self.sacked.len() >= limit && self.sacked.stands_alone(left, right) {
            return;
        }
        let mut from = left;
        while let Some((start, end)) = self.sacked.gap(from, right) {
            let index = self.index_at(start);
            for (index, record) in
                (index..).zip(self.records.range(index..)).take_while(|(_, record)| record.seq.lt(end))
            {
                let end = record.end().min(end);
                done.sacked.note(record, end, done.doubt_from);
                done.oldest = Some(done.oldest.map_or(record.sent_at, |oldest| oldest.min(record.sent_at)));
                if let Some(stamps) = &mut self.stamps {
                    stamps.delivered(index, record.sent_at);
                }
                if !record.is_retransmission() {
                    done.note_overtaken(record.seq.max(start), end, highest);
                }
            }
            done.octets += end.since(start);
            from = end;
        }
        self.sacked.insert(left, right);
        self.lost.remove(left, right);
    }

    /// The part of a block that is whole segments, as they were on the wire.
    fn whole_segments(&self, (left, right): Range) -> Option<Range> {
        let first = self.records.get(self.index_at(left))?;
        let segment = u32::from(first.segment).max(1);
        let left = match left.saturating_since(first.seq) {
            0 => first.seq,
            inside => (first.seq + inside.div_ceil(segment) * segment).min(first.end()),
        };
        let last = self.records.get(self.index_at(right - 1))?;
        let segment = u32::from(last.segment).max(1);
        let right = if right.ge(last.end()) {
            last.end()
        } else {
            last.seq + right.saturating_since(last.seq) / segment * segment
        };
        left.lt(right).then_some((left, right))
    }

    /// The peer has thrown away what it had reported.
    pub fn forget_sacked(&mut self) {
        self.sacked.clear();
        self.judged = None;
    }

    /// Marks `left..right` as lost, without what is SACKed; the octets that were not marked before.
    pub fn mark_lost(&mut self, left: SeqNumber, right: SeqNumber) -> u32 {
        let (mut from, mut marked) = (left, 0);
        while let Some((start, end)) = self.sacked.gap(from, right) {
            self.stamp_lost(start, end);
            marked += self.lost.insert(start, end);
            from = end;
        }
        marked
    }

    /// Notes whose records lie in `left..right`, as far as it is not taken for lost yet.
    fn stamp_lost(&mut self, left: SeqNumber, right: SeqNumber) {
        let Some(stamps) = self.stamps.as_mut().filter(|stamps| !stamps.is_empty()) else { return };
        let mut from = left;
        while let Some((start, end)) = self.lost.gap(from, right) {
            let index = self.records.partition_point(|record| record.end().le(start));
            let inside = self.records.range(index..).take_while(|record| record.seq.lt(end));
            for (index, record) in (index..).zip(inside) {
                let (start, end) = (record.seq.max(start), record.end().min(end));
                stamps.lost(index, start, end.since(start));
            }
            from = end;
        }
    }

    /// Marks everything in flight as lost that is not SACKed.
    // 2018-5: from the left edge on, which is never SACKed: a peer that has forgotten what it reported is found out (see
    // `forget_sacked`).
    pub fn mark_all_lost(&mut self) {
        if let (Some(first), Some(last)) = (self.records.front(), self.records.back()) {
            self.mark_lost(first.seq, last.end());
        }
        self.again.clear();
        self.judged = None;
    }

    /// The same where everything is to be sent again although the path has lost nothing: a controller that models it does
    /// not hear of this.
    pub fn mark_all_to_resend(&mut self) {
        self.mark_all_lost();
        self.take_lost_parts().for_each(drop);
    }

    /// Marks the first record as lost, and all that was sent until `limit`.
    pub fn mark_lost_until(&mut self, limit: Instant) {
        for at in 0..self.records.len() {
            let record = self.records[at];
            if at == 0 || record.sent_at <= limit {
                self.mark_lost(record.seq, record.end());
            }
        }
        self.judged = None;
    }

    /// Marks the first `octets` octets as lost, for a fast retransmit; those that were not marked before.
    pub fn mark_first_lost(&mut self, octets: u32) -> u32 {
        let Some(first) = self.records.front() else { return 0 };
        let (left, all) = (first.seq, self.octets());
        self.mark_lost(left, left + octets.min(all))
    }

    /// Nothing is lost after all.
    pub fn unmark_lost(&mut self) {
        self.lost.clear();
        self.judged = None;
    }

    /// The first number that is taken for lost, and the octets of lost ones that follow each other from there.
    pub fn first_lost(&self) -> Option<(SeqNumber, u32)> {
        self.lost.first().map(|(left, right)| (left, right.since(left)))
    }

    /// Our SYN is taken for lost.
    pub fn is_syn_lost(&self) -> bool {
        self.records.front().is_some_and(|first| first.syn && self.lost.covers(first.seq, first.seq + 1))
    }

    /// Notes that the `len` octets from `seq` on were sent again, in segments of `segment` octets.
    ///
    /// They become one record of their own, so that the next loss is judged by what was really sent.
    pub fn retransmitted(&mut self, seq: SeqNumber, len: u32, segment: u16, now: Instant) {
        let Some(end) = self.records.back().map(|last| last.end().min(seq + len)) else { return };
        let (from, to) = (self.index_at(seq), self.index_at(end - 1));
        let (Some(&first), Some(&last)) = (self.records.get(from), self.records.get(to)) else { return };
        let before = self.records.range(from..=to).map(|record| record.transmissions).max().unwrap_or(0);
        let record = SentRecord {
            seq,
            len: end.since(seq),
            sent_at: now,
            segment,
            transmissions: before.saturating_add(1),
            syn: first.syn && first.seq == seq,
            fin: last.fin && last.end() == end,
        };
        self.records[from] = record;
        if to > from {
            self.records.drain(from + 1..=to);
        }
        if end.lt(last.end()) {
            self.records.insert(from + 1, SentRecord { seq: end, len: last.end().since(end), syn: false, ..last });
        }
        if first.seq.lt(seq) {
            self.records.insert(from, SentRecord { len: seq.since(first.seq), fin: false, ..first });
        }
        if let Some(stamps) = &mut self.stamps {
            stamps.replace(from, to, first.seq.lt(seq), end.lt(last.end()));
        }
        self.lost.remove(seq, end);
        match self.again.back_mut() {
            // A zero-window probe is sent for ever.
            Some(again) if (again.seq, again.end) == (seq, end) => again.at = now,
            _ => self.again.push_back(Again { seq, end, at: now }),
        }
        if self.again.len() > self.records.len() + SPARE_AGAIN {
            let mut again = std::mem::take(&mut self.again);
            again.retain(|again| self.is_under_way(again));
            self.again = again;
        }
    }

    /// Something of this retransmission is neither delivered, nor lost, nor sent once more.
    pub(super) fn is_under_way(&self, again: &Again) -> bool {
        let records = self.records.range(self.index_at(again.seq)..).take_while(|record| record.seq.lt(again.end));
        records
            .filter(|record| record.is_retransmission() && record.sent_at == again.at)
            .any(|record| self.is_open(record.seq.max(again.seq), record.end().min(again.end)))
    }

    /// Something in `left..right` is neither SACKed nor taken for lost.
    pub(super) fn is_open(&self, left: SeqNumber, right: SeqNumber) -> bool {
        let mut from = left;
        while let Some((start, end)) = self.sacked.gap(from, right) {
            if !self.lost.covers(start, end) {
                return true;
            }
            from = end;
        }
        false
    }

    /// The index of the first record that ends after `seq`.
    pub(super) fn index_at(&self, seq: SeqNumber) -> usize {
        self.records.partition_point(|record| record.end().le(seq))
    }

    /// What must hold at all times; for tests, as it looks at everything.
    pub fn is_consistent(&self) -> bool {
        let ends = self.records.front().zip(self.records.back()).map(|(first, last)| (first.seq, last.end()));
        let inside = |ranges: &Ranges| {
            ranges.iter().all(|range| ends.is_some_and(|ends| ends.0.le(range.0) && range.1.le(ends.1)))
        };
        let disjoint = self.lost.iter().all(|(left, right)| self.sacked.gap(left, right) == Some((left, right)));
        let whole = self.records.iter().zip(self.records.iter().skip(1)).all(|(one, next)| one.end() == next.seq);
        let total: u32 = self.records.iter().map(|record| record.len).sum();
        let stamped = self.stamps.as_ref().is_none_or(|stamps| stamps.len() <= self.records.len());
        whole && disjoint && stamped && inside(&self.sacked) && inside(&self.lost) && total == self.octets()
    }
}
