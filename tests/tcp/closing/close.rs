//! Closing through the whole stack: FIN from both sides in every order, half-closed connections, and ABORT.

use std::net::Shutdown;

use crate::fsm::*;
use glasstcp::SocketError;
use glasstcp::device::impair::Impairment;
use glasstcp::sim::{Script, Side, World};
use glasstcp::stack::{Readiness, SocketHandle};
use glasstcp::tcp::state::State;
use glasstcp::wire::tcp::TcpHeader;

// Our FIN.

/// 9293-3.10.4-4, 9293-3.10.2-6, 9293-3.4-2, pitfalls 1 and 27: FIN stands behind everything that was written, and nothing
/// can be written after it.
#[test]
fn a_close_in_established_sends_fin_behind_the_text() {
    for iss in EDGES {
        for octets in [0_usize, 10, 3_000] {
            let mut script = script_at(iss, 500);
            let handle = script.accept();
            if octets > 0 {
                script.stack.tcp_send(script.now, handle, &vec![8; octets]).unwrap();
            }
            shut(&mut script, handle);
            assert_eq!(state(&script, handle), State::FinWait1);
            assert_eq!(script.stack.tcp_send(script.now, handle, b"late"), Err(SocketError::BrokenPipe));
            let sent = script.sent();
            let (last, others) = sent.split_last().unwrap();
            assert!(last.flags().contains(FIN | ACK));
            assert!(others.iter().all(|sent| !sent.flags().contains(FIN)));
            assert_eq!(sent.iter().map(|sent| sent.text.len()).sum::<usize>(), octets);
            let end = last.header.seq.wrapping_add(last.text.len() as u32);
            assert_eq!(end, iss.wrapping_add(1 + octets as u32), "FIN takes the number behind the text");
            script.peer_acks(end.wrapping_add(1));
            assert_eq!(state(&script, handle), State::FinWait2);
        }
    }
}

/// 9293-3.10.4-4, pitfall 27: closed right after a write of 1 MB into a closed window: FIN follows the last octet, and every
/// octet arrives.
#[test]
fn a_close_behind_a_closed_window_loses_nothing() {
    for seed in 0..4_u64 {
        let mut world = World::plain(Impairment::perfect().delay(millis(5)).loss(seed as u32 * 10_000), seed);
        let options = glasstcp::tcp::config::SocketOptions { receive_capacity: Some(4_000), ..Default::default() };
        let listener = world.stack(Side::B).tcp_listen("10.0.0.2:80".parse().unwrap(), 8, options).unwrap();
        let now = world.now();
        let remote = "10.0.0.2:80".parse().unwrap();
        let large = glasstcp::tcp::config::SocketOptions { send_capacity: Some(1 << 20), ..Default::default() };
        let client = world.stack(Side::A).tcp_connect(now, None, remote, large).unwrap();
        assert!(world.run_until(secs(60), |w| w.stack(Side::A).tcp_state(client) == Some(State::Established)));
        let now = world.now();
        let data: Vec<u8> = (0..1_000_000_u32).map(|n| (n % 241) as u8).collect();
        assert_eq!(world.stack(Side::A).tcp_send(now, client, &data), Ok(data.len()));
        world.run(secs(10));
        let now = world.now();
        world.stack(Side::A).tcp_shutdown(now, client, Shutdown::Write).unwrap();
        world.run(secs(10));
        assert_eq!(world.stack(Side::A).tcp_state(client), Some(State::FinWait1));
        let (server, _) = world.stack(Side::B).tcp_accept(listener).unwrap();
        let (mut got, mut ended, mut buffer) = (Vec::new(), false, [0; 1_500]);
        world.run_until(secs(4_000), |world| {
            let now = world.now();
            while !ended && let Ok(read) = world.stack(Side::B).tcp_receive(now, server, &mut buffer) {
                got.extend_from_slice(&buffer[..read]);
                ended = read == 0;
            }
            world.flush();
            ended
        });
        assert!(ended && got == data, "seed {seed}: {} octets", got.len());
    }
}

