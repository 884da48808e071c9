//! Acknowledgments: when they leave and what they say (RFC 9293 section 3.8.6.3, RFC 5681 section 4.2, RFC 2018, RFC 2883,
//! RFC 7323); and the segments that carry them: Nagle's algorithm and PSH.

use std::time::Duration;

use crate::flow::*;
use glasstcp::device::RxMeta;
use glasstcp::device::impair::Impairment;
use glasstcp::sim::{Script, Sent, Side};
use glasstcp::stack::TcpHandle;
use glasstcp::tcp::state::State;
use glasstcp::wire::option::{TcpOptions, Timestamp};
use glasstcp::wire::tcp::{Flags, TcpHeader};

/// A connection whose first segments get no ACKs out of turn.
fn patient() -> (Script, TcpHandle) {
    accepted(|config| config.tcp.quick_acks = 0)
}

/// 9293-SHLD-18, 9293-MUST-40
#[test]
fn a_lone_segment_is_acknowledged_after_the_delay() {
    for (configured, delay) in [(40, 40), (200, 200), (499, 499), (500, 499), (5_000, 499)] {
        let (mut script, _) = accepted(|config| {
            config.tcp.quick_acks = 0;
            config.tcp.delayed_ack = ms(configured);
        });
        assert!(script.peer_sends(b"hello").is_empty());
        assert!(script.pass(ms(delay) - Duration::from_nanos(1)).is_empty());
        let sent = script.pass(Duration::from_nanos(1));
        assert_eq!((sent.len(), sent[0].header.ack), (1, script.seq), "{configured} ms");
        assert!(script.pass(secs(10)).is_empty(), "once");
    }
}

/// 9293-SHLD-18: the delay counts from the first segment that waits, not from the last.
#[test]
fn more_small_segments_do_not_put_the_ack_off() {
    let (mut script, _) = patient();
    script.peer_sends(b"a");
    for _ in 0..3 {
        assert!(script.pass(ms(10)).is_empty());
        assert!(script.peer_sends(b"b").is_empty());
    }
    assert_eq!(script.pass(ms(10)).len(), 1);
}

/// 9293-SHLD-18: the first sixteen segments of a connection are acknowledged at once.
#[test]
fn a_young_connection_acknowledges_quickly() {
    let (mut script, _) = accepted(|_| {});
    for number in 0..16 {
        assert_eq!(script.peer_sends(b"x").len(), 1, "{number}");
    }
    assert!(script.peer_sends(b"x").is_empty());
    assert_eq!(script.pass(ms(40)).len(), 1);
}

/// 9293-SHLD-19: two segments that a device has merged are two, however small the peer makes them.
#[test]
fn two_small_segments_in_one_are_two() {
    for (segments, answers) in [(1, 0), (2, 1)] {
        let (mut script, _) = patient();
        let text = vec![7; segments * 600];
        let packet = script.packet(&script.header(Flags::ACK), &text);
        let meta = RxMeta { gso_size: 600, ..RxMeta::plain(packet.len()) };
        assert_eq!(script.stack.handle_packet(script.now, &packet, &meta), None);
        assert_eq!(script.sent().len(), answers, "{segments}");
    }
}

/// 9293-SHLD-19: every second full-sized segment, or 2 * RMSS octets.
#[test]
fn every_second_full_segment_is_acknowledged_at_once() {
    let (mut script, _) = patient();
    for _ in 0..10 {
        assert!(script.peer_sends(&text(MSS)).is_empty());
        assert_eq!(script.peer_sends(&text(MSS)).len(), 1);
    }
    // A peer with smaller full segments.
    let (mut script, _) = patient();
    for _ in 0..10 {
        assert!(script.peer_sends(&text(700)).is_empty());
        assert_eq!(script.peer_sends(&text(700)).len(), 1);
    }
    // Small ones add up.
    let (mut script, _) = patient();
    let counts: Vec<usize> = (0..11).map(|_| script.peer_sends(&text(100)).len()).collect();
    assert_eq!(counts, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1], "1,072 octets are two segments of 536");
}

