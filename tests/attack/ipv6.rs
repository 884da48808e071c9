//! The IPv6 header and what may stand behind it.

use crate::packet::{Ip, SYN, Tcp};
use crate::target::{ATTACKER6, SERVED, TARGET6, from};
use crate::{Case, Expect, attack, case};

/// An options header of 8 octets with one option of four.
fn header(next: u8, option: u8) -> [u8; 8] {
    [next, 0, option, 4, 0, 0, 0, 0]
}

const PADN: u8 = 1;
const ICMP: u8 = 58;
const HOP_BY_HOP: u8 = 0;
const DESTINATION: u8 = 60;

fn echo() -> Expect {
    Expect::Echo(b"data".to_vec())
}

fn ping(change: impl FnOnce(&mut Ip)) -> Vec<u8> {
    let mut ip = from(ATTACKER6);
    change(&mut ip);
    ip.ping(b"data")
}

/// An echo request behind these extension headers.
fn behind(first: u8, headers: &[&[u8]]) -> Vec<u8> {
    let ip = from(ATTACKER6);
    ip.carry(first, &[headers.concat(), ip.echo_request(b"data")].concat())
}

/// 8200-3
#[test]
fn malformed_headers() {
    let whole = ping(|_| {});
    attack(vec![
        case("version 4", ping(|ip| ip.version = Some(4)), Expect::Dropped),
        case("version 7", ping(|ip| ip.version = Some(7)), Expect::Dropped),
        case("payload beyond the packet", ping(|ip| ip.total_length = Some(200)), Expect::Dropped),
        case("payload length 0", ping(|ip| ip.total_length = Some(0)), Expect::Dropped),
        case("cut in the header", whole[..39].to_vec(), Expect::Dropped),
        case("nothing behind the header", from(ATTACKER6).carry(ICMP, &[]), Expect::Dropped),
    ]);
}

/// 8200-4-1, 8200-4.2
#[test]
fn acceptable_headers() {
    attack(vec![
        case("hop limit 0", ping(|ip| ip.hop_limit = 0), echo()),
        case("hop limit 1", ping(|ip| ip.hop_limit = 1), echo()),
        case("every bit of the class", ping(|ip| ip.class = 255), echo()),
        case("octets behind the payload", [ping(|_| {}), b"TRAIL".to_vec()].concat(), echo()),
        case("hop-by-hop with PadN", behind(HOP_BY_HOP, &[&header(ICMP, PADN)]), echo()),
        case("hop-by-hop with Pad1", behind(HOP_BY_HOP, &[&[ICMP, 0, 0, 0, 0, 0, 0, 0]]), echo()),
        case("an option to skip", behind(HOP_BY_HOP, &[&header(ICMP, 0x1E)]), echo()),
        case("router alert", behind(HOP_BY_HOP, &[&[ICMP, 0, 5, 2, 0, 0, 1, 0]]), echo()),
        case("destination options", behind(DESTINATION, &[&header(ICMP, PADN)]), echo()),
        case("twice", behind(DESTINATION, &[&header(DESTINATION, PADN), &header(ICMP, PADN)]), echo()),
        case("both", behind(HOP_BY_HOP, &[&header(DESTINATION, PADN), &header(ICMP, PADN)]), echo()),
        case("a routing header that is used up", behind(43, &[&[ICMP, 0, 253, 0, 0, 0, 0, 0]]), echo()),
        case("an atomic fragment", behind(44, &[&[ICMP, 0, 0, 0, 0, 0, 0, 9]]), echo()),
    ]);
}

fn two(name: &str, ip: &Ip) -> Vec<Case> {
    let syn = ip.segment(&Tcp::new(7_777, SERVED, SYN), &[]);
    vec![
        case(format!("echo, {name}"), ip.ping(b"data"), Expect::Dropped),
        case(format!("SYN, {name}"), ip.carry(6, &syn), Expect::Dropped),
    ]
}

/// 4291-2, 9293-MUST-63
#[test]
fn impossible_sources_and_destinations() {
    let sources = ["::", "::1", "ff02::1", "ff0e::5", "::ffff:10.0.0.77", TARGET6];
    let destinations = ["::1", "::", "fd00:67::3", "2001:db8::1", "ff02::2", "ff05::99", "::ffff:10.0.0.2"];
    attack(sources.iter().flat_map(|source| two(&format!("from {source}"), &from(source))).collect());
    let to = |to: &&str| two(&format!("to {to}"), &Ip::between(ATTACKER6, to));
    attack(destinations.iter().flat_map(to).collect());
    let all_nodes = Ip::between(ATTACKER6, "ff02::1");
    let syn = all_nodes.segment(&Tcp::new(7_777, SERVED, SYN), &[]);
    attack(vec![case("SYN to all nodes", all_nodes.carry(6, &syn), Expect::Dropped)]);
}

