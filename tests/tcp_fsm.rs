//! The state machine of RFC 9293 through the whole stack: opening, resetting, answering for nobody, and the table itself.

mod fsm_support;

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use fsm_support::*;
use glasstcp::SocketError;
use glasstcp::device::impair::Impairment;
use glasstcp::sim::{Script, Side, World};
use glasstcp::stack::Readiness;
use glasstcp::tcp::state::{Cause, State, TRANSITIONS, diagram, markdown_table, transition};
use glasstcp::wire::option::TcpOptions;
use glasstcp::wire::tcp::{Flags, TcpHeader};

// The table.

#[test]
fn the_table_answers_each_pair_of_state_and_cause() {
    let mut rows = BTreeSet::new();
    for row in TRANSITIONS {
        assert!(rows.insert((row.from, row.cause)), "{} {:?} is there twice", row.from, row.cause);
        assert!(!row.section.is_empty());
    }
    for from in State::ALL {
        for cause in Cause::ALL {
            let wanted = TRANSITIONS.iter().find(|row| row.from == from && row.cause == cause).map(|row| row.to);
            assert_eq!(transition(from, cause), wanted, "{from} {cause:?}");
            if from == State::Closed {
                let opens = matches!(cause, Cause::ActiveOpen | Cause::PassiveOpen);
                assert_eq!(wanted.is_some(), opens, "nothing leaves CLOSED but an open: {cause:?}");
            }
        }
    }
    let mut reached = BTreeSet::from([State::Closed]);
    while let Some(row) = TRANSITIONS.iter().find(|row| reached.contains(&row.from) && !reached.contains(&row.to)) {
        reached.insert(row.to);
    }
    assert_eq!(reached.len(), State::ALL.len(), "every state is reachable: {reached:?}");
    assert_eq!(State::ALL.iter().collect::<BTreeSet<_>>().len(), 11);
}

/// Every state but CLOSED has a way out that needs no peer, so that nothing can be stuck for ever.
#[test]
fn every_state_can_end_without_a_peer() {
    let alone = [Cause::Abort, Cause::UserTimeout, Cause::TimeWaitTimeout];
    for from in State::ALL.into_iter().filter(|&state| state != State::Closed) {
        assert!(alone.iter().any(|&cause| transition(from, cause) == Some(State::Closed)), "{from}");
    }
}

/// The arrows of figure 5 of RFC 9293, and what its notes add, written down a second time.
#[test]
fn the_arrows_are_those_of_the_rfc() {
    use Cause as C;
    use State as S;
    let arrows = [
        (S::Closed, C::PassiveOpen, S::Listen),
        (S::Closed, C::ActiveOpen, S::SynSent),
        (S::Listen, C::Close, S::Closed),
        (S::Listen, C::Syn, S::SynReceived),
        (S::SynSent, C::Close, S::Closed),
        (S::SynSent, C::Syn, S::SynReceived),
        (S::SynSent, C::SynAck, S::Established),
        (S::SynReceived, C::SynAcknowledged, S::Established),
        (S::SynReceived, C::Close, S::FinWait1),
        (S::Established, C::Close, S::FinWait1),
        (S::Established, C::Fin, S::CloseWait),
        (S::FinWait1, C::FinAcknowledged, S::FinWait2),
        (S::FinWait1, C::Fin, S::Closing),
        (S::FinWait2, C::Fin, S::TimeWait),
        (S::CloseWait, C::Close, S::LastAck),
        (S::Closing, C::FinAcknowledged, S::TimeWait),
        (S::LastAck, C::FinAcknowledged, S::Closed),
        (S::TimeWait, C::TimeWaitTimeout, S::Closed),
    ];
    for (from, cause, to) in arrows {
        assert_eq!(transition(from, cause), Some(to), "{from} {cause:?}");
    }
    // What no state may do by a FIN or an ACK that is not meant for it.
    for (from, cause) in [
        (S::Listen, C::Fin),
        (S::SynSent, C::Fin),
        (S::SynReceived, C::Fin),
        (S::Established, C::FinAcknowledged),
        (S::CloseWait, C::FinAcknowledged),
        (S::Established, C::Syn),
        (S::Established, C::TimeWaitTimeout),
    ] {
        assert_eq!(transition(from, cause), None, "{from} {cause:?}");
    }
}

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/state-machine.md");

