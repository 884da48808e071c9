//! The urgent mechanism (RFC 9293 section 3.8.5, RFC 6093).

use crate::kit::reach;
use glasstcp::sim::Script;
use glasstcp::stack::{Readiness, TcpHandle};
use glasstcp::tcp::state::State;
use glasstcp::wire::tcp::{Flags, TcpHeader};
use std::time::Duration;

/// How often the application was told of urgent data since the last time.
fn told(script: &mut Script) -> usize {
    std::iter::from_fn(|| script.stack.poll_ready()).filter(|ready| ready.edges.any(Readiness::URGENT)).count()
}

/// The peer sends text with an urgent pointer, counted from the text's first octet.
fn urgent(script: &mut Script, pointer: u16, text: &[u8]) {
    let header = TcpHeader { urgent: pointer, ..script.header(Flags::ACK | Flags::URG) };
    script.inject(&header, text);
    script.seq = script.seq.wrapping_add(text.len() as u32);
}

fn read(script: &mut Script, handle: TcpHandle, count: usize) -> Vec<u8> {
    let mut text = vec![0; count];
    let read = script.stack.tcp_receive(script.now, handle, &mut text).unwrap_or(0);
    text.truncate(read);
    text
}

/// 9293-MUST-30, 9293-MUST-62, 9293-3.10.2-5: URG and the pointer to the octet after the last urgent one.
#[test]
fn sending_one_urgent_octet() {
    let (mut script, handle) = reach(State::Established);
    let first = script.ack;
    script.stack.tcp_send_urgent(script.now, handle, b"!").unwrap();
    let sent = script.sent_one();
    assert!(sent.flags().contains(Flags::URG));
    assert_eq!((sent.header.seq, sent.header.urgent, sent.text.as_slice()), (first, 1, b"!".as_slice()));
    // Later text has left urgent mode behind, and the retransmission has not.
    let after = script.send(handle, b"calm");
    assert!(after.iter().all(|sent| !sent.flags().contains(Flags::URG) && sent.header.urgent == 0));
    let again = script.pass(Duration::from_secs(1));
    assert!(again[0].flags().contains(Flags::URG) && again[0].header.urgent == 1);
    script.peer_acks(first.wrapping_add(1));
    let calm = script.pass(Duration::from_secs(10));
    assert!(!calm.is_empty() && calm.iter().all(|sent| !sent.flags().contains(Flags::URG)));
}

/// 9293-MUST-30: nothing urgent was sent, so nothing that follows is.
#[test]
fn an_empty_urgent_send_says_nothing() {
    let (mut script, handle) = reach(State::Established);
    script.send(handle, b"first");
    assert_eq!(script.stack.tcp_send_urgent(script.now, handle, b""), Ok(0));
    let first = script.pass(Duration::from_secs(1));
    assert!(!first.is_empty() && first.iter().all(|sent| !sent.flags().contains(Flags::URG)));
}

/// 9293-SHLD-13: only the call for it sets URG.
#[test]
fn plain_text_is_never_urgent() {
    let (mut script, handle) = reach(State::Established);
    script.stack.tcp_set_options(script.now, handle, |options| options.nodelay = true).unwrap();
    let mut sent = script.send(handle, &[1; 5_000]);
    sent.extend(script.send(handle, b"x"));
    sent.extend(script.pass(Duration::from_secs(5)));
    assert!(sent.len() > 4 && sent.iter().all(|sent| !sent.flags().contains(Flags::URG) && sent.header.urgent == 0));
}

/// 9293-MUST-31, 9293-3.10.2-5: an urgent run of 200,000 octets is urgent until its last one.
#[test]
fn sending_a_long_urgent_run() {
    let (mut script, handle) = reach(State::Established);
    let first = script.ack;
    assert_eq!(script.stack.tcp_send_urgent(script.now, handle, &vec![9; 200_000]), Ok(200_000));
    script.stack.tcp_send(script.now, handle, &[1; 10_000]).unwrap();
    let mut total = 0;
    for _ in 0..500 {
        for sent in script.sent() {
            let offset = sent.header.seq.wrapping_sub(first);
            total += sent.text.len();
            let left = 200_000_u32.saturating_sub(offset);
            assert_eq!(sent.flags().contains(Flags::URG), left > 0, "at {offset}");
            assert_eq!(u32::from(sent.header.urgent), left.min(65_535));
            script.ack = sent.header.seq.wrapping_add(sent.text.len() as u32);
        }
        let ack = script.header(Flags::ACK);
        script.deliver(&ack, &[]);
    }
    assert_eq!(total, 210_000);
}

/// 9293-MUST-30, 9293-MUST-31, 9293-MUST-33, 6093-6: a long run is in line, and the application can see where it ends.
#[test]
fn receiving_a_long_urgent_run() {
    let (mut script, handle) = reach(State::Established);
    assert_eq!(script.stack.tcp_urgent_remaining(handle), None);
    let run = 200_000_u32;
    let start = script.seq;
    let mut received = Vec::new();
    let mut left = run;
    while left > 0 {
        let len = left.min(1_000);
        let pointer = left.min(65_535) as u16;
        urgent(&mut script, pointer, &vec![left as u8; len as usize]);
        left -= len;
        let known = (script.seq.wrapping_sub(start) - len + u32::from(pointer)).min(run);
        assert_eq!(script.stack.tcp_urgent_remaining(handle), Some(known - received.len() as u32));
        received.extend(read(&mut script, handle, 900));
    }
    script.peer_sends(b"calm");
    while let Some(remaining) = script.stack.tcp_urgent_remaining(handle) {
        assert_eq!(received.len() + remaining as usize, run as usize);
        let at_mark = script.stack.tcp_connection(handle).unwrap().at_mark();
        assert_eq!(at_mark, remaining == 1);
        received.extend(read(&mut script, handle, if remaining > 5 { 777.min(remaining as usize - 3) } else { 1 }));
    }
    assert_eq!(received.len(), run as usize, "urgent mode ends with the run");
    received.extend(script.receive(handle));
    assert_eq!(received.len(), run as usize + 4, "every urgent octet was in its place");
    assert_eq!(received.last_chunk(), Some(b"calm"));
}

