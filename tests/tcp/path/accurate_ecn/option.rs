//! The counters of octets: when the option is sent, and what becomes of it on the way.

use glasstcp::sim::{Script, Sent};
use glasstcp::tcp::accurate_ecn::ace_flags;
use glasstcp::tcp::ecn::{CE, ECT_0, ECT_1, EcnMode, NOT_ECT};
use glasstcp::wire::accurate_ecn::{ByteCounters, EcnOption, First};
use glasstcp::wire::option::TcpOptions;
use glasstcp::wire::tcp::Flags;

use super::support::*;
use crate::flow::*;

/// 9768-3.2.3: whatever has changed, in the order that needs the least room; nothing where nothing has.
#[test]
fn the_option_has_all_counters_that_have_changed() {
    let (mut script, handle) = accepted_plain();
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
    let (mut script, handle) = accepted_plain();
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

/// 9768-3.2.3: once the first text has arrived, what is sent again says nothing of options.
#[test]
fn what_is_lost_later_takes_no_options_away() {
    let (mut script, handle) = connected();
    let sent = script.send(handle, &text(2 * MSS));
    script.ack = sent[1].header.seq;
    from_peer(&mut script, 5, None, NOT_ECT, &[]);
    let again = script.pass(secs(3));
    assert!(again.iter().any(|again| again.header.seq == sent[1].header.seq));
    script.ack = end(&sent);
    let sent = from_peer(&mut script, 5, None, CE, &text(MSS));
    assert_eq!(sent[0].header.options.accurate_ecn, option(First::Ect0, 2, 0, MSS as u32, 0));
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
