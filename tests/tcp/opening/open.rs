//! Opening through the whole stack: CLOSED, LISTEN, SYN-SENT and SYN-RECEIVED, passive, active and simultaneous.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::fsm::*;
use glasstcp::SocketError;
use glasstcp::device::impair::Impairment;
use glasstcp::sim::{Script, Side, World};
use glasstcp::stack::{Readiness, SocketHandle};
use glasstcp::tcp::state::State;
use glasstcp::wire::option::{TcpOptions, Timestamp};
use glasstcp::wire::tcp::{Flags, TcpHeader};

// CLOSED.

/// 9293-3.10.7.1-1, 9293-3.10.7.1-2, 9293-3.10.7.1-3, 9293-3.10.7.4-39, pitfall 6: the two formats of a RST, and none for
/// a RST.
#[test]
fn nobody_answers_with_the_right_reset() {
    for seq in EDGES {
        let mut script = Script::new();
        (script.seq, script.ack) = (seq, 777);
        for (flags, text, length) in
            [(SYN, 10, 11), (SYN, 0, 1), (FIN, 0, 1), (SYN | FIN, 5, 7), (PSH, 3, 3), (Flags(0), 0, 0)]
        {
            let sent = script.inject(&script.header(flags), &vec![7; text]);
            assert_eq!(sent.len(), 1, "{flags}");
            let header = &sent[0].header;
            assert_eq!((header.flags, header.seq, header.ack), (RST | ACK, 0, seq.wrapping_add(length)), "{flags}");
            assert!(sent[0].text.is_empty() && header.options == TcpOptions::default());
        }
        for (flags, text) in [(ACK, 0), (ACK, 9), (ACK | FIN, 0), (SYN | ACK, 0)] {
            assert_reset(&script.inject(&script.header(flags), &vec![7; text]), 777);
        }
        for flags in [RST, RST | ACK, RST | SYN, RST | FIN | ACK] {
            assert_eq!(script.inject(&script.header(flags), b"data"), [], "{flags}");
        }
        assert_eq!(script.stack.table_sizes(), (0, 0, 0));
    }
}

/// 7323-5.2: a RST for a segment of no connection has its timestamp as TSecr, and no clock of its own; by habit it has none.
#[test]
fn a_reset_echoes_the_timestamp_of_what_it_answers() {
    for bare in [false, true] {
        let mut script = Script::with(|config| config.tcp.habits.resets.bare = bare);
        let listens_at = script.local;
        script.listen();
        for (port, flags) in [(81, SYN), (81, FIN | ACK), (listens_at.port(), ACK), (listens_at.port(), SYN | ACK)] {
            script.local.set_port(port);
            let timestamp = Some(Timestamp { value: 0xfedc_ba98, echo: 7 });
            let options = TcpOptions { timestamp, ..TcpOptions::default() };
            let sent = script.inject(&TcpHeader { options, ..script.header(flags) }, &[]);
            assert!(sent[0].flags().contains(RST), "{flags}");
            let expected = (!bare).then_some(Timestamp { value: 0, echo: 0xfedc_ba98 });
            assert_eq!(sent[0].header.options, TcpOptions { timestamp: expected, ..TcpOptions::default() }, "{flags}");
        }
    }
}

// LISTEN.

/// 9293-3.10.7.2-1, 9293-3.10.7.2-2, 9293-3.10.7.2-6, 9293-3.10.7.4-39, pitfall 6
#[test]
fn a_listener_takes_nothing_but_a_syn() {
    let mut script = Script::new();
    script.listen();
    script.ack = 4_321;
    for flags in [RST, RST | ACK, RST | SYN, Flags(0), FIN, PSH, FIN | PSH] {
        assert_eq!(script.inject(&script.header(flags), b"text"), [], "{flags} is dropped silently");
    }
    for flags in [ACK, SYN | ACK, FIN | ACK, PSH | ACK] {
        assert_reset(&script.inject(&script.header(flags), &[]), 4_321);
    }
    assert_eq!(script.stack.table_sizes(), (0, 0, 0));
}

