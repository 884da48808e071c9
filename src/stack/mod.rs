//! The stack: all protocol state of one host, without IO, clock or thread of its own.
//!
//! Its owner brings packets, time and calls, and takes packets and readiness. The order in which to do so:
//!
//! ```text
//!   loop {
//!       stack.handle_packet(arrived, packet, &meta)     for every packet that waits, then
//!       stack.handle_deadline(now)                      so that packets are handled before timers that they would stop
//!       while let Some(ready) = stack.poll_ready() {}   tell the application; it calls tcp_receive, tcp_send, ...
//!       stack.transmit(now, budget, |transmit| ...)     what all this made due
//!       wait until stack.next_deadline(), a packet, or a call
//!   }
//! ```
//!
//! [`Stack::next_deadline`] is right once [`Stack::transmit`] has answered [`Progress::Idle`]. A call may make other sockets
//! ready at once (reading gives back the memory for which a writer waits), so ask [`Stack::poll_ready`] after calls too.

mod bindings;
mod connect;
mod datagrams;
mod deferred;
mod demux;
mod echo;
mod echo_options;
mod fast_open;
mod flow;
pub mod flow_table;
mod fragments;
mod groups;
mod icmp;
mod input;
mod listen;
mod listener_calls;
pub mod loopback;
mod outgoing;
mod output;
mod path_mtu;
pub mod port;
mod ready;
mod records;
pub mod siblings;
pub mod slab;
mod starved;
mod syn_room;
mod tcp_calls;
mod tcp_input;
mod timer_heap;
pub mod timer_wheel;
mod timers;
mod traced;
mod udp;
mod udp_input;
mod udp_send;

use std::collections::VecDeque;
use std::net::IpAddr;

pub use crate::ip::bind::BindOptions;
pub use connect::ConnectError;
pub use deferred::PendingSyn;
pub use echo::{EchoReply, max_echo_data};
pub use flow::{EchoHandle, ListenerHandle, SocketHandle, SynHandle, TcpHandle, UdpHandle};
pub use listen::ListenOptions;
pub use output::{Progress, Transmit, WouldBlock};
pub use ready::{Readiness, Ready};

use crate::buffer::Pool;
use crate::config::Config;
use crate::counters::Counters;
use crate::ip::address::is_connectable;
use crate::ip::error_limit::ErrorLimit;
use crate::ip::identification::Identifications;
use crate::ip::multicast::Groups;
use crate::ip::path_mtu::PathMtus;
use crate::ip::rate_limit::PeerLimit;
use crate::ip::reassembly::Reassembly;
use crate::ip::sent_datagrams::SentDatagrams;
use crate::rng::KeyedRng;
use crate::tcp::FourTuple;
use crate::tcp::connection::{Connection, Context, Donor};
use crate::tcp::fast_open::Key;
use crate::tcp::half_open::HalfOpen;
use crate::tcp::initial_sequence::SequenceGenerator;
use crate::tcp::listener::Listener;
use crate::tcp::plan::Limits;
use crate::tcp::recovery::TransferPool;
use crate::tcp::syn_cookie::CookieJar;
use crate::tcp::time_wait::TimeWait;
use crate::tcp::{ecn_cache, fast_open_cache};
use crate::time::Instant;
use crate::udp::{Memory, Socket};

use bindings::{Bindings, Kind};
use flow::{Flow, PackedFlow};
use flow_table::{FlowHasher, FlowTable};
use outgoing::OutgoingQueue;
use port::PortAllocator;
use siblings::{Inquiry, Share};
use slab::{Slab, SlabKey};
use timer_wheel::{TimerId, TimerWheel};

/// A half-open record in its table.
#[derive(Debug)]
struct HalfOpenEntry {
    tuple: FourTuple,
    listener: ListenerHandle,
    timer: TimerId,
    verdict: deferred::Verdict,
    record: HalfOpen,
}

