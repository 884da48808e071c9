//! Tests of the TUN device. Each runs in a network namespace of its own thread, which vanishes with the thread.

use std::process::Command;

use super::*;

/// Runs `test` in a fresh network namespace, or says why not. The programs that it starts inherit the namespace.
#[allow(unsafe_code)]
fn in_namespace(test: impl FnOnce() + Send + 'static) {
    let run = || {
        // SAFETY: this changes the namespace of the calling thread only, and touches no memory.
        if let Err(error) = check(unsafe { libc::unshare(libc::CLONE_NEWNET) }) {
            println!("skipped: a network namespace needs root ({error})");
        } else if let Err(error) = File::options().read(true).write(true).open(CONTROL_NODE) {
            println!("skipped: {CONTROL_NODE} cannot be opened ({error})");
        } else if Command::new("ip").arg("-V").output().is_err() {
            println!("skipped: ip (iproute2) is not installed");
        } else {
            test();
        }
    };
    if let Err(panic) = std::thread::spawn(run).join() {
        std::panic::resume_unwind(panic);
    }
}

fn ip(arguments: &str) {
    let output = Command::new("ip").args(arguments.split(' ')).output().unwrap();
    assert!(output.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

fn refusal(name: &str) -> String {
    TunDevice::open(name).unwrap_err().to_string()
}

/// Reads until nothing waits (the system sends packets of its own) or an error comes.
fn drain(device: &TunDevice) -> io::Error {
    let mut buffer = vec![0; 65_536];
    (0..1000).find_map(|_| device.receive(&mut buffer).err()).expect("no endless packets")
}

fn send(device: &TunDevice, packet: &[u8]) -> io::Result<()> {
    let (head, body) = packet.split_at(20);
    device.transmit(&[IoSlice::new(head), IoSlice::new(body)], &TxMeta::default())
}

/// An ICMP echo request from 10.9.0.2 to the interface's 10.9.0.1.
fn echo_request() -> Vec<u8> {
    let mut packet = Vec::new();
    let builder = etherparse::PacketBuilder::ipv4([10, 9, 0, 2], [10, 9, 0, 1], 64).icmpv4_echo_request(7, 1);
    builder.write(&mut packet, b"hello").unwrap();
    packet
}

#[test]
fn a_missing_interface_is_created_and_carries_packets() {
    in_namespace(|| {
        let device = TunDevice::open("glt0").unwrap();
        assert_eq!(device.name(), "glt0");
        assert_eq!(device.capabilities(), Capabilities::plain(1500));
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
        ip("link set glt1 mtu 9000 up");
        let device = TunDevice::open("glt1").unwrap();
        assert_eq!(device.capabilities().mtu, 9000);
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

/// Offloads that another program left on are turned off; see [`disable_offload`].
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

/// The events that a driver waiting for input would be woken by.
#[allow(unsafe_code)]
fn poll(device: &TunDevice) -> libc::c_short {
    let mut entry = libc::pollfd { fd: device.iface.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one entry is given and lives through the call, which does not wait.
    check(unsafe { libc::poll(&raw mut entry, 1, 0) }).unwrap();
    entry.revents
}

/// Whether the kernel leaves the transport checksums of this interface unfinished.
#[allow(unsafe_code)]
fn transmit_checksum_offload(name: &str) -> bool {
    const ETHTOOL_GTXCSUM: u32 = 0x16;
    let socket = UnixDatagram::unbound().unwrap();
    let mut value = [ETHTOOL_GTXCSUM, 0];
    // SAFETY: `ifreq` is plain data, for which all zeroes is a valid value.
    let mut question: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in question.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    question.ifr_ifru.ifru_data = value.as_mut_ptr().cast();
    // SAFETY: the request reads and writes the two numbers behind the pointer, which live through the call.
    check(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCETHTOOL as libc::Ioctl, &raw mut question) }).unwrap();
    value[1] != 0
}
