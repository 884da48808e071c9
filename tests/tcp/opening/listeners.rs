//! Who listens where: the most exact binding has it, ports may be shared, and a SYN may wait for a decision.

use crate::kit::{give, ip_packet};
use glasstcp::SocketError;
use glasstcp::counters::DropReason;
use glasstcp::sim::Script;
use glasstcp::stack::{BindOptions, ListenOptions, ListenerHandle, Readiness, SocketHandle, TcpHandle};
use glasstcp::tcp::config::SocketOptions;
use glasstcp::tcp::state::State;
use glasstcp::udp::Message;
use glasstcp::wire::option::{TcpOptions, Timestamp};
use glasstcp::wire::tcp::Flags;
use glasstcp::wire::udp::{self, UdpHeader};
use glasstcp::wire::{parse_ip, protocol};
use std::net::SocketAddr;
use std::time::Duration;

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// a: SO_REUSEADDR, p: SO_REUSEPORT, 6: IPV6_V6ONLY, *: any port, d: deferred.
fn options(letters: &str) -> ListenOptions {
    let has = |letter| letters.contains(letter);
    let bind = BindOptions { reuse_address: has('a'), reuse_port: has('p'), only_v6: has('6'), any_port: has('*') };
    ListenOptions { bind, deferred: has('d'), ..ListenOptions::default() }
}

fn listen(script: &mut Script, local: &str, letters: &str) -> Result<ListenerHandle, SocketError> {
    script.stack.tcp_listen_with(address(local), &options(letters))
}

fn any_address() -> Script {
    Script::with(|config| config.any_address = true)
}

/// A handshake of a new peer with `local`; the listener that has it, and the connection.
fn open(script: &mut Script, local: &str, listeners: &[ListenerHandle]) -> Option<(usize, TcpHandle)> {
    script.local = address(local);
    script.peer.set_ip(if script.local.is_ipv6() {
        "fd00:67::1".parse().unwrap()
    } else {
        "10.0.0.1".parse().unwrap()
    });
    script.peer.set_port(script.peer.port() + 1);
    let answer = script.peer_syn(TcpOptions::default()).remove(0);
    if answer.flags().contains(Flags::RST) {
        return None;
    }
    let ack = script.header(Flags::ACK);
    script.inject(&ack, &[]);
    (0..).zip(listeners).find_map(|(number, &listener)| {
        let (handle, remote) = script.stack.tcp_accept(listener).ok()?;
        assert_eq!(remote, script.peer);
        assert_eq!(script.stack.tcp_tuple(handle).unwrap().local(), script.local, "what its peer asked for");
        Some((number, handle))
    })
}

/// Exact, any address, any port, any of both, whatever there is of these.
#[test]
fn the_most_exact_listener_has_the_connection() {
    for missing in 0..16 {
        let mut script = any_address();
        let places = [("8.8.8.8:80", "p"), ("0.0.0.0:80", "p"), ("8.8.8.8:0", "*"), ("[::]:0", "*")];
        let mut listeners = Vec::new();
        let mut numbers = Vec::new();
        for (number, (local, letters)) in places.into_iter().enumerate() {
            if missing & 1 << number == 0 {
                listeners.push(listen(&mut script, local, letters).unwrap());
                numbers.push(number);
            }
        }
        for (asked, order) in [
            ("8.8.8.8:80", &[0, 1, 2, 3][..]),
            ("8.8.8.8:81", &[2, 3]),
            ("9.9.9.9:80", &[1, 3]),
            ("9.9.9.9:65535", &[3]),
            ("[2001:db8::1]:80", &[3]),
        ] {
            let expected = order.iter().copied().find(|number| numbers.contains(number));
            let found = open(&mut script, asked, &listeners).map(|(index, _)| numbers[index]);
            assert_eq!(found, expected, "{asked} without {missing:b}");
        }
    }
}

