//! Hosts and routers, joined by impaired links, in virtual time. Each host is a whole stack; routes are static.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr};

use super::sender;
use crate::config::Config;
use crate::device::TxChecksum;
use crate::device::impair::{Change, Impaired, Impairment, LogEntry};
use crate::device::wire_view::wire_view;
use crate::ip::IpCidr;
use crate::rng::KeyedRng;
use crate::stack::{Progress, Stack};
use crate::time::Instant;
use crate::trace::note::{Note, Piece};
use crate::wire::icmp::{self, IcmpError};
use crate::wire::{IpHeader, emit_ip, parse_ip};

/// A host or a router, by its number in the order of [`Topology::nodes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Node(pub usize);

/// One direction of a link: number and direction, see [`Topology::links`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Direction {
    /// Number of the link.
    pub link: usize,
    /// From its second node to its first.
    pub back: bool,
}

/// What a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeKind {
    /// It has a stack, and an address by its number: see [`address`].
    Host,
    /// It passes on what comes.
    Router,
}

/// A link between two nodes, with what it does to packets each way.
#[derive(Clone, Debug)]
pub struct LinkPlan {
    /// The nodes at its ends.
    pub ends: [Node; 2],
    /// From the first to the second, and back.
    pub impairments: [Impairment; 2],
    /// What changes with time, counted from the start: in which direction, and what.
    pub changes: Vec<(std::time::Duration, bool, Change)>,
}

/// Hosts, routers and links.
#[derive(Clone, Debug, Default)]
pub struct Topology {
    /// Name and kind of each node.
    pub nodes: Vec<(String, NodeKind)>,
    /// The links.
    pub links: Vec<LinkPlan>,
}

/// Nodes of one network at most: each has an address of its own in 10.0.0.0/16.
pub const MAX_NODES: usize = 4_096;

/// The address of a host.
pub fn address(node: Node) -> IpAddr {
    let number = node.0 as u16 + 1;
    IpAddr::V4(Ipv4Addr::new(10, 0, (number >> 8) as u8, number as u8))
}

/// Sees what happens in a network.
pub trait Tap {
    /// A host has sent a packet, or a router has passed it on. The tag stays the same on the whole way. There is a note where
    /// the stacks are traced.
    fn sent(&mut self, at: Instant, node: Node, tag: u64, packet: &[u8], note: Option<Piece<'_>>);
    /// A packet has arrived at a node, and its stack has handled it.
    fn arrived(&mut self, at: Instant, node: Node, tag: u64, packet: &[u8], note: Option<&Note>);
    /// Something befell a packet on a link.
    fn logged(&mut self, direction: Direction, entry: &LogEntry);
}

struct Hop {
    to: Node,
    direction: Direction,
    path: Impaired,
}

/// A network; see the module's text.
pub struct Network {
    now: Instant,
    /// By node; nothing for a router.
    stacks: Vec<Option<Stack>>,
    /// Two for each link, there and back.
    hops: Vec<Hop>,
    /// By node and by destination: the hop to take.
    routes: Vec<Vec<Option<usize>>>,
    next_tag: u64,
}

/// Packets that one stack may send at one point of virtual time before the network takes it for a bug.
const MAX_PACKETS_AT_ONCE: usize = 1_000_000;

impl Network {
    /// A network at `now`, in which each host has the settings that `configure` gives to the defaults. The seed decides
    /// everything.
    ///
    /// # Errors
    /// What is wrong with the topology or the settings.
    pub fn new(
        topology: &Topology,
        configure: impl Fn(&mut Config),
        now: Instant,
        seed: u64,
    ) -> Result<Network, String> {
        let count = topology.nodes.len();
        if count > MAX_NODES {
            return Err(format!("{count} nodes are too many: at most {MAX_NODES}"));
        }
        let mut rng = KeyedRng::from_seed(seed);
        let mut stacks = Vec::new();
        for (number, (_, kind)) in topology.nodes.iter().enumerate() {
            let key = rng.key();
            stacks.push(match kind {
                NodeKind::Router => None,
                NodeKind::Host => {
                    let cidr = IpCidr::new(address(Node(number)), 16).ok_or("no address")?;
                    let mut config = Config::new(&[cidr]);
                    configure(&mut config);
                    Some(Stack::new(config, KeyedRng::new(key), now)?)
                }
            });
        }
        let mut hops = Vec::new();
        for (number, link) in topology.links.iter().enumerate() {
            for back in [false, true] {
                let side = usize::from(back);
                if link.ends[side].0 >= count {
                    return Err(format!("link {number}: no node {}", link.ends[side].0));
                }
                let mut path = Impaired::new(link.impairments[side], KeyedRng::new(rng.key()));
                path.keep_log();
                for &(after, _, change) in link.changes.iter().filter(|&&(_, way, _)| way == back) {
                    path.schedule(now + after, change);
                }
                hops.push(Hop { to: link.ends[1 - side], direction: Direction { link: number, back }, path });
            }
        }
        let routes = routes(topology);
        Ok(Network { now, stacks, hops, routes, next_tag: 1 })
    }

