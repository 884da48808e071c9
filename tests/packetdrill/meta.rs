//! The runner can fail: each of these scripts is right but for one thing, and the runner says which, with its line.

use crate::parser::parse;
use crate::run::run;

/// A connection of which one side writes, up to line 12.
const RIGHT: &str = "0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0 bind(3, ..., ...) = 0
+0 listen(3, 1) = 0
+0 < S 0:0(0) win 32792 <mss 1000,sackOK,nop,nop,nop,wscale 7>
+0 > S. 0:0(0) ack 1 <mss 1460,nop,nop,sackOK,nop,wscale 9>
+.01 < . 1:1(0) ack 1 win 257
+0 accept(3, ..., ...) = 4
+0 < P. 1:101(100) ack 1 win 257
+0 > . 1:1(0) ack 101 win 511
+0 read(4, ..., 1000) = 100
+0 write(4, ..., 500) = 500
+0 > P. 1:501(500) ack 101
";

fn failure(script: &str) -> Result<(), (usize, String)> {
    let script = parse(script).map_err(|error| (error.line, error.what))?;
    run(&script, "glasstcp").map_err(|failure| (failure.line, failure.what))
}

/// Changes one thing in the script and expects to be told so, at that line.
fn changed(from: &str, to: &str, line: usize, says: &str) {
    assert!(RIGHT.contains(from), "the script does not say `{from}`");
    let Err((at, what)) = failure(&RIGHT.replace(from, to)) else {
        panic!("`{to}` instead of `{from}` is not noticed")
    };
    assert!(at == line && what.contains(says), "`{to}`: expected line {line} and `{says}`, line {at} says: {what}");
}

#[test]
fn the_right_script_holds() {
    assert_eq!(failure(RIGHT), Ok(()));
}

#[test]
fn what_is_wrong_in_a_packet_is_named() {
    changed("> P. 1:501(500)", "> . 1:501(500)", 12, "the flags");
    changed("> . 1:1(0) ack 101", "> . 2:2(0) ack 101", 9, "the sequence number");
    changed("> P. 1:501(500)", "> P. 1:401(400)", 12, "the length");
    changed("> P. 1:501(500) ack 101", "> P. 1:501(500) ack 100", 12, "the acknowledgment number");
    changed("win 511", "win 512", 9, "the window");
    changed("wscale 9", "wscale 8", 5, "the options");
    changed("mss 1460,nop,nop,sackOK", "mss 1460,sackOK,nop,nop", 5, "the options");
    changed("> P. 1:501(500) ack 101", "> P. 1:501(500) ack 101 <nop,nop,TS val 1 ecr 1>", 12, "the options");
    changed("+0 > P. 1:501(500)", "+0 > [ce] P. 1:501(500)", 12, "TOS");
    changed("+0 > P. 1:501(500)", "+0 > [ttl 3] P. 1:501(500)", 12, "TTL");
    changed("+0 > P. 1:501(500) ack 101", "+0 > udp (500)", 12, "the protocol");
}

#[test]
fn expected_and_seen_packets_are_shown_in_the_notation_of_scripts() {
    let (_, what) = failure(&RIGHT.replace("> P. 1:501(500)", "> . 1:501(500)")).unwrap_err();
    assert!(what.contains("expected: 0.010000 . 1:501(500) ack 101"), "{what}");
    assert!(what.contains("seen:     0.010000 P. 1:501(500) ack 101 win 511"), "{what}");
}

#[test]
fn time_counts() {
    changed("+0 > P. 1:501(500)", "+.01 > P. 1:501(500)", 12, "at 0.010000, expected at 0.020000");
    changed("+0 > P. 1:501(500)", "+.01~+.02 > P. 1:501(500)", 12, "0.020000~0.030000");
    changed("+0 > P. 1:501(500)", "0 > P. 1:501(500)", 12, "expected at 0.000000");
    // Within the tolerance, or without a time, it holds.
    for fine in ["+.003 > P. 1:501(500)", "* > P. 1:501(500)", "+0~+.5 > P. 1:501(500)"] {
        assert_eq!(failure(&RIGHT.replace("+0 > P. 1:501(500)", fine)), Ok(()), "{fine}");
    }
    let strict = format!("--tolerance_usecs=1000\n{RIGHT}").replace("+0 > P. 1:501(500)", "+.003 > P. 1:501(500)");
    assert!(failure(&strict).unwrap_err().1.contains("tolerance 0.001000"));
}

