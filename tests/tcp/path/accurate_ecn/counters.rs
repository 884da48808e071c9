//! What is counted and told in ACE, and what a sender makes of it.

use glasstcp::sim::Script;
use glasstcp::tcp::accurate_ecn::{AccurateEcn, Acknowledged, Counters, SentText, ace, ace_flags};
use glasstcp::tcp::ecn::{BITS, CE, ECT_0, ECT_1, EcnMode, Feedback, NOT_ECT};
use glasstcp::tcp::sequence::SeqNumber;
use glasstcp::wire::accurate_ecn::{EcnOption, First};
use glasstcp::wire::option::TcpOptions;
use glasstcp::wire::tcp::Flags;

use super::support::*;
use crate::flow::*;

/// 9768-3.2.1, 9768-3.2.2: every CE packet, with text or without, again or for the first time; octets by their codepoint; and the
/// low three bits of the number on all that leaves.
#[test]
fn every_packet_is_counted_and_every_segment_tells() {
    let (mut script, handle) = accepted_plain();
    assert_eq!(state(&script, handle).received, Counters { packets: 5, octets: counters(1, 0, 1) });
    assert_eq!(Counters::default(), Counters { packets: 5, octets: counters(1, 0, 1) });
    let mut expected = Counters::default();
    for round in 0..40_u32 {
        let (codepoint, len) = ([CE, CE, ECT_0, ECT_1, NOT_ECT][round as usize % 5], 100 + round);
        from_peer(&mut script, 5, None, codepoint, &text(len as usize));
        match codepoint {
            CE => (expected.packets, expected.octets.ce) = (expected.packets + 1, expected.octets.ce + len),
            ECT_0 => expected.octets.ect_0 += len,
            ECT_1 => expected.octets.ect_1 += len,
            _ => {}
        }
        script.pass(ms(100));
        assert_eq!(state(&script, handle).received, expected);
        let sent = script.send(handle, b"x");
        assert_eq!((sent.len(), number(&sent[0])), (1, expected.packets % 8));
        script.ack = script.ack.wrapping_add(1);
        // Without text, with a mark.
        from_peer(&mut script, 5, None, CE, &[]);
        expected.packets += 1;
        script.pass(ms(100));
    }
    // Text that comes again in part counts whole; what lies outside of the window does not count.
    script.ecn = CE;
    peer_sends_at(&mut script, 50_u32.wrapping_neg(), &text(100));
    (expected.packets, expected.octets.ce) = (expected.packets + 1, expected.octets.ce + 100);
    assert_eq!(state(&script, handle).received, expected);
    for offset in [(1_u32 << 30).wrapping_neg(), 1_000_u32.wrapping_neg(), 1 << 30] {
        let sent = peer_sends_at(&mut script, offset, &text(100));
        assert_eq!((sent.len(), number(&sent[0])), (1, expected.packets % 8));
    }
    script.seq = script.seq.wrapping_add(50);
    // A probe of a live connection, a FIN, and a RST.
    script.ecn = NOT_ECT;
    script.stack.tcp_shutdown(script.now, handle, std::net::Shutdown::Write).unwrap();
    let sent = script.sent();
    assert_eq!((sent[0].flags().without(BITS), number(&sent[0])), (Flags::FIN | Flags::ACK, expected.packets % 8));
    script.stack.tcp_abort(script.now, handle);
    let sent = script.sent();
    assert_eq!((sent[0].flags().without(BITS), number(&sent[0])), (Flags::RST | Flags::ACK, expected.packets % 8));
}

/// 9768-3.2.2: in TIME-WAIT, too.
#[test]
fn the_last_ack_tells_the_counter() {
    let (mut script, handle) = accepted_plain();
    script.stack.tcp_shutdown(script.now, handle, std::net::Shutdown::Write).unwrap();
    script.sent();
    script.ack = script.ack.wrapping_add(1);
    from_peer(&mut script, 5, None, CE, &text(100));
    let fin = script.header(Flags::FIN | Flags::ACK);
    for _ in 0..2 {
        let sent = script.inject(&fin, &[]);
        assert_eq!((sent.len(), sent[0].flags().without(BITS), number(&sent[0])), (1, Flags::ACK, 6));
    }
}