    /// The time.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// The stack of a host, for calls of its application. Call [`Network::flush`] afterwards.
    pub fn stack(&mut self, node: Node) -> Option<&mut Stack> {
        self.stacks.get_mut(node.0)?.as_mut()
    }

    /// Lets all hosts make notes of their packets, for the tap.
    pub fn trace(&mut self) {
        self.stacks.iter_mut().flatten().for_each(|stack| stack.set_traced(true));
    }

    /// One direction of a link.
    pub fn path(&mut self, direction: Direction) -> &mut Impaired {
        &mut self.hops[2 * direction.link + usize::from(direction.back)].path
    }

    /// There is a way from one node to the other.
    pub fn has_route(&self, from: Node, to: Node) -> bool {
        self.routes[from.0][to.0].is_some()
    }

    /// Puts what is due to be sent on the links.
    pub fn flush(&mut self, tap: &mut impl Tap) {
        for number in 0..self.stacks.len() {
            let Some(stack) = &mut self.stacks[number] else { continue };
            let (now, node) = (self.now, Node(number));
            let (hops, routes, next_tag) = (&mut self.hops, &self.routes[number], &mut self.next_tag);
            let progress = stack.transmit(now, MAX_PACKETS_AT_ONCE, |transmit| {
                let partial = transmit.meta.checksum != TxChecksum::Complete;
                let packet = transmit.to_vec();
                let (size, pieces) =
                    (usize::from(transmit.meta.gso_size), wire_view(&packet, transmit.meta.gso_size, partial));
                let last = pieces.len() - 1;
                for (index, piece) in pieces.into_iter().enumerate() {
                    let tag = *next_tag;
                    *next_tag += 1;
                    let note = transmit.note.map(|note| note.piece(index * size, size, index == last));
                    tap.sent(now, node, tag, &piece, note);
                    forward(hops, routes, now, tag, piece.into_owned(), tap);
                }
                Ok(())
            });
            assert_eq!(progress, Progress::Idle, "a stack sends without end at {now:?}");
        }
    }

    /// When something happens next. Right only after [`Network::flush`].
    pub fn next_event(&self) -> Option<Instant> {
        let deadlines = self.stacks.iter().flatten().filter_map(Stack::next_deadline);
        let arrivals = self.hops.iter().filter_map(|hop| hop.path.next_arrival());
        deadlines.chain(arrivals).min()
    }

