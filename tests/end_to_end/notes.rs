//! The comments of a capture, read by tshark: by filter, and through the profile of docs/wireshark.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::namespace::{Namespace, namespace, tshark};

const PROFILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/wireshark/glasstcp");

/// Octets that cross the lossy path.
const OCTETS: usize = 3_000_000;

/// One comment a packet, in both directions, with and without super-segments; and each filter finds what it is for.
#[test]
fn tshark_filters_what_the_comments_say() {
    for device in ["plain", "offload"] {
        let Some(namespace) = namespace("notes", &["tshark", "nc", "ping", "nft"]) else { return };
        let capture = lossy_traffic(&namespace, device);
        let all = comments(&capture, "");
        let silent: Vec<_> = all.iter().filter(|(_, comment)| comment.is_empty()).collect();
        assert!(all.len() > 2_000 && silent.is_empty(), "{} packets, silent: {silent:?}", all.len());
        for (direction, comment) in &all {
            let first = if direction == "1" { "received verdict=" } else { "sent reason=" };
            assert!(comment.starts_with(first) && comment.contains(" rule="), "{direction} {comment}");
        }
        // What was sent again, by our word and by Wireshark's own analysis of the sequence numbers.
        let ours = "ip.src == 10.0.0.2";
        let again = "(RACK|RTO|TLP|fast-retransmit|path-MTU|window-reopened|SYN-ACK-RTO|SYN-ACK-again)";
        let unknown = format!("{ours} && tcp.analysis.retransmission && !(frame.comment matches \"reason={again} \")");
        assert_eq!(comments(&capture, &unknown), []);
        let rack = comments(&capture, &format!("{ours} && frame.comment contains \"reason=RACK\""));
        assert!(!rack.is_empty(), "the loss was found by RACK");
        for word in [
            "state=LISTEN->SYN-RECEIVED",
            "reason=SYN-ACK ",
            "state=SYN-RECEIVED->ESTABLISHED did=established",
            "reason=new-data",
            "did=delivered:",
            "recovery-begins",
            "->CLOSE-WAIT",
            "state=LAST-ACK->CLOSED",
            "drop=no-connection-and-no-listener",
            "reason=RST-nobody",
            "did=echo-answered",
            "reason=echo-reply",
            "did=datagram",
            "reason=datagram",
            "drop=no-UDP-socket",
            "reason=ICMP-error",
        ] {
            assert!(!comments(&capture, &format!("frame.comment contains \"{word}\"")).is_empty(), "{device}: {word}");
        }
        // What the notes deliver is what was sent.
        let text = comments(&capture, "tcp.dstport == 9 && frame.comment contains \"delivered:\"");
        let octets: usize = text.iter().map(|(_, comment)| octets_after(comment, "delivered:")).sum();
        // The pieces of a received super-segment share its comment.
        assert!(if device == "plain" { octets == OCTETS } else { octets >= OCTETS }, "{device}: {octets}");
    }
}

/// Every filter of the profile is one for Wireshark, and its column shows the comment.
#[test]
fn the_profile_shows_the_comments() {
    let Some(namespace) = namespace("profile", &["tshark", "nc", "ping", "nft"]) else { return };
    let capture = lossy_traffic(&namespace, "plain");
    let home = namespace.file("config");
    let profile = home.join("wireshark/profiles/glasstcp");
    fs::create_dir_all(&profile).unwrap();
    for file in ["preferences", "colorfilters", "dfilter_buttons"] {
        fs::copy(Path::new(PROFILE).join(file), profile.join(file)).unwrap();
    }
    let output = Command::new("tshark")
        .env("XDG_CONFIG_HOME", &home)
        .args(["-C", "glasstcp", "-r"])
        .arg(&capture)
        .args(["-Y", "frame.comment contains \"reason=RACK\""])
        .output()
        .unwrap();
    let lines = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && !lines.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(lines.lines().all(|line| line.contains(" sent reason=RACK rule=8985-6.2-5 state=")), "{lines}");
    let mut found = BTreeMap::new();
    for (name, filter) in filters() {
        found.insert(name, tshark(&capture, &filter).len());
    }
    for name in ["dropped", "again", "RACK", "ACKs", "states", "resets", "glasstcp: text"] {
        assert!(found[name] > 0, "{name}: {found:?}");
    }
    assert!(found["states"] < found["ACKs"], "only those that change the state: {found:?}");
}

/// The filters of the profile, by the name of the button or of the colour.
fn filters() -> Vec<(String, String)> {
    let read = |file: &str| fs::read_to_string(Path::new(PROFILE).join(file)).unwrap();
    let mut filters = Vec::new();
    for line in read("colorfilters").lines().filter(|line| line.starts_with('@')) {
        let mut parts = line.split('@').skip(1);
        filters.push((parts.next().unwrap().to_owned(), parts.next().unwrap().to_owned()));
    }
    for line in read("dfilter_buttons").lines() {
        let fields: Vec<_> = line.trim_matches('"').split("\",\"").collect();
        filters.push((fields[1].to_owned(), fields[2].replace("\\x22", "\"").replace("\\x5c", "\\")));
    }
    assert!(filters.len() > 15);
    filters
}

/// Traffic of many kinds. One packet in so many is lost, not by chance: a handful of super-segments might all be spared.
fn lossy_traffic(namespace: &Namespace, device: &str) -> PathBuf {
    let (count, lost) = if device == "plain" { (50, 20) } else { (9, 6) };
    let server = namespace.serve(&format!("--device {device}"));
    for command in [
        "ping -c 2 -i 0.01 10.0.0.2",
        "echo datagram | nc -u -w 1 10.0.0.2 7",
        "echo nobody | nc -u -w 1 10.0.0.2 4242; true",
        "nc -z -w 5 10.0.0.2 4242; true",
        "nft add table inet lossy",
        "nft 'add chain inet lossy in { type filter hook input priority 0; }'",
        "nft 'add chain inet lossy out { type filter hook output priority 0; }'",
        &format!("nft 'add rule inet lossy in iifname glass0 tcp sport 19 numgen inc mod {count} == {lost} drop'"),
        &format!("nft 'add rule inet lossy out oifname glass0 tcp dport 9 numgen inc mod {count} == {lost} drop'"),
        &format!("head -c {OCTETS} /dev/zero | nc -N -w 60 10.0.0.2 9"),
        "nc -w 5 10.0.0.2 19 < /dev/null | head -c 3000000 | wc -c",
    ] {
        namespace.check(command);
    }
    server.stop()
}

fn octets_after(comment: &str, key: &str) -> usize {
    let rest = comment.split(key).nth(1).unwrap();
    rest.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap()
}

/// Direction (1: in) and comment of each packet that fits.
fn comments(capture: &Path, filter: &str) -> Vec<(String, String)> {
    let output = Command::new("tshark")
        .arg("-r")
        .arg(capture)
        .args(["-Y", filter, "-T", "fields", "-e", "frame.packet_flags_direction", "-e", "frame.comment"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{filter}: {}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).unwrap();
    let parse = |line: &str| {
        let (direction, comment) = line.split_once('\t').unwrap_or((line, ""));
        let number = u32::from_str_radix(direction.trim_start_matches("0x"), 16).unwrap_or(0);
        (number.to_string(), comment.to_owned())
    };
    lines.lines().map(parse).collect()
}