fn document() -> String {
    format!(
        "# The state machine\n\n\
         Printed from the table `TRANSITIONS` in `src/tcp/state.rs`, the only place where a state changes; a test compares\n\
         this page with it, and `GLASSTCP_UPDATE_DOCS=1 cargo test --test tcp_fsm` prints it anew.\n\n\
         What has no row does not happen: the cause means nothing in that state and nothing changes. A half-open record of\n\
         a listener is in SYN-RECEIVED and has its listener behind it, which stays in LISTEN all the while: where a RST or\n\
         a SYN sends such a record back to LISTEN, its own row says CLOSED. The rows in which a state remains are in the\n\
         table below the diagram. Sections are those of RFC 9293 unless another RFC is named.\n\n\
         ```mermaid\n{}```\n\n{}",
        diagram(),
        markdown_table()
    )
}

/// The page holds exactly the diagram and the table that the code prints.
#[test]
fn the_diagram_in_the_documents_is_the_table_in_the_code() {
    if std::env::var_os("GLASSTCP_UPDATE_DOCS").is_some_and(|value| value == "1") {
        fs::write(DOCUMENT, document()).unwrap();
    }
    let text = fs::read_to_string(DOCUMENT).unwrap();
    assert!(text.contains(&format!("```mermaid\n{}```\n", diagram())), "GLASSTCP_UPDATE_DOCS=1 prints the page anew");
    assert!(text.contains(&markdown_table()), "GLASSTCP_UPDATE_DOCS=1 prints the page anew");
    assert_eq!(text, document());
}

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

// RST.

fn deliver_reset(way: &'static str, iss: u32, irs: u32, offset: i64, text: usize) -> (Case, Vec<glasstcp::sim::Sent>) {
    let mut case = reach(way, script_at(iss, irs));
    let seq = case.script.seq.wrapping_add(offset as u32);
    let header = TcpHeader { seq, ..case.script.header(RST | ACK) };
    let sent = case.script.inject(&header, &vec![9; text]);
    (case, sent)
}

/// 9293-3.5.3-1, 9293-3.10.7.4-10, 9293-3.10.7.4-12, 9293-3.10.7.4-7, 9293-3.5.2-1, pitfall 4: a RST counts at RCV.NXT
/// alone; in the window it draws a challenge ACK, elsewhere silence.
#[test]
fn a_reset_anywhere_else_changes_nothing() {
    for (iss, irs) in [(0, 0), (u32::MAX, 1 << 31), (1 << 31, u32::MAX - 3)] {
        for way in SYNCHRONIZED.into_iter().chain(["SYN-RECEIVED (active)"]) {
            for (offset, answered) in
                [(-1, false), (1, true), (1_000, true), (1 << 31, false), (-70_000, false), (10 << 20, false)]
            {
                let (case, sent) = deliver_reset(way, iss, irs, offset, 0);
                let handle = case.handle.unwrap();
                assert_eq!(state(&case.script, handle).name(), way.split(" (").next().unwrap(), "{way} {offset}");
                assert_eq!(sent.len(), usize::from(answered), "{way} {offset}");
                if answered {
                    let (_, nxt, rcv_nxt) = variables(&case.script, handle);
                    assert_ack(&sent, nxt, rcv_nxt);
                }
            }
        }
    }
}

/// 9293-MUST-12, 9293-3.10.7.4-11, 9293-3.10.7.4-15, 9293-SHLD-2, pitfalls 4 and 37: a RST at RCV.NXT is an error for
/// everyone who waits, with or without text of its own, and never the end of the stream.
#[test]
fn a_reset_at_rcv_nxt_wakes_everyone_with_an_error() {
    for (iss, irs) in edges() {
        for (way, text) in [("ESTABLISHED", 0), ("FIN-WAIT-1", 0), ("FIN-WAIT-2", 0), ("ESTABLISHED", 20)] {
            let mut case = reach(way, script_at(iss, irs));
            let (script, handle) = (&mut case.script, case.handle.unwrap());
            if way == "ESTABLISHED" {
                script.window = 0;
                script.inject(&script.header(ACK), &[]);
                script.stack.tcp_send(script.now, handle, &[1; 10_000]).unwrap();
                script.sent();
            }
            assert_eq!(script.stack.tcp_receive(script.now, handle, &mut [0; 9]), Err(SocketError::WouldBlock));
            reported(script, handle);
            let header = script.header(RST | ACK);
            assert_eq!(script.inject(&header, &vec![9; text]), [], "no answer to a RST");
            assert_eq!(state(script, handle), State::Closed);
            let edges = reported(script, handle);
            for wanted in [Readiness::READABLE, Readiness::WRITABLE, Readiness::ERROR] {
                assert!(edges.any(wanted), "{way}: {edges:?}");
            }
            assert_eq!(script.stack.tcp_receive(script.now, handle, &mut [0; 9]), Err(SocketError::Reset));
            assert_eq!(script.stack.tcp_send(script.now, handle, b"x"), Err(SocketError::Reset));
            assert_eq!(script.stack.tcp_error(handle), Some(SocketError::Reset));
            assert_eq!(script.stack.buffer_memory(), 0, "the queues are flushed");
            assert_eq!(script.pass(secs(600)), [], "no timer is left");
            close(script, handle);
            assert_eq!(script.stack.table_sizes(), (0, 0, 0));
        }
    }
}

