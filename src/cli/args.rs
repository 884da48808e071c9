//! The command line: what `glasstcp` can be told, and the help that explains it.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::log::Filter;
use crate::config::{BusyPoll, MAX_BUSY_POLL};
use crate::ip::IpCidr;
use crate::tcp::congestion::Algorithm;
use crate::tcp::ecn::EcnMode;

/// A TCP/IP stack in user space, on a Linux TUN device, that you can see through
#[derive(Debug, Parser)]
#[command(name = "glasstcp", version, propagate_version = true, after_help = TOUR, max_term_width = 100)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub(super) command: Command,
}

const TOUR: &str = "\
First steps (a TUN is a network interface whose packets a program reads and writes):
  scripts/run.sh                       make a TUN, serve on it, clean up at the end
  glasstcp serve                       serve on the TUN glass0 as 10.0.0.2 and fd00:67::2
  nc 10.0.0.2 80                       in another terminal: the kernel's TCP talks to ours
  glasstcp nc 10.0.0.1 8080            the other way round: ours connects to the kernel

See what happens:
  glasstcp serve --pcap - | wireshark -k -i -
  glasstcp serve --log state           every change of state, and what caused it
  glasstcp states                      the state machine, from the code itself
  glasstcp trace explain FILE.pcapng   what a correct TCP makes of each packet of a capture, and by which rule

`glasstcp COMMAND --help` says more. Exit codes: 0 done, 1 failed, 2 wrong usage.";

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Serve a page, echo, discard, a character generator, and over UDP echo, daytime and names
    #[command(after_help = SERVE_EXAMPLES)]
    Serve(Serve),
    /// Connect to a port, or listen on one, with standard input and output
    #[command(after_help = NC_EXAMPLES)]
    Nc(Nc),
    /// Send echo requests and time the replies
    #[command(after_help = PING_EXAMPLES)]
    Ping(Ping),
    /// Measure throughput, round trips and connections, over this stack or the kernel's
    #[command(after_help = super::bench::EXAMPLES)]
    Bench(super::bench::Bench),
    /// Simulate flows over a network in virtual time, and measure and draw what becomes of them
    #[command(after_help = super::sim::EXAMPLES)]
    Sim(Box<super::sim::Sim>),
    /// Be a bad path between two TUNs: rate, delay, queue, loss, reordering, outages
    #[command(after_help = super::relay::EXAMPLES)]
    Relay(Box<super::relay::Relay>),
    /// Read captures of any stack: what differs between two, what a correct TCP makes of one, a picture of it
    #[command(after_help = super::trace::EXAMPLES)]
    Trace(Box<super::trace::Trace>),
    /// Print the state machine of TCP as a diagram and a table
    States,
}

/// What all commands with a stack take.
#[derive(Debug, Args)]
pub(super) struct Stack {
    /// The TUN to attach to; it is created if there is none
    #[arg(long, value_name = "NAME", default_value = "glass0", help_heading = "Network")]
    pub(super) tun: String,
    /// Use this open descriptor instead: one raw IP packet per read and per write (a TUN, or a datagram socket)
    #[arg(long, value_name = "FD", help_heading = "Network", conflicts_with = "tun")]
    pub(super) tun_fd: Option<i32>,
    /// How to use the TUN: with the kernel's offloads, without, or as the kernel can
    #[arg(long, value_name = "KIND", value_enum, default_value_t, help_heading = "Network", conflicts_with = "tun_fd")]
    #[arg(hide_possible_values = true, long_help = DEVICE_HELP)]
    pub(super) device: DeviceKind,
    /// An address of the stack with its prefix; may be given more than once [default: 10.0.0.2/24 and fd00:67::2/64]
    #[arg(long = "addr", value_name = "ADDRESS/LEN", help_heading = "Network")]
    pub(super) addresses: Vec<IpCidr>,
    /// Take every packet that is routed to the TUN, whatever host it is addressed to, and speak for that host
    #[arg(long, help_heading = "Network")]
    pub(super) any_address: bool,
    /// With --any-address, answer echo requests to the addresses of others, too
    #[arg(long, help_heading = "Network", requires = "any_address")]
    pub(super) answer_echo_for_any: bool,
    /// The largest IP packet in bytes [default: that of the TUN, else 1500]
    #[arg(long, value_name = "BYTES", help_heading = "Network")]
    pub(super) mtu: Option<usize>,

