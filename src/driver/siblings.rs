//! Several shards for one host, each on its own queue of the device, and packets that came to the wrong one.
//!
//! The kernel learns on which queue a flow belongs from what is written there, and forgets after 3 s; it remembers 4,096
//! flows. Otherwise it chooses by a hash. So a shard may get a packet of a connection that another one has. It asks the
//! others, one lock at a time and never while it holds its own, and puts the packet into the [`Inbox`] of the one whose it
//! is. That one's driver handles it like one it has read, and answers on its own queue, by which the kernel learns again.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, Weak};
use std::time::{Duration, Instant as Clock};

use super::core::Core;
use super::{Shard, thread};
use crate::buffer::Chunk;
use crate::config::Config;
use crate::counters::DropReason;
use crate::device::{Device, RxMeta};
use crate::error::SocketError;
use crate::rng::KeyedRng;
use crate::stack::loopback::Stray;
use crate::stack::siblings::{Claim, Inquiry, MAX_SIBLINGS, Share};
use crate::time::Instant;

/// Packets that may wait in an inbox.
const INBOX_PACKETS: usize = 1_024;

/// Octets that may wait in an inbox: some 128 super-segments.
const INBOX_OCTETS: usize = 8 << 20;

/// Packets, and octets, of the inbox handled before deadlines and sending have their turn: all this is under one hold of
/// the lock.
const TURN_PACKETS: usize = 64;
const TURN_OCTETS: usize = 512 * 1024;

/// Packets that siblings have handed over.
#[derive(Debug, Default)]
pub struct Inbox {
    packets: VecDeque<Parcel>,
    octets: usize,
}

#[derive(Debug)]
struct Parcel {
    arrived: Instant,
    meta: RxMeta,
    /// It is from this host to itself.
    inside: bool,
    bytes: Vec<u8>,
}

/// A reassembled datagram, of which it is not known whose it is.
#[derive(Debug)]
pub struct Unsettled {
    arrived: Instant,
    datagram: Vec<u8>,
    inquiry: Inquiry,
}

impl Inbox {
    /// Nothing waits.
    pub fn is_empty(&self) -> bool {
        self.packets.is_empty()
    }

    /// Copies a packet into the inbox; false if there is no room.
    fn push(&mut self, arrived: Instant, packet: &[u8], meta: &RxMeta, inside: bool) -> bool {
        if self.packets.len() >= INBOX_PACKETS || self.octets + packet.len() > INBOX_OCTETS {
            return false;
        }
        self.octets += packet.len();
        self.packets.push_back(Parcel { arrived, meta: *meta, inside, bytes: packet.to_vec() });
        true
    }

    fn pop(&mut self) -> Option<Parcel> {
        let parcel = self.packets.pop_front()?;
        self.octets -= parcel.bytes.len();
        Some(parcel)
    }
}

impl Core {
    /// Handles what siblings have handed over, up to a turn's worth.
    pub(super) fn open_inbox(&mut self) {
        let mut octets = 0;
        for _ in 0..TURN_PACKETS {
            if octets >= TURN_OCTETS {
                break;
            }
            let Some(parcel) = self.inbox.pop() else { break };
            octets += parcel.bytes.len();
            let Parcel { arrived, meta, inside, bytes } = parcel;
            let dropped = if inside {
                self.stack.settle_inside(arrived, &bytes, &meta)
            } else {
                self.stack.settle_packet(arrived, &bytes, &meta)
            };
            if dropped != Some(DropReason::Unclaimed) {
                continue;
            }
            // It was the last fragment of a datagram that is for another one. No sibling can be asked under this lock.
            if let (Some(datagram), Some(inquiry)) = (self.stack.take_reassembled(), self.stack.take_inquiry()) {
                self.unsettled.push(Unsettled { arrived, datagram, inquiry });
            }
        }
    }

    /// What the shard has to do with a packet; nothing any more once it has ended.
    fn claim(&self, inquiry: &Inquiry, now: Instant) -> Claim {
        if self.end().is_some() { Claim::Nothing } else { self.stack.claim(inquiry, now) }
    }
}

