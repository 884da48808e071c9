//! Tests of the offload TUN against the kernel. Each runs in a network namespace of its own thread.

use std::io::Write;
use std::net::{TcpStream, UdpSocket};
use std::time::Duration;

use etherparse::{PacketBuilder, TcpSlice, checksum};

use super::super::namespace_tests::{drain, echo_request, in_namespace, ip, poll, send, transmit_checksum_offload};
use super::super::wire_view::wire_view;
use super::super::{RxChecksum, TxChecksum};
use super::*;

const OURS: [u8; 4] = [10, 9, 0, 2];
const KERNELS: [u8; 4] = [10, 9, 0, 1];

fn refusal(name: &str, queues: usize) -> TunError {
    OffloadDevice::open_queues(name, queues).map(drop).unwrap_err()
}

/// Opens a TUN that was just closed. A program that another test starts at this moment has inherited the closed descriptor, as
/// every descriptor, until it begins; so long the TUN is busy.
fn reopened<T>(open: impl Fn() -> Result<T, TunError>) -> T {
    for _ in 0..1_000 {
        match open() {
            Err(TunError::Busy { .. }) => std::thread::sleep(Duration::from_millis(5)),
            opened => return opened.unwrap(),
        }
    }
    panic!("it stays busy");
}

fn up(name: &str) {
    ip(&format!("addr add 10.9.0.1/24 dev {name}"));
    ip(&format!("link set {name} up"));
}