/// 9293-MUST-42: where connections are, those in TIME-WAIT included, SO_REUSEADDR decides; where a listener is, it does not.
#[test]
fn reuse_of_an_address() {
    for state in [State::SynReceived, State::Established, State::TimeWait] {
        let mut script = Script::new();
        let listener = listen(&mut script, "10.0.0.2:80", "a").unwrap();
        for letters in ["", "a", "p", "ap"] {
            assert_eq!(listen(&mut script, "10.0.0.2:80", letters), Err(SocketError::AddressInUse), "over a listener");
            assert_eq!(listen(&mut script, "0.0.0.0:80", letters), Err(SocketError::AddressInUse), "over a listener");
        }
        if state == State::SynReceived {
            script.peer_syn(TcpOptions::default());
        } else {
            let handle = script.accept();
            if state == State::TimeWait {
                script.stack.tcp_close(script.now, handle);
                let fin = script.sent_one();
                script.ack = fin.header.seq.wrapping_add(1);
                script.peer_closes();
                assert_eq!(script.stack.table_sizes(), (0, 0, 1));
            } else {
                // So that closing the listener does not reset it: it is accepted.
                assert_eq!(script.stack.tcp_state(handle), Some(state));
            }
        }
        script.stack.listener_close(script.now, listener);
        for local in ["10.0.0.2:80", "0.0.0.0:80", "[::]:80"] {
            assert_eq!(listen(&mut script, local, ""), Err(SocketError::AddressInUse), "{state} {local}");
            let reused = listen(&mut script, local, "a").unwrap();
            script.stack.listener_close(script.now, reused);
        }
        for elsewhere in ["10.0.0.2:81", "[fd00:67::2]:80"] {
            assert!(listen(&mut script, elsewhere, "").is_ok(), "{state} {elsewhere}");
        }
        assert!(listen(&mut script, "[::]:81", "6").is_ok(), "not where IPv4 is");
    }
}

/// Each of those who share a port gets connections, the copies of one SYN go to one, and who leaves leaves the rest.
#[test]
fn a_shared_port_is_spread_over_its_listeners() {
    let mut script = Script::new();
    let mut listeners: Vec<_> = (0..4).map(|_| listen(&mut script, "0.0.0.0:80", "p").unwrap()).collect();
    assert_eq!(listen(&mut script, "0.0.0.0:80", "a"), Err(SocketError::AddressInUse), "only if all of them share");
    let mut parts = [0; 4];
    for _ in 0..400 {
        let (number, handle) = open(&mut script, "10.0.0.2:80", &listeners).unwrap();
        parts[number] += 1;
        script.stack.tcp_abort(script.now, handle);
        script.stack.tcp_close(script.now, handle);
        script.sent();
    }
    assert!(parts.iter().all(|part| (60..140).contains(part)), "{parts:?}");
    script.stack.listener_close(script.now, listeners.remove(1));
    for _ in 0..50 {
        assert!(open(&mut script, "10.0.0.2:80", &listeners).is_some());
    }
    for listener in listeners {
        script.stack.listener_close(script.now, listener);
    }
    assert_eq!(open(&mut script, "10.0.0.2:80", &[]), None);
}

#[test]
fn both_families_unless_it_is_for_ipv6_only() {
    for (letters, v4) in [("", true), ("6", false)] {
        let mut script = Script::new();
        let listener = listen(&mut script, "[::]:80", letters).unwrap();
        assert!(open(&mut script, "[fd00:67::2]:80", &[listener]).is_some());
        assert_eq!(open(&mut script, "10.0.0.2:80", &[listener]).is_some(), v4);
        assert_eq!(listen(&mut script, "0.0.0.0:80", "").is_err(), v4);
    }
}

/// An IPv4-mapped address is one of IPv4, wherever the application gives it.
#[test]
fn mapped_addresses_are_those_of_ipv4() {
    let mut script = Script::new();
    let listener = listen(&mut script, "[::ffff:10.0.0.2]:80", "").unwrap();
    assert_eq!(script.stack.listener_local(listener), Some(address("10.0.0.2:80")));
    assert!(open(&mut script, "10.0.0.2:80", &[listener]).is_some());
    let (now, options) = (script.now, SocketOptions::default());
    let (local, remote) = (address("[::ffff:10.0.0.2]:9"), address("[::ffff:10.0.0.1]:9"));
    let handle = script.stack.tcp_connect(now, Some(local), remote, options).unwrap();
    let tuple = script.stack.tcp_tuple(handle).unwrap();
    assert_eq!((tuple.local(), tuple.remote()), (address("10.0.0.2:9"), address("10.0.0.1:9")));
    let socket = script.stack.udp_bind(local).unwrap();
    script.stack.udp_connect(socket, remote).unwrap();
    assert_eq!(script.stack.udp_socket(socket).unwrap().remote, Some(address("10.0.0.1:9")));
    script.packets();
    script.stack.udp_send(now, socket, Some(remote), b"x").unwrap();
    assert!(parse_ip(&script.packets()[0]).unwrap().destination.is_ipv4());
}

