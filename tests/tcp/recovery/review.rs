//! More of loss recovery by the packet: what must not leave at once, and what must not be taken for a mistake.

use crate::flow::ten::*;
use crate::flow::*;
use glasstcp::tcp::recovery::new_reno::Phase;
use glasstcp::tcp::timer::Purpose;
use glasstcp::wire::tcp::Flags;
use std::net::Shutdown;

/// 9937-6.2-2: seven of ten are lost: as many leave as have arrived, and one more for each ACK that makes progress, up to
/// ssthresh.
#[test]
fn heavy_loss_is_repaired_by_the_numbers() {
    let mut ten = Ten::new(30 * MSS);
    assert_eq!(ten.sack(&[(7, 10)]), [0, 1, 2]);
    assert_eq!((ten.look().ssthresh, ten.look().in_flight), (5 * SEGMENT, 3 * SEGMENT));
    ten.script.now += RTT;
    let sent: Vec<Vec<u32>> = (1..=6).map(|una| ten.ack_and_sack(una, &[(7, 10)])).collect();
    assert_eq!(sent, [vec![3, 4], vec![5, 6], vec![10], vec![11], vec![12], vec![13]]);
    assert_eq!(ten.look().in_flight, 5 * SEGMENT);
}

/// 8985-9.3: what the timer finds to be lost between two ACKs makes room in the network, but does not leave at once.
#[test]
fn what_time_finds_lost_does_not_leave_at_once() {
    let mut ten = Ten::new(30 * MSS);
    ten.sack(&[(1, 2)]);
    assert_eq!(ten.ack(2), [11, 12, 13]);
    assert!(ten.look().reordering);
    ten.script.now += ms(3);
    // In slow start what is SACKed on a path that reorders lets out one more.
    assert_eq!(ten.sack(&[(9, 10)]), [14, 15]);
    // A quarter of the round trip later the seven before it are lost; one is sent again.
    assert_eq!(ten.pass(RTT / 4 + ms(1)), [2]);
    assert_eq!((ten.look().phase, ten.look().lost), (Phase::FastRecovery, 6 * SEGMENT));
    ten.script.now += RTT - (RTT / 4 + ms(1));
    assert_eq!(ten.sack(&[(9, 10), (14, 16)]), [3]);
    let before = ten.look().in_flight;
    // And soon so are the four before this one.
    assert_eq!(ten.pass(ms(3)), [4]);
    let look = ten.look();
    assert_eq!((look.in_flight, look.lost), (before - 3 * SEGMENT, 8 * SEGMENT));
    // The next ACK lets two leave.
    ten.script.now += ms(2);
    assert_eq!(ten.ack_and_sack(3, &[(9, 10), (14, 15)]), [5, 6]);
}

/// 8985-7.4.2: the second copy that arrives is that of the probe, which says nothing of what recovery has sent.
#[test]
fn the_second_copy_of_a_probe_takes_no_reduction_back() {
    let mut ten = Ten::new(0);
    assert_eq!(ten.pass(2 * RTT + ms(1)), [9]);
    // All ACKs were late; the first segment is lost.
    assert_eq!(ten.sack(&[(1, 4)]), [0]);
    ten.sack(&[(1, 10)]);
    ten.script.now += RTT;
    ten.sack(&[(9, 10), (1, 10)]);
    let look = ten.look();
    assert_eq!((look.phase, look.statistics.spurious), (Phase::FastRecovery, 0));
    ten.ack(10);
    assert_eq!((ten.look().ssthresh, ten.look().statistics.spurious), (5 * SEGMENT, 0));
}

/// 2883-5: nor does a second copy that the network has made of what was sent once.
#[test]
fn a_copy_by_the_network_takes_no_reduction_back() {
    let mut ten = Ten::new(30 * MSS);
    ten.sack(&[(1, 4)]);
    ten.sack(&[(1, 6)]);
    ten.sack(&[(5, 6), (1, 6)]);
    let look = ten.look();
    assert_eq!((look.phase, look.statistics.spurious, look.reordering_multiplier), (Phase::FastRecovery, 0, 1));
    assert_eq!(look.ssthresh, 5 * SEGMENT);
}