/// 9293-3.10.4-5: closing again in FIN-WAIT-1 or FIN-WAIT-2 makes no second FIN; the first may be sent again.
#[test]
fn there_is_one_fin() {
    let mut script = Script::new();
    let handle = script.accept();
    shut(&mut script, handle);
    let fin = script.sent_one().header;
    shut(&mut script, handle);
    script.silence();
    for again in script.pass(secs(5)) {
        assert_eq!((again.header.seq, again.header.flags, again.text.len()), (fin.seq, fin.flags, 0));
        shut(&mut script, handle);
    }
    script.peer_acks(fin.seq.wrapping_add(1));
    shut(&mut script, handle);
    assert_eq!((script.pass(secs(100)), state(&script, handle)), (Vec::new(), State::FinWait2));
    assert_eq!(variables(&script, handle).1, fin.seq.wrapping_add(1));
}

/// 9293-3.10.4-6, 9293-3.10.7.4-32, 9293-3.10.2-4, pitfalls 25 and 28: from CLOSE-WAIT, with text that waits and without; an
/// ACK short of the FIN ends nothing.
#[test]
fn a_close_in_close_wait() {
    for iss in EDGES {
        for octets in [0_u32, 700] {
            let mut case = reach("CLOSE-WAIT", script_at(iss, 500));
            let (script, handle) = (&mut case.script, case.handle.unwrap());
            let base = script.ack;
            if octets > 0 {
                script.stack.tcp_send(script.now, handle, &vec![7; octets as usize]).unwrap();
            }
            shut(script, handle);
            assert_eq!(state(script, handle), State::LastAck);
            let sent = script.sent_one();
            assert!(sent.flags().contains(FIN | ACK));
            assert_eq!((sent.header.seq, sent.text.len() as u32), (base, octets));
            assert_eq!(script.peer_acks(base.wrapping_add(octets)), []);
            assert_eq!(state(script, handle), State::LastAck, "that is not the ACK of the FIN");
            assert_eq!(script.peer_acks(base.wrapping_add(octets + 1)), []);
            assert_eq!((state(script, handle), script.stack.tcp_error(handle)), (State::Closed, None));
            close(script, handle);
            assert_eq!(script.stack.table_sizes(), (0, 0, 0), "no TIME-WAIT for the side that closed last");
            // The peer's FIN again finds nobody.
            let ack = script.ack;
            assert_reset(&script.inject(&script.header(ACK | FIN), &[]), ack);
        }
    }
}

/// 9293-3.10.4-7: a close that comes again in CLOSING, LAST-ACK or TIME-WAIT is harmless.
#[test]
fn a_repeated_close_is_harmless() {
    for way in ["CLOSING", "LAST-ACK", "TIME-WAIT"] {
        let mut case = reach(way, Script::new());
        let (script, handle) = (&mut case.script, case.handle.unwrap());
        for _ in 0..3 {
            script.stack.tcp_shutdown(script.now, handle, Shutdown::Write).unwrap();
            script.stack.tcp_shutdown(script.now, handle, Shutdown::Both).unwrap();
            script.silence();
        }
        assert_eq!(state(script, handle).name(), way);
        close(script, handle);
        script.silence();
        assert_eq!(script.stack.tcp_shutdown(script.now, handle, Shutdown::Write), Err(SocketError::BadHandle));
    }
}

