//! Tests of [`super::sent`] and [`super::rack`], by table.

use std::time::Duration;

use super::delivery_rate::{DeliveryRate, RateStamp};
use super::rack::{self, Rack, doubt_from};
use super::ranges::Range;
use super::sent::{Delivered, SentRecord, SentRecords, Stamp};
use crate::tcp::sequence::SeqNumber;
use crate::time::Instant;

pub(super) const SEGMENT: u32 = 10;

pub(super) fn record(seq: SeqNumber, len: u32, at: Instant) -> SentRecord {
    SentRecord { seq, len, sent_at: at, segment: SEGMENT as u16, transmissions: 1, syn: false, fin: false }
}

/// One record after the other, a millisecond apart, from time 0 on.
fn records(base: u32, lens: &[u32]) -> SentRecords {
    let mut sent = SentRecords::default();
    let mut seq = SeqNumber(base);
    for (number, &len) in lens.iter().enumerate() {
        sent.push(record(seq, len, Instant::from_millis(number as u64)));
        seq += len;
    }
    sent
}

pub(super) fn acknowledge(sent: &mut SentRecords, una: SeqNumber) -> Delivered {
    let mut done = Delivered::default();
    sent.acknowledge(una, &mut done);
    assert!(sent.is_consistent());
    done
}

pub(super) fn sack(sent: &mut SentRecords, block: Range) -> Delivered {
    let mut done = Delivered::default();
    let highest = sent.sacked().last().map(|range| range.1);
    sent.sack(block, highest, usize::MAX, &mut done);
    assert!(sent.is_consistent());
    done
}

/// 9293-3.4-3
#[test]
fn an_ack_in_the_middle_keeps_exactly_the_rest() {
    for base in [0, u32::MAX - 150, (1 << 31) - 150] {
        let mut sent = records(base, &[100, 100, 100]);
        let done = acknowledge(&mut sent, SeqNumber(base) + 150);
        assert_eq!((done.acknowledged, done.octets), (150, 150));
        let first = *sent.first().unwrap();
        assert_eq!((first.seq, first.len, sent.len()), (SeqNumber(base) + 150, 50, 2));
        assert_eq!(acknowledge(&mut sent, SeqNumber(base) + 150).acknowledged, 0);
        assert_eq!(acknowledge(&mut sent, SeqNumber(base) + 300).acknowledged, 150);
        assert!(sent.is_empty());
    }
}

/// 6298-3-1, 8961-4.2d
#[test]
fn only_records_sent_once_give_a_sample() {
    let mut sent = records(0, &[100, 100, 100]);
    sent.mark_first_lost(100);
    sent.retransmitted(SeqNumber(0), 100, 10, Instant::from_secs(5));
    let done = acknowledge(&mut sent, SeqNumber(100));
    let again = Stamp { at: Instant::from_secs(5), end: SeqNumber(100) };
    assert_eq!((done.acked.once, done.acked.again), (None, Some(again)));
    let done = acknowledge(&mut sent, SeqNumber(300));
    let once = Stamp { at: Instant::from_millis(2), end: SeqNumber(300) };
    assert_eq!((done.acked.once, done.acked.again), (Some(once), None));
}

/// 6675-4-1, 2018-8: a SACK block marks whole segments only, and takes nothing off; what it tells a second time is no news.
#[test]
fn sack_blocks_mark_whole_segments() {
    type Case = (&'static str, Range, &'static [(u32, u32)]);
    let cases: [Case; 8] = [
        ("one segment", range(10, 20), &[(10, 20)]),
        ("a part", range(11, 19), &[]),
        ("a part at both sides", range(5, 35), &[(10, 30)]),
        ("across records", range(30, 60), &[(30, 54)]),
        ("to the short end of a record", range(40, 44), &[(40, 44)]),
        ("not quite to it", range(40, 43), &[]),
        ("the record behind counts from its own start", range(44, 54), &[(44, 54)]),
        ("everything but the first", range(10, 104), &[(10, 104)]),
    ];
    for base in [0, u32::MAX - 30, 1 << 31] {
        let shift = |range: Range| (range.0 + base, range.1 + base);
        for (name, block, marked) in cases {
            let mut sent = records(base, &[44, 60]);
            let done = sack(&mut sent, shift(block));
            let marked: Vec<Range> = marked.iter().map(|&(left, right)| shift(range(left, right))).collect();
            assert_eq!(sent.sacked().iter().collect::<Vec<_>>(), marked, "{name}");
            let octets: u32 = marked.iter().map(|range| range.1.since(range.0)).sum();
            assert_eq!((done.octets, sent.in_flight(), sent.len()), (octets, 104 - octets, 2), "{name}");
            assert_eq!(sack(&mut sent, shift(block)), Delivered::default(), "{name}");
            // The cumulative ACK counts what is new.
            let all = acknowledge(&mut sent, SeqNumber(base) + 104);
            assert_eq!((all.acknowledged, all.octets), (104, 104 - octets), "{name}");
        }
    }
}

