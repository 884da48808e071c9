//! A listener that defers its answer to SYNs, under attack: what it remembers has an end, and honest clients are served.

use glasstcp::SocketError;
use glasstcp::counters::DropReason;
use glasstcp::sim::Script;
use glasstcp::sim::script::Sent;
use glasstcp::stack::{ListenOptions, ListenerHandle};
use glasstcp::tcp::config::SocketOptions;
use glasstcp::tcp::ecn::EcnMode;
use glasstcp::wire::option::{TcpOptions, Timestamp};
use glasstcp::wire::tcp::{Flags, TcpHeader};
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);

fn deferring(script: &mut Script, backlog: u32) -> ListenerHandle {
    let deferred = ListenOptions { backlog, deferred: true, ..ListenOptions::default() };
    script.stack.tcp_listen_with(script.local, &deferred).unwrap()
}

/// A SYN of whoever the peer is now, and what leaves.
fn syn(script: &mut Script) -> (Option<DropReason>, Vec<Sent>) {
    let syn = script.header(Flags::SYN);
    let dropped = script.deliver(&syn, &[]);
    (dropped, script.sent())
}

/// What the application says to each SYN of the flood.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Says {
    Nothing,
    Yes,
    No,
}

/// 4987-3.2: forged SYNs, from ever new ends, as many in 2 s as the listener remembers. An honest client that comes amid
/// them is asked about, and served after a second and a half; all that the flood gets is the application's answers.
#[test]
fn a_flood_of_syns_does_not_shut_out_the_honest() {
    for says in [Says::Nothing, Says::Yes, Says::No] {
        let mut script = Script::new();
        let listener = deferring(&mut script, 100);
        let honest = script.peer;
        let mut forged = 0_u16;
        let mut flood = |script: &mut Script, duration: Duration| {
            for _ in 0..duration.as_millis() / 20 {
                script.pass(20 * MS);
                forged += 1;
                script.peer.set_port(1_024 + forged);
                script.seq = script.seq.wrapping_add(77_777);
                assert_eq!(syn(script), (None, Vec::new()), "there is room");
                let asked = script.stack.tcp_next_syn(listener).unwrap();
                assert_eq!(asked.peer, script.peer);
                match says {
                    Says::Nothing => {}
                    Says::Yes => script.stack.tcp_accept_syn(script.now, asked.handle).unwrap(),
                    Says::No => script.stack.tcp_refuse_syn(script.now, asked.handle).unwrap(),
                }
                assert!(script.stack.table_sizes().0 <= 100);
            }
            script.packets();
        };
        flood(&mut script, Duration::from_secs(20));
        let evicted = script.stack.counters().syns_evicted;
        assert_eq!(evicted > 0, says != Says::No, "{says:?}: refusals leave room by themselves");

        (script.peer, script.seq) = (honest, 5_000);
        assert_eq!(syn(&mut script), (None, Vec::new()));
        let asked = script.stack.tcp_next_syn(listener).unwrap();
        assert_eq!(asked.peer, honest, "{says:?}");
        flood(&mut script, 1_500 * MS);
        script.stack.tcp_accept_syn(script.now, asked.handle).unwrap();
        let syn_ack = script.sent_one();
        assert_eq!((syn_ack.flags(), syn_ack.header.ack), (Flags::SYN | Flags::ACK, 5_001));
        // Its path is long: what has been accepted has its time from then on.
        flood(&mut script, 900 * MS);
        (script.peer, script.seq, script.ack) = (honest, 5_001, syn_ack.header.seq.wrapping_add(1));
        let ack = script.header(Flags::ACK);
        assert_eq!(script.deliver(&ack, &[]), None, "{says:?}");
        let (handle, peer) = script.stack.tcp_accept(listener).unwrap();
        assert_eq!(peer, honest);
        script.peer_sends(b"text");
        assert_eq!(script.receive(handle), b"text");
        assert_eq!(script.stack.counters().cookies_sent, 0, "a cookie would be a decision");
        // All of it ends.
        script.pass(Duration::from_secs(70));
        assert_eq!(script.stack.table_sizes().0, 0);
    }
}

/// Who is younger than a second may still come to something: faster floods wait. The oldest goes first.
#[test]
fn only_the_oldest_make_room() {
    let mut script = Script::new();
    let listener = deferring(&mut script, 4);
    let mut asked = Vec::new();
    for port in 1..=4 {
        script.peer.set_port(port);
        assert_eq!(syn(&mut script).0, None);
        asked.push(script.stack.tcp_next_syn(listener).unwrap().handle);
        script.pass(200 * MS);
    }
    // The first is 800 ms old.
    script.peer.set_port(5);
    assert_eq!(syn(&mut script).0, Some(DropReason::TcpSynQueueFull));
    assert_eq!(script.stack.tcp_next_syn(listener), Err(SocketError::WouldBlock));
    script.stack.tcp_accept_syn(script.now, asked[0]).unwrap();
    script.sent_one();
    script.pass(400 * MS);
    // The first has been accepted meanwhile, so the second goes; no more than one of 1 s is there.
    assert_eq!(syn(&mut script).0, None);
    assert_eq!(script.stack.counters().syns_evicted, 1);
    assert_eq!(script.stack.tcp_accept_syn(script.now, asked[1]), Err(SocketError::Aborted));
    script.pass(200 * MS);
    script.peer.set_port(6);
    assert_eq!(syn(&mut script).0, None, "the third");
    script.peer.set_port(7);
    assert_eq!(syn(&mut script).0, Some(DropReason::TcpSynQueueFull), "the fourth is too young");
    script.stack.tcp_accept_syn(script.now, asked[3]).unwrap();
    // The SYN-ACK to the first has been sent twice: its peer does not answer.
    script.pass(700 * MS);
    assert_eq!(syn(&mut script).0, None);
    assert_eq!((script.stack.counters().syns_evicted, script.stack.table_sizes().0), (3, 4));
}