/// 9768-3.2.2: at once where a mark follows a packet without, and after two more; three where there is nothing but ACKs.
#[test]
fn marks_are_acknowledged_before_the_counter_goes_round() {
    let (mut script, _) = accepted_plain();
    quiet(&mut script);
    // Short text, which would wait.
    let short = |script: &mut Script, codepoint| from_peer(script, 5, None, codepoint, b"x").len();
    let seen: Vec<usize> =
        [ECT_0, CE, CE, CE, CE, CE, ECT_0, CE, NOT_ECT, CE].map(|codepoint| short(&mut script, codepoint)).into();
    assert_eq!(seen, [0, 1, 0, 1, 0, 1, 0, 1, 0, 1]);
    script.pass(secs(1));
    let acks: Vec<usize> = (0..9).map(|_| from_peer(&mut script, 5, None, CE, &[]).len()).collect();
    assert_eq!(acks, [0, 0, 1, 0, 0, 1, 0, 0, 1]);
}

/// 9768-3.2.2: an ACK of ACKs has no SACK blocks, or their sender would take it for a duplicate.
#[test]
fn an_ack_of_acks_has_no_sack_blocks() {
    let (mut script, _) = accepted_with(SACK);
    let sent = peer_sends_at(&mut script, 1_000, &text(100));
    assert_eq!(sent[0].header.options.sack.len(), 1);
    script.pass(secs(1));
    let mut sent = Vec::new();
    for _ in 0..3 {
        sent.extend(from_peer(&mut script, 5, None, CE, &[]));
    }
    assert_eq!((sent.len(), sent[0].header.options.sack.len(), number(&sent[0])), (1, 0, 0));
    // And what is held is told again with the next text.
    let sent = from_peer(&mut script, 5, None, NOT_ECT, b"x");
    assert_eq!(sent[0].header.options.sack.len(), 1);
}

/// 9768-3.1.1-2: what comes twice behind ACKs with marks is reported all the same: that ACK answers text, too.
#[test]
fn what_comes_twice_behind_acks_is_reported() {
    let (mut script, _) = accepted_with(SACK);
    from_peer(&mut script, 5, None, NOT_ECT, &text(2 * MSS));
    script.pass(secs(1));
    script.ecn = CE;
    for _ in 0..3 {
        let header = script.header(Flags::ACK | ace_flags(5));
        script.deliver(&header, &[]);
    }
    script.ecn = NOT_ECT;
    let first = script.seq.wrapping_sub(2 * SEGMENT);
    let header = glasstcp::wire::tcp::TcpHeader { seq: first, ..script.header(Flags::ACK | ace_flags(5)) };
    script.deliver(&header, &text(MSS));
    let sent = script.sent();
    let blocks: Vec<_> = sent.iter().flat_map(|sent| sent.header.options.sack.iter()).collect();
    assert_eq!((number(&sent[0]), blocks), (0, vec![(first, first.wrapping_add(SEGMENT))]));
}

/// 9768-3.2.2: text that comes behind such ACKs, before theirs has left, has its SACK block.
#[test]
fn text_behind_acks_has_its_block() {
    let (mut script, _) = accepted_with(SACK);
    script.ecn = CE;
    for _ in 0..3 {
        let header = script.header(Flags::ACK | ace_flags(5));
        script.deliver(&header, &[]);
    }
    script.ecn = NOT_ECT;
    let header = header_at(&script, 1_000);
    script.deliver(&header, b"x");
    let sent = script.sent();
    assert_eq!((sent.len(), number(&sent[0]), sent[0].header.options.sack.len()), (1, 0, 1));
}