/// 6056-3.1: a listener that leaves the port to us gets none from which connections are there, as they would refuse it.
#[test]
fn a_listener_of_any_port_gets_a_free_one() {
    let mut script = Script::with(|config| config.ephemeral_ports = 50_000..=50_001);
    let (now, options) = (script.now, SocketOptions::default());
    script.stack.tcp_connect(now, None, script.peer, options).unwrap();
    let other = SocketAddr::new(script.local.ip(), 50_000 + (50_001 - script.sent_one().header.source_port));
    for _ in 0..20 {
        let listener = script.stack.tcp_listen(address("10.0.0.2:0"), 1, options).unwrap();
        assert_eq!(script.stack.listener_local(listener), Some(other));
        script.stack.listener_close(now, listener);
    }
    script.stack.tcp_listen(other, 1, options).unwrap();
    assert_eq!(script.stack.tcp_listen(address("10.0.0.2:0"), 1, options), Err(SocketError::AddressInUse));
}

/// 6056-3.1, 6056-3.2: ports are chosen from the range that is set, never one that makes a tuple that is there, TIME-WAIT
/// included, and running out is a clean error.
#[test]
fn chosen_ports_come_from_the_range_that_is_set() {
    let mut script = Script::with(|config| config.ephemeral_ports = 50_000..=50_002);
    let (now, options) = (script.now, SocketOptions::default());
    let listener = script.stack.tcp_listen(address("10.0.0.2:50001"), 1, options).unwrap();
    let remote = script.peer;
    let mut ports = Vec::new();
    for _ in 0..2 {
        let handle = script.stack.tcp_connect(now, None, remote, options).unwrap();
        ports.push(script.sent_one().header.source_port);
        script.stack.tcp_abort(now, handle);
        script.stack.tcp_close(now, handle);
    }
    ports.sort_unstable();
    assert_eq!(ports, [50_000, 50_002]);
    script.stack.listener_close(now, listener);
    // One of the three goes to TIME-WAIT.
    script.local.set_port(50_000);
    let handle = script.connect_established();
    script.stack.tcp_close(now, handle);
    let fin = script.sent_one();
    script.ack = fin.header.seq.wrapping_add(1);
    script.peer_closes();
    assert_eq!(script.stack.table_sizes(), (0, 0, 1));
    for _ in 0..2 {
        assert!(script.stack.tcp_connect(now, None, remote, options).is_ok());
    }
    assert_eq!(script.stack.tcp_connect(now, None, remote, options), Err(SocketError::AddressNotAvailable));
    assert!(script.stack.tcp_connect(now, None, address("10.0.0.1:1"), options).is_ok(), "to another peer");
    for _ in 0..3 {
        assert!(script.stack.udp_bind(address("10.0.0.2:0")).is_ok());
    }
    assert_eq!(script.stack.udp_bind(address("10.0.0.2:0")), Err(SocketError::AddressInUse));
}

fn datagram(from: SocketAddr, to: SocketAddr, data: &[u8]) -> Vec<u8> {
    let mut payload = vec![0; 8];
    let ports = UdpHeader { source_port: from.port(), destination_port: to.port() };
    udp::emit(from.ip(), to.ip(), &ports, data, &mut payload);
    payload.extend_from_slice(data);
    ip_packet(from.ip(), to.ip(), protocol::UDP, &payload)
}

