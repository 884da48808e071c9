//! [`OffloadDevice`]: a Linux TUN that carries super-segments, with checksums left to the kernel.
//!
//! Each read and write has a [`VirtioHeader`] before the packet. By it the kernel hands over up to 64 KiB of one TCP
//! connection at once, which it would otherwise have cut, and takes as much from here. That is what makes a TUN fast: a
//! system call costs about the same for 1,500 bytes as for 64 KiB.
//!
//! A TUN made with `multi_queue` can be attached to several times, each time by a device of its own; the kernel sends the
//! packets of a flow to the queue on which it last saw a packet of that flow.

use std::fs::File;
use std::io::{self, ErrorKind, IoSlice, IoSliceMut, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use libc::{c_int, c_uint};

use super::fd::{check, read_packet, set_nonblocking, write_packet};
use super::interface::{self, Interface};
use super::tun_error::TunError;
use super::virtio::{HEADER_LEN, VirtioHeader};
use super::{Capabilities, Device, RxMeta, TxMeta};

/// The longest packet that IP can name, and so the longest super-segment. (IPv6 could name 40 bytes more; one limit for both
/// keeps the buffers of all readers at 64 KiB.)
pub const MAX_SUPER: usize = 65_535;

/// The longest packet whose length its header cannot say: as much as its pieces can be, and half of what the kernel takes.
pub const MAX_BIG: usize = 256 * 1024;

/// The first kernel that reads an IPv4 total length of 0 as "as long as the packet is" (BIG TCP).
const BIG_SINCE: (u32, u32) = (6, 3);

/// Pieces of a packet that are written without copying the list of them: a header, and as many pieces as text has.
const MAX_PIECES: usize = 6;

/// Several datagrams in one packet, both ways. Both came with Linux 6.2: a kernel that knows the one takes the other.
const UDP_OFFLOADS: c_uint = libc::TUN_F_USO4 | libc::TUN_F_USO6;

/// What the kernel may hand over, the most first; the first set that the driver knows is taken.
const OFFLOADS: [c_uint; 3] = {
    let tcp = libc::TUN_F_CSUM | libc::TUN_F_TSO4 | libc::TUN_F_TSO6 | libc::TUN_F_TSO_ECN;
    [tcp | UDP_OFFLOADS, tcp, libc::TUN_F_CSUM]
};

/// One queue of a TUN, with offloads; see the module's text.
#[derive(Debug)]
pub struct OffloadDevice {
    queue: File,
    interface: Arc<Interface>,
    mtu: usize,
    /// See [`Capabilities::max_big_v4`].
    max_big: usize,
    /// See [`Capabilities::udp_segmentation`].
    udp_segmentation: bool,
    /// Packets that the kernel refused.
    refused: AtomicU64,
}

impl OffloadDevice {
    /// Attaches to the TUN called `name`, or creates it for as long as this device lives if there is none. An empty name or
    /// one with `%d` lets the system choose; see [`Device::name`]. A created interface is down and has no address. Of a TUN
    /// with many queues one is taken.
    ///
    /// # Errors
    /// See [`TunError`]; its text says what to do. [`TunError::NoOffload`] where only a plain device can work.
    pub fn open(name: &str) -> Result<OffloadDevice, TunError> {
        interface::check_name(name)?;
        // Whether a TUN that exists was made with `multi_queue` is known only by trying.
        let (queue, name) = match attach(name, 0) {
            Err(TunError::WrongKind { .. }) => attach(name, libc::IFF_MULTI_QUEUE).map_err(no_tun)?,
            result => result?,
        };
        let device = prepare(vec![queue], &name)?.pop();
        device.ok_or(TunError::TooManyQueues { name, queues: 1 })
    }

    /// Attaches to `queues` queues (at least one) of the TUN called `name`, which was made with `multi_queue`; creates it
    /// if there is none.
    ///
    /// # Errors
    /// As [`OffloadDevice::open`]; [`TunError::SingleQueue`] for a TUN made without `multi_queue`.
    pub fn open_queues(name: &str, queues: usize) -> Result<Vec<OffloadDevice>, TunError> {
        if queues <= 1 {
            return Ok(vec![OffloadDevice::open(name)?]);
        }
        interface::check_name(name)?;
        let (first, name) = match attach(name, libc::IFF_MULTI_QUEUE) {
            Err(TunError::WrongKind { name }) => return Err(why_not_many(name, queues)),
            result => result?,
        };
        let mut files = vec![first];
        while files.len() < queues {
            match attach(&name, libc::IFF_MULTI_QUEUE) {
                Ok((file, _)) => files.push(file),
                Err(TunError::Other { error, .. }) if error.raw_os_error() == Some(libc::E2BIG) => {
                    return Err(TunError::TooManyQueues { name, queues });
                }
                Err(error) => return Err(error),
            }
        }
        prepare(files, &name)
    }

    /// Whether the interface is up. Nothing passes while it is down: reading gives `WouldBlock`, writing an error.
    ///
    /// # Errors
    /// When the interface was deleted or renamed.
    pub fn is_up(&self) -> io::Result<bool> {
        self.interface.is_up()
    }

    /// The interface, for those who ask about it while somebody else owns the device.
    pub fn interface(&self) -> Arc<Interface> {
        Arc::clone(&self.interface)
    }

    /// Packets that the kernel refused and that are lost.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Counts a packet that is lost because the kernel did not take it as it is. That says nothing about the next one, so
    /// the device goes on, and TCP sends again what mattered; but somebody should know.
    fn refuse(&self, meta: &TxMeta) {
        let refused = self.refused.fetch_add(1, Ordering::Relaxed) + 1;
        if refused.is_power_of_two() {
            let name = self.interface.name();
            tracing::warn!(target: "glasstcp::drop", device = name, refused, ?meta, "the kernel refused a packet");
        }
    }
}

impl Device for OffloadDevice {
    fn capabilities(&self) -> Capabilities {
        let plain = Capabilities::plain(self.mtu);
        Capabilities {
            max_super_v4: MAX_SUPER,
            max_super_v6: MAX_SUPER,
            tx_checksum: true,
            max_big_v4: self.max_big,
            udp_segmentation: self.udp_segmentation,
            ..plain
        }
    }

    fn receive(&self, buffer: &mut [u8]) -> io::Result<RxMeta> {
        let mut header = [0; HEADER_LEN];
        let mut pieces = [IoSliceMut::new(&mut header), IoSliceMut::new(buffer)];
        let read =
            read_packet(|| (&self.queue).read_vectored(&mut pieces)).map_err(|error| self.interface.explain(error))?;
        let packet = &buffer[..read.saturating_sub(HEADER_LEN)];
        Ok(VirtioHeader::from_bytes(header).receive_meta(packet))
    }

    fn transmit(&self, packet: &[IoSlice<'_>], meta: &TxMeta) -> io::Result<()> {
        let version = packet.iter().find_map(|piece| piece.first()).map_or(0, |first| first >> 4);
        let len = packet.iter().map(|piece| piece.len()).sum();
        let Some(header) = VirtioHeader::for_transmit(version == 6, len, meta) else {
            debug_assert!(false, "the kernel cannot cut this: {meta:?}");
            self.refuse(meta);
            return Ok(());
        };
        let header = header.to_bytes();
        let mut pieces = [IoSlice::new(&header); 1 + MAX_PIECES];
        let result = match pieces.get_mut(1..=packet.len()) {
            Some(rest) => {
                rest.copy_from_slice(packet);
                write_packet(self.queue.as_fd(), &pieces[..=packet.len()])
            }
            None => write_packet(self.queue.as_fd(), &[&pieces[..1], packet].concat()),
        };
        match result {
            // EINVAL: header and packet do not fit together, or it is no IP packet. EMSGSIZE: too long for its buffers.
            Err(error) if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::EMSGSIZE)) => {
                self.refuse(meta);
                Ok(())
            }
            result => result.map_err(|error| self.interface.explain(error)),
        }
    }

    fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.queue.as_fd())
    }

    fn name(&self) -> &str {
        self.interface.name()
    }
}

