//! Segments through the whole stack: the sequence test, trimming, acknowledgments, text in and out of order, pushes.

use crate::fsm::*;
use glasstcp::SocketError;
use glasstcp::device::RxMeta;
use glasstcp::sim::Script;
use glasstcp::stack::{Readiness, TcpHandle};
use glasstcp::tcp::state::State;
use glasstcp::wire::option::TcpOptions;
use glasstcp::wire::tcp::TcpHeader;

/// An established connection whose receive window has exactly this many octets.
fn with_window(iss: u32, irs: u32, window: u32) -> (Script, TcpHandle) {
    let mut script = script_at_with(iss, irs, |config| config.tcp.receive_capacity = Some(window.max(1)));
    let handle = script.accept();
    if window == 0 {
        script.peer_sends(b"f");
        script.pass(secs(1));
    }
    let rcv = script.stack.tcp_connection(handle).unwrap().rcv;
    assert_eq!((rcv.wnd(), rcv.nxt.0), (window, script.seq));
    (script, handle)
}

fn unread(script: &Script, handle: TcpHandle) -> (u32, u32) {
    let snapshot = script.stack.tcp_snapshot(handle).unwrap();
    (snapshot.unread, snapshot.out_of_order)
}

// The sequence test.

/// 9293-3.10.7.4-1, 9293-3.10.7.4-2, 9293-3.10.7.4-6, 9293-3.4-1, pitfalls 1 and 2: what has no length is acceptable from
/// RCV.NXT to the window's last octet. Its ACK counts there, and at the right edge, where a peer that has filled the window
/// stands; that one is answered all the same.
#[test]
fn acknowledgments_at_the_edges_of_the_window() {
    for (iss, irs) in edges() {
        for (window, offset, counts, answered) in [
            (0, -1_i64, false, true),
            (0, 0, true, false),
            (0, 1, false, true),
            (100, -1, false, true),
            (100, 0, true, false),
            (100, 99, true, false),
            (100, 100, true, true),
            (100, 101, false, true),
            (100, 1 << 31, false, true),
        ] {
            let (mut script, handle) = with_window(iss, irs, window);
            assert_eq!(script.send(handle, b"abc").len(), 1);
            let seq = script.seq.wrapping_add(offset as u32);
            let header = TcpHeader { seq, ack: script.ack.wrapping_add(3), ..script.header(ACK) };
            let sent = script.inject(&header, &[]);
            let (una, nxt, rcv_nxt) = variables(&script, handle);
            assert_eq!(una == nxt, counts, "window {window} offset {offset}");
            if answered {
                assert_ack(&sent, nxt, rcv_nxt);
            } else {
                assert_eq!(sent, []);
            }
        }
    }
}

/// 9293-3.10.7.4-3, 9293-3.10.7.4-4, 9293-3.10.7.4-6, 9293-3.10.7.4-8, 9293-3.4-1, pitfalls 1, 2 and 3: text that straddles
/// either edge gives its new part, and a FIN counts only where it lies in the window.
#[test]
fn text_at_the_edges_of_the_window() {
    let cases: [(i64, usize, u32, bool); 12] = [
        // from, octets, of which are delivered, and whether a FIN behind them is
        (-10, 5, 0, false),
        (-10, 10, 0, true),
        (-10, 9, 0, false),
        (-10, 11, 1, true),
        (-10, 60, 50, true),
        (0, 1, 1, true),
        (0, 99, 99, true),
        (0, 100, 100, false),
        (0, 150, 100, false),
        // Wider than the window on both sides: refused by the letter, and answered.
        (-10, 150, 0, false),
        (100, 1, 0, false),
        (1 << 31, 1, 0, false),
    ];
    for (iss, irs) in [(0, 0), (u32::MAX, u32::MAX - 50), (1 << 31, (1 << 31) - 50), (7, u32::MAX - 105)] {
        for (from, octets, delivered, fin_counts) in cases {
            for fin in [false, true] {
                let (mut script, handle) = with_window(iss, irs, 100);
                let flags = if fin { ACK | FIN | PSH } else { ACK | PSH };
                let header = TcpHeader { seq: script.seq.wrapping_add(from as u32), ..script.header(flags) };
                let text: Vec<u8> = (0..octets).map(|n| (n as i64 + from) as u8).collect();
                let sent = script.inject(&header, &text);
                let what = format!("{irs} from {from} {octets} octets fin {fin}");
                assert_eq!(sent.len(), 1, "{what}");
                let closed = fin && fin_counts;
                let next = script.seq.wrapping_add(delivered).wrapping_add(u32::from(closed));
                assert_eq!((sent[0].flags(), sent[0].header.ack), (ACK, next), "{what}");
                let wanted = if closed { State::CloseWait } else { State::Established };
                assert_eq!(state(&script, handle), wanted, "{what}");
                let new: Vec<u8> = (0..delivered as u8).collect();
                assert_eq!(script.receive(handle), new, "{what}");
            }
        }
    }
}

