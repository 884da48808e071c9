//! `glasstcp trace`: what it prints and draws, and its exit codes.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use crate::captures;
use crate::captures::Talk;
use glasstcp::wire::tcp::Flags;

const ACK: Flags = Flags::ACK;

/// A directory of one test that is gone afterwards.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Place {
        let path = std::env::temp_dir().join(format!("glt-trace-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Place(path)
    }

    fn file(&self, name: &str, bytes: &[u8]) -> String {
        fs::write(self.0.join(name), bytes).unwrap();
        self.at(name)
    }

    fn at(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn glasstcp(columns: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_glasstcp"));
    command.current_dir(env!("CARGO_MANIFEST_DIR")).env("COLUMNS", columns).stdin(Stdio::null());
    command.args(arguments).output().unwrap()
}

/// What it prints, and its exit code.
fn trace(arguments: &[&str]) -> (String, i32) {
    let output = glasstcp("140", &[&["trace"], arguments].concat());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.is_empty(), "{arguments:?}: {said}");
    (String::from_utf8(output.stdout).unwrap(), output.status.code().unwrap())
}

/// What it complains about, with exit code 2.
fn trouble(arguments: &[&str]) -> String {
    let output = glasstcp("140", &[&["trace"], arguments].concat());
    assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{arguments:?}");
    String::from_utf8(output.stderr).unwrap()
}

fn talk(window: u16) -> Talk {
    let mut talk = Talk::new();
    talk.handshake().says(0, ACK | Flags::PSH, (1, 1), 100).after(1);
    talk.with(1, ACK, (1, 101), 0, |header| header.window = window);
    talk
}

#[test]
fn diff_has_three_answers() {
    let place = Place::new("diff");
    let (a, b) = (place.file("a.pcapng", &talk(60_000).capture), place.file("b.pcapng", &talk(61_000).capture));
    let (same, code) = trace(&["diff", &a, &a]);
    assert!(code == 0 && same.contains("Nothing differs") && same.contains("5 segments are alike"), "{same}");
    let (text, code) = trace(&["diff", &a, &b]);
    assert_eq!(code, 1);
    for part in [
        "A #1 10.0.0.1:40000 > 10.0.0.2:80",
        "... 4 segments are alike",
        "0.021000 < ack 101 win 60000",
        "| 0.021000 < ack 101 win 61000",
        "| window\n",
        "      1  window           the same segment offers another window",
    ] {
        assert!(text.contains(part), "no {part:?} in {text}");
    }
    assert!(text.lines().all(|line| line.chars().count() <= 140), "{text}");
    let (all, _) = trace(&["diff", &a, &b, "--all"]);
    assert!(all.contains("> SYN 0 win 60000 <mss 1460, nop, nop, sackOK>"), "{all}");
    assert_eq!(trace(&["diff", &a, &b, "--ignore", "window,push"]).1, 0);
    let (json, code) = trace(&["diff", &a, &b, "--json"]);
    assert_eq!(code, 1);
    for part in [
        "{\"same\": false, \"connections\": [",
        "\"kinds\": {\"window\": 1}",
        "\"kinds\": [\"window\"]",
        "\"from\": \"server\", \"flags\": \"ACK\", \"seq\": 1, \"ack\": 101, \"len\": 0, \"window\": 61000",
    ] {
        assert!(json.contains(part), "no {part:?} in {json}");
    }
    // A narrow terminal has one below the other.
    let narrow = glasstcp("60", &["trace", "diff", &a, &b]).stdout;
    let narrow = String::from_utf8(narrow).unwrap();
    assert!(narrow.contains("\nA 0.021000 < ack 101") && narrow.contains("\nB 0.021000 < ack 101"), "{narrow}");
    assert!(narrow.lines().take(8).all(|line| line.chars().count() <= 60), "{narrow}");
}

#[test]
fn trouble_is_another_code_than_a_difference() {
    let place = Place::new("trouble");
    let a = place.file("a.pcapng", &talk(60_000).capture);
    let empty = place.file("empty", b"");
    let noise = place.file("noise", &[7; 100]);
    assert!(trouble(&["diff", &a, &empty]).contains("the file is empty"));
    assert!(trouble(&["diff", &noise, &a]).contains("not a capture"));
    assert!(trouble(&["explain", &place.at("missing")]).contains("missing: No such file"));
    assert!(trouble(&["diff", &a, &a, "--connection", "2"]).contains("there is no connection 2; it has 1, from 1"));
    assert!(trouble(&["explain", &a, "--side", "10.9.9.9"]).contains("no connection has such an end"));
    assert!(trouble(&["plot", &a, "-o", &place.at("no/such/place.svg")]).contains("place.svg"));
    let nothing = place.file("nothing.pcapng", &captures::PLAIN.header(101));
    assert!(trouble(&["explain", &nothing]).contains("no segment of TCP in its 0 frames"));
    // Wrong usage has the same code, and says what would be right.
    assert!(trouble(&["diff", &a, &a, "--ignore", "colour"]).contains("segmentation"));
    assert!(trouble(&["explain", &a, "--side", "me"]).contains("neither client nor server"));
    assert!(trouble(&["diff", &a, &a, "--connection", "0"]).contains("they count from 1"));
}

#[test]
fn what_is_cut_short_is_said() {
    let place = Place::new("short");
    let whole = talk(60_000).capture;
    let file = place.file("short.pcapng", &whole[..whole.len() - 10]);
    let output = glasstcp("140", &["trace", "explain", &file]);
    assert_eq!(output.status.code(), Some(0));
    assert!(String::from_utf8(output.stderr).unwrap().contains("cut short in the middle of a frame"));
    assert!(String::from_utf8(output.stdout).unwrap().contains("4 segments in 1 connections"));
}

#[test]
fn explain_names_rules_and_faults() {
    let place = Place::new("explain");
    let good = place.file("good.pcapng", &talk(60_000).capture);
    let (text, code) = trace(&["explain", &good]);
    assert_eq!(code, 0);
    for part in [
        "#1 10.0.0.1:40000 > 10.0.0.2:80, as the client 10.0.0.1:40000 sees it",
        "CLOSED -> SYN-SENT: sent (9293-3.10.1-2) SYN",
        "SYN-SENT -> ESTABLISHED: accepted acked=1 opened owes-ACK",
        "ESTABLISHED: accepted (9293-3.10.7.4-2) acked=100",
        "no departure from the rules",
    ] {
        assert!(text.contains(part), "no {part:?} in {text}");
    }
    assert!(text.lines().all(|line| line.chars().count() <= 140), "{text}");
    assert!(trace(&["explain", &good, "--side", "server"]).0.contains("taken at the other end"));
    let mut bad = talk(60_000);
    bad.says(0, ACK, (101, 500), 0);
    let bad = place.file("bad.pcapng", &bad.capture);
    let (text, code) = trace(&["explain", &bad, "--quiet", "--side", "10.0.0.1"]);
    assert_eq!(code, 1);
    assert!(text.contains("!! acks-unsent (9293-3.10.7.4-37): It acknowledges what has not arrived."), "{text}");
    assert!(!text.contains("SYN-SENT"), "only what is wrong: {text}");
    let (json, code) = trace(&["explain", &bad, "--json", "--connection", "1"]);
    assert_eq!(code, 1);
    for part in [
        "{\"faults\": 1, ",
        "\"before\": \"CLOSED\", \"after\": \"SYN-SENT\", \"verdict\": \"sent\"",
        "\"fault\": \"acks-unsent\", \"rule\": \"9293-3.10.7.4-37\"",
    ] {
        assert!(json.contains(part), "no {part:?} in {json}");
    }
}

#[test]
fn a_capture_of_the_simulator_is_explained_and_drawn() {
    let place = Place::new("sim");
    let directory = place.at("pcap");
    let arguments = ["sim", "--bytes", "500kb", "--loss", "2%", "--rate", "10mbit", "--quiet", "--pcap", &directory];
    assert!(glasstcp("140", &arguments).status.success());
    for node in ["sender0", "receiver0"] {
        let capture = format!("{directory}/{node}.pcapng");
        let (text, code) = trace(&["explain", &capture, "--quiet"]);
        assert_eq!(code, 0, "{node} departs from the rules: {text}");
    }
    let (sender, receiver) = (format!("{directory}/sender0.pcapng"), format!("{directory}/receiver0.pcapng"));
    let (text, code) = trace(&["diff", &sender, &receiver]);
    assert!(
        code == 1 && text.contains("only: ") || text.contains("in one trace only"),
        "what is lost is seen once: {text}"
    );
    let svg = place.at("out.svg");
    assert_eq!(trace(&["plot", &sender, "-o", &svg]), (String::new(), 0));
    let svg = fs::read_to_string(svg).unwrap();
    assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
    for part in ["sender0.pcapng, connection 1", "What the client sends", "sent again", "reported by SACK", "in flight"]
    {
        assert!(svg.contains(part), "no {part}");
    }
}
