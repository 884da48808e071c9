//! Many connections at a time from clients of the kernel, from many addresses: all connect, all echo, all stay, all echo
//! again in any order, all close.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, ErrorKind, Lines, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr};
use std::process::{Child, ChildStdout, Stdio};
use std::time::{Duration, Instant};

use glasstcp::rng::KeyedRng;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use rand::Rng;
use rand::seq::SliceRandom;
use socket2::{Domain, Socket, Type};

use super::namespace::{Namespace, child_test, eventually, namespace, signal};

/// The number of a process's first connection, and how many are its own.
const FIRST: &str = "GLASSTCP_TEST_FIRST";
const COUNT: &str = "GLASSTCP_TEST_COUNT";
/// How many of them may be in the middle of a step.
const AT_ONCE: &str = "GLASSTCP_TEST_AT_ONCE";

/// Connections from one address: far below the ports that it has.
const PER_ADDRESS: usize = 2_000;
/// The first port of each address, below those that the kernel gives out itself.
const FIRST_PORT: usize = 10_000;
/// Connections of one process at most; its limit of open files may allow fewer.
const PER_PROCESS: usize = 10_000;
/// Open files of a process beside its connections.
const OTHER_FILES: usize = 100;
/// So many of one process take a step at a time where the queue of the TUN shall lose nothing.
const FEW: usize = 256;
/// Nothing at all happens for so long: a stall.
const STALL: Duration = Duration::from_secs(60);
/// What a process says when all its connections have taken a step.
const DONE: &str = "all of them have";

#[test]
fn five_thousand_connections_echo_twice_and_close() {
    crowd(5_000, FEW);
}

/// More SYNs at once than a listener's queues hold: most get in by a cookie.
/// 4987-3.2, 4987-3.6-2
#[test]
fn a_rush_of_connections_gets_in() {
    let Some(counters) = crowd(8_000, 8_000) else { return };
    let count = |name: &str| {
        let rest = counters.split(&format!("\"{name}\":")).nth(1).unwrap_or_else(|| panic!("no {name}: {counters}"));
        rest.trim().chars().map_while(|c| c.to_digit(10)).fold(0, |sum, digit| sum * 10 + digit)
    };
    println!("{} cookies were sent, {} came back", count("cookies_sent"), count("cookies_valid"));
    assert!(count("cookies_sent") > 1_000 && count("cookies_valid") > 500, "{counters}");
}

/// `cargo test --release --all-features --test end_to_end -- --ignored --nocapture a_hundred_thousand`
#[test]
#[ignore = "shows rates and memory, and takes some ten seconds"]
fn a_hundred_thousand_connections_echo_twice_and_close() {
    crowd(100_000, FEW);
}

/// All steps of so many connections. The answer is what the server says of itself afterwards.
fn crowd(count: usize, at_once: usize) -> Option<String> {
    let namespace = namespace("a crowd", &["curl", "nft"])?;
    give_addresses(&namespace, count.div_ceil(PER_ADDRESS));
    for command in [
        "nft add table inet seen",
        "nft 'add chain inet seen in { type filter hook input priority 0; }'",
        "nft 'add rule inet seen in iifname glass0 tcp flags & rst == rst counter'",
    ] {
        namespace.check(command);
    }
    let server = namespace.serve_without_capture("--log info");
    let files: usize = namespace.check("ulimit -H -n | sed s/unlimited/1000000/").trim().parse().expect("a limit");
    let share = files.saturating_sub(OTHER_FILES).clamp(1, PER_PROCESS);
    let memory = || resident(server.child.id());
    let before = memory();
    let mut processes: Vec<Process> = Vec::new();
    while processes.len() * share < count {
        let first = processes.len() * share;
        let own = share.min(count - first);
        let mut process = Process::start(&namespace, (first, own), at_once);
        let started = Instant::now();
        if at_once == FEW {
            process.tell("connect");
        } else {
            // The SYNs of all wait in the queue of the TUN when the server looks again.
            signal(server.child.id(), "STOP");
            process.tell("connect");
            let sent = || namespace.check("ss -Htn state syn-sent | wc -l").trim().parse() == Ok(own);
            let all_sent = eventually(sent);
            signal(server.child.id(), "CONT");
            assert!(all_sent, "the SYNs are on their way");
        }
        process.wait();
        let rate = own as f64 / started.elapsed().as_secs_f64();
        println!("{rate:.0} connections a second while {first} were open");
        processes.push(process);
    }
    let each = |memory: usize| memory.saturating_sub(before) * 1_024 / count;
    println!("{count} are open: the server has {} KiB, {} octets for each", memory(), each(memory()));
    for step in ["echo 1", "echo 2", "close"] {
        assert_no_reset(&namespace);
        let started = Instant::now();
        processes.iter_mut().for_each(|process| process.tell(step));
        processes.iter_mut().for_each(Process::wait);
        let seconds = started.elapsed().as_secs_f64();
        println!("{step}: {seconds:.1} s, the server has {} KiB, {} octets for each", memory(), each(memory()));
    }
    for mut process in processes {
        assert!(process.child.wait().expect("the status").success());
    }
    // A FIN that had to be sent again may come when the connection is gone already, which a RST tells.
    if at_once == FEW {
        assert_no_reset(&namespace);
    }
    let page = || namespace.check("curl -sS --max-time 20 http://10.0.0.2/connections.json");
    assert!(eventually(|| !page().contains("10.0.0.2:7\"")), "connections are left over: {}", page());
    assert!(!server.log().contains("WARN"), "{}", server.log());
    let page = page();
    server.stop();
    Some(page)
}

