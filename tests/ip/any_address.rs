//! Any-address mode: whatever the device brings is for this host, and its answers come from the address that was asked.

use crate::kit::{give, icmp_error, icmp_message, ip_packet};
use glasstcp::SocketError;
use glasstcp::counters::DropReason;
use glasstcp::sim::Script;
use glasstcp::tcp::config::SocketOptions;
use glasstcp::wire::icmp::{self, IcmpError, IcmpMessage};
use glasstcp::wire::option::TcpOptions;
use glasstcp::wire::tcp::Flags;
use glasstcp::wire::udp::{self, UdpHeader};
use glasstcp::wire::{parse_ip, protocol};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// An address of somebody else, and who asks for it.
const PAIRS: [(&str, &str); 2] = [("93.184.216.34", "10.0.0.1"), ("2001:db8::34", "fd00:67::1")];

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// A host that stands in for all; the script's peer talks to `local`.
fn any(local: &str, peer: &str) -> Script {
    let mut script = Script::with(|config| config.any_address = true);
    script.local = SocketAddr::new(ip(local), 80);
    script.peer = SocketAddr::new(ip(peer), 40_000);
    script
}

fn datagram(from: SocketAddr, to: SocketAddr, data: &[u8]) -> Vec<u8> {
    let mut payload = vec![0; 8];
    let ports = UdpHeader { source_port: from.port(), destination_port: to.port() };
    udp::emit(from.ip(), to.ip(), &ports, data, &mut payload);
    payload.extend_from_slice(data);
    ip_packet(from.ip(), to.ip(), protocol::UDP, &payload)
}

fn echo_request(from: IpAddr, to: IpAddr) -> Vec<u8> {
    icmp_message(from, to, if to.is_ipv6() { 128 } else { 8 }, 0, &[0, 1, 0, 2, 3])
}

/// 1122-3.1-1: without the mode nothing of this is ours.
#[test]
fn a_plain_host_wants_none_of_it() {
    for (foreign, peer) in PAIRS {
        let mut script = Script::new();
        script.local = SocketAddr::new(ip(foreign), 80);
        script.peer = SocketAddr::new(ip(peer), 40_000);
        let syn = script.packet(&script.header(Flags::SYN), &[]);
        for packet in [syn, datagram(script.peer, script.local, b"x"), echo_request(ip(peer), ip(foreign))] {
            assert_eq!(give(&mut script, &packet), Some(DropReason::NotOurs));
        }
        assert!(script.packets().is_empty());
        let taken = script.stack.tcp_listen(script.local, 5, SocketOptions::default());
        assert_eq!(taken, Err(SocketError::AddressNotAvailable));
        assert_eq!(script.stack.udp_bind(script.local), Err(SocketError::AddressNotAvailable));
    }
}

/// 1122-3.3.4.2: what nobody wants is refused in the name of the host that was asked, at a limited rate.
#[test]
fn what_nobody_wants_is_refused_in_the_name_of_the_other_host() {
    for (foreign, peer) in PAIRS {
        let mut script = any(foreign, peer);
        let reset = script.peer_syn(TcpOptions::default());
        assert!(reset[0].flags().contains(Flags::RST));
        let header = parse_ip(&reset[0].packet).unwrap();
        assert_eq!((header.source, header.destination), (ip(foreign), ip(peer)));

        let unwanted = datagram(script.peer, script.local, b"x");
        assert_eq!(give(&mut script, &unwanted), Some(DropReason::UdpNoSocket));
        let answers = script.packets();
        let answer = parse_ip(&answers[0]).unwrap();
        assert_eq!((answer.source, answer.destination), (ip(foreign), ip(peer)));
        let IcmpMessage::Error { error, .. } = icmp::parse(answer.source, answer.destination, answer.payload).unwrap()
        else {
            panic!("{answer:?}")
        };
        assert_eq!(error, IcmpError::port_unreachable(ip(foreign)));

        let mut answers = [0, 0];
        for port in 0..5_000_u16 {
            script.peer.set_port(1 + port);
            answers[0] += script.peer_syn(TcpOptions::default()).len();
            let unwanted = datagram(script.peer, script.local, b"x");
            give(&mut script, &unwanted);
            answers[1] += script.packets().len();
        }
        let config = script.stack.config();
        assert!(answers[0] <= config.tcp.resets_per_second as usize, "{answers:?}");
        assert!(answers[1] <= config.icmp_errors_per_second as usize, "{answers:?}");
    }
}

/// 1122-3.2.2.6-1: an own address answers; that of another host only where the application says so.
#[test]
fn echo_is_answered_for_own_addresses_only_unless_asked() {
    for (foreign, peer) in PAIRS {
        let own = if foreign.contains(':') { "fd00:67::2" } else { "10.0.0.2" };
        let mut script = any(foreign, peer);
        assert_eq!(give(&mut script, &echo_request(ip(peer), ip(own))), None);
        assert_eq!(parse_ip(&script.packets()[0]).unwrap().source, ip(own));
        assert_eq!(give(&mut script, &echo_request(ip(peer), ip(foreign))), Some(DropReason::NotOurs));
        assert!(script.packets().is_empty());

        let mut script = Script::with(|config| {
            config.any_address = true;
            config.answer_echo_for_any = true;
        });
        assert_eq!(give(&mut script, &echo_request(ip(peer), ip(foreign))), None);
        assert_eq!(parse_ip(&script.packets()[0]).unwrap().source, ip(foreign));
    }
}

