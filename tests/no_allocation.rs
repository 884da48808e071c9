//! A packet costs no allocation once a connection is under way (rule 5 of docs/decisions.md), also where connections are
//! idle and busy in turn, and an idle connection costs little memory.

#[path = "../benches/peer/mod.rs"]
mod peer;

use std::time::Duration;

use allocation_counter::measure;
use peer::{Bed, MSS};

/// Octets of a super-segment of whole segments.
const SUPER: usize = 44 * MSS;

/// Runs a step often: first to let every queue grow to its size, then without a single allocation.
#[track_caller]
fn allocates_nothing(what: &str, bed: &mut Bed, mut step: impl FnMut(&mut Bed) -> Vec<Vec<u8>>, packets: usize) {
    // What the peers send is made beforehand, since making it allocates.
    for round in 0..2 {
        for _ in 0..500 {
            let prepared = step(bed);
            assert_eq!(prepared.len(), packets);
            let seen = measure(|| run(bed, &prepared));
            assert!(round == 0 || (seen.count_total, seen.bytes_total) == (0, 0), "{what}: {seen:?}");
        }
    }
}

/// Packets come one after the other; each is told, read, and answered as the connection does by itself.
fn run(bed: &mut Bed, packets: &[Vec<u8>]) {
    for packet in packets {
        bed.pass(Duration::from_micros(10));
        bed.deliver(packet);
        bed.drain_ready();
        for index in 0..bed.peers.len() {
            bed.read(index);
        }
        bed.transmit();
    }
}

#[test]
fn receiving_in_order_allocates_nothing() {
    let mut bed = Bed::new(1);
    allocates_nothing("one segment", &mut bed, |bed| vec![bed.segment(0, MSS)], 1);
    allocates_nothing("one octet", &mut bed, |bed| vec![bed.segment(0, 1)], 1);
    // Delayed ACKs and their timer.
    bed.pass(Duration::from_secs(1));
    bed.transmit();
    allocates_nothing("two segments", &mut bed, |bed| vec![bed.segment(0, MSS), bed.segment(0, 700)], 2);
}

/// The text waits for its reader, in more than one chunk.
#[test]
fn a_slow_reader_allocates_nothing() {
    let mut bed = Bed::new(1);
    for round in 0..20 {
        let packets: Vec<Vec<u8>> = (0..100).map(|_| bed.segment(0, MSS)).collect();
        let seen = measure(|| {
            for packet in &packets {
                bed.deliver(packet);
                bed.transmit();
            }
            bed.drain_ready();
            assert_eq!(bed.read(0), 100 * MSS);
            bed.transmit();
        });
        assert!(round < 3 || seen.count_total == 0, "{seen:?}");
    }
}

#[test]
fn sending_and_being_acknowledged_allocates_nothing() {
    for (octets, offload) in [(1, false), (MSS, false), (MSS, true), (SUPER, true), (SUPER, false)] {
        let mut bed = Bed::new(4);
        if offload {
            bed.stack.set_offload(65_535, true);
        }
        bed.warm_up(20);
        for round in 0..200 {
            let index = round % bed.peers.len();
            let ack = bed.ack(index, octets);
            let seen = measure(|| {
                bed.pass(Duration::from_micros(10));
                bed.send(index, octets);
                assert_eq!(bed.transmit(), if offload { 1 } else { octets.div_ceil(MSS) });
                bed.deliver(&ack);
                bed.drain_ready();
                assert_eq!(bed.transmit(), 0, "an ACK is not answered");
            });
            assert!(round < 20 || seen.count_total == 0, "{octets} octets, offload {offload}: {seen:?}");
        }
    }
}

/// Each connection is idle for a while between two exchanges: neither going idle nor becoming busy allocates.
#[test]
fn requests_and_responses_allocate_nothing() {
    let mut bed = Bed::new(50);
    for round in 0..1_000 {
        let index = round * 7 % bed.peers.len();
        let (request, ack) = (bed.segment(index, 100), bed.ack(index, 100));
        let seen = measure(|| {
            bed.answer(index, &request, 100);
            bed.pass(Duration::from_millis(3));
            bed.deliver(&ack);
            bed.drain_ready();
            bed.transmit();
        });
        assert!(round < 100 || seen.count_total == 0, "round {round}: {seen:?}");
    }
    assert_eq!(bed.stack.buffer_memory(), 0);
}

/// As above, but each request acknowledges the last answer.
#[test]
fn an_exchange_on_one_connection_allocates_nothing() {
    let mut bed = Bed::new(1);
    for round in 0..1_000 {
        let request = bed.request(0, 100);
        let seen = measure(|| bed.answer(0, &request, 100));
        assert!(round < 100 || seen.count_total == 0, "round {round}: {seen:?}");
    }
}

/// All that the stack keeps of a connection, the tables included; with an application beside it, see
/// `tests/end_to_end/memory.rs`.
#[test]
fn an_idle_connection_takes_little_memory() {
    const MANY: usize = 20_000;
    let mut bed = None;
    // The first one goes when the second takes its place, so that what all of them have does not count.
    let few = measure(|| bed = Some(Bed::new(100)));
    let many = measure(|| bed = Some(Bed::new(MANY + 100)));
    let peers = MANY * size_of::<peer::Peer>();
    let each = (many.bytes_current as usize - peers) / MANY;
    assert!((300..612).contains(&each), "{each} octets each: {few:?}, {many:?}");
    assert_eq!(bed.map(|bed| bed.stack.table_sizes().1), Some(MANY as u32 + 100));
}

/// The test can fail: what allocates is seen.
#[test]
fn an_allocation_is_seen() {
    assert_eq!(measure(|| drop(vec![0u8; 10])).count_total, 1);
}
