//! The options of IPv4 (RFC 791 section 3.1): a check of all of them, and what goes back with an echo reply.

use super::ipv4::HEADER_LEN;
use super::{ParameterProblem, Refused};
use crate::counters::DropReason;

/// Bytes of all options of a header at most.
pub const MAX_LEN: usize = 40;

/// Kinds of options.
mod kind {
    pub const END_OF_LIST: u8 = 0;
    pub const NO_OPERATION: u8 = 1;
    pub const RECORD_ROUTE: u8 = 7;
    pub const TIMESTAMP: u8 = 68;
    pub const LOOSE_SOURCE_ROUTE: u8 = 131;
    pub const STRICT_SOURCE_ROUTE: u8 = 137;
    pub const ROUTER_ALERT: u8 = 148;
}

/// Flags of the timestamp option: what stands in its list.
mod timestamp {
    pub const ONLY: u8 = 0;
    pub const WITH_ADDRESS: u8 = 1;
    pub const PRESPECIFIED: u8 = 3;
}

/// Checks the options of a header. Unknown kinds are stepped over by their length octet.
///
/// # Errors
/// A source route, or an option that cannot be what it says, with the report that is due for it (RFC 1122 section 3.2.2.5).
pub(super) fn check(options: &[u8]) -> Result<(), Refused> {
    walk(options, |_, _| ())
}

/// Walks the options and hands each one that has a length to `see`, with its place in `options`.
fn walk(options: &[u8], mut see: impl FnMut(usize, &[u8])) -> Result<(), Refused> {
    let mut at = 0;
    let (mut routes, mut timestamps) = (0, 0);
    while let [kind, rest @ ..] = &options[at..] {
        match *kind {
            kind::END_OF_LIST => return Ok(()),
            kind::NO_OPERATION => {
                at += 1;
                continue;
            }
            // Refused whatever its length says: see docs/decisions.md.
            kind::LOOSE_SOURCE_ROUTE | kind::STRICT_SOURCE_ROUTE => return Err(DropReason::SourceRoute.into()),
            _ => {}
        }
        // 1122-3.2.1.8: after a length that cannot be, nothing that follows can be read.
        let length = usize::from(*rest.first().ok_or_else(|| problem(at))?);
        let option = options.get(at..at + length).filter(|_| length >= 2).ok_or_else(|| problem(at))?;
        let fault = match *kind {
            // 9293-MUST-50, 9293-MAY-10, 9293-MAY-11: all others mean nothing, whatever is in them.
            kind::RECORD_ROUTE => {
                routes += 1;
                if routes > 1 { Some(0) } else { record_route_fault(option) }
            }
            kind::TIMESTAMP => {
                timestamps += 1;
                if timestamps > 1 { Some(0) } else { timestamp_fault(option) }
            }
            kind::ROUTER_ALERT if length < 4 => Some(1),
            _ => None,
        };
        if let Some(octet) = fault {
            return Err(problem(at + octet));
        }
        see(at, option);
        at += length;
    }
    Ok(())
}

/// The octet of a record route option that cannot be, if there is one. A pointer beyond the option means that it is full.
fn record_route_fault(option: &[u8]) -> Option<usize> {
    let [_, length, pointer, ..] = *option else { return Some(1) };
    // The pointer counts from 1, and the list begins at the fourth octet.
    (pointer < 4 || pointer <= length && pointer > length - 3).then_some(2)
}

/// The same for a timestamp option.
fn timestamp_fault(option: &[u8]) -> Option<usize> {
    let [_, length, pointer, flags, ..] = *option else { return Some(1) };
    if pointer < 5 {
        return Some(2);
    }
    if pointer > length {
        // It is full, and so is its count of those that found it full.
        return (flags & 15 != timestamp::PRESPECIFIED && flags >> 4 == 15).then_some(3);
    }
    let entry = match flags & 15 {
        timestamp::WITH_ADDRESS | timestamp::PRESPECIFIED => 8,
        _ => 4,
    };
    (usize::from(pointer) + entry - 1 > usize::from(length)).then_some(2)
}