/// 9293-3.10.4-1: closing a listener ends it: later SYNs are reset, its half-open records are nobody's, connections that
/// nobody accepted are reset, and who waits is told.
#[test]
fn closing_a_listener() {
    let mut script = Script::new();
    let listener = script.listen();
    script.peer_syn(plain());
    script.inject(&script.header(ACK), &[]);
    let (first_seq, first_ack) = (script.seq, script.ack);
    script.peer.set_port(40_001);
    script.peer_syn(plain());
    assert_eq!(script.stack.table_sizes(), (1, 1, 0));
    script.stack.listener_close(script.now, listener);
    let sent = script.sent_one();
    assert_eq!((sent.flags(), sent.header.destination_port), (RST | ACK, 40_000));
    assert_eq!((sent.header.seq, sent.header.ack), (first_ack, first_seq));
    assert_eq!(script.stack.tcp_accept(listener), Err(SocketError::BadHandle));
    assert!(script.stack.readiness(SocketHandle::Listener(listener)).any(Readiness::ERROR));
    // The half-open record answers as nobody.
    let ack = script.ack;
    assert_reset(&script.inject(&script.header(ACK), &[]), ack);
    script.peer.set_port(40_002);
    let sent = script.peer_syn(plain());
    assert_eq!((sent.len(), sent[0].flags()), (1, RST | ACK));
    assert_eq!(script.pass(secs(100)), []);
    assert_eq!(script.stack.table_sizes(), (0, 0, 0));
}

/// 9293-3.10.4-1, 9293-3.10.4-2: a close in SYN-SENT deletes the TCB, fails what was queued, and a late SYN,ACK is reset.
#[test]
fn a_close_in_syn_sent() {
    let mut script = Script::new();
    let (handle, _) = script.connect();
    script.send(handle, b"queued");
    reported(&mut script, handle);
    shut(&mut script, handle);
    assert_eq!((state(&script, handle), script.stack.tcp_error(handle)), (State::Closed, Some(SocketError::Aborted)));
    assert!(reported(&mut script, handle).any(Readiness::ERROR));
    let failed = Err(SocketError::Aborted);
    assert_eq!(script.stack.tcp_send(script.now, handle, b"x"), failed);
    assert_eq!(script.stack.tcp_receive(script.now, handle, &mut [0; 9]), failed);
    assert_eq!(script.stack.tcp_shutdown(script.now, handle, Shutdown::Write).map(|()| 0), failed, "in CLOSED");
    let ack = script.ack;
    assert_reset(&script.inject(&script.header(SYN | ACK), &[]), ack);
    assert_eq!(script.pass(secs(300)), []);
    close(&mut script, handle);
    assert_eq!((script.stack.table_sizes(), script.stack.buffer_memory()), ((0, 0, 0), 0));
}

/// 9293-3.10.4-3: a close in SYN-RECEIVED sends FIN at once if nothing is queued; else it waits for ESTABLISHED and stands
/// behind the text.
#[test]
fn a_close_in_syn_received() {
    for (iss, irs) in edges() {
        let mut case = reach("SYN-RECEIVED (active)", script_at(iss, irs));
        let (script, handle) = (&mut case.script, case.handle.unwrap());
        shut(script, handle);
        assert_eq!(state(script, handle), State::FinWait1);
        let fin = script.sent_one();
        assert_eq!((fin.flags(), fin.header.seq, fin.header.ack), (FIN | ACK, iss.wrapping_add(1), script.seq));
        // Our SYN alone is acknowledged, then our FIN.
        script.peer_acks(iss.wrapping_add(1));
        assert_eq!(state(script, handle), State::FinWait1);
        script.peer_acks(iss.wrapping_add(2));
        assert_eq!(state(script, handle), State::FinWait2);
        assert_eq!(script.peer_closes().len(), 1);
        assert_eq!(state(script, handle), State::TimeWait);

        let mut case = reach("SYN-RECEIVED (active)", script_at(iss, irs));
        let (script, handle) = (&mut case.script, case.handle.unwrap());
        assert_eq!(script.send(handle, b"text"), []);
        shut(script, handle);
        script.silence();
        assert_eq!(state(script, handle), State::SynReceived);
        assert_eq!(script.stack.tcp_send(script.now, handle, b"late"), Err(SocketError::BrokenPipe));
        let sent = script.inject(&script.header(ACK), &[]);
        assert_eq!((sent.len(), &sent[0].text[..], sent[0].header.seq), (1, &b"text"[..], iss.wrapping_add(1)));
        assert!(sent[0].flags().contains(FIN));
        assert_eq!(state(script, handle), State::FinWait1);
        script.peer_acks(iss.wrapping_add(6));
        assert_eq!(state(script, handle), State::FinWait2);
    }
}

