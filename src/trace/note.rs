//! [`Note`]: what is said of one packet, as the comment of a capture.
//!
//! A note is a row of words in a fixed order, most of them `key=value`, so that `frame.comment contains "reason=RACK"` finds
//! in Wireshark what it says. docs/wireshark.md has the list. What is not known is `-`.

use std::fmt;
use std::time::Duration;

use super::annotate::{Act, Other, Reason, Why};
use crate::counters::DropReason;
use crate::tcp::config::TcpConfig;
use crate::tcp::connection::Connection;
use crate::tcp::half_open::HalfOpen;
use crate::tcp::plan::Plan;
use crate::tcp::state::State;
use crate::wire::tcp::Flags;

/// What is said of one packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// It was received.
    Received(Received),
    /// It is sent.
    Sent(Sent),
}

/// What became of a received packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// Why it was dropped, if it was.
    pub dropped: Option<DropReason>,
    /// The rules that decided: first the one by which it was accepted or dropped.
    pub rules: Vec<&'static str>,
    /// The state before and after, of whomever the segment was for.
    pub states: Option<(State, State)>,
    /// What it has done, in order.
    pub acts: Vec<Done>,
    /// The connection behind it.
    pub numbers: Option<Numbers>,
}

/// Something that a packet has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Done {
    /// What.
    pub act: Act,
    /// How much, or for which reason.
    pub detail: Detail,
}

/// How much, or why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// There is no more to say.
    None,
    /// So many octets.
    Octets(u64),
    /// For this reason.
    Because(Reason),
}

/// Why a packet leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Why.
    pub reason: Reason,
    /// The state.
    pub state: Option<State>,
    /// The connection before it.
    pub numbers: Option<Numbers>,
    /// Octets of text.
    len: u32,
    /// SYN and FIN in it.
    control: u32,
    /// Octets of sequence space from its beginning to SND.NXT: 0 for what is new.
    behind: u32,
}

/// The variables of a connection, in octets; sequence numbers count from ISS and IRS, as Wireshark shows them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Numbers {
    /// SND.UNA.
    pub una: Option<u32>,
    /// SND.NXT.
    pub nxt: Option<u32>,
    /// SND.WND.
    pub wnd: Option<u32>,
    /// cwnd.
    pub cwnd: Option<u32>,
    /// ssthresh; `u32::MAX` before the first loss.
    pub ssthresh: Option<u32>,
    /// The smoothed round-trip time.
    pub srtt: Option<Duration>,
    /// The retransmission timeout, backoff included.
    pub rto: Option<Duration>,
    /// What is thought to be in the network.
    pub in_flight: Option<u32>,
    /// RCV.NXT.
    pub rcv_nxt: Option<u32>,
    /// RCV.WND.
    pub rcv_wnd: Option<u32>,
}

/// Of a piece of a datagram.
pub static FRAGMENT: Note = Note::Sent(Sent::alone(Reason::Other(Other::Fragment), None, None));
/// Of a datagram of a socket.
pub static DATAGRAM: Note = Note::Sent(Sent::alone(Reason::Other(Other::Datagram), None, None));

impl Numbers {
    /// Those of a connection.
    pub fn of(connection: &Connection, config: &TcpConfig) -> Numbers {
        let (snd, rcv, controller) = (&connection.snd, &connection.rcv, connection.congestion.get());
        // Before the peer's SYN there is no IRS.
        let known = !matches!(connection.state(), State::SynSent);
        Numbers {
            una: Some(snd.una.since(snd.iss)),
            nxt: Some(snd.nxt.since(snd.iss)),
            wnd: Some(snd.wnd),
            cwnd: Some(controller.window()).filter(|&window| window > 0),
            ssthresh: Some(controller.slow_start_threshold()),
            srtt: connection.rtt.srtt(),
            rto: Some(connection.rto(config).duration()),
            in_flight: Some(connection.in_flight()),
            rcv_nxt: known.then(|| rcv.nxt.since(rcv.irs)),
            rcv_wnd: Some(rcv.wnd()),
        }
    }

    /// Those of a half-open record.
    pub fn of_half_open(record: &HalfOpen) -> Numbers {
        let (una, nxt, rcv_nxt) = (Some(0), Some(1), Some(1));
        Numbers { una, nxt, rcv_nxt, rcv_wnd: Some(u32::from(record.offered)), ..Numbers::default() }
    }
}

impl Sent {
    /// A planned segment of a connection, before it is committed.
    pub fn segment(connection: &Connection, plan: &Plan, config: &TcpConfig) -> Sent {
        let control = |flag| u32::from(plan.flags.contains(flag));
        Sent {
            reason: Reason::Segment(Why::of(connection, plan)),
            state: Some(connection.state()),
            numbers: Some(Numbers::of(connection, config)),
            len: plan.len,
            control: control(Flags::SYN) + control(Flags::FIN),
            behind: connection.snd.nxt.saturating_since(plan.seq),
        }
    }

