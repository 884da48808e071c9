//! Connections over this stack or over the kernel, behind one face.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

use crate::net;

/// How long a connection may take to open.
const CONNECT: Duration = Duration::from_secs(10);
/// A call that waits comes back after this, so that somebody can look whether the test is over.
const TICK: Duration = Duration::from_millis(100);

/// Who carries the connections.
pub(super) enum Network {
    /// The kernel, with a congestion control of choice.
    Kernel(Option<String>),
    Ours(net::Net),
}

/// A connection.
pub(super) enum Stream {
    Kernel(std::net::TcpStream),
    Ours(net::TcpStream),
}

impl Network {
    /// For people and for programs.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Network::Kernel(_) => "kernel",
            Network::Ours(_) => "glasstcp",
        }
    }

    /// Opens a connection that sends short segments at once and waits for nothing longer than a tick.
    pub(super) fn connect(&self, to: SocketAddr) -> io::Result<Stream> {
        match self {
            Network::Kernel(congestion) => {
                let socket = socket(to, congestion.as_deref())?;
                // On Linux this limits how long connect() waits, too.
                socket.set_write_timeout(Some(CONNECT))?;
                socket.connect(&to.into()).map_err(|error| match error.raw_os_error() {
                    Some(libc::EINPROGRESS | libc::EAGAIN) => ErrorKind::TimedOut.into(),
                    _ => error,
                })?;
                let stream = std::net::TcpStream::from(socket);
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(TICK))?;
                stream.set_write_timeout(Some(TICK))?;
                Ok(Stream::Kernel(stream))
            }
            Network::Ours(net) => {
                let stream = net.connect_timeout(&to, CONNECT)?;
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(TICK))?;
                stream.set_write_timeout(Some(TICK))?;
                Ok(Stream::Ours(stream))
            }
        }
    }
}

/// A socket of the kernel for that family, with its congestion control set before there is a connection.
pub(super) fn socket(address: SocketAddr, congestion: Option<&str>) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if let Some(name) = congestion {
        socket.set_tcp_congestion(name.as_bytes()).map_err(|error| {
            let hint = "/proc/sys/net/ipv4/tcp_available_congestion_control lists them, --congestion default takes the kernel's";
            io::Error::new(error.kind(), format!("congestion control {name}: {error} ({hint})"))
        })?;
    }
    Ok(socket)
}

impl Stream {
    /// Reads what is there; `None` after a tick without anything.
    pub(super) fn read(&self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        patient(match self {
            Stream::Kernel(stream) => (&mut &*stream).read(buffer),
            Stream::Ours(stream) => (&mut &*stream).read(buffer),
        })
    }

    /// Writes what there is room for; `None` after a tick without any.
    pub(super) fn write(&self, bytes: &[u8]) -> io::Result<Option<usize>> {
        patient(match self {
            Stream::Kernel(stream) => (&mut &*stream).write(bytes),
            Stream::Ours(stream) => (&mut &*stream).write(bytes),
        })
    }

    /// Says that nothing more will be sent.
    pub(super) fn finish(&self) -> io::Result<()> {
        match self {
            Stream::Kernel(stream) => stream.shutdown(Shutdown::Write),
            Stream::Ours(stream) => stream.shutdown(Shutdown::Write),
        }
    }

    /// Lets the close be a reset.
    pub(super) fn close_by_reset(&self) -> io::Result<()> {
        match self {
            Stream::Kernel(stream) => socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO)),
            Stream::Ours(stream) => stream.set_linger(Some(Duration::ZERO)),
        }
    }
}

fn patient(result: io::Result<usize>) -> io::Result<Option<usize>> {
    match result {
        Ok(count) => Ok(Some(count)),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(None),
        Err(error) => Err(error),
    }
}

/// What to do about an error, where there is something.
pub(super) fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        ErrorKind::ConnectionRefused => " (nobody listens there: `glasstcp serve` or `glasstcp bench server --kernel`)",
        ErrorKind::TimedOut => " (no answer)",
        ErrorKind::AddrNotAvailable => {
            " (no port is free: those of closed connections stay taken for the TIME-WAIT of a minute; --reset with \
             --crr, or in a network namespace of your own sysctl net.ipv4.tcp_tw_reuse=1)"
        }
        _ if error.raw_os_error() == Some(libc::EMFILE) => " (`ulimit -n` raises the limit)",
        _ => "",
    }
}
