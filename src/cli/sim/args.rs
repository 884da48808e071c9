//! What `glasstcp sim` can be told, on the command line and in a file.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde::Deserialize;

use super::units::{Bursts, Bytes, Chance, Controller, Outage, PathMtu, Queue, Rate, Route, Span};

/// `glasstcp sim`.
#[derive(Debug, Args)]
pub(in crate::cli) struct Sim {
    /// A file that describes the scenario, see below; options win over what it says
    #[arg(value_name = "SCENARIO")]
    pub(super) scenario: Option<PathBuf>,
    #[command(flatten)]
    pub(super) options: Options,
    /// Print the result as JSON
    #[arg(long, help_heading = "Output")]
    pub(super) json: bool,
    /// Draw the course of it: sequence numbers, windows, and the queue of the bottleneck
    #[arg(long, value_name = "FILE.svg", help_heading = "Output")]
    pub(super) plot: Option<PathBuf>,
    /// Write what each node saw as NAME.pcapng into this directory
    #[arg(long, value_name = "DIR", help_heading = "Output")]
    pub(super) pcap: Option<PathBuf>,
    /// No progress
    #[arg(short, long, help_heading = "Output")]
    pub(super) quiet: bool,
}

/// What describes a dumbbell, on the command line or in a file.
#[derive(Debug, Default, Args, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(super) struct Options {
    /// Rate of the bottleneck [default: 100mbit]
    #[arg(long, value_name = "RATE", help_heading = "The bottleneck")]
    pub(super) rate: Option<Rate>,
    /// Its queue: bytes, packets (100p) or multiples of what rate and round trip hold (1bdp) [default: 1bdp]
    #[arg(long, value_name = "LENGTH", help_heading = "The bottleneck")]
    pub(super) queue: Option<Queue>,
    /// How the queue is managed [default: drop-tail]
    #[arg(long, value_name = "KIND", value_enum, help_heading = "The bottleneck")]
    pub(super) discipline: Option<Kind>,
    /// CoDel and RED mark packets of flows with ECN instead of dropping them
    #[arg(long, help_heading = "The bottleneck", num_args = 0, default_missing_value = "true")]
    pub(super) ecn: Option<bool>,
    /// Packets lost by chance on the way to the receivers
    #[arg(long, value_name = "%", help_heading = "The bottleneck")]
    pub(super) loss: Option<Chance>,
    /// Bursts of loss: how often one begins, and how many packets it is long on average
    #[arg(long, value_name = "%xN", help_heading = "The bottleneck")]
    pub(super) burst: Option<Bursts>,
    /// Packets lost by chance on the way back: acknowledgments
    #[arg(long, value_name = "%", help_heading = "The bottleneck")]
    pub(super) ack_loss: Option<Chance>,
    /// Packets that are overtaken by others
    #[arg(long, value_name = "%", help_heading = "The bottleneck")]
    pub(super) reorder: Option<Chance>,
    /// How much later those come [default: a quarter of the round trip]
    #[arg(long, value_name = "TIME", help_heading = "The bottleneck")]
    pub(super) reorder_delay: Option<Span>,
    /// Packets that come twice
    #[arg(long, value_name = "%", help_heading = "The bottleneck")]
    pub(super) duplicate: Option<Chance>,
    /// Packets with a flipped bit
    #[arg(long, value_name = "%", help_heading = "The bottleneck")]
    pub(super) corrupt: Option<Chance>,
    /// Delay of each packet that is left to chance
    #[arg(long, value_name = "TIME", help_heading = "The bottleneck")]
    pub(super) jitter: Option<Span>,
    /// The largest packet that passes; the router before it tells the senders, or is `,silent`
    #[arg(long, value_name = "BYTES", help_heading = "The bottleneck")]
    pub(super) path_mtu: Option<PathMtu>,
    /// Nothing passes from a time on, for a time; may be given more than once
    #[arg(long, value_name = "AT+TIME", help_heading = "The bottleneck")]
    pub(super) outage: Vec<Outage>,
    /// The route changes at a time, and the shortest round trip with it; may be given more than once
    #[arg(long, value_name = "AT=RTT", help_heading = "The bottleneck")]
    pub(super) route: Vec<Route>,

    /// How many flows [default: 1]
    #[arg(long, value_name = "N", help_heading = "The flows")]
    pub(super) flows: Option<usize>,
    /// Congestion control, of one flow after the other [default: that of the stack]
    #[arg(long, value_name = "NAMES", value_delimiter = ',', help_heading = "The flows")]
    pub(super) congestion: Vec<Controller>,
    /// Round-trip time without queue, of one flow after the other [default: 20ms]
    #[arg(long, value_name = "TIMES", value_delimiter = ',', help_heading = "The flows")]
    pub(super) rtt: Vec<Span>,
    /// Bytes of each flow [default: as many as it can until the end]
    #[arg(long, value_name = "BYTES", help_heading = "The flows")]
    pub(super) bytes: Option<Bytes>,
    /// Each flow begins so much later than the one before [default: 0]
    #[arg(long, value_name = "TIME", help_heading = "The flows")]
    pub(super) stagger: Option<Span>,
    /// The largest packet in bytes [default: 1500]
    #[arg(long, value_name = "BYTES", help_heading = "The flows")]
    pub(super) mtu: Option<usize>,

    /// How long at most, in virtual time [default: 10s]
    #[arg(long, value_name = "TIME", help_heading = "The run")]
    pub(super) duration: Option<Span>,
    /// Decides everything that is left to chance [default: 1]
    #[arg(long, value_name = "N", help_heading = "The run")]
    pub(super) seed: Option<u64>,

    /// Flows one by one, in a file only.
    #[arg(skip)]
    pub(super) flow: Vec<super::scenario::Flow>,
    /// Links of any network, in a file only.
    #[arg(skip)]
    pub(super) link: Vec<super::scenario::Link>,
    /// Which link is looked at, in a file only.
    #[arg(skip)]
    pub(super) bottleneck: Option<[String; 2]>,
}

