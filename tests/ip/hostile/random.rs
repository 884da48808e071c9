//! Packets by chance behind good headers: whatever they are, what comes back is well-formed, to the sender, and about them.

use super::support::*;
use crate::kit::{give, ip_packet};
use glasstcp::rng::KeyedRng;
use glasstcp::wire::icmp::{self, IcmpMessage};
use glasstcp::wire::{parse_ip, protocol};
use std::time::Duration;

/// An IPv4 packet with options, most of which could be some.
fn with_random_options(rng: &mut KeyedRng) -> Vec<u8> {
    let kinds = [0, 1, 1, 7, 7, 68, 68, 99, 131, 148, 255];
    let mut options = Vec::new();
    while options.len() < 36 && !rng.chance(150_000) {
        options.push(kinds[rng.below(kinds.len() as u64) as usize]);
        let len = rng.below(14) as u8;
        options.push(len);
        options.extend((2..len).map(|_| rng.below(16) as u8));
    }
    options.truncate(40);
    let inner = match rng.below(3) {
        0 => ping(PEER4, OWN4, &[7; 30]),
        1 => datagram(PEER4, OWN4, 9, &[7; 700]),
        _ => message(PEER4, OWN4, 3, 1, &[0; 40]),
    };
    with_options(&inner, &options)
}

/// An IPv6 packet with extension headers, most of which could be some.
fn with_random_chain(rng: &mut KeyedRng) -> Vec<u8> {
    let to = if rng.chance(200_000) { "ff02::1" } else { OWN6 };
    let inner = match rng.below(3) {
        0 => ping(PEER6, to, &[7; 30]),
        1 => datagram(PEER6, to, 9, &[7; 1_300]),
        _ => message(PEER6, to, 1, 1, &[0; 60]),
    };
    let mut bodies = Vec::new();
    for _ in 0..rng.below(5) {
        let number = [0, 0, 43, 43, 44, 60, 60, 60, 200][rng.below(9) as usize];
        let mut body = vec![rng.below(3) as u8];
        body.extend((0..(usize::from(body[0]) * 8 + 6)).map(|_| match rng.below(4) {
            0 => rng.below(256) as u8,
            _ => rng.below(3) as u8,
        }));
        if number == 44 {
            // A fragment that is whole: others are not answered at once.
            body[1..3].fill(0);
        }
        bodies.push((number, body));
    }
    let headers: Vec<Extension> = bodies.iter().map(|(number, body)| (*number, body.as_slice())).collect();
    chain(to, &headers, &inner)
}

/// 1122-3.2.2-2, 4443-2.4-c, 1122-3.2.1.3-1: at most one answer, from an address of ours; an error quotes the packet and nothing else, and is no longer than it may be.
#[test]
fn answers_are_well_formed() {
    let mut host = Host::new();
    let mut rng = KeyedRng::from_seed(5);
    let (mut errors, mut echoes) = (0, 0);
    for number in 0..30_000 {
        let packet = match rng.below(5) {
            0 | 1 => with_random_options(&mut rng),
            2 | 3 => with_random_chain(&mut rng),
            _ => {
                let protocol = [0, 4, 43, 51, 58, 60, 99][rng.below(7) as usize];
                let octets: Vec<u8> = (0..rng.below(80)).map(|_| rng.below(256) as u8).collect();
                let (own, peer) = FAMILIES[rng.below(2) as usize];
                ip_packet(ip(peer), ip(own), protocol, &octets)
            }
        };
        let with_trailer = [packet.as_slice(), &[0xEE; 7]].concat();
        host.script.now += Duration::from_millis(50);
        give(&mut host.script, &with_trailer);
        let answers = host.script.packets();
        assert!(answers.len() <= 1, "{packet:?}");
        let Some(answer) = answers.first() else { continue };
        let parsed = parse_ip(answer).unwrap();
        let v6 = parsed.source.is_ipv6();
        let (own, peer) = FAMILIES[usize::from(v6)];
        assert_eq!((parsed.source, parsed.destination), (ip(own), ip(peer)));
        assert_eq!(parsed.protocol, if v6 { protocol::ICMPV6 } else { protocol::ICMPV4 });
        match icmp::parse(parsed.source, parsed.destination, parsed.payload).unwrap() {
            IcmpMessage::Error { quotation, .. } => {
                assert!(packet.starts_with(quotation), "{packet:?}");
                let most = if v6 { 1_280 - 48 } else { 576 - 28 };
                assert_eq!(quotation.len(), packet.len().min(most));
                errors += 1;
            }
            IcmpMessage::EchoReply(echo) => {
                assert_eq!(echo.data, [7; 30]);
                echoes += 1;
            }
            IcmpMessage::EchoRequest(_) => panic!("{packet:?}"),
        }
        if number % 1_000 == 0 {
            host.serve("now and then");
        }
    }
    assert!(errors > 3_000 && echoes > 500, "{errors} errors, {echoes} echoes");
    host.serve("at last");
}
