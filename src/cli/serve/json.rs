//! `/connections.json`: what the page shows, for programs.
//!
//! One object with these fields. Times are integers in nanoseconds, amounts are in octets, and `null` means "not known
//! yet" or "none". New fields may come; these stay.
//!
//! | field | meaning |
//! |---|---|
//! | `version` | version of glasstcp |
//! | `uptime_ns` | time since the start |
//! | `own` | the connection that asked, as an object like those of `connections`, or `null` |
//! | `connections` | all others, at most [`LIMIT`](super::view::LIMIT) |
//! | `more` | how many others there are beyond those |
//! | `queues` | queues of the device, each with a stack of its own; all else is of all of them together |
//! | `counters` | counts of the stack since its start, by name |
//! | `mib` | `ip`, `fragments` (a part of `ip`), `icmp`, `udp` and `tcp`: counts by their names in RFC 4293, RFC 4113 and RFC 4022, without the prefix |
//! | `drops` | packets dropped since the start, by reason |
//!
//! A connection has `local` and `remote` (address and port), `state` (name in RFC 9293), `opened_by` (`us`, `peer`), `orphan`
//! (the application has let go of it), `mss_send`, `path_mtu` (the largest packet sent), `mss_announced`, `segment_payload`,
//! `timestamps`, `sack`,
//! `window_shift_peer`, `window_shift_own`, `srtt_ns`, `rttvar_ns`, `rto_ns`, `backoff`, `congestion`, `cwnd`, `ssthresh`
//! (`null` before the first loss), `pacing_rate`, `bandwidth` (both in octets per second) and `model_min_rtt_ns` (`null` where the
//! algorithm does not pace and models no path), `recovering`, `phase` (`open`, `fast recovery`, `timeout`), `in_flight`, `sacked`,
//! `lost` (octets), `reordering`, `min_rtt_ns`, `spurious` (recoveries that were taken back), `snd_una`, `snd_nxt`, `rcv_nxt`
//! (relative to the initial sequence numbers),
//! `snd_wnd`, `rcv_wnd`, `flight`, `unsent`, `unread`, `out_of_order`, `octets_acknowledged`, `octets_received`,
//! `segments_in`, `segments_out`, `retransmits`, `timeouts`.

use super::view::View;
use crate::cli::json::Object;
use crate::counters::Layer;
use crate::tcp::connection::Origin;
use crate::tcp::snapshot::Snapshot;

/// The text of `/connections.json`.
pub(super) fn json(view: &View) -> String {
    let mut out = String::new();
    let mut root = Object::new(&mut out);
    root.string("version", env!("CARGO_PKG_VERSION"));
    root.time("uptime_ns", Some(view.uptime));
    match &view.own {
        Some(own) => connection(own, root.key("own")),
        None => root.null("own"),
    }
    let list = root.key("connections");
    for (i, other) in view.others.iter().enumerate() {
        list.push_str(if i == 0 { "[\n" } else { ",\n" });
        connection(other, list);
    }
    list.push_str(if view.others.is_empty() { "[]" } else { "]" });
    root.number("more", view.more as u64);
    root.number("queues", view.queues as u64);
    let mut counters = Object::new(root.key("counters"));
    for count in view.counters.counts() {
        counters.number(&count.name.replace(' ', "_").to_lowercase(), count.value);
    }
    counters.end();
    let mut mib = Object::new(root.key("mib"));
    for layer in Layer::ALL {
        let mut named = Object::new(mib.key(&layer.as_str().to_lowercase()));
        for count in view.counters.layer(layer).iter().filter(|count| !count.mib.is_empty()) {
            named.number(count.mib, count.value);
        }
        named.end();
    }
    mib.end();
    let mut drops = Object::new(root.key("drops"));
    for (reason, count) in view.counters.drops() {
        drops.number(reason.as_str(), count);
    }
    drops.end();
    root.end();
    out.push('\n');
    out
}

