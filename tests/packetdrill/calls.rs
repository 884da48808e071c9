//! The calls of a script, on a [`Host`].

use std::collections::BTreeMap;
use std::net::{IpAddr, Shutdown, SocketAddr};

use glasstcp::packetdrill::{Answer, Domain, Errno, Fd, Host, Kind, Knobs, Settings};
use glasstcp::time::Instant;

use crate::language::{Call, Expression};

/// What a call answered.
#[derive(Debug, Default)]
pub struct Outcome {
    /// The value, -1 for an error.
    pub value: i64,
    /// The name of the error.
    pub errno: Option<String>,
    /// It waits, and would be asked again.
    pub blocks: bool,
    /// A value behind a pointer is not what the script says.
    pub wrong: Option<String>,
}

/// A host as scripts see it: times in microseconds from the start, descriptors by the script's numbers.
pub struct Machine {
    host: Host,
    start: Instant,
    domain: Domain,
    local: IpAddr,
    remote: IpAddr,
    fds: BTreeMap<i64, Fd>,
    /// Octets that a waiting `write` has written.
    written: usize,
    /// A `connect` waits.
    connecting: bool,
}

const LOCAL: [&str; 2] = ["192.168.0.1", "fd3d:fa7b:d17d::1"];
const REMOTE: [&str; 2] = ["192.0.2.1", "2001:db8::1"];

macro_rules! names {
    ($($name:ident)*) => {
        /// The numbers behind the names that our scripts use.
        fn by_name(name: &str) -> Option<i64> {
            $(if name == stringify!($name) { return Some(i64::from(libc::$name)); })*
            match name {
                // Linux calls it so, the libc crate does not.
                "SIOCINQ" => Some(i64::from(libc::FIONREAD as u32)),
                "MSG_FASTOPEN" => Some(0x2000_0000),
                "TCP_FASTOPEN" => Some(23),
                "TCP_FASTOPEN_CONNECT" => Some(30),
                "TCP_FASTOPEN_NO_COOKIE" => Some(34),
                "SIOCOUTQ" => Some(i64::from(libc::TIOCOUTQ as u32)),
                _ => None,
            }
        }
    };
}

names! {
    AF_INET AF_INET6 SOCK_STREAM SOCK_DGRAM SOCK_NONBLOCK IPPROTO_TCP IPPROTO_UDP IPPROTO_IP IPPROTO_IPV6 SOL_SOCKET SOL_IP SOL_IPV6
    SOL_TCP SO_REUSEADDR SO_REUSEPORT SO_KEEPALIVE SO_LINGER SO_SNDBUF SO_RCVBUF SO_ERROR SO_OOBINLINE SO_RCVLOWAT SO_TYPE
    SO_ACCEPTCONN TCP_NODELAY TCP_CORK TCP_MAXSEG TCP_KEEPIDLE TCP_KEEPINTVL TCP_KEEPCNT TCP_SYNCNT TCP_LINGER2 TCP_DEFER_ACCEPT
    TCP_QUICKACK TCP_CONGESTION TCP_USER_TIMEOUT TCP_NOTSENT_LOWAT TCP_INFO IP_TOS IP_TTL IP_MTU IP_MTU_DISCOVER IP_RECVERR
    IP_PMTUDISC_DO IP_PMTUDISC_DONT IP_PMTUDISC_WANT IPV6_TCLASS IPV6_UNICAST_HOPS IPV6_MTU IPV6_V6ONLY O_RDWR O_RDONLY O_WRONLY
    O_NONBLOCK F_GETFL F_SETFL SHUT_RD SHUT_WR SHUT_RDWR MSG_PEEK MSG_OOB MSG_MORE MSG_DONTWAIT MSG_WAITALL MSG_NOSIGNAL MSG_EOR
    MSG_TRUNC MSG_ZEROCOPY MSG_ERRQUEUE SO_ZEROCOPY SO_TIMESTAMPING POLLIN POLLOUT POLLERR POLLHUP POLLPRI POLLRDHUP POLLRDNORM POLLWRNORM
}

/// What a script sends is zeros; more than this no call of a script moves.
const MAX_OCTETS: i64 = 16 << 20;

impl Machine {
    /// The port that `bind(fd, ..., ...)` means.
    pub const BIND_PORT: u16 = 8080;
    /// The port of the peer that `connect(fd, ..., ...)` means.
    pub const CONNECT_PORT: u16 = 8080;

