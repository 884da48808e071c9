//! `glasstcp trace explain`: what a correct TCP makes of each packet of a capture.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::process::ExitCode;
use std::str::FromStr;

use clap::Args;

use super::table::{Look, Tint, row, wrap};
use super::{CaptureFile, choose, load, seconds, title};
use crate::cli::json::Object;
use crate::cli::{Failure, print};
use crate::trace::connection::Connection;
use crate::trace::describe;
use crate::trace::explain::{Explanation, Line, Verdict, explain, taken_at};
use crate::trace::segment::Side;

/// `glasstcp trace explain`.
#[derive(Debug, Args)]
pub(super) struct Explain {
    /// The capture
    #[arg(value_name = "FILE")]
    file: CaptureFile,
    /// From the point of view of this end: client, server, or its address [default: where the capture was taken]
    #[arg(long, value_name = "client|server|ADDR[:PORT]")]
    side: Option<End>,
    /// Only this connection [default: all]
    #[arg(long, value_name = "N")]
    connection: Option<usize>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Print only what is wrong or worth knowing
    #[arg(short, long)]
    quiet: bool,
}

pub(super) const EXAMPLES: &str = "\
What the end received goes through the state machine of glasstcp, in the capture's own time; what it sent says what its application did. Each line shows the segment (> from the client, < from the server), the state of the end, and what becomes of the segment by which rule: the id of a row in docs/requirements.csv, or a section of an RFC. Lines with !! say where the end departs from a rule.

A capture shows the order of the place where it was taken. Whether an answer came too late, or too early, is judged only at that end: its directions say which it is, or the times of the handshake do.

Examples:
  glasstcp trace explain trace.pcapng
  glasstcp trace explain trace.pcapng --connection 2 --side server
  glasstcp trace explain trace.pcapng --side 10.0.0.2:80 --json
  tcpdump -i eth0 -w - tcp port 80 | glasstcp trace explain - --quiet

Exit codes: 0 the end keeps the rules, 1 it departs from one, 2 trouble.";

/// Which end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Side(Side),
    Address(IpAddr),
    Socket(SocketAddr),
}

impl FromStr for End {
    type Err = String;

    fn from_str(text: &str) -> Result<End, String> {
        match text {
            "client" => return Ok(End::Side(Side::Client)),
            "server" => return Ok(End::Side(Side::Server)),
            _ => {}
        }
        let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
        if let Ok(address) = bare.parse() {
            return Ok(End::Address(address));
        }
        text.parse()
            .map(End::Socket)
            .map_err(|_| format!("'{text}' is neither client nor server nor ADDR nor ADDR:PORT"))
    }
}

impl End {
    /// The side of a connection that it is.
    fn of(self, connection: &Connection) -> Option<Side> {
        Side::BOTH.into_iter().find(|&side| match self {
            End::Side(own) => own == side,
            End::Address(address) => connection.address(side).ip() == address,
            End::Socket(address) => connection.address(side) == address,
        })
    }
}

/// Runs the command.
pub(super) fn run(args: &Explain) -> Result<ExitCode, Failure> {
    let trace = load(&args.file)?;
    let all: Vec<&Connection> = match args.connection {
        Some(_) => vec![choose(&trace, args.connection, &args.file)?],
        None => trace.connections.iter().collect(),
    };
    let mut explained = Vec::new();
    for connection in all {
        let side = match args.side {
            Some(end) => end.of(connection),
            None => Some(taken_at(connection).unwrap_or(Side::Server)),
        };
        explained.extend(side.map(|side| (connection, explain(connection, side))));
    }
    if explained.is_empty() {
        return Err(format!("{}: no connection has such an end", args.file.display()).into());
    }
    let faults: usize = explained.iter().map(|(_, explanation)| explanation.faults()).sum();
    print(&if args.json { json(&explained) } else { text(&explained, args.quiet, &Look::of_output()) })?;
    Ok(ExitCode::from(u8::from(faults > 0)))
}

/// The states, and what became of the segment.
fn verdict(line: &Line) -> String {
    let mut out = String::new();
    if line.before == line.after {
        let _ = write!(out, "{}", line.before);
    } else {
        let _ = write!(out, "{} -> {}", line.before, line.after);
    }
    match line.verdict {
        Verdict::Sent => out.push_str(": sent"),
        Verdict::Accepted => out.push_str(": accepted"),
        Verdict::Dropped(reason) => {
            let _ = write!(out, ": dropped, {reason}");
        }
    }
    if let Some(rule) = line.rule {
        let _ = write!(out, " ({rule})");
    }
    if !line.acts.is_empty() {
        let _ = write!(out, " {}", line.acts.join(" "));
    }
    out
}