fn connection(c: &Snapshot, out: &mut String) {
    let mut o = Object::new(out);
    o.string("local", &c.local.to_string());
    o.string("remote", &c.remote.to_string());
    o.string("state", c.state.name());
    o.string("opened_by", if c.origin == Origin::Passive { "peer" } else { "us" });
    o.truth("orphan", c.orphan);
    o.number("mss_send", c.send_mss.into());
    o.number("path_mtu", c.path_mtu.into());
    o.number("mss_announced", c.announced_mss.into());
    o.number("segment_payload", c.segment_payload.into());
    o.truth("timestamps", c.timestamps);
    o.truth("sack", c.sack);
    o.optional("window_shift_peer", c.window_shift.map(|(peer, _)| peer.into()));
    o.optional("window_shift_own", c.window_shift.map(|(_, own)| own.into()));
    o.time("srtt_ns", c.srtt);
    o.time("rttvar_ns", c.rttvar);
    o.time("rto_ns", Some(c.rto));
    o.number("backoff", c.backoff.into());
    o.string("congestion", &c.congestion.to_string());
    o.number("cwnd", c.cwnd.into());
    o.optional("ssthresh", (c.ssthresh != u32::MAX).then_some(c.ssthresh.into()));
    o.optional("pacing_rate", c.pacing_rate.map(|rate| rate.octets_per_sec()));
    o.optional("bandwidth", c.bandwidth.map(|rate| rate.octets_per_sec()));
    o.time("model_min_rtt_ns", c.model_min_rtt);
    o.truth("recovering", c.recovering);
    o.string("phase", c.phase.as_str());
    o.truth("reordering", c.reordering);
    o.time("min_rtt_ns", c.min_rtt);
    for (name, value) in [
        ("snd_una", c.snd_una),
        ("snd_nxt", c.snd_nxt),
        ("rcv_nxt", c.rcv_nxt),
        ("snd_wnd", c.snd_wnd),
        ("rcv_wnd", c.rcv_wnd),
        ("flight", c.flight),
        ("in_flight", c.in_flight),
        ("sacked", c.sacked),
        ("lost", c.lost),
        ("unsent", c.unsent),
        ("unread", c.unread),
        ("out_of_order", c.out_of_order),
    ] {
        o.number(name, value.into());
    }
    o.number("octets_acknowledged", c.statistics.octets_acknowledged);
    o.number("octets_received", c.statistics.octets_received);
    o.number("segments_in", c.statistics.segments_in.into());
    o.number("segments_out", c.statistics.segments_out.into());
    o.number("retransmits", c.statistics.retransmits.into());
    o.number("timeouts", c.statistics.timeouts.into());
    o.number("spurious", c.statistics.spurious.into());
    o.end();
}

#[cfg(test)]
mod tests {
    use super::super::view::tests::example;
    use super::*;
    use crate::cli::json::quote;

    /// Reads one JSON value at the head of `text` strictly; returns the rest.
    fn value(text: &str) -> &str {
        let text = text.trim_start();
        match text.as_bytes()[0] {
            b'{' => {
                items(&text[1..], '}', |text| value(string(text.trim_start()).trim_start().strip_prefix(':').unwrap()))
            }
            b'[' => items(&text[1..], ']', value),
            b'"' => string(text),
            b'0'..=b'9' => {
                let rest = text.trim_start_matches(|c: char| c.is_ascii_digit());
                assert!(!text.starts_with('0') || text.len() == rest.len() + 1, "leading zero");
                rest
            }
            _ => ["true", "false", "null"]
                .iter()
                .find_map(|word| text.strip_prefix(word))
                .unwrap_or_else(|| panic!("{text}")),
        }
    }

    fn items(text: &str, end: char, item: impl Fn(&str) -> &str) -> &str {
        if let Some(rest) = text.trim_start().strip_prefix(end) {
            return rest;
        }
        let mut rest = text;
        loop {
            rest = item(rest).trim_start();
            match rest.strip_prefix(end) {
                Some(rest) => return rest,
                None => rest = rest.strip_prefix(',').expect("a comma"),
            }
        }
    }

    fn string(text: &str) -> &str {
        let mut chars = text.strip_prefix('"').expect("a quote").char_indices();
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => return &text[at + 2..],
                '\\' => match chars.next().unwrap().1 {
                    'u' => (0..4).for_each(|_| assert!(chars.next().unwrap().1.is_ascii_hexdigit())),
                    c => assert!("\"\\/bfnrt".contains(c)),
                },
                c => assert!(c >= ' '),
            }
        }
        panic!("a string without end")
    }

    #[test]
    fn it_is_valid_json_with_all_its_parts() {
        for others in [0, 1, 3] {
            let text = json(&example(others));
            assert_eq!(value(&text), "\n", "{text}");
            assert_eq!(text.matches("\"retransmits\": 2").count(), others + 1, "{text}");
            assert!(text.contains("\"queues\": 2") && text.contains("\"handed_over\": 0"), "{text}");
            assert!(text.contains("\"more\": 7") && text.contains("\"bad TCP checksum\": 1"), "{text}");
            assert!(text.contains("\"InReceives\": 1234567") && text.contains("\"InErrs\": 1"), "{text}");
            assert!(text.contains("\"ssthresh\": null") && text.contains("\"srtt_ns\": 1250000"), "{text}");
        }
        let text = json(&View { own: None, ..example(0) });
        assert_eq!(value(&text), "\n");
        assert!(text.contains("\"own\": null"));
    }

    #[test]
    fn strings_are_escaped() {
        let mut out = String::new();
        quote("a\"b\\c\nd\u{1}\u{7f}é", &mut out);
        assert_eq!(out, "\"a\\\"b\\\\c\\nd\\u0001\u{7f}é\"");
        assert_eq!(value(&out), "");
    }
}
