//! UDP through the whole stack: raw packets, sockets, virtual time.

use std::net::{IpAddr, SocketAddr};

use crate::kit::give;
use glasstcp::counters::DropReason;
use glasstcp::device::wire_view::wire_view;
use glasstcp::device::{RxChecksum, RxMeta, TxChecksum, TxMeta};
use glasstcp::sim::Script;
use glasstcp::stack::{BindOptions, Progress, Readiness, SocketHandle, UdpHandle, WouldBlock};
use glasstcp::udp::{Fragmentation, MAX_SEGMENTS, Message, RECEIVE_CAPACITY};
use glasstcp::wire::ecn::EcnCodepoint;
use glasstcp::wire::udp::{self, UdpHeader};
use glasstcp::wire::{IpHeader, emit_ip, parse_ip, protocol};
use glasstcp::{Config, SocketError};

const FAMILIES: [(&str, &str); 2] = [("10.0.0.2", "10.0.0.1"), ("fd00:67::2", "fd00:67::1")];

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn end(address: &str, port: u16) -> SocketAddr {
    SocketAddr::new(ip(address), port)
}

/// A datagram with this TTL and traffic class.
fn datagram_of(from: SocketAddr, to: SocketAddr, (hop_limit, traffic_class): (u8, u8), data: &[u8]) -> Vec<u8> {
    let ip_len = if from.is_ipv6() { 40 } else { 20 };
    let mut packet = vec![0; ip_len + 8];
    let header = IpHeader {
        source: from.ip(),
        destination: to.ip(),
        protocol: protocol::UDP,
        hop_limit,
        traffic_class,
        identification: 1,
        dont_fragment: false,
    };
    emit_ip(&header, 8 + data.len(), &mut packet);
    let ports = UdpHeader { source_port: from.port(), destination_port: to.port() };
    udp::emit(from.ip(), to.ip(), &ports, data, &mut packet[ip_len..]);
    packet.extend_from_slice(data);
    packet
}

fn datagram(from: SocketAddr, to: SocketAddr, data: &[u8]) -> Vec<u8> {
    datagram_of(from, to, (64, 0), data)
}

/// A sent packet: from whom to whom, and its data; checksums are verified.
fn read(packet: &[u8]) -> (SocketAddr, SocketAddr, Vec<u8>) {
    let packet = parse_ip(packet).unwrap();
    let (header, data) = udp::parse(packet.source, packet.destination, packet.payload, true).unwrap();
    let source = SocketAddr::new(packet.source, header.source_port);
    (source, SocketAddr::new(packet.destination, header.destination_port), data.to_vec())
}

fn sent(script: &mut Script) -> Vec<(Vec<u8>, TxMeta)> {
    let mut packets = Vec::new();
    let progress = script.stack.transmit(script.now, 1_000, |transmit| {
        packets.push((transmit.to_vec(), transmit.meta));
        Ok(())
    });
    assert_eq!(progress, Progress::Idle);
    packets
}

fn bind(script: &mut Script, local: SocketAddr) -> UdpHandle {
    let shared = BindOptions { reuse_address: true, ..BindOptions::default() };
    script.stack.udp_bind_with(local, &shared).unwrap()
}

