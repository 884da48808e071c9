//! SYNs that come again, late or from both sides, or with text: what they say, and what they say no more.

use glasstcp::SocketError;
use glasstcp::sim::{Script, Sent};
use glasstcp::stack::{ListenOptions, ListenerHandle};
use glasstcp::tcp::FourTuple;
use glasstcp::tcp::accurate_ecn::ace_flags;
use glasstcp::tcp::ecn::{BITS, CE, ECT_0, EcnMode, Feedback, NOT_ECT};
use glasstcp::tcp::fast_open::{Key, Keys, ListenFastOpen};
use glasstcp::tcp::state::State;
use glasstcp::wire::accurate_ecn::First;
use glasstcp::wire::fast_open::Cookie;
use glasstcp::wire::option::{TcpOptions, Timestamp};
use glasstcp::wire::tcp::{Flags, TcpHeader};

use super::support::*;
use crate::flow::*;

const SYN: Flags = Flags::SYN;
const ACK: Flags = Flags::ACK;

/// The peer's SYN, or SYN,ACK, once more, on a connection that has it.
fn again(script: &mut Script, flags: Flags, codepoint: u8) -> Vec<Sent> {
    let header = TcpHeader { seq: script.seq.wrapping_sub(1), ..script.header(flags) };
    let before = std::mem::replace(&mut script.ecn, codepoint);
    let sent = script.inject(&header, &[]);
    script.ecn = before;
    sent
}

/// 9768-3.1.5: once a connection is open, the bits of a SYN mean nothing: neither that its host does not ask, nor that it asks for
/// the other feedback.
#[test]
fn a_syn_that_comes_late_changes_nothing() {
    for bits in [0, 0b011, 0b111] {
        let (mut script, handle) = accepted_with(SACK);
        let sent = again(&mut script, SYN | ace_flags(bits), CE);
        assert_eq!((sent.len(), sent[0].flags()), (1, ACK | ace_flags(5)), "{bits:03b}");
        let sent = script.send(handle, b"text");
        assert_eq!((number(&sent[0]), sent[0].ecn()), (5, ECT_0), "{bits:03b}");
    }
}

/// 9768-3.2.2: who is asked tells no one how a SYN,ACK has come, and who asks only of one that answers its SYN: else the counter.
#[test]
fn a_syn_ack_that_answers_nothing_is_not_told() {
    let (mut script, handle) = accepted_with(SACK);
    let sent = again(&mut script, SYN | ACK | ace_flags(0b010), CE);
    assert_eq!((sent.len(), number(&sent[0]), state(&script, handle).received.packets), (1, 5, 5));

    let (mut script, handle) = connected();
    let ack = script.ack;
    script.ack = ack.wrapping_add(1_000);
    let sent = again(&mut script, SYN | ACK | ace_flags(0b010), CE);
    assert_eq!((sent.len(), number(&sent[0]), state(&script, handle).received.packets), (1, 5, 5));
    script.ack = ack;
    let sent = again(&mut script, SYN | ACK | ace_flags(0b010), CE);
    assert_eq!((sent.len(), number(&sent[0]), state(&script, handle).received.packets), (1, 0b110, 6));
}

/// 9768-3.2.2: where there are SACK blocks, the counter; the code is told by the next ACK that has none.
#[test]
fn the_code_waits_for_an_ack_without_blocks() {
    let mut script = Script::with(mode(EcnMode::RequestAccurate));
    script.connect();
    let header = TcpHeader { options: plain(SACK), ..script.header(SYN | ACK | ace_flags(0b010)) };
    assert_eq!(number(&script.inject(&header, &[])[0]), 0b010);
    script.seq = script.seq.wrapping_add(1);
    assert_eq!(peer_sends_at(&mut script, 100, &text(100))[0].header.options.sack.len(), 1);
    let sent = again(&mut script, SYN | ACK | ace_flags(0b010), ECT_0);
    assert_eq!((sent.len(), number(&sent[0]), sent[0].header.options.sack.len()), (1, 5, 1));
    let sent = from_peer(&mut script, 5, None, NOT_ECT, &text(100));
    assert_eq!((sent.len(), number(&sent[0]), sent[0].header.options.sack.len()), (1, 0b100, 0));
}