/// 8985-7.3-2: the last segment again is all of it, with its text and its FIN.
#[test]
fn the_probe_of_a_last_segment_with_its_fin() {
    let mut ten = Ten::new(MSS);
    let now = ten.script.now;
    ten.script.stack.tcp_shutdown(now, ten.handle, Shutdown::Write).unwrap();
    assert_eq!(ten.ack(1), [10]);
    ten.ack(10);
    let sent = ten.script.pass(ms(300));
    let probe = sent.first().expect("a probe");
    assert_eq!((probe.header.seq, probe.text.len()), (ten.at(10), MSS));
    assert!(probe.header.flags.contains(Flags::FIN));
}

/// 5681-3.1-8, 5681-4.3-1: the retransmission is lost and nothing follows it, so the timer must find that: the window is
/// halved a second time, and what the peer holds by then still counts as sent.
#[test]
fn a_timeout_in_recovery_halves_the_window_again() {
    let mut ten = Ten::new(0);
    assert_eq!(ten.sack(&[(1, 10)]), [0]);
    assert_eq!(ten.look().ssthresh, 5 * SEGMENT);
    assert_eq!(ten.pass(ms(450)), [0]);
    let look = ten.look();
    assert_eq!((look.phase, look.cwnd, look.ssthresh), (Phase::Timeout, SEGMENT, 5 * SEGMENT / 2));
    // What it holds is not sent again.
    ten.script.now += RTT;
    ten.ack(10);
    assert_eq!((ten.look().flight, ten.look().statistics.retransmits), (0, 2));
}

/// 9937-6.4: when recovery ends with next to nothing in flight, cwnd is an initial window, and ssthresh is where slow start
/// takes it back to: no burst.
#[test]
fn a_recovery_does_not_end_in_a_burst() {
    let mut ten = Ten::new(200 * MSS);
    // Slow start to a window of a hundred.
    let mut una = 0;
    while ten.look().cwnd < 100 * SEGMENT {
        ten.script.now += RTT;
        let flight = ten.look().flight / SEGMENT;
        for _ in 0..flight.min(16) {
            una += 1;
            ten.ack(una);
        }
    }
    // All but the last three of the flight are late, and are told of at once.
    ten.script.now += RTT;
    let flight = ten.look().flight / SEGMENT;
    ten.sack(&[(una + flight - 3, una + flight)]);
    let (ssthresh, end) = (ten.look().ssthresh, ten.at(una).wrapping_add(ten.look().flight));
    assert!(ten.look().phase == Phase::FastRecovery && ssthresh > 40 * SEGMENT, "{ssthresh}");
    ten.script.now += RTT;
    ten.script.peer_acks(end);
    let look = ten.look();
    assert_eq!((look.phase, look.cwnd, look.ssthresh), (Phase::Open, 10 * SEGMENT, ssthresh));
}

/// 8985-6.2-4, 9937-6.4: what a D-SACK has taught of the path is forgotten after sixteen recoveries without another one.
#[test]
fn sixteen_recoveries_wear_the_reordering_window_off() {
    let mut ten = Ten::new(600 * MSS);
    let mut una = 0;
    for recovery in 0..=16 {
        let end = una + ten.look().flight / SEGMENT;
        ten.script.now += RTT;
        ten.sack(&[(una + 1, end)]);
        ten.pass(RTT / 2 + ms(1));
        assert_eq!((ten.look().phase, ten.look().statistics.retransmits), (Phase::FastRecovery, recovery + 1));
        // And whatever has left meanwhile.
        let end = una + ten.look().flight / SEGMENT;
        ten.ack(end);
        assert_eq!(ten.look().phase, Phase::Open, "{recovery}");
        if recovery == 0 {
            // The first has come twice.
            ten.script.now += ms(1);
            ten.ack_and_sack(end, &[(una, una + 1)]);
        }
        assert_eq!(ten.look().reordering_multiplier, if recovery < 16 { 2 } else { 1 }, "{recovery}");
        una = end;
    }
}

/// 5681-4.3-1, 8985-9.3: what is sent again is lost, and so sent once more. That this copy has come twice in the end says
/// nothing of the first loss: no reduction is taken back.
#[test]
fn the_second_reduction_of_a_recovery_stands() {
    let mut ten = Ten::new(30 * MSS);
    assert_eq!(ten.sack(&[(1, 5)]), [0]);
    let mut right = 5;
    while ten.look().flight <= 10 * SEGMENT {
        right += 1;
        ten.sack(&[(1, right)]);
    }
    ten.script.now += RTT + ms(1);
    assert_eq!(ten.sack(&[(1, 11)]).first(), Some(&0));
    let (ssthresh, end) = (ten.look().ssthresh, ten.look().flight / SEGMENT);
    assert!(ssthresh < 5 * SEGMENT);
    ten.script.now += RTT;
    ten.ack(end);
    ten.ack_and_sack(end, &[(0, 1)]);
    assert_eq!((ten.look().ssthresh, ten.look().statistics.spurious), (ssthresh, 0));
}

