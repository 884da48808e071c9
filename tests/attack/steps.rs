//! The packets of the families, step by step.

use std::time::Duration;

use glasstcp::device::virtio::VirtioHeader;

use crate::packet::{ACK, FIN, Ip, PSH, RST, SYN, Tcp, Udp};
use crate::target::{ATTACKER4, CLOSES, Client, SERVED, TARGET4, TARGET6, Target, from};

/// Sends the packets of one step: one, or a few that belong together. The number tells the steps apart.
pub type Step = Box<dyn FnMut(&mut Target, u32)>;

/// A number by chance, the same for each step on every run.
pub fn chance(number: u32) -> u32 {
    let mixed = (number ^ 0x9E37_79B9).wrapping_mul(0x85EB_CA6B);
    let mixed = (mixed ^ mixed >> 13).wrapping_mul(0xC2B2_AE35);
    mixed ^ mixed >> 16
}

/// Strangers of a whole network.
pub fn stranger(number: u32, v6: bool) -> Ip {
    let host = chance(number);
    match v6 {
        true => from(&format!("2001:db8:{:x}::{:x}", host >> 16, host & 0xFFFF)),
        false => {
            from(&format!("{}.{}.{}.{}", 11 + host % 100, host >> 8 & 255, host >> 16 & 255, 1 + (host >> 24) % 250))
        }
    }
}

pub fn carry(target: &mut Target, ip: &Ip, tcp: &Tcp, text: &[u8]) {
    target.give(&ip.carry(6, &ip.segment(tcp, text)));
}

/// A step that sends one segment of this victim's connection, changed.
pub fn at_victim(target: &mut Target, change: impl Fn(&Client, u32) -> (Tcp, Vec<u8>) + 'static) -> Step {
    let victim = Client::connected(target, false);
    Box::new(move |target, number| {
        let (tcp, text) = change(&victim, number);
        target.give(&victim.packet(&tcp, &text));
    })
}

/// A peer to whom much was sent that it has not acknowledged.
pub fn owed(target: &mut Target, options: &[u8], octets: usize) -> Client {
    let mut client = Client::new(target, false);
    client.open(target, options).unwrap();
    for _ in 0..octets / 1_000 {
        client.answers(target, &client.header(ACK | PSH), &[65; 1_000]);
        client.seq = client.seq.wrapping_add(1_000);
    }
    client
}

pub fn syn_flood(v6: bool) -> Step {
    Box::new(move |target, number| {
        let port = 1_024 + (number % 60_000) as u16;
        let tcp = Tcp { seq: chance(number), options: vec![2, 4, 5, 0xB4, 4, 2, 1, 1], ..Tcp::new(port, SERVED, SYN) };
        carry(target, &stranger(number, v6), &tcp, &[]);
    })
}

pub fn half_open(_: &mut Target) -> Step {
    Box::new(|target, number| {
        let ip = from(ATTACKER4);
        let port = 1_024 + (number % 60_000) as u16;
        let seq = chance(number);
        carry(target, &ip, &Tcp { seq, ..Tcp::new(port, SERVED, SYN) }, &[]);
        // Neither the right ACK nor a RST: whatever a record may answer.
        carry(target, &ip, &Tcp { seq: seq.wrapping_add(70_000), ack: 1, ..Tcp::new(port, SERVED, ACK) }, b"x");
    })
}

pub fn forged_cookies(_: &mut Target) -> Step {
    Box::new(|target, number| {
        if number == 0 {
            // The listener has to send cookies before it looks for any.
            let mut flood = syn_flood(false);
            for number in 0..1_200 {
                flood(target, number);
                target.pass_unseen(Duration::ZERO);
            }
        }
        let tcp = Tcp { seq: number, ack: chance(number), ..Tcp::new(1_024 + (number % 60_000) as u16, SERVED, ACK) };
        carry(target, &stranger(number, false), &tcp, &[]);
    })
}

pub fn time_wait(target: &mut Target) -> Step {
    let _ = target;
    Box::new(|target, _| {
        let mut client = Client::new(target, false);
        let answers = client.open_at(target, CLOSES);
        client.ack = client.ack.wrapping_add(u32::from(answers.iter().any(|answer| answer.flags() & FIN != 0)));
        let fin = Tcp { destination: CLOSES, ..client.header(FIN | ACK) };
        target.give(&client.packet(&fin, &[]));
    })
}

