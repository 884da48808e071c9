//! IPv4: header, options, addresses, protocols.

use super::support::*;
use crate::kit::ip_packet;
use glasstcp::counters::DropReason;

/// 1122-3.2.1.1, 1122-3.2.1.2, 791-3.1-1, 791-3.1-2: fields that cannot be.
#[test]
fn headers() {
    let mut host = Host::new();
    let good = ping(PEER4, OWN4, b"data");
    host.check("as it should be", &good, &answered(pong(OWN4, PEER4, b"data")));
    for ihl in 0..5 {
        let packet = with_field(good.clone(), 0, &[0x45]);
        let mut packet = packet;
        packet[0] = 0x40 | ihl;
        host.check("IHL below five", &packet, &silence(DropReason::IpHeaderLength));
    }
    let mut long = good.clone();
    long[0] = 0x4F;
    host.check("IHL beyond the packet", &long, &silence(DropReason::IpHeaderLength));
    for version in [0, 3, 5, 7, 15] {
        host.check("version", &with_field(good.clone(), 0, &[version << 4 | 5]), &silence(DropReason::IpVersion));
    }
    let mut six = good.clone();
    six[0] = 0x65;
    host.check("version 6 on IPv4", &six, &silence(DropReason::IpTruncated));
    for total in [0_u16, 1, 19, good.len() as u16 + 1, 65_535] {
        let packet = with_field(good.clone(), 2, &total.to_be_bytes());
        host.check("total length", &packet, &silence(DropReason::IpLength));
    }
    let within_icmp = with_field(good.clone(), 2, &27_u16.to_be_bytes());
    host.check("total length within the ICMP header", &within_icmp, &silence(DropReason::IcmpMalformed));
    for bit in 0..16 {
        let mut packet = good.clone();
        packet[10 + bit / 8] ^= 1 << (bit % 8);
        host.check("checksum", &packet, &silence(DropReason::IpChecksum));
    }
    host.check("nothing", &[], &silence(DropReason::IpTruncated));
    host.check("19 octets", &good[..19], &silence(DropReason::IpTruncated));
}

/// 1122-3.2.1.7-2, 9293-MAY-4: what a host has no business with; two datagrams may have the same identification.
#[test]
fn fields_that_mean_nothing_here() {
    let mut host = Host::new();
    let good = ping(PEER4, OWN4, b"data");
    let fields: [(&str, usize, &[u8]); 9] = [
        ("TTL 0", 8, &[0]),
        ("TTL 1", 8, &[1]),
        ("reserved flag", 6, &[0x80, 0]),
        ("reserved flag and DF", 6, &[0xC0, 0]),
        ("DF", 6, &[0x40, 0]),
        ("identification 7", 4, &[0, 7]),
        ("identification 7 again", 4, &[0, 7]),
        ("identification with DF", 4, &[0xFF, 0xFF, 0x40, 0]),
        ("ECN CE", 1, &[3]),
    ];
    for (name, at, value) in fields {
        host.check(name, &with_field(good.clone(), at, value), &answered(pong(OWN4, PEER4, b"data")));
    }
}

/// 791-3.1-1: what stands behind the packet never leaves again.
#[test]
fn trailing_octets() {
    let mut host = Host::new();
    let behind = |packet: &[u8]| [packet, &[0xEE; 40]].concat();
    host.check("echo", &behind(&ping(PEER4, OWN4, b"abc")), &answered(pong(OWN4, PEER4, b"abc")));
    let closed = datagram(PEER4, OWN4, 9, b"x");
    host.check("port", &behind(&closed), &refused(DropReason::UdpNoSocket, error(&closed, 3, 3, 0)));
    let option = with_options(&closed, &[99, 0, 0, 0]);
    host.check("option", &behind(&option), &refused(DropReason::IpOption, error(&option, 12, 0, 20 << 24)));
}

