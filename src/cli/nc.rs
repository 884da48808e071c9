//! `glasstcp nc`: one connection over the stack, with standard input and output.

use std::io::{self, ErrorKind, IsTerminal, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr};
use std::process::{self, ExitCode};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::args::{self, Nc};
use super::nc_udp;
use super::open::{self, Opened};
use super::signals::{self, Requests, Wanted};
use super::{Failure, say};
use crate::net::{Events, Interest, ListenFastOpen, ListenOptions, Poller, TcpStream, Token, Trigger};

/// Octets moved in one piece.
const PIECE: usize = 64 * 1024;
/// After the peer's close, input that pauses for so long is taken to have ended.
const PAUSE: Duration = Duration::from_millis(500);
/// Once a stream has ended, how long it takes to see that everything is sent.
const TICK: Duration = Duration::from_millis(10);

/// What the thread of standard input has done.
#[derive(Default)]
struct Input {
    pieces: AtomicU64,
    /// It has a piece that the stack does not take yet.
    sending: AtomicBool,
    done: AtomicBool,
}

/// Runs the command.
pub(super) fn run(args: &Nc) -> Result<ExitCode, Failure> {
    let target = match target(args) {
        Ok(target) => target,
        Err(text) => usage(&text),
    };
    if args.udp {
        return nc_udp::run(args, &target);
    }
    let opened = open::open(&args.stack, args.congestion)?;
    opened.require_up()?;
    let current: Arc<Mutex<Option<TcpStream>>> = Arc::default();
    let shared = Arc::clone(&current);
    let requests = signals::watch(Wanted::End, move |signal| match &*lock(&shared) {
        // Whoever reads finds the end, and closes as always.
        Some(stream) => drop(stream.shutdown(Shutdown::Both)),
        // Nothing is open yet.
        None => process::exit(128 + signal),
    })?;
    let stream = match target {
        Target::Remote(remote) if args.fast_open => connect_fast(&opened, remote, args.timeout)?,
        Target::Remote(remote) => connect(&opened, remote, args.timeout)?,
        Target::Listen(port) => listen(&opened, port, args)?,
    };
    *lock(&current) = Some(stream.try_clone()?);
    let result = converse(&stream, &requests).map_err(|error| opened.explain(error));
    *lock(&current) = None;
    drop(stream);
    opened.close();
    match (requests.end(), result) {
        (Some(signal), _) => Ok(ExitCode::from(u8::try_from(128 + signal).unwrap_or(1))),
        (None, result) => Ok(result.map(|()| ExitCode::SUCCESS)?),
    }
}

fn lock(current: &Mutex<Option<TcpStream>>) -> std::sync::MutexGuard<'_, Option<TcpStream>> {
    current.lock().unwrap_or_else(PoisonError::into_inner)
}

/// With whom to talk.
pub(super) enum Target {
    Remote(SocketAddr),
    Listen(u16),
}

fn target(args: &Nc) -> Result<Target, String> {
    match (args.listen, args.target.as_slice()) {
        (false, [host, port]) => Ok(Target::Remote(SocketAddr::new(args::host(host)?, args::port(port)?))),
        (false, _) => Err("HOST and PORT are needed, or -l and PORT".into()),
        (true, [port]) => Ok(Target::Listen(args::port(port)?)),
        (true, _) => Err("with -l there is only a PORT".into()),
    }
}

/// Says what is wrong with the arguments as clap does, and ends.
fn usage(text: &str) -> ! {
    use clap::CommandFactory;
    let mut command = args::Cli::command();
    command.build();
    let nc = command.find_subcommand_mut("nc").map_or_else(args::Cli::command, |nc| nc.clone());
    nc.clone().error(clap::error::ErrorKind::ValueValidation, text).exit()
}

fn connect(opened: &Opened, remote: SocketAddr, timeout: Option<Duration>) -> Result<TcpStream, Failure> {
    let result = match timeout {
        Some(timeout) => opened.net.connect_timeout(&remote, timeout),
        None => opened.net.connect(remote),
    };
    result.map_err(|error| not_connected(opened, remote, error))
}

/// Connects with the first piece of standard input.
fn connect_fast(opened: &Opened, remote: SocketAddr, timeout: Option<Duration>) -> Result<TcpStream, Failure> {
    let mut first = vec![0; PIECE];
    let len = loop {
        match io::stdin().lock().read(&mut first) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            result => break result?,
        }
    };
    let result = opened.net.connect_fast(&remote, &first[..len], timeout);
    let (stream, taken) = result.map_err(|error| not_connected(opened, remote, error))?;
    (&mut &stream).write_all(&first[taken..len])?;
    Ok(stream)
}