fn range(left: u32, right: u32) -> Range {
    (SeqNumber(left), SeqNumber(right))
}

/// The number of separate ranges is limited; beyond it only what touches one of them counts.
#[test]
fn too_many_ranges_are_ignored() {
    let mut sent = records(0, &[10; 40]);
    let mut done = Delivered::default();
    for at in [30, 50, 70, 90] {
        sent.sack(range(at, at + 10), None, 3, &mut done);
    }
    assert_eq!((sent.sacked().len(), sent.sacked().octets()), (3, 30));
    sent.sack(range(80, 90), None, 3, &mut done);
    sent.sack(range(20, 30), None, 3, &mut done);
    assert_eq!((sent.sacked().len(), sent.sacked().octets()), (3, 50));
}

/// 8985-6.2-3: late is what lies below something that was SACKed before, and was sent only once.
#[test]
fn reordering_is_seen_where_it_is() {
    // One segment after the other arrives: no reordering, whatever order the blocks are in.
    let mut sent = records(0, &[10; 10]);
    assert_eq!(sack(&mut sent, range(20, 30)).overtaken, 0);
    assert_eq!(sack(&mut sent, range(30, 60)).overtaken, 0);
    // Behind what is SACKed, by a block or by number.
    for by_number in [false, true] {
        let mut sent = records(0, &[10; 10]);
        sack(&mut sent, range(50, 60));
        let done = if by_number { acknowledge(&mut sent, SeqNumber(10)) } else { sack(&mut sent, range(20, 30)) };
        assert_eq!(done.overtaken, if by_number { 60 } else { 40 });
    }
    // Of what left in one piece the first segments, by number.
    let mut sent = records(0, &[100]);
    sent.sack(range(70, 100), None, 9, &mut Delivered::default());
    assert_eq!(acknowledge(&mut sent, SeqNumber(100)).overtaken, 100);
    // What was sent again fills a gap and shows nothing.
    let mut sent = records(0, &[10; 10]);
    sack(&mut sent, range(50, 60));
    sent.mark_first_lost(10);
    sent.retransmitted(SeqNumber(0), 10, 10, Instant::from_secs(1));
    assert_eq!(acknowledge(&mut sent, SeqNumber(10)).overtaken, 0);
}

/// A retransmission of several segments is one record, cut out of those that it covers.
#[test]
fn a_retransmission_is_a_record_of_its_own() {
    let mut sent = records(u32::MAX - 30, &[40, 40, 40]);
    let at = |offset: u32| SeqNumber(u32::MAX - 30) + offset;
    sack(&mut sent, (at(100), at(120)));
    sent.mark_all_lost();
    assert_eq!((sent.first_lost(), sent.in_flight()), (Some((at(0), 100)), 0));
    sent.retransmitted(at(20), 40, 10, Instant::from_secs(1));
    let lens: Vec<(u32, u8)> = sent.iter().map(|record| (record.len, record.transmissions)).collect();
    assert_eq!(lens, [(20, 1), (40, 2), (20, 1), (40, 1)]);
    assert_eq!((sent.lost().octets(), sent.in_flight()), (60, 40));
    assert!(sent.is_consistent());
    // A window probe again and again is one entry in the list of retransmissions.
    for second in 0..100 {
        sent.retransmitted(at(0), 1, 10, Instant::from_secs(second));
    }
    assert_eq!(sent.again.len(), 2);
}

