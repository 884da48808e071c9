//! `glasstcp bench`: what it moves arrives, what is wrong is noticed, and it sums up. No test looks at how fast anything is.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Output};
use std::thread::{self, JoinHandle};

use crate::common::{Program, serve, words};
use glasstcp::cli::chargen::byte_at;

fn run(arguments: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_glasstcp")).args(words(arguments)).output().unwrap()
}

/// Runs a client that must succeed; its JSON.
#[track_caller]
fn client(arguments: &str) -> String {
    let output = run(&format!("bench client --kernel --quiet --json {arguments}"));
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{arguments}: {error}");
    String::from_utf8(output.stdout).unwrap()
}

/// A number of the JSON.
#[track_caller]
fn number(json: &str, field: &str) -> u64 {
    let start =
        json.find(&format!("\"{field}\": ")).unwrap_or_else(|| panic!("no {field} in {json}")) + field.len() + 4;
    json[start..].split(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap()
}

/// What to add to the standard ports so that they are free.
fn free_base() -> u16 {
    (20_000..60_000)
        .step_by(100)
        .skip(std::process::id() as usize % 300)
        .find(|base| [7, 9, 19].iter().all(|port| TcpListener::bind(("127.0.0.1", base + port)).is_ok()))
        .expect("free ports")
}

/// The server over the kernel's sockets, and how a client names it.
fn kernel_server() -> (Program, String) {
    // Between the look for free ports and the start of the server somebody may take one of them.
    static ONE_AT_A_TIME: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _guard = ONE_AT_A_TIME.lock().unwrap();
    let target = format!("127.0.0.1:{}", free_base());
    let mut server =
        Program::start(&words(&format!("bench server --kernel --congestion default {target}")), Vec::new());
    server.wait_for_message("the kernel serves");
    (server, format!("--congestion default {target}"))
}

#[test]
fn bytes_are_moved_over_the_kernel_both_ways_and_verified() {
    let (mut server, target) = kernel_server();
    for (test, flows) in
        [("--in", 1), ("--in", 3), ("--out --verify", 1), ("--out --verify", 3), ("--echo --verify", 2)]
    {
        let json = client(&format!("{test} --bytes 3000001 --flows {flows} {target}"));
        assert_eq!(number(&json, "bytes"), 3_000_001 * flows, "{test}: {json}");
        assert_eq!(json.contains("\"verified\": true"), test.contains("verify"), "{json}");
        assert!(json.contains("\"client\": \"kernel\"") && json.contains("\"interrupted\": false"), "{json}");
    }
    let text = run(&format!("bench client --kernel --out --time 0.3 --warm-up 0 --verify {target}")).stdout;
    let text = String::from_utf8(text).unwrap();
    assert!(text.contains("b/s, content verified\n"), "{text}");
    server.signal("INT");
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn round_trips_and_connections_are_counted_over_the_kernel() {
    let (_server, target) = kernel_server();
    for test in ["--rr 1", "--rr 65536 --flows 2", "--crr", "--crr --reset --flows 2"] {
        let json = client(&format!("{test} --time 0.3 --warm-up 0.05 {target}"));
        assert!(number(&json, "count") > 0 && number(&json, "p50_ns") > 0, "{test}: {json}");
        assert!(number(&json, "p50_ns") <= number(&json, "p99_ns"), "{json}");
        assert!(number(&json, "p99_ns") <= number(&json, "max_ns"), "{json}");
        assert!(json.contains("\"verified\": true"), "{json}");
    }
}

#[test]
fn idle_connections_are_held_until_standard_input_ends() {
    let (_server, target) = kernel_server();
    let json = client(&format!("--idle 40 --time 0.1 --verify {target}"));
    assert_eq!(number(&json, "flows"), 40);
    let line = format!("bench client --kernel --idle 5 {target}");
    let mut holding = Program::start(&words(&line), Vec::new());
    holding.wait_for_message("5 connections are open");
    drop(holding.take_input());
    let (status, out, err) = holding.output();
    assert_eq!(status.code(), Some(0), "{err}");
    assert!(String::from_utf8(out).unwrap().starts_with("5 connections were held"));
}

#[test]
fn our_stack_is_a_client_too() {
    for test in [
        "--in --bytes 3000000",
        "--out --verify --bytes 3000000",
        "--echo --verify --bytes 3000000",
        "--rr 100",
        "--crr",
        "--idle 20 --verify",
    ] {
        let (_server, end) = serve("");
        let time = if test.contains("bytes") { "" } else { "--time 0.3 --warm-up 0" };
        let line = format!(
            "bench client --tun-fd {} --addr 10.0.0.1/24 --json --quiet {test} {time} 10.0.0.2",
            UnixDatagram::as_raw_fd(&end)
        );
        let (status, out, err) = Program::start(&words(&line), vec![end.into()]).output();
        let json = String::from_utf8(out).unwrap();
        assert_eq!(status.code(), Some(0), "{test}: {err}");
        assert!(json.contains("\"client\": \"glasstcp\""), "{json}");
        if test.contains("bytes") {
            assert_eq!(number(&json, "bytes"), 3_000_000, "{json}");
        }
    }
}

#[test]
fn a_signal_ends_it_with_the_summary_so_far() {
    let (_server, target) = kernel_server();
    for test in ["--in", "--out", "--rr 1"] {
        let line = format!("bench client --kernel --json {test} --time 1000 --warm-up 0 {target}");
        let mut program = Program::start(&words(&line), Vec::new());
        // The first line of progress.
        program.wait_for_message(" s  ");
        program.signal("INT");
        let (status, out, err) = program.output();
        let json = String::from_utf8(out).unwrap();
        assert_eq!(status.code(), Some(0), "{test}: {err}");
        assert!(json.contains("\"interrupted\": true") && number(&json, "bytes") > 0, "{json}");
    }
}

/// Serves one connection on a port of a base that is free.
fn serve_badly(port: u16, mut answer: impl FnMut(std::net::TcpStream) + Send + 'static) -> (String, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = listener.local_addr().unwrap().port() - port;
    let thread = thread::spawn(move || answer(listener.accept().unwrap().0));
    (format!("--congestion default 127.0.0.1:{base}"), thread)
}

#[test]
fn a_wrong_octet_is_noticed_and_named() {
    let (target, thread) = serve_badly(19, |mut stream| {
        let mut bytes: Vec<u8> = (0..10_000).map(byte_at).collect();
        bytes[7_777] ^= 1;
        // The client may have gone before everything is sent.
        let _ = stream.write_all(&bytes);
    });
    let output = run(&format!("bench client --kernel --out --verify --bytes 10000 {target}"));
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains("octet 7777 is 0x"), "{error}");
    thread.join().unwrap();

    for test in ["--rr 5 --time 5", "--crr --time 5"] {
        let (target, thread) = serve_badly(7, |mut stream| {
            let mut bytes = [0; 5];
            let count = stream.read(&mut bytes).unwrap();
            bytes[count - 1] ^= 1;
            let _ = stream.write_all(&bytes[..count]);
        });
        let output = run(&format!("bench client --kernel {test} {target}"));
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert!(error.contains("not what was sent"), "{error}");
        thread.join().unwrap();
    }
}

#[test]
fn a_server_that_ends_early_is_a_failure_with_its_reason() {
    let (target, thread) = serve_badly(19, |mut stream| stream.write_all(&[b' '; 100]).unwrap());
    let output = run(&format!("bench client --kernel --out --bytes 10000 {target}"));
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(1) && error.contains("the server has closed"), "{error}");
    thread.join().unwrap();
    let output = run(&format!("bench client --kernel --congestion default --in 127.0.0.1:{}", free_base()));
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(1) && error.contains("glasstcp serve"), "{error}");
    let output = run(&format!("bench client --kernel --congestion no-such --in 127.0.0.1:{}", free_base()));
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(1) && error.contains("congestion control no-such"), "{error}");
}

