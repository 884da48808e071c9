//! The words of a trace: what a packet has done, why it was dropped, why one was sent; each with the rule behind it.
//!
//! A rule is the id of a row in docs/requirements.csv (`9293-3.10.7.4-24`), a section of an RFC that has no row there
//! (`RFC6335/6`), or `local` where it is a limit or a choice of our own.

use crate::counters::DropReason;
use crate::tcp::acceptance::{self, Acceptance, ResetAction, Space};
use crate::tcp::sequence::SeqNumber;
use crate::tcp::state::State;
use crate::vocabulary::vocabulary;

pub use crate::tcp::why::Why;

vocabulary! {
    /// What a received packet has done.
    Act {
        Acknowledged => "acked", "9293-3.10.7.4-24", "So many octets of sequence space are acknowledged.";
        DuplicateAck => "dup-ACK", "9293-3.10.7.4-26", "Its ACK says nothing new; the rest of it counts.";
        Sacked => "SACKed", "6675-4-1", "So many octets are reported to have arrived out of order.";
        LossFound => "lost", "8985-6.2-5", "So many octets are taken for lost: what was sent later has arrived.";
        LossCounted => "lost-by-duplicates", "5681-3.2-2", "So many octets are taken for lost, after three duplicate ACKs.";
        RecoveryBegins => "recovery-begins", "5681-3.2-4", "Something is lost: fast recovery begins.";
        RecoveryEnds => "recovery-ends", "6675-5-2", "Everything sent before recovery began is acknowledged.";
        FullAck => "full-ACK", "6582-3.2-2", "The same, with a peer without SACK.";
        Undone => "undone", "5682-4", "Nothing was lost: the recovery is taken back.";
        MarkEchoed => "ECN-reduced", "3168-6.1.2-1", "The path is congested: cwnd is lowered without a loss.";
        WindowUpdated => "window", "9293-3.10.7.4-28", "The send window is now so many octets.";
        WindowClosed => "window-closed", "9293-MUST-35", "The send window is zero: it will be probed.";
        WindowReopened => "window-reopened", "9293-3.10.7.4-28", "The send window is open again.";
        Delivered => "delivered", "9293-3.10.7.4-36", "So many octets are in order now, for the application.";
        OutOfOrder => "out-of-order", "9293-SHLD-31", "So many octets are held until what is before them arrives.";
        DuplicateText => "duplicate-text", "9293-3.10.7.4-8", "Text in it was here before, so many octets.";
        Urgent => "urgent", "9293-3.10.7.4-34", "Urgent data is announced.";
        Fin => "FIN", "9293-3.10.7.4-40", "The peer has no more to say.";
        FinEarly => "FIN-early", "9293-3.10.7.4-40", "The peer's FIN, which waits for the text before it.";
        FinAcknowledged => "FIN-acked", "9293-3.10.7.4-29", "Our FIN is acknowledged.";
        Established => "established", "9293-3.10.7.4-22", "The connection is open.";
        Opened => "opened", "9293-3.10.7.3-7", "Our SYN is acknowledged by the peer's: the connection is open.";
        CrossedSyn => "crossed-SYN", "9293-3.10.7.3-8", "A SYN that has crossed ours: a simultaneous open.";
        SynTaken => "SYN-taken", "9293-3.10.7.2-3", "A listener remembers the SYN and answers it.";
        FastOpened => "fast-opened", "7413-4.2.2-2", "The SYN opens by Fast Open: its text is for the application before the handshake is over.";
        SynTextLeft => "SYN-text-left", "9293-3.10.7.2-5", "So many octets of the SYN's text are not taken, and have to come again.";
        SynTextAgain => "SYN-text-again", "7413-4.2.2-1", "So many octets of our SYN's text are not acknowledged: they leave again.";
        CookieAsked => "cookie-asked", "RFC7413/4.2.1", "The SYN asks for a cookie of Fast Open.";
        CookieLearned => "cookie-learned", "7413-4.1.3", "The server's cookie of Fast Open is kept, for the next connection.";
        SynAsked => "SYN-asked", "local", "The application is asked about the SYN.";
        CookieMade => "cookie-made", "4987-3.6", "The SYN queue is full: the SYN is answered and not remembered.";
        CookieTaken => "cookie-taken", "4987-3.6", "The cookie is ours: the connection is open.";
        Reset => "reset", "9293-3.10.7.4-11", "The connection is reset.";
        Refused => "refused", "9293-3.10.7.3-3", "Our attempt to connect is refused.";
        BackToListen => "back-to-LISTEN", "9293-3.10.7.4-13", "The half-open record is forgotten.";
        TimeWaitReopened => "TIME-WAIT-reopened", "9293-MAY-2", "A new connection takes the place of one in TIME-WAIT.";
        TimeWaitRestarted => "2MSL-restarted", "9293-3.10.7.4-33", "Our last ACK was lost: TIME-WAIT begins anew.";
        AckNow => "owes-ACK", "9293-SHLD-19", "An ACK is due with the next chance to send, for this reason.";
        AckDelayed => "owes-delayed-ACK", "9293-SHLD-18", "An ACK is due in a while, unless something carries it.";
        ChallengeLimited => "challenge-limited", "5961-7-2", "This second's challenge ACKs are used up: no answer.";
        Answered => "answered", "9293-3.10.7.4-6", "An answer leaves that is none of a connection's, for this reason.";
        AnswerLimited => "answer-limited", "local", "The answers of this second are used up: none leaves.";
        AttemptFailed => "attempt-failed", "9293-SHLD-26", "A hard error of the network ends our attempt to connect.";
        SoftError => "soft-error", "9293-MUST-56", "An error of the network, which the connection survives.";
        PathMtuLowered => "path-MTU-lowered", "8201-4-3", "The path takes packets of so many octets at most.";
        IcmpError => "ICMP-error", "9293-MUST-54", "An error of the network, for whomever it quotes.";
        EchoAnswered => "echo-answered", "1122-3.2.2.6-1", "An echo request: its data goes back.";
        EchoReply => "echo-reply", "RFC1122/3.2.2.6", "An answer to our own echo request.";
        Datagram => "datagram", "768-4", "A datagram is in the queue of its socket.";
        GroupMessage => "group-message", "3376-5.2", "What routers ask about groups, or what other members say.";
        FragmentHeld => "fragment-held", "791-3.2-1", "A fragment, held until the others arrive.";
        Reassembled => "reassembled", "791-3.2-1", "The last fragment: the datagram is whole, and was handled.";
        HandedOver => "handed-over", "local", "A stack on another queue of the device handles it.";
        Nothing => "nothing", "9293-3.10.7.4-26", "Nothing in it is new.";
    }
}

