//! Attacks: forged RSTs, SYNs, ACKs and ICMP errors, floods, and addresses that no honest peer has.

use crate::kit::fragment::Cut;
use crate::kit::{SYNCHRONIZED, fix_checksums, give, portrait, reach, reach_with};
use glasstcp::SocketError;
use glasstcp::counters::DropReason;
use glasstcp::sim::Script;
use glasstcp::sim::script::packet;
use glasstcp::tcp::config::SocketOptions;
use glasstcp::tcp::state::State;
use glasstcp::wire::option::TcpOptions;
use glasstcp::wire::parse_ip;
use glasstcp::wire::tcp::{Flags, TcpHeader};
use std::net::IpAddr;
use std::time::Duration;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// The peer's next sequence number and this many more.
fn at(script: &Script, offset: i64, flags: Flags) -> TcpHeader {
    TcpHeader { seq: script.seq.wrapping_add(offset as u32), ..script.header(flags) }
}

/// Starts the peer's numbers where they will wrap.
fn wrapping() -> Script {
    let mut script = Script::new();
    script.seq = u32::MAX - 1;
    script
}

/// 9293-3.10.7.4-10, 9293-3.10.7.4-11, 9293-3.10.7.4-12, pitfall 4: outside the window nothing, inside a challenge, and
/// only exactly at RCV.NXT the end.
#[test]
fn a_reset_must_be_exact() {
    for state in SYNCHRONIZED.into_iter().filter(|&state| state != State::TimeWait) {
        for flags in [Flags::RST, Flags::RST | Flags::ACK] {
            let (mut script, handle) = reach_with(state, wrapping());
            let window = i64::from(script.stack.tcp_snapshot(handle).unwrap().rcv_wnd);
            let before = portrait(&script, handle);
            for outside in [-1, window, window + 1, 1 << 31, -1_000_000] {
                let rst = at(&script, outside, flags);
                assert!(script.inject(&rst, &[]).is_empty(), "{state}, {outside}");
            }
            for inside in [1, window - 1] {
                let rst = at(&script, inside, flags);
                let answers = script.inject(&rst, &[]);
                assert_eq!(answers.len(), 1, "{state}, {inside}");
                let answer = answers[0].header;
                let nxt = script.stack.tcp_connection(handle).unwrap().snd.nxt.0;
                assert_eq!((answer.flags, answer.seq, answer.ack), (Flags::ACK, nxt, script.seq), "{state}");
            }
            let alive = |text: String| text.split("statistics").next().unwrap().to_string();
            assert_eq!(alive(portrait(&script, handle)), alive(before));
            let rst = at(&script, 0, flags);
            assert!(script.inject(&rst, &[]).is_empty());
            assert_eq!(script.stack.tcp_state(handle), Some(State::Closed), "{state}");
        }
    }
}

/// 9293-3.10.7.4-19, pitfall 5: a SYN on a connection, wherever its number, draws one ACK and changes nothing.
#[test]
fn a_syn_on_a_connection_is_challenged() {
    for state in SYNCHRONIZED {
        for flags in [Flags::SYN, Flags::SYN | Flags::ACK] {
            for offset in [-1_000, -1, 0, 1, 5_000, 1 << 21, 1 << 31] {
                let (mut script, handle) = reach_with(state, wrapping());
                let syn = at(&script, offset, flags);
                let answers = script.inject(&syn, &[]);
                let answer: Vec<_> = answers.iter().map(|sent| (sent.flags(), sent.header.ack)).collect();
                // In TIME-WAIT a SYN,ACK inside the window is an old duplicate like any other (1337).
                if state != State::TimeWait || flags == Flags::SYN {
                    assert_eq!(answer, [(Flags::ACK, script.seq)], "{state}, {flags}, {offset}");
                }
                assert_eq!(script.stack.tcp_state(handle), Some(state));
            }
        }
    }
}

