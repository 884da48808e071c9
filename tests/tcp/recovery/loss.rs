//! Loss recovery and congestion control (RFC 5681, RFC 6582, RFC 3042, RFC 6928).

use crate::flow::*;
use glasstcp::config::Config;
use glasstcp::device::impair::Impairment;
use glasstcp::sim::{Script, Sent, Side};
use glasstcp::stack::TcpHandle;
use glasstcp::tcp::congestion::Algorithm;
use glasstcp::tcp::recovery::new_reno::Phase;
use glasstcp::tcp::state::State;
use glasstcp::wire::option::TcpOptions;
use glasstcp::wire::tcp::{Flags, TcpHeader};

const SEGMENT: u32 = MSS as u32;

/// The numbers here are those of RFC 5681; CUBIC's own are in the tests of its file.
fn reno(config: &mut Config) {
    config.tcp.socket.congestion = Algorithm::Reno;
}

/// A connection with ten segments in flight and as much again as `queued` octets behind them; and where they begin.
fn ten_in_flight(queued: usize) -> (Script, TcpHandle, u32) {
    let (mut script, handle) = accepted(reno);
    let start = script.ack;
    let sent = script.send(handle, &text(10 * MSS + queued));
    assert_eq!(octets(&sent), 10 * MSS);
    (script, handle, start)
}

fn phase(script: &Script, handle: TcpHandle) -> Phase {
    script.stack.tcp_connection(handle).unwrap().recovery.phase
}

/// 5681-3.2-2, 5681-3.2-3, 5681-3.2-4, 5681-3.2-5, 3042-2: one loss of ten, without SACK, by the numbers.
#[test]
fn fast_retransmit_and_fast_recovery() {
    let (mut script, handle, start) = ten_in_flight(20 * MSS);
    // Limited transmit: one new segment for each of the first two duplicates, and cwnd stays.
    for number in 10..12 {
        let sent = duplicate_ack(&mut script, &[]);
        assert_eq!((sent.len(), sent[0].header.seq), (1, start.wrapping_add(number * SEGMENT)));
        let look = look(&script, handle);
        assert_eq!((look.cwnd, look.flight), (10 * SEGMENT, (number + 1) * SEGMENT));
    }
    // The third repeats the first segment, at once; ssthresh is half of what was in flight without those two.
    let sent = duplicate_ack(&mut script, &[]);
    assert_eq!((sent.len(), sent[0].header.seq, sent[0].text.len()), (1, start, MSS));
    assert_eq!((look(&script, handle).cwnd, look(&script, handle).ssthresh), (5 * SEGMENT, 5 * SEGMENT));
    // cwnd counts as three segments larger, and one more with each further duplicate: at the eighth, there is room.
    let counts: Vec<usize> = (4..=11).map(|_| duplicate_ack(&mut script, &[]).len()).collect();
    assert_eq!(counts, [0, 0, 0, 0, 1, 1, 1, 1]);
    // The ACK of all that was sent before deflates it again.
    script.now += ms(50);
    let sent = script.peer_acks(start.wrapping_add(12 * SEGMENT));
    assert_eq!((look(&script, handle).cwnd, phase(&script, handle)), (5 * SEGMENT, Phase::Open));
    assert_eq!(sent.len(), 1, "five segments in flight");
    assert_eq!(look(&script, handle).statistics.timeouts, 0);
}

/// 3042-2: limited transmit obeys the peer's window.
#[test]
fn limited_transmit_stays_inside_the_window() {
    let mut script = Script::new();
    script.window = 10 * SEGMENT as u16;
    let handle = script.accept();
    assert_eq!(octets(&script.send(handle, &text(20 * MSS))), 10 * MSS);
    assert!(duplicate_ack(&mut script, &[]).is_empty());
    assert!(duplicate_ack(&mut script, &[]).is_empty());
    assert_eq!(duplicate_ack(&mut script, &[]).len(), 1, "the retransmission");
}