    /// Lets the time be `at` and handles what has come by then.
    pub fn advance(&mut self, at: Instant, tap: &mut impl Tap) {
        self.now = self.now.max(at);
        let now = self.now;
        for number in 0..self.hops.len() {
            loop {
                let hop = &mut self.hops[number];
                let (to, direction) = (hop.to, hop.direction);
                let arrived = hop.path.receive(now);
                hop.path.take_log().for_each(|entry| tap.logged(direction, &entry));
                let Some(arrived) = arrived else { break };
                match &mut self.stacks[to.0] {
                    Some(stack) => {
                        stack.handle_packet(now, &arrived.packet, &arrived.meta);
                        let note = stack.take_note();
                        tap.arrived(now, to, arrived.tag, &arrived.packet, note.as_ref());
                    }
                    None => {
                        tap.arrived(now, to, arrived.tag, &arrived.packet, None);
                        tap.sent(now, to, arrived.tag, &arrived.packet, None);
                        let (hops, routes) = (&mut self.hops, &self.routes[to.0]);
                        if let Some(error) = too_large(hops, routes, to, &arrived.packet) {
                            let tag = self.next_tag;
                            self.next_tag += 1;
                            tap.sent(now, to, tag, &error, None);
                            forward(hops, routes, now, tag, error, tap);
                        }
                        forward(hops, routes, now, arrived.tag, arrived.packet, tap);
                    }
                }
            }
        }
        for stack in self.stacks.iter_mut().flatten() {
            stack.handle_deadline(now);
        }
        self.flush(tap);
        if cfg!(debug_assertions) {
            self.stacks.iter().flatten().for_each(|stack| sender::check_all(stack, now));
        }
    }
}

/// The hop that leads to the destination of a packet.
fn hop_for(routes: &[Option<usize>], packet: &[u8]) -> Option<usize> {
    let destination = parse_ip(packet).ok().and_then(|ip| node_of(ip.destination))?;
    routes.get(destination).copied().flatten()
}

/// What a router says to the sender of a packet that the next link does not take, where it says anything.
fn too_large(hops: &[Hop], routes: &[Option<usize>], router: Node, packet: &[u8]) -> Option<Vec<u8>> {
    let path = &hops[hop_for(routes, packet)?].path;
    let narrow = path.impairment().narrow.filter(|narrow| narrow.tells && path.is_too_large(packet))?;
    let (source, destination) = (address(router), parse_ip(packet).ok()?.source);
    let error = IcmpError::PacketTooBig { mtu: u32::try_from(narrow.mtu).unwrap_or(u32::MAX) };
    let mut message = vec![0; icmp::MAX_ERROR_LEN];
    let len = icmp::emit_error(source, destination, error, packet, &mut message);
    let header = IpHeader {
        source,
        destination,
        protocol: icmp::protocol_for(destination),
        hop_limit: 64,
        traffic_class: 0,
        identification: 0,
        dont_fragment: false,
    };
    let mut bytes = vec![0; 40];
    let headers = emit_ip(&header, len, &mut bytes);
    bytes.truncate(headers);
    bytes.extend_from_slice(&message[..len]);
    Some(bytes)
}

/// Puts a packet on the link that leads to its destination; without one it is gone.
fn forward(hops: &mut [Hop], routes: &[Option<usize>], now: Instant, tag: u64, packet: Vec<u8>, tap: &mut impl Tap) {
    let Some(hop) = hop_for(routes, &packet).and_then(|number| hops.get_mut(number)) else { return };
    let meta = crate::device::RxMeta::plain(packet.len());
    hop.path.send_tagged(now, packet, meta, tag);
    let direction = hop.direction;
    hop.path.take_log().for_each(|entry| tap.logged(direction, &entry));
}

/// The number of the node with this address.
fn node_of(address: IpAddr) -> Option<usize> {
    match address {
        IpAddr::V4(v4) if v4.octets()[..2] == [10, 0] => {
            usize::from(u16::from_be_bytes([v4.octets()[2], v4.octets()[3]])).checked_sub(1)
        }
        _ => None,
    }
}

/// For each node and each destination the hop that begins a way with the fewest links; of equal ones the first in the plan.
fn routes(topology: &Topology) -> Vec<Vec<Option<usize>>> {
    let count = topology.nodes.len();
    let mut routes = vec![vec![None; count]; count];
    for destination in 0..count {
        // From the destination outwards.
        let mut reached = vec![false; count];
        reached[destination] = true;
        let mut frontier = VecDeque::from([destination]);
        while let Some(node) = frontier.pop_front() {
            for (number, link) in topology.links.iter().enumerate() {
                for back in [false, true] {
                    let (from, to) = (link.ends[usize::from(back)].0, link.ends[1 - usize::from(back)].0);
                    if to == node && !reached[from] {
                        reached[from] = true;
                        routes[from][destination] = Some(2 * number + usize::from(back));
                        // Hosts do not pass on what is not theirs.
                        if topology.nodes[from].1 == NodeKind::Router {
                            frontier.push_back(from);
                        }
                    }
                }
            }
        }
    }
    routes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(kinds: &[NodeKind]) -> Topology {
        let nodes = kinds.iter().enumerate().map(|(number, &kind)| (format!("n{number}"), kind)).collect();
        let links = (1..kinds.len())
            .map(|number| LinkPlan {
                ends: [Node(number - 1), Node(number)],
                impairments: [Impairment::perfect(); 2],
                changes: Vec::new(),
            })
            .collect();
        Topology { nodes, links }
    }

    #[test]
    fn routes_lead_through_routers_only() {
        use NodeKind::{Host, Router};
        let found = routes(&line(&[Host, Router, Router, Host, Router, Host]));
        assert_eq!(found[0][3], Some(0));
        assert_eq!(found[1][3], Some(2));
        assert_eq!(found[3][0], Some(5));
        assert_eq!(found[0][5], None, "through a host");
        assert_eq!(found[3][5], Some(6));
        assert_eq!(found[2][2], None);
    }

    #[test]
    fn addresses_name_nodes() {
        for number in [0, 1, 254, 255, 256, 4_095] {
            assert_eq!(node_of(address(Node(number))), Some(number));
        }
        assert_eq!(node_of("10.0.0.0".parse().unwrap()), None);
        assert_eq!(node_of("10.1.0.1".parse().unwrap()), None);
    }
}