/// 9293-3.10.7.4-25, 9293-MAY-12, 9293-3.10.7.4-27, pitfall 31: SND.UNA - MAX.SND.WND =< SEG.ACK =< SND.NXT, or no data.
#[test]
fn blind_data_needs_a_likely_ack() {
    for (offset, good) in [(-5_001_i64, false), (-5_000, true), (0, true), (100, true), (101, false), (1 << 31, false)]
    {
        let mut script = Script::new();
        script.window = 5_000;
        let handle = script.accept();
        script.send(handle, &[1; 100]);
        let ack = script.ack.wrapping_add(offset as u32);
        let header = TcpHeader { ack, ..script.header(Flags::ACK | Flags::PSH) };
        let answers = script.inject(&header, b"injected");
        assert_eq!(script.receive(handle) == b"injected", good, "{offset}");
        assert_eq!(answers.len(), 1, "an ACK either way");
        assert_eq!(answers[0].header.ack, script.seq + if good { 8 } else { 0 });
    }
}

/// 5961-7-1: ten thousand forged segments of each kind draw no more than the limit, which can be set.
#[test]
fn challenge_acks_are_limited() {
    for limit in [0, 1, 10, 100_u8] {
        for (flags, offset) in [(Flags::RST, 1), (Flags::SYN, 0), (Flags::SYN, 77), (Flags::ACK, -1)] {
            let script = Script::with(|config| config.tcp.challenge_acks_per_second = limit);
            let (mut script, handle) = reach_with(State::Established, script);
            let mut answers = 0;
            for _ in 0..10_000 {
                // Three seconds in all.
                script.now += Duration::from_micros(300);
                let forged = at(&script, offset, flags);
                answers += script.inject(&forged, &[]).len();
            }
            assert!(answers <= 4 * usize::from(limit), "{answers} answers to {flags}");
            assert!(answers >= 3 * usize::from(limit), "{answers} answers to {flags}");
            assert!(script.stack.counters().challenge_acks_limited >= 9_000);
            script.peer_sends(b"unharmed");
            assert_eq!(script.receive(handle), b"unharmed");
        }
    }
}

/// 5961-7-1, 9293-3.10.7.4-20: half-open and TIME-WAIT records have their limits too, and so have RSTs to strangers.
#[test]
fn all_answers_are_limited() {
    let (mut script, _) = reach(State::TimeWait);
    let answers: usize = (0..10_000)
        .map(|_| {
            let syn = at(&script, -5, Flags::SYN);
            script.inject(&syn, &[]).len()
        })
        .sum();
    assert_eq!(answers, 10);

    let mut script = Script::with(|config| config.tcp.resets_per_second = 50);
    script.listen();
    script.peer_syn(TcpOptions::default());
    let mut count = |flags, offset, ack| {
        let header = TcpHeader { ack, ..at(&script, offset, flags) };
        (0..10_000).map(|_| script.inject(&header, &[]).len()).sum::<usize>()
    };
    assert_eq!(count(Flags::RST, 1, 0), 10, "a half-open record");
    assert_eq!(count(Flags::ACK, 0, 99), 25, "a bad ACK for a half-open record: half of the rate for one host");
    script.now += Duration::from_secs(1);
    script.peer.set_port(9);
    let answers: usize = (0..10_000)
        .map(|_| {
            let stray = at(&script, 0, Flags::ACK);
            script.inject(&stray, &[]).len()
        })
        .sum();
    assert_eq!(answers, 25, "nobody's segments");
    assert!(script.stack.counters().dropped(DropReason::ReplyLimited) >= 19_950);
    script.peer.set_ip("10.0.0.9".parse().unwrap());
    let stray = at(&script, 0, Flags::ACK);
    assert_eq!(script.inject(&stray, &[]).len(), 1, "another host at the same moment");
}

