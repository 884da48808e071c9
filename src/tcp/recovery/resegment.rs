//! What was sent in segments that have proved too large.

use super::sent::{SentRecord, SentRecords};
use crate::tcp::sequence::SeqNumber;

impl SentRecord {
    /// Octets of its text.
    fn text(&self) -> u32 {
        self.len - u32::from(self.syn) - u32::from(self.fin)
    }
}

impl SentRecords {
    /// Octets from `seq` to the end of the record that holds it.
    pub fn run_of_record(&self, seq: SeqNumber) -> u32 {
        self.records.get(self.index_at(seq)).map_or(0, |record| record.end().saturating_since(seq))
    }

    /// Octets of text in the segment of the wire in which `seq` was last sent; `None` if it is not in flight.
    pub fn segment_at(&self, seq: SeqNumber) -> Option<u32> {
        let record = self.records.get(self.index_at(seq)).filter(|record| record.seq.le(seq))?;
        let segment = u32::from(record.segment).max(1);
        let before = seq.since(record.seq).min(record.text()) / segment * segment;
        Some(segment.min(record.text() - before))
    }

    /// Takes for lost what was sent in segments of more than `payload` octets of text, the short segment at the end of a
    /// record not among them; the octets that were not taken for lost before. A controller that models the path does not
    /// hear of it: this says nothing of congestion.
    // 1191-6.4: what has left again in smaller segments is not taken for lost a second time.
    pub fn mark_larger(&mut self, payload: u32) -> u32 {
        let mut marked = 0;
        for index in 0..self.records.len() {
            let record = self.records[index];
            let (segment, text) = (u32::from(record.segment).max(1), record.text());
            if segment <= payload || text <= payload {
                continue;
            }
            let tail = text % segment;
            let end = if (1..=payload).contains(&tail) { record.seq + (text - tail) } else { record.end() };
            marked += self.mark_lost(record.seq, end);
        }
        self.take_lost_parts().for_each(drop);
        marked
    }

    /// All that is taken for lost is `left..right`.
    pub fn is_lost_alone(&self, left: SeqNumber, right: SeqNumber) -> bool {
        self.lost().octets() == right.since(left) && self.lost().covers(left, right)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Instant;

    fn record(seq: u32, len: u32, segment: u16, fin: bool) -> SentRecord {
        SentRecord { seq: SeqNumber(seq), len, sent_at: Instant::ZERO, segment, transmissions: 1, syn: false, fin }
    }

    /// 1191-6.4
    #[test]
    fn only_what_was_too_large_is_sent_again_and_once() {
        for base in [0, 1 << 31, 0u32.wrapping_sub(2_000)] {
            let at = |offset: u32| SeqNumber(base.wrapping_add(offset));
            let mut sent = SentRecords::default();
            // A full segment, a short one, a super-segment with a short tail, one with a long tail, and a FIN.
            for (seq, len, fin) in [
                (0, 1_000, false),
                (1_000, 700, false),
                (1_700, 3_100, false),
                (4_800, 2_900, false),
                (7_700, 101, true),
            ] {
                sent.push(record(at(seq).0, len, 1_000, fin));
            }
            let sizes =
                [(0, 1_000), (999, 1_000), (1_000, 700), (1_700, 1_000), (4_700, 100), (4_799, 100), (7_699, 900)];
            for (offset, size) in sizes {
                assert_eq!(sent.segment_at(at(offset)), Some(size), "{offset}");
            }
            assert_eq!((sent.segment_at(at(7_800)), sent.segment_at(at(7_801))), (Some(100), None));
            assert_eq!(sent.segment_at(at(0) - 1), None);
            assert_eq!(sent.mark_larger(1_000), 0);
            assert_eq!(sent.mark_larger(800), 1_000 + 3_000 + 2_900);
            let lost: Vec<_> =
                sent.lost().iter().map(|(left, right)| (left.since(at(0)), right.since(at(0)))).collect();
            assert_eq!(lost, [(0, 1_000), (1_700, 4_700), (4_800, 7_700)]);
            assert_eq!(sent.mark_larger(800), 0);
            assert!(!sent.is_lost_alone(at(0), at(1_000)));
            sent.retransmitted(at(1_700), 3_000, 800, Instant::ZERO);
            sent.retransmitted(at(4_800), 2_900, 800, Instant::ZERO);
            assert!(sent.is_lost_alone(at(0), at(1_000)));
            sent.retransmitted(at(0), 800, 800, Instant::ZERO);
            sent.retransmitted(at(800), 200, 800, Instant::ZERO);
            assert_eq!((sent.mark_larger(800), sent.lost().is_empty()), (0, true), "once per drop");
            // One that it grows too large again.
            assert_eq!(sent.mark_larger(500), 800 + 700 + 3_000 + 2_400);
            assert!(sent.is_consistent());
        }
    }
}