    /// A host with the habits of a persona, in the version of IP that the head of the script asks for.
    pub fn new(persona: &str, options: &[(String, String)]) -> Result<Machine, String> {
        let version = options.iter().rev().find(|(name, _)| name == "ip_version").map_or("ipv4", |(_, value)| value);
        let (v6, domain) = match version {
            "ipv4" => (false, Domain::V4),
            "ipv4-mapped-ipv6" | "ipv4_mapped_ipv6" => (false, Domain::V6),
            "ipv6" => (true, Domain::V6),
            _ => return Err(format!("--ip_version={version}: ipv4, ipv4-mapped-ipv6 or ipv6")),
        };
        let address = |texts: [&str; 2]| texts[usize::from(v6)].parse::<IpAddr>().unwrap();
        let host = Host::new(Settings::parse(&format!("profile={persona}"))?)?;
        let (local, remote) = (address(LOCAL), address(REMOTE));
        Ok(Machine {
            start: host.now(),
            host,
            domain,
            local,
            remote,
            fds: BTreeMap::new(),
            written: 0,
            connecting: false,
        })
    }

    /// Addresses of the host and of its peer, as they are on the wire.
    pub fn addresses(&self) -> (IpAddr, IpAddr) {
        (self.local, self.remote)
    }

    /// Microseconds since the start.
    pub fn now(&self) -> i64 {
        self.micros(self.host.now())
    }

    fn micros(&self, time: Instant) -> i64 {
        // Upwards: a clock that stands there has passed the time.
        (time.saturating_since(self.start).as_nanos() as i64 + 999) / 1_000
    }

    /// Moves the clock.
    pub fn advance(&mut self, to: i64) {
        let to = self.start + std::time::Duration::from_micros(to.max(0) as u64);
        if to > self.host.now() {
            self.host.advance_to(to);
        }
    }

    /// When something will happen by itself.
    pub fn deadline(&self) -> Option<i64> {
        self.host.next_deadline().map(|deadline| self.micros(deadline))
    }

    /// The next packet that left, and when.
    pub fn take(&mut self) -> Option<(i64, Vec<u8>)> {
        let (time, packet) = self.host.take_packet()?;
        Some((self.micros(time), packet))
    }

    /// A packet arrives.
    pub fn inject(&mut self, packet: &[u8]) {
        self.host.inject(packet);
    }

    /// The script calls this descriptor by this number.
    pub fn name_fd(&mut self, script: i64, fd: i64) -> Result<(), String> {
        match self.fds.insert(script, fd as Fd) {
            None => Ok(()),
            Some(_) => Err(format!("the descriptor {script} is there twice")),
        }
    }

    /// `socket` for UDP.
    pub fn is_datagram(call: &Call) -> bool {
        call.arguments.contains(&Expression::Word("SOCK_DGRAM".into()))
    }

    /// The number that an expression stands for.
    pub fn value(&self, expression: &Expression) -> Result<i64, String> {
        match expression {
            Expression::Integer(number) => Ok(*number),
            Expression::Word(name) => by_name(name).ok_or(format!("`{name}` is no name that our scripts use")),
            Expression::Or(left, right) => Ok(self.value(left)? | self.value(right)?),
            Expression::List(list) if list.len() == 1 => self.value(&list[0]),
            _ => Err(format!("{expression:?} is no number")),
        }
    }

    fn argument(&self, call: &Call, at: usize) -> Result<i64, String> {
        let argument = call.arguments.get(at).ok_or(format!("{} has too few arguments", call.name))?;
        self.value(argument).map_err(|what| format!("{}: argument {}: {what}", call.name, at + 1))
    }

    fn length(&self, call: &Call, at: usize) -> Result<usize, String> {
        match self.argument(call, at)? {
            octets @ 0..=MAX_OCTETS => Ok(octets as usize),
            octets => Err(format!("{}: {octets} octets: 0 to {MAX_OCTETS}", call.name)),
        }
    }

    /// Changes settings by the names of sysctls.
    pub fn sysctl(&mut self, settings: &[(String, String)]) -> Result<(), String> {
        let mut knobs = Knobs::default();
        settings.iter().for_each(|(name, value)| knobs.set(name, value));
        self.host.set_knobs(&knobs)
    }

    fn end(&self, local: bool) -> SocketAddr {
        let (address, port) = match local {
            true => (self.local, Machine::BIND_PORT),
            false => (self.remote, Machine::CONNECT_PORT),
        };
        self.domain.shown(SocketAddr::new(address, port))
    }

