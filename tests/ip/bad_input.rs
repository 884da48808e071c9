//! Bad input of every kind: a counted drop, no panic, no growth, and the connection unharmed.

use crate::kit::{CONNECTED, any_state, fix_checksums, give, ip_packet, portrait, reach, with_area};
use glasstcp::counters::DropReason;
use glasstcp::device::RxMeta;
use glasstcp::rng::KeyedRng;
use glasstcp::sim::Script;
use glasstcp::stack::TcpHandle;
use glasstcp::tcp::state::State;
use glasstcp::wire::option::{TcpOptions, Timestamp};
use glasstcp::wire::tcp::{Flags, TcpHeader};
use glasstcp::wire::{icmp, ipv4, ipv6, option, parse_ip, protocol, quoted, tcp, udp};
use proptest::collection::vec;
use proptest::prelude::any;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// A script in each state of a connection, and one with an accepted connection, a half-open record and a listener.
fn all_states() -> Vec<(Script, TcpHandle)> {
    let mut all: Vec<_> = CONNECTED.into_iter().map(reach).collect();
    let mut script = Script::new();
    let handle = script.accept();
    script.peer.set_port(40_001);
    script.peer_syn(TcpOptions::default());
    script.peer.set_port(40_002);
    all.push((script, handle));
    all
}

/// All drops of a stack so far.
fn drops(script: &Script) -> u64 {
    script.stack.counters().drops().map(|(_, count)| count).sum()
}

/// Runs a property with a fixed seed.
fn check<S: proptest::strategy::Strategy>(cases: u32, strategy: &S, mut property: impl FnMut(S::Value)) {
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let property = std::panic::AssertUnwindSafe(std::cell::RefCell::new(&mut property));
    TestRunner::new_with_rng(config, rng)
        .run(strategy, |value| {
            (property.borrow_mut())(value);
            Ok(())
        })
        .unwrap();
}

/// 9293-MUST-3, 1122-3.2.1.2, pitfall 36: every single wrong bit, in every state, is one counted drop.
#[test]
fn single_wrong_bits() {
    for (mut script, handle) in all_states() {
        script.sent();
        for flags in [Flags::SYN, Flags::ACK | Flags::FIN, Flags::RST | Flags::ACK] {
            let options = TcpOptions { timestamp: Some(Timestamp { value: 9, echo: 9 }), ..TcpOptions::default() };
            let good = script.packet(&TcpHeader { options, ..script.header(flags) }, b"payload");
            let before = portrait(&script, handle);
            for bit in 0..good.len() * 8 {
                let mut bad = good.clone();
                bad[bit / 8] ^= 1 << (bit % 8);
                let count = drops(&script);
                assert!(give(&mut script, &bad).is_some(), "bit {bit}");
                assert_eq!(drops(&script), count + 1);
            }
            assert!(script.packets().is_empty());
            assert_eq!(portrait(&script, handle), before);
        }
    }
}

/// 9293-MUST-7, 9293-3.1-2: the same bits under checksums that are right again: whatever they mean, nothing breaks.
#[test]
fn single_changed_bits() {
    for state in 0..all_states().len() {
        let (template, _) = all_states().swap_remove(state);
        let options =
            TcpOptions { mss: Some(1_460), timestamp: Some(Timestamp { value: 9, echo: 9 }), ..TcpOptions::default() };
        let good = template.packet(&TcpHeader { options, ..template.header(Flags::ACK | Flags::URG) }, b"payload");
        for bit in 0..good.len() * 8 {
            let (mut script, _) = all_states().swap_remove(state);
            let mut changed = good.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            fix_checksums(&mut changed);
            let count = drops(&script);
            let dropped = give(&mut script, &changed).is_some();
            assert_eq!(drops(&script), count + u64::from(dropped));
            assert!(script.packets().len() <= 4);
            let (half_open, connections, time_wait) = script.stack.table_sizes();
            assert!(half_open <= 2 && connections <= 1 && time_wait <= 1);
        }
    }
}

/// 791-3.1-1, 8200-3: cut anywhere, lengthened anywhere, with lengths that lie.
#[test]
fn cut_and_lengthened() {
    for (mut script, handle) in all_states() {
        script.sent();
        let good = script.packet(&script.header(Flags::ACK), &[1; 100]);
        let before = portrait(&script, handle);
        for len in 0..good.len() {
            // As the device delivered less, and as the sender claimed less.
            assert!(give(&mut script, &good[..len]).is_some(), "{len}");
            let mut claimed = good[..len].to_vec();
            if len >= 20 {
                claimed[2..4].copy_from_slice(&(len as u16).to_be_bytes());
                let tcp = claimed.split_off(20);
                let mut whole = ip_packet(script.peer.ip(), script.local.ip(), protocol::TCP, &tcp);
                assert!(give(&mut script, &whole).is_some(), "{len}: a checksum over more");
                whole.extend_from_slice(&[0; 9]);
                assert!(give(&mut script, &whole).is_some());
            }
        }
        assert!(script.packets().is_empty());
        assert_eq!(portrait(&script, handle), before);
    }
    // The largest packet there is, and a buffer larger than any.
    let (mut script, handle) = reach(State::Established);
    let huge = script.packet(&script.header(Flags::ACK), &vec![7; 65_535 - 40]);
    assert_eq!(give(&mut script, &huge), None);
    assert_eq!(script.receive(handle).len(), 65_495);
    let mut beyond = huge.clone();
    beyond.resize(1 << 20, 0xFF);
    give(&mut script, &beyond);
    assert!(script.receive(handle).is_empty(), "the same again");
}

