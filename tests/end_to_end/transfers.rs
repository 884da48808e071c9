//! 64 MiB each way over both kinds of device, with and without a rule of nftables that loses packets, compared octet by
//! octet.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};

use super::namespace::{Namespace, namespace};

const SIZE: usize = 64 << 20;

/// Where the child finds the address that it talks to.
pub const HOST: &str = "GLASSTCP_TEST_HOST";

/// The namespace in which it lowers the MTU of `near0` when it has read half of the stream, if there is one.
pub const NEAR: &str = "GLASSTCP_TEST_NEAR";

/// Octet `n` of the stream that the tests send.
fn octet(n: usize) -> u8 {
    (n ^ (n >> 8) ^ (n >> 16).wrapping_mul(31)) as u8
}

/// Makes the kernel lose so many of a thousand packets, both of those that come in and of those that go out.
fn lose(namespace: &Namespace, per_mille: u32) {
    for command in [
        "nft add table inet lossy".to_owned(),
        "nft 'add chain inet lossy in { type filter hook input priority 0; }'".to_owned(),
        "nft 'add chain inet lossy out { type filter hook output priority 0; }'".to_owned(),
        format!("nft 'add rule inet lossy in iifname glass0 numgen random mod 1000 < {per_mille} counter drop'"),
        format!("nft 'add rule inet lossy out oifname glass0 numgen random mod 1000 < {per_mille} counter drop'"),
    ] {
        namespace.check(&command);
    }
}

