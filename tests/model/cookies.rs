//! Before anything happens in a world of Fast Open: clients learn the cookies of their servers, by a connection that leaves
//! nothing behind.

use glasstcp::device::RxMeta;
use glasstcp::stack::{ListenOptions, Stack};
use glasstcp::tcp::fast_open::{Key, Keys, ListenFastOpen};
use glasstcp::time::Instant;

use super::action::Side;
use super::host::Host;

/// Where cookies are given: they are for a pair of addresses, whatever the port.
const COOKIE_PORT: u16 = 7;

/// The keys of a server that has changed them since.
pub const OTHER_KEYS: Keys = Keys::Fixed(Key([9; 16]), None);

/// The client on this side learns the cookie of the other one.
pub fn learn(hosts: &mut [Host; 2], side: Side, now: Instant) {
    let (own, peer) = (usize::from(side), usize::from(1 - side));
    let mut from = hosts[own].address;
    let mut to = hosts[peer].address;
    from.set_port(COOKIE_PORT);
    to.set_port(COOKIE_PORT);
    let options = ListenOptions { fast_open: Some(ListenFastOpen::new(1)), ..ListenOptions::default() };
    let listener = hosts[peer].stack.tcp_listen_with(to, &options).unwrap();
    let socket = hosts[own].stack.config().tcp.socket;
    let (client, _) = hosts[own].stack.tcp_connect_fast(now, Some(from), to, socket, b"").unwrap();
    talk(hosts, own, now);
    let (server, _) = hosts[peer].stack.tcp_accept(listener).unwrap();
    hosts[own].stack.tcp_abort(now, client);
    hosts[own].stack.tcp_close(now, client);
    talk(hosts, own, now);
    hosts[peer].stack.tcp_close(now, server);
    hosts[peer].stack.listener_close(now, listener);
    talk(hosts, own, now);
    assert!(hosts[own].stack.fast_open_knows(to.ip()), "the cookie is known");
    for host in hosts {
        while host.stack.poll_ready().is_some() {}
        assert_eq!((host.stack.table_sizes(), host.stack.buffer_memory()), ((0, 0, 0), 0), "nothing is left");
    }
}

/// Everything that the two have to say to each other at once; `first` begins.
fn talk(hosts: &mut [Host; 2], first: usize, now: Instant) {
    for at in [first, 1 - first, first, 1 - first] {
        for packet in sent(&mut hosts[at].stack, now) {
            hosts[1 - at].stack.handle_packet(now, &packet, &RxMeta::plain(packet.len()));
        }
    }
}

fn sent(stack: &mut Stack, now: Instant) -> Vec<Vec<u8>> {
    let mut packets = Vec::new();
    stack.transmit(now, usize::MAX, |transmit| {
        packets.push(transmit.to_vec());
        Ok(())
    });
    packets
}
