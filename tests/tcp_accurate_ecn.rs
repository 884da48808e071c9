//! Accurate ECN (RFC 9768), both roles, by the packet: the handshake, the counters, and what becomes of marks.

mod flow_support;

use flow_support::*;
use glasstcp::config::Config;
use glasstcp::sim::{Script, Sent};
use glasstcp::stack::TcpHandle;
use glasstcp::tcp::accurate_ecn::{AccurateEcn, Counters, ace, ace_flags, handshake_codepoint, handshake_flags};
use glasstcp::tcp::congestion::Algorithm;
use glasstcp::tcp::ecn::{BITS, CE, ECT_0, ECT_1, EcnMode, Feedback, NOT_ECT};
use glasstcp::tcp::state::State;
use glasstcp::wire::accurate_ecn::{ByteCounters, EcnOption, First};
use glasstcp::wire::option::TcpOptions;
use glasstcp::wire::tcp::{Flags, TcpHeader};

const SEGMENT: u32 = MSS as u32;
const MODES: [EcnMode; 6] = [
    EcnMode::Off,
    EcnMode::Accept,
    EcnMode::Request,
    EcnMode::AcceptAccurate,
    EcnMode::AcceptAccurateRequestClassic,
    EcnMode::RequestAccurate,
];
/// Codepoints, and the code by which an answer tells them.
const CODES: [(u8, u32); 4] = [(NOT_ECT, 0b010), (ECT_1, 0b011), (ECT_0, 0b100), (CE, 0b110)];

fn mode(mode: EcnMode) -> impl Fn(&mut Config) {
    move |config| {
        config.tcp.ecn = mode;
        config.tcp.socket.congestion = Algorithm::Reno;
    }
}

/// The three bits of a segment.
fn number(sent: &Sent) -> u32 {
    ace(sent.flags())
}

fn counters(ect_0: u32, ce: u32, ect_1: u32) -> ByteCounters {
    ByteCounters { ect_0, ect_1, ce }
}

/// The option as it says how often the four have been counted, from the first values on.
fn option(first: First, fields: usize, ect_0: u32, ce: u32, ect_1: u32) -> Option<EcnOption> {
    Some(EcnOption::new(first, fields, &counters(1 + ect_0, ce, 1 + ect_1)))
}

/// All counters, none of which has changed.
fn untouched() -> Option<EcnOption> {
    option(First::Ect0, 3, 0, 0, 0)
}

fn plain(options: TcpOptions) -> TcpOptions {
    TcpOptions { window_scale: None, ..options }
}

/// A SYN with these bits and options comes to a listener, its packet with this codepoint.
fn syn(script: &mut Script, bits: u32, codepoint: u8, options: TcpOptions) -> Vec<Sent> {
    if script.stack.listener_at(script.local).is_none() {
        script.listen();
    }
    let header = TcpHeader { options, ..script.header(Flags::SYN | ace_flags(bits)) };
    let before = std::mem::replace(&mut script.ecn, codepoint);
    let sent = script.inject(&header, &[]);
    script.ecn = before;
    if let Some(syn_ack) = sent.first().filter(|sent| sent.flags().contains(Flags::SYN)) {
        script.ack = syn_ack.header.seq.wrapping_add(1);
    }
    sent
}

/// A segment of the peer with these three bits, this option and this codepoint.
fn from_peer(script: &mut Script, bits: u32, option: Option<EcnOption>, codepoint: u8, text: &[u8]) -> Vec<Sent> {
    let mut header = script.header(Flags::ACK | ace_flags(bits));
    header.options.accurate_ecn = option;
    let before = std::mem::replace(&mut script.ecn, codepoint);
    let sent = script.inject(&header, text);
    script.ecn = before;
    script.seq = script.seq.wrapping_add(text.len() as u32);
    sent
}

/// The last ACK of the handshake, with this ACE; the connection.
fn open(script: &mut Script, bits: u32, option: Option<EcnOption>) -> TcpHandle {
    script.seq = script.seq.wrapping_add(1);
    script.now += ms(20);
    from_peer(script, bits, option, NOT_ECT, &[]);
    let listener = script.stack.listener_at(script.local).unwrap();
    script.stack.tcp_accept(listener).unwrap().0
}

/// A connection that counts, taken by a listener.
fn accepted_with(options: TcpOptions) -> (Script, TcpHandle) {
    let mut script = Script::with(mode(EcnMode::AcceptAccurate));
    let sent = syn(&mut script, 0b111, NOT_ECT, plain(options));
    assert_eq!(number(&sent[0]), 0b010);
    let handle = open(&mut script, 0b010, untouched());
    (script, handle)
}

