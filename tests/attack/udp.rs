//! UDP.

use std::net::SocketAddr;

use crate::packet::{Ip, Udp};
use crate::target::{ATTACKER4, ATTACKER6, CLOSED, SERVED, TARGET4, Target, from};
use crate::{Expect, attack, case};

fn with(ip: &Ip, change: impl FnOnce(&mut Udp)) -> Vec<u8> {
    let mut udp = Udp::to(SERVED);
    change(&mut udp);
    ip.carry(17, &ip.datagram(&udp, b"hello"))
}

/// 768-1, 1122-4.1.3.4-1
#[test]
fn headers() {
    let (v4, v6) = (from(ATTACKER4), from(ATTACKER6));
    let hello = || Expect::Datagram(b"hello".to_vec());
    let trailing = v4.carry(17, &[v4.datagram(&Udp::to(SERVED), b"hello"), b"TRAIL".to_vec()].concat());
    attack(vec![
        case("well formed", with(&v4, |_| {}), hello()),
        case("well formed, IPv6", with(&v6, |_| {}), hello()),
        case("checksum 0 over IPv4", with(&v4, |udp| udp.checksum = Some(0)), hello()),
        case("octets behind the length", trailing, hello()),
        case("empty", v4.carry(17, &v4.datagram(&Udp::to(SERVED), &[])), Expect::Datagram(Vec::new())),
        case(
            "1,472 octets",
            v4.carry(17, &v4.datagram(&Udp::to(SERVED), &[7; 1_472])),
            Expect::Datagram(vec![7; 1_472]),
        ),
        case("wrong checksum", with(&v4, |udp| udp.checksum = Some(0x1234)), Expect::Dropped),
        case("wrong checksum, IPv6", with(&v6, |udp| udp.checksum = Some(0x1234)), Expect::Dropped),
        case("checksum 0 over IPv6", with(&v6, |udp| udp.checksum = Some(0)), Expect::Dropped),
        case("length 0", with(&v4, |udp| udp.length = Some(0)), Expect::Dropped),
        case("length 7", with(&v4, |udp| udp.length = Some(7)), Expect::Dropped),
        case("length 7, IPv6", with(&v6, |udp| udp.length = Some(7)), Expect::Dropped),
        case("length beyond the packet", with(&v4, |udp| udp.length = Some(100)), Expect::Dropped),
        case("cut header", v4.carry(17, &v4.datagram(&Udp::to(SERVED), &[])[..7]), Expect::Dropped),
        case("no header", v4.carry(17, &[]), Expect::Dropped),
        // 768-1: it is delivered, but whoever sent it wants no answer.
        case("from port 0", with(&v4, |udp| udp.source = 0), Expect::Silence),
        case("LAND", with(&from(TARGET4), |udp| udp.source = SERVED), Expect::Dropped),
    ]);
}

/// 1122-4.1.3.1, 4443-3.1
#[test]
fn closed_ports() {
    let (v4, v6) = (from(ATTACKER4), from(ATTACKER6));
    let closed = |udp: &mut Udp| udp.destination = CLOSED;
    let long = |ip: &Ip| ip.carry(17, &ip.datagram(&Udp::to(CLOSED), &[7; 1_400]));
    attack(vec![
        case("IPv4", with(&v4, closed), Expect::Error(3, 3, [0; 4])),
        case("IPv6", with(&v6, closed), Expect::Error(1, 4, [0; 4])),
        case("long, IPv4", long(&v4), Expect::Error(3, 3, [0; 4])),
        case("long, IPv6", long(&v6), Expect::Error(1, 4, [0; 4])),
        case("wrong checksum", with(&v4, |udp| (udp.destination, udp.checksum) = (CLOSED, Some(9))), Expect::Dropped),
        case("to all nodes", with(&Ip::between(ATTACKER6, "ff02::1"), closed), Expect::Dropped),
    ]);
}

