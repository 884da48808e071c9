//! The subset of the packetdrill language that our scripts use: what a script says. `parser` reads it.

/// A script.
#[derive(Debug)]
pub struct Script {
    /// The settings at its head: name and value.
    pub options: Vec<(String, String)>,
    /// What happens, in order.
    pub events: Vec<Event>,
}

/// One line of a script.
#[derive(Clone, Debug)]
pub struct Event {
    /// Counted from 1.
    pub line: usize,
    /// When.
    pub time: When,
    /// What.
    pub action: Action,
}

/// When an event happens, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum When {
    /// `*`
    Any,
    /// From the start of the script.
    At(i64),
    /// From the event before.
    After(i64),
    /// Anywhere in a range from the start of the script.
    Between(i64, i64),
    /// Anywhere in a range from the event before.
    AfterBetween(i64, i64),
}

/// What happens.
#[derive(Clone, Debug)]
pub enum Action {
    /// `<`: comes from the network.
    Inject(Packet),
    /// `>`: must leave.
    Expect(Packet),
    /// A call of the application.
    Call(Call),
    /// Settings by the names of sysctls.
    Sysctl(Vec<(String, String)>),
}

/// What the IP header of a packet must show; for packets that come: has.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Tos {
    /// Nothing is said.
    Any,
    /// The two bits of ECN.
    Ecn(u8),
    /// One of the two ECT codepoints.
    Ect01,
    /// The whole octet.
    Octet(u8),
}

/// A packet in packetdrill's notation.
#[derive(Clone, Debug)]
pub struct Packet {
    /// TOS octet or traffic class.
    pub tos: Tos,
    /// TTL or hop limit, where it is said.
    pub ttl: Option<u8>,
    /// What it carries.
    pub body: Body,
}

/// What an IP packet carries.
#[derive(Clone, Debug)]
pub enum Body {
    /// A TCP segment.
    Tcp(Segment),
    /// A datagram of so many octets.
    Udp(usize),
    /// An ICMP message by name of type and code, with the MTU that it reports.
    Icmp { kind: String, code: Option<String>, mtu: Option<u32>, quoted: Quoted },
}

/// What an ICMP error quotes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Quoted {
    /// A segment with this sequence number and so many octets.
    Tcp(u32, usize),
    /// A datagram of so many octets.
    Udp(usize),
}

/// A TCP segment; sequence numbers as the script writes them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Segment {
    /// Flags in the letters of packetdrill: `FSRP.UEWA`.
    pub flags: String,
    /// First sequence number.
    pub seq: u32,
    /// Octets of payload.
    pub payload: usize,
    /// Acknowledgment number.
    pub ack: u32,
    /// Window field as it is on the wire.
    pub window: Option<u16>,
    /// Urgent pointer.
    pub urgent: u16,
    /// The options; nothing: `<...>`.
    pub options: Option<Vec<TcpOption>>,
}

/// A TCP option.
#[derive(Clone, Debug, PartialEq)]
pub enum TcpOption {
    /// End of the list.
    End,
    /// Padding.
    Nop,
    /// Maximum segment size.
    Mss(u16),
    /// Window scale.
    WindowScale(u8),
    /// SACK permitted.
    SackOk,
    /// SACK blocks.
    Sack(Vec<(u32, u32)>),
    /// Timestamps.
    Timestamps { val: u32, ecr: u32 },
    /// A Fast Open cookie, or the request for one; in the option that it had before it got a number.
    Cookie { octets: Vec<u8>, experimental: bool },
    /// Anything else that was seen: kind and length.
    Other(u8, u8),
}

/// A call of the application.
#[derive(Clone, Debug)]
pub struct Call {
    /// Microseconds at which it returns, where it blocks: counted as the event's time is.
    pub end: Option<i64>,
    /// `socket`, `bind`, ...
    pub name: String,
    /// What it is given.
    pub arguments: Vec<Expression>,
    /// What it returns.
    pub result: Expression,
    /// The name of the error that it sets.
    pub errno: Option<String>,
}

/// An argument or a result.
#[derive(Clone, Debug, PartialEq)]
pub enum Expression {
    /// `...`
    Ellipsis,
    /// A number.
    Integer(i64),
    /// A name, as `SOCK_STREAM`.
    Word(String),
    /// A string.
    Text(String),
    /// `A | B`
    Or(Box<Expression>, Box<Expression>),
    /// `[A, B]`
    List(Vec<Expression>),
    /// `{name=A, name=B}`
    Fields(Vec<(String, Expression)>),
}