    /// What belongs to no connection.
    pub const fn alone(reason: Reason, state: Option<State>, numbers: Option<Numbers>) -> Sent {
        Sent { reason, state, numbers, len: 0, control: 0, behind: 0 }
    }

    /// The numbers once the piece that ends at this octet of the text has left; the last one takes SYN and FIN along.
    fn numbers_after(&self, end: u32, last: bool) -> Option<Numbers> {
        let mut numbers = self.numbers?;
        let end = if last { self.len + self.control } else { end.min(self.len) };
        let beyond = end.saturating_sub(self.behind);
        numbers.nxt = numbers.nxt.map(|nxt| nxt.wrapping_add(beyond));
        numbers.in_flight = numbers.in_flight.map(|octets| octets.saturating_add(end));
        Some(numbers)
    }
}

impl Received {
    /// Of a packet that was accepted, or dropped for this reason.
    pub fn new(dropped: Option<DropReason>) -> Received {
        Received { dropped, rules: Vec::new(), states: None, acts: Vec::new(), numbers: None }
    }

    /// It has done this, too.
    pub fn did(&mut self, act: Act, detail: Detail) {
        self.acts.push(Done { act, detail });
    }

    /// Notes the rule of whatever it has done.
    pub fn add_rules_of_acts(&mut self) {
        for Done { act, detail } in self.acts.clone() {
            self.add_rule(match detail {
                Detail::Because(reason) => reason.rule(),
                Detail::None | Detail::Octets(_) => act.rule(),
            });
        }
    }

    /// Notes a rule, once.
    pub fn add_rule(&mut self, rule: &'static str) {
        if !self.rules.contains(&rule) {
            self.rules.push(rule);
        }
    }
}

impl Note {
    /// The note for a piece of a super-segment that was cut: which octets of its text it has.
    pub fn piece(&self, start: usize, len: usize, last: bool) -> Piece<'_> {
        Piece { note: self, end: u32::try_from(start + len).unwrap_or(u32::MAX), last }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.piece(0, 0, true).fmt(f)
    }
}

/// See [`Note::piece`].
#[derive(Clone, Copy, Debug)]
pub struct Piece<'a> {
    note: &'a Note,
    end: u32,
    last: bool,
}

impl fmt::Display for Piece<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.note {
            Note::Received(received) => received.fmt(f),
            Note::Sent(sent) => {
                write!(f, "sent reason={} rule={}", sent.reason.word(), sent.reason.rule())?;
                if let Some(state) = sent.state {
                    write!(f, " state={state}")?;
                }
                sent.numbers_after(self.end, self.last).map_or(Ok(()), |numbers| write!(f, " {numbers}"))
            }
        }
    }
}

impl fmt::Display for Received {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.dropped {
            None => f.write_str("received verdict=accepted")?,
            Some(DropReason::Unclaimed) => f.write_str("received verdict=handed-over")?,
            Some(reason) => {
                f.write_str("received verdict=dropped drop=")?;
                // One word for a filter, from the words that the counters have for it.
                let words = reason.as_str().split(|c: char| !c.is_ascii_alphanumeric() && c != '.');
                list(f, '-', words.filter(|word| !word.is_empty()))?;
            }
        }
        f.write_str(" rule=")?;
        list(f, ',', self.rules.iter())?;
        if let Some((before, after)) = self.states {
            write!(f, " state={before}->{after}")?;
        }
        f.write_str(" did=")?;
        list(f, ',', self.acts.iter())?;
        self.numbers.map_or(Ok(()), |numbers| write!(f, " {numbers}"))
    }
}

/// The members of a list, or a dash for none.
fn list(f: &mut fmt::Formatter<'_>, between: char, members: impl Iterator<Item = impl fmt::Display>) -> fmt::Result {
    let mut any = false;
    for member in members {
        if any {
            write!(f, "{between}")?;
        }
        write!(f, "{member}")?;
        any = true;
    }
    if any { Ok(()) } else { f.write_str("-") }
}

impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.act.word())?;
        match self.detail {
            Detail::None => Ok(()),
            Detail::Octets(octets) => write!(f, ":{octets}"),
            Detail::Because(reason) => write!(f, ":{}", reason.word()),
        }
    }
}

