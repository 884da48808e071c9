//! ICMP of both families: echoes, messages without meaning to a host, and errors that are forged or about nothing.

use super::support::*;
use crate::kit;
use crate::kit::{icmp_message, ip_packet, portrait};
use glasstcp::counters::DropReason;
use glasstcp::sim::Script;
use glasstcp::stack::TcpHandle;
use glasstcp::wire::protocol;
use std::net::SocketAddr;

/// 1122-3.2.2.6-1, 792-echo, 4443-4.2, 4443-2.3: all of an echo, from nothing to the largest that the link carries.
#[test]
fn echoes() {
    let mut host = Host::new();
    for (own, peer) in FAMILIES {
        let headers = if own.contains(':') { 48 } else { 28 };
        for size in [0, 1, 2, 3, 55, 56, 57, 1_000, 1_500 - headers - 1, 1_500 - headers] {
            let data: Vec<u8> = (0..size).map(|at| (at % 251) as u8).collect();
            host.check("echo", &ping(peer, own, &data), &answered(pong(own, peer, &data)));
        }
        let good = ping(peer, own, b"12345");
        for at in good.len() - 13..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0x10;
            // The reserved word of what is no echo any more is not looked at; its checksum is.
            host.check("checksum", &bad, &silence(DropReason::IcmpChecksum));
        }
        let mut zero = good.clone();
        let at = good.len() - 11;
        zero[at..at + 2].fill(0);
        host.check("checksum of zero", &zero, &silence(DropReason::IcmpChecksum));
        for len in 0..8 {
            let kind = if own.contains(':') { 128 } else { 8 };
            let whole = icmp_message(ip(peer), ip(own), kind, 0, &[0, 1, 0, 2]);
            let short = &whole[whole.len() - 8..][..len];
            let packet = ip_packet(ip(peer), ip(own), if own.contains(':') { 58 } else { 1 }, short);
            host.check("truncated", &packet, &silence(DropReason::IcmpMalformed));
        }
        let reply = pong(peer, own, b"to nobody");
        host.check("a reply that nobody waits for", &reply, &silence(DropReason::IcmpUnmatched));
    }
    // Each family has its own protocol.
    let four_in_six = ip_packet(ip(PEER6), ip(OWN6), 1, &ping(PEER4, OWN4, b"x")[20..]);
    host.check("ICMPv4 over IPv6", &four_in_six, &refused(DropReason::UnknownProtocol, error(&four_in_six, 4, 1, 6)));
    let six_in_four = ip_packet(ip(PEER4), ip(OWN4), 58, &ping(PEER6, OWN6, b"x")[40..]);
    host.check("ICMPv6 over IPv4", &six_in_four, &refused(DropReason::UnknownProtocol, error(&six_in_four, 3, 2, 0)));
}

/// 1122-3.2.2-1, 1122-3.2.2.2, 1122-3.2.2.8, 6633-3, 9293-MUST-55, 4443-2.4-b: timestamp, address mask, information, router
/// and neighbour messages, redirects and source quench: a host on a link without link layer has nothing to say.
#[test]
fn messages_without_meaning() {
    let mut host = Host::new();
    let about = datagram(OWN4, PEER4, 53, b"question");
    for kind in (1..=255).filter(|kind| ![3, 8, 11, 12].contains(kind)) {
        for rest in [&[0; 16][..], &[&[10, 0, 0, 9], &about[..]].concat()] {
            let packet = icmp_message(ip(PEER4), ip(OWN4), kind, 0, rest);
            host.check(&format!("type {kind}"), &packet, &silence(DropReason::IcmpIgnored));
        }
    }
    // Those of groups have tests of their own.
    for kind in (133..=255).filter(|&kind| kind != 143) {
        let target = [&[0; 4][..], &[0xFD, 0, 0, 0x67, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]].concat();
        for to in [OWN6, "ff02::1"] {
            let mut packet = icmp_message(ip("fe80::1"), ip(to), kind, 0, &target);
            packet[7] = 255;
            host.check(&format!("type {kind}"), &packet, &silence(DropReason::IcmpIgnored));
        }
    }
    for group in ["10.0.0.255", "224.0.0.1"] {
        for kind in [8, 13, 15, 17] {
            let packet = icmp_message(ip(PEER4), ip(group), kind, 0, &[0; 16]);
            host.check("to a group", &packet, &silence(DropReason::IcmpIgnored));
        }
    }
}

