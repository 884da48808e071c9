//! OPEN of the application: a connection from an address and port of ours, as asked for or chosen.

use std::net::SocketAddr;
use std::sync::Arc;

use super::Stack;
use super::flow::TcpHandle;
use crate::error::SocketError;
use crate::ip::address::{canonical, is_connectable};
use crate::tcp::FourTuple;
use crate::tcp::config::SocketOptions;
use crate::tcp::connection::{Connection, Opening};
use crate::tcp::ecn::Feedback;
use crate::time::Instant;

/// Why a connection could not be begun: as [`SocketError`].
pub type ConnectError = SocketError;

impl Stack {
    /// Active OPEN: begins a connection. It is open when it becomes writable, and has failed when it reports an error.
    ///
    /// # Errors
    /// `InvalidAddress`, `InvalidArgument` for options out of range, `AddressNotAvailable`, `AddressInUse`, `Unreachable`
    /// without an address of that family, `NoBuffers`.
    // 9293-3.10.1-2, 9293-3.10.1-3, 9293-3.10.1-5
    pub fn tcp_connect(
        &mut self,
        now: Instant,
        local: Option<SocketAddr>,
        remote: SocketAddr,
        options: SocketOptions,
    ) -> Result<TcpHandle, ConnectError> {
        let now = self.advance_to(now);
        let remote = canonical(remote);
        if remote.port() == 0 || !self.is_inside(remote.ip()) && !is_connectable(remote.ip(), &self.config.addresses) {
            // 9293-MUST-46
            return Err(SocketError::InvalidAddress);
        }
        if !options.is_valid() {
            return Err(SocketError::InvalidArgument);
        }
        let tuple = self.choose_local(local, remote)?;
        let mss = self.announced_mss_for(options.max_segment, remote.ip());
        let opening = Opening {
            tuple,
            iss: self.initial_sequence(&tuple, None),
            timestamp_offset: self.sequence.timestamp_offset(&tuple),
            mss,
            options: Arc::new(options),
        };
        let mut connection = Connection::active(&opening, &self.config.tcp, now);
        if connection.asks_to_count() && !self.ecn_failures.may_ask(&tuple, now) {
            connection.agreed.ecn = Feedback::None;
        }
        let key = self.insert_connection(connection, false).ok_or(SocketError::NoBuffers)?;
        self.counters.active_opens += 1;
        self.touch(key);
        Ok(TcpHandle(key))
    }

    /// The four-tuple of a new connection: our address and port as asked for, or chosen.
    fn choose_local(&self, local: Option<SocketAddr>, remote: SocketAddr) -> Result<FourTuple, SocketError> {
        let local = local.map(canonical);
        let address = match local.map(|local| local.ip()).filter(|address| !address.is_unspecified()) {
            Some(address) if !self.may_be_local(address) => return Err(SocketError::AddressNotAvailable),
            Some(address) if address.is_ipv6() != remote.is_ipv6() => return Err(SocketError::InvalidAddress),
            Some(address) => address,
            // 9293-MUST-44
            None => self.own_source(remote.ip()).ok_or(SocketError::Unreachable)?,
        };
        if !self.is_path(address, remote.ip()) {
            return Err(SocketError::InvalidAddress);
        }
        let tuple = |port| FourTuple::new(SocketAddr::new(address, port), remote);
        if let Some(port) = local.map(|local| local.port()).filter(|&port| port != 0) {
            return match self.flow(&tuple(port)) {
                None => Ok(tuple(port)),
                Some(_) => Err(SocketError::AddressInUse),
            };
        }
        // 6056-3.1: never a listener's port nor an existing tuple; nor, by chance, a connection to itself.
        let itself = |port| address == remote.ip() && port == remote.port();
        let port = self.ports.pick(address, (remote.ip(), remote.port()), |port| {
            self.share.owns(port)
                && !itself(port)
                && !self.listening.has_port(port)
                && self.flow(&tuple(port)).is_none()
        });
        port.map(tuple).ok_or(SocketError::AddressNotAvailable)
    }
}