/// 8200-4.2: what the two top bits of an unknown option ask for, and who is told.
#[test]
fn unknown_options() {
    let mut all = Vec::new();
    for (place, first) in [("hop-by-hop", HOP_BY_HOP), ("destination", DESTINATION)] {
        for (option, destination, told) in [
            (0x5E, TARGET6, false),
            (0x9E, TARGET6, true),
            (0xDE, TARGET6, true),
            (0x9E, "ff02::1", true),
            (0xDE, "ff02::1", false),
        ] {
            let ip = Ip::between(ATTACKER6, destination);
            let packet = ip.carry(first, &[&header(ICMP, option)[..], &ip.echo_request(b"data")].concat());
            let expect = if told { Expect::Error(4, 2, [0, 0, 0, 42]) } else { Expect::Dropped };
            all.push(case(format!("{place} option {option:#x} to {destination}"), packet, expect));
        }
    }
    attack(all);
}

/// 8200-4-2, 8200-4.4, 5095-3
#[test]
fn parameter_problems() {
    let route = |kind: u8| [&[ICMP, 2, kind, 1, 0, 0, 0, 0][..], &[0xFD; 16]].concat();
    let ip = from(ATTACKER6);
    attack(vec![
        case("routing header 0", behind(43, &[&route(0)]), Expect::Error(4, 0, [0, 0, 0, 42])),
        case("routing header 2", behind(43, &[&route(2)]), Expect::Error(4, 0, [0, 0, 0, 42])),
        case("segment routing", behind(43, &[&route(4)]), Expect::Error(4, 0, [0, 0, 0, 42])),
        case("an unknown routing header", behind(43, &[&route(253)]), Expect::Error(4, 0, [0, 0, 0, 42])),
        case("an unknown next header", ip.carry(253, &[7; 40]), Expect::Error(4, 1, [0, 0, 0, 6])),
        case("IPv6 in IPv6", ip.carry(41, &ping(|_| {})), Expect::Error(4, 1, [0, 0, 0, 6])),
        case(
            "behind options",
            ip.carry(60, &[&header(253, PADN)[..], &[7; 40]].concat()),
            Expect::Error(4, 1, [0, 0, 0, 40]),
        ),
        case(
            "late hop-by-hop",
            behind(60, &[&header(0, PADN), &header(ICMP, PADN)]),
            Expect::Error(4, 1, [0, 0, 0, 40]),
        ),
        case("the longest quote", ip.carry(253, &[7; 1_400]), Expect::Error(4, 1, [0, 0, 0, 6])),
    ]);
}

/// 7112-5
#[test]
fn broken_chains() {
    let ip = from(ATTACKER6);
    let chain: Vec<[u8; 8]> = (0..150).map(|n| header(if n == 149 { ICMP } else { DESTINATION }, PADN)).collect();
    let chain: Vec<&[u8]> = chain.iter().map(|header| &header[..]).collect();
    attack(vec![
        case("no next header", ip.carry(59, &[7; 40]), Expect::Dropped),
        case(
            "a header beyond the packet",
            ip.carry(DESTINATION, &[ICMP, 5, 1, 4, 0, 0, 0, 0]),
            Expect::SilenceOrProblem,
        ),
        case(
            "an option beyond its header",
            behind(DESTINATION, &[&[ICMP, 0, 1, 32, 0, 0, 0, 0]]),
            Expect::SilenceOrProblem,
        ),
        case("a cut header", ip.carry(DESTINATION, &[ICMP]), Expect::SilenceOrProblem),
        case("a cut fragment header", ip.carry(44, &[ICMP, 0, 0]), Expect::SilenceOrProblem),
        case("a jumbogram", behind(HOP_BY_HOP, &[&[ICMP, 0, 0xC2, 4, 0, 1, 0, 0]]), Expect::SilenceOrProblem),
        case("an authentication header", behind(51, &[&[ICMP, 4], &[0; 22]]), Expect::SilenceOrProblem),
        case("150 headers", behind(DESTINATION, &chain), Expect::SilenceOrProblem),
        case(
            "a fragment in a fragment",
            behind(44, &[&[44, 0, 0, 0, 0, 0, 0, 1], &[ICMP, 0, 0, 0, 0, 0, 0, 2]]),
            Expect::SilenceOrEcho(b"data".to_vec()),
        ),
        // RFC 8504 section 5.3: more than seven octets of padding in a row align nothing.
        case("a header of padding", behind(DESTINATION, &[&[ICMP, 160], &[0; 161 * 8 - 2]]), Expect::SilenceOrProblem),
    ]);
}
