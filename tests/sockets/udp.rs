//! UdpSocket and Pinger, over two networks in one process.

use std::io::{self, ErrorKind, IoSliceMut};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use crate::common::{pattern, two, watched};
use glasstcp::net::{EcnCodepoint, Fragmentation, Message, RecvMeta, UdpSocket};

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
            assert_eq!(pinger.send(4, &[0; 70_000]).unwrap_err().kind(), ErrorKind::InvalidInput);
        }
        assert!(b.counters().packets_in >= 6);
    });
}

/// All of `std::net::UdpSocket`, by the same names and signatures.
macro_rules! as_in_std {
    ($name:ident, $socket:ty) => {
        fn $name(socket: &$socket, peer: SocketAddr) -> io::Result<()> {
            let (group4, group6) = (Ipv4Addr::new(239, 1, 2, 3), "ff15::1".parse::<Ipv6Addr>().unwrap());
            socket.set_broadcast(true)?;
            socket.set_multicast_loop_v4(false)?;
            socket.set_multicast_loop_v6(false)?;
            socket.set_multicast_ttl_v4(3)?;
            socket.set_ttl(9)?;
            let settings = (socket.broadcast()?, socket.multicast_loop_v4()?, socket.multicast_loop_v6()?);
            assert_eq!(settings, (true, false, false));
            assert_eq!((socket.multicast_ttl_v4()?, socket.ttl()?), (3, 9));
            assert!(socket.set_ttl(0).is_err() && socket.set_multicast_ttl_v4(256).is_err());
            socket.join_multicast_v4(&group4, &Ipv4Addr::UNSPECIFIED)?;
            let twice = socket.join_multicast_v4(&group4, &Ipv4Addr::UNSPECIFIED).unwrap_err();
            assert_eq!(twice.kind(), ErrorKind::AddrInUse);
            socket.leave_multicast_v4(&group4, &Ipv4Addr::UNSPECIFIED)?;
            let twice = socket.leave_multicast_v4(&group4, &Ipv4Addr::UNSPECIFIED).unwrap_err();
            assert_eq!(twice.kind(), ErrorKind::AddrNotAvailable);
            let no_group = socket.join_multicast_v4(&Ipv4Addr::new(10, 0, 0, 1), &Ipv4Addr::UNSPECIFIED).unwrap_err();
            assert_eq!(no_group.kind(), ErrorKind::InvalidInput);
            socket.join_multicast_v6(&group6, 0)?;
            socket.leave_multicast_v6(&group6, 0)?;
            socket.set_read_timeout(Some(Duration::from_secs(5)))?;
            socket.set_write_timeout(Some(Duration::from_secs(5)))?;
            assert_eq!(socket.read_timeout()?, socket.write_timeout()?);
            assert_eq!(socket.send_to(&[0; 65_508], peer).unwrap_err().raw_os_error(), Some(EMSGSIZE));
            socket.connect(peer)?;
            assert_eq!(socket.peer_addr()?, peer);
            assert!(!socket.local_addr()?.ip().is_unspecified(), "connected, it has one address");
            assert!(socket.take_error()?.is_none());
            socket.set_nonblocking(true)?;
            let mut buffer = [0; 8];
            for result in [
                socket.recv(&mut buffer).map(|_| ()),
                socket.peek(&mut buffer).map(|_| ()),
                socket.recv_from(&mut buffer).map(|_| ()),
                socket.peek_from(&mut buffer).map(|_| ()),
            ] {
                assert_eq!(result.unwrap_err().kind(), ErrorKind::WouldBlock);
            }
            let _ = socket.send(b"x")?;
            let _: $socket = socket.try_clone()?;
            Ok(())
        }
    };
}

as_in_std!(ours_as_in_std, UdpSocket);
as_in_std!(std_as_in_std, std::net::UdpSocket);

#[test]
fn everything_of_std_is_there() {
    watched(|| {
        let (a, _b) = two();
        ours_as_in_std(&a.bind_udp("[::]:0").unwrap(), "10.0.0.2:9".parse().unwrap()).unwrap();
        // The same with the operating system's is only compiled: it would need addresses and groups of the machine.
        let _ = std_as_in_std;
    });
}