/// 9293-3.10.7.2-3, 9293-3.10.7.4-22, 9293-3.4-1, pitfalls 1 and 11: at every edge of the number space.
#[test]
fn a_passive_open_at_every_edge() {
    for (iss, irs) in edges() {
        let mut script = script_at(iss, irs);
        let listener = script.listen();
        let sent = script.peer_syn(plain());
        assert_eq!(sent.len(), 1);
        let header = &sent[0].header;
        assert_eq!((header.flags, header.seq, header.ack), (SYN | ACK, iss, irs.wrapping_add(1)));
        assert_eq!(script.stack.table_sizes(), (1, 0, 0), "SYN-RECEIVED is a record of its own");
        assert_eq!(script.stack.tcp_accept(listener), Err(SocketError::WouldBlock));
        // The third segment carries data and its window.
        script.window = 4_096;
        let sent = script.peer_sends(b"hello");
        assert_ack(&sent, iss.wrapping_add(1), irs.wrapping_add(6));
        let (handle, remote) = script.stack.tcp_accept(listener).unwrap();
        assert_eq!(remote, script.peer);
        assert_eq!(state(&script, handle), State::Established);
        assert_eq!(variables(&script, handle), (iss.wrapping_add(1), iss.wrapping_add(1), irs.wrapping_add(6)));
        let snd = script.stack.tcp_connection(handle).unwrap().snd;
        assert_eq!((snd.wnd, snd.wl1.0, snd.wl2.0), (4_096, irs.wrapping_add(1), iss.wrapping_add(1)));
        assert_eq!(script.receive(handle), b"hello");
        assert_eq!(script.stack.table_sizes(), (0, 1, 0));
    }
}

/// 9293-3.10.7.4-22: the window of the third segment is scaled, the one of the SYN is not.
#[test]
fn the_third_segment_brings_a_scaled_window() {
    let mut script = Script::new();
    let listener = script.listen();
    script.window = 1_000;
    script.peer_syn(TcpOptions { window_scale: Some(7), ..plain() });
    script.inject(&script.header(ACK), &[]);
    let (handle, _) = script.stack.tcp_accept(listener).unwrap();
    assert_eq!(script.stack.tcp_snapshot(handle).unwrap().snd_wnd, 128_000);
}

/// 9293-3.10.7.2-4: one listener, two of our addresses and both families at once, and it goes on listening.
#[test]
fn a_wildcard_listener_binds_each_connection_on_its_own() {
    let mut stacks = Vec::new();
    for (local, peer) in [("10.0.0.2:80", "10.0.0.1:40000"), ("[fd00:67::2]:80", "[fd00:67::1]:40000")] {
        stacks.push((local, peer));
    }
    let mut script = Script::on(stacks[0].0, stacks[0].1, |_| {});
    let options = script.stack.config().tcp.socket;
    let listener = script.stack.tcp_listen("[::]:80".parse().unwrap(), 16, options).unwrap();
    for (local, peer) in stacks {
        (script.local, script.peer, script.seq) = (local.parse().unwrap(), peer.parse().unwrap(), 5_000);
        assert_eq!(script.peer_syn(plain()).len(), 1);
        script.inject(&script.header(ACK), &[]);
        let (handle, _) = script.stack.tcp_accept(listener).unwrap();
        let tuple = script.stack.tcp_tuple(handle).unwrap();
        assert_eq!((tuple.local(), tuple.remote()), (script.local, script.peer));
        assert_eq!(script.stack.listener_local(listener), Some("[::]:80".parse().unwrap()));
    }
    assert_eq!(script.stack.table_sizes(), (0, 2, 0));
}