/// The report about the octet at this place of the options.
// 792-pp
fn problem(at: usize) -> Refused {
    let pointer = (HEADER_LEN + at) as u32;
    let problem = ParameterProblem { code: 0, pointer, even_if_multicast: false };
    Refused { reason: DropReason::IpOption, parameter_problem: Some(problem) }
}

/// The options that go back with an echo reply, this host noted in them: record route and timestamp (RFC 1122 section
/// 3.2.2.6). `millis` is a time that counts milliseconds, from whatever moment.
///
/// Answers the bytes for the header of the reply, padded to whole words, and how many there are.
pub fn for_echo_reply(options: &[u8], own: [u8; 4], millis: u32) -> ([u8; MAX_LEN], usize) {
    let (mut out, mut len) = ([0; MAX_LEN], 0);
    // What cannot be read has been refused before.
    let _ = walk(options, |_, option| {
        if matches!(option[0], kind::RECORD_ROUTE | kind::TIMESTAMP) {
            let copy = &mut out[len..len + option.len()];
            copy.copy_from_slice(option);
            note_host(copy, own, millis);
            // What is so full then that the next host must refuse it does not go back.
            let fault = if option[0] == kind::TIMESTAMP { timestamp_fault(copy) } else { record_route_fault(copy) };
            if fault.is_none() {
                len += option.len();
            } else {
                copy.fill(0);
            }
        }
    });
    (out, len.next_multiple_of(4))
}

