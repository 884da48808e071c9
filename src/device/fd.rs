//! [`FdDevice`]: any open descriptor that carries one raw IP packet per read and one per write.
//!
//! That is a TUN which another process opened and handed over, or one end of a datagram or seqpacket socket pair, which
//! connects two stacks without any privilege.

use std::fs::File;
use std::io::{self, ErrorKind, IoSlice, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd};
use std::os::unix::net::UnixDatagram;

use libc::c_int;

use super::{Capabilities, Device, RxMeta, TxChecksum, TxMeta};

/// The MTUs that make sense: the least of IPv4 (RFC 791) and the longest packet without jumbograms.
const MTU_RANGE: std::ops::RangeInclusive<usize> = 68..=65_535;

/// Bytes asked for as the send buffer of a socket, so that packets of 64 KiB fit. The system may grant less.
static SOCKET_BUFFER: c_int = 4 << 20;

/// A device on an open descriptor; see the module's text. It has no offloads.
#[derive(Debug)]
pub struct FdDevice {
    file: File,
    mtu: usize,
    name: String,
}

impl FdDevice {
    /// A device on `fd`, whose packets are at most `mtu` bytes long. The descriptor becomes non-blocking, also for those who
    /// share it, and its send buffer is raised if it is a socket.
    ///
    /// # Errors
    /// `InvalidInput` when the descriptor is not open for reading and writing, is a stream socket (which keeps no packet
    /// boundaries), or when the MTU is outside of 68 to 65,535.
    pub fn new(fd: OwnedFd, mtu: usize) -> io::Result<FdDevice> {
        let number = fd.as_raw_fd();
        let invalid = |text: String| io::Error::new(ErrorKind::InvalidInput, text);
        let flags = match status_flags(fd.as_fd()) {
            Ok(flags) => flags,
            Err(error) => {
                // Not ours to close: the number may be given to somebody else by now.
                let _ = fd.into_raw_fd();
                return Err(invalid(format!("descriptor {number} is not open: {error}")));
            }
        };
        if flags & libc::O_ACCMODE != libc::O_RDWR {
            return Err(invalid(format!("descriptor {number} is not open for both reading and writing")));
        }
        if socket_type(fd.as_fd()) == Some(libc::SOCK_STREAM) {
            return Err(invalid(format!("descriptor {number} is a stream socket, which keeps no packet boundaries")));
        }
        if !MTU_RANGE.contains(&mtu) {
            return Err(invalid(format!("an MTU of {mtu} bytes is outside of {MTU_RANGE:?}")));
        }
        set_nonblocking(fd.as_fd())?;
        raise_send_buffer(fd.as_fd());
        Ok(FdDevice { file: File::from(fd), mtu, name: format!("fd {number}") })
    }

    /// A device on the descriptor of this number, which was handed to the process for that; see [`take`].
    ///
    /// # Errors
    /// Those of [`take`] and [`FdDevice::new`].
    pub fn from_raw(number: i32, mtu: usize) -> io::Result<FdDevice> {
        FdDevice::new(take(number)?, mtu)
    }

    /// Two devices, each of which receives what the other sends: two stacks in one process, without any privilege.
    ///
    /// The system queues only about ten packets between them (`net.unix.max_dgram_qlen`); then `transmit` gives
    /// `WouldBlock`, so nothing is lost.
    ///
    /// # Errors
    /// When the system grants no sockets, and those of [`FdDevice::new`].
    pub fn pair(mtu: usize) -> io::Result<(FdDevice, FdDevice)> {
        let (a, b) = UnixDatagram::pair()?;
        Ok((FdDevice::new(a.into(), mtu)?, FdDevice::new(b.into(), mtu)?))
    }
}

impl Device for FdDevice {
    fn capabilities(&self) -> Capabilities {
        Capabilities::plain(self.mtu)
    }

    fn receive(&self, buffer: &mut [u8]) -> io::Result<RxMeta> {
        // No IP packet is empty, so an empty read can only be the end of a socket whose other side was closed.
        match read_packet(|| (&self.file).read(buffer))? {
            0 => Err(io::Error::new(ErrorKind::UnexpectedEof, format!("{}: the other side was closed", self.name))),
            len => Ok(RxMeta::plain(len)),
        }
    }