/// 9293-SHLD-19, 5681-4.2: in bulk at least one ACK for two segments, and never more than one for each.
#[test]
fn bulk_data_is_acknowledged_often_but_not_too_often() {
    for sack in [false, true] {
        for loss in [0, 20_000] {
            let impairment = Impairment::perfect().delay(ms(10)).rate(10_000_000).loss(loss);
            let mut flow = Flow::open(impairment, 5, |config| config.tcp.sack = sack);
            let acks = tap(&mut flow.world, Side::B, |_| false);
            assert!(flow.transfer(1_000_000, secs(200), |_| {}));
            flow.world.run(ms(100));
            let arrived = flow.world.link().direction(Side::A).counters().received as usize;
            let acks = acks.lock().unwrap().len();
            assert!(acks >= arrived / 2 - 8 && acks <= arrived, "{acks} ACKs for {arrived} segments");
        }
    }
}

/// 9293-3.10.7.4-37: the answer of the application carries the ACK.
#[test]
fn a_response_is_the_acknowledgment() {
    let (mut script, handle) = patient();
    let at = script.ack;
    assert!(script.peer_sends(b"request").is_empty());
    script.now += ms(5);
    let response = script.send(handle, b"response");
    assert_eq!(response.len(), 1);
    assert_eq!((response[0].header.seq, response[0].header.ack), (at, script.seq));
    script.peer_acks(at.wrapping_add(8));
    assert!(script.pass(secs(1)).is_empty(), "nothing is owed any more");
    // And a bare ACK stands at SND.NXT.
    script.peer_sends(b"bye");
    let bare = script.pass(ms(40)).remove(0);
    assert_eq!((bare.header.seq, bare.header.ack, bare.text.len()), (at.wrapping_add(8), script.seq, 0));
}

/// 5681-3.2-1, 9293-MAY-13, pitfall 32: each segment beyond a gap draws a duplicate ACK at once.
#[test]
fn segments_beyond_a_gap_are_answered_at_once() {
    let (mut script, _) = patient();
    let next = script.seq;
    for number in 1..=3 {
        let sent = peer_sends_at(&mut script, number * 1_460, &text(MSS));
        assert_eq!((sent.len(), sent[0].header.ack, sent[0].text.len()), (1, next, 0));
    }
    // What fills the gap in part, and wholly, is answered at once, too.
    let sent = peer_sends_at(&mut script, 0, &text(700));
    assert_eq!((sent.len(), sent[0].header.ack), (1, next.wrapping_add(700)));
    let sent = peer_sends_at(&mut script, 700, &text(760));
    assert_eq!((sent.len(), sent[0].header.ack), (1, next.wrapping_add(4 * 1_460)));
}

/// 5681-3.2-1, pitfall 32: a duplicate means that our ACK was lost; it is repeated each time.
#[test]
fn old_segments_are_answered_at_once() {
    let (mut script, _) = patient();
    script.peer_sends(&text(1_000));
    script.pass(ms(100));
    for _ in 0..50 {
        let sent = peer_sends_at(&mut script, u32::MAX - 999, &text(1_000));
        assert_eq!((sent.len(), sent[0].header.ack), (1, script.seq));
    }
}

/// 9293-MUST-58, 9293-MUST-59: a batch shares one ACK.
#[test]
fn a_batch_is_acknowledged_once() {
    let (mut script, _) = accepted(|_| {});
    for _ in 0..8 {
        let header = script.header(Flags::ACK | Flags::PSH);
        script.deliver(&header, &text(MSS));
        script.seq += 1_460;
    }
    assert_eq!(script.sent_one().header.ack, script.seq);
}

/// 9293-MUST-59: one ACK for the end of the run when a gap is filled.
#[test]
fn filling_a_hole_draws_one_ack_for_all() {
    for sack in [false, true] {
        let (mut script, handle) = if sack { accepted_with_sack(|_| {}) } else { accepted(|_| {}) };
        for number in 1..=20 {
            assert_eq!(peer_sends_at(&mut script, number * 1_000, &text(1_000)).len(), 1);
        }
        let sent = peer_sends_at(&mut script, 0, &text(1_000));
        assert_eq!((sent.len(), sent[0].header.ack), (1, script.seq.wrapping_add(21_000)));
        assert_eq!(script.receive(handle).len(), 21_000);
    }
}

/// 9293-MUST-59: where the gap is filled in the same batch, nothing is left to say of it: further ACKs of the new number
/// would look like duplicates of it, and three of them like a loss.
#[test]
fn a_gap_that_is_filled_in_the_batch_was_none() {
    let (mut script, _) = accepted(|_| {});
    for number in [1, 2, 3, 4, 5, 0] {
        let header = header_at(&script, number * 1_460);
        script.deliver(&header, &text(MSS));
    }
    assert_eq!(script.sent_one().header.ack, script.seq.wrapping_add(6 * 1_460));
}