/// 9293-3.10.7.2-5, 9293-3.4-2: what comes with the SYN is acknowledged only up to the SYN, and delivered once when it
/// comes again.
#[test]
fn text_and_fin_of_a_syn_come_again() {
    let mut script = Script::new();
    let listener = script.listen();
    let sent = script.inject(&TcpHeader { options: plain(), ..script.header(SYN | FIN) }, b"early");
    assert_eq!((sent.len(), sent[0].header.ack), (1, script.seq.wrapping_add(1)));
    script.ack = sent[0].header.seq.wrapping_add(1);
    script.seq += 1;
    let again = script.header(ACK | FIN);
    let sent = script.inject(&again, b"early");
    assert_ack(&sent, script.ack, script.seq + 6);
    let (handle, _) = script.stack.tcp_accept(listener).unwrap();
    assert_eq!((state(&script, handle), script.receive(handle)), (State::CloseWait, b"early".to_vec()));
    script.inject(&again, b"early");
    assert_eq!(script.receive(handle), b"");
}

// SYN-SENT.

/// 9293-3.10.7.3-1, 9293-3.4-1, pitfalls 1 and 7: an ACK that does not acknowledge our SYN draws a RST.
#[test]
fn an_unacceptable_ack_in_syn_sent_draws_a_reset() {
    for iss in EDGES {
        for offset in [0_u32, 2, u32::MAX, 1 << 31] {
            let mut script = script_at(iss, 9_000);
            let (handle, syn) = script.connect();
            assert_eq!(syn.header.seq, iss);
            let ack = iss.wrapping_add(offset);
            script.ack = ack;
            for flags in [ACK, SYN | ACK, FIN | ACK] {
                assert_reset(&script.inject(&script.header(flags), &[]), ack);
            }
            for flags in [RST | ACK, RST | SYN | ACK] {
                assert_eq!(script.inject(&script.header(flags), &[]), [], "{flags}");
            }
            assert_eq!((state(&script, handle), script.stack.tcp_error(handle)), (State::SynSent, None));
        }
    }
}

/// 9293-3.10.7.3-3, 9293-3.10.7.3-4, 9293-3.10.7.3-9, 9293-3.10.7.4-39, 9293-3.5.3-1, pitfall 8
#[test]
fn in_syn_sent_only_a_reset_with_our_ack_refuses() {
    for iss in EDGES {
        let mut script = script_at(iss, 9_000);
        let (handle, _) = script.connect();
        for (flags, text) in [(RST, 0), (RST, 9), (RST | FIN, 0), (ACK, 0), (ACK, 5), (ACK | FIN, 0), (FIN, 0)] {
            assert_eq!(script.inject(&script.header(flags), &vec![1; text]), [], "{flags}");
            assert_eq!((state(&script, handle), script.stack.tcp_error(handle)), (State::SynSent, None), "{flags}");
        }
        assert!(reported(&mut script, handle).is_none());
        assert_eq!(script.inject(&script.header(RST | ACK), &[]), []);
        assert_eq!(state(&script, handle), State::Closed);
        assert_eq!(script.stack.tcp_error(handle), Some(SocketError::Refused));
        assert!(reported(&mut script, handle).any(Readiness::ERROR));
        assert_eq!(script.pass(secs(600)), [], "the SYN is not sent again");
        close(&mut script, handle);
        assert_eq!(script.stack.table_sizes(), (0, 0, 0));
    }
}

/// 9293-3.10.7.3-6, 9293-3.10.7.3-7, 9293-3.10.7.4-41, 9293-3.4-2: a SYN,ACK with data and FIN is used to its end, and
/// answered once.
#[test]
fn a_syn_ack_carries_data_and_fin() {
    for (iss, irs) in edges() {
        let mut script = script_at(iss, irs);
        let (handle, _) = script.connect();
        let header = TcpHeader { options: plain(), ..script.header(SYN | ACK | FIN) };
        let sent = script.inject(&header, b"0123456789");
        assert_ack(&sent, iss.wrapping_add(1), irs.wrapping_add(12));
        assert_eq!(state(&script, handle), State::CloseWait);
        assert_eq!(variables(&script, handle), (iss.wrapping_add(1), iss.wrapping_add(1), irs.wrapping_add(12)));
        assert_eq!(script.stack.tcp_connection(handle).unwrap().rcv.irs.0, irs);
        assert_eq!(script.receive(handle), b"0123456789");
        assert_eq!(script.stack.tcp_receive(script.now, handle, &mut [0; 4]), Ok(0));
        assert_eq!(script.pass(secs(30)), [], "the SYN is acknowledged and not sent again");
    }
}

