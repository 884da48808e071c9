//! Internal loopback: what this host sends to itself is served inside, never reaches the device, and nothing from the device
//! gets there.

use crate::kit::{give, icmp_error, ip_packet};
use glasstcp::SocketError;
use glasstcp::counters::DropReason;
use glasstcp::sim::Script;
use glasstcp::stack::loopback::LOOPBACK_MTU;
use glasstcp::stack::siblings::Share;
use glasstcp::stack::{ListenerHandle, Progress, Readiness, SocketHandle, TcpHandle, UdpHandle, WouldBlock};
use glasstcp::tcp::config::SocketOptions;
use glasstcp::tcp::state::State;
use glasstcp::wire::icmp::IcmpError;
use glasstcp::wire::option::TcpOptions;
use glasstcp::wire::protocol;
use glasstcp::wire::tcp::{Flags, TcpHeader};
use glasstcp::wire::udp::{self, UdpHeader};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// Addresses of this host, and from which of them it speaks to each.
const INSIDE: [(&str, &str); 5] = [
    ("127.0.0.1", "127.0.0.1"),
    ("127.9.8.7", "127.0.0.1"),
    ("::1", "::1"),
    ("10.0.0.2", "10.0.0.2"),
    ("fd00:67::2", "fd00:67::2"),
];

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn end(address: &str, port: u16) -> SocketAddr {
    SocketAddr::new(ip(address), port)
}

/// All that is to be done inside, and not a packet outside.
#[track_caller]
fn settle(script: &mut Script) {
    assert!(script.packets().is_empty(), "something left the host");
    let counters = script.stack.counters();
    assert_eq!((counters.packets_in, counters.packets_out), (0, 0));
}

/// Both ends of a connection to `to`, which is listened to.
fn connected(script: &mut Script, listener: ListenerHandle, to: SocketAddr) -> (TcpHandle, TcpHandle) {
    let client = script.stack.tcp_connect(script.now, None, to, SocketOptions::default()).unwrap();
    settle(script);
    let (server, _) = script.stack.tcp_accept(listener).unwrap();
    assert_eq!(script.stack.tcp_state(client), Some(State::Established));
    (client, server)
}

/// 1122-3.2.1.3-4: connections to loopback and own addresses, with all that there is to TCP, and nothing on the device.
#[test]
fn connections() {
    for (address, source) in INSIDE {
        for bound in [address, if address.contains(':') { "::" } else { "0.0.0.0" }] {
            let mut script = Script::new();
            let to = end(address, 80);
            let listener = script.stack.tcp_listen(end(bound, 80), 8, SocketOptions::default()).unwrap();
            let (client, server) = connected(&mut script, listener, to);
            let tuple = script.stack.tcp_tuple(server).unwrap();
            assert_eq!((tuple.local(), tuple.remote_addr), (to, ip(source)), "{address}");
            let headers = if to.is_ipv6() { 60 } else { 40 };
            let mss = script.stack.tcp_connection(client).unwrap().snd.mss;
            assert_eq!(usize::from(mss), LOOPBACK_MTU - headers);
            let text: Vec<u8> = (0..1_000_000).map(|n| (n % 251) as u8).collect();
            for (from, to) in [(client, server), (server, client)] {
                let (mut sent, mut received) = (0, Vec::new());
                while received.len() < text.len() {
                    sent += script.stack.tcp_send(script.now, from, &text[sent..]).unwrap_or(0);
                    settle(&mut script);
                    received.extend(script.receive(to));
                    script.pass(Duration::from_millis(50));
                }
                assert_eq!(received, text);
            }
            for (handle, state) in [(client, State::FinWait2), (server, State::LastAck)] {
                script.stack.tcp_close(script.now, handle);
                assert!(script.pass(Duration::from_millis(50)).is_empty());
                assert!(script.stack.tcp_state(handle).is_none_or(|now| now == state || now == State::Closed));
            }
            assert_eq!(script.stack.table_sizes(), (0, 0, 1), "TIME-WAIT of the one who closed first");
            settle(&mut script);
        }
    }
}

