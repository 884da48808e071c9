//! Loss recovery by the traces and steps of other RFCs than 8985: RFC 2018, 3042, 5681, 5682, 6582, 6937.

use crate::flow::ten::*;
use crate::flow::*;
use glasstcp::tcp::recovery::new_reno::Phase;
use glasstcp::wire::option::{TcpOptions, Timestamp};

const NO_SACK: TcpOptions = TcpOptions { sack_permitted: false, ..SACK };

/// The left edge is 5000 and eight segments of 500 octets are sent: RFC 2018 section 7 as its receiver.
///
/// 2018-4-2, 2018-4-3
#[test]
fn the_examples_of_rfc_2018() {
    type Row = (u32, u32, &'static [(u32, u32)]);
    let cases: [&[Row]; 3] = [
        // Case 1: the last four are lost. Every ACK is given at once here.
        &[(5_000, 5_500, &[]), (5_500, 6_000, &[]), (6_000, 6_500, &[]), (6_500, 7_000, &[])],
        // Case 2: the first one is.
        &[
            (5_500, 5_000, &[(5_500, 6_000)]),
            (6_000, 5_000, &[(5_500, 6_500)]),
            (6_500, 5_000, &[(5_500, 7_000)]),
            (7_000, 5_000, &[(5_500, 7_500)]),
            (7_500, 5_000, &[(5_500, 8_000)]),
            (8_000, 5_000, &[(5_500, 8_500)]),
            (8_500, 5_000, &[(5_500, 9_000)]),
        ],
        // Case 3: every other one is, and two of them come later.
        &[
            (5_000, 5_500, &[]),
            (6_000, 5_500, &[(6_000, 6_500)]),
            (7_000, 5_500, &[(7_000, 7_500), (6_000, 6_500)]),
            (8_000, 5_500, &[(8_000, 8_500), (7_000, 7_500), (6_000, 6_500)]),
            (6_500, 5_500, &[(6_000, 7_500), (8_000, 8_500)]),
            (5_500, 7_500, &[(8_000, 8_500)]),
        ],
    ];
    for case in cases {
        let (mut script, _) = accepted_with_sack(|_| {});
        let base = script.seq.wrapping_sub(5_000);
        for &(seq, ack, blocks) in case {
            let mut sent = peer_sends_at(&mut script, seq - 5_000, &text(500));
            sent.extend(script.pass(ms(50)));
            let last = sent.last().unwrap_or_else(|| panic!("an ACK of {seq}"));
            assert_eq!(last.header.ack.wrapping_sub(base), ack, "{seq}");
            let told = last.header.options.sack.iter();
            let told: Vec<_> = told.map(|(left, right)| (left.wrapping_sub(base), right.wrapping_sub(base))).collect();
            assert_eq!(told, blocks, "{seq}");
        }
    }
}

/// 3042-2, 5681-3.2-3: one new segment for each of the first two duplicates, and cwnd stays. With SACK only for those that
/// report something new.
#[test]
fn limited_transmit() {
    let mut ten = Ten::with(30 * MSS, NO_SACK);
    assert_eq!((ten.sack(&[]), ten.sack(&[]), ten.look().cwnd), (vec![10], vec![11], 10 * SEGMENT));
    assert_eq!(ten.sack(&[]), [0]);
    assert_eq!(ten.look().ssthresh, 5 * SEGMENT);
    let mut ten = Ten::new(30 * MSS);
    assert!(ten.sack(&[]).is_empty());
    assert_eq!((ten.sack(&[(1, 2)]), ten.sack(&[(1, 2)]), ten.sack(&[(1, 3)])), (vec![10], vec![], vec![11]));
    assert_eq!(ten.look().cwnd, 10 * SEGMENT);
    // 3042-2: where the peer's window allows it.
    let mut ten = Ten::with(30 * MSS, NO_SACK);
    ten.script.window = (10 * SEGMENT / 128) as u16;
    ten.sack(&[]);
    assert!(ten.sack(&[]).is_empty() && ten.sack(&[]).is_empty());
}

/// 6582-3.2-2: most duplicates are lost, and the partial ACK acknowledges far more than they have told of: the window is
/// deflated by all of it, so that no burst follows.
#[test]
fn a_partial_ack_after_lost_duplicates_lets_no_burst_out() {
    let mut ten = Ten::with(30 * MSS, NO_SACK);
    assert_eq!((ten.sack(&[]), ten.sack(&[]), ten.sack(&[])), (vec![10], vec![11], vec![0]));
    ten.script.now += RTT;
    assert_eq!(ten.ack(8), [8]);
    assert_eq!((ten.look().phase, ten.look().statistics.retransmits), (Phase::FastRecovery, 2));
    // And the full ACK ends it, with a window of what is in flight and one segment.
    ten.script.now += RTT;
    ten.ack(12);
    assert_eq!((ten.look().phase, ten.look().cwnd), (Phase::Open, 2 * SEGMENT));
}

/// Twenty segments are in flight: 10 to 29.
fn twenty() -> Ten {
    let mut ten = Ten::new(100 * MSS);
    for segment in 1..=10 {
        ten.ack(segment);
    }
    ten.script.now += RTT;
    assert_eq!((ten.look().cwnd, ten.look().flight), (20 * SEGMENT, 20 * SEGMENT));
    ten
}

/// 9937-6.1, 9937-6.2-1: the first example of RFC 6937: one of twenty is lost. New, new, the retransmission, and then one for
/// every second ACK until ten are in flight.
#[test]
fn prr_with_one_loss_of_twenty() {
    let mut ten = twenty();
    assert_eq!((ten.sack(&[(11, 12)]), ten.sack(&[(11, 13)])), (vec![30], vec![31]));
    ten.script.now += ms(1);
    assert_eq!(ten.sack(&[(11, 14)]), [10]);
    let mut sent = Vec::new();
    for right in 15..=30 {
        let now = ten.sack(&[(11, right)]);
        assert!(now.len() <= 1, "{now:?}");
        sent.push(now.len());
    }
    assert!(sent.windows(3).all(|three| three.iter().sum::<usize>() >= 1), "no silence: {sent:?}");
    // Seventeen arrived in recovery, and half as many left, with the retransmission: in flight is the new window.
    let look = ten.look();
    assert_eq!((look.ssthresh, look.in_flight, sent.iter().sum()), (10 * SEGMENT, 10 * SEGMENT, 7));
}

/// 9937-6.2-2: the second example: the first fifteen are lost. As many leave as arrive, and once the retransmissions are
/// acknowledged, one more for each ACK.
#[test]
fn prr_with_fifteen_losses_of_twenty() {
    let mut ten = twenty();
    assert_eq!((ten.sack(&[(25, 26)]), ten.sack(&[(25, 27)])), (vec![30], vec![31]));
    ten.script.now += ms(1);
    let sent: Vec<Vec<u32>> = (28..=30).map(|right| ten.sack(&[(25, right)])).collect();
    assert_eq!(sent, [[10], [11], [12]]);
    assert_eq!((ten.look().in_flight, ten.look().lost), (5 * SEGMENT, 12 * SEGMENT));
    ten.script.now += RTT;
    assert_eq!(ten.sack(&[(25, 31)]), [13]);
    assert_eq!(ten.sack(&[(25, 32)]), [14]);
    let sent: Vec<Vec<u32>> = (11..=13).map(|una| ten.ack_and_sack(una, &[(25, 32)])).collect();
    assert_eq!(sent, [vec![15, 16], vec![17, 18], vec![19, 20]]);
}

/// 5681-3.1-8: a timeout for a segment that was sent again by the timer before leaves ssthresh; one for the next segment does
/// not.
#[test]
fn the_threshold_after_several_timeouts() {
    let mut ten = Ten::with(0, NO_SACK);
    assert_eq!(ten.pass(ms(221)), [0]);
    assert_eq!((ten.look().cwnd, ten.look().ssthresh), (SEGMENT, 5 * SEGMENT));
    assert_eq!(ten.pass(ms(441)), [0]);
    assert_eq!((ten.look().cwnd, ten.look().ssthresh, ten.look().statistics.timeouts), (SEGMENT, 5 * SEGMENT, 2));
    ten.script.now += RTT;
    assert_eq!(ten.ack(1), [1, 2]);
    ten.pass(ms(1_000));
    let look = ten.look();
    assert_eq!((look.statistics.timeouts, look.cwnd, look.ssthresh), (3, SEGMENT, 2 * SEGMENT));
}

/// 5682-2.1, 5682-3.1: the timer expires twice for the same segment, and still everything was only late; then what is
/// missing shows by duplicates as ever.
#[test]
fn a_spurious_timeout_after_another() {
    for options in [SACK, NO_SACK] {
        let mut ten = Ten::with(60 * MSS, options);
        ten.pass(ms(900));
        assert_eq!((ten.look().statistics.timeouts, ten.look().cwnd), (2, SEGMENT));
        assert!(ten.ack(1).iter().all(|&number| number >= 10));
        ten.ack(2);
        let look = ten.look();
        assert_eq!((look.phase, look.statistics.spurious, look.lost), (Phase::Open, 1, 0));
        assert!(look.cwnd >= 10 * SEGMENT && look.ssthresh == u32::MAX, "{look:?}");
        let sack = options.sack_permitted;
        let mut again = Vec::new();
        for right in 4..=6 {
            again.extend(if sack { ten.sack(&[(3, right)]) } else { ten.sack(&[]) });
        }
        assert!(again.contains(&2), "SACK {sack}: {again:?}");
        assert_eq!(ten.look().phase, Phase::FastRecovery);
    }
}

/// 5682-2.1: step 2a, an ACK of a part of what was sent again is no proof, and neither is what follows it.
#[test]
fn an_ack_of_a_part_proves_nothing() {
    for options in [SACK, NO_SACK] {
        let mut ten = Ten::with(30 * MSS, options);
        ten.pass(ms(450));
        assert_eq!(ten.look().phase, Phase::Timeout);
        let at = ten.start.wrapping_add(100);
        ten.script.peer_acks(at);
        ten.ack(1);
        ten.ack(2);
        assert_eq!((ten.look().statistics.spurious, ten.look().phase), (0, Phase::Timeout));
    }
}

/// 5682-3.1: step 3a, with SACK: also an ACK that advances proves nothing where it tells of what was sent after the timeout.
#[test]
fn an_ack_of_what_was_sent_after_the_timeout_proves_nothing() {
    let mut ten = Ten::new(30 * MSS);
    ten.pass(ms(450));
    let new = ten.ack(1);
    assert!(new.len() == 2 && new[0] >= 10, "{new:?}");
    ten.ack_and_sack(2, &[(new[0], new[0] + 1)]);
    assert_eq!((ten.look().statistics.spurious, ten.look().phase), (0, Phase::Timeout));
}

/// One ACK for many segments, as the others were lost: nothing is sent again, and nothing is taken for reordering.
#[test]
fn lost_acks_are_no_lost_segments() {
    let mut ten = Ten::new(30 * MSS);
    let sent = ten.ack(10);
    assert!(sent.len() >= 10 && sent[0] == 10, "{sent:?}");
    let look = ten.look();
    assert_eq!((look.statistics.retransmits, look.reordering, look.phase), (0, false, Phase::Open));
    // And of the SACKs of a loss only the last one comes.
    let mut ten = Ten::new(30 * MSS);
    assert_eq!(ten.sack(&[(1, 10)]).first(), Some(&0));
    assert_eq!(ten.look().phase, Phase::FastRecovery);
}

/// 5682-2.1, 5682-3.1: the first ACK after a timeout, of whatever it is one, leaves two segments of cwnd at most, and the one after
/// it, which shows that the timeout was right, three.
#[test]
fn the_window_while_a_timeout_is_in_doubt() {
    for options in [SACK, NO_SACK] {
        for first in [1, 5, 9] {
            let mut ten = Ten::with(30 * MSS, options);
            ten.pass(ms(450));
            assert_eq!((ten.look().phase, ten.look().cwnd), (Phase::Timeout, SEGMENT));
            let new = ten.ack(first)[0];
            assert!(new >= 10);
            assert_eq!(ten.look().cwnd, 2 * SEGMENT, "{first}");
            if options.sack_permitted {
                ten.sack(&[(new, new + 1)])
            } else {
                ten.sack(&[])
            };
            let look = ten.look();
            assert!(look.phase == Phase::Timeout && look.cwnd <= 3 * SEGMENT, "{first}: {look:?}");
        }
        // All at once.
        let mut ten = Ten::with(0, options);
        ten.pass(ms(450));
        ten.ack(10);
        assert_eq!((ten.look().phase, ten.look().cwnd), (Phase::Open, 2 * SEGMENT));
    }
}

/// RFC 3465 section 2.3: the ACK of what a timeout has sent again covers nine segments that arrived long before. One has left the
/// network, and that is by how much cwnd grows.
#[test]
fn what_arrived_before_a_timeout_grows_nothing_behind_it() {
    for options in [SACK, NO_SACK] {
        let mut ten = Ten::with(0, options);
        if options.sack_permitted {
            assert_eq!(ten.sack(&[(1, 10)]), [0]);
        }
        ten.pass(ms(450));
        assert_eq!((ten.look().phase, ten.look().cwnd), (Phase::Timeout, SEGMENT));
        ten.script.now += RTT;
        ten.ack(10);
        assert_eq!(ten.look().cwnd, 2 * SEGMENT);
    }
}

/// 5681-4.3-1, 6675-5.1: what was sent again after a timeout is lost once more: cwnd and ssthresh are lowered for it, and no other
/// recovery begins.
#[test]
fn a_retransmission_after_a_timeout_is_lost() {
    let mut ten = Ten::new(40 * MSS);
    ten.pass(ms(450));
    let new = ten.ack(1)[0];
    // The timeout was right.
    assert_eq!(ten.sack(&[(new, new + 1)]), [1]);
    let mut una = 1;
    while ten.look().cwnd < 4 * SEGMENT {
        ten.script.now += RTT;
        una += 1;
        ten.ack_and_sack(una, &[(new, new + 1)]);
    }
    let before = ten.look();
    assert_eq!((before.phase, before.ssthresh), (Phase::Timeout, 5 * SEGMENT));
    // The next one is lost, and what left together with it and after it arrives.
    ten.script.now += RTT;
    ten.sack(&[(una + 1, una + 2), (new, new + 1)]);
    ten.script.now += RTT;
    let sent = ten.sack(&[(una + 1, una + 4), (new, new + 1)]);
    let look = ten.look();
    assert!(sent.contains(&una), "{sent:?}");
    assert_eq!((look.phase, look.ssthresh, look.cwnd), (Phase::Timeout, 2 * SEGMENT, 2 * SEGMENT));
}

/// RFC 3522 section 3.2, step 5: after a timeout an old echo tells nothing with an ACK of everything, as comes where nothing but ACKs
/// was lost; the D-SACK behind it does. From a peer that is known to send those it tells.
#[test]
fn an_echo_with_everything_acknowledged() {
    let timestamp = Some(Timestamp { value: 500, echo: 0 });
    let mut ten = Ten::with(0, TcpOptions { timestamp, ..SACK });
    let start = ten.start;
    for (round, spurious) in [(1, 0), (2, 1)] {
        let original = ten.script.last_tsval;
        let timeouts = ten.look().statistics.timeouts;
        while ten.look().statistics.timeouts == timeouts {
            ten.pass(ms(50));
        }
        let (before, end) = (ten.look().statistics.spurious, start.wrapping_add(ten.look().snd_nxt - 1));
        ten.script.last_tsval = original;
        ten.script.peer_acks(end);
        let look = ten.look();
        assert_eq!((look.flight, look.statistics.spurious - before), (0, spurious), "{round}");
        assert_eq!(look.ssthresh == u32::MAX, spurious == 1, "{round}");
        if round == 1 {
            // And all that was sent again has come twice.
            duplicate_ack(&mut ten.script, &[(start, end)]);
            assert_eq!((ten.look().statistics.spurious, ten.look().ssthresh), (1, u32::MAX));
            ten.script.send(ten.handle, &text(5 * MSS));
        }
    }
}
