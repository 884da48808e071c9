//! How much a writer may leave in the send buffer, as Linux counts it: in pieces, each with the memory of its own record, of
//! which one may reach beyond the limit. Other personas leave it to the stack.

use super::descriptor::{Fd, Socket};
use super::errno::{Answer, Errno};
use super::host::Host;
use crate::buffer::More;
use crate::stack::TcpHandle;
use crate::tcp::connection::Connection;
use crate::tcp::sequence::SeqNumber;

/// Octets of memory that the record of one piece takes, in kernels before 6.3 (later ones: 960).
const RECORD: u32 = 1_280;

/// The least that a program can limit it to.
pub(super) const LEAST: u32 = 4_608;

/// Octets that one piece holds at most.
const LARGEST_PIECE: u32 = 65_536 - 320;

/// Octets of headers and records that are counted for each segment when the limit grows with cwnd.
const PER_SEGMENT: u32 = 640;

/// Segments in flight for which there is always room.
const INITIAL_SEGMENTS: u32 = 10;

/// The limits of a send buffer, and where its last piece begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct SendMemory {
    /// What the application has set (twice that, as Linux does it).
    pub set: Option<u32>,
    /// What it has grown to.
    grown: u32,
    /// Where the piece begins that the next text is added to.
    tail: Option<SeqNumber>,
    /// Up to where text was pushed out.
    pushed: Option<SeqNumber>,
    /// Somebody was told to wait for room.
    pub waits: bool,
    /// SND.UNA when that was, or when it was last looked at.
    una: Option<SeqNumber>,
}

/// Octets of one piece: half of the largest window at most, in whole segments, but one of them at least.
fn piece(connection: &Connection) -> u32 {
    let mss = connection.segment_payload();
    let most = LARGEST_PIECE.min((connection.snd.max_wnd / 2).max(1));
    (most - most % mss).max(mss)
}

/// Octets of memory that text and records take.
fn memory(connection: &Connection) -> u32 {
    let sent = connection.transfer.as_ref().map_or(0, |transfer| transfer.sent.len() as u32);
    let pieces = sent + connection.unsent().div_ceil(piece(connection));
    (connection.send_buffer.len() as u32).saturating_add(pieces * RECORD)
}

impl SendMemory {
    /// The limit now.
    fn limit(&self, initial: u32) -> u32 {
        self.set.unwrap_or(self.grown.max(initial))
    }

    /// A writer has to wait.
    fn wait(&mut self, connection: &Connection) {
        self.waits = true;
        self.una = Some(connection.snd.una);
    }

    /// Where something was acknowledged while a writer waits, the limit grows with cwnd, unless that is full.
    fn grow(&mut self, connection: &Connection, most: u32) {
        let (mss, cwnd) = (connection.segment_payload(), connection.congestion.get().window());
        let acknowledged = self.una.replace(connection.snd.una) != Some(connection.snd.una);
        if acknowledged && connection.in_flight() < cwnd {
            let each = (mss + PER_SEGMENT).next_power_of_two() + 256;
            let segments = (cwnd / mss).max(INITIAL_SEGMENTS);
            self.grown = self.grown.max((2 * segments).saturating_mul(each).min(most));
        }
    }

    /// Octets that may be added to the last piece, or to a new one.
    fn room(&mut self, connection: &Connection, limit: u32, unsent_limit: u32) -> u32 {
        let (end, unsent) = (connection.text_end(), connection.unsent());
        if let Some(tail) = self.tail.filter(|_| unsent > 0) {
            let from = if tail.lt(connection.snd.nxt) { connection.snd.nxt } else { tail };
            let room = piece(connection).saturating_sub(end.saturating_since(from));
            if room > 0 {
                return room;
            }
        }
        if memory(connection) >= limit || unsent >= unsent_limit {
            return 0;
        }
        self.tail = Some(end);
        piece(connection)
    }

    /// A writer that waits is woken: a third of the memory is free, and half of what may be unsent.
    fn is_writable(&self, connection: &Connection, limit: u32, unsent_limit: u32) -> bool {
        let memory = memory(connection);
        let free = limit.saturating_sub(memory);
        free >= memory / 2 && free > 0 && connection.unsent().saturating_mul(2) < unsent_limit
    }
}

impl Host {
    /// `TCP_NOTSENT_LOWAT` of a socket, or of the host.
    fn unsent_limit(&self, fd: Fd) -> u32 {
        let noted =
            self.table.get(&fd).and_then(|entry| entry.noted.get(&(libc::IPPROTO_TCP, libc::TCP_NOTSENT_LOWAT)));
        let set =
            noted.and_then(|value| value.get(..4)?.try_into().ok()).map(u32::from_ne_bytes).filter(|&set| set > 0);
        let host =
            || self.settings.knobs.number("net.ipv4.tcp_notsent_lowat").and_then(|value| u32::try_from(value).ok());
        set.or_else(host).unwrap_or(u32::MAX)
    }

