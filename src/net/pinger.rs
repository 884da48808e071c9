//! [`Pinger`]: echo requests to one host and the replies to them.

use std::io::{self, ErrorKind};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use super::Net;
use super::handle::Owner;
use crate::driver::Patience;
use crate::stack::{EchoHandle, EchoReply, Readiness, SocketHandle};
use crate::time::Instant;

/// Sends echo requests to one host, with an identifier of its own, and receives the replies. Made by [`Net::ping`].
#[derive(Debug)]
pub struct Pinger {
    owner: Arc<Owner>,
    handle: EchoHandle,
    to: IpAddr,
    hop_limit: AtomicU8,
}

impl Pinger {
    pub(super) fn open(net: &Net, to: IpAddr) -> io::Result<Pinger> {
        let (handle, hop_limit) = net.shard().call(|core, _| {
            core.check()?;
            io::Result::Ok((core.stack.echo_open()?, core.stack.config().tcp.socket.hop_limit))
        })?;
        Ok(Pinger { owner: Arc::clone(&net.owner), handle, to, hop_limit: AtomicU8::new(hop_limit) })
    }

    pub(super) fn owner(&self) -> &Arc<Owner> {
        &self.owner
    }

    pub(super) fn socket(&self) -> SocketHandle {
        SocketHandle::Echo(self.handle)
    }

    /// The TTL or hop limit of the requests.
    pub fn set_hop_limit(&self, limit: u8) {
        self.hop_limit.store(limit.max(1), Ordering::Relaxed);
    }

    /// Sends a request. The answer is when, by the clock of [`EchoReply::arrived`] and [`Net::now`].
    ///
    /// # Errors
    /// `InvalidInput` for more data than a packet holds, `NetworkUnreachable` without an address of that family,
    /// `WouldBlock` when too much waits for the device, `NetworkDown`.
    pub fn send(&self, sequence: u16, data: &[u8]) -> io::Result<Instant> {
        let (handle, to, hop_limit) = (self.handle, self.to, self.hop_limit.load(Ordering::Relaxed));
        self.owner.shard.call(|core, now| {
            let sent = core.usable().and_then(|()| core.stack.echo_send(now, handle, to, sequence, hop_limit, data));
            sent.map(|()| now).map_err(|error| core.explain(error))
        })
    }

    /// The next reply; nothing when there is none within `timeout` (`None`: for ever).
    ///
    /// # Errors
    /// `NetworkDown`.
    pub fn receive(&self, timeout: Option<Duration>) -> io::Result<Option<EchoReply>> {
        let (handle, patience) = (self.handle, Patience::of(timeout));
        let received = self
            .owner
            .shard
            .call_patiently(self.socket(), Readiness::READABLE, patience, |core, _| core.stack.echo_receive(handle));
        match received {
            Ok(reply) => Ok(Some(reply)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Drop for Pinger {
    fn drop(&mut self) {
        let handle = self.handle;
        self.owner.shard.call(|core, _| {
            core.forget(SocketHandle::Echo(handle));
            core.stack.echo_close(handle);
        });
    }
}
