//! SYN cookies (RFC 4987 section 3.6): when the SYN queue is full, our ISS itself carries what a half-open record would.
//!
//! ```text
//!   ISS  = | time, 5 bits | MSS, 3 bits | keyed hash of tuple, IRS, time and MSS, 24 bits |
//!   TSval of the SYN-ACK = our clock with its low 5 bits replaced by | SACK, 1 bit | window scale, 4 bits |
//! ```

use std::hash::Hasher;

use siphasher::sip::SipHasher24;

use super::FourTuple;
use super::initial_sequence::keyed;
use super::sequence::SeqNumber;
use crate::time::Instant;
use crate::wire::option::TcpOptions;

/// The values of the MSS that three bits can say; a peer's is rounded down to one of them.
const MSS_TABLE: [u16; 8] = [88, 536, 1_220, 1_300, 1_400, 1_440, 1_460, 8_960];

/// Seconds of one tick of the cookie's clock.
const TICK_SECONDS: u64 = 64;

/// Ticks for which a cookie is valid after its own: so 64 to 128 s.
const LIFETIME_TICKS: u64 = 1;

/// Low bits of a timestamp that carry options.
const OPTION_BITS: u32 = 5;

/// The window scale value that stands for "none".
const NO_SCALE: u32 = 15;

/// Makes and checks cookies.
#[derive(Clone)]
pub struct CookieJar {
    key: [u8; 16],
}

impl std::fmt::Debug for CookieJar {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The key is a secret.
        f.write_str("CookieJar")
    }
}

impl CookieJar {
    /// With a secret key.
    pub fn new(key: [u8; 16]) -> CookieJar {
        CookieJar { key }
    }

    fn hash(&self, tuple: &FourTuple, irs: SeqNumber, tick: u64, mss: u32) -> u32 {
        let mut hasher = SipHasher24::new_with_key(&self.key);
        hasher.write(&keyed(&self.key, tuple).to_le_bytes());
        hasher.write(&irs.0.to_le_bytes());
        hasher.write(&tick.to_le_bytes());
        hasher.write(&mss.to_le_bytes());
        (hasher.finish() as u32) & 0x00ff_ffff
    }

    /// The ISS for a SYN with this IRS and this MSS.
    // 4987-3.6: tuple, time and MSS under a keyed hash.
    pub fn make(&self, tuple: &FourTuple, irs: SeqNumber, mss: u16, now: Instant) -> SeqNumber {
        let tick = now.as_nanos() / 1_000_000_000 / TICK_SECONDS;
        let index = MSS_TABLE.iter().rposition(|&entry| entry <= mss).unwrap_or(0) as u32;
        SeqNumber(((tick as u32 & 31) << 27) | (index << 24) | self.hash(tuple, irs, tick, index))
    }

    /// The MSS in a cookie, if it is ours for this tuple and IRS and not too old.
    pub fn check(&self, tuple: &FourTuple, irs: SeqNumber, cookie: SeqNumber, now: Instant) -> Option<u16> {
        let current = now.as_nanos() / 1_000_000_000 / TICK_SECONDS;
        let index = (cookie.0 >> 24) & 7;
        (0..=LIFETIME_TICKS)
            .filter_map(|age| current.checked_sub(age))
            .find(|&tick| {
                (tick as u32 & 31) == cookie.0 >> 27 && self.hash(tuple, irs, tick, index) == cookie.0 & 0x00ff_ffff
            })
            .map(|_| MSS_TABLE[index as usize])
    }
}

/// Our timestamp with the options of the SYN in its low bits. It is 1 to 63 ms behind the clock, so that nothing sent
/// later looks older.
// 4987-3.6-2: without timestamps, the connection runs without window scale and SACK.
pub fn encode_options(clock: u32, syn: &TcpOptions) -> u32 {
    let scale = syn.window_scale.map_or(NO_SCALE, |shift| u32::from(shift.min(14)));
    (clock >> OPTION_BITS << OPTION_BITS).wrapping_sub(1 << OPTION_BITS) | (u32::from(syn.sack_permitted) << 4) | scale
}

/// The options that an echoed timestamp carries: window scale and SACK-permitted of the SYN.
pub fn decode_options(echo: u32) -> (Option<u8>, bool) {
    let scale = echo & 15;
    ((scale != NO_SCALE).then_some(scale as u8), echo & 16 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tuple(port: u16) -> FourTuple {
        FourTuple::new("10.0.0.2:80".parse().unwrap(), format!("10.0.0.1:{port}").parse().unwrap())
    }

    /// 4987-3.6
    #[test]
    fn a_cookie_is_good_for_its_tuple_and_its_time_only() {
        let jar = CookieJar::new([9; 16]);
        let made = Instant::from_secs(64 * 40 + 10);
        let cookie = jar.make(&tuple(1_000), SeqNumber(7), 1_460, made);
        let check = |port, irs, cookie, secs: u64| {
            jar.check(&tuple(port), SeqNumber(irs), cookie, Instant::from_secs(64 * 40 + 10 + secs))
        };
        assert_eq!(check(1_000, 7, cookie, 0), Some(1_460));
        assert_eq!(check(1_000, 7, cookie, 64), Some(1_460));
        assert_eq!(check(1_000, 7, cookie, 128), None, "stale");
        assert_eq!(check(1_000, 7, cookie, 64 * 32), None, "the same tick number, one round later");
        assert_eq!(check(1_001, 7, cookie, 0), None, "another tuple");
        assert_eq!(check(1_000, 8, cookie, 0), None, "another IRS");
        assert_eq!(check(1_000, 7, cookie + (1 << 24), 0), None, "another MSS");
        let forged = (0..10_000).filter(|&guess| check(1_000, 7, SeqNumber(guess * 7_919), 0).is_some()).count();
        assert_eq!(forged, 0);
        assert_eq!(CookieJar::new([8; 16]).check(&tuple(1_000), SeqNumber(7), cookie, made), None);
    }

    /// 4987-3.6
    #[test]
    fn the_mss_is_rounded_down() {
        let jar = CookieJar::new([9; 16]);
        for (mss, kept) in [(88, 88), (535, 88), (536, 536), (1_459, 1_440), (1_460, 1_460), (9_000, 8_960), (0, 88)] {
            let cookie = jar.make(&tuple(1), SeqNumber(1), mss, Instant::ZERO);
            assert_eq!(jar.check(&tuple(1), SeqNumber(1), cookie, Instant::ZERO), Some(kept));
        }
    }

    /// 4987-3.6-2
    #[test]
    fn options_travel_in_the_timestamp() {
        for (window_scale, sack_permitted) in [(None, false), (None, true), (Some(0), false), (Some(14), true)] {
            let syn = TcpOptions { window_scale, sack_permitted, ..TcpOptions::default() };
            for clock in [0, 31, 12_345_678, u32::MAX] {
                let sent = encode_options(clock, &syn);
                assert_eq!(decode_options(sent), (window_scale, sack_permitted));
                assert!(clock.wrapping_sub(sent) <= 64, "never ahead of the clock");
            }
        }
    }
}
