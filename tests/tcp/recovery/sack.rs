//! Loss recovery with SACK, by the packet: RFC 8985 (RACK-TLP), RFC 9937 (PRR), RFC 5682 (F-RTO), RFC 3522 (Eifel).

use crate::flow::ten::*;
use crate::flow::*;
use glasstcp::device::impair::Impairment;
use glasstcp::sim::{Side, sender};
use glasstcp::stack::Readiness;
use glasstcp::tcp::recovery::new_reno::Phase;
use glasstcp::tcp::timer::Purpose;
use glasstcp::wire::option::{TcpOptions, Timestamp};
use glasstcp::wire::tcp::Flags;

/// 6675-5-3, 5681-3.2-3, 6675-4-3, 6675-5-2: one loss of ten, by the numbers: with the third SACK the retransmission, then
/// new data for every second one that arrives, until the recovery point is covered.
#[test]
fn one_loss_is_repaired_and_the_window_halved_on_the_way() {
    let mut ten = Ten::new(30 * MSS);
    assert_eq!(ten.sack(&[(1, 2)]), [10]);
    assert_eq!(ten.sack(&[(1, 3)]), [11]);
    assert_eq!((ten.look().phase, ten.look().cwnd), (Phase::Open, 10 * SEGMENT));
    ten.script.now += ms(1);
    assert_eq!(ten.sack(&[(1, 4)]), [0]);
    assert_eq!((ten.look().phase, ten.look().ssthresh), (Phase::FastRecovery, 5 * SEGMENT));
    let sent: Vec<Vec<u32>> = (5..=10).map(|right| ten.sack(&[(1, right)])).collect();
    assert_eq!(sent, [vec![], vec![], vec![12], vec![], vec![], vec![13]]);
    ten.script.now += RTT;
    assert_eq!((ten.sack(&[(1, 11)]), ten.sack(&[(1, 12)])), (vec![14], vec![15]));
    assert_eq!((ten.look().sacked, ten.look().in_flight), (11 * SEGMENT, 5 * SEGMENT));
    // Everything that was in flight when it began.
    ten.ack(12);
    let look = ten.look();
    assert_eq!((look.phase, look.cwnd, look.statistics.retransmits), (Phase::Open, 5 * SEGMENT, 1));
    // A new loss right after it begins a new one.
    ten.script.now += RTT;
    let flight = ten.look().flight / SEGMENT;
    assert_eq!(flight, 5);
    ten.sack(&[(13, 17)]);
    assert_eq!((ten.look().phase, ten.look().statistics.retransmits), (Phase::FastRecovery, 2));
}

/// What leaves behind a hole makes room in the queue as well: the writer is woken by each ACK that tells of something, not
/// only once the hole is filled. Else the path would idle for the rest of the round trip.
#[test]
fn a_hole_does_not_keep_the_writer_asleep() {
    let (mut script, handle) = accepted_with_sack(|_| {});
    let sent = script.send(handle, &text(10 * MSS));
    let first = sent[0].header.seq;
    while script.stack.poll_ready().is_some() {}
    for right in 2..=10 {
        duplicate_ack(&mut script, &[(first + MSS as u32, first + right * MSS as u32)]);
        let ready = script.stack.poll_ready().map(|ready| ready.edges);
        assert!(ready.is_some_and(|edges| edges.any(Readiness::WRITABLE)), "{right}: {ready:?}");
    }
}

/// 6675-4-3, 6675-5-1: several holes at once; what is lost goes first, lowest first, before anything new.
#[test]
fn holes_are_filled_from_the_left() {
    let mut ten = Ten::new(30 * MSS);
    let mut sent = ten.sack(&[(1, 2), (4, 5), (7, 10)]);
    assert_eq!(ten.look().lost + ten.look().sacked + ten.look().in_flight, ten.look().flight);
    // Each retransmission is acknowledged as it arrives.
    for (una, blocks) in [(2, &[(4, 5), (7, 10)][..]), (3, &[(4, 5), (7, 10)]), (5, &[(7, 10)]), (6, &[(7, 10)])] {
        ten.script.now += RTT;
        sent.extend(ten.ack_and_sack(una, blocks));
    }
    let again: Vec<u32> = sent.iter().copied().filter(|&number| number < 10).collect();
    assert_eq!(again, [0, 2, 3, 5, 6]);
    let first_new = sent.iter().position(|&number| number >= 10);
    assert!(first_new.is_none_or(|at| sent[..at].len() >= 3), "{sent:?}");
    assert_eq!(ten.look().statistics.timeouts, 0);
}