    fn transmit(&self, packet: &[IoSlice<'_>], meta: &TxMeta) -> io::Result<()> {
        debug_assert!(meta.gso_size == 0 && meta.checksum == TxChecksum::Complete, "this device has no offloads");
        write_packet(self.file.as_fd(), packet)
    }

    fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.file.as_fd())
    }

    fn name(&self) -> &str {
        &self.name
    }
}

/// Takes over a descriptor that was handed to the process under a known number, such as that of `--tun-fd`. The caller
/// makes sure that nothing else in the process uses or closes that number: it is for descriptors inherited at the start.
///
/// # Errors
/// `InvalidInput` when there is no open descriptor of that number.
#[allow(unsafe_code)]
pub fn take(number: i32) -> io::Result<OwnedFd> {
    // SAFETY: F_GETFD takes no argument and touches no memory of ours; a number that is not open is an error.
    if let Err(error) = check(unsafe { libc::fcntl(number, libc::F_GETFD) }) {
        return Err(io::Error::new(ErrorKind::InvalidInput, format!("descriptor {number} is not open: {error}")));
    }
    // SAFETY: it is open, so not -1, and by the contract of this function nobody else in the process owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Reads by `read`, again after each interruption by a signal.
pub(super) fn read_packet(mut read: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match read() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            other => return other.map_err(busy_as_would_block),
        }
    }
}

/// Writes one packet with one system call, without joining its pieces first.
#[allow(unsafe_code)]
pub(super) fn write_packet(fd: BorrowedFd<'_>, packet: &[IoSlice<'_>]) -> io::Result<()> {
    let pieces = c_int::try_from(packet.len()).map_err(|_| io::Error::from(ErrorKind::InvalidInput))?;
    let len: usize = packet.iter().map(|piece| piece.len()).sum();
    loop {
        // SAFETY: `IoSlice` has the layout of `iovec` by its documentation, `packet` holds `pieces` of them, each of which
        // borrows readable memory for longer than this call; the descriptor is borrowed and so open.
        let written = unsafe { libc::writev(fd.as_raw_fd(), packet.as_ptr().cast(), pieces) };
        if usize::try_from(written).is_ok_and(|written| written == len) {
            return Ok(());
        }
        if written >= 0 {
            let text = format!("only {written} of the {len} bytes of a packet were taken");
            return Err(io::Error::new(ErrorKind::WriteZero, text));
        }
        let error = io::Error::last_os_error();
        if error.kind() != ErrorKind::Interrupted {
            return Err(busy_as_would_block(error));
        }
    }
}

/// A shortage of kernel memory passes like a full queue, and so must not look like the end of the device.
fn busy_as_would_block(error: io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(libc::EAGAIN | libc::ENOBUFS | libc::ENOMEM) => ErrorKind::WouldBlock.into(),
        _ => error,
    }
}

/// Makes reads and writes return `WouldBlock` instead of waiting.
#[allow(unsafe_code)]
pub(super) fn set_nonblocking(fd: BorrowedFd<'_>) -> io::Result<()> {
    let flags = status_flags(fd)?;
    // SAFETY: F_SETFL takes an integer and touches no memory of ours.
    check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, flags | libc::O_NONBLOCK) }).map(drop)
}

/// Access mode and status flags; fails when the descriptor is not open.
#[allow(unsafe_code)]
fn status_flags(fd: BorrowedFd<'_>) -> io::Result<c_int> {
    // SAFETY: F_GETFL takes no argument and touches no memory of ours.
    check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) })
}

/// `SOCK_STREAM`, `SOCK_DGRAM` and so on, or nothing for what is no socket.
#[allow(unsafe_code)]
fn socket_type(fd: BorrowedFd<'_>) -> Option<c_int> {
    let mut kind: c_int = 0;
    let mut len = size_of::<c_int>() as libc::socklen_t;
    // SAFETY: the kernel writes at most `len` bytes to `kind`, which is that large, and updates `len`.
    let result = unsafe {
        libc::getsockopt(fd.as_raw_fd(), libc::SOL_SOCKET, libc::SO_TYPE, (&raw mut kind).cast(), &raw mut len)
    };
    (result == 0).then_some(kind)
}

