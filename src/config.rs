//! Settings of a whole stack.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::ip::reassembly::MIN_MEMORY;
use crate::ip::{IpCidr, path_mtu};
use crate::tcp::config::TcpConfig;

/// What a stack is told at its start.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The addresses of this host.
    pub addresses: Vec<IpCidr>,
    /// Any-address mode: every packet that the device brings is for this host, whatever host it is addressed to, as a
    /// transparent proxy needs it. Sockets may have any address then, and what nobody wants is refused in the name of the
    /// host that was asked. Default off.
    pub any_address: bool,
    /// Answer echo requests to the addresses of others in any-address mode, too. Default off: only the proxy knows whether
    /// they are there.
    pub answer_echo_for_any: bool,
    /// The largest IP packet on the wire, in octets: 1,500 by default, at least 576, and 1,280 with an IPv6 address or in any-address mode.
    pub mtu: usize,
    /// The ports from which those are chosen that nobody asked for. Default 1,024 to 65,535 (RFC 6056 section 3.2).
    pub ephemeral_ports: RangeInclusive<u16>,
    /// ICMP errors of one kind per second, half of them for one receiver (RFC 1812 section 4.3.2.8, RFC 4443 section 2.4 (f)).
    /// Default 100.
    pub icmp_errors_per_second: u32,
    /// Packets that may wait for the device beside the connections: answers and echoes, and as many datagrams. Default 4,096.
    pub max_queued_packets: usize,
    /// Octets that may wait in all UDP sockets together, overhead included. Default 64 MiB.
    pub udp_memory: usize,
    /// Octets of memory for datagrams of which fragments are missing: 4 MiB by default, at least 256 KiB.
    pub reassembly_memory: usize,
    /// UDP sockets. Default 65,536.
    pub max_udp_sockets: u32,
    /// Send super-segments beyond 64 KiB over IPv4 where the device takes them (BIG TCP). The kernel reads them since
    /// Linux 6.3; what else looks at packets on their way may not. Default off.
    pub big_tcp: bool,
    /// Whether whoever drives asks the device again and again before it sleeps.
    pub busy_poll: BusyPoll,
    /// Path MTU discovery.
    pub path_mtu: path_mtu::Settings,
    /// TCP.
    pub tcp: TcpConfig,
}

/// How long a driver asks the device again and again before it sleeps. It saves both sides the time that waking up takes, and
/// costs a processor as long as packets come more often than that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BusyPoll {
    /// For up to [`EAGER`] where packets come so often, and as long as asking finds them: not where the peer needs the
    /// processor on which the driver would ask.
    #[default]
    Adaptive,
    /// For so long each time, at most [`MAX_BUSY_POLL`]; zero: not at all.
    Always(Duration),
}

/// How long an adaptive driver asks. A round trip by way of another processor of the same machine takes a third of it.
pub const EAGER: Duration = Duration::from_micros(50);

/// The longest time to ask before sleeping: more would be a processor for nothing.
pub const MAX_BUSY_POLL: Duration = Duration::from_millis(10);

/// The smallest MTU of IPv4 hosts that we accept (RFC 791 section 3.1).
pub const MIN_MTU_V4: usize = 576;
/// The smallest MTU with IPv6 (RFC 8200 section 5).
pub const MIN_MTU_V6: usize = 1_280;

impl Default for Config {
    fn default() -> Config {
        Config {
            addresses: Vec::new(),
            any_address: false,
            answer_echo_for_any: false,
            mtu: 1_500,
            ephemeral_ports: 1_024..=u16::MAX,
            icmp_errors_per_second: 100,
            max_queued_packets: 4_096,
            udp_memory: 64 << 20,
            reassembly_memory: 4 << 20,
            max_udp_sockets: 65_536,
            big_tcp: false,
            busy_poll: BusyPoll::default(),
            path_mtu: path_mtu::Settings::default(),
            tcp: TcpConfig::default(),
        }
    }
}

impl Config {
    /// With these addresses and otherwise the defaults.
    pub fn new(addresses: &[IpCidr]) -> Config {
        Config { addresses: addresses.to_vec(), ..Config::default() }
    }

