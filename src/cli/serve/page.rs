//! The page of `/`: the visitor's own connection as the stack sees it, all others, and the counters. It is one file
//! without any other resource.

use std::fmt::Write as _;

use super::view::{View, duration, number, ssthresh};
use crate::counters::{Count, Layer};
use crate::tcp::connection::Origin;
use crate::tcp::snapshot::Snapshot;

const STYLE: &str = include_str!("page.css");

/// The page. A browser renews it each `refresh` seconds, if that is not 0.
pub(super) fn html(view: &View, refresh: u32) -> String {
    let mut out = String::with_capacity(8 * 1024 + view.others.len() * 320);
    out.push_str("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    out.push_str("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n");
    if refresh > 0 {
        line(&mut out, format_args!("<meta http-equiv=\"refresh\" content=\"{refresh}\">"));
    }
    out.push_str("<link rel=\"icon\" href=\"data:,\">\n<title>glasstcp</title>\n");
    line(&mut out, format_args!("<style>\n{STYLE}</style>\n</head>\n<body>"));
    line(
        &mut out,
        format_args!(
            "<header><h1><b>glass</b>tcp</h1><p>A TCP/IP stack that you can see through. \
             This page reached you over it.</p></header>"
        ),
    );
    match &view.own {
        Some(own) => own_connection(own, &mut out),
        None => out.push_str("<section><p class=\"none\">Your connection is gone already.</p></section>\n"),
    }
    other_connections(view, &mut out);
    counters(view, &mut out);
    footer(refresh, &mut out);
    out
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a string does not fail.
    let _ = writeln!(out, "{text}");
}

fn own_connection(c: &Snapshot, out: &mut String) {
    out.push_str("<section>\n<h2>Your connection</h2>\n");
    line(
        out,
        format_args!(
            "<p class=\"ends\"><span class=\"state\">{}</span><span>{}</span><i>you &rarr; here</i><span>{}</span></p>\n<dl>",
            c.state, c.remote, c.local
        ),
    );
    let mut fact = |name: &str, value: String, note: &str| {
        let note = if note.is_empty() { String::new() } else { format!(" <small>{note}</small>") };
        line(out, format_args!("<div><dt>{name}</dt><dd>{value}{note}</dd></div>"));
    };
    let octets = |value: u32| number(value.into());
    fact("Opened by", if c.origin == Origin::Passive { "you" } else { "this side" }.into(), "");
    fact("MSS", octets(c.segment_payload), &format!("announced {}", octets(c.announced_mss.into())));
    fact("Options", options(c), "");
    fact("Window scale", scale(c), "");
    fact("Smoothed RTT", c.srtt.map_or("not measured yet".into(), duration), &variation(c));
    let backoff = if c.backoff > 0 { format!("backed off {} times", c.backoff) } else { String::new() };
    fact("RTO", duration(c.rto), &backoff);
    fact("Congestion control", c.congestion.to_string(), if c.recovering { c.phase.as_str() } else { "" });
    fact("cwnd", octets(c.cwnd), &format!("{} segments", c.cwnd / c.segment_payload.max(1)));
    fact("ssthresh", ssthresh(c.ssthresh), "");
    if let Some(rate) = c.pacing_rate {
        let model = c.bandwidth.map_or(String::new(), |bandwidth| format!("of a path of {bandwidth}"));
        fact("Pacing rate", rate.to_string(), &model);
    }
    fact("Your window", octets(c.snd_wnd), "what we may send");
    fact("Our window", octets(c.rcv_wnd), "what you may send");
    fact("In flight", octets(c.flight), &format!("{} unsent", octets(c.unsent)));
    fact("SACKed", octets(c.sacked), &format!("{} lost, {} in the network", octets(c.lost), octets(c.in_flight)));
    let s = &c.statistics;
    fact("Received", number(s.octets_received), &format!("in {} segments", octets(s.segments_in)));
    fact("Acknowledged by you", number(s.octets_acknowledged), &format!("{} segments sent", octets(s.segments_out)));
    fact("Sequence", format!("{} / {}", octets(c.snd_una), octets(c.snd_nxt)), "SND.UNA / SND.NXT");
    fact("Expected next", octets(c.rcv_nxt), &format!("{} out of order", octets(c.out_of_order)));
    let class = if s.retransmits > 0 { " class=\"bad\"" } else { "" };
    fact(
        "Retransmissions",
        format!("<span{class}>{}</span>", s.retransmits),
        &format!("{} timeouts, {} for nothing", s.timeouts, s.spurious),
    );
    out.push_str("</dl>\n</section>\n");
}

fn variation(c: &Snapshot) -> String {
    c.rttvar.map_or(String::new(), |variation| format!("± {}", duration(variation)))
}

fn options(c: &Snapshot) -> String {
    match (c.sack, c.timestamps) {
        (true, true) => "SACK, timestamps",
        (true, false) => "SACK",
        (false, true) => "timestamps",
        (false, false) => "none",
    }
    .into()
}

fn scale(c: &Snapshot) -> String {
    c.window_shift
        .map_or("off".into(), |(peer, own)| format!("yours &times;{}, ours &times;{}", 1u32 << peer, 1u32 << own))
}

fn other_connections(view: &View, out: &mut String) {
    let all = view.others.len() + view.more;
    line(out, format_args!("<section>\n<h2>Other connections <small>{}</small></h2>", number(all as u64)));
    if view.others.is_empty() {
        out.push_str("<p class=\"none\">None at the moment.</p>\n</section>\n");
        return;
    }
    out.push_str("<div class=\"wide\"><table>\n<tr><th>Peer<th>Here<th>State<th>RTT<th>RTO<th>cwnd<th>In flight<th>Received<th>Acknowledged<th>Retransmitted\n");
    for c in &view.others {
        let s = &c.statistics;
        line(
            out,
            format_args!(
                "<tr><td>{}<td>{}<td>{}{}<td>{}<td>{}<td>{}<td>{}<td>{}<td>{}<td{}>{}",
                c.remote,
                c.local,
                c.state,
                if c.orphan { " <small>orphan</small>" } else { "" },
                c.srtt.map_or("–".into(), duration),
                duration(c.rto),
                number(c.cwnd.into()),
                number(c.flight.into()),
                number(s.octets_received),
                number(s.octets_acknowledged),
                if s.retransmits > 0 { " class=\"bad\"" } else { "" },
                s.retransmits,
            ),
        );
    }
    out.push_str("</table></div>\n");
    if view.more > 0 {
        line(out, format_args!("<p class=\"none\">… and {} more.</p>", number(view.more as u64)));
    }
    out.push_str("</section>\n");
}

fn counters(view: &View, out: &mut String) {
    let queues = if view.queues > 1 { format!(", on {} queues", view.queues) } else { String::new() };
    line(out, format_args!("<section>\n<h2>The stack <small>up {}{queues}</small></h2>", duration(view.uptime)));
    for layer in Layer::ALL {
        line(out, format_args!("<h3>{}</h3>\n<dl>", layer.as_str()));
        for Count { name, mib, value, .. } in view.counters.layer(layer) {
            let (first, rest) = (name[..1].to_uppercase(), &name[1..]);
            let mib = if mib.is_empty() { String::new() } else { format!(" <small>{mib}</small>") };
            line(out, format_args!("<div><dt>{first}{rest}</dt><dd>{}{mib}</dd></div>", number(value)));
        }
        out.push_str("</dl>\n");
    }
    out.push_str("</section>\n<section>\n<h2>Dropped packets <small>by reason</small></h2>\n");
    if view.counters.drops().next().is_none() {
        out.push_str("<p class=\"none\">None.</p>\n</section>\n");
        return;
    }
    out.push_str("<dl>\n");
    for (reason, count) in view.counters.drops() {
        line(out, format_args!("<div><dt>{reason}</dt><dd>{}</dd></div>", number(count)));
    }
    out.push_str("</dl>\n</section>\n");
}

fn footer(refresh: u32, out: &mut String) {
    let follow =
        if refresh == 0 { "<a href=\"/?refresh=2\">renew every 2 s</a>" } else { "<a href=\"/\">stop renewing</a>" };
    line(
        out,
        format_args!(
            "<footer>glasstcp {} &middot; {follow} &middot; <a href=\"/connections.json\">the same as JSON</a> &middot; \
             amounts are in octets</footer>\n</body>\n</html>",
            env!("CARGO_PKG_VERSION")
        ),
    );
}

#[cfg(test)]
mod tests {
    use super::super::view::tests::example;
    use super::*;

    #[test]
    fn the_page_shows_the_visitor_and_the_others_without_any_resource() {
        let page = html(&example(3), 2);
        for part in [
            "10.0.0.1:50000",
            "10.0.0.1:50003",
            "ESTABLISHED",
            "TIME-WAIT",
            "1.25 ms",
            "SACK, timestamps",
            "none yet",
            "and 7 more",
            "bad TCP checksum",
            "content=\"2\"",
            "on 2 queues",
            "Handed over",
            "<h3>ICMP</h3>",
            "InHdrErrors",
        ] {
            assert!(page.contains(part), "{part}");
        }
        assert!(!page.contains("http://") && !page.contains("https://") && !page.contains("src="));
        let alone = html(&View { own: None, more: 0, ..example(0) }, 0);
        assert!(!html(&View { queues: 1, ..example(0) }, 0).contains("queues"));
        assert!(alone.contains("None at the moment") && !alone.contains("http-equiv"));
    }

    /// Every element that is opened is closed, in the right order, but for those that HTML closes itself.
    #[test]
    fn the_elements_are_nested() {
        let page = html(&example(2), 0);
        let mut open: Vec<&str> = Vec::new();
        for tag in page.split('<').skip(1).map(|tag| &tag[..tag.find('>').unwrap()]) {
            let name = tag.split_whitespace().next().unwrap();
            match name.strip_prefix('/') {
                Some(name) => assert_eq!(open.pop(), Some(name)),
                None if ["!DOCTYPE", "meta", "link", "tr", "td", "th"].contains(&name) => {}
                None => open.push(name),
            }
        }
        assert_eq!(open, [""; 0]);
    }
}
