//! Explicit congestion notification (RFC 3168), both roles, by the packet.

use crate::flow::*;
use glasstcp::config::Config;
use glasstcp::error::SocketError;
use glasstcp::sim::{Script, Sent};
use glasstcp::stack::TcpHandle;
use glasstcp::tcp::congestion::Algorithm;
use glasstcp::tcp::ecn::{CE, ECT_0, EcnMode, NOT_ECT};
use glasstcp::tcp::recovery::new_reno::Phase;
use glasstcp::tcp::state::State;
use glasstcp::wire::option::TcpOptions;
use glasstcp::wire::tcp::{Flags, TcpHeader};
use std::time::Duration;

const NONE: Flags = Flags(0);
const ECE: Flags = Flags::ECE;
const CWR: Flags = Flags::CWR;
const SEGMENT: u32 = MSS as u32;

/// The two bits of a segment.
fn bits(sent: &Sent) -> Flags {
    Flags(sent.flags().0 & (ECE | CWR).0)
}

fn mode(mode: EcnMode) -> impl Fn(&mut Config) {
    move |config| {
        config.tcp.ecn = mode;
        config.tcp.socket.congestion = Algorithm::Reno;
    }
}

/// A SYN with these bits comes to a listener; what the SYN,ACK answers, and the connection.
fn accept(script: &mut Script, asking: Flags) -> (Flags, TcpHandle) {
    let listener = script.listen();
    let options = TcpOptions { mss: Some(1_460), sack_permitted: true, ..TcpOptions::default() };
    let header = TcpHeader { options, ..script.header(Flags::SYN | asking) };
    let sent = script.inject(&header, &[]);
    script.seq = script.seq.wrapping_add(1);
    script.ack = sent[0].header.seq.wrapping_add(1);
    assert_eq!((sent.len(), sent[0].ecn()), (1, NOT_ECT), "3168-6.1.1-2: never on a SYN,ACK");
    script.now += ms(20);
    let header = script.header(Flags::ACK);
    script.inject(&header, &[]);
    (bits(&sent[0]), script.stack.tcp_accept(listener).unwrap().0)
}

/// A connection on which both sides do ECN, taken by a listener.
fn accepted_with_ecn() -> (Script, TcpHandle) {
    let mut script = Script::with(mode(EcnMode::Accept));
    let (answer, handle) = accept(&mut script, ECE | CWR);
    assert_eq!(answer, ECE);
    (script, handle)
}

/// An ACK of the peer with these bits besides.
fn ack_with(script: &mut Script, ack: u32, bits: Flags) -> Vec<Sent> {
    script.ack = ack;
    let header = script.header(Flags::ACK | bits);
    script.inject(&header, &[])
}

fn window(script: &Script, handle: TcpHandle) -> u32 {
    look(script, handle).cwnd
}

/// 3168-6.1.1-1, 3168-6.1.1-2, 9293-SHLD-8: what a SYN asks for and what it gets.
#[test]
fn a_listener_does_it_with_those_who_ask() {
    for ours in [EcnMode::Off, EcnMode::Accept, EcnMode::Request] {
        for asking in [NONE, ECE, CWR, ECE | CWR] {
            let mut script = Script::with(mode(ours));
            let (answer, handle) = accept(&mut script, asking);
            let agreed = ours != EcnMode::Off && asking == ECE | CWR;
            assert_eq!(answer, if agreed { ECE } else { NONE }, "{ours:?}, asked with {asking}");
            let sent = script.send(handle, b"text");
            assert_eq!(sent[0].ecn(), if agreed { ECT_0 } else { NOT_ECT });
            assert_eq!(bits(&sent[0]), NONE);
            // A mark where nothing was agreed on is nothing.
            script.ecn = CE;
            script.now += ms(100);
            let sent = script.peer_sends(b"answer");
            let sent = if sent.is_empty() { script.pass(ms(100)) } else { sent };
            assert_eq!(bits(&sent[0]), if agreed { ECE } else { NONE });
        }
    }
}

