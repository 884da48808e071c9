//! A stack, who uses it, and what that application knows.

use std::net::SocketAddr;

use glasstcp::config::Config;
use glasstcp::error::SocketError;
use glasstcp::rng::KeyedRng;
use glasstcp::stack::{ListenOptions, ListenerHandle, Stack, TcpHandle};
use glasstcp::tcp::connection::Connection;
use glasstcp::tcp::fast_open::ListenFastOpen;
use glasstcp::time::Instant;

use super::action::Side;
use super::cookies::OTHER_KEYS;
use super::scenario::{Cookie, Scenario};

/// What reading came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum End {
    /// The end of the stream.
    Eof,
    /// An error.
    Error(SocketError),
}

/// An application's view of one connection.
#[derive(Clone, Debug)]
pub struct App {
    /// Until it lets go.
    pub handle: Option<TcpHandle>,
    /// Our initial sequence number, by which both views of one connection find each other.
    pub iss: u32,
    /// The peer's, once it is known.
    pub irs: Option<u32>,
    /// What SEND has taken.
    pub sent: Vec<u8>,
    /// What RECEIVE has given.
    pub received: Vec<u8>,
    /// It has closed its sending side in order.
    pub write_closed: bool,
    /// It has aborted.
    pub aborted: bool,
    /// What reading came to.
    pub ended: Option<End>,
    /// It was told that reading is worth while since it last found nothing.
    pub awake: bool,
    /// It has let go, and how many octets had come in order by then.
    pub let_go: Option<u64>,
}

impl App {
    pub(super) fn new(handle: TcpHandle, connection: &Connection) -> App {
        App {
            handle: Some(handle),
            iss: connection.snd.iss.0,
            irs: None,
            sent: Vec::new(),
            received: Vec::new(),
            write_closed: false,
            aborted: false,
            ended: None,
            awake: false,
            let_go: None,
        }
    }
}

/// A stack and who uses it.
#[derive(Debug)]
pub struct Host {
    /// The real thing.
    pub stack: Stack,
    /// Where it listens.
    pub listener: Option<ListenerHandle>,
    /// All connections that the application has had, the current one last.
    pub apps: Vec<App>,
    /// How often it has connected.
    pub opens: u8,
    /// Where it is.
    pub address: SocketAddr,
}

impl Host {
    /// Before anything has happened.
    pub fn new(scenario: &Scenario, side: Side, now: Instant) -> Host {
        let mut config = Config::new(&[format!("10.0.0.{}/24", side + 1).parse().unwrap()]);
        (scenario.change)(&mut config.tcp);
        let address = SocketAddr::from(([10, 0, 0, side + 1], 1_000 * (u16::from(side) + 1)));
        let stack = Stack::new(config, KeyedRng::from_seed(u64::from(side)), now).unwrap();
        Host { stack, listener: None, apps: Vec::new(), opens: 0, address }
    }

    /// It listens, for Fast Open too where its peer asks for that.
    pub fn listen(&mut self, scenario: &Scenario) {
        let used = scenario.cookies.iter().any(|cookie| *cookie != Cookie::Unused);
        let keys = scenario.cookies.contains(&Cookie::Refused).then_some(OTHER_KEYS);
        let fast_open = used.then(|| ListenFastOpen { keys, ..ListenFastOpen::new(4) });
        let socket = self.stack.config().tcp.socket;
        let options = ListenOptions { backlog: 4, socket, fast_open, ..ListenOptions::default() };
        self.listener = Some(self.stack.tcp_listen_with(self.address, &options).unwrap());
    }

    /// The connection of the current application.
    pub fn connection(&self) -> Option<&Connection> {
        self.stack.tcp_connection(self.apps.last()?.handle?)
    }

    /// When anything of this stack is due, by the records themselves.
    pub fn deadline(&self) -> Option<Instant> {
        let connections = self.stack.tcp_connections().filter_map(Connection::next_deadline);
        let half_open = self.stack.half_open_records().filter_map(|(_, _, at)| at);
        let over = self.stack.time_wait_records().map(|(_, record)| record.expires);
        connections.chain(half_open).chain(over).min()
    }
}
