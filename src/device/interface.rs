//! [`Interface`]: what the two TUN devices have in common, which is everything but reading, writing and offloads.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use super::fd::check;
use super::tun_error::TunError;

/// The control node of the TUN driver.
pub(super) const CONTROL_NODE: &str = "/dev/net/tun";

/// Asks for `txqueuelen` (linux/sockios.h; the crate `libc` has no name for it).
#[cfg(feature = "tun-tap")]
const SIOCGIFTXQLEN: libc::Ioctl = 0x8942;

/// A TUN as the system sees it: an interface with a name.
#[derive(Debug)]
pub struct Interface {
    name: String,
    /// For questions about the interface by name: it stays in the namespace in which the device was opened.
    control: UnixDatagram,
}

impl Interface {
    /// The interface of this name in the network namespace of the calling thread.
    pub(super) fn new(name: &str) -> io::Result<Interface> {
        Ok(Interface { name: name.to_owned(), control: UnixDatagram::unbound()? })
    }

    /// The name by which a person knows it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The MTU in bytes.
    pub(super) fn mtu(&self) -> io::Result<usize> {
        interface_mtu(&self.control, &self.name)
    }

    /// How many packets wait for us at most before the kernel drops them without a word (`txqueuelen`); `None` where that
    /// cannot be known.
    #[cfg(feature = "tun-tap")]
    pub(super) fn queue_limit(&self) -> Option<u32> {
        interface_queue_limit(&self.control, &self.name).ok().filter(|&packets| packets > 0)
    }

    /// Whether the interface is up. Nothing passes while it is down: reading gives `WouldBlock`, writing an error.
    ///
    /// # Errors
    /// When the interface was deleted or renamed.
    pub fn is_up(&self) -> io::Result<bool> {
        let flags = interface_flags(&self.control, &self.name).map_err(|error| self.explain(error))?;
        Ok(flags & libc::IFF_UP != 0)
    }

    /// Waits until the kernel has noticed that somebody is attached: until then it throws away what it would send here,
    /// and the first packets of a new connection or the answer to a first ping would be lost. It notices within a second;
    /// an interface that is down is not waited for.
    pub(super) fn wait_until_running(&self) {
        for _ in 0..400 {
            match interface_flags(&self.control, &self.name) {
                Ok(flags) if flags & libc::IFF_UP != 0 && flags & libc::IFF_RUNNING == 0 => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                _ => return,
            }
        }
    }

    /// Puts the error of a read or write into words: `NetworkDown` while the interface is down (it may come back),
    /// `NotConnected` once it was deleted.
    pub(super) fn explain(&self, error: io::Error) -> io::Error {
        let name = &self.name;
        match error.raw_os_error() {
            Some(libc::EIO) => {
                let text = format!("the interface {name} is down; `ip link set {name} up` brings it up");
                io::Error::new(ErrorKind::NetworkDown, text)
            }
            Some(libc::EBADFD | libc::ENODEV | libc::ENXIO) => {
                io::Error::new(ErrorKind::NotConnected, format!("the interface {name} vanished: somebody deleted it"))
            }
            _ => error,
        }
    }
}

/// The version of the kernel, as far as two numbers say it; `None` where it cannot be known.
pub(super) fn kernel_release() -> Option<(u32, u32)> {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").ok()?;
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|number| number.parse().ok());
    Some((numbers.next()??, numbers.next()??))
}

/// Refuses names that the system would cut short or refuse without a reason.
pub(super) fn check_name(name: &str) -> Result<(), TunError> {
    if name.len() >= libc::IFNAMSIZ || name.contains(['/', ':', '\0']) || name.contains(char::is_whitespace) {
        return Err(TunError::BadName(name.to_owned()));
    }
    Ok(())
}

/// A fresh descriptor of the TUN driver, attached to nothing. `name` is for the error.
pub(super) fn open_node(name: &str) -> Result<File, TunError> {
    File::options().read(true).write(true).open(CONTROL_NODE).map_err(|error| TunError::of_node(name, error))
}

/// Sets what the kernel may leave undone in packets that it hands over, by the bits `TUN_F_*`. They belong to the
/// interface and survive the program that set them.
#[allow(unsafe_code)]
pub(super) fn set_offloads(queue: BorrowedFd<'_>, offloads: libc::c_uint) -> io::Result<()> {
    // SAFETY: this request takes its argument by value and touches no memory of ours.
    check(unsafe { libc::ioctl(queue.as_raw_fd(), libc::TUNSETOFFLOAD, libc::c_ulong::from(offloads)) }).map(drop)
}

/// A question about, or a setting of, the interface called `name`; all else is zero.
#[allow(unsafe_code)]
pub(super) fn request_about(name: &str) -> libc::ifreq {
    // SAFETY: `ifreq` is plain data, for which all zeroes is a valid value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    // The last byte stays zero, as the end of the name.
    for (to, from) in request.ifr_name[..libc::IFNAMSIZ - 1].iter_mut().zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    request
}

/// The MTU of an interface in bytes.
#[allow(unsafe_code)]
fn interface_mtu(control: &UnixDatagram, name: &str) -> io::Result<usize> {
    let answer = interface_ioctl(control, name, libc::SIOCGIFMTU as libc::Ioctl)?;
    // SAFETY: the kernel answered SIOCGIFMTU, which fills in this variant.
    let mtu = unsafe { answer.ifr_ifru.ifru_mtu };
    usize::try_from(mtu).map_err(|_| io::Error::new(ErrorKind::InvalidData, format!("an MTU of {mtu}")))
}

#[cfg(feature = "tun-tap")]
#[allow(unsafe_code)]
fn interface_queue_limit(control: &UnixDatagram, name: &str) -> io::Result<u32> {
    let answer = interface_ioctl(control, name, SIOCGIFTXQLEN)?;
    // SAFETY: the kernel answered SIOCGIFTXQLEN, whose variant (`ifr_qlen`) is a C int at the place of this one.
    let packets = unsafe { answer.ifr_ifru.ifru_metric };
    u32::try_from(packets).map_err(|_| io::Error::new(ErrorKind::InvalidData, format!("a queue of {packets} packets")))
}

#[allow(unsafe_code)]
fn interface_flags(control: &UnixDatagram, name: &str) -> io::Result<i32> {
    let answer = interface_ioctl(control, name, libc::SIOCGIFFLAGS as libc::Ioctl)?;
    // SAFETY: the kernel answered SIOCGIFFLAGS, which fills in this variant.
    Ok(i32::from(unsafe { answer.ifr_ifru.ifru_flags }))
}

/// Asks the kernel about the interface called `name`. Any socket will do, so the one that needs no privilege is used.
#[allow(unsafe_code)]
fn interface_ioctl(control: &UnixDatagram, name: &str, request: libc::Ioctl) -> io::Result<libc::ifreq> {
    let mut question = request_about(name);
    // SAFETY: these requests read and write one `ifreq`, which lives through the call.
    check(unsafe { libc::ioctl(control.as_raw_fd(), request, &raw mut question) })?;
    Ok(question)
}