/// 8985-6.2-5: the retransmission is lost as well, and found without the timer.
///
/// 5681-4.3-1: it reduces the window once more.
#[test]
fn a_lost_retransmission_needs_no_timeout() {
    let mut ten = Ten::new(30 * MSS);
    assert_eq!(ten.sack(&[(1, 5)]).first(), Some(&0));
    let ssthresh = ten.look().ssthresh;
    let mut right = 5;
    while ten.look().flight <= 10 * SEGMENT {
        right += 1;
        ten.sack(&[(1, right)]);
    }
    // What was sent after it arrives a round trip later.
    ten.script.now += RTT + ms(1);
    let sent = ten.sack(&[(1, 11)]);
    assert_eq!(sent.first(), Some(&0));
    let look = ten.look();
    assert_eq!((look.statistics.retransmits, look.statistics.timeouts), (2, 0));
    assert!(look.ssthresh < ssthresh, "{} {ssthresh}", look.ssthresh);
}

/// 8985-6.2-4, 8985-6.2-3: with fewer than three SACKed, a quarter of the least round trip passes first; what arrives until
/// then was only reordered, and from then on three are no proof either.
#[test]
fn reordering_is_not_loss() {
    let mut ten = Ten::new(30 * MSS);
    ten.sack(&[(1, 3)]);
    assert_eq!(ten.purpose(), Some(Purpose::Reorder));
    assert!(ten.pass(RTT / 4 - ms(1)).is_empty());
    ten.ack(3);
    let look = ten.look();
    assert_eq!((look.statistics.retransmits, look.phase, look.reordering), (0, Phase::Open, true));
    let cwnd = look.cwnd;
    let next = look.flight / SEGMENT;
    ten.script.now += RTT;
    ten.sack(&[(4, 8)]);
    assert!(ten.pass(RTT / 4 - ms(1)).iter().all(|&number| number > 3 + next), "still nothing again");
    // Each of the four counts in slow start, as the path is known to reorder.
    assert_eq!(ten.look().cwnd, cwnd + 4 * SEGMENT);
    // And then it is.
    assert_eq!(ten.pass(ms(2)).first(), Some(&3));
    assert_eq!(ten.look().phase, Phase::FastRecovery);
}

/// 5681-3.2-4, 9937-6.2-3: nearly all is SACKed before the loss is certain, as the path reorders. The new window is half of
/// FlightSize, not of the one segment that is left in the network. As nothing arrives with the timer, PRR allows nothing; the
/// first retransmission leaves all the same.
#[test]
fn a_loss_that_is_found_late_halves_flight_size() {
    let mut ten = Ten::new(0);
    ten.sack(&[(1, 3)]);
    ten.ack(3);
    assert!(ten.look().reordering);
    ten.script.now += RTT;
    ten.sack(&[(4, 10)]);
    let look = ten.look();
    assert_eq!((look.phase, look.flight, look.in_flight), (Phase::Open, 7 * SEGMENT, SEGMENT));
    assert_eq!(ten.pass(RTT / 4 + ms(1)), [3]);
    let look = ten.look();
    assert_eq!((look.phase, look.ssthresh), (Phase::FastRecovery, 7 * SEGMENT / 2));
}

/// The ACK that ends a recovery tells that more than a window has arrived: it is the first one of congestion avoidance.
#[test]
fn the_ack_that_ends_a_recovery_counts() {
    let mut ten = Ten::new(60 * MSS);
    ten.sack(&[(1, 3)]);
    ten.ack(3);
    assert!(ten.look().reordering);
    // A loss, so that slow start is over.
    ten.script.now += RTT;
    let end = 3 + ten.look().flight / SEGMENT;
    ten.sack(&[(4, end)]);
    ten.pass(RTT / 4 + ms(1));
    assert_eq!(ten.look().phase, Phase::FastRecovery);
    ten.script.now += RTT;
    let una = 3 + ten.look().flight / SEGMENT;
    ten.ack(una);
    let look = ten.look();
    // The ACK that ends the recovery delivers more than a window.
    assert_eq!((look.phase, look.cwnd), (Phase::Open, look.ssthresh + SEGMENT));
}

