//! Opens the device and starts a stack on it, as the options common to all commands say.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, SystemTime};

use super::args::DeviceKind;
use super::{Failure, args, log, say};
use crate::config::Config;
use crate::device::capture::Capture;
use crate::device::fd::FdDevice;
use crate::device::interface::Interface;
use crate::device::offload::OffloadDevice;
use crate::device::tun::TunDevice;
use crate::device::{Capabilities, Device, TunError};
use crate::ip::IpCidr;
use crate::net::Net;
use crate::tcp::congestion::Algorithm;

/// The addresses of a stack that is given none.
const ADDRESSES: [&str; 2] = ["10.0.0.2/24", "fd00:67::2/64"];
/// The MTU where neither the device nor the user says one.
const MTU: usize = 1_500;
/// How long connections may take to finish.
const GRACE: Duration = Duration::from_secs(3);

type Recorder = Capture<Box<dyn Device>, BufWriter<Box<dyn Write + Send>>>;

/// A running stack, and what is below it.
pub(super) struct Opened {
    /// The only one, or that of the first queue.
    pub(super) net: Net,
    /// One for each queue.
    pub(super) nets: Vec<Net>,
    pub(super) addresses: Vec<IpCidr>,
    /// The name of the device, its MTU and what it can do, for people.
    pub(super) device: String,
    tun: Option<Arc<Interface>>,
    recorders: Vec<Arc<Recorder>>,
}

/// Opens what the options say and starts the log.
pub(super) fn open(options: &args::Stack, congestion: Algorithm) -> Result<Opened, Failure> {
    open_queues(options, congestion, 1)
}

/// As [`open`], on so many queues of a TUN (at least one).
pub(super) fn open_queues(options: &args::Stack, congestion: Algorithm, queues: usize) -> Result<Opened, Failure> {
    log::start(&options.log);
    let addresses = match options.addresses.as_slice() {
        [] => ADDRESSES.map(|text| text.parse()).into_iter().collect::<Result<_, String>>()?,
        given => given.to_vec(),
    };
    if options.pcap.is_some() && options.pcap == options.pcap_raw {
        return Err("--pcap and --pcap-raw need a file each".into());
    }
    let (devices, tun) = open_devices(options, queues)?;
    let Some(first) = devices.first() else { return Err("the TUN has no queue".into()) };
    let capabilities = first.capabilities();
    let mtu = match options.mtu {
        Some(mtu) if mtu > capabilities.mtu => {
            let (name, own) = (first.name(), capabilities.mtu);
            return Err(format!("the MTU of {name} is {own}: `sudo ip link set {name} mtu {mtu}` raises it").into());
        }
        mtu => mtu.unwrap_or(capabilities.mtu),
    };
    let busy_poll = options.busy_poll;
    let mut config = Config { mtu, busy_poll, big_tcp: options.big_tcp, ..Config::new(&addresses) };
    config.any_address = options.any_address;
    config.answer_echo_for_any = options.answer_echo_for_any;
    config.tcp.socket.congestion = congestion;
    config.tcp.ecn = options.ecn.into();
    config.validate()?;
    let (name, skills) = (first.name().to_owned(), skills(&capabilities));
    tracing::info!(device = name, mtu, skills, queues, "opened");
    let mut recorders = Vec::new();
    let devices = record_all(devices, options, &mut recorders)?;
    let nets = Net::start_queues(devices, config)?;
    let net = nets.first().cloned().ok_or("the TUN has no queue")?;
    let mut device = format!("{name} (MTU {mtu}, {skills})");
    if queues > 1 {
        device += &format!(", {queues} queues");
    }
    Ok(Opened { net, nets, addresses, device, tun, recorders })
}

/// Wraps the queues of a device in the captures that are asked for, each of which has all queues.
fn record_all(
    mut devices: Vec<Box<dyn Device>>,
    options: &args::Stack,
    recorders: &mut Vec<Arc<Recorder>>,
) -> Result<Vec<Box<dyn Device>>, Failure> {
    for (option, path) in [("--pcap", &options.pcap), ("--pcap-raw", &options.pcap_raw)] {
        let Some(path) = path else { continue };
        let mut first: Option<Arc<Recorder>> = None;
        let mut recorded: Vec<Box<dyn Device>> = Vec::new();
        for device in devices {
            let recorder = match &first {
                Some(first) => first.another(device),
                None if option == "--pcap" => record(device, path, option)?,
                None => record(device, path, option)?.keep_super_segments(),
            };
            let recorder = Arc::new(recorder);
            recorded.push(Box::new(Arc::clone(&recorder)));
            first.get_or_insert(recorder);
        }
        devices = recorded;
        recorders.extend(first);
    }
    Ok(devices)
}

/// What a device can do, in a few words.
fn skills(capabilities: &Capabilities) -> &'static str {
    match (capabilities.max_super_v4 > capabilities.mtu, capabilities.tx_checksum) {
        (true, _) => "offload: super-segments and checksums by the kernel",
        (false, true) => "offload: checksums by the kernel",
        (false, false) => "plain: no offload",
    }
}

/// The queues of a device, and the interface that it is, if it is one.
type AnyDevice = (Vec<Box<dyn Device>>, Option<Arc<Interface>>);

