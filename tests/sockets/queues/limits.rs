//! What nobody takes, what is too much, and what goes on when one queue does not.

use std::io::ErrorKind;
use std::net::IpAddr;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use glasstcp::counters::DropReason;
use glasstcp::device::fd::FdDevice;
use glasstcp::net::Net;
use glasstcp::wire::protocol;
use glasstcp::wire::udp::{self, UdpHeader};

use super::world::*;
use crate::common::{config, watched};
use crate::kit;

/// A RST leaves once, from the queue that was asked, and only if no sibling knows the segment.
#[test]
fn nobody_is_said_only_when_it_is_true() {
    watched(|| {
        let world = world(3);
        let _elsewhere = world.listen_everywhere(80);
        for (queue, resets) in [(1, 1), (0, 2), (2, 3)] {
            world.switch.to(queue);
            let error = world.peer.connect("10.0.0.2:81").unwrap_err();
            assert_eq!((error.kind(), world.sum().resets_out), (ErrorKind::ConnectionRefused, resets));
            assert_eq!(world.nets[queue].counters().dropped(DropReason::TcpNobody), 1);
        }
        let sum = world.sum();
        assert_eq!((sum.handed_over, sum.dropped(DropReason::Unclaimed)), (0, 0));
        assert_eq!((sum.packets_in, sum.segments_in), (3, 3), "each is counted once");
    });
}

#[test]
fn a_full_inbox_loses_packets_and_counts_them() {
    watched(|| {
        let world = world(2);
        let socket = world.nets[0].bind_udp("10.0.0.2:53").unwrap();
        *world.gate.shut.0.lock().unwrap() = true;
        let (from, to): (IpAddr, IpAddr) = ("10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap());
        let header = UdpHeader { source_port: 9_999, destination_port: 53 };
        let mut datagram = vec![0; 8];
        udp::emit(from, to, &header, b"hello", &mut datagram);
        datagram.extend_from_slice(b"hello");
        let packet = kit::ip_packet(from, to, protocol::UDP, &datagram);
        // The driver of queue 0 comes to read this one, and is held up.
        world.switch.inject(0, &packet);
        while !world.gate.somebody_waits.load(Ordering::SeqCst) {
            thread::sleep(Duration::from_millis(1));
        }
        for _ in 0..1_500 {
            world.switch.inject(1, &packet);
        }
        let counted = || {
            let counters = world.nets[1].counters();
            (counters.handed_over, counters.dropped(DropReason::SiblingBusy))
        };
        while counted().0 + counted().1 < 1_500 {
            thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(counted(), (1_024, 476));
        *world.gate.shut.0.lock().unwrap() = false;
        world.gate.shut.1.notify_all();
        let mut buffer = [0; 20];
        for _ in 0..100 {
            assert_eq!(socket.recv(&mut buffer).unwrap(), 5);
        }
    });
}

#[test]
fn a_network_that_is_closed_leaves_the_others_alone() {
    watched(|| {
        let mut world = world(2);
        let listeners = world.listen_everywhere(80);
        let client = world.peer.connect("10.0.0.2:80").unwrap();
        let (_, server) = accept(&listeners);
        world.switch.to(1);
        let other = world.peer.connect("10.0.0.2:80").unwrap();
        let (queue, lost) = accept(&listeners);
        assert_eq!(queue, 1);
        assert_eq!(world.nets[1].close(Duration::ZERO), 1, "it held one connection, which is reset");
        world.switch.to(0);
        exchange(&client, &server, 50_000);
        drop((other, lost, listeners, world.nets.pop()));
        exchange(&client, &server, 50_000);
        assert_eq!(world.peer.connect("10.0.0.2:81").unwrap_err().kind(), ErrorKind::ConnectionRefused);
        let listener = [world.nets[0].bind("10.0.0.2:80").unwrap()];
        let again = world.peer.connect("10.0.0.2:80").unwrap();
        exchange(&again, &accept(&listener).1, 5_000);
    });
}

#[test]
fn no_queue_and_too_many_are_refused_and_limits_are_divided() {
    let refused = Net::start_queues(Vec::<FdDevice>::new(), config(2)).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidInput);
    let mut settings = config(2);
    settings.tcp.buffer_memory = 30 << 20;
    settings.tcp.resets_per_second = 100;
    let world = world_with(3, settings);
    let of_one = world.nets[1].config().tcp;
    assert_eq!((of_one.buffer_memory, of_one.resets_per_second), (10 << 20, 34));
}
