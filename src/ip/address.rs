//! Addresses with their prefixes, and which addresses can be the end of a connection.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// An address of this host and the length of its network's prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct IpCidr {
    /// The address.
    pub address: IpAddr,
    /// Bits of the prefix: 0 to 32, or 0 to 128.
    pub prefix_len: u8,
}

impl IpCidr {
    /// An address in a network; `None` if the prefix is longer than the address.
    pub fn new(address: IpAddr, prefix_len: u8) -> Option<IpCidr> {
        let longest = if address.is_ipv6() { 128 } else { 32 };
        (prefix_len <= longest).then_some(IpCidr { address, prefix_len })
    }

    /// `address` lies in the same network.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(own), IpAddr::V4(other)) => (own.to_bits() ^ other.to_bits()) & self.mask_v4() == 0,
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.prefix_len)).unwrap_or(0);
                (own.to_bits() ^ other.to_bits()) & mask == 0
            }
            _ => false,
        }
    }

    fn mask_v4(&self) -> u32 {
        u32::MAX.checked_shl(32 - u32::from(self.prefix_len)).unwrap_or(0)
    }

    /// `address` is the broadcast address of this network. Networks of 31 and 32 bits have none (RFC 3021).
    pub fn is_broadcast(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(_), IpAddr::V4(other)) => {
                self.prefix_len < 31 && self.contains(address) && other.to_bits() | self.mask_v4() == u32::MAX
            }
            _ => false,
        }
    }
}

impl fmt::Display for IpCidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix_len)
    }
}

impl FromStr for IpCidr {
    type Err = String;

    /// `10.0.0.2/24`, `fd00:67::2/64`, or an address alone for a network of one.
    fn from_str(text: &str) -> Result<IpCidr, String> {
        let (address, prefix) = text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
        let address: IpAddr = address.parse().map_err(|_| format!("'{address}' is not an IP address"))?;
        let longest = if address.is_ipv6() { 128 } else { 32 };
        let prefix_len = match prefix {
            None => longest,
            Some(prefix) => prefix.parse().map_err(|_| format!("'{prefix}' is not a prefix length"))?,
        };
        IpCidr::new(address, prefix_len)
            .ok_or_else(|| format!("/{prefix_len} is longer than the address: at most /{longest}"))
    }
}

/// No packet from outside can have this source.
// 1122-3.2.1.3-3, 1812-5.3.7, 9293-MUST-63
pub fn is_invalid_source(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_martian_v4(v4) || v4.is_multicast(),
        IpAddr::V6(v6) => is_martian_v6(v6) || v6.is_multicast(),
    }
}

/// No packet from outside can have this destination.
pub fn is_invalid_destination(address: IpAddr) -> bool {
    match address {
        // The limited broadcast address is in class E by its bits only.
        IpAddr::V4(v4) => is_martian_v4(v4) && !v4.is_broadcast(),
        IpAddr::V6(v6) => is_martian_v6(v6),
    }
}

/// An address as sockets have it: an IPv4-mapped one of IPv6 (RFC 4291 section 2.5.5.2) is the one of IPv4, as on a socket
/// for both families.
pub fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// An address of the loopback network: 127.0.0.0/8 (RFC 1122 section 3.2.1.3 (g)) or ::1.
pub fn is_loopback(address: IpAddr) -> bool {
    address.is_loopback()
}

fn is_martian_v4(address: Ipv4Addr) -> bool {
    let first = address.octets()[0];
    first == 0 || first == 127 || first >= 240
}

fn is_martian_v6(address: Ipv6Addr) -> bool {
    // RFC 4291 section 2.5.5: mapped addresses never leave a host, and the compatible ones (of which `::` and `::1` have the
    // form) are out of use. Site-local ones are unicast like any other today (section 2.5.7).
    address.to_ipv4().is_some()
}

/// A connection can be opened towards this address: it is that of one host.
// 9293-MUST-46
pub fn is_connectable(address: IpAddr, own: &[IpCidr]) -> bool {
    !is_invalid_source(address) && !own.iter().any(|cidr| cidr.is_broadcast(address))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cidr(text: &str) -> IpCidr {
        text.parse().unwrap()
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn prefixes() {
        assert!(cidr("10.0.0.2/24").contains(ip("10.0.0.255")) && !cidr("10.0.0.2/24").contains(ip("10.0.1.0")));
        assert!(cidr("10.0.0.2/0").contains(ip("1.2.3.4")) && !cidr("10.0.0.2").contains(ip("10.0.0.3")));
        assert!(cidr("fd00::1/64").contains(ip("fd00::ffff:1")) && !cidr("fd00::1/64").contains(ip("fd00:0:0:1::1")));
        assert!(cidr("::/0").contains(ip("fd00::1")) && !cidr("::/0").contains(ip("10.0.0.1")));
        assert!(
            cidr("10.0.0.2/24").is_broadcast(ip("10.0.0.255")) && !cidr("10.0.0.2/31").is_broadcast(ip("10.0.0.3"))
        );
        for wrong in ["", "10.0.0/24", "10.0.0.2/33", "fd00::1/129", "10.0.0.2/", "10.0.0.2/x"] {
            assert!(wrong.parse::<IpCidr>().is_err(), "{wrong}");
        }
        assert_eq!(cidr("fd00:67::2/64").to_string(), "fd00:67::2/64");
    }

    /// 1122-3.2.1.3-3, 1812-5.3.7, 9293-MUST-63, 9293-MUST-46
    #[test]
    fn martians() {
        let own = [cidr("10.0.0.2/24")];
        for martian in [
            "0.0.0.0",
            "0.1.2.3",
            "127.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "224.0.0.1",
            "::",
            "::1",
            "ff02::1",
            "::ffff:10.0.0.1",
            "::10.0.0.1",
        ] {
            assert!(is_invalid_source(ip(martian)) && !is_connectable(ip(martian), &own), "{martian}");
        }
        assert!(!is_connectable(ip("10.0.0.255"), &own));
        for good in ["10.0.0.1", "192.168.1.1", "8.8.8.8", "fd00::1", "2001:db8::1", "fe80::1", "fec0::1"] {
            assert!(!is_invalid_source(ip(good)) && is_connectable(ip(good), &own), "{good}");
        }
    }
}
