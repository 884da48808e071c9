//! Where a script runs: its own directory, a network namespace where it needs one, and a stand-in for the program.

use std::fs;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Plays `glasstcp serve`: says that it is ready, and ends as its name tells it to.
pub const STAND_IN: &str = r#"#!/usr/bin/env bash
log=$0.log
echo "$*" >"$log"
while [[ $# -gt 0 ]]; do
    [[ $1 == --ready-fd ]] && fd=$2
    shift
done
closing() {
    echo "signal $1" >>"$log"
    [[ $0 == *stubborn* ]] && return
    echo closed >>"$log"
    exit 0
}
trap 'closing INT' INT
trap 'closing TERM' TERM
[[ $0 == *broken* ]] && exit 7
echo ready >&"$fd"
[[ $0 == *brief* ]] && exit 9
# Not longer than the script that started it, so that a failing test leaves nothing behind.
while [[ -d /proc/$PPID ]]; do sleep 0.05; done
"#;

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub fn script(name: &str) -> Command {
    let mut command = Command::new(root().join("scripts").join(format!("{name}.sh")));
    command.current_dir(root()).stdin(Stdio::null()).env_remove("GLASSTCP_BIN");
    // The stand-in shall own what it makes, also where the tests themselves run through sudo.
    command.env_remove("SUDO_UID").env_remove("SUDO_GID");
    command
}

pub fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

pub fn bash(code: &str) -> Output {
    Command::new("bash").current_dir(root()).args(["-c", code]).output().unwrap()
}

/// Ends a test that cannot run here. The line goes past the capture of test output, so that everybody sees it.
pub fn skip(name: &str, why: &str) {
    assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "{name} cannot run: {why}");
    let _ = writeln!(std::io::stderr(), "skipped: {name}: {why}");
}

/// A directory and a namespace name of one test; both are gone afterwards.
pub struct Place {
    pub directory: PathBuf,
    pub netns: String,
}

impl Place {
    pub fn new() -> Place {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("glt-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let directory = std::env::temp_dir().join(&name);
        fs::create_dir_all(&directory).unwrap();
        Place { directory, netns: name }
    }

    /// A place where namespaces can be made and TUNs in them, or a skipped test.
    pub fn with_rights(test: &str) -> Option<Place> {
        let place = Place::new();
        let netns = &place.netns;
        let probe = format!(
            "ip netns add {netns} && ip -n {netns} tuntap add dev probe mode tun; code=$?; ip netns del {netns}; exit $code"
        );
        let output = bash(&probe);
        if output.status.success() {
            return Some(place);
        }
        skip(test, &format!("no namespace with a TUN can be made: {}", text(&output).trim().replace('\n', "; ")));
        None
    }

    pub fn executable(&self, name: &str, content: &str) -> PathBuf {
        let path = self.directory.join(name);
        // Not by this process: another test may fork while the file is open for writing here, and then nobody can run it.
        let mut writer = Command::new("sh");
        writer.args(["-c", "cat > \"$0\" && chmod 755 \"$0\""]).arg(&path).stdin(Stdio::piped());
        let mut writer = writer.spawn().unwrap();
        writer.stdin.take().unwrap().write_all(content.as_bytes()).unwrap();
        assert!(writer.wait().unwrap().success());
        path
    }

    pub fn stand_in(&self, name: &str) -> PathBuf {
        self.executable(name, STAND_IN)
    }

    pub fn log(&self, name: &str) -> String {
        fs::read_to_string(self.directory.join(format!("{name}.log"))).unwrap_or_default()
    }

    pub fn has_netns(&self) -> bool {
        Path::new("/run/netns").join(&self.netns).exists()
    }

    /// Makes the namespace and runs `ip` commands in it.
    pub fn make_netns(&self, commands: &[&str]) {
        let mut code = format!("set -e; ip netns add {}; ip -n {} link set dev lo up", self.netns, self.netns);
        for command in commands {
            code += &format!("; ip -n {} {command}", self.netns);
        }
        let output = bash(&code);
        assert!(output.status.success(), "{}", text(&output));
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
        if self.has_netns() {
            bash(&format!("ip netns del {}", self.netns));
        }
    }
}

/// A script under way, with its output in files; killed where a test fails before its end.
pub struct Running {
    pub child: Child,
    pub output: PathBuf,
}

impl Running {
    /// In a process group of its own, so that a signal to the group is what Ctrl-C sends.
    pub fn start(mut command: Command, place: &Place) -> Running {
        let output = place.directory.join("output");
        let file = fs::File::create(&output).unwrap();
        command.stdout(file.try_clone().unwrap()).stderr(file).process_group(0);
        Running { child: command.spawn().unwrap(), output }
    }

    pub fn text(&self) -> String {
        fs::read_to_string(&self.output).unwrap()
    }

    pub fn wait_for(&mut self, wanted: &str) {
        let start = Instant::now();
        while !self.text().contains(wanted) {
            assert!(self.child.try_wait().unwrap().is_none(), "ended without `{wanted}`:\n{}", self.text());
            assert!(start.elapsed() < Duration::from_secs(20), "no `{wanted}` in:\n{}", self.text());
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Sends a signal to the script alone, or to its whole group.
    pub fn signal(&self, signal: &str, group: bool) {
        let sign = if group { "-" } else { "" };
        assert!(bash(&format!("kill -s {signal} -- {sign}{}", self.child.id())).status.success());
    }

    /// The exit code.
    pub fn end(&mut self) -> Option<i32> {
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(60) {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            thread::sleep(Duration::from_millis(10));
        }
        panic!("still running after a minute:\n{}", self.text());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
