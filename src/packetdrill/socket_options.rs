//! getsockopt and setsockopt, by level and name.

use std::time::Duration;

use super::descriptor::{Fd, Socket};
use super::errno::{Answer, Errno};
use super::host::Host;
use super::knobs::patience;
use super::persona::Persona;
use super::{freebsd, send_memory, tcp_info};
use crate::tcp::config::SocketOptions;
use crate::tcp::state::State;

/// `TCP_INFO` and its like are as long as the caller has room; everything else has a length of its own.
fn integer(value: &[u8]) -> Answer<i32> {
    let bytes: [u8; 4] = value.get(..4).and_then(|bytes| bytes.try_into().ok()).ok_or(Errno::EINVAL)?;
    Ok(i32::from_ne_bytes(bytes))
}

fn seconds(value: i32, at_most: i32) -> Answer<Duration> {
    if (1..=at_most).contains(&value) { Ok(Duration::from_secs(value as u64)) } else { Err(Errno::EINVAL) }
}

/// The last option of TCP that Linux knows; those that nobody has set are 0.
const LAST_OPTION: i32 = 44;

/// Seconds that keep-alives may be told.
const MAX_KEEP_ALIVE: i32 = 32_767;

impl Host {
    /// `setsockopt`.
    ///
    /// # Errors
    /// `ENOPROTOOPT` for an option that is not known, `EINVAL` for a value that cannot be.
    pub fn setsockopt(&mut self, fd: Fd, level: i32, name: i32, value: &[u8]) -> Answer<()> {
        self.descriptor(fd)?;
        let set = match level {
            libc::SOL_SOCKET => self.set_socket_level(fd, name, value),
            libc::IPPROTO_TCP => self.set_tcp_level(fd, name, value),
            libc::IPPROTO_IP => self.set_ip_level(fd, name, value),
            libc::IPPROTO_IPV6 => self.set_ipv6_level(fd, name, value),
            _ => Err(Errno::ENOPROTOOPT),
        };
        self.settle();
        set
    }

    fn note(&mut self, fd: Fd, level: i32, name: i32, value: &[u8]) -> Answer<()> {
        self.descriptor_mut(fd)?.noted.insert((level, name), value.to_vec());
        Ok(())
    }

    /// Changes what a socket starts with, and the socket.
    fn change(&mut self, fd: Fd, change: impl Fn(&mut SocketOptions)) -> Answer<()> {
        let descriptor = self.table.get_mut(&fd).ok_or(Errno::EBADF)?;
        change(&mut descriptor.options);
        match descriptor.socket {
            Socket::Listener(handle) => self.stack.listener_set_options(handle, change)?,
            Socket::Tcp(handle) => self.stack.tcp_set_options(self.now, handle, change)?,
            Socket::Udp(handle) => {
                // Of what a connection starts with, these two mean something for datagrams as well.
                let (hop_limit, dscp) = (descriptor.options.hop_limit, descriptor.options.dscp);
                self.stack.udp_set_options(handle, |options| (options.hop_limit, options.dscp) = (hop_limit, dscp))?;
            }
            Socket::Fresh => {}
        }
        Ok(())
    }

