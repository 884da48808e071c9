//! Closed windows: how they are probed, for how long, and what ends it (RFC 9293 section 3.8.6.1).

use crate::flow::*;
use glasstcp::device::impair::Impairment;
use glasstcp::error::SocketError;
use glasstcp::sim::{Script, Sent, Side};
use glasstcp::stack::{Progress, TcpHandle, WouldBlock};
use glasstcp::tcp::state::State;
use glasstcp::time::Instant;
use glasstcp::wire::option::TcpOptions;
use glasstcp::wire::tcp::{Flags, TcpHeader};
use std::time::Duration;

/// Closes the peer's window and queues so many octets; nothing of them leaves.
fn close_window(script: &mut Script, handle: TcpHandle, queue: usize) {
    let at = script.ack;
    ack(script, at, 0);
    assert!(script.send(handle, &text(queue)).is_empty(), "the window is closed");
}

/// 9293-SHLD-17, 9293-MUST-35: with answers coming, data beyond the right edge may wait for as long as it takes.
#[test]
fn a_window_shrunken_to_zero_is_probed_and_outlived() {
    let (mut script, handle) = accepted(|_| {});
    let start = script.ack;
    script.send(handle, &text(10_000));
    ack(&mut script, start, 0);
    let cwnd = look(&script, handle).cwnd;
    let mut probes: Vec<Sent> = Vec::new();
    let end = script.now + secs(600);
    while script.now < end {
        let sent = script.pass(ms(100));
        if !sent.is_empty() {
            assert!(sent.iter().all(|segment| segment.header.seq == start && segment.text == [0]), "{sent:?}");
            probes.extend(sent);
            ack(&mut script, start, 0);
        }
    }
    assert!((8..=20).contains(&probes.len()), "{}", probes.len());
    assert_eq!(script.stack.tcp_state(handle), Some(State::Established));
    // A closed window is no congestion.
    assert_eq!(look(&script, handle).cwnd, cwnd);
    let reopened = ack(&mut script, start, 65_535);
    assert!(octets(&reopened) >= MSS && reopened[0].header.seq == start);
    let mut at = start;
    for _ in 0..20 {
        at = at.wrapping_add(1_460);
        if at.wrapping_sub(start) > 10_000 {
            at = start.wrapping_add(10_000);
        }
        ack(&mut script, at, 65_535);
    }
    assert_eq!((look(&script, handle).flight, look(&script, handle).unsent), (0, 0));
}

/// 9293-MUST-36, 9293-SHLD-29, 9293-SHLD-30, pitfall 16
#[test]
fn probes_begin_after_one_rto_and_back_off() {
    let (mut script, handle) = accepted(|_| {});
    let rto = look(&script, handle).rto;
    assert_eq!(rto.as_millis(), 200);
    close_window(&mut script, handle, 5_000);
    let (mut last, mut gaps) = (script.now, Vec::new());
    let end = script.now + secs(800);
    while script.now < end {
        let sent = script.pass(ms(10));
        for probe in &sent {
            assert_eq!((probe.header.seq, probe.text.len()), (script.ack, 1), "the first octet that waits");
            gaps.push((probe.at - last).as_millis());
            last = probe.at;
            let at = script.ack;
            ack(&mut script, at, 0);
        }
    }
    assert_eq!(gaps[..10], [200, 400, 800, 1_600, 3_200, 6_400, 12_800, 25_600, 51_200, 102_400]);
    assert!(gaps[10..].iter().all(|&gap| gap == 120_000) && gaps.len() > 13, "{gaps:?}");
    assert_eq!(look(&script, handle).statistics.timeouts, 0, "a probe is no timeout");
}

/// 9293-MUST-36: the update of the window is lost, and a probe finds out.
#[test]
fn a_lost_window_update_is_found_by_a_probe() {
    let mut flow =
        Flow::open(Impairment::perfect().delay(ms(5)), 3, |config| config.tcp.receive_capacity = Some(65_535));
    let (client, server) = (flow.client, flow.server);
    let now = flow.world.now();
    flow.world.stack(Side::A).tcp_send(now, client, &text(200_000)).unwrap();
    flow.world.run(ms(900));
    assert!(flow.client().snd_wnd == 0 && flow.client().flight <= 1, "only a probe is in flight");
    // The server reads everything, but what it says of that is lost.
    flow.world.link().direction_mut(Side::B).set_drop_if(Some(Box::new(|_, _| true)));
    let now = flow.world.now();
    let mut buffer = vec![0; 100_000];
    assert_eq!(flow.world.stack(Side::B).tcp_receive(now, server, &mut buffer), Ok(65_535));
    flow.world.run(ms(20));
    assert_eq!(flow.world.link().direction(Side::B).counters().dropped, 1);
    flow.world.link().direction_mut(Side::B).set_drop_if(None);
    let mut read = 65_535;
    let done = flow.world.run_until(secs(10), |world| {
        let now = world.now();
        read += world.stack(Side::B).tcp_receive(now, server, &mut buffer).unwrap_or(0);
        read == 200_000
    });
    assert!(done, "{read}");
}

