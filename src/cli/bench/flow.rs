//! What one connection does in a test. Each runs on a thread of its own.

use std::fmt::Display;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::network::{Network, Stream, hint};
use crate::cli::chargen::Pattern;
use crate::sim::histogram::Histogram;

/// Octets per call.
const PIECE: usize = 256 * 1024;
/// A connection on which nothing moves for so long has failed.
const STALL: Duration = Duration::from_secs(10);

/// Where a test is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(super) enum Phase {
    WarmUp,
    Measure,
    /// The time is over: what is on its way may arrive.
    Over,
    /// Somebody wants it to end now.
    Abandon,
}

/// What all threads of a test share.
#[derive(Debug)]
pub(super) struct Run {
    phase: AtomicU8,
    /// Octets on each connection, if they are counted and not the time.
    pub(super) bytes: Option<u64>,
    /// Compare what arrives with what must.
    pub(super) verify: bool,
}

impl Run {
    pub(super) fn new(bytes: Option<u64>, verify: bool) -> Run {
        Run { phase: AtomicU8::new(Phase::WarmUp as u8), bytes, verify }
    }

    pub(super) fn enter(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Relaxed);
    }

    pub(super) fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Relaxed) {
            0 => Phase::WarmUp,
            1 => Phase::Measure,
            2 => Phase::Over,
            _ => Phase::Abandon,
        }
    }
}

/// What one flow has done so far, for all to see. Each has its own cache line.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(super) struct Tally {
    /// Octets taken by the socket with `--in`, else octets received.
    pub(super) bytes: AtomicU64,
    /// Round trips, or connections.
    pub(super) operations: AtomicU64,
}

/// Adds without a locked instruction: each counter has one writer.
fn add(counter: &AtomicU64, count: u64) {
    counter.store(counter.load(Ordering::Relaxed) + count, Ordering::Relaxed);
}

/// What a flow leaves behind.
pub(super) struct Done {
    pub(super) finished: Instant,
    pub(super) times: Option<Histogram>,
}

impl Done {
    fn bulk() -> Done {
        Done { finished: Instant::now(), times: None }
    }
}

/// A failure as text: it crosses threads.
pub(super) type Result<T> = std::result::Result<T, String>;

fn failed(what: impl Display) -> impl FnOnce(io::Error) -> String {
    move |error| format!("{what}: {error}{}", hint(&error))
}

/// Sees to it that a flow moves.
struct Watch<'a> {
    run: &'a Run,
    moved: Instant,
}

impl Watch<'_> {
    fn new(run: &Run) -> Watch<'_> {
        Watch { run, moved: Instant::now() }
    }

    /// After a call that had to wait a whole tick. False when the test was abandoned.
    fn waited(&self) -> Result<bool> {
        if self.run.phase() == Phase::Abandon {
            return Ok(false);
        }
        if self.moved.elapsed() < STALL {
            return Ok(true);
        }
        Err(format!("nothing moved for {} s", STALL.as_secs()))
    }

    /// Reads to the end of the stream, which must be all that is left.
    fn end_of_stream(&mut self, stream: &Stream) -> Result<()> {
        self.moved = Instant::now();
        loop {
            match stream.read(&mut [0; 16]).map_err(failed("waiting for the server's close"))? {
                Some(0) => return Ok(()),
                Some(_) => return Err("the server has sent what nobody asked for".into()),
                None if self.waited()? => {}
                None => return Ok(()),
            }
        }
    }
}

/// Sends pieces of `pattern` until the test is over or all is sent, and counts them where that is wanted.
fn send(stream: &Stream, run: &Run, pattern: &Pattern, tally: Option<&Tally>) -> Result<()> {
    let mut watch = Watch::new(run);
    let mut sent = 0;
    while run.phase() < Phase::Over {
        let piece = run.bytes.map_or(PIECE as u64, |bytes| (bytes - sent).min(PIECE as u64)) as usize;
        if piece == 0 {
            break;
        }
        match stream.write(pattern.from(sent, piece)).map_err(failed("sending"))? {
            Some(count) => {
                sent += count as u64;
                tally.inspect(|tally| add(&tally.bytes, count as u64));
                watch.moved = Instant::now();
            }
            None if watch.waited()? => {}
            None => break,
        }
    }
    stream.finish().map_err(failed("closing"))
}

/// `--in`: over when the server has closed, as it does when it has read everything.
pub(super) fn inward(stream: &Stream, run: &Run, tally: &Tally) -> Result<Done> {
    send(stream, run, &Pattern::new(PIECE), Some(tally))?;
    Watch::new(run).end_of_stream(stream)?;
    Ok(Done::bulk())
}

