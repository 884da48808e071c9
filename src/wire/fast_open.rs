//! The TCP Fast Open option (RFC 7413 section 4.1.1).
//!
//! ```text
//!   | 34  | length |            cookie            |
//!   | 254 | length | 0xF9 | 0x89 | cookie ...     |   as it was before it had a number of its own (RFC 6994)
//! ```

use std::fmt;

/// The kind of the option.
pub(super) const KIND: u8 = 34;
/// The kind of all experimental options, and which of them this is.
pub(super) const EXPERIMENTAL_KIND: u8 = 254;
const EXPERIMENT: [u8; 2] = [0xF9, 0x89];

/// Octets of the longest cookie.
pub const MAX_COOKIE: usize = 16;

/// A Fast Open cookie, or the request for one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Cookie {
    /// It stands in the experimental option.
    pub experimental: bool,
    len: u8,
    /// Zero beyond `len`, so that equal cookies compare equal.
    octets: [u8; MAX_COOKIE],
}

impl Cookie {
    /// The empty cookie, by which a client asks for one.
    pub const REQUEST: Cookie = Cookie { experimental: false, len: 0, octets: [0; MAX_COOKIE] };

    /// From what stands in an option; `None` for what no cookie can be.
    // 7413-4.1.1: none, or an even number of octets from 4 to 16.
    pub fn new(value: &[u8]) -> Option<Cookie> {
        if !matches!(value.len(), 0 | 4..=MAX_COOKIE) || !value.len().is_multiple_of(2) {
            return None;
        }
        let mut cookie = Cookie { len: value.len() as u8, ..Cookie::REQUEST };
        cookie.octets[..value.len()].copy_from_slice(value);
        Some(cookie)
    }

    /// The same in the experimental option, or in the one with a number of its own.
    pub const fn in_experiment(self, experimental: bool) -> Cookie {
        Cookie { experimental, ..self }
    }

    /// The octets.
    pub fn octets(&self) -> &[u8] {
        &self.octets[..usize::from(self.len)]
    }

    /// It only asks for one.
    pub const fn is_request(&self) -> bool {
        self.len == 0
    }

    /// From the value of an option of this kind, if it is this one.
    pub(crate) fn read(kind: u8, value: &[u8]) -> Option<Cookie> {
        match (kind, value) {
            (KIND, cookie) => Cookie::new(cookie),
            (EXPERIMENTAL_KIND, [a, b, cookie @ ..]) if [*a, *b] == EXPERIMENT => {
                Cookie::new(cookie).map(|cookie| cookie.in_experiment(true))
            }
            _ => None,
        }
    }

    /// An option of this kind with this value is one of Fast Open, whatever its cookie: experimental options of others
    /// (RFC 6994) are none.
    #[cfg(feature = "trace")]
    pub(crate) fn is_option(kind: u8, value: &[u8]) -> bool {
        kind == KIND || kind == EXPERIMENTAL_KIND && value.starts_with(&EXPERIMENT)
    }

    /// Octets of the option, without padding.
    pub(super) const fn option_len(&self) -> usize {
        (if self.experimental { 4 } else { 2 }) + self.len as usize
    }

    /// The octets in front of the cookie, and how many they are.
    pub(super) const fn prefix(&self) -> ([u8; 4], usize) {
        let len = self.option_len() as u8;
        if self.experimental {
            ([EXPERIMENTAL_KIND, len, EXPERIMENT[0], EXPERIMENT[1]], 4)
        } else {
            ([KIND, len, 0, 0], 2)
        }
    }
}

impl fmt::Debug for Cookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// In hexadecimal.
impl fmt::Display for Cookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_request() {
            return f.write_str("request");
        }
        self.octets().iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}
