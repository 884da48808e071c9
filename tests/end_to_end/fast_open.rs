//! TCP Fast Open with the kernel, as client and as server.

use std::io::Read;
use std::net::Shutdown;
use std::process::Stdio;
use std::time::Duration;

use glasstcp::Config;
use glasstcp::device::offload::OffloadDevice;
use glasstcp::net::Net;

use super::namespace::{GLASSTCP, Namespace, namespace, tshark};

/// A namespace whose kernel does Fast Open both ways.
fn fast(test: &str) -> Option<Namespace> {
    let namespace = namespace(test, &["python3", "nstat", "tshark"])?;
    namespace.check("echo 3 > /proc/sys/net/ipv4/tcp_fastopen");
    Some(namespace)
}

/// A counter of the kernel.
fn kernel(namespace: &Namespace, counter: &str) -> u64 {
    let line = namespace.check(&format!("nstat -asz {counter} | tail -n 1"));
    line.split_whitespace().nth(1).and_then(|text| text.parse().ok()).expect("a number")
}

/// The kernel's client: what it sends, and what comes back.
const CLIENT: &str = r#"
import socket, sys
family = socket.AF_INET6 if ':' in sys.argv[1] else socket.AF_INET
s = socket.socket(family, socket.SOCK_STREAM)
# Before any timeout is set: with one the socket would not block.
s.sendto(sys.argv[3].encode(), socket.MSG_FASTOPEN, (sys.argv[1], int(sys.argv[2])))
s.settimeout(60)
s.shutdown(socket.SHUT_WR)
got = b''
while True:
    piece = s.recv(65536)
    if not piece: break
    got += piece
print(got.decode(), end='')
"#;

/// The kernel's server: it echoes two connections, each until its end.
const SERVER: &str = r#"
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.setsockopt(socket.IPPROTO_TCP, socket.TCP_FASTOPEN, 16)
s.bind(('10.0.0.1', 9000))
s.listen(16)
print('ready', flush=True)
for _ in range(2):
    c, peer = s.accept()
    while True:
        piece = c.recv(65536)
        if not piece: break
        c.sendall(piece)
    c.close()
"#;

/// 7413-4.2.2-2: the kernel gets a cookie of ours, and its next SYNs bring text that is acknowledged and answered.
#[test]
fn the_kernel_opens_fast() {
    let Some(namespace) = fast("Fast Open, the kernel as client") else { return };
    let script = namespace.file("client.py");
    std::fs::write(&script, CLIENT).expect("a file");
    let server = namespace.serve("--fast-open --device plain");
    for host in ["10.0.0.2", "fd00:67::2"] {
        for text in ["first", "second", "third"] {
            assert_eq!(namespace.check(&format!("python3 {} {host} 7 {text}", script.display())), text);
        }
    }
    assert_eq!(kernel(&namespace, "TcpExtTCPFastOpenActive"), 4, "all but the two that have asked");
    assert_eq!(kernel(&namespace, "TcpExtTCPFastOpenActiveFail"), 0);
    let capture = server.stop();
    let count = |filter: &str| tshark(&capture, filter).len();
    assert_eq!(count("tcp.flags.syn == 1 && tcp.flags.ack == 0 && tcp.len > 0"), 4);
    assert_eq!(count("tcp.flags.syn == 1 && tcp.flags.ack == 1 && tcp.ack > 1"), 4, "the text is acknowledged");
    assert_eq!(count("tcp.analysis.retransmission"), 0, "nothing is sent twice");
}

/// 7413-2: unless it is asked for, text on a SYN is not taken; the kernel sends it again, and it arrives once.
#[test]
fn the_kernel_is_told_nothing_where_it_is_off() {
    let Some(namespace) = fast("Fast Open, off") else { return };
    let script = namespace.file("client.py");
    std::fs::write(&script, CLIENT).expect("a file");
    let server = namespace.serve("--device plain");
    for text in ["first", "second"] {
        assert_eq!(namespace.check(&format!("python3 {} 10.0.0.2 7 {text}", script.display())), text);
    }
    let capture = server.stop();
    assert_eq!(tshark(&capture, "ip.src == 10.0.0.2 && tcp.options.tfo").len(), 0);
    assert_eq!(kernel(&namespace, "TcpExtTCPFastOpenActive"), 0);
}

/// Starts the kernel's server.
fn serve(namespace: &Namespace) -> std::process::Child {
    let script = namespace.file("server.py");
    std::fs::write(&script, SERVER).expect("a file");
    let mut server = namespace.command(&format!("exec python3 {}", script.display()));
    let mut server = server.stdout(Stdio::piped()).spawn().expect("the server starts");
    let mut ready = [0; 6];
    server.stdout.as_mut().expect("a pipe").read_exact(&mut ready).expect("the server is ready");
    server
}

/// 7413-4.2.2-1: first we ask the kernel for a cookie, then our SYN brings text that its application has at once.
#[test]
fn we_open_fast() {
    let Some(namespace) = fast("Fast Open, the kernel as server") else { return };
    let mut server = serve(&namespace);
    let output = namespace.run_child_test("fast_open::child_connects", &[]);
    assert!(output.contains("1 passed"), "{output}");
    assert!(server.wait().expect("the server ends").success());
    assert_eq!(kernel(&namespace, "TcpExtTCPFastOpenCookieReqd"), 1);
    assert_eq!(kernel(&namespace, "TcpExtTCPFastOpenPassive"), 1);
    assert_eq!(kernel(&namespace, "TcpExtTCPFastOpenPassiveFail"), 0);
}

#[test]
#[ignore = "runs inside the namespace of another test"]
fn child_connects() {
    let config = Config::new(&["10.0.0.2/24".parse().unwrap()]);
    let net = Net::start(OffloadDevice::open("glass0").expect("the TUN"), config).expect("a network");
    for (round, text) in (0_u64..).zip([&b"first"[..], &[7; 5_000]]) {
        let server = "10.0.0.1:9000".parse().unwrap();
        let (mut stream, taken) = net.connect_fast(&server, text, Some(Duration::from_secs(60))).expect("it connects");
        assert_eq!(taken, text.len());
        stream.shutdown(Shutdown::Write).expect("it is open");
        let mut echoed = Vec::new();
        stream.read_to_end(&mut echoed).expect("the echo");
        assert!(echoed == text, "{} of {} octets", echoed.len(), text.len());
        assert_eq!(net.counters().fast_open_active, round);
    }
    assert_eq!(net.counters().fast_open_active_failed, 0);
}

/// `glasstcp nc` asks the kernel, each time: what it learns ends with it.
#[test]
fn nc_asks_the_kernel() {
    let Some(namespace) = fast("Fast Open, nc") else { return };
    let mut server = serve(&namespace);
    let nc = format!("{GLASSTCP} nc --tun glass0 --addr 10.0.0.2/24 --fast-open");
    for text in ["first", "second"] {
        assert_eq!(namespace.check(&format!("printf {text} | {nc} 10.0.0.1 9000")), text);
    }
    assert!(server.wait().expect("the server ends").success());
    assert_eq!(kernel(&namespace, "TcpExtTCPFastOpenCookieReqd"), 2);
}
