//! A host under attack, and packets written octet by octet.

use crate::kit::{icmp_message, ip_packet};
use glasstcp::counters::DropReason;
use glasstcp::device::RxMeta;
use glasstcp::sim::Script;
use glasstcp::wire::option::TcpOptions;
use glasstcp::wire::tcp::{Flags, TcpHeader};
use glasstcp::wire::udp::{self, UdpHeader};
use glasstcp::wire::{parse_ip, protocol};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

pub const OWN4: &str = "10.0.0.2";
pub const PEER4: &str = "10.0.0.1";
pub const OWN6: &str = "fd00:67::2";
pub const PEER6: &str = "fd00:67::1";
/// Both families: our address and the attacker's.
pub const FAMILIES: [(&str, &str); 2] = [(OWN4, PEER4), (OWN6, PEER6)];

/// An IPv6 extension header: its number, and its octets after the first one.
pub type Extension<'a> = (u8, &'a [u8]);

pub fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// What a packet must bring about.
#[derive(Clone, Debug)]
pub struct Expected {
    /// Why it is dropped, if it is.
    pub reason: Option<DropReason>,
    /// The one answer, if there is one; an IPv4 identification is not compared.
    pub answer: Option<Vec<u8>>,
}

/// Dropped and counted, without an answer.
pub fn silence(reason: DropReason) -> Expected {
    Expected { reason: Some(reason), answer: None }
}

/// Dropped and counted, with this answer.
pub fn refused(reason: DropReason, answer: Vec<u8>) -> Expected {
    Expected { reason: Some(reason), answer: Some(answer) }
}

/// Taken, with this answer.
pub fn answered(answer: Vec<u8>) -> Expected {
    Expected { reason: None, answer: Some(answer) }
}

/// A stack that serves TCP port 80 on both families; nothing else is open.
pub struct Host {
    pub script: Script,
    port: u16,
}

impl Host {
    pub fn new() -> Host {
        let mut script = Script::new();
        for (own, _) in FAMILIES {
            script.local = SocketAddr::new(ip(own), 80);
            script.listen();
        }
        Host { script, port: 10_000 }
    }

    /// Hands in a packet, compares what comes of it, and has a new client served.
    #[track_caller]
    pub fn check(&mut self, name: &str, packet: &[u8], expected: &Expected) {
        let count = |host: &Host| expected.reason.map(|reason| host.script.stack.counters().dropped(reason));
        let (before, memory) = (count(self), self.script.stack.buffer_memory());
        self.script.stack.set_traced(true);
        let reason = self.script.stack.handle_packet(self.script.now, packet, &RxMeta::plain(packet.len()));
        let note = self.script.stack.take_note().map(|note| note.to_string()).unwrap_or_default();
        self.script.stack.set_traced(false);
        // What a capture says of it is the same, and names a rule.
        let verdict = if reason.is_some() { "received verdict=dropped" } else { "received verdict=accepted" };
        assert!(note.starts_with(verdict) && !note.contains("rule=-"), "{name}: {note}");
        let mut answers = self.script.packets();
        answers.iter_mut().for_each(|answer| hide_identification(answer));
        let mut answer = expected.answer.clone();
        if let Some(answer) = answer.as_mut() {
            hide_identification(answer);
        }
        assert_eq!((reason, answers), (expected.reason, Vec::from_iter(answer)), "{name}");
        assert_eq!(count(self), before.map(|count| count + 1), "{name}");
        assert_eq!(self.script.stack.buffer_memory(), memory, "{name}");
        self.serve(name);
    }

    /// A client that was never there before is served, and leaves nothing behind.
    #[track_caller]
    pub fn serve(&mut self, name: &str) {
        // Far enough apart that no limit of a rate comes near.
        self.script.now += Duration::from_millis(100);
        self.port += 1;
        let (own, peer) = FAMILIES[usize::from(self.port) % 2];
        self.script.local = SocketAddr::new(ip(own), 80);
        self.script.peer = SocketAddr::new(ip(peer), self.port);
        (self.script.seq, self.script.ack) = (77_000, 0);
        let handle = self.script.accept_with(TcpOptions::default());
        self.script.peer_sends(b"request");
        assert_eq!(self.script.receive(handle), b"request", "{name}");
        assert_eq!(self.script.send(handle, b"answer")[0].text, b"answer", "{name}");
        self.script.deliver(&self.script.header(Flags::RST), &[]);
        self.script.stack.tcp_close(self.script.now, handle);
        self.script.packets();
        assert_eq!(self.script.stack.table_sizes(), (0, 0, 0), "{name}");
    }
}

/// The identification of IPv4, and the checksum that covers it, are not what these tests are about; a wrong checksum is.
fn hide_identification(packet: &mut [u8]) {
    if packet[0] >> 4 == 4 {
        let header_len = usize::from(packet[0] & 15) * 4;
        assert_eq!(sum(&[&packet[..header_len]]), 0, "the header checksum of an answer");
        packet[4..6].fill(0);
        packet[10..12].fill(0);
    }
}

