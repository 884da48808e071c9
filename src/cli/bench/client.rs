//! `glasstcp bench client`: starts the connections, keeps the time, and sums up.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use super::args::{self, Client};
use super::flow::{self, Done, Phase, Run, Tally};
use super::idle;
use super::network::{Network, Stream, hint};
use super::report::{Report, bits};
use crate::cli::open::{self, Opened};
use crate::cli::signals::{self, Requests, Wanted};
use crate::cli::{Failure, print};
use crate::sim::histogram::Histogram;

/// How often it is looked whether something is over. Seldom, as it takes time from what is measured.
const TICK: Duration = Duration::from_millis(50);
/// How long is measured where nobody says.
const TIME: Duration = Duration::from_secs(5);
/// Between two lines of progress.
const PROGRESS: Duration = Duration::from_secs(1);

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Test {
    In,
    Out,
    Echo,
    RequestResponse(usize),
    ConnectRequestResponse,
}

impl Test {
    /// The test that the options name; `None` is `--idle`.
    fn of(args: &Client) -> Option<Test> {
        match args {
            Client { inward: true, .. } => Some(Test::In),
            Client { outward: true, .. } => Some(Test::Out),
            Client { echo: true, .. } => Some(Test::Echo),
            Client { rr: Some(size), .. } => Some(Test::RequestResponse(*size as usize)),
            Client { crr: true, .. } => Some(Test::ConnectRequestResponse),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Test::In => "in",
            Test::Out => "out",
            Test::Echo => "echo",
            Test::RequestResponse(_) => "rr",
            Test::ConnectRequestResponse => "crr",
        }
    }

    fn port(self) -> u16 {
        match self {
            Test::In => args::DISCARD,
            Test::Out => args::CHARGEN,
            _ => args::ECHO,
        }
    }

    fn is_bulk(self) -> bool {
        matches!(self, Test::In | Test::Out | Test::Echo)
    }
}

/// Runs the command.
pub(super) fn run(args: &Client) -> Result<ExitCode, Failure> {
    let opened = if args.kernel { None } else { Some(open::open(&args.stack, args.algorithm()?)?) };
    let network = match &opened {
        None => Network::Kernel(args::congestion(&args.congestion).map(str::to_owned)),
        Some(opened) => {
            opened.require_up()?;
            Network::Ours(opened.net.clone())
        }
    };
    let requests = signals::watch(Wanted::End, |_| {})?;
    let result = match (Test::of(args), args.idle) {
        (Some(test), _) => measure(args, test, &network, &requests),
        (None, count) => idle::hold(args, count.unwrap_or(0), &network, &requests),
    };
    let result = result.map_err(|failure| explain(opened.as_ref(), failure));
    drop(network);
    opened.inspect(Opened::close);
    let report = result?;
    print(&if args.json { report.json() } else { report.text() })?;
    if report.is_empty() {
        return Err("nothing was measured".into());
    }
    Ok(ExitCode::SUCCESS)
}

/// With the reason why the device is gone, where that is so.
fn explain(opened: Option<&Opened>, failure: Failure) -> Failure {
    match opened.and_then(|opened| opened.net.failure()) {
        Some(error) => format!("{failure}: {error}").into(),
        None => failure,
    }
}

fn measure(args: &Client, test: Test, network: &Network, requests: &Requests) -> Result<Report, Failure> {
    let to = args.target.service(test.port());
    let run = Run::new(args.bytes, args.verify);
    let tallies: Vec<Tally> = (0..args.flows).map(|_| Tally::default()).collect();
    // All are open before one of them moves anything. --crr opens its own.
    let count = if test == Test::ConnectRequestResponse { 0 } else { args.flows };
    let streams = (0..count).map(|_| connect(network, to)).collect::<Result<Vec<_>, _>>()?;
    let begun = Instant::now();
    let (mark, ends) = thread::scope(|scope| {
        let spawned: io::Result<Vec<_>> = tallies
            .iter()
            .enumerate()
            .map(|(i, tally)| {
                let (stream, run) = (streams.get(i), &run);
                let work = move || work(test, network, to, args.reset, stream, run, tally);
                thread::Builder::new().name(format!("flow {i}")).spawn_scoped(scope, work)
            })
            .collect();
        match spawned {
            Err(error) => {
                // Those that have started would be waited for.
                run.enter(Phase::Abandon);
                Err(format!("no thread for a connection: {error}"))
            }
            Ok(threads) => {
                let mark = keep_time(args, test, &run, &tallies, &threads, requests, begun);
                let ends: flow::Result<Vec<Done>> = threads
                    .into_iter()
                    .map(|thread| thread.join().unwrap_or_else(|_| Err("a thread of the test died".into())))
                    .collect();
                ends.map(|ends| (mark, ends))
            }
        }
    })?;
    Ok(sum_up(args, test, network, to, &tallies, &mark, &ends))
}

pub(super) fn connect(network: &Network, to: SocketAddr) -> Result<Stream, Failure> {
    network.connect(to).map_err(|error| format!("cannot connect to {to}: {error}{}", hint(&error)).into())
}

