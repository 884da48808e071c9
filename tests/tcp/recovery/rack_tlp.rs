//! RFC 8985 by the packet: what RACK takes for lost and when, and what becomes of tail loss probes.

use crate::flow::ten::*;
use crate::flow::*;
use glasstcp::sim::Script;
use glasstcp::stack::TcpHandle;
use glasstcp::tcp::congestion::Algorithm;
use glasstcp::tcp::recovery::new_reno::Phase;
use glasstcp::tcp::timer::Purpose;
use glasstcp::wire::tcp::{Flags, TcpHeader};
use std::net::Shutdown;
use std::time::Duration;

/// A connection with this round-trip time whose application waits for nothing.
fn over(round_trip: Duration) -> (Script, TcpHandle) {
    accepted_over(round_trip, SACK, |config| {
        config.tcp.socket.congestion = Algorithm::Reno;
        config.tcp.socket.nodelay = true;
    })
}

fn purpose(script: &Script, handle: TcpHandle) -> Option<Purpose> {
    let connection = script.stack.tcp_connection(handle).unwrap();
    connection.deadlines.retransmit.is_set().then_some(connection.purpose)
}

/// 8985-6.2-5, 8985-6.2-4: four segments two milliseconds apart, the last arrives first: the timer waits a quarter of the
/// round trip for the last that is missing, and then all three are lost at once.
#[test]
fn the_reordering_timer_is_for_all_that_is_missing() {
    let (mut script, handle) = over(ms(40));
    let start = script.ack;
    for _ in 0..4 {
        script.send(handle, &text(MSS));
        script.now += ms(2);
    }
    // 46 ms after the first.
    script.now += ms(38);
    let at = |segment: u32| start.wrapping_add(segment * SEGMENT);
    assert!(duplicate_ack(&mut script, &[(at(3), at(4))]).is_empty());
    assert_eq!(purpose(&script, handle), Some(Purpose::Reorder));
    // The first is due at 50, the last at 54.
    assert!(script.pass(ms(7)).is_empty());
    let sent = script.pass(ms(1));
    assert_eq!(sent.iter().map(|one| one.header.seq).collect::<Vec<_>>(), [at(0)]);
    assert_eq!((look(&script, handle).phase, look(&script, handle).lost), (Phase::FastRecovery, 2 * SEGMENT));
}

/// 8985-6.2-2, 8985-6.2-5: seven segments a millisecond apart; one ACK acknowledges the first and SACKs the last four. RACK.rtt is
/// that of the last one, though the first took longer, so both that are missing are lost at once. By a habit of others it is
/// that of the first, and they are not lost yet.
#[test]
fn the_round_trip_is_that_of_what_left_last() {
    for by_number_last in [false, true] {
        let (mut script, handle) = accepted_over(ms(40), SACK, |config| {
            config.tcp.socket.congestion = Algorithm::Reno;
            config.tcp.socket.nodelay = true;
            config.tcp.habits.rack_by_number_last = by_number_last;
        });
        let start = script.ack;
        for _ in 0..7 {
            script.send(handle, &text(MSS));
            script.now += ms(1);
        }
        script.now += ms(39);
        let at = |segment: u32| start.wrapping_add(segment * SEGMENT);
        script.ack = at(1);
        duplicate_ack(&mut script, &[(at(3), at(7))]);
        let lost = if by_number_last { 0 } else { 2 * SEGMENT };
        let look = look(&script, handle);
        assert_eq!((look.lost + look.statistics.retransmits * SEGMENT), lost, "{by_number_last}");
    }
}

/// 8985-6.2-4: three segments are three, however small; two are not.
#[test]
fn three_small_segments_show_a_loss() {
    for sacked in [2, 3] {
        let (mut script, handle) = over(RTT);
        let start = script.ack;
        for _ in 0..5 {
            script.send(handle, &text(100));
        }
        script.now += RTT;
        let at = |segment: u32| start.wrapping_add(segment * 100);
        let sent = duplicate_ack(&mut script, &[(at(1), at(1 + sacked))]);
        assert_eq!(sent.first().map(|one| one.header.seq), (sacked == 3).then_some(at(0)), "{sacked}");
    }
}

