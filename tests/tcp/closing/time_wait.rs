//! TIME-WAIT through the whole stack: how long it lasts, what ends it, and who may take its place.

use crate::fsm::*;
use glasstcp::device::impair::Impairment;
use glasstcp::sim::{Script, Side, World};
use glasstcp::stack::TcpHandle;
use glasstcp::tcp::state::State;
use glasstcp::wire::option::{TcpOptions, Timestamp};
use glasstcp::wire::tcp::TcpHeader;

// TIME-WAIT.

/// 9293-MUST-13, 9293-3.10.8-3, 9293-3.10.7.4-43, pitfall 22: exactly 2 MSL, with the application gone or not, and then
/// nothing is left and the tuple is free.
#[test]
fn time_wait_lasts_two_msl() {
    for held in [false, true] {
        for seconds in [60, 240] {
            let script = Script::with(|config| config.tcp.time_wait = secs(seconds));
            let mut case = reach("TIME-WAIT", script);
            let (script, handle) = (&mut case.script, case.handle.unwrap());
            if !held {
                close(script, handle);
            }
            let connections = u32::from(held);
            assert_eq!(script.stack.table_sizes(), (0, connections, 1));
            assert_eq!(script.pass(secs(seconds) - millis(1)), []);
            assert_eq!(script.stack.table_sizes(), (0, connections, 1), "not before");
            assert_eq!(script.pass(millis(2)), []);
            assert_eq!(script.stack.table_sizes(), (0, connections, 0), "and not later");
            assert_eq!(script.stack.next_deadline(), None);
            if held {
                assert_eq!(state(script, handle), State::Closed);
                assert_eq!(script.stack.tcp_receive(script.now, handle, &mut [0; 4]), Ok(0));
                close(script, handle);
            }
            assert_eq!((script.stack.table_sizes(), script.stack.buffer_memory()), ((0, 0, 0), 0));
            // An old SYN, which TIME-WAIT would have refused, opens a new connection.
            script.seq = script.seq.wrapping_sub(100);
            let sent = script.peer_syn(plain());
            assert_eq!((sent.len(), sent[0].flags()), (1, SYN | ACK));
        }
    }
}

/// 9293-MUST-13, pitfall 22: the default is 60 s, and who closes last has none.
#[test]
fn the_default_of_two_msl() {
    assert_eq!(Script::new().stack.config().tcp.time_wait, secs(60));
}

/// 9293-3.10.7.4-33, 9293-3.4-1, pitfall 23: a FIN that comes again is acknowledged, and 2 MSL begin anew.
#[test]
fn a_fin_again_restarts_time_wait() {
    for (iss, irs) in edges() {
        let mut case = reach("TIME-WAIT", script_at(iss, irs));
        let (script, handle) = (&mut case.script, case.handle.unwrap());
        close(script, handle);
        script.pass(secs(30));
        let fin = TcpHeader { seq: script.seq.wrapping_sub(1), ..script.header(ACK | FIN) };
        assert_ack(&script.inject(&fin, &[]), iss.wrapping_add(2), irs.wrapping_add(2));
        script.pass(secs(59));
        assert_eq!(script.stack.table_sizes(), (0, 0, 1));
        script.pass(secs(2));
        assert_eq!(script.stack.table_sizes(), (0, 0, 0));
    }
}

/// 1337-F1, 9293-3.10.7.4-16, pitfall 23: no RST ends TIME-WAIT, nor any other old segment.
#[test]
fn nothing_assassinates_time_wait() {
    for (iss, irs) in edges() {
        let mut case = reach("TIME-WAIT", script_at(iss, irs));
        let (script, handle) = (&mut case.script, case.handle.unwrap());
        close(script, handle);
        for offset in [0_i64, -1, 1, -1_000, 40_000] {
            for flags in [RST, RST | ACK, RST | SYN, ACK, ACK | PSH, SYN | ACK] {
                let header = TcpHeader { seq: script.seq.wrapping_add(offset as u32), ..script.header(flags) };
                let sent = script.inject(&header, if flags.contains(PSH) { b"old data" } else { b"" });
                assert!(sent.iter().all(|sent| sent.flags() == ACK), "{flags} {offset}: {sent:#?}");
                assert!(!flags.contains(RST) || sent.is_empty());
            }
        }
        assert_eq!(script.stack.table_sizes(), (0, 0, 1));
        script.pass(secs(61));
        assert_eq!(script.stack.table_sizes(), (0, 0, 0), "nor prolongs it");
    }
}