/// A peer that begins anew is asked about once, for the time of its first SYN, and is answered for its last.
#[test]
fn one_tuple_asks_once() {
    for decided in [false, true] {
        let mut script = Script::new();
        let listener = deferring(&mut script, 8);
        assert_eq!(syn(&mut script).0, None);
        let asked = script.stack.tcp_next_syn(listener).unwrap();
        for number in 0..1_000 {
            script.pass(50 * MS);
            script.seq = script.seq.wrapping_add(77_777);
            let header = TcpHeader {
                options: TcpOptions { mss: Some(400 + number), ..TcpOptions::default() },
                ..script.header(Flags::SYN)
            };
            assert_eq!(script.deliver(&header, &[]), None);
            assert_eq!(script.stack.tcp_next_syn(listener), Err(SocketError::WouldBlock), "asked already");
            assert_eq!(script.stack.table_sizes(), (1, 0, 0));
        }
        if !decided {
            script.pass(Duration::from_secs(13));
            assert_eq!(script.stack.table_sizes(), (0, 0, 0), "63 s from the first");
            assert_eq!(script.stack.tcp_accept_syn(script.now, asked.handle), Err(SocketError::Aborted));
            continue;
        }
        script.stack.tcp_accept_syn(script.now, asked.handle).unwrap();
        let syn_ack = script.sent_one();
        script.seq = script.seq.wrapping_add(1);
        assert_eq!(syn_ack.header.ack, script.seq);
        script.ack = syn_ack.header.seq.wrapping_add(1);
        let ack = script.header(Flags::ACK);
        script.inject(&ack, &[]);
        let (handle, _) = script.stack.tcp_accept(listener).unwrap();
        assert_eq!(script.stack.tcp_connection(handle).unwrap().snd.mss, 1_399, "what the last SYN said");
    }
}

/// 7323-4.3, 3168-6.1.1.1: the SYN-ACK echoes the latest copy of the SYN, and does not answer for ECN if that no longer asks;
/// whether the copies come before the decision or behind it.
#[test]
fn the_answer_is_to_the_latest_copy() {
    for accepted_first in [false, true] {
        let mut script = Script::with(|config| config.tcp.ecn = EcnMode::Accept);
        let listener = deferring(&mut script, 8);
        let send = |script: &mut Script, value: u32, ecn: bool| {
            let timestamp = Some(Timestamp { value, echo: 0 });
            let flags = if ecn { Flags::SYN | Flags::ECE | Flags::CWR } else { Flags::SYN };
            let options = TcpOptions { timestamp, ..TcpOptions::default() };
            let header = TcpHeader { options, ..script.header(flags) };
            script.inject(&header, &[])
        };
        assert!(send(&mut script, 1_000, true).is_empty());
        let asked = script.stack.tcp_next_syn(listener).unwrap();
        let echo = |sent: &Sent| sent.header.options.timestamp.unwrap().echo;
        if accepted_first {
            script.stack.tcp_accept_syn(script.now, asked.handle).unwrap();
            let first = script.sent_one();
            assert_eq!((echo(&first), first.flags()), (1_000, Flags::SYN | Flags::ACK | Flags::ECE));
        }
        send(&mut script, 2_000, true);
        let mut last = send(&mut script, 3_000, false);
        // One that was overtaken.
        send(&mut script, 1_500, true);
        if !accepted_first {
            script.stack.tcp_accept_syn(script.now, asked.handle).unwrap();
            last = script.sent();
        }
        assert_eq!((echo(&last[0]), last[0].flags()), (3_000, Flags::SYN | Flags::ACK));
    }
}

/// 4987-3.2: a flood of SYNs to other listeners, be they ordinary or deferring too, leaves room in the common table: a client
/// of this listener is asked about at once.
#[test]
fn a_flood_elsewhere_takes_no_room() {
    for floods_deferring in [false, true] {
        let mut script = Script::with(|config| config.tcp.max_half_open = 200);
        let listener = deferring(&mut script, 60);
        let (honest, quiet) = (script.peer, script.local);
        script.local.set_port(81);
        let flooded = ListenOptions { backlog: 5_000, deferred: floods_deferring, ..ListenOptions::default() };
        let flooded = script.stack.tcp_listen_with(script.local, &flooded).unwrap();
        for number in 0..1_000 {
            script.peer.set_port(1_024 + number);
            syn(&mut script);
        }
        let (taken, _, _) = script.stack.table_sizes();
        // Two deferring ones share half of the table; one keeps as much of it as it asks for.
        assert_eq!(taken, if floods_deferring { 50 } else { 140 });
        assert_eq!(script.stack.counters().cookies_sent > 0, !floods_deferring);
        (script.local, script.peer) = (quiet, honest);
        for number in 0..50 {
            script.peer.set_port(honest.port() + number);
            assert_eq!(syn(&mut script), (None, Vec::new()));
            assert_eq!(script.stack.tcp_next_syn(listener).unwrap().peer, script.peer);
        }
        // What was kept is free again when nobody defers: for those who come later, and all records end.
        script.stack.listener_close(script.now, listener);
        script.stack.listener_close(script.now, flooded);
        script.listen_with(5_000, SocketOptions::default());
        script.pass(Duration::from_secs(70));
        assert_eq!(script.stack.table_sizes().0, 0);
        for number in 0..1_000 {
            script.peer.set_port(1_024 + number);
            syn(&mut script);
        }
        assert_eq!(script.stack.table_sizes().0, 200);
    }
}