/// A listener that does Fast Open, and the cookie of the script's peer.
fn fast_listener(script: &mut Script) -> (ListenerHandle, Cookie) {
    let options = ListenOptions { fast_open: Some(ListenFastOpen::new(4)), ..ListenOptions::default() };
    let listener = script.stack.tcp_listen_with(script.local, &options).unwrap();
    let keys = script.stack.config().tcp.fast_open_keys.unwrap();
    (listener, keys.make(&FourTuple::new(script.local, script.peer), script.now).unwrap())
}

fn with_fast_open() -> Script {
    Script::with(|config| {
        mode(EcnMode::AcceptAccurate)(config);
        config.tcp.fast_open_keys = Some(Keys::Fixed(Key([1; 16]), None));
    })
}

/// 9768-3.1.5, 9768-3.2.3: the SYN,ACK of a connection that Fast Open has opened falls back as that of a listener does. Once it has
/// left without bits nothing is ECN-capable; once it has left again no segment has an option.
#[test]
fn a_syn_ack_of_fast_open_that_is_lost_falls_back() {
    for (losses, by_syn) in [(0, false), (1, false), (2, false), (3, false), (1, true)] {
        let mut script = with_fast_open();
        let (listener, cookie) = fast_listener(&mut script);
        let options = TcpOptions { mss: Some(1_460), fast_open: Some(cookie), ..TcpOptions::default() };
        let header = TcpHeader { options, ..script.header(SYN | ace_flags(0b111)) };
        let mut sent = script.inject(&header, b"text");
        script.seq = script.seq.wrapping_add(5);
        while sent.len() < 1 + losses {
            let more = if by_syn {
                script.inject(&TcpHeader { options: plain(SACK), ..header }, &[])
            } else {
                script.pass(secs(1))
            };
            sent.extend(more);
        }
        let seen: Vec<_> = sent.iter().map(|sent| (number(sent), sent.header.options.accurate_ecn.is_some())).collect();
        assert_eq!(seen, [(0b010, true), (0b010, false), (0, false), (0, false)][..1 + losses]);
        let (handle, _) = script.stack.tcp_accept(listener).unwrap();
        script.ack = sent[0].header.seq.wrapping_add(1);
        from_peer(&mut script, 0b010, untouched(), NOT_ECT, &[]);
        assert_eq!(script.stack.tcp_state(handle), Some(State::Established));
        assert_eq!(feedback(&script, handle), Feedback::Accurate);
        let sent = script.send(handle, b"text");
        assert_eq!((sent[0].ecn(), number(&sent[0])), (if losses < 2 { ECT_0 } else { NOT_ECT }, 5), "{losses}");
        let sent = from_peer(&mut script, 5, None, CE, &text(MSS));
        assert_eq!((number(&sent[0]), sent[0].header.options.accurate_ecn.is_some()), (6, losses == 0), "{losses}");
    }
}

/// 9768-3.1.5: also on a connection that Fast Open has opened, two SYNs that contradict each other end it.
#[test]
fn a_contradicting_syn_behind_fast_open_ends_it() {
    for (second, ends) in [(0b111, false), (0, false), (0b011, true)] {
        let mut script = with_fast_open();
        let (listener, cookie) = fast_listener(&mut script);
        let options = TcpOptions { mss: Some(1_460), fast_open: Some(cookie), ..TcpOptions::default() };
        let header = TcpHeader { options, ..script.header(SYN | ace_flags(0b111)) };
        script.inject(&header, b"text");
        let (handle, _) = script.stack.tcp_accept(listener).unwrap();
        let sent = script.inject(&TcpHeader { flags: SYN | ace_flags(second), options: plain(SACK), ..header }, &[]);
        assert_eq!((sent.len(), sent[0].flags().contains(Flags::RST)), (1, ends), "{second:03b}");
        assert_eq!(script.stack.tcp_error(handle), ends.then_some(SocketError::Reset));
    }
}

/// 9768-3.2.2: an ACK with SACK blocks counts, also where it opens the connection.
#[test]
fn an_ack_with_blocks_has_no_code() {
    for (blocks, told) in [(false, 5), (true, 7)] {
        let mut script = Script::with(mode(EcnMode::AcceptAccurate));
        syn(&mut script, 0b111, NOT_ECT, plain(SACK));
        script.seq = script.seq.wrapping_add(1);
        let mut header = script.header(ACK | ace_flags(7));
        if blocks {
            header.options.sack.push(script.ack.wrapping_add(100), script.ack.wrapping_add(200));
        }
        script.inject(&header, &[]);
        let listener = script.stack.listener_at(script.local).unwrap();
        let (handle, _) = script.stack.tcp_accept(listener).unwrap();
        assert_eq!(state(&script, handle).told.packets, told);
    }
}

