//! The three bits of the SYNs: what is asked for, what is agreed to, and how each has arrived.

use glasstcp::sim::Script;
use glasstcp::tcp::accurate_ecn::{Counters, ace, ace_flags, handshake_codepoint, handshake_flags};
use glasstcp::tcp::ecn::{CE, ECT_0, ECT_1, EcnMode, Feedback, NOT_ECT};
use glasstcp::tcp::state::State;
use glasstcp::wire::option::TcpOptions;
use glasstcp::wire::tcp::{Flags, TcpHeader};

use super::support::*;
use crate::flow::*;

/// 9768-3.1.1-1, 9768-3.1.2: what our SYN asks for, and what each answer makes of it (RFC 9768 table 2).
#[test]
fn our_syn_asks_with_three_bits_and_each_answer_means_what_the_table_says() {
    for ours in EcnMode::ALL {
        for answer in 0..8 {
            let mut script = Script::with(mode(ours));
            let (handle, syn) = script.connect();
            let asks = match ours {
                EcnMode::RequestAccurate => 0b111,
                EcnMode::Request | EcnMode::AcceptAccurateRequestClassic => 0b011,
                _ => 0,
            };
            assert_eq!((number(&syn), syn.ecn(), syn.header.options.accurate_ecn), (asks, NOT_ECT, None));
            let expected = match (asks, answer) {
                (0b111, 0b010..=0b110) => Feedback::Accurate,
                (0b111, 0b001) => Feedback::Classic,
                (0b011, answer) if answer & 0b011 == 0b001 => Feedback::Classic,
                _ => Feedback::None,
            };
            let sent = syn_ack(&mut script, answer, untouched(), NOT_ECT);
            assert_eq!(feedback(&script, handle), expected, "{ours:?} answered by {answer:03b}");
            // 010: that the SYN,ACK has come as it was sent.
            let counts = expected == Feedback::Accurate;
            assert_eq!(number(&sent[0]), if counts { 0b010 } else { 0 });
            assert_eq!((sent[0].ecn(), sent[0].header.options.accurate_ecn.is_some()), (NOT_ECT, counts));
            let sent = script.send(handle, b"text");
            // Where the answer tells that our SYN has not come as it was sent, text is not ECN-capable.
            let mangled = counts && ![0b010, 0b101].contains(&answer);
            let capable = expected != Feedback::None && !mangled;
            assert_eq!(sent[0].ecn(), if capable { ECT_0 } else { NOT_ECT }, "{ours:?} answered by {answer:03b}");
            assert_eq!(number(&sent[0]), if counts { 5 } else { 0 });
        }
    }
}

/// 9768-3.1.1-1, 9768-3.1.3: what a listener makes of each SYN, and how its answer tells how that has arrived.
#[test]
fn a_listener_reflects_how_the_syn_has_arrived() {
    for ours in EcnMode::ALL {
        for asking in 0..8 {
            for (codepoint, code) in CODES {
                let mut script = Script::with(mode(ours));
                let sent = syn(&mut script, asking, codepoint, plain(SACK));
                let accepted = match (ours, asking) {
                    (EcnMode::Off, _) | (_, 0) => Feedback::None,
                    (EcnMode::Accept | EcnMode::Request, asking) if asking & 0b011 == 0b011 => Feedback::Classic,
                    (EcnMode::Accept | EcnMode::Request, _) => Feedback::None,
                    (_, 0b011) => Feedback::Classic,
                    // Also what means nothing yet.
                    _ => Feedback::Accurate,
                };
                let expected = match accepted {
                    Feedback::None => 0,
                    Feedback::Classic => 0b001,
                    Feedback::Accurate => code,
                };
                assert_eq!((sent.len(), sent[0].ecn()), (1, NOT_ECT));
                assert_eq!(number(&sent[0]), expected, "{ours:?} asked by {asking:03b}");
                let option = sent[0].header.options.accurate_ecn;
                assert_eq!(option, (accepted == Feedback::Accurate).then(untouched).flatten());
                let handle = open(&mut script, if expected > 1 { 0b010 } else { 0 }, untouched());
                assert_eq!(feedback(&script, handle), accepted);
                let sent = script.send(handle, b"text");
                assert_eq!(sent[0].ecn(), if accepted == Feedback::None { NOT_ECT } else { ECT_0 });
                // 9768-3.2.2: a mark on the SYN is told by the SYN,ACK, and not counted.
                assert_eq!(number(&sent[0]), if accepted == Feedback::Accurate { 5 } else { 0 });
            }
        }
    }
}

