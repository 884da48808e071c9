//! [`TunDevice`]: a Linux TUN by the crate `tun-tap`, without offloads.

use std::fs::File;
use std::io::{self, ErrorKind, IoSlice};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::net::UnixDatagram;
use std::{error, fmt};

use tun_tap::{Iface, Mode};

use super::fd::{check, read_packet, set_nonblocking, write_packet};
use super::{Capabilities, Device, RxMeta, TxChecksum, TxMeta};

/// The control node of the TUN driver.
const CONTROL_NODE: &str = "/dev/net/tun";

/// A TUN device that this process is attached to; see the module's text.
#[derive(Debug)]
pub struct TunDevice {
    iface: Iface,
    /// For questions about the interface by name: it stays in the namespace in which the device was opened.
    control: UnixDatagram,
    mtu: usize,
}

impl TunDevice {
    /// Attaches to the TUN called `name`, or creates it for as long as this device lives if there is none. An empty name or
    /// one with `%d` lets the system choose; see [`Device::name`]. A created interface is down and has no address.
    ///
    /// # Errors
    /// See [`TunError`]; its text says what to do.
    pub fn open(name: &str) -> Result<TunDevice, TunError> {
        if name.len() >= libc::IFNAMSIZ || name.contains(['/', ':', '\0']) || name.contains(char::is_whitespace) {
            return Err(TunError::BadName(name.to_owned()));
        }
        // Tried alone first, as the crate gives one error for two causes: the node and the interface.
        File::options().read(true).write(true).open(CONTROL_NODE).map_err(|error| TunError::of_node(name, error))?;
        let iface = Iface::without_packet_info(name, Mode::Tun).map_err(|error| TunError::of_interface(name, error))?;
        let device = Self::prepare(iface).map_err(|error| TunError::Other { name: name.to_owned(), error })?;
        device.wait_until_running();
        Ok(device)
    }

    /// Waits until the kernel has noticed that somebody is attached: until then it throws away what it would send here,
    /// and the first packets of a new connection or the answer to a first ping would be lost. It notices within a second;
    /// an interface that is down is not waited for.
    fn wait_until_running(&self) {
        for _ in 0..400 {
            match interface_flags(&self.control, self.iface.name()) {
                Ok(flags) if flags & libc::IFF_UP != 0 && flags & libc::IFF_RUNNING == 0 => {
                    std::thread::sleep(std::time::Duration::from_millis(5));
                }
                _ => return,
            }
        }
    }

    fn prepare(iface: Iface) -> io::Result<TunDevice> {
        set_nonblocking(borrow(&iface))?;
        disable_offload(&iface)?;
        let control = UnixDatagram::unbound()?;
        let mtu = interface_mtu(&control, iface.name())?;
        Ok(TunDevice { iface, control, mtu })
    }

    /// Whether the interface is up. Nothing passes while it is down: reading gives `WouldBlock`, writing an error.
    ///
    /// # Errors
    /// When the interface was deleted or renamed.
    pub fn is_up(&self) -> io::Result<bool> {
        let flags = interface_flags(&self.control, self.iface.name()).map_err(|error| self.explain(error))?;
        Ok(flags & libc::IFF_UP != 0)
    }

