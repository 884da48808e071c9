//! `glasstcp trace diff`: two captures side by side.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::process::ExitCode;

use clap::Args;

use super::table::{Look, Tint, row, wrap};
use super::{CaptureFile, load, seconds, title};
use crate::cli::json::{Object, quote};
use crate::cli::{Failure, print};
use crate::trace::connection::{Connection, Trace};
use crate::trace::describe;
use crate::trace::differ::{Beside, Comparison, Kind, compare, pairs};

/// `glasstcp trace diff`.
#[derive(Debug, Args)]
pub(super) struct Diff {
    /// The first capture
    #[arg(value_name = "A")]
    a: CaptureFile,
    /// The second capture
    #[arg(value_name = "B")]
    b: CaptureFile,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Only this connection of the first capture and the one that stands beside it, or N of the first and M of the second
    #[arg(long, value_name = "N[:M]", value_parser = numbers)]
    connection: Option<(usize, Option<usize>)>,
    /// Show what does not differ, too
    #[arg(long)]
    all: bool,
    /// Pass over these kinds of difference
    #[arg(long, value_name = "KINDS", value_delimiter = ',')]
    ignore: Vec<Kind>,
}

pub(super) const EXAMPLES: &str = "\
Connections stand beside each other by their addresses, else by the port of the server, else by their order; their segments by what they are and where they stand in the stream. Time is shown and never a difference. > is from the client, < from the server.

Examples:
  glasstcp trace diff ours.pcapng kernel.pcapng
  glasstcp trace diff ours.pcapng kernel.pcapng --ignore window,push,delayed-ack
  glasstcp trace diff a.pcap b.pcap --connection 1:3 --all
  glasstcp trace diff a.pcap b.pcap --json

Kinds of difference:
  connection      one capture has a connection that the other has not
  stream-length   an end sent more octets in one trace than in the other
  end             the connection ended otherwise: FINs, RST, or not within the capture
  segmentation    the same octets in segments of other lengths
  missing-text    text that the other trace never has
  content         other octets at the same place of the stream
  retransmission  a segment sent again in one trace only
  delayed-ack     an ACK of its own in one trace only
  duplicate-ack   a duplicate ACK in one trace only
  window-update   a window update in one trace only
  keep-alive      a keep-alive probe in one trace only
  window-probe    a zero-window probe in one trace only
  handshake       a SYN or SYN,ACK in one trace only
  close           a FIN in one trace only
  reset           a RST in one trace only
  order           the same segment, earlier or later among the others
  ack-number      the same segment acknowledges more or less
  window          the same segment offers another window (scaled, in octets)
  push            PSH on one of them only
  ecn             ECE, CWR, AE or the codepoint of the IP header differ
  urgent          URG or the urgent pointer differ
  flags           other control bits differ
  options         one of them has an option that the other has not
  option-order    the same options in another order, or padded otherwise
  option-value    another MSS or window scale
  sack            other SACK blocks

Exit codes: 0 nothing differs but what is ignored, 1 something differs, 2 trouble.";

fn numbers(text: &str) -> Result<(usize, Option<usize>), String> {
    let number = |text: &str| match text.parse() {
        Ok(0) | Err(_) => Err(format!("'{text}' is not the number of a connection: they count from 1")),
        Ok(number) => Ok(number),
    };
    match text.split_once(':') {
        Some((a, b)) => Ok((number(a)?, Some(number(b)?))),
        None => Ok((number(text)?, None)),
    }
}

/// Runs the command.
pub(super) fn run(args: &Diff) -> Result<ExitCode, Failure> {
    let (a, b) = (load(&args.a)?, load(&args.b)?);
    let ignored: BTreeSet<Kind> = args.ignore.iter().copied().collect();
    let chosen = chosen(args, &a, &b)?;
    let comparisons: Vec<Comparison<'_>> = chosen.into_iter().map(|(a, b)| compare(a, b, &ignored)).collect();
    let same = comparisons.iter().all(Comparison::is_same);
    print(&if args.json { json(&comparisons, args.all) } else { text(&comparisons, args.all, &Look::of_output()) })?;
    Ok(ExitCode::from(u8::from(!same)))
}

