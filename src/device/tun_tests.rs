//! Tests of the TUN device. Each runs in a network namespace of its own thread, which vanishes with the thread.

use std::io::ErrorKind;

use super::super::fd::check;
use super::super::namespace_tests::{drain, echo_request, in_namespace, ip, poll, send, transmit_checksum_offload};
use super::*;

fn refusal(name: &str) -> String {
    TunDevice::open(name).unwrap_err().to_string()
}

#[test]
fn a_missing_interface_is_created_and_carries_packets() {
    in_namespace(|| {
        let device = TunDevice::open("glt0").unwrap();
        assert_eq!(device.name(), "glt0");
        let capabilities = Capabilities { queue_limit: Some(500), ..Capabilities::plain(1500) };
        assert_eq!(device.capabilities(), capabilities, "the kernel's default queue");
        assert!(!device.is_up().unwrap());
        ip("addr add 10.9.0.1/24 dev glt0");
        ip("link set glt0 up");
        assert!(device.is_up().unwrap());
        drain(&device);
        send(&device, &echo_request()).unwrap();
        let mut buffer = vec![0; 65_536];
        let is_reply = |packet: &[u8]| packet[0] >> 4 == 4 && packet[9] == 1 && packet[20] == 0;
        // The kernel answers within the call or a moment after it.
        let answered = (0..200).any(|_| match device.receive(&mut buffer) {
            Ok(meta) => is_reply(&buffer[..meta.len]) && buffer[..meta.len].ends_with(b"hello"),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                std::thread::sleep(std::time::Duration::from_millis(10));
                false
            }
        });
        assert!(answered);
    });
}

#[test]
fn an_existing_interface_is_attached_with_its_mtu() {
    in_namespace(|| {
        ip("tuntap add dev glt1 mode tun");
        ip("link set glt1 mtu 9000 txqueuelen 1234 up");
        let device = TunDevice::open("glt1").unwrap();
        let Capabilities { mtu, queue_limit, .. } = device.capabilities();
        assert_eq!((mtu, queue_limit), (9000, Some(1234)));
        assert!(device.is_up().unwrap());
        drop(device);
        assert!(TunDevice::open("glt1").is_ok(), "it can be attached again");
    });
}

#[test]
fn a_second_attachment_is_told_that_it_is_busy() {
    in_namespace(|| {
        let _first = TunDevice::open("glt2").unwrap();
        assert!(refusal("glt2").contains("another program is attached"), "{}", refusal("glt2"));
    });
}

#[test]
fn another_kind_of_interface_is_told_with_the_way_out() {
    in_namespace(|| {
        ip("tuntap add dev glt3 mode tap");
        ip("tuntap add dev glt4 mode tun multi_queue");
        for name in ["glt3", "glt4", "lo"] {
            let text = refusal(name);
            assert!(text.contains("no TUN with a single queue") && text.contains("ip tuntap add"), "{text}");
        }
    });
}

#[test]
fn an_interface_that_goes_down_says_so() {
    in_namespace(|| {
        let device = TunDevice::open("glt5").unwrap();
        let error = send(&device, &echo_request()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NetworkDown);
        assert!(error.to_string().contains("`ip link set glt5 up`"), "{error}");
        ip("link set glt5 up");
        send(&device, &echo_request()).unwrap();
        ip("link set glt5 down");
        assert_eq!(send(&device, &echo_request()).unwrap_err().kind(), ErrorKind::NetworkDown);
        assert!(!device.is_up().unwrap());
        assert_eq!(drain(&device).kind(), ErrorKind::WouldBlock);
        let events = poll(&device);
        assert_eq!(events, 0, "nothing to do, so a driver sleeps instead of spinning");
    });
}

#[test]
fn a_deleted_interface_is_gone_for_reader_and_writer() {
    in_namespace(|| {
        let device = TunDevice::open("glt6").unwrap();
        ip("link set glt6 up");
        ip("link del glt6");
        assert_ne!(poll(&device), 0, "a driver is woken");
        for error in [drain(&device), send(&device, &echo_request()).unwrap_err(), device.is_up().unwrap_err()] {
            assert_eq!(error.kind(), ErrorKind::NotConnected);
            assert!(error.to_string().contains("glt6 vanished"), "{error}");
        }
    });
}

/// Offloads that another program left on are turned off.
#[test]
#[allow(unsafe_code)]
fn stale_offloads_are_turned_off() {
    in_namespace(|| {
        ip("tuntap add dev glt7 mode tun");
        let other = Iface::without_packet_info("glt7", Mode::Tun).unwrap();
        let flags = libc::TUN_F_CSUM | libc::TUN_F_TSO4 | libc::TUN_F_TSO6;
        // SAFETY: this request takes its argument by value.
        check(unsafe { libc::ioctl(other.as_raw_fd(), libc::TUNSETOFFLOAD, libc::c_ulong::from(flags)) }).unwrap();
        drop(other);
        assert!(transmit_checksum_offload("glt7"), "offloads survive the program");
        let _device = TunDevice::open("glt7").unwrap();
        assert!(!transmit_checksum_offload("glt7"));
    });
}

#[test]
fn impossible_names_are_refused_before_the_system_cuts_them() {
    for name in ["a-name-of-16-byte", "with space", "a/b", "nul\0"] {
        assert!(matches!(TunDevice::open(name), Err(TunError::BadName(_))), "{name:?}");
    }
}

#[test]
fn refusals_say_what_to_do() {
    let denied = TunError::of_node("tun0", io::Error::from_raw_os_error(libc::EACCES)).to_string();
    assert!(denied.contains("chmod 0666") && denied.contains("--device"), "{denied}");
    let missing = TunError::of_node("tun0", io::Error::from_raw_os_error(libc::ENOENT)).to_string();
    assert!(missing.contains("modprobe tun"), "{missing}");
    let permission = TunError::of_interface("tun0", io::Error::from_raw_os_error(libc::EPERM)).to_string();
    assert!(permission.contains("scripts/tun-up.sh") && permission.contains("setcap"), "{permission}");
}
