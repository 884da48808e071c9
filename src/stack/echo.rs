//! Senders of echo requests, for `ping`.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;

use super::Stack;
use super::flow::{EchoHandle, SocketHandle};
use super::ready::Readiness;
use super::siblings::Inquiry;
use super::slab::{Slab, SlabKey};
use crate::counters::DropReason;
use crate::error::SocketError;
use crate::ip::fragment::MAX_LEN;
use crate::time::Instant;
use crate::wire::icmp::{self, Echo, IcmpError};
use crate::wire::quoted::Quoted;
use crate::wire::{IpPacket, ipv4};

/// Replies that may wait in one sender.
const MAX_REPLIES: usize = 256;

/// Octets of data that may wait in one sender, beyond one reply.
const MAX_REPLY_OCTETS: usize = 1 << 20;

/// The most data that an echo request can carry, in octets.
pub const fn max_echo_data(ipv6: bool) -> usize {
    if ipv6 { MAX_LEN - icmp::HEADER_LEN } else { MAX_LEN - ipv4::HEADER_LEN - icmp::HEADER_LEN }
}

/// An echo reply that has arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EchoReply {
    /// From whom.
    pub source: IpAddr,
    /// The sequence number of the request.
    pub sequence: u16,
    /// The data of the request.
    pub data: Vec<u8>,
    /// TTL or hop limit of the reply.
    pub hop_limit: u8,
    /// When it arrived.
    pub arrived: Instant,
    /// Instead of a reply, what somebody on the way, `source`, says of the request; then there is no data.
    pub error: Option<IcmpError>,
}

#[derive(Debug)]
struct EchoSocket {
    identifier: u16,
    replies: VecDeque<EchoReply>,
    octets: usize,
    event: bool,
}

/// All senders.
#[derive(Debug)]
pub(super) struct Echoes {
    sockets: Slab<EchoSocket>,
    identifiers: BTreeMap<u16, SlabKey>,
}

impl Default for Echoes {
    fn default() -> Echoes {
        Echoes { sockets: Slab::with_limit(4_096), identifiers: BTreeMap::new() }
    }
}

impl Echoes {
    pub(super) fn take_edge(&mut self, handle: EchoHandle) -> Readiness {
        let Some(socket) = self.sockets.get_mut(handle.0) else { return Readiness::NONE };
        socket.event = false;
        Readiness::READABLE
    }

    pub(super) fn readiness(&self, handle: EchoHandle) -> Readiness {
        match self.sockets.get(handle.0) {
            Some(socket) if socket.replies.is_empty() => Readiness::WRITABLE,
            Some(_) => Readiness::READABLE.with(Readiness::WRITABLE),
            None => Readiness::ERROR,
        }
    }

    pub(super) fn contains(&self, handle: EchoHandle) -> bool {
        self.sockets.contains(handle.0)
    }
}

impl Stack {
    /// Opens a sender of echo requests with an identifier of its own.
    ///
    /// # Errors
    /// `NoBuffers` when there are too many.
    pub fn echo_open(&mut self) -> Result<EchoHandle, SocketError> {
        let free = |identifier: &u16| self.share.owns(*identifier) && !self.has_echo_identifier(*identifier);
        let mut all = (0..=u16::MAX).map(|step| self.identification.wrapping_add(step));
        let identifier = all.find(free).ok_or(SocketError::NoBuffers)?;
        let socket = EchoSocket { identifier, replies: VecDeque::new(), octets: 0, event: false };
        let key = self.echoes.sockets.insert(socket).ok_or(SocketError::NoBuffers)?;
        self.echoes.identifiers.insert(identifier, key);
        Ok(EchoHandle(key))
    }