type Pair<'a> = (Option<&'a Connection>, Option<&'a Connection>);

fn chosen<'a>(args: &Diff, a: &'a Trace, b: &'a Trace) -> Result<Vec<Pair<'a>>, Failure> {
    let Some((first, second)) = args.connection else { return Ok(pairs(a, b)) };
    let one = super::choose(a, Some(first), &args.a)?;
    if let Some(second) = second {
        return Ok(vec![(Some(one), Some(super::choose(b, Some(second), &args.b)?))]);
    }
    let pair = pairs(a, b).into_iter().find(|(a, _)| a.is_some_and(|a| a.number == first));
    match pair {
        Some((_, None)) | None => {
            Err(format!("nothing in {} stands beside connection {first}; say which: N:M", args.b.display()).into())
        }
        Some(pair) => Ok(vec![pair]),
    }
}

/// A segment of one side: its time since the first of its connection, and the segment.
fn cell(connection: Option<&Connection>, place: Option<usize>) -> String {
    let seg = connection.zip(place).and_then(|(connection, place)| Some((connection, connection.segs.get(place)?)));
    let Some((connection, seg)) = seg else { return String::new() };
    let time = seconds(seg.time_ns.saturating_sub(connection.start_ns()));
    format!("{time:>9} {}", describe::segment(connection, seg, false))
}

fn names(row: &Beside) -> String {
    row.kinds.iter().map(|kind| kind.name()).collect::<Vec<_>>().join(" ")
}

