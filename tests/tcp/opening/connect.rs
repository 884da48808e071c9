//! OPEN through the calls: what is refused, which address and port are taken, and what errors become (RFC 9293 sections 3.9.1.1
//! and 3.10.1).

use crate::kit::calls::*;
use crate::kit::{CONNECTED, give, icmp_error, portrait, reach};
use glasstcp::SocketError;
use glasstcp::sim::Script;
use glasstcp::stack::Readiness;
use glasstcp::tcp::config::SocketOptions;
use glasstcp::tcp::state::State;
use glasstcp::wire::icmp::IcmpError;
use glasstcp::wire::option::TcpOptions;
use glasstcp::wire::parse_ip;
use glasstcp::wire::tcp::{Flags, TcpHeader};
use std::net::SocketAddr;

/// 9293-MUST-41, 9293-3.10.1-1: a passive open leaves existing records as they are, and sends nothing.
#[test]
fn listening_alters_no_record() {
    let mut script = Script::new();
    let listener = script.listen();
    let established = script.accept();
    script.peer.set_port(40_001);
    script.peer_syn(TcpOptions::default());
    script.stack.listener_close(script.now, listener);
    let before = format!("{:?} {:?}", script.stack.tcp_connection(established), script.stack.table_sizes());
    script.silence();
    script.listen();
    script.silence();
    assert_eq!(format!("{:?} {:?}", script.stack.tcp_connection(established), script.stack.table_sizes()), before);
    assert_eq!(script.stack.tcp_listen(script.local, 5, SocketOptions::default()), Err(SocketError::AddressInUse));
    // Whatever state a connection from that port is in.
    for state in CONNECTED {
        let (mut script, handle) = reach(state);
        let before = portrait(&script, handle);
        script.listen();
        script.silence();
        assert_eq!(portrait(&script, handle), before, "{state}");
    }
    // A half-open record of another listener on the port: the handshake goes on as it has begun.
    let mut script = Script::new();
    script.listen();
    let syn_ack = script.peer_syn(TcpOptions::default()).remove(0);
    let refused = script.stack.tcp_listen(address("[::]:80"), 5, SocketOptions::default());
    assert_eq!(refused, Err(SocketError::AddressInUse), "fails");
    let elsewhere = script.stack.tcp_listen(address("[fd00:67::2]:80"), 5, SocketOptions::default()).unwrap();
    script.silence();
    let syn = TcpHeader { seq: script.seq.wrapping_sub(1), ..script.header(Flags::SYN) };
    assert_eq!(script.inject(&syn, &[]).remove(0).header, syn_ack.header, "the same record");
    script.inject(&script.header(Flags::ACK), &[]);
    let own = script.stack.listener_at(script.local).unwrap();
    assert_eq!(script.stack.tcp_accept(elsewhere), Err(SocketError::WouldBlock));
    assert_eq!(script.stack.tcp_accept(own).map(|(_, peer)| peer), Ok(script.peer));
}

/// 9293-MUST-42: a port may be listened on although a connection from it is being opened.
#[test]
fn listen_beside_an_open_in_progress() {
    for state in [State::SynSent, State::SynReceived] {
        let (mut script, opening) = reach(state);
        let listener = script.listen();
        assert_eq!(script.stack.tcp_state(opening), Some(state));
        script.peer.set_port(50_000);
        let accepted = script.accept();
        assert_eq!(script.stack.tcp_state(accepted), Some(State::Established));
        assert_eq!(script.stack.tcp_accept(listener), Err(SocketError::WouldBlock));
    }
}

fn two_addresses() -> Script {
    Script::with(|config| config.addresses.push("192.168.9.2/24".parse().unwrap()))
}

/// 9293-MUST-43, 9293-MUST-44, 1122-3.3.1: the local address is the application's to give, and else the route's.
#[test]
fn the_local_address() {
    let mut script = two_addresses();
    script.listen();
    assert_eq!(script.peer_syn(TcpOptions::default()).len(), 1);
    script.local = address("192.168.9.2:80");
    script.peer = address("192.168.9.1:40000");
    let refused = script.peer_syn(TcpOptions::default());
    assert!(refused[0].flags().contains(Flags::RST), "bound to the other address");
    let any = script.stack.tcp_listen(address("0.0.0.0:81"), 5, SocketOptions::default()).unwrap();
    for local in ["10.0.0.2:81", "192.168.9.2:81"] {
        script.local = address(local);
        let syn_ack = script.peer_syn(TcpOptions::default());
        assert_eq!(parse_ip(&syn_ack[0].packet).unwrap().source, script.local.ip());
    }
    script.stack.listener_close(script.now, any);
    let foreign = script.stack.tcp_listen(address("10.0.0.3:80"), 5, SocketOptions::default());
    assert_eq!(foreign, Err(SocketError::AddressNotAvailable));

    for (local, remote, source) in [
        (Some("10.0.0.2:0"), "192.168.9.1:9", "10.0.0.2"),
        (Some("192.168.9.2:7777"), "10.0.0.1:9", "192.168.9.2"),
        (Some("0.0.0.0:0"), "192.168.9.1:9", "192.168.9.2"),
        (None, "192.168.9.1:9", "192.168.9.2"),
        (None, "10.0.0.7:9", "10.0.0.2"),
        (None, "8.8.8.8:9", "10.0.0.2"),
        (None, "[fd00:67::1]:9", "fd00:67::2"),
    ] {
        let mut script = two_addresses();
        let options = SocketOptions::default();
        script.stack.tcp_connect(script.now, local.map(address), address(remote), options).unwrap();
        let syn = script.sent_one();
        assert_eq!(parse_ip(&syn.packet).unwrap().source.to_string(), source);
        if let Some(port) = local.map(|local| address(local).port()).filter(|&port| port != 0) {
            assert_eq!(syn.header.source_port, port);
        }
    }
}