/// 9293-MUST-12, 9293-3.10.7.4-15, pitfall 37: in CLOSE-WAIT the peer's stream is whole, so reading ends well, but writing
/// fails with the reset.
#[test]
fn a_reset_in_close_wait_fails_writing() {
    let mut case = reach("CLOSE-WAIT", Script::new());
    let (script, handle) = (&mut case.script, case.handle.unwrap());
    script.inject(&script.header(RST), &[]);
    assert_eq!((state(script, handle), script.stack.tcp_error(handle)), (State::Closed, Some(SocketError::Reset)));
    assert_eq!(script.stack.tcp_receive(script.now, handle, &mut [0; 9]), Ok(0));
    assert_eq!(script.stack.tcp_send(script.now, handle, b"x"), Err(SocketError::Reset));
}

/// 9293-MUST-12, pitfall 37: what was received before the reset is still read, and then the reset.
#[test]
fn text_in_front_of_a_reset_is_read_first() {
    let mut script = Script::new();
    let handle = script.accept();
    script.peer_sends(b"before");
    script.inject(&script.header(RST), &[]);
    assert_eq!(script.receive(handle), b"before");
    assert_eq!(script.stack.tcp_receive(script.now, handle, &mut [0; 9]), Err(SocketError::Reset));
}

/// 9293-3.10.7.4-16, 1337-F1, pitfall 23: in CLOSING and LAST-ACK the TCB goes; TIME-WAIT ignores the RST.
#[test]
fn a_reset_while_closing() {
    for way in ["CLOSING", "LAST-ACK", "TIME-WAIT"] {
        for (iss, irs) in edges() {
            let (mut case, sent) = deliver_reset(way, iss, irs, 0, 0);
            let handle = case.handle.unwrap();
            assert_eq!(sent, []);
            let (wanted, records) = if way == "TIME-WAIT" { (State::TimeWait, 1) } else { (State::Closed, 0) };
            assert_eq!((state(&case.script, handle), case.script.stack.tcp_error(handle)), (wanted, None), "{way}");
            close(&mut case.script, handle);
            assert_eq!(case.script.stack.table_sizes(), (0, 0, records), "{way}");
            assert_eq!(case.script.pass(secs(100)), []);
        }
    }
}

// SYN and ACK in synchronized states.

/// 9293-3.10.7.4-19, pitfall 5: a SYN on a connection draws a challenge ACK and changes nothing.
#[test]
fn a_syn_on_a_connection_is_challenged() {
    for way in SYNCHRONIZED.into_iter().chain(["SYN-RECEIVED (active)"]) {
        for (flags, offset) in [(SYN, 0), (SYN, 500), (SYN | ACK, 0), (SYN, -30_000), (SYN, 1 << 30)] {
            let mut case = reach(way, Script::new());
            let (script, handle) = (&mut case.script, case.handle.unwrap());
            let before = (variables(script, handle), state(script, handle));
            let header = TcpHeader { seq: script.seq.wrapping_add(offset as u32), ..script.header(flags) };
            let sent = script.inject(&header, &[]);
            assert_ack(&sent, before.0.1, before.0.2);
            assert_eq!((variables(script, handle), state(script, handle)), before, "{way} {flags} {offset}");
        }
    }
}

/// 9293-3.10.7.4-21: no ACK, no business.
#[test]
fn a_segment_without_ack_is_ignored() {
    for way in SYNCHRONIZED {
        let mut case = reach(way, Script::new());
        let (script, handle) = (&mut case.script, case.handle.unwrap());
        let before = (variables(script, handle), state(script, handle));
        for flags in [Flags(0), PSH, FIN, FIN | PSH] {
            assert_eq!(script.inject(&script.header(flags), b"text"), [], "{way} {flags}");
        }
        assert_eq!((variables(script, handle), state(script, handle)), before, "{way}");
        assert_eq!(script.receive(handle), b"");
    }
}

// Keep-alive.