#[test]
fn nobody_is_there() {
    for (address, _) in INSIDE {
        let mut script = Script::new();
        let options = SocketOptions::default();
        let client = script.stack.tcp_connect(script.now, None, end(address, 80), options).unwrap();
        settle(&mut script);
        assert_eq!(script.stack.tcp_error(client), Some(SocketError::Refused), "{address}");

        let socket = script.stack.udp_bind(end(if address.contains(':') { "::" } else { "0.0.0.0" }, 9)).unwrap();
        script.stack.udp_connect(socket, end(address, 80)).unwrap();
        script.stack.udp_send(script.now, socket, None, b"anybody?").unwrap();
        settle(&mut script);
        assert_eq!(script.stack.udp_receive(socket), Err(SocketError::Refused), "{address}");
    }
}

/// 9293-3.10.7.4-9: a connection from a port to itself: both SYNs cross, and what is written is read again. As in Linux, it
/// has to be asked for: no chosen port makes one.
#[test]
fn a_connection_to_itself() {
    for (address, source) in INSIDE {
        if address != source {
            continue;
        }
        let mut script = Script::new();
        let both = end(address, 5_000);
        let handle = script.stack.tcp_connect(script.now, Some(both), both, SocketOptions::default()).unwrap();
        settle(&mut script);
        assert_eq!(script.stack.tcp_state(handle), Some(State::Established), "{address}");
        script.stack.tcp_send(script.now, handle, b"to myself").unwrap();
        settle(&mut script);
        assert_eq!(script.receive(handle), b"to myself");
        script.stack.tcp_close(script.now, handle);
        assert!(script.pass(Duration::from_millis(100)).is_empty());
        assert_eq!(script.stack.table_sizes(), (0, 0, 1), "a simultaneous close");
        assert!(script.pass(Duration::from_secs(120)).is_empty());
        assert_eq!(script.stack.table_sizes(), (0, 0, 0));
        settle(&mut script);

        let mut script = Script::with(|config| config.ephemeral_ports = 5_000..=5_000);
        let refused = script.stack.tcp_connect(script.now, None, both, SocketOptions::default());
        assert_eq!(refused, Err(SocketError::AddressNotAvailable));
    }
}

fn bound(script: &mut Script, address: &str, port: u16) -> UdpHandle {
    script.stack.udp_bind(end(address, port)).unwrap()
}

#[test]
fn datagrams_and_echoes() {
    for (address, source) in INSIDE {
        let mut script = Script::new();
        let server = bound(&mut script, address, 53);
        let client = bound(&mut script, if address.contains(':') { "::" } else { "0.0.0.0" }, 9);
        let largest = LOOPBACK_MTU - if address.contains(':') { 48 } else { 28 };
        for len in [0, 1, 1_472, 1_473, largest] {
            script.stack.udp_send(script.now, client, Some(end(address, 53)), &vec![7; len]).unwrap();
            settle(&mut script);
            let datagram = script.stack.udp_receive(server).unwrap();
            assert_eq!((datagram.source, datagram.data.len()), (end(source, 9), len), "{address}");
            script.stack.udp_send(script.now, server, Some(datagram.source), b"answer").unwrap();
            settle(&mut script);
            assert_eq!(script.stack.udp_receive(client).unwrap().source, end(address, 53));
        }
        let pinger = script.stack.echo_open().unwrap();
        script.stack.echo_send(script.now, pinger, ip(address), 1, 64, &[5; 10_000]).unwrap();
        settle(&mut script);
        let reply = script.stack.echo_receive(pinger).unwrap();
        assert_eq!((reply.source, reply.data.len()), (ip(address), 10_000));
    }
}

/// What has a loopback address does not leave, whatever it is bound to.
#[test]
fn loopback_addresses_do_not_leave() {
    let mut script = Script::with(|config| config.any_address = true);
    for (own, peer) in [("127.0.0.1", "10.0.0.1"), ("::1", "fd00:67::1"), ("127.0.0.1", "8.8.8.8")] {
        let (now, options) = (script.now, SocketOptions::default());
        let refused = script.stack.tcp_connect(now, Some(end(own, 0)), end(peer, 80), options);
        assert_eq!(refused, Err(SocketError::InvalidAddress));
        let socket = bound(&mut script, own, 0);
        let refused = script.stack.udp_send(now, socket, Some(end(peer, 9)), b"x");
        assert_eq!(refused, Err(SocketError::InvalidAddress));
    }
    // Nor does another host's address speak to this one from inside.
    let (now, options) = (script.now, SocketOptions::default());
    let refused = script.stack.tcp_connect(now, Some(end("8.8.8.8", 0)), end("10.0.0.2", 80), options);
    assert_eq!(refused, Err(SocketError::InvalidAddress));
    settle(&mut script);
}

