//! Any-address mode with the kernel as the peer: a route to the TUN is all that it takes to be another host.

use std::process::Stdio;
use std::thread;
use std::time::Duration;

use glasstcp::net::{ListenOptions, Net};
use glasstcp::{Config, device::offload::OffloadDevice};

use super::namespace::{child_test, eventually, namespace};

/// The example is tested as it stands.
#[path = "../../examples/transparent_proxy.rs"]
#[allow(dead_code)]
mod transparent_proxy;

/// Nets of documentation, routed to the TUN.
const ROUTES: &str = "ip route add 198.51.100.0/24 dev glass0 && ip route add 2001:db8::/32 dev glass0";

/// 1122-3.3.4.2: clients of the kernel find the server at any address, and every closed port there, too.
#[test]
fn the_server_is_every_host_that_is_routed_to_it() {
    let Some(namespace) = namespace("any-address mode", &["curl", "nc", "ping"]) else { return };
    namespace.check(ROUTES);
    let server = namespace.serve("--any-address");
    for (host, url) in
        [("198.51.100.77", "198.51.100.77"), ("2001:db8::77", "[2001:db8::77]"), ("10.0.0.2", "10.0.0.2")]
    {
        let json = namespace.check(&format!("curl -sS --max-time 20 http://{url}/connections.json"));
        assert!(json.contains(&format!("{url}:80\"")), "the local address is the one asked for: {json}");
        assert_eq!(namespace.check(&format!("echo hello | nc -N -w 20 {host} 7")), "hello\n");
        let refused = namespace.run(&format!("nc -v -w 20 {host} 4444 < /dev/null"));
        assert!(String::from_utf8_lossy(&refused.stderr).contains("refused"), "{refused:?}");
    }
    assert!(namespace.check("ping -c 2 -i 0.05 10.0.0.2").contains(" 0% packet loss"));
    assert!(!namespace.run("ping -c 1 -W 1 198.51.100.77").status.success(), "nobody says that it is there");
    server.stop();
    let server = namespace.serve("--any-address --answer-echo-for-any");
    assert!(namespace.check("ping -c 2 -i 0.05 198.51.100.77").contains(" 0% packet loss"));
    assert!(namespace.check("ping -c 2 -i 0.05 2001:db8::77").contains(" 0% packet loss"));
    server.stop();
}

/// The application decides about each SYN, however late; the kernel's sockets see the difference.
#[test]
fn a_syn_waits_for_the_application() {
    let Some(namespace) = namespace("deferred SYNs", &["nc"]) else { return };
    namespace.check(ROUTES);
    let output = namespace.run_child_test("any_address::child_decides", &[]);
    assert!(output.contains("all as decided"), "{output}");
}

#[test]
#[ignore = "runs inside the namespace of another test"]
fn child_decides() {
    let config = Config { any_address: true, ..Config::new(&["10.0.0.2/24".parse().unwrap()]) };
    let net = Net::start(OffloadDevice::open("glass0").expect("the TUN"), config).expect("a network");
    let mut options = ListenOptions { deferred: true, ..ListenOptions::default() };
    options.bind.any_port = true;
    let listener = net.listen("[::]:0", &options).expect("a listener");
    let to = "198.51.100.7:4321";
    let client = thread::spawn(move || std::net::TcpStream::connect(to));
    let syn = listener.next_syn().expect("a SYN");
    assert_eq!(syn.local_addr(), to.parse().unwrap());
    // The kernel sends its SYN a second time after 1 s: only then comes the decision.
    assert!(eventually(|| net.counters().drops().any(|(reason, _)| reason.as_str() == "SYN not decided about yet")));
    assert!(!client.is_finished(), "nothing was answered");
    let server = syn.accept().expect("accepted");
    let client = client.join().expect("the client").expect("connected");
    assert_eq!(server.peer_addr().unwrap(), client.local_addr().unwrap());
    assert_eq!((server.local_addr().unwrap(), client.peer_addr().unwrap()), (to.parse().unwrap(), to.parse().unwrap()));

    for _ in 0..3 {
        let client = thread::spawn(move || std::net::TcpStream::connect("198.51.100.8:22"));
        listener.next_syn().expect("a SYN").refuse();
        let error = client.join().expect("the client").expect_err("refused");
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
    }
    // Nobody decides: the kernel goes on asking.
    let client = thread::spawn(|| {
        std::net::TcpStream::connect_timeout(&"198.51.100.9:22".parse().unwrap(), Duration::from_millis(300))
    });
    let syn = listener.next_syn().expect("a SYN");
    assert!(client.join().expect("the client").is_err());
    // Too late: its socket is gone, and the kernel answers the SYN-ACK by a RST.
    assert!(syn.accept().is_err());
    println!("all as decided");
}

/// Between a client here and a server behind another interface, which both see nothing of the proxy.
#[test]
fn the_transparent_proxy() {
    let Some(namespace) = namespace("the transparent proxy", &["nc"]) else { return };
    let far = namespace.neighbour();
    far.check("ip addr add 198.51.100.7/32 dev far0");
    namespace.check("ip route add 198.51.100.0/24 dev glass0");
    namespace
        .check("ip rule add iif glass0 lookup 100 && ip route add 198.51.100.0/24 via 10.1.0.2 dev near0 table 100");
    namespace.check("for filter in /proc/sys/net/ipv4/conf/*/rp_filter; do echo 0 > $filter; done");
    let mut proxy = namespace
        .command(&format!("exec {}", child_test("any_address::child_is_a_transparent_proxy", &[])))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .expect("the proxy");
    let mut server = far.command("(echo from far; sleep 0.2) | exec nc -N -l 198.51.100.7 8080").spawn().expect("nc");
    let answer =
        namespace.check("for n in $(seq 200); do echo hello | nc -w 20 198.51.100.7 8080 && break; sleep 0.05; done");
    let refused = namespace.run("nc -v -w 20 198.51.100.7 8081 < /dev/null");
    for child in [&mut server, &mut proxy] {
        child.kill().ok();
        child.wait().ok();
    }
    assert!(answer.contains("from far"), "{answer}");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("refused"), "{refused:?}");
}

#[test]
#[ignore = "runs inside the namespace of another test"]
fn child_is_a_transparent_proxy() {
    transparent_proxy::run("glass0").expect("until it is killed");
}
