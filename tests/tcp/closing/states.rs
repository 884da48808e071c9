//! The state machine of RFC 9293 through the whole stack: the table itself, resets, keep-alives, and any flags in any state.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use crate::fsm::*;
use glasstcp::SocketError;
use glasstcp::sim::Script;
use glasstcp::stack::Readiness;
use glasstcp::tcp::state::{Cause, State, TRANSITIONS, diagram, markdown_table, transition};
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
         this page with it, and `GLASSTCP_UPDATE_DOCS=1 cargo test --test tcp states::` prints it anew.\n\n\
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
            let (wanted, error, records) = match way {
                "TIME-WAIT" => (State::TimeWait, None, 1),
                _ => (State::Closed, Some(SocketError::Reset), 0),
            };
            assert_eq!((state(&case.script, handle), case.script.stack.tcp_error(handle)), (wanted, error), "{way}");
            assert_eq!(
                case.script.stack.tcp_receive(case.script.now, handle, &mut [0; 9]),
                Ok(0),
                "the end of the stream"
            );
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

/// 9293-3.10.7.4-6, 9293-3.10.7.4-8: a peer's keep-alive is answered, and the octet of garbage that an old one carries is
/// not delivered.
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