/// 1122-3.2.1.8, 792-pp, 9293-MUST-50: options that are stepped over, noted, or refused.
#[test]
fn options() {
    let mut host = Host::new();
    let good = ping(PEER4, OWN4, b"data");
    let harmless: [(&str, &[u8]); 8] = [
        ("no operation", &[1, 1, 1, 1]),
        ("end of list", &[0, 0, 0, 0]),
        ("garbage behind the end of the list", &[0, 7, 0, 131, 137, 3, 4, 255]),
        ("unknown", &[99, 4, 1, 2]),
        ("unknown, only its length", &[99, 2, 0, 0]),
        (
            "unknown, forty octets",
            &[
                200, 40, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26,
                27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38,
            ],
        ),
        ("router alert", &[148, 4, 0, 0]),
        ("security", &[130, 11, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
    ];
    for (name, area) in harmless {
        host.check(name, &with_options(&good, area), &answered(pong(OWN4, PEER4, b"data")));
    }
    let faults: [(&str, &[u8], u32); 14] = [
        ("length 0", &[99, 0, 0, 0], 20),
        ("length 1", &[99, 1, 0, 0], 20),
        ("beyond the header", &[99, 5, 0, 0], 20),
        ("length 255", &[1, 99, 255, 0], 21),
        ("no room for a length", &[1, 1, 1, 99], 23),
        ("record route too short", &[7, 2, 0, 0], 21),
        ("record route, pointer before the list", &[7, 7, 3, 0, 0, 0, 0], 22),
        ("record route, pointer across the end", &[7, 7, 6, 0, 0, 0, 0], 22),
        ("two record routes", &[7, 3, 4, 7, 3, 4], 23),
        ("timestamp too short", &[68, 3, 5, 0], 21),
        ("timestamp, pointer before the list", &[68, 8, 1, 0, 0, 0, 0, 0], 22),
        ("timestamp, pointer across the end", &[68, 8, 7, 0, 0, 0, 0, 0], 22),
        ("timestamp, overflow", &[68, 4, 5, 0xF0], 23),
        ("router alert too short", &[148, 3, 0, 0], 21),
    ];
    for (name, area, pointer) in faults {
        for good in [ping(PEER4, OWN4, b"data"), syn(PEER4, OWN4, 80), datagram(PEER4, OWN4, 9, b"x")] {
            let packet = with_options(&good, area);
            host.check(name, &packet, &refused(DropReason::IpOption, error(&packet, 12, 0, pointer << 24)));
        }
        let group = with_options(&ping(PEER4, "10.0.0.255", b"data"), area);
        host.check(name, &group, &silence(DropReason::IpOption));
        let about_error = with_options(&message(PEER4, OWN4, 3, 3, &[0; 40]), area);
        host.check(name, &about_error, &silence(DropReason::IpOption));
        let later_fragment = with_field(with_options(&good, area), 6, &[0, 9]);
        host.check(name, &later_fragment, &silence(DropReason::IpOption));
    }
    for (name, route) in [("loose", 131), ("strict", 137)] {
        let areas: [&[u8]; 5] = [
            &[route, 7, 4, 10, 0, 0, 9, 0],
            &[route, 7, 8, 10, 0, 0, 9, 0],
            &[1, 68, 4, 5, 0, route, 11, 4, 1, 2, 3, 4, 5, 6, 7, 8],
            &[route, 3, 4, 0],
            &[route, 0, 0, 0],
        ];
        for area in areas {
            for good in [ping(PEER4, OWN4, b"data"), syn(PEER4, OWN4, 80), datagram(PEER4, OWN4, 9, b"x")] {
                host.check(name, &with_options(&good, area), &silence(DropReason::SourceRoute));
            }
        }
    }
}

/// 1122-3.2.1.3-3, 1812-5.3.7, 9293-MUST-63: sources that are no other host's, our own among them (LAND).
#[test]
fn sources() {
    let mut host = Host::new();
    for (source, reason) in [
        ("0.0.0.0", DropReason::IpSource),
        ("0.1.2.3", DropReason::IpSource),
        ("127.0.0.1", DropReason::IpSource),
        ("127.255.255.254", DropReason::IpSource),
        ("224.0.0.1", DropReason::IpSource),
        ("239.255.255.255", DropReason::IpSource),
        ("240.0.0.1", DropReason::IpSource),
        ("255.255.255.255", DropReason::IpSource),
        ("10.0.0.255", DropReason::IpSource),
        (OWN4, DropReason::IpOwnSource),
    ] {
        for (name, packet) in [
            ("echo", ping(source, OWN4, b"x")),
            ("SYN", syn(source, OWN4, 80)),
            ("SYN to a closed port", syn(source, OWN4, 81)),
            ("datagram", datagram(source, OWN4, 9, b"x")),
            ("unknown protocol", ip_packet(ip(source), ip(OWN4), 47, &[0; 20])),
        ] {
            host.check(&format!("{name} from {source}"), &packet, &silence(reason));
        }
    }
    let mut land = syn(OWN4, OWN4, 80);
    land[20..22].copy_from_slice(&80_u16.to_be_bytes());
    host.check("LAND, both ports the same", &land, &silence(DropReason::IpOwnSource));
}

/// 1122-3.2.1.3-2, 1122-3.1-1, 1122-3.2.2.6-2, 9293-MUST-57: destinations that are not ours, or not ours alone.
#[test]
fn destinations() {
    let mut host = Host::new();
    for other in ["10.0.0.3", "10.0.1.2", "8.8.8.8", "127.0.0.1", "0.0.0.0", "240.0.0.1", "224.0.0.9", "239.1.1.1"] {
        for packet in [ping(PEER4, other, b"x"), syn(PEER4, other, 80), datagram(PEER4, other, 9, b"x")] {
            host.check(other, &packet, &silence(DropReason::NotOurs));
        }
    }
    for group in ["10.0.0.255", "255.255.255.255", "224.0.0.1"] {
        host.check("Smurf", &ping(PEER4, group, b"x"), &silence(DropReason::IcmpIgnored));
        host.check("Fraggle", &datagram(PEER4, group, 7, b"x"), &silence(DropReason::UdpNoSocket));
        host.check("SYN", &syn(PEER4, group, 80), &silence(DropReason::TcpNotUnicast));
        host.check("SYN to a closed port", &syn(PEER4, group, 81), &silence(DropReason::TcpNotUnicast));
        let unknown = ip_packet(ip(PEER4), ip(group), 47, &[0; 20]);
        host.check("protocol", &unknown, &silence(DropReason::UnknownProtocol));
    }
}

/// 1122-3.2.2.1: nothing is unpacked, and the sender is told, if it sent to one host.
#[test]
fn protocols() {
    let mut host = Host::new();
    let inner = [ping(PEER4, OWN4, b"inner"), syn(PEER4, OWN4, 80), ping(PEER6, OWN6, b"inner")];
    for number in [0, 3, 4, 5, 41, 46, 47, 50, 51, 58, 59, 60, 89, 94, 103, 115, 132, 136, 253, 255] {
        for payload in inner.iter().map(Vec::as_slice).chain([&[][..], &[0xFF; 9]]) {
            let packet = ip_packet(ip(PEER4), ip(OWN4), number, payload);
            let expected = refused(DropReason::UnknownProtocol, error(&packet, 3, 2, 0));
            host.check(&format!("protocol {number}"), &packet, &expected);
        }
    }
}

/// 1122-3.2.2.6-3: record route and timestamp come back with this host noted in them, and a full list as it is.
#[test]
fn options_of_an_echo() {
    let mut host = Host::new();
    let request = ping(PEER4, OWN4, b"data");
    let reply = pong(OWN4, PEER4, b"data");
    let empty_route = [&[7, 39, 4][..], &[0; 36]].concat();
    let one_noted = [&[7, 39, 8, 10, 0, 0, 2][..], &[0; 32]].concat();
    let rows: [(&str, &[u8], &[u8]); 5] = [
        ("an empty route", &empty_route, &one_noted),
        ("a full route", &[7, 7, 8, 9, 9, 9, 9], &[7, 7, 8, 9, 9, 9, 9]),
        ("behind others", &[148, 4, 0, 0, 1, 7, 7, 4, 0, 0, 0, 0], &[7, 7, 8, 10, 0, 0, 2]),
        ("full timestamps", &[68, 8, 9, 0x10, 1, 2, 3, 4], &[68, 8, 9, 0x20, 1, 2, 3, 4]),
        ("both, full", &[7, 3, 4, 68, 4, 5, 0], &[7, 3, 4, 68, 4, 5, 0x10]),
    ];
    for (name, asked, noted) in rows {
        host.check(name, &with_options(&request, asked), &answered(with_options(&reply, noted)));
    }
    let time = (host.script.now.as_millis() as u32 | 1 << 31).to_be_bytes();
    let noted = [&[68, 8, 9, 0][..], &time].concat();
    let timed = with_options(&request, &[68, 8, 5, 0, 0, 0, 0, 0]);
    host.check("a timestamp", &timed, &answered(with_options(&reply, &noted)));
    // Where both do not fit into one packet, the data is what counts.
    let long = vec![7; 1_500 - 28];
    let with_route = with_options(&ping(PEER4, OWN4, &long), &[7, 7, 4, 0, 0, 0, 0]);
    host.check("the longest", &with_route, &answered(pong(OWN4, PEER4, &long)));
    // Nobody else's answer has options.
    let closed = with_options(&datagram(PEER4, OWN4, 9, b"x"), &[7, 7, 4, 0, 0, 0, 0]);
    host.check("a datagram", &closed, &refused(DropReason::UdpNoSocket, error(&closed, 3, 3, 0)));
}
