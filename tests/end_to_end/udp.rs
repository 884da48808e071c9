//! UDP and multicast against the Linux kernel: `nc -u`, `dig`, super-datagrams both ways, floods, groups.

use std::process::Stdio;

use super::namespace::{GLASSTCP, namespace, tshark};

const HOST: &str = "--tun glass0 --addr 10.0.0.2/24 --addr fd00:67::2/64";

/// Waits until somebody holds the TUN, by its carrier.
const UNTIL_UP: &str = "for n in $(seq 400); do grep -q 1 /sys/class/net/glass0/carrier && break; sleep 0.05; done";

#[test]
fn names_and_the_time_are_told() {
    let Some(namespace) = namespace("dig", &["dig", "nc"]) else { return };
    let server = namespace.serve("");
    for (question, expected) in [
        ("@10.0.0.2 glasstcp.test", "10.0.0.2"),
        ("@fd00:67::2 glasstcp.test AAAA", "fd00:67::2"),
        ("@10.0.0.2 +noedns +nocookie GLASSTCP.test", "10.0.0.2"),
        ("@10.0.0.2 whoami.glasstcp.test", "10.0.0.1"),
        ("@fd00:67::2 whoami.glasstcp.test AAAA", "fd00:67::1"),
    ] {
        assert_eq!(namespace.check(&format!("dig +short +tries=3 +time=20 {question}")).trim(), expected, "{question}");
    }
    let whole = namespace.check("dig +tries=3 +time=20 @10.0.0.2 nobody.glasstcp.test");
    assert!(whole.contains("status: NXDOMAIN") && whole.contains("flags: qr aa rd;"), "{whole}");
    assert!(!whole.contains("WARNING: ") || whole.contains("recursion requested but not available"), "{whole}");
    let whole = namespace.check("dig +tries=3 +time=20 @10.0.0.2 example.org");
    assert!(whole.contains("status: REFUSED"), "{whole}");
    let time = namespace.check("echo | nc -u -w 2 10.0.0.2 13");
    let year = namespace.check("date -u +%Y");
    assert!(time.contains(year.trim()) && time.ends_with("-UTC\r\n"), "{time:?}");
    // Ports of services that would answer are not answered: no loop can begin (CERT CA-1996-01).
    for port in [7, 13, 19, 53] {
        let answer = namespace.check(&format!("echo loop | nc -u -w 1 -p {port} 10.0.0.2 7"));
        assert_eq!(answer, "", "from port {port}");
    }
    let capture = server.stop();
    assert_eq!(tshark(&capture, "_ws.malformed || dns.flags.rcode == 1"), Vec::<String>::new());
    assert_eq!(tshark(&capture, "udp.checksum.status == \"Bad\""), Vec::<String>::new());
}

#[test]
fn our_nc_exchanges_datagrams_with_the_kernel() {
    let Some(namespace) = namespace("glasstcp nc -u", &["nc"]) else { return };
    for (kernel, device) in [("10.0.0.1", "offload"), ("fd00:67::1", "offload"), ("10.0.0.1", "plain")] {
        let (family, heard) = (if kernel.contains(':') { "-6" } else { "-4" }, namespace.file("heard"));
        let answer = namespace.check(&format!(
            "(echo from the kernel | nc {family} -u -l -w 3 9000 > {0}) & \
             for n in $(seq 200); do ss -Hlun 'sport = :9000' | grep -q . && break; sleep 0.05; done; \
             echo from glasstcp | {GLASSTCP} nc {HOST} --device {device} -u -w 2 {kernel} 9000; wait; cat {0}",
            heard.display()
        ));
        assert!(answer.contains("from the kernel") && answer.contains("from glasstcp"), "{answer}");
    }
    // And the listener.
    let answer = namespace.check(&format!(
        "(echo to the client | {GLASSTCP} nc {HOST} -u -l -w 4 8000 > {0}) & {UNTIL_UP}; sleep 0.5; \
         echo to the listener | nc -u -w 3 10.0.0.2 8000; wait; cat {0}",
        namespace.file("listener").display()
    ));
    assert!(answer.contains("to the client") && answer.contains("to the listener"), "{answer}");
    // 1122-4.1.3.3: nobody listens there, and we are told.
    let refused = namespace.run(&format!("(echo one; sleep 1; echo two) | {GLASSTCP} nc {HOST} -u -w 3 10.0.0.1 9001"));
    let text = String::from_utf8_lossy(&refused.stderr);
    assert!(refused.status.code() == Some(1) && text.contains("nobody listens there"), "{refused:?}");
}

