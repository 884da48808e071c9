//! 64 MiB each way with 2 % of the packets lost by a rule of nftables, compared octet by octet.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};

use super::namespace::namespace;

const SIZE: usize = 64 << 20;

/// Octet `n` of the stream that the tests send.
fn octet(n: usize) -> u8 {
    (n ^ (n >> 8) ^ (n >> 16).wrapping_mul(31)) as u8
}

#[test]
fn sixty_four_mebibytes_each_way_under_loss() {
    let Some(namespace) = namespace("64 MiB under loss", &["nft", "nc"]) else { return };
    // The capture of half a million packets would say no more than that of the smaller transfers.
    let server = namespace.serve_without_capture("");
    for command in [
        "nft add table inet lossy",
        "nft 'add chain inet lossy in { type filter hook input priority 0; }'",
        "nft 'add chain inet lossy out { type filter hook output priority 0; }'",
        "nft 'add rule inet lossy in iifname glass0 numgen random mod 100 < 2 counter drop'",
        "nft 'add rule inet lossy out oifname glass0 numgen random mod 100 < 2 counter drop'",
    ] {
        namespace.check(command);
    }
    let output = namespace.run_child_test("transfers::child_echoes_sixty_four_mebibytes");
    assert!(output.contains("all octets came back"), "{output}");
    let rules = namespace.check("nft list table inet lossy");
    let dropped: u64 = rules
        .split("packets ")
        .skip(1)
        .filter_map(|rest| rest.split_whitespace().next().and_then(|count| count.parse::<u64>().ok()))
        .sum();
    assert!(dropped > 500, "the loss was real: {dropped} packets\n{rules}");
    server.stop();
}

/// Runs inside the namespace, started by [`sixty_four_mebibytes_each_way_under_loss`].
#[test]
#[ignore = "started by another test inside its namespace"]
fn child_echoes_sixty_four_mebibytes() {
    let stream = TcpStream::connect("10.0.0.2:7").expect("connect");
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

#[test]
fn the_pattern_of_chargen_arrives_whole() {
    let Some(namespace) = namespace("chargen", &["nc"]) else { return };
    let server = namespace.serve_without_capture("");
    let output = namespace.run_child_test("transfers::child_reads_chargen");
    assert!(output.contains("the pattern is right"), "{output}");
    server.stop();
}

/// Runs inside the namespace, started by [`the_pattern_of_chargen_arrives_whole`].
#[test]
#[ignore = "started by another test inside its namespace"]
fn child_reads_chargen() {
    let mut stream = TcpStream::connect("[fd00:67::2]:19").expect("connect");
    let (mut received, mut buffer) = (0_u64, vec![0; 256 << 10]);
    while received < SIZE as u64 {
        let read = stream.read(&mut buffer).expect("read");
        assert!(read > 0, "the pattern has no end");
        for (n, &got) in buffer[..read].iter().enumerate() {
            let at = received + n as u64;
            // RFC 864: lines of 72 printable characters, each beginning one character later; 74 octets with CR LF.
            let (line, column) = (at / 74, at % 74);
            let expected = match column {
                72 => b'\r',
                73 => b'\n',
                column => b' ' + ((line + column) % 95) as u8,
            };
            assert_eq!(got, expected, "octet {at}");
        }
        received += read as u64;
    }
    println!("the pattern is right");
}