fn open_devices(options: &args::Stack, queues: usize) -> Result<AnyDevice, Failure> {
    if queues > 1 {
        if options.device == DeviceKind::Plain {
            return Err("--queues needs the offload device, not --device plain".into());
        }
        let devices = OffloadDevice::open_queues(&options.tun, queues)?;
        let interface = devices.first().map(OffloadDevice::interface);
        return Ok((devices.into_iter().map(|device| Box::new(device) as Box<dyn Device>).collect(), interface));
    }
    open_device(options)
}

fn open_device(options: &args::Stack) -> Result<AnyDevice, Failure> {
    if let Some(number) = options.tun_fd {
        let device =
            FdDevice::from_raw(number, options.mtu.unwrap_or(MTU)).map_err(|error| format!("--tun-fd: {error}"))?;
        return Ok((vec![Box::new(device)], None));
    }
    if options.device != DeviceKind::Plain {
        match OffloadDevice::open(&options.tun) {
            Ok(device) => {
                let interface = device.interface();
                return Ok((vec![Box::new(device)], Some(interface)));
            }
            // The plain device would fail for any other reason too.
            Err(error @ TunError::NoOffload { .. }) if options.device == DeviceKind::Auto => {
                tracing::info!("{error}");
            }
            Err(error) => return Err(error.into()),
        }
    }
    let device = TunDevice::open(&options.tun)?;
    let interface = device.interface();
    Ok((vec![Box::new(device)], Some(interface)))
}

fn record(device: Box<dyn Device>, path: &Path, option: &str) -> Result<Recorder, Failure> {
    let (writer, name): (Box<dyn Write + Send>, _) = if path == Path::new("-") {
        (Box::new(io::stdout()), "standard output".into())
    } else {
        let file = File::create(path).map_err(|error| format!("{option} {}: {error}", path.display()))?;
        (Box::new(file), path.display().to_string())
    };
    let clock =
        || SystemTime::UNIX_EPOCH.elapsed().map_or(0, |time| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    let recorder =
        Capture::new(device, BufWriter::new(writer), clock).map_err(|error| format!("{option}: {name}: {error}"))?;
    Ok(recorder)
}

impl Opened {
    /// Whether packets can pass: nothing to check for a descriptor.
    pub(super) fn is_up(&self) -> io::Result<bool> {
        self.tun.as_ref().map_or(Ok(true), |tun| tun.is_up())
    }

    /// There is a TUN, which may go down.
    pub(super) fn may_go_down(&self) -> bool {
        self.tun.is_some()
    }

    /// What to type so that the TUN comes up.
    pub(super) fn how_to_bring_up(&self) -> String {
        let name = self.tun.as_ref().map_or("", |tun| tun.name());
        let mut text = format!("the interface {name} is down, so nothing can reach this side. Bring it up with\n");
        for cidr in &self.addresses {
            text += &format!("    sudo ip addr replace {} dev {name}\n", neighbour(cidr));
        }
        text + &format!("    sudo ip link set {name} up")
    }

    /// Fails where nothing could be sent at all.
    pub(super) fn require_up(&self) -> Result<(), Failure> {
        if self.is_up()? { Ok(()) } else { Err(self.how_to_bring_up().into()) }
    }

    /// Lets connections finish, and ends the captures.
    pub(super) fn close(&self) {
        // All at once, so that it does not take longer with many queues. What had to be reset is logged.
        thread::scope(|scope| {
            for net in &self.nets[1..] {
                scope.spawn(|| net.close(GRACE));
            }
            self.net.close(GRACE);
        });
        for error in self.recorders.iter().filter_map(|recorder| recorder.finish().err()) {
            say(&format!("glasstcp: the end of the capture could not be written: {error}"));
        }
    }

    /// The reason why the device is gone where that is so, else the error itself.
    pub(super) fn explain(&self, error: io::Error) -> io::Error {
        self.nets.iter().find_map(Net::failure).unwrap_or(error)
    }
}

/// The first other address of a network, for the kernel's side.
fn neighbour(cidr: &IpCidr) -> IpCidr {
    let other = |bits: u128, width: u32| {
        let host = width - u32::from(cidr.prefix_len);
        let network = if host >= 128 { 0 } else { bits >> host << host };
        if network | 1 == bits { network | 2 } else { network | 1 }
    };
    let address = match cidr.address {
        IpAddr::V4(v4) => IpAddr::from((other(u128::from(v4.to_bits()), 32) as u32).to_be_bytes()),
        IpAddr::V6(v6) => IpAddr::from(other(v6.to_bits(), 128).to_be_bytes()),
    };
    IpCidr { address, ..*cidr }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_other_side_gets_another_address_of_the_network() {
        let neighbour = |text: &str| neighbour(&text.parse().unwrap()).to_string();
        assert_eq!(neighbour("10.0.0.2/24"), "10.0.0.1/24");
        assert_eq!(neighbour("10.0.0.1/24"), "10.0.0.2/24");
        assert_eq!(neighbour("192.168.7.77/16"), "192.168.0.1/16");
        assert_eq!(neighbour("fd00:67::2/64"), "fd00:67::1/64");
    }
}