/// 9293-3.10.7.4-3, 9293-3.10.7.4-5, 9293-3.10.7.4-6: a probe of a closed window is answered, its text refused, and its ACK
/// and window taken; a RST at RCV.NXT counts.
#[test]
fn a_closed_window_still_hears_ack_and_reset() {
    for (iss, irs) in edges() {
        let (mut script, handle) = with_window(iss, irs, 0);
        assert_eq!(script.send(handle, b"abc").len(), 1);
        script.ack = script.ack.wrapping_add(3);
        script.window = 777;
        let header = script.header(ACK | PSH);
        assert_ack(&script.inject(&header, b"x"), script.ack, script.seq);
        let snapshot = script.stack.tcp_snapshot(handle).unwrap();
        assert_eq!((snapshot.flight, snapshot.snd_wnd, snapshot.unread), (0, 777, 1));
        // A FIN does not fit either.
        assert_ack(&script.inject(&script.header(ACK | FIN), &[]), script.ack, script.seq);
        assert_eq!(state(&script, handle), State::Established);
        script.inject(&script.header(RST), b"x");
        assert_eq!(state(&script, handle), State::Closed);
    }
}

/// 9293-3.10.7.4-6, pitfall 32: old data, and data beyond the window, draw an ACK of what is expected each time, however
/// often a peer whose ACKs are lost repeats it.
#[test]
fn unacceptable_segments_are_answered() {
    let mut script = Script::new();
    let handle = script.accept();
    script.peer_sends(&[5; 1_000]);
    script.pass(secs(1));
    script.receive(handle);
    script.pass(secs(1));
    let before = (variables(&script, handle), script.stack.table_sizes());
    for offset in [-1_000_i64, -500, 3 << 20] {
        for _ in 0..20 {
            let header = TcpHeader { seq: script.seq.wrapping_add(offset as u32), ..script.header(ACK | PSH) };
            assert_ack(&script.inject(&header, &[5; 500]), script.ack, script.seq);
        }
    }
    assert_eq!((variables(&script, handle), script.stack.table_sizes()), before);
    assert_eq!(script.receive(handle), b"");
    assert_eq!(script.pass(secs(10)), [], "and nothing is owed twice");
}

/// 9293-3.10.7.4-6: two ends that disagree about nothing but ACKs do not answer each other for ever.
#[test]
fn answers_to_bare_acks_are_limited() {
    let mut script = Script::new();
    script.accept();
    let header = TcpHeader { seq: script.seq.wrapping_sub(9), ..script.header(ACK) };
    let answers: usize = (0..1_000).map(|_| script.inject(&header, &[]).len()).sum();
    assert!((1..=10).contains(&answers), "{answers}");
    script.pass(secs(2));
    assert_eq!(script.inject(&header, &[]).len(), 1);
}

