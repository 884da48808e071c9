//! How a SYN may look and which SYNs are refused, by settings: the order of the options, none at all, a FIN beside the SYN.

use crate::fsm::*;
use glasstcp::sim::{Script, Sent};
use glasstcp::tcp::state::State;
use glasstcp::wire::option::{OptionOrder, TcpOptions, Timestamp};
use glasstcp::wire::tcp::TcpHeader;

/// The octets of the options of a segment over IPv4.
fn area(sent: &Sent) -> &[u8] {
    let tcp = &sent.packet[20..];
    &tcp[20..usize::from(tcp[12] >> 4) * 4]
}

/// Their kinds, in order, with the octets of one layout.
fn kinds(mut area: &[u8]) -> Vec<u8> {
    let mut kinds = Vec::new();
    while let [kind, rest @ ..] = area {
        kinds.push(*kind);
        area = if *kind < 2 { rest } else { &area[usize::from(area[1])..] };
    }
    kinds
}

fn full() -> TcpOptions {
    let timestamp = Some(Timestamp { value: 77, echo: 0 });
    TcpOptions { mss: Some(1_460), window_scale: Some(6), sack_permitted: true, timestamp, ..TcpOptions::default() }
}

#[test]
fn both_orders_in_syn_and_syn_ack() {
    for (order, all, without_timestamp) in [
        (OptionOrder::Linux, vec![2, 4, 8, 1, 3], vec![2, 1, 1, 4]),
        (OptionOrder::Bsd, vec![2, 1, 3, 4, 8], vec![2, 4, 0, 0]),
    ] {
        let script = || Script::with(|config| config.tcp.option_order = order);
        let (_, syn) = script().connect();
        assert_eq!(kinds(area(&syn)), all, "{order:?}");
        for (peer, expected) in [(full(), &all), (TcpOptions { sack_permitted: true, ..plain() }, &without_timestamp)] {
            let mut script = script();
            script.listen();
            let syn_ack = script.peer_syn(peer);
            assert_eq!(kinds(area(&syn_ack[0])), *expected, "{order:?}");
        }
        // Behind the handshake there is one order.
        let mut script = script();
        let handle = script.accept_with(full());
        let sent = script.send(handle, b"text");
        assert_eq!(kinds(area(&sent[0])), [1, 1, 8]);
    }
}

/// A socket without options sends none, takes none, and works.
#[test]
fn no_options_at_all() {
    let script = || Script::with(|config| config.tcp.socket.no_options = true);
    let mut opener = script();
    let (handle, syn) = opener.connect();
    assert!(area(&syn).is_empty());
    let header = TcpHeader { options: full(), ..opener.header(SYN | ACK) };
    opener.seq += 1;
    opener.inject(&header, &[]);
    let mut acceptor = script();
    acceptor.listen();
    let syn_ack = acceptor.peer_syn(full());
    assert!(area(&syn_ack[0]).is_empty());
    let header = acceptor.header(ACK);
    acceptor.inject(&header, &[]);
    let listener = acceptor.stack.listener_at(acceptor.local).unwrap();
    let (accepted, _) = acceptor.stack.tcp_accept(listener).unwrap();
    for (mut script, handle) in [(opener, handle), (acceptor, accepted)] {
        script.timestamp = None;
        let snapshot = script.stack.tcp_snapshot(handle).unwrap();
        assert_eq!(snapshot.state, State::Established);
        assert!(!snapshot.timestamps && !snapshot.sack && snapshot.window_shift.is_none());
        assert!(script.send(handle, b"text").iter().all(|sent| area(sent).is_empty() && sent.text == b"text"));
    }
}

/// 9293-3.10.7.2-3: a SYN that carries a FIN opens a connection, unless a setting says otherwise.
#[test]
fn a_fin_beside_a_syn() {
    for refused in [false, true] {
        let script = || Script::with(|config| config.tcp.drop_syn_fin = refused);
        let mut listening = script();
        listening.listen();
        let syn_fin = TcpHeader { options: plain(), ..listening.header(SYN | FIN) };
        assert_eq!(listening.inject(&syn_fin, &[]).is_empty(), refused);
        assert_eq!(listening.inject(&TcpHeader { flags: SYN, ..syn_fin }, &[]).len(), 1);

        let mut opening = script();
        let (handle, _) = opening.connect();
        let answer = TcpHeader { options: plain(), ..opening.header(SYN | FIN | ACK) };
        opening.inject(&answer, &[]);
        let state = opening.stack.tcp_state(handle);
        assert_eq!(state, Some(if refused { State::SynSent } else { State::CloseWait }));
    }
}