/// 8985-6.2-5, 8985-6.2-2: ten segments of a millisecond each; the fifth arrives at 100 ms.
#[test]
fn what_was_sent_long_enough_before_is_lost() {
    let ms = Duration::from_millis;
    for window in [0, 1, 2, 3, 4, 5, 20] {
        let mut sent = records(0, &[10; 10]);
        let mut rack = Rack::default();
        let arrived = Instant::from_millis(100);
        let done = sack(&mut sent, range(40, 50));
        rack.update(&done, arrived);
        assert_eq!(rack.rtt(), Some(ms(96)));
        let losses = rack::detect(&mut sent, &rack, ms(window), arrived);
        // The first was sent at 0 and is due at 96 + window.
        let due = (0..4).filter(|at| at + 96 + window <= 100).count() as u32;
        assert_eq!(losses.octets, due * 10, "{window}");
        // The timer is for the last of them, and then all are known.
        let expected = Some(3 + 96 + window).filter(|&at| at > 100).map(Instant::from_millis);
        assert_eq!(losses.next, expected, "{window}");
        // Never anything that was sent after the one that arrived.
        if let Some(now) = losses.next {
            assert_eq!(rack::detect(&mut sent, &rack, ms(window), now).next, None);
        }
        assert_eq!((sent.lost().octets(), sent.in_flight()), (40, 50), "{window}");
    }
}

/// 8985-6.2-5: of a record with a lost part, a SACKed one and one under way, the last is not lost before its time.
#[test]
fn each_part_of_a_record_has_its_time() {
    let mut sent = records(0, &[30, 10]);
    sack(&mut sent, range(20, 30));
    sent.mark_all_lost();
    sent.forget_sacked();
    sack(&mut sent, range(10, 20));
    let mut rack = Rack::default();
    let done = sack(&mut sent, range(30, 40));
    rack.update(&done, Instant::from_millis(100));
    let window = Duration::from_millis(5);
    let losses = rack::detect(&mut sent, &rack, window, Instant::from_millis(100));
    assert_eq!((losses.octets, losses.next), (0, Some(Instant::from_millis(104))));
    assert_eq!(rack::detect(&mut sent, &rack, window, Instant::from_millis(104)).octets, 10);
}

/// 8985-4-2: what leaves a microsecond apart is told apart, also on a path of ten.
#[test]
fn microseconds_are_told_apart() {
    let micros = |micros: u64| Instant::from_nanos(micros * 1_000);
    let mut sent = SentRecords::default();
    for at in 0..3u32 {
        sent.push(record(SeqNumber(at * 10), 10, micros(1_000 + u64::from(at))));
    }
    let mut rack = Rack::default();
    let done = sack(&mut sent, range(20, 30));
    rack.update(&done, micros(1_012));
    let losses = rack::detect(&mut sent, &rack, Duration::from_micros(2), micros(1_012));
    assert_eq!((losses.octets, losses.next), (10, Some(micros(1_013))));
}

/// 8985-6.2-2: what may be the ACK of the first copy says nothing of the second.
#[test]
fn ambiguous_arrivals_are_ignored() {
    let ms = Duration::from_millis;
    for (min_rtt, echo_before, counts) in [
        (None, None, true),
        (Some(ms(10)), None, true),
        (Some(ms(11)), None, false),
        (Some(ms(10)), Some(51), true),
        (Some(ms(10)), Some(50), false),
    ] {
        let mut sent = records(0, &[10; 4]);
        sent.mark_first_lost(10);
        sent.retransmitted(SeqNumber(0), 10, 10, Instant::from_millis(50));
        let (arrived, echo_before) = (Instant::from_millis(60), echo_before.map(Instant::from_millis));
        let doubt_from = doubt_from(arrived, min_rtt, echo_before);
        let mut done = Delivered { doubt_from, ..Delivered::default() };
        sent.acknowledge(SeqNumber(10), &mut done);
        let mut rack = Rack::default();
        rack.update(&done, arrived);
        assert_eq!(rack.rtt(), counts.then_some(ms(10)), "{min_rtt:?} {echo_before:?}");
    }
}