    fn set_socket_level(&mut self, fd: Fd, name: i32, value: &[u8]) -> Answer<()> {
        match name {
            libc::SO_REUSEADDR => self.descriptor_mut(fd)?.bind.reuse_address = integer(value)? != 0,
            libc::SO_REUSEPORT => self.descriptor_mut(fd)?.bind.reuse_port = integer(value)? != 0,
            libc::SO_KEEPALIVE => {
                let on = integer(value)? != 0;
                self.change(fd, |options| options.keep_alive = on)?;
            }
            libc::SO_LINGER => {
                let (on, secs) = (integer(value)? != 0, integer(value.get(4..).unwrap_or_default())?);
                let linger = on.then(|| Duration::from_secs(secs.max(0) as u64));
                self.change(fd, |options| options.linger = linger)?;
            }
            libc::SO_SNDBUF | libc::SO_SNDBUFFORCE => {
                let octets = (integer(value)?.max(2_048) as u32).min(1 << 29);
                if self.settings.persona.counts_send_memory() {
                    self.descriptor_mut(fd)?.send_memory.set = Some((2 * octets).max(send_memory::LEAST));
                } else {
                    self.change(fd, |options| options.send_capacity = Some(octets))?;
                }
            }
            libc::SO_RCVBUF | libc::SO_RCVBUFFORCE => {
                let octets = (integer(value)?.max(1_152) as u32).min(1 << 29);
                self.change(fd, |options| options.receive_capacity = Some(octets))?;
                if let Socket::Tcp(handle) = self.descriptor(fd)?.socket
                    && self.settings.persona.counts_receive_memory()
                {
                    self.receive_buffer_set(handle, octets);
                }
            }
            libc::SO_TIMESTAMPING => {
                integer(value)?;
                self.begin_timestamping(fd);
                self.note(fd, libc::SOL_SOCKET, name, value)?;
            }
            _ => self.note(fd, libc::SOL_SOCKET, name, value)?,
        }
        Ok(())
    }

    fn set_tcp_level(&mut self, fd: Fd, name: i32, value: &[u8]) -> Answer<()> {
        if self.set_fast_open(fd, name, value)? {
            return Ok(());
        }
        if name == libc::TCP_CONGESTION {
            let text = String::from_utf8_lossy(value);
            let algorithm = text.trim_end_matches('\0').parse().map_err(|_| Errno::ENOENT)?;
            return self.change(fd, |options| options.congestion = algorithm);
        }
        let freebsd = self.settings.persona == Persona::FreeBsd;
        match name {
            freebsd::TCP_NOOPT if freebsd => {
                let off = integer(value)? != 0;
                self.change(fd, |options| options.no_options = off)
            }
            freebsd::TCP_KEEPINIT if freebsd => {
                let time = seconds(integer(value)?, i32::MAX)?;
                self.change(fd, |options| options.give_up_syn = Some(time))
            }
            libc::TCP_NODELAY => {
                let on = integer(value)? != 0;
                self.change(fd, |options| options.nodelay = on)?;
                if let Socket::Tcp(handle) = self.descriptor(fd)?.socket
                    && on
                {
                    // As Linux does it: what waits leaves now, even if it is corked.
                    self.stack.tcp_release(self.now, handle);
                }
                Ok(())
            }
            libc::TCP_CORK => {
                let on = integer(value)? != 0;
                self.change(fd, |options| options.cork = on)
            }
            libc::TCP_MAXSEG => {
                let mss = integer(value)?;
                let mss = u16::try_from(mss).ok().filter(|mss| *mss >= 88 || *mss == 0).ok_or(Errno::EINVAL)?;
                self.change(fd, |options| options.max_segment = (mss > 0).then_some(mss))
            }
            libc::TCP_KEEPIDLE => {
                let idle = seconds(integer(value)?, MAX_KEEP_ALIVE)?;
                self.change(fd, |options| options.keep_alive_idle = idle)
            }
            libc::TCP_KEEPINTVL => {
                let interval = seconds(integer(value)?, MAX_KEEP_ALIVE)?;
                self.change(fd, |options| options.keep_alive_interval = interval)
            }
            libc::TCP_KEEPCNT => {
                let probes = u8::try_from(integer(value)?).ok().filter(|count| (1..=127).contains(count));
                let probes = probes.ok_or(Errno::EINVAL)?;
                self.change(fd, |options| options.keep_alive_probes = probes)
            }
            libc::TCP_SYNCNT => {
                let retries = integer(value)?;
                if !(1..=127).contains(&retries) {
                    return Err(Errno::EINVAL);
                }
                let tcp = &self.stack.config().tcp;
                let patience = patience(tcp.initial_rto, retries.into(), tcp.max_rto);
                self.change(fd, |options| options.give_up_syn = Some(patience))?;
                self.note(fd, libc::IPPROTO_TCP, name, value)
            }
            libc::TCP_USER_TIMEOUT => {
                let millis = u64::try_from(integer(value)?).map_err(|_| Errno::EINVAL)?;
                let timeout = (millis > 0).then(|| Duration::from_millis(millis));
                self.change(fd, |options| options.user_timeout = timeout)
            }
            _ => self.note(fd, libc::IPPROTO_TCP, name, value),
        }
    }