/// 9293-MUST-37: 24 hours of answered probes.
#[test]
fn an_answering_peer_may_keep_its_window_closed_for_a_day() {
    let (mut script, handle) = accepted(|_| {});
    close_window(&mut script, handle, 5_000);
    let before = look(&script, handle);
    let end = script.now + secs(24 * 3_600);
    let mut probes = 0;
    while script.now < end {
        for _ in script.pass(secs(1)) {
            probes += 1;
            let at = script.ack;
            ack(&mut script, at, 0);
        }
    }
    assert!(probes > 700, "{probes}");
    let after = look(&script, handle);
    assert_eq!((after.state, after.cwnd, after.ssthresh), (State::Established, before.cwnd, before.ssthresh));
    let at = script.ack;
    let sent = ack(&mut script, at, 65_535);
    assert_eq!(
        (octets(&sent), sent[0].header.seq),
        (1 + 3 * MSS, at),
        "the octet of the probes again, and what follows"
    );
}

/// 9293-MUST-36: without any answer the connection ends by R2, as any other.
#[test]
fn unanswered_probes_end_the_connection() {
    let (mut script, handle) = accepted(|_| {});
    close_window(&mut script, handle, 5_000);
    script.pass(secs(290));
    assert_eq!(script.stack.tcp_state(handle), Some(State::Established));
    script.pass(secs(20));
    assert_eq!(
        (script.stack.tcp_state(handle), script.stack.tcp_error(handle)),
        (Some(State::Closed), Some(SocketError::TimedOut))
    );
}

/// 9293-MUST-36: the FIN needs room in the window as well.
#[test]
fn a_fin_behind_a_closed_window_is_probed_for() {
    let (mut script, handle) = accepted(|_| {});
    let start = script.ack;
    ack(&mut script, start, 0);
    script.stack.tcp_shutdown(script.now, handle, std::net::Shutdown::Write).unwrap();
    script.silence();
    let probe = script.pass(ms(201));
    assert_eq!((probe.len(), probe[0].header.seq), (1, start));
    assert!(probe[0].flags().contains(Flags::FIN) && probe[0].text.is_empty());
    ack(&mut script, start.wrapping_add(1), 0);
    assert_eq!(script.stack.tcp_state(handle), Some(State::FinWait2));
}

/// A probe is due, but before the device takes it the peer acknowledges all there is: nothing is left to probe with.
#[test]
fn a_probe_that_is_no_longer_needed_does_not_leave() {
    let (mut script, handle) = accepted(|_| {});
    let start = script.ack;
    ack(&mut script, start, 0);
    script.stack.tcp_shutdown(script.now, handle, std::net::Shutdown::Write).unwrap();
    let probes = script.pass(secs(1));
    assert!(probes[0].flags().contains(Flags::FIN), "the FIN itself is the probe");
    // The next probe meets a device that is busy.
    script.now = script.stack.next_deadline().unwrap();
    script.stack.handle_deadline(script.now);
    let blocked = script.stack.transmit(script.now, 10, |_| Err(WouldBlock));
    assert_eq!(blocked, Progress::Blocked, "a probe wanted to leave");
    assert!(ack(&mut script, start.wrapping_add(1), 0).is_empty());
    assert_eq!(script.stack.tcp_state(handle), Some(State::FinWait2));
    assert_eq!(look(&script, handle).flight, 0, "nothing was sent behind the FIN");
    assert!(script.pass(secs(300)).is_empty());
}

