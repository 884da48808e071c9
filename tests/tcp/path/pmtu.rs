//! Path MTU discovery by the packet: RFC 1191, RFC 8201 and RFC 5927. Probing is in `tcp_mtu_probe.rs`.

use std::net::{IpAddr, SocketAddr};

use crate::flow;
use crate::flow::{accepted, ack, look, ms, octets, secs, text};
use crate::kit;
use crate::kit::{give, ip_packet};
use glasstcp::counters::DropReason::{IcmpTooBigRefused, IcmpUnmatched};
use glasstcp::device::RxMeta;
use glasstcp::sim::{Script, Sent};
use glasstcp::stack::TcpHandle;
use glasstcp::tcp::congestion::Algorithm;
use glasstcp::tcp::recovery::new_reno::Phase;
use glasstcp::wire::icmp::{self, IcmpError};
use glasstcp::wire::option::TcpOptions;
use glasstcp::wire::tcp::Flags;

const V4: (&str, &str, &str) = ("10.0.0.2:80", "10.0.0.1:40000", "192.0.2.9");
const V6: (&str, &str, &str) = ("[fd00:67::2]:80", "[fd00:67::1]:40000", "2001:db8::9");
const MSS: usize = 1_460;

fn router(script: &Script) -> IpAddr {
    if script.local.is_ipv6() { V6.2 } else { V4.2 }.parse().unwrap()
}

/// An error about this packet.
fn too_big(script: &Script, about: &[u8], mtu: u32) -> Vec<u8> {
    let (router, to) = (router(script), script.local.ip());
    let mut message = vec![0; icmp::MAX_ERROR_LEN];
    let len = icmp::emit_error(router, to, IcmpError::PacketTooBig { mtu }, about, &mut message);
    ip_packet(router, to, icmp::protocol_for(to), &message[..len])
}

fn path_mtu(script: &Script) -> usize {
    script.stack.path_mtu(script.peer.ip())
}

/// The largest packet that a connection sends.
fn sends(script: &Script, handle: TcpHandle) -> usize {
    usize::from(look(script, handle).send_mss) + if script.local.is_ipv6() { 60 } else { 40 }
}

fn largest(sent: &[Sent]) -> usize {
    sent.iter().map(|segment| segment.packet.len()).max().unwrap_or(0)
}

/// The packet with another sequence number.
fn quoting(packet: &[u8], seq: u32) -> Vec<u8> {
    let mut quoted = packet.to_vec();
    let at = if packet[0] >> 4 == 6 { 44 } else { 24 };
    quoted[at..at + 4].copy_from_slice(&seq.to_be_bytes());
    quoted
}

/// 1191-3-2, 1191-3-3, 8201-4-2, 8201-4-3, 5927-7.2, pitfall 38: what an error claims, what it is worth, and how large packets
/// are afterwards.
#[test]
fn what_a_router_claims() {
    let refused = Some(IcmpTooBigRefused);
    for ((local, peer, _), cases) in [
        (
            V4,
            &[
                (0, None, 1_492),
                (1, refused, 1_500),
                (20, refused, 1_500),
                (67, refused, 1_500),
                (68, None, 552),
                (551, None, 552),
                (552, None, 552),
                (1_279, None, 1_279),
                (1_499, None, 1_499),
                (1_500, refused, 1_500),
                (1_501, refused, 1_500),
                (9_000, refused, 1_500),
                (65_535, refused, 1_500),
            ][..],
        ),
        (
            V6,
            &[
                (0, refused, 1_500),
                (1, refused, 1_500),
                (68, refused, 1_500),
                (1_279, refused, 1_500),
                (1_280, None, 1_280),
                (1_400, None, 1_400),
                (1_500, refused, 1_500),
                (65_535, refused, 1_500),
                (u32::MAX, refused, 1_500),
            ],
        ),
    ] {
        for &(mtu, reason, expected) in cases {
            let mut script = Script::on(local, peer, |_| {});
            let handle = script.accept();
            let sent = script.send(handle, &text(8_000));
            let before = sends(&script, handle);
            assert!(sent.iter().all(|sent| script.local.is_ipv6() || sent.packet[6] & 0x40 != 0), "1191-3-1: DF");
            let error = too_big(&script, &sent[0].packet, mtu);
            assert_eq!(give(&mut script, &error), reason, "{local} {mtu}");
            let expected_size = if reason.is_some() { before } else { expected };
            assert_eq!((path_mtu(&script), sends(&script, handle)), (expected, expected_size), "{local} {mtu}");
            assert_eq!(look(&script, handle).path_mtu as usize, expected_size);
            let again = script.sent();
            assert!(reason.is_none() || again.is_empty(), "a forged error changes nothing");
            assert!(reason.is_some() || largest(&again) == expected, "{mtu}: at once, in pieces of the right size");
            assert_eq!(script.stack.counters().path_mtu_lowered, u64::from(reason.is_none()));
            // 8201-4-2: no fragment header, whatever the router says.
            assert!(again.iter().all(|sent| sent.packet[0] >> 4 == 4 || sent.packet[6] == 6));
        }
    }
}