/// 3168-6.1.1-1, 3168-6.1.1-2
#[test]
fn our_syn_asks_where_it_is_told_to() {
    for ours in [EcnMode::Off, EcnMode::Accept, EcnMode::Request] {
        for answer in [NONE, ECE, CWR, ECE | CWR] {
            let mut script = Script::with(mode(ours));
            let (handle, syn) = script.connect();
            let asks = ours == EcnMode::Request;
            assert_eq!((bits(&syn), syn.ecn()), (if asks { ECE | CWR } else { NONE }, NOT_ECT));
            let options = TcpOptions { mss: Some(1_460), ..TcpOptions::default() };
            let header = TcpHeader { options, ..script.header(Flags::SYN | Flags::ACK | answer) };
            script.seq = script.seq.wrapping_add(1);
            let sent = script.inject(&header, &[]);
            assert_eq!((bits(&sent[0]), sent[0].ecn()), (NONE, NOT_ECT), "the last ACK of the handshake");
            let agreed = asks && answer == ECE;
            let sent = script.send(handle, b"text");
            assert_eq!(sent[0].ecn(), if agreed { ECT_0 } else { NOT_ECT }, "{ours:?}, answered with {answer}");
        }
    }
}

/// 3168-6.1.1.1: on a path that drops SYNs which ask, the second one does not; nor does a listener insist.
#[test]
fn a_syn_that_gets_no_answer_comes_again_without() {
    let mut script = Script::with(mode(EcnMode::Request));
    let (_, syn) = script.connect();
    assert_eq!(bits(&syn), ECE | CWR);
    let again = script.pass(secs(2));
    assert_eq!((again[0].flags(), bits(&again[0])), (Flags::SYN, NONE));

    let mut script = Script::with(mode(EcnMode::Accept));
    script.listen();
    let header = script.header(Flags::SYN | ECE | CWR);
    assert_eq!(bits(&script.inject(&header, &[])[0]), ECE);
    let header = script.header(Flags::SYN);
    let sent = script.inject(&header, &[]);
    assert_eq!((sent[0].flags(), bits(&sent[0])), (Flags::SYN | Flags::ACK, NONE));
}

/// 3168-6.1.1.1: on a path that refuses SYNs which ask, the second one, at once, does not; a RST for that one is the end.
#[test]
fn a_syn_that_is_refused_comes_again_without() {
    for refused in [false, true] {
        let mut script = Script::with(mode(EcnMode::Request));
        let (handle, syn) = script.connect();
        assert_eq!(bits(&syn), ECE | CWR);
        let rst = script.header(Flags::RST | Flags::ACK);
        let again = script.inject(&rst, &[]);
        assert_eq!((again.len(), again[0].flags(), again[0].header.seq), (1, Flags::SYN, syn.header.seq));
        assert_eq!(script.stack.tcp_state(handle), Some(State::SynSent));
        if refused {
            assert!(script.inject(&rst, &[]).is_empty());
            assert_eq!(script.stack.tcp_error(handle), Some(SocketError::Refused));
            assert!(script.pass(secs(100)).is_empty());
        } else {
            let options = TcpOptions { mss: Some(1_460), ..TcpOptions::default() };
            let header = TcpHeader { options, ..script.header(Flags::SYN | Flags::ACK) };
            script.seq = script.seq.wrapping_add(1);
            script.inject(&header, &[]);
            assert_eq!(script.stack.tcp_state(handle), Some(State::Established));
            assert_eq!(script.send(handle, b"text")[0].ecn(), NOT_ECT);
        }
    }
}

/// Where the SYN queue is full, the cookie remembers nothing of it.
#[test]
fn a_cookie_agrees_on_nothing() {
    let mut script = Script::with(|config| {
        mode(EcnMode::Accept)(config);
        config.tcp.max_half_open = 0;
    });
    let (answer, handle) = accept(&mut script, ECE | CWR);
    assert_eq!(answer, NONE);
    assert_eq!(script.stack.counters().cookies_valid, 1);
    assert_eq!(script.send(handle, b"text")[0].ecn(), NOT_ECT);
}