vocabulary! {
    /// Why a packet leaves that is no segment.
    Other {
        EchoRequest => "echo-request", "RFC1122/3.2.2.6", "Our application asks for an echo.";
        EchoReply => "echo-reply", "1122-3.2.2.6-1", "The answer to an echo request.";
        IcmpError => "ICMP-error", "1122-3.2.2.1", "Something that has come could not be handled: its sender is told.";
        GroupReport => "group-report", "3376-5.2", "Routers are told which groups have members here.";
        Datagram => "datagram", "RFC768/1", "A datagram of a socket.";
        Fragment => "fragment", "791-3.2-2", "A piece of a datagram that is longer than a packet may be.";
        Packet => "packet", "local", "Something else.";
    }
}

/// Why a packet leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It is a segment.
    Segment(Why),
    /// It is none.
    Other(Other),
}

impl Reason {
    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Reason::Segment(why) => why.word(),
            Reason::Other(other) => other.word(),
        }
    }

    /// The rule behind it.
    pub const fn rule(self) -> &'static str {
        match self {
            Reason::Segment(why) => why.rule(),
            Reason::Other(other) => other.rule(),
        }
    }
}

/// The rule by which something is dropped, as far as the reason alone tells it; [`drop_rule`] knows more of segments.
pub const fn rule_of_drop(reason: DropReason) -> &'static str {
    use DropReason as D;
    match reason {
        D::IpTruncated | D::IpLength => "791-3.1-1",
        D::IpVersion => "1122-3.2.1.1",
        D::IpHeaderLength => "791-3.1-2",
        D::IpChecksum => "1122-3.2.1.2",
        D::IpSource | D::IpOwnSource => "1122-3.2.1.3-3",
        D::NotOurs => "1122-3.2.1.3-2",
        D::Fragment | D::FragmentMemory => "791-3.2-3",
        D::FragmentTiny => "1858-3",
        D::FragmentOverlap => "5722-4-1",
        D::FragmentDuplicate => "815-3",
        D::FragmentMarks => "3168-5.3",
        D::ExtensionHeader => "8200-4-1",
        D::ExtensionRefused => "8200-4.2",
        D::IpOption => "1122-3.2.1.8",
        D::SourceRoute => "9293-MUST-51",
        D::UnknownProtocol => "1122-3.2.2.1",
        D::IgmpMalformed => "RFC3376/4",
        D::IgmpChecksum => "3376-4.1.2",
        D::IgmpIgnored => "3376-9.1",
        D::IcmpMalformed | D::IcmpUnmatched => "1122-3.2.2-4",
        D::IcmpChecksum => "4443-2.3",
        D::IcmpIgnored => "1122-3.2.2-1",
        D::IcmpTooBigRefused => "5927-7.2",
        D::IcmpRateLimited => "1812-4.3.2.8",
        D::UdpLength => "768-1",
        D::UdpChecksum => "1122-4.1.3.4-1",
        D::UdpNoSocket => "1122-4.1.3.1",
        D::TcpHeader => "9293-3.1-2",
        D::TcpOption => "9293-MUST-7",
        D::TcpChecksum => "9293-MUST-3",
        D::TcpPortZero => "RFC6335/6",
        D::TcpNotUnicast => "9293-MUST-57",
        D::TcpNobody => "9293-3.10.7.1-2",
        D::TcpListenIgnored => "9293-3.10.7.2-6",
        D::TcpSynQueueFull | D::TcpAcceptQueueFull => "4987-3.2",
        D::TcpBadCookie => "4987-3.6",
        D::TcpTableFull => "9293-3.10.1-3",
        D::TcpOutOfWindow => "9293-3.10.7.4-6",
        D::TcpPaws => "7323-5.3-1",
        D::TcpNoTimestamp => "7323-3.2-2",
        D::TcpResetRefused => "9293-3.10.7.4-10",
        D::TcpSynRefused => "9293-3.10.7.4-19",
        D::TcpNoAck => "9293-3.10.7.4-21",
        D::TcpAckRange => "9293-3.10.7.4-27",
        D::TcpNotSyn => "9293-3.10.7.3-9",
        D::TcpAfterClose => "9293-SHLD-3",
        D::TcpOutOfOrderFull => "9293-SHLD-31",
        D::TcpNoMemory => "9293-3.10.7.4-36",
        D::TcpTimeWait => "9293-3.10.7.4-6",
        D::NoIdentification => "6864-4.3",
        D::Unclaimed | D::SiblingBusy | D::UdpQueueFull | D::UdpNoMemory | D::TcpSynUndecided | D::ReplyLimited => {
            "local"
        }
    }
}

