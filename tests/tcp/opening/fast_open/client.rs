//! The client: cookies that it asks for and keeps, SYNs with text, and what it remembers of failures.

use std::time::Duration;

use glasstcp::SocketError;
use glasstcp::sim::{Script, Sent};
use glasstcp::stack::TcpHandle;
use glasstcp::tcp::state::State;
use glasstcp::wire::fast_open::Cookie;
use glasstcp::wire::option::{TcpOptions, Timestamp};
use glasstcp::wire::tcp::TcpHeader;

use super::support::*;

/// The stack connects with text; the SYN, and how much of the text was queued.
fn connect(script: &mut Script, text: &[u8]) -> (TcpHandle, Sent) {
    let options = script.stack.config().tcp.socket;
    let (handle, queued) = script.stack.tcp_connect_fast(script.now, None, script.peer, options, text).unwrap();
    assert_eq!(queued, text.len());
    let syn = script.sent_one();
    assert_eq!(syn.flags(), SYN);
    script.local.set_port(syn.header.source_port);
    script.ack = syn.header.seq.wrapping_add(1 + syn.text.len() as u32);
    (handle, syn)
}

/// The server answers and acknowledges up to `ack`.
fn answer(script: &mut Script, ack: u32, options: TcpOptions) -> Vec<Sent> {
    script.ack = ack;
    let header = TcpHeader { options, ..script.header(syn_ack()) };
    script.seq = script.seq.wrapping_add(1);
    script.inject(&header, &[])
}

/// A script whose stack knows the server's cookie.
fn with_cookie(octets: &[u8]) -> (Script, Cookie) {
    let mut script = Script::new();
    let cookie = Cookie::new(octets).unwrap();
    let (handle, syn) = connect(&mut script, b"");
    assert_eq!(syn.header.options.fast_open, Some(Cookie::REQUEST));
    let ack = script.ack;
    answer(&mut script, ack, with(Some(cookie)));
    script.stack.tcp_abort(script.now, handle);
    script.stack.tcp_close(script.now, handle);
    script.sent();
    (script, cookie)
}

/// What the SYN of a connection that is given up at once carries.
fn tried(script: &mut Script) -> (Option<Cookie>, Vec<u8>) {
    let (handle, syn) = connect(script, b"text");
    script.stack.tcp_close(script.now, handle);
    script.silence();
    (syn.header.options.fast_open, syn.text)
}

/// 7413-4.2.2-1: whether text of our SYN was taken can be seen: of one without text none was, nor of one of which a part came again.
#[test]
fn the_text_of_a_syn_was_taken_as_a_whole_or_not() {
    for (text, acknowledged, taken) in [(0, 0, false), (20, 0, false), (20, 19, false), (20, 20, true)] {
        let (mut script, cookie) = with_cookie(&[7; 8]);
        let (handle, syn) = connect(&mut script, &vec![1; text]);
        assert_eq!(syn.text.len(), text);
        let ack = syn.header.seq.wrapping_add(1 + acknowledged);
        answer(&mut script, ack, with(Some(cookie)));
        assert_eq!(state(&script, handle), Some(State::Established));
        assert_eq!(script.stack.tcp_connection(handle).unwrap().agreed.syn_text, taken, "{acknowledged} of {text}");
    }
}

/// 7413-4.1.3, 7413-4.2.2-1: first a request, and the text behind the handshake; then the cookie, and text up to the MSS that
/// the server has told less all options.
#[test]
fn a_client_asks_once_and_uses_the_cookie_from_then_on() {
    let mut script = Script::new();
    let (_, syn) = connect(&mut script, b"first");
    assert_eq!((syn.header.options.fast_open, &syn.text[..]), (Some(Cookie::REQUEST), &b""[..]));
    let cookie = Cookie::new(b"cookie").unwrap();
    let ack = script.ack;
    assert_eq!(text_of(&answer(&mut script, ack, with(Some(cookie)))), b"first");

    let text: Vec<u8> = (0..3_000).map(|n| n as u8).collect();
    let (handle, syn) = connect(&mut script, &text);
    assert_eq!((syn.header.options.fast_open, &syn.text[..]), (Some(cookie), &text[..960]));
    let ack = script.ack;
    let rest = answer(&mut script, ack, with(None));
    assert_eq!(text_of(&rest), text[960..]);
    assert_eq!(rest[0].header.seq, ack);
    assert_eq!(state(&script, handle), Some(State::Established));
    assert!(script.stack.tcp_connection(handle).unwrap().agreed.syn_text);
    let counters = script.stack.counters();
    assert_eq!((counters.fast_open_active, counters.fast_open_active_failed), (1, 0));
    // The cookie stays although the last SYN-ACK had none.
    let (_, syn) = connect(&mut script, b"third");
    assert_eq!((syn.header.options.fast_open, &syn.text[..]), (Some(cookie), &b"third"[..]));
}

