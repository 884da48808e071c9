//! TcpStream and TcpListener: the contract of `std::net`, over two networks in one process.

use std::io::{ErrorKind, IoSlice, IoSliceMut, Read, Write, copy};
use std::net::{Ipv6Addr, Shutdown, SocketAddr};
use std::thread;
use std::time::Duration;

use crate::common::{connected, pattern, two, watched};
use glasstcp::net::{Net, TcpListener, TcpStream};
use glasstcp::tcp::congestion::Algorithm;

#[test]
fn an_echo_server_of_std_works_unchanged() {
    watched(|| {
        let (a, b) = two();
        let server = thread::spawn(move || {
            let _guard = b.enter();
            let listener = TcpListener::bind("0.0.0.0:7").unwrap();
            for stream in listener.incoming().take(2) {
                let stream = stream.unwrap();
                copy(&mut &stream, &mut &stream).unwrap();
            }
        });
        let _guard = a.enter();
        for _ in 0..2 {
            let stream = loop {
                match TcpStream::connect("10.0.0.2:7") {
                    Ok(stream) => break stream,
                    Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionRefused),
                }
            };
            let data = pattern(3_000_000);
            let sent = data.clone();
            let writer = stream.try_clone().unwrap();
            let writer = thread::spawn(move || {
                (&writer).write_all(&sent).unwrap();
                writer.shutdown(Shutdown::Write).unwrap();
            });
            let mut echoed = Vec::new();
            (&stream).read_to_end(&mut echoed).unwrap();
            assert!(echoed == data);
            writer.join().unwrap();
        }
        server.join().unwrap();
    });
}

#[test]
fn a_half_close_ends_one_direction_only() {
    watched(|| {
        let (a, b) = two();
        let (client, server, _listener) = connected(&a, &b);
        (&client).write_all(b"question").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!((&client).write(b"more").unwrap_err().kind(), ErrorKind::BrokenPipe);
        let mut text = String::new();
        (&server).read_to_string(&mut text).unwrap();
        assert_eq!(text, "question");
        assert_eq!((&server).read(&mut [0; 4]).unwrap(), 0);
        (&server).write_all(b"answer").unwrap();
        server.shutdown(Shutdown::Both).unwrap();
        text.clear();
        (&client).read_to_string(&mut text).unwrap();
        assert_eq!(text, "answer");
        assert_eq!(client.take_error().unwrap().map(|error| error.kind()), None);
    });
}

#[test]
fn shutting_down_reading_wakes_a_reader_in_another_thread() {
    watched(|| {
        let (a, b) = two();
        let (client, server, _listener) = connected(&a, &b);
        let reader = client.try_clone().unwrap();
        let reader = thread::spawn(move || (&reader).read(&mut [0; 10]).unwrap());
        client.shutdown(Shutdown::Read).unwrap();
        assert_eq!(reader.join().unwrap(), 0);
        (&client).write_all(b"still writing").unwrap();
        let mut buffer = [0; 13];
        (&server).read_exact(&mut buffer).unwrap();
        assert_eq!(&buffer, b"still writing");
    });
}

#[test]
fn peeking_leaves_the_data_and_empty_buffers_read_nothing() {
    watched(|| {
        let (a, b) = two();
        let (client, server, _listener) = connected(&a, &b);
        assert_eq!((&server).read(&mut []).unwrap(), 0);
        assert_eq!((&server).write(&[]).unwrap(), 0);
        (&client).write_all(b"once").unwrap();
        let mut buffer = [0; 10];
        assert_eq!(server.peek(&mut buffer).unwrap(), 4);
        assert_eq!(server.peek(&mut buffer[..2]).unwrap(), 2);
        assert_eq!((&server).read(&mut buffer).unwrap(), 4);
        assert_eq!(&buffer[..4], b"once");
    });
}