    /// Sends one echo request.
    ///
    /// # Errors
    /// `InvalidArgument` for more data than [`max_echo_data`] or a hop limit of 0, `Unreachable` without an address of that family,
    /// `WouldBlock` when the queue is full.
    pub fn echo_send(
        &mut self,
        now: Instant,
        handle: EchoHandle,
        to: IpAddr,
        sequence: u16,
        hop_limit: u8,
        data: &[u8],
    ) -> Result<(), SocketError> {
        self.advance_to(now);
        let identifier = self.echoes.sockets.get(handle.0).ok_or(SocketError::BadHandle)?.identifier;
        let source = self.own_source(to).ok_or(SocketError::Unreachable)?;
        // 1122-3.2.1.7-1
        if hop_limit == 0 || data.len() > max_echo_data(to.is_ipv6()) {
            return Err(SocketError::InvalidArgument);
        }
        let echo = Echo { identifier, sequence, data };
        let sent = self.push_icmp(source, to, (hop_limit, 0), 8 + data.len(), |buffer| {
            icmp::emit_echo_request(source, to, &echo, buffer)
        });
        self.counters.echo_requests_out += u64::from(sent);
        if sent { Ok(()) } else { Err(SocketError::WouldBlock) }
    }

    /// The next echo reply.
    ///
    /// # Errors
    /// `WouldBlock` when there is none.
    pub fn echo_receive(&mut self, handle: EchoHandle) -> Result<EchoReply, SocketError> {
        let socket = self.echoes.sockets.get_mut(handle.0).ok_or(SocketError::BadHandle)?;
        let reply = socket.replies.pop_front().ok_or(SocketError::WouldBlock)?;
        socket.octets -= reply.data.len();
        Ok(reply)
    }

    /// Closes a sender of echo requests.
    pub fn echo_close(&mut self, handle: EchoHandle) {
        if let Some(socket) = self.echoes.sockets.remove(handle.0) {
            self.echoes.identifiers.remove(&socket.identifier);
        }
    }

    pub(super) fn has_echo_identifier(&self, identifier: u16) -> bool {
        self.echoes.identifiers.contains_key(&identifier)
    }

    pub(super) fn echoes_input(
        &mut self,
        arrived: Instant,
        packet: &IpPacket<'_>,
        echo: &Echo<'_>,
    ) -> Result<(), DropReason> {
        let reply = EchoReply {
            source: packet.source,
            sequence: echo.sequence,
            data: echo.data.to_vec(),
            hop_limit: packet.hop_limit,
            arrived,
            error: None,
        };
        self.tell_echo(echo.identifier, reply)
    }

    /// An ICMP error about a request of ours: its sender is told.
    // 1122-3.2.2-4, 4443-2.4-a
    pub(super) fn echo_error_input(
        &mut self,
        packet: &IpPacket<'_>,
        quoted: &Quoted,
        error: IcmpError,
    ) -> Result<(), DropReason> {
        let learned = match error {
            IcmpError::PacketTooBig { mtu } => self.echo_too_big(quoted, mtu),
            _ => Err(DropReason::IcmpUnmatched),
        };
        let Some(Echo { identifier, sequence, .. }) = quoted.echo_request() else { return learned };
        let (source, hop_limit) = (packet.source, packet.hop_limit);
        let reply = EchoReply { source, sequence, data: Vec::new(), hop_limit, arrived: self.now, error: Some(error) };
        self.tell_echo(identifier, reply)
    }

    fn tell_echo(&mut self, identifier: u16, reply: EchoReply) -> Result<(), DropReason> {
        let Some(key) = self.echoes.identifiers.get(&identifier).copied() else {
            let left = self.leaves(|| Inquiry::EchoReply(identifier));
            return Err(if left { DropReason::Unclaimed } else { DropReason::IcmpUnmatched });
        };
        let socket = self.echoes.sockets.get_mut(key).ok_or(DropReason::IcmpUnmatched)?;
        if socket.replies.len() >= MAX_REPLIES || socket.octets >= MAX_REPLY_OCTETS {
            return Err(DropReason::UdpQueueFull);
        }
        socket.octets += reply.data.len();
        socket.replies.push_back(reply);
        if !socket.event {
            socket.event = true;
            self.ready.push_back(SocketHandle::Echo(EchoHandle(key)));
        }
        Ok(())
    }
}