/// 9293-3.10.7.4-29, 9293-3.10.7.4-30, pitfall 25: only the ACK of the FIN leads to FIN-WAIT-2; the closer is told, and
/// reading goes on.
#[test]
fn fin_wait_1_waits_for_the_ack_of_the_fin() {
    for iss in EDGES {
        let mut script = script_at(iss, 500);
        let handle = script.accept();
        script.stack.tcp_send(script.now, handle, &[1; 100]).unwrap();
        shut(&mut script, handle);
        script.sent_one();
        for part in [0, 50, 100] {
            script.peer_acks(iss.wrapping_add(1 + part));
            assert_eq!(state(&script, handle), State::FinWait1, "{part}");
        }
        reported(&mut script, handle);
        script.peer_acks(iss.wrapping_add(102));
        assert_eq!(state(&script, handle), State::FinWait2);
        assert!(reported(&mut script, handle).any(Readiness::WRITABLE), "the close is acknowledged");
        assert!(script.stack.tcp_connection(handle).unwrap().fin_acknowledged());
        script.peer_sends(b"still here");
        assert_eq!(script.receive(handle), b"still here");
        assert_eq!(script.pass(secs(3_600)), [], "whoever reads may wait as long as it likes");
        assert_eq!(state(&script, handle), State::FinWait2);
    }
}

/// 9293-3.10.7.4-29: whoever has closed waits in FIN-WAIT-2 for the peer's FIN; but not for ever, as nobody is left who could
/// read.
#[test]
fn an_orphan_leaves_fin_wait_2_in_time() {
    let mut script = Script::new();
    let handle = script.accept();
    close(&mut script, handle);
    script.sent_one();
    let ack = script.ack.wrapping_add(1);
    script.peer_acks(ack);
    let limit = script.stack.config().tcp.fin_wait_2;
    assert_eq!(script.pass(limit - millis(1)), []);
    assert_eq!(script.stack.table_sizes(), (0, 1, 0));
    script.pass(millis(2));
    assert_eq!((script.stack.table_sizes(), script.stack.next_deadline()), ((0, 0, 0), None));
}

/// 9293-3.10.8-1: nobody is left who could be patient: what an orphan has in flight when it becomes one has its time from then
/// on, which is shorter.
#[test]
fn an_orphan_with_text_in_flight_ends_in_time() {
    let mut script = Script::new();
    let handle = script.accept();
    assert_eq!(script.send(handle, b"unanswered").len(), 1);
    close(&mut script, handle);
    let (limit, patience) = (script.stack.config().tcp.orphan, script.stack.config().tcp.give_up);
    assert!(limit + secs(1) < patience);
    script.pass(limit - secs(1));
    assert_eq!(script.stack.table_sizes(), (0, 1, 0));
    script.pass(secs(2));
    assert_eq!(script.stack.table_sizes(), (0, 0, 0));
}

// The peer's FIN.

