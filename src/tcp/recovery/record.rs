//! What is remembered of one transmission.

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
    // 8985-4-2: in nanoseconds, for each (super-)segment.
    pub sent_at: Instant,
    /// Octets of text in each segment of the wire that it was sent as.
    pub segment: u16,
    /// How often it was sent.
    pub transmissions: u8,
    /// It begins with our SYN.
    pub syn: bool,
    /// It ends with our FIN.
    pub fin: bool,
}

impl SentRecord {
    /// The sequence number after its last octet.
    pub fn end(&self) -> SeqNumber {
        self.seq + self.len
    }

    /// It was sent more than once.
    pub fn is_retransmission(&self) -> bool {
        self.transmissions > 1
    }

    /// Where its last segment on the wire begins. A FIN behind text has none of its own.
    pub fn last_segment(&self) -> SeqNumber {
        let segment = u32::from(self.segment).max(1);
        let text = self.len - u32::from(self.syn) - u32::from(self.fin);
        self.seq + text.saturating_sub(1) / segment * segment
    }
}