    fn set_ip_level(&mut self, fd: Fd, name: i32, value: &[u8]) -> Answer<()> {
        match name {
            libc::IP_TOS => self.set_traffic_class(fd, value),
            libc::IP_TTL => self.set_hop_limit(fd, value),
            _ => self.note(fd, libc::IPPROTO_IP, name, value),
        }
    }

    fn set_ipv6_level(&mut self, fd: Fd, name: i32, value: &[u8]) -> Answer<()> {
        match name {
            libc::IPV6_V6ONLY => {
                self.descriptor_mut(fd)?.bind.only_v6 = integer(value)? != 0;
                Ok(())
            }
            libc::IPV6_TCLASS => self.set_traffic_class(fd, value),
            libc::IPV6_UNICAST_HOPS => self.set_hop_limit(fd, value),
            _ => self.note(fd, libc::IPPROTO_IPV6, name, value),
        }
    }

    fn set_traffic_class(&mut self, fd: Fd, value: &[u8]) -> Answer<()> {
        let class = integer(value).or_else(|error| value.first().map(|&byte| i32::from(byte)).ok_or(error))?;
        let dscp = (class as u8) >> 2;
        self.change(fd, |options| options.dscp = dscp)
    }

    fn set_hop_limit(&mut self, fd: Fd, value: &[u8]) -> Answer<()> {
        let default = self.stack.config().tcp.socket.hop_limit;
        let hops = match integer(value)? {
            -1 => default,
            hops => u8::try_from(hops).ok().filter(|&hops| hops > 0).ok_or(Errno::EINVAL)?,
        };
        self.change(fd, |options| options.hop_limit = hops)
    }

    /// `getsockopt`: what the caller gets, at most `room` octets.
    ///
    /// # Errors
    /// `ENOPROTOOPT` for an option that is not known.
    pub fn getsockopt(&mut self, fd: Fd, level: i32, name: i32, room: usize) -> Answer<Vec<u8>> {
        let mut value = match level {
            libc::SOL_SOCKET => self.socket_level(fd, name)?,
            libc::IPPROTO_TCP => self.tcp_level(fd, name)?,
            libc::IPPROTO_IP | libc::IPPROTO_IPV6 => self.ip_level(fd, level, name)?,
            _ => return Err(Errno::ENOPROTOOPT),
        };
        value.truncate(room);
        Ok(value)
    }

    fn noted(&self, fd: Fd, level: i32, name: i32) -> Answer<Vec<u8>> {
        self.descriptor(fd)?.noted.get(&(level, name)).cloned().ok_or(Errno::ENOPROTOOPT)
    }

    /// A number that was set, else 0.
    pub(super) fn noted_number(&self, fd: Fd, level: i32, name: i32) -> i32 {
        self.noted(fd, level, name).ok().and_then(|value| integer(&value).ok()).unwrap_or(0)
    }

    /// What is set on a socket now.
    fn options(&self, fd: Fd) -> Answer<SocketOptions> {
        let descriptor = self.descriptor(fd)?;
        let set = match descriptor.socket {
            Socket::Tcp(handle) => self.stack.tcp_options(handle),
            Socket::Listener(handle) => self.stack.listener_options(handle),
            Socket::Fresh | Socket::Udp(_) => None,
        };
        Ok(set.unwrap_or(descriptor.options))
    }

