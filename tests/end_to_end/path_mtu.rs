//! The stack behind a path that takes less than its ends: a kernel, a middle namespace with a smaller MTU, and a kernel again
//! that downloads and uploads; with a middle that tells, and with one that drops without a word.

use std::io::Read;
use std::net::TcpStream;

use super::namespace::{Namespace, namespace, tshark};
use super::transfers::{HOST, chargen_octet};

/// The near namespace with the TUN, and a far one behind a link of such MTUs for IPv4 and IPv6.
struct Path {
    near: Namespace,
    far: Namespace,
}

/// The far end announces an MSS for 1,500 octets, and the link to it takes less: what the stack sends is too large.
fn path(test: &str, mtu: u32, tools: &[&str]) -> Option<Path> {
    let near = namespace(test, tools)?;
    let far = near.neighbour();
    near.check("ip addr add fd00:68::1/64 dev near0 nodad");
    near.check("echo 1 > /proc/sys/net/ipv6/conf/all/forwarding");
    far.check("ip addr add fd00:68::2/64 dev far0 nodad && ip route add fd00:67::/64 via fd00:68::1");
    near.check(&format!("ip link set near0 mtu {mtu}"));
    Some(Path { near, far })
}

impl Path {
    fn read_pattern(&self, host: &str) {
        let output = self.far.run_child_test("path_mtu::child_reads_four_mebibytes", &[(HOST, host)]);
        assert!(output.contains("the pattern is right"), "{output}");
    }

    /// How many packets the rule with this comment has counted.
    fn counted(&self, comment: &str) -> u64 {
        let rules = self.near.check("nft list ruleset");
        let line = rules.lines().find(|line| line.contains(comment)).expect("the rule is there").to_owned();
        let count = line.split("packets ").nth(1).and_then(|rest| rest.split_whitespace().next()?.parse().ok());
        count.expect("a count")
    }
}

/// 1191-3-1, 8201-4-3
#[test]
fn downloads_over_a_narrow_path_with_a_router_that_tells() {
    for (device, mtu, host) in [
        ("plain", 1_400, "10.0.0.2"),
        ("offload", 1_400, "10.0.0.2"),
        ("plain", 1_280, "fd00:67::2"),
        ("offload", 1_280, "fd00:67::2"),
    ] {
        let Some(path) = path("a narrow path", mtu, &["tshark"]) else { return };
        let server = path.near.serve(&format!("--device {device}"));
        path.read_pattern(host);
        // The next connection knows.
        path.read_pattern(host);
        let capture = server.stop();
        let told = tshark(&capture, "icmp.type == 3 && icmp.code == 4 || icmpv6.type == 2");
        assert!(!told.is_empty(), "{device} {host}: the router told");
        assert!(told.len() <= 20, "{device} {host}: it had to tell {} times", told.len());
        let headers = if host.contains(':') { 60 } else { 40 };
        let full = format!("tcp.srcport == 19 && tcp.len == {}", mtu - headers - 12);
        assert!(tshark(&capture, &full).len() > 100, "{device} {host}: segments of the right size");
    }
}

/// 4821-2, 4821-7.7
#[test]
fn downloads_over_a_narrow_path_with_a_router_that_is_silent() {
    for (device, mtu, host) in [("offload", 1_400, "10.0.0.2"), ("plain", 1_280, "fd00:67::2")] {
        let Some(path) = path("a black hole", mtu, &["nft"]) else { return };
        for rule in [
            "add table inet silent",
            "add chain inet silent out { type filter hook output priority 0; }",
            "add rule inet silent out icmp type destination-unreachable counter drop comment told4",
            "add rule inet silent out icmpv6 type packet-too-big counter drop comment told6",
        ] {
            path.near.check(&format!("nft '{rule}'"));
        }
        let server = path.near.serve_without_capture(&format!("--device {device} --log path_mtu=debug"));
        path.read_pattern(host);
        let filtered = path.counted(if host.contains(':') { "told6" } else { "told4" });
        assert!(filtered > 0, "{device} {host}: the path was narrow");
        assert!(server.log().contains("a black hole for large segments"), "{}", server.log());
        server.stop();
    }
}

/// The kernel asks how wide the path to the stack is, and the stack answers as a host does.
#[test]
fn tracepath_reaches_the_stack() {
    let Some(path) = path("tracepath", 1_500, &["tracepath"]) else { return };
    path.near.check("ip link set glass0 mtu 1400");
    let server = path.near.serve_without_capture("");
    for (host, family) in [("10.0.0.2", "-4"), ("fd00:67::2", "-6")] {
        let said = path.far.check(&format!("tracepath {family} -n {host}"));
        assert!(said.contains("reached") && said.contains("pmtu 1400 hops 2 back 2"), "{said}");
    }
    server.stop();
}

/// Runs inside the far namespace, started by the tests above.
#[test]
#[ignore = "started by another test inside its namespace"]
fn child_reads_four_mebibytes() {
    let host = std::env::var(HOST).expect("an address");
    let mut stream = TcpStream::connect((host.as_str(), 19)).expect("connect");
    let (mut received, mut buffer) = (0, vec![0; 256 << 10]);
    while received < 4 << 20 {
        let read = stream.read(&mut buffer).expect("read");
        assert!(read > 0, "the pattern has no end");
        let right = buffer[..read].iter().zip(received..).all(|(&got, at)| got == chargen_octet(at));
        assert!(right, "between octets {received} and {}", received + read as u64);
        received += read as u64;
    }
    println!("the pattern is right");
}
