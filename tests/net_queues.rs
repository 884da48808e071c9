//! One host on several queues: packets that come to the wrong one find their connection, listener or socket all the same.

mod kit;
mod net_common;

use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use glasstcp::Config;
use glasstcp::counters::{Counters, DropReason};
use glasstcp::device::fd::FdDevice;
use glasstcp::device::{Capabilities, Device, RxMeta, TxMeta};
use glasstcp::net::{Net, TcpListener, TcpStream};
use glasstcp::wire::checksum::Checksum;
use glasstcp::wire::icmp::IcmpError;
use glasstcp::wire::tcp::{self, Flags};
use glasstcp::wire::udp::{self, UdpHeader};
use glasstcp::wire::{parse_ip, protocol};
use net_common::{config, pattern, watched};

/// The queue of a packet from the peer; `None` loses it.
type Steer = Box<dyn FnMut(&[u8]) -> Option<usize> + Send>;

/// The queue on which a packet came from the host, and the packet.
type Heard = (usize, Vec<u8>);

/// The far side of all queues, as the kernel is that of a TUN: it chooses the queue of each packet, as the test says.
#[derive(Clone)]
struct Switch {
    queues: Arc<Vec<FdDevice>>,
    steer: Arc<Mutex<Steer>>,
    heard: Arc<Mutex<Vec<Heard>>>,
}

impl Device for Switch {
    fn capabilities(&self) -> Capabilities {
        self.queues[0].capabilities()
    }

    fn receive(&self, buffer: &mut [u8]) -> io::Result<RxMeta> {
        for (number, queue) in self.queues.iter().enumerate() {
            // An error is that of a queue whose network was closed.
            if let Ok(meta) = queue.receive(buffer) {
                self.heard.lock().unwrap().push((number, buffer[..meta.len].to_vec()));
                return Ok(meta);
            }
        }
        Err(ErrorKind::WouldBlock.into())
    }

    fn transmit(&self, packet: &[IoSlice<'_>], meta: &TxMeta) -> io::Result<()> {
        let whole: Vec<u8> = packet.iter().flat_map(|piece| piece.iter().copied()).collect();
        let queue = (self.steer.lock().unwrap())(&whole);
        queue.map_or(Ok(()), |queue| self.queues[queue].transmit(packet, meta))
    }

    fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn name(&self) -> &str {
        "switch"
    }
}

impl Switch {
    /// All packets of the peer go to this queue from now on.
    fn to(&self, queue: usize) {
        self.by(move |_| Some(queue));
    }

    fn by(&self, steer: impl FnMut(&[u8]) -> Option<usize> + Send + 'static) {
        *self.steer.lock().unwrap() = Box::new(steer);
    }

    /// Puts a packet of nobody's making onto a queue.
    fn inject(&self, queue: usize, packet: &[u8]) {
        while let Err(error) = self.queues[queue].transmit(&[IoSlice::new(packet)], &TxMeta::default()) {
            assert_eq!(error.kind(), ErrorKind::WouldBlock);
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// The TCP packets that came from the host on this queue.
    fn heard_on(&self, queue: usize) -> Vec<Vec<u8>> {
        let heard = self.heard.lock().unwrap();
        let tcp = |packet: &[u8]| parse_ip(packet).is_ok_and(|ip| ip.protocol == protocol::TCP);
        heard.iter().filter(|(on, packet)| *on == queue && tcp(packet)).map(|(_, packet)| packet.clone()).collect()
    }
}

/// A gate before the reading of a queue.
#[derive(Clone, Default)]
struct Gate {
    shut: Arc<(Mutex<bool>, Condvar)>,
    somebody_waits: Arc<AtomicBool>,
}

struct Gated(FdDevice, Gate);

impl Device for Gated {
    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }

    fn receive(&self, buffer: &mut [u8]) -> io::Result<RxMeta> {
        let (shut, opened) = &*self.1.shut;
        let mut shut = shut.lock().unwrap();
        while *shut {
            self.1.somebody_waits.store(true, Ordering::SeqCst);
            shut = opened.wait(shut).unwrap();
        }
        self.0.receive(buffer)
    }

    fn transmit(&self, packet: &[IoSlice<'_>], meta: &TxMeta) -> io::Result<()> {
        self.0.transmit(packet, meta)
    }

    fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        self.0.as_fd()
    }

    fn name(&self) -> &str {
        self.0.name()
    }
}

/// The peer, 10.0.0.1, the host, 10.0.0.2, on so many queues, what is between them, and a gate before queue 0.
struct World {
    peer: Net,
    nets: Vec<Net>,
    switch: Switch,
    gate: Gate,
}

fn world(queues: usize) -> World {
    world_with(queues, config(2))
}

fn world_with(queues: usize, config_of_host: Config) -> World {
    let gate = Gate::default();
    let (mut near, mut far) = (Vec::new(), Vec::new());
    for queue in 0..queues {
        let (a, b) = FdDevice::pair(1500).unwrap();
        near.push(Gated(a, if queue == 0 { gate.clone() } else { Gate::default() }));
        far.push(b);
    }
    let steer: Steer = Box::new(|_| Some(0));
    let switch = Switch { queues: Arc::new(far), steer: Arc::new(Mutex::new(steer)), heard: Arc::default() };
    let nets = Net::start_queues(near, config_of_host).unwrap();
    World { peer: Net::start(switch.clone(), config(1)).unwrap(), nets, switch, gate }
}

impl World {
    /// A listener on the same port of every queue.
    fn listen_everywhere(&self, port: u16) -> Vec<TcpListener> {
        let listeners: Vec<_> = self.nets.iter().map(|net| net.bind(("10.0.0.2", port)).unwrap()).collect();
        listeners.iter().for_each(|listener| listener.set_nonblocking(true).unwrap());
        listeners
    }

    fn sum(&self) -> Counters {
        let mut sum = Counters::default();
        self.nets.iter().for_each(|net| sum.add(&net.counters()));
        sum
    }

    fn handed_over(&self, queue: usize) -> u64 {
        self.nets[queue].counters().handed_over
    }

    /// Asserts how many packets each queue has handed over. They are counted a moment after the sibling got them.
    #[track_caller]
    fn expect_handed_over<const N: usize>(&self, expected: [u64; N]) {
        let counts = || std::array::from_fn(|queue| self.handed_over(queue));
        while counts().iter().zip(expected).any(|(&count, expected)| count < expected) {
            thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(counts(), expected);
    }
}

/// The queue on which a connection came in, and the connection.
fn accept(listeners: &[TcpListener]) -> (usize, TcpStream) {
    loop {
        for (queue, listener) in listeners.iter().enumerate() {
            if let Ok((stream, _)) = listener.accept() {
                stream.set_nonblocking(false).unwrap();
                return (queue, stream);
            }
        }
        thread::sleep(Duration::from_millis(1));
    }
}

/// Sends octets both ways at once and compares them.
fn exchange(client: &TcpStream, server: &TcpStream, len: usize) {
    let sent = pattern(len);
    thread::scope(|scope| {
        for (writer, reader) in [(client, server), (server, client)] {
            let sent = &sent;
            scope.spawn(move || (&*writer).write_all(sent).unwrap());
            scope.spawn(move || {
                let mut received = vec![0; len];
                (&*reader).read_exact(&mut received).unwrap();
                assert!(received == *sent, "what arrived differs");
            });
        }
    });
}

fn is_syn(packet: &[u8]) -> bool {
    let Ok(ip) = parse_ip(packet) else { return false };
    ip.protocol == protocol::TCP && tcp::parse(ip.payload).is_ok_and(|(header, _)| header.flags == Flags::SYN)
}

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
