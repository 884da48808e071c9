//! BIG TCP: packets beyond 64 KiB reach the kernel, are forwarded, translated and watched by it, and where they are lost the
//! stack goes back to shorter ones. Every octet is compared.

use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Stdio};

use glasstcp::device::pcapng;

use super::namespace::{GLASSTCP, Namespace, eventually, namespace, signal, skip, tshark};
use super::transfers;

/// Octets of a stream that no other test needs.
const SIZE: u64 = 256 << 20;
/// Octets where every packet is written to a file.
const CAPTURED: u64 = 12 << 20;

/// What the stack logs when it goes back to packets of 64 KiB.
const FALLS_BACK: &str = "no more packets beyond 64 KiB";

/// Counts what comes from the stack, by the length of its packets, before anything else happens to it.
const COUNT: [&str; 5] = [
    "nft add table inet seen",
    "nft 'add chain inet seen in { type filter hook prerouting priority -300; }'",
    "nft 'add rule inet seen in iifname glass0 meta length > 65535 counter comment big'",
    "nft 'add rule inet seen in iifname glass0 meta length > 262144 counter comment huge'",
    "nft 'add rule inet seen in iifname glass0 meta nfproto ipv6 meta length > 65535 counter comment six'",
];

/// The namespace of a test, where its kernel can do it.
fn big_namespace(test: &str, tools: &[&str]) -> Option<Namespace> {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map_while(|number| number.parse::<u32>().ok());
    if (numbers.next(), numbers.next()) < (Some(6), Some(3)) {
        skip(test, &format!("BIG TCP over IPv4 needs Linux 6.3, this is {}", release.trim()));
        return None;
    }
    let namespace = namespace(test, &[&["nft"], tools].concat())?;
    for command in COUNT {
        namespace.check(command);
    }
    Some(namespace)
}

/// Packets that the rule with this comment has counted.
fn counted(namespace: &Namespace, comment: &str) -> u64 {
    let rules = namespace.check("nft list ruleset");
    let line = rules.lines().find(|line| line.ends_with(&format!("comment \"{comment}\"")));
    let line = line.unwrap_or_else(|| panic!("no rule {comment}:\n{rules}"));
    let count = line.split("packets ").nth(1).and_then(|rest| rest.split_whitespace().next());
    count.and_then(|count| count.parse().ok()).expect("a number")
}

/// The kernel's client in this namespace reads so much of the pattern and compares it.
#[track_caller]
fn read_pattern(from: &Namespace, host: &str, octets: u64) {
    let command = format!("{GLASSTCP} bench client --kernel --out --verify --quiet --bytes {octets} {host}");
    let output = from.check(&command);
    assert!(output.contains("content verified"), "{output}");
}

/// Packets beyond 64 KiB have crossed the TUN; none is longer than 256 KiB, and over IPv6 there are none.
#[track_caller]
fn assert_big(namespace: &Namespace, at_least: u64) {
    let big = counted(namespace, "big");
    assert!(big >= at_least, "{big} packets beyond 64 KiB, not {at_least}");
    assert_eq!((counted(namespace, "huge"), counted(namespace, "six")), (0, 0));
}

#[test]
fn big_packets_reach_the_kernel_whole() {
    let Some(namespace) = big_namespace("BIG TCP", &[]) else { return };
    let whole = || {
        let server = namespace.serve_without_capture("--big-tcp --log recovery=info");
        let before = counted(&namespace, "big");
        read_pattern(&namespace, "fd00:67::2", SIZE / 4);
        assert_eq!(counted(&namespace, "big"), before, "IPv6 stays at 64 KiB");
        read_pattern(&namespace, "10.0.0.2", SIZE);
        let whole = !server.log().contains(FALLS_BACK);
        server.stop();
        whole
    };
    // On a machine that stands still for a while, something may be sent again though nothing was lost.
    assert!((0..3).any(|_| whole()), "nothing is lost here");
    // A quarter of the stream at least, though they are as long as the windows allow.
    assert_big(&namespace, SIZE / 4 / (256 << 10));
    // Without the option there are none.
    let before = counted(&namespace, "big");
    let server = namespace.serve_without_capture("");
    read_pattern(&namespace, "10.0.0.2", SIZE / 4);
    assert_eq!(counted(&namespace, "big"), before);
    server.stop();
}