/// The table.
fn text(comparisons: &[Comparison<'_>], all: bool, look: &Look) -> String {
    let mut out = String::new();
    for comparison in comparisons {
        heading(comparison, look, &mut out);
        segments(comparison, all, look, &mut out);
        out.push('\n');
    }
    summary(comparisons, look, &mut out);
    out
}

fn heading(comparison: &Comparison<'_>, look: &Look, out: &mut String) {
    let name = |connection: Option<&Connection>| {
        connection.map_or("none".to_owned(), |connection| format!("#{} {}", connection.number, title(connection)))
    };
    let line = format!("A {} B {}", name(comparison.a), name(comparison.b));
    for line in wrap(&line, look.width) {
        let _ = writeln!(out, "{}", look.tint(Tint::Bold, &line));
    }
    for (kind, words) in &comparison.whole {
        let _ = writeln!(out, "{}: {words}", look.tint(Tint::Yellow, kind.name()));
    }
}

/// The longest name of a kind, and a little.
const KINDS_WIDTH: usize = 16;
/// From here on two segments have room beside each other.
const SIDE_BY_SIDE: usize = 96;

fn segments(comparison: &Comparison<'_>, all: bool, look: &Look, out: &mut String) {
    let mut alike = 0;
    for beside in &comparison.rows {
        if beside.kinds.is_empty() && !all {
            alike += 1;
            continue;
        }
        passed_over(&mut alike, look, out);
        let (a, b) = (cell(comparison.a, beside.a), cell(comparison.b, beside.b));
        let (red, green) = match beside.kinds.is_empty() {
            true => (None, None),
            false => (Some(Tint::Red), Some(Tint::Green)),
        };
        if look.width >= SIDE_BY_SIDE {
            let half = (look.width - KINDS_WIDTH - 6) / 2;
            let cells = [(a, half, red), (b, half, green), (names(beside), KINDS_WIDTH, Some(Tint::Yellow))];
            out.push_str(&row(look, &cells));
        } else {
            for (letter, text, tint) in [("A", a, red), ("B", b, green)] {
                let shown = wrap(&format!("{letter} {}", text.trim()), look.width);
                for line in shown.iter().filter(|_| !text.is_empty()) {
                    let _ = writeln!(out, "{}", tint.map_or(line.clone(), |tint| look.tint(tint, line)));
                }
            }
            if !beside.kinds.is_empty() {
                let _ = writeln!(out, "  {}", look.tint(Tint::Yellow, &names(beside)));
            }
        }
    }
    passed_over(&mut alike, look, out);
}

fn passed_over(alike: &mut u64, look: &Look, out: &mut String) {
    let count = std::mem::take(alike);
    if count > 0 {
        let words = if count == 1 { "1 segment is alike".to_owned() } else { format!("{count} segments are alike") };
        let _ = writeln!(out, "{}", look.tint(Tint::Dim, &format!("      ... {words}")));
    }
}

/// How often each kind occurs, and what it means.
fn summary(comparisons: &[Comparison<'_>], look: &Look, out: &mut String) {
    let mut counts = std::collections::BTreeMap::new();
    for (kind, count) in comparisons.iter().flat_map(Comparison::count) {
        *counts.entry(kind).or_insert(0) += count;
    }
    if counts.is_empty() {
        out.push_str("Nothing differs.\n");
        return;
    }
    for (kind, count) in counts {
        let name = look.tint(Tint::Yellow, &format!("{:<KINDS_WIDTH$}", kind.name()));
        let margin = KINDS_WIDTH + 10;
        let lines = wrap(kind.explained(), look.width.saturating_sub(margin));
        for (number, line) in lines.iter().enumerate() {
            let _ = match number {
                0 => writeln!(out, "{count:>7}  {name} {line}"),
                _ => writeln!(out, "{:margin$}{}", "", line.trim_start()),
            };
        }
    }
}

fn json(comparisons: &[Comparison<'_>], all: bool) -> String {
    let mut out = String::new();
    let mut root = Object::new(&mut out);
    root.truth("same", comparisons.iter().all(Comparison::is_same));
    root.list("connections", comparisons, |comparison, out| {
        out.push_str("\n  ");
        let mut object = Object::new(out);
        for (key, connection) in [("a", comparison.a), ("b", comparison.b)] {
            match connection {
                Some(connection) => super::connection_json(connection, object.key(key)),
                None => object.null(key),
            }
        }
        object.truth("same", comparison.is_same());
        let mut counts = Object::new(object.key("kinds"));
        for (kind, count) in comparison.count() {
            counts.number(kind.name(), count);
        }
        counts.end();
        object.list("whole", &comparison.whole, |(kind, words), out| {
            let mut object = Object::new(out);
            object.string("kind", kind.name());
            object.string("text", words);
            object.end();
        });
        let shown = comparison.rows.iter().filter(|row| all || !row.kinds.is_empty());
        object.list("segments", shown, |row, out| {
            out.push_str("\n    ");
            let mut object = Object::new(out);
            for (key, connection, place) in [("a", comparison.a, row.a), ("b", comparison.b, row.b)] {
                match connection.zip(place) {
                    Some((connection, place)) => {
                        super::segment_json(connection, &connection.segs[place], object.key(key));
                    }
                    None => object.null(key),
                }
            }
            object.list("kinds", &row.kinds, |kind, out| quote(kind.name(), out));
            object.end();
        });
        object.end();
    });
    root.end();
    out.push('\n');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_names_every_kind() {
        for kind in Kind::ALL {
            assert!(EXAMPLES.lines().any(|line| line.trim_start().starts_with(&format!("{} ", kind.name()))), "{kind}");
            assert_eq!(kind.name().parse(), Ok(*kind));
        }
        assert!("colour".parse::<Kind>().unwrap_err().contains("segmentation"));
        assert_eq!("Delayed ACK".parse(), Ok(Kind::DelayedAck));
    }

    #[test]
    fn numbers_of_connections() {
        assert_eq!((numbers("3"), numbers("3:4")), (Ok((3, None)), Ok((3, Some(4)))));
        assert!(numbers("0").is_err() && numbers("1:x").is_err() && numbers("").is_err());
    }
}