    fn socket_level(&mut self, fd: Fd, name: i32) -> Answer<Vec<u8>> {
        let options = self.options(fd)?;
        let number = match name {
            libc::SO_ERROR => self.so_error(fd)?,
            libc::SO_KEEPALIVE => i32::from(options.keep_alive),
            libc::SO_REUSEADDR => i32::from(self.descriptor(fd)?.bind.reuse_address),
            libc::SO_REUSEPORT => i32::from(self.descriptor(fd)?.bind.reuse_port),
            libc::SO_TYPE => match self.descriptor(fd)?.socket {
                Socket::Udp(_) => libc::SOCK_DGRAM,
                _ => libc::SOCK_STREAM,
            },
            libc::SO_SNDBUF if self.settings.persona.counts_send_memory() => self.send_limit(fd).unwrap_or(0) as i32,
            libc::SO_SNDBUF => self.told(options.send_capacity.unwrap_or(*self.stack.config().tcp.send_tuning.start())),
            libc::SO_RCVBUF => {
                let first = options.receive_capacity.unwrap_or(*self.stack.config().tcp.receive_tuning.start());
                self.told(self.agreed_capacity(fd)?.unwrap_or(first))
            }
            libc::SO_LINGER => {
                let secs = options.linger.map_or(0, |linger| linger.as_secs() as i32);
                return Ok([i32::from(options.linger.is_some()).to_ne_bytes(), secs.to_ne_bytes()].concat());
            }
            tcp_info::SO_MEMINFO => return self.memory_info(fd),
            _ => return self.noted(fd, libc::SOL_SOCKET, name),
        };
        Ok(number.to_ne_bytes().to_vec())
    }

    /// `SO_MEMINFO`: what is charged for receiving, what may be, and what may be for sending.
    fn memory_info(&mut self, fd: Fd) -> Answer<Vec<u8>> {
        let sending = self.send_limit(fd).unwrap_or(0);
        let (charged, buffer) = match self.descriptor(fd)?.socket {
            Socket::Tcp(handle) => self.receive_memory_of(handle).unwrap_or_default(),
            _ => (0, 0),
        };
        Ok([charged, buffer, 0, sending, 0, 0, 0, 0, 0].iter().flat_map(|number| number.to_ne_bytes()).collect())
    }

    /// `SO_ERROR`: why the connection ended, or what it survived; told once.
    fn so_error(&mut self, fd: Fd) -> Answer<i32> {
        let error = match self.descriptor(fd)?.socket {
            Socket::Tcp(handle) => {
                let soft = self.stack.tcp_take_soft_error(handle).map(|error| error.into());
                let soft = soft.filter(|_| self.settings.persona.tells_soft_errors());
                self.take_error(fd, handle).or(soft)
            }
            Socket::Udp(handle) => self.stack.udp_take_error(handle).map(|error| error.into()),
            _ => None,
        };
        Ok(error.map_or(0, |error: Errno| error.0))
    }

    fn tcp_level(&mut self, fd: Fd, name: i32) -> Answer<Vec<u8>> {
        let options = self.options(fd)?;
        let secs = |duration: Duration| duration.as_secs() as i32;
        let freebsd = self.settings.persona == Persona::FreeBsd;
        let number = match name {
            freebsd::TCP_NOOPT if freebsd => i32::from(options.no_options),
            freebsd::TCP_KEEPINIT if freebsd => {
                secs(options.give_up_syn.unwrap_or(self.stack.config().tcp.give_up_syn))
            }
            libc::TCP_INFO => return self.tcp_info(fd),
            libc::TCP_CC_INFO => return Ok(vec![0; 20]),
            libc::TCP_CONGESTION => {
                let mut name = options.congestion.to_string().into_bytes();
                name.resize(16, 0);
                return Ok(name);
            }
            libc::TCP_NODELAY => i32::from(options.nodelay),
            libc::TCP_CORK => i32::from(options.cork),
            libc::TCP_MAXSEG => self.max_segment(fd, &options)?,
            libc::TCP_KEEPIDLE => secs(options.keep_alive_idle),
            libc::TCP_KEEPINTVL => secs(options.keep_alive_interval),
            libc::TCP_KEEPCNT => i32::from(options.keep_alive_probes),
            libc::TCP_USER_TIMEOUT => options.user_timeout.map_or(0, |timeout| timeout.as_millis() as i32),
            libc::TCP_SYNCNT => {
                self.noted(fd, libc::IPPROTO_TCP, name).ok().and_then(|v| integer(&v).ok()).unwrap_or(6)
            }
            _ if name > 0 && name <= LAST_OPTION => {
                return Ok(self.noted(fd, libc::IPPROTO_TCP, name).unwrap_or(vec![0; 4]));
            }
            _ => return Err(Errno::ENOPROTOOPT),
        };
        Ok(number.to_ne_bytes().to_vec())
    }

