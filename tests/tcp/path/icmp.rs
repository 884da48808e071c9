//! ICMP errors about connections: which are believed, and what they do (RFC 5927, RFC 9293 section 3.9.2.2).

use crate::kit::{give, icmp_error, icmp_message, portrait};
use glasstcp::SocketError;
use glasstcp::counters::DropReason;
use glasstcp::sim::Script;
use glasstcp::tcp::recovery::new_reno::Phase;
use glasstcp::tcp::state::State;
use glasstcp::wire::icmp::IcmpError;
use glasstcp::wire::option::TcpOptions;
use std::net::IpAddr;
use std::time::Duration;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// A packet of a connection with another sequence number in it.
fn quoting(packet: &[u8], seq: u32) -> Vec<u8> {
    let mut quoted = packet.to_vec();
    let place = if quoted[0] >> 4 == 6 { 44 } else { 24 };
    quoted[place..place + 4].copy_from_slice(&seq.to_be_bytes());
    quoted
}

const ENDS: [(&str, &str, &str); 2] =
    [("10.0.0.2:80", "10.0.0.1:40000", "10.0.0.9"), ("[fd00:67::2]:80", "[fd00:67::1]:40000", "fd00:67::9")];

/// 5927-4.1, 9293-MUST-54, pitfall 38: only what is in flight can be spoken of, and only its connection hears.
#[test]
fn quotes_of_what_is_not_in_flight() {
    for (local, peer, router) in ENDS {
        let mut script = Script::on(local, peer, |_| {});
        let bystander = script.accept();
        script.send(bystander, &[2; 100]);
        script.peer.set_port(40_001);
        script.seq = 70_000;
        let handle = script.accept();
        let sent = script.send(handle, &[1; 3_000]);
        let connection = script.stack.tcp_connection(handle).unwrap();
        let (una, nxt) = (connection.snd.una.0, connection.snd.nxt.0);
        for (seq, counts) in [
            (una.wrapping_sub(1), false),
            (una, true),
            (nxt.wrapping_sub(1), true),
            (nxt, false),
            (una.wrapping_add(1 << 31), false),
        ] {
            let error = icmp_error(ip(router), &quoting(&sent[0].packet, seq), IcmpError::TimeExceeded { code: 0 });
            let dropped = give(&mut script, &error);
            assert_eq!(dropped, (!counts).then_some(DropReason::IcmpUnmatched), "{} from UNA", seq.wrapping_sub(una));
            assert_eq!(script.stack.tcp_take_soft_error(handle).is_some(), counts);
            assert_eq!(script.stack.tcp_take_soft_error(bystander), None);
        }
    }
}

/// 9293-MUST-56, 9293-SHLD-26, 5927-5.2, 4443-2.4-a, 792-te, pitfall 38: hard errors end an attempt and nothing else; soft errors
/// end nothing.
#[test]
fn hard_and_soft_errors() {
    for (local, peer, router) in ENDS {
        let v6 = router.contains(':');
        let mut errors: Vec<(IcmpError, bool)> = (0..16)
            .filter(|&code| v6 || code != 4)
            .map(|code| {
                (IcmpError::DestinationUnreachable { code }, if v6 { code == 4 } else { code == 2 || code == 3 })
            })
            .collect();
        errors.extend([0, 1].map(|code| (IcmpError::TimeExceeded { code }, false)));
        errors.extend(
            [0, 1, 2].map(|code| (IcmpError::ParameterProblem { code: if v6 { code } else { 0 }, pointer: 0 }, false)),
        );
        if v6 {
            errors.push((IcmpError::Unknown { kind: 100, code: 3 }, false));
        }
        for (error, hard) in errors {
            let mut script = Script::on(local, peer, |_| {});
            let (handle, syn) = script.connect();
            let off = icmp_error(ip(router), &quoting(&syn.packet, syn.header.seq.wrapping_add(1)), error);
            assert_eq!(give(&mut script, &off), Some(DropReason::IcmpUnmatched), "{error:?}");
            give(&mut script, &icmp_error(ip(router), &syn.packet, error));
            let expected = if hard { State::Closed } else { State::SynSent };
            assert_eq!(script.stack.tcp_state(handle), Some(expected), "{error:?}");
            assert_eq!(script.stack.tcp_error(handle), hard.then_some(SocketError::Refused), "{error:?}");

            let mut script = Script::on(local, peer, |_| {});
            let handle = script.connect_established();
            let sent = script.send(handle, b"text");
            give(&mut script, &icmp_error(ip(router), &sent[0].packet, error));
            assert_eq!(script.stack.tcp_state(handle), Some(State::Established), "{error:?}");
            assert_eq!(script.stack.tcp_take_soft_error(handle), Some(SocketError::Unreachable), "{error:?}");
            let ack = script.ack.wrapping_add(4);
            script.peer_acks(ack);
            assert_eq!(script.send(handle, b"more")[0].text, b"more");

            let mut script = Script::on(local, peer, |_| {});
            script.listen();
            let syn_ack = script.peer_syn(TcpOptions::default());
            give(&mut script, &icmp_error(ip(router), &quoting(&syn_ack[0].packet, 77), error));
            assert_eq!(script.stack.table_sizes().0, 1);
            give(&mut script, &icmp_error(ip(router), &syn_ack[0].packet, error));
            assert_eq!(script.stack.table_sizes().0, u32::from(!hard), "{error:?}");
        }
    }
}