/// 9768-3.2.2, 9768-3.2.1: how the SYN,ACK has arrived, on the ACK of it alone; its mark counts once, however often it comes.
#[test]
fn the_ack_of_a_syn_ack_tells_how_that_has_arrived() {
    for (codepoint, code) in CODES {
        let mut script = Script::with(mode(EcnMode::RequestAccurate));
        let (handle, _) = script.connect();
        let irs = script.seq;
        let sent = syn_ack(&mut script, 0b010, untouched(), codepoint);
        assert_eq!((sent.len(), number(&sent[0]), sent[0].header.options.accurate_ecn), (1, code, untouched()));
        let counted = if codepoint == CE { 6 } else { 5 };
        assert_eq!(state(&script, handle).received.packets, counted);
        // Once more, and another way.
        for (codepoint, code) in CODES {
            script.seq = irs;
            let sent = syn_ack(&mut script, 0b010, None, codepoint);
            assert_eq!((sent.len(), number(&sent[0])), (1, code));
            let marked = counted == 6 || codepoint == CE;
            assert_eq!(state(&script, handle).received.packets, if marked { 6 } else { 5 });
        }
        // An answer that does not count is acknowledged by the counter.
        script.seq = irs;
        let sent = syn_ack(&mut script, 0, None, NOT_ECT);
        assert_eq!(number(&sent[0]), 6);
        let sent = script.send(handle, b"text");
        assert_eq!((number(&sent[0]), sent[0].ecn(), feedback(&script, handle)), (6, ECT_0, Feedback::Accurate));
    }
}

/// 9768-3.2.2: text of a client waits for that ACK, though it could carry one.
#[test]
fn the_ack_of_a_syn_ack_goes_before_text() {
    let mut script = Script::with(mode(EcnMode::RequestAccurate));
    let (handle, _) = script.connect();
    assert!(script.send(handle, b"text").is_empty());
    let sent = syn_ack(&mut script, 0b010, untouched(), CE);
    assert_eq!(sent.iter().map(|sent| (sent.text.len(), number(sent))).collect::<Vec<_>>(), [(0, 0b110), (4, 6)]);
}

/// 9768-3.2.2: the eight values of the ACK of a SYN,ACK, and what a server makes of each.
#[test]
fn a_server_reads_the_code_of_the_third_segment() {
    for bits in 0..8 {
        let mut script = Script::with(mode(EcnMode::AcceptAccurate));
        syn(&mut script, 0b111, NOT_ECT, plain(SACK));
        let handle = open(&mut script, bits, untouched());
        let told = state(&script, handle);
        assert_eq!((told.told.packets, told.deaf), (if bits == 6 { 6 } else { 5 }, bits == 0), "{bits}");
        // Our SYN,ACK was not ECN-capable, so what came as if it had been was changed on its way.
        let capable = ![0, 0b011, 0b100, 0b110].contains(&bits);
        let reduced = script.stack.counters().ecn_reductions;
        assert_eq!(reduced, u64::from(bits == 6), "a mark is answered all the same");
        let sent = script.send(handle, &text(3 * MSS));
        assert!(sent.iter().all(|sent| sent.ecn() == if capable { ECT_0 } else { NOT_ECT }), "{bits}");
        // 9768-3.2.2: whatever that was, what comes is counted.
        let sent = from_peer(&mut script, 5, None, CE, &text(MSS));
        assert_eq!(number(&sent[0]), 6);
        // And who counts nothing is not answered.
        script.ack = script.ack.wrapping_add(2 * SEGMENT);
        from_peer(&mut script, 7, None, NOT_ECT, &[]);
        let later = u64::from(bits != 0);
        assert_eq!(script.stack.counters().ecn_reductions, reduced + later);
    }
}

