//! The calls of the application (RFC 9293 section 3.10.1 to 3.10.6) and what they answer in every state.

mod kit;

use glasstcp::SocketError;
use glasstcp::buffer::{LARGE, SMALL};
use glasstcp::sim::{Script, Sent};
use glasstcp::stack::{Readiness, SocketHandle, TcpHandle};
use glasstcp::tcp::config::SocketOptions;
use glasstcp::tcp::state::State;
use glasstcp::wire::icmp::IcmpError;
use glasstcp::wire::option::TcpOptions;
use glasstcp::wire::parse_ip;
use glasstcp::wire::tcp::{Flags, TcpHeader};
use kit::{CONNECTED, give, icmp_error, portrait, reach};
use std::net::{Shutdown, SocketAddr};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// What was reported for this connection since the last time.
fn edges(script: &mut Script, handle: TcpHandle) -> Readiness {
    let mut edges = Readiness::NONE;
    while let Some(ready) = script.stack.poll_ready() {
        if ready.socket == SocketHandle::Tcp(handle) {
            edges = edges.with(ready.edges);
        }
    }
    edges
}

fn read(script: &mut Script, handle: TcpHandle) -> Result<usize, SocketError> {
    script.stack.tcp_receive(script.now, handle, &mut [0; 100])
}

fn write(script: &mut Script, handle: TcpHandle) -> Result<usize, SocketError> {
    script.stack.tcp_send(script.now, handle, b"more")
}

/// 9293-MUST-12, 9293-3.10.7.4-15, pitfall 37: a FIN is an end, a RST an error, and both wake reader, writer and poller.
#[test]
fn a_normal_end_is_told_from_a_reset() {
    let (mut script, handle) = reach(State::Established);
    edges(&mut script, handle);
    assert_eq!(read(&mut script, handle), Err(SocketError::WouldBlock), "the reader waits");
    script.peer_closes();
    let woken = edges(&mut script, handle);
    assert!(woken.any(Readiness::READABLE) && woken.any(Readiness::READ_CLOSED) && !woken.any(Readiness::ERROR));
    assert_eq!(read(&mut script, handle), Ok(0));
    assert_eq!(script.stack.tcp_error(handle), None);

    for state in [State::Established, State::FinWait1, State::FinWait2, State::CloseWait] {
        let (mut script, handle) = reach(state);
        let own_fin = matches!(state, State::FinWait1 | State::FinWait2);
        while !own_fin && write(&mut script, handle).is_ok() {} // The writer waits as well.
        edges(&mut script, handle);
        let rst = script.header(Flags::RST);
        script.inject(&rst, &[]);
        let woken = edges(&mut script, handle);
        assert!(woken.any(Readiness::READABLE) && woken.any(Readiness::WRITABLE) && woken.any(Readiness::ERROR));
        assert_eq!(script.stack.tcp_state(handle), Some(State::Closed));
        assert_eq!(script.stack.tcp_error(handle), Some(SocketError::Reset), "{state}");
        // What the peer had ended normally before stays a normal end for the reader.
        let expected = if state == State::CloseWait { Ok(0) } else { Err(SocketError::Reset) };
        assert_eq!(read(&mut script, handle), expected, "{state}");
        assert_eq!(write(&mut script, handle), Err(SocketError::Reset), "{state}");
        assert_eq!(script.stack.buffer_memory(), 0, "the queues are flushed");
        assert_eq!(std::io::Error::from(SocketError::Reset).kind(), std::io::ErrorKind::ConnectionReset);
    }
}

/// 9293-MUST-17: TCP_NODELAY, for one connection.
#[test]
fn nagle_can_be_switched_off() {
    for nodelay in [false, true] {
        let (mut script, handle) = reach(State::Established);
        script.stack.tcp_set_options(script.now, handle, |options| options.nodelay = nodelay).unwrap();
        assert_eq!(script.send(handle, b"a").len(), 1);
        let second = script.send(handle, b"b");
        assert_eq!(second.len(), usize::from(nodelay), "with data outstanding");
        if !nodelay {
            let ack = script.ack.wrapping_add(1);
            assert_eq!(script.peer_acks(ack)[0].text, b"b");
        }
    }
}

