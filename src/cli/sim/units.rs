//! Quantities as people write them: `100mbit`, `20ms`, `1%`, `1bdp`. They are read exactly, without floating point.

use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer};

use crate::device::impair::Narrow;
use crate::sim::dumbbell::QueueLength;
use crate::tcp::congestion::Algorithm;

/// Bits per second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) struct Rate(pub(in crate::cli) u64);

/// A time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) struct Span(pub(in crate::cli) Duration);

/// A chance, in a millionth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) struct Chance(pub(in crate::cli) u32);

/// An amount of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) struct Bytes(pub(in crate::cli) u64);

/// The length of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) struct Queue(pub(in crate::cli) QueueLength);

/// The path is down: from when, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) struct Outage(pub(in crate::cli) Duration, pub(in crate::cli) Duration);

/// The route changes: when, and what the round trip is then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) struct Route(pub(in crate::cli) Duration, pub(in crate::cli) Duration);

/// Losses in bursts: how often one begins, in a millionth of the packets, and how many packets it is long on average.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) struct Bursts(pub(in crate::cli) u32, pub(in crate::cli) u32);

/// A link that takes less than its neighbours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) struct PathMtu(pub(in crate::cli) Narrow);

/// A congestion controller, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) struct Controller(pub(in crate::cli) Algorithm);

/// Reads a decimal number with a unit as a whole number of the smallest unit; `units` has names and sizes.
fn read(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let text = text.trim();
    let at = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = (&text[..at], text[at..].trim().to_ascii_lowercase());
    let size = units.iter().find(|(name, _)| *name == unit)?.1;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || fraction.len() > 9 {
        return None;
    }
    let whole = u128::from(whole.parse::<u64>().ok()?) * u128::from(size);
    let digits = if fraction.is_empty() { 0 } else { fraction.parse::<u64>().ok()? };
    let scale = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
    u64::try_from(whole + u128::from(digits) * u128::from(size) / scale).ok()
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Rate, String> {
        const UNITS: [(&str, u64); 4] = [("bit", 1), ("kbit", 1_000), ("mbit", 1_000_000), ("gbit", 1_000_000_000)];
        match read(text, &UNITS) {
            Some(rate @ 1_000..=1_000_000_000_000) => Ok(Rate(rate)),
            _ => Err(format!("'{text}' is not a rate: such as 500kbit, 100mbit or 1.5gbit (1 kbit to 1000 gbit)")),
        }
    }
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Span, String> {
        const UNITS: [(&str, u64); 5] =
            [("ns", 1), ("us", 1_000), ("ms", 1_000_000), ("s", 1_000_000_000), ("min", 60_000_000_000)];
        // 0 is the same in all units.
        match read(text, &UNITS).or_else(|| (text.trim() == "0").then_some(0)) {
            Some(nanos) if nanos <= 86_400_000_000_000 => Ok(Span(Duration::from_nanos(nanos))),
            _ => Err(format!("'{text}' is not a time: such as 500us, 20ms, 1.5s or 2min (up to a day)")),
        }
    }
}

impl FromStr for Chance {
    type Err = String;

    fn from_str(text: &str) -> Result<Chance, String> {
        match read(text, &[("%", 10_000)]).or_else(|| (text.trim() == "0").then_some(0)) {
            Some(per_million @ 0..=1_000_000) => Ok(Chance(per_million as u32)),
            _ => Err(format!("'{text}' is not a share of the packets: such as 1% or 0.05%")),
        }
    }
}

impl FromStr for Bytes {
    type Err = String;

    fn from_str(text: &str) -> Result<Bytes, String> {
        match read(text, &BYTES) {
            Some(bytes) if bytes > 0 => Ok(Bytes(bytes)),
            _ => Err(format!("'{text}' is not an amount of bytes: such as 64kb, 10mb or 1.5gb")),
        }
    }
}

const BYTES: [(&str, u64); 5] = [("", 1), ("b", 1), ("kb", 1_000), ("mb", 1_000_000), ("gb", 1_000_000_000)];

impl FromStr for Queue {
    type Err = String;

    fn from_str(text: &str) -> Result<Queue, String> {
        let length = read(text, &[("bdp", 1_000)])
            .map(QueueLength::BandwidthDelay)
            .or_else(|| read(text, &[("p", 1)]).map(QueueLength::Packets))
            .or_else(|| read(text, &BYTES[1..]).map(QueueLength::Bytes));
        match length {
            Some(QueueLength::BandwidthDelay(0) | QueueLength::Packets(0) | QueueLength::Bytes(0)) | None => {
                Err(format!(
                    "'{text}' is not the length of a queue: such as 1bdp (what rate and round trip hold), 100p (packets) or 150kb"
                ))
            }
            Some(length) => Ok(Queue(length)),
        }
    }
}

