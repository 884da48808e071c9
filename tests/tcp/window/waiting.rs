//! What waits, for how long, and what must not wait: after timeouts, in front of closed windows, and where nothing forbids to send.

use crate::flow::{MSS, accepted, accepted_with_sack, ack, duplicate_ack, end, look, ms, octets, secs, text};
use glasstcp::error::SocketError;
use glasstcp::sim::Script;
use glasstcp::stack::TcpHandle;
use glasstcp::tcp::congestion::Algorithm;
use glasstcp::tcp::ecn::{CE, ECT_0, EcnMode};
use glasstcp::tcp::habits::CwndRules;
use glasstcp::tcp::state::State;
use glasstcp::wire::option::TcpOptions;
use glasstcp::wire::tcp::{Flags, TcpHeader};

fn counted(script: &Script, handle: TcpHandle) -> u16 {
    look(script, handle).statistics.timeouts
}

/// By the habit of one reduction for one recovery, a timeout within it reduces nothing again.
#[test]
fn by_habit_a_timeout_in_a_recovery_is_no_other_sign() {
    let (mut script, handle) = accepted_with_sack(|config| {
        config.tcp.habits.cwnd = CwndRules::Delivery;
        config.tcp.socket.congestion = Algorithm::Reno;
    });
    let sent = script.send(handle, &text(10 * MSS));
    script.now += ms(20);
    let (left, right) = (sent[1].header.seq, end(&sent));
    duplicate_ack(&mut script, &[(left.wrapping_add(MSS as u32), right)]);
    let reduced = look(&script, handle).ssthresh;
    assert!(look(&script, handle).recovering && reduced < u32::MAX);
    while counted(&script, handle) == 0 {
        script.pass(ms(50));
    }
    assert_eq!(look(&script, handle).ssthresh, reduced);
}

/// 9293-3.10.6-1: whether a recovery goes on can be seen.
#[test]
fn a_recovery_can_be_seen() {
    let (mut script, handle) = accepted_with_sack(|_| {});
    let sent = script.send(handle, &text(10 * MSS));
    assert!(!look(&script, handle).recovering);
    script.now += ms(20);
    duplicate_ack(&mut script, &[(sent[2].header.seq, end(&sent))]);
    assert!(look(&script, handle).recovering);
    script.peer_acks(end(&sent));
    assert!(!look(&script, handle).recovering);
}

/// A connection on which both sides do ECN.
fn with_ecn() -> (Script, TcpHandle) {
    let mut script = Script::with(|config| {
        config.tcp.ecn = EcnMode::Accept;
        config.tcp.quick_acks = 0;
        config.tcp.socket.congestion = Algorithm::Reno;
    });
    let listener = script.listen();
    let options = TcpOptions { mss: Some(1_460), ..TcpOptions::default() };
    let header = TcpHeader { options, ..script.header(Flags::SYN | Flags::ECE | Flags::CWR) };
    let sent = script.inject(&header, &[]);
    script.seq = script.seq.wrapping_add(1);
    script.ack = sent[0].header.seq.wrapping_add(1);
    script.peer_acks(script.ack);
    let (handle, _) = script.stack.tcp_accept(listener).unwrap();
    (script, handle)
}

/// 3168-6.1.3: a mark is told at once, and text without one may wait.
#[test]
fn the_ack_of_a_mark_does_not_wait() {
    for (bits, at_once) in [(ECT_0, 0), (CE, 1)] {
        let (mut script, _) = with_ecn();
        script.ecn = bits;
        let sent = script.peer_sends(b"text");
        assert_eq!(sent.len(), at_once);
        assert!(sent.iter().all(|sent| sent.flags().contains(Flags::ECE)));
    }
}

/// 3168-6.1.2-1, 5681-3.1-8: a timeout has slowed the sender down: the peer is told, and its word of a mark within the same
/// window asks for nothing more.
#[test]
fn a_timeout_is_told_as_a_reduction() {
    let (mut script, handle) = with_ecn();
    let sent = script.send(handle, &text(4 * MSS));
    while counted(&script, handle) == 0 {
        script.pass(ms(50));
    }
    let before = look(&script, handle).ssthresh;
    script.ack = sent[1].header.seq;
    let header = script.header(Flags::ACK | Flags::ECE);
    script.inject(&header, &[]);
    assert_eq!(look(&script, handle).ssthresh, before);
    script.peer_acks(end(&sent));
    let new = script.send(handle, &text(MSS));
    assert!(new[0].flags().contains(Flags::CWR));
}