/// What is sent as records shares no segment with what follows, neither at first nor when it is sent again; only what may
/// still become longer waits for an ACK.
#[test]
fn records_are_kept_apart() {
    let (mut script, handle) = reach(State::Established);
    assert_eq!(script.send(handle, b"short").len(), 1, "in flight, so that Nagle's algorithm holds what is short");
    let first = script.ack;
    for record in [&b"one"[..], b"two"] {
        assert_eq!(script.stack.tcp_send_record(script.now, handle, record), Ok(3));
        script.stack.tcp_send_record(script.now, handle, b"").unwrap();
    }
    script.stack.tcp_send(script.now, handle, b"rest").unwrap();
    let texts = |sent: Vec<Sent>| -> Vec<Vec<u8>> { sent.into_iter().map(|sent| sent.text).collect() };
    let sent = script.sent();
    assert!(sent.iter().all(|sent| sent.flags().contains(Flags::PSH)));
    assert_eq!(texts(sent), [b"one", b"two"]);
    // Lost, all of it: each is sent again by itself.
    let again = texts(script.pass(2 * SECOND));
    // What was written before the first record belongs to it.
    assert!(again.iter().all(|text| [&b"short"[..], b"shortone", b"two", b"rest"].contains(&&text[..])), "{again:?}");
    let mut all = again;
    all.extend(texts(script.peer_acks(first.wrapping_add(5))));
    all.extend(texts(script.peer_acks(first.wrapping_add(8))));
    all.extend(texts(script.peer_acks(first.wrapping_add(11))));
    assert!(all.ends_with(&[b"rest".to_vec()]) && all.contains(&b"two".to_vec()), "{all:?}");

    // More than a segment: whole ones, and a short one at the end that does not wait for what follows.
    let (mut script, handle) = reach(State::Established);
    script.send(handle, b"short");
    script.stack.tcp_send_record(script.now, handle, &[7; 3_000]).unwrap();
    script.stack.tcp_send(script.now, handle, &[8; 100]).unwrap();
    let lengths: Vec<usize> = script.sent().iter().map(|sent| sent.text.len()).collect();
    let mss = script.stack.tcp_snapshot(handle).unwrap().segment_payload as usize;
    let mut expected = vec![mss; 3_000 / mss];
    expected.push(3_000 % mss);
    assert_eq!(lengths, expected);
}

/// 9293-MUST-21: R2 of one connection, infinity included.
#[test]
fn the_user_timeout_is_the_users() {
    let (mut script, handle) = reach(State::Established);
    script.stack.tcp_set_options(script.now, handle, |options| options.user_timeout = Some(5 * SECOND)).unwrap();
    script.send(handle, b"into the void");
    script.pass(Duration::from_millis(4_900));
    assert_eq!(script.stack.tcp_state(handle), Some(State::Established));
    script.pass(Duration::from_millis(200));
    assert_eq!(script.stack.tcp_error(handle), Some(SocketError::TimedOut));
    // Changed while the text is out.
    let (mut script, handle) = reach(State::Established);
    script.send(handle, b"into the void");
    script.stack.tcp_set_options(script.now, handle, |options| options.user_timeout = Some(5 * SECOND)).unwrap();
    script.pass(Duration::from_millis(5_100));
    assert_eq!(script.stack.tcp_error(handle), Some(SocketError::TimedOut));

    let (mut script, handle) = reach(State::Established);
    script.stack.tcp_set_options(script.now, handle, |options| options.user_timeout = Some(Duration::MAX)).unwrap();
    script.send(handle, b"into the void");
    let sent = script.pass(Duration::from_secs(86_400));
    assert_eq!(script.stack.tcp_state(handle), Some(State::Established));
    assert!(sent.len() > 700, "retransmissions go on: {}", sent.len());
}

/// 9293-MUST-24, 9293-MUST-27: keep-alives by connection, and their interval.
#[test]
fn keep_alives_are_the_applications() {
    let mut script = Script::new();
    let first = script.accept();
    script.peer.set_port(40_001);
    let second = script.accept();
    script
        .stack
        .tcp_set_options(script.now, second, |options| {
            options.keep_alive = true;
            options.keep_alive_idle = 30 * SECOND;
        })
        .unwrap();
    let start = script.now;
    let sent = script.pass(31 * SECOND);
    assert_eq!(sent.len(), 1);
    assert_eq!((sent[0].header.destination_port, sent[0].at), (40_001, start + 30 * SECOND));
    assert_eq!(script.stack.tcp_state(first), Some(State::Established));
    let answer = script.header(Flags::ACK);
    script.inject(&answer, &[]);
    script.stack.tcp_set_options(script.now, second, |options| options.keep_alive = false).unwrap();
    assert!(script.pass(100_000 * SECOND).is_empty(), "switched off, and the other one never was on");
}

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

