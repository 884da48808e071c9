//! The Internet checksum (RFC 1071) and the pseudo-headers of its users (RFC 9293 section 3.1, RFC 8200 section 8.1).

use std::net::IpAddr;

/// A running Internet checksum over pieces of a message. A piece may have an odd length: the next one then starts in
/// the middle of a 16-bit word.
#[derive(Clone, Copy, Debug, Default)]
pub struct Checksum {
    /// Sum of 16-bit words, carries not yet folded in. It has room for 2^48 pieces.
    sum: u64,
    /// An odd number of bytes was added so far.
    odd: bool,
}

impl Checksum {
    /// The checksum of nothing.
    pub fn new() -> Checksum {
        Checksum::default()
    }

    /// Adds the next piece of the message.
    pub fn add(&mut self, bytes: &[u8]) {
        let sum = sum_words(bytes);
        // RFC 1071 section 2 (B): a sum taken one byte out of step is the right sum with its two bytes swapped.
        self.sum += u64::from(if self.odd { sum.swap_bytes() } else { sum });
        self.odd ^= bytes.len() % 2 == 1;
    }

    /// Adds one word of the message; only where an even number of bytes went before.
    pub fn add_u16(&mut self, word: u16) {
        debug_assert!(!self.odd, "a word starts at an even position");
        self.sum += u64::from(word);
    }

    /// Adds the pseudo-header of TCP, UDP and ICMPv6. `length` is that of the transport header and its data, in bytes.
    pub fn add_pseudo_header(&mut self, source: IpAddr, destination: IpAddr, protocol: u8, length: u32) {
        // 8200-8.1-1: 32-bit length and the protocol after all extension headers. The IPv4 form has only 16 bits for
        // the length, which sums to the same.
        // Word by word: a call of the loop for long messages would cost more than all of these.
        debug_assert!(!self.odd, "a pseudo-header starts at an even position");
        for address in [source, destination] {
            self.sum += match address {
                IpAddr::V4(address) => words_of(address.to_bits()),
                IpAddr::V6(address) => address.segments().into_iter().map(u64::from).sum(),
            };
        }
        self.sum += words_of(length) + u64::from(protocol);
    }

    /// The complemented sum, as it is stored in the checksum field.
    pub fn finish(self) -> u16 {
        !self.partial()
    }

    /// The folded sum, not complemented: what a device that completes the checksum expects in the field.
    pub fn partial(self) -> u16 {
        fold(self.sum)
    }
}

/// True if the sum over `data`, its checksum field included, is right (RFC 1071 section 1).
pub fn verifies(data: &[u8]) -> bool {
    let mut checksum = Checksum::new();
    checksum.add(data);
    checksum.finish() == 0
}

/// True if the sum over the pseudo-header and `data`, its checksum field included, is right.
pub fn verifies_with_pseudo_header(source: IpAddr, destination: IpAddr, protocol: u8, data: &[u8]) -> bool {
    let mut checksum = Checksum::new();
    checksum.add_pseudo_header(source, destination, protocol, data.len() as u32);
    checksum.add(data);
    checksum.finish() == 0
}

/// The two 16-bit words of a 32-bit one, summed.
fn words_of(word: u32) -> u64 {
    u64::from(word >> 16) + u64::from(word & 0xFFFF)
}

/// Messages shorter than this, such as headers, are summed without the lanes of [`sum_blocks`].
const SHORT: usize = 64;

/// Sums the big-endian 16-bit words of `bytes`, a missing last byte being zero; carries are folded in.
///
/// The sum may be taken in any byte order and over words of any width (RFC 1071 section 2 (B), (C)).
fn sum_words(bytes: &[u8]) -> u16 {
    let (mut sum, rest) = if bytes.len() < SHORT { (0, bytes) } else { sum_blocks(bytes) };
    let (words, rest) = rest.as_chunks::<4>();
    for word in words {
        sum += u64::from(u32::from_ne_bytes(*word));
    }
    let last = match *rest {
        [] => [0; 4],
        [a] => [a, 0, 0, 0],
        [a, b] => [a, b, 0, 0],
        [a, b, c, ..] => [a, b, c, 0],
    };
    sum += u64::from(u32::from_ne_bytes(last));
    u16::from_be(fold(sum))
}

