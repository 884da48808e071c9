//! The names of sysctls, and the settings of the stack that they stand for.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use super::{fast_open, freebsd};
use crate::config::Config;
use crate::tcp::ecn::EcnMode;
use crate::tcp::habits::{MtuSearch, Windows};

/// What our `ip route change` has noted: for which destination, the MSS to announce, and the MTU.
const ROUTE: &str = "glasstcp.route";
const ROUTE_ADVMSS: &str = "glasstcp.route_advmss";
const ROUTE_MTU: &str = "glasstcp.route_mtu";

/// What our `tc qdisc` has noted: the kind of queue before the device. `fq` paces.
const QUEUE: &str = "glasstcp.queue";

/// What our `ip tcp_metrics flush` has noted, and how often one of [`FORGETS`] was set to 0.
const FLUSHED: &str = "glasstcp.metrics_flushed";
const FORGOTTEN: &str = "glasstcp.cookies_forgotten";

/// Names that, set to 0, make a client forget the Fast Open cookies of all servers: FreeBSD's, and one that Linux had.
const FORGETS: [&str; 2] = ["net.inet.tcp.fastopen.client_enable", "net.ipv4.tcp_fastopen_cookies"];

/// Values by the names of sysctls (`net.ipv4.tcp_sack`). A name that means nothing here is kept and has no effect.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Knobs {
    values: BTreeMap<String, String>,
}

impl Knobs {
    /// Sets one.
    pub fn set(&mut self, name: &str, value: &str) {
        let (name, value) = (name.replace('/', "."), value.trim().to_owned());
        if FORGETS.contains(&name.as_str()) && value == "0" {
            let times = self.number(FORGOTTEN).unwrap_or(0) + 1;
            self.values.insert(FORGOTTEN.to_owned(), times.to_string());
        }
        self.values.insert(name, value);
    }

    /// Changes whenever what is known of servers is to be forgotten.
    pub(super) fn forgotten(&self) -> [Option<&str>; 2] {
        [self.get(FLUSHED), self.get(FORGOTTEN)]
    }

    /// Those of `other` as well; they win.
    pub fn merge(&mut self, other: &Knobs) {
        self.values.extend(other.values.iter().map(|(name, value)| (name.clone(), value.clone())));
    }

    /// Lines of `name=value` or `name = value`; what is no such line is skipped.
    pub fn read(&mut self, text: &str) {
        for (name, value) in text.lines().filter_map(|line| line.split_once('=')) {
            self.set(name.trim(), value);
        }
    }

    /// A name that begins so is set.
    pub(super) fn has(&self, prefix: &str) -> bool {
        self.values.range(prefix.to_owned()..).next().is_some_and(|(name, _)| name.starts_with(prefix))
    }

    /// The value of a name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// The value of a name as a number.
    pub fn number(&self, name: &str) -> Option<i64> {
        let value = self.get(name)?;
        match value.strip_prefix("0x") {
            Some(hexadecimal) => i64::from_str_radix(hexadecimal, 16).ok(),
            None => value.parse().ok(),
        }
    }

    /// The numbers of a value that is a list of them.
    pub(super) fn list(&self, name: &str) -> Vec<u32> {
        self.get(name)
            .map_or(Vec::new(), |value| value.split_whitespace().filter_map(|word| word.parse().ok()).collect())
    }

    pub(super) fn switch(&self, name: &str, setting: &mut bool) {
        if let Some(value) = self.number(name) {
            *setting = value != 0;
        }
    }

    /// The destination of a route whose MTU was set, and that.
    pub(super) fn route(&self) -> Option<(IpAddr, u32)> {
        let mtu = u32::try_from(self.number(ROUTE_MTU)?).ok()?;
        Some((self.get(ROUTE)?.parse().ok()?, mtu))
    }