/// A socket with a peer has what that one sends; the rest goes by the order of listeners.
#[test]
fn datagrams_find_their_socket_in_the_same_order() {
    let mut script = any_address();
    let shared = BindOptions { reuse_address: true, ..BindOptions::default() };
    let any_port = BindOptions { any_port: true, ..BindOptions::default() };
    let places = [
        ("8.8.8.8:53", shared),
        ("8.8.8.8:53", shared),
        ("[::]:53", shared),
        ("8.8.8.8:0", any_port),
        ("[::]:0", any_port),
    ];
    let sockets: Vec<_> =
        places.iter().map(|(local, bind)| script.stack.udp_bind_with(address(local), bind).unwrap()).collect();
    // The first is for one peer.
    let peer = address("10.0.0.1:5353");
    script.stack.udp_connect(sockets[0], address("10.0.0.1:9")).unwrap();
    script.stack.udp_connect(sockets[0], peer).unwrap();
    let find = |script: &mut Script, from: SocketAddr, to: &str| {
        give(script, &datagram(from, address(to), b"x"));
        let found = sockets.iter().position(|&socket| match script.stack.udp_receive(socket) {
            Ok(datagram) => {
                assert_eq!((datagram.source, datagram.destination), (from, address(to)));
                true
            }
            Err(_) => false,
        });
        script.packets();
        found
    };
    let (stranger, v6) = (address("10.0.0.1:9"), address("[fd00:67::1]:9"));
    assert_eq!(find(&mut script, peer, "8.8.8.8:53"), Some(0));
    assert_eq!(find(&mut script, stranger, "8.8.8.8:53"), Some(1));
    assert_eq!(find(&mut script, peer, "9.9.9.9:53"), Some(2));
    assert_eq!(find(&mut script, v6, "[2001:db8::1]:53"), Some(2));
    assert_eq!(find(&mut script, stranger, "8.8.8.8:54"), Some(3));
    assert_eq!(find(&mut script, stranger, "9.9.9.9:54"), Some(4));
    // A socket of any port answers from where it was asked, and from nowhere else.
    let mut answer = Message::to(stranger, b"answer");
    let mut send = |script: &mut Script, source: Option<&str>| {
        answer.source = source.map(address);
        script.stack.udp_send_message(script.now, sockets[4], &answer)
    };
    assert_eq!(send(&mut script, None), Err(SocketError::AddressNotAvailable));
    assert_eq!(send(&mut script, Some("9.9.9.9:0")), Err(SocketError::AddressNotAvailable));
    assert_eq!(send(&mut script, Some("9.9.9.9:54")), Ok(6));
    let packet = script.packets().remove(0);
    let sent = parse_ip(&packet).unwrap();
    assert_eq!((sent.source, &sent.payload[..2]), (address("9.9.9.9:54").ip(), &54_u16.to_be_bytes()[..]));
    script.stack.udp_close(sockets[1]);
    assert_eq!(find(&mut script, stranger, "8.8.8.8:53"), Some(2), "the one with a peer hears nobody else");
    script.stack.udp_close(sockets[0]);
    script.stack.udp_close(sockets[2]);
    assert_eq!(find(&mut script, peer, "8.8.8.8:53"), Some(3));
    script.stack.udp_close(sockets[3]);
    script.stack.udp_close(sockets[4]);
    assert_eq!(find(&mut script, peer, "8.8.8.8:53"), None);
}

/// A deferring listener and a SYN of which it has told.
fn asked() -> (Script, ListenerHandle, glasstcp::stack::PendingSyn) {
    let mut script = any_address();
    let listener = listen(&mut script, "[::]:0", "*d").unwrap();
    script.local = address("8.8.8.8:443");
    assert!(script.peer_syn(TcpOptions::default()).is_empty(), "nothing is answered");
    script.seq = script.seq.wrapping_sub(1);
    assert_eq!(script.stack.readiness(SocketHandle::Listener(listener)), Readiness::READABLE);
    let syn = script.stack.tcp_next_syn(listener).unwrap();
    assert_eq!((syn.peer, syn.local), (script.peer, script.local));
    assert_eq!(script.stack.tcp_next_syn(listener), Err(SocketError::WouldBlock), "told once");
    assert_eq!(script.stack.readiness(SocketHandle::Listener(listener)), Readiness::NONE);
    (script, listener, syn)
}

fn syn_again(script: &mut Script) -> (Option<DropReason>, Vec<glasstcp::sim::script::Sent>) {
    let syn = script.header(Flags::SYN);
    let dropped = script.deliver(&syn, &[]);
    (dropped, script.sent())
}

