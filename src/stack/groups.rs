//! Multicast: who on this host has joined which group, and the talk with the routers about it (`ip/multicast.rs`).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Stack;
use super::flow::UdpHandle;
use super::outgoing::Outgoing;
use super::siblings::Inquiry;
use crate::counters::DropReason;
use crate::error::SocketError;
use crate::ip::input::{Addressed, addressed};
use crate::ip::multicast::{MAX_SOURCES, Query, Record, Report, Version, is_everybody};
use crate::time::Instant;
use crate::wire::{IpPacket, igmp, mld};

/// Groups that one socket may join.
pub const MAX_MEMBERSHIPS: usize = 64;

impl Stack {
    /// Joins a group for a socket: it hears datagrams to the group and its port from now on.
    ///
    /// # Errors
    /// `InvalidArgument` for what is no group, or one of the other family; `AddressInUse` if the socket is in it already;
    /// `AddressNotAvailable` without an address of the family; `NoBuffers` for too many.
    pub fn udp_join(&mut self, now: Instant, handle: UdpHandle, group: IpAddr) -> Result<(), SocketError> {
        let now = self.advance_to(now);
        let family = self.config.addresses.iter().any(|cidr| cidr.address.is_ipv6() == group.is_ipv6());
        let socket = self.sockets.get(handle.0).ok_or(SocketError::BadHandle)?;
        // One that is bound to all addresses of IPv6 has both families.
        let same = socket.bound.is_ipv6() == group.is_ipv6() || socket.bound == IpAddr::V6(Ipv6Addr::UNSPECIFIED);
        if !group.is_multicast() || !same {
            return Err(SocketError::InvalidArgument);
        }
        if socket.groups.contains(&group) {
            return Err(SocketError::AddressInUse);
        }
        if !family {
            return Err(SocketError::AddressNotAvailable);
        }
        if socket.groups.len() >= MAX_MEMBERSHIPS || !self.groups.join(group, now) {
            return Err(SocketError::NoBuffers);
        }
        if let Some(socket) = self.sockets.get_mut(handle.0) {
            socket.groups.push(group);
        }
        self.send_reports(now);
        Ok(())
    }

    /// Leaves a group that the socket has joined.
    ///
    /// # Errors
    /// `AddressNotAvailable` if it has not, `InvalidArgument` for what is no group.
    pub fn udp_leave(&mut self, now: Instant, handle: UdpHandle, group: IpAddr) -> Result<(), SocketError> {
        let now = self.advance_to(now);
        let socket = self.sockets.get_mut(handle.0).ok_or(SocketError::BadHandle)?;
        if !group.is_multicast() {
            return Err(SocketError::InvalidArgument);
        }
        let at = socket.groups.iter().position(|&joined| joined == group).ok_or(SocketError::AddressNotAvailable)?;
        socket.groups.swap_remove(at);
        self.groups.leave(group, now);
        self.send_reports(now);
        Ok(())
    }

    /// Leaves all groups of a socket that is being closed.
    pub(super) fn leave_all(&mut self, groups: &[IpAddr]) {
        let now = self.now;
        for &group in groups {
            self.groups.leave(group, now);
        }
        if !groups.is_empty() {
            self.send_reports(now);
        }
    }

    /// All sockets leave all groups: everything is being closed.
    pub(super) fn leave_groups(&mut self, now: Instant) {
        let now = self.advance_to(now);
        let members = self.sockets.iter().filter(|(_, socket)| !socket.groups.is_empty());
        let members: Vec<super::slab::SlabKey> = members.map(|(key, _)| key).collect();
        for key in members {
            let Some(socket) = self.sockets.get_mut(key) else { continue };
            for group in std::mem::take(&mut socket.groups) {
                self.groups.leave(group, now);
            }
        }
        self.send_reports(now);
    }

    pub(super) fn igmp_input(&mut self, packet: &IpPacket<'_>, addressed: Addressed) -> Result<(), DropReason> {
        let message = igmp::parse(packet)?;
        // 3376-9.1: from the link alone, and to whom it is sent there: a packet to one host comes from anywhere.
        let near = self.config.addresses.iter().any(|cidr| cidr.contains(packet.source));
        let well_addressed = match &message {
            igmp::Message::Report(group) => addressed == Addressed::Group && packet.destination == *group,
            igmp::Message::Query(query) if query.version == 1 => addressed == Addressed::Group,
            // RFC 3376 section 4.1.12: to any address of ours.
            igmp::Message::Query(_) => addressed != Addressed::Foreign,
        };
        if !near || !well_addressed {
            return Err(DropReason::IgmpIgnored);
        }
        self.membership_input(packet.destination, &message)
    }

    pub(super) fn mld_input(&mut self, packet: &IpPacket<'_>) -> Result<(), DropReason> {
        let message = mld::parse(packet)?;
        self.membership_input(packet.destination, &message)
    }

    /// What is sent to this group or to everybody is for this stack as well.
    pub(super) fn hears_group(&self, group: IpAddr) -> bool {
        addressed(group, &self.host()) == Some(Addressed::Group)
    }

