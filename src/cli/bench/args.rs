//! What `glasstcp bench` can be told.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use clap::{ArgGroup, Args, Subcommand};

use crate::cli::Failure;
use crate::cli::args::{Stack, host, seconds};
use crate::tcp::congestion::Algorithm;

/// The port of the echo service (RFC 862).
pub(super) const ECHO: u16 = 7;
/// The port of the discard service (RFC 863).
pub(super) const DISCARD: u16 = 9;
/// The port of the character generator (RFC 864).
pub(super) const CHARGEN: u16 = 19;
/// Most connections of a test with a thread for each.
const MAX_FLOWS: i64 = 256;
/// Most octets of one request of `--rr`: it is on its way as a whole before somebody reads the reply.
const MAX_REQUEST: i64 = 1 << 16;
/// Most connections to hold. Beyond about 28,000 the kernel's client has no ports left for one server.
const MAX_IDLE: i64 = 1 << 18;

/// `glasstcp bench`.
#[derive(Debug, Args)]
pub(in crate::cli) struct Bench {
    #[command(subcommand)]
    pub(super) side: Side,
}

pub(in crate::cli) const EXAMPLES: &str = "\
Both sides speak the standard services: echo on port 7, discard on 9, characters on 19. `glasstcp serve` is the server over this stack, `glasstcp bench server --kernel` the same over the kernel's sockets.

Examples:
  glasstcp serve                                       in one terminal; then, in another,
  glasstcp bench client --kernel --in 10.0.0.2         the kernel sends, our stack receives
  glasstcp bench client --kernel --rr 1 10.0.0.2       round trips of one byte

  glasstcp bench server --kernel 127.0.0.1:20000       two kernels: ports 20007, 20009, 20019
  glasstcp bench client --kernel --out 127.0.0.1:20000

scripts/bench.sh compares this stack with the kernel's and with smoltcp; docs/performance.md explains it.";

#[derive(Debug, Subcommand)]
pub(super) enum Side {
    /// Measure against a server
    #[command(after_help = CLIENT_EXAMPLES)]
    Client(Box<Client>),
    /// Serve echo, discard and characters over the kernel's sockets
    Server(Server),
}

/// `glasstcp bench client`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("test").required(true))]
pub(super) struct Client {
    /// The server's IP address; with :BASE the services are on ports BASE+7, BASE+9 and BASE+19
    #[arg(value_name = "ADDR[:BASE]", value_parser = target)]
    pub(super) target: Target,
    /// Throughput into the server: send to port 9 until the server has taken everything
    #[arg(long = "in", group = "test", help_heading = "What to measure")]
    pub(super) inward: bool,
    /// Throughput out of the server: receive from port 19
    #[arg(long = "out", group = "test", help_heading = "What to measure")]
    pub(super) outward: bool,
    /// Throughput both ways at once: send to port 7 and receive it again
    #[arg(long, group = "test", help_heading = "What to measure")]
    pub(super) echo: bool,
    /// Round trips: send so many bytes to port 7, wait until they are back, and again
    #[arg(long, value_name = "SIZE", group = "test", help_heading = "What to measure",
        value_parser = clap::value_parser!(u32).range(1..=MAX_REQUEST))]
    pub(super) rr: Option<u32>,
    /// Connections: connect to port 7, one byte there and back, close, and again
    #[arg(long, group = "test", help_heading = "What to measure")]
    pub(super) crr: bool,
    /// Hold so many connections to port 7 open, until the end of standard input or for --time
    #[arg(long, value_name = "N", group = "test", help_heading = "What to measure",
        value_parser = clap::value_parser!(u32).range(1..=MAX_IDLE))]
    pub(super) idle: Option<u32>,
    /// Seconds to measure, after the warm-up [default: 5; with --idle until the end of standard input]
    #[arg(short, long, value_name = "SECONDS", value_parser = seconds, help_heading = "How")]
    pub(super) time: Option<Duration>,
    /// Seconds at the start that do not count
    #[arg(long, value_name = "SECONDS", default_value = "0.5", value_parser = seconds, help_heading = "How")]
    pub(super) warm_up: Duration,
    /// Move so many bytes on each connection, instead of a time; there is no warm-up then
    #[arg(short, long, value_name = "N", conflicts_with_all = ["time", "rr", "crr", "idle"], help_heading = "How",
        value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) bytes: Option<u64>,
    /// Connections at a time, with a thread for each
    #[arg(long, value_name = "N", default_value_t = 1, conflicts_with = "idle", help_heading = "How",
        value_parser = clap::value_parser!(u16).range(1..=MAX_FLOWS))]
    pub(super) flows: u16,
    /// Compare every byte received with what it must be; what --rr and --crr receive is always compared
    #[arg(long, conflicts_with = "inward", help_heading = "How")]
    pub(super) verify: bool,
    /// With --crr: close by RST instead of FIN, which leaves no TIME-WAIT behind
    #[arg(long, conflicts_with_all = ["inward", "outward", "echo", "rr", "idle"], help_heading = "How")]
    pub(super) reset: bool,
    /// Print the result as JSON; progress goes to standard error
    #[arg(long, help_heading = "How")]
    pub(super) json: bool,
    /// No progress
    #[arg(short, long, help_heading = "How")]
    pub(super) quiet: bool,
    /// Use the kernel's sockets instead of this stack
    #[arg(long, help_heading = "How", conflicts_with = "Stack")]
    pub(super) kernel: bool,
    /// Congestion control: cubic, reno or bbr; with --kernel any that the kernel has, and "default" leaves the kernel's choice
    /// (BBR limits a flow on a fast link)
    #[arg(long, value_name = "NAME", default_value = "cubic", help_heading = "How")]
    pub(super) congestion: String,
    #[command(flatten)]
    pub(super) stack: Stack,
}