/// 9293-MUST-55, 6633-3: source quench does not exist, for TCP or UDP; nor do redirects.
#[test]
fn source_quench_is_discarded() {
    let mut script = Script::new();
    let handle = script.accept();
    let sent = script.send(handle, &[1; 3_000]);
    let before = portrait(&script, handle);
    for kind in [4, 5] {
        let rest = [&[0; 4], &sent[0].packet[..28]].concat();
        let quench = icmp_message(ip("10.0.0.9"), script.local.ip(), kind, 0, &rest);
        assert_eq!(give(&mut script, &quench), Some(DropReason::IcmpIgnored));
    }
    script.silence();
    assert_eq!(portrait(&script, handle), before);
    assert_eq!(script.stack.tcp_take_soft_error(handle), None);
    let socket = script.stack.udp_bind("10.0.0.2:53".parse().unwrap()).unwrap();
    script.stack.udp_connect(socket, "10.0.0.1:53".parse().unwrap()).unwrap();
    script.stack.udp_send(script.now, socket, None, b"x").unwrap();
    let datagram = script.packets().remove(0);
    let quench = icmp_message(ip("10.0.0.9"), script.local.ip(), 4, 0, &[&[0; 4], &datagram[..]].concat());
    assert_eq!(give(&mut script, &quench), Some(DropReason::IcmpIgnored));
    assert_eq!(script.stack.udp_receive(socket), Err(SocketError::WouldBlock));
}

/// 1191-3-1, 8201-4-2, 5927-4.1, pitfall 38: a smaller path is believed at once, within reason, and every segment says
/// "don't fragment".
#[test]
fn packet_too_big() {
    for (local, peer, router) in ENDS {
        let (v6, headers) = if router.contains(':') { (true, 60) } else { (false, 40) };
        // What the router says, and the largest packet that leaves afterwards.
        let cases: [(u32, usize); 7] = [
            (1_400, 1_400),
            (1_499, 1_499),
            (1_500, 1_500),
            (9_000, 1_500),
            (1_280, 1_280),
            (1_279, 1_279),
            (0, 1_492),
        ];
        for (mtu, mut expected) in cases {
            if v6 && mtu < 1_280 {
                expected = 1_500;
            }
            let mut script = Script::on(local, peer, |_| {});
            let handle = script.accept();
            let data: Vec<u8> = (0..8_000_u32).map(|n| (n % 251) as u8).collect();
            let sent = script.send(handle, &data);
            assert!(sent.iter().all(|sent| v6 || sent.packet[6] & 0x40 != 0), "don't fragment");
            let old = icmp_error(
                ip(router),
                &quoting(&sent[0].packet, script.ack.wrapping_sub(1)),
                IcmpError::PacketTooBig { mtu },
            );
            let cannot_be = v6 && mtu < 1_280;
            let reason = if cannot_be { DropReason::IcmpTooBigRefused } else { DropReason::IcmpUnmatched };
            assert_eq!(give(&mut script, &old), Some(reason));
            script.silence();
            give(&mut script, &icmp_error(ip(router), &sent[0].packet, IcmpError::PacketTooBig { mtu }));
            let look = script.stack.tcp_snapshot(handle).unwrap();
            assert_eq!((look.ssthresh, look.phase), (u32::MAX, Phase::Open), "no sign of congestion");
            let (first, mut received) = (script.ack, Vec::new());
            let mut largest = 0;
            for _ in 0..50 {
                for sent in script.pass(Duration::from_millis(50)) {
                    largest = largest.max(sent.packet.len());
                    let place = sent.header.seq.wrapping_sub(first) as usize;
                    received.resize(received.len().max(place + sent.text.len()), 0);
                    received[place..place + sent.text.len()].copy_from_slice(&sent.text);
                }
                if expected < 1_500 {
                    let ack = first.wrapping_add(received.len() as u32);
                    script.peer_acks(ack);
                }
            }
            if expected < 1_500 {
                assert!(received == data, "{} octets", received.len());
                assert_eq!(largest, expected, "{mtu}");
            } else {
                assert!(largest == 0 || largest == 1_440 + headers || largest == 1_460 + headers, "{largest}");
            }
            assert!(largest <= 1_500);
        }
    }
}
