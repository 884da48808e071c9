//! Two networks in one process, and a watchdog, for the tests of the sockets.
#![allow(dead_code)]

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use glasstcp::Config;
use glasstcp::device::Device;
use glasstcp::device::fd::FdDevice;
use glasstcp::net::{Net, TcpListener, TcpStream};

/// Runs a test on a thread of its own and fails it if it hangs.
pub fn watched(test: impl FnOnce() + Send + 'static) {
    let (done, ended) = mpsc::channel();
    let thread = thread::spawn(move || {
        test();
        let _ = done.send(());
    });
    match ended.recv_timeout(Duration::from_secs(60)) {
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("the test hangs"),
        _ => {
            if let Err(panic) = thread.join() {
                std::panic::resume_unwind(panic);
            }
        }
    }
}

/// The settings of one of the two hosts: 10.0.0.1 or 10.0.0.2, both of which have an IPv6 address too.
pub fn config(host: u8) -> Config {
    let addresses = [format!("10.0.0.{host}/24"), format!("fd00:67::{host}/64")];
    let mut config = Config::new(&addresses.map(|address| address.parse().unwrap()));
    config.tcp.time_wait = Duration::from_millis(200);
    config
}

/// The hosts 10.0.0.1 and 10.0.0.2.
pub fn two() -> (Net, Net) {
    two_on(|device| device, |device| device)
}

/// As [`two`], with the devices wrapped.
pub fn two_on<A: Device + 'static, B: Device + 'static>(
    wrap_a: impl FnOnce(FdDevice) -> A,
    wrap_b: impl FnOnce(FdDevice) -> B,
) -> (Net, Net) {
    let (a, b) = FdDevice::pair(1500).unwrap();
    (Net::start(wrap_a(a), config(1)).unwrap(), Net::start(wrap_b(b), config(2)).unwrap())
}

/// A connection from the first host to the second: both ends, and the listener.
pub fn connected(a: &Net, b: &Net) -> (TcpStream, TcpStream, TcpListener) {
    let listener = b.bind("10.0.0.2:0").unwrap();
    let client = a.connect(listener.local_addr().unwrap()).unwrap();
    let (server, _) = listener.accept().unwrap();
    (client, server, listener)
}

/// Octets that do not repeat soon.
pub fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|n| (n * 7 + n / 251) as u8).collect()
}
