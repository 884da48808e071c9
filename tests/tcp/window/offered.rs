//! Windows: what is offered, what is respected, and what happens while they are closed (RFC 9293 section 3.8.6, RFC 7323).

use crate::flow::*;
use glasstcp::buffer::{LARGE, SMALL};
use glasstcp::device::impair::Impairment;
use glasstcp::error::SocketError;
use glasstcp::sim::{Script, Sent, Side};
use glasstcp::stack::TcpHandle;
use glasstcp::tcp::config::SocketOptions;
use glasstcp::tcp::state::State;
use glasstcp::wire::option::TcpOptions;
use glasstcp::wire::tcp::{Flags, TcpHeader};

/// Closes the peer's window and queues so many octets; nothing of them leaves.
fn close_window(script: &mut Script, handle: TcpHandle, queue: usize) {
    let at = script.ack;
    ack(script, at, 0);
    assert!(script.send(handle, &text(queue)).is_empty(), "the window is closed");
}

/// 9293-MUST-34, 9293-SHLD-15
#[test]
fn a_shrunken_window_stops_new_data_only() {
    let (mut script, handle) = accepted(|_| {});
    let start = script.ack;
    assert_eq!(octets(&script.send(handle, &text(10_000))), 10_000);
    // Of 10,000 octets in flight, 1,000 are still in the window: the usable window is negative.
    assert!(ack(&mut script, start, 1_000).is_empty());
    let before = look(&script, handle);
    assert!(script.send(handle, &text(5_000)).is_empty());
    assert_eq!(look(&script, handle).snd_nxt, before.snd_nxt);
    assert_eq!(script.stack.tcp_connection(handle).unwrap().usable_window(), 0);
    // Everything arrived after all, and the window opens: the rest follows.
    let rest = ack(&mut script, start.wrapping_add(10_000), 65_535);
    assert_eq!((octets(&rest), rest[0].header.seq), (5_000, start.wrapping_add(10_000)));
}

/// 9293-SHLD-16: and 9293-MAY-7: what lies beyond the new edge waits.
#[test]
fn old_data_in_a_shrunken_window_is_retransmitted() {
    let (mut script, handle) = accepted(|_| {});
    let start = script.ack;
    script.send(handle, &text(10_000));
    ack(&mut script, start, 2_000);
    let again = script.pass(ms(201));
    assert_eq!((again.len(), again[0].header.seq, again[0].text.len()), (1, start, MSS));
    let next = ack(&mut script, start.wrapping_add(1_460), 540);
    assert_eq!((octets(&next), next[0].header.seq), (540, start.wrapping_add(1_460)));
    assert_eq!(next[0].text, text(10_000)[1_460..2_000]);
}

/// 9293-MUST-38, pitfall 35: a window that dribbles open draws no slivers.
#[test]
fn the_sender_waits_for_room_worth_a_segment() {
    for nodelay in [false, true] {
        let (mut script, handle) = accepted(|config| config.tcp.socket.nodelay = nodelay);
        close_window(&mut script, handle, 20_000);
        let at = script.ack;
        for window in [1, 100, 700, 1_459] {
            assert!(ack(&mut script, at, window).is_empty(), "{window} of 65,535 is a sliver");
        }
        let sent = ack(&mut script, at, 1_460);
        assert_eq!((sent.len(), octets(&sent)), (1, MSS));
        // With data in flight its ACK is waited for, however the window dribbles.
        assert!(ack(&mut script, at, 1_500).is_empty());
        // The override timer: a peer that never offers more gets what fits, once in 200 ms.
        let at = at.wrapping_add(1_460);
        assert!(ack(&mut script, at, 300).is_empty());
        assert!(script.pass(ms(199)).is_empty());
        assert_eq!(octets(&script.pass(ms(1))), 300);
    }
}

/// 9293-MUST-38: half of the largest window ever offered is enough for a peer with a small buffer.
#[test]
fn a_peer_with_a_small_buffer_gets_half_of_it() {
    let mut script = Script::new();
    script.window = 1_000;
    let handle = script.accept();
    let at = script.ack;
    assert_eq!(octets(&script.send(handle, &text(5_000))), 1_000);
    let at = at.wrapping_add(1_000);
    assert!(ack(&mut script, at, 499).is_empty());
    assert_eq!(octets(&ack(&mut script, at, 500)), 500);
}

