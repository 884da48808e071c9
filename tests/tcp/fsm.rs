//! What the tests of the state machine share: scripts with chosen initial sequence numbers, and scripts in each state.
#![allow(dead_code, missing_docs)]

use std::net::Shutdown;
use std::time::Duration;

use glasstcp::config::Config;
use glasstcp::sim::{Script, Sent};
use glasstcp::stack::{Readiness, SocketHandle, TcpHandle};
use glasstcp::tcp::state::State;
use glasstcp::wire::option::TcpOptions;
use glasstcp::wire::tcp::{Flags, TcpHeader};

pub const SYN: Flags = Flags::SYN;
pub const ACK: Flags = Flags::ACK;
pub const FIN: Flags = Flags::FIN;
pub const RST: Flags = Flags::RST;
pub const PSH: Flags = Flags::PSH;

pub const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Initial sequence numbers where SYN, data and FIN cross the ends of the number space.
pub const EDGES: [u32; 5] = [0, 1 << 31, u32::MAX, u32::MAX - 3, (1 << 31) - 2];

/// Pairs of ISS and IRS at the edges.
pub fn edges() -> impl Iterator<Item = (u32, u32)> {
    EDGES.into_iter().flat_map(|iss| EDGES.into_iter().map(move |irs| (iss, irs)))
}

/// A script whose next connection will have this ISS, and whose peer will have this IRS.
///
/// The ISN of a tuple moves by one per 4 microseconds: a probe tells where it stands, and the script begins when it will
/// be where it is wanted.
pub fn script_at(iss: u32, irs: u32) -> Script {
    script_at_with(iss, irs, |_| {})
}

pub fn script_at_with(iss: u32, irs: u32, change: impl Fn(&mut Config)) -> Script {
    let mut probe = Script::with(&change);
    probe.listen();
    let now = probe.peer_syn(TcpOptions::default())[0].header.seq;
    let mut script = Script::with(&change);
    script.now += Duration::from_micros(4) * iss.wrapping_sub(now);
    script.seq = irs;
    script
}

/// A script with a connection in this state, and its handle where the application has one.
#[derive(Debug)]
pub struct Case {
    pub script: Script,
    pub handle: Option<TcpHandle>,
    pub name: &'static str,
}

/// All ways into all states: SYN-RECEIVED is there twice, by passive and by simultaneous open.
pub const WAYS: [&str; 12] = [
    "CLOSED",
    "LISTEN",
    "SYN-SENT",
    "SYN-RECEIVED (passive)",
    "SYN-RECEIVED (active)",
    "ESTABLISHED",
    "FIN-WAIT-1",
    "FIN-WAIT-2",
    "CLOSE-WAIT",
    "CLOSING",
    "LAST-ACK",
    "TIME-WAIT",
];

/// The ways into synchronized states in which there is still a connection.
pub const SYNCHRONIZED: [&str; 6] = ["ESTABLISHED", "FIN-WAIT-1", "FIN-WAIT-2", "CLOSE-WAIT", "CLOSING", "LAST-ACK"];

/// MSS 1460 and nothing else.
pub fn plain() -> TcpOptions {
    TcpOptions { mss: Some(1_460), ..TcpOptions::default() }
}

pub fn reach(name: &'static str, script: Script) -> Case {
    let mut script = script;
    let handle = match name {
        "CLOSED" => None,
        "LISTEN" => {
            script.listen();
            None
        }
        "SYN-SENT" => Some(script.connect().0),
        "SYN-RECEIVED (passive)" => {
            script.listen();
            assert_eq!(script.peer_syn(plain()).len(), 1);
            None
        }
        "SYN-RECEIVED (active)" => Some(cross_syns(&mut script)),
        _ => Some(synchronized(name, &mut script)),
    };
    if let Some(handle) = handle {
        let state = name.split(" (").next().unwrap();
        assert_eq!(script.stack.tcp_state(handle).unwrap().name(), state, "the way into the state");
    }
    Case { script, handle, name }
}

/// Up to SYN-RECEIVED by a simultaneous open.
pub fn cross_syns(script: &mut Script) -> TcpHandle {
    let (handle, syn) = script.connect();
    let header = TcpHeader { options: plain(), ..script.header(SYN) };
    script.seq = script.seq.wrapping_add(1);
    let sent = script.inject(&header, &[]);
    assert_eq!(sent.len(), 1, "a SYN,ACK: {sent:#?}");
    assert_eq!((sent[0].flags(), sent[0].header.seq), (SYN | ACK, syn.header.seq), "with the same ISS");
    handle
}

fn synchronized(name: &str, script: &mut Script) -> TcpHandle {
    let handle = script.accept();
    script.silence();
    if matches!(name, "CLOSE-WAIT" | "LAST-ACK") {
        script.peer_closes();
    }
    if !matches!(name, "ESTABLISHED" | "CLOSE-WAIT") {
        shut(script, handle);
        let fin = script.sent_one();
        assert!(fin.flags().contains(FIN));
    }
    if matches!(name, "FIN-WAIT-2" | "TIME-WAIT") {
        let ack = script.ack.wrapping_add(1);
        assert_eq!(script.peer_acks(ack), [], "an ACK is not answered");
    }
    if matches!(name, "CLOSING" | "TIME-WAIT") {
        let sent = script.peer_closes();
        assert_eq!(sent.len(), 1, "the FIN is acknowledged: {sent:#?}");
    }
    handle
}

/// Closes the sending side.
pub fn shut(script: &mut Script, handle: TcpHandle) {
    script.stack.tcp_shutdown(script.now, handle, Shutdown::Write).unwrap();
}

pub fn close(script: &mut Script, handle: TcpHandle) {
    script.stack.tcp_close(script.now, handle);
}

pub fn state(script: &Script, handle: TcpHandle) -> State {
    script.stack.tcp_state(handle).expect("the connection is there")
}

/// Everything that has been reported of one socket, as one set.
pub fn reported(script: &mut Script, handle: TcpHandle) -> Readiness {
    let mut edges = Readiness::NONE;
    while let Some(ready) = script.stack.poll_ready() {
        if ready.socket == SocketHandle::Tcp(handle) {
            edges = edges.with(ready.edges);
        }
    }
    edges
}

/// Something was sent and it is one bare ACK of `ack` from `seq`.
#[track_caller]
pub fn assert_ack(sent: &[Sent], seq: u32, ack: u32) {
    assert_eq!(sent.len(), 1, "one ACK: {sent:#?}");
    let header = &sent[0].header;
    assert_eq!((header.flags, header.seq, header.ack), (ACK, seq, ack));
    assert!(sent[0].text.is_empty());
}

/// Something was sent and it is one RST without ACK at `seq`.
#[track_caller]
pub fn assert_reset(sent: &[Sent], seq: u32) {
    assert_eq!(sent.len(), 1, "one RST: {sent:#?}");
    let header = &sent[0].header;
    assert_eq!((header.flags, header.seq, header.ack), (RST, seq, 0));
    assert!(sent[0].text.is_empty());
}

/// SND.UNA, SND.NXT and RCV.NXT.
pub fn variables(script: &Script, handle: TcpHandle) -> (u32, u32, u32) {
    let connection = script.stack.tcp_connection(handle).expect("the connection is there");
    (connection.snd.una.0, connection.snd.nxt.0, connection.rcv.nxt.0)
}