/// The floor is a setting.
#[test]
fn the_floor_is_configurable() {
    for (floor, claimed, expected) in [(68, 68, 68 + 60), (296, 68, 296), (1_200, 600, 1_200)] {
        let (mut script, handle) = accepted(|config| config.path_mtu.floor_v4 = floor);
        let sent = script.send(handle, &text(8_000));
        let error = too_big(&script, &sent[0].packet, claimed);
        assert_eq!(give(&mut script, &error), None);
        // Not below the least MSS that a peer may have either.
        assert_eq!(sends(&script, handle), expected);
    }
}

/// 5927-4.1, 8201-4-1: an error that is not about what is in flight changes nothing.
#[test]
fn an_error_about_something_else() {
    for (local, peer, _) in [V4, V6] {
        let mut script = Script::on(local, peer, |_| {});
        let handle = script.accept();
        script.send(handle, &text(MSS));
        let una = script.ack.wrapping_add(MSS as u32);
        script.peer_acks(una);
        let sent = script.send(handle, &text(4_000));
        let packet = &sent[0].packet;
        let (nxt, ports) = (una.wrapping_add(4_000), if script.local.is_ipv6() { 40 } else { 20 });
        let mut other_port = packet.clone();
        other_port[ports + 3] ^= 1;
        let mut other_host = packet.clone();
        other_host[ports - 1] ^= 8;
        let mut not_ours = packet.clone();
        not_ours[ports - if ports == 40 { 17 } else { 5 }] ^= 8;
        let before = kit::portrait(&script, handle);
        for (what, about, reason) in [
            ("acknowledged", quoting(packet, una.wrapping_sub(1)), IcmpUnmatched),
            ("long ago", quoting(packet, una.wrapping_sub(1 << 20)), IcmpUnmatched),
            ("never sent", quoting(packet, nxt), IcmpUnmatched),
            ("far beyond", quoting(packet, nxt.wrapping_add(1 << 30)), IcmpUnmatched),
            ("another port", other_port, IcmpUnmatched),
            ("another host", other_host, IcmpUnmatched),
            ("not from us", not_ours, IcmpUnmatched),
        ] {
            let error = too_big(&script, &about, 1_300);
            assert_eq!(give(&mut script, &error), Some(reason), "{what}");
            script.silence();
            assert_eq!((kit::portrait(&script, handle), path_mtu(&script)), (before.clone(), 1_500), "{what}");
        }
        // The last octet in flight is one.
        let error = too_big(&script, &quoting(packet, nxt.wrapping_sub(1)), 1_300);
        assert_ne!(give(&mut script, &error), Some(IcmpUnmatched));
    }
}

/// 5927-7.2: a segment that would have passed is not the one that a router has dropped.
#[test]
fn an_error_about_a_small_segment() {
    let (mut script, handle) = accepted(|config| config.tcp.socket.nodelay = true);
    let sent = script.send(handle, &text(500));
    for (mtu, reason) in [(552, Some(IcmpTooBigRefused)), (540, Some(IcmpTooBigRefused)), (68, Some(IcmpTooBigRefused))]
    {
        let error = too_big(&script, &sent[0].packet, mtu);
        assert_eq!((give(&mut script, &error), sends(&script, handle)), (reason, 1_500), "{mtu}");
    }
    let sent = script.send(handle, &text(513));
    let error = too_big(&script, &sent[0].packet, 68);
    assert_eq!((give(&mut script, &error), sends(&script, handle)), (None, 552));
}

