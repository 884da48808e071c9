//! Pacing and the model of the path, by the packet: what a controller that wants both is told, and what leaves when.

use crate::kit;
use std::time::Duration;

use crate::flow::*;
use glasstcp::sim::{Script, Sent};
use glasstcp::stack::TcpHandle;
use glasstcp::tcp::congestion::{Algorithm, Bbr, Rate};
use glasstcp::tcp::recovery::new_reno::Phase;
use glasstcp::time::Instant;
use glasstcp::wire::icmp::IcmpError;
use glasstcp::wire::option::{TcpOptions, Timestamp};
use glasstcp::wire::tcp::Flags;

const SEGMENT: u32 = MSS as u32;
const RTT: Duration = Duration::from_millis(100);

/// A peer with SACK, 100 ms away, and BBR, which knows that from the handshake.
fn bbr() -> (Script, TcpHandle) {
    accepted_over(RTT, SACK, |config| config.tcp.socket.congestion = Algorithm::Bbr)
}

fn model(script: &Script, handle: TcpHandle) -> &Bbr {
    script.stack.tcp_connection(handle).and_then(|connection| connection.congestion.model()).expect("BBR")
}

/// When the segments with text left.
fn times(sent: &[Sent]) -> Vec<Instant> {
    sent.iter().filter(|segment| !segment.text.is_empty()).map(|segment| segment.at).collect()
}

/// The initial window in a round trip, 2.77 times as fast, is the first rate; segments leave as far apart as it says, and a
/// timer is set for nothing else.
#[test]
fn segments_leave_as_far_apart_as_the_rate_says() {
    let (mut script, handle) = bbr();
    let rate = look(&script, handle).pacing_rate.unwrap();
    let nominal = Rate::new(u64::from(10 * SEGMENT), RTT);
    assert!(rate > nominal.times(27, 10) && rate < nominal.times(28, 10), "{rate}");
    let apart = rate.time_for(SEGMENT.into());
    let start = script.now;
    let mut sent = script.send(handle, &text(30 * MSS));
    assert_eq!(sent.len(), 1, "one at once");
    assert_eq!(script.stack.next_deadline(), Some(start + apart));
    sent.extend(script.pass(RTT));
    let times = times(&sent);
    assert_eq!(times, (0..10).map(|number| start + apart * number).collect::<Vec<_>>(), "and cwnd ends it");
    // The whole window took less than a round trip.
    assert!(times[9] < start + RTT / 2);
    // Without a model nothing waits.
    let (mut script, handle) = accepted_over(RTT, SACK, |_| {});
    assert_eq!(octets(&script.send(handle, &text(30 * MSS))), 10 * MSS);
    assert_eq!(look(&script, handle).pacing_rate, None);
}

/// Acknowledgments do not wait for their turn, and the text behind them goes on waiting.
#[test]
fn acknowledgments_are_not_paced() {
    let (mut script, handle) = bbr();
    script.send(handle, &text(3 * MSS));
    let turn = script.stack.next_deadline().unwrap();
    let sent = script.peer_sends(b"x");
    assert!(script.now < turn && sent.len() == 1 && sent[0].text.is_empty(), "{sent:?}");
    assert_eq!(script.receive(handle), b"x");
    script.stack.tcp_close(script.now, handle);
    let sent = script.pass(RTT / 2);
    assert_eq!(times(&sent).first(), Some(&turn));
    assert_eq!((octets(&sent), sent.last().unwrap().flags().contains(Flags::FIN)), (2 * MSS, true), "{sent:?}");
}

/// What is sent again takes its turn like everything else.
#[test]
fn a_retransmission_is_paced() {
    let (mut script, handle) = bbr();
    let start = script.ack;
    script.send(handle, &text(40 * MSS));
    script.pass(RTT);
    let at = |segment: u32| start.wrapping_add(segment * SEGMENT);
    // The second SACK lets something out; in the same moment the first segment is found to be lost.
    let sent = duplicate_ack(&mut script, &[(at(1), at(3))]);
    assert_eq!(sent.len(), 1, "new text: {sent:?}");
    let left_at = script.now;
    let apart = look(&script, handle).pacing_rate.unwrap().time_for(SEGMENT.into());
    let sent = duplicate_ack(&mut script, &[(at(1), at(4))]);
    assert_eq!((sent.len(), look(&script, handle).phase), (0, Phase::FastRecovery));
    assert_eq!(look(&script, handle).lost, SEGMENT);
    let sent = script.pass(apart * 2);
    assert_eq!((sent[0].header.seq, sent[0].at), (start, left_at + apart));
    // Behind it new text: the model decides what may be in flight, not PRR.
    assert!(sent.len() > 1 && sent[1].header.seq == at(11), "{sent:?}");
    assert!(sent[1].at > sent[0].at);
}