/// The SYN-ACK leaves with the decision, however late; copies of the SYN before it change nothing, those behind it are
/// answered as ever.
#[test]
fn a_syn_is_accepted_when_the_application_says_so() {
    let (mut script, listener, syn) = asked();
    for _ in 0..4 {
        assert!(script.pass(Duration::from_secs(10)).is_empty());
        let (dropped, sent) = syn_again(&mut script);
        assert_eq!((dropped, sent.len()), (Some(DropReason::TcpSynUndecided), 0));
        assert_eq!(script.stack.tcp_next_syn(listener), Err(SocketError::WouldBlock), "a copy does not ask again");
    }
    script.stack.tcp_accept_syn(script.now, syn.handle).unwrap();
    assert_eq!(script.stack.tcp_accept_syn(script.now, syn.handle), Err(SocketError::Aborted), "decided once");
    assert_eq!(script.stack.tcp_refuse_syn(script.now, syn.handle), Err(SocketError::Aborted), "decided once");
    let syn_ack = script.sent_one();
    assert_eq!(syn_ack.flags(), Flags::SYN | Flags::ACK);
    assert_eq!(parse_ip(&syn_ack.packet).unwrap().source, script.local.ip());
    let (_, again) = syn_again(&mut script);
    assert_eq!((again.len(), again[0].header.seq), (1, syn_ack.header.seq), "the peer did not hear it");
    assert_eq!(script.pass(Duration::from_secs(1)).len(), 1, "and its own timer");

    let tuple = glasstcp::tcp::FourTuple::new(syn.local, syn.peer);
    assert_eq!(script.stack.tcp_accept_pair(listener, &tuple), Err(SocketError::WouldBlock));
    script.seq = script.seq.wrapping_add(1);
    script.ack = syn_ack.header.seq.wrapping_add(1);
    let ack = script.header(Flags::ACK);
    script.inject(&ack, &[]);
    let handle = script.stack.tcp_accept_pair(listener, &tuple).unwrap();
    assert_eq!(script.stack.tcp_tuple(handle), Some(tuple));
    assert_eq!(script.stack.tcp_accept(listener).err(), Some(SocketError::WouldBlock), "it was taken");
    script.peer_sends(b"text");
    assert_eq!(script.receive(handle), b"text");
}

/// 9293-3.10.7.1-2: a refusal looks as if nobody listened, and copies of the SYN find the same; another SYN asks again.
#[test]
fn a_syn_is_refused_when_the_application_says_so() {
    let (mut script, listener, syn) = asked();
    script.stack.tcp_refuse_syn(script.now, syn.handle).unwrap();
    let reset = script.sent_one();
    assert_eq!(reset.flags(), Flags::RST | Flags::ACK);
    assert_eq!((reset.header.seq, reset.header.ack), (0, script.seq.wrapping_add(1)));
    assert_eq!(parse_ip(&reset.packet).unwrap().source, script.local.ip());
    script.pass(Duration::from_secs(7));
    let (dropped, again) = syn_again(&mut script);
    assert_eq!(dropped, Some(DropReason::TcpNobody));
    assert_eq!((again[0].flags(), again[0].header.ack), (reset.flags(), reset.header.ack));
    assert_eq!(script.stack.tcp_next_syn(listener), Err(SocketError::WouldBlock));
    script.seq = script.seq.wrapping_add(77_777);
    assert_eq!(syn_again(&mut script).0, None);
    let second = script.stack.tcp_next_syn(listener).unwrap();
    assert_ne!(second.handle, syn.handle);
    script.stack.tcp_refuse_syn(script.now, second.handle).unwrap();
    script.pass(Duration::from_secs(10));
    assert_eq!(script.stack.table_sizes(), (0, 0, 0), "and is forgotten");
    assert_eq!(script.stack.next_deadline(), None);
}