    /// The limit of a send buffer.
    pub(super) fn send_limit(&self, fd: Fd) -> Option<u32> {
        let (initial, _) = self.settings.send_bounds();
        let entry = self.table.get(&fd)?;
        let gone = matches!(entry.socket, Socket::Tcp(handle) if self.stack.tcp_connection(handle).is_none());
        (!gone).then(|| entry.send_memory.limit(initial))
    }

    /// Writing would find room.
    pub(super) fn has_send_room(&mut self, fd: Fd) -> Option<bool> {
        let (limit, unsent) = (self.send_limit(fd)?, self.unsent_limit(fd));
        let entry = self.table.get_mut(&fd)?;
        let Socket::Tcp(handle) = entry.socket else { return None };
        let connection = self.stack.tcp_connection(handle)?;
        let open = connection.state().is_synchronized() || connection.opens_early();
        if !open || connection.snd.fin.is_some() {
            return None;
        }
        let writable = entry.send_memory.is_writable(connection, limit, unsent);
        if !writable && !entry.send_memory.waits {
            entry.send_memory.wait(connection);
        }
        Some(writable)
    }

    /// Queues as much as there is room for.
    pub(super) fn write_counted(&mut self, fd: Fd, handle: TcpHandle, data: &[u8], flags: i32) -> Answer<usize> {
        let waits = self.descriptor(fd)?.send_memory.waits && self.blocks(fd);
        if waits && self.has_send_room(fd) == Some(false) {
            return Err(Errno::EAGAIN);
        }
        self.descriptor_mut(fd)?.send_memory.waits = false;
        let mut done = 0;
        while done < data.len() {
            let (limit, unsent) = (self.send_limit(fd).ok_or(Errno::EBADF)?, self.unsent_limit(fd));
            let entry = self.table.get_mut(&fd).ok_or(Errno::EBADF)?;
            let connection = self.stack.tcp_connection(handle).ok_or(Errno::EBADF)?;
            let room = entry.send_memory.room(connection, limit, unsent) as usize;
            if room == 0 {
                entry.send_memory.wait(connection);
                self.stack.tcp_release(self.now, handle);
                if done > 0 && flags & libc::MSG_MORE == 0 {
                    // What was taken is all that there is for now.
                    self.stack.with_tcp(handle, |connection, _| connection.send_buffer.more = More::Nothing);
                }
                break;
            }
            let part = &data[done..data.len().min(done + room)];
            let opens = connection.unsent() > 0 && entry.send_memory.tail == Some(connection.text_end());
            // What is not the end of the write is pushed only once it is more than half of the largest window.
            let end = connection.text_end() + part.len() as u32;
            let pushed = entry.send_memory.pushed.unwrap_or(connection.snd.iss + 1);
            let pushes = done + part.len() == data.len() || end.since(pushed) > connection.snd.max_wnd / 2;
            if pushes {
                entry.send_memory.pushed = Some(end);
            }
            let more = if pushes { 0 } else { libc::MSG_MORE };
            // A record ends with the last part.
            let kept = if done + part.len() == data.len() { flags } else { flags & !libc::MSG_EOR };
            if opens {
                // What leaves at once is of one piece.
                self.stack.with_tcp(handle, |connection, _| connection.send_buffer.end_record());
            }
            match self.write_part(fd, handle, part, kept | more) {
                Ok(sent) => done += sent,
                Err(_) if done > 0 => return Ok(done),
                Err(errno) => return Err(errno),
            }
            self.settle();
        }
        if done == 0 && !data.is_empty() { Err(Errno::EAGAIN) } else { Ok(done) }
    }

    /// Tells those who wait for room, where there is some again.
    pub(super) fn wake_writers(&mut self) {
        if !self.settings.persona.counts_send_memory() {
            return;
        }
        let waiting: Vec<Fd> =
            self.table.iter().filter(|(_, entry)| entry.send_memory.waits).map(|(&fd, _)| fd).collect();
        let (_, most) = self.settings.send_bounds();
        for fd in waiting {
            if let Some(entry) = self.table.get_mut(&fd)
                && let Socket::Tcp(handle) = entry.socket
                && let Some(connection) = self.stack.tcp_connection(handle)
            {
                entry.send_memory.grow(connection, most);
            }
            if self.has_send_room(fd) == Some(true) {
                if let Some(entry) = self.table.get_mut(&fd).filter(|entry| entry.nonblocking) {
                    entry.send_memory.waits = false;
                }
                self.wake_fd(fd, (libc::EPOLLOUT | libc::EPOLLWRNORM) as u32);
            }
        }
    }
}