pub fn optimistic(target: &mut Target) -> Step {
    let client = owed(target, &[2, 4, 5, 0xB4], 40_000);
    Box::new(move |target, number| {
        let ack = client.ack.wrapping_add(number % 4_000 * 1_460);
        target.give(&client.packet(&Tcp { ack, ..client.header(ACK) }, &[]));
    })
}

pub fn division(target: &mut Target) -> Step {
    let client = owed(target, &[2, 4, 5, 0xB4], 40_000);
    Box::new(move |target, number| {
        let ack = client.ack.wrapping_add(number % 14_000);
        target.give(&client.packet(&Tcp { ack, ..client.header(ACK) }, &[]));
    })
}

pub fn sockstress(_: &mut Target) -> Step {
    let mut held = std::collections::VecDeque::new();
    Box::new(move |target, _| {
        let mut client = Client::new(target, false);
        client.window = 0;
        if client.open(target, &[2, 4, 5, 0xB4]).is_ok() {
            target.give(&client.packet(&client.header(ACK | PSH), &[65; 1_400]));
            held.push_back(client);
        }
        // A port is used again only when its connection is over: this attacker has a thousand.
        if held.len() > 1_000
            && let Some(oldest) = held.pop_front()
        {
            let rst = Tcp { seq: oldest.seq.wrapping_add(1_400), ..oldest.header(RST) };
            target.give(&oldest.packet(&rst, &[]));
        }
    })
}

pub fn zero_window(target: &mut Target) -> Step {
    let mut client = owed(target, &[2, 4, 5, 0xB4], 20_000);
    client.window = 0;
    Box::new(move |target, number| {
        let window = [0, 1, 0, 40][number as usize % 4];
        target.give(&client.packet(&Tcp { window, ..client.header(ACK) }, &[]));
    })
}

pub fn sack_panic(target: &mut Target) -> Step {
    let client = owed(target, &[2, 4, 0, 48, 4, 2, 1, 1], 60_000);
    Box::new(move |target, number| {
        let first = client.ack.wrapping_add(chance(number) % 15_000);
        let block =
            |k: u32| [first.wrapping_add(k * 97).to_be_bytes(), first.wrapping_add(k * 97 + 1).to_be_bytes()].concat();
        let options = [vec![1, 1, 5, 34], (0..4).flat_map(block).collect()].concat();
        target.give(&client.packet(&Tcp { options, ..client.header(ACK) }, &[]));
    })
}

pub fn challenges(target: &mut Target) -> Step {
    at_victim(target, |client, number| {
        let guess = |flags| Tcp { seq: client.seq.wrapping_add(1 + number % 60_000), ..client.header(flags) };
        (guess([RST, SYN, RST | ACK][number as usize % 3]), Vec::new())
    })
}

pub fn blind(flags: u8, text: &'static [u8]) -> impl Fn(&Client, u32) -> (Tcp, Vec<u8>) {
    move |client, number| {
        let tcp = Tcp { seq: chance(number), ack: chance(!number), ..client.header(ACK) };
        (Tcp { flags, ..tcp }, text.to_vec())
    }
}

pub fn fragment(number: u32, offset: usize, more: bool, len: usize, identification: u32) -> Vec<u8> {
    let ip = stranger(number, false);
    Ip { flags: u8::from(more), offset, identification, ..ip }.carry(1, &vec![7; len])
}

pub fn overlaps(_: &mut Target) -> Step {
    Box::new(|target, number| {
        target.give(&fragment(number, 0, true, 64, number));
        target.give(&fragment(number, 24, true, 80, number));
    })
}

pub fn tiny_fragments(_: &mut Target) -> Step {
    Box::new(|target, number| {
        let ip = from(ATTACKER4);
        let syn = ip.segment(&Tcp::new(1_024 + (number % 60_000) as u16, SERVED, SYN), &[]);
        let piece = |offset: usize, more: bool, bytes: &[u8]| {
            Ip { flags: u8::from(more), offset, identification: number, ..ip.clone() }.carry(6, bytes)
        };
        target.give(&piece(0, true, &syn[..8]));
        target.give(&piece(8, false, &syn[8..]));
    })
}

pub fn impossible_sources(_: &mut Target) -> Step {
    let sources = ["255.255.255.255", "10.0.0.255", "224.0.0.1", "127.0.0.1", "0.0.0.0", "240.0.0.1"].map(from);
    Box::new(move |target, number| {
        let ip = &sources[number as usize % sources.len()];
        match number / 6 % 3 {
            0 => carry(target, ip, &Tcp::new(7_777, SERVED, SYN), &[]),
            1 => target.give(&ip.carry(17, &ip.datagram(&Udp::to(SERVED), b"x"))),
            _ => target.give(&ip.ping(b"x")),
        }
    })
}