/// 5681-2-2, pitfall 33: what is not a duplicate ACK by all five conditions counts for nothing.
#[test]
fn only_true_duplicates_count() {
    type Change = fn(&mut TcpHeader, u32) -> usize;
    let cases: [(&str, Change); 5] = [
        ("another window", |header, round| {
            header.window = 30_000 + round as u16;
            0
        }),
        ("text", |header, round| {
            header.seq = header.seq.wrapping_add(10 * round);
            10
        }),
        ("a FIN", |header, _| {
            header.flags |= Flags::FIN;
            header.seq = header.seq.wrapping_add(100);
            0
        }),
        ("a SYN", |header, _| {
            header.flags |= Flags::SYN;
            0
        }),
        ("an older number", |header, _| {
            header.ack = header.ack.wrapping_sub(1_460);
            0
        }),
    ];
    for (name, change) in cases {
        let (mut script, handle, start) = ten_in_flight(0);
        script.peer_acks(start.wrapping_add(SEGMENT));
        for round in 0..6 {
            let mut header = script.header(Flags::ACK);
            let len = change(&mut header, round);
            let sent = script.inject(&header, &text(len));
            assert!(octets(&sent) == 0, "{name}: {sent:?}");
        }
        let look = look(&script, handle);
        assert_eq!((look.statistics.retransmits, phase(&script, handle)), (0, Phase::Open), "{name}");
        let inflation = script.stack.tcp_connection(handle).unwrap().recovery.inflation();
        assert_eq!(inflation, 0, "{name}");
    }
    // And nothing counts while nothing is outstanding.
    let (mut script, handle) = accepted(|_| {});
    for _ in 0..6 {
        assert!(duplicate_ack(&mut script, &[]).is_empty());
    }
    assert_eq!(octets(&script.send(handle, &text(20 * MSS))), 10 * MSS);
}

/// 5681-3.2-3: with SACK a duplicate counts only if it reports something beyond the gap.
#[test]
fn with_sack_a_duplicate_needs_a_reason() {
    let (mut script, handle) = accepted_over(ms(20), SACK, |_| {});
    let start = script.ack;
    script.send(handle, &text(30 * MSS));
    script.now += ms(20);
    for _ in 0..5 {
        assert!(duplicate_ack(&mut script, &[]).is_empty(), "a challenge, a keep-alive, an old segment");
        // A D-SACK: something arrived twice, nothing is missing.
        assert!(duplicate_ack(&mut script, &[(start.wrapping_sub(10), start)]).is_empty());
    }
    for number in 2..5 {
        let block = (start.wrapping_add(SEGMENT), start.wrapping_add(number * SEGMENT));
        let sent = duplicate_ack(&mut script, &[block]);
        assert_eq!(sent.len(), 1, "{number}");
    }
    assert_eq!(look(&script, handle).statistics.retransmits, 1);
}

/// Loses the first transmission of each of these data segments, counted from the first one sent.
fn lose_segments(flow: &mut Flow, victims: &'static [u64]) -> Log {
    let (mut number, mut highest): (u64, Option<u32>) = (0, None);
    tap(&mut flow.world, Side::A, move |seen| {
        let end = seen.header.seq.wrapping_add(seen.len as u32);
        let new = seen.len > 0 && highest.is_none_or(|highest| (end.wrapping_sub(highest) as i32) > 0);
        if !new {
            return false;
        }
        highest = Some(end);
        number += 1;
        victims.contains(&(number - 1))
    })
}

