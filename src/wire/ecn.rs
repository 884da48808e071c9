//! The two ECN bits of an IP header as a value (RFC 3168 section 5), for transports that application code builds on UDP.

/// What the sender, or a router on the way, says about congestion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum EcnCodepoint {
    /// ECN-capable, ECT(1).
    Ect1 = 0b01,
    /// ECN-capable, ECT(0).
    Ect0 = 0b10,
    /// Congestion experienced.
    Ce = 0b11,
}

impl EcnCodepoint {
    /// The codepoint in a traffic class or TOS octet; `None`: not ECN-capable.
    pub const fn of(traffic_class: u8) -> Option<EcnCodepoint> {
        match traffic_class & 0b11 {
            0b01 => Some(EcnCodepoint::Ect1),
            0b10 => Some(EcnCodepoint::Ect0),
            0b11 => Some(EcnCodepoint::Ce),
            _ => None,
        }
    }

    /// The two bits of a codepoint, zero for none.
    pub const fn bits(codepoint: Option<EcnCodepoint>) -> u8 {
        match codepoint {
            Some(codepoint) => codepoint as u8,
            None => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_and_back() {
        for traffic_class in 0..=255 {
            assert_eq!(EcnCodepoint::bits(EcnCodepoint::of(traffic_class)), traffic_class & 3);
        }
        assert_eq!(EcnCodepoint::of(0xB9), Some(EcnCodepoint::Ect1));
    }
}
