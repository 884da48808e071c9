//! What `glasstcp relay` can be told.

use std::time::Duration;

use clap::{ArgGroup, Args};

use crate::cli::sim::units::{Bursts, Chance, Outage, Queue, Rate, Span};
use crate::device::impair::{Burst, Change, Impairment};
use crate::sim::dumbbell::QueueLength;

/// `glasstcp relay`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("left side").args(["left", "left_fd"]).required(true))]
#[command(group = ArgGroup::new("right side").args(["right", "right_fd"]).required(true))]
pub(in crate::cli) struct Relay {
    /// TUN on the left, the sender's side; it is created if there is none
    #[arg(long, value_name = "TUN", help_heading = "Sides")]
    pub(super) left: Option<String>,
    /// An open descriptor on the left: one raw IP packet per read and per write
    #[arg(long, value_name = "FD", help_heading = "Sides")]
    pub(super) left_fd: Option<i32>,
    /// TUN on the right
    #[arg(long, value_name = "TUN", help_heading = "Sides")]
    pub(super) right: Option<String>,
    /// An open descriptor on the right
    #[arg(long, value_name = "FD", help_heading = "Sides")]
    pub(super) right_fd: Option<i32>,

    /// Rate of the line, each way [default: unlimited]
    #[arg(long, value_name = "RATE", help_heading = "The path")]
    rate: Option<Rate>,
    /// Delay, each way
    #[arg(long, value_name = "TIME", default_value = "0", help_heading = "The path")]
    delay: Span,
    /// Queue before the line, each way: bytes, packets (100p) or multiples of what rate and round trip hold
    #[arg(long, value_name = "LENGTH", default_value = "1bdp", help_heading = "The path")]
    queue: Queue,
    /// Packets lost on the way to the right
    #[arg(long, value_name = "%", default_value = "0", help_heading = "The path")]
    loss: Chance,
    /// Packets lost on the way back: acknowledgments, where the left side sends
    #[arg(long, value_name = "%", default_value = "0", help_heading = "The path")]
    ack_loss: Chance,
    /// Bursts of loss on the way to the right: how often one begins, and its length in packets on average
    #[arg(long, value_name = "%xN", help_heading = "The path")]
    burst: Option<Bursts>,
    /// Packets that are overtaken by others on the way to the right
    #[arg(long, value_name = "%", default_value = "0", help_heading = "The path")]
    reorder: Chance,
    /// How much later those come [default: a quarter of the round trip]
    #[arg(long, value_name = "TIME", help_heading = "The path")]
    reorder_delay: Option<Span>,
    /// Packets that come twice, each way
    #[arg(long, value_name = "%", default_value = "0", help_heading = "The path")]
    duplicate: Chance,
    /// Nothing passes either way from a time after the first packet on, for a time; may be given more than once
    #[arg(long, value_name = "AT+TIME", help_heading = "The path")]
    outage: Vec<Outage>,
    /// Decides everything that is left to chance
    #[arg(long, value_name = "N", default_value_t = 1, help_heading = "The path")]
    pub(super) seed: u64,

    /// Print the counts as JSON
    #[arg(long, help_heading = "Output")]
    pub(super) json: bool,
}

pub(in crate::cli) const EXAMPLES: &str = "\
What the simulator does to packets, done to real ones: between two TUNs, each of which may be in a network namespace of its own. A TUN that was opened here stays connected when it is moved into another namespace:

  glasstcp relay --left left0 --right right0 --rate 100mbit --delay 10ms --loss 1% &
  ip link set left0 netns client; ip link set right0 netns server      then give them addresses, and `up`

Examples:
  glasstcp relay --left left0 --right right0 --rate 10mbit --delay 50ms --queue 2bdp
  glasstcp relay --left left0 --right right0 --reorder 2% --outage 2s+200ms

SIGINT or SIGTERM ends it. Then it prints what befell the packets, and for each TCP connection how many of its segments were sent again, and how many of those for nothing: an earlier copy had come through.

Packets of more than 1500 bytes are dropped: leave the MTU of the TUNs as it is. No offload is used, so each packet is one segment. scripts/recovery.sh compares this stack with the kernel's over it.";

/// The shortest queue, in packets: with less, no two packets could follow each other.
const MIN_QUEUE: u64 = 2;

impl Relay {
    /// What is done to packets to the right, and to the left.
    pub(super) fn impairments(&self) -> [Impairment; 2] {
        let rtt = self.delay.0 * 2;
        let mut line = Impairment::perfect().delay(self.delay.0).duplicate(self.duplicate.0);
        if let Some(rate) = self.rate {
            line = line.rate(rate.0);
        }
        line = match (self.queue.0, self.rate) {
            (QueueLength::Packets(packets), _) => line.queue_packets(usize::try_from(packets).unwrap_or(usize::MAX)),
            (QueueLength::Bytes(bytes), _) => line.queue(usize::try_from(bytes).unwrap_or(usize::MAX)),
            (QueueLength::BandwidthDelay(thousandths), Some(rate)) => {
                let bytes = u128::from(rate.0) * rtt.as_nanos() / 8_000_000_000 * u128::from(thousandths) / 1_000;
                let bytes = bytes.max(u128::from(MIN_QUEUE) * super::MTU as u128);
                line.queue(usize::try_from(bytes).unwrap_or(usize::MAX))
            }
            // Without a rate there is no queue.
            (QueueLength::BandwidthDelay(_), None) => line,
        };
        let reorder_delay = self.reorder_delay.map_or(rtt / 4, |delay| delay.0);
        let mut forward = line.loss(self.loss.0).reorder(self.reorder.0, reorder_delay);
        forward.burst = self.burst.map(|Bursts(begin, length)| Burst {
            begin_per_million: begin,
            end_per_million: 1_000_000 / length,
            loss_per_million: 1_000_000,
        });
        [forward, line.loss(self.ack_loss.0)]
    }

    /// What changes, counted from the first packet on.
    pub(super) fn changes(&self) -> Vec<(Duration, Change)> {
        let changes = |&Outage(from, lasts): &Outage| [(from, Change::Down), (from + lasts, Change::Up)];
        self.outage.iter().flat_map(changes).collect()
    }
}