/// 9293-3.10.7.4-41, 9293-3.10.7.4-44, 9293-MAY-1, 9293-3.10.3-4, pitfall 28: the peer's FIN closes one direction; ours
/// stays open, and a FIN that comes again is acknowledged and changes nothing.
#[test]
fn half_closed_by_the_peer() {
    for (iss, irs) in edges() {
        let mut script = script_at(iss, irs);
        let handle = script.accept();
        let fin = script.header(ACK | FIN);
        let sent = script.peer_closes();
        assert_ack(&sent, iss.wrapping_add(1), irs.wrapping_add(2));
        assert_eq!(script.pass(secs(1_000)), [], "no FIN of ours unasked");
        assert_eq!((state(&script, handle), script.receive(handle)), (State::CloseWait, Vec::new()));
        assert_eq!(script.stack.tcp_receive(script.now, handle, &mut [0; 9]), Ok(0));
        assert_ack(&script.inject(&fin, &[]), iss.wrapping_add(1), irs.wrapping_add(2));
        assert_eq!(state(&script, handle), State::CloseWait);
        let sent = script.send(handle, b"answer");
        assert_eq!((sent.len(), &sent[0].text[..]), (1, &b"answer"[..]));
        shut(&mut script, handle);
        script.sent_one();
        assert_eq!(script.inject(&fin, &[]).len(), 1);
        assert_eq!(state(&script, handle), State::LastAck);
    }
}

/// 9293-MAY-1, 9293-3.10.4-6, pitfall 28: after shutdown(write) everything that the peer still sends is read to its end;
/// both ends of a half-closed pair, over a bad link.
#[test]
fn a_half_close_between_two_stacks() {
    for seed in 0..8_u64 {
        let loss = if seed == 0 { 0 } else { 100_000 };
        let mut world = World::plain(Impairment::perfect().delay(millis(5)).loss(loss), seed);
        let remote = "10.0.0.2:80".parse().unwrap();
        let listener = world.stack(Side::B).tcp_listen(remote, 8, Default::default()).unwrap();
        let now = world.now();
        let client = world.stack(Side::A).tcp_connect(now, None, remote, Default::default()).unwrap();
        assert!(world.run_until(secs(60), |w| w.stack(Side::A).tcp_state(client) == Some(State::Established)));
        let now = world.now();
        world.stack(Side::A).tcp_send(now, client, b"request").unwrap();
        world.stack(Side::A).tcp_shutdown(now, client, Shutdown::Write).unwrap();
        world.run(secs(30));
        let now = world.now();
        let (server, _) = world.stack(Side::B).tcp_accept(listener).unwrap();
        let mut buffer = vec![0; 200_000];
        assert_eq!(world.stack(Side::B).tcp_receive(now, server, &mut buffer), Ok(7));
        assert_eq!(world.stack(Side::B).tcp_receive(now, server, &mut buffer), Ok(0));
        assert_eq!(world.stack(Side::A).tcp_state(client), Some(State::FinWait2));
        assert_eq!(world.stack(Side::B).tcp_state(server), Some(State::CloseWait));
        assert_eq!(world.stack(Side::B).tcp_send(now, server, &[6; 100_000]), Ok(100_000));
        world.stack(Side::B).tcp_close(now, server);
        let (mut got, mut ended) = (0, false);
        world.run_until(secs(600), |world| {
            let now = world.now();
            while let Ok(read) = world.stack(Side::A).tcp_receive(now, client, &mut buffer) {
                (got, ended) = (got + read, read == 0);
                if ended {
                    break;
                }
            }
            world.flush();
            ended
        });
        assert!(ended && got == 100_000, "seed {seed}: {got}");
        assert_eq!(world.stack(Side::A).tcp_state(client), Some(State::TimeWait));
    }
}