/// 3168-6.1.3, 3168-6.1.4
#[test]
fn a_mark_is_echoed_on_every_ack_until_the_peer_has_slowed_down() {
    let (mut script, handle) = accepted_with_ecn();
    script.ecn = ECT_0;
    let sent = script.peer_sends(&text(MSS));
    assert_eq!((bits(&sent[0]), sent[0].ecn()), (NONE, NOT_ECT));
    script.ecn = CE;
    let sent = script.peer_sends(&text(MSS));
    assert_eq!((bits(&sent[0]), sent[0].ecn()), (ECE, NOT_ECT), "at once");
    script.ecn = ECT_0;
    for _ in 0..5 {
        let sent = script.peer_sends(&text(MSS));
        assert_eq!((bits(&sent[0]), sent[0].ecn()), (ECE, NOT_ECT));
    }
    let sent = script.send(handle, b"text acknowledges too");
    assert_eq!((bits(&sent[0]), sent[0].ecn()), (ECE, ECT_0));
    // The peer says that it has slowed down; on a segment that was marked itself, that begins anew.
    for (ecn, echo) in [(CE, ECE), (ECT_0, NONE)] {
        script.ecn = ecn;
        let header = script.header(Flags::ACK | CWR);
        script.seq = script.seq.wrapping_add(SEGMENT);
        assert_eq!(bits(&script.inject(&header, &text(MSS))[0]), echo);
    }
}

/// 3168-6.1.5: what was marked outside of the window says nothing of this connection.
#[test]
fn a_mark_outside_of_the_window_is_ignored() {
    let (mut script, _) = accepted_with_ecn();
    script.ecn = NOT_ECT;
    script.peer_sends(&text(MSS));
    script.ecn = CE;
    for offset in [(1_u32 << 30).wrapping_neg(), SEGMENT.wrapping_neg(), 1 << 30] {
        let sent = peer_sends_at(&mut script, offset, &text(100));
        assert_eq!(bits(&sent[0]), NONE, "{offset}");
    }
    let sent = script.peer_sends(&text(100));
    assert_eq!(bits(&sent[0]), ECE);
}

/// 3168-6.1.2-1, 3168-6.1.2-3, 3168-5: as for a loss, once per window, told once, and nothing is sent again.
#[test]
fn an_echo_halves_the_window_once() {
    let (mut script, handle) = accepted_with_ecn();
    let start = script.ack;
    let sent = script.send(handle, &text(60 * MSS));
    assert!(sent.len() == 10 && sent.iter().all(|segment| segment.ecn() == ECT_0 && bits(segment) == NONE));
    script.now += ms(50);
    // Ten in flight, one acknowledged with the echo: no growth, and half of them.
    let sent = ack_with(&mut script, start.wrapping_add(SEGMENT), ECE);
    assert_eq!(window(&script, handle), 5 * SEGMENT);
    assert!(sent.is_empty(), "more is in flight than the window allows");
    assert_eq!(script.stack.counters().ecn_reductions, 1);
    // The echo goes on for this round trip: nothing more is taken away, and nothing grows.
    let mut told = Vec::new();
    for segments in 2..=10 {
        let sent = ack_with(&mut script, start.wrapping_add(segments * SEGMENT), ECE);
        told.extend(sent.iter().map(bits));
        assert_eq!(window(&script, handle), 5 * SEGMENT);
    }
    assert_eq!(
        (told[0], told[1..].iter().all(|&bits| bits == NONE)),
        (CWR, true),
        "CWR on the first new segment alone"
    );
    // The next window may be marked again.
    let sent = ack_with(&mut script, start.wrapping_add(11 * SEGMENT), NONE);
    assert!(!sent.is_empty() && look(&script, handle).statistics.retransmits == 0);
    let before = look(&script, handle).in_flight;
    ack_with(&mut script, start.wrapping_add(12 * SEGMENT), ECE);
    assert_eq!(script.stack.counters().ecn_reductions, 2);
    assert_eq!(window(&script, handle), (before / 2).max(2 * SEGMENT));
}

