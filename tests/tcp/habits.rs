//! What other stacks do in another way, as settings (`tcp::habits`): how FreeBSD acknowledges, offers windows and closes.

use std::net::Shutdown;

use crate::flow;
use crate::flow::ms;
use crate::fsm::*;
use glasstcp::SocketError;
use glasstcp::sim::{Script, Sent};
use glasstcp::tcp::congestion::Algorithm;
use glasstcp::tcp::ecn::EcnMode;
use glasstcp::tcp::habits::{AfterFin, Burst, CwndRules, Windows};
use glasstcp::tcp::state::State;
use glasstcp::wire::option::TcpOptions;
use glasstcp::wire::tcp::{Flags, TcpHeader};

/// Of short segments every second one is acknowledged, where that is the habit.
#[test]
fn pairs_of_short_segments() {
    for pairs in [false, true] {
        let mut script = Script::with(|config| {
            config.tcp.quick_acks = 0;
            config.tcp.habits.acks.by_pairs = pairs;
        });
        script.accept();
        for round in 0..3 {
            assert_eq!(script.peer_sends(b"one").len(), 0, "round {round}");
            let second = script.peer_sends(b"two");
            assert_eq!(second.len(), usize::from(pairs), "round {round}");
            assert_eq!(script.pass(secs(1)).len(), usize::from(!pairs), "the rest waits for the timer");
        }
    }
}

/// The buffer is whole segments and all of it is window: the field stays at its largest while there is more room than it
/// can say, then tells to the octet what is left.
#[test]
fn a_buffer_of_whole_segments() {
    let mut script = Script::with(|config| {
        config.tcp.receive_tuning = 65_536..=65_536 + 1_460;
        config.tcp.habits.windows.offer = Windows::WholeSegments;
    });
    let handle = script.accept();
    let room = 65_536_u32.next_multiple_of(1_460);
    for sent in [100, 64, 1, 1, 500] {
        let ack = script.peer_sends(&vec![1; sent]).pop().unwrap();
        let waits = script.stack.tcp_snapshot(handle).unwrap().unread;
        assert_eq!(u32::from(ack.header.window), (room - waits).min(65_535), "{waits} octets wait");
    }
}

/// Where both close at the same time the FIN leaves again with the ACK, and otherwise the ACK alone.
#[test]
fn a_crossed_fin_is_repeated() {
    for repeated in [false, true] {
        let mut script = Script::with(|config| {
            config.tcp.habits.acks.after_fin = if repeated { AfterFin::AckAndFin } else { AfterFin::Ack };
        });
        let handle = script.accept();
        script.stack.tcp_shutdown(script.now, handle, Shutdown::Write).unwrap();
        let fin = script.sent_one();
        let header = script.header(FIN | ACK);
        script.seq += 1;
        let sent = script.inject(&header, &[]);
        assert_eq!(script.stack.tcp_state(handle), Some(State::Closing));
        assert_eq!(sent.len(), 1);
        assert_eq!(sent[0].header.ack, script.seq);
        let expected = if repeated { (FIN | ACK, fin.header.seq) } else { (ACK, fin.header.seq.wrapping_add(1)) };
        assert_eq!((sent[0].flags(), sent[0].header.seq), expected);
        script.peer_acks(fin.header.seq.wrapping_add(1));
        assert_eq!(script.stack.tcp_state(handle), Some(State::TimeWait));
    }
}

/// The ACK of a FIN leaves at once, or waits as that of text may for what the application does.
#[test]
fn the_ack_of_a_fin_may_wait_for_ours() {
    for late in [false, true] {
        let mut script = Script::with(|config| {
            config.tcp.habits.acks.after_fin = if late { AfterFin::LateAck } else { AfterFin::Ack };
        });
        let handle = script.accept();
        script.peer_sends(b"text");
        let header = script.header(FIN | ACK);
        script.seq += 1;
        assert_eq!(script.inject(&header, &[]).len(), usize::from(!late));
        let wait = script.stack.config().tcp.delayed_ack / 2;
        assert!(script.pass(wait).is_empty());
        script.stack.tcp_shutdown(script.now, handle, Shutdown::Write).unwrap();
        let fin = script.sent_one();
        assert_eq!((fin.flags(), fin.header.ack), (FIN | ACK, script.seq));
    }
}

