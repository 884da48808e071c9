//! Names of things in the tables: flows inside the stack, handles outside it.

use super::slab::SlabKey;

/// What a four-tuple leads to, in 8 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Flow {
    /// A half-open record of a listener.
    HalfOpen(SlabKey),
    /// A connection.
    Connection(SlabKey),
    /// A TIME-WAIT record.
    TimeWait(SlabKey),
}

/// A [`Flow`] as the tables store it: the kind in the two highest bits of the index.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct PackedFlow(u64);

/// Entries that a table may have, so that the kind finds room beside the index.
pub(super) const MAX_ENTRIES: u32 = 1 << 30;

impl Flow {
    /// In 8 bytes.
    pub(super) fn pack(self) -> PackedFlow {
        let (kind, key) = match self {
            Flow::HalfOpen(key) => (0, key),
            Flow::Connection(key) => (1, key),
            Flow::TimeWait(key) => (2, key),
        };
        debug_assert!(key.index < MAX_ENTRIES, "the tables are limited");
        PackedFlow((kind << 62) | (u64::from(key.index) << 32) | u64::from(key.generation))
    }
}

impl PackedFlow {
    /// As a flow.
    pub(super) fn unpack(self) -> Flow {
        let key = SlabKey { index: (self.0 >> 32) as u32 & (MAX_ENTRIES - 1), generation: self.0 as u32 };
        match self.0 >> 62 {
            0 => Flow::HalfOpen(key),
            1 => Flow::Connection(key),
            _ => Flow::TimeWait(key),
        }
    }

    /// As the payload of a timer.
    pub(super) fn to_bits(self) -> u64 {
        self.0
    }

    /// From the payload of a timer.
    pub(super) fn from_bits(bits: u64) -> PackedFlow {
        PackedFlow(bits)
    }
}

macro_rules! handle {
    ($(#[doc = $doc:literal] $name:ident)*) => {
        $(
            #[doc = $doc]
            #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
            pub struct $name(pub(super) SlabKey);
        )*
    };
}

handle! {
    /// A TCP connection of the application.
    TcpHandle
    /// A TCP listener.
    ListenerHandle
    /// A UDP socket.
    UdpHandle
    /// A sender of echo requests.
    EchoHandle
    /// A SYN that waits for the application's decision.
    SynHandle
}

/// Any socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SocketHandle {
    /// A TCP connection.
    Tcp(TcpHandle),
    /// A TCP listener.
    Listener(ListenerHandle),
    /// A UDP socket.
    Udp(UdpHandle),
    /// A sender of echo requests.
    Echo(EchoHandle),
}

impl SocketHandle {
    /// Its kind as a number below 4, and its place among those: for tables of what belongs to sockets.
    pub(crate) const fn place(self) -> (usize, SlabKey) {
        match self {
            SocketHandle::Tcp(TcpHandle(key)) => (0, key),
            SocketHandle::Listener(ListenerHandle(key)) => (1, key),
            SocketHandle::Udp(UdpHandle(key)) => (2, key),
            SocketHandle::Echo(EchoHandle(key)) => (3, key),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packing_keeps_everything() {
        let key = SlabKey { index: MAX_ENTRIES - 1, generation: u32::MAX };
        for flow in [Flow::HalfOpen(key), Flow::Connection(key), Flow::TimeWait(SlabKey { index: 0, generation: 7 })] {
            assert_eq!(flow.pack().unpack(), flow);
        }
        assert_eq!(size_of::<PackedFlow>(), 8);
    }
}
