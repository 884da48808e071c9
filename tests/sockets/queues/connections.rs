//! Segments, and what is said about them: whichever queue they come on, they find their connection or listener.

use std::io::{ErrorKind, Read, Write};
use std::net::IpAddr;
use std::thread;
use std::time::Duration;

use glasstcp::counters::DropReason;
use glasstcp::wire::icmp::IcmpError;

use super::world::*;
use crate::common::{config, pattern, watched};
use crate::kit;

#[test]
fn a_flow_whose_packets_come_to_another_queue_goes_on_and_answers_on_its_own() {
    watched(|| {
        let world = world(3);
        let listeners = world.listen_everywhere(80);
        let client = world.peer.connect("10.0.0.2:80").unwrap();
        let (queue, server) = accept(&listeners);
        assert_eq!(queue, 0);
        for wrong in [1, 2] {
            world.switch.to(wrong);
            exchange(&client, &server, 200_000);
            assert!(world.handed_over(wrong) > 0);
            assert_eq!(world.switch.heard_on(wrong), [[0; 0]; 0], "it speaks only on its own queue");
        }
        let sum = world.sum();
        assert_eq!((sum.resets_out, sum.passive_opens, world.handed_over(0)), (0, 1, 0));
        drop(client);
        assert_eq!((&server).read(&mut [0; 1]).unwrap(), 0, "the FIN too");
    });
}

#[test]
fn a_syn_is_taken_to_the_queue_where_somebody_listens() {
    watched(|| {
        let world = world(3);
        let listener = [world.nets[1].bind("10.0.0.2:80").unwrap()];
        world.switch.to(2);
        let client = world.peer.connect("10.0.0.2:80").unwrap();
        let (_, server) = accept(&listener);
        exchange(&client, &server, 10_000);
        assert_eq!(world.sum().resets_out, 0);
        assert!(world.switch.heard_on(2).is_empty() && !world.switch.heard_on(1).is_empty());
    });
}

#[test]
fn a_syn_stays_where_it_came_if_somebody_listens_there() {
    watched(|| {
        let world = world(2);
        let listeners = world.listen_everywhere(80);
        for queue in [1, 0, 1] {
            world.switch.to(queue);
            let client = world.peer.connect("10.0.0.2:80").unwrap();
            assert_eq!(accept(&listeners).0, queue);
            drop(client);
        }
        assert_eq!(world.sum().resets_out, 0);
    });
}

/// The next connection of a four-tuple is found by the record of the last one, on whatever queue its SYN comes.
#[test]
fn a_syn_meets_the_time_wait_record_of_its_four_tuple_on_another_queue() {
    watched(|| {
        let mut settings = config(2);
        settings.tcp.time_wait = Duration::from_secs(600);
        let world = world_with(2, settings);
        let listeners = world.listen_everywhere(80);
        let open = || world.peer.connect_from("10.0.0.1:5000".parse().unwrap(), "10.0.0.2:80".parse().unwrap());
        let client = open().unwrap();
        let (queue, server) = accept(&listeners);
        assert_eq!(queue, 0);
        drop(server);
        assert_eq!((&client).read(&mut [0; 1]).unwrap(), 0);
        drop(client);
        while world.nets[0].table_sizes().2 == 0 || world.peer.table_sizes().1 != 0 {
            thread::sleep(Duration::from_millis(1));
        }
        world.switch.to(1);
        let client = open().unwrap();
        let (queue, server) = accept(&listeners);
        assert_eq!((queue, world.nets[0].table_sizes().2), (0, 0), "the record became the new connection");
        exchange(&client, &server, 5_000);
    });
}

/// 4987-3.6
#[test]
fn the_answer_to_a_cookie_finds_who_sent_the_cookie() {
    watched(|| {
        let mut settings = config(2);
        settings.tcp.max_half_open = 0;
        let world = world_with(2, settings);
        let listeners = world.listen_everywhere(80);
        world.switch.by(|packet| Some(if is_syn(packet) { 0 } else { 1 }));
        let client = world.peer.connect("10.0.0.2:80").unwrap();
        let (queue, server) = accept(&listeners);
        assert_eq!((queue, world.nets[0].counters().cookies_valid), (0, 1));
        exchange(&client, &server, 5_000);
        assert_eq!(world.sum().resets_out, 0);
    });
}