/// How a queue is managed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Kind {
    /// What finds no room is dropped
    DropTail,
    /// RFC 8289
    #[value(name = "codel")]
    #[serde(rename = "codel")]
    CoDel,
    /// Random early detection
    Red,
}

pub(in crate::cli) const EXAMPLES: &str = "\
Senders on the left, receivers on the right, each with a whole stack of its own, and one bottleneck between two routers, in virtual time. Nothing touches a network. The same seed gives the same bytes everywhere.

Examples:
  glasstcp sim                                         one flow, 100 Mb/s, 20 ms, no loss, 10 s
  glasstcp sim --loss 1% --plot loss.svg               what a lost packet in a hundred does, with a picture
  glasstcp sim --flows 2 --rtt 10ms,50ms --stagger 2s  two flows that share
  glasstcp sim --rate 10mbit --queue 4bdp --discipline codel
  glasstcp sim --burst 0.1%x10 --reorder 2% --json
  glasstcp sim --outage 2s+200ms --pcap traces         traces/sender0.pcapng and so on, for Wireshark
  glasstcp sim examples/scenarios/parking-lot.toml     any network, from a file

A retransmission is spurious if an earlier copy of it arrived: the simulator sees that, as it sees the links.

A scenario is a file of TOML. It has the options above by their names (rtt = [\"10ms\", \"50ms\"], loss = \"1%\"), and perhaps
  [[flow]]   one flow: congestion, rtt, start, bytes; with links of its own also from and to
  [[link]]   one link of any network: ends = [\"a\", \"b\"], rate, delay, queue, discipline, loss, ... and back.loss, ...
             for the other direction; a node that no flow begins or ends at is a router
  bottleneck = [\"a\", \"b\"]: the link and direction to look at
examples/scenarios has some.";
