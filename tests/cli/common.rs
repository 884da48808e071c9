//! Runs the program on one end of a datagram socket pair, whose other end is a stack of the test or another program.
//! No privilege is needed, and nothing waits for ever.

#![allow(dead_code, reason = "each test uses its part")]

use std::io::{BufRead, BufReader, PipeReader, Read, Write, pipe};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use glasstcp::Config;
use glasstcp::device::fd::FdDevice;
use glasstcp::net::{Net, TcpStream};

/// The address of the program.
pub const SERVER: &str = "10.0.0.2";
/// How long anything may take.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Descriptors are handed down by one test at a time, so that no child inherits those of another.
static SPAWN: Mutex<()> = Mutex::new(());

/// A running program that is killed when the test ends.
pub struct Program {
    child: Child,
    pub started: Instant,
}

impl Program {
    /// Starts it with `arguments`; the descriptors are open in it under the same numbers.
    pub fn start(arguments: &[String], descriptors: Vec<OwnedFd>) -> Program {
        let mut command = Command::new(env!("CARGO_BIN_EXE_glasstcp"));
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let guard = SPAWN.lock().unwrap();
        descriptors.iter().for_each(keep_open);
        let child = command.spawn().unwrap();
        drop(descriptors);
        drop(guard);
        Program { child, started: Instant::now() }
    }

    /// Writes its standard input to the end.
    pub fn input(&mut self, bytes: &[u8]) {
        self.child.stdin.take().unwrap().write_all(bytes).unwrap();
    }

    /// Its standard input.
    pub fn take_input(&mut self) -> ChildStdin {
        self.child.stdin.take().unwrap()
    }

    /// Everything that it prints from now on, as it ends: standard output and error.
    pub fn output(mut self) -> (ExitStatus, Vec<u8>, String) {
        let (mut out, mut err) = (self.child.stdout.take().unwrap(), self.child.stderr.take().unwrap());
        let out = thread::spawn(move || {
            let mut bytes = Vec::new();
            out.read_to_end(&mut bytes).map(|_| bytes).unwrap()
        });
        let err = thread::spawn(move || {
            let mut bytes = Vec::new();
            err.read_to_end(&mut bytes).map(|_| String::from_utf8_lossy(&bytes).into_owned()).unwrap()
        });
        let status = self.wait();
        (status, out.join().unwrap(), err.join().unwrap())
    }

    /// Waits until it has ended.
    pub fn wait(&mut self) -> ExitStatus {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < until, "the program does not end");
            thread::sleep(Duration::from_millis(5));
        }
    }

    pub fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    }

    /// Reads standard error up to a line that holds `text`.
    pub fn wait_for_message(&mut self, text: &str) -> String {
        let mut seen = String::new();
        let mut lines = BufReader::new(self.child.stderr.as_mut().unwrap());
        while !seen.contains(text) {
            assert!(lines.read_line(&mut seen).unwrap() > 0, "{text:?} was never said, but {seen}");
        }
        seen
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Lets the next children inherit a descriptor.
#[allow(unsafe_code)]
fn keep_open(fd: &OwnedFd) {
    // SAFETY: F_SETFD takes an integer and touches no memory of ours.
    assert_eq!(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFD, 0) }, 0);
}

/// Arguments from text.
pub fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// `serve` on one end; the other end.
pub fn serve(more: &str) -> (Program, UnixDatagram) {
    let (inside, outside) = UnixDatagram::pair().unwrap();
    let (reader, writer) = pipe().unwrap();
    let (fd, ready) = (inside.as_raw_fd(), writer.as_raw_fd());
    let line = format!("serve --tun-fd {fd} --ready-fd {ready} --addr {SERVER}/24 --addr fd00:67::2/64 {more}");
    let program = Program::start(&words(&line), vec![inside.into(), writer.into()]);
    assert_eq!(ready_line(reader), "ready\n");
    (program, outside)
}

fn ready_line(reader: PipeReader) -> String {
    let mut line = String::new();
    BufReader::new(reader).read_line(&mut line).unwrap();
    line
}

/// A stack of the test on one end.
pub fn net(end: UnixDatagram, addresses: &[&str]) -> Net {
    let addresses: Vec<_> = addresses.iter().map(|address| address.parse().unwrap()).collect();
    Net::start(FdDevice::new(end.into(), 1_500).unwrap(), Config::new(&addresses)).unwrap()
}

/// `serve`, and a stack of the test that can reach it.
pub fn served(more: &str) -> (Program, Net) {
    let (program, end) = serve(more);
    (program, net(end, &["10.0.0.1/24", "fd00:67::1/64"]))
}

/// A connection that never waits for ever.
pub fn connect(net: &Net, port: u16) -> TcpStream {
    let stream = net.connect_timeout(&format!("{SERVER}:{port}").parse().unwrap(), PATIENCE).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Sends `request` and reads to the end.
pub fn ask(net: &Net, port: u16, request: &[u8]) -> String {
    let mut stream = connect(net, port);
    stream.write_all(request).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// Reads one response; its head and body.
pub fn response(stream: &mut TcpStream) -> (String, String) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).unwrap().parse().unwrap();
    let mut body = vec![0; length];
    stream.read_exact(&mut body).unwrap();
    (head, String::from_utf8(body).unwrap())
}