fn not_connected(opened: &Opened, remote: SocketAddr, error: io::Error) -> Failure {
    let why = opened.explain(error);
    let hint = match why.kind() {
        ErrorKind::ConnectionRefused => " (nobody listens there)",
        ErrorKind::TimedOut => " (no answer)",
        ErrorKind::NetworkUnreachable => " (the stack has no address of that family: see --addr)",
        _ => "",
    };
    format!("cannot connect to {remote}: {why}{hint}").into()
}

/// Waits for one connection on all addresses, and no longer listens then.
fn listen(opened: &Opened, port: u16, args: &Nc) -> Result<TcpStream, Failure> {
    let options = ListenOptions {
        socket: opened.net.config().tcp.socket,
        fast_open: args.fast_open.then(|| ListenFastOpen::new(1)),
        ..ListenOptions::default()
    };
    let poller = Poller::new(&opened.net)?;
    let mut listeners = Vec::new();
    for (i, cidr) in opened.addresses.iter().enumerate() {
        let local = SocketAddr::new(cidr.address, port);
        let listener =
            opened.net.listen(local, &options).map_err(|error| format!("cannot listen on {local}: {error}"))?;
        listener.set_nonblocking(true)?;
        poller.register(&listener, Token(i), Interest::READABLE, Trigger::Level)?;
        listeners.push(listener);
    }
    let addresses: Vec<IpAddr> = opened.addresses.iter().map(|cidr| cidr.address).collect();
    say(&format!("glasstcp: listening on port {port} of {addresses:?}"));
    let until = args.timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    let mut events = Events::with_capacity(listeners.len());
    loop {
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        if left.is_some_and(|left| left.is_zero()) {
            return Err("nobody connected in time".into());
        }
        poller.wait(&mut events, left).map_err(|error| opened.explain(error))?;
        for event in &events {
            match listeners[event.token().0].accept() {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(opened.explain(error).into()),
                Ok((stream, peer)) => {
                    say(&format!("glasstcp: connection from {peer}"));
                    stream.set_nonblocking(false)?;
                    return Ok(stream);
                }
            }
        }
    }
}

/// Moves data both ways until the peer has closed.
fn converse(stream: &TcpStream, requests: &Requests) -> io::Result<()> {
    let input = Arc::new(Input::default());
    let (for_thread, shared) = (stream.try_clone()?, Arc::clone(&input));
    thread::Builder::new().name("input".into()).spawn(move || {
        send_input(&for_thread, &shared);
        shared.done.store(true, Ordering::Release);
    })?;
    let result = print_received(stream);
    if requests.end().is_some() {
        return Ok(());
    }
    result?;
    finish_sending(&input);
    // A reset, or the peer's silence, while the rest was sent.
    stream.take_error()?.map_or(Ok(()), Err)
}

/// Standard input to the peer, and its end as the end of our half.
fn send_input(stream: &TcpStream, input: &Input) {
    let mut buffer = vec![0; PIECE];
    loop {
        match io::stdin().lock().read(&mut buffer) {
            Ok(0) => break,
            Ok(len) => {
                input.sending.store(true, Ordering::Release);
                let sent = (&mut &*stream).write_all(&buffer[..len]);
                input.pieces.fetch_add(1, Ordering::AcqRel);
                input.sending.store(false, Ordering::Release);
                if sent.is_err() {
                    return; // whoever reads finds the reason
                }
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => {
                say(&format!("glasstcp: standard input: {error}"));
                break;
            }
        }
    }
    // It fails when the connection is over, and then there is nothing to close.
    let _ = stream.shutdown(Shutdown::Write);
}

/// What the peer sends to standard output.
fn print_received(mut stream: &TcpStream) -> io::Result<()> {
    let mut buffer = vec![0; PIECE];
    let mut out = io::stdout().lock();
    loop {
        let len = stream.read(&mut buffer)?;
        if len == 0 {
            return Ok(());
        }
        match out.write_all(&buffer[..len]).and_then(|()| out.flush()) {
            // `| head` has seen enough.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => return stream.shutdown(Shutdown::Both),
            result => result?,
        }
    }
}

/// The peer has closed, but may still read: input that goes on is sent, unless a person types it.
fn finish_sending(input: &Input) {
    if io::stdin().is_terminal() {
        return;
    }
    let mut last = (input.pieces.load(Ordering::Acquire), Instant::now());
    while !input.done.load(Ordering::Acquire) {
        let pieces = input.pieces.load(Ordering::Acquire);
        if pieces != last.0 || input.sending.load(Ordering::Acquire) {
            last = (pieces, Instant::now());
        } else if last.1.elapsed() >= PAUSE {
            return;
        }
        thread::sleep(TICK);
    }
}
