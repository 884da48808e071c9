//! The calls of the application (RFC 9293 section 3.10.1 to 3.10.6) and what they answer in every state.

use crate::kit::calls::*;
use crate::kit::{CONNECTED, reach};
use glasstcp::SocketError;
use glasstcp::buffer::{LARGE, SMALL};
use glasstcp::sim::{Script, Sent};
use glasstcp::stack::Readiness;
use glasstcp::tcp::config::SocketOptions;
use glasstcp::tcp::state::State;
use glasstcp::wire::option::TcpOptions;
use glasstcp::wire::parse_ip;
use glasstcp::wire::tcp::{Flags, TcpHeader};
use std::net::Shutdown;
use std::time::Duration;

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

fn no_hops(options: &mut SocketOptions) {
    options.hop_limit = 0;
}

fn no_class(options: &mut SocketOptions) {
    options.dscp = 64;
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
