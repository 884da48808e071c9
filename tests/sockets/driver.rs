//! Who drives: deadlines when nobody waits, threads that come and go, and what waiting costs.

use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crate::common::{connected, pattern, two_on, watched};
use glasstcp::device::fd::FdDevice;
use glasstcp::device::{Capabilities, Device, RxMeta, TxMeta};
use glasstcp::net::{Events, Interest, Net, Poller, TcpListener, TcpStream, Token, Trigger};

/// What the lost packet of a test ends with.
const LOST: &[u8] = b"LOST";

/// Long enough for the background thread to take over and to wait for the device. Nothing is asserted about it.
const LEFT_ALONE: Duration = Duration::from_millis(20);

/// A device that loses packets, and is slow to read now and then: so that a second thread that drove meanwhile would be
/// caught by the driver, which asserts that it is alone.
struct Watched {
    inner: FdDevice,
    name: &'static str,
    /// Packets that end with [`LOST`] still to be lost.
    losses: Arc<AtomicUsize>,
    /// Every so many packets one is lost; 0 for none.
    lose_each: usize,
    sent: AtomicUsize,
    reads: AtomicUsize,
}

impl Watched {
    fn new(inner: FdDevice) -> Watched {
        let (losses, sent, reads) = (Arc::default(), AtomicUsize::new(0), AtomicUsize::new(0));
        Watched { inner, name: "watched", losses, lose_each: 0, sent, reads }
    }
}

impl Device for Watched {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn receive(&self, buffer: &mut [u8]) -> io::Result<RxMeta> {
        if self.reads.fetch_add(1, Ordering::Relaxed) % 32 == 31 {
            thread::sleep(Duration::from_micros(200));
        }
        self.inner.receive(buffer)
    }

    fn transmit(&self, packet: &[IoSlice<'_>], meta: &TxMeta) -> io::Result<()> {
        let whole: Vec<u8> = packet.iter().flat_map(|piece| piece.iter().copied()).collect();
        let less = |left: usize| left.checked_sub(1);
        if whole.ends_with(LOST) && self.losses.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less).is_ok() {
            return Ok(());
        }
        if self.lose_each > 0 && self.sent.fetch_add(1, Ordering::Relaxed) % self.lose_each == self.lose_each - 1 {
            return Ok(());
        }
        self.inner.transmit(packet, meta)
    }

    fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        self.inner.as_fd()
    }

    fn name(&self) -> &str {
        self.name
    }
}

/// Two networks, the first of which loses so many packets that end with [`LOST`] as the number says.
fn losing() -> (Net, Net, Arc<AtomicUsize>) {
    let losses = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&losses);
    let (a, b) = two_on(|inner| Watched { losses: counter, ..Watched::new(inner) }, Watched::new);
    (a, b, losses)
}

/// The application waits for a moment and goes its way; what it sends afterwards is lost, and it does not come back. The
/// background thread, which slept without a deadline all the time, retransmits.
#[test]
fn a_deadline_is_handled_after_the_driver_has_left() {
    watched(|| {
        let (a, b, losses) = losing();
        let (client, server, _listener) = connected(&a, &b);
        for _ in 0..3 {
            thread::sleep(LEFT_ALONE);
            client.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
            assert_eq!((&client).read(&mut [0; 4]).unwrap_err().kind(), ErrorKind::WouldBlock);
            losses.store(1, Ordering::SeqCst);
            (&client).write_all(LOST).unwrap();
            let mut text = [0; 4];
            (&server).read_exact(&mut text).unwrap();
            assert_eq!((&text, losses.load(Ordering::SeqCst)), (b"LOST", 0));
        }
    });
}

/// One thread drives for another one, and leaves. What the other one has sent was lost, and no packet ever comes that would
/// wake the background thread.
#[test]
fn a_deadline_of_a_thread_that_is_left_waiting_is_handled() {
    watched(|| {
        let (a, b, losses) = losing();
        let (client, server, _listener) = connected(&a, &b);
        let poller = Poller::new(&a).unwrap();
        let waker = poller.waker(Token(0));
        thread::sleep(LEFT_ALONE);
        let drives = thread::spawn(move || poller.wait(&mut Events::with_capacity(1), None).unwrap());
        thread::sleep(LEFT_ALONE);
        losses.store(1, Ordering::SeqCst);
        let waits = thread::spawn(move || {
            (&client).write_all(LOST).unwrap();
            let mut answer = [0; 4];
            (&client).read_exact(&mut answer).map(|()| answer)
        });
        thread::sleep(LEFT_ALONE);
        waker.wake().unwrap();
        assert_eq!(drives.join().unwrap(), 1);
        let mut text = [0; 4];
        (&server).read_exact(&mut text).unwrap();
        (&server).write_all(b"back").unwrap();
        assert_eq!(&waits.join().unwrap().unwrap(), b"back");
        assert_eq!((&text[..], losses.load(Ordering::SeqCst)), (LOST, 0));
    });
}

