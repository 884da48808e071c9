//! Connections that count, and segments of a peer that does.

use glasstcp::config::Config;
use glasstcp::sim::{Script, Sent};
use glasstcp::stack::TcpHandle;
use glasstcp::tcp::accurate_ecn::{AccurateEcn, ace, ace_flags};
use glasstcp::tcp::congestion::Algorithm;
use glasstcp::tcp::ecn::{CE, ECT_0, ECT_1, Ecn, EcnMode, Feedback, NOT_ECT};
use glasstcp::wire::accurate_ecn::{ByteCounters, EcnOption, First};
use glasstcp::wire::option::TcpOptions;
use glasstcp::wire::tcp::{Flags, TcpHeader};

use crate::flow::*;

pub const SEGMENT: u32 = MSS as u32;
/// Codepoints, and the code by which an answer tells them.
pub const CODES: [(u8, u32); 4] = [(NOT_ECT, 0b010), (ECT_1, 0b011), (ECT_0, 0b100), (CE, 0b110)];

pub fn mode(mode: EcnMode) -> impl Fn(&mut Config) {
    move |config| {
        config.tcp.ecn = mode;
        config.tcp.socket.congestion = Algorithm::Reno;
    }
}

/// The three bits of a segment.
pub fn number(sent: &Sent) -> u32 {
    ace(sent.flags())
}

pub fn counters(ect_0: u32, ce: u32, ect_1: u32) -> ByteCounters {
    ByteCounters { ect_0, ect_1, ce }
}

/// The option as it says how often the four have been counted, from the first values on.
pub fn option(first: First, fields: usize, ect_0: u32, ce: u32, ect_1: u32) -> Option<EcnOption> {
    Some(EcnOption::new(first, fields, &counters(1 + ect_0, ce, 1 + ect_1)))
}

/// All counters, none of which has changed.
pub fn untouched() -> Option<EcnOption> {
    option(First::Ect0, 3, 0, 0, 0)
}

pub fn plain(options: TcpOptions) -> TcpOptions {
    TcpOptions { window_scale: None, ..options }
}

/// A SYN with these bits and options comes to a listener, its packet with this codepoint.
pub fn syn(script: &mut Script, bits: u32, codepoint: u8, options: TcpOptions) -> Vec<Sent> {
    if script.stack.listener_at(script.local).is_none() {
        script.listen();
    }
    let header = TcpHeader { options, ..script.header(Flags::SYN | ace_flags(bits)) };
    let before = std::mem::replace(&mut script.ecn, codepoint);
    let sent = script.inject(&header, &[]);
    script.ecn = before;
    if let Some(syn_ack) = sent.first().filter(|sent| sent.flags().contains(Flags::SYN)) {
        script.ack = syn_ack.header.seq.wrapping_add(1);
    }
    sent
}

/// A segment of the peer with these three bits, this option and this codepoint.
pub fn from_peer(script: &mut Script, bits: u32, option: Option<EcnOption>, codepoint: u8, text: &[u8]) -> Vec<Sent> {
    let mut header = script.header(Flags::ACK | ace_flags(bits));
    header.options.accurate_ecn = option;
    let before = std::mem::replace(&mut script.ecn, codepoint);
    let sent = script.inject(&header, text);
    script.ecn = before;
    script.seq = script.seq.wrapping_add(text.len() as u32);
    sent
}

/// The last ACK of the handshake, with this ACE; the connection.
pub fn open(script: &mut Script, bits: u32, option: Option<EcnOption>) -> TcpHandle {
    script.seq = script.seq.wrapping_add(1);
    script.now += ms(20);
    from_peer(script, bits, option, NOT_ECT, &[]);
    let listener = script.stack.listener_at(script.local).unwrap();
    script.stack.tcp_accept(listener).unwrap().0
}

/// A connection that counts, taken by a listener.
pub fn accepted_with(options: TcpOptions) -> (Script, TcpHandle) {
    let mut script = Script::with(mode(EcnMode::AcceptAccurate));
    let sent = syn(&mut script, 0b111, NOT_ECT, plain(options));
    assert_eq!(number(&sent[0]), 0b010);
    let handle = open(&mut script, 0b010, untouched());
    (script, handle)
}

pub fn accepted_plain() -> (Script, TcpHandle) {
    accepted_with(TcpOptions { mss: Some(1_460), ..TcpOptions::default() })
}

/// A connection that counts, and that we have asked for.
pub fn connected() -> (Script, TcpHandle) {
    let mut script = Script::with(mode(EcnMode::RequestAccurate));
    let (handle, _) = script.connect();
    let sent = syn_ack(&mut script, 0b010, untouched(), NOT_ECT);
    assert_eq!((sent.len(), number(&sent[0])), (1, 0b010));
    (script, handle)
}

/// The SYN,ACK of the peer.
pub fn syn_ack(script: &mut Script, bits: u32, option: Option<EcnOption>, codepoint: u8) -> Vec<Sent> {
    let options = TcpOptions { mss: Some(1_460), accurate_ecn: option, ..TcpOptions::default() };
    let header = TcpHeader { options, ..script.header(Flags::SYN | Flags::ACK | ace_flags(bits)) };
    let before = std::mem::replace(&mut script.ecn, codepoint);
    let sent = script.inject(&header, &[]);
    script.ecn = before;
    script.seq = script.seq.wrapping_add(1);
    sent
}

pub fn feedback(script: &Script, handle: TcpHandle) -> Feedback {
    let connection = script.stack.tcp_connection(handle).unwrap();
    match connection.ecn.as_deref() {
        None => Feedback::None,
        Some(ecn) if ecn.accurate().is_some() => Feedback::Accurate,
        Some(_) => Feedback::Classic,
    }
}

/// Its text can be marked.
pub fn is_capable(script: &Script, handle: TcpHandle) -> bool {
    script.stack.tcp_connection(handle).unwrap().ecn.as_deref().is_some_and(Ecn::may_be_marked)
}

pub fn state(script: &Script, handle: TcpHandle) -> &AccurateEcn {
    script.stack.tcp_connection(handle).unwrap().ecn.as_deref().and_then(|ecn| ecn.accurate()).expect("it counts")
}

/// Lets the first segments pass, which are acknowledged at once, unmarked.
pub fn quiet(script: &mut Script) {
    for _ in 0..20 {
        from_peer(script, 5, None, NOT_ECT, &text(MSS));
    }
    script.pass(secs(1));
}