#[test]
fn timeouts_and_non_blocking_mode_give_would_block() {
    watched(|| {
        let (a, b) = two();
        let (client, server, listener) = connected(&a, &b);
        assert_eq!(client.set_read_timeout(Some(Duration::ZERO)).unwrap_err().kind(), ErrorKind::InvalidInput);
        assert_eq!(client.read_timeout().unwrap(), None);
        client.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        assert_eq!(client.read_timeout().unwrap(), Some(Duration::from_millis(20)));
        assert_eq!((&client).read(&mut [0; 4]).unwrap_err().kind(), ErrorKind::WouldBlock);
        assert_eq!(client.peek(&mut [0; 4]).unwrap_err().kind(), ErrorKind::WouldBlock);

        // The server reads nothing, so that at some time nothing finds room any more.
        client.set_write_timeout(Some(Duration::from_millis(20))).unwrap();
        let data = pattern(1 << 20);
        let mut written = 0;
        let error = loop {
            match (&client).write(&data) {
                Ok(count) => written += count,
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        client.set_nonblocking(true).unwrap();
        assert_eq!((&client).write(&data).unwrap_err().kind(), ErrorKind::WouldBlock);
        assert_eq!((&client).read(&mut [0; 4]).unwrap_err().kind(), ErrorKind::WouldBlock);
        listener.set_nonblocking(true).unwrap();
        assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);

        client.set_nonblocking(false).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let mut read = Vec::new();
        (&server).read_to_end(&mut read).unwrap();
        assert_eq!(read.len(), written);
    });
}

#[test]
fn vectored_calls_fill_and_take_several_pieces() {
    watched(|| {
        let (a, b) = two();
        let (mut client, mut server, _listener) = connected(&a, &b);
        let pieces = [IoSlice::new(b"one "), IoSlice::new(b""), IoSlice::new(b"two "), IoSlice::new(b"three")];
        assert_eq!(client.write_vectored(&pieces).unwrap(), 13);
        client.shutdown(Shutdown::Write).unwrap();
        while server.peek(&mut [0; 20]).unwrap() < 13 {}
        let (mut first, mut second) = ([0; 6], [0; 20]);
        let count = server.read_vectored(&mut [
            IoSliceMut::new(&mut first),
            IoSliceMut::new(&mut []),
            IoSliceMut::new(&mut second),
        ]);
        assert_eq!(count.unwrap(), 13);
        assert_eq!((&first, &second[..7]), (b"one tw", &b"o three"[..]));
    });
}

/// 9293-MUST-17, 9293-3.10.6-1
#[test]
fn what_is_set_can_be_read_back() {
    watched(|| {
        let (a, b) = two();
        let (client, server, listener) = connected(&a, &b);
        assert_eq!(client.peer_addr().unwrap(), listener.local_addr().unwrap());
        assert_eq!(client.local_addr().unwrap(), server.peer_addr().unwrap());
        let again = client.try_clone().unwrap();
        assert!(!client.nodelay().unwrap());
        client.set_nodelay(true).unwrap();
        assert!(again.nodelay().unwrap());
        client.set_ttl(9).unwrap();
        assert_eq!(again.ttl().unwrap(), 9);
        assert_eq!(client.set_ttl(0).unwrap_err().kind(), ErrorKind::InvalidInput);
        assert_eq!(client.set_ttl(256).unwrap_err().kind(), ErrorKind::InvalidInput);
        client.set_linger(Some(Duration::from_secs(2))).unwrap();
        assert_eq!(again.linger().unwrap(), Some(Duration::from_secs(2)));
        client.set_linger(None).unwrap();
        client.set_keepalive(Some(Duration::from_secs(60))).unwrap();
        assert_eq!(again.keepalive().unwrap(), Some(Duration::from_secs(60)));
        client.set_user_timeout(Some(Duration::MAX)).unwrap();
        assert_eq!(again.user_timeout().unwrap(), Some(Duration::MAX));
        client.set_cork(true).unwrap();
        assert!(again.cork().unwrap());
        assert_eq!(client.congestion().unwrap(), Algorithm::Cubic);
        for algorithm in [Algorithm::Bbr, Algorithm::Reno] {
            client.set_congestion(algorithm).unwrap();
            assert_eq!((again.congestion().unwrap(), client.snapshot().unwrap().congestion), (algorithm, algorithm));
        }
        client.set_dscp(46).unwrap();
        assert_eq!((again.dscp().unwrap(), client.set_dscp(64).unwrap_err().kind()), (46, ErrorKind::InvalidInput));
        client.set_send_buffer(10_000).unwrap();
        client.set_receive_buffer(20_000).unwrap();
        assert_eq!((again.send_buffer().unwrap(), again.receive_buffer().unwrap()), (10_000, 20_000));
        assert!(client.take_soft_error().is_none() && !client.at_mark().unwrap());
        let snapshot = client.snapshot().unwrap();
        assert_eq!(snapshot.state.to_string(), "ESTABLISHED");
        assert_eq!((snapshot.local, snapshot.remote), (client.local_addr().unwrap(), client.peer_addr().unwrap()));
        assert_eq!((a.snapshots(10).len(), a.snapshots(0).len(), b.listeners().len()), (1, 0, 1));
        assert_eq!(a.counters().active_opens, 1);
        listener.set_ttl(7).unwrap();
        let (_client, server) = (a.connect(listener.local_addr().unwrap()).unwrap(), listener.accept().unwrap().0);
        assert_eq!((listener.ttl().unwrap(), server.ttl().unwrap()), (7, 7));
    });
}

/// 9293-MUST-33
#[test]
fn urgent_data_comes_in_line_with_its_mark() {
    watched(|| {
        let (a, b) = two();
        let (client, server, _listener) = connected(&a, &b);
        (&client).write_all(b"ab").unwrap();
        client.send_urgent(b"c").unwrap();
        (&client).write_all(b"d").unwrap();
        let mut buffer = [0; 2];
        (&server).read_exact(&mut buffer).unwrap();
        while !server.at_mark().unwrap() {
            thread::yield_now();
        }
        (&server).read_exact(&mut buffer).unwrap();
        assert_eq!((&buffer, server.at_mark().unwrap()), (b"cd", false));
    });
}

#[test]
fn ipv6_works_alike() {
    watched(|| {
        let (a, b) = two();
        let listener = b.bind((Ipv6Addr::UNSPECIFIED, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut client = a.connect(("fd00:67::2", port)).unwrap();
        let (mut server, peer) = listener.accept().unwrap();
        assert!(peer.is_ipv6());
        client.write_all(b"six").unwrap();
        let mut buffer = [0; 3];
        server.read_exact(&mut buffer).unwrap();
        assert_eq!(&buffer, b"six");
    });
}

#[test]
fn opening_fails_as_in_std() {
    watched(|| {
        let (a, b) = two();
        let kind = |address: &str| a.connect(address).unwrap_err().kind();
        assert_eq!(kind("10.0.0.2:9"), ErrorKind::ConnectionRefused);
        assert_eq!(kind("255.255.255.255:9"), ErrorKind::InvalidInput);
        assert_eq!(kind("10.0.0.2:0"), ErrorKind::InvalidInput);
        // One address that nobody has, one on which nobody listens: the error is that of the last one.
        let listener = b.bind("10.0.0.2:80").unwrap();
        let addresses: [SocketAddr; 2] = ["10.0.0.2:9".parse().unwrap(), "10.0.0.2:80".parse().unwrap()];
        a.connect(&addresses[..]).unwrap();
        let silent: SocketAddr = "10.0.0.77:80".parse().unwrap();
        assert_eq!(a.connect_timeout(&silent, Duration::ZERO).unwrap_err().kind(), ErrorKind::InvalidInput);
        let error = a.connect_timeout(&silent, Duration::from_millis(30)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert!(a.snapshots(10).iter().all(|snapshot| snapshot.remote != silent), "the attempt is over");
        assert_eq!(b.bind("10.0.0.2:80").unwrap_err().kind(), ErrorKind::AddrInUse);
        assert_eq!(b.bind("10.0.0.9:80").unwrap_err().kind(), ErrorKind::AddrNotAvailable);
        drop(listener);
        let _listener = b.bind("10.0.0.2:80").unwrap();
        let local: SocketAddr = "10.0.0.1:5555".parse().unwrap();
        let stream = a.connect_from(local, addresses[1]);
        assert_eq!(stream.unwrap().local_addr().unwrap(), local);
        let pending = a.connect_nonblocking(&silent).unwrap();
        assert_eq!(pending.peer_addr().unwrap_err().kind(), ErrorKind::NotConnected);
    });
}

#[test]
fn without_a_current_net_the_error_says_what_to_do() {
    watched(|| {
        let text = TcpStream::connect("10.0.0.2:80").unwrap_err().to_string();
        assert!(text.contains("net.enter()") && text.contains("Net::set_default"), "{text}");
        let (a, b) = two();
        {
            let outer = a.enter();
            let inner = b.enter();
            assert_eq!(Net::current().unwrap().addresses(), b.addresses());
            drop(outer);
            assert_eq!(Net::current().unwrap().addresses(), b.addresses());
            drop(inner);
        }
        assert_eq!(TcpListener::bind("10.0.0.1:80").unwrap_err().kind(), ErrorKind::NotFound);
        Net::set_default(&a);
        let listener = thread::spawn(|| TcpListener::bind("10.0.0.1:80").unwrap()).join().unwrap();
        drop((a, listener));
        assert_eq!(Net::current().unwrap_err().kind(), ErrorKind::NotFound);
    });
}