/// 9768-3.2.3: a SYN that comes again is answered without the option, and then no segment has it.
#[test]
fn a_repeated_syn_takes_the_option_away() {
    let mut script = Script::with(mode(EcnMode::AcceptAccurate));
    for has in [true, false, false] {
        let sent = syn(&mut script, 0b111, NOT_ECT, plain(SACK));
        assert_eq!((number(&sent[0]), sent[0].header.options.accurate_ecn.is_some()), (0b010, has));
    }
    open(&mut script, 0b010, untouched());
    let sent = from_peer(&mut script, 5, None, CE, &text(MSS));
    assert_eq!((number(&sent[0]), sent[0].header.options.accurate_ecn), (6, None));
}

/// 9768-3.2.3: beside a cookie the SYN,ACK has as much of the option as there is room for.
#[test]
fn a_cookie_leaves_room_for_a_part_of_the_option() {
    let mut script = with_fast_open();
    fast_listener(&mut script);
    let timestamp = Some(Timestamp { value: 100, echo: 0 });
    let options = TcpOptions { window_scale: Some(7), timestamp, fast_open: Some(Cookie::REQUEST), ..SACK };
    let sent = syn(&mut script, 0b111, NOT_ECT, options);
    let told = sent[0].header.options;
    assert_eq!((told.fast_open.map(|cookie| cookie.octets().len()), told.window_scale.is_some()), (Some(8), true));
    assert_eq!(told.accurate_ecn, option(First::Ect0, 2, 0, 0, 0));
}

/// A SYN that crosses ours, with these bits; our SYN,ACK.
fn cross(script: &mut Script, bits: u32) -> Vec<Sent> {
    let header = TcpHeader { options: plain(SACK), ..script.header(SYN | ace_flags(bits)) };
    script.inject(&header, &[])
}

/// 9768-3.2.2: where SYNs have crossed and the peer's SYN,ACK is lost, an ACK of ours opens the connection: by it the peer tells how
/// that has arrived, and no counter.
#[test]
fn the_ack_of_a_syn_ack_where_syns_have_crossed() {
    for bits in 0..8 {
        let mut script = Script::with(mode(EcnMode::RequestAccurate));
        let (handle, _) = script.connect();
        cross(&mut script, 0b111);
        script.seq = script.seq.wrapping_add(1);
        from_peer(&mut script, bits, None, NOT_ECT, &[]);
        assert_eq!(script.stack.tcp_state(handle), Some(State::Established));
        let told = state(&script, handle);
        assert_eq!((told.told.packets, told.deaf), (if bits == 6 { 6 } else { 5 }, bits == 0), "{bits}");
        assert_eq!(script.stack.counters().ecn_reductions, u64::from(bits == 6), "{bits}");
        let capable = ![0, 0b011, 0b100, 0b110].contains(&bits);
        assert_eq!(script.send(handle, b"text")[0].ecn(), if capable { ECT_0 } else { NOT_ECT }, "{bits}");
        let sent = from_peer(&mut script, 5, None, CE, &text(MSS));
        assert_eq!(sent[0].header.options.accurate_ecn, option(First::Ect0, 2, 0, SEGMENT, 0));
    }
}

/// 9768-3.1.5: a host whose SYNs cross ours and ask for both kinds of feedback is reset; one that repeats itself is not.
#[test]
fn crossing_syns_that_contradict_each_other_end_it() {
    for (ours, first, second, ends) in [
        (EcnMode::RequestAccurate, 0b111, 0b011, true),
        (EcnMode::RequestAccurate, 0b011, 0b111, true),
        (EcnMode::RequestAccurate, 0b111, 0b111, false),
        (EcnMode::RequestAccurate, 0b111, 0, false),
        // Who asks for the other feedback takes both for a request of that.
        (EcnMode::AcceptAccurateRequestClassic, 0b111, 0b111, false),
        (EcnMode::AcceptAccurateRequestClassic, 0b011, 0b011, false),
    ] {
        let mut script = Script::with(mode(ours));
        let (handle, _) = script.connect();
        assert!(cross(&mut script, first)[0].flags().contains(SYN | ACK));
        let sent = cross(&mut script, second);
        let resets = sent.iter().any(|sent| sent.flags().contains(Flags::RST));
        let error = script.stack.tcp_error(handle);
        assert_eq!((resets, error), (ends, ends.then_some(SocketError::Reset)), "{ours:?} {first:03b} {second:03b}");
    }
}