/// A connection in its table.
#[derive(Debug)]
struct ConnectionEntry {
    connection: Connection,
    timer: TimerId,
    /// It stands in the queue of those that may have something to send.
    queued: bool,
    /// It stands in the list of those that are ready.
    listed: bool,
    /// The four-tuple no longer leads here: the connection is over, or a TIME-WAIT record has taken its place.
    detached: bool,
    /// Its application was told to wait because buffer memory was used up.
    starved: bool,
    /// It was told since that there is memory again, in this round of [`starved::Starved`].
    promised: u32,
    /// Its peer is this host itself.
    inside: bool,
    /// It waits to be accepted.
    waits: bool,
    /// The listener that has opened it by Fast Open, and counts it while its handshake goes on.
    opener: Option<ListenerHandle>,
}

/// A TIME-WAIT record in its table.
#[derive(Debug)]
struct TimeWaitEntry {
    tuple: FourTuple,
    timer: TimerId,
    /// The connection whose last state this is, as long as the application holds it.
    connection: TcpHandle,
    record: TimeWait,
}

/// All protocol state of one host. See the module's text for the order of its calls.
#[derive(Debug)]
pub struct Stack {
    config: Config,
    counters: Counters,
    /// The latest time that any call brought. Time never goes back.
    now: Instant,
    limits: Limits,
    offload_checksum: bool,
    /// The device cuts super-datagrams.
    cuts_datagrams: bool,
    pool: Pool,
    transfers: TransferPool,
    /// The chunk of the packet that is being handled, and the connection that keeps it.
    donor: Donor,
    donated_to: Option<SlabKey>,
    // Tables, and what leads to them.
    flows: FlowTable<PackedFlow>,
    hasher: FlowHasher,
    /// The flow of the last segment, as long as its tuple leads to it.
    last_flow: Option<Flow>,
    wheel: TimerWheel,
    listeners: Slab<Listener<TcpHandle, SynHandle>>,
    listening: Bindings<ListenerHandle>,
    half_open: Slab<HalfOpenEntry>,
    syn_room: syn_room::SynRoom,
    connections: Slab<ConnectionEntry>,
    time_wait: Slab<TimeWaitEntry>,
    /// TIME-WAIT records, oldest first; some may be gone already.
    time_wait_order: VecDeque<SlabKey>,
    sockets: Slab<Socket>,
    bound: Bindings<UdpHandle>,
    /// Those that have a peer, by their port and the peer.
    connected: FlowTable<SlabKey>,
    udp_memory: Memory,
    groups: Groups,
    echoes: echo::Echoes,
    reassembly: Reassembly,
    /// What was reassembled last, where it was left to the siblings.
    reassembled: Option<Vec<u8>>,
    /// The paths that are narrower than our link.
    paths: PathMtus,
    /// The same by errors about answers, which anybody may have brought us to send: for datagrams alone.
    paths_of_answers: PathMtus,
    sent_datagrams: SentDatagrams,
    // Queues.
    to_send: VecDeque<SlabKey>,
    loopback: loopback::Loopback,
    /// The packet that is being handled never left this host.
    inside: bool,
    outgoing: OutgoingQueue,
    datagrams: datagrams::SendQueue,
    ready: VecDeque<SocketHandle>,
    starved: starved::Starved,
    // Secrets and choices.
    sequence: SequenceGenerator,
    cookies: CookieJar,
    fast_open_master: Key,
    /// What is known of servers that take Fast Open.
    fast_opens: fast_open_cache::Cache,
    /// To whom SYNs that ask for Accurate ECN do not get through.
    ecn_failures: ecn_cache::Cache,
    ports: PortAllocator,
    share: Share,
    /// There are siblings to ask before an unknown packet is answered.
    asks: bool,
    /// About what.
    inquiry: Option<Inquiry>,
    identification: u16,
    identifications: Identifications,
    resets: PeerLimit,
    icmp_errors: ErrorLimit,
    /// Notes of packets, while somebody wants them.
    traced: Option<Box<traced::Notes>>,
}