    /// Makes a call.
    pub fn call(&mut self, call: &Call) -> Result<Outcome, String> {
        if call.name == "socket" {
            return self.socket(call);
        }
        if call.name == "poll" {
            return self.poll(call);
        }
        let script_fd = self.argument(call, 0)?;
        let Some(fd) = self.fds.get(&script_fd).copied() else {
            return Err(format!("the script has no descriptor {script_fd}"));
        };
        let blocks = self.host.blocks(fd);
        let answer: Answer<i64> = match call.name.as_str() {
            "bind" => self.host.bind(fd, self.end(true)).map(|()| 0),
            "listen" => {
                let backlog = self.argument(call, 1)?;
                self.host.listen(fd, backlog.max(0) as u32).map(|()| 0)
            }
            "accept" => self.host.accept(fd).map(|(fd, _)| fd.into()),
            "connect" => return Ok(self.connect(fd, blocks)),
            "shutdown" => {
                let how = match self.argument(call, 1)? as i32 {
                    libc::SHUT_RD => Shutdown::Read,
                    libc::SHUT_WR => Shutdown::Write,
                    _ => Shutdown::Both,
                };
                self.host.shutdown(fd, how).map(|()| 0)
            }
            "close" => {
                self.fds.remove(&script_fd);
                self.host.close(fd).map(|()| 0)
            }
            "read" | "recv" | "recvfrom" => return self.receive(call, fd, blocks),
            "write" | "send" | "sendto" => return self.send(call, fd, blocks),
            "setsockopt" => {
                let (level, name, value) = (self.argument(call, 1)?, self.argument(call, 2)?, self.option_value(call)?);
                self.host.setsockopt(fd, level as i32, name as i32, &value).map(|()| 0)
            }
            "getsockopt" => return self.getsockopt(call, fd),
            "fcntl" => {
                let argument = if call.arguments.len() > 2 { self.argument(call, 2)? } else { 0 };
                self.host.fcntl(fd, self.argument(call, 1)? as i32, argument).map(i64::from)
            }
            "ioctl" => return self.ioctl(call, fd),
            name => return Err(format!("the call `{name}` is not part of our scripts")),
        };
        Ok(Outcome { blocks: blocks && answer == Err(Errno::EAGAIN), ..outcome(answer) })
    }

    fn socket(&mut self, call: &Call) -> Result<Outcome, String> {
        let domain = match call.arguments.first() {
            Some(Expression::Ellipsis) => self.domain,
            _ if self.argument(call, 0)? == i64::from(libc::AF_INET) => Domain::V4,
            _ => Domain::V6,
        };
        let kind = self.argument(call, 1)? as i32;
        let made = match kind & !libc::SOCK_NONBLOCK {
            libc::SOCK_STREAM => self.host.socket(domain, Kind::Stream),
            libc::SOCK_DGRAM => self.host.socket(domain, Kind::Datagram),
            _ => return Err("socket: SOCK_STREAM or SOCK_DGRAM".into()),
        };
        if let (Ok(fd), true) = (made, kind & libc::SOCK_NONBLOCK != 0) {
            let _ = self.host.set_flags(fd, libc::O_NONBLOCK);
        }
        Ok(outcome(made.map(i64::from)))
    }

    /// One that has waited is done once the connection is there.
    fn connect(&mut self, fd: Fd, blocks: bool) -> Outcome {
        let answer = self.host.connect(fd, self.end(false)).map(|()| 0);
        let waits = blocks && matches!(answer, Err(Errno::EINPROGRESS | Errno::EALREADY));
        let has_waited = std::mem::replace(&mut self.connecting, waits);
        let answer = if has_waited && answer == Err(Errno::EISCONN) { Ok(0) } else { answer };
        Outcome { blocks: waits, ..outcome(answer) }
    }

    fn receive(&mut self, call: &Call, fd: Fd, blocks: bool) -> Result<Outcome, String> {
        let flags = if call.name == "read" { 0 } else { self.argument(call, 3)? as i32 };
        let mut buffer = vec![0; self.length(call, 2)?];
        let answer = self.host.recv(fd, &mut buffer, flags);
        let waits = blocks && flags & libc::MSG_DONTWAIT == 0 && answer == Err(Errno::EAGAIN);
        Ok(Outcome { blocks: waits, ..outcome(answer.map(|octets| octets as i64)) })
    }

    /// A socket that waits takes all octets before the call returns.
    fn send(&mut self, call: &Call, fd: Fd, blocks: bool) -> Result<Outcome, String> {
        let flags = if call.name == "write" { 0 } else { self.argument(call, 3)? as i32 };
        let blocks = blocks && flags & libc::MSG_DONTWAIT == 0;
        let data = vec![0; self.length(call, 2)?];
        let to = if call.name == "sendto" { Some(self.end(false)) } else { None };
        loop {
            let rest = &data[self.written.min(data.len())..];
            let answer = match to {
                Some(to) => self.host.send_to(fd, rest, flags, Some(to)),
                None => self.host.send(fd, rest, flags),
            };
            match answer {
                Ok(octets) if blocks && octets > 0 && octets < rest.len() => self.written += octets,
                Err(Errno::EAGAIN) if blocks => return Ok(Outcome { blocks: true, ..Outcome::default() }),
                answer => {
                    let written = std::mem::take(&mut self.written);
                    return Ok(outcome(answer.map(|octets| (written + octets) as i64)));
                }
            }
        }
    }