impl Shard {
    /// Starts a shard on each of the devices, for one host together. The settings are those of the host: its limits are
    /// divided.
    ///
    /// # Errors
    /// Those of [`Shard::start`]; `InvalidInput` for no device or more than [`MAX_SIBLINGS`].
    pub fn start_siblings(devices: Vec<Box<dyn Device>>, config: &Config) -> io::Result<Vec<Arc<Shard>>> {
        let invalid = |text: String| io::Error::new(ErrorKind::InvalidInput, text);
        if devices.is_empty() || devices.len() > usize::from(MAX_SIBLINGS) {
            return Err(invalid(format!("a network stands on 1 to {MAX_SIBLINGS} queues, not {}", devices.len())));
        }
        config.validate().map_err(invalid)?;
        // Copies of one generator, and one clock: the siblings agree on all secrets.
        let (rng, started, count) = (KeyedRng::from_system()?, Clock::now(), devices.len());
        let mut shards = Vec::with_capacity(count);
        for (index, device) in devices.into_iter().enumerate() {
            let share = Share::new(index, count).unwrap_or(Share::WHOLE);
            let shard = Shard::new(device, config.share(share), rng.clone(), started)?;
            shard.lock().stack.set_share(share);
            shards.push(shard);
        }
        for (index, shard) in shards.iter().enumerate() {
            let others = shards.iter().enumerate().filter(|&(other, _)| other != index);
            let _ = shard.siblings.set(others.map(|(_, other)| Arc::downgrade(other)).collect());
        }
        for shard in &shards {
            if let Err(error) = shard.start_thread() {
                // The threads that did start would wait for ever.
                for shard in &shards {
                    shard.close(Duration::ZERO);
                }
                return Err(error);
            }
        }
        Ok(shards)
    }