/// Numbers that look random and are not.
struct Dice(u64);

impl Dice {
    fn throw(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % below
    }
}

/// Where the echo of the second network listens.
const ECHO: &str = "10.0.0.2:7";

/// How the second network answers.
#[derive(Clone, Copy, Debug)]
enum Server {
    /// A thread per connection: a crowd.
    Threads,
    /// One thread that waits in a poller: alone.
    Poller,
}

/// Echoes until the network is closed.
fn serve(net: &Net, server: Server) -> thread::JoinHandle<()> {
    let listener = net.bind(ECHO).unwrap();
    match server {
        Server::Threads => thread::spawn(move || {
            let mut echoes = Vec::new();
            while let Ok((stream, _)) = listener.accept() {
                echoes.push(thread::spawn(move || drop(io::copy(&mut &stream, &mut &stream))));
            }
            echoes.into_iter().for_each(|echo| echo.join().unwrap());
        }),
        Server::Poller => {
            let poller = Poller::new(net).unwrap();
            thread::spawn(move || echo_by_poller(&listener, &poller))
        }
    }
}

/// One connection of the server: what it has read and not written yet.
struct Echo {
    stream: TcpStream,
    held: Vec<u8>,
    interest: Interest,
}

impl Echo {
    /// False when it is over.
    fn go_on(&mut self) -> io::Result<bool> {
        let mut buffer = [0; 8_192];
        loop {
            if self.held.is_empty() {
                match (&self.stream).read(&mut buffer)? {
                    0 => return Ok(false),
                    len => self.held.extend_from_slice(&buffer[..len]),
                }
            }
            let len = (&self.stream).write(&self.held)?;
            self.held.drain(..len);
        }
    }
}

fn echo_by_poller(listener: &TcpListener, poller: &Poller) {
    const ACCEPT: Token = Token(usize::MAX);
    listener.set_nonblocking(true).unwrap();
    poller.register(listener, ACCEPT, Interest::READABLE, Trigger::Level).unwrap();
    let mut echoes: Vec<Option<Echo>> = Vec::new();
    let mut events = Events::with_capacity(4);
    while poller.wait(&mut events, None).is_ok() {
        for event in &events {
            if event.token() == ACCEPT {
                let Ok((stream, _)) = listener.accept() else { continue };
                stream.set_nonblocking(true).unwrap();
                let interest = Interest::READABLE;
                if poller.register(&stream, Token(echoes.len()), interest, Trigger::Level).is_ok() {
                    echoes.push(Some(Echo { stream, held: Vec::new(), interest }));
                }
                continue;
            }
            let slot = &mut echoes[event.token().0];
            let Some(echo) = slot else { continue };
            match echo.go_on() {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    let interest = if echo.held.is_empty() { Interest::READABLE } else { Interest::WRITABLE };
                    if interest != echo.interest {
                        echo.interest = interest;
                        let _ = poller.reregister(&echo.stream, event.token(), interest, Trigger::Level);
                    }
                }
                _ => *slot = None,
            }
        }
    }
}

/// One thread asks and waits for each answer.
fn ping_pong(net: &Net, rounds: usize, len: usize) {
    let stream = net.connect(ECHO).unwrap();
    ask(&stream, rounds, len);
}

fn ask(stream: &TcpStream, rounds: usize, len: usize) {
    let data = pattern(len + rounds);
    let mut answer = vec![0; len];
    for round in 0..rounds {
        let question = &data[round..round + len];
        let (mut reader, mut writer) = (stream, stream);
        writer.write_all(question).unwrap();
        reader.read_exact(&mut answer).unwrap();
        assert!(answer == question);
    }
}

/// One thread writes, another one reads, on one connection.
fn both_ways(net: &Net, len: usize) {
    let stream = net.connect(ECHO).unwrap();
    let data = pattern(len);
    thread::scope(|scope| {
        let writer = stream.try_clone().unwrap();
        let sent = &data;
        scope.spawn(move || {
            (&writer).write_all(sent).unwrap();
            writer.shutdown(Shutdown::Write).unwrap();
        });
        let mut echoed = Vec::new();
        (&stream).read_to_end(&mut echoed).unwrap();
        assert!(echoed == data);
    });
}