/// 7323-5.2: its timestamp is that of the SYN.
#[test]
fn a_refusal_echoes_the_timestamp() {
    let (mut script, listener, first) = asked();
    script.stack.tcp_refuse_syn(script.now, first.handle).unwrap();
    assert_eq!(script.sent_one().header.options, TcpOptions::default());
    script.peer.set_port(40_001);
    let timestamp = Some(Timestamp { value: 500, echo: 0 });
    script.peer_syn(TcpOptions { timestamp, ..TcpOptions::default() });
    let syn = script.stack.tcp_next_syn(listener).unwrap();
    script.stack.tcp_refuse_syn(script.now, syn.handle).unwrap();
    assert_eq!(script.sent_one().header.options.timestamp, Some(Timestamp { value: 0, echo: 500 }));
}

/// Who does not decide is asked again by the next copy; who has given up needs no decision.
#[test]
fn undecided_syns_end() {
    let (mut script, listener, syn) = asked();
    assert!(script.pass(Duration::from_secs(63)).is_empty());
    assert_eq!(script.stack.table_sizes(), (0, 0, 0));
    assert_eq!(script.stack.tcp_accept_syn(script.now, syn.handle), Err(SocketError::Aborted));
    assert_eq!(syn_again(&mut script).0, None);
    let syn = script.stack.tcp_next_syn(listener).unwrap();

    // A RST from its sender, and one that was guessed.
    script.seq = script.seq.wrapping_add(2);
    let guess = script.header(Flags::RST);
    assert_eq!(script.deliver(&guess, &[]), Some(DropReason::TcpResetRefused));
    script.seq = script.seq.wrapping_sub(1);
    let reset = script.header(Flags::RST);
    assert_eq!(script.deliver(&reset, &[]), None);
    script.silence();
    assert_eq!(script.stack.tcp_refuse_syn(script.now, syn.handle), Err(SocketError::Aborted));
    script.silence();

    // Nothing was sent that an ACK could be for.
    assert_eq!(syn_again(&mut script).0, None);
    let ack = script.header(Flags::ACK);
    assert_eq!(script.deliver(&ack, &[]), Some(DropReason::TcpListenIgnored));
    assert_eq!(script.sent_one().flags(), Flags::RST);

    // Without its listener.
    let syn = script.stack.tcp_next_syn(listener).unwrap();
    script.stack.listener_close(script.now, listener);
    assert_eq!(script.stack.tcp_accept_syn(script.now, syn.handle), Err(SocketError::Aborted));
    script.silence();
    assert_eq!(syn_again(&mut script).0, Some(DropReason::TcpNobody));
    assert_eq!(script.stack.table_sizes(), (0, 0, 0));
}

/// 4987-3.2: undecided SYNs are limited by the SYN queue, draw no cookies, and do not add up when peers begin anew.
#[test]
fn undecided_syns_are_bounded() {
    let mut script = Script::new();
    let deferred = ListenOptions { backlog: 8, ..options("d") };
    let listener = script.stack.tcp_listen_with(script.local, &deferred).unwrap();
    for port in 1..=20 {
        script.peer.set_port(port);
        let (dropped, sent) = syn_again(&mut script);
        assert_eq!(dropped, (port > 8).then_some(DropReason::TcpSynQueueFull));
        assert!(sent.is_empty());
    }
    for number in 0..10_000 {
        script.peer.set_port(1 + number % 8);
        script.seq = script.seq.wrapping_add(100_000);
        syn_again(&mut script);
        assert_eq!(script.stack.table_sizes(), (8, 0, 0));
    }
    let told = std::iter::from_fn(|| script.stack.tcp_next_syn(listener).ok()).count();
    assert_eq!(told, 8, "each peer once");
}

/// Refusals are remembered only as long as they leave room.
#[test]
fn refusals_leave_room() {
    let mut script = Script::new();
    let deferred = ListenOptions { backlog: 8, ..options("d") };
    let listener = script.stack.tcp_listen_with(script.local, &deferred).unwrap();
    for port in 1..=100 {
        script.peer.set_port(port);
        assert_eq!(syn_again(&mut script).0, None, "there is room");
        let syn = script.stack.tcp_next_syn(listener).unwrap();
        script.stack.tcp_refuse_syn(script.now, syn.handle).unwrap();
        assert_eq!(script.sent_one().flags(), Flags::RST | Flags::ACK);
    }
    assert_eq!(script.stack.table_sizes().0, 4);
}