/// 8985-6.2-5, 8985-9.3, 5681-4.3-1: a retransmission is lost, found by what was sent after it, and lost again: each time it
/// is sent again within a round trip, and each time the window is lowered.
#[test]
fn a_retransmission_that_is_lost_twice() {
    let mut ten = Ten::new(30 * MSS);
    assert_eq!(ten.sack(&[(2, 10)]), [0, 1, 10, 11, 12]);
    let mut thresholds = vec![ten.look().ssthresh];
    ten.script.now += RTT;
    assert_eq!(ten.sack(&[(1, 10)]), [0]);
    thresholds.push(ten.look().ssthresh);
    assert_eq!((ten.sack(&[(1, 11)]), ten.sack(&[(1, 12)]), ten.sack(&[(1, 13)])), (vec![], vec![], vec![13]));
    ten.script.now += RTT;
    assert_eq!(ten.sack(&[(1, 14)]), [0]);
    thresholds.push(ten.look().ssthresh);
    assert!(thresholds[0] > thresholds[1] && thresholds[1] > thresholds[2], "{thresholds:?}");
    ten.script.now += RTT;
    ten.ack(14);
    let look = ten.look();
    assert_eq!((look.phase, look.statistics.timeouts, look.statistics.retransmits), (Phase::Open, 0, 4));
}

/// 8985-6.2-2: the original comes behind its retransmission, and its ACK sooner than a round trip after that: nothing behind
/// it is lost for that.
#[test]
fn a_late_original_is_not_the_retransmission() {
    let mut ten = Ten::new(0);
    assert_eq!(ten.sack(&[(1, 4)]), [0]);
    ten.script.now += ms(1);
    assert!(ten.ack(4).is_empty());
    let look = ten.look();
    assert_eq!((look.lost, look.statistics.retransmits), (0, 1));
}

/// 8985-6.2-2: one ACK of a retransmission and of what was only late, sent before it: the round trip is that of the
/// retransmission, and what left with the first flight has had its time.
#[test]
fn the_time_of_the_retransmission_counts() {
    let mut ten = Ten::new(0);
    ten.sack(&[(1, 3)]);
    assert_eq!(ten.sack(&[(1, 3), (8, 9)]), [0]);
    assert_eq!(ten.look().lost, 5 * SEGMENT);
    ten.script.now += RTT + RTT / 8;
    let resent = ten.ack_and_sack(4, &[(8, 9)]).len() as u32;
    let look = ten.look();
    assert_eq!((look.in_flight, look.lost), (resent * SEGMENT, (5 - resent) * SEGMENT), "the tenth is not in flight");
}

/// 8985-6.2-1: the handshake gives the first sample of the least round trip, on both sides.
#[test]
fn the_handshake_measures_the_least_round_trip() {
    let (script, handle) = over(ms(70));
    assert_eq!(look(&script, handle).min_rtt, Some(ms(70)));
}

/// 8985-6.2-3, 8985-6.2-4: once the path is known to reorder, one segment may come behind any number of others.
#[test]
fn reordering_within_the_window_costs_nothing() {
    let mut ten = Ten::new(600 * MSS);
    ten.sack(&[(1, 3)]);
    ten.ack(3);
    assert!(ten.look().reordering);
    let mut una = 3;
    for behind in 1..=10 {
        // The next flight: its first segment comes behind so many others.
        let end = una + ten.look().flight / SEGMENT;
        ten.script.now += RTT;
        for right in 1..=behind {
            ten.sack(&[(una + 1, una + 1 + right)]);
        }
        ten.script.now += RTT / 4 - ms(1);
        ten.ack(una + 1 + behind);
        ten.ack(end);
        una = end;
        let look = ten.look();
        assert_eq!((look.phase, look.statistics.retransmits), (Phase::Open, 0), "{behind}");
    }
}

/// 8985-6.2-4: each round with a D-SACK widens the window by a quarter of the least round trip.
#[test]
fn a_dsack_widens_the_reordering_window() {
    let mut ten = Ten::new(600 * MSS);
    let mut una = 0;
    for round in 1..=3 {
        // The first of the flight comes late, by more than the window.
        let end = una + ten.look().flight / SEGMENT;
        ten.script.now += RTT;
        ten.sack(&[(una + 1, una + 5)]);
        let waited = RTT / 4 * (round - 1);
        if round > 1 {
            assert!(!ten.pass(waited - ms(1)).contains(&una), "{round}");
        }
        ten.pass(ms(2));
        assert_eq!(ten.look().statistics.retransmits, round, "{round}");
        ten.ack(end);
        ten.script.now += ms(1);
        // And then it has come twice.
        ten.ack_and_sack(end, &[(una, una + 1)]);
        assert_eq!(u32::from(ten.look().reordering_multiplier), 1 + round, "{round}");
        una = end;
    }
}