/// 5927-7.2: options count in the size of what a router has dropped.
#[test]
fn an_error_about_a_segment_with_options() {
    for (mtu, reason, size) in [(752, Some(IcmpTooBigRefused), 1_500), (751, None, 751)] {
        let (mut script, handle) = flow::accepted_with_timestamps(500, |_| {});
        let sent = script.send(handle, &text(700));
        assert_eq!(sent[0].packet.len(), 752);
        let error = too_big(&script, &sent[0].packet, mtu);
        assert_eq!((give(&mut script, &error), sends(&script, handle)), (reason, size), "{mtu}");
    }
}

/// 8201-4-3, 8201-5.4: never raised by an error, and never beyond the peer's MSS.
#[test]
fn an_error_never_raises() {
    let mut script = Script::new();
    let handle = script.accept_with(TcpOptions { mss: Some(1_000), ..TcpOptions::default() });
    let sent = script.send(handle, &text(5_000));
    assert_eq!(largest(&sent), 1_040);
    for (mtu, size, known) in
        [(1_400, 1_040, 1_500), (1_040, 1_040, 1_500), (900, 900, 900), (1_000, 900, 900), (1_400, 900, 900)]
    {
        let error = too_big(&script, &sent[3].packet, mtu);
        give(&mut script, &error);
        assert_eq!((sends(&script, handle), path_mtu(&script)), (size, known), "{mtu}");
    }
}

/// 1191-6.4, 5681-3.1-4, 8201-5.4: ten errors about ten segments are one round of retransmissions; as many segments are in
/// flight as before; and nothing of it is congestion.
#[test]
fn a_burst_of_errors_is_one_round() {
    // BBR would send the ten one by one.
    for congestion in [Algorithm::Cubic, Algorithm::Reno] {
        for mtu in [1_400, 0] {
            let (mut script, handle) = accepted(|config| {
                config.tcp.socket.congestion = congestion;
                // So that no probe of the tail comes between.
                config.tcp.socket.nodelay = true;
            });
            let data = text(10 * MSS);
            let start = script.ack;
            let sent = script.send(handle, &data);
            assert_eq!((sent.len(), octets(&sent)), (10, data.len()));
            let payload = if mtu == 0 { 1_452 } else { 1_360 };
            let mut again: Vec<Sent> = Vec::new();
            for segment in &sent {
                let error = too_big(&script, &segment.packet, mtu);
                give(&mut script, &error);
                again.extend(script.sent());
                assert_eq!(sends(&script, handle), payload + 40, "{congestion} {mtu}: one step");
            }
            let seen = look(&script, handle);
            assert_eq!((seen.cwnd as usize, seen.ssthresh, seen.phase), (10 * payload, u32::MAX, Phase::Open));
            again.extend(script.pass(ms(100)));
            // Ten of the new size leave at once; what they leave over follows the first ACK.
            assert_eq!((again.len(), octets(&again)), (10, 10 * payload), "{congestion} {mtu}");
            let mut at = start;
            for segment in &again {
                assert_eq!((segment.header.seq, segment.text.len()), (at, payload));
                at = at.wrapping_add(payload as u32);
            }
            let rest = ack(&mut script, at, u16::MAX);
            assert_eq!(octets(&rest), 10 * (MSS - payload));
            ack(&mut script, start.wrapping_add(data.len() as u32), u16::MAX);
            assert_eq!((look(&script, handle).flight, script.stack.counters().timeouts), (0, 0));
        }
    }
}