    /// Send super-segments of up to 256 KiB over IPv4 (BIG TCP; Linux 6.3 or later, with --device offload)
    #[arg(long, help_heading = "Network")]
    pub(super) big_tcp: bool,
    /// Ask the device again and again before sleeping on it: auto, while that pays; or for so many microseconds (up to
    /// 10000; 0: never). Answers leave sooner, for a processor that does not rest while packets come
    #[arg(long, value_name = "US", default_value = "auto", value_parser = busy_poll, help_heading = "Network")]
    pub(super) busy_poll: BusyPoll,
    /// Explicit congestion notification: off, accept (with those who ask), request (our own connections ask as well), or accurate
    /// (they ask for Accurate ECN, RFC 9768, and those who ask for it get it)
    #[arg(
        long,
        value_name = "WHEN",
        value_enum,
        default_value_t,
        hide_possible_values = true,
        help_heading = "Network"
    )]
    pub(super) ecn: Ecn,
    /// Write all packets to a pcapng file, as on a wire; - is standard output
    #[arg(long, value_name = "FILE", help_heading = "Look inside")]
    pub(super) pcap: Option<PathBuf>,
    /// The same, as they crossed the device: super-segments whole, their checksums unfinished
    #[arg(long, value_name = "FILE", help_heading = "Look inside")]
    pub(super) pcap_raw: Option<PathBuf>,
    /// What to log on standard error: a level (error, warn, info, debug, trace), or topics, see below
    #[arg(long, value_name = "WHAT", default_value = "warn", help_heading = "Look inside", long_help = LOG_HELP)]
    pub(super) log: Filter,
}

/// Whether to do ECN.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Ecn {
    /// Not at all.
    Off,
    /// With those who ask.
    #[default]
    Accept,
    /// Ask as well.
    Request,
    /// Ask for counters.
    Accurate,
}

impl From<Ecn> for EcnMode {
    fn from(ecn: Ecn) -> EcnMode {
        match ecn {
            Ecn::Off => EcnMode::Off,
            Ecn::Accept => EcnMode::Accept,
            Ecn::Request => EcnMode::Request,
            Ecn::Accurate => EcnMode::RequestAccurate,
        }
    }
}

fn busy_poll(text: &str) -> Result<BusyPoll, String> {
    if text == "auto" {
        return Ok(BusyPoll::Adaptive);
    }
    let most = MAX_BUSY_POLL.as_micros();
    match text.parse().map(Duration::from_micros) {
        Ok(time) if time <= MAX_BUSY_POLL => Ok(BusyPoll::Always(time)),
        _ => Err(format!("auto, or a number of microseconds from 0 to {most}")),
    }
}

/// Which device to make of a TUN.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum DeviceKind {
    /// Offload where the kernel offers it, else plain.
    #[default]
    Auto,
    /// With super-segments, and checksums left to the kernel.
    Offload,
    /// Each packet as on a wire.
    Plain,
}

const DEVICE_HELP: &str = "\
How to use the TUN:

  auto      offload where the kernel offers it, else plain
  offload   the kernel takes and gives super-segments of up to 64 KiB and does the checksums: fast, but tcpdump on the TUN shows large segments with unfinished checksums
  plain     each packet as on a wire";

const LOG_HELP: &str = "\
What to log on standard error: a level (error, warn, info, debug, trace) for everything, and topics, parted by commas. A topic alone is shown in full; with =LEVEL up to that level.

  state      each change of state, and its cause
  recovery   retransmissions and what led to them
  timer      timers that ran out
  drop       packets that were dropped, and why
  output     each segment sent, and why it was sent

To follow one connection, search for its port:
  glasstcp serve --log state,recovery 2>&1 | grep 10.0.0.1:50000

NO_COLOR=1 turns colours off.";

