//! What other stacks do in another way, as settings (`tcp::habits`): how FreeBSD acknowledges, offers windows and closes.

mod fsm_support;

use std::net::Shutdown;

use fsm_support::*;
use glasstcp::sim::Script;
use glasstcp::tcp::habits::{AfterFin, Windows};
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
