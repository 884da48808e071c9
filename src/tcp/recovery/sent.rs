//! The records of what is in flight: one per (super-)segment sent, in sequence order and without gaps.
//!
//! ```text
//!   SND.UNA                                                     SND.NXT
//!      |  record  |  record (lost)  |  record  |  record  | ...   |
//! ```
//!
//! A record is split where a retransmission takes only its first part; a cumulative ACK trims the first one.

use super::Records;
use crate::tcp::sequence::SeqNumber;
use crate::time::Instant;

/// One sent (super-)segment that is not acknowledged yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SentRecord {
    /// Its first sequence number.
    pub seq: SeqNumber,
    /// Octets of sequence space, SYN and FIN included.
    pub len: u32,
    /// When it was last sent.
    pub sent_at: Instant,
    /// How often it was sent.
    pub transmissions: u8,
    /// It begins with our SYN.
    pub syn: bool,
    /// It ends with our FIN.
    pub fin: bool,
    /// It is taken for lost and waits for its retransmission.
    pub lost: bool,
}

impl SentRecord {
    /// The sequence number after its last octet.
    pub fn end(&self) -> SeqNumber {
        self.seq + self.len
    }
}

/// What a cumulative ACK did to the records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Acknowledged {
    /// Octets of sequence space newly acknowledged.
    pub octets: u32,
    /// When the last of the acknowledged records that were sent only once was sent: an unambiguous RTT sample.
    pub sent_once_at: Option<Instant>,
    /// When the last of the acknowledged records that were sent more than once was last sent.
    pub resent_at: Option<Instant>,
    /// Our SYN is among them.
    pub syn: bool,
    /// Our FIN is among them.
    pub fin: bool,
}

/// The records, oldest first.
#[derive(Debug, Default)]
pub struct SentRecords {
    records: Records,
    /// Octets of the records marked lost.
    lost: u32,
    /// No record before this index is lost: where to look for the first one. After a timeout everything is lost, and each
    /// retransmission would otherwise walk over all that were sent again before it.
    first_lost: usize,
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

    /// Octets that are taken for lost and not yet sent again.
    pub fn lost_octets(&self) -> u32 {
        self.lost
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.records.clear();
        self.lost = 0;
        self.first_lost = 0;
    }

    /// Gives memory back beyond room for `records`.
    pub fn shrink_to(&mut self, records: usize) {
        self.records.shrink_to(records);
    }

    /// Notes a first transmission at the end.
    pub fn push(&mut self, record: SentRecord) {
        debug_assert!(self.records.back().is_none_or(|last| last.end() == record.seq), "records leave no gap");
        self.records.push_back(record);
    }

    /// Takes off everything before `una`.
    // 2018-8: only here, never for a SACK.
    // 9293-3.4-3: a record counts as acknowledged only when its end is; a partial acknowledgment trims it.
    pub fn acknowledge(&mut self, una: SeqNumber) -> Acknowledged {
        let mut done = Acknowledged::default();
        while let Some(first) = self.records.front_mut() {
            if first.seq.ge(una) {
                break;
            }
            let octets = first.len.min(una.since(first.seq));
            done.octets += octets;
            if first.lost {
                self.lost -= octets;
            }
            // 6298-3-1: only a record that was sent once gives a sample by its send time.
            // 8961-4.2d: the latest such record, as it is the one that caused this ACK.
            match first.transmissions {
                1 => done.sent_once_at = Some(first.sent_at),
                _ => done.resent_at = done.resent_at.max(Some(first.sent_at)),
            }
            done.syn |= first.syn;
            if octets < first.len {
                first.seq += octets;
                first.len -= octets;
                first.syn = false;
                break;
            }
            done.fin |= first.fin;
            self.records.pop_front();
            self.first_lost = self.first_lost.saturating_sub(1);
        }
        done
    }

    /// Marks everything in flight as lost, after a retransmission timeout.
    // 2018-5: from the left edge on, whatever SACK blocks have said.
    pub fn mark_all_lost(&mut self) {
        self.lost = 0;
        self.first_lost = 0;
        for record in &mut self.records {
            record.lost = true;
            self.lost += record.len;
        }
    }