fn datagram(from: SocketAddr, to: SocketAddr) -> Vec<u8> {
    let mut payload = vec![0; 8];
    udp::emit(
        from.ip(),
        to.ip(),
        &UdpHeader { source_port: from.port(), destination_port: to.port() },
        &[],
        &mut payload,
    );
    ip_packet(from.ip(), to.ip(), protocol::UDP, &payload)
}

/// 1122-3.2.1.3-3, 1122-3.2.1.3-4: nothing from the wire gets to what listens inside, in no mode, by no address.
#[test]
fn the_wire_does_not_reach_inside() {
    for any_address in [false, true] {
        let mut script = Script::with(|config| config.any_address = any_address);
        for address in ["127.0.0.1", "::1"] {
            script.stack.tcp_listen(end(address, 80), 8, SocketOptions::default()).unwrap();
            bound(&mut script, address, 80);
        }
        for (from, to, reason) in [
            ("10.0.0.1", "127.0.0.1", DropReason::NotOurs),
            ("127.0.0.1", "127.0.0.1", DropReason::IpSource),
            ("127.0.0.1", "10.0.0.2", DropReason::IpSource),
            ("10.0.0.2", "10.0.0.2", DropReason::IpOwnSource),
            ("10.0.0.2", "127.0.0.1", DropReason::IpOwnSource),
            ("fd00:67::1", "::1", DropReason::NotOurs),
            ("::1", "::1", DropReason::IpSource),
            ("::1", "fd00:67::2", DropReason::IpSource),
        ] {
            let header = TcpHeader { source_port: 1, destination_port: 80, flags: Flags::SYN, ..TcpHeader::default() };
            let syn = glasstcp::sim::script::packet(ip(from), ip(to), &header, &[]);
            for packet in [syn, datagram(end(from, 9), end(to, 80))] {
                assert_eq!(give(&mut script, &packet), Some(reason), "{from} to {to}");
                assert!(script.packets().is_empty());
            }
        }
        // The listener is not for others of the host's addresses either.
        script.peer_syn(TcpOptions::default());
        assert_eq!(script.stack.table_sizes(), (0, 0, 0));
    }
}

/// 5927-4.1: an error from the wire about what stays inside is a forgery, whatever it quotes.
#[test]
fn errors_from_the_wire_about_what_is_inside_are_forged() {
    let mut script = Script::new();
    // A SYN that waits for a decision, so that its connection is in SYN-SENT.
    let deferred = glasstcp::stack::ListenOptions { deferred: true, ..Default::default() };
    script.stack.tcp_listen_with(end("10.0.0.2", 80), &deferred).unwrap();
    let client = script.stack.tcp_connect(script.now, None, end("10.0.0.2", 80), SocketOptions::default()).unwrap();
    settle(&mut script);
    let tuple = script.stack.tcp_tuple(client).unwrap();
    let header = TcpHeader {
        source_port: tuple.local_port,
        destination_port: 80,
        seq: script.stack.tcp_connection(client).unwrap().snd.iss.0,
        flags: Flags::SYN,
        ..TcpHeader::default()
    };
    let syn = glasstcp::sim::script::packet(ip("10.0.0.2"), ip("10.0.0.2"), &header, &[]);
    let forged = icmp_error(ip("10.0.0.1"), &syn, IcmpError::port_unreachable(ip("10.0.0.2")));
    assert_eq!(give(&mut script, &forged), Some(DropReason::IcmpUnmatched));
    assert_eq!(script.stack.tcp_error(client), None);
    assert_eq!(script.stack.tcp_state(client), Some(State::SynSent));
}