    /// Checks that the settings can work together.
    ///
    /// # Errors
    /// A sentence that says what is wrong and what would be right.
    pub fn validate(&self) -> Result<(), String> {
        let ipv6 = self.any_address || self.addresses.iter().any(|cidr| cidr.address.is_ipv6());
        let smallest = if ipv6 { MIN_MTU_V6 } else { MIN_MTU_V4 };
        // 8200-5-1
        if !(smallest..=65_535).contains(&self.mtu) {
            return Err(format!("an MTU of {} is out of range: {smallest} to 65535 with these addresses", self.mtu));
        }
        for cidr in &self.addresses {
            if !crate::ip::address::is_connectable(cidr.address, &[]) || cidr.is_broadcast(cidr.address) {
                return Err(format!("{cidr} cannot be the address of a host"));
            }
        }
        if self.ephemeral_ports.is_empty() || *self.ephemeral_ports.start() == 0 {
            return Err("the range of ports to choose from has at least one, and begins at 1 or later".into());
        }
        if let BusyPoll::Always(time) = self.busy_poll
            && time > MAX_BUSY_POLL
        {
            return Err(format!("busy polling for {time:?} is too long: {MAX_BUSY_POLL:?} at most"));
        }
        // 1191-3-2, 1191-3-4
        if self.path_mtu.floor_v4 < path_mtu::MIN_LINK_MTU_V4 || self.path_mtu.lifetime < path_mtu::MIN_LIFETIME {
            return Err("a path MTU is at least 68 octets, and is believed for 5 minutes or longer".into());
        }
        // 1122-3.3.2-1
        if self.reassembly_memory < MIN_MEMORY {
            return Err(format!("{} octets are too few for reassembly: {MIN_MEMORY} at least", self.reassembly_memory));
        }
        let tcp = &self.tcp;
        // 6298-2.5
        if tcp.max_rto < tcp.habits.least_rto_cap || tcp.min_rto > tcp.max_rto {
            return Err("the RTO must have a cap of at least 60 s, and a floor below it".into());
        }
        if !tcp.has_valid_capacities() {
            return Err(
                "buffer capacities, and the bounds of those that are tuned, lie between 1 octet and 1 GiB".into()
            );
        }
        if !tcp.socket.is_valid() {
            return Err("the hop limit lies between 1 and 255, the DSCP between 0 and 63, \
                        buffer capacities between 1 octet and 1 GiB"
                .into());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 8200-5-1, 1122-3.2.1.7-1
    #[test]
    fn settings_that_cannot_work_are_refused() {
        let with = |addresses: &[&str], mtu| {
            let addresses: Vec<IpCidr> = addresses.iter().map(|text| text.parse().unwrap()).collect();
            Config { mtu, ..Config::new(&addresses) }.validate()
        };
        assert!(with(&["10.0.0.2/24", "fd00:67::2/64"], 1_500).is_ok());
        assert!(with(&["10.0.0.2/24"], 576).is_ok() && with(&["10.0.0.2/24"], 575).is_err());
        assert!(with(&["fd00:67::2/64"], 1_279).is_err() && with(&["fd00:67::2/64"], 1_280).is_ok());
        assert!(with(&["127.0.0.1/8"], 1_500).is_err() && with(&["10.0.0.255/24"], 1_500).is_err());
        let any = Config { mtu: 1_279, any_address: true, ..Config::new(&["10.0.0.2/24".parse().unwrap()]) };
        assert!(any.validate().is_err() && Config { mtu: 1_280, ..any }.validate().is_ok());
        let ports = |ephemeral_ports| Config { ephemeral_ports, ..Config::default() }.validate();
        assert!(ports(40_000..=40_000).is_ok() && ports(0..=9).is_err());
        assert!(ports(RangeInclusive::new(9, 8)).is_err());
        let busy = |time| Config { busy_poll: BusyPoll::Always(time), ..Config::default() }.validate();
        assert!(busy(MAX_BUSY_POLL).is_ok() && busy(MAX_BUSY_POLL * 2).is_err());
        let paths = |floor_v4, secs| {
            let path_mtu = path_mtu::Settings { floor_v4, lifetime: Duration::from_secs(secs) };
            Config { path_mtu, ..Config::default() }.validate()
        };
        assert!(paths(68, 300).is_ok() && paths(67, 300).is_err() && paths(68, 299).is_err());
        let changed = |change: fn(&mut TcpConfig)| {
            let mut config = Config::default();
            change(&mut config.tcp);
            config.validate()
        };
        assert!(changed(|tcp| tcp.socket.hop_limit = 0).is_err());
        assert!(changed(|tcp| tcp.send_capacity = Some(1 << 30)).is_ok());
        assert!(changed(|tcp| tcp.send_capacity = Some((1 << 30) + 1)).is_err());
        assert!(changed(|tcp| tcp.receive_capacity = Some(0)).is_err());
        assert!(changed(|tcp| tcp.receive_tuning = 1..=1 << 30).is_ok());
        assert!(changed(|tcp| tcp.receive_tuning = 0..=1 << 20).is_err());
        assert!(changed(|tcp| tcp.receive_tuning = 1 << 20..=1 << 31).is_err());
        assert!(changed(|tcp| tcp.send_tuning = RangeInclusive::new(2, 1)).is_err());
        assert!(changed(|tcp| tcp.socket.send_capacity = Some(0)).is_err());
        assert!(changed(|tcp| tcp.socket.receive_capacity = Some(1 << 31)).is_err());
    }
}