/// Where the device cuts, a piece is what the rate moves in a millisecond, in whole segments; also a retransmission.
#[test]
fn pieces_are_no_larger_than_the_quantum() {
    for (round_trip, segments) in [(Duration::from_millis(100), 2), (Duration::from_millis(2), 10)] {
        let (mut script, handle) = accepted_over(round_trip, SACK, |config| {
            config.tcp.socket.congestion = Algorithm::Bbr;
        });
        script.stack.set_offload(65_535, false);
        let sent = script.send(handle, &text(20 * MSS + 100));
        assert_eq!(sent[0].text.len(), segments * MSS, "{round_trip:?}");
        script.pass(round_trip);
        let sent = script.pass(Duration::from_secs(3));
        assert!(sent.iter().all(|segment| segment.text.len() <= segments * MSS), "{sent:?}");
        assert!(look(&script, handle).statistics.timeouts > 0);
    }
}

/// Text that comes a piece at a time says how much the application sends, and not what the path can take; a full queue does.
#[test]
fn an_application_that_has_nothing_to_send_is_found_out() {
    let (mut script, handle) = bbr();
    let mut ack = script.ack;
    for _ in 0..20 {
        script.send(handle, b"x");
        assert!(model(&script, handle).delivery.is_app_limited());
        script.pass(RTT);
        ack = ack.wrapping_add(1);
        script.peer_acks(ack);
    }
    assert_eq!(model(&script, handle).state(), glasstcp::tcp::congestion::BbrState::Startup, "nothing is known");
    // A queue that never runs dry: what was in flight at its beginning is delivered, and the rest counts.
    let now = script.now;
    script.stack.tcp_send(now, handle, &text(100 * MSS)).unwrap();
    script.pass(RTT);
    assert!(model(&script, handle).delivery.is_app_limited(), "it was idle before");
    script.peer_acks(ack.wrapping_add(2 * SEGMENT));
    assert!(!model(&script, handle).delivery.is_app_limited());
    script.pass(RTT);
    script.peer_acks(ack.wrapping_add(8 * SEGMENT));
    assert!(!model(&script, handle).delivery.is_app_limited());
    assert_eq!(model(&script, handle).delivery.delivered(), 20 + u64::from(8 * SEGMENT), "each octet once");
}

/// Each octet is delivered once, whether a block or the number tells first, and a timeout loses what it marks.
#[test]
fn every_octet_is_delivered_once() {
    let (mut script, handle) = bbr();
    let start = script.ack;
    let at = |segment: u32| start.wrapping_add(segment * SEGMENT);
    script.send(handle, &text(10 * MSS));
    script.pass(RTT);
    for (segment, blocks, delivered) in [
        (0, vec![(2, 4)], 2),
        (0, vec![(2, 5)], 3),
        (1, vec![(2, 5)], 4),
        (1, vec![(7, 8), (2, 5)], 5),
        (5, vec![(7, 8)], 6),
        (10, vec![], 10),
    ] {
        script.ack = at(segment);
        let blocks: Vec<_> = blocks.iter().map(|&(left, right)| (at(left), at(right))).collect();
        duplicate_ack(&mut script, &blocks);
        script.pass(Duration::from_millis(20));
        let seen = model(&script, handle).delivery.delivered();
        assert_eq!(seen, u64::from(delivered * SEGMENT), "{segment} {blocks:?}");
    }
    assert_eq!(look(&script, handle).phase, Phase::Open);
}

