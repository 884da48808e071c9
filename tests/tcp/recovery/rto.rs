//! The retransmission timer (RFC 6298, RFC 8961), and giving up (RFC 9293 section 3.8.3).

use std::time::Duration;

use crate::flow::*;
use glasstcp::device::impair::Impairment;
use glasstcp::error::SocketError;
use glasstcp::sim::{Script, Sent, Side};
use glasstcp::stack::SocketHandle;
use glasstcp::tcp::config::TcpConfig;
use glasstcp::tcp::state::State;
use glasstcp::time::Instant;
use glasstcp::wire::option::TcpOptions;
use glasstcp::wire::tcp::{Flags, TcpHeader};

/// Milliseconds from one segment to the next, the first from `start`.
fn gaps(sent: &[Sent], start: Instant) -> Vec<u128> {
    let before = std::iter::once(start).chain(sent.iter().map(|segment| segment.at));
    before.zip(sent).map(|(before, segment)| (segment.at - before).as_millis()).collect()
}

/// 6298-2.1, 6298-5.5, 8961-4.1, 9293-MUST-22, 9293-MUST-23: 1, 2, 4, ... s, and no end before three minutes.
#[test]
fn a_syn_is_repeated_for_three_minutes() {
    let mut script = Script::new();
    let start = script.now;
    let (handle, syn) = script.connect();
    let sent = script.pass(secs(179));
    assert!(sent.iter().all(|again| again.header == TcpHeader { options: again.header.options, ..syn.header }));
    assert_eq!(gaps(&sent, start), [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 64_000]);
    assert_eq!(script.stack.tcp_state(handle), Some(State::SynSent));
    // 9293-MUST-20: R1 was told on the way.
    assert_eq!(script.stack.tcp_take_soft_error(handle), Some(SocketError::TimedOut));
    script.pass(secs(2));
    assert_eq!(
        (script.stack.tcp_state(handle), script.stack.tcp_error(handle)),
        (Some(State::Closed), Some(SocketError::TimedOut))
    );
    assert!(script.stack.next_deadline().is_none());
}

/// 9293-MUST-20, 9293-SHLD-10, 9293-SHLD-11, 6298-5.5, 8961-4.4, pitfall 20, pitfall 21: data into a black hole.
#[test]
fn data_is_repeated_with_doubling_intervals_and_then_given_up() {
    let config = TcpConfig::default();
    assert!(config.suspect_after >= 3 && config.give_up >= secs(100) && config.give_up_syn >= secs(180));
    let (mut script, handle) = accepted(|_| {});
    let start = script.now;
    let at = script.ack;
    script.send(handle, b"hello");
    let mut sent = Vec::new();
    let mut suspected = None;
    while script.now < start + secs(299) {
        sent.extend(script.pass(ms(100)));
        if suspected.is_none() {
            suspected = script.stack.tcp_take_soft_error(handle).map(|_| sent.len());
        }
    }
    // The bytes are never dropped, and never anything else: a hole would be the end of the stream.
    assert!(sent.iter().all(|again| again.header.seq == at && again.text == b"hello"));
    assert_eq!(gaps(&sent, start), [200, 400, 800, 1_600, 3_200, 6_400, 12_800, 25_600, 51_200, 102_400]);
    assert_eq!(suspected, Some(3), "R1");
    assert_eq!(script.stack.tcp_state(handle), Some(State::Established));
    script.pass(secs(2));
    assert_eq!(
        (script.stack.tcp_state(handle), script.stack.tcp_error(handle)),
        (Some(State::Closed), Some(SocketError::TimedOut))
    );
}

/// 6298-2.5, 8961-4.4: the cap, a minute at least.
#[test]
fn the_interval_grows_no_further_than_its_cap() {
    let (mut script, handle) = accepted(|config| {
        config.tcp.max_rto = secs(60);
        config.tcp.socket.user_timeout = Some(Duration::MAX);
    });
    let start = script.now;
    script.send(handle, b"hello");
    let gaps = gaps(&script.pass(secs(1_000)), start);
    assert_eq!(gaps[7..9], [25_600, 51_200]);
    assert!(gaps[9..].iter().all(|&gap| gap == 60_000) && gaps.len() > 20);
    assert_eq!(script.stack.tcp_state(handle), Some(State::Established), "for ever was asked for");
}

