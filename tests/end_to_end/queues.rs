//! A TUN with several queues, where the kernel chooses the queue of each packet: by what it saw written, as long as it
//! remembers, and else by a hash.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use glasstcp::Config;
use glasstcp::counters::{Counters, DropReason};
use glasstcp::device::offload::OffloadDevice;
use glasstcp::net::Net;

use super::namespace::{namespace, tshark};

/// The kernel remembers as many flows of a TUN.
const REMEMBERED: usize = 4_096;

/// For longer than the kernel remembers a flow that is idle.
const FORGOTTEN: Duration = Duration::from_secs(5);

fn octet(flow: usize, n: usize) -> u8 {
    (n ^ (n >> 8) ^ (n >> 16).wrapping_mul(31) ^ flow.wrapping_mul(97)) as u8
}

fn count(json: &str, name: &str) -> u64 {
    let rest = json.split(&format!("\"{name}\": ")).nth(1).expect(name);
    rest.chars().take_while(char::is_ascii_digit).collect::<String>().parse().expect("a number")
}

fn json() -> String {
    let mut stream = TcpStream::connect("10.0.0.2:80").expect("connect");
    stream.write_all(b"GET /connections.json HTTP/1.0\r\n\r\n").expect("a request");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("an answer");
    text
}

#[test]
fn a_server_on_two_queues_serves_more_flows_than_the_kernel_remembers() {
    let Some(namespace) = namespace("flows on two queues", &["ping"]) else { return };
    let namespace = namespace.with_queues();
    let server = namespace.serve_without_capture("--queues 2");
    assert!(namespace.check("ping -c 10 -i 0.01 10.0.0.2").contains(" 0% packet loss"));
    assert!(namespace.check("ping -c 10 -i 0.01 fd00:67::2").contains(" 0% packet loss"));
    let this = std::env::current_exe().expect("this test");
    for child in ["child_opens_more_flows_than_the_kernel_remembers", "child_moves_eight_flows_at_once"] {
        let output = namespace.check(&format!(
            "ulimit -n 20000 && {} --exact queues::{child} --ignored --nocapture 2>&1",
            this.display()
        ));
        assert!(output.contains("all octets came back"), "{output}");
    }
    server.stop();
}

#[test]
#[ignore = "runs inside the namespace of another test"]
fn child_opens_more_flows_than_the_kernel_remembers() {
    let mut flows: Vec<TcpStream> = Vec::new();
    for flow in 0..REMEMBERED + 400 {
        let mut stream = TcpStream::connect("10.0.0.2:7").unwrap_or_else(|error| panic!("flow {flow}: {error}"));
        stream.write_all(&(flow as u32).to_be_bytes()).expect("a word");
        flows.push(stream);
    }
    let echoed = |flow: usize, mut stream: &TcpStream| {
        let mut word = [0; 4];
        stream.read_exact(&mut word).unwrap_or_else(|error| panic!("flow {flow}: {error}"));
        assert_eq!(u32::from_be_bytes(word) as usize, flow);
    };
    for _ in 0..2 {
        for (flow, stream) in flows.iter().enumerate() {
            echoed(flow, stream);
            (&mut &*stream).write_all(&(flow as u32).to_be_bytes()).expect("a word");
        }
    }
    // Idle, so that all are forgotten, and then used again.
    thread::sleep(FORGOTTEN);
    for (flow, stream) in flows.iter().enumerate() {
        echoed(flow, stream);
        (&mut &*stream).write_all(&(flow as u32).to_be_bytes()).expect("a word");
        echoed(flow, stream);
    }
    let json = json();
    assert_eq!((count(&json, "queues"), count(&json, "resets_out"), count(&json, "timeouts")), (2, 0, 0), "{json}");
    assert_eq!(count(&json, "passive_opens") as usize, flows.len() + 1);
    println!("all octets came back; handed over: {}", count(&json, "handed_over"));
}