/// RFC 3522: what an earlier recovery has sent again is acknowledged in a later one. Its echo is older than the later one,
/// and yet nothing was sent for nothing.
#[test]
fn the_echo_of_an_earlier_recovery_proves_nothing() {
    let timestamp = Some(Timestamp { value: 500, echo: 0 });
    let options = TcpOptions { timestamp, ..SACK };
    let (mut script, handle) = accepted_over(RTT, options, |_| {});
    let (start, segment) = (script.ack, look(&script, handle).segment_payload);
    let at = |number: u32| start.wrapping_add(number * segment);
    script.send(handle, &text(60 * segment as usize));
    script.pass(RTT);
    let mut answer = |number: u32, blocks: &[(u32, u32)], echo: Option<u32>| {
        script.ack = at(number);
        let blocks: Vec<_> = blocks.iter().map(|&(left, right)| (at(left), at(right))).collect();
        script.last_tsval = echo.unwrap_or(script.last_tsval);
        let mut sent = duplicate_ack(&mut script, &blocks);
        sent.extend(script.pass(Duration::from_millis(15)));
        let again = sent
            .iter()
            .filter(|sent| sent.header.options.timestamp.is_some())
            .map(|sent| (sent.header.seq.wrapping_sub(start) / segment, sent.header.options.timestamp.unwrap().value));
        (again.collect::<Vec<_>>(), look(&script, handle))
    };
    // Of those in flight 0 and 9 are lost. Before the second one is repaired, so is 12.
    answer(0, &[(1, 2)], None);
    answer(0, &[(1, 3)], None);
    let (sent, _) = answer(0, &[(1, 4)], None);
    assert_eq!(sent[0].0, 0);
    answer(0, &[(1, 9)], None);
    let (sent, _) = answer(0, &[(10, 11), (1, 9)], None);
    assert_eq!(sent[0].0, 9);
    answer(9, &[(10, 12)], None);
    let (sent, now) = answer(9, &[(13, 14), (10, 12)], None);
    assert_eq!((sent[0].0, now.phase), (12, Phase::FastRecovery), "{sent:?}");
    let echo = sent[0].1;
    let (_, now) = answer(12, &[(13, 15)], None);
    assert_eq!((now.phase, now.lost), (Phase::Open, 0), "the first is over");
    // Another loss begins a second recovery before the one of 12 is repaired.
    let (sent, now) = answer(12, &[(16, 17), (13, 15)], None);
    assert_eq!((sent[0].0, now.phase), (15, Phase::FastRecovery), "the second");
    let (_, now) = answer(15, &[(16, 17)], Some(echo));
    assert_eq!((now.phase, now.statistics.spurious), (Phase::FastRecovery, 0));
    // And the echo of its own repair is no proof either.
    let (_, now) = answer(21, &[], Some(sent[0].1));
    assert_eq!((now.phase, now.statistics.spurious), (Phase::Open, 0));
}

/// An application whose last text is on its way limits what is sent, also where nothing but ACKs come from then on: by number,
/// or by blocks alone.
#[test]
fn an_application_that_has_sent_its_last_is_found_out() {
    for blocks in [false, true] {
        let (mut script, handle) = bbr();
        let start = script.ack;
        let at = |segment: u32| start.wrapping_add(segment * SEGMENT);
        script.send(handle, &text(8 * MSS));
        script.pass(RTT);
        if blocks {
            duplicate_ack(&mut script, &[(at(1), at(3))]);
        } else {
            script.peer_acks(at(2));
        }
        let delivery = &model(&script, handle).delivery;
        assert_eq!((delivery.delivered(), delivery.is_app_limited()), (u64::from(2 * SEGMENT), true), "{blocks}");
    }
}

/// What is lost is told to the model with the sign that shows it, by SACK or by a timeout, each octet once.
#[test]
fn every_octet_is_lost_once() {
    let (mut script, handle) = bbr();
    let start = script.ack;
    let at = |segment: u32| start.wrapping_add(segment * SEGMENT);
    let lost = |script: &Script| model(script, handle).delivery.lost();
    script.send(handle, &text(10 * MSS));
    script.pass(RTT);
    duplicate_ack(&mut script, &[(at(2), at(4))]);
    assert_eq!(lost(&script), 0);
    duplicate_ack(&mut script, &[(at(2), at(5))]);
    assert_eq!((lost(&script), look(&script, handle).phase), (u64::from(2 * SEGMENT), Phase::FastRecovery));
    while look(&script, handle).statistics.timeouts == 0 {
        script.pass(Duration::from_millis(1));
    }
    // All but what is SACKed: those two once more, and the five behind.
    assert_eq!(lost(&script), u64::from(9 * SEGMENT));
}

/// 1191-6.4: what was too large for the path is sent again, and is no loss by which the model would judge it.
#[test]
fn what_is_too_large_is_no_loss() {
    let (mut script, handle) = bbr();
    let sent = script.send(handle, &text(10 * MSS));
    script.pass(RTT);
    let error = IcmpError::PacketTooBig { mtu: 1_000 };
    let error = kit::icmp_error("192.0.2.9".parse().unwrap(), &sent[0].packet, error);
    assert_eq!(kit::give(&mut script, &error), None);
    let again = script.pass(RTT);
    assert!(again.len() > 5 && again.iter().all(|segment| segment.text.len() <= 960), "{again:?}");
    while look(&script, handle).statistics.timeouts == 0 {
        script.pass(Duration::from_millis(1));
    }
    let (lost, flight) = (model(&script, handle).delivery.lost(), look(&script, handle).flight);
    assert!((1..=flight.into()).contains(&lost), "by the timeout alone, each octet once: {lost} of {flight}");
}