/// 9293-MUST-54
#[test]
fn packet_too_big_finds_the_connection_that_it_quotes() {
    watched(|| {
        let world = world(2);
        let listeners = world.listen_everywhere(80);
        let client = world.peer.connect("10.0.0.2:80").unwrap();
        let (_, server) = accept(&listeners);
        let before = server.snapshot().unwrap().segment_payload;
        world.switch.by(|_| None);
        (&server).write_all(&pattern(1_000)).unwrap();
        let sent = loop {
            let heard = world.switch.heard_on(0);
            if let Some(packet) = heard.iter().find(|packet| packet.len() > 1_000) {
                break packet.clone();
            }
            thread::sleep(Duration::from_millis(1));
        };
        let router: IpAddr = "10.0.0.9".parse().unwrap();
        world.switch.inject(1, &kit::icmp_error(router, &sent, IcmpError::PacketTooBig { mtu: 900 }));
        while server.snapshot().unwrap().segment_payload == before {
            thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(server.snapshot().unwrap().segment_payload + 52, 900);
        world.switch.to(0);
        let mut text = vec![0; 1_000];
        (&client).read_exact(&mut text).unwrap();
        assert!(text == pattern(1_000));
        world.expect_handed_over([0, 1]);
    });
}

#[test]
fn siblings_never_choose_the_same_port() {
    watched(|| {
        let world = world(2);
        let listener = world.peer.bind("10.0.0.1:80").unwrap();
        let remote = listener.local_addr().unwrap();
        let mut opened = Vec::new();
        for number in 0..40 {
            let queue = number % 2;
            world.switch.to(queue ^ 1);
            let stream = world.nets[queue].connect(remote).unwrap();
            assert_eq!(usize::from(stream.local_addr().unwrap().port()) % 2, queue);
            opened.push((stream, listener.accept().unwrap().0));
        }
        assert_eq!(world.nets[0].bind("10.0.0.2:0").unwrap().local_addr().unwrap().port() % 2, 0);
        assert_eq!(world.nets[1].bind_udp("10.0.0.2:0").unwrap().local_addr().unwrap().port() % 2, 1);
        let taken = opened[0].0.local_addr().unwrap();
        assert_eq!(world.nets[1].connect_from(taken, remote).unwrap_err().kind(), ErrorKind::AddrInUse);
        for (here, there) in &opened {
            exchange(here, there, 100);
        }
    });
}

/// Each packet goes to a queue by chance, both sides open connections, and all octets arrive.
#[test]
fn packets_scattered_over_the_queues_all_find_their_connections() {
    watched(|| {
        let world = world(3);
        let listeners = world.listen_everywhere(80);
        let there = world.peer.bind("10.0.0.1:80").unwrap();
        let mut state = 1_u32;
        world.switch.by(move |_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            Some((state >> 16) as usize % 3)
        });
        thread::scope(|scope| {
            let (world, listeners, there) = (&world, &listeners, &there);
            for number in 0..12 {
                if number % 2 == 0 {
                    let client = world.peer.connect("10.0.0.2:80").unwrap();
                    let (_, server) = accept(listeners);
                    scope.spawn(move || exchange(&client, &server, 60_000));
                } else {
                    let client = world.nets[number % 3].connect("10.0.0.1:80").unwrap();
                    let (server, _) = there.accept().unwrap();
                    scope.spawn(move || exchange(&client, &server, 60_000));
                }
            }
        });
        let sum = world.sum();
        assert!(sum.handed_over > 100, "{}", sum.handed_over);
        assert_eq!((sum.resets_out, sum.dropped(DropReason::SiblingBusy)), (0, 0));
    });
}
