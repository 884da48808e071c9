//! An attacker on the wire: raw packets of seven groups, one after the other at the same stack. After each of them a client
//! that nobody knew before is served at once, over both families. Then floods of each known family, and what they cost.
//!
//! The bytes are made by hand (`packet`), not by the code under test. Where the RFCs leave the answer open, the tables say
//! what Linux does, or accept either.

mod costs;
mod families;
mod fragments;
mod icmp;
mod ipv4;
mod ipv6;
mod measure;
mod packet;
mod steps;
mod target;
mod tcp_header;
mod tcp_state;
mod udp;

use packet::Answer;
use target::Target;

/// What is to come back.
#[derive(Clone, Debug)]
enum Expect {
    /// Nothing at all, and a drop that is counted for each packet.
    Dropped,
    /// Nothing at all.
    Silence,
    /// An echo reply with this data.
    Echo(Vec<u8>),
    /// An ICMP error: type, code and the four octets that follow the checksum; it quotes the packet.
    Error(u8, u8, [u8; 4]),
    /// Silence or a parameter problem.
    SilenceOrProblem,
    /// An echo reply with this data, or nothing.
    SilenceOrEcho(Vec<u8>),
    /// One UDP datagram with this data.
    Datagram(Vec<u8>),
}

/// One attack.
struct Case {
    name: String,
    packets: Vec<Vec<u8>>,
    expect: Expect,
}

fn case(name: impl Into<String>, packet: Vec<u8>, expect: Expect) -> Case {
    Case { name: name.into(), packets: vec![packet], expect }
}

fn cases(name: impl Into<String>, packets: Vec<Vec<u8>>, expect: Expect) -> Case {
    Case { name: name.into(), packets, expect }
}

/// Runs a group against one stack, which no case may leave worse than it was.
fn attack(cases: Vec<Case>) {
    let mut target = Target::new();
    for case in cases {
        // The limits on errors and resets are tested elsewhere.
        target.pass(std::time::Duration::from_secs(2));
        let before = target.drops();
        let answers = target.answers(&case.packets);
        if let Err(why) = judge(&case, &answers, target.drops() - before) {
            panic!("{}: {why}: {answers:?}", case.name);
        }
        target.serves_a_fresh_client(&case.name);
    }
}

fn judge(case: &Case, answers: &[Answer], drops: u64) -> Result<(), &'static str> {
    let ok = |condition: bool, why| if condition { Ok(()) } else { Err(why) };
    match &case.expect {
        Expect::Dropped => {
            ok(answers.is_empty(), "not silent")?;
            ok(drops == case.packets.len() as u64, "not counted as dropped, each once")
        }
        Expect::Silence => ok(answers.is_empty(), "not silent"),
        Expect::Echo(data) => {
            let [answer] = answers else { return Err("not one answer") };
            ok(answer.echoed() == Some(data), "not this echo reply")
        }
        Expect::Error(kind, code, rest) => {
            let [answer] = answers else { return Err("not one answer") };
            ok(answer.icmp() == Some((*kind, *code)), "not this error")?;
            ok(answer.payload[4..8] == rest[..], "another pointer or value")?;
            let (quote, v6) = (&answer.payload[8..], answer.source.is_ipv6());
            let about = &case.packets[0];
            // RFC 1812 4.3.2.3 and RFC 4443 2.4 (c): as much as fits.
            let limit = if v6 { 1_280 - 48 } else { 576 - 28 };
            ok(quote == &about[..about.len().min(limit)], "not the quote")
        }
        Expect::SilenceOrProblem => {
            ok(answers.iter().all(|answer| matches!(answer.icmp(), Some((4 | 12, _)))), "more than a parameter problem")
        }
        Expect::SilenceOrEcho(data) => {
            ok(answers.len() <= 1 && answers.iter().all(|answer| answer.echoed() == Some(data)), "not this echo reply")
        }
        Expect::Datagram(data) => {
            let [answer] = answers else { return Err("not one answer") };
            ok(answer.protocol == 17 && answer.payload[8..] == data[..], "not this datagram")
        }
    }
}
