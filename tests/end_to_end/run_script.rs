//! The first command of the README with the real program, and `nc` against it.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use super::namespace::{GLASSTCP, eventually, namespace, signal};

#[test]
fn run_sh_serves_until_a_signal_and_leaves_nothing_behind() {
    // Only for its rights, tools and files; `run.sh` makes a namespace of its own.
    let Some(place) = namespace("run.sh", &["nc", "curl"]) else { return };
    let name = format!("{}-run", place.name);
    for end in ["INT", "TERM"] {
        let mut script = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/run.sh"));
        script.args(["--netns", &name]).env("GLASSTCP_BIN", GLASSTCP);
        let mut script =
            script.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("run.sh starts");
        let mut output = BufReader::new(script.stdout.take().expect("a pipe")).lines();
        let ready = output.by_ref().map_while(Result::ok).any(|line| line.contains("Ctrl-C ends it"));
        assert!(ready, "run.sh says when it serves");
        // Whatever it still says must find a reader.
        let rest = std::thread::spawn(move || output.map_while(Result::ok).collect::<Vec<_>>());
        let inside = |command: &str| {
            let output =
                Command::new("ip").args(["netns", "exec", &name, "sh", "-c", command]).output().expect("ip runs");
            String::from_utf8_lossy(&output.stdout).into_owned()
        };
        let page =
            inside("printf 'GET / HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n' | nc -w 20 10.0.0.2 80");
        assert!(page.starts_with("HTTP/1.1 200 OK") && page.contains("ESTABLISHED"), "{page}");
        assert_eq!(inside("echo over six | nc -N -w 20 fd00:67::2 7"), "over six\n");
        signal(script.id(), end);
        assert!(eventually(|| script.try_wait().expect("the status").is_some()), "run.sh does not end after SIG{end}");
        assert_eq!(script.wait().expect("the status").code(), Some(0), "SIG{end}");
        rest.join().expect("the reader");
        assert!(!std::path::Path::new("/run/netns").join(&name).exists(), "the namespace is gone after SIG{end}");
    }
}

/// Where the TUN has offloads, `--wire` refuses, and says what to do; where it has none, the capture begins.
#[test]
fn capture_sh_wire_refuses_where_there_is_no_wire() {
    let Some(namespace) = namespace("capture.sh --wire", &["tcpdump"]) else { return };
    let file = namespace.file("wire.pcap");
    for (device, captures) in [("offload", false), ("plain", true)] {
        let server = namespace.serve_without_capture(&format!("--device {device}"));
        let mut script = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/capture.sh"));
        script.args(["--netns", &namespace.name, "--wire"]).arg(&file);
        let mut script = script.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().expect("capture.sh starts");
        let mut messages = BufReader::new(script.stderr.take().expect("a pipe")).lines().map_while(Result::ok);
        let told = messages.find(|line| line.contains("listening on glass0") || line.contains("--device plain"));
        let told = told.expect("it says what it does");
        assert_eq!(told.contains("listening"), captures, "{told}");
        if captures {
            signal(script.id(), "INT");
        }
        drop(messages.by_ref().last());
        assert_eq!(script.wait().expect("the status").success(), captures);
        server.stop();
    }
}