/// 1122-4.1.3.5, 1122-4.1.4: a socket on all addresses learns to which of them a datagram was sent, and all of its header
/// that matters, and answers from there.
#[test]
fn what_comes_with_a_datagram() {
    let mut script = Script::with(|config| {
        *config = Config::new(&["10.0.0.2/24", "10.0.0.3/24", "fd00:67::2/64"].map(|text| text.parse().unwrap()));
    });
    let socket = bind(&mut script, end("::", 9));
    for (own, peer, hops, class) in [
        ("10.0.0.2", "10.0.0.1", 1, 0b1011_1001),
        ("10.0.0.3", "10.0.0.1", 255, 0b0000_0011),
        ("fd00:67::2", "fd00:67::1", 7, 0b1111_1110),
        ("10.0.0.255", "10.0.0.1", 64, 0),
    ] {
        let (from, to) = (end(peer, 5), end(own, 9));
        assert_eq!(give(&mut script, &datagram_of(from, to, (hops, class), b"four")), None);
        let mut buffer = [0; 3];
        let meta = script.stack.udp_peek(socket, &mut buffer).unwrap();
        assert_eq!((meta.source, meta.destination, meta.len, meta.stride), (from, to, 3, 3));
        assert_eq!((meta.hop_limit, meta.dscp(), meta.ecn()), (hops, class >> 2, EcnCodepoint::of(class)));
        // 768-4: told that something is lost.
        assert!(meta.truncated && meta.arrived == script.now);
        let received = script.stack.udp_receive(socket).unwrap();
        assert_eq!((received.data.as_slice(), received.stride, received.traffic_class), (&b"four"[..], 4, class));
        // The answer, from the address that was asked.
        let message = Message { source: Some(to), ..Message::to(from, b"answer") };
        let answer = script.stack.udp_send_message(script.now, socket, &message);
        if own == "10.0.0.255" {
            assert_eq!(answer, Err(SocketError::AddressNotAvailable), "nobody sends from a broadcast address");
        } else {
            assert_eq!(answer, Ok(6));
            assert_eq!(read(&script.packets()[0]), (to, from, b"answer".to_vec()));
        }
    }
    let foreign = Message { source: Some(end("10.0.0.9", 0)), ..Message::to(end("10.0.0.1", 5), b"x") };
    assert_eq!(script.stack.udp_send_message(script.now, socket, &foreign), Err(SocketError::AddressNotAvailable));
    let other_port = Message { source: Some(end("10.0.0.2", 10)), ..Message::to(end("10.0.0.1", 5), b"x") };
    let refused = script.stack.udp_send_message(script.now, socket, &other_port);
    assert_eq!(refused, Err(SocketError::AddressNotAvailable));
    let mixed = Message { source: Some(end("fd00:67::2", 0)), ..Message::to(end("10.0.0.1", 5), b"x") };
    assert_eq!(script.stack.udp_send_message(script.now, socket, &mixed), Err(SocketError::InvalidAddress));
}

/// 1122-4.1.4, 1122-3.2.1.6: TTL and DSCP are the socket's, ECN is each datagram's, "don't fragment" follows the mode.
#[test]
fn what_goes_with_a_datagram() {
    for (own, peer) in FAMILIES {
        let mut script = Script::new();
        let socket = bind(&mut script, end(own, 9));
        script.stack.udp_set_options(socket, |options| (options.dscp, options.hop_limit) = (46, 3)).unwrap();
        for ecn in [None, Some(EcnCodepoint::Ect0), Some(EcnCodepoint::Ect1), Some(EcnCodepoint::Ce)] {
            let message = Message { ecn, ..Message::to(end(peer, 5), b"x") };
            script.stack.udp_send_message(script.now, socket, &message).unwrap();
            let packet = script.packets().remove(0);
            let header = parse_ip(&packet).unwrap();
            assert_eq!((header.hop_limit, header.traffic_class >> 2), (3, 46));
            assert_eq!(EcnCodepoint::of(header.traffic_class), ecn);
        }
        for (mode, expected) in
            [(Fragmentation::Allowed, 0), (Fragmentation::Refused, 0x40), (Fragmentation::Probe, 0x40)]
        {
            script.stack.udp_set_options(socket, |options| options.fragmentation = mode).unwrap();
            script.stack.udp_send(script.now, socket, Some(end(peer, 5)), b"x").unwrap();
            let packet = script.packets().remove(0);
            assert!(packet[0] >> 4 == 6 || packet[6] == expected, "{mode:?}");
        }
        assert_eq!(
            script.stack.udp_set_options(socket, |options| options.dscp = 64),
            Err(SocketError::InvalidArgument)
        );
        assert_eq!(script.stack.udp_socket(socket).unwrap().options.dscp, 46, "nothing has changed");
    }
}

/// 8899-4.4: the largest datagram is told, and a larger one is refused where it may not be cut.
#[test]
fn the_largest_datagram() {
    for (own, peer) in FAMILIES {
        let mut script = Script::new();
        let socket = bind(&mut script, end(own, 9));
        let most = 1_500 - if own.contains(':') { 48 } else { 28 };
        for mode in [Fragmentation::Refused, Fragmentation::Probe] {
            script.stack.udp_set_options(socket, |options| options.fragmentation = mode).unwrap();
            assert_eq!(script.stack.udp_max_datagram_size(socket, ip(peer)), Some(most));
            let mut send = |len| script.stack.udp_send(script.now, socket, Some(end(peer, 5)), &vec![0; len]);
            assert_eq!((send(most), send(most + 1)), (Ok(most), Err(SocketError::MessageTooLong)), "{mode:?}");
            assert_eq!(send(70_000), Err(SocketError::MessageTooLong));
        }
        assert_eq!(script.packets().len(), 2);
    }
}