/// 9293-MUST-25
#[test]
fn an_idle_connection_is_silent_for_a_day() {
    for way in ["ESTABLISHED", "CLOSE-WAIT", "FIN-WAIT-2"] {
        let mut case = reach(way, Script::new());
        assert_eq!(case.script.pass(secs(24 * 3_600)), [], "{way}");
        assert_eq!(state(&case.script, case.handle.unwrap()).name(), way);
    }
}

fn kept_alive(change: impl FnOnce(&mut glasstcp::tcp::config::SocketOptions)) -> (Script, glasstcp::stack::TcpHandle) {
    let mut script = Script::new();
    let handle = script.accept();
    script
        .stack
        .tcp_set_options(script.now, handle, |options| {
            options.keep_alive = true;
            change(options);
        })
        .unwrap();
    script.silence();
    (script, handle)
}

/// 9293-MUST-28, 9293-SHLD-12, 9293-MAY-5: the first probe after two hours, without data, one before SND.NXT.
#[test]
fn the_first_keep_alive_comes_after_two_hours() {
    let (mut script, handle) = kept_alive(|_| {});
    let start = script.now;
    assert_eq!(script.pass(secs(7_199)), []);
    let sent = script.pass(secs(2));
    let (_, nxt, rcv_nxt) = variables(&script, handle);
    assert_ack(&sent, nxt.wrapping_sub(1), rcv_nxt);
    assert!(sent[0].at >= start + secs(7_200));
}

/// 9293-MUST-29: one answer, however late in the run, and it lives; a whole run without one ends it.
#[test]
fn one_unanswered_keep_alive_proves_nothing() {
    let (mut script, handle) = kept_alive(|options| options.keep_alive_probes = 3);
    for unanswered in [1, 2] {
        let mut probes = script.pass(secs(7_201)).len();
        while probes < unanswered {
            probes += script.pass(secs(75)).len();
        }
        script.inject(&script.header(ACK), &[]);
        assert_eq!(script.pass(secs(7_100)), [], "the interval begins anew");
        assert_eq!(state(&script, handle), State::Established);
        script.inject(&script.header(ACK), &[]);
    }
    let sent = script.pass(secs(8_000));
    assert_eq!(sent.iter().filter(|sent| sent.flags() == ACK).count(), 3);
    assert_eq!((state(&script, handle), script.stack.tcp_error(handle)), (State::Closed, Some(SocketError::TimedOut)));
}

/// 9293-MUST-26: no probe where something arrived within each interval.
#[test]
fn traffic_holds_keep_alives_back() {
    let (mut script, _) = kept_alive(|_| {});
    for turn in 0..10 {
        assert_eq!(script.pass(secs(3_600)), []);
        match turn % 2 {
            0 => script.inject(&script.header(ACK), &[]),
            _ => script.peer_sends(b"x"),
        };
    }
}

/// 9293-MUST-26: no probe while something sent is outstanding, not even between two probes.
#[test]
fn outstanding_data_holds_keep_alives_back() {
    for first_probe in [false, true] {
        let (mut script, handle) = kept_alive(|options| {
            options.keep_alive_idle = secs(50);
            options.keep_alive_interval = secs(10);
        });
        let probes = if first_probe { script.pass(secs(51)).len() } else { script.pass(secs(49)).len() };
        assert_eq!(probes, usize::from(first_probe));
        let nxt = variables(&script, handle).1;
        assert_eq!(script.send(handle, b"x").len(), 1);
        let sent = script.pass(secs(200));
        assert!(sent.len() > 3 && sent.iter().all(|sent| sent.header.seq == nxt && sent.text == b"x"), "{sent:#?}");
        script.peer_acks(nxt.wrapping_add(1));
        assert_eq!(script.pass(secs(45)), [], "and a whole interval after it");
        assert_eq!(script.pass(secs(20)).len(), 2);
    }
}

/// 9293-MAY-6 is not offered, but a peer's keep-alive with one octet of garbage is answered and not delivered; so is one
/// without.
#[test]
fn keep_alives_of_the_peer_are_answered() {
    let mut script = Script::new();
    let handle = script.accept();
    for garbage in [&b""[..], b"?"] {
        let probe = TcpHeader { seq: script.seq.wrapping_sub(1), ..script.header(ACK) };
        assert_ack(&script.inject(&probe, garbage), script.ack, script.seq);
        assert_eq!(script.receive(handle), b"");
    }
}

