//! The server: cookies that it gives and checks, and connections that are there before their handshake is over.

use std::net::Shutdown;
use std::time::Duration;

use glasstcp::SocketError;
use glasstcp::sim::{Script, Sent};
use glasstcp::stack::ListenOptions;
use glasstcp::tcp::fast_open::ListenFastOpen;
use glasstcp::tcp::state::State;
use glasstcp::wire::fast_open::Cookie;
use glasstcp::wire::tcp::{Flags, TcpHeader};

use super::support::*;

/// 7413-2: who does not ask for it has nothing to do with it.
#[test]
fn off_unless_asked_for() {
    let mut script = Script::new();
    let listener = script.listen();
    for cookie in [None, bare(Cookie::REQUEST), Cookie::new(&[7; 8])] {
        let seq = script.seq;
        let answer = fast_syn(&mut script, cookie, b"text");
        assert_eq!((answer.header.ack, answer.header.options.fast_open), (seq.wrapping_add(1), None));
        assert_eq!(script.stack.tcp_accept(listener), Err(SocketError::WouldBlock));
        script.inject(&script.header(RST), &[]);
        assert_eq!(script.stack.table_sizes(), (0, 0, 0));
    }
    let (_, syn) = script.connect();
    assert_eq!((syn.header.options.fast_open, &syn.text[..]), (None, &b""[..]));
    let counters = script.stack.counters();
    assert_eq!((counters.fast_open_cookies_asked, counters.fast_open_passive_failed), (0, 0));
}

/// 7413-4.1.2, 7413-4.2.2-2: the request, the cookie, and the next connection, which is answered before its handshake is over.
#[test]
fn a_request_is_answered_by_a_cookie_that_opens_the_next_connection() {
    let (mut script, listener) = listening(4, |_| {});
    let seq = script.seq;
    let answer = fast_syn(&mut script, bare(Cookie::REQUEST), b"too early");
    let cookie = answer.header.options.fast_open.unwrap();
    assert_eq!((answer.header.ack, cookie), (seq.wrapping_add(1), cookie_of(&script, 1)));
    assert_eq!((script.stack.table_sizes(), cookie.octets().len()), ((1, 0, 0), 8));
    script.peer_sends(b"in time");
    let (first, _) = script.stack.tcp_accept(listener).unwrap();
    assert_eq!(script.receive(first), b"in time", "text without a cookie is not delivered");

    script.peer.set_port(40_001);
    let answer = fast_syn(&mut script, Some(cookie), b"GET /");
    assert_eq!((answer.header.options.fast_open, &answer.text[..]), (None, &b""[..]));
    let (second, _) = script.stack.tcp_accept(listener).unwrap();
    assert_eq!((state(&script, second), script.receive(second)), (Some(State::SynReceived), b"GET /".to_vec()));
    let sent = script.send(second, &[7; 2_500]);
    assert_eq!(sent.iter().map(|sent| sent.text.len()).sum::<usize>(), 2_500, "{sent:#?}");
    assert!(sent.iter().all(|sent| sent.flags().contains(ACK) && sent.header.ack == script.seq));
    script.peer_acks(script.ack.wrapping_add(2_500));
    assert_eq!(state(&script, second), Some(State::Established));
    assert!(script.stack.tcp_connection(second).unwrap().agreed.syn_text);
    let counters = script.stack.counters();
    assert_eq!((counters.fast_open_cookies_asked, counters.fast_open_passive), (1, 1));
    assert_eq!((counters.fast_open_passive_failed, counters.passive_opens), (0, 2));
}

/// 7413-4.2.2-2: what is not acknowledged comes again, and is delivered once.
#[test]
fn without_a_valid_cookie_only_the_syn_is_acknowledged() {
    let (mut script, listener) = listening(4, |_| {});
    let own = cookie_of(&script, 1);
    let foreign = {
        let mut other = Script::new();
        other.peer = "10.0.0.9:40000".parse().unwrap();
        cookie_of(&other, 1)
    };
    let forged = [Cookie::new(&[0; 4]), Cookie::new(&[9; 16]), Some(foreign), Cookie::new(&own.octets()[..6])];
    for (port, cookie) in (50_000..).zip(forged) {
        script.peer.set_port(port);
        let seq = script.seq;
        let answer = fast_syn(&mut script, cookie, b"text");
        assert_eq!(answer.header.ack, seq.wrapping_add(1));
        assert_eq!(answer.header.options.fast_open, Some(own), "the right one is told");
        script.peer_sends(b"text");
        let (handle, _) = script.stack.tcp_accept(listener).unwrap();
        assert_eq!(script.receive(handle), b"text");
    }
    assert_eq!(script.stack.counters().fast_open_passive_failed, 4);
    assert_eq!(script.stack.counters().fast_open_passive, 0);
}