    fn max_segment(&self, fd: Fd, options: &SocketOptions) -> Answer<i32> {
        Ok(match self.descriptor(fd)?.socket {
            Socket::Tcp(handle) => {
                self.stack.tcp_snapshot(handle).map_or(536, |snapshot| snapshot.segment_payload as i32)
            }
            _ => i32::from(options.max_segment.unwrap_or(536)),
        })
    }

    fn tcp_info(&self, fd: Fd) -> Answer<Vec<u8>> {
        match self.descriptor(fd)?.socket {
            Socket::Tcp(handle) => {
                let connection = self.stack.tcp_connection(handle).ok_or(Errno::EBADF)?;
                let snapshot = self.stack.tcp_snapshot(handle).ok_or(Errno::EBADF)?;
                let mut info =
                    tcp_info::encode(connection, &snapshot, self.stack.config(), self.now, &self.watched(fd));
                if let Some(waiting) = self.descriptor(fd)?.waiting {
                    info[tcp_info::PROBES] = waiting.probes;
                }
                Ok(info)
            }
            Socket::Listener(_) => Ok(tcp_info::of_state(tcp_info::LISTEN)),
            Socket::Fresh => Ok(tcp_info::of_state(tcp_info::CLOSE)),
            Socket::Udp(_) => Err(Errno::ENOPROTOOPT),
        }
    }

    fn ip_level(&mut self, fd: Fd, level: i32, name: i32) -> Answer<Vec<u8>> {
        let options = self.options(fd)?;
        let number = match (level, name) {
            (libc::IPPROTO_IP, libc::IP_TOS) | (libc::IPPROTO_IPV6, libc::IPV6_TCLASS) => i32::from(options.dscp) << 2,
            (libc::IPPROTO_IP, libc::IP_TTL) | (libc::IPPROTO_IPV6, libc::IPV6_UNICAST_HOPS) => {
                i32::from(options.hop_limit)
            }
            (libc::IPPROTO_IPV6, libc::IPV6_V6ONLY) => i32::from(self.descriptor(fd)?.bind.only_v6),
            _ => return self.noted(fd, level, name),
        };
        Ok(number.to_ne_bytes().to_vec())
    }

    /// The size of a buffer as it is told.
    fn told(&self, octets: u32) -> i32 {
        let factor = if self.settings.persona.doubles_buffers() { 2 } else { 1 };
        i32::try_from(octets.saturating_mul(factor)).unwrap_or(i32::MAX)
    }

    /// What the receive buffer of a connection holds once the peer's SYN is there, where the persona tells that.
    fn agreed_capacity(&self, fd: Fd) -> Answer<Option<u32>> {
        let Socket::Tcp(handle) = self.descriptor(fd)?.socket else { return Ok(None) };
        let connection = self.stack.tcp_connection(handle).filter(|connection| connection.state() != State::SynSent);
        Ok(connection.filter(|_| !self.settings.persona.doubles_buffers()).map(|connection| connection.rcv.capacity))
    }
}