/// 9293-MUST-2, 9293-MUST-16
#[test]
fn a_capture_has_big_packets_cut_as_on_a_wire() {
    let Some(namespace) = big_namespace("BIG TCP in a capture", &["tshark"]) else { return };
    let raw = namespace.file("raw.pcapng");
    let server = namespace.serve(&format!("--big-tcp --pcap-raw {}", raw.display()));
    read_pattern(&namespace, "10.0.0.2", CAPTURED);
    read_pattern(&namespace, "fd00:67::2", CAPTURED);
    assert_big(&namespace, 10);
    let capture = server.stop();
    let filter = "ip.len > 1500 || ipv6.plen > 1460 || frame.len > 1500 || _ws.malformed || \
                  ip.checksum.status == Bad || (tcp.checksum.status == Bad && tcp.checksum != 0xffff)";
    assert_eq!(tshark(&capture, filter), [""; 0], "as on a wire");
    // The pieces follow each other without a gap.
    let gaps = "(ip.src == 10.0.0.2 || ipv6.src == fd00:67::2) && tcp.analysis.lost_segment";
    assert_eq!(tshark(&capture, gaps), [""; 0], "the pieces are in their places");
    let big = tshark(&raw, "ip.src == 10.0.0.2 && frame.len > 65535 && tcp.len > 65535 && ip.len != 0");
    let all = tshark(&raw, "frame.len > 65535");
    assert!(!big.is_empty() && big.len() == all.len(), "{} of {} big packets are read as TCP", big.len(), all.len());
    assert_eq!(tshark(&raw, "_ws.malformed"), [""; 0]);
    let records = pcapng::read(&std::fs::read(&raw).expect("the raw capture")).expect("a capture");
    let lengths = records.iter().filter(|record| record.packet.len() > 65_535).map(|record| &record.packet[2..4]);
    assert!(lengths.clone().count() == all.len() && lengths.clone().all(|length| length == [0, 0]));
}

/// What the kernel does to packets that it forwards.
struct Path {
    near: Namespace,
    far: Namespace,
}

fn forwarded(test: &str, tools: &[&str]) -> Option<Path> {
    let near = big_namespace(test, &[&["ethtool"], tools].concat())?;
    let far = near.neighbour();
    for command in [
        "nft add table inet seen",
        "nft 'add chain inet seen in { type filter hook prerouting priority -300; }'",
        "nft 'add rule inet seen in iifname far0 meta length > 1500 counter comment super'",
        "nft 'add rule inet seen in iifname far0 meta length > 65536 counter comment big'",
        "nft 'add rule inet seen in iifname far0 tcp sport 19 counter comment chars'",
    ] {
        far.check(command);
    }
    // What arrives is not put together again.
    far.check("ethtool -K far0 gro off");
    Some(Path { near, far })
}

impl Path {
    /// The network interface cuts no segments and sums nothing, so that the kernel must.
    fn without_offload(&self) {
        self.near.check("ethtool -K near0 tso off gso off tx off sg off");
    }

    /// Translates the addresses of what comes from the far side, which tracks its connections.
    fn masquerade(&self) {
        for command in [
            "nft add table ip nat",
            "nft 'add chain ip nat out { type nat hook postrouting priority 100; }'",
            "nft 'add rule ip nat out oifname glass0 counter masquerade comment translated'",
            "nft 'add chain ip nat through { type filter hook forward priority 0; policy drop; }'",
            "nft 'add rule ip nat through iifname near0 accept'",
            "nft 'add rule ip nat through ct state established counter accept comment tracked'",
        ] {
            self.near.check(command);
        }
    }
}