/// A connection with text in flight, and the packet that carries it.
fn in_flight(own: &str, peer: &str) -> (Script, TcpHandle, Vec<u8>) {
    let local = SocketAddr::new(ip(own), 80).to_string();
    let mut script = Script::on(&local, &SocketAddr::new(ip(peer), 40_000).to_string(), |_| {});
    let handle = script.accept();
    let packet = script.send(handle, b"text in flight").remove(0).packet;
    (script, handle, packet)
}

fn quoting(peer: &str, own: &str, kind: u8, code: u8, word: u32, quote: &[u8]) -> Vec<u8> {
    icmp_message(ip(peer), ip(own), kind, code, &[&word.to_be_bytes(), quote].concat())
}

/// Kinds and codes of errors: unreachable (soft and hard), time exceeded, parameter problem; an unknown one of ICMPv6.
fn errors(own: &str) -> &'static [(u8, u8)] {
    if own.contains(':') {
        &[(1, 0), (1, 3), (1, 4), (3, 0), (4, 0), (4, 1), (100, 0)]
    } else {
        &[(3, 0), (3, 1), (3, 2), (3, 3), (3, 13), (11, 0), (11, 1), (12, 0)]
    }
}

/// 5927-4.1, 1122-3.2.2-4, 4443-2.4-a: an error counts only where it quotes what is in flight, by tuple and number.
#[test]
fn errors_that_quote_nothing_of_ours() {
    for (own, peer) in FAMILIES {
        let (mut script, handle, sent) = in_flight(own, peer);
        let before = portrait(&script, handle);
        let at = if own.contains(':') { 40 } else { 20 };
        let changed = |place: usize, value: &[u8]| {
            let mut quote = sent.clone();
            quote[place..place + value.len()].copy_from_slice(value);
            quote
        };
        let seq = |delta: u32| {
            let seq = u32::from_be_bytes(sent[at + 4..at + 8].try_into().unwrap()).wrapping_add(delta);
            changed(at + 4, &seq.to_be_bytes())
        };
        let protocol_at = if own.contains(':') { 6 } else { 9 };
        let source_at = if own.contains(':') { 8 } else { 12 };
        let len = if own.contains(':') { 16 } else { 4 };
        let mut quotes = vec![
            ("nothing", vec![]),
            ("garbage", vec![0x99; 64]),
            ("the first octet alone", sent[..1].to_vec()),
            ("a header alone", sent[..at].to_vec()),
            ("seven octets of TCP", sent[..at + 7].to_vec()),
            ("the octet before", seq(u32::MAX)),
            ("SND.NXT", seq(14)),
            ("half the numbers away", seq(1 << 31)),
            ("another source port", changed(at, &[0, 81])),
            ("another destination port", changed(at + 2, &[0, 1])),
            ("UDP", changed(protocol_at, &[17])),
            ("ICMP", changed(protocol_at, &[if own.contains(':') { 58 } else { 1 }])),
            ("another protocol", changed(protocol_at, &[132])),
            ("another source", changed(source_at + len - 1, &[99])),
            ("another destination", changed(source_at + 2 * len - 1, &[99])),
            (
                "the other direction",
                [
                    &sent[..source_at],
                    &sent[source_at + len..][..len],
                    &sent[source_at..][..len],
                    &sent[source_at + 2 * len..],
                ]
                .concat(),
            ),
        ];
        if at == 20 {
            quotes.push(("an IHL below five", changed(0, &[0x44])));
            quotes.push(("a fragment that is not the first", changed(6, &[0, 5])));
            quotes.push(("options beyond the quotation", changed(0, &[0x4F])));
            quotes.push(("IPv6", changed(0, &[0x65])));
        } else {
            quotes.push(("extension headers without end", changed(6, &[60])));
            quotes.push(("IPv4", changed(0, &[0x45])));
        }
        for (name, quote) in &quotes {
            for &(kind, code) in errors(own) {
                let packet = quoting(peer, own, kind, code, 0, quote);
                let reason = kit::give(&mut script, &packet);
                let silent = [Some(DropReason::IcmpMalformed), Some(DropReason::IcmpUnmatched)];
                assert!(silent.contains(&reason), "{name}: {reason:?} for {kind}/{code}");
                assert!(script.packets().is_empty(), "{name}");
                assert_eq!(portrait(&script, handle), before, "{name} {kind}/{code}");
                assert_eq!(script.stack.tcp_take_soft_error(handle), None, "{name} {kind}/{code}");
            }
        }
        // An error to a group, and one to another address than the one that it quotes.
        let group = if own.contains(':') { "ff02::1" } else { "10.0.0.255" };
        let (kind, code) = errors(own)[0];
        let packet = quoting(peer, group, kind, code, 0, &sent);
        assert_eq!(kit::give(&mut script, &packet), Some(DropReason::IcmpUnmatched));
        assert_eq!(portrait(&script, handle), before);
    }
}