/// What of a segment decides by which rule it is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The state that it found.
    pub state: State,
    /// The variables by which segments are accepted, where there is a connection.
    pub space: Option<Space>,
    /// SEG.SEQ.
    pub seq: SeqNumber,
    /// SEG.LEN: octets of sequence space.
    pub len: u32,
    /// SEG.ACK, where it has one.
    pub ack: Option<SeqNumber>,
    /// SYN.
    pub syn: bool,
    /// RST.
    pub rst: bool,
}

/// The rule by which a segment is dropped.
pub fn drop_rule(reason: DropReason, asked: &Asked) -> &'static str {
    let Asked { state, space, ack, rst, .. } = *asked;
    match reason {
        DropReason::TcpNobody if rst => "9293-3.10.7.1-1",
        DropReason::TcpNobody if ack.is_some() => "9293-3.10.7.1-3",
        DropReason::TcpListenIgnored if rst => "9293-3.10.7.2-1",
        DropReason::TcpListenIgnored if ack.is_some() => "9293-3.10.7.2-2",
        DropReason::TcpResetRefused if state == State::SynSent => "9293-3.10.7.3-4",
        DropReason::TcpResetRefused => match space.map(|space| acceptance::reset(&space, asked.seq)) {
            Some(ResetAction::Challenge) => "9293-3.10.7.4-12",
            _ => "9293-3.10.7.4-10",
        },
        DropReason::TcpSynRefused if state == State::SynReceived => "9293-3.10.7.4-18",
        // By a setting of ours.
        DropReason::TcpSynRefused if matches!(state, State::Listen | State::SynSent) => "local",
        DropReason::TcpAckRange => match (state, space, ack) {
            (State::SynSent, ..) => "9293-3.10.7.3-1",
            (State::SynReceived, ..) => "9293-3.10.7.4-23",
            (_, Some(space), Some(ack)) if !ack.gt(space.nxt) => "9293-3.10.7.4-25",
            _ => "9293-3.10.7.4-27",
        },
        DropReason::TcpTimeWait if rst => "1337-F1",
        DropReason::TcpTimeWait if asked.syn => "6191-2-3",
        _ => rule_of_drop(reason),
    }
}

