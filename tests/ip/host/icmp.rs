//! ICMP: echoes, errors that leave, and errors that come.

use std::time::Duration;

use glasstcp::SocketError;
use glasstcp::counters::DropReason;
use glasstcp::sim::Script;
use glasstcp::wire::icmp::{Echo, IcmpError, IcmpMessage};
use glasstcp::wire::tcp::{Flags, TcpHeader};
use glasstcp::wire::{parse_ip, protocol};

use super::support::*;
use crate::kit::{datagram, fix_ipv4, give, icmp_error, icmp_message, ip_packet};

/// 1122-3.2.1.3-2, 1122-3.3.4.2, 4443-2.2: answers come from the address that was asked; what is for others is dropped.
#[test]
fn answers_come_from_the_address_that_was_asked() {
    let mut script = Script::with(|config| {
        config.addresses.push("10.0.0.7/24".parse().unwrap());
        config.addresses.push("fd00:67::7/64".parse().unwrap());
    });
    for (own, peer) in [("10.0.0.2", "10.0.0.1"), ("10.0.0.7", "10.0.0.1"), ("fd00:67::7", "fd00:67::1")] {
        let header = TcpHeader { destination_port: 9, source_port: 1, flags: Flags::SYN, ..TcpHeader::default() };
        let kind = if own.contains(':') { 128 } else { 8 };
        for packet in [
            glasstcp::sim::script::packet(ip(peer), ip(own), &header, &[]),
            datagram(end(peer, 5), end(own, 9), b"x"),
            icmp_message(ip(peer), ip(own), kind, 0, &[0, 1, 0, 2, 3]),
        ] {
            give(&mut script, &packet);
            let answers = script.packets();
            assert_eq!(answers.len(), 1);
            let answer = parse_ip(&answers[0]).unwrap();
            assert_eq!((answer.source, answer.destination), (ip(own), ip(peer)));
        }
    }
    // To all nodes: from a unicast address of ours.
    give(&mut script, &icmp_message(ip("fd00:67::1"), ip("ff02::1"), 128, 0, &[0, 1, 0, 2]));
    let answers = script.packets();
    assert_eq!(parse_ip(&answers[0]).unwrap().source, ip("fd00:67::2"));
    for destination in ["10.0.0.3", "192.168.0.1", "224.0.0.9", "127.0.0.1"] {
        let foreign = datagram(end("10.0.0.1", 5), end(destination, 9), b"x");
        assert_eq!(give(&mut script, &foreign), Some(DropReason::NotOurs));
    }
    assert!(script.packets().is_empty());
}

/// 1122-3.2.2.6-1, 792-echo, 4443-4.2, 4443-2.3, 1122-3.2.2.6-2: all of an echo comes back, to one host and not to a group.
#[test]
fn echoes() {
    for (own, peer) in FAMILIES {
        let kind = if own.contains(':') { 128 } else { 8 };
        let mut script = Script::new();
        for size in [0, 1, 2, 55, 56, 57, 1_000, 1_451, 1_452] {
            let data: Vec<u8> = (0..size).map(|n| (n % 253) as u8).collect();
            let rest = [&[0x12, 0x34, 0xAB, 0xCD], data.as_slice()].concat();
            let request = icmp_message(ip(peer), ip(own), kind, 0, &rest);
            assert_eq!(give(&mut script, &request), None);
            let answers = script.packets();
            let answer = parse_ip(&answers[0]).unwrap();
            let IcmpMessage::EchoReply(echo) = message(&answer) else { panic!("{answer:?}") };
            assert_eq!(echo, Echo { identifier: 0x1234, sequence: 0xABCD, data: &data });
            for bit in [160, 161, 200] {
                let mut bad = request.clone();
                let place = if own.contains(':') { bit / 8 + 20 } else { bit / 8 };
                bad[place] ^= 1;
                assert!(give(&mut script, &bad).is_some());
                assert!(script.packets().is_empty());
            }
        }
    }
    let mut script = Script::new();
    for group in ["10.0.0.255", "255.255.255.255", "224.0.0.1"] {
        let request = icmp_message(ip("10.0.0.1"), ip(group), 8, 0, &[0; 20]);
        assert_eq!(give(&mut script, &request), Some(DropReason::IcmpIgnored));
        assert!(script.packets().is_empty());
    }
}

/// 1122-3.2.2-1, 4443-2.4-b, 1122-3.2.2.2, 1122-3.2.2.8, 6633-3: of all types only the known ones have an effect, and none
/// draws a source quench.
#[test]
fn icmp_types() {
    for (own, peer) in FAMILIES {
        let mut script = Script::new();
        for kind in 0..=255 {
            let packet = icmp_message(ip(peer), ip(own), kind, 0, &[0; 60]);
            let dropped = give(&mut script, &packet);
            let answers = script.packets();
            let echo = kind == if own.contains(':') { 128 } else { 8 };
            assert_eq!((dropped.is_none(), answers.len()), (echo, usize::from(echo)), "type {kind}");
            assert!(answers.iter().all(|answer| own.contains(':') || answer[20] != 4));
        }
        assert_eq!(script.stack.table_sizes(), (0, 0, 0));
    }
}

