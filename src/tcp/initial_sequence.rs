//! Initial sequence numbers (RFC 6528) and the offsets of timestamp clocks (RFC 7323 section 7.1).

use std::hash::Hasher;

use siphasher::sip::SipHasher24;

use super::FourTuple;
use super::sequence::SeqNumber;
use crate::time::Instant;

/// ISN = M + F(local address, local port, remote address, remote port, secret).
#[derive(Clone)]
pub struct SequenceGenerator {
    isn_key: [u8; 16],
    timestamp_key: [u8; 16],
}

impl std::fmt::Debug for SequenceGenerator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The keys are secrets.
        f.write_str("SequenceGenerator")
    }
}

impl SequenceGenerator {
    /// With two secret keys.
    // 6528-3: drawn once from the generator of the stack, which the operating system seeds in production. They are never
    // changed, as that would break the order of a tuple's numbers.
    pub fn new(isn_key: [u8; 16], timestamp_key: [u8; 16]) -> SequenceGenerator {
        SequenceGenerator { isn_key, timestamp_key }
    }

    /// The initial sequence number of a connection opened now.
    // 9293-MUST-8, 9293-SHLD-1: M ticks once in 4 microseconds, F separates the tuples.
    // 9293-MUST-9: F is a keyed pseudo-random function.
    pub fn initial(&self, tuple: &FourTuple, now: Instant) -> SeqNumber {
        let clock = (now.as_nanos() / 4_000) as u32;
        SeqNumber(clock.wrapping_add(keyed(&self.isn_key, tuple) as u32))
    }

    /// What is added to the timestamp clock of this tuple: the same each time, so that its timestamps never go back.
    // 7323-7.1
    pub fn timestamp_offset(&self, tuple: &FourTuple) -> u32 {
        keyed(&self.timestamp_key, tuple) as u32
    }
}

/// The IPv6 flow label of a connection with this ISS, never 0: the same for each of its segments, whichever record sends it,
/// and as hard to foresee as the ISS (RFC 6437 section 3). Who sees it has seen the ISS before.
// 8200-6
pub fn flow_label(iss: SeqNumber) -> u32 {
    (iss.0.wrapping_mul(0x9E37_79B1) >> 12).max(1)
}

/// A keyed hash of a four-tuple, from one fixed block of bytes.
pub(super) fn keyed(key: &[u8; 16], tuple: &FourTuple) -> u64 {
    let mut hasher = SipHasher24::new_with_key(key);
    let octets = |address: std::net::IpAddr| match address {
        std::net::IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        std::net::IpAddr::V6(v6) => v6.octets(),
    };
    hasher.write(&octets(tuple.local_addr));
    hasher.write(&octets(tuple.remote_addr));
    hasher.write(&tuple.local_port.to_be_bytes());
    hasher.write(&tuple.remote_port.to_be_bytes());
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tuple(remote_port: u16) -> FourTuple {
        FourTuple::new("10.0.0.2:80".parse().unwrap(), format!("10.0.0.1:{remote_port}").parse().unwrap())
    }

    /// 8200-6
    #[test]
    fn flow_labels_are_spread_over_20_bits() {
        let labels: std::collections::BTreeSet<u32> =
            (0..1_000).map(|iss| flow_label(SeqNumber(iss * 64_000))).collect();
        assert!(labels.len() > 990 && labels.iter().all(|&label| label > 0 && label < 1 << 20));
        assert_eq!(flow_label(SeqNumber(0)), 1, "0 means none");
    }

    /// 9293-MUST-8, 9293-SHLD-1, pitfall 18
    #[test]
    fn the_clock_moves_a_quarter_of_a_million_a_second() {
        let generator = SequenceGenerator::new([1; 16], [2; 16]);
        for start in [0, 17, 20_000_000] {
            let first = generator.initial(&tuple(5_000), Instant::from_secs(start));
            let second = generator.initial(&tuple(5_000), Instant::from_secs(start + 1));
            assert_eq!(second.since(first), 250_000);
        }
    }

    /// 9293-MUST-9, 9293-SHLD-1, pitfall 18
    #[test]
    fn tuples_and_secrets_are_independent() {
        let (one, other) = (SequenceGenerator::new([1; 16], [2; 16]), SequenceGenerator::new([3; 16], [2; 16]));
        let mut low_bits = [0_u32; 2];
        let mut seen = std::collections::BTreeSet::new();
        for port in 1_000..3_000 {
            let isn = one.initial(&tuple(port), Instant::ZERO);
            assert_ne!(isn, other.initial(&tuple(port), Instant::ZERO));
            seen.insert(isn.0 >> 12);
            low_bits[(isn.0 & 1) as usize] += 1;
        }
        assert!(seen.len() > 1_990 && low_bits[0].abs_diff(low_bits[1]) < 300, "{} {low_bits:?}", seen.len());
    }

    /// 7323-7.1
    #[test]
    fn timestamp_offsets_differ_between_tuples_and_stay_for_one() {
        let generator = SequenceGenerator::new([1; 16], [2; 16]);
        assert_eq!(generator.timestamp_offset(&tuple(1)), generator.timestamp_offset(&tuple(1)));
        assert_ne!(generator.timestamp_offset(&tuple(1)), generator.timestamp_offset(&tuple(2)));
    }
}