/// The Internet checksum over pieces of even length (but for the last), as RFC 1071 writes it.
pub fn sum(pieces: &[&[u8]]) -> u16 {
    let mut sum = 0_u64;
    for pair in pieces.iter().flat_map(|piece| piece.chunks(2)) {
        sum += u64::from(pair[0]) << 8 | u64::from(pair.get(1).copied().unwrap_or(0));
    }
    while sum > 0xFFFF {
        sum = (sum & 0xFFFF) + (sum >> 16);
    }
    !(sum as u16)
}

/// The IPv4 header checksum, made right.
pub fn fix(packet: &mut [u8]) {
    let header_len = usize::from(packet[0] & 15) * 4;
    packet[10..12].fill(0);
    let checksum = sum(&[&packet[..header_len]]).to_be_bytes();
    packet[10..12].copy_from_slice(&checksum);
}

/// A packet with one field of its IPv4 header changed and the checksum right.
pub fn with_field(mut packet: Vec<u8>, at: usize, value: &[u8]) -> Vec<u8> {
    packet[at..at + value.len()].copy_from_slice(value);
    fix(&mut packet);
    packet
}

/// The packet with these IPv4 options, padded to whole words with the end of the list.
pub fn with_options(packet: &[u8], options: &[u8]) -> Vec<u8> {
    let mut padded = options.to_vec();
    padded.resize(options.len().next_multiple_of(4), 0);
    let mut changed = [&packet[..20], &padded, &packet[20..]].concat();
    changed[0] = 0x45 + (padded.len() / 4) as u8;
    let len = (changed.len() as u16).to_be_bytes();
    changed[2..4].copy_from_slice(&len);
    fix(&mut changed);
    changed
}

/// A UDP datagram.
pub fn datagram(from: &str, to: &str, port: u16, data: &[u8]) -> Vec<u8> {
    let (from, to) = (ip(from), ip(to));
    let mut payload = vec![0; 8];
    udp::emit(from, to, &UdpHeader { source_port: 5_353, destination_port: port }, data, &mut payload);
    payload.extend_from_slice(data);
    ip_packet(from, to, protocol::UDP, &payload)
}

/// A SYN.
pub fn syn(from: &str, to: &str, port: u16) -> Vec<u8> {
    let header =
        TcpHeader { source_port: 4_000, destination_port: port, seq: 9, flags: Flags::SYN, ..TcpHeader::default() };
    glasstcp::sim::script::packet(ip(from), ip(to), &header, &[])
}

/// An echo request with identifier 1 and sequence number 2.
pub fn ping(from: &str, to: &str, data: &[u8]) -> Vec<u8> {
    let kind = if from.contains(':') { 128 } else { 8 };
    icmp_message(ip(from), ip(to), kind, 0, &[&[0, 1, 0, 2], data].concat())
}

/// The reply to that request, as it must leave: octet by octet.
pub fn pong(from: &str, to: &str, data: &[u8]) -> Vec<u8> {
    let kind = if from.contains(':') { 129 } else { 0 };
    message(from, to, kind, 0, &[&[0, 1, 0, 2], data].concat())
}

/// An ICMP message as the stack sends it, octet by octet: TTL 64, no options, TOS 0.
pub fn message(from: &str, to: &str, kind: u8, code: u8, rest: &[u8]) -> Vec<u8> {
    let body = |checksum: u16| [&[kind, code], &checksum.to_be_bytes()[..], rest].concat();
    let len = 4 + rest.len() as u16;
    match (ip(from), ip(to)) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let message = body(sum(&[&body(0)]));
            let mut packet = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, 1, 0, 0];
            packet[2..4].copy_from_slice(&(20 + len).to_be_bytes());
            packet.extend_from_slice(&from.octets());
            packet.extend_from_slice(&to.octets());
            fix(&mut packet);
            [packet, message].concat()
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            let (from, to) = (from.octets(), to.octets());
            let message = body(sum(&[&from, &to, &[0, 0], &len.to_be_bytes(), &[0, 0, 0, 58], &body(0)]));
            [&[0x60, 0, 0, 0], &len.to_be_bytes()[..], &[58, 64], &from, &to, &message].concat()
        }
        _ => panic!("one family"),
    }
}

/// The ICMP error that must leave about `packet`: quoted up to 576 or 1280 octets in all.
pub fn error(packet: &[u8], kind: u8, code: u8, word: u32) -> Vec<u8> {
    let v6 = packet[0] >> 4 == 6;
    let (from, to) = if v6 { (OWN6, PEER6) } else { (OWN4, PEER4) };
    let most = if v6 { 1_280 - 48 } else { 576 - 28 };
    let quote = &packet[..packet.len().min(most)];
    message(from, to, kind, code, &[&word.to_be_bytes(), quote].concat())
}

/// An IPv6 packet with these extension headers, each of which names the next.
pub fn chain(to: &str, headers: &[Extension<'_>], upper: &[u8]) -> Vec<u8> {
    let inner = parse_ip(upper).unwrap();
    let mut octets = Vec::new();
    for (position, (_, body)) in headers.iter().enumerate() {
        octets.push(headers.get(position + 1).map_or(inner.protocol, |next| next.0));
        octets.extend_from_slice(body);
    }
    octets.extend_from_slice(inner.payload);
    ip_packet(inner.source, ip(to), headers.first().map_or(inner.protocol, |first| first.0), &octets)
}
