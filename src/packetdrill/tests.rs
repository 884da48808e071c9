//! A host as a script meets it.

use std::time::Duration;

use super::{Domain, Errno, Host, Kind, Settings};
use crate::sim::script::packet;
use crate::wire::option::TcpOptions;
use crate::wire::parse_ip;
use crate::wire::tcp::{self, Flags, TcpHeader};

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