#[test]
fn missing_and_extra_packets_are_noticed() {
    // The data is acknowledged, so that no timer sends it again.
    let end = "+.01 < . 101:101(0) ack 501 win 257\n";
    let (line, what) = failure(&format!("{RIGHT}{end}+0 > . 501:501(0) ack 101\n")).unwrap_err();
    assert!(line == 14 && what.contains("nothing left"), "{what}");
    let (line, what) = failure(&RIGHT.replace("+0 > P. 1:501(500) ack 101\n", "")).unwrap_err();
    assert!(line == 11 && what.contains("does not mention") && what.contains("P. 1:501(500)"), "{what}");
    changed("+0 > . 1:1(0) ack 101 win 511\n", "", 11, "the flags");
    // A timer of the stack goes on after the last event only as far as the script goes.
    assert_eq!(failure(&format!("{RIGHT}{end}")), Ok(()));
}

#[test]
fn pieces_are_put_together_only_where_they_fit() {
    let big = RIGHT.replace("write(4, ..., 500) = 500", "write(4, ..., 2500) = 2500");
    let whole = |packets: &str| failure(&big.replace("+0 > P. 1:501(500) ack 101\n", packets));
    assert_eq!(whole("+0 > P. 1:2501(2500) ack 101\n"), Ok(()));
    assert_eq!(whole("+0 > . 1:1001(1000) ack 101\n+0 > P. 1001:2501(1500) ack 101\n"), Ok(()));
    let (_, what) = whole("+0 > . 1:1501(1500) ack 101\n").unwrap_err();
    assert!(what.contains("do not make up"), "{what}");
    let (_, what) = whole("+0 > P. 1:3501(3500) ack 101\n").unwrap_err();
    assert!(what.contains("do not make up") && what.contains("1:2001(2000)"), "{what}");
}

#[test]
fn values_and_errors_of_calls_count() {
    changed("read(4, ..., 1000) = 100", "read(4, ..., 1000) = 99", 10, "expected: 99\nseen:     100");
    changed("bind(3, ..., ...) = 0", "bind(3, ..., ...) = -1 EINVAL (Invalid argument)", 2, "EINVAL");
    let with = |line: &str| failure(&format!("{RIGHT}{line}\n"));
    let nonblocking = "+0 fcntl(4, F_SETFL, O_RDWR|O_NONBLOCK) = 0\n";
    assert_eq!(
        with(&format!("{nonblocking}+0 read(4, ..., 9) = -1 EAGAIN (Resource temporarily unavailable)")),
        Ok(())
    );
    let (line, what) = with(&format!("{nonblocking}+0 read(4, ..., 9) = -1 EPIPE (Broken pipe)")).unwrap_err();
    assert!(line == 14 && what.contains("-1 EAGAIN"), "{what}");
    let (_, what) = with("+0 getsockopt(4, SOL_TCP, TCP_NODELAY, [1], [4]) = 0").unwrap_err();
    assert!(what.contains("another value"), "{what}");
    let (_, what) = with("+0 ioctl(4, SIOCINQ, [7]) = 0").unwrap_err();
    assert!(what.contains("another value"), "{what}");
    let (_, what) = with("+0 poll([{fd=4, events=POLLOUT, revents=POLLIN}], 1, 0) = 1").unwrap_err();
    assert!(what.contains("other events"), "{what}");
}

