//! Path MTU discovery: errors that say that a packet was too big, and what is known of the paths.
//!
//! What an error claims is looked at here: whether any link can be so narrow, and whether it is about something that was
//! sent. What it then means to a connection is in [`crate::tcp::path_mtu`].

use std::net::{IpAddr, SocketAddr};

use super::Stack;
use super::flow::UdpHandle;
use super::slab::SlabKey;
use crate::counters::DropReason;
use crate::ip::path_mtu;
use crate::ip::sent_datagrams::Cause;
use crate::tcp::connection::Connection;
use crate::tcp::habits::MtuSearch;
use crate::tcp::sequence::SeqNumber;
use crate::wire::icmp::{self, IcmpError};
use crate::wire::quoted::Quoted;

/// Why the datagram was sent that an error is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Evidence {
    /// Because we wanted to talk to that peer: to a request of ours, or from a socket that is connected to it.
    OwnWill,
    /// Perhaps in answer to a packet with a forged source, whose sender knows every octet of it and can forge the error too.
    /// TCP, which has sequence numbers to ask for, does not believe it.
    Answer,
}

impl Stack {
    /// The largest packet to `destination` that is known to pass, in octets with its IP header: the MTU of our link, or less
    /// where an error, or probing, has shown that the path is narrower.
    pub fn path_mtu(&self, destination: IpAddr) -> usize {
        let tables = [&self.paths, &self.paths_of_answers];
        let known =
            tables.into_iter().filter_map(|paths| paths.get(destination, self.now)).map(|(mtu, _)| mtu as usize);
        known.fold(self.mtu_towards(destination), usize::min)
    }

    /// The error with an MTU that can be, or refused. Of a router that does not tell its MTU it is guessed from the packet.
    pub(super) fn believable(&self, error: IcmpError, quotation: &[u8]) -> Result<IcmpError, DropReason> {
        let IcmpError::PacketTooBig { mtu } = error else { return Ok(error) };
        let ipv6 = quotation.first().is_some_and(|first| first >> 4 == 6);
        // 1191-3-3: by the length that the quoted header tells, as our estimate may have changed since. A super-segment has
        // none, or one larger than any packet of the wire.
        let told = quotation.get(2..4).map_or(0, |length| u32::from(u16::from_be_bytes([length[0], length[1]])));
        let link = u32::try_from(self.config.mtu).unwrap_or(u32::MAX);
        let sent = if (path_mtu::MIN_LINK_MTU_V4..=link).contains(&told) { told } else { link };
        let claimed = if mtu == 0 && !ipv6 { path_mtu::plateau(sent) } else { mtu };
        let mtu = self.paths.settings().believable(claimed, ipv6).ok_or(DropReason::IcmpTooBigRefused)?;
        Ok(IcmpError::PacketTooBig { mtu })
    }

    /// A segment of this connection was too big.
    pub(super) fn tcp_packet_too_big(&mut self, key: SlabKey, seq: SeqNumber, mtu: u32) -> Result<(), DropReason> {
        let now = self.now;
        let outcome = self.with_connection(key, now, |connection, cx| connection.packet_too_big(seq, mtu, cx));
        self.touch(key);
        outcome.unwrap_or(Err(DropReason::IcmpUnmatched))
    }

    /// A new connection begins with what is known of its path.
    pub(super) fn begin_on_path(&self, connection: &mut Connection) {
        connection.snd.path_changes = self.paths.changes() as u8;
        if let Some((mtu, until)) = self.paths.get(connection.tuple.remote_addr, self.now) {
            connection.begin_on_path(mtu, until);
        }
        let habits = &self.config.tcp.habits;
        if habits.mtu_search == MtuSearch::Always {
            connection.search_path(habits.base_mss, self.now);
        }
    }

    /// Somebody who knows says how large packets to `destination` may be, in octets: for new connections, and at once for
    /// those that send larger ones. What is as large as our link takes is nothing to remember.
    pub fn set_path_mtu(&mut self, destination: IpAddr, mtu: u32) {
        let link = u32::try_from(self.mtu_towards(destination)).unwrap_or(u32::MAX);
        self.paths.raise(destination, mtu, link);
        if mtu < link {
            self.paths.lower(destination, mtu, self.now);
        }
    }