/// Sums the whole blocks of 32 bytes, in 32-bit words of this machine's byte order, and answers what is left of `bytes`.
///
/// This is where the time goes, so it is shaped for the vector units: eight independent lanes of 64 bits need no carry
/// handling for 128 GiB. Inlined into a caller, the loop loses its vector form.
#[inline(never)]
fn sum_blocks(bytes: &[u8]) -> (u64, &[u8]) {
    let (blocks, rest) = bytes.as_chunks::<32>();
    let mut lanes = [0u64; 8];
    for block in blocks {
        for (lane, word) in lanes.iter_mut().zip(block.as_chunks::<4>().0) {
            *lane += u64::from(u32::from_ne_bytes(*word));
        }
    }
    (lanes.iter().sum(), rest)
}

/// Adds the carries back in until 16 bits are left (end-around carry).
fn fold(sum: u64) -> u16 {
    let sum = (sum >> 32) + (sum & 0xFFFF_FFFF);
    let sum = (sum >> 32) + (sum & 0xFFFF_FFFF);
    let sum = (sum >> 16) + (sum & 0xFFFF);
    let sum = (sum >> 16) + (sum & 0xFFFF);
    sum as u16
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// RFC 1071 section 4.1, word by word.
    fn naive(bytes: &[u8]) -> u16 {
        let mut sum = 0u32;
        for pair in bytes.chunks(2) {
            sum += u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0));
            sum = (sum & 0xFFFF) + (sum >> 16);
        }
        sum as u16
    }

    /// The example of RFC 1071 section 3.
    #[test]
    fn rfc_1071_example() {
        let data = [0x00, 0x01, 0xF2, 0x03, 0xF4, 0xF5, 0xF6, 0xF7];
        let mut checksum = Checksum::new();
        checksum.add(&data);
        assert_eq!(checksum.partial(), 0xDDF2);
        assert_eq!(checksum.finish(), 0x220D);
    }

    #[test]
    fn large_and_extreme_messages() {
        for byte in [0x00, 0x01, 0x80, 0xFF] {
            let data = vec![byte; 65_535];
            let mut checksum = Checksum::new();
            checksum.add(&data);
            assert_eq!(checksum.partial(), naive(&data));
        }
        assert!(!verifies(&[0; 20]), "a header of zeros has no valid checksum");
    }

    /// 8200-8.1-1
    #[test]
    fn pseudo_headers_are_those_of_the_rfcs() {
        let (source, destination) = ([10, 0, 0, 1], [192, 168, 7, 9]);
        let mut checksum = Checksum::new();
        checksum.add_pseudo_header(source.into(), destination.into(), 17, 0x1234);
        let written = [source.as_slice(), &destination, &[0, 17, 0x12, 0x34]].concat();
        assert_eq!(checksum.partial(), naive(&written));

        let (source, destination) = ([0x20; 16], [0xFD; 16]);
        let mut checksum = Checksum::new();
        checksum.add_pseudo_header(source.into(), destination.into(), 58, 0x0001_2345);
        let written = [source.as_slice(), &destination, &[0, 1, 0x23, 0x45, 0, 0, 0, 58]].concat();
        assert_eq!(checksum.partial(), naive(&written));
    }

    proptest! {
        #[test]
        fn equals_the_naive_loop_and_etherparse(data in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut checksum = Checksum::new();
            checksum.add(&data);
            prop_assert_eq!(checksum.partial(), naive(&data));
            let theirs = etherparse::checksum::Sum16BitWords::new().add_slice(&data).ones_complement();
            // etherparse sums in native byte order.
            prop_assert_eq!(checksum.finish(), theirs.to_be());
        }

        #[test]
        fn splits_do_not_matter(
            data in proptest::collection::vec(any::<u8>(), 0..300),
            cuts in proptest::collection::vec(0usize..300, 0..5),
        ) {
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(data.len())).collect();
            cuts.extend([0, data.len()]);
            cuts.sort_unstable();
            let mut checksum = Checksum::new();
            for pair in cuts.windows(2) {
                checksum.add(&data[pair[0]..pair[1]]);
            }
            prop_assert_eq!(checksum.partial(), naive(&data));
        }
    }
}
