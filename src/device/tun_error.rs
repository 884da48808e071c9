//! [`TunError`]: why a TUN could not be opened, and what to do about it.

use std::{error, fmt, io};

use super::interface::CONTROL_NODE;

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
    /// An interface of this name exists, but is no TUN at all.
    NoTun {
        /// The name of the interface.
        name: String,
    },
    /// The TUN was made with a single queue, and more were asked for.
    SingleQueue {
        /// The name of the interface.
        name: String,
        /// Queues that were asked for.
        queues: usize,
    },
    /// The system gives no more queues of this TUN.
    TooManyQueues {
        /// The name of the interface.
        name: String,
        /// Queues that were asked for.
        queues: usize,
    },
    /// The driver knows no offloads. The plain device does without them.
    NoOffload {
        /// The name of the interface.
        name: String,
        /// What the system said.
        error: io::Error,
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
    pub(super) fn of_node(name: &str, error: io::Error) -> TunError {
        match error.raw_os_error() {
            // EACCES by the mode of the node, EPERM by the device rules of a container.
            Some(libc::EACCES | libc::EPERM) => TunError::NodeDenied(error),
            // ENOENT without the node, the others with a node and no driver behind it.
            Some(libc::ENOENT | libc::ENODEV | libc::ENXIO) => TunError::NoDriver(error),
            _ => TunError::Other { name: name.to_owned(), error },
        }
    }

    pub(super) fn of_interface(name: &str, error: io::Error) -> TunError {
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
            TunError::NoTun { name } => write!(
                f,
                "the interface {name:?} exists, but is no TUN: choose another name, or, if it is a TAP of yours, recreate \
                 it with `sudo ip link del {name}; sudo ip tuntap add dev {name} mode tun`"
            ),
            TunError::SingleQueue { name, queues } => write!(
                f,
                "the interface {name:?} has a single queue, and {queues} were asked for: recreate it with `sudo ip link \
                 del {name}; sudo ip tuntap add dev {name} mode tun multi_queue` (or `scripts/tun-up.sh --multi-queue`), \
                 or use one queue"
            ),
            TunError::TooManyQueues { name, queues } => {
                write!(f, "the system does not give {queues} queues of the interface {name:?}: ask for fewer")
            }
            TunError::NoOffload { name, error } => write!(
                f,
                "the TUN driver offers no offloads on the interface {name:?} ({error}): use the plain device \
                 (`--device plain`)"
            ),
            TunError::Other { name, error } => write!(f, "the interface {name:?} could not be opened: {error}"),
        }
    }
}

impl error::Error for TunError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            TunError::NoDriver(error) | TunError::NodeDenied(error) => Some(error),
            TunError::NoOffload { error, .. } | TunError::Other { error, .. } => Some(error),
            _ => None,
        }
    }
}
