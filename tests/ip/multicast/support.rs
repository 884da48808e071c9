//! What the tests of groups share: membership packets, written and read.
#![allow(dead_code)] // Each of them uses a part.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use crate::kit::ip_packet;
use glasstcp::SocketError;
use glasstcp::sim::Script;
use glasstcp::stack::{BindOptions, UdpHandle};
use glasstcp::wire::checksum::{self, Checksum};
use glasstcp::wire::{parse_ip, protocol};

pub const GROUP4: &str = "239.1.2.3";
pub const GROUP6: &str = "ff15::123";
pub const ROUTER4: &str = "10.0.0.1";
pub const ROUTER6: &str = "fe80::1";

pub const IS_INCLUDE: u8 = 1;
pub const IS_EXCLUDE: u8 = 2;
pub const TO_INCLUDE: u8 = 3;
pub const TO_EXCLUDE: u8 = 4;

pub fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub fn end(address: &str, port: u16) -> SocketAddr {
    SocketAddr::new(ip(address), port)
}

/// Sockets that share their port, as members of a group do.
pub fn udp_bind(script: &mut Script, local: SocketAddr) -> UdpHandle {
    let shared = BindOptions { reuse_address: true, ..BindOptions::default() };
    script.stack.udp_bind_with(local, &shared).unwrap()
}

pub fn bind(script: &mut Script, local: &str) -> UdpHandle {
    udp_bind(script, local.parse().unwrap())
}

pub fn join(script: &mut Script, socket: UdpHandle, group: &str) -> Result<(), SocketError> {
    script.stack.udp_join(script.now, socket, ip(group))
}

pub fn leave(script: &mut Script, socket: UdpHandle, group: &str) -> Result<(), SocketError> {
    script.stack.udp_leave(script.now, socket, ip(group))
}

/// An IGMP message from the router, with the router alert option or without.
pub fn igmp(to: &str, router_alert: bool, message: &[u8]) -> Vec<u8> {
    let mut message = message.to_vec();
    let mut sum = Checksum::new();
    sum.add(&message);
    message[2..4].copy_from_slice(&sum.finish().to_be_bytes());
    let mut packet = ip_packet(ip(ROUTER4), ip(to), protocol::IGMP, &message);
    if router_alert {
        packet.splice(20..20, [148, 4, 0, 0]);
        packet[0] = 0x46;
        let len = (packet.len() as u16).to_be_bytes();
        packet[2..4].copy_from_slice(&len);
    }
    packet[8] = 1;
    packet[10..12].fill(0);
    let header = usize::from(packet[0] & 15) * 4;
    let mut sum = Checksum::new();
    sum.add(&packet[..header]);
    let sum = sum.finish().to_be_bytes();
    packet[10..12].copy_from_slice(&sum);
    packet
}

/// A query of IGMPv3 in tenths of a second.
pub fn query4(group: &str, tenths: u8, sources: &[&str]) -> Vec<u8> {
    let to = if group == "0.0.0.0" { "224.0.0.1" } else { group };
    let mut message = vec![0x11, tenths, 0, 0];
    message.extend(group.parse::<Ipv4Addr>().unwrap().octets());
    message.extend([2, 125, 0, sources.len() as u8]);
    message.extend(sources.iter().flat_map(|source| source.parse::<Ipv4Addr>().unwrap().octets()));
    igmp(to, true, &message)
}

/// An MLD message with a hop-by-hop header that holds these options.
pub fn mld(from: &str, to: &str, hop_limit: u8, options: [u8; 6], message: &[u8]) -> Vec<u8> {
    let mut message = message.to_vec();
    let mut sum = Checksum::new();
    sum.add_pseudo_header(ip(from), ip(to), protocol::ICMPV6, message.len() as u32);
    sum.add(&message);
    message[2..4].copy_from_slice(&sum.finish().to_be_bytes());
    let payload = [&[protocol::ICMPV6, 0][..], &options, &message].concat();
    let mut packet = ip_packet(ip(from), ip(to), protocol::HOP_BY_HOP, &payload);
    packet[7] = hop_limit;
    packet
}

pub const ALERT6: [u8; 6] = [5, 2, 0, 0, 1, 0];