    fn membership_input(&mut self, destination: IpAddr, message: &igmp::Message<'_>) -> Result<(), DropReason> {
        let (ipv6, now) = (destination.is_ipv6(), self.now);
        let of_one = destination.is_multicast() && !is_everybody(destination);
        let inquiry = || if of_one { Inquiry::Group { group: destination, whole: true } } else { Inquiry::Membership };
        // Members may be on any of the stacks, and the router speaks to all of them as one host.
        if self.leaves(inquiry) {
            return Err(DropReason::Unclaimed);
        }
        match message {
            igmp::Message::Report(group) => self.groups.heard_report(*group, now),
            igmp::Message::Query(query) => {
                let version = match query.version {
                    1 => Version::V1,
                    2 => Version::V2,
                    _ => Version::V3,
                };
                let (group, max_response) = (query.group, query.max_response);
                let query = Query { version, group, sources: sources(ipv6, query.sources), max_response };
                self.groups.query(ipv6, &query, now);
            }
        }
        Ok(())
    }

    /// Sends the reports that are due.
    pub(super) fn send_reports(&mut self, now: Instant) {
        for report in self.groups.reports(now) {
            match report {
                Report::Records(records) => self.send_records(&records),
                Report::Member(version, IpAddr::V4(group)) => {
                    let version = if version == Version::V1 { 1 } else { 2 };
                    self.send_igmp(|source, identification| igmp::report_old(source, identification, version, group));
                }
                Report::Leave(IpAddr::V4(group)) => {
                    self.send_igmp(|source, identification| igmp::leave(source, identification, group));
                }
                Report::Member(_, IpAddr::V6(group)) => self.send_mld(|source| mld::report_v1(source, group)),
                Report::Leave(IpAddr::V6(group)) => self.send_mld(|source| mld::done(source, group)),
            }
        }
    }

    /// Sends records of one family in as many packets as it takes.
    fn send_records(&mut self, records: &[Record]) {
        let ipv6 = records.first().is_some_and(|record| record.group.is_ipv6());
        let (room, record_len): (usize, fn(usize) -> usize) = if ipv6 {
            (mld::record_room(self.config.mtu), mld::record_len)
        } else {
            (igmp::record_room(self.config.mtu), igmp::record_len)
        };
        let mut rest = records;
        while !rest.is_empty() {
            let mut used = 0;
            let fits = |record: &&Record| {
                used += record_len(record.sources.len());
                used <= room
            };
            // A record with as many sources as there may be fits into the smallest MTU.
            let count = rest.iter().take_while(fits).count().max(1);
            let (now, later) = rest.split_at(count);
            rest = later;
            if ipv6 {
                let sources: Vec<Vec<Ipv6Addr>> = now.iter().map(|record| v6(&record.sources)).collect();
                let records: Vec<mld::Record<'_>> = now
                    .iter()
                    .zip(&sources)
                    .filter_map(|(record, sources)| Some((record.kind as u8, only_v6(record.group)?, &sources[..])))
                    .collect();
                self.send_mld(|source| mld::report_v2(source, &records));
            } else {
                let sources: Vec<Vec<Ipv4Addr>> = now.iter().map(|record| v4(&record.sources)).collect();
                let records: Vec<igmp::Record<'_>> = now
                    .iter()
                    .zip(&sources)
                    .filter_map(|(record, sources)| Some((record.kind as u8, only_v4(record.group)?, &sources[..])))
                    .collect();
                self.send_igmp(|source, identification| igmp::report_v3(source, identification, &records));
            }
        }
    }

    fn send_igmp(&mut self, packet: impl FnOnce(Ipv4Addr, u16) -> Vec<u8>) {
        let own = self.config.addresses.iter().find_map(|cidr| only_v4(cidr.address));
        let Some(source) = own else { return };
        let identification = self.identification;
        self.identification = identification.wrapping_add(1);
        self.push_outgoing(Outgoing::Packet(packet(source, identification)));
    }

    fn send_mld(&mut self, packet: impl FnOnce(Ipv6Addr) -> Vec<u8>) {
        // RFC 3810 section 5.2.13: from a link-local address, or from the unspecified one where there is none.
        let own = self.config.addresses.iter().filter_map(|cidr| only_v6(cidr.address));
        let source = own.into_iter().find(Ipv6Addr::is_unicast_link_local).unwrap_or(Ipv6Addr::UNSPECIFIED);
        self.push_outgoing(Outgoing::Packet(packet(source)));
    }
}

/// Whether a socket that has joined these groups takes what is sent to this group or broadcast address.
// What others on this host have joined is not for it: Linux delivers that too, unless told otherwise (IP_MULTICAST_ALL).
pub(super) fn hears(joined: &[IpAddr], destination: IpAddr) -> bool {
    !destination.is_multicast() || is_everybody(destination) || joined.contains(&destination)
}

/// The sources of a query; none where there are too many, so that it is answered for the whole group.
fn sources(ipv6: bool, octets: &[u8]) -> Vec<IpAddr> {
    let all: Vec<IpAddr> = if ipv6 {
        octets.as_chunks::<16>().0.iter().map(|&octets| IpAddr::from(octets)).collect()
    } else {
        octets.as_chunks::<4>().0.iter().map(|&octets| IpAddr::from(octets)).collect()
    };
    if all.len() > MAX_SOURCES { Vec::new() } else { all }
}

fn only_v4(address: IpAddr) -> Option<Ipv4Addr> {
    if let IpAddr::V4(v4) = address { Some(v4) } else { None }
}

fn only_v6(address: IpAddr) -> Option<Ipv6Addr> {
    if let IpAddr::V6(v6) = address { Some(v6) } else { None }
}

fn v4(addresses: &[IpAddr]) -> Vec<Ipv4Addr> {
    addresses.iter().filter_map(|&address| only_v4(address)).collect()
}

fn v6(addresses: &[IpAddr]) -> Vec<Ipv6Addr> {
    addresses.iter().filter_map(|&address| only_v6(address)).collect()
}