    /// A datagram of this socket leaves from `local` to `remote` in a packet of so many octets, before it is cut in fragments.
    pub(super) fn note_datagram(&mut self, handle: UdpHandle, local: SocketAddr, remote: SocketAddr, octets: usize) {
        let Some(octets) = self.notable(remote, octets) else { return };
        match self.sockets.get_mut(handle.0) {
            // A socket of its own for a peer has a memory of its own, that others cannot use up.
            Some(socket) if socket.remote == Some(remote) => socket.largest.note(octets, self.now),
            _ => {
                let hash = self.pair_hash(local, remote);
                self.sent_datagrams.note(hash, (local, remote), Cause::OwnWill, octets, self.now);
            }
        }
    }

    /// The octets of a packet that an error may be about: what every path takes is none.
    fn notable(&self, remote: SocketAddr, octets: usize) -> Option<u32> {
        let octets = u32::try_from(octets).unwrap_or(u32::MAX);
        (octets > self.paths.settings().floor(remote.is_ipv6())).then_some(octets)
    }

    /// A datagram of this socket from `local` to `remote` was too big. The path is narrower for all that goes there.
    ///
    /// # Errors
    /// No such datagram was sent lately.
    pub(super) fn datagram_too_big(
        &mut self,
        handle: UdpHandle,
        local: SocketAddr,
        remote: SocketAddr,
        mtu: u32,
    ) -> Result<(), DropReason> {
        let connected = self.sockets.get(handle.0).filter(|socket| socket.remote == Some(remote));
        // A socket that has been connected since may have sent before.
        let own = connected.is_some_and(|socket| socket.largest.is_more(mtu, self.now));
        let evidence = if connected.is_some() { Evidence::OwnWill } else { Evidence::Answer };
        self.sent_too_big(own, local, remote, mtu, evidence)
    }

    // 8899-4.6.1, 8201-4-1, 8201-5.2
    fn sent_too_big(
        &mut self,
        known: bool,
        local: SocketAddr,
        remote: SocketAddr,
        mtu: u32,
        evidence: Evidence,
    ) -> Result<(), DropReason> {
        let hash = self.pair_hash(local, remote);
        if !known && !self.sent_datagrams.has_sent_more(hash, local, remote, mtu, self.now) {
            return Err(DropReason::IcmpTooBigRefused);
        }
        let paths = match evidence {
            Evidence::OwnWill => &mut self.paths,
            Evidence::Answer => &mut self.paths_of_answers,
        };
        paths.lower(remote.ip(), mtu, self.now);
        Ok(())
    }

    fn pair_hash(&self, local: SocketAddr, remote: SocketAddr) -> u64 {
        self.hasher.hash((local.ip(), local.port()), (remote.ip(), remote.port()))
    }

    /// An ICMP message leaves. Only an echo can be so large that an error may be about it; its identifier stands for a port.
    pub(super) fn note_echo(&mut self, source: IpAddr, destination: IpAddr, message: &[u8], octets: usize) {
        let (local, remote) = echo_pair(source, destination, message);
        if let Some(octets) = self.notable(remote, octets) {
            let hash = self.pair_hash(local, remote);
            let request = matches!(message, [kind, code, ..] if icmp::is_echo_request(destination, *kind, *code));
            let cause = if request { Cause::OwnWill } else { Cause::Reply };
            self.sent_datagrams.note(hash, (local, remote), cause, octets, self.now);
        }
    }

    /// An ICMP message that begins so was too big.
    ///
    /// # Errors
    /// No such message was sent lately.
    pub(super) fn echo_too_big(&mut self, quoted: &Quoted, mtu: u32) -> Result<(), DropReason> {
        let (local, remote) = echo_pair(quoted.source, quoted.destination, &quoted.transport);
        let evidence = if quoted.echo_request().is_some() { Evidence::OwnWill } else { Evidence::Answer };
        self.sent_too_big(false, local, remote, mtu, evidence)
    }
}

fn echo_pair(source: IpAddr, destination: IpAddr, message: &[u8]) -> (SocketAddr, SocketAddr) {
    let identifier = message.get(4..6).map_or(0, |octets| u16::from_be_bytes([octets[0], octets[1]]));
    (SocketAddr::new(source, identifier), SocketAddr::new(destination, 0))
}