/// Two parts of a text, each read in its way.
fn pair<A: FromStr<Err = String>, B: FromStr<Err = String>>(text: &str, by: char) -> Option<Result<(A, B), String>> {
    let (first, second) = text.split_once(by)?;
    Some(first.parse().and_then(|first| Ok((first, second.parse()?))))
}

impl FromStr for Outage {
    type Err = String;

    fn from_str(text: &str) -> Result<Outage, String> {
        let (from, lasts): (Span, Span) =
            pair(text, '+').unwrap_or_else(|| Err(format!("'{text}' is not an outage: such as 2s+200ms")))?;
        Ok(Outage(from.0, lasts.0))
    }
}

impl FromStr for Route {
    type Err = String;

    fn from_str(text: &str) -> Result<Route, String> {
        let (at, rtt): (Span, Span) = pair(text, '=')
            .unwrap_or_else(|| Err(format!("'{text}' is not a change of the route: such as 5s=80ms")))?;
        Ok(Route(at.0, rtt.0))
    }
}

impl FromStr for Bursts {
    type Err = String;

    fn from_str(text: &str) -> Result<Bursts, String> {
        let wrong = || {
            format!("'{text}' is not a kind of bursts: such as 0.1%x10, one before 0.1% of the packets, of 10 packets")
        };
        let (share, length) = text.split_once('x').ok_or_else(wrong)?;
        let length: u32 =
            length.trim().parse().ok().filter(|length| (1..=1_000_000).contains(length)).ok_or_else(wrong)?;
        Ok(Bursts(share.parse::<Chance>().map_err(|_| wrong())?.0, length))
    }
}

impl FromStr for PathMtu {
    type Err = String;

    fn from_str(text: &str) -> Result<PathMtu, String> {
        let (number, tells) = text.strip_suffix(",silent").map_or((text, true), |number| (number, false));
        let mtu = number.trim().parse().ok().filter(|mtu| (68..=65_535).contains(mtu));
        let mtu = mtu.ok_or_else(|| format!("'{text}' is not a path MTU: such as 1400, or 1400,silent"))?;
        Ok(PathMtu(Narrow { mtu, tells }))
    }
}

impl FromStr for Controller {
    type Err = String;

    fn from_str(text: &str) -> Result<Controller, String> {
        text.trim().parse().map(Controller).map_err(|error| format!("'{text}' is no congestion control: {error}"))
    }
}

macro_rules! read_from_text {
    ($($name:ident)*) => {
        $(
            impl<'de> Deserialize<'de> for $name {
                fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<$name, D::Error> {
                    String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
                }
            }
        )*
    };
}

read_from_text!(Rate Span Chance Bytes Queue Outage Route Bursts PathMtu Controller);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read_exactly() {
        assert_eq!("1.5gbit".parse(), Ok(Rate(1_500_000_000)));
        assert_eq!("100 Mbit".parse(), Ok(Rate(100_000_000)));
        assert_eq!("0.1ms".parse(), Ok(Span(Duration::from_micros(100))));
        assert_eq!("0".parse(), Ok(Span(Duration::ZERO)));
        assert_eq!("0.05%".parse(), Ok(Chance(500)));
        assert_eq!("10mb".parse(), Ok(Bytes(10_000_000)));
        assert_eq!("0.5bdp".parse(), Ok(Queue(QueueLength::BandwidthDelay(500))));
        assert_eq!("100p".parse(), Ok(Queue(QueueLength::Packets(100))));
        assert_eq!("64kb".parse(), Ok(Queue(QueueLength::Bytes(64_000))));
        assert_eq!("2s+200ms".parse(), Ok(Outage(Duration::from_secs(2), Duration::from_millis(200))));
        assert_eq!("5s=80ms".parse(), Ok(Route(Duration::from_secs(5), Duration::from_millis(80))));
        assert_eq!("0.1%x10".parse(), Ok(Bursts(1_000, 10)));
        for (text, tells) in [("1400", true), ("1400,silent", false)] {
            assert_eq!(text.parse(), Ok(PathMtu(Narrow { mtu: 1_400, tells })));
        }
    }

    #[test]
    fn what_is_no_quantity_is_explained() {
        for bad in ["", "fast", "10", "-1mbit", "1e3mbit", "0bit", "9999999999gbit", ".5mbit", "1.2.3mbit"] {
            assert!(bad.parse::<Rate>().is_err(), "{bad}");
        }
        assert!("10".parse::<Span>().unwrap_err().contains("20ms"));
        assert!("101%".parse::<Chance>().is_err() && "1".parse::<Chance>().is_err());
        assert!("0bdp".parse::<Queue>().is_err() && "10".parse::<Queue>().is_err());
        assert!("2s".parse::<Outage>().unwrap_err().contains("2s+200ms"));
        assert!("67".parse::<PathMtu>().is_err() && "1400,loud".parse::<PathMtu>().unwrap_err().contains("silent"));
        assert!("vegas".parse::<Controller>().unwrap_err().contains("reno"));
    }
}