/// `glasstcp serve`.
#[derive(Debug, Args)]
pub(super) struct Serve {
    #[command(flatten)]
    pub(super) stack: Stack,
    /// HTTP: a page that shows your connection, and /connections.json
    #[arg(long, value_name = "PORT", default_value_t = 80, help_heading = "Services (port 0 switches one off)")]
    pub(super) http: u16,
    /// Echo: what you send comes back
    #[arg(long, value_name = "PORT", default_value_t = 7, help_heading = "Services (port 0 switches one off)")]
    pub(super) echo: u16,
    /// Discard: what you send is thrown away
    #[arg(long, value_name = "PORT", default_value_t = 9, help_heading = "Services (port 0 switches one off)")]
    pub(super) discard: u16,
    /// Character generator: an endless pattern in which every byte can be verified
    #[arg(long, value_name = "PORT", default_value_t = 19, help_heading = "Services (port 0 switches one off)")]
    pub(super) chargen: u16,
    /// UDP echo: each datagram comes back
    #[arg(long, value_name = "PORT", default_value_t = 7, help_heading = "Services (port 0 switches one off)")]
    pub(super) udp_echo: u16,
    /// UDP daytime: any datagram is answered with the time, in words
    #[arg(long, value_name = "PORT", default_value_t = 13, help_heading = "Services (port 0 switches one off)")]
    pub(super) udp_daytime: u16,
    /// Names over UDP: glasstcp.test is this stack, whoami.glasstcp.test is who asks
    #[arg(long, value_name = "PORT", default_value_t = 53, help_heading = "Services (port 0 switches one off)")]
    pub(super) dns: u16,
    /// Congestion control of the connections: cubic, reno or bbr
    #[arg(long, value_name = "NAME", default_value_t, help_heading = "Network")]
    pub(super) congestion: Algorithm,
    /// Serve on so many queues of the TUN at once, each with a stack and a thread of its own, to use more processors
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    #[arg(help_heading = "Network", conflicts_with = "tun_fd")]
    pub(super) queues: u16,
    /// Take TCP Fast Open (RFC 7413): a client that has been here before may send its request with the SYN. A copy of such a
    /// SYN may have it answered twice
    #[arg(long, help_heading = "Network")]
    pub(super) fast_open: bool,
    /// Write a line to this open descriptor once everything is served
    #[arg(long, value_name = "FD", value_parser = clap::value_parser!(i32).range(1..), help_heading = "Network")]
    pub(super) ready_fd: Option<i32>,
}

const SERVE_EXAMPLES: &str = "\
Examples:
  glasstcp serve
  glasstcp serve --addr 10.0.0.2/24 --http 8080 --chargen 0
  glasstcp serve --pcap trace.pcapng --log state
  glasstcp serve --pcap - | wireshark -k -i -

What to try from the other side of the TUN:
  curl http://10.0.0.2/                     or open it in a browser
  curl http://10.0.0.2/connections.json     the same for programs
  nc 10.0.0.2 80                            type anything: it says what to type
  nc 10.0.0.2 7                             echo
  nc 10.0.0.2 19 | head                     byte i of the stream is CR if i % 74 = 72, LF if i % 74 = 73,
                                            else the character 32 + (i / 74 + i % 74) % 95 (as in RFC 864)
  nc -u 10.0.0.2 7                          echo of datagrams
  echo | nc -u -w 1 10.0.0.2 13             the time (as in RFC 867)
  dig @10.0.0.2 glasstcp.test               the addresses of the stack
  dig @10.0.0.2 whoami.glasstcp.test TXT    your own
  ping 10.0.0.2

Services of UDP do not answer to ports of services that would answer in turn (echo, daytime, characters, ...), so that no
two of them can be made to talk for ever.

Without root: let somebody with root make the TUN for you once,
  sudo ip tuntap add dev glass0 mode tun user $USER
  sudo ip addr add 10.0.0.1/24 dev glass0
  sudo ip link set glass0 up
With --queues the TUN needs `multi_queue` after `mode tun`. All queues are one host: a connection lives on the queue where
its first packet came in, and packets that come to the wrong queue are handed over. Try one queue for each processor.

Signals: SIGINT or SIGTERM closes all connections with FIN and ends within 3 s, a second one aborts.
SIGUSR1 prints the table of connections.";

/// `glasstcp nc`.
#[derive(Debug, Args)]
#[command(
    override_usage = "glasstcp nc [OPTIONS] HOST PORT\n       glasstcp nc [OPTIONS] -l PORT\n       glasstcp nc [OPTIONS] -u HOST PORT\n       glasstcp nc [OPTIONS] -u -l PORT"
)]
pub(super) struct Nc {
    #[command(flatten)]
    pub(super) stack: Stack,
    /// Congestion control of the connections: cubic, reno or bbr
    #[arg(long, value_name = "NAME", default_value_t, help_heading = "Network")]
    pub(super) congestion: Algorithm,
    /// Listen for one connection instead of making one
    #[arg(short, long)]
    pub(super) listen: bool,
    /// TCP Fast Open (RFC 7413): the first piece of input is sent with the SYN where the server is known to take it, and with -l
    /// that of a peer is taken so. A peer may get such text twice
    #[arg(long, conflicts_with = "udp")]
    pub(super) fast_open: bool,
    /// Datagrams instead of a connection: what is read in one piece is sent in one, up to what the path takes whole
    #[arg(short, long)]
    pub(super) udp: bool,
    /// With -u and -l, join this group and talk with all of it
    #[arg(short, long, value_name = "ADDRESS", requires_all = ["udp", "listen"], value_parser = group)]
    pub(super) group: Option<IpAddr>,
    /// Give up connecting, or waiting for a connection, after so many seconds; with -u, end after so many without a datagram
    #[arg(short = 'w', long, value_name = "SECONDS", value_parser = seconds)]
    pub(super) timeout: Option<Duration>,
    /// HOST (an IP address) and PORT; with -l the PORT alone
    #[arg(required = true, num_args = 1..=2, value_name = "HOST PORT")]
    pub(super) target: Vec<String>,
}

