//! `glasstcp nc -u`: datagrams over the stack, with standard input and output.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::args::Nc;
use super::nc::Target;
use super::open::{self, Opened};
use super::signals::{self, Requests, Wanted};
use super::{Failure, say};
use crate::net::{Events, Interest, Poller, Token, Trigger, UdpSocket, Waker};

/// The longest datagram.
const PIECE: usize = 64 * 1024;
/// Once input has ended, how long answers are waited for, unless the user says.
const QUIET: Duration = Duration::from_secs(1);
/// The token of the waker; those of sockets are smaller.
const WAKER: usize = usize::MAX;

/// What the thread of standard input has done.
#[derive(Default)]
struct Input {
    pieces: AtomicU64,
    done: AtomicBool,
    failure: Mutex<Option<io::Error>>,
}

/// Runs the command.
pub(super) fn run(args: &Nc, target: &Target) -> Result<ExitCode, Failure> {
    let opened = open::open(&args.stack, args.congestion)?;
    opened.require_up()?;
    let poller = Poller::new(&opened.net)?;
    let waker = Arc::new(poller.waker(Token(WAKER)));
    let for_signals = Arc::clone(&waker);
    let requests = signals::watch(Wanted::End, move |_| {
        // It fails when everything is over.
        let _ = for_signals.wake();
    })?;
    let talk = match (target, args.group) {
        (Target::Remote(remote), _) => connect(&opened, &poller, *remote).map(Some),
        (Target::Listen(port), Some(group)) => join(&opened, &poller, SocketAddr::new(group, *port)).map(Some),
        (Target::Listen(port), None) => listen(&opened, &poller, *port, args.timeout, &requests),
    };
    let result = talk.and_then(|talk| match talk {
        Some(talk) => converse(&talk, &poller, &waker, args.timeout, &requests)
            .map_err(|error| explain(&opened, talk.peer, error)),
        None => Ok(()),
    });
    opened.close();
    match requests.end() {
        Some(signal) => Ok(ExitCode::from(u8::try_from(128 + signal).unwrap_or(1))),
        None => result.map(|()| ExitCode::SUCCESS),
    }
}

/// A socket, with whom it talks, and what has been heard from there already.
struct Talk {
    socket: UdpSocket,
    peer: SocketAddr,
    first: Vec<u8>,
}

fn explain(opened: &Opened, peer: SocketAddr, error: io::Error) -> Failure {
    let why = opened.explain(error);
    let hint = if why.kind() == ErrorKind::ConnectionRefused { " (nobody listens there)" } else { "" };
    format!("{peer}: {why}{hint}").into()
}