impl Client {
    /// The congestion control of this stack.
    pub(super) fn algorithm(&self) -> Result<Algorithm, Failure> {
        let name = congestion(&self.congestion).map(str::parse).transpose();
        Ok(name.map_err(|error| format!("--congestion {}: {error}", self.congestion))?.unwrap_or_default())
    }
}

const CLIENT_EXAMPLES: &str = "\
Exit codes: 0 measured, 1 failed (also where a byte was wrong), 2 wrong usage. Ctrl-C ends with what was measured so far.

Examples:
  glasstcp bench client --kernel --in --time 3 10.0.0.2
  glasstcp bench client --kernel --out --verify --bytes 1000000000 10.0.0.2
  glasstcp bench client --kernel --rr 1024 --json 10.0.0.2
  glasstcp bench client --kernel --idle 10000 10.0.0.2
  glasstcp bench client --out 10.0.0.1              this stack on the TUN glass0 is the client";

/// `glasstcp bench server`.
#[derive(Debug, Args)]
pub(super) struct Server {
    /// The IP address to serve on; with :BASE the services are on ports BASE+7, BASE+9 and BASE+19
    #[arg(value_name = "ADDR[:BASE]", value_parser = target)]
    pub(super) target: Target,
    /// Serve over the kernel's sockets; the server over this stack is `glasstcp serve`
    #[arg(long, required = true)]
    pub(super) kernel: bool,
    /// Congestion control of the sockets; "default" leaves the kernel's choice
    #[arg(long, value_name = "NAME", default_value = "cubic")]
    pub(super) congestion: String,
}

/// Where the services are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Target {
    address: IpAddr,
    base: u16,
}

impl Target {
    /// The address of the service with this standard port.
    pub(super) fn service(self, port: u16) -> SocketAddr {
        // `target` has refused bases for which this is too much.
        SocketAddr::new(self.address, self.base.saturating_add(port))
    }
}

fn target(text: &str) -> Result<Target, String> {
    let (address, base) = match text.rsplit_once(':') {
        // A colon after another one and without brackets is inside an IPv6 address.
        Some((address, base)) if address.ends_with(']') || !address.contains(':') => (address, Some(base)),
        _ => (text, None),
    };
    let most = u16::MAX - CHARGEN;
    let base = match base.map(str::parse) {
        None => 0,
        Some(Ok(base)) if base <= most => base,
        Some(_) => return Err(format!("'{text}': what is added to the ports is a number from 0 to {most}")),
    };
    Ok(Target { address: host(address)?, base })
}

/// The congestion control to ask for, if not the kernel's own choice.
pub(super) fn congestion(name: &str) -> Option<&str> {
    Some(name).filter(|&name| name != "default")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_read() {
        let port = |text: &str| target(text).map(|target| target.service(CHARGEN).to_string());
        assert_eq!(port("10.0.0.2"), Ok("10.0.0.2:19".into()));
        assert_eq!(port("10.0.0.2:20000"), Ok("10.0.0.2:20019".into()));
        assert_eq!(port("fd00::2"), Ok("[fd00::2]:19".into()));
        assert_eq!(port("[fd00::2]"), Ok("[fd00::2]:19".into()));
        assert_eq!(port("[fd00::2]:1000"), Ok("[fd00::2]:1019".into()));
        for bad in ["localhost", "10.0.0.2:65530", "10.0.0.2:x", "10.0.0.2:", "[fd00::2]:-1", ""] {
            assert!(port(bad).is_err(), "{bad}");
        }
        assert!(target("example.org:5").unwrap_err().contains("only literal addresses"));
    }
}