// Closed windows.

/// 9293-SHLD-29: the first probe waits for one timeout, however often text was sent again before.
#[test]
fn the_first_probe_waits_for_a_plain_timeout() {
    let (mut script, handle) = accepted(|_| {});
    let rto = look(&script, handle).rto;
    script.send(handle, &text(100));
    script.pass(secs(10));
    assert!(counted(&script, handle) > 3);
    let start = script.ack;
    ack(&mut script, start, 0);
    let probes = script.pass(rto);
    assert_eq!(octets(&probes), 1);
}

/// 9293-MUST-21: the limit that the application has set counts from when the window closed, whatever the peer answers.
#[test]
fn the_limit_of_the_application_counts_from_the_closing_of_the_window() {
    let (mut script, handle) = accepted(|config| config.tcp.socket.user_timeout = Some(secs(10)));
    let start = script.ack;
    ack(&mut script, start, 0);
    script.send(handle, &text(100));
    let end = script.now + secs(10);
    while script.now + ms(100) < end {
        for _ in script.pass(ms(100)) {
            ack(&mut script, start, 0);
        }
        assert_eq!(script.stack.tcp_state(handle), Some(State::Established));
    }
    script.pass(ms(101));
    assert_eq!(script.stack.tcp_error(handle), Some(SocketError::TimedOut));
}

// What does not wait.

/// 9293-SHLD-7: all that is queued leaves at once where it just fits into the window.
#[test]
fn text_that_fills_the_window_does_not_wait() {
    let (mut script, handle) = accepted(|_| {});
    script.window = 500;
    script.peer_acks(script.ack);
    assert_eq!(octets(&script.send(handle, &text(500))), 500);
}

/// 9293-3.10.4-4: a FIN takes a number of its own, and waits for room in the window.
#[test]
fn a_fin_waits_for_room_behind_the_text() {
    for (window, fin) in [(1_000, false), (1_001, true)] {
        let (mut script, handle) = accepted(|_| {});
        script.window = window;
        script.peer_acks(script.ack);
        script.stack.tcp_send(script.now, handle, &text(1_000)).unwrap();
        script.stack.tcp_shutdown(script.now, handle, std::net::Shutdown::Write).unwrap();
        let sent = script.sent_one();
        assert_eq!((sent.text.len(), sent.flags().contains(Flags::FIN)), (1_000, fin));
    }
}

/// What the device takes: the octets of each packet.
fn packets(script: &mut Script) -> Vec<usize> {
    script.packets().iter().map(|packet| packet.len() - 40).collect()
}

/// 9293-SHLD-28, 9293-3.10.2-3: where the device cuts, what is queued leaves in one piece, its short end too if nothing is in
/// flight; and what uses the whole window is not held back for more.
#[test]
fn a_super_segment_takes_its_end_along() {
    let (mut script, handle) = accepted(|_| {});
    script.stack.set_offload(65_536, true);
    script.stack.tcp_send(script.now, handle, &text(5 * MSS + 100)).unwrap();
    assert_eq!(packets(&mut script), [5 * MSS + 100]);
    let (mut script, handle) = accepted(|_| {});
    script.stack.set_offload(65_536, true);
    script.stack.tcp_send(script.now, handle, &text(9 * MSS)).unwrap();
    assert_eq!(packets(&mut script), [9 * MSS]);
    script.stack.tcp_send(script.now, handle, &text(MSS)).unwrap();
    assert_eq!(packets(&mut script), [MSS], "all that the window takes");
}

/// 9293-SHLD-17: what lies beyond the edge of a window that has shrunk may wait: it was not acknowledged for long, and just before
/// that would be too long the peer says that it has no room for it.
#[test]
fn a_window_that_shrinks_at_the_last_moment_is_an_answer() {
    let (mut script, handle) = accepted(|config| config.tcp.give_up = secs(10));
    script.send(handle, &text(100));
    script.pass(secs(10) - ms(50));
    let start = script.ack;
    ack(&mut script, start, 0);
    script.pass(ms(100));
    assert_eq!((script.stack.tcp_state(handle), script.stack.tcp_error(handle)), (Some(State::Established), None));
}
