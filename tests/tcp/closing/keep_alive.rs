//! Keep-alives (RFC 9293 section 3.8.4).

use crate::flow::*;
use glasstcp::error::SocketError;
use glasstcp::sim::{Script, Sent};
use glasstcp::stack::TcpHandle;
use glasstcp::tcp::config::SocketOptions;
use glasstcp::tcp::state::State;
use glasstcp::wire::tcp::Flags;

fn switch_on(script: &mut Script, handle: TcpHandle, change: impl FnOnce(&mut SocketOptions)) {
    let now = script.now;
    script
        .stack
        .tcp_set_options(now, handle, |options| {
            options.keep_alive = true;
            change(options);
        })
        .unwrap();
    script.silence();
}

fn keeping_alive(idle: u64, interval: u64, probes: u8) -> (Script, TcpHandle) {
    let (mut script, handle) = accepted(|_| {});
    switch_on(&mut script, handle, |options| {
        options.keep_alive_idle = secs(idle);
        options.keep_alive_interval = secs(interval);
        options.keep_alive_probes = probes;
    });
    (script, handle)
}

/// Seconds from `start` to each segment.
fn at(sent: &[Sent], start: glasstcp::time::Instant) -> Vec<u64> {
    sent.iter().map(|segment| (segment.at - start).as_secs()).collect()
}

/// 9293-MUST-25
#[test]
fn an_idle_connection_with_the_defaults_is_silent_for_a_day() {
    let (mut script, handle) = accepted(|_| {});
    assert!(script.pass(secs(24 * 3_600)).is_empty());
    assert_eq!(script.stack.tcp_state(handle), Some(State::Established));
}

/// 9293-MUST-24, 9293-MAY-5: on and off per connection, at any time.
#[test]
fn each_connection_has_its_own_switch() {
    let (mut script, first) = accepted(|_| {});
    script.peer.set_port(40_001);
    let second = script.accept();
    switch_on(&mut script, second, |_| {});
    let sent = script.pass(secs(7_200));
    assert_eq!((sent.len(), sent[0].header.destination_port), (1, 40_001));
    let header = script.header(Flags::ACK);
    script.inject(&header, &[]);
    script.stack.tcp_set_options(script.now, second, |options| options.keep_alive = false).unwrap();
    assert!(script.pass(secs(24 * 3_600)).is_empty());
    assert_eq!(script.stack.tcp_state(first), Some(State::Established));
    assert_eq!(script.stack.tcp_state(second), Some(State::Established));
}

/// 9293-MUST-28, 9293-MUST-27: two hours by default, or as the application says.
#[test]
fn the_first_probe_leaves_after_the_idle_time() {
    let (mut script, handle) = accepted(|_| {});
    let start = script.now;
    switch_on(&mut script, handle, |_| {});
    assert_eq!(at(&script.pass(secs(7_201)), start), [7_200]);

    let (mut script, _) = keeping_alive(30, 75, 9);
    let start = script.now;
    assert_eq!(at(&script.pass(secs(31)), start), [30]);
}

/// 9293-SHLD-12: no text, one before SND.NXT, so that any peer must answer.
#[test]
fn a_probe_looks_one_back() {
    let (mut script, handle) = keeping_alive(30, 75, 9);
    script.send(handle, b"hello");
    let at = script.ack.wrapping_add(5);
    script.peer_acks(at);
    let probe = script.pass(secs(30)).remove(0);
    assert_eq!((probe.header.seq, probe.text.len()), (at.wrapping_sub(1), 0));
    assert_eq!((probe.flags(), probe.header.ack), (Flags::ACK, script.seq));
    let look = look(&script, handle);
    assert_eq!((look.flight, look.snd_nxt), (0, 6), "nothing is in flight for it");
}

