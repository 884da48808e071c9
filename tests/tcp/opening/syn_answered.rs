//! What a connection takes over from the peer's SYN (RFC 9293 section 3.10.7.3), and what it must not.

use crate::flow::{SACK, end, look, ms, octets, secs, text};
use glasstcp::config::Config;
use glasstcp::sim::{Script, Sent};
use glasstcp::stack::{ListenOptions, TcpHandle};
use glasstcp::tcp::fast_open::{Key, Keys, ListenFastOpen};
use glasstcp::tcp::state::State;
use glasstcp::wire::option::TcpOptions;
use glasstcp::wire::tcp::{Flags, TcpHeader};

const SYN_ACK: Flags = Flags(Flags::SYN.0 | Flags::ACK.0);

fn plain() -> TcpOptions {
    TcpOptions { mss: Some(1_460), ..TcpOptions::default() }
}

/// A connection that we open, and the answer to a SYN-ACK with these options.
fn opened(change: impl FnOnce(&mut Config), options: TcpOptions) -> (Script, TcpHandle, Vec<Sent>) {
    let mut script = Script::with(change);
    let (handle, _) = script.connect();
    let header = TcpHeader { options, ..script.header(SYN_ACK) };
    script.seq = script.seq.wrapping_add(1);
    let sent = script.inject(&header, &[]);
    (script, handle, sent)
}

/// 9293-3.10.7.3-6, 7323-2.2-1: windows are scaled in both directions or in none, whoever offers it.
#[test]
fn windows_are_scaled_only_where_both_offer_it() {
    // We do, the peer does not: what we offer then stands in the field as it is.
    let (script, handle, sent) = opened(|config| config.tcp.receive_capacity = Some(1 << 20), plain());
    let seen = look(&script, handle);
    assert_eq!((sent[0].header.window, seen.window_shift), (u16::MAX, None));
    assert_eq!(seen.rcv_wnd, 65_535);
    // The peer does, although we do not.
    let (mut script, handle, _) = opened(|config| config.tcp.window_scaling = false, SACK);
    script.window = 1_000;
    script.peer_acks(script.ack);
    assert_eq!((look(&script, handle).snd_wnd, look(&script, handle).window_shift), (1_000, None));
}

/// 9293-3.10.7.3-6, 9293-MUST-16, 8201-5.4: a path that is known to be narrow may become wider, but no segment is ever larger
/// than what the peer's SYN says.
#[test]
fn the_peers_mss_limits_a_search_for_a_wider_path() {
    let mut script = Script::with(|config| config.tcp.send_capacity = Some(1 << 20));
    script.stack.set_path_mtu(script.peer.ip(), 640);
    let (handle, _) = script.connect();
    let options = TcpOptions { mss: Some(1_000), ..TcpOptions::default() };
    let header = TcpHeader { options, ..script.header(SYN_ACK) };
    script.seq = script.seq.wrapping_add(1);
    script.inject(&header, &[]);
    assert_eq!(look(&script, handle).path_mtu, 640);
    let mut largest = 0;
    for _ in 0..12 {
        script.pass(secs(120));
        let mut sent = script.send(handle, &text(30_000));
        while !sent.is_empty() {
            largest = largest.max(sent.iter().map(|sent| sent.packet.len()).max().unwrap());
            script.now += ms(1);
            script.ack = end(&sent);
            sent = script.peer_acks(script.ack);
        }
    }
    assert_eq!((largest, look(&script, handle).path_mtu), (1_040, 1_040));
}

/// 9293-MUST-26, 9293-3.10.7.3-6: the peer is heard of when its SYN-ACK comes, so the idle time begins then.
#[test]
fn the_idle_time_begins_with_the_syn_ack() {
    let mut script = Script::with(|config| {
        config.tcp.socket.keep_alive = true;
        config.tcp.socket.keep_alive_idle = secs(30);
    });
    let (handle, _) = script.connect();
    script.pass(secs(20));
    let header = TcpHeader { options: plain(), ..script.header(SYN_ACK) };
    script.seq = script.seq.wrapping_add(1);
    script.inject(&header, &[]);
    assert_eq!(look(&script, handle).state, State::Established);
    assert_eq!(script.pass(secs(29)), []);
    assert_eq!(script.pass(secs(2)).len(), 1, "the probe");
}

/// 9293-3.10.7.3-7: what else a SYN-ACK carries counts: text, and that some of it is urgent.
#[test]
fn a_syn_ack_with_urgent_text() {
    let mut script = Script::new();
    let (handle, _) = script.connect();
    let header = TcpHeader { options: plain(), urgent: 5, ..script.header(SYN_ACK | Flags::URG) };
    script.inject(&header, b"hello");
    assert_eq!(script.stack.tcp_urgent_remaining(handle), Some(4));
}

/// 9293-3.10.7.3-8: of the text of a SYN that crosses ours what lies beyond our window is not taken.
#[test]
fn a_crossing_syn_fills_no_more_than_our_window() {
    let mut script = Script::with(|config| config.tcp.receive_capacity = Some(100));
    let (handle, syn) = script.connect();
    let window = u32::from(syn.header.window);
    let header = TcpHeader { options: plain(), ..script.header(Flags::SYN) };
    script.inject(&header, &text(window as usize + 50));
    script.seq = script.seq.wrapping_add(1);
    let header = script.header(Flags::ACK);
    script.inject(&header, &[]);
    assert_eq!(look(&script, handle).rcv_nxt, 1 + window);
    assert_eq!(script.receive(handle), text(window as usize));
}

/// 6928-2-1, 7413-4.2.2-2: what is sent before the handshake has ended is no more than any first window.
#[test]
fn a_fast_open_begins_with_the_first_window() {
    let keys = Keys::Fixed(Key([1; 16]), None);
    let mut script = Script::with(|config| config.tcp.fast_open_keys = Some(keys));
    let options = ListenOptions { fast_open: Some(ListenFastOpen::new(4)), ..ListenOptions::default() };
    let listener = script.stack.tcp_listen_with(script.local, &options).unwrap();
    let tuple = glasstcp::tcp::FourTuple::new(script.local, script.peer);
    let options = TcpOptions { fast_open: keys.make(&tuple, script.now), ..plain() };
    let header = TcpHeader { options, ..script.header(Flags::SYN) };
    script.deliver(&header, b"GET /");
    script.sent_one();
    let (handle, _) = script.stack.tcp_accept(listener).unwrap();
    assert_eq!((octets(&script.send(handle, &text(50_000))), look(&script, handle).cwnd), (10 * 1_460, 14_600));
}