impl fmt::Display for Numbers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let octets = |f: &mut fmt::Formatter<'_>, key: &str, value: Option<u32>| match value {
            Some(value) => write!(f, "{key}={value} "),
            None => write!(f, "{key}=- "),
        };
        octets(f, "una", self.una)?;
        octets(f, "nxt", self.nxt)?;
        octets(f, "wnd", self.wnd)?;
        octets(f, "cwnd", self.cwnd)?;
        match self.ssthresh {
            Some(u32::MAX) => f.write_str("ssthresh=inf ")?,
            ssthresh => octets(f, "ssthresh", ssthresh)?,
        }
        time(f, "srtt", self.srtt)?;
        time(f, "rto", self.rto)?;
        octets(f, "in-flight", self.in_flight)?;
        octets(f, "rcv-nxt", self.rcv_nxt)?;
        match self.rcv_wnd {
            Some(window) => write!(f, "rcv-wnd={window}"),
            None => f.write_str("rcv-wnd=-"),
        }
    }
}

/// In milliseconds, to the microsecond.
fn time(f: &mut fmt::Formatter<'_>, key: &str, value: Option<Duration>) -> fmt::Result {
    let Some(value) = value else { return write!(f, "{key}=- ") };
    let micros = value.as_micros();
    write!(f, "{key}={}.{:03}ms ", micros / 1_000, micros % 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers() -> Numbers {
        Numbers {
            una: Some(1),
            nxt: Some(2_001),
            wnd: Some(65_535),
            cwnd: Some(14_480),
            ssthresh: Some(u32::MAX),
            srtt: Some(Duration::from_micros(20_007)),
            rto: Some(Duration::from_millis(220)),
            in_flight: Some(2_000),
            rcv_nxt: Some(1),
            rcv_wnd: None,
        }
    }

    #[test]
    fn the_pieces_of_a_super_segment_count_up() {
        let reason = Reason::Segment(Why::NewData);
        let sent = Sent { len: 3_000, control: 1, ..Sent::alone(reason, Some(State::FinWait1), Some(numbers())) };
        let note = Note::Sent(sent);
        let said = |start, len, last| note.piece(start, len, last).to_string();
        let text = |nxt, in_flight| {
            format!(
                "sent reason=new-data rule=9293-3.10.2-4 state=FIN-WAIT-1 una=1 nxt={nxt} wnd=65535 cwnd=14480 ssthresh=inf \
                 srtt=20.007ms rto=220.000ms in-flight={in_flight} rcv-nxt=1 rcv-wnd=-"
            )
        };
        assert_eq!(said(0, 1_460, false), text(3_461, 3_460));
        assert_eq!(said(2_920, 80, true), text(5_002, 5_001));
        assert_eq!(note.to_string(), text(5_002, 5_001));
        // What is sent again moves SND.NXT only as far as it goes beyond it.
        let again = Note::Sent(Sent { behind: 2_000, ..sent });
        assert!(again.piece(0, 1_460, false).to_string().contains(" nxt=2001 "));
        assert!(again.to_string().contains(" nxt=3002 "));
    }

    #[test]
    fn what_is_not_known_is_a_dash_and_what_does_not_apply_is_not_there() {
        let mut received = Received::new(Some(DropReason::TcpPaws));
        received.add_rule("7323-5.3-1");
        received.states = Some((State::Established, State::Established));
        received.numbers = Some(Numbers { una: Some(5), ..Numbers::default() });
        assert_eq!(
            Note::Received(received).to_string(),
            "received verdict=dropped drop=old-timestamp-PAWS rule=7323-5.3-1 state=ESTABLISHED->ESTABLISHED did=- una=5 nxt=- \
             wnd=- cwnd=- ssthresh=- srtt=- rto=- in-flight=- rcv-nxt=- rcv-wnd=-"
        );
        let sent = Note::Sent(Sent::alone(Reason::Other(Other::Datagram), None, None));
        assert_eq!(sent.to_string(), "sent reason=datagram rule=RFC768/1");
    }

    #[test]
    fn acts_and_their_rules_stand_once_and_in_order() {
        let mut received = Received::new(None);
        received.add_rule("9293-3.10.7.4-4");
        received.did(Act::Acknowledged, Detail::Octets(1_460));
        received.did(Act::OutOfOrder, Detail::Octets(10));
        received.did(Act::AckNow, Detail::Because(Reason::Segment(Why::DuplicateAck)));
        received.did(Act::Answered, Detail::Because(Reason::Segment(Why::DuplicateAck)));
        received.add_rules_of_acts();
        assert_eq!(
            received.to_string(),
            "received verdict=accepted rule=9293-3.10.7.4-4,9293-3.10.7.4-24,9293-SHLD-31,5681-3.2-1 \
             did=acked:1460,out-of-order:10,owes-ACK:duplicate-ACK,answered:duplicate-ACK"
        );
    }
}
