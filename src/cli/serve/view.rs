//! What is shown of the stack at one moment: the source of the page, the JSON and the dump.

use std::fmt::Write as _;
use std::time::Duration;

use crate::counters::{Counters, Layer};
use crate::tcp::snapshot::Snapshot;

/// Most other connections that are shown.
pub(super) const LIMIT: usize = 200;

/// The stack at one moment.
pub(super) struct View {
    /// The connection that asked.
    pub(super) own: Option<Snapshot>,
    /// Others, at most [`LIMIT`].
    pub(super) others: Vec<Snapshot>,
    /// How many others there are beyond those.
    pub(super) more: usize,
    /// Queues of the device, each with a stack of its own; all else here is of all of them.
    pub(super) queues: usize,
    pub(super) counters: Counters,
    pub(super) uptime: Duration,
}

impl View {
    /// The table of connections as `ss -ti` would print it, for a terminal.
    pub(super) fn dump(&self) -> String {
        let mut out = format!("{:<13}{:>8} {:>8}  {:<26} {}\n", "State", "Recv-Q", "Send-Q", "Local", "Peer");
        for c in self.own.iter().chain(&self.others) {
            let queued = u64::from(c.flight) + u64::from(c.unsent);
            let _ = writeln!(
                out,
                "{:<13}{:>8} {queued:>8}  {:<26} {}",
                c.state.name(),
                c.unread,
                c.local.to_string(),
                c.remote
            );
            let srtt = c.srtt.map_or("?".into(), duration);
            let rttvar = c.rttvar.map_or("?".into(), duration);
            let _ = write!(out, "    rtt {srtt} var {rttvar} rto {}", duration(c.rto));
            let _ = write!(out, " {} cwnd {} ssthresh {}", c.congestion, c.cwnd, ssthresh(c.ssthresh));
            let _ = write!(out, " mss {} snd_wnd {} rcv_wnd {}", c.segment_payload, c.snd_wnd, c.rcv_wnd);
            let s = &c.statistics;
            let _ = write!(out, " acked {} received {}", s.octets_acknowledged, s.octets_received);
            let _ = writeln!(out, " retrans {} timeouts {}", s.retransmits, s.timeouts);
        }
        if self.more > 0 {
            let _ = writeln!(out, "... and {} more", self.more);
        }
        let counts = Layer::ALL.into_iter().flat_map(|layer| self.counters.layer(layer));
        let counts: Vec<String> =
            counts.filter(|count| count.value > 0).map(|count| format!("{} {}", count.name, count.value)).collect();
        let _ = writeln!(out, "Counters: {}", if counts.is_empty() { "all 0".into() } else { counts.join(", ") });
        let drops: Vec<String> = self.counters.drops().map(|(reason, count)| format!("{reason} {count}")).collect();
        let _ = writeln!(out, "Drops: {}", if drops.is_empty() { "none".into() } else { drops.join(", ") });
        out
    }
}

/// A slow start threshold; there is none before the first loss.
pub(super) fn ssthresh(value: u32) -> String {
    if value == u32::MAX { "none yet".into() } else { number(value.into()) }
}

/// A time in a unit that fits.
pub(super) fn duration(value: Duration) -> String {
    let micros = value.as_nanos() as f64 / 1e3;
    match micros {
        ..1.0 => format!("{} ns", value.as_nanos()),
        ..10.0 => format!("{micros:.1} µs"),
        ..1e3 => format!("{micros:.0} µs"),
        ..1e4 => format!("{:.2} ms", micros / 1e3),
        ..1e6 => format!("{:.0} ms", micros / 1e3),
        ..6e7 => format!("{:.1} s", micros / 1e6),
        _ => {
            let seconds = value.as_secs();
            let (hours, minutes, seconds) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
            if hours > 0 { format!("{hours} h {minutes} min") } else { format!("{minutes} min {seconds} s") }
        }
    }
}

/// A number with its digits in groups of three, parted by thin spaces that do not break.
pub(super) fn number(value: u64) -> String {
    let digits = value.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push('\u{202f}');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::counters::DropReason;
    use crate::tcp::congestion::Algorithm;
    use crate::tcp::connection::{Origin, Statistics};
    use crate::tcp::recovery::new_reno::Phase;
    use crate::tcp::state::State;

    /// A view with an own connection, some others, and seven more.
    pub(in crate::cli::serve) fn example(others: usize) -> View {
        let connection = |port: u16, state| Snapshot {
            local: "10.0.0.2:80".parse().unwrap(),
            remote: ([10, 0, 0, 1], port).into(),
            state,
            origin: Origin::Passive,
            orphan: false,
            send_mss: 1_460,
            path_mtu: 1_500,
            segment_payload: 1_448,
            announced_mss: 1_460,
            timestamps: true,
            sack: true,
            window_shift: Some((10, 5)),
            srtt: Some(Duration::from_micros(1_250)),
            rttvar: None,
            rto: Duration::from_millis(200),
            backoff: 0,
            congestion: Algorithm::Reno,
            cwnd: 14_480,
            ssthresh: u32::MAX,
            pacing_rate: None,
            bandwidth: None,
            model_min_rtt: None,
            recovering: false,
            phase: Phase::Open,
            in_flight: 1_448,
            sacked: 0,
            lost: 0,
            reordering: false,
            reordering_degree: 3,
            reordering_multiplier: 1,
            min_rtt: Some(Duration::from_micros(1_100)),
            snd_una: 1,
            snd_nxt: 1_449,
            snd_wnd: 64_256,
            rcv_nxt: 80,
            rcv_wnd: 1_048_576,
            flight: 1_448,
            unsent: 0,
            unread: 0,
            out_of_order: 0,
            statistics: Statistics { octets_acknowledged: 12_345, retransmits: 2, ..Statistics::default() },
        };
        let states = [State::Established, State::FinWait2, State::TimeWait, State::CloseWait];
        let mut counters = Counters::default();
        counters.packets_in = 1_234_567;
        counters.count(DropReason::TcpChecksum);
        View {
            own: Some(connection(50_000, State::Established)),
            others: (0..others).map(|i| connection(50_001 + i as u16, states[i % 4])).collect(),
            more: 7,
            queues: 2,
            counters,
            uptime: Duration::from_secs(3_723),
        }
    }

    #[test]
    fn figures_are_readable() {
        let text = |nanos| duration(Duration::from_nanos(nanos));
        assert_eq!(text(999), "999 ns");
        assert_eq!(text(1_250), "1.2 µs");
        assert_eq!(text(45_000), "45 µs");
        assert_eq!(text(1_250_000), "1.25 ms");
        assert_eq!(text(200_000_000), "200 ms");
        assert_eq!(text(1_500_000_000), "1.5 s");
        assert_eq!(text(83_000_000_000), "1 min 23 s");
        assert_eq!(duration(Duration::from_secs(7_260)), "2 h 1 min");
        assert_eq!([0, 999, 1_000, 1_234_567].map(number), ["0", "999", "1\u{202f}000", "1\u{202f}234\u{202f}567"]);
    }

    #[test]
    fn the_dump_names_everything() {
        let text = example(2).dump();
        for part in ["ESTABLISHED", "FIN-WAIT-2", "10.0.0.1:50002", "rto 200 ms", "and 7 more", "bad TCP checksum 1"] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }
}
