//! Sockets of one host that talk to each other: by way of the loopback network and by the host's own addresses.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr};
use std::thread;
use std::time::Duration;

use crate::common;
use crate::common::{config, pattern, watched};
use glasstcp::device::Device;
use glasstcp::device::fd::FdDevice;
use glasstcp::net::Net;

const INSIDE: [&str; 4] = ["127.0.0.1", "::1", "10.0.0.2", "fd00:67::2"];

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// The host 10.0.0.2 on so many queues, and the far ends of these.
fn host(queues: usize) -> (Vec<Net>, Vec<FdDevice>) {
    let (near, far): (Vec<_>, Vec<_>) = (0..queues).map(|_| FdDevice::pair(1500).unwrap()).unzip();
    (Net::start_queues(near, config(2)).unwrap(), far)
}

/// Nothing has come out at the far ends.
fn assert_silent(far: &[FdDevice]) {
    for device in far {
        let received = device.receive(&mut [0; 65_536]);
        assert_eq!(received.unwrap_err().kind(), ErrorKind::WouldBlock, "something left the host");
    }
}

/// A client on one network, a server on the other, which may be the same.
fn exchange(client_net: &Net, server_net: &Net, address: IpAddr, octets: usize) {
    let listener = server_net.bind((address, 0)).unwrap();
    let to = listener.local_addr().unwrap();
    let data = pattern(octets);
    thread::scope(|scope| {
        scope.spawn(|| {
            let (mut stream, peer) = listener.accept().unwrap();
            assert_eq!((stream.local_addr().unwrap(), stream.peer_addr().unwrap()), (to, peer));
            let mut received = Vec::new();
            stream.read_to_end(&mut received).unwrap();
            stream.write_all(&received).unwrap();
        });
        let mut stream = client_net.connect(to).unwrap();
        let mut reader = stream.try_clone().unwrap();
        let answer = scope.spawn(move || {
            let mut answer = Vec::new();
            reader.read_to_end(&mut answer).unwrap();
            answer
        });
        stream.write_all(&data).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        assert!(answer.join().unwrap() == data, "what came back is what was sent");
    });
}

/// 1122-3.2.1.3-4
#[test]
fn streams_inside_one_network() {
    watched(|| {
        let (nets, far) = host(1);
        for address in INSIDE {
            exchange(&nets[0], &nets[0], ip(address), 5_000_000);
        }
        let closed = nets[0].connect("127.0.0.1:9").unwrap_err();
        assert_eq!(closed.kind(), ErrorKind::ConnectionRefused);
        assert_silent(&far);
        assert_eq!(nets[0].counters().packets_out, 0);
    });
}

#[test]
fn datagrams_and_pings_inside_one_network() {
    watched(|| {
        let (nets, far) = host(1);
        let net = &nets[0];
        for address in INSIDE {
            let server = net.bind_udp((ip(address), 0)).unwrap();
            let client = net.bind_udp((ip(address), 0)).unwrap();
            client.connect(server.local_addr().unwrap()).unwrap();
            client.send(&pattern(60_000)).unwrap();
            let mut buffer = vec![0; 65_536];
            let (len, from) = server.recv_from(&mut buffer).unwrap();
            assert_eq!((len, from), (60_000, client.local_addr().unwrap()));
            assert!(buffer[..len] == pattern(60_000));
            let pinger = net.ping(ip(address)).unwrap();
            pinger.send(7, b"hello").unwrap();
            let reply = pinger.receive(Some(Duration::from_secs(30))).unwrap().expect("a reply");
            assert_eq!((reply.source, reply.data.as_slice()), (ip(address), &b"hello"[..]));
        }
        assert_silent(&far);
    });
}

/// A connection whose ends are on different queues: every packet is handed over inside.
#[test]
fn streams_between_the_queues_of_a_host() {
    watched(|| {
        let (nets, far) = host(3);
        for address in INSIDE {
            exchange(&nets[0], &nets[2], ip(address), 1_000_000);
            exchange(&nets[1], &nets[1], ip(address), 1_000_000);
        }
        let closed = nets[0].connect("127.0.0.1:9").unwrap_err();
        assert_eq!(closed.kind(), ErrorKind::ConnectionRefused);
        let server = nets[1].bind_udp("127.0.0.1:0").unwrap();
        let client = nets[2].bind_udp("127.0.0.1:0").unwrap();
        client.send_to(b"over there", server.local_addr().unwrap()).unwrap();
        let mut buffer = [0; 100];
        assert_eq!(server.recv_from(&mut buffer).unwrap(), (10, client.local_addr().unwrap()));
        let handed_over: Vec<u64> = nets.iter().map(|net| net.counters().handed_over).collect();
        assert!(handed_over[0] > 0 && handed_over[2] > 0, "{handed_over:?}");
        assert_silent(&far);
    });
}

/// What listens on a loopback address is not there for others; what listens on all addresses is there for both.
#[test]
fn a_loopback_listener_is_for_this_host_alone() {
    watched(|| {
        let (a, b) = common::two();
        let listener = b.bind("127.0.0.1:80").unwrap();
        assert_eq!(a.connect("10.0.0.2:80").unwrap_err().kind(), ErrorKind::ConnectionRefused);
        drop(b.connect("127.0.0.1:80").unwrap());
        drop(listener);
        let listener = b.bind("0.0.0.0:80").unwrap();
        for (net, to) in [(&a, "10.0.0.2:80"), (&b, "10.0.0.2:80"), (&b, "127.0.0.1:80")] {
            let stream = net.connect(to).unwrap();
            let (accepted, peer) = listener.accept().unwrap();
            assert_eq!(accepted.local_addr().unwrap(), to.parse::<SocketAddr>().unwrap());
            assert_eq!(peer, stream.local_addr().unwrap());
        }
    });
}