/// 5681-3.2-1: a peer without SACK counts duplicates, so a batch beyond a gap draws one for each.
#[test]
fn a_batch_beyond_a_gap_draws_each_duplicate() {
    for (sack, expected) in [(false, 4), (true, 1)] {
        let (mut script, _) = if sack { accepted_with_sack(|_| {}) } else { accepted(|_| {}) };
        for number in 1..=4 {
            let header = header_at(&script, number * 1_460);
            script.deliver(&header, &text(MSS));
        }
        let sent = script.sent();
        assert_eq!(sent.len(), expected);
        assert!(sent.iter().all(|segment| segment.header.ack == script.seq && segment.text.is_empty()));
    }
}

// ---- What is sent with them: Nagle, PSH ----

/// 9293-SHLD-7, 9293-MUST-17, pitfall 35: the second short write waits for the ACK of the first, unless Nagle is off.
#[test]
fn two_short_writes() {
    for nodelay in [false, true] {
        let (mut script, handle) = accepted(|config| config.tcp.socket.nodelay = nodelay);
        assert_eq!(octets(&script.send(handle, b"one")), 3, "nothing is in flight");
        let second = script.send(handle, b"two");
        assert_eq!(octets(&second), if nodelay { 3 } else { 0 });
        let third = script.send(handle, b"three");
        assert_eq!(octets(&third), if nodelay { 5 } else { 0 });
        let at = script.ack.wrapping_add(3);
        let rest = script.peer_acks(at);
        assert_eq!(rest.len(), usize::from(!nodelay));
        if !nodelay {
            // 9293-SHLD-27: two writes, one segment, one PSH.
            assert_eq!((&rest[0].text[..], rest[0].flags()), (&b"twothree"[..], Flags::ACK | Flags::PSH));
        }
    }
}

/// 9293-SHLD-7: one short segment in a round trip, whatever the rhythm of the writes.
#[test]
fn many_short_writes_make_one_segment_per_round_trip() {
    let mut flow = Flow::open(Impairment::perfect().delay(ms(25)), 1, |config| config.tcp.quick_acks = 255);
    let client = flow.client;
    let log = tap(&mut flow.world, Side::A, |_| false);
    for _ in 0..100 {
        let now = flow.world.now();
        flow.world.stack(Side::A).tcp_send(now, client, b"x").unwrap();
        flow.world.run(ms(1));
    }
    flow.world.run(ms(200));
    let log = log.lock().unwrap();
    let segments = log.iter().filter(|seen| seen.len > 0).count();
    assert_eq!(log.iter().map(|seen| seen.len).sum::<usize>(), 100);
    assert!((3..=4).contains(&segments), "{segments} segments in 100 ms with a round trip of 50 ms");
}

/// 9293-SHLD-7: the tail of one large write does not wait for a delayed ACK (Minshall's modification).
#[test]
fn the_tail_of_a_large_write_does_not_wait() {
    let (mut script, handle) = accepted(|_| {});
    let sent = script.send(handle, &text(5_000));
    let lens: Vec<usize> = sent.iter().map(|segment| segment.text.len()).collect();
    assert_eq!(lens, [MSS, MSS, MSS, 620]);
    // But the tail of the next one does: one short segment is in flight.
    assert_eq!(octets(&script.send(handle, &text(2_000))), MSS);
}

/// 9293-MUST-60, 9293-MUST-61, 9293-SHLD-27, 9293-SHLD-28: PSH on the segment that empties the queue, and no other.
#[test]
fn psh_marks_the_end_of_what_is_queued() {
    let (mut script, handle) = accepted(|_| {});
    let sent = script.send(handle, &text(10_000));
    let pushed: Vec<bool> = sent.iter().map(|segment| segment.flags().contains(Flags::PSH)).collect();
    assert_eq!(pushed, [false, false, false, false, false, false, true]);
    assert!(sent[..6].iter().all(|segment| segment.text.len() == MSS));
    // Ten writes while the window is closed leave as one segment with one PSH.
    let at = end(&sent);
    ack(&mut script, at, 0);
    for _ in 0..10 {
        assert!(script.send(handle, &text(100)).is_empty());
    }
    let sent = ack(&mut script, at, 65_535);
    assert_eq!((sent.len(), sent[0].text.len(), sent[0].flags()), (1, 1_000, Flags::ACK | Flags::PSH));
}

