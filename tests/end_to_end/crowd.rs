//! Many connections at a time from a client of the kernel, from many addresses: all connect, all echo, all stay, all echo
//! again in any order, all close.

use std::fmt::Write as _;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr};
use std::time::{Duration, Instant};

use glasstcp::rng::KeyedRng;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use rand::Rng;
use rand::seq::SliceRandom;
use socket2::{Domain, Socket, Type};

use super::namespace::{eventually, namespace};

/// How many connections the child opens, and the process whose memory it reports.
const COUNT: &str = "GLASSTCP_TEST_CONNECTIONS";
const SERVER: &str = "GLASSTCP_TEST_SERVER";

/// Connections from one address: far below the ports that it has.
const PER_ADDRESS: usize = 2_000;
/// The first port of each address, below those that the kernel gives out itself.
const FIRST_PORT: usize = 10_000;
/// Connections that are in the middle of something.
const AT_ONCE: usize = 256;
/// Nothing at all happens for so long: a stall.
const STALL: Duration = Duration::from_secs(60);
/// Connections between two lines about how fast they come.
const REPORT: usize = 10_000;
/// Open files beside the connections.
const OTHER_FILES: usize = 200;

#[test]
fn five_thousand_connections_echo_twice_and_close() {
    crowd(5_000);
}

#[test]
#[ignore = "takes about a minute; scripts/crowd.sh runs it"]
fn a_hundred_thousand_connections_echo_twice_and_close() {
    crowd(100_000);
}

fn crowd(count: usize) {
    let Some(namespace) = namespace("a crowd", &["curl", "nft"]) else { return };
    let addresses: String = (0..count.div_ceil(PER_ADDRESS)).fold(String::new(), |mut text, n| {
        writeln!(text, "addr add {}/16 dev glass0", address(n)).expect("a string");
        text
    });
    let batch = namespace.file("addresses");
    std::fs::write(&batch, addresses).expect("a file of the test");
    namespace.check(&format!("ip -batch {}", batch.display()));
    for command in [
        "nft add table inet seen",
        "nft 'add chain inet seen in { type filter hook input priority 0; }'",
        "nft 'add rule inet seen in iifname glass0 tcp flags & rst == rst counter'",
    ] {
        namespace.check(command);
    }
    let server = namespace.serve_without_capture("--log info");
    let (count, id) = (count.to_string(), server.child.id().to_string());
    let output = namespace.run_child_test_with_files(
        "crowd::child_holds_a_crowd",
        &[(COUNT, &count), (SERVER, &id)],
        count.parse::<usize>().expect("a number") + OTHER_FILES,
    );
    println!("{output}");
    assert!(output.contains(&format!("{count} connections echoed twice and closed")), "{output}");
    let rules = namespace.check("nft list table inet seen");
    assert!(rules.contains("counter packets 0 "), "the server has reset connections:\n{rules}");
    // What is left is the connection that asks.
    let left =
        || namespace.check("curl -sS --max-time 20 http://10.0.0.2/connections.json").matches("10.0.0.2:7\"").count();
    assert!(eventually(|| left() == 0), "{} connections are left over", left());
    server.stop();
}

/// Address `n` of the client.
fn address(n: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 1 + (n / 250) as u8, 1 + (n % 250) as u8)
}

/// One connection, and how far it is with what all do now.
struct Client {
    stream: TcpStream,
    /// It is in the middle of the step.
    busy: bool,
    /// Octets of the answer so far.
    received: usize,
}

/// What all connections do at a time, one after the other but many at once.
#[derive(Clone, Copy)]
enum Step {
    Connect,
    Echo(u64),
    Close,
}

/// Runs inside the namespace, started by [`crowd`].
#[test]
#[ignore = "started by another test inside its namespace"]
fn child_holds_a_crowd() {
    let number = |name| std::env::var(name).expect("a variable").parse::<usize>().expect("a number");
    let (count, server) = (number(COUNT), number(SERVER));
    let mut crowd = Crowd { poll: Poll::new().expect("epoll"), clients: Vec::with_capacity(count) };
    let mut order: Vec<usize> = (0..count).collect();
    let before = resident(server);
    crowd.all(&order, Step::Connect);
    let held = resident(server);
    println!(
        "serve: {before} KiB with none, {held} KiB with {count} open: {} octets each",
        (held - before) * 1024 / count
    );
    crowd.all(&order, Step::Echo(1));
    let echoed = resident(server);
    println!("serve: {echoed} KiB after an echo on each: {} octets each", (echoed - before) * 1024 / count);
    order.shuffle(&mut KeyedRng::from_seed(1));
    crowd.all(&order, Step::Echo(2));
    order.shuffle(&mut KeyedRng::from_seed(2));
    crowd.all(&order, Step::Close);
    println!("serve: {} KiB at the end", resident(server));
    println!("{count} connections echoed twice and closed");
}