/// 9293-3.10.7.3-7: what the application wrote during the handshake leaves with the ACK that ends it.
#[test]
fn what_was_written_early_leaves_with_the_ack() {
    let mut script = Script::new();
    let (handle, _) = script.connect();
    assert_eq!(script.send(handle, b"GET /"), []);
    script.seq += 1;
    let header = TcpHeader { seq: script.seq - 1, options: plain(), ..script.header(SYN | ACK) };
    let sent = script.inject(&header, &[]);
    assert_eq!((sent.len(), &sent[0].text[..]), (1, &b"GET /"[..]));
    assert_eq!((sent[0].flags(), sent[0].header.ack), (ACK | PSH, script.seq));
}

/// 9293-3.10.7.3-2: no data leaves with our SYN, so only ISS + 1 is acceptable, and what follows starts there.
#[test]
fn no_text_leaves_with_our_syn() {
    let mut script = Script::new();
    let options = script.stack.config().tcp.socket;
    let handle = script.stack.tcp_connect(script.now, Some(script.local), script.peer, options).unwrap();
    script.stack.tcp_send(script.now, handle, b"before the SYN").unwrap();
    let syn = script.sent_one();
    assert_eq!((syn.flags(), syn.text.len()), (SYN, 0));
}

// Simultaneous open.

/// 9293-MUST-10, 9293-3.10.7.3-8, pitfall 9: the SYN,ACK reuses ISS, and either a SYN,ACK or an ACK completes it.
#[test]
fn a_simultaneous_open_at_every_edge() {
    for (iss, irs) in edges() {
        for last in [SYN | ACK, ACK] {
            let mut script = script_at(iss, irs);
            script.window = 3_000;
            let handle = cross_syns(&mut script);
            assert_eq!(state(&script, handle), State::SynReceived);
            assert_eq!(variables(&script, handle), (iss, iss.wrapping_add(1), irs.wrapping_add(1)));
            let snd = script.stack.tcp_connection(handle).unwrap().snd;
            assert_eq!((snd.wnd, snd.wl1.0), (3_000, irs));
            let seq = if last.contains(SYN) { irs } else { irs.wrapping_add(1) };
            let header = TcpHeader { seq, ..script.header(last) };
            script.inject(&header, &[]);
            assert_eq!(state(&script, handle), State::Established);
            let sent = script.send(handle, b"to the peer");
            assert_eq!((sent.len(), sent[0].header.seq), (1, iss.wrapping_add(1)));
            script.ack = script.ack.wrapping_add(11);
            script.peer_sends(b"to us");
            assert_eq!(script.receive(handle), b"to us");
            assert_eq!(script.stack.table_sizes(), (0, 1, 0));
        }
    }
}