/// 9293-3.10.7.3-2, 7413-4.2.2-1: the SYN-ACK may acknowledge any part of the text; the rest leaves at once.
#[test]
fn what_the_syn_ack_leaves_out_is_sent_again() {
    for acknowledged in [0_u32, 1, 50, 99] {
        let (mut script, cookie) = with_cookie(&[5; 8]);
        let text: Vec<u8> = (0..100).collect();
        let (handle, syn) = connect(&mut script, &text);
        assert_eq!((syn.header.options.fast_open, syn.text.len()), (Some(cookie), 100));
        let ack = syn.header.seq.wrapping_add(1 + acknowledged);
        let rest = answer(&mut script, ack, with(Some(cookie)));
        assert_eq!((rest.len(), rest[0].header.seq, &rest[0].text[..]), (1, ack, &text[acknowledged as usize..]));
        assert_eq!(state(&script, handle), Some(State::Established));
        assert!(!script.stack.tcp_connection(handle).unwrap().agreed.syn_text);
        assert_eq!(script.stack.counters().fast_open_active_failed, 1);
        assert_eq!(script.stack.tcp_snapshot(handle).unwrap().cwnd, 10 * 1_000, "that is no congestion");
        script.peer_acks(syn.header.seq.wrapping_add(101));
        assert_eq!(script.stack.tcp_connection(handle).unwrap().flight(), 0);
    }
}

/// 9293-3.10.7.3-1: nothing beyond the text is acceptable, and what such a SYN-ACK says is not learned.
#[test]
fn a_syn_ack_of_more_than_was_sent() {
    let (mut script, cookie) = with_cookie(&[5; 8]);
    let (handle, syn) = connect(&mut script, b"text");
    let ack = syn.header.seq.wrapping_add(6);
    let sent = answer(&mut script, ack, with(Cookie::new(&[6; 8])));
    assert_eq!((sent.len(), sent[0].flags(), sent[0].header.seq), (1, RST, ack));
    assert_eq!(state(&script, handle), Some(State::SynSent));
    assert_eq!(connect(&mut script, b"more").1.header.options.fast_open, Some(cookie));
}

/// 7413-4.2.2-1, 7413-4.1.3: without an answer the SYN leaves again like any other; if that is what helps, the service is left
/// alone for a minute, and for two after the next time.
#[test]
fn a_lost_syn_leaves_again_without_option_and_text() {
    let (mut script, cookie) = with_cookie(&[5; 8]);
    for wait in [60, 120] {
        let (handle, syn) = connect(&mut script, b"text");
        assert_eq!((syn.header.options.fast_open, &syn.text[..]), (Some(cookie), &b"text"[..]));
        let again = script.pass(Duration::from_millis(3_100));
        assert_eq!(again.len(), 2);
        for syn_again in &again {
            assert_eq!((syn_again.flags(), syn_again.header.seq), (SYN, syn.header.seq));
            assert_eq!((syn_again.header.options.fast_open, &syn_again.text[..]), (None, &b""[..]));
        }
        let sent = answer(&mut script, syn.header.seq.wrapping_add(1), with(None));
        assert_eq!((sent.len(), &sent[0].text[..]), (1, &b"text"[..]));
        script.peer_acks(syn.header.seq.wrapping_add(5));
        assert_eq!(state(&script, handle), Some(State::Established));

        script.pass(Duration::from_secs(wait - 1));
        assert_eq!(tried(&mut script), (None, vec![]), "not yet");
        script.peer.set_port(40_001);
        assert_eq!(tried(&mut script), (Some(cookie), b"text".to_vec()), "another service");
        script.peer.set_port(40_000);
        script.pass(Duration::from_secs(1));
    }
}