/// 9768-3.2.2: with text the third segment has a counter.
#[test]
fn a_third_segment_with_text_counts() {
    for (bits, packets, deaf) in [(5, 5, false), (6, 6, false), (0, 5, true)] {
        let mut script = Script::with(mode(EcnMode::AcceptAccurate));
        syn(&mut script, 0b111, NOT_ECT, plain(SACK));
        script.seq = script.seq.wrapping_add(1);
        from_peer(&mut script, bits, None, CE, &text(100));
        let listener = script.stack.listener_at(script.local).unwrap();
        let handle = script.stack.tcp_accept(listener).unwrap().0;
        let state = state(&script, handle);
        assert_eq!((state.told.packets, state.deaf), (packets, deaf));
        assert_eq!(state.received, Counters { packets: 6, octets: counters(1, 100, 1) });
    }
}

/// 9768-3.2.2: what tells that our SYN was marked is answered, but not counted.
#[test]
fn a_mark_on_our_syn_is_answered() {
    for (codepoint, code) in CODES {
        let mut script = Script::with(mode(EcnMode::RequestAccurate));
        let (handle, _) = script.connect();
        syn_ack(&mut script, code, untouched(), NOT_ECT);
        assert_eq!(script.stack.counters().ecn_reductions, u64::from(codepoint == CE));
        assert_eq!(
            (look(&script, handle).cwnd < 10 * SEGMENT, state(&script, handle).told.packets),
            (codepoint == CE, 5)
        );
        // Also whoever does not let its text be marked answers, and counts.
        let sent = script.send(handle, b"text");
        assert_eq!(sent[0].ecn(), if codepoint == NOT_ECT { ECT_0 } else { NOT_ECT });
        script.ack = script.ack.wrapping_add(4);
        let sent = from_peer(&mut script, 6, None, CE, &text(MSS));
        assert_eq!((number(&sent[0]), state(&script, handle).told.packets), (6, 6));
    }
}

/// 9768-3.1.2: a second SYN asks once more, and a third one does not; an answer to any of them counts.
#[test]
fn the_third_syn_asks_for_nothing() {
    for (answer, expected) in [(0b010, Feedback::Accurate), (0b001, Feedback::Classic), (0, Feedback::None)] {
        let mut script = Script::with(mode(EcnMode::RequestAccurate));
        let (handle, first) = script.connect();
        let mut syns = vec![first];
        while syns.len() < 4 {
            syns.extend(script.pass(secs(1)));
        }
        assert_eq!(syns.iter().map(number).collect::<Vec<_>>(), [0b111, 0b111, 0, 0]);
        assert!(syns.iter().all(|syn| syn.header.seq == syns[0].header.seq));
        syn_ack(&mut script, answer, untouched(), NOT_ECT);
        assert_eq!(feedback(&script, handle), expected);
        // RFC 3168 section 6.1.1: who has sent a SYN that did not ask sends nothing that is capable. Who counts may.
        let sent = script.send(handle, b"text");
        assert_eq!(sent[0].ecn(), if expected == Feedback::Accurate { ECT_0 } else { NOT_ECT });
    }
}

/// 9768-3.1.2: a path that refuses SYNs with the bits gets one without.
#[test]
fn a_syn_that_is_refused_comes_again_without() {
    let mut script = Script::with(mode(EcnMode::RequestAccurate));
    let (handle, syn) = script.connect();
    let rst = script.header(Flags::RST | Flags::ACK);
    let again = script.inject(&rst, &[]);
    assert_eq!((again.len(), again[0].flags(), again[0].header.seq), (1, Flags::SYN, syn.header.seq));
    syn_ack(&mut script, 0, None, NOT_ECT);
    assert_eq!((feedback(&script, handle), script.send(handle, b"text")[0].ecn()), (Feedback::None, NOT_ECT));
}

