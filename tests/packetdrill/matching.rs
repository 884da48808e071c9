//! Whether a packet that left is the one that a script expects.

use crate::language::{Body, Packet, Segment, TcpOption};
use crate::run::tos_matches;
use crate::wire::Seen;

/// What is different, in a few words; nothing where all that the script says holds. `tick`: microseconds per unit of the
/// timestamp clock, where it is to be checked.
pub fn difference(expected: &Packet, seen: &Seen, tick: i64, tolerance: i64) -> Option<String> {
    if !tos_matches(expected.tos, seen.packet.tos) {
        return Some(format!("the TOS octet is {:?}", seen.packet.tos));
    }
    if expected.ttl.is_some() && expected.ttl != seen.packet.ttl {
        return Some(format!("the TTL is {}", seen.packet.ttl.unwrap_or(0)));
    }
    let same = match (&expected.body, &seen.packet.body) {
        (Body::Tcp(expected), Body::Tcp(seen)) => segment_difference(expected, seen, tick, tolerance),
        (Body::Udp(expected), Body::Udp(seen)) if expected == seen => None,
        (Body::Udp(_), Body::Udp(_)) => Some("the length".into()),
        _ => Some("the protocol".into()),
    };
    same.or_else(|| if seen.zeros { None } else { Some("the payload is not what was written".into()) })
}

fn segment_difference(expected: &Segment, seen: &Segment, tick: i64, tolerance: i64) -> Option<String> {
    let sorted = |flags: &str| {
        let mut flags: Vec<char> = flags.chars().collect();
        flags.sort_unstable();
        flags
    };
    let checks = [
        ("the flags", sorted(&expected.flags) == sorted(&seen.flags)),
        ("the sequence number", expected.seq == seen.seq),
        ("the length", expected.payload == seen.payload),
        ("the acknowledgment number", expected.ack == seen.ack),
        ("the window", expected.window.is_none() || expected.window == seen.window),
        ("the urgent pointer", expected.urgent == seen.urgent),
    ];
    if let Some((what, _)) = checks.iter().find(|(_, holds)| !holds) {
        return Some((*what).to_string());
    }
    let (Some(expected), Some(seen)) = (&expected.options, &seen.options) else { return None };
    let same = |expected: &TcpOption, seen: &TcpOption| match (expected, seen) {
        (TcpOption::Timestamps { val, ecr }, TcpOption::Timestamps { val: seen_val, ecr: seen_ecr }) => {
            let off = i64::from(val.wrapping_sub(*seen_val).cast_signed());
            ecr == seen_ecr && (tick == 0 || off.abs() * tick <= tolerance.max(tick))
        }
        _ => expected == seen,
    };
    let all = expected.len() == seen.len() && expected.iter().zip(seen).all(|(expected, seen)| same(expected, seen));
    if all { None } else { Some("the options".into()) }
}

/// The two packets as the one segment that they would have been without cutting; nothing where they do not follow each
/// other or differ in more than a device's cutting makes them differ.
pub fn later_piece(first: &Packet, second: &Packet) -> Option<Packet> {
    let (Body::Tcp(first), Body::Tcp(second_segment)) = (&first.body, &second.body) else { return None };
    let kept = |segment: &Segment| {
        let flags: String = segment.flags.chars().filter(|flag| !"FPW".contains(*flag)).collect();
        let options = segment.options.as_deref().map(crate::wire::option_bytes).map(|bytes| bytes.len());
        (flags, segment.ack, segment.window, segment.urgent, options)
    };
    let follows = second_segment.seq == first.seq.wrapping_add(first.payload as u32);
    if !follows || kept(first) != kept(second_segment) {
        return None;
    }
    let mut flags: String = second_segment.flags.chars().filter(|flag| *flag != 'W').collect();
    if first.flags.contains('W') {
        flags.push('W');
    }
    let payload = first.payload + second_segment.payload;
    let whole = Segment { flags, seq: first.seq, payload, ..second_segment.clone() };
    Some(Packet { body: Body::Tcp(whole), ..second.clone() })
}
