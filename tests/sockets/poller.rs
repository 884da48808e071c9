//! Poller: level, edge, wakers, and what becomes of registrations.

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::thread;
use std::time::Duration;

use crate::common::{connected, pattern, two, watched};
use glasstcp::net::{Event, Events, Interest, Net, Poller, Token, Trigger};

const BOTH: Interest = Interest::READABLE.add(Interest::WRITABLE);

/// Waits until something is reported.
fn wait(poller: &Poller) -> Vec<Event> {
    let mut events = Events::with_capacity(16);
    assert!(poller.wait(&mut events, None).unwrap() > 0);
    assert_eq!(events.len(), events.iter().len());
    events.iter().collect()
}

/// What is reported within a moment.
fn glance(poller: &Poller) -> Vec<Event> {
    let mut events = Events::with_capacity(16);
    poller.wait(&mut events, Some(Duration::from_millis(20))).unwrap();
    events.iter().collect()
}

#[test]
fn level_is_reported_as_long_as_it_holds() {
    watched(|| {
        let (a, b) = two();
        let (client, server, listener) = connected(&a, &b);
        let poller = Poller::new(&b).unwrap();
        poller.register(&listener, Token(1), Interest::READABLE, Trigger::Level).unwrap();
        poller.register(&server, Token(2), Interest::READABLE, Trigger::Level).unwrap();
        assert!(glance(&poller).is_empty());
        (&client).write_all(b"data").unwrap();
        for _ in 0..3 {
            let events = wait(&poller);
            assert_eq!(events.len(), 1);
            assert!(events[0].token() == Token(2) && events[0].is_readable() && !events[0].is_writable());
        }
        (&server).read_exact(&mut [0; 4]).unwrap();
        assert!(glance(&poller).is_empty());
        let _second = a.connect(listener.local_addr().unwrap()).unwrap();
        assert!(wait(&poller)[0].token() == Token(1));
        listener.accept().unwrap();
        assert!(glance(&poller).is_empty());
        client.shutdown(Shutdown::Write).unwrap();
        let events = wait(&poller);
        assert!(events[0].is_read_closed() && events[0].is_readable() && !events[0].is_error());
        assert_eq!((&server).read(&mut [0; 4]).unwrap(), 0);
        assert!(wait(&poller)[0].is_read_closed());
    });
}

