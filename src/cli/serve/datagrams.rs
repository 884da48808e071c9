//! The services of UDP: echo, daytime and a few names. Each answers one datagram with at most as many, and never another
//! service that would answer in turn.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use super::dns;
use crate::ip::IpCidr;
use crate::net::{Message, UdpSocket};

/// What a port does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Service {
    Echo,
    /// The time for people (RFC 867).
    Daytime,
    /// The names of this host.
    Names,
}

/// Ports of services that answer whatever comes: echo, daytime, quotes, characters, time, names and the clock of NTP. Two of
/// them would talk to each other for ever, and who forges the source of one datagram could make them (CERT CA-1996-01).
const TALKATIVE: [u16; 8] = [0, 7, 13, 17, 19, 37, 53, 123];

/// What all UDP services share.
pub(super) struct Front {
    /// The ports of our own, which are as talkative wherever they are.
    pub(super) own_ports: Vec<u16>,
    pub(super) addresses: Vec<IpCidr>,
}

impl Front {
    /// Whether an answer to this end could be answered by a machine.
    fn is_talkative(&self, service: Service, peer: SocketAddr) -> bool {
        // Resolvers of old ask from the port of names, and our answers are never taken for questions.
        let asks = service == Service::Names && peer.port() == 53;
        !asks && (TALKATIVE.contains(&peer.port()) || self.own_ports.contains(&peer.port()))
    }

    /// Receives one datagram, or several that came in one piece, and answers. What cannot be sent now is lost, as datagrams
    /// are.
    pub(super) fn answer(&self, socket: &UdpSocket, service: Service, buffer: &mut [u8]) -> io::Result<()> {
        let meta = match socket.recv_msg(buffer) {
            // The error of an earlier datagram is no news.
            Err(error) if matches!(error.kind(), ErrorKind::ConnectionRefused | ErrorKind::NetworkUnreachable) => {
                return Ok(());
            }
            result => result?,
        };
        if self.is_talkative(service, meta.source) {
            return Ok(());
        }
        let question = &buffer[..meta.len];
        let answer = match service {
            Service::Echo => {
                let segment_size = (meta.len > meta.stride).then_some(meta.stride);
                let _ = socket.send_msg(&Message { segment_size, ..Message::to(meta.source, question) });
                return Ok(());
            }
            Service::Daytime => Some(daytime(SystemTime::now()).into_bytes()),
            Service::Names => dns::answer(question, meta.source, &self.addresses),
        };
        if let Some(answer) = answer {
            let _ = socket.send_to(&answer, meta.source);
        }
        Ok(())
    }
}

/// The time in words, of Greenwich.
fn daytime(now: SystemTime) -> String {
    let seconds = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let weekday = ["Thursday", "Friday", "Saturday", "Sunday", "Monday", "Tuesday", "Wednesday"][(days % 7) as usize];
    let (year, month, day) = date(days);
    let months = [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ];
    let month = months[month];
    let (hour, minute, second) = (rest / 3_600, rest / 60 % 60, rest % 60);
    format!("{weekday}, {month} {day}, {year} {hour:02}:{minute:02}:{second:02}-UTC\r\n")
}

/// Year, month (from 0) and day of a day that is so many after 1970-01-01.
fn date(mut days: u64) -> (u64, usize, u64) {
    let leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let mut year = 1970;
    while days >= 365 + u64::from(leap(year)) {
        days -= 365 + u64::from(leap(year));
        year += 1;
    }
    let mut month = 0;
    for len in [31, 28 + u64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        if days < len {
            break;
        }
        days -= len;
        month += 1;
    }
    (year, month, days + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_told_as_rfc_867_shows_it() {
        let at = |seconds| daytime(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(at(0), "Thursday, January 1, 1970 00:00:00-UTC\r\n");
        assert_eq!(at(951_782_399), "Monday, February 28, 2000 23:59:59-UTC\r\n");
        assert_eq!(at(951_782_400), "Tuesday, February 29, 2000 00:00:00-UTC\r\n");
        assert_eq!(at(1_704_067_199), "Sunday, December 31, 2023 23:59:59-UTC\r\n");
        assert_eq!(at(4_107_542_400), "Monday, March 1, 2100 00:00:00-UTC\r\n");
    }

    #[test]
    fn nobody_is_answered_who_would_answer() {
        let front = Front { own_ports: vec![7, 1_013, 53], addresses: Vec::new() };
        let talkative = |service, port| front.is_talkative(service, SocketAddr::from(([10, 0, 0, 1], port)));
        for port in [0, 7, 13, 17, 19, 37, 123, 1_013] {
            assert!(talkative(Service::Echo, port) && talkative(Service::Daytime, port), "{port}");
            assert!(talkative(Service::Names, port), "{port}");
        }
        assert!(talkative(Service::Echo, 53) && !talkative(Service::Names, 53));
        assert!(!talkative(Service::Echo, 1_014) && !talkative(Service::Daytime, 40_000));
    }
}
