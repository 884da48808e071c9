//! `nc`, `curl` and `ping` against `glasstcp serve`, and `glasstcp nc` and `ping` against the kernel.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Stdio;

use super::namespace::{GLASSTCP, eventually, namespace, signal};

/// One TUN, one program after the other, each with another device.
#[test]
fn the_banner_says_which_device_it_is() {
    let Some(namespace) = namespace("the banner", &["nc"]) else { return };
    let super_segments = "offload: super-segments and checksums by the kernel";
    for (option, expected) in [
        ("", super_segments),
        ("--device plain", "plain: no offload"),
        ("--device auto", super_segments),
        ("--device offload", super_segments),
        ("--device plain", "plain: no offload"),
    ] {
        let server = namespace.serve_without_capture(&format!("{option} --log info"));
        let banner = format!(" on glass0 (MTU 1500, {expected}) as 10.0.0.2");
        assert!(server.log().contains(&banner), "{option}: {}", server.log());
        assert!(server.log().contains("opened"), "and so does the log: {}", server.log());
        assert_eq!(namespace.check("echo still here | nc -N -w 20 10.0.0.2 7"), "still here\n");
        server.stop();
    }
}

/// One queue of a TUN with many is enough for the offload device, and too many for the plain one, which says what to do.
#[test]
fn a_multi_queue_tun_is_served_on_one_queue() {
    let Some(namespace) = namespace("a multi_queue TUN", &["nc"]) else { return };
    for command in [
        "ip link del glass0",
        "ip tuntap add dev glass0 mode tun multi_queue",
        "ip addr add 10.0.0.1/24 dev glass0",
        "ip link set glass0 up",
    ] {
        namespace.check(command);
    }
    let server = namespace.serve_without_capture("");
    assert_eq!(namespace.check("echo on one queue | nc -N -w 20 10.0.0.2 7"), "on one queue\n");
    server.stop();
    let refused = namespace.run(&format!("{GLASSTCP} serve --tun glass0 --device plain"));
    let text = String::from_utf8_lossy(&refused.stderr);
    assert!(refused.status.code() == Some(1) && text.contains("multi_queue TUN of yours"), "{text}");
}

#[test]
fn nc_talks_to_the_echo_service() {
    let Some(namespace) = namespace("nc", &["nc"]) else { return };
    let server = namespace.serve("");
    for host in ["10.0.0.2", "fd00:67::2"] {
        assert_eq!(namespace.check(&format!("printf 'hello\\nworld\\n' | nc -N -w 20 {host} 7")), "hello\nworld\n");
    }
    // A port where nobody listens refuses, and nc says so at once.
    let refused = namespace.run("nc -v -w 20 10.0.0.2 4242 < /dev/null");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("refused"), "{refused:?}");
    // Garbage gets an answer that helps.
    let answer = namespace.check("printf 'hello?\\r\\n\\r\\n' | nc -w 20 10.0.0.2 80");
    assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("GET / HTTP/1.1"), "{answer}");
    server.stop();
}

#[test]
fn nc_udp_gets_its_echo_and_a_closed_port_is_reported() {
    let Some(namespace) = namespace("nc -u", &["nc"]) else { return };
    let server = namespace.serve("");
    for host in ["10.0.0.2", "fd00:67::2"] {
        assert_eq!(namespace.check(&format!("echo datagram | nc -u -w 2 {host} 7")), "datagram\n");
        // 1122-3.2.2.1, 4443-3.1: the kernel's connected socket hears the port unreachable.
        let closed = namespace.run(&format!("(echo one; sleep 1; echo two) | nc -u -v -w 2 {host} 4242"));
        assert!(closed.stdout.is_empty(), "{closed:?}");
    }
    let port_unreachable = namespace.run("nc -u -z -v -w 2 10.0.0.2 4243");
    assert!(!port_unreachable.status.success(), "a closed UDP port is told: {port_unreachable:?}");
    server.stop();
}

#[test]
fn curl_makes_two_hundred_requests_on_one_connection() {
    let Some(namespace) = namespace("curl", &["curl"]) else { return };
    let server = namespace.serve("");
    for host in ["10.0.0.2", "[fd00:67::2]"] {
        let connects = namespace.check(&format!(
            "curl -sS --fail --max-time 120 -o /dev/null -w '%{{num_connects}} %{{http_code}}\\n' 'http://{host}/?n=[1-200]'"
        ));
        let lines: Vec<&str> = connects.lines().collect();
        assert_eq!(lines.len(), 200);
        assert!(lines.iter().all(|line| line.ends_with(" 200")), "{connects}");
        assert_eq!(lines.iter().filter(|line| line.starts_with("1 ")).count(), 1, "one connection: {connects}");
    }
    let page = namespace.check("curl -sS --max-time 20 http://10.0.0.2/");
    assert!(page.contains("ESTABLISHED") && page.contains("10.0.0.1:"), "the page shows the visitor: {page}");
    server.stop();
}

/// 792-echo, 1122-3.2.2.6-1, 4443-4.2, 1122-3.2.2.6-3
#[test]
fn ping_gets_all_its_answers() {
    let Some(namespace) = namespace("ping", &["ping"]) else { return };
    let server = namespace.serve("");
    for (command, host) in [("ping", "10.0.0.2"), ("ping -6", "fd00:67::2")] {
        for size in [0, 56, 1_000, 1_452] {
            let output = namespace.check(&format!("{command} -c 20 -i 0.01 -s {size} -W 20 -p a5 {host}"));
            assert!(output.contains(" 0% packet loss"), "{output}");
            assert!(!output.contains("wrong data"), "{output}");
        }
    }
    // 1122-3.2.2.6-3: record route and timestamp come back with our address in them.
    for (option, place) in [("-R", "10.0.0.2"), ("-T tsandaddr", "10.0.0.2\t")] {
        let output = namespace.check(&format!("ping -c 1 -W 20 {option} 10.0.0.2"));
        assert!(output.lines().any(|line| line.trim_start().starts_with(place)), "{output}");
    }
    server.stop();
}

