//! `glasstcp nc`, `ping` and `states`, and the command line itself.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use crate::common::{PATIENCE, Program, net, serve, words};

/// A client program on the other end of a serving one.
fn client(end: UnixDatagram, command: &str, arguments: &str) -> Program {
    let line = format!("{command} --tun-fd {} --addr 10.0.0.1/24 {arguments}", end.as_raw_fd());
    Program::start(&words(&line), vec![end.into()])
}

fn run(arguments: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_glasstcp")).args(words(arguments)).output().unwrap()
}

#[test]
fn nc_fetches_a_page() {
    let (_server, end) = serve("");
    let mut nc = client(end, "nc", "10.0.0.2 80");
    nc.input(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    let (status, out, err) = nc.output();
    assert_eq!(status.code(), Some(0), "{err}");
    assert!(out.starts_with(b"HTTP/1.1 200 OK\r\n") && out.ends_with(b"</html>\n"));
}

#[test]
fn nc_carries_a_file_both_ways() {
    let (_server, end) = serve("");
    let mut nc = client(end, "nc", "10.0.0.2 7");
    let data: Vec<u8> = (0..2_000_000u32).map(|i| (i * 3 / 7) as u8).collect();
    let input = data.clone();
    let mut stdin = nc.take_input();
    let writer = std::thread::spawn(move || stdin.write_all(&input).unwrap());
    let (status, out, err) = nc.output();
    writer.join().unwrap();
    assert_eq!(status.code(), Some(0), "{err}");
    assert!(out == data, "{} octets", out.len());
}

#[test]
fn nc_listens_and_still_sends_when_the_peer_has_closed_its_half() {
    let (inside, outside) = UnixDatagram::pair().unwrap();
    let mut nc = client(inside, "nc", "-l 8000");
    nc.wait_for_message("listening");
    let net = net(outside, &["10.0.0.2/24"]);
    let mut stream = net.connect_timeout(&"10.0.0.1:8000".parse().unwrap(), PATIENCE).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"question").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    nc.input(b"answer");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "answer");
    drop(stream);
    let (status, out, err) = nc.output();
    assert_eq!((status.code(), &out[..]), (Some(0), &b"question"[..]), "{err}");
}

#[test]
fn nc_ends_when_the_peer_has_closed() {
    let (inside, outside) = UnixDatagram::pair().unwrap();
    let mut nc = client(inside, "nc", "-l 8000");
    nc.wait_for_message("listening");
    let net = net(outside, &["10.0.0.2/24"]);
    drop(net.connect_timeout(&"10.0.0.1:8000".parse().unwrap(), PATIENCE).unwrap());
    // Its standard input stays open.
    let closed = Instant::now();
    assert_eq!(nc.wait().code(), Some(0));
    assert!(closed.elapsed() < Duration::from_secs(3), "{:?}", closed.elapsed());
}

#[test]
fn nc_says_why_there_is_no_connection() {
    let (_server, end) = serve("");
    let (status, _, err) = client(end, "nc", "10.0.0.2 81").output();
    assert!(status.code() == Some(1) && err.contains("10.0.0.2:81: connection refused"), "{err}");
    let (inside, _outside) = UnixDatagram::pair().unwrap();
    let (status, _, err) = client(inside, "nc", "-w 0.2 10.0.0.99 80").output();
    assert!(status.code() == Some(1) && err.contains("timed out"), "{err}");
    let (inside, _outside) = UnixDatagram::pair().unwrap();
    let (status, _, err) = client(inside, "nc", "-w 0.2 -l 80").output();
    assert!(status.code() == Some(1) && err.contains("nobody connected"), "{err}");
}

#[test]
fn nc_closes_with_fin_on_a_signal() {
    let (inside, outside) = UnixDatagram::pair().unwrap();
    let mut nc = client(inside, "nc", "-l 8000");
    nc.wait_for_message("listening");
    let net = net(outside, &["10.0.0.2/24"]);
    let mut stream = net.connect_timeout(&"10.0.0.1:8000".parse().unwrap(), PATIENCE).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    nc.wait_for_message("connection from");
    // The signal is to find a conversation.
    std::thread::sleep(Duration::from_millis(100));
    nc.signal("INT");
    assert_eq!(stream.read(&mut [0; 10]).unwrap(), 0);
    drop(stream);
    assert_eq!(nc.wait().code(), Some(130));
}

