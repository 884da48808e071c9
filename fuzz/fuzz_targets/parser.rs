//! Any bytes into all parsers and into a whole stack.
#![no_main]

use glasstcp::device::RxMeta;
use glasstcp::sim::Script;
use glasstcp::wire::{icmp, igmp, mld, parse_ip, protocol, quoted, tcp, udp};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let _ = quoted::parse(data);
    if let Ok(packet) = parse_ip(data) {
        assert!(packet.packet.len() <= data.len() && packet.payload.len() <= packet.packet.len());
        let (source, destination) = (packet.source, packet.destination);
        match packet.protocol {
            protocol::TCP => drop(tcp::parse(packet.payload)),
            protocol::UDP => drop(udp::parse(source, destination, packet.payload, false)),
            protocol::IGMP => drop(igmp::parse(&packet)),
            protocol::ICMPV6 if mld::is_mld(packet.payload) => drop(mld::parse(&packet)),
            _ => drop(icmp::parse(source, destination, packet.payload)),
        }
    }
    let mut script = Script::new();
    script.listen();
    script.stack.handle_packet(script.now, data, &RxMeta::plain(data.len()));
    let answers = script.packets();
    assert!(answers.len() <= 1 && answers.iter().all(|answer| parse_ip(answer).is_ok()));
});
