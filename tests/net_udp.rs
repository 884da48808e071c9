//! UdpSocket and Pinger, over two networks in one process.

mod net_common;

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use net_common::{pattern, two, watched};

/// What the operating system says of a datagram that is too long.
const EMSGSIZE: i32 = 90;

#[test]
fn datagrams_are_echoed_whole() {
    watched(|| {
        let (a, b) = two();
        let server = b.bind_udp("10.0.0.2:7").unwrap();
        let client = a.bind_udp("0.0.0.0:0").unwrap();
        for len in [0, 1, 1_472] {
            let data = pattern(len);
            assert_eq!(client.send_to(&data, "10.0.0.2:7").unwrap(), len);
            let mut buffer = [0; 2_000];
            let (got, from) = server.peek_from(&mut buffer).unwrap();
            assert_eq!((got, from.port()), (len, client.local_addr().unwrap().port()));
            let (got, from) = server.recv_from(&mut buffer).unwrap();
            assert_eq!(&buffer[..got], &data);
            server.send_to(&buffer[..got], from).unwrap();
            assert_eq!(client.recv(&mut buffer).unwrap(), len);
        }
        assert_eq!(client.send_to(&[0; 65_508], "10.0.0.2:7").unwrap_err().raw_os_error(), Some(EMSGSIZE));
        // What does not fit is lost, and the next datagram is whole.
        client.send_to(b"long", "10.0.0.2:7").unwrap();
        client.send_to(b"next", "10.0.0.2:7").unwrap();
        let mut buffer = [0; 2];
        assert_eq!((server.recv(&mut buffer).unwrap(), &buffer), (2, b"lo"));
        assert_eq!((server.recv(&mut buffer).unwrap(), &buffer), (2, b"ne"));
    });
}

#[test]
fn a_connected_socket_hears_its_peer_alone_and_its_refusal() {
    watched(|| {
        let (a, b) = two();
        let client = a.bind_udp("10.0.0.1:0").unwrap();
        assert_eq!(client.send(b"x").unwrap_err().kind(), ErrorKind::NotConnected);
        assert_eq!(client.peer_addr().unwrap_err().kind(), ErrorKind::NotConnected);
        client.connect("10.0.0.2:99").unwrap();
        assert_eq!(client.peer_addr().unwrap(), "10.0.0.2:99".parse::<SocketAddr>().unwrap());
        client.send(b"anybody there?").unwrap();
        // 1122-4.1.3.1: nobody, says ICMP.
        assert_eq!(client.recv(&mut [0; 10]).unwrap_err().kind(), ErrorKind::ConnectionRefused);
        let stranger = b.bind_udp("10.0.0.2:98").unwrap();
        let peer = b.bind_udp("10.0.0.2:99").unwrap();
        stranger.send_to(b"stranger", client.local_addr().unwrap()).unwrap();
        peer.send_to(b"peer", client.local_addr().unwrap()).unwrap();
        let mut buffer = [0; 10];
        assert_eq!(client.peek(&mut buffer).unwrap(), 4);
        assert_eq!((client.recv(&mut buffer).unwrap(), &buffer[..4]), (4, &b"peer"[..]));
        assert!(client.take_error().unwrap().is_none());
    });
}

#[test]
fn timeouts_modes_and_settings_are_those_of_std() {
    watched(|| {
        let (a, _b) = two();
        let socket = a.bind_udp("10.0.0.1:5000").unwrap();
        assert_eq!(a.bind_udp("10.0.0.1:5000").unwrap_err().kind(), ErrorKind::AddrInUse);
        assert_eq!(socket.set_read_timeout(Some(Duration::ZERO)).unwrap_err().kind(), ErrorKind::InvalidInput);
        socket.set_read_timeout(Some(Duration::from_millis(10))).unwrap();
        assert_eq!(socket.recv(&mut [0; 4]).unwrap_err().kind(), ErrorKind::WouldBlock);
        socket.set_nonblocking(true).unwrap();
        assert_eq!(socket.try_clone().unwrap().peek(&mut [0; 4]).unwrap_err().kind(), ErrorKind::WouldBlock);
        socket.set_ttl(3).unwrap();
        socket.set_broadcast(true).unwrap();
        socket.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
        assert_eq!((socket.ttl().unwrap(), socket.broadcast().unwrap()), (3, true));
        assert_eq!(socket.write_timeout().unwrap(), Some(Duration::from_secs(1)));
    });
}

/// A full queue makes a sender wait until the device has taken some.
#[test]
fn many_datagrams_are_sent_in_spite_of_a_short_queue() {
    watched(|| {
        let (a, b) = two();
        let server = b.bind_udp("10.0.0.2:7").unwrap();
        let client = a.bind_udp("10.0.0.1:0").unwrap();
        let sender = std::thread::spawn(move || {
            for _ in 0..30_000 {
                client.send_to(b"datagram", "10.0.0.2:7").unwrap();
            }
            while client.send_to(b"end", "10.0.0.2:7").is_ok() {
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        let mut buffer = [0; 20];
        while server.recv(&mut buffer).unwrap() != 3 {}
        b.close(Duration::ZERO);
        a.close(Duration::ZERO);
        sender.join().unwrap();
    });
}

#[test]
fn pings_are_answered() {
    watched(|| {
        let (a, b) = two();
        for to in ["10.0.0.2", "fd00:67::2"] {
            let pinger = a.ping(to.parse().unwrap()).unwrap();
            assert!(pinger.receive(Some(Duration::ZERO)).unwrap().is_none());
            for sequence in 1..=3 {
                let sent = pinger.send(sequence, b"are you there?").unwrap();
                let reply = pinger.receive(None).unwrap().unwrap();
                assert_eq!((reply.sequence, reply.source.to_string()), (sequence, to.to_string()));
                assert_eq!(reply.data, b"are you there?");
                assert!(reply.arrived >= sent && reply.arrived <= a.now());
            }
            assert_eq!(pinger.send(4, &[0; 1_500]).unwrap_err().kind(), ErrorKind::InvalidInput);
        }
        assert!(b.counters().packets_in >= 6);
    });
}