#[test]
fn the_kernel_forwards_big_packets_and_cuts_them() {
    for offload in [true, false] {
        let Some(path) = forwarded("BIG TCP forwarded", &[]) else { return };
        if !offload {
            path.without_offload();
        }
        let server = path.near.serve_without_capture("--big-tcp --log recovery=info");
        read_pattern(&path.far, "10.0.0.2", SIZE / 4);
        assert_big(&path.near, 10);
        // Each stretch of an MSS of 1,460 less 12 octets of timestamps is a packet where the kernel had to cut.
        assert_eq!(counted(&path.far, "big"), 0);
        if !offload {
            assert_eq!(counted(&path.far, "super"), 0, "cut at the MSS");
            assert!(counted(&path.far, "chars") >= SIZE / 4 / 1_448);
        }
        server.stop();
    }
}

#[test]
fn connection_tracking_and_nat_take_big_packets() {
    for offload in [true, false] {
        let Some(path) = forwarded("BIG TCP through NAT", &["curl"]) else { return };
        if !offload {
            path.without_offload();
        }
        path.masquerade();
        let server = path.near.serve_without_capture("--big-tcp --log recovery=info");
        read_pattern(&path.far, "10.0.0.2", SIZE / 4);
        let page = path.far.check("curl -sS --max-time 20 http://10.0.0.2/connections.json");
        assert!(page.contains("\"10.0.0.1:") && !page.contains("\"10.1.0.2:"), "translated: {page}");
        assert!(counted(&path.near, "translated") >= 2 && counted(&path.near, "tracked") >= 10);
        assert_big(&path.near, 10);
        assert_eq!(counted(&path.far, "big"), 0);
        server.stop();
    }
}

/// `tcpdump` on an interface, for as long as this lives.
struct Tcpdump {
    child: Child,
    file: PathBuf,
}

impl Tcpdump {
    fn listen(namespace: &Namespace, interface: &str) -> Tcpdump {
        let file = namespace.file(&format!("{interface}.pcap"));
        let command = format!("exec tcpdump -i {interface} -n -U -B 65536 -Z root -w {}", file.display());
        let mut child =
            namespace.command(&command).stdin(Stdio::null()).stderr(Stdio::piped()).spawn().expect("tcpdump starts");
        let mut messages = BufReader::new(child.stderr.as_mut().expect("a pipe")).lines().map_while(Result::ok);
        assert!(messages.any(|line| line.contains("listening on")), "tcpdump listens");
        Tcpdump { child, file }
    }

    /// Ends it; the answer is what it has written, and what it said.
    fn stop(mut self) -> (PathBuf, String) {
        signal(self.child.id(), "INT");
        let mut said = String::new();
        self.child.stderr.take().expect("a pipe").read_to_string(&mut said).expect("its last words");
        assert!(self.child.wait().expect("the status").success(), "{said}");
        (self.file, said)
    }
}

#[test]
fn tcpdump_sees_big_packets_before_the_kernel_cuts_them() {
    let Some(path) = forwarded("BIG TCP under tcpdump", &["tcpdump", "tshark"]) else { return };
    path.without_offload();
    let server = path.near.serve_without_capture("--big-tcp");
    let (tun, wire) = (Tcpdump::listen(&path.near, "glass0"), Tcpdump::listen(&path.near, "near0"));
    read_pattern(&path.far, "10.0.0.2", CAPTURED);
    server.stop();
    let ((tun, said), (wire, _)) = (tun.stop(), wire.stop());
    let big = tshark(&tun, "ip.src == 10.0.0.2 && tcp.srcport == 19 && tcp.len > 65535");
    assert!(big.len() >= 10, "{} packets beyond 64 KiB: {said}", big.len());
    assert_eq!(tshark(&tun, "_ws.malformed"), [""; 0]);
    assert!(tshark(&wire, "tcp.srcport == 19 && tcp.len == 1448").len() as u64 >= CAPTURED / 1_448 / 2);
    // The kernel writes 0xFFFF where a sum is 0, which is right, and which tshark doubts.
    let wrong = "tcp.srcport == 19 && (frame.len > 1514 || _ws.malformed || ip.checksum.status == Bad || \
                 (tcp.checksum.status == Bad && tcp.checksum != 0xffff))";
    assert_eq!(tshark(&wire, wrong), [""; 0], "cut at the MSS, with the sums of the kernel");
}

