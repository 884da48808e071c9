//! Tools of the tests: raw packets that no honest stack would send, and connections in every state.
#![allow(dead_code)]

pub mod any_state;
pub mod calls;
pub mod fragment;

use glasstcp::counters::DropReason;
use glasstcp::device::RxMeta;
use glasstcp::sim::Script;
use glasstcp::stack::TcpHandle;
use glasstcp::tcp::state::State;
use glasstcp::wire::checksum::Checksum;
use glasstcp::wire::icmp::{self, IcmpError};
use glasstcp::wire::option::TcpOptions;
use glasstcp::wire::tcp::{self, Flags, TcpHeader};
use glasstcp::wire::udp::{self, UdpHeader};
use glasstcp::wire::{IpHeader, emit_ip, parse_ip, protocol};
use std::net::{IpAddr, Shutdown, SocketAddr};

/// An IP packet with this payload.
pub fn ip_packet(source: IpAddr, destination: IpAddr, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 40];
    let header = IpHeader {
        source,
        destination,
        protocol,
        hop_limit: 64,
        traffic_class: 0,
        identification: 7,
        dont_fragment: false,
    };
    let len = emit_ip(&header, payload.len(), &mut bytes);
    bytes.truncate(len);
    bytes.extend_from_slice(payload);
    bytes
}

/// An IP packet with a datagram of UDP.
pub fn datagram(from: SocketAddr, to: SocketAddr, data: &[u8]) -> Vec<u8> {
    let mut payload = vec![0; 8];
    let ports = UdpHeader { source_port: from.port(), destination_port: to.port() };
    udp::emit(from.ip(), to.ip(), &ports, data, &mut payload);
    payload.extend_from_slice(data);
    ip_packet(from.ip(), to.ip(), protocol::UDP, &payload)
}

/// The IPv4 header checksum of a packet, with options or without, made right.
pub fn fix_ipv4(packet: &mut [u8]) {
    let len = usize::from(packet[0] & 15) * 4;
    packet[10..12].fill(0);
    let mut sum = Checksum::new();
    sum.add(&packet[..len]);
    let sum = sum.finish().to_be_bytes();
    packet[10..12].copy_from_slice(&sum);
}

/// The bytes of a segment with any option area; it is padded with zeros to whole words.
pub fn segment_bytes(source: IpAddr, destination: IpAddr, header: &TcpHeader, area: &[u8], text: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 20];
    tcp::emit(&TcpHeader { options: TcpOptions::default(), ..*header }, &mut bytes);
    bytes.extend_from_slice(area);
    bytes.resize(20 + area.len().next_multiple_of(4), 0);
    bytes[12] = ((bytes.len() / 4) << 4) as u8;
    tcp::fill_checksum(source, destination, &mut bytes, &[text]);
    bytes.extend_from_slice(text);
    bytes
}

/// A segment from the script's peer with any option area.
pub fn with_area(script: &Script, header: &TcpHeader, area: &[u8], text: &[u8]) -> Vec<u8> {
    let (source, destination) = (script.peer.ip(), script.local.ip());
    ip_packet(source, destination, protocol::TCP, &segment_bytes(source, destination, header, area, text))
}

/// Hands the stack a packet.
pub fn give(script: &mut Script, packet: &[u8]) -> Option<DropReason> {
    let dropped = script.stack.handle_packet(script.now, packet, &RxMeta::plain(packet.len()));
    if script.stack.is_traced() {
        let note = script.stack.take_note().expect("a traced stack makes a note of each packet").to_string();
        let verdict = if dropped.is_some() { "received verdict=dropped" } else { "received verdict=accepted" };
        assert!(note.starts_with(verdict) && !note.contains("rule=-"), "{note}");
    }
    dropped
}

