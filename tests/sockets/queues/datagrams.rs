//! Datagrams: those for one, those for a group, their fragments, and the errors about them.

use std::io::ErrorKind;
use std::net::Ipv4Addr;
use std::thread;
use std::time::Duration;

use glasstcp::counters::DropReason;
use glasstcp::wire::checksum::Checksum;
use glasstcp::wire::{parse_ip, protocol};

use super::world::*;
use crate::common::{pattern, watched};
use crate::kit;

/// 1122-4.1.3.1
#[test]
fn a_datagram_finds_its_socket_and_is_refused_only_where_there_is_none() {
    watched(|| {
        let world = world(3);
        let socket = world.nets[2].bind_udp("10.0.0.2:53").unwrap();
        let client = world.peer.bind_udp("10.0.0.1:0").unwrap();
        client.connect("10.0.0.2:53").unwrap();
        for queue in [0, 1, 2] {
            world.switch.to(queue);
            client.send(&[queue as u8; 9]).unwrap();
            let mut buffer = [0; 20];
            let (len, from) = socket.recv_from(&mut buffer).unwrap();
            assert_eq!((&buffer[..len], from), (&[queue as u8; 9][..], client.local_addr().unwrap()));
        }
        world.expect_handed_over([1, 1, 0]);
        client.connect("10.0.0.2:54").unwrap();
        client.send(b"?").unwrap();
        assert_eq!(client.recv(&mut [0; 1]).unwrap_err().kind(), ErrorKind::ConnectionRefused);
        assert_eq!(world.sum().dropped(DropReason::UdpNoSocket), 1);
    });
}

/// A datagram to a group that only a socket of another queue has joined goes there, on whichever queue it comes.
#[test]
fn a_group_is_heard_by_its_member() {
    watched(|| {
        let world = world(3);
        let group = Ipv4Addr::new(239, 1, 2, 3);
        let member = world.nets[2].bind_udp("0.0.0.0:5000").unwrap();
        member.join_multicast_v4(&group, &Ipv4Addr::UNSPECIFIED).unwrap();
        let sender = world.peer.bind_udp("10.0.0.1:0").unwrap();
        for queue in [0, 1, 2] {
            world.switch.to(queue);
            sender.send_to(&[queue as u8; 9], (group, 5_000)).unwrap();
            let meta = member.recv_msg(&mut [0; 20]).unwrap();
            assert_eq!((meta.len, meta.destination), (9, (group, 5_000).into()));
        }
        world.expect_handed_over([1, 1, 0]);
    });
}

/// Members on several queues all hear their group, or what is sent to everybody, each on its own port.
#[test]
fn a_group_is_heard_by_all_its_members() {
    watched(|| {
        let world = world(3);
        let group = Ipv4Addr::new(239, 1, 2, 3);
        let bound = |queue: usize, port: u16| {
            let socket = world.nets[queue].bind_udp(("0.0.0.0", port)).unwrap();
            socket.join_multicast_v4(&group, &Ipv4Addr::UNSPECIFIED).unwrap();
            socket
        };
        let members = [bound(0, 5_000), bound(2, 5_000), bound(2, 5_001)];
        let sender = world.peer.bind_udp("10.0.0.1:0").unwrap();
        sender.set_broadcast(true).unwrap();
        for queue in [0, 1, 2] {
            world.switch.to(queue);
            for (to, port) in [(group, 5_000), (group, 5_001), (Ipv4Addr::BROADCAST, 5_000)] {
                let data = [queue as u8, (port % 100) as u8, u8::from(to == group)];
                sender.send_to(&data, (to, port)).unwrap();
                for member in members.iter().filter(|member| member.local_addr().unwrap().port() == port) {
                    let mut buffer = [0; 20];
                    let len = member.recv(&mut buffer).unwrap();
                    assert_eq!(buffer[..len], data);
                }
            }
        }
        for member in members {
            member.set_nonblocking(true).unwrap();
            assert_eq!(member.recv(&mut [0; 20]).unwrap_err().kind(), ErrorKind::WouldBlock, "each once");
        }
    });
}