/// 8985-7.3-2, 8985-7.2-2, 8985-7.3-3: the last two of ten are lost: probed after two round trips, and repaired.
#[test]
fn a_lost_tail_is_probed() {
    let mut ten = Ten::new(0);
    ten.ack(8);
    assert_eq!(ten.purpose(), Some(Purpose::Probe));
    let srtt = ten.look().srtt.unwrap();
    assert!(ten.pass(2 * srtt - ms(1)).is_empty());
    assert_eq!(ten.pass(ms(2)), [9]);
    assert_eq!(ten.purpose(), Some(Purpose::Timeout));
    assert_eq!(ten.look().cwnd, 18 * SEGMENT);
    ten.script.now += RTT;
    // The probe arrives, and shows that what was sent before it is lost.
    let sent = ten.sack(&[(9, 10)]);
    assert!(sent.is_empty() || sent == [8]);
    let sent = if sent.is_empty() { ten.pass(RTT) } else { sent };
    assert_eq!(sent, [8]);
    ten.script.now += RTT;
    ten.ack(10);
    let look = ten.look();
    assert_eq!((look.statistics.timeouts, look.statistics.retransmits, look.phase), (0, 2, Phase::Open));
    assert!(look.ssthresh < u32::MAX);
    assert_eq!(ten.purpose(), None);
}

/// 8985-7.3-2: new data makes the better probe, one segment whatever cwnd says.
#[test]
fn new_data_is_the_probe_where_there_is_some() {
    let mut ten = Ten::new(5 * MSS);
    assert_eq!(ten.look().flight, 10 * SEGMENT);
    assert_eq!(ten.pass(ms(100)), [10]);
    assert_eq!((ten.look().flight, ten.look().cwnd), (11 * SEGMENT, 10 * SEGMENT));
    ten.ack(11);
    assert_eq!((ten.look().ssthresh, ten.look().statistics.retransmits), (u32::MAX, 0), "nothing was lost");
}

/// 8985-7.3-1: into a black hole goes one probe, and then the timer backs off.
#[test]
fn one_probe_and_then_the_timeout() {
    let mut ten = Ten::new(0);
    ten.ack(8);
    let (start, rto) = (ten.script.now, ten.look().rto.as_millis() as u64);
    let sent = ten.script.pass(ms(3_600));
    let seen: Vec<(u32, u64)> = sent
        .iter()
        .map(|one| (one.header.seq.wrapping_sub(ten.start) / SEGMENT, (one.at - start).as_millis() as u64))
        .collect();
    assert_eq!(seen.iter().map(|one| one.0).collect::<Vec<_>>(), [9, 8, 8, 8, 8]);
    let gaps: Vec<u64> = seen.windows(2).map(|pair| pair[1].1 - pair[0].1).collect();
    assert_eq!(gaps, [1, 2, 4, 8].map(|times| times * rto));
}

/// 8985-4-1: without SACK there is neither a probe nor a reordering timer.
#[test]
fn without_sack_there_is_only_the_timeout() {
    let mut ten = Ten::with(0, TcpOptions { sack_permitted: false, ..SACK });
    ten.ack(8);
    assert_eq!(ten.purpose(), Some(Purpose::Timeout));
    // Blocks that were not agreed on mean nothing.
    assert!(ten.sack(&[(9, 10)]).is_empty());
    assert_eq!((ten.look().sacked, ten.purpose()), (0, Some(Purpose::Timeout)));
    assert!(ten.pass(ms(219)).is_empty());
    assert_eq!(ten.pass(ms(2)), [8]);
}

/// 8985-8, 8985-7.2-1: one timer, and what it runs for after each event.
#[test]
fn one_timer_for_all() {
    let mut ten = Ten::new(0);
    assert_eq!(ten.purpose(), Some(Purpose::Probe));
    ten.ack(2);
    assert_eq!(ten.purpose(), Some(Purpose::Probe));
    ten.sack(&[(3, 4)]);
    assert_eq!(ten.purpose(), Some(Purpose::Reorder));
    ten.sack(&[(3, 7)]);
    assert_eq!((ten.look().phase, ten.purpose()), (Phase::FastRecovery, Some(Purpose::Timeout)));
    ten.script.now += RTT;
    ten.ack(10);
    assert_eq!(ten.purpose(), None);
    // A closed window: only the zero-window probe.
    let mut ten = Ten::new(30 * MSS);
    ten.script.window = 0;
    ten.ack(10);
    let connection = ten.script.stack.tcp_connection(ten.handle).unwrap();
    assert!(connection.deadlines.persist.is_set() && !connection.deadlines.retransmit.is_set());
}

