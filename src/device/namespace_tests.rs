//! What the tests of the TUN devices have in common: a network namespace of the thread, and devices of any kind.

use std::fs::File;
use std::io::{self, IoSlice};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixDatagram;
use std::process::Command;

use super::fd::check;
use super::interface::{CONTROL_NODE, request_about};
use super::{Device, TxMeta};

/// Runs `test` in a fresh network namespace, or says why not. The programs that it starts inherit the namespace.
#[allow(unsafe_code)]
pub(super) fn in_namespace(test: impl FnOnce() + Send + 'static) {
    let run = || {
        // SAFETY: this changes the namespace of the calling thread only, and touches no memory.
        if let Err(error) = check(unsafe { libc::unshare(libc::CLONE_NEWNET) }) {
            println!("skipped: a network namespace needs root ({error})");
        } else if let Err(error) = File::options().read(true).write(true).open(CONTROL_NODE) {
            println!("skipped: {CONTROL_NODE} cannot be opened ({error})");
        } else if Command::new("ip").arg("-V").output().is_err() {
            println!("skipped: ip (iproute2) is not installed");
        } else {
            test();
        }
    };
    if let Err(panic) = std::thread::spawn(run).join() {
        std::panic::resume_unwind(panic);
    }
}

pub(super) fn ip(arguments: &str) {
    let output = Command::new("ip").args(arguments.split(' ')).output().unwrap();
    assert!(output.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Reads until nothing waits (the system sends packets of its own) or an error comes.
pub(super) fn drain(device: &dyn Device) -> io::Error {
    let mut buffer = vec![0; 65_536];
    (0..1000).find_map(|_| device.receive(&mut buffer).err()).expect("no endless packets")
}

pub(super) fn send(device: &dyn Device, packet: &[u8]) -> io::Result<()> {
    let (head, body) = packet.split_at(20);
    device.transmit(&[IoSlice::new(head), IoSlice::new(body)], &TxMeta::default())
}

/// An ICMP echo request from 10.9.0.2 to the interface's 10.9.0.1.
pub(super) fn echo_request() -> Vec<u8> {
    let mut packet = Vec::new();
    let builder = etherparse::PacketBuilder::ipv4([10, 9, 0, 2], [10, 9, 0, 1], 64).icmpv4_echo_request(7, 1);
    builder.write(&mut packet, b"hello").unwrap();
    packet
}

/// The events that a driver waiting for input would be woken by.
#[allow(unsafe_code)]
pub(super) fn poll(device: &dyn Device) -> libc::c_short {
    let mut entry =
        libc::pollfd { fd: device.as_fd().expect("a TUN has one").as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one entry is given and lives through the call, which does not wait.
    check(unsafe { libc::poll(&raw mut entry, 1, 0) }).unwrap();
    entry.revents
}

/// Whether the kernel leaves the transport checksums of this interface unfinished.
#[allow(unsafe_code)]
pub(super) fn transmit_checksum_offload(name: &str) -> bool {
    const ETHTOOL_GTXCSUM: u32 = 0x16;
    let socket = UnixDatagram::unbound().unwrap();
    let mut value = [ETHTOOL_GTXCSUM, 0];
    let mut question = request_about(name);
    question.ifr_ifru.ifru_data = value.as_mut_ptr().cast();
    // SAFETY: the request reads and writes the two numbers behind the pointer, which live through the call.
    check(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCETHTOOL as libc::Ioctl, &raw mut question) }).unwrap();
    value[1] != 0
}