/// 6298-2.4: on a path of 1 ms with delayed ACKs nothing is sent twice.
#[test]
fn the_floor_keeps_delayed_acks_from_looking_like_losses() {
    let mut flow = Flow::open(Impairment::perfect().delay(Duration::from_micros(500)), 1, |config| {
        config.tcp.quick_acks = 0;
        config.tcp.delayed_ack = ms(150);
    });
    let client = flow.client;
    for _ in 0..50 {
        let now = flow.world.now();
        flow.world.stack(Side::A).tcp_send(now, client, b"x").unwrap();
        flow.world.run(ms(300));
    }
    let look = flow.client();
    assert!(look.rto >= ms(200) && look.srtt.unwrap() > ms(100), "{look:?}");
    assert_eq!((look.statistics.retransmits, look.statistics.octets_acknowledged), (0, 50));
}

/// 6298-3-1, 9293-MUST-18, 8961-4.2d, pitfall 19: the ACK of what was sent twice says nothing of the time it took.
#[test]
fn karn_takes_no_sample_from_what_was_sent_twice() {
    for extra in [0, 4] {
        let (mut script, handle) = accepted(|_| {});
        script.send(handle, b"x");
        script.now += ms(50);
        let at = script.ack.wrapping_add(1);
        script.peer_acks(at);
        let before = (look(&script, handle).srtt, look(&script, handle).rttvar);
        // One segment is lost; those behind it arrive, and are acknowledged only when the gap is filled.
        script.send(handle, &text((1 + extra) * MSS));
        let again = script.pass(ms(250));
        assert_eq!((again.len(), again[0].header.seq), (1, at));
        script.now += ms(30);
        let backoff = look(&script, handle).backoff;
        assert_eq!(backoff, 1);
        script.peer_acks(at.wrapping_add((1 + extra as u32) * 1_460));
        let after = look(&script, handle);
        assert_eq!((after.srtt, after.rttvar), before, "{extra} segments behind the lost one");
        // 6298-5.5: the doubled value holds until new data was sent and acknowledged.
        assert_eq!((after.flight, after.backoff), (0, 1));
        let at = script.ack;
        let start = script.now;
        script.send(handle, b"y");
        assert_eq!(retransmit_at(&script, handle), Some(start + after.rto));
        script.now += ms(50);
        script.peer_acks(at.wrapping_add(1));
        let last = look(&script, handle);
        assert_eq!(last.backoff, 0);
        assert_ne!((last.srtt, last.rttvar), before);
    }
}

/// 6298-3-1, 8961-4.2d: with timestamps the echo tells which copy was acknowledged; only the last one gives a sample, as an
/// echo of the first may mean no more than that its ACK was lost.
#[test]
fn timestamps_resolve_the_ambiguity() {
    for first_copy in [true, false] {
        let (mut script, handle) = accepted_with_timestamps(500, |_| {});
        let start = script.now;
        let original = script.send(handle, b"hello").remove(0).header.options.timestamp.unwrap().value;
        let again = script.pass(ms(250)).remove(0).header.options.timestamp.unwrap().value;
        assert_eq!(again.wrapping_sub(original), 200);
        script.last_tsval = if first_copy { original } else { again };
        script.now = start + ms(260);
        let before = look(&script, handle).srtt.unwrap();
        let at = script.ack.wrapping_add(5);
        script.peer_acks(at);
        let expected = if first_copy { before } else { before - before / 8 + ms(60) / 8 };
        assert_eq!(look(&script, handle).srtt.unwrap(), expected);
        assert_eq!(look(&script, handle).backoff, u8::from(first_copy));
    }
}

/// 6298-2.2, 6298-2.3, 6298-4: the estimator by the packet: the handshake gives the first sample, an ACK the second, and a
/// path that never varies leaves the granularity of the clock.
#[test]
fn the_timeout_follows_the_round_trip() {
    let options = TcpOptions { mss: Some(1_460), ..TcpOptions::default() };
    let (mut script, handle) = accepted_over(ms(80), options, |config| config.tcp.min_rto = Duration::ZERO);
    let estimate = |script: &Script| {
        let look = look(script, handle);
        (look.srtt.unwrap(), look.rttvar.unwrap(), look.rto)
    };
    assert_eq!(estimate(&script), (ms(80), ms(40), ms(80 + 4 * 40)));
    let sample = |script: &mut Script, millis| {
        let at = script.ack.wrapping_add(1);
        let start = script.now;
        script.send(handle, b"x");
        assert_eq!(retransmit_at(script, handle), Some(start + look(script, handle).rto), "by the timer itself");
        script.now += ms(millis);
        script.peer_acks(at);
    };
    // RTTVAR by the old SRTT: 3/4 of 40 and 1/4 of 80; by the new one it would be 47.5.
    sample(&mut script, 160);
    assert_eq!(estimate(&script), (ms(90), ms(50), ms(90 + 4 * 50)));
    for _ in 0..200 {
        sample(&mut script, 280);
    }
    let (srtt, rttvar, rto) = estimate(&script);
    assert!(srtt.abs_diff(ms(280)) < ms(1) && rttvar < Duration::from_micros(250), "{srtt:?} {rttvar:?}");
    assert_eq!(rto, srtt + ms(1));
}

