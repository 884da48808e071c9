//! Reassembly against a model of it, and random cuts of honest datagrams; the fuzz target `reassembly` plays the same.

use crate::reassembly_model::{Reached, Sent, play};
use glasstcp::counters::DropReason;
use glasstcp::ip::reassembly::{MAX_DATAGRAMS, Reassembly, TIMEOUT};
use glasstcp::rng::KeyedRng;
use glasstcp::time::Instant;
use glasstcp::wire::parse_ip;
use proptest::collection::vec;
use proptest::prelude::any;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use std::cell::RefCell;
use std::net::IpAddr;

/// Strings of bytes: the same ones each time.
const CASES: u32 = 2_000;

/// 815-3, 1858-4, 5722-4-1, 791-3.2-3, 3168-5.3: whatever comes, the outcome is that of a model that compares everything with
/// everything, and memory stays within its limit.
#[test]
fn any_fragments_in_any_order() {
    let config = Config { failure_persistence: None, cases: CASES, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let sum = RefCell::new(Reached::default());
    let outcome = runner.run(&vec(any::<u8>(), 8..3_000), |bytes| {
        let reached = play(&bytes);
        let mut sum = sum.borrow_mut();
        sum.whole += reached.whole;
        sum.dropped += reached.dropped;
        sum.evicted += reached.evicted;
        sum.expired += reached.expired;
        Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
    let sum = sum.into_inner();
    println!("{} whole, {} dropped, {} evicted, {} expired", sum.whole, sum.dropped, sum.evicted, sum.expired);
    assert!(sum.whole > 100 && sum.dropped > 10_000 && sum.evicted > 10 && sum.expired > 1_000);
}

fn source(v6: bool) -> IpAddr {
    if v6 { "fd00:67::1".parse().unwrap() } else { "10.0.0.1".parse().unwrap() }
}

/// A datagram of random length, cut at random places.
fn cut(rng: &mut KeyedRng, v6: bool, identification: u32) -> (Vec<u8>, Vec<Sent>) {
    let most = if rng.chance(100_000) { 65_515 } else { 3_000 };
    let len = 40 + rng.below(most - 40);
    let payload: Vec<u8> = (0..len).map(|_| rng.below(256) as u8).collect();
    let longest = if rng.chance(500_000) { 4 } else { 190 };
    let longest = 1 + rng.below(longest);
    let (mut pieces, mut at) = (Vec::new(), 0);
    while at < payload.len() {
        // The first one holds the headers.
        let least = if at == 0 { 24 } else { 8 };
        let end = (at + least.max(8 * (1 + rng.below(longest) as usize))).min(payload.len());
        let piece = payload[at..end].to_vec();
        let source = source(v6);
        pieces.push(Sent { source, identification, offset: at, more: end < payload.len(), ecn: 2, payload: piece });
        at = end;
    }
    (payload, pieces)
}

/// 815-3, 1122-3.2.1.4, 8200-4.5-1: any cut, any order, any duplicates: the datagram comes exactly once, octet for octet.
#[test]
fn honest_fragments_are_whole_again_exactly_once() {
    let mut rng = KeyedRng::from_seed(815);
    for round in 0..600 {
        let v6 = round % 2 == 1;
        let mut reassembly = Reassembly::new(4 << 20);
        let (payload, mut pieces) = cut(&mut rng, v6, round);
        if pieces.len() < 2 {
            continue;
        }
        for n in (1..pieces.len()).rev() {
            pieces.swap(n, rng.below(n as u64 + 1) as usize);
        }
        let (mut wholes, last) = (0, pieces.len() - 1);
        for (number, piece) in pieces.iter().enumerate() {
            let bytes = piece.packet();
            let outcome = reassembly.insert(&parse_ip(&bytes).unwrap(), true, Instant::ZERO).unwrap();
            assert_eq!(outcome.is_some(), number == last, "{number} of {}", pieces.len());
            if let Some(datagram) = outcome {
                wholes += 1;
                assert_eq!(parse_ip(&datagram).unwrap().payload, payload);
            } else {
                // Again, and one of those before again.
                for again in [number, rng.below(number as u64 + 1) as usize] {
                    let bytes = pieces[again].packet();
                    let outcome = reassembly.insert(&parse_ip(&bytes).unwrap(), true, Instant::ZERO);
                    assert_eq!(outcome.unwrap_err().reason, DropReason::FragmentDuplicate);
                }
            }
        }
        assert!(wholes == 1 && reassembly.is_empty() && reassembly.memory() == 0);
    }
}

/// 1858-4, 5722-4-1: one fragment among the honest ones that overlaps any of them, by whatever, whenever it comes: nothing
/// is delivered, and over IPv6 nothing is even if all comes once more.
#[test]
fn one_overlap_and_nothing_is_delivered() {
    let mut rng = KeyedRng::from_seed(5722);
    for round in 0..600 {
        let v6 = round % 2 == 1;
        let mut reassembly = Reassembly::new(4 << 20);
        let (payload, mut pieces) = cut(&mut rng, v6, round);
        if pieces.len() < 3 {
            continue;
        }
        for n in (1..pieces.len()).rev() {
            pieces.swap(n, rng.below(n as u64 + 1) as usize);
        }
        // Somewhere in the datagram; a fragment that is there by chance with the same octets is no overlap, so they differ.
        let offset = 8 * rng.below(payload.len() as u64 / 8) as usize;
        let more = rng.chance(800_000);
        let least = if offset == 0 { 24 } else { 8 };
        let evil = vec![0xEE; least.max(8 * (1 + rng.below(20) as usize))];
        if offset == 0 && !more {
            continue; // a whole datagram
        }
        let evil = Sent { source: source(v6), identification: round, offset, more, ecn: 2, payload: evil };
        pieces.insert(rng.below(pieces.len() as u64) as usize, evil);
        let mut overlaps = 0;
        for piece in &pieces {
            let bytes = piece.packet();
            match reassembly.insert(&parse_ip(&bytes).unwrap(), true, Instant::ZERO) {
                Ok(whole) => assert_eq!(whole, None),
                Err(refused) => {
                    assert_eq!((refused.reason, refused.parameter_problem), (DropReason::FragmentOverlap, None));
                    overlaps += 1;
                }
            }
        }
        assert!(overlaps > 0);
        for piece in pieces.iter().filter(|_| v6) {
            let bytes = piece.packet();
            assert!(reassembly.insert(&parse_ip(&bytes).unwrap(), true, Instant::ZERO).is_err());
        }
        while reassembly.expire(Instant::ZERO + TIMEOUT).is_some() {}
        assert!(reassembly.is_empty() && reassembly.failed() > 0);
    }
}

/// 791-3.2-3: floods of first fragments from one source or from any number: memory and count stay within their limits, and an
/// honest datagram of which a fragment comes now and then is whole in the end.
#[test]
fn a_flood_neither_grows_nor_starves() {
    const MEMORY: usize = 4 << 20;
    for (sources, v6, len) in
        [(1, false, 1_480), (1, true, 1_448), (250, false, 1_480), (250, false, 24), (1, false, 24), (250, true, 24)]
    {
        let mut reassembly = Reassembly::new(MEMORY);
        let mut peak = (0, 0);
        let honest: Vec<Sent> = (0..45)
            .map(|n| Sent {
                source: if v6 { "fd00:99::1".parse().unwrap() } else { "192.168.0.1".parse().unwrap() },
                identification: 7,
                offset: n * 1_448,
                more: n < 44,
                ecn: 0,
                payload: vec![n as u8; 1_448],
            })
            .collect();
        let mut whole = 0;
        for number in 0..10_000_u32 {
            let n = (number % sources) as u16;
            let source = match v6 {
                // Any host of a network is the same source.
                true if sources == 1 => IpAddr::from([0xFD00, 0x67, 0, 0, 1, 2, 3, number as u16]),
                true => IpAddr::from([0xFD00, 0x67, 0, n, 0, 0, 0, 1]),
                false => IpAddr::from([10, 0, 0, n as u8 + 1]),
            };
            let payload = vec![0; len];
            let bytes = Sent { source, identification: number, offset: 0, more: true, ecn: 0, payload }.packet();
            assert!(reassembly.insert(&parse_ip(&bytes).unwrap(), true, Instant::ZERO).unwrap().is_none());
            peak = (peak.0.max(reassembly.memory()), peak.1.max(reassembly.len()));
            // One fragment in 20 of the flood.
            if number % 20 == 0 {
                let piece = &honest[number as usize / 20 % honest.len()];
                let bytes = piece.packet();
                whole +=
                    u32::from(reassembly.insert(&parse_ip(&bytes).unwrap(), true, Instant::ZERO).unwrap().is_some());
            }
        }
        assert_eq!(whole, 11, "{sources} sources, {len} octets");
        assert!(peak.0 <= MEMORY && peak.1 <= MAX_DATAGRAMS, "{peak:?}");
        // Alone, one has no more than its part.
        assert!(sources > 1 || peak.0 <= MEMORY / 2 + 100_000 && peak.1 <= MAX_DATAGRAMS / 4 + 1, "{peak:?}");
        assert!(reassembly.evicted() > 5_000);
    }
}

/// 5722-4-1: of a datagram that was given up for an overlap nothing but its name is counted, to its source as to all.
#[test]
fn what_is_given_up_leaves_its_part_to_its_source() {
    let fit = |given_up| {
        let mut reassembly = Reassembly::new(1 << 20);
        let mut give = |identification, offset| {
            let payload = vec![offset as u8; 32_000];
            let piece = Sent { source: source(true), identification, offset, more: true, ecn: 0, payload };
            let outcome = reassembly.insert(&parse_ip(&piece.packet()).unwrap(), true, Instant::ZERO);
            (outcome.map_err(|refused| refused.reason), reassembly.evicted())
        };
        for identification in 0..given_up {
            assert_eq!(give(identification, 0), (Ok(None), 0));
            assert_eq!(give(identification, 8), (Err(DropReason::FragmentOverlap), 0), "{identification}");
        }
        (given_up..).take_while(|&identification| give(identification, 0) == (Ok(None), 0)).count()
    };
    let (all, rest) = (fit(0), fit(50));
    assert!(all > 10 && (all - 1..=all).contains(&rest), "{rest} of {all}");
}