/// 7413-4.1.2: a cookie of the last key is taken, and the SYN-ACK brings a new one, once.
#[test]
fn an_old_cookie_is_replaced() {
    let (mut script, listener) = listening(4, |_| {});
    let (old, new) = (cookie_of(&script, 2), cookie_of(&script, 1));
    let answer = fast_syn(&mut script, Some(old), b"text");
    assert_eq!(answer.header.options.fast_open, Some(new));
    let again = script.pass(Duration::from_secs(1));
    assert_eq!((again.len(), again[0].header.ack, again[0].header.options.fast_open), (1, script.seq, None));
    let (handle, _) = script.stack.tcp_accept(listener).unwrap();
    assert_eq!(script.receive(handle), b"text");
}

/// 7413-4.1.1: the option as it was before it had a number is understood, and answered in the same form.
#[test]
fn the_experimental_option() {
    let (mut script, listener) = listening(4, |_| {});
    let asked = Cookie::REQUEST.in_experiment(true);
    let told = fast_syn(&mut script, Some(asked), b"").header.options.fast_open.unwrap();
    assert!(told.experimental && told.octets() == cookie_of(&script, 1).octets());
    script.peer.set_port(40_001);
    fast_syn(&mut script, Some(told), b"text");
    assert!(script.stack.tcp_accept(listener).is_ok());
}

/// 7413-4.2: over the limit SYNs open as without Fast Open; those that were reset count for a while.
#[test]
fn pending_connections_are_limited() {
    let (mut script, listener) = listening(3, |_| {});
    let cookie = cookie_of(&script, 1);
    let open = |script: &mut Script, port| {
        script.peer.set_port(port);
        script.seq = 1_000;
        let answer = fast_syn(script, Some(cookie), b"text");
        (answer.header.ack == 1_005, answer.header.options.fast_open)
    };
    for port in 1..=3 {
        assert_eq!(open(&mut script, port), (true, None));
    }
    for port in 4..=10 {
        assert_eq!(open(&mut script, port), (false, None), "the fourth, and all after it");
    }
    assert_eq!(script.stack.counters().fast_open_overflows, 7);
    assert_eq!(script.stack.table_sizes(), (7, 3, 0));
    // A handshake is over: room for another.
    script.peer.set_port(1);
    script.seq = 1_005;
    let handle = script.stack.tcp_accept(listener).unwrap().0;
    script.ack = script.stack.tcp_connection(handle).unwrap().snd.nxt.0;
    script.inject(&script.header(ACK), &[]);
    assert_eq!(state(&script, handle), Some(State::Established));
    assert_eq!(open(&mut script, 11), (true, None));
    // A RST makes room later: forged SYNs are followed by one each.
    script.inject(&script.header(RST), &[]);
    assert_eq!(open(&mut script, 12), (false, None));
    script.pass(Duration::from_secs(60));
    assert_eq!(open(&mut script, 13), (true, None));
    assert_eq!(open(&mut script, 14), (false, None));
}

/// 7413-4.2.2-2: a SYN-ACK leaves again without anything else, and text behind it only once it is acknowledged.
#[test]
fn a_lost_syn_ack_is_sent_again_alone() {
    let (mut script, listener) = listening(4, |_| {});
    let handle = fast_opened(&mut script, listener, b"request");
    let sent = script.send(handle, &[7; 1_500]);
    assert_eq!(sent.iter().map(|sent| sent.text.len()).sum::<usize>(), 1_500);
    let again = script.pass(Duration::from_millis(3_100));
    let shape = |sent: &Sent| (sent.flags(), sent.text.len(), sent.header.ack, sent.header.options.fast_open);
    assert_eq!(again.iter().map(shape).collect::<Vec<_>>(), [(syn_ack(), 0, script.seq, None); 2], "after 1 s and 3 s");
    let sent = script.peer_acks(script.ack);
    assert_eq!(state(&script, handle), Some(State::Established));
    assert_eq!(sent[0].header.seq, script.ack, "{sent:#?}");
    let first = sent.iter().map(|sent| sent.text.len()).sum::<usize>();
    let more = script.peer_acks(script.ack.wrapping_add(first as u32));
    assert_eq!(first + more.iter().map(|sent| sent.text.len()).sum::<usize>(), 1_500);
}

