//! What Wireshark's dissectors say of everything that the program sends.

use std::path::PathBuf;

use super::namespace::{Namespace, namespace, tshark};

/// 9293-MUST-2, 9293-MUST-65, 9293-MUST-14, 7323-2.2-2, 2018-2
#[test]
fn tshark_finds_nothing_wrong_in_a_capture() {
    check_capture("plain");
}

/// 9293-MUST-2, 9293-MUST-65, 9293-MUST-14, 7323-2.2-2, 2018-2
#[test]
fn tshark_finds_nothing_wrong_in_a_capture_with_offload() {
    let Some(raw) = check_capture("offload") else { return };
    // What really crossed the device: large segments in both directions, and nothing that tshark cannot read.
    for filter in ["ip.src == 10.0.0.2", "ip.dst == 10.0.0.2", "ipv6.src == fd00:67::2", "ipv6.dst == fd00:67::2"] {
        let large = tshark(&raw.1, &format!("{filter} && tcp.len > 3000"));
        assert!(!large.is_empty(), "no super-segment with {filter}");
    }
    assert_eq!(tshark(&raw.1, "_ws.malformed"), [""; 0]);
}

/// Looks at the capture of some traffic over such a device. The answer is the raw one, and the namespace that keeps it.
fn check_capture(device: &str) -> Option<(Namespace, PathBuf)> {
    let namespace = namespace("tshark", &["tshark", "nc", "curl", "ping", "nft"])?;
    let raw = namespace.file("raw.pcapng");
    let server = namespace.serve(&format!("--device {device} --pcap-raw {}", raw.display()));
    for command in [
        "ping -c 3 -i 0.01 10.0.0.2",
        "ping -6 -c 3 -i 0.01 fd00:67::2",
        "printf 'one\\ntwo\\n' | nc -N -w 20 10.0.0.2 7",
        "head -c 3000000 /dev/zero | nc -N -w 60 fd00:67::2 7 | wc -c",
        "curl -sS --max-time 20 -o /dev/null 'http://10.0.0.2/?n=[1-10]'",
        "echo datagram | nc -u -w 1 10.0.0.2 7",
        "nc -z -w 5 10.0.0.2 4242; true",
        "nc -u -z -w 1 fd00:67::2 4242; true",
        "nft add table inet lossy",
        "nft 'add chain inet lossy in { type filter hook input priority 0; }'",
        "nft 'add chain inet lossy out { type filter hook output priority 0; }'",
        "nft 'add rule inet lossy in iifname glass0 tcp dport != 0 numgen inc mod 29 == 11 drop'",
        "nft 'add rule inet lossy in iifname glass0 tcp sport != 0 numgen inc mod 31 == 17 drop'",
        "nft 'add rule inet lossy out oifname glass0 tcp dport 7 numgen inc mod 37 == 19 drop'",
        "head -c 3000000 /dev/zero | nc -N -w 60 10.0.0.2 7 | wc -c",
        "nc -w 5 10.0.0.2 19 < /dev/null | head -c 3000000 | wc -c",
    ] {
        namespace.check(command);
    }
    let capture = server.stop();
    assert!(tshark(&capture, "tcp").len() > 3_000, "there is something to look at");
    for (filter, what) in [
        ("_ws.malformed", "malformed packets"),
        ("ip.checksum.status == \"Bad\"", "bad IP checksums"),
        ("tcp.checksum.status == \"Bad\" || udp.checksum.status == \"Bad\"", "bad checksums"),
        ("icmp.checksum.status == \"Bad\" || icmpv6.checksum.status == \"Bad\"", "bad ICMP checksums"),
        ("tcp.analysis.ack_lost_segment", "ACKed unseen segment"),
        ("tcp.flags.syn == 0 && tcp.options.mss", "an MSS without SYN"),
        ("tcp.flags.syn == 0 && tcp.options.sack_perm", "SACK-permitted without SYN"),
        ("tcp.flags.res != 0", "reserved bits"),
        ("tcp.len > 1460", "segments larger than the MSS"),
    ] {
        // What we send. (The kernel writes 0xFFFF now and then where the sum is 0, which is right, and which tshark doubts.)
        let lines = tshark(&capture, &format!("(ip.src == 10.0.0.2 || ipv6.src == fd00:67::2) && ({filter})"));
        assert!(lines.is_empty(), "{what}:\n{}", lines.join("\n"));
    }
    // In both directions: what the device left unfinished or whole is finished and cut.
    for filter in ["ip.len > 1500 || ipv6.plen > 1460", "tcp.checksum.status == \"Bad\" && tcp.checksum != 0xffff"] {
        let lines = tshark(&capture, filter);
        assert!(lines.is_empty(), "{filter}:\n{}", lines.join("\n"));
    }
    let retransmissions = tshark(&capture, "ip.src == 10.0.0.2 && tcp.analysis.retransmission");
    assert!(!retransmissions.is_empty(), "the loss made us retransmit");
    Some((namespace, raw))
}