struct Crowd {
    poll: Poll,
    clients: Vec<Client>,
}

impl Crowd {
    /// Everyone in this order takes a step; returns when all are through.
    fn all(&mut self, order: &[usize], step: Step) {
        let mut events = Events::with_capacity(1_024);
        let (mut begun, mut done) = (0, 0);
        let (started, mut since) = (Instant::now(), Instant::now());
        while done < order.len() {
            while begun < order.len() && begun - done < AT_ONCE {
                self.begin(order[begun], step);
                begun += 1;
            }
            self.poll.poll(&mut events, Some(STALL)).expect("epoll");
            assert!(!events.is_empty(), "{}: a stall after {done} of {}", step.name(), order.len());
            for event in &events {
                if !self.go_on(event.token().0, step) {
                    continue;
                }
                done += 1;
                if done % REPORT == 0 {
                    let rate = REPORT as f64 / since.elapsed().as_secs_f64();
                    println!("{}: {rate:.0} a second up to {done}", step.name());
                    since = Instant::now();
                }
            }
        }
        println!("{}: {} in {:.2} s", step.name(), order.len(), started.elapsed().as_secs_f64());
    }

    fn begin(&mut self, n: usize, step: Step) {
        if matches!(step, Step::Connect) {
            assert_eq!(n, self.clients.len(), "connections come in order");
            let mut stream = connect(n);
            let both = Interest::READABLE | Interest::WRITABLE;
            self.poll.registry().register(&mut stream, Token(n), both).expect("epoll takes it");
            self.clients.push(Client { stream, busy: true, received: 0 });
            return;
        }
        let client = &mut self.clients[n];
        assert!(!client.busy);
        (client.busy, client.received) = (true, 0);
        let result = match step {
            Step::Echo(round) => client.stream.write_all(&message(n, round)),
            _ => client.stream.shutdown(Shutdown::Write),
        };
        result.unwrap_or_else(|error| panic!("connection {n}: {error}"));
    }

    /// Something happened to a connection: true where it is through with the step by that.
    fn go_on(&mut self, n: usize, step: Step) -> bool {
        let Some(client) = self.clients.get_mut(n).filter(|client| client.busy) else { return false };
        let through = match step {
            Step::Connect => {
                if let Some(error) = client.stream.take_error().expect("SO_ERROR") {
                    panic!("connection {n}: {error}");
                }
                client.stream.peer_addr().is_ok()
            }
            Step::Echo(round) => {
                let expected = message(n, round);
                assert!(!client.read_on(n, &expected), "connection {n} ended");
                client.received == expected.len()
            }
            Step::Close => client.read_on(n, &[]),
        };
        client.busy = !through;
        through
    }
}

impl Client {
    /// Reads what has come and compares it with what must; true at the end of the stream.
    fn read_on(&mut self, n: usize, expected: &[u8]) -> bool {
        let mut buffer = [0; 256];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return true,
                Ok(read) => {
                    let rest = expected.get(self.received..).unwrap_or_default();
                    assert!(rest.starts_with(&buffer[..read]), "connection {n} got what it has not sent");
                    self.received += read;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
                Err(error) => panic!("connection {n}: {error}"),
            }
        }
    }
}

impl Step {
    fn name(self) -> &'static str {
        match self {
            Step::Connect => "connect",
            Step::Echo(1) => "echo in order",
            Step::Echo(_) => "echo in any order",
            Step::Close => "close in any order",
        }
    }
}

/// What connection `n` sends in a round: no two send the same, and the lengths differ.
fn message(n: usize, round: u64) -> Vec<u8> {
    let mut random = KeyedRng::from_seed((n as u64) << 8 | round);
    let mut text = format!("connection {n}, round {round}: ").into_bytes();
    let at = text.len();
    text.resize(at + n % 100, 0);
    random.fill_bytes(&mut text[at..]);
    text
}

/// Begins connection `n` from an address and a port of its own.
fn connect(n: usize) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_nonblocking(true).expect("a non-blocking socket");
    let own = SocketAddr::from((address(n / PER_ADDRESS), (FIRST_PORT + n % PER_ADDRESS) as u16));
    socket.bind(&own.into()).unwrap_or_else(|error| panic!("connection {n} from {own}: {error}"));
    match socket.connect(&SocketAddr::from(([10, 0, 0, 2], 7)).into()) {
        Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => panic!("connection {n} from {own}: {error}"),
        _ => TcpStream::from_std(socket.into()),
    }
}

/// KiB of memory that a process has.
fn resident(process: usize) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("the server lives");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its memory");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}
