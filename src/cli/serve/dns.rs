//! The names of this host (RFC 1035), as little of it as `dig` needs: `glasstcp.test` has the addresses of the stack,
//! `whoami.glasstcp.test` those of who asks.

use std::net::{IpAddr, SocketAddr};

use crate::ip::IpCidr;

/// The zone that we speak for; the domain `test` is nobody's (RFC 6761).
const ZONE: &[&str] = &["glasstcp", "test"];
/// The name under it that tells who asks.
const WHO_AM_I: &str = "whoami";

const HEADER_LEN: usize = 12;
/// How long an answer may be kept, in seconds: addresses change with the command line.
const TTL: u32 = 5;
/// Octets of an answer that we take over UDP.
const UDP_SIZE: u16 = 1_232;

mod kind {
    pub const A: u16 = 1;
    pub const TXT: u16 = 16;
    pub const AAAA: u16 = 28;
    pub const OPT: u16 = 41;
    pub const ANY: u16 = 255;
}

const CLASS_IN: u16 = 1;

/// How a question ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Good = 0,
    FormatError = 1,
    NoSuchName = 3,
    NotImplemented = 4,
    Refused = 5,
}

/// A question: its name in small letters, its type, and where it ends.
struct Question {
    labels: Vec<String>,
    kind: u16,
    class: u16,
    end: usize,
}

/// The answer to a datagram, if it is a question at all: answers are never answered, so no loop can begin here.
pub(super) fn answer(datagram: &[u8], peer: SocketAddr, own: &[IpCidr]) -> Option<Vec<u8>> {
    let header = datagram.first_chunk::<HEADER_LEN>()?;
    let is_answer = header[2] & 0x80 != 0;
    if is_answer {
        return None;
    }
    let count = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
    let opcode = header[2] >> 3 & 0xF;
    if opcode != 0 {
        return Some(reply(header, Outcome::NotImplemented, &[], &[], false));
    }
    let Some(question) = question(datagram).filter(|_| count(4) == 1) else {
        return Some(reply(header, Outcome::FormatError, &[], &[], false));
    };
    let (outcome, records) = find(&question, peer, own);
    // RFC 6891 section 6.1.1: who speaks EDNS gets it back.
    let extended = count(10) > 0 && has_opt(&datagram[question.end..]);
    Some(reply(header, outcome, &datagram[HEADER_LEN..question.end], &records, extended))
}

/// Reads the first question; its name is not compressed.
fn question(datagram: &[u8]) -> Option<Question> {
    let (mut at, mut labels) = (HEADER_LEN, Vec::new());
    loop {
        let len = usize::from(*datagram.get(at)?);
        at += 1;
        match len {
            0 => break,
            1..=63 => labels.push(String::from_utf8_lossy(datagram.get(at..at + len)?).to_ascii_lowercase()),
            _ => return None,
        }
        at += len;
        // The longest name (RFC 1035 section 2.3.4).
        if at - HEADER_LEN > 255 {
            return None;
        }
    }
    let &[a, b, c, d] = datagram.get(at..)?.first_chunk()?;
    Some(Question { labels, kind: u16::from_be_bytes([a, b]), class: u16::from_be_bytes([c, d]), end: at + 4 })
}

/// Whether the first record behind the question is the one of EDNS: `dig` and resolvers send no other.
fn has_opt(rest: &[u8]) -> bool {
    matches!(rest, [0, high, low, ..] if u16::from_be_bytes([*high, *low]) == kind::OPT)
}

/// Records, each a type and its data.
type Records = Vec<(u16, Vec<u8>)>;

fn find(question: &Question, peer: SocketAddr, own: &[IpCidr]) -> (Outcome, Records) {
    let Some(under) = question.labels.len().checked_sub(ZONE.len()) else { return (Outcome::Refused, Vec::new()) };
    let (name, zone) = question.labels.split_at(under);
    if zone != ZONE || !matches!(question.class, CLASS_IN | kind::ANY) {
        return (Outcome::Refused, Vec::new());
    }
    let mut records: Records = match name {
        [] => own.iter().map(|cidr| address(cidr.address)).collect(),
        [name] if name == WHO_AM_I => vec![address(peer.ip()), text(&peer.to_string())],
        _ => return (Outcome::NoSuchName, Vec::new()),
    };
    if name.is_empty() {
        records.push(text(&format!("glasstcp {}", env!("CARGO_PKG_VERSION"))));
    }
    records.retain(|(kind, _)| question.kind == *kind || question.kind == kind::ANY);
    (Outcome::Good, records)
}

fn address(address: IpAddr) -> (u16, Vec<u8>) {
    match address {
        IpAddr::V4(v4) => (kind::A, v4.octets().to_vec()),
        IpAddr::V6(v6) => (kind::AAAA, v6.octets().to_vec()),
    }
}

fn text(text: &str) -> (u16, Vec<u8>) {
    let octets = &text.as_bytes()[..text.len().min(255)];
    (kind::TXT, [&[octets.len() as u8], octets].concat())
}