/// 3168-6.1.2-1, 3168-6.1.2-3, 3168-6.1.5: a loss is answered once, also where a mark comes with it; what is sent again is
/// neither marked nor says CWR, and the first new segment does.
#[test]
fn a_loss_and_a_mark_of_one_window_are_one_sign() {
    let (mut script, handle) = accepted_with_ecn();
    let start = script.ack;
    script.send(handle, &text(60 * MSS));
    script.now += ms(50);
    let mut sent = Vec::new();
    for last in 2..=9 {
        let header = TcpHeader { flags: Flags::ACK | ECE, ..script.header(Flags::ACK) };
        let mut header = header;
        header.options.sack = blocks(&[(start.wrapping_add(SEGMENT), start.wrapping_add(last * SEGMENT))]);
        // The first of these is answered as a mark; the loss that the third one shows belongs to the same window.
        sent.extend(script.inject(&header, &[]));
    }
    let again: Vec<&Sent> = sent.iter().filter(|segment| segment.header.seq == start).collect();
    assert_eq!(again.len(), 1);
    assert_eq!((again[0].ecn(), bits(again[0])), (NOT_ECT, NONE));
    let connection = script.stack.tcp_connection(handle).unwrap();
    assert_eq!(connection.recovery.phase, Phase::FastRecovery);
    assert_eq!(look(&script, handle).ssthresh, 10 * SEGMENT / 2, "half of FlightSize at the mark, and not of that");
    script.now += ms(50);
    sent.extend(ack_with(&mut script, start.wrapping_add(10 * SEGMENT), NONE));
    let new: Vec<&Sent> = sent.iter().filter(|segment| segment.header.seq != start).collect();
    assert!(new.len() > 2 && new.iter().all(|segment| segment.ecn() == ECT_0));
    let told: Vec<Flags> = new.iter().map(|segment| bits(segment)).collect();
    assert_eq!((told[0], told[1..].iter().all(|&bits| bits == NONE)), (CWR, true), "{told:?}");
}

/// 3168-6.1.6, 3168-6.1.4: a probe of a closed window, and a keep-alive, are not ECN-capable.
#[test]
fn probes_are_not_capable() {
    let (mut script, handle) = accepted_with_ecn();
    let sent = script.send(handle, &text(10 * MSS));
    let end = sent.last().unwrap().header.seq.wrapping_add(SEGMENT);
    script.window = 0;
    ack_with(&mut script, end, ECE);
    script.send(handle, &text(MSS));
    let probes = script.pass(secs(2));
    assert!(!probes.is_empty() && probes.iter().all(|probe| probe.text.len() == 1));
    assert!(probes.iter().all(|probe| probe.ecn() == NOT_ECT && bits(probe) == NONE));
}

/// Nothing arrives until the retransmission timer has expired.
fn time_out(script: &mut Script, handle: TcpHandle) {
    for _ in 0..200 {
        script.pass(Duration::from_millis(10));
        if script.stack.tcp_snapshot(handle).unwrap().statistics.timeouts > 0 {
            return;
        }
    }
    panic!("no timeout");
}

/// RFC 3168 section 6.1.2: a mark at a window of one segment raises nothing.
#[test]
fn a_mark_at_a_window_of_one_segment() {
    let (mut script, handle) = accepted_with_ecn();
    let payload = script.stack.tcp_snapshot(handle).unwrap().segment_payload;
    script.send(handle, &vec![1; payload as usize]);
    time_out(&mut script, handle);
    assert_eq!(script.stack.tcp_snapshot(handle).unwrap().cwnd, payload);
    script.ack = script.ack.wrapping_add(payload);
    let header = script.header(Flags::ACK | ECE);
    script.inject(&header, &[]);
    assert_eq!(script.stack.tcp_snapshot(handle).unwrap().cwnd, payload);
    // And the next one tells the peer.
    let sent = script.send(handle, b"text");
    assert_eq!(bits(&sent[0]), CWR);
}

/// RFC 4015 section 3.1 (9): the ACK that shows that a timeout was for nothing echoes a mark: nothing is sent again, but the
/// window is not restored.
#[test]
fn a_mark_keeps_the_window_of_a_spurious_timeout() {
    for marked in [false, true] {
        let (mut script, handle) = accepted_with_ecn();
        let payload = script.stack.tcp_snapshot(handle).unwrap().segment_payload;
        script.send(handle, &vec![1; 30 * payload as usize]);
        time_out(&mut script, handle);
        let first = script.ack.wrapping_add(payload);
        assert_eq!(script.peer_acks(first).len(), 2, "new text");
        script.ack = first.wrapping_add(payload);
        let header = script.header(if marked { Flags::ACK | ECE } else { Flags::ACK });
        script.inject(&header, &[]);
        let look = script.stack.tcp_snapshot(handle).unwrap();
        assert_eq!((look.statistics.spurious, look.phase, look.lost), (1, Phase::Open, 0));
        assert_eq!(look.cwnd < 10 * payload, marked, "{}", look.cwnd);
    }
}

