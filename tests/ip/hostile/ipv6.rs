//! IPv6: header, extension headers, options, addresses.

use super::support::*;
use crate::kit::ip_packet;
use glasstcp::counters::DropReason;

const PADDING: &[u8] = &[0, 1, 4, 0, 0, 0, 0];

/// 8200-3, 2675-1: lengths, and fields without meaning to a host.
#[test]
fn headers() {
    let mut host = Host::new();
    let good = ping(PEER6, OWN6, b"data");
    let with = |at: usize, value: &[u8]| {
        let mut packet = good.clone();
        packet[at..at + value.len()].copy_from_slice(value);
        packet
    };
    for (name, at, value) in [
        ("as it should be", 0, &[0x60][..]),
        ("traffic class and flow label", 0, &[0x6F, 0xFF, 0xFF, 0xFF]),
        ("hop limit 0", 7, &[0]),
        ("hop limit 1", 7, &[1]),
        ("hop limit 255", 7, &[255]),
    ] {
        let mut expected = pong(OWN6, PEER6, b"data");
        if at == 0 && value.len() > 1 {
            expected[0] = 0x6F;
            expected[1] = 0xC0;
        }
        host.check(name, &with(at, value), &answered(expected));
    }
    for beyond in [good.len() as u16 - 39, 65_535] {
        host.check("payload length", &with(4, &beyond.to_be_bytes()), &silence(DropReason::IpLength));
    }
    host.check("payload length 0", &with(4, &[0, 0]), &silence(DropReason::IcmpMalformed));
    host.check("payload length 7", &with(4, &[0, 7]), &silence(DropReason::IcmpMalformed));
    host.check("39 octets", &good[..39], &silence(DropReason::IpTruncated));
    host.check("trailing octets", &[&good[..], &[0xEE; 9]].concat(), &answered(pong(OWN6, PEER6, b"data")));
    // A jumbogram, and its option where the length is not zero.
    let jumbo = chain(OWN6, &[(0, &[0, 0xC2, 4, 0, 1, 0, 0])], &good);
    host.check("jumbo option", &jumbo, &refused(DropReason::ExtensionRefused, error(&jumbo, 4, 2, 42)));
    let mut empty = jumbo.clone();
    empty[4..6].fill(0);
    host.check("jumbogram", &empty, &refused(DropReason::IpLength, error(&empty[..40], 4, 0, 4)));
    let mut group = chain("ff02::1", &[(0, &[0, 0xC2, 4, 0, 1, 0, 0])], &good);
    group[4..6].fill(0);
    host.check("jumbogram to a group", &group, &silence(DropReason::IpLength));
}