/// 9293-MUST-26: a probe is due and has not left yet when the application writes: the text takes its place.
#[test]
fn text_takes_the_place_of_a_probe_that_is_due() {
    let (mut script, handle) = keeping_alive(30, 75, 9);
    script.now += secs(30);
    script.stack.handle_deadline(script.now);
    let sent = script.send(handle, b"text");
    assert_eq!((sent.len(), &sent[0].text[..]), (1, &b"text"[..]), "{sent:?}");
}

/// 9293-MUST-26: traffic within the idle time, and no probe appears.
#[test]
fn a_peer_that_is_heard_of_is_not_probed() {
    let (mut script, _) = keeping_alive(30, 75, 9);
    for round in 0..20 {
        let sent = script.pass(secs(15));
        assert!(sent.iter().all(|segment| segment.header.seq == script.ack), "round {round}: {sent:?}");
        // Data in some rounds, a bare ACK in the others.
        if round % 2 == 0 {
            script.peer_sends(b"x");
        } else {
            let at = script.ack;
            script.peer_acks(at);
        }
    }
    let start = script.now;
    assert_eq!(at(&script.pass(secs(31)), start), [30]);
}

/// 9293-MUST-26: with data outstanding it is the retransmission timer that asks.
#[test]
fn nothing_is_probed_while_data_is_outstanding() {
    let (mut script, handle) = keeping_alive(2, 2, 9);
    let start = script.ack;
    script.send(handle, b"x");
    let sent = script.pass(secs(60));
    assert!(sent.len() > 5 && sent.iter().all(|segment| segment.header.seq == start && segment.text == b"x"));
    // Also when the first probe had gone unanswered before the application wrote.
    let (mut script, handle) = keeping_alive(2, 2, 9);
    let start = script.ack;
    assert_eq!(script.pass(secs(3)).len(), 1);
    script.send(handle, b"x");
    let sent = script.pass(secs(60));
    assert!(sent.iter().all(|segment| segment.header.seq == start && segment.text == b"x"), "{sent:#?}");
    assert_eq!(script.stack.tcp_state(handle), Some(State::Established), "R2 is for data, not the count of probes");
}

/// 9293-MUST-29: one lost probe or answer proves nothing; a run of them does.
#[test]
fn only_a_run_of_unanswered_probes_ends_the_connection() {
    let (mut script, handle) = keeping_alive(30, 10, 3);
    for _ in 0..20 {
        // Two probes are not answered, the third is.
        let start = script.now;
        assert_eq!(at(&script.pass(secs(50)), start), [30, 40, 50]);
        let header = script.header(Flags::ACK);
        script.inject(&header, &[]);
        assert_eq!(script.stack.tcp_state(handle), Some(State::Established));
    }
    let start = script.now;
    let sent = script.pass(secs(100));
    assert_eq!(at(&sent, start), [30, 40, 50, 60]);
    assert!(sent[3].flags().contains(Flags::RST), "the peer may live, and should know");
    assert_eq!(script.stack.tcp_error(handle), Some(SocketError::TimedOut));
}

/// 9293-SHLD-12: a probe of the peer is answered, and moves nothing.
#[test]
fn a_probe_of_the_peer_is_answered() {
    let (mut script, handle) = accepted(|_| {});
    script.peer_sends(b"hello");
    let before = look(&script, handle).rcv_nxt;
    for garbage in [&b""[..], b"?"] {
        let answer = peer_sends_at(&mut script, u32::MAX, garbage);
        assert_eq!((answer.len(), answer[0].header.ack), (1, script.seq));
    }
    assert_eq!((look(&script, handle).rcv_nxt, script.receive(handle)), (before, b"hello".to_vec()));
}

/// 9293-MUST-24: nobody is left who would want to know whether the peer lives.
#[test]
fn what_is_closed_is_not_kept_alive() {
    let (mut script, handle) = keeping_alive(30, 10, 3);
    let is_set = |script: &Script| script.stack.tcp_connection(handle).unwrap().deadlines.keep_alive.is_set();
    assert!(is_set(&script));
    script.stack.tcp_close(script.now, handle);
    assert!(script.sent_one().flags().contains(Flags::FIN) && !is_set(&script));
}
