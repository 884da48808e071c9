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
//! What both sides do is the [`Feedback`] that the three bits of the SYNs agree on. A connection that does it has an [`Ecn`]: the
//! sender's part, which is one, and in a word [`How`] marks are told. Classic feedback is here; that of Accurate ECN (RFC 9768),
//! which counts, is in [`super::accurate_ecn`]. What marks mean to a connection is in [`super::marks`].

use super::accurate_ecn::{self, AccurateEcn, SentText};
use super::sequence::SeqNumber;
use crate::wire::tcp::Flags;

/// The two ECN bits of the IP header: not ECN-capable.
pub const NOT_ECT: u8 = 0b00;
/// ECN-capable, for networks that mark in another way (RFC 9331).
pub const ECT_1: u8 = 0b01;
/// ECN-capable: what a sender may choose freely is ECT(0).
// 3168-5
pub const ECT_0: u8 = 0b10;
/// Congestion experienced.
pub const CE: u8 = 0b11;

/// What a SYN asks with for classic feedback.
// 3168-6.1.1-1
pub const ASKING: Flags = Flags(Flags::ECE.0 | Flags::CWR.0);

/// The three bits of ECN. A SYN that asks for accurate feedback has them all.
pub const BITS: Flags = Flags(Flags::AE.0 | Flags::CWR.0 | Flags::ECE.0);

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
    /// It counts with those who ask for Accurate ECN, echoes with those who ask for the other, and does not ask itself.
    AcceptAccurate,
    /// The same, and it asks for the other, the classic one.
    AcceptAccurateRequestClassic,
    /// It asks for Accurate ECN.
    RequestAccurate,
}

impl EcnMode {
    /// All of them.
    pub const ALL: [EcnMode; 6] = [
        EcnMode::Off,
        EcnMode::Accept,
        EcnMode::Request,
        EcnMode::AcceptAccurate,
        EcnMode::AcceptAccurateRequestClassic,
        EcnMode::RequestAccurate,
    ];

    /// The most that a listener agrees to.
    pub const fn accepted(self) -> Feedback {
        match self {
            EcnMode::Off => Feedback::None,
            EcnMode::Accept | EcnMode::Request => Feedback::Classic,
            EcnMode::AcceptAccurate | EcnMode::AcceptAccurateRequestClassic | EcnMode::RequestAccurate => {
                Feedback::Accurate
            }
        }
    }

    /// What our SYNs ask for.
    pub const fn requested(self) -> Feedback {
        match self {
            EcnMode::Off | EcnMode::Accept | EcnMode::AcceptAccurate => Feedback::None,
            EcnMode::Request | EcnMode::AcceptAccurateRequestClassic => Feedback::Classic,
            EcnMode::RequestAccurate => Feedback::Accurate,
        }
    }
}

/// How the receiver of marks tells the sender.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Feedback {
    /// Not at all.
    #[default]
    None,
    /// That there was one, again and again until the sender has slowed down (RFC 3168).
    Classic,
    /// How many there were (RFC 9768).
    Accurate,
}

impl Feedback {
    /// The bits of a SYN that asks for it.
    // 3168-6.1.1-1, 9768-3.1.1-1
    pub const fn request(self) -> Flags {
        match self {
            Feedback::None => Flags(0),
            Feedback::Classic => ASKING,
            Feedback::Accurate => BITS,
        }
    }

    /// What a server that agrees to this at most does for a SYN with these bits.
    // 3168-6.1.1-1: both bits; one alone is something else.
    // 9768-3.1.3: for one that knows Accurate ECN it is something that is to come, and taken for that.
    pub fn of_syn(self, syn: Flags) -> Feedback {
        let classic = syn.contains(ASKING);
        match (self, accurate_ecn::ace(syn)) {
            (Feedback::Classic, _) if classic => Feedback::Classic,
            (Feedback::None | Feedback::Classic, _) | (Feedback::Accurate, 0b000) => Feedback::None,
            (Feedback::Accurate, 0b011) => Feedback::Classic,
            (Feedback::Accurate, _) => Feedback::Accurate,
        }
    }

    /// What a client that has asked for this does for a SYN,ACK with these bits.
    // 3168-6.1.1-1: ECE alone. Both bits again are the reflection of one that understands neither.
    // 9768-3.1.2: the classic one for ECE alone; none for no bit, and for all three, which is a reflection, too. The rest are
    // answers of Accurate ECN, also the one that is to come.
    pub fn of_syn_ack(self, syn_ack: Flags) -> Feedback {
        let classic = syn_ack.contains(Flags::ECE) && !syn_ack.contains(Flags::CWR);
        match (self, accurate_ecn::ace(syn_ack)) {
            (Feedback::Classic, _) if classic => Feedback::Classic,
            (Feedback::None | Feedback::Classic, _) | (Feedback::Accurate, 0b000 | 0b111) => Feedback::None,
            (Feedback::Accurate, 0b001) => Feedback::Classic,
            (Feedback::Accurate, _) => Feedback::Accurate,
        }
    }
}

