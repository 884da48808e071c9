//! Sockets in any-address mode: one network stands in for all hosts, and decides about each connection.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv6Addr, SocketAddr};
use std::thread;

use crate::common::{config, watched};
use glasstcp::device::fd::FdDevice;
use glasstcp::net::{BindOptions, Interest, ListenOptions, Message, Net, Poller, TcpListener, Token, Trigger};

/// Addresses of nobody in particular.
const ANYWHERE: [&str; 3] = ["198.51.100.7:80", "203.0.113.9:65535", "[2001:db8::7]:443"];

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// The host 10.0.0.1, and one that stands in for all others.
fn client_and_everybody() -> (Net, Net) {
    let (a, b) = FdDevice::pair(1500).unwrap();
    let mut everybody = config(2);
    everybody.any_address = true;
    (Net::start(a, config(1)).unwrap(), Net::start(b, everybody).unwrap())
}

fn deferred(net: &Net) -> TcpListener {
    let mut options = ListenOptions { deferred: true, ..ListenOptions::default() };
    options.bind.any_port = true;
    net.listen("[::]:0", &options).unwrap()
}

/// Says something in each direction.
fn talk(mut a: impl Read + Write, mut b: impl Read + Write) {
    let mut buffer = [0; 4];
    a.write_all(b"ping").unwrap();
    b.read_exact(&mut buffer).unwrap();
    assert_eq!(&buffer, b"ping");
    b.write_all(b"pong").unwrap();
    a.read_exact(&mut buffer).unwrap();
    assert_eq!(&buffer, b"pong");
}

#[test]
fn one_listener_for_all_hosts_and_ports() {
    watched(|| {
        let (client, everybody) = client_and_everybody();
        let listener = everybody.bind_any_port(Ipv6Addr::UNSPECIFIED.into()).unwrap();
        assert_eq!(listener.local_addr().unwrap(), address("[::]:0"));
        let exact = everybody.bind("198.51.100.7:443").unwrap();
        for to in ANYWHERE.map(address) {
            let near = client.connect(to).unwrap();
            let (far, peer) = listener.accept().unwrap();
            assert_eq!((far.local_addr().unwrap(), near.peer_addr().unwrap()), (to, to), "what was asked for");
            assert_eq!(peer, near.local_addr().unwrap());
            talk(&near, &far);
        }
        let near = client.connect("198.51.100.7:443").unwrap();
        let (far, _) = exact.accept().unwrap();
        talk(&near, &far);
        let again = everybody.bind_any_port(Ipv6Addr::UNSPECIFIED.into()).unwrap_err();
        assert_eq!(again.kind(), ErrorKind::AddrInUse);
    });
}

/// 9293-MUST-43: a connection from the address of another host, as a proxy makes it that hides itself from the server.
#[test]
fn connections_from_any_address() {
    watched(|| {
        let (server, everybody) = client_and_everybody();
        let listener = server.bind("10.0.0.1:80").unwrap();
        let near = everybody.connect_from(address("198.51.100.7:4321"), address("10.0.0.1:80")).unwrap();
        let (far, peer) = listener.accept().unwrap();
        assert_eq!((peer, near.local_addr().unwrap()), (address("198.51.100.7:4321"), address("198.51.100.7:4321")));
        talk(&near, &far);
        let refused = server.connect_from(address("198.51.100.7:0"), address("10.0.0.2:80")).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::AddrNotAvailable, "only in any-address mode");
    });
}

#[test]
fn the_application_decides_about_each_syn() {
    watched(|| {
        let (client, everybody) = client_and_everybody();
        let listener = deferred(&everybody);
        let connect = |to: SocketAddr| {
            let client = client.clone();
            thread::spawn(move || client.connect(to))
        };
        for to in ANYWHERE.map(address) {
            let near = connect(to);
            let syn = listener.next_syn().unwrap();
            assert_eq!(syn.local_addr(), to);
            assert!(!near.is_finished());
            let far = syn.accept().unwrap();
            let near = near.join().unwrap().unwrap();
            assert_eq!((far.local_addr().unwrap(), far.peer_addr().unwrap()), (to, near.local_addr().unwrap()));
            talk(&near, &far);

            let near = connect(to);
            listener.next_syn().unwrap().refuse();
            assert_eq!(near.join().unwrap().unwrap_err().kind(), ErrorKind::ConnectionRefused);
            let near = connect(to);
            drop(listener.next_syn().unwrap());
            assert_eq!(near.join().unwrap().unwrap_err().kind(), ErrorKind::ConnectionRefused, "dropping refuses");

            let near = connect(to);
            listener.next_syn().unwrap().admit().unwrap();
            let (far, _) = listener.accept().unwrap();
            talk(&near.join().unwrap().unwrap(), &far);
        }
    });
}