/// 9293-3.10.7.4-7, pitfall 4
#[test]
fn a_reset_outside_the_window_is_met_with_silence() {
    for (iss, irs) in edges() {
        let (mut script, handle) = with_window(iss, irs, 100);
        for offset in [-1_i64, 100, 5_000, 1 << 31, -40_000] {
            for flags in [RST, RST | ACK, RST | SYN | ACK, RST | FIN] {
                let header = TcpHeader { seq: script.seq.wrapping_add(offset as u32), ..script.header(flags) };
                assert_eq!(script.inject(&header, b"x"), [], "{offset} {flags}");
            }
        }
        assert_eq!(state(&script, handle), State::Established);
    }
}

/// 9293-3.10.7.4-8, pitfall 3: a FIN in front of RCV.NXT, where text was received, is cut off with the rest.
#[test]
fn a_fin_left_of_the_window_is_no_fin() {
    for text in [&b""[..], b"abcdefgh"] {
        let mut script = Script::new();
        let handle = script.accept();
        script.peer_sends(b"0123456789");
        script.receive(handle);
        let seq = script.seq.wrapping_sub(1 + text.len() as u32);
        let sent = script.inject(&TcpHeader { seq, ..script.header(ACK | FIN) }, text);
        assert_ack(&sent, script.ack, script.seq);
        assert_eq!(state(&script, handle), State::Established);
        assert_eq!(script.stack.tcp_receive(script.now, handle, &mut [0; 9]), Err(SocketError::WouldBlock));
        script.peer_sends(b"more");
        assert_eq!(script.receive(handle), b"more");
    }
}

// Acknowledgments.

/// 9293-3.10.7.4-24, 9293-3.4-3, 9293-3.4-1, pitfall 1: an ACK in the middle frees what it covers, wakes the writer, and
/// exactly the rest is sent again.
#[test]
fn a_partial_ack_keeps_exactly_the_rest() {
    for iss in EDGES {
        let mut script = script_at_with(iss, 1_000, |config| config.tcp.send_capacity = Some(900));
        let handle = script.accept();
        let text: Vec<u8> = (0..900).map(|n| n as u8).collect();
        script.send(handle, &text);
        assert_eq!(script.stack.tcp_send(script.now, handle, b"no room"), Err(SocketError::WouldBlock));
        reported(&mut script, handle);
        let ack = iss.wrapping_add(1 + 700);
        assert_eq!(script.peer_acks(ack), []);
        assert_eq!(variables(&script, handle).0, ack);
        let snapshot = script.stack.tcp_snapshot(handle).unwrap();
        assert_eq!((snapshot.flight, snapshot.statistics.octets_acknowledged), (200, 700));
        assert!(reported(&mut script, handle).any(Readiness::WRITABLE));
        let sent = script.pass(secs(2));
        let again = sent.iter().find(|sent| !sent.text.is_empty()).expect("a retransmission");
        assert_eq!((again.header.seq, &again.text[..]), (ack, &text[700..]));
        assert_eq!(script.stack.tcp_send(script.now, handle, &[1; 5_000]), Ok(700));
    }
}

/// 9293-3.10.7.4-26, 9293-3.4-1, pitfall 30: a segment with an old ACK is no ACK, but its text counts.
#[test]
fn text_under_an_old_ack_is_delivered() {
    for iss in EDGES {
        let mut script = script_at(iss, 1_000);
        let handle = script.accept();
        script.send(handle, &[1; 500]);
        let new = iss.wrapping_add(501);
        script.peer_acks(new);
        for ack in [iss.wrapping_add(1), iss.wrapping_add(200), new] {
            script.ack = ack;
            script.peer_sends(b"late");
            assert_eq!(variables(&script, handle), (new, new, script.seq));
        }
        assert_eq!(script.receive(handle), b"latelatelate");
    }
}