/// 1122-3.2.1.3-3, 9293-MUST-63, 9293-MUST-57: martians, groups and LAND come before everything else.
#[test]
fn martians_and_land_are_dropped_first() {
    for (from, to, reason) in [
        ("10.0.0.1", "127.0.0.1", DropReason::NotOurs),
        ("10.0.0.1", "0.0.0.0", DropReason::NotOurs),
        ("10.0.0.1", "240.1.2.3", DropReason::NotOurs),
        ("10.0.0.1", "224.0.0.9", DropReason::NotOurs),
        ("10.0.0.1", "255.255.255.255", DropReason::TcpNotUnicast),
        ("10.0.0.1", "10.0.0.255", DropReason::TcpNotUnicast),
        ("10.0.0.2", "8.8.8.8", DropReason::IpOwnSource),
        ("8.8.8.8", "8.8.8.8", DropReason::IpOwnSource),
        ("127.0.0.1", "8.8.8.8", DropReason::IpSource),
        ("10.0.0.255", "8.8.8.8", DropReason::IpSource),
        ("224.0.0.1", "8.8.8.8", DropReason::IpSource),
        ("fd00:67::1", "::1", DropReason::NotOurs),
        ("fd00:67::1", "::", DropReason::NotOurs),
        ("fd00:67::1", "ff02::5", DropReason::NotOurs),
        ("fd00:67::2", "2001:db8::1", DropReason::IpOwnSource),
        ("2001:db8::1", "2001:db8::1", DropReason::IpOwnSource),
        ("::1", "2001:db8::1", DropReason::IpSource),
    ] {
        let mut script = any(to, from);
        let wildcard = if to.contains(':') { "[::]:80" } else { "0.0.0.0:80" };
        script.stack.tcp_listen(address(wildcard), 5, SocketOptions::default()).unwrap();
        let syn = script.packet(&script.header(Flags::SYN), &[]);
        assert_eq!(give(&mut script, &syn), Some(reason), "{from} to {to}");
        assert!(script.packets().is_empty(), "{from} to {to}");
        assert_eq!(script.stack.table_sizes(), (0, 0, 0));
    }
}

/// 9293-MUST-45: a connection keeps the address that its peer asked for, to its end.
#[test]
fn a_listener_on_all_addresses_is_all_hosts() {
    for (foreign, peer) in PAIRS {
        let mut script = any(foreign, peer);
        let wildcard = if foreign.contains(':') { "[::]:80" } else { "0.0.0.0:80" };
        let listener = script.stack.tcp_listen(address(wildcard), 5, SocketOptions::default()).unwrap();
        let syn_ack = script.peer_syn(TcpOptions::default()).remove(0);
        assert_eq!(syn_ack.flags(), Flags::SYN | Flags::ACK);
        script.ack = syn_ack.header.seq.wrapping_add(1);
        script.inject(&script.header(Flags::ACK), &[]);
        let (handle, remote) = script.stack.tcp_accept(listener).unwrap();
        assert_eq!(remote, script.peer);
        assert_eq!(script.stack.tcp_tuple(handle).unwrap().local(), script.local);
        script.peer_sends(b"to anybody");
        assert_eq!(script.receive(handle), b"to anybody");
        let text = script.send(handle, b"from anybody").remove(0);
        assert_eq!(parse_ip(&text.packet).unwrap().source, ip(foreign));
        // An error about it is about a packet of ours.
        let router = if foreign.contains(':') { ip("fd00:67::9") } else { ip("10.0.0.9") };
        let error = icmp_error(router, &text.packet, IcmpError::DestinationUnreachable { code: 1 });
        assert_eq!(give(&mut script, &error), None);
        assert!(script.stack.tcp_take_soft_error(handle).is_some());
    }
}

/// 9293-MUST-43: sockets may have any address of one host, and none that is not one host's.
#[test]
fn sockets_may_have_any_address() {
    for (foreign, peer) in PAIRS {
        let mut script = any(foreign, peer);
        let listener = script.listen();
        assert_eq!(script.stack.listener_local(listener), Some(script.local));
        assert_eq!(script.peer_syn(TcpOptions::default())[0].flags(), Flags::SYN | Flags::ACK);
        script.pass(Duration::from_secs(300));

        let options = SocketOptions::default();
        let local = SocketAddr::new(ip(foreign), 7_000);
        let handle = script.stack.tcp_connect(script.now, Some(local), script.peer, options).unwrap();
        let syn = script.sent_one();
        assert_eq!((parse_ip(&syn.packet).unwrap().source, syn.header.source_port), (ip(foreign), 7_000));
        assert_eq!(script.stack.tcp_tuple(handle).unwrap().local(), local);

        let socket = script.stack.udp_bind(local).unwrap();
        let packet = datagram(script.peer, local, b"question");
        give(&mut script, &packet);
        let question = script.stack.udp_receive(socket).unwrap();
        assert_eq!((question.source, question.destination), (script.peer, local));
        script.stack.udp_send(script.now, socket, Some(script.peer), b"answer").unwrap();
        assert_eq!(parse_ip(&script.packets()[0]).unwrap().source, ip(foreign));
    }
    let mut script = any("8.8.8.8", "10.0.0.1");
    for nobody in ["224.0.0.1:9", "255.255.255.255:9", "10.0.0.255:9", "240.0.0.1:9", "[ff02::1]:9"] {
        let refused = script.stack.tcp_listen(address(nobody), 5, SocketOptions::default());
        assert_eq!(refused, Err(SocketError::AddressNotAvailable), "{nobody}");
    }
}