/// Attaches a fresh descriptor to a queue of the TUN called `name`, with these flags beyond the usual; the answer has the
/// name that the system chose.
fn attach(name: &str, flags: c_int) -> Result<(File, String), TunError> {
    let queue = interface::open_node(name)?;
    let chosen = set_interface(&queue, name, libc::IFF_TUN | libc::IFF_NO_PI | libc::IFF_VNET_HDR | flags)
        .map_err(|error| TunError::of_interface(name, error))?;
    Ok((queue, chosen))
}

#[allow(unsafe_code)]
fn set_interface(queue: &File, name: &str, flags: c_int) -> io::Result<String> {
    let mut request = interface::request_about(name);
    request.ifr_ifru.ifru_flags =
        libc::c_short::try_from(flags).map_err(|_| io::Error::from(ErrorKind::InvalidInput))?;
    // SAFETY: this request reads and writes one `ifreq`, which lives through the call.
    check(unsafe { libc::ioctl(queue.as_raw_fd(), libc::TUNSETIFF, &raw mut request) })?;
    let bytes: Vec<u8> = request.ifr_name.iter().map(|&byte| byte as u8).take_while(|&byte| byte != 0).collect();
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Sets up the queues of one TUN.
fn prepare(queues: Vec<File>, name: &str) -> Result<Vec<OffloadDevice>, TunError> {
    let no_offload = |error| TunError::NoOffload { name: name.to_owned(), error };
    let other = |error| TunError::Other { name: name.to_owned(), error };
    // All of this belongs to the TUN, and survives on one that outlives its programs, so another may have left anything.
    let mut udp_segmentation = false;
    if let Some(queue) = queues.first() {
        set_header_form(queue).map_err(no_offload)?;
        udp_segmentation = offer_offloads(queue).map_err(no_offload)? & UDP_OFFLOADS != 0;
    }
    let interface = Arc::new(Interface::new(name).map_err(other)?);
    let mtu = interface.mtu().map_err(other)?;
    for queue in &queues {
        set_nonblocking(queue.as_fd()).map_err(other)?;
    }
    interface.wait_until_running();
    let max_big = if interface::kernel_release().is_some_and(|release| release >= BIG_SINCE) { MAX_BIG } else { 0 };
    let refused = || AtomicU64::new(0);
    let device = |queue| OffloadDevice {
        queue,
        interface: Arc::clone(&interface),
        mtu,
        max_big,
        udp_segmentation,
        refused: refused(),
    };
    Ok(queues.into_iter().map(device).collect())
}

/// Headers of [`HEADER_LEN`] bytes in little endian.
#[allow(unsafe_code)]
fn set_header_form(queue: &File) -> io::Result<()> {
    let len = HEADER_LEN as c_int;
    let little_endian: c_int = 1;
    for (request, value) in [(libc::TUNSETVNETHDRSZ, &len), (libc::TUNSETVNETLE, &little_endian)] {
        // SAFETY: these requests read one `int`, which lives through the call.
        check(unsafe { libc::ioctl(queue.as_raw_fd(), request, std::ptr::from_ref(value)) })?;
    }
    Ok(())
}

/// Which of them the kernel took.
fn offer_offloads(queue: &File) -> io::Result<c_uint> {
    let mut result = Ok(0);
    for offloads in OFFLOADS {
        result = interface::set_offloads(queue.as_fd(), offloads).map(|()| offloads);
        if result.is_ok() {
            break;
        }
    }
    result
}

/// The kernel refuses what is not a TUN and a TUN with the other number of queues by the same error. Once both were tried,
/// it is no TUN.
fn no_tun(error: TunError) -> TunError {
    match error {
        TunError::WrongKind { name } => TunError::NoTun { name },
        other => other,
    }
}

/// Why a TUN gives no second queue: it was made with one (also if that one is taken), or it is no TUN.
fn why_not_many(name: String, queues: usize) -> TunError {
    match attach(&name, 0) {
        Ok(_) | Err(TunError::Busy { .. }) => TunError::SingleQueue { name, queues },
        Err(other) => no_tun(other),
    }
}

#[cfg(test)]
#[path = "offload_tests.rs"]
mod tests;
