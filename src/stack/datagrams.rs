//! Datagrams of the application that wait for the device: in order, within limits of their own, so that neither answers nor
//! other sockets wait behind a socket that sends without end.

use std::collections::VecDeque;

use super::Stack;
use super::flow::UdpHandle;
use super::output::{Transmit, WouldBlock};
use crate::buffer::Pieces;
use crate::device::TxMeta;

/// Octets of all waiting datagrams together: some hundred super-datagrams.
const MAX_OCTETS: usize = 8 << 20;

/// What a waiting datagram costs beside its octets.
pub(super) const OVERHEAD: usize = size_of::<Waiting>() + 64;

/// One packet, or one that the device cuts.
#[derive(Debug)]
struct Waiting {
    owner: UdpHandle,
    packet: Vec<u8>,
    meta: TxMeta,
}

/// The queue of one stack.
#[derive(Debug, Default)]
pub(super) struct SendQueue {
    waiting: VecDeque<Waiting>,
    octets: usize,
}

impl SendQueue {
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// There is room for so many more packets of so many octets together.
    pub(super) fn has_room(&self, packets: usize, octets: usize, most: usize) -> bool {
        self.waiting.is_empty() || self.waiting.len() + packets <= most && self.octets + octets <= MAX_OCTETS
    }
}

impl Stack {
    /// Queues a packet of a socket, which has looked whether there is room.
    pub(super) fn queue_datagram(&mut self, owner: UdpHandle, packet: Vec<u8>, meta: TxMeta) {
        let octets = packet.len() + OVERHEAD;
        self.datagrams.octets += octets;
        if let Some(socket) = self.sockets.get_mut(owner.0) {
            socket.sending += octets;
        }
        self.datagrams.waiting.push_back(Waiting { owner, packet, meta });
    }

    /// Sends the next datagram; nothing has changed if `send` refuses it.
    pub(super) fn send_datagram(
        &mut self,
        send: &mut impl FnMut(&Transmit<'_>) -> Result<(), WouldBlock>,
    ) -> Result<(), WouldBlock> {
        let Some(Waiting { owner, packet, meta }) = self.datagrams.waiting.front() else { return Ok(()) };
        send(&Transmit { header: packet, payload: Pieces::default(), meta: *meta })?;
        let (owner, octets) = (*owner, packet.len() + OVERHEAD);
        let data = packet.len().saturating_sub(usize::from(meta.header_len));
        let datagrams = if meta.gso_size == 0 { 1 } else { data.div_ceil(meta.gso_size.into()) };
        self.datagrams.waiting.pop_front();
        self.datagrams.octets -= octets;
        if let Some(socket) = self.sockets.get_mut(owner.0) {
            socket.sending -= octets;
        }
        self.counters.packets_out += 1;
        self.counters.datagrams_out += datagrams as u64;
        Ok(())
    }
}
