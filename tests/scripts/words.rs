//! What scripts say, and what they refuse, without doing anything.

use std::fs;

use crate::place::*;

const SCRIPTS: [&str; 11] =
    ["run", "bench", "test", "tun-up", "tun-down", "capture", "doctor", "fuzz", "recovery", "soak", "model"];

#[test]
fn every_script_parses_and_explains_itself() {
    for name in SCRIPTS {
        for option in ["--help", "-h"] {
            let output = script(name).arg(option).output().unwrap();
            let help = text(&output);
            assert!(output.status.success(), "{name} {option}: {help}");
            assert!(help.starts_with(&format!("scripts/{name}.sh: ")) && help.contains("\nOptions"), "{name}: {help}");
            assert!(help.lines().all(|line| line.chars().count() <= 125 && !line.starts_with('#')), "{name}: {help}");
        }
        let output = script(name).arg("--name=much/too/odd").output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{name}: {}", text(&output));
    }
    let output = bash("for file in scripts/*.sh .ci/run; do bash -n \"$file\" || exit 1; done");
    assert!(output.status.success(), "{}", text(&output));
}

#[test]
fn every_fuzz_target_is_run() {
    let output = script("fuzz").arg("--list").output().unwrap();
    let mut listed: Vec<String> = text(&output).lines().map(String::from).collect();
    listed.sort();
    let files = fs::read_dir(root().join("fuzz/fuzz_targets")).unwrap().map(|entry| entry.unwrap().path());
    let mut targets: Vec<String> = files.map(|path| path.file_stem().unwrap().to_string_lossy().into_owned()).collect();
    targets.sort();
    assert_eq!(listed, targets);
    let manifest = fs::read_to_string(root().join("fuzz/Cargo.toml")).unwrap();
    assert!(targets.iter().all(|target| manifest.contains(&format!("name = \"{target}\""))), "{manifest}");
}

/// Each line of the table says for whom it is, and what packetdrill is told.
#[test]
fn the_settings_for_packetdrill_are_whole() {
    let table = fs::read_to_string(root().join("scripts/packetdrill/settings")).unwrap();
    let lines: Vec<&str> = table.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    assert!(lines.len() > 5, "{table}");
    for line in lines {
        let columns: Vec<&str> = line.split_whitespace().collect();
        assert!(columns.len() > 4, "{line}");
        assert!(["*", "linux", "rfc", "freebsd", "glasstcp"].contains(&columns[0]), "no such persona: {line}");
        assert!(columns[1] == "*" || columns[1].ends_with(".pkt"), "no name of scripts: {line}");
        assert!(columns[3] == "*" || columns[3].contains("ipv"), "no family: {line}");
        assert!(columns[4].starts_with('-'), "no option of packetdrill: {line}");
    }
}

#[test]
fn a_dry_run_prints_the_commands_and_touches_nothing() {
    let place = Place::new();
    let log = place.directory.join("calls");
    for name in ["ip", "sudo", "cargo", "apt-get"] {
        place.executable(name, &format!("#!/bin/sh\necho \"{name} $*\" >>{}\n", log.display()));
    }
    let path = format!("{}:{}", place.directory.display(), std::env::var("PATH").unwrap());
    let run = |arguments: &[&str]| {
        let output = script("run").env("PATH", &path).arg("--dry-run").args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", text(&output));
        String::from_utf8(output.stdout).unwrap().replace("sudo ip", "ip")
    };
    let plain = run(&["--http", "8080", "--log=debug"]);
    for line in [
        "cargo build --release --locked --features cli",
        "ip tuntap add dev glass0 mode tun user ",
        "ip addr add 10.0.0.1/24 dev glass0\n",
        "ip link set dev glass0 txqueuelen 10000 up\n",
        "/release/glasstcp serve --tun glass0 --addr 10.0.0.2/24",
        " --http 8080 --log=debug\n",
        "ip link del dev glass0\n",
    ] {
        assert!(plain.contains(line), "no `{line}` in:\n{plain}");
    }
    let mut own = vec!["--netns=n1", "--name", "t1", "--subnet", "10.9.8.0/22", "--subnet6", "none", "--mtu=1400"];
    own.extend(["--", "--netns", "of the program"]);
    let own = run(&own);
    for line in [
        "ip netns add n1\nip -n n1 link set dev lo up\nip -n n1 tuntap add dev t1 mode tun user ",
        "ip -n n1 addr add 10.9.8.1/22 dev t1\nip -n n1 link set dev t1 txqueuelen 10000 mtu 1400 up\nip netns exec n1 ",
        "serve --tun t1 --addr 10.9.8.2/22 --netns 'of the program' --mtu 1400\n",
        "ip -n n1 link del dev t1\nip netns del n1\n",
    ] {
        assert!(own.contains(line), "no `{line}` in:\n{own}");
    }
    let many = run(&["--queues", "2"]);
    for line in ["ip tuntap add dev glass0 mode tun multi_queue user ", "fd00:67::2/64 --queues 2\n"] {
        assert!(many.contains(line), "no `{line}` in:\n{many}");
    }
    assert!(!run(&["--queues=1"]).contains("multi_queue"));
    let calls = fs::read_to_string(&log).unwrap_or_default();
    let reads = |call: &str| call.starts_with("ip ") && call.contains(" show") || call == "cargo --version";
    assert!(calls.lines().all(reads), "a dry run called:\n{calls}");
}