const NC_EXAMPLES: &str = "\
The end of standard input closes our half of the connection (as nc -N does); what the peer still sends is printed. It ends when the peer has closed; input that keeps coming is sent first.

Examples:
  glasstcp nc 10.0.0.1 8080
  printf 'GET / HTTP/1.0\\r\\n\\r\\n' | glasstcp nc 10.0.0.1 80
  glasstcp nc -l 8080 > file
  echo hello | glasstcp nc -u 10.0.0.1 9000
  glasstcp nc -u -l 9000
  glasstcp nc -u -l -g 239.1.2.3 9000

With -u it ends a second (or that of -w) after the end of input, once nothing more comes. With -u -l the sender of the first datagram is the peer from then on.";

/// `glasstcp ping`.
#[derive(Debug, Args)]
pub(super) struct Ping {
    #[command(flatten)]
    pub(super) stack: Stack,
    /// The IP address to ping
    #[arg(value_parser = host)]
    pub(super) host: IpAddr,
    /// Stop after so many requests [default: until Ctrl-C]
    #[arg(short = 'c', long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) count: Option<u64>,
    /// Seconds between requests
    #[arg(short = 'i', long, value_name = "SECONDS", default_value = "1", value_parser = interval)]
    pub(super) interval: Duration,
    /// Bytes of data in each request
    #[arg(short = 's', long, value_name = "BYTES", default_value_t = 56)]
    pub(super) size: u16,
    /// Seconds to wait for the last replies
    #[arg(short = 'W', long, value_name = "SECONDS", default_value = "2", value_parser = seconds)]
    pub(super) wait: Duration,
}

const PING_EXAMPLES: &str = "\
Exit code 1 when no reply came at all.

Examples:
  glasstcp ping 10.0.0.1
  glasstcp ping -c 3 -i 0.2 fd00:67::1";

/// An address of a host; names are refused with the reason.
pub(super) fn host(text: &str) -> Result<IpAddr, String> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    bare.parse().map_err(|_| {
        format!("'{text}' is not an IP address; only literal addresses work so far (`getent hosts {text}` finds that of a name)")
    })
}

/// A multicast address.
fn group(text: &str) -> Result<IpAddr, String> {
    match host(text)? {
        group if group.is_multicast() => Ok(group),
        other => Err(format!("{other} is not the address of a group: 224.0.0.0 to 239.255.255.255, or ff00::/8")),
    }
}

/// A port other than 0.
pub(super) fn port(text: &str) -> Result<u16, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err(format!("'{text}' is not a port: a number from 1 to 65535")),
        Ok(port) => Ok(port),
    }
}

pub(super) fn seconds(text: &str) -> Result<Duration, String> {
    let value: f64 = text.parse().map_err(|_| format!("'{text}' is not a number of seconds"))?;
    match Duration::try_from_secs_f64(value) {
        Ok(duration) if value <= 1e9 => Ok(duration),
        _ => Err(format!("'{text}' is out of range")),
    }
}

/// Below a hundredth of a second, a ping would be a flood.
fn interval(text: &str) -> Result<Duration, String> {
    match seconds(text)? {
        value if value < Duration::from_millis(10) => Err("at least 0.01 s".into()),
        value => Ok(value),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn addresses_and_numbers_are_read() {
        assert_eq!(host("[fd00::1]"), host("fd00::1"));
        assert!(host("example.org").unwrap_err().contains("only literal addresses"));
        assert_eq!(port("80"), Ok(80));
        assert!(port("0").is_err() && port("70000").is_err() && port("http").is_err());
        assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
        for bad in ["-1", "NaN", "inf", "1e300", "x"] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
        assert!(interval("0").is_err());
    }
}