/// An ACK of what was never sent is answered, or dropped without a word where that is the habit.
#[test]
fn an_ack_of_the_future() {
    for silent in [false, true] {
        let mut script = Script::with(|config| config.tcp.habits.acks.silent_on_future = silent);
        script.accept();
        let ahead = script.ack.wrapping_add(10_000);
        assert_eq!(script.peer_acks(ahead).len(), usize::from(!silent));
    }
}

/// A loss leaves half of what is in flight, or half of cwnd; the loss of what was sent again is one more, or is not.
#[test]
fn what_a_loss_leaves() {
    for (rules, leaves) in [(CwndRules::Flight, [3, 2]), (CwndRules::Delivery, [5, 5])] {
        let (mut script, handle) = flow::accepted_over(ms(40), flow::SACK, |config| {
            config.tcp.socket.congestion = Algorithm::Reno;
            config.tcp.habits.cwnd = rules;
        });
        let (start, segment) = (script.ack, flow::MSS as u32);
        script.send(handle, &flow::text(6 * flow::MSS));
        let at = |number: u32| start.wrapping_add(number * segment);
        let threshold = |script: &Script| flow::look(script, handle).ssthresh / segment;
        script.now += ms(40);
        // The first and the fifth are missing, and what is sent again of the first is lost once more.
        let resent = flow::duplicate_ack(&mut script, &[(at(1), at(4))]);
        assert_eq!(resent.first().map(|one| one.header.seq), Some(at(0)));
        assert_eq!(threshold(&script), leaves[0], "{rules:?}");
        script.now += ms(10);
        flow::duplicate_ack(&mut script, &[(at(1), at(4)), (at(5), at(6))]);
        script.now += ms(50);
        flow::duplicate_ack(&mut script, &[(at(1), at(6))]);
        assert_eq!(flow::look(&script, handle).statistics.retransmits, 3, "{rules:?}");
        assert_eq!(threshold(&script), leaves[1], "{rules:?}");
    }
}

/// By habit a window is spread over the round trip, but for what a connection begins with.
#[test]
fn a_window_is_spread() {
    for paced in [false, true] {
        let (mut script, handle) = flow::accepted_over(ms(100), flow::SACK, |config| {
            config.tcp.habits.burst = Some(Burst { least: 1, paced, share: 0 });
        });
        let segment = flow::MSS as u32;
        let first = script.send(handle, &flow::text(40 * flow::MSS));
        assert_eq!(flow::octets(&first), 10 * flow::MSS);
        script.now += ms(100);
        let ack = script.ack.wrapping_add(10 * segment);
        let at_once = script.peer_acks(ack).len();
        let window = (flow::look(&script, handle).cwnd / segment) as usize;
        assert_eq!(at_once, if paced { 1 } else { window });
        // At twice the rate of the window, it has left after half of a round trip.
        let later = script.pass(ms(60));
        assert_eq!(at_once + later.len(), window);
        let apart = later.windows(2).all(|pair| pair[1].at - pair[0].at >= ms(2));
        assert!(apart, "{later:?}");
    }
}

/// All of the buffer is window, and yet the right edge moves by whole segments.
#[test]
fn a_buffer_that_is_all_window() {
    for (windows, moves) in [(Windows::Whole, false), (Windows::WholeSegments, true)] {
        let mut script = Script::with(|config| {
            config.tcp.receive_tuning = 65_536..=65_536 + 1_460;
            config.tcp.habits.windows.offer = windows;
        });
        let handle = script.connect_established();
        let edge = |script: &Script| {
            let rcv = script.stack.tcp_connection(handle).unwrap().rcv;
            rcv.edge.since(rcv.irs) - 1
        };
        assert_eq!(edge(&script), 65_536_u32.next_multiple_of(1_460), "the whole of an empty one");
        script.peer_sends(&[1; 100]);
        script.stack.tcp_receive(script.now, handle, &mut [0; 50]).unwrap();
        script.peer_sends(&[1]);
        assert_eq!(edge(&script) > 65_700, moves, "{windows:?}");
    }
}

