//! What one ACK has delivered, and when that was sent.

use super::sent::SentRecord;
use crate::tcp::sequence::SeqNumber;
use crate::time::Instant;

/// A transmission: when, and the sequence number after it. Their order is that of RFC 8985 section 6.2 step 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// When it was sent.
    pub at: Instant,
    /// The number after its last octet.
    pub end: SeqNumber,
}

impl Stamp {
    /// It left after the other one.
    // 8985-6.2-2: RACK_sent_after.
    pub fn is_after(self, other: Stamp) -> bool {
        self.at > other.at || (self.at == other.at && self.end.gt(other.end))
    }

    pub(super) fn or_later(self, latest: &mut Option<Stamp>) {
        if latest.is_none_or(|latest| self.is_after(latest)) {
            *latest = Some(self);
        }
    }
}

/// The latest transmissions among what an ACK has newly delivered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Latest {
    /// Of what was sent only once.
    pub once: Option<Stamp>,
    /// Of what was sent more than once.
    pub again: Option<Stamp>,
    /// Of these, what can only be the arrival of the last copy; see [`Delivered::doubt_from`].
    pub sure: Option<Stamp>,
    /// When that left which has the highest number of all that is without doubt.
    pub highest_at: Option<Instant>,
}

impl Latest {
    pub(super) fn note(&mut self, record: &SentRecord, end: SeqNumber, doubt_from: Option<Instant>) {
        let stamp = Stamp { at: record.sent_at, end };
        if !record.is_retransmission() {
            stamp.or_later(&mut self.once);
            self.highest_at = Some(stamp.at);
            return;
        }
        stamp.or_later(&mut self.again);
        // 8985-6.2-2: each one by itself, as one ACK may be of several that were sent again at different times.
        if doubt_from.is_none_or(|from| stamp.at < from) {
            stamp.or_later(&mut self.sure);
            self.highest_at = Some(stamp.at);
        }
    }
}

/// What one ACK has delivered: by its number, and by its SACK blocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Delivered {
    /// Octets of sequence space newly acknowledged by number.
    pub acknowledged: u32,
    /// Octets of which this ACK is the first to tell that they arrived, by number or by a block.
    pub octets: u32,
    /// Of these, what the number acknowledged.
    pub acked: Latest,
    /// Of these, what a block reported.
    pub sacked: Latest,
    /// When that with which they begin was last sent, where the number acknowledged it and it was sent again.
    pub begins_again: Option<Instant>,
    /// When the first of them left that arrived: of each its last transmission.
    pub oldest: Option<Instant>,
    /// Set before: what was sent again at this time or later may have arrived as an earlier copy.
    pub doubt_from: Option<Instant>,
    /// Something arrived late that was sent only once: the path reorders (RFC 8985 section 6.2 step 3). Octets from where it
    /// begins to the end of what had arrived before; 0 for nothing.
    pub overtaken: u32,
    /// Our SYN is among them.
    pub syn: bool,
    /// Our FIN is among them.
    pub fin: bool,
}

impl Delivered {
    /// `from..to` was sent once and has arrived, and everything before `highest` that had arrived had done so before.
    // 8985-6.2-3
    pub(super) fn note_overtaken(&mut self, from: SeqNumber, to: SeqNumber, highest: Option<SeqNumber>) {
        if let Some(highest) = highest.filter(|&highest| to.lt(highest)) {
            self.overtaken = self.overtaken.max(highest.since(from));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By a habit RACK.rtt is that of the highest number, sent again or not, as far as it is sure.
    #[test]
    fn the_time_of_the_highest_number() {
        let record = |seq: u32, at: u64, transmissions: u8| SentRecord {
            seq: SeqNumber(seq),
            len: 1_000,
            sent_at: Instant::from_secs(at),
            segment: 1_000,
            transmissions,
            syn: false,
            fin: false,
        };
        for (records, expected) in [
            (&[(0, 5, 1), (1_000, 6, 1)][..], Some(6)),
            (&[(0, 5, 1), (1_000, 9, 2)], Some(9)),
            (&[(0, 9, 2), (1_000, 5, 1)], Some(5)),
            // The last copy of this one left too late to be what has arrived.
            (&[(0, 5, 1), (1_000, 20, 2)], Some(5)),
            (&[(0, 20, 2)], None),
        ] {
            let mut latest = Latest::default();
            for &(seq, at, transmissions) in records {
                let record = record(seq, at, transmissions);
                latest.note(&record, record.end(), Some(Instant::from_secs(10)));
            }
            assert_eq!(latest.highest_at, expected.map(Instant::from_secs), "{records:?}");
        }
    }
}
