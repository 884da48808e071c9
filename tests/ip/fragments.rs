//! Fragments both ways, through the whole stack.

use crate::kit;
use crate::kit::fragment::{Cut, assemble, even};
use crate::kit::{fix_ipv4, give, icmp_message, ip_packet};
use glasstcp::buffer::Chunk;
use glasstcp::counters::DropReason;
use glasstcp::device::RxMeta;
use glasstcp::sim::Script;
use glasstcp::wire::icmp::{self, IcmpError, IcmpMessage};
use glasstcp::wire::tcp::Flags;
use glasstcp::wire::{parse_ip, protocol};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

const FAMILIES: [(&str, &str); 2] = [("10.0.0.2", "10.0.0.1"), ("fd00:67::2", "fd00:67::1")];

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// An echo request from the peer with so many octets of data.
fn echo(own: &str, peer: &str, len: usize) -> Vec<u8> {
    let data: Vec<u8> = (0..len).map(|n| (n % 251) as u8).collect();
    let kind = if own.contains(':') { 128 } else { 8 };
    icmp_message(ip(peer), ip(own), kind, 0, &[&[0, 1, 0, 2], data.as_slice()].concat())
}

/// The data of the one echo reply that these packets are, whole or in fragments.
#[track_caller]
fn reply(packets: &[Vec<u8>]) -> Vec<u8> {
    let whole = assemble(packets).expect("one whole datagram");
    let packet = parse_ip(&whole).unwrap();
    match icmp::parse(packet.source, packet.destination, packet.payload) {
        Ok(IcmpMessage::EchoReply(echo)) => echo.data.to_vec(),
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn give_all(script: &mut Script, fragments: &[Vec<u8>]) {
    for (number, fragment) in fragments.iter().enumerate() {
        assert_eq!(give(script, fragment), None, "fragment {number}");
    }
}

/// The error that a packet is, and what it quotes.
#[track_caller]
fn error_of(packet: &[u8]) -> (IcmpError, Vec<u8>) {
    let packet = parse_ip(packet).unwrap();
    match icmp::parse(packet.source, packet.destination, packet.payload).unwrap() {
        IcmpMessage::Error { error, quotation } => (error, quotation.to_vec()),
        other => panic!("{other:?}"),
    }
}

/// 1122-3.2.1.4, 1122-3.3.2-1, 791-3.1-3, 8200-5-1, 791-3.2-2: echoes of every length, in fragments of every length, in order
/// and in reverse; the reply leaves in fragments where it is too long.
#[test]
fn echoes_of_every_length() {
    for (own, peer) in FAMILIES {
        let v6 = own.contains(':');
        let most = if v6 { 65_527 } else { 65_507 };
        let mut script = Script::new();
        let smallest = if v6 { 1_232 } else { 48 };
        for (len, size) in [
            (64, 24),
            (548, 8),
            (1_452, 8),
            (1_472, 16),
            (1_500, 1_448),
            (2_000, 1_448),
            (8_972, 1_480),
            (20_000, smallest),
            (65_000, 8),
            (most - 1, 1_448),
            (most, 1_448),
            (most, 65_000),
        ] {
            let request = echo(own, peer, len);
            for reversed in [false, true] {
                let mut fragments = Cut::new(len as u32).apply(&request, &even(&request, size));
                assert!(fragments.len() > 1);
                if reversed {
                    fragments.reverse();
                }
                give_all(&mut script, &fragments);
                let packets = script.packets();
                assert!(packets.iter().all(|packet| packet.len() <= 1_500));
                assert_eq!(reply(&packets), parse_ip(&request).unwrap().payload[8..], "{len} in {size}");
                let whole = if v6 { 1_452 } else { 1_472 };
                assert_eq!(packets.len() == 1, len <= whole, "{len}");
            }
        }
        assert_eq!(script.stack.reassembly_memory(), (0, 0));
        assert_eq!(script.stack.next_deadline(), None);
        assert_eq!(script.stack.counters().reassembled, 24);
        assert!(script.stack.counters().fragments_out > 100);
    }
}

/// 791-3.2-1, 8200-4.5-1: fragments of datagrams that differ in one part of the key alone, interleaved.
#[test]
fn keys() {
    let mut script = Script::with(|config| config.addresses.push("10.0.0.7/24".parse().unwrap()));
    let udp = |from: &str, to: &str| kit::datagram(SocketAddr::new(ip(from), 5), SocketAddr::new(ip(to), 9), &[7; 100]);
    let datagrams = [
        (1, echo("10.0.0.2", "10.0.0.1", 100)),
        (1, echo("10.0.0.7", "10.0.0.1", 100)),
        (1, echo("10.0.0.2", "10.0.0.3", 100)),
        (1, udp("10.0.0.1", "10.0.0.2")),
        (2, echo("10.0.0.2", "10.0.0.1", 100)),
    ];
    let socket = script.stack.udp_bind("10.0.0.2:9".parse().unwrap()).unwrap();
    let cut: Vec<_> = datagrams.iter().map(|(id, packet)| Cut::new(*id).apply(packet, &even(packet, 40))).collect();
    for piece in [2, 0, 1] {
        for fragments in &cut {
            assert_eq!(give(&mut script, &fragments[piece]), None);
        }
    }
    let from: Vec<_> = script.packets().iter().map(|packet| parse_ip(packet).unwrap().source).collect();
    assert_eq!(from, [ip("10.0.0.2"), ip("10.0.0.7"), ip("10.0.0.2"), ip("10.0.0.2")]);
    assert_eq!(script.stack.udp_receive(socket).unwrap().data, [7; 100]);
    // Over IPv6, the number of the next header is no part of it: that of the first fragment counts.
    let request = echo("fd00:67::2", "fd00:67::1", 100);
    let mut fragments = Cut::new(9).apply(&request, &even(&request, 40));
    fragments[1][40] = protocol::TCP;
    give_all(&mut script, &fragments);
    assert_eq!(reply(&script.packets()).len(), 100);
    // Whatever arrived has left no trace.
    assert_eq!(script.stack.reassembly_memory(), (0, 0));
}

/// 1122-3.3.2-2, 8200-4.5-1, 792-te: after 60 s what is not whole goes, and its sender is told if the first fragment came; the
/// deadline is that of the oldest, and later fragments do not move it.
#[test]
fn timeouts() {
    for (own, peer) in FAMILIES {
        let mut script = Script::new();
        let request = echo(own, peer, 3_000);
        let fragments = Cut::new(5).apply(&request, &even(&request, 1_000));
        let began = script.now;
        for missing in 0..fragments.len() {
            let began = script.now;
            for (number, fragment) in fragments.iter().enumerate().filter(|&(number, _)| number != missing) {
                assert_eq!(give(&mut script, fragment), None, "{number}");
                assert!(script.pass(Duration::from_secs(1)).is_empty() && script.packets().is_empty());
                assert_eq!(script.stack.next_deadline(), Some(began + Duration::from_secs(60)));
            }
            script.now = began + Duration::from_secs(60);
            script.stack.handle_deadline(script.now);
            assert_eq!((script.stack.reassembly_memory(), script.stack.next_deadline()), ((0, 0), None));
            let packets = script.packets();
            assert_eq!(packets.len(), usize::from(missing != 0), "without {missing}");
            if let Some(packet) = packets.first() {
                let (error, quotation) = error_of(packet);
                assert_eq!(error, IcmpError::TimeExceeded { code: 1 });
                assert!(quotation.len() > 500 && fragments[0].starts_with(&quotation), "the first, as it came");
            }
            // What was missing begins a datagram of its own.
            assert_eq!(give(&mut script, &fragments[missing]), None);
            script.now += Duration::from_secs(60);
            script.stack.handle_deadline(script.now);
            assert_eq!(script.packets().len(), usize::from(missing == 0));
        }
        assert!(script.now > began);
        assert_eq!(script.stack.counters().reassembly_timeouts, 2 * fragments.len() as u64);
        // A packet that comes before the timer is handled, but too late, completes nothing.
        give_all(&mut script, &fragments[..fragments.len() - 1]);
        script.now += Duration::from_secs(60);
        assert_eq!(give(&mut script, fragments.last().unwrap()), None);
        assert_eq!(error_of(&script.packets()[0]).0, IcmpError::TimeExceeded { code: 1 });
    }
}

/// 1122-3.2.2-3, 4443-2.4-e: nobody is told of a timeout of what was for a group, or was an error; and not too often.
#[test]
fn silent_timeouts() {
    let mut script = Script::with(|config| config.icmp_errors_per_second = 10);
    let to_group = icmp_message(ip("10.0.0.1"), ip("10.0.0.255"), 8, 0, &[0; 100]);
    let to_nodes = icmp_message(ip("fd00:67::1"), ip("ff02::1"), 128, 0, &[0; 100]);
    let error = icmp_message(ip("10.0.0.1"), ip("10.0.0.2"), 3, 1, &[0; 100]);
    let error6 = icmp_message(ip("fd00:67::1"), ip("fd00:67::2"), 1, 1, &[0; 100]);
    for packet in [to_group, to_nodes, error, error6] {
        assert_eq!(give(&mut script, &Cut::new(1).apply(&packet, &even(&packet, 48))[0]), None);
    }
    script.now += Duration::from_secs(61);
    script.stack.handle_deadline(script.now);
    assert!(script.packets().is_empty());
    assert_eq!(script.stack.counters().reassembly_timeouts, 4);
    let request = echo("10.0.0.2", "10.0.0.1", 100);
    for id in 0..100 {
        assert_eq!(give(&mut script, &Cut::new(id).apply(&request, &even(&request, 48))[0]), None);
    }
    script.now += Duration::from_secs(60);
    script.stack.handle_deadline(script.now);
    let told = script.packets().len();
    assert!((1..=10).contains(&told), "{told}");
    assert_eq!(script.stack.counters().dropped(DropReason::IcmpRateLimited), 100 - told as u64);
}

/// 791-3.2-3, 8200-4.5-2, 8200-4.5-3, 7112-5, 1858-3: fragments that no datagram can have.
#[test]
fn impossible_fragments() {
    let mut script = Script::new();
    let problem = |code, pointer| Some(IcmpError::ParameterProblem { code, pointer });
    let v4 = |protocol, offset, more, len| {
        let whole = ip_packet(ip("10.0.0.1"), ip("10.0.0.2"), protocol, &vec![1; offset + len]);
        (Cut::new(3).piece(&whole, offset, len, more), None)
    };
    let v6 = |protocol, offset, more, payload: &[u8], error| {
        let whole = ip_packet(ip("fd00:67::1"), ip("fd00:67::2"), protocol, payload);
        (Cut::new(3).at(&whole, offset, payload.len(), more), error)
    };
    let (bad, tiny) = (DropReason::Fragment, DropReason::FragmentTiny);
    for (number, ((packet, error), reason)) in [
        (v4(17, 0, true, 0), bad),
        (v4(17, 8, true, 0), bad),
        (v4(17, 8, false, 0), bad),
        (v4(17, 0, true, 13), bad),
        (v4(17, 800, true, 7), bad),
        (v4(1, 65_528, false, 8), bad),
        (v4(1, 65_512, false, 4), bad),
        (v4(1, 65_512, true, 8), bad),
        (v4(1, 65_528, true, 1_400), bad),
        (v4(6, 0, true, 8), tiny),
        (v4(6, 0, true, 16), tiny),
        (v4(6, 8, true, 64), tiny),
        (v4(6, 8, false, 12), tiny),
        (v6(17, 0, true, &[0; 13], problem(0, 4)), bad),
        (v6(17, 1_000, true, &[0; 7], problem(0, 4)), bad),
        (v6(17, 65_528, false, &[0; 100], problem(0, 42)), bad),
        (v6(58, 65_528, false, &[0; 8], problem(0, 42)), bad),
        (v6(17, 65_528, true, &[0; 8], problem(0, 42)), bad),
        (v6(17, 0, true, &[], None), bad),
        (v6(17, 8, false, &[], None), bad),
        (v6(6, 0, true, &[0; 8], problem(3, 0)), tiny),
        (v6(6, 0, true, &[0; 16], problem(3, 0)), tiny),
        (v6(60, 0, true, &[6, 1, 1, 4, 0, 0, 0, 0], problem(3, 0)), tiny),
        (v6(60, 0, true, &[17, 0, 1, 4, 0, 0, 0, 0], problem(3, 0)), tiny),
        (v6(43, 0, true, &[6, 0, 0, 0, 0, 0, 0, 0, 9, 9, 9, 9, 9, 9, 9, 9], problem(3, 0)), tiny),
    ]
    .into_iter()
    .enumerate()
    {
        // Errors have a rate.
        script.now += Duration::from_secs(1);
        let before = script.stack.counters().dropped(reason);
        assert_eq!(give(&mut script, &packet), Some(reason), "{number}");
        assert_eq!(script.stack.counters().dropped(reason), before + 1);
        let answers = script.packets();
        assert_eq!(answers.first().map(|answer| error_of(answer).0), error, "{number}");
        if let Some(answer) = answers.first() {
            assert!(packet.starts_with(&error_of(answer).1), "the fragment itself is quoted");
        }
        assert_eq!(script.stack.reassembly_memory(), (0, 0), "{number}");
    }
    // An extension header before the fragment header moves the pointer, and counts for the length.
    let mut bytes =
        ip_packet(ip("fd00:67::1"), ip("fd00:67::2"), 0, &[44, 0, 1, 4, 0, 0, 0, 0, 17, 0, 0xFF, 0xF0, 0, 0, 0, 1]);
    bytes.extend([0; 8]);
    bytes[5] += 8;
    assert_eq!(give(&mut script, &bytes), Some(bad));
    assert_eq!(error_of(&script.packets()[0]).0, IcmpError::ParameterProblem { code: 0, pointer: 50 });
    // Nobody is told about a group or about an error.
    for (to, protocol, first) in [("ff02::1", 17, 0), ("fd00:67::2", 58, 1)] {
        let whole = ip_packet(ip("fd00:67::1"), ip(to), protocol, &[first; 13]);
        assert_eq!(give(&mut script, &Cut::new(3).at(&whole, 0, 13, true)), Some(bad));
        assert!(script.packets().is_empty());
    }
    // Just not too long.
    for (own, peer) in FAMILIES {
        let request = echo(own, peer, if own.contains(':') { 65_527 } else { 65_507 });
        give_all(&mut script, &Cut::new(4).apply(&request, &even(&request, 8_000)));
        assert!(script.packets().len() > 40);
    }
}

/// 1858-4, 5722-4-1, 815-3: overlaps discard the datagram in silence, what is to come of it included over IPv6; an exact
/// duplicate does not.
#[test]
fn overlaps() {
    for (own, peer) in FAMILIES {
        let v6 = own.contains(':');
        let request = echo(own, peer, 112);
        // 120 octets: offset, length, more, changed. None fits a gap so well that it could be the honest one.
        let honest = [(0, 40, true), (40, 40, true), (80, 40, false)];
        for (offset, len, more, change) in [
            (0, 40, true, true),
            (40, 40, true, true),
            (0, 48, true, false),
            (32, 8, true, false),
            (32, 16, true, false),
            (40, 32, true, false),
            (48, 32, true, false),
            (48, 16, true, false),
            (72, 16, true, false),
            (0, 120, true, false),
            (80, 40, true, false),
            (72, 48, false, false),
            (120, 8, true, false),
            (120, 8, false, false),
            (160, 8, false, false),
            (0, 24, true, false),
        ] {
            // Whenever it comes: before, among and after those that it contradicts, but for the last one.
            for position in 0..3 {
                let mut script = Script::new();
                let cut = Cut::new(6);
                let mut fragments: Vec<_> =
                    honest.iter().map(|&(at, len, more)| cut.piece(&request, at, len, more)).collect();
                let mut evil = cut.piece(&request, offset, len, more);
                if change {
                    *evil.last_mut().unwrap() ^= 1;
                }
                fragments.insert(position, evil);
                let dropped: Vec<_> = fragments.iter().filter_map(|fragment| give(&mut script, fragment)).collect();
                let label = format!("{own} {offset}+{len} at {position}: {dropped:?}");
                assert!(dropped.contains(&DropReason::FragmentOverlap), "{label}");
                assert!(dropped.iter().all(|&reason| reason == DropReason::FragmentOverlap), "{label}");
                if v6 {
                    for &(at, len, more) in &honest {
                        let again = cut.piece(&request, at, len, more);
                        assert_eq!(give(&mut script, &again), Some(DropReason::FragmentOverlap), "{label}");
                    }
                }
                assert!(script.packets().is_empty(), "{label}");
                // Another datagram is not concerned, and nothing is said when the time is over.
                give_all(&mut script, &Cut::new(7).apply(&request, &even(&request, 40)));
                assert_eq!(reply(&script.packets()).len(), 112, "{label}");
                script.now += Duration::from_secs(61);
                script.stack.handle_deadline(script.now);
                assert_eq!(script.stack.reassembly_memory(), (0, 0));
                assert!(!v6 || script.packets().is_empty(), "{label}");
            }
        }
        let mut script = Script::new();
        let fragments = Cut::new(8).apply(&request, &even(&request, 40));
        for fragment in &fragments[..2] {
            assert_eq!(give(&mut script, fragment), None);
            assert_eq!(give(&mut script, fragment), Some(DropReason::FragmentDuplicate));
        }
        assert_eq!(give(&mut script, &fragments[2]), None);
        assert_eq!(reply(&script.packets()).len(), 112);
    }
}

/// 8200-4.5-4, 6864-4.1-1: what is whole is delivered by itself, whatever its identification: an atomic fragment of IPv6 amid
/// a datagram with the same, and an IPv4 datagram with DF.
#[test]
fn atomic_datagrams() {
    let mut script = Script::new();
    let request = echo("fd00:67::2", "fd00:67::1", 112);
    let fragments = Cut::new(5).apply(&request, &even(&request, 64));
    assert_eq!(give(&mut script, &fragments[0]), None);
    let small = echo("fd00:67::2", "fd00:67::1", 10);
    let atomic = Cut::new(5).at(&small, 0, 18, false);
    assert_eq!(atomic[6], protocol::FRAGMENT);
    for _ in 0..3 {
        assert_eq!(give(&mut script, &atomic), None);
        assert_eq!(reply(&script.packets()).len(), 10);
    }
    assert_eq!(give(&mut script, &fragments[1]), None);
    assert_eq!(reply(&script.packets()).len(), 112);

    let request = echo("10.0.0.2", "10.0.0.1", 112);
    for id in (0..=u16::MAX).step_by(251).chain([5, 5, 5]) {
        assert_eq!(
            give(&mut script, &Cut::new(5).piece(&request, 0, 64, true)),
            if id == 0 { None } else { Some(DropReason::FragmentDuplicate) }
        );
        let mut whole = request.clone();
        whole[4..6].copy_from_slice(&id.to_be_bytes());
        whole[6] = 0x40;
        fix_ipv4(&mut whole);
        assert_eq!(give(&mut script, &whole), None);
        assert_eq!(reply(&script.packets()).len(), 112, "{id}");
    }
    // DF on a fragment says nothing to who puts it together.
    let mut last = Cut::new(5).piece(&request, 64, 56, false);
    last[6] |= 0x40;
    fix_ipv4(&mut last);
    assert_eq!(give(&mut script, &last), None);
    assert_eq!(reply(&script.packets()).len(), 112);
}

/// 3168-5.3: CE on one fragment is CE on the whole; beside not-ECT the whole is dropped.
#[test]
fn marks() {
    for (own, peer) in FAMILIES {
        for (marks, expected) in [
            ([0, 0, 0], Some(0)),
            ([2, 2, 2], Some(2)),
            ([1, 1, 1], Some(1)),
            ([3, 3, 3], Some(3)),
            ([2, 3, 2], Some(3)),
            ([3, 2, 2], Some(3)),
            ([1, 1, 3], Some(3)),
            ([0, 3, 0], None),
            ([3, 0, 0], None),
            ([0, 2, 2], None),
            ([2, 1, 2], Some(2)),
        ] {
            let mut reassembly = glasstcp::ip::reassembly::Reassembly::new(1 << 20);
            let request = echo(own, peer, 100);
            let fragments = Cut::new(1).apply(&request, &even(&request, 40));
            let mut last = None;
            for (fragment, mark) in fragments.iter().zip(marks) {
                let mut packet = parse_ip(fragment).unwrap();
                let mut marked = packet.packet.to_vec();
                kit::fragment::mark(&mut marked, mark);
                packet = parse_ip(&marked).unwrap();
                last = Some(reassembly.insert(&packet, true, glasstcp::time::Instant::ZERO));
            }
            let class = last.unwrap().map(|whole| parse_ip(&whole.unwrap()).unwrap().traffic_class);
            assert_eq!(class.ok(), expected, "{own} {marks:?}");
            assert!(reassembly.is_empty());
        }
    }
}

/// 8200-4-2, 1122-4.1.3.1, 768-1: what is whole again passes the checks of any datagram, and errors quote the whole.
#[test]
fn the_whole_is_checked_as_any_other() {
    let mut script = Script::new();
    for (own, peer) in FAMILIES {
        let v6 = own.contains(':');
        let closed = kit::datagram(SocketAddr::new(ip(peer), 5), SocketAddr::new(ip(own), 9), &[7; 2_000]);
        let fragments = Cut::new(1).apply(&closed, &even(&closed, 1_000));
        give_all(&mut script, &fragments[..2]);
        assert_eq!(give(&mut script, &fragments[2]), Some(DropReason::UdpNoSocket));
        let (error, quotation) = error_of(&script.packets()[0]);
        assert_eq!(error, IcmpError::port_unreachable(ip(own)));
        // But for what the fragments did not tell: the identification and the checksum of the IPv4 header.
        assert!(if v6 { closed.starts_with(&quotation) } else { closed[20..].starts_with(&quotation[20..]) });
        let mut wrong = closed.clone();
        *wrong.last_mut().unwrap() ^= 1;
        let fragments = Cut::new(2).apply(&wrong, &even(&wrong, 1_000));
        give_all(&mut script, &fragments[..2]);
        assert_eq!(give(&mut script, &fragments[2]), Some(DropReason::UdpChecksum));
        let unknown = ip_packet(ip(peer), ip(own), 99, &[1; 100]);
        let fragments = Cut::new(3).apply(&unknown, &even(&unknown, 64));
        assert_eq!(give(&mut script, &fragments[0]), None);
        assert_eq!(give(&mut script, &fragments[1]), Some(DropReason::UnknownProtocol));
        assert_eq!(script.packets().len(), 1);
    }
    // An option that must be refused, behind the fragment header; the pointer is that of the whole.
    let options = [&[17, 0, 0xDE, 4, 0, 0, 0, 0], [9; 100].as_slice()].concat();
    let packet = ip_packet(ip("fd00:67::1"), ip("fd00:67::2"), protocol::DESTINATION_OPTIONS, &options);
    let fragments = Cut::new(4).apply(&packet, &even(&packet, 64));
    assert_eq!(give(&mut script, &fragments[0]), None);
    assert_eq!(give(&mut script, &fragments[1]), Some(DropReason::ExtensionRefused));
    assert_eq!(error_of(&script.packets()[0]).0, IcmpError::ParameterProblem { code: 2, pointer: 42 });
    // A fragment in fragments: dropped, or it would have no end.
    let request = echo("fd00:67::2", "fd00:67::1", 200);
    let inner = Cut::new(5).at(&request, 0, 104, true);
    let fragments = Cut::new(6).apply(&inner, &even(&inner, 64));
    assert_eq!(give(&mut script, &fragments[0]), None);
    assert_eq!(give(&mut script, &fragments[1]), Some(DropReason::Fragment));
    assert!(script.packets().is_empty());
    // A source route in the first fragment.
    let mut routed = Cut::new(7).piece(&echo("10.0.0.2", "10.0.0.1", 100), 0, 64, true);
    routed.splice(20..20, [131, 3, 4, 0]);
    routed[0] += 1;
    routed[3] += 4;
    fix_ipv4(&mut routed);
    assert_eq!(give(&mut script, &routed), Some(DropReason::SourceRoute));
}

/// 1858-3, 1858-4: a SYN in fragments is answered, unless they come near its header.
#[test]
fn a_syn_in_fragments() {
    for (own, peer) in FAMILIES {
        let mut script = Script::on(
            &SocketAddr::new(ip(own), 80).to_string(),
            &SocketAddr::new(ip(peer), 40_000).to_string(),
            |_| {},
        );
        script.listen();
        let mut header = script.header(Flags::SYN);
        header.options.mss = Some(1_460);
        header.options.sack_permitted = true;
        let syn = script.packet(&header, &[1; 40]);
        give_all(&mut script, &Cut::new(1).apply(&syn, &even(&syn, 24)));
        assert_eq!(script.sent_one().flags(), Flags::SYN | Flags::ACK);
        script.peer.set_port(40_001);
        let syn = script.packet(&script.header(Flags::SYN), &[]);
        for fragment in Cut::new(2).apply(&syn, &even(&syn, 8)).iter().take(2) {
            let dropped = give(&mut script, fragment);
            assert!(dropped == Some(DropReason::FragmentTiny) || own.contains(':'), "{dropped:?}");
        }
        script.sent();
        assert_eq!(script.stack.table_sizes().0, 1);
    }
}

/// Text of a connection in long fragments, in chunks that a connection may keep: it is not taken from there.
#[test]
fn the_last_fragment_is_not_the_text() {
    let mut script = Script::with(|config| config.mtu = 65_535);
    let handle = script.accept();
    let text: Vec<u8> = (0..60_000).map(|n| (n % 253) as u8).collect();
    let packet = script.packet(&script.header(Flags::ACK), &text);
    for fragment in Cut::new(1).apply(&packet, &[(0, 64), (64, packet.len() - 84)]) {
        let mut chunk = Chunk::for_packets();
        chunk.bytes_mut()[..fragment.len()].copy_from_slice(&fragment);
        assert_eq!(script.stack.handle_chunk(script.now, &mut chunk, &RxMeta::plain(fragment.len())), None);
    }
    let mut received = Vec::new();
    while received.len() < text.len() {
        let more = script.receive(handle);
        assert!(!more.is_empty());
        received.extend(more);
    }
    assert!(received == text);
}

/// 791-3.2-3, 815-3: 10,000 first fragments, or last ones, or one datagram in the smallest fragments, of one source or of
/// many, keep neither memory nor anybody from being answered.
#[test]
fn floods() {
    for (own, peer) in FAMILIES {
        for kind in 0..4 {
            let mut script = Script::new();
            let request = echo(own, peer, 3_000);
            for n in 0..10_000_u32 {
                let from = match (kind, own.contains(':')) {
                    (0 | 3, _) => peer.to_owned(),
                    (_, true) => format!("fd00:67:0:{:x}::1", n % 200),
                    (_, false) => format!("10.0.0.{}", 10 + n % 200),
                };
                let whole = echo(own, &from, 3_000);
                let fragment = match kind {
                    0 | 1 => Cut::new(n).piece(&whole, 0, 1_400, true),
                    2 => Cut::new(n).piece(&whole, 2_008, 1_000, false),
                    _ => Cut::new(n / 4_000).at(
                        &ip_packet(ip(peer), ip(own), 17, &[0; 8]),
                        16 * (n as usize % 4_000) + 8,
                        8,
                        true,
                    ),
                };
                give(&mut script, &fragment);
                let (memory, datagrams) = script.stack.reassembly_memory();
                assert!(memory <= 4 << 20 && datagrams <= 4_096);
                if n % 1_000 == 999 {
                    give_all(&mut script, &Cut::new(n << 8).apply(&request, &even(&request, 1_400)));
                    assert_eq!(reply(&script.packets()).len(), 3_000, "{own} {kind}");
                }
            }
            script.pass(Duration::from_secs(61));
            assert_eq!((script.stack.reassembly_memory(), script.stack.next_deadline()), ((0, 0), None));
        }
    }
}
