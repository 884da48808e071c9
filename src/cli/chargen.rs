//! The stream of the character generator on port 19: endless, and each octet is a fixed function of its place.
//!
//! It is the pattern of RFC 864: lines of 72 printable characters and CR LF, each line beginning one character later in
//! the 95 printable characters of ASCII. So a reader can verify every octet that it got, from any place on.

/// Printable characters of ASCII, from the space to the tilde.
const PRINTABLE: u64 = 95;
/// Printable characters of a line.
const LINE: u64 = 72;
/// Octets of a line with CR LF.
const LINE_OCTETS: u64 = LINE + 2;
/// After so many octets the stream begins again: 95 lines.
const PERIOD: u64 = PRINTABLE * LINE_OCTETS;

/// Octet `i` of the stream. With `line = i / 74` and `column = i % 74` it is CR in column 72, LF in column 73, and else
/// the character with the number `32 + (line + column) % 95`.
pub const fn byte_at(i: u64) -> u8 {
    let (line, column) = (i / LINE_OCTETS, i % LINE_OCTETS);
    match column {
        72 => b'\r',
        73 => b'\n',
        _ => 32 + ((line % PRINTABLE + column) % PRINTABLE) as u8,
    }
}

/// A stretch of the stream that begins anew after each period, so that any part of it can be lent out.
pub(super) struct Pattern(Vec<u8>);

impl Pattern {
    /// A stretch from which at least `len` octets can be lent from any place.
    pub(super) fn new(len: usize) -> Pattern {
        Pattern((0..PERIOD + len as u64).map(byte_at).collect())
    }

    /// Octets `at..at + len` of the stream.
    pub(super) fn from(&self, at: u64, len: usize) -> &[u8] {
        let start = (at % PERIOD) as usize;
        &self.0[start..start + len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pattern_is_that_of_rfc_864() {
        let text: String = (0..3 * LINE_OCTETS).map(|i| char::from(byte_at(i))).collect();
        let lines: Vec<&str> = text.split_inclusive("\r\n").collect();
        assert_eq!(lines.len(), 3);
        assert_eq!(lines[0], " !\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefg\r\n");
        assert!(lines[1].starts_with("!\"#") && lines[1].ends_with("efgh\r\n"));
        assert_eq!(byte_at(94 * LINE_OCTETS), b'~');
        assert_eq!(byte_at(94 * LINE_OCTETS + 1), b' ');
    }

    #[test]
    fn any_part_of_the_stream_can_be_lent() {
        let pattern = Pattern::new(1_000);
        for at in [0, 1, 71, 74, PERIOD - 1, PERIOD, 10 * PERIOD + 7_029, u64::from(u32::MAX) + 5] {
            let expected: Vec<u8> = (at..at + 1_000).map(byte_at).collect();
            assert_eq!(pattern.from(at, 1_000), expected, "{at}");
        }
    }
}
