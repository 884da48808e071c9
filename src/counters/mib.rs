//! The counters by layer, under the names of the MIBs of IP (RFC 4293), UDP (RFC 4113) and TCP (RFC 4022).

use super::{Counters, DropReason};

/// What a counter is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Layer {
    /// IPv4 and IPv6.
    Ip,
    /// Reassembly and fragments, a part of IP that has a table of its own.
    Fragments,
    /// ICMP of both families.
    Icmp,
    /// UDP.
    Udp,
    /// TCP.
    Tcp,
}

impl Layer {
    /// All layers, lowest first.
    pub const ALL: [Layer; 5] = [Layer::Ip, Layer::Fragments, Layer::Icmp, Layer::Udp, Layer::Tcp];

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Layer::Ip => "IP",
            Layer::Fragments => "Fragments",
            Layer::Icmp => "ICMP",
            Layer::Udp => "UDP",
            Layer::Tcp => "TCP",
        }
    }
}

/// One counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    /// What it is about.
    pub layer: Layer,
    /// What it counts, in words.
    pub name: &'static str,
    /// Its name in the MIB of the layer, without the layer's prefix; empty where there is none.
    pub mib: &'static str,
    /// How many since the start.
    pub value: u64,
}

impl DropReason {
    /// The counter of a MIB that this drop is part of.
    const fn mib(self) -> Option<(Layer, &'static str, &'static str)> {
        use DropReason::*;
        Some(match self {
            IpVersion | IpHeaderLength | IpChecksum | IpOption | ExtensionHeader | ExtensionRefused | SourceRoute => {
                (Layer::Ip, "bad headers", "InHdrErrors")
            }
            IpTruncated | IpLength => (Layer::Ip, "truncated", "InTruncatedPkts"),
            IpSource | IpOwnSource | NotOurs => (Layer::Ip, "bad addresses", "InAddrErrors"),
            UnknownProtocol => (Layer::Ip, "unknown protocols", "InUnknownProtos"),
            SiblingBusy => (Layer::Ip, "discarded in", "InDiscards"),
            ReplyLimited => (Layer::Ip, "discarded out", "OutDiscards"),
            IgmpMalformed | IgmpChecksum | IcmpMalformed | IcmpChecksum => (Layer::Icmp, "bad ICMP", "InErrors"),
            NoIdentification => (Layer::Fragments, "fragmentation failed", "OutFragFails"),
            IcmpRateLimited => (Layer::Icmp, "errors not sent", "OutRateLimitHost"),
            UdpNoSocket => (Layer::Udp, "no such port", "NoPorts"),
            UdpLength | UdpChecksum | UdpQueueFull | UdpNoMemory => (Layer::Udp, "bad datagrams", "InErrors"),
            TcpHeader | TcpOption | TcpChecksum => (Layer::Tcp, "bad segments", "InErrs"),
            _ => return None,
        })
    }
}

impl Counters {
    /// All counters of a layer: what was counted itself, and sums of drops that a MIB has a name for.
    pub fn layer(&self, layer: Layer) -> Vec<Count> {
        let mut all: Vec<Count> = self.counts().into_iter().filter(|count| count.layer == layer).collect();
        for &reason in DropReason::ALL {
            let Some((_, name, mib)) = reason.mib().filter(|&(of, ..)| of == layer) else { continue };
            let more = self.dropped(reason);
            match all.iter_mut().find(|count| count.mib == mib) {
                Some(count) => count.value += more,
                None => all.push(Count { layer, name, mib, value: more }),
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_drops_are_summed_up() {
        let mut counters = Counters { packets_in: 7, segments_out: 9, ..Counters::default() };
        for reason in [DropReason::IpChecksum, DropReason::IpVersion, DropReason::IpVersion, DropReason::TcpOption] {
            counters.count(reason);
        }
        let mut names = Vec::new();
        let mut mibs = Vec::new();
        for layer in Layer::ALL {
            for count in counters.layer(layer) {
                assert_eq!(count.layer, layer);
                names.push(count.name);
                mibs.extend((!count.mib.is_empty()).then_some((layer, count.mib)));
            }
        }
        let (all, named) = (names.len(), mibs.len());
        names.sort_unstable();
        names.dedup();
        mibs.sort_unstable();
        mibs.dedup();
        assert_eq!((names.len(), mibs.len()), (all, named));
        let value = |layer, mib| counters.layer(layer).iter().find(|count| count.mib == mib).map(|count| count.value);
        assert_eq!(value(Layer::Ip, "InReceives"), Some(7));
        assert_eq!(value(Layer::Ip, "InHdrErrors"), Some(3));
        assert_eq!(value(Layer::Tcp, "InErrs"), Some(1));
        assert_eq!(value(Layer::Tcp, "OutSegs"), Some(9));
        let mut sum = counters.clone();
        sum.add(&counters);
        assert_eq!((sum.packets_in, sum.segments_out, sum.dropped(DropReason::IpVersion)), (14, 18, 4));
    }
}
