//! A network namespace with a TUN in it, and the program serving on the TUN.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// The program under test.
pub const GLASSTCP: &str = env!("CARGO_BIN_EXE_glasstcp");

/// Nothing here takes longer than this, however slow the machine.
const PATIENCE: Duration = Duration::from_secs(240);

/// A network namespace of one test. It goes away with everything in it.
pub struct Namespace {
    pub name: String,
    pub directory: PathBuf,
}

/// Says why a test cannot run here. In CI that is a failure.
pub fn skip(test: &str, why: &str) {
    // libtest swallows what passing tests print by `eprintln!`.
    writeln!(std::io::stderr(), "skipped: {test}: {why}").ok();
    assert!(std::env::var_os("CI").is_none(), "skipped in CI: {test}: {why}");
}

/// The namespace for a test that needs these tools, or `None` (said aloud) where it cannot run.
pub fn namespace(test: &str, tools: &[&str]) -> Option<Namespace> {
    for tool in ["ip"].iter().chain(tools) {
        let found = Command::new("sh").args(["-c", &format!("command -v {tool}")]).output();
        if !found.is_ok_and(|output| output.status.success()) {
            skip(test, &format!("{tool} is not installed (scripts/test.sh installs it)"));
            return None;
        }
    }
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let name = format!("glt-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
    let made = Command::new("ip").args(["netns", "add", &name]).output().expect("ip runs");
    if !made.status.success() {
        skip(test, &format!("no rights to make a network namespace: {}", String::from_utf8_lossy(&made.stderr).trim()));
        return None;
    }
    let directory = std::env::temp_dir().join(&name);
    std::fs::create_dir_all(&directory).expect("a directory for files of the test");
    let namespace = Namespace { name, directory };
    for command in [
        "ip link set lo up",
        "ip tuntap add dev glass0 mode tun",
        "ip addr add 10.0.0.1/24 dev glass0",
        "ip addr add fd00:67::1/64 dev glass0 nodad",
        "ip link set glass0 txqueuelen 10000 up",
    ] {
        namespace.check(command);
    }
    Some(namespace)
}

impl Namespace {
    /// A command inside the namespace, by a shell.
    pub fn command(&self, command: &str) -> Command {
        let mut inside = Command::new("ip");
        inside.args(["netns", "exec", &self.name, "sh", "-c", command]);
        inside
    }

    /// Runs a command inside the namespace to its end.
    pub fn run(&self, command: &str) -> Output {
        let child = self
            .command(command)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the command starts");
        let guard = Watchdog::over(&child, command);
        let output = child.wait_with_output().expect("the command ends");
        drop(guard);
        output
    }

    /// Runs a command that must succeed, and returns what it printed.
    #[track_caller]
    pub fn check(&self, command: &str) -> String {
        let output = self.run(command);
        assert!(
            output.status.success(),
            "{command}: {}\n{}\n{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Makes the TUN anew, so that several queues of it can be used.
    pub fn with_queues(self) -> Namespace {
        for command in [
            "ip link del glass0",
            "ip tuntap add dev glass0 mode tun multi_queue",
            "ip addr add 10.0.0.1/24 dev glass0",
            "ip addr add fd00:67::1/64 dev glass0 nodad",
            "ip link set glass0 txqueuelen 10000 up",
        ] {
            self.check(command);
        }
        self
    }

    /// A file of this test.
    pub fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Starts `glasstcp serve` on the TUN, recording everything, and waits until it serves.
    pub fn serve(&self, arguments: &str) -> Server {
        let capture = self.file("serve.pcapng");
        self.serve_without_capture(&format!("--pcap {} {arguments}", capture.display()))
    }

    /// Starts `glasstcp serve` on the TUN and waits until it serves.
    pub fn serve_without_capture(&self, arguments: &str) -> Server {
        let capture = self.file("serve.pcapng");
        let log = std::fs::File::create(self.file("serve.log")).expect("a file for the log");
        // The ready line comes on standard output, which `serve` leaves to it.
        let command = format!(
            "exec {GLASSTCP} serve --tun glass0 --addr 10.0.0.2/24 --addr fd00:67::2/64 --ready-fd 1 {arguments}"
        );
        let mut child = self
            .command(&command)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("serve starts");
        let mut ready = [0; 1];
        let read = child.stdout.as_mut().expect("a pipe").read(&mut ready).expect("the ready line");
        let server = Server { child, capture, log: self.file("serve.log") };
        assert_eq!(read, 1, "serve ended before it was ready:\n{}", server.log());
        server
    }

    /// The test binary itself, inside the namespace, running the ignored test of this name with these variables.
    pub fn run_child_test(&self, name: &str, variables: &[(&str, &str)]) -> String {
        self.check(&child_test(name, variables))
    }

    /// A second namespace, joined to this one by a pair of Ethernet interfaces: `near0` (10.1.0.1) here, `far0` (10.1.0.2)
    /// there. It reaches the stack because this one forwards.
    pub fn neighbour(&self) -> Namespace {
        let name = format!("{}-far", self.name);
        let made = Command::new("ip").args(["netns", "add", &name]).status().expect("ip runs");
        assert!(made.success(), "a second namespace");
        let directory = self.file("far");
        std::fs::create_dir_all(&directory).expect("a directory for files of the test");
        let far = Namespace { name, directory };
        self.check(&format!("ip link add near0 type veth peer name far0 netns {}", far.name));
        self.check("ip addr add 10.1.0.1/24 dev near0 && ip link set near0 up");
        self.check("echo 1 > /proc/sys/net/ipv4/ip_forward");
        far.check("ip link set lo up && ip addr add 10.1.0.2/24 dev far0 && ip link set far0 up");
        far.check("ip route add 10.0.0.0/24 via 10.1.0.1");
        far
    }
}

/// The command that runs the ignored test of this name from this binary, with these variables.
pub fn child_test(name: &str, variables: &[(&str, &str)]) -> String {
    let this = std::env::current_exe().expect("this test");
    let variables: String = variables.iter().map(|(name, value)| format!("{name}={value} ")).collect();
    format!("{variables}{} --exact {name} --ignored --nocapture 2>&1", this.display())
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // What a test that has failed did not come to end: everything in here was started by it.
        let left = Command::new("ip").args(["netns", "pids", &self.name]).output().map(|output| output.stdout);
        for id in String::from_utf8_lossy(&left.unwrap_or_default()).split_whitespace().filter_map(|id| id.parse().ok())
        {
            signal(id, "KILL");
        }
        Command::new("ip").args(["netns", "del", &self.name]).status().ok();
        if !std::thread::panicking() {
            std::fs::remove_dir_all(&self.directory).ok();
        }
    }
}

/// A running `glasstcp serve`.
pub struct Server {
    pub child: Child,
    pub capture: PathBuf,
    log: PathBuf,
}

impl Server {
    /// What it has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Ends it by SIGINT, as Ctrl-C does, and asserts that it ends well. The answer is the capture.
    #[track_caller]
    pub fn stop(mut self) -> PathBuf {
        signal(self.child.id(), "INT");
        let until = Instant::now() + Duration::from_secs(30);
        loop {
            if let Some(status) = self.child.try_wait().expect("the status of serve") {
                assert_eq!(status.code(), Some(0), "serve ends well:\n{}", self.log());
                return self.capture.clone();
            }
            assert!(Instant::now() < until, "serve does not end after SIGINT:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Sends a signal to a process that the test started.
pub fn signal(id: u32, name: &str) {
    Command::new("kill").args([&format!("-{name}"), &id.to_string()]).status().expect("kill runs");
}

/// Waits until `condition` holds; false if it does not in time.
pub fn eventually(mut condition: impl FnMut() -> bool) -> bool {
    let until = Instant::now() + Duration::from_secs(60);
    while Instant::now() < until {
        if condition() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    false
}

/// Ends a command that hangs, so that the test fails instead of hanging too.
struct Watchdog {
    done: std::sync::mpsc::Sender<()>,
}

impl Watchdog {
    fn over(child: &Child, command: &str) -> Watchdog {
        let (done, over) = std::sync::mpsc::channel();
        let (id, command) = (child.id(), command.to_owned());
        std::thread::spawn(move || {
            if over.recv_timeout(PATIENCE) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                writeln!(std::io::stderr(), "gave up on: {command}").ok();
                signal(id, "KILL");
            }
        });
        Watchdog { done }
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.done.send(()).ok();
    }
}

/// The lines that tshark prints for a capture and a display filter, with all checksums verified.
pub fn tshark(capture: &Path, filter: &str) -> Vec<String> {
    let output = Command::new("tshark")
        .arg("-r")
        .arg(capture)
        .args(["-o", "tcp.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE"])
        .args(["-Y", filter])
        .output()
        .expect("tshark runs");
    assert!(output.status.success(), "tshark: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}