/// What waits for a device that takes nothing does not hold up what stays here.
#[test]
fn datagrams_stay_inside_while_the_device_is_stuck() {
    let mut script = Script::new();
    let now = script.now;
    let server = bound(&mut script, "127.0.0.1", 53);
    let socket = bound(&mut script, "0.0.0.0", 9);
    let inside = bound(&mut script, "127.0.0.1", 10);
    script.stack.udp_connect(inside, end("127.0.0.1", 53)).unwrap();
    let writable =
        |script: &Script, socket: UdpHandle| script.stack.readiness(SocketHandle::Udp(socket)).any(Readiness::WRITABLE);
    // One socket fills its own share, others the queue.
    let mut outside = socket;
    for port in 1_000.. {
        let mut sent = 0;
        while script.stack.udp_send(now, outside, Some(end("10.0.0.1", 5)), &[1; 1_000]).is_ok() {
            sent += 1;
        }
        if sent == 0 {
            break;
        }
        outside = bound(&mut script, "10.0.0.2", port);
    }
    assert!(!writable(&script, socket) && writable(&script, inside));
    let outwards = script.stack.udp_send(now, socket, Some(end("10.0.0.1", 5)), &[1; 1_000]);
    assert_eq!(outwards, Err(SocketError::WouldBlock));
    for round in 0..3 {
        assert_eq!(script.stack.udp_send(now, socket, Some(end("127.0.0.1", 53)), b"stays"), Ok(5));
        assert_eq!(script.stack.udp_send(now, inside, None, b"here"), Ok(4));
        script.stack.transmit(now, usize::MAX, |_| Err(WouldBlock));
        for data in [&b"stays"[..], b"here"] {
            assert_eq!(script.stack.udp_receive(server).unwrap().data, data, "{round}");
        }
    }
    // Where the queue of what stays inside is full, a socket that speaks to nobody else is not writable.
    while script.stack.udp_send(now, socket, Some(end("127.0.0.1", 53)), b"x").is_ok() {}
    assert!(!writable(&script, inside));
    script.stack.transmit(now, usize::MAX, |_| Err(WouldBlock));
    assert!(writable(&script, inside));
}

/// One call works off a turn, and the queue has an end: a program that talks to itself cannot hold up the stack or fill
/// memory.
#[test]
fn work_and_memory_are_bounded() {
    let mut script = Script::new();
    let server = bound(&mut script, "127.0.0.1", 53);
    let client = bound(&mut script, "127.0.0.1", 9);
    let now = script.now;
    let mut send = |len: usize| {
        let full = (0..10_000).find_map(|number| {
            let sent = script.stack.udp_send(now, client, Some(end("127.0.0.1", 53)), &vec![1; len]);
            sent.err().map(|error| (number, error))
        });
        let (number, error) = full.expect("the queue has an end");
        assert_eq!(error, SocketError::WouldBlock);
        let mut calls = 0;
        while script.stack.transmit(now, usize::MAX, |_| unreachable!("nothing leaves")) == Progress::More {
            calls += 1;
        }
        let mut received = 0;
        while script.stack.udp_receive(server).is_ok() {
            received += 1;
        }
        (number, calls, received)
    };
    let (number, calls, received) = send(1);
    assert_eq!((number, received), (1_024, 1_024));
    assert_eq!(calls, 7, "eight turns of 128");
    let (number, calls, _) = send(60_000);
    assert!((100..140).contains(&number), "{number} packets of 60,000 octets in 8 MiB");
    assert_eq!(calls, 7, "eight turns of 1 MiB");
}

/// What waits for the siblings is bounded by its number and by its octets, and taking it makes room.
#[test]
fn strays_are_bounded() {
    for (len, most) in [(1, 1_024..1_025), (60_000, 130..140)] {
        let mut script = Script::new();
        script.stack.set_share(Share::new(0, 2).unwrap());
        let client = bound(&mut script, "127.0.0.1", 9);
        for _ in 0..2 {
            let before = script.stack.counters().dropped(DropReason::SiblingBusy);
            for _ in 0..1_500 {
                script.stack.udp_send(script.now, client, Some(end("127.0.0.1", 53)), &vec![1; len]).unwrap();
                script.stack.transmit(script.now, usize::MAX, |_| unreachable!("nothing leaves"));
            }
            let strays = std::iter::from_fn(|| script.stack.take_stray()).count();
            assert!(most.contains(&strays), "{strays} of {len}");
            let dropped = script.stack.counters().dropped(DropReason::SiblingBusy) - before;
            assert_eq!(strays as u64 + dropped, 1_500);
        }
    }
}
