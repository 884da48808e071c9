//! The state machine of RFC 9293 section 3.3.2: eleven names, and one table that says how they change.
//!
//! Nothing else in the crate changes a state: every change is [`transition`]`(from, cause)`. The four tables of the stack
//! (listeners, half-open records, connections, TIME-WAIT records) hold the data; a state is only its name. The diagram in
//! `docs/state-machine.md` is printed from [`TRANSITIONS`] and a test compares the two.

use std::fmt;

/// The state of a connection, by its name in RFC 9293 section 3.3.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum State {
    /// No connection.
    Closed,
    /// Waiting for a connection request from any remote host.
    Listen,
    /// Waiting for a matching request after having sent one.
    SynSent,
    /// Waiting for the acknowledgment of our request, having received and sent one.
    SynReceived,
    /// Open: data received can be delivered, data can be sent.
    Established,
    /// We have closed: waiting for the peer's close or the acknowledgment of ours.
    FinWait1,
    /// Our close is acknowledged: waiting for the peer's.
    FinWait2,
    /// The peer has closed: waiting for our application to close.
    CloseWait,
    /// Both have closed at once: waiting for the acknowledgment of our close.
    Closing,
    /// We have closed after the peer: waiting for the acknowledgment of our close.
    LastAck,
    /// Waiting twice the maximum segment lifetime, so that old segments die out.
    TimeWait,
}

use State::{
    CloseWait, Closed, Closing, Established, FinWait1, FinWait2, LastAck, Listen, SynReceived, SynSent, TimeWait,
};

impl State {
    /// All states, in the order of RFC 9293's list.
    pub const ALL: [State; 11] =
        [Listen, SynSent, SynReceived, Established, FinWait1, FinWait2, CloseWait, Closing, LastAck, TimeWait, Closed];