/// Sends messages that the kernel hands over in one piece, and receives the echoes in one piece, octet by octet the same.
const SUPER_DATAGRAMS: &str = r#"
import socket, struct, sys
UDP_SEGMENT, UDP_GRO = 103, 104
for family, host in ((socket.AF_INET, "10.0.0.2"), (socket.AF_INET6, "fd00:67::2")):
    s = socket.socket(family, socket.SOCK_DGRAM)
    s.settimeout(20)
    s.setsockopt(socket.SOL_UDP, UDP_SEGMENT, 1200)
    s.setsockopt(socket.SOL_UDP, UDP_GRO, 1)
    s.connect((host, 7))
    merged = 0
    for n in range(200):
        message = bytes((n + i * 7 + i // 1200) % 256 for i in range(1200 * (n % 40) + 1 + n % 1200))
        s.send(message)
        back = b""
        while len(back) < len(message):
            data, ancillary, flags, peer = s.recvmsg(65535, 64)
            size = [struct.unpack("i", d[:4])[0] for l, t, d in ancillary if (l, t) == (socket.SOL_UDP, UDP_GRO)]
            if len(data) > 1200:
                assert size == [1200], size
                merged += 1
            back += data
        assert back == message, n
    print("merged" if merged > 100 else "single", end=" ")
"#;

/// UDP_SEGMENT of the kernel arrives here in one piece and goes back to its UDP_GRO in one piece; without offloads the same
/// octets come and go datagram by datagram.
#[test]
fn super_datagrams_go_both_ways() {
    let Some(namespace) = namespace("super-datagrams", &["python3", "tshark"]) else { return };
    std::fs::write(namespace.file("super.py"), SUPER_DATAGRAMS).expect("a file for the script");
    let script = format!("python3 {}", namespace.file("super.py").display());
    for (device, expected) in [("offload", "merged merged"), ("plain", "single single")] {
        let server = namespace.serve(&format!("--device {device}"));
        assert_eq!(namespace.check(&script).trim(), expected, "{device}");
        let capture = server.stop();
        // As on a wire.
        assert_eq!(tshark(&capture, "udp.checksum.status == \"Bad\" || _ws.malformed"), Vec::<String>::new());
        assert!(tshark(&capture, "udp.port == 7 && frame.len > 1300").is_empty(), "the capture is cut");
        assert!(tshark(&capture, "udp.srcport == 7 && udp.length == 1208").len() > 1_000);
    }
}

/// A flood that nobody can answer in time costs bounded memory, and others are served meanwhile.
#[test]
fn a_flood_of_datagrams_leaves_others_served() {
    let Some(namespace) = namespace("a flood", &["python3", "curl", "dig"]) else { return };
    let flood = "import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.connect(('10.0.0.2', 7))
for n in range(300000):
    try: s.send(b'flood' * (n % 200))
    except OSError: pass
";
    std::fs::write(namespace.file("flood.py"), flood).expect("a file for the script");
    let server = namespace.serve_without_capture("");
    let memory = |server: &super::namespace::Server| {
        let status = std::fs::read_to_string(format!("/proc/{}/status", server.child.id())).expect("a running process");
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("its memory");
        line.trim().trim_end_matches(" kB").parse::<usize>().expect("a number")
    };
    namespace.check("curl -sS --max-time 60 -o /dev/null http://10.0.0.2/");
    let before = memory(&server);
    let mut flooding = namespace
        .command(&format!("exec python3 {}", namespace.file("flood.py").display()))
        .stdin(Stdio::null())
        .spawn()
        .expect("the flood starts");
    let mut served = 0;
    while flooding.try_wait().expect("its status").is_none() {
        namespace.check("curl -sS --max-time 60 -o /dev/null http://10.0.0.2/");
        namespace.check("dig +short +tries=20 +time=2 @10.0.0.2 glasstcp.test");
        served += 1;
    }
    let grown = memory(&server).saturating_sub(before);
    assert!(served > 0 && grown < 32 * 1024, "{served} pages, {grown} KiB more");
    server.stop();
}

/// 3376-4, 3810-5: what is told to routers reads as IGMP and MLD, and a group is heard and spoken to.
#[test]
fn groups_are_joined_and_heard() {
    let Some(namespace) = namespace("groups", &["nc", "tshark"]) else { return };
    namespace.check("ip route add 239.0.0.0/8 dev glass0");
    for (group, filter) in [
        ("239.1.2.3", "igmp.type == 0x22 && igmp.maddr == 239.1.2.3 && ip.ttl == 1"),
        ("ff15::123", "icmpv6.type == 143 && ipv6.hlim == 1"),
    ] {
        let capture = namespace.file("group.pcapng");
        let heard = namespace.check(&format!(
            "(echo to the group | {GLASSTCP} nc {HOST} --pcap {} -u -l -w 4 -g {group} 8000 > {1}) & {UNTIL_UP}; \
             for n in 1 2 3; do echo hello group | nc -u -w 1 {group} 8000; done; wait; cat {1}",
            capture.display(),
            namespace.file("heard").display()
        ));
        assert!(heard.contains("hello group"), "{heard}");
        assert_eq!(tshark(&capture, "_ws.malformed || udp.checksum.status == \"Bad\""), Vec::<String>::new());
        // Joined, told again, and left.
        assert!(tshark(&capture, filter).len() >= 3, "{:?}", tshark(&capture, "igmp || icmpv6"));
        assert!(!tshark(&capture, "udp.srcport == 8000 && udp.dstport == 8000").is_empty(), "it speaks");
    }
}