/// Port 0 is nobody's: a datagram to it is refused, one from it is delivered and cannot be answered (RFC 768).
#[test]
fn port_zero() {
    for (own, peer) in FAMILIES {
        let mut script = Script::new();
        let socket = bind(&mut script, end(own, 9));
        assert_eq!(give(&mut script, &datagram(end(peer, 5), end(own, 0), b"x")), Some(DropReason::UdpNoSocket));
        assert_eq!(script.packets().len(), 1, "port unreachable");
        assert_eq!(give(&mut script, &datagram(end(peer, 0), end(own, 9), b"x")), None);
        assert_eq!(script.stack.udp_receive(socket).unwrap().source, end(peer, 0));
        let answer = script.stack.udp_send(script.now, socket, Some(end(peer, 0)), b"x");
        assert_eq!(answer, Err(SocketError::InvalidAddress));
        assert_eq!(script.stack.udp_connect(socket, end(peer, 0)), Err(SocketError::InvalidAddress));
        assert!(script.packets().is_empty());
    }
}

/// A connected socket has the address from which it sends, and another one when it is connected elsewhere.
#[test]
fn connecting_chooses_the_address() {
    let mut script = Script::with(|config| {
        *config = Config::new(&["10.0.0.2/24", "192.168.7.2/24", "fd00:67::2/64"].map(|text| text.parse().unwrap()));
    });
    let socket = bind(&mut script, end("::", 9));
    for (remote, local) in [("192.168.7.9", "192.168.7.2"), ("10.0.0.9", "10.0.0.2"), ("fd00:67::9", "fd00:67::2")] {
        script.stack.udp_connect(socket, end(remote, 5)).unwrap();
        assert_eq!(script.stack.udp_socket(socket).unwrap().local, end(local, 9));
        script.stack.udp_send(script.now, socket, None, b"x").unwrap();
        assert_eq!(read(&script.packets()[0]), (end(local, 9), end(remote, 5), b"x".to_vec()));
        // Others, and other addresses of ours, are not for this socket.
        for (from, to, taken) in [(end(remote, 5), end(local, 9), true), (end(remote, 6), end(local, 9), false)] {
            assert_eq!(give(&mut script, &datagram(from, to, b"y")).is_none(), taken, "{from}");
        }
        assert_eq!(script.stack.udp_receive(socket).unwrap().data, b"y");
        script.packets();
    }
    let v4 = bind(&mut script, end("0.0.0.0", 10));
    assert_eq!(script.stack.udp_connect(v4, end("fd00:67::9", 5)), Err(SocketError::InvalidAddress));
}

/// Broadcasting needs a permission; a broadcast reaches each socket on all addresses, and is never answered by an error.
#[test]
fn broadcasts() {
    let mut script = Script::new();
    let socket = bind(&mut script, end("0.0.0.0", 9));
    for to in ["255.255.255.255", "10.0.0.255"] {
        script.stack.udp_set_options(socket, |options| options.broadcast = false).unwrap();
        let mut send = || script.stack.udp_send(script.now, socket, Some(end(to, 9)), b"all");
        assert_eq!(send(), Err(SocketError::PermissionDenied));
        assert_eq!(script.stack.udp_connect(socket, end(to, 9)), Err(SocketError::PermissionDenied));
        script.stack.udp_set_options(socket, |options| options.broadcast = true).unwrap();
        script.stack.udp_send(script.now, socket, Some(end(to, 9)), b"all").unwrap();
        assert_eq!(read(&script.packets()[0]), (end("10.0.0.2", 9), end(to, 9), b"all".to_vec()));
        while script.stack.udp_receive(socket).is_ok() {}

        let (both, exact) = (bind(&mut script, end("::", 9)), bind(&mut script, end("10.0.0.2", 9)));
        assert_eq!(give(&mut script, &datagram(end("10.0.0.1", 5), end(to, 9), b"all")), None);
        for (handle, hears) in [(socket, true), (both, true), (exact, false)] {
            assert_eq!(script.stack.udp_receive(handle).is_ok(), hears);
        }
        let closed = give(&mut script, &datagram(end("10.0.0.1", 5), end(to, 99), b"x"));
        assert_eq!((closed, script.packets().len()), (Some(DropReason::UdpNoSocket), 0), "no error about a broadcast");
        script.stack.udp_close(both);
        script.stack.udp_close(exact);
    }
}