/// 9293-MUST-45: each connection keeps the address on which it began.
#[test]
fn a_connection_keeps_its_local_address() {
    let mut script = Script::on("10.0.0.3:80", "10.0.0.1:40000", |config| {
        config.addresses = ["10.0.0.2/24", "10.0.0.3/24"].map(|text| text.parse().unwrap()).to_vec();
    });
    let handle = script.accept();
    let mut packets = Vec::new();
    script.stack.tcp_send(script.now, handle, &[1; 5_000]).unwrap();
    packets.extend(script.pass(secs(10)));
    packets.extend(script.peer_sends(b"x"));
    script.stack.tcp_abort(script.now, handle);
    packets.extend(script.sent());
    assert!(packets.len() > 5);
    for sent in packets {
        assert_eq!((&sent.packet[12..16], sent.header.source_port), (&[10, 0, 0, 3][..], 80));
    }
}

// Any flags in any state.

/// Every combination of flags, sequence number and acknowledgment in one state: the property that holds for all of them.
fn any_flags(way: &'static str) {
    for flags in (0..64).chain([0xc2, 0xd0, 0xff, 0xd2, 0xc4]) {
        let flags = Flags(flags);
        for seq_offset in [0, -5_i64, -1, 10, 1 << 20, 1 << 31] {
            for ack_offset in [0, -1_i64, -100_000, 1, 5_000, 1 << 31] {
                for text in [&b""[..], b"some text"] {
                    let mut case = reach(way, Script::new());
                    let script = &mut case.script;
                    let before = script.stack.table_sizes();
                    let seq = script.seq.wrapping_add(seq_offset as u32);
                    let ack = script.ack.wrapping_add(ack_offset as u32);
                    let header = TcpHeader { seq, ack, urgent: 3, ..script.header(flags) };
                    let what = format!("{way} {flags} seq{seq_offset:+} ack{ack_offset:+} {} octets", text.len());
                    let mut sent = script.inject(&header, text);
                    sent.extend(script.inject(&header, text));
                    assert!(sent.len() <= 4, "{what}: {sent:#?}");
                    if flags.contains(RST) {
                        assert!(sent.iter().all(|sent| !sent.flags().contains(RST)), "{what}: {sent:#?}");
                    }
                    let after = script.stack.table_sizes();
                    let total = |sizes: (u32, u32, u32)| sizes.0 + sizes.1 + sizes.2;
                    // A SYN for a listener makes one record; TIME-WAIT is one beside the connection that is still held.
                    assert!(total(after) <= total(before) + 1, "{what}: {before:?} {after:?}");
                    assert!(after.1 <= before.1 + 1 && after.0 <= 1, "{what}: {before:?} {after:?}");
                    assert!(script.stack.buffer_memory() <= 65_536, "{what}");
                }
            }
        }
    }
}

macro_rules! any_flags {
    ($($name:ident $way:literal)*) => {
        $(
            /// 9293-3.5.2-1, pitfall 6: whatever arrives, there is no panic, no growth, and no RST for a RST.
            #[test]
            fn $name() {
                any_flags($way);
            }
        )*
    };
}

any_flags! {
    any_flags_in_closed "CLOSED"
    any_flags_in_listen "LISTEN"
    any_flags_in_syn_sent "SYN-SENT"
    any_flags_in_syn_received_passive "SYN-RECEIVED (passive)"
    any_flags_in_syn_received_active "SYN-RECEIVED (active)"
    any_flags_in_established "ESTABLISHED"
    any_flags_in_fin_wait_1 "FIN-WAIT-1"
    any_flags_in_fin_wait_2 "FIN-WAIT-2"
    any_flags_in_close_wait "CLOSE-WAIT"
    any_flags_in_closing "CLOSING"
    any_flags_in_last_ack "LAST-ACK"
    any_flags_in_time_wait "TIME-WAIT"
}

/// 9293-3.5.2-1: after any segment in any state everything comes to an end once both sides are silent and the application
/// lets go.
#[test]
fn whatever_arrived_everything_ends() {
    for way in WAYS {
        for flags in 0..64 {
            let mut case = reach(way, Script::new());
            let script = &mut case.script;
            let header = script.header(Flags(flags));
            script.inject(&header, b"x");
            if let Some(handle) = case.handle {
                close(script, handle);
            }
            if let Some(listener) = script.stack.listener_at(script.local) {
                script.stack.listener_close(script.now, listener);
            }
            let sent = script.pass(Duration::from_secs(600));
            assert!(sent.len() < 30, "{way} {}: {sent:#?}", Flags(flags));
            assert_eq!(script.stack.table_sizes(), (0, 0, 0), "{way} {}", Flags(flags));
            assert_eq!((script.stack.buffer_memory(), script.stack.next_deadline()), (0, None), "{way}");
        }
    }
}