#[test]
#[ignore = "runs inside the namespace of another test"]
fn child_moves_eight_flows_at_once() {
    const SIZE: usize = 16 << 20;
    thread::scope(|scope| {
        for flow in 0..8 {
            scope.spawn(move || {
                let stream = TcpStream::connect("10.0.0.2:7").expect("connect");
                let mut writer = stream.try_clone().expect("a second handle");
                let sends = thread::spawn(move || {
                    let sent: Vec<u8> = (0..SIZE).map(|n| octet(flow, n)).collect();
                    writer.write_all(&sent).expect("to send");
                    writer.shutdown(Shutdown::Write).expect("to close");
                });
                let mut received = Vec::with_capacity(SIZE);
                (&stream).read_to_end(&mut received).expect("the echo");
                sends.join().expect("the writer");
                assert_eq!(received.len(), SIZE);
                let differs = received.iter().enumerate().find(|&(n, &byte)| byte != octet(flow, n));
                assert_eq!(differs, None, "flow {flow}");
            });
        }
    });
    let json = json();
    println!("all octets came back; handed over: {}", count(&json, "handed_over"));
    // A FIN that a busy machine has had sent twice is acknowledged twice, and the second ACK finds nobody any more.
    let (_, counters) = json.split_once("\"counters\"").expect("counters");
    assert!(count(counters, "resets_out") <= count(counters, "retransmits"), "{json}");
}

#[test]
fn a_capture_has_all_queues() {
    let Some(namespace) = namespace("a capture of two queues", &["tshark", "nc"]) else { return };
    let namespace = namespace.with_queues();
    let server = namespace.serve("--queues 2");
    for _ in 0..12 {
        assert_eq!(namespace.check("echo hello | nc -N -w 30 10.0.0.2 7"), "hello\n");
    }
    let capture = server.stop();
    // With 12 connections, the hash has used both queues but for one time in 2,048; the capture does not care.
    assert_eq!(tshark(&capture, "tcp.flags.syn == 1 && tcp.flags.ack == 1").len(), 12);
    let problems = tshark(&capture, "tcp.analysis.ack_lost_segment || tcp.checksum.status == 0");
    assert_eq!(problems, [""; 0], "questions stand before their answers");
}

#[test]
fn connections_that_we_opened_are_found_when_the_kernel_has_forgotten_them() {
    let Some(namespace) = namespace("active opens on two queues", &[]) else { return };
    let namespace = namespace.with_queues();
    let output = namespace.run_child_test("queues::child_opens_actively_from_two_queues", &[]);
    assert!(output.contains("all octets came back"), "{output}");
}

#[test]
#[ignore = "runs inside the namespace of another test"]
fn child_opens_actively_from_two_queues() {
    let config = Config::new(&["10.0.0.2/24".parse().expect("an address")]);
    let nets = Net::start_queues(OffloadDevice::open_queues("glass0", 2).expect("two queues"), config).expect("a net");
    let listener = TcpListener::bind("10.0.0.1:5000").expect("a listener");
    let mut flows = Vec::new();
    for number in 0..40 {
        let stream = nets[number % 2].connect("10.0.0.1:5000").expect("connect");
        let (peer, from) = listener.accept().expect("accept");
        assert_eq!(from, stream.local_addr().expect("an address"));
        flows.push((stream, peer));
    }
    for net in &nets {
        let pinger = net.ping("10.0.0.1".parse().expect("an address")).expect("a pinger");
        for sequence in 0..10 {
            pinger.send(sequence, b"ping").expect("to send");
            let reply = pinger.receive(Some(Duration::from_secs(30))).expect("to wait").expect("a reply");
            assert_eq!(reply.sequence, sequence);
        }
    }
    thread::sleep(FORGOTTEN);
    for (flow, (stream, peer)) in flows.iter().enumerate() {
        let sent: Vec<u8> = (0..100_000).map(|n| octet(flow, n)).collect();
        // The kernel speaks first, on whatever queue.
        thread::scope(|scope| {
            scope.spawn(|| (&mut &*peer).write_all(&sent).expect("to send"));
            let mut received = vec![0; sent.len()];
            (&mut &*stream).read_exact(&mut received).expect("to receive");
            assert!(received == sent, "flow {flow}");
        });
    }
    let mut sum = Counters::default();
    nets.iter().for_each(|net| sum.add(&net.counters()));
    assert_eq!((sum.resets_out, sum.resets_in, sum.dropped(DropReason::SiblingBusy)), (0, 0, 0));
    println!("all octets came back; handed over: {}", sum.handed_over);
    assert!(sum.handed_over > 0, "the hash sends some of 40 flows to the other queue");
    drop(flows);
}
