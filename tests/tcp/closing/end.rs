//! Ends of streams in unusual order, and what is left of a connection after them (RFC 9293 sections 3.10.4 and 3.10.7.4).

use std::net::Shutdown;

use crate::flow::{accepted, accepted_with_sack, look, ms, peer_sends_at, secs, text};
use glasstcp::sim::{Script, Sent};
use glasstcp::stack::TcpHandle;
use glasstcp::tcp::habits::AfterFin;
use glasstcp::tcp::state::State;
use glasstcp::wire::tcp::{Flags, TcpHeader};

const FIN: Flags = Flags(Flags::ACK.0 | Flags::FIN.0);

/// A FIN `offset` octets beyond what the peer sent last in order.
fn fin_at(script: &mut Script, offset: u32) -> Vec<Sent> {
    let header = TcpHeader { seq: script.seq.wrapping_add(offset), ..script.header(FIN) };
    script.inject(&header, &[])
}

fn state(script: &Script, handle: TcpHandle) -> Option<State> {
    script.stack.tcp_state(handle)
}

fn shut(script: &mut Script, handle: TcpHandle) {
    script.stack.tcp_shutdown(script.now, handle, Shutdown::Write).unwrap();
}

/// 9293-3.10.7.4-38: the first FIN tells where the stream ends; another one further on is a peer's mistake.
#[test]
fn a_second_fin_does_not_move_the_end() {
    let (mut script, handle) = accepted(|_| {});
    fin_at(&mut script, 10);
    fin_at(&mut script, 20);
    let sent = script.peer_sends(&text(10));
    assert_eq!((sent[0].header.ack, state(&script, handle)), (script.seq.wrapping_add(1), Some(State::CloseWait)));
    assert_eq!(script.receive(handle), text(10));
}

/// 9293-3.10.7.4-38: text that was held up to the FIN is text, and need not come again.
#[test]
fn text_up_to_the_fin_is_kept() {
    let (mut script, handle) = accepted(|_| {});
    peer_sends_at(&mut script, 5, &text(10)[5..]);
    fin_at(&mut script, 10);
    script.peer_sends(&text(5));
    assert_eq!((script.receive(handle), state(&script, handle)), (text(10), Some(State::CloseWait)));
}

/// 9293-3.10.7.4-40: a FIN that came early asks for what is missing; the bare ACKs at it and behind it do not, or two hosts
/// could answer each other's for ever.
#[test]
fn after_an_early_fin_a_bare_ack_has_no_answer() {
    let (mut script, _) = accepted(|_| {});
    assert_eq!(fin_at(&mut script, 10).len(), 1);
    for offset in [10, 11, 0] {
        let header = TcpHeader { seq: script.seq.wrapping_add(offset), ..script.header(Flags::ACK) };
        assert_eq!(script.inject(&header, &[]), [], "{offset}");
    }
}

/// 2883-4-1: what is reported as having come twice is text: a FIN that comes again is none.
#[test]
fn a_fin_that_comes_again_is_no_duplicate_text() {
    let (mut script, _) = accepted_with_sack(|_| {});
    script.peer_sends(b"text");
    let fin = script.header(FIN);
    script.peer_closes();
    let again = script.inject(&fin, &[]);
    assert_eq!((again.len(), again[0].header.options.sack.iter().count()), (1, 0));
}

/// 9293-3.10.7.4-40, 9293-3.10.7.4-41, 9293-3.10.7.4-44: by the habit of a late ACK, too, a FIN without any text before it, and
/// one that ends the connection, are acknowledged at once.
#[test]
fn the_ack_of_a_fin_waits_only_behind_text() {
    let late = |config: &mut glasstcp::config::Config| {
        config.tcp.habits.acks.after_fin = AfterFin::LateAck;
        config.tcp.quick_acks = 0;
    };
    let (mut script, handle) = accepted(late);
    assert_eq!((script.peer_closes().len(), state(&script, handle)), (1, Some(State::CloseWait)));
    let (mut script, handle) = accepted(late);
    script.peer_sends(b"text");
    script.pass(secs(1));
    shut(&mut script, handle);
    let fin = script.sent_one();
    script.peer_acks(fin.header.seq.wrapping_add(1));
    assert_eq!((script.peer_closes().len(), state(&script, handle)), (1, Some(State::TimeWait)));
}