    /// Marks the first `octets` octets as lost, for a fast retransmit.
    pub fn mark_first_lost(&mut self, octets: u32) {
        self.split(0, octets);
        self.first_lost = 0;
        if let Some(first) = self.records.front_mut()
            && !first.lost
        {
            first.lost = true;
            self.lost += first.len;
        }
    }

    /// The first record that is taken for lost.
    pub fn first_lost(&self) -> Option<&SentRecord> {
        if self.lost == 0 {
            return None;
        }
        self.since_first_lost().find(|record| record.lost)
    }

    /// Octets of lost records that follow each other from the first lost one on, at most `limit`: what one retransmission
    /// may carry. The SYN travels alone.
    pub fn lost_run(&self, limit: u32) -> u32 {
        if self.lost == 0 {
            return 0;
        }
        let mut run = 0;
        for record in self.since_first_lost().skip_while(|record| !record.lost).take_while(|record| record.lost) {
            run += record.len;
            if run >= limit || record.syn {
                break;
            }
        }
        run.min(limit)
    }

    /// The records from the first that may be lost on.
    fn since_first_lost(&self) -> impl Iterator<Item = &SentRecord> {
        self.records.range(self.first_lost.min(self.records.len())..)
    }

    /// Notes that the `len` octets from `seq` on were sent again.
    ///
    /// They become one record of their own, so that the next loss is judged by what was really sent.
    pub fn retransmitted(&mut self, seq: SeqNumber, len: u32, now: Instant) {
        // Retransmissions start at the first lost record; a probe, with nothing lost, at the front.
        let near = self.records.get(self.first_lost).is_some_and(|record| record.seq.le(seq));
        let start = if near { self.first_lost } else { 0 };
        let found = self.records.range(start..).position(|record| record.end().gt(seq));
        let Some(index) = found.map(|steps| start + steps) else { return };
        // Records after this one are about to be merged and split.
        self.first_lost = self.first_lost.min(index);
        let before = seq.saturating_since(self.records[index].seq);
        let index = if before > 0 && self.split(index, before) { index + 1 } else { index };
        self.merge(index, len);
        self.split(index, len);
        let record = &mut self.records[index];
        if record.lost {
            record.lost = false;
            self.lost -= record.len;
        }
        record.sent_at = now;
        record.transmissions = record.transmissions.saturating_add(1);
        let passed = self.records.range(self.first_lost..).take_while(|record| !record.lost).count();
        self.first_lost += passed;
    }

    /// Merges the records from `index` on until that one has at least `len` octets.
    fn merge(&mut self, index: usize, len: u32) {
        while self.records[index].len < len && index + 1 < self.records.len() {
            let Some(next) = self.records.remove(index + 1) else { return };
            let record = &mut self.records[index];
            // Both must count alike; a run of lost records is the only thing that is sent again in one piece.
            if record.lost != next.lost {
                if next.lost {
                    self.lost += record.len;
                } else {
                    self.lost += next.len;
                }
                record.lost = true;
            }
            record.len += next.len;
            record.fin |= next.fin;
            record.transmissions = record.transmissions.max(next.transmissions);
        }
    }