/// 8985-7.2-2: the probe timeout, by what is in flight; the peer may hold back the ACK of one segment.
#[test]
fn the_probe_timeout_by_what_is_in_flight() {
    type Write = fn(&mut Script, TcpHandle);
    let cases: [(&str, Duration, Write, u64); 6] = [
        ("one segment", ms(300), |script, handle| drop(script.send(handle, &text(MSS))), 800),
        ("a small one", ms(300), |script, handle| drop(script.send(handle, &text(10))), 800),
        ("two", ms(300), |script, handle| drop(script.send(handle, &text(2 * MSS))), 600),
        (
            "two small ones",
            ms(300),
            |script, handle| {
                script.send(handle, &text(10));
                script.send(handle, &text(10));
            },
            600,
        ),
        ("one, and never later than the RTO", ms(20), |script, handle| drop(script.send(handle, &text(MSS))), 220),
        ("not too soon", ms(1), |script, handle| drop(script.send(handle, &text(2 * MSS))), 10),
    ];
    for (name, round_trip, write, expected) in cases {
        let (mut script, handle) = over(round_trip);
        write(&mut script, handle);
        assert_eq!(purpose(&script, handle), Some(Purpose::Probe), "{name}");
        assert!(script.pass(ms(expected) - ms(1)).is_empty(), "{name}");
        assert_eq!(script.pass(ms(1)).len(), 1, "{name}");
        let look = look(&script, handle);
        assert_eq!((look.statistics.timeouts, look.phase), (0, Phase::Open), "{name}");
        assert_eq!(purpose(&script, handle), Some(Purpose::Timeout), "{name}");
    }
    // A full segment with its FIN is one.
    let (mut script, handle) = over(ms(300));
    let now = script.now;
    script.stack.tcp_send(now, handle, &text(MSS)).unwrap();
    script.stack.tcp_shutdown(now, handle, Shutdown::Write).unwrap();
    assert_eq!(script.sent().len(), 1);
    assert!(script.pass(ms(799)).is_empty());
    assert_eq!(script.pass(ms(1)).len(), 1);
}

/// 8985-7.2-1: new data and what it acknowledges start the probe timeout afresh; an ACK that says nothing does not.
#[test]
fn a_repeated_ack_does_not_put_the_probe_off() {
    let mut ten = Ten::new(0);
    ten.ack(8);
    assert!(ten.pass(ms(30)).is_empty());
    assert!(ten.sack(&[]).is_empty());
    assert!(ten.pass(ms(9)).is_empty());
    assert_eq!(ten.pass(ms(1)), [9]);
    let mut ten = Ten::new(0);
    ten.ack(7);
    ten.pass(ms(30));
    ten.ack(8);
    let timeout = 2 * ten.look().srtt.unwrap();
    assert!(ten.pass(timeout - ms(1)).is_empty());
    assert_eq!(ten.pass(ms(1)), [9]);
}

/// 8985-7.3-1: after a probe no other before a round-trip time was measured, also where everything was acknowledged.
#[test]
fn a_probe_needs_a_new_round_trip_time() {
    let mut ten = Ten::new(0);
    ten.ack(9);
    assert_eq!(ten.pass(ms(220)), [9]);
    // The original or the probe: nobody knows, so there is no sample.
    ten.ack(10);
    let now = ten.script.now;
    ten.script.stack.tcp_set_options(now, ten.handle, |options| options.nodelay = true).unwrap();
    ten.script.send(ten.handle, &text(2 * MSS));
    assert_eq!(ten.purpose(), Some(Purpose::Timeout));
    ten.script.now += RTT;
    ten.ack(11);
    assert_eq!(ten.purpose(), Some(Purpose::Probe));
    // A SYN that was sent twice has given none.
    let mut script = Script::with(|config| config.tcp.timestamps = false);
    let (handle, _) = script.connect();
    assert_eq!(script.pass(ms(1_001)).len(), 1, "the SYN again");
    let header = TcpHeader { options: SACK, ..script.header(Flags::SYN | Flags::ACK) };
    script.inject(&header, &[]);
    script.seq = script.seq.wrapping_add(1);
    script.send(handle, &text(2 * MSS));
    assert_eq!(purpose(&script, handle), Some(Purpose::Timeout));
}

/// 8985-7.4.2: a probe has repaired the only loss: one reduction, and nothing to recover from.
#[test]
fn a_loss_that_a_probe_has_repaired_is_answered_once() {
    let mut ten = Ten::new(0);
    ten.ack(9);
    assert_eq!(ten.pass(ms(250)), [9]);
    ten.script.now += RTT;
    ten.ack(10);
    let cwnd = ten.look().cwnd;
    ten.script.send(ten.handle, &text(8 * MSS));
    ten.script.now += RTT;
    ten.ack(11);
    let look = ten.look();
    assert!(look.phase == Phase::Open && look.ssthresh < cwnd && look.cwnd <= look.ssthresh + SEGMENT, "{look:?}");
    let ssthresh = look.ssthresh;
    for segment in 12..=18 {
        ten.ack(segment);
    }
    assert_eq!((ten.look().ssthresh, ten.look().statistics.retransmits), (ssthresh, 1));
    // The next probe is a new one, and its D-SACK says that nothing was lost.
    ten.script.send(ten.handle, &text(2 * MSS));
    ten.script.now += RTT;
    ten.ack(19);
    assert_eq!(ten.pass(ms(250)), [19]);
    ten.script.now += RTT;
    ten.ack_and_sack(20, &[(19, 20)]);
    ten.script.send(ten.handle, &text(MSS));
    ten.script.now += RTT;
    ten.ack(21);
    assert_eq!(ten.look().ssthresh, ssthresh);
}