/// Who has given up meanwhile makes no connection, and nobody waits for one.
#[test]
fn a_peer_that_has_given_up() {
    watched(|| {
        let (client, everybody) = client_and_everybody();
        let listener = deferred(&everybody);
        let near = client.connect_nonblocking(&address(ANYWHERE[0])).unwrap();
        let syn = listener.next_syn().unwrap();
        near.abort();
        drop(near);
        assert_eq!(syn.accept().unwrap_err().kind(), ErrorKind::ConnectionAborted);
    });
}

/// Decisions of many threads at once, in any order: each gets its own connection.
#[test]
fn many_decide_at_once() {
    watched(|| {
        let (client, everybody) = client_and_everybody();
        let listener = deferred(&everybody);
        thread::scope(|scope| {
            for number in 0..40_u16 {
                let (client, listener) = (&client, &listener);
                scope.spawn(move || {
                    let near = client.connect(SocketAddr::new(address("198.51.100.7:1").ip(), 1_000 + number));
                    match number % 4 {
                        0 => assert_eq!(near.unwrap_err().kind(), ErrorKind::ConnectionRefused),
                        _ => {
                            let mut answer = String::new();
                            near.unwrap().read_to_string(&mut answer).unwrap();
                            assert_eq!(answer, (1_000 + number).to_string());
                        }
                    }
                });
                scope.spawn(move || {
                    let syn = listener.next_syn().unwrap();
                    let port = syn.local_addr().port();
                    if port % 4 == 0 {
                        return syn.refuse();
                    }
                    let mut far = syn.accept().unwrap();
                    assert_eq!(far.local_addr().unwrap().port(), port);
                    far.write_all(port.to_string().as_bytes()).unwrap();
                });
            }
        });
    });
}

#[test]
fn a_poller_tells_of_syns() {
    watched(|| {
        let (client, everybody) = client_and_everybody();
        let listener = deferred(&everybody);
        listener.set_nonblocking(true).unwrap();
        assert_eq!(listener.next_syn().unwrap_err().kind(), ErrorKind::WouldBlock);
        let poller = Poller::new(&everybody).unwrap();
        poller.register(&listener, Token(1), Interest::READABLE, Trigger::Level).unwrap();
        let mut events = glasstcp::net::Events::with_capacity(8);
        let near = client.connect_nonblocking(&address(ANYWHERE[0])).unwrap();
        poller.wait(&mut events, None).unwrap();
        listener.next_syn().unwrap().admit().unwrap();
        let far = loop {
            poller.wait(&mut events, None).unwrap();
            match listener.accept() {
                Ok((far, _)) => break far,
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
        };
        near.set_nonblocking(false).unwrap();
        talk(&near, &far);
    });
}

/// A datagram's destination is what was asked for, and its answer comes from there.
#[test]
fn datagrams_of_all_hosts() {
    watched(|| {
        let (client, everybody) = client_and_everybody();
        let any_port = BindOptions { any_port: true, ..BindOptions::default() };
        let server = everybody.bind_udp_with("[::]:0", &any_port).unwrap();
        for to in ANYWHERE.map(address) {
            let socket = client.bind_udp(if to.is_ipv6() { "[::]:0" } else { "0.0.0.0:0" }).unwrap();
            socket.connect(to).unwrap();
            socket.send(b"question").unwrap();
            let mut buffer = [0; 100];
            let asked = server.recv_msg(&mut buffer).unwrap();
            assert_eq!((asked.destination, &buffer[..asked.len]), (to, &b"question"[..]));
            let answer = Message { source: Some(asked.destination), ..Message::to(asked.source, b"answer") };
            server.send_msg(&answer).unwrap();
            // A connected socket would not hear it from elsewhere.
            let len = socket.recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..len], b"answer");
        }
    });
}