/// 9293-3.10.7.4-40, 9293-3.10.7.4-36, 9293-3.4-1, pitfalls 1 and 26: a FIN in front of its turn waits for the text before it.
#[test]
fn a_fin_waits_for_the_text_in_front_of_it() {
    for irs in EDGES {
        for (state_before, after) in [("ESTABLISHED", State::CloseWait), ("FIN-WAIT-2", State::TimeWait)] {
            for fin_text in [&b""[..], b"-tail"] {
                let mut case = reach(state_before, script_at(9, irs));
                let (script, handle) = (&mut case.script, case.handle.unwrap());
                let base = script.seq;
                let fin = TcpHeader { seq: base.wrapping_add(4), ..script.header(ACK | FIN | PSH) };
                let sent = script.inject(&fin, fin_text);
                assert_ack(&sent, script.ack, base);
                assert_eq!(state(script, handle).name(), state_before);
                let early = script.stack.tcp_receive(script.now, handle, &mut [0; 9]);
                assert_eq!(early, Err(SocketError::WouldBlock), "no end of file yet");
                let sent = script.inject(&TcpHeader { seq: base, ..script.header(ACK) }, b"head");
                let end = base.wrapping_add(5 + fin_text.len() as u32);
                assert_ack(&sent, script.ack, end);
                assert_eq!(state(script, handle), after);
                assert_eq!(script.receive(handle), [&b"head"[..], fin_text].concat());
                assert_eq!(script.stack.tcp_receive(script.now, handle, &mut [0; 9]), Ok(0));
            }
        }
    }
}

/// 9293-3.10.7.4-41: FIN in the third segment of the handshake.
#[test]
fn the_third_segment_may_close() {
    for (iss, irs) in edges() {
        let mut script = script_at(iss, irs);
        let listener = script.listen();
        script.peer_syn(plain());
        let sent = script.inject(&script.header(ACK | FIN | PSH), b"bye");
        assert_ack(&sent, iss.wrapping_add(1), irs.wrapping_add(5));
        let (handle, _) = script.stack.tcp_accept(listener).unwrap();
        assert_eq!((state(&script, handle), script.receive(handle)), (State::CloseWait, b"bye".to_vec()));
    }
}

/// 9293-3.10.7.4-42, 9293-3.10.7.4-31, 9293-3.10.7.4-44, pitfalls 24 and 25: FIN in FIN-WAIT-1 with the ACK of our FIN leads
/// to TIME-WAIT, without it to CLOSING, which waits for that ACK alone.
#[test]
fn a_fin_in_fin_wait_1() {
    for (iss, irs) in edges() {
        let mut case = reach("FIN-WAIT-1", script_at(iss, irs));
        let (script, handle) = (&mut case.script, case.handle.unwrap());
        script.ack = script.ack.wrapping_add(1);
        let sent = script.peer_closes();
        assert_ack(&sent, iss.wrapping_add(2), irs.wrapping_add(2));
        assert_eq!(state(script, handle), State::TimeWait);

        let mut case = reach("CLOSING", script_at(iss, irs));
        let (script, handle) = (&mut case.script, case.handle.unwrap());
        let again = TcpHeader { seq: script.seq.wrapping_sub(1), ..script.header(ACK | FIN) };
        assert_eq!(script.inject(&again, &[]).len(), 1, "acknowledged");
        let ack = script.ack;
        assert_eq!((script.peer_acks(ack), state(script, handle)), (Vec::new(), State::Closing));
        let fins = script.pass(secs(3));
        assert!(!fins.is_empty() && fins.iter().all(|sent| sent.header.seq == iss.wrapping_add(1)), "FIN again");
        assert!(fins.iter().all(|sent| sent.flags() == FIN | ACK));
        assert_eq!((script.peer_acks(ack.wrapping_add(1)), state(script, handle)), (Vec::new(), State::TimeWait));
        assert_eq!(script.stack.table_sizes(), (0, 1, 1));
        assert_eq!(script.pass(secs(55)), []);
    }
}

/// 9293-3.10.7.4-42, 9293-3.10.7.4-40, pitfall 24: FIN with text in FIN-WAIT-1, our FIN in flight: the text is delivered.
#[test]
fn text_and_fin_in_fin_wait_1() {
    let mut case = reach("FIN-WAIT-1", Script::new());
    let (script, handle) = (&mut case.script, case.handle.unwrap());
    let sent = script.inject(&script.header(ACK | FIN | PSH), b"last words");
    assert_eq!((sent.len(), sent[0].header.ack), (1, script.seq + 11));
    assert_eq!((state(script, handle), script.receive(handle)), (State::Closing, b"last words".to_vec()));
    assert_eq!(script.stack.tcp_receive(script.now, handle, &mut [0; 9]), Ok(0));
}