/// A connection whose receive buffer of so many octets the peer has filled.
fn filled(capacity: u32) -> (Script, TcpHandle) {
    let mut script = Script::with(|config| config.tcp.quick_acks = 0);
    script.listen_with(16, SocketOptions { receive_capacity: Some(capacity), ..Default::default() });
    let handle = script.accept();
    let edge = script.seq.wrapping_add(capacity.min(65_535));
    let mut rest = capacity as usize;
    while rest > 0 {
        let len = rest.min(MSS);
        for segment in script.peer_sends(&text(len)) {
            let offered = segment.header.ack.wrapping_add(u32::from(segment.header.window));
            assert!(offered.wrapping_sub(edge) < 1 << 31, "the right edge never moves left");
        }
        rest -= len;
    }
    script.pass(ms(100));
    assert_eq!(look(&script, handle).rcv_wnd, 0);
    (script, handle)
}

/// 9293-MUST-39, pitfall 17: reading octet by octet does not make the window dribble open.
#[test]
fn the_right_edge_moves_by_whole_segments() {
    for (capacity, step) in [(8_000, 1_460), (2_000, 1_000)] {
        let (mut script, handle) = filled(capacity);
        for read in 1..=step {
            let mut octet = [0];
            assert_eq!(script.stack.tcp_receive(script.now, handle, &mut octet), Ok(1));
            let sent = script.sent();
            if read < step {
                assert!(sent.is_empty(), "an update after {read} octets");
            } else {
                assert_eq!((sent.len(), usize::from(sent[0].header.window)), (1, step));
            }
            if read == step - 1 {
                // Nor does the answer to a probe let it dribble.
                let answer = peer_sends_at(&mut script, 0, b"?");
                assert_eq!((answer.len(), answer[0].header.window), (1, 0));
            }
        }
    }
}

/// 9293-MUST-39: the step is a segment also where the peer has sent only small ones.
#[test]
fn small_segments_do_not_make_the_step_small() {
    let mut script = Script::with(|config| config.tcp.quick_acks = 0);
    script.listen_with(16, SocketOptions { receive_capacity: Some(8_000), ..Default::default() });
    let handle = script.accept();
    for _ in 0..80 {
        script.peer_sends(&text(100));
    }
    script.pass(ms(100));
    let mut octets = [0; 1_459];
    assert_eq!(script.stack.tcp_receive(script.now, handle, &mut octets), Ok(1_459));
    script.silence();
    assert_eq!(peer_sends_at(&mut script, 0, b"?")[0].header.window, 0);
    assert_eq!(script.stack.tcp_receive(script.now, handle, &mut octets[..1]), Ok(1));
    assert_eq!(script.sent_one().header.window, 1_460);
}

/// 9293-MUST-39: a reader that takes everything always opens the window, also towards a peer that does not scale it.
#[test]
fn taking_everything_opens_the_window() {
    for capacity in [1, 100, 1_460, 65_535, 1 << 20] {
        let (mut script, handle) = filled(capacity);
        assert_eq!(script.receive(handle).len(), capacity as usize);
        let update = script.sent_one();
        assert_eq!(u32::from(update.header.window), capacity.min(65_535), "{capacity}");
    }
}

/// 9293-MAY-8: nobody reads, and each probe is answered by an ACK with window 0; what waits is kept.
#[test]
fn a_closed_window_answers_every_probe() {
    let (mut script, handle) = filled(8_000);
    let next = script.seq;
    for _ in 0..100 {
        script.now += secs(60);
        let answer = peer_sends_at(&mut script, 0, b"?");
        assert_eq!(answer.len(), 1);
        assert_eq!((answer[0].header.ack, answer[0].header.window), (next, 0));
    }
    assert_eq!(script.receive(handle).len(), 8_000);
}

/// 9293-MUST-66
#[test]
fn resets_and_urgency_pass_a_closed_window() {
    let (mut script, handle) = filled(8_000);
    let header = TcpHeader { urgent: 1, ..script.header(Flags::ACK | Flags::URG) };
    script.inject(&header, b"!");
    assert_eq!(script.stack.tcp_urgent_remaining(handle), Some(8_001));
    assert_eq!(look(&script, handle).unread, 8_000, "the text itself has no room");
    let header = script.header(Flags::RST);
    script.inject(&header, &[]);
    assert_eq!(
        (script.stack.tcp_state(handle), script.stack.tcp_error(handle)),
        (Some(State::Closed), Some(SocketError::Reset))
    );
}

