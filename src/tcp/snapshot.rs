//! What can be seen of a connection from outside (STATUS of RFC 9293 section 3.10.6, TCP_INFO of sockets).

use std::net::SocketAddr;
use std::time::Duration;

use super::config::TcpConfig;
use super::congestion::{Algorithm, Rate};
use super::connection::{Connection, Origin, Statistics};
use super::recovery::new_reno::Phase;
use super::state::State;

/// A copy of the state of one connection.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Our address and port.
    pub local: SocketAddr,
    /// The peer's address and port.
    pub remote: SocketAddr,
    /// The state.
    pub state: State,
    /// Who opened it.
    pub origin: Origin,
    /// The application has let go of it.
    pub orphan: bool,
    /// The peer's MSS as far as we use it, with options, in octets.
    pub send_mss: u16,
    /// The largest packet that is sent, in octets: what the path takes, as far as is known, and the peer.
    pub path_mtu: u32,
    /// Octets of text in a full segment.
    pub segment_payload: u32,
    /// The MSS that we announced.
    pub announced_mss: u16,
    /// Timestamps are in use (RFC 7323).
    pub timestamps: bool,
    /// SACK is in use (RFC 2018).
    pub sack: bool,
    /// The window shift counts (peer's, ours), if windows are scaled.
    pub window_shift: Option<(u8, u8)>,
    /// The smoothed round-trip time, once known.
    pub srtt: Option<Duration>,
    /// Its variation, once known.
    pub rttvar: Option<Duration>,
    /// The retransmission timeout, backoff included.
    pub rto: Duration,
    /// Doublings of the RTO.
    pub backoff: u8,
    /// The congestion control algorithm.
    pub congestion: Algorithm,
    /// cwnd, in octets.
    pub cwnd: u32,
    /// ssthresh, in octets; `u32::MAX` before the first loss.
    pub ssthresh: u32,
    /// What text leaves at, at most, where the algorithm paces.
    pub pacing_rate: Option<Rate>,
    /// What the path can take, where the algorithm models it; zero before the first sample.
    pub bandwidth: Option<Rate>,
    /// The least round-trip time of that model, once known.
    pub model_min_rtt: Option<Duration>,
    /// Loss recovery is going on.
    pub recovering: bool,
    /// Which phase of it.
    pub phase: Phase,
    /// Octets thought to be in the network (pipe).
    pub in_flight: u32,
    /// Octets that the peer has reported to hold (SACK).
    pub sacked: u32,
    /// Octets taken for lost and not sent again yet.
    pub lost: u32,
    /// The path has been seen to reorder.
    pub reordering: bool,
    /// By so many segments at most; 3 where it was not seen.
    pub reordering_degree: u8,
    /// The reordering window, in quarters of the least round-trip time.
    pub reordering_multiplier: u8,
    /// The least round-trip time of the last minutes, once known.
    pub min_rtt: Option<Duration>,
    /// SND.UNA relative to ISS.
    pub snd_una: u32,
    /// SND.NXT relative to ISS.
    pub snd_nxt: u32,
    /// SND.WND, in octets.
    pub snd_wnd: u32,
    /// RCV.NXT relative to IRS.
    pub rcv_nxt: u32,
    /// RCV.WND, in octets.
    pub rcv_wnd: u32,
    /// Octets in flight.
    pub flight: u32,
    /// Octets queued and not sent yet.
    pub unsent: u32,
    /// Octets that wait for the application.
    pub unread: u32,
    /// Octets held out of order.
    pub out_of_order: u32,
    /// Figures since the start.
    pub statistics: Statistics,
}

impl Snapshot {
    /// Of this connection.
    // 9293-3.10.6-1
    pub fn new(connection: &Connection, config: &TcpConfig) -> Snapshot {
        let controller = connection.congestion.get();
        let model = connection.congestion.model();
        let sent = connection.transfer.as_ref().map(|transfer| &transfer.sent);
        let shifts = (connection.snd.shift.count(), connection.rcv.shift.count());
        Snapshot {
            local: connection.tuple.local(),
            remote: connection.tuple.remote(),
            state: connection.state(),
            origin: connection.origin,
            orphan: connection.orphan,
            send_mss: connection.snd.mss,
            path_mtu: connection.path_mtu(),
            segment_payload: connection.segment_payload(),
            announced_mss: connection.rcv.mss,
            timestamps: connection.agreed.timestamps,
            sack: connection.agreed.sack,
            window_shift: connection.agreed.scaling.then_some(shifts),
            srtt: connection.rtt.srtt(),
            rttvar: connection.rtt.rttvar(),
            rto: connection.rto(config).duration(),
            backoff: connection.backoff,
            congestion: connection.congestion.algorithm(),
            cwnd: controller.window(),
            ssthresh: controller.slow_start_threshold(),
            pacing_rate: controller.pacing_rate(),
            bandwidth: model.map(|model| model.bandwidth()),
            model_min_rtt: model.and_then(|model| model.min_rtt()),
            recovering: connection.recovery.phase != Phase::Open,
            phase: connection.recovery.phase,
            in_flight: connection.in_flight(),
            sacked: sent.map_or(0, |sent| sent.sacked().octets()),
            lost: sent.map_or(0, |sent| sent.lost().octets()),
            reordering: connection.reordering.seen,
            reordering_degree: connection.reordering.degree(),
            reordering_multiplier: connection.reordering.multiplier(),
            min_rtt: connection.min_rtt.get(),
            snd_una: connection.snd.una.since(connection.snd.iss),
            snd_nxt: connection.snd.nxt.since(connection.snd.iss),
            snd_wnd: connection.snd.wnd,
            rcv_nxt: connection.rcv.nxt.since(connection.rcv.irs),
            rcv_wnd: connection.rcv.wnd(),
            flight: connection.flight(),
            unsent: connection.unsent(),
            unread: u32::try_from(connection.receive_buffer.readable()).unwrap_or(u32::MAX),
            out_of_order: u32::try_from(connection.receive_buffer.out_of_order_bytes()).unwrap_or(u32::MAX),
            statistics: connection.statistics,
        }
    }
}
