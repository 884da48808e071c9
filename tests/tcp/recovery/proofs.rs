//! What an ACK proves of a loss, a timeout or a round trip, and what it does not.

use crate::flow::ten::{RTT, SEGMENT, Ten};
use crate::flow::*;
use glasstcp::sim::Script;
use glasstcp::tcp::congestion::Algorithm;
use glasstcp::tcp::recovery::new_reno::Phase;
use glasstcp::wire::option::Timestamp;
use glasstcp::wire::tcp::Flags;

/// RFC 4015 section 3.1, 5681-4.3-1, 6298-5.5: what one timeout has lowered comes back where all that was sent again has arrived
/// twice; not after a second one for other text, which was another sign of congestion.
#[test]
fn a_second_timeout_is_another_reason() {
    for again in [false, true] {
        let mut ten = Ten::new(0);
        // The probe of the tail, and the timeout.
        assert_eq!(ten.pass(ms(300)), [9, 0]);
        assert_eq!((ten.look().statistics.timeouts, ten.look().ssthresh), (1, 5 * SEGMENT));
        let mut copies = vec![9, 0];
        copies.extend(ten.ack(1));
        assert_eq!(copies[2..], [1, 2]);
        if again {
            while ten.look().statistics.timeouts == 1 {
                copies.extend(ten.pass(ms(10)));
            }
            assert_eq!(copies[4..], [1]);
        }
        let reduced = ten.look().ssthresh;
        // All of it was there before.
        ten.ack(10);
        for copy in copies {
            ten.script.now += ms(1);
            ten.sack(&[(copy, copy + 1)]);
        }
        let seen = ten.look();
        assert_eq!(seen.statistics.spurious, u16::from(!again));
        assert_eq!(seen.ssthresh, if again { reduced } else { u32::MAX });
    }
}

/// 7323-4.1, 6298-3-1, 9293-MUST-18: of what was sent twice only an echo tells which copy has arrived; and where timestamps were
/// not agreed on, a peer that sends one all the same has echoed nothing of ours.
#[test]
fn an_echo_without_agreement_measures_nothing() {
    for agreed in [false, true] {
        let (mut script, handle) =
            if agreed { accepted_with_timestamps(500, |_| {}) } else { accepted_with_sack(|_| {}) };
        let sent = script.send(handle, b"text");
        while look(&script, handle).statistics.timeouts == 0 {
            script.pass(ms(10));
        }
        let before = look(&script, handle);
        let echo = script.stack.tcp_connection(handle).unwrap().timestamp_value(script.now);
        script.now += ms(90);
        script.ack = end(&sent);
        let mut header = script.header(Flags::ACK);
        header.options.timestamp = Some(Timestamp { value: 600, echo });
        script.inject(&header, &[]);
        let after = look(&script, handle);
        assert_eq!((before.backoff, after.backoff, after.flight), (1, u8::from(!agreed), 0));
        assert_eq!(after.srtt == before.srtt, !agreed, "{:?}", after.srtt);
    }
}

/// A peer with SACK, 20 ms away, that has acknowledged its first ten segments one by one; where they began.
fn after_one_round(congestion: Algorithm) -> (Script, glasstcp::stack::TcpHandle, u32) {
    let (mut script, handle) = accepted_over(RTT, SACK, |config| config.tcp.socket.congestion = congestion);
    let start = script.ack;
    assert_eq!(script.send(handle, &text(10 * MSS)).len(), 10);
    script.now += RTT;
    // The first one comes behind the second: the path reorders.
    duplicate_ack(&mut script, &[(start.wrapping_add(SEGMENT), start.wrapping_add(2 * SEGMENT))]);
    for segment in 2..=10 {
        script.peer_acks(start.wrapping_add(segment * SEGMENT));
    }
    assert!(look(&script, handle).reordering);
    (script, handle, start.wrapping_add(10 * SEGMENT))
}

/// 5681-3.2-3, 9406-4.2-1: on a path that reorders most round trips are told by SACK alone: they count, so that
/// slow start ends when they grow.
#[test]
fn a_round_trip_that_sack_tells_may_end_slow_start() {
    for (later, growth) in [(RTT, 8), (RTT * 2, 2)] {
        let (mut script, handle, mut start) = after_one_round(Algorithm::Cubic);
        // A round with one ACK, and one with a block for each segment but the first.
        for told in [false, true] {
            let segments = look(&script, handle).cwnd / SEGMENT;
            let at = |segment: u32| start.wrapping_add(segment * SEGMENT);
            assert_eq!(script.send(handle, &text(segments as usize * MSS)).len() as u32, segments);
            script.now += later;
            if told {
                for segment in 2..=segments {
                    duplicate_ack(&mut script, &[(at(1), at(segment))]);
                }
            }
            let before = look(&script, handle);
            assert_eq!((before.phase, before.cwnd), (Phase::Open, segments * SEGMENT));
            script.peer_acks(at(segments));
            let grown = look(&script, handle).cwnd - before.cwnd;
            assert_eq!(grown, if told { growth } else { 8 } * SEGMENT, "{later:?}");
            start = at(segments);
        }
    }
}

/// 8985-7.4.2: a probe of the tail has repaired a loss behind a long flight: the answer is that of a recovery, and no burst of
/// all that half of the flight was.
#[test]
fn a_repaired_loss_behind_a_long_flight_lets_no_burst_out() {
    let (mut script, handle, mut start) = after_one_round(Algorithm::Reno);
    while look(&script, handle).cwnd < 40 * SEGMENT {
        let segments = look(&script, handle).cwnd / SEGMENT;
        script.send(handle, &text(segments as usize * MSS));
        script.now += RTT;
        for _ in 0..segments {
            start = start.wrapping_add(SEGMENT);
            script.peer_acks(start);
        }
    }
    assert_eq!(script.send(handle, &text(39 * MSS)).len(), 39);
    let probe = loop {
        if let Some(probe) = script.pass(ms(1)).pop() {
            break probe;
        }
    };
    assert_eq!(probe.header.seq, start.wrapping_add(38 * SEGMENT));
    // Something behind it shows that it was needed.
    assert_eq!(script.send(handle, &text(MSS)).len(), 1);
    script.now += RTT;
    script.peer_acks(start.wrapping_add(40 * SEGMENT));
    let seen = look(&script, handle);
    assert_eq!((seen.phase, seen.flight, seen.ssthresh, seen.statistics.timeouts), (Phase::Open, 0, 20 * SEGMENT, 0));
    // An initial window, and what slow start adds for this ACK.
    assert_eq!(seen.cwnd, (10 + 8) * SEGMENT);
    // What is sent again later, as the window was closed, arrives twice: that takes nothing back of what the probe has shown.
    let (start, window) = (script.ack, script.window);
    script.send(handle, &text(MSS));
    ack(&mut script, start, 0);
    assert_eq!(octets(&ack(&mut script, start, window)), MSS, "sent again");
    let end = start.wrapping_add(SEGMENT);
    script.ack = end;
    duplicate_ack(&mut script, &[(start, end)]);
    let seen = look(&script, handle);
    assert_eq!((seen.flight, seen.ssthresh, seen.statistics.spurious), (0, 20 * SEGMENT, 0));
}
