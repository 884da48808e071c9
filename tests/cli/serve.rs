//! `glasstcp serve` as a program: its services, its signals, its capture, and how it ends.

use std::fs;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::thread;
use std::time::{Duration, Instant};

use crate::common::{PATIENCE, SERVER, ask, connect, response, serve, served};
use glasstcp::cli::chargen;
use glasstcp::device::pcapng;
use glasstcp::net::{Net, TcpStream};

/// An echo connection that the program has accepted for certain.
fn accepted(net: &Net) -> TcpStream {
    let mut stream = connect(net, 7);
    stream.write_all(b"!").unwrap();
    stream.read_exact(&mut [0]).unwrap();
    stream
}

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";

#[test]
fn the_page_shows_the_visitors_own_connection() {
    let (_program, net) = served("");
    let mut other = connect(&net, 7);
    other.write_all(b"hello").unwrap();
    other.read_exact(&mut [0; 5]).unwrap();
    let mut stream = connect(&net, 80);
    stream.write_all(GET).unwrap();
    let (head, page) = response(&mut stream);
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && head.contains("Content-Type: text/html"), "{head}");
    let own = stream.local_addr().unwrap().to_string();
    for part in [&own, "ESTABLISHED", "Your connection", "SACK, timestamps", &other.local_addr().unwrap().to_string()] {
        assert!(page.contains(part), "{part} is not in {page}");
    }
    stream.write_all(b"GET /connections.json HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let (_, json) = response(&mut stream);
    assert!(json.contains(&format!("\"own\": {{\"local\": \"{SERVER}:80\", \"remote\": \"{own}\"")), "{json}");
    assert!(json.contains("\"octets_received\": 5,"), "{json}");
    let six = net.connect_timeout(&"[fd00:67::2]:80".parse().unwrap(), PATIENCE).unwrap();
    (&six).write_all(b"GET /?refresh=2 HTTP/1.0\r\n\r\n").unwrap();
    let mut page = String::new();
    (&six).read_to_string(&mut page).unwrap();
    assert!(page.contains("[fd00:67::2]:80"), "{page}");
}

#[test]
fn a_connection_serves_many_requests() {
    let (_program, net) = served("--http 8080");
    let mut stream = connect(&net, 8080);
    for _ in 0..200 {
        stream.write_all(GET).unwrap();
        assert!(response(&mut stream).0.starts_with("HTTP/1.1 200 "));
    }
    stream.write_all(&GET.repeat(50)).unwrap();
    for _ in 0..50 {
        assert!(response(&mut stream).0.starts_with("HTTP/1.1 200 "));
    }
    stream.write_all(b"HEAD / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut rest = String::new();
    stream.read_to_string(&mut rest).unwrap();
    assert!(rest.starts_with("HTTP/1.1 200 ") && rest.ends_with("\r\n\r\n"), "{rest}");
}

/// More than one turn's worth of responses, while nothing else arrives that could wake the connection.
#[test]
fn pipelined_requests_are_answered_to_the_last() {
    let (_program, net) = served("");
    let mut stream = connect(&net, 80);
    stream.write_all(&GET.repeat(400)).unwrap();
    for i in 0..400 {
        assert!(response(&mut stream).0.starts_with("HTTP/1.1 200 "), "{i}");
    }
}

#[test]
fn whoever_types_garbage_is_told_what_to_type() {
    let (_program, net) = served("");
    for garbage in [&b"hello\n"[..], b"GET /\n", b"\x16\x03\x01\x00\n"] {
        let answer = ask(&net, 80, garbage);
        assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("GET / HTTP/1.1\n    Host: x"), "{answer}");
    }
    // The rest of what was sent does not turn the answer into a reset.
    let answer = ask(&net, 80, &[b"nonsense\n", &[b'x'; 100_000][..]].concat());
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(ask(&net, 80, b"GET /x HTTP/1.0\r\n\r\n").starts_with("HTTP/1.1 404 "));
}

#[test]
fn echo_returns_everything_and_then_closes() {
    let (_program, net) = served("");
    let stream = connect(&net, 7);
    let data: Vec<u8> = (0..3_000_000u32).map(|i| (i * 7 / 5) as u8).collect();
    let writer = stream.try_clone().unwrap();
    let sent = data.clone();
    // The reader starts late, so that echo meets a peer that does not read.
    let sender = thread::spawn(move || {
        (&writer).write_all(&sent).unwrap();
        writer.shutdown(Shutdown::Write).unwrap();
    });
    thread::sleep(Duration::from_millis(200));
    let mut back = Vec::new();
    (&stream).read_to_end(&mut back).unwrap();
    sender.join().unwrap();
    assert!(back == data, "{} of {} octets", back.len(), data.len());
}

#[test]
fn the_small_services_do_as_their_rfcs_say() {
    let (_program, net) = served("--discard 9 --chargen 19");
    let mut stream = connect(&net, 19);
    let mut pattern = vec![0; 1_000_000];
    stream.read_exact(&mut pattern).unwrap();
    assert!(pattern.iter().enumerate().all(|(i, &octet)| octet == chargen::byte_at(i as u64)));
    // Half-closed, it goes on.
    stream.shutdown(Shutdown::Write).unwrap();
    let mut more = vec![0; 3_000_000];
    stream.read_exact(&mut more).unwrap();
    assert!(more.iter().enumerate().all(|(i, &octet)| octet == chargen::byte_at(1_000_000 + i as u64)));
    let mut discard = connect(&net, 9);
    discard.write_all(&pattern).unwrap();
    discard.shutdown(Shutdown::Write).unwrap();
    assert_eq!(discard.read(&mut [0; 10]).unwrap(), 0);
    let udp = net.bind_udp("10.0.0.1:0").unwrap();
    udp.set_read_timeout(Some(PATIENCE)).unwrap();
    udp.send_to(b"datagram", (SERVER, 7)).unwrap();
    let mut buffer = [0; 100];
    let (len, from) = udp.recv_from(&mut buffer).unwrap();
    assert_eq!((&buffer[..len], from.to_string().as_str()), (&b"datagram"[..], "10.0.0.2:7"));
}

