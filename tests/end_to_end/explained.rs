//! Captures of the Linux kernel, taken by tcpdump, explained: a correct TCP has nothing to complain about, at either end.

use std::process::Stdio;

use super::namespace::{GLASSTCP, Namespace, eventually, namespace, signal};

/// tcpdump on one end of a pair of interfaces between two kernels.
fn tcpdump(namespace: &Namespace, interface: &str, file: &str) -> std::process::Child {
    let log = namespace.file(&format!("{file}.log"));
    let command = format!("exec tcpdump --immediate-mode -U -i {interface} -w {} tcp", namespace.file(file).display());
    let error = std::fs::File::create(&log).expect("a file for what tcpdump says");
    let child = namespace.command(&command).stdin(Stdio::null()).stdout(Stdio::null()).stderr(error).spawn();
    let listens = || std::fs::read_to_string(&log).is_ok_and(|said| said.contains("listening on"));
    assert!(eventually(listens), "tcpdump does not begin");
    child.expect("tcpdump starts")
}

fn ended(mut child: std::process::Child) {
    // What came last is written when the kernel hands it over.
    std::thread::sleep(std::time::Duration::from_millis(300));
    signal(child.id(), "INT");
    child.wait().expect("tcpdump ends");
}

/// What `glasstcp trace` says; it must find nothing.
fn without_complaint(namespace: &Namespace, arguments: &str) -> String {
    let output = namespace.run(&format!("{GLASSTCP} trace {arguments}"));
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{arguments}: {out}\n{err}");
    out.into_owned()
}

#[test]
fn the_kernel_keeps_the_rules() {
    let Some(near) = namespace("explained", &["tcpdump", "nc", "nft"]) else { return };
    let far = near.neighbour();
    // As on a wire, with a loss now and then in both directions.
    near.run("ethtool -K near0 tso off gso off gro off");
    far.run("ethtool -K far0 tso off gso off gro off");
    for command in [
        "nft add table inet lossy",
        "nft 'add chain inet lossy in { type filter hook input priority 0; }'",
        "nft 'add rule inet lossy in iifname near0 tcp dport != 0 numgen random mod 100 < 2 drop'",
    ] {
        near.check(command);
    }
    let (here, there) = (tcpdump(&near, "near0", "near.pcap"), tcpdump(&far, "far0", "far.pcap"));
    // Both ends on one processor, so that the captures have the packets in the order in which they were handled.
    let listen = "head -c 400000 /dev/urandom | taskset -c 0 nc -N -w 20 -l 10.1.0.1 7000 > /dev/null";
    let mut server = near.command(listen).stdin(Stdio::null()).spawn().expect("nc starts");
    assert!(eventually(|| near.run("ss -tln | grep -q 10.1.0.1:7000").status.success()), "nc listens");
    far.check("head -c 400000 /dev/urandom | taskset -c 0 nc -N -w 20 10.1.0.1 7000 | wc -c");
    server.wait().expect("nc ends");
    // Nobody listens there.
    far.run("nc -w 2 -z 10.1.0.1 7001");
    ended(here);
    ended(there);
    let (here, there) = (near.file("near.pcap"), far.file("far.pcap"));
    let (here, there) = (here.display(), there.display());
    for arguments in [
        format!("explain {here} --side 10.1.0.1"),
        format!("explain {here} --side 10.1.0.2 --quiet"),
        format!("explain {there} --side 10.1.0.2"),
        format!("explain {there} --side 10.1.0.1 --quiet"),
    ] {
        let text = without_complaint(&near, &arguments);
        assert!(text.contains("in 2 connections: no departure"), "{text}");
    }
    let text = without_complaint(&near, &format!("explain {there} --side client --connection 1"));
    assert!(text.contains("CLOSED -> SYN-SENT") && text.contains("SYN-SENT -> ESTABLISHED"), "{text}");
    // Who closes first is a matter of chance.
    let closes = text.contains("FIN-WAIT-1") || text.contains("CLOSE-WAIT -> LAST-ACK");
    assert!(text.contains("delivered=") && closes, "{text}");
    without_complaint(&near, &format!("diff {here} {here}"));
    without_complaint(&near, &format!("plot {here} -o {}", near.file("plot.svg").display()));
}
