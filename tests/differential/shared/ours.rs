//! Our end.

use std::net::Shutdown;
use std::time::Duration;

use glasstcp::device::RxMeta;
use glasstcp::rng::KeyedRng;
use glasstcp::stack::{ListenerHandle, TcpHandle};
use glasstcp::tcp::config::{SocketOptions, TcpConfig};
use glasstcp::time::Instant;
use glasstcp::{Config, SocketError, Stack};

use super::endpoint::{Endpoint, Read, Setup};

/// Our stack, with one socket.
pub struct Ours {
    setup: Setup,
    stack: Stack,
    listener: Option<ListenerHandle>,
    handle: Option<TcpHandle>,
    failed: bool,
}

impl Ours {
    pub fn new(setup: Setup, seed: u64, now: Instant) -> Ours {
        Ours::changed(setup, seed, now, |_| ())
    }

    /// With other settings.
    pub fn changed(setup: Setup, seed: u64, now: Instant, change: impl FnOnce(&mut TcpConfig)) -> Ours {
        let prefix = if setup.local.is_ipv6() { 64 } else { 24 };
        let mut config = Config::new(&[format!("{}/{prefix}", setup.local.ip()).parse().unwrap()]);
        config.mtu = setup.mtu;
        // Nobody's patience ends here.
        config.tcp.orphan = Duration::from_secs(3_600);
        config.tcp.fin_wait_2 = Duration::from_secs(3_600);
        change(&mut config.tcp);
        let stack = Stack::new(config, KeyedRng::from_seed(seed), now).unwrap();
        Ours { setup, stack, listener: None, handle: None, failed: false }
    }

    fn options(&self) -> SocketOptions {
        SocketOptions {
            nodelay: self.setup.nodelay,
            receive_capacity: Some(self.setup.receive_capacity),
            ..SocketOptions::default()
        }
    }
}

impl Endpoint for Ours {
    fn listen(&mut self, _: Instant) {
        self.listener = Some(self.stack.tcp_listen(self.setup.local, 4, self.options()).unwrap());
    }

    fn connect(&mut self, now: Instant) {
        let (local, remote) = (self.setup.local, self.setup.remote);
        self.handle = Some(self.stack.tcp_connect(now, Some(local), remote, self.options()).unwrap());
    }

    fn receive(&mut self, now: Instant, packet: &[u8]) {
        self.stack.handle_packet(now, packet, &RxMeta::plain(packet.len()));
    }

    fn transmit(&mut self, now: Instant, packets: &mut Vec<Vec<u8>>) {
        self.stack.handle_deadline(now);
        self.stack.transmit(now, 100_000, |transmit| {
            packets.push(transmit.to_vec());
            Ok(())
        });
    }

    fn next(&mut self, _: Instant) -> Option<Instant> {
        self.stack.next_deadline()
    }

    fn is_open(&mut self, _: Instant) -> bool {
        if let Some(listener) = self.listener
            && self.handle.is_none()
        {
            self.handle = self.stack.tcp_accept(listener).ok().map(|(handle, _)| handle);
        }
        while self.stack.poll_ready().is_some() {}
        let state = self.handle.and_then(|handle| self.stack.tcp_state(handle));
        state.is_some_and(|state| state.is_synchronized())
    }

    fn has_failed(&mut self) -> bool {
        self.failed |= self.handle.is_some_and(|handle| self.stack.tcp_error(handle).is_some());
        self.failed
    }

    fn read(&mut self, now: Instant, buffer: &mut [u8]) -> Read {
        let Some(handle) = self.handle else { return Read::Nothing };
        match self.stack.tcp_receive(now, handle, buffer) {
            Ok(0) => Read::End,
            Ok(count) => Read::Octets(count),
            Err(SocketError::WouldBlock) => Read::Nothing,
            Err(_) => Read::Failed,
        }
    }

    fn write(&mut self, now: Instant, octets: &[u8]) -> usize {
        self.handle.and_then(|handle| self.stack.tcp_send(now, handle, octets).ok()).unwrap_or(0)
    }

    fn shutdown(&mut self, now: Instant) {
        if let Some(handle) = self.handle {
            self.stack.tcp_shutdown(now, handle, Shutdown::Write).ok();
        }
    }

    fn close(&mut self, now: Instant) {
        if let Some(handle) = self.handle {
            self.has_failed();
            self.stack.tcp_close(now, handle);
        }
    }

    fn abort(&mut self, now: Instant) {
        if let Some(handle) = self.handle {
            self.stack.tcp_abort(now, handle);
            self.stack.tcp_close(now, handle);
        }
    }
}
