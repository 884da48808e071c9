//! What the tests of notes share.
#![allow(dead_code, reason = "each test program uses its part of this")]

use crate::flow::*;
use glasstcp::sim::Script;
use glasstcp::stack::TcpHandle;
use glasstcp::tcp::congestion::Algorithm;
use glasstcp::wire::option::TcpOptions;

/// A script that makes notes.
pub fn traced(change: impl FnOnce(&mut glasstcp::Config)) -> Script {
    let mut script = Script::with(change);
    script.stack.set_traced(true);
    script
}

/// A connection with SACK over a path of 20 ms, with Reno, whose notes begin now.
pub fn open(options: TcpOptions) -> (Script, TcpHandle) {
    let (mut script, handle) = accepted_over(ms(20), options, |config| {
        config.tcp.socket.congestion = Algorithm::Reno;
        config.tcp.socket.nodelay = true;
        config.tcp.quick_acks = 0;
    });
    script.stack.set_traced(true);
    (script, handle)
}

/// A note without the numbers at its end.
pub fn words(note: &str) -> &str {
    note.split(" una=").next().unwrap()
}

/// The notes since the last look, without their numbers.
pub fn said(script: &mut Script) -> Vec<String> {
    std::mem::take(&mut script.notes).iter().map(|note| words(note).to_owned()).collect()
}

/// The value behind a key.
pub fn value<'a>(note: &'a str, key: &str) -> Option<&'a str> {
    note.split(' ').find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
}

#[track_caller]
pub fn expect(script: &mut Script, expected: &[&str]) {
    assert_eq!(said(script), expected);
}