/// 6056-3.3: from whichever port a socket sends, nobody can tell from which the next one will.
#[test]
fn chosen_ports_do_not_tell_the_next() {
    let mut script = Script::new();
    let mut last = 0;
    let distances: std::collections::BTreeSet<i32> = (0..300)
        .map(|_| {
            let socket = script.stack.udp_bind(end("10.0.0.2", 0)).unwrap();
            script.stack.udp_send(script.now, socket, Some(end("10.0.0.1", 53)), b"question").unwrap();
            let port = i32::from(read(&script.packets()[0]).0.port());
            port - std::mem::replace(&mut last, port)
        })
        .collect();
    assert!(distances.len() > 290, "{distances:?}");
    assert!(distances.iter().filter(|distance| distance.abs() < 16).count() < 10, "{distances:?}");
}

/// 1112-6.1: to a group with a TTL of 1, whatever that of the socket is, unless the application says otherwise; 0 stays here.
#[test]
fn the_ttl_of_multicast() {
    for (own, group) in [("10.0.0.2", "239.1.2.3"), ("fd00:67::2", "ff15::123")] {
        let mut script = Script::new();
        let socket = bind(&mut script, end(own, 9));
        let mut sent = |hops: Option<u8>| {
            if let Some(hops) = hops {
                let set = script.stack.udp_set_options(socket, |options| {
                    (options.multicast_ttl_v4, options.multicast_hops_v6) = (hops, hops);
                });
                set.unwrap();
            }
            script.stack.udp_send(script.now, socket, Some(end(group, 5)), b"x").unwrap();
            let packets = script.packets();
            packets.iter().map(|packet| parse_ip(packet).unwrap().hop_limit).collect::<Vec<_>>()
        };
        assert_eq!((sent(None), sent(Some(7)), sent(Some(0))), (vec![1], vec![7], vec![]));
    }
}

/// One message becomes many datagrams: cut here, or by the device with the same result.
#[test]
fn a_message_is_cut_into_datagrams() {
    for (own, peer) in FAMILIES {
        let mut script = Script::new();
        let socket = bind(&mut script, end(own, 9));
        let data: Vec<u8> = (0..3_500_u32).map(|n| (n / 7) as u8).collect();
        let message =
            Message { segment_size: Some(1_000), ecn: Some(EcnCodepoint::Ect0), ..Message::to(end(peer, 5), &data) };
        assert_eq!(script.stack.udp_send_message(script.now, socket, &message), Ok(3_500));
        let cut = script.packets();
        let pieces: Vec<Vec<u8>> = cut.iter().map(|packet| read(packet).2).collect();
        assert_eq!(pieces, data.chunks(1_000).map(<[u8]>::to_vec).collect::<Vec<_>>());
        assert!(cut.iter().all(|packet| parse_ip(packet).unwrap().traffic_class == 2));

        script.stack.set_udp_segmentation(true);
        assert_eq!(script.stack.udp_send_message(script.now, socket, &message), Ok(3_500));
        let whole = sent(&mut script);
        assert_eq!(whole.len(), 1);
        let (packet, meta) = &whole[0];
        let start = if own.contains(':') { 40 } else { 20 };
        assert_eq!(meta.checksum, TxChecksum::Partial { start, offset: 6 });
        assert_eq!((meta.gso_size, meta.header_len, meta.ecn), (1_000, start + 8, false));
        let by_device: Vec<Vec<u8>> = wire_view(packet, 1_000, true).iter().map(|wire| read(wire).2).collect();
        assert_eq!(by_device, pieces);

        // A message that is one datagram is sent as one.
        let short = Message { segment_size: Some(1_000), ..Message::to(end(peer, 5), &data[..1_000]) };
        script.stack.udp_send_message(script.now, socket, &short).unwrap();
        assert_eq!(sent(&mut script)[0].1.gso_size, 0);
        for (len, size, expected) in [
            (MAX_SEGMENTS, 1, Ok(MAX_SEGMENTS)),
            (MAX_SEGMENTS + 1, 1, Err(SocketError::InvalidArgument)),
            (1, 0, Err(SocketError::InvalidArgument)),
            (0, 0, Ok(0)),
            (1_480, 1_479, Err(SocketError::MessageTooLong)),
            (65_528, 1_400, Err(SocketError::MessageTooLong)),
        ] {
            let data = vec![0; len];
            let message = Message { segment_size: Some(size), ..Message::to(end(peer, 5), &data) };
            let sent = script.stack.udp_send_message(script.now, socket, &message);
            assert_eq!(sent, expected, "{len} octets in pieces of {size}");
        }
    }
}