    /// Splits the record at `index` after `octets` octets; false if there is nothing to split.
    fn split(&mut self, index: usize, octets: u32) -> bool {
        let Some(record) = self.records.get_mut(index) else { return false };
        if octets == 0 || octets >= record.len {
            return false;
        }
        let rest =
            SentRecord { seq: record.seq + octets, len: record.len - octets, syn: false, fin: record.fin, ..*record };
        record.len = octets;
        record.fin = false;
        self.records.insert(index + 1, rest);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(base: u32, lens: &[u32]) -> SentRecords {
        let mut sent = SentRecords::default();
        let mut seq = SeqNumber(base);
        for (number, &len) in lens.iter().enumerate() {
            let sent_at = Instant::from_millis(number as u64);
            sent.push(SentRecord { seq, len, sent_at, transmissions: 1, syn: false, fin: false, lost: false });
            seq += len;
        }
        sent
    }

    fn lost_by_hand(sent: &SentRecords) -> u32 {
        sent.iter().filter(|record| record.lost).map(|record| record.len).sum()
    }

    /// 9293-3.4-3
    #[test]
    fn an_ack_in_the_middle_keeps_exactly_the_rest() {
        for base in [0, u32::MAX - 150, (1 << 31) - 150] {
            let mut sent = records(base, &[100, 100, 100]);
            let done = sent.acknowledge(SeqNumber(base) + 150);
            assert_eq!(done.octets, 150);
            let first = *sent.first().unwrap();
            assert_eq!((first.seq, first.len, sent.len()), (SeqNumber(base) + 150, 50, 2));
            assert_eq!(sent.acknowledge(SeqNumber(base) + 150).octets, 0);
            assert_eq!(sent.acknowledge(SeqNumber(base) + 300).octets, 150);
            assert!(sent.is_empty());
        }
    }

    /// 6298-3-1, 8961-4.2d
    #[test]
    fn only_records_sent_once_give_a_sample() {
        let mut sent = records(0, &[100, 100, 100]);
        sent.mark_first_lost(100);
        sent.retransmitted(SeqNumber(0), 100, Instant::from_secs(5));
        let done = sent.acknowledge(SeqNumber(100));
        assert_eq!((done.sent_once_at, done.resent_at), (None, Some(Instant::from_secs(5))));
        let done = sent.acknowledge(SeqNumber(300));
        assert_eq!((done.sent_once_at, done.resent_at), (Some(Instant::from_millis(2)), None));
    }

    #[test]
    fn lost_octets_always_equal_the_marks() {
        let mut sent = records(u32::MAX - 1_000, &[1_460, 1, 1_460, 2_920]);
        sent.mark_all_lost();
        assert_eq!((sent.lost_octets(), lost_by_hand(&sent)), (5_841, 5_841));
        assert_eq!(sent.lost_run(1_460), 1_460);
        sent.retransmitted(SeqNumber(u32::MAX - 1_000), 1_460, Instant::from_secs(1));
        assert_eq!((sent.lost_octets(), lost_by_hand(&sent)), (4_381, 4_381));
        // The one-octet record leaves together with what follows it.
        let next = *sent.first_lost().unwrap();
        assert_eq!(next.len, 1);
        sent.retransmitted(next.seq, 1_460, Instant::from_secs(1));
        assert_eq!((sent.lost_octets(), lost_by_hand(&sent)), (2_921, 2_921));
        let done = sent.acknowledge(next.seq + 1_460 + 1);
        assert_eq!(done.octets, 1_460 + 1_460 + 1);
        assert_eq!((sent.lost_octets(), lost_by_hand(&sent)), (2_920, 2_920));
    }

    /// Whatever happens, the first lost record is found as by a walk from the front.
    #[test]
    fn the_first_lost_record_is_found_from_where_the_last_was() {
        let mut sent = records(u32::MAX - 5_000, &[1_000; 40]);
        let agree = |sent: &SentRecords| {
            assert_eq!(sent.first_lost(), sent.iter().find(|record| record.lost));
            assert_eq!(sent.lost_octets(), lost_by_hand(sent));
        };
        sent.mark_all_lost();
        for step in 0..200u32 {
            agree(&sent);
            let Some(first) = sent.first_lost().copied() else { break };
            // Whole records, halves, and one and a half.
            sent.retransmitted(first.seq, [1_000, 500, 1_500][step as usize % 3], Instant::from_secs(9));
            agree(&sent);
            match step {
                7 => _ = sent.acknowledge(SeqNumber(u32::MAX - 5_000) + 2_300),
                15 => sent.mark_first_lost(700),
                // A probe of what is not lost.
                20 => sent.retransmitted(sent.first().unwrap().seq, 1, Instant::from_secs(9)),
                25 => sent.mark_all_lost(),
                // Several records before the first lost one become one.
                30 => sent.retransmitted(sent.first().unwrap().seq, 2_500, Instant::from_secs(9)),
                _ => {}
            }
        }
        agree(&sent);
        assert_eq!(sent.lost_octets(), 0);
    }

    #[test]
    fn a_super_segment_is_split_at_what_is_sent_again() {
        let mut sent = records(0, &[14_600]);
        sent.mark_first_lost(1_460);
        assert_eq!((sent.len(), sent.lost_octets(), sent.lost_run(u32::MAX)), (2, 1_460, 1_460));
        sent.retransmitted(SeqNumber(0), 1_460, Instant::from_secs(1));
        assert_eq!((sent.lost_octets(), sent.first().unwrap().transmissions), (0, 2));
        assert!(sent.first_lost().is_none());
    }
}
