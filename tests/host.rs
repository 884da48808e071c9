//! A host's IP, ICMP and UDP, through the whole stack.

mod kit;

use glasstcp::SocketError;
use glasstcp::counters::DropReason;
use glasstcp::rng::KeyedRng;
use glasstcp::sim::Script;
use glasstcp::stack::UdpHandle;
use glasstcp::wire::checksum::Checksum;
use glasstcp::wire::icmp::{self, Echo, IcmpError, IcmpMessage};
use glasstcp::wire::option::TcpOptions;
use glasstcp::wire::tcp::{Flags, TcpHeader};
use glasstcp::wire::udp;
use glasstcp::wire::{IpPacket, parse_ip, protocol};
use kit::{datagram, fix_checksums, fix_ipv4, give, icmp_error, icmp_message, ip_packet, portrait, with_area};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

const FAMILIES: [(&str, &str); 2] = [("10.0.0.2", "10.0.0.1"), ("fd00:67::2", "fd00:67::1")];

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn end(address: &str, port: u16) -> SocketAddr {
    SocketAddr::new(ip(address), port)
}

fn message<'a>(packet: &IpPacket<'a>) -> IcmpMessage<'a> {
    icmp::parse(packet.source, packet.destination, packet.payload).unwrap()
}

/// The packet with IPv4 options before its payload.
fn with_ip_options(packet: &[u8], options: &[u8]) -> Vec<u8> {
    let mut changed = packet[..20].to_vec();
    changed.extend_from_slice(options);
    changed.resize(20 + options.len().next_multiple_of(4), 0);
    changed[0] = 0x40 | (changed.len() / 4) as u8;
    changed.extend_from_slice(&packet[20..]);
    let len = (changed.len() as u16).to_be_bytes();
    changed[2..4].copy_from_slice(&len);
    fix_ipv4(&mut changed);
    changed
}