/// 7413-4.1.3: neither a server that never answers nor one that refuses is asked again soon.
#[test]
fn failures_are_remembered() {
    let mut script = Script::new();
    let (handle, syn) = connect(&mut script, b"text");
    assert_eq!(syn.header.options.fast_open, Some(Cookie::REQUEST));
    script.pass(Duration::from_secs(200));
    assert_eq!(script.stack.tcp_error(handle), Some(SocketError::TimedOut));
    assert_eq!(tried(&mut script).0, None);
    script.peer.set_port(40_001);
    let (handle, _) = connect(&mut script, b"text");
    script.inject(&script.header(RST | ACK), &[]);
    assert_eq!(script.stack.tcp_error(handle), Some(SocketError::Refused));
    assert_eq!(tried(&mut script).0, None);
    // A server that knows nothing of it.
    script.peer.set_port(40_002);
    let (_, syn) = connect(&mut script, b"text");
    assert_eq!(syn.header.options.fast_open, Some(Cookie::REQUEST));
    let ack = script.ack;
    assert_eq!(text_of(&answer(&mut script, ack, with(None))), b"text");
    assert_eq!(tried(&mut script).0, None);
    // Whoever changes its mind has learned nothing.
    script.peer.set_port(40_003);
    assert_eq!([tried(&mut script).0, tried(&mut script).0], [Some(Cookie::REQUEST); 2]);
}

/// 7413-4.1.1: options of impossible length, and those without SYN, say nothing.
#[test]
fn options_that_say_nothing() {
    let (mut script, cookie) = with_cookie(&[5; 8]);
    let (handle, _) = connect(&mut script, b"text");
    let ack = script.ack;
    answer(&mut script, ack, with(Some(Cookie::REQUEST)));
    let options = TcpOptions { fast_open: Cookie::new(&[6; 8]), ..TcpOptions::default() };
    script.inject(&TcpHeader { options, ..script.header(ACK) }, b"more");
    assert_eq!(script.receive(handle), b"more");
    assert_eq!(connect(&mut script, b"text").1.header.options.fast_open, Some(cookie));
}

/// Both ends open by Fast Open at once: the text waits for the handshake, and is sent again.
#[test]
fn a_simultaneous_open() {
    let (mut script, cookie) = with_cookie(&[5; 8]);
    let (handle, syn) = connect(&mut script, b"ours");
    let crossing = TcpHeader { options: with(Some(cookie)), ..script.header(SYN) };
    let sent = script.inject(&crossing, b"theirs");
    script.seq = script.seq.wrapping_add(1);
    let first = &sent[0].header;
    assert_eq!((sent.len(), first.flags, first.seq, first.ack), (1, syn_ack(), syn.header.seq, script.seq));
    script.ack = syn.header.seq.wrapping_add(1);
    let sent = script.peer_sends(b"theirs");
    assert_eq!(state(&script, handle), Some(State::Established));
    assert_eq!((script.receive(handle), text_of(&sent)), (b"theirs".to_vec(), b"ours".to_vec()));
}

/// Timestamps and the largest cookie fill the header, over IPv6.
#[test]
fn the_largest_syn() {
    let mut script = Script::on("[fd00:67::2]:80", "[fd00:67::1]:40000", |_| {});
    let cookie = Cookie::new(&[5; 16]).unwrap();
    let (_, syn) = connect(&mut script, b"");
    let echo = syn.header.options.timestamp.unwrap().value;
    let (ack, told) = (script.ack, Some(Timestamp { value: 1, echo }));
    answer(&mut script, ack, TcpOptions { timestamp: told, mss: None, ..with(Some(cookie)) });
    let (_, syn) = connect(&mut script, &[7; 2_000]);
    assert_eq!((syn.header.options.fast_open, syn.text.len()), (Some(cookie), 1_220 - 40));
    assert_eq!(syn.packet.len(), 40 + 60 + 1_180);
    assert!(syn.header.options.timestamp.is_some());
}

/// With ECN asked for, neither the SYN nor its text may be marked (RFC 3168 section 6.1.1).
#[test]
fn a_syn_with_text_is_not_ecn_capable() {
    let (mut script, _) = with_cookie(&[5; 8]);
    script.stack.configure(|config| config.tcp.ecn = glasstcp::tcp::ecn::EcnMode::Request).unwrap();
    let options = script.stack.config().tcp.socket;
    script.stack.tcp_connect_fast(script.now, None, script.peer, options, b"text").unwrap();
    let syn = script.sent_one();
    assert_eq!((syn.ecn(), &syn.text[..]), (0, &b"text"[..]));
}