#[track_caller]
fn assert_no_reset(namespace: &Namespace) {
    let rules = namespace.check("nft list table inet seen");
    assert!(rules.contains("counter packets 0 "), "the server has reset connections:\n{rules}");
}

fn give_addresses(namespace: &Namespace, count: usize) {
    let addresses = (0..count).fold(String::new(), |mut text, n| {
        writeln!(text, "addr add {}/16 dev glass0", address(n)).expect("a string");
        text
    });
    let batch = namespace.file("addresses");
    std::fs::write(&batch, addresses).expect("a file of the test");
    namespace.check(&format!("ip -batch {}", batch.display()));
}

/// A process with connections of its own, as one may not open as many files as there are connections.
struct Process {
    child: Child,
    output: Lines<BufReader<ChildStdout>>,
}

impl Process {
    fn start(namespace: &Namespace, (first, count): (usize, usize), at_once: usize) -> Process {
        let variables = [(FIRST, first.to_string()), (COUNT, count.to_string()), (AT_ONCE, at_once.to_string())];
        let variables = variables.each_ref().map(|(name, value)| (*name, value.as_str()));
        let test = child_test("crowd::child_holds_its_share", &variables);
        let mut child = namespace
            .command(&format!("ulimit -n $(ulimit -H -n); {test}"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the process starts");
        let output = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        Process { child, output }
    }

    fn tell(&mut self, step: &str) {
        writeln!(self.child.stdin.as_mut().expect("a pipe"), "{step}").expect("it listens");
    }

    /// Until all its connections have taken the step. If they cannot, it ends.
    fn wait(&mut self) {
        let mut said = String::new();
        for line in self.output.by_ref().map_while(Result::ok) {
            if line.contains(DONE) {
                return;
            }
            said += &(line + "\n");
        }
        panic!("it ended:\n{said}");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The end of its input ends it, too, if the shell is all that this reaches.
        drop(self.child.stdin.take());
        self.child.kill().ok();
        self.child.wait().ok();
    }
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
#[derive(Clone, Copy, Debug)]
enum Step {
    Connect,
    Echo(u64),
    Close,
}

/// Runs inside the namespace, started by [`crowd`], and does what its standard input says.
#[test]
#[ignore = "started by another test inside its namespace"]
fn child_holds_its_share() {
    let number = |name| std::env::var(name).expect("a variable").parse::<usize>().expect("a number");
    let (first, count) = (number(FIRST), number(COUNT));
    let (poll, at_once) = (Poll::new().expect("epoll"), number(AT_ONCE));
    let mut crowd = Crowd { poll, first, at_once, clients: Vec::with_capacity(count) };
    let mut order: Vec<usize> = (0..count).collect();
    for line in std::io::stdin().lines() {
        let step = match line.expect("a line").as_str() {
            "connect" => Step::Connect,
            "echo 1" => Step::Echo(1),
            "echo 2" => Step::Echo(2),
            "close" => Step::Close,
            other => panic!("what is {other}?"),
        };
        if !matches!(step, Step::Connect | Step::Echo(1)) {
            order.shuffle(&mut KeyedRng::from_seed(first as u64));
        }
        crowd.all(&order, step);
        println!("{DONE}");
        if matches!(step, Step::Close) {
            return;
        }
    }
}

struct Crowd {
    poll: Poll,
    first: usize,
    at_once: usize,
    clients: Vec<Client>,
}

impl Crowd {
    /// Everyone in this order takes a step; returns when all are through.
    fn all(&mut self, order: &[usize], step: Step) {
        let mut events = Events::with_capacity(1_024);
        let (mut begun, mut done) = (0, 0);
        while done < order.len() {
            while begun < order.len() && begun - done < self.at_once {
                self.begin(order[begun], step);
                begun += 1;
            }
            self.poll.poll(&mut events, Some(STALL)).expect("epoll");
            assert!(!events.is_empty(), "{step:?}: a stall after {done} of {}", order.len());
            done += events.iter().filter(|event| self.go_on(event.token().0, step)).count();
        }
    }

    fn begin(&mut self, n: usize, step: Step) {
        if matches!(step, Step::Connect) {
            assert_eq!(n, self.clients.len(), "connections come in order");
            let mut stream = connect(self.first + n);
            let both = Interest::READABLE | Interest::WRITABLE;
            self.poll.registry().register(&mut stream, Token(n), both).expect("epoll takes it");
            self.clients.push(Client { stream, busy: true, received: 0 });
            return;
        }
        let client = &mut self.clients[n];
        assert!(!client.busy);
        (client.busy, client.received) = (true, 0);
        let result = match step {
            Step::Echo(round) => client.stream.write_all(&message(self.first + n, round)),
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
                let expected = message(self.first + n, round);
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
fn resident(process: u32) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("the server lives");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its memory");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}
