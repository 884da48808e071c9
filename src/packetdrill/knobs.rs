//! The names of sysctls, and the settings of the stack that they stand for.

use std::collections::BTreeMap;
use std::time::Duration;

use super::freebsd;
use crate::config::Config;
use crate::tcp::ecn::EcnMode;

/// Values by the names of sysctls (`net.ipv4.tcp_sack`). A name that means nothing here is kept and has no effect.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Knobs {
    values: BTreeMap<String, String>,
}

impl Knobs {
    /// Sets one.
    pub fn set(&mut self, name: &str, value: &str) {
        self.values.insert(name.replace('/', "."), value.trim().to_owned());
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
        self.switch("net.ipv4.tcp_mtu_probing", &mut tcp.habits.leave_black_holes);
        if let (Some(burst), Some(least)) = (&mut tcp.habits.burst, self.number("net.ipv4.tcp_min_tso_segs")) {
            *burst = u16::try_from(least).unwrap_or(*burst).max(1);
        }
        if let Some(mode) = self.number("net.ipv4.tcp_ecn") {
            tcp.ecn = match mode {
                0 => EcnMode::Off,
                1 => EcnMode::Request,
                _ => EcnMode::Accept,
            };
        }
        if let Some(largest) = self.list("net.ipv4.tcp_rmem").get(2) {
            tcp.receive_tuning = (*tcp.receive_tuning.start()).min(*largest)..=*largest;
        }
        if let Some(retries) = self.number("net.ipv4.tcp_syn_retries") {
            tcp.give_up_syn = patience(tcp.initial_rto, retries, tcp.max_rto);
        }
        if let Some(name) = self.get("net.ipv4.tcp_congestion_control").and_then(|name| name.parse().ok()) {
            tcp.socket.congestion = name;
        }
    }
}

/// How long something is retransmitted that is given up after so many retransmissions.
fn patience(first: Duration, retries: i64, cap: Duration) -> Duration {
    let retries = u32::try_from(retries).unwrap_or(0).min(31);
    (0..=retries).map(|doublings| first.saturating_mul(1 << doublings).min(cap)).sum()
}
