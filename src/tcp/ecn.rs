//! Explicit Congestion Notification (RFC 3168 section 6.1): routers mark packets instead of dropping them, the receiver
//! echoes the mark, and the sender slows down as it would for a loss, without having lost anything.
//!
//! ```text
//!   SYN      ECE CWR   "do you?"              text      ECT(0)    may be marked
//!   SYN,ACK  ECE       "I do"                 router    CE        marks it
//!                                             ACK       ECE       echoes, again and again
//!                                             text      CWR       "I have slowed down"; the echo ends
//! ```
//!
//! Both roles are here, as plain data: [`Ecn`] is told what arrived and says which bits to send. Whether both sides do it is
//! `agreed.ecn`, which the handshake decides ([`asks`], [`accepts`]). Accurate ECN (RFC 9768) would take the place of
//! [`Ecn`]: its handshake uses a third bit beside these two, and its counters the same two calls for what arrived.

use super::sequence::SeqNumber;
use crate::wire::tcp::Flags;

/// The two ECN bits of the IP header: not ECN-capable.
pub const NOT_ECT: u8 = 0b00;
/// ECN-capable: what a sender may choose freely is ECT(0).
// 3168-5
pub const ECT_0: u8 = 0b10;
/// Congestion experienced.
pub const CE: u8 = 0b11;

/// What a SYN asks with.
// 3168-6.1.1-1
pub const ASKING: Flags = Flags(Flags::ECE.0 | Flags::CWR.0);

/// What part a host plays in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EcnMode {
    /// None.
    Off,
    /// It does it with those who ask, and does not ask itself: some paths drop a SYN that does.
    #[default]
    Accept,
    /// It asks as well.
    Request,
}

/// This SYN asks for ECN.
// 3168-6.1.1-1: both bits; one alone is something else.
pub fn asks(flags: Flags) -> bool {
    flags.contains(ASKING)
}

/// This SYN,ACK answers that the peer does it too.
// 3168-6.1.1-1: ECE alone. Both bits again are the reflection of one that understands neither.
pub fn accepts(flags: Flags) -> bool {
    flags.contains(Flags::ECE) && !flags.contains(Flags::CWR)
}

/// Where both roles stand, on a connection whose two sides do it.
// 9293-SHLD-8
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ecn {
    /// As receiver: a mark has arrived, and the peer has not said yet that it has slowed down.
    echo: bool,
    /// As sender: it has slowed down and the peer does not know yet.
    tell: bool,
    /// As sender: it has slowed down, and echoes of what was sent before this are of the congestion to which it was the answer.
    waits: bool,
    answered: SeqNumber,
}

impl Ecn {
    /// Text within the window has arrived, with these ECN bits in its IP header.
    // 3168-6.1.3: a mark on the very segment that says CWR begins anew.
    pub fn text_arrived(&mut self, codepoint: u8, cwr: bool) {
        self.echo = codepoint == CE || (self.echo && !cwr);
    }

    /// An ACK of everything before `una` has come. One of no more than what was sent before the sender slowed down cannot know
    /// of that yet, and what it echoes is the same mark.
    pub fn acknowledged(&mut self, una: SeqNumber) {
        self.waits &= una.le(self.answered);
    }

    /// An ACK echoes a mark: whether it asks for less than is sent now. Tell the controller, and then [`Ecn::slowed_down`].
    // 3168-6.1.2-1: once per window of data.
    pub fn is_news(&self) -> bool {
        !self.waits
    }

    /// The sender has slowed down for the loss of what lies at `una`, before it was known.
    // 3168-6.1.2-1: what was sent since is another window of data.
    pub fn has_answered(&self, una: SeqNumber) -> bool {
        self.waits && una.lt(self.answered)
    }

    /// The sender has lowered its window, for a mark or for a loss, with everything before `nxt` sent.
    pub fn slowed_down(&mut self, nxt: SeqNumber) {
        (self.waits, self.answered) = (true, nxt);
        self.tell = true;
    }

    /// It has not slowed down after all: the loss was none. The next echo is news.
    pub fn withdraw(&mut self) {
        (self.waits, self.tell) = (false, false);
    }

    /// Bits of a segment that acknowledges; with `new_text`, of one that carries text for the first time.
    // 3168-6.1.2-3: no CWR on retransmissions.
    pub fn flags(&self, new_text: bool) -> Flags {
        let ece = if self.echo { Flags::ECE } else { Flags::default() };
        let cwr = if self.tell && new_text { Flags::CWR } else { Flags::default() };
        ece | cwr
    }

    /// A segment with these bits has left.
    pub fn sent(&mut self, flags: Flags) {
        self.tell &= !flags.contains(Flags::CWR);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CWR: Flags = Flags::CWR;
    const ECE: Flags = Flags::ECE;
    const NONE: Flags = Flags(0);

    /// 3168-6.1.1-1
    #[test]
    fn a_syn_asks_with_both_bits_and_its_answer_has_one() {
        for (bits, asking, accepting) in
            [(NONE, false, false), (ECE, false, true), (CWR, false, false), (ECE | CWR, true, false)]
        {
            assert_eq!(
                (asks(Flags::SYN | bits), accepts(Flags::SYN | Flags::ACK | bits)),
                (asking, accepting),
                "{bits}"
            );
        }
    }

    /// 3168-6.1.3
    #[test]
    fn a_mark_is_echoed_until_the_peer_has_slowed_down() {
        let mut ecn = Ecn::default();
        ecn.text_arrived(ECT_0, false);
        assert_eq!(ecn.flags(false), NONE);
        ecn.text_arrived(CE, false);
        for _ in 0..5 {
            assert_eq!(ecn.flags(false), ECE);
            ecn.sent(ECE);
            ecn.text_arrived(ECT_0, false);
        }
        // Retransmissions are not ECN-capable, and end nothing either.
        ecn.text_arrived(NOT_ECT, false);
        assert_eq!(ecn.flags(true), ECE);
        ecn.text_arrived(ECT_0, true);
        assert_eq!(ecn.flags(false), NONE);
        ecn.text_arrived(CE, true);
        assert_eq!(ecn.flags(false), ECE, "a mark on the segment that says CWR is a new one");
    }

    /// 3168-6.1.2-1, 3168-6.1.2-3
    #[test]
    fn one_answer_for_one_window_and_it_is_told_once_with_new_text() {
        for una in [0, u32::MAX - 5_000, (1 << 31) - 5_000].map(SeqNumber) {
            let mut ecn = Ecn::default();
            assert!(ecn.is_news());
            ecn.slowed_down(una + 10_000);
            assert_eq!((ecn.flags(false), ecn.flags(true)), (NONE, CWR), "not on a retransmission, nor on an ACK");
            ecn.sent(ecn.flags(false));
            ecn.sent(CWR | Flags::ACK);
            assert_eq!(ecn.flags(true), NONE);
            ecn.acknowledged(una + 9_999);
            assert!(!ecn.is_news() && ecn.has_answered(una + 9_999));
            // An ACK that the peer has sent before CWR arrived.
            ecn.acknowledged(una + 10_000);
            assert!(!ecn.is_news() && !ecn.has_answered(una + 10_000));
            ecn.acknowledged(una + 10_001);
            assert!(ecn.is_news() && !ecn.has_answered(una + 9_999));
            ecn.slowed_down(una + 20_000);
            ecn.withdraw();
            assert!(ecn.is_news() && ecn.flags(true) == NONE, "what was taken back is not told");
        }
    }
}
