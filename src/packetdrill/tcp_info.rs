//! `struct tcp_info` as Linux lays it out (uapi/linux/tcp.h).

use std::time::Duration;

use super::watch::Watch;
use crate::config::Config;
use crate::tcp::connection::Connection;
use crate::tcp::recovery::new_reno::Phase;
use crate::tcp::snapshot::Snapshot;
use crate::tcp::state::State;
use crate::time::Instant;

/// `SO_MEMINFO`, which the libc crate does not name.
pub const SO_MEMINFO: i32 = 55;
/// `TCP_LISTEN`.
pub const LISTEN: u8 = 10;
/// `TCP_CLOSE`.
pub const CLOSE: u8 = 7;

/// Octets of the struct, as of Linux 6 and of packetdrill, which insists on all of them.
const LEN: usize = 280;

/// Where `tcpi_probes` stands.
pub const PROBES: usize = 3;

/// A struct that is written field by field.
struct Layout {
    bytes: Vec<u8>,
}

impl Layout {
    fn u8(&mut self, value: u8) {
        self.bytes.push(value);
    }

    fn u32s(&mut self, values: &[u32]) {
        values.iter().for_each(|value| self.bytes.extend_from_slice(&value.to_ne_bytes()));
    }

    fn u64s(&mut self, values: &[u64]) {
        values.iter().for_each(|value| self.bytes.extend_from_slice(&value.to_ne_bytes()));
    }
}

/// Of a socket that is no connection.
pub fn of_state(state: u8) -> Vec<u8> {
    let mut bytes = vec![0; LEN];
    bytes[0] = state;
    bytes
}

/// The number of a state in Linux.
fn state_number(state: State) -> u8 {
    match state {
        State::Established => 1,
        State::SynSent => 2,
        State::SynReceived => 3,
        State::FinWait1 => 4,
        State::FinWait2 => 5,
        State::TimeWait => 6,
        State::Closed => CLOSE,
        State::CloseWait => 8,
        State::LastAck => 9,
        State::Listen => LISTEN,
        State::Closing => 11,
    }
}

fn micros(duration: Option<Duration>) -> u32 {
    duration.map_or(0, |duration| u32::try_from(duration.as_micros()).unwrap_or(u32::MAX))
}

/// The phase of recovery as Linux names it: Open 0, Disorder 1, CWR 2, Recovery 3, Loss 4.
fn phase_number(snapshot: &Snapshot, reduced: bool) -> u8 {
    match snapshot.phase {
        Phase::Open if snapshot.sacked > 0 => 1,
        Phase::Open if reduced => 2,
        Phase::Open => 0,
        Phase::FastRecovery => 3,
        Phase::Timeout => 4,
    }
}

/// `tcpi_delivered`: our SYN and segments of full size, as far as the peer has acknowledged them. Text of a SYN counts with it.
fn delivered(connection: &Connection, snapshot: &Snapshot, watch: &Watch) -> u32 {
    let in_syn = if connection.agreed.syn_text { u64::from(watch.in_syn) } else { 0 };
    let octets = snapshot.statistics.octets_acknowledged + u64::from(snapshot.sacked);
    let segments = octets.saturating_sub(in_syn).div_ceil(u64::from(snapshot.segment_payload.max(1)));
    segments as u32 + u32::from(connection.snd.syn_acknowledged)
}

/// Of a connection.
pub fn encode(connection: &Connection, snapshot: &Snapshot, config: &Config, now: Instant, watch: &Watch) -> Vec<u8> {
    let mss = snapshot.segment_payload.max(1);
    let segments = |octets: u32| octets.div_ceil(mss);
    let since = |at: Instant| u32::try_from(now.saturating_since(at).as_millis()).unwrap_or(u32::MAX);
    let statistics = &snapshot.statistics;
    let resent = connection.transfer.as_ref().map_or(0, |transfer| transfer.sent.resent_in_flight());
    // In a recovery Linux moves cwnd itself to what may be in flight.
    let window = if snapshot.phase == Phase::FastRecovery && snapshot.sack {
        snapshot.in_flight + connection.usable_congestion_window()
    } else {
        snapshot.cwnd
    };
    let options = u8::from(snapshot.timestamps)
        | u8::from(snapshot.sack) << 1
        | u8::from(snapshot.window_shift.is_some()) << 2
        | u8::from(connection.ecn.is_some()) << 3
        | u8::from(connection.agreed.syn_text) << 5;
    let (theirs, ours) = snapshot.window_shift.unwrap_or((0, 0));
    let mut info = Layout { bytes: Vec::with_capacity(LEN) };
    info.u8(state_number(snapshot.state));
    info.u8(phase_number(snapshot, connection.ecn.as_deref().is_some_and(|ecn| !ecn.is_news())));
    info.u8(snapshot.backoff);
    info.u8(connection.keep_alive_probes);
    info.u8(snapshot.backoff);
    info.u8(options);
    info.u8(theirs | ours << 4);
    info.u8(0);
    info.u32s(&[
        micros(Some(snapshot.rto)),
        micros(Some(config.tcp.delayed_ack)),
        mss,
        u32::from(connection.rcv.segment_size.max(1)),
        segments(snapshot.flight),
        segments(snapshot.sacked),
        segments(snapshot.lost + resent),
        segments(resent),
        0,
        since(connection.last_sent),
        0,
        since(watch.last_text),
        since(connection.last_received),
        snapshot.path_mtu,
        snapshot.rcv_wnd,
        micros(snapshot.srtt),
        micros(snapshot.rttvar),
        if snapshot.ssthresh == u32::MAX { 0x7fff_ffff } else { snapshot.ssthresh / mss },
        window / mss,
        u32::from(snapshot.announced_mss),
        u32::from(snapshot.reordering_degree),
        0,
        snapshot.rcv_wnd,
        statistics.retransmits,
    ]);
    info.u64s(&[u64::MAX, u64::MAX, statistics.octets_acknowledged, statistics.octets_received]);
    info.u32s(&[
        statistics.segments_out,
        statistics.segments_in,
        snapshot.unsent,
        micros(snapshot.min_rtt),
        statistics.segments_in,
        statistics.segments_out,
    ]);
    let times = watch.times(now);
    let in_micros = |duration: Duration| duration.as_micros() as u64;
    info.u64s(&[0, in_micros(times.busy), in_micros(times.window), in_micros(times.buffer)]);
    let marked =
        connection.ecn.as_deref().and_then(|ecn| ecn.accurate()).map_or(0, |accurate| accurate.told.packets - 5);
    info.u32s(&[delivered(connection, snapshot, watch), marked]);
    info.u64s(&[0, 0]);
    info.u32s(&[0, u32::from(snapshot.reordering), 0, snapshot.snd_wnd, snapshot.rcv_wnd, 0]);
    info.bytes.resize(LEN, 0);
    info.bytes
}
