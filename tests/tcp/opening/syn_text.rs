//! Text on SYNs, beside Fast Open: a SYN that comes again with its text, and a close before the SYNs that have crossed are
//! both acknowledged.

use std::net::Shutdown;
use std::time::Duration;

use glasstcp::SocketError;
use glasstcp::sim::{Script, Sent};
use glasstcp::stack::{Readiness, SocketHandle};
use glasstcp::tcp::state::State;
use glasstcp::wire::option::TcpOptions;
use glasstcp::wire::tcp::{Flags, TcpHeader};

const SYN: Flags = Flags::SYN;
const ACK: Flags = Flags::ACK;
const FIN: Flags = Flags::FIN;

fn plain() -> TcpOptions {
    TcpOptions { mss: Some(1_000), ..TcpOptions::default() }
}

/// 9293-3.10.7.4-6, 9293-3.10.7.2-5: the SYN of a copy lies in front of the window, whatever text it has: it is no new SYN, and
/// takes nothing back. The SYN,ACK leaves again.
#[test]
fn a_syn_that_comes_again_with_its_text_is_answered_by_the_syn_ack() {
    for (first, again) in [(&b"text"[..], &b"text"[..]), (b"text", b""), (b"", b"text")] {
        for fin in [false, true] {
            let mut script = Script::new();
            let listener = script.listen();
            let flags = if fin { SYN | FIN } else { SYN };
            let syn = TcpHeader { options: plain(), ..script.header(flags) };
            let answer = |script: &mut Script, text: &[u8]| -> Sent {
                let sent = script.inject(&syn, text);
                assert_eq!((sent.len(), sent[0].flags()), (1, SYN | ACK));
                assert_eq!(sent[0].header.ack, syn.seq.wrapping_add(1), "the SYN alone is acknowledged");
                sent[0].clone()
            };
            let iss = answer(&mut script, first).header.seq;
            for _ in 0..3 {
                assert_eq!(answer(&mut script, again).header.seq, iss);
                assert_eq!(script.stack.table_sizes(), (1, 0, 0), "the record lives on");
            }
            // Not without end.
            let answers: usize = (0..100).map(|_| script.inject(&syn, again).len()).sum();
            assert!(answers <= 10, "{answers}");
            (script.seq, script.ack) = (syn.seq.wrapping_add(1), iss.wrapping_add(1));
            script.peer_sends(b"text");
            let (handle, _) = script.stack.tcp_accept(listener).unwrap();
            assert_eq!(script.receive(handle), b"text");
        }
    }
}

/// 9293-3.10.7.3-8, 9293-3.10.4-4: the application closes its sending side while text and FIN of a SYN that has crossed ours
/// wait. They still do in FIN-WAIT-1, and are delivered once, whether the peer sends them again or not.
#[test]
fn what_a_crossing_syn_brings_waits_also_after_a_half_close() {
    for (fin, again) in [(false, false), (false, true), (true, false), (true, true)] {
        for closed in [false, true] {
            let mut script = Script::new();
            let (handle, syn) = script.connect();
            let (iss, irs) = (syn.header.seq, script.seq);
            let flags = if fin { SYN | FIN } else { SYN };
            script.inject(&TcpHeader { options: plain(), ..script.header(flags) }, b"early");
            script.stack.tcp_shutdown(script.now, handle, Shutdown::Write).unwrap();
            let sent = script.sent();
            assert_eq!((sent.len(), sent[0].flags(), sent[0].header.seq), (1, FIN | ACK, iss.wrapping_add(1)));
            assert_eq!(script.stack.tcp_state(handle), Some(State::FinWait1));
            let mut text = [0; 20];
            assert_eq!(script.stack.tcp_receive(script.now, handle, &mut text), Err(SocketError::WouldBlock));
            assert!(!script.stack.readiness(SocketHandle::Tcp(handle)).any(Readiness::READABLE));
            // The peer acknowledges our SYN, or our FIN with it.
            let behind = irs.wrapping_add(6 + u32::from(fin));
            script.ack = iss.wrapping_add(1 + u32::from(closed));
            let (seq, flags) = match (again, fin) {
                (false, _) => (behind, ACK),
                (true, false) => (irs.wrapping_add(1), ACK),
                (true, true) => (irs.wrapping_add(1), ACK | FIN),
            };
            script.inject(&TcpHeader { seq, ..script.header(flags) }, if again { b"early" } else { b"" });
            script.pass(Duration::from_millis(200));
            if let Some(connection) = script.stack.tcp_connection(handle) {
                assert_eq!(connection.rcv.nxt.0, behind);
            }
            assert!(script.stack.readiness(SocketHandle::Tcp(handle)).any(Readiness::READABLE));
            script.seq = behind;
            if !fin {
                script.peer_sends(b" and late");
            }
            assert_eq!(script.receive(handle), if fin { &b"early"[..] } else { b"early and late" });
            let end = if fin { Ok(0) } else { Err(SocketError::WouldBlock) };
            assert_eq!(script.stack.tcp_receive(script.now, handle, &mut text), end);
        }
    }
}
