//! What other stacks do in another way, as settings (`tcp::habits`): how FreeBSD acknowledges, offers windows and closes.

mod flow_support;
mod fsm_support;

use std::net::Shutdown;

use flow_support::ms;
use fsm_support::*;
use glasstcp::sim::Script;
use glasstcp::tcp::congestion::Algorithm;
use glasstcp::tcp::habits::{AfterFin, Burst, CwndRules, Windows};
use glasstcp::tcp::state::State;

/// Of short segments every second one is acknowledged, where that is the habit.
#[test]
fn pairs_of_short_segments() {
    for pairs in [false, true] {
        let mut script = Script::with(|config| {
            config.tcp.quick_acks = 0;
            config.tcp.habits.acknowledge_pairs = pairs;
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
        config.tcp.habits.windows = Windows::WholeSegments;
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
            config.tcp.habits.after_fin = if repeated { AfterFin::AckAndFin } else { AfterFin::Ack };
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
            config.tcp.habits.after_fin = if late { AfterFin::LateAck } else { AfterFin::Ack };
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
        let mut script = Script::with(|config| config.tcp.habits.silent_on_future_acks = silent);
        script.accept();
        let ahead = script.ack.wrapping_add(10_000);
        assert_eq!(script.peer_acks(ahead).len(), usize::from(!silent));
    }
}

/// A loss leaves half of what is in flight, or half of cwnd; the loss of what was sent again is one more, or is not.
#[test]
fn what_a_loss_leaves() {
    for (rules, leaves) in [(CwndRules::Flight, [3, 2]), (CwndRules::Delivery, [5, 5])] {
        let (mut script, handle) = flow_support::accepted_over(ms(40), flow_support::SACK, |config| {
            config.tcp.socket.congestion = Algorithm::Reno;
            config.tcp.habits.cwnd = rules;
        });
        let (start, segment) = (script.ack, flow_support::MSS as u32);
        script.send(handle, &flow_support::text(6 * flow_support::MSS));
        let at = |number: u32| start.wrapping_add(number * segment);
        let threshold = |script: &Script| flow_support::look(script, handle).ssthresh / segment;
        script.now += ms(40);
        // The first and the fifth are missing, and what is sent again of the first is lost once more.
        let resent = flow_support::duplicate_ack(&mut script, &[(at(1), at(4))]);
        assert_eq!(resent.first().map(|one| one.header.seq), Some(at(0)));
        assert_eq!(threshold(&script), leaves[0], "{rules:?}");
        script.now += ms(10);
        flow_support::duplicate_ack(&mut script, &[(at(1), at(4)), (at(5), at(6))]);
        script.now += ms(50);
        flow_support::duplicate_ack(&mut script, &[(at(1), at(6))]);
        assert_eq!(flow_support::look(&script, handle).statistics.retransmits, 3, "{rules:?}");
        assert_eq!(threshold(&script), leaves[1], "{rules:?}");
    }
}

/// By habit a window is spread over the round trip, but for what a connection begins with.
#[test]
fn a_window_is_spread() {
    for paced in [false, true] {
        let (mut script, handle) = flow_support::accepted_over(ms(100), flow_support::SACK, |config| {
            config.tcp.habits.burst = Some(Burst { least: 1, paced });
        });
        let segment = flow_support::MSS as u32;
        let first = script.send(handle, &flow_support::text(40 * flow_support::MSS));
        assert_eq!(flow_support::octets(&first), 10 * flow_support::MSS);
        script.now += ms(100);
        let ack = script.ack.wrapping_add(10 * segment);
        let at_once = script.peer_acks(ack).len();
        let window = (flow_support::look(&script, handle).cwnd / segment) as usize;
        assert_eq!(at_once, if paced { 1 } else { window });
        // At twice the rate of the window, it has left after half of a round trip.
        let later = script.pass(ms(60));
        assert_eq!(at_once + later.len(), window);
        let apart = later.windows(2).all(|pair| pair[1].at - pair[0].at >= ms(2));
        assert!(apart, "{later:?}");
    }
}