/// 8985-7.4.2: a probe that repeats the last segment and is answered beyond it has repaired a loss; one that
/// arrived twice has not.
#[test]
fn a_repaired_loss_counts() {
    for (twice, reduced) in [(false, true), (true, false)] {
        let mut ten = Ten::new(0);
        ten.ack(9);
        assert_eq!(ten.pass(ms(250)), [9]);
        ten.script.now += RTT;
        if twice {
            ten.ack_and_sack(10, &[(9, 10)]);
        } else {
            ten.ack(10);
        }
        ten.script.send(ten.handle, &text(MSS));
        ten.script.now += RTT;
        ten.ack(11);
        assert_eq!(ten.look().ssthresh < u32::MAX, reduced, "{twice}");
    }
}

/// RFC 3708: a fast retransmit was for nothing, as the segment arrived twice: the window comes back.
#[test]
fn a_dsack_takes_the_reduction_back() {
    let mut ten = Ten::new(30 * MSS);
    ten.sack(&[(1, 4)]);
    assert_eq!((ten.look().phase, ten.look().ssthresh), (Phase::FastRecovery, 5 * SEGMENT));
    ten.script.now += ms(1);
    // The original was only late.
    ten.ack(4);
    ten.script.now += RTT;
    ten.ack_and_sack(10, &[(0, 1)]);
    let look = ten.look();
    assert_eq!((look.phase, look.ssthresh, look.statistics.spurious), (Phase::Open, u32::MAX, 1));
    assert!(look.cwnd >= 10 * SEGMENT && look.reordering && look.reordering_multiplier > 1, "{look:?}");
    assert_eq!(ten.script.stack.counters().spurious, 1);
}

/// 5682-2.1, 5682-3.1, 5682-4: a timeout, because everything is late by two seconds or because it is lost; with SACK and without.
#[test]
fn a_spurious_timeout_is_found_out() {
    for sack in [false, true] {
        // Late: the originals are acknowledged one after the other.
        let mut ten = Ten::with(30 * MSS, TcpOptions { sack_permitted: sack, ..SACK });
        let sent = ten.pass(ms(450));
        assert_eq!(*sent.last().unwrap(), 0, "{sent:?}");
        assert_eq!((ten.look().phase, ten.look().cwnd), (Phase::Timeout, SEGMENT));
        let sent = ten.ack(1);
        assert!(sent.len() == 2 && sent.iter().all(|&number| number >= 10), "new data: {sent:?}");
        ten.ack(2);
        let look = ten.look();
        assert_eq!((look.phase, look.statistics.spurious, look.lost), (Phase::Open, 1, 0), "SACK {sack}");
        assert!(look.cwnd >= 10 * SEGMENT && look.ssthresh == u32::MAX, "{look:?}");
        assert_eq!(look.statistics.retransmits, 1);
        if sack {
            // RFC 3708 has nothing to add.
            ten.ack_and_sack(3, &[(0, 1)]);
            assert_eq!(ten.look().statistics.spurious, 1);
        }

        // Lost: what answers the new data repeats the ACK.
        let mut ten = Ten::with(30 * MSS, TcpOptions { sack_permitted: sack, ..SACK });
        ten.pass(ms(450));
        let sent = ten.ack(1);
        let first = sent[0];
        let sent = if sack { ten.sack(&[(first, first + 1)]) } else { ten.sack(&[]) };
        assert_eq!(sent.first(), Some(&1), "SACK {sack}");
        let look = ten.look();
        assert_eq!((look.phase, look.statistics.spurious), (Phase::Timeout, 0), "SACK {sack}");

        // A first answer that does not advance: without SACK that may be a loss; with SACK it tells nothing yet.
        let mut ten = Ten::with(30 * MSS, TcpOptions { sack_permitted: sack, ..SACK });
        ten.pass(ms(450));
        if sack {
            assert!(ten.sack(&[(5, 6)]).is_empty());
            assert!(ten.ack_and_sack(1, &[(5, 6)]).iter().all(|&number| number >= 10));
            ten.ack_and_sack(1, &[(5, 7)]);
            assert_eq!((ten.look().phase, ten.look().statistics.spurious), (Phase::Open, 1));
        } else {
            ten.sack(&[]);
            assert_eq!(ten.ack(1).first(), Some(&1));
            ten.ack(2);
            assert_eq!(ten.look().statistics.spurious, 0);
        }
    }
}