// ---- SACK: the receiving side ----

fn sack(sent: &Sent, base: u32) -> Vec<(u32, u32)> {
    sent.header.options.sack.iter().map(|(l, r)| (l.wrapping_sub(base), r.wrapping_sub(base))).collect()
}

/// 2018-4-1: nothing of the kind for a peer that did not permit it.
#[test]
fn without_permission_there_are_no_sack_blocks() {
    let (mut script, _) = accepted(|_| {});
    for number in 1..5 {
        let sent = peer_sends_at(&mut script, number * 2_000, &text(1_000));
        assert!(sent[0].header.options.sack.is_empty() && sent[0].packet.len() == 40);
    }
    assert!(peer_sends_at(&mut script, 2_000, &text(1_000))[0].header.options.sack.is_empty());
}

/// 2018-4-2: a SACK option on every ACK while data is held, and an ACK for each new segment.
#[test]
fn every_ack_reports_what_is_held() {
    let (mut script, _) = accepted_with_sack(|_| {});
    let base = script.seq;
    for number in 1..=20 {
        let sent = peer_sends_at(&mut script, number * 1_000, &text(1_000));
        assert_eq!((sent.len(), sent[0].header.ack), (1, base));
        assert_eq!(sack(&sent[0], base), [(1_000, number * 1_000 + 1_000)]);
    }
    // Also on an ACK that something else has caused: a challenge.
    let header = TcpHeader { seq: script.seq.wrapping_sub(1), ..script.header(Flags::ACK) };
    assert_eq!(sack(&script.inject(&header, &[])[0], base), [(1_000, 21_000)]);
    // And in part of the gap.
    assert_eq!(sack(&peer_sends_at(&mut script, 0, &text(500))[0], base), [(1_000, 21_000)]);
    assert!(peer_sends_at(&mut script, 500, &text(500))[0].header.options.sack.is_empty());
}

/// 2018-4-3: the block of the segment that caused the ACK first, then those reported most recently; three with timestamps.
#[test]
fn blocks_come_in_the_order_of_their_news() {
    for (timestamps, room) in [(false, 4), (true, 3)] {
        let mut script = Script::new();
        script.seq = u32::MAX - 5_000;
        let timestamp = timestamps.then_some(Timestamp { value: 7, echo: 0 });
        let options = TcpOptions { mss: Some(1_460), sack_permitted: true, timestamp, ..TcpOptions::default() };
        script.accept_with(options);
        let base = script.seq;
        // RFC 2018 section 4: every second segment is lost; then some out of their turn.
        let order = [1, 3, 5, 7, 9, 4_000, 2_000, 5, 1];
        let mut news: Vec<(u32, u32)> = Vec::new();
        for number in order {
            let at = if number < 1_000 { number * 500 } else { number + 10_000 };
            let sent = peer_sends_at(&mut script, at, &text(500));
            let block = (at, at + 500);
            let duplicate = news.contains(&block);
            news.retain(|&other| other != block);
            news.insert(0, block);
            let mut expected = news.clone();
            if duplicate {
                // RFC 2883: the duplicate itself, and the block that holds it.
                expected.insert(0, block);
            }
            expected.truncate(room);
            assert_eq!(sack(&sent[0], base), expected, "{number}, timestamps {timestamps}");
        }
    }
}

