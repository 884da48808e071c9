//! A listener with keys that are known, SYNs with cookies, and what they show.

use glasstcp::config::Config;
use glasstcp::sim::{Script, Sent};
use glasstcp::stack::{ListenOptions, ListenerHandle, TcpHandle};
use glasstcp::tcp::fast_open::{Key, Keys, ListenFastOpen};
use glasstcp::tcp::state::State;
use glasstcp::wire::fast_open::Cookie;
use glasstcp::wire::option::TcpOptions;
use glasstcp::wire::tcp::{Flags, TcpHeader};

pub const SYN: Flags = Flags::SYN;

pub const ACK: Flags = Flags::ACK;

pub const RST: Flags = Flags::RST;

pub const KEYS: Keys = Keys::Fixed(Key([1; 16]), Some(Key([2; 16])));

pub fn syn_ack() -> Flags {
    SYN | ACK
}

/// The options of the peer's SYN.
pub fn with(cookie: Option<Cookie>) -> TcpOptions {
    TcpOptions { mss: Some(1_000), sack_permitted: true, fast_open: cookie, ..TcpOptions::default() }
}

/// A script whose listener takes so many pending connections.
pub fn listening(limit: u32, change: impl FnOnce(&mut Config)) -> (Script, ListenerHandle) {
    let mut script = Script::with(|config| {
        config.tcp.fast_open_keys = Some(KEYS);
        change(config);
    });
    let options = ListenOptions { fast_open: Some(ListenFastOpen::new(limit)), ..ListenOptions::default() };
    let listener = script.stack.tcp_listen_with(script.local, &options).unwrap();
    (script, listener)
}

/// The cookie of the script's peer by the key of the listener.
pub fn cookie_of(script: &Script, key: u8) -> Cookie {
    let tuple = glasstcp::tcp::FourTuple::new(script.local, script.peer);
    Keys::Fixed(Key([key; 16]), None).make(&tuple, script.now).unwrap()
}

/// The peer's SYN with a cookie and text; the script's numbers follow what the SYN-ACK acknowledges.
pub fn fast_syn(script: &mut Script, cookie: Option<Cookie>, text: &[u8]) -> Sent {
    let header = TcpHeader { options: with(cookie), ..script.header(SYN) };
    script.deliver(&header, text);
    let sent = script.sent_one();
    assert_eq!(sent.flags(), syn_ack());
    (script.seq, script.ack) = (sent.header.ack, sent.header.seq.wrapping_add(1));
    sent
}

pub fn fast_opened(script: &mut Script, listener: ListenerHandle, text: &[u8]) -> TcpHandle {
    let (cookie, seq) = (cookie_of(script, 1), script.seq);
    let answer = fast_syn(script, Some(cookie), text);
    assert_eq!(answer.header.ack, seq.wrapping_add(1 + text.len() as u32), "the text is acknowledged");
    script.stack.tcp_accept(listener).unwrap().0
}

pub fn state(script: &Script, handle: TcpHandle) -> Option<State> {
    script.stack.tcp_state(handle)
}

pub fn bare(cookie: Cookie) -> Option<Cookie> {
    Some(cookie)
}

pub fn text_of(sent: &[Sent]) -> Vec<u8> {
    sent.iter().flat_map(|sent| sent.text.clone()).collect()
}