/// 1191-6.4: of a super-segment what is too large leaves again, with a smaller size to cut by; and what was short stays.
#[test]
fn super_segments_follow() {
    let (mut script, handle) = accepted(|config| config.tcp.socket.nodelay = true);
    script.stack.set_offload(65_536, true);
    let sizes = |script: &mut Script| {
        let mut sizes = Vec::new();
        script.stack.transmit(script.now, 100, |transmit| {
            sizes.push((transmit.len() - transmit.header.len(), transmit.meta.gso_size));
            Ok(())
        });
        sizes
    };
    script.stack.tcp_send(script.now, handle, &text(5 * MSS + 100)).unwrap();
    let first = script.ack;
    let mut packet = Vec::new();
    script.stack.transmit(script.now, 100, |transmit| {
        assert_eq!(transmit.meta.gso_size as usize, MSS);
        packet = transmit.to_vec();
        Ok(())
    });
    assert_eq!(packet.len(), 40 + 5 * MSS + 100);
    // The third segment of it; what a router quotes has been cut.
    let third = quoting(&packet[..40 + MSS], first.wrapping_add(2 * MSS as u32));
    let error = too_big(&script, &third, 1_400);
    assert_eq!(give(&mut script, &error), None);
    let again = sizes(&mut script);
    assert_eq!(again.iter().map(|size| size.0).sum::<usize>(), 5 * MSS, "without the short one: {again:?}");
    assert!(again.iter().all(|&(len, size)| if len > 1_360 { size == 1_360 } else { size == 0 }), "{again:?}");
    assert_eq!(give(&mut script, &error), Some(IcmpTooBigRefused), "that size has left again, and passes");
    assert!(sizes(&mut script).is_empty());
    script.peer_acks(first.wrapping_add(5 * MSS as u32 + 100));
    script.stack.tcp_send(script.now, handle, &text(5 * 1_360)).unwrap();
    assert_eq!(sizes(&mut script), [(5 * 1_360, 1_360)]);
}

/// 5927-7.2: a flow whose full segments arrive does not believe that they are too large; but when they have ceased to
/// arrive, it does.
#[test]
fn a_moving_flow_waits_for_its_timer() {
    for genuine in [false, true] {
        let (mut script, handle) = accepted(|_| {});
        let start = script.ack;
        script.send(handle, &text(40 * MSS));
        let mut at = start.wrapping_add(2 * MSS as u32);
        script.now += ms(20);
        let sent = ack(&mut script, at, u16::MAX);
        let error = too_big(&script, &sent[0].packet, 600);
        assert_eq!(give(&mut script, &error), None);
        script.silence();
        assert_eq!((sends(&script, handle), path_mtu(&script)), (1_500, 1_500), "not yet");
        if genuine {
            // Of several that wait the most harmless counts, which may be the only true one.
            let true_one = too_big(&script, &sent[0].packet, 1_400);
            give(&mut script, &true_one);
            give(&mut script, &error);
            let again = script.pass(ms(350));
            assert_eq!((sends(&script, handle), path_mtu(&script)), (1_400, 1_400));
            assert!(
                octets(&again[..1]) == 1_360 && look(&script, handle).statistics.timeouts > 0,
                "{:?}",
                again[0].header
            );
            // From now on nothing larger has arrived.
            let next = too_big(&script, &again[0].packet, 1_300);
            assert_eq!((give(&mut script, &next), sends(&script, handle)), (None, 1_300));
        } else {
            for _ in 0..10 {
                script.now += ms(20);
                at = at.wrapping_add(2 * MSS as u32);
                assert!(ack(&mut script, at, u16::MAX).iter().all(|segment| segment.text.len() == MSS));
            }
            // What it was about has arrived, so a timeout later says nothing for it.
            for _ in 0..100 {
                script.pass(ms(20));
                if look(&script, handle).statistics.timeouts > 0 {
                    break;
                }
            }
            assert_eq!(look(&script, handle).statistics.timeouts, 1);
            assert_eq!((sends(&script, handle), path_mtu(&script)), (1_500, 1_500), "no lasting effect");
        }
    }
}

/// Another connection of the peer to the same listener; the script speaks for it from then on.
fn another(script: &mut Script) -> TcpHandle {
    script.peer.set_port(script.peer.port() + 1);
    (script.seq, script.timestamp) = (50_000, None);
    script.accept()
}

