//! The way in: header checks, and whether a packet is ours.

use std::cmp::Reverse;
use std::net::IpAddr;

use super::address::{self, IpCidr};
use crate::counters::DropReason;
use crate::wire::{IpPacket, Refused, parse_ip};

/// To whom a packet is addressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Addressed {
    /// To one of our addresses.
    Unicast,
    /// To a broadcast or multicast address that we listen to.
    Group,
}

/// Checks a packet and says to whom it is addressed.
///
/// # Errors
/// Why it is dropped, and what is reported to its sender.
pub fn deliver<'a>(packet: &'a [u8], own: &[IpCidr]) -> Result<(IpPacket<'a>, Addressed), Refused> {
    let packet = parse_ip(packet)?;
    // 1122-3.2.1.3-3, 9293-MUST-63: martians first, whatever else they carry.
    if address::is_invalid_source(packet.source) || own.iter().any(|cidr| cidr.is_broadcast(packet.source)) {
        return Err(DropReason::IpSource.into());
    }
    if own.iter().any(|cidr| cidr.address == packet.source) {
        return Err(DropReason::IpOwnSource.into());
    }
    let Some(addressed) = addressed(packet.destination, own) else {
        // 1122-3.1-1, 1122-3.2.1.3-2: a host forwards nothing.
        return Err(DropReason::NotOurs.into());
    };
    if packet.fragment.is_some() {
        // 1858-3, 1858-4: what is never reassembled overwrites nothing.
        return Err(DropReason::Fragment.into());
    }
    Ok((packet, addressed))
}

/// To whom this destination belongs, or `None` if it is not ours.
fn addressed(destination: IpAddr, own: &[IpCidr]) -> Option<Addressed> {
    // 9293-MUST-57: whatever is not one host's is told apart here, once.
    if own.iter().any(|cidr| cidr.address == destination) {
        return Some(Addressed::Unicast);
    }
    if address::is_invalid_destination(destination) {
        return None;
    }
    let group = match destination {
        IpAddr::V4(v4) => {
            let family = own.iter().any(|cidr| cidr.address.is_ipv4());
            family && (v4.is_broadcast() || v4.octets() == [224, 0, 0, 1])
                || own.iter().any(|cidr| cidr.is_broadcast(destination))
        }
        IpAddr::V6(v6) => {
            let all_nodes = v6.segments() == [0xff02, 0, 0, 0, 0, 0, 0, 1];
            own.iter().any(|cidr| cidr.address.is_ipv6()) && all_nodes
        }
    };
    group.then_some(Addressed::Group)
}

/// The address of ours from which to send to `remote`: the first in the most narrow network that both share, else the
/// first of its family.
// 9293-MUST-44, 1122-3.2.1.3-1: always one of our own.
pub fn source_for(remote: IpAddr, own: &[IpCidr]) -> Option<IpAddr> {
    let family = || own.iter().filter(|cidr| cidr.address.is_ipv6() == remote.is_ipv6());
    family()
        .filter(|cidr| cidr.contains(remote))
        .min_by_key(|cidr| Reverse(cidr.prefix_len))
        .or_else(|| family().next())
        .map(|cidr| cidr.address)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own() -> Vec<IpCidr> {
        ["10.0.0.2/24", "192.168.7.2/16", "fd00:67::2/64"].iter().map(|text| text.parse().unwrap()).collect()
    }

    /// 9293-MUST-57, 1122-3.2.1.3-2, 1122-3.1-1
    #[test]
    fn destinations() {
        for (destination, expected) in [
            ("10.0.0.2", Some(Addressed::Unicast)),
            ("fd00:67::2", Some(Addressed::Unicast)),
            ("10.0.0.255", Some(Addressed::Group)),
            ("255.255.255.255", Some(Addressed::Group)),
            ("224.0.0.1", Some(Addressed::Group)),
            ("ff02::1", Some(Addressed::Group)),
            ("10.0.0.3", None),
            ("127.0.0.1", None),
            ("224.0.0.9", None),
            ("ff02::2", None),
            ("::1", None),
            ("0.0.0.0", None),
        ] {
            assert_eq!(addressed(destination.parse().unwrap(), &own()), expected, "{destination}");
        }
    }

    /// 9293-MUST-44
    #[test]
    fn the_source_lies_in_the_network_of_the_destination() {
        for (remote, source) in [
            ("10.0.0.9", Some("10.0.0.2")),
            ("192.168.200.1", Some("192.168.7.2")),
            ("8.8.8.8", Some("10.0.0.2")),
            ("2001:db8::1", Some("fd00:67::2")),
        ] {
            assert_eq!(source_for(remote.parse().unwrap(), &own()), source.map(|text| text.parse().unwrap()));
        }
        assert_eq!(source_for("fd00::1".parse().unwrap(), &own()[..1]), None);
    }
}