/// Makes the checksums of a changed IPv4 or IPv6 TCP packet without IP options right again.
pub fn fix_checksums(packet: &mut [u8]) {
    let ip_len = if packet[0] >> 4 == 6 { 40 } else { 20 };
    if ip_len == 20 {
        packet[10..12].fill(0);
        let mut sum = Checksum::new();
        sum.add(&packet[..20]);
        let sum = sum.finish().to_be_bytes();
        packet[10..12].copy_from_slice(&sum);
    }
    let Ok(ip) = parse_ip(packet) else { return };
    let (source, destination) = (ip.source, ip.destination);
    if packet.len() >= ip_len + 20 {
        tcp::fill_checksum(source, destination, &mut packet[ip_len..], &[]);
    }
}

/// An ICMP error from `router` to the source of the packet that it quotes.
pub fn icmp_error(router: IpAddr, about: &[u8], error: IcmpError) -> Vec<u8> {
    let to = parse_ip(about).unwrap().source;
    let mut message = vec![0; icmp::MAX_ERROR_LEN];
    let len = icmp::emit_error(router, to, error, about, &mut message);
    ip_packet(router, to, icmp::protocol_for(to), &message[..len])
}

/// An ICMP message with any type, code and body, and a good checksum.
pub fn icmp_message(source: IpAddr, destination: IpAddr, kind: u8, code: u8, rest: &[u8]) -> Vec<u8> {
    let mut message = [&[kind, code, 0, 0], rest].concat();
    let mut sum = Checksum::new();
    if destination.is_ipv6() {
        sum.add_pseudo_header(source, destination, protocol::ICMPV6, message.len() as u32);
    }
    sum.add(&message);
    let sum = sum.finish().to_be_bytes();
    message[2..4].copy_from_slice(&sum);
    ip_packet(source, destination, icmp::protocol_for(destination), &message)
}

/// The states of which a connection can be in.
pub const CONNECTED: [State; 9] = [
    State::SynSent,
    State::SynReceived,
    State::Established,
    State::FinWait1,
    State::FinWait2,
    State::CloseWait,
    State::Closing,
    State::LastAck,
    State::TimeWait,
];

/// The states in which both ends know each other's numbers and a record of the connection is there.
pub const SYNCHRONIZED: [State; 7] = [
    State::Established,
    State::FinWait1,
    State::FinWait2,
    State::CloseWait,
    State::Closing,
    State::LastAck,
    State::TimeWait,
];

/// A connection in this state, with the script's numbers as its peer has them. All but SYN-RECEIVED are opened by the
/// stack; SYN-RECEIVED is by a simultaneous open.
pub fn reach(state: State) -> (Script, TcpHandle) {
    reach_with(state, Script::new())
}

/// The same, with a script of one's own.
pub fn reach_with(state: State, mut script: Script) -> (Script, TcpHandle) {
    let handle = match state {
        State::SynSent => script.connect().0,
        State::SynReceived => {
            let handle = script.connect().0;
            let options = TcpOptions { mss: Some(1_460), ..TcpOptions::default() };
            let syn = TcpHeader { options, ..script.header(Flags::SYN) };
            script.inject(&syn, &[]);
            script.seq = script.seq.wrapping_add(1);
            handle
        }
        _ => script.connect_established(),
    };
    let now = script.now;
    let own_fin = [State::FinWait1, State::FinWait2, State::Closing, State::TimeWait];
    if own_fin.contains(&state) {
        script.stack.tcp_shutdown(now, handle, Shutdown::Write).unwrap();
        let fin = script.sent_one();
        assert!(fin.flags().contains(Flags::FIN));
        if state != State::FinWait1 && state != State::Closing {
            script.peer_acks(fin.header.seq.wrapping_add(1));
        }
    }
    if [State::CloseWait, State::LastAck, State::Closing, State::TimeWait].contains(&state) {
        script.peer_closes();
    }
    if state == State::LastAck {
        script.stack.tcp_shutdown(now, handle, Shutdown::Write).unwrap();
        script.sent_one();
    }
    assert_eq!(script.stack.tcp_state(handle), Some(state));
    (script, handle)
}

/// Everything about a connection that a peer could notice, to compare before and after.
pub fn portrait(script: &Script, handle: TcpHandle) -> String {
    let snapshot = script.stack.tcp_snapshot(handle);
    format!("{snapshot:?} {:?} {:?}", script.stack.table_sizes(), script.stack.buffer_memory())
}