#[test]
fn many_connections_share_one_loop() {
    let (_program, net) = served("");
    // One that takes nothing, while others are served.
    let idle = connect(&net, 19);
    let mut streams: Vec<_> = (0..300).map(|_| connect(&net, 7)).collect();
    for (i, stream) in streams.iter_mut().enumerate() {
        stream.write_all(format!("{i:05}").as_bytes()).unwrap();
    }
    for (i, stream) in streams.iter_mut().enumerate() {
        let mut back = [0; 5];
        stream.read_exact(&mut back).unwrap();
        assert_eq!(back, format!("{i:05}").as_bytes());
    }
    let page = ask(&net, 80, b"GET / HTTP/1.0\r\n\r\n");
    assert!(page.contains("<small>301</small>") && page.contains("and 101 more"), "{page}");
    drop(idle);
}

#[test]
fn a_signal_closes_connections_with_fin() {
    let (mut program, net) = served("");
    let mut idle = accepted(&net);
    let mut busy = connect(&net, 19);
    busy.read_exact(&mut [0; 1_000]).unwrap();
    let signalled = Instant::now();
    program.signal("TERM");
    assert_eq!(idle.read(&mut [0; 10]).unwrap(), 0, "the end of the stream, no reset");
    let mut rest = Vec::new();
    busy.read_to_end(&mut rest).unwrap();
    drop((idle, busy));
    assert_eq!(program.wait().code(), Some(0));
    assert!(signalled.elapsed() < Duration::from_secs(3));
}

#[test]
fn peers_that_never_close_do_not_hold_it_up_and_a_second_signal_ends_it_at_once() {
    let (mut program, net) = served("");
    let _stubborn = accepted(&net);
    let signalled = Instant::now();
    program.signal("INT");
    assert_eq!(program.wait().code(), Some(0));
    assert!(signalled.elapsed() < Duration::from_millis(3_700), "{:?}", signalled.elapsed());

    let (mut program, net) = served("");
    let mut stubborn = accepted(&net);
    program.signal("INT");
    assert_eq!(stubborn.read(&mut [0; 10]).unwrap(), 0);
    let signalled = Instant::now();
    program.signal("TERM");
    assert_eq!(program.wait().code(), Some(143));
    assert!(signalled.elapsed() < Duration::from_millis(300), "{:?}", signalled.elapsed());
}

#[test]
fn sigusr1_prints_the_connections() {
    let (mut program, net) = served("");
    let stream = accepted(&net);
    program.signal("USR1");
    let text = program.wait_for_message("Drops:");
    assert!(text.contains("ESTABLISHED") && text.contains(&stream.local_addr().unwrap().to_string()), "{text}");
    assert!(text.contains("curl http://10.0.0.2/"), "the banner comes first: {text}");
}

#[test]
fn a_capture_holds_every_packet() {
    let path = std::env::temp_dir().join(format!("glasstcp-cli-{}.pcapng", std::process::id()));
    let raw = path.with_extension("raw");
    let (mut program, net) = served(&format!("--pcap {} --pcap-raw {}", path.display(), raw.display()));
    ask(&net, 80, b"GET / HTTP/1.0\r\n\r\n");
    program.signal("TERM");
    assert_eq!(program.wait().code(), Some(0));
    let records = pcapng::read(&fs::read(&path).unwrap()).unwrap();
    // Without offloads both are the same.
    let raws = pcapng::read(&fs::read(&raw).unwrap()).unwrap();
    let packets = |records: &[pcapng::Record]| records.iter().map(|record| record.packet.clone()).collect::<Vec<_>>();
    assert_eq!(packets(&records), packets(&raws));
    fs::remove_file(&path).and_then(|()| fs::remove_file(&raw)).unwrap();
    let packets = |direction| records.iter().filter(|record| record.direction == Some(direction)).count();
    assert!(packets(pcapng::Direction::In) >= 4 && packets(pcapng::Direction::Out) >= 4, "{}", records.len());
}

#[test]
fn a_capture_can_go_to_standard_output() {
    let (program, net) = served("--pcap - --log state");
    ask(&net, 80, b"GET / HTTP/1.0\r\n\r\n");
    program.signal("TERM");
    let (status, out, err) = program.output();
    assert_eq!(status.code(), Some(0));
    assert!(pcapng::read(&out).unwrap().len() >= 8);
    assert!(err.contains("glasstcp::state") && err.contains("SYN-RECEIVED") && err.contains("curl"), "{err}");
    assert!(!err.contains('\u{1b}'), "no colours where no terminal is: {err}");
}

#[test]
fn a_device_that_is_gone_is_an_error() {
    let (program, end) = serve("");
    // A SYN, whose answer is repeated: a datagram socket shows that its other end is gone only when something is written,
    // and the first answer may still find it there.
    let mut syn = Vec::new();
    let builder = etherparse::PacketBuilder::ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64).tcp(4_000, 7, 1, 1_000).syn();
    builder.write(&mut syn, b"").unwrap();
    end.send(&syn).unwrap();
    drop(end);
    let (status, _, err) = program.output();
    assert_eq!(status.code(), Some(1));
    assert!(err.contains("glasstcp: the device fd ") && err.contains("is gone"), "{err}");
}

#[test]
fn services_can_be_switched_off() {
    let (_program, net) = served("--http 0 --udp-echo 0");
    let refused = net.connect((SERVER, 80)).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    connect(&net, 7);
}