/// Where both roles stand, on a connection whose two sides do it.
// 9293-SHLD-8
#[derive(Clone, Debug)]
pub struct Ecn {
    /// As sender: it has slowed down, and marks of what was sent before this are of the congestion to which it was the answer.
    waits: bool,
    answered: SeqNumber,
    /// As sender: text is ECN-capable.
    pub capable: bool,
    /// How marks are told, in both directions.
    pub how: How,
}

/// How marks are told.
#[derive(Clone, Debug)]
pub enum How {
    /// By an echo.
    Classic(ClassicEcn),
    /// By counters.
    // 9768-3.1.5: one of the two is chosen by the handshake, and nothing changes it.
    Accurate(AccurateEcn),
}

/// Classic feedback (RFC 3168), in both roles.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClassicEcn {
    /// As receiver: a mark has arrived, and the peer has not said yet that it has slowed down.
    echo: bool,
    /// As sender: it has slowed down and the peer does not know yet.
    tell: bool,
}

impl Ecn {
    /// Nothing has arrived.
    pub fn new(how: How, capable: bool) -> Box<Ecn> {
        Box::new(Ecn { waits: false, answered: SeqNumber(0), capable, how })
    }

    /// With classic feedback.
    pub fn classic(capable: bool) -> Box<Ecn> {
        Ecn::new(How::Classic(ClassicEcn::default()), capable)
    }

    /// The counters of Accurate ECN.
    pub fn accurate(&self) -> Option<&AccurateEcn> {
        match &self.how {
            How::Classic(_) => None,
            How::Accurate(accurate) => Some(accurate),
        }
    }

    /// The same.
    pub fn accurate_mut(&mut self) -> Option<&mut AccurateEcn> {
        match &mut self.how {
            How::Classic(_) => None,
            How::Accurate(accurate) => Some(accurate),
        }
    }

    /// Text that leaves for the first time may be marked on its way.
    pub fn may_be_marked(&self) -> bool {
        self.capable && self.accurate().is_none_or(|accurate| !accurate.deaf)
    }

    /// Text within the window has arrived, with these ECN bits in its IP header.
    // 3168-6.1.3: a mark on the very segment that says CWR begins anew.
    pub fn text_arrived(&mut self, codepoint: u8, cwr: bool) {
        if let How::Classic(classic) = &mut self.how {
            classic.echo = codepoint == CE || (classic.echo && !cwr);
        }
    }

    /// An ACK of everything before `una` has come. One of no more than what was sent before the sender slowed down cannot know
    /// of that yet, and what it echoes is the same mark.
    pub fn acknowledged(&mut self, una: SeqNumber) {
        self.waits &= una.le(self.answered);
    }