/// A simultaneous open with a window of zero, closed before our SYN is acknowledged: no probe can take its place.
#[test]
fn a_syn_is_retransmitted_into_a_closed_window() {
    let mut script = Script::new();
    let (handle, _) = script.connect();
    let options = TcpOptions { mss: Some(1_460), ..TcpOptions::default() };
    let syn = TcpHeader { options, window: 0, ..script.header(Flags::SYN) };
    script.inject(&syn, &[]);
    script.seq = script.seq.wrapping_add(1);
    script.stack.tcp_shutdown(script.now, handle, std::net::Shutdown::Write).unwrap();
    let sent = script.pass(secs(2));
    assert_eq!(script.stack.tcp_state(handle), Some(State::FinWait1));
    let again = sent
        .iter()
        .filter(|segment| segment.flags() == Flags::SYN | Flags::ACK && segment.at > Instant::from_secs(1_000));
    assert!(again.count() > 0, "{sent:#?}");
}

/// A probe has put SND.NXT beyond the peer's closed window, where the peer takes nothing. Our ACKs and our reset stand at
/// its edge all the same.
#[test]
fn acks_and_resets_stand_where_a_closed_window_takes_them() {
    for scale in [None, Some(7)] {
        let mut script = Script::new();
        let handle = script.accept_with(TcpOptions { mss: Some(1_460), window_scale: scale, ..TcpOptions::default() });
        script.sent();
        let edge = script.ack;
        close_window(&mut script, handle, 10);
        assert_eq!(octets(&script.pass(ms(300))), 1, "a probe");
        let acks = script.peer_sends(b"text");
        assert_eq!((acks.len(), acks[0].header.seq), (1, edge));
        script.stack.tcp_abort(script.now, handle);
        let reset = script.sent_one();
        assert!(reset.flags().contains(Flags::RST));
        assert_eq!(reset.header.seq, edge);
    }
}

/// 9293-SHLD-29: the timer that overrides silly-window avoidance is no timer of the window that closes while it runs.
#[test]
fn a_window_that_closes_while_text_is_held_back_is_probed_after_a_whole_timeout() {
    let mut script = Script::new();
    let handle = script.accept();
    // Text enough for a segment, but a window too small for one: it is held back for at most 200 ms.
    script.window = 400;
    let ack = script.ack;
    script.peer_acks(ack);
    assert!(script.send(handle, &[7; 3_000]).is_empty());
    assert!(script.pass(Duration::from_millis(150)).is_empty());
    script.window = 0;
    script.peer_acks(ack);
    let rto = script.stack.tcp_snapshot(handle).unwrap().rto;
    assert!(script.pass(rto - Duration::from_millis(1)).is_empty(), "too early");
    assert_eq!(script.pass(Duration::from_millis(1)).len(), 1, "the probe");
}

/// 9293-3.10.7.4-9: both windows are closed, and the probes of both sides cross: each is answered, its ACK counts, and once both
/// read, everything arrives.
#[test]
fn probes_that_cross_do_not_stop_both() {
    let small = |config: &mut glasstcp::config::Config| config.tcp.receive_capacity = Some(4_000);
    let mut flow = Flow::open(Impairment::perfect().delay(ms(10)), 1, small);
    let ends = [(Side::A, flow.client), (Side::B, flow.server)];
    let data = text(30_000);
    let now = flow.world.now();
    for (side, handle) in ends {
        assert_eq!(flow.world.stack(side).tcp_send(now, handle, &data), Ok(data.len()));
    }
    let logs = [Side::A, Side::B].map(|side| tap(&mut flow.world, side, |_| false));
    flow.world.run(secs(100));
    for ((side, handle), log) in ends.into_iter().zip(logs) {
        let probes = log.lock().unwrap().iter().filter(|seen| seen.len == 1).count();
        assert!(probes > 5, "{probes}");
        let look = flow.world.stack(side).tcp_snapshot(handle).unwrap();
        assert_eq!((look.state, look.snd_wnd, look.unread), (State::Established, 0, 4_000));
    }
    let (mut read, mut buffer) = ([Vec::new(), Vec::new()], vec![0; 10_000]);
    let done = flow.world.run_until(secs(100), |world| {
        let now = world.now();
        for (number, (side, handle)) in ends.into_iter().enumerate() {
            while let Ok(octets @ 1..) = world.stack(side).tcp_receive(now, handle, &mut buffer) {
                read[number].extend_from_slice(&buffer[..octets]);
            }
        }
        world.flush();
        read.iter().all(|read| read.len() >= data.len())
    });
    assert!(done && read.iter().all(|read| *read == data), "{} {}", read[0].len(), read[1].len());
}