/// 8200-4-1, 8200-4-2, 8200-4.4: orders, numbers, routing headers.
#[test]
fn chains() {
    let mut host = Host::new();
    let echo = ping(PEER6, OWN6, b"data");
    let pong = || answered(pong(OWN6, PEER6, b"data"));
    let routing = |kind: u8, left: u8| [0, kind, left, 0, 0, 0, 0];
    let harmless: [(&str, &[Extension]); 6] = [
        ("hop-by-hop", &[(0, PADDING)]),
        (
            "all of them",
            &[(0, PADDING), (60, PADDING), (43, &[0, 0, 0, 0, 0, 0, 0]), (44, &[0, 0, 0, 1, 2, 3, 4]), (60, PADDING)],
        ),
        ("the same twice", &[(60, PADDING), (60, PADDING)]),
        ("an atomic fragment, reserved bits set", &[(44, &[0xFF, 0, 6, 1, 2, 3, 4])]),
        ("routing used up, then options", &[(43, &[0, 0, 0, 0, 0, 0, 0]), (60, PADDING)]),
        ("eight headers", &[(60, PADDING); 8]),
    ];
    for (name, headers) in harmless {
        host.check(name, &chain(OWN6, headers, &echo), &pong());
    }
    for kind in [0, 1, 2, 3, 4, 5, 253, 255] {
        let used_up = chain(OWN6, &[(43, &routing(kind, 0))], &echo);
        host.check("routing used up", &used_up, &pong());
        for left in [1, 2, 255] {
            let packet = chain(OWN6, &[(60, PADDING), (43, &routing(kind, left))], &echo);
            let expected = refused(DropReason::ExtensionRefused, error(&packet, 4, 0, 50));
            host.check(&format!("routing type {kind}"), &packet, &expected);
        }
    }
    // A type 0 header that would send the packet on: to us, by way of another host, and back.
    let by_way_of = [&[2, 0, 1, 0, 0, 0, 0][..], &ip6(PEER6)].concat();
    let source_route = chain(OWN6, &[(43, &by_way_of)], &echo);
    host.check("source route", &source_route, &refused(DropReason::ExtensionRefused, error(&source_route, 4, 0, 42)));
    let misplaced: [(&str, &[Extension], u32); 3] = [
        ("behind options", &[(60, PADDING), (0, PADDING)], 40),
        ("twice", &[(0, PADDING), (0, PADDING)], 40),
        ("behind an atomic fragment", &[(44, &[0, 0, 0, 1, 2, 3, 4]), (0, PADDING)], 40),
    ];
    for (name, headers, pointer) in misplaced {
        let packet = chain(OWN6, headers, &echo);
        let expected = refused(DropReason::ExtensionRefused, error(&packet, 4, 1, pointer));
        host.check(&format!("hop-by-hop {name}"), &packet, &expected);
    }
    for number in [1, 2, 4, 41, 47, 50, 51, 61, 135, 139, 140, 143, 253, 255] {
        for depth in 0..3 {
            let before = &[(0, PADDING), (60, PADDING)][..depth];
            let headers = [before, &[(number, &[0; 7][..])]].concat();
            let packet = chain(OWN6, &headers, &echo);
            let pointer = [6, 40, 48][depth];
            let expected = refused(DropReason::UnknownProtocol, error(&packet, 4, 1, pointer));
            host.check(&format!("next header {number}"), &packet, &expected);
        }
        let group = chain("ff02::1", &[(number, &[0; 7])], &echo);
        host.check("to a group", &group, &silence(DropReason::UnknownProtocol));
    }
    for payload in [&[][..], &[0; 100], &echo] {
        let nothing = ip_packet(ip(PEER6), ip(OWN6), 59, payload);
        host.check("no next header", &nothing, &silence(DropReason::UnknownProtocol));
    }
}

fn ip6(address: &str) -> Vec<u8> {
    match ip(address) {
        std::net::IpAddr::V6(address) => address.octets().to_vec(),
        std::net::IpAddr::V4(_) => panic!("{address}"),
    }
}

/// Long chains and long lists cost no more than short ones: they end at a limit, without an answer.
#[test]
fn long_chains() {
    let mut host = Host::new();
    let echo = ping(PEER6, OWN6, b"data");
    let silent = silence(DropReason::ExtensionHeader);
    for count in [9, 10, 150] {
        host.check("options", &chain(OWN6, &vec![(60, PADDING); count], &echo), &silent);
        host.check("routing", &chain(OWN6, &vec![(43, &[0; 7][..]); count], &echo), &silent);
        host.check("atomic fragments", &chain(OWN6, &vec![(44, &[0; 7][..]); count], &echo), &silent);
    }
    // 150 headers before what would be worth a report.
    let mut headers = vec![(60, PADDING); 150];
    headers.push((43, &[0, 0, 9, 0, 0, 0, 0]));
    host.check("a report at the end", &chain(OWN6, &headers, &echo), &silent);
    let options = |each: &[u8], count: usize| {
        let mut body = vec![((each.len() * count + 2).div_ceil(8) - 1) as u8];
        body.extend(each.repeat(count));
        body.resize((usize::from(body[0]) + 1) * 8 - 1, 0);
        body
    };
    for number in [0, 60] {
        let eight = options(&[0x1E, 4, 1, 2, 3, 4], 8);
        host.check("eight options", &chain(OWN6, &[(number, &eight)], &echo), &answered(pong(OWN6, PEER6, b"data")));
        for count in [9, 100, 250] {
            let many = options(&[0x1E, 2, 1, 2], count);
            host.check("many options", &chain(OWN6, &[(number, &many)], &echo), &silent);
        }
        host.check("nothing but Pad1", &chain(OWN6, &[(number, &options(&[0], 2_000))], &echo), &silent);
        host.check("nothing but PadN", &chain(OWN6, &[(number, &options(&[1, 0], 1_000))], &echo), &silent);
    }
}

