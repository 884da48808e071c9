//! The IPv4 header.

use crate::packet::{Ip, SYN, Tcp, Udp};
use crate::target::{CLOSED, SERVED, TARGET4, from};
use crate::{Case, Expect, attack, case};

const ATTACKER: &str = crate::target::ATTACKER4;

fn ip() -> Ip {
    from(ATTACKER)
}

fn ping(change: impl FnOnce(&mut Ip)) -> Vec<u8> {
    let mut ip = ip();
    change(&mut ip);
    ip.ping(b"data")
}

fn echo() -> Expect {
    Expect::Echo(b"data".to_vec())
}

/// 1122-3.2.1.1, 1122-3.2.1.2, 791-3.1-1
#[test]
fn malformed_headers() {
    let whole = ping(|_| {});
    let mut cases = vec![
        case("version 0", ping(|ip| ip.version = Some(0)), Expect::Dropped),
        case("version 5", ping(|ip| ip.version = Some(5)), Expect::Dropped),
        case("version 6", ping(|ip| ip.version = Some(6)), Expect::Dropped),
        case("header of 0 words", ping(|ip| ip.header_words = Some(0)), Expect::Dropped),
        case("header of 4 words", ping(|ip| ip.header_words = Some(4)), Expect::Dropped),
        case("header beyond the packet", ping(|ip| ip.header_words = Some(15)), Expect::Dropped),
        case("total length 0", ping(|ip| ip.total_length = Some(0)), Expect::Dropped),
        case("total length within the header", ping(|ip| ip.total_length = Some(19)), Expect::Dropped),
        case("total length beyond the packet", ping(|ip| ip.total_length = Some(200)), Expect::Dropped),
        case("wrong checksum", ping(|ip| ip.checksum = Some(0x1234)), Expect::Dropped),
        case("checksum 0", ping(|ip| ip.checksum = Some(0)), Expect::Dropped),
    ];
    cases.extend([0, 1, 19, 20].map(|len| case(format!("{len} octets"), whole[..len].to_vec(), Expect::Dropped)));
    attack(cases);
}

/// 1122-3.2.1.7-2, 1122-3.2.1.8: what a host has no business with is no reason to drop.
#[test]
fn odd_but_acceptable_headers() {
    let with_options = |options: &[u8]| ping(|ip| ip.options = options.to_vec());
    attack(vec![
        case("TTL 0", ping(|ip| ip.hop_limit = 0), echo()),
        case("TTL 1", ping(|ip| ip.hop_limit = 1), echo()),
        case("reserved flag", ping(|ip| ip.flags = 4), echo()),
        case("DF", ping(|ip| ip.flags = 2), echo()),
        case("every bit of TOS", ping(|ip| ip.class = 255), echo()),
        case("identification 0", ping(|ip| ip.identification = 0), echo()),
        case("octets behind the total length", [ping(|_| {}), b"TRAIL".to_vec()].concat(), echo()),
        case("no-operations", with_options(&[1, 1, 1, 1]), echo()),
        case("garbage behind the end of the options", with_options(&[0, 255, 255, 255]), echo()),
        case("unknown option", with_options(&[0x5E, 4, 0, 0]), echo()),
        case("record route", with_options(&[7, 7, 4, 0, 0, 0, 0]), echo()),
        case("full record route", with_options(&[7, 7, 8, 0, 0, 0, 0]), echo()),
        case("timestamp", with_options(&[0x44, 12, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0]), echo()),
        case("router alert", with_options(&[0x94, 4, 0, 0]), echo()),
        case("40 octets of options", with_options(&[1; 40]), echo()),
    ]);
}