    /// Starts the thread.
    pub(super) fn start_thread(self: &Arc<Shard>) -> io::Result<()> {
        let name = format!("glasstcp {}", self.device().name());
        let driver = Arc::clone(self);
        let thread = std::thread::Builder::new().name(name).spawn(move || thread::run(&driver))?;
        *self.thread.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread);
        Ok(())
    }

    /// Those that are still there.
    fn siblings(&self) -> impl Iterator<Item = Arc<Shard>> {
        self.siblings.get().into_iter().flatten().filter_map(Weak::upgrade)
    }

    /// Finds whose packet it is that the own stack does not know, and has but this claim to, and brings it there. The own
    /// lock must not be held, as those of the siblings are taken one by one.
    pub(super) fn settle(&self, arrived: Instant, chunk: &mut Chunk, meta: &RxMeta, inquiry: &Inquiry, own: Claim) {
        let packet = &chunk.bytes()[..meta.len.min(chunk.bytes().len())];
        if !self.hand_over(arrived, packet, meta, inquiry, own, false) {
            let _ = self.lock().stack.settle_chunk(arrived, chunk, meta);
        }
    }

    /// Finds whose are the packets from this host to itself that the own stack does not know, and brings them there.
    pub(super) fn settle_strays(&self) {
        // More may come meanwhile.
        for _ in 0..TURN_PACKETS {
            let now = self.now();
            let mut core = self.lock();
            let Some(Stray { bytes, meta, inquiry }) = core.stack.take_stray() else { break };
            let own = core.stack.claim(&inquiry, now);
            drop(core);
            if !self.hand_over(now, &bytes, &meta, &inquiry, own, true) {
                let _ = self.lock().stack.settle_inside(now, &bytes, &meta);
            }
        }
    }

    /// As [`Shard::settle`], for a datagram that has been reassembled.
    pub(super) fn settle_datagram(&self, arrived: Instant, datagram: &[u8], inquiry: &Inquiry, own: Claim) {
        let meta = RxMeta::plain(datagram.len());
        if !self.hand_over(arrived, datagram, &meta, inquiry, own, false) {
            let _ = self.lock().stack.settle_packet(arrived, datagram, &meta);
        }
    }

    /// Settles what [`Core::open_inbox`] has left. The own lock must not be held.
    pub(super) fn settle_reassembled(&self) {
        let unsettled = std::mem::take(&mut self.lock().unsettled);
        for Unsettled { arrived, datagram, inquiry } in unsettled {
            let own = self.lock().claim(&inquiry, arrived);
            self.settle_datagram(arrived, &datagram, &inquiry, own);
        }
    }

    /// Brings a packet to the sibling that has a stronger claim to it than this; false if there is none, or if this has to
    /// do with a packet for several.
    fn hand_over(
        &self,
        arrived: Instant,
        packet: &[u8],
        meta: &RxMeta,
        inquiry: &Inquiry,
        own: Claim,
        inside: bool,
    ) -> bool {
        if inquiry.is_for_all() {
            return self.hand_copies(arrived, packet, meta, inquiry, inside) && own == Claim::Nothing;
        }
        let mut best = (own, None);
        for sibling in self.siblings() {
            let claim = sibling.lock().claim(inquiry, arrived);
            if claim > best.0 {
                best = (claim, Some(sibling));
            }
            if claim == Claim::Holds {
                break;
            }
        }
        let taken = best.1.and_then(|sibling| sibling.take_in(arrived, packet, meta, inside));
        if let Some(taken) = taken {
            self.lock().stack.note_handed_over(taken);
        }
        taken.is_some()
    }

    /// Brings a copy of a packet to each sibling that has to do with it; false if there is none.
    fn hand_copies(&self, arrived: Instant, packet: &[u8], meta: &RxMeta, inquiry: &Inquiry, inside: bool) -> bool {
        let mut any = false;
        for sibling in self.siblings() {
            let claim = sibling.lock().claim(inquiry, arrived);
            let taken = if claim == Claim::Nothing { None } else { sibling.take_in(arrived, packet, meta, inside) };
            if let Some(taken) = taken {
                self.lock().stack.note_handed_over(taken);
                any = true;
            }
        }
        any
    }

    /// Takes a packet from a sibling; `Some(false)` if there is no room, `None` if nothing moves here any more.
    fn take_in(&self, arrived: Instant, packet: &[u8], meta: &RxMeta, inside: bool) -> Option<bool> {
        let mut core = self.lock();
        if core.end().is_some() {
            return None;
        }
        let taken = core.inbox.push(arrived, packet, meta, inside);
        if core.role.sleep.asleep {
            self.wake_driver(&mut core);
        }
        Some(taken)
    }

    /// Fails if a sibling has a connection, or what is left of one, from this address and port of choice to `remote`. The
    /// ports that shards choose never collide.
    ///
    /// # Errors
    /// `AddressInUse`.
    pub fn check_siblings(&self, local: Option<SocketAddr>, remote: SocketAddr) -> Result<(), SocketError> {
        let Some(local) = local.filter(|local| local.port() != 0 && self.siblings.get().is_some()) else {
            return Ok(());
        };
        let Some(tuple) = self.lock().stack.tuple_from(local, remote) else { return Ok(()) };
        // One lock at a time.
        let held = self.siblings().any(|sibling| {
            let core = sibling.lock();
            core.end().is_none() && core.stack.holds(&tuple)
        });
        if held { Err(SocketError::AddressInUse) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inbox_has_room_for_so_many_packets_and_so_many_octets() {
        let filled = |len: usize| {
            let mut inbox = Inbox::default();
            let packet = vec![0; len];
            let taken = (0..10_000).filter(|_| inbox.push(Instant::ZERO, &packet, &RxMeta::plain(len), false)).count();
            assert_eq!(std::iter::from_fn(|| inbox.pop()).count(), taken);
            assert!(
                inbox.is_empty() && inbox.octets == 0 && inbox.push(Instant::ZERO, &packet, &RxMeta::plain(len), false)
            );
            taken
        };
        assert_eq!(filled(40), INBOX_PACKETS);
        assert_eq!(filled(65_535), INBOX_OCTETS / 65_535);
    }
}