/// 3376-5.2: on whichever queue a router asks, members on all of them answer, each on its own.
#[test]
fn routers_hear_of_members_on_all_queues() {
    watched(|| {
        let world = world(3);
        let group = Ipv4Addr::new(239, 1, 2, 3);
        let members = [1, 2].map(|queue| {
            let socket = world.nets[queue].bind_udp("0.0.0.0:5000").unwrap();
            socket.join_multicast_v4(&group, &Ipv4Addr::UNSPECIFIED).unwrap();
            socket
        });
        let answered = |queue: usize| {
            let heard = world.switch.heard.lock().unwrap();
            // A report of version 3 whose first record tells what is, not what has changed.
            let report = |packet: &[u8]| parse_ip(packet).is_ok_and(|ip| ip.payload[0] == 0x22 && ip.payload[8] == 2);
            heard.iter().any(|(on, packet)| {
                *on == queue && parse_ip(packet).is_ok_and(|ip| ip.protocol == protocol::IGMP) && report(packet)
            })
        };
        // To all about all, and to the group about itself; with the router alert option.
        for (asked, (to, about)) in
            [(Ipv4Addr::new(224, 0, 0, 1), Ipv4Addr::UNSPECIFIED), (group, group)].iter().enumerate()
        {
            world.switch.heard.lock().unwrap().clear();
            let mut message = vec![0x11, 1, 0, 0];
            message.extend(about.octets());
            message.extend([2, 125, 0, 0]);
            let mut sum = Checksum::new();
            sum.add(&message);
            message[2..4].copy_from_slice(&sum.finish().to_be_bytes());
            let mut packet = kit::ip_packet("10.0.0.1".parse().unwrap(), (*to).into(), protocol::IGMP, &message);
            packet.splice(20..20, [148, 4, 0, 0]);
            (packet[0], packet[3], packet[8]) = (0x46, packet[3] + 4, 1);
            kit::fix_ipv4(&mut packet);
            world.switch.inject(asked, &packet);
            while !(answered(1) && answered(2)) {
                thread::sleep(Duration::from_millis(1));
            }
        }
        drop(members);
    });
}

#[test]
fn errors_about_datagrams_and_echo_replies_find_who_sent_them() {
    watched(|| {
        let world = world(2);
        world.switch.to(1);
        let socket = world.nets[0].bind_udp("10.0.0.2:0").unwrap();
        socket.connect("10.0.0.1:9").unwrap();
        socket.send(b"?").unwrap();
        assert_eq!(socket.recv(&mut [0; 1]).unwrap_err().kind(), ErrorKind::ConnectionRefused);

        let pingers = [0, 1].map(|queue| world.nets[queue].ping("10.0.0.1".parse().unwrap()).unwrap());
        for (number, pinger) in pingers.iter().enumerate() {
            pinger.send(number as u16, b"are you there?").unwrap();
            let reply = pinger.receive(None).unwrap().unwrap();
            assert_eq!((reply.sequence, &*reply.data), (number as u16, &b"are you there?"[..]));
        }
        world.expect_handed_over([0, 2]);
    });
}

/// 1122-3.2.1.4: fragments of one datagram on any queues, and the socket on another; the answer to an echo request in fragments
/// finds who sent it.
#[test]
fn fragments_on_all_queues_are_one_datagram_for_the_socket_on_one() {
    watched(|| {
        let world = world(3);
        let mut packets = 0;
        world.switch.by(move |_| {
            packets += 1;
            Some(packets % 3)
        });
        let client = world.peer.bind_udp("10.0.0.1:0").unwrap();
        let mut buffer = vec![0; 70_000];
        for (queue, port) in [(0, 50), (1, 51), (2, 52)] {
            let socket = world.nets[queue].bind_udp(("10.0.0.2", port)).unwrap();
            for len in [2_000, 9_000, 30_000, 65_507] {
                let data = pattern(len);
                client.send_to(&data, ("10.0.0.2", port)).unwrap();
                let (received, from) = socket.recv_from(&mut buffer).unwrap();
                assert_eq!(from, client.local_addr().unwrap());
                assert!(buffer[..received] == data, "{len} octets to queue {queue}");
            }
        }
        for net in &world.nets {
            let pinger = net.ping("10.0.0.1".parse().unwrap()).unwrap();
            for sequence in 0..4 {
                let data = pattern(5_000 * (1 + usize::from(sequence)));
                pinger.send(sequence, &data).unwrap();
                let reply = pinger.receive(None).unwrap().unwrap();
                assert!(reply.sequence == sequence && reply.data == data);
            }
        }
        // A port where nobody listens is refused once.
        client.connect("10.0.0.2:99").unwrap();
        client.send(&pattern(5_000)).unwrap();
        assert_eq!(client.recv(&mut [0; 1]).unwrap_err().kind(), ErrorKind::ConnectionRefused);
        let sum = world.sum();
        assert_eq!((sum.reassembled, sum.dropped(DropReason::UdpNoSocket), sum.reassembly_failed), (25, 1, 0));
        assert!(world.nets.iter().all(|net| net.counters().reassembled > 0), "the work is divided");
    });
}
