//! FreeBSD's habits, and its names of settings (tcp(4)), as far as scripts of that origin set them.

use std::time::Duration;

use super::knobs::Knobs;
use crate::config::Config;
use crate::tcp::ecn::EcnMode;
use crate::tcp::habits::{AfterFin, HardErrors, SynHabits, Windows};
use crate::wire::option::OptionOrder;

/// The timeout of a SYN from which on it has no options but its MSS, where `rexmit_drop_options` says so.
const BARE_SYN: u8 = 3;

/// `TCP_NOOPT` by FreeBSD's number: no options at all.
pub const TCP_NOOPT: i32 = 8;

/// `TCP_KEEPINIT` by FreeBSD's number: how many seconds an attempt to connect lasts.
pub const TCP_KEEPINIT: i32 = 128;

/// Where the RFCs leave a choice, FreeBSD's.
pub fn habits(config: &mut Config) {
    let tcp = &mut config.tcp;
    tcp.option_order = OptionOrder::Bsd;
    // Scaled for kern.ipc.maxsockbuf: a shift count of 6.
    tcp.receive_tuning = 65_536..=2 << 20;
    tcp.delayed_ack = Duration::from_millis(40);
    // Also the first segments of a connection are acknowledged late.
    tcp.quick_acks = 0;
    tcp.habits.acks.by_pairs = true;
    tcp.habits.acks.after_fin = AfterFin::AckAndFin;
    tcp.habits.windows.offer = Windows::WholeSegments;
    tcp.habits.hard_errors = HardErrors::More;
    tcp.habits.syn = SynHabits {
        ecn_retries: 1,
        bare_after: Some(BARE_SYN),
        silent_on_syn_ack: true,
        ecn_with_crossing: true,
        forget_crossing_fin: true,
        ..SynHabits::default()
    };
    tcp.habits.resets.bare = true;
    tcp.habits.talkative_time_wait = true;
    tcp.max_rto = Duration::from_secs(64);
    tcp.give_up_syn = Duration::from_secs(75);
    tcp.socket.keep_alive_probes = 8;
}

/// Names that FreeBSD alone has: whoever sets one means its habits.
pub const NAMES: &str = "net.inet.tcp.";

/// What asks for less safety than the RFCs do, for this persona alone.
pub fn apply_insecure(knobs: &Knobs, config: &mut Config) {
    let habits = &mut config.tcp.habits;
    knobs.switch("net.inet.tcp.insecure_rst", &mut habits.resets.insecure_rst);
    knobs.switch("net.inet.tcp.insecure_syn", &mut habits.resets.insecure_syn);
}

/// Settings by FreeBSD's names; times are in milliseconds.
pub fn apply(knobs: &Knobs, config: &mut Config) {
    let number = |name: &str| knobs.number(&format!("net.inet.tcp.{name}"));
    let millis = |name: &str| number(name).and_then(|value| u64::try_from(value).ok()).map(Duration::from_millis);
    let octets = |value: Option<i64>| value.and_then(|value| u32::try_from(value).ok()).filter(|&value| value > 0);
    let tcp = &mut config.tcp;
    knobs.switch("net.inet.tcp.sack.enable", &mut tcp.sack);
    knobs.switch("net.inet.tcp.syncookies", &mut tcp.syn_cookies);
    knobs.switch("net.inet.tcp.drop_synfin", &mut tcp.drop_syn_fin);
    // 2: only windows are scaled, 3: there are only timestamps.
    if let Some(extensions) = number("rfc1323") {
        tcp.window_scaling = matches!(extensions, 1 | 2);
        tcp.timestamps = matches!(extensions, 1 | 3);
    }
    if let Some(mode) = number("ecn.enable") {
        tcp.ecn = match mode {
            0 => EcnMode::Off,
            1 => EcnMode::Request,
            _ => EcnMode::Accept,
        };
    }
    if let Some(retries) = number("ecn.maxretries").and_then(|value| u8::try_from(value).ok()) {
        tcp.habits.syn.ecn_retries = retries;
    }
    if let Some(drops) = number("rexmit_drop_options") {
        tcp.habits.syn.bare_after = (drops != 0).then_some(BARE_SYN);
    }
    if let Some(0) = number("icmp_may_rst") {
        tcp.habits.hard_errors = HardErrors::Ignored;
    }
    let (first, most) = (*tcp.receive_tuning.start(), *tcp.receive_tuning.end());
    let most = octets(knobs.number("kern.ipc.maxsockbuf")).unwrap_or(most).min(1 << 30);
    let first = octets(number("recvspace")).unwrap_or(first).min(most);
    tcp.receive_tuning = first..=most;
    if let Some(first) = octets(number("sendspace")) {
        tcp.send_tuning = first.min(*tcp.send_tuning.end())..=*tcp.send_tuning.end();
    }
    let times = [
        ("delacktime", &mut tcp.delayed_ack),
        ("rexmit_initial", &mut tcp.initial_rto),
        ("keepinit", &mut tcp.give_up_syn),
        ("keepidle", &mut tcp.socket.keep_alive_idle),
        ("keepintvl", &mut tcp.socket.keep_alive_interval),
    ];
    for (name, setting) in times {
        if let Some(time) = millis(name).filter(|time| !time.is_zero()) {
            *setting = time;
        }
    }
    if let Some(probes) = number("keepcnt").and_then(|value| u8::try_from(value).ok()) {
        tcp.socket.keep_alive_probes = probes;
    }
}