/// 9293-3.10.7.3-10, 7323-2.2-2, pitfall 14: the window of a SYN-ACK is taken as it stands.
#[test]
fn the_first_flight_respects_the_window_of_the_syn_ack() {
    let mut script = Script::new();
    let (handle, _) = script.connect();
    script.window = 1_000;
    let options = TcpOptions { mss: Some(1_460), window_scale: Some(7), ..TcpOptions::default() };
    let header = TcpHeader { options, ..script.header(Flags::SYN | Flags::ACK) };
    script.seq += 1;
    script.inject(&header, &[]);
    assert_eq!(look(&script, handle).snd_wnd, 1_000);
    assert_eq!(octets(&script.send(handle, &text(5_000))), 1_000);
    // SND.WL1 and SND.WL2 are those of the SYN-ACK: the next segment counts, and is scaled.
    let at = script.ack;
    ack(&mut script, at, 100);
    assert_eq!(look(&script, handle).snd_wnd, 12_800);
}

/// 9293-3.10.7.4-28, pitfall 15
#[test]
fn only_newer_segments_move_the_send_window() {
    for seq in [1_000, u32::MAX - 50, u32::MAX - 1, (1 << 31) - 60] {
        let mut script = Script::new();
        script.seq = seq;
        let handle = script.accept();
        let start = script.ack;
        script.send(handle, &text(4_000));
        let window = |script: &Script| look(script, handle).snd_wnd;
        // Same SEQ, newer ACK: taken. Same SEQ, same ACK: taken.
        ack(&mut script, start.wrapping_add(1_460), 5_000);
        assert_eq!(window(&script), 5_000);
        ack(&mut script, start.wrapping_add(1_460), 6_000);
        assert_eq!(window(&script), 6_000);
        // Same SEQ, older ACK: an ACK that was overtaken.
        ack(&mut script, start, 100);
        assert_eq!(window(&script), 6_000);
        // A newer SEQ: taken, although it is out of order. What it has overtaken: not taken, though its text is.
        script.ack = start.wrapping_add(1_460);
        script.window = 7_000;
        peer_sends_at(&mut script, 100, &text(100));
        assert_eq!(window(&script), 7_000);
        script.window = 200;
        peer_sends_at(&mut script, 0, &text(100));
        assert_eq!((window(&script), look(&script, handle).unread), (7_000, 200));
        // An old SEQ that acknowledges something new: taken, and yet what lies between that and the newest SEQ is old.
        peer_sends_at(&mut script, 400, &text(100));
        script.ack = start.wrapping_add(2_920);
        script.window = 6_000;
        peer_sends_at(&mut script, 100, &text(200));
        assert_eq!(window(&script), 6_000);
        script.window = 300;
        peer_sends_at(&mut script, 300, &text(100));
        assert_eq!((window(&script), look(&script, handle).unread), (6_000, 500));
    }
}

/// 9293-REC-1, 7323-2.3-1, 7323-2.3-2: each side its own shift; the largest windows are a GiB.
#[test]
fn each_side_scales_by_its_own_count() {
    for (ours, capacity, theirs, counted) in
        [(0, 60_000, 14, 14), (14, 1 << 30, 0, 0), (2, 262_140, 7, 7), (5, 1 << 20, 15, 14), (5, 1 << 20, 255, 14)]
    {
        let mut script = Script::with(|config| config.tcp.receive_capacity = Some(capacity));
        let options = TcpOptions { mss: Some(1_460), window_scale: Some(theirs), ..TcpOptions::default() };
        let syn_ack = script.peer_syn(options).remove(0);
        assert!(syn_ack.header.window == 0, "nobody listens yet");
        script.seq = 1_000;
        let handle = script.accept_with(options);
        assert_eq!(look(&script, handle).window_shift, Some((counted, ours)));
        assert_eq!(look(&script, handle).snd_wnd, 0xffff << counted);
        let answer = script.peer_sends(b"hello").remove(0);
        let offered = u32::from(answer.header.window) << ours;
        assert!(offered > capacity - 5 - (1 << ours) && offered <= capacity, "{ours}: {offered} of {capacity}");
    }
}