/// 9293-MUST-58, 9293-3.10.7.4-43: one ACK for a batch that ends in TIME-WAIT, with no timer or queue left behind.
#[test]
fn a_batch_that_ends_in_time_wait_is_answered_once() {
    let mut case = reach("FIN-WAIT-2", Script::new());
    let (script, handle) = (&mut case.script, case.handle.unwrap());
    script.deliver(&script.header(ACK), b"text");
    script.seq += 4;
    script.deliver(&script.header(ACK | FIN), &[]);
    script.seq += 1;
    assert_ack(&script.sent(), script.ack, script.seq);
    assert_eq!(script.receive(handle), b"text");
    assert_eq!(script.pass(secs(59)), []);
}

/// 9293-3.10.7.4-43: entering TIME-WAIT stops retransmission, keep-alive and user timeout.
#[test]
fn time_wait_has_no_other_timer() {
    let mut script = Script::new();
    let handle = script.accept();
    let minute = |options: &mut glasstcp::tcp::config::SocketOptions| {
        options.keep_alive = true;
        options.keep_alive_idle = secs(5);
        options.user_timeout = Some(secs(20));
    };
    script.stack.tcp_set_options(script.now, handle, minute).unwrap();
    shut(&mut script, handle);
    script.sent_one();
    let ack = script.ack.wrapping_add(1);
    script.peer_acks(ack);
    script.peer_closes();
    assert_eq!(script.stack.next_deadline(), Some(script.now + secs(60)));
    assert_eq!(script.pass(secs(100)), []);
    assert_eq!((state(&script, handle), script.stack.tcp_error(handle)), (State::Closed, None));
}

/// A script in TIME-WAIT whose listener listens on; with these timestamps in the old connection.
fn waiting(timestamp: Option<u32>) -> (Script, TcpHandle, u32) {
    let mut script = Script::new();
    let options = TcpOptions { timestamp: timestamp.map(|value| Timestamp { value, echo: 0 }), ..plain() };
    let handle = script.accept_with(options);
    shut(&mut script, handle);
    let fin = script.sent_one();
    let ack = script.ack.wrapping_add(1);
    script.peer_acks(ack);
    script.peer_closes();
    assert_eq!(state(&script, handle), State::TimeWait);
    (script, handle, fin.header.seq.wrapping_add(1))
}

/// 9293-MAY-2, 9293-SHLD-4, 9293-3.10.7.4-20, 6191-2-1, 6191-2-2, 6191-2-3: the whole decision table.
#[test]
fn a_syn_in_time_wait() {
    // (timestamp of the old connection, of the SYN, distance of its SEQ from RCV.NXT, whether it opens)
    let cases = [
        (None, None, 1_i64, true),
        (None, None, 1 << 30, true),
        (None, None, 0, false),
        (None, None, -1, false),
        (None, None, -(1 << 30), false),
        (Some(100), Some(101), -5_000, true),
        (Some(100), Some(101), 5_000, true),
        (Some(100), Some(100), 1, true),
        (Some(100), Some(100), 0, false),
        (Some(100), Some(100), -5_000, false),
        (Some(100), Some(99), 5_000, false),
        (Some(u32::MAX), Some(0), -5_000, true),
        (Some(0), Some(u32::MAX), 5_000, false),
        (Some(100), None, 1, true),
        (Some(100), None, -1, false),
        (None, Some(1), -5_000, true),
        (None, Some(1), 5_000, true),
    ];
    for (old, new, offset, opens) in cases {
        let (mut script, handle, old_nxt) = waiting(old);
        let what = format!("{old:?} {new:?} {offset:+}");
        let before = script.seq;
        script.seq = script.seq.wrapping_add(offset as u32);
        let options = TcpOptions { timestamp: new.map(|value| Timestamp { value, echo: 0 }), ..plain() };
        let sent = script.inject(&TcpHeader { options, ..script.header(SYN) }, &[]);
        assert_eq!(sent.len(), 1, "{what}");
        let header = &sent[0].header;
        if opens {
            assert_eq!((header.flags, header.ack), (SYN | ACK, script.seq.wrapping_add(1)), "{what}");
            let beyond = header.seq.wrapping_sub(old_nxt);
            assert!(beyond > 0 && beyond < 1 << 31, "{what}: the new ISS is beyond the old SND.NXT");
            assert_eq!(script.stack.table_sizes(), (1, 1, 0), "{what}");
            assert_eq!(state(&script, handle), State::Closed, "{what}: the old connection is over");
        } else {
            assert_eq!((header.flags, header.seq, header.ack), (ACK, old_nxt, before), "{what}");
            assert_eq!(script.stack.table_sizes(), (0, 1, 1), "{what}");
            script.pass(secs(61));
            assert_eq!(script.stack.table_sizes(), (0, 1, 0), "{what}: it was not prolonged");
        }
    }
}