/// A queue that is full loses datagrams, counted, and nothing else.
#[test]
fn flood() {
    let mut target = Target::new();
    let ip = from(ATTACKER4);
    for source in 0..20_000_u16 {
        let udp = Udp { source: 1_024 + source, ..Udp::to(SERVED) };
        target.give(&ip.carry(17, &ip.datagram(&udp, &[7; 1_000])));
    }
    assert!(target.drops() > 10_000, "the queue is bounded");
    target.answers(&[]);
    let answers = target.answers(&[with(&ip, |_| {})]);
    assert!(answers.len() == 1 && answers[0].payload[8..] == *b"hello");
    target.serves_a_fresh_client("the flood");
}

/// 4443-2.4-f: errors are limited, echo replies go on.
#[test]
fn flood_of_closed_ports() {
    let mut target = Target::new();
    let ip = from(ATTACKER4);
    let packets: Vec<_> =
        (0..5_000).map(|n| ip.carry(17, &ip.datagram(&Udp { source: 1_024 + n, ..Udp::to(CLOSED) }, b"x"))).collect();
    let answers = target.answers(&packets);
    assert!(!answers.is_empty() && answers.len() <= 200, "{} errors", answers.len());
    let answers = target.answers(&[ip.ping(b"data")]);
    assert_eq!(answers[0].echoed(), Some(&b"data"[..]));
    target.serves_a_fresh_client("the flood");
}

/// 8899-4.6.1: who has us answer ever so many large pings does not bring us to forget what a socket has sent, and a forged
/// error about what it has not sent is not believed.
#[test]
fn large_pings_hide_no_genuine_error() {
    for (target_ip, router) in [(from(ATTACKER4), "10.0.0.55"), (from(ATTACKER6), "fd00:67::55")] {
        let mut target = Target::new();
        let peer: SocketAddr =
            SocketAddr::new(if target_ip.source.is_ipv6() { "fd00:67::9" } else { "10.0.0.9" }.parse().unwrap(), 53);
        let socket = target.stack.udp_bind(SocketAddr::new(target_ip.destination, 6_000)).unwrap();
        target.stack.udp_connect(socket, peer).unwrap();
        let free = target.stack.udp_bind(SocketAddr::new(target_ip.destination, 6_001)).unwrap();
        target.stack.udp_send(target.now, socket, None, &[7; 1_400]).unwrap();
        target.stack.udp_send(target.now, free, Some(peer), &[7; 1_400]).unwrap();
        target.answers(&[]);
        for identifier in 0..4_000_u16 {
            let echo = target_ip.icmp(
                if peer.is_ipv6() { 128 } else { 8 },
                0,
                &[&identifier.to_be_bytes()[..], &[0; 1_400]].concat(),
            );
            target.answers(&[target_ip.carry(if peer.is_ipv6() { 58 } else { 1 }, &echo)]);
        }
        let ours = Ip { source: target_ip.destination, destination: peer.ip(), ..target_ip.clone() };
        let error = |port: u16, mtu: u16| {
            let udp = Udp { source: port, ..Udp::to(53) };
            let quoted = ours.carry(17, &ours.datagram(&udp, &[7; 1_400]));
            let from_router = Ip::between(router, &target_ip.destination.to_string());
            let rest = [&[0, 0], &mtu.to_be_bytes()[..], &quoted[..600]].concat();
            match peer.is_ipv6() {
                true => from_router.carry(58, &from_router.icmp(2, 0, &rest)),
                false => from_router.carry(1, &from_router.icmp(3, 4, &rest)),
            }
        };
        let whole = target.stack.path_mtu(peer.ip());
        // Nobody sent from this port; nor more than 1,460 octets from that one.
        target.answers(&[error(6_002, 1_300), error(6_000, 1_460)]);
        assert_eq!(target.stack.path_mtu(peer.ip()), whole);
        target.answers(&[error(6_001, 1_400)]);
        assert_eq!(target.stack.path_mtu(peer.ip()), 1_400, "the socket of many peers");
        target.answers(&[error(6_000, 1_300)]);
        assert_eq!(target.stack.path_mtu(peer.ip()), 1_300, "the connected one");
        target.serves_a_fresh_client("large pings");
    }
}