/// 8201-5.2: another connection to the same host learns of it, whatever it has sent itself; one to another host does not.
#[test]
fn all_connections_of_the_path_are_told() {
    for (local, peer, _) in [V4, V6] {
        let mut script = Script::on(local, peer, |_| {});
        let first = script.accept();
        let in_flight = script.send(first, &text(3_000));
        let second = another(&mut script);
        script.peer.set_ip(if script.peer.is_ipv6() { "fd00:67::77" } else { "10.0.0.77" }.parse().unwrap());
        let elsewhere = another(&mut script);
        let error = too_big(&script, &in_flight[0].packet, 1_400);
        assert_eq!(give(&mut script, &error), None);
        script.sent();
        let now = script.now;
        for (handle, size) in [(second, 1_400), (elsewhere, 1_500)] {
            script.stack.tcp_send(now, handle, &text(8_000)).unwrap();
            let sent = script.sent();
            assert!(largest(&sent) <= size && largest(&sent) > size - 50, "{} of {size}", largest(&sent));
        }
        // A later one begins with it, and announces what its own link takes.
        script.peer = peer.parse().unwrap();
        script.peer.set_port(41_000);
        (script.seq, script.timestamp) = (90_000, None);
        let syn_ack = script.peer_syn(TcpOptions { mss: Some(1_460), ..TcpOptions::default() });
        let announced = if script.local.is_ipv6() { 1_440 } else { 1_460 };
        assert_eq!(syn_ack[0].header.options.mss, Some(announced));
        let header = script.header(Flags::ACK);
        script.inject(&header, &[]);
        let listener = script.stack.listener_at(script.local).unwrap();
        let later = loop {
            let (handle, remote) = script.stack.tcp_accept(listener).unwrap();
            if remote.port() == 41_000 {
                break handle;
            }
        };
        assert_eq!(sends(&script, later), 1_400);
        assert_eq!(largest(&script.send(later, &text(8_000))), 1_400);
    }
}

/// 8201-5.2, 1191-6.4: what the other connection has in flight is sent again when an error tells of it, at once.
#[test]
fn what_others_have_in_flight_follows() {
    let mut script = Script::new();
    let first = script.accept();
    let told = script.send(first, &text(3_000));
    let second = another(&mut script);
    let in_flight = script.send(second, &text(4 * MSS));
    for (about, again) in [(&told[0], 0), (&in_flight[1], 4 * MSS), (&in_flight[2], 0), (&in_flight[0], 0)] {
        let error = too_big(&script, &about.packet, 1_400);
        give(&mut script, &error);
        let sent = script.sent();
        let of_second: Vec<Sent> =
            sent.into_iter().filter(|sent| sent.header.destination_port == script.peer.port()).collect();
        assert_eq!(octets(&of_second), again);
        assert!(largest(&of_second) <= 1_400);
    }
    assert_eq!(sends(&script, second), 1_400);
}

/// 5927-7.2: smaller segments that have arrived count as well, for what is smaller still.
#[test]
fn what_has_arrived_was_not_too_large() {
    let (mut script, handle) = accepted(|config| config.tcp.socket.nodelay = true);
    script.send(handle, &text(1_000));
    script.peer_acks(script.ack.wrapping_add(1_000));
    let sent = script.send(handle, &text(MSS));
    for (mtu, size) in [(1_039, 1_500), (552, 1_500), (1_040, 1_040)] {
        let error = too_big(&script, &sent[0].packet, mtu);
        assert_eq!((give(&mut script, &error), sends(&script, handle)), (None, size), "{mtu}");
    }
}

/// An error about a SYN: no path is too narrow for it.
#[test]
fn an_error_about_a_syn() {
    let mut script = Script::new();
    let (handle, syn) = script.connect();
    for mtu in [0, 68, 552, 1_400] {
        let error = too_big(&script, &syn.packet, mtu);
        assert_eq!((give(&mut script, &error), sends(&script, handle)), (Some(IcmpTooBigRefused), 1_500), "{mtu}");
    }
}