/// 1122-3.2.2.1, 4443-3.1, 1122-4.1.3.1, 1122-3.2.2-2, 1812-4.3.2.3, 4443-2.4-c, 8200-4-2: unreachable ports and protocols,
/// and how much is quoted.
#[test]
fn unreachable() {
    for (own, peer) in FAMILIES {
        let v6 = own.contains(':');
        let longest = if v6 { 1_280 } else { 576 };
        let mut script = Script::with(|config| config.mtu = 9_000);
        for len in [0, 1, 8, 100, 520, 548, 549, 1_232, 1_233, 5_000] {
            let packet = datagram(end(peer, 5), end(own, 9), &vec![7; len]);
            assert_eq!(give(&mut script, &packet), Some(DropReason::UdpNoSocket));
            let answers = script.packets();
            let (error, quotation) = error_of(&answers[0]);
            assert_eq!(error, IcmpError::DestinationUnreachable { code: if v6 { 4 } else { 3 } });
            assert!(packet.starts_with(&quotation), "as it came");
            assert_eq!(answers[0].len(), longest.min(packet.len() + if v6 { 48 } else { 28 }));
        }
        let unknown = ip_packet(ip(peer), ip(own), 99, b"who knows");
        assert_eq!(give(&mut script, &unknown), Some(DropReason::UnknownProtocol));
        let (error, _) = error_of(&script.packets()[0]);
        let expected = if v6 {
            IcmpError::ParameterProblem { code: 1, pointer: 6 }
        } else {
            IcmpError::DestinationUnreachable { code: 2 }
        };
        assert_eq!(error, expected);
    }
}

/// 1122-3.2.2-3, 4443-2.4-e: no error about an error, a group, a fragment, or to a source that is not one host.
#[test]
fn no_error_about_these() {
    let mut script = Script::new();
    let closed = |from: &str, to: &str| datagram(end(from, 5), end(to, 9), b"x");
    let mut fragment = closed("10.0.0.1", "10.0.0.2");
    fragment[7] = 1;
    fix_ipv4(&mut fragment);
    let own_error = icmp_error(ip("10.0.0.2"), &closed("10.0.0.1", "10.0.0.2"), IcmpError::TimeExceeded { code: 0 });
    let mut packets = vec![
        closed("10.0.0.1", "10.0.0.255"),
        closed("10.0.0.1", "255.255.255.255"),
        closed("10.0.0.1", "224.0.0.1"),
        closed("fd00:67::1", "ff02::1"),
        closed("0.0.0.0", "10.0.0.2"),
        closed("10.0.0.255", "10.0.0.2"),
        closed("224.0.0.1", "10.0.0.2"),
        closed("127.0.0.1", "10.0.0.2"),
        closed("::", "fd00:67::2"),
        closed("ff02::1", "fd00:67::2"),
        closed("fd00:67::2", "fd00:67::2"),
        fragment,
        own_error,
    ];
    // The same sources with an option that would be worth a report.
    for source in ["0.0.0.0", "10.0.0.255", "224.0.0.1", "127.0.0.1", "10.0.0.2"] {
        packets.push(with_ip_options(&closed(source, "10.0.0.2"), &[7, 2, 1, 1]));
    }
    // ICMP errors and redirects that mean nothing to us, behind extension headers that would be worth a report.
    for kind in [1, 3, 100, 137] {
        let inner = icmp_message(ip("fd00:67::1"), ip("fd00:67::2"), kind, 0, &[0; 20])[40..].to_vec();
        let options = [&[58, 0, 0x80, 0, 0, 0, 0, 0], inner.as_slice()].concat();
        packets.push(ip_packet(ip("fd00:67::1"), ip("fd00:67::2"), protocol::DESTINATION_OPTIONS, &options));
    }
    for (number, packet) in packets.iter().enumerate() {
        // The fragment waits for others; all else is dropped.
        assert_eq!(give(&mut script, packet).is_none(), packet[6..8] == [0, 1], "{number}");
        assert!(script.packets().is_empty(), "{number}");
    }
    // The two exceptions of ICMPv6 for multicast destinations (RFC 4443 section 2.4 (e.3)) and, for one host, the rule.
    for (to, kind, code) in [("ff02::1", 0x80, Some(2)), ("ff02::1", 0xC0, None), ("fd00:67::2", 0xC0, Some(2))] {
        let options = [&[protocol::UDP, 0, kind, 0, 0, 0, 0, 0], &closed("fd00:67::1", to)[40..]].concat();
        let packet = ip_packet(ip("fd00:67::1"), ip(to), protocol::DESTINATION_OPTIONS, &options);
        assert!(give(&mut script, &packet).is_some());
        let answers = script.packets();
        let expected = code.map(|code| IcmpError::ParameterProblem { code, pointer: 42 });
        assert_eq!(answers.first().map(|answer| error_of(answer).0), expected, "{to} {kind:x}");
    }
}

