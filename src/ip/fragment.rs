//! Cutting a datagram that is longer than the MTU (RFC 791 section 3.2, RFC 8200 section 4.5).

use crate::wire::extension::FRAGMENT_HEADER_LEN;
use crate::wire::{ipv4, ipv6};

/// Octets in which the places of fragments are counted.
pub const UNIT: usize = 8;

/// The longest datagram of IPv4, and the longest payload of IPv6, in octets.
pub const MAX_LEN: usize = 65_535;

/// One fragment of a datagram, in octets of its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Where it begins.
    pub offset: usize,
    /// How long it is.
    pub len: usize,
    /// Others follow.
    pub more: bool,
}

/// Octets of the headers of each fragment.
pub const fn header_len(ipv6: bool) -> usize {
    if ipv6 { ipv6::HEADER_LEN + FRAGMENT_HEADER_LEN } else { ipv4::HEADER_LEN }
}

/// What the last fragment may carry, and what each one before it carries.
fn room(ipv6: bool, mtu: usize) -> (usize, usize) {
    let last = mtu.saturating_sub(header_len(ipv6)).max(UNIT);
    // 791-3.2-2: all but the last are whole units long.
    (last, last / UNIT * UNIT)
}

/// How many fragments a payload makes.
pub fn count(payload_len: usize, ipv6: bool, mtu: usize) -> usize {
    let (last, each) = room(ipv6, mtu);
    1 + payload_len.saturating_sub(last).div_ceil(each)
}

/// The fragment that comes after the first `sent` octets of a payload.
pub fn next(payload_len: usize, sent: usize, ipv6: bool, mtu: usize) -> Piece {
    let (last, each) = room(ipv6, mtu);
    let left = payload_len.saturating_sub(sent);
    if left <= last {
        Piece { offset: sent, len: left, more: false }
    } else {
        Piece { offset: sent, len: each, more: true }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 791-3.2-2, 7112-5: whole units, no octet twice, none left out, none longer than the MTU; and the first one holds the
    /// headers of any transport.
    #[test]
    fn pieces_are_the_whole_and_fit() {
        for ipv6 in [false, true] {
            let smallest = if ipv6 { 1_280 } else { 68 };
            for mtu in (smallest..smallest + 40).chain([576, 1_280, 1_499, 1_500, 1_501, 9_000, 65_535]) {
                for len in (0..300).chain([1_400, 1_452, 1_480, 1_481, 2_960, 8_008, 65_515, 65_535]) {
                    let (mut sent, mut pieces) = (0, 0);
                    loop {
                        let piece = next(len, sent, ipv6, mtu);
                        assert!(
                            header_len(ipv6) + piece.len <= mtu && piece.offset == sent && sent.is_multiple_of(UNIT)
                        );
                        assert!(!piece.more || piece.len.is_multiple_of(UNIT) && piece.len >= 48);
                        (sent, pieces) = (sent + piece.len, pieces + 1);
                        if !piece.more {
                            break;
                        }
                    }
                    assert_eq!((sent, pieces), (len, count(len, ipv6, mtu)), "{len} octets, MTU {mtu}");
                }
            }
        }
        assert_eq!((count(65_515, false, 1_500), count(65_535, true, 1_500)), (45, 46));
    }
}
