//! Floods: a bounded answer, and everybody else is served.

use super::support::*;
use crate::kit::{give, ip_packet};
use glasstcp::counters::{DropReason, Layer};

/// 1812-4.3.2.8, 4443-2.4-f: a flood that draws one kind of error silences neither other kinds, nor echoes, nor other hosts.
#[test]
fn a_flood_of_one_kind() {
    for (own, peer) in FAMILIES {
        let v6 = own.contains(':');
        let mut host = Host::new();
        let rate = host.script.stack.config().icmp_errors_per_second as usize;
        let closed = datagram(peer, own, 9, b"x");
        let mut answers = 0;
        for _ in 0..5_000 {
            give(&mut host.script, &closed);
            answers += host.script.packets().len();
        }
        assert_eq!(answers, rate / 2, "all at once: half of the rate for one host");
        let limited = host.script.stack.counters().dropped(DropReason::IcmpRateLimited);
        assert_eq!(limited, 5_000 - answers as u64);
        // All at the same moment.
        give(&mut host.script, &ping(peer, own, b"x"));
        assert_eq!(host.script.packets().len(), 1, "an echo");
        give(&mut host.script, &syn(peer, own, 81));
        assert_eq!(host.script.packets().len(), 1, "a reset");
        if v6 {
            give(&mut host.script, &ip_packet(ip(peer), ip(own), 200, b"x"));
            assert_eq!(host.script.packets().len(), 1, "another kind");
        }
        let others = if v6 { "2001:db8::9" } else { "192.0.2.9" };
        give(&mut host.script, &datagram(others, own, 9, b"x"));
        assert_eq!(host.script.packets().len(), 1, "another host");
        host.serve("after the flood");
        host.check(
            "and its sender too",
            &closed,
            &refused(DropReason::UdpNoSocket, {
                let (kind, code) = if v6 { (1, 4) } else { (3, 3) };
                error(&closed, kind, code, 0)
            }),
        );
    }
}

/// From so many sources that each has tokens: the rate of the kind bounds them all.
#[test]
fn a_flood_from_everywhere() {
    let mut host = Host::new();
    let rate = host.script.stack.config().icmp_errors_per_second as usize;
    let mut answers = 0;
    for number in 0..5_000_u32 {
        let source = std::net::Ipv4Addr::from(0xC000_0200 + number * 7).to_string();
        give(&mut host.script, &datagram(&source, OWN4, 9, b"x"));
        answers += host.script.packets().len();
    }
    assert_eq!(answers, rate);
    host.serve("after the flood");
}

/// Each packet is counted once in its layer, under its name.
#[test]
fn counters_by_name() {
    let mut host = Host::new();
    let value = |host: &Host, layer, mib: &str| {
        host.script.stack.counters().layer(layer).iter().find(|count| count.mib == mib).unwrap().value
    };
    let closed = datagram(PEER4, OWN4, 9, b"x");
    let mut bad = closed.clone();
    bad[10] ^= 1;
    for packet in [
        ping(PEER4, OWN4, b"x"),
        ping(PEER4, "10.0.0.255", b"x"),
        ping("127.0.0.1", OWN4, b"x"),
        closed,
        bad,
        ip_packet(ip(PEER6), ip(OWN6), 47, b"x"),
        message(PEER6, OWN6, 3, 0, &[0; 8]),
        message(PEER4, OWN4, 13, 0, &[0; 16]),
    ] {
        give(&mut host.script, &packet);
        host.script.packets();
    }
    for (layer, mib, expected) in [
        (Layer::Ip, "InReceives", 8),
        (Layer::Ip, "InDelivers", 5),
        (Layer::Ip, "InMcastPkts", 1),
        (Layer::Ip, "InHdrErrors", 1),
        (Layer::Ip, "InAddrErrors", 1),
        (Layer::Ip, "InUnknownProtos", 1),
        (Layer::Ip, "OutTransmits", 3),
        (Layer::Icmp, "InMsgs", 4),
        (Layer::Icmp, "InEchos", 2),
        (Layer::Icmp, "InTimeExcds", 1),
        (Layer::Icmp, "InErrors", 1),
        (Layer::Icmp, "OutMsgs", 3),
        (Layer::Icmp, "OutEchoReps", 1),
        (Layer::Icmp, "OutDestUnreachs", 1),
        (Layer::Icmp, "OutParmProbs", 1),
        (Layer::Udp, "NoPorts", 1),
    ] {
        assert_eq!(value(&host, layer, mib), expected, "{mib}");
    }
}
