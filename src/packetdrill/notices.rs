//! The error queue of a connection (`MSG_ERRQUEUE`): when text left and when it was acknowledged (`SO_TIMESTAMPING`), and that
//! the memory of a write is free again (`MSG_ZEROCOPY`).

use std::collections::VecDeque;

use super::calls::Domain;
use super::descriptor::{Fd, Socket};
use super::errno::{Answer, Errno};
use super::host::Host;
use super::transfer::control_message;
use crate::tcp::connection::Connection;
use crate::tcp::sequence::SeqNumber;
use crate::tcp::state::State;
use crate::time::Instant;

/// `MSG_ZEROCOPY`.
pub const MSG_ZEROCOPY: i32 = 0x0400_0000;
/// Pieces of a program's memory that one record of Linux refers to at most.
pub const PIECES_PER_RECORD: usize = 17;

/// Writes that wait for something to tell, and notices that wait for a reader: more are not kept.
const MOST: usize = 1_024;

/// `SO_EE_ORIGIN_TIMESTAMPING`, `SO_EE_ORIGIN_ZEROCOPY`, and `SO_EE_CODE_ZEROCOPY_COPIED`: all data is copied here.
const TIMESTAMPING: u8 = 4;
const ZEROCOPY: u8 = 5;
const COPIED: u8 = 1;

/// One of them, as it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Notice {
    /// `SCM_TSTAMP_SND`, `SCM_TSTAMP_SCHED` or `SCM_TSTAMP_ACK` of the octet with this number.
    Stamp { kind: u32, octet: u32, at: Instant },
    /// Writes from `first` to `last` are done.
    Done { first: u32, last: u32 },
}

/// A write of which something will be told.
#[derive(Clone, Copy, Debug)]
struct Write {
    /// The sequence number after it.
    end: SeqNumber,
    /// The flags of `SO_TIMESTAMPING` when it was made.
    stamps: u32,
    /// It has left.
    sent: bool,
    /// Its number among those without a copy.
    zerocopy: Option<u32>,
}

/// What is told of one connection.
#[derive(Clone, Debug, Default)]
pub(super) struct Notices {
    /// From where octets are counted (`SOF_TIMESTAMPING_OPT_ID`).
    base: SeqNumber,
    /// Writes without a copy so far.
    zerocopies: u32,
    writes: VecDeque<Write>,
    queue: VecDeque<Notice>,
}

impl Notices {
    /// Something waits for a reader.
    pub fn any(&self) -> bool {
        !self.queue.is_empty()
    }

    fn push(&mut self, notice: Notice) {
        if let (Some(Notice::Done { last: before, .. }), Notice::Done { first, last }) = (self.queue.back_mut(), notice)
            && before.wrapping_add(1) == first
        {
            // What follows on the last notice is told with it.
            *before = last;
        } else if self.queue.len() < MOST {
            self.queue.push_back(notice);
        }
    }

    /// Takes in how far the connection has come; true where there is something new to tell.
    fn look(&mut self, connection: &Connection, now: Instant) -> bool {
        let (mut writes, mut news) = (std::mem::take(&mut self.writes), false);
        writes.retain_mut(|write| {
            let over = connection.state() == State::Closed;
            let acknowledged = write.end.le(connection.snd.una);
            if !write.sent && write.end.le(connection.snd.nxt) && !over {
                write.sent = true;
                news |= self.stamp(write, libc::SOF_TIMESTAMPING_TX_SCHED, 1, now);
                news |= self.stamp(write, libc::SOF_TIMESTAMPING_TX_SOFTWARE, 0, now);
            }
            if acknowledged && !over {
                news |= self.stamp(write, libc::SOF_TIMESTAMPING_TX_ACK, 2, now);
            }
            if acknowledged || over {
                news |= write.zerocopy.is_some();
                write.zerocopy.into_iter().for_each(|id| self.push(Notice::Done { first: id, last: id }));
            }
            !acknowledged && !over
        });
        self.writes = writes;
        news
    }

    fn stamp(&mut self, write: &Write, flag: u32, kind: u32, at: Instant) -> bool {
        let wanted = write.stamps & flag != 0;
        if wanted {
            let counted = write.stamps & libc::SOF_TIMESTAMPING_OPT_ID != 0;
            let octet = if counted { (write.end - 1).since(self.base) } else { 0 };
            self.push(Notice::Stamp { kind, octet, at });
        }
        wanted
    }
}

