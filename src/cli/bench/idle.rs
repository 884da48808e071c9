//! `glasstcp bench client --idle`: many connections that do nothing, to see what one costs.

use std::io::{self, Read};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use super::args::{self, Client};
use super::client::{connect, progress};
use super::flow::{self, Run};
use super::network::{Network, Stream};
use super::report::Report;
use crate::cli::signals::Requests;
use crate::cli::{Failure, say};

/// How often it is looked whether a signal asks to end.
const TICK: Duration = Duration::from_millis(50);
/// Between two lines of progress.
const PROGRESS: Duration = Duration::from_secs(1);

/// Opens the connections one by one and holds them.
pub(super) fn hold(args: &Client, count: u32, network: &Network, requests: &Requests) -> Result<Report, Failure> {
    let to = args.target.service(args::ECHO);
    let mut streams: Vec<Stream> = Vec::new();
    let started = Instant::now();
    let mut next = started + PROGRESS;
    while streams.len() < count as usize && requests.end().is_none() {
        let stream = connect(network, to).map_err(|failure| format!("{} are open; {failure}", streams.len()))?;
        streams.push(stream);
        if !args.quiet && Instant::now() >= next {
            progress(args.json, &format!("{:7.1} s  {} open\n", started.elapsed().as_secs_f64(), streams.len()));
            next += PROGRESS;
        }
    }
    let held = Instant::now();
    if requests.end().is_none() {
        say(&format!("{} connections are open", streams.len()));
        wait(args.time, requests);
    }
    let time = held.elapsed();
    if args.verify && requests.end().is_none() {
        let run = Run::new(None, true);
        for (i, stream) in streams.iter().enumerate() {
            flow::touch(stream, &run, i as u8).map_err(|error| format!("connection {}: {error}", i + 1))?;
        }
    }
    Ok(Report {
        test: "idle",
        to,
        client: network.name(),
        congestion: args.congestion.clone(),
        flows: u32::try_from(streams.len()).unwrap_or(u32::MAX),
        time,
        bytes: 0,
        all_bytes: 0,
        verified: args.verify && requests.end().is_none(),
        interrupted: requests.end().is_some(),
        times: None,
    })
}

/// Until the time is over; without one, until standard input ends. A signal ends it, too.
fn wait(time: Option<Duration>, requests: &Requests) {
    // Without a time, the thread's end closes the channel.
    let (sender, receiver) = mpsc::channel::<()>();
    let mut kept = Some(sender);
    if time.is_none() {
        let sender = kept.take();
        thread::spawn(move || {
            let mut buffer = [0; 4_096];
            while matches!(io::stdin().lock().read(&mut buffer), Ok(count) if count > 0) {}
            drop(sender);
        });
    }
    let until = time.and_then(|time| Instant::now().checked_add(time));
    while requests.end().is_none() && until.is_none_or(|until| Instant::now() < until) {
        let left = until.map_or(TICK, |until| until.saturating_duration_since(Instant::now()).min(TICK));
        if receiver.recv_timeout(left) == Err(RecvTimeoutError::Disconnected) {
            return;
        }
    }
}