/// 6582-3.2-2, 5681-4.3-1: several losses in one window are repaired without the timer and for one reduction.
#[test]
fn losses_in_one_window_need_no_timeout() {
    for victims in [&[30][..], &[30, 34, 38], &[30, 31, 32], &[25, 28, 31, 34], &[30, 31, 32, 33, 34]] {
        for (sack, timestamps) in [(false, false), (false, true), (true, false), (true, true)] {
            let link = Impairment::perfect().delay(ms(10)).rate(50_000_000);
            let mut flow = Flow::open(link, 1, |config| {
                config.tcp.sack = sack;
                config.tcp.timestamps = timestamps;
            });
            // A quarter of a million octets: the losses are in the second and third round.
            let victims: &'static [u64] = Box::leak(victims.to_vec().into_boxed_slice());
            lose_segments(&mut flow, victims);
            let client = flow.client;
            let mut thresholds = Vec::new();
            let done = flow.transfer(250_000, secs(20), |world| {
                let look = world.stack(Side::A).tcp_snapshot(client).unwrap();
                if thresholds.last() != Some(&look.ssthresh) {
                    thresholds.push(look.ssthresh);
                }
            });
            assert!(done, "{victims:?} sack {sack}");
            let look = flow.client();
            assert_eq!(look.statistics.timeouts, 0, "{victims:?} sack {sack} timestamps {timestamps}");
            assert_eq!(look.statistics.retransmits as usize, victims.len(), "{victims:?} sack {sack}");
            assert_eq!(thresholds.len(), 2, "one reduction: {thresholds:?}");
        }
    }
}

/// 6582-3.2-2: partial ACKs by the numbers: the next hole at once, deflated by what was acknowledged, one segment back.
#[test]
fn a_partial_ack_repairs_the_next_hole() {
    let (mut script, handle, start) = ten_in_flight(0);
    // Segments 0, 3 and 6 are lost; seven duplicates arrive.
    for _ in 0..7 {
        duplicate_ack(&mut script, &[]);
    }
    let inflation = |script: &Script| script.stack.tcp_connection(handle).unwrap().recovery.inflation();
    assert_eq!(inflation(&script), 7 * SEGMENT as i32);
    for (acked, deflated) in [(3, 5), (6, 3)] {
        script.now += ms(20);
        let sent = script.peer_acks(start.wrapping_add(acked * SEGMENT));
        assert_eq!((sent.len(), sent[0].header.seq), (1, start.wrapping_add(acked * SEGMENT)));
        assert_eq!((inflation(&script), phase(&script, handle)), (deflated * SEGMENT as i32, Phase::FastRecovery));
    }
    script.peer_acks(start.wrapping_add(10 * SEGMENT));
    assert_eq!((inflation(&script), phase(&script, handle)), (0, Phase::Open));
    assert_eq!(look(&script, handle).statistics.retransmits, 3);
}

/// 6582-3.2-3: the first partial ACK starts the timer afresh, the next ones do not; but what was repeated for them has its
/// RTO before it is repeated again.
#[test]
fn the_timer_in_recovery() {
    let (mut script, handle, start) = ten_in_flight(0);
    for _ in 0..3 {
        duplicate_ack(&mut script, &[]);
    }
    script.now += ms(20);
    script.peer_acks(start.wrapping_add(2 * SEGMENT));
    let rto = look(&script, handle).rto;
    let first = script.now + rto;
    assert_eq!(retransmit_at(&script, handle), Some(first));
    script.now += ms(20);
    script.peer_acks(start.wrapping_add(4 * SEGMENT));
    assert_eq!(retransmit_at(&script, handle), Some(first));
    let repeated = script.now;
    let sent = script.pass(secs(1));
    assert_eq!(sent[0].header.seq, start.wrapping_add(4 * SEGMENT));
    assert!(sent[0].at >= repeated + rto, "{:?} after {repeated:?}", sent[0].at);
}