/// A loss that every length of packet meets alike, and one that meets the big ones alone.
#[test]
fn after_a_loss_no_packet_is_big() {
    for (rule, octets) in [("numgen inc mod 200 == 199", SIZE), ("meta length > 65535", SIZE / 4)] {
        let Some(namespace) = big_namespace("BIG TCP and loss", &[]) else { return };
        namespace.check("nft add table inet lossy");
        namespace.check("nft 'add chain inet lossy in { type filter hook input priority 0; }'");
        namespace.check(&format!("nft 'add rule inet lossy in iifname glass0 {rule} counter drop comment lost'"));
        let server = namespace.serve_without_capture("--big-tcp --log recovery=info");
        read_pattern(&namespace, "10.0.0.2", octets);
        assert!(counted(&namespace, "lost") > 0, "the loss was real: {rule}");
        assert!(eventually(|| server.log().contains(FALLS_BACK)), "{rule}: {}", server.log());
        assert_big(&namespace, 1);
        // Nor are those of later connections.
        let before = counted(&namespace, "big");
        read_pattern(&namespace, "10.0.0.2", octets / 4);
        assert_eq!(counted(&namespace, "big"), before, "{rule}");
        server.stop();
    }
}

/// A path on which packets beyond 64 KiB vanish behind the TUN, as if a driver could not take them.
#[test]
fn a_black_hole_for_big_packets_on_the_way_is_left() {
    let Some(path) = forwarded("a black hole for BIG TCP", &[]) else { return };
    path.near.check("nft 'add chain inet seen through { type filter hook forward priority 0; }'");
    path.near.check("nft 'add rule inet seen through iifname glass0 meta length > 65535 counter drop comment lost'");
    let server = path.near.serve_without_capture("--big-tcp --log recovery=info");
    read_pattern(&path.far, "10.0.0.2", SIZE / 4);
    assert!(counted(&path.near, "lost") > 0 && server.log().contains(FALLS_BACK), "{}", server.log());
    server.stop();
}

/// The ICMP error about a big packet quotes a header whose total length is 0.
/// 9293-MUST-54, 1191-3-1
#[test]
fn a_path_that_shrinks_under_big_packets_is_learned() {
    let Some(path) = forwarded("BIG TCP and the path MTU", &[]) else { return };
    path.near.check("nft 'add chain inet seen out { type filter hook output priority 0; }'");
    let about_big = "oifname glass0 icmp type destination-unreachable @th,80,16 0";
    path.near.check(&format!("nft 'add rule inet seen out {about_big} counter comment told'"));
    let variables = [(transfers::HOST, "10.0.0.2"), (transfers::NEAR, &path.near.name)];
    // Whether the packet that meets the shorter MTU is a big one depends on how far the window is open just then.
    for _ in 0..20 {
        path.near.check("ip link set near0 mtu 1500");
        let server = path.near.serve_without_capture("--big-tcp --log recovery=info");
        let output = path.far.run_child_test("transfers::child_reads_chargen", &variables);
        assert!(output.contains("the pattern is right"), "{output}");
        // What was lost ends the big ones, but not the connection.
        assert!(eventually(|| server.log().contains(FALLS_BACK)), "{}", server.log());
        server.stop();
        if counted(&path.near, "told") > 0 {
            return;
        }
    }
    panic!("no error about a big packet");
}