fn no_hops(options: &mut SocketOptions) {
    options.hop_limit = 0;
}

fn no_class(options: &mut SocketOptions) {
    options.dscp = 64;
}

/// 9293-MUST-46, 9293-3.10.1-2, 9293-3.10.1-3: an open that cannot be fails at once, sends nothing and leaves nothing.
#[test]
fn connects_that_cannot_be() {
    let mut script = Script::new();
    let listener = script.listen();
    for (local, remote, error) in [
        (None, "255.255.255.255:80", SocketError::InvalidAddress),
        (None, "224.0.0.1:80", SocketError::InvalidAddress),
        (None, "10.0.0.255:80", SocketError::InvalidAddress),
        (None, "0.0.0.0:80", SocketError::InvalidAddress),
        (Some("127.0.0.1:0"), "10.0.0.1:80", SocketError::InvalidAddress),
        (Some("[::1]:0"), "[fd00:67::1]:80", SocketError::InvalidAddress),
        (None, "[ff02::1]:80", SocketError::InvalidAddress),
        (None, "[::]:80", SocketError::InvalidAddress),
        (None, "[::ffff:224.0.0.1]:80", SocketError::InvalidAddress),
        (None, "10.0.0.1:0", SocketError::InvalidAddress),
        (Some("10.0.0.9:0"), "10.0.0.1:80", SocketError::AddressNotAvailable),
        (Some("[fd00:67::2]:0"), "10.0.0.1:80", SocketError::InvalidAddress),
    ] {
        let options = SocketOptions::default();
        let answer = script.stack.tcp_connect(script.now, local.map(address), address(remote), options);
        assert_eq!(answer, Err(error), "{local:?} to {remote}");
    }
    for change in [no_hops as fn(&mut SocketOptions), no_class] {
        let mut options = SocketOptions::default();
        change(&mut options);
        let answer = script.stack.tcp_connect(script.now, None, script.peer, options);
        assert_eq!(answer, Err(SocketError::InvalidArgument));
        assert_eq!(script.stack.tcp_listen(address("10.0.0.2:99"), 1, options), Err(SocketError::InvalidArgument));
    }
    assert!(script.packets().is_empty());
    assert_eq!(script.stack.table_sizes(), (0, 0, 0));
    script.stack.listener_close(script.now, listener);

    let mut script = Script::with(|config| config.addresses.retain(|cidr| cidr.address.is_ipv4()));
    let answer = script.stack.tcp_connect(script.now, None, address("[fd00::1]:9"), SocketOptions::default());
    assert_eq!(answer, Err(SocketError::Unreachable), "no address of that family");
}

/// 9293-3.10.1-2: SEQ = ISS, SND.UNA = ISS, SND.NXT = ISS + 1, SYN-SENT.
#[test]
fn an_active_open() {
    let mut script = Script::new();
    let (handle, syn) = script.connect();
    let connection = script.stack.tcp_connection(handle).unwrap();
    assert_eq!((syn.flags(), syn.header.ack), (Flags::SYN, 0));
    assert_eq!((connection.snd.iss.0, connection.snd.una.0), (syn.header.seq, syn.header.seq));
    assert_eq!(connection.snd.nxt.0, syn.header.seq.wrapping_add(1));
    assert_eq!(script.stack.tcp_state(handle), Some(State::SynSent));
}

/// 9293-3.10.1-5: whatever state a connection is in, the same one cannot be opened again, and nothing of it changes.
#[test]
fn an_open_in_any_other_state() {
    for state in CONNECTED {
        let (mut script, handle) = reach(state);
        let before = portrait(&script, handle);
        let again = script.stack.tcp_connect(script.now, Some(script.local), script.peer, SocketOptions::default());
        assert_eq!(again, Err(SocketError::AddressInUse), "{state}");
        script.silence();
        assert_eq!(portrait(&script, handle), before, "{state}");
    }
}