    /// Puts the error of a read or write into words: `NetworkDown` while the interface is down (it may come back),
    /// `NotConnected` once it was deleted.
    fn explain(&self, error: io::Error) -> io::Error {
        let name = self.iface.name();
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

impl Device for TunDevice {
    fn capabilities(&self) -> Capabilities {
        Capabilities::plain(self.mtu)
    }

    fn receive(&self, buffer: &mut [u8]) -> io::Result<RxMeta> {
        read_packet(|| self.iface.recv(buffer)).map(RxMeta::plain).map_err(|error| self.explain(error))
    }

    fn transmit(&self, packet: &[IoSlice<'_>], meta: &TxMeta) -> io::Result<()> {
        debug_assert!(meta.gso_size == 0 && meta.checksum == TxChecksum::Complete, "this device has no offloads");
        // Not `Iface::send`: it takes one slice, for which the pieces would have to be copied together.
        write_packet(borrow(&self.iface), packet).map_err(|error| self.explain(error))
    }

    fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        Some(borrow(&self.iface))
    }

    fn name(&self) -> &str {
        self.iface.name()
    }
}

/// Why a TUN could not be opened. The text of each says what to do about it.
#[derive(Debug)]
#[non_exhaustive]
pub enum TunError {
    /// The name is longer than 15 bytes or has a character that the system forbids.
    BadName(String),
    /// `/dev/net/tun` does not exist or has no driver.
    NoDriver(io::Error),
    /// `/dev/net/tun` may not be opened by this user or in this container.
    NodeDenied(io::Error),
    /// This process may neither create the interface nor attach to it.
    NotPermitted {
        /// The name of the interface.
        name: String,
    },
    /// Another program is attached to the interface.
    Busy {
        /// The name of the interface.
        name: String,
    },
    /// An interface of this name exists, but is no TUN with a single queue.
    WrongKind {
        /// The name of the interface.
        name: String,
    },
    /// Something else failed.
    Other {
        /// The name of the interface.
        name: String,
        /// What the system said.
        error: io::Error,
    },
}

impl TunError {
    fn of_node(name: &str, error: io::Error) -> TunError {
        match error.raw_os_error() {
            // EACCES by the mode of the node, EPERM by the device rules of a container.
            Some(libc::EACCES | libc::EPERM) => TunError::NodeDenied(error),
            // ENOENT without the node, the others with a node and no driver behind it.
            Some(libc::ENOENT | libc::ENODEV | libc::ENXIO) => TunError::NoDriver(error),
            _ => TunError::Other { name: name.to_owned(), error },
        }
    }

    fn of_interface(name: &str, error: io::Error) -> TunError {
        let name = name.to_owned();
        match error.raw_os_error() {
            Some(libc::EPERM) => TunError::NotPermitted { name },
            Some(libc::EBUSY) => TunError::Busy { name },
            Some(libc::EINVAL) => TunError::WrongKind { name },
            _ => TunError::Other { name, error },
        }
    }
}

impl fmt::Display for TunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TunError::BadName(name) => {
                write!(f, "{name:?} cannot name an interface: at most 15 bytes, without spaces, '/' and ':'")
            }
            TunError::NoDriver(error) => write!(
                f,
                "{CONTROL_NODE} is missing ({error}): load the driver with `sudo modprobe tun`, or start the container \
                 with `--device {CONTROL_NODE}`"
            ),
            TunError::NodeDenied(error) => write!(
                f,
                "{CONTROL_NODE} may not be opened ({error}): run `sudo chmod 0666 {CONTROL_NODE}` or run as root; in a \
                 container, start it with `--device {CONTROL_NODE}`"
            ),
            TunError::NotPermitted { name } => write!(
                f,
                "not permitted to create or attach to the interface {name:?}, which needs CAP_NET_ADMIN unless the \
                 interface exists and belongs to this user: run `sudo scripts/tun-up.sh` once, or `sudo setcap \
                 cap_net_admin+ep` on the program"
            ),
            TunError::Busy { name } => write!(
                f,
                "the interface {name:?} is busy: another program is attached to it; stop that program or choose another \
                 name"
            ),
            TunError::WrongKind { name } => write!(
                f,
                "the interface {name:?} exists, but is no TUN with a single queue: choose another name, or, if it is a TAP \
                 or a multi_queue TUN of yours, recreate it with `sudo ip link del {name}; sudo ip tuntap add dev {name} \
                 mode tun`"
            ),
            TunError::Other { name, error } => write!(f, "the interface {name:?} could not be opened: {error}"),
        }
    }
}

impl error::Error for TunError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            TunError::NoDriver(error) | TunError::NodeDenied(error) | TunError::Other { error, .. } => Some(error),
            _ => None,
        }
    }
}

/// The crate lends only the bare number of its descriptor.
#[allow(unsafe_code)]
fn borrow(iface: &Iface) -> BorrowedFd<'_> {
    // SAFETY: the interface owns the descriptor and outlives the borrow.
    unsafe { BorrowedFd::borrow_raw(iface.as_raw_fd()) }
}

/// Offloads belong to the interface and survive the program that turned them on. Left on, the kernel would hand over
/// merged packets of 54 kB with unfinished checksums, and this device has no header that would say so.
#[allow(unsafe_code)]
fn disable_offload(iface: &Iface) -> io::Result<()> {
    let no_offloads: libc::c_ulong = 0;
    // SAFETY: this request takes its argument by value and touches no memory of ours.
    check(unsafe { libc::ioctl(iface.as_raw_fd(), libc::TUNSETOFFLOAD, no_offloads) }).map(drop)
}

/// The MTU of an interface in bytes.
#[allow(unsafe_code)]
fn interface_mtu(control: &UnixDatagram, name: &str) -> io::Result<usize> {
    let answer = interface_ioctl(control, name, libc::SIOCGIFMTU as libc::Ioctl)?;
    // SAFETY: the kernel answered SIOCGIFMTU, which fills in this variant.
    let mtu = unsafe { answer.ifr_ifru.ifru_mtu };
    usize::try_from(mtu).map_err(|_| io::Error::new(ErrorKind::InvalidData, format!("an MTU of {mtu}")))
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
    // SAFETY: `ifreq` is plain data, for which all zeroes is a valid value.
    let mut question: libc::ifreq = unsafe { std::mem::zeroed() };
    // The last byte stays zero, as the end of the name.
    for (to, from) in question.ifr_name[..libc::IFNAMSIZ - 1].iter_mut().zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    // SAFETY: these requests read and write one `ifreq`, which lives through the call.
    check(unsafe { libc::ioctl(control.as_raw_fd(), request, &raw mut question) })?;
    Ok(question)
}

#[cfg(test)]
#[path = "tun_tests.rs"]
mod tests;