    fn option_value(&self, call: &Call) -> Result<Vec<u8>, String> {
        let length = self.length(call, 4)?;
        let mut bytes = match call.arguments.get(3) {
            Some(Expression::Text(text)) => text.clone().into_bytes(),
            Some(Expression::Fields(fields)) => {
                let numbers = fields.iter().map(|(_, value)| self.value(value)).collect::<Result<Vec<_>, _>>()?;
                numbers.iter().flat_map(|number| (*number as i32).to_ne_bytes()).collect()
            }
            _ => (self.argument(call, 3)? as i32).to_ne_bytes().to_vec(),
        };
        bytes.resize(length, 0);
        Ok(bytes)
    }

    fn getsockopt(&mut self, call: &Call, fd: Fd) -> Result<Outcome, String> {
        let (level, name, room) = (self.argument(call, 1)?, self.argument(call, 2)?, self.length(call, 4)?);
        let answer = self.host.getsockopt(fd, level as i32, name as i32, room);
        let mut found = outcome(answer.as_ref().map(|_| 0).map_err(|errno| *errno));
        if let Ok(value) = answer {
            let matches = match call.arguments.get(3) {
                Some(Expression::Text(text)) => value == text.as_bytes(),
                Some(Expression::Ellipsis) => true,
                _ => value.len() == room && value == (self.argument(call, 3)? as i32).to_ne_bytes(),
            };
            if !matches {
                let shown = match <[u8; 4]>::try_from(&value[..]) {
                    Ok(bytes) => i32::from_ne_bytes(bytes).to_string(),
                    Err(_) => format!("{} octets: {}", value.len(), String::from_utf8_lossy(&value)),
                };
                found.wrong = Some(format!(
                    "getsockopt tells another value\nexpected: {:?}\nseen:     {shown}",
                    call.arguments[3]
                ));
            }
        }
        Ok(found)
    }

    fn ioctl(&mut self, call: &Call, fd: Fd) -> Result<Outcome, String> {
        let request = self.argument(call, 1)?;
        let answer = match request {
            _ if Some(request) == by_name("SIOCINQ") => self.host.unread(fd),
            _ if Some(request) == by_name("SIOCOUTQ") => self.host.unacknowledged(fd),
            _ => return Err("ioctl: SIOCINQ or SIOCOUTQ".into()),
        };
        let mut found = outcome(answer.map(|_| 0));
        if let (Ok(octets), wanted) = (answer, self.argument(call, 2)?)
            && octets as i64 != wanted
        {
            found.wrong = Some(format!("ioctl tells another value\nexpected: {wanted}\nseen:     {octets}"));
        }
        Ok(found)
    }

    fn poll(&mut self, call: &Call) -> Result<Outcome, String> {
        let Some(Expression::List(entries)) = call.arguments.first() else {
            return Err("poll: a list of {fd=...}".into());
        };
        let timeout = self.argument(call, 2)?;
        let (mut ready, mut wrong) = (0, None);
        for entry in entries {
            let Expression::Fields(fields) = entry else { return Err("poll: {fd=, events=, revents=}".into()) };
            let field = |name: &str| match fields.iter().find(|(field, _)| field == name) {
                Some((_, value)) => self.value(value),
                None => Ok(0),
            };
            let script_fd = field("fd")?;
            let fd = *self.fds.get(&script_fd).ok_or(format!("the script has no descriptor {script_fd}"))?;
            let (events, expected) = (field("events")? as i16, field("revents")?);
            let found = i64::from(self.host.poll(fd, events));
            ready += i64::from(found != 0);
            if found != expected {
                wrong = Some(format!(
                    "poll tells other events of {script_fd}\nexpected: {expected:#x}\nseen:     {found:#x}"
                ));
            }
        }
        Ok(Outcome { value: ready, blocks: ready == 0 && timeout != 0, wrong, ..Outcome::default() })
    }
}

fn outcome(answer: Answer<i64>) -> Outcome {
    match answer {
        Ok(value) => Outcome { value, ..Outcome::default() },
        Err(errno) => {
            let errno = errno.name().map_or(format!("errno {}", errno.0), str::to_string);
            Outcome { value: -1, errno: Some(errno), ..Outcome::default() }
        }
    }
}