/// 9293-3.10.7.4-25, 9293-3.10.7.4-27, 9293-3.4-1, pitfall 31: an ACK of what was never sent, or much too old, is answered
/// with an ACK, and the segment is dropped with its text.
#[test]
fn an_ack_out_of_range_is_answered_and_dropped() {
    for iss in EDGES {
        for way in ["ESTABLISHED", "FIN-WAIT-1", "FIN-WAIT-2", "CLOSE-WAIT"] {
            for offset in [1_i64, 1_000, 1 << 30, -70_000, -(1 << 30)] {
                let mut case = reach(way, script_at(iss, 1_000));
                let (script, handle) = (&mut case.script, case.handle.unwrap());
                let (una, nxt, rcv_nxt) = variables(script, handle);
                let header = TcpHeader { ack: nxt.wrapping_add(offset as u32), ..script.header(ACK | FIN) };
                assert_ack(&script.inject(&header, b"injected"), nxt, rcv_nxt);
                assert_eq!(variables(script, handle), (una, nxt, rcv_nxt), "{way} {offset}");
                assert_eq!((state(script, handle).name(), script.receive(handle)), (way, Vec::new()));
            }
        }
    }
}

// Text.

/// 9293-SHLD-31, 9293-3.10.7.4-36, 5681-3.2-1, 9293-3.4-1, pitfalls 1, 29 and 32: a flight in reverse order is kept whole;
/// each segment above the gap, and the one that fills it, is acknowledged at once.
#[test]
fn a_reversed_flight_is_kept() {
    for irs in EDGES.into_iter().chain([u32::MAX - 500, (1 << 31) - 500]) {
        for sack in [false, true] {
            let mut script = script_at(77, irs);
            let handle = script.accept_with(TcpOptions { sack_permitted: sack, ..plain() });
            let base = script.seq;
            let text: Vec<u8> = (0..1_000).map(|n| (n / 3) as u8).collect();
            for piece in (0..10).rev() {
                let header = TcpHeader { seq: base.wrapping_add(100 * piece), ..script.header(ACK) };
                let range = 100 * piece as usize..100 * piece as usize + 100;
                let sent = script.inject(&header, &text[range]);
                let ack = if piece == 0 { base.wrapping_add(1_000) } else { base };
                assert_ack(&sent, script.ack, ack);
            }
            assert_eq!(unread(&script, handle), (1_000, 0));
            assert_eq!(script.receive(handle), text);
        }
    }
}

/// 9293-3.10.7.4-36, 9293-3.10.7.4-8, 9293-SHLD-31, 9293-SHLD-14, pitfalls 2 and 29: random pieces, overlapping, repeated and
/// reordered: the stream is what was sent, and the offered right edge never moves left.
#[test]
fn random_pieces_become_the_stream() {
    for seed in 0..60_u64 {
        let mut random = glasstcp::rng::KeyedRng::from_seed(seed);
        let irs = EDGES[seed as usize % EDGES.len()].wrapping_sub(random.below(3_000) as u32);
        let mut script = script_at_with(5, irs, |config| config.tcp.receive_capacity = Some(5_000));
        let handle = script.accept_with(TcpOptions { sack_permitted: seed % 2 == 0, ..plain() });
        let text: Vec<u8> = (0..20_000_u32).map(|n| (n * 7 / 5) as u8).collect();
        let base = script.seq;
        let (mut got, mut edge, mut turns) = (Vec::new(), script.seq, 0);
        while got.len() < text.len() {
            turns += 1;
            assert!(turns < 20_000, "seed {seed}: {} octets", got.len());
            let known = variables(&script, handle).2.wrapping_sub(base);
            let from = (known + random.below(3_000) as u32).saturating_sub(random.below(2_000) as u32);
            let from = if random.below(4) == 0 { known } else { from }.min(text.len() as u32);
            let to = (from as usize + random.below(1_460) as usize).min(text.len());
            let header = TcpHeader { seq: base.wrapping_add(from), ..script.header(ACK) };
            for sent in script.inject(&header, &text[from as usize..to]) {
                let right = sent.header.ack.wrapping_add(u32::from(sent.header.window));
                assert!(right.wrapping_sub(edge) < 1 << 31, "seed {seed}: the right edge moved left");
                edge = right;
            }
            if random.below(3) == 0 {
                got.extend(script.receive(handle));
                script.pass(millis(50));
            }
        }
        assert!(got == text, "seed {seed}");
    }
}