/// 9768-3.1.5: a sender that has slowed down says nothing of it, and what it is told changes nothing but its window.
#[test]
fn cwr_is_a_bit_of_a_number_and_nothing_else() {
    let (mut script, handle) = accepted_plain();
    let start = script.ack;
    script.send(handle, &text(60 * MSS));
    script.now += ms(50);
    script.ack = start.wrapping_add(SEGMENT);
    from_peer(&mut script, 6, None, NOT_ECT, &[]);
    assert_eq!((script.stack.counters().ecn_reductions, look(&script, handle).cwnd), (1, 5 * SEGMENT));
    let mut sent = Vec::new();
    for segments in 2..=10 {
        script.ack = start.wrapping_add(segments * SEGMENT);
        sent.extend(from_peer(&mut script, 6, None, NOT_ECT, &[]));
    }
    assert!(sent.len() > 3 && sent.iter().all(|sent| (number(sent), sent.ecn()) == (5, ECT_0)), "{sent:#?}");
    // The peer's CWR is no word that ends an echo, and its ECE no echo.
    for bits in [6, 6, 6] {
        from_peer(&mut script, bits, None, CE, &text(MSS));
        script.pass(secs(1));
        let sent = from_peer(&mut script, bits, None, NOT_ECT, &text(2 * MSS));
        assert_eq!(number(&sent[0]), state(&script, handle).received.packets % 8);
    }
    assert_eq!((script.stack.counters().ecn_reductions, feedback(&script, handle)), (1, Feedback::Accurate));
}

/// 3168-6.1.2-1: once for a window of data, however many marks are told in it, and again in the next.
#[test]
fn marks_are_answered_once_for_each_round_trip() {
    let (mut script, handle) = accepted_plain();
    let start = script.ack;
    script.send(handle, &text(100 * MSS));
    let mut seen = Vec::new();
    for segments in 1..=14 {
        script.now += ms(5);
        script.ack = start.wrapping_add(segments * SEGMENT);
        from_peer(&mut script, 5 + segments, None, NOT_ECT, &[]);
        seen.push(script.stack.counters().ecn_reductions);
    }
    assert_eq!(state(&script, handle).told.packets, 19);
    assert_eq!(seen, [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2]);
    assert!(look(&script, handle).statistics.retransmits == 0);
}

/// 9768-3.2.2: where ACKs were lost, and ACE may have gone round, it has; unless it is usual to acknowledge so much at once, or
/// an option shows how much was marked.
#[test]
fn lost_acks_do_not_hide_marks() {
    // Packets acknowledged by each ACK before, by the last one, its ACE, octets with a mark by its option, and what is counted.
    for (usual, leap, bits, octets, told) in [
        (1, 7, 5, None, 0),
        (1, 8, 5, None, 8),
        (1, 9, 7, None, 2),
        (1, 10, 7, None, 10),
        (9, 9, 5, None, 0),
        (1, 8, 5, Some(0), 0),
        (1, 8, 5, Some(8 * SEGMENT), 8),
        (1, 10, 7, Some(SEGMENT), 2),
        (1, 10, 7, Some(10 * SEGMENT), 10),
    ] {
        let (mut script, handle) = accepted_plain();
        let mut acked = 0;
        let mut ack = |script: &mut Script, segments: u32, bits, option| {
            let start = script.ack;
            script.send(handle, &text((segments * SEGMENT) as usize));
            script.sent();
            script.now += ms(50);
            script.ack = start.wrapping_add(segments * SEGMENT);
            acked += segments * SEGMENT;
            from_peer(script, bits, option, NOT_ECT, &[]);
        };
        for _ in 0..20 {
            ack(&mut script, usual, 5, None);
        }
        // Where no octet with a mark was ever told, none has come.
        let option = octets.and_then(|octets| option(First::Ect0, 1 + usize::from(octets > 0), 0, octets, 0));
        ack(&mut script, leap, bits, option);
        assert_eq!(state(&script, handle).told.packets, 5 + told, "{usual} {leap} {bits} {octets:?}");
        assert_eq!(script.stack.counters().ecn_reductions, u64::from(told > 0));
    }
}

