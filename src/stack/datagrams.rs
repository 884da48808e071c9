//! Datagrams of the application that wait for the device: in order, within limits of their own, so that neither answers nor
//! other sockets wait behind a socket that sends without end.

use std::collections::VecDeque;

use super::Stack;
use super::flow::UdpHandle;
use super::outgoing::Fragments;
use super::output::{Transmit, WouldBlock};
use crate::buffer::Pieces;
use crate::device::TxMeta;
use crate::trace::note;

/// Octets of all waiting datagrams together: some hundred super-datagrams.
const MAX_OCTETS: usize = 8 << 20;

/// What a waiting datagram costs beside its octets.
pub(super) const OVERHEAD: usize = size_of::<Waiting>() + 64;

/// What becomes of a datagram, or of several in one.
#[derive(Debug)]
pub(super) enum Shape {
    /// One packet, or one that the device cuts into several datagrams.
    Packet(Vec<u8>, TxMeta),
    /// Fragments of one datagram.
    Fragments(Fragments),
}

impl Shape {
    /// As how many packets it is given to the device.
    fn packets(&self) -> usize {
        match self {
            Shape::Packet(..) => 1,
            Shape::Fragments(fragments) => fragments.left(),
        }
    }

    fn octets(&self) -> usize {
        match self {
            Shape::Packet(packet, _) => packet.len(),
            Shape::Fragments(fragments) => fragments.datagram.len(),
        }
    }
}

/// A datagram that waits.
#[derive(Debug)]
struct Waiting {
    owner: UdpHandle,
    shape: Shape,
}

/// The queue of one stack.
#[derive(Debug, Default)]
pub(super) struct SendQueue {
    waiting: VecDeque<Waiting>,
    packets: usize,
    octets: usize,
}

impl SendQueue {
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// At least half of it is free: enough for any message, as an application that waits for room does not say for how much.
    pub(super) fn is_half_empty(&self, most: usize) -> bool {
        self.waiting.is_empty() || 2 * self.packets < most && 2 * self.octets < MAX_OCTETS
    }

    /// There is room for so many more packets of so many octets together.
    pub(super) fn has_room(&self, packets: usize, octets: usize, most: usize) -> bool {
        self.is_half_empty(most) || self.packets + packets <= most && self.octets + octets <= MAX_OCTETS
    }
}

impl Stack {
    /// Queues a datagram of a socket, which has looked whether there is room.
    pub(super) fn queue_datagram(&mut self, owner: UdpHandle, shape: Shape) {
        let octets = shape.octets() + OVERHEAD;
        self.datagrams.octets += octets;
        self.datagrams.packets += shape.packets();
        if let Some(socket) = self.sockets.get_mut(owner.0) {
            socket.sending += octets;
        }
        self.datagrams.waiting.push_back(Waiting { owner, shape });
    }

    /// Sends the next packet; nothing has changed if `send` refuses it.
    pub(super) fn send_datagram(
        &mut self,
        send: &mut impl FnMut(&Transmit<'_>) -> Result<(), WouldBlock>,
    ) -> Result<(), WouldBlock> {
        let traced = self.is_traced();
        let Some(Waiting { owner, shape }) = self.datagrams.waiting.front_mut() else { return Ok(()) };
        let datagrams = match shape {
            Shape::Packet(packet, meta) => {
                let note = traced.then_some(&note::DATAGRAM);
                send(&Transmit { header: packet, payload: Pieces::default(), meta: *meta, note })?;
                let data = packet.len().saturating_sub(usize::from(meta.header_len));
                if meta.gso_size == 0 { 1 } else { data.div_ceil(meta.gso_size.into()) }
            }
            Shape::Fragments(fragments) => {
                let (header, payload) = fragments.next();
                let note = traced.then_some(&note::FRAGMENT);
                send(&Transmit { header: header.bytes(), payload, meta: TxMeta::default(), note })?;
                self.counters.fragments_out += 1;
                usize::from(fragments.sent())
            }
        };
        self.counters.packets_out += 1;
        self.counters.datagrams_out += datagrams as u64;
        self.datagrams.packets -= 1;
        if datagrams == 0 {
            return Ok(());
        }
        let (owner, octets) = (*owner, shape.octets() + OVERHEAD);
        self.datagrams.waiting.pop_front();
        self.datagrams.octets -= octets;
        if let Some(socket) = self.sockets.get_mut(owner.0) {
            socket.sending -= octets;
        }
        Ok(())
    }
}