/// `--out`.
pub(super) fn outward(stream: &Stream, run: &Run, tally: &Tally) -> Result<Done> {
    let pattern = Pattern::new(PIECE);
    let mut buffer = vec![0; PIECE];
    let mut watch = Watch::new(run);
    let mut at = 0;
    while run.phase() < Phase::Over && run.bytes != Some(at) {
        let want = run.bytes.map_or(PIECE as u64, |bytes| (bytes - at).min(PIECE as u64)) as usize;
        match stream.read(&mut buffer[..want]).map_err(failed("receiving"))? {
            Some(0) => return Err("the server has closed".into()),
            Some(count) => {
                if run.verify {
                    compare(&buffer[..count], &pattern, at)?;
                }
                at += count as u64;
                add(&tally.bytes, count as u64);
                watch.moved = Instant::now();
            }
            None if watch.waited()? => {}
            None => break,
        }
    }
    Ok(Done::bulk())
}

/// Says which octet is wrong, if one is.
fn compare(got: &[u8], pattern: &Pattern, at: u64) -> Result<()> {
    let expected = pattern.from(at, got.len());
    if got == expected {
        return Ok(());
    }
    let wrong = got.iter().zip(expected).position(|(got, expected)| got != expected).unwrap_or(0);
    Err(format!("octet {} is {:#04x}, not {:#04x}", at + wrong as u64, got[wrong], expected[wrong]))
}

/// `--echo`: one thread sends, this one receives.
pub(super) fn echo(stream: &Stream, run: &Run, tally: &Tally) -> Result<Done> {
    let pattern = Pattern::new(PIECE);
    let mut buffer = vec![0; PIECE];
    thread::scope(|scope| {
        let sender = scope.spawn(|| send(stream, run, &pattern, None));
        let mut watch = Watch::new(run);
        let mut at = 0;
        loop {
            match stream.read(&mut buffer).map_err(failed("receiving"))? {
                Some(0) => break,
                Some(count) => {
                    if run.verify {
                        compare(&buffer[..count], &pattern, at)?;
                    }
                    at += count as u64;
                    add(&tally.bytes, count as u64);
                    watch.moved = Instant::now();
                }
                None if watch.waited()? => {}
                None => return Ok(Done::bulk()),
            }
        }
        sender.join().map_err(|_| "the sending thread died")??;
        match run.bytes {
            Some(bytes) if bytes != at => Err(format!("{bytes} octets were sent, {at} came back")),
            _ => Ok(Done::bulk()),
        }
    })
}

/// Sends `request` and waits until the same is back. False when the test was abandoned.
fn round_trip(stream: &Stream, request: &[u8], buffer: &mut [u8], watch: &mut Watch<'_>) -> Result<bool> {
    watch.moved = Instant::now();
    let (mut sent, mut got) = (0, 0);
    while got < request.len() {
        if sent < request.len() {
            sent += stream.write(&request[sent..]).map_err(failed("sending"))?.unwrap_or(0);
        }
        match stream.read(&mut buffer[got..request.len()]).map_err(failed("receiving"))? {
            Some(0) => return Err("the server has closed".into()),
            Some(count) => got += count,
            None if watch.waited()? => {}
            None => return Ok(false),
        }
    }
    if buffer[..got] == *request { Ok(true) } else { Err("what came back is not what was sent".into()) }
}

/// `--rr`.
pub(super) fn request_response(stream: &Stream, run: &Run, size: usize, tally: &Tally) -> Result<Done> {
    let pattern = Pattern::new(size);
    let mut buffer = vec![0; size];
    let mut times = Histogram::new();
    let mut watch = Watch::new(run);
    let mut number = 0;
    while run.phase() < Phase::Over {
        let started = Instant::now();
        let whole = round_trip(stream, pattern.from(number, size), &mut buffer, &mut watch)?;
        let time = started.elapsed();
        number += 1;
        if whole && run.phase() == Phase::Measure {
            times.add(time);
            add(&tally.operations, 1);
            add(&tally.bytes, size as u64);
        }
    }
    Ok(Done { finished: Instant::now(), times: Some(times) })
}

/// `--crr`: the time of each is that until the byte is back.
pub(super) fn connect_request_response(
    network: &Network,
    to: SocketAddr,
    reset: bool,
    run: &Run,
    tally: &Tally,
) -> Result<Done> {
    let mut times = Histogram::new();
    let mut watch = Watch::new(run);
    let mut number = 0_u64;
    while run.phase() < Phase::Over {
        let started = Instant::now();
        let stream = network.connect(to).map_err(failed(format_args!("connection {}", number + 1)))?;
        let whole = round_trip(&stream, &[number as u8], &mut [0], &mut watch)?;
        let time = started.elapsed();
        number += 1;
        if reset {
            stream.close_by_reset().map_err(failed("closing"))?;
        }
        drop(stream);
        if whole && run.phase() == Phase::Measure {
            times.add(time);
            add(&tally.operations, 1);
            add(&tally.bytes, 1);
        }
    }
    Ok(Done { finished: Instant::now(), times: Some(times) })
}

/// One byte there and back on a connection that was idle.
pub(super) fn touch(stream: &Stream, run: &Run, byte: u8) -> Result<()> {
    match round_trip(stream, &[byte], &mut [0], &mut Watch::new(run))? {
        true => Ok(()),
        false => Err("interrupted".into()),
    }
}
