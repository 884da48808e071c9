//! `glasstcp sim` and `glasstcp relay`: what they print, draw and write, and that chance is a matter of the seed alone.

use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use crate::common::{PATIENCE, Program, words};
use glasstcp::device::pcapng::{self, Direction};
use glasstcp::sim::script::packet;
use glasstcp::wire::tcp::{Flags, TcpHeader};

fn sim(arguments: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_glasstcp"));
    command.current_dir(env!("CARGO_MANIFEST_DIR")).arg("sim").args(words(arguments)).output().unwrap()
}

fn text(arguments: &str) -> String {
    let output = sim(arguments);
    assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// What it says on wrong usage.
fn refused(arguments: &str) -> String {
    let output = sim(arguments);
    assert!(!output.status.success() && output.stdout.is_empty(), "{arguments}");
    String::from_utf8(output.stderr).unwrap()
}

/// A directory of one test that is gone afterwards.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Place {
        let path = std::env::temp_dir().join(format!("glt-sim-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Place(path)
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

/// The number behind a name in JSON, the first of that name.
fn number(json: &str, name: &str) -> f64 {
    let at = json.find(&format!("\"{name}\": ")).unwrap_or_else(|| panic!("no {name} in {json}"));
    let rest = &json[at + name.len() + 4..];
    rest[..rest.find([',', '}']).unwrap()].parse().unwrap()
}

#[test]
fn one_flow_fills_a_good_path() {
    let json = text("--rate 10mbit --rtt 10ms --bytes 4mb --json");
    assert_eq!(number(&json, "octets"), 4_000_000.0);
    assert!(number(&json, "goodput") > 5e6 && number(&json, "goodput") < 10e6, "{json}");
    assert!(number(&json, "utilisation") > 0.5, "{json}");
    let plain = text("--rate 10mbit --rtt 10ms --bytes 4mb");
    for part in ["4.00 MB", "10.00 Mb/s used to", "queueing delay", "did not fit into the queue"] {
        assert!(plain.contains(part), "no {part} in {plain}");
    }
}

#[test]
fn what_befalls_packets_is_counted() {
    let json = text(
        "--rate 20mbit --duration 4s --loss 1% --reorder 2% --duplicate 1% --corrupt 0.5% --outage 1s+100ms --flows 2 --json",
    );
    for name in ["lost", "reordered", "duplicated", "corrupted", "outage", "retransmissions_needed"] {
        assert!(number(&json, name) > 0.0, "{name}: {json}");
    }
    let managed = text("--rate 10mbit --queue 8bdp --discipline codel --duration 4s --json");
    assert!(number(&managed, "dropped_by_discipline") > 0.0, "{managed}");
    let waits = |json: &str| number(json, "wait_mean_ns");
    let tail = text("--rate 10mbit --queue 8bdp --duration 4s --json");
    assert!(waits(&managed) < waits(&tail), "CoDel keeps the queue short");
}

/// 1191-3-1, 4821-7.7: a router that tells costs no time, and one that does not three timeouts.
#[test]
fn a_path_may_take_less_than_its_ends() {
    for (path, timeouts) in [("1400", 0.0), ("1400,silent", 3.0)] {
        for congestion in ["cubic", "reno", "bbr"] {
            let scenario = format!("--path-mtu {path} --bytes 2mb --congestion {congestion} --json");
            let json = text(&scenario);
            assert_eq!(
                (number(&json, "octets"), number(&json, "timeouts")),
                (2_000_000.0, timeouts),
                "{scenario}: {json}"
            );
            assert!(number(&json, "too_large") > 0.0, "{scenario}: {json}");
        }
    }
    assert!(refused("--path-mtu 60").contains("1400,silent"));
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let place = Place::new("same");
    let run = |name: &str, seed: u32| {
        let (plot, pcap) = (place.at(&format!("{name}.svg")), place.at(name));
        let scenario = "--rate 10mbit --loss 1% --reorder 1% --burst 0.1%x4 --flows 2 --rtt 10ms,30ms --duration 2s";
        let json = text(&format!("{scenario} --seed {seed} --json --plot {plot} --pcap {pcap}"));
        let mut captures: Vec<_> = fs::read_dir(&pcap).unwrap().map(|entry| entry.unwrap().path()).collect();
        captures.sort();
        let captures: Vec<_> = captures.iter().map(|path| fs::read(path).unwrap()).collect();
        assert_eq!(captures.len(), 6, "four hosts and two routers");
        (json, fs::read(plot).unwrap(), captures)
    };
    let first = run("a", 1);
    assert!(first == run("b", 1));
    let other = run("c", 2);
    assert!(first.0 != other.0 && first.1 != other.1 && first.2 != other.2);
}

#[test]
fn a_plot_shows_all_three_panels() {
    let place = Place::new("plot");
    let file = place.at("out.svg");
    text(&format!("--rate 10mbit --loss 1% --flows 2 --duration 2s --plot {file}"));
    let svg = fs::read_to_string(file).unwrap();
    assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
    for part in [
        "Segments sent, acknowledged, and sent again",
        "Windows of the senders",
        "Queue of the bottleneck, 10.00 Mb/s",
        "sent again",
        "SACK",
        "time, s",
        "kB",
        "flow 1, ",
        "ssthresh (dashed)",
        "a packet is lost or dropped",
    ] {
        assert!(svg.contains(part), "no {part}");
    }
    // Marks are put together: a long run is no longer a picture than a short one.
    assert!(svg.len() < 3_000_000, "{}", svg.len());
}

#[test]
fn captures_show_what_a_node_saw() {
    let place = Place::new("pcap");
    text(&format!("--rate 10mbit --bytes 100kb --pcap {}", place.at("")));
    let read = |name: &str| pcapng::read(&fs::read(place.0.join(format!("{name}.pcapng"))).unwrap()).unwrap();
    let (sender, receiver, router) = (read("sender0"), read("receiver0"), read("left"));
    let sent = sender.iter().filter(|record| record.direction == Some(Direction::Out)).count();
    let came = receiver.iter().filter(|record| record.direction == Some(Direction::In)).count();
    // Nothing is lost here; it ends when the receiver has everything, with some packets still on their way.
    assert!(came > 60 && sent >= came && sent < came + 20, "{sent} and {came}");
    assert!(router.len() + 20 > sender.len(), "{} and {}", router.len(), sender.len());
    let at = |records: &[pcapng::Record], number: usize| records[number].time_ns;
    // A quarter of the round trip on the bottleneck's link, an eighth on each of the others.
    assert_eq!(at(&sender, 0), 1_000_000_000_000_000_000);
    assert!(at(&receiver, 0) - at(&sender, 0) >= 10_000_000);
}

#[test]
fn scenarios_are_read_and_options_win_over_them() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/scenarios");
    let mut count = 0;
    for entry in fs::read_dir(examples).unwrap() {
        let path = entry.unwrap().path();
        let json = text(&format!("{} --duration 3s --json", path.display()));
        assert!(number(&json, "goodput") > 0.0, "{}: {json}", path.display());
        count += 1;
    }
    assert!(count >= 3);
    let place = Place::new("scenario");
    let file = place.at("a.toml");
    fs::write(&file, "rate = \"10mbit\"\nduration = \"2s\"\nloss = \"50%\"\n").unwrap();
    assert_eq!(text(&format!("{file} --loss 0 --json")), text("--rate 10mbit --duration 2s --json"));
}

#[test]
fn mistakes_are_explained() {
    assert!(refused("--rate fast").contains("such as 500kbit"));
    assert!(refused("--congestion vegas").contains("reno"));
    assert!(refused("--flows 0").contains("1 to 1000"));
    assert!(refused("--mtu 100").contains("576"));
    assert!(refused("--duration 0").contains("nothing to do"));
    assert!(refused("no-such-file.toml").contains("no-such-file.toml"));
    let place = Place::new("mistakes");
    let file = place.at("a.toml");
    for (content, wanted) in [
        ("rat = \"1mbit\"", "unknown field"),
        ("rate = \"much\"", "is not a rate"),
        ("loss = 1", "expected a string"),
        ("[[flow]]\nfrom = \"a\"", "need links"),
        ("[[link]]\nends = [\"a\", \"b\"]\n[[flow]]\nfrom = \"a\"\nto = \"c\"", "no link leads to c"),
        ("[[link]]\nends = [\"a\", \"a\"]", "to itself"),
        ("[[link]]\nends = [\"a\", \"../b\"]", "not a name of a node"),
        ("rate = \"1mbit\"\n[[link]]\nends = [\"a\", \"b\"]", "belongs to a dumbbell"),
        ("[[link]]\nends = [\"a\", \"b\"]\nqueue = \"1bdp\"", "no round trip of its own"),
        (
            "bottleneck = [\"b\", \"c\"]\n[[link]]\nends = [\"a\", \"b\"]\n[[flow]]\nfrom=\"a\"\nto=\"b\"",
            "no link from b to c",
        ),
        (
            "[[link]]\nends = [\"a\", \"b\"]\n[[link]]\nends = [\"c\", \"d\"]\n[[flow]]\nfrom = \"a\"\nto = \"c\"",
            "no way from a to c",
        ),
        ("[[link]]\nends = [\"a\", \"b\"]", "0 flows"),
    ] {
        fs::write(&file, content).unwrap();
        let said = refused(&file);
        assert!(said.contains(wanted), "{content}: {said}");
    }
}

/// A relay between two ends of socket pairs; ours are the other ones.
fn relay(arguments: &str) -> (Program, [UnixDatagram; 2]) {
    let pairs = [(); 2].map(|()| UnixDatagram::pair().unwrap());
    let line = format!("relay --left-fd {} --right-fd {} {arguments}", pairs[0].0.as_raw_fd(), pairs[1].0.as_raw_fd());
    let [(left, a), (right, b)] = pairs;
    let mut program = Program::start(&words(&line), vec![left.into(), right.into()]);
    program.wait_for_message("relaying between");
    for end in [&a, &b] {
        end.set_read_timeout(Some(PATIENCE)).unwrap();
    }
    (program, [a, b])
}

/// A segment of a connection from port 1000 to port 2000.
fn segment(seq: u32, len: usize) -> Vec<u8> {
    let header =
        TcpHeader { source_port: 1_000, destination_port: 2_000, seq, flags: Flags::ACK, ..TcpHeader::default() };
    packet("10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap(), &header, &vec![7; len])
}

#[test]
fn a_relay_passes_packets_both_ways_and_counts_what_is_sent_again() {
    let (relay, [left, right]) = relay("--delay 1ms --json");
    let mut buffer = [0; 2_000];
    let mut pass = |from: &UnixDatagram, to: &UnixDatagram, packet: &[u8]| {
        from.send(packet).unwrap();
        let len = to.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..len], packet);
    };
    for (seq, len) in [(1_000, 100), (1_100, 50), (1_000, 100), (1_150, 10)] {
        pass(&left, &right, &segment(seq, len));
    }
    pass(&right, &left, b"\x45 something else");
    left.send(&[0x45; 1_501]).unwrap();
    pass(&left, &right, &segment(1_160, 1));
    relay.signal("INT");
    let (status, out, err) = relay.output();
    assert!(status.success(), "{err}");
    let json = String::from_utf8(out).unwrap();
    assert!(json.contains("\"segments\": 5, \"octets\": 261, \"retransmissions\": 1, \"spurious\": 1"), "{json}");
    assert!(json.contains("\"left\": {\"sent\": 1,") && json.contains("\"too_big\": 1"), "{json}");
}

#[test]
fn a_relay_loses_what_it_is_told_to_lose() {
    let (relay, [left, right]) = relay("--loss 100%");
    right.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    for number in 0..3 {
        left.send(&segment(number, 1)).unwrap();
    }
    assert!(right.recv(&mut [0; 100]).is_err());
    // What is lost on the way there is not lost on the way back.
    right.send(b"\x45 back").unwrap();
    assert_eq!(left.recv(&mut [0; 100]).unwrap(), 6);
    relay.signal("TERM");
    let (status, out, _) = relay.output();
    let said = String::from_utf8(out).unwrap();
    assert!(status.success() && said.contains("to the right  3 packets, 3 lost"), "{said}");
    assert!(said.contains("10.0.0.1:1000 > 10.0.0.2:2000  3 segments, 3 octets, 0 sent again"), "{said}");
}

#[test]
fn a_relay_needs_two_sides() {
    for arguments in ["relay", "relay --left a", "relay --right-fd 3", "relay --left a --left-fd 3 --right b"] {
        let output = Command::new(env!("CARGO_BIN_EXE_glasstcp")).args(words(arguments)).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments}");
    }
}