/// 9768-3.2.2: an ACK that was overtaken tells nothing; one with a later timestamp does, though it acknowledges nothing new.
#[test]
fn what_was_overtaken_tells_nothing() {
    let timestamp = Some(glasstcp::wire::option::Timestamp { value: 100, echo: 0 });
    let mut script = Script::with(mode(EcnMode::AcceptAccurate));
    syn(&mut script, 0b111, NOT_ECT, TcpOptions { mss: Some(1_460), timestamp, ..TcpOptions::default() });
    script.timestamp = Some(100);
    let handle = open(&mut script, 0b010, untouched());
    let start = script.ack;
    let payload = look(&script, handle).segment_payload;
    script.send(handle, &text(5 * payload as usize));
    let at = |segments: u32| start.wrapping_add(segments * payload);
    for (ack, clock, bits, told) in
        [(2, 110, 7, 7), (1, 109, 6, 7), (2, 110, 6, 7), (2, 111, 0, 8), (3, 112, 1, 9), (3, 112, 2, 9)]
    {
        (script.ack, script.timestamp) = (at(ack), Some(clock));
        from_peer(&mut script, bits, None, NOT_ECT, &[]);
        assert_eq!(state(&script, handle).told.packets, told, "{ack} {clock} {bits}");
    }
}

/// 9768-3.2.2: an ACK whose blocks are the first to tell of something counts, though its number is known; one with known blocks
/// does not.
#[test]
fn blocks_tell_something_new() {
    let (mut script, handle) = accepted_with(SACK);
    script.send(handle, &text(10 * MSS));
    let at = |segments: u32| script.ack.wrapping_add(segments * SEGMENT);
    let told = [
        (at(0), Some((at(2), at(3))), 6, 6),
        (at(0), Some((at(2), at(3))), 7, 6),
        (at(0), Some((at(2), at(4))), 7, 7),
        // Overtaken, but with news; and what is older than an ACK before that.
        (at(4), None, 0, 8),
        (at(1), Some((at(6), at(7))), 1, 9),
        (at(3), None, 2, 9),
    ];
    for (ack, block, bits, told) in told {
        let mut header = script.header(Flags::ACK | ace_flags(bits));
        header.ack = ack;
        if let Some((left, right)) = block {
            header.options.sack.push(left, right);
        }
        script.inject(&header, &[]);
        assert_eq!(state(&script, handle).told.packets, told);
    }
}

/// 9768-3.2.2, 9768-3.1.5: a zero in the first counter is none: no ECT, no answer, and counters as before.
#[test]
fn a_counter_of_zero_at_first_is_none() {
    for zero in [false, true] {
        let (mut script, handle) = connected();
        let sent = script.send(handle, &text(2 * MSS));
        script.ack = end(&sent);
        from_peer(&mut script, if zero { 0 } else { 6 }, None, NOT_ECT, &[]);
        assert_eq!(script.stack.counters().ecn_reductions, u64::from(!zero));
        let sent = script.send(handle, b"more");
        assert_eq!(sent[0].ecn(), if zero { NOT_ECT } else { ECT_0 });
        let sent = from_peer(&mut script, 3, None, CE, &text(MSS));
        assert_eq!((number(&sent[0]), sent[0].header.options.accurate_ecn), (6, option(First::Ect0, 2, 0, SEGMENT, 0)));
    }
}

/// 9768-3.2.3: octets with a mark and no packet that had it: something on the way changes the feedback.
#[test]
fn counters_that_contradict_each_other_end_ect() {
    for (bits, octets, capable) in [(5, 0, true), (6, SEGMENT, true), (5, SEGMENT, false)] {
        let (mut script, handle) = accepted_plain();
        let start = script.ack;
        script.send(handle, &text(2 * MSS));
        script.ack = start.wrapping_add(2 * SEGMENT);
        from_peer(&mut script, bits, option(First::Ect0, 2, 0, octets, 0), NOT_ECT, &[]);
        assert_eq!(script.send(handle, b"more")[0].ecn(), if capable { ECT_0 } else { NOT_ECT }, "{bits} {octets}");
        // What was told with a packet once explains no more.
        script.ack = script.ack.wrapping_add(4);
        from_peer(&mut script, bits, option(First::Ect0, 2, 0, octets + 4, 0), NOT_ECT, &[]);
        let short = script.send(handle, &text(2 * MSS));
        script.ack = end(&short);
        from_peer(&mut script, bits, option(First::Ect0, 2, 0, octets + 4 + SEGMENT, 0), NOT_ECT, &[]);
        assert!(!is_capable(&script, handle), "{bits} {octets}");
    }
}