/// 9293-3.10.7.3-8, 9293-3.10.3-2: text and FIN of a SYN that crosses ours wait until our own is acknowledged: the SYN,ACK
/// acknowledges the SYN alone, and a reader waits. Whether the segment that ends the handshake brings them again or not,
/// they are delivered once.
#[test]
fn what_a_crossing_syn_brings_waits_for_the_end_of_the_handshake() {
    for (iss, irs) in edges() {
        for (fin, again) in [(false, false), (false, true), (true, false), (true, true)] {
            let mut script = script_at(iss, irs);
            let (handle, _) = script.connect();
            let flags = if fin { SYN | FIN } else { SYN };
            let header = TcpHeader { options: plain(), ..script.header(flags) };
            let sent = script.inject(&header, b"early");
            assert_eq!((sent.len(), sent[0].flags(), sent[0].header.ack), (1, SYN | ACK, irs.wrapping_add(1)));
            let mut text = [0; 20];
            assert_eq!(script.stack.tcp_receive(script.now, handle, &mut text), Err(SocketError::WouldBlock));
            assert_eq!(script.stack.tcp_peek(handle, &mut text), Err(SocketError::WouldBlock));
            assert!(!script.stack.readiness(SocketHandle::Tcp(handle)).any(Readiness::READABLE));
            // The third segment: behind all that, or the same once more.
            let behind = irs.wrapping_add(6 + u32::from(fin));
            let mut third = TcpHeader { seq: behind, ..script.header(ACK) };
            if again {
                third = TcpHeader { seq: irs.wrapping_add(1), ..script.header(if fin { ACK | FIN } else { ACK }) };
            }
            script.inject(&third, if again { b"early" } else { b"" });
            script.pass(secs(1));
            assert_eq!(variables(&script, handle), (iss.wrapping_add(1), iss.wrapping_add(1), behind));
            assert_eq!(state(&script, handle), if fin { State::CloseWait } else { State::Established });
            assert!(script.stack.readiness(SocketHandle::Tcp(handle)).any(Readiness::READABLE));
            script.seq = behind;
            if !fin {
                script.peer_sends(b" and late");
            }
            assert_eq!(script.receive(handle), if fin { &b"early"[..] } else { b"early and late" });
        }
    }
}

/// 9293-3.10.7.3-8, 9293-3.10.7.4-14: what came with a SYN is not the application's before the connection is open, and no more
/// of it is kept than our window has offered.
#[test]
fn what_a_crossing_syn_brings_ends_with_the_attempt() {
    let mut script = Script::new();
    let (handle, _) = script.connect();
    let header = TcpHeader { options: plain(), ..script.header(SYN) };
    script.inject(&header, &[7; 1_000]);
    assert!(script.stack.buffer_memory() > 0, "the text is kept");
    script.inject(&TcpHeader { seq: script.seq.wrapping_add(1), ..script.header(RST) }, &[]);
    assert_eq!(state(&script, handle), State::Closed);
    assert_eq!(script.stack.tcp_receive(script.now, handle, &mut [0; 10]), Err(SocketError::Refused));
    assert_eq!(script.stack.buffer_memory(), 0);
}

/// 9293-MUST-10, 9293-3.10.7.4-9, pitfall 9: two of our stacks, both SYNs on the way at once, with and without loss.
#[test]
fn two_stacks_open_at_once() {
    for seed in 0..20 {
        let loss = if seed < 5 { 0 } else { 300_000 };
        let mut world = World::plain(Impairment::perfect().delay(millis(10)).loss(loss), seed);
        let ends = ["10.0.0.1:5000", "10.0.0.2:6000"].map(|text| text.parse().unwrap());
        let now = world.now();
        let a = world.stack(Side::A).tcp_connect(now, Some(ends[0]), ends[1], Default::default()).unwrap();
        let b = world.stack(Side::B).tcp_connect(now, Some(ends[1]), ends[0], Default::default()).unwrap();
        let mut seen = BTreeSet::new();
        let open = world.run_until(secs(120), |world| {
            let states = [world.stack(Side::A).tcp_state(a).unwrap(), world.stack(Side::B).tcp_state(b).unwrap()];
            seen.extend(states);
            states == [State::Established; 2]
        });
        assert!(open && seen.contains(&State::SynSent), "seed {seed}: {seen:?}");
        assert!(seed >= 5 || seen.contains(&State::SynReceived), "{seen:?}");
        let now = world.now();
        world.stack(Side::A).tcp_send(now, a, b"from a").unwrap();
        world.stack(Side::B).tcp_send(now, b, b"from b").unwrap();
        world.run(secs(60));
        let now = world.now();
        let mut text = [0; 20];
        assert_eq!(world.stack(Side::A).tcp_receive(now, a, &mut text), Ok(6));
        assert_eq!(&text[..6], b"from b");
        assert_eq!(world.stack(Side::B).tcp_receive(now, b, &mut text), Ok(6));
        assert_eq!(&text[..6], b"from a");
        for side in [Side::A, Side::B] {
            assert_eq!(world.stack(side).table_sizes(), (0, 1, 0));
        }
    }
}