#[test]
fn recovery_and_soak_say_what_they_would_do() {
    let run = |name: &str, arguments: &[&str]| {
        let output = script(name).args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", text(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    let cells = run("recovery", &["--list"]);
    // Three round trips, each with four losses, with and without reordering, and an outage; and three kinds of sharing.
    assert_eq!(cells.lines().count(), 3 * (4 * 2 + 1) + 3, "{cells}");
    for cell in ["rtt1-loss0-reorder0", "rtt20-loss0.1-reorder2", "rtt100-outage", "fair-ours-kernel"] {
        assert!(cells.lines().any(|line| line == cell), "no {cell} in {cells}");
    }
    let plan = run("recovery", &["--dry-run", "--only", "rtt1-outage", "--controllers=reno"]);
    assert_eq!(
        plan,
        "rtt1-outage: glasstcp relay --rate 100mbit --delay 500us --outage 3s+200ms; reno; ours and kernel; 3 times 8 s\n"
    );
    for arguments in [["--only", "rtt7*"], ["--controllers", "vegas"], ["--repeats", "0"], ["--fresh", "none"]] {
        let output = script("recovery").arg("--dry-run").args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", text(&output));
    }
    let blocks = run("soak", &["--dry-run", "--seeds", "600", "--from", "7", "--block", "250"]);
    let expected = "two_stacks 7 250\ntwo_stacks 257 250\ntwo_stacks 507 100\nsmoltcp 7 120\n";
    assert_eq!(blocks, expected);
    let output = script("soak").args(["--dry-run", "--seeds", "0"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
}

#[test]
fn subnets_are_checked() {
    for arguments in [
        ["--subnet", "10.0.0.1/24"],
        ["--subnet", "10.0.0.0"],
        ["--subnet", "10.0.0.0/31"],
        ["--subnet", "10.0.256.0/24"],
        ["--subnet6", "fd00::1/64"],
        ["--subnet6", "fd00::"],
        ["--mtu", "lots"],
        ["--netns", "../x"],
        ["--name", "sixteen-letters-"],
        ["--ready-fd", "3"],
    ] {
        let output = script("run").arg("--dry-run").args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", text(&output));
    }
}

#[test]
fn overlaps_are_recognised() {
    for (subnet, other, expected) in [
        ("10.0.0.0/24", "10.0.0.0/24", true),
        ("10.0.0.0/24", "10.0.0.255", true),
        ("10.0.0.0/24", "10.0.1.0/24", false),
        ("10.0.0.0/24", "10.0.0.128/25", true),
        ("10.0.0.0/24", "10.0.2.1/22", true),
        ("10.0.0.0/24", "10.0.4.0/22", false),
        ("10.0.0.0/24", "10.0.0.0/8", true),
        ("10.0.0.0/24", "11.0.0.0/8", false),
        ("10.0.0.0/24", "0.0.0.0/0", false),
        ("10.0.0.0/24", "0.0.0.0/1", false),
        ("10.0.0.0/24", "8.0.0.0/5", true),
        ("10.0.0.0/24", "fd00:67::/64", false),
        ("10.0.0.0/30", "10.0.0.4/30", false),
        ("fd00:67::/64", "fd00:67::5", true),
        ("fd00:67::/64", "fd00:67:0:0:1::/80", true),
        ("fd00:67::/64", "fd00:67:0:1::/64", false),
        ("fd00:67::/64", "fd00::/8", true),
        ("fd00:67::/64", "fc00::/7", true),
        ("fd00:67::/64", "fd00::/64", false),
        ("fd00:67::/64", "::/0", false),
        ("fd00:67::/64", "::1", false),
        ("fd00:67::/64", "2000::/3", false),
        ("fd00:67::/64", "::ffff:10.0.0.0/104", false),
    ] {
        let code = format!(
            "source scripts/lib.sh; subnet={subnet}; text_overlaps {other} \"$(hex_of \"${{subnet%/*}}\")\" \"${{subnet#*/}}\""
        );
        let output = bash(&code);
        assert_eq!(output.status.success(), expected, "{subnet} and {other}: {}", text(&output));
        assert_eq!(text(&output), "", "{subnet} and {other}");
    }
}

#[test]
fn a_capture_shows_its_command() {
    let capture = |arguments: &[&str]| {
        let output = script("capture").arg("--dry-run").args(arguments).output().unwrap();
        text(&output).replace("sudo ", "")
    };
    if !bash("command -v tcpdump && command -v tshark").status.success() {
        return skip("a_capture_shows_its_command", "tcpdump or tshark is not there");
    }
    let filtered = capture(&["--netns", "n1", "a.pcap", "--", "tcp", "port", "80"]);
    assert!(filtered.starts_with("ip netns exec n1 tcpdump -i glass0 "), "{filtered}");
    assert!(filtered.ends_with(" tcp port 80 >a.pcap\n"), "{filtered}");
    assert_eq!(capture(&["--tshark", "--", "tcp", "port", "80"]), "tshark -i glass0 -n -l -f 'tcp port 80'\n");
}

#[test]
fn the_doctor_judges_line_by_line() {
    let output = script("doctor").output().unwrap();
    let said = text(&output);
    let lines: Vec<&str> = said.lines().take_while(|line| !line.is_empty()).collect();
    assert!(lines.len() > 12, "{said}");
    let missing = lines.iter().filter(|line| line.starts_with("missing  ")).count();
    for line in lines {
        assert!(["ok       ", "warn     ", "missing  "].iter().any(|word| line.starts_with(word)), "{line}");
    }
    assert_eq!(output.status.code(), Some(i32::from(missing > 0)), "{said}");
}

#[test]
fn the_bench_refuses_what_it_cannot_do() {
    for arguments in [
        &["--only", "nobody"][..],
        &["--only", ""],
        &["--rounds", "0"],
        &["--seconds", "x"],
        &["--idle", "70000"],
        &["--cpus", "1"],
        &["--no-verify", "--verify-only"],
    ] {
        let output = script("bench").args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", text(&output));
    }
}

/// Lets `scripts/bench-table.sh` work on values in a directory of the test.
fn bench_table(place: &Place, code: &str) -> String {
    let work = place.directory.display();
    let code = format!(
        "set -euo pipefail; ROOT=$PWD; source scripts/lib.sh; source scripts/bench-table.sh; WORK={work}; MESSAGES=2
        CONTENDERS=(plain kernel-veth smoltcp); touch \"$WORK\"/{{values,failures,notes,facts,medians}}; {code}"
    );
    let output = bash(&code);
    assert!(output.status.success(), "{}", text(&output));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_bench_shows_medians_and_ratios_and_failures_as_such() {
    let place = Place::new();
    let values = "for v in 9 5 7; do printf 'plain\\tin\\t%s\\n' $v; done >\"$WORK/values\"
        for v in 2 14 3.5 4.5; do printf 'kernel-veth\\tin\\t%s\\n' $v; done >>\"$WORK/values\"
        failure smoltcp in 'it \"broke\"' 2>/dev/null; failure smoltcp in 'it \"broke\"' 2>/dev/null
        printf 'CPU\\tsome one\\n' >\"$WORK/facts\"; medians >\"$WORK/medians\";";
    let page = bench_table(&place, &format!("{values} page"));
    let row = page.lines().find(|line| line.contains("Throughput in")).unwrap();
    assert_eq!(row, "| Throughput in, Gb/s | 7.00 (5.00–9.00) ×1.75 | 4.00 (2.00–14.00) ×1.00 | failed |");
    let missing = page.lines().find(|line| line.contains("Connections")).unwrap();
    assert_eq!(missing, "| Connections per second | n/a | n/a | failed |");
    assert!(page.contains("* CPU: some one\n") && page.contains("* smoltcp, in: it \"broke\" (2 times)"), "{page}");
    let json = bench_table(&place, "json");
    for part in [
        "{\"facts\": {\"CPU\": \"some one\"}",
        "\"reason\": \"it \\\"broke\\\"\"}",
        "{\"contender\": \"plain\", \"metric\": \"in\", \"median\": 7, \"min\": 5, \"max\": 9, \"rounds\": 3}",
    ] {
        assert!(json.contains(part), "no {part} in {json}");
    }
    let page = place.directory.join("doc.md");
    fs::write(&page, "before\n<!-- bench: begin -->\nold\n<!-- bench: end -->\nafter\n").unwrap();
    bench_table(&place, &format!("echo new >\"$WORK/new\"; replace_between_markers {} \"$WORK/new\"", page.display()));
    let text = fs::read_to_string(&page).unwrap();
    assert_eq!(text, "before\n<!-- bench: begin -->\n\nnew\n\n<!-- bench: end -->\nafter\n");
}