/// An active open starts with what is known, too.
#[test]
fn a_connection_that_we_open_begins_with_what_is_known() {
    let mut script = Script::new();
    let first = script.accept();
    let sent = script.send(first, &text(3_000));
    let error = too_big(&script, &sent[0].packet, 1_300);
    give(&mut script, &error);
    script.sent();
    script.local.set_port(2_000);
    script.peer.set_port(3_000);
    let (handle, syn) = script.connect();
    assert_eq!(syn.header.options.mss, Some(1_460), "our own link takes all");
    let options = TcpOptions { mss: Some(1_460), ..TcpOptions::default() };
    let header = glasstcp::wire::tcp::TcpHeader { options, ..script.header(Flags::SYN | Flags::ACK) };
    script.seq = script.seq.wrapping_add(1);
    script.inject(&header, &[]);
    assert_eq!(sends(&script, handle), 1_300);
}

/// 1191-3-4: what was learned is forgotten after ten minutes, and an old connection tries again then.
#[test]
fn what_is_known_ages() {
    let (mut script, handle) = accepted(|config| config.tcp.send_capacity = Some(1 << 20));
    let sent = script.send(handle, &text(3_000));
    let error = too_big(&script, &sent[0].packet, 1_400);
    give(&mut script, &error);
    script.sent();
    script.peer_acks(script.ack.wrapping_add(3_000));
    // Ten minutes with something to do every now and then.
    let largest_in = |script: &mut Script, rounds: u32| {
        let mut most = 0;
        for _ in 0..rounds {
            let mut sent = script.send(handle, &text(20 * 1_360));
            while !sent.is_empty() {
                most = most.max(largest(&sent));
                script.now += ms(1);
                let end = flow::end(&sent);
                sent = ack(script, end, u16::MAX);
            }
            script.pass(secs(10));
        }
        most
    };
    assert_eq!(largest_in(&mut script, 29), 1_400, "1191-3-4: not within five minutes");
    assert_eq!(largest_in(&mut script, 29), 1_400, "nor within ten");
    assert_eq!((largest_in(&mut script, 4), path_mtu(&script)), (1_500, 1_500), "8201-4-4");
    assert_eq!(sends(&script, handle), 1_500);
}

/// 8899-4.6.1, 8201-5.2: an error about a datagram counts for all that goes there, if that datagram was sent.
#[test]
fn errors_about_datagrams() {
    let (mut script, handle) = accepted(|_| {});
    let socket = script.stack.udp_bind("10.0.0.2:5000".parse().unwrap()).unwrap();
    let to: SocketAddr = "10.0.0.1:53".parse().unwrap();
    script.stack.udp_send(script.now, socket, Some(to), &text(1_400)).unwrap();
    let datagram = script.packets().remove(0);
    let mut other_port = datagram.clone();
    other_port[23] ^= 1;
    let mut other_host = datagram.clone();
    other_host[19] ^= 64;
    let mut from_elsewhere = datagram.clone();
    from_elsewhere[21] ^= 1;
    let refused =
        [(&other_port, 1_300), (&other_host, 1_300), (&from_elsewhere, 1_300), (&datagram, 1_428), (&datagram, 67)];
    for (about, mtu) in refused {
        let error = too_big(&script, about, mtu);
        assert!(give(&mut script, &error).is_some(), "{mtu}");
        assert_eq!(path_mtu(&script), 1_500);
    }
    let error = too_big(&script, &datagram, 1_300);
    assert_eq!(give(&mut script, &error), None);
    // It may have been an answer to somebody who has forged both: good for datagrams alone.
    assert_eq!((path_mtu(&script), largest(&script.send(handle, &text(8_000)))), (1_300, 1_500));
    script.peer_acks(script.ack.wrapping_add(8_000));
    // What a connected socket sends is no answer. It is whole, although the path is believed to take less.
    script.stack.udp_connect(socket, to).unwrap();
    script
        .stack
        .udp_set_options(socket, |options| options.fragmentation = glasstcp::udp::Fragmentation::Probe)
        .unwrap();
    script.stack.udp_send(script.now, socket, None, &text(1_400)).unwrap();
    let datagram = script.packets().pop().unwrap();
    assert_eq!(datagram.len(), 1_428);
    let error = too_big(&script, &datagram, 1_300);
    assert_eq!(give(&mut script, &error), None);
    assert_eq!(largest(&script.send(handle, &text(8_000))), 1_300);
}