fn text(explained: &[(&Connection, Explanation)], quiet: bool, look: &Look) -> String {
    let mut out = String::new();
    let (mut segments, mut faults) = (0, 0);
    for (connection, explanation) in explained {
        (segments, faults) = (segments + connection.segs.len(), faults + explanation.faults());
        if quiet && explanation.lines.iter().all(|line| line.findings.is_empty()) {
            continue;
        }
        let side = explanation.side;
        let heading =
            format!("#{} {}, as the {side} {} sees it", connection.number, title(connection), connection.address(side));
        let _ = writeln!(out, "{}", look.tint(Tint::Bold, &heading));
        if !explanation.near {
            out.push_str("The capture was taken at the other end: what depends on order and time is not judged.\n");
        }
        if explanation.partial {
            out.push_str("The beginning is missing: windows and options are not judged.\n");
        }
        if explanation.incomplete {
            out.push_str("The capture lacks packets: what they might excuse is noted only.\n");
        }
        for line in &explanation.lines {
            if !quiet || !line.findings.is_empty() {
                line_text(connection, line, look, &mut out);
            }
        }
        out.push('\n');
    }
    let ends = explained.len();
    let _ = match faults {
        0 => writeln!(out, "{segments} segments in {ends} connections: no departure from the rules."),
        _ => writeln!(out, "{segments} segments in {ends} connections: {faults} departures from the rules."),
    };
    out
}

/// From here on a segment and its verdict have room beside each other.
const SIDE_BY_SIDE: usize = 100;

fn line_text(connection: &Connection, line: &Line, look: &Look, out: &mut String) {
    let seg = &connection.segs[line.place];
    let head = format!("{:>5} {:>10}", seg.frame, seconds(seg.time_ns.saturating_sub(connection.start_ns())));
    let segment = describe::segment(connection, seg, false);
    let tint = match line.verdict {
        Verdict::Sent => None,
        Verdict::Accepted => Some(Tint::Green),
        Verdict::Dropped(_) => Some(Tint::Yellow),
    };
    let margin = head.chars().count() + 1;
    if look.width >= SIDE_BY_SIDE {
        let half = (look.width - margin - 3) * 9 / 20;
        let rest = look.width - margin - 3 - half;
        let cells = [(segment, half, None), (verdict(line), rest, tint)];
        for (number, shown) in row(look, &cells).lines().enumerate() {
            let margin = if number == 0 { format!("{head} ") } else { " ".repeat(margin) };
            let _ = writeln!(out, "{margin}{shown}");
        }
    } else {
        let _ = writeln!(out, "{head} {segment}");
        for shown in wrap(&verdict(line), look.width.saturating_sub(6)) {
            let _ = writeln!(out, "      {}", tint.map_or(shown.clone(), |tint| look.tint(tint, &shown)));
        }
    }
    for finding in &line.findings {
        let (mark, tint, words) = match finding.fault {
            Some(fault) => {
                let (word, rule, meaning) = (fault.word(), fault.rule(), fault.meaning());
                ("!!", Tint::Red, format!("{word} ({rule}): {meaning} {}", sentence(&finding.text)))
            }
            None => ("--", Tint::Dim, sentence(&finding.text)),
        };
        for (number, shown) in wrap(&words, look.width.saturating_sub(9)).iter().enumerate() {
            let mark = if number == 0 { mark } else { "  " };
            let _ = writeln!(out, "      {}", look.tint(tint, &format!("{mark} {shown}")));
        }
    }
}

fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or(String::new(), |first| format!("{}{}.", first.to_uppercase(), chars.as_str()))
}

fn json(explained: &[(&Connection, Explanation)]) -> String {
    let mut out = String::new();
    let mut root = Object::new(&mut out);
    root.number("faults", explained.iter().map(|(_, explanation)| explanation.faults() as u64).sum());
    root.list("connections", explained, |(connection, explanation), out| {
        out.push_str("\n  ");
        let mut object = Object::new(out);
        super::connection_json(connection, object.key("connection"));
        object.string("side", explanation.side.as_str());
        object.truth("near", explanation.near);
        object.truth("partial", explanation.partial);
        object.truth("incomplete", explanation.incomplete);
        object.number("faults", explanation.faults() as u64);
        object.list("lines", &explanation.lines, |line, out| {
            out.push_str("\n    ");
            line_json(connection, line, out);
        });
        object.end();
    });
    root.end();
    out.push('\n');
    out
}

fn line_json(connection: &Connection, line: &Line, out: &mut String) {
    let mut object = Object::new(out);
    super::segment_json(connection, &connection.segs[line.place], object.key("segment"));
    object.string("before", line.before.name());
    object.string("after", line.after.name());
    let (verdict, reason) = match line.verdict {
        Verdict::Sent => ("sent", None),
        Verdict::Accepted => ("accepted", None),
        Verdict::Dropped(reason) => ("dropped", Some(reason)),
    };
    object.string("verdict", verdict);
    if let Some(reason) = reason {
        object.string("reason", reason.as_str());
    }
    if let Some(rule) = line.rule {
        object.string("rule", rule);
    }
    object.list("acts", &line.acts, |act, out| crate::cli::json::quote(act, out));
    object.list("findings", &line.findings, |finding, out| {
        let mut object = Object::new(out);
        match finding.fault {
            Some(fault) => {
                object.string("fault", fault.word());
                object.string("rule", fault.rule());
                object.string("meaning", fault.meaning());
            }
            None => object.null("fault"),
        }
        object.string("text", &finding.text);
        object.end();
    });
    object.end();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_by_any_name() {
        assert_eq!("client".parse(), Ok(End::Side(Side::Client)));
        assert_eq!("[fd00::1]".parse(), Ok(End::Address("fd00::1".parse().unwrap())));
        assert_eq!("10.0.0.2:80".parse(), Ok(End::Socket("10.0.0.2:80".parse().unwrap())));
        assert!("somebody".parse::<End>().unwrap_err().contains("ADDR:PORT"));
    }
}