/// 8985-6.2-2: one ACK of two that were sent again: that of the later one is in doubt, that of the earlier one is not.
#[test]
fn each_that_was_sent_again_is_judged_by_itself() {
    let mut sent = records(0, &[10; 4]);
    sent.retransmitted(SeqNumber(0), 10, 10, Instant::from_millis(50));
    sent.retransmitted(SeqNumber(10), 10, 10, Instant::from_millis(58));
    let arrived = Instant::from_millis(60);
    let doubt_from = doubt_from(arrived, Some(Duration::from_millis(5)), None);
    let mut done = Delivered { doubt_from, ..Delivered::default() };
    sent.acknowledge(SeqNumber(20), &mut done);
    let mut rack = Rack::default();
    rack.update(&done, arrived);
    assert_eq!((rack.rtt(), rack.latest().unwrap().end), (Some(Duration::from_millis(10)), SeqNumber(10)));
}

/// 8985-6.2-2: RACK.rtt is that of what arrives, RACK.segment stays the one that was sent last.
#[test]
fn what_arrives_late_makes_the_round_trip_longer() {
    let mut sent = records(0, &[10; 10]);
    let mut rack = Rack::default();
    let done = sack(&mut sent, range(50, 60));
    rack.update(&done, Instant::from_millis(105));
    assert_eq!(rack.rtt(), Some(Duration::from_millis(100)));
    let done = sack(&mut sent, range(20, 30));
    rack.update(&done, Instant::from_millis(132));
    assert_eq!((rack.rtt(), rack.latest().unwrap().end), (Some(Duration::from_millis(130)), SeqNumber(60)));
}

/// 8985-6.2-4: segments are counted, whatever their size and in whatever blocks.
#[test]
fn sacked_segments_are_counted() {
    for (blocks, count) in [
        (&[][..], 0),
        (&[(10, 20)], 1),
        (&[(10, 20), (30, 40)], 2),
        (&[(10, 40)], 3),
        (&[(10, 20), (30, 40), (50, 60)], 3),
        (&[(10, 20), (30, 50)], 3),
    ] {
        let mut sent = records(0, &[10; 10]);
        for &(left, right) in blocks {
            sack(&mut sent, range(left, right));
        }
        for segments in 0..5 {
            assert_eq!(sent.are_sacked(segments), count >= segments, "{blocks:?} {segments}");
        }
    }
    // In a super-segment, too.
    let mut sent = records(0, &[10]);
    sent.push(SentRecord { segment: 10, ..record(SeqNumber(10), 95, Instant::from_millis(1)) });
    sack(&mut sent, range(30, 60));
    assert!(sent.are_sacked(3) && !sent.are_sacked(4));
    sack(&mut sent, range(90, 105));
    assert!(sent.are_sacked(5) && !sent.are_sacked(6));
}

/// 8985-6.2-5: a lost retransmission is found as soon as something that was sent after it has arrived.
#[test]
fn a_lost_retransmission_is_found() {
    let mut sent = records(0, &[10; 10]);
    let mut rack = Rack::default();
    let evidence = Instant::from_millis;
    let done = sack(&mut sent, range(20, 50));
    rack.update(&done, evidence(100));
    assert_eq!(rack::detect(&mut sent, &rack, Duration::ZERO, Instant::from_millis(100)).octets, 20);
    for (seq, millis) in [(0, 101), (10, 102)] {
        sent.retransmitted(SeqNumber(seq), 10, 10, Instant::from_millis(millis));
    }
    // The second one arrives, the first does not.
    let done = sack(&mut sent, range(10, 50));
    rack.update(&done, evidence(200));
    let losses = rack::detect(&mut sent, &rack, Duration::ZERO, Instant::from_millis(200));
    assert_eq!((losses.octets, losses.resent_at), (10 + 50, Some(Instant::from_millis(101))));
    assert_eq!(sent.first_lost(), Some((SeqNumber(0), 10)));
}

/// 8985-6.3: the first, and what was sent until then.
#[test]
fn a_timeout_spares_what_was_just_sent() {
    for (limit, lost) in [(0, 10), (4, 50), (100, 100)] {
        let mut sent = records(0, &[10; 10]);
        sent.mark_lost_until(Instant::from_millis(limit));
        assert_eq!(sent.lost().octets(), lost);
        sack(&mut sent, range(50, 60));
        assert!(sent.is_consistent());
        sent.unmark_lost();
        assert_eq!(sent.in_flight(), 90);
    }
}