fn accepted() -> (Script, TcpHandle) {
    accepted_with(TcpOptions { mss: Some(1_460), ..TcpOptions::default() })
}

/// A connection that counts, and that we have asked for.
fn connected() -> (Script, TcpHandle) {
    let mut script = Script::with(mode(EcnMode::RequestAccurate));
    let (handle, _) = script.connect();
    let sent = syn_ack(&mut script, 0b010, untouched(), NOT_ECT);
    assert_eq!((sent.len(), number(&sent[0])), (1, 0b010));
    (script, handle)
}

/// The SYN,ACK of the peer.
fn syn_ack(script: &mut Script, bits: u32, option: Option<EcnOption>, codepoint: u8) -> Vec<Sent> {
    let options = TcpOptions { mss: Some(1_460), accurate_ecn: option, ..TcpOptions::default() };
    let header = TcpHeader { options, ..script.header(Flags::SYN | Flags::ACK | ace_flags(bits)) };
    let before = std::mem::replace(&mut script.ecn, codepoint);
    let sent = script.inject(&header, &[]);
    script.ecn = before;
    script.seq = script.seq.wrapping_add(1);
    sent
}

fn feedback(script: &Script, handle: TcpHandle) -> Feedback {
    let connection = script.stack.tcp_connection(handle).unwrap();
    match connection.ecn.as_deref() {
        None => Feedback::None,
        Some(ecn) if ecn.accurate().is_some() => Feedback::Accurate,
        Some(_) => Feedback::Classic,
    }
}

fn state(script: &Script, handle: TcpHandle) -> &AccurateEcn {
    script.stack.tcp_connection(handle).unwrap().ecn.as_deref().and_then(|ecn| ecn.accurate()).expect("it counts")
}

/// Lets the first segments pass, which are acknowledged at once, unmarked.
fn quiet(script: &mut Script) {
    for _ in 0..20 {
        from_peer(script, 5, None, NOT_ECT, &text(MSS));
    }
    script.pass(secs(1));
}

// The handshake.

