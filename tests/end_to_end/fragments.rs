//! Fragments between the kernel and us, both ways, in both families; and a flood of them.

use std::net::UdpSocket;
use std::time::Duration;

use super::namespace::{GLASSTCP, Server, eventually, namespace};

/// Octets of data around every edge: whole, just cut, several, many, all that there can be.
const SIZES: [usize; 9] = [0, 1_452, 1_453, 1_472, 1_473, 2_953, 9_000, 30_001, 65_507];

fn count(namespace: &super::namespace::Namespace, name: &str) -> u64 {
    let json = namespace.check("curl -s http://10.0.0.2/connections.json");
    let (_, rest) = json.split_once(&format!("\"{name}\":")).expect("the counter");
    rest.trim_start().split(|c: char| !c.is_ascii_digit()).next().and_then(|text| text.parse().ok()).expect("a number")
}

/// 1122-3.2.1.4, 1122-3.3.2-1, 791-3.2-2, 8200-4.5-1: the kernel's pings of every length, and UDP that comes back.
#[test]
fn the_kernel_hears_its_own_words_whole() {
    let Some(namespace) = namespace("fragments from the kernel", &["ping", "curl"]) else { return };
    for device in ["plain", "offload"] {
        let server = namespace.serve_without_capture(&format!("--device {device}"));
        for size in SIZES {
            for host in ["10.0.0.2", "fd00:67::2"] {
                let output = namespace.check(&format!("ping -c 3 -i 0.01 -W 20 -s {size} {host}"));
                assert!(output.contains(" 3 received"), "{size} to {host}: {output}");
                assert!(!output.contains("wrong data"), "{output}");
            }
        }
        let output = namespace.run_child_test("fragments::child_sends_datagrams_and_gets_them_back", &[]);
        assert!(output.contains("all came back"), "{output}");
        // Three echoes and one datagram of each length that does not fit, over both families; the longest takes 45 fragments.
        let (reassembled, out) = (count(&namespace, "reassembled"), count(&namespace, "fragments_out"));
        assert!(reassembled >= 45 && out >= 500, "{reassembled} reassembled, {out} fragments");
        server.stop();
    }
}

/// The same, where the kernel may put the fragments of one datagram, and the datagram, on different queues.
#[test]
fn fragments_find_each_other_on_two_queues() {
    let Some(namespace) = namespace("fragments on two queues", &["ping", "curl"]) else { return };
    let namespace = namespace.with_queues();
    let server = namespace.serve_without_capture("--queues 2");
    for host in ["10.0.0.2", "fd00:67::2"] {
        let output = namespace.check(&format!("ping -c 40 -i 0.005 -W 20 -s 20000 {host}"));
        assert!(output.contains(" 40 received"), "{output}");
    }
    let output = namespace.run_child_test("fragments::child_sends_datagrams_and_gets_them_back", &[]);
    assert!(output.contains("all came back"), "{output}");
    server.stop();
}

#[test]
#[ignore = "runs inside the namespace of another test"]
fn child_sends_datagrams_and_gets_them_back() {
    for (own, host) in [("10.0.0.1:0", "10.0.0.2:7"), ("[fd00:67::1]:0", "[fd00:67::2]:7")] {
        let socket = UdpSocket::bind(own).expect("a socket");
        socket.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
        let mut buffer = vec![0; 70_000];
        for size in SIZES {
            let data: Vec<u8> = (0..size).map(|n| (n % 247) as u8).collect();
            socket.send_to(&data, host).expect("a datagram leaves");
            let (len, _) = socket.recv_from(&mut buffer).unwrap_or_else(|error| panic!("{size} octets: {error}"));
            assert!(buffer[..len] == data, "{size} octets come back as they were");
        }
    }
    println!("all came back");
}

/// 791-3.2-2, 6864-4.3: our pings of every length, which the kernel puts together and answers in fragments.
#[test]
fn the_kernel_understands_our_fragments() {
    let Some(namespace) = namespace("fragments to the kernel", &[]) else { return };
    for device in ["plain", "offload"] {
        for size in SIZES {
            for host in ["10.0.0.1", "fd00:67::1"] {
                let ping =
                    format!("{GLASSTCP} ping --tun glass0 --addr 10.0.0.2/24 --addr fd00:67::2/64 --device {device}");
                let output = namespace.check(&format!("{ping} -c 3 -i 0.01 -W 20 -s {size} {host}"));
                assert!(output.contains(" 3 received"), "{size} to {host}: {output}");
                assert!(output.contains(&format!("{} bytes from", size + 8)), "{output}");
            }
        }
    }
}

/// Octets of memory that the program has.
fn resident(server: &Server) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.child.id())).expect("its status");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a line");
    line.split_whitespace().nth(1).and_then(|text| text.parse::<usize>().ok()).expect("a number") * 1_024
}

/// Sends first fragments from so many sources until it is killed, or two minutes. Not at once: what the queue of the TUN
/// drops where the machine is busy says nothing about the stack.
const FLOOD: &str = r#"
import socket, struct, itertools, time
until = time.monotonic() + 120
s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
for n in itertools.count():
    if n % 64 == 0:
        time.sleep(0.002)
        if time.monotonic() > until:
            break
    source = socket.inet_aton("10.0.%d.%d" % (n % 7, 10 + n % 200))
    header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 1420, n % 65535 + 1, 0x2000, 64, 1, 0, source, socket.inet_aton("10.0.0.2"))
    try:
        s.sendto(header + b"x" * 1400, ("10.0.0.2", 0))
    except OSError:
        pass
"#;

/// 791-3.2-3: first fragments without end, from 1,400 sources: memory stays within its limit, and honest pings in fragments are
/// answered all the while.
#[test]
fn a_flood_of_first_fragments() {
    let Some(namespace) = namespace("a flood of fragments", &["ping", "curl", "python3"]) else { return };
    std::fs::write(namespace.file("flood.py"), FLOOD).expect("a file");
    let server = namespace.serve_without_capture("");
    namespace.check("ping -c 3 -i 0.01 -s 20000 10.0.0.2");
    let before = resident(&server);
    let command = format!("exec python3 {}", namespace.file("flood.py").display());
    let mut flood = namespace.command(&command).spawn().expect("the flood");
    assert!(eventually(|| count(&namespace, "reassembly_evicted") > 10_000), "there is a flood");
    for host in ["10.0.0.2", "fd00:67::2"] {
        // The kernel's queue may drop some all the same; most must come back.
        let output = namespace.check(&format!("ping -c 50 -i 0.01 -W 20 -s 8000 {host}"));
        let received = output.split(" received").next().and_then(|text| text.rsplit(' ').next()?.parse::<u32>().ok());
        assert!(received.is_some_and(|received| received >= 40), "{output}");
    }
    let grown = resident(&server).saturating_sub(before);
    flood.kill().ok();
    flood.wait().ok();
    assert!(grown < 32 << 20, "{grown} octets");
    let output = namespace.check("ping -c 5 -i 0.01 -W 20 -s 65507 10.0.0.2");
    assert!(output.contains(" 5 received"), "{output}");
    server.stop();
}