/// The client has not seen the SYN-ACK and sends its SYN again, without cookie and text: it gets the SYN-ACK again.
#[test]
fn a_repeated_syn_is_answered_by_the_syn_ack() {
    let (mut script, listener) = listening(4, |_| {});
    for text in [&b"request"[..], b""] {
        let start = script.seq;
        let handle = fast_opened(&mut script, listener, text);
        let plain = TcpHeader { seq: start, options: with(None), ..script.header(SYN) };
        for _ in 0..3 {
            script.deliver(&plain, &[]);
            let again = script.sent_one();
            assert_eq!((again.flags(), again.header.seq), (syn_ack(), script.ack.wrapping_sub(1)));
            assert_eq!((again.header.ack, again.text.len()), (script.seq, 0));
        }
        // A copy of the first, with its text and cookie.
        let copy = TcpHeader { options: with(Some(cookie_of(&script, 1))), ..plain };
        script.deliver(&copy, text);
        assert_eq!(script.sent_one().flags(), syn_ack());
        assert_eq!(script.receive(handle), text, "once");
        // Not without end.
        let answers: usize = (0..100).map(|_| script.inject(&plain, &[]).len()).sum();
        assert!(answers <= 10, "{answers}");
        script.peer_acks(script.ack);
        assert_eq!(state(&script, handle), Some(State::Established));
        script.peer.set_port(script.peer.port() + 1);
    }
}

/// What the application has is its own: the text can be read after a reset, and then the reset is told.
#[test]
fn a_reset_before_the_end_of_the_handshake() {
    let (mut script, listener) = listening(4, |_| {});
    let handle = fast_opened(&mut script, listener, b"request");
    script.inject(&script.header(RST), &[]);
    assert_eq!(script.receive(handle), b"request");
    assert_eq!(script.stack.tcp_error(handle), Some(SocketError::Reset));
    assert_eq!(script.stack.tcp_send(script.now, handle, b"x"), Err(SocketError::Reset));
    // A listener that closes resets those that nobody has accepted.
    let cookie = cookie_of(&script, 1);
    fast_syn(&mut script, Some(cookie), b"request");
    script.stack.listener_close(script.now, listener);
    let sent = script.sent_one();
    assert_eq!((sent.flags(), sent.header.seq, sent.header.ack), (RST | ACK, script.ack, script.seq));
}

/// A forged SYN costs as much time as with a half-open record.
#[test]
fn without_an_answer_it_ends() {
    let (mut script, listener) = listening(1, |_| {});
    let handle = fast_opened(&mut script, listener, b"request");
    let sent = script.pass(Duration::from_secs(62));
    assert_eq!((sent.len(), state(&script, handle)), (5, Some(State::SynReceived)));
    let sent = script.pass(Duration::from_secs(2));
    assert_eq!((sent, state(&script, handle)), (vec![], Some(State::Closed)));
    assert_eq!(script.stack.tcp_error(handle), Some(SocketError::TimedOut));
    script.stack.tcp_close(script.now, handle);
    script.peer.set_port(40_001);
    fast_opened(&mut script, listener, b"request");
}

/// 7413-4.2.2-2: an answer and a close before the handshake is over; the FIN waits for it, or leaves alone.
#[test]
fn answering_and_closing_at_once() {
    for answer in [&b"answer"[..], b""] {
        let (mut script, listener) = listening(4, |_| {});
        let handle = fast_opened(&mut script, listener, b"request");
        script.receive(handle);
        if !answer.is_empty() {
            let sent = script.send(handle, answer);
            assert_eq!((sent.len(), &sent[0].text[..]), (1, answer));
        }
        script.stack.tcp_shutdown(script.now, handle, Shutdown::Write).unwrap();
        let before = script.sent();
        let fins = |sent: &[Sent]| sent.iter().filter(|sent| sent.flags().contains(Flags::FIN)).count();
        assert_eq!(fins(&before), usize::from(answer.is_empty()));
        let end = script.ack.wrapping_add(answer.len() as u32);
        let after = script.peer_acks(if answer.is_empty() { end.wrapping_add(1) } else { end });
        assert_eq!(fins(&before) + fins(&after), 1);
        script.peer_acks(end.wrapping_add(1));
        assert_eq!(state(&script, handle), Some(State::FinWait2));
        script.peer_closes();
        assert_eq!(script.stack.table_sizes().2, 1);
    }
}