/// 9293-3.10.7.4-38, pitfalls 26 and 28: text behind the peer's FIN is not delivered, whatever came first.
#[test]
fn text_behind_a_fin_is_ignored() {
    for way in ["CLOSE-WAIT", "CLOSING", "LAST-ACK", "TIME-WAIT"] {
        let mut case = reach(way, Script::new());
        let (script, handle) = (&mut case.script, case.handle.unwrap());
        let before = variables(script, handle);
        script.inject(&script.header(ACK | PSH), b"beyond");
        assert_eq!(variables(script, handle).2, before.2, "{way}");
        assert_eq!(script.stack.tcp_receive(script.now, handle, &mut [0; 9]), Ok(0), "{way}");
    }
    // The FIN is known, but there is a gap in front of it.
    for order in [[0, 1, 2], [1, 0, 2], [0, 2, 1], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let mut script = Script::new();
        let handle = script.accept();
        let base = script.seq;
        for piece in order {
            let (offset, flags, text) = [(0, ACK, &b"first"[..]), (5, ACK | FIN, b"last"), (9, ACK, b"beyond")][piece];
            let header = TcpHeader { seq: base + offset, ..script.header(flags) };
            script.inject(&header, text);
        }
        // A peer that sends beyond its FIN and loses for it what it sent too early has to send again what was dropped.
        script.inject(&TcpHeader { seq: base, ..script.header(ACK) }, b"first");
        script.inject(&TcpHeader { seq: base + 5, ..script.header(ACK | FIN) }, b"last");
        assert_eq!(script.receive(handle), b"firstlast", "{order:?}");
        assert_eq!(state(&script, handle), State::CloseWait, "{order:?}");
        assert_eq!(script.stack.tcp_receive(script.now, handle, &mut [0; 9]), Ok(0), "{order:?}");
    }
}

// Sending.

// The whole number space.

/// 9293-MUST-6, 9293-MUST-7, 9293-MUST-64, pitfall 12: unknown options are skipped and bad lengths drop the segment without an answer or a loop.
#[test]
fn options_of_any_kind_do_no_harm() {
    let mut script = Script::new();
    let handle = script.accept();
    for kind in 0..=255_u8 {
        for length in [0_u8, 1, 2, 3, 4, 8, 40, 255] {
            let mut packet = script.packet(&script.header(ACK | PSH), b"");
            packet.extend_from_slice(&[kind, length, 0, 0]);
            packet[3] += 4;
            packet[20 + 12] = 6 << 4;
            fix_checksums(&mut packet);
            script.stack.handle_packet(script.now, &packet, &RxMeta::plain(packet.len()));
            script.sent();
        }
    }
    script.peer_sends(b"alive");
    assert_eq!((script.receive(handle), state(&script, handle)), (b"alive".to_vec(), State::Established));
}

fn fix_checksums(packet: &mut [u8]) {
    let sum = |bytes: &[u8], start: u32| {
        let mut sum = start;
        for pair in bytes.chunks(2) {
            sum += u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
        }
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        !(sum as u16)
    };
    packet[10..12].fill(0);
    let header = sum(&packet[..20], 0);
    packet[10..12].copy_from_slice(&header.to_be_bytes());
    packet[36..38].fill(0);
    let pseudo: Vec<u8> = [&packet[12..20], &[0, 6], &((packet.len() - 20) as u16).to_be_bytes()].concat();
    let start = u32::from(!sum(&pseudo, 0));
    let tcp = sum(&packet[20..], start);
    packet[36..38].copy_from_slice(&tcp.to_be_bytes());
}

/// 9293-3.4-2: in SEG.LEN the SYN counts in front of the text and the FIN behind it; a whole segment of all three is
/// acknowledged behind its FIN.
#[test]
fn syn_and_fin_count() {
    for irs in EDGES {
        let mut script = script_at(3, irs);
        let (handle, _) = script.connect();
        let sent = script.inject(&TcpHeader { options: plain(), ..script.header(SYN | ACK | FIN) }, &[4; 300]);
        assert_ack(&sent, script.ack, irs.wrapping_add(302));
        assert_eq!(state(&script, handle), State::CloseWait);
    }
}