/// 9293-3.10.7.4-31, 9293-3.10.7.4-9, pitfall 24: two of our stacks close at once, with and without loss.
#[test]
fn two_stacks_close_at_once() {
    for seed in 0..20 {
        let loss = if seed < 3 { 0 } else { 250_000 };
        let mut world = World::plain(Impairment::perfect().delay(millis(10)), seed);
        let remote = "10.0.0.2:80".parse().unwrap();
        let listener = world.stack(Side::B).tcp_listen(remote, 8, Default::default()).unwrap();
        let now = world.now();
        let a = world.stack(Side::A).tcp_connect(now, None, remote, Default::default()).unwrap();
        world.run(secs(1));
        let (b, _) = world.stack(Side::B).tcp_accept(listener).unwrap();
        let lossy = Impairment::perfect().delay(millis(10)).loss(loss);
        for side in [Side::A, Side::B] {
            world.link().direction_mut(side).set_impairment(lossy);
        }
        let now = world.now();
        let mut seen = Vec::new();
        world.stack(Side::A).tcp_shutdown(now, a, Shutdown::Write).unwrap();
        world.stack(Side::B).tcp_shutdown(now, b, Shutdown::Write).unwrap();
        let closed = world.run_until(secs(50), |world| {
            let states = [world.stack(Side::A).tcp_state(a).unwrap(), world.stack(Side::B).tcp_state(b).unwrap()];
            seen.push(states);
            states == [State::TimeWait; 2]
        });
        assert!(closed, "seed {seed}: {seen:?}");
        assert!(loss > 0 || seen.contains(&[State::Closing; 2]), "{seen:?}");
        for (side, handle) in [(Side::A, a), (Side::B, b)] {
            let now = world.now();
            assert_eq!(world.stack(side).tcp_receive(now, handle, &mut [0; 4]), Ok(0));
            world.stack(side).tcp_close(now, handle);
        }
        world.run(secs(200));
        for side in [Side::A, Side::B] {
            assert_eq!(world.stack(side).table_sizes(), (0, 0, 0), "seed {seed}");
        }
    }
}

// Close with unread data.

// ABORT.

/// 9293-3.10.7.4-43: in TIME-WAIT no timer of the connection is left, also where CLOSING was before it. (Found by
/// tests/model.)
#[test]
fn no_timer_is_left_behind_closing() {
    // 9293-3.10.7.4-32: LAST-ACK ends with everything that it had, the keep-alive, too, though the handle lives on.
    let mut script = Script::with(|config| config.tcp.socket.keep_alive = true);
    let handle = script.accept();
    script.inject(&script.header(FIN | ACK), &[]);
    script.seq = script.seq.wrapping_add(1);
    shut(&mut script, handle);
    let fin = script.sent_one();
    assert_eq!(state(&script, handle), State::LastAck);
    script.ack = fin.header.seq.wrapping_add(1);
    script.deliver(&script.header(ACK), &[]);
    assert_eq!(state(&script, handle), State::Closed);
    assert_eq!(script.stack.next_deadline(), None);

    let mut script = Script::with(|config| config.tcp.quick_acks = 0);
    let handle = script.accept();
    shut(&mut script, handle);
    let fin = script.sent_one();
    // Text whose ACK may wait, a FIN, and the ACK of ours, in one batch.
    for (text, flags) in [(&b"x"[..], ACK), (&b""[..], FIN | ACK)] {
        script.deliver(&script.header(flags), text);
        script.seq = script.seq.wrapping_add(1);
    }
    script.ack = fin.header.seq.wrapping_add(1);
    script.deliver(&script.header(ACK), &[]);
    assert_eq!(state(&script, handle), State::TimeWait);
    assert_eq!(script.stack.tcp_connection(handle).unwrap().next_deadline(), None);
}