/// 7413-6.1: a copy of the SYN that comes when all is over opens a connection like the first, and nobody can tell.
#[test]
fn a_late_copy_delivers_its_text_once_more() {
    let (mut script, listener) = listening(4, |_| {});
    let start = script.seq;
    for _ in 0..2 {
        script.seq = start;
        let handle = fast_opened(&mut script, listener, b"pay 10");
        assert_eq!(script.receive(handle), b"pay 10");
        // The client closes first, so that no TIME-WAIT remains here.
        script.peer_closes();
        script.stack.tcp_close(script.now, handle);
        script.sent();
        script.peer_acks(script.ack.wrapping_add(1));
        assert_eq!(script.stack.table_sizes(), (0, 0, 0));
    }
}

/// Where there is no room for a connection, the handshake goes on without.
#[test]
fn without_room_it_is_a_handshake_like_any() {
    let (mut script, _) = listening(4, |config| config.tcp.max_connections = 1);
    let (cookie, start) = (cookie_of(&script, 1), script.seq);
    script.connect();
    script.peer.set_port(40_001);
    let answer = fast_syn(&mut script, Some(cookie), b"text");
    assert_eq!((answer.header.ack, script.stack.counters().fast_open_passive_failed), (start.wrapping_add(1), 1));
}

/// A service that is immune takes text without cookies (RFC 7413 section 7.3); no SYN without text opens anything so.
#[test]
fn without_cookies() {
    let mut script = Script::new();
    let fast_open = ListenFastOpen { without_cookies: true, ..ListenFastOpen::new(4) };
    let options = ListenOptions { fast_open: Some(fast_open), ..ListenOptions::default() };
    let listener = script.stack.tcp_listen_with(script.local, &options).unwrap();
    fast_syn(&mut script, None, b"text");
    let (handle, _) = script.stack.tcp_accept(listener).unwrap();
    assert_eq!(script.receive(handle), b"text");
    script.peer.set_port(40_001);
    fast_syn(&mut script, None, b"");
    assert_eq!(script.stack.tcp_accept(listener), Err(SocketError::WouldBlock));
    // Whoever decides about SYNs cannot have them opened.
    script.local.set_port(81);
    let both = ListenOptions { deferred: true, ..options };
    assert_eq!(script.stack.tcp_listen_with(script.local, &both), Err(SocketError::InvalidArgument));
}

/// Two stacks, through all of it: 7413-4.2.2-1 and 7413-4.2.2-2 from both ends.
#[test]
fn two_stacks_understand_each_other() {
    let (mut server, listener) = listening(4, |_| {});
    let mut client = Script::on("10.0.0.1:40000", "10.0.0.2:80", |config| {
        config.addresses = vec!["10.0.0.1/24".parse().unwrap()];
    });
    for round in 0..3 {
        let options = client.stack.config().tcp.socket;
        let text = format!("request {round}");
        let (ours, _) = client.stack.tcp_connect_fast(client.now, None, client.peer, options, text.as_bytes()).unwrap();
        let syn = client.sent_one();
        assert_eq!(syn.text, if round == 0 { &b""[..] } else { text.as_bytes() });
        server.deliver_packet(&syn.packet);
        if round > 0 {
            // Half a round trip after the call: read and answered.
            let (theirs, _) = server.stack.tcp_accept(listener).unwrap();
            assert_eq!(server.receive(theirs), text.as_bytes());
            server.stack.tcp_send(server.now, theirs, b"answer").unwrap();
        }
        for _ in 0..4 {
            for sent in server.sent() {
                client.deliver_packet(&sent.packet);
            }
            for sent in client.sent() {
                server.deliver_packet(&sent.packet);
            }
        }
        assert_eq!(client.stack.tcp_state(ours), Some(State::Established));
        if round == 0 {
            let (theirs, _) = server.stack.tcp_accept(listener).unwrap();
            assert_eq!(server.receive(theirs), text.as_bytes());
        } else {
            assert_eq!(client.receive(ours), b"answer");
        }
    }
    assert_eq!((client.stack.counters().fast_open_active, server.stack.counters().fast_open_passive), (2, 2));
}