/// 2883-4-1, 2883-4-2: the examples of RFC 2883 section 4. `next` is what has been received in order.
#[test]
fn duplicates_are_reported_once() {
    type Case = (&'static str, &'static [(u32, u32)], &'static [(u32, u32)]);
    // Segments by their octets; the last one draws the blocks.
    let cases: [Case; 9] = [
        ("1: a duplicate", &[(0, 500), (500, 1_000), (0, 500)], &[(0, 500)]),
        ("2: a duplicate and a gap", &[(0, 500), (500, 1_000), (1_500, 2_000), (0, 500)], &[(0, 500), (1_500, 2_000)]),
        (
            "3: a duplicate of what is held",
            &[(0, 500), (1_000, 1_500), (1_500, 2_000), (1_500, 2_000)],
            &[(1_500, 2_000), (1_000, 2_000)],
        ),
        ("4: a part", &[(0, 500), (1_500, 2_000), (500, 1_000), (500, 1_500)], &[(500, 1_000)]),
        (
            "5: two parts, the first is told",
            &[(0, 500), (2_500, 3_000), (500, 1_000), (1_500, 2_000), (500, 2_000)],
            &[(500, 1_000), (2_500, 3_000)],
        ),
        ("a part of what fills a gap", &[(500, 1_000), (1_500, 2_000), (0, 700)], &[(500, 700), (1_500, 2_000)]),
        ("two parts of what fills gaps", &[(500, 600), (800, 900), (0, 900)], &[(500, 600)]),
        ("a part of what is out of order", &[(500, 1_000), (700, 1_200)], &[(700, 1_000), (500, 1_200)]),
        ("6: two parts, all acknowledged", &[(0, 500), (500, 1_000), (1_500, 2_000), (500, 2_000)], &[(500, 1_000)]),
    ];
    for (name, segments, expected) in cases {
        let (mut script, _) = accepted_with_sack(|_| {});
        let base = script.seq;
        let mut last = Vec::new();
        for &(from, to) in segments {
            last = peer_sends_at(&mut script, from, &text((to - from) as usize));
        }
        assert_eq!(last.len(), 1, "example {name}");
        assert_eq!(sack(&last[0], base), expected, "example {name}");
        // Once: the next ACK says nothing of it.
        let header = TcpHeader { seq: base.wrapping_sub(1), ..script.header(Flags::ACK) };
        let again = script.inject(&header, &[]);
        assert_eq!(sack(&again[0], base), expected[1..], "example {name}");
    }
}

// ---- Timestamps ----

fn options_of(sent: &[Sent]) -> Vec<Option<Timestamp>> {
    sent.iter().map(|segment| segment.header.options.timestamp).collect()
}

/// 7323-3.2-1: in every segment once agreed, a RST that answers included (7323-5.2), and never otherwise.
#[test]
fn timestamps_in_all_segments_or_in_none() {
    for agreed in [false, true] {
        let (mut script, handle) = if agreed { accepted_with_timestamps(500, |_| {}) } else { accepted(|_| {}) };
        let mut all = script.peer_sends(b"hello");
        all.extend(script.send(handle, &text(3_000)));
        all.extend(script.pass(secs(1)));
        let at = script.ack.wrapping_add(3_000);
        script.peer_acks(at);
        script.stack.tcp_set_options(script.now, handle, |options| options.keep_alive = true).unwrap();
        all.extend(script.pass(secs(7_200)));
        script.receive(handle);
        script.stack.tcp_shutdown(script.now, handle, std::net::Shutdown::Write).unwrap();
        all.extend(script.sent());
        script.stack.tcp_abort(script.now, handle);
        all.extend(script.sent());
        assert!(all.iter().any(|segment| segment.flags().contains(Flags::FIN)));
        assert!(all.iter().any(|segment| segment.flags().contains(Flags::RST)));
        assert!(all.len() > 8);
        assert!(options_of(&all).iter().all(|timestamp| timestamp.is_some() == agreed), "{all:#?}");
    }
}

/// 7323-3.2-2: an agreed timestamp that is missing costs the segment, not the connection. A RST may come without.
#[test]
fn a_segment_without_its_timestamp_is_dropped_silently() {
    let (mut script, handle) = accepted_with_timestamps(500, |_| {});
    let mut header = script.header(Flags::ACK | Flags::PSH);
    header.options.timestamp = None;
    assert!(script.inject(&header, b"hello").is_empty());
    assert_eq!((look(&script, handle).unread, script.stack.tcp_state(handle)), (0, Some(State::Established)));
    assert_eq!(script.peer_sends(b"hello").len(), 1);
    let mut header = script.header(Flags::RST);
    header.options.timestamp = None;
    script.inject(&header, &[]);
    assert_eq!(script.stack.tcp_state(handle), Some(State::Closed));
}

/// 7323-3.2-2: in the third segment of the handshake, too: it establishes nothing, and nothing is left behind.
#[test]
fn a_handshake_does_not_end_without_its_timestamp() {
    let mut script = Script::new();
    let listener = script.listen();
    script.timestamp = Some(500);
    let timestamp = Some(Timestamp { value: 500, echo: 0 });
    script.peer_syn(TcpOptions { mss: Some(1_460), timestamp, ..TcpOptions::default() });
    let mut header = script.header(Flags::ACK);
    header.options.timestamp = None;
    script.inject(&header, &[]);
    assert!(script.stack.tcp_accept(listener).is_err());
    assert_eq!(script.stack.table_sizes(), (1, 0, 0));
    let header = script.header(Flags::ACK);
    script.inject(&header, &[]);
    let (handle, _) = script.stack.tcp_accept(listener).unwrap();
    assert_eq!(script.stack.tcp_state(handle), Some(State::Established));
}

/// 7323-3.2-3: a timestamp that nobody agreed on has no effect.
#[test]
fn an_unagreed_timestamp_means_nothing() {
    let (mut script, handle) = accepted(|_| {});
    for value in [1 << 31, 5, 0] {
        script.timestamp = Some(value);
        let sent = script.peer_sends(b"x");
        assert_eq!(options_of(&sent), [None]);
    }
    assert_eq!(look(&script, handle).unread, 3);
    script.send(handle, b"hello");
    script.now += ms(100);
    let before = look(&script, handle).srtt;
    let mut header = script.header(Flags::ACK);
    header.ack = header.ack.wrapping_add(5);
    header.options.timestamp = Some(Timestamp { value: 1, echo: 1 });
    script.inject(&header, &[]);
    assert_ne!(look(&script, handle).srtt, before, "the sample is that of the record");
    assert!(look(&script, handle).srtt.unwrap() < ms(20));
}

/// 7323-4.1: a duplicate ACK with an old echo gives no RTT sample.
#[test]
fn only_new_acks_give_samples() {
    let (mut script, handle) = accepted_with_timestamps(500, |_| {});
    let echo = script.send(handle, b"hello")[0].header.options.timestamp.unwrap().value;
    let at = script.ack.wrapping_add(5);
    script.now += ms(30);
    script.peer_acks(at);
    let before = (look(&script, handle).srtt, look(&script, handle).rttvar);
    for _ in 0..5 {
        script.now += secs(5);
        let mut header = script.header(Flags::ACK);
        header.options.timestamp = Some(Timestamp { value: 501, echo });
        script.inject(&header, &[]);
    }
    assert_eq!((look(&script, handle).srtt, look(&script, handle).rttvar), before);
}

/// The peer sends `text` at `offset`, its clock shows `value`; what our ACK echoes, if one leaves.
fn echo_of(script: &mut Script, offset: u32, value: u32, text: &[u8]) -> Option<u32> {
    script.timestamp = Some(value);
    let sent = peer_sends_at(script, offset, text);
    sent.last().map(|segment| segment.header.options.timestamp.expect("agreed").echo)
}

/// 7323-4.3, pitfall 39: the tables of RFC 7323 section 4.3: delayed ACKs echo the first, gaps the last in order.
#[test]
fn the_echo_is_that_of_the_segment_that_moved_the_window() {
    // Delayed ACKs: A, B, C, and one ACK for all.
    let (mut script, _) = accepted_with_timestamps(500, |config| config.tcp.quick_acks = 0);
    assert_eq!(echo_of(&mut script, 0, 501, b"a"), None);
    assert_eq!(echo_of(&mut script, 1, 502, b"b"), None);
    assert_eq!(echo_of(&mut script, 2, 503, b"c"), None);
    let ack = script.pass(ms(40)).remove(0);
    assert_eq!(ack.header.options.timestamp.unwrap().echo, 501);

    // A gap: A, C, B, E, D, F.
    let (mut script, _) = accepted_with_timestamps(500, |_| {});
    assert_eq!(echo_of(&mut script, 0, 1_001, b"a"), Some(1_001));
    assert_eq!(echo_of(&mut script, 2, 1_003, b"c"), Some(1_001));
    assert_eq!(echo_of(&mut script, 1, 1_002, b"b"), Some(1_002));
    assert_eq!(echo_of(&mut script, 4, 1_005, b"e"), Some(1_002));
    assert_eq!(echo_of(&mut script, 3, 1_004, b"d"), Some(1_004));
    assert_eq!(echo_of(&mut script, 5, 1_006, b"f"), Some(1_006));
}

/// 7323-4.3: an older value, a segment out of the window, one beyond Last.ACK.sent, and one whose ACK field is refused leave
/// TS.Recent alone.
#[test]
fn not_every_segment_moves_ts_recent() {
    let (mut script, handle) = accepted_with_timestamps(500, |_| {});
    let recent = |script: &Script| script.stack.tcp_connection(handle).unwrap().agreed.ts_recent;
    echo_of(&mut script, 10, 600, b"later");
    assert_eq!(recent(&script), 500);
    echo_of(&mut script, 3_000_000, 700, b"far out");
    assert_eq!(recent(&script), 500);
    echo_of(&mut script, 0, 499, b"old");
    assert_eq!(recent(&script), 500);
    let mut header = TcpHeader { ack: script.ack.wrapping_add(9_999), ..script.header(Flags::ACK) };
    header.options.timestamp = Some(Timestamp { value: 900, echo: 0 });
    script.inject(&header, b"forged");
    assert_eq!(recent(&script), 500);
    echo_of(&mut script, 0, 501, b"next");
    assert_eq!(recent(&script), 501);
}

/// 7323-5.3-1, pitfall 39: PAWS comes before the sequence number, and counts modulo 2^32.
#[test]
fn a_segment_from_the_past_is_answered_and_dropped() {
    for recent in [500, 0, u32::MAX, (1 << 31) - 1, 1 << 31] {
        for (behind, taken) in [(0, true), (1, false), ((1 << 31) - 1, false), ((1 << 31) + 1, true)] {
            let (mut script, handle) = accepted_with_timestamps(recent, |_| {});
            script.timestamp = Some(recent.wrapping_sub(behind));
            let sent = peer_sends_at(&mut script, 0, b"hello");
            assert_eq!((sent.len(), look(&script, handle).unread > 0), (1, taken), "{recent} - {behind}");
            assert_eq!(sent[0].header.ack, script.seq + if taken { 5 } else { 0 });
        }
    }
}

/// 7323-5.2: a RST is exempt from PAWS, and leaves no timestamp behind.
#[test]
fn a_reset_from_the_past_resets() {
    let (mut script, handle) = accepted_with_timestamps(500, |_| {});
    let recent = |script: &Script| script.stack.tcp_connection(handle).unwrap().agreed.ts_recent;
    // In the window but not exact: challenged, and its timestamp is not taken.
    let mut header = TcpHeader { seq: script.seq + 5, ..script.header(Flags::RST) };
    header.options.timestamp = Some(Timestamp { value: 900, echo: 0 });
    assert_eq!(script.inject(&header, &[]).len(), 1);
    assert_eq!(recent(&script), 500);
    let mut header = script.header(Flags::RST);
    header.options.timestamp = Some(Timestamp { value: 1, echo: 0 });
    script.inject(&header, &[]);
    assert_eq!(script.stack.tcp_state(handle), Some(State::Closed));
}

/// 7323-5.4: one tick a millisecond. 7323-7.1: from an offset of the connection's own.
#[test]
fn the_timestamp_clock_ticks_each_millisecond() {
    let (mut script, handle) = accepted_with_timestamps(500, |config| config.tcp.socket.nodelay = true);
    let value = |script: &mut Script| script.send(handle, b"x")[0].header.options.timestamp.unwrap().value;
    let first = value(&mut script);
    for millis in [1, 10, 150] {
        let before = value(&mut script);
        script.now += ms(millis);
        assert_eq!(value(&mut script).wrapping_sub(before), millis as u32);
    }
    script.peer.set_port(40_001);
    script.seq = 1_000;
    let timestamp = Some(Timestamp { value: 500, echo: 0 });
    let other = script.accept_with(TcpOptions { mss: Some(1_460), timestamp, ..TcpOptions::default() });
    let second = script.send(other, b"x")[0].header.options.timestamp.unwrap().value;
    assert!(second.wrapping_sub(first).min(first.wrapping_sub(second)) > 1_000_000, "{first} {second}");
}

/// 7323-5.5: after 24 idle days the peer's clock may have wrapped, and TS.Recent means nothing.
#[test]
fn an_idle_connection_does_not_freeze() {
    let (mut script, handle) = accepted_with_timestamps(1_000, |_| {});
    script.pass(secs(23 * 24 * 3_600));
    assert_eq!(echo_of(&mut script, 0, 999, b"hello"), Some(1_000));
    assert_eq!(look(&script, handle).unread, 0);
    script.pass(secs(2 * 24 * 3_600));
    assert_eq!(echo_of(&mut script, 0, 999, b"hello"), Some(999));
    assert_eq!(look(&script, handle).unread, 5);
}