/// 9293-MUST-20, 9293-MUST-23: until our SYN is acknowledged no window is closed, and nobody is probed: a peer whose SYN has a
/// window of 0, and who then sends anything but an ACK, is not waited for without end.
#[test]
fn a_syn_without_a_window_does_not_make_us_patient() {
    let mut script = Script::new();
    let (handle, _) = script.connect();
    script.window = 0;
    let syn = script.header(SYN);
    script.inject(&syn, &[]);
    script.seq = script.seq.wrapping_add(1);
    let mut passed = 0;
    while state(&script, handle) == State::SynReceived {
        let header = script.header(PSH);
        assert_eq!(script.inject(&header, b"x").len(), 0);
        script.pass(Duration::from_secs(10));
        passed += 10;
        assert!(passed <= 200, "it waits for ever");
    }
    let connection = script.stack.tcp_connection(handle).unwrap();
    assert_eq!((connection.state(), connection.error), (State::Closed, Some(SocketError::TimedOut)));
}

/// 9293-3.10.7.3-8: the window of the SYN,ACK that completes a simultaneous open stands as it is, also with scaling agreed
/// on.
#[test]
fn the_window_of_a_crossing_syn_ack_is_not_scaled() {
    let mut script = Script::new();
    let (handle, _) = script.connect();
    script.window = 1_000;
    let options = TcpOptions { window_scale: Some(10), ..plain() };
    script.inject(&TcpHeader { options, ..script.header(SYN) }, &[]);
    script.inject(&TcpHeader { options, ..script.header(SYN | ACK) }, &[]);
    assert_eq!(state(&script, handle), State::Established);
    assert_eq!(script.stack.tcp_snapshot(handle).unwrap().snd_wnd, 1_000);
    script.seq += 1;
    script.inject(&script.header(ACK), &[]);
    assert_eq!(script.stack.tcp_snapshot(handle).unwrap().snd_wnd, 1_024_000);
    // A SYN,ACK that comes again brings no scaled window either, and it is acknowledged once more.
    let again = TcpHeader { seq: script.seq - 1, options, ..script.header(SYN | ACK) };
    assert_ack(&script.inject(&again, &[]), script.ack, script.seq);
    assert!(script.stack.tcp_snapshot(handle).unwrap().snd_wnd <= 1_024_000);
    assert_eq!(state(&script, handle), State::Established);
}

// SYN-RECEIVED.

/// 9293-3.10.7.4-23, 9293-3.4-1, pitfall 11: by passive and by simultaneous open.
#[test]
fn an_ack_that_misses_our_syn_is_reset_and_the_record_stays() {
    for (iss, irs) in edges() {
        for way in ["SYN-RECEIVED (passive)", "SYN-RECEIVED (active)"] {
            let mut case = reach(way, script_at(iss, irs));
            let script = &mut case.script;
            for offset in [0_u32, 2, u32::MAX] {
                let ack = iss.wrapping_add(offset);
                let header = TcpHeader { ack, ..script.header(ACK) };
                assert_reset(&script.inject(&header, b"data"), ack);
            }
            // A good one still establishes, and the data of the bad ones is not there.
            script.peer_sends(b"good");
            let handle = case.handle.unwrap_or_else(|| {
                let listener = script.stack.listener_at(script.local).unwrap();
                script.stack.tcp_accept(listener).unwrap().0
            });
            assert_eq!((state(script, handle), script.receive(handle)), (State::Established, b"good".to_vec()));
        }
    }
}