fn work(
    test: Test,
    network: &Network,
    to: SocketAddr,
    reset: bool,
    stream: Option<&Stream>,
    run: &Run,
    tally: &Tally,
) -> flow::Result<Done> {
    let result = match (test, stream) {
        (Test::In, Some(stream)) => flow::inward(stream, run, tally),
        (Test::Out, Some(stream)) => flow::outward(stream, run, tally),
        (Test::Echo, Some(stream)) => flow::echo(stream, run, tally),
        (Test::RequestResponse(size), Some(stream)) => flow::request_response(stream, run, size, tally),
        _ => flow::connect_request_response(network, to, reset, run, tally),
    };
    if result.is_err() {
        // One that fails ends all.
        run.enter(Phase::Abandon);
    }
    result
}

/// What had been moved at the two ends of the time.
struct Mark {
    started: Instant,
    bytes_at_start: u64,
    ended: Instant,
    bytes_at_end: u64,
    interrupted: bool,
}

fn octets(tallies: &[Tally]) -> u64 {
    tallies.iter().map(|tally| tally.bytes.load(Ordering::Relaxed)).sum()
}

fn operations(tallies: &[Tally]) -> u64 {
    tallies.iter().map(|tally| tally.operations.load(Ordering::Relaxed)).sum()
}

/// Leads the test through its phases.
fn keep_time(
    args: &Client,
    test: Test,
    run: &Run,
    tallies: &[Tally],
    threads: &[ScopedJoinHandle<'_, flow::Result<Done>>],
    requests: &Requests,
    begun: Instant,
) -> Mark {
    let warm_up = if args.bytes.is_some() { Duration::ZERO } else { args.warm_up };
    let all_ended = || threads.iter().all(ScopedJoinHandle::is_finished);
    let over = || requests.end().is_some() || run.phase() == Phase::Abandon || all_ended();
    sleep_until(Instant::now() + warm_up, &over);
    // A few bytes may all have been moved before this thread comes here.
    let (started, bytes_at_start) = if args.bytes.is_some() { (begun, 0) } else { (Instant::now(), octets(tallies)) };
    if run.phase() == Phase::WarmUp {
        run.enter(Phase::Measure);
    }
    let until = match args.bytes {
        Some(_) => None,
        None => started.checked_add(args.time.unwrap_or(TIME)),
    };
    let mut before = (started, bytes_at_start, 0);
    while !over() && until.is_none_or(|until| Instant::now() < until) {
        let next = before.0 + PROGRESS;
        sleep_until(until.map_or(next, |until| until.min(next)), &over);
        let now = (Instant::now(), octets(tallies), operations(tallies));
        if now.0 < next {
            continue;
        }
        if !args.quiet {
            let time = (now.0 - before.0).as_secs_f64();
            let rate = if test.is_bulk() {
                bits((now.1 - before.1) as f64 * 8.0 / time)
            } else {
                format!("{:.0} a second", (now.2 - before.2) as f64 / time)
            };
            progress(args.json, &format!("{:7.1} s  {rate}\n", (now.0 - started).as_secs_f64()));
        }
        before = now;
    }
    let interrupted = requests.end().is_some();
    let mark = Mark { started, bytes_at_start, ended: Instant::now(), bytes_at_end: octets(tallies), interrupted };
    if interrupted {
        run.enter(Phase::Abandon);
    } else if run.phase() < Phase::Over && args.bytes.is_none() {
        run.enter(Phase::Over);
    }
    mark
}

fn sleep_until(until: Instant, over: &dyn Fn() -> bool) {
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() || over() {
            return;
        }
        thread::sleep(left.min(TICK));
    }
}

/// Progress goes where the result does not.
pub(super) fn progress(json: bool, text: &str) {
    // That nobody reads it is no reason to fail.
    let _ = if json { io::stderr().write_all(text.as_bytes()) } else { print(text) };
}

fn sum_up(
    args: &Client,
    test: Test,
    network: &Network,
    to: SocketAddr,
    tallies: &[Tally],
    mark: &Mark,
    ends: &[Done],
) -> Report {
    let finished = ends.iter().map(|end| end.finished).max().unwrap_or(mark.ended);
    // What the server sends is complete at any moment. What it takes is complete when it has closed, so the time runs until
    // then; what waited in buffers when the warm-up ended makes the result a little too low, never too high.
    let until_finished = args.bytes.is_some() || matches!(test, Test::In | Test::Echo);
    let (ended, bytes) =
        if until_finished && !mark.interrupted { (finished, octets(tallies)) } else { (mark.ended, mark.bytes_at_end) };
    let times = (!test.is_bulk()).then(|| {
        let mut all = Histogram::new();
        ends.iter().filter_map(|end| end.times.as_ref()).for_each(|times| all.merge(times));
        all
    });
    Report {
        test: test.name(),
        to,
        client: network.name(),
        congestion: args.congestion.clone(),
        flows: u32::from(args.flows),
        time: ended.saturating_duration_since(mark.started),
        bytes: bytes.saturating_sub(mark.bytes_at_start),
        all_bytes: octets(tallies),
        verified: args.verify || !test.is_bulk(),
        interrupted: mark.interrupted,
        times,
    }
}