/// RFC 3522: with timestamps the first ACK tells.
#[test]
fn the_echo_tells_of_a_spurious_timeout() {
    for (late, queued, sack_permitted) in
        [(true, 0, true), (true, 30 * MSS, true), (true, 30 * MSS, false), (false, 0, true)]
    {
        let timestamp = Some(Timestamp { value: 500, echo: 0 });
        let mut ten = Ten::with(queued, TcpOptions { timestamp, sack_permitted, ..SACK });
        let original = ten.script.last_tsval;
        ten.pass(ms(450));
        assert_eq!(ten.look().phase, Phase::Timeout);
        if late {
            ten.script.last_tsval = original;
        }
        let first = ten.look().segment_payload;
        let at = ten.start.wrapping_add(first);
        ten.script.peer_acks(at);
        let look = ten.look();
        assert_eq!((look.phase == Phase::Open, look.statistics.spurious == 1), (late, late));
        assert_eq!(look.lost == 0 && look.ssthresh == u32::MAX, late, "{look:?}");
        // 5682-4: and nothing is found out a second time.
        let at = at.wrapping_add(first);
        ten.script.peer_acks(at);
        assert_eq!(ten.look().statistics.spurious, u16::from(late));
    }
}

/// 8985-6.3: what left just before the timeout keeps its time.
#[test]
fn a_timeout_does_not_repeat_what_has_just_left() {
    let mut ten = Ten::new(0);
    let now = ten.script.now;
    ten.script.stack.tcp_set_options(now, ten.handle, |options| options.nodelay = true).unwrap();
    ten.ack(5);
    // Nothing arrives any more, but the application writes on until the timer expires.
    let mut written = 0;
    while ten.look().statistics.timeouts == 0 {
        ten.pass(ms(10));
        ten.script.send(ten.handle, b"more");
        written += 1;
        assert!(written < 100, "{:?}", ten.look());
    }
    let connection = ten.script.stack.tcp_connection(ten.handle).unwrap();
    let sent = &connection.transfer.as_ref().unwrap().sent;
    let (first, last) = (sent.first().unwrap(), sent.last().unwrap());
    assert!(first.transmissions > 1 && sent.lost().octets() >= 4 * SEGMENT);
    assert!(ten.script.now.saturating_since(last.sent_at) <= RTT, "sent just now");
    assert!(!sent.lost().covers(last.seq, last.end()) && last.transmissions == 1);
}

/// 6675-5.1: a timeout in recovery ends it, and no other begins before everything sent until then is covered.
#[test]
fn a_timeout_in_recovery() {
    let mut ten = Ten::new(30 * MSS);
    ten.sack(&[(1, 5)]);
    assert_eq!(ten.look().phase, Phase::FastRecovery);
    ten.pass(ms(500));
    let look = ten.look();
    assert_eq!((look.phase, look.cwnd), (Phase::Timeout, SEGMENT));
    let highest = look.flight / SEGMENT;
    ten.script.now += RTT;
    let ssthresh = ten.look().ssthresh;
    for right in 7..highest {
        ten.script.now += ms(1);
        ten.sack(&[(6, right)]);
        assert_eq!((ten.look().phase, ten.look().ssthresh), (Phase::Timeout, ssthresh), "{right}");
    }
    ten.ack(highest);
    assert_eq!(ten.look().phase, Phase::Open);
}

/// 2883-5, 2018-3, 2018-8: blocks that cannot be true change nothing.
#[test]
fn nonsense_is_ignored() {
    for ranges in [
        &[(11, 20)][..],
        &[(5, 5)],
        &[(6, 5)],
        &[(0, 10)],
        &[(0, 3)],
        &[(9, 11)],
        &[(u32::MAX - 4, u32::MAX - 2), (u32::MAX - 3, u32::MAX - 1)],
        &[(1 << 20, 1 << 21)],
    ] {
        let mut ten = Ten::new(0);
        for _ in 0..5 {
            assert!(ten.sack(ranges).is_empty(), "{ranges:?}");
        }
        let look = ten.look();
        assert_eq!((look.sacked, look.lost, look.phase), (0, 0, Phase::Open), "{ranges:?}");
    }
    // Overlapping and touching blocks are one, in whatever order; parts of segments count for nothing.
    let mut ten = Ten::new(0);
    ten.sack(&[(3, 5), (4, 6), (2, 3)]);
    assert_eq!(ten.look().sacked, 4 * SEGMENT);
    let (left, right) = (ten.at(7) + 1, ten.at(9) - 1);
    duplicate_ack(&mut ten.script, &[(left, right)]);
    assert_eq!(ten.look().sacked, 4 * SEGMENT);
    duplicate_ack(&mut ten.script, &[(left, right + 1)]);
    assert_eq!(ten.look().sacked, 5 * SEGMENT);
}

