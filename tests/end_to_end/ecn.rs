//! Explicit congestion notification with the kernel, which asks for it, and rules of nftables that mark what is ECN-capable.

use super::namespace::{GLASSTCP, Namespace, namespace, tshark};

/// Octets that travel, and are compared.
const OCTETS: u32 = 20_000_000;

/// Marks one in a hundred of the packets that may be marked, in both directions.
fn mark(namespace: &Namespace) {
    for command in [
        "echo 1 > /proc/sys/net/ipv4/tcp_ecn",
        "nft add table inet marks",
        "nft 'add chain inet marks in { type filter hook input priority -100; }'",
        "nft 'add chain inet marks out { type filter hook output priority -100; }'",
        "nft 'add rule inet marks in iifname glass0 ip ecn ect0 numgen random mod 100 < 1 counter ip ecn set ce'",
        "nft 'add rule inet marks out oifname glass0 ip ecn ect0 numgen random mod 100 < 1 counter ip ecn set ce'",
    ] {
        namespace.check(command);
    }
}

fn reductions(namespace: &Namespace) -> u64 {
    let json = namespace.check("curl -s http://10.0.0.2/connections.json");
    let (_, rest) = json.split_once("\"ecn_reductions\":").expect("the counter");
    rest.trim_start().split(|c: char| !c.is_ascii_digit()).next().and_then(|text| text.parse().ok()).expect("a number")
}

/// ACKs with ECE that the kernel has got for what it sent.
fn kernel_reductions(namespace: &Namespace) -> u64 {
    let line = namespace.check("nstat -asz TcpExtTCPDeliveredCE | tail -n 1");
    line.split_whitespace().nth(1).and_then(|text| text.parse().ok()).expect("a number")
}

/// 3168-6.1.1-1, 3168-6.1.2-1, 3168-6.1.3: the kernel is told of what was marked on its way to us and slows down, and so
/// do we; nothing has to be sent twice.
#[test]
fn the_kernel_and_we_slow_down_for_marks() {
    let Some(namespace) = namespace("ECN", &["nft", "curl", "nstat", "tshark"]) else { return };
    mark(&namespace);
    let server = namespace.serve("--device plain");
    assert_eq!(reductions(&namespace), 0);
    let client = format!("{GLASSTCP} bench client --kernel --quiet --json --congestion reno");
    namespace.check(&format!("{client} --out --verify --bytes {OCTETS} 10.0.0.2"));
    let ours = reductions(&namespace);
    assert!(ours > 0, "we have slowed down");
    namespace.check(&format!("{client} --echo --verify --bytes {OCTETS} 10.0.0.2"));
    assert!(kernel_reductions(&namespace) > 0, "the kernel has got echoes of ours");
    let capture = server.stop();
    let count = |filter: &str| tshark(&capture, filter).len();
    // On the wire, as RFC 3168 says.
    assert!(count("ip.src == 10.0.0.2 && tcp.flags.cwr == 1 && tcp.len > 0") > 0, "we say that we have");
    assert!(count("ip.src == 10.0.0.2 && tcp.flags.ece == 1 && tcp.flags.syn == 0") > 0, "we echo");
    assert_eq!(count("ip.src == 10.0.0.2 && ip.dsfield.ecn != 0 && tcp.len == 0"), 0, "3168-6.1.4");
    assert_eq!(count("ip.src == 10.0.0.2 && ip.dsfield.ecn != 0 && tcp.flags.syn == 1"), 0, "3168-6.1.1-2");
}
