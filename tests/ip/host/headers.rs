//! IP headers: options, extension headers, hop limits, flow labels.

use glasstcp::counters::DropReason;
use glasstcp::rng::KeyedRng;
use glasstcp::sim::Script;
use glasstcp::wire::icmp::IcmpError;
use glasstcp::wire::option::TcpOptions;
use glasstcp::wire::protocol;
use glasstcp::wire::tcp::Flags;

use super::support::*;
use crate::kit::{datagram, fix_checksums, fix_ipv4, give, ip_packet, portrait, with_area};

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
