//! One end of a conversation: a stack and a socket on it, whoever wrote them.

use std::net::SocketAddr;

use glasstcp::time::Instant;

use super::scenario::Scenario;

/// What a read gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Read {
    /// Nothing is there yet.
    Nothing,
    /// So many octets.
    Octets(usize),
    /// The end of the peer's stream.
    End,
    /// The connection has failed.
    Failed,
}

/// A stack with one socket.
pub trait Endpoint {
    /// Passive OPEN.
    fn listen(&mut self, now: Instant);

    /// Active OPEN.
    fn connect(&mut self, now: Instant);

    /// A packet has arrived.
    fn receive(&mut self, now: Instant, packet: &[u8]);

    /// Lets expired timers act, and appends what is to be sent now.
    fn transmit(&mut self, now: Instant, packets: &mut Vec<Vec<u8>>);

    /// When it wants to be asked again though nothing arrives.
    fn next(&mut self, now: Instant) -> Option<Instant>;

    /// The connection is or was synchronized: it can be written to.
    fn is_open(&mut self, now: Instant) -> bool;

    /// The connection was refused, reset or given up.
    fn has_failed(&mut self) -> bool;

    /// Reads.
    fn read(&mut self, now: Instant, buffer: &mut [u8]) -> Read;

    /// Writes; the answer is how much.
    fn write(&mut self, now: Instant, octets: &[u8]) -> usize;

    /// Ends its own stream.
    fn shutdown(&mut self, now: Instant);

    /// Lets go of the connection.
    fn close(&mut self, now: Instant);

    /// Resets it.
    fn abort(&mut self, now: Instant);
}

/// How an end is set up.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// Its own address.
    pub local: SocketAddr,
    /// That of its peer.
    pub remote: SocketAddr,
    /// Its MTU.
    pub mtu: usize,
    /// Octets that its receive buffer holds.
    pub receive_capacity: u32,
    /// Nagle's algorithm is off.
    pub nodelay: bool,
}

impl Setup {
    /// The two ends of a scenario: hosts 1 and 2 of a network, which has a name in each family, and their ports.
    pub fn pair(scenario: &Scenario, networks: [&str; 2], ports: [u16; 2]) -> [Setup; 2] {
        let address = |side: usize| {
            let host = side + 1;
            let text = match scenario.ipv6 {
                true => format!("[{}:{host}]", networks[1]),
                false => format!("{}.{host}", networks[0]),
            };
            format!("{text}:{}", ports[side]).parse().expect("an address")
        };
        [0, 1].map(|side| Setup {
            local: address(side),
            remote: address(1 - side),
            mtu: scenario.mtu,
            receive_capacity: scenario.receive_capacity,
            nodelay: scenario.nodelay,
        })
    }
}