/// 5961-7-2: an attack on one connection changes nothing that another observes (CVE-2016-5696).
#[test]
fn challenge_limits_are_no_side_channel() {
    let observed = |attack: bool| {
        let mut script = Script::new();
        script.accept();
        let victim = (script.seq, script.ack);
        script.peer.set_port(40_001);
        script.seq = 9_000;
        script.accept();
        let attacker = (script.seq, script.ack);
        if attack {
            script.peer.set_port(40_000);
            (script.seq, script.ack) = victim;
            for _ in 0..1_000 {
                let rst = at(&script, 1, Flags::RST);
                script.inject(&rst, &[]);
            }
            script.peer.set_port(40_001);
            (script.seq, script.ack) = attacker;
        }
        (0..200)
            .map(|_| {
                let rst = at(&script, 1, Flags::RST);
                script.inject(&rst, &[]).len()
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(observed(false), observed(true));
    assert_eq!(observed(true).iter().sum::<usize>(), 10);
}

/// 9293-MUST-57, 9293-MUST-63, 1122-3.2.1.3-3, 1812-5.3.7: no connection, no RST and no count but that of the drop.
#[test]
fn addresses_that_no_peer_has() {
    let mut script = Script::new();
    script.stack.tcp_listen("[::]:80".parse().unwrap(), 10, SocketOptions::default()).unwrap();
    for port in [80, 81] {
        for flags in [Flags::SYN, Flags::ACK, Flags::SYN | Flags::ACK, Flags::FIN, Flags::RST] {
            let mut segment = |source: &str, destination: &str| {
                let header = TcpHeader { destination_port: port, ..script.header(flags) };
                let packet = packet(ip(source), ip(destination), &header, b"x");
                let reason = give(&mut script, &packet);
                assert!(script.packets().is_empty(), "{source} to {destination}");
                assert_eq!(script.stack.table_sizes(), (0, 0, 0));
                reason
            };
            for group in ["255.255.255.255", "10.0.0.255", "224.0.0.1", "224.0.0.251", "239.1.2.3"] {
                let reason = segment("10.0.0.1", group);
                assert!(matches!(reason, Some(DropReason::TcpNotUnicast | DropReason::NotOurs)), "{group}");
            }
            for group in ["ff02::1", "ff02::2", "ff05::1:3"] {
                let reason = segment("fd00:67::1", group);
                assert!(matches!(reason, Some(DropReason::TcpNotUnicast | DropReason::NotOurs)), "{group}");
            }
            for source in ["0.0.0.0", "0.1.2.3", "127.0.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "10.0.0.255"]
            {
                assert_eq!(segment(source, "10.0.0.2"), Some(DropReason::IpSource), "{source}");
            }
            for source in ["::", "::1", "ff02::1", "::ffff:10.0.0.1"] {
                assert_eq!(segment(source, "fd00:67::2"), Some(DropReason::IpSource), "{source}");
            }
            // LAND: from ourselves to ourselves.
            assert_eq!(segment("10.0.0.2", "10.0.0.2"), Some(DropReason::IpOwnSource));
            assert_eq!(segment("fd00:67::2", "fd00:67::2"), Some(DropReason::IpOwnSource));
        }
    }
}

/// 9293-3.10.7.4-17: there is no security compartment, and precedence is never looked at.
#[test]
fn precedence_means_nothing() {
    let mut script = Script::new();
    let handle = script.accept();
    for class in 0..=255_u8 {
        let mut packet = script.packet(&script.header(Flags::ACK), &[class]);
        packet[1] = class;
        fix_checksums(&mut packet);
        assert_eq!(give(&mut script, &packet), None);
        script.seq = script.seq.wrapping_add(1);
    }
    assert_eq!(script.receive(handle), (0..=255).collect::<Vec<u8>>());
}

/// 9293-3.10.7.3-5, pitfall 8: in SYN-SENT the ACK is what validates a RST.
#[test]
fn a_blind_reset_of_an_attempt() {
    let (mut script, handle) = reach(State::SynSent);
    let ack = script.ack;
    for (flags, ack) in
        [(Flags::RST, 0), (Flags::RST, ack), (Flags::RST | Flags::ACK, ack + 1), (Flags::RST | Flags::ACK, ack - 1)]
    {
        for seq in [0, 1, script.seq, u32::MAX] {
            let rst = TcpHeader { seq, ack, ..script.header(flags) };
            assert!(script.inject(&rst, &[]).is_empty());
            assert_eq!(script.stack.tcp_state(handle), Some(State::SynSent), "{flags} {ack}");
        }
    }
    let rst = TcpHeader { seq: 12_345, ..script.header(Flags::RST | Flags::ACK) };
    script.inject(&rst, &[]);
    assert_eq!(script.stack.tcp_error(handle), Some(SocketError::Refused));
}

/// 9293-SHLD-2: a RST may carry text, which says why to a person; it is not delivered.
#[test]
fn a_reset_with_text() {
    for state in [State::Established, State::FinWait1, State::FinWait2, State::CloseWait] {
        let (mut script, handle) = reach(state);
        let early = TcpHeader { seq: script.seq.wrapping_sub(20), ..script.header(Flags::RST) };
        script.inject(&early, b"twenty octets of why");
        assert_eq!(script.stack.tcp_state(handle), Some(state), "not at RCV.NXT");
        script.inject(&script.header(Flags::RST), b"twenty octets of why");
        assert_eq!(script.stack.tcp_error(handle), Some(SocketError::Reset), "{state}");
        assert!(script.receive(handle).is_empty());
    }
}

/// 1858-3, 1858-4, pitfall 40: fragments that split the header of a segment, or overlap, never reach a connection, and
/// nothing is said about them.
#[test]
fn fragments_do_not_hide_a_header() {
    let mut script = Script::new();
    let handle = script.accept();
    let before = portrait(&script, handle);
    let whole = script.packet(&script.header(Flags::ACK), &[7; 64]);
    let reset = script.packet(&script.header(Flags::RST | Flags::ACK), &[7; 64]);
    for (number, pieces) in [
        [(0, 8), (8, 76), (8, 76)],
        [(0, 16), (16, 68), (16, 68)],
        [(0, 24), (16, 68), (24, 60)],
        [(0, 40), (0, 24), (40, 44)],
        [(0, 40), (32, 8), (40, 44)],
    ]
    .into_iter()
    .enumerate()
    {
        // Never the last: the honest ones would be whole before it.
        for (again, order) in [[0, 1, 2], [1, 0, 2], [1, 2, 0], [2, 1, 0]].into_iter().enumerate() {
            let cut = Cut::new((number * 4 + again) as u32);
            for n in order {
                // The one in the middle would change the flags.
                let from = if n == 1 { &reset } else { &whole };
                give(&mut script, &cut.apply(from, &pieces[n..=n])[0]);
            }
            assert!(script.packets().is_empty());
            assert_eq!(portrait(&script, handle), before, "{number} {order:?}");
        }
    }
    assert_eq!(give(&mut script, &whole), None);
    assert_eq!(script.receive(handle), [7; 64]);
}

/// 6429-4: the application and the keeper of resources can end what only probes a zero window.
#[test]
fn zero_window_probing_can_be_ended() {
    let stuck = || {
        let mut script = Script::new();
        script.window = 0;
        let handle = script.accept();
        script.stack.tcp_send(script.now, handle, &[1; 5_000]).unwrap();
        let mut probes = 0;
        // The peer answers each probe.
        for _ in 0..500 {
            probes += script.pass(Duration::from_secs(1)).len();
            let ack = script.header(Flags::ACK);
            script.inject(&ack, &[]);
        }
        assert!(probes > 3);
        assert_eq!(script.stack.tcp_state(handle), Some(State::Established));
        (script, handle)
    };
    let (mut script, handle) = stuck();
    script.stack.tcp_abort(script.now, handle);
    assert!(script.sent_one().flags().contains(Flags::RST));
    assert_eq!((script.stack.tcp_error(handle), script.stack.buffer_memory()), (Some(SocketError::Aborted), 0));

    let (mut script, handle) = stuck();
    script.stack.tcp_close(script.now, handle);
    assert_eq!(script.stack.orphans(), 1);
    assert_eq!(script.stack.abort_orphans(script.now), 1);
    assert!(script.sent().iter().any(|sent| sent.flags().contains(Flags::RST)));
    assert_eq!((script.stack.table_sizes(), script.stack.buffer_memory()), ((0, 0, 0), 0));
}

/// 1122-3.1-1, 1122-3.2.1.3-1: nothing is forwarded, and everything that leaves comes from an address of ours.
#[test]
fn a_host_is_no_router() {
    let mut script = Script::new();
    script.listen();
    let header = script.header(Flags::SYN);
    for destination in ["10.0.0.3", "10.0.1.2", "8.8.8.8"] {
        let foreign = packet(script.peer.ip(), ip(destination), &header, &[]);
        assert_eq!(give(&mut script, &foreign), Some(DropReason::NotOurs));
        assert!(script.packets().is_empty());
    }
    let foreign = packet(ip("fd00:67::1"), ip("fd00:67::3"), &header, &[]);
    assert_eq!(give(&mut script, &foreign), Some(DropReason::NotOurs));
    assert!(script.packets().is_empty());
    script.accept();
    for packet in script.packets() {
        assert_eq!(parse_ip(&packet).unwrap().source, script.local.ip());
    }
}
