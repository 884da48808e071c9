//! A segment in a line, with numbers relative to the ISS.

use std::fmt::Write as _;

use super::connection::Connection;
use super::segment::{Seg, Side, Sum};
use crate::wire::accurate_ecn::EcnOption;
use crate::wire::fast_open::Cookie;
use crate::wire::tcp::Flags;

/// The control bits as letters in a fixed order, as tcpdump's readers know them, and no dot for ACK: nearly all have it.
pub fn flags(flags: Flags) -> String {
    let names = [
        (Flags::SYN, "SYN"),
        (Flags::FIN, "FIN"),
        (Flags::RST, "RST"),
        (Flags::PSH, "PSH"),
        (Flags::URG, "URG"),
        (Flags::ECE, "ECE"),
        (Flags::CWR, "CWR"),
        (Flags::AE, "AE"),
        (Flags::ACK, "ACK"),
    ];
    let set: Vec<&str> = names.iter().filter(|(flag, _)| flags.contains(*flag)).map(|&(_, name)| name).collect();
    if set.is_empty() { "none".to_owned() } else { set.join(",") }
}

/// The options as they stand there: kinds that are not known by their number, padding as `nop`.
pub fn options(connection: &Connection, seg: &Seg) -> String {
    let parsed = seg.options.parsed();
    let base = connection.base(seg.from.other()).unwrap_or(0);
    let mut words = Vec::new();
    for (kind, value) in seg.options.each() {
        words.push(match kind {
            0 => "eol".to_owned(),
            1 => "nop".to_owned(),
            2 => parsed.mss.map_or("mss ?".to_owned(), |mss| format!("mss {mss}")),
            3 => parsed.window_scale.map_or("ws ?".to_owned(), |shift| format!("ws {shift}")),
            4 => "sackOK".to_owned(),
            5 => {
                let block = |(left, right): (u32, u32)| {
                    format!("{}..{}", left.wrapping_sub(base) as i32, right.wrapping_sub(base) as i32)
                };
                format!("sack {}", parsed.sack.iter().map(block).collect::<Vec<_>>().join(" "))
            }
            8 => parsed.timestamp.map_or("ts ?".to_owned(), |stamp| format!("ts {} {}", stamp.value, stamp.echo)),
            // Kind 34, and the experimental one that it was before.
            kind if Cookie::is_option(kind, value) => {
                let name = if kind == 34 { "tfo" } else { "tfo-exp" };
                Cookie::read(kind, value).map_or(format!("{name} ?"), |cookie| format!("{name} {cookie}"))
            }
            // RFC 9768.
            172 | 174 => {
                EcnOption::read(kind, value).map_or("accecn ?".to_owned(), |option| format!("accecn {option}"))
            }
            kind => format!("option {kind}"),
        });
    }
    words.join(", ")
}

/// The segment in a line: `> SYN 0 win 64240 <mss 1460>`; `>` from the client, `<` from the server. Timestamps are left out
/// without `all`: they differ in each segment.
pub fn segment(connection: &Connection, seg: &Seg, all: bool) -> String {
    let mut out = String::new();
    out.push_str(if seg.from == Side::Client { "> " } else { "< " });
    let bare = seg.flags == Flags::ACK;
    if !bare {
        out.push_str(&flags(seg.flags.without(Flags::ACK)));
        out.push(' ');
    }
    // Writing to a string does not fail.
    let _ = match (seg.text, bare) {
        (0, true) => write!(out, "ack {}", seg.ack_at),
        (0, false) => write!(out, "{}", seg.at),
        (text, _) => write!(out, "{}..{}", seg.text_at(), seg.text_at() + i64::from(text)),
    };
    if seg.has(Flags::ACK) && !(bare && seg.text == 0) {
        let _ = write!(out, " ack {}", seg.ack_at);
    }
    if !seg.has(Flags::RST) {
        let _ = write!(out, " win {}", connection.window(seg));
    }
    if seg.has(Flags::URG) {
        let _ = write!(out, " urg {}", seg.urgent);
    }
    let options = options(connection, seg);
    let shown: Vec<&str> = options
        .split(", ")
        .filter(|word| !word.is_empty() && (all || seg.has(Flags::SYN) || !(word.starts_with("ts ") || *word == "nop")))
        .collect();
    if !shown.is_empty() {
        let _ = write!(out, " <{}>", shown.join(", "));
    }
    if seg.sum == Sum::Bad {
        out.push_str(" BAD CHECKSUM");
    }
    out
}
