//! Ends that lose something: a close with unread data, ABORT, and a RST while closing (RFC 9293 sections 3.6.1 and 3.10.5).

use crate::fsm::*;
use glasstcp::SocketError;
use glasstcp::sim::Script;
use glasstcp::stack::Readiness;
use glasstcp::tcp::state::State;

// Our FIN.

/// 9293-SHLD-3: closing with unread data, or data after the close, is answered by a RST: the peer must not believe that it
/// was read.
#[test]
fn unread_data_makes_a_close_a_reset() {
    let mut script = Script::new();
    let handle = script.accept();
    script.peer_sends(b"unread");
    close(&mut script, handle);
    let sent = script.sent_one();
    assert_eq!((sent.flags(), sent.header.seq, sent.header.ack), (RST | ACK, script.ack, script.seq));
    assert_eq!((script.stack.table_sizes(), script.stack.buffer_memory()), ((0, 0, 0), 0));

    for acknowledged in [false, true] {
        let mut script = Script::new();
        let handle = script.accept();
        close(&mut script, handle);
        assert_eq!(script.sent_one().flags(), FIN | ACK);
        script.ack = script.ack.wrapping_add(u32::from(acknowledged));
        let sent = script.peer_sends(b"too late");
        assert_eq!((sent.len(), sent[0].flags()), (1, RST | ACK));
        assert_eq!(script.stack.table_sizes(), (0, 0, 0));
        assert_eq!(script.pass(secs(200)), []);
    }
}

/// 9293-SHLD-3, 9293-MAY-1: the same data after a shutdown(write) is read, and a FIN alone after a close is no data.
#[test]
fn a_fin_after_a_close_is_no_data() {
    let mut script = Script::new();
    let handle = script.accept();
    close(&mut script, handle);
    script.sent_one();
    script.ack = script.ack.wrapping_add(1);
    assert_ack(&script.peer_closes(), script.ack, script.seq);
    assert_eq!(script.stack.table_sizes(), (0, 0, 1));
}

/// 9293-3.10.5-1: in LISTEN and SYN-SENT nothing is sent.
#[test]
fn an_abort_in_syn_sent_is_silent() {
    let mut script = Script::new();
    let (handle, _) = script.connect();
    reported(&mut script, handle);
    script.stack.tcp_abort(script.now, handle);
    assert_eq!(script.pass(secs(300)), []);
    assert_eq!((state(&script, handle), script.stack.tcp_error(handle)), (State::Closed, Some(SocketError::Aborted)));
    assert!(reported(&mut script, handle).any(Readiness::ERROR));
    assert_eq!(script.stack.tcp_receive(script.now, handle, &mut [0; 4]), Err(SocketError::Aborted));
    let mut script = Script::new();
    let listener = script.listen();
    script.stack.listener_close(script.now, listener);
    assert_eq!(script.pass(secs(300)), []);
}

/// 9293-3.10.5-2: RST at SND.NXT, everything flushed, no timer left.
#[test]
fn an_abort_sends_a_reset_at_snd_nxt() {
    for (iss, irs) in edges() {
        for way in ["SYN-RECEIVED (active)", "ESTABLISHED", "FIN-WAIT-1", "FIN-WAIT-2", "CLOSE-WAIT"] {
            for linger in [false, true] {
                let mut case = reach(way, script_at(iss, irs));
                let (script, handle) = (&mut case.script, case.handle.unwrap());
                if way == "ESTABLISHED" {
                    assert!(!script.send(handle, &[1; 20_000]).is_empty());
                }
                let (_, nxt, rcv_nxt) = variables(script, handle);
                if linger {
                    let zero = Some(std::time::Duration::ZERO);
                    script.stack.tcp_set_options(script.now, handle, |options| options.linger = zero).unwrap();
                } else {
                    script.stack.tcp_abort(script.now, handle);
                    assert_eq!(state(script, handle), State::Closed);
                    assert_eq!(script.stack.tcp_error(handle), Some(SocketError::Aborted));
                }
                close(script, handle);
                let sent = script.sent_one();
                assert_eq!((sent.flags(), sent.header.seq, sent.header.ack), (RST | ACK, nxt, rcv_nxt), "{way}");
                assert_eq!((script.stack.table_sizes(), script.stack.buffer_memory()), ((0, 0, 0), 0));
                assert_eq!((script.pass(secs(300)), script.stack.next_deadline()), (Vec::new(), None), "{way}");
            }
        }
    }
}

/// 9293-3.10.5-3: in CLOSING, LAST-ACK and TIME-WAIT nothing is sent, and the tuple is free at once.
#[test]
fn an_abort_while_closing_is_silent() {
    for way in ["CLOSING", "LAST-ACK", "TIME-WAIT"] {
        let mut case = reach(way, Script::new());
        let (script, handle) = (&mut case.script, case.handle.unwrap());
        script.stack.tcp_abort(script.now, handle);
        script.silence();
        assert_eq!(state(script, handle), State::Closed, "{way}");
        close(script, handle);
        assert_eq!(script.stack.table_sizes(), (0, 0, 0), "{way}");
        let sent = script.peer_syn(plain());
        assert_eq!((sent.len(), sent[0].flags()), (1, SYN | ACK), "{way}: the tuple is reusable");
    }
}

/// 9293-3.10.5-3, 9293-MUST-13: closing (not aborting) in TIME-WAIT, unread data or not, leaves TIME-WAIT as it is.
#[test]
fn a_close_in_time_wait_leaves_the_record() {
    let mut case = reach("FIN-WAIT-2", Script::new());
    let (script, handle) = (&mut case.script, case.handle.unwrap());
    script.peer_sends(b"unread");
    script.peer_closes();
    assert_eq!(state(script, handle), State::TimeWait);
    close(script, handle);
    script.silence();
    assert_eq!((script.stack.table_sizes(), script.stack.buffer_memory()), ((0, 0, 1), 0));
}

/// A RST is an error also where both FINs have passed: our FIN was not acknowledged, and perhaps text before it, which the
/// peer's application may never have seen. (Found by tests/model.)
#[test]
fn a_reset_in_closing_or_last_ack_tells_of_lost_text() {
    for peer_first in [false, true] {
        for acknowledged in [false, true] {
            let mut script = Script::new();
            let handle = script.accept();
            if peer_first {
                script.peer_closes();
            }
            assert_eq!(script.send(handle, b"text").len(), 1);
            shut(&mut script, handle);
            script.sent_one();
            if acknowledged {
                script.ack = script.ack.wrapping_add(4);
                script.inject(&script.header(ACK), &[]);
            }
            if !peer_first {
                script.peer_closes();
            }
            let between = if peer_first { State::LastAck } else { State::Closing };
            assert_eq!(state(&script, handle), between);
            script.inject(&script.header(RST), &[]);
            assert_eq!(state(&script, handle), State::Closed);
            let error = Some(SocketError::Reset);
            assert_eq!(script.stack.tcp_error(handle), error, "{between}, acknowledged: {acknowledged}");
        }
    }
}