/// The TOS octet or traffic class and the TTL or hop limit of a packet.
fn class_and_hops(packet: &[u8]) -> (u8, u8) {
    let ip = parse_ip(packet).unwrap();
    (ip.traffic_class, ip.hop_limit)
}

/// 9293-MUST-48, 9293-SHLD-22, 9293-SHLD-23, 9293-MUST-49, 1122-3.2.1.6, 1122-3.2.1.7-1: DSCP and hop limit leave on every
/// segment as they were set.
#[test]
fn dscp_and_hop_limit() {
    for (local, peer) in [("10.0.0.2:80", "10.0.0.1:40000"), ("[fd00:67::2]:80", "[fd00:67::1]:40000")] {
        for dscp in 0..64 {
            let mut script = Script::on(local, peer, |_| {});
            let options = SocketOptions { dscp, hop_limit: 17 + dscp, ..SocketOptions::default() };
            let listener = script.listen_with(5, options);
            let expected = (dscp << 2, 17 + dscp);
            let mut packets = script.peer_syn(TcpOptions { mss: Some(1_000), ..TcpOptions::default() });
            let again = TcpHeader { seq: script.seq.wrapping_sub(1), ..script.header(Flags::SYN) };
            packets.extend(script.inject(&again, &[]));
            let third = script.header(Flags::ACK);
            script.inject(&third, &[]);
            let (handle, _) = script.stack.tcp_accept(listener).unwrap();
            packets.extend(script.send(handle, &[1; 2_000]));
            packets.extend(script.pass(3 * SECOND));
            let end = script.ack + 2_000;
            script.peer_acks(end);
            packets.extend(script.peer_sends(b"text"));
            script.receive(handle);
            script.stack.tcp_shutdown(script.now, handle, Shutdown::Write).unwrap();
            packets.extend(script.sent());
            script.peer_acks(end + 1);
            packets.extend(script.peer_closes());
            script.seq = script.seq.wrapping_sub(1);
            packets.extend(script.peer_closes()); // TIME-WAIT answers a FIN that comes again.
            assert!(packets.len() >= 8, "{packets:#?}");
            for sent in &packets {
                assert_eq!(class_and_hops(&sent.packet), expected, "{sent:?}");
            }
        }
    }
    // By default 0, and the hop limit of the whole stack where the socket has none of its own; the RST of an abort.
    let mut script = Script::with(|config| config.tcp.socket.hop_limit = 17);
    let handle = script.accept();
    assert_eq!(class_and_hops(&script.send(handle, b"x")[0].packet), (0, 17));
    script.stack.tcp_set_options(script.now, handle, |options| options.dscp = 46).unwrap();
    script.stack.tcp_abort(script.now, handle);
    assert_eq!(class_and_hops(&script.sent_one().packet), (0xB8, 17));
    let stray = script.header(Flags::ACK);
    assert_eq!(class_and_hops(&script.inject(&stray, &[])[0].packet), (0, 17));
}

/// 9293-SHLD-21, 9293-MUST-49, 1122-3.2.1.7-1: changed in mid-stream, retransmissions included; out of range is refused.
#[test]
fn dscp_and_hop_limit_can_change() {
    let (mut script, handle) = reach(State::Established);
    let now = script.now;
    let sent = script.send(handle, b"one");
    assert_eq!(class_and_hops(&sent[0].packet), (0, 64));
    script.stack.tcp_set_options(now, handle, |options| (options.dscp, options.hop_limit) = (46, 9)).unwrap();
    let again = script.pass(2 * SECOND);
    assert!(!again.is_empty() && again.iter().all(|sent| class_and_hops(&sent.packet) == (0xB8, 9)));
    assert_eq!(class_and_hops(&script.peer_sends(b"x")[0].packet), (0xB8, 9));
    for change in [no_hops as fn(&mut SocketOptions), no_class] {
        assert_eq!(script.stack.tcp_set_options(now, handle, change), Err(SocketError::InvalidArgument));
    }
    assert_eq!(script.stack.tcp_options(handle).map(|options| (options.dscp, options.hop_limit)), Some((46, 9)));
}