/// Datagrams sent before any has left have identifications of their own: one may be cut on its way.
#[test]
fn identifications_differ() {
    let mut script = Script::new();
    let socket = bind(&mut script, end("10.0.0.2", 9));
    let message = Message { segment_size: Some(10), ..Message::to(end("10.0.0.1", 5), &[0; 100]) };
    script.stack.udp_send_message(script.now, socket, &message).unwrap();
    script.stack.udp_send_message(script.now, socket, &message).unwrap();
    let mut seen: Vec<[u8; 2]> = script.packets().iter().map(|packet| [packet[4], packet[5]]).collect();
    seen.sort_unstable();
    seen.dedup();
    // Those of one message that is cut here share none either.
    assert_eq!(seen.len(), 20);
}

/// Several datagrams in one packet are one by one for those who do not ask, and as many as fit for those who do.
#[test]
fn super_datagrams_arrive() {
    for (own, peer) in FAMILIES {
        let mut script = Script::new();
        let socket = bind(&mut script, end(own, 9));
        let data: Vec<u8> = (0..2_500_u32).map(|n| n as u8).collect();
        let packet = datagram(end(peer, 5), end(own, 9), &data);
        let meta = RxMeta { len: packet.len(), checksum: RxChecksum::Partial, gso_size: 1_000 };
        for _ in 0..3 {
            assert_eq!(script.stack.handle_packet(script.now, &packet, &meta), None);
        }
        for expected in data.chunks(1_000) {
            assert_eq!(script.stack.udp_receive(socket).unwrap().data, expected);
        }
        let mut buffer = [0; 2_100];
        let mut lengths = Vec::new();
        for coalesced in [true, true, false, false, false] {
            let meta = script.stack.udp_receive_into(socket, &mut buffer, coalesced).unwrap();
            lengths.push((meta.len, meta.stride));
        }
        assert_eq!(lengths, [(2_000, 1_000), (500, 500), (1_000, 1_000), (1_000, 1_000), (500, 500)]);
        assert_eq!(script.stack.udp_receive(socket), Err(SocketError::WouldBlock));
        assert_eq!(script.stack.udp_memory(), 0);
        // A size beyond the packet is that of the packet; and without a device that vouches, the checksum counts.
        let meta = RxMeta { gso_size: 60_000, ..meta };
        script.stack.handle_packet(script.now, &packet, &meta);
        assert_eq!(script.stack.udp_receive(socket).unwrap().stride, 2_500);
        let mut bad = packet.clone();
        *bad.last_mut().unwrap() ^= 1;
        let meta = RxMeta { checksum: RxChecksum::Unverified, ..meta };
        assert_eq!(script.stack.handle_packet(script.now, &bad, &meta), Some(DropReason::UdpChecksum));
    }
}

/// A flood fills one queue and no more; others are served, and what is lost is counted.
#[test]
fn a_flood_is_bounded_and_others_are_served() {
    let mut script = Script::with(|config| config.udp_memory = 4 << 20);
    let flooded: Vec<UdpHandle> = (0..20).map(|n| bind(&mut script, end("10.0.0.2", 1_000 + n))).collect();
    let quiet = bind(&mut script, end("10.0.0.2", 53));
    for round in 0..3 {
        for port in 1_000..1_020 {
            for _ in 0..10_000 {
                give(&mut script, &datagram(end("10.0.0.1", 5), end("10.0.0.2", port), b"flood"));
            }
        }
        assert!(script.stack.udp_memory() <= 4 << 20, "{round}");
        assert!(script.packets().is_empty(), "a full queue is no reason for an error");
        for _ in 0..10 {
            let question = datagram(end("10.0.0.1", 5), end("10.0.0.2", 53), b"question");
            assert_eq!(give(&mut script, &question), None, "others are served");
        }
    }
    let counters = script.stack.counters();
    let lost = counters.dropped(DropReason::UdpQueueFull) + counters.dropped(DropReason::UdpNoMemory);
    let dropped: u64 = flooded.iter().map(|&handle| script.stack.udp_socket(handle).unwrap().queue.dropped).sum();
    assert!(lost == dropped && lost > 500_000, "{lost} {dropped}");
    assert!(flooded.iter().all(|&handle| script.stack.udp_socket(handle).unwrap().queue.charged() <= RECEIVE_CAPACITY));
    let read = std::iter::from_fn(|| script.stack.udp_receive(quiet).ok()).count();
    assert_eq!(read, 30);
    for handle in flooded {
        script.stack.udp_close(handle);
    }
    assert_eq!(script.stack.udp_memory(), 0);
}