/// Ten segments are in flight of which the first was sent again for nothing; where they begin.
fn sent_again_for_nothing() -> (Script, TcpHandle, u32) {
    let (mut script, handle) = accepted_with_ecn();
    let start = script.ack;
    assert_eq!(octets(&script.send(handle, &text(10 * MSS))), 10 * MSS);
    script.now += ms(20);
    let sent = duplicate_ack(&mut script, &[(start.wrapping_add(SEGMENT), start.wrapping_add(4 * SEGMENT))]);
    assert_eq!((sent.len(), sent[0].header.seq, look(&script, handle).phase), (1, start, Phase::FastRecovery));
    script.now += ms(1);
    (script, handle, start)
}

/// 5682-4: a reduction that is taken back is not told to the peer, and the next mark is news.
#[test]
fn a_reduction_that_was_a_mistake_is_not_told() {
    let (mut script, handle, start) = sent_again_for_nothing();
    script.ack = start.wrapping_add(5 * SEGMENT);
    duplicate_ack(&mut script, &[(start, start.wrapping_add(SEGMENT))]);
    assert_eq!(look(&script, handle).statistics.spurious, 1);
    let sent = script.send(handle, &text(MSS));
    assert_eq!((sent.len(), bits(&sent[0])), (1, NONE));
    ack_with(&mut script, start.wrapping_add(6 * SEGMENT), ECE);
    assert_eq!(script.stack.counters().ecn_reductions, 1);
}

/// 3168-6.1.2-1: what a mark has lowered is not raised when an earlier recovery proves to have been for nothing.
#[test]
fn a_mark_outlives_a_recovery_for_nothing() {
    for marked in [false, true] {
        let (mut script, handle, start) = sent_again_for_nothing();
        script.peer_acks(start.wrapping_add(10 * SEGMENT));
        assert_eq!(look(&script, handle).phase, Phase::Open);
        script.send(handle, &text(4 * MSS));
        script.now += ms(20);
        ack_with(&mut script, start.wrapping_add(11 * SEGMENT), if marked { ECE } else { NONE });
        let before = window(&script, handle);
        duplicate_ack(&mut script, &[(start, start.wrapping_add(SEGMENT))]);
        assert_eq!(look(&script, handle).statistics.spurious, u16::from(!marked));
        assert_eq!(window(&script, handle) > before, !marked);
    }
}

/// 3168-6.1.2-1: a loss in the window of data that was marked is of the same congestion: no second reduction, and nothing that a
/// copy could take back.
#[test]
fn a_loss_behind_a_mark_is_answered_already() {
    let (mut script, handle) = accepted_with_ecn();
    let start = script.ack;
    let at = |segment: u32| start.wrapping_add(segment * SEGMENT);
    script.send(handle, &text(10 * MSS));
    script.now += ms(20);
    ack_with(&mut script, at(1), ECE);
    let marked = look(&script, handle).ssthresh;
    assert_eq!(marked, 5 * SEGMENT);
    let sent = duplicate_ack(&mut script, &[(at(2), at(5))]);
    assert_eq!((sent[0].header.seq, look(&script, handle).phase), (at(1), Phase::FastRecovery));
    assert_eq!(look(&script, handle).ssthresh, marked);
    script.now += ms(1);
    script.ack = at(10);
    duplicate_ack(&mut script, &[(at(1), at(2))]);
    assert_eq!((look(&script, handle).ssthresh, look(&script, handle).statistics.spurious), (marked, 0));
}

/// 3168-6.1.2-1: one ACK of everything, as of a super-segment, halves what was in flight before it; and a loss of what is sent
/// from then on is of another window of data, although no ACK of that has come yet.
#[test]
fn an_echo_with_everything_acknowledged_is_of_that_window_alone() {
    let (mut script, handle) = accepted_with_ecn();
    let start = script.ack;
    let at = |segment: u32| start.wrapping_add(segment * SEGMENT);
    script.send(handle, &text(10 * MSS));
    script.now += ms(20);
    ack_with(&mut script, at(10), ECE);
    assert_eq!((window(&script, handle), look(&script, handle).ssthresh), (5 * SEGMENT, 5 * SEGMENT));
    assert_eq!(bits(&script.send(handle, &text(5 * MSS))[0]), CWR);
    // A segment of the peer that has crossed it still echoes.
    let header = script.header(Flags::ACK | ECE);
    script.inject(&header, b"text");
    script.seq = script.seq.wrapping_add(4);
    assert_eq!((window(&script, handle), script.stack.counters().ecn_reductions), (5 * SEGMENT, 1));
    script.now += ms(20);
    duplicate_ack(&mut script, &[(at(11), at(15))]);
    assert_eq!(look(&script, handle).phase, Phase::FastRecovery);
    assert_eq!(look(&script, handle).ssthresh, 5 * SEGMENT / 2);
}