/// 1122-4.1.3.5, 1122-4.1.4, 8899-4.4: what a library of QUIC asks of a socket.
#[test]
fn batches_and_super_datagrams_carry_what_quic_needs() {
    watched(|| {
        let (a, b) = two();
        let (client, server) = (a.bind_udp("0.0.0.0:0").unwrap(), b.bind_udp("[::]:443").unwrap());
        client.set_fragmentation(Fragmentation::Probe).unwrap();
        client.set_dscp(8).unwrap();
        let to: SocketAddr = "10.0.0.2:443".parse().unwrap();
        assert_eq!(client.max_datagram_size(to.ip()).unwrap(), 1_472);
        assert_eq!(client.send_to(&[0; 1_473], to).unwrap_err().raw_os_error(), Some(EMSGSIZE));
        let data = pattern(5_500);
        let whole = Message { segment_size: Some(1_200), ecn: Some(EcnCodepoint::Ect0), ..Message::to(to, &data) };
        let single = Message { ecn: Some(EcnCodepoint::Ce), ..Message::to(to, b"single") };
        assert!(client.max_transmit_segments() >= 5);
        assert_eq!(client.send_many(&[whole, single]).unwrap(), 2);
        assert_eq!(client.send_many(&[]).unwrap(), 0);

        let mut buffers = vec![[0; 2_000]; 4];
        let mut metas = [RecvMeta::default(); 4];
        let mut received: Vec<(RecvMeta, Vec<u8>)> = Vec::new();
        while received.len() < 6 {
            let mut slices: Vec<IoSliceMut<'_>> = buffers.iter_mut().map(|buffer| IoSliceMut::new(buffer)).collect();
            let used = server.recv_many(&mut slices, &mut metas).unwrap();
            assert!((1..=4).contains(&used));
            received.extend((0..used).map(|n| (metas[n], buffers[n][..metas[n].len].to_vec())));
        }
        for ((meta, octets), expected) in received.iter().zip(data.chunks(1_200).chain([&b"single"[..]])) {
            assert_eq!((octets.as_slice(), meta.stride), (expected, expected.len()));
            assert_eq!((meta.destination, meta.dscp(), meta.hop_limit), (to, 8, 64));
            let ecn = if expected == b"single" { EcnCodepoint::Ce } else { EcnCodepoint::Ect0 };
            assert_eq!(meta.ecn(), Some(ecn));
            assert!(!meta.truncated && meta.arrived <= b.now());
        }
        // The answer leaves from the address that was asked.
        let answer = Message { source: Some(to), ..Message::to(received[0].0.source, b"answer") };
        assert_eq!(server.send_msg(&answer).unwrap(), 6);
        let mut buffer = [0; 3];
        assert_eq!(client.peek_msg(&mut buffer).unwrap().source, to);
        let meta = client.recv_msg(&mut buffer).unwrap();
        assert!(meta.truncated && meta.len == 3 && client.dropped().unwrap() == 0);
        assert_eq!((server.max_receive_segments(), server.set_gro(true).is_ok(), server.gro()), (1, true, true));
    });
}

/// Broadcasting needs a permission, as with the operating system.
#[test]
fn broadcasts_need_a_permission() {
    watched(|| {
        let (a, b) = two();
        let (sender, listener) = (a.bind_udp("0.0.0.0:0").unwrap(), b.bind_udp("0.0.0.0:67").unwrap());
        for to in ["255.255.255.255:67", "10.0.0.255:67"] {
            assert_eq!(sender.send_to(b"x", to).unwrap_err().kind(), ErrorKind::PermissionDenied);
        }
        sender.set_broadcast(true).unwrap();
        for to in ["255.255.255.255:67", "10.0.0.255:67"] {
            sender.send_to(b"x", to).unwrap();
            assert_eq!(listener.recv_msg(&mut [0; 2]).unwrap().destination, to.parse().unwrap());
        }
    });
}