/// RFC 9768 section 3.1.4.1: where only SYNs without bits are answered, by three connections in a row, the next ones do not ask, for
/// some time. Whoever agrees to anything was asked, whatever SYN it was that came last.
#[test]
fn failed_attempts_are_remembered() {
    let mut script = Script::with(mode(EcnMode::RequestAccurate));
    // The bits of our first SYN; whether it is refused; the answer.
    let attempt = |script: &mut Script, refused: bool, answer| {
        let (handle, syn) = script.connect();
        if refused && number(&syn) != 0 {
            let rst = script.header(Flags::RST | Flags::ACK);
            assert_eq!(number(&script.inject(&rst, &[])[0]), 0);
        }
        syn_ack(script, answer, None, NOT_ECT);
        assert_eq!(script.stack.tcp_state(handle), Some(State::Established));
        script.stack.tcp_abort(script.now, handle);
        script.sent();
        number(&syn)
    };
    for (refused, answer) in [
        (true, 0),
        (true, 0),
        (true, 0b010),
        (true, 0),
        (true, 0),
        (true, 0b001),
        (true, 0),
        (true, 0),
        (false, 0),
        (true, 0),
        (true, 0),
        (true, 0),
    ] {
        assert_eq!(attempt(&mut script, refused, answer), 0b111);
    }
    for _ in 0..2 {
        assert_eq!(attempt(&mut script, true, 0), 0);
        script.pass(secs(599));
        assert_eq!(attempt(&mut script, true, 0), 0);
        script.pass(secs(1));
        // One tries again.
        assert_eq!(attempt(&mut script, true, 0), 0b111);
    }
    // Another host has nothing to do with it.
    let peer = std::mem::replace(&mut script.peer, "10.0.0.77:7".parse().unwrap());
    assert_eq!(attempt(&mut script, false, 0b010), 0b111);
    script.peer = peer;
    script.pass(secs(600));
    assert_eq!(attempt(&mut script, false, 0b010), 0b111);
    assert_eq!(attempt(&mut script, true, 0), 0b111);
}

/// 9768-3.2.3, 9768-3.1.5: a SYN,ACK that is sent again has no option, then no bits; the connection counts, whatever it is.
#[test]
fn a_syn_ack_that_is_lost_falls_back() {
    for losses in 0..4 {
        let mut script = Script::with(mode(EcnMode::AcceptAccurate));
        let mut sent = syn(&mut script, 0b111, ECT_1, plain(SACK));
        while sent.len() < 1 + losses {
            sent.extend(script.pass(secs(1)));
        }
        let seen: Vec<_> = sent.iter().map(|sent| (number(sent), sent.header.options.accurate_ecn.is_some())).collect();
        assert_eq!(seen, [(0b011, true), (0b011, false), (0, false), (0, false)][..1 + losses]);
        let handle = open(&mut script, 0b010, untouched());
        assert_eq!(feedback(&script, handle), Feedback::Accurate);
        // 9768-3.1.5: who has sent one without bits sends nothing that is capable.
        let sent = script.send(handle, b"text");
        assert_eq!((sent[0].ecn(), number(&sent[0])), (if losses < 2 { ECT_0 } else { NOT_ECT }, 5));
        // Nor options, once it seems that they do not get through.
        let sent = from_peer(&mut script, 5, None, CE, &text(MSS));
        assert_eq!((number(&sent[0]), sent[0].header.options.accurate_ecn.is_some()), (6, losses == 0));
    }
}

/// 9768-3.1.5, 9768-3.1.1-1: the SYN again, without bits: counters as before, no ECT; and how the latest one has arrived.
#[test]
fn the_mode_does_not_change_by_a_later_syn() {
    let mut script = Script::with(mode(EcnMode::AcceptAccurate));
    assert_eq!(number(&syn(&mut script, 0b111, NOT_ECT, plain(SACK))[0]), 0b010);
    assert_eq!(number(&syn(&mut script, 0b111, CE, plain(SACK))[0]), 0b110);
    assert_eq!(number(&syn(&mut script, 0, ECT_0, plain(SACK))[0]), 0b100);
    let handle = open(&mut script, 0b010, untouched());
    assert_eq!(feedback(&script, handle), Feedback::Accurate);
    assert_eq!(script.send(handle, b"text")[0].ecn(), NOT_ECT);

    // Classic feedback stays classic; none stays none.
    for (first, second, expected) in
        [(0b011, 0, Feedback::Classic), (0, 0b111, Feedback::None), (0, 0b011, Feedback::None)]
    {
        let mut script = Script::with(mode(EcnMode::AcceptAccurate));
        syn(&mut script, first, NOT_ECT, plain(SACK));
        assert_eq!(number(&syn(&mut script, second, NOT_ECT, plain(SACK))[0]), 0);
        let handle = open(&mut script, 0, None);
        assert_eq!((feedback(&script, handle), script.send(handle, b"text")[0].ecn()), (expected, NOT_ECT));
    }
}