#[test]
fn ping_counts_replies() {
    let (_server, end) = serve("");
    let (status, out, err) = client(end, "ping", "10.0.0.2 -c 3 -i 0.02 -s 100").output();
    let out = String::from_utf8(out).unwrap();
    assert_eq!(status.code(), Some(0), "{err}");
    assert!(out.contains("108 bytes from 10.0.0.2: icmp_seq=3 ttl=64 time="), "{out}");
    assert!(out.contains("3 packets transmitted, 3 received, 0% packet loss") && out.contains("min/avg/max/mdev"));
    let (inside, _outside) = UnixDatagram::pair().unwrap();
    let (status, out, _) = client(inside, "ping", "10.0.0.99 -c 2 -i 0.02 -W 0.1").output();
    let out = String::from_utf8(out).unwrap();
    assert!(status.code() == Some(1) && out.contains("2 packets transmitted, 0 received, 100% packet loss"), "{out}");
}

#[test]
fn ping_ends_on_a_signal_with_its_sums() {
    let (_server, end) = serve("");
    let mut ping = client(end, "ping", "10.0.0.2 -i 0.05");
    std::thread::sleep(Duration::from_millis(400));
    ping.signal("INT");
    assert_eq!(ping.wait().code(), Some(0));
    let (_, out, _) = ping.output();
    assert!(String::from_utf8(out).unwrap().contains("ping statistics"));
}

#[test]
fn wrong_usage_has_exit_code_2_and_says_why() {
    for (arguments, why) in [
        ("", "Usage"),
        ("dance", "unrecognized subcommand"),
        ("serve --http 70000", "70000"),
        ("serve --addr 10.0.0.2/33", "longer than the address"),
        ("serve --log loud", "recovery"),
        ("serve --tun a --tun-fd 3", "cannot be used with"),
        ("serve --device plain --tun-fd 3", "cannot be used with"),
        ("serve --congestion vegas", "there are cubic, reno and bbr"),
        ("nc --congestion vegas 10.0.0.1 80", "there are cubic, reno and bbr"),
        ("serve --device fast", "auto, offload, plain"),
        ("nc example.org 80", "only literal addresses"),
        ("nc 10.0.0.1", "HOST and PORT"),
        ("nc 10.0.0.1 0", "not a port"),
        ("nc -l 10.0.0.1 80", "only a PORT"),
        ("ping localhost", "only literal addresses"),
        ("ping 10.0.0.1 -i 0", "0.01"),
    ] {
        let output = run(arguments);
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments}: {text}");
        assert!(text.contains(why), "{arguments}: {text}");
    }
}

#[test]
fn what_cannot_be_opened_is_an_error_with_its_reason() {
    for (arguments, why) in [
        ("serve --tun-fd 1000003", "descriptor 1000003 is not open"),
        ("serve --ready-fd 1000003", "descriptor 1000003 is not open"),
        ("serve --tun a/b", "cannot name an interface"),
        ("serve --device plain --tun a/b", "cannot name an interface"),
        ("serve --pcap - --pcap-raw -", "a file each"),
    ] {
        let output = run(arguments);
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments}: {text}");
        assert!(text.starts_with("glasstcp: ") && text.contains(why), "{arguments}: {text}");
    }
    let (inside, _outside) = UnixDatagram::pair().unwrap();
    let (status, _, err) = client(inside, "ping", "fd00::1 -c 1").output();
    assert!(status.code() == Some(1) && err.contains("--addr"), "{err}");
}

#[test]
fn the_help_teaches() {
    let help = String::from_utf8(run("--help").stdout).unwrap();
    for part in ["serve", "ping", "nc 10.0.0.2 80", "wireshark", "Exit codes"] {
        assert!(help.contains(part), "{part} in {help}");
    }
    let help = String::from_utf8(run("serve --help").stdout).unwrap();
    for part in [
        "--tun-fd",
        "--device",
        "64 KiB",
        "--pcap-raw",
        "RFC 864",
        "SIGUSR1",
        "recovery",
        "curl",
        "grep 10.0.0.1:50000",
    ] {
        assert!(help.contains(part), "{part} in {help}");
    }
    assert!(String::from_utf8(run("--version").stdout).unwrap().starts_with("glasstcp 0."));
    let states = String::from_utf8(run("states").stdout).unwrap();
    assert!(states.contains("stateDiagram-v2") && states.contains("| LISTEN | rcv SYN | SYN-RECEIVED |"), "{states}");
}
