//! Whose habits the stack has where the RFCs leave a choice: a persona is a set of settings, never a branch by name.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::freebsd;
use crate::config::Config;
use crate::tcp::ecn::EcnMode;
use crate::tcp::habits::Habits;

/// A set of settings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Persona {
    /// As the Linux kernel does with the settings that its packetdrill scripts make.
    #[default]
    Linux,
    /// As this stack does by default.
    Glasstcp,
    /// As the RFCs say to the letter, elsewhere with the defaults of this stack.
    Rfc,
    /// As FreeBSD does with the settings that its packetdrill scripts make.
    FreeBsd,
}

impl Persona {
    /// SO_SNDBUF and SO_RCVBUF are told twice as large as they are: Linux counts its own records among them.
    pub fn doubles_buffers(self) -> bool {
        self != Persona::FreeBsd
    }

    /// Makes the settings its own.
    pub fn apply(self, config: &mut Config) {
        match self {
            // 9293-SHLD-18: an ACK waits for a second segment or for its timer, also at the start.
            Persona::Rfc => {
                config.tcp.quick_acks = 0;
                config.tcp.habits.acknowledge_pairs = true;
            }
            Persona::Glasstcp => {}
            Persona::Linux => linux(config),
            Persona::FreeBsd => freebsd::habits(config),
        }
    }
}

fn linux(config: &mut Config) {
    let tcp = &mut config.tcp;
    tcp.ecn = EcnMode::Off;
    // The largest receive buffer is 15 MiB: a shift count of 8.
    tcp.receive_tuning = 65_535..=15 << 20;
    // The host counts (see `counts_send_memory`).
    tcp.send_capacity = Some(1 << 30);
    tcp.habits = Habits {
        acknowledge_pairs: false,
        whole_segments: false,
        repeat_crossed_fin: false,
        burst: Some(2),
        floor_on_variation: true,
        empty_window_probes: true,
        quick_acks_end_with_reply: true,
        min_loss_probe: Duration::from_millis(2),
        tail_loss_probes: true,
        override_after_rto: true,
        reluctant_window_updates: true,
        grow_by_delivery: true,
        reset_as_closed: true,
        take_missing_timestamps: true,
        silent_on_future_acks: false,
        restart_after_idle: false,
        leave_black_holes: false,
    };
}

impl Persona {
    /// The send buffer is counted as Linux does it (see the module `send_memory`).
    pub(super) fn counts_send_memory(self) -> bool {
        self == Persona::Linux
    }

    /// Shutting the way in down throws away what arrives. Linux only tells a reader that there is nothing where there is
    /// nothing.
    pub(super) fn shutdown_discards(self) -> bool {
        self != Persona::Linux
    }
}

impl FromStr for Persona {
    type Err = String;

    fn from_str(text: &str) -> Result<Persona, String> {
        match text {
            "linux" => Ok(Persona::Linux),
            "rfc" => Ok(Persona::Rfc),
            "glasstcp" => Ok(Persona::Glasstcp),
            "freebsd" => Ok(Persona::FreeBsd),
            _ => Err(format!("no persona '{text}': there are linux, rfc, freebsd and glasstcp")),
        }
    }
}

impl fmt::Display for Persona {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Persona::Linux => "linux",
            Persona::Rfc => "rfc",
            Persona::Glasstcp => "glasstcp",
            Persona::FreeBsd => "freebsd",
        })
    }
}