impl Stack {
    /// A stack with these settings. All its secrets and choices come from `rng`.
    ///
    /// # Errors
    /// What is wrong with the settings (see [`Config::validate`]).
    pub fn new(config: Config, mut rng: KeyedRng, now: Instant) -> Result<Stack, String> {
        config.validate()?;
        let hasher = FlowHasher::new(rng.key());
        let mut limits = Limits::default();
        limits.set_habits(&config.tcp.habits);
        Ok(Stack {
            now,
            limits,
            offload_checksum: false,
            cuts_datagrams: false,
            pool: Pool::new(config.tcp.buffer_memory),
            transfers: TransferPool::default(),
            donor: Donor::None,
            donated_to: None,
            flows: FlowTable::new(),
            listening: Bindings::new(Kind::Listeners, hasher.clone()),
            bound: Bindings::new(Kind::Datagrams, hasher.clone()),
            hasher,
            last_flow: None,
            wheel: TimerWheel::new(),
            listeners: Slab::with_limit(u32::from(u16::MAX)),
            half_open: Slab::with_limit(config.tcp.max_half_open.min(flow::MAX_ENTRIES)),
            syn_room: syn_room::SynRoom::default(),
            connections: Slab::with_limit(config.tcp.max_connections.min(flow::MAX_ENTRIES)),
            time_wait: Slab::with_limit(config.tcp.max_time_wait.clamp(1, flow::MAX_ENTRIES)),
            time_wait_order: VecDeque::new(),
            sockets: Slab::with_limit(config.max_udp_sockets),
            connected: FlowTable::new(),
            udp_memory: Memory::new(config.udp_memory),
            echoes: echo::Echoes::default(),
            paths: PathMtus::new(config.path_mtu),
            paths_of_answers: PathMtus::new(config.path_mtu),
            sent_datagrams: SentDatagrams::default(),
            to_send: VecDeque::new(),
            loopback: loopback::Loopback::default(),
            inside: false,
            outgoing: OutgoingQueue::default(),
            datagrams: datagrams::SendQueue::default(),
            ready: VecDeque::new(),
            starved: starved::Starved::default(),
            sequence: SequenceGenerator::new(rng.key(), rng.key()),
            cookies: CookieJar::new(rng.key()),
            ports: PortAllocator::new(rng.key(), rng.key(), config.ephemeral_ports.clone()),
            share: Share::WHOLE,
            asks: false,
            inquiry: None,
            identification: rng.below(65_536) as u16,
            groups: Groups::new(KeyedRng::new(rng.key())),
            identifications: Identifications::new([rng.key(), rng.key(), rng.key()]),
            reassembly: Reassembly::new(config.reassembly_memory),
            reassembled: None,
            fast_open_master: Key(rng.key()),
            fast_opens: fast_open_cache::Cache::default(),
            ecn_failures: ecn_cache::Cache::default(),
            resets: PeerLimit::new(config.tcp.resets_per_second, now),
            icmp_errors: ErrorLimit::new(config.icmp_errors_per_second, now),
            counters: Counters::default(),
            traced: None,
            config,
        })
    }

    /// Tells what the device can do: the largest packet that it takes in one piece and cuts by itself (up to the MTU:
    /// it cuts nothing), and whether it completes checksums.
    pub fn set_offload(&mut self, max_packet: usize, checksum: bool) {
        // A device that takes no more than the MTU cuts nothing, and the peer's MSS may be smaller than ours.
        let cuts = max_packet > self.config.mtu;
        self.limits.max_packet = if cuts { u32::try_from(max_packet).unwrap_or(u32::MAX) } else { 0 };
        self.offload_checksum = checksum;
    }

    /// Tells the largest packet over IPv4 that the device takes although its header cannot say its length (BIG TCP); 0: none.
    /// Such packets carry new text until the first retransmission: whatever loses one might lose them all.
    pub fn set_big_packets(&mut self, max_packet: usize) {
        self.limits.big_packet = u32::try_from(max_packet).unwrap_or(u32::MAX);
    }