/// 9293-3.10.2-1, 9293-3.10.3-1, 9293-3.10.6-1: without a connection every call fails.
#[test]
fn calls_without_a_connection() {
    let (mut script, handle) = reach(State::Established);
    let rst = script.header(Flags::RST);
    script.inject(&rst, &[]);
    assert_eq!(write(&mut script, handle), Err(SocketError::Reset));
    assert_eq!(read(&mut script, handle), Err(SocketError::Reset));
    let now = script.now;
    assert!(script.stack.tcp_shutdown(now, handle, Shutdown::Write).is_err());
    script.stack.tcp_close(now, handle);
    for error in [write(&mut script, handle), read(&mut script, handle)] {
        assert_eq!(error.unwrap_err().kind(), std::io::ErrorKind::NotConnected);
    }
    assert_eq!(script.stack.tcp_shutdown(now, handle, Shutdown::Both), Err(SocketError::BadHandle));
    assert!(script.stack.tcp_snapshot(handle).is_none() && script.stack.tcp_state(handle).is_none());
    script.stack.tcp_abort(now, handle);
    script.stack.tcp_close(now, handle);
    script.silence();
    assert_eq!(script.stack.table_sizes(), (0, 0, 0));
}

/// 9293-3.10.2-3, 9293-3.10.3-2: what is written while opening follows the handshake exactly once; a read waits.
#[test]
fn calls_while_opening() {
    for state in [State::SynSent, State::SynReceived] {
        let (mut script, handle) = reach(state);
        script.sent();
        assert_eq!(script.stack.tcp_send(script.now, handle, b"early"), Ok(5));
        assert_eq!(read(&mut script, handle), Err(SocketError::WouldBlock));
        script.silence();
        let flags = if state == State::SynSent { Flags::SYN | Flags::ACK } else { Flags::ACK };
        let header = script.header(flags);
        let mut text: Vec<u8> = script.inject(&header, &[]).iter().flat_map(|sent| sent.text.clone()).collect();
        if state == State::SynSent {
            script.seq += 1;
        }
        assert_eq!(text, b"early", "{state}");
        let ack = script.ack + 5;
        script.peer_acks(ack);
        text.extend(script.pass(20 * SECOND).iter().flat_map(|sent| sent.text.clone()));
        assert_eq!(text, b"early", "once");
        edges(&mut script, handle);
        script.peer_sends(b"hi");
        assert!(edges(&mut script, handle).any(Readiness::READABLE), "the read that waited");
        assert_eq!(script.receive(handle), b"hi");
    }
    // No room is an answer, not a loss.
    let (mut script, handle) = reach(State::SynSent);
    let connection = script.stack.tcp_connection(handle).unwrap();
    let capacity = connection.send_capacity(&script.stack.config().tcp) as usize;
    assert_eq!(script.stack.tcp_send(script.now, handle, &vec![0; capacity + 5]), Ok(capacity));
    assert_eq!(write(&mut script, handle), Err(SocketError::WouldBlock));
}

/// 9293-3.10.2-4, 9293-3.10.4-6, pitfall 28: half closed by the peer, a megabyte still goes out, each segment with an ACK.
#[test]
fn a_server_answers_after_the_clients_fin() {
    let (mut script, handle) = reach(State::CloseWait);
    let data: Vec<u8> = (0..1 << 20).map(|n: u32| (n % 251) as u8).collect();
    let mut written = 0;
    let mut received = Vec::new();
    for _ in 0..2_000 {
        written += script.stack.tcp_send(script.now, handle, &data[written..]).unwrap_or(0);
        for sent in script.sent() {
            assert!(sent.flags().contains(Flags::ACK) && !sent.flags().contains(Flags::FIN));
            assert_eq!(sent.header.ack, script.seq, "RCV.NXT");
            received.extend_from_slice(&sent.text);
            script.ack = sent.header.seq.wrapping_add(sent.text.len() as u32);
        }
        let ack = script.header(Flags::ACK);
        script.deliver(&ack, &[]);
    }
    assert!(received == data, "{} of {}", received.len(), data.len());
    assert_eq!(script.stack.tcp_state(handle), Some(State::CloseWait), "no FIN of its own accord");
    script.stack.tcp_shutdown(script.now, handle, Shutdown::Write).unwrap();
    assert!(script.sent_one().flags().contains(Flags::FIN));
    assert_eq!(script.stack.tcp_state(handle), Some(State::LastAck));
}