/// Makes room for large packets in a socket. What is no socket has nothing to raise, so failure is no error.
#[allow(unsafe_code)]
fn raise_send_buffer(fd: BorrowedFd<'_>) {
    let len = size_of::<c_int>() as libc::socklen_t;
    // SAFETY: the kernel reads `len` bytes from a static of that size.
    let _ = unsafe {
        libc::setsockopt(fd.as_raw_fd(), libc::SOL_SOCKET, libc::SO_SNDBUF, (&raw const SOCKET_BUFFER).cast(), len)
    };
}

/// The C convention "-1 and errno" as a `Result`.
pub(super) fn check(result: c_int) -> io::Result<c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn a_pair_carries_whole_packets_in_pieces_both_ways() {
        let (a, b) = FdDevice::pair(1500).unwrap();
        let mut buffer = vec![0; 65_536];
        assert_eq!(b.receive(&mut buffer).unwrap_err().kind(), ErrorKind::WouldBlock);
        a.transmit(&[IoSlice::new(b"head"), IoSlice::new(b""), IoSlice::new(b"body")], &TxMeta::default()).unwrap();
        a.transmit(&[IoSlice::new(b"second")], &TxMeta::default()).unwrap();
        assert_eq!(b.receive(&mut buffer).unwrap(), RxMeta::plain(8));
        assert_eq!(&buffer[..8], b"headbody");
        assert_eq!(b.receive(&mut buffer).unwrap().len, 6);
        let large = vec![7; 65_535];
        b.transmit(&[IoSlice::new(&large)], &TxMeta::default()).unwrap();
        assert_eq!(a.receive(&mut buffer).unwrap().len, 65_535);
        assert_eq!(buffer[..65_535], large);
    }

    #[test]
    fn a_full_queue_blocks_and_a_lost_partner_is_an_end() {
        let (a, b) = FdDevice::pair(1500).unwrap();
        let send = || a.transmit(&[IoSlice::new(b"packet")], &TxMeta::default());
        let full = (0..100_000).find_map(|_| send().err()).expect("the queue has a limit");
        assert_eq!(full.kind(), ErrorKind::WouldBlock);
        b.receive(&mut [0; 100]).unwrap();
        send().expect("there is room again");
        drop(b);
        assert_ne!(send().unwrap_err().kind(), ErrorKind::WouldBlock);
    }

    #[test]
    #[allow(unsafe_code)]
    fn the_end_of_a_seqpacket_socket_is_seen_on_reading() {
        let mut ends = [0; 2];
        // SAFETY: the kernel writes two descriptors to an array of two.
        check(unsafe { libc::socketpair(libc::AF_UNIX, libc::SOCK_SEQPACKET, 0, ends.as_mut_ptr()) }).unwrap();
        // SAFETY: both descriptors are fresh and nobody else owns them.
        let [a, b] = ends.map(|end| unsafe { OwnedFd::from_raw_fd(end) });
        let a = FdDevice::new(a, 1500).unwrap();
        drop(b);
        assert_eq!(a.receive(&mut [0; 100]).unwrap_err().kind(), ErrorKind::UnexpectedEof);
    }

    #[test]
    fn unfit_descriptors_are_refused_with_a_reason() {
        let refusal = |fd: OwnedFd, mtu| FdDevice::new(fd, mtu).unwrap_err().to_string();
        let (stream, _other) = UnixStream::pair().unwrap();
        assert!(refusal(stream.into(), 1500).contains("stream socket"));
        assert!(refusal(File::open("/dev/null").unwrap().into(), 1500).contains("reading and writing"));
        let (datagram, _other) = UnixDatagram::pair().unwrap();
        assert!(refusal(datagram.into(), 67).contains("MTU of 67"));
    }

    #[test]
    #[allow(unsafe_code)]
    fn a_number_that_is_not_open_is_refused() {
        // SAFETY: nobody owns a descriptor of this number, and `new` gives it up without closing it.
        let fd = unsafe { OwnedFd::from_raw_fd(1_000_003) };
        assert!(FdDevice::new(fd, 1500).unwrap_err().to_string().contains("1000003 is not open"));
        assert!(FdDevice::from_raw(1_000_003, 1500).unwrap_err().to_string().contains("1000003 is not open"));
        assert!(FdDevice::from_raw(-1, 1500).unwrap_err().to_string().contains("-1 is not open"));
    }
}