/// 6582-3.2-4, 6582-3.2-1: a timeout ends recovery, and the duplicates of that window start no new one.
#[test]
fn after_a_timeout_old_duplicates_mean_nothing() {
    let (mut script, handle, start) = ten_in_flight(0);
    for _ in 0..3 {
        duplicate_ack(&mut script, &[]);
    }
    script.pass(ms(450));
    assert_eq!(phase(&script, handle), Phase::Timeout);
    let before = look(&script, handle);
    assert_eq!((before.cwnd, before.statistics.timeouts), (SEGMENT, 1));
    for _ in 0..5 {
        assert!(duplicate_ack(&mut script, &[]).is_empty());
    }
    assert_eq!(look(&script, handle).ssthresh, before.ssthresh);
    // Only the first segment was lost after all. The others are sent again all the same, and each of them draws a
    // duplicate ACK of everything: no sign of a loss among what is sent then.
    script.now += ms(20);
    script.send(handle, &text(10 * MSS));
    let sent = script.peer_acks(start.wrapping_add(10 * SEGMENT));
    assert!(!sent.is_empty() && sent[0].header.seq == start.wrapping_add(10 * SEGMENT));
    let before = look(&script, handle);
    for _ in 0..5 {
        duplicate_ack(&mut script, &[]);
    }
    let after = look(&script, handle);
    assert_eq!((after.statistics.retransmits, after.ssthresh), (before.statistics.retransmits, before.ssthresh));
    // Once something new is acknowledged, they count again.
    script.peer_acks(start.wrapping_add(11 * SEGMENT));
    for _ in 0..3 {
        duplicate_ack(&mut script, &[]);
    }
    assert_eq!(look(&script, handle).statistics.retransmits, before.statistics.retransmits + 1);
}

/// 5681-4.3-1, 5681-3.1-8: the retransmission is lost, too: a second reduction.
#[test]
fn a_lost_retransmission_reduces_again() {
    let (mut script, handle, start) = ten_in_flight(0);
    for _ in 0..3 {
        duplicate_ack(&mut script, &[]);
    }
    assert_eq!(look(&script, handle).ssthresh, 5 * SEGMENT);
    // Two more rounds of new data in recovery, and the first segment never arrives.
    script.send(handle, &text(20 * MSS));
    for _ in 0..6 {
        duplicate_ack(&mut script, &[]);
    }
    let flight = look(&script, handle).flight;
    script.pass(ms(500));
    let look = look(&script, handle);
    assert_eq!((look.cwnd, look.statistics.timeouts), (SEGMENT, 1));
    assert!(look.ssthresh <= (flight / 2).max(2 * SEGMENT), "{} of {flight}", look.ssthresh);
    // By the letter the loss of what was sent by the timer leaves it as it is.
    let before = look.ssthresh;
    script.pass(secs(3));
    assert_eq!(script.stack.tcp_snapshot(handle).unwrap().ssthresh, before);
    assert_eq!(script.ack, start);
}

/// The peer acknowledges each segment in flight by itself; what leaves in answer.
fn round(script: &mut Script, handle: TcpHandle) -> Vec<Sent> {
    let mut sent = Vec::new();
    let una = script.ack;
    let flight = look(script, handle).flight;
    for at in 1..=flight.div_ceil(SEGMENT) {
        sent.extend(script.peer_acks(una.wrapping_add((at * SEGMENT).min(flight))));
    }
    sent
}

/// A connection whose cwnd has grown to so many segments or more, in slow start, with nothing in flight.
fn grown_to(segments: u32) -> (Script, TcpHandle) {
    let mut script = Script::with(reno);
    let handle = script.accept_with(TcpOptions { mss: Some(1_460), window_scale: Some(7), ..TcpOptions::default() });
    while look(&script, handle).cwnd < segments * SEGMENT {
        let cwnd = look(&script, handle).cwnd;
        script.send(handle, &text(cwnd as usize));
        script.now += ms(20);
        round(&mut script, handle);
    }
    assert_eq!((look(&script, handle).flight, look(&script, handle).unsent), (0, 0));
    (script, handle)
}