/// 6298-3-2: each round trip with new data gives a sample.
#[test]
fn every_round_gives_a_sample() {
    let (mut script, handle) = accepted(|_| {});
    for round in 1..20 {
        let at = script.ack.wrapping_add(3_000);
        script.send(handle, &text(3_000));
        script.now += ms(10 * round);
        let before = look(&script, handle).srtt;
        script.peer_acks(at);
        assert_ne!(look(&script, handle).srtt, before, "round {round}");
    }
}

/// 6298-5.1, 6298-5.2, 6298-5.3: started, restarted by new ACKs alone, and stopped.
#[test]
fn the_timer_runs_while_something_is_in_flight() {
    let (mut script, handle) = accepted(|_| {});
    let start = script.ack;
    assert_eq!(retransmit_at(&script, handle), None);
    script.send(handle, &text(1_460));
    let first = script.now + look(&script, handle).rto;
    assert_eq!(retransmit_at(&script, handle), Some(first));
    // More data does not move it, nor does a duplicate ACK.
    script.now += ms(50);
    script.send(handle, &text(2_920));
    duplicate_ack(&mut script, &[]);
    assert_eq!(retransmit_at(&script, handle), Some(first));
    // 6298-5.3: a full RTO from the ACK, by the new estimate.
    script.now += ms(50);
    script.peer_acks(start.wrapping_add(1_460));
    let rto = look(&script, handle).rto;
    assert_eq!(retransmit_at(&script, handle), Some(script.now + rto));
    script.peer_acks(start.wrapping_add(3 * 1_460));
    assert_eq!(retransmit_at(&script, handle), None);
    assert!(script.pass(secs(3_600)).is_empty());
    assert!(script.stack.next_deadline().is_none(), "an idle connection has no timer");
    // The FIN starts it, too.
    script.stack.tcp_shutdown(script.now, handle, std::net::Shutdown::Write).unwrap();
    script.sent_one();
    assert!(retransmit_at(&script, handle).is_some());
}

/// 6298-5.4, 9293-3.10.8-2, 5681-3.1-9: one segment leaves at the timeout, the earliest.
#[test]
fn a_timeout_sends_the_first_segment_alone() {
    let (mut script, handle) = accepted(|_| {});
    let start = script.ack;
    script.send(handle, &text(14_600));
    let again = script.pass(ms(399));
    assert_eq!((again.len(), again[0].header.seq, again[0].text.len()), (1, start, MSS));
    assert_eq!(look(&script, handle).cwnd, 1_460);
    // Slow start goes on from there: the ACK of one lets two leave.
    let next = script.peer_acks(start.wrapping_add(1_460));
    assert_eq!((next.len(), next[0].header.seq), (2, start.wrapping_add(1_460)));
}

/// 6298-5.0: not within an RTO of the last transmission, which may have been a fast retransmit.
#[test]
fn the_timer_leaves_a_fast_retransmit_its_time() {
    let (mut script, handle) = accepted(|_| {});
    let start = script.ack;
    script.send(handle, &text(14_600));
    script.now += ms(190);
    for _ in 0..3 {
        duplicate_ack(&mut script, &[]);
    }
    let connection = script.stack.tcp_connection(handle).unwrap();
    assert_eq!(connection.statistics.retransmits, 1);
    let sent = script.now;
    let again: Vec<Sent> = script.pass(secs(1)).into_iter().filter(|segment| segment.header.seq == start).collect();
    assert!(!again.is_empty() && again[0].at >= sent + ms(200), "{:?} after {sent:?}", again[0].at);
}