#[test]
fn wrong_usage_has_exit_code_2_and_says_why() {
    for (arguments, why) in [
        ("bench", "Usage"),
        ("bench client 10.0.0.2", "--idle <N>"),
        ("bench client --in --out 10.0.0.2", "cannot be used with"),
        ("bench client --in", "ADDR[:BASE]"),
        ("bench client --in localhost", "only literal addresses"),
        ("bench client --in 10.0.0.2:65530", "from 0 to 65516"),
        ("bench client --in --verify 10.0.0.2", "cannot be used with"),
        ("bench client --in --bytes 5 --time 5 10.0.0.2", "cannot be used with"),
        ("bench client --rr 0 10.0.0.2", "0 is not in"),
        ("bench client --rr 70000 10.0.0.2", "70000 is not in"),
        ("bench client --kernel --in --reset 10.0.0.2", "cannot be used with"),
        ("bench client --in --kernel --mtu 1400 10.0.0.2", "cannot be used with"),
        ("bench server 10.0.0.2", "--kernel"),
    ] {
        let output = run(arguments);
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments}: {text}");
        assert!(text.contains(why), "{arguments}: {text}");
    }
    let help = String::from_utf8(run("bench client --help").stdout).unwrap();
    for part in ["--warm-up", "BBR", "Ctrl-C", "--bytes 1000000000", "TIME-WAIT"] {
        assert!(help.contains(part), "{part} in {help}");
    }
}