/// 7323-2.2-2: the field of a SYN-ACK is not scaled; once the handshake is over all of the buffer is window, before
/// anything has left that says so.
#[test]
fn the_handshake_opens_all_of_the_window() {
    for windows in [Windows::Steps, Windows::Whole, Windows::WholeSegments] {
        let mut script = Script::with(|config| {
            config.tcp.receive_tuning = 131_072..=131_072;
            config.tcp.habits.windows.offer = windows;
        });
        let handle = script.accept_with(TcpOptions { window_scale: Some(7), ..plain() });
        let rcv = script.stack.tcp_connection(handle).unwrap().rcv;
        let window = if windows == Windows::Steps { 65_535 } else { 131_072 };
        assert_eq!(rcv.wnd() / 1_460, window / 1_460, "{windows:?}");
    }
}

/// A window that its field cannot say to the octet is rounded up by habit.
#[test]
fn a_scaled_window_is_rounded() {
    for (windows, window) in [(Windows::Whole, 1_026), (Windows::WholeSegments, 1_027)] {
        let mut script = Script::with(|config| {
            config.tcp.receive_tuning = 65_536..=2 << 20;
            config.tcp.habits.windows.offer = windows;
        });
        script.accept_with(TcpOptions { window_scale: Some(7), ..plain() });
        assert_eq!(script.peer_closes()[0].header.window, window, "{windows:?}");
    }
}

/// The FIN of a SYN that crosses ours: by habit it is forgotten where it stands behind text.
#[test]
fn the_fin_of_a_crossing_syn() {
    for forget in [false, true] {
        for text in [&b""[..], b"text"] {
            let mut script = Script::with(|config| config.tcp.habits.syn.forget_crossing_fin = forget);
            let (handle, _) = script.connect();
            script.inject(&TcpHeader { options: plain(), ..script.header(SYN | FIN) }, text);
            script.seq = script.seq.wrapping_add(1 + text.len() as u32);
            script.inject(&script.header(ACK), &[]);
            let over = !forget || text.is_empty();
            assert_eq!(state(&script, handle) == State::CloseWait, over, "{forget} {}", text.len());
            assert_eq!(script.receive(handle), text);
        }
    }
}

/// In TIME-WAIT, by habit: an ACK in the window is answered unless it is the last one again, and what does not acknowledge is
/// not answered. The FIN that comes again is answered by any habit.
#[test]
fn a_talkative_time_wait() {
    for talkative in [false, true] {
        let script = Script::with(|config| config.tcp.habits.talkative_time_wait = talkative);
        let mut script = reach("TIME-WAIT", script).script;
        let seq = script.seq;
        for (flags, offset, answers) in [
            (ACK, 0, [false, false]),
            (ACK, 1, [false, true]),
            (ACK | FIN, 0, [false, true]),
            (FIN, u32::MAX, [true, false]),
            (ACK | FIN, u32::MAX, [true, true]),
        ] {
            let header = TcpHeader { seq: seq.wrapping_add(offset), ..script.header(flags) };
            let sent = script.inject(&header, &[]);
            assert_eq!(sent.len() == 1, answers[usize::from(talkative)], "{flags} {offset} {talkative}");
        }
    }
}