#[test]
fn calls_that_wait_return_when_they_should() {
    let with = |lines: &str| failure(&format!("{RIGHT}{lines}"));
    let data = "+.02 < P. 101:201(100) ack 501 win 257\n+0 > . 501:501(0) ack 201\n";
    assert_eq!(
        with(&format!("+0...0.03 read(4, ..., 9) = 9\n{data}")).unwrap_err().0,
        14,
        "times are absolute or relative alike"
    );
    assert_eq!(with(&format!("+0...0.02 read(4, ..., 100) = 100\n{data}")), Ok(()));
    let (_, what) = with(&format!("+0...0.1 read(4, ..., 100) = 100\n{data}")).unwrap_err();
    assert!(what.contains("read of line 13") && what.contains("returned at 0.030000"), "{what}");
    let (line, what) = with("+0...0.02 read(4, ..., 100) = 100\n").unwrap_err();
    assert!(line == 13 && what.contains("still waits"), "{what}");
    let (_, what) = with("+0 read(4, ..., 100) = 100\n").unwrap_err();
    assert!(what.contains("read waits"), "{what}");
}

#[test]
fn errors_of_the_language_name_their_line() {
    let cases = [
        ("0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n\n// c\n+0 > X. 1:1(0)\n", 4, "no TCP flag"),
        ("0 < S 0:0(0) <mss 1000>\n", 1, "win N"),
        ("0 < S 0:5(4) win 1\n", 1, "are not 4 octets"),
        ("0 < . 1:1(0) ack 1 win 70000\n", 1, "out of range"),
        ("0 < S 0:0(0) win 1 <wscale 7>\n", 1, "pad them"),
        ("0 < S 0:0(0) win 1 <...>\n", 1, "packets that leave"),
        ("0 > S 0:0(0) <mss>\n", 1, "an MSS"),
        ("0 `ls`\n", 1, "shell commands"),
        ("0 `sysctl -q net.ipv4.tcp_sack`\n", 1, "shell commands"),
        ("0 `sysctl -q a=1\n`\n", 1, "does not end"),
        ("0 > S 0:0(0) <mss 1460,FO 1234>\n", 1, "a letter"),
        ("0 > S 0:0(0) <mss 1460,FO abc>\n", 1, "no cookie"),
        ("0 %{ x }%\n", 1, "code"),
        ("0 /* a\n\n", 3, "does not end"),
        ("* socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n", 1, "only packets that leave"),
        ("+.2~+.1 > . 1:1(0)\n", 1, "backwards"),
        ("0 socket(..., SOCK_STREAM, IPPROTO_TCP) 3\n", 1, "`=`"),
        ("1 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n", 1, "at time 0"),
        ("0 socket(..., SOCK_STREAM, IPPROTO_XYZ) = 3\n+0 sendfile(3, 1, [0], 5) = 5\n", 2, "not part of our scripts"),
        ("0 close(9) = 0\n", 1, "no descriptor 9"),
        ("--mtu=1280\n0 close(9) = 0\n", 1, "not part of our scripts"),
        ("0 > . 1:1(0) ack 1\n", 1, "nothing left"),
        ("--ip_version=ipv4\n", 1, "at least one event"),
    ];
    for (script, line, says) in cases {
        let Err((at, what)) = failure(script) else { panic!("no error: {script}") };
        assert!(at == line && what.contains(says), "{script}expected line {line} and `{says}`; line {at} says: {what}");
    }
}

#[test]
fn timestamps_are_translated_and_echoes_checked() {
    let script = "0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0 bind(3, ..., ...) = 0
+0 listen(3, 1) = 0
+0 < S 0:0(0) win 32792 <mss 1000,sackOK,TS val 100 ecr 0,nop,wscale 7>
+0 > S. 0:0(0) ack 1 <mss 1460,sackOK,TS val 500 ecr 100,nop,wscale 9>
+.01 < P. 1:101(100) ack 1 win 257 <nop,nop,TS val 110 ecr 500>
+0 > . 1:1(0) ack 101 <nop,nop,TS val 510 ecr 110>
";
    assert_eq!(failure(script), Ok(()));
    let (line, what) = failure(&script.replace("510 ecr 110", "510 ecr 100")).unwrap_err();
    assert!(line == 7 && what.contains("the options"), "{what}");
    let (line, what) = failure(&script.replace("ecr 500", "ecr 501")).unwrap_err();
    assert!(line == 6 && what.contains("TS val 501"), "{what}");
    let ticked = format!("--tcp_ts_tick_usecs=1000\n{script}");
    assert_eq!(failure(&ticked), Ok(()));
    assert!(failure(&ticked.replace("val 510", "val 600")).is_err());
}
