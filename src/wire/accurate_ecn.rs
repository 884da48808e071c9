//! The option of Accurate ECN (RFC 9768 section 3.2.3): how many octets of text arrived with each codepoint of ECN, in two
//! orders, so that what has not changed can be left out at the end.
//!
//! ```text
//!   | 172 | length | ECT(0), 24 bits | CE, 24 bits | ECT(1), 24 bits |   length 2, 5, 8 or 11
//!   | 174 | length | ECT(1), 24 bits | CE, 24 bits | ECT(0), 24 bits |
//! ```

use std::fmt;

/// The kind of the option that begins with ECT(0).
pub(super) const KIND_0: u8 = 172;
/// The kind of the option that begins with ECT(1).
pub(super) const KIND_1: u8 = 174;

/// Octets of one counter.
const FIELD: usize = 3;

/// How much of a counter the option tells.
pub const MODULUS: u32 = 1 << 24;

/// Which counter comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum First {
    /// AccECN0: that of ECT(0).
    Ect0,
    /// AccECN1: that of ECT(1).
    Ect1,
}

/// Octets of text by the codepoint with which they arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct ByteCounters {
    /// ECT(0): r.e0b at the receiver, s.e0b at the sender.
    pub ect_0: u32,
    /// ECT(1): e1b.
    pub ect_1: u32,
    /// CE: ceb.
    pub ce: u32,
}

/// The option.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct EcnOption {
    first: First,
    fields: u8,
    /// As on the wire; zero beyond `fields`, so that equal options compare equal.
    octets: [u8; 3 * FIELD],
}

impl EcnOption {
    /// Octets of the longest one.
    pub const MAX_LEN: usize = 2 + 3 * FIELD;

    /// The low 24 bits of the first `fields` counters, of three.
    // 9768-3.2.3
    pub fn new(first: First, fields: usize, counters: &ByteCounters) -> EcnOption {
        let ByteCounters { ect_0, ect_1, ce } = *counters;
        let all = match first {
            First::Ect0 => [ect_0, ce, ect_1],
            First::Ect1 => [ect_1, ce, ect_0],
        };
        let mut option = EcnOption { first, fields: fields.min(3) as u8, octets: [0; 3 * FIELD] };
        for (place, counter) in option.octets.chunks_mut(FIELD).zip(all).take(fields) {
            place.copy_from_slice(&counter.to_be_bytes()[1..]);
        }
        option
    }

    /// From the value of an option of this kind, if it is this one.
    // 9768-3.2.3: whole counters, as many as there are of the three, and what follows is padding.
    pub(crate) fn read(kind: u8, value: &[u8]) -> Option<EcnOption> {
        let first = match kind {
            KIND_0 => First::Ect0,
            KIND_1 => First::Ect1,
            _ => return None,
        };
        let fields = (value.len() / FIELD).min(3);
        let mut option = EcnOption { first, fields: fields as u8, octets: [0; 3 * FIELD] };
        option.octets[..fields * FIELD].copy_from_slice(&value[..fields * FIELD]);
        Some(option)
    }

    /// Which counter comes first.
    pub fn first(&self) -> First {
        self.first
    }

    /// How many counters it tells.
    pub fn fields(&self) -> usize {
        usize::from(self.fields)
    }

    /// The low 24 bits of one of its counters.
    fn field(&self, index: usize) -> Option<u32> {
        let octets = &self.octets[index * FIELD..][..FIELD];
        (index < self.fields()).then(|| u32::from_be_bytes([0, octets[0], octets[1], octets[2]]))
    }

    /// EE0B.
    pub fn ect_0(&self) -> Option<u32> {
        self.field(if self.first == First::Ect0 { 0 } else { 2 })
    }

    /// EE1B.
    pub fn ect_1(&self) -> Option<u32> {
        self.field(if self.first == First::Ect1 { 0 } else { 2 })
    }

    /// ECEB.
    pub fn ce(&self) -> Option<u32> {
        self.field(1)
    }

    /// Octets of the option, without padding: 2, 5, 8 or 11.
    pub(super) const fn len(&self) -> usize {
        2 + FIELD * self.fields as usize
    }

    /// Octets in the list of options, padded to whole words.
    pub const fn padded_len(&self) -> usize {
        self.len().next_multiple_of(4)
    }

    /// The octets of the option, zeros behind its length.
    pub(super) fn octets(&self) -> [u8; EcnOption::MAX_LEN] {
        let mut octets = [0; EcnOption::MAX_LEN];
        octets[0] = if self.first == First::Ect0 { KIND_0 } else { KIND_1 };
        octets[1] = self.len() as u8;
        octets[2..].copy_from_slice(&self.octets);
        octets
    }
}

/// The counters in their order, as in `e0b 1 ceb 0`.
impl fmt::Display for EcnOption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = if self.first == First::Ect0 { ["e0b", "ceb", "e1b"] } else { ["e1b", "ceb", "e0b"] };
        let mut separator = "";
        for (index, name) in names.iter().enumerate() {
            if let Some(value) = self.field(index) {
                write!(f, "{separator}{name} {value}")?;
                separator = " ";
            }
        }
        if self.fields == 0 { f.write_str("empty") } else { Ok(()) }
    }
}

impl fmt::Debug for EcnOption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COUNTERS: ByteCounters = ByteCounters { ect_0: 0x0901_0203, ect_1: 0x0704_0506, ce: 0x0507_0809 };

    /// 9768-3.2.3: each length in each order, and any other length as far as it holds whole counters.
    #[test]
    fn every_length_in_both_orders() {
        let (e0b, e1b, ceb) = ([1, 2, 3], [4, 5, 6], [7, 8, 9]);
        for (first, kind, order) in [(First::Ect0, 172, [e0b, ceb, e1b]), (First::Ect1, 174, [e1b, ceb, e0b])] {
            let all = order.concat();
            for fields in 0..=3 {
                let option = EcnOption::new(first, fields, &COUNTERS);
                let value = &all[..3 * fields];
                assert_eq!(option.octets()[..option.len()], [&[kind, 2 + 3 * fields as u8], value].concat());
                assert_eq!(EcnOption::read(kind, value), Some(option));
                let has = |least: usize, value: u32| (fields >= least).then_some(value);
                let [near, far] = if first == First::Ect0 { [1, 3] } else { [3, 1] };
                assert_eq!(
                    (option.ect_0(), option.ce(), option.ect_1()),
                    (has(near, 0x01_0203), has(2, 0x07_0809), has(far, 0x04_0506))
                );
                for more in 1..FIELD {
                    let padded = [value, &[0xEE; 2][..more]].concat();
                    assert_eq!(EcnOption::read(kind, &padded), Some(option), "{more} octets of padding");
                }
            }
            assert_eq!(EcnOption::read(kind, &[&all[..], &[7; 20]].concat()), EcnOption::read(kind, &all));
        }
        assert_eq!(EcnOption::read(173, &[1, 2, 3]), None);
    }

    #[test]
    fn in_words() {
        assert_eq!(EcnOption::new(First::Ect0, 2, &COUNTERS).to_string(), "e0b 66051 ceb 460809");
        assert_eq!(EcnOption::new(First::Ect1, 3, &COUNTERS).to_string(), "e1b 263430 ceb 460809 e0b 66051");
        assert_eq!(EcnOption::new(First::Ect1, 0, &COUNTERS).to_string(), "empty");
    }
}