/// A window of one segment, with three short segments in flight behind one that has arrived: the timeout before is told, and
/// no longer asked about by F-RTO.
fn short_segments_at_a_window_of_one(answer: Flags) -> (Script, TcpHandle, u32) {
    let (mut script, handle) = accepted_with_ecn();
    let start = script.ack;
    script.stack.tcp_set_options(script.now, handle, |options| options.nodelay = true).unwrap();
    script.send(handle, b"x");
    time_out(&mut script, handle);
    script.peer_acks(start.wrapping_add(1));
    for _ in 0..4 {
        script.send(handle, &text(100));
    }
    script.now += ms(20);
    ack_with(&mut script, start.wrapping_add(101), answer);
    let seen = look(&script, handle);
    assert_eq!((seen.cwnd, seen.flight, seen.phase), (seen.segment_payload, 300, Phase::Open));
    (script, handle, start)
}

/// 3168-6.1.2-1: at a window of one segment nothing can be lowered, but the peer is told that its mark was seen, and the timer
/// starts afresh (RFC 3168 section 6.1.2).
#[test]
fn a_mark_at_a_window_of_one_segment_is_answered() {
    for (answer, told) in [(NONE, NONE), (ECE, CWR)] {
        let (mut script, handle, _) = short_segments_at_a_window_of_one(answer);
        assert_eq!(bits(&script.send(handle, &text(100))[0]), told);
    }
    for (answer, afresh) in [(NONE, false), (ECE, true)] {
        let (mut script, handle, start) = short_segments_at_a_window_of_one(NONE);
        let timeout = |script: &Script| {
            let connection = script.stack.tcp_connection(handle).unwrap();
            connection.transfer.as_ref().and_then(|transfer| transfer.timeout_at).expect("it runs")
        };
        let before = timeout(&script);
        script.now += ms(20);
        ack_with(&mut script, start.wrapping_add(101), answer);
        assert_eq!(timeout(&script), if afresh { before + ms(20) } else { before });
    }
}

/// 3168-6.1.2-1: and what a timeout had lowered is not raised any more where its copy proves to have been for nothing.
#[test]
fn a_mark_at_a_window_of_one_segment_outlives_a_timeout_for_nothing() {
    for (answer, spurious) in [(NONE, 1), (ECE, 0)] {
        let (mut script, handle, start) = short_segments_at_a_window_of_one(answer);
        // The probe of the tail and the timeout have sent the same octet.
        for _ in 0..look(&script, handle).statistics.retransmits {
            duplicate_ack(&mut script, &[(start, start.wrapping_add(1))]);
        }
        assert_eq!(look(&script, handle).statistics.spurious, spurious);
        assert_eq!(window(&script, handle) > SEGMENT, spurious > 0);
    }
}

/// 3168-6.1.2-1: the device makes many segments of one, and only the first of them may say CWR: it is told where that is so.
#[test]
fn a_super_segment_with_cwr_is_marked_for_the_device() {
    for offload in [false, true] {
        let (mut script, handle) = accepted_with_ecn();
        if offload {
            script.stack.set_offload(65_536, true);
        }
        let start = script.ack;
        let mut seen = Vec::new();
        let mut take = |script: &mut Script| {
            script.stack.transmit(script.now, 100, |transmit| {
                // IPv4 without options: the flags of TCP are in the 34th octet.
                let told = Flags(transmit.header[33].into()).contains(CWR);
                seen.push((told, transmit.meta.gso_size > 0, transmit.meta.ecn));
                Ok(())
            });
        };
        script.stack.tcp_send(script.now, handle, &text(60 * MSS)).unwrap();
        take(&mut script);
        script.now += ms(50);
        for (segments, bits) in [(1, ECE), (10, NONE), (14, NONE)] {
            script.ack = start.wrapping_add(segments * SEGMENT);
            let header = script.header(Flags::ACK | bits);
            script.deliver(&header, &[]);
            take(&mut script);
        }
        assert!(seen.iter().all(|&(told, large, marked)| marked == (told && large)), "{seen:?}");
        assert!(seen.contains(&(true, offload, offload)) && seen.contains(&(false, offload, false)), "{seen:?}");
    }
}
