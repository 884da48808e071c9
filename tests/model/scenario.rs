//! What may happen in a world: who opens, what the applications may call, how many faults the link has.

use glasstcp::tcp::config::TcpConfig;

/// How a side opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It may connect, at any time.
    Active,
    /// It listens from the start.
    Passive,
    /// It never opens: whoever connects to it is refused.
    Absent,
}

/// What an active side knows of its peer's cookies (RFC 7413).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cookie {
    /// It does not open by Fast Open.
    Unused,
    /// None: its SYN asks for one.
    Asked,
    /// One: its SYN carries it, and the first octet.
    Known,
    /// One that is not good any more: the SYN-ACK acknowledges the SYN only.
    Refused,
}

/// What an application may call.
pub mod call {
    /// One octet, and another.
    pub const SEND: u8 = 1;
    /// `shutdown(Write)`.
    pub const HALF_CLOSE: u8 = 2;
    /// Letting go, at any time.
    pub const CLOSE: u8 = 4;
    /// Letting go after the end of the peer's stream was read.
    pub const CLOSE_AT_END: u8 = 8;
    /// Aborting, at any time.
    pub const ABORT: u8 = 16;
    /// An octet and the close before the stack has its turn.
    pub const AT_ONCE: u8 = 32;
    /// Closing the listener.
    pub const STOP_LISTENING: u8 = 64;
}

/// What the link may do.
pub mod fault {
    /// Lose a packet.
    pub const LOSE: u8 = 1;
    /// Hold a packet up for as long as it lives.
    pub const DELAY: u8 = 2;
    /// Deliver a packet and hold up a copy of it.
    pub const DUPLICATE: u8 = 4;
    /// Deliver all that is on its way at once. That is no fault.
    pub const BATCH: u8 = 8;
    /// All of them.
    pub const ALL: u8 = 15;
}

/// See the module's text.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// For the reader.
    pub name: &'static str,
    /// How A and B open.
    pub roles: [Role; 2],
    /// How often an active side may connect.
    pub opens: u8,
    /// How many octets each may send on a connection.
    pub octets: [u8; 2],
    /// What each application may call.
    pub calls: [u8; 2],
    /// Readers read as soon as there is something; otherwise at any time.
    pub eager: bool,
    /// Faults of the link, in all.
    pub faults: u8,
    /// Their kinds.
    pub faults_of: u8,
    /// How each side opens by Fast Open; listeners take it where any does.
    pub cookies: [Cookie; 2],
    /// The SYN of this side carries its FIN as well: it never sends anything. Our own stack sends no such SYN, but a peer may.
    pub fin_on_syn: [bool; 2],
    /// Settings of both stacks.
    pub change: fn(&mut TcpConfig),
}

/// What the scenarios are variations of.
pub const PLAIN: Scenario = Scenario {
    name: "",
    roles: [Role::Active, Role::Passive],
    opens: 1,
    octets: [0, 0],
    calls: [0, 0],
    eager: true,
    faults: 1,
    faults_of: fault::ALL,
    cookies: [Cookie::Unused; 2],
    fin_on_syn: [false; 2],
    change: |_| {},
};