/// Notes this host in an option that has passed the check, where there is room.
fn note_host(option: &mut [u8], own: [u8; 4], millis: u32) {
    let flags = option.get(3).map_or(0, |octet| octet & 15);
    let (kind, at) = (option[0], usize::from(option[2]) - 1);
    if at >= option.len() {
        if kind == kind::TIMESTAMP && flags != timestamp::PRESPECIFIED {
            option[3] += 1 << 4;
        }
        return;
    }
    // The upper bit says that the time is not counted from midnight (RFC 791 section 3.1).
    let [a, b, c, d] = (millis | 1 << 31).to_be_bytes();
    let [e, f, g, h] = own;
    let noted: &[u8] = match (kind, flags) {
        (kind::RECORD_ROUTE, _) => &own,
        (_, timestamp::ONLY) => &[a, b, c, d],
        (_, timestamp::PRESPECIFIED) if option[at..at + 4] != own => return,
        (_, timestamp::WITH_ADDRESS | timestamp::PRESPECIFIED) => &[e, f, g, h, a, b, c, d],
        _ => return,
    };
    option[at..at + noted.len()].copy_from_slice(noted);
    option[2] += noted.len() as u8;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(options: &[u8]) -> Option<(DropReason, Option<u32>)> {
        let refused = check(options).err()?;
        Some((refused.reason, refused.parameter_problem.map(|problem| problem.pointer)))
    }

    /// 1122-3.2.1.8, 792-pp
    #[test]
    fn each_octet_at_fault_has_its_pointer() {
        let ok: [&[u8]; 13] = [
            &[],
            &[0],
            &[0, 7, 0, 131], // whatever stands behind the end of the list
            &[1, 1, 1, 1],
            &[99, 2],
            &[99, 4, 255, 255],
            &[148, 4, 0, 0],
            &[7, 3, 4], // no room, but full
            &[7, 7, 4, 0, 0, 0, 0],
            &[7, 7, 8, 0, 0, 0, 0], // full
            &[68, 8, 5, 0, 0, 0, 0, 0],
            &[68, 4, 5, 0xF3], // prespecified: nobody counts
            &[68, 12, 5, 1, 0, 0, 0, 0, 0, 0, 0, 0],
        ];
        for options in ok {
            assert_eq!(fault(options), None, "{options:?}");
        }
        let bad: [(&[u8], u32); 17] = [
            (&[99], 0),
            (&[1, 1, 1, 99], 3),
            (&[99, 0, 0, 0], 0),
            (&[99, 1, 0, 0], 0),
            (&[99, 5, 0, 0], 0),
            (&[1, 7, 2, 1], 2), // no room for a pointer
            (&[7, 7, 3, 0, 0, 0, 0], 2),
            (&[7, 7, 5, 0, 0, 0, 0], 2),
            (&[7, 3, 4, 7, 3, 4], 3), // twice
            (&[68, 3, 5], 1),
            (&[68, 8, 4, 0, 0, 0, 0, 0], 2),
            (&[68, 8, 6, 0, 0, 0, 0, 0], 2),
            (&[68, 8, 5, 1, 0, 0, 0, 0], 2), // no room for an address and a time
            (&[68, 4, 5, 0xF0], 3),          // the count overflows
            (&[68, 4, 5, 0, 68, 4, 5, 0], 4),
            (&[148, 3, 0], 1),
            (&[99, 255, 0, 0], 0),
        ];
        for (options, octet) in bad {
            assert_eq!(fault(options), Some((DropReason::IpOption, Some(20 + octet))), "{options:?}");
        }
        for route in [131, 137] {
            for options in [&[route, 7, 4, 1, 2, 3, 4][..], &[1, 68, 4, 5, 0, route, 7, 8, 1, 2, 3, 4], &[route]] {
                assert_eq!(fault(options), Some((DropReason::SourceRoute, None)), "{options:?}");
            }
        }
    }

    #[test]
    fn this_host_is_noted_where_there_is_room() {
        const OWN: [u8; 4] = [10, 0, 0, 2];
        let noted = |options: &[u8]| {
            let (bytes, len) = for_echo_reply(options, OWN, 0x0102_0304);
            bytes[..len].to_vec()
        };
        assert_eq!(noted(&[1, 7, 7, 4, 0, 0, 0, 0]), [7, 7, 8, 10, 0, 0, 2, 0]);
        assert_eq!(noted(&[7, 7, 8, 9, 9, 9, 9]), [7, 7, 8, 9, 9, 9, 9, 0], "full");
        assert_eq!(noted(&[7, 3, 4]), [7, 3, 4, 0], "full from the start");
        assert_eq!(noted(&[68, 8, 5, 0x20, 0, 0, 0, 0]), [68, 8, 9, 0x20, 0x81, 2, 3, 4]);
        assert_eq!(noted(&[68, 4, 5, 0x20]), [68, 4, 5, 0x30], "full: counted");
        let with_address = [68, 12, 5, 1, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(noted(&with_address), [68, 12, 13, 1, 10, 0, 0, 2, 0x81, 2, 3, 4]);
        let asked = [68, 12, 5, 3, 10, 0, 0, 2, 0, 0, 0, 0];
        assert_eq!(noted(&asked), [68, 12, 13, 3, 10, 0, 0, 2, 0x81, 2, 3, 4]);
        let another = [68, 12, 5, 3, 10, 0, 0, 3, 0, 0, 0, 0];
        assert_eq!(noted(&another), another, "another host's time is asked for");
        assert_eq!(noted(&[148, 4, 0, 0, 99, 4, 1, 1]), [0; 0], "nothing else goes back");
        assert_eq!(noted(&[7, 9, 4, 0, 0, 0, 0, 0, 0]), [0; 0], "half an address would be left");
        assert_eq!(noted(&[68, 4, 5, 0xE0, 7, 3, 4]), [7, 3, 4, 0], "a count that the next host cannot add to");
        let longest = [&[7, 39, 4][..], &[0; 36], &[0]].concat();
        assert_eq!(noted(&longest)[..7], [7, 39, 8, 10, 0, 0, 2]);
    }

    proptest::proptest! {
        #[test]
        fn nothing_panics(options in proptest::collection::vec(0u8..150, 0..=40)) {
            let _ = check(&options);
            let (reply, len) = for_echo_reply(&options, [10, 0, 0, 2], 7);
            proptest::prop_assert!(len <= MAX_LEN && check(&reply[..len]).is_ok());
        }
    }
}
