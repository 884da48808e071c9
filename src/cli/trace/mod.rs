//! `glasstcp trace`: captures of any stack, compared, explained and drawn.

mod course;
mod diff;
mod explain;
mod plot;
mod table;

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::json::Object;
use super::{Failure, say};
use crate::trace::capture::Ending;
use crate::trace::connection::{Connection, MAX_SEGMENTS, read};
use crate::trace::describe;
use crate::trace::differ::ending;
use crate::trace::segment::{Seg, Side, Skipped};
use crate::wire::tcp::Flags;

/// `glasstcp trace`.
#[derive(Debug, Args)]
pub(super) struct Trace {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show side by side what differs between two captures
    #[command(after_help = diff::EXAMPLES)]
    Diff(diff::Diff),
    /// Say what a correct TCP makes of each packet, and where an end departs from the rules
    #[command(after_help = explain::EXAMPLES)]
    Explain(explain::Explain),
    /// Draw time and sequence numbers, and windows
    #[command(after_help = plot::EXAMPLES)]
    Plot(plot::Plot),
}

pub(super) const EXAMPLES: &str = "\
Captures are files of tcpdump, Wireshark or glasstcp (--pcap), pcap or pcapng; - is standard input. Connections are
numbered by their first packet, from 1. Sequence numbers are relative: the SYN has 0, the first octet of text 1.

Exit codes: 0 nothing found, 1 something found (a difference, a departure), 2 trouble.";

/// Runs the command. Trouble has exit code 2, since 1 is an answer.
pub(super) fn run(args: Trace) -> Result<ExitCode, Failure> {
    let result = match args.command {
        Command::Diff(args) => diff::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Plot(args) => plot::run(&args),
    };
    Ok(result.unwrap_or_else(|failure| {
        say(&format!("glasstcp: {failure}"));
        ExitCode::from(2)
    }))
}

/// Reads a capture, and says what was not looked at.
fn load(path: &Path) -> Result<crate::trace::connection::Trace, Failure> {
    let name = path.display();
    let input: Box<dyn Read + Send> = if path == Path::new("-") {
        Box::new(io::stdin())
    } else {
        Box::new(File::open(path).map_err(|error| format!("{name}: {error}"))?)
    };
    let trace = read(input).map_err(|error| format!("{name}: {error}"))?;
    for (why, count) in &trace.skipped {
        // What is of no TCP is no surprise.
        if !matches!(why, Skipped::NotIp | Skipped::NotTcp) {
            say(&format!("glasstcp: {name}: not looked at: {count} frames {why}"));
        }
    }
    if trace.ending == Ending::CutShort {
        say(&format!("glasstcp: {name}: cut short in the middle of a frame; what is before it is used"));
    }
    if trace.left_out > 0 {
        let (most, left) = (MAX_SEGMENTS, trace.left_out);
        say(&format!(
            "glasstcp: {name}: only the first {most} segments are used, {left} are not (editcap -c cuts a capture up)"
        ));
    }
    if trace.connections.is_empty() {
        let frames = trace.frames;
        return Err(format!("{name}: no segment of TCP in its {frames} frames").into());
    }
    Ok(trace)
}

/// The connection of this number; without one, the only one there is, or else the one with the most segments.
fn choose<'a>(
    trace: &'a crate::trace::connection::Trace,
    number: Option<usize>,
    path: &Path,
) -> Result<&'a Connection, Failure> {
    let connections = &trace.connections;
    let Some(number) = number else {
        let longest =
            connections.iter().max_by_key(|connection| (connection.segs.len(), usize::MAX - connection.number));
        return longest.ok_or_else(|| format!("{}: no connection", path.display()).into());
    };
    number.checked_sub(1).and_then(|place| connections.get(place)).ok_or_else(|| {
        let count = connections.len();
        format!("{}: there is no connection {number}; it has {count}, from 1", path.display()).into()
    })
}

/// `CLIENT > SERVER`.
fn title(connection: &Connection) -> String {
    format!("{} > {}", connection.client, connection.server)
}

/// A time in seconds, to the microsecond.
fn seconds(ns: u64) -> String {
    format!("{}.{:06}", ns / 1_000_000_000, ns / 1_000 % 1_000_000)
}

/// A file to read.
type CaptureFile = PathBuf;

/// A connection in JSON.
fn connection_json(connection: &Connection, out: &mut String) {
    let mut object = Object::new(out);
    object.number("number", connection.number as u64);
    object.string("client", &connection.client.to_string());
    object.string("server", &connection.server.to_string());
    object.number("segments", connection.segs.len() as u64);
    object.number("octets_client", connection.text(Side::Client));
    object.number("octets_server", connection.text(Side::Server));
    object.string("end", &ending(connection));
    object.end();
}

/// A segment in JSON; times are nanoseconds since the first segment of its connection, windows octets.
fn segment_json(connection: &Connection, seg: &Seg, out: &mut String) {
    let mut object = Object::new(out);
    object.number("frame", seg.frame);
    object.number("time_ns", seg.time_ns.saturating_sub(connection.start_ns()));
    object.string("from", seg.from.as_str());
    object.string("flags", &describe::flags(seg.flags));
    object.signed("seq", seg.at);
    if seg.has(Flags::ACK) {
        object.signed("ack", seg.ack_at);
    }
    object.number("len", u64::from(seg.text));
    object.number("window", connection.window(seg));
    object.string("options", &describe::options(connection, seg));
    object.end();
}