/// Three records of 40 octets, each with the stamp of so many octets in flight as its number says.
fn stamped(base: u32) -> SentRecords {
    let mut sent = SentRecords::default();
    for number in 0..3u32 {
        let seq = SeqNumber(base) + number * 40;
        sent.push(record(seq, 40, Instant::from_millis(number.into())));
        sent.stamp(seq, stamp(number));
    }
    sent
}

fn stamp(number: u32) -> RateStamp {
    DeliveryRate::default().on_send(Instant::from_millis(number.into()), number, 0)
}

fn lost_parts(sent: &mut SentRecords, base: u32) -> Vec<(RateStamp, u32, u32)> {
    sent.take_lost_parts().map(|part| (part.stamp, part.seq.since(SeqNumber(base)), part.octets)).collect()
}

/// Each part of a record that is split, trimmed or swallowed by a retransmission keeps the stamp of what was last sent.
#[test]
fn stamps_survive_splits() {
    for base in [0, u32::MAX - 60, 1 << 31] {
        let at = |offset: u32| SeqNumber(base) + offset;
        let mut sent = stamped(base);
        assert_eq!(sent.mark_lost(at(30), at(90)), 60);
        assert_eq!(lost_parts(&mut sent, base), [(stamp(0), 30, 10), (stamp(1), 40, 40), (stamp(2), 80, 10)]);
        // What is lost already is not lost again.
        assert_eq!((sent.mark_lost(at(30), at(90)), lost_parts(&mut sent, base)), (0, vec![]));
        sent.retransmitted(at(30), 20, 10, Instant::from_millis(9));
        sent.stamp(at(30), stamp(9));
        assert!(sent.is_consistent());
        sent.mark_all_lost();
        let all = [(stamp(0), 0, 30), (stamp(9), 30, 20), (stamp(2), 90, 30)];
        assert_eq!(lost_parts(&mut sent, base), all, "and 50 to 90 is lost still");
        sent.unmark_lost();
        sent.mark_all_lost();
        let all = [(stamp(0), 0, 30), (stamp(9), 30, 20), (stamp(1), 50, 30), (stamp(2), 80, 40)];
        assert_eq!(lost_parts(&mut sent, base), all);
        sent.unmark_lost();
        // The newest of what one ACK delivers, whether by number or by a block.
        assert_eq!(sent.take_newest(), None);
        acknowledge(&mut sent, at(10));
        assert_eq!(sent.take_newest(), Some((stamp(0), Instant::from_millis(0))));
        sack(&mut sent, (at(60), at(90)));
        assert_eq!(sent.take_newest(), Some((stamp(2), Instant::from_millis(2))));
        acknowledge(&mut sent, at(100));
        assert_eq!(sent.take_newest(), Some((stamp(9), Instant::from_millis(9))));
        assert_eq!(sent.take_newest(), None);
        acknowledge(&mut sent, at(120));
        assert_eq!(sent.take_newest(), Some((stamp(2), Instant::from_millis(2))));
    }
}

/// What is sent again although nothing was lost is no loss, and records from before the controller have no stamp.
#[test]
fn what_the_model_does_not_hear_of() {
    let mut sent = stamped(0);
    sent.mark_all_to_resend();
    assert_eq!((sent.lost().octets(), lost_parts(&mut sent, 0)), (120, vec![]));
    let mut sent = records(0, &[40, 40]);
    sent.mark_first_lost(10);
    sack(&mut sent, range(40, 50));
    assert_eq!((lost_parts(&mut sent, 0), sent.take_newest()), (vec![], None), "nobody wants to know");
    sent.push(record(SeqNumber(80), 40, Instant::from_millis(5)));
    sent.stamp(SeqNumber(80), stamp(5));
    // A controller without a model takes over: the last record has no stamp.
    sent.push(record(SeqNumber(120), 40, Instant::from_millis(6)));
    sent.mark_all_lost();
    let none = RateStamp::default();
    let parts = [(none, 10, 30), (none, 50, 30), (stamp(5), 80, 40), (none, 120, 40)];
    assert_eq!(lost_parts(&mut sent, 0), parts);
    sent.retransmitted(SeqNumber(100), 40, 10, Instant::from_millis(9));
    acknowledge(&mut sent, SeqNumber(150));
    assert_eq!(sent.take_newest(), Some((none, Instant::from_millis(9))));
    sent.clear();
    assert_eq!((sent.take_newest(), lost_parts(&mut sent, 0)), (None, vec![]));
}