/// SACK blocks count on whatever segment they come: text, a window update.
#[test]
fn blocks_on_text_count() {
    let mut ten = Ten::new(0);
    let mut header = ten.script.header(Flags::ACK | Flags::PSH);
    header.options.sack = blocks(&[(ten.at(1), ten.at(5))]);
    header.window -= 7;
    let sent = ten.script.inject(&header, b"hello");
    assert_eq!(ten.numbers(&sent), [0]);
}

/// 8985-6.2-1: the least round trip forgets a path that has become longer.
#[test]
fn a_longer_path_becomes_the_least_round_trip() {
    let mut ten = Ten::new(0);
    ten.ack(10);
    assert_eq!(ten.look().min_rtt, Some(RTT));
    let mut at = 10;
    for _ in 0..40 {
        ten.script.now += secs(10);
        ten.script.send(ten.handle, &text(MSS));
        ten.script.now += ms(80);
        at += 1;
        ten.ack(at);
    }
    assert_eq!(ten.look().min_rtt, Some(ms(80)));
}

/// A super-segment is sent again in pieces of whole segments, and only what is missing of it.
#[test]
fn a_super_segment_with_holes() {
    let (mut script, handle) = accepted_over(RTT, SACK, |_| {});
    script.stack.set_offload(65_535, false);
    let start = script.ack;
    let sent = script.send(handle, &text(10 * MSS));
    assert_eq!((sent.len(), octets(&sent)), (1, 10 * MSS), "one record");
    script.now += RTT;
    let at = |segment: u32| start.wrapping_add(segment * SEGMENT);
    let sent = duplicate_ack(&mut script, &[(at(2), at(3)), (at(6), at(10))]);
    let look = look(&script, handle);
    assert_eq!((look.sacked, look.flight), (5 * SEGMENT, 10 * SEGMENT));
    let mut again: Vec<(u32, usize)> = Vec::new();
    let mut sent = sent;
    for una in [1, 3, 4, 5] {
        again.extend(sent.iter().map(|one| (one.header.seq.wrapping_sub(start) / SEGMENT, one.text.len())));
        script.now += RTT;
        script.ack = at(una);
        sent = duplicate_ack(&mut script, &[(at(6), at(10))]);
    }
    again.extend(sent.iter().map(|one| (one.header.seq.wrapping_sub(start) / SEGMENT, one.text.len())));
    assert!(again.iter().all(|one| one.1 % MSS == 0), "{again:?}");
    let pieces: Vec<u32> = again.iter().flat_map(|&(at, len)| at..at + (len / MSS) as u32).collect();
    assert_eq!(pieces, [0, 1, 3, 4, 5]);
}

/// 8985-6.2-3: a path that only reorders costs nothing for long: what is sent again for nothing stays a small part.
#[test]
fn a_reordering_path_is_learned() {
    for seed in 0..4 {
        let link = Impairment::perfect().delay(ms(10)).rate(50_000_000).reorder(30_000, ms(3));
        let mut flow = Flow::open(link, seed, |_| {});
        assert!(flow.transfer(3_000_000, secs(60), |_| {}));
        let look = flow.client();
        assert!(look.reordering);
        assert_eq!(look.statistics.timeouts, 0);
        assert!(look.statistics.retransmits < 40, "{look:?}");
    }
}

/// Losses of every kind, in both directions; the counts of the scoreboard hold after each event, and the timer runs while
/// something is in flight.
#[test]
fn the_scoreboard_holds_on_bad_links() {
    for seed in 0..12 {
        let link =
            Impairment::perfect().delay(ms(10)).jitter(ms(3)).loss(50_000).duplicate(20_000).reorder(50_000, ms(8));
        let mut flow = Flow::open(link, seed, |config| {
            config.tcp.timestamps = seed % 2 == 0;
            config.mtu = if seed % 3 == 0 { 576 } else { 1_500 };
        });
        if seed % 4 == 3 {
            flow.world.offload(Side::A, 65_535, false);
        }
        let done = flow.transfer(400_000, secs(600), |world| {
            let now = world.now();
            sender::check_all(world.stack(Side::A), now);
            sender::check_all(world.stack(Side::B), now);
        });
        assert!(done, "seed {seed}: {:?}", flow.client());
    }
}