/// 6298-5.0: over traces with losses; whatever a timeout repeats was sent at least the smallest RTO before.
#[test]
fn no_timeout_repeats_what_has_just_been_sent() {
    let mut checked = 0;
    for seed in 0..6 {
        let impairment = Impairment::perfect().delay(ms(20)).jitter(ms(2)).loss(60_000);
        let mut flow = Flow::open(impairment, seed, |config| {
            config.tcp.sack = seed % 2 == 0;
            config.tcp.timestamps = seed % 3 == 0;
        });
        let client = flow.client;
        let (mut timeouts, mut sent_before) = (0, None);
        assert!(flow.transfer(300_000, secs(600), |world| {
            let now = world.now();
            let connection = world.stack(Side::A).tcp_connection(client).unwrap();
            let first = connection.transfer.as_ref().and_then(|transfer| transfer.sent.first()).copied();
            if connection.statistics.timeouts > timeouts {
                timeouts = connection.statistics.timeouts;
                if let (Some((seq, at)), Some(first)) = (sent_before, first)
                    && first.seq == seq
                {
                    assert!(now - at >= ms(200), "seed {seed}: repeated after {:?}", now - at);
                    checked += 1;
                }
            }
            sent_before = first.map(|first| (first.seq, first.sent_at));
        }));
    }
    assert!(checked > 0, "there are timeouts");
}

/// 6298-5.7: a SYN that timed out makes the first data wait 3 s, until there is a sample.
#[test]
fn a_lost_syn_makes_the_first_data_patient() {
    let mut script = Script::new();
    let (handle, _) = script.connect();
    assert_eq!(script.pass(ms(1_000)).len(), 1);
    let options = TcpOptions { mss: Some(1_460), ..TcpOptions::default() };
    let header = TcpHeader { options, ..script.header(Flags::SYN | Flags::ACK) };
    script.seq += 1;
    script.inject(&header, &[]);
    let start = script.now;
    script.send(handle, b"hello");
    assert_eq!(gaps(&script.pass(secs(10)), start), [3_000, 6_000]);
    script.now += ms(10);
    let at = script.ack.wrapping_add(5);
    script.peer_acks(at);
    script.send(handle, b"again");
    script.now += ms(10);
    script.peer_acks(at.wrapping_add(5));
    assert_eq!(look(&script, handle).rto, ms(210));

    // The same on the other side, for a SYN-ACK.
    let mut script = Script::new();
    let listener = script.listen();
    script.peer_syn(TcpOptions { mss: Some(1_460), ..TcpOptions::default() });
    assert_eq!(script.pass(ms(1_000)).len(), 1);
    let header = script.header(Flags::ACK);
    script.inject(&header, &[]);
    let (handle, _) = script.stack.tcp_accept(listener).unwrap();
    let start = script.now;
    script.send(handle, b"hello");
    assert_eq!(gaps(&script.pass(secs(5)), start), [3_000]);
}

/// What [`losing_one`] loses.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Victim {
    Syn,
    SynAck,
    HandshakeAck,
    Data,
    Fin,
    Ack,
}

/// A whole life of a connection, with one of its segments lost `times` times; how long it took.
fn losing_one(victim: Victim, times: u32) -> Duration {
    let configs = [host(1, |_| {}), host(2, |_| {})];
    let link = [Impairment::perfect().delay(ms(5)); 2];
    let mut world = glasstcp::sim::World::new(configs, link, 1).unwrap();
    let (mut left, side) = (times, if matches!(victim, Victim::SynAck | Victim::Ack) { Side::B } else { Side::A });
    tap(&mut world, side, move |seen| {
        let flags = seen.header.flags;
        let hit = match victim {
            Victim::Syn | Victim::SynAck => flags.contains(Flags::SYN),
            Victim::HandshakeAck => !flags.contains(Flags::SYN) && seen.len == 0 && !flags.contains(Flags::FIN),
            Victim::Data => seen.len > 0,
            Victim::Fin => flags.contains(Flags::FIN) && seen.len == 0,
            Victim::Ack => !flags.contains(Flags::SYN) && seen.len == 0,
        };
        let lost = hit && left > 0;
        left -= u32::from(lost);
        lost
    });
    let start = world.now();
    let to = "10.0.0.2:80".parse().unwrap();
    let listener = world.stack(Side::B).tcp_listen(to, 8, Default::default()).unwrap();
    let client = world.stack(Side::A).tcp_connect(start, None, to, Default::default()).unwrap();
    let (mut server, mut sent, mut got, mut ended) = (None, false, Vec::new(), false);
    let done = world.run_until(secs(60), |world| {
        let now = world.now();
        server = server.or_else(|| world.stack(Side::B).tcp_accept(listener).ok().map(|(handle, _)| handle));
        if !sent && world.stack(Side::A).tcp_state(client) == Some(State::Established) {
            sent = true;
            world.stack(Side::A).tcp_send(now, client, b"hello").unwrap();
        }
        if sent
            && !ended
            && world.stack(Side::A).tcp_snapshot(client).is_some_and(|look| look.statistics.octets_acknowledged == 5)
        {
            ended = true;
            world.stack(Side::A).tcp_shutdown(now, client, std::net::Shutdown::Write).unwrap();
        }
        let mut over = false;
        if let Some(server) = server {
            let mut buffer = [0; 100];
            while let Ok(octets) = world.stack(Side::B).tcp_receive(now, server, &mut buffer) {
                over = octets == 0;
                if over {
                    break;
                }
                got.extend_from_slice(&buffer[..octets]);
            }
        }
        world.flush();
        over && world.stack(Side::A).tcp_state(client) == Some(State::FinWait2)
    });
    assert!(done && got == b"hello", "{victim:?}: {got:?}");
    world.now() - start
}

