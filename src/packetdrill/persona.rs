//! Whose habits the stack has where the RFCs leave a choice: a persona is a set of settings, never a branch by name.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::freebsd;
use crate::config::Config;
use crate::tcp::ecn::EcnMode;
use crate::tcp::habits::{AckHabits, AfterFin, Burst, CwndRules, FastOpenHabits, Habits, HardErrors, MtuSearch};
use crate::tcp::habits::{ResetHabits, SynHabits, WindowHabits, Windows};

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
            // As 9293-SHLD-18 says, an ACK waits for a second segment or for its timer, also at the start.
            Persona::Rfc => {
                config.tcp.quick_acks = 0;
                config.tcp.habits.acks.by_pairs = true;
                // As large as the window field can say, in whole segments.
                config.tcp.receive_tuning = 65_536..=*config.tcp.receive_tuning.end();
                config.tcp.habits.windows.offer = Windows::Whole;
                config.tcp.habits.acks.after_fin = AfterFin::AckAndFin;
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
    tcp.receive_tuning = 270_000..=15 << 20;
    // One in half a second.
    tcp.challenge_acks_per_second = 1;
    // The host counts (see `counts_send_memory`).
    tcp.send_capacity = Some(1 << 30);
    // A server that gives no cookie is asked again each time.
    tcp.fast_open_back_off = Duration::ZERO;
    tcp.habits = Habits {
        syn: SynHabits {
            announce_path_mss: true,
            check_echo: true,
            forget_crossing_text: true,
            ..SynHabits::default()
        },
        fast_open: FastOpenHabits { by_experiment: true, long_syns: true },
        acks: AckHabits {
            quick_end_with_reply: true,
            by_pairs: false,
            after_fin: AfterFin::LateAck,
            silent_on_future: true,
            challenge_eighths: 4,
            no_ecn_options: false,
        },
        windows: WindowHabits { offer: Windows::Told, reluctant_updates: true },
        resets: ResetHabits { as_closed: true, bare: true, after_timeout: false, ..ResetHabits::default() },
        burst: Some(Burst { least: 2, share: 3, paced: false }),
        least_rto_cap: Duration::from_secs(1),
        empty_window_probes: true,
        min_loss_probe: Duration::from_millis(2),
        tail_loss_probes: true,
        rack_by_number_last: true,
        override_after_rto: true,
        cwnd: CwndRules::Delivery,
        slow_start_by_least_of_all: true,
        take_missing_timestamps: true,
        restart_after_idle: false,
        mtu_search: MtuSearch::Never,
        base_mss: 1_024,
        hard_errors: HardErrors::All,
        ..Habits::default()
    };
}

impl Persona {
    /// The receive buffer is counted as Linux does it (see the module `receive_memory`).
    pub(super) fn counts_receive_memory(self) -> bool {
        self == Persona::Linux
    }

    /// The send buffer is counted as Linux does it (see the module `send_memory`).
    pub(super) fn counts_send_memory(self) -> bool {
        self == Persona::Linux
    }

    /// A write that names a peer opens a connection to it, with Fast Open where that is asked for.
    pub(super) fn connects_by_writing(self) -> bool {
        self == Persona::FreeBsd
    }

    /// The last urgent octet is read out of band, unless `SO_OOBINLINE` says otherwise.
    pub(super) fn takes_urgent_out(self) -> bool {
        matches!(self, Persona::Linux | Persona::FreeBsd)
    }

    /// A reset behind the peer's FIN is a broken pipe.
    pub(super) fn reset_breaks_pipe(self) -> bool {
        self == Persona::Linux
    }

    /// A segment that is signed (RFC 2385) is dropped where no key was set.
    pub(super) fn drops_signed_segments(self) -> bool {
        self == Persona::Linux
    }

    /// `SO_ERROR` tells also what the connection has survived.
    pub(super) fn tells_soft_errors(self) -> bool {
        self != Persona::FreeBsd
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