/// How many packets were lost, with the rules that did it.
fn lost(namespace: &Namespace) -> (u64, String) {
    let rules = namespace.check("nft list table inet lossy");
    let counts = rules.split("packets ").skip(1).filter_map(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    (counts.sum(), rules)
}

fn run_child(namespace: &Namespace, name: &str, host: &str) -> String {
    namespace.run_child_test(&format!("transfers::{name}"), &[(HOST, host)])
}

fn connect(port: u16) -> TcpStream {
    let host = std::env::var(HOST).expect("an address");
    TcpStream::connect((host.as_str(), port)).expect("connect")
}

#[test]
fn sixty_four_mebibytes_each_way_under_loss() {
    echo_under_loss("plain", "10.0.0.2", 20, 500);
}

// With offload a rule loses a whole super-segment at a time: the same share of packets is fewer losses of more octets.

#[test]
fn sixty_four_mebibytes_each_way_under_loss_with_offload_over_ipv4() {
    echo_under_loss("offload", "10.0.0.2", 5, 5);
}

#[test]
fn sixty_four_mebibytes_each_way_under_loss_with_offload_over_ipv6() {
    echo_under_loss("offload", "fd00:67::2", 5, 5);
}

fn echo_under_loss(device: &str, host: &str, per_mille: u32, at_least: u64) {
    let Some(namespace) = namespace("64 MiB under loss", &["nft"]) else { return };
    // The capture of half a million packets would say no more than that of the smaller transfers.
    let server = namespace.serve_without_capture(&format!("--device {device}"));
    lose(&namespace, per_mille);
    let output = run_child(&namespace, "child_echoes_sixty_four_mebibytes", host);
    assert!(output.contains("all octets came back"), "{output}");
    let (dropped, rules) = lost(&namespace);
    assert!(dropped > at_least, "the loss was real: {dropped} packets\n{rules}");
    server.stop();
}

#[test]
fn sixty_four_mebibytes_each_way_without_loss() {
    let Some(namespace) = namespace("64 MiB", &[]) else { return };
    let server = namespace.serve_without_capture("--device offload");
    for host in ["10.0.0.2", "fd00:67::2"] {
        let output = run_child(&namespace, "child_echoes_sixty_four_mebibytes", host);
        assert!(output.contains("all octets came back"), "{output}");
        let output = run_child(&namespace, "child_fills_discard", host);
        assert!(output.contains("all octets were taken"), "{output}");
    }
    assert!(!server.log().contains("refused"), "the kernel took all that we sent:\n{}", server.log());
    server.stop();
}

/// Runs inside the namespace, started by the tests above.
#[test]
#[ignore = "started by another test inside its namespace"]
fn child_echoes_sixty_four_mebibytes() {
    let stream = connect(7);
    let mut writer = stream.try_clone().expect("clone");
    let sender = std::thread::spawn(move || {
        let mut sent = 0;
        while sent < SIZE {
            let chunk: Vec<u8> = (sent..(sent + (64 << 10)).min(SIZE)).map(octet).collect();
            writer.write_all(&chunk).expect("write");
            sent += chunk.len();
        }
        writer.shutdown(Shutdown::Write).expect("shutdown");
    });
    let (mut reader, mut received, mut buffer) = (stream, 0, vec![0; 256 << 10]);
    loop {
        let read = reader.read(&mut buffer).expect("read");
        if read == 0 {
            break;
        }
        for (n, &got) in buffer[..read].iter().enumerate() {
            assert_eq!(got, octet(received + n), "octet {}", received + n);
        }
        received += read;
    }
    sender.join().expect("the sender");
    assert_eq!(received, SIZE);
    println!("all octets came back");
}

/// Runs inside the namespace, started by [`sixty_four_mebibytes_each_way_without_loss`].
#[test]
#[ignore = "started by another test inside its namespace"]
fn child_fills_discard() {
    let mut stream = connect(9);
    for chunk in vec![7; SIZE].chunks(1 << 20) {
        stream.write_all(chunk).expect("write");
    }
    stream.shutdown(Shutdown::Write).expect("shutdown");
    // The service closes when it has read to the end, so everything has arrived.
    assert_eq!(stream.read(&mut [0; 1]).expect("the end of the stream"), 0);
    println!("all octets were taken");
}

/// RFC 864: lines of 72 printable characters, each beginning one character later; 74 octets with CR LF.
pub fn chargen_octet(at: u64) -> u8 {
    let (line, column) = (at / 74, at % 74);
    match column {
        72 => b'\r',
        73 => b'\n',
        column => b' ' + ((line + column) % 95) as u8,
    }
}

#[test]
fn the_pattern_of_chargen_arrives_whole() {
    for (device, host, per_mille) in
        [("plain", "fd00:67::2", 0), ("offload", "10.0.0.2", 0), ("offload", "fd00:67::2", 5)]
    {
        let Some(namespace) = namespace("chargen", &["nft"]) else { return };
        let server = namespace.serve_without_capture(&format!("--device {device}"));
        if per_mille > 0 {
            lose(&namespace, per_mille);
        }
        let output = run_child(&namespace, "child_reads_chargen", host);
        assert!(output.contains("the pattern is right"), "{device} {host}: {output}");
        server.stop();
    }
}

/// Runs inside the namespace, started by [`the_pattern_of_chargen_arrives_whole`] and others.
#[test]
#[ignore = "started by another test inside its namespace"]
fn child_reads_chargen() {
    let mut stream = connect(19);
    let mut near = std::env::var(NEAR).ok();
    let (mut received, mut buffer) = (0_u64, vec![0; 256 << 10]);
    while received < SIZE as u64 {
        let read = stream.read(&mut buffer).expect("read");
        assert!(read > 0, "the pattern has no end");
        for (n, &got) in buffer[..read].iter().enumerate() {
            let at = received + n as u64;
            assert_eq!(got, chargen_octet(at), "octet {at}");
        }
        received += read as u64;
        if received > SIZE as u64 / 2
            && let Some(near) = near.take()
        {
            let shrunk = std::process::Command::new("ip")
                .args(["netns", "exec", &near, "ip", "link", "set", "near0", "mtu", "1400"])
                .status();
            assert!(shrunk.is_ok_and(|status| status.success()), "the MTU is set");
        }
    }
    println!("the pattern is right");
}