/// 9293-3.10.2-6, pitfall 27: after the FIN nothing can be written.
#[test]
fn writes_after_shutdown() {
    for state in [State::FinWait1, State::FinWait2, State::Closing, State::LastAck, State::TimeWait] {
        let (mut script, handle) = reach(state);
        assert_eq!(write(&mut script, handle), Err(SocketError::BrokenPipe), "{state}");
        script.silence();
    }
    // Also while the FIN still waits behind queued text.
    let (mut script, handle) = reach(State::Established);
    script.stack.tcp_send(script.now, handle, &[1; 500_000]).unwrap();
    script.stack.tcp_shutdown(script.now, handle, Shutdown::Write).unwrap();
    assert_eq!(write(&mut script, handle), Err(SocketError::BrokenPipe));
}

/// 9293-3.10.4-4, pitfall 27: the FIN comes behind all that was queued, also through a closed window.
#[test]
fn the_fin_is_the_last_octet() {
    let mut script = Script::new();
    script.window = 0;
    let handle = script.accept();
    let data = vec![3; 200_000];
    script.stack.tcp_send(script.now, handle, &data).unwrap();
    script.stack.tcp_shutdown(script.now, handle, Shutdown::Write).unwrap();
    assert!(script.sent().iter().all(|sent| !sent.flags().contains(Flags::FIN)));
    script.window = 20_000;
    let (first, mut fin) = (script.ack, None);
    for _ in 0..400 {
        let ack = script.header(Flags::ACK);
        for sent in script.inject(&ack, &[]) {
            assert_eq!(fin, None, "nothing after the FIN");
            assert_eq!(sent.header.seq, script.ack, "no gap");
            script.ack = sent.header.seq.wrapping_add(sent.text.len() as u32);
            if sent.flags().contains(Flags::FIN) {
                fin = Some(script.ack);
            }
        }
        script.pass(Duration::from_millis(300)).len();
        if fin.is_some() {
            break;
        }
    }
    assert_eq!(fin.map(|fin| fin.wrapping_sub(first)), Some(200_000));
}

/// 9293-3.10.3-3, 9293-MAY-17, pitfall 28: reading goes on after shutdown(write), and needs no PSH.
#[test]
fn reads_in_the_receiving_states() {
    for state in [State::Established, State::FinWait1, State::FinWait2] {
        let (mut script, handle) = reach(state);
        edges(&mut script, handle);
        assert_eq!(read(&mut script, handle), Err(SocketError::WouldBlock));
        // The second piece first.
        script.seq += 6;
        script.peer_sends(b"world");
        assert_eq!(read(&mut script, handle), Err(SocketError::WouldBlock));
        script.seq -= 11;
        let header = script.header(Flags::ACK);
        script.inject(&header, b"hello ");
        assert!(edges(&mut script, handle).any(Readiness::READABLE));
        assert_eq!(script.receive(handle), b"hello world", "{state}");
        assert_eq!(script.stack.tcp_state(handle), Some(state));
    }
}

/// 9293-3.10.3-4, 9293-3.10.3-5: what was left unread, then the end of the stream, for ever.
#[test]
fn reads_after_the_fin() {
    for state in [State::CloseWait, State::LastAck, State::Closing, State::TimeWait] {
        let (mut script, handle) = match state {
            State::CloseWait | State::LastAck => reach(State::Established),
            State::Closing => reach(State::FinWait1),
            _ => reach(State::FinWait2),
        };
        script.peer_sends(&[5; 100]);
        script.peer_closes();
        if state == State::LastAck {
            script.stack.tcp_shutdown(script.now, handle, Shutdown::Write).unwrap();
            script.sent_one();
        }
        assert_eq!(script.stack.tcp_state(handle), Some(state));
        let mut buffer = [0; 60];
        let mut counts = [0; 4];
        for count in &mut counts {
            *count = script.stack.tcp_receive(script.now, handle, &mut buffer).unwrap();
        }
        assert_eq!(counts, [60, 40, 0, 0], "{state}");
        script.pass(100 * SECOND);
        assert_eq!(read(&mut script, handle), Ok(0), "still the end, not an error ({state})");
    }
}