    /// An ACK tells of a mark: whether it asks for less than is sent now. Tell the controller, and then [`Ecn::slowed_down`].
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
        if let How::Classic(classic) = &mut self.how {
            classic.tell = true;
        }
    }

    /// It has not slowed down after all: the loss was none. The next mark is news.
    pub fn withdraw(&mut self) {
        self.waits = false;
        if let How::Classic(classic) = &mut self.how {
            classic.tell = false;
        }
    }

    /// This ACK tells of a mark that was not told before.
    pub fn tells(&self, flags: Flags) -> bool {
        match &self.how {
            How::Classic(_) => flags.contains(Flags::ECE),
            How::Accurate(accurate) => accurate.is_news(flags),
        }
    }

    /// Bits of a segment that acknowledges; with `new_text`, of one that carries text for the first time.
    // 3168-6.1.2-3: no CWR on retransmissions. 9768-3.1.5: and with counters CWR is one bit of their number.
    pub fn flags(&self, new_text: bool) -> Flags {
        match &self.how {
            How::Classic(classic) => {
                let ece = if classic.echo { Flags::ECE } else { Flags::default() };
                let cwr = if classic.tell && new_text { Flags::CWR } else { Flags::default() };
                ece | cwr
            }
            How::Accurate(accurate) => accurate.flags(),
        }
    }

    /// Bits of an ACK without text and SACK blocks.
    pub fn ack_flags(&self) -> Flags {
        self.accurate().map_or_else(|| self.flags(false), AccurateEcn::ack_flags)
    }

    /// An ACK that is due goes before text, which would have no room for what it tells.
    pub fn goes_alone(&self) -> bool {
        self.accurate().is_some_and(AccurateEcn::goes_alone)
    }

    /// The ACK that is due answers ACKs alone.
    pub fn answers_acks(&self) -> bool {
        self.accurate().is_some_and(|accurate| accurate.answers_acks)
    }

    /// The text up to `end` was the first one, and leaves just as much of a segment free as its option needs.
    pub fn is_probe(&self, end: SeqNumber, spare: u32) -> bool {
        self.accurate().is_some_and(|accurate| accurate.is_probe(end, spare))
    }

    /// Octets of text that may leave in one piece, for the first time or again, where that is bounded to a segment, which has `mss`.
    ///
    /// Whoever cuts a piece clears CWR in all but the first segment, which may be a bit of our number (docs/decisions.md).
    pub fn max_text(&self, new: bool, mss: u32) -> Option<u32> {
        let accurate = self.accurate()?;
        match accurate.room_in_first_text() {
            Some(room) if new => Some(mss.saturating_sub(room).max(1)),
            _ => accurate.flags().contains(Flags::CWR).then_some(mss),
        }
    }

    /// Bits of our SYN,ACK, after so many losses of it.
    pub fn syn_ack_flags(&self, losses: u8) -> Flags {
        match &self.how {
            How::Classic(_) => Flags::ECE,
            How::Accurate(accurate) => accurate_ecn::syn_ack_flags(accurate.syn_arrived, losses),
        }
    }

    /// Our SYN,ACK has left with these bits; `again` where a listener's has left before, and seems to be lost.
    // 9768-3.2.3: what has no option any more goes on without. 9768-3.1.5: and who has sent one without bits sends nothing that is
    // capable.
    pub fn syn_ack_sent(&mut self, flags: Flags, again: bool) {
        if let How::Accurate(accurate) = &mut self.how {
            accurate.silent |= again;
            accurate.probes = false;
            self.capable &= accurate_ecn::ace(flags) != 0;
        }
    }

    /// A segment without SYN has left with these bits, with text or without.
    pub fn sent(&mut self, flags: Flags, text: Option<SentText>, option: bool) {
        match &mut self.how {
            How::Classic(classic) => classic.tell &= !flags.contains(Flags::CWR),
            How::Accurate(accurate) => accurate.sent(flags, text, option),
        }
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
            for more in [NONE, Flags::AE] {
                let bits = bits | more;
                let syn = Feedback::Classic.of_syn(Flags::SYN | bits);
                let syn_ack = Feedback::Classic.of_syn_ack(Flags::SYN | Flags::ACK | bits);
                let is = |yes| if yes { Feedback::Classic } else { Feedback::None };
                assert_eq!((syn, syn_ack), (is(asking), is(accepting)), "{bits}");
                assert_eq!((Feedback::None.of_syn(bits), Feedback::None.of_syn_ack(bits)), (is(false), is(false)));
            }
        }
    }

    /// 9768-3.1.2, 9768-3.1.3: all eight combinations, for a host that knows Accurate ECN (RFC 9768 table 2).
    #[test]
    fn three_bits_ask_for_counters_and_four_codes_agree() {
        use Feedback::{Accurate, Classic, None};
        let syn = [None, Accurate, Accurate, Classic, Accurate, Accurate, Accurate, Accurate];
        let syn_ack = [None, Classic, Accurate, Accurate, Accurate, Accurate, Accurate, None];
        for number in 0..8_usize {
            let bits = accurate_ecn::ace_flags(number as u32);
            assert_eq!(Accurate.of_syn(Flags::SYN | bits), syn[number], "{bits}");
            assert_eq!(Accurate.of_syn_ack(Flags::SYN | Flags::ACK | bits), syn_ack[number], "{bits}");
        }
        assert_eq!(Accurate.request(), Flags::AE | CWR | ECE);
    }

    /// 3168-6.1.3
    #[test]
    fn a_mark_is_echoed_until_the_peer_has_slowed_down() {
        let mut ecn = Ecn::classic(true);
        ecn.text_arrived(ECT_0, false);
        assert_eq!(ecn.flags(false), NONE);
        ecn.text_arrived(CE, false);
        for _ in 0..5 {
            assert_eq!(ecn.flags(false), ECE);
            ecn.sent(ECE, None, false);
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
            let mut ecn = Ecn::classic(true);
            assert!(ecn.is_news());
            ecn.slowed_down(una + 10_000);
            assert_eq!((ecn.flags(false), ecn.flags(true)), (NONE, CWR), "not on a retransmission, nor on an ACK");
            ecn.sent(ecn.flags(false), None, false);
            ecn.sent(CWR | Flags::ACK, None, false);
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