/// 7323-2.2-1, 7323-2.2-2, pitfall 14: scaling needs both SYNs, and never applies to them.
#[test]
fn windows_are_scaled_only_if_both_syns_said_so() {
    for (ours, theirs) in [(false, false), (false, true), (true, false), (true, true)] {
        let both = ours && theirs;
        let options = TcpOptions { mss: Some(1_460), window_scale: theirs.then_some(3), ..TcpOptions::default() };
        let mut script = Script::with(|config| {
            (config.tcp.receive_capacity, config.tcp.window_scaling) = (Some(1 << 20), ours);
        });
        script.listen();
        let syn_ack = script.peer_syn(options).remove(0);
        assert_eq!(syn_ack.header.options.window_scale.is_some(), both);
        assert_eq!(syn_ack.header.window, 65_535, "of 1 MiB, and not scaled");
        let header = script.header(Flags::ACK);
        script.inject(&header, &[]);
        let listener = script.stack.listener_at(script.local).unwrap();
        let (handle, _) = script.stack.tcp_accept(listener).unwrap();
        assert_eq!(look(&script, handle).snd_wnd, if both { 0xffff << 3 } else { 0xffff });
        // The option on a segment without SYN means nothing.
        let mut header = script.header(Flags::ACK);
        header.options.window_scale = Some(9);
        script.inject(&header, &[]);
        assert_eq!(look(&script, handle).window_shift, both.then_some((3, 5)));
        assert_eq!(look(&script, handle).snd_wnd, if both { 0xffff << 3 } else { 0xffff });

        let mut script = Script::with(|config| {
            (config.tcp.receive_capacity, config.tcp.window_scaling) = (Some(1 << 20), ours);
        });
        let (handle, syn) = script.connect();
        assert_eq!((syn.header.options.window_scale, syn.header.window), (ours.then_some(5), 65_535));
        let header = TcpHeader { options, ..script.header(Flags::SYN | Flags::ACK) };
        script.seq += 1;
        let answer = script.inject(&header, &[]).remove(0);
        assert_eq!(look(&script, handle).window_shift, both.then_some((3, 5)));
        assert_eq!(u32::from(answer.header.window) << if both { 5 } else { 0 } > 65_535, both);
    }
}

/// 7323-2.4-1: what was offered once is taken, although rounding has since made the window field smaller.
#[test]
fn rounding_takes_back_nothing_that_was_offered() {
    let mut script = Script::with(|config| config.tcp.receive_capacity = Some(1 << 20));
    let options = TcpOptions { mss: Some(1_460), window_scale: Some(0), ..TcpOptions::default() };
    let handle = script.accept_with(options);
    let first = script.peer_sends(b"x").remove(0);
    let edge = first.header.ack.wrapping_add(u32::from(first.header.window) << 5);
    let mut rest = edge.wrapping_sub(script.seq);
    let mut odd = 0;
    while rest > 0 {
        let len = rest.min(1_447);
        let answers = script.peer_sends(&text(len as usize));
        rest -= len;
        odd += answers.iter().filter(|a| a.header.ack.wrapping_add(u32::from(a.header.window) << 5) != edge).count();
    }
    assert!(odd > 0, "the field cannot say each window");
    assert_eq!(script.receive(handle).len(), edge.wrapping_sub(1_001) as usize);
}

/// 7323-2.4-2: new data stays inside the latest window; old data that rounding has put outside is repeated all the same.
#[test]
fn rounding_of_the_peer_does_not_strand_what_is_in_flight() {
    let mut script = Script::new();
    script.window = 1;
    let options = TcpOptions { mss: Some(1_460), window_scale: Some(14), ..TcpOptions::default() };
    let handle = script.accept_with(options);
    let start = script.ack;
    assert_eq!(look(&script, handle).snd_wnd, 16_384);
    assert_eq!(octets(&script.send(handle, &text(40_000))), 14_600, "the initial window");
    // The peer has 14,924 octets left, which it can only call 0. The second segment was lost.
    assert!(ack(&mut script, start.wrapping_add(1_460), 0).is_empty(), "no new data");
    let again = script.pass(ms(250));
    assert_eq!((again.len(), again[0].header.seq, again[0].text.len()), (1, start.wrapping_add(1_460), MSS));
}