/// 9768-3.1.1-1, 9768-3.1.2: what our SYN asks for, and what each answer makes of it (RFC 9768 table 2).
#[test]
fn our_syn_asks_with_three_bits_and_each_answer_means_what_the_table_says() {
    for ours in MODES {
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
    for ours in MODES {
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

// The counters.

/// 9768-3.2.1, 9768-3.2.2: every CE packet, with text or without, again or for the first time; octets by their codepoint; and the
/// low three bits of the number on all that leaves.
#[test]
fn every_packet_is_counted_and_every_segment_tells() {
    let (mut script, handle) = accepted();
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
    let (mut script, handle) = accepted();
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
    let (mut script, _) = accepted();
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

/// 9768-3.1.5: a sender that has slowed down says nothing of it, and what it is told changes nothing but its window.
#[test]
fn cwr_is_a_bit_of_a_number_and_nothing_else() {
    let (mut script, handle) = accepted();
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
    let (mut script, handle) = accepted();
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
        let (mut script, handle) = accepted();
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
        let option = octets.and_then(|octets| option(First::Ect0, 2, 0, octets, 0));
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
        let (mut script, handle) = accepted();
        let start = script.ack;
        script.send(handle, &text(2 * MSS));
        script.ack = start.wrapping_add(2 * SEGMENT);
        from_peer(&mut script, bits, option(First::Ect0, 2, 0, octets, 0), NOT_ECT, &[]);
        assert_eq!(script.send(handle, b"more")[0].ecn(), if capable { ECT_0 } else { NOT_ECT }, "{bits} {octets}");
    }
}

/// RFC 9768 section 4.3: who cuts a super-segment clears CWR in all but its first segment, and it is a bit of our number.
#[test]
fn a_number_with_cwr_leaves_in_single_segments() {
    let (mut script, handle) = accepted();
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
    let (mut script, handle) = accepted();
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

// The option.

/// 9768-3.2.3: whatever has changed, in the order that needs the least room; nothing where nothing has.
#[test]
fn the_option_has_all_counters_that_have_changed() {
    let (mut script, handle) = accepted();
    let mut told = |codepoint| {
        let sent = from_peer(&mut script, 5, None, codepoint, &text(10));
        let sent = if sent.is_empty() { script.pass(ms(100)) } else { sent };
        sent[0].header.options.accurate_ecn
    };
    assert_eq!(told(NOT_ECT), None);
    assert_eq!(told(ECT_1), option(First::Ect1, 1, 0, 0, 10));
    assert_eq!(told(NOT_ECT), None);
    assert_eq!(told(CE), option(First::Ect1, 2, 0, 10, 10));
    assert_eq!(told(ECT_1), option(First::Ect1, 2, 0, 10, 20));
    assert_eq!(told(ECT_0), option(First::Ect0, 3, 10, 10, 20));
    assert_eq!(told(ECT_1), option(First::Ect1, 3, 10, 10, 30));
    assert_eq!(state(&script, handle).received.octets, counters(11, 10, 31));
}

/// 9768-3.2.3: two SACK blocks have their room before the option, a third one has not.
#[test]
fn sack_blocks_come_first() {
    for timestamps in [false, true] {
        for codepoints in [vec![ECT_0], vec![ECT_0, CE], vec![ECT_0, ECT_1]] {
            let mut script = Script::with(mode(EcnMode::AcceptAccurate));
            let timestamp = timestamps.then_some(glasstcp::wire::option::Timestamp { value: 100, echo: 0 });
            let options = TcpOptions { timestamp, ..plain(SACK) };
            let sent = syn(&mut script, 0b111, NOT_ECT, options);
            assert_eq!(sent[0].header.options.accurate_ecn, untouched());
            script.timestamp = timestamps.then_some(100);
            let handle = open(&mut script, 0b010, untouched());
            for &codepoint in &codepoints {
                from_peer(&mut script, 5, None, codepoint, &text(MSS));
            }
            for holes in 1..=4_u32 {
                script.ecn = ECT_0;
                let sent = peer_sends_at(&mut script, holes * 2_000, &text(1_000));
                let told = sent[0].header.options;
                let all = if codepoints.len() == 1 {
                    1
                } else if codepoints[1] == CE {
                    2
                } else {
                    3
                };
                let room = if timestamps { 28 } else { 40 };
                // All counters need 12 octets, two of them 8, and as much does one; two blocks need 20.
                let least = room - if holes == 1 { 12 } else { 20 };
                let fields = if all == 3 && least < 12 { 2 } else { all };
                let blocks = (room - 4 - [8, 8, 12][fields - 1]) / 8;
                assert_eq!(told.sack.len(), blocks.min(holes as usize), "{timestamps} {codepoints:?} {holes}");
                let counted = state(&script, handle).received.octets;
                assert_eq!(told.accurate_ecn, Some(EcnOption::new(First::Ect0, fields, &counted)));
            }
        }
    }
}

/// 9768-3.2.3: text has it where it fits; and where it does not, an ACK that is due goes before.
#[test]
fn text_has_the_option_where_it_fits() {
    let (mut script, handle) = accepted();
    quiet(&mut script);
    let told = |sent: &[Sent]| -> Vec<(usize, bool)> {
        sent.iter().map(|sent| (sent.text.len(), sent.header.options.accurate_ecn.is_some())).collect()
    };
    assert!(from_peer(&mut script, 5, None, ECT_0, b"x").is_empty());
    assert_eq!(told(&script.send(handle, &text(MSS - 8))), [(MSS - 8, true)]);
    assert!(from_peer(&mut script, 5, None, ECT_0, b"x").is_empty());
    assert_eq!(told(&script.send(handle, &text(MSS))), [(MSS, false)]);
    script.ack = script.ack.wrapping_add(2 * SEGMENT - 8);
    // What it could not carry is told with the next.
    let mut sent = from_peer(&mut script, 5, None, NOT_ECT, b"x");
    sent.extend(script.pass(ms(100)));
    assert_eq!(told(&sent), [(0, true)]);
    // Both are due.
    script.stack.tcp_send(script.now, handle, &text(2 * MSS)).unwrap();
    let header = script.header(Flags::ACK | ace_flags(5));
    script.ecn = CE;
    script.deliver(&header, &text(MSS));
    assert_eq!(told(&script.sent()), [(0, true), (MSS, false), (MSS, false)]);
}

/// 9768-3.2.3: the first text of a client has an option, also where there is enough for a whole segment; sent again it has none,
/// and then nothing has.
#[test]
fn the_first_text_shows_whether_options_get_through() {
    for lost in [false, true] {
        let (mut script, handle) = connected();
        let sent = script.send(handle, &text(3 * MSS));
        let told: Vec<_> = sent.iter().map(|sent| (sent.text.len(), sent.header.options.accurate_ecn)).collect();
        // What is left of the last segment does not wait for the first, which is no short one.
        assert_eq!(told, [(MSS - 12, untouched()), (MSS, None), (MSS, None), (12, None)]);
        if lost {
            let again = script.pass(secs(3));
            assert!(again.iter().any(|again| again.header.seq == sent[0].header.seq));
            assert!(again.iter().all(|again| again.header.options.accurate_ecn.is_none() && again.ecn() == NOT_ECT));
        }
        script.ack = end(&sent);
        let sent = from_peer(&mut script, 5, None, CE, &text(MSS));
        assert_eq!((number(&sent[0]), sent[0].header.options.accurate_ecn.is_some()), (6, !lost));
    }
}

/// 9768-3.2.3: who gets no options sends them all the same; one that comes late shows that they get through; zeros that cannot be
/// make all of them count for nothing.
#[test]
fn options_that_were_taken_off_or_changed() {
    let zeros = |first| Some(EcnOption::new(first, 3, &ByteCounters::default()));
    for (first, reads) in [(None, true), (untouched(), true), (zeros(First::Ect0), false), (zeros(First::Ect1), false)]
    {
        for client in [false, true] {
            let mut script = Script::with(mode(EcnMode::RequestAccurate));
            let handle = if client {
                let (handle, _) = script.connect();
                syn_ack(&mut script, 0b010, first, NOT_ECT);
                handle
            } else {
                syn(&mut script, 0b111, NOT_ECT, plain(SACK));
                open(&mut script, 0b010, first)
            };
            let sent = from_peer(&mut script, 5, None, CE, &text(MSS));
            assert!(sent[0].header.options.accurate_ecn.is_some());
            let before = script.ack;
            let sent = script.send(handle, &text(MSS));
            script.ack = before.wrapping_add(octets(&sent) as u32);
            from_peer(&mut script, 6, option(First::Ect1, 3, 700, 100, 600), NOT_ECT, &[]);
            let told = state(&script, handle).told;
            let known = if reads { counters(701, 100, 601) } else { told.octets };
            assert_eq!((told.packets, told.octets), (6, known), "{client} {first:?}");
            assert_eq!(told.octets.ce == 100, reads);
        }
    }
}

/// 9768-3.2.3: it is optional.
#[test]
fn no_options_by_habit() {
    for client in [false, true] {
        let mut script = Script::with(|config| {
            mode(EcnMode::RequestAccurate)(config);
            config.tcp.habits.acks.no_ecn_options = true;
        });
        let (handle, mut sent) = if client {
            let (handle, syn) = script.connect();
            (handle, [vec![syn], syn_ack(&mut script, 0b010, untouched(), NOT_ECT)].concat())
        } else {
            let sent = syn(&mut script, 0b111, NOT_ECT, plain(SACK));
            (open(&mut script, 0b010, untouched()), sent)
        };
        sent.extend(from_peer(&mut script, 5, None, CE, &text(MSS)));
        sent.extend(script.send(handle, &text(2 * MSS)));
        assert!(sent.iter().all(|sent| sent.header.options.accurate_ecn.is_none()), "{sent:#?}");
        let last = sent.last().unwrap();
        assert_eq!((last.text.len(), number(last), last.ecn()), (MSS, 6, ECT_0));
    }
}

/// 9768-3.1.1-2: with SACK, what comes twice is reported.
#[test]
fn what_comes_twice_is_reported_beside_the_counters() {
    let (mut script, handle) = accepted_with(SACK);
    let first = script.seq;
    from_peer(&mut script, 5, None, ECT_0, &text(MSS));
    script.seq = first;
    let sent = from_peer(&mut script, 5, None, ECT_0, &text(MSS));
    let told = sent[0].header.options;
    assert_eq!(told.sack.iter().collect::<Vec<_>>(), [(first, first.wrapping_add(SEGMENT))]);
    assert_eq!(told.accurate_ecn, None, "RFC 9293: what has come whole before is not acceptable, and does not count");
    assert!(look(&script, handle).sack);
    // A part that is new makes it acceptable, and the octets that were known count once more.
    let sent = peer_sends_at(&mut script, 10_u32.wrapping_neg(), &text(20));
    assert_eq!(sent[0].header.options.sack.len(), 1);
    assert_eq!(state(&script, handle).received.octets.ect_0, 1 + SEGMENT);
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