fn reply(
    header: &[u8; HEADER_LEN],
    outcome: Outcome,
    question: &[u8],
    records: &[(u16, Vec<u8>)],
    extended: bool,
) -> Vec<u8> {
    let mut octets = header[..2].to_vec();
    // An answer (QR), with authority (AA); opcode and "recursion desired" as they came.
    octets.extend([header[2] & 0x79 | 0x84, outcome as u8]);
    for count in [usize::from(!question.is_empty()), records.len(), 0, usize::from(extended)] {
        octets.extend((count as u16).to_be_bytes());
    }
    octets.extend(question);
    for (kind, data) in records {
        // The name is that of the question.
        octets.extend([0xC0, HEADER_LEN as u8]);
        octets.extend(kind.to_be_bytes());
        octets.extend(CLASS_IN.to_be_bytes());
        octets.extend(TTL.to_be_bytes());
        octets.extend((data.len() as u16).to_be_bytes());
        octets.extend(data);
    }
    if extended {
        octets.push(0);
        octets.extend(kind::OPT.to_be_bytes());
        octets.extend(UDP_SIZE.to_be_bytes());
        octets.extend([0; 6]);
    }
    octets
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(name: &str, kind: u16, flags: u8, rest: &[u8]) -> Option<Vec<u8>> {
        let mut datagram = vec![0xAB, 0xCD, flags, 0, 0, 1, 0, 0, 0, 0, 0, u8::from(!rest.is_empty())];
        for label in name.split('.').filter(|label| !label.is_empty()) {
            datagram.push(label.len() as u8);
            datagram.extend(label.as_bytes());
        }
        datagram.push(0);
        datagram.extend(kind.to_be_bytes());
        datagram.extend([0, 1]);
        datagram.extend(rest);
        let own = ["10.0.0.2/24", "fd00:67::2/64"].map(|text| text.parse().unwrap());
        answer(&datagram, "10.0.0.1:5000".parse().unwrap(), &own)
    }

    /// Identifier, flags, outcome, and the counts.
    fn head(reply: &[u8]) -> ([u8; 2], u8, u8, [u8; 4]) {
        ([reply[0], reply[1]], reply[2], reply[3], [reply[5], reply[7], reply[9], reply[11]])
    }

    #[test]
    fn names_have_addresses() {
        let a = ask("glasstcp.test", kind::A, 1, &[]).unwrap();
        assert_eq!(head(&a), ([0xAB, 0xCD], 0x85, 0, [1, 1, 0, 0]));
        assert_eq!(a[a.len() - 4..], [10, 0, 0, 2]);
        let aaaa = ask("GlassTCP.Test", kind::AAAA, 0, &[]).unwrap();
        assert_eq!(head(&aaaa), ([0xAB, 0xCD], 0x84, 0, [1, 1, 0, 0]));
        assert!(aaaa.ends_with(&[0, 2]) && aaaa[13..].starts_with(b"GlassTCP"), "the question as it came");
        assert_eq!(head(&ask("glasstcp.test", kind::ANY, 0, &[]).unwrap()).3, [1, 3, 0, 0]);
        assert!(ask("whoami.glasstcp.test", kind::TXT, 0, &[]).unwrap().ends_with(b"10.0.0.1:5000"));
        assert_eq!(head(&ask("whoami.glasstcp.test", kind::AAAA, 0, &[]).unwrap()).3, [1, 0, 0, 0], "it has none");
        let extended = ask("glasstcp.test", kind::A, 0, &[0, 0, 41, 4, 0xD0, 0, 0, 0, 0, 0, 0]).unwrap();
        assert_eq!(head(&extended).3, [1, 1, 0, 1]);
        assert!(extended.ends_with(&[0, 0, 41, 4, 0xD0, 0, 0, 0, 0, 0, 0]));
    }

    #[test]
    fn what_is_no_question_of_ours() {
        let outcome = |name| head(&ask(name, kind::A, 0, &[]).unwrap()).2;
        assert_eq!((outcome("nobody.glasstcp.test"), outcome("a.whoami.glasstcp.test")), (3, 3));
        assert_eq!((outcome("example.org"), outcome(""), outcome("test")), (5, 5, 5));
        assert_eq!(ask("glasstcp.test", kind::A, 0x80, &[]), None, "an answer");
        assert_eq!(head(&ask("glasstcp.test", kind::A, 0x10, &[]).unwrap()).2, 4, "not a query");
        let mut datagram = vec![1, 2, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        let peer = "10.0.0.1:5000".parse().unwrap();
        for len in 0..HEADER_LEN {
            assert_eq!(answer(&datagram[..len], peer, &[]), None);
        }
        // Names that end nowhere, point somewhere, or are too long.
        for name in [vec![], vec![5, b'a'], vec![0xC0, 12, 0, 1, 0, 1], [1, b'a'].repeat(200), vec![0, 0, 1, 0]] {
            datagram.truncate(HEADER_LEN);
            datagram.extend(name);
            let reply = answer(&datagram, peer, &[]).unwrap();
            assert_eq!((reply.len(), reply[3]), (HEADER_LEN, 1), "no longer than the question");
        }
    }
}