#[test]
fn an_edge_is_reported_once() {
    watched(|| {
        let (a, b) = two();
        let (client, server, _listener) = connected(&a, &b);
        let poller = Poller::new(&b).unwrap();
        poller.register(&server, Token(2), BOTH, Trigger::Edge).unwrap();
        // Ready for writing when it was registered.
        let events = wait(&poller);
        assert!(events[0].is_writable() && !events[0].is_readable());
        assert!(glance(&poller).is_empty());
        for text in [b"one", b"two"] {
            (&client).write_all(text).unwrap();
            let events = wait(&poller);
            assert!(events.len() == 1 && events[0].is_readable());
            assert!(glance(&poller).is_empty(), "nothing was read, and yet it is told once");
        }
        poller.reregister(&server, Token(3), Interest::READABLE, Trigger::Edge).unwrap();
        assert_eq!(wait(&poller)[0].token(), Token(3));
        assert!(glance(&poller).is_empty());

        // Written until nothing more finds room, it becomes writable again when the peer has read.
        let mut buffer = [0; 6];
        (&server).read_exact(&mut buffer).unwrap();
        poller.reregister(&server, Token(4), Interest::WRITABLE, Trigger::Edge).unwrap();
        assert!(wait(&poller)[0].is_writable());
        server.set_nonblocking(true).unwrap();
        let data = pattern(1 << 20);
        let mut written = 0;
        let error = loop {
            match (&server).write(&data) {
                Ok(count) => written += count,
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        let reader = thread::spawn(move || (&client).read_exact(&mut vec![0; written]).unwrap());
        assert!(wait(&poller)[0].is_writable());
        reader.join().unwrap();
    });
}

#[test]
fn a_nonblocking_connection_becomes_writable_or_fails() {
    watched(|| {
        let (a, b) = two();
        let listener = b.bind("10.0.0.2:80").unwrap();
        let poller = Poller::new(&a).unwrap();
        let good = a.connect_nonblocking(&listener.local_addr().unwrap()).unwrap();
        poller.register(&good, Token(1), Interest::WRITABLE, Trigger::Edge).unwrap();
        assert!(wait(&poller)[0].is_writable() && good.take_error().unwrap().is_none());
        good.peer_addr().unwrap();
        let bad = a.connect_nonblocking(&"10.0.0.2:81".parse().unwrap()).unwrap();
        poller.register(&bad, Token(2), Interest::WRITABLE, Trigger::Edge).unwrap();
        let events = wait(&poller);
        assert!(events[0].token() == Token(2) && events[0].is_error() && events[0].is_writable());
        assert_eq!(bad.take_error().unwrap().unwrap().kind(), ErrorKind::ConnectionRefused);
        assert!(bad.take_error().unwrap().is_none());
    });
}

#[test]
fn a_waker_ends_a_wait_and_counts_once() {
    watched(|| {
        let (a, _b) = two();
        let poller = Poller::new(&a).unwrap();
        let waker = poller.waker(Token(9));
        let other = waker.clone();
        let thread = thread::spawn(move || {
            for _ in 0..3 {
                other.wake().unwrap();
            }
        });
        let events = wait(&poller);
        assert!(events[0].token() == Token(9) && !events[0].is_readable() && !events[0].is_error());
        thread.join().unwrap();
        glance(&poller);
        waker.wake().unwrap();
        waker.wake().unwrap();
        assert_eq!(wait(&poller).len(), 1);
        assert!(glance(&poller).is_empty());
        drop(poller);
        assert_eq!(waker.wake().unwrap_err().kind(), ErrorKind::NotConnected);
    });
}

#[test]
fn registrations_come_and_go() {
    watched(|| {
        let (a, b) = two();
        let (client, server, _listener) = connected(&a, &b);
        let poller = Poller::new(&b).unwrap();
        let kind = |result: std::io::Result<()>| result.unwrap_err().kind();
        assert_eq!(kind(poller.deregister(&server)), ErrorKind::NotFound);
        assert_eq!(kind(poller.reregister(&server, Token(1), BOTH, Trigger::Level)), ErrorKind::NotFound);
        assert_eq!(kind(poller.register(&client, Token(1), BOTH, Trigger::Level)), ErrorKind::InvalidInput);
        poller.register(&server, Token(1), BOTH, Trigger::Level).unwrap();
        assert_eq!(kind(poller.register(&server, Token(1), BOTH, Trigger::Level)), ErrorKind::AlreadyExists);
        // Ready, taken away and registered again before anybody waits: one report.
        for _ in 0..200 {
            poller.deregister(&server).unwrap();
            poller.register(&server, Token(1), BOTH, Trigger::Level).unwrap();
        }
        assert_eq!(wait(&poller).len(), 1);
        // Two pollers hear of the same socket.
        let second = Poller::new(&b).unwrap();
        second.register(&server, Token(5), Interest::READABLE, Trigger::Edge).unwrap();
        (&client).write_all(b"x").unwrap();
        assert_eq!(wait(&second)[0].token(), Token(5));
        while !wait(&poller)[0].is_readable() {}
        drop(server);
        assert!(glance(&poller).is_empty() && glance(&second).is_empty());
    });
}

#[test]
fn a_full_list_of_events_continues_with_the_next_wait() {
    watched(|| {
        let (a, b) = two();
        let poller = Poller::new(&b).unwrap();
        let sockets: Vec<_> = (0..2_000).map(|_| b.bind_udp("10.0.0.2:0").unwrap()).collect();
        for (number, socket) in sockets.iter().enumerate() {
            poller.register(socket, Token(number), Interest::READABLE, Trigger::Level).unwrap();
        }
        assert!(glance(&poller).is_empty());
        let client = a.bind_udp("10.0.0.1:0").unwrap();
        let wanted = [3, 700, 1_999];
        for number in wanted {
            client.send_to(b"ready", sockets[number].local_addr().unwrap()).unwrap();
        }
        while (wanted.iter()).any(|&number| sockets[number].peek(&mut [0]).is_err()) {}
        let mut events = Events::with_capacity(1);
        let mut seen = Vec::new();
        for _ in wanted {
            assert_eq!(poller.wait(&mut events, None).unwrap(), 1);
            seen.extend((&events).into_iter().map(|event| event.token().0));
        }
        seen.sort_unstable();
        assert_eq!(seen, wanted);
    });
}

/// A reset reaches whoever waits, as an error and never as the end of the stream.
///
/// 9293-3.10.7.4-15, 9293-MUST-12, pitfall 37
#[test]
fn a_reset_wakes_reader_writer_and_poller() {
    watched(|| {
        let (a, b) = two();
        let (client, server, _listener) = connected(&a, &b);
        let poller = Poller::new(&a).unwrap();
        poller.register(&client, Token(1), Interest::READABLE, Trigger::Edge).unwrap();
        let (reader, writer) = (client.try_clone().unwrap(), client.try_clone().unwrap());
        let reader = thread::spawn(move || (&reader).read(&mut [0; 10]).unwrap_err().kind());
        let writer = thread::spawn(move || {
            let data = pattern(1 << 20);
            loop {
                if let Err(error) = (&writer).write(&data) {
                    return error.kind();
                }
            }
        });
        // The writer is stuck when nobody reads and everything is full.
        wait_full(&a, client.send_buffer().unwrap());
        server.abort();
        assert!(wait(&poller)[0].is_error());
        assert_eq!(reader.join().unwrap(), ErrorKind::ConnectionReset);
        assert_eq!(writer.join().unwrap(), ErrorKind::ConnectionReset);
        assert_eq!((&client).read(&mut [0; 10]).unwrap_err().kind(), ErrorKind::ConnectionReset);
        assert_eq!(client.take_error().unwrap().unwrap().kind(), ErrorKind::ConnectionReset);
        assert_eq!(client.shutdown(Shutdown::Both).unwrap_err().kind(), ErrorKind::NotConnected);
        assert_eq!((&server).write(b"x").unwrap_err().kind(), ErrorKind::ConnectionAborted);
    });
}

fn wait_full(net: &Net, capacity: usize) {
    loop {
        let snapshot = &net.snapshots(1)[0];
        // From there on a writer waits until a third is free.
        if (snapshot.unsent + snapshot.flight) as usize >= capacity - capacity / 3 {
            return;
        }
        thread::sleep(Duration::from_millis(1));
    }
}