/// One thread waits in a poller, while others wake it, register sockets with it, and make them readable.
fn poll_and_be_woken(net: &Net, times: usize) {
    const WOKEN: Token = Token(1);
    const DATAGRAM: Token = Token(2);
    let echo: SocketAddr = ECHO.parse().unwrap();
    let poller = Poller::new(net).unwrap();
    let stream = net.connect_nonblocking(&echo).unwrap();
    poller.register(&stream, Token(0), Interest::READABLE | Interest::WRITABLE, Trigger::Edge).unwrap();
    let waker = poller.waker(WOKEN);
    let (asked, told) = (AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        // Each step waits for the poller to have told the one before, so none may be lost.
        scope.spawn(|| {
            for round in 1..=times {
                asked.store(round, Ordering::SeqCst);
                if round % 2 == 0 {
                    waker.wake().unwrap();
                    wait_for(&told, round);
                } else {
                    // Writable from the start.
                    let socket = net.bind_udp("10.0.0.1:0").unwrap();
                    poller.register(&socket, DATAGRAM, Interest::WRITABLE, Trigger::Edge).unwrap();
                    wait_for(&told, round);
                }
            }
        });
        let (data, mut echoed, mut written) = (pattern(20 * times), Vec::new(), 0);
        let mut events = Events::with_capacity(2);
        while echoed.len() < data.len() || told.load(Ordering::SeqCst) < times {
            poller.wait(&mut events, None).unwrap();
            if events.iter().any(|event| event.token() == WOKEN || event.token() == DATAGRAM) {
                told.store(asked.load(Ordering::SeqCst), Ordering::SeqCst);
            }
            // An edge: until it blocks, and a piece at a time, so that many answers come.
            let mut buffer = [0; 512];
            while let Ok(len) = (&stream).read(&mut buffer) {
                assert_ne!(len, 0);
                echoed.extend_from_slice(&buffer[..len]);
            }
            if echoed.len() == written && written < data.len() {
                let piece = &data[written..data.len().min(written + 20)];
                match (&stream).write(piece) {
                    Ok(len) => written += len,
                    Err(error) => assert!(would_wait(&error), "{error}"),
                }
            }
        }
        assert!(echoed == data);
    });
}

/// Not now, or not yet open.
fn would_wait(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected)
}

fn wait_for(counter: &AtomicUsize, value: usize) {
    while counter.load(Ordering::SeqCst) < value {
        thread::yield_now();
    }
}