/// 9293-MUST-19, 5681-3.1-1, 5681-3.1-7, 8961-4.3, 5681-3.1-9: slow start, timeout, slow start, avoidance.
#[test]
fn the_trace_of_the_congestion_window() {
    let mut script = Script::with(|config| {
        reno(config);
        config.tcp.send_capacity = Some(1 << 20);
    });
    let handle = script.accept_with(TcpOptions { mss: Some(1_460), window_scale: Some(7), ..TcpOptions::default() });
    script.send(handle, &text(1 << 20));
    let cwnd = |script: &Script| look(script, handle).cwnd / SEGMENT;
    let mut trace = vec![cwnd(&script)];
    for _ in 0..3 {
        script.now += ms(20);
        round(&mut script, handle);
        trace.push(cwnd(&script));
    }
    assert_eq!(trace, [10, 20, 40, 80]);
    // Everything in flight is lost.
    let flight = look(&script, handle).flight;
    assert_eq!(flight, 80 * SEGMENT);
    let again = script.pass(ms(250));
    assert_eq!(again.len(), 1);
    assert_eq!((cwnd(&script), look(&script, handle).ssthresh), (1, 40 * SEGMENT));
    // A late duplicate: the loss was real, and F-RTO sends nothing new to find that out.
    assert!(duplicate_ack(&mut script, &[]).is_empty());
    let mut trace = Vec::new();
    let (mut una, mut out) = (script.ack, 1);
    for _ in 0..14 {
        // What has been sent again in this round is acknowledged, segment by segment.
        script.now += ms(20);
        let mut sent = 0;
        for _ in 0..out {
            una = una.wrapping_add(SEGMENT);
            sent += script.peer_acks(una).len();
        }
        out = sent;
        trace.push(cwnd(&script));
    }
    assert_eq!(trace[..6], [2, 4, 8, 16, 32, 40]);
    assert!(trace[6..].windows(2).all(|pair| pair[1] - pair[0] <= 1) && trace[13] >= 44, "{trace:?}");
}

/// 5681-3.1-2, 5681-3.1-5, 6928-2-1: the handshake leaves the initial window as it is, on both sides, and the threshold as
/// high as can be.
#[test]
fn the_initial_window_is_ten_segments() {
    for (mss, window) in [(1_460, 14_600), (1_000, 10_000), (536, 5_360), (100, 1_000)] {
        let options = TcpOptions { mss: Some(mss), ..TcpOptions::default() };
        let mut script = Script::new();
        let handle = script.accept_with(options);
        assert_eq!((look(&script, handle).cwnd, look(&script, handle).ssthresh), (window, u32::MAX));
        assert_eq!(octets(&script.send(handle, &text(50_000))), window as usize);

        let mut script = Script::new();
        let (handle, _) = script.connect();
        let header = TcpHeader { options, ..script.header(Flags::SYN | Flags::ACK) };
        script.seq += 1;
        script.inject(&header, &[]);
        assert_eq!((look(&script, handle).cwnd, look(&script, handle).ssthresh), (window, u32::MAX));
        assert_eq!(octets(&script.send(handle, &text(50_000))), window as usize);
    }
}

/// 5681-3.1-3, 6928-2-2: more than one loss of the SYN, or of the SYN-ACK, makes it one segment; a single one does not.
#[test]
fn lost_syns_make_the_start_slow() {
    for (losses, window) in [(0, 10 * MSS), (1, 10 * MSS), (2, MSS), (3, MSS)] {
        let options = TcpOptions { mss: Some(1_460), ..TcpOptions::default() };
        let mut script = Script::new();
        let (handle, _) = script.connect();
        let pause = secs((1 << losses) - 1);
        assert_eq!(script.pass(pause).len(), losses as usize);
        let header = TcpHeader { options, ..script.header(Flags::SYN | Flags::ACK) };
        script.seq += 1;
        script.inject(&header, &[]);
        assert_eq!(octets(&script.send(handle, &text(50_000))), window, "{losses}");

        let mut script = Script::with(|config| config.tcp.socket.congestion = Algorithm::Bbr);
        let (handle, _) = script.connect();
        script.pass(pause);
        script.seq += 1;
        script.inject(&header, &[]);
        assert_eq!(look(&script, handle).cwnd as usize, window, "BBR, {losses}");

        let mut script = Script::new();
        let listener = script.listen();
        script.peer_syn(options);
        assert_eq!(script.pass(pause).len(), losses as usize);
        let header = script.header(Flags::ACK);
        script.inject(&header, &[]);
        let (handle, _) = script.stack.tcp_accept(listener).unwrap();
        assert_eq!(octets(&script.send(handle, &text(50_000))), window, "{losses}");
    }
}