    /// Makes the settings what the values say.
    pub fn apply(&self, config: &mut Config) {
        freebsd::apply(self, config);
        let tcp = &mut config.tcp;
        self.switch("net.ipv4.tcp_sack", &mut tcp.sack);
        self.switch("net.ipv4.tcp_timestamps", &mut tcp.timestamps);
        self.switch("net.ipv4.tcp_window_scaling", &mut tcp.window_scaling);
        self.switch("net.ipv4.tcp_syncookies", &mut tcp.syn_cookies);
        self.switch("net.ipv4.tcp_slow_start_after_idle", &mut tcp.habits.restart_after_idle);
        self.switch("net.ipv4.tcp_early_retrans", &mut tcp.habits.tail_loss_probes);
        if let Some(mode) = self.number("net.ipv4.tcp_mtu_probing") {
            tcp.habits.mtu_search = match mode {
                0 => MtuSearch::Never,
                1 => MtuSearch::BlackHoles,
                _ => MtuSearch::Always,
            };
        }
        match self.number("net.ipv4.tcp_invalid_ratelimit").and_then(|millis| u16::try_from(millis).ok()) {
            Some(0) => tcp.challenge_acks_per_second = u8::MAX,
            Some(millis) => tcp.habits.acks.challenge_eighths = (millis / 125).max(1),
            None => {}
        }
        let mss = |name: &str| self.number(name).and_then(|mss| u16::try_from(mss).ok()).filter(|&mss| mss > 0);
        tcp.habits.base_mss = mss("net.ipv4.tcp_base_mss").unwrap_or(tcp.habits.base_mss);
        tcp.announce_at_most = mss(ROUTE_ADVMSS);
        if let (Some(burst), Some(least)) = (&mut tcp.habits.burst, self.number("net.ipv4.tcp_min_tso_segs")) {
            burst.least = u16::try_from(least).unwrap_or(burst.least).max(1);
        }
        if let (Some(burst), Some(share)) = (&mut tcp.habits.burst, self.number("net.ipv4.tcp_tso_win_divisor")) {
            burst.share = u16::try_from(share).unwrap_or(burst.share);
        }
        if let (Some(burst), Some(queue)) = (&mut tcp.habits.burst, self.get(QUEUE)) {
            burst.paced = queue == "fq";
        }
        if let Some(mode) = self.number("net.ipv4.tcp_ecn") {
            tcp.ecn = match mode {
                0 => EcnMode::Off,
                1 => EcnMode::Request,
                3 => EcnMode::RequestAccurate,
                4 => EcnMode::AcceptAccurateRequestClassic,
                5 => EcnMode::AcceptAccurate,
                _ => EcnMode::Accept,
            };
        }
        if let Some(sends) = self.number("net.ipv4.tcp_ecn_option") {
            tcp.habits.acks.no_ecn_options = sends == 0;
        }
        if let [_, first, largest] = self.list("net.ipv4.tcp_rmem")[..] {
            // Where windows are told, a half of the buffer is for its own records.
            let told = tcp.habits.windows.offer == Windows::Told;
            let first = if told { first / 2 } else { *tcp.receive_tuning.start() };
            tcp.receive_tuning = first.min(largest).max(1)..=largest.max(1);
        }
        if let Some(millis) = self.number("net.ipv4.tcp_rto_max_ms").and_then(|millis| u64::try_from(millis).ok()) {
            tcp.max_rto = Duration::from_millis(millis.clamp(1_000, 120_000));
        }
        if let Some(retries) = self.number("net.ipv4.tcp_syn_retries") {
            tcp.give_up_syn = patience(tcp.initial_rto, retries, tcp.max_rto);
        }
        if let Some(keys) = self.get("net.ipv4.tcp_fastopen_key").and_then(fast_open::keys) {
            tcp.fast_open_keys = Some(keys);
        }
        if let Some(name) = self.get("net.ipv4.tcp_congestion_control").and_then(|name| name.parse().ok()) {
            tcp.socket.congestion = name;
        }
    }
}

/// How long something is retransmitted that is given up after so many retransmissions.
pub(super) fn patience(first: Duration, retries: i64, cap: Duration) -> Duration {
    let retries = u32::try_from(retries).unwrap_or(0).min(31);
    (0..=retries).map(|doublings| first.saturating_mul(1 << doublings).min(cap)).sum()
}