/// A loop that never waits, or only for an instant; and one that waits for a time that is too short.
fn never_wait(net: &Net, rounds: usize, timeout: Option<Duration>) {
    let stream = net.connect(ECHO).unwrap();
    match timeout {
        None => stream.set_nonblocking(true).unwrap(),
        timeout => stream.set_read_timeout(timeout).unwrap(),
    }
    for round in 0..rounds {
        let (question, mut read, mut answer) = ([round as u8; 3], 0, [0; 3]);
        assert_eq!((&stream).write(&question).unwrap(), 3);
        while read < 3 {
            match (&stream).read(&mut answer[read..]) {
                Ok(0) => panic!("the end of the stream"),
                Ok(len) => read += len,
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
        }
        assert_eq!(answer, question);
    }
}

/// A loop that looks into a poller and never waits there.
fn glance(net: &Net, rounds: usize) {
    let stream = net.connect(ECHO).unwrap();
    let poller = Poller::new(net).unwrap();
    poller.register(&stream, Token(5), Interest::READABLE, Trigger::Level).unwrap();
    let mut events = Events::with_capacity(1);
    for _ in 0..rounds {
        (&stream).write_all(b"x").unwrap();
        while poller.wait(&mut events, Some(Duration::ZERO)).unwrap() == 0 {}
        assert_eq!((&stream).read(&mut [0; 9]).unwrap(), 1);
    }
}

/// Connections that end in all ways.
fn come_and_go(net: &Net, dice: &mut Dice, times: usize) {
    for _ in 0..times {
        let stream = net.connect(ECHO).unwrap();
        let linger = [None, Some(Duration::ZERO), Some(Duration::from_secs(30))][dice.throw(3)];
        stream.set_linger(linger).unwrap();
        ask(&stream, dice.throw(3), 100);
        if dice.throw(2) == 0 {
            // Answered by a reset, or left unread.
            (&stream).write_all(&pattern(3_000)).unwrap();
        }
    }
}

/// One of the above.
fn activity(net: &Net, seed: u64) {
    let mut dice = Dice(seed);
    match dice.throw(8) {
        0 | 1 => ping_pong(net, 60, 1 + dice.throw(2_000)),
        2 => both_ways(net, 100_000 + dice.throw(100_000)),
        3 => poll_and_be_woken(net, 40),
        4 => never_wait(net, 30, None),
        5 => never_wait(net, 30, Some(Duration::from_micros(1 + dice.throw(300) as u64))),
        6 => glance(net, 30),
        _ => come_and_go(net, &mut dice, 10),
    }
}

/// Threads come and go: alone, in crowds, and one after the other; in the end the network is closed while one still waits.
fn threads_come_and_go(server: Server, lose_each: usize, rounds: usize, seed: u64) {
    let (a, b) = two_on(|inner| Watched { lose_each, ..Watched::new(inner) }, Watched::new);
    let serving = serve(&b, server);
    let mut dice = Dice(seed);
    for _ in 0..rounds {
        if dice.throw(3) == 0 {
            // So that the background thread takes over, and sleeps.
            thread::sleep(Duration::from_millis(4));
        }
        let crowd = [0, 0, 1, 2, 3][dice.throw(5)];
        thread::scope(|scope| {
            for _ in 0..crowd {
                let (net, seed) = (&a, dice.0 ^ dice.throw(1 << 30) as u64);
                scope.spawn(move || activity(net, seed));
            }
            let seed = dice.throw(1 << 30) as u64;
            activity(&a, seed);
        });
        assert!(a.failure().is_none() && b.failure().is_none());
    }
    let waiting: Vec<_> = (0..1 + dice.throw(2))
        .map(|number| {
            let stream = a.connect(ECHO).unwrap();
            let poller = (number == 0 && dice.throw(2) == 0).then(|| Poller::new(&a).unwrap());
            thread::spawn(move || match poller {
                Some(poller) => {
                    poller
                        .register(&stream, Token(0), Interest::READABLE, Trigger::Edge)
                        .map_err(|error| error.kind())?;
                    poller.wait(&mut Events::with_capacity(1), None).map_err(|error| error.kind())
                }
                None => (&stream).read(&mut [0; 4]).map_err(|error| error.kind()),
            })
        })
        .collect();
    if dice.throw(2) == 0 {
        thread::sleep(Duration::from_millis(4));
    }
    a.close(Duration::from_secs(30));
    for waiting in waiting {
        assert_eq!(waiting.join().unwrap(), Err(ErrorKind::NetworkDown));
    }
    b.close(Duration::ZERO);
    serving.join().unwrap();
}

#[test]
fn threads_come_and_go_before_a_crowd() {
    watched(|| (1..4).for_each(|seed| threads_come_and_go(Server::Threads, 0, 8, seed)));
}

#[test]
fn threads_come_and_go_before_a_thread_that_waits_alone() {
    watched(|| (11..14).for_each(|seed| threads_come_and_go(Server::Poller, 0, 8, seed)));
}

/// With deadlines: what is lost must be sent again, whoever drives then.
#[test]
fn threads_come_and_go_over_a_lossy_path() {
    watched(|| {
        threads_come_and_go(Server::Threads, 150, 4, 21);
        threads_come_and_go(Server::Poller, 150, 4, 22);
    });
}

/// How often the thread of this name has gone to sleep by itself, from the kernel's account.
fn sleeps_of(name: &str) -> Option<u64> {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap().flatten();
    let named =
        |path: &std::path::Path| std::fs::read_to_string(path.join("comm")).is_ok_and(|comm| comm.trim_end() == name);
    let task = tasks.map(|task| task.path()).find(|path| named(path))?;
    let status = std::fs::read_to_string(task.join("status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?;
    line.trim().parse().ok()
}

/// While one thread waits in a poller, the one in the background comes to rest, and costs nothing; what has to be done when
/// the waiting thread leaves is done all the same.
#[test]
fn the_background_thread_dozes_while_one_application_waits() {
    watched(|| {
        let losses = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&losses);
        let (a, b) = two_on(|inner| Watched { name: "idle", losses: counter, ..Watched::new(inner) }, Watched::new);
        let (client, server, _listener) = connected(&a, &b);
        let poller = Arc::new(Poller::new(&a).unwrap());
        poller.register(&client, Token(0), Interest::READABLE, Trigger::Level).unwrap();
        let waker = poller.waker(Token(1));
        let count = || sleeps_of("glasstcp idle").unwrap();
        for _ in 0..2 {
            let waiting = Arc::clone(&poller);
            let waiting = thread::spawn(move || waiting.wait(&mut Events::with_capacity(1), None).unwrap());
            // It looks each millisecond until it dozes, so a window of many looks without one is rest; and rest lasts.
            let window = || {
                let before = count();
                thread::sleep(Duration::from_millis(100));
                count() - before
            };
            let mut quiet = 0;
            while quiet < 5 {
                quiet = if window() == 0 { quiet + 1 } else { 0 };
            }
            let rested = count();
            waker.wake().unwrap();
            assert_eq!(waiting.join().unwrap(), 1);
            losses.store(1, Ordering::SeqCst);
            (&client).write_all(LOST).unwrap();
            let mut text = [0; 4];
            (&server).read_exact(&mut text).unwrap();
            assert_eq!((&text[..], losses.load(Ordering::SeqCst)), (LOST, 0));
            assert!(count() > rested, "it was woken, as nobody else handles the deadline");
        }
    });
}