/// 5681-3.1-8, pitfall 34: ssthresh comes from what was in flight, not from a cwnd that the application did not use.
#[test]
fn an_unused_window_does_not_decide_ssthresh() {
    let (mut script, handle) = grown_to(80);
    script.send(handle, &text(8 * MSS));
    script.pass(ms(300));
    let look = look(&script, handle);
    assert_eq!((look.cwnd, look.ssthresh), (SEGMENT, 4 * SEGMENT));
}

/// 5681-3.1-8: at least two segments.
#[test]
fn ssthresh_is_never_below_two_segments() {
    let (mut script, handle) = accepted(|_| {});
    script.send(handle, b"x");
    script.pass(ms(300));
    assert_eq!(look(&script, handle).ssthresh, 2 * SEGMENT);
}

/// 5681-3.1-6, pitfall 34: dividing one ACK into a thousand gains nothing.
#[test]
fn divided_acks_gain_nothing() {
    let (mut script, handle, start) = ten_in_flight(0);
    for octet in 1..=SEGMENT {
        script.peer_acks(start.wrapping_add(octet));
    }
    assert_eq!(look(&script, handle).cwnd, 11 * SEGMENT);
}

/// 5681-4.1: after an idle time longer than the RTO the burst is an initial window.
#[test]
fn idleness_brings_back_the_restart_window() {
    for (pause, burst) in [(ms(100), None), (secs(5), Some(10))] {
        let (mut script, handle) = grown_to(80);
        let cwnd = look(&script, handle).cwnd as usize;
        script.now += pause;
        let sent = script.send(handle, &text(cwnd + MSS));
        assert_eq!(octets(&sent) / MSS, burst.unwrap_or(cwnd / MSS), "{pause:?}");
    }
}

/// 2018-5, 2018-8: a peer that had reported everything forgets it; nothing was given up for its report.
#[test]
fn a_reneging_peer_gets_everything_again() {
    let (mut script, handle) = accepted_with_sack(|_| {});
    let start = script.ack;
    let data = text(10 * MSS);
    script.send(handle, &data);
    let all = (start.wrapping_add(SEGMENT), start.wrapping_add(10 * SEGMENT));
    duplicate_ack(&mut script, &[all]);
    assert_eq!(look(&script, handle).flight, 10 * SEGMENT);
    let mut got = Vec::new();
    let mut una = start;
    let mut sent = script.pass(ms(250));
    while !sent.is_empty() && got.len() < data.len() {
        for segment in std::mem::take(&mut sent) {
            if segment.header.seq == una {
                una = una.wrapping_add(segment.text.len() as u32);
                got.extend(segment.text);
                sent.extend(script.peer_acks(una));
            }
        }
        if sent.is_empty() {
            sent = script.pass(ms(2_000));
        }
    }
    assert!(got == data);
}

/// 9293-MUST-19: whatever the link does, the stream arrives; without SACK and with it.
#[test]
fn bad_links_are_survived() {
    for seed in 0..8 {
        let link = Impairment::perfect()
            .delay(ms(15))
            .jitter(ms(5))
            .loss(100_000)
            .duplicate(20_000)
            .reorder(50_000, ms(10))
            .corrupt(10_000);
        let mut flow = Flow::open(link, seed, |config| {
            config.tcp.sack = seed % 2 == 0;
            config.tcp.timestamps = seed % 4 < 2;
        });
        assert!(flow.transfer(200_000, secs(1_000), |_| {}), "seed {seed}: {:?}", flow.client());
        assert_eq!(flow.client().state, State::Established);
    }
}