/// 8985-7.4.2: a peer that knows no D-SACK repeats its ACK when the second copy of the last segment comes, though nothing is in
/// flight any more: nothing was lost. Without that ACK it must be taken for a loss.
#[test]
fn a_second_ack_of_a_probe_shows_that_nothing_was_lost() {
    for twice in [false, true] {
        let mut ten = Ten::new(0);
        ten.ack(9);
        assert_eq!(ten.pass(ms(250)), [9]);
        ten.script.now += RTT;
        ten.ack(10);
        assert_eq!(ten.look().flight, 0);
        if twice {
            ten.ack(10);
        }
        ten.script.send(ten.handle, &text(MSS));
        ten.script.now += RTT;
        ten.ack(11);
        assert_eq!(ten.look().ssthresh == u32::MAX, twice);
    }
}

/// RFC 8985 section 7.1: what becomes of a probe is no question any more once a recovery has begun.
#[test]
fn a_recovery_forgets_the_probe() {
    let mut ten = Ten::new(0);
    assert_eq!(ten.pass(ms(41)), [9]);
    assert_eq!(ten.sack(&[(1, 4)]), [0]);
    let ssthresh = ten.look().ssthresh;
    ten.script.now += RTT;
    ten.ack(10);
    ten.script.send(ten.handle, &text(MSS));
    ten.script.now += RTT;
    ten.ack(11);
    assert_eq!((ten.look().ssthresh, ten.look().phase), (ssthresh, Phase::Open));
}

/// 8985-7.3-2, 8985-6.2-5: the last one to five of ten are lost, with and without a FIN behind them: repaired without the
/// retransmission timer.
#[test]
fn any_lost_tail_is_repaired_without_a_timeout() {
    for lost in 1..=5 {
        for fin in [false, true] {
            let mut ten = Ten::new(0);
            let now = ten.script.now;
            ten.ack(9 - lost);
            if fin {
                // It is lost as well.
                ten.script.stack.tcp_shutdown(now, ten.handle, Shutdown::Write).unwrap();
                assert!(ten.script.sent_one().flags().contains(Flags::FIN));
            }
            ten.ack(10 - lost);
            let end = ten.at(10).wrapping_add(u32::from(fin));
            let mut held = vec![(ten.start, ten.at(10 - lost))];
            let mut sent = ten.script.pass(ms(41));
            if sent.is_empty() {
                // One segment is given the time of a delayed ACK.
                sent = ten.script.pass(ms(180));
            }
            let mut rounds = 0;
            while ten.look().flight > 0 {
                rounds += 1;
                assert!(rounds < 10 && !sent.is_empty(), "{lost} {fin} {held:?}");
                for one in &sent {
                    let octets = one.text.len() as u32 + u32::from(one.flags().contains(Flags::FIN));
                    held.push((one.header.seq, one.header.seq.wrapping_add(octets)));
                }
                held.sort_unstable_by_key(|range| range.0.wrapping_sub(ten.start));
                held.dedup();
                let mut una = ten.start;
                let mut blocks: Vec<(u32, u32)> = Vec::new();
                for &(left, right) in &held {
                    match blocks.last_mut() {
                        _ if left == una => una = right,
                        Some(last) if last.1 == left => last.1 = right,
                        _ => blocks.push((left, right)),
                    }
                }
                blocks.truncate(4);
                ten.script.now += RTT;
                ten.script.ack = una;
                sent = duplicate_ack(&mut ten.script, &blocks);
                assert!(una == end || rounds > 0);
            }
            let look = ten.look();
            assert_eq!((look.statistics.timeouts, look.phase), (0, Phase::Open), "{lost} {fin}");
        }
    }
}

/// 2018-8, 2018-5: the peer throws away what it has reported. What was sent before the last that has arrived is sent again,
/// and no timer is waited for.
#[test]
fn a_peer_that_reneges() {
    let mut ten = Ten::new(0);
    assert_eq!(ten.sack(&[(1, 10)]), [0]);
    ten.script.now += RTT;
    // It holds nothing but this one.
    let mut sent = ten.ack(1);
    assert_eq!(sent.first(), Some(&1));
    assert_eq!(ten.look().sacked, 0);
    let mut una = 1;
    while una < 10 {
        assert_eq!(sent.first(), Some(&una));
        una += sent.len() as u32;
        ten.script.now += RTT;
        sent = ten.ack(una);
    }
    assert_eq!((ten.look().flight, ten.look().statistics.timeouts), (0, 0));
}