/// Headers that end beyond the packet, options that end beyond their header, padding that is more than that.
#[test]
fn malformed_chains() {
    let mut host = Host::new();
    let echo = ping(PEER6, OWN6, b"data");
    let silent = silence(DropReason::ExtensionHeader);
    for number in [0, 43, 44, 60] {
        for len in (0..8).filter(|&len| !(number == 0 && len == 0)) {
            let short = ip_packet(ip(PEER6), ip(OWN6), number, &[58, 0, 0, 0, 0, 0, 0, 0][..len]);
            host.check("short header", &short, &silent);
        }
    }
    for number in [0, 43, 60] {
        let long = ip_packet(ip(PEER6), ip(OWN6), number, &[58, 255, 1, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        host.check("beyond the packet", &long, &silent);
    }
    let malformed: [(&str, &[u8]); 8] = [
        ("PadN beyond the header", &[0, 1, 5, 0, 0, 0, 0]),
        ("PadN of 255", &[0, 1, 255, 0, 0, 0, 0]),
        ("option beyond the header", &[0, 0x1E, 5, 0, 0, 0, 0]),
        ("no room for a length", &[0, 0, 0, 0, 0, 0, 0x1E]),
        ("padding that is not zero", &[0, 1, 4, 0, 0, 0, 7]),
        ("padding of eight", &[1, 1, 6, 0, 0, 0, 0, 0, 0, 0x1E, 4, 0, 0, 0, 0]),
        ("padding of eight in two", &[1, 1, 2, 0, 0, 1, 2, 0, 0, 0x1E, 4, 0, 0, 0, 0]),
        ("padding of eight, Pad1", &[1, 0, 0, 0, 0, 0, 0, 0, 0, 0x1E, 4, 0, 0, 0, 0]),
    ];
    for (name, body) in malformed {
        for number in [0, 60] {
            host.check(name, &chain(OWN6, &[(number, body)], &echo), &silent);
        }
    }
    let seven = [1, 0x1E, 3, 0, 0, 0, 1, 5, 0, 0, 0, 0, 0, 0x1E, 0];
    host.check("padding of seven", &chain(OWN6, &[(60, &seven)], &echo), &answered(pong(OWN6, PEER6, b"data")));
}

/// 8200-4.2, 4443-2.4-e: the four actions, to one host and to a group.
#[test]
fn unknown_options() {
    let mut host = Host::new();
    let echo = ping(PEER6, OWN6, b"data");
    let to_all = ping(PEER6, "ff02::1", b"data");
    for number in [0, 60] {
        for (kind, unicast, group) in [
            (0x1E, None, None),
            (0x3E, None, None),
            (0x5E, Some(false), Some(false)),
            (0x7E, Some(false), Some(false)),
            (0x9E, Some(true), Some(true)),
            (0x80, Some(true), Some(true)),
            (0xC9, Some(true), Some(false)),
            (0xFF, Some(true), Some(false)),
        ] {
            for (to, echo, outcome) in [(OWN6, &echo, unicast), ("ff02::1", &to_all, group)] {
                let packet = chain(to, &[(number, &[0, kind, 4, 0, 0, 0, 0])], echo);
                let expected = match outcome {
                    None => answered(pong(OWN6, PEER6, b"data")),
                    Some(false) => silence(DropReason::ExtensionRefused),
                    Some(true) => refused(DropReason::ExtensionRefused, error(&packet, 4, 2, 42)),
                };
                host.check(&format!("option {kind:x} to {to}"), &packet, &expected);
            }
        }
    }
    let trailing = chain(OWN6, &[(60, &[0, 0xC9, 4, 0, 0, 0, 0])], &echo);
    let with_trailer = [trailing.as_slice(), &[0xEE; 50]].concat();
    let expected = refused(DropReason::ExtensionRefused, error(&trailing, 4, 2, 42));
    host.check("without what stands behind the packet", &with_trailer, &expected);
    let elsewhere = chain("fd00:67::3", &[(60, &[0, 0xC9, 4, 0, 0, 0, 0])], &echo);
    host.check("to another host", &elsewhere, &silence(DropReason::ExtensionRefused));
    let elsewhere = chain("ff05::99", &[(60, &[0, 0x89, 4, 0, 0, 0, 0])], &echo);
    host.check("to a group of others", &elsewhere, &silence(DropReason::ExtensionRefused));
}

/// 9293-MUST-63, 4443-2.4-e: sources that are no other host's, our own among them; and destinations.
#[test]
fn addresses() {
    let mut host = Host::new();
    for (source, reason) in [
        ("::", DropReason::IpSource),
        ("::1", DropReason::IpSource),
        ("::10.0.0.1", DropReason::IpSource),
        ("::ffff:10.0.0.1", DropReason::IpSource),
        ("ff02::1", DropReason::IpSource),
        ("ff0e::1", DropReason::IpSource),
        (OWN6, DropReason::IpOwnSource),
    ] {
        for packet in [
            ping(source, OWN6, b"x"),
            syn(source, OWN6, 80),
            syn(source, OWN6, 81),
            datagram(source, OWN6, 9, b"x"),
            ip_packet(ip(source), ip(OWN6), 47, &[0; 20]),
        ] {
            host.check(source, &packet, &silence(reason));
        }
        let refused = [&[47, 0, 0xC9, 0, 0, 0, 0, 0][..], &[0; 20]].concat();
        let refused = ip_packet(ip(source), ip(OWN6), 60, &refused);
        host.check("with an option to report", &refused, &silence(DropReason::ExtensionRefused));
    }
    for source in ["fe80::1", "fec0::1", "2001:db8::1", "64:ff9b::1"] {
        host.check(source, &ping(source, OWN6, b"x"), &answered(pong(OWN6, source, b"x")));
    }
    for other in [
        "::",
        "::1",
        "::10.0.0.2",
        "::ffff:10.0.0.2",
        "fe80::2",
        "fd00:67::",
        "fd00:67::3",
        "ff01::1",
        "ff00::1",
        "ff02::2",
        "ff05::1",
        "ff0e::1",
        "ff02::1:ff00:3",
    ] {
        for packet in [ping(PEER6, other, b"x"), syn(PEER6, other, 80), datagram(PEER6, other, 9, b"x")] {
            host.check(other, &packet, &silence(DropReason::NotOurs));
        }
    }
    let solicited = ping(PEER6, "ff02::1:ff00:2", b"x");
    host.check("the group of our address", &solicited, &answered(pong(OWN6, PEER6, b"x")));
    host.check("all nodes", &ping(PEER6, "ff02::1", b"x"), &answered(pong(OWN6, PEER6, b"x")));
    host.check("SYN to all nodes", &syn(PEER6, "ff02::1", 80), &silence(DropReason::TcpNotUnicast));
    host.check("datagram to all nodes", &datagram(PEER6, "ff02::1", 9, b"x"), &silence(DropReason::UdpNoSocket));
}
