//! The way in: header checks, and whether a packet is ours.

use std::cmp::Reverse;
use std::net::IpAddr;

use super::address::{self, IpCidr};
use super::multicast::{ALL_SYSTEMS, Groups, is_everybody, solicited_node};
use crate::counters::DropReason;
use crate::wire::{IpPacket, Refused, parse_ip};

/// To whom a packet is addressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Addressed {
    /// To one of our addresses.
    Unicast,
    /// To some other host, for which we stand in (see [`Host::any_address`]).
    Foreign,
    /// To a broadcast or multicast address that we listen to.
    Group,
}

/// What has to be known of this host to say whether a packet is for it.
#[derive(Clone, Copy, Debug)]
pub struct Host<'a> {
    /// Its addresses.
    pub own: &'a [IpCidr],
    /// It stands in for every other host: what the device brings is for it, whatever the destination.
    pub any_address: bool,
    /// The groups that it has joined.
    pub groups: &'a Groups,
    /// The packet never left the host: it may come from and go to its own addresses and those of the loopback network.
    pub inside: bool,
}

/// Checks a packet and says to whom it is addressed. It may be a fragment.
///
/// # Errors
/// Why it is dropped, and what is reported to its sender.
pub fn deliver<'a>(packet: &'a [u8], host: &Host<'_>) -> Result<(IpPacket<'a>, Addressed), Refused> {
    let packet = parse_ip(packet)?;
    if !host.inside {
        check_source(&packet, host.own)?;
    }
    let Some(addressed) = addressed(packet.destination, host) else {
        // 1122-3.1-1, 1122-3.2.1.3-2: a host forwards nothing.
        return Err(DropReason::NotOurs.into());
    };
    Ok((packet, addressed))
}

/// From the wire, no source may be one that only this host has, or that no host has.
fn check_source(packet: &IpPacket<'_>, own: &[IpCidr]) -> Result<(), DropReason> {
    // 1122-3.2.1.3-3, 9293-MUST-63: martians first, whatever else they carry.
    if address::is_invalid_source(packet.source) || own.iter().any(|cidr| cidr.is_broadcast(packet.source)) {
        return Err(DropReason::IpSource);
    }
    // An address for which we stand in is as good as our own: who sends to itself from there attacks (LAND).
    if own.iter().any(|cidr| cidr.address == packet.source) || packet.source == packet.destination {
        return Err(DropReason::IpOwnSource);
    }
    Ok(())
}

/// To whom this destination belongs, or `None` if it is not ours.
pub fn addressed(destination: IpAddr, host: &Host<'_>) -> Option<Addressed> {
    let own = host.own;
    // 9293-MUST-57: whatever is not one host's is told apart here, once.
    if own.iter().any(|cidr| cidr.address == destination) {
        return Some(Addressed::Unicast);
    }
    if address::is_invalid_destination(destination) {
        // 1122-3.2.1.3-4: the loopback network exists inside only.
        return (host.inside && address::is_loopback(destination)).then_some(Addressed::Unicast);
    }
    let group = match destination {
        IpAddr::V4(v4) => {
            let family = own.iter().any(|cidr| cidr.address.is_ipv4());
            family && (v4.is_broadcast() || v4 == ALL_SYSTEMS || host.groups.contains(destination))
                || own.iter().any(|cidr| cidr.is_broadcast(destination))
        }
        IpAddr::V6(v6) => {
            let solicits = |cidr: &IpCidr| matches!(cidr.address, IpAddr::V6(own) if solicited_node(own) == v6);
            let family = own.iter().any(|cidr| cidr.address.is_ipv6());
            family
                && v6.is_multicast()
                && (is_everybody(destination) || host.groups.contains(destination) || own.iter().any(solicits))
        }
    };
    if group {
        return Some(Addressed::Group);
    }
    (host.any_address && !destination.is_multicast()).then_some(Addressed::Foreign)
}

/// The address of ours from which to send to `remote`: the first in the most narrow network that both share, else the
/// first of its family.
// 9293-MUST-44, 1122-3.2.1.3-1: always one of our own.
// 1122-3.3.1: on a link to a single neighbour the mask decides on the source address alone; all goes to that neighbour.
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
    use crate::rng::KeyedRng;
    use crate::time::Instant;

    fn groups() -> Groups {
        let mut groups = Groups::new(KeyedRng::from_seed(1));
        assert!(["224.0.0.251", "ff02::fb"].iter().all(|group| groups.join(group.parse().unwrap(), Instant::ZERO)));
        groups
    }

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
            ("224.0.0.251", Some(Addressed::Group)),
            ("ff02::fb", Some(Addressed::Group)),
            ("ff02::1:ff00:2", Some(Addressed::Group)),
            ("ff02::1:ff00:3", None),
            ("::1", None),
            ("0.0.0.0", None),
        ] {
            let host = Host { own: &own(), any_address: false, groups: &groups(), inside: false };
            assert_eq!(addressed(destination.parse().unwrap(), &host), expected, "{destination}");
        }
    }

    /// 9293-MUST-57: a host without an address of a family is in none of its groups.
    #[test]
    fn groups_of_the_other_family() {
        let (all, groups) = (own(), Groups::new(KeyedRng::from_seed(1)));
        for (own, destination) in [(&all[..2], "ff02::1"), (&all[2..], "224.0.0.1"), (&all[2..], "255.255.255.255")] {
            let host = Host { own, any_address: false, groups: &groups, inside: false };
            assert_eq!(addressed(destination.parse().unwrap(), &host), None, "{destination}");
        }
    }

    /// 1122-3.2.1.3-4: what is nobody's address, or a group's, is for nobody in any-address mode, too; the loopback network
    /// exists inside only.
    #[test]
    fn destinations_of_all_hosts() {
        for (destination, expected, inside) in [
            ("10.0.0.2", Some(Addressed::Unicast), Some(Addressed::Unicast)),
            ("10.0.0.3", Some(Addressed::Foreign), Some(Addressed::Foreign)),
            ("8.8.8.8", Some(Addressed::Foreign), Some(Addressed::Foreign)),
            ("2001:db8::1", Some(Addressed::Foreign), Some(Addressed::Foreign)),
            ("fe80::1", Some(Addressed::Foreign), Some(Addressed::Foreign)),
            ("10.0.0.255", Some(Addressed::Group), Some(Addressed::Group)),
            ("255.255.255.255", Some(Addressed::Group), Some(Addressed::Group)),
            ("127.0.0.1", None, Some(Addressed::Unicast)),
            ("127.255.0.9", None, Some(Addressed::Unicast)),
            ("::1", None, Some(Addressed::Unicast)),
            ("0.0.0.0", None, None),
            ("0.1.2.3", None, None),
            ("240.0.0.1", None, None),
            ("224.0.0.9", None, None),
            ("::", None, None),
            ("ff02::2", None, None),
            ("::ffff:10.0.0.3", None, None),
        ] {
            let asked = |inside| {
                let host = Host { own: &own(), any_address: true, groups: &groups(), inside };
                addressed(destination.parse().unwrap(), &host)
            };
            assert_eq!((asked(false), asked(true)), (expected, inside), "{destination}");
        }
    }

    /// 9293-MUST-44, 1122-3.3.1
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
        assert_eq!(source_for("10.0.0.9".parse().unwrap(), &[]), None);
    }
}
