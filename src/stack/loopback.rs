//! Internal loopback: what is for this host itself never touches the device.
//!
//! Packets to an own address or to the loopback network (127.0.0.0/8, ::1) wait in a queue of their own, and connections to
//! them in a queue of their own to send. [`Stack::transmit`] works both off, a limited turn in each call. Such packets are
//! marked: checks that are for the wire do not apply to them, and nothing from the wire can get the mark.
//!
//! A host on several queues of the device has a loopback on each stack. What one of these does not know is left to its
//! siblings as other packets are: see [`Stack::take_stray`].

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Stack;
use super::output::Transmit;
use super::siblings::Inquiry;
use super::slab::SlabKey;
use crate::counters::DropReason;
use crate::device::{RxChecksum, RxMeta};
use crate::ip::address::is_loopback;
use crate::time::Instant;

/// The largest packet that stays inside: what the length field of IPv4 can say, as nothing carries it.
pub const LOOPBACK_MTU: usize = 65_535;

/// Packets that may wait, and as many strays.
const MAX_PACKETS: usize = 1_024;

/// Octets that may wait, and as many of strays: some 128 of the largest packets.
const MAX_OCTETS: usize = 8 << 20;

/// Packets and connections that have their turn in one call: a connection to itself could go on for ever.
const TURN: usize = 128;

/// Octets of packets after which a turn ends: some 16 of the largest, as many as go to the device under one lock.
const TURN_OCTETS: usize = 1 << 20;

/// A packet on its way from this host to itself.
#[derive(Debug)]
pub struct Stray {
    /// The packet.
    pub bytes: Vec<u8>,
    /// What would come with it from a device.
    pub meta: RxMeta,
    /// For whom it is.
    pub inquiry: Inquiry,
}

/// The queues of what stays inside.
#[derive(Debug, Default)]
pub(super) struct Loopback {
    packets: VecDeque<(Vec<u8>, RxMeta)>,
    octets: usize,
    /// Connections that may have something to send.
    pub to_send: VecDeque<SlabKey>,
    /// Packets that this stack does not know.
    strays: VecDeque<Stray>,
    stray_octets: usize,
}

impl Loopback {
    pub(super) fn is_quiet(&self) -> bool {
        self.packets.is_empty() && self.to_send.is_empty()
    }

    /// There is room for one more packet, whatever its length.
    pub(super) fn has_room(&self) -> bool {
        self.packets.len() < MAX_PACKETS && self.octets + LOOPBACK_MTU <= MAX_OCTETS
    }

    fn push(&mut self, bytes: Vec<u8>, checksum: RxChecksum, gso_size: u16) {
        self.octets += bytes.len();
        let meta = RxMeta { len: bytes.len(), checksum, gso_size };
        self.packets.push_back((bytes, meta));
    }

    fn pop(&mut self) -> Option<(Vec<u8>, RxMeta)> {
        let (bytes, meta) = self.packets.pop_front()?;
        self.octets -= bytes.len();
        Some((bytes, meta))
    }

    fn push_stray(&mut self, stray: Stray) -> bool {
        let room = self.strays.len() < MAX_PACKETS && self.stray_octets + stray.bytes.len() <= MAX_OCTETS;
        if room {
            self.stray_octets += stray.bytes.len();
            self.strays.push_back(stray);
        }
        room
    }

    fn pop_stray(&mut self) -> Option<Stray> {
        let stray = self.strays.pop_front()?;
        self.stray_octets -= stray.bytes.len();
        Some(stray)
    }
}

impl Stack {
    /// What is sent to this address stays inside.
    pub(super) fn is_inside(&self, address: IpAddr) -> bool {
        is_loopback(address) || self.is_own(address)
    }

    /// A packet may go from this address to that one: what has a loopback address does not leave, and what is inside has
    /// both of its ends there.
    // 1122-3.2.1.3-4
    pub(super) fn is_path(&self, source: IpAddr, destination: IpAddr) -> bool {
        if self.is_inside(destination) { self.is_inside(source) } else { !is_loopback(source) }
    }

