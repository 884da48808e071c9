//! The sockets of a host and their states, in lines as sockstat of FreeBSD shows them, for scripts that ask for them.

use std::fmt::Write;
use std::net::SocketAddr;

use super::descriptor::Socket;
use super::host::Host;
use crate::counters::DropReason;
use crate::tcp::state::State;

/// The states by FreeBSD's names.
fn name(state: State) -> &'static str {
    match state {
        State::Closed => "CLOSED",
        State::Listen => "LISTEN",
        State::SynSent => "SYN_SENT",
        State::SynReceived => "SYN_RCVD",
        State::Established => "ESTABLISHED",
        State::FinWait1 => "FIN_WAIT_1",
        State::FinWait2 => "FIN_WAIT_2",
        State::CloseWait => "CLOSE_WAIT",
        State::Closing => "CLOSING",
        State::LastAck => "LAST_ACK",
        State::TimeWait => "TIME_WAIT",
    }
}

/// Who has a socket: a program under a descriptor, or nobody.
fn line(lines: &mut String, owner: Option<i32>, local: SocketAddr, remote: Option<SocketAddr>, state: State) {
    let family = if local.is_ipv6() { "tcp6" } else { "tcp4" };
    let owner = owner.map_or("? ? ? ?".to_owned(), |fd| format!("root packetdril 1 {fd}"));
    let remote = remote.map_or("*:*".to_owned(), |remote| remote.to_string());
    // Writing to a string does not fail.
    writeln!(lines, "{owner} {family} {local} {remote} {}", name(state)).ok();
}

impl Host {
    /// A line for each socket of TCP: user, program, process, descriptor, protocol, local address, remote address, state. Then,
    /// behind a `#`, counters as nstat of Linux shows them, if they are not 0.
    pub fn status(&self) -> String {
        let mut lines = String::new();
        for (&fd, entry) in &self.table {
            let unspecified = SocketAddr::new([0, 0, 0, 0].into(), 0);
            match entry.socket {
                Socket::Fresh => line(&mut lines, Some(fd), entry.local.unwrap_or(unspecified), None, State::Closed),
                Socket::Tcp(handle) => {
                    if let (Some(tuple), Some(state)) = (self.stack.tcp_tuple(handle), self.stack.tcp_state(handle)) {
                        let local = SocketAddr::new(tuple.local_addr, tuple.local_port);
                        let remote = SocketAddr::new(tuple.remote_addr, tuple.remote_port);
                        line(&mut lines, Some(fd), local, Some(remote), state);
                    }
                }
                Socket::Listener(_) => {
                    line(&mut lines, Some(fd), entry.local.unwrap_or(unspecified), None, State::Listen)
                }
                Socket::Udp(_) => {}
            }
        }
        for (local, half_open, _) in self.stack.tcp_listeners() {
            for _ in 0..half_open {
                line(&mut lines, None, local, None, State::SynReceived);
            }
        }
        let refused = self.refused();
        let counters = [
            ("TcpExtOutOfWindowIcmps", self.stack.counters().dropped(DropReason::IcmpUnmatched)),
            ("TcpExtBeyondWindow", refused.beyond_window.into()),
            ("TcpExtTCPZeroWindowDrop", refused.zero_window.into()),
            ("TcpExtTCPRcvQDrop", refused.no_memory.into()),
        ];
        for (name, value) in counters.into_iter().filter(|&(_, value)| value > 0) {
            writeln!(lines, "# {name:<32}{value:<19}0.0").ok();
        }
        lines
    }
}