impl Notice {
    /// The control messages that tell it, and the flags of the message.
    fn encode(self, domain: Domain, stamps: u32) -> (Vec<u8>, i32) {
        let (errno, origin, code, info, data) = match self {
            Notice::Stamp { kind, octet, .. } => (libc::ENOMSG as u32, TIMESTAMPING, 0, kind, octet),
            Notice::Done { first, last } => (0, ZEROCOPY, COPIED, first, last),
        };
        let mut control = Vec::new();
        let mut flags = libc::MSG_ERRQUEUE;
        if let Notice::Stamp { at, .. } = self {
            if stamps & libc::SOF_TIMESTAMPING_SOFTWARE != 0 {
                let (secs, nanos) = (at.as_nanos() / 1_000_000_000, at.as_nanos() % 1_000_000_000);
                let mut times = [secs.to_ne_bytes(), nanos.to_ne_bytes()].concat();
                times.resize(48, 0);
                control = control_message(libc::SOL_SOCKET, libc::SCM_TIMESTAMPING, &times);
            }
            // The packet itself would come along, for which a reader has no room.
            flags |= if stamps & libc::SOF_TIMESTAMPING_OPT_TSONLY == 0 { libc::MSG_TRUNC } else { 0 };
        }
        let mut error = errno.to_ne_bytes().to_vec();
        error.extend_from_slice(&[origin, 0, code, 0]);
        error.extend_from_slice(&info.to_ne_bytes());
        error.extend_from_slice(&data.to_ne_bytes());
        // Behind it stands an address, which is that of nobody.
        let (level, kind, address) = match domain {
            Domain::V4 => (libc::IPPROTO_IP, libc::IP_RECVERR, size_of::<libc::sockaddr_in>()),
            Domain::V6 => (libc::IPPROTO_IPV6, libc::IPV6_RECVERR, size_of::<libc::sockaddr_in6>()),
        };
        error.resize(error.len() + address, 0);
        control.extend(control_message(level, kind, &error));
        (control, flags)
    }
}

impl Host {
    fn timestamping(&self, fd: Fd) -> u32 {
        self.noted_number(fd, libc::SOL_SOCKET, libc::SO_TIMESTAMPING) as u32
    }

    /// `SO_TIMESTAMPING` was set: octets are counted from what is not acknowledged now.
    pub(super) fn begin_timestamping(&mut self, fd: Fd) {
        let Some(Socket::Tcp(handle)) = self.table.get(&fd).map(|entry| entry.socket) else { return };
        let una = self.stack.tcp_connection(handle).map(Connection::text_una);
        if let (Some(una), Some(entry)) = (una, self.table.get_mut(&fd)) {
            entry.notices.base = una;
        }
    }

    /// A write without a copy, as its flags and the socket ask for.
    pub(super) fn is_zerocopy(&self, fd: Fd, flags: i32) -> bool {
        flags & MSG_ZEROCOPY != 0 && self.noted_number(fd, libc::SOL_SOCKET, libc::SO_ZEROCOPY) != 0
    }

    /// Text was queued: what will be told of it?
    pub(super) fn note_write(&mut self, fd: Fd, flags: i32) {
        let (stamps, zerocopy) = (self.timestamping(fd), self.is_zerocopy(fd, flags));
        let Some(entry) = self.table.get_mut(&fd) else { return };
        let Socket::Tcp(handle) = entry.socket else { return };
        let Some(connection) = self.stack.tcp_connection(handle) else { return };
        let notices = &mut entry.notices;
        if (stamps == 0 && !zerocopy) || notices.writes.len() >= MOST {
            return;
        }
        let id = zerocopy.then_some(notices.zerocopies);
        notices.zerocopies = notices.zerocopies.wrapping_add(u32::from(zerocopy));
        notices.writes.push_back(Write { end: connection.text_end(), stamps, sent: false, zerocopy: id });
    }

    /// Takes note of what has left and what was acknowledged.
    pub(super) fn gather_notices(&mut self) {
        let mut told = Vec::new();
        for (&fd, entry) in &mut self.table {
            if entry.notices.writes.is_empty() {
                continue;
            }
            if let Socket::Tcp(handle) = entry.socket
                && let Some(connection) = self.stack.tcp_connection(handle)
                && entry.notices.look(connection, self.now)
            {
                told.push(fd);
            }
        }
        told.into_iter().for_each(|fd| self.wake_fd(fd, libc::EPOLLERR as u32));
    }

    /// The next notice of a socket: its control messages as C lays them out, and the flags of the message.
    ///
    /// # Errors
    /// `EAGAIN` where there is none, `EBADF`.
    pub fn next_notice(&mut self, fd: Fd) -> Answer<(Vec<u8>, i32)> {
        let stamps = self.timestamping(fd);
        let descriptor = self.descriptor_mut(fd)?;
        let notice = descriptor.notices.queue.pop_front().ok_or(Errno::EAGAIN)?;
        Ok(notice.encode(descriptor.domain, stamps))
    }
}
