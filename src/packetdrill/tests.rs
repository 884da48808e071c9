//! A host as a script meets it.

use std::time::Duration;

use super::{Domain, Errno, Host, Kind, Settings};
use crate::sim::script::packet;
use crate::wire::icmp::{self, IcmpError};
use crate::wire::option::{TcpOptions, Timestamp};
use crate::wire::tcp::{self, Flags, TcpHeader};
use crate::wire::{IpHeader, emit_ip, parse_ip, protocol};

const PEER: &str = "192.0.2.1";
const LOCAL: &str = "192.168.7.7";

fn segment(flags: Flags, seq: u32, ack: u32, text: &[u8]) -> Vec<u8> {
    let options = TcpOptions { mss: flags.contains(Flags::SYN).then_some(1_000), ..TcpOptions::default() };
    let header =
        TcpHeader { source_port: 40_000, destination_port: 8_080, seq, ack, flags, window: 32_792, urgent: 0, options };
    packet(PEER.parse().unwrap(), LOCAL.parse().unwrap(), &header, text)
}

fn taken(host: &mut Host) -> (TcpHeader, usize) {
    let (_, packet) = host.take_packet().expect("a packet has left");
    let ip = parse_ip(&packet).unwrap();
    let (header, text) = tcp::parse(ip.payload).unwrap();
    (header, text.len())
}

#[test]
fn a_host_serves_a_connection() {
    let mut host = Host::new(Settings::default()).unwrap();
    let listener = host.socket(Domain::V4, Kind::Stream).unwrap();
    host.bind(listener, format!("{LOCAL}:8080").parse().unwrap()).unwrap();
    host.listen(listener, 1).unwrap();
    assert_eq!(host.accept(listener), Err(Errno::EAGAIN));
    host.inject(&segment(Flags::SYN, 0, 0, &[]));
    let (syn_ack, _) = taken(&mut host);
    assert_eq!((syn_ack.flags, syn_ack.ack), (Flags::SYN | Flags::ACK, 1));
    host.inject(&segment(Flags::ACK, 1, syn_ack.seq.wrapping_add(1), &[]));
    let (fd, peer) = host.accept(listener).unwrap();
    assert_eq!((fd, peer), (4, format!("{PEER}:40000").parse().unwrap()));
    assert_eq!(host.recv(fd, &mut [0; 100], 0), Err(Errno::EAGAIN));
    host.inject(&segment(Flags::ACK | Flags::PSH, 1, syn_ack.seq.wrapping_add(1), &[7; 100]));
    host.advance(Duration::from_millis(100));
    assert_eq!(taken(&mut host).0.ack, 101);
    assert_eq!(host.unread(fd), Ok(100));
    assert_eq!(host.read(fd, &mut [0; 200]), Ok(100));
    assert_eq!(host.write(fd, &[0; 500]), Ok(500));
    assert_eq!(taken(&mut host).1, 500);
    assert_eq!(host.close(fd), Ok(()));
    assert_eq!(taken(&mut host).0.flags, Flags::FIN | Flags::ACK);
    assert_eq!((host.close(fd), host.blocks(listener)), (Err(Errno::EBADF), true));
}

#[test]
fn the_states_of_all_sockets() {
    let mut host = Host::new(Settings::default()).unwrap();
    let listener = host.socket(Domain::V4, Kind::Stream).unwrap();
    assert_eq!(host.status(), "root packetdril 1 3 tcp4 0.0.0.0:0 *:* CLOSED\n");
    host.bind(listener, format!("{LOCAL}:8080").parse().unwrap()).unwrap();
    host.listen(listener, 1).unwrap();
    host.inject(&segment(Flags::SYN, 0, 0, &[]));
    let listens = format!("root packetdril 1 3 tcp4 {LOCAL}:8080 *:* LISTEN\n");
    assert_eq!(host.status(), format!("{listens}? ? ? ? tcp4 {LOCAL}:8080 *:* SYN_RCVD\n"));
    let (syn_ack, _) = taken(&mut host);
    host.inject(&segment(Flags::ACK, 1, syn_ack.seq.wrapping_add(1), &[]));
    host.accept(listener).unwrap();
    let open = format!("root packetdril 1 4 tcp4 {LOCAL}:8080 {PEER}:40000 ESTABLISHED\n");
    assert_eq!(host.status(), format!("{listens}{open}"));
}