pub fn land(_: &mut Target) -> Step {
    let ips = [from(TARGET4), from(TARGET6)];
    Box::new(move |target, number| {
        carry(target, &ips[number as usize % 2], &Tcp { seq: number, ..Tcp::new(SERVED, SERVED, SYN) }, &[]);
    })
}

pub fn port_zero(_: &mut Target) -> Step {
    Box::new(|target, number| {
        let (source, destination) = if number % 2 == 0 { (0, SERVED) } else { (5_000, 0) };
        carry(target, &stranger(number, false), &Tcp::new(source, destination, SYN), &[]);
    })
}

/// Errors of a router about segments of a victim's connection, with guessed sequence numbers.
pub fn forged_errors(target: &mut Target, kind: u8, code: u8, rest: [u8; 4]) -> Step {
    let victim = Client::connected(target, false);
    let (ours, router) = (Ip::between(TARGET4, ATTACKER4), Ip::between("10.0.0.55", TARGET4));
    Box::new(move |target, number| {
        let quoted = Tcp { seq: chance(number), ..Tcp::new(SERVED, victim.port, ACK) };
        let quoted = ours.carry(6, &ours.segment(&quoted, &[]));
        let error = router.icmp(kind, code, &[&rest, &quoted[..28]].concat());
        target.give(&router.carry(1, &error));
    })
}

/// Packets with headers of the device that lie about them.
pub fn lying_offload(_: &mut Target) -> Step {
    Box::new(|target, number| {
        let ip = stranger(number, false);
        let tcp = Tcp { seq: number, checksum: Some(0), ..Tcp::new(1_024 + (number % 60_000) as u16, SERVED, SYN) };
        let packet = ip.carry(6, &ip.segment(&tcp, &[]));
        let [a, b, c, d] = chance(number).to_le_bytes();
        let header = VirtioHeader {
            flags: a & 3,
            gso_type: [0, 1, 4, 5, 0x81, b][usize::from(b) % 6],
            hdr_len: u16::from(c) * 17,
            gso_size: [0, 1, 40, 65_535][usize::from(d) % 4],
            csum_start: [20, 0, 40, 65_535][usize::from(c) % 4],
            // Never 16: that would be the truth, and the kernel's to tell.
            csum_offset: [6, 0, 17, 65_535][usize::from(a >> 2) % 4],
        };
        let meta = header.receive_meta(&packet);
        // What a card has verified is taken at its word; this is about what nobody has.
        if a & 2 == 0 {
            target.give_with(&packet, &meta);
        }
    })
}

pub fn extension_headers(_: &mut Target) -> Step {
    Box::new(|target, number| {
        let ip = stranger(number, true);
        let mut chain = Vec::new();
        (0..160_u8).for_each(|_| chain.extend([60, 0, 1, 4, 0, 0, 0, 0]));
        target.give(&ip.carry(60, &chain));
    })
}

/// A host that the attacker has taken over has got a cookie; SYNs in its name follow, each with text that asks for an answer,
/// every other one with a RST behind it, as an honest host sends one for the SYN-ACK. And SYNs with forged cookies.
pub fn fast_open(target: &mut Target) -> Step {
    const PORT: u16 = 8_080;
    target.serve_fast(PORT);
    let ask = Tcp { options: vec![34, 2, 1, 1], ..Tcp::new(1_000, PORT, SYN) };
    let told = target.answers(&[from(ATTACKER4).carry(6, &from(ATTACKER4).segment(&ask, &[]))]);
    let syn_ack = told.iter().find(|answer| answer.is_tcp() && answer.flags() & SYN != 0).expect("a SYN-ACK");
    let area = &syn_ack.payload[20..];
    let at = area.windows(2).position(|window| window == [34, 10]).expect("a cookie");
    let cookie = area[at..at + 10].to_vec();
    Box::new(move |target, number| {
        let port = 1_024 + (number % 60_000) as u16;
        let seq = chance(number);
        let mut options = [&cookie[..], &[1, 1]].concat();
        if number % 4 == 3 {
            options[2..6].copy_from_slice(&chance(seq).to_be_bytes());
        }
        let ip = from(ATTACKER4);
        carry(target, &ip, &Tcp { seq, options, ..Tcp::new(port, PORT, SYN) }, &[65; 1_000]);
        if number % 2 == 0 {
            carry(target, &ip, &Tcp { seq: seq.wrapping_add(1_001), ..Tcp::new(port, PORT, RST) }, &[]);
        }
    })
}