/// The next packet that `wanted` likes; others are the system's own business.
fn next(device: &dyn Device, wanted: impl Fn(&[u8]) -> bool) -> (Vec<u8>, RxMeta) {
    let mut buffer = vec![0; 65_536];
    for _ in 0..2_000 {
        match device.receive(&mut buffer) {
            Ok(meta) if wanted(&buffer[..meta.len]) => return (buffer[..meta.len].to_vec(), meta),
            Ok(_) => {}
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }
    panic!("no such packet came");
}

fn assert_answers(device: &dyn Device) {
    drain(device);
    send(device, &echo_request()).unwrap();
    next(device, |packet| packet[0] >> 4 == 4 && packet[9] == 1 && packet[20] == 0 && packet.ends_with(b"hello"));
}

/// Transport header and payload of an IPv4 packet, with a checksum that only lacks the payload.
fn leave_checksum(packet: &mut [u8], offset: usize) -> TxChecksum {
    let len = u16::try_from(packet.len() - 20).unwrap();
    let sum = checksum::Sum16BitWords::new()
        .add_slice(&packet[12..20])
        .add_2bytes([0, packet[9]])
        .add_2bytes(len.to_be_bytes())
        .ones_complement();
    packet[20 + offset..][..2].copy_from_slice(&(!sum).to_ne_bytes());
    TxChecksum::Partial { start: 20, offset: offset as u16 }
}

#[test]
fn a_missing_interface_is_created_and_carries_packets() {
    in_namespace(|| {
        let device = OffloadDevice::open("glt%d").unwrap();
        assert_eq!(device.name(), "glt0");
        let plain = Capabilities { max_big_v4: device.capabilities().max_big_v4, ..Capabilities::plain(1500) };
        // Linux 6.2 or later.
        let full = Capabilities { tx_checksum: true, udp_segmentation: true, ..plain };
        let expected = Capabilities { max_super_v4: 65_535, max_super_v6: 65_535, ..full };
        assert_eq!(device.capabilities(), expected);
        // Only a kernel that reads them is offered longer ones.
        let reads_big = interface::kernel_release().unwrap() >= (6, 3);
        assert_eq!(plain.max_big_v4, if reads_big { MAX_BIG } else { 0 });
        assert!(!device.is_up().unwrap());
        up("glt0");
        assert!(device.interface().is_up().unwrap() && transmit_checksum_offload("glt0"));
        assert_answers(&device);
    });
}

#[test]
fn the_kernel_cuts_and_sums_what_we_send() {
    in_namespace(|| {
        let device = OffloadDevice::open("glt0").unwrap();
        up("glt0");
        let socket = UdpSocket::bind("10.9.0.1:4000").unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let payload: Vec<u8> = (0..3_100_u32).map(|n| n as u8).collect();
        let mut packet = Vec::new();
        PacketBuilder::ipv4(OURS, KERNELS, 64).udp(80, 4000).write(&mut packet, &payload).unwrap();
        let checksum = leave_checksum(&mut packet, 6);
        let meta = TxMeta { checksum, gso_size: 1_000, header_len: 28, ecn: false };
        // In more pieces than there is room for without a list on the heap.
        let pieces: Vec<IoSlice<'_>> = packet.chunks(500).map(IoSlice::new).collect();
        assert!(pieces.len() > MAX_PIECES);
        device.transmit(&pieces, &meta).unwrap();
        let mut buffer = [0; 4_000];
        for expected in payload.chunks(1_000) {
            let len = socket.recv(&mut buffer).expect("a datagram with a right checksum");
            assert_eq!(&buffer[..len], expected);
        }
        // And one that needs no cutting, but a checksum.
        let mut packet = Vec::new();
        PacketBuilder::ipv4(OURS, KERNELS, 64).udp(80, 4000).write(&mut packet, b"small").unwrap();
        let meta = TxMeta { checksum: leave_checksum(&mut packet, 6), ..TxMeta::default() };
        device.transmit(&[IoSlice::new(&packet)], &meta).unwrap();
        assert_eq!(socket.recv(&mut buffer).unwrap(), 5);
        assert_eq!(device.refused(), 0);
    });
}

#[test]
fn the_kernel_hands_over_super_segments_that_read_as_on_a_wire() {
    in_namespace(|| {
        let device = OffloadDevice::open("glt0").unwrap();
        up("glt0");
        let text: Vec<u8> = (0..10_000_u32).map(|n| (n * 7) as u8).collect();
        let writer = std::thread::scope(|scope| {
            // The thread inherits the namespace.
            let client = scope.spawn(|| {
                let mut stream = TcpStream::connect("10.9.0.2:80").unwrap();
                stream.write_all(&text).unwrap();
                stream
            });
            let is_tcp = |packet: &[u8]| packet[0] >> 4 == 4 && packet[9] == 6;
            let (syn, meta) = next(&device, is_tcp);
            assert_eq!((meta.checksum, meta.gso_size), (RxChecksum::Partial, 0));
            let syn = TcpSlice::from_slice(&syn[20..]).unwrap().to_header();
            let mut answer = Vec::new();
            let builder = PacketBuilder::ipv4(OURS, KERNELS, 64).tcp(80, syn.source_port, 5_000, 65_535);
            let options = [etherparse::TcpOptionElement::MaximumSegmentSize(1_460)];
            let builder = builder.syn().ack(syn.sequence_number + 1).options(&options).unwrap();
            builder.write(&mut answer, &[]).unwrap();
            send(&device, &answer).unwrap();
            let (packet, meta) = next(&device, |packet| is_tcp(packet) && packet.len() > 1_500);
            assert_eq!((meta.checksum, meta.gso_size), (RxChecksum::Partial, 1_460), "of {} bytes", packet.len());
            let mut received = Vec::new();
            for wire in wire_view(&packet, meta.gso_size, true) {
                assert!(wire.len() <= 1_500);
                let tcp = TcpSlice::from_slice(&wire[20..]).unwrap();
                let sum = tcp.calc_checksum_ipv4(KERNELS, OURS).unwrap();
                assert_eq!(
                    (tcp.checksum(), tcp.sequence_number()),
                    (sum, syn.sequence_number + 1 + received.len() as u32)
                );
                received.extend_from_slice(tcp.payload());
            }
            assert_eq!(received, text[..received.len()]);
            client.join().unwrap()
        });
        drop(writer);
    });
}

#[test]
fn a_packet_that_the_kernel_refuses_is_lost_alone() {
    in_namespace(|| {
        let device = OffloadDevice::open("glt0").unwrap();
        up("glt0");
        send(&device, &[0x77; 40]).expect("no IP packet, but no reason to end either");
        // A checksum beyond the end of the packet.
        let checksum = TxChecksum::Partial { start: 2_000, offset: 16 };
        device.transmit(&[IoSlice::new(&echo_request())], &TxMeta { checksum, ..TxMeta::default() }).unwrap();
        assert_eq!(device.refused(), 2);
        assert_answers(&device);
        assert_eq!(device.refused(), 2);
    });
}

#[test]
fn queues_are_given_as_the_tun_was_made() {
    in_namespace(|| {
        ip("tuntap add dev one mode tun");
        ip("tuntap add dev many mode tun multi_queue");
        ip("tuntap add dev tap mode tap");
        let text = refusal("one", 2).to_string();
        assert!(text.contains("single queue, and 2") && text.contains("multi_queue"), "{text}");
        let taken = OffloadDevice::open("one").unwrap();
        assert!(matches!(refusal("one", 2), TunError::SingleQueue { .. }), "also while it is taken");
        assert!(matches!(refusal("one", 1), TunError::Busy { .. }));
        drop(taken);
        for queues in [1, 2] {
            for name in ["tap", "lo"] {
                let error = refusal(name, queues);
                assert!(matches!(error, TunError::NoTun { .. }) && error.to_string().contains("no TUN"), "{error}");
            }
            assert!(matches!(refusal("a/b", queues), TunError::BadName(_)));
        }
        // One queue of many works, and so do several, of one that exists or not.
        ip("link set many up");
        assert_eq!(OffloadDevice::open("many").unwrap().name(), "many");
        for name in ["many", "fresh%d"] {
            let devices = OffloadDevice::open_queues(name, 4).unwrap();
            assert_eq!(devices.len(), 4);
            assert!(devices.iter().all(|device| device.name() == devices[0].name()));
        }
        let error = refusal("many", 300);
        assert!(matches!(error, TunError::TooManyQueues { queues: 300, .. }), "{error}");
    });
}

#[test]
fn each_queue_carries_packets_and_answers_come_where_the_question_left() {
    in_namespace(|| {
        let devices = OffloadDevice::open_queues("glt0", 3).unwrap();
        up("glt0");
        let socket = UdpSocket::bind("10.9.0.1:4000").unwrap();
        for (n, device) in devices.iter().enumerate() {
            let mut packet = Vec::new();
            let builder = PacketBuilder::ipv4(OURS, KERNELS, 64).udp(80 + n as u16, 4000);
            builder.write(&mut packet, b"question").unwrap();
            send(device, &packet).unwrap();
            let (len, from) = socket.recv_from(&mut [0; 100]).unwrap();
            assert_eq!((len, from.port()), (8, 80 + n as u16));
            socket.send_to(b"answer", from).unwrap();
            next(device, |packet| packet.ends_with(b"answer"));
        }
    });
}

/// Whatever the last program left on a TUN that outlives it, the next one gets what it asked for.
#[test]
#[cfg(feature = "tun-tap")]
fn plain_after_offload_and_offload_after_plain() {
    use super::super::tun::TunDevice;
    in_namespace(|| {
        ip("tuntap add dev glt0 mode tun");
        up("glt0");
        for _ in 0..2 {
            let device = reopened(|| OffloadDevice::open("glt0"));
            assert_answers(&device);
            drop(device);
            assert!(transmit_checksum_offload("glt0"), "it stays on");
            let device = reopened(|| TunDevice::open("glt0"));
            assert!(!transmit_checksum_offload("glt0"));
            assert_answers(&device);
        }
    });
}

/// A program that wants headers of another form leaves that behind.
#[test]
#[allow(unsafe_code)]
fn the_form_of_headers_is_set_anew() {
    in_namespace(|| {
        ip("tuntap add dev glt0 mode tun");
        up("glt0");
        let (other, _) = attach("glt0", 0).unwrap();
        let len: c_int = 12;
        // SAFETY: this request reads one `int`, which lives through the call.
        check(unsafe { libc::ioctl(other.as_raw_fd(), libc::TUNSETVNETHDRSZ, &raw const len) }).unwrap();
        drop(other);
        assert_answers(&reopened(|| OffloadDevice::open("glt0")));
    });
}

#[test]
fn an_interface_that_goes_down_or_vanishes_says_so() {
    in_namespace(|| {
        let device = OffloadDevice::open("glt0").unwrap();
        let error = send(&device, &echo_request()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NetworkDown);
        assert!(error.to_string().contains("`ip link set glt0 up`"), "{error}");
        up("glt0");
        assert_answers(&device);
        ip("link set glt0 down");
        assert_eq!(send(&device, &echo_request()).unwrap_err().kind(), ErrorKind::NetworkDown);
        assert_eq!((drain(&device).kind(), poll(&device)), (ErrorKind::WouldBlock, 0));
        ip("link del glt0");
        assert_ne!(poll(&device), 0, "a driver is woken");
        for error in [drain(&device), send(&device, &echo_request()).unwrap_err(), device.is_up().unwrap_err()] {
            assert_eq!(error.kind(), ErrorKind::NotConnected);
        }
        assert_eq!(device.refused(), 0);
    });
}

/// A super-segment from here to a host behind the kernel, with a checksum that the kernel finishes.
#[cfg(feature = "tun-tap")]
fn super_segment(ipv6: bool, payload: &[u8], ends: bool) -> (Vec<u8>, TxMeta) {
    let mut tcp = etherparse::TcpHeader::new(80, 4_000, u32::MAX - 1_000, 8_192);
    (tcp.ack, tcp.acknowledgment_number) = (true, 77);
    (tcp.psh, tcp.fin, tcp.cwr) = (ends, ends, ends);
    tcp.set_options(&[etherparse::TcpOptionElement::Timestamp(1, 2)]).unwrap();
    let mut packet = Vec::new();
    let builder = if ipv6 {
        let address = |last: u8, net: u8| [0xfd, 0, 0, net, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last];
        PacketBuilder::ipv6(address(2, 9), address(2, 8), 64)
    } else {
        let header = etherparse::Ipv4Header {
            identification: 65_530,
            time_to_live: 64,
            protocol: etherparse::IpNumber::TCP,
            source: OURS,
            destination: [10, 8, 0, 2],
            ..Default::default()
        };
        PacketBuilder::ip(etherparse::IpHeaders::Ipv4(header, Default::default()))
    };
    builder.tcp_header(tcp).write(&mut packet, payload).unwrap();
    let (start, addresses) = if ipv6 { (40, 8..40) } else { (20, 12..20) };
    let sum = checksum::Sum16BitWords::new()
        .add_slice(&packet[addresses])
        .add_2bytes([0, 6])
        .add_4bytes(((packet.len() - start) as u32).to_be_bytes())
        .ones_complement();
    packet[start + 16..][..2].copy_from_slice(&(!sum).to_ne_bytes());
    let checksum = TxChecksum::Partial { start: start as u16, offset: 16 };
    (packet, TxMeta { checksum, gso_size: 0, header_len: (start + 32) as u16, ecn: ends })
}

/// What a router makes of a packet besides.
#[cfg(feature = "tun-tap")]
fn one_hop_later(packet: &[u8]) -> Vec<u8> {
    let mut packet = packet.to_vec();
    if packet[0] >> 4 == 6 {
        packet[7] -= 1;
    } else {
        packet[8] -= 1;
        packet[10..12].fill(0);
        let sum = checksum::Sum16BitWords::new().add_slice(&packet[..20]).ones_complement();
        packet[10..12].copy_from_slice(&sum.to_ne_bytes());
    }
    packet
}

/// The kernel forwards super-segments to a device that takes only wire packets, so what arrives there is its own cut.
#[test]
#[cfg(feature = "tun-tap")]
fn the_wire_view_of_what_we_send_is_what_the_kernel_makes_of_it() {
    in_namespace(|| {
        let ours = OffloadDevice::open("glt0").unwrap();
        let wire = super::super::tun::TunDevice::open("glt1").unwrap();
        for (name, net) in [("glt0", 9), ("glt1", 8)] {
            ip(&format!("addr add 10.{net}.0.1/24 dev {name}"));
            ip(&format!("addr add fd00:{net}::1/64 dev {name} nodad"));
            ip(&format!("link set {name} txqueuelen 5000 up"));
        }
        for device in [ours.interface(), wire.interface()] {
            device.wait_until_running();
        }
        // Settings of this namespace alone.
        let forwards = ["ipv4/ip_forward", "ipv6/conf/all/forwarding"]
            .map(|setting| std::fs::write(format!("/proc/sys/net/{setting}"), "1"));
        if forwards.iter().any(Result::is_err) {
            println!("skipped: the settings of a namespace cannot be written ({forwards:?})");
            return;
        }
        let bytes: Vec<u8> = (0..60_000_u32).map(|n| (n ^ (n >> 8)) as u8).collect();
        for (n, len) in [1, 88, 89, 1_000, 2_500, 4_344, 30_001, 60_000].into_iter().enumerate() {
            for (m, gso_size) in [88, 536, 1_000, 1_400].into_iter().enumerate() {
                let ipv6 = (n + m) % 2 == 0;
                let (packet, meta) = super_segment(ipv6, &bytes[..len], n % 2 == 0);
                let (head, text) = packet.split_at(usize::from(meta.header_len));
                let (first, second) = text.split_at(len / 3);
                let pieces = [head, first, second].map(IoSlice::new);
                ours.transmit(&pieces, &TxMeta { gso_size, ..meta }).unwrap();
                for expected in wire_view(&packet, gso_size, true) {
                    let is_tcp = |packet: &[u8]| if packet[0] >> 4 == 4 { packet[9] == 6 } else { packet[6] == 6 };
                    let (arrived, _) = next(&wire, is_tcp);
                    assert_eq!(arrived, one_hop_later(&expected), "{len} octets in pieces of {gso_size}, {meta:?}");
                }
            }
        }
        assert_eq!(ours.refused(), 0);
    });
}