pub fn query6_message(group: &str, millis: u16, sources: &[&str]) -> Vec<u8> {
    let mut message = vec![130, 0, 0, 0];
    message.extend(millis.to_be_bytes());
    message.extend([0, 0]);
    message.extend(group.parse::<Ipv6Addr>().unwrap().octets());
    message.extend([2, 125, 0, sources.len() as u8]);
    message.extend(sources.iter().flat_map(|source| source.parse::<Ipv6Addr>().unwrap().octets()));
    message
}

/// A query of MLDv2.
pub fn query6(group: &str, millis: u16, sources: &[&str]) -> Vec<u8> {
    let to = if group == "::" { "ff02::1" } else { group };
    mld(ROUTER6, to, 1, ALERT6, &query6_message(group, millis, sources))
}

/// A record of a report: its type, group and sources.
pub type Record = (u8, IpAddr, Vec<IpAddr>);

/// What a membership packet says. Everything that a router would check is checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    Records(Vec<Record>),
    /// Type, and group.
    Old(u8, IpAddr),
}

pub fn read(packet: &[u8]) -> Said {
    let parsed = parse_ip(packet).unwrap();
    let message = parsed.payload;
    assert_eq!(parsed.hop_limit, 1);
    assert!(packet.len() <= 1_500);
    let to = parsed.destination.to_string();
    if parsed.destination.is_ipv4() {
        // 3376-4
        assert_eq!((parsed.source, parsed.traffic_class, packet[0]), (ip("10.0.0.2"), 0xC0, 0x46));
        assert_eq!(packet[20..24], [148, 4, 0, 0], "router alert");
        assert!(parsed.protocol == protocol::IGMP && checksum::verifies(message));
        let address = |octets: &[u8]| IpAddr::from(<[u8; 4]>::try_from(octets).unwrap());
        if message[0] != 0x22 {
            let expected = if message[0] == 0x17 { "224.0.0.2".into() } else { address(&message[4..8]).to_string() };
            assert_eq!((message.len(), to), (8, expected));
            return Said::Old(message[0], address(&message[4..8]));
        }
        assert_eq!(to, "224.0.0.22");
        Said::Records(records(message, 4, address))
    } else {
        // 3810-5
        assert!(parsed.source.is_unspecified(), "there is no link-local address");
        assert_eq!(packet[40..48], [58, 0, 5, 2, 0, 0, 1, 0], "router alert");
        let sound = checksum::verifies_with_pseudo_header(parsed.source, parsed.destination, 58, message);
        assert!(parsed.protocol == protocol::ICMPV6 && sound);
        let address = |octets: &[u8]| IpAddr::from(<[u8; 16]>::try_from(octets).unwrap());
        if message[0] != 143 {
            let expected = if message[0] == 132 { "ff02::2".into() } else { address(&message[8..24]).to_string() };
            assert_eq!((message.len(), to), (24, expected));
            return Said::Old(message[0], address(&message[8..24]));
        }
        assert_eq!(to, "ff02::16");
        Said::Records(records(message, 16, address))
    }
}

pub fn records(message: &[u8], width: usize, address: impl Fn(&[u8]) -> IpAddr) -> Vec<Record> {
    let (mut rest, mut records) = (&message[8..], Vec::new());
    for _ in 0..u16::from_be_bytes([message[6], message[7]]) {
        let count = usize::from(u16::from_be_bytes([rest[2], rest[3]]));
        let (record, after) = rest.split_at(4 + width * (1 + count));
        records.push((
            record[0],
            address(&record[4..4 + width]),
            record[4 + width..].chunks(width).map(&address).collect(),
        ));
        rest = after;
    }
    assert!(rest.is_empty());
    records
}

pub fn said(script: &mut Script) -> Vec<Said> {
    script.packets().iter().map(|packet| read(packet)).collect()
}

/// What is said within this time, with the times since now.
pub fn said_within(script: &mut Script, time: Duration) -> Vec<(Duration, Said)> {
    let (start, until) = (script.now, script.now + time);
    let mut all = Vec::new();
    while let Some(at) = script.stack.next_deadline().filter(|&at| at <= until) {
        script.now = script.now.max(at);
        script.stack.handle_deadline(script.now);
        let now = script.now;
        all.extend(said(script).into_iter().map(|said| (now - start, said)));
    }
    script.now = until;
    all
}

pub fn one(kind: u8, group: &str) -> Said {
    Said::Records(vec![(kind, ip(group), Vec::new())])
}
