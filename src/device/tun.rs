//! [`TunDevice`]: a Linux TUN by the crate `tun-tap`, without offloads.

use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::Arc;

use tun_tap::{Iface, Mode};

use super::fd::{read_packet, set_nonblocking, write_packet};
use super::interface::{self, Interface};
use super::{Capabilities, Device, RxMeta, TxChecksum, TxMeta};

pub use super::tun_error::TunError;

/// A TUN device that this process is attached to; see the module's text.
#[derive(Debug)]
pub struct TunDevice {
    iface: Iface,
    interface: Arc<Interface>,
    mtu: usize,
}

impl TunDevice {
    /// Attaches to the TUN called `name`, or creates it for as long as this device lives if there is none. An empty name or
    /// one with `%d` lets the system choose; see [`Device::name`]. A created interface is down and has no address.
    ///
    /// # Errors
    /// See [`TunError`]; its text says what to do.
    pub fn open(name: &str) -> Result<TunDevice, TunError> {
        interface::check_name(name)?;
        // Tried alone first, as the crate gives one error for two causes: the node and the interface.
        interface::open_node(name)?;
        let iface = Iface::without_packet_info(name, Mode::Tun).map_err(|error| TunError::of_interface(name, error))?;
        let device = Self::prepare(iface).map_err(|error| TunError::Other { name: name.to_owned(), error })?;
        device.interface.wait_until_running();
        Ok(device)
    }

    fn prepare(iface: Iface) -> io::Result<TunDevice> {
        set_nonblocking(borrow(&iface))?;
        // Left on by another program, the kernel would hand over merged packets of 54 kB with unfinished checksums, and
        // this device has no header that would say so.
        interface::set_offloads(borrow(&iface), 0)?;
        let interface = Arc::new(Interface::new(iface.name())?);
        let mtu = interface.mtu()?;
        Ok(TunDevice { iface, interface, mtu })
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
}

impl Device for TunDevice {
    fn capabilities(&self) -> Capabilities {
        Capabilities { queue_limit: self.interface.queue_limit(), ..Capabilities::plain(self.mtu) }
    }

    fn receive(&self, buffer: &mut [u8]) -> io::Result<RxMeta> {
        read_packet(|| self.iface.recv(buffer)).map(RxMeta::plain).map_err(|error| self.interface.explain(error))
    }

    fn transmit(&self, packet: &[IoSlice<'_>], meta: &TxMeta) -> io::Result<()> {
        debug_assert!(meta.gso_size == 0 && meta.checksum == TxChecksum::Complete, "this device has no offloads");
        // Not `Iface::send`: it takes one slice, for which the pieces would have to be copied together.
        write_packet(borrow(&self.iface), packet).map_err(|error| self.interface.explain(error))
    }

    fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        Some(borrow(&self.iface))
    }

    fn name(&self) -> &str {
        self.interface.name()
    }
}

/// The crate lends only the bare number of its descriptor.
#[allow(unsafe_code)]
fn borrow(iface: &Iface) -> BorrowedFd<'_> {
    // SAFETY: the interface owns the descriptor and outlives the borrow.
    unsafe { BorrowedFd::borrow_raw(iface.as_raw_fd()) }
}

#[cfg(test)]
#[path = "tun_tests.rs"]
mod tests;