/// 9293-SHLD-14: a buffer that tuning makes larger comes to light by and by: while the reader keeps up, the right edge moves by
/// at most twice what has arrived, and the window is soon large all the same.
#[test]
fn a_tuned_window_does_not_open_in_one_step() {
    const FIRST: u32 = 64 << 10;
    let mut script = Script::with(|config| {
        (config.tcp.quick_acks, config.tcp.receive_tuning) = (0, FIRST..=8 << 20);
    });
    let options = TcpOptions { mss: Some(1_460), window_scale: Some(0), ..TcpOptions::default() };
    let handle = script.accept_with(options);
    let shift = look(&script, handle).window_shift.unwrap().1;
    let unit = 1 << shift;
    let (mut acked, mut edge) = (script.seq, script.seq.wrapping_add(FIRST));
    let mut largest = 0;
    for round in 1..=6 {
        let end = edge;
        while end.wrapping_sub(script.seq) >= 1_460 {
            let mut answers = script.peer_sends(&text(1_460));
            script.receive(handle);
            answers.extend(script.sent());
            for answer in answers.into_iter().map(|answer| answer.header) {
                let window = u32::from(answer.window) << shift;
                let (arrived, offered) = (answer.ack.wrapping_sub(acked), answer.ack.wrapping_add(window));
                let moved = offered.wrapping_sub(edge).cast_signed();
                assert!(moved <= (2 * arrived + unit).cast_signed(), "{round}: by {moved} for {arrived}");
                (acked, edge, largest) =
                    (answer.ack, edge.wrapping_add(moved.max(0).cast_unsigned()), largest.max(window));
            }
        }
        script.pass(ms(20));
    }
    assert!(largest >= 8 * FIRST, "{largest}");
}

/// The right edges that these segments offered never moved left, but for what the field cannot say.
fn check_edges(log: &Log, shift: u8) -> usize {
    let log = log.lock().unwrap();
    let mut edge: Option<u32> = None;
    for seen in log.iter().filter(|seen| seen.header.flags.contains(Flags::ACK)) {
        let shift = if seen.header.flags.contains(Flags::SYN) { 0 } else { shift };
        let offered = seen.header.ack.wrapping_add(u32::from(seen.header.window) << shift);
        let before = *edge.get_or_insert(offered);
        let moved = offered.wrapping_sub(before) as i32;
        assert!(moved > -(1 << shift), "packet {}: the right edge moved left by {}", seen.number, -moved);
        if moved > 0 {
            edge = Some(offered);
        }
    }
    log.len()
}

/// 9293-SHLD-14, 5681-2-1, pitfall 17: over traces with loss, reordering, and a reader that dawdles.
#[test]
fn edges_hold_over_lossy_traces() {
    for seed in 0..8 {
        let impairment = Impairment::perfect().delay(ms(10)).loss(20_000).reorder(20_000, ms(3)).duplicate(5_000);
        let mut flow = Flow::open(impairment, seed, |config| {
            config.tcp.receive_capacity = Some(100_000);
            config.tcp.sack = seed % 2 == 0;
            config.tcp.timestamps = seed % 3 == 0;
        });
        let (client, server) = (flow.client, flow.server);
        let log = tap(&mut flow.world, Side::B, |_| false);
        let data = text(500_000);
        let (mut sent, mut read, mut turn, mut highest) = (0, 0, 0, 0);
        let mut buffer = vec![0; 30_000];
        let end = flow.world.now() + secs(300);
        while read < data.len() && flow.world.now() < end {
            // A reader that takes its time, and as much as it likes.
            turn += 1;
            let now = flow.world.now();
            let take = 1 + (turn * 7_919) % 30_000;
            let got = flow.world.stack(Side::B).tcp_receive(now, server, &mut buffer[..take]).unwrap_or(0);
            assert_eq!(buffer[..got], data[read..read + got]);
            read += got;
            sent += flow.world.stack(Side::A).tcp_send(now, client, &data[sent..]).unwrap_or(0);
            flow.world.run_until(ms(25), |world| {
                world.flush();
                // Nothing new leaves beyond the window of the peer, nor beyond cwnd with what limited transmit and fast
                // recovery add to it.
                let look = world.stack(Side::A).tcp_snapshot(client).unwrap();
                if look.snd_nxt > highest {
                    highest = look.snd_nxt;
                    let connection = world.stack(Side::A).tcp_connection(client).unwrap();
                    // A tail loss probe is one segment beyond it.
                    let probed = if connection.probe.is_some() { look.segment_payload } else { 0 };
                    let cwnd = look.cwnd.saturating_add_signed(connection.recovery.inflation()) + probed;
                    let probe = u32::from(look.snd_wnd == 0);
                    assert!(look.in_flight <= cwnd.max(probe), "in flight {} cwnd {cwnd}", look.in_flight);
                    assert!(look.flight <= look.snd_wnd + probe, "flight {} window {}", look.flight, look.snd_wnd);
                }
                false
            });
        }
        let done = read == data.len();
        assert!(done, "seed {seed}: {read} octets");
        let shift = flow.client().window_shift.map_or(0, |(peer, _)| peer);
        let segments = check_edges(&log, shift);
        assert!(segments > 50, "{segments}");
    }
}