/// 9293-MUST-11, 9293-3.10.7.4-13, pitfall 10: after a passive open a RST leaves nothing behind and tells nobody.
#[test]
fn a_reset_in_syn_received_goes_back_to_listen() {
    let mut script = Script::new();
    let options = script.stack.config().tcp.socket;
    let listener = script.listen_with(1, options);
    for _ in 0..3 {
        assert_eq!(script.peer_syn(plain())[0].flags(), SYN | ACK);
        assert_eq!(script.inject(&script.header(RST), &[]), []);
        assert_eq!(script.stack.table_sizes(), (0, 0, 0), "the slot of the backlog is free");
        assert!(script.stack.poll_ready().is_none(), "nobody is told");
        assert_eq!(script.stack.tcp_accept(listener), Err(SocketError::WouldBlock));
    }
    assert_eq!(script.pass(secs(200)), [], "no SYN,ACK is sent again");
    let handle = script.accept();
    assert_eq!(state(&script, handle), State::Established);
}

/// 9293-3.5.3-1, 9293-3.10.7.4-10, 9293-3.10.7.4-12: after a passive open, too, only the exact RST counts; in the window it is
/// challenged, elsewhere it is met with silence.
#[test]
fn a_reset_beside_the_next_octet_leaves_the_half_open_record() {
    for (iss, irs) in edges() {
        for (offset, answered) in [(-1_i64, false), (1, true), (1_000, true), (70_000, false), (1 << 31, false)] {
            let mut script = script_at(iss, irs);
            let listener = script.listen();
            script.peer_syn(plain());
            let rst = TcpHeader { seq: script.seq.wrapping_add(offset as u32), ..script.header(RST) };
            let sent = script.inject(&rst, &[]);
            if answered {
                assert_ack(&sent, iss.wrapping_add(1), irs.wrapping_add(1));
            } else {
                assert_eq!(sent, [], "{offset}");
            }
            assert_eq!(script.stack.table_sizes(), (1, 0, 0), "{offset}");
            script.inject(&script.header(ACK), &[]);
            let (handle, _) = script.stack.tcp_accept(listener).unwrap();
            assert_eq!(state(&script, handle), State::Established, "{offset}");
        }
    }
}

/// 9293-MUST-11, 9293-3.10.7.4-14, pitfall 10: after a simultaneous open it refuses the connection.
#[test]
fn a_reset_after_a_simultaneous_open_refuses() {
    let mut script = Script::new();
    script.listen();
    let handle = cross_syns(&mut script);
    reported(&mut script, handle);
    assert_eq!(script.inject(&script.header(RST), &[]), []);
    assert_eq!((state(&script, handle), script.stack.tcp_error(handle)), (State::Closed, Some(SocketError::Refused)));
    assert!(reported(&mut script, handle).any(Readiness::ERROR));
    close(&mut script, handle);
    assert_eq!(script.stack.table_sizes(), (0, 0, 0), "it does not become the listener's");
    assert_eq!(script.pass(secs(200)), []);
}

/// 9293-3.10.7.4-18, pitfall 5: a duplicate SYN draws the same SYN,ACK and makes no second record; a new SYN in the window
/// returns the record to LISTEN.
#[test]
fn syns_in_syn_received() {
    let mut script = Script::new();
    script.listen();
    let syn = TcpHeader { options: plain(), ..script.header(SYN) };
    let first = script.inject(&syn, &[]).remove(0).header;
    let again = script.inject(&syn, &[]).remove(0).header;
    assert_eq!(again, first);
    assert_eq!(script.stack.table_sizes(), (1, 0, 0));
    assert_eq!(script.inject(&TcpHeader { seq: syn.seq + 100, ..syn }, &[]), []);
    assert_eq!(script.stack.table_sizes(), (0, 0, 0), "back to LISTEN");
    let answer = script.inject(&TcpHeader { seq: syn.seq + 100, ..syn }, &[]).remove(0).header;
    assert_eq!((answer.flags, answer.ack), (SYN | ACK, syn.seq + 101));
}
