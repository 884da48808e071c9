//! The result of a test, for people and for programs.

use std::net::SocketAddr;
use std::time::Duration;

use crate::sim::histogram::Histogram;

/// What was measured.
#[derive(Debug)]
pub(super) struct Report {
    /// `in`, `out`, `echo`, `rr`, `crr`, `idle`.
    pub(super) test: &'static str,
    pub(super) to: SocketAddr,
    /// `kernel` or `glasstcp`.
    pub(super) client: &'static str,
    pub(super) congestion: String,
    pub(super) flows: u32,
    /// How long was measured.
    pub(super) time: Duration,
    /// Octets in that time, one way.
    pub(super) bytes: u64,
    /// Octets since the start, with the warm-up.
    pub(super) all_bytes: u64,
    /// What arrived was compared with what must.
    pub(super) verified: bool,
    pub(super) interrupted: bool,
    /// Round trips or connections.
    pub(super) times: Option<Histogram>,
}

impl Report {
    /// Bits per second.
    fn rate(&self) -> f64 {
        per_second(self.bytes as f64 * 8.0, self.time)
    }

    /// Whether anything was measured at all.
    pub(super) fn is_empty(&self) -> bool {
        match (&self.times, self.test) {
            (_, "idle") => false,
            (Some(times), _) => times.count() == 0,
            (None, _) => self.bytes == 0 || self.time.is_zero(),
        }
    }

    /// Lines for people.
    pub(super) fn text(&self) -> String {
        let seconds = self.time.as_secs_f64();
        let mut notes = String::new();
        if self.verified {
            notes += ", content verified";
        }
        if self.interrupted {
            notes += ", interrupted";
        }
        let Some(times) = &self.times else {
            if self.test == "idle" {
                return format!("{} connections were held for {seconds:.1} s{notes}\n", self.flows);
            }
            return format!("{} in {seconds:.2} s: {}{notes}\n", amount(self.bytes), bits(self.rate()));
        };
        let what = if self.test == "rr" { "round trips" } else { "connections" };
        let rate = per_second(times.count() as f64, self.time);
        let micros = |nanos: u64| format!("{:.1} us", nanos as f64 / 1e3);
        format!(
            "{} {what} in {seconds:.2} s: {rate:.0} a second{notes}\np50 {}, p90 {}, p99 {}, max {}\n",
            times.count(),
            micros(times.percentile(50.0)),
            micros(times.percentile(90.0)),
            micros(times.percentile(99.0)),
            micros(times.max())
        )
    }

    /// One object. Fields that do not belong to the test are missing; times are in nanoseconds.
    pub(super) fn json(&self) -> String {
        let quoted = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
        let mut fields = vec![
            ("version", quoted(env!("CARGO_PKG_VERSION"))),
            ("test", quoted(self.test)),
            ("to", quoted(&self.to.to_string())),
            ("client", quoted(self.client)),
            ("congestion", quoted(&self.congestion)),
            ("flows", self.flows.to_string()),
            ("time_ns", self.time.as_nanos().to_string()),
            ("verified", self.verified.to_string()),
            ("interrupted", self.interrupted.to_string()),
        ];
        if self.test != "idle" {
            fields.push(("bytes", self.bytes.to_string()));
            fields.push(("bytes_with_warm_up", self.all_bytes.to_string()));
            fields.push(("bits_per_second", format!("{:.0}", self.rate())));
        }
        if let Some(times) = &self.times {
            fields.push(("count", times.count().to_string()));
            fields.push(("per_second", format!("{:.1}", per_second(times.count() as f64, self.time))));
            for (name, percent) in [("p50_ns", 50.0), ("p90_ns", 90.0), ("p99_ns", 99.0)] {
                fields.push((name, times.percentile(percent).to_string()));
            }
            fields.push(("max_ns", times.max().to_string()));
        }
        let fields: Vec<String> = fields.iter().map(|(name, value)| format!("\"{name}\": {value}")).collect();
        format!("{{{}}}\n", fields.join(", "))
    }
}

fn per_second(count: f64, time: Duration) -> f64 {
    if time.is_zero() { 0.0 } else { count / time.as_secs_f64() }
}

/// A rate as people read it.
pub(super) fn bits(rate: f64) -> String {
    match rate {
        1e9.. => format!("{:.2} Gb/s", rate / 1e9),
        1e6.. => format!("{:.2} Mb/s", rate / 1e6),
        _ => format!("{:.1} kb/s", rate / 1e3),
    }
}

fn amount(bytes: u64) -> String {
    let bytes = bytes as f64;
    match bytes {
        1_073_741_824.0.. => format!("{:.2} GiB", bytes / 1_073_741_824.0),
        1_048_576.0.. => format!("{:.2} MiB", bytes / 1_048_576.0),
        1_024.0.. => format!("{:.1} KiB", bytes / 1_024.0),
        _ => format!("{bytes} B"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(test: &'static str) -> Report {
        Report {
            test,
            to: "10.0.0.2:9".parse().unwrap(),
            client: "kernel",
            congestion: "cu\"bic".into(),
            flows: 2,
            time: Duration::from_millis(2_500),
            bytes: 1 << 30,
            all_bytes: 3 << 29,
            verified: true,
            interrupted: false,
            times: None,
        }
    }

    #[test]
    fn rates_come_from_octets_and_time() {
        let text = report("in").text();
        assert_eq!(text, "1.00 GiB in 2.50 s: 3.44 Gb/s, content verified\n");
        let json = report("in").json();
        assert!(json.contains("\"bits_per_second\": 3435973837,") || json.contains("\"bits_per_second\": 3435973837}"));
        assert!(json.contains("\"congestion\": \"cu\\\"bic\"") && json.contains("\"bytes_with_warm_up\": 1610612736"));
        assert!(!json.contains("p50") && json.starts_with('{') && json.ends_with("}\n"), "{json}");
        assert!(report("idle").text().starts_with("2 connections were held for 2.5 s"));
    }

    #[test]
    fn times_come_as_percentiles() {
        let mut times = Histogram::new();
        (1..=100).for_each(|micros| times.add(Duration::from_micros(micros)));
        let report = Report { times: Some(times), ..report("rr") };
        let text = report.text();
        assert!(text.starts_with("100 round trips in 2.50 s: 40 a second"), "{text}");
        assert!(text.contains("max 100.0 us"), "{text}");
        let json = report.json();
        assert!(json.contains("\"count\": 100") && json.contains("\"max_ns\": 100000"), "{json}");
    }

    #[test]
    fn nothing_measured_is_seen_as_such() {
        assert!(Report { bytes: 0, ..report("out") }.is_empty());
        assert!(Report { times: Some(Histogram::new()), ..report("rr") }.is_empty());
        assert!(!report("out").is_empty() && !report("idle").is_empty());
    }
}