/// 9293-MAY-2: the new connection on the old tuple carries data, and the ISS stays ahead however young the clock is.
#[test]
fn a_reopened_tuple_works() {
    let (mut script, old, _) = waiting(None);
    close(&mut script, old);
    script.seq = script.seq.wrapping_add(1_000);
    let listener = script.stack.listener_at(script.local).unwrap();
    assert_eq!(script.peer_syn(plain()).len(), 1);
    script.peer_sends(b"again");
    let (handle, _) = script.stack.tcp_accept(listener).unwrap();
    assert_eq!(script.receive(handle), b"again");
    assert_eq!(script.stack.table_sizes(), (0, 1, 0));
}

/// 9293-MAY-2: a listener without room does not cost the old connection its TIME-WAIT, nor does a port without listener.
#[test]
fn a_full_listener_does_not_reopen() {
    for full in [false, true] {
        let mut script = Script::new();
        let options = script.stack.config().tcp.socket;
        let listener = script.listen_with(1, options);
        let handle = script.accept();
        shut(&mut script, handle);
        script.sent_one();
        let ack = script.ack.wrapping_add(1);
        script.peer_acks(ack);
        script.peer_closes();
        close(&mut script, handle);
        if full {
            let (port, seq, ack) = (script.peer.port(), script.seq, script.ack);
            script.peer.set_port(9);
            script.peer_syn(plain());
            script.peer.set_port(port);
            (script.seq, script.ack) = (seq, ack);
        } else {
            script.stack.listener_close(script.now, listener);
        }
        let syn = TcpHeader { seq: script.seq.wrapping_add(5_000), ..script.header(SYN) };
        assert_ack(&script.inject(&syn, &[]), script.ack, script.seq);
        assert_eq!(script.stack.table_sizes().2, 1);
    }
}

/// 9293-3.10.7.4-33: only the FIN that comes again is answered, and nothing else prolongs it.
#[test]
fn only_the_last_fin_is_answered() {
    for timestamp in [None, Some(Timestamp { value: 500, echo: 0 })] {
        let mut script = Script::new();
        let handle = script.accept_with(TcpOptions { timestamp, ..plain() });
        shut(&mut script, handle);
        script.ack = script.sent_one().header.seq.wrapping_add(1);
        assert_eq!(script.peer_closes().len(), 1);
        assert_eq!(state(&script, handle), State::TimeWait);
        let time_wait = script.stack.config().tcp.time_wait;
        script.pass(time_wait / 2);
        assert_eq!(script.peer_acks(script.ack), [], "a bare ACK");
        script.pass(time_wait / 2 + millis(1));
        assert_eq!(script.stack.table_sizes().2, 0);
    }
}

/// 9293-3.10.7.4-33, pitfall 23: the last ACK is lost: the peer in LAST-ACK repeats its FIN until TIME-WAIT answers.
#[test]
fn a_lost_last_ack_leaves_nobody_stuck() {
    for seed in 0..30 {
        let mut world = World::plain(Impairment::perfect().delay(millis(10)), seed);
        let remote = "10.0.0.2:80".parse().unwrap();
        let listener = world.stack(Side::B).tcp_listen(remote, 8, Default::default()).unwrap();
        let now = world.now();
        let a = world.stack(Side::A).tcp_connect(now, None, remote, Default::default()).unwrap();
        world.run(secs(1));
        let (b, _) = world.stack(Side::B).tcp_accept(listener).unwrap();
        let lossy = Impairment::perfect().delay(millis(10)).loss(200_000);
        for side in [Side::A, Side::B] {
            world.link().direction_mut(side).set_impairment(lossy);
        }
        let now = world.now();
        world.stack(Side::A).tcp_close(now, a);
        assert!(world.run_until(secs(50), |w| w.stack(Side::B).tcp_state(b) == Some(State::CloseWait)), "{seed}");
        let now = world.now();
        world.stack(Side::B).tcp_close(now, b);
        assert!(world.run_until(secs(59), |w| w.stack(Side::B).table_sizes() == (0, 0, 0)), "seed {seed}");
        assert_eq!(world.stack(Side::B).counters().orphans_aborted, 0, "seed {seed}: it ended by the ACK");
        world.run(secs(200));
        assert_eq!(world.stack(Side::A).table_sizes(), (0, 0, 0));
    }
}
