//! Where settings by the names of sysctls come from while a script runs.
//!
//! Scripts run `sysctl` and write below `/proc/sys`. So two places are read: a file of `name=value` lines, to which a `sysctl`
//! of ours appends (scripts/packetdrill/stubs), and `/proc/sys` itself, for scripts that run in a network namespace of their
//! own. The kernel's values are believed where they are not those that every new namespace has, or where the scripts' common
//! settings were made, which a receive buffer of theirs shows.

use std::fs;

use super::knobs::Knobs;

/// The variable that names the file.
pub const FILE_VARIABLE: &str = "GLASSTCP_SYSCTL_FILE";

/// The variable that names a file for the states of all sockets: the `sockstat` of ours (scripts/packetdrill/stubs) reads it.
pub const STATUS_VARIABLE: &str = "GLASSTCP_STATUS_FILE";

/// What the common settings of the Linux scripts make of `tcp_rmem`.
const COMMON_RMEM: &str = "4096 540000 15728640";

/// What is read below `/proc/sys` (not the congestion control: a namespace has that of its machine), and how what a new network namespace has there begins (Linux 6).
const STOCK: [(&str, &str); 41] = [
    ("net.ipv4.tcp_rmem", "4096 131072 "),
    ("net.ipv4.tcp_wmem", "4096 16384 "),
    ("net.ipv4.tcp_sack", "1"),
    ("net.ipv4.tcp_dsack", "1"),
    ("net.ipv4.tcp_timestamps", "1"),
    ("net.ipv4.tcp_window_scaling", "1"),
    ("net.ipv4.tcp_syncookies", "1"),
    ("net.ipv4.tcp_ecn", "2"),
    ("net.ipv4.tcp_ecn_option", "2"),
    ("net.ipv4.tcp_syn_retries", "6"),
    ("net.ipv4.tcp_synack_retries", "5"),
    ("net.ipv4.tcp_retries1", "3"),
    ("net.ipv4.tcp_retries2", "15"),
    ("net.ipv4.tcp_orphan_retries", "0"),
    ("net.ipv4.tcp_fin_timeout", "60"),
    ("net.ipv4.tcp_frto", "2"),
    ("net.ipv4.tcp_reordering", "3"),
    ("net.ipv4.tcp_recovery", "1"),
    ("net.ipv4.tcp_early_retrans", "3"),
    ("net.ipv4.tcp_slow_start_after_idle", "1"),
    ("net.ipv4.tcp_tso_win_divisor", "3"),
    ("net.ipv4.tcp_min_tso_segs", "2"),
    ("net.ipv4.tcp_notsent_lowat", "4294967295"),
    ("net.ipv4.tcp_fastopen", "1"),
    ("net.ipv4.tcp_fastopen_key", "00000000-00000000-00000000-00000000"),
    ("net.ipv4.tcp_mtu_probing", "0"),
    ("net.ipv4.tcp_base_mss", "1024"),
    ("net.ipv4.tcp_min_snd_mss", "48"),
    ("net.ipv4.tcp_probe_interval", "600"),
    ("net.ipv4.tcp_probe_threshold", "8"),
    ("net.ipv4.tcp_invalid_ratelimit", "500"),
    ("net.ipv4.tcp_shrink_window", "0"),
    ("net.ipv4.tcp_keepalive_time", "7200"),
    ("net.ipv4.tcp_keepalive_intvl", "75"),
    ("net.ipv4.tcp_keepalive_probes", "9"),
    ("net.ipv4.tcp_rfc1337", "0"),
    ("net.ipv4.tcp_tw_reuse", "2"),
    ("net.ipv4.tcp_moderate_rcvbuf", "1"),
    ("net.ipv4.tcp_comp_sack_nr", "44"),
    ("net.ipv4.tcp_thin_linear_timeouts", "0"),
    ("net.ipv4.tcp_rto_max_ms", "120000"),
];

/// What a script sets by FreeBSD's names before its first socket, as its text says: for runs in which some other `sysctl`, or
/// none, stands in for ours. Of Linux's names `/proc/sys` tells.
pub fn of_script(text: &str) -> Knobs {
    let code: Vec<&str> = text.lines().map(|line| line.split("//").next().unwrap_or("")).collect();
    let code = code.join("\n");
    let head = code.split("socket(").next().unwrap_or("");
    let mut knobs = Knobs::default();
    // Commands stand between backquotes.
    for (name, value) in head
        .split('`')
        .skip(1)
        .step_by(2)
        .flat_map(|command| command.split([' ', '\t', '\n', ';', '&']))
        .filter_map(|word| word.split_once('='))
    {
        if name.starts_with("net.inet.") || name.starts_with("kern.ipc.") {
            knobs.set(name, value);
        }
    }
    knobs
}

/// What is found in both places. What is below `/proc/sys` wins: our `sysctl` writes there, too, where it may.
pub fn knobs() -> Knobs {
    let mut knobs = Knobs::default();
    if let Some(text) = std::env::var_os(FILE_VARIABLE).and_then(|path| fs::read_to_string(path).ok()) {
        knobs.read(&text);
    }
    let value = |name: &str| {
        let path = format!("/proc/sys/{}", name.replace('.', "/"));
        fs::read_to_string(path).ok().map(|text| text.split_whitespace().collect::<Vec<_>>().join(" "))
    };
    let common = value("net.ipv4.tcp_rmem").is_some_and(|rmem| rmem == COMMON_RMEM);
    for (name, stock) in STOCK {
        if let Some(value) = value(name).filter(|value| common || !value.starts_with(stock)) {
            knobs.set(name, &value);
        }
    }
    knobs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_tells_by_its_commands() {
        let script = "// It sets `net.inet.tcp.sack.enable=1`, or so.\n\
             0 `sysctl -w net.inet.tcp.ecn.enable=0 kern.ipc.maxsockbuf=4096`\n\
             +0 `sysctl net.inet.tcp.ecn.enable=1; sysctl -q net.ipv4.tcp_sack=0`\n\
             +0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n\
             +0 `sysctl -w net.inet.tcp.ecn.enable=2`\n";
        let knobs = of_script(script);
        assert_eq!(knobs.number("net.inet.tcp.ecn.enable"), Some(1), "the last one counts");
        assert_eq!(knobs.number("kern.ipc.maxsockbuf"), Some(4_096));
        assert_eq!((knobs.get("net.inet.tcp.sack.enable"), knobs.get("net.ipv4.tcp_sack")), (None, None));
        assert_eq!(of_script(""), Knobs::default());
    }
}