/// 9293-MUST-50, 1122-3.2.1.8, 9293-MAY-10, 9293-MAY-11: IP options mean nothing to TCP, whatever is in them; where they cannot
/// be read, or are a source route, the packet goes no further than IP.
#[test]
fn ip_options_are_ignored() {
    let mut script = Script::new();
    let handle = script.accept();
    let mut rng = KeyedRng::from_seed(50);
    let mut areas: Vec<Vec<u8>> = vec![
        vec![1, 1, 1, 1],
        vec![7, 7, 4, 0, 0, 0, 0],
        vec![68, 12, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        vec![148, 4, 0, 0],
    ];
    for _ in 0..500 {
        let len = 4 * (1 + rng.below(10));
        areas.push((0..len).map(|_| rng.below(256) as u8).collect());
        areas.push(
            [&[200, 4 + 4 * (len / 5) as u8][..], &[len as u8; 40]].concat()[..4 + 4 * (len as usize / 5)].to_vec(),
        );
    }
    let mut taken = 0;
    for area in areas {
        let packet = with_ip_options(&script.packet(&script.header(Flags::ACK), b"x"), &area);
        match give(&mut script, &packet) {
            None => script.seq = script.seq.wrapping_add(1),
            Some(DropReason::SourceRoute) => {
                assert!(area.contains(&131) || area.contains(&137));
                continue;
            }
            Some(DropReason::IpOption) => {
                script.packets();
                continue;
            }
            Some(other) => panic!("{other} for {area:?}"),
        }
        taken += 1;
        script.sent();
        assert_eq!(script.receive(handle), b"x", "{area:?}");
    }
    assert!(taken > 500, "{taken}");
}

/// 1122-3.2.1.2, 1122-3.2.1.1, 791-3.1-1, 791-3.1-2, 8200-3: a header that cannot be believed is a drop without an answer.
#[test]
fn bad_ip_headers() {
    let mut script = Script::new();
    let handle = script.accept();
    let before = portrait(&script, handle);
    let good = script.packet(&script.header(Flags::ACK), b"12345678");
    for bit in 0..160 {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert!(give(&mut script, &bad).is_some(), "bit {bit}");
    }
    for version in (0..16_u8).filter(|&version| version != 4) {
        let mut bad = good.clone();
        bad[0] = version << 4 | 5;
        fix_ipv4(&mut bad);
        assert!(give(&mut script, &bad).is_some(), "version {version}");
    }
    for ihl in 0..5 {
        let mut bad = good.clone();
        bad[0] = 0x40 | ihl;
        assert_eq!(give(&mut script, &bad), Some(DropReason::IpHeaderLength), "{ihl}");
    }
    for total in (0..20).chain(good.len() + 1..good.len() + 5).chain([65_535]) {
        let mut bad = good.clone();
        bad[2..4].copy_from_slice(&(total as u16).to_be_bytes());
        fix_ipv4(&mut bad);
        assert_eq!(give(&mut script, &bad), Some(DropReason::IpLength), "{total}");
    }
    for len in 0..good.len() {
        assert!(give(&mut script, &good[..len]).is_some(), "cut to {len}");
    }
    assert!(script.packets().is_empty());
    assert_eq!(portrait(&script, handle), before);
    // Octets behind the total length are no part of the packet.
    let surplus = [good.as_slice(), &[0xEE; 40]].concat();
    assert_eq!(give(&mut script, &surplus), None);
    assert_eq!(script.receive(handle), b"12345678");

    let mut script = Script::on("[fd00:67::2]:80", "[fd00:67::1]:40000", |_| {});
    let handle = script.accept();
    let good = script.packet(&script.header(Flags::ACK), b"12345678");
    for len in 0..good.len() {
        assert!(give(&mut script, &good[..len]).is_some(), "cut to {len}");
    }
    for length in [0, 19, good.len() - 39, 65_535] {
        let mut bad = good.clone();
        bad[4..6].copy_from_slice(&(length as u16).to_be_bytes());
        assert!(give(&mut script, &bad).is_some(), "{length}");
    }
    assert!(script.packets().is_empty());
    assert_eq!(give(&mut script, &[good.as_slice(), &[0xEE; 40]].concat()), None);
    assert_eq!(script.receive(handle), b"12345678");
}

/// 1122-3.2.1.7-2: the TTL of what is for us is nobody's business.
#[test]
fn a_low_ttl_is_no_reason_to_drop() {
    for (local, peer) in FAMILIES {
        for hops in [0, 1, 255] {
            let mut script = Script::on(&end(local, 80).to_string(), &end(peer, 40_000).to_string(), |_| {});
            script.listen();
            let mut syn = script.packet(&script.header(Flags::SYN), &[]);
            if local.contains(':') {
                syn[7] = hops;
            } else {
                syn[8] = hops;
                fix_ipv4(&mut syn);
            }
            assert_eq!(give(&mut script, &syn), None);
            assert_eq!(script.sent_one().flags(), Flags::SYN | Flags::ACK);
        }
    }
}

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

/// What an ICMP error that leaves says: the error, and what it quotes.
fn error_of(packet: &[u8]) -> (IcmpError, Vec<u8>) {
    let packet = parse_ip(packet).unwrap();
    match message(&packet) {
        IcmpMessage::Error { error, quotation } => (error, quotation.to_vec()),
        other => panic!("{other:?}"),
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

/// 8200-4-1, 8200-4-2, 8200-4.2, 8200-4.4, 8200-8.1-1: TCP behind extension headers, and headers that end it.
#[test]
fn extension_headers() {
    let mut script = Script::on("[fd00:67::2]:80", "[fd00:67::1]:40000", |_| {});
    let handle = script.accept();
    let (own, peer) = (script.local.ip(), script.peer.ip());
    let mut through = |first: u8, chain: &[u8]| {
        let segment = script.packet(&script.header(Flags::ACK), b"text")[40..].to_vec();
        let dropped = give(&mut script, &ip_packet(peer, own, first, &[chain, &segment].concat()));
        let packets = script.packets();
        if dropped.is_none() {
            script.seq = script.seq.wrapping_add(4);
            assert_eq!(script.receive(handle), b"text");
            return (dropped, None);
        }
        (dropped, packets.first().map(|packet| error_of(packet).0))
    };
    let problem = |code, pointer| Some(IcmpError::ParameterProblem { code, pointer });
    let pad = |next: u8| [next, 0, 1, 4, 0, 0, 0, 0];
    let option = |next: u8, kind: u8| [next, 0, kind, 4, 0, 0, 0, 0];
    let routing = |left: u8| [protocol::TCP, 0, 0, left, 0, 0, 0, 0];
    assert_eq!(through(0, &pad(6)), (None, None));
    assert_eq!(through(0, &[pad(60), pad(6)].concat()), (None, None));
    assert_eq!(through(60, &[pad(0), pad(6)].concat()), (Some(DropReason::ExtensionRefused), problem(1, 40)));
    assert_eq!(through(200, &[]), (Some(DropReason::UnknownProtocol), problem(1, 6)));
    assert_eq!(through(0, &[pad(60), pad(200)].concat()), (Some(DropReason::UnknownProtocol), problem(1, 48)));
    assert_eq!(through(60, &option(6, 0x1E)), (None, None));
    assert_eq!(through(60, &option(6, 0x5E)), (Some(DropReason::ExtensionRefused), None));
    assert_eq!(through(60, &option(6, 0x9E)), (Some(DropReason::ExtensionRefused), problem(2, 42)));
    assert_eq!(through(60, &option(6, 0xDE)), (Some(DropReason::ExtensionRefused), problem(2, 42)));
    assert_eq!(through(43, &routing(0)), (None, None));
    assert_eq!(through(43, &routing(1)), (Some(DropReason::ExtensionRefused), problem(0, 42)));
    assert_eq!(through(0, &[6, 200, 1, 4, 0, 0, 0, 0]), (Some(DropReason::ExtensionHeader), None));
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

fn bound(script: &mut Script, own: &str) -> UdpHandle {
    script.stack.udp_bind(end(own, 9)).unwrap()
}

/// 768-1, 1122-4.1.3.4-1, 8200-8.1-2, 768-3: lengths and checksums of datagrams.
#[test]
fn bad_datagrams() {
    for (own, peer) in FAMILIES {
        let v6 = own.contains(':');
        let at = if v6 { 40 } else { 20 };
        let mut script = Script::new();
        let socket = bound(&mut script, own);
        let good = datagram(end(peer, 5), end(own, 9), b"12345678");
        for bit in at * 8..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(give(&mut script, &bad).is_some(), "bit {bit}");
        }
        assert!(script.packets().is_empty());
        for (length, reason) in [(0, true), (7, true), (17, true), (65_535, true), (8, false), (15, false), (16, false)]
        {
            let mut changed = good.clone();
            changed[at + 4..at + 6].copy_from_slice(&(length as u16).to_be_bytes());
            changed[at + 6..at + 8].fill(0);
            if v6 {
                let mut sum = Checksum::new();
                sum.add_pseudo_header(ip(peer), ip(own), protocol::UDP, length);
                sum.add(&changed[at..(at + length as usize).min(changed.len())]);
                let sum = sum.finish().to_be_bytes();
                changed[at + 6..at + 8].copy_from_slice(&sum);
            }
            let dropped = give(&mut script, &changed);
            assert_eq!(dropped.is_some(), reason, "length {length}: {dropped:?}");
            if !reason {
                // The surplus is ignored.
                assert_eq!(script.stack.udp_receive(socket).unwrap().data, b"12345678"[..length as usize - 8]);
            }
        }
        let mut none = good.clone();
        none[at + 6..at + 8].fill(0);
        let dropped = give(&mut script, &none);
        assert_eq!(dropped, v6.then_some(DropReason::UdpChecksum), "no checksum");
    }
}

/// 768-2, 1122-4.1.3.4-1, 8200-8.1-2: what is sent has a checksum, and never the one that means none.
#[test]
fn datagrams_have_checksums() {
    for (own, peer) in FAMILIES {
        let mut script = Script::new();
        let socket = bound(&mut script, own);
        let mut all_ones = 0;
        for number in 0..=u16::MAX {
            if script.stack.udp_send(script.now, socket, Some(end(peer, 5)), &number.to_be_bytes()).is_err() {
                panic!("no room");
            }
            for packet in script.packets() {
                let packet = parse_ip(&packet).unwrap();
                let sum = &packet.payload[6..8];
                assert_ne!(sum, [0, 0]);
                all_ones += u32::from(sum == [0xFF, 0xFF]);
                let (_, data) = udp::parse(packet.source, packet.destination, packet.payload, true).unwrap();
                assert_eq!(data, number.to_be_bytes());
            }
        }
        assert!(all_ones > 0, "the case occurred");
    }
}

/// 768-4, 1122-3.3.3, 9293-MUST-49: datagrams stay whole and apart, with both addresses; too long ones are refused.
#[test]
fn datagrams() {
    for (own, peer) in FAMILIES {
        let mut script = Script::new();
        let socket = bound(&mut script, own);
        for (number, data) in [b"one".as_slice(), b"", b"three"].into_iter().enumerate() {
            give(&mut script, &datagram(end(peer, 1_000 + number as u16), end(own, 9), data));
        }
        for (number, data) in [b"one".as_slice(), b"", b"three"].into_iter().enumerate() {
            let datagram = script.stack.udp_receive(socket).unwrap();
            assert_eq!((datagram.data.as_slice(), datagram.source), (data, end(peer, 1_000 + number as u16)));
            assert_eq!(datagram.destination, end(own, 9));
        }
        assert_eq!(script.stack.udp_receive(socket), Err(SocketError::WouldBlock));
        let most = 65_535 - if own.contains(':') { 8 } else { 28 };
        let mut send = |len| script.stack.udp_send(script.now, socket, Some(end(peer, 5)), &vec![0; len]);
        assert_eq!((send(1_452), send(most), send(most + 1)), (Ok(1_452), Ok(most), Err(SocketError::MessageTooLong)));
        let packets = script.packets();
        assert!(
            packets[0].len() >= 1_480 && packets[1..].len() > 44 && packets.iter().all(|packet| packet.len() <= 1_500)
        );
        // 1122-3.2.1.7-1
        assert_eq!(script.stack.udp_set_hop_limit(socket, 0), Err(SocketError::InvalidArgument));
        script.stack.udp_set_hop_limit(socket, 3).unwrap();
        script.stack.udp_send(script.now, socket, Some(end(peer, 5)), b"x").unwrap();
        assert_eq!(parse_ip(&script.packets()[0]).unwrap().hop_limit, 3);
    }
}

/// 8200-6: all segments of a connection have one flow label, whichever record sends them, and others have others.
#[test]
fn flow_labels() {
    let label = |packet: &[u8]| u32::from_be_bytes(packet[..4].try_into().unwrap()) & 0xF_FFFF;
    let mut script = Script::on("[fd00:67::2]:80", "[fd00:67::1]:40000", |_| {});
    let mut seen = std::collections::BTreeSet::new();
    for port in 40_000..40_020 {
        script.peer.set_port(port);
        (script.seq, script.ack) = (1_000, 0);
        let listener = script.stack.listener_at(script.local).unwrap_or_else(|| script.listen());
        let syn_ack = script.peer_syn(TcpOptions::default()).remove(0);
        let mut labels = vec![label(&syn_ack.packet)];
        script.inject(&script.header(Flags::ACK), &[]);
        let handle = script.stack.tcp_accept(listener).unwrap().0;
        labels.extend(script.send(handle, b"text").iter().map(|sent| label(&sent.packet)));
        script.stack.tcp_shutdown(script.now, handle, std::net::Shutdown::Write).unwrap();
        let fin = script.sent_one();
        labels.push(label(&fin.packet));
        let acks = script.peer_acks(fin.header.seq.wrapping_add(1));
        assert!(acks.is_empty());
        if port % 2 == 0 {
            // The answer of the TIME-WAIT record.
            labels.extend(script.peer_closes().iter().map(|sent| label(&sent.packet)));
            assert_eq!(script.stack.tcp_state(handle), Some(glasstcp::tcp::state::State::TimeWait));
        } else {
            script.stack.tcp_abort(script.now, handle);
            labels.extend(script.sent().iter().map(|sent| label(&sent.packet)));
        }
        assert!(labels.len() >= 4 && labels.iter().all(|&one| one == labels[0] && one != 0), "{labels:x?}");
        seen.insert(labels[0]);
    }
    assert!(seen.len() >= 19, "{seen:x?}");
    // What belongs to no connection has none.
    give(&mut script, &datagram(end("fd00:67::1", 5), end("fd00:67::2", 9), b"x"));
    assert_eq!(label(&script.packets()[0]), 0);
}

/// 8200-5-1: no IPv6 on a link with an MTU below 1280.
#[test]
fn the_smallest_mtu_of_ipv6() {
    use glasstcp::{Config, Stack};
    let with = |mtu| {
        let config = Config { mtu, ..Config::new(&["fd00:67::2/64".parse().unwrap()]) };
        Stack::new(config, KeyedRng::from_seed(1), glasstcp::time::Instant::ZERO).is_ok()
    };
    assert!(with(1_280) && !with(1_279));
}

/// 9293-MUST-4, 9293-MUST-50: TCP options behind IP options, both odd.
#[test]
fn options_of_both_kinds() {
    let mut script = Script::new();
    script.listen();
    let syn = with_area(&script, &script.header(Flags::SYN), &[1, 2, 4, 2, 88], &[]);
    let mut packet = with_ip_options(&syn, &[1, 7, 7, 4, 0, 0, 0, 0]);
    assert_eq!(give(&mut script, &packet), None);
    assert_eq!(script.sent_one().flags(), Flags::SYN | Flags::ACK);
    // And the tool that mends checksums does not hide a bad one.
    packet[10] ^= 1;
    assert_eq!(give(&mut script, &packet), Some(DropReason::IpChecksum));
    let mut plain = script.packet(&script.header(Flags::ACK), &[]);
    plain[40 - 4] ^= 1;
    assert_eq!(give(&mut script, &plain), Some(DropReason::TcpChecksum));
    fix_checksums(&mut plain);
    assert_ne!(give(&mut script, &plain), Some(DropReason::TcpChecksum));
}