/// The rule of the first step by which a segment was accepted, where its state has one.
pub fn acceptance_rule(asked: &Asked) -> Option<&'static str> {
    let space = asked.space.filter(|_| !matches!(asked.state, State::SynSent | State::Listen | State::Closed))?;
    if asked.rst {
        return Some("9293-3.5.3-1");
    }
    Some(match acceptance::sequence(&space, asked.seq, asked.len) {
        Acceptance::Whole => match (asked.len, space.rcv_wnd) {
            (0, 0) => "9293-3.10.7.4-1",
            (0, _) => "9293-3.10.7.4-2",
            _ => "9293-3.10.7.4-4",
        },
        Acceptance::ControlOnly if space.rcv_wnd == 0 && asked.seq == space.rcv_nxt => "9293-3.10.7.4-5",
        Acceptance::ControlOnly => "9293-3.10.7.4-9",
        Acceptance::No => "9293-3.10.7.4-6",
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// Every rule that can be said.
    fn rules() -> Vec<&'static str> {
        let mut rules: Vec<_> = Act::ALL.iter().map(|act| act.rule()).collect();
        rules.extend(Why::ALL.iter().map(|why| why.rule()));
        rules.extend(Other::ALL.iter().map(|other| other.rule()));
        rules.extend(DropReason::ALL.iter().map(|&reason| rule_of_drop(reason)));
        let space = |rcv_wnd| Space { una: SeqNumber(0), nxt: SeqNumber(9), rcv_nxt: SeqNumber(5), rcv_wnd };
        for &reason in DropReason::ALL {
            for state in State::ALL {
                for bits in 0..64 {
                    let ack = (bits & 1 != 0).then_some(SeqNumber(if bits & 2 != 0 { 10 } else { 3 }));
                    let (seq, len) = (SeqNumber(5 + bits / 16), bits / 32);
                    let (syn, rst) = (bits & 4 != 0, bits & 8 != 0);
                    let asked = Asked { state, space: Some(space(bits % 3)), seq, len, ack, syn, rst };
                    rules.push(drop_rule(reason, &asked));
                    rules.extend(acceptance_rule(&asked));
                }
            }
        }
        rules
    }

    #[test]
    fn every_rule_is_a_row_of_the_requirements_or_names_a_section() {
        let table = include_str!("../../docs/requirements.csv");
        let rows: HashSet<_> = table.lines().filter_map(|line| line.split(',').next()).collect();
        for rule in rules() {
            let section = rule.strip_prefix("RFC").and_then(|rest| rest.split_once('/'));
            let named = section.is_some_and(|(number, section)| {
                number.parse::<u32>().is_ok() && section.starts_with(|c: char| c.is_ascii_digit())
            });
            assert!(rows.contains(rule) || named || rule == "local", "{rule} is neither");
        }
    }

    #[test]
    fn words_are_for_filters() {
        let all = |words: Vec<&'static str>| {
            assert!(words.iter().all(|word| !word.contains([' ', '=', ',', ':', '"'])), "{words:?}");
            assert_eq!(words.iter().collect::<HashSet<_>>().len(), words.len(), "one word for two things: {words:?}");
        };
        all(Act::ALL.iter().map(|act| act.word()).collect());
        all(Why::ALL.iter().map(|why| why.word()).chain(Other::ALL.iter().map(|other| other.word())).collect());
    }

    #[test]
    fn the_rule_of_a_drop_depends_on_what_it_met() {
        let space = Space { una: SeqNumber(100), nxt: SeqNumber(200), rcv_nxt: SeqNumber(1_000), rcv_wnd: 500 };
        let asked = |state, seq, ack: u32, rst| Asked {
            state,
            space: Some(space),
            seq: SeqNumber(seq),
            len: 0,
            ack: Some(SeqNumber(ack)),
            syn: false,
            rst,
        };
        let open = |seq, ack, rst| asked(State::Established, seq, ack, rst);
        assert_eq!(drop_rule(DropReason::TcpResetRefused, &open(1_001, 100, true)), "9293-3.10.7.4-12");
        assert_eq!(drop_rule(DropReason::TcpResetRefused, &open(1_500, 100, true)), "9293-3.10.7.4-10");
        assert_eq!(drop_rule(DropReason::TcpAckRange, &open(1_000, 201, false)), "9293-3.10.7.4-27");
        assert_eq!(drop_rule(DropReason::TcpAckRange, &open(1_000, 99, false)), "9293-3.10.7.4-25");
        let early = asked(State::SynReceived, 1_000, 99, false);
        assert_eq!(drop_rule(DropReason::TcpAckRange, &early), "9293-3.10.7.4-23");
        assert_eq!(acceptance_rule(&open(1_000, 100, false)), Some("9293-3.10.7.4-2"));
        assert_eq!(acceptance_rule(&open(1_500, 100, false)), Some("9293-3.10.7.4-9"));
        assert_eq!(acceptance_rule(&asked(State::SynSent, 0, 1, false)), None);
    }
}
