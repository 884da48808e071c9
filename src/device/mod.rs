//! Where packets come from and go to: the [`Device`] trait and its implementations.
//!
//! A device carries raw IP packets. Its types speak of offload from the start: a received packet may be a super-segment
//! that the kernel merged, or carry a checksum that the device vouches for ([`RxMeta`]); a sent one may ask the device to
//! cut it up or to complete its checksum ([`TxMeta`]). A plain device says so in its [`Capabilities`] and sees neither.
//!
//! | device | carries |
//! |---|---|
//! | [`offload::OffloadDevice`] | a TUN with super-segments and checksums left to the kernel, one or more queues |
//! | `tun::TunDevice` | a TUN by the crate `tun-tap`: each packet as on a wire |
//! | [`fd::FdDevice`] | any descriptor with one packet per read and write |
//! | [`link::Link`] | nothing real: an impaired path in virtual time |

use std::io::{self, IoSlice};
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use crate::trace::note::Note;

pub mod capture;
pub mod fd;
pub mod impair;
pub mod interface;
pub mod link;
#[cfg(test)]
mod namespace_tests;
pub mod offload;
pub mod pcapng;
pub mod poll;
#[cfg(feature = "tun-tap")]
pub mod tun;
mod tun_error;
pub mod virtio;
pub mod wire_view;

pub use tun_error::TunError;

/// What the device knows about the transport checksum of a received packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum RxChecksum {
    /// Nothing: the stack verifies it.
    #[default]
    Unverified,
    /// The device has verified it.
    Verified,
    /// The sender left it unfinished because the packet never crossed a wire; its content is vouched for.
    Partial,
}

/// What comes with a received packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct RxMeta {
    /// Bytes of the packet, from its IP header on.
    pub len: usize,
    /// State of the transport checksum.
    pub checksum: RxChecksum,
    /// Payload bytes of each wire segment that was merged into this packet, or 0 for a packet as it was on the wire.
    pub gso_size: u16,
}

impl RxMeta {
    /// A packet as it was on the wire, with nothing vouched for.
    pub const fn plain(len: usize) -> RxMeta {
        RxMeta { len, checksum: RxChecksum::Unverified, gso_size: 0 }
    }
}

/// What is left to the device on sending.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum TxChecksum {
    /// Nothing: the checksum is complete.
    #[default]
    Complete,
    /// The device sums from `start` to the end and stores the result at `start + offset`; the field holds the sum of the
    /// pseudo-header.
    Partial {
        /// Bytes from the start of the packet to the transport header.
        start: u16,
        /// Bytes from there to the checksum field.
        offset: u16,
    },
}

/// What goes with a sent packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct TxMeta {
    /// State of the transport checksum.
    pub checksum: TxChecksum,
    /// The device cuts the payload into wire segments of this many bytes; 0: the packet goes out as it is.
    pub gso_size: u16,
    /// Bytes of IP and transport header before the payload (meaningful with `gso_size`).
    pub header_len: u16,
    /// The segment belongs to a flow that uses ECN, so CWR is set only on the first piece.
    pub ecn: bool,
}

/// What a device can do. It does not change during the life of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// The largest IP packet on the wire, in bytes.
    pub mtu: usize,
    /// The largest packet that it takes with a `gso_size` over IPv4; equal to `mtu` without such an offload.
    pub max_super_v4: usize,
    /// The same over IPv6.
    pub max_super_v6: usize,
    /// The largest packet with a `gso_size` over IPv4 whose length its header cannot say (BIG TCP: a total length of 0);
    /// 0 where there is no such thing.
    pub max_big_v4: usize,
    /// It completes transport checksums on sending.
    pub tx_checksum: bool,
    /// It cuts super-datagrams of UDP: packets with a `gso_size` up to the same lengths.
    pub udp_segmentation: bool,
    /// How many packets it holds for us at most before it drops them silently, where each of them is one segment; `None`
    /// where that is not known or the packets are super-segments.
    pub queue_limit: Option<u32>,
}

impl Capabilities {
    /// A device without offloads.
    pub const fn plain(mtu: usize) -> Capabilities {
        Capabilities {
            mtu,
            max_super_v4: mtu,
            max_super_v6: mtu,
            max_big_v4: 0,
            tx_checksum: false,
            udp_segmentation: false,
            queue_limit: None,
        }
    }
}

/// A carrier of raw IP packets. All calls take `&self` and none blocks, so that one thread may receive while another sends.
pub trait Device: Send + Sync {
    /// What the device can do.
    fn capabilities(&self) -> Capabilities;

    /// Receives one packet into `buffer`, which should hold 64 KiB.
    ///
    /// # Errors
    /// `WouldBlock` when there is none; anything else means that the device is gone for good.
    fn receive(&self, buffer: &mut [u8]) -> io::Result<RxMeta>;

    /// Sends one packet, given in pieces.
    ///
    /// # Errors
    /// `WouldBlock` when the device takes no more for now; anything else means that the device is gone for good.
    fn transmit(&self, packet: &[IoSlice<'_>], meta: &TxMeta) -> io::Result<()>;

    /// Somebody records what passes, and wants to know what becomes of each packet ([`Device::note_received`]) and why each
    /// is sent ([`Device::transmit_noted`]).
    fn wants_notes(&self) -> bool {
        false
    }

    /// What became of the packet that was received last.
    fn note_received(&self, note: &Note) {
        let _ = note;
    }

    /// As [`Device::transmit`], with the reason for which the packet leaves.
    ///
    /// # Errors
    /// Those of [`Device::transmit`].
    fn transmit_noted(&self, packet: &[IoSlice<'_>], meta: &TxMeta, note: &Note) -> io::Result<()> {
        let _ = note;
        self.transmit(packet, meta)
    }

    /// The descriptor to poll for readiness, if the device has one.
    fn as_fd(&self) -> Option<BorrowedFd<'_>>;

    /// The name by which a person knows the device.
    fn name(&self) -> &str;
}

/// What holds a device is a device.
macro_rules! holder {
    ($($holder:ident),*) => {
        $(
            impl<D: Device + ?Sized> Device for $holder<D> {
                fn capabilities(&self) -> Capabilities {
                    (**self).capabilities()
                }

                fn receive(&self, buffer: &mut [u8]) -> io::Result<RxMeta> {
                    (**self).receive(buffer)
                }

                fn transmit(&self, packet: &[IoSlice<'_>], meta: &TxMeta) -> io::Result<()> {
                    (**self).transmit(packet, meta)
                }

                fn wants_notes(&self) -> bool {
                    (**self).wants_notes()
                }

                fn note_received(&self, note: &Note) {
                    (**self).note_received(note);
                }

                fn transmit_noted(&self, packet: &[IoSlice<'_>], meta: &TxMeta, note: &Note) -> io::Result<()> {
                    (**self).transmit_noted(packet, meta, note)
                }

                fn as_fd(&self) -> Option<BorrowedFd<'_>> {
                    (**self).as_fd()
                }

                fn name(&self) -> &str {
                    (**self).name()
                }
            }
        )*
    };
}

holder!(Box, Arc);