/// 9768-3.2.3: text of a SYN,ACK counts, though that of a SYN does not.
#[test]
fn text_of_a_syn_ack_is_counted() {
    for (codepoint, code) in CODES {
        let mut script = Script::with(mode(EcnMode::RequestAccurate));
        let (handle, _) = script.connect();
        let options = TcpOptions { mss: Some(1_460), accurate_ecn: untouched(), ..TcpOptions::default() };
        let header = TcpHeader { options, ..script.header(SYN | ACK | ace_flags(0b010)) };
        script.ecn = codepoint;
        let sent = script.inject(&header, &text(100));
        let expected = match codepoint {
            NOT_ECT => counters(1, 0, 1),
            CE => counters(1, 100, 1),
            ECT_0 => counters(101, 0, 1),
            _ => counters(1, 0, 101),
        };
        assert_eq!((sent.len(), number(&sent[0]), script.receive(handle).len()), (1, code, 100));
        assert_eq!(state(&script, handle).received.octets, expected);
        let told = sent[0].header.options.accurate_ecn.unwrap();
        assert_eq!(
            (told.ect_0(), told.ce(), told.ect_1()),
            (Some(expected.ect_0), Some(expected.ce), Some(expected.ect_1))
        );
    }
}

/// 9768-3.2.3: a cookie shows that its SYN,ACK, which had an option, has arrived; what does not belong to the handshake shows
/// nothing.
#[test]
fn options_go_on_where_nothing_shows_that_they_are_dropped() {
    for by_cookie in [false, true] {
        let mut script = Script::with(|config| {
            mode(EcnMode::AcceptAccurate)(config);
            config.tcp.max_half_open = if by_cookie { 0 } else { 16 };
        });
        let sent = syn(&mut script, 0b111, NOT_ECT, TcpOptions { mss: Some(1_460), ..TcpOptions::default() });
        assert!(sent[0].header.options.accurate_ecn.is_some());
        if !by_cookie {
            // Somebody else's, far outside of the window.
            assert_eq!(peer_sends_at(&mut script, 1 << 30, b"x").len(), 1);
        }
        let handle = open(&mut script, 0b010, untouched());
        assert_eq!(
            (script.stack.counters().cookies_valid, feedback(&script, handle)),
            (u64::from(by_cookie), Feedback::Accurate)
        );
        let sent = from_peer(&mut script, 5, None, CE, &text(MSS));
        assert_eq!(sent[0].header.options.accurate_ecn, option(First::Ect0, 2, 0, SEGMENT, 0), "{by_cookie}");
    }
}

/// 9768-3.2.3: the very SYN once more draws the SYN,ACK, without the option then; another SYN, and what has its number, draw an
/// ACK, and show nothing.
#[test]
fn only_the_same_syn_draws_the_syn_ack_again() {
    for (flags, behind, again) in [
        (Flags::SYN | BITS, 0, true),
        (Flags::SYN | BITS, 5_000, false),
        (Flags::SYN | Flags::ACK, 0, false),
        (Flags::ACK, 0, false),
    ] {
        let mut script = Script::with(mode(EcnMode::AcceptAccurate));
        syn(&mut script, 0b111, NOT_ECT, TcpOptions { mss: Some(1_460), ..TcpOptions::default() });
        let header = TcpHeader { seq: script.seq.wrapping_sub(behind), ..script.header(flags) };
        let sent = script.inject(&header, &[]);
        assert_eq!((sent.len(), sent[0].flags().contains(Flags::SYN)), (1, again), "{flags:?} {behind}");
        assert_eq!(sent[0].header.options.accurate_ecn, None, "{flags:?} {behind}");
        open(&mut script, 0b010, untouched());
        let sent = from_peer(&mut script, 5, None, CE, &text(MSS));
        assert_eq!(sent[0].header.options.accurate_ecn.is_none(), again, "{flags:?} {behind}");
    }
}