/// 9293-MUST-7, 9293-MUST-6, pitfall 12: option areas of random octets on any kind of segment.
#[test]
fn random_options() {
    let mut rng = KeyedRng::from_seed(12);
    let mut random = |most: u64| -> Vec<u8> {
        (0..rng.below(most + 1))
            .map(|_| if rng.chance(500_000) { rng.below(12) as u8 } else { rng.below(256) as u8 })
            .collect()
    };
    for (mut script, _) in all_states() {
        for number in 0..3_000_u32 {
            let flags = [Flags::SYN, Flags::ACK, Flags::SYN | Flags::ACK, Flags::FIN][number as usize % 4];
            // Outside the window, so that the connection stays in its state.
            let header = TcpHeader { seq: script.seq.wrapping_sub(9), ..script.header(flags) };
            let area = random(40);
            let count = drops(&script);
            let packet = with_area(&script, &header, &area, &[]);
            let dropped = give(&mut script, &packet).is_some();
            assert_eq!(drops(&script), count + u64::from(dropped));
            assert!(script.sent().len() <= 2, "{area:?}");
        }
        let (half_open, connections, time_wait) = script.stack.table_sizes();
        assert!(half_open <= 2 && connections <= 1 && time_wait <= 1);
    }
}

/// Parsers of everything, on random octets: an answer, no panic.
#[test]
fn parsers_never_panic() {
    check(20_000, &vec(any::<u8>(), 0..120), |mut octets: Vec<u8>| {
        let (four, six) = ("10.0.0.1".parse().unwrap(), "fd00::1".parse().unwrap());
        for version in [None, Some(0x45), Some(0x46), Some(0x4F), Some(0x60)] {
            if let (Some(version), Some(first)) = (version, octets.first_mut()) {
                *first = version;
            }
            let _ = (parse_ip(&octets), ipv4::parse(&octets), ipv6::parse(&octets), quoted::parse(&octets));
            let _ = (tcp::parse(&octets), option::parse(&octets), tcp::checksum_ok(four, four, &octets));
            let _ = (icmp::parse(four, four, &octets), icmp::parse(six, six, &octets));
            let _ = (udp::parse(four, four, &octets, true), udp::parse(six, six, &octets, false));
        }
    });
}

/// 1122-3.2.1.8: random octets, as whole packets and behind good IP headers, into a busy stack: nothing grows.
#[test]
fn random_packets() {
    let mut script = Script::with(|config| config.tcp.max_half_open = 50);
    let handle = script.accept();
    script.stack.udp_bind("10.0.0.2:53".parse().unwrap()).unwrap();
    script.send(handle, &[1; 5_000]);
    let (local, peer) = (script.local.ip(), script.peer.ip());
    let (local6, peer6) = ("fd00:67::2".parse().unwrap(), "fd00:67::1".parse().unwrap());
    let before = script.stack.tcp_snapshot(handle).map(|snapshot| (snapshot.rcv_nxt, snapshot.snd_una, snapshot.state));
    check(30_000, &(vec(any::<u8>(), 0..200), any::<u8>()), |(mut octets, kind)| {
        if let (true, Some(offset)) = (kind & 64 != 0, octets.get_mut(12)) {
            *offset = 0x50; // A data offset that is good for TCP.
        }
        let protocols = [protocol::TCP, protocol::UDP, 1, 58, 0, 43, 44, 60, 99];
        let protocol = protocols[usize::from(kind >> 2) % protocols.len()];
        let packet = match kind & 3 {
            0 => octets,
            1 => ip_packet(local6, peer6, protocol, &octets),
            2 => ip_packet(peer6, local6, protocol, &octets),
            _ => ip_packet(peer, local, protocol, &octets),
        };
        let count = drops(&script);
        let dropped = script.stack.handle_packet(script.now, &packet, &RxMeta::plain(packet.len()));
        assert!(drops(&script) >= count + u64::from(dropped.is_some()));
        script.packets();
        assert_eq!(script.stack.table_sizes(), (0, 1, 0));
    });
    let after = script.stack.tcp_snapshot(handle).map(|snapshot| (snapshot.rcv_nxt, snapshot.snd_una, snapshot.state));
    assert_eq!(after, before, "the connection is as it was");
    assert!(script.stack.counters().dropped(DropReason::TcpChecksum) > 100);
    script.peer_sends(b"alive");
    assert_eq!(script.receive(handle), b"alive");
}

/// 9293-3.10.7.4-4, pitfalls 2 and 24: any segments into any state, with time and calls between them.
#[test]
fn any_segments_into_any_state() {
    check(5_000, &vec(any::<u8>(), 2..600), |octets| any_state::play(&octets));
}