/// 6298-5.3, 8985-7.2-1: a probe is due, but the device takes nothing before an ACK comes: it does not leave, as the timer has
/// started afresh.
#[test]
fn an_ack_takes_the_place_of_a_probe_that_is_due() {
    let mut ten = Ten::new(0);
    ten.script.now = retransmit_at(&ten.script, ten.handle).expect("the probe timer");
    let now = ten.script.now;
    ten.script.stack.handle_deadline(now);
    assert_eq!((ten.ack(9), ten.purpose()), (vec![], Some(Purpose::Probe)));
    assert!(retransmit_at(&ten.script, ten.handle).is_some_and(|at| at > now));
    assert_eq!(ten.pass(ms(300)).first(), Some(&9));
}

/// An ACK that only reports shows a round-trip time all the same.
#[test]
fn a_block_shows_a_round_trip_time() {
    let mut ten = Ten::new(0);
    let before = ten.look().srtt.unwrap();
    ten.script.now += ms(100);
    ten.sack(&[(5, 6)]);
    assert_eq!(ten.look().srtt, Some((before * 7 + (RTT + ms(100))) / 8));
}

/// 5681-4.3-1, 6675-5-1: what was sent again and lost again is a new sign of congestion, once for each reduction: the second
/// loss of what had been sent again before the window was reduced for the first one is none.
#[test]
fn lost_retransmissions_reduce_once_for_each_reduction() {
    let mut ten = Ten::new(60 * MSS);
    assert_eq!(ten.sack(&[(3, 6)]), [0]);
    ten.script.now += ms(1);
    assert_eq!(ten.sack(&[(3, 8)]), [1, 2]);
    ten.script.now += ms(1);
    assert_eq!(ten.sack(&[(3, 10)]), [10, 11]);
    // The copy of the second arrives: the one of the first, which left before it, is lost.
    ten.script.now += RTT;
    assert_eq!(ten.sack(&[(1, 2), (3, 10)]), [0]);
    let halved = ten.look().ssthresh;
    assert_eq!((ten.script.stack.counters().fast_retransmits, halved), (2, 5 * SEGMENT / 2));
    // And so is the one of the third, which left before the eleventh.
    ten.script.now += ms(1);
    ten.sack(&[(10, 11), (1, 2), (3, 10)]);
    let look = ten.look();
    assert_eq!((look.lost, look.ssthresh), (SEGMENT, halved));
    assert_eq!(ten.script.stack.counters().fast_retransmits, 2);
}

/// 8985-7.4.2: the probe repaired a loss: the window is halved for it, and what arrives twice later takes nothing back; nor is
/// there a burst.
#[test]
fn a_loss_that_a_probe_has_repaired_counts() {
    let mut ten = Ten::new(0);
    assert_eq!((ten.ack(9), ten.pass(ms(300))), (vec![], vec![9]));
    ten.script.send(ten.handle, &text(5 * MSS));
    ten.script.now += RTT;
    ten.ack(15);
    let look = ten.look();
    assert_eq!((look.flight, look.phase, look.statistics.spurious), (0, Phase::Open, 0));
    assert_eq!((look.cwnd, look.ssthresh), (4 * SEGMENT, 3 * SEGMENT));
    // A copy of the last segment, much later.
    ten.script.now += RTT;
    ten.sack(&[(9, 10)]);
    assert_eq!((ten.look().statistics.spurious, ten.look().ssthresh), (0, look.ssthresh));
}

/// 8985-7.3-1: after a probe there is none before a round-trip time was measured: of what was sent twice none is.
#[test]
fn no_second_probe_without_a_sample() {
    let mut ten = Ten::new(0);
    assert_eq!(ten.pass(2 * RTT + ms(1)), [9]);
    ten.script.now += RTT;
    ten.ack_and_sack(10, &[(9, 10)]);
    assert_eq!(ten.look().flight, 0);
    for (end, purpose) in [(12, Purpose::Timeout), (14, Purpose::Probe)] {
        ten.script.send(ten.handle, &text(2 * MSS));
        assert_eq!(ten.purpose(), Some(purpose));
        ten.script.now += RTT;
        ten.ack(end);
    }
}
