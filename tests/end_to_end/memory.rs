//! What an idle connection costs: memory of the process, with all that a service holds of it.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use super::namespace::{GLASSTCP, eventually, namespace};

/// So many that neither pages of tables nor the program itself decide.
const CONNECTIONS: usize = 10_000;

/// Octets of memory that a process has for itself.
fn anonymous(process: u32) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("a running process");
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("its memory");
    line.trim().trim_end_matches(" kB").parse::<usize>().expect("a number") << 10
}

#[test]
fn an_idle_connection_takes_less_than_a_thousand_octets() {
    let Some(namespace) = namespace("memory", &[]) else { return };
    let server = namespace.serve_without_capture("");
    let before = anonymous(server.child.id());
    let mut client = namespace
        .command(&format!("exec {GLASSTCP} bench client --kernel --quiet --idle {CONNECTIONS} 10.0.0.2"))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the client starts");
    let lines = BufReader::new(client.stderr.take().expect("a pipe")).lines().map_while(Result::ok);
    let said: Vec<String> = lines.take_while(|line| !line.ends_with("connections are open")).collect();
    let each = || anonymous(server.child.id()).saturating_sub(before) / CONNECTIONS;
    let open = eventually(|| each() > 500);
    let each = each();
    drop(client.stdin.take());
    let ended = client.wait().expect("the client ends");
    assert!(open && ended.success(), "{each} octets each: the connections are not there: {said:?}");
    assert!(each < 1_000, "{each} octets each");
    println!("{each} octets each");
    server.stop();
}