#[test]
fn our_ping_and_nc_reach_the_kernel() {
    let Some(namespace) = namespace("glasstcp nc", &["nc"]) else { return };
    let host = "--tun glass0 --addr 10.0.0.2/24 --addr fd00:67::2/64";
    for (kernel, device) in [("10.0.0.1", "offload"), ("fd00:67::1", "offload"), ("10.0.0.1", "plain")] {
        let host = format!("{host} --device {device}");
        let output = namespace.check(&format!("{GLASSTCP} ping {host} -c 5 -i 0.05 {kernel}"));
        assert!(output.contains(" 0% packet loss"), "{output}");
        let family = if kernel.contains(':') { "-6" } else { "-4" };
        let answer = namespace.check(&format!(
            "(echo from the kernel | nc {family} -l -N -w 20 9000 > {0}) & \
             for n in $(seq 200); do ss -Hltn 'sport = :9000' | grep -q . && break; sleep 0.05; done; \
             echo from glasstcp | {GLASSTCP} nc {host} {kernel} 9000; wait; cat {0}",
            namespace.file("heard").display()
        ));
        assert!(answer.contains("from the kernel") && answer.contains("from glasstcp"), "{answer}");
    }
    let refused = namespace.run(&format!("{GLASSTCP} nc {host} 10.0.0.1 9001 < /dev/null"));
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("refused"), "{refused:?}");
    // And the listener.
    let output = namespace.check(&format!(
        "(echo to the client | {GLASSTCP} nc {host} -l 8000 > {0}) & \
         for n in $(seq 200); do echo to the listener | nc -N -w 20 10.0.0.2 8000 && break; sleep 0.05; done; \
         wait; cat {0}",
        namespace.file("listener").display()
    ));
    assert!(output.contains("to the client") && output.contains("to the listener"), "{output}");
}

#[test]
fn a_thousand_connections_at_once() {
    let Some(namespace) = namespace("a thousand connections", &["curl"]) else { return };
    let server = namespace.serve("");
    let output = namespace.run_child_test("clients::child_opens_a_thousand_connections", &[]);
    assert!(output.contains("a thousand echoes"), "{output}");
    // All of them end: what is left is the connection that asks.
    assert!(
        eventually(|| namespace
            .check("curl -sS --max-time 20 http://10.0.0.2/connections.json")
            .matches("10.0.0.1:")
            .count()
            <= 1),
        "connections are left over"
    );
    server.stop();
}

/// Runs inside the namespace, started by [`a_thousand_connections_at_once`].
#[test]
#[ignore = "started by another test inside its namespace"]
fn child_opens_a_thousand_connections() {
    let mut streams: Vec<TcpStream> = (0..1_000)
        .map(|n| TcpStream::connect("10.0.0.2:7").unwrap_or_else(|error| panic!("connection {n}: {error}")))
        .collect();
    for (n, stream) in streams.iter_mut().enumerate() {
        stream.write_all(format!("connection {n}\n").as_bytes()).expect("write");
    }
    for (n, stream) in streams.iter_mut().enumerate() {
        let expected = format!("connection {n}\n");
        let mut answer = vec![0; expected.len()];
        stream.read_exact(&mut answer).expect("read");
        assert_eq!(answer, expected.as_bytes());
    }
    for stream in &streams {
        stream.shutdown(std::net::Shutdown::Write).expect("shutdown");
    }
    for stream in &mut streams {
        assert_eq!(stream.read(&mut [0; 1]).expect("the end of the stream"), 0);
    }
    println!("a thousand echoes");
}

/// 9293-3.10.7.4-15
#[test]
fn a_client_killed_in_mid_transfer_leaves_nothing_behind() {
    let Some(namespace) = namespace("a killed client", &["nc", "curl"]) else { return };
    let server = namespace.serve("");
    for _ in 0..3 {
        let mut client =
            namespace.command("exec nc 10.0.0.2 19").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("nc");
        let mut read = vec![0; 1 << 20];
        client.stdout.as_mut().expect("a pipe").read_exact(&mut read).expect("a megabyte");
        signal(client.id(), "KILL");
        client.wait().expect("nc ends");
        assert!(
            eventually(|| {
                let json = namespace.check("curl -sS --max-time 20 http://10.0.0.2/connections.json");
                !json.contains("10.0.0.2:19\"")
            }),
            "the connection of the killed client is still there"
        );
    }
    assert_eq!(namespace.check("echo still here | nc -N -w 20 10.0.0.2 7"), "still here\n");
    server.stop();
}

#[test]
fn a_tun_that_vanishes_ends_the_program_with_a_clear_error() {
    for device in ["offload", "plain"] {
        tun_vanishes(device);
    }
}

fn tun_vanishes(device: &str) {
    let Some(namespace) = namespace("a TUN that vanishes", &[]) else { return };
    let mut server = namespace.serve(&format!("--device {device}"));
    namespace.check("ip link del glass0");
    let ended = eventually(|| server.child.try_wait().expect("the status").is_some());
    assert!(ended, "serve goes on without a TUN:\n{}", server.log());
    assert_eq!(server.child.wait().expect("the status").code(), Some(1), "{}", server.log());
    assert!(server.log().contains("glass0"), "the error names the TUN:\n{}", server.log());
}