/// 9768-3.2.3: the same where the last short segment left 3 GiB before, which is 1 GiB ahead.
#[test]
fn a_short_segment_of_long_ago_explains_nothing() {
    let mut accurate = AccurateEcn::server(NOT_ECT, SeqNumber(0));
    accurate.first_option(untouched().as_ref());
    accurate.sent(Flags::ACK, Some(SentText { end: SeqNumber(100), new: true, full: false }), false);
    let mut una = SeqNumber(0);
    let mut told = |octets, option: Option<EcnOption>| {
        una += octets;
        let ack = Acknowledged { una, octets, payload: SEGMENT, timestamp: None };
        accurate.told(ace_flags(5), option.as_ref(), &ack)
    };
    let marked = |octets| option(First::Ect0, 2, 0, octets, 0);
    assert!(!told(100, marked(100)).mangled, "there may have been many more");
    for _ in 0..3 {
        told(1 << 30, marked(100));
    }
    assert!(told(SEGMENT, marked(100 + SEGMENT)).mangled, "a mark on a full segment, and no packet with one");
}

/// 9768-3.2.3: an option may come with a later ACK than the number: it tells nothing new then, and contradicts nothing.
#[test]
fn octets_may_be_told_after_packets() {
    for (first, packets, leap, told) in
        [(3, 1, 1, 1), (3, 2, 1, 2), (3, 1, 8, 1), (3, 0, 8, 8), (8, 0, 1, 0), (7, 7, 8, 7)]
    {
        let (mut script, handle) = accepted_plain();
        let start = script.ack;
        script.send(handle, &text(200 * MSS));
        let mut acked = 0;
        for (segments, bits, option) in [
            (8, 5, None),
            (8, 5, untouched()),
            (first, 5 + packets, None),
            (leap, 5 + packets, option(First::Ect0, 2, 0, packets.max(1) * SEGMENT, 0)),
        ] {
            script.now += ms(50);
            acked += segments;
            script.ack = start.wrapping_add(acked * SEGMENT);
            from_peer(&mut script, bits, option, NOT_ECT, &[]);
        }
        let case = format!("{packets} of {first}, and then octets behind {leap}");
        assert_eq!(state(&script, handle).told.packets, 5 + told, "{case}");
        let reduced = script.stack.counters().ecn_reductions;
        assert_eq!((reduced, is_capable(&script, handle)), (u64::from(told > 0), true), "{case}");
    }
}

/// RFC 9768 section 4.3: who cuts a super-segment clears CWR in all but its first segment, and it is a bit of our number.
#[test]
fn a_number_with_cwr_leaves_in_single_segments() {
    let (mut script, handle) = accepted_plain();
    script.stack.set_offload(65_536, true);
    for marks in 0..8_u32 {
        let start = script.ack;
        script.stack.tcp_send(script.now, handle, &text(4 * MSS)).unwrap();
        let mut seen = Vec::new();
        script.stack.transmit(script.now, 100, |transmit| {
            if transmit.payload.iter().all(|piece| piece.is_empty()) {
                return Ok(());
            }
            let flags = Flags(u16::from_be_bytes([transmit.header[32], transmit.header[33]]) & 0x1FF);
            seen.push((ace(flags), transmit.meta.gso_size > 0, transmit.meta.ecn));
            Ok(())
        });
        let number = (5 + marks) % 8;
        let whole = number & 0b010 == 0;
        assert!(seen.iter().all(|&seen| seen == (number, whole, false)), "{seen:?}");
        assert_eq!(seen.len(), if whole { 1 } else { 4 });
        script.ack = start.wrapping_add(4 * SEGMENT);
        let header = script.header(Flags::ACK | ace_flags(5));
        script.ecn = CE;
        script.deliver(&header, b"x");
        script.seq = script.seq.wrapping_add(1);
    }
}