/// With Nagle's algorithm off, short segments leave at once, but not without end: each costs a record.
#[test]
fn short_segments_in_flight_are_limited() {
    let (mut script, handle) = accepted(|config| config.tcp.socket.nodelay = true);
    let start = script.ack;
    let sent: Vec<Sent> = (0..1_000).flat_map(|_| script.send(handle, b"x")).collect();
    assert_eq!((sent.len(), octets(&sent)), (65_535 / MSS + 64, 65_535 / MSS + 64));
    // Acknowledgments let the rest out, in fewer segments.
    let rest = ack(&mut script, start.wrapping_add(octets(&sent) as u32), 65_535);
    assert_eq!((rest.len(), octets(&rest)), (1, 1_000 - octets(&sent)));
}

/// 9293-SHLD-31: where memory runs out, what waits out of order goes first, as the peer still has it; and of what is next as
/// much is taken as there is room for.
#[test]
fn what_is_next_comes_before_what_waits() {
    for (memory, taken) in [(LARGE + SMALL - 1, 1_000), (SMALL, 1_000)] {
        let (mut script, handle) = accepted(|config| config.tcp.buffer_memory = memory);
        peer_sends_at(&mut script, 5_000, &[2; 1_000]);
        let held = look(&script, handle).out_of_order;
        assert_eq!(held, if memory > LARGE { 1_000 } else { 0 }, "{memory}");
        script.peer_sends(&[1; 1_000]);
        let seen = look(&script, handle);
        assert_eq!((seen.unread, seen.out_of_order), (taken, 0), "{memory}");
        assert_eq!(script.receive(handle), vec![1; 1_000]);
    }
}

/// 9293-SHLD-14: the application may ask for a larger buffer at any time: the window follows, and is from then on what it
/// asked for; a smaller one is filled before the window is.
#[test]
fn the_receive_buffer_may_change() {
    let (mut script, handle) = accepted(|config| config.tcp.receive_capacity = Some(5_000));
    let set = |script: &mut Script, capacity| {
        let now = script.now;
        script.stack.tcp_set_options(now, handle, |options| options.receive_capacity = capacity).unwrap();
    };
    set(&mut script, Some(50_000));
    script.peer_sends(&text(100));
    assert_eq!(script.receive(handle).len(), 100);
    script.peer_sends(&text(1));
    let window = look(&script, handle).rcv_wnd;
    assert!((49_000..50_000).contains(&window), "{window}");
    set(&mut script, Some(10_000));
    script.peer_sends(&text(1_000));
    assert_eq!(look(&script, handle).rcv_wnd, window - 1_000, "the edge stays");
}

/// A buffer that grows by itself is what the application has set, at once and from then on.
#[test]
fn a_buffer_that_was_set_does_not_grow() {
    let mut script = Script::new();
    let handle = script.accept_with(TcpOptions { mss: Some(1_460), window_scale: Some(7), ..TcpOptions::default() });
    script.stack.tcp_set_options(script.now, handle, |options| options.receive_capacity = Some(200_000)).unwrap();
    for round in 0..100 {
        script.now += ms(10);
        for _ in 0..20 {
            script.peer_sends(&text(1_460));
        }
        script.receive(handle);
        script.sent();
        let window = look(&script, handle).rcv_wnd;
        assert!((190_000..=200_000).contains(&window), "{window} in round {round}");
    }
}

/// 7323-4.3, 7323-5.3-1: TS.Recent is as old as the segment that it came with, not as the connection: after a month what is from
/// the past is still told from what is new.
#[test]
fn timestamps_protect_an_old_connection_too() {
    let (mut script, handle) = accepted_with_timestamps(500, |_| {});
    script.now += secs(30 * 24 * 3_600);
    script.timestamp = Some(1_000);
    script.peer_sends(b"new");
    script.now += secs(1);
    script.timestamp = Some(900);
    let header = script.header(Flags::ACK);
    assert_eq!(script.deliver(&header, b"old"), Some(glasstcp::counters::DropReason::TcpPaws));
    assert_eq!(script.receive(handle), b"new");
}
