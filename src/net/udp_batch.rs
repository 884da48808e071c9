//! What [`UdpSocket`] has beyond `std::net`: what comes and goes with each datagram, several in one call, and several in one
//! piece, as the libraries of QUIC want it.

use std::io::{self, IoSliceMut};
use std::net::IpAddr;
use std::sync::atomic::Ordering;

use super::UdpSocket;
use crate::error::SocketError;
use crate::stack::Readiness;
use crate::udp::{MAX_SEGMENTS, Message, RecvMeta};

/// Datagrams, or pieces of several, that one call takes at most, so that others have their turn.
const BATCH: usize = 256;

impl UdpSocket {
    /// Receives a datagram with all that is known of it. With [`UdpSocket::set_gro`] these may be several: see
    /// [`RecvMeta::stride`].
    ///
    /// # Errors
    /// Those of [`UdpSocket::recv_from`].
    pub fn recv_msg(&self, buf: &mut [u8]) -> io::Result<RecvMeta> {
        let (handle, coalesced) = (self.handle(), self.gro());
        self.wait(|core, _| core.stack.udp_receive_into(handle, buf, coalesced))
    }

    /// As [`UdpSocket::recv_msg`], for one datagram, which stays.
    ///
    /// # Errors
    /// Those of [`UdpSocket::recv_from`].
    pub fn peek_msg(&self, buf: &mut [u8]) -> io::Result<RecvMeta> {
        let handle = self.handle();
        self.wait(|core, _| core.stack.udp_peek(handle, buf))
    }

    /// Receives what waits into as many buffers as there are, one datagram in each, or with [`UdpSocket::set_gro`] several
    /// that came in one piece. Waits for the first only. The answer is how many buffers were used; `meta` says how.
    ///
    /// # Errors
    /// Those of [`UdpSocket::recv_from`], where there is nothing before.
    pub fn recv_many(&self, bufs: &mut [IoSliceMut<'_>], meta: &mut [RecvMeta]) -> io::Result<usize> {
        let (handle, coalesced) = (self.handle(), self.gro());
        if bufs.is_empty() || meta.is_empty() {
            return Ok(0);
        }
        self.wait(|core, _| {
            let mut used = 0;
            for (buf, meta) in bufs.iter_mut().zip(meta.iter_mut()).take(BATCH) {
                match core.stack.udp_receive_into(handle, buf, coalesced) {
                    Ok(received) => *meta = received,
                    // An error is told by itself, when everything before it was taken.
                    Err(_) if used > 0 => break,
                    Err(error) => return Err(error),
                }
                used += 1;
            }
            Ok(used)
        })
    }

    /// Sends one message: one datagram, or several of one size in one piece.
    ///
    /// # Errors
    /// Those of [`UdpSocket::send_to`]; `AddrNotAvailable` for a source that is not ours, `InvalidInput` for a segment size
    /// of which there would be more than [`UdpSocket::max_transmit_segments`]. With an error nothing is sent.
    pub fn send_msg(&self, message: &Message<'_>) -> io::Result<usize> {
        self.send_all(std::slice::from_ref(message)).map(|_| message.data.len())
    }

    /// Sends messages in order, as many as there is room for, and waits for the first only. The answer is how many.
    ///
    /// # Errors
    /// Those of [`UdpSocket::send_msg`], where they are about the first one.
    pub fn send_many(&self, messages: &[Message<'_>]) -> io::Result<usize> {
        if messages.is_empty() { Ok(0) } else { self.send_all(messages) }
    }

    fn send_all(&self, messages: &[Message<'_>]) -> io::Result<usize> {
        let handle = self.handle();
        let patience = self.modes().writing();
        self.shard().call_patiently(self.socket(), Readiness::WRITABLE, patience, |core, now| {
            core.usable()?;
            let mut sent = 0;
            for message in messages.iter().take(BATCH) {
                match core.stack.udp_send_message(now, handle, message) {
                    Ok(_) => sent += 1,
                    Err(_) if sent > 0 => break,
                    Err(error) => return Err(error),
                }
            }
            Ok(sent)
        })
    }

    /// Lets [`UdpSocket::recv_msg`] and [`UdpSocket::recv_many`] receive several datagrams in one buffer where they came in
    /// one piece (as `UDP_GRO` of Linux): all but the last are [`RecvMeta::stride`] octets long. Other calls receive them
    /// one by one as ever. Off by default.
    ///
    /// # Errors
    /// Never; the signature is that of the other settings.
    pub fn set_gro(&self, gro: bool) -> io::Result<()> {
        self.gro_flag().store(gro, Ordering::Relaxed);
        Ok(())
    }

    /// See [`UdpSocket::set_gro`].
    pub fn gro(&self) -> bool {
        self.gro_flag().load(Ordering::Relaxed)
    }

    /// How many datagrams one [`Message`] may be cut into. Where the device does not cut them, the stack does.
    pub fn max_transmit_segments(&self) -> usize {
        MAX_SEGMENTS
    }

    /// How many datagrams may come in one buffer with [`UdpSocket::set_gro`].
    pub fn max_receive_segments(&self) -> usize {
        if self.gro() { MAX_SEGMENTS } else { 1 }
    }

    /// The most octets that a datagram to this host holds without being fragmented, as far as is known now.
    ///
    /// # Errors
    /// `NetworkDown`.
    // 8899-4.4
    pub fn max_datagram_size(&self, to: IpAddr) -> io::Result<usize> {
        let core = self.shard().lock();
        let most = core.stack.udp_max_datagram_size(self.handle(), to);
        most.ok_or_else(|| core.explain(SocketError::BadHandle))
    }

    /// How many datagrams found no room in the queue of this socket, whatever the reason.
    ///
    /// # Errors
    /// `NetworkDown`.
    pub fn dropped(&self) -> io::Result<u64> {
        self.look(|socket| socket.queue.dropped)
    }
}