/// 1812-4.3.2.8, 4443-2.4-f, 1122-4.1.3.1: errors are limited, by a setting, and echoes are not held up by them.
#[test]
fn errors_are_rate_limited() {
    for (own, peer) in FAMILIES {
        let mut script = Script::with(|config| config.icmp_errors_per_second = 20);
        let mut errors = 0;
        for _ in 0..10_000 {
            script.now += Duration::from_micros(500);
            give(&mut script, &datagram(end(peer, 5), end(own, 9), b"x"));
            errors += script.packets().len();
        }
        // Half of the rate is for one host.
        assert!((10 + 48..=10 + 50).contains(&errors), "{errors} in five seconds");
        let kind = if own.contains(':') { 128 } else { 8 };
        give(&mut script, &icmp_message(ip(peer), ip(own), kind, 0, &[0; 8]));
        assert_eq!(script.packets().len(), 1);
        assert!(script.stack.counters().dropped(DropReason::IcmpRateLimited) > 9_000);
    }
}

/// 1122-3.2.2-4, 1122-4.1.3.3: the quoted protocol number decides who is told.
#[test]
fn errors_go_to_whom_the_quotation_names() {
    for (own, peer) in FAMILIES {
        let mut script = Script::on(&end(own, 80).to_string(), &end(peer, 53).to_string(), |_| {});
        // The same ports for TCP and UDP.
        let socket = script.stack.udp_bind(script.local).unwrap();
        script.stack.udp_connect(socket, script.peer).unwrap();
        script.stack.udp_send(script.now, socket, None, b"question").unwrap();
        let about_udp = script.packets().remove(0);
        let handle = script.accept();
        let about_tcp = script.send(handle, b"text").remove(0).packet;
        let port = IcmpError::port_unreachable(ip(own));
        assert_eq!(give(&mut script, &icmp_error(ip(peer), &about_tcp, port)), None);
        assert_eq!(script.stack.udp_receive(socket), Err(SocketError::WouldBlock));
        assert!(script.stack.tcp_take_soft_error(handle).is_some());
        assert_eq!(give(&mut script, &icmp_error(ip(peer), &about_udp, port)), None);
        assert_eq!(script.stack.tcp_take_soft_error(handle), None);
        assert_eq!(script.stack.udp_send(script.now, socket, None, b"x"), Err(SocketError::Refused));
        assert_eq!(script.stack.udp_receive(socket), Err(SocketError::WouldBlock), "told once");
        let about_other = ip_packet(ip(own), ip(peer), 99, &[1; 40]);
        let dropped = give(&mut script, &icmp_error(ip(peer), &about_other, port));
        assert_eq!(dropped, Some(DropReason::IcmpUnmatched));
        // About another host's packet, or about another peer's.
        let foreign = datagram(script.peer, script.local, b"x");
        let forged = icmp_error(ip(peer), &foreign, port);
        assert!(give(&mut script, &forged).is_some());
        let other = datagram(script.local, end(peer, 54), b"x");
        assert_eq!(give(&mut script, &icmp_error(ip(peer), &other, port)), Some(DropReason::IcmpUnmatched));
        assert_eq!(script.stack.udp_receive(socket), Err(SocketError::WouldBlock));
    }
}

/// 4443-2.4-a, 1122-3.2.2-4: an error about an echo request goes to its sender, and no other one does.
#[test]
fn errors_about_echo_requests() {
    for (own, peer) in FAMILIES {
        let mut script = Script::new();
        let sender = script.stack.echo_open().unwrap();
        // 1122-3.2.1.7-1
        let refused = script.stack.echo_send(script.now, sender, ip(peer), 7, 0, b"data");
        assert_eq!((refused, script.packets().len()), (Err(SocketError::InvalidArgument), 0));
        script.stack.echo_send(script.now, sender, ip(peer), 7, 64, b"data").unwrap();
        let request = script.packets().remove(0);
        let error = IcmpError::TimeExceeded { code: 0 };
        let at = if own.contains(':') { 40 } else { 20 };
        for (place, octet) in [(at, 0), (at + 4, request[at + 4] ^ 1), (at + 1, 1)] {
            let mut other = request.clone();
            other[place] = octet;
            assert_eq!(give(&mut script, &icmp_error(ip(peer), &other, error)), Some(DropReason::IcmpUnmatched));
        }
        assert_eq!(script.stack.echo_receive(sender), Err(SocketError::WouldBlock));
        assert_eq!(give(&mut script, &icmp_error(ip(peer), &request, error)), None);
        let told = script.stack.echo_receive(sender).unwrap();
        assert_eq!((told.sequence, told.error, told.source), (7, Some(error), ip(peer)));
    }
}