/// 5927-5.2, 9293-MUST-54, 9293-MUST-56, 9293-SHLD-26: what does quote it is believed softly, however long the quotation.
#[test]
fn errors_about_what_is_in_flight() {
    for (own, peer) in FAMILIES {
        let at = if own.contains(':') { 40 } else { 20 };
        for &(kind, code) in errors(own) {
            let (mut script, handle, sent) = in_flight(own, peer);
            let before = portrait(&script, handle);
            for len in [at + 8, at + 20, sent.len()] {
                let packet = quoting(peer, own, kind, code, 0, &sent[..len]);
                assert_eq!(kit::give(&mut script, &packet), None, "{kind}/{code}");
                assert!(script.stack.tcp_take_soft_error(handle).is_some(), "{kind}/{code}");
                assert_eq!(portrait(&script, handle), before, "established: nothing else happens");
            }
            assert!(script.packets().is_empty());
        }
        // With options or extension headers before the transport header.
        let (mut script, handle, sent) = in_flight(own, peer);
        let quote = match at {
            20 => with_options(&sent, &[148, 4, 0, 0]),
            _ => chain(peer, &[(0, &[0, 1, 4, 0, 0, 0, 0])], &sent),
        };
        let (kind, code) = errors(own)[0];
        assert_eq!(kit::give(&mut script, &quoting(peer, own, kind, code, 0, &quote)), None);
        assert!(script.stack.tcp_take_soft_error(handle).is_some());
    }
}

/// 1122-3.2.2-3, 4443-2.4-e: no error about an error, whatever else is wrong with it.
#[test]
fn no_error_about_an_error() {
    let mut host = Host::new();
    let about = ip_packet(ip(PEER4), ip(OWN4), protocol::ICMPV4, &[3, 3, 0, 0]);
    host.check("a short error", &about, &silence(DropReason::IcmpMalformed));
    for kind in [3, 4, 5, 11, 12] {
        let error = icmp_message(ip(PEER4), ip(OWN4), kind, 0, &[0; 40]);
        let odd = with_options(&error, &[99, 0, 0, 0]);
        host.check("with a bad option", &odd, &silence(DropReason::IpOption));
    }
    for kind in [1, 2, 3, 4, 99, 127, 137] {
        let error = icmp_message(ip(PEER6), ip(OWN6), kind, 0, &[0; 60]);
        for (number, body) in [(60, [0, 0xC5, 0, 0, 0, 0, 0]), (43, [0, 0, 1, 0, 0, 0, 0])] {
            let odd = chain(OWN6, &[(number, &body)], &error);
            host.check("behind a refused header", &odd, &silence(DropReason::ExtensionRefused));
        }
    }
}