/// 9293-3.10.6-1: every state can be asked for, by its name and with its numbers.
#[test]
fn status_in_every_state() {
    for state in CONNECTED {
        let (script, handle) = reach(state);
        let snapshot = script.stack.tcp_snapshot(handle).unwrap();
        assert_eq!((snapshot.state, snapshot.local, snapshot.remote), (state, script.local, script.peer));
        assert_eq!(snapshot.flight, snapshot.snd_nxt - snapshot.snd_una);
        let fin =
            u32::from(!matches!(state, State::Established | State::CloseWait | State::SynSent | State::SynReceived));
        assert_eq!(snapshot.snd_nxt, 1 + fin, "{state}");
        assert!(snapshot.rto >= Duration::from_millis(200) && snapshot.cwnd > 0 || state == State::SynSent);
        assert!(script.stack.tcp_snapshots(10).len() == 1, "{state}");
    }
    let mut script = Script::new();
    script.listen();
    let listeners: Vec<_> = script.stack.tcp_listeners().collect();
    assert_eq!(listeners, [(script.local, 0, 0)]);
}

/// 9293-3.10.6-1: what has come and gone is counted, each segment once.
#[test]
fn status_counts_segments() {
    let (mut script, handle) = reach(State::Established);
    let before = script.stack.tcp_snapshot(handle).unwrap().statistics;
    let answers: usize = (0..3).map(|_| script.peer_sends(b"text").len()).sum();
    let sent = script.send(handle, &[1; 3_000]).len();
    let after = script.stack.tcp_snapshot(handle).unwrap().statistics;
    assert_eq!((after.segments_in - before.segments_in, after.octets_received - before.octets_received), (3, 12));
    assert_eq!(after.segments_out - before.segments_out, u32::try_from(answers + sent).unwrap());
    let lost = script.stack.tcp_snapshot(handle).unwrap().statistics.retransmits;
    assert!(
        !script.pass(SECOND).is_empty() && script.stack.tcp_snapshot(handle).unwrap().statistics.retransmits > lost
    );
}

/// A connection opens while all buffer memory is in use: that it is writable is told once there is memory.
#[test]
fn writable_once_there_is_memory() {
    let mut script = Script::with(|config| config.tcp.buffer_memory = LARGE + 2 * SMALL);
    let greedy = script.accept();
    script.peer_sends(&[1; SMALL]);
    script.peer_sends(&[2]);
    (script.peer, script.seq) = (address("10.0.0.1:40001"), 5_000);
    let waiting = script.connect_established();
    assert_eq!(script.stack.tcp_state(waiting), Some(State::Established));
    assert!(!edges(&mut script, waiting).any(Readiness::WRITABLE), "there is nothing to write into");
    assert_eq!(script.receive(greedy).len(), SMALL + 1);
    assert!(edges(&mut script, waiting).any(Readiness::WRITABLE));
    assert_eq!(write(&mut script, waiting), Ok(4));
}

/// Buffers that could hold nothing, or more than sequence numbers can tell apart, are refused.
#[test]
fn buffer_sizes_that_cannot_work() {
    let (mut script, handle) = reach(State::Established);
    for capacity in [0, (1 << 30) + 1, u32::MAX] {
        for options in [
            SocketOptions { send_capacity: Some(capacity), ..Default::default() },
            SocketOptions { receive_capacity: Some(capacity), ..Default::default() },
        ] {
            let refused = Some(SocketError::InvalidArgument);
            let now = script.now;
            assert_eq!(script.stack.tcp_set_options(now, handle, |own| *own = options).err(), refused);
            assert_eq!(script.stack.tcp_listen(address("10.0.0.2:81"), 1, options).err(), refused);
            assert_eq!(script.stack.tcp_connect(now, None, address("10.0.0.1:81"), options).err(), refused);
        }
    }
}