/// 9293-3.10.7.4-41, 9293-3.10.7.4-42: by the habit of repeating a FIN that was crossed, nothing but that is sent again, and
/// the peer's FIN is acknowledged with it.
#[test]
fn only_a_crossed_fin_is_repeated() {
    let repeating = |config: &mut glasstcp::config::Config| config.tcp.habits.acks.after_fin = AfterFin::AckAndFin;
    let (mut script, handle) = accepted(repeating);
    script.send(handle, &text(1_000));
    let sent = script.peer_closes();
    assert_eq!((sent.len(), sent[0].text.len(), sent[0].header.ack), (1, 0, script.seq));
    let (mut script, handle) = accepted(repeating);
    shut(&mut script, handle);
    script.sent_one();
    let sent = script.peer_closes();
    let seen: Vec<_> = sent.iter().map(|sent| (sent.flags(), sent.header.ack)).collect();
    assert_eq!(seen, [(FIN, script.seq)]);
}

/// 9293-3.10.7.4-43: in TIME-WAIT no timer of the connection is left, and no record of what was sent.
#[test]
fn nothing_runs_in_time_wait() {
    for at_once in [false, true] {
        let (mut script, handle) = accepted(|config| config.tcp.socket.keep_alive = true);
        shut(&mut script, handle);
        script.ack = script.sent_one().header.seq.wrapping_add(1);
        if !at_once {
            script.peer_acks(script.ack);
        }
        script.peer_closes();
        assert_eq!(state(&script, handle), Some(State::TimeWait));
        let connection = script.stack.tcp_connection(handle).unwrap();
        assert_eq!((connection.next_deadline(), connection.transfer.is_none()), (None, true));
    }
}

/// 9293-SHLD-3: whoever has closed reads no more: what is held out of order is let go at once.
#[test]
fn an_orphan_holds_no_text() {
    let (mut script, handle) = accepted(|_| {});
    peer_sends_at(&mut script, 5_000, &text(5_000));
    assert!(script.stack.buffer_memory() > 0);
    script.stack.tcp_close(script.now, handle);
    assert_eq!(script.stack.buffer_memory(), 0);
}

/// 9293-3.10.8-1: what an orphan sends after it has become one has no more time than what was in flight.
#[test]
fn an_orphan_whose_fin_is_never_acknowledged_ends_in_time() {
    let (mut script, handle) = accepted(|_| {});
    script.stack.tcp_close(script.now, handle);
    assert!(script.sent_one().flags().contains(Flags::FIN));
    let limit = script.stack.config().tcp.orphan;
    script.pass(limit - secs(1));
    assert_eq!(script.stack.table_sizes(), (0, 1, 0));
    script.pass(secs(2));
    assert_eq!(script.stack.table_sizes(), (0, 0, 0));
}

/// 9293-3.10.7.4-29: one that lets go in FIN-WAIT-2 has the time of that state, not that of what is in flight.
#[test]
fn an_orphan_in_fin_wait_2_has_the_time_of_that_state() {
    let (mut script, handle) = accepted(|config| config.tcp.fin_wait_2 = 3 * config.tcp.orphan);
    shut(&mut script, handle);
    let fin = script.sent_one();
    script.peer_acks(fin.header.seq.wrapping_add(1));
    assert_eq!(look(&script, handle).state, State::FinWait2);
    script.stack.tcp_close(script.now, handle);
    let limit = script.stack.config().tcp.fin_wait_2;
    script.pass(limit - ms(1));
    assert_eq!(script.stack.table_sizes(), (0, 1, 0));
    script.pass(ms(2));
    assert_eq!(script.stack.table_sizes(), (0, 0, 0));
}

/// 9293-3.10.8-1: nor has one whose text waits for a window, however patient its application was.
#[test]
fn an_orphan_in_front_of_a_closed_window_ends_in_time() {
    let (mut script, handle) = accepted(|config| config.tcp.socket.user_timeout = Some(4 * config.tcp.orphan));
    script.window = 0;
    script.peer_acks(script.ack);
    assert_eq!(script.send(handle, &text(100)), []);
    script.stack.tcp_close(script.now, handle);
    let limit = script.stack.config().tcp.orphan;
    script.pass(limit - secs(1));
    assert_eq!(script.stack.table_sizes(), (0, 1, 0));
    script.pass(secs(2));
    assert_eq!(script.stack.table_sizes(), (0, 0, 0));
}