/// 3168-6.1.1.1: after how many timeouts a SYN does not ask for ECN any more, and when it offers nothing but an MSS.
#[test]
fn a_lost_syn_offers_less() {
    let asks = |ecn: bool| if ecn { SYN | Flags::ECE | Flags::CWR } else { SYN };
    for (retries, bare) in [(0, None), (1, None), (2, Some(3)), (0, Some(1))] {
        let mut script = Script::with(|config| {
            config.tcp.ecn = EcnMode::Request;
            config.tcp.habits.syn.ecn_retries = retries;
            config.tcp.habits.syn.bare_after = bare;
        });
        let (handle, first) = script.connect();
        assert_eq!(first.flags(), asks(true));
        for losses in 1..=4 {
            let again = script.pass(secs(1 << (losses - 1))).pop().unwrap();
            let full = bare.is_none_or(|bare| losses < bare);
            assert_eq!(again.flags(), asks(losses <= retries), "{losses} losses");
            assert_eq!(again.header.options.mss, Some(1_460));
            let options = (again.header.options.sack_permitted, again.header.options.timestamp.is_some());
            assert_eq!((options, again.header.options.window_scale.is_some()), ((full, full), full), "{losses} losses");
        }
        // What was not offered in the end is not agreed on.
        let options = TcpOptions { sack_permitted: true, window_scale: Some(3), ..plain() };
        let header = TcpHeader { options, ..script.header(SYN | ACK) };
        script.inject(&header, &[]);
        let agreed = script.stack.tcp_connection(handle).unwrap().agreed;
        assert_eq!((agreed.sack, agreed.scaling), (bare.is_none(), bare.is_none()));
    }
}

/// A SYN that crosses ours and asks for ECN: only by habit it is answered where ours has not asked.
#[test]
fn ecn_with_a_crossing_syn() {
    for answered in [false, true] {
        let mut script = Script::with(|config| config.tcp.habits.syn.ecn_with_crossing = answered);
        script.connect();
        let header = TcpHeader { options: plain(), ..script.header(SYN | Flags::ECE | Flags::CWR) };
        let expected = if answered { SYN | ACK | Flags::ECE } else { SYN | ACK };
        assert_eq!(script.inject(&header, &[])[0].flags(), expected);
    }
}

#[test]
fn a_syn_ack_to_a_listener_may_be_ignored() {
    for silent in [false, true] {
        let mut script = Script::with(|config| config.tcp.habits.syn.silent_on_syn_ack = silent);
        script.listen();
        assert_eq!(script.inject(&script.header(SYN | ACK), &[]).len(), usize::from(!silent));
        assert_eq!(script.inject(&script.header(ACK), &[]).len(), 1, "an ACK alone is reset all the same");
    }
}

/// What RFC 793 took from anybody who guessed the window: only where somebody has asked for it.
#[test]
fn insecure_resets_and_syns() {
    for insecure in [false, true] {
        for way in ["SYN-RECEIVED (passive)", "SYN-RECEIVED (active)"].into_iter().chain(SYNCHRONIZED) {
            for flags in [RST, SYN] {
                let script = Script::with(|config| {
                    config.tcp.habits.resets.insecure_rst = insecure;
                    config.tcp.habits.resets.insecure_syn = insecure;
                });
                let mut case = reach(way, script);
                let seq = case.script.seq.wrapping_add(100);
                let sent = case.script.inject(&TcpHeader { seq, ..case.script.header(flags) }, &[]);
                let over = insecure && (flags == RST || SYNCHRONIZED.contains(&way));
                if flags == SYN && way.contains("passive") {
                    continue; // RFC 9293 section 3.10.7.4: back to LISTEN, by any habit.
                }
                let states = case.script.stack.table_sizes();
                let ended = case.handle.map_or(states.0 == 0, |handle| state(&case.script, handle) == State::Closed);
                assert_eq!(ended, over, "{way} {flags} {insecure}");
                let answer = sent.last().map(Sent::flags);
                let expected = match (over, flags == RST) {
                    (true, true) => None,
                    (true, false) => Some(RST | ACK),
                    (false, _) => Some(ACK),
                };
                assert_eq!(answer.map(|flags| flags.without(FIN)), expected, "{way} {flags} {insecure}");
                if let (Some(handle), true) = (case.handle, over) {
                    let error = if way.starts_with("SYN") { SocketError::Refused } else { SocketError::Reset };
                    assert_eq!(case.script.stack.tcp_error(handle), Some(error), "{way}");
                }
            }
        }
    }
}