    /// Tells how many packets wait for us in the device's queue at most (`txqueuelen` of a TUN), where each of them is one
    /// segment; `None` where that is not known or where packets are super-segments. See [`TcpConfig::queue_limit`].
    ///
    /// [`TcpConfig::queue_limit`]: crate::tcp::config::TcpConfig::queue_limit
    pub fn set_queue_limit(&mut self, packets: Option<u32>) {
        self.config.tcp.queue_limit = packets;
    }

    /// Changes settings, for what is opened and what happens from now on. The sizes of tables and of memory stay as they were
    /// at the start.
    ///
    /// # Errors
    /// What is wrong with the new settings (see [`Config::validate`]); nothing is changed then.
    pub fn configure(&mut self, change: impl FnOnce(&mut Config)) -> Result<(), String> {
        let mut config = self.config.clone();
        change(&mut config);
        config.validate()?;
        self.limits.set_habits(&config.tcp.habits);
        self.config = config;
        Ok(())
    }

    /// The settings.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The counters.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Octets of buffer memory in use.
    pub fn buffer_memory(&self) -> usize {
        self.pool.charged()
    }

    /// How many half-open records, connections (those that are over but still held included) and TIME-WAIT records
    /// there are.
    pub fn table_sizes(&self) -> (u32, u32, u32) {
        (self.half_open.len(), self.connections.len(), self.time_wait.len())
    }

    /// Four-tuples that lead to any of these.
    pub fn flows(&self) -> u32 {
        self.flows.len()
    }

    /// When [`Stack::handle_deadline`] is next needed. It may find nothing to do then: what it was to look after may have
    /// been settled by an ACK since.
    pub fn next_deadline(&self) -> Option<Instant> {
        let others = [self.starved.again_at, self.groups.next_deadline(), self.reassembly.next_deadline()];
        self.wheel.next_deadline().into_iter().chain(others.into_iter().flatten()).min()
    }

    /// The latest time that any call brought.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// Takes note of the time; it never goes back.
    fn advance_to(&mut self, now: Instant) -> Instant {
        self.now = self.now.max(now);
        self.now
    }

    fn is_own(&self, address: IpAddr) -> bool {
        self.config.addresses.iter().any(|cidr| cidr.address == address)
    }

    /// An address that a socket may have: one of ours, one of the loopback network, or in any-address mode that of any host.
    fn may_be_local(&self, address: IpAddr) -> bool {
        self.is_inside(address) || self.config.any_address && is_connectable(address, &self.config.addresses)
    }

    /// The connection between these two ends.
    #[cfg(feature = "packetdrill")]
    pub(crate) fn tcp_between(&self, local: std::net::SocketAddr, remote: std::net::SocketAddr) -> Option<TcpHandle> {
        match self.flow(&FourTuple::new(local, remote))? {
            Flow::Connection(key) => Some(TcpHandle(key)),
            _ => None,
        }
    }

    /// A connection as it is, for a host that does with it what no application can.
    #[cfg(feature = "packetdrill")]
    pub(crate) fn with_tcp<R>(
        &mut self,
        handle: TcpHandle,
        call: impl FnOnce(&mut Connection, &mut Context<'_>) -> R,
    ) -> Option<R> {
        let result = self.with_connection(handle.0, self.now, call);
        self.touch(handle.0);
        result
    }

    /// One connection, with all that its functions may use.
    fn with_connection<R>(
        &mut self,
        key: SlabKey,
        now: Instant,
        call: impl FnOnce(&mut Connection, &mut Context<'_>) -> R,
    ) -> Option<R> {
        let entry = self.connections.get_mut(key)?;
        let mut cx = Context {
            now,
            config: &self.config.tcp,
            pool: &mut self.pool,
            transfers: &mut self.transfers,
            counters: &mut self.counters,
            paths: &mut self.paths,
            donor: &mut self.donor,
            max_packet: self.limits.max_packet,
        };
        Some(call(&mut entry.connection, &mut cx))
    }
}