/// 9768-3.1.5: whoever asks for counters, and for the other, is reset.
#[test]
fn two_syns_that_contradict_each_other_end_it() {
    for (first, second) in [(0b111, 0b011), (0b011, 0b111), (0b011, 0b100), (0b101, 0b011)] {
        let mut script = Script::with(mode(EcnMode::AcceptAccurate));
        syn(&mut script, first, NOT_ECT, plain(SACK));
        let sent = syn(&mut script, second, NOT_ECT, plain(SACK));
        assert_eq!((sent.len(), sent[0].flags()), (1, Flags::RST | Flags::ACK), "{first:03b} and {second:03b}");
        assert_eq!(script.stack.table_sizes(), (0, 0, 0));
    }
    // Who knows nothing of counters sees the same in both.
    let mut script = Script::with(mode(EcnMode::Accept));
    syn(&mut script, 0b111, NOT_ECT, plain(SACK));
    assert_eq!(number(&syn(&mut script, 0b011, NOT_ECT, plain(SACK))[0]), 0b001);
}

/// 9768-3.1.2: SYNs that cross are answered as by a listener, and the bits of what has a SYN are no counter.
#[test]
fn syns_that_cross() {
    for (asking, code, expected) in
        [(0b111, 0b110, Feedback::Accurate), (0b011, 0b001, Feedback::Classic), (0, 0, Feedback::None)]
    {
        let mut script = Script::with(mode(EcnMode::RequestAccurate));
        let (handle, _) = script.connect();
        let header = TcpHeader { options: plain(SACK), ..script.header(Flags::SYN | ace_flags(asking)) };
        script.ecn = CE;
        let sent = script.inject(&header, &[]);
        assert_eq!((sent.len(), sent[0].flags()), (1, Flags::SYN | Flags::ACK | ace_flags(code)));
        // 9768-3.2.3: with the option, once.
        let accurate = expected == Feedback::Accurate;
        assert_eq!(sent[0].header.options.accurate_ecn, accurate.then(untouched).flatten());
        let sent = script.pass(secs(1));
        assert_eq!(
            (sent[0].flags(), sent[0].header.options.accurate_ecn),
            (Flags::SYN | Flags::ACK | ace_flags(code), None)
        );
        script.ecn = NOT_ECT;
        syn_ack(&mut script, code, None, NOT_ECT);
        assert_eq!(script.stack.tcp_state(handle), Some(State::Established));
        assert_eq!((feedback(&script, handle), script.stack.counters().ecn_reductions), (expected, 0));
        let sent = script.send(handle, b"text");
        assert_eq!(sent[0].ecn(), if expected == Feedback::None { NOT_ECT } else { ECT_0 });
    }
}

/// RFC 9768 section 5.1: the ACK of a cookie tells that its client counts.
#[test]
fn a_cookie_is_enough_to_count() {
    for (asking, code, bits, expected) in
        [(0b111, 0b100, 0b010, Feedback::Accurate), (0b011, 0, 0, Feedback::None), (0b011, 0, 1, Feedback::None)]
    {
        let mut script = Script::with(|config| {
            mode(EcnMode::AcceptAccurate)(config);
            config.tcp.max_half_open = 0;
        });
        let sent = syn(&mut script, asking, ECT_0, TcpOptions { mss: Some(1_460), ..TcpOptions::default() });
        assert_eq!(number(&sent[0]), code);
        let handle = open(&mut script, bits, None);
        assert_eq!((script.stack.counters().cookies_valid, feedback(&script, handle)), (1, expected));
    }
}

#[test]
fn the_codes_of_the_handshake() {
    for (codepoint, code) in CODES {
        assert_eq!(ace(handshake_flags(codepoint)), code);
        assert_eq!(handshake_codepoint(ace_flags(code)), Some(codepoint));
    }
    for other in [0b000, 0b001, 0b101, 0b111] {
        assert_eq!(handshake_codepoint(ace_flags(other)), None);
    }
}