/// 1122-3.2.1.8
#[test]
fn refused_options() {
    let rows: [(&str, &[u8]); 9] = [
        ("length 0", &[7, 0, 4, 0]),
        ("length 1", &[7, 1, 4, 0]),
        ("beyond the header", &[7, 0x27, 4, 0]),
        ("kind without length", &[1, 1, 1, 7]),
        ("loose source route", &[0x83, 7, 4, 10, 0, 0, 5]),
        ("strict source route", &[0x89, 7, 4, 10, 0, 0, 5]),
        ("source route at its end", &[0x83, 7, 8, 10, 0, 0, 5]),
        ("two source routes", &[0x83, 3, 4, 0x83, 3, 4]),
        ("source route behind others", &[1, 7, 7, 4, 0, 0, 0, 0, 0x83, 7, 4, 10, 0, 0, 5]),
    ];
    attack(
        rows.map(|(name, options)| case(name, ping(|ip| ip.options = options.to_vec()), Expect::SilenceOrProblem))
            .into(),
    );
}

/// TCP, UDP and an echo request.
fn three(name: &str, ip: &Ip, port: u16) -> Vec<Case> {
    let syn = ip.segment(&Tcp::new(7_777, port, SYN), &[]);
    let datagram = ip.datagram(&Udp::to(port), b"x");
    [("echo", ip.ping(b"data")), ("SYN", ip.carry(6, &syn)), ("UDP", ip.carry(17, &datagram))]
        .map(|(kind, packet)| case(format!("{kind}, {name}"), packet, Expect::Dropped))
        .into()
}

/// 1122-3.2.1.3-3, 1812-5.3.7, 9293-MUST-63: nobody is answered who cannot have sent it, our own address (LAND) included.
#[test]
fn impossible_sources() {
    let sources = [
        "0.0.0.0",
        "0.1.2.3",
        "127.0.0.1",
        "127.1.2.3",
        "224.0.0.1",
        "239.1.1.1",
        "240.0.0.1",
        "255.255.255.255",
        "10.0.0.255",
        TARGET4,
    ];
    for port in [SERVED, CLOSED] {
        attack(sources.iter().flat_map(|source| three(&format!("from {source}"), &from(source), port)).collect());
    }
}

/// 1122-3.2.1.3-2, 1122-3.1-1, 9293-MUST-57
#[test]
fn destinations_that_are_not_ours() {
    let destinations = ["10.0.0.3", "127.0.0.1", "0.0.0.0", "240.0.0.1", "8.8.8.8", "224.0.0.251", "10.0.0.0"];
    for port in [SERVED, CLOSED] {
        let to = |destination: &&str| three(&format!("to {destination}"), &Ip::between(ATTACKER, destination), port);
        attack(destinations.iter().flat_map(to).collect());
    }
}

/// 1122-3.2.2.6-2: a group is never answered, so that nobody multiplies (Smurf).
#[test]
fn groups_are_not_answered() {
    let mut all = Vec::new();
    for destination in ["10.0.0.255", "255.255.255.255", "224.0.0.1"] {
        let ip = Ip::between(ATTACKER, destination);
        all.extend(three(&format!("to {destination}"), &ip, CLOSED));
        all.push(case(
            format!("SYN to {destination}"),
            ip.carry(6, &ip.segment(&Tcp::new(7_777, SERVED, SYN), &[])),
            Expect::Dropped,
        ));
        all.push(case(format!("unknown protocol to {destination}"), ip.carry(253, b"x"), Expect::Dropped));
    }
    attack(all);
}

/// 1122-3.2.2.1: an unknown protocol is unreachable, and nothing inside a tunnel is looked at.
#[test]
fn unknown_protocols() {
    let ip = ip();
    let inner = ping(|_| {});
    let rows =
        [(0, b"x".to_vec()), (4, inner.clone()), (41, inner.clone()), (47, [&[0, 0, 8, 0], &inner[..]].concat())];
    let more = [(50, inner.clone()), (253, vec![7; 40]), (255, vec![7; 1_400])];
    let unreachable = Expect::Error(3, 2, [0; 4]);
    let all = rows.into_iter().chain(more);
    attack(
        all.map(|(protocol, payload)| {
            case(format!("protocol {protocol}"), ip.carry(protocol, &payload), unreachable.clone())
        })
        .collect(),
    );
}