/// 9293-3.10.8-2, pitfall 20: whatever is lost, alone or twice, is repaired by its timer.
#[test]
fn each_kind_of_segment_is_repeated() {
    for (victim, first, second) in [
        (Victim::Syn, 1_000, 3_000),
        // The SYN comes again and is answered, beside the timer of the SYN-ACK itself.
        (Victim::SynAck, 1_000, 1_000),
        (Victim::HandshakeAck, 0, 0),
        // A tail loss probe first, and then the timeout itself.
        (Victim::Data, 200, 400),
        (Victim::Fin, 200, 400),
        (Victim::Ack, 200, 400),
    ] {
        for (times, at_least) in [(1, first), (2, second)] {
            let took = losing_one(victim, times);
            assert!(took >= ms(at_least) && took < ms(at_least + 450), "{victim:?} {times} times: {took:?}");
        }
    }
}

/// 9293-3.10.8-2, pitfall 20: timers expire although packets keep coming.
#[test]
fn a_busy_link_does_not_hold_timers_up() {
    let (mut script, handle) = accepted(|_| {});
    let at = script.ack;
    script.send(handle, b"hello");
    let mut again = Vec::new();
    for _ in 0..100 {
        again.extend(
            script.pass(ms(10)).into_iter().filter(|segment| segment.header.seq == at && !segment.text.is_empty()),
        );
        again.extend(script.peer_sends(b"x").into_iter().filter(|segment| !segment.text.is_empty()));
    }
    assert_eq!(again.len(), 2, "after 200 and after 600 ms");
}

/// 9293-3.10.8-1: the user timeout ends the connection in any state: queues are flushed, calls are told, no timer is left.
#[test]
fn the_user_timeout_ends_everything() {
    for state in [
        State::SynSent,
        State::SynReceived,
        State::Established,
        State::FinWait1,
        State::CloseWait,
        State::Closing,
        State::LastAck,
    ] {
        let mut script = Script::with(|config| config.tcp.socket.user_timeout = Some(secs(10)));
        let opening = matches!(state, State::SynSent | State::SynReceived);
        let handle = if opening { script.connect().0 } else { script.accept() };
        let start = script.now;
        if state == State::SynReceived {
            let syn = script.header(Flags::SYN);
            script.inject(&syn, &[]);
        }
        if matches!(state, State::CloseWait | State::LastAck) {
            script.peer_closes();
        }
        if state == State::Closing {
            // Text would wait in front of our FIN: both FINs cross.
            script.stack.tcp_shutdown(start, handle, std::net::Shutdown::Write).unwrap();
            script.sent_one();
            script.peer_closes();
        } else if !opening {
            script.send(handle, &text(100_000));
        }
        if matches!(state, State::FinWait1 | State::LastAck) {
            script.stack.tcp_shutdown(start, handle, std::net::Shutdown::Write).unwrap();
        }
        assert_eq!(script.stack.tcp_state(handle), Some(state));
        while script.stack.poll_ready().is_some() {}
        script.pass(secs(10) - ms(1));
        assert_eq!(script.stack.tcp_state(handle), Some(state));
        script.pass(ms(1));
        assert_eq!(
            (script.stack.tcp_state(handle), script.stack.tcp_error(handle)),
            (Some(State::Closed), Some(SocketError::TimedOut))
        );
        let ready = script.stack.poll_ready().expect("the application is told");
        assert_eq!(ready.socket, SocketHandle::Tcp(handle));
        assert_eq!(script.stack.tcp_send(script.now, handle, b"x"), Err(SocketError::TimedOut));
        if !matches!(state, State::CloseWait | State::Closing | State::LastAck) {
            assert_eq!(script.stack.tcp_receive(script.now, handle, &mut [0; 9]), Err(SocketError::TimedOut));
        }
        assert_eq!((script.stack.next_deadline(), script.stack.buffer_memory()), (None, 0), "{state}");
        assert!(script.pass(secs(1_000)).is_empty());
    }
}