/// 9293-3.10.1-5, 9293-3.10.1-3, 6056-3.1: a four-tuple is given once; used up ports and tables are clean errors.
#[test]
fn ports_and_tables_run_out_cleanly() {
    let mut script = Script::with(|config| config.tcp.max_connections = 70_000);
    let (now, options) = (script.now, SocketOptions::default());
    let remote = script.peer;
    let first = script.stack.tcp_connect(now, Some(script.local), remote, options).unwrap();
    let again = script.stack.tcp_connect(now, Some(script.local), remote, options);
    assert_eq!(again, Err(SocketError::AddressInUse), "the same four-tuple");
    let other = script.stack.tcp_connect(now, Some(script.local), address("10.0.0.1:1"), options);
    assert!(other.is_ok(), "the same port to another peer");
    script.stack.tcp_listen(address("10.0.0.2:5000"), 1, options).unwrap();
    let mut ports = std::collections::BTreeSet::new();
    let exhausted = loop {
        match script.stack.tcp_connect(now, None, remote, options) {
            Ok(handle) => assert!(ports.insert(script.stack.tcp_tuple(handle).unwrap().local_port)),
            Err(error) => break error,
        }
    };
    assert_eq!(exhausted, SocketError::AddressNotAvailable);
    assert_eq!(ports.len(), 64_512 - 1);
    assert!(!ports.contains(&5_000), "something listens there");
    assert_eq!(script.stack.tcp_state(first), Some(State::SynSent));
    assert!(
        script.stack.tcp_connect(now, None, address("10.0.0.1:2"), options).is_ok(),
        "other peers are not affected"
    );

    let mut script = Script::with(|config| config.tcp.max_connections = 2);
    let handles = [1, 2].map(|port| script.stack.tcp_connect(now, None, SocketAddr::new(remote.ip(), port), options));
    assert_eq!(script.stack.tcp_connect(now, None, remote, options), Err(SocketError::NoBuffers));
    assert_eq!(script.stack.table_sizes(), (0, 2, 0));
    script.stack.tcp_close(now, handles[0].unwrap());
    assert!(script.stack.tcp_connect(now, None, remote, options).is_ok(), "there is room again");
    let mut ears = Vec::new();
    for port in 1..=u16::MAX {
        ears.push(script.stack.tcp_listen(SocketAddr::new(script.local.ip(), port), 1, options).unwrap());
    }
    let other = script.stack.tcp_listen(address("[fd00:67::2]:80"), 1, options);
    assert_eq!(other, Err(SocketError::NoBuffers));
    script.stack.listener_close(now, ears[0]);
    assert!(script.stack.tcp_listen(address("[fd00:67::2]:80"), 1, options).is_ok());
}

/// 9293-MUST-47, 9293-SHLD-20, 9293-SHLD-25, 9293-SHLD-9: soft errors can be asked for, and change nothing else.
#[test]
fn soft_errors() {
    let (mut script, handle) = reach(State::Established);
    let sent = script.send(handle, b"text");
    let router = address("10.0.0.9:0").ip();
    let unreachable = icmp_error(router, &sent[0].packet, IcmpError::DestinationUnreachable { code: 1 });
    edges(&mut script, handle);
    let before = portrait(&script, handle);
    assert_eq!(give(&mut script, &unreachable), None);
    script.silence();
    assert_eq!(portrait(&script, handle), before);
    assert_eq!(edges(&mut script, handle), Readiness::NONE, "nobody is woken");
    assert_eq!(script.stack.tcp_error(handle), None);
    assert_eq!(read(&mut script, handle), Err(SocketError::WouldBlock));
    assert!(write(&mut script, handle).is_ok());
    assert_eq!(script.stack.tcp_take_soft_error(handle), Some(SocketError::Unreachable));
    assert_eq!(script.stack.tcp_take_soft_error(handle), None, "told once");

    // R1: the third retransmission in vain, long before R2.
    let (mut script, handle) = reach(State::Established);
    script.send(handle, b"into the void");
    let start = script.now;
    let mut told = None;
    while script.stack.tcp_state(handle) == Some(State::Established) {
        script.pass(SECOND);
        if let Some(error) = script.stack.tcp_take_soft_error(handle) {
            assert_eq!((error, told), (SocketError::TimedOut, None));
            told = Some(script.now - start);
        }
    }
    let (told, over) = (told.unwrap(), script.now - start);
    assert!(told < 30 * SECOND && over > 100 * SECOND, "{told:?} {over:?}");

    // An attempt that met a soft error on its way fails with that, an attempt that met none by its time.
    for soft in [false, true] {
        let mut script = Script::new();
        let (handle, syn) = script.connect();
        if soft {
            let error = icmp_error(router, &syn.packet, IcmpError::DestinationUnreachable { code: 1 });
            assert_eq!(give(&mut script, &error), None);
            assert_eq!(script.stack.tcp_state(handle), Some(State::SynSent));
        }
        script.pass(200 * SECOND);
        let expected = if soft { SocketError::Unreachable } else { SocketError::TimedOut };
        assert_eq!(script.stack.tcp_error(handle), Some(expected));
    }
}