/// Whoever is told that a socket is writable can send any message, so that a poller of levels never spins; and what waits
/// has an end.
#[test]
fn writable_means_that_a_send_goes_through() {
    let remote = Some(end("10.0.0.1", 5));
    for cuts in [false, true] {
        for (capacity, most_packets) in [(1 << 20, 4_096), (1 << 20, 100), (212_992, 4_096), (1 << 10, 16)] {
            let mut script = Script::with(|config| config.max_queued_packets = most_packets);
            script.stack.set_udp_segmentation(cuts);
            let sockets = [9, 10].map(|port| bind(&mut script, end("10.0.0.2", port)));
            for socket in sockets {
                script.stack.udp_set_options(socket, |options| options.send_capacity = capacity).unwrap();
            }
            let super_datagram = vec![1; 60_000];
            let mut sends = 0;
            for round in 0..2_000 {
                for (socket, len) in [(sockets[0], 60_000), (sockets[1], 1 + round % 1_000)] {
                    let data = &super_datagram[..len];
                    let message = Message { destination: remote, segment_size: Some(1_000), ..Message::new(data) };
                    // As many as there is room for, and then until it is told that there is room.
                    while script.stack.readiness(SocketHandle::Udp(socket)).any(Readiness::WRITABLE) {
                        let sent = script.stack.udp_send_message(script.now, socket, &message);
                        assert_eq!(sent, Ok(len), "{cuts} {capacity} {most_packets} {round}");
                        sends += 1;
                    }
                    let waits = script.stack.udp_socket(socket).unwrap().sending;
                    assert!(waits <= capacity / 2 + 80_000, "{waits} of {capacity}");
                }
                // The device takes one now and then.
                let mut budget = 1;
                script.stack.transmit(script.now, usize::MAX, |_| {
                    budget -= 1;
                    if budget < 0 { Err(WouldBlock) } else { Ok(()) }
                });
            }
            assert!((20..5_000).contains(&sends), "{sends}");
        }
    }
}

/// A socket that sends without end fills its own share, and neither connections nor other sockets wait behind it.
#[test]
fn a_sender_without_end_holds_up_nobody() {
    let mut script = Script::new();
    let connection = script.accept();
    let (greedy, other) = (bind(&mut script, end("10.0.0.2", 9)), bind(&mut script, end("10.0.0.2", 10)));
    let mut sent_by_greedy = 0;
    while script.stack.udp_send(script.now, greedy, Some(end("10.0.0.1", 5)), &[1; 1_000]).is_ok() {
        sent_by_greedy += 1;
        assert!(sent_by_greedy < 1_000, "without end");
    }
    assert!(sent_by_greedy > 100);
    assert_eq!(script.stack.udp_send(script.now, other, Some(end("10.0.0.1", 5)), b"other"), Ok(5));
    script.stack.tcp_send(script.now, connection, b"text").unwrap();
    // A closed port is answered before all of these, and the connection has its turn after the first datagram.
    give(&mut script, &datagram(end("10.0.0.1", 5), end("10.0.0.2", 99), b"x"));
    let mut protocols = Vec::new();
    let progress = script.stack.transmit(script.now, 4, |transmit| {
        protocols.push(parse_ip(&transmit.to_vec()).map_or(0, |packet| packet.protocol));
        Ok(())
    });
    assert_eq!(progress, Progress::More);
    assert_eq!(protocols, [protocol::ICMPV4, protocol::UDP, protocol::TCP, protocol::UDP]);
    assert_eq!(script.packets().len(), sent_by_greedy + 1 - 2);
    assert_eq!(script.stack.udp_socket(greedy).unwrap().sending, 0);
    // What a closed socket has sent still leaves.
    script.stack.udp_send(script.now, greedy, Some(end("10.0.0.1", 5)), b"last").unwrap();
    script.stack.udp_close(greedy);
    assert_eq!(script.packets().len(), 1);
}