/// RFC 9768 section 3.2.2.5.1: what the device has merged is as many packets.
#[test]
fn a_merged_segment_is_counted_as_its_packets() {
    let (mut script, handle) = accepted_plain();
    let header = script.header(Flags::ACK | ace_flags(5));
    script.ecn = CE;
    let packet = script.packet(&header, &text(5 * MSS - 100));
    let meta = glasstcp::device::RxMeta { gso_size: MSS as u16, ..glasstcp::device::RxMeta::plain(packet.len()) };
    assert_eq!(script.stack.handle_packet(script.now, &packet, &meta), None);
    let octets = 5 * SEGMENT - 100;
    assert_eq!(state(&script, handle).received, Counters { packets: 10, octets: counters(1, octets, 1) });
    let sent = script.sent();
    assert_eq!((number(&sent[0]), sent[0].header.options.accurate_ecn), (2, option(First::Ect0, 2, 0, octets, 0)));
}

/// 9768-3.2.2: whether an ACK of eight segments may hide eight marks is a matter of how much the ACKs before have acknowledged.
#[test]
fn large_acks_are_large_on_average() {
    let mut accurate = AccurateEcn::server(NOT_ECT, SeqNumber(0));
    let mut una = SeqNumber(0);
    let mut told = |segments: u32| {
        una += segments * SEGMENT;
        let ack = Acknowledged { una, octets: segments * SEGMENT, payload: SEGMENT, timestamp: None };
        accurate.told(ace_flags(5), None, &ack).packets
    };
    assert_eq!(told(8), 0, "this peer acknowledges much at once");
    for _ in 0..40 {
        assert_eq!(told(1), 0);
    }
    assert_eq!(told(8), 8, "it does not: ACKs are lost");
    let marks: Vec<u32> = (0..10).map(|_| told(8)).collect();
    assert_eq!((marks[0], marks[9]), (8, 0), "it does again: {marks:?}");
}

/// 9768-3.2.3: what the first option tells is known, and no growth with the next.
#[test]
fn the_first_option_tells_what_is_known() {
    let mut accurate = AccurateEcn::server(NOT_ECT, SeqNumber(0));
    accurate.first_option(option(First::Ect0, 2, 0, 1_000, 0).as_ref());
    for (segments, octets, mangled) in [(1, 1_000, false), (2, 1_000 + SEGMENT, true)] {
        let una = SeqNumber(segments * SEGMENT);
        let ack = Acknowledged { una, octets: SEGMENT, payload: SEGMENT, timestamp: None };
        let told = accurate.told(ace_flags(5), option(First::Ect0, 2, 0, octets, 0).as_ref(), &ack);
        assert_eq!((told.packets, told.mangled), (0, mangled), "{octets}");
    }
}

/// 9768-3.2.2: a counter of zero is one, once the handshake has shown that the bits get through.
#[test]
fn a_zero_behind_a_good_handshake_counts() {
    let (mut script, handle) = accepted_plain();
    let sent = script.send(handle, &text(3 * MSS));
    script.ack = end(&sent);
    from_peer(&mut script, 0, None, NOT_ECT, &[]);
    assert_eq!((state(&script, handle).told.packets, state(&script, handle).deaf), (8, false));
}

/// 9768-3.2.2: two marks are told at once where there is text to acknowledge: that of the second packet, or text that waits.
#[test]
fn two_marks_with_text_are_told_at_once() {
    let mut accurate = AccurateEcn::server(NOT_ECT, SeqNumber(0));
    assert!(!accurate.arrived(CE, 1, 0, false), "one mark without text");
    assert!(accurate.arrived(CE, 1, SEGMENT, false), "two, and text");
    accurate.sent(accurate.flags(), None, false);
    assert!(!accurate.arrived(CE, 1, 0, true), "one, while text waits");
    assert!(accurate.arrived(CE, 1, 0, true), "two");
    accurate.sent(accurate.flags(), None, false);
    for due in [false, false, true] {
        assert_eq!(accurate.arrived(CE, 1, 0, false), due, "three where there is no text");
    }
}
