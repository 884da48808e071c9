//! What leaves at the next chance: notes from whoever finds that something is to be sent to [`super::plan`], which decides.

/// A set of such notes, in one octet. ACKs have their own ([`super::receiver::Owed`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Due(u8);

impl Due {
    /// One segment again whatever cwnd says: a fast retransmit, or what a timeout sends.
    pub const RETRANSMISSION: Due = Due(1);
    /// A tail loss probe (RFC 8985 section 7.3).
    pub const LOSS_PROBE: Due = Due(2);
    /// A zero-window probe (RFC 9293 section 3.8.6.1).
    pub const WINDOW_PROBE: Due = Due(4);
    /// Text however short it is: the override timer of silly-window avoidance has expired (RFC 9293 section 3.8.6.2.1).
    pub const SHORT_TEXT: Due = Due(8);
    /// What could be sent now, and waits for its turn by pacing.
    pub const PACED: Due = Due(16);

    /// All of these are among them.
    pub const fn has(self, due: Due) -> bool {
        self.0 & due.0 == due.0
    }

    /// Notes these as well.
    pub const fn add(&mut self, due: Due) {
        self.0 |= due.0;
    }

    /// These are done, or not needed any more.
    pub const fn clear(&mut self, due: Due) {
        self.0 &= !due.0;
    }

    /// These are among them, or not.
    pub const fn put(&mut self, due: Due, is_due: bool) {
        if is_due { self.add(due) } else { self.clear(due) }
    }
}