/// 9293-MUST-32, 9293-3.10.7.4-34: told when it begins and when it advances, not when it is repeated.
#[test]
fn notifications() {
    let (mut script, handle) = reach(State::Established);
    told(&mut script);
    let start = script.seq;
    for (pointer, expected, remaining) in [(10, 1, 10), (10, 0, 10), (20, 1, 20), (15, 0, 20), (20, 0, 20)] {
        script.seq = start;
        urgent(&mut script, pointer, b"");
        assert_eq!(told(&mut script), expected, "pointer {pointer}");
        assert_eq!(script.stack.tcp_urgent_remaining(handle), Some(remaining));
    }
    // After the run a new one is told again.
    script.seq = start;
    script.peer_sends(&[0; 20]);
    assert_eq!((script.receive(handle).len(), script.receive(handle).len()), (19, 1));
    assert_eq!(script.stack.tcp_urgent_remaining(handle), None);
    told(&mut script);
    urgent(&mut script, 5, b"12345");
    assert_eq!(told(&mut script), 1);
    // A pointer to what has been read already says nothing.
    assert_eq!([script.receive(handle), script.receive(handle)].concat(), b"12345");
    script.seq = start;
    let header = TcpHeader { urgent: 20, ..script.header(Flags::ACK | Flags::URG) };
    script.inject(&header, &[0; 20]);
    assert_eq!((told(&mut script), script.stack.tcp_urgent_remaining(handle)), (0, None));
}

/// 9293-3.10.7.4-34, 9293-MUST-62, pitfall 1: the pointer works across the end of the sequence space.
#[test]
fn the_pointer_wraps() {
    for start in [0, 1 << 31, u32::MAX - 3] {
        let mut script = Script::new();
        script.seq = start;
        let handle = script.accept();
        urgent(&mut script, 7, b"abc");
        assert_eq!(script.stack.tcp_urgent_remaining(handle), Some(7));
        script.peer_sends(b"defg");
        assert_eq!(read(&mut script, handle, 6), b"abcdef");
        assert_eq!(script.stack.tcp_urgent_remaining(handle), Some(1));
        assert_eq!(read(&mut script, handle, 1), b"g");
        assert_eq!(script.stack.tcp_urgent_remaining(handle), None);
    }
}

/// 9293-3.10.7.4-35: after the peer's FIN nothing can be urgent; before it, in every state that receives, it can.
#[test]
fn urgent_by_state() {
    for (state, counts) in [
        (State::Established, true),
        (State::FinWait1, true),
        (State::FinWait2, true),
        (State::CloseWait, false),
        (State::Closing, false),
        (State::LastAck, false),
        (State::TimeWait, false),
    ] {
        let (mut script, handle) = reach(state);
        told(&mut script);
        urgent(&mut script, 5, b"");
        assert_eq!(told(&mut script), usize::from(counts), "{state}");
        assert_eq!(script.stack.tcp_urgent_remaining(handle).is_some(), counts, "{state}");
    }
}

/// 9293-MUST-66, 9293-MUST-32: also while the receive window is closed.
#[test]
fn urgent_at_a_closed_window() {
    let mut script =
        Script::with(|config| (config.tcp.receive_capacity, config.tcp.window_scaling) = (Some(2_000), false));
    let handle = script.accept();
    script.peer_sends(&[1; 1_000]);
    script.peer_sends(&[1; 1_000]);
    assert_eq!(script.stack.tcp_snapshot(handle).unwrap().rcv_wnd, 0);
    told(&mut script);
    urgent(&mut script, 3, b"abc");
    assert_eq!(told(&mut script), 1);
    assert_eq!(script.stack.tcp_urgent_remaining(handle), Some(2_003));
}

/// A read ends before the last urgent octet, so that its place can be found; the next one goes on with it.
#[test]
fn a_read_ends_at_the_mark() {
    let (mut script, handle) = reach(State::Established);
    urgent(&mut script, 5, b"calm! again");
    let mut peeked = [0; 20];
    assert_eq!(script.stack.tcp_peek(handle, &mut peeked), Ok(4));
    assert_eq!(read(&mut script, handle, 20), b"calm");
    assert!(script.stack.tcp_connection(handle).unwrap().at_mark());
    assert_eq!(read(&mut script, handle, 20), b"! again");
    // The mark at the very first octet is no end.
    urgent(&mut script, 1, b"!");
    assert_eq!(read(&mut script, handle, 20), b"!");
}

/// 9293-MUST-17: once the urgent octet is acknowledged, Nagle's algorithm holds again.
#[test]
fn urgent_mode_ends_with_its_acknowledgment() {
    let (mut script, handle) = reach(State::Established);
    script.stack.tcp_send_urgent(script.now, handle, b"!").unwrap();
    assert_eq!(script.sent().len(), 1);
    assert_eq!(script.send(handle, b"more").len(), 1, "while it lasts nothing waits");
    script.peer_acks(script.ack.wrapping_add(5));
    assert_eq!((script.send(handle, b"one").len(), script.send(handle, b"two").len()), (1, 0));
}