    /// The largest packet towards this address.
    pub(super) fn mtu_towards(&self, address: IpAddr) -> usize {
        if self.is_inside(address) { LOOPBACK_MTU } else { self.config.mtu }
    }

    /// The address from which to send to an address inside: that one itself, or the first of the loopback network.
    pub(super) fn inside_source(destination: IpAddr) -> IpAddr {
        match destination {
            IpAddr::V4(v4) if v4.is_loopback() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(v6) if v6.is_loopback() => Ipv6Addr::LOCALHOST.into(),
            own => own,
        }
    }

    /// Queues a packet to this host, with what would come with it from a device; false where the queue is full.
    pub(super) fn push_inside(&mut self, bytes: Vec<u8>, checksum: RxChecksum, gso_size: u16) -> bool {
        if !self.loopback.has_room() {
            self.counters.count(DropReason::ReplyLimited);
            return false;
        }
        self.loopback.push(bytes, checksum, gso_size);
        true
    }

    /// Works off a turn of what is inside; true if more is left.
    pub(super) fn loopback_turn(&mut self, now: Instant) -> bool {
        let mut octets = 0;
        for _ in 0..TURN {
            if octets >= TURN_OCTETS {
                break;
            }
            // Packets first, so that a batch of them shares one ACK.
            if let Some((bytes, meta)) = self.loopback.pop() {
                octets += bytes.len();
                let dropped = self.settle_or_leave_inside(now, &bytes, &meta);
                if dropped == Some(DropReason::Unclaimed)
                    && let Some(inquiry) = self.take_inquiry()
                {
                    self.push_stray(Stray { bytes, meta, inquiry });
                }
            } else if let Some(key) = self.loopback.to_send.pop_front() {
                let mut sent = None;
                let mut send = |transmit: &Transmit<'_>| {
                    sent = Some(transmit.to_vec());
                    Ok(())
                };
                // Nothing blocks here, and the queue of packets is empty.
                if self.send_connection(key, now, &mut send) == Ok(true) {
                    self.loopback.to_send.push_back(key);
                }
                if let Some(bytes) = sent {
                    self.loopback.push(bytes, RxChecksum::Partial, 0);
                }
            } else {
                return false;
            }
        }
        !self.loopback.is_quiet()
    }

    /// Handles a packet that never left this host, though perhaps a sibling. This stack has the last word.
    pub fn settle_inside(&mut self, now: Instant, packet: &[u8], meta: &RxMeta) -> Option<DropReason> {
        self.finally(|stack| stack.settle_or_leave_inside(now, packet, meta))
    }

    fn settle_or_leave_inside(&mut self, now: Instant, packet: &[u8], meta: &RxMeta) -> Option<DropReason> {
        self.inside = true;
        let dropped = self.handle_packet(now, packet, meta);
        self.inside = false;
        dropped
    }

    fn push_stray(&mut self, stray: Stray) {
        if !self.loopback.push_stray(stray) {
            self.counters.count(DropReason::SiblingBusy);
        }
    }

    /// There are packets from this host to itself that this stack does not know.
    pub fn has_strays(&self) -> bool {
        !self.loopback.strays.is_empty()
    }

    /// The next of these, for the owner to ask the siblings; whose it is settles it by [`Stack::settle_inside`].
    pub fn take_stray(&mut self) -> Option<Stray> {
        self.loopback.pop_stray()
    }
}

/// Where a packet that we have made goes.
pub(super) fn destination(packet: &[u8]) -> Option<IpAddr> {
    match packet.first()? >> 4 {
        4 => Some(IpAddr::from(<[u8; 4]>::try_from(packet.get(16..20)?).ok()?)),
        _ => Some(IpAddr::from(<[u8; 16]>::try_from(packet.get(24..40)?).ok()?)),
    }
}