/// On all addresses of the family, and a port of choice.
fn bind(opened: &Opened, ipv6: bool, port: u16) -> Result<UdpSocket, Failure> {
    let any: IpAddr = if ipv6 { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
    opened.net.bind_udp((any, port)).map_err(|error| format!("cannot bind UDP port {port}: {error}").into())
}

/// All of a group is the peer.
fn join(opened: &Opened, poller: &Poller, group: SocketAddr) -> Result<Talk, Failure> {
    let socket = bind(opened, group.is_ipv6(), group.port())?;
    let joined = match group.ip() {
        IpAddr::V4(address) => {
            socket.set_multicast_loop_v4(false)?;
            socket.join_multicast_v4(&address, &Ipv4Addr::UNSPECIFIED)
        }
        IpAddr::V6(address) => {
            socket.set_multicast_loop_v6(false)?;
            socket.join_multicast_v6(&address, 0)
        }
    };
    joined.map_err(|error| format!("cannot join {}: {}", group.ip(), opened.explain(error)))?;
    poller.register(&socket, Token(0), Interest::READABLE, Trigger::Level)?;
    say(&format!("glasstcp: in the group {group}"));
    Ok(Talk { socket, peer: group, first: Vec::new() })
}

fn connect(opened: &Opened, poller: &Poller, remote: SocketAddr) -> Result<Talk, Failure> {
    let socket = bind(opened, remote.is_ipv6(), 0)?;
    socket.connect(remote).map_err(|error| format!("cannot send to {remote}: {}", opened.explain(error)))?;
    poller.register(&socket, Token(0), Interest::READABLE, Trigger::Level)?;
    Ok(Talk { socket, peer: remote, first: Vec::new() })
}

/// Waits for the first datagram on all addresses; its sender is the peer from then on. Nothing where a signal came first.
fn listen(
    opened: &Opened,
    poller: &Poller,
    port: u16,
    timeout: Option<Duration>,
    requests: &Requests,
) -> Result<Option<Talk>, Failure> {
    let mut sockets = Vec::new();
    for (i, cidr) in opened.addresses.iter().enumerate() {
        let local = SocketAddr::new(cidr.address, port);
        let socket = opened.net.bind_udp(local).map_err(|error| format!("cannot listen on {local}: {error}"))?;
        poller.register(&socket, Token(i), Interest::READABLE, Trigger::Level)?;
        sockets.push(socket);
    }
    let addresses: Vec<IpAddr> = opened.addresses.iter().map(|cidr| cidr.address).collect();
    say(&format!("glasstcp: listening on UDP port {port} of {addresses:?}"));
    let until = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    let mut events = Events::with_capacity(sockets.len() + 1);
    let mut buffer = vec![0; PIECE];
    while requests.end().is_none() {
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        if left.is_some_and(|left| left.is_zero()) {
            return Err("nobody sent anything in time".into());
        }
        poller.wait(&mut events, left).map_err(|error| opened.explain(error))?;
        for event in &events {
            let Some(socket) = sockets.get(event.token().0) else { continue };
            let (len, peer) = socket.recv_from(&mut buffer)?;
            socket.connect(peer)?;
            say(&format!("glasstcp: datagrams from {peer}"));
            let socket = sockets.swap_remove(event.token().0);
            return Ok(Some(Talk { socket, peer, first: buffer[..len].to_vec() }));
        }
    }
    Ok(None)
}

/// Moves datagrams both ways until a signal comes, or input has ended and nothing more comes.
fn converse(
    talk: &Talk,
    poller: &Poller,
    waker: &Arc<Waker>,
    timeout: Option<Duration>,
    requests: &Requests,
) -> io::Result<()> {
    let Talk { socket, peer, first } = talk;
    if !print(first)? {
        return Ok(());
    }
    let input = Arc::new(Input::default());
    let (longest, to) = (socket.max_datagram_size(peer.ip())?, *peer);
    let (for_thread, shared, waker) = (socket.try_clone()?, Arc::clone(&input), Arc::clone(waker));
    thread::Builder::new().name("input".into()).spawn(move || {
        let result = send_input(&for_thread, to, &shared, longest);
        *shared.failure.lock().unwrap_or_else(PoisonError::into_inner) = result.err();
        shared.done.store(true, Ordering::Release);
        let _ = waker.wake();
    })?;
    let mut events = Events::with_capacity(2);
    let mut buffer = vec![0; PIECE];
    let (mut pieces, mut last) = (0, Instant::now());
    while requests.end().is_none() {
        if let Some(error) = input.failure.lock().unwrap_or_else(PoisonError::into_inner).take() {
            return Err(error);
        }
        let sent = input.pieces.load(Ordering::Acquire);
        if sent != pieces {
            (pieces, last) = (sent, Instant::now());
        }
        let limit = if input.done.load(Ordering::Acquire) { Some(timeout.unwrap_or(QUIET)) } else { timeout };
        let left = limit.map(|limit| limit.saturating_sub(last.elapsed()));
        if left.is_some_and(|left| left.is_zero()) {
            break;
        }
        poller.wait(&mut events, left)?;
        // Nobody else receives, so what is there does not have to be waited for.
        if events.iter().any(|event| event.token().0 != WAKER) {
            let len = socket.recv(&mut buffer)?;
            last = Instant::now();
            if !print(&buffer[..len])? {
                break;
            }
        }
    }
    Ok(())
}

/// Standard input to the peer: what is read in one piece is one datagram, as long as the path takes it whole.
fn send_input(socket: &UdpSocket, peer: SocketAddr, input: &Input, longest: usize) -> io::Result<()> {
    let mut buffer = vec![0; longest];
    loop {
        match io::stdin().lock().read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(len) => {
                socket.send_to(&buffer[..len], peer)?;
                input.pieces.fetch_add(1, Ordering::AcqRel);
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// A datagram on standard output; false where nobody reads it any more.
fn print(data: &[u8]) -> io::Result<bool> {
    let mut out = io::stdout().lock();
    match out.write_all(data).and_then(|()| out.flush()) {
        // `| head` has seen enough.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        result => result.map(|()| true),
    }
}