/// An ICMP error about a packet that nobody has sent, to the one that would have.
fn error_about(packet: &[u8]) -> Vec<u8> {
    let (local, peer) = (LOCAL.parse().unwrap(), PEER.parse().unwrap());
    let mut buffer = vec![0; 20 + icmp::MAX_ERROR_LEN];
    let unreachable = IcmpError::DestinationUnreachable { code: 1 };
    let len = icmp::emit_error(peer, local, unreachable, packet, &mut buffer[20..]);
    let header = IpHeader {
        source: peer,
        destination: local,
        protocol: protocol::ICMPV4,
        hop_limit: 64,
        traffic_class: 0,
        identification: 0,
        dont_fragment: false,
    };
    emit_ip(&header, len, &mut buffer);
    buffer.truncate(20 + len);
    buffer
}

#[test]
fn counters_stand_behind_the_states() {
    let mut host = Host::new(Settings::default()).unwrap();
    assert_eq!(host.status(), "");
    let options = TcpOptions::default();
    let header = TcpHeader {
        source_port: 8_080,
        destination_port: 1,
        seq: 7,
        ack: 0,
        flags: Flags::ACK,
        window: 1,
        urgent: 0,
        options,
    };
    let quoted = packet(LOCAL.parse().unwrap(), PEER.parse().unwrap(), &header, &[]);
    for times in 1..3 {
        host.inject(&error_about(&quoted));
        let words: Vec<String> = host.status().split_whitespace().map(str::to_owned).collect();
        assert_eq!(words, ["#", "TcpExtOutOfWindowIcmps", &times.to_string(), "0.0"]);
    }
}

#[test]
fn a_syn_ack_that_echoes_what_no_syn_had() {
    let mut host = Host::new(Settings::default()).unwrap();
    let fd = host.socket(Domain::V4, Kind::Stream).unwrap();
    assert_eq!(host.connect(fd, format!("{PEER}:8080").parse().unwrap()), Err(Errno::EINPROGRESS));
    let (syn, _) = taken(&mut host);
    let sent = syn.options.timestamp.unwrap().value;
    let local = host.ends(fd).unwrap().0.unwrap();
    let mut answered = |echo| {
        let timestamp = Some(Timestamp { value: 70, echo });
        let header = TcpHeader {
            source_port: 8_080,
            destination_port: local.port(),
            seq: 500,
            ack: syn.seq.wrapping_add(1),
            flags: Flags::SYN | Flags::ACK,
            window: 8_000,
            urgent: 0,
            options: TcpOptions { mss: Some(1_000), timestamp, ..TcpOptions::default() },
        };
        host.advance(Duration::from_millis(5));
        host.inject(&packet(PEER.parse().unwrap(), local.ip(), &header, &[]));
        let (answer, _) = taken(&mut host);
        (answer.flags, answer.seq == syn.seq.wrapping_add(1))
    };
    for echo in [sent.wrapping_sub(1), sent.wrapping_add(1_000)] {
        assert_eq!(answered(echo), (Flags::RST, true));
    }
    assert_eq!(answered(sent), (Flags::ACK, true));
}

/// `tcpi_delivered`.
fn delivered(host: &mut Host, fd: i32) -> u32 {
    let info = host.getsockopt(fd, libc::IPPROTO_TCP, libc::TCP_INFO, 1_000).unwrap();
    u32::from_ne_bytes(info[192..196].try_into().unwrap())
}

#[test]
fn segments_that_were_delivered() {
    let mut host = Host::new(Settings::parse("net.ipv4.tcp_fastopen=0x602").unwrap()).unwrap();
    let listener = host.socket(Domain::V4, Kind::Stream).unwrap();
    host.bind(listener, format!("{LOCAL}:8080").parse().unwrap()).unwrap();
    host.listen(listener, 1).unwrap();
    host.inject(&segment(Flags::SYN, 0, 0, &[7; 100]));
    let (syn_ack, _) = taken(&mut host);
    let (fd, _) = host.accept(listener).unwrap();
    assert_eq!(delivered(&mut host, fd), 0);
    let acknowledge = |host: &mut Host, octets: u32| {
        host.inject(&segment(Flags::ACK, 101, syn_ack.seq.wrapping_add(1 + octets), &[]));
        delivered(host, fd)
    };
    assert_eq!(acknowledge(&mut host, 0), 1, "the SYN-ACK");
    assert_eq!(host.write(fd, &[0; 2_500]), Ok(2_500));
    assert_eq!(acknowledge(&mut host, 2_000), 3);
    assert_eq!(acknowledge(&mut host, 2_500), 4);
}