/// Errors about datagrams to more destinations than are kept.
#[test]
fn a_flood_for_many_destinations_is_bounded() {
    let mut script = Script::new();
    let socket = script.stack.udp_bind("10.0.0.2:5000".parse().unwrap()).unwrap();
    let destination = |number: u32| SocketAddr::new(IpAddr::from((0x0B00_0000 + number).to_be_bytes()), 53);
    for number in 1..6_000 {
        script.now += ms(1);
        script.stack.udp_send(script.now, socket, Some(destination(number)), &text(1_400)).unwrap();
        let packet = script.packets().remove(0);
        let error = too_big(&script, &packet, 1_300);
        script.stack.handle_packet(script.now, &error, &RxMeta::plain(error.len()));
    }
    let known = (1..6_000).filter(|&number| script.stack.path_mtu(destination(number).ip()) == 1_300);
    let known: Vec<u32> = known.collect();
    assert_eq!((known.len(), known[0]), (glasstcp::ip::path_mtu::MAX_ENTRIES, 6_000 - 4_096));
}

/// 8899-4.4, 8899-4.6.1: a socket that refuses fragments follows, and one that probes does not.
#[test]
fn what_is_known_limits_datagrams() {
    use glasstcp::error::SocketError::MessageTooLong;
    use glasstcp::udp::Fragmentation;
    let mut script = Script::new();
    let to: SocketAddr = "10.0.0.1:53".parse().unwrap();
    let open = |script: &mut Script, port: u16, fragmentation| {
        let socket = script.stack.udp_bind(SocketAddr::new(script.local.ip(), port)).unwrap();
        script.stack.udp_set_options(socket, |options| options.fragmentation = fragmentation).unwrap();
        socket
    };
    let refuses = open(&mut script, 5_000, Fragmentation::Refused);
    let probes = open(&mut script, 5_001, Fragmentation::Probe);
    let now = script.now;
    assert_eq!(script.stack.udp_send(now, probes, Some(to), &text(1_472)), Ok(1_472));
    let datagram = script.packets().remove(0);
    let error = too_big(&script, &datagram, 1_400);
    give(&mut script, &error);
    let most = |script: &Script, socket| script.stack.udp_max_datagram_size(socket, to.ip());
    assert_eq!((most(&script, refuses), most(&script, probes)), (Some(1_372), Some(1_472)));
    assert_eq!(script.stack.udp_send(now, refuses, Some(to), &text(1_373)), Err(MessageTooLong));
    assert_eq!(script.stack.udp_send(now, refuses, Some(to), &text(1_372)), Ok(1_372));
    assert_eq!(script.stack.udp_send(now, probes, Some(to), &text(1_472)), Ok(1_472));
}

/// 8201-4-1: an error about an echo reply, which over IPv6 no router cuts.
#[test]
fn errors_about_echo_replies() {
    for (local, peer, _) in [V4, V6] {
        let mut script = Script::on(local, peer, |_| {});
        let handle = script.accept();
        let (kind, source, destination) =
            (if script.local.is_ipv6() { 128 } else { 8 }, script.peer.ip(), script.local.ip());
        let request = kit::icmp_message(source, destination, kind, 0, &[&[0x12, 0x34, 0, 1][..], &[7; 1_400]].concat());
        give(&mut script, &request);
        let reply = script.packets().remove(0);
        let at = reply.len() - 1_404;
        let mut other = reply.clone();
        other[at] ^= 1;
        for (about, mtu, known) in [(&other, 1_300, 1_500), (&reply, 1_500, 1_500), (&reply, 1_300, 1_300)] {
            let error = too_big(&script, about, mtu);
            assert_eq!((give(&mut script, &error).is_none(), path_mtu(&script)), (known == 1_300, known));
            // Whoever forges a request of the peer knows the reply: no connection believes it.
            assert!(largest(&script.send(handle, &text(3_000))) > 1_400);
            script.peer_acks(script.ack.wrapping_add(3_000));
        }
    }
}