    /// The name as the RFC writes it.
    pub const fn name(self) -> &'static str {
        match self {
            Closed => "CLOSED",
            Listen => "LISTEN",
            SynSent => "SYN-SENT",
            SynReceived => "SYN-RECEIVED",
            Established => "ESTABLISHED",
            FinWait1 => "FIN-WAIT-1",
            FinWait2 => "FIN-WAIT-2",
            CloseWait => "CLOSE-WAIT",
            Closing => "CLOSING",
            LastAck => "LAST-ACK",
            TimeWait => "TIME-WAIT",
        }
    }

    /// Both sides know each other's initial sequence numbers (ESTABLISHED and all states after it).
    pub const fn is_synchronized(self) -> bool {
        !matches!(self, Closed | Listen | SynSent | SynReceived)
    }

    /// The peer may still send us text: it has not closed as far as we know.
    pub const fn receives_text(self) -> bool {
        matches!(self, Established | FinWait1 | FinWait2)
    }

    /// Our application may still send, once the connection is open.
    pub const fn may_send(self) -> bool {
        matches!(self, SynSent | SynReceived | Established | CloseWait)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What makes a state change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Cause {
    /// The application listens.
    PassiveOpen,
    /// The application connects.
    ActiveOpen,
    /// The application closes its sending side (CLOSE of the RFC, `shutdown(Write)` of sockets).
    Close,
    /// The application aborts.
    Abort,
    /// A SYN arrived.
    Syn,
    /// A SYN arrived together with an acceptable ACK of ours.
    SynAck,
    /// Our SYN was acknowledged.
    SynAcknowledged,
    /// The peer's FIN arrived and everything before it was received.
    Fin,
    /// Our FIN was acknowledged.
    FinAcknowledged,
    /// An acceptable RST arrived.
    Reset,
    /// The peer did not answer for too long.
    UserTimeout,
    /// 2 MSL have passed in TIME-WAIT.
    TimeWaitTimeout,
}

impl Cause {
    /// All causes.
    pub const ALL: [Cause; 12] = [
        Cause::PassiveOpen,
        Cause::ActiveOpen,
        Cause::Close,
        Cause::Abort,
        Cause::Syn,
        Cause::SynAck,
        Cause::SynAcknowledged,
        Cause::Fin,
        Cause::FinAcknowledged,
        Cause::Reset,
        Cause::UserTimeout,
        Cause::TimeWaitTimeout,
    ];

    /// The cause in the words of the diagram.
    pub const fn label(self) -> &'static str {
        match self {
            Cause::PassiveOpen => "passive OPEN",
            Cause::ActiveOpen => "active OPEN",
            Cause::Close => "CLOSE",
            Cause::Abort => "ABORT",
            Cause::Syn => "rcv SYN",
            Cause::SynAck => "rcv SYN,ACK",
            Cause::SynAcknowledged => "rcv ACK of SYN",
            Cause::Fin => "rcv FIN",
            Cause::FinAcknowledged => "rcv ACK of FIN",
            Cause::Reset => "rcv RST",
            Cause::UserTimeout => "user timeout",
            Cause::TimeWaitTimeout => "2 MSL timeout",
        }
    }
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Transition {
    /// The state before.
    pub from: State,
    /// What happened.
    pub cause: Cause,
    /// The state after; equal to `from` where the RFC says that the state remains.
    pub to: State,
    /// The section of RFC 9293 (or another RFC, where it says so) that orders it.
    pub section: &'static str,
}

const fn row(from: State, cause: Cause, to: State, section: &'static str) -> Transition {
    Transition { from, cause, to, section }
}

/// The state machine. What has no row does not happen: [`transition`] answers `None` and nothing changes.
///
/// A half-open record of a listener is in SYN-RECEIVED and has the listener behind it: a reset of it, or a SYN in its
/// window, ends the record while the listener stays in LISTEN. Its row says CLOSED, which is what becomes of the record.
pub const TRANSITIONS: &[Transition] = &[
    row(Closed, Cause::PassiveOpen, Listen, "3.10.1"),
    row(Closed, Cause::ActiveOpen, SynSent, "3.10.1"),
    row(Listen, Cause::ActiveOpen, SynSent, "3.10.1"),
    row(Listen, Cause::Syn, SynReceived, "3.10.7.2"),
    row(Listen, Cause::Close, Closed, "3.10.4"),
    row(Listen, Cause::Abort, Closed, "3.10.5"),
    row(SynSent, Cause::Syn, SynReceived, "3.10.7.3"),
    row(SynSent, Cause::SynAck, Established, "3.10.7.3"),
    row(SynSent, Cause::Reset, Closed, "3.10.7.3"),
    row(SynSent, Cause::Close, Closed, "3.10.4"),
    row(SynSent, Cause::Abort, Closed, "3.10.5"),
    row(SynSent, Cause::UserTimeout, Closed, "3.10.8"),
    row(SynReceived, Cause::SynAcknowledged, Established, "3.10.7.4"),
    row(SynReceived, Cause::Syn, Closed, "3.10.7.4"),
    row(SynReceived, Cause::Reset, Closed, "3.10.7.4"),
    row(SynReceived, Cause::Close, FinWait1, "3.10.4"),
    row(SynReceived, Cause::Abort, Closed, "3.10.5"),
    row(SynReceived, Cause::UserTimeout, Closed, "3.10.8"),
    row(Established, Cause::Fin, CloseWait, "3.10.7.4"),
    row(Established, Cause::Close, FinWait1, "3.10.4"),
    row(Established, Cause::Reset, Closed, "3.10.7.4"),
    row(Established, Cause::Abort, Closed, "3.10.5"),
    row(Established, Cause::UserTimeout, Closed, "3.10.8"),
    row(FinWait1, Cause::FinAcknowledged, FinWait2, "3.10.7.4"),
    row(FinWait1, Cause::Fin, Closing, "3.10.7.4"),
    row(FinWait1, Cause::Close, FinWait1, "3.10.4"),
    row(FinWait1, Cause::Reset, Closed, "3.10.7.4"),
    row(FinWait1, Cause::Abort, Closed, "3.10.5"),
    row(FinWait1, Cause::UserTimeout, Closed, "3.10.8"),
    row(FinWait2, Cause::Fin, TimeWait, "3.10.7.4"),
    row(FinWait2, Cause::Close, FinWait2, "3.10.4"),
    row(FinWait2, Cause::Reset, Closed, "3.10.7.4"),
    row(FinWait2, Cause::Abort, Closed, "3.10.5"),
    row(FinWait2, Cause::UserTimeout, Closed, "3.10.8"),
    row(CloseWait, Cause::Close, LastAck, "3.10.4"),
    row(CloseWait, Cause::Fin, CloseWait, "3.10.7.4"),
    row(CloseWait, Cause::Reset, Closed, "3.10.7.4"),
    row(CloseWait, Cause::Abort, Closed, "3.10.5"),
    row(CloseWait, Cause::UserTimeout, Closed, "3.10.8"),
    row(Closing, Cause::FinAcknowledged, TimeWait, "3.10.7.4"),
    row(Closing, Cause::Fin, Closing, "3.10.7.4"),
    row(Closing, Cause::Close, Closing, "3.10.4"),
    row(Closing, Cause::Reset, Closed, "3.10.7.4"),
    row(Closing, Cause::Abort, Closed, "3.10.5"),
    row(Closing, Cause::UserTimeout, Closed, "3.10.8"),
    row(LastAck, Cause::FinAcknowledged, Closed, "3.10.7.4"),
    row(LastAck, Cause::Fin, LastAck, "3.10.7.4"),
    row(LastAck, Cause::Close, LastAck, "3.10.4"),
    row(LastAck, Cause::Reset, Closed, "3.10.7.4"),
    row(LastAck, Cause::Abort, Closed, "3.10.5"),
    row(LastAck, Cause::UserTimeout, Closed, "3.10.8"),
    row(TimeWait, Cause::Syn, SynReceived, "RFC 6191"),
    row(TimeWait, Cause::Fin, TimeWait, "3.10.7.4"),
    row(TimeWait, Cause::Close, TimeWait, "3.10.4"),
    row(TimeWait, Cause::Reset, TimeWait, "RFC 1337"),
    row(TimeWait, Cause::Abort, Closed, "3.10.5"),
    row(TimeWait, Cause::TimeWaitTimeout, Closed, "3.10.8"),
];

/// The state after `cause` in state `from`, or `None` where that cause means nothing there.
pub fn transition(from: State, cause: Cause) -> Option<State> {
    TRANSITIONS.iter().find(|row| row.from == from && row.cause == cause).map(|row| row.to)
}

/// The table as a Mermaid state diagram, for `docs/state-machine.md`.
pub fn diagram() -> String {
    let id = |state: State| state.name().replace('-', "_");
    let mut text = String::from("stateDiagram-v2\n    [*] --> CLOSED\n");
    for state in State::ALL {
        if state.name().contains('-') {
            text.push_str(&format!("    {} : {}\n", id(state), state.name()));
        }
    }
    for row in TRANSITIONS.iter().filter(|row| row.from != row.to) {
        text.push_str(&format!("    {} --> {} : {} ({})\n", id(row.from), id(row.to), row.cause.label(), row.section));
    }
    text
}

/// The table as rows of Markdown, for `docs/state-machine.md`.
pub fn markdown_table() -> String {
    let mut text = String::from("| from | cause | to | section |\n|---|---|---|---|\n");
    for row in TRANSITIONS {
        text.push_str(&format!("| {} | {} | {} | {} |\n", row.from, row.cause.label(), row.to, row.section));
    }
    text
}
